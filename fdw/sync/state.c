/*-------------------------------------------------------------------------
 *
 * state.c
 *	  Which directory a target belongs to, and how far it was read.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "fault_point.h"
#include "provider/reply.h"
#include "sync/state.h"
#include "sync/statement.h"

/* 32 hexadecimal digits that stand for two texts and cannot be turned back. */
static void
fingerprint(char *out, const char *first, const char *second)
{
	char	   *string = psprintf("neon_auth_fdw %zu %s %s", strlen(first), first, second);
	text	   *text = cstring_to_text(string);
	bytea	   *bytes = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, PointerGetDatum(text)));

	for (int i = 0; i < (NAUTH_FINGERPRINT - 1) / 2; i++)
		sprintf(out + 2 * i, "%02x", (unsigned char) VARDATA_ANY(bytes)[i]);
	/* one of them is a credential */
	explicit_bzero(VARDATA(text), VARSIZE(text) - VARHDRSZ);
	explicit_bzero(string, strlen(string));
}

/* Whether the target has any row, whoever's it is. */
static bool
has_rows(const NauthRun *run)
{
	nauth_target_execute(&run->target, psprintf("SELECT FROM %s LIMIT 1", run->target.name), NULL);
	return SPI_processed > 0;
}

/* Another server than the one that the target belongs to. */
static void
refuse_foreign_target(const NauthRun *run, const char *server)
{
	bool		other_server = strcmp(server, run->options->server) != 0;

	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			other_server ?
			errmsg("table %s holds the users of server \"%s\", not of \"%s\"",
				   run->target.name, server, run->options->server) :
			errmsg("table %s holds the users of another provider or URL than server \"%s\" has now",
				   run->target.name, server),
			errdetail("Two directories in one table would mark each other's users as deleted."),
			errhint("Name another table: CALL neon_auth.refresh_users_sync(..., target => 'schema.name')."));
}

/*
 * Where this database runs, and in which life: a copy has the state of another
 * database, and a standby that was promoted may have lost the last runs.
 */
static const char *
describe_cluster(void)
{
	return psprintf(UINT64_FORMAT "/%u", GetSystemIdentifier(), GetWALInsertionTimeLine());
}

/* Whether the target may be refreshed from the server that sync_state names in row 0. */
static bool
is_of_this_server(const NauthRun *run)
{
	char	   *server = nauth_result_text(0, 1);

	/* a server that is gone was renamed, or made anew */
	if (nauth_result_bool(0, 2) &&
		(strcmp(server, run->options->server) == 0 ||
		 !OidIsValid(get_foreign_server_oid(server, true))))
		return true;
	if (!run->first_run || has_rows(run))
		refuse_foreign_target(run, server);
	return false;
}

/*
 * Read the state of run->target and refuse to mix two directories in it: only
 * an empty table that no run has ever filled may change its server.  Fills
 * what the run knows of the last one.
 */
void
nauth_state_load(NauthRun *run)
{
	const NauthOptions *options = run->options;
	NauthArgs	args = {0};

	fingerprint(run->tenant, options->provider->name, options->directory);
	fingerprint(run->credential, options->provider->name, options->credential);
	fingerprint(run->shape, options->provider->name, options->shape);
	run->cluster = MemoryContextStrdup(run->cxt, describe_cluster());
	run->first_run = true;
	nauth_args_relation(&args, run->target.relid);
	nauth_args_text(&args, run->tenant);
	nauth_args_text(&args, run->credential);
	nauth_args_text(&args, run->cluster);
	nauth_args_text(&args, run->shape);
	nauth_statement_execute("SELECT server, tenant = $2, credential <> $3, cluster = $4,"
							" last_success_at IS NULL, live_users, listed_users, watermark, last_full_at, unproved,"
							" timeless, newest_change, newest_change_at, last_success_started_at,"
							" shape <> $5 FROM neon_auth.sync_state WHERE target = $1", &args);
	if (SPI_processed > 0)
	{
		run->first_run = nauth_result_bool(0, 5);
		run->new_credential = nauth_result_bool(0, 3);
		run->same_cluster = nauth_result_bool(0, 4);
		run->live_before = nauth_result_int(0, 6);
		run->counts.listed = nauth_result_int(0, 7);
		run->last.watermark = nauth_result_time(0, 8);
		run->last.full_at = nauth_result_time(0, 9);
		run->last.unproved = nauth_result_bool(0, 10);
		run->last.timeless = nauth_result_bool(0, 11);
		run->last.newest = nauth_result_time(0, 12);
		run->last.newest_at = nauth_result_time(0, 13);
		run->last.success_started_at = nauth_result_time(0, 14);
		run->new_shape = nauth_result_bool(0, 15);
		if (run->last.watermark != DT_NOBEGIN)
			run->last.final_before = run->last.watermark - NAUTH_OVERLAP;
		run->has_state = is_of_this_server(run);
		run->new_credential &= run->has_state;
	}
	nauth_delta_load(run);
	run->listed_before = run->kept.listed = run->counts.listed;
	nauth_left_out_load(run);
}

