/*-------------------------------------------------------------------------
 *
 * auth0_listing_test.c
 *	  Unit tests of listings of the provider "auth0".
 *
 * They page through a directory that answers as Auth0 does and changes between two
 * pages: a user who was there all the time must be seen, and seen once, or the
 * listing must say that it is not complete.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"

#define AUTH0		(&nauth_provider_auth0)
#define SHOWN_MAX	1000
#define MAX_USERS	1600
#define MILLISECOND	INT64_C(1000)
#define BEGIN		INT64_C(1768478400000000)	/* 2026-01-15 12:00 */

/* A user; among those of one time the order is that of their ranks. */
typedef struct Person
{
	int			number;
	int64_t		created;		/* milliseconds after BEGIN */
	int64_t		updated;
	int			rank;
	bool		gone;
	bool		stayed;			/* all the time of a listing, unchanged */
} Person;

static Person people[MAX_USERS];
static int	people_count;
static Person *found[MAX_USERS];
static bool refused;			/* a request that Auth0 refuses */

/* What the request asks for, as the server reads it. */
typedef struct Asked
{
	int			size;
	int			page;
	bool		changes;
	bool		descends;
	int64_t		from;
	int64_t		to;
	bool		open;
} Asked;

static Person *
add_person(int64_t created)
{
	Person	   *person = &people[people_count];

	memset(person, 0, sizeof(*person));
	person->number = people_count++;
	person->created = person->updated = created;
	person->rank = unit_below(INT32_MAX);
	return person;
}

static void
decode_url(char *text)
{
	unsigned	byte;
	const char *from = unit_request.url;

	for (; *from != '\0'; from++, text++)
	{
		*text = *from;
		if (*from == '%' && sscanf(from + 1, "%2x", &byte) == 1)
		{
			*text = (char) byte;
			from += 2;
		}
	}
	*text = '\0';
}

static int64_t
read_bound(const char *text, int64_t otherwise)
{
	int64_t		moment = 0;

	if (text[0] != '*' && !nauth_moment_parse(text + 1, strlen(text) - 2, &moment))
		refused = true;
	return text[0] == '*' ? otherwise : (moment - BEGIN) / MILLISECOND;
}

static Asked
read_asked(void)
{
	static char url[NAUTH_URL_MAX];
	Asked		asked = {.from = INT64_MIN,.to = INT64_MAX};
	char		from[40];
	char		to[40];
	char		end;
	const char *range;

	decode_url(url);
	asked.size = atoi(strstr(url, "per_page=") + 9);
	asked.page = atoi(strstr(url, "&page=") + 6);
	asked.changes = strstr(url, "sort=updated_at:-1") != NULL;
	asked.descends = asked.changes || strstr(url, "sort=created_at:-1") != NULL;
	range = strstr(url, asked.changes ? "updated_at:[" : "created_at:[");
	if (range != NULL)
	{
		if (sscanf(range + 12, "%39[^ ] TO %39[^]}]%c", from, to, &end) != 3)
			refused = true;
		asked.from = read_bound(from, INT64_MIN);
		asked.to = read_bound(to, INT64_MAX);
		asked.open = end == '}';
	}
	refused = refused || unit_request.overflow || asked.size < 1 || asked.size > 100 ||
		(asked.page + 1) * asked.size > SHOWN_MAX;
	return asked;
}

static bool by_change;
static bool downwards;

static int
compare_people(const void *left, const void *right)
{
	const Person *a = *(Person *const *) left;
	const Person *b = *(Person *const *) right;
	int64_t		one = by_change ? a->updated : a->created;
	int64_t		other = by_change ? b->updated : b->created;
	int			result = one != other ? (one > other) - (one < other) : (a->rank > b->rank) - (a->rank < b->rank);

	return downwards ? -result : result;
}

