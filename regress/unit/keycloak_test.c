/*-------------------------------------------------------------------------
 *
 * keycloak_test.c
 *	  Unit tests of the provider "keycloak".
 *
 * Most of them list a realm of which some users cannot be seen, or are removed
 * by being looked at, or come and go between two pages: a user who was there all
 * the time and can be seen must be seen, or the listing must say that it is not
 * complete.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"
#include "provider/asking.h"
#include "provider/reading.h"

#define KEYCLOAK	(&nauth_provider_keycloak)
#define USERS		"https://auth.example.com/admin/realms/my%20realm/users"

#define U1			"0c1d2e3f-0001-4000-8000-000000000001"
#define U2			"0c1d2e3f-0002-4000-8000-000000000002"
#define U3			"f:1a2b3c4d-0003-4000-8000-000000000003:park"
#define U4			"0c1d2e3f-0004-4000-8000-000000000004"

static const UserCase hostile_times[] = {
	{"created_absent", NAUTH_FLAW_NONE, false},
	{"created_null", NAUTH_FLAW_NONE, false},
	{"created_twice", NAUTH_FLAW_DUPLICATE, false},
	{"created_text", NAUTH_FLAW_NONE, false},
	{"created_real", NAUTH_FLAW_NONE, false},
	{"created_negative", NAUTH_FLAW_NONE, false},
	{"created_beyond", NAUTH_FLAW_NONE, false},
	{"updated", NAUTH_FLAW_NONE, false}
};

/* ---- Requests */

