/*-------------------------------------------------------------------------
 *
 * state.c
 *	  The state tables: which directory a target belongs to, the log of runs,
 *	  users held and left out.
 *
 * Only this file writes them, as their owner, so that whoever may refresh a
 * target of his own needs no right on tables that others' targets share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "sync/run.h"

/* Changes younger than this at the last reading may have been read too early. */
#define OVERLAP		(5 * USECS_PER_MINUTE)

#define MAX_ARGS	20

/* Arguments of a statement, in order. */
typedef struct Args
{
	int			count;
	Oid			types[MAX_ARGS];
	Datum		values[MAX_ARGS];
	char		nulls[MAX_ARGS];
} Args;

static void
add_arg(Args *args, Oid type, Datum value, bool isnull)
{
	Assert(args->count < MAX_ARGS);
	args->types[args->count] = type;
	args->values[args->count] = value;
	args->nulls[args->count++] = isnull ? 'n' : ' ';
}

static void
add_text(Args *args, const char *value)
{
	add_arg(args, TEXTOID, value ? CStringGetTextDatum(value) : (Datum) 0, value == NULL);
}

static void
add_int(Args *args, int64 value)
{
	add_arg(args, INT8OID, Int64GetDatum(value), false);
}

static void
add_time(Args *args, TimestampTz value)
{
	add_arg(args, TIMESTAMPTZOID, TimestampTzGetDatum(value), value == DT_NOBEGIN);
}

static void
add_texts(Args *args, int count, const char *const *texts)
{
	add_arg(args, TEXTARRAYOID, nauth_text_array(count, texts), false);
}

/* The role that owns the state tables. */
static Oid
state_owner(void)
{
	Oid			relid = get_relname_relid("sync_state", get_namespace_oid("neon_auth", false));
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("table neon_auth.sync_state does not exist"),
				errhint("Create extension neon_auth_fdw in this database."));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
execute(const char *sql, Args *args)
{
	NauthRole	saved;
	int			result;

	nauth_role_enter(state_owner(), &saved);
	result = SPI_execute_with_args(sql, args->count, args->types, args->values, args->nulls,
								   false, 0);
	nauth_role_leave(&saved);
	if (result < 0)
		elog(ERROR, "statement on a state table failed: %s", SPI_result_code_string(result));
}

static Datum
result_value(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/* 32 hexadecimal digits that stand for two texts and cannot be turned back. */
static void
fingerprint(char *out, const char *first, const char *second)
{
	char	   *text = psprintf("neon_auth_fdw %zu %s %s", strlen(first), first, second);
	Datum		hash = DirectFunctionCall1(sha256_bytea, PointerGetDatum(cstring_to_text(text)));
	bytea	   *bytes = DatumGetByteaPP(hash);

	for (int i = 0; i < (NAUTH_FINGERPRINT - 1) / 2; i++)
		sprintf(out + 2 * i, "%02x", (unsigned char) VARDATA_ANY(bytes)[i]);
	explicit_bzero(text, strlen(text));
}

/* Whether the target has any row, whoever's it is. */
static bool
has_rows(const NauthRun *run)
{
	NauthRole	saved;

	nauth_role_enter(run->target.owner, &saved);
	SPI_execute(psprintf("SELECT FROM %s LIMIT 1", run->target.name), false, 1);
	nauth_role_leave(&saved);
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

/* Deletions that wait for a person; an approval has to name their number. */
static void
load_held(NauthRun *run)
{
	Args		args = {0};

	add_arg(&args, REGCLASSOID, ObjectIdGetDatum(run->target.relid), false);
	execute("SELECT id, reason FROM neon_auth.held_deletion WHERE target = $1"
			" ORDER BY id COLLATE \"C\"", &args);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		char	   *id = TextDatumGetCString(result_value(i, 1, &isnull));
		const char *reason =
		nauth_deletion_approvable(TextDatumGetCString(result_value(i, 2, &isnull)));

		if (reason)
			nauth_id_list_add(&run->held_before, run->cxt, id, reason);
	}
	if (run->approved >= 0 && run->approved != run->held_before.count)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("approve_deletions is %d, but %d deletions are held for approval in table %s",
					   run->approved, run->held_before.count, run->target.name),
				errhint("SELECT * FROM neon_auth.held_deletion shows what would be approved."));
}

