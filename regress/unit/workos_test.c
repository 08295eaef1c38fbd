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
#include "provider_unit.h"

#define WORKOS		(&nauth_provider_workos)
#define MAX_USERS	120
#define MAX_PAGES	200

static const UserCase hostile_times[] = {
	{"time_absent", NAUTH_FLAW_NONE, false},
	{"time_null", NAUTH_FLAW_NONE, false},
	{"time_twice", NAUTH_FLAW_DUPLICATE, false},
	{"time_number", NAUTH_FLAW_TIME, false},
	{"time_date", NAUTH_FLAW_TIME, false},
	{"time_february_30", NAUTH_FLAW_TIME, false},
	{"time_no_zone", NAUTH_FLAW_TIME, false},
	{"time_offset", NAUTH_FLAW_NONE, true},
	{"time_year_0", NAUTH_FLAW_TIME, false},
	{"time_long_year", NAUTH_FLAW_TIME, false},
	{"time_nul", NAUTH_FLAW_TIME, false}
};

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

/* A directory, the numbers of its users in order of creation. */
static int	directory[MAX_USERS];
static int	directory_size;

/* How often a listing returned each user, and how many pages it read. */
static int	seen[MAX_USERS];
static int	pages;
static int	rereads;

static void
directory_fill(int size)
{
	for (int i = 0; i < size; i++)
		directory[i] = i;
	directory_size = size;
}

static void
directory_delete(int position, int count)
{
	if (position >= directory_size)
		return;
	if (count > directory_size - position)
		count = directory_size - position;
	memmove(directory + position, directory + position + count,
			(size_t) (directory_size - position - count) * sizeof(int));
	directory_size -= count;
}

static void
directory_create(int number)
{
	directory[directory_size++] = number;
}

/* The place in the listing from which on the request wants users. */
static int
directory_start(bool newest)
{
	const char *after = strstr(unit_request.url, "after=u");
	int			number = after == NULL ? 0 : atoi(after + 7);
	int			place = 0;

	if (after == NULL)
		return 0;
	for (int i = 0; i < directory_size; i++)
	{
		if (directory[i] == number)
			return newest ? directory_size - i : i + 1;
		place += newest ? directory[i] > number : directory[i] < number;
	}
	return lost_cursor == LOST_RESTARTS ? 0 :
		lost_cursor == LOST_ENDS ? directory_size : place;
}

