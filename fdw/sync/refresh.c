/*-------------------------------------------------------------------------
 *
 * refresh.c
 *	  One run: makes a target equal to a directory.
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

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "neon_auth_fdw.h"
#include "provider/reply.h"
#include "sync/changes.h"
#include "sync/deletion.h"
#include "sync/full.h"
#include "sync/lock.h"
#include "sync/progress.h"
#include "sync/refresh.h"
#include "sync/state.h"

/* For each page of a directory that is followed, between two listings of it. */
#define FOLLOW_PAGE_PAUSE	USECS_PER_SEC

char *
nauth_refresh_call(const char *procedure, const char *server, const char *target, const char *more)
{
	return psprintf("CALL neon_auth.%s(%s%s%s%s)", procedure, quote_literal_cstr(server),
					strcmp(target, NAUTH_DEFAULT_TARGET) == 0 ? "" :
					psprintf(", target => %s", quote_literal_cstr(target)),
					more ? ", " : "", more ? more : "");
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

/* What releases deletions that are held. */
static const char *
held_hint(const NauthRun *run, const NauthHeld *held)
{
	const NauthOptions *options = run->options;

	if (!nauth_reply_confirms(options->provider) && options->provider->unconfirmed)
		return psprintf(options->provider->unconfirmed, quote_identifier(options->server));
	if (held->approvable > 0)
		return psprintf("If these users are really gone: %s;",
						nauth_refresh_call("refresh_users_sync", options->server, run->target.name,
										   psprintf("approve_deletions => %d", held->approvable)));
	return held->passing > 0 ? "The next refresh tries again; neon_auth.held_deletion lists the users." :
		"The next full refresh tries again; neon_auth.held_deletion lists the users.";
}

void
nauth_refresh_warn_held(const NauthRun *run)
{
	NauthHeld	held = nauth_run_held(run);

	if (held.count > 0)
		ereport(WARNING,
				errcode(ERRCODE_WARNING),
				errmsg_plural("held back %d deletion in %s", "held back %d deletions in %s", held.count,
							  held.count, run->target.name),
				errdetail("Reason: %s.", held.reason),
				errhint("%s", held_hint(run, &held)));
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
			errhint("To list the directory: %s;", nauth_refresh_call("refresh_users_sync", run->options->server,
																	 run->target.name, NULL)));
}

/*
 * Queries of the directory shall not lag behind the target.  If the Redis does
 * not take that, they do until cache_ttl has passed.
 */
static void
forget_cached(const NauthRun *run)
{
	NauthCache *cache = nauth_directory_cache(run->directory);
	NauthError	ignored;

	if (cache && !run->dry_run && nauth_log_has_changes(run))
		(void) nauth_cache_forget(cache, &ignored);
}

/*
 * Whether the directory may be listed.  One that is followed is not listed again
 * and again, whatever the provider counts: a page a second is the most.
 */
static bool
may_list(const NauthRun *run, NauthMode mode)
{
	int64		pages = 1 + run->listed_before / run->options->settings.page_size;

	if (mode == NAUTH_MODE_FOLLOW)
		return run->last.full_at == DT_NOBEGIN || run->last.full_at > run->started_at ||
			run->started_at - run->last.full_at >= pages * FOLLOW_PAGE_PAUSE;
	return mode != NAUTH_MODE_INCREMENTAL;
}

/* Decide between a full and an incremental run, before any request. */
static void
choose_way(NauthRun *run, NauthMode mode)
{
	bool		must;
	const char *obstacle = nauth_changes_obstacle(run, &must);

	run->may_list = may_list(run, mode);
	if (mode == NAUTH_MODE_INCREMENTAL && (run->approved >= 0 || (obstacle && must)))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("cannot refresh table %s incrementally", run->target.name),
				errdetail("Reason: %s.", obstacle && must ? obstacle : "deletions are approved on a full listing"),
				errhint("Call it with mode => 'auto', which lists the directory where that is needed."));
	if (mode == NAUTH_MODE_FULL)
		run->reason = "mode full was asked for";
	else if (run->approved >= 0)
		run->reason = "deletions were approved";
	else if (run->may_list || must)
		run->reason = obstacle;
	run->incremental = run->reason == NULL;
}

/* What a beat shall not wait of the time that a listing may take. */
static int64
kept_back(const NauthRun *run)
{
	return Max(run->options->refresh_timeout * INT64CONST(1000) - run->patience, 0);
}

