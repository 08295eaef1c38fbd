/*-------------------------------------------------------------------------
 *
 * firebase_test.c
 *	  Unit tests of the provider "firebase".
 *
 * The token of a page is the only sign that there are more, and nobody is a reply
 * that leaves out its users: so most of them are about what must not pass for the
 * one or the other.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"
#include "provider/asking.h"
#include "provider/reading.h"

#define FIREBASE	(&nauth_provider_firebase)

#define ACCOUNTS	"https://auth.example.com/projects/demo-project/accounts:"
#define LISTED		"{\"kind\":\"identitytoolkit#DownloadAccountResponse\""
#define LOOKED_UP	"{\"kind\":\"identitytoolkit#GetAccountInfoResponse\""

static const UserCase hostile_times[] = {
	{"time_absent", NAUTH_FLAW_NONE, false},
	{"time_null", NAUTH_FLAW_NONE, false},
	{"time_twice", NAUTH_FLAW_DUPLICATE, false},
	{"time_number", NAUTH_FLAW_NONE, false},
	{"time_real", NAUTH_FLAW_NONE, false},
	{"time_max", NAUTH_FLAW_NONE, false},
	{"time_beyond", NAUTH_FLAW_NONE, false},
	{"updated", NAUTH_FLAW_NONE, false}
};

/* ---- Requests */

static void
test_requests(void)
{
	unit_settings.page_size = 1000;
	unit_write(FIREBASE, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, ACCOUNTS "batchGet?maxResults=1000", "the first page");
	is_text(unit_request.headers, "Authorization: Bearer key", "its headers");
	ok(!unit_request.overflow && unit_request.body[0] == '\0', "it has no body");
	unit_write(FIREBASE, NAUTH_QUERY_LIST, NULL, "zo\xC3\xAB /?&=");
	is_text(unit_request.url, ACCOUNTS "batchGet?maxResults=1000&nextPageToken=zo%C3%AB%20%2F%3F%26%3D", "a further page");
	unit_write(FIREBASE, NAUTH_QUERY_USER, "a\"],\"email\":[\"\\", NULL);
	is_text(unit_request.url, ACCOUNTS "lookup", "one user");
	is_text(unit_request.headers, "Content-Type: application/json\nAuthorization: Bearer key", "its headers");
	is_text(unit_request.body, "{\"localId\":[\"a\\\"],\\\"email\\\":[\\\"\\\\\"]}", "an id, even a hostile one, stays an id");
	unit_write(FIREBASE, NAUTH_QUERY_USER, nauth_request_id, NULL);
	is_text(unit_request.body, "{\"localId\":[\"{id}\"]}", "an unknown id");
	unit_write(FIREBASE, NAUTH_QUERY_COUNT, NULL, NULL);
	is_text(unit_request.url, ACCOUNTS "query", "the count");
	is_text(unit_request.body, "{\"returnUserInfo\":false}", "and none of the users");
	unit_settings.token = "ya29.got";
	unit_write(FIREBASE, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.headers, "Authorization: Bearer ya29.got", "with a token that was got");
	unit_settings.token = NULL;
}

