/*-------------------------------------------------------------------------
 *
 * refresh.c
 *	  Procedure refresh_users_sync: makes a target equal to a directory.
 *
 * A run goes through the steps of full.c or changes.c.  Called at top level,
 * each page is a transaction of its own and no snapshot is held while the
 * network is waited for; called inside a transaction, everything is part of
 * that.
 *
 * A step runs in a subtransaction, so that after an error the row of the run
 * can still be written, before the error is raised again.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "neon_auth_fdw.h"
#include "pgcompat.h"
#include "sync/run.h"

/* The advisory lock of a target has two int4 keys: this one and its Oid. */
#define LOCK_CLASS		0x6E617574	/* "naut" */
#define LOCK_TWO_KEYS	2		/* as pg_advisory_lock(int4, int4) has it */

#define DEFAULT_TARGET	"neon_auth.users_sync"

/* Arguments of the procedure, as in the script. */
enum RefreshArg
{
	ARG_SERVER,
	ARG_MODE,
	ARG_TARGET,
	ARG_APPROVE,
	ARG_DRY_RUN,
	NUM_ARGS
};

typedef enum RefreshMode
{
	MODE_AUTO,					/* incremental where it can be */
	MODE_INCREMENTAL,			/* never lists the directory */
	MODE_FULL
} RefreshMode;

static const char *const mode_names[] = {
	[MODE_AUTO] = "auto",
	[MODE_INCREMENTAL] = "incremental",
	[MODE_FULL] = "full",
};

NAUTH_FUNCTION(neon_auth_refresh_users_sync);

/* One refresh at a time in a backend: a trigger may call another. */
static bool refreshing = false;

/* This transaction holds the lock of a target until its end. */
static bool holds_transaction_lock = false;

/*
 * A prepared transaction would keep the lock until somebody resolves it, and
 * all refreshes would be busy.
 */
static void
forbid_prepare(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_PREPARE && holds_transaction_lock)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("cannot PREPARE a transaction that has refreshed a users_sync table"),
				errhint("Call the refresh outside of the transaction."));
	if (event != XACT_EVENT_PRE_COMMIT)
		holds_transaction_lock = false;
}

static bool
lock_target(const NauthRun *run, LOCKTAG *tag)
{
	static bool registered = false;
	bool		locked;

	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, LOCK_CLASS, run->target.relid, LOCK_TWO_KEYS);
	locked = LockAcquire(tag, ExclusiveLock, run->toplevel, true) != LOCKACQUIRE_NOT_AVAIL;
	if (!run->toplevel && locked)
	{
		if (!registered)
			RegisterXactCallback(forbid_prepare, NULL);
		registered = true;
		holds_transaction_lock = true;
	}
	return locked;
}

/* Nothing below may begin where it cannot end: refuse before any request. */
static void
check_transaction(bool toplevel)
{
	PreventCommandDuringRecovery("CALL neon_auth.refresh_users_sync()");
	PreventCommandIfReadOnly("CALL neon_auth.refresh_users_sync()");
	if (refreshing)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_IN_USE),
				errmsg("cannot refresh within a refresh"),
				errhint("A trigger on a users_sync table must not call it."));
	if (!toplevel && IsolationUsesXactSnapshot())
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("cannot refresh in a transaction with isolation level above READ COMMITTED"),
				errdetail("Its snapshot may be older than the last refresh."),
				errhint("Call it outside of a transaction, or after BEGIN ISOLATION LEVEL READ COMMITTED."));
}

static void
finish(NauthRun *run, void *arg)
{
	nauth_deletion_apply(run);
	if (!run->dry_run)
		nauth_state_finish(run);
}

/* Step: deletions, watermark and the row of the run, all in one transaction. */
static void
step_finish(NauthRun *run, void *arg)
{
	ErrorData  *error = nauth_run_insist(run, finish, NULL);

	if (error)
		ReThrowError(error);
}

static void
warn_held(const NauthRun *run)
{
	NauthHeld	held = nauth_run_held(run);

	if (held.count == 0)
		return;
	ereport(WARNING,
			errcode(ERRCODE_WARNING),
			errmsg("held back %d deletions in %s", held.count, run->target.name),
			errdetail("Reason: %s.", held.reason),
			held.approvable > 0 ?
			errhint("If these users are really gone: CALL neon_auth.refresh_users_sync(%s, approve_deletions => %d%s).",
					quote_literal_cstr(run->options->server), held.approvable,
					strcmp(run->target.name, DEFAULT_TARGET) == 0 ? "" :
					psprintf(", target => %s", quote_literal_cstr(run->target.name))) :
			errhint("The next refresh tries again; neon_auth.held_deletion lists the users."));
}

