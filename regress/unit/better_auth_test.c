/*-------------------------------------------------------------------------
 *
 * better_auth_test.c
 *	  Unit tests of the provider "better_auth".
 *
 * Most of them page through a directory that changes between two pages: a user
 * who was there all the time must be seen, or the listing must say that it is
 * not complete.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"
#include "provider/asking.h"

#define BETTER_AUTH	(&nauth_provider_better_auth)

/* The reply that the server would give to the request. */
static NauthSpan
answer(void)
{
	static char body[DIRECTORY_MAX * 80];
	int			limit = directory_asked("limit=");
	int			offset = directory_asked("offset=");
	int			len = sprintf(body, "{\"users\":[");

	for (int i = offset; i < offset + limit && i < directory_size; i++)
		len += sprintf(body + len, "%s{\"id\":\"u%d\",\"updatedAt\":\"2026-02-01T08:30:00.456Z\"}",
					   i > offset ? "," : "", directory[i].number);
	len += sprintf(body + len, "],\"total\":%d,\"limit\":%d", directory_size, limit);
	if (offset > 0)
		len += sprintf(body + len, ",\"offset\":%d", offset);
	len += sprintf(body + len, "}");
	return unit_copy(body, (size_t) len);
}

static const Server server = {BETTER_AUTH, NAUTH_QUERY_LIST, "u%d", answer};

static void
test_requests(void)
{
	unit_settings.page_size = 200;
	unit_write(BETTER_AUTH, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url,
			"https://auth.example.com/api/auth/admin/list-users"
			"?limit=200&offset=0&sortBy=id&sortDirection=asc", "the first page");
	is_text(unit_request.headers, "Authorization: Bearer key", "its headers");
	unit_write(BETTER_AUTH, NAUTH_QUERY_LIST, NULL, "190 10 2:u1");
	is_text(unit_request.url,
			"https://auth.example.com/api/auth/admin/list-users"
			"?limit=200&offset=190&sortBy=id&sortDirection=asc", "a further page");
	ok(!unit_request.overflow, "fits");
	unit_write(BETTER_AUTH, NAUTH_QUERY_CHANGES, NULL, NULL);
	is_text(unit_request.url,
			"https://auth.example.com/api/auth/admin/list-users"
			"?limit=200&offset=0&sortBy=updatedAt&sortDirection=desc", "the list by time of change");
	unit_write(BETTER_AUTH, NAUTH_QUERY_COUNT, NULL, NULL);
	is_text(unit_request.url,
			"https://auth.example.com/api/auth/admin/list-users?limit=1", "the count");
	unit_write(BETTER_AUTH, NAUTH_QUERY_USER, "a&b=\r\n#", NULL);
	is_text(unit_request.url,
			"https://auth.example.com/api/auth/admin/get-user?id=a%26b%3D%0D%0A%23",
			"one user");
	unit_write(BETTER_AUTH, NAUTH_QUERY_USER, nauth_request_id, NULL);
	is_text(unit_request.url,
			"https://auth.example.com/api/auth/admin/get-user?id={id}", "an unknown id");
}

/* What a query wants alone. */
static void
test_narrowed(void)
{
	static const char *const ids[] = {"a&b", "c"};

	unit_settings.page_size = 200;
	unit_query.ids = ids;
	unit_query.n_ids = 2;
	unit_write(BETTER_AUTH, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/api/auth/admin/list-users"
			"?limit=3&offset=0&sortBy=id&sortDirection=asc&filterField=id&filterOperator=in"
			"&filterValue=a%26b&filterValue=c", "users by id");
	unit_query.ids = NULL;
	unit_query.n_ids = 0;
	unit_query.email = "Ada@example.com";
	unit_write(BETTER_AUTH, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/api/auth/admin/list-users"
			"?limit=200&offset=0&sortBy=id&sortDirection=asc&filterField=email&filterOperator=eq"
			"&filterValue=Ada%40example.com", "users by address");
	unit_query.email = NULL;
	unit_query.limit = 20;
	unit_query.order = NAUTH_ORDER_OLDEST;
	unit_write(BETTER_AUTH, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/api/auth/admin/list-users"
			"?limit=20&offset=0&sortBy=createdAt&sortDirection=asc", "the oldest");
	unit_query.order = NAUTH_ORDER_NEWEST;
	unit_write(BETTER_AUTH, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/api/auth/admin/list-users"
			"?limit=20&offset=0&sortBy=createdAt&sortDirection=desc", "the newest");
	unit_query.order = NAUTH_ORDER_OWN;
	unit_query.limit = 0;
	ok(nauth_ask_id_possible(BETTER_AUTH, "a/b") && nauth_ask_id_listable(BETTER_AUTH, "-a"),
	   "no id is odd");
}

