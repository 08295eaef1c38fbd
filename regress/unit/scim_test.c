/*-------------------------------------------------------------------------
 *
 * scim_test.c
 *	  Unit tests of the provider "scim".
 *
 * Most of them page through a directory that changes between two pages, of services
 * that give less than is asked for, have no order, or page by cursor: a user who was there all
 * the time must be seen once, or the listing must say that it is not complete.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"

#define SCIM		(&nauth_provider_scim)
#define USERS_URL	"https://auth.example.com/Users"
#define CONFIG_URL	"https://auth.example.com/ServiceProviderConfig"
#define TOTAL		"tsf0 1 0 "
#define SINCE		"&filter=meta.lastModified%20ge%20%22"

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
set_paging(const char *paging)
{
	unit_settings.more[NAUTH_SETTING_PAGING] = paging;
}

/* ---- Requests */

static void
test_requests(void)
{
	static const struct
	{
		NauthQueryKind kind;
		const char *paging;
		const char *cursor;
		const char *url;
		const char *name;
	}			cases[] = {
		{NAUTH_QUERY_LIST, NULL, "cscp51 0 1 0 ", "?count=50&sortBy=id&cursor=", "a first page by cursor, as small as the service says"},
		{NAUTH_QUERY_LIST, NULL, "iup3 6 1 0 90 1 2:u1", "?count=2&startIndex=91", "a further page of two"},
		{NAUTH_QUERY_LIST, NULL, NULL, "?count=100&sortBy=id", "the first page names no paging"},
		{NAUTH_QUERY_LIST, "index", NULL, "?count=100&sortBy=id&startIndex=1", "unless an option does"},
		{NAUTH_QUERY_LIST, "Cursor", NULL, "?count=100&sortBy=id&cursor=", "this or the other"},
		{NAUTH_QUERY_LIST, NULL, "i1 1 0 ", "?count=100", "a first page in no order"},
		{NAUTH_QUERY_LIST, NULL, "is6 1 0 90 10 2:u1", "?count=100&sortBy=id&startIndex=91", "a further page"},
		{NAUTH_QUERY_LIST, NULL, "cs6 1 0 a=b", "?count=100&sortBy=id&cursor=a%3Db", "a further page by cursor"},
		{NAUTH_QUERY_SINCE, "index", NULL, "?count=1", "changes: how many users there are"},
		{NAUTH_QUERY_SINCE, NULL, "tsf1 1 8 ", "?count=1", "also after other requests"},
		{NAUTH_QUERY_SINCE, NULL, "esf1 1 8 ", "?count=1" SINCE "1970-01-01T00%3A00%3A00-12%3A00%22", "how many were ever changed"},
		{NAUTH_QUERY_SINCE, NULL, "nsf1 1 8 ", "?count=1" SINCE "9000-01-01T00%3A00%3A00-12%3A00%22", "how many will be"},
		{NAUTH_QUERY_SINCE, NULL, "isf1 1 8 ", "?count=100&sortBy=id" SINCE "2026-01-31T20%3A30%3A00-12%3A00%22", "who was"},
		{NAUTH_QUERY_SINCE, NULL, "is1 1 8 ", "?count=100&sortBy=id", "or else all users"}
	};

	unit_settings.page_size = 100;
	unit_query.from = INT64_C(1769934600456789);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		url[256];

		snprintf(url, sizeof(url), "%s%s", USERS_URL, cases[i].url);
		set_paging(cases[i].paging);
		unit_write(SCIM, cases[i].kind, NULL, cases[i].cursor);
		is_text(unit_request.url, url, cases[i].name);
		ok(!unit_request.overflow, "fits");
	}
	set_paging(NULL);
	is_text(unit_request.headers, "Authorization: Bearer key\nAccept: application/scim+json", "the headers");
	unit_write(SCIM, NAUTH_QUERY_COUNT, NULL, NULL);
	is_text(unit_request.url, USERS_URL "?count=1", "the count");
	unit_write(SCIM, NAUTH_QUERY_USER, "../a?b#c", NULL);
	is_text(unit_request.url, USERS_URL "/..%2Fa%3Fb%23c", "a hostile id");
	unit_write(SCIM, NAUTH_QUERY_USER, nauth_request_id, NULL);
	is_text(unit_request.url, USERS_URL "/{id}", "an unknown id");
	unit_write(SCIM, NAUTH_QUERY_USER, "", NULL);
	ok(unit_request.overflow, "an empty id asks for no listing");
	ok(!nauth_read_id_possible(SCIM, "bulkId") && !nauth_read_id_possible(SCIM, "a/b") &&
	   nauth_read_id_possible(SCIM, "Me"), "who can be asked for");
}