static void
test_tenants(void)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "a%2Fb", "a?b", "a#b", "a:b", "a b", "a\nb"};

	unit_settings.more[NAUTH_SETTING_TENANT_ID] = "sales-x1";
	for (int kind = 0; kind < 3; kind++)
	{
		static const NauthQueryKind kinds[] = {NAUTH_QUERY_LIST, NAUTH_QUERY_USER, NAUTH_QUERY_COUNT};
		static const char *const methods[] = {"batchGet?maxResults=1000", "lookup", "query"};
		char		url[200];

		unit_write(FIREBASE, kinds[kind], "a", NULL);
		snprintf(url, sizeof(url), "https://auth.example.com/projects/demo-project/tenants/sales-x1/accounts:%s", methods[kind]);
		is_text(unit_request.url, url, "whatever is asked is asked of the tenant");
	}
	for (size_t i = 0; i < 2 * sizeof(bad) / sizeof(bad[0]); i++)
	{
		unit_settings.more[NAUTH_SETTING_PROJECT_ID] = i % 2 ? bad[i / 2] : "demo-project";
		unit_settings.more[NAUTH_SETTING_TENANT_ID] = i % 2 ? NULL : bad[i / 2];
		unit_write(FIREBASE, NAUTH_QUERY_LIST, NULL, NULL);
		ok(unit_request.overflow, "a project or a tenant that would lead elsewhere");
	}
	unit_settings.more[NAUTH_SETTING_TENANT_ID] = NULL;
	unit_settings.more[NAUTH_SETTING_PROJECT_ID] = NULL;
	unit_write(FIREBASE, NAUTH_QUERY_LIST, NULL, NULL);
	ok(unit_request.overflow, "no project is an error");
	unit_settings.more[NAUTH_SETTING_PROJECT_ID] = "demo-project";
}

static void
test_ids(void)
{
	static char longest[NAUTH_ID_MAX + 1];
	static const char *many[NAUTH_NUM_SETTINGS + 200];
	static const char *const ids[] = {"1k2Z", "a\"\\b", nauth_request_id};

	unit_query.ids = ids;
	unit_query.n_ids = 3;
	unit_write(FIREBASE, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, ACCOUNTS "lookup", "users by id");
	is_text(unit_request.body, "{\"localId\":[\"1k2Z\",\"a\\\"\\\\b\",\"{id}\"]}", "all of them");
	ok(unit_read_fixture(FIREBASE, NULL, "firebase/users.json") && unit_page.last && unit_page.count == 2, "are on one page");
	ok(unit_read_fixture(FIREBASE, NULL, "firebase/not_found.json") && unit_page.last && unit_page.count == 0, "be it nobody");
	ok(!unit_read_fixture(FIREBASE, NULL, "firebase/page.json"), "a list is another kind of reply");
	ok(!unit_read_fixture(FIREBASE, "CgQxazJa", "firebase/users.json") && unit_error.kind == NAUTH_ERROR_REQUEST, "there is no next page");
	for (int i = 0; i < FIREBASE->max_ids; i++)
		many[i] = "iiiiiiiiiiiiiiiiiiiiiiiiiiii";
	unit_query.ids = many;
	unit_query.n_ids = FIREBASE->max_ids;
	unit_write(FIREBASE, NAUTH_QUERY_LIST, NULL, NULL);
	ok(FIREBASE->max_ids == 100 && !unit_request.overflow, "as many as may be asked for fit");
	unit_query.ids = NULL;
	unit_query.n_ids = 0;

	memset(longest, 'x', 128);
	ok(nauth_ask_id_possible(FIREBASE, longest) && nauth_ask_id_possible(FIREBASE, "a b/c\"\\"), "ids that users can have");
	longest[128] = 'x';
	ok(!nauth_ask_id_possible(FIREBASE, longest) && !nauth_ask_id_possible(FIREBASE, "") &&
	   !nauth_ask_id_possible(FIREBASE, "a\tb"), "and those that none has");
	for (int i = 0; i < 256; i += 2)
		memcpy(longest + i, "\xC3\xAB", 2);
	longest[254] = '\0';
	ok(nauth_ask_id_possible(FIREBASE, longest), "characters are counted, not bytes");
}

typedef struct AddressCase
{
	const char *email;
	const char *body;			/* NULL: all are listed */
}			AddressCase;

