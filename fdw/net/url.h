/*-------------------------------------------------------------------------
 *
 * url.h
 *	  Which addresses may be asked.
 *
 * URLs are read as libcurl reads them, for it is libcurl that will send them:
 * a check that understands a URL otherwise than the sender protects nothing.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_URL_H
#define NAUTH_URL_H

#include "error.h"
#include "request.h"

/* neon_auth_fdw.allowed_urls and neon_auth_fdw.ca_file, set by superusers only */
extern char *nauth_allowed_urls;
extern char *nauth_ca_file;

/*
 * Whether a URL may be asked; then target is its path and query as they are to
 * be sent, else error is set.  It must lie under one of the provider's own URLs,
 * a list ended by NULL or NULL itself, or under an entry of
 * neon_auth_fdw.allowed_urls, compared by scheme, host, port and whole path
 * segments.  An https host may be "*.example.com" in an entry, for all hosts below
 * example.com; in the provider's own a "*" stands for one label, anywhere in the
 * host.  http is allowed by an entry only.  A URL with a user, a fragment, a host name beyond
 * ASCII or an encoded ".." is never allowed.
 */
extern bool nauth_url_check(const char *text, const char *const *own,
							char target[NAUTH_URL_MAX], NauthError *error);

/*
 * Whether text is a base URL as our options take it: absolute, http or https,
 * with a host, without user, query or fragment.  OK, FORBIDDEN_URL or MEMORY.
 */
extern NauthErrorKind nauth_url_check_base(const char *text);

/* Where a Redis is; all of it fits a URL that libcurl may be given. */
typedef struct NauthRedisAddress
{
	char		socket[108];	/* path of a unix socket, or "" */
	char		host[256];
	char		port[6];
	bool		tls;
	int			database;
} NauthRedisAddress;

/*
 * Read "redis://host:port/database" ("rediss" with TLS, port and database may
 * be left out) or "unix:/path".  OK, MEMORY, or FORBIDDEN_URL if it is none, or
 * has a user, a password, a query or a fragment in it.
 */
extern NauthErrorKind nauth_url_redis(const char *text, NauthRedisAddress *address);

/*
 * Whether this Redis may be asked: it is on this machine, or allowed by an
 * entry of neon_auth_fdw.allowed_urls.  Then address is set, else error.
 */
extern bool nauth_url_check_redis(const char *text, NauthRedisAddress *address,
								  NauthError *error);

#endif							/* NAUTH_URL_H */
