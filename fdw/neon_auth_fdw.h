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

/* in neon_auth_fdw.c */

/*
 * The foreign server of this name, for a function that will ask its provider
 * with the credential of a role.  Raises an error if there is none, it is not
 * one of ours, or the role has no USAGE on it.
 */
extern ForeignServer *nauth_server_to_ask(const char *name, Oid role);

/* in plan.c */

extern void neonAuthGetForeignRelSize(PlannerInfo *root, RelOptInfo *baserel,
									  Oid foreigntableid);
extern void neonAuthGetForeignPaths(PlannerInfo *root, RelOptInfo *baserel,
									Oid foreigntableid);
extern ForeignScan *neonAuthGetForeignPlan(PlannerInfo *root, RelOptInfo *baserel,
										   Oid foreigntableid, ForeignPath *best_path,
										   List *tlist, List *scan_clauses,
										   Plan *outer_plan);

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
