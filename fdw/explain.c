/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  What EXPLAIN shows of a scan of a foreign table.
 *
 * With VERBOSE what is asked of the provider; no request is sent for that, and
 * there is no credential in it.  With ANALYZE what it has cost.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "utils/ruleutils.h"

#include "neon_auth_fdw.h"
#include "pgcompat.h"
#include "provider/asking.h"
#include "scan.h"

/* The quals that the request stands for; the server has shown its own before. */
static void
explain_filter(const ForeignScan *plan, ExplainState *es)
{
	Node	   *qual;

	if (plan->fdw_recheck_quals == NIL)
		return;
	qual = (Node *) make_ands_explicit(plan->fdw_recheck_quals);
	ExplainPropertyText("Remote Filter", deparse_expression(qual, es->deparse_cxt, true, false), es);
}

static void
explain_request(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	const NauthOptions *options = nauth_options_get(plan->fs_server, InvalidOid);
	NauthQuery	wanted;
	NauthQuery	query;
	int			done = 0;

	if (!nauth_scan_wanted(node, options->provider, false, &wanted) ||
		!nauth_query_next(&wanted, options, &done, &query))
	{
		ExplainPropertyText("Request", "none", es);
		return;
	}
	ExplainPropertyText("Request", nauth_query_text(options, &query), es);
	if (query.kind != NAUTH_QUERY_LIST || query.ids || query.email || query.windowed)
		explain_filter(plan, es);
	if (query.kind != NAUTH_QUERY_USER && query.kind != NAUTH_QUERY_COUNT)
		ExplainPropertyInteger("Page Size", NULL, nauth_ask_limit(&options->settings, &query, NULL), es);
}

/* What the cache was good for, and how old its answer is. */
static void
explain_cache(const NauthListingStats *stats, ExplainState *es)
{
	double		age = stats->age / 1e6;

	if (es->format != EXPLAIN_FORMAT_TEXT)
	{
		ExplainPropertyInteger("Cache Hits", NULL, stats->hits, es);
		ExplainPropertyInteger("Cache Stale", NULL, stats->stale, es);
		ExplainPropertyInteger("Cache Misses", NULL, stats->misses, es);
		if (stats->age >= 0)
			ExplainPropertyFloat("Cache Age", "s", age, 3, es);
		return;
	}
	ExplainPropertyText("Cache",
						psprintf("hits=" INT64_FORMAT " stale=" INT64_FORMAT " misses=" INT64_FORMAT "%s",
								 stats->hits, stats->stale, stats->misses,
								 stats->age >= 0 ? psprintf(" age=%.3f s", age) : ""), es);
}

/* What was read, and what it took. */
static void
explain_reading(const NauthListingStats *stats, ExplainState *es)
{
	ExplainPropertyInteger("Requests", NULL, stats->requests, es);
	if (es->format != EXPLAIN_FORMAT_TEXT)
	{
		ExplainPropertyInteger("Pages", NULL, stats->pages, es);
		ExplainPropertyInteger("Users", NULL, stats->users, es);
		ExplainPropertyInteger("Bytes", NULL, stats->bytes, es);
		ExplainPropertyInteger("Retries", NULL, stats->retries, es);
		ExplainPropertyFloat("Pause Time", "ms", stats->paused / 1000.0, 3, es);
	}
	else
		ExplainPropertyText("Read",
							psprintf("pages=" INT64_FORMAT " users=" INT64_FORMAT " bytes=" INT64_FORMAT
									 " retries=" INT64_FORMAT "%s",
									 stats->pages, stats->users, stats->bytes, stats->retries,
									 stats->paused >= 1000 ? psprintf(" pause=%.3f ms", stats->paused / 1000.0) : ""), es);
	if (stats->cached)
		explain_cache(stats, es);
}

void
neonAuthExplainForeignScan(ForeignScanState *node, ExplainState *es)
{
	NauthScan  *scan = node->fdw_state;
	NauthSource *source = nauth_scan_source(scan);

	if (es->verbose)
		explain_request(node, es);
	if (!es->analyze || source == NULL)
		return;
	if (scan->shared)
		ExplainPropertyText("Read", "by another scan of this statement", es);
	else
	{
		NauthListingStats stats = nauth_source_stats(source);

		explain_reading(&stats, es);
	}
}
