/*-------------------------------------------------------------------------
 *
 * digest.h
 *	  Users whose provider tells no time of change: a digest of each tells
 *	  whether it is another than last time.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_DIGEST_H
#define NAUTH_DIGEST_H

#include "sync/run.h"

#define NAUTH_DIGEST_BYTES	16

typedef struct NauthDigest
{
	unsigned char bytes[NAUTH_DIGEST_BYTES];
} NauthDigest;

/* The digest of a user as received, without the members run->ignored. */
extern NauthDigest nauth_digest_of(const NauthRun *run, const NauthUser *user);

/* What NauthKnown keeps of it. */
extern int64 nauth_digest_version(const NauthDigest *digest);

/*
 * Add the stored digests of the target to run->known: of rows that are still those
 * that they were stored with.
 */
extern void nauth_digest_load(NauthRun *run);

/*
 * Store digests, with updated_at of the rows that they are of; forget those of users
 * whose provider now tells a time.
 */
extern void nauth_digest_store(NauthRun *run, int count, const char *const *ids,
							   const NauthDigest *digests, const TimestampTz *updated_at);
extern void nauth_digest_forget(NauthRun *run, int count, const char *const *ids);

#endif							/* NAUTH_DIGEST_H */
