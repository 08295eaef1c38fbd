/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  The right to fetch the next page for all.
 *
 * A lease only spares requests.  It runs out by itself, and is given back only
 * by who still has it.  While the provider wants silence, nobody takes one
 * merely to wait with it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cache/shared_state.h"
#include "wait.h"

/* One attempt, and the numbers of its commands. */
typedef struct Attempt
{
	int			lease;
	int			silence;
	char		ttl[FIELD_MAX];
	char		silence_key[NAUTH_CACHE_KEY];
} Attempt;

static NauthShared *of_session = NULL;

void
nauth_shared_enlist(NauthShared *shared)
{
	shared->next_of_session = of_session;
	of_session = shared;
}

void
nauth_shared_delist(NauthShared *shared)
{
	NauthShared **link = &of_session;

	while (*link != shared)
		link = &(*link)->next_of_session;
	*link = shared->next_of_session;
}

/*
 * Take the lease over from another listing of this session, which cannot go on while
 * this one waits for it.
 */
static bool
take_from_ourselves(NauthShared *shared)
{
	for (NauthShared *other = of_session; other; other = other->next_of_session)
	{
		if (other == shared || other->lease_until <= nauth_clock() ||
			strcmp(other->lease_key, shared->lease_key) != 0)
			continue;
		shared->lease_until = other->lease_until;
		other->lease_until = 0;
		return true;
	}
	return false;
}

void
nauth_shared_release(NauthShared *shared)
{
	if (shared->lease_until > nauth_clock())
		(void) nauth_cache_run(shared->cache, shared->release);
	shared->lease_until = 0;
}

/* Begin the control exchange with an attempt to get the lease, or to prolong ours. */
static void
begin_attempt(NauthShared *shared, Attempt *attempt)
{
	NauthRedisExchange *control = shared->control;

	nauth_redis_reset(control);
	nauth_cache_key(shared->cache, NAUTH_CACHE_SILENCE, attempt->silence_key);
	attempt->lease = nauth_redis_command(control, NAUTH_REDIS_OK_OR_NIL, "SET", shared->lease_key, "1",
										 "PX", nauth_shared_number(LEASE_TTL, attempt->ttl), NULL);
	if (shared->lease_until <= nauth_clock())
		nauth_redis_word(control, "NX", 2);
	attempt->silence = nauth_redis_command(control, NAUTH_REDIS_TEXT, "GET", attempt->silence_key, NULL);
}

static NauthLease
run_attempt(NauthShared *shared, const Attempt *attempt)
{
	int64_t		until = nauth_clock() + LEASE_TTL * INT64CONST(1000);

	if (!nauth_health_may_write(shared->cache->health) ||
		!nauth_cache_run(shared->cache, shared->control))
		return NAUTH_LEASE_FAULT;
	if (nauth_redis_done(shared->control, attempt->lease))
		shared->lease_until = until;
	else if (!take_from_ourselves(shared))
		return NAUTH_LEASE_OTHERS;
	/* what Redis has lost is remembered here */
	shared->silence = Max(nauth_cache_silence(shared->cache, nauth_redis_text(shared->control, attempt->silence, 0)),
						  nauth_shared_own_silence(shared));
	if (shared->silence == 0)
		return NAUTH_LEASE_OURS;
	nauth_shared_release(shared);
	return NAUTH_LEASE_SILENCE;
}

/* An epoch is made if there is none, or one that cannot be read. */
NauthLease
nauth_shared_take_lease(NauthShared *shared)
{
	Attempt		attempt;
	char		key[NAUTH_CACHE_KEY];
	char		text[NAUTH_SEAL_NAME];
	char		ttl[FIELD_MAX];
	uint8_t		epoch[NAUTH_SEAL_ID];

	if (!nauth_seal_random(epoch, sizeof(epoch)))
		return NAUTH_LEASE_FAULT;
	nauth_seal_write_id(epoch, text);
	nauth_cache_key(shared->cache, NAUTH_CACHE_EPOCH, key);
	begin_attempt(shared, &attempt);
	nauth_redis_command(shared->control, NAUTH_REDIS_OK_OR_NIL, "SET", key, text,
						"PX", nauth_shared_number(NAUTH_CACHE_EPOCH_TTL, ttl), NULL);
	if (!shared->bad_epoch)
		nauth_redis_word(shared->control, "NX", 2);
	return run_attempt(shared, &attempt);
}

