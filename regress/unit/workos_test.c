/*-------------------------------------------------------------------------
 *
 * workos_test.c
 *	  Unit tests of the provider "workos".
 *
 * Many of them page through a directory whose users are deleted between two pages,
 * those among them after whom to go on.  A user who was there all the time must be
 * seen once, or the listing must say that it is not complete, whatever the server
 * makes of a cursor that is nobody's.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"
#include "provider/asking.h"

#define WORKOS		(&nauth_provider_workos)

/* What the server does when the user of the cursor is gone. */
typedef enum LostCursor
{
	LOST_RESTARTS,				/* from the top, as WorkOS's emulator does */
	LOST_ENDS,					/* there is nobody */
	LOST_GOES_ON,				/* as if it were there */
	LOST_MODES
} LostCursor;

static LostCursor lost_cursor;
static bool always_after;		/* a cursor is sent whenever a page is full */

/* The place in the listing from which on the request wants users. */
static int
directory_start(bool newest)
{
	const bool	first = strstr(unit_request.url, "after=u") == NULL;
	const int	number = directory_asked("after=u");
	int			place = 0;

	if (first)
		return 0;
	for (int i = 0; i < directory_size; i++)
	{
		if (directory[i].number == number)
			return newest ? directory_size - i : i + 1;
		place += newest ? directory[i].number > number : directory[i].number < number;
	}
	return lost_cursor == LOST_RESTARTS ? 0 :
		lost_cursor == LOST_ENDS ? directory_size : place;
}

/* The reply that the server would give to the request; each user is created two seconds after the last. */
static NauthSpan
answer(void)
{
	static char body[DIRECTORY_MAX * 80];
	bool		newest = strstr(unit_request.url, "order=desc") != NULL;
	int			limit = directory_asked("limit=");
	int			start = directory_start(newest);
	int			len = sprintf(body, "{\"object\":\"list\",\"data\":[");
	int			i;
	int			number = 0;

	for (i = start; i < start + limit && i < directory_size; i++)
	{
		number = directory_at(i, newest)->number;
		len += sprintf(body + len, "%s{\"id\":\"u%d\",\"created_at\":\"2026-02-01T08:%02d:%02d.456Z\"}",
					   i > start ? "," : "", number, number / 30, number % 30 * 2);
	}
	len += sprintf(body + len, "],\"list_metadata\":{\"before\":null,\"after\":");
	if (i > start && (always_after ? i == start + limit : i < directory_size))
		len += sprintf(body + len, "\"u%d\"}}", number);
	else
		len += sprintf(body + len, "null}}");
	return unit_copy(body, (size_t) len);
}

static const Server server = {WORKOS, NAUTH_QUERY_LIST, "u%d", answer};

static void
create(int position, int count)
{
	(void) position;
	directory_insert(directory_size, count);
}

static void
delete_and_create(int position, int count)
{
	directory_delete(position, count);
	create(position, 1);
}

static void
is_url(const char *path, const char *name)
{
	char		url[1024];

	snprintf(url, sizeof(url), "https://auth.example.com%s", path);
	is_text(unit_request.url, url, name);
}

static void
test_requests(void)
{
	unit_settings.page_size = 100;
	unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, NULL);
	is_url("/user_management/users?limit=100&order=asc", "the first page");
	is_text(unit_request.headers, "Authorization: Bearer key", "its headers");
	is_text(unit_request.body, "", "and no body");
	unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, ">1769934600456000 6:user_1user_2&limit=1");
	is_url("/user_management/users?limit=100&order=asc&after=user_2%26limit%3D1", "a further page");
	unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, "<1769934600456000 6:user_1user_2");
	is_url("/user_management/users?limit=100&order=asc&after=user_1", "the same from further back");
	unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, "<1769934600456000 0:user_2");
	is_url("/user_management/users?limit=100&order=asc", "and from the very beginning");
	ok(!unit_request.overflow, "fits");
	unit_write(WORKOS, NAUTH_QUERY_USER, "user_1", NULL);
	is_url("/user_management/users/user_1", "one user");
	unit_write(WORKOS, NAUTH_QUERY_USER, "../events?a#b", NULL);
	is_url("/user_management/users/..%2Fevents%3Fa%23b", "a hostile id");
	unit_write(WORKOS, NAUTH_QUERY_USER, nauth_request_id, NULL);
	is_url("/user_management/users/{id}", "an unknown id");
	ok(!unit_request.overflow, "fits");
	unit_write(WORKOS, NAUTH_QUERY_USER, "", NULL);
	ok(unit_request.overflow, "an empty id asks for no listing");
	unit_settings.token = "token";
	unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, NULL);
	unit_settings.token = NULL;
	is_text(unit_request.headers, "Authorization: Bearer token", "a token, were there one");
}