/* An incremental run that may not list the directory leaves deletions alone. */
static void
notice_doubt(const NauthRun *run)
{
	if (!run->incremental || run->doubt == NULL)
		return;
	ereport(NOTICE,
			errmsg("could not tell whether users of %s are missing at the provider", run->target.name),
			errdetail("Reason: %s.", run->doubt),
			errhint("CALL neon_auth.refresh_users_sync() with mode => 'auto' lists the directory."));
}

/*
 * Queries of the directory shall not lag behind the target.  If the Redis does
 * not take that, they do until cache_ttl has passed.
 */
static void
forget_cached(const NauthRun *run)
{
	const NauthCounts *counts = &run->counts;
	NauthCache *cache = nauth_directory_cache(run->directory);
	NauthError	ignored;

	if (cache && !run->dry_run && counts->inserted + counts->updated + counts->tombstoned > 0)
		(void) nauth_cache_forget(cache, &ignored);
}

/* Decide between a full and an incremental run, before any request. */
static void
choose_way(NauthRun *run, RefreshMode mode)
{
	bool		must;
	const char *obstacle = nauth_changes_obstacle(run, &must);

	run->may_list = mode != MODE_INCREMENTAL;
	if (mode == MODE_INCREMENTAL && (run->approved >= 0 || (obstacle && must)))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("cannot refresh table %s incrementally", run->target.name),
				errdetail("Reason: %s.", obstacle && must ? obstacle : "deletions are approved on a full listing"),
				errhint("Call it with mode => 'auto', which lists the directory where that is needed."));
	if (mode == MODE_FULL)
		run->reason = "mode full was asked for";
	else if (run->approved >= 0)
		run->reason = "deletions were approved";
	else if (mode == MODE_AUTO)
		run->reason = obstacle;
	run->incremental = run->reason == NULL;
}

static void
refresh(NauthRun *run, RefreshMode mode)
{
	run->first_run = true;
	if (OidIsValid(run->target.relid))
		nauth_state_load(run);
	choose_way(run, mode);
	if (!run->dry_run)
		nauth_state_begin(run);
	nauth_run_commit(run);

	if (run->incremental)
		nauth_changes_run(run);
	if (run->doubt && run->may_list)
		nauth_run_become_full(run, run->doubt);
	if (!run->incremental)
		nauth_full_run(run);
	nauth_run_step(run, NAUTH_PHASE_FINISHING, step_finish, NULL);
	forget_cached(run);
	warn_held(run);
	notice_doubt(run);
}

/* Find the target, or make it; a dry run does without. */
static void
prepare_target(NauthRun *run, const char *name)
{
	Oid			relid = nauth_target_find(name);

	if (!OidIsValid(relid) && !run->dry_run)
	{
		relid = nauth_target_create(name);
		nauth_state_forget_dropped();
		nauth_run_commit(run);
		MemoryContextSwitchTo(run->cxt);
	}
	run->target.name = name;
	if (OidIsValid(relid))
		nauth_target_describe(relid, &run->target);
}

static const char *
text_arg(FunctionCallInfo fcinfo, int arg, const char *default_value)
{
	return PG_ARGISNULL(arg) ? default_value : text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

/* Members that are no change of a user: the provider's, and the option's. */
static void
set_ignored(NauthRun *run)
{
	const char *const *lists[] = {
		run->options->provider->volatile_members, run->options->ignore_changes
	};
	const char **ignored = palloc0((NAUTH_MAX_IGNORED + 1) * sizeof(char *));

	for (int i = 0; i < lengthof(lists); i++)
		for (const char *const *member = lists[i]; member && *member; member++)
			if (run->ignored_count < NAUTH_MAX_IGNORED)
				ignored[run->ignored_count++] = *member;
	run->ignored = ignored;
}

static RefreshMode
mode_arg(FunctionCallInfo fcinfo)
{
	const char *name = text_arg(fcinfo, ARG_MODE, mode_names[MODE_AUTO]);

	for (int mode = 0; mode < lengthof(mode_names); mode++)
		if (strcmp(mode_names[mode], name) == 0)
			return mode;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid mode of a refresh"),
			errhint("Modes are auto, incremental and full."));
}

