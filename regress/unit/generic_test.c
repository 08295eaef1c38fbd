/*-------------------------------------------------------------------------
 *
 * generic_test.c
 *	  Unit tests of the provider "generic": what options make of it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "generic_unit.h"
#include "provider/asking.h"
#include "provider/reply.h"

static NauthProvider
adapted(void)
{
	NauthProvider provider = nauth_provider_generic;

	provider.adapt(&unit_settings, &provider);
	return provider;
}

/* ---- Requests */

static void
test_requests(void)
{
	begin_paged("offset");
	unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/users?offset=0&limit=100", "the first page");
	is_text(unit_request.headers, "Authorization: Bearer key\nAccept: application/json", "its headers");
	unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, "100 0 0 0 0 90 10 2:u1");
	is_text(unit_request.url, "https://auth.example.com/users?offset=90&limit=100", "a further page");
	unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, "95 0 1 0 0 94 1 2:u1");
	is_text(unit_request.url, "https://auth.example.com/users?offset=94&limit=2", "is anybody behind the last one");
	unit_write(GENERIC, NAUTH_QUERY_COUNT, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/users?offset=0&limit=1", "the count");
	set(NAUTH_SETTING_EMAIL_PARAMETER, "filter[email]");
	unit_query.email = "a&b@c";
	unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/users?offset=0&limit=100&filter%5Bemail%5D=a%26b%40c", "by address");
	unit_query.email = NULL;

	begin_paged("PAGE");
	set(NAUTH_SETTING_LIST_PATH, "/users?status=all");
	set(NAUTH_SETTING_PAGE_PARAMETER, "page[number]");
	set(NAUTH_SETTING_SIZE_PARAMETER, "page[size]");
	set(NAUTH_SETTING_AUTH_HEADER, "PRIVATE-TOKEN");
	unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/users?status=all&page%5Bnumber%5D=1&page%5Bsize%5D=100", "numbered");
	is_text(unit_request.headers, "PRIVATE-TOKEN: key\nAccept: application/json", "another header");
	set(NAUTH_SETTING_FIRST_PAGE, "0");
	set(NAUTH_SETTING_AUTH_HEADER, NULL);
	set(NAUTH_SETTING_AUTH_SCHEME, "token");
	unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, "100 0 0 0 0 99 1 2:u1");
	is_text(unit_request.url, "https://auth.example.com/users?status=all&page%5Bnumber%5D=1&page%5Bsize%5D=99", "a page that begins one row early");
	is_text(unit_request.headers, "Authorization: token key\nAccept: application/json", "another scheme");
	set(NAUTH_SETTING_AUTH_SCHEME, "none");
	unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, "60 0 1 0 0 59 1 2:u1");
	is_text(unit_request.url, "https://auth.example.com/users?status=all&page%5Bnumber%5D=8&page%5Bsize%5D=7", "rows 57 to 63: the last one and those behind");
	is_text(unit_request.headers, "Authorization: key\nAccept: application/json", "no scheme");

	begin_paged("cursor");
	set(NAUTH_SETTING_NEXT_MEMBER, "next");
	unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, "=a b&c");
	is_text(unit_request.url, "https://auth.example.com/users?limit=100&cursor=a%20b%26c", "a cursor");
	set(NAUTH_SETTING_PAGE_PARAMETER, "page[after]");
	set(NAUTH_SETTING_SIZE_PARAMETER, "page[size]");
	unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, "#5 7 0 =x");
	is_text(unit_request.url, "https://auth.example.com/users?page%5Bsize%5D=100&page%5Bafter%5D=x", "under a name with brackets");
	set(NAUTH_SETTING_PAGE_PARAMETER, NULL);
	set(NAUTH_SETTING_SIZE_PARAMETER, NULL);
	unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, "#5 7 1 ?page=2&limit=7");
	is_text(unit_request.url, "https://auth.example.com/users?page=2&limit=7", "one that is a URL");
	unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, "!6");
	is_text(unit_request.url, "https://auth.example.com/users?limit=6", "the first page again");
}