static const AddressCase addresses[] = {
	{"ada@example.com", "{\"email\":[\"ada@example.com\"]}"},
	{"Ada.X@Example.com", "{\"email\":[\"Ada.X@Example.com\"]}"},
	{"a+b!#$%&'*/=?^_`{|}~-@x-y.example", "{\"email\":[\"a+b!#$%&'*/=?^_`{|}~-@x-y.example\"]}"},
	{nauth_request_email, "{\"email\":[\"{email}\"]}"},
	{"", NULL}, {"x", NULL}, {"@example.com", NULL}, {"ada@", NULL}, {"ada@localhost", NULL}, {"a@b@example.com", NULL},
	{"a b@example.com", NULL}, {"\"a\"@example.com", NULL}, {"a\\b@example.com", NULL}, {"zo\xC3\xAB@example.com", NULL},
	{"a..b@example.com", NULL}, {".a@example.com", NULL}, {"a.@example.com", NULL}, {"a@.example.com", NULL},
	{"a@example.com.", NULL}, {"a@[127.0.0.1]", NULL}, {"a\t@example.com", NULL}, {"{email}", NULL},
	{IDS_255 "@example.com", NULL}
};

static void
test_addresses(void)
{
	unit_settings.page_size = 7;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
	{
		unit_query.email = addresses[i].email;
		unit_write(FIREBASE, NAUTH_QUERY_LIST, NULL, NULL);
		is_text(unit_request.url, addresses[i].body != NULL ? ACCOUNTS "lookup" : ACCOUNTS "batchGet?maxResults=7",
				addresses[i].email);
		is_text(unit_request.body, addresses[i].body != NULL ? addresses[i].body : "", "and what of them is asked");
		ok(unit_read_fixture(FIREBASE, NULL, addresses[i].body != NULL ? "firebase/users.json" : "firebase/last_page.json") &&
		   unit_page.last && unit_page.count == 2, "the reply is read as that");
	}
	unit_query.email = NULL;
}

/* ---- Pages */

static void
test_cursors(void)
{
	static char wide[NAUTH_CURSOR_MAX + 10];
	static char encoded[2000];
	const char *damaged[] = {"", "a\nb", "\001a", "a\177", wide, encoded};

	memset(wide, 'a', sizeof(wide) - 1);
	memset(encoded, '/', 1100);
	unit_settings.page_size = 3;
	unit_check_cursors(FIREBASE, NAUTH_QUERY_LIST, "firebase/page.json", damaged, sizeof(damaged) / sizeof(damaged[0]));
	wide[3072] = '\0';
	unit_write(FIREBASE, NAUTH_QUERY_LIST, NULL, wide);
	ok(!unit_request.overflow, "a long one fits");
}

static void
test_pages(void)
{
	unit_settings.page_size = 3;
	unit_query.kind = NAUTH_QUERY_LIST;
	ok(unit_read_fixture(FIREBASE, NULL, "firebase/page.json"), "a page");
	is_int(unit_page.count, 3, "its users");
	ok(!unit_page.last && !unit_page.reread && unit_page.total == -1, "is not the last");
	is_text(unit_page.next, "CgQxazJa", "where the next one begins");
	is_text(unit_users[1].id, "zo\xC3\xAB \xE6\x97\xA5\xE6\x9C\xAC/\"\xF0\x9F\x98\x80\"", "an id");
	is_int(unit_users[0].created_at, INT64_C(1700000000123000), "a time, and not that of something within");
	ok(!unit_users[0].has_updated_at && unit_users[2].flaw == NAUTH_FLAW_NONE, "there is no other");
	ok(unit_read_fixture(FIREBASE, "CgQxazJa", "firebase/last_page.json") && unit_page.last && unit_page.count == 2,
	   "a page without a token is the last");
	ok(unit_read_fixture(FIREBASE, NULL, "firebase/empty.json") && unit_page.last && unit_page.count == 0, "nobody at all");
	ok(unit_read_fixture(FIREBASE, "z9", "firebase/emulator_empty.json") && unit_page.last && unit_page.count == 0,
	   "an empty page is an end as the emulator has it");
	unit_settings.page_size = 100;
	ok(unit_read_fixture(FIREBASE, NULL, "firebase/page.json") && !unit_page.last, "a page shorter than asked for is no end");
	ok(unit_read_fixture(FIREBASE, NULL, "firebase/emulator_page.json"), "a page whose token is an id");
	unit_write(FIREBASE, NAUTH_QUERY_LIST, NULL, unit_page.next);
	ok(!unit_request.overflow, "leads on");
	unit_settings.page_size = 2;
	ok(!unit_read_fixture(FIREBASE, NULL, "firebase/page.json") && unit_error.kind == NAUTH_ERROR_UNREADABLE && !unit_page.last,
	   "more users than asked for are unreadable");
}

