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
#include "catalog/pg_type.h"
#include "lib/qunique.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "provider/asking.h"
#include "query.h"

/* Bytes of a URL besides the ids, and of an id besides itself. */
#define PARAMETERS_BYTES	256
#define ID_NAME_BYTES		16

/* ---- Quals */

int
nauth_query_column(const Node *node, Index relid, Oid table)
{
	const Var  *var = (const Var *) node;

	if (!IsA(node, Var) || var->varno != relid || var->varattno <= 0 || var->varlevelsup != 0)
		return -1;
	return nauth_column_find(get_attname(table, var->varattno, false));
}

/* How an operator compares texts or times; -1: otherwise. */
static int
test_of(Oid operator, Oid collation, NauthColumn column)
{
	if (column == NAUTH_ID || column == NAUTH_EMAIL)
		return operator == TextEqualOperator && OidIsValid(collation) && get_collation_isdeterministic(collation) ?
			NAUTH_TEST_EQUAL : -1;
	if (column == NAUTH_CREATED_AT || column == NAUTH_UPDATED_AT)
	{
		Oid			family = lookup_type_cache(TIMESTAMPTZOID, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
		int			strategy = get_op_opfamily_strategy(operator, family);

		return strategy > 0 ? strategy : -1;
	}
	return -1;
}

/* Whether a node is a value that a scan of the relation can begin with. */
static bool
is_computable(PlannerInfo *root, Node *node, Index relid)
{
	return !bms_is_member(relid, pull_varnos(root, node)) && !contain_volatile_functions(node);
}

static bool
match_operator(PlannerInfo *root, OpExpr *op, Index relid, Oid table, NauthCondition *condition)
{
	Oid			operator = op->opno;
	Node	   *left;
	Node	   *right;
	int			column;
	int			test;

	if (list_length(op->args) != 2)
		return false;
	left = linitial(op->args);
	right = lsecond(op->args);
	column = nauth_query_column(left, relid, table);
	if (column < 0)
	{
		Node	   *swapped = left;

		left = right;
		right = swapped;
		operator = get_commutator(operator);
		column = nauth_query_column(left, relid, table);
	}
	if (column < 0 || !OidIsValid(operator))
		return false;
	test = test_of(operator, op->inputcollid, column);
	if (test < 0 || !is_computable(root, right, relid))
		return false;
	condition->column = column;
	condition->test = test;
	condition->value = (Expr *) right;
	return true;
}

static bool
match_array(PlannerInfo *root, ScalarArrayOpExpr *op, Index relid, Oid table,
			NauthCondition *condition)
{
	int			column = nauth_query_column(linitial(op->args), relid, table);
	Node	   *array = lsecond(op->args);

	if (column != NAUTH_ID || !op->useOr || test_of(op->opno, op->inputcollid, column) < 0 ||
		!is_computable(root, array, relid))
		return false;
	condition->column = column;
	condition->test = NAUTH_TEST_ANY;
	condition->value = (Expr *) array;
	return true;
}

bool
nauth_query_match(PlannerInfo *root, Expr *clause, Index relid, Oid table,
				  NauthCondition *condition)
{
	if (IsA(clause, OpExpr))
		return match_operator(root, (OpExpr *) clause, relid, table, condition);
	if (IsA(clause, ScalarArrayOpExpr))
		return match_array(root, (ScalarArrayOpExpr *) clause, relid, table, condition);
	return false;
}

/* ---- Values */

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Add ids that somebody may have, each once. */
static bool
narrow_ids(NauthQuery *query, const NauthProvider *provider, const NauthValue *value)
{
	Datum		one = value->value;
	Datum	   *elements = &one;
	bool	   *nulls = NULL;
	int			count = 1;
	int			kept = 0;
	const char **ids;

	if (value->test == NAUTH_TEST_ANY)
	{
		ArrayType  *array = DatumGetArrayTypeP(value->value);

		/* the type of its elements may be another one of the same bytes */
		deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	}
	query->ids = ids = palloc(Max(count, 1) * sizeof(char *));
	for (int i = 0; i < count; i++)
	{
		char	   *id = nulls && nulls[i] ? NULL : TextDatumGetCString(elements[i]);

		if (id && nauth_ask_id_possible(provider, id))
			ids[kept++] = id;
	}
	qsort(ids, kept, sizeof(char *), compare_texts);
	kept = qunique(ids, kept, sizeof(char *), compare_texts);
	query->n_ids = kept;
	return kept > 0;
}

/*
 * An address that no provider takes for a list or for no address at all.  Of
 * others only the directory as a whole tells whose they are.
 */
static bool
is_plain_address(const char *email)
{
	const char *at = strchr(email, '@');

	for (const char *c = email; *c != '\0'; c++)
		if ((unsigned char) *c <= ' ' || *c == 0x7f || strchr(",;\"<>", *c))
			return false;
	return at && at != email && at[1] != '\0' && strchr(at + 1, '@') == NULL;
}

static bool
narrow_email(NauthQuery *query, const NauthValue *value)
{
	char	   *email = TextDatumGetCString(value->value);

	if (email[0] == '\0' || strlen(email) > NAUTH_EMAIL_MAX)
		return false;
	if (is_plain_address(email))
		query->email = email;
	return true;
}

/* A time as a moment, those that no user can have at the ends. */
static int64_t
moment_of(const NauthValue *value)
{
	TimestampTz time;
	int			overflow;		/* is infinity then */

	switch (value->type)
	{
		case DATEOID:
			time = date2timestamptz_opt_overflow(DatumGetDateADT(value->value), &overflow);
			break;
		case TIMESTAMPOID:
			time = timestamp2timestamptz_opt_overflow(DatumGetTimestamp(value->value), &overflow);
			break;
		default:
			time = DatumGetTimestampTz(value->value);
	}

	/*
	 * the latest ones of PostgreSQL, infinity among them, are too far from
	 * 1970 to be counted
	 */
	if (time >= nauth_moment_to_timestamptz(NAUTH_MOMENT_MAX))
		return NAUTH_MOMENT_MAX;
	return Max(nauth_timestamptz_to_moment(time), NAUTH_MOMENT_MIN);
}

/* Cut a window where a time is compared with a value. */
static bool
narrow_time(NauthQuery *query, const NauthValue *value)
{
	int64_t		moment = moment_of(value);
	int64_t		next = Min(moment + 1, NAUTH_MOMENT_MAX);

	if (value->test >= NAUTH_TEST_EQUAL)
		query->from = Max(query->from, value->test == NAUTH_TEST_GREATER ? next : moment);
	if (value->test <= NAUTH_TEST_EQUAL)
		query->before = Min(query->before, value->test == NAUTH_TEST_LESS ? moment : next);
	return query->from < query->before || query->before == NAUTH_MOMENT_UNKNOWN;
}

/* Show that there is a condition, with whatever value. */
static void
narrow_unknown(NauthQuery *query, const NauthValue *value)
{
	static const char *const ids[] = {nauth_request_id, nauth_request_id};

	if (value->column == NAUTH_ID)
	{
		query->ids = ids;
		query->n_ids = value->test == NAUTH_TEST_ANY ? lengthof(ids) : 1;
	}
	else if (value->column == NAUTH_EMAIL)
		query->email = nauth_request_email;
	else
	{
		if (value->test >= NAUTH_TEST_EQUAL)
			query->from = NAUTH_MOMENT_UNKNOWN;
		if (value->test <= NAUTH_TEST_EQUAL)
			query->before = NAUTH_MOMENT_UNKNOWN;
	}
}

bool
nauth_query_narrow(NauthQuery *query, const NauthProvider *provider, const NauthValue *value)
{
	bool		times = value->column == NAUTH_CREATED_AT || value->column == NAUTH_UPDATED_AT;

	if (times && query->from == 0 && query->before == 0)
	{
		query->windowed = value->column == NAUTH_CREATED_AT;
		query->from = NAUTH_MOMENT_MIN;
		query->before = NAUTH_MOMENT_MAX;
	}
	if (value->unknown)
	{
		narrow_unknown(query, value);
		return true;
	}
	if (value->isnull)
		return false;
	if (times)
		return narrow_time(query, value);
	if (value->column == NAUTH_EMAIL)
		return narrow_email(query, value);
	return narrow_ids(query, provider, value);
}

/* ---- Requests */

/* How many ids, from this one on, go into one request. */
static int
count_together(const NauthQuery *wanted, const NauthOptions *options, int first)
{
	const NauthProvider *provider = options->provider;
	size_t		bytes = strlen(options->settings.url) + PARAMETERS_BYTES;
	int			count = 0;

	while (count < provider->max_ids && first + count < wanted->n_ids)
	{
		const char *id = wanted->ids[first + count];

		bytes += nauth_request_encoded(id) + ID_NAME_BYTES;
		if (bytes > NAUTH_URL_MAX || !nauth_ask_id_listable(provider, id))
			break;
		count++;
	}
	return count;
}

bool
nauth_query_next(const NauthQuery *wanted, const NauthOptions *options, int *done,
				 NauthQuery *query)
{
	int			count;

	*query = *wanted;
	if (wanted->ids == NULL)
		return (*done)++ == 0;
	if (*done >= wanted->n_ids)
		return false;
	count = count_together(wanted, options, *done);
	query->ids += *done;
	query->n_ids = Max(count, 1);
	if (count <= 1)
	{
		query->kind = NAUTH_QUERY_USER;
		query->id = wanted->ids[*done];
		query->ids = NULL;
		query->n_ids = 0;
	}
	*done += Max(count, 1);
	return true;
}

char *
nauth_query_text(const NauthOptions *options, const NauthQuery *query)
{
	NauthRequest *request = palloc(sizeof(NauthRequest));
	char	   *text;

	options->provider->write_request(&options->settings, query, NULL, request);
	if (request->overflow)
		text = pstrdup("(too long)");
	else if (request->body[0] == '\0')
		text = psprintf("GET %s", request->url);
	else
		text = psprintf("POST %s %s", request->url, request->body);
	explicit_bzero(request, sizeof(*request));
	pfree(request);
	return text;
}

char *
nauth_query_key(const NauthOptions *options, const NauthQuery *query)
{
	char	   *text = nauth_query_text(options, query);
	int			limit = nauth_ask_limit(&options->settings, query, NULL);

	if (query->kind == NAUTH_QUERY_USER || query->kind == NAUTH_QUERY_COUNT)
		return psprintf("%d %s", query->kind, text);

	/* a cursor may be good for pages of one size alone */
	if (query->kind != NAUTH_QUERY_SINCE)
		return psprintf("%d %d %s", query->kind, limit, text);
	return psprintf("%d %d " INT64_FORMAT " %s", query->kind, limit, (int64) query->from, text);
}
