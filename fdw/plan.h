/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  What is known of a foreign table while a query is planned.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_PLAN_H
#define NAUTH_PLAN_H

#include "nodes/pathnodes.h"

#include "query.h"

/* setting neon_auth_fdw.pushdown */
extern bool nauth_pushdown;

/* A condition, and the qual that it was found in. */
typedef struct NauthPlanCondition
{
	NauthCondition condition;
	RestrictInfo *rinfo;
} NauthPlanCondition;

/* In fdw_private of a relation. */
typedef struct NauthPlanning
{
	const NauthOptions *options;
	Oid			table;
	double		users;			/* in the directory */
	bool		counted;		/* that is known, if only of some time ago */
	bool		cached;			/* and they are at hand, for long enough */
	List	   *conditions;		/* of quals of the relation alone */
} NauthPlanning;

/* Positions in fdw_private of a plan. */
enum NauthPlanPrivate
{
	NauthPlanColumns,			/* IntList: attribute numbers that are read */
	NauthPlanWanted,			/* IntList: see nauth_plan_wanted */
	NauthPlanTests				/* IntList: for each of fdw_exprs, what it is
								 * compared with and how, as NAUTH_PLAN_TEST
								 * has it */
};

#define NAUTH_PLAN_TEST(column, test)	((column) * NAUTH_NUM_TESTS + (test))
#define NAUTH_PLAN_COLUMN_OF(number)	((NauthColumn) ((number) / NAUTH_NUM_TESTS))
#define NAUTH_PLAN_TEST_OF(number)		((NauthTest) ((number) % NAUTH_NUM_TESTS))

/* Positions in fdw_private of a path. */
enum NauthPathPrivate
{
	NauthPathWanted,			/* as in a plan */
	NauthPathTests,				/* as in a plan */
	NauthPathValues,			/* expressions of the conditions */
	NauthPathQuals				/* clauses of the conditions */
};

/* As long as nothing is known: a directory of middle size. */
#define NAUTH_USERS_UNKNOWN	10000

/* in paths.c: add all ways to scan the relation */
extern void nauth_paths_add(PlannerInfo *root, RelOptInfo *baserel);

/* What a plan wants as a list, and back: kind, order, limit, once, most_ids. */
extern List *nauth_plan_list(const NauthQuery *query);
extern void nauth_plan_wanted(const List *list, NauthQuery *query);

/* Refuse columns that a directory does not have, or of another type. */
extern void nauth_plan_check_columns(Oid relid);

/* How many users the targets of a server have, 0 if that is not known. */
extern double nauth_plan_synced(const char *server);

#endif							/* NAUTH_PLAN_H */