/* Whether a query begins with what the service says of itself. */
static bool
begins_with_config(NauthQueryKind kind)
{
	unit_write(SCIM, kind, kind == NAUTH_QUERY_USER ? "u1" : NULL, NULL);
	return strcmp(unit_request.url, CONFIG_URL) == 0 && !unit_request.overflow;
}

/* Only what takes many requests is worth one more. */
static void
test_asks_config(void)
{
	static const char *const ids[] = {"u1", "u2"};

	memset(&unit_query, 0, sizeof(unit_query));
	ok(begins_with_config(NAUTH_QUERY_LIST), "a listing of all users asks what the service can do");
	is_text(unit_request.headers, "Authorization: Bearer key\nAccept: application/scim+json", "with the same headers");
	ok(begins_with_config(NAUTH_QUERY_SINCE), "so does one of changes");
	ok(!begins_with_config(NAUTH_QUERY_USER) && !begins_with_config(NAUTH_QUERY_COUNT), "a look-up and a count do not");
	unit_query.limit = 1000;
	ok(!begins_with_config(NAUTH_QUERY_LIST), "nor does a listing of some");
	ok(begins_with_config(NAUTH_QUERY_SINCE), "but one of some changes");
	unit_query.limit = 0;
	unit_query.once = true;
	ok(!begins_with_config(NAUTH_QUERY_LIST), "nor one of a page");
	unit_query.once = false;
	unit_query.email = "ada@example.com";
	ok(!begins_with_config(NAUTH_QUERY_LIST), "nor one by address");
	unit_query.email = NULL;
	unit_query.ids = ids;
	unit_query.n_ids = 2;
	ok(!begins_with_config(NAUTH_QUERY_LIST), "nor one by ids");
	memset(&unit_query, 0, sizeof(unit_query));
	set_paging("index");
	ok(!begins_with_config(NAUTH_QUERY_LIST) && !begins_with_config(NAUTH_QUERY_SINCE), "nor any where an option says how it pages");
	set_paging("cursor");
	ok(!begins_with_config(NAUTH_QUERY_LIST) && !begins_with_config(NAUTH_QUERY_SINCE), "one way or the other");
	set_paging(NULL);
}

/* Text that is compared as text must not come behind the same moment in any other zone. */
static void
test_since(void)
{
	static const struct
	{
		int64_t		from;
		const char *time;
	}			cases[] = {
		{INT64_C(1769934600000000), "2026-01-31T20%3A30%3A00-12%3A00"},
		{INT64_C(1769934600999999), "2026-01-31T20%3A30%3A00-12%3A00"},
		{0, "1969-12-31T12%3A00%3A00-12%3A00"},
		{-1, "1969-12-31T12%3A00%3A00-12%3A00"},
		{NAUTH_MOMENT_MIN, "1969-12-31T12%3A00%3A00-12%3A00"},
		{INT64_MAX, "9999-12-31T11%3A59%3A59-12%3A00"},
		{NAUTH_MOMENT_UNKNOWN, "{updated_at}"}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		url[256];

		unit_query.from = cases[i].from;
		snprintf(url, sizeof(url), "%s%s%%22", USERS_URL "?count=100&sortBy=id" SINCE, cases[i].time);
		unit_write(SCIM, NAUTH_QUERY_SINCE, NULL, "isf1 1 8 ");
		is_text(unit_request.url, url, "what has changed since a time");
	}
	unit_query.from = 0;
}

static void
test_cursors(void)
{
	static const char *const damaged[] = {
		"", "x", "i", "i1", "i1 1", "i1 1 0", "i1 0 0 ", "ix1 1 0 ", "ifs1 1 0 ", "i1 1 0 90", "i1 1 0 90 10",
		"i1 1 0 90 10 3:u1", "i-1 1 0 ", "i99999999999999999999 1 0 ", "t1 1 0 x", "z1 1 0 ",
		"a", "a1 1 0 ", "icp", "icp51", "icp51 ", "icp51 1 1", "icp1 1 1 0 ", "icp2 1 1 0 ", "icp1001 1 1 0 ",
		"icp99999999999999999999 1 1 0 ", "iuc1 1 0 ", "icc1 1 0 ", "ip51 p51 1 1 0 "
	};

	unit_check_cursors(SCIM, "scim/page.json", damaged, sizeof(damaged) / sizeof(damaged[0]));
}

/* ---- Pages */

