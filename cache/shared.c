/*-------------------------------------------------------------------------
 *
 * shared.c
 *	  A listing in the cache, which all backends that want it read together.
 *
 * Nothing in Redis is believed: a page is taken if it opens with our
 * credential, at its place, and goes on where the page before it ended.  The
 * lease only spares the provider requests; should two sessions fetch the same
 * page, the first to write it wins and the other one takes that.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "cache/shared_state.h"
#include "wait.h"

/* Microseconds of waiting for another session. */
#define POLL_MIN		20000
#define POLL_MAX		100000
#define GROWTH_MAX		(2 * LEASE_TTL * INT64CONST(1000))

/* Give back what the context does not: the lease, without waiting, and memory. */
static void
release_all(void *arg)
{
	NauthShared *shared = arg;

	if (shared->lease_until > nauth_clock())
		nauth_redis_send_last(shared->release, &shared->cache->options.redis);
	nauth_bytes_free(&shared->narrow);
	nauth_bytes_free(&shared->wide);
	nauth_bytes_free(&shared->scratch);
	for (int i = 0; i < lengthof(shared->elements); i++)
		nauth_bytes_free(&shared->elements[i]);
}

NauthShared *
nauth_shared_open(NauthCache *cache)
{
	NauthShared *shared = palloc0(sizeof(NauthShared));

	shared->cache = cache;
	shared->window = nauth_redis_exchange();
	shared->control = nauth_redis_exchange();
	shared->release = nauth_redis_exchange();
	shared->page = palloc(sizeof(NauthCodecPage));
	shared->phase = PHASE_DIRECT;
	shared->on_reset.func = release_all;
	shared->on_reset.arg = shared;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &shared->on_reset);
	return shared;
}

void
nauth_shared_direct(NauthShared *shared)
{
	shared->phase = PHASE_DIRECT;
}

/* The listing is not what it was a moment ago. */
void
nauth_shared_lost(NauthShared *shared)
{
	nauth_cache_count(shared->cache, NAUTH_CACHE_LOST, 1);
	nauth_shared_direct(shared);
}

/* Take note of the page that was read or written, and that others follow. */
void
nauth_shared_accept(NauthShared *shared, const NauthCodecPage *page)
{
	shared->progress = page->progress;
	strlcpy(shared->next, page->next, sizeof(shared->next));
	shared->waiting_since = 0;
	if (page->last)
		shared->phase = PHASE_ENDED;
	else if (shared->phase == PHASE_LEADING)
	{
		shared->phase = PHASE_READING;
		shared->led = true;
	}
}

/* Give the lease back, if we have it. */
void
nauth_shared_release(NauthShared *shared)
{
	if (shared->lease_until > nauth_clock())
		(void) nauth_cache_run(shared->cache, shared->release);
	shared->lease_until = 0;
}

/* Add the attempt to get the lease to the control exchange. */
static int
ask_for_lease(NauthShared *shared, char ttl[FIELD_MAX])
{
	return nauth_redis_command(shared->control, NAUTH_REDIS_OK_OR_NIL, "SET", shared->lease_key,
							   "1", "NX", "PX", nauth_shared_number(LEASE_TTL, ttl), NULL);
}

/* Run the control exchange; whether that command of it got us the lease. */
static bool
got_lease(NauthShared *shared, int command)
{
	int64_t		until = nauth_clock() + LEASE_TTL * INT64CONST(1000);

	if (!nauth_cache_run(shared->cache, shared->control))
		nauth_shared_direct(shared);
	else if (nauth_redis_done(shared->control, command))
	{
		shared->lease_until = until;
		return true;
	}
	return false;
}

/*
 * Wait a moment for the session that has the lease.  One that makes no way for
 * long, though the lease of a dead one runs out, is not waited for.
 */
static void
wait_for_other(NauthShared *shared, int64_t deadline)
{
	int64_t		now = nauth_clock();
	int64_t		pause = pg_prng_uint64_range(&pg_global_prng_state, POLL_MIN, POLL_MAX);

	if (shared->waiting_since == 0)
	{
		shared->waiting_since = now;
		nauth_cache_count(shared->cache, NAUTH_CACHE_WAITS, 1);
	}
	if (now - shared->waiting_since > GROWTH_MAX || now >= deadline)
		nauth_shared_direct(shared);
	else
		(void) nauth_wait(-1, Min(now + pause, deadline));
}

