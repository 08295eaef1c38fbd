/*-------------------------------------------------------------------------
 *
 * listing.h
 *	  What a query finds in a directory, row by row, from the cache or from the
 *	  provider.
 *
 * Here is decided where a page comes from.  A listing belongs to the memory
 * context it was opened in.  All functions raise an error when the provider
 * has to be asked and cannot be, or does not answer as its API promises; a
 * fault of the cache is none.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_LISTING_H
#define NAUTH_LISTING_H

#include "options.h"
#include "users.h"

/* Values of the setting neon_auth_fdw.cache. */
typedef enum NauthCacheMode
{
	NAUTH_CACHE_ON,
	NAUTH_CACHE_OFF,			/* ask the provider, leave the cache alone */
	NAUTH_CACHE_REFILL			/* ask the provider, and cache what it says */
} NauthCacheMode;

/* setting neon_auth_fdw.cache */
extern int	nauth_cache_mode;

typedef struct NauthListing NauthListing;

/* What the user was told once, by all listings of a scan; zeroed by the caller. */
typedef struct NauthListingTold
{
	bool		too_large;		/* for the cache */
	bool		stale;
} NauthListingTold;

/*
 * Open one, which can answer one query after another, in the current memory
 * context, without any I/O.  options and told must live as long.  wide: raw_json
 * is wanted.
 */
extern NauthListing *nauth_listing_open(const NauthOptions *options, bool wide,
										NauthListingTold *told);

/*
 * Begin a query of any kind; what it points to must live until its end.  A count
 * is one row, whose id is the number.
 */
extern void nauth_listing_begin(NauthListing *listing, const NauthQuery *query);

/*
 * The next user as column values, valid until the next call or until the
 * current memory context is reset; false at the end.  Without "wide" there may
 * be no raw_json.  *reason is NULL, or when PostgreSQL cannot hold this user
 * the reason why, and there is no row.
 */
extern bool nauth_listing_next(NauthListing *listing, NauthRow *row, const char **reason);

/*
 * Begin to get what comes next, without waiting for the provider; for another
 * session that asks it for the same page, and for Redis, it may wait.  It is ready
 * when to wait for the descriptor is of no use; the descriptor, -1 then, becomes
 * readable when one should look whether it is.
 */
extern void nauth_listing_start(NauthListing *listing);
extern bool nauth_listing_ready(const NauthListing *listing);
extern bool nauth_listing_at_end(const NauthListing *listing);
extern int	nauth_listing_descriptor(const NauthListing *listing);

/*
 * Of a query by time of change that was just begun: whether its first page
 * is in that order and goes back behind a moment, so that it has all who changed
 * from then on.  Reads that page.
 */
extern bool nauth_listing_reaches(NauthListing *listing, int64_t moment);

/*
 * How many users the listing of all has that this session has seen in the cache,
 * if it stays fresh for a while; or else -1.  No I/O.
 */
extern int64 nauth_listing_cached(const NauthConnectionId *id);

/* All queries of a listing together. */
typedef struct NauthListingStats
{
	int64		requests;		/* sent to the provider */
	int64		retries;		/* of these, after a failed one */
	int64		pages;			/* read, wherever from */
	int64		users;			/* in them */
	int64		bytes;			/* of replies, decompressed */
	int64		paused;			/* microseconds of back-off, and of pauses
								 * that the provider or the pace wants */
	bool		cached;			/* there is a cache, and it was to be used */
	int64		hits;			/* queries answered by the cache */
	int64		stale;			/* the same, with users older than cache_ttl */
	int64		misses;			/* for which the provider was asked */
	int64		age;			/* microseconds, of the oldest; or -1 */
} NauthListingStats;

/* Add those of a listing to those of others, of the same server. */
extern void nauth_listing_add_stats(const NauthListing *listing, NauthListingStats *sum);

#endif							/* NAUTH_LISTING_H */