static void
test_pages(void)
{
	char		cursor[NAUTH_CURSOR_MAX];

	unit_settings.page_size = 4;
	unit_write(SCIM, NAUTH_QUERY_LIST, NULL, NULL);
	ok(unit_read_fixture(SCIM, NULL, "scim/page.json"), "a page");
	ok(!unit_page.last && unit_page.count == 4 && unit_page.total == 5, "is not the last");
	is_text(unit_page.next, "is6 5 0 2 2 8:77b0d4c9 8:51a77e02 8:3f0c9a11", "the next begins within it");
	is_int(unit_users[0].updated_at, INT64_C(1769931000456000), "a time with an offset");
	strcpy(cursor, unit_page.next);
	ok(unit_read_fixture(SCIM, cursor, "scim/last_page.json"), "the next page");
	ok(unit_page.last && unit_page.count == 1, "has one new user and is the last");
	ok(unit_read_fixture(SCIM, NULL, "scim/empty.json"), "nobody");
	ok(unit_page.last && unit_page.count == 0 && unit_page.total == 0, "is the end");

	ok(unit_read_fixture(SCIM, NULL, "scim/cursor_page.json"), "a page of a service with cursors");
	is_text(unit_page.next, "cs6 5 0 VZUTiyhEQJ94IR", "leads to the next one");
	strcpy(cursor, unit_page.next);
	ok(unit_read_fixture(SCIM, cursor, "scim/cursor_last_page.json") && unit_page.last && unit_page.count == 1,
	   "which is the last");
	ok(unit_read_fixture(SCIM, NULL, "scim/cursor_last_page.json") && !unit_page.last, "but not where it is the first");
	set_paging("index");
	ok(unit_read_fixture(SCIM, NULL, "scim/cursor_page.json") && unit_page.next[0] == 'i', "an option has it page by index");
	set_paging(NULL);
}

typedef struct PageCase
{
	const char *json;
	NauthErrorKind kind;
	bool		last;
	const char *name;
} PageCase;

static const PageCase page_cases[] = {
	{"{\"totalResults\":1,\"Resources\":[{\"id\":\"a\"}]}", NAUTH_OK, true, "a page that is not full"},
	{"{\"totalResults\":2,\"Resources\":[{\"id\":\"a\"},{\"id\":\"b\"}]}", NAUTH_OK, false, "one that is full is not the last"},
	{"{\"totalResults\":3,\"Resources\":[{\"id\":\"a\"}]}", NAUTH_OK, false, "less than was asked for"},
	{"{\"totalResults\":2,\"Resources\":[]}", NAUTH_ERROR_INCOMPLETE, false, "an empty page before the end"},
	{"{\"totalResults\":3,\"Resources\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}]}", NAUTH_ERROR_UNREADABLE, false, "a page that is too long"},
	{"{\"totalResults\":3,\"Resources\":[{},{}]}", NAUTH_ERROR_UNREADABLE, false, "nobody to continue from"},
	{"{\"totalResults\":0,\"Resources\":null}", NAUTH_OK, true, "nobody"},
	{"{\"totalResults\":1,\"Resources\":null}", NAUTH_ERROR_UNREADABLE, false, "no list"},
	{"{\"totalResults\":\"0\"}", NAUTH_ERROR_UNREADABLE, false, "a total as text"},
	{"{\"totalResults\":-1,\"Resources\":[]}", NAUTH_ERROR_UNREADABLE, false, "a negative total"},
	{"{\"totalResults\":9223372036854775807,\"Resources\":[]}", NAUTH_ERROR_UNREADABLE, false, "an absurd total"},
	{"{\"Resources\":[]}", NAUTH_ERROR_UNREADABLE, false, "no total"},
	{"{\"totalResults\":0,\"Resources\":[],\"Resources\":[]}", NAUTH_ERROR_UNREADABLE, false, "users twice"},
	{"{\"totalResults\":0,\"Resources\":[{\"id\":\"a\"}]}", NAUTH_ERROR_INCOMPLETE, false, "more users than the total"},
	{"{\"Resources\":[{\"id\":\"a\"}],\"nextCursor\":\"x\"}", NAUTH_OK, false, "a cursor without a total"},
	{"{\"Resources\":[],\"nextCursor\":\"x\"}", NAUTH_OK, false, "nobody, and more"},
	{"{\"totalResults\":1,\"Resources\":[{\"id\":\"a\"},{\"id\":\"b\"}],\"nextCursor\":\"x\"}", NAUTH_ERROR_INCOMPLETE, false, "already more than there are"},
	{"{\"totalResults\":1,\"Resources\":[{\"id\":\"a\"}],\"nextCursor\":\"\"}", NAUTH_OK, true, "an empty cursor is none"},
	{"{\"totalResults\":1,\"Resources\":[{\"id\":\"a\"}],\"nextCursor\":7}", NAUTH_ERROR_INCOMPLETE, false, "a cursor that is no text"}
};

