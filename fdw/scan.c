/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  Execution of scans of a foreign table.
 *
 * Nothing is asked before the first row is wanted, so that EXPLAIN and a scan
 * that is never reached cost nothing.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "neon_auth_fdw.h"
#include "pgcompat.h"
#include "plan.h"
#include "scan.h"

/* Where each column of the directory goes. */
static void
set_columns(NauthScan *scan, Relation rel, List *attnums)
{
	ListCell   *lc;

	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
		scan->column_of[i] = -1;
	foreach(lc, attnums)
	{
		int			attno = lfirst_int(lc) - 1;
		const char *name = NameStr(TupleDescAttr(RelationGetDescr(rel), attno)->attname);

		scan->column_of[nauth_column_find(name)] = attno;
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

/* Whether another scan of the statement may read the same directory. */
static bool
has_company(EState *estate, Oid serverid)
{
	int			scans = 0;
	ListCell   *lc;

	foreach(lc, estate->es_range_table)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_RELATION && rte->relkind == RELKIND_FOREIGN_TABLE &&
			GetForeignServerIdByRelId(rte->relid) == serverid)
			scans++;
	}
	return scans > 1;
}

void
neonAuthBeginForeignScan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	EState	   *estate = node->ss.ps.state;
	NauthScan  *scan = palloc0(sizeof(NauthScan));

	node->fdw_state = scan;
	scan->who.estate = estate;
	scan->who.serverid = plan->fs_server;
	scan->who.userid = nauth_scan_check_as_user(node);
	if (!OidIsValid(scan->who.userid))
		scan->who.userid = GetUserId();
	set_columns(scan, node->ss.ss_currentRelation, list_nth(plan->fdw_private, NauthPlanColumns));
	scan->values = ExecInitExprList(plan->fdw_exprs, &node->ss.ps);
	collect_params((Node *) plan->fdw_exprs, &scan->params);
	if (contain_subplans((Node *) plan->fdw_exprs))
		scan->params = bms_add_members(scan->params, plan->scan.plan.allParam);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;

	scan->scan_cxt = AllocSetContextCreate(estate->es_query_cxt, "neon_auth_fdw scan", ALLOCSET_DEFAULT_SIZES);
	scan->query_cxt = AllocSetContextCreate(scan->scan_cxt, "neon_auth_fdw query", ALLOCSET_SMALL_SIZES);

	/*
	 * With parameters in the statement, a scan may be repeated unannounced,
	 * even where it uses none itself: in a subquery or in a recursion.
	 */
	scan->keeps = (eflags & EXEC_FLAG_REWIND) || estate->es_plannedstmt->paramExecTypes != NIL ||
		estate->es_epq_active || has_company(estate, plan->fs_server);
	if (scan->keeps)
		nauth_kept_announce(&scan->who, scan->column_of[NAUTH_RAW_JSON] >= 0);
}

bool
nauth_scan_wanted(ForeignScanState *node, const NauthProvider *provider, bool known, NauthQuery *wanted)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	NauthScan  *scan = node->fdw_state;
	List	   *tests = list_nth(plan->fdw_private, NauthPlanTests);
	ListCell   *lc_expr;
	ListCell   *lc_state;
	ListCell   *lc_test;
	bool		somebody = true;

	nauth_plan_wanted(list_nth(plan->fdw_private, NauthPlanWanted), wanted);
	forthree(lc_expr, plan->fdw_exprs, lc_state, scan->values, lc_test, tests)
	{
		NauthValue	value = {
			.column = NAUTH_PLAN_COLUMN_OF(lfirst_int(lc_test)),
			.test = NAUTH_PLAN_TEST_OF(lfirst_int(lc_test)),
			.type = exprType(lfirst(lc_expr)),
			.unknown = !known && !IsA(lfirst(lc_expr), Const),
		};

		if (!value.unknown)
			value.value = ExecEvalExpr((ExprState *) lfirst(lc_state), node->ss.ps.ps_ExprContext,
									   &value.isnull);
		somebody &= nauth_query_narrow(wanted, provider, &value);
	}
	if (wanted->most_ids > 0 && wanted->n_ids > wanted->most_ids)
	{
		wanted->ids = NULL;
		wanted->n_ids = 0;
	}
	return somebody;
}

/*
 * Words that tell what is wanted from anything else; NULL where that is not worth
 * it, or differs from one time to the next.
 */
static char *
make_key(const NauthScan *scan, const NauthQuery *wanted)
{
	if (scan->params || wanted->ids)
		return NULL;
	return psprintf("%d %d %d " INT64_FORMAT " %s", wanted->order, wanted->limit, wanted->once,
					(int64) wanted->from, nauth_query_key(scan->options, wanted));
}