/* What a query wants alone. */
static void
test_narrowed(void)
{
	unit_settings.page_size = 100;
	unit_query.email = "a+b@example.com";
	unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, NULL);
	is_url("/user_management/users?limit=100&order=asc&email=a%2Bb%40example.com", "users by address");
	unit_query.email = nauth_request_email;
	unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, ">0 0:user_1");
	is_url("/user_management/users?limit=100&order=asc&after=user_1&email={email}", "an unknown address");
	unit_query.email = NULL;
	unit_query.order = NAUTH_ORDER_NEWEST;
	unit_query.limit = 7;
	unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, ">0 0:user_1");
	is_url("/user_management/users?limit=7&order=desc&after=user_1", "the newest");
	unit_query.order = NAUTH_ORDER_OLDEST;
	unit_query.limit = 101;
	unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, NULL);
	is_url("/user_management/users?limit=100&order=asc", "the oldest, more than a page has");
	unit_query.order = NAUTH_ORDER_OWN;
	unit_query.limit = 0;
	ok(!nauth_ask_id_possible(WORKOS, "user_a/b") && !nauth_ask_id_possible(WORKOS, "external_id") &&
	   !nauth_ask_id_possible(WORKOS, ".."), "ids that would be another path are nobody's");
	ok(nauth_ask_id_possible(WORKOS, "user_01HA") && nauth_ask_id_possible(WORKOS, "17") &&
	   nauth_ask_id_possible(WORKOS, IDS_255), "all others may be somebody's");
}

#define EVENTS	"/events?limit=100&events=user.created%2Cuser.updated%2Cuser.deleted&order=asc"

static void
test_event_requests(void)
{
	unit_settings.page_size = 100;
	unit_query.from = INT64_C(1769934600456000);
	unit_write(WORKOS, NAUTH_QUERY_SINCE, NULL, NULL);
	is_url(EVENTS "&range_start=2026-02-01T08%3A30%3A00.455Z",
		   "events from a moment on, which WorkOS leaves out");
	is_text(unit_request.headers, "Authorization: Bearer key", "its headers");
	unit_write(WORKOS, NAUTH_QUERY_SINCE, NULL, "event_01&x");
	is_url(EVENTS "&after=event_01%26x", "a further page has no beginning beside the cursor");
	unit_query.from = INT64_C(1769934600456999);
	unit_write(WORKOS, NAUTH_QUERY_SINCE, NULL, NULL);
	is_url(EVENTS "&range_start=2026-02-01T08%3A30%3A00.455Z", "never a later one");
	unit_query.from = NAUTH_MOMENT_UNKNOWN;
	unit_write(WORKOS, NAUTH_QUERY_SINCE, NULL, NULL);
	is_url(EVENTS "&range_start={created_at}", "from an unknown moment on");
	unit_query.from = NAUTH_MOMENT_MIN;
	unit_write(WORKOS, NAUTH_QUERY_SINCE, NULL, NULL);
	ok(!unit_request.overflow, "from the beginning of time on");
	unit_settings.page_size = 10;
	unit_query.from = INT64_C(0);
	unit_write(WORKOS, NAUTH_QUERY_SINCE, NULL, NULL);
	is_url("/events?limit=10&events=user.created%2Cuser.updated%2Cuser.deleted&order=asc"
		   "&range_start=1969-12-31T23%3A59%3A59.999Z", "on small pages");
}

static void
test_cursors(void)
{
	static const char *const damaged[] = {
		"", "x", ">", ">1", ">1 ", ">1 0", ">1 0:", ">1 6:user_1", ">1 7:user_1", ">1 256:u", ">1 -1:u",
		"user_1", "=1 0:u", ">01 0:u", ">1  0:u", "> 1 0:u", ">1 0:u\n" IDS_255, ">+1 0:u", ">1 00:u",
		">99999999999999999999 0:u", ">9223372036854775807 0:u", ">253402300800000000 0:u",
		">1 999999999999999999999:u", ">1 0:" IDS_255 "i"
	};

	unit_settings.page_size = 4;
	unit_check_cursors(WORKOS, NAUTH_QUERY_LIST, "workos/page.json", damaged, sizeof(damaged) / sizeof(damaged[0]));
}