static void
test_page_cases(void)
{
	unit_settings.page_size = 2;
	unit_write(SCIM, NAUTH_QUERY_LIST, NULL, NULL);
	for (size_t i = 0; i < sizeof(page_cases) / sizeof(page_cases[0]); i++)
		unit_check_page(SCIM, page_cases[i].json, page_cases[i].kind, page_cases[i].last, page_cases[i].name);
}

/* ---- Listings */

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

static void
test_inserted_before(void)
{
	Change		change = {1, directory_insert, 0, 5};

	directory_fill(100);
	ok(directory_list(&by_index, 20, &change) == NAUTH_OK, "5 added in the part that was read");
	is_int(directory_wrong(100), 0, "all others were seen once");
	change.count = 50;
	directory_fill(100);
	is_int(directory_list(&by_index, 20, &change) == NAUTH_OK ? directory_lost(100) : 0, 0,
		   "50 added there: nobody is lost in a complete listing");
}

/* Any deletion at any time: complete and nobody lost, or not complete. */
static void
test_all_deletions(void)
{
	for (cap = 0; cap <= 5; cap += 5)
		for (int after = 1; after <= 6; after++)
			for (int position = 0; position < 50; position++)
				for (int count = 1; count <= 50 - position; count++)
				{
					Change		change = {after, directory_delete, position, count};
					NauthErrorKind kind;

					directory_fill(50);
					kind = directory_list(&by_index, 8, &change);
					tally_add(kind, directory_wrong(50));
				}
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

/* ---- Changes since a time */

typedef struct ProbeCase
{
	const char *cursor;			/* asked with */
	int			status;
	const char *json;
	const char *next;			/* the cursor it leads to, or NULL: it fails */
	const char *name;
}			ProbeCase;

static const ProbeCase probe_cases[] = {
	{TOTAL, 200, "{\"totalResults\":8}", "esf0 1 9 ", "how many users there are"},
	{TOTAL, 200, "{\"totalResults\":8,\"Resources\":[{\"id\":\"a\"}]}", "esf0 1 9 ", "though some come with it"},
	{TOTAL, 200, "{}", "is0 1 0 ", "that is not told: all are listed"},
	{TOTAL, 200, "{\"totalResults\":0}", "is0 1 0 ", "nobody: no filter can be tried"},
	{TOTAL, 400, "{}", "is0 1 0 ", "or refused"},
	{"esf0 1 9 ", 200, "{\"totalResults\":8}", "nsf0 1 9 ", "all were changed since 1970"},
	{"esf0 1 9 ", 200, "{\"totalResults\":7}", "is0 1 9 ", "one has no time of change"},
	{"esf0 1 9 ", 200, "{\"totalResults\":0}", "is0 1 9 ", "nobody is found"},
	{"esf0 1 9 ", 200, "{}", "is0 1 9 ", "it is not told"},
	{"esf0 1 9 ", 400, "{}", "is0 1 9 ", "the filter is refused"},
	{"esf0 1 9 ", 501, "", "is0 1 9 ", "or missing"},
	{"nsf0 1 9 ", 200, "{\"totalResults\":0}", "isf0 1 9 ", "nobody will be: the filter is good"},
	{"nsf0 1 9 ", 200, "{\"totalResults\":8}", "is0 1 9 ", "it is ignored"},
	{"isf0 1 9 ", 400, "{\"scimType\":\"tooMany\"}", "if0 1 9 ", "a page is refused: perhaps for its order"},
	{"if0 1 9 ", 400, "{\"scimType\":\"tooMany\"}", "is0 1 9 ", "again: perhaps for the filter"},
	{"is0 1 9 ", 400, "{}", "i0 1 9 ", "and again: perhaps for the order"},
	{"i0 1 9 ", 400, "{}", NULL, "there is no other way"},
	{"isf9 5 9 2 2 2:u1", 400, "{}", NULL, "nor in the middle"},
	{"i0 1 9 ", 501, "{}", NULL, "nor is 501 for ever"},

	/* what the service says of itself goes along */
	{"tsfcop51 0 1 0 ", 200, "{\"totalResults\":8}", "esfcop51 0 1 9 ", "a service with cursors: how many users there are"},
	{"esfcop51 0 1 9 ", 400, "{}", "cscop51 0 1 9 ", "a filter is refused"},
	{"nsfcop51 0 1 9 ", 200, "{\"totalResults\":0}", "csfcop51 0 1 9 ", "or good"},
	{"csfcop51 0 1 9 ", 400, "{}", "isfp51 0 1 9 ", "a cursor is refused: by index"},
	{"isfp51 0 1 9 ", 400, "{}", "ifp51 0 1 9 ", "which goes on as always"},
	{"tfu0 1 0 ", 200, "{}", "iu0 1 0 ", "one that does not sort"},
	{"ifu0 1 9 ", 501, "{}", "iu0 1 9 ", "is not asked to in the end"},
	{"iu0 1 9 ", 501, "{}", NULL, "there is no other way"},
	{"cfcu0 1 9 ", 501, "{}", "ifu0 1 9 ", "but without cursors"},
	{"ccu0 1 9 ", 400, "{}", "iu0 1 9 ", "also of all users"},
	{"csc4 5 9 x", 400, "{}", NULL, "unless there were some"}
};

static void
test_probes(void)
{
	unit_settings.page_size = 4;
	unit_query.kind = NAUTH_QUERY_SINCE;
	for (size_t i = 0; i < sizeof(probe_cases) / sizeof(probe_cases[0]); i++)
	{
		const		ProbeCase *test = &probe_cases[i];
		NauthSpan	body = unit_copy_text(test->json);
		NauthReply	reply = {.status = test->status,.body = body};
		bool		read;

		ok(test->status == 200 ||
		   SCIM->is_page(&unit_settings, &unit_query, test->cursor, &reply) == (test->next != NULL || test->status == 400), test->name);
		memset(&unit_error, 0, sizeof(unit_error));
		read = SCIM->read_page(&unit_settings, &unit_query, test->cursor, &reply, &unit_page, &unit_error);
		ok(read == (test->next != NULL) && !unit_page.last, "and whether it goes on");
		if (read)
		{
			is_text(unit_page.next, test->next, "as it should");
			ok(unit_page.reread && unit_page.count == 0, "without anybody");
		}
		unit_free(body);
	}
	ok(unit_read_fixture(SCIM, "isf0 1 9 ", "scim/page.json") && !unit_page.everybody && unit_page.total == 8,
	   "a page of changes has the number of all users");
	ok(unit_read_fixture(SCIM, "is0 1 9 ", "scim/page.json") && unit_page.everybody && unit_page.total == 5,
	   "one of all users says so");
}

/* ---- What a service says of itself */

typedef struct ConfigCase
{
	const char *json;
	const char *next;			/* where a listing goes on, and one of changes */
	const char *since;
	const char *name;
}			ConfigCase;

#define NOTHING		"is0 1 0 ", "tsf0 1 0 "

static const ConfigCase config_cases[] = {
	{"{\"pagination\":{\"cursor\":true,\"index\":true}}", "csc0 1 0 ", "tsfc0 1 0 ", "it has cursors"},
	{"{\"pagination\":{\"cursor\":true,\"index\":false}}", "csco0 1 0 ", "tsfco0 1 0 ", "and nothing else"},
	{"{\"pagination\":{\"cursor\":true}}", "csc0 1 0 ", "tsfc0 1 0 ", "or does not say that"},
	{"{\"pagination\":{\"cursor\":false,\"index\":true}}", NOTHING, "it has none"},
	{"{\"pagination\":{\"cursor\":false,\"index\":false}}", NOTHING, "or no pages at all"},
	{"{\"pagination\":{\"cursor\":\"true\",\"index\":1}}", NOTHING, "texts and numbers"},
	{"{\"pagination\":{\"cursor\":[true]}}", NOTHING, "a list"},
	{"{\"pagination\":{\"cursor\":true,\"cursor\":false}}", NOTHING, "one thing and the other"},
	{"{\"pagination\":[{\"cursor\":true}]}", NOTHING, "a list of them"},
	{"{\"pagination\":true,\"sort\":false,\"filter\":false}", NOTHING, "no objects"},
	{"{\"pagination\":null,\"sort\":null,\"filter\":null}", NOTHING, "nothing"},
	{"{\"cursor\":true,\"supported\":false,\"maxResults\":5}", NOTHING, "in another place"},
	{"{\"sort\":{\"supported\":false}}", "iu0 1 0 ", "tfu0 1 0 ", "it does not sort"},
	{"{\"sort\":{\"supported\":true}}", NOTHING, "it sorts"},
	{"{\"sort\":{\"supported\":\"false\"}}", NOTHING, "or says something else"},
	{"{\"sort\":{\"supported\":0}}", NOTHING, "as a number"},
	{"{\"filter\":{\"supported\":false,\"maxResults\":0}}", "is0 1 0 ", "is0 1 0 ", "it does not filter"},
	{"{\"filter\":{\"supported\":true,\"maxResults\":0}}", NOTHING, "it filters"},
	{"{\"filter\":{\"supported\":null}}", NOTHING, "or does not say"},
	{"{\"filter\":{\"supported\":true,\"maxResults\":50}}", "isp51 0 1 0 ", "tsfp51 0 1 0 ", "not that many"},
	{"{\"pagination\":{\"maxPageSize\":50}}", "isp51 0 1 0 ", "tsfp51 0 1 0 ", "in a page"},
	{"{\"pagination\":{\"maxPageSize\":50},\"filter\":{\"maxResults\":20}}", "isp21 0 1 0 ", "tsfp21 0 1 0 ", "the least of both"},
	{"{\"pagination\":{\"maxPageSize\":20},\"filter\":{\"maxResults\":50}}", "isp21 0 1 0 ", "tsfp21 0 1 0 ", "whichever it is"},
	{"{\"pagination\":{\"maxPageSize\":1}}", "isp3 0 1 0 ", "tsfp3 0 1 0 ", "pages of one user would lead nowhere"},
	{"{\"pagination\":{\"maxPageSize\":999}}", "isp1000 0 1 0 ", "tsfp1000 0 1 0 ", "many"},
	{"{\"pagination\":{\"maxPageSize\":1000}}", NOTHING, "as many as ever are asked for"},
	{"{\"pagination\":{\"maxPageSize\":0}}", NOTHING, "nobody"},
	{"{\"pagination\":{\"maxPageSize\":-1}}", NOTHING, "less than nobody"},
	{"{\"pagination\":{\"maxPageSize\":\"50\"}}", NOTHING, "a text"},
	{"{\"pagination\":{\"maxPageSize\":5e1}}", NOTHING, "no plain number"},
	{"{\"pagination\":{\"maxPageSize\":99999999999999999999}}", NOTHING, "an absurd one"},
	{"{\"pagination\":{\"cursor\":true,\"index\":false,\"maxPageSize\":50},\"sort\":{\"supported\":false},\"filter\":{\"supported\":false,\"maxResults\":200}}",
	"ccoup51 0 1 0 ", "ccoup51 0 1 0 ", "all together"},
	{"{}", NOTHING, "an empty object"},
	{"[]", NOTHING, "none"},
	{"", NOTHING, "no reply"},
	{"<html></html>", NOTHING, "a page of the web"},
	{"{\"sort\":{\"supported\":false}", NOTHING, "half a reply"},
	{"{\"sort\":{\"supported\":false}} x", NOTHING, "one with a rest"},
	{"{\"sort\":{\"supported\":false},\"sort\":{\"supported\":false}}", NOTHING, "twice the same"}
};

/* Read a reply to the first request; where it leads to, or NULL. */
static const char *
after_config(NauthQueryKind kind, int status, const char *json)
{
	NauthSpan	body = unit_copy_text(json);
	NauthReply	reply = {.status = status,.body = body};
	bool		read;

	unit_query.kind = kind;
	memset(&unit_error, 0, sizeof(unit_error));
	memset(&unit_page, 0x5A, sizeof(unit_page));
	unit_page.users = unit_users;
	unit_page.capacity = UNIT_USERS;
	read = SCIM->read_page(&unit_settings, &unit_query, NULL, &reply, &unit_page, &unit_error) &&
		unit_page.reread && !unit_page.last && unit_page.count == 0;
	unit_free(body);
	return read ? unit_page.next : "(failed)";
}

static void
test_config(void)
{
	static const int unknown[] = {204, 301, 302, 400, 403, 404, 405, 406, 410, 500, 501};
	static const int failures[] = {401, 429, 502, 503, 504};
	const char *all = config_cases[0].json;

	memset(&unit_query, 0, sizeof(unit_query));
	unit_settings.page_size = 100;
	for (size_t i = 0; i < sizeof(config_cases) / sizeof(config_cases[0]); i++)
	{
		const		ConfigCase *test = &config_cases[i];

		is_text(after_config(NAUTH_QUERY_LIST, 200, test->json), test->next, test->name);
		is_text(after_config(NAUTH_QUERY_SINCE, 200, test->json), test->since, "and for changes");
	}
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
	{
		NauthReply	reply = {.status = unknown[i]};

		ok(SCIM->is_page(&unit_settings, &unit_query, NULL, &reply), "another status is no failure");
		is_text(after_config(NAUTH_QUERY_LIST, unknown[i], all), "is0 1 0 ", "and tells nothing");
	}
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
	{
		NauthReply	reply = {.status = failures[i]};

		ok(!SCIM->is_page(&unit_settings, &unit_query, NULL, &reply), "unless it will be the same for the listing");
	}
	set_paging("index");
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
	{
		NauthReply	reply = {.status = unknown[i]};

		unit_query.kind = NAUTH_QUERY_LIST;
		ok(SCIM->is_page(&unit_settings, &unit_query, NULL, &reply) == (unknown[i] == 400 || unknown[i] == 501),
		   "where it is not asked for it is a failure");
	}
	set_paging(NULL);
}

/* A page that came by cursor, of a service that may know none. */
static void
test_told_cursors(void)
{
	static const struct
	{
		const char *cursor;
		const char *json;
		NauthErrorKind kind;
		const char *next;		/* "": it is the last one */
		const char *name;
	}			cases[] = {
		{"csc0 1 0 ", "{\"totalResults\":5,\"Resources\":[{\"id\":\"a\"},{\"id\":\"b\"}],\"nextCursor\":\"x\"}", NAUTH_OK, "csc6 3 0 x", "it has cursors"},
		{"csc0 1 0 ", "{\"totalResults\":5,\"Resources\":[{\"id\":\"a\"},{\"id\":\"b\"}]}", NAUTH_OK, "isc6 3 0 1 1 1:b 1:a", "it has none"},
		{"csc0 1 0 ", "{\"totalResults\":2,\"Resources\":[{\"id\":\"a\"},{\"id\":\"b\"}]}", NAUTH_OK, "isc3 3 0 1 1 1:b 1:a", "none with a full page"},
		{"csc0 1 0 ", "{\"totalResults\":1,\"Resources\":[{\"id\":\"a\"}]}", NAUTH_OK, "", "nor does it need one"},
		{"csco0 1 0 ", "{\"totalResults\":2,\"Resources\":[{\"id\":\"a\"},{\"id\":\"b\"}]}", NAUTH_OK, "", "also with a full page, if it has no indexes"},
		{"csco0 1 0 ", "{\"totalResults\":5,\"Resources\":[{\"id\":\"a\"},{\"id\":\"b\"}]}", NAUTH_OK, "isco6 3 0 1 1 1:b 1:a", "unless the total tells otherwise"},
		{"isco6 3 0 1 1 1:b", "{\"totalResults\":5,\"Resources\":[{\"id\":\"b\"},{\"id\":\"c\"}]}", NAUTH_OK, "isco6 4 0 2 1 1:c 1:b", "whose pages are as those of others"},
		{"csco0 1 0 ", "{\"Resources\":[{\"id\":\"a\"}]}", NAUTH_ERROR_UNREADABLE, "", "no end is known by"},
		{"csc3 2 0 x", "{\"totalResults\":2,\"Resources\":[{\"id\":\"b\"}]}", NAUTH_OK, "", "the end by a cursor"},
		{"csc6 2 0 x", "{\"totalResults\":5,\"Resources\":[{\"id\":\"b\"}]}", NAUTH_ERROR_INCOMPLETE, "", "which must be by the total, too"}
	};

	unit_query.kind = NAUTH_QUERY_LIST;
	unit_settings.page_size = 2;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		NauthSpan	body = unit_copy_text(cases[i].json);
		bool		read = unit_read(SCIM, cases[i].cursor, body);

		ok(read == (cases[i].kind == NAUTH_OK) && unit_error.kind == cases[i].kind, cases[i].name);
		ok(unit_page.last == (read && cases[i].next[0] == '\0'), "and whether it is the end");
		if (read && !unit_page.last)
			is_text(unit_page.next, cases[i].next, "and how it goes on");
		unit_free(body);
	}
	ok(unit_read_fixture(SCIM, NULL, "scim/config.json") && unit_page.reread, "what a service says");
	is_text(unit_page.next, "cscp201 0 1 0 ", "leads to pages as it has them");
}

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

