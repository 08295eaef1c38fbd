/*-------------------------------------------------------------------------
 *
 * okta_test.c
 *	  Unit tests of the provider "okta".
 *
 * Most of them are about the header Link: that there is no next page is the only
 * end mark, so whatever hides a link must not look like the end.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"
#include "provider/asking.h"
#include "provider/reading.h"

#define OKTA		(&nauth_provider_okta)
#define USERS_URL	"https://auth.example.com/api/v1/users"
#define SELF		"<" USERS_URL "?limit=3>; rel=\"self\""
#define NEXT		"<" USERS_URL "?after=a1&limit=3>; rel=\"next\""
#define ALL			"filter=lastUpdated%20gt%20%221970-01-01T00%3A00%3A00.000Z%22"

static bool
read_with(const char *header, const char *cursor, const char *fixture)
{
	unit_header = header;
	return unit_read_fixture(OKTA, cursor, fixture);
}

/* ---- Requests */

static void
test_requests(void)
{
	unit_settings.page_size = 200;
	unit_write(OKTA, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS_URL "?limit=200&" ALL, "the first page has deprovisioned users, too");
	is_text(unit_request.headers, "Authorization: SSWS key\nAccept: application/json", "its headers");
	unit_write(OKTA, NAUTH_QUERY_LIST, NULL, "after=a1&limit=200&filter=x+gt+%22y%22");
	is_text(unit_request.url, USERS_URL "?after=a1&limit=200&filter=x+gt+%22y%22", "a further page, as its link has it");
	ok(!unit_request.overflow, "fits");
	unit_write(OKTA, NAUTH_QUERY_USER, "00u1ada0lovelace0001", NULL);
	is_text(unit_request.url, USERS_URL "/00u1ada0lovelace0001", "one user");
	unit_write(OKTA, NAUTH_QUERY_USER, "../me?a#b", NULL);
	is_text(unit_request.url, USERS_URL "/..%2Fme%3Fa%23b", "a hostile id");
	unit_write(OKTA, NAUTH_QUERY_USER, nauth_request_id, NULL);
	is_text(unit_request.url, USERS_URL "/{id}", "an unknown id");
	unit_write(OKTA, NAUTH_QUERY_USER, "", NULL);
	ok(unit_request.overflow, "an empty id asks for no listing");
	unit_query.limit = 7;
	unit_write(OKTA, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS_URL "?limit=7&" ALL, "a few users");
	unit_query.limit = 0;
}

static void
test_credentials(void)
{
	static const struct
	{
		const char *type;
		const char *token;
		const char *header;
	}			cases[] = {
		{NULL, NULL, "Authorization: SSWS key\nAccept: application/json"},
		{"SSWS", NULL, "Authorization: SSWS key\nAccept: application/json"},
		{"ssws", NULL, "Authorization: SSWS key\nAccept: application/json"},
		{"Bearer", NULL, "Authorization: Bearer key\nAccept: application/json"},
		{"bEARER", NULL, "Authorization: Bearer key\nAccept: application/json"},
		{NULL, "got", "Authorization: Bearer got\nAccept: application/json"},
		{"SSWS", "got", "Authorization: Bearer got\nAccept: application/json"}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		unit_settings.more[NAUTH_SETTING_TOKEN_TYPE] = cases[i].type;
		unit_settings.token = cases[i].token;
		unit_write(OKTA, NAUTH_QUERY_LIST, NULL, NULL);
		is_text(unit_request.headers, cases[i].header, "a kind of token");
	}
	unit_settings.more[NAUTH_SETTING_TOKEN_TYPE] = NULL;
	unit_settings.token = NULL;
}

