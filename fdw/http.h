/*-------------------------------------------------------------------------
 *
 * http.h
 *	  The HTTP engine: GET requests that can be cancelled, within deadlines.
 *
 * An engine belongs to a memory context and is closed when that is reset or
 * deleted, whatever ended the query.  It keeps its connections open between
 * requests.
 *
 * Policy that no caller can change: https unless neon_auth_fdw.allowed_urls
 * has an http entry, certificates verified, TLS 1.2 or later, no redirect, no
 * proxy, no .netrc, no cookie; reply bounded while it arrives; no link-local
 * address.  Retries are for 429, 502, 503, 504 and connections that failed or
 * broke (not for time-outs or a rejected certificate), with full jitter, at
 * most NAUTH_HTTP_TRIES tries in all, and never beyond a deadline.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_HTTP_H
#define NAUTH_HTTP_H

#include "error.h"
#include "request.h"

#define NAUTH_HTTP_TRIES	4

/* neon_auth_fdw.allowed_urls, set by superusers only */
extern char *nauth_allowed_urls;

typedef struct NauthHttp NauthHttp;

typedef struct NauthHttpOptions
{
	const char *allowed_url;	/* base URL allowed besides the GUC, or NULL */
	const char *retry_header;	/* says after a 429 without Retry-After how
								 * many seconds to wait, or until which epoch
								 * second; or NULL */
	int			connect_timeout;	/* milliseconds, of one try */
	int			request_timeout;	/* milliseconds, of one try */
} NauthHttpOptions;

typedef struct NauthHttpStats
{
	int64_t		requests;		/* tries sent */
	int64_t		retries;		/* of these, after a failed one */
} NauthHttpStats;

/* Make an engine owned by the current memory context.  options are copied. */
extern NauthHttp *nauth_http_open(const NauthHttpOptions *options);

/* Close it now; its memory goes with the context. */
extern void nauth_http_close(NauthHttp *http);

/*
 * Send a request and wait for the reply, retrying as said above.  deadline is
 * absolute, of nauth_clock() (wait.h).  True with reply set whenever the
 * provider answered with a status that is not to be retried, 404 and 401
 * included; its bytes live until the next call.  False with error set (kind,
 * status) otherwise.  Raises an error only for an interrupt.
 */
extern bool nauth_http_get(NauthHttp *http, const NauthRequest *request,
						   int64_t deadline, NauthReply *reply,
						   NauthError *error);

extern const NauthHttpStats *nauth_http_stats(const NauthHttp *http);

/*
 * Whether text is a base URL as our options take it: absolute, http or https,
 * with a host, without user, query or fragment.
 */
extern bool nauth_http_url_valid(const char *text);

#endif							/* NAUTH_HTTP_H */