static void
test_requests(void)
{
	unit_settings.page_size = 100;
	unit_settings.token = "token";
	unit_write(KEYCLOAK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS "?first=0&max=100", "the first page");
	is_text(unit_request.headers, "Authorization: Bearer token", "its headers");
	is_text(unit_request.body, "", "and no body");
	unit_write(KEYCLOAK, NAUTH_QUERY_LIST, NULL, "90 10 2:u1");
	is_text(unit_request.url, USERS "?first=90&max=100", "a further page");
	unit_write(KEYCLOAK, NAUTH_QUERY_LIST, NULL, "p43 0 0 90 10 2:u1");
	is_text(unit_request.url, USERS "?first=90&max=100", "one that is asked for again");
	unit_write(KEYCLOAK, NAUTH_QUERY_LIST, NULL, "p43 0 0");
	is_text(unit_request.url, USERS "?first=0&max=100", "the first one again");
	unit_write(KEYCLOAK, NAUTH_QUERY_LIST, NULL, "b0 12 0 90 10 2:u1");
	is_text(unit_request.url, USERS "?first=190&max=100", "what is behind it");
	unit_write(KEYCLOAK, NAUTH_QUERY_LIST, NULL, "c0 12 0 90 10 2:u1");
	is_text(unit_request.url, USERS "/count", "the count at the end");
	unit_write(KEYCLOAK, NAUTH_QUERY_COUNT, NULL, NULL);
	is_text(unit_request.url, USERS "/count", "the count");
	unit_write(KEYCLOAK, NAUTH_QUERY_USER, U1, NULL);
	is_text(unit_request.url, USERS "/" U1, "one user");
	unit_write(KEYCLOAK, NAUTH_QUERY_USER, U3, NULL);
	is_text(unit_request.url, USERS "/f%3A1a2b3c4d-0003-4000-8000-000000000003%3Apark", "a federated one");
	unit_write(KEYCLOAK, NAUTH_QUERY_USER, "../users?a#b;c", NULL);
	is_text(unit_request.url, USERS "/..%2Fusers%3Fa%23b%3Bc", "a hostile id");
	unit_write(KEYCLOAK, NAUTH_QUERY_USER, nauth_request_id, NULL);
	is_text(unit_request.url, USERS "/{id}", "an unknown id");
	ok(!unit_request.overflow, "fits");
	unit_write(KEYCLOAK, NAUTH_QUERY_USER, "", NULL);
	ok(unit_request.overflow, "an empty id asks for no listing");
	unit_settings.more[NAUTH_SETTING_REALM] = "../master";
	unit_write(KEYCLOAK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/admin/realms/..%2Fmaster/users?first=0&max=100", "a hostile realm");
	unit_settings.more[NAUTH_SETTING_REALM] = "..";
	unit_write(KEYCLOAK, NAUTH_QUERY_LIST, NULL, NULL);
	ok(unit_request.overflow, "and one that is none");
	unit_settings.more[NAUTH_SETTING_REALM] = "my realm";
}

static void
test_narrowed(void)
{
	unit_settings.page_size = 100;
	unit_query.limit = 20;
	unit_write(KEYCLOAK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS "?first=0&max=20", "a few users");
	unit_query.limit = 0;
	unit_query.email = "Ada+x@example.com";
	unit_write(KEYCLOAK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS "?first=0&max=100&email=Ada%2Bx%40example.com&exact=true", "users by address");
	unit_settings.page_size = 5;
	ok(unit_read_fixture(KEYCLOAK, NULL, "keycloak/page.json") && unit_page.last && unit_page.count == 4,
	   "whose page is the last if it is not full");
	ok(unit_read_fixture(KEYCLOAK, NULL, "keycloak/empty.json") && unit_page.last && !unit_page.reread, "even if it is empty");
	unit_settings.page_size = 4;
	ok(unit_read_fixture(KEYCLOAK, NULL, "keycloak/page.json") && !unit_page.last, "and else is not");
	unit_query.email = nauth_request_email;
	unit_write(KEYCLOAK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS "?first=0&max=4&email={email}&exact=true", "an unknown address");
	unit_query.email = NULL;
	ok(KEYCLOAK->max_ids == 0 && KEYCLOAK->by_creation == NAUTH_PAGES_NONE && !KEYCLOAK->lists_changes &&
	   !KEYCLOAK->lists_since, "there is nothing else to narrow by");
	ok(nauth_ask_id_possible(KEYCLOAK, U1) && nauth_ask_id_possible(KEYCLOAK, U3), "ids that a user can have");
	ok(!nauth_ask_id_possible(KEYCLOAK, "a/b") && !nauth_ask_id_possible(KEYCLOAK, "count") &&
	   !nauth_ask_id_possible(KEYCLOAK, "profile") && !nauth_ask_id_possible(KEYCLOAK, ".."), "and ids that nobody has");
}

/* ---- Tokens */

/* A token with these claims. */
static const char *
make_token(const char *claims)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	static char token[NAUTH_TOKEN_MAX];
	char	   *to = token + sprintf(token, "eyJ9.");
	unsigned	bits = 0;
	int			count = 0;

	for (; *claims != '\0'; claims++)
	{
		bits = bits << 8 | (unsigned char) *claims;
		for (count += 8; count >= 6;)
			*to++ = digits[bits >> (count -= 6) & 63];
	}
	if (count > 0)
		*to++ = digits[bits << (6 - count) & 63];
	strcpy(to, ".c2ln");
	return token;
}

typedef struct TokenCase
{
	const char *claims;
	bool		good;
	const char *name;
} TokenCase;

static const TokenCase token_cases[] = {
	{"{\"resource_access\":{\"realm-management\":{\"roles\":[\"view-users\",\"query-users\"]}}}", true, "view-users"},
	{"{\"resource_access\":{\"realm-management\":{\"roles\":[\"query-users\",\"manage-users\"]}}}", true, "manage-users"},
	{"{\"a\":[1,{}],\"resource_access\":{\"account\":{\"roles\":[]},\"realm-management\":{\"roles\":[\"x\",\"realm-admin\"]}}}", true, "realm-admin"},
	{"{\"resource_access\":{\"master-realm\":{\"roles\":[\"view-users\"]}}}", true, "in the realm master"},
	{"{\"realm_access\":{\"roles\":[\"x\",\"admin\"]},\"resource_access\":{}}", true, "the administrator of all"},
	{"{\"realm_access\":{\"roles\":[\"x\",\"admin\"]}}", true, "no roles of clients"},
	{"{\"resource_access\":null}", true, "or null"},
	{"{}", true, "a lightweight token"},
	{"[]", true, "no object"},
	{"{\"resource_access\":{}", true, "no JSON"},
	{"{\"resource_access\":{},\"resource_access\":{}}", true, "two of them"},
	{"{\"resource_access\":{}}", false, "no role"},
	{"{\"resource_access\":[]}", false, "a list of no roles"},
	{"{\"resource_access\":{\"realm-management\":{\"roles\":[\"query-users\"]}}}", false, "query-users alone"},
	{"{\"resource_access\":{\"realm-management\":{\"roles\":\"view-users\"}}}", false, "no list of roles"},
	{"{\"resource_access\":{\"account\":{\"roles\":[\"view-users\"]}}}", false, "a role of another client"},
	{"{\"resource_access\":{\"realm-management\":{\"roles\":[\"admin\",\"view-user\",\"view-userss\",\"VIEW-USERS\"]}}}", false, "other roles"},
	{"{\"realm_access\":{\"roles\":[\"view-users\"]},\"resource_access\":{\"account\":{}}}", false, "a role of the realm"}
};

