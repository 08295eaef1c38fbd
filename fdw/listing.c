/*-------------------------------------------------------------------------
 *
 * listing.c
 *	  What a query finds in a directory, row by row, from the cache or from the
 *	  provider.
 *
 * The position in the provider's listing is kept up to date while pages come
 * from the cache.  So the provider can go on with any page, whatever happens to
 * the cache: no user is lost and none comes twice.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/memutils.h"

#include "cache/shared.h"
#include "directory.h"
#include "encode.h"
#include "fault_point.h"
#include "listing.h"
#include "provider/asking.h"
#include "query.h"
#include "report.h"
#include "wait.h"

int			nauth_cache_mode = NAUTH_CACHE_ON;

/* A listing that is fresh for so many microseconds more is there for a plan. */
#define FRESH_ENOUGH	(5 * USECS_PER_SEC)

struct NauthListing
{
	const NauthOptions *options;
	bool		wide;
	NauthDirectory *directory;
	NauthShared *shared;		/* NULL: the cache is not to be used */
	NauthListingStats stats;
	NauthListingTold *told;

	/* the query */
	NauthQuery	query;
	bool		counted;		/* by where its first page came from */
	int64		users;			/* in its pages so far */
	bool		leads;			/* the next page is ours to ask for */
	bool		direct;			/* what is left comes from the provider alone */
	bool		ended;
	NauthError	failure;		/* why the answer is a stale one */

	/* the page; one of the two, or none yet */
	const NauthCodecPage *page;
	const NauthPage *provider_page;
	int			next;			/* the next user in it */
	NauthPage	single;			/* the provider's answer about one user */
	NauthUser	user;
	NauthCodecPage *own;		/* to be put into the cache */
	MemoryContext own_cxt;		/* its values */
};

NauthListing *
nauth_listing_open(const NauthOptions *options, bool wide, NauthListingTold *told)
{
	NauthListing *listing = palloc0(sizeof(NauthListing));
	NauthCache *cache;

	listing->options = options;
	listing->wide = wide;
	listing->told = told;
	listing->directory = nauth_directory_open(options, options->scan_timeout);
	listing->stats.age = -1;
	listing->single.users = &listing->user;
	listing->own_cxt = AllocSetContextCreate(CurrentMemoryContext, "neon_auth_fdw page",
											 ALLOCSET_DEFAULT_SIZES);
	cache = nauth_directory_cache(listing->directory);
	listing->stats.cached = cache && options->cache_ttl > 0 && nauth_cache_mode != NAUTH_CACHE_OFF;
	if (listing->stats.cached)
		listing->shared = nauth_shared_open(cache);
	return listing;
}

/* Whether a query is answered by one page. */
static bool
is_single(const NauthQuery *query)
{
	return query->kind == NAUTH_QUERY_USER || query->kind == NAUTH_QUERY_COUNT ||
		query->once || query->ids != NULL;
}

void
nauth_listing_begin(NauthListing *listing, const NauthQuery *query)
{
	listing->query = *query;
	listing->counted = listing->ended = listing->leads = false;
	listing->users = 0;
	listing->direct = listing->shared == NULL;
	listing->page = NULL;
	listing->provider_page = NULL;
	listing->failure.kind = NAUTH_OK;
	nauth_directory_begin(listing->directory, query);
	nauth_directory_ahead(listing->directory, NAUTH_AHEAD_LATER);
	if (listing->shared)
	{
		MemoryContext old;
		NauthSharedWanted wanted = {
			.single = is_single(query),
			.wide = listing->wide,
			.refill = nauth_cache_mode == NAUTH_CACHE_REFILL,
		};

		MemoryContextReset(listing->own_cxt);
		old = MemoryContextSwitchTo(listing->own_cxt);
		nauth_shared_begin(listing->shared, nauth_query_key(listing->options, query), &wanted);
		MemoryContextSwitchTo(old);
	}
}

void
nauth_listing_add_stats(const NauthListing *listing, NauthListingStats *sum)
{
	const NauthHttpStats *http = nauth_directory_stats(listing->directory);
	const NauthListingStats *stats = &listing->stats;

	sum->requests += http->requests;
	sum->retries += http->retries;
	sum->bytes += http->bytes;
	sum->paused += http->paused;
	sum->pages += stats->pages;
	sum->users += stats->users;
	sum->cached |= stats->cached;
	sum->hits += stats->hits;
	sum->stale += stats->stale;
	sum->misses += stats->misses;
	sum->age = Max(sum->age, stats->age);
}

/* ---- Messages */

