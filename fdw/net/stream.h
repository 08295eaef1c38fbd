/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  A connection for any protocol: bytes out, bytes in.
 *
 * libcurl makes the connection, with its lookup of names without blocking and
 * its TLS, and then only carries bytes.  All waits can be cancelled and end
 * with the deadline of nauth_clock().
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_STREAM_H
#define NAUTH_STREAM_H

#include "error.h"
#include "net/url.h"

typedef struct NauthStream NauthStream;

/*
 * Make one in the current memory context, not yet connected; NULL with errno
 * set when it cannot be had.
 */
extern NauthStream *nauth_stream_open(void);
extern void nauth_stream_close(NauthStream *stream);
extern int	nauth_stream_sockets(const NauthStream *stream);

/*
 * These return false with error set when it did not work; the stream is then
 * to be closed.  They raise an error only for an interrupt.
 */
extern bool nauth_stream_connect(NauthStream *stream,
								 const NauthRedisAddress *address,
								 int64_t deadline, NauthError *error);
extern bool nauth_stream_send(NauthStream *stream, const char *data, size_t len,
							  int64_t deadline, NauthError *error);

/* Wait for bytes and receive what is there: 1 to size bytes. */
extern bool nauth_stream_receive(NauthStream *stream, char *buffer, size_t size,
								 size_t *len, int64_t deadline, NauthError *error);

/* Send what can be sent without waiting.  Never raises an error. */
extern void nauth_stream_send_now(NauthStream *stream, const char *data, size_t len);

/*
 * Whether nothing has come that was not received, not even the end.  If not,
 * the stream is to be closed.
 */
extern bool nauth_stream_quiet(NauthStream *stream);

#endif							/* NAUTH_STREAM_H */