/* Begin to read what is wanted with the parameters of now. */
static void
begin_reading(ForeignScanState *node)
{
	NauthScan  *scan = node->fdw_state;
	MemoryContext old = MemoryContextSwitchTo(scan->scan_cxt);
	NauthQuery	wanted;

	if (scan->options == NULL)
		scan->options = nauth_options_get(scan->who.serverid, InvalidOid);
	MemoryContextReset(scan->query_cxt);
	MemoryContextSwitchTo(scan->query_cxt);
	scan->nobody = !nauth_scan_wanted(node, scan->options->provider, true, &wanted);
	if (scan->nobody)
		;						/* there is nothing to ask */
	else if (scan->keeps && scan->kept == NULL)
	{
		scan->kept = nauth_kept_open(&scan->who, &wanted, make_key(scan, &wanted), &scan->shared);
		scan->reader = nauth_kept_join(scan->kept);
	}
	else if (scan->keeps)
		nauth_kept_restart(scan->kept, &wanted);
	else
	{
		MemoryContextSwitchTo(scan->scan_cxt);
		if (scan->source == NULL)
			scan->source = nauth_source_open(scan->who.serverid, scan->who.userid,
											 scan->column_of[NAUTH_RAW_JSON] >= 0);
		nauth_source_begin(scan->source, &wanted);
	}
	MemoryContextSwitchTo(old);
	scan->begun = true;
}

/* Put the wanted columns into the slot; those of a count are all the number. */
static void
fill_slot(const NauthScan *scan, const NauthRow *row, bool counts, TupleTableSlot *slot)
{
	int			natts = slot->tts_tupleDescriptor->natts;

	memset(slot->tts_isnull, !counts, natts * sizeof(bool));
	for (int i = 0; counts && i < natts; i++)
		slot->tts_values[i] = Int64GetDatum(pg_strtoint64(TextDatumGetCString(row->values[NAUTH_ID])));
	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
	{
		int			attno = scan->column_of[i];

		if (attno >= 0)
		{
			slot->tts_values[attno] = row->values[i];
			slot->tts_isnull[attno] = row->nulls[i];
		}
	}
	ExecStoreVirtualTuple(slot);
}

/*
 * Give the row memory of its own, for another scan may read on while it is still of
 * use.  It has no transactions, in whose place there would be anything.
 */
static void
materialize(TupleTableSlot *slot)
{
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, true, NULL);

	HeapTupleHeaderSetXmin(tuple->t_data, InvalidTransactionId);
	HeapTupleHeaderSetXmax(tuple->t_data, InvalidTransactionId);
	HeapTupleHeaderSetCmin(tuple->t_data, InvalidTransactionId);
}

NauthSource *
nauth_scan_source(const NauthScan *scan)
{
	return scan->kept ? nauth_kept_source(scan->kept) : scan->source;
}

bool
nauth_scan_start(ForeignScanState *node)
{
	NauthScan  *scan = node->fdw_state;

	if (!scan->begun)
		begin_reading(node);
	if (scan->nobody || (scan->kept && nauth_kept_has_more(scan->kept, scan->reader)))
		return true;
	nauth_source_start(nauth_scan_source(scan));
	return nauth_source_ready(nauth_scan_source(scan));
}

int
nauth_scan_descriptor(ForeignScanState *node)
{
	return nauth_source_descriptor(nauth_scan_source(node->fdw_state));
}

TupleTableSlot *
neonAuthIterateForeignScan(ForeignScanState *node)
{
	NauthScan  *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	NauthRow	row;

	ExecClearTuple(slot);
	if (!scan->begun)
		begin_reading(node);

	/* who does not wait is told no row, until there is one */
	if (node->ss.ps.async_capable && !nauth_scan_start(node))
		return slot;
	scan->ended = scan->nobody ||
		!(scan->kept ? nauth_kept_next(scan->kept, scan->reader, &row) :
		  nauth_source_next(scan->source, &row));
	if (!scan->ended)
		fill_slot(scan, &row, node->ss.ss_currentRelation == NULL, slot);

	if (scan->kept && !TupIsNull(slot))
		materialize(slot);
	return slot;
}

/* Begin again: with other parameters from the start, else with the kept rows. */
void
neonAuthReScanForeignScan(ForeignScanState *node)
{
	NauthScan  *scan = node->fdw_state;

	scan->ended = false;
	if (!scan->keeps || bms_overlap(node->ss.ps.chgParam, scan->params))
		scan->begun = false;
	else if (scan->kept)
		nauth_kept_rewind(scan->kept, scan->reader);
}

void
neonAuthEndForeignScan(ForeignScanState *node)
{
	NauthScan  *scan = node->fdw_state;

	if (scan->scan_cxt == NULL)
		return;
	MemoryContextDelete(scan->scan_cxt);
	if (scan->kept)
		nauth_kept_leave(scan->kept, scan->reader);
	if (scan->keeps)
		nauth_kept_withdraw(&scan->who);
}
