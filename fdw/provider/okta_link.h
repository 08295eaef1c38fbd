/*-------------------------------------------------------------------------
 *
 * okta_link.h
 *	  The header Link, in which Okta says where a listing goes on.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_OKTA_LINK_H
#define NAUTH_OKTA_LINK_H

#include "provider.h"

/* Whether this can be a cursor: the query of a URL that asks for users. */
extern bool nauth_okta_link_is_cursor(const char *cursor, size_t len);

/*
 * Read from the header Link of a page, a list as RFC 8288 has it or NULL, where the
 * listing goes on.  base is the address of the users.  The page becomes the last
 * one if there is a link to itself and none to a next one; or its next is set to the
 * query of that link.  False with error set for anything else: it could hide
 * that there is more, or lead away with the credential.
 */
extern bool nauth_okta_link_follow(const char *base, const char *header,
								   NauthPage *page, NauthError *error);

#endif							/* NAUTH_OKTA_LINK_H */
