/*-------------------------------------------------------------------------
 *
 * transfer.c
 *	  One HTTP GET at a time, on libcurl's multi interface.
 *
 * curl tells us which sockets and timers it wants watched and never waits
 * itself; we wait in nauth_wait, the only place that may raise an error while
 * a request is under way.  The on_... functions are called by curl: they copy
 * into malloc'ed memory, note what is wrong in failure, and neither palloc nor
 * ereport, for a longjmp through curl makes its handles unusable and
 * unfreeable.  A request's handle serves once and is then destroyed, since an
 * interrupt may have left it anywhere; connections live in the multi handle.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "transfer.h"
#include "wait.h"

/* A number of seconds from here on is no wait but a moment. */
#define SECONDS_EPOCH	INT64CONST(1000000000)
#define SECONDS_MAX		INT64CONST(10000000000)
#define BODY_FIRST		(64 * 1024)

/* Bytes kept of a header's value: a number or a date has no need for more. */
#define HEADER_VALUE	64

/*
 * Idle connections kept, and all descriptors that may be open: epoll and
 * timer, curl's wakeup pair and its resolver's, two connections, and two more
 * while IPv6 and IPv4 race.  They are reserved at once because doing it for
 * each socket would run the server's file code in a callback.
 */
#define CONNECTIONS		2
#define DESCRIPTORS		10

struct NauthTransfer
{
	char	   *retry_header;
	int			connect_timeout;	/* milliseconds */

	MemoryContextCallback on_reset;
	bool		reserved;		/* DESCRIPTORS are counted */
	NauthPoll	poll;
	CURLM	   *multi;
	sigset_t	signals;		/* mask outside curl */

	/* the request under way */
	CURL	   *easy;
	struct curl_slist *headers;
	int			running;
	bool		no_memory;		/* malloc failed in curl's last step */
	NauthError	failure;		/* found by a callback */
	size_t		header_bytes;
	int64_t		retry_after;	/* as in NauthTransferReply */
	int64_t		retry_own;
	char	   *body;			/* malloc'ed, kept for the next one */
	size_t		body_len;
	size_t		body_size;
};

