/*-------------------------------------------------------------------------
 *
 * scim_test.c
 *	  Unit tests of the provider "scim".
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "provider/asking.h"
#include "scim_unit.h"

#define USERS_URL	"https://auth.example.com/Users"
#define TOTAL		"tsf0 1 0 "
#define SINCE		"&filter=meta.lastModified%20ge%20%22"

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
	ok(!nauth_ask_id_possible(SCIM, "bulkId") && !nauth_ask_id_possible(SCIM, "a/b") &&
	   nauth_ask_id_possible(SCIM, "Me"), "who can be asked for");
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

	unit_check_cursors(SCIM, NAUTH_QUERY_LIST, "scim/page.json", damaged, sizeof(damaged) / sizeof(damaged[0]));
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

static const struct BodyCase page_cases[] = {
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
	unit_check_pages(SCIM, page_cases, sizeof(page_cases) / sizeof(page_cases[0]));
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

/* One that the service names and that has no room for what is put before it. */
static void
test_long_cursor(void)
{
	static char text[NAUTH_CURSOR_MAX + 128];
	NauthSpan	body;

	snprintf(text, sizeof(text), "{\"totalResults\":5,\"Resources\":[{\"id\":\"a\"}],\"nextCursor\":\"%0*d\"}",
			 NAUTH_CURSOR_MAX - 4, 1);
	body = unit_copy_text(text);
	unit_query.kind = NAUTH_QUERY_LIST;
	ok(!unit_read(SCIM, "csc0 1 0 ", body) && unit_error.kind == NAUTH_ERROR_INCOMPLETE,
	   "a cursor that has no room beside ours");
	unit_free(body);
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
	test_long_cursor();

	/* all others begin with a page, as a listing of some does */
	unit_query.limit = 3000;
	test_requests();
	test_since();
	test_cursors();
	test_pages();
	test_page_cases();
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
