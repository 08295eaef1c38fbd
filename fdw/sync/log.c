/*-------------------------------------------------------------------------
 *
 * log.c
 *	  The log of runs, and word of them to who listens.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "sync/state.h"
#include "sync/statement.h"

#define NOTIFY_CHANNEL	"neon_auth_users_sync"

/*
 * Rows older than option "keep_runs", and than the hour that the brake looks at; once a
 * listing is often enough.
 */
static void
forget_old_runs(const NauthRun *run)
{
	NauthArgs	args = {0};

	nauth_args_relation(&args, run->target.relid);
	nauth_args_int(&args, run->options->keep_runs);
	nauth_statement_execute("DELETE FROM neon_auth.sync_run"
							" WHERE target = $1 AND finished_at < now() - greatest($2, 3600) * interval '1 s'", &args);
}

/* Write the row of a run that begins; one that still runs has crashed. */
void
nauth_log_begin(NauthRun *run)
{
	NauthArgs	args = {0};

	nauth_args_relation(&args, run->target.relid);
	nauth_statement_execute("UPDATE neon_auth.sync_run SET status = 'crashed', finished_at = now()"
							" WHERE target = $1 AND status = 'running'", &args);
	if (!run->incremental)
		forget_old_runs(run);

	nauth_args_text(&args, run->options->server);
	nauth_args_text(&args, run->incremental ? "incremental" : "full");
	nauth_args_text(&args, run->reason);
	nauth_args_time(&args, run->started_at);
	nauth_args_add(&args, INT8OID, Int64GetDatum(run->approved), run->approved < 0);
	nauth_statement_execute("INSERT INTO neon_auth.sync_run (target, server, mode, reason, status, started_at, approved)"
							" VALUES ($1, $2, $3, $4, 'running', $5, $6) RETURNING run_id", &args);
	run->run_id = nauth_result_int(0, 1);
}

bool
nauth_log_has_changes(const NauthRun *run)
{
	return run->counts.inserted + run->counts.updated + run->counts.tombstoned > 0;
}

/* One message a run, sent when its transaction commits; nobody is named in it. */
void
nauth_log_notify(const NauthRun *run)
{
	const NauthCounts *counts = &run->counts;
	StringInfoData payload;

	if (!run->options->notify || !nauth_log_has_changes(run))
		return;
	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"target\": ");
	escape_json(&payload, run->target.name);
	appendStringInfo(&payload, ", \"run_id\": %s, \"inserted\": " INT64_FORMAT
					 ", \"updated\": " INT64_FORMAT ", \"tombstoned\": " INT64_FORMAT "}",
					 run->single ? "null" : psprintf(INT64_FORMAT, run->run_id),
					 counts->inserted, counts->updated, counts->tombstoned);
	Async_Notify(NOTIFY_CHANNEL, payload.data);
}

/* What a run has to say beside its counts: why deletions were held, or left. */
static const char *
note_of(const NauthRun *run)
{
	const char *held = nauth_run_held(run).reason;

	return held ? held : run->incremental ? run->doubt : NULL;
}

/* Whether the last run in the log has not ended well. */
static bool
follows_failure(const NauthRun *run)
{
	NauthArgs	args = {0};

	nauth_args_relation(&args, run->target.relid);
	nauth_statement_execute("SELECT status IN ('failed', 'crashed', 'running') FROM neon_auth.sync_run"
							" WHERE target = $1 ORDER BY run_id DESC LIMIT 1", &args);
	return SPI_processed > 0 && nauth_result_bool(0, 1);
}

/*
 * Close the row of a run that succeeded or failed.  One that is followed gets
 * its row only here, if there is anything to tell.
 */
void
nauth_log_end(NauthRun *run, const ErrorData *error)
{
	const NauthCounts *counts = &run->counts;
	const NauthHttpStats *stats = nauth_directory_stats(run->directory);
	NauthArgs	args = {0};

	if (run->followed && !error && !nauth_log_has_changes(run) && run->held_users.count == 0 &&
		!follows_failure(run))
		return;
	if (run->run_id == 0)
		nauth_log_begin(run);
	nauth_args_int(&args, run->run_id);
	nauth_args_text(&args, error ? "failed" : nauth_run_status(run));
	nauth_args_time(&args, GetCurrentTimestamp());
	nauth_args_int(&args, stats->requests);
	nauth_args_int(&args, stats->retries);
	nauth_args_int(&args, counts->pages);
	nauth_args_int(&args, counts->users);
	nauth_args_int(&args, counts->inserted);
	nauth_args_int(&args, counts->updated);
	nauth_args_int(&args, counts->unchanged);
	nauth_args_int(&args, counts->tombstoned);
	nauth_args_int(&args, nauth_run_held(run).count);
	nauth_args_int(&args, counts->quarantined);
	nauth_args_text(&args, note_of(run));
	nauth_args_text(&args, error ? unpack_sql_state(error->sqlerrcode) : NULL);
	nauth_args_text(&args, error ? error->message : NULL);
	nauth_args_text(&args, error ? error->hint : NULL);
	nauth_args_text(&args, run->incremental ? "incremental" : "full");
	nauth_args_text(&args, run->reason);
	nauth_args_int(&args, error ? 0 : run->marked);
	nauth_statement_execute("UPDATE neon_auth.sync_run SET status = $2, finished_at = $3, requests = $4,"
							" retries = $5, pages = $6, users = $7, inserted = $8, updated = $9,"
							" unchanged = $10, tombstoned = $11, held = $12, quarantined = $13, note = $14,"
							" sqlstate = $15, error = $16, hint = $17, mode = $18, reason = $19, confirmed = $20 WHERE run_id = $1", &args);
	nauth_log_notify(run);
}
