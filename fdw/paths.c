/*-------------------------------------------------------------------------
 *
 * paths.c
 *	  The ways to scan a foreign table, and what they cost.
 *
 * A listing of all users is always one.  Others ask for less, where the quals,
 * the order or the limit of the query allow it and the provider can: users by id
 * or e-mail address, a window of creation times, the first page by some order,
 * their number.  The planner takes the cheapest, and nearly all that they cost
 * is requests.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "optimizer/appendinfo.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "utils/fmgroids.h"
#include "utils/selfuncs.h"
#include "utils/typcache.h"

#include "neon_auth_fdw.h"
#include "pgcompat.h"
#include "plan.h"

/* A page of the cache, as a part of what a request costs. */
#define CACHED_PAGE			0.05

/* How likely the latest changes go back as far as they should, or do not. */
#define PAGE_TOO_SHORT		0.5

/* What the query wants of a relation, besides its quals. */
typedef struct Demand
{
	PathKey    *first;			/* of the wanted order, on one of our times;
								 * or NULL */
	NauthColumn column;			/* which time */
	bool		descends;
	bool		ordered;		/* it is all of the order, or none is wanted */
	double		limit;			/* rows that will be read at most, if they
								 * come in that order and all are rows of the
								 * result; or -1 */
} Demand;

/* One way. */
typedef struct Way
{
	NauthQuery	query;			/* kind, order, limit, once */
	List	   *conditions;		/* NauthPlanCondition */
	double		users;			/* that the provider sends */
	double		requests;
	double		rows;
	PathKey    *pathkey;		/* or NULL */
	Relids		outer;			/* that values of conditions come from */
} Way;

/* ---- What is wanted */

/* The time of the relation that a path key orders by, or -1. */
static int
ordered_column(const PathKey *pathkey, RelOptInfo *rel, Oid table)
{
	ListCell   *lc;

	if (pathkey->pk_opfamily != lookup_type_cache(TIMESTAMPTZOID, TYPECACHE_BTREE_OPFAMILY)->btree_opf)
		return -1;
	foreach(lc, pathkey->pk_eclass->ec_members)
	{
		int			column = nauth_query_column((Node *) lfirst_node(EquivalenceMember, lc)->em_expr,
												rel->relid, table);

		if (column == NAUTH_CREATED_AT || column == NAUTH_UPDATED_AT)
			return column;
	}
	return -1;
}

/*
 * The number of rows that a constant LIMIT and OFFSET read of this relation, if it
 * is the only one and nothing but order stands between; or -1.
 */
static double
constant_limit(PlannerInfo *root)
{
	const		Query *parse = root->parse;
	const Const *count = (const Const *) parse->limitCount;
	const Const *offset = (const Const *) parse->limitOffset;
	double		rows;

	/* the planner's own number is a guess where these are no constants */
	if (root->limit_tuples < 0 || count == NULL || !IsA(count, Const) || count->constisnull ||
		parse->limitOption != LIMIT_OPTION_COUNT || bms_membership(root->all_baserels) != BMS_SINGLETON ||
		(offset && (!IsA(offset, Const) || offset->constisnull)))
		return -1;
	rows = (double) DatumGetInt64(count->constvalue) +
		(offset ? (double) Max(0, DatumGetInt64(offset->constvalue)) : 0);
	return rows >= 0 && rows <= INT_MAX / 2 ? rows : -1;
}

static void
find_demand(PlannerInfo *root, RelOptInfo *rel, Oid table, Demand *demand)
{
	memset(demand, 0, sizeof(*demand));
	demand->limit = -1;
	demand->ordered = root->query_pathkeys == NIL;
	if (!nauth_pushdown)
		return;
	demand->limit = constant_limit(root);
	if (root->query_pathkeys != NIL)
	{
		PathKey    *first = linitial_node(PathKey, root->query_pathkeys);
		int			column = ordered_column(first, rel, table);

		if (column < 0)
			return;
		demand->first = first;
		demand->column = column;
		demand->descends = nauth_pathkey_descends(first);
		demand->ordered = list_length(root->query_pathkeys) == 1;
	}
}

/* ---- Costs */

static double
pages_of(const NauthPlanning *planning, double users)
{
	return Max(1, ceil(users / planning->options->settings.page_size));
}