/* Send an attempt to get the lease, and the epoch if there is none; true if got. */
static bool
take_lease(NauthShared *shared)
{
	NauthRedisExchange *control = shared->control;
	char		epoch_key[NAUTH_CACHE_KEY];
	char		epoch_text[NAUTH_SEAL_NAME];
	char		ttl[FIELD_MAX];
	char		epoch_ttl[FIELD_MAX];
	uint8_t		epoch[NAUTH_SEAL_ID];
	int			lease;

	if (!nauth_seal_random(epoch, sizeof(epoch)))
		return false;
	nauth_seal_write_id(epoch, epoch_text);
	nauth_cache_key(shared->cache, "e", epoch_key);
	nauth_redis_reset(control);
	lease = ask_for_lease(shared, ttl);
	nauth_redis_command(control, NAUTH_REDIS_OK_OR_NIL, "SET", epoch_key, epoch_text, "NX",
						"PX", nauth_shared_number(NAUTH_CACHE_EPOCH_TTL, epoch_ttl), NULL);
	return got_lease(shared, lease);
}

static void
go_leading(NauthShared *shared)
{
	shared->asked_at = nauth_cache_now();
	shared->phase = PHASE_LEADING;
}

static void
begin_generation(NauthShared *shared)
{
	if (!nauth_seal_random(shared->generation, NAUTH_SEAL_ID))
	{
		nauth_shared_direct(shared);
		return;
	}
	shared->complete = false;
	go_leading(shared);
	shared->progress.started_at = shared->progress.fresh_from = shared->asked_at;
}

static void
go_stale(NauthShared *shared)
{
	shared->info.stale = true;
	memset(&shared->progress, 0, sizeof(shared->progress));
	nauth_shared_read(shared, shared->stale_generation, true);
}

/*
 * Look for a generation to read.  If there is none, get the lease and look
 * again, for somebody may have been quicker; who then finds none begins one.
 */
static void
step_finding(NauthShared *shared, int64_t deadline)
{
	bool		leads = shared->lease_until != 0 || shared->forced;

	if (!nauth_shared_find(shared))
		nauth_shared_direct(shared);
	if (shared->phase != PHASE_FINDING)
		nauth_shared_release(shared);
	else if (leads && shared->has_epoch)
		begin_generation(shared);
	else if (leads || !nauth_health_may_write(shared->cache->health))
		nauth_shared_direct(shared);
	else if (!take_lease(shared) && shared->phase == PHASE_FINDING)
	{
		if (shared->wanted.refill)
			shared->forced = true;
		else if (shared->has_stale)
			go_stale(shared);
		else
			wait_for_other(shared, deadline);
	}
}

/* The next page is not there yet: fetch it, unless somebody does already. */
static void
step_growing(NauthShared *shared, int64_t deadline)
{
	NauthRedisExchange *control = shared->control;
	char		key[NAUTH_CACHE_KEY];
	char		epoch_key[NAUTH_CACHE_KEY];
	char		ttl[FIELD_MAX];
	uint8_t		epoch[NAUTH_SEAL_ID];
	int			lease;
	int			epoch_command;
	int			length;
	int64_t		missing;

	if (!nauth_health_may_write(shared->cache->health))
	{
		nauth_shared_direct(shared);
		return;
	}
	nauth_redis_reset(control);
	nauth_cache_key(shared->cache, "e", epoch_key);
	lease = ask_for_lease(shared, ttl);
	epoch_command = nauth_redis_command(control, NAUTH_REDIS_TEXT, "GET", epoch_key, NULL);
	length = nauth_redis_command(control, NAUTH_REDIS_INTEGER, "HLEN",
								 nauth_shared_pages_key(shared, shared->generation, key), NULL);
	if (!got_lease(shared, lease) && shared->phase == PHASE_DIRECT)
		return;
	missing = 2 * shared->progress.pages - nauth_redis_integer(control, length);
	if (missing > 0 ||
		!nauth_seal_read_id(nauth_redis_text(control, epoch_command, 0), epoch) ||
		memcmp(epoch, shared->epoch, NAUTH_SEAL_ID) != 0)
	{
		/* it vanished, or was forgotten: others will not find what we add */
		nauth_shared_release(shared);
		nauth_shared_lost(shared);
	}
	else if (missing < 0)
		nauth_shared_release(shared);
	else if (shared->lease_until != 0)
		go_leading(shared);
	else
		wait_for_other(shared, deadline);
}

