/*-------------------------------------------------------------------------
 *
 * supabase_test.c
 *	  Unit tests of the provider "supabase".
 *
 * Most of them page through a directory that changes between two pages, and that
 * gives users of the same time in another order each time: a user who was there
 * all the time must be seen exactly once, or the listing must say that it is not
 * complete.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"

#include "provider/asking.h"
#include "provider/supabase.h"

#define SUPABASE	(&nauth_provider_supabase)
#define ADA			"3f2504e0-4f89-41d3-9a0c-0305e82c3301"
#define FIRST_TIME	INT64_C(1768478400123456)	/* of the user above */

static const UserCase hostile_deletions[] = {
	{"deleted_null", NAUTH_FLAW_NONE, true},
	{"deleted_text", NAUTH_FLAW_DELETION, true},
	{"deleted_twice", NAUTH_FLAW_DUPLICATE, false}
};

/* ---- A directory that changes */

/* How the directory behaves. */
static bool shuffles;			/* users of the same time */
static int	late_total;			/* counted more than there were users on the
								 * page */
static int	cap;				/* users that a page has at most, or 0 */

static void
shuffle(void)
{
	for (int i = directory_size - 1; i > 0; i--)
	{
		int			first = i;
		int			other;
		Entry		swap = directory[i];

		while (first > 0 && directory[first - 1].time == directory[i].time)
			first--;
		other = first + unit_below(i - first + 1);
		directory[i] = directory[other];
		directory[other] = swap;
	}
}

/* The reply that the server would give to the request. */
static NauthSpan
answer(void)
{
	static char body[DIRECTORY_MAX * 100];
	static char total[16];
	int			page = directory_asked("?page=");
	int			limit = directory_asked("&per_page=");
	bool		descends = strstr(unit_request.url, "sort=created_at%20desc") != NULL;
	int			len = sprintf(body, "{\"users\":[");

	if (shuffles)
		shuffle();
	if (cap > 0 && limit > cap)
		limit = cap;
	for (int i = (page - 1) * limit; i < page * limit && i < directory_size; i++)
	{
		const Entry *entry = directory_at(i, descends);

		len += sprintf(body + len, "%s{\"id\":\"u%d\",\"created_at\":\"2026-01-15T12:%02d:%02d.%06d%s\"}",
					   i > (page - 1) * limit ? "," : "", entry->number,
					   30 + entry->time / 60000000, 0, 500000 + entry->time, entry->state == TIMELESS ? "" : "Z");
	}
	len += sprintf(body + len, "],\"aud\":\"authenticated\"}");
	snprintf(total, sizeof(total), "%d", directory_size + late_total);
	unit_header = total;
	return unit_copy(body, (size_t) len);
}

static const Server server = {SUPABASE, NAUTH_QUERY_LIST, "u%d", answer};

/* ---- Requests */

static void
test_requests(void)
{
	unit_settings.page_size = 500;
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/admin/users"
			"?page=1&per_page=500&sort=created_at%20asc", "the first page");
	is_text(unit_request.headers, "Authorization: Bearer key\napikey: key", "its headers");
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, "500 10 1768478400123456");
	is_text(unit_request.url, "https://auth.example.com/admin/users"
			"?page=2&per_page=490&sort=created_at%20asc", "the second begins ten users before its first unread one");
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, "980 10 1768478400123456");
	is_text(unit_request.url, "https://auth.example.com/admin/users"
			"?page=3&per_page=485&sort=created_at%20asc", "so does the third");
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, "500 10 1768478400123456 " ADA);
	is_text(unit_request.url, "https://auth.example.com/admin/users"
			"?page=2&per_page=490&sort=created_at%20asc", "one in the middle of users of one time");
	ok(!unit_request.overflow, "fits");
	unit_write(SUPABASE, NAUTH_QUERY_COUNT, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/admin/users?page=1&per_page=1", "the count");
	unit_write(SUPABASE, NAUTH_QUERY_USER, ADA, NULL);
	is_text(unit_request.url, "https://auth.example.com/admin/users/" ADA, "one user");
	unit_write(SUPABASE, NAUTH_QUERY_USER, "../x?a#b", NULL);
	is_text(unit_request.url, "https://auth.example.com/admin/users/..%2Fx%3Fa%23b", "a hostile id");
	unit_write(SUPABASE, NAUTH_QUERY_USER, nauth_request_id, NULL);
	is_text(unit_request.url, "https://auth.example.com/admin/users/{id}", "an unknown id");
	unit_write(SUPABASE, NAUTH_QUERY_USER, "", NULL);
	ok(unit_request.overflow, "an empty id asks for no listing");
	unit_settings.more[NAUTH_SETTING_AUDIENCE] = "tenant a";
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.headers, "Authorization: Bearer key\napikey: key\nX-JWT-AUD: tenant a", "an audience");
	unit_settings.more[NAUTH_SETTING_AUDIENCE] = "a\nb";
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, NULL);
	ok(unit_request.overflow, "which is no way to another header");
	unit_settings.more[NAUTH_SETTING_AUDIENCE] = NULL;
}

