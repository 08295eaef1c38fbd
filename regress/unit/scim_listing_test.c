/*-------------------------------------------------------------------------
 *
 * scim_listing_test.c
 *	  Unit tests of listings of the provider "scim".
 *
 * They page through a directory that changes between two pages, of services that give
 * less than is asked for, have no order, or page by cursor: a user who was there all
 * the time must be seen once, or the listing must say that it is not complete.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"
#include "scim_unit.h"

/* The most users of a page, whatever is asked for; 0: as many as are. */
static int	cap;

/* Set where the service says of each page that it is all. */
static bool lies;

static int
answer_users(char *body, int len, int first, int count)
{
	len += sprintf(body + len, ",\"Resources\":[");
	for (int i = first; i < first + count; i++)
		len += sprintf(body + len, "%s{\"id\":\"u%d\",\"meta\":{\"lastModified\":\"2026-02-01T08:30:00.456Z\"}}",
					   i > first ? "," : "", directory[i].number);
	return len + sprintf(body + len, "]}");
}

static int
answer_size(int first)
{
	int			count = directory_asked("count=");

	if (cap > 0 && count > cap)
		count = cap;
	if (count > directory_size - first)
		count = directory_size - first;
	return count < 0 ? 0 : count;
}

/* The reply that a service would give to the request which pages by index. */
static NauthSpan
answer_index(void)
{
	static char body[DIRECTORY_MAX * 80];
	int			first = directory_asked("startIndex=");
	int			count;
	int			len;

	first = first > 0 ? first - 1 : 0;
	count = answer_size(first);
	len = sprintf(body, "{\"totalResults\":%d,\"startIndex\":%d", lies ? count : directory_size, first + 1);
	len = answer_users(body, len, first, count);
	return unit_copy(body, (size_t) len);
}

/* And by cursor, which is the number of the user read last. */
static NauthSpan
answer_cursor(void)
{
	static char body[DIRECTORY_MAX * 80];
	const char *after = strstr(unit_request.url, "cursor=c");
	int			first = 0;
	int			count;
	int			len;

	while (after != NULL && first < directory_size && directory[first].number <= atoi(after + strlen("cursor=c")))
		first++;
	count = answer_size(first);
	len = sprintf(body, "{\"totalResults\":%d", directory_size);
	if (first + count < directory_size)
		len += sprintf(body + len, ",\"nextCursor\":\"c%d\"", directory[first + count - 1].number);
	len = answer_users(body, len, first, count);
	return unit_copy(body, (size_t) len);
}

static const Server by_index = {SCIM, NAUTH_QUERY_LIST, "u%d", answer_index};
static const Server by_cursor = {SCIM, NAUTH_QUERY_LIST, "u%d", answer_cursor};

static void
test_quiet(void)
{
	int			failed = 0;

	for (int page_size = 2; page_size <= 25; page_size++)
		for (int size = 0; size <= 60; size++)
		{
			for (cap = 0; cap <= 12; cap += 3)
			{
				directory_fill(size);
				failed += directory_list(&by_index, page_size, NULL) != NAUTH_OK || directory_wrong(size) > 0;
				failed += directory_list(&by_cursor, page_size, NULL) != NAUTH_OK || directory_wrong(size) > 0;
			}
		}
	cap = 0;
	is_int(failed, 0, "directories of many sizes in pages of many sizes");
}

