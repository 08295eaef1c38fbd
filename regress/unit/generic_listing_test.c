/*-------------------------------------------------------------------------
 *
 * generic_listing_test.c
 *	  Unit tests of listings of the provider "generic": of directories that shift,
 *	  are capped, or do not do as they are asked.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"
#include "generic_unit.h"

/* How the simulated directory answers. */
static struct
{
	int			cap;			/* users of a page at most, or 0 */
	bool		deaf;			/* the place of a page is not heeded */
	bool		sizeless;		/* nor its size: it is the cap */
	bool		newest;
	bool		total;
	int			more;			/* users that are counted and not listed */
	bool		of_page;		/* it is the number of those on the page */
	int			hole;			/* so many places are not shown, on any page */
	enum
	{
		OPAQUE, ROWS, PAGES, IDS
	}			cursor;			/* what it is */
	int			ends;			/* 1: it is null where there is none, 2: "" */
}			how;

/* A directory that does as it is asked, by pages of this kind. */
static void
begin_listing(const char *paging)
{
	begin_paged(paging);
	memset(&how, 0, sizeof(how));
}

static void
begin_cursor_listing(const char *member)
{
	begin_cursors(member);
	memset(&how, 0, sizeof(how));
}

/* ---- Offsets and numbered pages */

static NauthSpan
answer(void)
{
	static char body[DIRECTORY_MAX * 80];
	bool		numbered = strstr(unit_request.url, "page=") != NULL;
	int			limit = directory_asked("limit=");
	int			len = sprintf(body, "{\"users\":[");
	int			rows = 0;
	int			from;

	if (how.sizeless || (how.cap > 0 && limit > how.cap))
		limit = how.cap;
	from = numbered ? (directory_asked("page=") - 1) * limit : directory_asked("offset=");
	if (how.deaf)
		from = 0;
	for (int i = from; i < from + limit && i < directory_size; i++)
	{
		rows++;
		if (i < 3 || i >= 3 + how.hole)
			len += sprintf(body + len, "%s{\"id\":\"u%d\",\"updatedAt\":\"2026-02-01T08:30:00.456Z\"}",
						   body[len - 1] == '[' ? "" : ",", directory_at(i, how.newest)->number);
	}
	len += sprintf(body + len, how.total ? "],\"total\":%d}" : "]}", how.of_page ? rows : directory_size + how.more);
	return unit_copy(body, (size_t) len);
}

static const Server server = {GENERIC, NAUTH_QUERY_LIST, "u%d", answer};

static void
test_quiet(const char *paging, int smallest)
{
	for (int total = 0; total < 2; total++)
	{
		int			failed = 0;

		begin_listing(paging);
		how.total = total;
		if (total)
			set(NAUTH_SETTING_TOTAL_MEMBER, "total");
		for (int page_size = smallest; page_size <= 45; page_size++)
			for (int size = 0; size <= 150; size++)
			{
				directory_fill(size);
				failed += directory_list(&server, page_size, NULL) != NAUTH_OK || directory_wrong(size) > 0;
			}
		is_int(failed, 0, "directories of many sizes in pages of many sizes");
		directory_fill(2500);
		ok(directory_list(&server, 100, NULL) == NAUTH_OK && directory_wrong(2500) == 0, "and a large one");
	}
}

/* A total that was the same all the time is exact, also where pages have holes. */
static void
test_total(const char *paging)
{
	begin_listing(paging);
	set(NAUTH_SETTING_TOTAL_MEMBER, "total");
	how.total = true;
	directory_fill(150);
	ok(directory_list(&server, 40, NULL) == NAUTH_OK && directory_wrong(150) == 0, "as many as it says");
	how.more = 1;
	ok(directory_list(&server, 40, NULL) == NAUTH_ERROR_INCOMPLETE, "one less");
	how.more = -1;
	ok(directory_list(&server, 40, NULL) == NAUTH_ERROR_INCOMPLETE, "one more");
	how.more = 0;
	for (how.hole = 1; how.hole <= 5; how.hole++)
		ok(directory_list(&server, 40, NULL) == NAUTH_ERROR_INCOMPLETE, "users who are taken off a page");
	how.hole = 0;
	for (int size = 0; size <= 130; size++)
	{
		NauthErrorKind kind;

		/* so that the total of a page cannot be told from one of all users */
		how.of_page = true;
		how.cap = 10;
		directory_fill(size);
		kind = directory_list(&server, 40, NULL);
		tally_add(kind, directory_wrong(size));
	}
	tally_check(1, "a total that is that of the page ends no listing");
}

