/*-------------------------------------------------------------------------
 *
 * http.c
 *	  Which requests may be sent, and how often they are tried.
 *
 * The transfer itself is in transfer.c.  Here is the policy around it: the
 * rules about URLs, kept before any byte leaves, and the tries, which end with
 * the deadline whatever the provider asks for.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "http.h"
#include "transfer.h"
#include "wait.h"

#define BACKOFF_FIRST	INT64CONST(200000)	/* microseconds */
#define BACKOFF_LAST	INT64CONST(5000000)

struct NauthHttp
{
	NauthTransfer *transfer;
	char	   *allowed_url;
	int			request_timeout;	/* milliseconds */
	NauthHttpStats stats;
};

/* Statuses worth another try. */
static const struct
{
	int			status;
	NauthErrorKind kind;
	const char *reason;
}			busy_statuses[] = {
	{429, NAUTH_ERROR_RATE_LIMIT, "too many requests"},
	{502, NAUTH_ERROR_UNAVAILABLE, "bad gateway"},
	{503, NAUTH_ERROR_UNAVAILABLE, "service unavailable"},
	{504, NAUTH_ERROR_UNAVAILABLE, "gateway time-out"},
};

/*
 * Whether this is a web address without tricks.  A host in other letters than
 * ASCII may be looked up as another one.  curl has resolved "." and ".." in
 * the path; written as %2e they would be left to the server.
 */
static bool
url_is_plain(const NauthUrl *url)
{
	if (pg_strcasecmp(url->part[NAUTH_URL_SCHEME], "https") != 0 &&
		pg_strcasecmp(url->part[NAUTH_URL_SCHEME], "http") != 0)
		return false;
	if (url->part[NAUTH_URL_FRAGMENT] != NULL)
		return false;
	for (const char *c = url->part[NAUTH_URL_HOST]; *c; c++)
	{
		if (IS_HIGHBIT_SET(*c))
			return false;
	}
	for (const char *c = url->part[NAUTH_URL_PATH]; *c == '/';)
	{
		int			dots = 0;

		for (c++; *c == '.' || pg_strncasecmp(c, "%2e", 3) == 0; dots++)
			c += *c == '.' ? 1 : 3;
		if ((dots == 1 || dots == 2) && (*c == '/' || *c == '\0'))
			return false;
		c += strcspn(c, "/");
	}
	return true;
}

/* Whether url lies under base; wildcard is for the hosts below base's host. */
static bool
url_is_under(const NauthUrl *url, const NauthUrl *base, bool wildcard)
{
	const char *host = url->part[NAUTH_URL_HOST];
	const char *path = base->part[NAUTH_URL_PATH];
	size_t		len = strlen(path);

	if (wildcard)
	{
		size_t		above = strlen(host);
		size_t		below = strlen(base->part[NAUTH_URL_HOST]);

		if (above < below + 2 || host[above - below - 1] != '.')
			return false;
		host += above - below;
	}
	while (len > 0 && path[len - 1] == '/')
		len--;
	return pg_strcasecmp(url->part[NAUTH_URL_SCHEME], base->part[NAUTH_URL_SCHEME]) == 0 &&
		pg_strcasecmp(host, base->part[NAUTH_URL_HOST]) == 0 &&
		strcmp(url->part[NAUTH_URL_PORT], base->part[NAUTH_URL_PORT]) == 0 &&
		strncmp(url->part[NAUTH_URL_PATH], path, len) == 0 &&
		(url->part[NAUTH_URL_PATH][len] == '/' || url->part[NAUTH_URL_PATH][len] == '\0');
}

/* Whether url lies under this base URL of len bytes, maybe with a wildcard. */
static NauthErrorKind
url_check_base(const NauthUrl *url, const char *text, size_t len)
{
	static const char any[] = "https://*.";
	char		base_text[NAUTH_URL_MAX];
	bool		wildcard;
	NauthUrl	base;
	NauthErrorKind kind;

	if (len >= sizeof(base_text))
		return NAUTH_ERROR_FORBIDDEN_URL;
	memcpy(base_text, text, len);
	base_text[len] = '\0';

	/* A '*' is no part of a URL, so curl must not see it. */
	wildcard = pg_strncasecmp(base_text, any, strlen(any)) == 0;
	if (wildcard)
		memmove(base_text + strlen("https://"), base_text + strlen(any),
				len - strlen(any) + 1);

	kind = nauth_transfer_split_url(&base, base_text);
	if (kind == NAUTH_OK &&
		(!url_is_plain(&base) || base.part[NAUTH_URL_QUERY] != NULL ||
		 !url_is_under(url, &base, wildcard)))
		kind = NAUTH_ERROR_FORBIDDEN_URL;
	nauth_transfer_free_url(&base);
	return kind;
}