/* Asked from the second's beginning on: times are shown without a fraction. */
static void
test_since(void)
{
	static const struct
	{
		int64_t		from;
		const char *time;
	}			cases[] = {
		{INT64_C(1769934600000000), "2026-02-01T08%3A30%3A00.000Z"},
		{INT64_C(1769934600456789), "2026-02-01T08%3A30%3A00.000Z"},
		{INT64_C(1769934600999999), "2026-02-01T08%3A30%3A00.000Z"},
		{0, "1970-01-01T00%3A00%3A00.000Z"},
		{-1, "1970-01-01T00%3A00%3A00.000Z"},
		{NAUTH_MOMENT_MIN, "1970-01-01T00%3A00%3A00.000Z"},
		{NAUTH_MOMENT_MAX, "9999-12-31T23%3A59%3A59.000Z"},
		{INT64_MAX, "9999-12-31T23%3A59%3A59.000Z"},
		{NAUTH_MOMENT_UNKNOWN, "{updated_at}"}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		url[256];

		unit_query.from = cases[i].from;
		snprintf(url, sizeof(url), USERS_URL "?limit=200&filter=lastUpdated%%20ge%%20%%22%s%%22", cases[i].time);
		unit_write(OKTA, NAUTH_QUERY_SINCE, NULL, NULL);
		is_text(unit_request.url, url, "what has changed since a time");
	}
	unit_query.from = 0;
	unit_write(OKTA, NAUTH_QUERY_SINCE, NULL, "after=b");
	is_text(unit_request.url, USERS_URL "?after=b", "and its next page");
	ok(read_with(SELF, NULL, "okta/page.json") && unit_page.last && unit_page.count == 3,
	   "is read as a listing is");
}

/* What a query wants alone. */
static void
test_narrowed(void)
{
	static const char *const ids[] = {"00u1ada0lovelace0001", "a\"b\\c", nauth_request_id};
	static const char *many[50];

	unit_query.ids = ids;
	unit_query.n_ids = 3;
	unit_write(OKTA, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS_URL "?limit=4&filter=id%20eq%20%2200u1ada0lovelace0001%22"
			"%20or%20id%20eq%20%22a%5C%22b%5C%5Cc%22%20or%20id%20eq%20%22{id}%22", "users by id");
	ok(read_with(SELF, NULL, "okta/page.json") && unit_page.last, "are all on one page");
	for (int i = 0; i < 50; i++)
		many[i] = ids[0];
	unit_query.ids = many;
	unit_query.n_ids = OKTA->max_ids;
	unit_write(OKTA, NAUTH_QUERY_LIST, NULL, NULL);
	ok(OKTA->max_ids == 50 && !unit_request.overflow, "as many as may be asked for fit");
	ok(strlen(unit_request.url) < NAUTH_REPLY_HEADER - 256, "and the link to them fits into a header");
	unit_query.ids = NULL;
	unit_query.n_ids = 0;
	unit_query.email = "a\"+\\b@example.com";
	unit_write(OKTA, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS_URL "?limit=200&filter=profile.email%20eq%20%22a%5C%22%2B%5C%5Cb%40example.com%22",
			"users by address");
	unit_query.email = "jo\xC3\xA3o@example.com";
	unit_write(OKTA, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS_URL "?limit=200&filter=profile.email%20eq%20%22jo%C3%A3o%40example.com%22",
			"in other letters");
	unit_query.email = nauth_request_email;
	unit_write(OKTA, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS_URL "?limit=200&filter=profile.email%20eq%20%22{email}%22", "an unknown address");
	unit_query.email = NULL;
}

/* Nothing that Okta would take for somebody else is an id. */
static void
test_ids(void)
{
	static const char *const wrong[] = {
		"", "me", "ada", "ada@example.com", "00u", "00u1ada0lovelace000", "00u1ada0lovelace00012",
		"00g1ada0lovelace0001", "00U1ada0lovelace0001", "00u1ada.lovelace0001", "00u1ada0lovelace000/",
		"00u1ada0lovelace000 ", "00u1ada0lovelac\xC3\xA9" "001", " 00u1ada0lovelace001"
	};

	ok(nauth_ask_id_possible(OKTA, "00u1ada0lovelace0001"), "an id");
	ok(nauth_ask_id_possible(OKTA, "00ub0oNGTSWTBKOLGLNR"), "another one");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ok(!nauth_ask_id_possible(OKTA, wrong[i]), "no id");
}