static void
test_pages(void)
{
	unit_settings.page_size = 4;
	unit_query.kind = NAUTH_QUERY_LIST;
	ok(unit_read_fixture(WORKOS, NULL, "workos/page.json"), "a full page");
	ok(unit_page.count == 4 && !unit_page.last && !unit_page.reread && unit_page.total == -1, "is not the last");
	is_text(unit_page.next, ">1768478403000000 14:user_01HAUNITCuser_01HAUNITD", "the next begins after its last user");
	is_text(unit_users[0].id, "user_01HAUNITA", "an id");
	is_int(unit_users[0].updated_at, INT64_C(1769934600456000), "a time");
	ok(unit_users[0].has_created_at, "another");
	is_int(unit_users[0].created_at, INT64_C(1768478400123000), "that of its creation");
	ok(!unit_users[0].gone && !unit_users[0].has_deleted_at, "who is listed is there");
	is_text(unit_users[1].id, "user_01HAUNITB", "not the id of something within");
	is_int(unit_users[1].created_at, INT64_C(1768478401000000), "nor its time");

	ok(unit_read_fixture(WORKOS, ">1768478403000000 14:user_01HAUNITCuser_01HAUNITD", "workos/last_page.json"),
	   "a page with no cursor");
	ok(unit_page.last && unit_page.count == 1, "is the last");
	ok(unit_read_fixture(WORKOS, NULL, "workos/empty.json"), "nobody");
	ok(unit_page.last && unit_page.count == 0, "is the end of an empty directory");

	unit_settings.page_size = 100;
	ok(unit_read_fixture(WORKOS, NULL, "workos/page.json") && !unit_page.last,
	   "a short page with a cursor is not the last");
	unit_settings.page_size = 3;
	ok(!unit_read_fixture(WORKOS, NULL, "workos/page.json"), "more users than asked for");
	ok(unit_error.kind == NAUTH_ERROR_UNREADABLE && !unit_page.last, "are unreadable");
}

#define END		",\"list_metadata\":{\"before\":null,\"after\":null}}"
#define MORE	",\"list_metadata\":{\"before\":null,\"after\":\"b\"}}"

static const struct BodyCase page_cases[] = {
	{"{\"data\":[{\"id\":\"a\"}]" END, NAUTH_OK, true, "the end"},
	{"{\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}]" END, NAUTH_OK, true, "the end of a full page"},
	{"{\"data\":[{\"id\":\"a\"}]" MORE, NAUTH_OK, false, "a short page"},
	{"{\"data\":[{\"x\":1},{\"x\":2}]" MORE, NAUTH_OK, false, "users without an id, but a cursor"},
	{"{\"data\":[]" MORE, NAUTH_ERROR_INCOMPLETE, false, "an empty page before the end"},
	{"{\"data\":[{},{},{}]" END, NAUTH_ERROR_UNREADABLE, false, "a page that is too long"},
	{"{\"data\":[]}", NAUTH_ERROR_UNREADABLE, false, "no list_metadata"},
	{"{\"data\":[],\"list_metadata\":null}", NAUTH_ERROR_UNREADABLE, false, "none at all"},
	{"{\"data\":[],\"list_metadata\":[]}", NAUTH_ERROR_UNREADABLE, false, "another type of it"},
	{"{\"data\":[],\"list_metadata\":\"after\"}", NAUTH_ERROR_UNREADABLE, false, "a text"},
	{"{\"data\":[],\"list_metadata\":{}}", NAUTH_ERROR_UNREADABLE, false, "no word about the end"},
	{"{\"data\":[],\"list_metadata\":{\"before\":null}}", NAUTH_ERROR_UNREADABLE, false, "none but about the beginning"},
	{"{\"data\":[{\"id\":\"a\"}],\"list_metadata\":{\"after\":\"\"}}", NAUTH_ERROR_UNREADABLE, false, "an empty cursor"},
	{"{\"data\":[{\"id\":\"a\"}],\"list_metadata\":{\"after\":7}}", NAUTH_ERROR_UNREADABLE, false, "a number as cursor"},
	{"{\"data\":[{\"id\":\"a\"}],\"list_metadata\":{\"after\":false}}", NAUTH_ERROR_UNREADABLE, false, "false as cursor"},
	{"{\"data\":[{\"id\":\"a\"}],\"list_metadata\":{\"after\":\"b\\u0000\"}}", NAUTH_ERROR_UNREADABLE, false, "a zero byte in it"},
	{"{\"data\":[{\"id\":\"a\"}],\"list_metadata\":{\"after\":\"" IDS_255 "i\"}}", NAUTH_ERROR_UNREADABLE, false, "a cursor too long"},
	{"{\"data\":[{\"id\":\"a\"}],\"list_metadata\":{\"after\":null,\"after\":\"b\"}}", NAUTH_ERROR_UNREADABLE, false, "two cursors"},
	{"{\"data\":[{\"id\":\"a\"}],\"list_metadata\":{\"after\":\"b\"}" END, NAUTH_ERROR_UNREADABLE, false, "list_metadata twice"},
	{"{\"data\":[],\"data\":[]" END, NAUTH_ERROR_UNREADABLE, false, "data twice"},
	{"{\"data\":null" END, NAUTH_ERROR_UNREADABLE, false, "no data"},
	{"{\"list_metadata\":{\"before\":null,\"after\":null}}", NAUTH_ERROR_UNREADABLE, false, "none of it"},
	{"{\"data\":{}" END, NAUTH_ERROR_UNREADABLE, false, "an object as data"},
	{"{\"data\":[1]" END, NAUTH_ERROR_UNREADABLE, false, "a number as user"},
	{"[]", NAUTH_ERROR_UNREADABLE, false, "an array"},
	{"{\"data\":[]" END "x", NAUTH_ERROR_UNREADABLE, false, "bytes behind the end"}
};