/* What holds for every request. */
static const struct
{
	CURLoption	option;
	long		value;
}			policy_numbers[] = {
	{CURLOPT_NOSIGNAL, 1},
	{CURLOPT_SSL_VERIFYPEER, 1},
	{CURLOPT_SSL_VERIFYHOST, 2},
	{CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
	{CURLOPT_FOLLOWLOCATION, 0},
	{CURLOPT_NETRC, CURL_NETRC_IGNORED},
	{CURLOPT_HTTP09_ALLOWED, 0},
	{CURLOPT_HTTPGET, 1},
	{CURLOPT_MAXFILESIZE, NAUTH_TRANSFER_BODY},
	{CURLOPT_TCP_KEEPALIVE, 1},
	{CURLOPT_MAXAGE_CONN, 60},
#if LIBCURL_VERSION_NUM >= 0x075000
	{CURLOPT_MAXLIFETIME_CONN, 600},
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	/* else freeing a handle waits for its getaddrinfo thread */
	{CURLOPT_QUICK_EXIT, 1},
#endif
#if LIBCURL_VERSION_NUM < 0x075500
	{CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS},
#endif
};

static const struct
{
	CURLoption	option;
	const char *value;
}			policy_texts[] = {
#if LIBCURL_VERSION_NUM >= 0x075500
	{CURLOPT_PROTOCOLS_STR, "http,https"},
#endif
	{CURLOPT_PROXY, ""},		/* nor one from the environment */
	{CURLOPT_ACCEPT_ENCODING, ""},
	{CURLOPT_USERAGENT, "neon_auth_fdw"},
};

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
	{CURLE_PEER_FAILED_VERIFICATION, NAUTH_ERROR_CONNECT, false, "the TLS certificate was not accepted"},
	{CURLE_SSL_CACERT_BADFILE, NAUTH_ERROR_CONNECT, false, "the trusted certificates could not be read"},
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
 * serve credentials, through NAT64 too, and the IPv6 one of such a service.
 */
static const struct
{
	const char *prefix;
	int			bits;
}			forbidden_addresses[] = {
	{"::ffff:169.254.0.0", 112},
	{"64:ff9b::169.254.0.0", 112},
	{"fe80::", 10},
	{"fd00:ec2::254", 128},
};

static const struct
{
	CURLUPart	part;
	unsigned int flags;
	CURLUcode	missing;		/* the code that is no error */
}			url_parts[NAUTH_URL_PARTS] = {
	[NAUTH_URL_SCHEME] = {CURLUPART_SCHEME, 0, CURLUE_OK},
	[NAUTH_URL_HOST] = {CURLUPART_HOST, 0, CURLUE_OK},
	[NAUTH_URL_PORT] = {CURLUPART_PORT, CURLU_DEFAULT_PORT, CURLUE_OK},
	[NAUTH_URL_PATH] = {CURLUPART_PATH, 0, CURLUE_OK},
	[NAUTH_URL_QUERY] = {CURLUPART_QUERY, 0, CURLUE_NO_QUERY},
	[NAUTH_URL_FRAGMENT] = {CURLUPART_FRAGMENT, 0, CURLUE_NO_FRAGMENT},
};

NauthErrorKind
nauth_transfer_split_url(NauthUrl *url, const char *text)
{
	CURLU	   *handle = curl_url();
	CURLUcode	code;

	memset(url, 0, sizeof(*url));
	if (handle == NULL)
		return NAUTH_ERROR_MEMORY;
	code = curl_url_set(handle, CURLUPART_URL, text, CURLU_DISALLOW_USER);
	for (int i = 0; code == CURLUE_OK && i < NAUTH_URL_PARTS; i++)
	{
		code = curl_url_get(handle, url_parts[i].part, &url->part[i],
							url_parts[i].flags);
		if (code == url_parts[i].missing)
			code = CURLUE_OK;
	}
	curl_url_cleanup(handle);

	if (code == CURLUE_OUT_OF_MEMORY)
		return NAUTH_ERROR_MEMORY;
	return code == CURLUE_OK ? NAUTH_OK : NAUTH_ERROR_FORBIDDEN_URL;
}

void
nauth_transfer_free_url(NauthUrl *url)
{
	for (int i = 0; i < NAUTH_URL_PARTS; i++)
		curl_free(url->part[i]);
}

/*
 * Every call of curl that may start a thread or take long stands between these
 * two.  A thread inherits the mask, and a signal must not find one in which to
 * run the server's handlers.
 */
static void
curl_enter(NauthTransfer *transfer)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &transfer->signals);
}

static void
curl_leave(NauthTransfer *transfer)
{
	pthread_sigmask(SIG_SETMASK, &transfer->signals, NULL);
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *data)
{
	NauthTransfer *transfer = arg;

	/* CURL_POLL_REMOVE has neither bit */
	if (!nauth_poll_watch(&transfer->poll, fd, what & CURL_POLL_IN, what & CURL_POLL_OUT))
		nauth_error_set(&transfer->failure, NAUTH_ERROR_MEMORY, "a socket could not be watched");
	return 0;
}

static int
on_timer(CURLM *multi, long milliseconds, void *arg)
{
	nauth_poll_timer(&((NauthTransfer *) arg)->poll, milliseconds);
	return 0;
}

static bool
address_is_forbidden(const struct sockaddr *address)
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

