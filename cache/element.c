/*-------------------------------------------------------------------------
 *
 * element.c
 *	  What a shared listing has in Redis: keys, heads, pages.
 *
 * An element opens only at the key and field it was sealed for, in its own epoch,
 * and until its time; a page is the next one only if it says so itself.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "datatype/timestamp.h"

#include "cache/shared_state.h"

/* Clocks of servers that share a cache may differ so much. */
#define SKEW_MAX		(5 * USECS_PER_MINUTE)

/* The key of the query with this behind it. */
const char *
nauth_shared_key(const NauthShared *shared, const char *suffix, char key[NAUTH_CACHE_KEY])
{
	snprintf(key, NAUTH_CACHE_KEY, "%s%s", shared->name, suffix);
	return key;
}

const char *
nauth_shared_pages_key(const NauthShared *shared, const uint8_t *generation, char key[NAUTH_CACHE_KEY])
{
	char		id[NAUTH_SEAL_NAME];

	if (shared->wanted.single)
		return nauth_shared_key(shared, "", key);
	nauth_seal_write_id(generation, id);
	snprintf(key, NAUTH_CACHE_KEY, "%s:%s", shared->name, id);
	return key;
}

const char *
nauth_shared_field(int64_t page, bool wide, char field[FIELD_MAX])
{
	snprintf(field, FIELD_MAX, INT64_FORMAT "%s", page, wide ? "r" : "");
	return field;
}

const char *
nauth_shared_number(int64_t number, char text[FIELD_MAX])
{
	snprintf(text, FIELD_MAX, INT64_FORMAT, number);
	return text;
}

/* How long what is written now may be of use, in milliseconds. */
int64_t
nauth_shared_life(const NauthShared *shared, bool negative)
{
	const NauthCacheOptions *options = &shared->cache->options;

	if (negative)
		return Min(options->ttl, NEGATIVE_TTL);
	return Max(options->ttl, options->stale_ttl);
}

/*
 * Whether users of that age, in microseconds, are fresh.  Generations made at
 * the same time do not end together: each lasts up to a tenth less.
 */
bool
nauth_shared_fresh(const NauthShared *shared, const uint8_t *generation, int64_t fresh_from, bool negative)
{
	int64_t		ttl = Min(shared->cache->options.ttl, nauth_shared_life(shared, negative)) * INT64CONST(1000);

	return nauth_cache_now() - fresh_from < ttl - ttl / 2550 * generation[0];
}

/*
 * Open an element found at a key and field, if it is one of this epoch.  The
 * clock may not be far behind that of whoever wrote it.
 */
static bool
open_element(NauthShared *shared, const char *key, const char *field, NauthSpan element,
			 NauthSealPlace *place, NauthBytes *content)
{
	char		where[NAUTH_CACHE_KEY + FIELD_MAX];
	bool		opened;

	if (element.data == NULL || !shared->has_epoch)
		return false;
	if (nauth_seal_peek(element, place) &&
		memcmp(place->epoch, shared->epoch, NAUTH_SEAL_ID) != 0)
		return false;			/* forgotten: nothing is wrong with it */
	snprintf(where, sizeof(where), "%s %s", key, field);
	place->place = where;
	opened = nauth_cache_unseal(shared->cache, place, element, content);
	place->place = NULL;
	return opened;
}

/*
 * Whether it can be, by our clock.  If not, nothing is wrong with the element: it
 * is of a server whose clock is far ahead, and of no use to this one.
 */
static bool
is_plausible(const NauthCodecProgress *progress)
{
	int64_t		latest = nauth_cache_now() + SKEW_MAX;

	return progress->started_at < latest && progress->fresh_from < latest;
}

bool
nauth_shared_corrupt(NauthShared *shared)
{
	nauth_cache_count(shared->cache, NAUTH_CACHE_CORRUPT, 1);
	return false;
}

/*
 * Open one half of a page.  Of a listing, it has to be of the generation being
 * read; a page for one user may be any.
 */
static bool
open_half(NauthShared *shared, bool wide, NauthSpan element, uint8_t generation[NAUTH_SEAL_ID])
{
	NauthBytes *plain = wide ? &shared->wide : &shared->narrow;
	NauthSealPlace place;
	NauthSpan	content;
	char		key[NAUTH_CACHE_KEY];
	char		field[FIELD_MAX];

	nauth_shared_pages_key(shared, generation, key);
	nauth_shared_field(shared->progress.pages, wide, field);
	if (!open_element(shared, key, field, element, &place, &shared->scratch))
		return false;
	if ((wide || !shared->wanted.single) &&
		memcmp(place.generation, generation, NAUTH_SEAL_ID) != 0)
		return nauth_shared_corrupt(shared);
	/* two sessions may have fetched the page: its halves belong together */
	if (wide && place.until != shared->page_until)
		return nauth_shared_corrupt(shared);
	shared->page_until = place.until;
	memcpy(generation, place.generation, NAUTH_SEAL_ID);
	content.data = shared->scratch.data;
	content.len = shared->scratch.len;
	if (wide ? !nauth_codec_read_wide(content, nauth_cache_valid_text, plain, shared->page) :
		!nauth_codec_read_narrow(content, nauth_cache_valid_text, plain, shared->page))
		return nauth_shared_corrupt(shared);
	return true;
}

/* Open the page that comes next, and see that it does. */
bool
nauth_shared_open_page(NauthShared *shared, NauthSpan narrow, NauthSpan wide,
					   uint8_t generation[NAUTH_SEAL_ID])
{
	const NauthCodecPage *page = shared->page;

	if (!open_half(shared, false, narrow, generation) ||
		(shared->wanted.wide && !open_half(shared, true, wide, generation)))
		return false;
	if (page->progress.pages != shared->progress.pages + 1 ||
		strcmp(page->cursor, shared->next) != 0 ||
		(shared->wanted.single && !page->last))
		return nauth_shared_corrupt(shared);
	return is_plausible(&page->progress);
}

bool
nauth_shared_open_head(NauthShared *shared, const char *suffix, NauthSpan element,
					   NauthSealPlace *place, NauthCodecHead *head)
{
	char		key[NAUTH_CACHE_KEY];
	NauthSpan	content;

	if (!open_element(shared, nauth_shared_key(shared, suffix, key), "", element, place, &shared->scratch))
		return false;
	content.data = shared->scratch.data;
	content.len = shared->scratch.len;
	if (!nauth_codec_read_head(content, &shared->narrow, head))
		return nauth_shared_corrupt(shared);
	return is_plausible(&head->progress);
}

/* Seal content for a place of this generation. */
bool
nauth_shared_close(const NauthShared *shared, const char *key, const char *field, int64_t until,
				   const NauthBytes *content, NauthBytes *element)
{
	char		where[NAUTH_CACHE_KEY + FIELD_MAX];
	NauthSealPlace place;

	snprintf(where, sizeof(where), "%s %s", key, field);
	place.place = where;
	memcpy(place.generation, shared->generation, NAUTH_SEAL_ID);
	memcpy(place.epoch, shared->epoch, NAUTH_SEAL_ID);
	place.until = until;
	return nauth_cache_seal(shared->cache, &place, content, element);
}
