/*-------------------------------------------------------------------------
 *
 * token.h
 *	  Access tokens that client credentials are exchanged for.
 *
 * A session keeps them, each for a server and user mapping as their options were
 * when it was got, and in memory alone.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_TOKEN_H
#define NAUTH_TOKEN_H

#include "http.h"
#include "options.h"

/*
 * A token that is good for a request now, got from the provider if need be,
 * within the deadline of nauth_clock(); it is valid until the next call.  NULL
 * with error set when there is none.  request is overwritten.  Raises an error as
 * nauth_http_send does.
 */
extern const char *nauth_token_get(const NauthOptions *options, NauthHttp *http,
								   NauthRequest *request, int64_t deadline, NauthError *error);

/* What mends a credential that no token is given for; see NauthError. */
extern const char nauth_token_hint[];

/* The provider did not take it, whatever was said of its life. */
extern void nauth_token_forget(const NauthOptions *options);

#endif							/* NAUTH_TOKEN_H */
