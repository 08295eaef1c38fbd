/*-------------------------------------------------------------------------
 *
 * full.c
 *	  A full run: list the directory to its end, compare all of it.
 *
 * Each page is a batch of its own.  Who is live here and was not listed may be
 * gone; deletion.c decides.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "fault_point.h"
#include "sync/apply.h"
#include "sync/changes.h"
#include "sync/deletion.h"
#include "sync/full.h"
#include "sync/progress.h"
#include "sync/state.h"
#include "wait.h"

static void
step_load(NauthRun *run, void *arg)
{
	if (!run->dry_run)
		nauth_state_doubt(run);
	nauth_apply_load(run);
}

/* Step: get the next page, without a snapshot, and write it. */
static void
step_page(NauthRun *run, void *arg)
{
	TimestampTz wanted_at = GetCurrentTimestamp();
	int64		now = nauth_clock();

	run->page = nauth_directory_next(run->directory);
	run->asked_at = wanted_at - Max(now - nauth_directory_asked_at(run->directory), 0);
	if (run->page)
		nauth_apply_page(run);
}

/*
 * All changes until the watermark have been read.  Nobody changed before the
 * listing began has been missed by it, and the latest change that it showed is
 * at most as much younger as it took.  So the provider's own time is known
 * without its clock, and clocks only guard against times of users that lie in
 * the future.
 */
static void
set_watermark(NauthRun *run)
{
	TimestampTz newest = Min(run->newest, nauth_run_reading_since(run));

	if (run->newest == DT_NOBEGIN)
		return;
	run->watermark = newest - (nauth_clock() - run->begun_clock);
	if (run->last.watermark <= newest)
		run->watermark = Max(run->watermark, run->last.watermark);
	run->watermark = Max(run->watermark, nauth_since_watermark(run));
}

static void
step_find(NauthRun *run, void *arg)
{
	/* not the users are to blame then */
	if (run->quarantined_count > 1 && run->counts.quarantined == run->counts.users)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("none of the users of server \"%s\" can be stored in %s",
					   run->options->server, run->target.name),
				errdetail("Reason for the first: %s.", run->quarantined[0].reason));
	run->counts.unchanged -= Min(run->counts.unchanged, run->reread);
	set_watermark(run);
	nauth_deletion_find(run);
	NAUTH_FAULT_POINT("listed");
}

static void
step_confirm(NauthRun *run, void *arg)
{
	nauth_deletion_confirm(run);
}

/* All steps but the last, which ends any run. */
void
nauth_full_run(NauthRun *run)
{
	NauthQuery	all = {.kind = NAUTH_QUERY_LIST};

	if (run->new_credential)
		nauth_probe_credential(run);
	nauth_run_step(run, NAUTH_PHASE_READING_TARGET, step_load, NULL);
	run->begun_clock = nauth_clock();
	nauth_directory_begin(run->directory, &all);
	nauth_directory_ahead(run->directory, NAUTH_AHEAD_AT_ONCE);
	do
	{
		nauth_run_step(run, NAUTH_PHASE_LISTING, step_page, NULL);
		nauth_progress_notice(run);
	} while (run->page);
	nauth_run_step(run, NAUTH_PHASE_LISTING, step_find, NULL);
	nauth_run_step(run, NAUTH_PHASE_CONFIRMING, step_confirm, NULL);
}
