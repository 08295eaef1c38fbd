/*-------------------------------------------------------------------------
 *
 * transfer.c
 *	  HTTP requests, several at a time.
 *
 * The on_... functions are called by curl: see engine.c for what they must
 * not do.  A reply is bounded while it arrives, counted as it will be used:
 * decompressed.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <sys/mman.h>
#include <time.h>

#include "net/engine.h"
#include "net/transfer.h"

/* A number of seconds from here on is no wait but a moment. */
#define SECONDS_EPOCH	INT64CONST(1000000000)
#define SECONDS_MAX		INT64CONST(10000000000)
#define BODY_FIRST		(64 * 1024)

/* Bytes kept of a header's value: a number, date or id has no need for more. */
#define HEADER_VALUE	80

/* CURLOPT_AWS_SIGV4, which headers before 7.75 have not, and the first one to rely on */
#define OPTION_SIGNER	((CURLoption) (CURLOPTTYPE_STRINGPOINT + 305))
#define SIGNING_VERSION	0x075600

/* Headers that have the id of a request at many providers. */
static const char *const id_headers[] = {"X-Request-Id", "CF-Ray"};

/* What a header says of when to come back. */
typedef struct NauthComeback
{
	int64_t		seconds;		/* to wait, or since 1970; 0: nothing of use */
	bool		moment;			/* the latter */
} NauthComeback;

struct NauthTransfer
{
	NauthHandle handle;
	struct curl_slist *headers;
	const char *retry_header;
	const char *id_header;
	const char *page_header;
	NauthBody  *body;
	size_t		header_bytes;
	bool		headers_end;	/* the empty line after them was there */
	bool		compressed;
	NauthComeback retry_after;
	NauthComeback retry_own;
	int64_t		skew;			/* as in NauthTransferReply */
	bool		dated;
	int			id_rank;		/* of request_id: the provider's own header is
								 * 0, then come those above; -1: none yet */
	char		request_id[NAUTH_ERROR_REQUEST_ID];
	bool		has_header;		/* page_header was there */
	bool		header_cut;		/* and is too long */
	char		header[NAUTH_REPLY_HEADER];
};

/* What holds for every request, besides the engine's own policy. */
static const struct
{
	CURLoption	option;
	long		value;
}			http_options[] = {
	{CURLOPT_FOLLOWLOCATION, 0},
	{CURLOPT_HTTP09_ALLOWED, 0},
	{CURLOPT_MAXFILESIZE, NAUTH_TRANSFER_BODY},
#if LIBCURL_VERSION_NUM >= 0x075000
	{CURLOPT_MAXLIFETIME_CONN, 600},
#endif
};

void *
nauth_transfer_open(void)
{
	NauthEngine *engine = palloc0(sizeof(NauthEngine));

	return nauth_engine_open(engine) ? engine : NULL;
}

void
nauth_transfer_close(void *carrier)
{
	nauth_engine_close(carrier);
}

int
nauth_transfer_sockets(const void *carrier)
{
	return ((const NauthEngine *) carrier)->sockets;
}

int
nauth_transfer_descriptor(const void *carrier)
{
	return ((const NauthEngine *) carrier)->poll.epoll;
}

NauthTransfer *
nauth_transfer_make(void)
{
	return palloc0(sizeof(NauthTransfer));
}

/*
 * Make room for a body.  Not with malloc, which keeps what was once as large
 * as this: the memory of a backend would not go down again.
 */
static bool
grow_body(NauthBody *body, size_t size)
{
	void	   *data;

	if (body->data == NULL)
		data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else
		data = mremap(body->data, body->size, size, MREMAP_MAYMOVE);
	if (data == MAP_FAILED)
		return false;
	body->data = data;
	body->size = size;
	return true;
}

void
nauth_transfer_free_body(void *arg)
{
	NauthBody  *body = arg;

	if (body->data != NULL)
		munmap(body->data, body->size);
	memset(body, 0, sizeof(*body));
}

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	NauthTransfer *transfer = arg;
	NauthBody  *body = transfer->body;
	size_t		len = size * count;

	if (len > NAUTH_TRANSFER_BODY - body->len)
	{
		nauth_error_set(&transfer->handle.failure, NAUTH_ERROR_TOO_LARGE, "the reply is too large");
		return 0;
	}
	if (len > body->size - body->len &&
		!grow_body(body, Max(Max(body->len + len, body->size * 2), BODY_FIRST)))
	{
		nauth_error_set(&transfer->handle.failure, NAUTH_ERROR_MEMORY, "out of memory");
		return 0;
	}
	memcpy(body->data + body->len, data, len);
	body->len += len;
	return len;
}

