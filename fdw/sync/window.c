/*-------------------------------------------------------------------------
 *
 * window.c
 *	  Find missing users without a listing, by counts of windows.
 *
 * The provider counts less users than are known here.  Windows of time of
 * creation are halved, and each half is counted, until those that lack somebody
 * are small enough to be listed.  Who is known in such a window and is not in
 * its list may be gone; deletion.c decides, as it does after a full listing.
 *
 * Users who come, go and change meanwhile can make a count misleading.  Then a
 * window is listed for nothing, or somebody is not found; nobody is taken for
 * missing who is in a list.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/timestamp.h"

#include "fault_point.h"
#include "sync/changes.h"
#include "sync/deletion.h"
#include "sync/statement.h"
#include "users.h"

/* Pages of one moment that are read. */
#define MOMENT_PAGES	10

/*
 * A bound lies BOUND_AFTER the user before it, who is at least GAP older than
 * the next: nobody we know is within a millisecond of it.
 */
#define BOUND_AFTER		(2 * NAUTH_MILLISECOND)
#define GAP				(4 * NAUTH_MILLISECOND)

/* Why a user may be missing in its list without being counted. */
static const char too_young[] = "created too late to be counted";

/* Requests besides those for windows: two for a witness, one for the youngest. */
#define OTHER_REQUESTS	3

/* Known users [low, high) by time of creation, and the provider's count there. */
typedef struct Window
{
	int64		low;
	int64		high;
	TimestampTz from;			/* bounds; DT_NOBEGIN and DT_NOEND: none */
	TimestampTz before;
	int64		counted_low;	/* users created before each bound */
	int64		counted_high;
} Window;

typedef struct Search
{
	TimestampTz settled;		/* only users created before this are counted */
	int64		leaf;			/* users that a page can show and end with */
	int64		count;			/* known users, and when they were created */
	int64		size;
	TimestampTz *created;
	int			open_count;		/* windows to be halved */
	int			leaf_count;		/* windows to be listed */
	int			window_size;	/* of both arrays */
	Window	   *open;
	Window	   *leaves;
	NauthKnown *present;		/* users that these lists have */
	int64		budget;			/* requests of the run, with those of a
								 * listing */
} Search;

static int64
pages_of(const NauthRun *run)
{
	return run->counts.listed / run->options->settings.page_size + 1;
}

bool
nauth_window_worthwhile(const NauthRun *run)
{
	int64		leaf = Max(run->options->settings.page_size - 1, 1);
	int64		halvings = pg_ceil_log2_64(Max(run->counts.listed / leaf, 1)) + 1;

	return !nauth_deletion_too_many(run, run->missing) &&
		run->missing * (halvings + 2) + OTHER_REQUESTS < pages_of(run);
}

int64
nauth_window_count(NauthRun *run, TimestampTz before)
{
	NauthQuery	query = {
		.kind = NAUTH_QUERY_COUNT,
		.windowed = true,
		.from = NAUTH_MOMENT_MIN,
		.before = nauth_timestamptz_to_moment(before)
	};

	return nauth_directory_count(run->directory, &query);
}

/* ---- What is known */

static void
add_created(Search *search, TimestampTz created)
{
	if (search->count == search->size)
	{
		search->size *= 2;
		search->created = repalloc_huge(search->created, search->size * sizeof(TimestampTz));
	}
	search->created[search->count++] = created;
}

static void
read_created(HeapTuple tuple, TupleDesc desc, void *arg)
{
	bool		isnull;
	Datum		created = SPI_getbinval(tuple, desc, 1, &isnull);

	add_created(arg, isnull ? DT_NOBEGIN : DatumGetTimestampTz(created));
}

static int
compare_times(const void *a, const void *b)
{
	TimestampTz left = *(const TimestampTz *) a;
	TimestampTz right = *(const TimestampTz *) b;

	return (left > right) - (left < right);
}

/* Quarantined users are in the directory, too, even without a row here. */
static void
add_quarantined(NauthRun *run, Search *search)
{
	NauthArgs	args = {0};

	nauth_args_relation(&args, run->target.relid);
	nauth_statement_execute("SELECT created_at FROM neon_auth.quarantined_user"
							" WHERE target = $1 AND NOT has_row", &args);
	for (uint64 i = 0; i < SPI_processed; i++)
		add_created(search, nauth_result_time(i, 1));
}

/*
 * Step: when the users were created that we expect in the directory.  Whoever
 * has no such time would be missed in every window.
 */
static void
step_read_target(NauthRun *run, void *arg)
{
	Search	   *search = arg;

	search->size = Max(run->counts.listed, 64);
	search->created = MemoryContextAllocHuge(run->cxt, search->size * sizeof(TimestampTz));
	nauth_target_read(&run->target, "created_at::timestamptz",
					  "deleted_at IS NULL AND id <> ALL ($1)", &run->held_before, read_created, search);
	add_quarantined(run, search);
	qsort(search->created, search->count, sizeof(TimestampTz), compare_times);
	if (search->count < run->counts.listed)
		run->doubt = "not all users that the provider counts are known";
	else if (search->count > 0 && search->created[0] == DT_NOBEGIN)
		run->doubt = "a user has no time of creation";
}