/* The reply that the server would give to the request; each user is created two seconds after the last. */
static NauthSpan
directory_answer(void)
{
	static char body[MAX_USERS * 80];
	bool		newest = strstr(unit_request.url, "order=desc") != NULL;
	int			limit = atoi(strstr(unit_request.url, "limit=") + 6);
	int			start = directory_start(newest);
	int			len = sprintf(body, "{\"object\":\"list\",\"data\":[");
	int			i;
	int			number = 0;

	for (i = start; i < start + limit && i < directory_size; i++)
	{
		number = directory[newest ? directory_size - 1 - i : i];
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

/* A change of the directory, made after a number of pages. */
typedef struct Change
{
	int			after;
	int			position;		/* of the first user to delete */
	int			count;
	int			created;		/* a number to create, or 0 */
} Change;

/* List the directory; returns how it ended. */
static NauthErrorKind
list(int page_size, NauthOrder order, const Change *change)
{
	char		cursor[NAUTH_CURSOR_MAX] = "";

	unit_settings.page_size = page_size;
	unit_query.order = order;
	memset(seen, 0, sizeof(seen));
	rereads = 0;
	for (pages = 0; pages < MAX_PAGES; pages++)
	{
		NauthSpan	body;
		bool		read;

		if (change != NULL && change->after == pages)
		{
			directory_delete(change->position, change->count);
			if (change->created > 0)
				directory_create(change->created);
		}
		unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, pages == 0 ? NULL : cursor);
		body = directory_answer();
		read = unit_read(WORKOS, pages == 0 ? NULL : cursor, body);
		unit_free(body);
		if (!read)
			return unit_error.kind;
		rereads += unit_page.reread;
		for (int i = 0; i < unit_page.count; i++)
			seen[atoi(unit_users[i].id + 1)]++;
		if (unit_page.last)
			return NAUTH_OK;
		if (strcmp(cursor, unit_page.next) == 0)
			return NAUTH_ERROR_INCOMPLETE;	/* as the directory would say */
		strcpy(cursor, unit_page.next);
	}
	return NAUTH_ERROR_TIMEOUT;
}

/* How many users who are still there were not seen exactly once. */
static int
count_wrong(void)
{
	int			wrong = 0;

	for (int i = 0; i < directory_size; i++)
		wrong += seen[directory[i]] != 1;
	return wrong;
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
	ok(!nauth_read_id_possible(WORKOS, "user_a/b") && !nauth_read_id_possible(WORKOS, "external_id") &&
	   !nauth_read_id_possible(WORKOS, ".."), "ids that would be another path are nobody's");
	ok(nauth_read_id_possible(WORKOS, "user_01HA") && nauth_read_id_possible(WORKOS, "17") &&
	   nauth_read_id_possible(WORKOS, IDS_255), "all others may be somebody's");
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
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++)
	{
		unit_write(WORKOS, NAUTH_QUERY_LIST, NULL, damaged[i]);
		ok(unit_request.overflow, "a damaged cursor is not asked with");
		ok(!unit_read_fixture(WORKOS, damaged[i], "workos/page.json") && !unit_page.last &&
		   unit_error.kind == NAUTH_ERROR_REQUEST, "nor read with");
	}
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

typedef struct PageCase
{
	const char *json;
	NauthErrorKind kind;
	bool		last;
	const char *name;
} PageCase;

#define END		",\"list_metadata\":{\"before\":null,\"after\":null}}"
#define MORE	",\"list_metadata\":{\"before\":null,\"after\":\"b\"}}"

static const PageCase page_cases[] = {
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

static void
check_cases(const PageCase *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		const PageCase *test = &cases[i];
		NauthSpan	body = unit_copy_text(test->json);

		ok(unit_read(WORKOS, NULL, body) == (test->kind == NAUTH_OK) &&
		   unit_error.kind == test->kind, test->name);
		ok(unit_page.last == test->last, "and whether it is the end");
		unit_free(body);
	}
}

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
				failed += list(page_size, order, NULL) != NAUTH_OK || rereads > 0 ||
					count_wrong() > 0 || pages + 1 != (size > 0 ? (size + page_size - 1) / page_size : 1);
			}
	is_int(failed, 0, "directories of many sizes in pages of many sizes");

	/* a server that says only with an empty page that this is the end */
	failed = 0;
	always_after = true;
	for (int page_size = 2; page_size <= 12; page_size++)
		for (int size = 0; size <= 40; size++)
		{
			directory_fill(size);
			failed += list(page_size, NAUTH_ORDER_OWN, NULL) != NAUTH_OK || count_wrong() > 0 ||
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
	{{1, 4, 1, 0}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 1, "the cursor's user deleted, and the server begins anew"},
	{{1, 4, 1, 0}, LOST_ENDS, NAUTH_ORDER_OWN, NAUTH_OK, 1, "the same, and the server has nobody"},
	{{1, 4, 1, 0}, LOST_GOES_ON, NAUTH_ORDER_OWN, NAUTH_OK, 0, "the same, and the server goes on"},
	{{1, 3, 2, 0}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_ERROR_INCOMPLETE, 1, "the one before it deleted as well: begins anew"},
	{{1, 3, 2, 0}, LOST_ENDS, NAUTH_ORDER_OWN, NAUTH_ERROR_INCOMPLETE, 1, "the same: has nobody"},
	{{1, 3, 2, 0}, LOST_GOES_ON, NAUTH_ORDER_OWN, NAUTH_OK, 0, "the same: goes on"},
	{{1, 3, 1, 0}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 0, "only the one before it deleted"},
	{{1, 4, 16, 0}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_ERROR_INCOMPLETE, 1, "all from it on deleted: that cannot be known"},
	{{1, 5, 15, 0}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 1, "all behind it deleted"},
	{{1, 0, 20, 0}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_ERROR_INCOMPLETE, 1, "all deleted"},
	{{1, 4, 10, 0}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 1, "it and the whole next page deleted"},
	{{1, 0, 5, 0}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 0, "all of the first page deleted: anew is on"},
	{{2, 9, 1, 0}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 1, "the second cursor's user deleted"},
	{{3, 14, 1, 0}, LOST_ENDS, NAUTH_ORDER_OWN, NAUTH_OK, 1, "the last one's"},
	{{1, 15, 1, 0}, LOST_RESTARTS, NAUTH_ORDER_NEWEST, NAUTH_OK, 1, "newest first: begins anew"},
	{{1, 15, 1, 0}, LOST_ENDS, NAUTH_ORDER_NEWEST, NAUTH_OK, 1, "newest first: has nobody"},
	{{1, 15, 2, 0}, LOST_RESTARTS, NAUTH_ORDER_NEWEST, NAUTH_ERROR_INCOMPLETE, 1, "newest first: two deleted"},
	{{1, 15, 1, 30}, LOST_RESTARTS, NAUTH_ORDER_NEWEST, NAUTH_OK, 1, "newest first: and somebody created"},
	{{1, 0, 0, 30}, LOST_RESTARTS, NAUTH_ORDER_NEWEST, NAUTH_OK, 0, "newest first: somebody created"},
	{{1, 0, 0, 30}, LOST_RESTARTS, NAUTH_ORDER_OWN, NAUTH_OK, 0, "somebody created"}
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
		kind = list(5, test->order, &test->change);
		is_int(kind, test->kind, test->name);
		is_int(rereads, test->rereads, "so often it went back");

		/* newest first, who is created meanwhile is before the beginning */
		if (test->order == NAUTH_ORDER_NEWEST && test->change.created > 0)
			directory_size--;
		if (kind == NAUTH_OK)
			is_int(count_wrong(), 0, "everybody who is left was seen once");
	}
	unit_query.order = NAUTH_ORDER_OWN;
}

