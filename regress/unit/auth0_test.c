/*-------------------------------------------------------------------------
 *
 * auth0_test.c
 *	  Unit tests of the provider "auth0": its requests and its pages.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "provider/asking.h"
#include "provider_unit.h"

#define AUTH0		(&nauth_provider_auth0)
#define BEGIN		INT64_C(1768478400000000)	/* 2026-01-15 12:00 */
#define USERS		"https://auth.example.com/api/v2/users"
#define PAGE(size, page) \
	"?per_page=" size "&page=" page "&include_totals=true&search_engine=v3"
#define FIRST		PAGE("100", "0")
#define BY_CREATED	"&sort=created_at%3A1"

/* ---- Requests */

static void
is_url(const char *path, const char *name)
{
	char		url[NAUTH_URL_MAX];

	snprintf(url, sizeof(url), "%s%s", USERS, path);
	is_text(unit_request.url, url, name);
	ok(!unit_request.overflow, "fits");
}

static void
test_requests(void)
{
	unit_settings.page_size = 100;
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, NULL);
	is_url(FIRST BY_CREATED, "the first page");
	is_text(unit_request.headers, "Authorization: Bearer key", "its headers");
	is_text(unit_request.body, "", "and no body");
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, "1768478400123 0 auth0|65aa");
	is_url(FIRST BY_CREATED "&q=created_at%3A%5B%222026-01-15T12%3A00%3A00.123Z%22%20TO%20%2A%5D", "a further page");
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, "1768478400123 2 auth0|65aa");
	is_url(PAGE("98", "2") BY_CREATED "&q=created_at%3A%5B%222026-01-15T12%3A00%3A00.123Z%22%20TO%20%2A%5D", "of one time");
	unit_write(AUTH0, NAUTH_QUERY_CHANGES, NULL, NULL);
	is_url(FIRST "&sort=updated_at%3A-1", "the list by time of change");
	unit_write(AUTH0, NAUTH_QUERY_CHANGES, NULL, "1768478400123 0 ");
	is_url(FIRST "&sort=updated_at%3A-1&q=updated_at%3A%5B%2A%20TO%20%222026-01-15T12%3A00%3A00.123Z%22%5D", "and on");
	unit_write(AUTH0, NAUTH_QUERY_COUNT, NULL, NULL);
	is_url(PAGE("1", "0"), "the count");
	unit_write(AUTH0, NAUTH_QUERY_USER, "auth0|a&b=\r\n#/", NULL);
	is_url("/auth0%7Ca%26b%3D%0D%0A%23%2F", "one user");
	unit_write(AUTH0, NAUTH_QUERY_USER, nauth_request_id, NULL);
	is_url("/{id}", "an unknown id");

	unit_settings.token = "token";
	unit_write(AUTH0, NAUTH_QUERY_COUNT, NULL, NULL);
	is_text(unit_request.headers, "Authorization: Bearer token", "a token comes before the key");
	unit_settings.token = NULL;
}

static void
test_orders(void)
{
	unit_query.order = NAUTH_ORDER_NEWEST;
	unit_query.limit = 7;
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, NULL);
	is_url(PAGE("7", "0") "&sort=created_at%3A-1", "the newest, a few");
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, "1768478400123 0 ");
	is_url(PAGE("7", "0") "&sort=created_at%3A-1&q=created_at%3A%5B%2A%20TO%20%222026-01-15T12%3A00%3A00.123Z%22%5D", "and on");
	unit_query.order = NAUTH_ORDER_OLDEST;
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, NULL);
	is_url(PAGE("7", "0") BY_CREATED, "the oldest");
	unit_query.order = NAUTH_ORDER_OWN;
	unit_write(AUTH0, NAUTH_QUERY_CHANGES, NULL, NULL);
	is_url(PAGE("7", "0") "&sort=updated_at%3A-1", "the latest changes");
	unit_write(AUTH0, NAUTH_QUERY_CHANGES, NULL, "1768478400123 0 ");
	ok(strstr(unit_request.url, "per_page=100") != NULL, "are read on by whole pages");
	unit_query.limit = 0;
}

#define FROM	"%222026-01-15T12%3A00%3A00.123Z%22"
#define BEFORE	"%222026-01-15T12%3A00%3A01.001Z%22"