static void
test_one_user(void)
{
	static const char *const paths[][2] = {
		{"/users/{id}", "/users/a%2Fb%3F%20"},
		{"/users/{id}/profile?x=1", "/users/a%2Fb%3F%20/profile?x=1"},
		{"/user?id={id}&full=1", "/user?id=a%2Fb%3F%20&full=1"}
	};
	NauthProvider provider;

	begin_settings();
	for (int i = 0; i < 3; i++)
	{
		char		url[100];

		set(NAUTH_SETTING_USER_PATH, paths[i][0]);
		unit_write(GENERIC, NAUTH_QUERY_USER, "a/b? ", NULL);
		snprintf(url, sizeof(url), "https://auth.example.com%s", paths[i][1]);
		is_text(unit_request.url, url, "one user");
		provider = adapted();
		ok(nauth_ask_id_possible(&provider, "a/b") == (i == 2), "a slash within a path would be another path");
		ok(!nauth_ask_id_possible(&provider, "..") && !nauth_ask_id_possible(&provider, ""), "as would dots");
	}
	unit_write(GENERIC, NAUTH_QUERY_USER, nauth_request_id, NULL);
	is_text(unit_request.url, "https://auth.example.com/user?id={id}&full=1", "an unknown id");
	set(NAUTH_SETTING_ID_TYPE, "integer");
	provider = adapted();
	ok(nauth_ask_id_possible(&provider, "0") && nauth_ask_id_possible(&provider, "1234567890"), "integers");
	ok(!nauth_ask_id_possible(&provider, "01") && !nauth_ask_id_possible(&provider, "-1") && !nauth_ask_id_possible(&provider, "1a") &&
	   !nauth_ask_id_possible(&provider, "1.0") && !nauth_ask_id_possible(&provider, " 1"), "and what is none");
}

