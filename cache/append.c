/*-------------------------------------------------------------------------
 *
 * append.c
 *	  Add a page to a shared listing, and end its growth.
 *
 * A page is written only if it is not there yet, together with the head that
 * tells of it, and the lease is given back in the same moment.  The listing it
 * replaces stays for a while for those who are reading it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cache/shared_state.h"
#include "fault_point.h"
#include "wait.h"

/*
 * What a page adds to the time that its listing is fresh for: as long as it took
 * to get, but not how long its session stood still, in microseconds.
 */
#define CREDIT_MAX	(LEASE_TTL * INT64CONST(1000))

/* elements[] */
enum
{
	ELEMENT_NARROW, ELEMENT_WIDE, ELEMENT_HEAD
};

/* The keys and numbers of an exchange, which has to outlive what names them. */
typedef struct Words
{
	char		pages[NAUTH_CACHE_KEY];
	char		head[NAUTH_CACHE_KEY];
	char		growing[NAUTH_CACHE_KEY];
	char		retired[NAUTH_CACHE_KEY];
	char		narrow[FIELD_MAX];
	char		wide[FIELD_MAX];
	char		ttl[FIELD_MAX]; /* of the pages */
	char		head_ttl[FIELD_MAX];
	char		retired_ttl[FIELD_MAX];
} Words;

static int64_t
written(const NauthShared *shared)
{
	int64_t		bytes = 0;

	for (int i = 0; i < lengthof(shared->elements); i++)
		bytes += shared->elements[i].len;
	return bytes;
}

/*
 * Encode and seal a page into shared->elements.  How many bytes the listing has
 * then is part of the page, so its narrow half is encoded twice.
 */
static bool
close_page(NauthShared *shared, NauthCodecPage *page, const Words *words, int64_t life)
{
	NauthBytes *elements = shared->elements;
	int64_t		until = nauth_cache_now() + life * 1000;

	if (!nauth_codec_write_wide(page, &shared->wide, &shared->scratch) ||
		!nauth_shared_close(shared, words->pages, words->wide, until, &shared->wide, &elements[ELEMENT_WIDE]) ||
		!nauth_codec_write_narrow(page, &shared->narrow, &shared->scratch))
		return false;
	page->progress.bytes += elements[ELEMENT_WIDE].len + shared->narrow.len + NAUTH_SEAL_OVERHEAD;
	return nauth_codec_write_narrow(page, &shared->narrow, &shared->scratch) &&
		nauth_shared_close(shared, words->pages, words->narrow, until, &shared->narrow, &elements[ELEMENT_NARROW]);
}

static bool
close_head(NauthShared *shared, NauthCodecState state, const NauthCodecProgress *progress,
		   const char *key, int64_t life)
{
	NauthCodecHead head = {state, *progress};

	return nauth_codec_write_head(&head, &shared->narrow, &shared->scratch) &&
		nauth_shared_close(shared, key, "", nauth_cache_now() + life * 1000, &shared->narrow,
						   &shared->elements[ELEMENT_HEAD]);
}

static void
add_element(NauthShared *shared, int element)
{
	nauth_redis_word(shared->control, shared->elements[element].data, shared->elements[element].len);
}

/* Add "SET head element PX ttl". */
static void
set_head(NauthShared *shared, const Words *words)
{
	nauth_redis_command(shared->control, NAUTH_REDIS_OK, "SET", words->head, NULL);
	add_element(shared, ELEMENT_HEAD);
	nauth_redis_word(shared->control, "PX", 2);
	nauth_redis_word(shared->control, words->head_ttl, strlen(words->head_ttl));
}

/* The stale listing will not be found any more. */
static void
retire_stale(NauthShared *shared, Words *words)
{
	if (shared->has_stale &&
		memcmp(shared->stale_generation, shared->generation, NAUTH_SEAL_ID) != 0)
		nauth_redis_command(shared->control, NAUTH_REDIS_INTEGER, "PEXPIRE",
							nauth_shared_pages_key(shared, shared->stale_generation, words->retired),
							nauth_shared_number(RETIRED_TTL, words->retired_ttl), NULL);
}

/*
 * Run the control exchange; the lease goes with it, if it is ours still, or it is
 * kept for the next page for a while.
 */
static bool
run(NauthShared *shared, bool keep)
{
	char		ttl[FIELD_MAX];
	bool		ours = shared->lease_until > nauth_clock();
	int64_t		until = ours && keep ? nauth_clock() + AHEAD_TTL * INT64CONST(1000) : 0;

	if (ours && keep)
		nauth_redis_command(shared->control, NAUTH_REDIS_INTEGER, "PEXPIRE", shared->lease_key,
							nauth_shared_number(AHEAD_TTL, ttl), NULL);
	else if (ours)
		nauth_redis_command(shared->control, NAUTH_REDIS_INTEGER, "DEL", shared->lease_key, NULL);
	nauth_redis_exec(shared->control);
	NAUTH_FAULT_POINT("unappended");
	if (!nauth_cache_run(shared->cache, shared->control))
	{
		nauth_shared_direct(shared);
		return false;
	}
	NAUTH_FAULT_POINT("appended");
	shared->lease_until = until;
	return true;
}