/* The name is resolved now, and curl leaves out the close-on-exec flag. */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	NauthTransfer *transfer = arg;

	if (address_is_forbidden(&address->addr))
	{
		nauth_error_set(&transfer->failure, NAUTH_ERROR_FORBIDDEN_URL,
						"the host has a link-local address");
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
				  address->protocol);
}

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	NauthTransfer *transfer = arg;
	size_t		len = size * count;

	if (len > NAUTH_TRANSFER_BODY - transfer->body_len)
	{
		nauth_error_set(&transfer->failure, NAUTH_ERROR_TOO_LARGE, "the reply is too large");
		return 0;
	}
	if (len > transfer->body_size - transfer->body_len)
	{
		size_t		wanted = Max(transfer->body_len + len, transfer->body_size * 2);
		char	   *body = realloc(transfer->body, Max(wanted, BODY_FIRST));

		if (body == NULL)
		{
			nauth_error_set(&transfer->failure, NAUTH_ERROR_MEMORY, "out of memory");
			return 0;
		}
		transfer->body = body;
		transfer->body_size = Max(wanted, BODY_FIRST);
	}
	memcpy(transfer->body + transfer->body_len, data, len);
	transfer->body_len += len;
	return len;
}

/*
 * Seconds to wait by the value of a header: a number or a date.  Not above 0
 * where it says nothing of use.
 */
static int64_t
seconds_of(const char *value)
{
	time_t		date;

	if (*value && strspn(value, "0123456789") == strlen(value))
		return Min(strtoll(value, NULL, 10), SECONDS_MAX);
	date = curl_getdate(value, NULL);
	return date == -1 ? 0 : (int64_t) date - time(NULL);
}

/* Whether this header line has the name; its value then, if that is short. */
static bool
header_value(const char *line, size_t len, const char *name,
			 char value[HEADER_VALUE])
{
	size_t		start = strlen(name) + 1;

	if (len <= start || line[start - 1] != ':' ||
		pg_strncasecmp(line, name, start - 1) != 0)
		return false;
	while (start < len && isspace((unsigned char) line[start]))
		start++;
	while (len > start && isspace((unsigned char) line[len - 1]))
		len--;
	strlcpy(value, line + start, Min(len - start + 1, HEADER_VALUE));
	return true;
}

static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	NauthTransfer *transfer = arg;
	size_t		len = size * count;
	char		value[HEADER_VALUE];

	transfer->header_bytes += len;
	if (transfer->header_bytes > NAUTH_TRANSFER_HEADERS)
	{
		nauth_error_set(&transfer->failure, NAUTH_ERROR_TOO_LARGE,
						"the headers of the reply are too large");
		return 0;
	}
	if (header_value(line, len, "Retry-After", value))
		transfer->retry_after = seconds_of(value);
	if (transfer->retry_header != NULL && header_value(line, len, transfer->retry_header, value))
	{
		transfer->retry_own = seconds_of(value);
		if (transfer->retry_own >= SECONDS_EPOCH)
			transfer->retry_own -= time(NULL);
	}
	return len;
}

/*
 * Destroy the handle of a request, finished or not: one that an interrupt left
 * in the middle must not be used again.
 */
static void
end_request(NauthTransfer *transfer)
{
	curl_enter(transfer);
	if (transfer->easy != NULL)
	{
		curl_multi_remove_handle(transfer->multi, transfer->easy);
		curl_easy_cleanup(transfer->easy);
	}
	curl_slist_free_all(transfer->headers);
	curl_leave(transfer);
	transfer->easy = NULL;
	transfer->headers = NULL;
}

/* Close the connections as well. */
static void
close_multi(NauthTransfer *transfer)
{
	end_request(transfer);
	curl_enter(transfer);
	if (transfer->multi != NULL)
		curl_multi_cleanup(transfer->multi);
	curl_leave(transfer);
	transfer->multi = NULL;
}

/* Give everything back; called by hand and when the context is reset. */
static void
release(void *arg)
{
	NauthTransfer *transfer = arg;

	close_multi(transfer);
	nauth_poll_close(&transfer->poll);
	if (transfer->reserved)
		nauth_wait_release(DESCRIPTORS);
	transfer->reserved = false;
	free(transfer->body);
	transfer->body = NULL;
}

/*
 * curl's own state is of the process, and lives as long: another extension
 * may use it too.  Not at load time, for it does not survive a fork.
 */