/* Fewer users than asked for: complete where offsets are, or an error. */
static void
test_capped(const char *paging, bool complete)
{
	begin_listing(paging);
	/* two users in a page are less than anybody would have */
	for (int cap = complete ? 2 : 3; cap <= 40; cap++)
		for (int size = 0; size <= 130; size++)
		{
			NauthErrorKind kind;

			how.cap = cap;
			directory_fill(size);
			kind = directory_list(&server, 40, NULL);
			tally_add(kind, directory_wrong(size));
			if (!complete)
				continue;
			kind = directory_list(&server, 2 + size % 15, NULL);
			tally_add(kind, directory_wrong(size));
		}
	if (complete)
		is_int(tally.incomplete, 0, "all are complete");
	tally_check(200, "capped: a listing that says it is complete has lost nobody");
}

/* A server that does not heed where a page is to begin. */
static void
test_deaf(const char *paging)
{
	for (int total = 0; total < 2; total++)
	{
		int			passed = 0;

		begin_listing(paging);
		how.deaf = true;
		how.total = total;
		if (total)
			set(NAUTH_SETTING_TOTAL_MEMBER, "total");
		for (int page_size = 20; page_size <= 40; page_size++)
			for (int size = page_size + 1; size <= 130; size++)
			{
				directory_fill(size);
				passed += directory_list(&server, page_size, NULL) == NAUTH_OK;
			}
		is_int(passed, 0, "no listing of a server that shows the same page again is complete");
		for (int size = 2; size <= 60; size++)
		{
			how.sizeless = true;
			how.cap = 20;
			directory_fill(size);
			passed += directory_list(&server, 40, NULL) == NAUTH_OK && directory_lost(size) > 0;
		}
		is_int(passed, 0, "nor if it does not heed the size");
	}
}

/* A size that is not asked for. */
static void
test_sizeless(void)
{
	int			failed = 0;

	begin_listing("offset");
	set(NAUTH_SETTING_SIZE_PARAMETER, "none");
	how.sizeless = true;
	for (int cap = 2; cap <= 40; cap++)
		for (int size = 0; size <= 130; size++)
		{
			how.cap = cap;
			directory_fill(size);
			failed += directory_list(&server, 40, NULL) != NAUTH_OK || directory_wrong(size) > 0;
		}
	is_int(failed, 0, "pages of the directory's own size");
}

/* Any deletion at any time: complete and nobody lost, or not complete. */
static void
test_deletions(const char *paging, bool newest, int page_size, bool total)
{
	begin_listing(paging);
	how.newest = newest;
	how.total = total;
	if (total)
		set(NAUTH_SETTING_TOTAL_MEMBER, "total");
	for (int after = 1; after <= 6; after++)
		for (int position = 0; position < 70; position++)
			for (int count = 1; count <= 70 - position; count += total ? 5 : 1)
			{
				Change		change = {after, directory_delete, position, count};
				NauthErrorKind kind;

				directory_fill(70);
				kind = directory_list(&server, page_size, &change);
				tally_add(kind, directory_wrong(70));
			}
	tally_check(1000, "deletions: a listing that says it is complete has lost nobody");
}

static void
test_insertions(const char *paging, bool total)
{
	begin_listing(paging);
	how.total = total;
	if (total)
		set(NAUTH_SETTING_TOTAL_MEMBER, "total");
	for (int after = 1; after <= 6; after++)
		for (int position = 0; position <= 70; position++)
			for (int count = 1; count <= 60; count += total ? 7 : 1)
			{
				Change		change = {after, directory_insert, position, count};
				NauthErrorKind kind;

				directory_fill(70);
				kind = directory_list(&server, 20, &change);
				tally_add(kind, directory_lost(70));
			}
	tally_check(1000, "insertions: a listing that says it is complete has lost nobody");
}

