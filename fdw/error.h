/*-------------------------------------------------------------------------
 *
 * error.h
 *	  What can go wrong between us and a provider, and how it is reported.
 *
 * The layers below the executor never raise a remote failure themselves: they
 * fill a NauthError, and nauth_report turns it into the one ereport that
 * the person at psql reads.  A NauthError holds no secret, no query string and
 * no byte of a reply beyond an error code that is known, or of Redis passes the
 * filter of nauth_error_set_code, and a request id that passes its own.
 *
 * No PostgreSQL header here, for the providers are tested without a server.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_ERROR_H
#define NAUTH_ERROR_H

#include <stdbool.h>

/* Bytes of a provider's error code, its zero included. */
#define NAUTH_ERROR_CODE	64

/* Bytes of the id that a provider gives a request, its zero included. */
#define NAUTH_ERROR_REQUEST_ID	65

/* What lets a superuser allow a URL, for hints. */
#define NAUTH_ALLOW_URL_SQL \
	"LOAD 'neon_auth_fdw'; ALTER SYSTEM SET neon_auth_fdw.allowed_urls = '...'; SELECT pg_reload_conf();"

typedef enum NauthErrorKind
{
	NAUTH_OK,
	NAUTH_ERROR_CONNECT,		/* no connection: name, TCP, TLS */
	NAUTH_ERROR_CERTIFICATE,	/* somebody answers whom we do not trust */
	NAUTH_ERROR_FORBIDDEN_URL,	/* not in neon_auth_fdw.allowed_urls */
	NAUTH_ERROR_FORBIDDEN_ADDRESS,	/* link-local, or where clouds hand out
									 * credentials */
	NAUTH_ERROR_TIMEOUT,		/* a deadline passed */
	NAUTH_ERROR_TRANSFER,		/* connection broke in mid reply */
	NAUTH_ERROR_TOO_LARGE,		/* reply beyond the size caps */
	NAUTH_ERROR_CREDENTIAL,		/* 401 */
	NAUTH_ERROR_PERMISSION,		/* 403 */
	NAUTH_ERROR_NOT_FOUND,		/* 404 where a list should be */
	NAUTH_ERROR_RATE_LIMIT,		/* 429 after all retries */
	NAUTH_ERROR_UNAVAILABLE,	/* 5xx after all retries */
	NAUTH_ERROR_READ_ONLY,		/* a Redis that takes no writes */
	NAUTH_ERROR_REDIRECT,		/* 3xx: never followed */
	NAUTH_ERROR_REFUSED,		/* any other status */
	NAUTH_ERROR_UNREADABLE,		/* a body that is not what the API promises */
	NAUTH_ERROR_INCOMPLETE,		/* a listing that did not reach its end */
	NAUTH_ERROR_UNFIT,			/* a reply to something else than was asked */
	NAUTH_ERROR_REQUEST,		/* a request that cannot be written */
	NAUTH_ERROR_MEMORY			/* malloc failed in a library */
} NauthErrorKind;

typedef struct NauthError
{
	NauthErrorKind kind;
	int			status;			/* HTTP status, 0 when none was received */
	const char *reason;			/* constant text saying what was wrong, a
								 * clause without capital or period, or NULL */
	const char *hint;			/* constant sentences saying what mends it,
								 * with %s for the server as SQL has it, or
								 * NULL: what mends all of this kind */
	char		code[NAUTH_ERROR_CODE]; /* the provider's own error code or "" */
	char		request_id[NAUTH_ERROR_REQUEST_ID]; /* by which the provider
													 * finds the request, or
													 * "" */
} NauthError;

/*
 * Set kind and reason.  reason must be a constant.  Returns false, so that a
 * function which answers "did it work" can end with it.
 */
extern bool nauth_error_set(NauthError *error, NauthErrorKind kind,
							const char *reason);

/*
 * Keep an error code of Redis if it looks like one (letters, digits, '_', '-',
 * '.'), so that nothing else of a reply ever reaches a message.  Those of a
 * provider are kept by nauth_reply_failure, which knows them.
 */
extern void nauth_error_set_code(NauthError *error, const char *code);

/*
 * Keep the id of a request if it looks like one (letters, digits, '_', '.',
 * ':', '-'); otherwise what was there stays.
 */
extern void nauth_error_set_request_id(NauthError *error, const char *id);

/* What a reply with such a status, which is none to be read, fails for. */
extern NauthErrorKind nauth_error_of_status(int status);

#endif							/* NAUTH_ERROR_H */