static void
test_tokens(void)
{
	static const char *const opaque[] = {
		"", ".", "..", "a.b", "a..b", "a.*.b", "a.eyJ9.b.c", "opaque_1", "a.e30=.b"
	};
	char		longest[NAUTH_TOKEN_MAX];

	unit_settings.client_id = "sync & co";
	unit_settings.client_secret = "s=&\r\n%";
	KEYCLOAK->write_token(&unit_settings, &unit_request);
	is_text(unit_request.url, "https://auth.example.com/realms/my%20realm/protocol/openid-connect/token", "where a token is got");
	is_text(unit_request.body, "grant_type=client_credentials&client_id=sync%20%26%20co&client_secret=s%3D%26%0D%0A%25", "the form");
	is_text(unit_request.headers, "Content-Type: application/x-www-form-urlencoded", "and what it is");
	ok(!unit_request.overflow, "fits");
	for (size_t i = 0; i < sizeof(token_cases) / sizeof(token_cases[0]); i++)
	{
		memset(&unit_error, 0, sizeof(unit_error));
		ok(KEYCLOAK->check_token(make_token(token_cases[i].claims), &unit_error) == token_cases[i].good,
		   token_cases[i].name);
		ok(token_cases[i].good == (unit_error.kind == NAUTH_OK) &&
		   (token_cases[i].good || (unit_error.kind == NAUTH_ERROR_PERMISSION &&
									strstr(unit_error.hint, "view-users and query-users of realm-management") != NULL)),
		   "and what is said of it");
	}
	for (size_t i = 0; i < sizeof(opaque) / sizeof(opaque[0]); i++)
		ok(KEYCLOAK->check_token(opaque[i], &unit_error), "a token that is no JWT");
	memset(longest, 'A', sizeof(longest));
	longest[1] = longest[sizeof(longest) - 3] = '.';
	longest[sizeof(longest) - 1] = '\0';
	ok(KEYCLOAK->check_token(longest, &unit_error), "the longest one");
}

/* ---- Pages */

static void
test_cursors(void)
{
	static const char *const damaged[] = {
		"", "x", "90", "90 ", "90 10", "90 10 ", "90 10 3:u1", "-1 10 2:u1", "99999999999999999999 10 2:u1",
		"p", "b", "c", "b1", "b1 ", "b1 2", "b1 2 ", "b1 2 2", "b1 2 0 ", "b1 2 0x", "b1 2 0 90 10", "b1 2 0 x",
		"b1 100001 0", "b-1 2 0", "b1 -2 0", "b1  2 0", "bb1 2 0", "d1 2 0", "c1 2 0 90 10 2:u1 ", "c 1 2 0",
		"p9999999999999 0 0", "c1 2 0 p1 2 0"
	};

	unit_settings.page_size = 4;
	unit_check_cursors(KEYCLOAK, NAUTH_QUERY_LIST, "keycloak/page.json", damaged, sizeof(damaged) / sizeof(damaged[0]));
}