/* ---- Pages and links */

static void
test_pages(void)
{
	char		cursor[NAUTH_CURSOR_MAX + 1];

	unit_settings.page_size = 3;
	ok(read_with(SELF ", " NEXT, NULL, "okta/page.json"), "a page");
	ok(!unit_page.last && !unit_page.reread && unit_page.count == 3 && unit_page.total == -1, "is not the last");
	is_text(unit_page.next, "after=a1&limit=3", "and names the next one");
	is_int(unit_users[0].updated_at, INT64_C(1769934600000000), "a time");
	ok(unit_users[0].has_created_at && unit_users[0].created_at == INT64_C(1768478400000000), "another time");
	ok(read_with(SELF, "after=a1&limit=3", "okta/last_page.json"), "the next page");
	ok(unit_page.last && unit_page.count == 1 && unit_page.next[0] == '\0', "is the last");
	ok(read_with(SELF, NULL, "okta/page.json") && unit_page.last, "a full page may be the last");
	ok(read_with(SELF, NULL, "okta/empty.json") && unit_page.last && unit_page.count == 0, "so may an empty one");
	ok(read_with(SELF ", " NEXT, NULL, "okta/last_page.json") && !unit_page.last, "and a short one need not be");
	unit_settings.page_size = 2;
	ok(!read_with(SELF, NULL, "okta/page.json") && unit_error.kind == NAUTH_ERROR_UNREADABLE &&
	   !unit_page.last, "more users than asked for");
	unit_settings.page_size = 3;

	ok(!read_with(SELF, "", "okta/page.json") && unit_error.kind == NAUTH_ERROR_REQUEST, "an empty cursor");
	ok(!read_with(SELF, "after=a b", "okta/page.json") && unit_error.kind == NAUTH_ERROR_REQUEST, "a damaged one");
	unit_write(OKTA, NAUTH_QUERY_LIST, NULL, "after=a#b");
	ok(unit_request.overflow, "is not asked with");
	unit_write(OKTA, NAUTH_QUERY_LIST, NULL, "");
	ok(unit_request.overflow, "nor is an empty one");
	memset(cursor, 'a', sizeof(cursor));
	cursor[NAUTH_CURSOR_MAX - 1] = '\0';
	unit_write(OKTA, NAUTH_QUERY_LIST, NULL, cursor);
	ok(!unit_request.overflow && strlen(unit_request.url) == strlen(USERS_URL "?") + NAUTH_CURSOR_MAX - 1,
	   "the longest one is");
}

typedef struct LinkCase
{
	const char *header;
	NauthErrorKind kind;
	const char *next;			/* "" where it is the end */
	const char *name;
} LinkCase;

#define ORIGIN	"https://auth.example.com"
#define GOOD(header, next, name) {header, NAUTH_OK, next, name}
#define FOREIGN(url, name) {SELF ", <" url ">; rel=\"next\"", NAUTH_ERROR_INCOMPLETE, "", name}
#define NOT_LINKS(header, name) {header, NAUTH_ERROR_UNREADABLE, "", name}