/* Read a number or a date. */
static NauthComeback
read_comeback(const char *value)
{
	NauthComeback comeback = {0};
	time_t		date;

	if (*value && strspn(value, "0123456789") == strlen(value))
		comeback.seconds = Min(strtoll(value, NULL, 10), SECONDS_MAX);
	else
	{
		date = curl_getdate(value, NULL);
		comeback.moment = date != -1;
		comeback.seconds = comeback.moment ? date : 0;
	}
	return comeback;
}

/*
 * Seconds to wait, not above 0 if none.  A moment is one of the provider's clock,
 * which the same reply tells in header Date, wherever that stands.
 */
static int64_t
seconds_left(const NauthTransfer *transfer, NauthComeback comeback)
{
	if (!comeback.moment)
		return comeback.seconds;
	return comeback.seconds - ((int64_t) time(NULL) - (transfer->dated ? transfer->skew : 0));
}

/*
 * Whether this header line has the name; its value is then cut to fit.  libcurl
 * promises no byte after the line, not even an end of text.
 */
static bool
header_text(const char *line, size_t len, const char *name, char *value, size_t size)
{
	size_t		start = strlen(name) + 1;

	if (len <= start || line[start - 1] != ':' ||
		pg_strncasecmp(line, name, start - 1) != 0)
		return false;
	while (start < len && isspace((unsigned char) line[start]))
		start++;
	while (len > start && isspace((unsigned char) line[len - 1]))
		len--;
	len = Min(len - start, size - 1);
	memcpy(value, line + start, len);
	value[len] = '\0';
	return true;
}

static bool
header_value(const char *line, size_t len, const char *name, char value[HEADER_VALUE])
{
	return header_text(line, len, name, value, HEADER_VALUE);
}

/* Of the reply, or of one that came before it. */
static bool
is_status_line(const char *line, size_t len)
{
	return len >= 5 && memcmp(line, "HTTP/", 5) == 0;
}

/*
 * Whether curl may undo what this header line says was done to the body: one
 * gzip.  With several, one over the other, a few bytes keep curl busy for hours
 * without a byte of a body, in a call that neither deadline nor cancel ends.
 */
static bool
accept_coding(NauthTransfer *transfer, const char *line, size_t len)
{
	char		value[HEADER_VALUE];

	if (header_value(line, len, "Transfer-Encoding", value))
		return pg_strcasecmp(value, "chunked") == 0;
	if (!header_value(line, len, "Content-Encoding", value) ||
		value[0] == '\0' || pg_strcasecmp(value, "identity") == 0)
		return true;
	if (transfer->compressed)
		return false;
	transfer->compressed = true;
	return pg_strcasecmp(value, "gzip") == 0;
}

static void
note_date(NauthTransfer *transfer, const char *value)
{
	time_t		date = curl_getdate(value, NULL);

	transfer->dated = date != -1;
	transfer->skew = (int64_t) time(NULL) - (int64_t) date;
}

/* Keep the id of the request, of the best header that has one. */
static void
note_request_id(NauthTransfer *transfer, const char *line, size_t len)
{
	char		value[HEADER_VALUE];

	for (int rank = 0; rank <= lengthof(id_headers); rank++)
	{
		const char *name = rank == 0 ? transfer->id_header : id_headers[rank - 1];

		if (transfer->id_rank >= 0 && rank >= transfer->id_rank)
			return;
		if (name != NULL && header_value(line, len, name, value) &&
			value[0] != '\0' && strlen(value) < NAUTH_ERROR_REQUEST_ID)
		{
			strlcpy(transfer->request_id, value, NAUTH_ERROR_REQUEST_ID);
			transfer->id_rank = rank;
		}
	}
}

/* Keep all values of the header that pages are found by. */
static void
note_page_header(NauthTransfer *transfer, const char *line, size_t len)
{
	size_t		used = strlen(transfer->header);
	size_t		start = transfer->has_header ? used + strlen(", ") : 0;

	if (transfer->page_header == NULL || len <= strlen(transfer->page_header))
		return;
	if (start + len >= sizeof(transfer->header))
	{
		char		value[HEADER_VALUE];

		transfer->header_cut |= header_value(line, len, transfer->page_header, value);
		return;
	}
	if (!header_text(line, len, transfer->page_header, transfer->header + start, sizeof(transfer->header) - start))
		return;
	if (transfer->has_header)
		memcpy(transfer->header + used, ", ", strlen(", "));
	transfer->has_header = true;
}

