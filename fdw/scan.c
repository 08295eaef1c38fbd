/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  Execution of scans of a foreign table.
 *
 * Nothing is asked before the first row is wanted, so that EXPLAIN and a scan
 * that is never reached cost nothing.  A scan that may be repeated within its
 * statement keeps its rows: the directory may change at any time, a statement
 * must not see two states of it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "listing.h"
#include "neon_auth_fdw.h"
#include "pgcompat.h"
#include "query.h"
#include "users.h"

typedef struct DirectoryScan
{
	/* set when the scan begins */
	Oid			userid;			/* whose user mapping is used */
	Oid			serverid;
	Bitmapset  *id_params;		/* executor parameters that id depends on */
	ExprState  *id;				/* computes the one id to ask for, or NULL */
	int			column_of[NAUTH_NUM_COLUMNS];	/* attribute index of each
												 * column, -1 if not read */
	MemoryContext scan_cxt;		/* the listing, until the end of the scan */
	MemoryContext id_cxt;		/* the one id */
	MemoryContext user_cxt;		/* values of one row */

	/* set when the first row is wanted */
	NauthOptions *options;
	NauthListing *listing;
	bool		begun;
	bool		finished;
	bool		warned;			/* of a user left out */

	/* rows already read, if the scan may be repeated */
	Tuplestorestate *rows;
	TupleTableSlot *row_slot;
} DirectoryScan;

/* Where each column of the directory goes. */
static void
set_columns(DirectoryScan *state, TupleDesc desc, List *attnums)
{
	ListCell   *lc;

	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
		state->column_of[i] = -1;
	foreach(lc, attnums)
	{
		int			attno = lfirst_int(lc) - 1;

		state->column_of[nauth_column_find(NameStr(TupleDescAttr(desc, attno)->attname))] = attno;
	}
}

/* Add the executor parameters that an expression depends on. */
static bool
collect_params(Node *node, Bitmapset **params)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		*params = bms_add_member(*params, ((Param *) node)->paramid);
	return expression_tree_walker(node, collect_params, params);
}

/* Keep the rows from now on, for a scan that may be repeated. */
static void
keep_rows(ForeignScanState *node)
{
	DirectoryScan *state = node->fdw_state;
	MemoryContext old = MemoryContextSwitchTo(node->ss.ps.state->es_query_cxt);

	state->rows = tuplestore_begin_heap(false, false, work_mem);
	tuplestore_set_eflags(state->rows, EXEC_FLAG_REWIND);
	state->row_slot = MakeSingleTupleTableSlot(RelationGetDescr(node->ss.ss_currentRelation),
											   &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(old);
}

void
neonAuthBeginForeignScan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	Relation	rel = node->ss.ss_currentRelation;
	DirectoryScan *state = palloc0(sizeof(DirectoryScan));
	MemoryContext cxt = node->ss.ps.state->es_query_cxt;

	node->fdw_state = state;
	state->userid = nauth_scan_check_as_user(node);
	if (!OidIsValid(state->userid))
		state->userid = GetUserId();
	state->serverid = GetForeignTable(RelationGetRelid(rel))->serverid;
	set_columns(state, RelationGetDescr(rel), list_nth(plan->fdw_private, NauthPlanColumns));
	if (plan->fdw_exprs != NIL)
	{
		state->id = ExecInitExpr(linitial(plan->fdw_exprs), &node->ss.ps);
		collect_params((Node *) plan->fdw_exprs, &state->id_params);
		if (contain_subplans((Node *) plan->fdw_exprs))
			state->id_params = bms_add_members(state->id_params, plan->scan.plan.allParam);
	}
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;

	state->scan_cxt = AllocSetContextCreate(cxt, "neon_auth_fdw scan", ALLOCSET_DEFAULT_SIZES);
	state->id_cxt = AllocSetContextCreate(state->scan_cxt, "neon_auth_fdw id", ALLOCSET_SMALL_SIZES);
	state->user_cxt = AllocSetContextCreate(cxt, "neon_auth_fdw user", ALLOCSET_DEFAULT_SIZES);

	/*
	 * With parameters in the statement, a scan may be repeated unannounced,
	 * even where it uses none itself: in a subquery or in a recursion.
	 */
	if ((eflags & EXEC_FLAG_REWIND) ||
		node->ss.ps.state->es_plannedstmt->paramExecTypes != NIL)
		keep_rows(node);
}

/* The id to ask for, or NULL if no user can have it. */
static char *
compute_id(ForeignScanState *node, const NauthProvider *provider)
{
	DirectoryScan *state = node->fdw_state;
	bool		isnull;
	Datum		value = ExecEvalExpr(state->id, node->ss.ps.ps_ExprContext, &isnull);
	char	   *id = isnull ? NULL : TextDatumGetCString(value);

	return id && nauth_read_id_possible(provider, id) ? id : NULL;
}

/*
 * Begin to read: the one user asked for, or all.  False if no user can be what
 * is asked for.
 */
static bool
begin_query(ForeignScanState *node)
{
	DirectoryScan *state = node->fdw_state;
	NauthQuery	query = {.kind = state->id ? NAUTH_QUERY_USER : NAUTH_QUERY_LIST};
	MemoryContext old = MemoryContextSwitchTo(state->scan_cxt);

	if (state->listing == NULL)
	{
		state->options = nauth_options_get(state->serverid, state->userid);
		state->listing = nauth_listing_open(state->options, state->column_of[NAUTH_RAW_JSON] >= 0);
	}
	if (state->id)
	{
		MemoryContextReset(state->id_cxt);
		MemoryContextSwitchTo(state->id_cxt);
		query.id = compute_id(node, state->options->provider);
	}
	MemoryContextSwitchTo(old);
	if (state->id == NULL || query.id)
		nauth_listing_begin(state->listing, &query);
	state->begun = true;
	return state->id == NULL || query.id;
}

