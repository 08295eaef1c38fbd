/*-------------------------------------------------------------------------
 *
 * refresh.c
 *	  Procedure refresh_users_sync: makes a target equal to a directory.
 *
 * A run goes through the steps of refresh() below.  Called at top level, each
 * page is a transaction of its own and no snapshot is held while the network
 * is waited for; called inside a transaction, everything is part of that.
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

/* Users that a new credential is asked about, to see that it knows them. */
#define CREDENTIAL_PROBES	10

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

/* End the batch: what was written so far stays, whatever comes. */
static void
commit(const NauthRun *run)
{
	if (!run->toplevel)
		return;
	SPI_commit();
	/* the new transaction begins with default_transaction_isolation */
	XactIsoLevel = XACT_READ_COMMITTED;
}

/* Step: get the next page, without a snapshot, and write it. */
static void
step_page(NauthRun *run, void *arg)
{
	run->page = nauth_directory_next(run->directory);
	if (run->page)
		nauth_apply_page(run);
}

static void
step_find(NauthRun *run, void *arg)
{
	/* not the users are to blame then */
	if (run->quarantined_users.count > 1 && run->counts.quarantined == run->counts.users)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("none of the users of server \"%s\" can be stored in %s",
					   run->options->server, run->target.name),
				errdetail("Reason for the first: %s.", run->quarantined_users.reasons[0]));
	nauth_deletion_find(run);
}

static void
step_confirm(NauthRun *run, void *arg)
{
	nauth_deletion_confirm(run);
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

/*
 * Step: another credential than last time.  Before it may change anything it
 * has to find one of the users that are here; else it belongs to another
 * directory.
 */
static void
step_probe(NauthRun *run, void *arg)
{
	NauthIdList *probes = arg;
	NauthUser  *user = palloc(sizeof(NauthUser));

	for (int i = 0; i < probes->count; i++)
		if (nauth_read_id_possible(run->options->provider, probes->ids[i]) &&
			nauth_directory_user(run->directory, probes->ids[i], user))
			return;
	if (probes->count > 0)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("the credential for server \"%s\" has changed, and with it the provider knows none of the users in %s",
					   run->options->server, run->target.name),
				errdetail("It seems to belong to another directory, which would mark all users here as deleted."),
				errhint("Set the right credential in the user mapping, or name another table as \"target\". If it is the right one: DELETE FROM neon_auth.sync_state WHERE target = %s::regclass, as the owner of the extension.",
						quote_literal_cstr(run->target.name)));
}

/*
 * Step: some live users, to probe a credential with: those changed last, for
 * they are the likeliest to exist still, and none whose deletion is held.
 */
static void
step_choose_probes(NauthRun *run, void *arg)
{
	const NauthIdList *held = &run->held_before;
	Oid			type = TEXTARRAYOID;
	Datum		value = nauth_text_array(held->count, (const char *const *) held->ids);
	NauthRole	saved;

	nauth_role_enter(run->target.owner, &saved);
	SPI_execute_with_args(psprintf("SELECT id::text FROM %s WHERE deleted_at IS NULL AND id IS NOT NULL AND id <> ALL ($1)"
								   " ORDER BY updated_at DESC NULLS LAST LIMIT %d",
								   run->target.name, CREDENTIAL_PROBES),
						  1, &type, &value, NULL, false, 0);
	nauth_role_leave(&saved);
	for (uint64 i = 0; i < SPI_processed; i++)
		nauth_id_list_add(arg, run->cxt,
						  nauth_target_id(SPI_tuptable->vals[i], SPI_tuptable->tupdesc), NULL);
}

static void
step_load(NauthRun *run, void *arg)
{
	nauth_apply_load(run);
}

/*
 * Run a step as a batch of its own.  If it fails, write that down, which
 * stays at top level, and raise its error again.
 */
