/*-------------------------------------------------------------------------
 *
 * http.h
 *	  HTTP requests that can be cancelled, within deadlines.
 *
 * A client belongs to a memory context, which owns the replies.  The connections
 * are the session's (net/connection.h) and outlive it.
 *
 * A request can be begun and its reply be waited for later: a call.  In the
 * background it is tried once, and only if no rule would have it wait; whatever
 * comes of that, its end gives what a request begun then would give.
 *
 * Policy that no caller can change: https unless neon_auth_fdw.allowed_urls
 * has an http entry, certificates verified, TLS 1.2 or later, no redirect, no
 * proxy, no .netrc, no cookie; reply bounded while it arrives; no link-local
 * address.  Retries are for 429, what says the same by its body, 502, 503, 504
 * and connections that failed or broke (not for time-outs or a rejected
 * certificate), with full jitter, at most NAUTH_HTTP_TRIES tries in all, and
 * never beyond a deadline.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_HTTP_H
#define NAUTH_HTTP_H

#include "error.h"
#include "net/connection.h"
#include "net/transfer.h"
#include "request.h"

#define NAUTH_HTTP_TRIES	4

typedef struct NauthHttp NauthHttp;

/*
 * Who else sends requests to the same provider, with the same credential, has
 * to be considered before each one, and told when the provider wants silence.
 */
typedef struct NauthGate NauthGate;

/*
 * Microseconds until a request may be sent; 0: now, and it has to be.  Asked in
 * vain before that.
 */
typedef int64_t (*NauthGateAsk) (NauthGate *gate);

/*
 * Wait until a request may be sent.  False if that would not be before the
 * deadline of nauth_clock(), or longer than patience, in microseconds.
 */
typedef bool (*NauthGatePass) (NauthGate *gate, int64_t deadline, int64_t patience);

/* For so many microseconds no request may be sent. */
typedef void (*NauthGateClose) (NauthGate *gate, int64_t silence);

struct NauthGate
{
	NauthGateAsk ask;
	NauthGatePass pass;
	NauthGateClose close;
};

/* Whether a reply says by its body what status 429 does. */
typedef bool (*NauthHttpBusy) (const void *busy_arg, const NauthReply *reply);

typedef struct NauthHttpOptions
{
	const char *const *own_urls;	/* of the provider, as in nauth_url_check */
	NauthHeadersWanted headers;
	NauthHttpBusy is_busy;		/* or NULL: only the status says so */
	const void *busy_arg;
	NauthConnectionId connection;
	int			connect_timeout;	/* milliseconds, of one try */
	int			request_timeout;	/* milliseconds, of one try */
	int			concurrency;	/* requests of a session in flight at once, by
								 * which none in the background is begun */
	NauthGate  *gate;
} NauthHttpOptions;

typedef struct NauthHttpStats
{
	int64_t		requests;		/* tries sent */
	int64_t		retries;		/* of these, after a failed one */
	int64_t		bytes;			/* of bodies received, decompressed */
	int64_t		paused;			/* microseconds that went by before requests
								 * could be sent */
	int64_t		skew;			/* seconds by which our clock is ahead of the
								 * provider's, by its last reply */
	bool		dated;			/* which has told */
} NauthHttpStats;

/*
 * Make a client, without any I/O, owned by the current memory context.  What
 * options point to must live as long.
 */
extern NauthHttp *nauth_http_open(const NauthHttpOptions *options);

/*
 * Send a request and wait for the reply, retrying as said above.  deadline is
 * absolute, of nauth_clock() (wait.h).  True with reply set whenever the
 * provider answered with a status that is not to be retried, 404 and 401
 * included; its bytes live until the next call.  False with error set (kind,
 * status) otherwise; reply then is what came last, with status 0 if nothing
 * did, and may be cut.  Raises an error for an interrupt, or when the server has
 * no descriptor or memory left for a connection.
 */
extern bool nauth_http_send(NauthHttp *http, const NauthRequest *request,
							int64_t deadline, NauthReply *reply,
							NauthError *error);

/* A request whose reply may still have to come; of a client. */
typedef struct NauthCall NauthCall;

/*
 * Send a request without waiting, if that may be done now; longest, in microseconds,
 * bounds the try, as the option does.  request is copied.
 * Whatever is wrong with it is told at its end.  Raises an error for an
 * interrupt, or when the server has no memory left for a connection.
 *
 * "Without waiting" leaves out Redis, which may be asked whether a request may
 * be sent: that takes up to its time-out.
 */
extern NauthCall *nauth_http_begin(NauthHttp *http, const NauthRequest *request,
								   int64_t longest);

/*
 * Move it on without waiting.  True when waiting for its descriptor is of no
 * use any more: the reply is there, or the try has failed, or for want of
 * descriptors it was not begun.
 */
extern bool nauth_http_done(NauthCall *call);

/*
 * A descriptor that becomes readable when nauth_http_done is to be called, also
 * when a call may be sent that had to wait for that; -1 when it is done.  Another
 * after each nauth_http_done.
 */
extern int	nauth_http_descriptor(const NauthCall *call);

/*
 * Wait for the reply, as nauth_http_send does.  Its bytes live until the call is
 * freed.  A reply that came long ago, or did not come while nobody moved it on, is
 * asked for anew.
 */
extern bool nauth_http_end(NauthCall *call, int64_t deadline,
						   NauthReply *reply, NauthError *error);

/* Whether it was begun with this very request, whatever its token. */
extern bool nauth_http_asks(const NauthCall *call, const NauthRequest *request);

/* Whether it was sent with other headers than these: an earlier token. */
extern bool nauth_http_is_outdated(const NauthCall *call, const NauthRequest *request);

/* Forget a call, also one that is in flight. */
extern void nauth_http_free(NauthCall *call);

/* What to fail for rather than make a long pause before a try. */
typedef enum NauthHurry
{
	NAUTH_HURRY_NOT,
	NAUTH_HURRY_SILENCE,		/* that the provider wants silence */
	NAUTH_HURRY_ALWAYS			/* whatever it is for */
} NauthHurry;

extern void nauth_http_hurry(NauthHttp *http, NauthHurry hurry);

extern const NauthHttpStats *nauth_http_stats(const NauthHttp *http);

#endif							/* NAUTH_HTTP_H */