/*
 * Read the state of run->target and refuse to mix two directories in it: only
 * an empty table that no run has ever filled may change its server.  Fills the
 * fingerprints, first_run, new_credential, final_before and held_before.
 */
void
nauth_state_load(NauthRun *run)
{
	const NauthOptions *options = run->options;
	Args		args = {0};
	bool		isnull;
	char	   *server;
	bool		same;

	fingerprint(run->tenant, options->provider->name, options->settings.url);
	fingerprint(run->credential, options->provider->name, options->settings.api_key);
	run->final_before = DT_NOBEGIN;
	run->first_run = true;
	add_arg(&args, REGCLASSOID, ObjectIdGetDatum(run->target.relid), false);
	add_text(&args, run->tenant);
	add_text(&args, run->credential);
	execute("SELECT server, tenant = $2, credential <> $3, last_success_started_at, live_users"
			" FROM neon_auth.sync_state WHERE target = $1", &args);
	if (SPI_processed > 0)
	{
		Datum		started = result_value(0, 4, &run->first_run);

		if (!run->first_run)
			run->final_before = DatumGetTimestampTz(started) - OVERLAP;
		server = TextDatumGetCString(result_value(0, 1, &isnull));
		/* a server that is gone was renamed, or made anew */
		same = DatumGetBool(result_value(0, 2, &isnull)) &&
			(strcmp(server, options->server) == 0 ||
			 !OidIsValid(get_foreign_server_oid(server, true)));
		run->new_credential = same && DatumGetBool(result_value(0, 3, &isnull));
		run->live_before = DatumGetInt64(result_value(0, 5, &isnull));
		if (!same && !(run->first_run && !has_rows(run)))
			refuse_foreign_target(run, server);
	}
	load_held(run);
}

/* Forget targets that were dropped: a new table may get the Oid of one. */
void
nauth_state_forget_dropped(void)
{
	static const char *const tables[] = {
		"sync_state", "sync_run", "held_deletion", "quarantined_user"
	};
	Args		args = {0};

	for (int i = 0; i < lengthof(tables); i++)
		execute(psprintf("DELETE FROM neon_auth.%s t WHERE NOT EXISTS"
						 " (SELECT FROM pg_class c WHERE c.oid = t.target)", tables[i]), &args);
}

/*
 * Write the row of a run that begins; one that still runs has crashed.  From
 * its first run on, even if that fails, the target is the server's.
 */
void
nauth_state_begin(NauthRun *run)
{
	Args		args = {0};
	bool		isnull;

	add_arg(&args, REGCLASSOID, ObjectIdGetDatum(run->target.relid), false);
	execute("UPDATE neon_auth.sync_run SET status = 'crashed', finished_at = now()"
			" WHERE target = $1 AND status = 'running'", &args);

	add_text(&args, run->options->server);
	add_time(&args, run->started_at);
	add_arg(&args, INT8OID, Int64GetDatum(run->approved), run->approved < 0);
	execute("INSERT INTO neon_auth.sync_run (target, server, mode, status, started_at, approved)"
			" VALUES ($1, $2, 'full', 'running', $3, $4) RETURNING run_id", &args);
	run->run_id = DatumGetInt64(result_value(0, 1, &isnull));

	if (!run->first_run)
		return;
	args.count = 2;
	add_text(&args, run->options->provider->name);
	add_text(&args, run->tenant);
	add_text(&args, run->credential);
	execute("INSERT INTO neon_auth.sync_state (target, server, provider, tenant, credential)"
			" VALUES ($1, $2, $3, $4, $5) ON CONFLICT (target) DO UPDATE"
			" SET server = $2, provider = $3, tenant = $4", &args);
}