static void
come_and_go(void)
{
	if (unit_below(2) == 0)
		directory_delete(unit_below(directory_size + 1), 1 + unit_below(4));
	if (unit_below(2) == 0)
		directory_insert(unit_below(directory_size + 1), 1 + unit_below(3));
}

/* Users come and go after every page, anywhere. */
static void
test_drift(const char *paging, int cap)
{
	begin_listing(paging);
	unit_seed = 7;
	how.cap = cap;
	meanwhile = come_and_go;
	for (int round = 0; round < 1000; round++)
	{
		NauthErrorKind kind;

		directory_fill(100 + unit_below(100));
		directory_next = 200;
		kind = directory_list(&server, 30, NULL);
		tally_add(kind, directory_lost(200));
	}
	meanwhile = NULL;
	tally_check(50, "drift: a listing that says it is complete has lost nobody");
}

/* ---- Cursors and links */

/* What is behind "cursor=" in the request, or NULL; an 'x' before a number is left out. */
static const char *
asked_cursor(void)
{
	const char *found = strstr(unit_request.url, "cursor=");

	return found == NULL ? NULL : found + strlen("cursor=") + (found[strlen("cursor=")] == 'x');
}

/* Where the page begins by the cursor. */
static int
cursor_begin(int limit)
{
	const char *asked = asked_cursor();
	int			number = asked != NULL ? atoi(asked) : 0;
	int			from = 0;

	if (asked == NULL)
		return 0;
	if (how.cursor == ROWS)
		return number;
	if (how.cursor == PAGES)
		return (number - 1) * limit;
	while (from < directory_size && directory[from].number <= number)
		from++;
	return from;
}

static NauthSpan
answer_cursor(void)
{
	static char body[DIRECTORY_MAX * 80];
	int			limit = directory_asked("limit=");
	int			len = sprintf(body, "{\"users\":[");
	int			next = 2;
	int			from;

	if (limit == 0 || (how.cap > 0 && limit > how.cap))
		limit = how.cap;
	from = cursor_begin(limit);
	for (int i = from; i < from + limit && i < directory_size; i++)
		len += sprintf(body + len, how.cursor == IDS ? "%s{\"id\":\"%d\"}" : "%s{\"id\":\"u%d\"}", i > from ? "," : "", directory[i].number);
	if (how.cursor == ROWS)
		next = from + limit;
	else if (how.cursor == PAGES)
		next = asked_cursor() != NULL ? atoi(asked_cursor()) + 1 : 2;
	else if (from + limit <= directory_size)
		next = directory[from + limit - 1].number;
	len += sprintf(body + len, "],\"total\":%d,\"meta\":{\"previous\":%s", directory_size + how.more, asked_cursor() != NULL ? "\"x0\"" : "null");
	if (from + limit < directory_size)
		len += sprintf(body + len, how.cursor == OPAQUE ? ",\"next\":\"x%d\"}}" : how.cursor == IDS ? ",\"next\":%d}}" : ",\"next\":\"%d\"}}", next);
	else
		len += sprintf(body + len, how.ends == 2 ? ",\"next\":\"\"}}" : how.ends == 1 ? ",\"next\":null}}" : "}}");
	return unit_copy(body, (size_t) len);
}

static const Server cursor_server = {GENERIC, NAUTH_QUERY_LIST, "u%d", answer_cursor};
static const Server id_server = {GENERIC, NAUTH_QUERY_LIST, "%d", answer_cursor};

