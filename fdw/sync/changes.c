/*-------------------------------------------------------------------------
 *
 * changes.c
 *	  An incremental run: read what has changed, and count.
 *
 * The list of users by time of change is read from its newest end down to the
 * watermark, less an overlap.  Its cost is that of the changes, not of the
 * directory.  Then the provider's count is compared with what we expect; as
 * long as they agree, nobody has been deleted.
 *
 * Users move within that list while it is read.  Who moves is read now or by
 * the next run; for anything else that makes the list doubtful the run becomes
 * a full one.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "fault_point.h"
#include "sync/apply.h"
#include "sync/changes.h"
#include "users.h"

/* Users of the first page: mostly enough, and less to send than a whole one. */
#define FIRST_PAGE		100

/* Of a glance, which is taken each second. */
#define GLANCE_PAGE		10

/* Bounds tried to find one with nobody near. */
#define BOUND_TRIES		100

const char *
nauth_changes_obstacle(const NauthRun *run, bool *must)
{
	TimestampTz now = run->started_at;

	*must = true;
	if (run->first_run)
		return "it is the first refresh of the table";
	if (!run->options->provider->lists_changes && !run->options->provider->lists_since)
		return "the provider does not list changes";
	if (run->new_credential)
		return "the credential has changed";
	if (run->new_shape)
		return "options that decide what rows are like have changed";
	if (!run->same_cluster)
		return "the database was promoted, restored or copied since the last refresh";
	if (run->last.watermark == DT_NOBEGIN || run->last.timeless)
		return "not all users have a time of change";
	if (!run->options->provider->lists_changes && nauth_since_obstacle(run))
		return nauth_since_obstacle(run);

	*must = false;
	if (run->last.unproved)
		return "the last refresh could not prove who is missing";
	if (run->last.full_at == DT_NOBEGIN || run->last.full_at > now ||
		now - run->last.full_at >= run->options->full_refresh_every * INT64CONST(1000))
		return "full_refresh_every has passed since the last one";
	return NULL;
}

/* Remember when a user of the list was created, once. */
static void
note_created(NauthRun *run, const NauthUser *user)
{
	NauthChanges *changes = &run->changes;
	NauthKnownUser known;

	if (!user->has_updated_at ||
		(run->known && nauth_known_get(run->known, user->id, &known) && known.seen))
		return;
	if (changes->count == changes->size)
	{
		changes->size = Max(64, changes->size * 2);
		changes->created = changes->created ?
			repalloc_huge(changes->created, changes->size * sizeof(TimestampTz)) :
			MemoryContextAlloc(run->cxt, changes->size * sizeof(TimestampTz));
	}
	changes->created[changes->count++] = user->has_created_at ?
		nauth_moment_to_timestamptz(user->created_at) : DT_NOBEGIN;
}

/*
 * Look at the next user of the list, all of a page for their order's sake.
 * False when it was changed before what we want, so that the list ends for us.
 */
static bool
wants_user(NauthRun *run, const NauthUser *user, TimestampTz *previous)
{
	NauthChanges *changes = &run->changes;
	TimestampTz time;

	if (user->flaw == NAUTH_FLAW_ID)
		run->doubt = "a user has no readable id";
	else if (!user->has_updated_at && user->flaw == NAUTH_FLAW_NONE)
		run->doubt = "a user has no time of change";
	if (!user->has_updated_at)
		return true;

	time = nauth_moment_to_timestamptz(user->updated_at);
	if (*previous != DT_NOBEGIN && time > *previous)
		run->doubt = "the list of changes is not in their order";
	*previous = time;
	if (changes->pages == 0)
		changes->newest = Max(changes->newest, time);
	return time >= changes->since;
}

/*
 * Whether changes until this time were all read when nothing could be committed
 * late any more, so that there is no need for the overlap: the last success
 * began long after the latest of them, and after that had been seen.
 */
static bool
is_settled(const NauthRun *run, TimestampTz time)
{
	return !run->last.unproved && time <= run->last.newest &&
		run->last.success_started_at - Max(run->last.newest_at, run->last.newest) > NAUTH_OVERLAP;
}