static void
test_cursors(void)
{
	static const char *const damaged[] = {
		"", "x", "190", "190 ", "190 10", "190 10 ", "190 10 3:u1", "190 10 1:u1",
		"190 10 256:u", "-1 10 2:u1", "99999999999999999999 10 2:u1",
		"190 10 2:u1 2:u2 2:u3 2:u4", "190 10 :u1", "190 10 2u1"
	};
	NauthSpan	body;
	char		cursor[NAUTH_CURSOR_MAX];

	unit_check_cursors(BETTER_AUTH, NAUTH_QUERY_LIST, "better_auth/page.json", damaged, sizeof(damaged) / sizeof(damaged[0]));

	/* the longest ids there are, and one that looks like a cursor */
	unit_settings.page_size = 3;
	body = unit_copy_text("{\"users\":[{\"id\":\"" IDS_255 "\"},"
						  "{\"id\":\" 1:a 2:b\\\"\\n\"},"
						  "{\"id\":\"" IDS_255 "\"}],\"total\":9,\"limit\":3}");
	ok(unit_read(BETTER_AUTH, NULL, body) && !unit_page.last, "long ids");
	strcpy(cursor, unit_page.next);
	ok(unit_read(BETTER_AUTH, cursor, body) && unit_page.count == 0 &&
	   !unit_page.reread, "are known again");
	unit_free(body);

	body = unit_copy_text("{\"users\":[{\"id\":\" 1:a 2:b\\\"\\n\"},{\"id\":\"x\"}],\"total\":4,\"limit\":3}");
	ok(unit_read(BETTER_AUTH, cursor, body) && unit_page.last &&
	   unit_page.count == 1 && strcmp(unit_users[0].id, "x") == 0,
	   "so is a strange one");
	unit_free(body);
}

static void
test_pages(void)
{
	unit_settings.page_size = 4;
	ok(unit_read_fixture(BETTER_AUTH, NULL, "better_auth/page.json"), "a page");
	ok(!unit_page.last && unit_page.count == 4 && unit_page.total == 5, "is not the last");
	is_text(unit_page.next, "2 2 6:m3Xc7N 6:t0Yr5W 6:k8Qz1P", "the next begins within it");
	is_int(unit_users[0].updated_at, INT64_C(1769934600456000), "a time");
	ok(unit_read_fixture(BETTER_AUTH, "2 2 6:m3Xc7N 6:t0Yr5W 6:k8Qz1P",
						 "better_auth/last_page.json"), "the next page");
	ok(unit_page.last && unit_page.count == 1, "has one new user and is the last");
	is_text(unit_users[0].id, "b1Hd9S", "the new one");
	ok(unit_read_fixture(BETTER_AUTH, NULL, "better_auth/empty.json"), "nobody");
	ok(unit_page.last && unit_page.count == 0 && unit_page.total == 0, "is the end");

	ok(!unit_read_fixture(BETTER_AUTH, NULL, "better_auth/swallowed_error.json"),
	   "an error that the server swallowed");
	ok(unit_error.kind == NAUTH_ERROR_UNAVAILABLE && !unit_page.last, "is no end");
	unit_settings.page_size = 5;
	ok(!unit_read_fixture(BETTER_AUTH, NULL, "better_auth/page.json") &&
	   unit_error.kind == NAUTH_ERROR_UNREADABLE, "another limit than asked for");
	ok(!unit_read_fixture(BETTER_AUTH, NULL, "better_auth/empty.json") &&
	   unit_error.kind == NAUTH_ERROR_UNREADABLE, "even on an empty page");
}

typedef struct PageCase
{
	const char *json;
	NauthErrorKind kind;
	const char *name;
} PageCase;

static const PageCase page_cases[] = {
	{"{\"users\":[{\"id\":\"a\"}],\"total\":2,\"limit\":2}", NAUTH_ERROR_INCOMPLETE, "a page that is too short"},
	{"{\"users\":[],\"total\":2,\"limit\":2}", NAUTH_ERROR_INCOMPLETE, "an empty page before the end"},
	{"{\"users\":[{},{},{}],\"total\":3,\"limit\":2}", NAUTH_ERROR_UNREADABLE, "a page that is too long"},
	{"{\"users\":[{},{}],\"total\":3,\"limit\":2}", NAUTH_ERROR_UNREADABLE, "nobody to continue from"},
	{"{\"users\":[],\"total\":0,\"limit\":null}", NAUTH_ERROR_UNAVAILABLE, "no limit"},
	{"{\"users\":[],\"total\":0,\"limit\":\"2\"}", NAUTH_ERROR_UNREADABLE, "a limit as text"},
	{"{\"users\":[],\"limit\":2}", NAUTH_ERROR_UNREADABLE, "no total"},
	{"{\"users\":[],\"total\":-1,\"limit\":2}", NAUTH_ERROR_UNREADABLE, "a negative total"},
	{"{\"users\":[],\"total\":9223372036854775807,\"limit\":2}", NAUTH_ERROR_UNREADABLE, "an absurd total"},
	{"{\"users\":[],\"total\":0,\"limit\":2,\"users\":[]}", NAUTH_ERROR_UNREADABLE, "users twice"},
	{"{\"users\":[],\"total\":1e999,\"total\":0,\"limit\":2}", NAUTH_ERROR_UNREADABLE, "a total twice"},
	{"{\"users\":[{\"id\":\"a\"}],\"total\":0,\"limit\":2}", NAUTH_OK, "more users than the total"}
};

