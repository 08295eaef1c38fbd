/*-------------------------------------------------------------------------
 *
 * write.h
 *	  Users that have changed -> one statement on the target.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_WRITE_H
#define NAUTH_WRITE_H

#include "sync/digest.h"
#include "users.h"

/* A user to be written. */
typedef struct NauthWanted
{
	char		id[NAUTH_ID_MAX + 1];
	const NauthUser *user;
	bool		known;			/* has a row already */
	bool		live;			/* which is not marked as deleted */
	bool		marked;			/* the provider has it as deleted */
	bool		timed;			/* the provider tells a time of change */
	bool		retimed;		/* and did not do so before */
	bool		written;		/* the statement says so */
	bool		found;			/* somebody else has written a row */
	NauthDigest digest;			/* unless timed */
	TimestampTz row_time;		/* updated_at of the row that the digest is
								 * of, or DT_NOBEGIN */
	NauthKnownUser now;			/* what will be known of it */
	NauthRow	row;
} NauthWanted;

/*
 * Write users, which it sorts: those of each kind by id, so that two writers cannot
 * block each other in a circle.  Who cannot be held is quarantined.  Raises an error,
 * with the id of a user where it is about one.
 */
extern void nauth_write_users(NauthRun *run, NauthWanted *users, int count);

#endif							/* NAUTH_WRITE_H */
