/*-------------------------------------------------------------------------
 *
 * health.h
 *	  What a session remembers of a server's cache: counters, and when not to
 *	  ask its Redis.
 *
 * A circuit breaker: after a fault Redis is left alone until the next statement,
 * and after some in a row for a while, so that a broken one costs nothing; then
 * one attempt shows whether it is back.  A Redis that takes no writes is read
 * from meanwhile.  Each episode is told once, with a WARNING.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_HEALTH_H
#define NAUTH_HEALTH_H

#include "error.h"
#include "net/connection.h"

/* In the order of the columns of cache_stats(). */
typedef enum NauthCacheCounter
{
	NAUTH_CACHE_HITS,			/* queries answered by fresh pages alone */
	NAUTH_CACHE_STALE,			/* answered by stale ones */
	NAUTH_CACHE_MISSES,			/* for which the provider was asked */
	NAUTH_CACHE_WAITS,			/* times that another session was waited for */
	NAUTH_CACHE_CORRUPT,		/* elements that did not open or decode */
	NAUTH_CACHE_LOST,			/* listings that vanished while being read */
	NAUTH_CACHE_FAULTS,			/* exchanges with Redis that failed */
	NAUTH_CACHE_SKIPPED,		/* exchanges left out meanwhile */
	NAUTH_CACHE_BYTES_READ,
	NAUTH_CACHE_BYTES_WRITTEN,
	NAUTH_CACHE_COUNTERS
} NauthCacheCounter;

typedef struct NauthHealth
{
	struct NauthHealth *next;
	Oid			server;
	Oid			mapping;
	uint64_t	catalog;		/* options may have mended what was wrong */
	int64_t		counters[NAUTH_CACHE_COUNTERS];
	bool		has_cache;		/* a Redis belongs to it */
	int			faults;			/* in a row */
	int			slow;			/* exchanges in a row that were slow */
	bool		warned;			/* of these faults */
	int64_t		last_fault;
	int64_t		failed_in;		/* start of the statement that it was in */
	int64_t		closed_until;	/* of nauth_clock(), like the rest */
	int64_t		read_only_until;
	int64_t		not_before;		/* the provider asked for silence until then */
	int64_t		next_request;	/* not earlier, by the pace set */
	int64_t		listed_until;	/* all users are cached, and fresh until then */
	int64_t		listed_users;	/* how many they are */
} NauthHealth;

/* That of a server and user mapping, which lives as long as the session. */
extern NauthHealth *nauth_health_get(const NauthConnectionId *id);

/* Whether Redis may be asked now, and whether it may be written to. */
extern bool nauth_health_may_ask(NauthHealth *health);
extern bool nauth_health_may_write(const NauthHealth *health);

/*
 * What comes from now on counts as another statement than what came before: a
 * procedure that goes on for hours is not one that must not ask twice.
 */
extern void nauth_health_next_statement(void);

/*
 * An exchange worked, or failed with error; server is a name for the WARNING.
 * Some in a row that worked, but slowly, are a fault: false, with error set.
 */
extern bool nauth_health_worked(NauthHealth *health, bool slowly, NauthError *error);
extern void nauth_health_failed(NauthHealth *health, const NauthError *error, const char *server);

/* The first of all, newest first. */
extern const NauthHealth *nauth_health_list(void);

#endif							/* NAUTH_HEALTH_H */