static void
do_step(NauthRun *run, NauthPhase phase, NauthStep step, void *arg)
{
	ErrorData  *error;

	run->phase = phase;
	nauth_progress_publish(run);
	error = nauth_run_attempt(run, step, arg);
	if (error)
	{
		if (!run->dry_run)
			nauth_state_fail(run, error);
		commit(run);
		ReThrowError(error);
	}
	commit(run);
}

static void
warn_held(const NauthRun *run)
{
	if (run->held_users.count == 0)
		return;
	ereport(WARNING,
			errcode(ERRCODE_WARNING),
			errmsg("held back %d deletions in %s", run->held_users.count, run->target.name),
			errdetail("Reason: %s.", run->held_reason),
			run->held_for_approval > 0 ?
			errhint("If these users are really gone: CALL neon_auth.refresh_users_sync(%s, approve_deletions => %d%s).",
					quote_literal_cstr(run->options->server), run->held_for_approval,
					strcmp(run->target.name, DEFAULT_TARGET) == 0 ? "" :
					psprintf(", target => %s", quote_literal_cstr(run->target.name))) :
			errhint("The next refresh tries again; neon_auth.held_deletion lists the users."));
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

static void
refresh(NauthRun *run)
{
	NauthIdList probes = {0};

	if (OidIsValid(run->target.relid))
		nauth_state_load(run);
	if (!run->dry_run)
		nauth_state_begin(run);
	commit(run);

	if (run->new_credential)
	{
		do_step(run, NAUTH_PHASE_STARTING, step_choose_probes, &probes);
		do_step(run, NAUTH_PHASE_STARTING, step_probe, &probes);
	}
	do_step(run, NAUTH_PHASE_READING_TARGET, step_load, NULL);
	nauth_directory_list(run->directory);
	do
	{
		do_step(run, NAUTH_PHASE_LISTING, step_page, NULL);
	} while (run->page);
	do_step(run, NAUTH_PHASE_LISTING, step_find, NULL);
	do_step(run, NAUTH_PHASE_CONFIRMING, step_confirm, NULL);
	do_step(run, NAUTH_PHASE_FINISHING, step_finish, NULL);
	forget_cached(run);
	warn_held(run);
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
		commit(run);
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

/* Read and check the arguments: all that can be refused without a request. */
static void
prepare_run(NauthRun *run, FunctionCallInfo fcinfo)
{
	const char *server_name = text_arg(fcinfo, ARG_SERVER, NULL);
	const char *mode = text_arg(fcinfo, ARG_MODE, "auto");
	ForeignServer *server;

	run->approved = PG_ARGISNULL(ARG_APPROVE) ? -1 : PG_GETARG_INT32(ARG_APPROVE);
	run->dry_run = !PG_ARGISNULL(ARG_DRY_RUN) && PG_GETARG_BOOL(ARG_DRY_RUN);
	if (strcmp(mode, "auto") != 0 && strcmp(mode, "full") != 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid mode of a refresh"),
				errhint("Modes are auto and full."));
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
	run->watermark = DT_NOBEGIN;
	run->total = -1;
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
	values[5] = Int64GetDatum(run->held_users.count);
	values[6] = Int64GetDatum(counts->quarantined);
	values[7] = Int64GetDatum(nauth_directory_stats(run->directory)->requests);
	values[8] = IntervalPGetDatum(elapsed);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* Refresh under the lock of the target; "busy" if somebody else has it. */
static const char *
refresh_locked(NauthRun *run)
{
	LOCKTAG		tag;

	if (!lock_target(run, &tag))
		return "busy";
	refreshing = true;
	PG_TRY();
	{
		commit(run);			/* the lock comes before the snapshot */
		refresh(run);
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
	prepare_run(run, fcinfo);
	status = refresh_locked(run);

	MemoryContextSwitchTo(caller);
	result = result_row(fcinfo, run, status);
	MemoryContextDelete(cxt);
	SPI_finish();
	return result;
}
