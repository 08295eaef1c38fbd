/*-------------------------------------------------------------------------
 *
 * stack_test.c
 *	  Unit tests of the provider "stack".
 *
 * Most of them page through a directory whose users are deleted between two
 * pages, among them those whose ids are the cursors, with servers of both kinds: a
 * listing that says it is complete has all who were there all the time, and
 * nobody twice.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"
#include "provider/asking.h"

#define STACK		(&nauth_provider_stack)

#define ID(n)		"6f1c0a2e-0000-4000-8000-00000000000" n
#define USERS		"https://auth.example.com/api/v1/users"
#define ORDERED		"&order_by=signed_up_at&desc=false&include_anonymous=true"

static const UserCase hostile_times[] = {
	{"time_absent", NAUTH_FLAW_NONE, false},
	{"time_null", NAUTH_FLAW_NONE, false},
	{"time_twice", NAUTH_FLAW_DUPLICATE, false},
	{"time_text", NAUTH_FLAW_NONE, false},
	{"time_real", NAUTH_FLAW_NONE, false},
	{"time_max", NAUTH_FLAW_NONE, false},
	{"time_beyond", NAUTH_FLAW_NONE, false},
	{"updated", NAUTH_FLAW_NONE, false},
	{"6F1C0A2E-0000-4000-8000-00000000000A", NAUTH_FLAW_NONE, false}
};

/* What a cursor names: the last user of a page, or the first of the next. */
static bool excluded;

/* Where the user with this id is, or -1. */
static int
directory_find_id(const char *id)
{
	return directory_find((int) strtol(id + 24, NULL, 16));
}

/* The reply that the server would give to the request. */
static NauthSpan
answer(void)
{
	static char body[DIRECTORY_MAX * 80 + 200];
	const char *cursor = strstr(unit_request.url, "&cursor=");
	bool		newest = strstr(unit_request.url, "desc=true") != NULL;
	int			limit = directory_asked("limit=");
	int			place = cursor != NULL ? directory_find_id(cursor + 8) : 0;
	int			end;
	int			len = sprintf(body, "{\"items\":[");

	if (place >= 0 && newest && cursor != NULL)
		place = directory_size - 1 - place;
	if (place < 0)
		place = directory_size; /* the cursor's row is gone */
	else if (cursor != NULL && excluded)
		place++;
	end = place + limit < directory_size ? place + limit : directory_size;
	for (int i = place; i < end; i++)
		len += sprintf(body + len, "%s{\"id\":\"6f1c0a2e-0000-4000-8000-%012x\"}",
					   i > place ? "," : "", (unsigned) directory_at(i, newest)->number);
	len += sprintf(body + len, "],\"is_paginated\":true,\"pagination\":{\"next_cursor\":");
	if (end < directory_size)
		len += sprintf(body + len, "\"6f1c0a2e-0000-4000-8000-%012x\"}}",
					   (unsigned) directory_at(excluded ? end - 1 : end, newest)->number);
	else
		len += sprintf(body + len, "null}}");
	return unit_copy(body, (size_t) len);
}

static const Server server = {STACK, NAUTH_QUERY_LIST, "6f1c0a2e-0000-4000-8000-%x", answer};

static void
test_requests(void)
{
	unit_settings.page_size = 100;
	unit_write(STACK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS "?limit=100" ORDERED, "the first page");
	is_text(unit_request.headers, "X-Stack-Access-Type: server\nX-Stack-Project-Id: project\n"
			"X-Stack-Secret-Server-Key: key", "its headers");
	ok(!unit_request.overflow && unit_request.body[0] == '\0', "fits");
	unit_write(STACK, NAUTH_QUERY_LIST, NULL, ID("a") " " ID("b") " " ID("c"));
	is_text(unit_request.url, USERS "?limit=100&cursor=" ID("a") ORDERED, "a further page");
	unit_write(STACK, NAUTH_QUERY_USER, ID("a"), NULL);
	is_text(unit_request.url, USERS "/" ID("a"), "one user");
	unit_write(STACK, NAUTH_QUERY_USER, "../me?a#b", NULL);
	is_text(unit_request.url, USERS "/..%2Fme%3Fa%23b", "a hostile id");
	unit_write(STACK, NAUTH_QUERY_USER, nauth_request_id, NULL);
	is_text(unit_request.url, USERS "/{id}", "an unknown id");
	ok(!unit_request.overflow, "fits");
	unit_write(STACK, NAUTH_QUERY_USER, "", NULL);
	ok(unit_request.overflow, "an empty id asks for no listing");
}