/* Begin, with what the last run has left. */
static void
begin(NauthRun *run, NauthMode mode)
{
	run->first_run = true;
	if (OidIsValid(run->target.relid))
		nauth_state_load(run);
	choose_way(run, mode);
	run->followed = mode == NAUTH_MODE_FOLLOW && run->incremental;
	if (!run->dry_run)
		nauth_state_begin(run);
	if (!run->dry_run && !run->followed)
		nauth_log_begin(run);
	nauth_run_commit(run);
	if (run->followed)
		nauth_directory_spend(run->directory, kept_back(run));
}

/* An incremental run that has proved too little goes on as a full one. */
static void
become_full(NauthRun *run)
{
	nauth_run_become_full(run, run->doubt);
	if (run->followed)
	{
		nauth_directory_spend(run->directory, -kept_back(run));
		nauth_log_begin(run);
	}
	run->followed = false;
	nauth_run_commit(run);
}

static void
refresh(NauthRun *run, NauthMode mode)
{
	begin(run, mode);
	if (run->incremental && run->options->provider->lists_changes)
		nauth_changes_run(run);
	else if (run->incremental)
		nauth_since_run(run);
	if (run->doubt && run->may_list)
		become_full(run);
	if (!run->incremental)
		nauth_full_run(run);
	nauth_run_step(run, NAUTH_PHASE_FINISHING, step_finish, NULL);
	forget_cached(run);
	if (mode == NAUTH_MODE_FOLLOW)
		return;
	nauth_refresh_warn_held(run);
	notice_doubt(run);
}

/* Find the target, or make it; a dry run does without. */
static void
find_target(NauthRun *run, const char *name)
{
	run->target.name = name;
	if (nauth_target_open(name, &run->target) || run->dry_run)
		return;
	(void) nauth_target_create(name);
	nauth_run_commit(run);
	MemoryContextSwitchTo(run->cxt);
	(void) nauth_target_open(name, &run->target);
}

/* Read the options of the server for the caller. */
static void
read_options(NauthRun *run, const char *server_name)
{
	ForeignServer *server;

	if (server_name == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("server must not be null"));
	server = nauth_server_to_ask(server_name, GetUserId());
	nauth_run_set_options(run, nauth_options_get(server->serverid, GetUserId()));
}

void
nauth_refresh_open(NauthRun *run, const char *server, const char *target)
{
	read_options(run, server);
	find_target(run, target);
	run->directory = nauth_directory_open(run->options, run->options->refresh_timeout);
}

void
nauth_refresh_check(NauthRun *run, const char *server, const char *target)
{
	read_options(run, server);
	if (!nauth_target_open(target, &run->target))
		run->target.name = nauth_target_creation_name(target);
}

/* Do something under the lock of the target; false if another run has it. */
static bool
under_lock(NauthRun *run, NauthMode mode, void (*body) (NauthRun *run, NauthMode mode))
{
	NauthLock	lock;

	if (!nauth_lock_target(&lock, run->target.relid, run->toplevel))
		return false;
	nauth_run_enter();
	PG_TRY();
	{
		nauth_run_commit(run);	/* the lock comes before the snapshot */
		body(run, mode);
	}
	PG_FINALLY();
	{
		nauth_run_leave();
		nauth_progress_end();
		if (run->toplevel)
			nauth_lock_release(&lock);
	}
	PG_END_TRY();
	return true;
}

const char *
nauth_refresh(NauthRun *run, NauthMode mode)
{
	return under_lock(run, mode, refresh) ? nauth_run_status(run) : NULL;
}

static void
step_log(NauthRun *run, void *arg)
{
	nauth_log_end(run, NULL);
}

static void
glance(NauthRun *run, NauthMode mode)
{
	bool		must;

	nauth_state_load(run);
	run->incremental = run->followed = true;
	nauth_run_commit(run);
	nauth_directory_spend(run->directory, kept_back(run));
	run->more = (nauth_changes_obstacle(run, &must) && (must || may_list(run, mode))) ||
		!(run->options->provider->lists_changes ? nauth_changes_glance(run) : nauth_since_glance(run));
	run->doubt = NULL;
	if (nauth_log_has_changes(run))
		nauth_run_step(run, NAUTH_PHASE_FINISHING, step_log, NULL);
	forget_cached(run);
}

bool
nauth_refresh_glance(NauthRun *run)
{
	return !under_lock(run, NAUTH_MODE_FOLLOW, glance) || !run->more;
}
