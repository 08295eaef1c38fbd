/*-------------------------------------------------------------------------
 *
 * query.c
 *	  From the quals of a scan to what is asked of a directory.
 *
 * Only operators of pg_catalog, known by their Oid, on a deterministic
 * collation are taken: a look-alike of another schema, citext or an ICU
 * collation that ignores case means something else than the provider does.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"

#include "query.h"
#include "users.h"

static bool
is_column(Node *node, Index relid, AttrNumber attnum)
{
	Var		   *var = (Var *) node;

	return IsA(node, Var) && var->varno == relid && var->varattno == attnum &&
		var->varlevelsup == 0;
}

static bool
is_computable(Node *node)
{
	return !contain_var_clause(node) && !contain_volatile_functions(node);
}

/* The other side of "id = ...", or NULL if this clause is something else. */
static Expr *
match_id(Expr *clause, Index relid, AttrNumber attnum)
{
	OpExpr	   *op = (OpExpr *) clause;
	Node	   *left;
	Node	   *right;

	if (!IsA(clause, OpExpr) || op->opno != TextEqualOperator ||
		!get_collation_isdeterministic(op->inputcollid))
		return NULL;
	left = linitial(op->args);
	right = lsecond(op->args);
	if (is_column(left, relid, attnum) && is_computable(right))
		return (Expr *) right;
	if (is_column(right, relid, attnum) && is_computable(left))
		return (Expr *) left;
	return NULL;
}

Expr *
nauth_query_find_id(RelOptInfo *baserel, Oid relid)
{
	AttrNumber	attnum = get_attnum(relid, nauth_columns[NAUTH_ID].name);
	ListCell   *lc;

	if (attnum == InvalidAttrNumber)
		return NULL;
	foreach(lc, baserel->baserestrictinfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);
		Expr	   *id = match_id(rinfo->clause, baserel->relid, attnum);

		if (id)
			return id;
	}
	return NULL;
}

char *
nauth_query_url(const NauthOptions *options, const NauthQuery *query)
{
	NauthRequest *request = palloc(sizeof(NauthRequest));

	options->provider->write_request(&options->settings, query, NULL, request);
	return request->overflow ? pstrdup("(too long)") : request->url;
}
