/*-------------------------------------------------------------------------
 *
 * offset.c
 *	  Paging by offset through a list that may shift meanwhile.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "offset.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Rows that a page and the one before share, unless half a page is less. */
#define OVERLAP			10

static void
add_mark(NauthOffset *offset, const char *id)
{
	if (id[0] != '\0' && offset->marks < NAUTH_OFFSET_MARKS)
		memcpy(offset->ids[offset->marks++], id, strlen(id) + 1);
}

/* A cursor is "skip overlap", then " length:id" for each mark. */
void
nauth_offset_write(const NauthOffset *offset, char *cursor, int used)
{
	used += snprintf(cursor + used, NAUTH_CURSOR_MAX - used, "%" PRId64 " %" PRId64,
					 offset->skip, offset->overlap);
	for (int i = 0; i < offset->marks; i++)
		used += snprintf(cursor + used, NAUTH_CURSOR_MAX - used, " %zu:%s",
						 strlen(offset->ids[i]), offset->ids[i]);
}

bool
nauth_offset_number(const char **p, int64_t most, int64_t *number)
{
	const char *start = *p;

	for (*number = 0; **p >= '0' && **p <= '9' && *number <= most; (*p)++)
		*number = *number * 10 + (**p - '0');
	return *p > start && *number <= most;
}

int64_t
nauth_offset_choose(int64_t begin, int64_t unread, int most, int64_t *number, int *size)
{
	int64_t		best = unread;

	for (int n = most; n > 0 && begin + n > best; n--)
	{
		int64_t		end = begin / n * n + n;

		if (end <= best)
			continue;
		best = end;
		*number = begin / n;
		*size = n;
	}
	return best;
}

bool
nauth_offset_read(const char *cursor, NauthOffset *offset)
{
	const char *p = cursor;

	offset->skip = 0;
	offset->overlap = 0;
	offset->marks = 0;
	if (p == NULL)
		return true;
	if (!nauth_offset_number(&p, NAUTH_OFFSET_MAX, &offset->skip) || *p++ != ' ' ||
		!nauth_offset_number(&p, NAUTH_OFFSET_MAX, &offset->overlap))
		return false;
	while (*p == ' ' && offset->marks < NAUTH_OFFSET_MARKS)
	{
		char	   *id = offset->ids[offset->marks];
		int64_t		len;

		p++;
		if (!nauth_offset_number(&p, NAUTH_ID_MAX, &len) || *p++ != ':' ||
			strnlen(p, len) < (size_t) len)
			return false;
		memcpy(id, p, len);
		id[len] = '\0';
		p += len;
		offset->marks++;
	}
	return *p == '\0' && offset->marks > 0;
}

/* How many users of a page were read before, or -1 when nobody knows. */
static int
count_known(const NauthOffset *offset, const NauthPage *page)
{
	for (int mark = 0; mark < offset->marks; mark++)
	{
		for (int i = page->count; i > 0; i--)
		{
			if (strcmp(page->users[i - 1].id, offset->ids[mark]) == 0)
				return i;
		}
	}
	return offset->marks == 0 ? 0 : -1;
}

/* Ask for the same page again with more of what was read before. */
static bool
go_back(NauthOffset *offset, int limit, NauthPage *page, NauthError *error)
{
	int64_t		unread = offset->skip + offset->overlap;
	int64_t		widest = limit - 1;

	if (widest > unread)
		widest = unread;
	if (offset->overlap >= widest)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the directory shifted while it was read");
	offset->overlap *= 2;
	if (offset->overlap > widest)
		offset->overlap = widest;
	offset->skip = unread - offset->overlap;
	nauth_offset_write(offset, page->next, 0);
	page->count = 0;
	page->reread = true;
	return true;
}

bool
nauth_offset_join(NauthOffset *offset, int limit, NauthPage *page,
				  NauthError *error)
{
	int			known = count_known(offset, page);

	if (known < 0)
		return go_back(offset, limit, page, error);
	page->count -= known;
	memmove(page->users, page->users + known,
			(size_t) page->count * sizeof(NauthUser));
	return true;
}

/* How many users at the end of a page were changed at the same time. */
static int
count_together(const NauthPage *page)
{
	int			count = 0;

	while (count < page->count &&
		   page->users[page->count - 1 - count].has_updated_at &&
		   page->users[page->count - 1 - count].updated_at ==
		   page->users[page->count - 1].updated_at)
		count++;
	return count;
}

int
nauth_offset_overlap(int rows)
{
	return rows / 2 < OVERLAP ? rows / 2 : OVERLAP;
}

void
nauth_offset_remember(const NauthOffset *offset, const NauthPage *page, int but, NauthOffset *next)
{
	next->marks = 0;
	for (int i = page->count - 1 - but; i >= 0; i--)
		add_mark(next, page->users[i].id);
	for (int i = 0; i < offset->marks; i++)
		add_mark(next, offset->ids[i]);
}

bool
nauth_offset_go_on(const NauthOffset *offset, const NauthQuery *query,
				   int limit, NauthPage *page, NauthError *error)
{
	int			again = query->kind == NAUTH_QUERY_CHANGES ? count_together(page) : 0;
	int			room = limit - 1 - again;
	NauthOffset next;

	page->next[0] = '\0';
	if (again > 0 && room <= 0)
		return true;
	next.overlap = nauth_offset_overlap(limit);
	if (next.overlap > room)
		next.overlap = room;
	next.overlap += again;
	next.skip = offset->skip + limit - next.overlap;
	nauth_offset_remember(offset, page, again, &next);
	if (next.marks == 0)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "no user of a page has an id to continue from");
	nauth_offset_write(&next, page->next, 0);
	return true;
}
