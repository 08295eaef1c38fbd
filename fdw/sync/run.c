/*-------------------------------------------------------------------------
 *
 * run.c
 *	  What all steps of a refresh need: a run, transactions, users left out.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "fault_point.h"
#include "provider/asking.h"
#include "sync/deletion.h"
#include "sync/progress.h"
#include "sync/state.h"
#include "users.h"
#include "wait.h"

#define DEADLOCK_TRIES	5

static bool running = false;

void
nauth_run_check_writable(const char *command)
{
	PreventCommandDuringRecovery(command);
	PreventCommandIfReadOnly(command);
	if (running)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_IN_USE),
				errmsg("cannot refresh within a refresh"),
				errhint("A trigger on a users_sync table must not call it."));
}

void
nauth_run_enter(void)
{
	running = true;
}

void
nauth_run_leave(void)
{
	running = false;
}

bool
nauth_run_is_toplevel(FunctionCallInfo fcinfo)
{
	CallContext *call = (CallContext *) fcinfo->context;

	return call && IsA(call, CallContext) && !call->atomic;
}

NauthRun *
nauth_run_create(bool toplevel)
{
	MemoryContext cxt = AllocSetContextCreate(toplevel ? PortalContext : CurTransactionContext,
											  "neon_auth_fdw run", ALLOCSET_DEFAULT_SIZES);
	NauthRun   *run;

	MemoryContextSwitchTo(cxt);
	run = palloc0(sizeof(NauthRun));
	run->cxt = cxt;
	run->page_cxt = AllocSetContextCreate(cxt, "neon_auth_fdw page", ALLOCSET_DEFAULT_SIZES);
	run->user_cxt = AllocSetContextCreate(cxt, "neon_auth_fdw user", ALLOCSET_DEFAULT_SIZES);
	run->toplevel = toplevel;
	run->approved = -1;
	run->started_at = run->asked_at = GetCurrentTimestamp();
	run->begun_clock = nauth_clock();
	run->watermark = run->newest = run->changes.newest = DT_NOBEGIN;
	run->last.watermark = run->last.newest = run->last.newest_at = DT_NOBEGIN;
	run->last.full_at = run->last.success_started_at = run->last.final_before = DT_NOBEGIN;
	run->total = -1;
	return run;
}

TimestampTz
nauth_run_provider_time(const NauthRun *run, TimestampTz time)
{
	const NauthHttpStats *stats = nauth_directory_stats(run->directory);

	/* a second more or less is what header Date does not tell */
	bool		differs = stats->dated && (stats->skew > 1 || stats->skew < -1);

	return time - (differs ? stats->skew * USECS_PER_SEC : 0);
}

TimestampTz
nauth_run_reading_since(const NauthRun *run)
{
	const NauthHttpStats *stats = nauth_directory_stats(run->directory);
	TimestampTz begun_at = GetCurrentTimestamp() - (nauth_clock() - run->begun_clock);

	return Min(run->started_at, begun_at) - (stats->dated ? Max(stats->skew, 0) * USECS_PER_SEC : 0);
}

/* Members that are no change of a user: the provider's, and the option's. */
void
nauth_run_set_options(NauthRun *run, const NauthOptions *options)
{
	const char *const *lists[] = {options->provider->volatile_members, options->ignore_changes};
	const char **ignored = palloc0((NAUTH_MAX_IGNORED + 1) * sizeof(char *));

	for (int i = 0; i < lengthof(lists); i++)
		for (const char *const *member = lists[i]; member && *member; member++)
			if (run->ignored_count < NAUTH_MAX_IGNORED)
				ignored[run->ignored_count++] = *member;
	run->ignored = ignored;
	run->options = options;
}

void
nauth_run_witness(NauthRun *run, const NauthUser *user)
{
	if (user->flaw != NAUTH_FLAW_ID && nauth_ask_id_possible(run->options->provider, user->id))
		strlcpy(run->witness, user->id, sizeof(run->witness));
}

void
nauth_run_quarantine(NauthRun *run, const NauthUser *user, bool has_row, const char *reason)
{
	NauthQuarantined *entry;

	run->counts.quarantined++;
	if (user->id[0] == '\0')
		run->unreadable_ids++;
	if (user->id[0] == '\0' || run->quarantined_count == NAUTH_MAX_QUARANTINED)
		return;
	if (run->quarantined == NULL)
		run->quarantined = MemoryContextAlloc(run->cxt, NAUTH_MAX_QUARANTINED * sizeof(NauthQuarantined));
	entry = &run->quarantined[run->quarantined_count++];
	entry->id = MemoryContextStrdup(run->cxt, user->id);
	entry->reason = MemoryContextStrdup(run->cxt, reason);
	entry->created_at = user->has_created_at ?
		nauth_moment_to_timestamptz(user->created_at) : DT_NOBEGIN;
	entry->has_row = has_row;
}