/* ---- Halving */

static void
add_window(NauthRun *run, Search *search, bool leaf, const Window *window)
{
	if (search->open_count == search->window_size || search->leaf_count == search->window_size)
	{
		search->window_size *= 2;
		search->open = repalloc(search->open, search->window_size * sizeof(Window));
		search->leaves = repalloc(search->leaves, search->window_size * sizeof(Window));
	}
	if (leaf)
		search->leaves[search->leaf_count++] = *window;
	else
		search->open[search->open_count++] = *window;
}

/* Where a window can be halved, as near to its middle as may be; or -1. */
static int64
find_middle(const Search *search, const Window *window)
{
	int64		middle = window->low + (window->high - window->low) / 2;

	for (int64 away = 0; away < window->high - window->low; away++)
	{
		int64		places[2] = {middle - away, middle + away};

		for (int i = 0; i < 2; i++)
			if (places[i] > window->low && places[i] < window->high &&
				search->created[places[i]] - search->created[places[i] - 1] >= GAP)
				return places[i];
	}
	return -1;
}

/* Halve a window by one more count, or see that it has to be listed. */
static void
halve(NauthRun *run, Search *search, const Window *window)
{
	int64		middle = window->high - window->low > search->leaf ? find_middle(search, window) : -1;
	Window		older = *window;
	Window		younger = *window;
	TimestampTz bound;

	if ((window->high - window->low) - (window->counted_high - window->counted_low) <= 0)
		return;
	if (middle < 0)
	{
		add_window(run, search, true, window);
		return;
	}
	bound = search->created[middle - 1] + BOUND_AFTER;
	bound -= bound % NAUTH_MILLISECOND;
	older.high = younger.low = middle;
	older.before = younger.from = bound;
	older.counted_high = younger.counted_low = nauth_window_count(run, bound);
	add_window(run, search, false, &older);
	add_window(run, search, false, &younger);
}

static void
check_budget(NauthRun *run, const Search *search)
{
	if (nauth_directory_stats(run->directory)->requests >= search->budget)
		run->doubt = "the search took as many requests as a listing";
}

/* Step: find the windows that lack somebody, with requests and without a snapshot. */
static void
step_halve(NauthRun *run, void *arg)
{
	Search	   *search = arg;

	search->budget = nauth_directory_stats(run->directory)->requests + pages_of(run);
	while (search->open_count > 0 && run->doubt == NULL)
	{
		Window		window = search->open[--search->open_count];

		CHECK_FOR_INTERRUPTS();
		halve(run, search, &window);
		check_budget(run, search);
	}
	NAUTH_FAULT_POINT("searched");
}

/* ---- Listing */

static int64_t
moment_of(TimestampTz bound)
{
	if (TIMESTAMP_NOT_FINITE(bound))
		return bound == DT_NOBEGIN ? NAUTH_MOMENT_MIN : NAUTH_MOMENT_MAX;
	return nauth_timestamptz_to_moment(bound);
}

/* Begin the listing of users created between two times. */
static void
begin_window(NauthRun *run, TimestampTz from, TimestampTz before)
{
	NauthQuery	query = {
		.kind = NAUTH_QUERY_LIST,
		.windowed = true,
		.from = moment_of(from),
		.before = moment_of(before)
	};

	nauth_directory_begin(run->directory, &query);
}

/* Note who is in a window, to its end mark. */
static void
list_window(NauthRun *run, Search *search, const Window *window)
{
	NauthKnownUser present = {.seen = true};
	const NauthPage *page;

	begin_window(run, window->from, window->before);
	while (run->doubt == NULL && (page = nauth_directory_next(run->directory)) != NULL)
	{
		check_budget(run, search);
		for (int i = 0; i < page->count; i++)
		{
			const NauthUser *user = &page->users[i];

			if (user->flaw == NAUTH_FLAW_ID)
				run->doubt = "a user has no readable id";
			else
				nauth_known_set(search->present, user->id, &present);
			if (run->witness[0] == '\0')
				nauth_run_witness(run, user);
		}
	}
}

/* Step: list these windows, with requests and without a snapshot. */
static void
step_list(NauthRun *run, void *arg)
{
	Search	   *search = arg;
	MemoryContext old = MemoryContextSwitchTo(run->cxt);

	search->present = nauth_known_create(search->leaf_count * search->leaf);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < search->leaf_count && run->doubt == NULL; i++)
		list_window(run, search, &search->leaves[i]);
}

/* ---- Who is missing */

