/*-------------------------------------------------------------------------
 *
 * supabase_pages.c
 *	  Paging through a list in order of creation that has only page numbers.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "offset.h"
#include "supabase.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Rows that a page and the one before share: a tenth of a page, and at most this. */
#define OVERLAP			10

/* Before all times of users. */
#define BEGINNING		INT64_MIN

/* ---- Cursors */

/* A cursor is "unread overlap time", and then " id" if some of that time are unread. */
static void
write_cursor(const NauthSupabasePlace *place, char *cursor)
{
	snprintf(cursor, NAUTH_CURSOR_MAX, "%" PRId64 " %" PRId64 " %" PRId64 "%s%s",
			 place->unread, place->overlap, place->time, place->id[0] ? " " : "", place->id);
}

static bool
read_cursor(const char *cursor, NauthSupabasePlace *place)
{
	const char *p = cursor;
	bool		negative;

	place->unread = place->overlap = 0;
	place->time = BEGINNING;
	place->id[0] = '\0';
	if (p == NULL)
		return true;
	if (!nauth_offset_number(&p, NAUTH_OFFSET_MAX, &place->unread) || *p++ != ' ' ||
		!nauth_offset_number(&p, NAUTH_OFFSET_MAX, &place->overlap) || *p++ != ' ')
		return false;
	negative = *p == '-';
	p += negative;
	if (!nauth_offset_number(&p, NAUTH_MOMENT_MAX, &place->time))
		return false;
	if (negative)
		place->time = -place->time;
	if (*p == ' ' && strlen(p + 1) > 0 && strlen(p + 1) <= NAUTH_ID_MAX)
	{
		memcpy(place->id, p + 1, strlen(p + 1) + 1);
		p += strlen(p);
	}
	return *p == '\0' && place->unread > 0 && place->overlap > 0;
}

/* Choose the page that has the row "unread" minus "overlap"; returns the row before which it ends. */
static int64_t
choose(NauthSupabasePlace *place, int size)
{
	int64_t		begin = place->unread > place->overlap ? place->unread - place->overlap : 0;
	int64_t		number = 0;
	int64_t		end = nauth_offset_choose(begin, 0, size, &number, &place->per_page);

	place->page = number + 1;
	return end;
}

bool
nauth_supabase_aim(const char *cursor, int size, NauthSupabasePlace *place)
{
	bool		read = read_cursor(cursor, place);

	place->page = 1;
	place->per_page = size;
	(void) choose(place, size);
	return read;
}

/* ---- Who was read */

/* Of a user with has_created_at. */
static int64_t
time_of(const NauthUser *user, bool descends)
{
	return descends ? -user->created_at : user->created_at;
}

static bool
is_in_order(const NauthPage *page, bool descends)
{
	int64_t		last = BEGINNING;

	for (int i = 0; i < page->count; i++)
	{
		if (!page->users[i].has_created_at)
			continue;
		if (time_of(&page->users[i], descends) < last)
			return false;
		last = time_of(&page->users[i], descends);
	}
	return true;
}

/*
 * How many users of a page that begins after "start" rows were read before, or -1
 * when nobody knows.  Who has no time goes with who is before him.
 *
 * In the middle of users of one time only their order tells.  If the last one read
 * is not exactly where he was, they have another order now.
 */
static int
count_known(const NauthSupabasePlace *place, int64_t start, bool descends, const NauthPage *page)
{
	int64_t		last = place->unread - 1 - start;
	int			known = 0;

	if (place->id[0] != '\0')
		return last >= 0 && last < page->count && page->users[last].has_created_at &&
			time_of(&page->users[last], descends) == place->time &&
			strcmp(page->users[last].id, place->id) == 0 ? (int) last + 1 : -1;
	for (int i = 0; i < page->count; i++)
		if (page->users[i].has_created_at && time_of(&page->users[i], descends) <= place->time)
			known = i + 1;
	if (known == 0)
		return start > 0 ? -1 : 0;
	while (known < page->count && !page->users[known].has_created_at)
		known++;
	return known;
}

