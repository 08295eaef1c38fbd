/*-------------------------------------------------------------------------
 *
 * headers.c
 *	  The headers of a reply: those that mean something, line by line.
 *
 * Called within curl: see engine.c for what that forbids.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <time.h>

#include <curl/curl.h>

#include "net/headers.h"

/* A number of seconds from here on is no wait but a moment. */
#define SECONDS_EPOCH	INT64CONST(1000000000)
#define SECONDS_MAX		INT64CONST(10000000000)

/* Bytes kept of a header's value: a number, date or id has no need for more. */
#define HEADER_VALUE	80

/* Headers that have the id of a request at many providers. */
static const char *const id_headers[] = {"X-Request-Id", "CF-Ray"};

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
seconds_left(const NauthHeaders *headers, NauthComeback comeback)
{
	if (!comeback.moment)
		return comeback.seconds;
	return comeback.seconds - ((int64_t) time(NULL) - (headers->dated ? headers->skew : 0));
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
accept_coding(NauthHeaders *headers, const char *line, size_t len)
{
	char		value[HEADER_VALUE];

	if (header_value(line, len, "Transfer-Encoding", value))
		return pg_strcasecmp(value, "chunked") == 0;
	if (!header_value(line, len, "Content-Encoding", value) ||
		value[0] == '\0' || pg_strcasecmp(value, "identity") == 0)
		return true;
	if (headers->compressed)
		return false;
	headers->compressed = true;
	return pg_strcasecmp(value, "gzip") == 0;
}

static void
note_date(NauthHeaders *headers, const char *value)
{
	time_t		date = curl_getdate(value, NULL);

	headers->dated = date != -1;
	headers->skew = (int64_t) time(NULL) - (int64_t) date;
}

/* Keep the id of the request, of the best header that has one. */
static void
note_request_id(NauthHeaders *headers, const char *line, size_t len)
{
	char		value[HEADER_VALUE];

	for (int rank = 0; rank <= lengthof(id_headers); rank++)
	{
		const char *name = rank == 0 ? headers->wanted.id : id_headers[rank - 1];

		if (headers->id_rank >= 0 && rank >= headers->id_rank)
			return;
		if (name != NULL && header_value(line, len, name, value) &&
			value[0] != '\0' && strlen(value) < NAUTH_ERROR_REQUEST_ID)
		{
			strlcpy(headers->request_id, value, NAUTH_ERROR_REQUEST_ID);
			headers->id_rank = rank;
		}
	}
}

/* Keep all values of the header that pages are found by. */
static void
note_page_header(NauthHeaders *headers, const char *line, size_t len)
{
	size_t		used = strlen(headers->page);
	size_t		start = headers->has_page ? used + strlen(", ") : 0;

	if (headers->wanted.page == NULL || len <= strlen(headers->wanted.page))
		return;
	if (start + len >= sizeof(headers->page))
	{
		char		value[HEADER_VALUE];

		headers->page_cut |= header_value(line, len, headers->wanted.page, value);
		return;
	}
	if (!header_text(line, len, headers->wanted.page, headers->page + start, sizeof(headers->page) - start))
		return;
	if (headers->has_page)
		memcpy(headers->page + used, ", ", strlen(", "));
	headers->has_page = true;
}

void
nauth_headers_begin(NauthHeaders *headers, const NauthHeadersWanted *wanted)
{
	memset(headers, 0, offsetof(NauthHeaders, request_id));
	headers->wanted = *wanted;
	headers->id_rank = -1;
	headers->request_id[0] = headers->page[0] = '\0';
}

bool
nauth_headers_take(NauthHeaders *headers, const char *line, size_t len, NauthError *error)
{
	char		value[HEADER_VALUE];

	headers->bytes += len;
	headers->ended = line[0] == '\r' || line[0] == '\n' || (headers->ended && !is_status_line(line, len));
	if (headers->bytes > NAUTH_TRANSFER_HEADERS)
		return nauth_error_set(error, NAUTH_ERROR_TOO_LARGE, "the headers of the reply are too large");
	if (!accept_coding(headers, line, len))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the reply is encoded in another way than gzip");
	note_request_id(headers, line, len);
	note_page_header(headers, line, len);
	if (header_value(line, len, "Date", value))
		note_date(headers, value);
	if (header_value(line, len, "Retry-After", value))
		headers->retry_after = read_comeback(value);
	if (headers->wanted.retry != NULL && header_value(line, len, headers->wanted.retry, value))
	{
		headers->retry_own = read_comeback(value);
		headers->retry_own.moment |= headers->retry_own.seconds >= SECONDS_EPOCH;
	}
	return true;
}

void
nauth_headers_tell(const NauthHeaders *headers, NauthTransferReply *reply)
{
	reply->retry_after = seconds_left(headers, headers->retry_after);
	reply->retry_own = seconds_left(headers, headers->retry_own);
	reply->skew = headers->skew;
	reply->dated = headers->dated;
	strlcpy(reply->request_id, headers->request_id, sizeof(reply->request_id));
	reply->header = headers->has_page && !headers->page_cut ? headers->page : NULL;
}