/* Apply the part of a page that was changed since the watermark. */
static void
apply_changes(NauthRun *run, const NauthPage *page)
{
	NauthChanges *changes = &run->changes;
	TimestampTz previous = DT_NOBEGIN;
	NauthPage  *part = palloc(sizeof(NauthPage));

	*part = *page;
	part->count = 0;
	if (page->count > 0 && run->witness[0] == '\0')
		nauth_run_witness(run, &page->users[0]);
	for (int i = 0; i < page->count; i++)
	{
		if (!wants_user(run, &page->users[i], &previous))
			changes->ended = true;
		if (changes->ended)
			continue;
		note_created(run, &page->users[i]);
		part->count++;
	}
	changes->pages++;
	changes->total = page->total;
	/* more users than a page takes were changed at its oldest time */
	if (page->last || (page->next[0] == '\0' && is_settled(run, previous)))
		changes->ended = true;
	nauth_apply_some(run, part);
	pfree(part);
}

/*
 * Whether a failure may be one of the list of changes, not of the directory.  There
 * are credentials that may read users, but not events; and servers that list all users,
 * but refuse a filter by time, or stumble over it.  If it is the directory, then the
 * full run fails as well.
 */
static bool
is_doubtful(const NauthRun *run, NauthErrorKind kind)
{
	const NauthProvider *provider = run->options->provider;

	if (kind == NAUTH_ERROR_INCOMPLETE || kind == NAUTH_ERROR_REFUSED)
		return true;
	if (provider->tells_gone)
		return kind == NAUTH_ERROR_PERMISSION;
	return !provider->lists_changes && run->may_list && nauth_directory_may_be_of_filter(kind);
}

/* Step: get the next page, without a snapshot, and write what is wanted of it. */
static void
step_changes(NauthRun *run, void *arg)
{
	const NauthPage *page;

	run->asked_at = GetCurrentTimestamp();
	if (nauth_directory_try_next(run->directory, &page))
	{
		if (page)
			run->changes.take(run, page);
		else
			run->changes.ended = true;
	}
	else if (is_doubtful(run, nauth_directory_error(run->directory)->kind))
	{
		run->doubt = "the list of changes could not be read to its end";
		run->changes.ended = true;
	}
	else
		nauth_directory_fail(run->directory);
}

/* Whether a listing would not cost more than what was read of the changes. */
static bool
costs_a_listing(const NauthRun *run)
{
	return run->changes.pages * run->options->settings.page_size >
		run->listed_before + run->options->settings.page_size;
}

void
nauth_changes_begin(NauthRun *run, const NauthQuery *query,
					void (*take) (NauthRun *run, const NauthPage *page))
{
	NauthChanges *changes = &run->changes;

	changes->take = take;
	changes->newest = DT_NOBEGIN;
	changes->total = -1;
	changes->ended = false;
	changes->pages = 0;
	nauth_directory_begin(run->directory, query);
}

void
nauth_changes_read_page(NauthRun *run)
{
	nauth_run_step(run, NAUTH_PHASE_CHANGES, step_changes, NULL);
}

void
nauth_changes_read(NauthRun *run)
{
	while (!run->changes.ended && !(run->doubt && run->may_list))
	{
		nauth_changes_read_page(run);
		if (!run->changes.ended && run->may_list && costs_a_listing(run))
			run->doubt = "more has changed than a listing takes";
	}
}

/* Begin the list of changes, which is to be read down to a time. */
static void
begin_changes(NauthRun *run, TimestampTz since, int first_page)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_CHANGES,.limit = first_page};

	run->changes.since = since;
	nauth_changes_begin(run, &query, apply_changes);
}

/* Read the list of changes down to a time. */
static void
read_changes(NauthRun *run, TimestampTz since)
{
	NauthChanges *changes = &run->changes;

	begin_changes(run, since, FIRST_PAGE);
	nauth_changes_read(run);

	/* what is newer was not there yet; see set_watermark in full.c */
	if (run->doubt == NULL && changes->newest != DT_NOBEGIN)
		run->watermark = Min(changes->newest, nauth_run_reading_since(run));
}

static int64
count_created_from(const NauthChanges *changes, TimestampTz bound)
{
	int64		count = 0;

	for (int i = 0; i < changes->count; i++)
		count += changes->created[i] >= bound;
	return count;
}