static const LinkCase link_cases[] = {
	GOOD(SELF, "", "the end"),
	GOOD(SELF ", " NEXT, "after=a1&limit=3", "both links"),
	GOOD(NEXT ", " SELF, "after=a1&limit=3", "the other way round"),
	GOOD(NEXT "," SELF, "after=a1&limit=3", "without a blank"),
	GOOD(" ,\t" NEXT " ,, \t" SELF " , ", "after=a1&limit=3", "with empty elements"),
	GOOD("<" USERS_URL "?x=1>;rel=self,<" USERS_URL "?after=b>;rel=next", "after=b", "without quotes"),
	GOOD("<" USERS_URL "?x=1>  ;  rel = \"self\" , <" USERS_URL "?after=b> ; REL = \"NEXT\"", "after=b", "blanks and case"),
	GOOD("<" USERS_URL "?x=1>; rel=\"self first\", <" USERS_URL "?after=b>; title=\"a, b; rel=\\\"x\\\" <c>\"; rel=\"chapter next\"; type=a/b",
		 "after=b", "several relations, and other parameters"),
	GOOD(SELF ", <https://elsewhere.example.com/x>; rel=\"describedby\"", "", "a link that is not ours to follow"),
	GOOD(SELF ", <" USERS_URL "?after=a,b;c&x='(1)'>; rel=\"next\"", "after=a,b;c&x='(1)'", "a list's and a link's own characters"),
	GOOD(SELF ", <" USERS_URL "?after=%22a+b%22&filter=c!$*:@/?-._~[0]>; rel=\"next\"", "after=%22a+b%22&filter=c!$*:@/?-._~[0]",
		 "all characters of a query"),
	GOOD(SELF ", <HTTPS://AUTH.Example.COM/api/v1/users?after=b>; rel=\"next\"", "after=b", "scheme and host in another case"),
	GOOD(SELF ", <" USERS_URL "?after=b>; foo; rel=\"next\"", "after=b", "a parameter without a value"),

	FOREIGN("https://elsewhere.example.com/api/v1/users?after=b", "another host"),
	FOREIGN("https://auth.example.com.evil.com/api/v1/users?after=b", "a longer host"),
	FOREIGN("https://auth.example.com@evil.com/api/v1/users?after=b", "ours as a user"),
	FOREIGN("https://auth.example.com:x@evil.com/api/v1/users?after=b", "and with a password"),
	FOREIGN("https://x@auth.example.com/api/v1/users?after=b", "a user at ours"),
	FOREIGN("https://auth.example.com:8443/api/v1/users?after=b", "another port"),
	FOREIGN("http://auth.example.com/api/v1/users?after=b", "another scheme"),
	FOREIGN("//auth.example.com/api/v1/users?after=b", "none"),
	FOREIGN("/api/v1/users?after=b", "no host"),
	FOREIGN("?after=b", "no path"),
	FOREIGN("", "nothing"),
	FOREIGN(ORIGIN "/api/v1/usersx?after=b", "another path"),
	FOREIGN(ORIGIN "/api/v1/users/?after=b", "a longer path"),
	FOREIGN(ORIGIN "/API/v1/users?after=b", "a path in another case"),
	FOREIGN(ORIGIN "//api/v1/users?after=b", "two slashes"),
	FOREIGN(ORIGIN "\\\\api/v1/users?after=b", "a backslash"),
	FOREIGN(ORIGIN "/api/v1/users", "no query"),
	FOREIGN(ORIGIN "/api/v1/users?", "an empty query"),
	FOREIGN(ORIGIN "/api/v1/users#?after=b", "a fragment"),
	FOREIGN(" " ORIGIN "/api/v1/users?after=b", "a blank before it"),
	FOREIGN(ORIGIN "/api/v1/users?after=b#c", "a fragment behind it"),
	FOREIGN(ORIGIN "/api/v1/users?after=b c", "a blank"),
	FOREIGN(ORIGIN "/api/v1/users?after=b\tc", "a tabulator"),
	FOREIGN(ORIGIN "/api/v1/users?after=b\x01", "a control character"),
	FOREIGN(ORIGIN "/api/v1/users?after=b\nX-Header: y", "a line feed"),
	FOREIGN(ORIGIN "/api/v1/users?after=\"b\"", "quotes"),
	FOREIGN(ORIGIN "/api/v1/users?after=b\\c", "a backslash in the query"),
	FOREIGN(ORIGIN "/api/v1/users?after=\xC3\xA9", "other letters"),

	NOT_LINKS(NULL, "no header, or too long a one"),
	NOT_LINKS("", "an empty one"),
	NOT_LINKS(" , ", "an empty list"),
	NOT_LINKS("self", "a word"),
	NOT_LINKS("</style.css>; rel=\"preload\"", "links of somebody else alone"),
	NOT_LINKS(NEXT, "no link to the page itself"),
	NOT_LINKS(SELF ", " NEXT ", " NEXT, "two next pages"),
	NOT_LINKS(SELF ", <" USERS_URL "?after=c>; rel=\"next\", " NEXT, "two other ones"),
	NOT_LINKS(SELF ", " SELF, "the page itself twice"),
	NOT_LINKS(SELF ", " NEXT "; rel=\"next\"", "a relation twice"),
	NOT_LINKS(SELF ", " NEXT "; rel=\"x\"", "two kinds of relation"),
	NOT_LINKS(SELF ", <" USERS_URL "?after=b>; rel=\"next next\"", "twice in one value"),
	NOT_LINKS(SELF ", <" USERS_URL "?after=b>; rel", "a relation without a value"),
	NOT_LINKS(SELF ", <" USERS_URL "?after=b>; rel=", "an empty value"),
	NOT_LINKS(SELF ", <" USERS_URL "?after=b>; rel=\"ne\\xt\"", "an escape in a relation"),
	NOT_LINKS(SELF ", <" USERS_URL "?after=b>; rel=\"next", "a quote that does not end"),
	NOT_LINKS(SELF ", <" USERS_URL "?after=b>; rel=\"next\\", "an escape of nothing"),
	NOT_LINKS(SELF ", <" USERS_URL "?after=b; rel=\"next\"", "a URL that does not end"),
	NOT_LINKS(SELF ", <<" USERS_URL "?after=b>; rel=\"next\"", "a bracket in a URL"),
	NOT_LINKS(SELF ", " USERS_URL "?after=b; rel=\"next\"", "no brackets"),
	NOT_LINKS(SELF ", <" USERS_URL "?after=b> rel=\"next\"", "no semicolon"),
	NOT_LINKS(SELF " " NEXT, "no comma"),
	NOT_LINKS(SELF "\n" NEXT, "a line feed between")
};

