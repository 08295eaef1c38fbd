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
#include "datatype/timestamp.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "http.h"
#include "net/transfer.h"
#include "net/url.h"
#include "wait.h"

#define BACKOFF_FIRST	INT64CONST(200000)	/* microseconds */
#define BACKOFF_LAST	INT64CONST(5000000)

/* The longest pause for who is in a hurry. */
#define HURRY_PAUSE		INT64CONST(500000)

/* What came in the background is used for so many times as long as a try takes. */
#define KEPT_FOR		6

/* A time-out that is noticed so soon after it. */
#define ON_TIME			INT64CONST(100000)

typedef enum CallState
{
	CALL_REFUSED,				/* it may never be sent */
	CALL_WAITING,				/* to be sent */
	CALL_SENT,
	CALL_ANSWERED,
	CALL_FAILED					/* this try did */
} CallState;

struct NauthCall
{
	NauthConnectionUser user;	/* has to be the first */
	NauthHttp  *http;
	NauthCall  *next;
	NauthTransfer *transfer;
	void	   *carrier;		/* of the connection that is shared */
	NauthBody	body;

	CallState	state;
	bool		background;		/* nobody waits for it yet */
	int			tries;
	int64_t		not_before;		/* in the background */
	int64_t		longest;		/* a try in the background */
	int64_t		begun;			/* the last try */
	int64_t		pause;			/* to be made after that */
	int64_t		paused_since;
	NauthTransferReply got;
	NauthError	error;

	NauthRequest request;
	char		target[NAUTH_URL_MAX];
};

