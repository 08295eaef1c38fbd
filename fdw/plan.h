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

/* Positions in fdw_private of a path. */
enum NauthPathPrivate
{
	NauthPathWanted,			/* as in a plan */
	NauthPathTests,				/* as in a plan */
	NauthPathValues,			/* expressions of the conditions */
	NauthPathQuals				/* clauses of the conditions */
};

/* in paths.c: add all ways to scan the relation */
extern void nauth_paths_add(PlannerInfo *root, RelOptInfo *baserel);

/* A query as a list, and back. */
extern List *nauth_plan_list(const NauthQuery *query);

/* How many users the targets of a server have, 0 if that is not known. */
extern double nauth_plan_synced(const char *server);

#endif							/* NAUTH_PLAN_H */
