/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Planning of scans of a foreign table: what is known, and the plan.
 *
 * The ways to scan are in paths.c.  All quals are also checked locally, so that
 * what is asked of the provider only has to be a superset.  Planning does no
 * I/O beyond this server.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"
#include "utils/snapmgr.h"

#include "listing.h"
#include "neon_auth_fdw.h"
#include "pgcompat.h"
#include "plan.h"

bool		nauth_pushdown = true;

void
nauth_plan_check_columns(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		int			column;

		if (att->attisdropped)
			continue;
		column = nauth_column_find(NameStr(att->attname));
		if (column < 0)
			ereport(ERROR,
					errcode(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND),
					errmsg("column \"%s\" of foreign table \"%s\" is not a column of a user directory",
						   NameStr(att->attname), RelationGetRelationName(rel)),
					errhint("Columns are: %s.", nauth_column_names()));
		if (att->atttypid != nauth_columns[column].type)
			ereport(ERROR,
					errcode(ERRCODE_FDW_INVALID_DATA_TYPE),
					errmsg("column \"%s\" of foreign table \"%s\" must have type %s",
						   NameStr(att->attname), RelationGetRelationName(rel),
						   format_type_be(nauth_columns[column].type)),
					errhint("Drop the foreign table and create it again with IMPORT FOREIGN SCHEMA directory."));
	}
	table_close(rel, NoLock);
}

/*
 * How many users a target of this server has, 0 if there is none.  Read without
 * regard to privileges, for it is an estimate and no more.
 */
double
nauth_plan_synced(const char *server)
{
	Oid			state = get_relname_relid("sync_state", get_namespace_oid("neon_auth", true));
	AttrNumber	server_attnum = get_attnum(state, "server");
	AttrNumber	users_attnum = get_attnum(state, "live_users");
	double		users = 0;
	Relation	rel;
	TableScanDesc scan;
	TupleTableSlot *slot;

	if (server_attnum == InvalidAttrNumber || users_attnum == InvalidAttrNumber || !ActiveSnapshotSet())
		return 0;
	rel = table_open(state, AccessShareLock);
	slot = table_slot_create(rel, NULL);
	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		name = slot_getattr(slot, server_attnum, &isnull);

		if (!isnull && strcmp(TextDatumGetCString(name), server) == 0)
			users = Max(users, DatumGetInt64(slot_getattr(slot, users_attnum, &isnull)));
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return users;
}

static List *
find_conditions(PlannerInfo *root, RelOptInfo *baserel, Oid table)
{
	List	   *conditions = NIL;
	ListCell   *lc;

	foreach(lc, baserel->baserestrictinfo)
	{
		NauthPlanCondition *found = palloc(sizeof(NauthPlanCondition));

		found->rinfo = lfirst_node(RestrictInfo, lc);
		if (nauth_query_match(root, found->rinfo->clause, baserel->relid, table, &found->condition))
			conditions = lappend(conditions, found);
	}
	return conditions;
}

/* How many rows an equality with ids leaves, for each id is one user's; -1: none. */
static double
count_ids(PlannerInfo *root, const List *conditions)
{
	double		rows = -1;
	ListCell   *lc;

	foreach(lc, conditions)
	{
		const NauthCondition *condition = &((NauthPlanCondition *) lfirst(lc))->condition;
		double		ids;

		if (condition->column != NAUTH_ID)
			continue;
		ids = condition->test == NAUTH_TEST_ANY ?
			nauth_estimate_array_length(root, (Node *) condition->value) : 1;
		rows = rows < 0 ? ids : Min(rows, ids);
	}
	return rows;
}

void
neonAuthGetForeignRelSize(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid)
{
	NauthPlanning *planning = palloc0(sizeof(NauthPlanning));
	Oid			userid = OidIsValid(baserel->userid) ? baserel->userid : GetUserId();
	NauthConnectionId id;
	int64		cached;
	double		ids;

	nauth_plan_check_columns(foreigntableid);
	planning->table = foreigntableid;
	planning->options = nauth_options_get(baserel->serverid, InvalidOid);
	id = planning->options->connection;
	id.mapping = nauth_options_mapping(baserel->serverid, userid);
	cached = OidIsValid(id.mapping) ? nauth_listing_cached(&id) : -1;
	if (nauth_pushdown)
		planning->conditions = find_conditions(root, baserel, foreigntableid);
	ids = count_ids(root, planning->conditions);

	/*
	 * A plan may be used again when the cache is fresh no more.  That is no
	 * risk to take where a request or two are enough anyway.
	 */
	planning->cached = cached >= 0 && ids < 0;
	planning->users = cached >= 0 ? cached :
		baserel->tuples > 0 ? baserel->tuples : nauth_plan_synced(planning->options->server);
	planning->counted = planning->users > 0 || cached >= 0;
	if (!planning->counted)
		planning->users = NAUTH_USERS_UNKNOWN;
	baserel->fdw_private = planning;
	baserel->tuples = planning->users;
	baserel->rows = clamp_row_est(planning->users *
								  clauselist_selectivity(root, baserel->baserestrictinfo, 0, JOIN_INNER, NULL));
	if (ids >= 0)
		baserel->rows = clamp_row_est(Min(baserel->rows, ids));
}

void
neonAuthGetForeignPaths(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid)
{
	nauth_paths_add(root, baserel);
}

List *
nauth_plan_list(const NauthQuery *query)
{
	return list_make5_int(query->kind, query->order, query->limit, query->once, query->most_ids);
}

void
nauth_plan_wanted(const List *list, NauthQuery *query)
{
	memset(query, 0, sizeof(*query));
	query->kind = linitial_int(list);
	query->order = lsecond_int(list);
	query->limit = lthird_int(list);
	query->once = lfourth_int(list);
	query->most_ids = list_nth_int(list, 4);
}

/* Attribute numbers that the scan's target list and quals read. */
static List *
used_columns(RelOptInfo *baserel, Oid relid)
{
	Bitmapset  *used = NULL;
	List	   *columns = NIL;
	ListCell   *lc;
	bool		whole_row;

	pull_varattnos((Node *) baserel->reltarget->exprs, baserel->relid, &used);
	foreach(lc, baserel->baserestrictinfo)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, lc)->clause,
					   baserel->relid, &used);
	whole_row = bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used);
	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
	{
		AttrNumber	attnum = get_attnum(relid, nauth_columns[i].name);

		if (attnum != InvalidAttrNumber &&
			(whole_row || bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, used)))
			columns = lappend_int(columns, attnum);
	}
	return columns;
}

ForeignScan *
neonAuthGetForeignPlan(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid,
					   ForeignPath *best_path, List *tlist, List *scan_clauses,
					   Plan *outer_plan)
{
	List	   *path = best_path->fdw_private;
	bool		counts = baserel->reloptkind == RELOPT_UPPER_REL;
	List	   *columns = counts ? NIL : used_columns(baserel, foreigntableid);
	List	   *scan_tlist = NIL;

	if (counts)
		scan_tlist = add_to_flat_tlist(NIL, pull_var_clause((Node *) tlist, PVC_INCLUDE_AGGREGATES));
	return make_foreignscan(tlist,
							extract_actual_clauses(scan_clauses, false),
							counts ? 0 : baserel->relid,
							list_nth(path, NauthPathValues),
							list_make3(columns, list_nth(path, NauthPathWanted), list_nth(path, NauthPathTests)),
							scan_tlist,
							list_nth(path, NauthPathQuals),
							outer_plan);
}