static void
test_windows(void)
{
	unit_query.windowed = true;
	unit_query.from = BEGIN + 123456;
	unit_query.before = BEGIN + 1000001;
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, NULL);
	is_url(FIRST BY_CREATED "&q=created_at%3A%5B" FROM "%20TO%20" BEFORE "%7D", "a window, a bit widened");
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, "1768478400900 0 a|b");
	is_url(FIRST BY_CREATED "&q=created_at%3A%5B%222026-01-15T12%3A00%3A00.900Z%22%20TO%20" BEFORE "%7D", "its second page");
	unit_write(AUTH0, NAUTH_QUERY_COUNT, NULL, NULL);
	is_url(PAGE("1", "0") "&q=created_at%3A%5B" FROM "%20TO%20" BEFORE "%7D", "its count");
	unit_query.order = NAUTH_ORDER_NEWEST;
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, "1768478400900 0 a|b");
	is_url(FIRST "&sort=created_at%3A-1&q=created_at%3A%5B" FROM "%20TO%20%222026-01-15T12%3A00%3A00.900Z%22%5D", "in the other order");
	unit_query.order = NAUTH_ORDER_OWN;
	unit_query.from = NAUTH_MOMENT_MIN;
	unit_write(AUTH0, NAUTH_QUERY_COUNT, NULL, NULL);
	is_url(PAGE("1", "0") "&q=created_at%3A%5B%2A%20TO%20" BEFORE "%7D", "without a beginning");
	unit_query.before = NAUTH_MOMENT_MAX;
	unit_write(AUTH0, NAUTH_QUERY_COUNT, NULL, NULL);
	is_url(PAGE("1", "0"), "of all time");
	unit_query.from = BEGIN + 123000;
	unit_write(AUTH0, NAUTH_QUERY_COUNT, NULL, NULL);
	is_url(PAGE("1", "0") "&q=created_at%3A%5B" FROM "%20TO%20%2A%5D", "without an end");
	unit_query.from = INT64_C(-1);
	unit_query.before = INT64_C(-1);
	unit_write(AUTH0, NAUTH_QUERY_COUNT, NULL, NULL);
	is_url(PAGE("1", "0") "&q=created_at%3A%5B%221969-12-31T23%3A59%3A59.999Z%22%20TO%20%221970-01-01T00%3A00%3A00.000Z%22%7D", "before 1970");
	unit_query.from = unit_query.before = NAUTH_MOMENT_UNKNOWN;
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, NULL);
	is_url(FIRST BY_CREATED "&q=created_at%3A%5B%22{created_at}%22%20TO%20%22{created_at}%22%7D", "unknown times");
	memset(&unit_query, 0, sizeof(unit_query));
}

static void
test_narrowed(void)
{
	static const char *const ids[] = {"auth0|a", "x|\"\\) OR *", nauth_request_id};
	static const char *const long_ids[] = {"a|" IDS_255};
	char		email[NAUTH_EMAIL_MAX + 2];

	unit_query.ids = ids;
	unit_query.n_ids = 3;
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, NULL);
	is_url(PAGE("4", "0") BY_CREATED "&q=user_id%3A%28%22auth0%7Ca%22%20OR%20%22x%7C%5C%22%5C%5C%29%20OR%20%2A%22%20OR%20%22{id}%22%29",
		   "users by id, which no id ends");
	unit_query.ids = long_ids;
	unit_query.n_ids = 1;
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, NULL);
	ok(!unit_request.overflow && strstr(unit_request.url, "iii%22%29") != NULL, "a long id");
	unit_query.ids = NULL;
	unit_query.n_ids = 0;

	unit_query.email = "O'Neil\\\"x\"@example.com";
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, NULL);
	is_url(FIRST BY_CREATED "&q=email%3A%22O%27Neil%5C%5C%5C%22x%5C%22%40example.com%22", "users by address");
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, "1768478400123 0 a|b");
	is_url(FIRST BY_CREATED "&q=email%3A%22O%27Neil%5C%5C%5C%22x%5C%22%40example.com%22%20AND%20created_at%3A%5B" FROM "%20TO%20%2A%5D",
		   "more of them");
	unit_query.email = nauth_request_email;
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, NULL);
	is_url(FIRST BY_CREATED "&q=email%3A%22{email}%22", "an unknown address");
	memset(email, '"', sizeof(email));
	email[NAUTH_EMAIL_MAX] = '\0';
	unit_query.email = email;
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, NULL);
	ok(!unit_request.overflow, "an address of marks alone");
	unit_query.email = NULL;
}

