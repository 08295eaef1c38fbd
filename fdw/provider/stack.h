/*-------------------------------------------------------------------------
 *
 * stack.h
 *	  Where a listing of Stack Auth stands.
 *
 * A cursor of Stack Auth is the id of a user.  If that user is deleted meanwhile,
 * the next page is empty and says that it is the last, as the true end does.
 * So nothing but a page with users ends a listing, and behind an empty one
 * it goes back to a user that was read before: from there all that was not read
 * must follow.  Users read last are remembered for that, and taken off when they
 * come again.
 *
 * Older servers name the first user of the next page, which then begins with
 * him; newer ones name the last user of the page, and leave him out.  Either
 * way all that comes after a user follows when he is asked with.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_STACK_H
#define NAUTH_STACK_H

#include "provider.h"

/* Users read last that are remembered: the later ones may be gone meanwhile. */
#define NAUTH_STACK_MARKS	8

#define NAUTH_STACK_ID		37	/* bytes of a UUID, its zero included */

/* Our cursor: the one that Stack Auth is asked with, and these users. */
typedef struct NauthStackCursor
{
	char		asked[NAUTH_STACK_ID];	/* "" where a listing begins */
	int			marks;
	char		ids[NAUTH_STACK_MARKS][NAUTH_STACK_ID]; /* latest first */
} NauthStackCursor;

/* Read a cursor; NULL is where a listing begins.  False if it is damaged. */
extern bool nauth_stack_cursor_read(const char *text, NauthStackCursor *cursor);

/*
 * Take users that were read before off a page.  If the page is none that its
 * cursor can lead to, it is to be read again from further back (page->reread).
 * False with error set when nobody is left to go back to.
 */
extern bool nauth_stack_cursor_join(const NauthStackCursor *cursor, NauthPage *page,
									NauthError *error);

/*
 * Write the cursor of the page behind this one, which went through the
 * function above, from the one that the provider named.  False with error set
 * when that leads nowhere.
 */
extern bool nauth_stack_cursor_go_on(const NauthStackCursor *cursor, const char *next,
									 NauthPage *page, NauthError *error);

#endif							/* NAUTH_STACK_H */
