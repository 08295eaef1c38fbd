/*-------------------------------------------------------------------------
 *
 * neon_auth_fdw.h
 *	  What the entry points of the extension share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NEON_AUTH_FDW_H
#define NEON_AUTH_FDW_H

#include "foreign/fdwapi.h"
#include "foreign/foreign.h"

#include "provider/provider.h"

/* Positions in fdw_private of a plan. */
enum NauthPlanPrivate
{
	NauthPlanColumns,			/* IntList: attribute numbers that are read */
	NauthPlanWanted,			/* IntList: see nauth_plan_wanted */
	NauthPlanTests				/* IntList: for each of fdw_exprs, what it is
								 * compared with and how, as PLAN_TEST has it */
};

#define NAUTH_PLAN_TEST(column, test)	((column) * 8 + (test))
#define NAUTH_PLAN_COLUMN_OF(number)	((NauthColumn) ((number) / 8))
#define NAUTH_PLAN_TEST_OF(number)		((NauthTest) ((number) % 8))

/* in neon_auth_fdw.c */

/*
 * The foreign server of this name, for a function that will ask its provider
 * with the credential of a role.  Raises an error if there is none, it is not
 * one of ours, or the role has no USAGE on it.
 */
extern ForeignServer *nauth_server_to_ask(const char *name, Oid role);

extern bool nauth_pushdown;		/* setting neon_auth_fdw.pushdown */

/* in plan.c */

/* Refuse columns that a directory does not have, or of another type. */
extern void nauth_check_columns(Oid relid);

extern void neonAuthGetForeignRelSize(PlannerInfo *root, RelOptInfo *baserel,
									  Oid foreigntableid);
extern void neonAuthGetForeignPaths(PlannerInfo *root, RelOptInfo *baserel,
									Oid foreigntableid);
extern ForeignScan *neonAuthGetForeignPlan(PlannerInfo *root, RelOptInfo *baserel,
										   Oid foreigntableid, ForeignPath *best_path,
										   List *tlist, List *scan_clauses,
										   Plan *outer_plan);

/* What a plan wants, of NauthPlanWanted: kind, order, limit, once, most_ids. */
extern void nauth_plan_wanted(const List *list, NauthQuery *query);

/* in paths.c */
extern List *neonAuthReparameterizeForeignPathByChild(PlannerInfo *root, List *fdw_private, RelOptInfo *child_rel);
extern void neonAuthGetForeignUpperPaths(PlannerInfo *root, UpperRelationKind stage,
										 RelOptInfo *input_rel, RelOptInfo *output_rel,
										 void *extra);

/* in scan.c */
extern void neonAuthBeginForeignScan(ForeignScanState *node, int eflags);
extern TupleTableSlot *neonAuthIterateForeignScan(ForeignScanState *node);
extern void neonAuthReScanForeignScan(ForeignScanState *node);
extern void neonAuthEndForeignScan(ForeignScanState *node);

/* in async.c */
extern bool neonAuthIsForeignPathAsyncCapable(ForeignPath *path);
extern void neonAuthForeignAsyncRequest(AsyncRequest *areq);
extern void neonAuthForeignAsyncConfigureWait(AsyncRequest *areq);
extern void neonAuthForeignAsyncNotify(AsyncRequest *areq);

/* in explain.c */
extern void neonAuthExplainForeignScan(ForeignScanState *node, struct ExplainState *es);

/* in analyze.c */
extern bool neonAuthAnalyzeForeignTable(Relation relation, AcquireSampleRowsFunc *func,
										BlockNumber *totalpages);

/* in import.c */
extern List *neonAuthImportForeignSchema(ImportForeignSchemaStmt *stmt, Oid serverOid);

#endif							/* NEON_AUTH_FDW_H */