/* Warn of a user left out: once a scan, for there may be thousands. */
static void
warn_left_out(DirectoryScan *state, const char *reason)
{
	if (state->warned)
		return;
	ereport(WARNING,
			errcode(ERRCODE_DATA_EXCEPTION),
			errmsg("left out a user of server \"%s\" that PostgreSQL cannot hold",
				   state->options->server),
			errdetail("Reason: %s.", reason),
			errhint("More users may be left out; neon_auth.quarantined_user lists them after a refresh."));
	state->warned = true;
}

/* Put the wanted columns into the slot. */
static void
fill_slot(const DirectoryScan *state, const NauthRow *row, TupleTableSlot *slot)
{
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
	{
		int			attno = state->column_of[i];

		if (attno >= 0)
		{
			slot->tts_values[attno] = row->values[i];
			slot->tts_isnull[attno] = row->nulls[i];
		}
	}
	ExecStoreVirtualTuple(slot);
}

/* Read the next row from the directory into the slot; empty at the end. */
static void
read_row(ForeignScanState *node, TupleTableSlot *slot)
{
	DirectoryScan *state = node->fdw_state;
	const char *reason;
	NauthRow	row;

	ExecClearTuple(slot);
	if (!state->begun)
		state->finished = !begin_query(node);
	while (!state->finished)
	{
		MemoryContext old;

		MemoryContextReset(state->user_cxt);
		old = MemoryContextSwitchTo(state->user_cxt);
		state->finished = !nauth_listing_next(state->listing, &row, &reason);
		MemoryContextSwitchTo(old);
		if (state->finished)
			break;
		if (reason == NULL)
		{
			fill_slot(state, &row, slot);
			break;
		}
		warn_left_out(state, reason);
	}
}

TupleTableSlot *
neonAuthIterateForeignScan(ForeignScanState *node)
{
	DirectoryScan *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (state->rows == NULL)
	{
		read_row(node, slot);
		return slot;
	}
	if (tuplestore_gettupleslot(state->rows, true, false, state->row_slot))
	{
		ExecCopySlot(slot, state->row_slot);
		/* a row that was on disk lies in memory that the next call has lost */
		ExecClearTuple(state->row_slot);
		return slot;
	}
	read_row(node, slot);
	if (!TupIsNull(slot))
		tuplestore_puttupleslot(state->rows, slot);
	return slot;
}

/* Begin again: with other parameters from the start, else with the kept rows. */
void
neonAuthReScanForeignScan(ForeignScanState *node)
{
	DirectoryScan *state = node->fdw_state;
	bool		same = !bms_overlap(node->ss.ps.chgParam, state->id_params);

	if (same && state->rows)
	{
		tuplestore_rescan(state->rows);
		return;
	}
	if (state->rows)
		tuplestore_clear(state->rows);
	state->begun = false;
	state->finished = false;
}

void
neonAuthEndForeignScan(ForeignScanState *node)
{
	DirectoryScan *state = node->fdw_state;

	if (state == NULL || state->scan_cxt == NULL)
		return;
	MemoryContextDelete(state->scan_cxt);
	if (state->rows)
	{
		ExecDropSingleTupleTableSlot(state->row_slot);
		tuplestore_end(state->rows);
	}
}

/* What the cache was good for, and how old its answer is. */
static void
explain_cache(const NauthListingStats *stats, ExplainState *es)
{
	double		age = stats->age / 1e6;

	if (es->format != EXPLAIN_FORMAT_TEXT)
	{
		ExplainPropertyInteger("Cache Hits", NULL, stats->hits, es);
		ExplainPropertyInteger("Cache Stale", NULL, stats->stale, es);
		ExplainPropertyInteger("Cache Misses", NULL, stats->misses, es);
		if (stats->age >= 0)
			ExplainPropertyFloat("Cache Age", "s", age, 3, es);
		return;
	}
	ExplainPropertyText("Cache",
						psprintf("hits=" INT64_FORMAT " stale=" INT64_FORMAT " misses=" INT64_FORMAT "%s",
								 stats->hits, stats->stale, stats->misses,
								 stats->age >= 0 ? psprintf(" age=%.3f s", age) : ""), es);
}

/*
 * With VERBOSE: the request that the scan begins with.  With ANALYZE: what the
 * scan has cost.
 */
void
neonAuthExplainForeignScan(ForeignScanState *node, ExplainState *es)
{
	DirectoryScan *state = node->fdw_state;
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	NauthQuery	query = {.kind = state->id ? NAUTH_QUERY_USER : NAUTH_QUERY_LIST};

	if (es->verbose)
	{
		NauthOptions *options = nauth_options_get(state->serverid, InvalidOid);

		if (state->id && IsA(linitial(plan->fdw_exprs), Const))
			query.id = compute_id(node, options->provider);
		ExplainPropertyText("Request", psprintf("GET %s", nauth_query_url(options, &query)), es);
	}
	if (es->analyze && state->listing)
	{
		NauthListingStats stats = nauth_listing_stats(state->listing);

		ExplainPropertyInteger("Requests", NULL, stats.requests, es);
		if (stats.cached)
			explain_cache(&stats, es);
	}
}
