/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  A running refresh, as other sessions see it in view sync_progress.
 *
 * The server's own progress reporting is used with a command number that it
 * does not know, so its views ignore it and ours shows it.  This needs no
 * shared memory of our own, hence no preloading, and survives a commit.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pgcompat.h"
#include "sync/progress.h"
#include "wait.h"

/* Between two NOTICEs, in microseconds. */
#define NOTICE_PAUSE	(5 * USECS_PER_SEC)

/* Far from the server's numbers, which count up from 1. */
#define PROGRESS_COMMAND	((ProgressCommandType) 0x4E41)

enum ProgressParam
{
	PARAM_PHASE,
	PARAM_USERS,
	PARAM_TOTAL,
	PARAM_PAGES,
	PARAM_REQUESTS,
	PARAM_STARTED,
	NUM_PARAMS
};

#define NUM_COLUMNS		8

static const char *const phase_names[] = {
	[NAUTH_PHASE_STARTING] = "starting",
	[NAUTH_PHASE_READING_TARGET] = "reading target",
	[NAUTH_PHASE_CHANGES] = "reading changes",
	[NAUTH_PHASE_LISTING] = "listing",
	[NAUTH_PHASE_SEARCHING] = "searching deletions",
	[NAUTH_PHASE_CONFIRMING] = "confirming deletions",
	[NAUTH_PHASE_FINISHING] = "finishing",
	[NAUTH_PHASE_WAITING] = "waiting for the next beat",
};

NAUTH_FUNCTION(neon_auth_progress_of_refreshes);

/* How many users there are: by the provider, or else by the last run; or -1. */
static int64
expected_users(const NauthRun *run)
{
	if (run->total >= 0)
		return run->total;
	return run->listed_before > 0 ? run->listed_before : -1;
}

void
nauth_progress_publish(const NauthRun *run)
{
	int			params[NUM_PARAMS];
	int64		values[NUM_PARAMS];

	if (run->single || run->directory == NULL)
		return;
	for (int i = 0; i < NUM_PARAMS; i++)
		params[i] = i;
	values[PARAM_PHASE] = run->phase;
	values[PARAM_USERS] = run->counts.users;
	values[PARAM_TOTAL] = expected_users(run);
	values[PARAM_PAGES] = run->counts.pages;
	values[PARAM_REQUESTS] = nauth_directory_stats(run->directory)->requests;
	values[PARAM_STARTED] = run->started_at;
	if (MyBEEntry == NULL || MyBEEntry->st_progress_command != PROGRESS_COMMAND)
		pgstat_progress_start_command(PROGRESS_COMMAND, run->target.relid);
	pgstat_progress_update_multi_param(NUM_PARAMS, params, values);
}

/*
 * A first refresh may take minutes: tell the person at psql now and then how far
 * it is.
 */
void
nauth_progress_notice(NauthRun *run)
{
	int64		now = nauth_clock();
	int64		total = expected_users(run);

	if (!run->first_run || now < run->told_at + NOTICE_PAUSE)
		return;
	if (run->told_at > 0)
		ereport(NOTICE,
				errmsg("read " INT64_FORMAT "%s users of server \"%s\", with " INT64_FORMAT " requests",
					   run->counts.users, total < 0 ? "" : psprintf(" of " INT64_FORMAT, total), run->options->server,
					   nauth_directory_stats(run->directory)->requests));
	run->told_at = now;
}

void
nauth_progress_end(void)
{
	pgstat_progress_end_command();
}

/* SQL function progress_of_refreshes(): one row a refresh of this database. */
Datum
neon_auth_progress_of_refreshes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			backends = pgstat_fetch_stat_numbackends();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 1; i <= backends; i++)
	{
		PgBackendStatus *status = nauth_backend_status(i);
		int64	   *params = status->st_progress_param;
		Datum		values[NUM_COLUMNS];
		bool		nulls[NUM_COLUMNS] = {false};

		if (status->st_progress_command != PROGRESS_COMMAND ||
			status->st_databaseid != MyDatabaseId ||
			params[PARAM_PHASE] < 0 || params[PARAM_PHASE] >= lengthof(phase_names) ||
			!(has_privs_of_role(GetUserId(), status->st_userid) ||
			  nauth_role_sees(status->st_progress_command_target)))
			continue;
		values[0] = Int32GetDatum(status->st_procpid);
		values[1] = ObjectIdGetDatum(status->st_progress_command_target);
		values[2] = CStringGetTextDatum(phase_names[params[PARAM_PHASE]]);
		values[3] = Int64GetDatum(params[PARAM_USERS]);
		values[4] = Int64GetDatum(params[PARAM_TOTAL]);
		nulls[4] = params[PARAM_TOTAL] < 0;
		values[5] = Int64GetDatum(params[PARAM_PAGES]);
		values[6] = Int64GetDatum(params[PARAM_REQUESTS]);
		values[7] = TimestampTzGetDatum(params[PARAM_STARTED]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
