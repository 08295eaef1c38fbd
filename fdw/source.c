/*-------------------------------------------------------------------------
 *
 * source.c
 *	  The rows that a scan wants of a directory, one after the other.
 *
 * What is wanted may take several queries: many ids, or all users where the
 * latest changes do not go back far enough.  And what was asked for is not
 * believed where the rest of the plan relies on it: the order of rows.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "provider/asking.h"
#include "query.h"
#include "report.h"
#include "source.h"

/* Users asked for beyond the rows that are wanted: some may be left out. */
#define SPARE_USERS		10

/* Queries that are under way at the same time, at most. */
#define QUERIES_MAX		8

/* One of the queries that are sent. */
typedef struct Sent
{
	NauthListing *listing;		/* or NULL, if there was no need for it yet */
	NauthQuery	query;
} Sent;

struct NauthSource
{
	const NauthOptions *options;
	bool		wide;
	Sent		sent[QUERIES_MAX];	/* a ring */
	int			first;			/* the one that is read, or read next */
	int			count;			/* begun, from that on */
	MemoryContext row_cxt;		/* values of one row */
	bool		warned;			/* of a user left out */
	NauthListingTold told;

	/* what is wanted */
	NauthQuery	wanted;
	int			done;			/* of its ids */
	int			taken;			/* queries made of it so far */

	/* the query that is read */
	bool		reading;
	bool		unproved;		/* that it goes back far enough */
	bool		ended;			/* with the last of them */
	int64		rows;
	int64		left_out;
	TimestampTz last;			/* by which the rows are ordered */
};

NauthSource *
nauth_source_open(Oid serverid, Oid userid, bool wide)
{
	NauthSource *source = palloc0(sizeof(NauthSource));

	source->options = nauth_options_get(serverid, userid);
	source->wide = wide;
	source->row_cxt = AllocSetContextCreate(CurrentMemoryContext, "neon_auth_fdw row",
											ALLOCSET_DEFAULT_SIZES);
	return source;
}

void
nauth_source_begin(NauthSource *source, const NauthQuery *wanted)
{
	source->wanted = *wanted;
	source->done = source->taken = 0;
	source->count = 0;
	source->reading = source->ended = false;
}

NauthListingStats
nauth_source_stats(const NauthSource *source)
{
	NauthListingStats stats = {.age = -1};

	for (int i = 0; i < QUERIES_MAX; i++)
		if (source->sent[i].listing)
			nauth_listing_add_stats(source->sent[i].listing, &stats);
	return stats;
}

static NauthListing *
listing_of(const NauthSource *source)
{
	return source->sent[source->first].listing;
}

/* Ask for everything, where the latest changes are not enough. */
static void
begin_all(NauthSource *source)
{
	Sent	   *sent = &source->sent[source->first];

	memset(&sent->query, 0, sizeof(NauthQuery));
	sent->query.kind = NAUTH_QUERY_LIST;
	nauth_listing_begin(sent->listing, &sent->query);
}

/* Begin one more query behind those that are; false if there is none. */
static bool
begin_one(NauthSource *source)
{
	Sent	   *sent = &source->sent[(source->first + source->count) % QUERIES_MAX];
	NauthQuery *query = &sent->query;

	if (!nauth_query_next(&source->wanted, source->options, &source->done, query))
		return false;
	if (query->once && query->limit > 0)
		query->limit = Min(query->limit + SPARE_USERS, source->options->settings.page_size);
	if (sent->listing == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(source));

		sent->listing = nauth_listing_open(source->options, source->wide, &source->told);
		MemoryContextSwitchTo(old);
	}
	nauth_listing_begin(sent->listing, query);
	source->count++;
	source->taken++;
	return true;
}

/*
 * Begin to read the next query; false if there is none.  Whoever wants the second
 * will want the rest, which are sent without waiting.
 */