static void
notice_too_large(NauthListing *listing)
{
	if (listing->told->too_large)
		return;
	listing->told->too_large = true;
	ereport(NOTICE,
			errmsg("users of server \"%s\" are more than the cache takes", listing->options->server),
			errhint("Option \"cache_max_bytes\" of the server sets the limit; neon_auth.users_sync has none."));
}

static void
warn_stale(NauthListing *listing, int64 age)
{
	NauthReport report;

	if (listing->told->stale)
		return;
	listing->told->stale = true;
	nauth_report_describe(&listing->failure, NAUTH_PEER_PROVIDER, listing->options->server, &report);
	ereport(WARNING,
			errcode(ERRCODE_WARNING),
			errmsg("users of server \"%s\" are " INT64_FORMAT " s old", listing->options->server, age / USECS_PER_SEC),
			errdetail("Asked for newer ones, %s.%s", report.message, report.detail ? psprintf(" %s", report.detail) : ""),
			errhint("Option \"cache_stale_ttl\" of the server sets how old they may get while the provider fails."));
}

/* ---- Pages */

/* A count as a page with one user, whose id is the number. */
static bool
ask_count(NauthListing *listing)
{
	int64_t		count;

	if (!nauth_directory_try_count(listing->directory, &listing->query, &count))
		return false;
	memset(&listing->user, 0, sizeof(NauthUser));
	snprintf(listing->user.id, sizeof(listing->user.id), INT64_FORMAT, (int64) count);
	listing->user.json.data = "{}";
	listing->user.json.len = strlen("{}");
	listing->single.count = 1;
	return true;
}

static bool
ask_user(NauthListing *listing)
{
	bool		found;

	/* where another user answers to an alias, nobody has it as an id */
	if (!nauth_directory_try_user(listing->directory, listing->query.id, &listing->user, &found) &&
		(!listing->options->provider->has_aliases ||
		 nauth_directory_error(listing->directory)->kind != NAUTH_ERROR_UNFIT))
		return false;
	listing->single.count = found;
	return true;
}

/* Ask the provider for the next page; false, with the directory's error. */
static bool
ask_provider(NauthListing *listing)
{
	NauthQueryKind kind = listing->query.kind;

	listing->next = 0;
	if (kind != NAUTH_QUERY_COUNT && kind != NAUTH_QUERY_USER)
		return nauth_directory_try_next(listing->directory, &listing->provider_page);
	if (kind == NAUTH_QUERY_COUNT ? !ask_count(listing) : !ask_user(listing))
		return false;
	listing->single.last = true;
	listing->provider_page = &listing->single;
	return true;
}

/* A page is there to be read. */
static void
note_page(NauthListing *listing, int users)
{
	listing->stats.pages++;
	listing->stats.users += users;
	listing->users += users;
}

/*
 * Begin with all users where those changed since a time cannot be had, and none were:
 * the rest is left out by whoever reads them, as always.  If it is the directory that
 * fails, all of them fail as well.
 */
static bool
list_instead(NauthListing *listing, NauthErrorKind kind)
{
	NauthQuery	all = {.kind = NAUTH_QUERY_LIST};

	if (listing->query.kind != NAUTH_QUERY_SINCE || listing->users > 0 ||
		!nauth_directory_may_be_of_filter(kind))
		return false;
	nauth_listing_begin(listing, &all);
	return true;
}

/* Next page, of the provider alone. */
static void
next_direct(NauthListing *listing)
{
	const NauthPage *page;

	if (!ask_provider(listing))
	{
		if (!list_instead(listing, nauth_directory_error(listing->directory)->kind))
			nauth_directory_fail(listing->directory);
		return;
	}
	page = listing->provider_page;
	listing->ended = page == NULL || page->last || is_single(&listing->query);
	if (page)
		note_page(listing, page->count);
}

/* The provider's page with all columns, as it is put into the cache. */
static NauthCodecPage *
encode_page(NauthListing *listing)
{
	const NauthPage *page = listing->provider_page;
	NauthCodecPage *own = listing->own;
	MemoryContext old;

	if (page->count > NAUTH_CODEC_USERS)
		elog(ERROR, "a page of %d users does not fit into the cache", page->count);
	if (own == NULL)
		own = listing->own = MemoryContextAlloc(GetMemoryChunkContext(listing), sizeof(NauthCodecPage));
	MemoryContextReset(listing->own_cxt);
	old = MemoryContextSwitchTo(listing->own_cxt);
	own->count = page->count;
	own->last = page->last || is_single(&listing->query);
	own->next = own->last ? "" : page->next;
	for (int i = 0; i < page->count; i++)
		nauth_encode_user(listing->options, &page->users[i], &own->users[i]);
	MemoryContextSwitchTo(old);
	return own;
}

