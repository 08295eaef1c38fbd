/*-------------------------------------------------------------------------
 *
 * finding.c
 *	  Which generation of a shared listing to read, and its pages.
 *
 * All that has to be known is asked in one exchange: for a user, the page itself
 * comes with it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cache/shared_state.h"

/* Pages asked for at once: twice as many each time, up to these. */
#define WINDOW_PAGES	16
#define WINDOW_BYTES	(1024 * 1024)

static int
next_window(const NauthShared *shared)
{
	int			most = WINDOW_BYTES / Max(shared->page_bytes, 1);

	return Max(1, Min(Min(2 * shared->window_count, WINDOW_PAGES), most));
}

/* Ask for the pages from the next one on, as one window. */
bool
nauth_shared_receive(NauthShared *shared)
{
	NauthRedisExchange *window = shared->window;
	char		key[NAUTH_CACHE_KEY];
	char		fields[2 * WINDOW_PAGES][FIELD_MAX];

	nauth_redis_reset(window);
	shared->window_command = nauth_redis_command(window, NAUTH_REDIS_TEXTS, "HMGET",
												 nauth_shared_pages_key(shared, shared->generation, key), NULL);
	shared->window_first = shared->progress.pages;
	shared->window_count = next_window(shared);
	for (int i = 0; i < shared->window_count; i++)
	{
		int64_t		page = shared->window_first + i;

		nauth_redis_field(window, nauth_shared_field(page, false, fields[2 * i]));
		if (shared->wanted.wide)
			nauth_redis_field(window, nauth_shared_field(page, true, fields[2 * i + 1]));
	}
	return nauth_cache_run_large(shared->cache, window);
}

/* The halves of the next page in the window; data is NULL for one not there. */
void
nauth_shared_look(const NauthShared *shared, NauthSpan *narrow, NauthSpan *wide)
{
	int			halves = shared->wanted.wide ? 2 : 1;
	int			place = (int) (shared->progress.pages - shared->window_first) * halves;

	*narrow = nauth_redis_text(shared->window, shared->window_command, place);
	*wide = shared->wanted.wide ? nauth_redis_text(shared->window, shared->window_command, place + 1) :
		*narrow;
}

static bool
is_usable_when_stale(const NauthShared *shared, const NauthCodecProgress *progress)
{
	return nauth_cache_now() - progress->started_at <
		shared->cache->options.stale_ttl * INT64CONST(1000);
}

/* Read this generation from its first page on. */
void
nauth_shared_read(NauthShared *shared, const uint8_t *generation, bool complete)
{
	memmove(shared->generation, generation, NAUTH_SEAL_ID);
	shared->complete = complete;
	shared->window_count = 0;
	shared->phase = PHASE_READING;
}

static void
remember_stale(NauthShared *shared, const uint8_t *generation, const NauthCodecProgress *progress)
{
	shared->has_stale = is_usable_when_stale(shared, progress);
	memcpy(shared->stale_generation, generation, NAUTH_SEAL_ID);
}

static bool
is_gone(const NauthShared *shared, const NauthSealPlace *place)
{
	return shared->has_gone && memcmp(shared->gone, place->generation, NAUTH_SEAL_ID) == 0;
}

/* What the head of the complete listing says; true if that is all one needs. */
static bool
consider_complete(NauthShared *shared, NauthSpan element)
{
	NauthSealPlace place;
	NauthCodecHead head;
	bool		fresh;

	if (!nauth_shared_open_head(shared, ":c", element, &place, &head) || is_gone(shared, &place))
		return false;
	fresh = !shared->wanted.refill &&
		nauth_shared_fresh(shared, place.generation, head.progress.fresh_from, false);
	if (head.state == NAUTH_CODEC_TOO_LARGE)
	{
		shared->info.too_large = fresh && head.progress.bytes > shared->cache->options.max_bytes;
		if (shared->info.too_large)
			nauth_shared_direct(shared);
		return shared->info.too_large;
	}
	if (head.state != NAUTH_CODEC_COMPLETE)
		return nauth_shared_corrupt(shared);
	if (fresh)
		nauth_shared_read(shared, place.generation, true);
	else
		remember_stale(shared, place.generation, &head.progress);
	return fresh;
}

/* The same of a listing that is growing, or was until a moment ago. */
static bool
consider_growing(NauthShared *shared, NauthSpan element)
{
	NauthSealPlace place;
	NauthCodecHead head;

	if (shared->wanted.refill || !nauth_shared_open_head(shared, ":n", element, &place, &head) ||
		head.state != NAUTH_CODEC_GROWING || is_gone(shared, &place) ||
		!nauth_shared_fresh(shared, place.generation, head.progress.fresh_from, false))
		return false;
	nauth_shared_read(shared, place.generation, false);
	return true;
}

/* The one page of a query that has one, which comes with the first exchange. */
static bool
consider_single(NauthShared *shared)
{
	const NauthCodecPage *page = shared->page;
	NauthSpan	narrow;
	NauthSpan	wide;
	uint8_t		generation[NAUTH_SEAL_ID] = {0};

	nauth_shared_look(shared, &narrow, &wide);
	if (!nauth_shared_open_page(shared, narrow, wide, generation))
		return false;
	if (!shared->wanted.refill &&
		nauth_shared_fresh(shared, generation, page->progress.fresh_from, page->count == 0))
	{
		nauth_shared_read(shared, generation, true);
		shared->window_count = 1;
		return true;
	}
	if (page->count > 0)
		remember_stale(shared, generation, &page->progress);
	return false;
}

/*
 * Look for something to read; if there is, the phase changes.  False if Redis
 * is of no use.
 */
bool
nauth_shared_find(NauthShared *shared)
{
	NauthRedisExchange *window = shared->window;
	char		epoch_key[NAUTH_CACHE_KEY];
	char		keys[2][NAUTH_CACHE_KEY];
	int			epoch;
	int			heads[2] = {0};
	NauthSpan	text;

	nauth_redis_reset(window);
	nauth_cache_key(shared->cache, NAUTH_CACHE_EPOCH, epoch_key);
	epoch = nauth_redis_command(window, NAUTH_REDIS_TEXT, "GET", epoch_key, NULL);
	if (shared->wanted.single)
	{
		shared->window_first = 0;
		shared->window_command = nauth_redis_command(window, NAUTH_REDIS_TEXTS, "HMGET",
													 nauth_shared_key(shared, "", keys[0]), NULL);
		nauth_redis_field(window, "0");
		if (shared->wanted.wide)
			nauth_redis_field(window, "0r");
	}
	else
	{
		heads[0] = nauth_redis_command(window, NAUTH_REDIS_TEXT, "GET",
									   nauth_shared_key(shared, ":c", keys[0]), NULL);
		heads[1] = nauth_redis_command(window, NAUTH_REDIS_TEXT, "GET",
									   nauth_shared_key(shared, ":n", keys[1]), NULL);
	}
	if (!nauth_cache_run(shared->cache, window))
		return false;
	text = nauth_redis_text(window, epoch, 0);
	shared->has_epoch = nauth_seal_read_id(text, shared->epoch);
	shared->bad_epoch = text.data && !shared->has_epoch;
	if (shared->wanted.single)
		(void) consider_single(shared);
	else if (!consider_complete(shared, nauth_redis_text(window, heads[0], 0)))
		(void) consider_growing(shared, nauth_redis_text(window, heads[1], 0));
	return true;
}
