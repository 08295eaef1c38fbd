/*-------------------------------------------------------------------------
 *
 * kept.h
 *	  Rows that are kept while a statement runs, for whoever reads them again.
 *
 * The directory may change at any time, and a statement must not see two states
 * of it: a scan that may be repeated keeps its rows, and all scans of the
 * statement that want the same share them.  They lie in work_mem, and beyond
 * that on disk.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_KEPT_H
#define NAUTH_KEPT_H

#include "executor/tuptable.h"
#include "nodes/execnodes.h"

#include "source.h"

typedef struct NauthKept NauthKept;

/* Who reads of which server. */
typedef struct NauthKeptFor
{
	EState	   *estate;
	Oid			serverid;
	Oid			userid;
} NauthKeptFor;

/*
 * A scan that will read kept rows was begun, and ended.  Of all that were begun for
 * one server, those that want raw_json decide for all what the rows have.
 */
extern void nauth_kept_announce(const NauthKeptFor *who, bool wide);
extern void nauth_kept_withdraw(const NauthKeptFor *who);

/*
 * Rows of what is wanted, which is copied.  key says what that is, in words that
 * tell it from anything else; with the same key a statement reads the same rows,
 * and *shared says that they were there already.  With NULL they are nobody
 * else's.  They live until the last scan was withdrawn.
 */
extern NauthKept *nauth_kept_open(const NauthKeptFor *who, const NauthQuery *wanted,
								  const char *key, bool *shared);

/* Where the rows come from. */
extern NauthSource *nauth_kept_source(NauthKept *kept);

/* Forget the rows, and keep others, for a reader that is alone. */
extern void nauth_kept_restart(NauthKept *kept, const NauthQuery *wanted);

/* A place in the rows: to read from their beginning, to go back there, to end. */
extern int	nauth_kept_join(NauthKept *kept);
extern void nauth_kept_rewind(NauthKept *kept, int reader);
extern void nauth_kept_leave(NauthKept *kept, int reader);

/* Whether there are rows for the reader that have been read already. */
extern bool nauth_kept_has_more(NauthKept *kept, int reader);

/* The next row, valid until the next call of any reader; false at the end. */
extern bool nauth_kept_next(NauthKept *kept, int reader, NauthRow *row);

#endif							/* NAUTH_KEPT_H */
