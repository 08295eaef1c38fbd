/*-------------------------------------------------------------------------
 *
 * auth0.h
 *	  What the files of the provider "auth0" share.
 *
 * Users are paged through by the time that was read last.  Auth0 shows the first
 * 1000 users of a query and no more, so each page is the first page of a query of
 * its own, of users from the time on that the page before ended with; that time is
 * included, since others may have it, too.
 *
 * Nobody is lost and nobody comes twice, for a time of creation never changes: the
 * user read last comes again and is known by its id.  Where several users of a page
 * have its last time, they are left to the next page, as not all of them may be on
 * this one.
 *
 * Only users of one and the same time that fill a page need further pages of a
 * query.  Each of these has one user less than the one before: page k, of size - k
 * users, begins at user k * (size - k), and that is k users before the end of page
 * k - 1.  There the user must stand that was read last; where it does not, the
 * directory has shifted.  It has an order among equal times that is always the same.
 *
 * By time of change, users of the time that a page ended with stand on the next one
 * again.  Who is changed meanwhile moves to the head of that list, and nobody else.
 *
 * Auth0's times have milliseconds.  Should one have more, it is cut to the one that
 * a bound can name and that includes it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_AUTH0_H
#define NAUTH_AUTH0_H

#include "provider.h"

/* Where a listing is; its cursor says this as text. */
typedef struct NauthKeyset
{
	bool		begun;			/* or at the beginning, and the rest is 0 */
	int64_t		time;			/* moment: from here on */
	int			page;			/* of the users of one time that fill pages */
	char		mark[NAUTH_ID_MAX + 1]; /* the user read last, or "" */
} NauthKeyset;

/*
 * auth0_keyset.c
 *
 * nauth_keyset_whole is a moment as whole milliseconds, those before or after it.
 *
 * nauth_keyset_descends tells whether the latest time comes first.
 *
 * nauth_keyset_read reads a cursor, NULL where a listing begins, of one with pages of
 * limit users.  False if it is damaged.
 *
 * nauth_keyset_finish finishes a page that has users as received, in answer to a
 * request for limit - keyset->page of them: it leads to the next one if it is not the
 * last, and who is to be on no page or on another is taken off.  False with error set
 * when it does not go on from the page before it.
 */
extern int64_t nauth_keyset_whole(int64_t moment, bool after);
extern bool nauth_keyset_descends(const NauthQuery *query);
extern bool nauth_keyset_read(const char *cursor, int limit, NauthKeyset *keyset);
extern bool nauth_keyset_finish(const NauthSettings *settings, const NauthQuery *query,
								const NauthKeyset *keyset, int limit, NauthPage *page,
								NauthError *error);

/* auth0_search.c: add what is searched for to a request, from there on. */
extern void nauth_auth0_write_search(const NauthQuery *query, const NauthKeyset *keyset,
									 NauthRequest *request);

#endif							/* NAUTH_AUTH0_H */
