/*-------------------------------------------------------------------------
 *
 * follow.c
 *	  Procedure follow_users_sync: refreshes again and again for a while.
 *
 * A beat looks at the latest changes, which takes one request.  Every ten
 * seconds it is a refresh, which reads them over the whole overlap and counts.
 * Only refreshes move the watermark, so what a beat misses is not lost.
 *
 * The lock of the target is held during a beat alone, so that other runs come
 * in between; two followers of one target keep each other away by another lock.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cache/health.h"
#include "pgcompat.h"
#include "sync/lock.h"
#include "sync/procedure.h"
#include "sync/progress.h"
#include "sync/refresh.h"
#include "wait.h"

/* Between two beats that count, in microseconds. */
#define THOROUGH_PAUSE	(10 * USECS_PER_SEC)

/* Between any two beats: some times as long as others wait before they look again. */
#define OTHERS_PAUSE	(USECS_PER_SEC / 20)

#define EVERY_MIN		(USECS_PER_SEC / 10)
#define EVERY_MAX		USECS_PER_HOUR
#define DURING_MAX		USECS_PER_DAY

/* Arguments of the procedure, as in the script. */
enum FollowArg
{
	ARG_SERVER,
	ARG_EVERY,
	ARG_DURING,
	ARG_TARGET
};

typedef struct Follow
{
	const char *server;
	const char *target;
	int64		every;			/* microseconds */
	TimestampTz started_at;
	int64		end;			/* of nauth_clock(), like the next */
	int64		thorough_at;	/* the next beat that counts is due */
	bool		warned;			/* of deletions that are held */

	/* what it did */
	int64		beats;
	int64		held;			/* at its last thorough beat */
	int64		requests;
	NauthCounts counts;
} Follow;

NAUTH_FUNCTION(neon_auth_follow_users_sync);

/* A duration in microseconds; months have 30 days. */
static int64
duration_arg(FunctionCallInfo fcinfo, int arg, const char *name, int64 min, int64 max)
{
	const Interval *interval = PG_ARGISNULL(arg) ? NULL : PG_GETARG_INTERVAL_P(arg);
	int64		days = interval ? interval->day + interval->month * INT64CONST(30) : 0;
	int64		time = interval && days <= 1 && days >= -1 ? interval->time + days * USECS_PER_DAY : max + 1;

	if (interval == NULL || time < min || time > max)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for argument \"%s\"", name),
				errhint("It is an interval from %g seconds to %g hours.",
						(double) min / USECS_PER_SEC, (double) max / USECS_PER_HOUR));
	return time;
}

static void
read_args(Follow *follow, FunctionCallInfo fcinfo)
{
	follow->server = nauth_procedure_text(fcinfo, ARG_SERVER, NULL);
	follow->target = nauth_procedure_text(fcinfo, ARG_TARGET, NAUTH_DEFAULT_TARGET);
	follow->every = duration_arg(fcinfo, ARG_EVERY, "every", EVERY_MIN, EVERY_MAX);
	follow->end = nauth_clock() + duration_arg(fcinfo, ARG_DURING, "during", 0, DURING_MAX);
	follow->started_at = GetCurrentTimestamp();
}

/* Without a list of changes each beat would be a listing. */
static void
check_followable(const NauthRun *run)
{
	const NauthProvider *provider = run->options->provider;
	bool		lists_changes = provider->lists_changes || provider->lists_since;

	if (lists_changes && !run->timeless)
		return;
	ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("cannot follow server \"%s\"", run->options->server),
			errdetail("Each refresh lists its whole directory: %s.",
					  lists_changes ? "not all users have a time of change" :
					  "the provider does not list changes"),
			errhint("Refresh now and then: SELECT neon_auth.schedule_refresh(%s, '*/5 * * * *', target => %s);",
					quote_literal_cstr(run->options->server), quote_literal_cstr(run->target.name)));
}

static void
add_counts(Follow *follow, const NauthRun *run)
{
	follow->beats++;
	follow->requests += nauth_directory_stats(run->directory)->requests;
	follow->counts.inserted += run->counts.inserted;
	follow->counts.updated += run->counts.updated;
	follow->counts.tombstoned += run->counts.tombstoned;
}

