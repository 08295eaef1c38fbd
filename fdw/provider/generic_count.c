/*-------------------------------------------------------------------------
 *
 * generic_count.c
 *	  A directory of one's own: how many users a listing has, and its total.
 *
 * A total that is right finds what no page can show: users who are taken off pages,
 * or a list that ends too soon.  If it was the same on all pages, there have to be
 * exactly so many users.  If it moved, some may have come or gone who were not to be
 * seen.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "generic.h"

/* The total that moves may differ by this many, and by one percent. */
#define TOTAL_SLACK		10

/* Users that may be listed again by cursors, as they change meanwhile. */
#define AGAIN_SLACK		1000

void
nauth_generic_note_total(NauthGenericCount * count, int64_t total)
{
	count->moved |= count->total >= 0 && total != count->total;
	count->total = total;
}

bool
nauth_generic_is_all(const NauthGenericCount * count)
{
	if (count->total < 0)
		return true;
	return count->moved ? count->read + TOTAL_SLACK + count->total / 100 >= count->total :
		count->read == count->total;
}

bool
nauth_generic_is_more(const NauthGenericCount * count)
{
	return count->total >= 0 && count->read > (count->moved ? 2 * count->total + AGAIN_SLACK : count->total);
}