static void
test_long_ids(void)
{
	NauthSpan	body = unit_copy_text("[{\"id\":\"" IDS_255 "\"},{\"id\":\" p1 0 0\\\"\\n\"},{\"id\":\"" IDS_255 "\"}]");
	NauthSpan	empty = unit_copy_text("[]");
	NauthSpan	count = unit_copy_text("900");
	char		cursor[NAUTH_CURSOR_MAX];

	unit_settings.page_size = 4;
	ok(unit_read(KEYCLOAK, NULL, body) && unit_page.count == 3 && !unit_page.last, "long ids");
	strcpy(cursor, unit_page.next);
	ok(unit_read(KEYCLOAK, cursor, body) && unit_page.reread, "are known again");
	strcpy(cursor, unit_page.next);
	ok(unit_read(KEYCLOAK, cursor, empty) && unit_page.reread, "are kept behind the page");
	strcpy(cursor, unit_page.next);
	ok(unit_read(KEYCLOAK, cursor, count) && unit_page.reread, "and at the count");
	strcpy(cursor, unit_page.next);
	ok(strlen(cursor) < NAUTH_CURSOR_MAX - 1 && unit_read(KEYCLOAK, cursor, body) && unit_page.count == 0 &&
	   unit_page.reread, "and then");
	unit_free(body);
	unit_free(empty);
	unit_free(count);
}

static void
test_pages(void)
{
	unit_settings.page_size = 4;
	ok(unit_read_fixture(KEYCLOAK, NULL, "keycloak/page.json"), "a page");
	ok(!unit_page.last && !unit_page.reread && unit_page.count == 4 && unit_page.total == -1, "is not the last");
	is_text(unit_page.next, "2 2 43:" U3 " 36:" U2 " 36:" U1, "the next begins within it");
	is_text(unit_users[0].id, "9f87c5b3-b706-4d74-93bd-a7a5826c24c1", "an id, not that of something within");
	is_int(unit_users[0].created_at, INT64_C(1700000000123000), "a time");
	ok(!unit_users[2].has_created_at && unit_users[2].flaw == NAUTH_FLAW_NONE && !unit_users[0].has_updated_at,
	   "and none is no flaw");
	ok(unit_read_fixture(KEYCLOAK, "2 2 43:" U3 " 36:" U2 " 36:" U1, "keycloak/last_page.json"), "a page that is not full");
	ok(!unit_page.last && !unit_page.reread && unit_page.count == 1, "is not the last either");
	is_text(unit_users[0].id, U4, "the new one");
	is_text(unit_page.next, "4 1 36:" U4 " 43:" U3 " 36:" U2, "the next begins with the last user");
	ok(unit_read_fixture(KEYCLOAK, "2 2 36:" U4 " 43:" U3, "keycloak/last_page.json"), "a page with nobody new");
	ok(!unit_page.last && unit_page.reread && unit_page.count == 0, "is not the last either");
	is_text(unit_page.next, "b0 3 0 2 2 36:" U4 " 43:" U3, "what is behind it is asked for");
	ok(unit_read_fixture(KEYCLOAK, "0 2 36:" U4 " 43:" U3, "keycloak/page.json") && unit_page.reread, "unless it is full");
	is_text(unit_page.next, "2 2 36:" U4 " 43:" U3, "then the listing goes on");
	ok(unit_read_fixture(KEYCLOAK, "b0 3 0 2 2 36:" U4, "keycloak/empty.json"), "nobody there");
	ok(!unit_page.last && unit_page.reread && unit_page.count == 0, "is not the end either");
	is_text(unit_page.next, "c0 3 0 2 2 36:" U4, "the count is asked for");
	ok(unit_read_fixture(KEYCLOAK, "c0 3 0 2 2 36:" U4, "keycloak/count.json"), "which knows of no more");
	ok(unit_page.last && unit_page.count == 0 && !unit_page.reread, "and is the end");

	ok(!unit_read_fixture(KEYCLOAK, NULL, "keycloak/error_in_page.json") &&
	   unit_error.kind == NAUTH_ERROR_UNREADABLE, "an error in the middle of a page");
	ok(!unit_read_fixture(KEYCLOAK, NULL, "keycloak/not_found.json") &&
	   unit_error.kind == NAUTH_ERROR_UNREADABLE, "or in its place");
	ok(!unit_read_fixture(KEYCLOAK, "c0 3 0 2 2 36:" U4, "keycloak/empty.json") &&
	   unit_error.kind == NAUTH_ERROR_UNREADABLE, "a page in the place of a count");
	ok(!unit_read_fixture(KEYCLOAK, "b0 3 0 2 2 36:" U4, "keycloak/count.json") &&
	   unit_error.kind == NAUTH_ERROR_UNREADABLE, "and the other way round");
	unit_settings.page_size = 3;
	ok(!unit_read_fixture(KEYCLOAK, NULL, "keycloak/page.json") &&
	   unit_error.kind == NAUTH_ERROR_UNREADABLE, "more users than asked for");
}