/*
 * Failures after which a stale answer is better than none: those that pass by
 * themselves.  A certificate that is not accepted does not, and may be somebody
 * in between.
 */
static bool
is_passing(NauthErrorKind kind)
{
	return kind == NAUTH_ERROR_CONNECT || kind == NAUTH_ERROR_TIMEOUT ||
		kind == NAUTH_ERROR_TRANSFER || kind == NAUTH_ERROR_RATE_LIMIT ||
		kind == NAUTH_ERROR_UNAVAILABLE;
}

/* Each query is counted once, by where its first page came from. */
static void
count_query(NauthListing *listing, NauthCacheCounter counter)
{
	NauthListingStats *stats = &listing->stats;

	if (listing->counted)
		return;
	listing->counted = true;
	nauth_cache_count(nauth_directory_cache(listing->directory), counter, 1);
	stats->hits += counter == NAUTH_CACHE_HITS;
	stats->stale += counter == NAUTH_CACHE_STALE;
	stats->misses += counter == NAUTH_CACHE_MISSES;
}

/* The cache has the whole directory now, read so many microseconds ago. */
static void
note_complete(NauthListing *listing, int64 age)
{
	const NauthQuery *query = &listing->query;
	NauthHealth *health = nauth_health_get(&listing->options->connection);

	if (query->kind != NAUTH_QUERY_LIST || is_single(query) || query->windowed ||
		query->email || query->limit > 0 || query->order == NAUTH_ORDER_NEWEST)
		return;
	health->listed_users = listing->users;
	health->listed_until = nauth_clock() + listing->options->cache_ttl * INT64CONST(1000) - age;
}

int64
nauth_listing_cached(const NauthConnectionId *id)
{
	const NauthHealth *health = nauth_health_get(id);

	return nauth_cache_mode == NAUTH_CACHE_ON && health->listed_until > nauth_clock() + FRESH_ENOUGH ?
		health->listed_users : -1;
}

/* A page has more users than the cache takes in one: it is for this session alone. */
static void
keep_from_others(NauthListing *listing)
{
	nauth_shared_give_up(listing->shared, false);
	listing->direct = true;
	listing->ended = listing->provider_page->last || is_single(&listing->query);
	note_page(listing, listing->provider_page->count);
}

/* Next page, of the provider, for all who read the listing. */
static void
next_for_all(NauthListing *listing)
{
	bool		answered;

	listing->leads = false;
	NAUTH_FAULT_POINT("leading");
	nauth_directory_hurry(listing->directory, nauth_shared_has_stale(listing->shared) ?
						  NAUTH_HURRY_ALWAYS : NAUTH_HURRY_SILENCE);
	answered = ask_provider(listing);
	nauth_directory_hurry(listing->directory, NAUTH_HURRY_NOT);
	if (!answered)
	{
		listing->failure = *nauth_directory_error(listing->directory);
		nauth_directory_back(listing->directory);
		if (is_passing(listing->failure.kind) && nauth_shared_use_stale(listing->shared))
			return;
		if (listing->failure.kind == NAUTH_ERROR_RATE_LIMIT && nauth_shared_put_off(listing->shared))
		{
			listing->failure.kind = NAUTH_OK;
			return;
		}
		nauth_shared_give_up(listing->shared, !is_passing(listing->failure.kind));
		if (list_instead(listing, listing->failure.kind))
			return;
		nauth_report(&listing->failure, NAUTH_PEER_PROVIDER, listing->options->server);
	}
	count_query(listing, NAUTH_CACHE_MISSES);
	if (listing->provider_page && listing->provider_page->count > NAUTH_CODEC_USERS)
	{
		keep_from_others(listing);
		return;
	}
	listing->page = encode_page(listing);
	listing->provider_page = NULL;
	if (!nauth_shared_put(listing->shared, listing->own, nauth_directory_is_ahead(listing->directory)))
	{
		/* another session was quicker: its page is next */
		listing->page = NULL;
		nauth_directory_back(listing->directory);
		return;
	}
	note_page(listing, listing->page->count);
	if (listing->page->last)
		note_complete(listing, 0);
}