/* The reply that the server would give to the request. */
static NauthSpan
answer(void)
{
	static char body[128 * 200];
	Asked		asked = read_asked();
	int			total = 0;
	int			start = asked.page * asked.size;
	int			count;
	int			len;

	for (int i = 0; i < people_count; i++)
	{
		int64_t		time = asked.changes ? people[i].updated : people[i].created;

		if (!people[i].gone && time >= asked.from && (asked.open ? time < asked.to : time <= asked.to))
			found[total++] = &people[i];
	}
	by_change = asked.changes;
	downwards = asked.descends;
	qsort(found, (size_t) total, sizeof(found[0]), compare_people);
	count = start >= total ? 0 : total - start < asked.size ? total - start : asked.size;
	len = sprintf(body, "{\"start\":%d,\"limit\":%d,\"length\":%d,\"total\":%d,\"users\":[", start, asked.size, count, total);
	for (int i = 0; i < count; i++)
	{
		const Person *person = found[start + i];
		char		created[NAUTH_MOMENT_TEXT];
		char		updated[NAUTH_MOMENT_TEXT];

		nauth_moment_write(BEGIN + person->created * MILLISECOND, 3, created);
		nauth_moment_write(BEGIN + person->updated * MILLISECOND, 3, updated);
		len += sprintf(body + len, "%s{\"user_id\":\"auth0|%d\",\"created_at\":\"%s\",\"updated_at\":\"%s\"}",
					   i > 0 ? "," : "", person->number, created, updated);
	}
	len += sprintf(body + len, "]}");
	return unit_copy(body, (size_t) len);
}

/* List the directory as unit_query wants it; returns how it ended. */
static NauthErrorKind
list(NauthQueryKind kind, int page_size)
{
	Server		server = {AUTH0, kind, "auth0|%d", answer};
	NauthErrorKind end;

	refused = false;
	for (int i = 0; i < people_count; i++)
		people[i].stayed = !people[i].gone;
	end = directory_list(&server, page_size, NULL);
	return refused ? NAUTH_ERROR_REFUSED : end;
}

/* How many of those who stayed were not seen, or anybody seen twice. */
static int
count_wrong(int64_t from, int64_t before)
{
	int			wrong = 0;

	for (int i = 0; i < people_count; i++)
	{
		bool		in = people[i].created >= from && people[i].created < before;

		wrong += people[i].stayed && seen[i] != in;
		wrong += !people[i].stayed && seen[i] > in;
	}
	return wrong;
}

static int
count_lost(void)
{
	int			lost = 0;

	for (int i = 0; i < people_count; i++)
		lost += people[i].stayed && seen[i] == 0;
	return lost;
}

/* So many users, each "together" of them created at once. */
static void
fill(int size, int together)
{
	people_count = 0;
	for (int i = 0; i < size; i++)
		add_person(i / together * 7);
}

/* Users created at random times, some of them at once. */
static void
fill_by_chance(int size)
{
	int64_t		time = 0;
	int			crowd = unit_below(4);
	int			at = unit_below(size + 1);
	int			many = crowd == 0 ? unit_below(60) : 0;

	people_count = 0;
	for (int i = 0; i < size; i++)
	{
		if (i < at || i >= at + many)
			time += crowd == 1 || unit_below(3) > 0 ? 1 + unit_below(50) : 0;
		add_person(time);
	}
}

static void
test_quiet(NauthOrder order)
{
	static const int together[] = {1, 2, 3, 5, 9, 10, 11, 12, 20, 29};
	int			failed = 0;

	unit_query.order = order;
	for (int page_size = 10; page_size <= 14; page_size++)
		for (int size = 0; size <= 75; size++)
			for (size_t i = 0; i < sizeof(together) / sizeof(together[0]); i++)
			{
				fill(size, together[i]);
				failed += list(NAUTH_QUERY_LIST, page_size) != NAUTH_OK || count_wrong(0, INT64_MAX) > 0;
			}
	is_int(failed, 0, "directories of many sizes, with users created together");

	fill(1600, 1);
	ok(list(NAUTH_QUERY_LIST, 100) == NAUTH_OK && count_wrong(0, INT64_MAX) == 0, "more users than Auth0 shows of a query");
	is_int(requests, 17, "in no more requests than it takes");
	unit_query.order = NAUTH_ORDER_OWN;
}

