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

#include "query.h"
#include "report.h"
#include "source.h"

/* Users asked for beyond the rows that are wanted: some may be left out. */
#define SPARE_USERS		10

struct NauthSource
{
	const NauthOptions *options;
	NauthListing *listing;
	MemoryContext row_cxt;		/* values of one row */
	bool		warned;			/* of a user left out */

	/* what is wanted */
	NauthQuery	wanted;
	int			done;			/* of its ids */

	/* the query under way */
	NauthQuery	query;
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
	source->listing = nauth_listing_open(source->options, wide);
	source->row_cxt = AllocSetContextCreate(CurrentMemoryContext, "neon_auth_fdw row",
											ALLOCSET_DEFAULT_SIZES);
	return source;
}

const NauthOptions *
nauth_source_options(const NauthSource *source)
{
	return source->options;
}

void
nauth_source_begin(NauthSource *source, const NauthQuery *wanted)
{
	source->wanted = *wanted;
	source->done = 0;
	source->reading = source->ended = false;
}

NauthListingStats
nauth_source_stats(const NauthSource *source)
{
	return nauth_listing_stats(source->listing);
}

/* Ask for everything, where the latest changes are not enough. */
static void
begin_all(NauthSource *source)
{
	NauthQuery	all = {.kind = NAUTH_QUERY_LIST};

	source->query = all;
	nauth_listing_begin(source->listing, &all);
}

/* Begin the next query; false if there is none. */
static bool
begin_next(NauthSource *source)
{
	NauthQuery *query = &source->query;

	source->ended = !nauth_query_next(&source->wanted, source->options, &source->done, query);
	if (source->ended)
		return false;
	if (query->once && query->limit > 0)
		query->limit = Min(query->limit + SPARE_USERS, source->options->settings.page_size);
	source->rows = source->left_out = 0;
	nauth_listing_begin(source->listing, query);
	source->unproved = source->wanted.kind == NAUTH_QUERY_CHANGES && source->wanted.limit == 0;
	source->reading = true;
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
	const NauthQuery *query = &source->query;
	int			page = nauth_read_limit(&source->options->settings, query, NULL);

	if (query->once && source->wanted.limit > 0 && source->rows < source->wanted.limit &&
		source->rows + source->left_out >= page)
		fail(source, "too many users of its first page had to be left out");
	source->reading = false;
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
		if (source->unproved && !nauth_listing_reaches(source->listing, source->query.from))
			begin_all(source);
		source->unproved = false;
		MemoryContextReset(source->row_cxt);
		old = MemoryContextSwitchTo(source->row_cxt);
		found = nauth_listing_next(source->listing, row, &reason);
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
		nauth_listing_start(source->listing);
		if (!nauth_listing_at_end(source->listing))
			break;
		end_query(source);
	}
}

bool
nauth_source_ready(const NauthSource *source)
{
	return source->ended || (source->reading && !nauth_listing_at_end(source->listing) &&
							 nauth_listing_ready(source->listing));
}

int
nauth_source_descriptor(const NauthSource *source)
{
	return source->reading ? nauth_listing_descriptor(source->listing) : -1;
}
