/*-------------------------------------------------------------------------
 *
 * workos_users.c
 *	  Read pages of WorkOS's users, and write where they begin.
 *
 * WorkOS does not say what comes after a user who was deleted in the meantime.  Its
 * emulator begins anew, so that users come twice; another server could say that
 * nobody follows.  Either shows: a page begins with somebody who belongs before
 * the user read last, or has nobody though it was said that there are more.  Then
 * the listing goes back to the user before that one, and must find its place again.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "workos.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asking.h"
#include "reading.h"

/*
 * Users created together may come in another order than that of their times, but
 * no page is created in so little time.
 */
#define TOGETHER		NAUTH_SECOND

#define GO_ON			'>'		/* at the beginning of a cursor */
#define LOOK_BACK		'<'

/* Where a listing stands. */
typedef struct WorkosPlace
{
	bool		back;			/* begin one user earlier, to find the last
								 * one */
	int64_t		created_at;		/* of that, or NAUTH_MOMENT_UNKNOWN */
	char		before[NAUTH_ID_MAX + 1];	/* who stands before it, "" if
											 * nobody does */
	char		last[NAUTH_ID_MAX + 1]; /* id of the user that was read last */
} WorkosPlace;

/* A cursor is '>' or '<', a time, "length:before", and the last id. */
static void
write_cursor(const WorkosPlace *place, char *cursor)
{
	snprintf(cursor, NAUTH_CURSOR_MAX, "%c%" PRId64 " %zu:%s%s",
			 place->back ? LOOK_BACK : GO_ON, place->created_at,
			 strlen(place->before), place->before, place->last);
}

static bool
read_cursor(const char *cursor, WorkosPlace *place)
{
	char		again[NAUTH_CURSOR_MAX];
	char	   *end;
	long		before;

	place->back = cursor[0] == LOOK_BACK;
	if (cursor[0] == '\0')
		return false;
	place->created_at = strtoll(cursor + 1, &end, 10);
	before = strtol(end, &end, 10);
	if (*end != ':' || before < 0 || before > NAUTH_ID_MAX ||
		strlen(++end) <= (size_t) before || strlen(end + before) > NAUTH_ID_MAX)
		return false;
	memcpy(place->before, end, before);
	place->before[before] = '\0';
	strcpy(place->last, end + before);
	write_cursor(place, again);
	return strcmp(cursor, again) == 0 &&
		(place->created_at == NAUTH_MOMENT_UNKNOWN ||
		 (place->created_at >= NAUTH_MOMENT_MIN && place->created_at < NAUTH_MOMENT_MAX));
}

bool
nauth_workos_write_place(const char *cursor, NauthRequest *request)
{
	WorkosPlace place;
	const char *after;

	if (cursor == NULL)
		return true;
	if (!read_cursor(cursor, &place))
		return false;
	after = place.back ? place.before : place.last;
	if (after[0] != '\0')
		nauth_request_parameter(request, "after", after);
	return true;
}

/* Whether a user belongs before the one that was read last. */
static bool
is_before(const NauthUser *user, const WorkosPlace *place, const NauthQuery *query)
{
	if (!user->has_created_at || place->created_at == NAUTH_MOMENT_UNKNOWN)
		return false;
	return query->order == NAUTH_ORDER_NEWEST ?
		user->created_at > place->created_at + TOGETHER :
		user->created_at < place->created_at - TOGETHER;
}

/* Take the user that was read last off a page which was to begin with it. */
static bool
find_place(const WorkosPlace *place, const NauthQuery *query, NauthPage *page, NauthError *error)
{
	if (page->count > 0 && strcmp(page->users[0].id, place->last) == 0)
	{
		page->count--;
		memmove(page->users, page->users + 1, (size_t) page->count * sizeof(NauthUser));
		return true;
	}

	/* it is gone, but who comes next is here */
	if (page->count > 0 && page->users[0].has_created_at &&
		place->created_at != NAUTH_MOMENT_UNKNOWN && !is_before(&page->users[0], place, query))
		return true;
	return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
						   "the users after whom to go on were deleted while they were read");
}

/* See that a page goes on where the last one ended, or else have it read again. */
static bool
join(WorkosPlace *place, const NauthQuery *query, bool last, NauthPage *page, NauthError *error)
{
	if (place->back)
		return find_place(place, query, page, error);
	if (page->count > 0 ? is_before(&page->users[0], place, query) : last)
	{
		place->back = true;
		write_cursor(place, page->next);
		page->count = 0;
		page->reread = true;
	}
	return true;
}

/* Write the cursor of the next page. */
static void
go_on(WorkosPlace *place, const char *after, NauthPage *page)
{
	const NauthUser *user = &page->users[page->count - 1];

	/* a page of one user stands behind the last one */
	strcpy(place->before, page->count > 1 ? user[-1].id : place->last);
	strcpy(place->last, after);
	place->created_at = user->has_created_at ? user->created_at : NAUTH_MOMENT_UNKNOWN;
	place->back = false;
	write_cursor(place, page->next);
}

bool
nauth_workos_read_users(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
						NauthSpan list, const char *after, NauthPage *page, NauthError *error)
{
	WorkosPlace place = {false, NAUTH_MOMENT_UNKNOWN, "", ""};
	bool		last = after[0] == '\0';

	if (cursor != NULL && !read_cursor(cursor, &place))
		return nauth_read_no_cursor(error);
	if (!nauth_read_users(&nauth_provider_workos, settings, list,
						  nauth_ask_limit(settings, query, cursor), page, error))
		return false;
	if (cursor != NULL && !join(&place, query, last, page, error))
		return false;
	if (page->reread)
		return true;
	page->last = last;
	if (last)
		return true;
	if (page->count == 0)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "a page before the end has no users");
	go_on(&place, after, page);
	return true;
}