/* What a query wants alone. */
static void
test_narrowed(void)
{
	unit_settings.page_size = 100;
	unit_query.email = "a+b%_@example.com";
	unit_write(STACK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS "?limit=100" ORDERED "&query=a%2Bb%25_%40example.com", "users by address");
	unit_write(STACK, NAUTH_QUERY_LIST, NULL, ID("a") " " ID("b"));
	is_text(unit_request.url, USERS "?limit=100&cursor=" ID("a") ORDERED "&query=a%2Bb%25_%40example.com",
			"on further pages");
	unit_query.email = nauth_request_email;
	unit_write(STACK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS "?limit=100" ORDERED "&query={email}", "an unknown address");
	unit_query.email = "a\\b@example.com";
	unit_write(STACK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS "?limit=100" ORDERED, "one that would be another pattern");
	unit_query.email = NULL;
	unit_query.order = NAUTH_ORDER_NEWEST;
	unit_query.limit = 7;
	unit_write(STACK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS "?limit=7&order_by=signed_up_at&desc=true&include_anonymous=true", "the newest");
	unit_query.order = NAUTH_ORDER_OLDEST;
	unit_query.limit = 101;
	unit_write(STACK, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, USERS "?limit=100" ORDERED, "the oldest");
	unit_query.order = NAUTH_ORDER_OWN;
	unit_query.limit = 0;
	ok(nauth_ask_id_possible(STACK, ID("a")), "an id a user can have");
	ok(!nauth_ask_id_possible(STACK, "me") && !nauth_ask_id_possible(STACK, "") &&
	   !nauth_ask_id_possible(STACK, "6F1C0A2E-0000-4000-8000-00000000000A") &&
	   !nauth_ask_id_possible(STACK, ID("a") "b") && !nauth_ask_id_possible(STACK, "6f1c"),
	   "and ids nobody has");
}

typedef struct HeaderCase
{
	const char *url;
	const char *prefix;
	const char *family;			/* or NULL: nothing is sent */
} HeaderCase;

static const HeaderCase header_cases[] = {
	{"https://api.stack-auth.com", NULL, "X-Stack"},
	{"https://api.hexclave.com", NULL, "X-Hexclave"},
	{"https://API.HexClave.com:8443/base", NULL, "X-Hexclave"},
	{"https://hexclave.com", NULL, "X-Stack"},
	{"https://.hexclave.com", NULL, "X-Stack"},
	{"https://nothexclave.com", NULL, "X-Stack"},
	{"https://api.hexclave.com.example.com", NULL, "X-Stack"},
	{"https://example.com/api.hexclave.com", NULL, "X-Stack"},
	{"https://example.com?api.hexclave.com", NULL, "X-Stack"},
	{"api.hexclave.com", NULL, "X-Hexclave"},
	{"", NULL, "X-Stack"},
	{"https://api.hexclave.com", "X-Stack", "X-Stack"},
	{"https://api.stack-auth.com", "x-hexclave", "X-Hexclave"},
	{"https://auth.example.com", "X-HEXCLAVE", "X-Hexclave"},
	{"https://auth.example.com", "X-Stack-", NULL},
	{"https://auth.example.com", "Authorization", NULL},
	{"https://auth.example.com", "", NULL}
};

static void
test_headers(void)
{
	const char *url = unit_settings.url;
	char		expected[200];

	for (size_t i = 0; i < sizeof(header_cases) / sizeof(header_cases[0]); i++)
	{
		const HeaderCase *test = &header_cases[i];

		unit_settings.url = test->url;
		unit_settings.more[NAUTH_SETTING_HEADER_PREFIX] = test->prefix;
		unit_write(STACK, NAUTH_QUERY_LIST, NULL, NULL);
		expected[0] = '\0';
		if (test->family != NULL)
			snprintf(expected, sizeof(expected), "%s-Access-Type: server\n%s-Project-Id: project\n%s-Secret-Server-Key: key",
					 test->family, test->family, test->family);
		is_text(unit_request.headers, expected, test->url);
		ok(unit_request.overflow == (test->family == NULL), "and whether it is sent");
	}
	unit_settings.url = url;
	unit_settings.more[NAUTH_SETTING_HEADER_PREFIX] = NULL;
	unit_settings.more[NAUTH_SETTING_PROJECT_ID] = "a\nX-Evil: 1";
	unit_write(STACK, NAUTH_QUERY_LIST, NULL, NULL);
	ok(unit_request.overflow, "an id of a project is no header");
	unit_settings.more[NAUTH_SETTING_PROJECT_ID] = NULL;
	unit_write(STACK, NAUTH_QUERY_LIST, NULL, NULL);
	ok(unit_request.overflow, "none is an error");
	unit_settings.more[NAUTH_SETTING_PROJECT_ID] = "project";
}