static void
test_links(void)
{
	static char longest[NAUTH_REPLY_HEADER];
	int			len;

	unit_settings.page_size = 3;
	for (size_t i = 0; i < sizeof(link_cases) / sizeof(link_cases[0]); i++)
	{
		const LinkCase *test = &link_cases[i];
		bool		read = read_with(test->header, NULL, "okta/page.json");

		ok(read == (test->kind == NAUTH_OK) && unit_error.kind == test->kind, test->name);
		ok(read ? strcmp(unit_page.next, test->next) == 0 && unit_page.last == (test->next[0] == '\0') :
		   !unit_page.last && unit_error.reason != NULL, "and where it goes on");
	}
	ok(!read_with(SELF ", <https://evil.com/api/v1/users?after=b>; rel=\"next\"", NULL, "okta/page.json") &&
	   unit_error.hint != NULL && strstr(unit_error.hint, "%s") != NULL, "another host has a hint");

	for (int query = NAUTH_CURSOR_MAX - 2; query <= NAUTH_CURSOR_MAX + 1; query++)
	{
		len = sprintf(longest, SELF ", <" USERS_URL "?");
		memset(longest + len, 'a', (size_t) query);
		strcpy(longest + len + query, ">; rel=\"next\"");
		ok(read_with(longest, NULL, "okta/page.json") == (query < NAUTH_CURSOR_MAX) &&
		   (query < NAUTH_CURSOR_MAX ? strlen(unit_page.next) == (size_t) query : unit_error.kind == NAUTH_ERROR_INCOMPLETE),
		   "a long link is followed or an error");
	}
}

