/*-------------------------------------------------------------------------
 *
 * auth0_keyset.c
 *	  Paging through Auth0's users by the time that was read last.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "auth0.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "asking.h"


/* Users of a query that Auth0 shows. */
#define SHOWN_MAX		1000

/* Bytes of an id in a cursor: within a window that has no more than NAUTH_ID_MAX. */
#define MARK_MAX		200

/* Digits of a page, and of a time. */
#define PAGE_DIGITS		2
#define TIME_DIGITS		15

int64_t
nauth_keyset_whole(int64_t moment, bool after)
{
	int64_t		rest = (moment % NAUTH_MILLISECOND + NAUTH_MILLISECOND) % NAUTH_MILLISECOND;

	return moment - rest + (after && rest > 0 ? NAUTH_MILLISECOND : 0);
}

bool
nauth_keyset_descends(const NauthQuery *query)
{
	return query->kind == NAUTH_QUERY_CHANGES || query->order == NAUTH_ORDER_NEWEST;
}

/* ---- Cursors: milliseconds, page and mark */

static void
write_cursor(const NauthKeyset *keyset, char *cursor)
{
	snprintf(cursor, NAUTH_CURSOR_MAX, "%" PRId64 " %d %s",
			 keyset->time / NAUTH_MILLISECOND, keyset->page, keyset->mark);
}

/* Read digits, a few, and the blank behind them. */
static bool
read_number(const char **p, int digits, int64_t *number)
{
	const char *start = *p;

	for (*number = 0; **p >= '0' && **p <= '9' && *p - start < digits; (*p)++)
		*number = *number * 10 + (**p - '0');
	return *p > start && *(*p)++ == ' ';
}

bool
nauth_keyset_read(const char *cursor, int limit, NauthKeyset *keyset)
{
	const char *p = cursor;
	bool		negative = p != NULL && p[0] == '-';
	int64_t		time;
	int64_t		page;

	memset(keyset, 0, sizeof(*keyset));
	if (p == NULL)
		return true;
	p += negative;
	if (!read_number(&p, TIME_DIGITS, &time) || !read_number(&p, PAGE_DIGITS, &page) ||
		strlen(p) > NAUTH_ID_MAX || (page > 0 && (page * 2 >= limit || *p == '\0')))
		return false;
	keyset->begun = true;
	keyset->time = (negative ? -time : time) * NAUTH_MILLISECOND;
	keyset->page = (int) page;
	memcpy(keyset->mark, p, strlen(p) + 1);
	return keyset->time >= NAUTH_MOMENT_MIN && keyset->time < NAUTH_MOMENT_MAX;
}

/* ---- Pages */

/* The time that a user of a listing is ordered by; false if it has none. */
static bool
time_of(const NauthQuery *query, const NauthUser *user, int64_t *time)
{
	bool		changes = query->kind == NAUTH_QUERY_CHANGES;

	*time = nauth_keyset_whole(changes ? user->updated_at : user->created_at,
							   nauth_keyset_descends(query));
	return changes ? user->has_updated_at : user->has_created_at;
}

/* The order proves that nobody before the last user is on a later page. */
static bool
check_order(const NauthQuery *query, const NauthKeyset *keyset, const NauthPage *page,
			NauthError *error)
{
	bool		descends = nauth_keyset_descends(query);
	int64_t		previous = keyset->begun ? keyset->time : descends ? INT64_MAX : INT64_MIN;

	for (int i = 0; i < page->count; i++)
	{
		int64_t		time;

		if (!time_of(query, &page->users[i], &time))
			continue;
		if (descends ? time > previous : time < previous)
			return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
								   "the users of a page are not in the order that was asked for");
		previous = time;
	}
	return true;
}

/* How many users at the end of a page have the time of its last one. */
static int
count_together(const NauthQuery *query, const NauthPage *page, int64_t *time)
{
	int			count = 0;
	int64_t		other;

	if (!time_of(query, &page->users[page->count - 1], time))
		return 0;
	while (count < page->count &&
		   time_of(query, &page->users[page->count - 1 - count], &other) && other == *time)
		count++;
	return count;
}

/* Go on with a further page of a time that fills this one. */
static bool
continue_time(NauthKeyset *next, int limit, NauthPage *page, NauthError *error)
{
	int			size = limit - next->page;

	/* only a limit can be as small, and then the first page is enough */
	if (next->page == 1 && size <= next->page)
		return true;
	if (size <= next->page || (next->page + 1) * size > SHOWN_MAX)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "too many users were created at the same time");
	if (next->mark[0] == '\0')
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the last user of a page has no id to continue from");
	write_cursor(next, page->next);
	return true;
}

/* Write the cursor of the page behind this full one. */
static bool
go_on(const NauthQuery *query, const NauthKeyset *keyset, int limit, NauthPage *page,
	  NauthError *error)
{
	const char *id = page->users[page->count - 1].id;
	NauthKeyset next = {0};
	int			together = count_together(query, page, &next.time);

	if (together == 0)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the last user of a page has no time to continue from");
	memcpy(next.mark, id, strlen(id) + 1);
	if (together == 1 && id[0] != '\0' && strlen(id) <= MARK_MAX)
		write_cursor(&next, page->next);
	else if (together < page->count)
	{
		page->count -= together;
		next.mark[0] = '\0';
		write_cursor(&next, page->next);
	}
	else
	{
		next.page = keyset->page + 1;
		return continue_time(&next, limit, page, error);
	}
	return true;
}

/* The same by time of change, unless the next page would be this one again. */
static void
go_on_changes(const NauthSettings *settings, const NauthQuery *query, int limit, NauthPage *page)
{
	NauthKeyset next = {0};
	int			together = count_together(query, page, &next.time);

	if (together > 0 &&
		(together < page->count || limit < nauth_ask_limit(settings, query, page->next)))
		write_cursor(&next, page->next);
}

/* Take off who was read before, and who comes before that in pages of one time. */
static bool
take_off(const NauthKeyset *keyset, NauthPage *page, NauthError *error)
{
	int			mark = 0;
	int			first;

	if (keyset->mark[0] == '\0')
		return true;
	while (mark < page->count && strcmp(page->users[mark].id, keyset->mark) != 0)
		mark++;
	if (mark == page->count)
		return keyset->page == 0 ||
			nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							"the directory shifted while it was read");
	first = keyset->page == 0 ? mark : 0;
	page->count -= mark + 1 - first;
	memmove(page->users + first, page->users + mark + 1,
			(size_t) (page->count - first) * sizeof(NauthUser));
	return true;
}

bool
nauth_keyset_finish(const NauthSettings *settings, const NauthQuery *query,
					const NauthKeyset *keyset, int limit, NauthPage *page, NauthError *error)
{
	if (!check_order(query, keyset, page, error))
		return false;
	if (query->kind == NAUTH_QUERY_CHANGES)
	{
		if (!page->last)
			go_on_changes(settings, query, limit, page);
		return true;
	}
	if ((!page->last && !go_on(query, keyset, limit, page, error)) ||
		!take_off(keyset, page, error))
		return false;

	/* to ask for the users left to the next page is all that was gained */
	page->reread = page->count == 0 && !page->last;
	return true;
}