static void
test_cursors(void)
{
	static const char *const damaged[] = {
		"", " ", "x", "6f1c", ID("a") " ", ID("a") "  " ID("b"), ID("a") ID("b"), ID("a") " " ID("b") "x",
		" " ID("a"), "6F1C0A2E-0000-4000-8000-00000000000A", ID("g"), "\001" ID("a"),
		ID("0") " " ID("1") " " ID("2") " " ID("3") " " ID("4") " " ID("5") " " ID("6") " " ID("7") " " ID("8") " " ID("9")
	};

	unit_settings.page_size = 3;
	unit_check_cursors(STACK, NAUTH_QUERY_LIST, "stack/page.json", damaged, sizeof(damaged) / sizeof(damaged[0]));
}

/* Read the page behind the one that was read last. */
static bool
read_next(const char *name)
{
	char		cursor[NAUTH_CURSOR_MAX];

	strcpy(cursor, unit_page.next);
	return unit_read_fixture(STACK, cursor, name);
}

static void
test_pages(void)
{
	unit_settings.page_size = 3;
	ok(unit_read_fixture(STACK, NULL, "stack/page.json"), "a page");
	is_int(unit_page.count, 3, "its users");
	ok(!unit_page.last && !unit_page.reread && unit_page.total == -1, "is not the last");
	is_text(unit_page.next, ID("d") " " ID("c") " " ID("b") " " ID("a"), "the next begins with another user");
	is_text(unit_users[0].id, ID("a"), "an id");
	is_int(unit_users[0].created_at, INT64_C(1700000010123000), "a time, and not that of something within");
	ok(!unit_users[0].has_updated_at && unit_users[2].flaw == NAUTH_FLAW_NONE, "there is no other");
	ok(read_next("stack/last_page.json"), "a page that names no next one");
	ok(unit_page.last && unit_page.count == 2, "is the last");

	ok(unit_read_fixture(STACK, NULL, "stack/page_excluded.json"), "a page of the newer servers");
	is_text(unit_page.next, ID("c") " " ID("c") " " ID("b") " " ID("a"), "the next begins behind its last user");
	ok(read_next("stack/last_page.json") && unit_page.last && unit_page.count == 2,
	   "and is the last");

	/*
	 * page_size does not end a listing, and the server may have a cap of its
	 * own
	 */
	unit_settings.page_size = 100;
	ok(unit_read_fixture(STACK, NULL, "stack/page.json") && !unit_page.last, "a page shorter than asked for is no end");
	ok(unit_read_fixture(STACK, NULL, "stack/empty.json") && unit_page.last && unit_page.count == 0,
	   "nobody on the first page is nobody at all");
	unit_settings.page_size = 2;
	ok(!unit_read_fixture(STACK, NULL, "stack/page.json") && unit_error.kind == NAUTH_ERROR_UNREADABLE && !unit_page.last,
	   "more users than asked for are unreadable");
}