/* Close the row of the run. */
static void
update_run(NauthRun *run, const char *status, const ErrorData *error)
{
	const NauthCounts *counts = &run->counts;
	const NauthHttpStats *stats = nauth_directory_stats(run->directory);
	Args		args = {0};

	add_int(&args, run->run_id);
	add_text(&args, status);
	add_time(&args, GetCurrentTimestamp());
	add_int(&args, stats->requests);
	add_int(&args, stats->retries);
	add_int(&args, counts->pages);
	add_int(&args, counts->users);
	add_int(&args, counts->inserted);
	add_int(&args, counts->updated);
	add_int(&args, counts->unchanged);
	add_int(&args, counts->tombstoned);
	add_int(&args, run->held_users.count);
	add_int(&args, counts->quarantined);
	add_text(&args, run->held_reason);
	add_text(&args, error ? unpack_sql_state(error->sqlerrcode) : NULL);
	add_text(&args, error ? error->message : NULL);
	execute("UPDATE neon_auth.sync_run SET status = $2, finished_at = $3, requests = $4,"
			" retries = $5, pages = $6, users = $7, inserted = $8, updated = $9,"
			" unchanged = $10, tombstoned = $11, held = $12, quarantined = $13, note = $14,"
			" sqlstate = $15, error = $16 WHERE run_id = $1", &args);
}

/*
 * Make a table of (target, id, reason, since) equal to a list, leaving the
 * rows alone that are as they were.
 */
static void
replace_list(NauthRun *run, const char *table, const char *since, const NauthIdList *list)
{
	Args		args = {0};

	add_arg(&args, REGCLASSOID, ObjectIdGetDatum(run->target.relid), false);
	add_texts(&args, list->count, (const char *const *) list->ids);
	execute(psprintf("DELETE FROM neon_auth.%s WHERE target = $1 AND id <> ALL ($2)", table), &args);
	if (list->count == 0)
		return;
	add_texts(&args, list->count, list->reasons);
	execute(psprintf("INSERT INTO neon_auth.%s AS t (target, id, reason, %s)"
					 " SELECT $1, n.id, n.reason, now() FROM unnest($2, $3) AS n (id, reason)"
					 " ON CONFLICT (target, id) DO UPDATE SET reason = excluded.reason"
					 " WHERE t.reason <> excluded.reason", table, since), &args);
}

/* Write what a run found that reached its end.  The caller commits. */
void
nauth_state_finish(NauthRun *run)
{
	Args		args = {0};

	update_run(run, nauth_run_status(run), NULL);
	replace_list(run, "held_deletion", "held_since", &run->held_users);
	replace_list(run, "quarantined_user", "quarantined_since", &run->quarantined_users);

	add_arg(&args, REGCLASSOID, ObjectIdGetDatum(run->target.relid), false);
	add_text(&args, run->options->server);
	add_text(&args, run->options->provider->name);
	add_text(&args, run->tenant);
	add_text(&args, run->credential);
	add_int(&args, nauth_known_live(run->known) - run->counts.tombstoned);
	add_time(&args, run->watermark);
	add_time(&args, run->started_at);
	add_time(&args, GetCurrentTimestamp());
	execute("INSERT INTO neon_auth.sync_state AS s (target, server, provider, tenant, credential,"
			" live_users, watermark, last_success_started_at, last_success_at)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
			" ON CONFLICT (target) DO UPDATE SET server = $2, credential = $5, live_users = $6,"
			" watermark = greatest(s.watermark, $7), last_success_started_at = $8, last_success_at = $9", &args);
}

/* Write that a run failed, in the transaction that goes on after it. */
void
nauth_state_fail(NauthRun *run, const ErrorData *error)
{
	update_run(run, "failed", error);
}