/* The longest ids there are, one that looks like a cursor, and one that is none. */
static void
test_strange_ids(void)
{
	NauthSpan	body = unit_copy_text("{\"data\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"" IDS_255 "\"},"
									  "{\"id\":\"" IDS_255 "\"}],\"list_metadata\":{\"after\":\"" IDS_255 "\"}}");
	char		cursor[NAUTH_CURSOR_MAX];

	unit_settings.page_size = 4;
	unit_query.kind = NAUTH_QUERY_LIST;
	ok(unit_read(WORKOS, NULL, body) && !unit_page.last, "the longest ids");
	strcpy(cursor, unit_page.next);
	unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, cursor);
	ok(!unit_request.overflow && strstr(unit_request.url, "&after=" IDS_255) != NULL, "are asked with");
	unit_free(body);

	body = unit_copy_text("{\"data\":[{\"id\":\"1:a 2:b\"},{\"id\":\"<0 1:b\"}],\"list_metadata\":{\"after\":\"<0 1:b\"}}");
	ok(unit_read(WORKOS, NULL, body), "ids that look like cursors");
	strcpy(cursor, unit_page.next);
	unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, cursor);
	ok(strstr(unit_request.url, "&after=%3C0%201%3Ab") != NULL, "are no cursors");
	unit_free(body);
}

/* Directories of many sizes in pages of many sizes, with nobody deleted. */
static void
test_quiet(void)
{
	int			failed = 0;
	int			went_back = 0;

	always_after = false;
	for (int page_size = 1; page_size <= 12; page_size++)
		for (int size = 0; size <= 40; size++)
			for (NauthOrder order = NAUTH_ORDER_OWN; order <= NAUTH_ORDER_NEWEST; order++)
			{
				directory_fill(size);
				unit_query.order = order;
				failed += directory_list(&server, page_size, NULL) != NAUTH_OK || rereads > 0 ||
					directory_wrong(size) > 0 || requests != (size > 0 ? (size + page_size - 1) / page_size : 1);
			}
	is_int(failed, 0, "directories of many sizes in pages of many sizes");

	unit_query.order = NAUTH_ORDER_OWN;

	/* a server that says only with an empty page that this is the end */
	failed = 0;
	always_after = true;
	for (int page_size = 2; page_size <= 12; page_size++)
		for (int size = 0; size <= 40; size++)
		{
			directory_fill(size);
			failed += directory_list(&server, page_size, NULL) != NAUTH_OK || directory_wrong(size) > 0 ||
				rereads != (size > 0 && size % page_size == 0);
			went_back += rereads;
		}
	is_int(failed, 0, "an empty page at the end is looked at twice");
	ok(went_back > 0, "and that was so");
	always_after = false;
}

typedef struct LostCase
{
	Change		change;
	LostCursor	mode;
	NauthOrder	order;
	NauthErrorKind kind;
	int			rereads;
	const char *name;
} LostCase;

