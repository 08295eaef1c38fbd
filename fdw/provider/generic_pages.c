/*-------------------------------------------------------------------------
 *
 * generic_pages.c
 *	  A directory of one's own: paging by page numbers and by offsets.
 *
 * Nothing is known of the server but what it shows, so nothing is concluded from
 * what it may only seem to do: it may give fewer users than asked for, and then
 * more; not know the parameters that it is sent; and users may come and go
 * meanwhile.  Therefore
 *
 * - each page begins with some users of the one before, and must show one of the
 *	 last three: who follows on him has not been read, and nobody is between;
 * - the end is a page of a few rows, asked for to see it, that shows the last user,
 *	 and nobody behind him.  No server cuts off a page of so few rows, as it may do
 *	 with any other;
 * - a total ends no listing, for it may be that of the page.  But if it was the same
 *	 all the time, so many users have to be there in the end;
 * - several pages in a row without anybody new are an error, for then the server
 *	 does not go where it is asked to.
 *
 * Pages with numbers begin at multiples of their size.  The size is ours, so a page
 * can begin a little early by choosing it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "generic.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "reading.h"

/* Requests in a row without anybody new: enough to go back twice as far each time. */
#define TRIES_MAX		12

#define NAMES_HINT \
	"Check the names in options page_parameter and size_parameter, and whether option page_size is more than the directory gives in a page: ALTER SERVER %s OPTIONS (SET page_size '...');"

/* ---- Cursors: "read tries close moved total", the latter plus one, then what offset.h has */

static bool
read_cursor(const char *cursor, NauthGenericPlace *place)
{
	const char *p = cursor;
	int64_t		tries = 0;
	int64_t		close = 0;
	int64_t		moved = 0;
	int64_t		total = 0;

	place->count.read = 0;
	if (p != NULL && (!nauth_offset_number(&p, NAUTH_OFFSET_MAX, &place->count.read) || *p++ != ' ' ||
					  !nauth_offset_number(&p, TRIES_MAX, &tries) || *p++ != ' ' ||
					  !nauth_offset_number(&p, 1, &close) || *p++ != ' ' ||
					  !nauth_offset_number(&p, 1, &moved) || *p++ != ' ' ||
					  !nauth_offset_number(&p, NAUTH_OFFSET_MAX + 1, &total) || *p++ != ' '))
		return false;
	place->tries = (int) tries;
	place->close = close == 1;
	place->count.moved = moved == 1;
	place->count.total = total - 1;
	return nauth_offset_read(p, &place->offset) &&
		(p == NULL || place->offset.skip + place->offset.overlap > 0);
}

static void
write_cursor(const NauthGenericPlace *place, char *cursor)
{
	int			used = snprintf(cursor, NAUTH_CURSOR_MAX, "%" PRId64 " %d %d %d %" PRId64 " ",
								place->count.read, place->tries, place->close,
								place->count.moved, place->count.total + 1);

	nauth_offset_write(&place->offset, cursor, used);
}

/* ---- Choosing a page */

/* The page that begins at or before the row "begin" and ends the latest. */
static void
choose(NauthGenericPlace *place, int64_t begin, int64_t unread)
{
	place->size = 0;
	(void) nauth_offset_choose(begin, unread, place->limit, &place->number, &place->size);
	place->start = place->number * place->size;
}

/* The smallest page that has the last row read and one behind it. */
static void
choose_close(NauthGenericPlace *place, int64_t unread)
{
	int			n = 2;

	while (unread % n == 0)
		n++;
	place->number = (unread - 1) / n;
	place->size = n;
	place->start = place->number * n;
}

static void
choose_page(const NauthSettings *settings, NauthGenericPlace *place)
{
	bool		numbered = nauth_generic_paging(settings) == NAUTH_GENERIC_NUMBERED;
	int64_t		unread = place->offset.skip + place->offset.overlap;

	place->number = 0;
	place->start = place->offset.skip;
	place->size = place->close ? 2 : place->limit;
	if (numbered && place->close && unread > 0)
		choose_close(place, unread);
	else if (numbered)
		choose(place, place->offset.skip, unread);
}

bool
nauth_generic_aim(const NauthSettings *settings, const char *cursor, int limit, NauthGenericPlace *place)
{
	memset(place, 0, sizeof(*place));
	place->limit = limit;
	if (!read_cursor(cursor, place))
		return false;
	choose_page(settings, place);
	return true;
}

/* ---- Going on */

/*
 * Write the cursor of the next page, after one with somebody new or with nobody.  It
 * has at least so many rows of those read again.
 */
static bool
go_on(const NauthSettings *settings, const NauthGenericPlace *next, int64_t least, bool somebody,
	  NauthPage *page, NauthError *error)
{
	NauthGenericPlace place = *next;

	place.tries = somebody ? 0 : place.tries + 1;
	choose_page(settings, &place);
	while (place.size == 0 && place.offset.overlap > least)
	{
		place.offset.overlap--;
		place.offset.skip++;
		choose_page(settings, &place);
	}
	if (place.size == 0)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "pages are too small to overlap behind so many users");
	if (place.tries > TRIES_MAX)
	{
		error->hint = NAMES_HINT;
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the directory shows the same users again instead of those that follow");
	}
	write_cursor(&place, page->next);
	return true;
}

/* Whether a page shows that nobody is behind the last user that was read. */
static bool
is_end(const NauthGenericPlace *place, bool sized, int received)
{
	return received <= 1 ? !sized || received < place->size : sized && place->close && received < place->size;
}

/* The listing is complete, if its total does not say otherwise. */
static bool
end(const NauthGenericPlace *place, NauthPage *page, NauthError *error)
{
	page->last = nauth_generic_is_all(&place->count);
	if (page->last)
		return true;
	error->hint = "Try again. If it stays so, check option total_member: it has to be the number of users that the list has, and no other. Or pages have holes, or no order that stays. " NAMES_HINT;
	return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
						   "the listing ended with another number of users than the total that the directory names");
}

/* Read a page again from further back, as nauth_offset_join has decided. */
static bool
go_back(const NauthSettings *settings, const NauthGenericPlace *place, NauthPage *page, NauthError *error)
{
	NauthGenericPlace next = *place;

	next.close = false;
	if (!nauth_offset_read(page->next, &next.offset))
		return nauth_read_no_cursor(error);
	return go_on(settings, &next, place->offset.overlap + 1, false, page, error);
}

bool
nauth_generic_take(const NauthSettings *settings, NauthGenericPlace *place, NauthPage *page,
				   NauthError *error)
{
	bool		sized = nauth_generic_size_parameter(settings) != NULL;
	int			received = page->count;
	NauthOffset offset = place->offset;
	NauthGenericPlace next;

	nauth_generic_note_total(&place->count, page->total);
	next = *place;
	if (sized && received > place->size)
	{
		error->hint = NAMES_HINT;
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page has more users than were asked for");
	}
	if (!nauth_offset_join(&offset, place->limit, page, error))
		return false;
	if (page->reread)
		return go_back(settings, place, page, error);

	next.count.read += page->count;
	if (is_end(place, sized, received))
		return end(&next, page, error);
	next.close = sized ? received < place->size : page->count == 0;
	next.offset.overlap = next.close ? 1 : nauth_offset_overlap(received);
	if (next.offset.overlap == 0)
		next.offset.overlap = 1;
	next.offset.skip = place->start + received - next.offset.overlap;
	nauth_offset_remember(&place->offset, page, 0, &next.offset);
	if (next.offset.marks == 0)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "no user of a page has an id to continue from");
	page->reread = page->count == 0;
	return go_on(settings, &next, 1, page->count > 0, page, error);
}
