/*-------------------------------------------------------------------------
 *
 * since.c
 *	  An incremental run, where the provider lists what has changed since a time.
 *
 * Its cost is that of the changes.  Such a list is in any order, or one of events:
 * then it also tells who was deleted, has users several times, and may have an
 * older state of one after a newer one.  So a row is never made live again on the
 * word of an event, nor marked: the provider is asked about the user.
 *
 * Without events a deletion shows in a listing alone.  That is the next full one, unless the
 * list or a count tells how many users the directory has: if these are not as many as are
 * known, it is listed at once.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "sync/apply.h"
#include "sync/changes.h"
#include "sync/deletion.h"
#include "users.h"
#include "wait.h"

/* Header Date has whole seconds, and may be of another machine. */
#define DATE_BLUR		USECS_PER_SEC

const char *
nauth_since_obstacle(const NauthRun *run)
{
	int			days = run->options->provider->since_days;

	/* a day less, for nobody says when exactly they are forgotten */
	if (days > 0 && run->started_at - (run->last.watermark - NAUTH_OVERLAP) > (days - 1) * USECS_PER_DAY)
		return "the provider does not keep changes that long";
	return NULL;
}

/* Whether what is read now is no more than the word of events. */
bool
nauth_since_is_word(const NauthRun *run)
{
	return run->incremental && run->options->provider->tells_gone && !run->single && !run->verified;
}

TimestampTz
nauth_since_watermark(const NauthRun *run)
{
	const NauthHttpStats *stats = nauth_directory_stats(run->directory);

	if (!run->options->provider->tells_gone || !stats->dated)
		return DT_NOBEGIN;

	/* of two clocks the one that is behind: too early is only read again */
	return nauth_run_reading_since(run) - DATE_BLUR;
}

static bool
is_same_user(const NauthUser *a, const NauthUser *b)
{
	return a != b && a->id[0] != '\0' && strcmp(a->id, b->id) == 0;
}

/* Whether another entry of the page tells more about the user of this one. */
static bool
is_superseded(const NauthPage *page, int entry)
{
	const NauthUser *user = &page->users[entry];

	for (int i = 0; i < page->count; i++)
	{
		const NauthUser *other = &page->users[i];

		if (is_same_user(user, other) &&
			(other->gone || other->updated_at > user->updated_at ||
			 (other->updated_at == user->updated_at && i > entry)))
			return true;
	}
	return false;
}

/* Whether the page has another state of the user at the same time: nobody knows which is the later one. */
static bool
is_tied(const NauthPage *page, int entry)
{
	const NauthUser *user = &page->users[entry];

	for (int i = 0; i < page->count; i++)
	{
		const NauthUser *other = &page->users[i];

		if (is_same_user(user, other) && !other->gone && other->updated_at == user->updated_at &&
			(other->json.len != user->json.len || memcmp(other->json.data, user->json.data, user->json.len) != 0))
			return true;
	}
	return false;
}

/* Note what keeps the list from proving that nothing else has changed. */
static void
check_entry(NauthRun *run, const NauthUser *user)
{
	if (user->flaw == NAUTH_FLAW_ID)
		run->doubt = "a user has no readable id";
	else if (!user->has_updated_at && user->flaw == NAUTH_FLAW_NONE && !user->gone)
		run->doubt = "a user has no time of change";
	if (user->has_updated_at)
		run->changes.newest = Max(run->changes.newest, nauth_moment_to_timestamptz(user->updated_at));
}

/* Note that a user is gone by an event. */
static void
note_event_gone(NauthRun *run, const char *id)
{
	NauthKnownUser gone = {.deleted = true};

	if (run->gone == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(run->cxt);

		run->gone = nauth_known_create(0);
		MemoryContextSwitchTo(old);
	}
	nauth_known_set(run->gone, id, &gone);
	nauth_id_list_add(&run->gone_users, run->cxt, id, NULL);
}

/*
 * Whether this is an event of a user who was gone by an earlier one: an old one that
 * comes late, or of another user with the same id.  The provider is asked, once.
 */
static bool
follows_gone(NauthRun *run, const char *id)
{
	NauthKnownUser gone;

	if (run->gone == NULL || !nauth_known_get(run->gone, id, &gone))
		return false;
	if (!gone.seen)
		nauth_id_list_add(&run->revived_users, run->cxt, id, "it follows a deletion");
	gone.seen = true;
	nauth_known_set(run->gone, id, &gone);
	return true;
}

/* Write the users of a page, each once, and note who is gone. */
static void
take_page(NauthRun *run, const NauthPage *page)
{
	NauthPage	part = *page;

	/* a full run reads the same, and more comes of it */
	if (page->everybody && (run->may_list || run->followed))
	{
		run->doubt = "the provider cannot be asked for changes alone";
		run->changes.ended = true;
		return;
	}
	run->changes.total = page->total;
	part.users = palloc(Max(page->count, 1) * sizeof(NauthUser));
	part.count = 0;
	for (int i = 0; i < page->count; i++)
	{
		check_entry(run, &page->users[i]);
		if (page->users[i].gone)
			note_event_gone(run, page->users[i].id);
		else if (!follows_gone(run, page->users[i].id) && !is_superseded(page, i))
		{
			if (nauth_since_is_word(run) && is_tied(page, i))
				nauth_id_list_add(&run->revived_users, run->cxt, page->users[i].id, NULL);
			part.users[part.count++] = page->users[i];
		}
	}
	run->changes.pages++;
	run->changes.ended = page->last;
	nauth_apply_some(run, &part);
	pfree(part.users);
}

