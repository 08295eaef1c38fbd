/*-------------------------------------------------------------------------
 *
 * target.h
 *	  The table that is kept equal to a directory.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_TARGET_H
#define NAUTH_TARGET_H

#include "storage/lockdefs.h"

#include "sync/id_list.h"
#include "sync/statement.h"

typedef struct NauthTarget
{
	Oid			relid;			/* InvalidOid: there is none, of a dry run */
	Oid			owner;
	const char *name;			/* qualified and quoted */
	bool		generated;		/* Neon's shape: only raw_json, updated_at and
								 * deleted_at can be written */
} NauthTarget;

/* Oid of the table with this name, or InvalidOid. */
extern Oid	nauth_target_find(const char *name);

/* Its qualified and quoted name, palloc'd. */
extern char *nauth_target_name(Oid relid);

/* The same of the table with this name, whether it is there or would be made. */
extern char *nauth_target_full_name(const char *name);

/*
 * The same of a table that the current role can make; raises an error if it
 * cannot.
 */
extern char *nauth_target_creation_name(const char *name);

/* Create users_sync under this name.  Needs SPI.  Returns its Oid. */
extern Oid	nauth_target_create(const char *name);

/*
 * Describe a target, palloc'd.  Raises an error unless it is a table of the
 * right shape.
 */
extern void nauth_target_describe(Oid relid, NauthTarget *target);

/*
 * Describe the table with this name; false if there is none.  Raises an error, too, unless
 * the current role is its owner or belongs to it.
 */
extern bool nauth_target_open(const char *name, NauthTarget *target);

/*
 * Keep the target what it is until the transaction ends, with the lock that it will need.
 * Raises an error if its name leads to another table by now, or it has another owner:
 * statements name it.
 */
extern void nauth_target_keep(const NauthTarget *target, LOCKMODE mode);

/*
 * Read the target as its owner, row by row in bounded memory: the columns of
 * this list of SQL expressions, of the rows that have an id and meet the
 * condition.  ids, if not NULL, are its parameter $1, a text[].  Needs SPI.
 */
extern void nauth_target_read(const NauthTarget *target, const char *columns,
							  const char *condition, const NauthIdList *ids,
							  NauthRowReader reader, void *arg);

/*
 * Run a statement as the owner of the target; its result is in SPI_tuptable.
 * ids as above.
 */
extern void nauth_target_execute(const NauthTarget *target, const char *sql,
								 const NauthIdList *ids);

/* The same about one user, whose id is the only one of the parameter. */
extern void nauth_target_execute_user(const NauthTarget *target, const char *sql,
									  const char *id);

/*
 * The id in the first column of a row read or returned, palloc'd.  Raises an
 * error where it is null: triggers and casts of the owner can make it so.
 */
extern char *nauth_target_id(HeapTuple tuple, TupleDesc desc);

#endif							/* NAUTH_TARGET_H */