/* Forget targets that were dropped: a new table may get the Oid of one. */
void
nauth_state_forget_dropped(void)
{
	static const char *const tables[] = {
		"sync_state", "sync_delta", "sync_run", "sync_digest", "held_deletion", "quarantined_user"
	};
	NauthArgs	args = {0};

	for (int i = 0; i < lengthof(tables); i++)
		nauth_statement_execute(psprintf("DELETE FROM neon_auth.%s t WHERE NOT EXISTS"
										 " (SELECT FROM pg_class c WHERE c.oid = t.target)", tables[i]), &args);
}

/* From its first run on, even if that fails, the target is the server's. */
void
nauth_state_begin(NauthRun *run)
{
	NauthArgs	args = {0};

	if (!run->first_run)
		return;
	nauth_args_relation(&args, run->target.relid);
	nauth_args_text(&args, run->options->server);
	if (run->has_state)
	{
		nauth_statement_execute("UPDATE neon_auth.sync_state SET server = $2 WHERE target = $1", &args);
		return;
	}
	nauth_args_text(&args, run->options->provider->name);
	nauth_args_text(&args, run->tenant);
	nauth_args_text(&args, run->credential);
	nauth_args_text(&args, run->cluster);

	/*
	 * what is there of another server, by a run that failed, is not of this
	 * one
	 */
	nauth_statement_execute("INSERT INTO neon_auth.sync_state (target, server, provider, tenant, credential, cluster)"
							" VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (target) DO UPDATE"
							" SET server = $2, provider = $3, tenant = $4, credential = $5, cluster = $6", &args);
}

/*
 * Whether the run leaves a question that only a full run can answer.  Where nobody can
 * be asked whether a user exists, not even that can.
 */
static bool
leaves_doubt(const NauthRun *run)
{
	return (nauth_run_held(run).passing > 0 && nauth_reply_confirms(run->options->provider)) || run->marked < run->deleted_users.count ||
		(run->incremental && (run->doubt || run->last.unproved));
}

/*
 * sync_user has written a row, with other options than the last refresh: as when
 * a full run begins.  Once, so that hardly anybody has to wait for it.
 */
void
nauth_state_mix_shapes(const NauthRun *run)
{
	NauthArgs	args = {0};

	nauth_args_relation(&args, run->target.relid);
	nauth_statement_execute("UPDATE neon_auth.sync_state SET shape = '' WHERE target = $1 AND shape <> ''", &args);
}

/* The same for the one user of sync_user: others must not wait for its end. */
static void
keep_user(NauthRun *run)
{
	char	   *ids[] = {unconstify(char *, run->single)};

	nauth_delta_store(run, 1, ids, run->counts.listed - run->kept.listed, run->counts.live);
}

/*
 * What an incremental run has written so far counts, even if it fails: the
 * numbers of users must follow the rows.  Of many new users that is not worth
 * it; if such a run fails, the next one is full.
 */
void
nauth_state_keep(NauthRun *run)
{
	const NauthCounts *counts = &run->counts;
	const NauthIdList *counted = &run->counted_users;
	bool		too_many = counted->count > NAUTH_MAX_COUNTED;
	NauthArgs	args = {0};

	if (counts->listed == run->kept.listed && counts->live == run->kept.live &&
		counts->quarantined == run->kept.quarantined && run->returned_users.count == 0)
		return;
	nauth_left_out_store(run);
	if (run->single)
	{
		keep_user(run);
		return;
	}
	if (!too_many)
		nauth_delta_store(run, counted->count - run->counted_stored, counted->ids + run->counted_stored, 1, 0);
	nauth_args_relation(&args, run->target.relid);
	nauth_args_int(&args, counts->live - run->kept.live);
	nauth_args_bool(&args, too_many);
	nauth_statement_execute("UPDATE neon_auth.sync_state SET live_users = live_users + $2,"
							" unproved = unproved OR $3 WHERE target = $1", &args);
	run->counted_stored = counted->count;
	run->kept = *counts;
}

