/*-------------------------------------------------------------------------
 *
 * order.c
 *		Who comes before whom, by time of creation and by time of change.
 *
 * Each order is the row of generated ("base") users without its holes, merged
 * with the sorted records of the extra ones.  So the place of a user, and the
 * user at a place, are found by binary search in a million users of whom none
 * is stored.  Records belong to users.c.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "sim.h"

typedef struct Place
{
	SimUser   **extra;			/* sorted by time, then index */
	size_t		n_extra;
	size_t		cap;
	SimIndexes	holes;			/* sorted base numbers */
} Place;

static Place places[2];			/* by SimOrder */
static int64_t
time_of(const SimUser *user, SimOrder order)
{
	return order == SIM_BY_CREATED ? user->created : user->updated;
}

static size_t
holes_before(const Place *place, int64_t base)
{
	size_t		low = 0;
	size_t		high = place->holes.n;

	while (low < high)
	{
		size_t		mid = (low + high) / 2;

		if (place->holes.item[mid] < base)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int64_t
base_before(SimOrder order, int64_t time, int64_t index)
{
	int64_t		low = 0;
	int64_t		high = sim_config.users;

	while (low < high)
	{
		int64_t		mid = (low + high) / 2;
		int64_t		at = sim_generate_time(order, mid);

		if (at < time || (at == time && mid + sim_users_fixture() < index))
			low = mid + 1;
		else
			high = mid;
	}
	return low - (int64_t) holes_before(&places[order], low);
}

static size_t
extra_before(SimOrder order, int64_t time, int64_t index)
{
	const Place *place = &places[order];
	size_t		low = 0;
	size_t		high = place->n_extra;

	while (low < high)
	{
		size_t		mid = (low + high) / 2;
		int64_t		at = time_of(place->extra[mid], order);

		if (at < time || (at == time && place->extra[mid]->index < index))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int64_t
sim_order_size(SimOrder order)
{
	return sim_config.users - (int64_t) places[order].holes.n +
		(int64_t) places[order].n_extra;
}

/*
 * How many living users come before the key (time, index).
 */
int64_t
sim_order_rank(SimOrder order, int64_t time, int64_t index)
{
	return base_before(order, time, index) +
		(int64_t) extra_before(order, time, index);
}

/*
 * The index of the user with so many before it; the rank must exist.
 */
int64_t
sim_order_select(SimOrder order, int64_t rank)
{
	const Place *place = &places[order];
	size_t		low = 0;
	size_t		high = place->n_extra;
	int64_t		number;
	int64_t		from;
	int64_t		to;

	/* the extra users before the one sought */
	while (low < high)
	{
		size_t		mid = (low + high) / 2;
		const SimUser *user = place->extra[mid];
		int64_t		at = (int64_t) mid +
		base_before(order, time_of(user, order), user->index);

		if (at == rank)
			return user->index;
		if (at < rank)
			low = mid + 1;
		else
			high = mid;
	}

	/* the base user with so many others, not counting holes, before it */
	number = rank - (int64_t) low;
	from = number;
	to = number + (int64_t) place->holes.n;
	while (from < to)
	{
		int64_t		mid = (from + to) / 2;

		if (mid + 1 - (int64_t) holes_before(place, mid + 1) <= number)
			from = mid + 1;
		else
			to = mid;
	}
	return from + sim_users_fixture();
}

static void
set_hole(Place *place, int64_t base, bool hole)
{
	SimIndexes *holes = &place->holes;
	size_t		at = holes_before(place, base);
	size_t		behind = holes->n - at;

	if (hole)
	{
		sim_indexes_add(holes, base);
		memmove(holes->item + at + 1, holes->item + at,
				behind * sizeof(*holes->item));
		holes->item[at] = base;
	}
	else
	{
		memmove(holes->item + at, holes->item + at + 1,
				(behind - 1) * sizeof(*holes->item));
		holes->n--;
	}
}

static void
set_extra(SimOrder order, SimUser *user, bool extra)
{
	Place	   *place = &places[order];
	size_t		at = extra_before(order, time_of(user, order), user->index);
	size_t		behind = place->n_extra - at;

	if (place->n_extra == place->cap)
	{
		place->cap = place->cap ? place->cap * 2 : 1024;
		place->extra = sim_realloc(place->extra,
								   place->cap * sizeof(*place->extra));
	}
	if (extra)
	{
		memmove(place->extra + at + 1, place->extra + at,
				behind * sizeof(*place->extra));
		place->extra[at] = user;
		place->n_extra++;
	}
	else
	{
		memmove(place->extra + at, place->extra + at + 1,
				(behind - 1) * sizeof(*place->extra));
		place->n_extra--;
	}
}

/*
 * Enter a record into both orders, or take it out before it is changed.  A
 * base user whose time is still the generated one needs neither.
 */
void
sim_order_place(SimUser *user, bool enter)
{
	for (SimOrder order = SIM_BY_CREATED; order <= SIM_BY_UPDATED; order++)
	{
		int64_t		base = sim_users_base(user->index);

		if (base >= 0)
		{
			if (!user->deleted &&
				time_of(user, order) == sim_generate_time(order, base))
				continue;
			set_hole(&places[order], base, enter);
		}
		if (!user->deleted)
			set_extra(order, user, enter);
	}
}

void
sim_order_stop(void)
{
	for (SimOrder order = SIM_BY_CREATED; order <= SIM_BY_UPDATED; order++)
	{
		free(places[order].extra);
		free(places[order].holes.item);
	}
}
