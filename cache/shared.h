/*-------------------------------------------------------------------------
 *
 * shared.h
 *	  A listing in the cache, which all backends that want it read together.
 *
 * Whoever needs a page that is not there yet, and finds that nobody else is
 * fetching it, fetches it for all; the others wait for it.  So there is no
 * leader that could go to sleep with an open cursor, a dead one is succeeded
 * at the page where it died, and two scans of one session do not wait for each
 * other.  A user, a count, and what fits in a page, is a listing of one page.
 *
 * Pages of one generation are one listing: each names the cursor it was asked
 * for with, and is taken only where that is the cursor of the page before.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_SHARED_H
#define NAUTH_SHARED_H

#include "cache/cache.h"

typedef struct NauthShared NauthShared;

typedef enum NauthSharedStep
{
	NAUTH_SHARED_PAGE,			/* here is the next page */
	NAUTH_SHARED_END,			/* there is none after the last one */
	NAUTH_SHARED_LEAD,			/* ask the provider for it; put or give up */
	NAUTH_SHARED_DIRECT			/* ask the provider for all that is left: the
								 * cache is of no use any more */
} NauthSharedStep;

typedef struct NauthSharedWanted
{
	bool		single;			/* there is one page */
	bool		wide;			/* raw_json is wanted */
	bool		refill;			/* nothing that is there already */
} NauthSharedWanted;

/*
 * Make one, which can read one listing after another, in the current memory
 * context, which owns all of it, pages too.  No I/O.
 */
extern NauthShared *nauth_shared_open(NauthCache *cache);

/* Begin to read the listing of a query, in words that tell it from any other. */
extern void nauth_shared_begin(NauthShared *shared, const char *query,
							   const NauthSharedWanted *wanted);

/*
 * How to get the next page, waiting for another session until deadline if need
 * be.  The page is valid until the next call.
 */
extern NauthSharedStep nauth_shared_next(NauthShared *shared, int64_t deadline,
										 const NauthCodecPage **page);

/*
 * After LEAD: the page as the provider gave it; its progress is set here.  ahead:
 * the page behind it was asked for already, so that this session should be the one
 * to fetch it, if it does not take too long.  True if it is the next page now,
 * for all.  Otherwise another session has put its own page there, or the cache is
 * of no use any more: the next step tells.
 */
extern bool nauth_shared_put(NauthShared *shared, NauthCodecPage *page, bool ahead);

/*
 * After LEAD: the provider gave none.  for_all: it will give nobody one, so that
 * the listing has to be begun anew.
 */
extern void nauth_shared_give_up(NauthShared *shared, bool for_all);

/*
 * After LEAD, if the provider gave none for a reason that will pass.  True if
 * there is a stale listing that can be read instead, since nothing of this one
 * was read yet; for a while other sessions will take it too, and leave the
 * provider alone.
 */
extern bool nauth_shared_use_stale(NauthShared *shared);

/*
 * After LEAD, if the provider wants silence: true if that is worth waiting for,
 * as all others do; the next step tells when it is over.
 */
extern bool nauth_shared_put_off(NauthShared *shared);

extern bool nauth_shared_has_stale(const NauthShared *shared);

typedef struct NauthSharedInfo
{
	int64_t		age;			/* microseconds since the listing began; -1:
								 * nothing came from the cache */
	bool		stale;			/* it is older than cache_ttl */
	bool		too_large;		/* to be cached */
	int64_t		waited;			/* microseconds, for others and for silence */
} NauthSharedInfo;

extern NauthSharedInfo nauth_shared_info(const NauthShared *shared);

#endif							/* NAUTH_SHARED_H */