static bool
begin_next(NauthSource *source)
{
	source->ended = source->count == 0 && !begin_one(source);
	if (source->ended)
		return false;
	source->rows = source->left_out = 0;
	source->unproved = source->wanted.kind == NAUTH_QUERY_CHANGES && source->wanted.limit == 0;
	source->reading = true;
	while (source->taken > 1 && source->count < Min(QUERIES_MAX, source->options->max_concurrency) &&
		   begin_one(source))
	{
		/*
		 * one alone is asked for when it is read; beside others it is sent as
		 * they are
		 */
		if (source->count == 2)
			nauth_listing_start(listing_of(source));
		nauth_listing_start(source->sent[(source->first + source->count - 1) % QUERIES_MAX].listing);
	}
	return true;
}

/* Warn of a user left out: once a scan, for there may be thousands. */
static void
note_left_out(NauthSource *source, const char *reason)
{
	source->left_out++;
	if (source->warned)
		return;
	ereport(WARNING,
			errcode(ERRCODE_DATA_EXCEPTION),
			errmsg("left out a user of server \"%s\" that PostgreSQL cannot hold",
				   source->options->server),
			errdetail("Reason: %s.", reason),
			errhint("More users may be left out; neon_auth.quarantined_user lists them after a refresh."));
	source->warned = true;
}

static _Noreturn void
fail(const NauthSource *source, const char *reason)
{
	NauthError	error = {0};

	nauth_error_set(&error, NAUTH_ERROR_UNFIT, reason);
	nauth_report(&error, NAUTH_PEER_PROVIDER, source->options->server);
}

/* A plan without a sort relies on the order that was asked for. */
static void
check_order(NauthSource *source, const NauthRow *row)
{
	const NauthQuery *wanted = &source->wanted;
	bool		changes = wanted->kind == NAUTH_QUERY_CHANGES;
	NauthColumn column = changes ? NAUTH_UPDATED_AT : NAUTH_CREATED_AT;
	TimestampTz time = DatumGetTimestampTz(row->values[column]);
	bool		descends = changes || wanted->order == NAUTH_ORDER_NEWEST;

	if (changes ? wanted->limit == 0 : wanted->order == NAUTH_ORDER_OWN)
		return;
	if (row->nulls[column])
		fail(source, "a user has no time to be ordered by");
	if (source->rows > 0 && (descends ? time > source->last : time < source->last))
		fail(source, "its users are not in the order that was asked for");
	source->last = time;
}

/* The end of a query; a page that was to be enough was, or there are no more users. */
static void
end_query(NauthSource *source)
{
	const NauthQuery *query = &source->sent[source->first].query;
	int			page = nauth_ask_limit(&source->options->settings, query, NULL);

	if (query->once && source->wanted.limit > 0 && source->rows < source->wanted.limit &&
		source->rows + source->left_out >= page)
		fail(source, "too many users of its first page had to be left out");
	source->reading = false;
	source->count--;
	if (source->count > 0)
		source->first = (source->first + 1) % QUERIES_MAX;
}

bool
nauth_source_next(NauthSource *source, NauthRow *row)
{
	const char *reason;

	for (;;)
	{
		MemoryContext old;
		bool		found;

		if (source->ended || (!source->reading && !begin_next(source)))
			return false;
		if (source->unproved && !nauth_listing_reaches(listing_of(source), source->wanted.from))
			begin_all(source);
		source->unproved = false;
		MemoryContextReset(source->row_cxt);
		old = MemoryContextSwitchTo(source->row_cxt);
		found = nauth_listing_next(listing_of(source), row, &reason);
		MemoryContextSwitchTo(old);
		if (!found)
			end_query(source);
		else if (reason)
			note_left_out(source, reason);
		else
		{
			check_order(source, row);
			source->rows++;
			return true;
		}
	}
}

void
nauth_source_start(NauthSource *source)
{
	while (!source->ended && (source->reading || begin_next(source)))
	{
		nauth_listing_start(listing_of(source));
		if (!nauth_listing_at_end(listing_of(source)))
			break;
		end_query(source);
	}
}

bool
nauth_source_ready(const NauthSource *source)
{
	return source->ended || (source->reading && !nauth_listing_at_end(listing_of(source)) &&
							 nauth_listing_ready(listing_of(source)));
}

int
nauth_source_descriptor(const NauthSource *source)
{
	return source->reading ? nauth_listing_descriptor(listing_of(source)) : -1;
}
