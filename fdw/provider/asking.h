/*-------------------------------------------------------------------------
 *
 * asking.h
 *	  Write requests: what all providers have in common.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_ASKING_H
#define NAUTH_ASKING_H

#include "provider.h"

/* How many users to ask for, in the page at this cursor. */
extern int	nauth_ask_limit(const NauthSettings *settings,
							const NauthQuery *query, const char *cursor);

/* The header Authorization with the token, or else the api_key. */
extern void nauth_ask_bearer(const NauthSettings *settings, NauthRequest *request);

/* The form that client_id and client_secret are exchanged by. */
extern void nauth_ask_client(const NauthSettings *settings, NauthRequest *request);

/*
 * Whether a user can have this id at all.  One that is empty, longer than
 * NAUTH_ID_MAX or of dots is nobody's, as is what the provider names, and to ask for
 * it would be an error where "no such user" is the answer.
 */
extern bool nauth_ask_id_possible(const NauthProvider *provider, const char *id);

/* Whether an id can be one of query->ids. */
extern bool nauth_ask_id_listable(const NauthProvider *provider, const char *id);

/* Whether an id is a UUID in lower case; an is_id. */
extern bool nauth_ask_is_uuid(const char *id);

#endif							/* NAUTH_ASKING_H */