/* What a query wants alone. */
static void
test_narrowed(void)
{
	unit_settings.page_size = 500;
	unit_query.email = "Ada+%_@example.com";
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/admin/users"
			"?page=1&per_page=500&sort=created_at%20asc&filter=Ada%2B%25_%40example.com", "users by address");
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, "500 10 1768478400123456");
	is_text(unit_request.url, "https://auth.example.com/admin/users"
			"?page=2&per_page=490&sort=created_at%20asc&filter=Ada%2B%25_%40example.com", "on further pages, too");
	unit_query.email = "a\\b@example.com";
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/admin/users"
			"?page=1&per_page=500&sort=created_at%20asc", "an address with a backslash is sought in all");
	unit_query.email = nauth_request_email;
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/admin/users"
			"?page=1&per_page=500&sort=created_at%20asc&filter={email}", "an unknown address");
	unit_query.email = NULL;
	unit_query.order = NAUTH_ORDER_NEWEST;
	unit_query.limit = 20;
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/admin/users"
			"?page=1&per_page=20&sort=created_at%20desc", "the newest");
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, "20 2 -1768478400123456");
	is_text(unit_request.url, "https://auth.example.com/admin/users"
			"?page=2&per_page=18&sort=created_at%20desc", "and who comes then");
	unit_query.order = NAUTH_ORDER_OLDEST;
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, NULL);
	is_text(unit_request.url, "https://auth.example.com/admin/users"
			"?page=1&per_page=20&sort=created_at%20asc", "the oldest");
	unit_query.order = NAUTH_ORDER_OWN;
	unit_query.limit = 0;
	ok(nauth_ask_id_possible(SUPABASE, ADA), "an id is a UUID");
	ok(!nauth_ask_id_possible(SUPABASE, "3F2504E0-4F89-41D3-9A0C-0305E82C3301") &&
	   !nauth_ask_id_possible(SUPABASE, "3f2504e04f8941d39a0c0305e82c3301") &&
	   !nauth_ask_id_possible(SUPABASE, "user_a") && !nauth_ask_id_possible(SUPABASE, ADA "0"),
	   "nothing else is");
}

/* Every page overlaps with what was read, and has somebody who was not. */
static void
test_places(void)
{
	static const int sizes[] = {20, 21, 25, 50, 99, 100, 250, 500, 1000};
	int			bad = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
	{
		int			size = sizes[i];
		int			overlap = size < 100 ? (size + 9) / 10 : 10;

		for (int64_t unread = 1; unread < 1000000; unread += 1 + unread % 97)
		{
			NauthSupabasePlace place;
			char		cursor[64];
			int64_t		begin;

			sprintf(cursor, "%" PRId64 " %d 0", unread, overlap);
			bad += !nauth_supabase_aim(cursor, size, &place);
			begin = (place.page - 1) * place.per_page;
			bad += begin > (unread > overlap ? unread - overlap : 0) || begin + place.per_page <= unread ||
				place.per_page > size;
		}
	}
	is_int(bad, 0, "pages of many sizes after many users");
}

static void
test_cursors(void)
{
	static const char *const damaged[] = {
		"", "x", "500", "500 ", "500 10", "500 10 ", "500 10 x", "500 10 1 ", "500 10 --1", "500 10 +1",
		"500 10 1x", "0 10 1", "500 0 1", "-1 10 1", "500  10 1", " 500 10 1",
		"99999999999999999999 10 1", "500 99999999999999999999 1", "500 10 99999999999999999999",
		"500 10 1 " IDS_255 "i"
	};

	unit_check_cursors(SUPABASE, NAUTH_QUERY_LIST, "supabase/page.json", damaged, sizeof(damaged) / sizeof(damaged[0]));
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, "500 10 1 " IDS_255);
	ok(!unit_request.overflow, "the longest id");
}

