/*-------------------------------------------------------------------------
 *
 * transfer.h
 *	  One HTTP GET at a time, with libcurl.
 *
 * transfer.c is the only file that includes curl.h, and this header shows
 * nothing of it.  Only http.c uses this: what may be asked, and how often, is
 * decided there.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_TRANSFER_H
#define NAUTH_TRANSFER_H

#include "error.h"
#include "request.h"

#define NAUTH_TRANSFER_BODY		(16 * 1024 * 1024)	/* bytes, decompressed */
#define NAUTH_TRANSFER_HEADERS	(256 * 1024)	/* bytes of all headers */

typedef struct NauthTransfer NauthTransfer;

typedef struct NauthTransferReply
{
	int			status;			/* 0 when none was received */
	NauthSpan	body;			/* until the next transfer */
	int64_t		retry_after;	/* seconds asked for, not above 0 if none */
	int64_t		retry_own;		/* the same, by the provider's own header */
	bool		again;			/* it failed in a way that may pass */
} NauthTransferReply;

/* The parts of a URL that rules look at; the last two may be NULL. */
typedef enum NauthUrlPart
{
	NAUTH_URL_SCHEME,
	NAUTH_URL_HOST,
	NAUTH_URL_PORT,				/* the scheme's own if none is written */
	NAUTH_URL_PATH,				/* without "." and ".." */
	NAUTH_URL_QUERY,
	NAUTH_URL_FRAGMENT
} NauthUrlPart;

#define NAUTH_URL_PARTS		(NAUTH_URL_FRAGMENT + 1)

typedef struct NauthUrl
{
	char	   *part[NAUTH_URL_PARTS];	/* by NauthUrlPart */
} NauthUrl;

/*
 * Make one, with its connections, owned by the current memory context.
 * connect_timeout is in milliseconds.  retry_header names a header that says
 * as Retry-After does when to come back, or at which epoch second; or NULL.
 * Raises an error when it cannot.
 */
extern NauthTransfer *nauth_transfer_open(int connect_timeout,
										  const char *retry_header);
extern void nauth_transfer_close(NauthTransfer *transfer);

/*
 * Send a request and wait for the whole reply, of whatever status, until the
 * deadline of nauth_clock().  False with error and reply->again set otherwise.
 * Raises an error only for an interrupt.
 */
extern bool nauth_transfer_get(NauthTransfer *transfer,
							   const NauthRequest *request, int64_t deadline,
							   NauthTransferReply *reply, NauthError *error);

/*
 * Split a URL as it will be understood when sent.  Returns OK, MEMORY, or
 * FORBIDDEN_URL for text that is none or has a user in it.  Free it always.
 */
extern NauthErrorKind nauth_transfer_split_url(NauthUrl *url,
											   const char *text);
extern void nauth_transfer_free_url(NauthUrl *url);

#endif							/* NAUTH_TRANSFER_H */
