/*-------------------------------------------------------------------------
 *
 * supabase.h
 *	  Paging through a list in order of creation that has only page numbers.
 *
 * A page is n users that begin at a multiple of n, and n is ours to choose.  So
 * a page can begin a little before the first unread user: by choosing n.
 *
 * Where reading stands is a time of creation, not a number of rows: all users up
 * to then have been read, nobody after.  A page that begins with one of them hides
 * no unread user before it, whoever was deleted meanwhile.  Users of the same time
 * have no order among them, so a page's last time is left to the next page, where
 * all of them are together.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_SUPABASE_H
#define NAUTH_SUPABASE_H

#include "provider.h"

/* Where a listing stands and which page is to be read; its cursor says the first part. */
typedef struct NauthSupabasePlace
{
	int64_t		unread;			/* rows before the first unread one, as it was */
	int64_t		overlap;		/* rows before that which the page has again */
	int64_t		time;			/* of the last users read, as it is ordered by */
	char		id[NAUTH_ID_MAX + 1];	/* the last of them, if some of that
										 * time are unread; else "" */
	int64_t		page;			/* from 1 on */
	int			per_page;
} NauthSupabasePlace;

/*
 * Read a cursor, NULL being where a listing begins, and choose the page of at most
 * "size" users.  False if it is damaged.
 */
extern bool nauth_supabase_aim(const char *cursor, int size, NauthSupabasePlace *place);

/*
 * Leave on a page, whose total is set, who was not read before, and finish it: the
 * last, or with a cursor, or to be read again from further back.  False with error
 * set if it is not that page, or it cannot be told who was read.
 */
extern bool nauth_supabase_take(const NauthSupabasePlace *place, int size, bool descends,
								NauthPage *page, NauthError *error);

#endif							/* NAUTH_SUPABASE_H */