/* Where the users begin who have the time of the last one; set that time. */
static int
find_last_time(const NauthPage *page, bool descends, int64_t *time)
{
	int			first = -1;

	for (int i = page->count - 1; i >= 0; i--)
	{
		if (!page->users[i].has_created_at)
			continue;
		if (first >= 0 && time_of(&page->users[i], descends) != *time)
			break;
		*time = time_of(&page->users[i], descends);
		first = i;
	}
	return first;
}

/* ---- Going on */

/* Read the page again from at least twice as far back. */
static void
go_back(const NauthSupabasePlace *place, int64_t start, NauthPage *page)
{
	NauthSupabasePlace next = *place;

	next.overlap = 2 * (place->unread - start);
	if (next.overlap > place->unread)
		next.overlap = place->unread;
	write_cursor(&next, page->next);
	page->count = 0;
	page->reread = true;
}

/*
 * Where all unread users of a full page have one time: read them again together with
 * some that follow, if there is such a page.
 */
static bool
widen(const NauthSupabasePlace *place, int64_t end, int size, bool descends, NauthPage *page)
{
	NauthSupabasePlace next = *place;
	int64_t		time;

	next.unread = end - page->count;
	next.overlap = 1;
	if (find_last_time(page, descends, &time) != 0 || next.unread == 0 || choose(&next, size) <= end)
		return false;
	write_cursor(&next, page->next);
	page->count = 0;
	page->reread = true;
	return true;
}

/*
 * Leave the users of the last time to the next page, unless that is all of the page.
 * False if that cannot be told.
 */
static bool
leave_last(NauthSupabasePlace *next, bool descends, NauthPage *page)
{
	int			first = find_last_time(page, descends, &next->time);

	next->id[0] = '\0';
	if (first > 0)
	{
		next->unread -= page->count - first;
		page->count = first;
		return find_last_time(page, descends, &next->time) >= 0;
	}
	if (first == 0)
		memcpy(next->id, page->users[page->count - 1].id, sizeof(next->id));
	return next->id[0] != '\0';
}

/* Write the cursor of what comes behind a page that ends before the row "end". */
static bool
go_on(const NauthSupabasePlace *place, int64_t end, int size, bool descends,
	  NauthPage *page, NauthError *error)
{
	NauthSupabasePlace next = *place;

	next.unread = end;
	next.overlap = size < 10 * OVERLAP ? (size + 9) / 10 : OVERLAP;
	if (page->count > 0 && !leave_last(&next, descends, page))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the users of a page have no times or ids to continue from");
	if (choose(&next, size) <= next.unread)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "pages are too small to overlap behind so many users");
	write_cursor(&next, page->next);
	page->reread = page->count == 0;
	return true;
}

bool
nauth_supabase_take(const NauthSupabasePlace *place, int size, bool descends,
					NauthPage *page, NauthError *error)
{
	int64_t		start = (place->page - 1) * place->per_page;
	int64_t		end = start + page->count;
	bool		full = page->count == place->per_page;
	int			known;

	if (!is_in_order(page, descends))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the users of a page are not in order of creation");
	known = count_known(place, start, descends, page);
	if (known < 0 && place->id[0] != '\0')
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "users created at the same time fill a page, and their order changed");
	if (known < 0)
	{
		go_back(place, start, page);
		return true;
	}
	page->count -= known;
	memmove(page->users, page->users + known, (size_t) page->count * sizeof(NauthUser));

	/*
	 * The total is counted a moment after the page is read, so it may agree
	 * with a full page by chance; and a page may be cut where it says
	 * nothing.
	 */
	page->last = !full && end >= page->total;
	if (page->last)
		return true;
	if (page->count == 0 && !full)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "a page ended before the total that it names");
	return (full && widen(place, end, size, descends, page)) ||
		go_on(place, end, size, descends, page, error);
}