/* Any deletion at any time: complete and everybody seen once, or not complete. */
static void
test_all_deletions(void)
{
	int			wrong = 0;
	int			failed = 0;
	int			complete = 0;
	int			single = 0;

	for (lost_cursor = 0; lost_cursor < LOST_MODES; lost_cursor++)
		for (NauthOrder order = NAUTH_ORDER_OLDEST; order <= NAUTH_ORDER_NEWEST; order++)
			for (int page_size = 1; page_size <= 7; page_size += 3)
				for (int after = 1; after <= 6; after++)
					for (int position = 0; position < 25; position++)
						for (int count = 1; count <= 25 - position; count++)
						{
							Change		change = {after, position, count, 0};
							NauthErrorKind kind;

							directory_fill(25);
							kind = list(page_size, order, &change);
							failed += kind != NAUTH_OK && kind != NAUTH_ERROR_INCOMPLETE;
							complete += kind == NAUTH_OK;
							wrong += kind == NAUTH_OK && count_wrong() > 0;
							single += kind != NAUTH_OK && count == 1;
						}
	is_int(wrong, 0, "a listing that says it is complete has everybody once");
	is_int(failed, 0, "another says that it is not");
	is_int(single, 0, "the deletion of one user does not end a listing");
	ok(complete > 20000, "and most are complete");
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

static const PageCase event_cases[] = {
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
	unit_check_hostile(WORKOS, "workos/hostile_events.json", hostile_times,
					   sizeof(hostile_times) / sizeof(hostile_times[0]));
}

static void
test_cut_events(void)
{
	NauthSpan	page = unit_fixture("workos/events.json");
	int			read = 0;

	unit_query.kind = NAUTH_QUERY_SINCE;
	unit_settings.page_size = 100;
	for (size_t len = 0; len + 2 < page.len; len++)
	{
		NauthSpan	cut = unit_copy(page.data, len);

		read += unit_read(WORKOS, NULL, cut) || unit_page.last || unit_error.kind != NAUTH_ERROR_UNREADABLE;
		unit_free(cut);
	}
	is_int(read, 0, "events that are cut off anywhere are unreadable");
	unit_free(page);
}

/* ---- Damaged bytes ---- */

static unsigned random_state;

static unsigned
pick(unsigned below)
{
	random_state = random_state * 1103515245u + 12345u;
	return (random_state >> 16) % below;
}

/* Change, cut out or double some bytes of a page. */
static NauthSpan
damage(NauthSpan page)
{
	static const char marks[] = "\"{}[],:\\n0\0\xff";
	char		bytes[8192];
	size_t		len = page.len;

	memcpy(bytes, page.data, len);
	for (unsigned times = 1 + pick(3); times > 0; times--)
	{
		size_t		at = pick((unsigned) len);
		size_t		some = 1 + pick((unsigned) (len - at < 40 ? len - at : 40));

		switch (pick(4))
		{
			case 0:
				bytes[at] = marks[pick(sizeof(marks))];
				break;
			case 1:
				bytes[at] ^= (char) (1u << pick(8));
				break;
			case 2:
				memmove(bytes + at, bytes + at + some, len - at - some);
				len = len > some ? len - some : 1;
				break;
			default:
				if (len + some <= sizeof(bytes))
				{
					memmove(bytes + at + some, bytes + at, len - at);
					len += some;
				}
				break;
		}
	}
	return unit_copy(bytes, len);
}

static void
test_damage(NauthQueryKind kind, const char *fixture, const char *cursor)
{
	NauthSpan	page = unit_fixture(fixture);
	int			wrong = 0;
	int			read = 0;

	random_state = 1;
	unit_settings.page_size = 4;
	unit_query.kind = kind;
	for (int i = 0; i < 6000; i++)
	{
		NauthSpan	damaged = damage(page);
		bool		good = unit_read(WORKOS, cursor, damaged);

		read += good;
		wrong += good ? unit_page.count > 4 || (!unit_page.last && unit_page.next[0] == '\0') :
			unit_error.reason == NULL || unit_page.last;
		wrong += unit_page.count < 0 || memchr(unit_page.next, '\0', NAUTH_CURSOR_MAX) == NULL;
		for (int user = 0; good && user < unit_page.count; user++)
			wrong += unit_users[user].json.data < damaged.data ||
				unit_users[user].json.data + unit_users[user].json.len > damaged.data + damaged.len ||
				memchr(unit_users[user].id, '\0', NAUTH_ID_MAX + 1) == NULL;
		unit_free(damaged);
	}
	is_int(wrong, 0, "damaged pages are read within their bounds, or not at all");
	ok(read > 0 && read < 6000, "some are, some are not");
	unit_free(page);
}

/* ---- One user ---- */

static void
test_single(void)
{
	NauthUser	user;

	ok(unit_read_user(WORKOS, "user_01HAUNITA", "workos/user.json", &user), "a user");
	ok(user.has_updated_at && user.flaw == NAUTH_FLAW_NONE && !user.gone, "its time");
	ok(!unit_read_user(WORKOS, "user_01HAUNITB", "workos/user.json", &user), "another user");
	ok(unit_error.kind == NAUTH_ERROR_UNREADABLE, "is an error");
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
	check_cases(page_cases, sizeof(page_cases) / sizeof(page_cases[0]));
	test_strange_ids();
	test_quiet();
	test_lost_cursors();
	test_all_deletions();
	test_times();
	test_events();
	test_event_bytes();
	unit_query.kind = NAUTH_QUERY_SINCE;
	unit_settings.page_size = 2;
	check_cases(event_cases, sizeof(event_cases) / sizeof(event_cases[0]));
	unit_check_bodies(WORKOS);
	test_capacity();
	test_hostile_events();
	test_cut_events();
	test_damage(NAUTH_QUERY_LIST, "workos/page.json", NULL);
	test_damage(NAUTH_QUERY_LIST, "workos/page.json", ">1768478400123000 1:au");
	test_damage(NAUTH_QUERY_LIST, "workos/page.json", "<1768478400123000 1:auser_01HAUNITA");
	test_damage(NAUTH_QUERY_SINCE, "workos/events.json", NULL);
	test_single();
	unit_settings.page_size = 4;
	unit_query.kind = NAUTH_QUERY_LIST;
	unit_check_cut(WORKOS, "workos/page.json");
	unit_check_bodies(WORKOS);
	unit_check_hostile(WORKOS, "workos/hostile.json", hostile_times,
					   sizeof(hostile_times) / sizeof(hostile_times[0]));
	return done_testing();
}
