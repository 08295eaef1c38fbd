/*-------------------------------------------------------------------------
 *
 * generic_counter.c
 *	  A directory of one's own: cursors that only count pages or users.
 *
 * With such a cursor users who are deleted while the directory is read move others
 * into the part that was read, and nobody notices: paging by numbers and by offsets
 * does.  It shows by its name, if it is an integer, or by its value: it is the number
 * of the second page, or of the users on the first one, or one more each time.  One
 * that is the id of the last user is no such cursor, unless it could be both.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "generic.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS		"0123456789"
#define DIGITS_MAX	18

#define NAME_MAX_BYTES	32

/* Letters and digits alone, in lower case. */
static const char *const counter_names[] = {
	"page", "p", "pg", "pageno", "pagenum", "pagenumber", "pagenr", "pageindex", "pageoffset", "pagestart", "currentpage",
	"nextpage", "offset", "skip", "skipcount", "start", "startat", "startindex", "startfrom", "startrow", "startposition",
	"first", "firstresult", "firstrow", "firstindex", "from", "begin", "beginindex", "index", "row", "position", NULL
};

/* A name as those above, of one in a URL, where characters may be encoded. */
static void
fold_name(const char *name, size_t len, char folded[NAME_MAX_BYTES])
{
	size_t		used = 0;

	for (size_t i = 0; i < len && used < NAME_MAX_BYTES - 1; i++)
	{
		if (name[i] == '%' && i + 2 < len)
			i += 2;				/* no letter nor digit has to be */
		else if (isalnum((unsigned char) name[i]))
			folded[used++] = (char) tolower((unsigned char) name[i]);
	}
	folded[used] = '\0';
}

static bool
is_counter(const char *folded)
{
	for (int i = 0; counter_names[i] != NULL; i++)
		if (strcmp(folded, counter_names[i]) == 0)
			return true;
	return false;
}

/* The integer that is all of a text of so many bytes, or -1. */
static int64_t
read_integer(const char *text, size_t len)
{
	return len > 0 && len <= DIGITS_MAX && strspn(text, DIGITS) >= len ? strtoll(text, NULL, 10) : -1;
}

/* The integer that a query has under this name, or -1. */
static int64_t
find_integer(const char *query, const char *name, size_t len)
{
	for (const char *p = query; p != NULL; p = strchr(p, '&'))
	{
		p += *p == '&';
		if (strncmp(p, name, len) == 0 && p[len] == '=')
			return read_integer(p + len + 1, strcspn(p + len + 1, "&"));
	}
	return -1;
}

bool
nauth_generic_counts_query(const NauthSettings *settings, const char *before, const char *query)
{
	const char *size = nauth_generic_size_parameter(settings);
	char		folded_size[NAME_MAX_BYTES] = "";
	char		folded[NAME_MAX_BYTES];

	if (size != NULL)
		fold_name(size, strlen(size), folded_size);
	for (const char *p = query; p != NULL; p = strchr(p, '&'))
	{
		size_t		len;
		int64_t		number;
		int64_t		last;

		p += *p == '&';
		len = strcspn(p, "=&");
		number = p[len] == '=' ? read_integer(p + len + 1, strcspn(p + len + 1, "&")) : -1;
		fold_name(p, len, folded);
		if (number < 0 || strcmp(folded, folded_size) == 0)
			continue;
		last = find_integer(before, p, len);
		if (is_counter(folded) || (last >= 0 && number == last + 1))
			return true;
	}
	return false;
}

bool
nauth_generic_counts(const NauthSettings *settings, const char *before, const NauthPage *page)
{
	const char *name = nauth_generic_page_parameter(settings);
	const char *last_id = page->count > 0 ? page->users[page->count - 1].id : "";
	int64_t		number = read_integer(page->next, strlen(page->next));
	int64_t		last = before != NULL ? read_integer(before, strlen(before)) : -1;
	char		folded[NAME_MAX_BYTES];

	if (number < 0)
		return false;
	if (before == NULL && number == page->count)
		return true;
	if (strcmp(last_id, page->next) == 0)
		return false;
	fold_name(name, strlen(name), folded);
	return is_counter(folded) ||
		(before == NULL && (number <= 2 || number == page->count + 1)) ||
		(last >= 0 && number == last + 1);
}
