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
#include "datatype/timestamp.h"

#include "cache/shared_state.h"
#include "wait.h"

/* Microseconds of waiting for another session. */
#define POLL_MIN		20000
#define POLL_MAX		100000
#define GROWTH_MAX		(10 * USECS_PER_SEC)
#define SILENCE_POLL	USECS_PER_SEC

/* A shorter silence is waited for where it is met. */
#define SILENCE_MIN		INT64CONST(400000)

/* Give back what the context does not: the lease, without waiting, and memory. */
static void
release_all(void *arg)
{
	NauthShared *shared = arg;

	nauth_shared_delist(shared);
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
	nauth_shared_enlist(shared);
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
	shared->promised = false;
	if (page->last)
		shared->phase = PHASE_ENDED;
	else if (shared->phase == PHASE_LEADING)
	{
		shared->phase = PHASE_READING;
		shared->led = true;
	}
}

/* Wait for that and a moment; the budget of the query is spent on it. */
static void
wait_a_moment(NauthShared *shared, int64_t pause, int64_t deadline)
{
	int64_t		now = nauth_clock();

	pause += pg_prng_uint64_range(&pg_global_prng_state, POLL_MIN, POLL_MAX);

	(void) nauth_wait(-1, Min(now + pause, deadline));
	shared->info.waited += nauth_clock() - now;
}

/*
 * Wait for the session that has the lease.  If it makes no way for long, though
 * the lease of a dead one runs out, do without it.
 */
static void
wait_for_other(NauthShared *shared, int64_t deadline)
{
	int64_t		now = nauth_clock();

	if (shared->waiting_since == 0)
	{
		shared->waiting_since = now;
		nauth_cache_count(shared->cache, NAUTH_CACHE_WAITS, 1);
	}
	/* half of what is left is for asking the provider ourselves */
	if (now - shared->waiting_since > Min(GROWTH_MAX, (deadline - shared->waiting_since) / 2))
		nauth_shared_direct(shared);
	else
		wait_a_moment(shared, 0, deadline);
}

