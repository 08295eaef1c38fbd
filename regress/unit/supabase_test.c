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
#include "provider_unit.h"

#include "provider/supabase.h"

#define MAX_USERS	1400
#define MAX_PAGES	400
#define ADA			"3f2504e0-4f89-41d3-9a0c-0305e82c3301"
#define FIRST_TIME	INT64_C(1768478400123456)	/* of the user above */

/*
 * The provider, except that its replies have this X-Total-Count, and that pages
 * have room for so many users more.
 */
static NauthProvider supabase;
static const char *told_total;
static int	more_room;

#define SUPABASE	(&supabase)

static bool
read_page_with_total(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
					 const NauthReply *reply, NauthPage *page, NauthError *error)
{
	NauthReply	told = *reply;
	NauthSettings larger = *settings;

	told.header = told_total;
	larger.page_size += more_room;
	return nauth_provider_supabase.read_page(&larger, query, cursor, &told, page, error);
}

static bool
read_count_with_total(const NauthReply *reply, int64_t *count, NauthError *error)
{
	NauthReply	told = *reply;

	told.header = told_total;
	return nauth_provider_supabase.read_count(&told, count, error);
}

static const UserCase hostile_times[] = {
	{"time_absent", NAUTH_FLAW_NONE, false},
	{"time_null", NAUTH_FLAW_NONE, false},
	{"time_twice", NAUTH_FLAW_DUPLICATE, false},
	{"time_number", NAUTH_FLAW_TIME, false},
	{"time_date", NAUTH_FLAW_TIME, false},
	{"time_february_30", NAUTH_FLAW_TIME, false},
	{"time_no_zone", NAUTH_FLAW_TIME, false},
	{"time_offset", NAUTH_FLAW_NONE, true},
	{"time_year_0", NAUTH_FLAW_TIME, false},
	{"time_long_year", NAUTH_FLAW_TIME, false},
	{"time_nul", NAUTH_FLAW_TIME, false},
	{"deleted_null", NAUTH_FLAW_NONE, true},
	{"deleted_text", NAUTH_FLAW_DELETION, true},
	{"deleted_twice", NAUTH_FLAW_DUPLICATE, false}
};

/* ---- A directory that changes */

typedef struct Entry
{
	int			number;
	int			time;			/* microseconds since some time */
	bool		timeless;		/* what is served as time is none */
} Entry;

static Entry directory[MAX_USERS * 2];
static int	directory_size;
static int	next_number;

/* How the directory behaves. */
static bool shuffles;			/* users of the same time */
static int	late_total;			/* counted more than there were users on the
								 * page */
static int	cap;				/* users that a page has at most, or 0 */
static unsigned chance;

/* How often a listing returned each user, and what the listing came to. */
static int	seen[MAX_USERS * 2];
static int	pages;
static int	rereads;

static int
random_below(int end)
{
	chance = chance * 1103515245 + 12345;
	return (int) ((chance >> 16) % (unsigned) end);
}

/* "together" users have the same time each, all of them if it is that many. */
static void
directory_fill(int size, int together)
{
	for (int i = 0; i < size; i++)
		directory[i] = (Entry)
	{
		.number = i,.time = i / together * 10
	};
	directory_size = next_number = size;
	chance = 1;
}

static void
directory_delete(int position, int count)
{
	memmove(directory + position, directory + position + count,
			(size_t) (directory_size - position - count) * sizeof(Entry));
	directory_size -= count;
}

/* Add users, of the time of whoever is before them. */
static void
directory_insert(int position, int count)
{
	memmove(directory + position + count, directory + position,
			(size_t) (directory_size - position) * sizeof(Entry));
	directory_size += count;
	for (int i = 0; i < count; i++)
		directory[position + i] = (Entry)
	{
		.number = next_number++,
			.time = position > 0 ? directory[position - 1].time : -1
	};
}

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
		other = first + random_below(i - first + 1);
		directory[i] = directory[other];
		directory[other] = swap;
	}
}

