/*-------------------------------------------------------------------------
 *
 * directory.h
 *	  The user directory of one server: listings, single users, counts.
 *
 * Here is the only loop over the provider's pages.  A directory belongs to the
 * memory context it was opened in; all it holds is released with that, whatever
 * ended the query.
 *
 * All functions raise an error when the provider cannot be asked or does not
 * answer as its API promises, so what they return is true; but those named
 * "try" return false then, and nauth_directory_error says why.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_DIRECTORY_H
#define NAUTH_DIRECTORY_H

#include "cache/cache.h"
#include "http.h"
#include "options.h"

/* A listing of more pages than this has gone wrong. */
#define NAUTH_DIRECTORY_PAGES	10000

typedef struct NauthDirectory NauthDirectory;

/*
 * Open a directory in the current memory context, without any I/O.  options
 * must live as long.  budget is how many milliseconds it may spend on waiting
 * for the provider, all requests together; the time that a caller takes
 * between them does not count.
 */
extern NauthDirectory *nauth_directory_open(const NauthOptions *options, int budget);

/*
 * Begin a listing, forgetting the one before: of all users, of a window of
 * them, or by time of change; see NauthQuery.
 */
extern void nauth_directory_begin(NauthDirectory *directory, const NauthQuery *query);

/*
 * The next page of the listing, valid until the next call, or NULL after the
 * provider's own end mark.  A page may have no users.
 */
extern const NauthPage *nauth_directory_next(NauthDirectory *directory);
extern bool nauth_directory_try_next(NauthDirectory *directory, const NauthPage **page);

/*
 * When to begin to ask for the page after the one that is being used: never,
 * which is so until told; not before the
 * second page was wanted, since most listings that nobody reads to their end are
 * left on the first; or at once.
 */
typedef enum NauthAhead
{
	NAUTH_AHEAD_NEVER,
	NAUTH_AHEAD_LATER,
	NAUTH_AHEAD_AT_ONCE
} NauthAhead;

/* For the listing just begun. */
extern void nauth_directory_ahead(NauthDirectory *directory, NauthAhead look_ahead);

/*
 * Begin to ask for the next page of the listing, or for the answer to a query
 * of another kind, in the background; whoever asks for it next gets that.  It is
 * ready when asking does not wait any more, or when waiting for the descriptor
 * is of no use; the descriptor, -1 when it is ready, becomes readable when one
 * should look whether it is.
 */
extern void nauth_directory_start(NauthDirectory *directory);
extern bool nauth_directory_ready(NauthDirectory *directory);
extern int	nauth_directory_descriptor(NauthDirectory *directory);

/*
 * When the last reply was asked for, of nauth_clock(): a page that was begun in the
 * background may have been long before it was wanted.
 */
extern int64 nauth_directory_asked_at(const NauthDirectory *directory);

/* Whether the next page was asked for already. */
extern bool nauth_directory_is_ahead(NauthDirectory *directory);

/* Go back to where the listing was before its last page. */
extern void nauth_directory_back(NauthDirectory *directory);

/*
 * The next page of the listing was read elsewhere: go on behind it, at the
 * cursor next.
 */
extern void nauth_directory_skip(NauthDirectory *directory, const char *next, bool last);

/*
 * Whether a failure of a list since a time may be of its filter, not of the directory:
 * a list of all users may do then.
 */
extern bool nauth_directory_may_be_of_filter(NauthErrorKind kind);

/*
 * Ask for one user.  False only with the provider's specific answer that it
 * does not exist.  The user is valid until the next call.
 */
extern bool nauth_directory_user(NauthDirectory *directory, const char *id,
								 NauthUser *user);

/*
 * The same without raising an error: false where it is not known.  NAUTH_ERROR_UNFIT
 * is that another user answers to the id.
 */
extern bool nauth_directory_try_user(NauthDirectory *directory, const char *id,
									 NauthUser *user, bool *found);

/*
 * How many users a complete listing has, or a window of it, as the provider
 * counts them; query is of kind NAUTH_QUERY_COUNT.
 */
extern int64 nauth_directory_count(NauthDirectory *directory, const NauthQuery *query);
extern bool nauth_directory_try_count(NauthDirectory *directory, const NauthQuery *query,
									  int64_t *count);

extern const NauthHttpStats *nauth_directory_stats(const NauthDirectory *directory);

/* Why the last request failed, and to raise that as an error. */
extern const NauthError *nauth_directory_error(const NauthDirectory *directory);
extern _Noreturn void nauth_directory_fail(const NauthDirectory *directory);

/* What not to wait for, since there is something else to do. */
extern void nauth_directory_hurry(NauthDirectory *directory, NauthHurry hurry);

/* Microseconds of waiting that are left, and to take some of them away. */
extern int64 nauth_directory_budget(const NauthDirectory *directory);
extern void nauth_directory_spend(NauthDirectory *directory, int64 time);

/* The cache of the directory, or NULL if its server has none, or its keys cannot be made. */
extern NauthCache *nauth_directory_cache(const NauthDirectory *directory);

/* How to reach the Redis of a server that has one. */
extern void nauth_directory_redis(const NauthOptions *options, NauthRedisOptions *redis);

#endif							/* NAUTH_DIRECTORY_H */