/* Wait until the provider may be asked again, which is nobody's fault. */
static void
wait_for_silence(NauthShared *shared, int64_t deadline)
{
	shared->waiting_since = 0;
	if (nauth_clock() >= deadline)
		nauth_shared_direct(shared);
	else
		wait_a_moment(shared, Min(shared->silence, SILENCE_POLL), deadline);
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
 * Without the lease that is for those who want no other's pages, or cannot
 * write theirs and yet may have to fall back on the stale listing.
 */
static void
step_finding(NauthShared *shared, int64_t deadline)
{
	bool		leads = shared->lease_until != 0 || shared->forced;
	NauthLease	lease;

	if (!nauth_shared_find(shared))
		nauth_shared_direct(shared);
	if (shared->phase != PHASE_FINDING)
	{
		nauth_shared_release(shared);
		return;
	}
	if (leads && shared->has_epoch)
	{
		begin_generation(shared);
		return;
	}
	lease = leads ? NAUTH_LEASE_FAULT : nauth_shared_take_lease(shared);
	if (lease == NAUTH_LEASE_OTHERS && !shared->wanted.refill)
	{
		if (nauth_shared_has_stale(shared))
			go_stale(shared);
		else
			wait_for_other(shared, deadline);
	}
	else if (lease == NAUTH_LEASE_OTHERS && nauth_shared_own_silence(shared) > 0)
	{
		shared->silence = nauth_shared_own_silence(shared);
		wait_for_silence(shared, deadline);
	}
	else if (lease == NAUTH_LEASE_SILENCE && !nauth_shared_has_stale(shared))
		wait_for_silence(shared, deadline);
	else if (lease == NAUTH_LEASE_FAULT && (leads || !nauth_shared_has_stale(shared)))
	{
		nauth_shared_release(shared);
		nauth_shared_direct(shared);
	}
	else
		shared->forced = lease != NAUTH_LEASE_OURS;
}

/* Delete the generation, for it leads nowhere. */
static void
drop_generation(NauthShared *shared)
{
	char		key[NAUTH_CACHE_KEY];

	if (!nauth_health_may_write(shared->cache->health))
		return;
	nauth_redis_reset(shared->control);
	nauth_redis_command(shared->control, NAUTH_REDIS_INTEGER, "DEL",
						nauth_shared_pages_key(shared, shared->generation, key), NULL);
	(void) nauth_cache_run(shared->cache, shared->control);
}

/*
 * A page that has to be there is not, or is none.  Nobody can read this
 * generation, so it goes; before its first page was read, another one will do.
 */
static void
go_elsewhere(NauthShared *shared)
{
	nauth_shared_release(shared);
	drop_generation(shared);
	nauth_shared_lost(shared);
	if (shared->progress.pages > 0 || shared->info.stale || shared->has_gone)
		return;
	shared->has_gone = true;
	memcpy(shared->gone, shared->generation, NAUTH_SEAL_ID);
	shared->phase = PHASE_FINDING;
}

/* The next page is not there yet: fetch it, unless somebody does already. */
static void
step_growing(NauthShared *shared, int64_t deadline)
{
	bool		present;

	switch (nauth_shared_take_next(shared, &present))
	{
		case NAUTH_LEASE_OURS:
			go_leading(shared);
			break;
		case NAUTH_LEASE_OTHERS:
			if (!present)
				wait_for_other(shared, deadline);
			else if (shared->promised)
				go_elsewhere(shared);	/* there are others, but not the next */
			shared->promised = present;
			break;
		case NAUTH_LEASE_SILENCE:
			wait_for_silence(shared, deadline);
			break;
		case NAUTH_LEASE_GONE:
			nauth_shared_lost(shared);
			break;
		case NAUTH_LEASE_FAULT:
			nauth_shared_direct(shared);
			break;
	}
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
	if (narrow.data == NULL && !shared->complete && shared->progress.pages > 0)
	{
		shared->window_count = 0;
		step_growing(shared, deadline);
		return false;
	}
	/* twice, for it may have been memory that was missing */
	/* NOLINTNEXTLINE(misc-redundant-expression) */
	if (!nauth_shared_open_page(shared, narrow, wide, shared->generation) &&
		!nauth_shared_open_page(shared, narrow, wide, shared->generation))
	{
		go_elsewhere(shared);
		return false;
	}
	if (shared->progress.pages == 0)
		shared->info.age = Max(0, nauth_cache_now() - shared->page->progress.started_at);
	shared->page_bytes = narrow.len + (shared->wanted.wide ? wide.len : 0);
	nauth_shared_accept(shared, shared->page);
	return true;
}

void
nauth_shared_begin(NauthShared *shared, const char *query, const NauthSharedWanted *wanted)
{
	NauthCache *cache = shared->cache;
	NauthSpan	parts[] = {
		{"query", strlen("query")},
		{query, strlen(query)},
	};
	char		name[NAUTH_SEAL_NAME];

	nauth_shared_release(shared);
	shared->wanted = *wanted;
	shared->phase = PHASE_FINDING;
	memset(&shared->info, 0, sizeof(shared->info));
	shared->info.age = -1;
	shared->forced = shared->promised = shared->has_epoch = false;
	shared->has_stale = shared->has_gone = false;
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
				*page = shared->page;
				return NAUTH_SHARED_PAGE;
			case PHASE_LEADING:
				return NAUTH_SHARED_LEAD;
			case PHASE_ENDED:
				return NAUTH_SHARED_END;
			case PHASE_DIRECT:
				return NAUTH_SHARED_DIRECT;
		}
	}
}

void
nauth_shared_give_up(NauthShared *shared, bool for_all)
{
	if (for_all && shared->progress.pages > 0)
		drop_generation(shared);
	nauth_shared_release(shared);
	nauth_shared_direct(shared);
}

int64_t
nauth_shared_own_silence(const NauthShared *shared)
{
	int64_t		silence = shared->cache->health->not_before - nauth_clock();

	return silence < SILENCE_MIN ? 0 : silence;
}

bool
nauth_shared_put_off(NauthShared *shared)
{
	if (nauth_shared_own_silence(shared) == 0)
		return false;
	nauth_shared_release(shared);

	/*
	 * the lease has to be asked for again, for there the silence is waited
	 * for
	 */
	shared->forced = false;
	if (shared->progress.pages > 0)
		shared->phase = PHASE_READING;
	else
	{
		memset(&shared->progress, 0, sizeof(shared->progress));
		shared->phase = PHASE_FINDING;
	}
	return true;
}

bool
nauth_shared_has_stale(const NauthShared *shared)
{
	return shared->has_stale && !shared->wanted.refill && shared->progress.pages == 0;
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