static void
test_cursor(void)
{
	int			failed = 0;
	int			passed = 0;

	for (int ends = 0; ends < 3; ends++)
		for (int cap = 2; cap <= 30; cap += 7)
			for (int size = 0; size <= 90; size++)
			{
				begin_cursor_listing("meta.next");
				how.ends = ends;
				how.cap = cap;
				directory_fill(size);
				failed += directory_list(&cursor_server, 20, NULL) != NAUTH_OK || directory_wrong(size) > 0;
				set(NAUTH_SETTING_TOTAL_MEMBER, "total");
				failed += directory_list(&cursor_server, 20, NULL) != NAUTH_OK || directory_wrong(size) > 0;
				how.cursor = IDS;
				failed += directory_list(&id_server, 20, NULL) != NAUTH_OK || directory_wrong(size) > 0;
				how.cursor = OPAQUE;
				set(NAUTH_SETTING_SIZE_PARAMETER, "none");
				failed += directory_list(&cursor_server, 20, NULL) != NAUTH_OK || directory_wrong(size) > 0;
				how.cursor = OPAQUE;
				set(NAUTH_SETTING_TOTAL_MEMBER, NULL);
				failed += directory_list(&cursor_server, 20, NULL) != (size > 1 && size <= cap ? NAUTH_ERROR_INCOMPLETE : NAUTH_OK);
			}
	is_int(failed, 0, "cursors, of directories and pages of many sizes");
	for (int cap = 2; cap <= 30; cap += 4)
		for (int size = 2; size <= 90; size++)
		{
			begin_cursor_listing("next");
			how.cap = cap;
			directory_fill(size);
			passed += directory_list(&cursor_server, 20, NULL) == NAUTH_OK;
			begin_cursor_listing("meta.previous");
			how.cap = cap;
			passed += directory_list(&cursor_server, 20, NULL) == NAUTH_OK;
		}
	is_int(passed, 0, "where it is elsewhere no listing is complete, nor by the one of the page before");
	begin_cursor_listing("meta.next");
	how.cap = 20;
	directory_fill(20);
	ok(directory_list(&cursor_server, 20, NULL) == NAUTH_OK && requests == 2, "of one page it is one request more");
	directory_fill(39);
	ok(directory_list(&cursor_server, 20, NULL) == NAUTH_OK && requests == 2, "of two it is none");
	begin_cursor_listing("meta.next");
	unit_query.limit = 1;
	directory_fill(1);
	ok(directory_list(&cursor_server, 20, NULL) == NAUTH_OK && requests == 1 && directory_wrong(1) == 0, "one user who is all of them");
	directory_fill(2);
	ok(directory_list(&cursor_server, 20, NULL) == NAUTH_OK && directory_wrong(2) == 0, "or one of two");
	unit_query.limit = 0;
}

static void
test_cursor_total(void)
{
	begin_cursor_listing("meta.next");
	set(NAUTH_SETTING_TOTAL_MEMBER, "total");
	directory_fill(90);
	how.more = 1;
	ok(directory_list(&cursor_server, 20, NULL) == NAUTH_ERROR_INCOMPLETE, "one user less than the total");
	how.more = -1;
	ok(directory_list(&cursor_server, 20, NULL) == NAUTH_ERROR_INCOMPLETE, "one more");
	how.more = 0;
	for (int position = 0; position < 90; position++)
		for (int count = 1; count < 20; count++)
		{
			Change		change = {2, directory_delete, position, count};
			NauthErrorKind kind;

			directory_fill(90);
			kind = directory_list(&cursor_server, 20, &change);
			tally_add(kind, directory_wrong(90));
		}
	tally_check(1500, "deletions, with a total: a listing that says it is complete has lost nobody");
}

/* Cursors that count: whatever happens meanwhile, no listing of several pages is complete. */
static void
test_counters(void)
{
	int			passed = 0;

	for (int which = ROWS; which <= PAGES; which++)
		for (int position = 0; position < 20; position++)
			for (int size = 21; size <= 90; size++)
			{
				Change		change = {1, directory_delete, position, 1};

				begin_cursor_listing("meta.next");
				how.cursor = which;
				directory_fill(size);
				passed += directory_list(&cursor_server, 20, &change) == NAUTH_OK && directory_size > 20;
			}
	is_int(passed, 0, "no listing by cursors that count is complete");
}

int
main(void)
{
	test_quiet("offset", 2);
	test_quiet("page", 20);
	test_total("offset");
	test_total("page");
	test_capped("offset", true);
	test_capped("page", false);
	test_deaf("offset");
	test_deaf("page");
	test_sizeless();
	test_deletions("offset", false, 8, false);
	test_deletions("offset", true, 20, false);
	test_deletions("offset", false, 20, true);
	test_deletions("page", false, 20, false);
	test_deletions("page", false, 20, true);
	test_insertions("offset", false);
	test_insertions("offset", true);
	test_insertions("page", false);
	test_insertions("page", true);
	test_drift("offset", 0);
	test_drift("offset", 13);
	test_drift("page", 0);
	test_drift("page", 17);
	test_cursor();
	test_cursor_total();
	test_counters();
	return done_testing();
}
