/*-------------------------------------------------------------------------
 *
 * scim.h
 *	  What the files of the provider "scim" share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_SCIM_H
#define NAUTH_SCIM_H

#include "offset.h"

/* Whether the option "paging" has this value. */
extern bool nauth_scim_pages_by(const NauthSettings *settings, const char *paging);

/*
 * What is around the users of a reply.  The total is -1 and the cursor "" where
 * the reply has none; users are absent where there are none.
 */
typedef struct NauthScimEnvelope
{
	int64_t		total;
	NauthSpan	users;
	char		next[NAUTH_CURSOR_MAX];
} NauthScimEnvelope;

extern bool nauth_scim_read_envelope(const NauthReply *reply, NauthScimEnvelope *envelope,
									 NauthError *error);

/* scim_listing.c */
extern void nauth_scim_write_page(const NauthSettings *settings, const NauthQuery *query,
								  const char *cursor, NauthRequest *request);
extern bool nauth_scim_read_page(const NauthSettings *settings, const NauthQuery *query,
								 const char *cursor, const NauthReply *reply,
								 NauthPage *page, NauthError *error);
extern bool nauth_scim_is_page(const NauthSettings *settings, const NauthQuery *query,
							   const char *cursor, const NauthReply *reply);

/* scim_config.c: what a service says of itself */

/* The most users that are ever asked for in a page. */
#define NAUTH_SCIM_MOST		1000

typedef struct NauthScimConfig
{
	bool		cursors;		/* it has cursors, and did not refuse them */
	bool		only_cursors;	/* and no indexes */
	bool		unsorted;		/* it does not sort */
	bool		unfiltered;		/* nor filter; this is no matter of a place */
	int			most;			/* users of a page, NAUTH_SCIM_MOST if that is
								 * not told */
} NauthScimConfig;

/* Whether a query begins with asking for it, and goes on after this reply to that. */
extern bool nauth_scim_asks_config(const NauthSettings *settings, const NauthQuery *query);
extern bool nauth_scim_is_config(const NauthReply *reply);

/* Read it, as nothing if it cannot be read. */
extern void nauth_scim_read_config(const NauthReply *reply, NauthScimConfig *config);

/* scim_place.c: where a listing is */

/* What is asked for next; these letters begin a cursor. */
typedef enum NauthScimStep
{
	NAUTH_SCIM_CONFIG = 'a',	/* what the service can do */
	NAUTH_SCIM_TOTAL = 't',		/* how many users there are */
	NAUTH_SCIM_EVER = 'e',		/* how many were changed since 1970 */
	NAUTH_SCIM_NEVER = 'n',		/* how many will be changed in the year 9000 */
	NAUTH_SCIM_INDEX = 'i',		/* a page that begins at an index */
	NAUTH_SCIM_CURSOR = 'c'		/* a page that begins at a cursor */
} NauthScimStep;

/* Where a listing is; its cursor says this as text. */
typedef struct NauthScimPlace
{
	NauthScimStep step;
	NauthScimConfig config;		/* nothing where that was not asked for */
	bool		sorted;			/* by id */
	bool		filtered;		/* by time of change */
	bool		moved;			/* the total is not the same on all pages */
	int64_t		total;			/* of the last page, or -1 */
	int64_t		taken;			/* users on all pages, each once */
	int64_t		directory;		/* users of the directory, when that was
								 * asked, or -1 */
	NauthOffset offset;			/* of an index */
	char		next[NAUTH_CURSOR_MAX]; /* the service's cursor, or "" */
} NauthScimPlace;

/* The first page of a listing, of users changed since a time or of all. */
extern void nauth_scim_begin(const NauthSettings *settings, const NauthScimConfig *config,
							 bool filtered, NauthScimPlace *place);

/* Whether it is the first page. */
extern bool nauth_scim_is_first(const NauthScimPlace *place);

/*
 * Read a cursor, NULL being where the listing of a query begins; false if it is damaged.
 * Write one; false if the service's own is too long.
 */
extern bool nauth_scim_read_place(const NauthSettings *settings, const NauthQuery *query,
								  const char *cursor, NauthScimPlace *place);
extern bool nauth_scim_write_place(const NauthScimPlace *place, char *cursor);

/* scim_pages.c */

/*
 * Whether so many were deleted that the page began behind the end, where a service may
 * answer anything.  It is to be read again then, from as far back as a page reaches.
 */
extern bool nauth_scim_is_beyond(NauthScimPlace *place, int64_t total, int limit, NauthPage *page);

/*
 * Leave on a page of a listing who was not read before, and finish it: the last one, or
 * with a cursor, or to be read again from further back.  False with error set if it is no such
 * page, or somebody may be lost.
 */
extern bool nauth_scim_take_index(NauthScimPlace *place, int limit, NauthPage *page, NauthError *error);
extern bool nauth_scim_take_cursor(NauthScimPlace *place, bool exact, NauthPage *page, NauthError *error);

#endif							/* NAUTH_SCIM_H */