/* Leaves are few, hardly more than users are missing. */
static bool
is_in_leaf(const Search *search, TimestampTz created)
{
	for (int i = 0; i < search->leaf_count; i++)
	{
		const Window *leaf = &search->leaves[i];

		if (created >= leaf->from && created < leaf->before)
			return true;
	}
	return false;
}

/* What a reader of the target needs. */
typedef struct Reader
{
	NauthRun   *run;
	const Search *search;
} Reader;

/* Note a live user who belongs into one of the windows. */
static void
note_expected(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Reader	   *reader = arg;
	bool		isnull;
	TimestampTz created = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 2, &isnull));
	char	   *id;

	if (isnull || !is_in_leaf(reader->search, created))
		return;
	id = nauth_target_id(tuple, desc);
	nauth_id_list_add(&reader->run->missing_users, reader->run->cxt, id,
					  created >= reader->search->settled ? too_young : NULL);
	pfree(id);
}

/*
 * Step: who is expected in these windows.  Read before they are listed, so that
 * nobody is expected whose row was written since.
 */
static void
step_expect(NauthRun *run, void *arg)
{
	Reader		reader = {run, arg};

	nauth_target_read(&run->target, "id::text, created_at::timestamptz",
					  "deleted_at IS NULL AND id <> ALL ($1)", &run->held_before, note_expected, &reader);
}

/*
 * Step: keep the users whom no list has.  One who is too young to be counted is
 * expected in the list of changes; who is not there, but in the list of its
 * window, was created later than changed, and explains a part of the count.
 */
static void
step_compare(NauthRun *run, void *arg)
{
	Search	   *search = arg;
	NauthIdList *missing = &run->missing_users;
	int			count = 0;

	for (int i = 0; i < missing->count; i++)
	{
		NauthKnownUser user;

		if (nauth_known_get(run->known, missing->ids[i], &user) && user.seen)
			continue;
		if (!nauth_known_get(search->present, missing->ids[i], &user))
			missing->ids[count++] = missing->ids[i];
		else if (missing->notes[i] == too_young)
			run->explained++;
	}
	missing->count = count;
	nauth_deletion_brake(run);
}

static void
step_confirm(NauthRun *run, void *arg)
{
	nauth_deletion_confirm(run);
	if (run->deleted_users.count < Min(run->missing, run->missing_most - run->explained) &&
		run->held_users.count == 0)
		run->doubt = "not all users were found that the provider no longer counts";
}

/*
 * Find run->missing users or more: "counted" is how many the provider counts
 * that were created before "settled".  Leaves them in run->deleted_users, each
 * confirmed; or sets run->doubt.
 */
void
nauth_window_search(NauthRun *run, TimestampTz settled, int64 counted)
{
	Search	   *search = MemoryContextAllocZero(run->cxt, sizeof(Search));
	Window		all = {.from = DT_NOBEGIN,.before = settled,.counted_high = counted};
	Window		young = {.from = settled,.before = DT_NOEND};

	search->settled = settled;
	search->leaf = Max(run->options->settings.page_size - 1, 1);
	search->window_size = 64;
	search->open = MemoryContextAlloc(run->cxt, search->window_size * sizeof(Window));
	search->leaves = MemoryContextAlloc(run->cxt, search->window_size * sizeof(Window));

	nauth_run_step(run, NAUTH_PHASE_SEARCHING, step_read_target, search);
	while (all.high < search->count && search->created[all.high] < settled)
		all.high++;
	add_window(run, search, false, &all);
	add_window(run, search, true, &young);
	if (run->doubt == NULL)
		nauth_run_step(run, NAUTH_PHASE_SEARCHING, step_halve, search);
	pfree(search->created);
	if (run->doubt == NULL)
		nauth_run_step(run, NAUTH_PHASE_SEARCHING, step_expect, search);
	if (run->doubt == NULL)
		nauth_run_step(run, NAUTH_PHASE_SEARCHING, step_list, search);
	if (run->doubt == NULL)
		nauth_run_step(run, NAUTH_PHASE_SEARCHING, step_compare, search);
	if (run->doubt == NULL)
		nauth_run_step(run, NAUTH_PHASE_CONFIRMING, step_confirm, NULL);
}

/*
 * Whether the provider lists a user who was created at that time, or so many of
 * the same moment that it does not matter whom.
 */
bool
nauth_window_lists(NauthRun *run, const char *id, TimestampTz created)
{
	const NauthPage *page;
	int			pages = 0;

	begin_window(run, created - NAUTH_BLUR, created + NAUTH_BLUR);
	while ((page = nauth_directory_next(run->directory)) != NULL)
	{
		for (int i = 0; i < page->count; i++)
			if (page->users[i].flaw == NAUTH_FLAW_ID || strcmp(page->users[i].id, id) == 0)
				return true;
		if (++pages == MOMENT_PAGES)
			return true;
	}
	return false;
}