/* The reply that the server would give to the request. */
static NauthSpan
directory_answer(void)
{
	static char body[MAX_USERS * 100];
	static char total[16];
	const char *begin = strstr(unit_request.url, "?page=");
	const char *size = strstr(unit_request.url, "&per_page=");
	int			page = begin ? atoi(begin + 6) : 0;
	int			limit = size ? atoi(size + 10) : 0;
	bool		descends = strstr(unit_request.url, "sort=created_at%20desc") != NULL;
	int			len = sprintf(body, "{\"users\":[");

	if (shuffles)
		shuffle();
	if (cap > 0 && limit > cap)
		limit = cap;
	for (int i = (page - 1) * limit; i < page * limit && i < directory_size; i++)
	{
		const Entry *entry = &directory[descends ? directory_size - 1 - i : i];

		len += sprintf(body + len, "%s{\"id\":\"u%d\",\"created_at\":\"2026-01-15T12:%02d:%02d.%06d%s\"}",
					   i > (page - 1) * limit ? "," : "", entry->number,
					   30 + entry->time / 60000000, 0, 500000 + entry->time, entry->timeless ? "" : "Z");
	}
	len += sprintf(body + len, "],\"aud\":\"authenticated\"}");
	snprintf(total, sizeof(total), "%d", directory_size + late_total);
	told_total = total;
	return unit_copy(body, (size_t) len);
}

/* A change of the directory, made after a number of pages. */
typedef struct Change
{
	int			after;
	void		(*change) (int position, int count);
	int			position;
	int			count;
} Change;

/* List the directory; returns how it ended. */
static NauthErrorKind
list(int page_size, const Change *change)
{
	char		cursor[NAUTH_CURSOR_MAX] = "";

	unit_settings.page_size = page_size;
	memset(seen, 0, sizeof(seen));
	rereads = 0;
	for (pages = 0; pages < MAX_PAGES; pages++)
	{
		NauthSpan	body;
		bool		read;

		if (change != NULL && change->after == pages)
			change->change(change->position, change->count);
		unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, pages == 0 ? NULL : cursor);
		body = directory_answer();
		read = !unit_request.overflow && unit_read(SUPABASE, pages == 0 ? NULL : cursor, body);
		unit_free(body);
		if (!read)
			return unit_error.kind;
		rereads += unit_page.reread;
		for (int i = 0; i < unit_page.count; i++)
			seen[atoi(unit_users[i].id + 1)]++;
		if (unit_page.last)
			return NAUTH_OK;
		/* what the core says to no cursor, to the same again, and to nobody */
		if (unit_page.next[0] == '\0' || strcmp(cursor, unit_page.next) == 0 ||
			(unit_page.count == 0 && !unit_page.reread))
			return NAUTH_ERROR_INCOMPLETE;
		strcpy(cursor, unit_page.next);
	}
	return NAUTH_ERROR_TIMEOUT;
}

/* How many of the users who are still there, and always were, were not seen once. */
static int
count_wrong(int first_new)
{
	int			wrong = 0;

	for (int i = 0; i < directory_size; i++)
		wrong += directory[i].number < first_new && seen[directory[i].number] != 1;
	for (int i = 0; i < next_number; i++)
		wrong += seen[i] > 1;
	return wrong;
}

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
	ok(nauth_read_id_possible(SUPABASE, ADA), "an id is a UUID");
	ok(!nauth_read_id_possible(SUPABASE, "3F2504E0-4F89-41D3-9A0C-0305E82C3301") &&
	   !nauth_read_id_possible(SUPABASE, "3f2504e04f8941d39a0c0305e82c3301") &&
	   !nauth_read_id_possible(SUPABASE, "user_a") && !nauth_read_id_possible(SUPABASE, ADA "0"),
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

	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++)
	{
		unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, damaged[i]);
		ok(unit_request.overflow, "a damaged cursor is not asked with");
		ok(!unit_read_fixture(SUPABASE, damaged[i], "supabase/page.json") &&
		   unit_error.kind == NAUTH_ERROR_REQUEST, "nor read with");
	}
	unit_write(SUPABASE, NAUTH_QUERY_LIST, NULL, "500 10 1 " IDS_255);
	ok(!unit_request.overflow, "the longest id");
}

