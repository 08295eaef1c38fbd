/*-------------------------------------------------------------------------
 *
 * reading.h
 *	  Read users from replies: what all providers have in common.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_READING_H
#define NAUTH_READING_H

#include "provider.h"

/* Make a page empty: not the last, no cursor, no total. */
extern void nauth_read_begin(NauthPage *page);

/*
 * Find what is around the users of a page, the members with these names, as
 * nauth_slice_object does.  Users that nest too deep are found when they are read
 * themselves, so depth and numbers do not matter here.  False with error set where
 * there is no object, or none that ends.
 */
extern bool nauth_read_envelope(NauthSpan body, const char *const *names,
								NauthSpan *found, NauthError *error);

/* False with error set: the cursor is none that the provider has written. */
extern bool nauth_read_no_cursor(NauthError *error);

/*
 * Split a JSON array of users into page->users by the provider's column table.
 * False with error set when it is no array of objects or holds more than were asked
 * for, or than page->capacity.
 */
extern bool nauth_read_users(const NauthProvider *provider,
							 const NauthSettings *settings, NauthSpan array,
							 int most, NauthPage *page, NauthError *error);

/* Read one user from a JSON object.  False if it is none. */
extern bool nauth_read_object(const NauthProvider *provider,
							  const NauthSettings *settings, NauthSpan json,
							  NauthUser *user);

/*
 * read_page for a reply to NAUTH_QUERY_USER, the same for all providers: the body is
 * one user, or find_user finds it there, and its id must be the asked one.  False with
 * *missing set is as find_user has it; with NAUTH_ERROR_UNFIT where it is another user.
 */
extern bool nauth_read_user(const NauthProvider *provider,
							const NauthSettings *settings, const char *id,
							const NauthReply *reply, NauthUser *user,
							bool *missing, NauthError *error);

/*
 * A member of a JSON object by its path, absent if there is none, or if a name of the
 * path stands twice.
 */
extern NauthSpan nauth_read_path(NauthSpan json, const char *path);

#endif							/* NAUTH_READING_H */
