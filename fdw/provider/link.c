/*-------------------------------------------------------------------------
 *
 * link.c
 *	  The header Link (RFC 8288), in which some providers say where a listing
 *	  goes on, and URLs that lead there.
 *
 * That no link leads on is how a listing ends, so a header that is lost, cut
 * off or not understood must not look like it.  Okta names the page itself in
 * each reply, which tells its own links from those of a proxy; others name at
 * least the first or the last one.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "link.h"

#include <string.h>
#include <strings.h>

#define BLANKS	" \t"

/* What may stand in the query of a URL without being encoded, and '%'. */
#define QUERY_CHARACTERS \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" \
	"-._~!$&'()*+,;=:@/?%[]"

static const char *
skip_blanks(const char *p)
{
	return p + strspn(p, BLANKS);
}

/* Whether a parameter's name, or a relation, of len bytes is this word. */
static bool
is_word(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

static void
keep(NauthLinks *links, NauthSpan *place, NauthSpan url)
{
	links->repeated |= place->data != NULL;
	*place = url;
}

/* Whether a relation is one between pages, which only the provider's own links have. */
static bool
is_of_pages(const char *text, size_t len)
{
	static const char *const relations[] = {"self", "next", "first", "prev", "previous", "last", NULL};

	for (int i = 0; relations[i] != NULL; i++)
		if (is_word(text, len, relations[i]))
			return true;
	return false;
}

/* A value of rel may name several relations. */
static void
keep_relations(NauthLinks *links, NauthSpan url, NauthSpan value)
{
	const char *p = value.data;
	const char *end = p + value.len;

	while (p < end)
	{
		const char *start = p;

		while (p < end && *p != ' ' && *p != '\t')
			p++;
		if (is_word(start, (size_t) (p - start), "self"))
			keep(links, &links->self, url);
		else if (is_word(start, (size_t) (p - start), "next"))
			keep(links, &links->next, url);
		links->paged |= is_of_pages(start, (size_t) (p - start));
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
	}
}

/* Read the value of a parameter, quoted or not.  NULL if it does not end. */
static const char *
read_value(const char *p, NauthSpan *value)
{
	bool		quoted = *p == '"';

	value->data = p + quoted;
	value->len = 0;
	if (!quoted)
	{
		value->len = strcspn(p, BLANKS ",;\"<>");
		return value->len > 0 ? p + value->len : NULL;
	}
	for (p = value->data; *p != '"'; p++)
	{
		if (*p == '\\')
			p++;
		if (*p == '\0')
			return NULL;
	}
	value->len = (size_t) (p - value->data);
	return p + 1;
}

/* Read "; name=value" up to the end of a link.  NULL if that is something else. */
static const char *
read_parameters(const char *p, NauthLinks *links, NauthSpan url)
{
	bool		related = false;

	for (p = skip_blanks(p); *p == ';'; p = skip_blanks(p))
	{
		const char *name = skip_blanks(p + 1);
		size_t		len = strcspn(name, BLANKS "=,;\"<>");
		NauthSpan	value = {NULL, 0};

		p = skip_blanks(name + len);
		if (*p == '=' && (p = read_value(skip_blanks(p + 1), &value)) == NULL)
			return NULL;
		if (!is_word(name, len, "rel"))
			continue;
		if (value.data == NULL || related || memchr(value.data, '\\', value.len) != NULL)
			return NULL;
		keep_relations(links, url, value);
		related = true;
	}
	return *p == ',' || *p == '\0' ? p : NULL;
}

bool
nauth_link_read(const char *header, NauthLinks *links)
{
	const char *p = header;

	memset(links, 0, sizeof(NauthLinks));
	for (p += strspn(p, BLANKS ","); *p != '\0'; p += strspn(p, BLANKS ","))
	{
		NauthSpan	url = {p + 1, 0};

		if (*p != '<')
			return false;
		url.len = strcspn(url.data, "<>");
		if (url.data[url.len] != '>')
			return false;
		p = read_parameters(url.data + url.len + 1, links, url);
		if (p == NULL)
			return false;
	}
	return !links->repeated;
}

bool
nauth_link_is_cursor(const char *cursor, size_t len)
{
	return len > 0 && len < NAUTH_CURSOR_MAX && strspn(cursor, QUERY_CHARACTERS) >= len;
}

/*
 * Where the query of a URL begins if it has this base, or NULL.  In scheme and host
 * case does not matter; both may be left out.  The '?' that has to be behind the
 * base ends it, so that no longer host or path begins with ours.
 */
static const char *
find_query(const char *base, NauthSpan url)
{
	const char *authority = strstr(base, "://");
	size_t		host = authority == NULL ? 0 : (size_t) (authority - base) + 3;
	size_t		len;

	host += strcspn(base + host, "/");
	if (url.len > 0 && url.data[0] == '?')
		return url.data + 1;
	if (url.len > 0 && url.data[0] == '/')
	{
		base += host;
		host = 0;
	}
	len = strlen(base);
	if (url.len <= len || url.data[len] != '?' || strncasecmp(url.data, base, host) != 0 ||
		memcmp(url.data + host, base + host, len - host) != 0)
		return NULL;
	return url.data + len + 1;
}

bool
nauth_link_leads_to(const char *base, NauthSpan url)
{
	return find_query(base, url) != NULL;
}

static bool
leads_elsewhere(const char *hint, NauthError *error)
{
	error->hint = hint;
	return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
						   "the link to the next page leads to another address");
}

bool
nauth_link_go_on(const char *base, NauthSpan url, const char *hint, NauthPage *page,
				 NauthError *error)
{
	const char *query = find_query(base, url);
	size_t		len;

	if (query == NULL)
		return leads_elsewhere(hint, error);
	len = (size_t) (url.data + url.len - query);
	if (!nauth_link_is_cursor(query, len))
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the link to the next page is too long or has a character that no link has");
	memcpy(page->next, query, len);
	page->next[len] = '\0';
	return true;
}

bool
nauth_link_follow(const char *base, const char *header, const char *hint,
				  NauthPage *page, NauthError *error)
{
	NauthLinks	links;

	if (header == NULL)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page has no header Link, or too long a one");
	if (!nauth_link_read(header, &links))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the header Link of the page is no list of links, or has one twice");
	if (links.self.data == NULL)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the header Link of the page does not name the page itself");
	page->last = links.next.data == NULL;
	if (!page->last && strchr("/?", links.next.data[0]) != NULL)
		return leads_elsewhere(hint, error);
	return page->last || nauth_link_go_on(base, links.next, hint, page, error);
}