/* ---- Pages */

static void
test_pages(void)
{
	unit_settings.page_size = 4;
	told_total = "5";
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
	told_total = "4";
	ok(unit_read_fixture(SUPABASE, NULL, "supabase/page.json") && !unit_page.last && unit_page.count == 3,
	   "a full page is not the last, although the total ends there: others may have been deleted before it was counted");
	unit_settings.page_size = 5;
	ok(unit_read_fixture(SUPABASE, NULL, "supabase/page.json") && unit_page.last && unit_page.count == 4,
	   "one with fewer users is");
	told_total = "0";
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
		told_total = totals[i];
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
		NauthSpan	body = unit_copy_text(test->json);

		told_total = test->total;
		ok(unit_read(SUPABASE, NULL, body) == (test->kind == NAUTH_OK) &&
		   unit_error.kind == test->kind, test->name);
		ok(unit_page.last == test->last, "and whether it is the end");
		unit_free(body);
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
	told_total = "9";
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
				directory_fill(size, together);
				failed += list(page_size, NULL) != NAUTH_OK || rereads > 0 || count_wrong(size) > 0;
			}
	is_int(failed, 0, "directories of many sizes in pages of many sizes");
	unit_query.order = NAUTH_ORDER_NEWEST;
	for (int size = 0; size <= 330; size += 1 + size / 30)
	{
		directory_fill(size, 3);
		failed += list(30, NULL) != NAUTH_OK || rereads > 0 || count_wrong(size) > 0;
	}
	is_int(failed, 0, "and the other way round");
	unit_query.order = NAUTH_ORDER_OWN;
	directory_fill(100, 1);
	ok(list(4, NULL) == NAUTH_ERROR_INCOMPLETE && unit_error.reason != NULL, "pages that are too small to overlap");
	directory_fill(1300, 1);
	ok(list(500, NULL) == NAUTH_OK && pages == 2 && count_wrong(1300) == 0, "1300 users in pages of 500 are three");
	shuffles = false;
}

typedef struct DriftCase
{
	Change		change;
	NauthErrorKind kind;
	int			rereads;
	const char *name;
} DriftCase;

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
	for (size_t i = 0; i < sizeof(drift_cases) / sizeof(drift_cases[0]); i++)
	{
		const DriftCase *test = &drift_cases[i];

		directory_fill(400, 1);
		ok(list(100, &test->change) == test->kind, test->name);
		is_int(rereads, test->rereads, "so often it went back, or on without anybody");
		if (test->kind == NAUTH_OK)
			is_int(count_wrong(400), 0, "everybody who was there all the time was seen once");
	}
}

/* Any deletion at any time, with users of the same time who change their order. */
static void
test_all_deletions(void)
{
	int			lost = 0;
	int			incomplete = 0;

	shuffles = true;
	for (int together = 1; together <= 5; together += 2)
		for (int after = 1; after <= 6; after++)
			for (int position = 0; position < 90; position++)
				for (int count = 1; count <= 90 - position; count += 1 + count / 4)
				{
					Change		change = {after, directory_delete, position, count};

					directory_fill(90, together);
					if (list(20, &change) == NAUTH_OK)
						lost += count_wrong(90);
					else
						incomplete++;
				}
	is_int(lost, 0, "a listing that says it is complete has lost nobody");
	is_int(incomplete, 0, "and all are complete");
	unit_query.order = NAUTH_ORDER_NEWEST;
	for (int after = 1; after <= 6; after++)
		for (int position = 0; position < 90; position++)
		{
			Change		delete = {after, directory_delete, position, 1 + (90 - position) / 3};
			Change		insert = {after, directory_insert, 90, position};

			directory_fill(90, 2);
			incomplete += list(20, &delete) != NAUTH_OK;
			lost += count_wrong(90);
			directory_fill(90, 2);
			incomplete += list(20, &insert) != NAUTH_OK;
			lost += count_wrong(90);
		}
	is_int(lost + incomplete, 0, "nor has one that begins with the newest, while others come");
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
		int			where = random_below(directory_size);

		if (random_below(3) == 0)
			directory_insert(random_below(2) ? directory_size : where, 1 + random_below(4));
		else
			directory_delete(where, 1 + random_below(directory_size - where < 30 ? directory_size - where : 30));
	}
}