static void
test_no_ids(void)
{
	NauthSpan	body = unit_copy_text("[{\"username\":\"a\"},{\"id\":7}]");

	unit_settings.page_size = 4;
	ok(!unit_read(KEYCLOAK, NULL, body) && unit_error.kind == NAUTH_ERROR_UNREADABLE,
	   "no user of a page has an id");
	unit_free(body);
}

/* What the count at the end makes of a listing with pages of 20. */
typedef struct EndCase
{
	const char *cursor;
	const char *count;
	NauthErrorKind kind;
	const char *next;			/* "" at the end */
	const char *name;
} EndCase;

static const EndCase end_cases[] = {
	{"c0 0 0", "0", NAUTH_OK, "", "nobody listed, nobody counted"},
	{"c0 0 0", "1", NAUTH_OK, "p2 0 0", "nobody listed, somebody counted: looked for again"},
	{"c2 0 0", "1", NAUTH_ERROR_INCOMPLETE, "", "and again"},
	{"c0 0 1", "0", NAUTH_OK, "p1 0 0", "nobody on the first page, somebody behind it"},
	{"c0 12 0 90 10 1:u", "102", NAUTH_OK, "", "as many as were passed"},
	{"c0 12 0 90 10 1:u", " 101\n", NAUTH_OK, "p102 0 0 90 10 1:u", "fewer: looked for again"},
	{"c102 12 0 90 10 1:u", "101", NAUTH_OK, "", "fewer, and it stays so"},
	{"c0 12 0 90 10 1:u", "103", NAUTH_OK, "p104 0 0 90 10 1:u", "one more"},
	{"c104 12 0 90 10 1:u", "103", NAUTH_OK, "", "one more that stays: it cannot be seen"},
	{"c104 12 0 90 10 1:u", "104", NAUTH_OK, "p105 0 0 90 10 1:u", "another number than before"},
	{"c111 12 0 90 10 1:u", "110", NAUTH_OK, "", "a page full of them"},
	{"c112 12 0 90 10 1:u", "111", NAUTH_ERROR_INCOMPLETE, "", "more than a page"},
	{"c0 12 1 90 10 1:u", "102", NAUTH_OK, "p103 0 0 90 10 1:u", "users behind it, whatever is counted"},
	{"c103 12 1 90 10 1:u", "102", NAUTH_ERROR_INCOMPLETE, "", "who stay there"},
	{"c0 1 0 90 10 1:u", "200", NAUTH_OK, "p201 0 0 90 10 1:u", "many more"},
	{"c0 12 0 90 10 1:u", "-1", NAUTH_ERROR_UNREADABLE, "", "a negative count"},
	{"c0 12 0 90 10 1:u", "9223372036854775807", NAUTH_ERROR_UNREADABLE, "", "an absurd one"},
	{"c0 12 0 90 10 1:u", "{\"error\":\"unknown_error\"}", NAUTH_ERROR_UNREADABLE, "", "none"}
};

static void
test_ends(void)
{
	unit_settings.page_size = 20;
	for (size_t i = 0; i < sizeof(end_cases) / sizeof(end_cases[0]); i++)
	{
		const EndCase *test = &end_cases[i];
		NauthSpan	body = unit_copy_text(test->count);

		ok(unit_read(KEYCLOAK, test->cursor, body) == (test->kind == NAUTH_OK) && unit_error.kind == test->kind, test->name);
		is_text(unit_page.next, test->next, "what is next");
		ok(unit_page.count == 0 && unit_page.last == (test->kind == NAUTH_OK && test->next[0] == '\0') &&
		   unit_page.reread == (test->next[0] != '\0'), "and whether it is the end");
		ok((unit_error.hint != NULL) == (test->kind == NAUTH_ERROR_INCOMPLETE), "with what mends it");
		unit_free(body);
	}
}

/* ---- Whole listings */

static int	uncounted;			/* users whom the count does not know */
static int	empty_from;			/* requests after which pages are empty, or -1 */

/* A realm, in order of the username. */
static void
realm_fill(int size)
{
	directory_fill(size);
	uncounted = 0;
	empty_from = -1;
}