/* ---- Pages */

static void
test_pages(void)
{
	unit_settings.page_size = 4;
	unit_header = "5";
	ok(unit_read_fixture(SUPABASE, NULL, "supabase/page.json"), "a page");
	ok(!unit_page.last && unit_page.count == 3 && unit_page.total == 5,
	   "is not the last, and its last user is left to the next");
	is_text(unit_page.next, "3 1 1768478402000001", "which goes on after the time of the one before");
	is_text(unit_users[0].id, ADA, "a user");
	is_int(unit_users[0].created_at, FIRST_TIME, "a time of creation");
	is_int(unit_users[0].updated_at, INT64_C(1769934600456789), "a time of change, to the microsecond");
	ok(!unit_users[0].has_deleted_at && !unit_users[2].has_deleted_at, "who is there or banned is not deleted");
	unit_settings.page_size = 3;
	ok(unit_read_fixture(SUPABASE, "4 1 1768478402000001", "supabase/last_page.json"), "the next page");
	is_text(unit_page.next, "4 2 1768478402000001", "shows nobody who was read: it is read from further back");
	ok(unit_page.reread && unit_page.count == 0 && !unit_page.last, "and not used");
	unit_settings.page_size = 3;
	ok(unit_read_fixture(SUPABASE, "4 1 1768478403000000", "supabase/last_page.json"), "or it does");
	ok(unit_page.last && unit_page.count == 1, "and has one new user and is the last");
	ok(unit_users[0].has_deleted_at && unit_users[0].deleted_at == INT64_C(1770112800745000),
	   "who was deleted softly");
	unit_settings.page_size = 4;
	unit_header = "4";
	ok(unit_read_fixture(SUPABASE, NULL, "supabase/page.json") && !unit_page.last && unit_page.count == 3,
	   "a full page is not the last, although the total ends there: others may have been deleted before it was counted");
	unit_settings.page_size = 5;
	ok(unit_read_fixture(SUPABASE, NULL, "supabase/page.json") && unit_page.last && unit_page.count == 4,
	   "one with fewer users is");
	unit_header = "0";
	ok(unit_read_fixture(SUPABASE, NULL, "supabase/empty.json"), "nobody");
	ok(unit_page.last && unit_page.count == 0 && unit_page.total == 0, "is the end");
	unit_settings.more[NAUTH_SETTING_AUDIENCE] = "authenticated";
	ok(unit_read_fixture(SUPABASE, NULL, "supabase/empty.json"), "of this audience");
	unit_settings.more[NAUTH_SETTING_AUDIENCE] = "tenant";
	ok(!unit_read_fixture(SUPABASE, NULL, "supabase/empty.json") &&
	   unit_error.kind == NAUTH_ERROR_UNREADABLE, "not of that");
	unit_settings.more[NAUTH_SETTING_AUDIENCE] = NULL;
}

static void
test_totals(void)
{
	static const char *const totals[] = {NULL, "", "x", "-1", "5, 5", "5 ", " 5", "5.0", "9223372036854775808"};

	unit_settings.page_size = 500;
	for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++)
	{
		unit_header = totals[i];
		ok(!unit_read_fixture(SUPABASE, NULL, "supabase/empty.json") &&
		   unit_error.kind == NAUTH_ERROR_UNREADABLE && !unit_page.last, "no total, no page");
		is_int(unit_read_count_body(SUPABASE, unit_fixture("supabase/count.json")), -1, "nor a count");
	}
}

typedef struct PageCase
{
	const char *json;
	const char *total;
	NauthErrorKind kind;
	bool		last;
	const char *name;
} PageCase;

#define A	"{\"id\":\"a\",\"created_at\":\"2026-01-15T12:00:00Z\"}"
#define B	"{\"id\":\"b\",\"created_at\":\"2026-01-15T12:00:01Z\"}"
#define C	"{\"id\":\"c\",\"created_at\":\"2026-01-15T12:00:01Z\"}"