#define ONE	",\"users\":[{\"localId\":\"a\"}]"

static const struct BodyCase page_cases[] = {
	{LISTED "}", NAUTH_OK, true, "nobody"},
	{LISTED ",\"users\":[]}", NAUTH_OK, true, "an empty list"},
	{LISTED ONE ",\"nextPageToken\":\"\"}", NAUTH_OK, true, "an empty token"},
	{LISTED ONE ",\"nextPageToken\":\"b\"}", NAUTH_OK, false, "a token"},
	{LISTED ONE ",\"nextPageToken\":\"\\u0062\"}", NAUTH_OK, false, "an escaped one"},
	{LISTED ONE ",\"nextPageToken\":null}", NAUTH_ERROR_UNREADABLE, false, "null"},
	{LISTED ONE ",\"nextPageToken\":7}", NAUTH_ERROR_UNREADABLE, false, "a number"},
	{LISTED ONE ",\"nextPageToken\":false}", NAUTH_ERROR_UNREADABLE, false, "false"},
	{LISTED ONE ",\"nextPageToken\":[\"b\"]}", NAUTH_ERROR_UNREADABLE, false, "a list"},
	{LISTED ONE ",\"nextPageToken\":\"a\\u0000b\"}", NAUTH_ERROR_UNREADABLE, false, "a zero byte"},
	{LISTED ONE ",\"nextPageToken\":\"a\\nb\"}", NAUTH_ERROR_UNREADABLE, false, "an end of line"},
	{LISTED ONE ",\"nextPageToken\":\"b\",\"nextPageToken\":\"\"}", NAUTH_ERROR_UNREADABLE, false, "two tokens"},
	{LISTED ",\"users\":null}", NAUTH_ERROR_UNREADABLE, false, "users are null"},
	{LISTED ",\"users\":{}}", NAUTH_ERROR_UNREADABLE, false, "users are an object"},
	{LISTED ",\"users\":[1]}", NAUTH_ERROR_UNREADABLE, false, "a user is a number"},
	{LISTED ONE ONE "}", NAUTH_ERROR_UNREADABLE, false, "users twice"},
	{LISTED "}x", NAUTH_ERROR_UNREADABLE, false, "something behind it"},
	{LOOKED_UP "}", NAUTH_ERROR_UNREADABLE, false, "the answer to a look-up"},
	{"{\"kind\":null}", NAUTH_ERROR_UNREADABLE, false, "no kind"},
	{"{\"kind\":7}", NAUTH_ERROR_UNREADABLE, false, "a kind that is a number"},
	{"{\"kind\":\"identitytoolkit#DownloadAccountResponseX\"}", NAUTH_ERROR_UNREADABLE, false, "a longer kind"},
	{LISTED ",\"kind\":\"identitytoolkit#DownloadAccountResponse\"}", NAUTH_ERROR_UNREADABLE, false, "two kinds"},
	{"{\"users\":[]}", NAUTH_ERROR_UNREADABLE, false, "users and no kind"},
	{"{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\"}}", NAUTH_ERROR_UNREADABLE, false, "an error with status 200"}
};

static void
test_page_cases(void)
{
	unit_settings.page_size = 2;
	unit_query.kind = NAUTH_QUERY_LIST;
	unit_check_pages(FIREBASE, page_cases, sizeof(page_cases) / sizeof(page_cases[0]));
	unit_check_page(FIREBASE, LISTED ",\"nextPageToken\":\"b\"}", NAUTH_OK, false, "nobody, and more");
	ok(unit_page.reread && unit_page.count == 0, "is read over");
	is_text(unit_page.next, "b", "where it says");
}