static void
test_random(void)
{
	int			lost = 0;
	int			complete = 0;

	shuffles = true;
	for (int seed = 0; seed < 1000; seed++)
	{
		Change		change = {1 + seed % 9, random_change, 0, 1 + seed % 5};

		directory_fill(100 + seed % 400, 1 + seed % 6);
		chance = (unsigned) seed;
		if (list(20 + seed % 61, &change) != NAUTH_OK)
			continue;
		complete++;
		lost += count_wrong(100 + seed % 400);
	}
	is_int(lost, 0, "random changes: a listing that says it is complete has lost nobody");
	ok(complete > 990, "and most are complete");
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
			directory_fill(size, together);
			failed += list(20 + size % 30, NULL) != NAUTH_OK || count_wrong(size) > 0;
		}
	is_int(failed, 0, "many users of one time");

	/* one who moves, or is deleted, where reading goes on is noticed */
	directory_fill(100, 100);
	ok(list(20, &read) == NAUTH_ERROR_INCOMPLETE, "one of them deleted");
	ok(unit_error.reason != NULL && strstr(unit_error.reason, "their order changed") != NULL, "is told");
	directory_fill(100, 100);
	ok(list(20, &unread) == NAUTH_OK && count_wrong(100) == 0, "or one who was not read");
	directory_fill(100, 100);
	ok(list(20, &added) == NAUTH_OK && count_wrong(100) == 0, "others come");
	shuffles = true;
	for (int seed = 0; seed < 100; seed++)
	{
		directory_fill(100, 100);
		chance = (unsigned) seed;
		complete += list(20, NULL) == NAUTH_OK;
	}
	is_int(complete, 0, "another order each time is noticed");
	shuffles = false;
}

/* The total is counted a moment after the users are read. */
static void
test_late_total(void)
{
	directory_fill(50, 1);
	late_total = 1;
	ok(list(100, NULL) == NAUTH_ERROR_INCOMPLETE, "one is counted who never comes");
	is_int(pages, 2, "who was asked for again");
	ok(list(50, NULL) == NAUTH_ERROR_INCOMPLETE, "also after a full page");
	late_total = -1;
	ok(list(100, NULL) == NAUTH_OK && pages == 0, "one is not counted any more");
	ok(list(50, NULL) == NAUTH_OK && pages == 1 && count_wrong(50) == 0, "nor after a full page");
	directory_fill(105, 1);
	late_total = -5;
	ok(list(100, NULL) == NAUTH_OK && pages == 1 && count_wrong(105) == 0,
	   "five, as many as there are behind a full page: it is not the end");
	late_total = 0;

	/* a server that gives fewer than it is asked for */
	for (cap = 10; cap < 100; cap += 7)
	{
		directory_fill(300, 1);
		ok(list(100, NULL) != NAUTH_OK || count_wrong(300) == 0, "pages that are cut lose nobody");
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
			directory_fill(100, 1 + position % 3);
			for (int i = 0; i < count && position + i < 100; i++)
				directory[position + i].timeless = true;
			failed += list(20, NULL) != NAUTH_OK || count_wrong(100) > 0;
		}
	is_int(failed, 0, "users without a time hinder nobody");
	directory_fill(100, 1);
	for (int i = 0; i < 100; i++)
		directory[i].timeless = true;
	ok(list(20, NULL) == NAUTH_ERROR_UNREADABLE, "unless nobody has one");
	ok(list(101, NULL) == NAUTH_OK && count_wrong(100) == 0, "and there is more than a page");
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
	static const struct
	{
		const char *fixture;
		int			status;
		const char *code;
		bool		hint;
	}			cases[] = {
		{"supabase/error_401.json", 401, "no_authorization", true},
		{"supabase/error_403.json", 403, "not_admin", true},
		{"supabase/error_jwt.json", 403, "bad_jwt", true},
		{"supabase/error_sort.json", 400, "validation_failed", false},
		{"supabase/error_500.json", 500, "unexpected_failure", true},
		{"supabase/error_gateway.json", 401, "", false},
		{"supabase/not_found_old.json", 404, "", false}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ok(!unit_is_not_found(SUPABASE, cases[i].status, cases[i].fixture), "no missing user");
		is_text(unit_error.code, cases[i].code, cases[i].fixture);
		ok((unit_error.hint != NULL) == cases[i].hint, "with a hint, if there is one");
	}
	ok(!unit_is_not_found(SUPABASE, 500, "supabase/error_500.json"), "a failure");
	is_text(unit_error.request_id, "2f5c7a10-6c0b-4a5e-9b3a-7d1f0e2c4b55", "has the id of its request");
	unit_check_failures(SUPABASE, "{\"code\":403,\"error_code\":\"%s\",\"msg\":\"x\",\"error_id\":\"%s\"}");
}