static void
start_curl(NauthTransfer *transfer)
{
	static bool started = false;

	if (started)
		return;
	if ((curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS) == 0)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("libcurl cannot look up host names without blocking"),
				errhint("Use a libcurl with the threaded resolver or c-ares."));
	curl_enter(transfer);
	started = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	curl_leave(transfer);
	if (!started)
		ereport(ERROR,
				errcode(ERRCODE_FDW_ERROR),
				errmsg("could not initialize libcurl"));
}

NauthTransfer *
nauth_transfer_open(int connect_timeout, const char *retry_header)
{
	NauthTransfer *transfer = palloc0(sizeof(NauthTransfer));

	transfer->connect_timeout = connect_timeout;
	transfer->retry_header = retry_header ? pstrdup(retry_header) : NULL;
	transfer->poll.epoll = transfer->poll.timer = -1;
	transfer->on_reset.func = release;
	transfer->on_reset.arg = transfer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &transfer->on_reset);

	start_curl(transfer);
	transfer->reserved = nauth_wait_reserve(DESCRIPTORS);
	if (!transfer->reserved || !nauth_poll_open(&transfer->poll))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				errmsg("could not open the descriptors for HTTP requests: %m"));
	return transfer;
}

void
nauth_transfer_close(NauthTransfer *transfer)
{
	release(transfer);
}

/* Make the handle that keeps the connections. */
static CURLcode
open_multi(NauthTransfer *transfer)
{
	CURLM	   *multi;
	int			next[2];

	/*
	 * curl's wakeup pair lacks the close-on-exec flag.  It gets the lowest
	 * free numbers, which are found by taking them first.
	 */
	for (int i = 0; i < 2; i++)
		next[i] = fcntl(transfer->poll.epoll, F_DUPFD_CLOEXEC, 0);
	for (int i = 0; i < 2; i++)
		close(next[i]);
	transfer->multi = multi = curl_multi_init();
	for (int i = 0; i < 2; i++)
		(void) fcntl(next[i], F_SETFD, FD_CLOEXEC);
	if (multi == NULL)
		return CURLE_OUT_OF_MEMORY;
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, transfer);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_TIMERDATA, transfer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) CONNECTIONS);
#if LIBCURL_VERSION_NUM >= 0x081400
	curl_multi_setopt(multi, CURLMOPT_QUICK_EXIT, 1L);
#endif
	return CURLE_OK;
}

static CURLcode
set_headers(NauthTransfer *transfer, const char *headers)
{
	while (*headers)
	{
		char		line[NAUTH_HEADERS_MAX];
		size_t		len = strcspn(headers, "\n");
		struct curl_slist *list;

		memcpy(line, headers, len);
		line[len] = '\0';
		list = curl_slist_append(transfer->headers, line);
		if (list == NULL)
			return CURLE_OUT_OF_MEMORY;
		transfer->headers = list;
		headers += len + (headers[len] == '\n');
	}
	return curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
}

/* Make the handle of a request and tell it everything. */
static CURLcode
begin_request(NauthTransfer *transfer, const NauthRequest *request)
{
	CURLcode	code = transfer->multi == NULL ? open_multi(transfer) : CURLE_OK;
	CURL	   *easy;

	if (code != CURLE_OK)
		return code;
	transfer->easy = easy = curl_easy_init();
	if (easy == NULL)
		return CURLE_OUT_OF_MEMORY;
	for (size_t i = 0; code == CURLE_OK && i < lengthof(policy_numbers); i++)
		code = curl_easy_setopt(easy, policy_numbers[i].option, policy_numbers[i].value);
	for (size_t i = 0; code == CURLE_OK && i < lengthof(policy_texts); i++)
		code = curl_easy_setopt(easy, policy_texts[i].option, policy_texts[i].value);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_URL, request->url);
	if (code == CURLE_OK)
		code = set_headers(transfer, request->headers);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) transfer->connect_timeout);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	if (code == CURLE_OK && curl_multi_add_handle(transfer->multi, easy) != CURLM_OK)
		code = CURLE_OUT_OF_MEMORY;
	return code;
}