/* How many users of one time can be read, and that more are no complete listing. */
static void
test_crowds(void)
{
	static const struct
	{
		int			page_size;
		int			together;
		NauthErrorKind kind;
	}			cases[] = {
		{100, 100, NAUTH_OK}, {100, 101, NAUTH_OK}, {100, 989, NAUTH_OK},
		{100, 990, NAUTH_ERROR_INCOMPLETE}, {100, 1500, NAUTH_ERROR_INCOMPLETE},
		{10, 10, NAUTH_OK}, {10, 29, NAUTH_OK}, {10, 30, NAUTH_ERROR_INCOMPLETE},
		{20, 109, NAUTH_OK}, {20, 110, NAUTH_ERROR_INCOMPLETE},
		{3, 3, NAUTH_OK}, {3, 4, NAUTH_ERROR_INCOMPLETE},
		{2, 1, NAUTH_OK}, {2, 2, NAUTH_ERROR_UNFIT}, {1, 1, NAUTH_ERROR_UNFIT}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		name[80];
		NauthErrorKind kind;

		people_count = 0;
		for (int j = 0; j < 1590 && j < cases[i].together + 90; j++)
			add_person(j < 40 ? j : j < 40 + cases[i].together ? 40 : j);
		snprintf(name, sizeof(name), "%d at once with pages of %d", cases[i].together, cases[i].page_size);
		kind = list(NAUTH_QUERY_LIST, cases[i].page_size);
		is_int(kind, cases[i].kind, name);
		if (kind == NAUTH_OK)
			is_int(count_wrong(0, INT64_MAX), 0, "everybody is seen once");
		if (kind == NAUTH_ERROR_INCOMPLETE)
			is_text(unit_error.reason, "too many users were created at the same time", "and why not");
	}
}

/* Users go and come, before and behind what was read, and at the very time. */
static void
change_by_chance(void)
{
	for (int n = unit_below(6); n > 0 && people_count > 0; n--)
	{
		Person	   *person = &people[unit_below(people_count)];

		if (unit_below(3) > 0)
		{
			person->gone = true;
			person->stayed = false;
		}
		else if (people_count < MAX_USERS)
			add_person(person->created + unit_below(3) * unit_below(40));
	}
}

/* One by one those are deleted who were read last. */
static void
delete_last_read(void)
{
	Person	   *last = NULL;

	for (int i = 0; i < people_count; i++)
		if (seen[i] > 0 && !people[i].gone &&
			(last == NULL || people[i].created > last->created ||
			 (people[i].created == last->created && people[i].rank > last->rank)))
			last = &people[i];
	if (last != NULL)
	{
		last->gone = true;
		last->stayed = false;
	}
}

static void
test_drift(NauthOrder order, void (*change) (void), const char *name)
{
	const int	rounds = 2000;

	unit_query.order = order;
	meanwhile = change;
	unit_seed = 7;
	for (int i = 0; i < rounds; i++)
	{
		NauthErrorKind kind;

		fill_by_chance(unit_below(140));
		kind = list(NAUTH_QUERY_LIST, 10 + unit_below(6));
		tally_add(kind, count_wrong(0, INT64_MAX));
	}
	meanwhile = NULL;
	unit_query.order = NAUTH_ORDER_OWN;
	tally_check(rounds * 85 / 100, name);
}

static void
shuffle_equals(void)
{
	for (int i = 0; i < people_count; i++)
		people[i].rank = unit_below(INT32_MAX);
}

/* Only where users of one time fill pages does their order matter. */
static void
test_shuffled(NauthOrder order)
{
	int			failed = 0;

	unit_query.order = order;
	meanwhile = shuffle_equals;
	for (int together = 1; together <= 9; together++)
		for (int size = 0; size <= 120; size++)
		{
			fill(size, together);
			failed += list(NAUTH_QUERY_LIST, 10) != NAUTH_OK || count_wrong(0, INT64_MAX) > 0;
		}
	meanwhile = NULL;
	unit_query.order = NAUTH_ORDER_OWN;
	is_int(failed, 0, "users of one time that do not fill a page may come in any order");
}

