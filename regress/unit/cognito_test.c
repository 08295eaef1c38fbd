/*-------------------------------------------------------------------------
 *
 * cognito_test.c
 *	  Unit tests of the provider "cognito".
 *
 * Some of them page through a directory whose pages are of any length, nothing
 * included, while users come and go: who was there all the time must be seen once.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"
#include "provider/reply.h"

#define COGNITO		(&nauth_provider_cognito)
#define POOL		"eu-central-1_Example01"
#define BODY		"{\"UserPoolId\":\"" POOL "\","
#define ERROR		"{\"__type\":\"%s\",\"message\":\"%s\"}"

/* the longest Username: 128 characters of two bytes each are too long an id */
#define IDS_128		"iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii" \
					"iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii"

static const UserCase hostile_times[] = {
	{"time_absent", NAUTH_FLAW_NONE, false},
	{"time_null", NAUTH_FLAW_NONE, false},
	{"time_twice", NAUTH_FLAW_DUPLICATE, false},
	{"time_text", NAUTH_FLAW_NONE, true},
	{"time_date", NAUTH_FLAW_TIME, false},
	{"time_exponent", NAUTH_FLAW_NONE, true},
	{"time_big_exponent", NAUTH_FLAW_TIME, false},
	{"time_small_exponent", NAUTH_FLAW_NONE, true},
	{"time_object", NAUTH_FLAW_TIME, false},
	{"time_true", NAUTH_FLAW_TIME, false},
	{"time_negative", NAUTH_FLAW_NONE, true},
	{"time_zero", NAUTH_FLAW_NONE, true},
	{"time_milliseconds", NAUTH_FLAW_TIME, false},
	{"time_max", NAUTH_FLAW_TIME, false},
	{"time_huge", NAUTH_FLAW_TIME, false}
};

/* ---- Requests */

