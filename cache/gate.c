/*-------------------------------------------------------------------------
 *
 * gate.c
 *	  When requests may be sent to a provider, for all backends with the same
 *	  credential.
 *
 * The pace is a key that expires: who can set it may send a request, who cannot
 * waits for its end.  Silence is sealed, for it may last a minute.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "datatype/timestamp.h"

#include "cache/gate.h"
#include "wait.h"

/* The longest interval between two requests, in microseconds. */
#define INTERVAL_MAX	USECS_PER_SEC

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

/* The pace of this session alone: microseconds to wait; 0 takes the slot. */
static int64_t
ask_memory_pace(Gate *gate)
{
	int64_t		now = nauth_clock();
	int64_t		wait = gate->health->next_request - now;

	if (wait > 0)
		return wait;
	gate->health->next_request = now + gate->interval;
	return 0;
}

/*
 * Ask Redis.  False if it is of no use, else *silence and *pace say how many
 * microseconds there are to wait; 0 and 0 is leave to send a request.
 */
static bool
ask_redis(Gate *gate, int64_t *silence, int64_t *pace)
{
	NauthRedisExchange *exchange = gate->exchange;
	char		milliseconds[24];
	int			silence_command;
	int			set = -1;
	int			left = -1;

	nauth_redis_reset(exchange);
	silence_command = nauth_redis_command(exchange, NAUTH_REDIS_TEXT, "GET", gate->silence_key, NULL);
	if (gate->interval > 0)
	{
		snprintf(milliseconds, sizeof(milliseconds), INT64_FORMAT, gate->interval / 1000);
		set = nauth_redis_command(exchange, NAUTH_REDIS_OK_OR_NIL, "SET", gate->pace_key, "1",
								  "NX", "PX", milliseconds, NULL);
		left = nauth_redis_command(exchange, NAUTH_REDIS_INTEGER, "PTTL", gate->pace_key, NULL);
	}
	if (!nauth_health_may_write(gate->health) || !nauth_cache_run(gate->cache, exchange))
		return false;

	*silence = nauth_cache_silence(gate->cache, nauth_redis_text(exchange, silence_command, 0));
	*pace = 0;
	if (set < 0 || nauth_redis_done(exchange, set))
		return true;
	*pace = nauth_redis_integer(exchange, left) * 1000;
	/* one without an end, or with a late one, is not a key that we have made */
	if (*pace == -1000 || *pace > INTERVAL_MAX)
		*pace = ask_memory_pace(gate);
	else
		*pace = Max(*pace, 1000);
	return true;
}

/* How long the two have to be waited for; 0 and 0 is leave to send a request. */
static void
ask(Gate *gate, int64_t *silence, int64_t *pace)
{
	*silence = Max(0, gate->health->not_before - nauth_clock());
	*pace = 0;
	if (*silence == 0 && (gate->cache == NULL || !ask_redis(gate, silence, pace)))
		*pace = ask_memory_pace(gate);
}

static int64_t
gate_ask(NauthGate *arg)
{
	int64_t		silence;
	int64_t		pace;

	ask((Gate *) arg, &silence, &pace);
	return Max(silence, pace);
}

static bool
gate_pass(NauthGate *arg, int64_t deadline, int64_t patience)
{
	Gate	   *gate = (Gate *) arg;

	for (;;)
	{
		int64_t		now = nauth_clock();
		int64_t		silence;
		int64_t		wait;

		ask(gate, &silence, &wait);
		if (silence == 0 && wait == 0)
			return true;
		if (silence > patience)
		{
			/* whoever is impatient wants to know why */
			gate->health->not_before = now + silence;
			return false;
		}
		/* not all who waited for its end at the same moment */
		wait = Max(wait, silence + pg_prng_uint64_range(&pg_global_prng_state, 0, silence / 4));
		if (wait >= deadline - now)
			return false;
		(void) nauth_wait(-1, now + wait);
	}
}

static void
gate_close(NauthGate *arg, int64_t silence)
{
	Gate	   *gate = (Gate *) arg;
	char		element[NAUTH_SEAL_OVERHEAD];
	char		milliseconds[24];

	silence = Min(silence, NAUTH_CACHE_SILENCE_MAX);
	gate->health->not_before = nauth_clock() + silence;
	if (gate->cache == NULL || silence < 1000 || !nauth_health_may_write(gate->health) ||
		!nauth_cache_seal_silence(gate->cache, nauth_cache_now() + silence, element))
		return;
	snprintf(milliseconds, sizeof(milliseconds), INT64_FORMAT, silence / 1000);
	nauth_redis_reset(gate->exchange);
	nauth_redis_command(gate->exchange, NAUTH_REDIS_OK, "SET", gate->silence_key, NULL);
	nauth_redis_word(gate->exchange, element, sizeof(element));
	nauth_redis_word(gate->exchange, "PX", 2);
	nauth_redis_word(gate->exchange, milliseconds, strlen(milliseconds));
	(void) nauth_cache_run(gate->cache, gate->exchange);
}

NauthGate *
nauth_gate_open(const NauthConnectionId *id, NauthCache *cache, int requests)
{
	Gate	   *gate = palloc0(sizeof(Gate));

	gate->gate.ask = gate_ask;
	gate->gate.pass = gate_pass;
	gate->gate.close = gate_close;
	gate->cache = cache;
	gate->health = nauth_health_get(id);
	/* whole milliseconds, for that is what Redis counts */
	gate->interval = requests > 0 ? (1000 + requests - 1) / requests * INT64CONST(1000) : 0;
	if (cache)
	{
		gate->exchange = nauth_redis_exchange();
		nauth_cache_key(cache, NAUTH_CACHE_SILENCE, gate->silence_key);
		nauth_cache_key(cache, NAUTH_CACHE_PACE, gate->pace_key);
	}
	return &gate->gate;
}
