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

#include <sys/mman.h>

#include "net/engine.h"
#include "net/headers.h"
#include "net/transfer.h"

#define BODY_FIRST		(64 * 1024)

/* CURLOPT_AWS_SIGV4, which headers before 7.75 have not, and the first one to rely on */
#define OPTION_SIGNER	((CURLoption) (CURLOPTTYPE_STRINGPOINT + 305))
#define SIGNING_VERSION	0x075600

struct NauthTransfer
{
	NauthHandle handle;
	struct curl_slist *request_headers;
	NauthBody  *body;
	NauthHeaders headers;		/* of the reply */
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

static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	NauthTransfer *transfer = arg;

	return nauth_headers_take(&transfer->headers, line, size * count, &transfer->handle.failure) ? size * count : 0;
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
		list = curl_slist_append(transfer->request_headers, line);
		explicit_bzero(line, len);
		if (list == NULL)
			return CURLE_OUT_OF_MEMORY;
		transfer->request_headers = list;
		headers += len + (headers[len] == '\n');
	}
	return curl_easy_setopt(transfer->handle.easy, CURLOPT_HTTPHEADER, transfer->request_headers);
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

	nauth_headers_begin(&transfer->headers, &call->wanted);
	transfer->body = call->body;
	transfer->body->len = 0;

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
	nauth_headers_tell(&transfer->headers, reply);
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
	else if (code == CURLE_OK && !transfer->headers.ended)
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
	for (struct curl_slist *line = transfer->request_headers; line; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(transfer->request_headers);
	transfer->request_headers = NULL;
}