static void
realm_set(int position, int count, State state)
{
	for (int i = position; i < position + count && i < directory_size; i++)
		directory[i].state = state;
}

/* So many of a hundred cannot be seen, in either way. */
static void
realm_hide(int some)
{
	for (int i = 0; i < directory_size; i++)
		if (unit_below(100) < some)
			directory[i].state = unit_below(2) > 0 ? HIDDEN : INVALID;
}

/* The reply that the server would give to the request. */
static NauthSpan
answer(void)
{
	static char body[DIRECTORY_MAX * 20];
	const bool	counts = strstr(unit_request.url, "?first=") == NULL;
	int			first = directory_asked("?first=");
	int			end = first + directory_asked("&max=");
	int			len = sprintf(body, "[");

	if (counts)
		return unit_copy(body, (size_t) sprintf(body, "%d", uncounted > directory_size ? 0 : directory_size - uncounted));
	if (end > directory_size)
		end = directory_size;
	for (int i = first; i < end && (empty_from < 0 || requests <= empty_from); i++)
		if (directory[i].state == SHOWN)
			len += sprintf(body + len, "%s{\"id\":\"u%d\"}", len > 1 ? "," : "", directory[i].number);
	for (int i = end - 1; i >= first; i--)
		if (directory[i].state == INVALID)
			directory_delete(i, 1);
	return unit_copy(body, (size_t) (len + sprintf(body + len, "]")));
}

static const Server server = {KEYCLOAK, NAUTH_QUERY_LIST, "u%d", answer};

static void
test_quiet(void)
{
	int			failed = 0;

	for (int page_size = 10; page_size <= 25; page_size++)
		for (int size = 0; size <= 60; size++)
		{
			realm_fill(size);
			failed += directory_list(&server, page_size, NULL) != NAUTH_OK || directory_wrong(directory_next) > 0;
		}
	is_int(failed, 0, "realms of many sizes in pages of many sizes");
	realm_fill(0);
	directory_list(&server, 10, NULL);
	is_int(requests, 3, "an empty one: a page, one behind it, the count");
	realm_fill(9);
	directory_list(&server, 10, NULL);
	is_int(requests, 4, "nine users: one more, for nobody new");
	realm_fill(10);
	directory_list(&server, 10, NULL);
	is_int(requests, 4, "ten users: the same");
}

/* Any stretch of users who cannot be seen, in either way. */
static void
test_hidden(void)
{
	int			few = 0;

	for (int state = HIDDEN; state <= INVALID; state++)
		for (int position = 0; position < 70; position++)
			for (int count = 1; count <= 70 - position; count++)
			{
				NauthErrorKind kind;

				realm_fill(70);
				realm_set(position, count, (State) state);
				kind = directory_list(&server, 20, NULL);
				tally_add(kind, directory_wrong(70));
				few += kind != NAUTH_OK && count < 10;
			}
	is_int(few, 0, "nine in a row, less than half a page, are no error");
	ok(tally.incomplete > 0, "more may be one");
	tally_check(2500, "a listing that says it is complete has everybody who can be seen");
	realm_fill(70);
	realm_set(20, 20, INVALID);
	ok(directory_list(&server, 20, NULL) == NAUTH_OK && directory_wrong(directory_next) == 0, "a whole page of removed users in the middle");
	realm_fill(70);
	realm_set(50, 20, INVALID);
	ok(directory_list(&server, 20, NULL) == NAUTH_OK && directory_wrong(directory_next) == 0, "and at the end");
	realm_fill(70);
	realm_set(0, 60, INVALID);
	ok(directory_list(&server, 20, NULL) == NAUTH_OK && directory_wrong(directory_next) == 0, "and three pages of them at the beginning");
	realm_fill(70);
	realm_set(20, 40, HIDDEN);
	ok(directory_list(&server, 20, NULL) == NAUTH_ERROR_INCOMPLETE, "a page of hidden users in the middle is an error");
}

/* Changes anywhere. */
static void
change_somewhere(void)
{
	if (unit_below(3) > 0)
		return;
	if (unit_below(2) > 0 && directory_size > 8)
		directory_delete(unit_below(directory_size - 6), 1 + unit_below(5));
	else if (directory_size < 400)
		directory_insert(unit_below(directory_size + 1), 1 + unit_below(2));
}

