/*-------------------------------------------------------------------------
 *
 * clerk_test.c
 *	  Unit tests of the provider "clerk", and of what providers share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "provider/asking.h"
#include "provider/reading.h"
#include "provider_unit.h"

#define CLERK	(&nauth_provider_clerk)

static const UserCase hostile_times[] = {
	{"time_absent", NAUTH_FLAW_NONE, false},
	{"time_null", NAUTH_FLAW_NONE, false},
	{"time_twice", NAUTH_FLAW_DUPLICATE, false},
	{"time_text", NAUTH_FLAW_TIME, false},
	{"time_real", NAUTH_FLAW_TIME, false},
	{"time_exponent", NAUTH_FLAW_TIME, false},
	{"time_object", NAUTH_FLAW_TIME, false},
	{"time_negative", NAUTH_FLAW_NONE, true},
	{"time_zero", NAUTH_FLAW_NONE, true},
	{"time_microseconds", NAUTH_FLAW_TIME, false},
	{"time_max", NAUTH_FLAW_TIME, false},
	{"time_min", NAUTH_FLAW_TIME, false},
	{"time_beyond", NAUTH_FLAW_TIME, false}
};

static void
test_requests(void)
{
	unit_settings.page_size = 500;
	unit_write(CLERK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url,
			"https://auth.example.com/v1/users?limit=500&order_by=created_at",
			"the first page");
	is_text(unit_request.headers, "Authorization: Bearer key", "its headers");
	unit_write(CLERK, NAUTH_QUERY_LIST, NULL, "user_1&limit=1");
	is_text(unit_request.url,
			"https://auth.example.com/v1/users?limit=500&order_by=created_at"
			"&starting_after=user_1%26limit%3D1", "a further page");
	unit_write(CLERK, NAUTH_QUERY_CHANGES, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users?limit=500&offset=0&order_by=-updated_at",
			"the list by time of change");
	unit_write(CLERK, NAUTH_QUERY_CHANGES, NULL, "490 10 2:u1");
	is_text(unit_request.url, "https://auth.example.com/v1/users?limit=500&offset=490&order_by=-updated_at",
			"its next page");
	unit_write(CLERK, NAUTH_QUERY_COUNT, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users/count", "the count");
	unit_query.order = NAUTH_ORDER_NEWEST;
	unit_query.limit = 1;
	unit_write(CLERK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users?limit=1&order_by=-created_at", "who was created last");
	unit_query.order = NAUTH_ORDER_OWN;
	unit_query.limit = 0;
	unit_write(CLERK, NAUTH_QUERY_USER, "user_1", NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users/user_1", "one user");
	unit_write(CLERK, NAUTH_QUERY_USER, "../users?a#b", NULL);
	is_text(unit_request.url,
			"https://auth.example.com/v1/users/..%2Fusers%3Fa%23b", "a hostile id");
	unit_write(CLERK, NAUTH_QUERY_USER, nauth_request_id, NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users/{id}", "an unknown id");
	ok(!unit_request.overflow, "fits");
	unit_write(CLERK, NAUTH_QUERY_USER, "", NULL);
	ok(unit_request.overflow, "an empty id asks for no listing");
}

/* A window may have somebody too many at its edges, never too few. */
static void
test_windows(void)
{
	unit_settings.page_size = 500;
	unit_query.windowed = true;
	unit_query.from = INT64_C(1700000000000000);
	unit_query.before = INT64_C(1700000001000001);
	unit_write(CLERK, NAUTH_QUERY_COUNT, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users/count"
			"?created_at_after=1699999999999&created_at_before=1700000001001", "the count of a window");
	unit_write(CLERK, NAUTH_QUERY_LIST, NULL, "user_1");
	is_text(unit_request.url, "https://auth.example.com/v1/users?limit=500&order_by=created_at&starting_after=user_1"
			"&created_at_after=1699999999999&created_at_before=1700000001001", "its list");
	unit_query.from = NAUTH_MOMENT_MIN;
	unit_write(CLERK, NAUTH_QUERY_COUNT, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users/count?created_at_before=1700000001001",
			"one without a beginning");
	unit_query.from = INT64_C(1700000000000000);
	unit_query.before = NAUTH_MOMENT_MAX;
	unit_write(CLERK, NAUTH_QUERY_COUNT, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users/count?created_at_after=1699999999999",
			"and one without an end");
	unit_query.windowed = false;
}