static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	NauthTransfer *transfer = arg;
	size_t		len = size * count;
	char		value[HEADER_VALUE];

	transfer->header_bytes += len;
	transfer->headers_end = line[0] == '\r' || line[0] == '\n' ||
		(transfer->headers_end && !is_status_line(line, len));
	if (transfer->header_bytes > NAUTH_TRANSFER_HEADERS)
	{
		nauth_error_set(&transfer->handle.failure, NAUTH_ERROR_TOO_LARGE,
						"the headers of the reply are too large");
		return 0;
	}
	if (!accept_coding(transfer, line, len))
	{
		nauth_error_set(&transfer->handle.failure, NAUTH_ERROR_UNREADABLE,
						"the reply is encoded in another way than gzip");
		return 0;
	}
	note_request_id(transfer, line, len);
	note_page_header(transfer, line, len);
	if (header_value(line, len, "Date", value))
		note_date(transfer, value);
	if (header_value(line, len, "Retry-After", value))
		transfer->retry_after = read_comeback(value);
	if (transfer->retry_header != NULL && header_value(line, len, transfer->retry_header, value))
	{
		transfer->retry_own = read_comeback(value);
		transfer->retry_own.moment |= transfer->retry_own.seconds >= SECONDS_EPOCH;
	}
	return len;
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
		explicit_bzero(line, len);
		if (list == NULL)
			return CURLE_OUT_OF_MEMORY;
		transfer->headers = list;
		headers += len + (headers[len] == '\n');
	}
	return curl_easy_setopt(transfer->handle.easy, CURLOPT_HTTPHEADER, transfer->headers);
}

/*
 * Have curl sign the request.  It makes a signature of the moment, so each try has its
 * own; without credential or signer there is none.  Before 7.86 a signature left out
 * the headers of the request, and the port of its host.
 */
static CURLcode
set_signer(NauthTransfer *transfer, const NauthRequest *request)
{
	char		signer[sizeof("aws:amz:") + NAUTH_SIGNING_MAX];
	CURL	   *easy = transfer->handle.easy;
	CURLcode	code;

	if (request->signer[0] == '\0')
		return CURLE_OK;
	if (curl_version_info(CURLVERSION_NOW)->version_num < SIGNING_VERSION)
	{
		transfer->handle.failure.hint = "Install libcurl 7.86 or later, and start the server anew.";
		nauth_error_set(&transfer->handle.failure, NAUTH_ERROR_REQUEST,
						"libcurl is older than 7.86, and cannot sign it");
		return CURLE_NOT_BUILT_IN;
	}
	snprintf(signer, sizeof(signer), "aws:amz:%s", request->signer);
	code = curl_easy_setopt(easy, OPTION_SIGNER, signer);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_USERNAME, request->signing_id);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_PASSWORD, request->signing_key);
	return code;
}

/* Make the handle of a request and tell it everything. */
static CURLcode
begin_request(NauthTransfer *transfer, const NauthTransferCall *call)
{
	CURLcode	code = nauth_engine_prepare(&transfer->handle, call->request->url,
											call->connect_timeout);
	CURL	   *easy = transfer->handle.easy;

	transfer->retry_header = call->retry_header;
	transfer->id_header = call->id_header;
	transfer->page_header = call->page_header;
	transfer->has_header = transfer->header_cut = false;
	transfer->header[0] = '\0';
	transfer->id_rank = -1;
	transfer->request_id[0] = '\0';
	transfer->body = call->body;
	transfer->body->len = 0;
	transfer->header_bytes = 0;
	transfer->headers_end = false;
	transfer->compressed = false;
	transfer->retry_after = transfer->retry_own = (NauthComeback)
	{
		0
	};
	transfer->dated = false;

	for (size_t i = 0; code == CURLE_OK && i < lengthof(http_options); i++)
		code = curl_easy_setopt(easy, http_options[i].option, http_options[i].value);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_USERAGENT, "neon_auth_fdw");
	/* when curl has no memory to find the query itself, it asks without */
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, call->target);
	if (code == CURLE_OK)
		code = set_headers(transfer, call->request->headers);
	if (code == CURLE_OK)
		code = set_signer(transfer, call->request);
	if (code == CURLE_OK)
		code = call->request->body[0] == '\0' ? curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) :
			curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->request->body);
	if (code != CURLE_OK)
		return code;
	/* a kept connection that rested longer is not tried; 0 would be a default */
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, Max(call->idle_timeout / 1000L, 1L));
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	return code;
}