/* 100 users, pages of 20; the second page begins at row 10. */
static const DriftCase drift_cases[] = {
	{{1, directory_delete, 0, 0}, NAUTH_OK, 0, "nobody deleted"},
	{{1, directory_delete, 0, 1}, NAUTH_OK, 0, "1 deleted"},
	{{1, directory_delete, 0, 9}, NAUTH_OK, 0, "9 deleted: the last one read is the first row"},
	{{1, directory_delete, 0, 10}, NAUTH_OK, 1, "10 deleted: it is not on the page"},
	{{1, directory_delete, 0, 18}, NAUTH_OK, 1, "18 deleted: it is where we can go back to"},
	{{1, directory_delete, 0, 19}, NAUTH_ERROR_INCOMPLETE, 1, "19 deleted: it is further back"},
	{{1, directory_delete, 0, 20}, NAUTH_ERROR_INCOMPLETE, 1, "all that was read deleted"},
	{{1, directory_delete, 19, 1}, NAUTH_OK, 0, "the last one read deleted"},
	{{1, directory_delete, 17, 3}, NAUTH_ERROR_INCOMPLETE, 1, "all three that are remembered deleted"},
	{{1, directory_delete, 20, 80}, NAUTH_OK, 0, "all unread ones deleted"},
	{{9, directory_delete, 0, 30}, NAUTH_OK, 1, "so many that the next page is behind the end"},
	{{1, directory_delete, 0, 100}, NAUTH_ERROR_INCOMPLETE, 1, "everybody deleted"},
	{{1, directory_insert, 100, 7}, NAUTH_OK, 0, "7 added at the end"}
};

static void
test_drift(void)
{
	directory_check_drift(&by_index, 100, 20, DIRECTORY_MAX, drift_cases,
						  sizeof(drift_cases) / sizeof(drift_cases[0]));
}

/* Any deletion at any time: complete and nobody lost, or not complete. */
static void
test_all_deletions(void)
{
	for (cap = 0; cap <= 5; cap += 5)
		tally_add_deletions(&by_index);
	cap = 0;
	tally_check(1000, "a listing that says it is complete has lost nobody");
}

/* Deletions and creations, any of them, between any two pages. */
static void
come_and_go(void)
{
	if (unit_below(3) == 0)
		directory_delete(unit_below(directory_size), 1 + unit_below(3));
	if (unit_below(3) == 0)
		directory_insert(unit_below(directory_size), 1 + unit_below(3));
}

static void
test_random(void)
{
	meanwhile = come_and_go;
	unit_seed = 1;
	for (int i = 0; i < 4000; i++)
	{
		NauthErrorKind kind;

		directory_fill(60);
		cap = unit_below(2) * 7;
		kind = directory_list(&by_index, 10, NULL);
		tally_add(kind, directory_lost(60));
	}
	tally_check(1000, "while users come and go nobody is lost in a listing that says it is complete");
	meanwhile = NULL;
	cap = 0;
}

/* Users change places: a few neighbours, or all. */
static void
swap_some(void)
{
	for (int i = unit_below(4); i > 0; i--)
	{
		int			at = unit_below(directory_size - 1);
		Entry		entry = directory[at];

		directory[at] = directory[at + 1];
		directory[at + 1] = entry;
	}
}

static void
shuffle(void)
{
	for (int i = 0; i < directory_size; i++)
	{
		int			at = unit_below(directory_size);
		Entry		entry = directory[at];

		directory[at] = directory[i];
		directory[i] = entry;
	}
}

/* The total tells nothing exactly any more, but how far a page may have moved. */
static void
shuffle_and_insert(void)
{
	directory_insert(directory_size, 1);
	shuffle();
}

/*
 * That somebody is lost is told nearly always; else, unless somebody comes in that very
 * moment, another one is there twice, which fdw/sync sees.
 */
static void
test_orders(void)
{
	void		(*const ways[]) (void) = {swap_some, shuffle, shuffle_and_insert};
	int			complete = 0;
	int			untold = 0;
	int			unseen = 0;

	unit_seed = 1;
	for (int i = 0; i < 6000; i++)
	{
		int			size = i % 2 == 0 ? 60 : 18;
		int			lost;
		int			doubled = 0;

		meanwhile = ways[i % 3];
		directory_fill(size);
		if (directory_list(&by_index, 10, NULL) != NAUTH_OK)
			continue;
		for (int number = 0; number < DIRECTORY_MAX; number++)
			doubled += seen[number] > 1 ? seen[number] - 1 : 0;
		lost = directory_lost(size);
		complete++;
		untold += lost > 0;
		unseen += i % 3 < 2 && lost > doubled;
	}
	meanwhile = NULL;
	is_int(unseen, 0, "where the order changes nobody is lost without somebody who comes twice");
	if (!ok(untold < 120 && complete < 3000, "and mostly the listing says that it is not complete"))
		printf("# complete: %d, untold: %d\n", complete, untold);
}