/*
 * A full run begins.  The rows that it writes are not in the numbers of users
 * until it has reached its end, so if it fails nothing can be told from these.
 * If its options make other rows, then from now on there are rows of both kinds,
 * and the next run has to compare all, even with the options of before.
 */
void
nauth_state_doubt(NauthRun *run)
{
	NauthArgs	args = {0};

	nauth_args_relation(&args, run->target.relid);
	nauth_args_bool(&args, run->new_shape);
	nauth_statement_execute("UPDATE neon_auth.sync_state SET unproved = true, shape = CASE WHEN $2 THEN '' ELSE shape END"
							" WHERE target = $1 AND (NOT unproved OR ($2 AND shape <> ''))", &args);
}

/*
 * Deletions that were in the number of users.  A row that somebody inserted may
 * not have been; to take it off would hide the next deletion, where one too many
 * is only looked for in vain.
 */
static int64
counted_deletions(const NauthRun *run)
{
	return Min(run->marked, Max(run->missing_most - run->explained, 0));
}

/* Whether a live row that was not listed is as other options have made it. */
static bool
leaves_shapes(const NauthRun *run)
{
	return run->new_shape && !run->incremental && nauth_known_missing(run->known) > run->marked;
}

/*
 * Write what a run found that reached its end.  The caller commits.
 *
 * The watermark is replaced even by an older one, where that is because users
 * had times in the future: to read changes again does no harm.
 */
void
nauth_state_finish(NauthRun *run)
{
	const NauthCounts *counts = &run->counts;
	bool		full = !run->incremental;
	NauthArgs	args = {0};
	int			hidden;

	nauth_log_end(run, NULL);
	nauth_left_out_store(run);
	hidden = nauth_delta_settle(run);

	nauth_args_relation(&args, run->target.relid);
	nauth_args_text(&args, run->options->server);
	nauth_args_text(&args, run->options->provider->name);
	nauth_args_text(&args, run->tenant);
	nauth_args_text(&args, run->credential);
	nauth_args_text(&args, run->cluster);
	nauth_args_int(&args, (full ? nauth_known_live(run->known) : run->live_before + counts->live) - run->marked);
	nauth_args_int(&args, (full ? counts->users - run->duplicates : counts->listed - counted_deletions(run)) +
				   hidden);
	nauth_args_time(&args, run->watermark);
	nauth_args_bool(&args, run->timeless);
	nauth_args_time(&args, run->started_at);
	nauth_args_time(&args, GetCurrentTimestamp());
	nauth_args_bool(&args, full);
	nauth_args_bool(&args, leaves_doubt(run));
	nauth_args_time(&args, Max(run->newest, run->changes.newest));
	nauth_args_int(&args, run->options->full_refresh_every);
	nauth_args_text(&args, leaves_shapes(run) ? "" : run->shape);
	nauth_statement_execute("INSERT INTO neon_auth.sync_state AS s (target, server, provider, tenant, credential, shape,"
							" cluster, live_users, listed_users, watermark, last_success_started_at, last_success_at,"
							" last_full_at, unproved, timeless, newest_change, newest_change_at, next_full_at)"
							" VALUES ($1, $2, $3, $4, $5, $17, $6, $7, $8, $9, $11, $12, $12, $14, $10, $15, $12, $12 + $16 * interval '1 ms')"
							" ON CONFLICT (target) DO UPDATE SET server = $2, credential = $5, shape = $17, cluster = $6,"
							" live_users = $7, listed_users = $8,"
							" watermark = coalesce($9, s.watermark), timeless = $10,"
							" newest_change = coalesce($15, s.newest_change), newest_change_at ="
							" CASE WHEN $15 IS DISTINCT FROM s.newest_change THEN $12 ELSE s.newest_change_at END,"
							" last_success_started_at = $11, last_success_at = $12,"
							" last_full_at = CASE WHEN $13 THEN $12 ELSE s.last_full_at END,"
							" next_full_at = CASE WHEN $13 THEN $12 ELSE s.last_full_at END + $16 * interval '1 ms',"
							" unproved = $14", &args);
	NAUTH_FAULT_POINT("recorded");
}