/* The reply that the server would give: users by number, and the last one's is the token. */
static bool full_has_token;

static NauthSpan
answer(void)
{
	static char body[DIRECTORY_MAX * 40 + 200];
	const char *token = strstr(unit_request.url, "&nextPageToken=");
	int			after = token != NULL ? atoi(token + strlen("&nextPageToken=u")) : -1;
	int			limit = directory_asked("maxResults=");
	int			count = 0;
	int			last = -1;
	int			more = 0;
	int			len = sprintf(body, LISTED ",\"users\":[");

	for (int i = 0; i < directory_size; i++)
	{
		if (directory[i].number <= after)
			continue;
		if (count == limit)
		{
			more++;
			continue;
		}
		last = directory[i].number;
		len += sprintf(body + len, "%s{\"localId\":\"u%d\"}", count++ > 0 ? "," : "", last);
	}
	len += sprintf(body + len, "]");
	if (more > 0 || (full_has_token && count == limit))
		len += sprintf(body + len, ",\"nextPageToken\":\"u%d\"", last);
	len += sprintf(body + len, "}");
	return unit_copy(body, (size_t) len);
}

static const Server server = {FIREBASE, NAUTH_QUERY_LIST, "u%d", answer};

/* Users come and go, and so do those whose ids are tokens. */
static void
anything(void)
{
	if (unit_below(2) == 0)
		directory_delete(unit_below(directory_size + 1), 1 + unit_below(4));
	if (unit_below(4) == 0)
		directory_insert(directory_size, 1);
}

static void
test_listings(void)
{
	int			bad = 0;

	for (int kind = 0; kind < 2; kind++)
		for (int page_size = 1; page_size <= 12; page_size++)
			for (int size = 0; size <= 40; size++)
			{
				full_has_token = kind == 1;
				directory_fill(size);
				bad += directory_list(&server, page_size, NULL) != NAUTH_OK || directory_wrong(size) > 0;
			}
	is_int(bad, 0, "directories of many sizes in pages of many sizes, with both ends");
	unit_seed = 1;
	meanwhile = anything;
	for (int i = 0; i < 4000; i++)
	{
		NauthErrorKind end;

		full_has_token = i % 2 == 1;
		directory_fill(10 + unit_below(50));
		end = directory_list(&server, 1 + unit_below(8), NULL);
		tally_add(end, directory_wrong(60));
	}
	meanwhile = NULL;
	tally_check(3000, "users come and go: nobody is lost, nobody comes twice");
}

/* ---- One user, and nobody */

static const struct BodyCase nobody_cases[] = {
	{"{}", NAUTH_ERROR_UNREADABLE, false, "an empty object"},
	{LISTED "}", NAUTH_ERROR_UNREADABLE, false, "an empty list"},
	{LOOKED_UP ",\"users\":[]}", NAUTH_ERROR_UNREADABLE, false, "users that are nobody"},
	{LOOKED_UP ",\"users\":null}", NAUTH_ERROR_UNREADABLE, false, "users that are null"},
	{LOOKED_UP ",\"users\":{}}", NAUTH_ERROR_UNREADABLE, false, "users that are an object"},
	{LOOKED_UP ",\"users\":[{\"localId\":\"1k2Z\"},{\"localId\":\"a\"}]}", NAUTH_ERROR_UNREADABLE, false, "two users"},
	{LOOKED_UP ",\"users\":[{\"localId\":\"1k2Z\"}", NAUTH_ERROR_UNREADABLE, false, "a user that is cut off"},
	{LOOKED_UP ",\"users\":[{\"localId\":\"a\"}]}", NAUTH_ERROR_UNFIT, false, "another user"},
	{LOOKED_UP ",\"kind\":\"identitytoolkit#GetAccountInfoResponse\"}", NAUTH_ERROR_UNREADABLE, false, "two kinds"},
	{LOOKED_UP "}x", NAUTH_ERROR_UNREADABLE, false, "something behind it"},
	{"{\"kind\":\"identitytoolkit#getaccountinforesponse\"}", NAUTH_ERROR_UNREADABLE, false, "a kind in another case"},
	{"{\"error\":{\"code\":404,\"message\":\"USER_NOT_FOUND\"}}", NAUTH_ERROR_UNREADABLE, false, "an error with status 200"}
};