static void
test_random(void)
{
	for (int round = 0; round < 4000; round++)
	{
		NauthErrorKind kind;

		realm_fill(unit_below(150));
		realm_hide(unit_below(4) * 5);
		uncounted = unit_below(5) > 0 ? 0 : unit_below(directory_size + 1);
		kind = directory_list(&server, 10 + unit_below(30), NULL);
		tally_add(kind, directory_wrong(directory_next));
	}
	tally_check(3000, "users hidden at random: complete, or an error");
}

/* Users come and go all the time, of whom some cannot be seen. */
static void
test_moving(int some, const char *name)
{
	meanwhile = change_somewhere;
	for (int round = 0; round < 4000; round++)
	{
		NauthErrorKind kind;

		realm_fill(150);
		realm_hide(some);
		kind = directory_list(&server, 10 + unit_below(30), NULL);
		tally_add(kind, directory_lost(150));
	}
	meanwhile = NULL;
	tally_check(3000, name);
}

/* Deletions of any size at any time. */
static void
test_deletions(void)
{
	for (int after = 1; after <= 9; after++)
		for (int position = 0; position < 60; position++)
			for (int count = 1; count <= 60 - position; count++)
			{
				Change		change = {after, directory_delete, position, count};
				NauthErrorKind kind;

				realm_fill(60);
				kind = directory_list(&server, 12, &change);
				tally_add(kind, directory_lost(60));
			}
	tally_check(5000, "any deletion at any time: nobody is lost");
}

/* From some request on all pages are empty, as when LDAP is out of order. */
static void
test_trouble(void)
{
	int			wrong = 0;

	for (int from = 0; from <= 8; from++)
	{
		NauthErrorKind kind;

		realm_fill(60);
		empty_from = from;
		kind = directory_list(&server, 12, NULL);
		wrong += kind == NAUTH_OK ? directory_lost(directory_next) > 0 : kind != NAUTH_ERROR_INCOMPLETE;
		if (from == 0)
			is_text(unit_error.reason, "the provider counts users that it does not list", "no page has users, but they are counted");
	}
	is_int(wrong, 0, "pages that become empty are no end");
	realm_fill(60);
	uncounted = 60;
	ok(directory_list(&server, 12, NULL) == NAUTH_OK && directory_wrong(directory_next) == 0, "a count that knows of nobody ends nothing");
	uncounted = -1;
	ok(directory_list(&server, 12, NULL) == NAUTH_OK && directory_wrong(directory_next) == 0, "one too many is looked for, and nothing more");
	uncounted = -100;
	ok(directory_list(&server, 12, NULL) == NAUTH_ERROR_INCOMPLETE, "a hundred too many are an error");
}

static void
test_damaged(void)
{
	static const char *const cursors[] = {NULL, "2 2 36:" U1, "b0 3 0 2 2 36:" U4};

	unit_settings.page_size = 4;
	for (int i = 0; i < 3; i++)
		is_int(unit_check_damaged(KEYCLOAK, NAUTH_QUERY_LIST, "keycloak/page.json", cursors[i]), 0,
			   "none of them is the end");
}

/* ---- Single users, counts, failures */

static void
test_single(void)
{
	NauthUser	user;

	ok(unit_read_user(KEYCLOAK, "9f87c5b3-b706-4d74-93bd-a7a5826c24c1", "keycloak/user.json", &user), "a user");
	ok(!user.has_updated_at && user.has_created_at && user.flaw == NAUTH_FLAW_NONE, "its time");
	ok(!unit_read_user(KEYCLOAK, U1, "keycloak/user.json", &user), "another user");
	ok(unit_is_not_found(KEYCLOAK, 404, "keycloak/not_found.json"), "not found");
	ok(!unit_is_not_found(KEYCLOAK, 403, "keycloak/not_found.json"), "wrong status");
	ok(!unit_is_not_found(KEYCLOAK, 404, "keycloak/error_realm.json"), "there is no such realm");
	ok(unit_error.hint != NULL && strstr(unit_error.hint, "ALTER SERVER %s OPTIONS (SET realm '...')") != NULL, "what mends that");
	ok(!unit_is_not_found(KEYCLOAK, 404, "keycloak/empty.json"), "no code");
	ok(!unit_is_not_found(KEYCLOAK, 401, "keycloak/error_401.json") && unit_error.hint == NULL, "no credential");
	ok(!unit_is_not_found(KEYCLOAK, 403, "keycloak/error_403.json") && unit_error.hint != NULL, "no right to");
}

