/*-------------------------------------------------------------------------
 *
 * headers.h
 *	  The headers of a reply: those that mean something, line by line.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_HEADERS_H
#define NAUTH_HEADERS_H

#include "net/transfer.h"

/* What a header says of when to come back. */
typedef struct NauthComeback
{
	int64_t		seconds;		/* to wait, or since 1970; 0: nothing of use */
	bool		moment;			/* the latter */
} NauthComeback;

typedef struct NauthHeaders
{
	NauthHeadersWanted wanted;
	size_t		bytes;
	bool		ended;			/* the empty line after them was there */
	bool		compressed;
	NauthComeback retry_after;
	NauthComeback retry_own;
	int64_t		skew;			/* as in NauthTransferReply */
	bool		dated;
	bool		has_page;		/* the header that pages are found by was
								 * there */
	bool		page_cut;		/* and is too long */
	int			id_rank;		/* of request_id: the provider's own header is
								 * 0, then come common ones; -1: none yet */
	char		request_id[NAUTH_ERROR_REQUEST_ID];
	char		page[NAUTH_REPLY_HEADER];
} NauthHeaders;

/* Begin with none. */
extern void nauth_headers_begin(NauthHeaders *headers, const NauthHeadersWanted *wanted);

/*
 * Take a line, which need not end with a zero.  False with error set: the reply is to
 * be given up.
 */
extern bool nauth_headers_take(NauthHeaders *headers, const char *line, size_t len,
							   NauthError *error);

/* Say in reply what they tell; its header is valid as long as they are. */
extern void nauth_headers_tell(const NauthHeaders *headers, NauthTransferReply *reply);

#endif							/* NAUTH_HEADERS_H */