/* Windows of a listing, as fdw/spread.c cuts them, in either order. */
static void
test_window_drift(void)
{
	int			wrong = 0;
	int			complete = 0;

	meanwhile = change_by_chance;
	unit_query.windowed = true;
	unit_seed = 2;
	for (int i = 0; i < 1500; i++)
	{
		int64_t		from = unit_below(600);
		int64_t		before = from + 1 + unit_below(900);

		unit_query.order = i % 2 == 0 ? NAUTH_ORDER_OWN : NAUTH_ORDER_NEWEST;
		unit_query.from = BEGIN + from * MILLISECOND;
		unit_query.before = BEGIN + before * MILLISECOND;
		fill_by_chance(unit_below(140));
		if (list(NAUTH_QUERY_LIST, 10 + unit_below(6)) == NAUTH_OK)
		{
			complete++;
			wrong += count_wrong(from, before);
		}
	}
	meanwhile = NULL;
	memset(&unit_query, 0, sizeof(unit_query));
	is_int(wrong, 0, "a window has those who were created in it, each once");
	ok(complete > 1250, "most of them to their end");
}

static int64_t now;

static void
update_by_chance(void)
{
	for (int n = unit_below(4); n > 0 && people_count > 0; n--)
	{
		Person	   *person = &people[unit_below(people_count)];

		person->stayed = false;
		if (unit_below(4) == 0)
			person->gone = true;
		else
			person->updated = ++now;
	}
	shuffle_equals();
}

/* Who changes moves to the head; nobody else may be missed, in whatever order equals are. */
static void
test_changes(void)
{
	int			lost = 0;
	int			failed = 0;
	int			stuck = 0;

	meanwhile = update_by_chance;
	unit_seed = 3;
	for (int i = 0; i < 1000; i++)
	{
		NauthErrorKind kind;

		fill_by_chance(unit_below(140));
		for (int j = 0; j < people_count; j++)
			if (unit_below(2) == 0)
				people[j].updated += unit_below(2000);
		now = 100000;
		unit_query.limit = unit_below(2) == 0 ? 0 : 1 + unit_below(12);
		kind = list(NAUTH_QUERY_CHANGES, 10 + unit_below(6));
		if (kind == NAUTH_OK)
			lost += count_lost();
		else if (kind == NAUTH_ERROR_UNFIT)
			stuck++;
		else
			failed++;
	}
	meanwhile = NULL;
	unit_query.limit = 0;
	is_int(lost, 0, "the list of changes loses nobody who stays as he is");
	is_int(failed, 0, "or has no cursor to go on with");
	ok(stuck > 0 && stuck < 150, "where more users than a page were changed at once");
}

static void
test_change_pages(void)
{
	fill(30, 30);
	is_int(list(NAUTH_QUERY_CHANGES, 10), NAUTH_ERROR_UNFIT, "a page of one time");
	is_int(requests, 1, "is known for it at once");
	unit_query.limit = 5;
	is_int(list(NAUTH_QUERY_CHANGES, 10), NAUTH_ERROR_UNFIT, "a small one, first");
	is_int(requests, 2, "is followed by a whole one");
	fill(9, 9);
	is_int(list(NAUTH_QUERY_CHANGES, 10), NAUTH_OK, "which may be the end");
	is_int(requests, 2, "of all");
	unit_query.limit = 0;
}

int
main(void)
{
	test_quiet(NAUTH_ORDER_OWN);
	test_quiet(NAUTH_ORDER_NEWEST);
	test_crowds();
	test_drift(NAUTH_ORDER_OWN, change_by_chance, "a listing that is complete has everybody who stayed, and nobody twice");
	test_drift(NAUTH_ORDER_NEWEST, change_by_chance, "the newest first, too");
	test_drift(NAUTH_ORDER_OWN, delete_last_read, "even if those go who were read last");
	test_shuffled(NAUTH_ORDER_OWN);
	test_shuffled(NAUTH_ORDER_NEWEST);
	test_window_drift();
	test_changes();
	test_change_pages();
	return done_testing();
}