/* A page came from the cache: the provider's listing goes on behind it. */
static void
use_cached(NauthListing *listing, const NauthSharedInfo *info)
{
	listing->next = 0;
	listing->stats.age = Max(listing->stats.age, info->age);
	count_query(listing, info->stale ? NAUTH_CACHE_STALE : NAUTH_CACHE_HITS);
	if (info->stale && listing->failure.kind != NAUTH_OK)
		warn_stale(listing, info->age);
	note_page(listing, listing->page->count);
	if (listing->page->last && !info->stale)
		note_complete(listing, info->age);
	if (!is_single(&listing->query))
		nauth_directory_skip(listing->directory, listing->page->next, listing->page->last);
}

/* Next page, by the cache. */
static void
next_shared(NauthListing *listing)
{
	NauthDirectory *directory = listing->directory;
	int64		waited = nauth_shared_info(listing->shared).waited;
	NauthSharedStep step = nauth_shared_next(listing->shared, nauth_clock() + nauth_directory_budget(directory),
											 &listing->page);
	NauthSharedInfo info = nauth_shared_info(listing->shared);

	nauth_directory_spend(directory, info.waited - waited);
	switch (step)
	{
		case NAUTH_SHARED_PAGE:
			use_cached(listing, &info);
			break;
		case NAUTH_SHARED_END:
			listing->ended = true;
			break;
		case NAUTH_SHARED_LEAD:
			listing->leads = true;
			break;
		case NAUTH_SHARED_DIRECT:
			count_query(listing, NAUTH_CACHE_MISSES);
			listing->direct = true;
			break;
	}
	if (nauth_shared_info(listing->shared).too_large)
		notice_too_large(listing);
}

/* ---- Rows */

/* Get the next page, if there may be one. */
static void
next_page(NauthListing *listing)
{
	listing->page = NULL;
	listing->provider_page = NULL;
	if (listing->direct)
		next_direct(listing);
	else if (listing->leads)
		next_for_all(listing);
	else
		next_shared(listing);
}

/* Whether the page has more users. */
static bool
has_more(const NauthListing *listing)
{
	return (listing->page && listing->next < listing->page->count) ||
		(listing->provider_page && listing->next < listing->provider_page->count);
}

void
nauth_listing_start(NauthListing *listing)
{
	while (!has_more(listing) && !listing->ended && !listing->direct && !listing->leads)
		next_page(listing);
	if (!has_more(listing) && !listing->ended)
		nauth_directory_start(listing->directory);
}

bool
nauth_listing_at_end(const NauthListing *listing)
{
	return listing->ended && !has_more(listing);
}

bool
nauth_listing_ready(const NauthListing *listing)
{
	return has_more(listing) || listing->ended || nauth_directory_ready(listing->directory);
}

int
nauth_listing_descriptor(const NauthListing *listing)
{
	return has_more(listing) || listing->ended ? -1 : nauth_directory_descriptor(listing->directory);
}

/* The time of change of a user of the page. */
static bool
time_of_change(const NauthListing *listing, int user, int64_t *moment)
{
	if (listing->page)
	{
		*moment = nauth_timestamptz_to_moment(listing->page->users[user].updated_at);
		return listing->page->users[user].has_updated_at;
	}
	*moment = listing->provider_page->users[user].updated_at;
	return listing->provider_page->users[user].has_updated_at;
}

bool
nauth_listing_reaches(NauthListing *listing, int64_t moment)
{
	int64_t		before = PG_INT64_MAX;
	int			count;

	while (!listing->ended && listing->page == NULL && listing->provider_page == NULL)
		next_page(listing);
	if (listing->page == NULL && listing->provider_page == NULL)
		return true;
	count = listing->page ? listing->page->count : listing->provider_page->count;
	for (int i = 0; i < count; i++)
	{
		int64_t		changed;

		if (!time_of_change(listing, i, &changed) || changed > before)
			return false;
		before = changed;
	}
	return before < moment || count < nauth_ask_limit(&listing->options->settings, &listing->query, NULL);
}

bool
nauth_listing_next(NauthListing *listing, NauthRow *row, const char **reason)
{
	const NauthCodecUser *user;

	*reason = NULL;
	for (;;)
	{
		if (listing->provider_page && listing->next < listing->provider_page->count)
		{
			*reason = nauth_user_to_row(listing->options,
										&listing->provider_page->users[listing->next++], row);
			return true;
		}
		if (listing->page && listing->next < listing->page->count)
			break;
		if (listing->ended)
			return false;
		next_page(listing);
	}
	user = &listing->page->users[listing->next++];
	if (user->texts[NAUTH_CODEC_REASON].data)
		*reason = pnstrdup(user->texts[NAUTH_CODEC_REASON].data, user->texts[NAUTH_CODEC_REASON].len);
	else
		nauth_decode_user(user, row);
	return true;
}