/* Only these are ever a page: what else fails stays a failure. */
static void
test_is_page(void)
{
	static const int statuses[] = {401, 403, 404, 429, 500, 503};
	int			pages = 0;

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
	{
		NauthReply	reply = {.status = statuses[i]};

		for (unit_query.kind = NAUTH_QUERY_LIST; unit_query.kind <= NAUTH_QUERY_COUNT; unit_query.kind++)
			pages += SCIM->is_page(&unit_settings, &unit_query, "is0 1 0 ", &reply);
		reply.status = 400;
		unit_query.kind = i % 2 == 0 ? NAUTH_QUERY_USER : NAUTH_QUERY_COUNT;
		pages += SCIM->is_page(&unit_settings, &unit_query, NULL, &reply);
	}
	is_int(pages, 0, "other failures are no pages");
}

/* ---- The rest */

static void
test_types(void)
{
	static const struct
	{
		const char *type;
		bool		known;
		bool		hint;
	}			cases[] = {
		{"expiredCursor", true, true},
		{"invalidCount", true, true},
		{"tooMany", true, true},
		{"invalidFilter", true, false},
		{"ada@example.com", false, false}
	};

	unit_query.kind = NAUTH_QUERY_LIST;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		json[128];
		NauthReply	reply = {.status = 400};

		snprintf(json, sizeof(json), "{\"scimType\":\"%s\"}", cases[i].type);
		reply.body = unit_copy_text(json);
		memset(&unit_error, 0, sizeof(unit_error));
		ok(!SCIM->read_page(&unit_settings, &unit_query, "c0 1 0 x", &reply, &unit_page, &unit_error) &&
		   unit_error.kind == NAUTH_ERROR_REFUSED, "a page that is refused");
		is_text(unit_error.code, cases[i].known ? cases[i].type : "", "for what it is known");
		ok((unit_error.hint != NULL) == cases[i].hint, "and mended");
		unit_free(reply.body);
	}
}