/* An empty page behind another one says that it is the last, and is not. */
static void
test_lost_tail(void)
{
	unit_settings.page_size = 3;
	ok(unit_read_fixture(STACK, ID("d") " " ID("c") " " ID("b"), "stack/empty.json"), "an empty page");
	ok(!unit_page.last && unit_page.reread && unit_page.count == 0, "is no end");
	is_text(unit_page.next, ID("c") " " ID("c") " " ID("b"), "the user read last is gone back to");
	ok(read_next("stack/empty.json") && unit_page.reread, "if he is gone, too");
	is_text(unit_page.next, ID("b") " " ID("c") " " ID("b"), "the one before");
	ok(!read_next("stack/empty.json") && unit_error.kind == NAUTH_ERROR_INCOMPLETE &&
	   !unit_page.last, "and if nobody is left the listing has failed");
	ok(unit_read_fixture(STACK, ID("b") " " ID("b") " " ID("a"), "stack/page.json") && !unit_page.reread,
	   "users that were read before");
	ok(unit_page.count == 1 && strcmp(unit_users[0].id, ID("c")) == 0, "are taken off");
	is_text(unit_page.next, ID("d") " " ID("c") " " ID("b") " " ID("a"), "and remembered");
	ok(unit_read_fixture(STACK, ID("a") " " ID("c") " " ID("b") " " ID("a"), "stack/page.json") && unit_page.reread &&
	   unit_page.count == 0, "if that is all of the page, it goes on");
	is_text(unit_page.next, ID("d") " " ID("c") " " ID("b") " " ID("a"), "where the page says");
	ok(unit_read_fixture(STACK, ID("d") " " ID("e") " " ID("d"), "stack/last_page.json") && unit_page.last &&
	   unit_page.count == 0, "or is at the end");
	ok(unit_read_fixture(STACK, ID("9") " " ID("8"), "stack/page.json") && unit_page.reread && unit_page.count == 0,
	   "a page that leaves out whom its cursor names");
	is_text(unit_page.next, ID("8") " " ID("8"), "is read from further back");
	ok(!unit_read_fixture(STACK, ID("d"), "stack/page.json") && unit_error.kind == NAUTH_ERROR_INCOMPLETE,
	   "if there is somebody to go back to");
}

typedef struct PageCase
{
	const char *json;
	NauthErrorKind kind;
	const char *name;
} PageCase;

#define PAGINATED	"\"is_paginated\":true,\"pagination\":"

static const PageCase page_cases[] = {
	{"{\"items\":[]," PAGINATED "{\"next_cursor\":null}}", NAUTH_OK, "nobody"},
	{"{\"pagination\":{\"next_cursor\":null,\"more\":1},\"is_paginated\":true,\"x\":{},\"items\":[]}", NAUTH_OK, "another order, and more members"},
	{"{\"items\":[],\"is_paginated\":true}", NAUTH_ERROR_UNREADABLE, "no pagination"},
	{"{\"items\":[],\"pagination\":{\"next_cursor\":null}}", NAUTH_ERROR_UNREADABLE, "no is_paginated"},
	{"{\"items\":[],\"is_paginated\":false,\"pagination\":{\"next_cursor\":null}}", NAUTH_ERROR_UNREADABLE, "not paginated"},
	{"{\"items\":[],\"is_paginated\":\"true\",\"pagination\":{\"next_cursor\":null}}", NAUTH_ERROR_UNREADABLE, "as text"},
	{"{\"items\":[]," PAGINATED "null}", NAUTH_ERROR_UNREADABLE, "pagination is null"},
	{"{\"items\":[]," PAGINATED "[]}", NAUTH_ERROR_UNREADABLE, "pagination is an array"},
	{"{\"items\":[]," PAGINATED "{}}", NAUTH_ERROR_UNREADABLE, "no next_cursor"},
	{"{\"items\":[]," PAGINATED "{\"next_cursor\":null,\"next_cursor\":null}}", NAUTH_ERROR_UNREADABLE, "two of them"},
	{"{\"items\":[]," PAGINATED "{\"next_cursor\":\"\"}}", NAUTH_ERROR_UNREADABLE, "an empty cursor"},
	{"{\"items\":[]," PAGINATED "{\"next_cursor\":7}}", NAUTH_ERROR_UNREADABLE, "a number"},
	{"{\"items\":[]," PAGINATED "{\"next_cursor\":false}}", NAUTH_ERROR_UNREADABLE, "false"},
	{"{\"items\":[]," PAGINATED "{\"next_cursor\":\"" ID("b") "\"}}", NAUTH_ERROR_UNREADABLE, "nobody, and a next page"},
	{"{\"items\":[{\"id\":\"" ID("a") "\"}]," PAGINATED "{\"next_cursor\":\"" ID("b") "x\"}}", NAUTH_ERROR_UNREADABLE, "a cursor that is no UUID"},
	{"{\"items\":[{\"id\":\"" ID("a") "\"}]," PAGINATED "{\"next_cursor\":\"" IDS_255 IDS_255 IDS_255 IDS_255 IDS_255 "\"}}", NAUTH_ERROR_UNREADABLE, "an absurdly long one"},
	{"{\"items\":null," PAGINATED "{\"next_cursor\":null}}", NAUTH_ERROR_UNREADABLE, "items is null"},
	{"{\"items\":{}," PAGINATED "{\"next_cursor\":null}}", NAUTH_ERROR_UNREADABLE, "items is an object"},
	{"{\"items\":[1]," PAGINATED "{\"next_cursor\":null}}", NAUTH_ERROR_UNREADABLE, "items has a number"},
	{"{" PAGINATED "{\"next_cursor\":null}}", NAUTH_ERROR_UNREADABLE, "no items"},
	{"{\"items\":[],\"items\":[]," PAGINATED "{\"next_cursor\":null}}", NAUTH_ERROR_UNREADABLE, "items twice"},
	{"[{\"id\":\"" ID("a") "\"}]", NAUTH_ERROR_UNREADABLE, "a bare array"},
	{"{\"code\":\"USER_NOT_FOUND\",\"error\":\"User not found.\"}", NAUTH_ERROR_UNREADABLE, "an error with status 200"}
};