static void
add_held(NauthHeld *held, const char *reason)
{
	held->count++;
	held->approvable += nauth_deletion_brake_name(reason) != NULL;
	held->passing += !nauth_deletion_stays_held(reason);
	if (held->reason == NULL)
		held->reason = reason;
}

NauthHeld
nauth_run_held(const NauthRun *run)
{
	NauthHeld	held = {.reason = run->held_reason};

	for (int i = 0; i < run->held_users.count; i++)
		add_held(&held, run->held_users.notes[i]);
	/* an incremental run leaves those alone that it did not read */
	for (int i = 0; run->incremental && i < run->held_before.count; i++)
		if (!run->held_returned[i])
			add_held(&held, run->held_before.notes[i]);
	return held;
}

const char *
nauth_run_status(const NauthRun *run)
{
	if (run->dry_run)
		return "dry run";
	return nauth_run_held(run).count > 0 ? "held" : "ok";
}

void
nauth_run_become_full(NauthRun *run, const char *reason)
{
	run->incremental = false;
	run->reason = reason;
	if (run->known)
		nauth_known_free(run->known);
	run->known = NULL;
	if (run->dry_run)
		run->counts.inserted = run->counts.updated = 0;
	run->reread = run->counts.inserted + run->counts.updated;
	run->counts.users = run->counts.unchanged = run->counts.quarantined = 0;
	run->unreadable_ids = run->duplicates = 0;
	/* what it has stored of them is of the run before for the full one */
	for (int i = 0; i < run->quarantined_count; i++)
		nauth_id_list_add(&run->quarantined_before, run->cxt, run->quarantined[i].id, NULL);
	nauth_id_list_sort(&run->quarantined_before);
	run->quarantined_count = 0;
	run->returned_users.count = run->counted_users.count = run->counted_stored = 0;
	run->missing_users.count = run->gone_users.count = run->revived_users.count = 0;
	run->gone = NULL;
	run->deleted_users.count = run->held_users.count = 0;
	run->held_reason = NULL;
	run->witness[0] = '\0';
}

ErrorData *
nauth_run_attempt(NauthRun *run, NauthStep step, void *arg)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	NauthCounts counts = run->counts;
	int64		run_id = run->run_id;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction("neon_auth_refresh");
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		step(run, arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(run->cxt);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;

	/* the end of a subtransaction by error also ended our progress */
	if (error)
	{
		run->counts = counts;
		run->run_id = run_id;
		nauth_progress_publish(run);
	}
	return error;
}

ErrorData *
nauth_run_insist(NauthRun *run, NauthStep step, void *arg)
{
	ErrorData  *error = NULL;

	/*
	 * in somebody else's transaction it would only put off who has to give
	 * way
	 */
	for (int try = 0; try < (run->single ? 1 : DEADLOCK_TRIES); try++)
	{
		error = nauth_run_attempt(run, step, arg);
		if (error == NULL || error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
			break;
	}
	return error;
}

void
nauth_run_commit(const NauthRun *run)
{
	if (!run->toplevel)
		return;
	NAUTH_FAULT_POINT("uncommitted");
	SPI_commit();
	/* the new transaction begins with default_transaction_isolation */
	XactIsoLevel = XACT_READ_COMMITTED;
	NAUTH_FAULT_POINT("committed");
}

/*
 * End a batch that others follow, without a wait for the disk.  It gets there in the
 * order of the commits: no later batch outlives it, and it outlives the end of the run.
 */
static void
commit_unflushed(const NauthRun *run)
{
	if (run->toplevel && synchronous_commit > SYNCHRONOUS_COMMIT_OFF)
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	nauth_run_commit(run);
}

/*
 * Deferred triggers and constraints cannot fire as another role.  In a batch of
 * our own they need not be deferred.
 */
void
nauth_run_check_at_once(const NauthRun *run)
{
	ConstraintsSetStmt all = {.type = T_ConstraintsSetStmt};

	if (run->toplevel)
		AfterTriggerSetState(&all);
}

void
nauth_run_step(NauthRun *run, NauthPhase phase, NauthStep step, void *arg)
{
	ErrorData  *error;

	run->phase = phase;
	nauth_progress_publish(run);
	nauth_run_check_at_once(run);
	error = nauth_run_attempt(run, step, arg);
	if (error)
	{
		if (!run->dry_run)
			nauth_log_end(run, error);
		nauth_run_commit(run);
		ReThrowError(error);
	}
	if (phase == NAUTH_PHASE_FINISHING)
		nauth_run_commit(run);
	else
		commit_unflushed(run);
}