static void
test_token(void)
{
	unit_settings.client_id = "id&1";
	unit_settings.client_secret = "s=1";
	AUTH0->write_token(&unit_settings, &unit_request);
	is_text(unit_request.url, "https://auth.example.com/oauth/token", "where a token is got");
	is_text(unit_request.headers, "Content-Type: application/x-www-form-urlencoded", "by a form");
	is_text(unit_request.body, "grant_type=client_credentials&client_id=id%261&client_secret=s%3D1"
			"&audience=https%3A%2F%2Fauth.example.com%2Fapi%2Fv2%2F", "with the API's own address");
	unit_settings.more[NAUTH_SETTING_AUDIENCE] = "https://t.eu.auth0.com/api/v2/";
	AUTH0->write_token(&unit_settings, &unit_request);
	ok(strstr(unit_request.body, "&audience=https%3A%2F%2Ft.eu.auth0.com%2Fapi%2Fv2%2F") != NULL, "or the one that is set");
	ok(!unit_request.overflow, "fits");
	unit_settings.client_id = unit_settings.client_secret = unit_settings.more[NAUTH_SETTING_AUDIENCE] = NULL;
}

static void
test_cursors(void)
{
	static const char *const damaged[] = {
		"", " ", "x", "1", "1 ", "1 0", "1  a", "-", "- 0 a", "1 x a", "1 100 a", "1 2", "1 2 ", "1 50 a", "1 -1 a",
		"1234567890123456 0 a", "999999999999999 0 a", "-999999999999999 0 a", "253402300800000 0 a",
		"1 0 " IDS_255 "i", "\0011 2 3"
	};

	unit_settings.page_size = 100;
	unit_check_cursors(AUTH0, NAUTH_QUERY_LIST, "auth0/empty.json", damaged, sizeof(damaged) / sizeof(damaged[0]));
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, "-62135596800000 0 " IDS_255);
	ok(!unit_request.overflow && strstr(unit_request.url, "%220001-01-01T") == NULL, "the first cursor is no bound");
	unit_write(AUTH0, NAUTH_QUERY_LIST, NULL, "253402300799999 49 a|b");
	ok(!unit_request.overflow && strstr(unit_request.url, "%229999-12-31T23%3A59%3A59.999Z%22") != NULL, "the last one is");
}

/* ---- Pages */

static void
test_pages(void)
{
	unit_settings.page_size = 4;
	unit_query.kind = NAUTH_QUERY_LIST;
	ok(unit_read_fixture(AUTH0, NULL, "auth0/page.json"), "a full page");
	ok(!unit_page.last && !unit_page.reread && unit_page.count == 4, "is not the last");
	is_int(unit_page.total, 5, "tells how many there are");
	is_text(unit_page.next, "1768478403000 0 samlp|corp|lin@corp.example", "the next begins with its last user");
	is_text(unit_users[0].id, "auth0|65aa7f3b2c", "an id, not that of an identity");
	is_int(unit_users[0].updated_at, INT64_C(1769934600456000), "a time");
	is_int(unit_users[0].created_at, BEGIN + 123000, "another");
	ok(unit_read_fixture(AUTH0, "1768478403000 0 samlp|corp|lin@corp.example", "auth0/last_page.json"), "the next page");
	ok(unit_page.last && unit_page.count == 1, "has one new user and is the last");
	is_text(unit_users[0].id, "auth0|65ac", "the new one");
	is_int(unit_page.total, -1, "and no total of all");
	ok(unit_read_fixture(AUTH0, "1768478403000 0 gone|1", "auth0/last_page.json") && unit_page.count == 2,
	   "who was read last may be gone");
	ok(unit_read_fixture(AUTH0, NULL, "auth0/empty.json"), "nobody");
	ok(unit_page.last && unit_page.count == 0 && unit_page.total == 0, "is the end");
	ok(!unit_read_fixture(AUTH0, "1768478402000 0 sms|65ab", "auth0/page.json") && unit_error.kind == NAUTH_ERROR_INCOMPLETE,
	   "users of before the bound");
	unit_settings.page_size = 5;
	ok(!unit_read_fixture(AUTH0, NULL, "auth0/page.json") && unit_error.kind == NAUTH_ERROR_UNREADABLE, "another limit than asked for");
	ok(!unit_read_fixture(AUTH0, NULL, "auth0/empty.json") && unit_error.kind == NAUTH_ERROR_UNREADABLE, "even on an empty page");
	unit_settings.page_size = 4;
	unit_query.kind = NAUTH_QUERY_CHANGES;
	ok(!unit_read_fixture(AUTH0, NULL, "auth0/page.json") && unit_error.kind == NAUTH_ERROR_INCOMPLETE, "not by time of change");
}

