/*-------------------------------------------------------------------------
 *
 * cache.c
 *	  The cache of one directory: keys, sealing, the epoch.
 *
 * Names are made of what decides which users one gets, the credential first,
 * and of nothing that is only this database's: replicas and branches with the
 * same credential share, and another credential finds nothing.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "cache/cache.h"
#include "cache/jsonb.h"
#include "wait.h"

/* The decoder has no PostgreSQL header, but what it checks is PostgreSQL's. */
StaticAssertDecl(NAUTH_JSONB_COUNT == JB_CMASK && NAUTH_JSONB_SCALAR == JB_FSCALAR &&
				 NAUTH_JSONB_OBJECT == JB_FOBJECT && NAUTH_JSONB_ARRAY == JB_FARRAY &&
				 NAUTH_JSONB_LENGTH == JENTRY_OFFLENMASK && NAUTH_JSONB_TYPE == JENTRY_TYPEMASK &&
				 NAUTH_JSONB_IS_END == JENTRY_HAS_OFF && NAUTH_JSONB_STRING == JENTRY_ISSTRING &&
				 NAUTH_JSONB_NUMERIC == JENTRY_ISNUMERIC && NAUTH_JSONB_FALSE == JENTRY_ISBOOL_FALSE &&
				 NAUTH_JSONB_TRUE == JENTRY_ISBOOL_TRUE && NAUTH_JSONB_NULL == JENTRY_ISNULL &&
				 NAUTH_JSONB_CONTAINER == JENTRY_ISCONTAINER && NAUTH_JSONB_STRIDE == JB_OFFSET_STRIDE &&
				 NAUTH_CODEC_HEADER == VARHDRSZ,
				 "jsonb is not what cache/jsonb.c takes it for");

/* An exchange is slow beyond this part of redis_timeout. */
#define SLOW_PART	4

static NauthSpan
span_of(const char *text)
{
	NauthSpan	span = {text, strlen(text)};

	return span;
}

NauthCache *
nauth_cache_open(const NauthCacheOptions *options)
{
	NauthCache *cache = palloc0(sizeof(NauthCache));
	NauthSpan	parts[] = {
		span_of("directory"),
		span_of(NAUTH_CODEC_VERSION),
		span_of(options->provider),
		span_of(options->url),
	};
	char		name[NAUTH_SEAL_NAME];

	cache->options = *options;
	cache->health = nauth_health_get(&options->redis.connection);
	cache->health->has_cache = true;
	if (!nauth_seal_derive(&options->secret, 1, &cache->keys) ||
		!nauth_seal_name(&cache->keys, parts, lengthof(parts), name))
		return NULL;
	/* in braces, so that a cluster of Redis would keep all keys together */
	snprintf(cache->directory, sizeof(cache->directory), "%s:{%s}", options->prefix, name);
	return cache;
}

void
nauth_cache_key(const NauthCache *cache, const char *suffix, char key[NAUTH_CACHE_KEY])
{
	snprintf(key, NAUTH_CACHE_KEY, "%s:%s", cache->directory, suffix);
}

static bool
run(NauthCache *cache, NauthRedisExchange *exchange, bool large)
{
	int64_t		begin = nauth_clock();
	int64_t		slow = cache->options.redis.timeout * INT64CONST(1000) / SLOW_PART;
	NauthError	error = {0};

	if (!nauth_health_may_ask(cache->health))
		return false;
	if (nauth_redis_run(exchange, &cache->options.redis, &error) &&
		nauth_health_worked(cache->health, !large && nauth_clock() - begin > slow, &error))
		return true;
	nauth_health_failed(cache->health, &error, cache->options.server);
	return false;
}

bool
nauth_cache_run(NauthCache *cache, NauthRedisExchange *exchange)
{
	return run(cache, exchange, false);
}

bool
nauth_cache_run_large(NauthCache *cache, NauthRedisExchange *exchange)
{
	return run(cache, exchange, true);
}

bool
nauth_cache_forget(NauthCache *cache, NauthError *error)
{
	NauthRedisExchange *exchange = nauth_redis_exchange();
	uint8_t		epoch[NAUTH_SEAL_ID];
	char		key[NAUTH_CACHE_KEY];
	char		text[NAUTH_SEAL_NAME];
	char		ttl[24];

	if (!nauth_seal_random(epoch, sizeof(epoch)))
		return nauth_error_set(error, NAUTH_ERROR_MEMORY, "no random numbers could be had");
	nauth_seal_write_id(epoch, text);
	nauth_cache_key(cache, NAUTH_CACHE_EPOCH, key);
	snprintf(ttl, sizeof(ttl), INT64_FORMAT, NAUTH_CACHE_EPOCH_TTL);
	nauth_redis_command(exchange, NAUTH_REDIS_OK, "SET", key, text, "PX", ttl, NULL);
	cache->health->listed_until = 0;
	return nauth_redis_run(exchange, &cache->options.redis, error);
}

bool
nauth_cache_seal(const NauthCache *cache, const NauthSealPlace *place,
				 const NauthBytes *content, NauthBytes *element)
{
	size_t		len = content->len + NAUTH_SEAL_OVERHEAD;

	if (!nauth_bytes_reserve(element, len) ||
		!nauth_seal(&cache->keys, place, content->data, content->len, element->data))
		return false;
	element->len = len;
	return true;
}

bool
nauth_cache_unseal(NauthCache *cache, NauthSealPlace *place, NauthSpan element,
				   NauthBytes *content)
{
	nauth_cache_count(cache, NAUTH_CACHE_BYTES_READ, element.len);
	if (nauth_bytes_reserve(content, element.len) &&
		nauth_unseal(&cache->keys, place, element, content->data, &content->len) == NAUTH_SEAL_OK &&
		place->until > nauth_cache_now())
		return true;
	nauth_cache_count(cache, NAUTH_CACHE_CORRUPT, 1);
	return false;
}

static void
place_silence(const NauthCache *cache, NauthSealPlace *place, char key[NAUTH_CACHE_KEY])
{
	memset(place, 0, sizeof(*place));
	nauth_cache_key(cache, NAUTH_CACHE_SILENCE, key);
	place->place = key;
}

bool
nauth_cache_seal_silence(const NauthCache *cache, int64_t until, char element[NAUTH_SEAL_OVERHEAD])
{
	NauthSealPlace place;
	char		key[NAUTH_CACHE_KEY];

	place_silence(cache, &place, key);
	place.until = until;
	return nauth_seal(&cache->keys, &place, "", 0, element);
}

int64_t
nauth_cache_silence(const NauthCache *cache, NauthSpan element)
{
	NauthSealPlace place;
	char		key[NAUTH_CACHE_KEY];
	char		content[NAUTH_SEAL_OVERHEAD];
	size_t		len;

	place_silence(cache, &place, key);
	if (element.data == NULL || element.len > sizeof(content) ||
		nauth_unseal(&cache->keys, &place, element, content, &len) != NAUTH_SEAL_OK)
		return 0;
	return Max(0, Min(place.until - nauth_cache_now(), NAUTH_CACHE_SILENCE_MAX));
}

void
nauth_cache_count(NauthCache *cache, NauthCacheCounter counter, int64_t more)
{
	cache->health->counters[counter] += more;
}

int64_t
nauth_cache_now(void)
{
	return GetCurrentTimestamp() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

bool
nauth_cache_valid_text(const char *text, size_t len)
{
	return pg_encoding_verifymbstr(PG_UTF8, text, len) == len;
}
