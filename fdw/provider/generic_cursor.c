/*-------------------------------------------------------------------------
 *
 * generic_cursor.c
 *	  A directory of one's own: paging by cursors and by the header Link.
 *
 * A listing ends where no cursor follows, and that looks the same as a cursor that
 * is elsewhere than option next_member says, or as the one of the page before, which
 * the first page has not.  So that there is none is an end only after a page that had
 * one.  If that is the first page, it is asked for again with one user less: then
 * there must be a next one.
 *
 * A cursor may be a URL, of which the query is taken, and only if it is the address
 * of the users: the credential goes nowhere else.  It must not be one that only
 * counts, see generic_counter.c: nothing would show that the directory shifts.
 *
 * A cursor of ours is "=" and that of the directory, "?" and the query of a URL, or
 * "!" and the number of users to ask for on the first page, to see a cursor.  Where
 * there is a total, "#read total moved " is before it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "generic.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "link.h"
#include "reading.h"

#define ADDRESS_HINT \
	"Set the address and the path that the directory itself uses in its replies with: ALTER SERVER %s OPTIONS (SET url 'https://...', SET list_path '/...');"

#define NEXT_HINT \
	"Name the member that has the cursor of the next page: ALTER SERVER %s OPTIONS (SET next_member '...'); or, if the directory has none when there is no next page, let it be asked for pages of a size, option size_parameter, or tell how many users there are, option total_member."

/* ---- Cursors of ours */

/* A cursor that was read; at is its mark and what is behind it. */
typedef struct Step
{
	NauthGenericCount count;
	const char *at;				/* NULL: the first page */
}			Step;

/* False if it is damaged; at is then NULL, too. */
static bool
read_step(const char *cursor, Step * step)
{
	const char *p = cursor;
	int64_t		moved;

	memset(step, 0, sizeof(*step));
	step->count.total = -1;
	if (p != NULL && *p++ == '#')
	{
		if (!nauth_offset_number(&p, 2 * NAUTH_OFFSET_MAX, &step->count.read) || *p++ != ' ' ||
			!nauth_offset_number(&p, NAUTH_OFFSET_MAX, &step->count.total) || *p++ != ' ' ||
			!nauth_offset_number(&p, 1, &moved) || *p++ != ' ')
			return false;
		step->count.moved = moved == 1;
		cursor = p;
	}
	step->at = cursor;
	return true;
}

const char *
nauth_generic_query(const char *cursor)
{
	Step		step;

	return cursor != NULL && read_step(cursor, &step) && step.at[0] == '?' ? step.at : NULL;
}

/* How many users to ask for on the first page again; 0 if that is no such cursor. */
static int
read_probe(const char *cursor)
{
	const char *p = cursor + 1;
	int64_t		size;

	return cursor[0] == '!' && nauth_offset_number(&p, INT32_MAX, &size) && *p == '\0' ? (int) size : 0;
}

bool
nauth_generic_is_cursor(const NauthSettings *settings, const char *cursor)
{
	bool		link = nauth_generic_paging(settings) == NAUTH_GENERIC_LINK;
	Step		step;

	if (!read_step(cursor, &step))
		return false;
	if (step.at[0] == '?')
		return nauth_link_is_cursor(step.at + 1, strlen(step.at + 1));
	return !link && (read_probe(step.at) > 0 || (step.at[0] == '=' && step.at[1] != '\0'));
}

void
nauth_generic_write_cursor(const NauthSettings *settings, const char *cursor, int limit, NauthRequest *request)
{
	const char *size = nauth_generic_size_parameter(settings);
	int			probe = 0;
	Step		step;

	(void) read_step(cursor, &step);
	if (step.at != NULL)
		probe = read_probe(step.at);
	if (size != NULL)
		nauth_generic_write_number(request, size, probe > 0 ? probe : limit);
	if (step.at != NULL && probe == 0 && step.at[0] != '\0')
		nauth_generic_write_parameter(request, nauth_generic_page_parameter(settings), step.at + 1);
}

/* ---- Where a page says that it goes on */

/* The address of the users, without a query. */
static void
write_base(const NauthSettings *settings, char base[NAUTH_URL_MAX])
{
	const char *path = settings->more[NAUTH_SETTING_LIST_PATH];

	snprintf(base, NAUTH_URL_MAX, "%s%.*s", settings->url, (int) strcspn(path, "?"), path);
}

/* Put a mark before the cursor of the next page. */
static bool
mark_next(char mark, NauthPage *page, NauthError *error)
{
	size_t		len = strlen(page->next);

	if (len + 1 >= NAUTH_CURSOR_MAX)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE, "a cursor is too long");
	memmove(page->next + 1, page->next, len + 1);
	page->next[0] = mark;
	return true;
}

static bool
counts(NauthPage *page, NauthError *error)
{
	page->next[0] = '\0';
	error->hint = "Ask for the numbers themselves, with which it would be noticed: ALTER SERVER %s OPTIONS (SET paging 'page', ADD page_parameter '...'), or paging 'offset' where it is users that are counted. If it is an id, and ids have no gap from 1 on, ask in list_path for the newest users first.";
	return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
						   "the cursor of the next page counts pages or users, so that one who moves meanwhile would be lost");
}

/*
 * The first page has no cursor.  If it has several users, it is asked for again with
 * one less, to see whether that page has one.  Where no size can be asked for, the
 * total has to do.
 */