static void
add_way(PlannerInfo *root, RelOptInfo *rel, const Way *way)
{
	const NauthPlanning *planning = rel->fdw_private;
	const NauthOptions *options = planning->options;
	bool		everybody = way->conditions == NIL && way->query.kind == NAUTH_QUERY_LIST &&
	way->query.limit == 0 && way->query.order != NAUTH_ORDER_NEWEST;
	Cost		request = options->request_cost * (planning->cached && everybody ? CACHED_PAGE : 1);
	Cost		startup = request + rel->baserestrictcost.startup;
	Cost		total = startup + request * (way->requests - 1) +
	way->users * (options->fdw_tuple_cost + cpu_tuple_cost + rel->baserestrictcost.per_tuple);
	List	   *values = NIL;
	List	   *tests = NIL;
	List	   *quals = NIL;
	ListCell   *lc;

	foreach(lc, way->conditions)
	{
		const NauthPlanCondition *found = lfirst(lc);

		values = lappend(values, found->condition.value);
		tests = lappend_int(tests, NAUTH_PLAN_TEST(found->condition.column, found->condition.test));
		quals = lappend(quals, found->rinfo->clause);
	}
	add_path(rel, (Path *)
			 nauth_foreignscan_path(root, rel, way->rows, startup, total,
									way->pathkey ? list_make1(way->pathkey) : NIL, way->outer,
									list_make4(nauth_plan_list(&way->query), tests, values, quals)));
}

/* ---- Listings */

/* Conditions on a column, with tests from one on. */
static List *
conditions_on(const NauthPlanning *planning, NauthColumn column, NauthTest least)
{
	List	   *conditions = NIL;
	ListCell   *lc;

	foreach(lc, planning->conditions)
	{
		NauthPlanCondition *found = lfirst(lc);

		if (found->condition.column == column && found->condition.test >= least)
			conditions = lappend(conditions, found);
	}
	return conditions;
}

static double
selectivity_of(PlannerInfo *root, const List *conditions)
{
	List	   *clauses = NIL;
	ListCell   *lc;

	foreach(lc, conditions)
		clauses = lappend(clauses, ((NauthPlanCondition *) lfirst(lc))->rinfo);
	return clauselist_selectivity(root, clauses, 0, JOIN_INNER, NULL);
}

/*
 * Whether a qual is that the time ordered by is there, as it is always: so that
 * max() is an order with a limit.
 */
static bool
is_idle(const RestrictInfo *rinfo, RelOptInfo *rel, const Demand *demand)
{
	const NauthPlanning *planning = rel->fdw_private;
	const		NullTest *test = (const NullTest *) rinfo->clause;

	return IsA(test, NullTest) && test->nulltesttype == IS_NOT_NULL && demand->first &&
		nauth_query_column((Node *) test->arg, rel->relid, planning->table) == (int) demand->column;
}

/*
 * Whether the rows of a scan with these conditions are those that the limit
 * counts, and come as it wants them.
 */
static bool
is_limited(RelOptInfo *rel, const Demand *demand, const List *conditions, bool in_order)
{
	int			others = list_length(rel->baserestrictinfo) - list_length(conditions);
	ListCell   *lc;

	foreach(lc, rel->baserestrictinfo)
		others -= is_idle(lfirst_node(RestrictInfo, lc), rel, demand);
	return demand->limit >= 0 && demand->ordered && (demand->first == NULL || in_order) && others == 0;
}

/* Let a listing have pages no larger than the limit, and none behind it. */
static void
limit_way(const NauthPlanning *planning, const Demand *demand, Way *way)
{
	double		limit = Max(demand->limit, planning->options->provider->min_page_size);

	way->query.limit = (int) limit;
	way->users = Min(way->users, limit);
	way->rows = Min(way->rows, Max(demand->limit, 1));
	way->requests = pages_of(planning, way->users);
}

/* All users, or those of a window, in one order or the other. */
static void
add_listings(PlannerInfo *root, RelOptInfo *rel, const Demand *demand, List *window)
{
	const NauthPlanning *planning = rel->fdw_private;
	NauthPages	by_creation = planning->options->provider->by_creation;
	bool		by_time = demand->first && demand->column == NAUTH_CREATED_AT && by_creation == NAUTH_PAGES_ALL;
	Way			way = {.conditions = window,.rows = rel->rows,.outer = rel->lateral_relids};
	Way			newest;

	way.query.kind = NAUTH_QUERY_LIST;
	way.users = planning->users * (window ? selectivity_of(root, window) : 1);
	way.requests = pages_of(planning, way.users);
	newest = way;
	if (by_time && !demand->descends)
	{
		way.query.order = NAUTH_ORDER_OLDEST;
		way.pathkey = demand->first;
	}
	/* pages of another size would not be those of the cache */
	if ((window || !planning->cached) && is_limited(rel, demand, window, way.pathkey != NULL))
		limit_way(planning, demand, &way);
	add_way(root, rel, &way);
	if (!by_time || !demand->descends)
		return;
	newest.query.order = NAUTH_ORDER_NEWEST;
	newest.pathkey = demand->first;
	if (is_limited(rel, demand, window, true))
		limit_way(planning, demand, &newest);
	add_way(root, rel, &newest);
}

