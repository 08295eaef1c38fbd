/*-------------------------------------------------------------------------
 *
 * offset.h
 *	  Paging by offset through a list that may shift meanwhile.
 *
 * A user deleted in the part that was read moves an unread one into it.  So
 * each page begins some rows early and must show one of the users that were
 * read last; where it does not, we go back.  Who moves to the front of the
 * list while it is read may be missed, and has to be harmless.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_OFFSET_H
#define NAUTH_OFFSET_H

#include "provider.h"

/* Users read last that are remembered: the last may be gone meanwhile. */
#define NAUTH_OFFSET_MARKS	3

/* Rows beyond which an offset or total is no number of users. */
#define NAUTH_OFFSET_MAX	INT64_C(1000000000000)

/* Where a listing is; its cursor says this as text. */
typedef struct NauthOffset
{
	int64_t		skip;			/* rows */
	int64_t		overlap;		/* rows behind these that were read before */
	int			marks;
	char		ids[NAUTH_OFFSET_MARKS][NAUTH_ID_MAX + 1];	/* latest first */
} NauthOffset;

/*
 * Read a cursor; NULL is where a listing begins.  False if it is damaged.  Write
 * one into NAUTH_CURSOR_MAX bytes, of which some, few, are used; it begins with a
 * digit.
 */
extern bool nauth_offset_read(const char *cursor, NauthOffset *offset);
extern void nauth_offset_write(const NauthOffset *offset, char *cursor, int used);

/*
 * Read digits and go behind them, for cursors that have more than an offset.  False
 * when there are none or the number is more than most.
 */
extern bool nauth_offset_number(const char **p, int64_t most, int64_t *number);

/*
 * Of numbered pages of up to most rows, choose the one that begins at or before this
 * row and ends the latest, behind the row "unread"; returns where it ends.  Pages
 * count from 0.  If there is none, number and size stay as they are.
 */
extern int64_t nauth_offset_choose(int64_t begin, int64_t unread, int most,
								   int64_t *number, int *size);

/* How many rows a page shares with the one before, which had so many. */
extern int	nauth_offset_overlap(int rows);

/*
 * Remember in next the users read last: those of the page but for some at its end,
 * then those of offset.
 */
extern void nauth_offset_remember(const NauthOffset *offset, const NauthPage *page,
								  int but, NauthOffset *next);

/*
 * Take users that were read before off a page that was asked for with this
 * limit.  If nobody knows which they are, the page is to be read again from
 * further back (page->reread).  False with error set when not even a whole
 * page of overlap would show.
 */
extern bool nauth_offset_join(NauthOffset *offset, int limit, NauthPage *page,
							  NauthError *error);

/*
 * Write the cursor of the page behind this full one, which went through
 * nauth_offset_join.  In a list by time of change, those of the page's oldest
 * time stand on the next page again: they have no order that a list would keep.
 * If that is all of the page there is no cursor.  False with error set when no
 * user has an id.
 */
extern bool nauth_offset_go_on(const NauthOffset *offset, const NauthQuery *query,
							   int limit, NauthPage *page, NauthError *error);

#endif							/* NAUTH_OFFSET_H */