/* Read and check the arguments: all that can be refused without a request. */
static void
prepare_run(NauthRun *run, FunctionCallInfo fcinfo)
{
	const char *server_name = text_arg(fcinfo, ARG_SERVER, NULL);
	ForeignServer *server;

	run->approved = PG_ARGISNULL(ARG_APPROVE) ? -1 : PG_GETARG_INT32(ARG_APPROVE);
	run->dry_run = !PG_ARGISNULL(ARG_DRY_RUN) && PG_GETARG_BOOL(ARG_DRY_RUN);
	if (server_name == NULL || (!PG_ARGISNULL(ARG_APPROVE) && run->approved < 0))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				server_name == NULL ? errmsg("server must not be null") :
				errmsg("approve_deletions must not be negative"));

	server = nauth_server_to_ask(server_name);
	run->options = nauth_options_get(server->serverid, GetUserId());
	prepare_target(run, text_arg(fcinfo, ARG_TARGET, DEFAULT_TARGET));
	run->directory = nauth_directory_open(run->options, run->options->refresh_timeout);
	run->started_at = GetCurrentTimestamp();
	run->watermark = run->newest = run->changes.newest = DT_NOBEGIN;
	run->last_watermark = run->last_full_at = run->final_before = DT_NOBEGIN;
	run->total = -1;
	set_ignored(run);
}

/* The INOUT columns of the procedure. */
static Datum
result_row(FunctionCallInfo fcinfo, const NauthRun *run, const char *status)
{
	const NauthCounts *counts = &run->counts;
	Interval   *elapsed = palloc0(sizeof(Interval));
	TupleDesc	desc;
	Datum		values[9];
	bool		nulls[9] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	elapsed->time = GetCurrentTimestamp() - run->started_at;
	values[0] = CStringGetTextDatum(status);
	values[1] = Int64GetDatum(counts->inserted);
	values[2] = Int64GetDatum(counts->updated);
	values[3] = Int64GetDatum(counts->unchanged);
	values[4] = Int64GetDatum(counts->tombstoned);
	values[5] = Int64GetDatum(nauth_run_held(run).count);
	values[6] = Int64GetDatum(counts->quarantined);
	values[7] = Int64GetDatum(nauth_directory_stats(run->directory)->requests);
	values[8] = IntervalPGetDatum(elapsed);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* Refresh under the lock of the target; "busy" if somebody else has it. */
static const char *
refresh_locked(NauthRun *run, RefreshMode mode)
{
	LOCKTAG		tag;

	if (!lock_target(run, &tag))
		return "busy";
	refreshing = true;
	PG_TRY();
	{
		nauth_run_commit(run);	/* the lock comes before the snapshot */
		refresh(run, mode);
	}
	PG_FINALLY();
	{
		refreshing = false;
		nauth_progress_end();
		if (run->toplevel)
			LockRelease(&tag, ExclusiveLock, true);
	}
	PG_END_TRY();
	return nauth_run_status(run);
}

/*
 * SQL procedure refresh_users_sync(server, mode, target, approve_deletions,
 * dry_run, INOUT ...)
 */
Datum
neon_auth_refresh_users_sync(PG_FUNCTION_ARGS)
{
	CallContext *call = (CallContext *) fcinfo->context;
	bool		toplevel = call && IsA(call, CallContext) && !call->atomic;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext cxt;
	NauthRun   *run;
	RefreshMode mode;
	const char *status;
	Datum		result;

	check_transaction(toplevel);
	SPI_connect_ext(toplevel ? SPI_OPT_NONATOMIC : 0);

	/*
	 * it outlives commits at top level; elsewhere an error that is caught
	 * frees it
	 */
	cxt = AllocSetContextCreate(toplevel ? PortalContext : CurTransactionContext,
								"neon_auth_fdw refresh", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(cxt);
	run = palloc0(sizeof(NauthRun));
	run->cxt = cxt;
	run->page_cxt = AllocSetContextCreate(cxt, "neon_auth_fdw page", ALLOCSET_DEFAULT_SIZES);
	run->user_cxt = AllocSetContextCreate(cxt, "neon_auth_fdw user", ALLOCSET_DEFAULT_SIZES);
	run->toplevel = toplevel;
	mode = mode_arg(fcinfo);
	prepare_run(run, fcinfo);
	status = refresh_locked(run, mode);

	MemoryContextSwitchTo(caller);
	result = result_row(fcinfo, run, status);
	MemoryContextDelete(cxt);
	SPI_finish();
	return result;
}
