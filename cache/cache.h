/*-------------------------------------------------------------------------
 *
 * cache.h
 *	  The cache of one directory in a Redis, shared by all backends that have
 *	  the same credential.
 *
 * Redis may lie, stall or vanish: whatever is wrong with it, the answer is that
 * the provider has to be asked.  Only an interrupt, and a server without memory
 * or descriptors, raise an error.
 *
 * Keys, with the option redis_prefix in front of all of them:
 *
 *	{directory}:e					epoch; another one forgets the directory
 *	{directory}:b					until when the provider wants silence, sealed
 *	{directory}:r					exists until the next request may be sent
 *	{directory}:query				hash: the one page of a query that has one
 *	{directory}:query:c				head of the complete listing
 *	{directory}:query:n				head of the listing that is growing
 *	{directory}:query:generation	hash: the pages of one of them
 *	{directory}:query:l				exists while somebody fetches the next page
 *
 * directory and query are names that nobody can compute without the
 * credential.  In a hash, page 7 has the fields 7, with the narrow columns, and
 * 7r, with raw_json.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_CACHE_H
#define NAUTH_CACHE_H

#include "cache/codec.h"
#include "cache/health.h"
#include "cache/redis.h"
#include "cache/seal.h"

#define NAUTH_CACHE_EPOCH_TTL	(7 * 24 * 60 * 60 * INT64CONST(1000))	/* milliseconds */
#define NAUTH_CACHE_KEY		192 /* bytes of a key, its zero included */

/* Keys of a directory. */
#define NAUTH_CACHE_EPOCH	"e"
#define NAUTH_CACHE_SILENCE	"b"
#define NAUTH_CACHE_PACE	"r"

/*
 * The longest silence that is shared, in microseconds: what a provider asks for
 * may be nonsense, and then somebody has to try again.
 */
#define NAUTH_CACHE_SILENCE_MAX	INT64CONST(60000000)

typedef struct NauthCacheOptions
{
	NauthRedisOptions redis;
	const char *server;			/* its name, for messages */
	const char *prefix;
	const char *provider;		/* this and the next two say which directory */
	const char *url;
	NauthSpan	secret;			/* the credential for the provider */
	int			ttl;			/* milliseconds; 0: no users are cached */
	int			stale_ttl;		/* milliseconds */
	int64_t		max_bytes;		/* of one listing */
} NauthCacheOptions;

typedef struct NauthCache
{
	NauthCacheOptions options;
	NauthHealth *health;
	NauthSealKeys keys;
	char		directory[NAUTH_CACHE_KEY]; /* how all its keys begin */
} NauthCache;

/*
 * Open a cache in the current memory context, without any I/O.  What options
 * point to must live as long.  NULL if OpenSSL could not work.
 */
extern NauthCache *nauth_cache_open(const NauthCacheOptions *options);

/* Write a key of the directory: what it begins with, ":" and this. */
extern void nauth_cache_key(const NauthCache *cache, const char *suffix, char key[NAUTH_CACHE_KEY]);

/*
 * Run an exchange and take note of how that went, with a WARNING if need be.
 * False if it failed, or if Redis is to be left alone now.  A large one is many
 * pages, and may take its time.
 */
extern bool nauth_cache_run(NauthCache *cache, NauthRedisExchange *exchange);
extern bool nauth_cache_run_large(NauthCache *cache, NauthRedisExchange *exchange);

/*
 * Forget the directory: what was cached until now is not found any more.  False
 * with error set if Redis did not take that.
 */
extern bool nauth_cache_forget(NauthCache *cache, NauthError *error);

/* Seal content for its place into element, which grows; false: not possible. */
extern bool nauth_cache_seal(const NauthCache *cache, const NauthSealPlace *place,
							 const NauthBytes *content, NauthBytes *element);

/*
 * Open an element that was found at place->place; false, counted, if it is none
 * of ours, or its time is over.
 */
extern bool nauth_cache_unseal(NauthCache *cache, NauthSealPlace *place, NauthSpan element,
							   NauthBytes *content);

/*
 * That the provider wants silence until a moment, as an element; and how many
 * microseconds of it are left, 0 if the element says no such thing.
 */
extern bool nauth_cache_seal_silence(const NauthCache *cache, int64_t until,
									 char element[NAUTH_SEAL_OVERHEAD]);
extern int64_t nauth_cache_silence(const NauthCache *cache, NauthSpan element);

extern void nauth_cache_count(NauthCache *cache, NauthCacheCounter counter, int64_t more);

/* The present moment (moment.h). */
extern int64_t nauth_cache_now(void);

/* Validity of texts, for the decoder. */
extern bool nauth_cache_valid_text(const char *text, size_t len);

#endif							/* NAUTH_CACHE_H */
