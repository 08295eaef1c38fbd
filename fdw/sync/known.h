/*-------------------------------------------------------------------------
 *
 * known.h
 *	  What the target holds: id -> version and three flags, in 18 to 37 bytes
 *	  a user.
 *
 * One scan of the target fills it when a full run begins; it then answers for
 * each user of a page whether it has to be written, and after the last page
 * which users did not turn up.  An incremental run fills it page by page.  It
 * keeps a 64-bit hash of each id with a seed of its own: a collision, one in
 * 10^13 runs over a million users, can only miss a change of this run, never
 * delete anybody.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_KNOWN_H
#define NAUTH_KNOWN_H

#include "datatype/timestamp.h"

/* What is kept of a version. */
#define NAUTH_VERSION_BITS	61

typedef struct NauthKnown NauthKnown;

/* No version is known, so that the content decides. */
#define NAUTH_NO_VERSION	DT_NOBEGIN

/* A user as it is known. */
typedef struct NauthKnownUser
{
	int64		version;		/* time of change, a timestamptz; or of a
								 * digest, NAUTH_VERSION_BITS bits */
	bool		digested;		/* it is a digest: the provider gave no time */
	bool		deleted;
	bool		seen;			/* in this run */
} NauthKnownUser;

/* Make a table in the current memory context, for so many users or more. */
extern NauthKnown *nauth_known_create(int64 users);

extern void nauth_known_free(NauthKnown *known);

/* False when this id is not known. */
extern bool nauth_known_get(const NauthKnown *known, const char *id,
							NauthKnownUser *user);

/* Add or replace a user. */
extern void nauth_known_set(NauthKnown *known, const char *id,
							const NauthKnownUser *user);

/* Users that are not deleted, and those of them not seen. */
extern int64 nauth_known_live(const NauthKnown *known);
extern int64 nauth_known_missing(const NauthKnown *known);

#endif							/* NAUTH_KNOWN_H */