static void
test_single(void)
{
	NauthUser	user;

	ok(unit_read_user(SCIM, "2819c223", "scim/user.json", &user), "a user");
	ok(user.has_updated_at && user.has_created_at && user.flaw == NAUTH_FLAW_NONE, "its times");
	ok(!unit_read_user(SCIM, "2819C223", "scim/user.json", &user), "another user");
	ok(unit_is_not_found(SCIM, 404, "scim/not_found.json"), "not found");
	is_text(unit_error.code, "urn:ietf:params:scim:api:messages:2.0:Error", "by its schema");
	ok(!unit_is_not_found(SCIM, 404, "scim/error_404_proxy.json"), "a proxy has the same status, and no schema");
	ok(!unit_is_not_found(SCIM, 400, "scim/not_found.json"), "another status");
	ok(!unit_is_not_found(SCIM, 404, "scim/user.json"), "another schema");
	unit_read_failure(SCIM, 401, "", unit_fixture("scim/error_401.json"));
	is_int(unit_error.status, 401, "a failure has its status");
	unit_check_failures(SCIM, "{\"schemas\":[\"%s\"],\"detail\":\"%s\"}");
}

static void
test_count(void)
{
	NauthProvider copy = *SCIM;

	is_int(unit_read_count_body(SCIM, unit_fixture("scim/count.json")), 251, "a count");
	is_int(unit_read_count_body(SCIM, unit_fixture("scim/page.json")), 5, "that comes with users");
	is_int(unit_read_count(SCIM, "{\"Resources\":[]}"), -1, "no count");
	ok(unit_error.hint != NULL, "and what mends it");
	SCIM->adapt(&unit_settings, &copy);
	ok(copy.counts, "users are counted");
	set_paging("cursor");
	SCIM->adapt(&unit_settings, &copy);
	ok(!copy.counts, "unless the service pages by cursor");
	set_paging(NULL);
}