/* 20 users on pages of 5: the second page begins after user 4, or newest first after 15. */
static const LostCase lost_cases[] = {
	{{1, directory_delete, 4, 1}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 1, "the cursor's user deleted, and the server begins anew"},
	{{1, directory_delete, 4, 1}, LOST_ENDS, NAUTH_ORDER_OWN, NAUTH_OK, 1, "the same, and the server has nobody"},
	{{1, directory_delete, 4, 1}, LOST_GOES_ON, NAUTH_ORDER_OWN, NAUTH_OK, 0, "the same, and the server goes on"},
	{{1, directory_delete, 3, 2}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_ERROR_INCOMPLETE, 1, "the one before it deleted as well: begins anew"},
	{{1, directory_delete, 3, 2}, LOST_ENDS, NAUTH_ORDER_OWN, NAUTH_ERROR_INCOMPLETE, 1, "the same: has nobody"},
	{{1, directory_delete, 3, 2}, LOST_GOES_ON, NAUTH_ORDER_OWN, NAUTH_OK, 0, "the same: goes on"},
	{{1, directory_delete, 3, 1}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 0, "only the one before it deleted"},
	{{1, directory_delete, 4, 16}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_ERROR_INCOMPLETE, 1, "all from it on deleted: that cannot be known"},
	{{1, directory_delete, 5, 15}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 1, "all behind it deleted"},
	{{1, directory_delete, 0, 20}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_ERROR_INCOMPLETE, 1, "all deleted"},
	{{1, directory_delete, 4, 10}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 1, "it and the whole next page deleted"},
	{{1, directory_delete, 0, 5}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 0, "all of the first page deleted: anew is on"},
	{{2, directory_delete, 9, 1}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 1, "the second cursor's user deleted"},
	{{3, directory_delete, 14, 1}, LOST_ENDS, NAUTH_ORDER_OWN, NAUTH_OK, 1, "the last one's"},
	{{1, directory_delete, 15, 1}, LOST_RESTARTS, NAUTH_ORDER_NEWEST, NAUTH_OK, 1, "newest first: begins anew"},
	{{1, directory_delete, 15, 1}, LOST_ENDS, NAUTH_ORDER_NEWEST, NAUTH_OK, 1, "newest first: has nobody"},
	{{1, directory_delete, 15, 2}, LOST_RESTARTS, NAUTH_ORDER_NEWEST, NAUTH_ERROR_INCOMPLETE, 1, "newest first: two deleted"},
	{{1, delete_and_create, 15, 1}, LOST_RESTARTS, NAUTH_ORDER_NEWEST, NAUTH_OK, 1, "newest first: and somebody created"},
	{{1, create, 20, 1}, LOST_RESTARTS, NAUTH_ORDER_NEWEST, NAUTH_OK, 0, "newest first: somebody created"},
	{{1, create, 20, 1}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 0, "somebody created"}
};

static void
test_lost_cursors(void)
{
	for (size_t i = 0; i < sizeof(lost_cases) / sizeof(lost_cases[0]); i++)
	{
		const LostCase *test = &lost_cases[i];
		NauthErrorKind kind;

		lost_cursor = test->mode;
		directory_fill(20);
		unit_query.order = test->order;
		kind = directory_list(&server, 5, &test->change);
		is_int(kind, test->kind, test->name);
		is_int(rereads, test->rereads, "so often it went back");

		/* newest first, who is created meanwhile is before the beginning */
		if (kind == NAUTH_OK)
			is_int(directory_wrong(test->order == NAUTH_ORDER_NEWEST ? 20 : directory_next), 0,
				   "everybody who is left was seen once");
	}
	unit_query.order = NAUTH_ORDER_OWN;
}

/* Any deletion at any time: complete and everybody seen once, or not complete. */
static void
test_all_deletions(void)
{
	int			single = 0;

	for (lost_cursor = 0; lost_cursor < LOST_MODES; lost_cursor++)
		for (NauthOrder order = NAUTH_ORDER_OLDEST; order <= NAUTH_ORDER_NEWEST; order++)
			for (int page_size = 1; page_size <= 7; page_size += 3)
				for (int after = 1; after <= 6; after++)
					for (int position = 0; position < 25; position++)
						for (int count = 1; count <= 25 - position; count++)
						{
							Change		change = {after, directory_delete, position, count};
							NauthErrorKind kind;

							directory_fill(25);
							unit_query.order = order;
							kind = directory_list(&server, page_size, &change);
							tally_add(kind, directory_wrong(25));
							single += kind != NAUTH_OK && count == 1;
						}
	tally_check(20000, "a listing that says it is complete has everybody once");
	is_int(single, 0, "the deletion of one user does not end a listing");
	lost_cursor = LOST_RESTARTS;
	unit_query.order = NAUTH_ORDER_OWN;
}