/* The first page by some order, where that is all that a limit wants. */
static void
add_first_page(PlannerInfo *root, RelOptInfo *rel, const Demand *demand)
{
	const NauthPlanning *planning = rel->fdw_private;
	const NauthProvider *provider = planning->options->provider;
	Way			way = {.rows = Max(demand->limit, 1),.requests = 1,.outer = rel->lateral_relids};

	if (demand->first == NULL || !is_limited(rel, demand, NIL, true) ||
		demand->limit < 1 || demand->limit > planning->options->settings.page_size)
		return;
	if (demand->column == NAUTH_UPDATED_AT && demand->descends && provider->lists_changes)
		way.query.kind = NAUTH_QUERY_CHANGES;
	else if (demand->column == NAUTH_CREATED_AT && provider->by_creation == NAUTH_PAGES_FIRST)
		way.query.order = demand->descends ? NAUTH_ORDER_NEWEST : NAUTH_ORDER_OLDEST;
	else
		return;
	way.query.limit = (int) demand->limit;
	way.query.once = true;
	way.pathkey = demand->first;
	way.users = demand->limit;
	add_way(root, rel, &way);
}

/* Users changed since a time, or the latest changes if they may go back as far, else all users. */
static void
add_latest(PlannerInfo *root, RelOptInfo *rel)
{
	const NauthPlanning *planning = rel->fdw_private;
	const NauthProvider *provider = planning->options->provider;
	int			page = planning->options->settings.page_size;
	List	   *since = conditions_on(planning, NAUTH_UPDATED_AT, NAUTH_TEST_EQUAL);
	double		users;
	Way			way = {.conditions = since,.rows = rel->rows,.outer = rel->lateral_relids};

	if (since == NIL)
		return;
	users = planning->users * selectivity_of(root, since);
	if (!provider->lists_changes)
	{
		way.query.kind = NAUTH_QUERY_SINCE;
		way.users = users;
		way.requests = pages_of(planning, users);
		/* events are no users */
		if (provider->lists_since && !provider->tells_gone)
			add_way(root, rel, &way);
		return;
	}
	way.query.kind = NAUTH_QUERY_CHANGES;
	way.query.once = true;
	way.users = Min(page, planning->users);
	way.requests = 1;
	if (users > page)
	{
		way.users += PAGE_TOO_SHORT * planning->users;
		way.requests += PAGE_TOO_SHORT * pages_of(planning, planning->users);
	}
	add_way(root, rel, &way);
}

/* ---- Users by id or address */

/* Those that one condition names; of other relations if outer is not empty. */
static void
add_named(PlannerInfo *root, RelOptInfo *rel, NauthPlanCondition *found, double rows, Relids outer)
{
	const NauthPlanning *planning = rel->fdw_private;
	const NauthProvider *provider = planning->options->provider;
	Way			way = {.conditions = list_make1(found),.rows = rows,.outer = outer};

	if ((found->condition.column != NAUTH_ID || provider->lists_only) &&
		(found->condition.column != NAUTH_EMAIL || !provider->finds_emails))
		return;
	way.query.kind = NAUTH_QUERY_LIST;
	way.users = way.requests = 1;
	if (found->condition.test == NAUTH_TEST_ANY)
	{
		way.users = nauth_estimate_array_length(root, (Node *) found->condition.value);
		way.requests = ceil(way.users / Max(provider->max_ids, 1));

		/* there may be far more of them than one thinks */
		if (planning->counted)
			way.query.most_ids = (int) Min(pages_of(planning, planning->users) * Max(provider->max_ids, 1),
										   INT_MAX);
	}
	add_way(root, rel, &way);
}

/* Whether a member of an equivalence class is our column id. */
static bool
is_id(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec, EquivalenceMember *em, void *arg)
{
	const NauthPlanning *planning = rel->fdw_private;

	return nauth_query_column((Node *) em->em_expr, rel->relid, planning->table) == NAUTH_ID;
}

