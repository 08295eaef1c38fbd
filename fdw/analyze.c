/*-------------------------------------------------------------------------
 *
 * analyze.c
 *	  ANALYZE of a foreign table: how many users there are, and a sample of them.
 *
 * The sample is taken from the first pages of a listing, from the cache where
 * that has a fresh one.  A directory can be much larger than what may be asked
 * of a provider for statistics, so the pages are bounded, and beyond that the
 * provider's own count says how many users there are.  Times of creation of
 * such a directory then look older than they are, for listings begin with the
 * oldest user at some providers.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "commands/vacuum.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/sampling.h"

#include "directory.h"
#include "listing.h"
#include "neon_auth_fdw.h"
#include "pgcompat.h"
#include "plan.h"
#include "users.h"

/* Not more users are read than so many pages have. */
#define ANALYZE_PAGES		40

/* What the size of a directory is made of, which a parent table weighs. */
#define USERS_A_BLOCK		(BLCKSZ / 1024.0)

/* Rows taken so far: the server's own way, Vitter's algorithm Z. */
typedef struct Sample
{
	HeapTuple  *rows;
	int			count;
	int			target;			/* room in rows */
	ReservoirStateData state;
	double		skip;			/* rows to pass over before the next is taken,
								 * below 0: not known yet */
	double		held;			/* users seen that PostgreSQL can hold */
	double		left_out;		/* and those that it cannot */
	Size		bytes;			/* of rows, as long as there is room */
} Sample;

/* Where the next row goes, or -1 if it is not taken. */
static int
choose_place(Sample *sample)
{
	if (sample->count < sample->target)
		return sample->count++;
	if (sample->skip < 0)
		sample->skip = reservoir_get_next_S(&sample->state, sample->held, sample->target);
	if (sample->skip-- > 0)
		return -1;
	return (int) (sample->target * sampler_random_fract(&sample->state.randstate));
}

/* A row of the foreign table. */
static HeapTuple
form_row(TupleDesc desc, const NauthRow *row)
{
	Datum		values[MaxTupleAttributeNumber] = {0};
	bool		nulls[MaxTupleAttributeNumber];

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		int			column = att->attisdropped ? -1 : nauth_column_find(NameStr(att->attname));

		nulls[i] = column < 0 || row->nulls[column];
		if (!nulls[i])
			values[i] = row->values[column];
	}
	return heap_form_tuple(desc, values, nulls);
}

static void
add_row(Sample *sample, TupleDesc desc, const NauthRow *row)
{
	bool		full = sample->count == sample->target;
	int			place = choose_place(sample);

	sample->held++;
	if (place < 0)
		return;
	if (full)
		heap_freetuple(sample->rows[place]);
	sample->rows[place] = form_row(desc, row);
	if (!full)
		sample->bytes += sample->rows[place]->t_len;
}

/* Whether enough was read, of the provider's time or of our memory. */
static bool
is_enough(const Sample *sample, const NauthOptions *options)
{
	return sample->held + sample->left_out >= (double) ANALYZE_PAGES * options->settings.page_size ||
		sample->bytes > (Size) maintenance_work_mem * 1024;
}

/* Read the listing into the sample; true if it came to its end. */
static bool
read_users(Sample *sample, TupleDesc desc, const NauthOptions *options, bool wide)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_LIST,.limit = ANALYZE_PAGES * options->settings.page_size};
	MemoryContext listing_cxt = AllocSetContextCreate(CurrentMemoryContext, "neon_auth_fdw analyze",
													  ALLOCSET_DEFAULT_SIZES);
	MemoryContext user_cxt = AllocSetContextCreate(listing_cxt, "neon_auth_fdw user", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(listing_cxt);
	NauthListingTold told = {0};
	NauthListing *listing = nauth_listing_open(options, wide, &told);
	bool		ended = false;

	nauth_listing_begin(listing, &query);
	while (!ended && !is_enough(sample, options))
	{
		NauthRow	row;
		const char *reason;

		nauth_analyze_rest();
		MemoryContextReset(user_cxt);
		MemoryContextSwitchTo(user_cxt);
		ended = !nauth_listing_next(listing, &row, &reason);
		MemoryContextSwitchTo(old);
		if (!ended && reason == NULL)
			add_row(sample, desc, &row);
		else if (!ended)
			sample->left_out++;
	}
	MemoryContextDelete(listing_cxt);
	return ended;
}

/* How many users a listing would have that was not read to its end. */
static double
count_users(const Sample *sample, const NauthOptions *options)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_COUNT};
	double		users;

	if (!options->provider->counts)
		return Max(sample->held, nauth_plan_synced(options->server));
	users = nauth_directory_count(nauth_directory_open(options, options->scan_timeout), &query);
	return Max(sample->held, rint(users * sample->held / (sample->held + sample->left_out)));
}

/*
 * Take the sample.  Like the server's own ANALYZE this acts for the owner of
 * the table, whoever runs it.
 */
static int
acquire_rows(Relation relation, int elevel, HeapTuple *rows, int targrows,
			 double *totalrows, double *totaldeadrows)
{
	Oid			relid = RelationGetRelid(relation);
	NauthOptions *options = nauth_options_get(GetForeignTable(relid)->serverid, relation->rd_rel->relowner);
	bool		wide = get_attnum(relid, nauth_columns[NAUTH_RAW_JSON].name) != InvalidAttrNumber;
	Sample		sample = {.rows = rows,.target = targrows,.skip = -1};
	bool		complete;

	reservoir_init_selection_state(&sample.state, targrows);
	complete = read_users(&sample, RelationGetDescr(relation), options, wide);
	*totalrows = complete ? sample.held : count_users(&sample, options);
	*totaldeadrows = 0;
	ereport(elevel,
			errmsg("\"%s\": read %.0f of %.0f users of the directory; %d rows in sample",
				   RelationGetRelationName(relation), sample.held, *totalrows, sample.count),
			sample.left_out > 0 ?
			errdetail("%.0f more users were left out, since PostgreSQL cannot hold them.", sample.left_out) : 0);
	return sample.count;
}

bool
neonAuthAnalyzeForeignTable(Relation relation, AcquireSampleRowsFunc *func, BlockNumber *totalpages)
{
	double		users = relation->rd_rel->reltuples > 0 ? relation->rd_rel->reltuples : NAUTH_USERS_UNKNOWN;

	nauth_plan_check_columns(RelationGetRelid(relation));
	*func = acquire_rows;
	*totalpages = (BlockNumber) Min(users / USERS_A_BLOCK + 1, MaxBlockNumber);
	return true;
}
