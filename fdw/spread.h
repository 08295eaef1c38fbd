/*-------------------------------------------------------------------------
 *
 * spread.h
 *	  A listing read as windows of time of creation, several at once.
 *
 * A page of a listing tells where the next one begins, so its pages can only be
 * asked for one after the other.  Windows can be asked for at once: each is a
 * listing of its own, from one time to another, to its own end mark.  One after
 * the other they give all users in the same order, and the last has no end, so
 * that it is only over when the provider says so.
 *
 * Where a listing is stands in its cursor, as text: the window, and the
 * provider's cursor in it.  So whoever has the cursor can go on, with windows or
 * without; how far ahead somebody has cut is only his plan.
 *
 * A user created at the edge of two windows may be given with both, since no
 * provider says whether it includes its bounds; he belongs to one of them.  Who
 * belongs to neither shows that the provider did not keep the window, and ends
 * the listing with an error: whom else it left out nobody knows.
 *
 * No I/O, and nothing is allocated.  Times are moments.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_SPREAD_H
#define NAUTH_SPREAD_H

#include "options.h"
#include "provider/provider.h"

/* Pages read one after the other before it is thought of. */
#define NAUTH_SPREAD_AFTER	3

/* Begins a cursor that leads into a window. */
#define NAUTH_SPREAD_MARK	'\001'

typedef struct NauthSpread
{
	int			page_size;
	bool		on;				/* windows are cut */
	bool		pointless;		/* nor will be */
	int64_t		newest;			/* creation of the youngest user known of */
	double		users;			/* in windows of late; the later the more they
								 * count */
	double		time;			/* how long these were together */
	bool		gap;			/* the last window had nobody */
	double		width;			/* of the next window */
	int			in_window;		/* users of the window that is read */
	int64_t		taken;			/* users of all windows */
	int			asked;			/* requests for them; the caller counts */
	int			count;			/* windows cut after that, each from the end */
	int64_t		ends[NAUTH_CONCURRENCY_MAX];	/* of the one before to this */
} NauthSpread;

/* Begin a listing with pages of so many users. */
extern void nauth_spread_begin(NauthSpread *spread, int page_size);

/* Whether to ask who is the youngest user, before windows can be thought of. */
extern bool nauth_spread_wants_newest(const NauthSpread *spread, int pages);

/*
 * A page was read as usual, and when the youngest user was created is known.  If
 * there is a lot left, cut windows from here on: page->next leads into the first,
 * and who is in that is taken off the page.
 */
extern void nauth_spread_start(NauthSpread *spread, NauthPage *page);

/*
 * Where a cursor leads.  True if that is into a window, with the query of it and
 * the provider's cursor, NULL for its first page; both point into cursor.  False
 * otherwise: cursor is the provider's own, or NULL; but with error set if it is
 * damaged.
 */
extern bool nauth_spread_aim(const char *cursor, NauthQuery *query,
							 const char **inner, NauthError *error);

/*
 * A page of a window was read with this query.  Leaves in it who belongs to the
 * window, and has it lead to the next page of the listing, or be the last.  False
 * with error set when the provider did not keep the window.
 */
extern bool nauth_spread_take(NauthSpread *spread, const NauthQuery *query,
							  NauthPage *page, NauthError *error);

/* A provider's own cursor must not look like one that leads into a window. */
extern bool nauth_spread_check(const NauthPage *page, NauthError *error);

/*
 * The cursor of the first page of the window so many after the one that cursor
 * leads into; false if none is to be read ahead.
 */
extern bool nauth_spread_ahead(NauthSpread *spread, const char *cursor, int after,
							   char *ahead);

#endif							/* NAUTH_SPREAD_H */
