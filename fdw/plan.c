/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Planning of scans of a foreign table.
 *
 * A scan either asks for one user by id or lists them all.  All quals are
 * also checked locally, so that what is asked of the provider only has to be
 * a superset.  Planning does no I/O.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/sysattr.h"
#include "access/table.h"
#include "foreign/foreign.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "neon_auth_fdw.h"
#include "pgcompat.h"
#include "query.h"
#include "users.h"

/* Until ANALYZE or the provider's count tells: a directory of middle size. */
#define DEFAULT_USERS		10000

/* A request takes far longer than anything that is done with its reply. */
#define REQUEST_COST		100
#define USER_COST			0.2

/* What is known of a relation between the planner's calls. */
typedef struct RelationPlan
{
	NauthOptions *options;
	Expr	   *id;				/* ask for this one user, or NULL */
	double		users;			/* that the provider sends */
} RelationPlan;

void
nauth_check_columns(Oid relid)
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

void
neonAuthGetForeignRelSize(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid)
{
	RelationPlan *plan = palloc0(sizeof(RelationPlan));

	nauth_check_columns(foreigntableid);
	plan->options = nauth_options_get(GetForeignTable(foreigntableid)->serverid, InvalidOid);
	plan->id = nauth_query_find_id(baserel, foreigntableid);
	plan->users = baserel->tuples > 0 ? baserel->tuples : DEFAULT_USERS;
	if (plan->id)
		plan->users = 1;
	baserel->fdw_private = plan;
	baserel->tuples = plan->users;
	baserel->rows = plan->id ? 1 :
		clamp_row_est(plan->users * clauselist_selectivity(root, baserel->baserestrictinfo, 0,
														   JOIN_INNER, NULL));
}

void
neonAuthGetForeignPaths(PlannerInfo *root, RelOptInfo *baserel, Oid foreigntableid)
{
	RelationPlan *plan = baserel->fdw_private;
	double		requests = ceil(plan->users / plan->options->settings.page_size);
	Cost		startup = REQUEST_COST + baserel->baserestrictcost.startup;
	Cost		total = startup + REQUEST_COST * (requests - 1) +
	plan->users * (USER_COST + baserel->baserestrictcost.per_tuple);

	add_path(baserel, (Path *)
			 nauth_foreignscan_path(root, baserel, baserel->rows, startup, total));
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
	RelationPlan *plan = baserel->fdw_private;

	return make_foreignscan(tlist,
							extract_actual_clauses(scan_clauses, false),
							baserel->relid,
							plan->id ? list_make1(plan->id) : NIL,
							list_make1(used_columns(baserel, foreigntableid)),
							NIL, NIL, outer_plan);
}
