/*-------------------------------------------------------------------------
 *
 * query.c
 *		The users of one page, and how many there are in all.
 *
 * Four ways: a query narrowed to a few users collects and sorts them; one
 * whose time bounds are in its own order is arithmetic with ranks; bounds on
 * the other time need a walk, and the order of ids needs to sort them all.  Providers translate their
 * parameters to a SimQuery and know nothing of this.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/* A stretch of ranks without the excluded ones. */
typedef struct Range
{
	SimOrder	order;
	bool		descending;
	int64_t		low;
	int64_t		high;			/* exclusive */
	SimIndexes	skipped;		/* ranks, sorted */
} Range;

/* A user and the id to sort it by. */
typedef struct IdPlace
{
	char		id[SIM_ID_SIZE];
	int64_t		index;
} IdPlace;

static const SimQuery *sorting; /* for compare_users, which takes no argument */

void
sim_query_init(SimQuery *query)
{
	memset(query, 0, sizeof(*query));
	for (int order = SIM_BY_CREATED; order <= SIM_BY_UPDATED; order++)
	{
		query->min[order] = INT64_MIN;
		query->max[order] = INT64_MAX;
	}
	query->limit = -1;
}

/*
 * Keep only users that are in this list and in those given before.
 */
void
sim_query_narrow(SimQuery *query, SimIndexes *users)
{
	size_t		kept = 0;

	sim_indexes_sort(users);
	if (query->narrowed)
	{
		for (size_t i = 0; i < users->n; i++)
			for (size_t j = 0; j < query->include.n; j++)
				if (users->item[i] == query->include.item[j])
				{
					users->item[kept++] = users->item[i];
					break;
				}
		users->n = kept;
	}
	free(query->include.item);
	query->include = *users;
	query->narrowed = true;
	memset(users, 0, sizeof(*users));
}

static int64_t
key_of(const SimUser *user, SimOrder order)
{
	return order == SIM_BY_CREATED ? user->created : user->updated;
}

static bool
in_bounds(const SimQuery *query, const SimUser *user)
{
	return !user->deleted &&
		user->created >= query->min[SIM_BY_CREATED] &&
		user->created <= query->max[SIM_BY_CREATED] &&
		user->updated >= query->min[SIM_BY_UPDATED] &&
		user->updated <= query->max[SIM_BY_UPDATED];
}

static bool
is_excluded(const SimQuery *query, int64_t index)
{
	for (size_t i = 0; i < query->exclude.n; i++)
		if (query->exclude.item[i] == index)
			return true;
	return false;
}

static int
compare_users(const void *left, const void *right)
{
	int64_t		a = *(const int64_t *) left;
	int64_t		b = *(const int64_t *) right;
	SimUser		one;
	SimUser		two;
	int64_t		at;
	int64_t		bt;
	int			result;

	sim_users_get(a, &one);
	sim_users_get(b, &two);
	at = key_of(&one, sorting->order);
	bt = key_of(&two, sorting->order);
	result = at != bt ? (at > bt) - (at < bt) : (a > b) - (a < b);
	return sorting->descending ? -result : result;
}

static bool
is_after(const SimQuery *query, const SimUser *user)
{
	int64_t		time = key_of(user, query->order);
	bool		later = time > query->after_time ||
	(time == query->after_time && user->index > query->after_index);
	bool		same = time == query->after_time &&
	user->index == query->after_index;

	return !query->after || (!same && later != query->descending);
}

/*
 * The matching users of a narrowed query, unsorted.
 */
static void
collect(const SimQuery *query, SimIndexes *found)
{
	for (size_t i = 0; i < query->include.n; i++)
	{
		int64_t		index = query->include.item[i];
		SimUser		user;

		if (sim_users_get(index, &user) && in_bounds(query, &user) &&
			!is_excluded(query, index) && is_after(query, &user))
			sim_indexes_add(found, index);
	}
}

static void
open_range(const SimQuery *query, SimOrder order, Range *range)
{
	memset(range, 0, sizeof(*range));
	range->order = order;
	range->descending = query->descending;
	range->low = sim_order_rank(order, query->min[order], -1);
	range->high = sim_order_rank(order, query->max[order], INT64_MAX);
	if (query->after && order == query->order)
	{
		int64_t		from = query->after_index + !query->descending;
		int64_t		at = sim_order_rank(order, query->after_time, from);

		if (query->descending && at < range->high)
			range->high = at;
		if (!query->descending && at > range->low)
			range->low = at;
	}
	if (range->high < range->low)
		range->high = range->low;
	for (size_t i = 0; i < query->exclude.n; i++)
	{
		SimUser		user;
		int64_t		rank;

		if (!sim_users_get(query->exclude.item[i], &user) || user.deleted)
			continue;
		rank = sim_order_rank(order, key_of(&user, order), user.index);
		if (rank >= range->low && rank < range->high)
			sim_indexes_add(&range->skipped, rank);
	}
	sim_indexes_sort(&range->skipped);
}

static int64_t
range_size(const Range *range)
{
	return range->high - range->low - (int64_t) range->skipped.n;
}