static void
note_gone(HeapTuple tuple, TupleDesc desc, void *arg)
{
	NauthRun   *run = arg;
	char	   *id = nauth_target_id(tuple, desc);

	/* what is held stays so: nauth_run_held counts it already */
	if (nauth_id_list_find(&run->held_before, id) < 0)
		nauth_id_list_add(&run->missing_users, run->cxt, id, NULL);
}

/* Step: who of those that are gone has a live row here. */
static void
step_find(NauthRun *run, void *arg)
{
	NauthIdList *witnesses = arg;

	nauth_id_list_sort(&run->gone_users);
	if (nauth_id_list_find(&run->gone_users, run->witness) >= 0)
		run->witness[0] = '\0';
	if (run->gone_users.count == 0)
		return;
	nauth_target_read(&run->target, "id::text", "id = ANY ($1) AND deleted_at IS NULL", &run->gone_users, note_gone, run);
	run->missing = run->missing_most = run->missing_users.count;
	nauth_deletion_brake(run);
	if (run->missing_users.count > 0 && run->witness[0] == '\0')
		nauth_deletion_choose_witnesses(run, &run->gone_users, witnesses);
}

/* Step, with a request: write one whom events have brought back, if the provider still has him. */
static void
step_revive(NauthRun *run, void *arg)
{
	int			place = *(int *) arg;
	const char *id = run->revived_users.ids[place];
	NauthUser  *user = palloc(sizeof(NauthUser));
	NauthPage	page = {.users = user,.count = 1,.total = -1,.last = true};

	if (run->revived_users.notes[place] == NULL && nauth_id_list_find(&run->gone_users, id) >= 0)
		return;
	run->asked_at = GetCurrentTimestamp();
	if (nauth_directory_user(run->directory, id, user))
		nauth_apply_some(run, &page);
	pfree(user);
}

/* Step, with requests: ask about the deletions that events have told. */
static void
step_confirm(NauthRun *run, void *arg)
{
	nauth_deletion_ask_witnesses(run, arg);
	nauth_deletion_confirm(run);
}

static void
step_count(NauthRun *run, void *arg)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_COUNT};

	run->changes.total = nauth_directory_count(run->directory, &query);
}

/*
 * Compare how many users there are with how many are known, where that was told.  Who
 * came after it was told, but before the end of the list, is counted by asking again; so
 * are all where the list tells nothing.
 */
static void
compare_total(NauthRun *run)
{
	const NauthChanges *changes = &run->changes;

	if (changes->total < run->counts.listed && run->options->provider->counts)
		nauth_run_step(run, NAUTH_PHASE_CHANGES, step_count, NULL);
	if (changes->total >= 0 && changes->total != run->counts.listed)
		run->doubt = changes->total < run->counts.listed ? "the provider counts less users than are known" :
			"the provider counts more users than are known";
}

/*
 * The latest change that was known is within the overlap.  If the list has nobody who was
 * changed as late, then whoever that was is gone, or the list does not tell all.
 */
static bool
lacks_newest(const NauthRun *run)
{
	return run->listed_before > 0 && run->changes.newest < run->last.newest;
}

static void
begin_since(NauthRun *run, TimestampTz since)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_SINCE,.from = nauth_timestamptz_to_moment(since)};

	run->begun_clock = nauth_clock();
	nauth_changes_begin(run, &query, take_page);
}

/*
 * All changes until then have been read, by the provider's clock; see set_watermark in
 * full.c.  What users were changed at is not later than that.
 */
static void
set_watermark(NauthRun *run)
{
	TimestampTz newest = Min(run->changes.newest, nauth_run_reading_since(run));
	TimestampTz watermark = nauth_since_watermark(run);

	if (watermark == DT_NOBEGIN && run->changes.newest != DT_NOBEGIN)
		watermark = newest - (nauth_clock() - run->begun_clock);
	if (watermark == DT_NOBEGIN)
		return;
	run->watermark = run->last.watermark <= Max(newest, watermark) ? Max(watermark, run->last.watermark) : watermark;
}

/* All steps but the last, which ends any run. */
void
nauth_since_run(NauthRun *run)
{
	NauthIdList witnesses = {0};

	begin_since(run, run->last.watermark - NAUTH_OVERLAP);
	nauth_changes_read(run);
	if (run->doubt)
		return;
	/* events may all be of users who were last changed long ago */
	if (run->options->provider->tells_gone)
		run->changes.newest = Max(run->changes.newest, run->last.newest);
	set_watermark(run);
	if (!run->options->provider->tells_gone)
	{
		if (lacks_newest(run))
			run->doubt = "the list of changes lacks the latest one that was known";
		else
			compare_total(run);
		return;
	}
	nauth_run_step(run, NAUTH_PHASE_SEARCHING, step_find, &witnesses);
	run->verified = true;
	for (int i = 0; i < run->revived_users.count; i++)
		nauth_run_step(run, NAUTH_PHASE_CONFIRMING, step_revive, &i);
	nauth_run_step(run, NAUTH_PHASE_CONFIRMING, step_confirm, &witnesses);
}

/* Write what has changed last, of one page, as nauth_changes_glance does. */
bool
nauth_since_glance(NauthRun *run)
{
	begin_since(run, run->last.watermark);
	nauth_changes_read_page(run);
	return run->changes.ended && run->doubt == NULL && run->gone_users.count == 0 && run->revived_users.count == 0;
}