/* Read the next page if it is there; true with shared->page set. */
static bool
step_reading(NauthShared *shared, int64_t deadline)
{
	NauthSpan	narrow;
	NauthSpan	wide;

	if (shared->led)
	{
		/* the last page was ours, so the next one is probably not there */
		shared->led = false;
		step_growing(shared, deadline);
		return false;
	}
	if (shared->progress.pages >= shared->window_first + shared->window_count &&
		!nauth_shared_receive(shared))
	{
		nauth_shared_direct(shared);
		return false;
	}
	nauth_shared_look(shared, &narrow, &wide);
	if (narrow.data == NULL && !shared->complete)
	{
		shared->window_count = 0;
		step_growing(shared, deadline);
		return false;
	}
	if (!nauth_shared_open_page(shared, narrow, wide, shared->generation))
	{
		nauth_shared_lost(shared);
		return false;
	}
	if (shared->progress.pages == 0)
		shared->info.age = Max(0, nauth_cache_now() - shared->page->progress.started_at);
	shared->page_bytes = narrow.len + (shared->wanted.wide ? wide.len : 0);
	nauth_shared_accept(shared, shared->page);
	return true;
}

/* Each query is counted once, by how it began. */
static void
count_query(NauthShared *shared, NauthCacheCounter counter)
{
	if (!shared->counted)
		nauth_cache_count(shared->cache, counter, 1);
	shared->counted = true;
}

void
nauth_shared_begin(NauthShared *shared, const NauthSharedWanted *wanted)
{
	NauthCache *cache = shared->cache;
	NauthSpan	parts[] = {
		{"query", strlen("query")},
		{wanted->query, strlen(wanted->query)},
	};
	char		name[NAUTH_SEAL_NAME];

	nauth_shared_release(shared);
	shared->wanted = *wanted;
	shared->phase = PHASE_FINDING;
	memset(&shared->info, 0, sizeof(shared->info));
	shared->info.age = -1;
	shared->forced = shared->counted = shared->has_stale = shared->has_epoch = false;
	shared->waiting_since = 0;
	shared->window_count = 0;
	shared->led = false;
	memset(&shared->progress, 0, sizeof(shared->progress));
	shared->next[0] = '\0';
	if (!nauth_seal_name(&cache->keys, parts, lengthof(parts), name))
		nauth_shared_direct(shared);
	nauth_cache_key(cache, name, shared->name);
	nauth_shared_key(shared, ":l", shared->lease_key);
	nauth_redis_reset(shared->release);
	nauth_redis_command(shared->release, NAUTH_REDIS_INTEGER, "DEL", shared->lease_key, NULL);
}

NauthSharedStep
nauth_shared_next(NauthShared *shared, int64_t deadline, const NauthCodecPage **page)
{
	*page = NULL;
	for (;;)
	{
		switch (shared->phase)
		{
			case PHASE_FINDING:
				step_finding(shared, deadline);
				break;
			case PHASE_READING:
				if (!step_reading(shared, deadline))
					break;
				count_query(shared, shared->info.stale ? NAUTH_CACHE_STALE : NAUTH_CACHE_HITS);
				*page = shared->page;
				return NAUTH_SHARED_PAGE;
			case PHASE_LEADING:
				count_query(shared, NAUTH_CACHE_MISSES);
				return NAUTH_SHARED_LEAD;
			case PHASE_ENDED:
				return NAUTH_SHARED_END;
			case PHASE_DIRECT:
				count_query(shared, NAUTH_CACHE_MISSES);
				return NAUTH_SHARED_DIRECT;
		}
	}
}

void
nauth_shared_give_up(NauthShared *shared)
{
	nauth_shared_release(shared);
	nauth_shared_direct(shared);
}

bool
nauth_shared_has_stale(const NauthShared *shared)
{
	return shared->has_stale && shared->progress.pages == 0;
}

bool
nauth_shared_use_stale(NauthShared *shared)
{
	char		ttl[FIELD_MAX];

	if (!nauth_shared_has_stale(shared))
		return false;
	/* the lease stays, so that others leave the provider alone */
	nauth_redis_reset(shared->control);
	nauth_redis_command(shared->control, NAUTH_REDIS_OK, "SET", shared->lease_key, "1",
						"PX", nauth_shared_number(LEASE_TTL, ttl), NULL);
	(void) nauth_cache_run(shared->cache, shared->control);
	shared->lease_until = 0;
	go_stale(shared);
	return true;
}

NauthSharedInfo
nauth_shared_info(const NauthShared *shared)
{
	return shared->info;
}
