/*-------------------------------------------------------------------------
 *
 * query.h
 *	  From the quals of a scan to what is asked of a directory.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_QUERY_H
#define NAUTH_QUERY_H

#include "access/stratnum.h"
#include "nodes/pathnodes.h"

#include "options.h"
#include "users.h"

/* How a column is compared with a value. */
typedef enum NauthTest
{
	NAUTH_TEST_ANY,				/* equals an element of an array */
	NAUTH_TEST_LESS = BTLessStrategyNumber,
	NAUTH_TEST_LESS_EQUAL = BTLessEqualStrategyNumber,
	NAUTH_TEST_EQUAL = BTEqualStrategyNumber,
	NAUTH_TEST_GREATER_EQUAL = BTGreaterEqualStrategyNumber,
	NAUTH_TEST_GREATER = BTGreaterStrategyNumber
} NauthTest;

#define NAUTH_NUM_TESTS		(NAUTH_TEST_GREATER + 1)

/* The column of the table, relation relid of the query, that a node is, or -1. */
extern int	nauth_query_column(const Node *node, Index relid, Oid table);

/* A qual that a provider may be able to work out. */
typedef struct NauthCondition
{
	NauthColumn column;			/* id, email, created_at or updated_at */
	NauthTest	test;
	Expr	   *value;			/* has no variable of the relation, and is not
								 * volatile: computed once, when a scan begins */
} NauthCondition;

/*
 * Whether a clause is such a condition on a column of the table, which is
 * relation relid of the query.  The clause has to stay a local filter as well,
 * for all that is asked of a provider is a superset.
 */
extern bool nauth_query_match(PlannerInfo *root, Expr *clause, Index relid, Oid table,
							  NauthCondition *condition);

/* A condition's value as it is computed. */
typedef struct NauthValue
{
	NauthColumn column;
	NauthTest	test;
	Oid			type;
	bool		unknown;		/* of an EXPLAIN */
	bool		isnull;
	Datum		value;
} NauthValue;

/*
 * Add a condition to a query of kind LIST or CHANGES, which has what it
 * needs in the current memory context.  In the result n_ids has no limit, and
 * "from" of CHANGES is a time before which nobody is wanted.  False if nobody
 * can match.  A value that a provider could misread adds nothing.
 */
extern bool nauth_query_narrow(NauthQuery *query, const NauthProvider *provider,
							   const NauthValue *value);

/*
 * The queries that are sent for one: itself, or some of its ids each time.
 * *done counts the ids; begin with 0.  False after the last, and at once if
 * there are no ids where there should be.
 */
extern bool nauth_query_next(const NauthQuery *wanted, const NauthOptions *options, int *done,
							 NauthQuery *query);

/*
 * The first request of a query, in words, without any credential; and what tells the
 * query from any other with other answers: it may begin with the same request.
 */
extern char *nauth_query_text(const NauthOptions *options, const NauthQuery *query);
extern char *nauth_query_key(const NauthOptions *options, const NauthQuery *query);

#endif							/* NAUTH_QUERY_H */
