/*-------------------------------------------------------------------------
 *
 * link.h
 *	  The header Link (RFC 8288), in which some providers say where a listing
 *	  goes on, and URLs that lead there.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_LINK_H
#define NAUTH_LINK_H

#include "provider.h"

/* What is looked for in the header. */
typedef struct NauthLinks
{
	NauthSpan	self;			/* URLs; absent if there is none */
	NauthSpan	next;
	bool		paged;			/* it is about pages: it has one of those, or
								 * a first, previous or last one */
	bool		repeated;		/* one of the two is there twice */
} NauthLinks;

/* Whether this can be a cursor: the query of a URL that asks for users. */
extern bool nauth_link_is_cursor(const char *cursor, size_t len);

/* Read a header.  False if it is no list of links, or has one twice. */
extern bool nauth_link_read(const char *header, NauthLinks *links);

/*
 * Whether a URL, absolute or not, is this base with a query: at no other address
 * and no other path.
 */
extern bool nauth_link_leads_to(const char *base, NauthSpan url);

/*
 * Have the listing go on at a URL, but at no other address than base: next is set
 * to the query of the URL.  hint is what mends that it leads elsewhere.
 */
extern bool nauth_link_go_on(const char *base, NauthSpan url, const char *hint, NauthPage *page,
							 NauthError *error);

/*
 * Read from the header Link of a page, or NULL, where the listing goes on.  base is
 * the address of the users.  The page becomes the last one if there is a link to
 * itself and none to a next one; or its next is set to the query of that link, which
 * has to be absolute.  False with error set for anything else: it could hide that there is more, or
 * lead away with the credential.
 */
extern bool nauth_link_follow(const char *base, const char *header, const char *hint,
							  NauthPage *page, NauthError *error);

#endif							/* NAUTH_LINK_H */