static void
test_single(void)
{
	NauthUser	user;

	ok(unit_read_user(FIREBASE, "1k2Z", "firebase/user.json", &user) && !unit_missing, "a user");
	ok(!user.has_updated_at && user.has_created_at && user.flaw == NAUTH_FLAW_NONE, "its times");
	ok(!unit_read_user(FIREBASE, "a", "firebase/user.json", &user) && !unit_missing, "another one is an error");
	ok(!unit_read_user(FIREBASE, "1k2Z", "firebase/not_found.json", &user) && unit_missing, "nobody");
	for (size_t i = 0; i < sizeof(nobody_cases) / sizeof(nobody_cases[0]); i++)
	{
		NauthSpan	body = unit_copy_text(nobody_cases[i].json);
		NauthReply	reply = unit_reply(body);

		memset(&unit_error, 0, sizeof(unit_error));
		ok(!nauth_read_user(FIREBASE, &unit_settings, "1k2Z", &reply, &user, &unit_missing, &unit_error) && !unit_missing &&
		   unit_error.kind == nobody_cases[i].kind, nobody_cases[i].name);
		unit_free(body);
	}
	for (int status = 200; status < 600; status++)
		if (unit_is_not_found(FIREBASE, status, "firebase/not_found.json") ||
			unit_is_not_found(FIREBASE, status, "firebase/error_404.json"))
			ok(false, "no status says that a user does not exist");
}

static void
test_counts(void)
{
	is_int(unit_read_count(FIREBASE, "{\"recordsCount\":\"4\"}"), 4, "a count");
	is_int(unit_read_count(FIREBASE, "{\"recordsCount\":\"0\",\"userInfo\":[]}"), 0, "of nobody");
	is_int(unit_read_count(FIREBASE, "{\"recordsCount\":\"1000000000000\"}"), INT64_C(1000000000000), "of many");
	is_int(unit_read_count(FIREBASE, "{\"recordsCount\":4}"), -1, "a number is none");
	is_int(unit_read_count(FIREBASE, "{\"recordsCount\":\"\"}"), -1, "nor is nothing");
	is_int(unit_read_count(FIREBASE, "{\"recordsCount\":\"-4\"}"), -1, "less than nobody");
	is_int(unit_read_count(FIREBASE, "{\"recordsCount\":\"4 \"}"), -1, "a blank");
	is_int(unit_read_count(FIREBASE, "{\"recordsCount\":\"0x4\"}"), -1, "a letter");
	is_int(unit_read_count(FIREBASE, "{\"recordsCount\":\"9223372036854775808\"}"), -1, "too many");
	is_int(unit_read_count(FIREBASE, "{\"recordsCount\":\"4\",\"recordsCount\":\"5\"}"), -1, "two counts");
	is_int(unit_read_count(FIREBASE, "{}"), -1, "none");
}

#define FIREBASE_ERROR	"{\"error\":{\"code\":400,\"message\":\"%s\",\"details\":\"%s\"}}"

static void
test_errors(void)
{
	static const struct FailureCase cases[] = {
		{"firebase/error_400.json", 400, "INVALID_PAGE_SELECTION", false},
		{"firebase/error_400_project.json", 400, "INVALID_PROJECT_ID", true},
		{"firebase/error_401.json", 401, "UNAUTHENTICATED", true},
		{"firebase/error_403.json", 403, "PERMISSION_DENIED", true},
		{"firebase/error_404.json", 404, "CONFIGURATION_NOT_FOUND", true},
		{"firebase/error_404_path.json", 404, "NOT_FOUND", false},
		{"firebase/error_429.json", 429, "RESOURCE_EXHAUSTED", false}
	};

	unit_check_failure_cases(FIREBASE, cases, sizeof(cases) / sizeof(cases[0]));
	unit_check_failures(FIREBASE, FIREBASE_ERROR);
}

