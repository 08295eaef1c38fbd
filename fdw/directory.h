/*-------------------------------------------------------------------------
 *
 * directory.h
 *	  The user directory of one server: listings, single users, counts.
 *
 * Here is the only loop over pages, and here is decided where a page comes
 * from.  A directory belongs to the memory context it was opened in; all it
 * holds is released with that, whatever ended the query.
 *
 * All functions but nauth_directory_check raise an error when the provider
 * cannot be asked or does not answer as its API promises: what they return is
 * true.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_DIRECTORY_H
#define NAUTH_DIRECTORY_H

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

/* Begin a listing of all users, forgetting the one before. */
extern void nauth_directory_list(NauthDirectory *directory);

/*
 * The next page of the listing, valid until the next call, or NULL after the
 * provider's own end mark.  A page may have no users.
 */
extern const NauthPage *nauth_directory_next(NauthDirectory *directory);

/*
 * Ask for one user.  False only with the provider's specific answer that it
 * does not exist.  The user is valid until the next call.
 */
extern bool nauth_directory_user(NauthDirectory *directory, const char *id,
								 NauthUser *user);

/* How many users a complete listing has, as the provider counts them. */
extern int64 nauth_directory_count(NauthDirectory *directory);

/* Ask for the number only to see whether that works; false with error set. */
extern bool nauth_directory_check(NauthDirectory *directory, NauthError *error);

extern const NauthHttpStats *nauth_directory_stats(const NauthDirectory *directory);

#endif							/* NAUTH_DIRECTORY_H */
