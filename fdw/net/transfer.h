/*-------------------------------------------------------------------------
 *
 * transfer.h
 *	  HTTP requests, several at a time.
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

/* Names of headers that a provider has of its own; or NULL. */
typedef struct NauthHeadersWanted
{
	const char *retry;			/* says as Retry-After does when to come back,
								 * or at which epoch second */
	const char *id;				/* has the id of the request */
	const char *page;			/* is kept as a whole */
} NauthHeadersWanted;

typedef struct NauthTransferCall
{
	const NauthRequest *request;
	const char *target;			/* path and query, as nauth_url_check gave
								 * them */
	int			connect_timeout;	/* milliseconds, like idle_timeout */
	int			idle_timeout;
	int			keep;			/* connections kept open unused, at most */
	int64_t		deadline;		/* of nauth_clock() */
	NauthHeadersWanted wanted;
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
	char		request_id[NAUTH_ERROR_REQUEST_ID]; /* by its header or one
													 * that is common, or "" */
	const char *header;			/* values of the header for pages, as in
								 * NauthReply, until the transfer is used
								 * again */
} NauthTransferReply;

/*
 * What carries transfers, with their connections: make it, in the current
 * memory context; NULL with errno set when it cannot be had.  Raises an error
 * when libcurl cannot be used at all.  These three are a NauthConnectionKind.
 */
extern void *nauth_transfer_open(void);
extern void nauth_transfer_close(void *carrier);
extern int	nauth_transfer_sockets(const void *carrier);

/* Becomes readable when there is something to move on, or one is due. */
extern int	nauth_transfer_descriptor(const void *carrier);

/* Make a transfer, to be used again and again, in the current memory context. */
extern NauthTransfer *nauth_transfer_make(void);

/*
 * Send a request, as far as that goes without waiting.  Never fails: the end of
 * it tells.  What call points to is needed until then.
 */
extern void nauth_transfer_begin(NauthTransfer *transfer, void *carrier,
								 const NauthTransferCall *call);

/* Nothing was begun yet: have the descriptor become readable at this time. */
extern void nauth_transfer_put_off(NauthTransfer *transfer, void *carrier,
								   int64_t time);

/*
 * Move all transfers of the carrier on without waiting.  True when this one has
 * ended, whether by a whole reply, of whatever status, or not.
 */
extern bool nauth_transfer_move(NauthTransfer *transfer);

/*
 * Wait until anything has happened to any transfer of the carrier.  Raises an
 * error only for an interrupt; the transfer is then to be canceled.
 */
extern void nauth_transfer_wait(NauthTransfer *transfer);

/* Another deadline. */
extern void nauth_transfer_due(NauthTransfer *transfer, int64_t deadline);

/*
 * What became of one that has ended.  False with error and reply->again set
 * when there is no whole reply; nothing new should be begun on that carrier
 * then.
 */
extern bool nauth_transfer_end(NauthTransfer *transfer,
							   NauthTransferReply *reply, NauthError *error);

/* Give it up, wherever it is, or do nothing.  Never raises an error. */
extern void nauth_transfer_cancel(NauthTransfer *transfer);

/* arg is a NauthBody, so that a memory context can call it. */
extern void nauth_transfer_free_body(void *arg);

#endif							/* NAUTH_TRANSFER_H */