typedef struct PageCase
{
	const char *json;
	const char *cursor;
	NauthErrorKind kind;
	const char *next;			/* NULL: the last page */
	int			count;
	const char *name;
} PageCase;

#define U(id, time)		"{\"user_id\":\"" id "\",\"created_at\":\"2026-01-15T12:00:0" time "Z\"}"
#define P(start, limit, length, total, users) \
	"{\"start\":" start ",\"limit\":" limit ",\"length\":" length ",\"total\":" total ",\"users\":[" users "]}"

/* Pages of 3 users. */
static const PageCase page_cases[] = {
	{P("0", "3", "1", "2", U("a", "0")), NULL, NAUTH_ERROR_INCOMPLETE, NULL, 0, "a page that is too short"},
	{P("0", "3", "0", "2", ""), NULL, NAUTH_ERROR_INCOMPLETE, NULL, 0, "an empty page before the end"},
	{P("0", "3", "4", "4", "{},{},{},{}"), NULL, NAUTH_ERROR_UNREADABLE, NULL, 0, "a page that is too long"},
	{P("0", "3", "2", "1", U("a", "0")), NULL, NAUTH_ERROR_UNREADABLE, NULL, 0, "another length"},
	{P("3", "3", "1", "1", U("a", "0")), NULL, NAUTH_ERROR_UNREADABLE, NULL, 0, "another start"},
	{P("0", "50", "1", "1", U("a", "0")), NULL, NAUTH_ERROR_UNREADABLE, NULL, 0, "another limit"},
	{P("0", "3", "1", "-1", U("a", "0")), NULL, NAUTH_ERROR_UNREADABLE, NULL, 0, "a negative total"},
	{P("0", "3", "1", "9223372036854775807", U("a", "0")), NULL, NAUTH_ERROR_UNREADABLE, NULL, 0, "an absurd total"},
	{P("0", "3", "1", "\"1\"", U("a", "0")), NULL, NAUTH_ERROR_UNREADABLE, NULL, 0, "a total as text"},
	{"{\"start\":0,\"limit\":3,\"length\":0,\"users\":[]}", NULL, NAUTH_ERROR_UNREADABLE, NULL, 0, "no total"},
	{"{\"start\":0,\"limit\":3,\"length\":0,\"total\":0}", NULL, NAUTH_ERROR_UNREADABLE, NULL, 0, "no users"},
	{"{\"start\":0,\"limit\":3,\"length\":0,\"total\":0,\"users\":[],\"users\":[]}", NULL, NAUTH_ERROR_UNREADABLE, NULL, 0, "users twice"},
	{"[" U("a", "0") "]", NULL, NAUTH_ERROR_UNREADABLE, NULL, 0, "the array of a request without totals"},
	{P("0", "3", "1", "0", U("a", "0")), NULL, NAUTH_OK, NULL, 1, "more users than the total"},
	{P("0", "3", "3", "3", U("a", "0") "," U("b", "1") "," U("c", "2")), NULL, NAUTH_OK, "1768478402000 0 c", 3, "a full page is not the last, whatever it says"},
	{P("0", "3", "3", "9", U("a", "0") "," U("b", "1") "," U("c", "1")), NULL, NAUTH_OK, "1768478401000 0 ", 1, "two at the end of a page are left to the next"},
	{P("0", "3", "3", "9", U("a", "0") "," U("b", "1") "," U("c", "1")), "1768478400000 0 a", NAUTH_OK, "1768478401000 0 ", 0, "which may be all there are"},
	{P("0", "3", "3", "9", U("a", "0") "," U("b", "1") "," U("", "2")), NULL, NAUTH_OK, "1768478402000 0 ", 2, "one without an id is left to the next, too"},
	{P("0", "3", "3", "9", U("a", "0") "," U("b", "1") "," U("c", "2.0009")), NULL, NAUTH_OK, "1768478402000 0 c", 3, "a time of more than milliseconds"},
	{P("0", "3", "3", "9", U("a", "0") "," U("b", "0") "," U("c", "0")), NULL, NAUTH_OK, "1768478400000 1 c", 3, "a page of one time"},
	{P("0", "3", "3", "9", U("a", "0") "," U("b", "0") "," U("", "0")), NULL, NAUTH_ERROR_UNREADABLE, NULL, 0, "and nobody to continue from"},
	{P("2", "2", "2", "9", U("c", "0") "," U("d", "1")), "1768478400000 1 c", NAUTH_OK, "1768478401000 0 d", 1, "its second page"},
	{P("2", "2", "2", "9", U("d", "0") "," U("e", "1")), "1768478400000 1 c", NAUTH_ERROR_INCOMPLETE, NULL, 0, "which has shifted"},
	{P("2", "2", "0", "1", ""), "1768478400000 1 c", NAUTH_ERROR_INCOMPLETE, NULL, 0, "so far that nothing is there"},
	{P("2", "2", "1", "3", U("c", "0")), "1768478400000 1 c", NAUTH_OK, NULL, 0, "or has nobody new"},
	{P("2", "2", "2", "9", U("c", "0") "," U("d", "0")), "1768478400000 1 c", NAUTH_ERROR_INCOMPLETE, NULL, 0, "or is too small"},
	{P("0", "3", "3", "9", U("a", "1") "," U("b", "0") "," U("c", "2")), NULL, NAUTH_ERROR_INCOMPLETE, NULL, 0, "users in no order"},
	{P("0", "3", "3", "9", U("a", "1") ",{\"user_id\":\"b\"}," U("c", "2")), NULL, NAUTH_OK, "1768478402000 0 c", 3, "one without a time among others"},
	{P("0", "3", "3", "9", U("a", "1") "," U("b", "2") ",{\"user_id\":\"c\"}"), NULL, NAUTH_ERROR_INCOMPLETE, NULL, 0, "one without a time at the end of a page"},
	{P("0", "3", "2", "2", U("a", "1") ",{\"user_id\":\"c\"}"), NULL, NAUTH_OK, NULL, 2, "and of the directory"}
};