/* Clauses that may compare our column id with another relation's value. */
static List *
join_clauses(PlannerInfo *root, RelOptInfo *rel)
{
	List	   *clauses = NIL;
	ListCell   *lc;

	foreach(lc, rel->joininfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (join_clause_is_movable_to(rinfo, rel))
			clauses = lappend(clauses, rinfo);
	}
	if (rel->has_eclass_joins)
		clauses = list_concat(clauses,
							  generate_implied_equalities_for_column(root, rel, is_id, NULL,
																	 rel->lateral_referencers));
	return clauses;
}

/* Lookups, once for each row of other relations. */
static void
add_lookups(PlannerInfo *root, RelOptInfo *rel)
{
	const NauthPlanning *planning = rel->fdw_private;
	ListCell   *lc;

	foreach(lc, join_clauses(root, rel))
	{
		NauthPlanCondition *found = palloc(sizeof(NauthPlanCondition));
		Relids		outer;

		found->rinfo = lfirst_node(RestrictInfo, lc);
		if (!nauth_query_match(root, found->rinfo->clause, rel->relid, planning->table, &found->condition) ||
			found->condition.column != NAUTH_ID)
			continue;
		outer = bms_del_member(bms_union(found->rinfo->clause_relids, rel->lateral_relids), rel->relid);
		if (!bms_is_empty(outer))
			add_named(root, rel, found, 1, outer);
	}
}

/* The values of a lookup, of a relation's child that takes the place of its parent. */
List *
neonAuthReparameterizeForeignPathByChild(PlannerInfo *root, List *fdw_private, RelOptInfo *child_rel)
{
	List	   *copy = list_copy(fdw_private);

	for (int i = NauthPathValues; i <= NauthPathQuals; i++)
		lfirst(list_nth_cell(copy, i)) = nauth_adjust_to_child(root, list_nth(copy, i), child_rel);
	return copy;
}

void
nauth_paths_add(PlannerInfo *root, RelOptInfo *rel)
{
	const NauthPlanning *planning = rel->fdw_private;
	Demand		demand;
	List	   *window = NIL;
	ListCell   *lc;

	find_demand(root, rel, planning->table, &demand);
	add_listings(root, rel, &demand, NIL);
	if (!nauth_pushdown)
		return;
	if (planning->options->provider->counts_windows)
		window = conditions_on(planning, NAUTH_CREATED_AT, NAUTH_TEST_LESS);
	if (window)
		add_listings(root, rel, &demand, window);
	add_first_page(root, rel, &demand);
	add_latest(root, rel);
	foreach(lc, planning->conditions)
		add_named(root, rel, lfirst(lc), rel->rows, rel->lateral_relids);
	add_lookups(root, rel);
}

/* ---- count(*) */

/* Whether an expression is the number of all rows. */
static bool
counts_rows(const Node *node)
{
	const		Aggref *aggref = (const Aggref *) node;

	return IsA(node, Aggref) && aggref->aggfnoid == F_COUNT_ && aggref->aggfilter == NULL &&
		aggref->aggsplit == AGGSPLIT_SIMPLE;
}

/* How many users there are, asked of a provider that counts them. */
void
neonAuthGetForeignUpperPaths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input_rel,
							 RelOptInfo *output_rel, void *extra)
{
	const NauthPlanning *planning = input_rel->fdw_private;
	const		Query *parse = root->parse;
	PathTarget *target = root->upper_targets[UPPERREL_GROUP_AGG];
	NauthQuery	query = {.kind = NAUTH_QUERY_COUNT};
	ListCell   *lc;
	List	   *aggregates;

	if (stage != UPPERREL_GROUP_AGG || !nauth_pushdown || planning == NULL ||
		input_rel->reloptkind != RELOPT_BASEREL || input_rel->baserestrictinfo != NIL ||
		!planning->options->provider->counts || output_rel->fdw_private != NULL ||
		parse->groupClause || parse->groupingSets || root->hasHavingQual)
		return;
	aggregates = pull_var_clause((Node *) target->exprs, PVC_INCLUDE_AGGREGATES);
	if (aggregates == NIL)
		return;
	foreach(lc, aggregates)
		if (!counts_rows(lfirst(lc)))
		return;
	add_path(output_rel, (Path *)
			 nauth_foreign_upper_path(root, output_rel, target, 1, planning->options->request_cost,
									  planning->options->request_cost,
									  list_make4(nauth_plan_list(&query), NIL, NIL, NIL)));
}