/* The configured address may have a port, or be written in capitals. */
static void
test_bases(void)
{
	const char *url = unit_settings.url;

	unit_settings.url = "http://127.0.0.1:8080";
	ok(read_with("<http://127.0.0.1:8080/api/v1/users>; rel=\"self\", <http://127.0.0.1:8080/api/v1/users?after=b>; rel=\"next\"",
				 NULL, "okta/page.json") && strcmp(unit_page.next, "after=b") == 0, "an address with a port");
	ok(!read_with("<http://127.0.0.1:8080/api/v1/users>; rel=\"self\", <http://127.0.0.1:80800/api/v1/users?after=b>; rel=\"next\"",
				  NULL, "okta/page.json"), "and a longer port");
	unit_settings.url = "https://AUTH.example.com/Proxy";
	ok(read_with("<x>; rel=self, <https://auth.example.com/Proxy/api/v1/users?after=b>; rel=\"next\"",
				 NULL, "okta/page.json"), "one with a path");
	ok(!read_with("<x>; rel=self, <https://auth.example.com/proxy/api/v1/users?after=b>; rel=\"next\"",
				  NULL, "okta/page.json"), "whose case matters");
	ok(!read_with("<x>; rel=self, <https://auth.example.com/api/v1/users?after=b>; rel=\"next\"",
				  NULL, "okta/page.json"), "and which may not be left");
	unit_settings.url = url;
}

/* ---- Deprovisioned users */

typedef struct StateCase
{
	const char *json;
	bool		deleted;		/* with the option */
	NauthFlaw	flaw;			/* with the option */
	const char *name;
} StateCase;

#define USER(status, changed) \
	"{\"id\":\"00u1ada0lovelace0001\",\"status\":" status ",\"statusChanged\":" changed ",\"lastUpdated\":\"2026-03-01T07:00:00.000Z\"}"

static const StateCase state_cases[] = {
	{USER("\"DEPROVISIONED\"", "\"2026-03-01T07:00:00.000Z\""), true, NAUTH_FLAW_NONE, "deprovisioned"},
	{USER("\"ACTIVE\"", "\"2026-03-01T07:00:00.000Z\""), false, NAUTH_FLAW_NONE, "active"},
	{USER("\"SUSPENDED\"", "\"2026-03-01T07:00:00.000Z\""), false, NAUTH_FLAW_NONE, "suspended"},
	{USER("\"deprovisioned\"", "\"2026-03-01T07:00:00.000Z\""), false, NAUTH_FLAW_NONE, "another case"},
	{USER("\"DEPROVISIONED\"", "null"), true, NAUTH_FLAW_NONE, "deprovisioned, nobody knows when"},
	{USER("\"DEPROVISIONED\"", "\"yesterday\""), false, NAUTH_FLAW_DELETION, "at no time"},
	{USER("null", "\"2026-03-01T07:00:00.000Z\""), false, NAUTH_FLAW_NONE, "no status"},
	{USER("[\"DEPROVISIONED\"]", "\"2026-03-01T07:00:00.000Z\""), false, NAUTH_FLAW_NONE, "a list of them"}
};

static void
test_states(void)
{
	for (size_t i = 0; i < sizeof(state_cases) / sizeof(state_cases[0]); i++)
		for (int option = 0; option <= 1; option++)
		{
			const StateCase *test = &state_cases[i];
			NauthSpan	json = unit_copy_text(test->json);
			NauthUser	user;

			unit_settings.deprovisioned_deleted = option == 1;
			ok(nauth_read_object(OKTA, &unit_settings, json, &user) &&
			   user.has_deleted_at == (test->deleted && option == 1) &&
			   user.flaw == (option == 1 ? test->flaw : NAUTH_FLAW_NONE), test->name);
			if (user.has_deleted_at)
				is_int(user.deleted_at, INT64_C(1772348400000000), "and when");
			unit_free(json);
		}
	unit_settings.deprovisioned_deleted = false;
	ok(read_with(SELF, NULL, "okta/page.json") && !unit_users[2].has_deleted_at, "deprovisioned is not deleted");
	unit_settings.deprovisioned_deleted = true;
	ok(read_with(SELF, NULL, "okta/page.json") && unit_users[2].has_deleted_at &&
	   !unit_users[0].has_deleted_at && !unit_users[1].has_deleted_at, "but with the option it is");
	unit_settings.deprovisioned_deleted = false;
}