static void
test_damaged(void)
{
	unit_settings.page_size = 4;
	unit_check_damaged(SCIM, NAUTH_QUERY_LIST, "scim/page.json", NULL);
	unit_check_damaged(SCIM, NAUTH_QUERY_LIST, "scim/last_page.json", "is6 5 0 2 2 8:77b0d4c9 8:51a77e02 8:3f0c9a11");
	unit_check_damaged(SCIM, NAUTH_QUERY_LIST, "scim/cursor_page.json", NULL);
	unit_check_damaged(SCIM, NAUTH_QUERY_SINCE, "scim/count.json", TOTAL);
}

int
main(void)
{
	test_asks_config();
	test_config();
	test_told_cursors();
	test_whatever_it_says();

	/* all others begin with a page, as a listing of some does */
	unit_query.limit = DIRECTORY_MAX;
	test_requests();
	test_since();
	test_cursors();
	test_pages();
	test_page_cases();
	test_quiet();
	test_drift();
	test_inserted_before();
	test_all_deletions();
	test_random();
	test_orders();
	test_many_come();
	test_lies();
	test_probes();
	test_is_page();
	test_types();
	test_single();
	test_count();
	test_damaged();
	unit_settings.page_size = 4;
	unit_check_cut(SCIM, NAUTH_QUERY_LIST, "scim/page.json");
	unit_query.kind = NAUTH_QUERY_LIST;
	unit_check_bodies(SCIM);
	unit_check_hostile_rfc3339(SCIM, "scim/hostile.json", NULL, 0);
	return done_testing();
}