/*
 * Whether a media type is JSON's, such as "application/json; charset=utf-8", or one
 * with a version, "application/x-amz-json-1.1".
 */
static bool
type_is_json(const char *type)
{
	static const char versioned[] = "application/x-amz-json-";
	size_t		len = strcspn(type, "; \t");

	if (pg_strncasecmp(type, versioned, strlen(versioned)) == 0)
		return true;
	return len > 5 && pg_strncasecmp(type + len - 4, "json", 4) == 0 &&
		(type[len - 5] == '/' || type[len - 5] == '+');
}

/* What is known of the reply, whole or not. */
static void
describe_reply(NauthTransfer *transfer, NauthTransferReply *reply)
{
	long		status = 0;
	char	   *type = NULL;

	if (transfer->handle.easy != NULL)
	{
		curl_easy_getinfo(transfer->handle.easy, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(transfer->handle.easy, CURLINFO_CONTENT_TYPE, &type);
	}
	reply->status = (int) status;
	reply->other_type = type != NULL && !type_is_json(type);
	reply->retry_after = seconds_left(transfer, transfer->retry_after);
	reply->retry_own = seconds_left(transfer, transfer->retry_own);
	reply->skew = transfer->skew;
	reply->dated = transfer->dated;
	strlcpy(reply->request_id, transfer->request_id, sizeof(reply->request_id));
	reply->header = transfer->has_header && !transfer->header_cut ? transfer->header : NULL;
}

void
nauth_transfer_put_off(NauthTransfer *transfer, void *carrier, int64_t time)
{
	if (transfer->handle.engine == NULL)
		nauth_engine_join(carrier, &transfer->handle);
	nauth_engine_due(&transfer->handle, time);
}

void
nauth_transfer_begin(NauthTransfer *transfer, void *carrier, const NauthTransferCall *call)
{
	CURLcode	code;

	nauth_transfer_cancel(transfer);
	nauth_engine_keep(carrier, call->keep);
	nauth_engine_join(carrier, &transfer->handle);
	code = begin_request(transfer, call);
	if (code == CURLE_OK)
		nauth_engine_begin(&transfer->handle, call->deadline);
	else
		nauth_engine_refuse(&transfer->handle, code);
}

bool
nauth_transfer_move(NauthTransfer *transfer)
{
	/* one that was not begun has no engine */
	if (transfer->handle.engine && !transfer->handle.ended)
		nauth_engine_move(transfer->handle.engine);
	return transfer->handle.ended;
}

void
nauth_transfer_wait(NauthTransfer *transfer)
{
	nauth_engine_wait(&transfer->handle);
}

void
nauth_transfer_due(NauthTransfer *transfer, int64_t deadline)
{
	if (!transfer->handle.ended)
		nauth_engine_due(&transfer->handle, deadline);
}

bool
nauth_transfer_end(NauthTransfer *transfer, NauthTransferReply *reply, NauthError *error)
{
	CURLcode	code = transfer->handle.code;

	memset(reply, 0, sizeof(*reply));
	/* before 8.6 a header line beyond curl's own limit comes as this */
	if (code == CURLE_OUT_OF_MEMORY && !transfer->handle.no_memory)
		code = CURLE_FILESIZE_EXCEEDED;
	/* and a reply that is cut within its headers as a whole one */
	else if (code == CURLE_OK && !transfer->headers_end)
		code = CURLE_PARTIAL_FILE;

	reply->again = nauth_engine_explain(&transfer->handle, code, error);
	describe_reply(transfer, reply);
	if (error->kind != NAUTH_OK)
		error->status = reply->status;
	nauth_transfer_cancel(transfer);
	return error->kind == NAUTH_OK;
}

void
nauth_transfer_cancel(NauthTransfer *transfer)
{
	nauth_engine_end(&transfer->handle);
	/* the credential is in one of them */
	for (struct curl_slist *line = transfer->headers; line; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(transfer->headers);
	transfer->headers = NULL;
}
