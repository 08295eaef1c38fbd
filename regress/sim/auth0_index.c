/*-------------------------------------------------------------------------
 *
 * auth0_index.c
 *		What Auth0's search finds, which may be what was true some changes ago.
 *
 * With --set index_lag=N the last N changes are not in the index yet: of a user of
 * theirs it has what was before, which is nobody where the user was created.  Such
 * searches are made by hand, and only those without lag know the faults of query.c.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <strings.h>

#include "auth0.h"

/* A user as the index has it. */
typedef struct Version
{
	int64_t		index;
	int64_t		created;
	int64_t		updated;
	char	   *json;			/* NULL: there is none */
} Version;

typedef struct Versions
{
	Version    *item;
	size_t		n;
	size_t		cap;
} Versions;

static Versions latest;			/* of users that were changed */
static Versions pending;		/* before each change that is not indexed yet */

static bool sort_by_updated;	/* for compare_versions, which takes no
								 * argument */
static bool sort_descending;

static void
add_version(Versions *list, const Version *version)
{
	if (list->n == list->cap)
	{
		list->cap = list->cap ? list->cap * 2 : 64;
		list->item = sim_realloc(list->item, list->cap * sizeof(Version));
	}
	list->item[list->n] = *version;
	list->item[list->n++].json = sim_strdup(version->json);
}

/* The first one of a user, or NULL. */
static Version *
find_version(const Versions *list, int64_t index)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->item[i].index == index)
			return &list->item[i];
	return NULL;
}

static void
drop_oldest(Versions *list, size_t keep)
{
	size_t		drop = list->n > keep ? list->n - keep : 0;

	for (size_t i = 0; i < drop; i++)
		free(list->item[i].json);
	if (drop > 0)
		memmove(list->item, list->item + drop, (list->n - drop) * sizeof(Version));
	list->n -= drop;
}

/* A user as it is now; the caller frees the JSON. */
static Version
version_of(const SimUser *user)
{
	Version		version = {user->index, user->created, user->updated, NULL};
	SimBuf		buf = {0};

	if (user->deleted)
		return version;
	sim_users_put(&buf, user);
	sim_buf_add(&buf, "", 1);
	version.json = buf.data;
	return version;
}

/* A generated user before anybody touched it; else there was none. */
static Version
version_before(int64_t index, SimEvent event)
{
	SimUser		user = {.index = index,.deleted = true};
	int64_t		base = sim_users_base(index);

	if (event != SIM_CREATED && base >= 0)
	{
		user.deleted = false;
		user.created = sim_generate_time(SIM_BY_CREATED, base);
		user.updated = sim_generate_time(SIM_BY_UPDATED, base);
	}
	return version_of(&user);
}

void
sim_auth0_changed(const SimUser *user, SimEvent event)
{
	int64_t		lag = sim_setting_int("index_lag", 1, 0);
	Version		now;
	Version    *before;

	if (lag == 0)
		return;
	before = find_version(&latest, user->index);
	if (before == NULL)
	{
		Version		first = version_before(user->index, event);

		add_version(&latest, &first);
		free(first.json);
		before = &latest.item[latest.n - 1];
	}
	add_version(&pending, before);
	drop_oldest(&pending, (size_t) lag);
	now = version_of(user);
	free(before->json);
	*before = now;
}

/*
 * From now on the index has all changes that were made.
 */
void
sim_auth0_catch_up(void)
{
	drop_oldest(&pending, 0);
}

/* ---- Searching with lag */

static bool
matches(const Auth0Search *search, const Version *version)
{
	const SimQuery *query = &search->query;
	json_t	   *user;
	const char *email;
	bool		matching;

	if (version->json == NULL ||
		version->created < query->min[SIM_BY_CREATED] || version->created > query->max[SIM_BY_CREATED] ||
		version->updated < query->min[SIM_BY_UPDATED] || version->updated > query->max[SIM_BY_UPDATED])
		return false;
	user = json_loads(version->json, 0, NULL);
	email = json_string_value(json_object_get(user, "email"));
	matching = search->email == NULL || (email && strcasecmp(email, search->email) == 0);
	if (search->ids)
	{
		bool		found = false;

		for (size_t i = 0; i < json_array_size(search->ids); i++)
			found = found || json_equal(json_array_get(search->ids, i), json_object_get(user, "user_id"));
		matching = matching && found;
	}
	json_decref(user);
	return matching;
}

static int
compare_versions(const void *left, const void *right)
{
	const Version *a = left;
	const Version *b = right;
	int64_t		at = sort_by_updated ? a->updated : a->created;
	int64_t		bt = sort_by_updated ? b->updated : b->created;
	int			result = at != bt ? (at > bt) - (at < bt) : (a->index > b->index) - (a->index < b->index);

	return sort_descending ? -result : result;
}

/* All users that the index has of a search, in order. */
static void
find_all(Auth0Search *search, Versions *found)
{
	SimPage		page;

	sim_query_run(&search->query, NULL, &page);
	for (size_t i = 0; i < page.users.n; i++)
	{
		SimUser		user;
		Version		version;

		if (find_version(&pending, page.users.item[i]))
			continue;
		sim_users_get(page.users.item[i], &user);
		version = version_of(&user);
		add_version(found, &version);
		free(version.json);
	}
	free(page.users.item);
	for (size_t i = 0; i < pending.n; i++)
		if (find_version(&pending, pending.item[i].index) == &pending.item[i] &&
			matches(search, &pending.item[i]))
			add_version(found, &pending.item[i]);
	sort_by_updated = search->query.order == SIM_BY_UPDATED;
	sort_descending = search->query.descending;
	if (found->n > 1)
		qsort(found->item, found->n, sizeof(Version), compare_versions);
}

static int64_t
run_with_lag(Auth0Search *search, SimBuf *users, int64_t *total)
{
	Versions	found = {0};
	size_t		start = (size_t) (search->page * search->per_page);
	int64_t		count = 0;

	find_all(search, &found);
	*total = (int64_t) found.n;
	SIM_LITERAL(users, "[");
	for (size_t i = start; i < found.n && count < search->per_page; i++)
	{
		if (count++ > 0)
			SIM_LITERAL(users, ",");
		sim_buf_text(users, found.item[i].json);
	}
	SIM_LITERAL(users, "]");
	drop_oldest(&found, 0);
	free(found.item);
	return count;
}

/*
 * Write a page as a JSON array; returns how many users it has.
 */
int64_t
sim_auth0_run_search(Auth0Search *search, const json_t *fault, SimBuf *users, int64_t *total)
{
	SimPage		page;
	int64_t		count;

	if (pending.n > 0)
		return run_with_lag(search, users, total);
	search->query.offset = search->page * search->per_page;
	search->query.limit = search->per_page;
	sim_query_run(&search->query, fault, &page);
	sim_query_put(users, &page);
	*total = page.total;
	count = (int64_t) page.users.n;
	free(page.users.item);
	return count;
}