static void
test_page_cases(void)
{
	unit_settings.page_size = 2;
	for (size_t i = 0; i < sizeof(page_cases) / sizeof(page_cases[0]); i++)
	{
		const PageCase *test = &page_cases[i];

		unit_check_page(STACK, test->json, test->kind, test->kind == NAUTH_OK, test->name);
	}
}

/* Cursors that lead nowhere, and users who cannot be one. */
static void
test_odd_cursors(void)
{
	NauthSpan	body = unit_copy_text("{\"items\":[{\"id\":\"" ID("b") "\"}]," PAGINATED "{\"next_cursor\":\"" ID("a") "\"}}");

	unit_settings.page_size = 3;
	ok(!unit_read(STACK, ID("a") " " ID("a"), body) && unit_error.kind == NAUTH_ERROR_INCOMPLETE,
	   "the cursor that it was asked with");
	unit_free(body);
	body = unit_copy_text("{\"items\":[{\"id\":\"" ID("a") "\"},{\"id\":\"odd\"},{\"id\":\"" ID("b") "\"}],"
						  PAGINATED "{\"next_cursor\":\"" ID("c") "\"}}");
	ok(unit_read(STACK, ID("a") " " ID("9"), body) && unit_page.count == 3, "a user whose id is no UUID");
	is_text(unit_page.next, ID("c") " " ID("b"), "is not gone back beyond: he would come twice");
	unit_free(body);
	body = unit_copy_text("{\"items\":[{\"id\":\"" ID("a") "\"},{\"id\":\"b\",\"id\":\"c\"}],"
						  PAGINATED "{\"next_cursor\":\"" ID("c") "\"}}");
	ok(unit_read(STACK, NULL, body) && unit_users[1].flaw == NAUTH_FLAW_ID, "one without an id");
	is_text(unit_page.next, ID("c"), "neither");
	unit_free(body);
}

static void
test_quiet(void)
{
	int			bad = 0;

	for (int kind = 0; kind < 4; kind++)
		for (int page_size = 1; page_size <= 12; page_size++)
			for (int size = 0; size <= 40; size++)
			{
				excluded = kind % 2 == 1;
				unit_query.order = kind < 2 ? NAUTH_ORDER_OWN : NAUTH_ORDER_NEWEST;
				directory_fill(size);
				bad += directory_list(&server, page_size, NULL) != NAUTH_OK || rereads > 0 || directory_wrong(size) > 0;
			}
	unit_query.order = NAUTH_ORDER_OWN;
	is_int(bad, 0, "directories of many sizes in pages of many sizes, both ways");
}

typedef struct LostCase
{
	Change		change;
	NauthErrorKind kind[2];		/* where the next user is the cursor, and
								 * where it is the last one */
	int			rereads[2];
	const char *name;
} LostCase;

