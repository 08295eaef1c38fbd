/*-------------------------------------------------------------------------
 *
 * spread.c
 *	  A listing read as windows of time of creation, several at once.
 *
 * A window is to hold a bit less than a page, by how many users the last ones
 * had.  Whatever that estimate is worth, the listing is right: a window with more
 * goes on by its cursor, one with nobody is an answer too.  Too many requests for
 * too few users, and the rest is one window.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <inttypes.h>

#include "spread.h"


/* Of earlier times providers may think what they want: these are not read in windows. */
#define EARLIEST		(2 * NAUTH_MILLISECOND)

/* More requests than this are too many: by what they brought, and so many to begin with. */
#define WASTE_FACTOR	1.5
#define WASTE_SPARE		16

/* A window that would go on for more pages is cut again. */
#define CUT_AGAIN_PAGES	2.0


/* Smaller pages are too much a matter of chance. */
#define PAGE_MIN		50

/* A listing of so many more pages is worth it. */
#define PAGES_MIN		8

/* Of what is known of earlier windows, after each one. */
#define MEMORY			0.75

/* How much wider or narrower than the last ones the next may be. */
#define CHANGE_MAX		4.0

/*
 * Users that a window should have: two standard deviations less than a page, so
 * that chance seldom makes it a full one.
 */
static double
aim_of(const NauthSpread *spread)
{
	int			root = 1;

	while (root * root < spread->page_size)
		root++;
	return spread->page_size - 2 * root;
}

void
nauth_spread_begin(NauthSpread *spread, int page_size)
{
	memset(spread, 0, sizeof(*spread));
	spread->page_size = page_size;
	spread->pointless = page_size < PAGE_MIN;
	spread->newest = NAUTH_MOMENT_MIN;
}

bool
nauth_spread_wants_newest(const NauthSpread *spread, int pages)
{
	return !spread->on && !spread->pointless && pages >= NAUTH_SPREAD_AFTER &&
		spread->newest == NAUTH_MOMENT_MIN;
}

/* ---- Cursors */

static void
write_cursor(char *cursor, int64_t from, int64_t before, const char *inner)
{
	snprintf(cursor, NAUTH_CURSOR_MAX, "%c%" PRId64 " %" PRId64 " %s", NAUTH_SPREAD_MARK, from, before, inner);
}

/* Read a time and the blank after it. */
static bool
read_time(const char **p, int64_t *time)
{
	char	   *end;

	if (**p != '-' && (**p < '0' || **p > '9'))
		return false;
	errno = 0;
	*time = strtoll(*p, &end, 10);
	if (errno != 0 || *end != ' ' || *time < NAUTH_MOMENT_MIN || *time > NAUTH_MOMENT_MAX)
		return false;
	*p = end + 1;
	return true;
}

bool
nauth_spread_aim(const char *cursor, NauthQuery *query, const char **inner, NauthError *error)
{
	const char *p;

	*inner = cursor;
	if (cursor == NULL || cursor[0] != NAUTH_SPREAD_MARK)
		return false;
	p = cursor + 1;
	if (!read_time(&p, &query->from) || !read_time(&p, &query->before) || query->from >= query->before)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE, "the cursor of the listing is damaged");
	query->windowed = true;
	*inner = *p ? p : NULL;
	return true;
}

bool
nauth_spread_check(const NauthPage *page, NauthError *error)
{
	return page->next[0] != NAUTH_SPREAD_MARK ||
		nauth_error_set(error, NAUTH_ERROR_INCOMPLETE, "the cursor of the listing is damaged");
}

/* ---- Cutting */

/* It has cost more than it can have spared. */
static bool
is_wasteful(const NauthSpread *spread)
{
	return spread->asked > WASTE_FACTOR * spread->taken / spread->page_size + WASTE_SPARE + spread->count;
}

/*
 * The end of a window that begins here.  How long nobody is created nobody knows:
 * what comes after a gap is one window, which is cut again if it has many.
 */
static int64_t
cut(const NauthSpread *spread, int64_t from)
{
	double		end = from + Max(spread->width, NAUTH_MILLISECOND);

	if (!spread->on || spread->gap || is_wasteful(spread) || end >= spread->newest)
		return NAUTH_MOMENT_MAX;
	return ((int64_t) end + NAUTH_MILLISECOND - 1) / NAUTH_MILLISECOND * NAUTH_MILLISECOND;
}

/* So many users were created in so much time. */
static void
learn(NauthSpread *spread, double users, double time)
{
	double		width;

	spread->gap = users == 0;
	if (spread->gap)
		return;
	spread->users = MEMORY * spread->users + users;
	spread->time = MEMORY * spread->time + time;
	width = aim_of(spread) * spread->time / Max(spread->users, 1);
	if (spread->width > 0)
		width = Min(Max(width, spread->width / CHANGE_MAX), spread->width * CHANGE_MAX);
	spread->width = width;
}

/*
 * How long it took to create the users of a page; 0 if that cannot be told, or they
 * are not in order.
 */
