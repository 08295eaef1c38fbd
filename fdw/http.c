/*-------------------------------------------------------------------------
 *
 * http.c
 *	  Which requests may be sent, and how often they are tried.
 *
 * The transfer itself is in net/transfer.c.  Here is the policy around it: no
 * byte leaves for a URL that may not be asked, and the tries end with the
 * deadline whatever the provider asks for.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "http.h"
#include "net/transfer.h"
#include "net/url.h"
#include "wait.h"

#define BACKOFF_FIRST	INT64CONST(200000)	/* microseconds */
#define BACKOFF_LAST	INT64CONST(5000000)

/* The longest pause for who is in a hurry. */
#define HURRY_PAUSE		INT64CONST(500000)

struct NauthHttp
{
	NauthHttpOptions options;
	NauthBody	body;
	MemoryContextCallback on_reset; /* frees body */
	NauthHurry	hurry;
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

static const NauthConnectionKind provider_connection = {
	.name = "provider",
	.open = nauth_transfer_open,
	.close = nauth_transfer_close,
	.sockets = nauth_transfer_sockets,
};

/* One try on its way through nauth_connection_use. */
typedef struct Try
{
	NauthTransferCall call;
	NauthTransferReply *reply;
	NauthError *error;
} Try;

NauthHttp *
nauth_http_open(const NauthHttpOptions *options)
{
	NauthHttp  *http = palloc0(sizeof(NauthHttp));

	http->options = *options;
	http->on_reset.func = nauth_transfer_free_body;
	http->on_reset.arg = &http->body;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &http->on_reset);
	return http;
}

void
nauth_http_hurry(NauthHttp *http, NauthHurry hurry)
{
	http->hurry = hurry;
}

/* The longest pause, in microseconds, for silence or for anything else. */
static int64_t
patience(const NauthHttp *http, bool silence)
{
	if (http->hurry == NAUTH_HURRY_ALWAYS || (silence && http->hurry == NAUTH_HURRY_SILENCE))
		return HURRY_PAUSE;
	return PG_INT64_MAX;
}

const NauthHttpStats *
nauth_http_stats(const NauthHttp *http)
{
	return &http->stats;
}

static bool
transfer(void *handle, void *arg)
{
	Try		   *try = arg;

	return nauth_transfer_get(handle, &try->call, try->reply, try->error);
}

/*
 * One try; reply->again is set if another one may do better.  Its own deadline
 * begins when it may be sent.
 */
static bool
try_once(NauthHttp *http, const NauthRequest *request, const char *target,
		 int64_t deadline, NauthTransferReply *reply, NauthError *error)
{
	NauthGate  *gate = http->options.gate;
	Try			try = {
		.call = {
			.request = request,
			.target = target,
			.connect_timeout = http->options.connect_timeout,
			.idle_timeout = http->options.connection.idle_timeout,
			.retry_header = http->options.retry_header,
			.id_header = http->options.id_header,
			.body = &http->body,
		},
		.reply = reply,
		.error = error,
	};

	memset(reply, 0, sizeof(*reply));
	if (!gate->pass(gate, deadline, patience(http, true)))
		return nauth_error_set(error, NAUTH_ERROR_RATE_LIMIT, "too many requests");
	try.call.deadline = Min(deadline, nauth_clock() + http->options.request_timeout * INT64CONST(1000));
	http->stats.requests++;
	if (!nauth_connection_use(&http->options.connection, &provider_connection,
							  transfer, &try))
		return false;
	http->stats.skew = reply->skew;
	http->stats.dated = reply->dated;
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

/* How long to wait before another try, after this one. */
static int64_t
pause_after(int try, const NauthTransferReply *reply)
{
	if (reply->retry_after > 0)
		return reply->retry_after * INT64CONST(1000000);
	if (reply->status == 429 && reply->retry_own > 0)
		return reply->retry_own * INT64CONST(1000000);
	return pg_prng_uint64_range(&pg_global_prng_state, 0, Min(BACKOFF_FIRST << (try - 1), BACKOFF_LAST));
}

/* Wait that long; false, at once, if it is too long. */
static bool
back_off(int64_t pause, int64_t patience, int64_t deadline)
{
	int64_t		now = nauth_clock();

	if (pause >= deadline - now || pause > patience)
		return false;
	nauth_wait(-1, now + pause);
	return true;
}

static void
set_reply(const NauthHttp *http, const NauthTransferReply *got, NauthReply *reply)
{
	reply->status = got->status;
	reply->other_type = got->other_type;
	strlcpy(reply->request_id, got->request_id, sizeof(reply->request_id));
	reply->body.data = http->body.data;
	reply->body.len = http->body.len;
}

bool
nauth_http_get(NauthHttp *http, const NauthRequest *request, int64_t deadline,
			   NauthReply *reply, NauthError *error)
{
	char		target[NAUTH_URL_MAX];
	NauthTransferReply got;
	NauthGate  *gate = http->options.gate;

	memset(error, 0, sizeof(*error));
	memset(reply, 0, sizeof(*reply));
	if (request->overflow)
		return nauth_error_set(error, NAUTH_ERROR_REQUEST,
							   "a value is too long or has a control character");
	if (!nauth_url_check(request->url, http->options.allowed_url, target, error))
		return false;
	if (nauth_clock() >= deadline)
		return nauth_error_set(error, NAUTH_ERROR_TIMEOUT, "no time is left for a request");

	for (int try = 1; !try_once(http, request, target, deadline, &got, error); try++)
	{
		int64_t		pause = got.again ? pause_after(try, &got) : 0;

		/* when the provider wants silence, that is for all who would ask it */
		if (got.again && got.status == 429)
			gate->close(gate, pause);
		if (!got.again || try == NAUTH_HTTP_TRIES ||
			!back_off(pause, patience(http, got.status == 429), deadline))
		{
			set_reply(http, &got, reply);
			return false;
		}
		http->stats.retries++;
	}
	set_reply(http, &got, reply);
	return true;
}