struct NauthHttp
{
	NauthHttpOptions options;
	MemoryContext cxt;
	MemoryContextCallback on_reset; /* ends all calls */
	NauthCall  *calls;
	NauthCall  *spare;			/* freed, with all they once needed */
	NauthCall  *last;			/* of nauth_http_send */
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

/* End what it does with a connection, of which it may be the reason to fail. */
static void
leave(NauthCall *call, bool failed)
{
	nauth_transfer_cancel(call->transfer);
	nauth_connection_leave(&call->user, failed);
}

/* Give up what was begun in the background; the end of the call begins anew. */
static void
yield(NauthConnectionUser *user)
{
	NauthCall  *call = (NauthCall *) user;

	call->state = CALL_WAITING;
	call->tries = 0;
	call->not_before = PG_INT64_MAX;
	leave(call, false);
}

/* A process that ends leaves all to the kernel. */
static void
end_calls(void *arg)
{
	NauthHttp  *http = arg;

	if (proc_exit_inprogress)
		return;
	for (NauthCall *call = http->calls; call; call = call->next)
	{
		leave(call, false);
		explicit_bzero(&call->request, sizeof(NauthRequest));
		nauth_transfer_free_body(&call->body);
	}
	for (NauthCall *call = http->spare; call; call = call->next)
		nauth_transfer_free_body(&call->body);
}

NauthHttp *
nauth_http_open(const NauthHttpOptions *options)
{
	NauthHttp  *http = palloc0(sizeof(NauthHttp));

	http->options = *options;
	http->cxt = CurrentMemoryContext;
	http->on_reset.func = end_calls;
	http->on_reset.arg = http;
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

/* ---- One try */

/* How long to wait before another try, after this one. */
static int64_t
pause_after(int try, const NauthTransferReply *reply)
{
	if (reply->retry_after > 0)
		return reply->retry_after * USECS_PER_SEC;
	if (reply->status == 429 && reply->retry_own > 0)
		return reply->retry_own * USECS_PER_SEC;
	return pg_prng_uint64_range(&pg_global_prng_state, 0, Min(BACKOFF_FIRST << (try - 1), BACKOFF_LAST));
}

/* Send it over the connection that it shares. */
static void
send_request(NauthCall *call, int64_t deadline)
{
	NauthHttp  *http = call->http;
	NauthTransferCall try = {
		.request = &call->request,
		.target = call->target,
		.connect_timeout = http->options.connect_timeout,
		.idle_timeout = http->options.connection.idle_timeout,
		.keep = http->options.concurrency,
		.deadline = deadline,
		.wanted = http->options.headers,
		.body = &call->body,
	};

	http->stats.requests++;
	call->tries++;
	call->begun = nauth_clock();
	call->state = CALL_SENT;
	nauth_transfer_begin(call->transfer, call->carrier, &try);
}

/* Whether a reply to this call says by its body that there are too many requests. */
static bool
says_busy(const NauthCall *call)
{
	const NauthHttpOptions *options = &call->http->options;
	NauthReply	reply = {
		.status = call->got.status,
		.body = {call->body.data, call->body.len},
	};

	return options->is_busy != NULL && options->is_busy(options->busy_arg, &reply);
}

/* Have the call tried again, for this reason. */
static void
mark_busy(NauthCall *call, NauthErrorKind kind, const char *reason)
{
	call->error.status = call->got.status;
	call->got.again = true;
	call->state = CALL_FAILED;
	nauth_error_set(&call->error, kind, reason);
}

/* The try has ended: find out how. */
static void
read_end(NauthCall *call)
{
	NauthHttp  *http = call->http;
	NauthTransferReply *got = &call->got;
	bool		whole = nauth_transfer_end(call->transfer, got, &call->error);

	leave(call, !whole);
	http->stats.bytes += call->body.len;
	call->state = whole ? CALL_ANSWERED : CALL_FAILED;
	for (size_t i = 0; whole && i < lengthof(busy_statuses); i++)
	{
		if (busy_statuses[i].status == got->status)
			mark_busy(call, busy_statuses[i].kind, busy_statuses[i].reason);
	}
	if (call->state == CALL_ANSWERED && says_busy(call))
		mark_busy(call, NAUTH_ERROR_RATE_LIMIT, "too many requests");
	if (whole)
	{
		http->stats.skew = got->skew;
		http->stats.dated = got->dated;
	}
	call->paused_since = nauth_clock();
	call->pause = got->again ? pause_after(call->tries, got) : 0;

	/* when the provider wants silence, that is for all who would ask it */
	if (got->again && call->error.kind == NAUTH_ERROR_RATE_LIMIT)
		http->options.gate->close(http->options.gate, call->pause);
}

/* ---- In the background */

/* Send it, if that may be done now. */
static void
try_to_send(NauthCall *call)
{
	NauthHttp  *http = call->http;
	int64_t		wait;

	/* one at a time is for who waits for it */
	if (call->state != CALL_WAITING || nauth_clock() < call->not_before || http->options.concurrency == 1)
		return;
	if (call->user.connection == NULL)
		call->carrier = nauth_connection_join(&call->user, &http->options.connection, &provider_connection,
											  http->options.concurrency);
	if (call->user.connection == NULL)
		return;

	/* Redis must not have it leave meanwhile */
	call->user.yield = NULL;
	wait = http->options.gate->ask(http->options.gate);
	if (wait == 0)
		send_request(call, nauth_clock() + call->longest);
	else
	{
		call->not_before = nauth_clock() + wait;
		nauth_transfer_put_off(call->transfer, call->carrier, call->not_before);
	}
	call->user.yield = yield;
}

/* A call that nothing was done for yet. */
static NauthCall *
take_call(NauthHttp *http, const NauthRequest *request)
{
	NauthCall  *call = http->spare;
	NauthCall **end = &http->calls;

	if (call)
		http->spare = call->next;
	else
	{
		MemoryContext old = MemoryContextSwitchTo(http->cxt);

		call = palloc0(sizeof(NauthCall));
		call->transfer = nauth_transfer_make();
		call->http = http;
		MemoryContextSwitchTo(old);
	}

	/* at the end, for who comes first may be sent first */
	while (*end)
		end = &(*end)->next;
	*end = call;
	call->next = NULL;

	call->state = CALL_WAITING;
	call->background = false;
	call->tries = 0;
	call->not_before = 0;
	call->body.len = 0;
	memset(&call->got, 0, sizeof(call->got));
	memset(&call->error, 0, sizeof(NauthError));
	memcpy(&call->request, request, sizeof(NauthRequest));
	if (request->overflow)
	{
		call->state = CALL_REFUSED;
		nauth_error_set(&call->error, NAUTH_ERROR_REQUEST, "a value is too long or has a control character");
	}
	else if (!nauth_url_check(request->url, http->options.own_urls, call->target, &call->error))
		call->state = CALL_REFUSED;
	return call;
}

NauthCall *
nauth_http_begin(NauthHttp *http, const NauthRequest *request, int64_t longest)
{
	NauthCall  *call = take_call(http, request);

	call->longest = Min(longest, http->options.request_timeout * INT64CONST(1000));
	call->background = true;
	try_to_send(call);
	return call;
}

bool
nauth_http_done(NauthCall *call)
{
	/*
	 * also what waits to be sent moves the others on: the descriptor is
	 * theirs, too
	 */
	if (call->user.connection && nauth_transfer_move(call->transfer))
		read_end(call);

	/* noticed on time, so somebody has waited for it: to ask anew is no use */
	if (call->state == CALL_FAILED && call->error.kind == NAUTH_ERROR_TIMEOUT &&
		nauth_clock() - call->begun < call->longest + ON_TIME)
		call->background = false;
	try_to_send(call);
	return call->user.connection == NULL;
}

int
nauth_http_descriptor(const NauthCall *call)
{
	return call->user.connection ? nauth_transfer_descriptor(call->carrier) : -1;
}

bool
nauth_http_asks(const NauthCall *call, const NauthRequest *request)
{
	return strcmp(call->request.url, request->url) == 0 &&
		strcmp(call->request.body, request->body) == 0 &&
		call->request.overflow == request->overflow;
}

bool
nauth_http_is_outdated(const NauthCall *call, const NauthRequest *request)
{
	return strcmp(call->request.headers, request->headers) != 0;
}

void
nauth_http_free(NauthCall *call)
{
	NauthHttp  *http = call->http;
	NauthCall **link = &http->calls;

	leave(call, false);
	explicit_bzero(&call->request, sizeof(NauthRequest));
	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	call->next = http->spare;
	http->spare = call;
}

/* ---- To the end */

/* Wait that long; false, at once, if it is too long. */
static bool
back_off(NauthCall *call, int64_t deadline)
{
	NauthHttp  *http = call->http;
	int64_t		now = nauth_clock();
	int64_t		pause = call->paused_since + call->pause - now;

	if (pause >= deadline - now || pause > patience(http, call->error.kind == NAUTH_ERROR_RATE_LIMIT))
		return false;
	if (pause > 0)
		nauth_wait(-1, now + pause);
	http->stats.paused += Max(pause, 0);
	return true;
}

/*
 * Send it when it may be sent, which is when the time of the try begins.  False
 * with the error set if that is too late.
 */
static bool
send_when_allowed(NauthCall *call, int64_t deadline)
{
	NauthHttp  *http = call->http;
	NauthGate  *gate = http->options.gate;
	int64_t		start = nauth_clock();
	bool		passed = gate->pass(gate, deadline, patience(http, true));
	int64_t		now = nauth_clock();

	http->stats.paused += now - start;
	if (!passed)
	{
		memset(&call->error, 0, sizeof(NauthError));
		return nauth_error_set(&call->error, NAUTH_ERROR_RATE_LIMIT, "too many requests");
	}
	if (call->user.connection == NULL)
		call->carrier = nauth_connection_join(&call->user, &http->options.connection, &provider_connection, 0);
	send_request(call, Min(deadline, nauth_clock() + http->options.request_timeout * INT64CONST(1000)));
	return true;
}

/* Wait for the end of the try; others that may be sent meanwhile are. */
static void
wait_for_end(NauthCall *call)
{
	while (!nauth_transfer_move(call->transfer))
	{
		for (NauthCall *other = call->http->calls; other; other = other->next)
			if (other->background)
				try_to_send(other);
		nauth_transfer_wait(call->transfer);
	}
	read_end(call);
}

/*
 * Somebody waits for it from now on.  What was tried in the background counts as
 * a try, unless it is of no use: it took too long, or was received long ago, or
 * failed in a way that a connection may have that rested.
 */
static void
take_over(NauthCall *call, int64_t deadline)
{
	int64_t		timeout = call->http->options.request_timeout * INT64CONST(1000);
	bool		useless;

	call->background = false;
	if (call->state == CALL_SENT && nauth_transfer_move(call->transfer))
		read_end(call);
	useless = call->tries > 0 &&
		((call->state == CALL_FAILED && !call->got.again) ||
		 nauth_clock() - call->begun > timeout * KEPT_FOR);
	if (useless)
	{
		leave(call, false);
		call->state = CALL_WAITING;
		call->tries = 0;
	}
	call->user.yield = NULL;
	if (call->state == CALL_SENT)
		nauth_transfer_due(call->transfer, Min(deadline, nauth_clock() + timeout));
}

/* True when it is answered; else the call's error says why not. */
static bool
end_call(NauthCall *call, int64_t deadline)
{
	if (call->background)
		take_over(call, deadline);
	if (call->state != CALL_ANSWERED && nauth_clock() >= deadline)
		return nauth_error_set(&call->error, NAUTH_ERROR_TIMEOUT, "no time is left for a request");
	for (;;)
	{
		if (call->state == CALL_WAITING && !send_when_allowed(call, deadline))
			return false;
		if (call->state == CALL_SENT)
			wait_for_end(call);
		if (call->state == CALL_ANSWERED)
			return true;
		if (!call->got.again || call->tries >= NAUTH_HTTP_TRIES || !back_off(call, deadline))
			return false;
		call->http->stats.retries++;
		call->state = CALL_WAITING;
	}
}

bool
nauth_http_end(NauthCall *call, int64_t deadline, NauthReply *reply, NauthError *error)
{
	bool		answered = false;

	if (call->state != CALL_REFUSED)
	{
		PG_TRY();
		{
			answered = end_call(call, deadline);
		}
		PG_CATCH();
		{
			/* a connection that was waited for in vain is not worth keeping */
			call->state = CALL_WAITING;
			leave(call, true);
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	/* it holds no connection while others go on, such as with the cache */
	if (!answered)
		leave(call, false);
	*error = call->error;
	reply->asked_at = call->begun;
	reply->status = call->got.status;
	reply->other_type = call->got.other_type;
	strlcpy(reply->request_id, call->got.request_id, sizeof(reply->request_id));
	reply->header = call->got.header;
	reply->body.data = call->body.data;
	reply->body.len = call->body.len;
	return answered;
}

bool
nauth_http_send(NauthHttp *http, const NauthRequest *request, int64_t deadline,
				NauthReply *reply, NauthError *error)
{
	if (http->last)
		nauth_http_free(http->last);
	http->last = take_call(http, request);
	return nauth_http_end(http->last, deadline, reply, error);
}