static double
time_of(const NauthPage *page)
{
	for (int i = 0; i < page->count; i++)
		if (!page->users[i].has_created_at ||
			(i > 0 && page->users[i].created_at < page->users[i - 1].created_at))
			return 0;
	return page->count > 0 ? page->users[page->count - 1].created_at - page->users[0].created_at : 0;
}

/*
 * Begin the next window where the page ends.  Who was created at that very moment
 * may not be all on the page, so he is left to the window: a provider's cursor
 * is not asked for with other bounds than it came with.
 */
static void
begin_window(const NauthSpread *spread, NauthPage *page, int64_t here, int64_t before)
{
	while (page->count > 0 && page->users[page->count - 1].created_at == here)
		page->count--;
	write_cursor(page->next, here, Min(before, cut(spread, here)), "");
}

void
nauth_spread_start(NauthSpread *spread, NauthPage *page)
{
	double		time = time_of(page);
	int64_t		here;

	if (spread->on || spread->pointless || spread->newest == NAUTH_MOMENT_MIN || page->last || time == 0)
		return;
	here = page->users[page->count - 1].created_at;

	if (here < EARLIEST)
		return;

	/* with each page anew: the first users of a directory may be few for long */
	if ((spread->newest - here) / time < PAGES_MIN)
		return;
	spread->on = true;
	learn(spread, page->count, time);
	begin_window(spread, page, here, NAUTH_MOMENT_MAX);
}

/* ---- Reading */

/* Leave those who belong to the window; the provider's bounds are a bit wider. */
static bool
sift(const NauthQuery *query, NauthPage *page)
{
	int			count = 0;

	for (int i = 0; i < page->count; i++)
	{
		const NauthUser *user = &page->users[i];

		if (!user->has_created_at ||
			user->created_at < query->from - NAUTH_MILLISECOND ||
			user->created_at > query->before + NAUTH_MILLISECOND)
			return false;
		if (user->created_at >= query->from && user->created_at < query->before)
			page->users[count++] = *user;
	}
	page->count = count;
	return true;
}

/* The next window, as planned or as it would be now. */
static int64_t
next_end(NauthSpread *spread, int64_t from)
{
	int64_t		end = spread->count > 0 ? spread->ends[0] : cut(spread, from);

	if (spread->count > 0)
		memmove(spread->ends, spread->ends + 1, --spread->count * sizeof(int64_t));
	return end > from ? end : cut(spread, from);
}

/* A window is over: say how many it had, and go on to the next. */
static void
finish_window(NauthSpread *spread, const NauthQuery *query, NauthPage *page)
{
	if (query->from > NAUTH_MOMENT_MIN)
		learn(spread, spread->in_window, query->before - query->from);
	spread->in_window = 0;
	page->last = false;
	write_cursor(page->next, query->before, next_end(spread, query->before), "");
}

/*
 * A window goes on.  If it would for long, most of it becomes windows of its
 * own, and what was planned after it is forgotten.
 */
static void
continue_window(NauthSpread *spread, const NauthQuery *query, NauthPage *page,
				double time, int64_t here, int received)
{
	char		inner[NAUTH_CURSOR_MAX];
	int			count = page->count;

	if (spread->on && !is_wasteful(spread) && time > 0 && here > query->from &&
		(Min(query->before, spread->newest) - here) * received / time > CUT_AGAIN_PAGES * spread->page_size)
	{
		spread->users = spread->time = spread->width = 0;
		learn(spread, received, time);
		spread->count = 0;
		begin_window(spread, page, here, query->before);
		spread->taken -= count - page->count;
		spread->in_window = 0;
		return;
	}
	strlcpy(inner, page->next, sizeof(inner));
	write_cursor(page->next, query->from, query->before, inner);
}

bool
nauth_spread_take(NauthSpread *spread, const NauthQuery *query, NauthPage *page, NauthError *error)
{
	int			received = page->count;
	double		time = time_of(page);
	int64_t		here = received > 0 ? page->users[received - 1].created_at : 0;

	if (!sift(query, page))
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "the provider did not keep to the time of creation asked for");
	spread->in_window += page->count;
	spread->taken += page->count;
	if (!page->last && strlen(page->next) > NAUTH_ID_MAX)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE, "a cursor is too long");
	if (!page->last)
		continue_window(spread, query, page, time, here, received);
	else if (query->before < NAUTH_MOMENT_MAX)
		finish_window(spread, query, page);
	return true;
}

bool
nauth_spread_ahead(NauthSpread *spread, const char *cursor, int after, char *ahead)
{
	NauthQuery	query = {0};
	NauthError	error = {0};
	const char *inner;
	int64_t		from;

	if (!nauth_spread_aim(cursor, &query, &inner, &error))
		return false;
	from = query.before;
	for (int i = 0; i < after; i++)
	{
		if (from == NAUTH_MOMENT_MAX || i == NAUTH_CONCURRENCY_MAX)
			return false;
		/* a plan for another place is none */
		if (i < spread->count && spread->ends[i] <= from)
			spread->count = i;
		if (i == spread->count)
			spread->ends[spread->count++] = cut(spread, from);
		if (i < after - 1)
			from = spread->ends[i];
	}
	write_cursor(ahead, from, spread->ends[after - 1], "");
	return true;
}
