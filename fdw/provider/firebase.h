/*-------------------------------------------------------------------------
 *
 * firebase.h
 *	  What the files of the provider "firebase" share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_FIREBASE_H
#define NAUTH_FIREBASE_H

#include "provider.h"

/* Users that a look-up takes, as Google's own libraries ask for no more. */
#define NAUTH_FIREBASE_IDS	100

/*
 * firebase_lookup.c: users by id or address, which a request of its own finds.
 *
 * nauth_firebase_is_lookup tells whether this is what is asked for.  An address
 * that is no plain one could be refused, so the whole directory is listed instead.
 *
 * nauth_firebase_write_lookup writes the body of the request.
 */
extern bool nauth_firebase_is_lookup(const NauthQuery *query);
extern void nauth_firebase_write_lookup(const NauthQuery *query, NauthRequest *request);

/*
 * firebase_reply.c: as in NauthProvider; and whether a text can be the token of a
 * page, which is the cursor of a listing.
 */
extern bool nauth_firebase_is_token(const char *text);
extern bool nauth_firebase_read_page(const NauthSettings *settings, const NauthQuery *query,
									 const char *cursor, const NauthReply *reply, NauthPage *page,
									 NauthError *error);
extern bool nauth_firebase_find_user(const NauthSettings *settings, const NauthReply *reply,
									 NauthSpan *json, bool *missing, NauthError *error);
extern bool nauth_firebase_read_count(const NauthReply *reply, int64_t *count, NauthError *error);

#endif							/* NAUTH_FIREBASE_H */