static const PageCase page_cases[] = {
	{"{\"users\":[" A "," B "]}", "3", NAUTH_OK, false, "a page before the end, of fewer users"},
	{"{\"users\":[]}", "2", NAUTH_ERROR_INCOMPLETE, false, "an empty page before the end"},
	{"{\"users\":[" A "," B "," A "," B "]}", "4", NAUTH_ERROR_UNREADABLE, false, "a page that is too long"},
	{"{\"users\":[" B "," A "]}", "2", NAUTH_ERROR_UNREADABLE, false, "another order"},
	{"{\"users\":[{},{},{}]}", "9", NAUTH_ERROR_UNREADABLE, false, "nobody to continue from"},
	{"{\"users\":[{},{}]}", "2", NAUTH_OK, true, "unless that is the end"},
	{"{\"users\":[" A "," B "]}", "1", NAUTH_OK, true, "fewer counted than there were"},
	{"{\"users\":[" A "," B "," C "]}", "2", NAUTH_OK, false, "but not where there may be more"},
	{"{\"users\":null}", "0", NAUTH_ERROR_UNREADABLE, false, "no users"},
	{"{\"users\":{}}", "0", NAUTH_ERROR_UNREADABLE, false, "users that are no list"},
	{"{\"aud\":\"x\"}", "0", NAUTH_ERROR_UNREADABLE, false, "no member users"},
	{"{\"users\":[],\"users\":[]}", "0", NAUTH_ERROR_UNREADABLE, false, "users twice"},
	{"[]", "0", NAUTH_ERROR_UNREADABLE, false, "a bare list"},
};

static void
test_page_cases(void)
{
	unit_settings.page_size = 3;
	for (size_t i = 0; i < sizeof(page_cases) / sizeof(page_cases[0]); i++)
	{
		const PageCase *test = &page_cases[i];

		unit_header = test->total;
		unit_check_page(SUPABASE, test->json, test->kind, test->last, test->name);
	}
}

/* What users write into their own metadata keeps nobody from reading on. */
static void
test_poison(void)
{
	char		json[4096];
	char		deep[200];
	NauthSpan	body;

	memset(deep, '[', 90);
	memset(deep + 90, ']', 90);
	deep[180] = '\0';
	snprintf(json, sizeof(json), "{\"users\":[" A ",{\"id\":\"d\",\"user_metadata\":{\"x\":%s},\"created_at\":\"2026-01-15T12:00:00.5Z\"},"
			 "{\"id\":\"e\",\"user_metadata\":{\"x\":1e999},\"created_at\":\"2026-01-15T12:00:00.6Z\"}," B "]}", deep);
	body = unit_copy_text(json);
	unit_settings.page_size = 4;
	unit_header = "9";
	ok(unit_read(SUPABASE, NULL, body) && unit_page.count == 3, "users that cannot be stored are passed on");
	ok(unit_users[1].flaw == NAUTH_FLAW_DEEP && unit_users[2].flaw == NAUTH_FLAW_NUMBER, "with their flaws");
	is_text(unit_page.next, "3 1 1768478400600000", "and with the times to go on from");
	unit_free(body);
}

/* ---- Listings */

/* A quiet directory is listed without detours, whatever order users of a time have. */
static void
test_quiet(void)
{
	int			failed = 0;

	shuffles = true;
	for (int page_size = 20; page_size <= 120; page_size += 1 + page_size / 5)
		for (int size = 0; size <= 330; size += 1 + size / 12)
			for (int together = 1; together <= page_size / 3; together += 1 + together / 2)
			{
				directory_fill_together(size, together);
				failed += directory_list(&server, page_size, NULL) != NAUTH_OK || rereads > 0 || directory_wrong(size) > 0;
			}
	is_int(failed, 0, "directories of many sizes in pages of many sizes");
	unit_query.order = NAUTH_ORDER_NEWEST;
	for (int size = 0; size <= 330; size += 1 + size / 30)
	{
		directory_fill_together(size, 3);
		failed += directory_list(&server, 30, NULL) != NAUTH_OK || rereads > 0 || directory_wrong(size) > 0;
	}
	is_int(failed, 0, "and the other way round");
	unit_query.order = NAUTH_ORDER_OWN;
	directory_fill(100);
	ok(directory_list(&server, 4, NULL) == NAUTH_ERROR_INCOMPLETE && unit_error.reason != NULL, "pages that are too small to overlap");
	directory_fill(1300);
	ok(directory_list(&server, 500, NULL) == NAUTH_OK && requests == 3 && directory_wrong(1300) == 0, "1300 users in pages of 500 are three");
	shuffles = false;
}

/*
 * 400 users, pages of 100.  The first one leaves its last user to the second, which
 * begins at row 89.
 */