/*
 * A time before which users are counted: some time ago, for younger ones are all
 * in the list of changes; and with nobody near who might be counted or not.
 * DT_NOBEGIN when there is none.
 */
static TimestampTz
settled_bound(const NauthRun *run)
{
	const NauthChanges *changes = &run->changes;
	TimestampTz oldest = run->last.watermark - NAUTH_OVERLAP;
	TimestampTz bound;

	if (changes->newest == DT_NOBEGIN)
		return DT_NOBEGIN;
	bound = Max(Min(changes->newest, nauth_run_reading_since(run)) - NAUTH_SETTLED_AGE, oldest);
	for (int try = 0; try < BOUND_TRIES && bound >= oldest; try++)
	{
		CHECK_FOR_INTERRUPTS();
		if (count_created_from(changes, bound - NAUTH_BLUR) == count_created_from(changes, bound + NAUTH_BLUR))
			return bound;
		bound -= 2 * NAUTH_BLUR + 1000;
	}
	return DT_NOBEGIN;
}

/* What a count of the provider has shown. */
typedef struct Counted
{
	TimestampTz before;			/* of users created before; or DT_NOBEGIN */
	int64		count;
} Counted;

static int64
count_all(NauthRun *run)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_COUNT};

	return nauth_directory_count(run->directory, &query);
}

/*
 * Count the users who are old enough.  All of them are counted, too, if some of
 * these are missing: whose time of creation is later than that of the last
 * change is not old enough, and not in the list of changes either.
 */
static void
count_settled(NauthRun *run, Counted *counted)
{
	int64		all;

	counted->count = nauth_window_count(run, counted->before);
	run->missing = run->counts.listed - count_created_from(&run->changes, counted->before) - counted->count;
	run->missing_most = run->missing;
	if (run->missing <= 0)
		return;
	all = run->counts.listed - count_all(run);
	if (all >= 0)
		run->missing = Min(run->missing, all);
}

/* Step: ask how many users there are, unless the last page has told. */
static void
step_count(NauthRun *run, void *arg)
{
	Counted    *counted = arg;

	counted->before = run->options->provider->counts_windows ? settled_bound(run) : DT_NOBEGIN;
	if (counted->before != DT_NOBEGIN)
		count_settled(run, counted);
	else
		run->missing = run->counts.listed -
			(run->changes.total >= 0 ? run->changes.total : count_all(run));
	NAUTH_FAULT_POINT("counted");
}

/*
 * Compare the provider's count with ours, and look for who is missing.  More
 * users than we know may have been created since the list was read: the part
 * of it that is new is read once more.
 */
static void
compare_counts(NauthRun *run)
{
	Counted		counted;

	nauth_run_step(run, NAUTH_PHASE_CHANGES, step_count, &counted);
	if (run->missing < 0 && run->changes.newest != DT_NOBEGIN)
	{
		read_changes(run, run->changes.newest);
		if (run->doubt == NULL)
			nauth_run_step(run, NAUTH_PHASE_CHANGES, step_count, &counted);
	}
	if (run->doubt || run->missing == 0)
		return;
	if (run->missing < 0)
		run->doubt = "the provider counts more users than are known";
	else if (counted.before == DT_NOBEGIN || !nauth_window_worthwhile(run))
		run->doubt = "the provider counts less users than are known";
	else
		nauth_window_search(run, counted.before, counted.count);
}

/*
 * All steps but the last, which ends any run.  Leaves run->doubt set when
 * nothing is proved about who is missing.
 */
void
nauth_changes_run(NauthRun *run)
{
	read_changes(run, run->last.watermark - NAUTH_OVERLAP);
	if (run->doubt == NULL)
		compare_counts(run);
}

/*
 * Write what has changed last, of one page, between two runs that do it
 * thoroughly: nothing is proved by it, and the watermark stays.  False when
 * there is more than that, or the list is doubtful.
 */
bool
nauth_changes_glance(NauthRun *run)
{
	begin_changes(run, run->last.watermark, GLANCE_PAGE);
	nauth_changes_read_page(run);
	return run->changes.ended && run->doubt == NULL;
}