/*
 * Who gets it has to be sure that others will find the page: the generation is
 * whole, not forgotten, and has not rested.  *present says that the page is
 * there after all, and then the lease is not kept.
 */
NauthLease
nauth_shared_take_next(NauthShared *shared, bool *present)
{
	NauthRedisExchange *control = shared->control;
	Attempt		attempt;
	NauthLease	lease;
	char		pages_key[NAUTH_CACHE_KEY];
	char		epoch_key[NAUTH_CACHE_KEY];
	char		head_key[NAUTH_CACHE_KEY];
	uint8_t		id[NAUTH_SEAL_ID];
	int			epoch;
	int			length;
	int			head;
	int64_t		more;

	*present = false;
	begin_attempt(shared, &attempt);
	nauth_cache_key(shared->cache, NAUTH_CACHE_EPOCH, epoch_key);
	epoch = nauth_redis_command(control, NAUTH_REDIS_TEXT, "GET", epoch_key, NULL);
	length = nauth_redis_command(control, NAUTH_REDIS_INTEGER, "HLEN",
								 nauth_shared_pages_key(shared, shared->generation, pages_key), NULL);
	head = nauth_redis_command(control, NAUTH_REDIS_INTEGER, "PTTL",
							   nauth_shared_key(shared, ":n", head_key), NULL);
	lease = run_attempt(shared, &attempt);
	if (lease == NAUTH_LEASE_FAULT)
		return lease;
	more = nauth_redis_integer(control, length) - 2 * shared->progress.pages;
	if (more == 0 && nauth_redis_integer(control, head) > 0 &&
		nauth_seal_read_id(nauth_redis_text(control, epoch, 0), id) &&
		memcmp(id, shared->epoch, NAUTH_SEAL_ID) == 0)
		return lease;
	nauth_shared_release(shared);
	*present = more > 0;
	return *present ? NAUTH_LEASE_OTHERS : NAUTH_LEASE_GONE;
}

/* Whether a head that was received is of this generation. */
static bool
is_head_of(NauthSpan head, const uint8_t generation[NAUTH_SEAL_ID])
{
	NauthSealPlace place;

	return head.data && nauth_seal_peek(head, &place) &&
		memcmp(place.generation, generation, NAUTH_SEAL_ID) == 0;
}

/*
 * The lease has run out while the provider was asked.  The page is of use only
 * if nobody has gone on without us, or begun anew.
 */
bool
nauth_shared_may_put(NauthShared *shared)
{
	NauthRedisExchange *control = shared->control;
	char		complete_key[NAUTH_CACHE_KEY];
	char		growing_key[NAUTH_CACHE_KEY];
	NauthSpan	heads[2];
	int			complete;
	int			growing;

	if (shared->lease_until > nauth_clock() || shared->forced || shared->wanted.single)
		return true;
	nauth_redis_reset(control);
	complete = nauth_redis_command(control, NAUTH_REDIS_TEXT, "GET",
								   nauth_shared_key(shared, ":c", complete_key), NULL);
	growing = nauth_redis_command(control, NAUTH_REDIS_TEXT, "GET",
								  nauth_shared_key(shared, ":n", growing_key), NULL);
	if (!nauth_cache_run(shared->cache, control))
		return false;
	heads[0] = nauth_redis_text(control, complete, 0);
	heads[1] = nauth_redis_text(control, growing, 0);
	if (shared->progress.pages > 0)
		return is_head_of(heads[1], shared->generation);
	return heads[1].data == NULL &&
		(heads[0].data == NULL || (shared->has_stale && is_head_of(heads[0], shared->stale_generation)));
}
