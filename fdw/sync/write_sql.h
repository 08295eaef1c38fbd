/*-------------------------------------------------------------------------
 *
 * write_sql.h
 *	  The SQL of the statements that write users.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_WRITE_SQL_H
#define NAUTH_WRITE_SQL_H

#include "sync/run.h"
#include "users.h"

/*
 * What the statements are about: $1 to $7, all columns, each as an array.  And the
 * members that do not count, when the provider was asked, and when the last success
 * began: live rows were live then.  Where options make other rows, also the times of
 * change of the rows as they were loaded; and who was not written, for
 * nauth_write_shapes_sql.
 */
enum NauthWriteArg
{
	NAUTH_ARG_IGNORED = NAUTH_NUM_COLUMNS,
	NAUTH_ARG_ASKED_AT,
	NAUTH_ARG_SEEN_AT,
	NAUTH_ARG_LOADED_AT,
	NAUTH_WRITE_ARGS,
	NAUTH_ARG_UNWRITTEN = NAUTH_WRITE_ARGS,
	NAUTH_SHAPE_ARGS
};

/*
 * How users are written.  That there is no row of a new one is only what was so when
 * the rows were read, but to look again for each costs a tenth of writing it.  So they
 * are inserted, and if somebody else was faster, once more as rows that may be there.
 */
typedef enum NauthWriteWay
{
	NAUTH_WAY_NEW,
	NAUTH_WAY_DISPUTED,
	NAUTH_WAY_KNOWN
} NauthWriteWay;

/* Whether all rows are compared, since other options make other rows. */
extern bool nauth_write_makes_shapes(const NauthRun *run);

/*
 * The statement that writes users, who all have a time of change of the provider or
 * none, and returns the ids and times written, in the order of the users.
 */
extern const char *nauth_write_sql(const NauthRun *run, bool timed, NauthWriteWay way);

/* Ids of live rows that have the time of change of a user, and are otherwise. */
extern const char *nauth_write_ties_sql(const NauthRun *run);

/* A row, if some user who was not written has a live one that we make otherwise. */
extern const char *nauth_write_shapes_sql(const NauthRun *run, bool timed);

#endif							/* NAUTH_WRITE_SQL_H */