/* 100 users, pages of 20. */
static const LostCase lost_cases[] = {
	{{1, directory_delete, 50, 5}, {NAUTH_OK, NAUTH_OK}, {0, 0}, "unread users deleted"},
	{{1, directory_delete, 0, 19}, {NAUTH_OK, NAUTH_OK}, {0, 0}, "19 of those that were read"},
	{{1, directory_delete, 19, 1}, {NAUTH_OK, NAUTH_OK}, {0, 1}, "the last one"},
	{{1, directory_delete, 20, 1}, {NAUTH_OK, NAUTH_OK}, {1, 0}, "the next one"},
	{{1, directory_delete, 19, 2}, {NAUTH_OK, NAUTH_OK}, {2, 1}, "both"},
	{{1, directory_delete, 13, 7}, {NAUTH_OK, NAUTH_OK}, {0, 7}, "the last 7"},
	{{1, directory_delete, 12, 8}, {NAUTH_OK, NAUTH_ERROR_INCOMPLETE}, {0, 7}, "all who are remembered"},
	{{1, directory_delete, 13, 8}, {NAUTH_OK, NAUTH_OK}, {8, 7}, "the last 7 and the next one"},
	{{1, directory_delete, 12, 9}, {NAUTH_ERROR_INCOMPLETE, NAUTH_ERROR_INCOMPLETE}, {8, 7}, "all who are remembered and the next one"},
	{{1, directory_delete, 20, 80}, {NAUTH_OK, NAUTH_OK}, {1, 1}, "all unread ones: the end comes with users who were read"},
	{{1, directory_delete, 19, 81}, {NAUTH_OK, NAUTH_OK}, {2, 2}, "and the last one who was"},
	{{1, directory_delete, 0, 100}, {NAUTH_ERROR_INCOMPLETE, NAUTH_ERROR_INCOMPLETE}, {8, 7}, "everybody"},
	{{4, directory_delete, 80, 20}, {NAUTH_OK, NAUTH_OK}, {1, 1}, "the last page"},
	{{4, directory_delete, 79, 1}, {NAUTH_OK, NAUTH_OK}, {0, 1}, "the one before it"},
	{{0, directory_delete, 0, 100}, {NAUTH_OK, NAUTH_OK}, {0, 0}, "everybody before it began"}
};

static void
test_lost(void)
{
	for (size_t i = 0; i < 2 * sizeof(lost_cases) / sizeof(lost_cases[0]); i++)
	{
		const LostCase *test = &lost_cases[i / 2];

		excluded = i % 2 == 1;
		directory_fill(100);
		ok(directory_list(&server, 20, &test->change) == test->kind[i % 2], test->name);
		is_int(rereads, test->rereads[i % 2], excluded ? "asked again, cursors are read users" : "asked again, cursors are unread users");
		if (test->kind[i % 2] == NAUTH_OK)
			is_int(directory_wrong(100), 0, "everybody who is left was seen once, nobody twice");
	}
}

/* Any run of users deleted before any page. */
static void
test_all_deletions(void)
{
	for (int kind = 0; kind < 4; kind++)
		for (int page_size = 1; page_size <= 7; page_size += 2)
			for (int before = 1; before <= 16 / page_size + 1; before++)
				for (int position = 0; position < 16; position++)
					for (int count = 1; count <= 16 - position; count++)
					{
						Change		change = {before, directory_delete, position, count};
						NauthErrorKind end;

						excluded = kind % 2 == 1;
						unit_query.order = kind < 2 ? NAUTH_ORDER_OWN : NAUTH_ORDER_NEWEST;
						directory_fill(16);
						end = directory_list(&server, page_size, &change);
						tally_add(end, directory_wrong(16));
					}
	unit_query.order = NAUTH_ORDER_OWN;
	tally_check(10000, "any run of users deleted before any page: nobody is lost, nobody comes twice");
}

static const Change *second;

static void
change_again(void)
{
	directory_change(second);
}

/* And a second one later, be it while it goes back from the first. */
static void
test_two_deletions(void)
{
	meanwhile = change_again;
	for (int kind = 0; kind < 2; kind++)
		for (int first = 0; first < 12; first++)
			for (int other = 0; other < 12; other++)
				for (int before = 1; before < 6; before++)
					for (int later = 1; later < 5; later++)
						for (int count = 1; count < 4; count++)
						{
							Change		change = {before, directory_delete, first, count};
							Change		again = {before + later, directory_delete, other, 4 - count};
							NauthErrorKind end;

							excluded = kind == 1;
							directory_fill(12);
							second = &again;
							end = directory_list(&server, 3, &change);
							tally_add(end, directory_wrong(12));
						}
	meanwhile = NULL;
	tally_check(12000, "two deletions: nobody is lost, nobody comes twice");
}

static bool changing;			/* between the two kinds of server */