static bool
doubt_first(const NauthSettings *settings, int limit, NauthPage *page, NauthError *error)
{
	bool		sized = nauth_generic_size_parameter(settings) != NULL;

	page->last = page->count <= 1 && limit > 1;
	if (!sized)
		page->last |= page->count == page->total;
	if (page->last)
		return true;
	if (!sized || page->count <= 1)
	{
		error->hint = NEXT_HINT;
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the page does not say whether there is a next one");
	}
	snprintf(page->next, NAUTH_CURSOR_MAX, "!%d", page->count - 1);
	return true;
}

/* What was asked for with one user less: its users were read, and it must have a cursor. */
static bool
end_probe(bool found, NauthPage *page, NauthError *error)
{
	page->count = 0;
	page->next[0] = '\0';
	page->last = found;
	if (found)
		return true;
	error->hint = NEXT_HINT;
	return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
						   "a page that is not the last has no cursor of the next one");
}

static bool
follow_url(const NauthSettings *settings, const Step * step, NauthSpan url, NauthPage *page, NauthError *error)
{
	char		base[NAUTH_URL_MAX];

	write_base(settings, base);
	if (!nauth_link_go_on(base, url, ADDRESS_HINT, page, error))
		return false;
	if (nauth_generic_counts_query(settings, step->at != NULL && step->at[0] == '?' ? step->at + 1 : NULL, page->next))
		return counts(page, error);
	return mark_next('?', page, error);
}

/* Whether a cursor is a URL, of the users or of anything else. */
static bool
is_url(const NauthSettings *settings, const char *text)
{
	NauthSpan	url = {text, strlen(text)};
	char		base[NAUTH_URL_MAX];

	write_base(settings, base);
	return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0 ||
		nauth_link_leads_to(base, url);
}

/* Read the cursor of the next page; "" if there is none. */
static bool
read_next(const NauthSettings *settings, const NauthReply *reply, NauthPage *page, NauthError *error)
{
	NauthSpan	next = nauth_read_path(reply->body, settings->more[NAUTH_SETTING_NEXT_MEMBER]);
	int64_t		number;

	if (nauth_slice_is_null(next))
		page->next[0] = '\0';
	else if (nauth_slice_int64(next, &number))
		snprintf(page->next, NAUTH_CURSOR_MAX, "%" PRId64, number);
	else if (!nauth_slice_text(next, page->next, NAUTH_CURSOR_MAX))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the cursor of the next page is no text, or too long a one");
	return true;
}

static bool
follow_member(const NauthSettings *settings, const Step * step, int limit, const NauthReply *reply,
			  NauthPage *page, NauthError *error)
{
	if (!read_next(settings, reply, page, error))
		return false;
	if (step->at != NULL && step->at[0] == '!')
		return end_probe(page->next[0] != '\0', page, error);
	if (page->next[0] == '\0' && step->at == NULL)
		return doubt_first(settings, limit, page, error);
	page->last = page->next[0] == '\0';
	if (page->last)
		return true;
	if (is_url(settings, page->next))
	{
		char		text[NAUTH_CURSOR_MAX];
		NauthSpan	url = {text, strlen(page->next)};

		memcpy(text, page->next, url.len + 1);
		return follow_url(settings, step, url, page, error);
	}
	if (nauth_generic_counts(settings, step->at != NULL && step->at[0] == '=' ? step->at + 1 : NULL, page))
		return counts(page, error);
	return mark_next('=', page, error);
}

static bool
follow_header(const NauthSettings *settings, const Step * step, const char *header, NauthPage *page, NauthError *error)
{
	NauthLinks	links = {0};

	if (header == NULL || !nauth_link_read(header, &links) || !links.paged)
	{
		error->hint = "A proxy may have taken it off. Where the directory sends none when one page has all users, use its page numbers: ALTER SERVER %s OPTIONS (SET paging 'page');";
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the page has no header Link that is about pages");
	}
	page->last = links.next.data == NULL;
	return page->last || follow_url(settings, step, links.next, page, error);
}

/* Count the users of a page, and put that before the next cursor. */
static bool
count_page(const Step * step, NauthPage *page, NauthError *error)
{
	NauthGenericCount count = step->count;
	char		text[NAUTH_CURSOR_MAX];
	int			used;

	if (page->total < 0)
		return true;
	nauth_generic_note_total(&count, page->total);
	count.read += page->count;
	if (page->last ? !nauth_generic_is_all(&count) : nauth_generic_is_more(&count))
	{
		page->last = false;
		page->next[0] = '\0';
		error->hint = "Try again. If it stays so, check option total_member: it has to be the number of users that the list has, and no other: ALTER SERVER %s OPTIONS (DROP total_member);";
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the listing has another number of users than the total that the directory names");
	}
	if (page->last)
		return true;
	memcpy(text, page->next, strlen(page->next) + 1);
	used = snprintf(page->next, NAUTH_CURSOR_MAX, "#%" PRId64 " %" PRId64 " %d ", count.read, count.total, count.moved);
	if ((size_t) used + strlen(text) >= NAUTH_CURSOR_MAX)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE, "a cursor is too long");
	memcpy(page->next + used, text, strlen(text) + 1);
	return true;
}

bool
nauth_generic_follow(const NauthSettings *settings, const char *cursor, int limit, const NauthReply *reply,
					 NauthPage *page, NauthError *error)
{
	bool		link = nauth_generic_paging(settings) == NAUTH_GENERIC_LINK;
	Step		step;

	(void) read_step(cursor, &step);
	return (link ? follow_header(settings, &step, reply->header, page, error) :
			follow_member(settings, &step, limit, reply, page, error)) &&
		count_page(&step, page, error);
}
