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

#include "nodes/pathnodes.h"

#include "options.h"

/*
 * The expression that a qual of this relation equates with column id, or NULL.
 * It has no variable and is not volatile, so that it can be computed once when
 * the scan begins.  The qual stays a local filter as well.
 */
extern Expr *nauth_query_find_id(RelOptInfo *baserel, Oid relid);

/* The URL that a query begins with, for EXPLAIN: without any credential. */
extern char *nauth_query_url(const NauthOptions *options, const NauthQuery *query);

#endif							/* NAUTH_QUERY_H */