static int64_t
range_user(const Range *range, int64_t number)
{
	const SimIndexes *skipped = &range->skipped;
	int64_t		rank;

	if (range->descending)
	{
		rank = range->high - 1 - number;
		for (size_t i = skipped->n; i > 0; i--)
			if (skipped->item[i - 1] >= rank)
				rank--;
	}
	else
	{
		rank = range->low + number;
		for (size_t i = 0; i < skipped->n; i++)
			if (skipped->item[i] <= rank)
				rank++;
	}
	return sim_order_select(range->order, rank);
}

static bool
is_bounded(const SimQuery *query, SimOrder order)
{
	return query->min[order] != INT64_MIN || query->max[order] != INT64_MAX;
}

/*
 * How many users match.  No provider bounds both times at once.
 */
int64_t
sim_query_count(const SimQuery *query)
{
	SimQuery	all = *query;
	SimIndexes	found = {0};
	Range		range;
	int64_t		count;

	all.after = false;
	if (query->narrowed)
	{
		collect(&all, &found);
		count = (int64_t) found.n;
		free(found.item);
		return count;
	}
	open_range(&all, is_bounded(query, SIM_BY_UPDATED) ?
			   SIM_BY_UPDATED : SIM_BY_CREATED, &range);
	count = range_size(&range);
	free(range.skipped.item);
	return count;
}

static void
run_narrowed(const SimQuery *query, SimIndexes *users)
{
	SimIndexes	found = {0};

	collect(query, &found);
	sorting = query;
	if (found.n > 1)
		qsort(found.item, found.n, sizeof(*found.item), compare_users);
	for (int64_t i = query->offset; i < (int64_t) found.n; i++)
		if (query->limit < 0 || (int64_t) users->n < query->limit)
			sim_indexes_add(users, found.item[i]);
	free(found.item);
}

static void
run_range(const SimQuery *query, SimIndexes *users)
{
	SimOrder	other = query->order == SIM_BY_CREATED ?
	SIM_BY_UPDATED : SIM_BY_CREATED;
	bool		walk = is_bounded(query, other);
	int64_t		to_skip = walk ? query->offset : 0;
	Range		range;
	int64_t		size;

	open_range(query, query->order, &range);
	size = range_size(&range);
	for (int64_t i = walk ? 0 : query->offset; i < size; i++)
	{
		int64_t		index;
		SimUser		user;

		if (query->limit >= 0 && (int64_t) users->n >= query->limit)
			break;
		index = range_user(&range, i);
		if (walk && (!sim_users_get(index, &user) ||
					 !in_bounds(query, &user) || to_skip-- > 0))
			continue;
		sim_indexes_add(users, index);
	}
	free(range.skipped.item);
}

static int
compare_ids(const void *left, const void *right)
{
	return strcmp(((const IdPlace *) left)->id, ((const IdPlace *) right)->id);
}

static void
run_by_id(const SimQuery *query, SimIndexes *users)
{
	SimQuery	all = *query;
	SimIndexes	found = {0};
	IdPlace    *places;

	all.offset = 0;
	all.limit = -1;
	all.descending = false;
	if (query->narrowed)
		run_narrowed(&all, &found);
	else
		run_range(&all, &found);
	places = sim_alloc((found.n + 1) * sizeof(IdPlace));
	for (size_t i = 0; i < found.n; i++)
	{
		SimUser		user;

		places[i].index = found.item[i];
		sim_users_get(found.item[i], &user);
		if (user.id)
			snprintf(places[i].id, SIM_ID_SIZE, "%s", user.id);
		else
			sim_generate_id(user.index, places[i].id);
	}
	qsort(places, found.n, sizeof(IdPlace), compare_ids);
	for (int64_t i = query->offset; i < (int64_t) found.n; i++)
		if (query->limit < 0 || (int64_t) users->n < query->limit)
			sim_indexes_add(users, places[query->descending ?
										  (int64_t) found.n - 1 - i : i].index);
	free(places);
	free(found.item);
}

/*
 * Fill a page.  The fault's ways to give a wrong page apply here; the total
 * stays the true one, as it does when a provider's index lags behind.
 */
void
sim_query_run(SimQuery *query, const json_t *fault, SimPage *page)
{
	int64_t		keep = sim_fault_int(fault, "truncate_page", -1);

	memset(page, 0, sizeof(*page));
	page->total = sim_query_count(query);
	if (sim_fault_true(fault, "empty"))
	{
		page->total = 0;
		return;
	}
	sim_fault_add_hidden(fault, &query->exclude);
	if (sim_fault_true(fault, "ignore_order"))
	{
		query->order = SIM_BY_CREATED;
		query->descending = false;
		query->by_id = false;
	}
	if (query->by_id)
		run_by_id(query, &page->users);
	else if (query->narrowed)
		run_narrowed(query, &page->users);
	else
		run_range(query, &page->users);
	if (keep >= 0 && (size_t) keep < page->users.n)
		page->users.n = (size_t) keep;
}

void
sim_query_put(SimBuf *buf, const SimPage *page)
{
	SIM_LITERAL(buf, "[");
	for (size_t i = 0; i < page->users.n; i++)
	{
		SimUser		user;

		if (i > 0)
			SIM_LITERAL(buf, ",");
		sim_users_get(page->users.item[i], &user);
		sim_users_put(buf, &user);
	}
	SIM_LITERAL(buf, "]");
}

void
sim_query_free(SimQuery *query, SimPage *page)
{
	free(query->include.item);
	free(query->exclude.item);
	free(page->users.item);
}