/* Users who were created together come in any order; and without times nothing can be told. */
static void
test_times(void)
{
	static const struct
	{
		const char *created;
		const char *cursor;
		bool		read;
		bool		reread;
		const char *name;
	}			cases[] = {
		{"\"2026-02-01T08:29:59.500Z\"", ">1769934600456000 1:ab", true, false, "a little earlier than the last one"},
		{"\"2026-02-01T08:29:59.400Z\"", ">1769934600456000 1:ab", true, true, "more than a second earlier"},
		{"null", ">1769934600456000 1:ab", true, false, "no time"},
		{"\"2020-02-01T08:29:59.400Z\"", ">-9223372036854775808 1:ab", true, false, "no time of the last one"},
		{"null", "<1769934600456000 1:ab", false, false, "no time when the last one is looked for"},
		{"\"2020-02-01T08:29:59.400Z\"", "<-9223372036854775808 1:ab", false, false, "nor one of the last one"},
		{"\"2026-02-01T08:29:59.400Z\"", "<1769934600456000 1:ab", false, false, "somebody from before"},
		{"\"2026-02-01T08:30:01.000Z\"", "<1769934600456000 1:ab", true, false, "somebody from behind"},
		{"null", "<1769934600456000 1:ax", true, false, "the last one, without a time"}
	};

	unit_settings.page_size = 4;
	unit_query.kind = NAUTH_QUERY_LIST;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		json[256];
		NauthSpan	body;

		snprintf(json, sizeof(json), "{\"data\":[{\"id\":\"x\",\"created_at\":%s}]" END, cases[i].created);
		body = unit_copy_text(json);
		ok(unit_read(WORKOS, cases[i].cursor, body) == cases[i].read && unit_page.reread == cases[i].reread &&
		   (cases[i].read || unit_error.kind == NAUTH_ERROR_INCOMPLETE), cases[i].name);
		ok(unit_page.last == (cases[i].read && !cases[i].reread), "and whether it is the end");
		unit_free(body);
	}
}

/* ---- Events ---- */

static void
test_events(void)
{
	unit_query.kind = NAUTH_QUERY_SINCE;
	unit_settings.page_size = 100;
	ok(unit_read_fixture(WORKOS, NULL, "workos/events.json"), "a page of events");
	ok(unit_page.count == 3 && !unit_page.last && !unit_page.reread, "without that of an organization");
	is_text(unit_page.next, "event_01HA4", "the next begins after its last event");
	ok(strcmp(unit_users[0].id, "user_01HAUNITE") == 0 && !unit_users[0].gone, "who was created");
	ok(strcmp(unit_users[1].id, "user_01HAUNITE") == 0 && !unit_users[1].gone &&
	   unit_users[1].updated_at == INT64_C(1769934602000000), "and changed");
	ok(strcmp(unit_users[2].id, "user_01HAUNITB") == 0 && unit_users[2].gone, "and deleted");
	ok(unit_read_fixture(WORKOS, "event_01HA4", "workos/last_events.json"), "a page with no cursor");
	ok(unit_page.last && unit_page.count == 1 && unit_users[0].gone, "is the last");
	ok(unit_read_fixture(WORKOS, "event_01HA4", "workos/no_events.json"), "nothing more");
	ok(unit_page.last && unit_page.count == 0, "is the end");
	unit_settings.page_size = 3;
	ok(!unit_read_fixture(WORKOS, NULL, "workos/events.json") && !unit_page.last &&
	   unit_error.kind == NAUTH_ERROR_UNREADABLE, "more events than asked for, though not all are wanted");
}

/* The bytes of a user are those of the user, not of its event. */
static void
test_event_bytes(void)
{
	static const char user[] = "{\"id\":\"a\",\"n\":[{\"event\":\"user.deleted\"}]}";
	char		json[256];
	NauthSpan	body;

	snprintf(json, sizeof(json), "{\"data\":[{\"id\":\"event_1\",\"data\": %s ,\"event\":\"user.updated\"}]" END, user);
	body = unit_copy_text(json);
	unit_query.kind = NAUTH_QUERY_SINCE;
	unit_settings.page_size = 1;
	ok(unit_read(WORKOS, NULL, body) && unit_page.count == 1 && !unit_users[0].gone, "an event");
	ok(unit_users[0].json.len == strlen(user) && memcmp(unit_users[0].json.data, user, strlen(user)) == 0,
	   "has the bytes of its user");
	unit_free(body);
}

#define EVENT(name, data)	"{\"data\":[{\"event\":" name ",\"data\":" data "}]"