static void
test_count(void)
{
	told_total = "251";
	is_int(unit_read_count_body(SUPABASE, unit_fixture("supabase/count.json")), 251, "a count");
	told_total = "0";
	is_int(unit_read_count_body(SUPABASE, unit_fixture("supabase/empty.json")), 0, "of nobody");
	is_int(unit_read_count(SUPABASE, "{\"users\":{}}"), -1, "no list");
	is_int(unit_read_count(SUPABASE, "{\"aud\":\"authenticated\"}"), -1, "no users");
}

/* Bytes of a page that are changed: whatever comes of it, it is bounded. */
static void
test_mutations(void)
{
	NauthSpan	page = unit_fixture("supabase/page.json");
	int			bad = 0;
	int			read = 0;

	unit_settings.page_size = 20;
	told_total = "4";
	chance = 7;
	for (int round = 0; round < 6000; round++)
	{
		NauthSpan	copy = unit_copy(page.data, round % 3 == 0 ? (size_t) random_below((int) page.len) : page.len);
		char	   *bytes = (char *) copy.data;

		for (int i = 0; i < 1 + round % 4 && copy.len > 0; i++)
			bytes[random_below((int) copy.len)] = round % 2 ? (char) random_below(256) : "\"\\{}[],:0 "[random_below(10)];
		if (unit_read(SUPABASE, round % 5 ? NULL : "4 2 1768478401000000", copy))
		{
			read++;
			bad += unit_page.count < 0 || unit_page.count > 20 || strnlen(unit_page.next, NAUTH_CURSOR_MAX) == NAUTH_CURSOR_MAX;
		}
		else
			bad += unit_page.last || unit_error.kind == NAUTH_OK || unit_error.reason == NULL;
		unit_free(copy);
	}
	is_int(bad, 0, "damaged pages are bounded");
	ok(read > 500 && read < 5000, "some can be read");
	unit_free(page);
}

int
main(void)
{
	supabase = nauth_provider_supabase;
	supabase.read_page = read_page_with_total;
	supabase.read_count = read_count_with_total;
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
	test_mutations();
	told_total = "4";
	unit_settings.page_size = 4;
	unit_check_cut(SUPABASE, "supabase/page.json");
	unit_check_bodies(SUPABASE);
	told_total = "38";
	more_room = 1;
	unit_check_hostile(SUPABASE, "supabase/hostile.json", hostile_times,
					   sizeof(hostile_times) / sizeof(hostile_times[0]));
	return done_testing();
}