/* A beat that refreshes.  Another run that has the lock does it for us. */
static void
refresh(Follow *follow, NauthRun *run)
{
	follow->thorough_at = nauth_clock() + THOROUGH_PAUSE;
	if (nauth_refresh(run, NAUTH_MODE_FOLLOW) == NULL)
		return;
	check_followable(run);
	follow->held = nauth_run_held(run).count;
	if (!follow->warned)
		nauth_refresh_warn_held(run);
	follow->warned |= follow->held > 0;
}

/* One run that is opened, and closed with all that SPI keeps for it. */
static NauthRun *
open_run(const Follow *follow)
{
	NauthRun   *run;

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	run = nauth_run_create(true);
	nauth_refresh_open(run, follow->server, follow->target);
	check_followable(run);
	return run;
}

static void
close_run(NauthRun *run)
{
	MemoryContextSwitchTo(PortalContext);
	MemoryContextDelete(run->cxt);
	SPI_finish();
	MemoryContextSwitchTo(PortalContext);
}

static void
beat(Follow *follow)
{
	NauthRun   *run = open_run(follow);
	int64		now = nauth_clock();

	/* a fault of Redis in the one before is none of this one's */
	nauth_health_next_statement();
	run->patience = Max(follow->end - now, run->options->request_timeout * INT64CONST(1000));
	if (now >= follow->thorough_at)
		refresh(follow, run);
	else if (!nauth_refresh_glance(run))
		follow->thorough_at = now;
	add_counts(follow, run);

	/* others see who follows, and no snapshot is kept meanwhile */
	nauth_run_commit(run);
	run->phase = NAUTH_PHASE_WAITING;
	run->started_at = follow->started_at;
	nauth_progress_publish(run);
	close_run(run);
}

/*
 * A beat that took longer than the pause is not made up for, and leaves others the
 * time to come in between.
 */
static void
follow_until_end(Follow *follow)
{
	int64		next = nauth_clock();

	for (;;)
	{
		beat(follow);
		next = Max(next + follow->every, nauth_clock() + OTHERS_PAUSE);
		if (next >= follow->end)
			break;
		(void) nauth_wait(-1, next);
	}
}

/* False if somebody else follows the target. */
static bool
follow_under_lock(Follow *follow, Oid relid)
{
	NauthLock	lock;

	if (!nauth_lock_follow(&lock, relid))
		return false;
	PG_TRY();
	{
		follow_until_end(follow);
	}
	PG_FINALLY();
	{
		nauth_progress_end();
		nauth_lock_release(&lock);
	}
	PG_END_TRY();
	return true;
}

/* The target, made if there is none. */
static Oid
find_target(const Follow *follow)
{
	NauthRun   *run = open_run(follow);
	Oid			relid = run->target.relid;

	close_run(run);
	return relid;
}

static Datum
result_row(FunctionCallInfo fcinfo, const Follow *follow, const char *status)
{
	const NauthCounts *counts = &follow->counts;
	const int64 numbers[] = {
		follow->beats, counts->inserted, counts->updated, counts->tombstoned, follow->held, follow->requests
	};

	return nauth_procedure_result(fcinfo, status, lengthof(numbers), numbers, follow->started_at);
}

/* SQL procedure follow_users_sync(server, every, during, target, INOUT ...) */
Datum
neon_auth_follow_users_sync(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	Follow	   *follow;
	const char *status;

	nauth_run_check_writable("CALL neon_auth.follow_users_sync()");
	if (!nauth_run_is_toplevel(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				errmsg("cannot follow a directory within a transaction"),
				errhint("Call it outside of a transaction block, or use neon_auth.refresh_users_sync()."));
	MemoryContextSwitchTo(PortalContext);
	follow = palloc0(sizeof(Follow));
	read_args(follow, fcinfo);
	status = !follow_under_lock(follow, find_target(follow)) ? "busy" :
		follow->held > 0 ? "held" : "ok";

	MemoryContextSwitchTo(caller);
	return result_row(fcinfo, follow, status);
}
