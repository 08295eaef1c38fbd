/*-------------------------------------------------------------------------
 *
 * shared_state.h
 *	  State of a shared listing, for the files that make it work.
 *
 * element.c opens and seals what is in Redis, finding.c looks for a generation and
 * receives its pages, append.c writes, and shared.c decides what comes next.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_SHARED_STATE_H
#define NAUTH_SHARED_STATE_H

#include "cache/shared.h"

/* Milliseconds that Redis keeps things. */
#define LEASE_TTL		5000
#define AHEAD_TTL		1000	/* of a lease for a page asked for already */
#define NEGATIVE_TTL	5000	/* that a user does not exist */
#define REST_TTL		90000	/* a growing listing that rests longer is left
								 * alone */
#define PAUSE_TTL		120000	/* its pages are kept, for who is reading them */
#define RETIRED_TTL		60000	/* of a replaced listing */

#define FIELD_MAX		24		/* characters of a field's name or a number */

typedef enum NauthSharedPhase
{
	PHASE_FINDING,				/* which generation to read */
	PHASE_READING,
	PHASE_LEADING,				/* the next page is being fetched by us */
	PHASE_ENDED,
	PHASE_DIRECT
} NauthSharedPhase;

struct NauthShared
{
	struct NauthShared *next_of_session;
	NauthCache *cache;
	NauthSharedWanted wanted;
	NauthSharedPhase phase;
	NauthSharedInfo info;
	char		name[NAUTH_CACHE_KEY];	/* of the query; keys begin with it */

	/* the generation being read */
	bool		has_epoch;
	bool		bad_epoch;		/* there is one that cannot be read */
	uint8_t		epoch[NAUTH_SEAL_ID];
	uint8_t		generation[NAUTH_SEAL_ID];
	bool		complete;		/* nobody adds pages to it */
	NauthCodecProgress progress;	/* with the page before, like next */
	char		next[NAUTH_CODEC_TEXT + 1];

	/* one that is complete, but stale */
	bool		has_stale;
	uint8_t		stale_generation[NAUTH_SEAL_ID];

	/* one whose head is there, but not its first page */
	bool		has_gone;
	uint8_t		gone[NAUTH_SEAL_ID];

	/* pages received, of which some were read */
	NauthRedisExchange *window;
	int			window_command;
	int64_t		window_first;
	int			window_count;
	int64_t		page_until;		/* of its narrow half, and so of its wide one */
	size_t		page_bytes;		/* of the page before, sealed */

	/* waiting and leading */
	NauthRedisExchange *control;
	NauthRedisExchange *release;	/* gives the lease back */
	char		lease_key[NAUTH_CACHE_KEY];
	int64_t		lease_until;	/* of nauth_clock(); 0: we have none */
	bool		forced;			/* to lead without it */
	bool		led;			/* the page before was ours */
	bool		promised;		/* Redis says that the next page is there */
	int64_t		waiting_since;	/* 0: not waiting */
	int64_t		silence;		/* microseconds that the provider wants */
	int64_t		asked_at;		/* a moment: the provider was asked then */

	/* the page being read or written */
	NauthBytes	narrow;
	NauthBytes	wide;
	NauthBytes	scratch;
	NauthBytes	elements[3];
	NauthCodecPage *page;
	MemoryContextCallback on_reset;
};

/* ---- element.c */

/* The key of the query with this behind it. */
extern const char *nauth_shared_key(const NauthShared *shared, const char *suffix,
									char key[NAUTH_CACHE_KEY]);

/* The key of the hash with the pages of a generation. */
extern const char *nauth_shared_pages_key(const NauthShared *shared, const uint8_t *generation,
										  char key[NAUTH_CACHE_KEY]);

/* The field of a page, or of its wide half. */
extern const char *nauth_shared_field(int64_t page, bool wide, char field[FIELD_MAX]);

extern const char *nauth_shared_number(int64_t number, char text[FIELD_MAX]);

/*
 * How long what is written now may be of use, in milliseconds.  negative: that
 * a user does not exist.
 */
extern int64_t nauth_shared_life(const NauthShared *shared, bool negative);

/* Whether users whose age counts from that moment are fresh. */
extern bool nauth_shared_fresh(const NauthShared *shared, const uint8_t *generation,
							   int64_t fresh_from, bool negative);

/* Open the next page into shared->page; false, counted, if it is none. */
extern bool nauth_shared_open_page(NauthShared *shared, NauthSpan narrow, NauthSpan wide,
								   uint8_t generation[NAUTH_SEAL_ID]);

extern bool nauth_shared_open_head(NauthShared *shared, const char *suffix, NauthSpan element,
								   NauthSealPlace *place, NauthCodecHead *head);

/* Seal content for a place of this generation; false: not possible. */
extern bool nauth_shared_close(const NauthShared *shared, const char *key, const char *field,
							   int64_t until, const NauthBytes *content, NauthBytes *element);

extern bool nauth_shared_corrupt(NauthShared *shared);

/* How long the provider wants silence by what this session remembers; 0: not worth a wait. */
extern int64_t nauth_shared_own_silence(const NauthShared *shared);

/* ---- finding.c */

/*
 * Look for something to read; if there is, the phase changes.  False if Redis
 * is of no use.
 */
extern bool nauth_shared_find(NauthShared *shared);

/* Receive the pages from the next one on, as one window. */
extern bool nauth_shared_receive(NauthShared *shared);

/* The halves of the next page in the window; data is NULL for one not there. */
extern void nauth_shared_look(const NauthShared *shared, NauthSpan *narrow, NauthSpan *wide);

/* Read this generation from its first page on. */
extern void nauth_shared_read(NauthShared *shared, const uint8_t *generation, bool complete);

/* ---- lease.c */

typedef enum NauthLease
{
	NAUTH_LEASE_OURS,
	NAUTH_LEASE_OTHERS,			/* somebody else has it, or the page is there */
	NAUTH_LEASE_SILENCE,		/* the provider may not be asked now */
	NAUTH_LEASE_GONE,			/* nothing should be added to the generation */
	NAUTH_LEASE_FAULT			/* Redis is of no use */
} NauthLease;

/* One more listing of this session, and one less. */
extern void nauth_shared_enlist(NauthShared *shared);
extern void nauth_shared_delist(NauthShared *shared);

/* Get the lease for the first page, and the epoch made. */
extern NauthLease nauth_shared_take_lease(NauthShared *shared);

/* Get the lease for the next page of a growing generation. */
extern NauthLease nauth_shared_take_next(NauthShared *shared, bool *present);

/* Whether the page that was fetched may be written still. */
extern bool nauth_shared_may_put(NauthShared *shared);

/* Give the lease back, if we have it. */
extern void nauth_shared_release(NauthShared *shared);

/* ---- shared.c */

extern void nauth_shared_direct(NauthShared *shared);

/* The listing is not what it was a moment ago. */
extern void nauth_shared_lost(NauthShared *shared);

/* Take note of the page that was read or written, and that others follow. */
extern void nauth_shared_accept(NauthShared *shared, const NauthCodecPage *page);


#endif							/* NAUTH_SHARED_STATE_H */