/* What a query wants alone. */
static void
test_narrowed(void)
{
	static const char *const ids[] = {"user_a&b", "user_c", nauth_request_id};

	unit_settings.page_size = 500;
	unit_query.ids = ids;
	unit_query.n_ids = 3;
	unit_write(CLERK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users?limit=4&order_by=created_at"
			"&user_id=user_a%26b&user_id=user_c&user_id={id}", "users by id");
	ok(unit_read_fixture(CLERK, NULL, "clerk/page.json") && unit_page.last, "are all on one page");
	unit_query.ids = NULL;
	unit_query.n_ids = 0;
	unit_query.email = "a+b@example.com";
	unit_write(CLERK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users?limit=500&order_by=created_at"
			"&email_address=a%2Bb%40example.com", "users by address");
	unit_query.email = "Ada@EXAMPLE.com";
	unit_write(CLERK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users?limit=500&order_by=created_at"
			"&email_address=Ada%40EXAMPLE.com&email_address=ada%40example.com", "in both cases");
	unit_query.email = nauth_request_email;
	unit_write(CLERK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users?limit=500&order_by=created_at"
			"&email_address={email}", "an unknown address");
	unit_query.email = NULL;
	unit_query.order = NAUTH_ORDER_NEWEST;
	unit_query.limit = 7;
	unit_write(CLERK, NAUTH_QUERY_LIST, NULL, "user_1");
	is_text(unit_request.url, "https://auth.example.com/v1/users?limit=7&order_by=-created_at"
			"&starting_after=user_1", "the newest");
	unit_query.order = NAUTH_ORDER_OWN;
	unit_query.limit = 501;
	unit_query.windowed = true;
	unit_query.from = NAUTH_MOMENT_UNKNOWN;
	unit_query.before = NAUTH_MOMENT_UNKNOWN;
	unit_write(CLERK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/v1/users?limit=500&order_by=created_at"
			"&created_at_after={created_at}&created_at_before={created_at}", "an unknown window");
	unit_query.windowed = false;
	unit_query.limit = 0;
	ok(!nauth_ask_id_possible(CLERK, "user_a/b"), "an id with a slash is nobody's");
	ok(nauth_ask_id_possible(CLERK, "-user_a") && !nauth_ask_id_listable(CLERK, "-user_a") &&
	   !nauth_ask_id_listable(CLERK, "+user_a") && nauth_ask_id_listable(CLERK, "user-a"),
	   "one that would exclude is asked for alone");
}

static void
test_pages(void)
{
	unit_settings.page_size = 3;
	ok(unit_read_fixture(CLERK, NULL, "clerk/page.json"), "a full page");
	is_int(unit_page.count, 3, "its users");
	ok(!unit_page.last && !unit_page.reread, "is not the last");
	is_int(unit_page.total, -1, "tells no total");
	is_text(unit_page.next, "user_2unitC", "the next begins after its last user");
	is_text(unit_users[0].id, "user_2unitA", "an id");
	is_int(unit_users[0].updated_at, INT64_C(1700000501456000), "a time");
	ok(unit_users[0].has_created_at, "another");
	is_int(unit_users[0].created_at, INT64_C(1700000000123000), "that of its creation");
	is_text(unit_users[1].id, "user_2unitB", "not the id of something within");
	is_int(unit_users[1].updated_at, INT64_C(1700000001123000), "nor its time");
	ok(unit_users[2].flaw == NAUTH_FLAW_NONE, "a large number is no flaw");

	ok(unit_read_fixture(CLERK, "user_2unitC", "clerk/last_page.json"), "a page that is not full");
	ok(unit_page.last && unit_page.count == 2, "is the last");
	ok(unit_read_fixture(CLERK, "user_2unitE", "clerk/empty.json"), "an empty page");
	ok(unit_page.last && unit_page.count == 0, "is the last");

	unit_settings.page_size = 2;
	ok(!unit_read_fixture(CLERK, NULL, "clerk/page.json"), "more users than asked for");
	ok(unit_error.kind == NAUTH_ERROR_UNREADABLE, "are unreadable");
	ok(!unit_page.last, "and no end");
}

static void
test_no_cursor(void)
{
	static const char *const bodies[] = {
		"[{\"id\":\"a\"},{\"x\":1}]", "[{\"id\":\"a\"},{\"id\":\"b\",\"id\":\"c\"}]"
	};

	unit_settings.page_size = 2;
	for (int i = 0; i < 2; i++)
	{
		NauthSpan	body = unit_copy_text(bodies[i]);

		ok(!unit_read(CLERK, NULL, body) && !unit_page.last &&
		   unit_error.kind == NAUTH_ERROR_UNREADABLE,
		   "a full page whose last user has no id");
		unit_free(body);
	}
}

/* The caller's array is never written beyond its capacity. */
static void
test_capacity(void)
{
	NauthSpan	body = unit_fixture("clerk/page.json");
	NauthPage	page = {.capacity = 2};

	page.users = unit_allocate(2 * sizeof(NauthUser));
	ok(!nauth_read_users(CLERK, &unit_settings, body, page.capacity + 1, &page, &unit_error) && page.count == 2,
	   "more users than there is room for");
	free(page.users);
	unit_free(body);
}

#define CLERK_ERROR	"{\"errors\":[{\"code\":\"%s\",\"message\":\"x\"}],\"clerk_trace_id\":\"%s\"}"

