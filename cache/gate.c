/*-------------------------------------------------------------------------
 *
 * gate.c
 *	  When requests may be sent to a provider, for all backends with the same
 *	  credential.
 *
 * Both limits are keys that expire, so that no clock but Redis's own counts:
 * who can set the one of the pace may send a request, who cannot waits for its
 * end.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "cache/gate.h"
#include "wait.h"

/*
 * The longest silence that is shared, in microseconds: what a provider asks
 * for may be nonsense, and then somebody has to try again.
 */
#define SILENCE_MAX		INT64CONST(60000000)

typedef struct Gate
{
	NauthGate	gate;			/* has to be the first */
	NauthCache *cache;			/* or NULL */
	NauthHealth *health;
	NauthRedisExchange *exchange;
	int64_t		interval;		/* microseconds between two requests, or 0 */
	char		silence_key[NAUTH_CACHE_KEY];
	char		pace_key[NAUTH_CACHE_KEY];
} Gate;

/*
 * Ask Redis.  False if it is of no use, else *wait says how many microseconds
 * there are to wait before the next attempt; 0 is leave to send a request.
 */
static bool
ask_redis(Gate *gate, int64_t *wait)
{
	NauthRedisExchange *exchange = gate->exchange;
	char		milliseconds[24];
	int			silence;
	int			pace = -1;
	int			pace_left = -1;

	nauth_redis_reset(exchange);
	silence = nauth_redis_command(exchange, NAUTH_REDIS_INTEGER, "PTTL", gate->silence_key, NULL);
	if (gate->interval > 0)
	{
		snprintf(milliseconds, sizeof(milliseconds), INT64_FORMAT, gate->interval / 1000);
		pace = nauth_redis_command(exchange, NAUTH_REDIS_OK_OR_NIL, "SET", gate->pace_key, "1",
								   "NX", "PX", milliseconds, NULL);
		pace_left = nauth_redis_command(exchange, NAUTH_REDIS_INTEGER, "PTTL", gate->pace_key, NULL);
	}
	if (!nauth_health_may_write(gate->health) || !nauth_cache_run(gate->cache, exchange))
		return false;

	/* -1 is a key without an end, which is not ours; -2 is none */
	*wait = nauth_redis_integer(exchange, silence) * 1000;
	if (*wait > 0)
		*wait += pg_prng_uint64_range(&pg_global_prng_state, 0, *wait / 4);
	else if (pace >= 0 && !nauth_redis_done(exchange, pace))
		*wait = Max(nauth_redis_integer(exchange, pace_left), 1) * 1000;
	*wait = Min(Max(*wait, 0), SILENCE_MAX);
	return true;
}

/* The same of this session alone. */
static int64_t
ask_memory(Gate *gate)
{
	NauthHealth *health = gate->health;
	int64_t		now = nauth_clock();

	if (now < health->not_before)
		return health->not_before - now;
	if (now < health->next_request)
		return health->next_request - now;
	health->next_request = now + gate->interval;
	return 0;
}

static bool
gate_pass(NauthGate *arg, int64_t deadline, int64_t patience)
{
	Gate	   *gate = (Gate *) arg;

	for (;;)
	{
		int64_t		now = nauth_clock();
		int64_t		wait = 0;

		if (now < gate->health->not_before || gate->cache == NULL || !ask_redis(gate, &wait))
			wait = ask_memory(gate);
		if (wait == 0)
			return true;
		if (wait > patience || wait >= deadline - now)
			return false;
		(void) nauth_wait(-1, now + wait);
	}
}

static void
gate_close(NauthGate *arg, int64_t silence)
{
	Gate	   *gate = (Gate *) arg;
	char		milliseconds[24];

	silence = Min(silence, SILENCE_MAX);
	gate->health->not_before = nauth_clock() + silence;
	if (gate->cache == NULL || silence < 1000 || !nauth_health_may_write(gate->health))
		return;
	snprintf(milliseconds, sizeof(milliseconds), INT64_FORMAT, silence / 1000);
	nauth_redis_reset(gate->exchange);
	nauth_redis_command(gate->exchange, NAUTH_REDIS_OK, "SET", gate->silence_key, "1",
						"PX", milliseconds, NULL);
	(void) nauth_cache_run(gate->cache, gate->exchange);
}

NauthGate *
nauth_gate_open(const NauthConnectionId *id, NauthCache *cache, int requests)
{
	Gate	   *gate = palloc0(sizeof(Gate));

	gate->gate.pass = gate_pass;
	gate->gate.close = gate_close;
	gate->cache = cache;
	gate->health = nauth_health_get(id);
	/* whole milliseconds, for that is what Redis counts */
	gate->interval = requests > 0 ? (1000 + requests - 1) / requests * INT64CONST(1000) : 0;
	if (cache)
	{
		gate->exchange = nauth_redis_exchange();
		nauth_cache_key(cache, "b", gate->silence_key);
		nauth_cache_key(cache, "r", gate->pace_key);
	}
	return &gate->gate;
}