/*
 * Whether a URL may be asked: OK, FORBIDDEN_URL or MEMORY.  It must lie under
 * allowed, if that is not NULL, or under an entry of the comma-separated list,
 * compared by scheme, host, port and whole path segments.  An https host may
 * be "*.example.com", for all hosts below example.com.  http is allowed by a
 * list entry only.  A URL with a user, a fragment, a host name beyond ASCII or
 * an encoded ".." is never allowed.
 */
static NauthErrorKind
url_check(const char *text, const char *allowed, const char *list)
{
	static const char blank[] = ", \t\n";
	NauthUrl	url;
	NauthErrorKind kind = nauth_transfer_split_url(&url, text);

	if (kind == NAUTH_OK && !url_is_plain(&url))
		kind = NAUTH_ERROR_FORBIDDEN_URL;
	else if (kind == NAUTH_OK)
	{
		kind = NAUTH_ERROR_FORBIDDEN_URL;
		if (allowed != NULL && pg_strcasecmp(url.part[NAUTH_URL_SCHEME], "https") == 0)
			kind = url_check_base(&url, allowed, strlen(allowed));
		while (kind == NAUTH_ERROR_FORBIDDEN_URL && list != NULL && *list)
		{
			size_t		len = strcspn(list, blank);

			if (len > 0)
				kind = url_check_base(&url, list, len);
			list += len;
			list += strspn(list, blank);
		}
	}
	nauth_transfer_free_url(&url);
	return kind;
}

bool
nauth_http_url_valid(const char *text)
{
	NauthUrl	url;
	bool		valid = nauth_transfer_split_url(&url, text) == NAUTH_OK &&
	url_is_plain(&url) && url.part[NAUTH_URL_QUERY] == NULL;

	nauth_transfer_free_url(&url);
	return valid;
}

NauthHttp *
nauth_http_open(const NauthHttpOptions *options)
{
	NauthHttp  *http = palloc0(sizeof(NauthHttp));

	http->allowed_url = options->allowed_url ? pstrdup(options->allowed_url) : NULL;
	http->request_timeout = options->request_timeout;
	http->transfer = nauth_transfer_open(options->connect_timeout, options->retry_header);
	return http;
}

void
nauth_http_close(NauthHttp *http)
{
	nauth_transfer_close(http->transfer);
}

const NauthHttpStats *
nauth_http_stats(const NauthHttp *http)
{
	return &http->stats;
}

/* One try; again is set if another one may do better. */
static bool
try_once(NauthHttp *http, const NauthRequest *request, int64_t deadline,
		 NauthTransferReply *reply, NauthError *error)
{
	int64_t		own = nauth_clock() + http->request_timeout * INT64CONST(1000);
	bool		done;

	http->stats.requests++;
	done = nauth_transfer_get(http->transfer, request, Min(own, deadline),
							  reply, error);
	if (!done)
		return false;
	for (size_t i = 0; i < lengthof(busy_statuses); i++)
	{
		if (busy_statuses[i].status == reply->status)
		{
			error->status = reply->status;
			reply->again = true;
			return nauth_error_set(error, busy_statuses[i].kind, busy_statuses[i].reason);
		}
	}
	return true;
}

/* Wait before another try; false, at once, if the deadline comes first. */
static bool
back_off(NauthHttp *http, int try, const NauthTransferReply *reply,
		 int64_t deadline)
{
	int64_t		now = nauth_clock();
	int64_t		most = Min(BACKOFF_FIRST << (try - 1), BACKOFF_LAST);
	int64_t		wait = pg_prng_uint64_range(&pg_global_prng_state, 0, most);

	if (reply->retry_after > 0)
		wait = reply->retry_after * INT64CONST(1000000);
	else if (reply->status == 429 && reply->retry_own > 0)
		wait = reply->retry_own * INT64CONST(1000000);
	if (wait >= deadline - now)
		return false;
	nauth_wait(-1, now + wait);
	return true;
}

bool
nauth_http_get(NauthHttp *http, const NauthRequest *request, int64_t deadline,
			   NauthReply *reply, NauthError *error)
{
	NauthErrorKind kind;
	NauthTransferReply got;

	memset(error, 0, sizeof(*error));
	if (request->overflow)
		return nauth_error_set(error, NAUTH_ERROR_REQUEST,
							   "a value is too long or has a control character");
	kind = url_check(request->url, http->allowed_url, nauth_allowed_urls);
	if (kind != NAUTH_OK)
		return nauth_error_set(error, kind, kind == NAUTH_ERROR_MEMORY ? "out of memory" :
							   "it is not below an allowed URL");

	if (nauth_clock() >= deadline)
		return nauth_error_set(error, NAUTH_ERROR_TIMEOUT, "no time is left for a request");

	for (int try = 1; !try_once(http, request, deadline, &got, error); try++)
	{
		if (!got.again || try == NAUTH_HTTP_TRIES ||
			!back_off(http, try, &got, deadline))
			return false;
		http->stats.retries++;
	}
	reply->status = got.status;
	reply->body = got.body;
	return true;
}