/* Codes with blanks have a hint and are not shown. */
static void
test_failures(void)
{
	for (const NauthKnownCode *known = KEYCLOAK->known_codes; known->code != NULL; known++)
	{
		unit_read_failure_with(KEYCLOAK, "{\"error\":\"%s\",\"error_description\":\"%s\"}", known->code, "x", "");
		ok(unit_error.hint == known->hint, "a known code has its hint");
		ok(unit_error.code[0] == '\0' || strcmp(unit_error.code, known->code) == 0, "and may be shown");
		ok(known[1].code == NULL || strcmp(known->code, known[1].code) < 0, "they are in order");
	}
	unit_read_failure_with(KEYCLOAK, "{\"error\":\"%s\",\"error_description\":\"%s\"}", "other", "x", "head-1");
	ok(unit_error.code[0] == '\0' && unit_error.hint == NULL, "an unknown one has none");
	is_text(unit_error.request_id, "head-1", "an id of a header");
}

static void
test_count(void)
{
	static const char *const bad[] = {
		"", " ", "null", "true", "\"5\"", "5.0", "5e0", "-1", "[5]", "{\"count\":5}", "5 5", "05", "0x5", "+5",
		"99999999999999999999", "5}", "<html>"
	};

	is_int(unit_read_count_body(KEYCLOAK, unit_fixture("keycloak/count.json")), 5, "a count");
	is_int(unit_read_count(KEYCLOAK, "0"), 0, "of nobody");
	is_int(unit_read_count(KEYCLOAK, "\r\n\t 12345 \n"), 12345, "with white space");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_int(unit_read_count(KEYCLOAK, bad[i]), -1, "what is no count");
}

/* As unit_check_bodies, but a bare number is a count here. */
static void
test_bodies(void)
{
	static const char *const bodies[] = {
		"", " ", "{}", "null", "true", "0", "\"[]\"", "[1]", "[null]", "[[]]",
		"<!doctype html><html><body>Sign in</body></html>", "{\"error\":\"unknown_error\"}",
		"{\"users\":[],\"total\":0}", "\xEF\xBB\xBF[]", "[]x", "[]\n[]", "[]{\"error\":\"unknown_error\"}"
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		NauthSpan	body = unit_copy_text(bodies[i]);
		NauthReply	reply = {.status = 200,.body = body};
		NauthUser	user;
		bool		missing;

		ok(!unit_read(KEYCLOAK, NULL, body) && !unit_page.last && unit_error.kind == NAUTH_ERROR_UNREADABLE &&
		   !unit_read(KEYCLOAK, "b0 3 0 2 2 1:u", body) && !unit_page.last, "what is no page");
		ok(!nauth_read_user(KEYCLOAK, &unit_settings, "user", &reply, &user, &missing, &unit_error), "nor is it a user");
		unit_free(body);
	}
}

int
main(void)
{
	unit_settings.more[NAUTH_SETTING_REALM] = "my realm";
	test_requests();
	test_narrowed();
	test_tokens();
	test_cursors();
	test_long_ids();
	test_pages();
	test_no_ids();
	test_ends();
	test_quiet();
	test_hidden();
	test_random();
	test_moving(0, "users come and go at random: nobody who stays is lost");
	test_moving(15, "nor if some cannot be seen");
	test_deletions();
	test_trouble();
	test_damaged();
	test_single();
	test_failures();
	test_count();
	test_bodies();
	unit_check_failures(KEYCLOAK, "{\"error\":\"%s\",\"more\":\"%s\"}");
	unit_settings.page_size = 4;
	unit_check_cut(KEYCLOAK, NAUTH_QUERY_LIST, "keycloak/page.json");
	unit_check_hostile(KEYCLOAK, "keycloak/hostile.json", hostile_times,
					   sizeof(hostile_times) / sizeof(hostile_times[0]));
	return done_testing();
}