static const DriftCase drift_cases[] = {
	{{1, directory_delete, 0, 0}, NAUTH_OK, 0, "nobody deleted"},
	{{1, directory_delete, 0, 1}, NAUTH_OK, 0, "1 deleted"},
	{{1, directory_delete, 0, 9}, NAUTH_OK, 0, "9 deleted: the last one read is the first row"},
	{{1, directory_delete, 0, 10}, NAUTH_OK, 1, "10 deleted: it is not on the page"},
	{{1, directory_delete, 0, 19}, NAUTH_OK, 1, "19 deleted: it is 20 rows back"},
	{{1, directory_delete, 0, 60}, NAUTH_OK, 3, "60 deleted: it is further back"},
	{{1, directory_delete, 0, 99}, NAUTH_OK, 3, "all that was read deleted"},
	{{1, directory_delete, 0, 390}, NAUTH_OK, 3, "and most that was not"},
	{{2, directory_delete, 0, 150}, NAUTH_OK, 3, "150 deleted"},
	{{1, directory_delete, 90, 9}, NAUTH_OK, 0, "the nine last ones read deleted"},
	{{1, directory_delete, 89, 10}, NAUTH_OK, 1, "ten of them"},
	{{1, directory_delete, 98, 5}, NAUTH_OK, 0, "the last one read and four unread ones deleted"},
	{{1, directory_delete, 99, 301}, NAUTH_OK, 0, "all unread ones deleted"},
	{{1, directory_delete, 0, 400}, NAUTH_OK, 3, "everybody deleted"},
	{{4, directory_delete, 50, 8}, NAUTH_OK, 0, "8 deleted before the last page"},
	{{1, directory_insert, 400, 7}, NAUTH_OK, 0, "7 added at the end"},
	{{1, directory_insert, 0, 5}, NAUTH_OK, 0, "5 added in the part that was read"},
	{{1, directory_insert, 50, 200}, NAUTH_OK, 2, "200 added there: pages show what was read"},
	{{1, directory_insert, 99, 30}, NAUTH_OK, 0, "30 added where reading goes on"}
};

static void
test_drift(void)
{
	directory_check_drift(&server, 400, 100, 400, drift_cases,
						  sizeof(drift_cases) / sizeof(drift_cases[0]));
}

/* Any deletion at any time, with users of the same time who change their order. */
static void
test_all_deletions(void)
{
	shuffles = true;
	for (int together = 1; together <= 5; together += 2)
		for (int after = 1; after <= 6; after++)
			for (int position = 0; position < 90; position++)
				for (int count = 1; count <= 90 - position; count += 1 + count / 4)
				{
					Change		change = {after, directory_delete, position, count};
					NauthErrorKind kind;

					directory_fill_together(90, together);
					kind = directory_list(&server, 20, &change);
					tally_add(kind, directory_wrong(90));
				}
	is_int(tally.incomplete, 0, "all listings are complete");
	tally_check(0, "a listing that says it is complete has lost nobody");
	unit_query.order = NAUTH_ORDER_NEWEST;
	for (int after = 1; after <= 6; after++)
		for (int position = 0; position < 90; position++)
		{
			Change		changes[] = {
				{after, directory_delete, position, 1 + (90 - position) / 3}, {after, directory_insert, 90, position}
			};

			for (int i = 0; i < 2; i++)
			{
				NauthErrorKind kind;

				directory_fill_together(90, 2);
				kind = directory_list(&server, 20, &changes[i]);
				tally_add(kind, directory_wrong(90));
			}
		}
	is_int(tally.incomplete, 0, "nor has one that begins with the newest, while others come");
	tally_check(0, "and that is complete");
	unit_query.order = NAUTH_ORDER_OWN;
	shuffles = false;
}

/* Random changes before each page. */
static void
random_change(int position, int count)
{
	(void) position;
	for (int i = 0; i < count && directory_size > 0; i++)
	{
		int			where = unit_below(directory_size);

		if (unit_below(3) == 0)
			directory_insert(unit_below(2) ? directory_size : where, 1 + unit_below(4));
		else
			directory_delete(where, 1 + unit_below(directory_size - where < 30 ? directory_size - where : 30));
	}
}