static void
test_since(void)
{
	NauthSpan	body = unit_copy_text("{\"users\":[{\"id\":\"a\"}],\"total\":1}");

	begin_paged("offset");
	set(NAUTH_SETTING_SINCE_PARAMETER, "since");
	unit_query.from = INT64_C(1769934600456000);
	unit_write(GENERIC, NAUTH_QUERY_SINCE, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/users?offset=0&limit=100&since=2026-02-01T08%3A29%3A59.000Z", "since, a second earlier");
	set(NAUTH_SETTING_TIME_UNIT, "s");
	unit_write(GENERIC, NAUTH_QUERY_SINCE, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/users?offset=0&limit=100&since=1769934599", "in seconds");
	set(NAUTH_SETTING_TIME_UNIT, "ms");
	unit_write(GENERIC, NAUTH_QUERY_SINCE, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/users?offset=0&limit=100&since=1769934599000", "in milliseconds");
	unit_query.from = -5;
	unit_write(GENERIC, NAUTH_QUERY_SINCE, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/users?offset=0&limit=100&since=0", "since ever");
	unit_query.from = NAUTH_MOMENT_UNKNOWN;
	unit_write(GENERIC, NAUTH_QUERY_SINCE, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/users?offset=0&limit=100&since={updated_at}", "since a time that is not known");
	unit_query.from = 0;
	set(NAUTH_SETTING_TOTAL_MEMBER, "total");
	ok(unit_read(GENERIC, NULL, body) && unit_page.last && unit_page.total == -1,
	   "how many have changed is not how many there are");
	unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, NULL);
	ok(unit_read(GENERIC, NULL, body) && unit_page.total == 1, "of a list it is");
	unit_free(body);
}

/* By address the total may be that of all users. */
static void
test_email_total(void)
{
	static const char *const pagings[] = {"none", "page", "offset", "cursor"};
	NauthSpan	body = unit_copy_text("{\"users\":[{\"id\":\"a\"}],\"total\":500}");

	for (int i = 0; i < 4; i++)
	{
		begin_paged(pagings[i]);
		set(NAUTH_SETTING_NEXT_MEMBER, i == 3 ? "next" : NULL);
		set(NAUTH_SETTING_TOTAL_MEMBER, "total");
		set(NAUTH_SETTING_EMAIL_PARAMETER, "email");
		unit_query.email = "a@b.c";
		unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, NULL);
		ok(unit_read(GENERIC, NULL, body) && unit_page.last && unit_page.count == 1, "one user by address");
		unit_query.email = NULL;
		unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, NULL);
		ok(!unit_read(GENERIC, NULL, body) && unit_error.kind == NAUTH_ERROR_INCOMPLETE, "of a list it would be one of 500");
	}
	unit_free(body);
}

/* ---- Pages by cursors and links */

/* A page in the middle: its cursor, what it has as the next one, and whether that is taken. */
static const struct
{
	const char *cursor;
	const char *next;
	const char *ours;			/* NULL: it is an error */
}			middles[] = {
	{"=7", "8", NULL},
	{"=7", "\"8\"", NULL},
	{"=7", "9", "=9"},
	{"=x", "3", "=3"},
	{"?a=1&pgn=4", "\"/users?a=1&pgn=5\"", NULL},
	{"?a=1&pgn=4", "\"/users?pgn=7&a=1\"", "?pgn=7&a=1"},
	{"?limit=4&after=x", "\"/users?limit=5&after=y\"", "?limit=5&after=y"},
	{"#99 100 0 =x", "\"y\"", "#100 100 0 =y"},
	{"#100 100 0 =x", "\"y\"", NULL},
	{"#99 101 0 =x", "\"y\"", "#100 100 1 =y"},
	{"#150 100 1 =x", "\"y\"", "#151 100 1 =y"},
	{"#1200 100 1 =x", "\"y\"", NULL},
	{"#3 101 0 ?after=x", "\"/users?after=y\"", "#4 100 1 ?after=y"},
	{"#89 101 0 =x", "null", ""},
	{"#87 101 0 =x", "null", NULL},
	{"#89 100 0 =x", "null", NULL},
	{"#99 100 0 !7", "null", NULL},
	{"#100 100 0 !7", "7", ""}
};

static void
test_middles(void)
{
	for (size_t i = 0; i < sizeof(middles) / sizeof(middles[0]); i++)
	{
		char		json[200];
		NauthSpan	body;
		bool		read;

		begin_cursors("next");
		set(NAUTH_SETTING_TOTAL_MEMBER, middles[i].cursor[0] == '#' ? "total" : NULL);
		snprintf(json, sizeof(json), "{\"users\":[{\"id\":\"a\"}],\"total\":100,\"next\":%s}", middles[i].next);
		body = unit_copy_text(json);
		unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, middles[i].cursor);
		read = unit_read(GENERIC, middles[i].cursor, body);
		ok(read == (middles[i].ours != NULL) && unit_page.last == (middles[i].ours != NULL && middles[i].ours[0] == '\0'), middles[i].cursor);
		if (read && middles[i].ours != NULL)
			is_text(unit_page.next, middles[i].ours, "and what comes next");
		unit_free(body);
	}
}

typedef struct PageCase
{
	const char *header;
	const char *json;
	NauthErrorKind kind;
	const char *next;			/* NULL: it is the last */
	const char *name;
} PageCase;

static const PageCase links[] = {
	{"<https://auth.example.com/users?after=x2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_OK, "?after=x2", "a next page"},
	{"<HTTPS://Auth.Example.com/users?after=x2>; rel=next", "[{\"id\":\"a\"}]", NAUTH_OK, "?after=x2", "in other case"},
	{"</users?after=x2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_OK, "?after=x2", "without a host"},
	{"<?after=x2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_OK, "?after=x2", "a query alone"},
	{"</users?page=1>; rel=\"first\"", "[{\"id\":\"a\"}]", NAUTH_OK, NULL, "no next page"},
	{"</users?page=1>; rel=\"prev last\"", "[]", NAUTH_OK, NULL, "nobody on the last one"},
	{NULL, "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "no header"},
	{"</s.css>; rel=preload", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "another header"},
	{"</users?after=x2; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "a damaged one"},
	{"</users?after=x2>; rel=\"next\", </users?page=3>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "two next pages"},
	{"<https://evil.example.com/users?after=x2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "another host"},
	{"<http://auth.example.com/users?after=x2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "another scheme"},
	{"<https://auth.example.com/admins?page=2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "another path"},
	{"<//evil.example.com/users?after=x2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "another host without a scheme"},
	{"</users?limit=2&page=2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "a link that counts pages"},
	{"</users?Offset=20&x=1>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "or users"},
	{"</users?page%5Bnumber%5D=2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "by another name"},
	{"</users?a=x&startAt=50>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "startAt"},
	{"</users?start_at=50>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "start_at"},
	{"</users?first=50>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "first"},
	{"</users?pageNum=2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "pageNum"},
	{"</users?page_num=2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "page_num"},
	{"</users?pg=2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "pg"},
	{"</users?currentPage=2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "currentPage"},
	{"</users?page[index]=2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "page[index]"},
	{"</users?begin=2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "begin"},
	{"</users?skipCount=2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "skipCount"},
	{"</users?%24offset=2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "$offset"},
	{"</users?$offset=2>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "$offset as it is"},
	{"</users?limit=2&page[size]=2&after=7>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_OK, "?limit=2&page[size]=2&after=7", "but not sizes"},
	{"</users?page=ey2J&after=7>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_OK, "?page=ey2J&after=7", "but not a cursor of that name"},
	{"<https://auth.example.com/users>; rel=\"next\"", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "no query"}
};

static const PageCase cursors[] = {
	{NULL, "{\"users\":[{\"id\":\"a\"}],\"next\":\"x\"}", NAUTH_OK, "=x", "a cursor"},
	{NULL, "{\"users\":[{\"id\":\"a\"}],\"next\":12}", NAUTH_OK, "=12", "a number"},
	{NULL, "{\"users\":[{\"id\":\"a\"}],\"next\":null}", NAUTH_OK, NULL, "null"},
	{NULL, "{\"users\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}],\"next\":null}", NAUTH_OK, "!2", "null, with more"},
	{NULL, "{\"users\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}],\"next\":\"\"}", NAUTH_OK, "!2", "an empty text, with more"},
	{NULL, "{\"users\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}],\"next\":3}", NAUTH_ERROR_INCOMPLETE, NULL, "as many as there are on the page"},
	{NULL, "{\"users\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"3\"}],\"next\":3}", NAUTH_ERROR_INCOMPLETE, NULL, "even if it could be an id"},
	{NULL, "{\"users\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"4\"}],\"next\":4}", NAUTH_OK, "=4", "an id"},
	{NULL, "{\"users\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}],\"next\":4}", NAUTH_ERROR_INCOMPLETE, NULL, "the number of the next user"},
	{NULL, "{\"users\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}],\"next\":\"2\"}", NAUTH_ERROR_INCOMPLETE, NULL, "the second page"},
	{NULL, "{\"users\":[{\"id\":\"a\"}],\"next\":\"\"}", NAUTH_OK, NULL, "an empty text"},
	{NULL, "{\"users\":[{\"id\":\"a\"}]}", NAUTH_OK, NULL, "none, with one user"},
	{NULL, "{\"users\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}]}", NAUTH_OK, "!2", "none, with more"},
	{NULL, "{\"users\":[{\"id\":\"a\"}],\"next\":\"https://auth.example.com/users?after=x2\"}", NAUTH_OK, "?after=x2", "a URL"},
	{NULL, "{\"users\":[{\"id\":\"a\"}],\"next\":\"https://evil.example.com/users?after=x2\"}", NAUTH_ERROR_INCOMPLETE, NULL, "a URL of another host"},
	{NULL, "{\"users\":[{\"id\":\"a\"}],\"next\":\"/users?after=x2\"}", NAUTH_OK, "?after=x2", "a path"},
	{NULL, "{\"users\":[{\"id\":\"a\"}],\"next\":\"/abc\"}", NAUTH_OK, "=/abc", "what looks like one"},
	{NULL, "{\"users\":[{\"id\":\"a\"}],\"next\":{}}", NAUTH_ERROR_UNREADABLE, NULL, "an object"},
	{NULL, "{\"users\":[{\"id\":\"a\"}],\"next\":true}", NAUTH_ERROR_UNREADABLE, NULL, "true"},
	{NULL, "{\"users\":[{\"id\":\"a\"}],\"next\":\"x\",\"next\":null}", NAUTH_OK, NULL, "twice, with one user"},
	{NULL, "{\"users\":[{\"id\":\"a\"},{\"id\":\"b\"}],\"next\":\"x\",\"next\":null}", NAUTH_OK, "!1", "twice"},
	{NULL, "{\"users\":[],\"next\":\"x\"}", NAUTH_OK, "=x", "nobody, and more"}
};

/* Ids, where user_path has the id in it. */
static const PageCase ids[] = {
	{NULL, "[{\"id\":\"a\"},{\"id\":\"a/b\"}]", NAUTH_ERROR_UNREADABLE, NULL, "an id with a slash"},
	{NULL, "[{\"id\":\"a\\\\b\"}]", NAUTH_ERROR_UNREADABLE, NULL, "with a backslash"},
	{NULL, "[{\"id\":\"..\"}]", NAUTH_ERROR_UNREADABLE, NULL, "of dots"},
	{NULL, "[{\"id\":\"a?b#c%20\"}]", NAUTH_OK, NULL, "with what can be encoded"}
};

static const PageCase ids_of_query[] = {
	{NULL, "[{\"id\":\"a\"},{\"id\":\"a/b\"},{\"id\":\"a\\\\b\"}]", NAUTH_OK, NULL, "with a slash, as a parameter"}
};

static const PageCase wholes[] = {
	{NULL, "[]", NAUTH_OK, NULL, "nobody"},
	{NULL, "[{\"id\":\"a\"},{\"id\":\"b\"}]", NAUTH_OK, NULL, "a list"},
	{NULL, "[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "as many as there may be"},
	{"</users?after=x2>; rel=next", "[{\"id\":\"a\"}]", NAUTH_ERROR_INCOMPLETE, NULL, "and more"},
	{"</users?page=1>; rel=first", "[{\"id\":\"a\"}]", NAUTH_OK, NULL, "and no more"},
	{NULL, "[{\"id\":1},{\"id\":2}]", NAUTH_ERROR_UNREADABLE, NULL, "numbers for ids"},
	{NULL, "[{\"id\":1},{\"id\":\"b\"}]", NAUTH_OK, NULL, "one of them"},
	{NULL, "{\"users\":[]}", NAUTH_ERROR_UNREADABLE, NULL, "an object"}
};

static void
check_pages(const PageCase *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		const PageCase *test = &cases[i];
		NauthSpan	body = unit_copy_text(test->json);

		unit_header = test->header;
		unit_write(GENERIC, NAUTH_QUERY_LIST, NULL, NULL);
		ok(unit_read(GENERIC, NULL, body) == (test->kind == NAUTH_OK) && unit_error.kind == test->kind, test->name);
		ok(unit_page.last == (test->kind == NAUTH_OK && test->next == NULL), "and whether it is the end");
		if (test->next != NULL)
			is_text(unit_page.next, test->next, "and its cursor");
		unit_free(body);
	}
	unit_header = NULL;
}

static void
test_pages(void)
{
	begin_paged("link");
	set(NAUTH_SETTING_USERS_MEMBER, NULL);
	check_pages(links, sizeof(links) / sizeof(links[0]));
	begin_paged("cursor");
	set(NAUTH_SETTING_NEXT_MEMBER, "next");
	check_pages(cursors, sizeof(cursors) / sizeof(cursors[0]));
	begin_settings();
	set(NAUTH_SETTING_USERS_MEMBER, NULL);
	unit_settings.page_size = 3;
	check_pages(wholes, sizeof(wholes) / sizeof(wholes[0]));
	unit_settings.page_size = 100;
	check_pages(ids_of_query, sizeof(ids_of_query) / sizeof(ids_of_query[0]));
	set(NAUTH_SETTING_USER_PATH, "/user?id={id}");
	check_pages(ids_of_query, sizeof(ids_of_query) / sizeof(ids_of_query[0]));
	set(NAUTH_SETTING_USER_PATH, "/users/{id}");
	check_pages(ids, sizeof(ids) / sizeof(ids[0]));
}

static void
test_damaged_cursors(void)
{
	static const char *const places[] = {
		"", "x", "1", "1 0", "1 0 0", "1 0 0 ", "1 0 0 0 ", "1 0 0 0 0 190", "1 0 0 0 0 190 10", "1 0 0 2 0 190 10 2:u1", "1 0 0 0 0 ", "1 0 2 0 0 190 10 2:u1", "1 99 0 0 0 190 10 2:u1",
		"-1 0 0 0 0 190 10 2:u1", "1 0 1 0 0 0 0 2:u1", "1 0 0 0 0 190 10 3:u1", "99999999999999999999 0 0 0 0 190 10 2:u1", "=x", "?after=x2"
	};
	static const char *const names[] = {"", "x", "=", "!", "!0", "!x", "?", "? ", "?a\n", "#", "#1", "#1 2", "#1 2 0", "#1 2 0 ", "#1 2 2 =x", "#1 2 0 !0", "#x 2 0 =x", "#1 2 0 ?", "#1 2 0 #1 2 0 =x", "1 0 0 0 0 190 10 2:u1"};

	begin_paged("offset");
	unit_check_cursors(GENERIC, NAUTH_QUERY_LIST, "generic/page.json", places, sizeof(places) / sizeof(places[0]));
	begin_paged("page");
	unit_check_cursors(GENERIC, NAUTH_QUERY_LIST, "generic/page.json", places, sizeof(places) / sizeof(places[0]));
	begin_paged("cursor");
	set(NAUTH_SETTING_NEXT_MEMBER, "next");
	unit_check_cursors(GENERIC, NAUTH_QUERY_LIST, "generic/page.json", names, sizeof(names) / sizeof(names[0]));
}

/* One that the directory names and that has no room for what is put before it. */
static void
test_long_cursors(void)
{
	static char body[NAUTH_CURSOR_MAX + 128];

	for (int total = 0; total < 2; total++)
	{
		begin_cursors("next");
		if (total)
			set(NAUTH_SETTING_TOTAL_MEMBER, "total");
		snprintf(body, sizeof(body), "{\"users\":[{\"id\":\"u1\",\"updatedAt\":\"2026-02-01T08:30:00.456Z\"}],"
				 "\"total\":7,\"next\":\"%0*d\"}", NAUTH_CURSOR_MAX - (total ? 6 : 1), 1);
		unit_query.kind = NAUTH_QUERY_LIST;
		unit_check_page(GENERIC, body, NAUTH_ERROR_INCOMPLETE, false, "a cursor that is too long");
	}
}

static void
test_nameless(void)
{
	begin_paged("offset");
	unit_settings.page_size = 2;
	set(NAUTH_SETTING_SIZE_PARAMETER, "limit");
	unit_check_page(GENERIC, "{\"users\":[{\"name\":\"A\"},{\"name\":\"B\"}]}", NAUTH_ERROR_UNREADABLE, false, "a page of users without ids");
}

/* ---- One user, columns, counts */

static void
test_single(void)
{
	NauthProvider provider;
	NauthUser	user;

	begin_settings();
	set(NAUTH_SETTING_USER_PATH, "/users/{id}");
	provider = adapted();
	ok(!nauth_reply_confirms(&provider) && !provider.lists_only, "without a rule nobody is found to be gone");
	ok(!unit_is_not_found(&provider, 404, "generic/not_found.json"), "by no answer");
	set(NAUTH_SETTING_NOT_FOUND_MEMBER, "error.code");
	set(NAUTH_SETTING_NOT_FOUND_VALUE, "user_not_found");
	provider = adapted();
	ok(nauth_reply_confirms(&provider), "with a rule there is");
	ok(unit_is_not_found(&provider, 404, "generic/not_found.json"), "not found");
	is_text(unit_error.code, "", "but no code is shown");
	ok(!unit_is_not_found(&provider, 410, "generic/not_found.json"), "another status");
	ok(!unit_is_not_found(&provider, 404, "generic/not_found_route.json"), "another code");
	ok(!unit_is_not_found(&provider, 404, "generic/error_proxy.html"), "a proxy");
	ok(!unit_is_not_found(&provider, 404, "generic/empty.json"), "no error");
	set(NAUTH_SETTING_NOT_FOUND_STATUS, "200");
	provider = adapted();
	ok(!unit_read_user(&provider, "u_1", "generic/not_found.json", &user) && unit_missing, "with status 200");
	set(NAUTH_SETTING_ID_MEMBER, "error.message");
	provider = adapted();
	ok(!unit_read_user(&provider, "u_1", "generic/not_found.json", &user) && !unit_missing, "but not with a user who has that, too");
	set(NAUTH_SETTING_ID_MEMBER, NULL);
	set(NAUTH_SETTING_NOT_FOUND_STATUS, NULL);
	set(NAUTH_SETTING_USER_MEMBER, "user");
	provider = adapted();
	ok(!unit_read_user(&provider, "u_1", "generic/not_found.json", &user) && !unit_missing, "which is another one");
	ok(unit_read_user(&provider, "u_2", "generic/user.json", &user), "a user within the reply");
	ok(!unit_read_user(&provider, "u_1", "generic/user.json", &user) && !unit_missing, "another one");
	set(NAUTH_SETTING_USER_MEMBER, "data.user");
	provider = adapted();
	ok(!unit_read_user(&provider, "u_2", "generic/user.json", &user) && !unit_missing, "not where it is looked for");
	set(NAUTH_SETTING_USER_PATH, NULL);
	provider = adapted();
	ok(provider.lists_only && !nauth_reply_confirms(&provider), "without a path nobody is asked for");
	set(NAUTH_SETTING_NOT_FOUND_MEMBER, "code");
	set(NAUTH_SETTING_NOT_FOUND_VALUE, "1404");
	set(NAUTH_SETTING_USER_PATH, "/users/{id}");
	provider = adapted();
	ok(unit_is_not_found(&provider, 404, "generic/not_found_number.json"), "a number");
}

static int64_t
count_of(const char *json)
{
	NauthProvider provider = adapted();
	NauthSpan	body = unit_copy_text(json);
	NauthReply	reply = unit_reply(body);
	int64_t		count;
	bool		read = nauth_reply_count(&provider, &reply, &count, &unit_error);

	unit_free(body);
	return read ? count : -1;
}

static void
test_count(void)
{
	NauthProvider provider;

	begin_paged("offset");
	provider = adapted();
	ok(!provider.counts, "no total, no count");
	set(NAUTH_SETTING_TOTAL_MEMBER, "meta.total");
	provider = adapted();
	ok(provider.counts, "with one there is");
	is_int(count_of("{\"users\":[],\"meta\":{\"total\":251}}"), 251, "a count");
	is_int(count_of("{\"users\":[],\"meta\":{\"total\":\"251\"}}"), -1, "a text");
	is_int(count_of("{\"users\":[],\"meta\":{\"total\":-1}}"), -1, "below nobody");
	is_int(count_of("{\"users\":[],\"meta\":{\"total\":1,\"total\":2}}"), -1, "two");
	is_int(count_of("{\"users\":[]}"), -1, "none");
	is_int(count_of("<html>"), -1, "HTML");
}

/* ---- Options that do not go together */

typedef struct RefusedCase
{
	NauthSetting settings[3];
	const char *values[3];		/* NULL ends them */
	const char *reason;			/* a part of it; NULL: they do */
} RefusedCase;

static const RefusedCase refused[] = {
	{{NAUTH_SETTING_PAGE_PARAMETER}, {"page"}, "page_parameter"},
	{{NAUTH_SETTING_PAGE_PARAMETER, NAUTH_SETTING_PAGING}, {"page", "link"}, "page_parameter"},
	{{NAUTH_SETTING_PAGE_PARAMETER, NAUTH_SETTING_PAGING}, {"p", "page"}, NULL},
	{{NAUTH_SETTING_FIRST_PAGE, NAUTH_SETTING_PAGING}, {"0", "offset"}, "first_page"},
	{{NAUTH_SETTING_NEXT_MEMBER, NAUTH_SETTING_PAGING}, {"next", "offset"}, "next_member"},
	{{NAUTH_SETTING_PAGING}, {"cursor"}, "next_member"},
	{{NAUTH_SETTING_PAGING, NAUTH_SETTING_SIZE_PARAMETER}, {"page", "none"}, "size of a page"},
	{{NAUTH_SETTING_LAST_NAME_MEMBER}, {"last"}, "name_member"},
	{{NAUTH_SETTING_USER_MEMBER}, {"user"}, "user_path"},
	{{NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"code", "x"}, "user_path"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_STATUS}, {"/users/{id}", "404"}, "is not enough"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER}, {"/users/{id}", "code"}, "not_found_value"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "x"}, "not_found_member"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "code", "x"}, NULL},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE},
	{"/users/{id}", "code", "0123456789012345678901234567890123456789012345678901234567890123"}, "too long"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "code", "404"}, "not_found_value\" is not enough"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "className", "410"}, "not_found_value\" is not enough"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "message", "Not Found"}, "not_found_value\" is not enough"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "error.message", "404 Not Found"}, "not_found_value\" is not enough"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "detail", "Not found."}, "not_found_value\" is not enough"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "status", "NOT_FOUND"}, "not_found_value\" is not enough"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "error", "not_found"}, "not_found_value\" is not enough"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "errors.0", "not-found"}, "not_found_value\" is not enough"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "title", "Gone"}, "not_found_value\" is not enough"},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "className", "not-found"}, NULL},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "message", "404 User Not Found"}, NULL},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "code", "1404"}, NULL},
	{{NAUTH_SETTING_USER_PATH, NAUTH_SETTING_NOT_FOUND_MEMBER, NAUTH_SETTING_NOT_FOUND_VALUE}, {"/users/{id}", "detail", "No User matches the given query."}, NULL},
	{{NAUTH_SETTING_USER_PATH}, {"/users"}, "{id}"},
	{{NAUTH_SETTING_USER_PATH}, {"/users/{id}/{id}"}, "once"},
	{{NAUTH_SETTING_USER_PATH}, {"/users/{uid}"}, "{id}"},
	{{NAUTH_SETTING_USER_PATH}, {"/users/u{id}"}, "whole"},
	{{NAUTH_SETTING_USER_PATH}, {"/users/{id}.json"}, "whole"},
	{{NAUTH_SETTING_USER_PATH}, {"/users?id={id}&x=1"}, NULL},
	{{NAUTH_SETTING_LIST_PATH}, {"/users/{id}"}, "list_path"},
	{{NAUTH_SETTING_LIST_PATH, NAUTH_SETTING_PAGING}, {"/users?limit=5", "offset"}, "twice"},
	{{NAUTH_SETTING_LIST_PATH, NAUTH_SETTING_PAGING}, {"/users?x=1&offset=5", "offset"}, "twice"},
	{{NAUTH_SETTING_LIST_PATH, NAUTH_SETTING_PAGING}, {"/users?limits=5", "offset"}, NULL},
	{{NAUTH_SETTING_PAGING, NAUTH_SETTING_PAGE_PARAMETER}, {"offset", "limit"}, "twice"},
	{{NAUTH_SETTING_EMAIL_PARAMETER, NAUTH_SETTING_SINCE_PARAMETER}, {"q", "q"}, "twice"},
	{{NAUTH_SETTING_AUTH_HEADER}, {"host"}, "auth_header"},
	{{NAUTH_SETTING_AUTH_HEADER}, {"Transfer-Encoding"}, "auth_header"},
	{{NAUTH_SETTING_AUTH_HEADER}, {"Proxy-Authorization"}, "auth_header"},
	{{NAUTH_SETTING_AUTH_HEADER}, {"X-Api-Key"}, NULL}
};

static void
test_refused(void)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		const RefusedCase *test = &refused[i];
		const char *hint = NULL;
		const char *reason;
		char		name[100];

		begin_settings();
		for (int j = 0; j < 3 && test->values[j] != NULL; j++)
			set(test->settings[j], test->values[j]);
		reason = GENERIC->refuse(&unit_settings, &hint);
		snprintf(name, sizeof(name), "options %zu: %s", i, test->reason ? test->reason : "go together");
		if (!ok((reason != NULL) == (test->reason != NULL) && (reason == NULL || (strstr(reason, test->reason) != NULL && hint != NULL)), name))
			printf("# %s\n", reason ? reason : "nothing");
	}
	begin_settings();
	set(NAUTH_SETTING_UPDATED_AT_MEMBER, NULL);
	set(NAUTH_SETTING_SINCE_PARAMETER, "since");
	{
		const char *hint;

		ok(GENERIC->refuse(&unit_settings, &hint) != NULL, "changes since a time, and no time of change");
	}
}

int
main(void)
{
	NauthProvider hostile;

	test_requests();
	test_one_user();
	test_since();
	test_email_total();
	test_middles();
	test_pages();
	test_damaged_cursors();
	test_long_cursors();
	test_nameless();
	test_single();
	test_count();
	test_refused();
	begin_paged("offset");
	unit_settings.page_size = 4;
	unit_check_damaged(GENERIC, NAUTH_QUERY_LIST, "generic/page.json", NULL);
	unit_check_damaged(GENERIC, NAUTH_QUERY_LIST, "generic/page.json", "4 0 0 0 0 2 2 3:u_4");
	unit_settings.page_size = 4;
	unit_check_cut(GENERIC, NAUTH_QUERY_LIST, "generic/page.json");
	unit_check_bodies(GENERIC);
	begin_settings();
	unit_spare = 1;
	hostile = adapted();
	unit_check_hostile_rfc3339(&hostile, "generic/hostile.json", NULL, 0);
	return done_testing();
}