/* ---- Whole listings */

/* What goes wrong with the links of a page. */
typedef enum Mishap
{
	MISHAP_NONE,
	MISHAP_NO_HEADER,
	MISHAP_NO_LINKS,			/* a proxy's are there */
	MISHAP_FOREIGN,
	MISHAP_CUT,
	MISHAPS
} Mishap;

static Mishap mishap;			/* of the next page */

static const char *
mishap_header(char *header)
{
	char	   *next = strstr(header, "<" USERS_URL "?after=");

	switch (mishap)
	{
		case MISHAP_NO_HEADER:
			return NULL;
		case MISHAP_NO_LINKS:
			return "</style.css>; rel=\"preload\"";
		case MISHAP_FOREIGN:
			if (next)
				memcpy(next, "<https://evil", strlen("<https://evil"));
			return header;
		case MISHAP_CUT:
			if (next)
				next[strlen("<" USERS_URL)] = '\0';
			return header;
		default:
			return header;
	}
}

/* The first users behind whoever the request names, who may be gone. */
static NauthSpan
answer(void)
{
	static char body[DIRECTORY_MAX * 90];
	static char header[1024];
	const char *after = strstr(unit_request.url, "after=");
	int			limit = directory_asked("limit=");
	int			start = 0;
	int			end;
	int			len = sprintf(body, "[");
	char		next[256] = "";

	while (after != NULL && start < directory_size && directory[start].number <= directory_asked("after="))
		start++;
	end = start + limit < directory_size ? start + limit : directory_size;
	for (int i = start; i < end; i++)
		len += sprintf(body + len, "%s{\"id\":\"00u%017d\",\"lastUpdated\":\"2026-02-01T08:30:00.000Z\"}",
					   i > start ? "," : "", directory[i].number);
	len += sprintf(body + len, "]");
	if (end < directory_size)
		sprintf(next, "<" USERS_URL "?after=%d&limit=%d&filter=x%%20gt%%20%%22y%%22>; rel=\"next\"",
				directory[end - 1].number, limit);
	if (requests % 2 == 0)
		sprintf(header, SELF "%s%s", next[0] ? ", " : "", next);
	else
		sprintf(header, "%s%s" SELF, next, next[0] ? ", " : "");
	unit_header = mishap_header(header);
	mishap = MISHAP_NONE;
	return unit_copy(body, (size_t) len);
}

static const Server server = {OKTA, NAUTH_QUERY_LIST, "00u%d", answer};

/* So many users are gone from the beginning on, and this happens to the next page. */
static void
trouble(int what, int gone)
{
	directory_delete(0, gone);
	mishap = (Mishap) what;
}

static void
test_listings(void)
{
	int			wrong = 0;

	for (int size = 0; size <= 40; size++)
		for (int page_size = 1; page_size <= 12; page_size++)
		{
			directory_fill(size);
			wrong += directory_list(&server, page_size, NULL) != NAUTH_OK || directory_wrong(size) > 0;
		}
	is_int(wrong, 0, "directories of many sizes in pages of many sizes");

	for (int what = MISHAP_NONE; what < MISHAPS; what++)
		for (int after = 0; after < 12; after++)
			for (int gone = 0; gone <= 48; gone++)
			{
				Change		change = {after, trouble, what, gone};
				NauthErrorKind kind;

				directory_fill(300);
				for (int i = 295; i >= 0; i -= 5)
					directory_delete(i, 1);
				kind = directory_list(&server, 25, &change);

				/* without its links a page is none */
				tally_add(kind == NAUTH_ERROR_UNREADABLE ? NAUTH_ERROR_INCOMPLETE : kind, directory_wrong(300));
			}
	tally_check(600, "a listing that says it is complete has lost nobody");
}