static void
test_random(void)
{
	shuffles = true;
	unit_seed = 1;
	for (int round = 0; round < 1000; round++)
	{
		Change		change = {1 + round % 9, random_change, 0, 1 + round % 5};
		NauthErrorKind kind;

		directory_fill_together(100 + round % 400, 1 + round % 6);
		kind = directory_list(&server, 20 + round % 61, &change);
		tally_add(kind, directory_wrong(100 + round % 400));
	}
	tally_check(990, "random changes: a listing that says it is complete has lost nobody");
	shuffles = false;
}

/* More users of one time than a page has: as long as their order stays, nothing is lost. */
static void
test_one_time(void)
{
	const Change read = {1, directory_delete, 3, 1};
	const Change unread = {1, directory_delete, 60, 1};
	const Change added = {1, directory_insert, 100, 9};
	int			failed = 0;
	int			complete = 0;

	for (int size = 0; size <= 400; size += 1 + size / 30)
		for (int together = 7; together <= size; together += together / 2)
		{
			directory_fill_together(size, together);
			failed += directory_list(&server, 20 + size % 30, NULL) != NAUTH_OK || directory_wrong(size) > 0;
		}
	is_int(failed, 0, "many users of one time");

	/* one who moves, or is deleted, where reading goes on is noticed */
	directory_fill_together(100, 100);
	ok(directory_list(&server, 20, &read) == NAUTH_ERROR_INCOMPLETE, "one of them deleted");
	ok(unit_error.reason != NULL && strstr(unit_error.reason, "their order changed") != NULL, "is told");
	directory_fill_together(100, 100);
	ok(directory_list(&server, 20, &unread) == NAUTH_OK && directory_wrong(100) == 0, "or one who was not read");
	directory_fill_together(100, 100);
	ok(directory_list(&server, 20, &added) == NAUTH_OK && directory_wrong(100) == 0, "others come");
	shuffles = true;
	for (int round = 0; round < 100; round++)
	{
		directory_fill_together(100, 100);
		complete += directory_list(&server, 20, NULL) == NAUTH_OK;
	}
	is_int(complete, 0, "another order each time is noticed");
	shuffles = false;
}

/* The total is counted a moment after the users are read. */
static void
test_late_total(void)
{
	directory_fill(50);
	late_total = 1;
	ok(directory_list(&server, 100, NULL) == NAUTH_ERROR_INCOMPLETE, "one is counted who never comes");
	is_int(requests, 3, "who was asked for again");
	ok(directory_list(&server, 50, NULL) == NAUTH_ERROR_INCOMPLETE, "also after a full page");
	late_total = -1;
	ok(directory_list(&server, 100, NULL) == NAUTH_OK && requests == 1, "one is not counted any more");
	ok(directory_list(&server, 50, NULL) == NAUTH_OK && requests == 2 && directory_wrong(50) == 0, "nor after a full page");
	directory_fill(105);
	late_total = -5;
	ok(directory_list(&server, 100, NULL) == NAUTH_OK && requests == 2 && directory_wrong(105) == 0,
	   "five, as many as there are behind a full page: it is not the end");
	late_total = 0;

	/* a server that gives fewer than it is asked for */
	for (cap = 10; cap < 100; cap += 7)
	{
		directory_fill(300);
		ok(directory_list(&server, 100, NULL) != NAUTH_OK || directory_wrong(300) == 0, "pages that are cut lose nobody");
	}
	cap = 0;
}

/* One without a time goes with the one before. */
static void
test_timeless(void)
{
	int			failed = 0;

	for (int position = 0; position < 100; position++)
		for (int count = 1; count < 4; count++)
		{
			directory_fill_together(100, 1 + position % 3);
			for (int i = 0; i < count && position + i < 100; i++)
				directory[position + i].state = TIMELESS;
			failed += directory_list(&server, 20, NULL) != NAUTH_OK || directory_wrong(100) > 0;
		}
	is_int(failed, 0, "users without a time hinder nobody");
	directory_fill(100);
	for (int i = 0; i < 100; i++)
		directory[i].state = TIMELESS;
	ok(directory_list(&server, 20, NULL) == NAUTH_ERROR_UNREADABLE, "unless nobody has one");
	ok(directory_list(&server, 101, NULL) == NAUTH_OK && directory_wrong(100) == 0, "and there is more than a page");
}

/* ---- Single users, errors, counts */

