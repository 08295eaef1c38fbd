/*-------------------------------------------------------------------------
 *
 * policy.c
 *	  What is never connected to, and what libcurl's results mean.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "net/engine.h"

/* What curl reports, by kind; "again" is worth another try. */
static const struct
{
	CURLcode	code;
	NauthErrorKind kind;
	bool		again;
	const char *reason;
}			curl_failures[] = {
	{CURLE_COULDNT_RESOLVE_HOST, NAUTH_ERROR_CONNECT, true, "the host name could not be resolved"},
	{CURLE_COULDNT_CONNECT, NAUTH_ERROR_CONNECT, true, "the connection failed"},
	{CURLE_SSL_CONNECT_ERROR, NAUTH_ERROR_CONNECT, true, "the TLS handshake failed"},
	/* the only time-out left to curl is that of connecting */
	{CURLE_OPERATION_TIMEDOUT, NAUTH_ERROR_CONNECT, false, "no connection was made in time"},
	{CURLE_PEER_FAILED_VERIFICATION, NAUTH_ERROR_CERTIFICATE, false, "the TLS certificate was not accepted"},
	{CURLE_SSL_CACERT_BADFILE, NAUTH_ERROR_CERTIFICATE, false, "the trusted certificates could not be read"},
	{CURLE_GOT_NOTHING, NAUTH_ERROR_TRANSFER, true, "the connection was closed without a reply"},
	{CURLE_PARTIAL_FILE, NAUTH_ERROR_TRANSFER, true, "the reply was cut off"},
	{CURLE_RECV_ERROR, NAUTH_ERROR_TRANSFER, true, "the connection broke while receiving"},
	{CURLE_SEND_ERROR, NAUTH_ERROR_TRANSFER, true, "the connection broke while sending"},
	{CURLE_HTTP2, NAUTH_ERROR_TRANSFER, true, "the HTTP/2 connection broke"},
	{CURLE_HTTP2_STREAM, NAUTH_ERROR_TRANSFER, true, "the HTTP/2 stream broke"},
	{CURLE_FILESIZE_EXCEEDED, NAUTH_ERROR_TOO_LARGE, false, "the reply is too large"},
#if LIBCURL_VERSION_NUM >= 0x080600
	{CURLE_TOO_LARGE, NAUTH_ERROR_TOO_LARGE, false, "the reply is too large"},
#endif
	{CURLE_BAD_CONTENT_ENCODING, NAUTH_ERROR_UNREADABLE, false, "the compression of the reply is malformed"},
	{CURLE_UNSUPPORTED_PROTOCOL, NAUTH_ERROR_UNREADABLE, false, "the reply is not HTTP"},
	{CURLE_WEIRD_SERVER_REPLY, NAUTH_ERROR_UNREADABLE, false, "the reply is not HTTP"},
	{CURLE_URL_MALFORMAT, NAUTH_ERROR_REQUEST, false, "the URL is malformed"},
	{CURLE_OUT_OF_MEMORY, NAUTH_ERROR_MEMORY, false, "out of memory"},
	/* the last one stands for all others */
	{CURLE_OK, NAUTH_ERROR_TRANSFER, false, "the transfer failed"},
};

/*
 * Addresses never connected to, IPv4 as mapped: link-local ones, where clouds
 * serve credentials, in whatever way IPv6 embeds them (compatible, NAT64, 6to4),
 * and those of such services that are not link-local.
 */
static const struct
{
	const char *prefix;
	int			bits;
}			forbidden_addresses[] = {
	{"::ffff:169.254.0.0", 112},
	{"::169.254.0.0", 112},
	{"64:ff9b::169.254.0.0", 112},
	{"2002:a9fe::", 32},
	{"fe80::", 10},
	{"fd00:ec2::254", 128},
	{"::ffff:100.100.100.200", 128},
	{"::ffff:192.0.0.192", 128},
};

bool
nauth_engine_forbids(const struct sockaddr *address)
{
	struct in6_addr ip = {.s6_addr = {[10] = 0xff,[11] = 0xff}};

	if (address->sa_family == AF_INET)
		memcpy(&ip.s6_addr[12], &((const struct sockaddr_in *) address)->sin_addr, 4);
	else if (address->sa_family == AF_INET6)
		ip = ((const struct sockaddr_in6 *) address)->sin6_addr;

	for (size_t i = 0; i < lengthof(forbidden_addresses); i++)
	{
		struct in6_addr prefix;
		int			bytes = forbidden_addresses[i].bits / 8;
		int			mask = 0xff00 >> forbidden_addresses[i].bits % 8 & 0xff;

		inet_pton(AF_INET6, forbidden_addresses[i].prefix, &prefix);
		if (memcmp(&ip, &prefix, bytes) == 0 &&
			(mask == 0 || (ip.s6_addr[bytes] & mask) == prefix.s6_addr[bytes]))
			return true;
	}
	return false;
}

bool
nauth_engine_explain(const NauthHandle *handle, CURLcode code, NauthError *error)
{
	size_t		i = 0;

	*error = handle->failure;
	if (error->kind != NAUTH_OK || code == CURLE_OK)
		return false;
	while (i < lengthof(curl_failures) - 1 && curl_failures[i].code != code)
		i++;
	nauth_error_set(error, curl_failures[i].kind, curl_failures[i].reason);
	return curl_failures[i].again;
}