/* ---- Single users, errors, damage */

static void
test_single(void)
{
	NauthUser	user;

	ok(unit_read_user(OKTA, "00u1ada0lovelace0001", "okta/user.json", &user), "a user");
	ok(user.has_updated_at && user.flaw == NAUTH_FLAW_NONE, "its time");
	ok(!unit_read_user(OKTA, "ada@example.com", "okta/user.json", &user), "the user of a login is another one");
	ok(!unit_read_user(OKTA, "me", "okta/user.json", &user), "so is one's own");
	ok(unit_is_not_found(OKTA, 404, "okta/not_found.json"), "not found");
	is_text(unit_error.code, "E0000007", "its code");
	ok(!unit_is_not_found(OKTA, 404, "okta/error_404_path.json"), "no such path is not that");
	is_text(unit_error.code, "E0000008", "that code");
	ok(unit_error.hint != NULL, "and what mends it");
	ok(!unit_is_not_found(OKTA, 403, "okta/error_403.json"), "nor is no right to");
	ok(!unit_is_not_found(OKTA, 400, "okta/not_found.json"), "nor the code with another status");
	ok(!unit_is_not_found(OKTA, 401, "okta/error_401.json"), "nor a wrong token");
	is_text(unit_error.code, "E0000011", "that code");
	ok(!unit_is_not_found(OKTA, 400, "okta/error_400.json") && !unit_is_not_found(OKTA, 429, "okta/error_429.json"),
	   "nor anything else");
	unit_check_failures(OKTA, "{\"errorCode\":\"%s\",\"errorSummary\":\"x\",\"errorLink\":\"y\",\"errorId\":\"%s\",\"errorCauses\":[]}");
	for (const NauthKnownCode *code = OKTA->known_codes; code[1].code != NULL; code++)
		ok(strcmp(code[0].code, code[1].code) < 0, "known codes are in order");
}

/* Pages that are damaged, and then headers of one that is not. */
static void
test_damaged(void)
{
	NauthSpan	whole = {SELF ", " NEXT, strlen(SELF ", " NEXT)};
	NauthSpan	page = unit_fixture("okta/page.json");
	int			wrong = 0;

	unit_settings.page_size = 3;
	unit_header = whole.data;
	unit_check_damaged(OKTA, NAUTH_QUERY_LIST, "okta/page.json", NULL);
	for (int i = 0; i < 6000; i++)
	{
		NauthSpan	damaged = unit_damage(whole);
		char	   *header = unit_allocate(damaged.len + 1);

		memcpy(header, damaged.data, damaged.len);
		header[damaged.len] = '\0';
		unit_header = header;
		wrong += !unit_is_sound(OKTA, page, unit_read(OKTA, NULL, page));
		free(header);
		unit_free(damaged);
	}
	is_int(wrong, 0, "no damaged header is read as something that it is not");
	unit_free(page);
}

int
main(void)
{
	test_requests();
	test_credentials();
	test_since();
	test_narrowed();
	test_ids();
	test_pages();
	test_links();
	test_bases();
	test_states();
	test_listings();
	test_single();
	test_damaged();
	unit_settings.page_size = 3;
	unit_header = SELF;
	unit_check_cut(OKTA, NAUTH_QUERY_LIST, "okta/page.json");
	unit_check_bodies(OKTA);
	unit_check_hostile_rfc3339(OKTA, "okta/hostile.json", NULL, 0);
	return done_testing();
}