static const struct BodyCase event_cases[] = {
	{EVENT("\"user.updated\"", "{\"id\":\"a\"}") END, NAUTH_OK, true, "an event"},
	{EVENT("\"user.updated\"", "{\"id\":\"a\"}") MORE, NAUTH_OK, false, "with more to come"},
	{EVENT("\"user.updated\"", "{\"id\":\"a\"}") ",\"list_metadata\":{}}", NAUTH_OK, true, "no cursor is the end of events"},
	{"{\"data\":[]" MORE, NAUTH_OK, false, "no event, but more to come"},
	{EVENT("\"user.updated\"", "{\"x\":1}") END, NAUTH_OK, true, "a user without an id"},
	{EVENT("\"organization.updated\"", "null") END, NAUTH_OK, true, "an event of something else"},
	{EVENT("\"user.deleted\\u0000\"", "null") END, NAUTH_OK, true, "a name that is no text"},
	{EVENT("\"a_name_that_is_longer_than_those_that_are_wanted\"", "7") END, NAUTH_OK, true, "a long name"},
	{EVENT("\"user.updated\"", "{\"id\":\"a\"}"), NAUTH_ERROR_UNREADABLE, false, "no end of the page"},
	{EVENT("\"user.updated\"", "{\"id\":\"a\"}") "}", NAUTH_ERROR_UNREADABLE, false, "no list_metadata"},
	{EVENT("\"user.updated\"", "null") END, NAUTH_ERROR_UNREADABLE, false, "no user"},
	{EVENT("\"user.deleted\"", "null") END, NAUTH_ERROR_UNREADABLE, false, "nor one who is gone"},
	{EVENT("\"user.deleted\"", "\"a\"") END, NAUTH_ERROR_UNREADABLE, false, "a text as user"},
	{EVENT("\"user.deleted\"", "[{\"id\":\"a\"}]") END, NAUTH_ERROR_UNREADABLE, false, "an array as user"},
	{EVENT("null", "{\"id\":\"a\"}") END, NAUTH_ERROR_UNREADABLE, false, "no name"},
	{EVENT("7", "{\"id\":\"a\"}") END, NAUTH_ERROR_UNREADABLE, false, "a number as name"},
	{"{\"data\":[{\"event\":\"user.updated\"}]" END, NAUTH_ERROR_UNREADABLE, false, "an event without a user"},
	{"{\"data\":[{\"id\":\"a\"}]" END, NAUTH_ERROR_UNREADABLE, false, "a user without an event"},
	{EVENT("\"user.updated\",\"event\":\"user.deleted\"", "{\"id\":\"a\"}") END, NAUTH_ERROR_UNREADABLE, false, "two names"},
	{EVENT("\"user.updated\"", "{\"id\":\"a\"},\"data\":{\"id\":\"b\"}") END, NAUTH_ERROR_UNREADABLE, false, "two users"},
	{"{\"data\":[7]" END, NAUTH_ERROR_UNREADABLE, false, "a number as event"},
	{"{\"data\":[null]" END, NAUTH_ERROR_UNREADABLE, false, "null as event"},
	{"{\"data\":{}" END, NAUTH_ERROR_UNREADABLE, false, "an object as events"},
	{"{\"data\":null" END, NAUTH_ERROR_UNREADABLE, false, "null as events"},
	{"{\"data\":[],\"list_metadata\":null}", NAUTH_ERROR_UNREADABLE, false, "null as list_metadata"},
	{"{\"data\":[],\"list_metadata\":{\"after\":7}}", NAUTH_ERROR_UNREADABLE, false, "a number as cursor"}
};

/* The caller's array is never written beyond its capacity. */
static void
test_capacity(void)
{
	static const char *const fixtures[] = {"workos/page.json", "workos/events.json"};

	for (int i = 0; i < 2; i++)
	{
		NauthReply	reply = {.status = 200,.body = unit_fixture(fixtures[i])};
		NauthPage	page = {.capacity = 2};

		unit_settings.page_size = 100;
		unit_query.kind = i == 0 ? NAUTH_QUERY_LIST : NAUTH_QUERY_SINCE;
		page.users = unit_allocate(2 * sizeof(NauthUser));
		ok(!WORKOS->read_page(&unit_settings, &unit_query, NULL, &reply, &page, &unit_error) &&
		   page.count == 2 && !page.last, "more users than there is room for");
		free(page.users);
		unit_free(reply.body);
	}
}

