/*-------------------------------------------------------------------------
 *
 * generic_cursor.c
 *	  A directory of one's own: paging by cursors and by the header Link.
 *
 * A listing ends where no cursor follows, and that looks the same as a cursor that
 * is elsewhere than option next_member says.  So a page that has no such member at
 * all is an end only after one that had it.  If that is the first page, it is asked
 * for again with one user less: then there must be a next one.
 *
 * A cursor may be a URL, of which the query is taken, and only if it is the address
 * of the users: the credential goes nowhere else.  It must not be one that only
 * counts: nothing would show that the directory shifts.
 *
 * A cursor of ours is "=" and that of the directory, "?" and the query of a URL, or
 * "!" and the number of users to ask for on the first page.
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

#define ADDRESS_HINT \
	"Set the address and the path that the directory itself uses in its replies with: ALTER SERVER %s OPTIONS (SET url 'https://...', SET list_path '/...');"

#define NEXT_HINT \
	"Name the member that has the cursor of the next page: ALTER SERVER %s OPTIONS (SET next_member '...'); or, if the directory leaves it out when there is none, let it be asked for pages of a size: option size_parameter."

bool
nauth_generic_is_query(const char *cursor)
{
	return cursor[0] == '?';
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

	if (nauth_generic_is_query(cursor))
		return nauth_link_is_cursor(cursor + 1, strlen(cursor + 1));
	return !link && (read_probe(cursor) > 0 || (cursor[0] == '=' && cursor[1] != '\0'));
}

void
nauth_generic_write_cursor(const NauthSettings *settings, const char *cursor, int limit, NauthRequest *request)
{
	const char *size = nauth_generic_size_parameter(settings);
	int			probe = cursor != NULL ? read_probe(cursor) : 0;

	if (size != NULL)
		nauth_request_number(request, size, probe > 0 ? probe : limit);
	if (cursor != NULL && probe == 0)
		nauth_request_parameter(request, nauth_generic_page_parameter(settings), cursor + 1);
}

/* The address of the users, without a query. */
static void
write_base(const NauthSettings *settings, char base[NAUTH_URL_MAX])
{
	const char *path = settings->more[NAUTH_SETTING_LIST_PATH];

	snprintf(base, NAUTH_URL_MAX, "%s%.*s", settings->url, (int) strcspn(path, "?"), path);
}

/*
 * Whether the query of a URL only counts pages or rows.  Then users who are deleted
 * while the directory is read move others into the part that was read, and nobody
 * notices: paging by numbers does.
 */
static bool
counts_pages(const char *query)
{
	static const char *const names[] = {
		"page", "p", "_page", "pageno", "page_no", "pagenumber", "page_number", "pageindex", "page_index", "page[number]",
		"page%5Bnumber%5D", "page[offset]", "page%5Boffset%5D", "offset", "skip", "$skip", "%24skip", "start", "_start",
		"startindex", "start_index", "from", NULL
	};

	for (const char *p = query; p != NULL; p = strchr(p, '&'))
	{
		size_t		name;
		size_t		digits;

		p += *p == '&';
		name = strcspn(p, "=&");
		digits = p[name] == '=' ? strspn(p + name + 1, "0123456789") : 0;
		for (int i = 0; digits > 0 && strchr("&", p[name + 1 + digits]) != NULL && names[i] != NULL; i++)
			if (name == strlen(names[i]) && strncasecmp(p, names[i], name) == 0)
				return true;
	}
	return false;
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

/* The first page has no member for a cursor: ask in another way, or believe it. */
static bool
doubt_first(const NauthSettings *settings, int limit, NauthPage *page, NauthError *error)
{
	page->last = page->count == page->total || (page->count <= 1 && limit > 1);
	if (page->last)
		return true;
	if (nauth_generic_size_parameter(settings) == NULL)
	{
		error->hint = NEXT_HINT;
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the page does not say whether there is a next one");
	}
	snprintf(page->next, NAUTH_CURSOR_MAX, "!%d", page->count - 1);
	page->count = 0;
	page->reread = true;
	return true;
}

static bool
follow_url(const NauthSettings *settings, NauthSpan url, NauthPage *page, NauthError *error)
{
	char		base[NAUTH_URL_MAX];

	write_base(settings, base);
	if (!nauth_link_go_on(base, url, ADDRESS_HINT, page, error))
		return false;
	if (counts_pages(page->next))
	{
		error->hint = "Ask for the numbers themselves, with which it would be noticed: ALTER SERVER %s OPTIONS (SET paging 'page', ADD page_parameter '...'), or paging 'offset' where the link counts users.";
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the link to the next page counts pages or users, so that one who moves meanwhile would be lost");
	}
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

static bool
follow_member(const NauthSettings *settings, const char *cursor, int limit, const NauthReply *reply,
			  NauthPage *page, NauthError *error)
{
	NauthSpan	next = nauth_read_path(reply->body, settings->more[NAUTH_SETTING_NEXT_MEMBER]);
	int64_t		number;

	if (next.data == NULL && cursor == NULL)
		return doubt_first(settings, limit, page, error);
	if (next.data == NULL && cursor[0] == '!')
	{
		error->hint = NEXT_HINT;
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "a page that is not the last has no cursor of the next one");
	}
	if (nauth_slice_is_null(next))
		page->last = true;
	else if (nauth_slice_int64(next, &number))
		snprintf(page->next, NAUTH_CURSOR_MAX, "%" PRId64, number);
	else if (!nauth_slice_text(next, page->next, NAUTH_CURSOR_MAX))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the cursor of the next page is no text, or too long a one");
	page->last |= page->next[0] == '\0';
	if (page->last)
		return true;
	if (is_url(settings, page->next))
	{
		char		text[NAUTH_CURSOR_MAX];
		NauthSpan	url = {text, strlen(page->next)};

		memcpy(text, page->next, url.len + 1);
		return follow_url(settings, url, page, error);
	}
	return mark_next('=', page, error);
}

static bool
follow_header(const NauthSettings *settings, const char *header, NauthPage *page, NauthError *error)
{
	NauthLinks	links = {0};

	if (header == NULL || !nauth_link_read(header, &links) || !links.paged)
	{
		error->hint = "A proxy may have taken it off. Where the directory sends none when one page has all users, use its page numbers: ALTER SERVER %s OPTIONS (SET paging 'page');";
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the page has no header Link that is about pages");
	}
	page->last = links.next.data == NULL;
	return page->last || follow_url(settings, links.next, page, error);
}

bool
nauth_generic_follow(const NauthSettings *settings, const char *cursor, int limit, const NauthReply *reply,
					 NauthPage *page, NauthError *error)
{
	if (nauth_generic_paging(settings) == NAUTH_GENERIC_LINK)
		return follow_header(settings, reply->header, page, error);
	return follow_member(settings, cursor, limit, reply, page, error);
}