static void
test_requests(void)
{
	unit_settings.page_size = 60;
	unit_write(COGNITO, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/", "the address");
	is_text(unit_request.headers, "X-Amz-Target: AWSCognitoIdentityProviderService.ListUsers\n"
			"Content-Type: application/x-amz-json-1.1", "the headers of a list");
	is_text(unit_request.body, BODY "\"Limit\":60}", "the first page");
	unit_write(COGNITO, NAUTH_QUERY_LIST, NULL, "CAIS+/=\"\\");
	is_text(unit_request.body, BODY "\"Limit\":60,\"PaginationToken\":\"CAIS+/=\\\"\\\\\"}", "a further page");
	unit_write(COGNITO, NAUTH_QUERY_USER, "ada\"},\"x\":{\"", NULL);
	is_text(unit_request.headers, "X-Amz-Target: AWSCognitoIdentityProviderService.AdminGetUser\n"
			"Content-Type: application/x-amz-json-1.1", "the headers for one user");
	is_text(unit_request.body, BODY "\"Username\":\"ada\\\"},\\\"x\\\":{\\\"\"}", "who cannot become more than that");
	is_text(unit_request.signer, "", "without a key nothing is signed");
	ok(!unit_request.overflow, "but it can be shown");
	unit_query.limit = 7;
	unit_write(COGNITO, NAUTH_QUERY_LIST, NULL, "token");
	is_text(unit_request.body, BODY "\"Limit\":7,\"PaginationToken\":\"token\"}", "a limit is the same on all pages");
	unit_query.limit = 0;
}

static void
test_signing(void)
{
	unit_settings.access_key_id = "id";
	unit_settings.secret_access_key = "secret";
	unit_write(COGNITO, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.signer, "eu-central-1:cognito-idp", "who signs it");
	is_text(unit_request.signing_id, "id", "with which key");
	is_text(unit_request.signing_key, "secret", "and its secret");
	ok(strstr(unit_request.headers, "Token") == NULL, "which is no temporary one");
	unit_settings.session_token = "session";
	unit_settings.more[NAUTH_SETTING_REGION] = "us-west-2";
	unit_write(COGNITO, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.signer, "us-west-2:cognito-idp", "the region of an option");
	is_text(unit_request.headers, "X-Amz-Target: AWSCognitoIdentityProviderService.ListUsers\n"
			"Content-Type: application/x-amz-json-1.1\nX-Amz-Security-Token: session", "the token of a session");
	unit_settings.session_token = "session\nX-Evil: 1";
	unit_write(COGNITO, NAUTH_QUERY_LIST, NULL, NULL);
	ok(unit_request.overflow, "which can be no other header");
	unit_settings.session_token = unit_settings.access_key_id = unit_settings.secret_access_key = NULL;
	unit_settings.more[NAUTH_SETTING_REGION] = NULL;
}

static void
is_filter(const char *email, const char *filter, const char *name)
{
	char		body[1024];

	unit_query.email = email;
	unit_write(COGNITO, NAUTH_QUERY_LIST, NULL, "token");
	snprintf(body, sizeof(body), BODY "\"Limit\":60%s,\"PaginationToken\":\"token\"}", filter);
	is_text(unit_request.body, body, name);
	unit_query.email = NULL;
}

static void
test_filters(void)
{
	char		email[260];
	char		filter[300];

	is_filter("ada@example.com", ",\"Filter\":\"email = \\\"ada@example.com\\\"\"", "an address");
	is_filter("zo\xC3\xAB@example.com", ",\"Filter\":\"email = \\\"zo\xC3\xAB@example.com\\\"\"", "one with an accent");
	is_filter(nauth_request_email, ",\"Filter\":\"email = \\\"{email}\\\"\"", "any");
	is_filter("\"a b\"@example.com", "", "one with quotation marks is looked for among all");
	is_filter("a\\b@example.com", "", "so is one with a backslash");
	is_filter("a\nb@example.com", "", "and one with a line feed");
	memset(email, 'e', sizeof(email));
	email[246] = '\0';
	snprintf(filter, sizeof(filter), ",\"Filter\":\"email = \\\"%s\\\"\"", email);
	is_filter(email, filter, "the longest that a filter has room for");
	email[246] = 'e';
	email[247] = '\0';
	is_filter(email, "", "and a longer one");
}

/* ---- Options */

typedef struct OptionCase
{
	const char *pool;
	const char *region;
	const char *url;			/* NULL: it is refused */
}			OptionCase;

static const OptionCase option_cases[] = {
	{POOL, NULL, "https://cognito-idp.eu-central-1.amazonaws.com"},
	{POOL, "us-east-1", "https://cognito-idp.us-east-1.amazonaws.com"},
	{"us-gov-west-1_a", NULL, "https://cognito-idp.us-gov-west-1.amazonaws.com"},
	{"cn-north-1_a", NULL, "https://cognito-idp.cn-north-1.amazonaws.com.cn"},
	{"cnx-1_a", NULL, "https://cognito-idp.cnx-1.amazonaws.com"},
	{"", NULL, NULL},
	{"Example01", NULL, NULL},
	{"eu-central-1_", NULL, NULL},
	{"_Example01", NULL, NULL},
	{"eu-central-1_a-b", NULL, NULL},
	{"eu-central-1_a_b", NULL, NULL},
	{"EU-central-1_a", NULL, NULL},
	{"evil.example/_a", NULL, NULL},
	{"eu-central-1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, NULL},
	{POOL, "", NULL},
	{POOL, "evil.example/", NULL},
	{POOL, "eu-central-1_a", NULL},
	{POOL, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL}
};

static void
test_options(void)
{
	for (size_t i = 0; i < sizeof(option_cases) / sizeof(option_cases[0]); i++)
	{
		const		OptionCase *test = &option_cases[i];
		const char *hint = NULL;
		const char *reason;
		char		url[NAUTH_URL_MAX] = "";

		unit_settings.more[NAUTH_SETTING_USER_POOL_ID] = test->pool;
		unit_settings.more[NAUTH_SETTING_REGION] = test->region;
		reason = COGNITO->refuse(&unit_settings, &hint);
		if (test->url == NULL)
			ok(reason != NULL && hint != NULL, test->region ? "a region that is none" : "a pool that is none");
		else
		{
			ok(reason == NULL && COGNITO->write_url(&unit_settings, url), "a pool, and its region");
			is_text(url, test->url, "make an address");
		}
	}
	unit_settings.more[NAUTH_SETTING_USER_POOL_ID] = POOL;
	unit_settings.more[NAUTH_SETTING_REGION] = NULL;
	ok(COGNITO->url == NULL && COGNITO->needs == NAUTH_TAKES(NAUTH_SETTING_USER_POOL_ID), "the pool has to be told");
}

/* ---- Pages */

static void
test_page(void)
{
	unit_settings.page_size = 4;
	unit_write(COGNITO, NAUTH_QUERY_LIST, NULL, NULL);
	ok(unit_read_fixture(COGNITO, NULL, "cognito/page.json"), "a page");
	is_int(unit_page.count, 4, "its users");
	is_text(unit_users[0].id, "ada", "a Username is the id");
	is_text(unit_users[1].id, "7d0c1a2e-0000-4000-8000-00000000000b", "be it the sub");
	is_int(unit_users[0].created_at, INT64_C(1700000000123000), "a time with a fraction");
	is_int(unit_users[0].updated_at, INT64_C(1700000501456000), "another");
	is_int(unit_users[1].created_at, INT64_C(1700000001000000), "with an exponent");
	is_int(unit_users[1].updated_at, INT64_C(1700000501456000), "and both");
	is_int(unit_users[2].updated_at, INT64_C(1700000002000000), "and neither");
	is_int(unit_users[3].updated_at, INT64_C(1700000003500000), "to the microsecond");
	ok(!unit_page.last && !unit_page.reread, "it is not the last");
	is_text(unit_page.next, "CAISrgIIARKHAggDEoICAHRva2VuLm9mLm5vYm9keQ/+==", "its token");
	ok(unit_read_fixture(COGNITO, "token", "cognito/last_page.json") && unit_page.last, "the last page");
	ok(unit_read_fixture(COGNITO, NULL, "cognito/empty.json") && unit_page.last && unit_page.count == 0, "nobody at all");
	ok(unit_read_fixture(COGNITO, NULL, "cognito/empty_page.json") && !unit_page.last && unit_page.reread,
	   "a page of nobody that is not the last");
	is_text(unit_page.next, "CAISmore", "leads on");
	unit_settings.page_size = 3;
	ok(!unit_read_fixture(COGNITO, NULL, "cognito/page.json") && unit_error.kind == NAUTH_ERROR_UNREADABLE,
	   "more users than were asked for");
}

static void
test_odd_pages(void)
{
	char		body[8192];
	char		token[NAUTH_CURSOR_MAX + 1];
	NauthSpan	page;

	unit_settings.page_size = 4;
	unit_check_page(COGNITO, "{\"Users\":[],\"PaginationToken\":null}", NAUTH_OK, true, "no token is the end");
	unit_check_page(COGNITO, "{\"Users\":[],\"PaginationToken\":\"\"}", NAUTH_ERROR_UNREADABLE, false, "an empty one is none");
	unit_check_page(COGNITO, "{\"Users\":[],\"PaginationToken\":\"a b\"}", NAUTH_ERROR_UNREADABLE, false, "nor one with a blank");
	unit_check_page(COGNITO, "{\"Users\":[],\"PaginationToken\":7}", NAUTH_ERROR_UNREADABLE, false, "nor is a number");
	unit_check_page(COGNITO, "{\"Users\":[],\"PaginationToken\":\"a\\u0000\"}", NAUTH_ERROR_UNREADABLE, false, "nor what ends in it");
	unit_check_page(COGNITO, "{\"Users\":[],\"PaginationToken\":\"a\",\"PaginationToken\":\"b\"}", NAUTH_ERROR_UNREADABLE, false, "nor are two");
	unit_check_page(COGNITO, "{\"Users\":null}", NAUTH_ERROR_UNREADABLE, false, "no users");
	unit_check_page(COGNITO, "{\"PaginationToken\":\"a\"}", NAUTH_ERROR_UNREADABLE, false, "none either");
	unit_check_page(COGNITO, "{\"UserPool\":{\"Users\":[]}}", NAUTH_ERROR_UNREADABLE, false, "another reply");
	for (int more = 0; more < 2; more++)
	{
		memset(token, 't', sizeof(token));
		token[NAUTH_CURSOR_MAX - 1 + more] = '\0';
		snprintf(body, sizeof(body), "{\"Users\":[],\"PaginationToken\":\"%s\"}", token);
		page = unit_copy_text(body);
		ok(unit_read(COGNITO, NULL, page) == (more == 0), more ? "a longer token is an error" : "the longest token");
		ok(!unit_page.last, "and never the end");
		unit_free(page);
	}
	unit_check_cut(COGNITO, NAUTH_QUERY_LIST, "cognito/page.json");
	unit_check_bodies(COGNITO);
	unit_check_damaged(COGNITO, NAUTH_QUERY_LIST, "cognito/page.json", NULL);
	unit_check_damaged(COGNITO, NAUTH_QUERY_LIST, "cognito/page.json", "token");
}

/* ---- A directory that changes */

/* Users come in an order that has nothing to do with any of theirs. */
static int
order_of(int number)
{
	return number * 7919 % 10007 + 1;
}

/* Who is next behind a place in that order, or NULL. */
static const Entry *
next_behind(int place)
{
	const Entry *next = NULL;

	for (int i = 0; i < directory_size; i++)
		if (order_of(directory[i].number) > place &&
			(next == NULL || order_of(directory[i].number) < order_of(next->number)))
			next = &directory[i];
	return next;
}

/* A page of any length, and always some token but at the end. */
static NauthSpan
answer(void)
{
	static char body[DIRECTORY_MAX * 80];
	const char *token = strstr(unit_request.body, "\"PaginationToken\":\"");
	int			limit = atoi(strstr(unit_request.body, "\"Limit\":") + 8);
	int			place = token == NULL ? 0 : atoi(token + strlen("\"PaginationToken\":\""));
	int			count = unit_below(limit + 1);
	int			len = sprintf(body, "{\"Users\":[");
	const Entry *next = next_behind(place);

	for (int i = 0; i < count && next != NULL; i++)
	{
		len += sprintf(body + len, "%s{\"Username\":\"u%d\",\"UserLastModifiedDate\":17000%05d.25}",
					   i > 0 ? "," : "", next->number, next->time);
		place = order_of(next->number);
		next = next_behind(place);
	}
	len += sprintf(body + len, "]");
	if (next != NULL)
		len += sprintf(body + len, ",\"PaginationToken\":\"%d-%d\"", place, requests);
	len += sprintf(body + len, "}");
	return unit_copy(body, (size_t) len);
}

static const Server server = {COGNITO, NAUTH_QUERY_LIST, "u%d", answer};

static void
anything(void)
{
	if (unit_below(2) == 0)
		directory_delete(unit_below(directory_size + 1), 1 + unit_below(3));
	if (unit_below(2) == 0)
		directory_insert(directory_size, 1 + unit_below(3));
}

static void
test_listing(void)
{
	unit_seed = 1;
	meanwhile = anything;
	for (int i = 0; i < 2000; i++)
	{
		int			size = unit_below(60);
		NauthErrorKind end;

		directory_fill(size);
		end = directory_list(&server, 1 + unit_below(8), NULL);
		tally_add(end, directory_wrong(size));
	}
	meanwhile = NULL;
	tally_check(1900, "pages of any length, and users who come and go: nobody is lost, nobody comes twice");
}

/* ---- Single users and failures */

static void
test_single(void)
{
	NauthUser	user;

	ok(unit_read_user(COGNITO, "ada", "cognito/user.json", &user), "a user");
	ok(user.has_updated_at && user.updated_at == INT64_C(1700000501456000), "its time");
	ok(!unit_read_user(COGNITO, "Ada", "cognito/user.json", &user) && unit_error.kind == NAUTH_ERROR_UNFIT && !unit_missing,
	   "another one answers, which proves nothing");
	ok(unit_error.hint != NULL && unit_error.reason != NULL, "and is told");
	ok(!unit_read_user(COGNITO, "ada", "cognito/not_found.json", &user) && unit_error.kind == NAUTH_ERROR_UNREADABLE,
	   "no user at all");
	ok(COGNITO->is_id("ada") && COGNITO->is_id("ada@example.com") && COGNITO->is_id("Google_1") &&
	   COGNITO->is_id("\xC3\xA9!#%&/") && COGNITO->is_id(IDS_128), "Usernames");
	ok(!COGNITO->is_id("a b") && !COGNITO->is_id("a\tb") && !COGNITO->is_id("a\x7F") && !COGNITO->is_id(IDS_128 "i"),
	   "what is none");
}

static void
test_not_found(void)
{
	ok(unit_is_not_found(COGNITO, 400, "cognito/not_found.json"), "not found");
	is_text(unit_error.code, "UserNotFoundException", "its code");
	ok(unit_is_not_found(COGNITO, 400, "cognito/not_found_namespaced.json"), "with a namespace");
	is_text(unit_error.code, "UserNotFoundException", "the same code");
	ok(!unit_is_not_found(COGNITO, 404, "cognito/not_found.json"), "wrong status");
	ok(!unit_is_not_found(COGNITO, 200, "cognito/not_found.json"), "a good one");
	ok(!unit_is_not_found(COGNITO, 400, "cognito/not_found_pool.json"), "no such pool");
	is_text(unit_error.code, "ResourceNotFoundException", "that code");
	ok(unit_error.hint != NULL, "and what mends it");
	ok(!unit_is_not_found(COGNITO, 400, "cognito/error_parameter.json"), "a wrong parameter");
	ok(!unit_is_not_found(COGNITO, 400, "cognito/error_denied.json"), "no right");
	ok(!unit_is_not_found(COGNITO, 400, "cognito/error_throttled.json"), "too many requests");
	ok(!unit_is_not_found(COGNITO, 400, "cognito/empty.json"), "no code");
	unit_check_failures(COGNITO, ERROR);
}

typedef struct KindCase
{
	int			status;
	const char *code;
	NauthErrorKind kind;
}			KindCase;

static const KindCase kind_cases[] = {
	{400, "TooManyRequestsException", NAUTH_ERROR_RATE_LIMIT},
	{400, "ThrottlingException", NAUTH_ERROR_RATE_LIMIT},
	{400, "LimitExceededException", NAUTH_ERROR_RATE_LIMIT},
	{400, "com.amazonaws.cognitoidentityprovider#TooManyRequestsException", NAUTH_ERROR_RATE_LIMIT},
	{400, "com.amazon.coral.service#MissingAuthenticationTokenException:http://internal.amazon.com/x", NAUTH_ERROR_CREDENTIAL},
	{400, "UnrecognizedClientException", NAUTH_ERROR_CREDENTIAL},
	{403, "ExpiredTokenException", NAUTH_ERROR_CREDENTIAL},
	{400, "AccessDeniedException", NAUTH_ERROR_PERMISSION},
	{400, "ResourceNotFoundException", NAUTH_ERROR_NOT_FOUND},
	{400, "InvalidParameterException", NAUTH_ERROR_REFUSED},
	{400, "TooManyRequestsExceptionX", NAUTH_ERROR_REFUSED},
	{400, "#", NAUTH_ERROR_REFUSED},
	{400, "", NAUTH_ERROR_REFUSED},
	{403, "another", NAUTH_ERROR_PERMISSION},
	{429, "", NAUTH_ERROR_RATE_LIMIT},
	{500, "InternalErrorException", NAUTH_ERROR_UNAVAILABLE}
};

static void
test_kinds(void)
{
	for (size_t i = 0; i < sizeof(kind_cases) / sizeof(kind_cases[0]); i++)
	{
		char		json[256];
		NauthReply	reply = {.status = kind_cases[i].status};

		snprintf(json, sizeof(json), ERROR, kind_cases[i].code, "x");
		reply.body = unit_copy_text(json);
		is_int(nauth_reply_kind(COGNITO, &reply), kind_cases[i].kind, kind_cases[i].code);
		unit_free(reply.body);
	}
}

int
main(void)
{
	unit_settings.more[NAUTH_SETTING_USER_POOL_ID] = POOL;
	test_requests();
	test_signing();
	test_filters();
	test_options();
	test_page();
	test_odd_pages();
	test_listing();
	test_single();
	test_not_found();
	test_kinds();
	unit_check_hostile(COGNITO, "cognito/hostile.json", hostile_times,
					   sizeof(hostile_times) / sizeof(hostile_times[0]));
	return done_testing();
}