/*
 * Many come at once, by the total, and the page shows as many before the last one read.  They may
 * be who came, or who was not read, so that they are not passed over if they are many.
 */
static void
test_many_come(void)
{
	static const struct
	{
		int			come;
		bool		complete;
	}			cases[] = {{0, true}, {10, true}, {11, false}, {30, false}};

	unit_settings.page_size = 100;
	unit_write(SCIM, NAUTH_QUERY_LIST, NULL, "is31 21 0 10 10 3:u19");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int			come = cases[i].come;
		char		json[4096];
		int			len = sprintf(json, "{\"totalResults\":%d,\"Resources\":[", 30 + come);
		NauthSpan	body;

		for (int row = 0; row < 20 + come; row++)
			len += sprintf(json + len, "%s{\"id\":\"u%d\"}", row > 0 ? "," : "", row < come ? 100 + row : 10 + row - come);
		sprintf(json + len, "]}");
		body = unit_copy_text(json);
		ok(unit_read(SCIM, "is31 21 0 10 10 3:u19", body) == cases[i].complete && unit_page.last == cases[i].complete,
		   "users before the last one read");
		unit_free(body);
	}
}

/* A total that is that of the page. */
static void
test_lies(void)
{
	int			wrong = 0;

	lies = true;
	for (int size = 0; size <= 60; size++)
	{
		directory_fill(size);
		wrong += directory_list(&by_index, 10, NULL) == NAUTH_OK && directory_wrong(size) > 0;
	}
	lies = false;
	is_int(wrong, 0, "a total of the page ends no listing too soon");
}

/* ---- What a service says of itself */

/* Services as they are, whatever they say: nobody is lost, and no more is asked than before. */
static const char *said;

static NauthSpan
answer_said(void)
{
	if (strcmp(unit_request.url, CONFIG_URL) == 0)
		return unit_copy_text(said);
	return strstr(unit_request.url, "cursor=") ? answer_cursor() : answer_index();
}

static NauthSpan
answer_said_index(void)
{
	return strcmp(unit_request.url, CONFIG_URL) == 0 ? unit_copy_text(said) : answer_index();
}

static void
test_whatever_it_says(void)
{
	static const Server servers[] = {
		{SCIM, NAUTH_QUERY_LIST, "u%d", answer_said},
		{SCIM, NAUTH_QUERY_LIST, "u%d", answer_said_index}
	};
	int			failed = 0;

	unit_query.limit = 0;
	for (size_t i = 0; i < sizeof(config_cases) / sizeof(config_cases[0]); i++)
	{
		said = config_cases[i].json;
		for (int size = 0; size <= 60; size++)
			for (cap = 0; cap <= 6; cap += 3)
				for (size_t j = 0; j < 2; j++)
				{
					directory_fill(size);
					failed += directory_list(&servers[j], 10, NULL) != NAUTH_OK || directory_wrong(size) > 0;
				}
	}
	cap = 0;
	is_int(failed, 0, "whatever a service says of itself, all users are listed once");
}

int
main(void)
{
	test_whatever_it_says();

	/* all others begin with a page, as a listing of some does */
	unit_query.limit = DIRECTORY_MAX;
	test_quiet();
	test_drift();
	directory_check_inserted_before(&by_index);
	test_all_deletions();
	test_random();
	test_orders();
	test_many_come();
	test_lies();
	return done_testing();
}
