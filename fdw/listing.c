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

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cache/shared.h"
#include "directory.h"
#include "listing.h"
#include "pgcompat.h"
#include "query.h"
#include "report.h"
#include "wait.h"

struct NauthListing
{
	const NauthOptions *options;
	bool		wide;
	NauthDirectory *directory;
	NauthShared *shared;		/* NULL: the cache is not to be used */
	NauthListingStats stats;
	bool		noticed;		/* that the directory is too large */
	bool		warned;			/* of a stale answer */

	/* the query */
	NauthQuery	query;
	bool		begun;
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

/* Columns that are texts in a cached page. */
static const struct
{
	NauthColumn column;
	NauthCodecText text;
}			text_columns[] = {
	{NAUTH_ID, NAUTH_CODEC_ID},
	{NAUTH_NAME, NAUTH_CODEC_NAME},
	{NAUTH_EMAIL, NAUTH_CODEC_EMAIL},
};

NauthListing *
nauth_listing_open(const NauthOptions *options, bool wide)
{
	NauthListing *listing = palloc0(sizeof(NauthListing));
	NauthCache *cache;

	listing->options = options;
	listing->wide = wide;
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

void
nauth_listing_begin(NauthListing *listing, const NauthQuery *query)
{
	listing->query = *query;
	listing->begun = listing->ended = false;
	listing->direct = listing->shared == NULL;
	listing->page = NULL;
	listing->provider_page = NULL;
	listing->failure.kind = NAUTH_OK;
	nauth_directory_begin(listing->directory, query);
	if (listing->direct)
		nauth_directory_ahead(listing->directory, NAUTH_AHEAD_LATER);
	if (listing->shared)
	{
		MemoryContext old;
		NauthSharedWanted wanted = {
			.single = query->kind == NAUTH_QUERY_USER,
			.wide = listing->wide,
			.refill = nauth_cache_mode == NAUTH_CACHE_REFILL,
		};

		MemoryContextReset(listing->own_cxt);
		old = MemoryContextSwitchTo(listing->own_cxt);
		nauth_shared_begin(listing->shared, nauth_query_url(listing->options, query), &wanted);
		MemoryContextSwitchTo(old);
	}
}

NauthListingStats
nauth_listing_stats(const NauthListing *listing)
{
	NauthListingStats stats = listing->stats;

	stats.requests = nauth_directory_stats(listing->directory)->requests;
	return stats;
}

/* ---- Messages */

static void
notice_too_large(NauthListing *listing)
{
	if (listing->noticed)
		return;
	listing->noticed = true;
	ereport(NOTICE,
			errmsg("users of server \"%s\" are more than the cache takes", listing->options->server),
			errhint("Option \"cache_max_bytes\" of the server sets the limit; neon_auth.users_sync has none."));
}

static void
warn_stale(NauthListing *listing, int64 age)
{
	NauthReport report;

	if (listing->warned)
		return;
	listing->warned = true;
	nauth_report_describe(&listing->failure, NAUTH_PEER_PROVIDER, listing->options->server, &report);
	ereport(WARNING,
			errcode(ERRCODE_WARNING),
			errmsg("users of server \"%s\" are " INT64_FORMAT " s old", listing->options->server, age / 1000000),
			errdetail("Asked for newer ones, %s. %s", report.message, report.detail ? report.detail : ""),
			errhint("Option \"cache_stale_ttl\" of the server sets how old they may get while the provider fails."));
}

/* ---- Pages */

/* Ask the provider for the next page; false, with the directory's error. */
static bool
ask_provider(NauthListing *listing)
{
	bool		found;

	listing->next = 0;
	if (listing->query.kind == NAUTH_QUERY_LIST)
		return nauth_directory_try_next(listing->directory, &listing->provider_page);
	if (!nauth_directory_try_user(listing->directory, listing->query.id, &listing->user, &found))
		return false;
	listing->single.count = found;
	listing->single.last = true;
	listing->provider_page = &listing->single;
	return true;
}

/* Next page, of the provider alone. */
static void
next_direct(NauthListing *listing)
{
	if (!ask_provider(listing))
		nauth_directory_fail(listing->directory);
	listing->ended = listing->provider_page == NULL || listing->provider_page->last;
}

static NauthSpan
span_of_text(Datum value)
{
	NauthSpan	span = {VARDATA(DatumGetPointer(value)), VARSIZE(DatumGetPointer(value)) - VARHDRSZ};

	return span;
}

static void
encode_user(const NauthProvider *provider, const NauthUser *user, NauthCodecUser *encoded)
{
	NauthRow	row;
	const char *reason = nauth_user_to_row(provider, user, &row);

	memset(encoded, 0, sizeof(*encoded));
	if (reason)
	{
		encoded->texts[NAUTH_CODEC_REASON].data = reason;
		encoded->texts[NAUTH_CODEC_REASON].len = strlen(reason);
		return;
	}
	for (int i = 0; i < lengthof(text_columns); i++)
		if (!row.nulls[text_columns[i].column])
			encoded->texts[text_columns[i].text] = span_of_text(row.values[text_columns[i].column]);
	encoded->has_created_at = !row.nulls[NAUTH_CREATED_AT];
	encoded->has_updated_at = !row.nulls[NAUTH_UPDATED_AT];
	if (encoded->has_created_at)
		encoded->created_at = DatumGetTimestampTz(row.values[NAUTH_CREATED_AT]);
	if (encoded->has_updated_at)
		encoded->updated_at = DatumGetTimestampTz(row.values[NAUTH_UPDATED_AT]);
	encoded->json = span_of_text(row.values[NAUTH_RAW_JSON]);
}

/* The provider's page with all columns, as it is put into the cache. */
static NauthCodecPage *
encode_page(NauthListing *listing)
{
	const NauthPage *page = listing->provider_page;
	NauthCodecPage *own = listing->own;
	MemoryContext old;

	Assert(page->count <= NAUTH_CODEC_USERS);

	if (own == NULL)
		own = listing->own = MemoryContextAlloc(GetMemoryChunkContext(listing), sizeof(NauthCodecPage));
	MemoryContextReset(listing->own_cxt);
	old = MemoryContextSwitchTo(listing->own_cxt);
	own->count = page->count;
	own->last = page->last;
	own->next = page->last ? "" : page->next;
	for (int i = 0; i < page->count; i++)
		encode_user(listing->options->provider, &page->users[i], &own->users[i]);
	MemoryContextSwitchTo(old);
	return own;
}

/* Failures after which a stale answer is better than none. */
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

	if (listing->begun)
		return;
	listing->begun = true;
	nauth_cache_count(nauth_directory_cache(listing->directory), counter, 1);
	stats->hits += counter == NAUTH_CACHE_HITS;
	stats->stale += counter == NAUTH_CACHE_STALE;
	stats->misses += counter == NAUTH_CACHE_MISSES;
}

/* Next page, of the provider, for all who read the listing. */
static void
next_for_all(NauthListing *listing)
{
	bool		answered;

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
		nauth_report(&listing->failure, NAUTH_PEER_PROVIDER, listing->options->server);
	}
	count_query(listing, NAUTH_CACHE_MISSES);
	listing->page = encode_page(listing);
	listing->provider_page = NULL;
	if (!nauth_shared_put(listing->shared, listing->own))
	{
		/* another session was quicker: its page is next */
		listing->page = NULL;
		nauth_directory_back(listing->directory);
	}
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
	if (listing->query.kind == NAUTH_QUERY_LIST)
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
			next_for_all(listing);
			break;
		case NAUTH_SHARED_DIRECT:
			count_query(listing, NAUTH_CACHE_MISSES);
			listing->direct = true;
			nauth_directory_ahead(directory, NAUTH_AHEAD_LATER);
			break;
	}
	if (nauth_shared_info(listing->shared).too_large)
		notice_too_large(listing);
}