/* Write down that the listing is more than the cache takes. */
static void
put_too_large(NauthShared *shared, const NauthCodecProgress *progress, Words *words)
{
	int64_t		life = shared->cache->options.ttl;

	nauth_shared_direct(shared);
	if (shared->wanted.single)
		return;
	shared->info.too_large = true;
	nauth_shared_key(shared, ":c", words->head);
	nauth_shared_number(life, words->head_ttl);
	if (!close_head(shared, NAUTH_CODEC_TOO_LARGE, progress, words->head, life))
		return;
	nauth_redis_reset(shared->control);
	nauth_redis_multi(shared->control);
	set_head(shared, words);
	retire_stale(shared, words);
	nauth_redis_command(shared->control, NAUTH_REDIS_INTEGER, "DEL", words->pages, words->growing, NULL);
	(void) run(shared, false);
}

/* The one page of a query replaces whatever was there. */
static void
put_single(NauthShared *shared, const Words *words)
{
	nauth_redis_reset(shared->control);
	nauth_redis_multi(shared->control);
	nauth_redis_command(shared->control, NAUTH_REDIS_INTEGER, "HSET", words->pages, NULL);
	nauth_redis_word(shared->control, words->narrow, strlen(words->narrow));
	add_element(shared, ELEMENT_NARROW);
	nauth_redis_word(shared->control, words->wide, strlen(words->wide));
	add_element(shared, ELEMENT_WIDE);
	nauth_redis_command(shared->control, NAUTH_REDIS_INTEGER, "PEXPIRE", words->pages, words->ttl, NULL);
	if (run(shared, false))
		nauth_cache_count(shared->cache, NAUTH_CACHE_BYTES_WRITTEN, written(shared));
}

/* Add a half of the page, unless there is one; returns the command's number. */
static int
put_half(NauthShared *shared, const Words *words, const char *field, int element)
{
	int			command = nauth_redis_command(shared->control, NAUTH_REDIS_INTEGER, "HSETNX",
											  words->pages, field, NULL);

	add_element(shared, element);
	return command;
}

/*
 * Write a page of a listing.  False if another session has written its own in
 * the meantime, which is the right one then: the next page belongs to that.
 */
static bool
put_page(NauthShared *shared, const NauthCodecPage *page, Words *words, bool ahead)
{
	NauthRedisExchange *control = shared->control;
	int			narrow;
	int			length;

	nauth_redis_reset(control);
	nauth_redis_multi(control);
	narrow = put_half(shared, words, words->narrow, ELEMENT_NARROW);
	put_half(shared, words, words->wide, ELEMENT_WIDE);
	length = nauth_redis_command(control, NAUTH_REDIS_INTEGER, "HLEN", words->pages, NULL);
	nauth_redis_command(control, NAUTH_REDIS_INTEGER, "PEXPIRE", words->pages, words->ttl, NULL);
	set_head(shared, words);
	if (page->last)
	{
		nauth_redis_command(control, NAUTH_REDIS_INTEGER, "DEL", words->growing, NULL);
		retire_stale(shared, words);
	}
	if (!run(shared, ahead && !page->last))
		return true;
	nauth_cache_count(shared->cache, NAUTH_CACHE_BYTES_WRITTEN, written(shared));
	if (nauth_redis_integer(control, length) < 2 * page->progress.pages)
		nauth_shared_lost(shared);	/* earlier pages are gone */
	else if (nauth_redis_integer(control, narrow) == 0)
		return false;
	return true;
}

/* How far the listing has come with this page, in time too. */
static void
set_progress(NauthShared *shared, NauthCodecPage *page)
{
	page->progress = shared->progress;
	page->progress.fresh_from += Min(nauth_cache_now() - shared->asked_at, CREDIT_MAX);
	page->progress.pages++;
	page->progress.users += page->count;
	page->cursor = shared->next;
	for (int i = 0; i < lengthof(shared->elements); i++)
		shared->elements[i].len = 0;
}

bool
nauth_shared_put(NauthShared *shared, NauthCodecPage *page, bool ahead)
{
	const NauthCacheOptions *options = &shared->cache->options;
	int64_t		life = nauth_shared_life(shared, shared->wanted.single && page->count == 0);
	NauthCodecState state = page->last ? NAUTH_CODEC_COMPLETE : NAUTH_CODEC_GROWING;
	Words		words;
	bool		ours = true;

	set_progress(shared, page);
	nauth_shared_pages_key(shared, shared->generation, words.pages);
	nauth_shared_key(shared, page->last ? ":c" : ":n", words.head);
	nauth_shared_key(shared, ":n", words.growing);
	nauth_shared_field(page->progress.pages - 1, false, words.narrow);
	nauth_shared_field(page->progress.pages - 1, true, words.wide);
	nauth_shared_number(page->last ? life : PAUSE_TTL, words.ttl);
	nauth_shared_number(page->last ? life : REST_TTL, words.head_ttl);

	if (!nauth_health_may_write(shared->cache->health) || !nauth_shared_may_put(shared) ||
		!close_page(shared, page, &words, life))
		nauth_shared_direct(shared);
	else if (page->progress.bytes > options->max_bytes)
		put_too_large(shared, &page->progress, &words);
	else if (shared->wanted.single)
		put_single(shared, &words);
	else if (!close_head(shared, state, &page->progress, words.head, life))
		nauth_shared_direct(shared);
	else
		ours = put_page(shared, page, &words, ahead);
	if (shared->phase == PHASE_DIRECT)
		nauth_shared_release(shared);
	if (ours)
		nauth_shared_accept(shared, page);
	else
		shared->phase = PHASE_READING;
	return ours;
}