static void
test_page_cases(void)
{
	unit_settings.page_size = 2;
	for (size_t i = 0; i < sizeof(page_cases) / sizeof(page_cases[0]); i++)
	{
		const PageCase *test = &page_cases[i];

		unit_check_page(BETTER_AUTH, test->json, test->kind, test->kind == NAUTH_OK, test->name);
	}
}

static void
test_quiet(void)
{
	int			failed = 0;

	for (int page_size = 2; page_size <= 25; page_size++)
		for (int size = 0; size <= 60; size++)
		{
			directory_fill(size);
			failed += directory_list(&server, page_size, NULL) != NAUTH_OK || rereads > 0 ||
				directory_wrong(size) > 0;
		}
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
	{{2, directory_delete, 0, 30}, NAUTH_ERROR_INCOMPLETE, 1, "30 deleted"},
	{{3, directory_delete, 0, 15}, NAUTH_OK, 1, "15 deleted later"},
	{{1, directory_delete, 19, 1}, NAUTH_OK, 0, "the last one read deleted"},
	{{1, directory_delete, 18, 2}, NAUTH_OK, 0, "the two last ones read deleted"},
	{{1, directory_delete, 17, 3}, NAUTH_ERROR_INCOMPLETE, 1, "all three that are remembered deleted"},
	{{1, directory_delete, 10, 9}, NAUTH_OK, 0, "all rows of the overlap but the last deleted"},
	{{1, directory_delete, 19, 5}, NAUTH_OK, 0, "the last one read and four unread ones deleted"},
	{{1, directory_delete, 20, 80}, NAUTH_OK, 0, "all unread ones deleted"},
	{{1, directory_delete, 0, 100}, NAUTH_ERROR_INCOMPLETE, 1, "everybody deleted"},
	{{8, directory_delete, 50, 5}, NAUTH_OK, 0, "5 deleted before the last page"},
	{{1, directory_insert, 100, 7}, NAUTH_OK, 0, "7 added at the end"}
};

static void
test_drift(void)
{
	directory_check_drift(&server, 100, 20, DIRECTORY_MAX, drift_cases,
						  sizeof(drift_cases) / sizeof(drift_cases[0]));
}

/* Any deletion at any time: complete and nobody lost, or not complete. */
static void
test_all_deletions(void)
{
	tally_add_deletions(&server);
	tally_check(1000, "a listing that says it is complete has lost nobody");
}

static void
test_single(void)
{
	NauthUser	user;

	ok(unit_read_user(BETTER_AUTH, "v6b2M3", "better_auth/user.json", &user), "a user");
	ok(user.has_updated_at && user.flaw == NAUTH_FLAW_NONE, "its time");
	ok(!unit_read_user(BETTER_AUTH, "k8Qz1P", "better_auth/user.json", &user), "another user");
	ok(unit_is_not_found(BETTER_AUTH, 404, "better_auth/not_found.json"), "not found");
	is_text(unit_error.code, "USER_NOT_FOUND", "its code");
	ok(!unit_is_not_found(BETTER_AUTH, 404, "better_auth/error_401.json"),
	   "an unknown route has an empty body");
	ok(!unit_is_not_found(BETTER_AUTH, 403, "better_auth/error_403.json"), "no right to");
	is_text(unit_error.code, "YOU_ARE_NOT_ALLOWED_TO_LIST_USERS", "that code");
	ok(unit_error.hint != NULL, "and what mends it");
	unit_check_failures(BETTER_AUTH, "{\"message\":\"x\",\"code\":\"%s\",\"more\":\"%s\"}");
}

static void
test_count(void)
{
	is_int(unit_read_count_body(BETTER_AUTH, unit_fixture("better_auth/count.json")), 251, "a count");
	is_int(unit_read_count(BETTER_AUTH, "{\"users\":[],\"total\":0,\"limit\":1}"), 0, "of nobody");
	is_int(unit_read_count(BETTER_AUTH, "{\"users\":[],\"total\":0}"), -1, "a swallowed error");
	is_int(unit_read_count(BETTER_AUTH, "{\"users\":[],\"total\":0,\"limit\":100}"), -1, "another limit");
}

static void
test_damaged(void)
{
	unit_settings.page_size = 4;
	unit_check_damaged(BETTER_AUTH, NAUTH_QUERY_LIST, "better_auth/page.json", NULL);
	unit_check_damaged(BETTER_AUTH, NAUTH_QUERY_LIST, "better_auth/page.json", "2 2 6:m3Xc7N 6:t0Yr5W 6:k8Qz1P");
}

int
main(void)
{
	test_requests();
	test_narrowed();
	test_cursors();
	test_pages();
	test_page_cases();
	test_quiet();
	test_drift();
	directory_check_inserted_before(&server);
	test_all_deletions();
	test_single();
	test_count();
	test_damaged();
	unit_settings.page_size = 4;
	unit_check_cut(BETTER_AUTH, NAUTH_QUERY_LIST, "better_auth/page.json");
	unit_check_bodies(BETTER_AUTH);
	unit_check_hostile_rfc3339(BETTER_AUTH, "better_auth/hostile.json", NULL, 0);
	return done_testing();
}