/* ---- Rows */

/* Bytes of a decoded page as a value: there is room for its header. */
static Datum
datum_of_span(NauthSpan span)
{
	char	   *value = (char *) span.data - VARHDRSZ;

	SET_VARSIZE(value, span.len + VARHDRSZ);
	return PointerGetDatum(value);
}

static void
decode_user(const NauthCodecUser *user, NauthRow *row)
{
	memset(row->nulls, true, sizeof(row->nulls));
	for (int i = 0; i < lengthof(text_columns); i++)
	{
		NauthSpan	text = user->texts[text_columns[i].text];
		NauthColumn column = text_columns[i].column;

		row->nulls[column] = text.data == NULL;
		if (text.data)
			row->values[column] = datum_of_span(text);
	}
	row->nulls[NAUTH_CREATED_AT] = !user->has_created_at;
	row->values[NAUTH_CREATED_AT] = TimestampTzGetDatum(user->created_at);
	row->nulls[NAUTH_UPDATED_AT] = !user->has_updated_at;
	row->values[NAUTH_UPDATED_AT] = TimestampTzGetDatum(user->updated_at);
	row->nulls[NAUTH_RAW_JSON] = user->json.data == NULL;
	if (user->json.data)
		row->values[NAUTH_RAW_JSON] = datum_of_span(user->json);
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
			*reason = nauth_user_to_row(listing->options->provider,
										&listing->provider_page->users[listing->next++], row);
			return true;
		}
		if (listing->page && listing->next < listing->page->count)
			break;
		if (listing->ended)
			return false;
		listing->page = NULL;
		listing->provider_page = NULL;
		if (listing->direct)
			next_direct(listing);
		else
			next_shared(listing);
	}
	user = &listing->page->users[listing->next++];
	if (user->texts[NAUTH_CODEC_REASON].data)
		*reason = pnstrdup(user->texts[NAUTH_CODEC_REASON].data, user->texts[NAUTH_CODEC_REASON].len);
	else
		decode_user(user, row);
	return true;
}