/* Hand curl what is ready. */
static void
advance(NauthTransfer *transfer)
{
	NauthPollEvent events[NAUTH_POLL_EVENTS];
	int			count = nauth_poll_drain(&transfer->poll, events);
	CURLMcode	code = CURLM_OK;

	curl_enter(transfer);
	errno = 0;
	for (int i = 0; code == CURLM_OK && i < count; i++)
		code = curl_multi_socket_action(transfer->multi,
										events[i].fd < 0 ? CURL_SOCKET_TIMEOUT : events[i].fd,
										(events[i].readable ? CURL_CSELECT_IN : 0) |
										(events[i].writable ? CURL_CSELECT_OUT : 0),
										&transfer->running);
	transfer->no_memory = errno == ENOMEM;
	curl_leave(transfer);
	if (code != CURLM_OK)
		nauth_error_set(&transfer->failure, NAUTH_ERROR_MEMORY, "libcurl ran out of memory");
}

/* Run the transfer to its end or to the deadline. */
static CURLcode
run_request(NauthTransfer *transfer, int64_t deadline)
{
	CURLMsg    *message;
	int			left;

	transfer->running = 1;
	for (;;)
	{
		advance(transfer);
		if (transfer->running == 0 || transfer->failure.kind != NAUTH_OK)
			break;
		if (!nauth_wait(transfer->poll.epoll, deadline))
			nauth_error_set(&transfer->failure, NAUTH_ERROR_TIMEOUT,
							"no complete reply came in time");
	}
	message = curl_multi_info_read(transfer->multi, &left);
	return message == NULL ? CURLE_OK : message->data.result;
}

/* Say what curl's code means; true if another try may do better. */
static bool
explain_failure(CURLcode code, NauthError *error)
{
	size_t		i = 0;

	while (i < lengthof(curl_failures) - 1 && curl_failures[i].code != code)
		i++;
	nauth_error_set(error, curl_failures[i].kind, curl_failures[i].reason);
	return curl_failures[i].again;
}

bool
nauth_transfer_get(NauthTransfer *transfer, const NauthRequest *request,
				   int64_t deadline, NauthTransferReply *reply,
				   NauthError *error)
{
	long		status = 0;
	CURLcode	code;

	end_request(transfer);		/* of a call that an interrupt ended */
	memset(reply, 0, sizeof(*reply));
	memset(&transfer->failure, 0, sizeof(transfer->failure));
	transfer->no_memory = false;
	transfer->header_bytes = 0;
	transfer->body_len = 0;
	transfer->retry_after = 0;
	transfer->retry_own = 0;

	curl_enter(transfer);
	code = begin_request(transfer, request);
	curl_leave(transfer);
	if (code == CURLE_OK)
		code = run_request(transfer, deadline);

	/*
	 * A lack of memory may come under another name, and before 8.6 a header
	 * line beyond curl's own limit comes as one.
	 */
	if (code != CURLE_OK && transfer->no_memory)
		code = CURLE_OUT_OF_MEMORY;
	else if (code == CURLE_OUT_OF_MEMORY && transfer->header_bytes > 0)
		code = CURLE_FILESIZE_EXCEEDED;

	*error = transfer->failure;
	if (error->kind == NAUTH_OK && code != CURLE_OK)
		reply->again = explain_failure(code, error);
	if (transfer->easy != NULL)
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if (error->kind == NAUTH_ERROR_MEMORY)
		close_multi(transfer);	/* its tables may be half filled */
	else
		end_request(transfer);

	reply->status = (int) status;
	if (error->kind != NAUTH_OK)
		error->status = reply->status;
	reply->body.data = transfer->body;
	reply->body.len = transfer->body_len;
	reply->retry_after = transfer->retry_after;
	reply->retry_own = transfer->retry_own;
	return error->kind == NAUTH_OK;
}