static void
test_single(void)
{
	NauthUser	user;

	ok(unit_read_user(SUPABASE, ADA, "supabase/user.json", &user), "a user");
	ok(user.has_updated_at && user.flaw == NAUTH_FLAW_NONE && !user.has_deleted_at, "its time");
	ok(!unit_read_user(SUPABASE, "0b6dfc2a-5d0e-4c38-8a54-6f2a0f5f7c11", "supabase/user.json", &user), "another user");
	ok(unit_read_user(SUPABASE, "e8a3b6d1-1c2f-4a9d-8e70-5b4c3d2e1f44", "supabase/deleted_user.json", &user) &&
	   user.has_deleted_at, "one who was deleted softly");
	ok(unit_is_not_found(SUPABASE, 404, "supabase/not_found.json"), "not found");
	is_text(unit_error.code, "user_not_found", "its code");
	ok(!unit_is_not_found(SUPABASE, 404, "supabase/error_id.json"), "an id that is none");
	is_text(unit_error.code, "validation_failed", "has that code");
	ok(!unit_is_not_found(SUPABASE, 404, "supabase/error_route.json"), "an unknown route");
	ok(!unit_is_not_found(SUPABASE, 404, "supabase/not_found_old.json"), "a version without codes");
	ok(!unit_is_not_found(SUPABASE, 404, "supabase/not_found_2024.json"), "a form that was not asked for");
	ok(!unit_is_not_found(SUPABASE, 403, "supabase/not_found.json"), "a key whose own user is not found");
	ok(!unit_is_not_found(SUPABASE, 200, "supabase/not_found.json"), "a success");
	ok(!unit_is_not_found(SUPABASE, 404, "supabase/user.json"), "a user");
}

static void
test_errors(void)
{
	static const struct FailureCase cases[] = {
		{"supabase/error_401.json", 401, "no_authorization", true},
		{"supabase/error_403.json", 403, "not_admin", true},
		{"supabase/error_jwt.json", 403, "bad_jwt", true},
		{"supabase/error_sort.json", 400, "validation_failed", false},
		{"supabase/error_500.json", 500, "unexpected_failure", true},
		{"supabase/error_gateway.json", 401, "", false},
		{"supabase/not_found_old.json", 404, "", false}
	};

	unit_check_failure_cases(SUPABASE, cases, sizeof(cases) / sizeof(cases[0]));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok(!unit_is_not_found(SUPABASE, cases[i].status, cases[i].fixture), "no missing user");
	ok(!unit_is_not_found(SUPABASE, 500, "supabase/error_500.json"), "a failure");
	is_text(unit_error.request_id, "2f5c7a10-6c0b-4a5e-9b3a-7d1f0e2c4b55", "has the id of its request");
	unit_check_failures(SUPABASE, "{\"code\":403,\"error_code\":\"%s\",\"msg\":\"x\",\"error_id\":\"%s\"}");
}

static void
test_count(void)
{
	unit_header = "251";
	is_int(unit_read_count_body(SUPABASE, unit_fixture("supabase/count.json")), 251, "a count");
	unit_header = "0";
	is_int(unit_read_count_body(SUPABASE, unit_fixture("supabase/empty.json")), 0, "of nobody");
	is_int(unit_read_count(SUPABASE, "{\"users\":{}}"), -1, "no list");
	is_int(unit_read_count(SUPABASE, "{\"aud\":\"authenticated\"}"), -1, "no users");
}

static void
test_damaged(void)
{
	unit_settings.page_size = 20;
	unit_header = "4";
	unit_check_damaged(SUPABASE, NAUTH_QUERY_LIST, "supabase/page.json", NULL);
	unit_check_damaged(SUPABASE, NAUTH_QUERY_LIST, "supabase/page.json", "4 2 1768478401000000");
}

int
main(void)
{
	test_requests();
	test_narrowed();
	test_places();
	test_cursors();
	test_pages();
	test_totals();
	test_page_cases();
	test_poison();
	test_quiet();
	test_drift();
	test_all_deletions();
	test_random();
	test_one_time();
	test_late_total();
	test_timeless();
	test_single();
	test_errors();
	test_count();
	test_damaged();
	unit_header = "4";
	unit_settings.page_size = 4;
	unit_check_cut(SUPABASE, NAUTH_QUERY_LIST, "supabase/page.json");
	unit_check_bodies(SUPABASE);
	unit_header = "38";
	unit_spare = 1;				/* a full page would leave the last one to the
								 * next */
	unit_check_hostile_rfc3339(SUPABASE, "supabase/hostile.json", hostile_deletions,
							   sizeof(hostile_deletions) / sizeof(hostile_deletions[0]));
	return done_testing();
}