/* Deletions, most of them where the listing is, and servers of the other kind. */
static void
anything(void)
{
	const char *cursor = strstr(unit_request.url, "&cursor=");
	int			place = requests > 1 && cursor != NULL ? directory_find_id(cursor + 8) : unit_below(directory_size + 1);

	if (unit_below(3) == 0)
		directory_delete(place + unit_settings.page_size - unit_below(5), 1 + unit_below(4));
	if (unit_below(4) == 0)
		directory_delete(unit_below(directory_size + 1), 1);
	if (changing && unit_below(3) == 0)
		excluded = !excluded;
}

static void
test_anything(void)
{
	unit_seed = 1;
	meanwhile = anything;
	for (int round = 0; round < 2; round++)
	{
		changing = round == 1;
		for (int i = 0; i < 5000; i++)
		{
			NauthErrorKind end;

			excluded = i % 2 == 1;
			unit_query.order = i % 4 < 2 ? NAUTH_ORDER_OWN : NAUTH_ORDER_NEWEST;
			directory_fill(10 + unit_below(50));
			end = directory_list(&server, 1 + unit_below(8), NULL);
			tally_add(end, directory_wrong(directory_next));
		}
		tally_check(2500, changing ? "servers of both kinds in turn as well" :
					"deletions at random: nobody is lost, nobody comes twice");
	}
	meanwhile = NULL;
	unit_query.order = NAUTH_ORDER_OWN;
	excluded = false;
}

#define STACK_ERROR	"{\"code\":\"%s\",\"details\":{\"id\":\"%s\"},\"error\":\"x\"}"

static void
test_single(void)
{
	NauthUser	user;
	NauthSpan	body = unit_copy_text("only_anonymous=true requires include_anonymous=true");

	ok(unit_read_user(STACK, ID("a"), "stack/user.json", &user), "a user");
	ok(!user.has_updated_at && user.has_created_at && user.flaw == NAUTH_FLAW_NONE, "its times");
	ok(!unit_read_user(STACK, ID("b"), "stack/user.json", &user) && unit_error.kind == NAUTH_ERROR_UNFIT,
	   "another user is an error");
	ok(!unit_read_user(STACK, ID("a"), "stack/not_found.json", &user), "no user at all");

	ok(unit_is_not_found(STACK, 404, "stack/not_found.json"), "not found");
	is_text(unit_error.code, "USER_NOT_FOUND", "its code");
	ok(!unit_is_not_found(STACK, 400, "stack/not_found.json"), "wrong status");
	ok(!unit_is_not_found(STACK, 200, "stack/not_found.json"), "nor one that was overridden");
	ok(!unit_is_not_found(STACK, 404, "stack/error_400.json"), "wrong code");
	is_text(unit_error.code, "SCHEMA_ERROR", "that code");
	ok(!unit_is_not_found(STACK, 404, "stack/empty.json"), "no code");
	ok(!unit_is_not_found(STACK, 401, "stack/error_401.json"), "a wrong key");
	is_text(unit_error.code, "INVALID_SECRET_SERVER_KEY", "its code");
	ok(unit_error.hint != NULL, "and what mends it");
	unit_read_failure(STACK, 400, "", body);
	ok(unit_error.code[0] == '\0' && unit_error.status == 400, "an error that is bare text has no code");
	unit_free(body);
	unit_check_failures(STACK, STACK_ERROR);
	ok(STACK->read_count == NULL && !STACK->counts, "there is no count");
}

static void
test_damaged(void)
{
	unit_settings.page_size = 3;
	unit_check_damaged(STACK, NAUTH_QUERY_LIST, "stack/page.json", NULL);
	unit_check_damaged(STACK, NAUTH_QUERY_LIST, "stack/page.json", ID("a") " " ID("9"));
	unit_check_damaged(STACK, NAUTH_QUERY_LIST, "stack/page.json", ID("c") " " ID("c") " " ID("b"));
}

int
main(void)
{
	unit_settings.more[NAUTH_SETTING_PROJECT_ID] = "project";
	test_requests();
	test_narrowed();
	test_headers();
	test_cursors();
	test_pages();
	test_lost_tail();
	test_page_cases();
	test_odd_cursors();
	test_quiet();
	test_lost();
	test_all_deletions();
	test_two_deletions();
	test_anything();
	test_single();
	test_damaged();
	unit_settings.page_size = 4;
	unit_check_cut(STACK, NAUTH_QUERY_LIST, "stack/page.json");
	unit_check_bodies(STACK);
	unit_check_hostile(STACK, "stack/hostile.json", hostile_times,
					   sizeof(hostile_times) / sizeof(hostile_times[0]));
	return done_testing();
}