static void
test_page_cases(void)
{
	unit_settings.page_size = 3;
	unit_query.kind = NAUTH_QUERY_LIST;
	for (size_t i = 0; i < sizeof(page_cases) / sizeof(page_cases[0]); i++)
	{
		const PageCase *test = &page_cases[i];
		NauthSpan	body = unit_copy_text(test->json);
		bool		read = unit_read(AUTH0, test->cursor, body);

		unit_free(body);
		if (!ok(read == (test->kind == NAUTH_OK) && unit_error.kind == test->kind, test->name) || !read)
			continue;
		ok(unit_page.last == (test->next == NULL), "whether it is the last");
		is_int(unit_page.count, test->count, "how many it has");
		ok(unit_page.reread == (test->count == 0 && test->next != NULL), "whether anybody is used");
		if (test->next != NULL)
			is_text(unit_page.next, test->next, "where it leads");
	}
}

/* Users asked for by id are all on one page, and no others. */
static void
test_pages_by_id(void)
{
	static const char *const ids[] = {"a|1", "a|2"};
	NauthSpan	all = unit_copy_text(P("0", "3", "3", "9", U("a|1", "0") "," U("a|2", "1") "," U("a|3", "2")));
	NauthSpan	some = unit_copy_text(P("0", "3", "1", "1", U("a|2", "1")));

	unit_settings.page_size = 100;
	unit_query.ids = ids;
	unit_query.n_ids = 2;
	ok(!unit_read(AUTH0, NULL, all) && unit_error.kind == NAUTH_ERROR_UNREADABLE, "a search that does not mind the ids");
	ok(unit_read(AUTH0, NULL, some) && unit_page.last && unit_page.count == 1 && unit_page.total == -1, "one that does");
	memset(&unit_query, 0, sizeof(unit_query));
	unit_free(all);
	unit_free(some);
}

/* Who was created last, asked of a page with room for one. */
static void
test_newest(void)
{
	NauthSpan	body = unit_copy_text(P("0", "1", "1", "2500", U("a|1", "0")));
	NauthReply	reply = {.status = 200,.body = body};
	NauthQuery	query = {.kind = NAUTH_QUERY_LIST,.order = NAUTH_ORDER_NEWEST,.limit = 1};
	NauthUser	user = {0};
	NauthPage	page = {.users = &user,.capacity = 1};

	ok(AUTH0->read_page(&unit_settings, &query, NULL, &reply, &page, &unit_error) && page.count == 1 &&
	   user.created_at == BEGIN, "the newest user alone");
	unit_free(body);
}

