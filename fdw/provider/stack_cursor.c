/*-------------------------------------------------------------------------
 *
 * stack_cursor.c
 *	  Where a listing of Stack Auth stands.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "stack.h"

#include <string.h>

#include "asking.h"

/* Read a UUID and go behind it.  False when there is none. */
static bool
read_id(const char **text, char id[NAUTH_STACK_ID])
{
	size_t		len = strnlen(*text, NAUTH_STACK_ID - 1);

	memcpy(id, *text, len);
	id[len] = '\0';
	*text += len;
	return nauth_ask_is_uuid(id);
}

bool
nauth_stack_cursor_read(const char *text, NauthStackCursor *cursor)
{
	cursor->asked[0] = '\0';
	cursor->marks = 0;
	if (text == NULL)
		return true;
	if (!read_id(&text, cursor->asked))
		return false;
	while (*text == ' ' && cursor->marks < NAUTH_STACK_MARKS)
	{
		text++;
		if (!read_id(&text, cursor->ids[cursor->marks]))
			return false;
		cursor->marks++;
	}
	return *text == '\0';
}

/* A cursor is UUIDs with a blank between: the one to ask with, and the marks. */
static void
write_cursor(const NauthStackCursor *cursor, const char *asked, char text[NAUTH_CURSOR_MAX])
{
	const size_t len = NAUTH_STACK_ID - 1;

	memcpy(text, asked, len);
	text += len;
	for (int i = 0; i < cursor->marks; i++)
	{
		*text++ = ' ';
		memcpy(text, cursor->ids[i], len);
		text += len;
	}
	*text = '\0';
}

/* The number of the mark with this id, or -1. */
static int
find_mark(const NauthStackCursor *cursor, const char *id)
{
	for (int i = 0; i < cursor->marks; i++)
	{
		if (strcmp(cursor->ids[i], id) == 0)
			return i;
	}
	return -1;
}

/* Ask again, from this mark on. */
static bool
go_back(const NauthStackCursor *cursor, int mark, NauthPage *page, NauthError *error)
{
	if (mark >= cursor->marks)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the users read last were deleted while the directory was read");
	write_cursor(cursor, cursor->ids[mark], page->next);
	page->count = 0;
	page->reread = true;
	return true;
}

/*
 * A cursor that is no mark is of a user to come, with whom the page has to begin:
 * a server of the other kind, should it take over in mid-listing, would leave him
 * out.
 */
bool
nauth_stack_cursor_join(const NauthStackCursor *cursor, NauthPage *page, NauthError *error)
{
	int			mark = find_mark(cursor, cursor->asked);
	int			kept = 0;

	if (cursor->asked[0] == '\0')
		return true;
	if (page->count == 0 || (mark < 0 && strcmp(page->users[0].id, cursor->asked) != 0))
		return go_back(cursor, mark + 1, page, error);
	for (int i = 0; i < page->count; i++)
	{
		if (find_mark(cursor, page->users[i].id) < 0)
			page->users[kept++] = page->users[i];
	}
	page->count = kept;
	return true;
}

/*
 * Remember the users of a page.  Marks follow each other without a gap, so
 * that going back to one brings nobody again who is no mark; so none is older
 * than a user whose id cannot be one.
 */
static void
mark_users(const NauthStackCursor *cursor, const NauthPage *page, NauthStackCursor *next)
{
	int			i = page->count - 1;

	next->marks = 0;
	for (; i >= 0 && next->marks < NAUTH_STACK_MARKS; i--)
	{
		if (!nauth_ask_is_uuid(page->users[i].id))
			return;
		memcpy(next->ids[next->marks++], page->users[i].id, NAUTH_STACK_ID);
	}
	for (i = 0; i < cursor->marks && next->marks < NAUTH_STACK_MARKS; i++)
		memcpy(next->ids[next->marks++], cursor->ids[i], NAUTH_STACK_ID);
}

bool
nauth_stack_cursor_go_on(const NauthStackCursor *cursor, const char *next, NauthPage *page,
						 NauthError *error)
{
	NauthStackCursor later;

	/* the marks may differ, so that our own cursor is another one */
	if (strcmp(next, cursor->asked) == 0)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE, "the provider repeated a cursor");
	mark_users(cursor, page, &later);
	write_cursor(&later, next, page->next);
	page->reread = page->count == 0;
	return true;
}
