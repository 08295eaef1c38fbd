/*-------------------------------------------------------------------------
 *
 * changes_test.c
 *	  Unit tests of the list of users by time of change, of all providers that
 *	  have it.
 *
 * Between two pages users are changed, which moves them to the front, created
 * and deleted; and users with the same time come in another order each time.
 * Who was there all the time and did not move must be seen, or the list must
 * say that it could not be read to its end.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "directory_unit.h"
#include "provider/asking.h"

#define MAX_USERS	400
#define ROUNDS		400

typedef struct ListedUser
{
	int			id;
	int			time;			/* seconds of a day */
	bool		moved;			/* since the list began */
} ListedUser;

/* The directory, latest change first. */
static ListedUser users[MAX_USERS];
static int	count;
static int	latest;
static int	next_id;

static void
take_out(int place)
{
	memmove(&users[place], &users[place + 1], (size_t) (count - place - 1) * sizeof(ListedUser));
	count--;
}

static void
put_in_front(ListedUser user)
{
	memmove(&users[1], &users[0], (size_t) count * sizeof(ListedUser));
	count++;
	users[0] = user;
}

static void
create_user(bool moved)
{
	ListedUser	user = {next_id++, latest, moved};

	put_in_front(user);
}

static void
change_user(int place)
{
	ListedUser	user = users[place];

	user.time = ++latest;
	user.moved = true;
	take_out(place);
	put_in_front(user);
}

/* Users with the same time have no order. */
static void
shuffle_equals(void)
{
	for (int i = 1; i < count; i++)
	{
		int			other = i - 1 - unit_below(2);
		ListedUser	user = users[i];

		if (other < 0 || users[other].time != user.time)
			continue;
		users[i] = users[other];
		users[other] = user;
	}
}

static NauthSpan answer(void);

static Server server = {NULL, NAUTH_QUERY_CHANGES, "u%d", answer};

/* What the server would answer to the request. */
static NauthSpan
answer(void)
{
	static char body[MAX_USERS * 128];
	bool		clerk = server.provider == &nauth_provider_clerk;
	int			limit = directory_asked("limit=");
	int			offset = directory_asked("offset=");
	int			len = sprintf(body, clerk ? "[" : "{\"users\":[");

	shuffle_equals();
	for (int i = offset; i < offset + limit && i < count; i++)
	{
		len += sprintf(body + len, "%s{\"id\":\"u%d\",", i > offset ? "," : "", users[i].id);
		if (clerk)
			len += sprintf(body + len, "\"updated_at\":%d000}", users[i].time);
		else
			len += sprintf(body + len, "\"updatedAt\":\"2026-01-01T%02d:%02d:%02d.000Z\"}",
						   users[i].time / 3600, users[i].time / 60 % 60, users[i].time % 60);
	}
	len += sprintf(body + len, clerk ? "]" : "],\"total\":%d,\"limit\":%d}", count, limit);
	return unit_copy(body, (size_t) len);
}

static int	disturbances;		/* at the most */

/* Something happens between two pages, more or less of it. */
static void
disturb(void)
{
	for (int some = unit_below(disturbances + 1); some > 0; some--)
	{
		int			what = unit_below(4);

		if (what == 0 && count < MAX_USERS - 1)
			create_user(true);
		else if (what == 1 && count > 1)
			change_user(unit_below(count));
		else if (what == 2 && count > 1)
			take_out(unit_below(count));
	}
}

/* Users, some of them changed together. */
static void
fill(int size, int together)
{
	count = next_id = 0;
	latest = 1;
	for (int i = 0; i < size; i++)
	{
		latest += unit_below(together + 1) == 0;
		create_user(false);
	}
}

static void
test_lists(const NauthProvider *provider, int disturbance, int together)
{
	char		name[128];

	server.provider = provider;
	disturbances = disturbance;
	meanwhile = disturb;
	for (int round = 0; round < ROUNDS; round++)
	{
		int			page_size = 2 + unit_below(40);
		int			missed = 0;
		NauthErrorKind kind;

		unit_query.limit = unit_below(2) == 0 ? 0 : 2 + unit_below(10);
		fill(unit_below(300), together);
		kind = directory_list(&server, page_size, NULL);
		for (int i = 0; i < count; i++)
			missed += seen[users[i].id] == 0 && !users[i].moved;

		/* the core says for them that it is not complete */
		tally_add(kind == NAUTH_ERROR_UNFIT ? NAUTH_ERROR_INCOMPLETE : kind, missed);
	}
	meanwhile = NULL;
	snprintf(name, sizeof(name), "%s: %d lists, up to %d disturbances a page, up to %d users changed together",
			 provider->name, tally.complete, disturbance, together);
	tally_check(ROUNDS / 8, name);
	unit_query.limit = 0;
}

static void
test_limits(void)
{
	NauthSettings settings = {.url = "https://auth.example.com",.api_key = "key",.page_size = 500};
	NauthQuery	query = {.kind = NAUTH_QUERY_CHANGES,.limit = 100};

	is_int(nauth_ask_limit(&settings, &query, NULL), 100, "the first page may be smaller");
	is_int(nauth_ask_limit(&settings, &query, "90 10 1:a"), 500, "others are not");
	settings.page_size = 50;
	is_int(nauth_ask_limit(&settings, &query, NULL), 50, "nor is it larger");
	settings.page_size = 1;
	is_int(nauth_ask_limit(&settings, &query, NULL), 3, "a page that overlaps has three users");
	query.kind = NAUTH_QUERY_LIST;
	is_int(nauth_ask_limit(&settings, &query, NULL), 1, "others may have one");
}

int
main(void)
{
	/* those that page it by offset */
	static const NauthProvider *const providers[] = {
		&nauth_provider_better_auth, &nauth_provider_clerk
	};

	unit_seed = 1;
	test_limits();
	for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++)
	{
		test_lists(providers[i], 0, 0);
		test_lists(providers[i], 0, 6);
		test_lists(providers[i], 3, 0);
		test_lists(providers[i], 3, 6);
		test_lists(providers[i], 20, 3);
	}
	return done_testing();
}
