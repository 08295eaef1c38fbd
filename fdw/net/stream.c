/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  A connection for any protocol: bytes out, bytes in.
 *
 * The handle that connected stays in libcurl's multi handle for as long as the
 * stream lives, for taking it out would close the socket.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "net/engine.h"
#include "net/stream.h"

/* "https://", a host, a port. */
#define STREAM_URL_MAX	(sizeof(((NauthRedisAddress *) NULL)->host) + 32)

struct NauthStream
{
	NauthEngine engine;
	NauthHandle handle;
	curl_socket_t socket;
};

NauthStream *
nauth_stream_open(void)
{
	NauthStream *stream = palloc0(sizeof(NauthStream));

	return nauth_engine_open(&stream->engine) ? stream : NULL;
}

void
nauth_stream_close(NauthStream *stream)
{
	nauth_engine_close(&stream->engine);
}

int
nauth_stream_sockets(const NauthStream *stream)
{
	return stream->engine.sockets;
}

/* To libcurl an address is a web server's that is told nothing. */
static CURLcode
prepare(NauthStream *stream, const NauthRedisAddress *address, int timeout)
{
	char		url[STREAM_URL_MAX];
	CURLcode	code;
	CURL	   *easy;

	if (address->socket[0])
		strlcpy(url, "http://localhost/", sizeof(url));
	else
		snprintf(url, sizeof(url), "%s://%s:%s/", address->tls ? "https" : "http",
				 address->host, address->port);
	nauth_engine_join(&stream->engine, &stream->handle);
	code = nauth_engine_prepare(&stream->handle, url, timeout);
	easy = stream->handle.easy;
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
	if (code == CURLE_OK && address->socket[0])
		code = curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, address->socket);
	return code;
}

bool
nauth_stream_connect(NauthStream *stream, const NauthRedisAddress *address,
					 int64_t deadline, NauthError *error)
{
	int64_t		left = Max((deadline - nauth_clock()) / 1000, 1);
	CURLcode	code = prepare(stream, address, Min(left, INT_MAX));

	if (code == CURLE_OK)
	{
		nauth_engine_begin(&stream->handle, deadline);
		while (!stream->handle.ended)
			nauth_engine_wait(&stream->handle);
		code = stream->handle.code;
	}
	if (code == CURLE_OK && stream->handle.failure.kind == NAUTH_OK)
	{
		code = curl_easy_getinfo(stream->handle.easy, CURLINFO_ACTIVESOCKET, &stream->socket);
		if (code == CURLE_OK && stream->socket == CURL_SOCKET_BAD)
			code = CURLE_COULDNT_CONNECT;
	}
	nauth_engine_explain(&stream->handle, code, error);
	/* of curl's clock and ours, which end together, either may be first */
	if (error->kind == NAUTH_ERROR_TIMEOUT)
		return nauth_error_set(error, NAUTH_ERROR_CONNECT, "no connection was made in time");
	return error->kind == NAUTH_OK;
}

/*
 * Wait until the socket is ready, as far as one can tell from outside.  Not for
 * both: replies to what was sent first would keep it ready for reading.
 */
static bool
wait_ready(NauthStream *stream, bool writing, int64_t deadline, NauthError *error)
{
	NauthPoll  *poll = &stream->engine.poll;
	NauthPollEvent events[NAUTH_POLL_EVENTS];

	if (!nauth_poll_watch(poll, stream->socket, !writing, writing))
		return nauth_error_set(error, NAUTH_ERROR_MEMORY, "a socket could not be watched");
	if (!nauth_wait(poll->epoll, deadline))
		return nauth_error_set(error, NAUTH_ERROR_TIMEOUT, "no complete reply came in time");
	(void) nauth_poll_drain(poll, events);
	return true;
}

bool
nauth_stream_send(NauthStream *stream, const char *data, size_t len,
				  int64_t deadline, NauthError *error)
{
	while (len > 0)
	{
		size_t		sent = 0;
		CURLcode	code = curl_easy_send(stream->handle.easy, data, len, &sent);

		if (code == CURLE_OK)
		{
			data += sent;
			len -= sent;
		}
		else if (code != CURLE_AGAIN)
		{
			nauth_engine_explain(&stream->handle, code, error);
			return false;
		}
		/* libcurl wants the same bytes again */
		else if (!wait_ready(stream, true, deadline, error))
			return false;
	}
	return true;
}

void
nauth_stream_send_now(NauthStream *stream, const char *data, size_t len)
{
	size_t		sent;

	(void) curl_easy_send(stream->handle.easy, data, len, &sent);
}

bool
nauth_stream_receive(NauthStream *stream, char *buffer, size_t size,
					 size_t *len, int64_t deadline, NauthError *error)
{
	for (;;)
	{
		/* first look, then wait: TLS may hold bytes that the socket has not */
		CURLcode	code = curl_easy_recv(stream->handle.easy, buffer, size, len);

		if (code == CURLE_OK && *len > 0)
			return true;
		if (code == CURLE_OK)
			return nauth_error_set(error, NAUTH_ERROR_TRANSFER,
								   "the connection was closed without a reply");
		if (code != CURLE_AGAIN)
		{
			nauth_engine_explain(&stream->handle, code, error);
			return false;
		}
		if (!wait_ready(stream, false, deadline, error))
			return false;
	}
}

bool
nauth_stream_quiet(NauthStream *stream)
{
	char		byte;
	size_t		len;

	return curl_easy_recv(stream->handle.easy, &byte, sizeof(byte), &len) == CURLE_AGAIN;
}
