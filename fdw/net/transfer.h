/*-------------------------------------------------------------------------
 *
 * transfer.h
 *	  One HTTP GET at a time.
 *
 * Only http.c uses this: what may be asked, and how often, is decided there.
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

/* Where a reply is received; whoever owns it frees it in the end. */
typedef struct NauthBody
{
	char	   *data;
	size_t		len;
	size_t		size;
} NauthBody;

typedef struct NauthTransferCall
{
	const NauthRequest *request;
	const char *target;			/* path and query, as nauth_url_check gave
								 * them */
	int			connect_timeout;	/* milliseconds, like idle_timeout */
	int			idle_timeout;
	int64_t		deadline;		/* of nauth_clock() */
	const char *retry_header;	/* says as Retry-After does when to come back,
								 * or at which epoch second; or NULL */
	const char *id_header;		/* has the id of the request; or NULL */
	NauthBody  *body;			/* what was in it is overwritten */
} NauthTransferCall;

typedef struct NauthTransferReply
{
	int			status;			/* 0 when none was received */
	bool		other_type;		/* it says that it is something else than JSON */
	int64_t		retry_after;	/* seconds asked for, not above 0 if none */
	int64_t		retry_own;		/* the same, by the provider's own header */
	int64_t		skew;			/* seconds by which our clock is ahead of the
								 * one that wrote header Date */
	bool		dated;			/* there was one */
	bool		again;			/* it failed in a way that may pass */
	char		request_id[NAUTH_ERROR_REQUEST_ID]; /* by id_header or one
													 * that is common, or "" */
} NauthTransferReply;

/*
 * Make one, with its connections, in the current memory context; NULL with
 * errno set when it cannot be had.  Raises an error when libcurl cannot be
 * used at all.  These three are a NauthConnectionKind.
 */
extern void *nauth_transfer_open(void);
extern void nauth_transfer_close(void *handle);
extern int	nauth_transfer_sockets(const void *handle);

/*
 * Send a request and wait for the whole reply, of whatever status, until the
 * deadline.  False with error and reply->again set otherwise; the transfer is
 * then to be closed.  Raises an error only for an interrupt.
 */
extern bool nauth_transfer_get(NauthTransfer *transfer,
							   const NauthTransferCall *call,
							   NauthTransferReply *reply, NauthError *error);

/* arg is a NauthBody, so that a memory context can call it. */
extern void nauth_transfer_free_body(void *arg);

#endif							/* NAUTH_TRANSFER_H */
