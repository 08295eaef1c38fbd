/*-------------------------------------------------------------------------
 *
 * request.h
 *	  A request being written and the reply to it, as plain bytes.
 *
 * Providers write requests and read replies, the HTTP engine carries them, and
 * neither knows the other.  A request is a GET, or a POST if it has a body.  It
 * holds a credential: no part of one belongs in a message but the url up to its
 * '?'.
 *
 * No PostgreSQL header here, for the providers are tested without a server.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_REQUEST_H
#define NAUTH_REQUEST_H

#include "error.h"
#include "slice.h"

#define NAUTH_URL_MAX		8192
#define NAUTH_HEADERS_MAX	8192
#define NAUTH_BODY_MAX		8192
#define NAUTH_SIGNING_MAX	512 /* bytes of each part of a signing key */

/* Bytes of the header that a provider pages by, its zero included. */
#define NAUTH_REPLY_HEADER	8192

/*
 * The functions below write into a request and set overflow instead of
 * failing; whoever sends it looks there once.  headers holds one header a
 * line, lines parted by '\n'.
 */
typedef struct NauthRequest
{
	char		url[NAUTH_URL_MAX];
	char		headers[NAUTH_HEADERS_MAX];
	char		body[NAUTH_BODY_MAX];	/* or "" */
	bool		overflow;
	char		signer[NAUTH_SIGNING_MAX];	/* "", or who signs it (Signature
											 * Version 4): "region:service" */
	char		signing_id[NAUTH_SIGNING_MAX];
	char		signing_key[NAUTH_SIGNING_MAX];
} NauthRequest;

/* A reply; the bytes belong to the engine until its next request. */
typedef struct NauthReply
{
	int			status;
	bool		other_type;		/* it says that it is something else than JSON */
	char		request_id[NAUTH_ERROR_REQUEST_ID]; /* as a header has it, of
													 * any form, or "" */
	const char *header;			/* values of the provider's page_header, those
								 * of several lines joined by ", "; NULL if
								 * there is none, or too long a one */
	NauthSpan	body;
	int64_t		asked_at;		/* of nauth_clock() */
} NauthReply;

/* Start over: url is base and path joined, there are no headers and no body. */
extern void nauth_request_begin(NauthRequest *request, const char *base,
								const char *path);

/*
 * In the place of a value that an EXPLAIN does not know.  It is these very
 * pointers that count, so that no value can pass for one.
 */
extern const char nauth_request_id[];
extern const char nauth_request_email[];
extern const char nauth_request_time[]; /* of creation */
extern const char nauth_request_changed[];

/* Bytes of a value in a URL. */
extern size_t nauth_request_encoded(const char *value);

/*
 * Append "/value" to the path, or "?name=value" or "&name=value" to the query.
 * All but unreserved characters of a value are percent-encoded.  A segment that
 * is empty or of dots, as "." or "..", is an overflow: it would ask for another
 * resource; _is_dots tells whether a value is such a one.
 */
extern bool nauth_request_is_dots(const char *value);
extern void nauth_request_segment(NauthRequest *request, const char *value);
extern void nauth_request_parameter(NauthRequest *request, const char *name,
									const char *value);
extern void nauth_request_number(NauthRequest *request, const char *name,
								 int64_t value);

/* Append to the value of the last parameter, encoded in the same way. */
extern void nauth_request_more(NauthRequest *request, const char *value);

/* Append to the URL as it is. */
extern void nauth_request_literal(NauthRequest *request, const char *text);

/*
 * Append the header "name: prefix value".  A control character in value is an
 * overflow: it would end the header and begin another.
 */
extern void nauth_request_header(NauthRequest *request, const char *name,
								 const char *prefix, const char *value);

/*
 * Append "name=value" to the body, a form (application/x-www-form-urlencoded), and
 * the header of that before the first one.
 */
extern void nauth_request_form(NauthRequest *request, const char *name,
							   const char *value);

/*
 * Append JSON to the body as it is, with the header of that before the first; and
 * a value as a string, in quotes and escaped.  type is the media type, of which
 * the first one counts.
 */
extern void nauth_request_json(NauthRequest *request, const char *type, const char *json);
extern void nauth_request_quoted(NauthRequest *request, const char *value);

/*
 * Have it signed when it is sent, with Signature Version 4: each try anew, for the
 * time is part of it.  After the last header.
 */
extern void nauth_request_sign(NauthRequest *request, const char *region, const char *service,
							   const char *id, const char *key);

#endif							/* NAUTH_REQUEST_H */
