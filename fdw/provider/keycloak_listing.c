/*-------------------------------------------------------------------------
 *
 * keycloak_listing.c
 *	  List the users of a realm of Keycloak to their end.
 *
 * There are only offsets, into rows in order of the username; see offset.h.  What
 * may not be seen is taken off a page after it was cut, so a page that is not
 * full may be anywhere.  Worse, a row that LDAP does not know any more is removed
 * by the very request that comes upon it, and all behind it move up.
 *
 * So a page follows that begins with users read last, whatever the one before was.
 * If nobody new is on it, the end is proved by two more replies: behind it an empty
 * page, and a count of as many rows as were passed.  If one of them says otherwise,
 * the page is asked for again.  If still nobody new is on it, and the count is the
 * same as before, nothing moves any more: the count leaves out users of LDAP, or
 * there are rows that cannot be seen.  At the end these do no harm, but they must
 * not fill a page, for nobody could tell what comes behind them.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "keycloak.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "asking.h"
#include "offset.h"
#include "reading.h"

/* Beyond what any page has. */
#define ROWS_MAX	100000

/* What is asked for next, as a cursor says it. */
#define STEP_PAGE	'p'
#define STEP_BEHIND	'b'			/* the page behind one that was not full */
#define STEP_COUNT	'c'

static const char hidden_hint[] =
"The service account of the client may lack the role view-users of realm-management, or a user federation of the realm, such as LDAP, may be out of order.";

/* Where a listing is. */
typedef struct Place
{
	char		step;
	NauthOffset page;			/* the page that is read, or was read last */
	int64_t		rows;			/* that it had, unless it is to be read */
	int64_t		behind;			/* 1: users were seen behind it */
	int64_t		counted;		/* when its last user was the last one before,
								 * or -1 */
} Place;

/*
 * A cursor is that of offset.h for a page, if nothing was counted.  Else it is the
 * step, then "counted rows behind", then a blank and that cursor, unless the page
 * is the first one.
 */
static void
write_place(const Place *place, char *cursor)
{
	int			used = snprintf(cursor, NAUTH_CURSOR_MAX, "%c%" PRId64 " %" PRId64 " %" PRId64, place->step,
								place->counted + 1, place->rows, place->behind);

	if (place->page.marks == 0)
		return;
	cursor[used++] = ' ';
	nauth_offset_write(&place->page, cursor, used);
}

static bool
read_place(const char *cursor, Place *place)
{
	const char *p = cursor;

	memset(place, 0, sizeof(*place));
	place->step = STEP_PAGE;
	place->counted = -1;
	if (p == NULL || (*p != STEP_PAGE && *p != STEP_BEHIND && *p != STEP_COUNT))
		return nauth_offset_read(p, &place->page);
	place->step = *p++;
	if (!nauth_offset_number(&p, NAUTH_OFFSET_MAX, &place->counted) || *p++ != ' ' ||
		!nauth_offset_number(&p, ROWS_MAX, &place->rows) || *p++ != ' ' ||
		!nauth_offset_number(&p, 1, &place->behind) || (*p != '\0' && *p != ' '))
		return false;
	place->counted--;
	return nauth_offset_read(*p == ' ' ? p + 1 : NULL, &place->page);
}

void
nauth_keycloak_write_page(const NauthSettings *settings, const NauthQuery *query,
						  const char *cursor, NauthRequest *request)
{
	int			limit = nauth_ask_limit(settings, query, cursor);
	Place		place;

	if (!read_place(cursor, &place))
		request->overflow = true;
	if (place.step == STEP_COUNT)
	{
		nauth_request_segment(request, "count");
		return;
	}
	nauth_request_number(request, "first", place.page.skip + (place.step == STEP_BEHIND ? limit : 0));
	nauth_request_number(request, "max", limit);
	if (query->email == NULL)
		return;
	nauth_request_parameter(request, "email", query->email);
	nauth_request_parameter(request, "exact", "true");
}

/* Ask for this next; what was read had nobody who is new. */
static bool
ask_more(Place *place, char step, NauthPage *page)
{
	place->step = step;
	write_place(place, page->next);
	page->count = 0;
	page->reread = true;
	return true;
}

/* Go on behind a page that had so many rows, beginning with some of them. */
static bool
go_on(const NauthOffset *read, int rows, NauthPage *page, NauthError *error)
{
	int			overlap = nauth_offset_overlap(rows);
	NauthOffset next;

	next.overlap = overlap > 0 ? overlap : 1;
	next.skip = read->skip + rows - next.overlap;
	nauth_offset_remember(read, page, 0, &next);
	if (next.marks == 0)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "no user of a page has an id to continue from");
	nauth_offset_write(&next, page->next, 0);
	page->reread = page->count == 0;
	return true;
}

/*
 * Finish a page.  That of one address is the last unless it is full: an address
 * has one user, or a few.
 */
static bool
finish_page(Place *place, const NauthQuery *query, int limit, NauthPage *page, NauthError *error)
{
	int			rows = page->count;

	if (!nauth_offset_join(&place->page, limit, page, error))
		return false;
	if (page->reread)
		return true;
	page->last = query->email != NULL && rows < limit;
	if (page->last)
		return true;
	if (page->count > 0 || rows == limit)
		return go_on(&place->page, rows, page, error);
	place->rows = rows;
	return ask_more(place, STEP_BEHIND, page);
}

/* Judge by the count whether the listing is at its end. */
static bool
judge_end(Place *place, int64_t count, int limit, NauthPage *page, NauthError *error)
{
	int64_t		passed = place->page.skip + place->rows;

	page->last = !place->behind &&
		(count == passed || (count == place->counted && passed > 0 && count <= place->page.skip + limit));
	if (page->last)
		return true;
	if (count != place->counted)
	{
		place->counted = count;
		place->rows = place->behind = 0;
		return ask_more(place, STEP_PAGE, page);
	}
	error->hint = hidden_hint;
	return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE, place->behind ?
						   "more users in a row than fit on a page cannot be seen" :
						   "the provider counts users that it does not list");
}

bool
nauth_keycloak_read_page(const NauthSettings *settings, const NauthQuery *query,
						 const char *cursor, const NauthReply *reply,
						 NauthPage *page, NauthError *error)
{
	int			limit = nauth_ask_limit(settings, query, cursor);
	int64_t		count;
	Place		place;

	nauth_read_begin(page);
	if (!read_place(cursor, &place))
		return nauth_read_no_cursor(error);
	if (place.step == STEP_COUNT)
		return nauth_provider_keycloak.read_count(reply, &count, error) &&
			judge_end(&place, count, limit, page, error);
	if (!nauth_read_users(&nauth_provider_keycloak, settings, reply->body, limit, page, error))
		return false;
	if (place.step == STEP_PAGE)
		return finish_page(&place, query, limit, page, error);
	place.behind = page->count > 0;
	return ask_more(&place, STEP_COUNT, page);
}
