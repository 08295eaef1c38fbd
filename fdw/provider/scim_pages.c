/*-------------------------------------------------------------------------
 *
 * scim_pages.c
 *	  Pages of a SCIM service, by index and by cursor.
 *
 * A page by index may have less users than were asked for, as the service likes, so
 * it is the total that tells where a listing ends; see offset.h for the rest.  Few
 * services promise an order, and one that changes would hide users.  So a
 * page has to begin with exactly the users that it was to repeat, less those who went
 * meanwhile by the total, and in the end there have to be as many as that says.
 *
 * A total that is that of the page would end a listing too soon.  So a page that is
 * full is never the last one.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "offset.h"
#include "scim.h"

/* Users that may come while a listing is under way, besides one percent. */
#define COUNT_SLACK		10

static const char order_hint[] =
"Try again. If it stays so the service lists users in no order: only pages with all users on one are right then: ALTER SERVER %s OPTIONS (ADD page_size '1000');";

static const char total_hint[] =
"Try again. If it stays so the service does not count exactly: ALTER SERVER %s OPTIONS (ADD paging 'cursor');";

static bool
shifted(NauthError *error)
{
	error->hint = order_hint;
	return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
						   "the order of the users changed while they were listed");
}

static bool
ended_early(NauthError *error)
{
	return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
						   "a page ended before the total that it names");
}

/*
 * Note the total of a page, and who is new on it.  Of a listing by cursor nothing is
 * counted any more where the total moves, so that a cursor which leads in a circle is
 * found to be the same.
 */
static void
count_page(NauthScimPlace *place, int64_t total, const NauthPage *page)
{
	bool		first = place->total < 0;

	place->moved |= total < 0 || (!first && total != place->total);
	place->total = total;
	place->taken += page->count;
	if (place->moved && place->step == NAUTH_SCIM_CURSOR)
		place->taken = 0;
}

/*
 * Whether there are as many users as the total says in the end, and not more before.
 * Where it moves, some may have come who were not to be seen.
 */
static bool
is_plausible(const NauthScimPlace *place, bool last)
{
	if (!place->moved)
		return last ? place->taken == place->total : place->taken <= place->total;
	return !last || place->step == NAUTH_SCIM_CURSOR ||
		place->taken + COUNT_SLACK + place->total / 100 >= place->total;
}

static bool
check_total(const NauthScimPlace *place, NauthPage *page, NauthError *error)
{
	if (is_plausible(place, page->last))
		return true;
	page->last = false;
	error->hint = place->step == NAUTH_SCIM_CURSOR ? total_hint : order_hint;
	return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
						   "the provider lists another number of users than its totalResults");
}

bool
nauth_scim_is_beyond(NauthScimPlace *place, int64_t total, int limit, NauthPage *page)
{
	NauthOffset *offset = &place->offset;
	int64_t		unread = offset->skip + offset->overlap;

	if (offset->skip == 0 || offset->skip < total)
		return false;
	offset->skip = total >= limit ? total - limit + 1 : 0;
	offset->overlap = unread - offset->skip;
	place->moved = true;
	page->reread = true;
	return nauth_scim_write_place(place, page->next);
}

/* Go on behind a page that had so many rows, beginning with some of them. */
static bool
go_on(NauthScimPlace *place, int rows, NauthPage *page, NauthError *error)
{
	int			overlap = nauth_offset_overlap(rows);
	NauthOffset next;

	next.overlap = overlap > 0 ? overlap : 1;
	next.skip = place->offset.skip + rows - next.overlap;
	if (page->count == 0 && next.skip == place->offset.skip)
		return ended_early(error);
	nauth_offset_remember(&place->offset, page, 0, &next);
	if (next.marks == 0)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "no user of a page has an id to continue from");
	place->offset = next;
	page->reread = page->count == 0;
	return nauth_scim_write_place(place, page->next);
}

/*
 * Whether that so many users of a page were read before is what has become of its overlap
 * by those who came or went since the page before.  If some came and others went, it may
 * seem that it is not.
 */
static bool
is_explained(const NauthScimPlace *place, int64_t total, int known)
{
	int64_t		shift = known - place->offset.overlap;
	int64_t		change = total - place->total;

	return place->total < 0 || (change < 0 ? shift >= change && shift <= 0 : shift >= 0 && shift <= change);
}

bool
nauth_scim_take_index(NauthScimPlace *place, int limit, NauthPage *page, NauthError *error)
{
	NauthOffset *offset = &place->offset;
	int64_t		total = page->total;
	int			rows = page->count;
	bool		ends = offset->skip + rows >= total;

	if (rows == 0 && !ends)
		return ended_early(error);
	if (!nauth_offset_join(offset, ends ? limit : rows, page, error))
		return false;
	if (page->reread)
		return nauth_scim_write_place(place, page->next);
	if (!is_explained(place, total, rows - page->count) && (page->count > 0 || !ends))
		return shifted(error);
	count_page(place, total, page);
	page->last = ends && (rows < limit || page->count == 0);
	if (!check_total(place, page, error))
		return false;
	return page->last || go_on(place, rows, page, error);
}

bool
nauth_scim_take_cursor(NauthScimPlace *place, bool exact, NauthPage *page, NauthError *error)
{
	place->moved |= !exact;
	count_page(place, page->total, page);
	page->last = place->next[0] == '\0';
	if (!check_total(place, page, error))
		return false;
	page->reread = page->count == 0 && !page->last;
	return page->last || nauth_scim_write_place(place, page->next) ||
		nauth_error_set(error, NAUTH_ERROR_INCOMPLETE, "the cursor of the next page is too long");
}