static void
test_single(void)
{
	NauthUser	user;

	ok(unit_read_user(AUTH0, "auth0|65aa7f3b2c", "auth0/user.json", &user), "a user");
	ok(user.has_updated_at && user.flaw == NAUTH_FLAW_NONE, "its time");
	ok(!unit_read_user(AUTH0, "auth0|65ab", "auth0/user.json", &user), "another user");
	ok(unit_is_not_found(AUTH0, 404, "auth0/not_found.json"), "not found");
	is_text(unit_error.code, "inexistent_user", "its code");
	ok(!unit_is_not_found(AUTH0, 404, "auth0/not_found_route.json"), "an unknown route");
	ok(!unit_is_not_found(AUTH0, 400, "auth0/not_found.json"), "another status");
	ok(!unit_is_not_found(AUTH0, 404, "auth0/empty.json"), "no error at all");
	ok(!unit_is_not_found(AUTH0, 403, "auth0/error_403.json") && unit_error.hint != NULL, "no right to");
	is_text(unit_error.code, "insufficient_scope", "that code");
	ok(!unit_is_not_found(AUTH0, 401, "auth0/error_401.json") && unit_error.hint != NULL, "a token that has ended");
	ok(!unit_is_not_found(AUTH0, 400, "auth0/error_400_paging.json"), "beyond what is shown");
	is_text(unit_error.code, "invalid_paging", "that code");
	ok(!unit_is_not_found(AUTH0, 429, "auth0/error_429.json"), "too many requests");
	unit_check_failures(AUTH0, "{\"statusCode\":403,\"error\":\"x\",\"message\":\"x\",\"errorCode\":\"%s\",\"more\":\"%s\"}");
	ok(nauth_ask_id_possible(AUTH0, "auth0|65aa") && nauth_ask_id_possible(AUTH0, "samlp|a|b/c d") &&
	   nauth_ask_id_possible(AUTH0, "|"), "ids a user can have");
	ok(!nauth_ask_id_possible(AUTH0, "65aa") && !nauth_ask_id_possible(AUTH0, "") &&
	   !nauth_ask_id_possible(AUTH0, "a|" IDS_255), "and ids nobody has");
}

static void
test_count(void)
{
	is_int(unit_read_count_body(AUTH0, unit_fixture("auth0/count.json")), 2501, "a count");
	is_int(unit_read_count(AUTH0, P("0", "1", "0", "0", "")), 0, "of nobody");
	is_int(unit_read_count(AUTH0, P("0", "1", "0", "5", "")), -1, "of users none of whom is shown");
	is_int(unit_read_count(AUTH0, P("0", "1", "1", "0", U("a", "0"))), -1, "of nobody, who is shown");
	is_int(unit_read_count(AUTH0, P("0", "50", "1", "5", U("a", "0"))), -1, "another limit");
	is_int(unit_read_count(AUTH0, P("0", "1", "2", "5", U("a", "0") "," U("b", "0"))), -1, "more than asked for");
	is_int(unit_read_count(AUTH0, P("0", "1", "1", "1e3", U("a", "0"))), -1, "a count as real");
	is_int(unit_read_count(AUTH0, "[]"), -1, "no totals");
}

static void
test_damaged(void)
{
	unit_settings.page_size = 4;
	unit_check_damaged(AUTH0, NAUTH_QUERY_LIST, "auth0/page.json", NULL);
	unit_check_damaged(AUTH0, NAUTH_QUERY_LIST, "auth0/page.json", "1768478400123 0 auth0|65aa7f3b2c");
	unit_check_damaged(AUTH0, NAUTH_QUERY_CHANGES, "auth0/page.json", NULL);
	unit_check_damaged(AUTH0, NAUTH_QUERY_CHANGES, "auth0/page.json", "1768478400123 0 auth0|65aa7f3b2c");
}

int
main(void)
{
	test_requests();
	test_orders();
	test_windows();
	test_narrowed();
	test_token();
	test_cursors();
	test_pages();
	test_page_cases();
	test_pages_by_id();
	test_newest();
	test_single();
	test_count();
	test_damaged();
	unit_settings.page_size = 4;
	unit_check_cut(AUTH0, NAUTH_QUERY_LIST, "auth0/page.json");
	unit_check_bodies(AUTH0);
	unit_check_hostile_rfc3339(AUTH0, "auth0/hostile.json", NULL, 0);
	return done_testing();
}