/* The hostile users come through events as they come through a list. */
static void
test_hostile_events(void)
{
	unit_query.kind = NAUTH_QUERY_SINCE;
	unit_check_hostile_rfc3339(WORKOS, "workos/hostile_events.json", NULL, 0);
}

/* ---- Damaged bytes ---- */

static void
test_damaged(void)
{
	unit_settings.page_size = 4;
	unit_check_damaged(WORKOS, NAUTH_QUERY_LIST, "workos/page.json", NULL);
	unit_check_damaged(WORKOS, NAUTH_QUERY_LIST, "workos/page.json", ">1768478400123000 1:au");
	unit_check_damaged(WORKOS, NAUTH_QUERY_LIST, "workos/page.json", "<1768478400123000 1:auser_01HAUNITA");
	unit_check_damaged(WORKOS, NAUTH_QUERY_SINCE, "workos/events.json", NULL);
}

/* ---- One user ---- */

static void
test_single(void)
{
	NauthUser	user;

	ok(unit_read_user(WORKOS, "user_01HAUNITA", "workos/user.json", &user), "a user");
	ok(user.has_updated_at && user.flaw == NAUTH_FLAW_NONE && !user.gone, "its time");
	ok(!unit_read_user(WORKOS, "user_01HAUNITB", "workos/user.json", &user), "another user");
	ok(unit_error.kind == NAUTH_ERROR_UNFIT, "is an error");
	ok(!unit_read_user(WORKOS, "user_01HAUNITA", "workos/page.json", &user), "a list is no user");

	ok(unit_is_not_found(WORKOS, 404, "workos/not_found.json"), "not found");
	is_text(unit_error.code, "entity_not_found", "its code");
	ok(!unit_is_not_found(WORKOS, 400, "workos/not_found.json") &&
	   !unit_is_not_found(WORKOS, 200, "workos/not_found.json") &&
	   !unit_is_not_found(WORKOS, 410, "workos/not_found.json"), "wrong status");
	ok(!unit_is_not_found(WORKOS, 404, "workos/error_404.json"), "404 of something else");
	ok(!unit_is_not_found(WORKOS, 404, "workos/error_401.json") &&
	   !unit_is_not_found(WORKOS, 404, "workos/empty.json"), "or without a code");
	ok(!unit_is_not_found(WORKOS, 401, "workos/error_401.json") &&
	   !unit_is_not_found(WORKOS, 403, "workos/error_403.json"), "no right to");
	is_text(unit_error.code, "", "has no code");
	ok(!unit_is_not_found(WORKOS, 422, "workos/error_422.json"), "refused");
	is_text(unit_error.code, "invalid_request_parameters", "has one");
	ok(!unit_is_not_found(WORKOS, 422, "workos/error_422_events.json"), "refused events");
	unit_check_failures(WORKOS, "{\"message\":\"x\",\"code\":\"%s\",\"entity_id\":\"%s\"}");
}

static void
test_table(void)
{
	ok(nauth_provider_find("workos") == WORKOS, "found by its name");
	ok(WORKOS->read_count == NULL && !WORKOS->counts && !WORKOS->counts_windows && WORKOS->max_ids == 0,
	   "counts nobody and lists nobody by id");
	ok(WORKOS->lists_since && WORKOS->tells_gone && WORKOS->since_days == 30, "tells what happened");
}

int
main(void)
{
	test_table();
	test_requests();
	test_narrowed();
	test_event_requests();
	test_cursors();
	test_pages();
	unit_settings.page_size = 2;
	unit_check_pages(WORKOS, page_cases, sizeof(page_cases) / sizeof(page_cases[0]));
	test_strange_ids();
	test_quiet();
	test_lost_cursors();
	test_all_deletions();
	test_times();
	test_events();
	test_event_bytes();
	unit_query.kind = NAUTH_QUERY_SINCE;
	unit_settings.page_size = 2;
	unit_check_pages(WORKOS, event_cases, sizeof(event_cases) / sizeof(event_cases[0]));
	unit_check_bodies(WORKOS);
	test_capacity();
	test_hostile_events();
	unit_settings.page_size = 100;
	unit_check_cut(WORKOS, NAUTH_QUERY_SINCE, "workos/events.json");
	test_damaged();
	test_single();
	unit_settings.page_size = 4;
	unit_query.kind = NAUTH_QUERY_LIST;
	unit_check_cut(WORKOS, NAUTH_QUERY_LIST, "workos/page.json");
	unit_check_bodies(WORKOS);
	unit_check_hostile_rfc3339(WORKOS, "workos/hostile.json", NULL, 0);
	return done_testing();
}