static void
test_request_ids(void)
{
	static const char longest[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	NauthSpan	body = unit_copy_text("<html>");

	unit_read_failure_with(CLERK, CLERK_ERROR, "", "trace_1", "ray-1");
	is_text(unit_error.request_id, "trace_1", "the id of the body comes first");
	unit_read_failure_with(CLERK, CLERK_ERROR, "", longest, "");
	is_text(unit_error.request_id, longest, "the longest id");
	unit_read_failure_with(CLERK, CLERK_ERROR, "", "ada@example.com", "ray-1");
	is_text(unit_error.request_id, "ray-1", "what is none leaves the header's");
	unit_read_failure_with(CLERK, CLERK_ERROR, "", "sk live", "");
	is_text(unit_error.request_id, "", "and else there is none");
	unit_read_failure(CLERK, 502, "ray-2", body);
	is_text(unit_error.request_id, "ray-2", "where the body is no JSON too");
	unit_read_failure(CLERK, 200, "ray-3", body);
	is_text(unit_error.request_id, "ray-3", "and where the status is a good one");
	is_int(unit_error.status, 200, "which is kept");
	unit_free(body);
}

static void
test_single(void)
{
	NauthUser	user;

	ok(unit_read_user(CLERK, "user_2unitA", "clerk/user.json", &user), "a user");
	is_text(user.id, "user_2unitA", "its id");
	ok(user.has_updated_at && user.flaw == NAUTH_FLAW_NONE, "its time");
	ok(!unit_read_user(CLERK, "user_2unitB", "clerk/user.json", &user), "another user");
	ok(unit_error.kind == NAUTH_ERROR_UNFIT, "is an error");
	ok(!unit_read_user(CLERK, "", "clerk/not_found.json", &user), "no id at all");

	ok(unit_is_not_found(CLERK, 404, "clerk/not_found.json"), "not found");
	is_text(unit_error.code, "resource_not_found", "its code");
	ok(!unit_is_not_found(CLERK, 400, "clerk/not_found.json"), "wrong status");
	ok(!unit_is_not_found(CLERK, 404, "clerk/error_401.json"), "wrong code");
	is_text(unit_error.code, "clerk_key_invalid", "that code");
	ok(!unit_is_not_found(CLERK, 404, "clerk/empty.json"), "no code");
	is_text(unit_error.code, "", "no code is kept");
	unit_check_failures(CLERK, CLERK_ERROR);
	test_request_ids();

	ok(nauth_ask_id_possible(&nauth_provider_clerk, "user_1") && nauth_ask_id_possible(&nauth_provider_clerk, IDS_255),
	   "ids a user can have");
	ok(!nauth_ask_id_possible(&nauth_provider_clerk, "") &&
	   !nauth_ask_id_possible(&nauth_provider_clerk, "count") && !nauth_ask_id_possible(&nauth_provider_clerk, ".") &&
	   !nauth_ask_id_possible(&nauth_provider_clerk, "..") && !nauth_ask_id_possible(&nauth_provider_clerk, IDS_255 "i"),
	   "and ids nobody has");
}

static void
test_count(void)
{
	is_int(unit_read_count_body(CLERK, unit_fixture("clerk/count.json")), 42, "a count");
	is_int(unit_read_count(CLERK, "{\"total_count\":0}"), 0, "of nobody");
	is_int(unit_read_count(CLERK, "{\"total_count\":-1}"), -1, "a negative count");
	is_int(unit_read_count(CLERK, "{\"total_count\":\"42\"}"), -1, "a count as text");
	is_int(unit_read_count(CLERK, "{\"total_count\":4.2}"), -1, "a count as real");
}

static void
test_damaged(void)
{
	static const char *const cursors[] = {"x", "490", "490 10 1:u1"};

	unit_check_cursors(CLERK, NAUTH_QUERY_CHANGES, "clerk/page.json", cursors, sizeof(cursors) / sizeof(cursors[0]));
	unit_settings.page_size = 3;
	unit_check_damaged(CLERK, NAUTH_QUERY_LIST, "clerk/page.json", NULL);
	unit_check_damaged(CLERK, NAUTH_QUERY_CHANGES, "clerk/page.json", NULL);
}

static void
test_registry(void)
{
	ok(nauth_provider_find("clerk") == CLERK, "found by its name");
	ok(nauth_provider_find("better_auth") == &nauth_provider_better_auth, "another");
	ok(nauth_provider_find("Clerk") == NULL && nauth_provider_find("") == NULL,
	   "no other name");
	for (int i = 0; nauth_providers[i] != NULL; i++)
	{
		const NauthProvider *provider = nauth_providers[i];

		bool		known = provider->not_found_code == NULL;

		for (const NauthKnownCode *code = provider->known_codes; code->code != NULL; code++)
			known = known || strcmp(code->code, provider->not_found_code) == 0;
		ok(known, "its code for a user who does not exist is known, if it has one");
		ok(provider->min_page_size >= 1 &&
		   provider->min_page_size <= provider->page_size &&
		   provider->page_size <= provider->max_page_size, "its page sizes");
	}
}

int
main(void)
{
	test_requests();
	test_windows();
	test_narrowed();
	test_pages();
	test_no_cursor();
	test_capacity();
	test_single();
	test_count();
	test_registry();
	test_damaged();
	unit_settings.page_size = 4;
	unit_check_cut(CLERK, NAUTH_QUERY_LIST, "clerk/page.json");
	unit_check_bodies(CLERK);
	unit_check_hostile(CLERK, "clerk/hostile.json", hostile_times,
					   sizeof(hostile_times) / sizeof(hostile_times[0]));
	return done_testing();
}