/* ---- The service account */

static void
test_tokens(void)
{
	char		claims[NAUTH_CLAIMS_MAX];
	char		long_name[NAUTH_CLAIMS_MAX];

	unit_settings.client_id = "reader@demo-project.iam.gserviceaccount.com";
	unit_settings.assertion = "a.b-c_d";
	FIREBASE->write_token(&unit_settings, &unit_request);
	is_text(unit_request.url, "https://oauth2.googleapis.com/token", "where tokens are from");
	is_text(unit_request.body, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b-c_d", "what for");
	ok(!unit_request.overflow && strstr(unit_request.headers, "Authorization") == NULL, "without any other credential");
	ok(FIREBASE->write_claims(&unit_settings, 1700000000, "n", claims), "claims");
	is_text(claims, "{\"iss\":\"reader@demo-project.iam.gserviceaccount.com\",\"scope\":\"https://www.googleapis.com/auth/identitytoolkit\","
			"\"aud\":\"https://oauth2.googleapis.com/token\",\"iat\":1700000000,\"exp\":1700000300}", "are those of the account");
	unit_settings.more[NAUTH_SETTING_TOKEN_URL] = "https://tokens.example.com/t";
	FIREBASE->write_token(&unit_settings, &unit_request);
	is_text(unit_request.url, "https://tokens.example.com/t", "another address for tokens");
	ok(FIREBASE->write_claims(&unit_settings, 1700000000, "n", claims) &&
	   strstr(claims, "\"aud\":\"https://tokens.example.com/t\"") != NULL, "is whom the claims are for");
	unit_settings.more[NAUTH_SETTING_TOKEN_URL] = "https://tokens.example.com/\"";
	ok(!FIREBASE->write_claims(&unit_settings, 1700000000, "n", claims), "none that ends a text of JSON");
	unit_settings.more[NAUTH_SETTING_TOKEN_URL] = NULL;
	unit_settings.client_id = "a\",\"sub\":\"b";
	ok(!FIREBASE->write_claims(&unit_settings, 1700000000, "n", claims), "nor a name");
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	unit_settings.client_id = long_name;
	ok(!FIREBASE->write_claims(&unit_settings, 1700000000, "n", claims), "nor one that does not fit");
	unit_settings.client_id = NULL;
}

static void
test_damaged(void)
{
	unit_settings.page_size = 3;
	unit_check_damaged(FIREBASE, NAUTH_QUERY_LIST, "firebase/page.json", NULL);
	unit_check_damaged(FIREBASE, NAUTH_QUERY_LIST, "firebase/emulator_page.json", "a");
	unit_check_damaged(FIREBASE, NAUTH_QUERY_LIST, "firebase/last_page.json", "a");
}

int
main(void)
{
	unit_settings.more[NAUTH_SETTING_PROJECT_ID] = "demo-project";
	test_requests();
	test_tenants();
	test_ids();
	test_addresses();
	test_cursors();
	test_pages();
	test_page_cases();
	test_listings();
	test_single();
	test_counts();
	test_errors();
	test_tokens();
	test_damaged();
	unit_settings.page_size = 4;
	unit_query.kind = NAUTH_QUERY_LIST;
	unit_check_cut(FIREBASE, NAUTH_QUERY_LIST, "firebase/page.json");
	unit_check_bodies(FIREBASE);
	unit_check_hostile(FIREBASE, "firebase/hostile.json", hostile_times,
					   sizeof(hostile_times) / sizeof(hostile_times[0]));
	return done_testing();
}
