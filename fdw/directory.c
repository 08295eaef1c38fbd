/*-------------------------------------------------------------------------
 *
 * directory.c
 *	  The user directory of one server: listings, single users, counts.
 *
 * A provider writes requests and reads replies, the HTTP engine carries them;
 * this file makes a listing of it and guards it against what no single page
 * can show: cursors that repeat, listings that do not end or make no way.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "cache/gate.h"
#include "directory_state.h"
#include "provider/reading.h"
#include "provider/reply.h"
#include "report.h"
#include "token.h"
#include "users.h"
#include "wait.h"

/* Two clocks may differ by so much. */
#define CLOCK_SLACK		(5 * USECS_PER_MINUTE)

void
nauth_directory_redis(const NauthOptions *options, NauthRedisOptions *redis)
{
	redis->connection = options->connection;
	redis->url = options->redis_url;
	redis->user = options->redis_user;
	redis->password = options->redis_password;
	redis->timeout = options->redis_timeout;
}

static NauthCache *
open_cache(const NauthOptions *options)
{
	NauthCacheOptions cache = {
		.server = options->server,
		.prefix = options->redis_prefix,
		.provider = options->provider->name,
		.url = options->answers,
		.secret = {options->credential, strlen(options->credential)},
		.ttl = options->cache_ttl,
		.stale_ttl = options->cache_stale_ttl,
		.max_bytes = options->cache_max_bytes,
	};

	nauth_directory_redis(options, &cache.redis);
	return nauth_cache_open(&cache);
}

/* Whether the provider says by a code that there are too many requests. */
static bool
is_busy(const void *provider, const NauthReply *reply)
{
	return nauth_reply_kind(provider, reply) == NAUTH_ERROR_RATE_LIMIT;
}

/* The last request still has the credential, however the scan has ended. */
static void
wipe_request(void *arg)
{
	NauthDirectory *directory = arg;

	explicit_bzero(&directory->request, sizeof(NauthRequest));
}

NauthDirectory *
nauth_directory_open(const NauthOptions *options, int budget)
{
	NauthDirectory *directory = palloc0(sizeof(NauthDirectory));
	NauthCache *cache = options->redis_url ? open_cache(options) : NULL;
	NauthHttpOptions http = {
		.own_urls = options->provider->own_urls,
		.headers = {
			.retry = options->provider->retry_header,
			.id = options->provider->id_header,
			.page = options->provider->page_header,
		},
		.is_busy = options->provider->code_kinds ? is_busy : NULL,
		.busy_arg = options->provider,
		.connection = options->connection,
		.connect_timeout = options->connect_timeout,
		.request_timeout = options->request_timeout,
		.concurrency = options->max_concurrency,
		.gate = nauth_gate_open(&options->connection, cache, options->max_requests_per_second),
	};

	directory->on_reset.func = wipe_request;
	directory->on_reset.arg = directory;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &directory->on_reset);
	directory->options = options;
	directory->settings = options->settings;
	directory->cache = cache;
	directory->budget = (int64) budget * 1000;
	directory->http = nauth_http_open(&http);
	directory->page.capacity = Max(Max(options->settings.page_size, options->provider->max_ids + 1),
								   NAUTH_MIN_CAPACITY);
	directory->page.users = palloc0(sizeof(NauthUser) * directory->page.capacity);
	return directory;
}

const NauthHttpStats *
nauth_directory_stats(const NauthDirectory *directory)
{
	return nauth_http_stats(directory->http);
}

NauthCache *
nauth_directory_cache(const NauthDirectory *directory)
{
	return directory->cache;
}

int64
nauth_directory_asked_at(const NauthDirectory *directory)
{
	return directory->asked_at;
}

const NauthError *
nauth_directory_error(const NauthDirectory *directory)
{
	return &directory->error;
}

void
nauth_directory_fail(const NauthDirectory *directory)
{
	nauth_report(&directory->error, NAUTH_PEER_PROVIDER, directory->options->server);
}

void
nauth_directory_hurry(NauthDirectory *directory, NauthHurry hurry)
{
	nauth_http_hurry(directory->http, hurry);
}

int64
nauth_directory_budget(const NauthDirectory *directory)
{
	return directory->budget;
}

void
nauth_directory_spend(NauthDirectory *directory, int64 time)
{
	directory->budget -= time;
}

/*
 * Whether a reply is one to be read: with status 200 and not of another type, or one
 * that the provider reads as a page.  *missing says that it is the provider's answer
 * for a user who does not exist.
 */
static bool
accept_reply(NauthDirectory *directory, const NauthQuery *query, const char *cursor,
			 const NauthReply *reply, bool *missing)
{
	const NauthProvider *provider = directory->options->provider;
	NauthError *error = &directory->error;

	*missing = false;
	if (reply->status == 200 && !reply->other_type)
		return true;
	if (provider->is_page && provider->is_page(&directory->settings, query, cursor, reply))
		return true;
	if (reply->status == 200)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the reply is not JSON");
	*missing = nauth_reply_is_not_found(provider, reply);
	return nauth_error_set(error, nauth_reply_kind(provider, reply), NULL);
}

void
nauth_directory_write(NauthDirectory *directory, const NauthQuery *query, const char *cursor)
{
	const NauthOptions *options = directory->options;

	options->provider->write_request(&directory->settings, query, cursor, &directory->request);
}

/* ---- Requests whose reply is waited for */

/* Have a token that is good for a request, where one is needed. */
bool
nauth_directory_authorize(NauthDirectory *directory)
{
	int64		start = nauth_clock();

	if (directory->settings.client_id == NULL)
		return true;
	directory->settings.token = nauth_token_get(directory->options, directory->http, &directory->request,
												start + directory->budget, &directory->error);
	directory->budget -= nauth_clock() - start;
	return directory->settings.token != NULL;
}

/*
 * Send a request, or take the one that was sent ahead, and wait for the reply.  *outdated
 * says that it was sent with an earlier token.
 */
static bool
exchange(NauthDirectory *directory, const NauthQuery *query, const char *cursor,
		 NauthReply *reply, bool *outdated)
{
	int64		start = nauth_clock();
	int64		deadline = start + directory->budget;
	Ahead	   *ahead;
	bool		answered;

	nauth_directory_write(directory, query, cursor);
	ahead = nauth_ahead_find(directory);
	*outdated = ahead && nauth_http_is_outdated(ahead->call, &directory->request);
	if (ahead)
		answered = nauth_ahead_end(directory, ahead, deadline, reply);
	else
		answered = nauth_http_send(directory->http, &directory->request,
								   deadline, reply, &directory->error);
	directory->budget -= nauth_clock() - start;
	return answered;
}

/*
 * The same, with a token where one is needed.  One that is not taken is renewed once:
 * it may have been revoked, or have ended on its way.  What was sent ahead with an
 * earlier one is no reason to.
 */
static bool
exchange_authorized(NauthDirectory *directory, const NauthQuery *query, const char *cursor,
					NauthReply *reply)
{
	bool		renewed = false;
	bool		outdated;

	if (!nauth_directory_authorize(directory))
		return false;
	while (exchange(directory, query, cursor, reply, &outdated))
	{
		if (reply->status != 401 || directory->settings.token == NULL || (renewed && !outdated))
			return true;
		if (!outdated)
		{
			nauth_token_forget(directory->options);
			renewed = true;
		}
		memset(reply, 0, sizeof(NauthReply));
		if (!nauth_directory_authorize(directory))
			return false;
	}
	return false;
}

/* What mends a failure that the reply says nothing about. */
static const char *
general_hint(const NauthDirectory *directory)
{
	if (directory->error.kind == NAUTH_ERROR_FORBIDDEN_URL)
		return directory->options->provider->url_hint;
	return directory->error.kind == NAUTH_ERROR_CREDENTIAL && directory->settings.client_id ?
		nauth_token_hint : NULL;
}

/*
 * Send a request to the provider.  True with a reply to be read; else the
 * error is set, and *missing as in accept_reply.
 */
bool
nauth_directory_ask(NauthDirectory *directory, const NauthQuery *query, const char *cursor,
					NauthReply *reply, bool *missing)
{
	NauthError *error = &directory->error;
	bool		accepted;

	*missing = false;
	memset(reply, 0, sizeof(NauthReply));
	memset(error, 0, sizeof(NauthError));
	accepted = exchange_authorized(directory, query, cursor, reply);
	directory->asked_at = reply->asked_at;
	if (reply->status > 0)
		nauth_reply_failure(directory->options->provider, reply, error);
	accepted = accepted && accept_reply(directory, query, cursor, reply, missing);
	if (!accepted && error->hint == NULL)
		error->hint = general_hint(directory);
	return accepted;
}

/* ---- Listings */

void
nauth_directory_begin(NauthDirectory *directory, const NauthQuery *query)
{
	nauth_ahead_clear(directory);
	directory->query = *query;
	directory->look_ahead = NAUTH_AHEAD_NEVER;
	nauth_spread_begin(&directory->spread, directory->options->settings.page_size);
	memset(&directory->position, 0, sizeof(Position));
}

/*
 * Why a listing cannot go on to its next page, or NULL.  A cursor that was there
 * before means that the listing goes in circles.  To find circles of any length
 * one earlier cursor is enough, if it is taken anew after twice as many pages
 * each time (Brent's way).
 */
const char *
nauth_directory_obstacle(const Position *position)
{
	const char *next = position->next;

	/* windows are not as full as pages, and may be up to half as many more */
	int			most = next[0] == NAUTH_SPREAD_MARK ? NAUTH_DIRECTORY_PAGES * 2 : NAUTH_DIRECTORY_PAGES;

	if (next[0] == '\0')
		return "users of the same time fill a page";
	if (strcmp(next, position->cursor) == 0 || strcmp(next, position->landmark) == 0)
		return "the provider repeated a cursor";
	if (position->pages >= most)
		return "the listing has too many pages";
	return NULL;
}

/* Go on to the cursor of the next page. */
static bool
advance_cursor(NauthDirectory *directory)
{
	Position   *position = &directory->position;
	const char *obstacle;

	if (!position->begun)
		return true;
	obstacle = nauth_directory_obstacle(position);
	if (obstacle)
		return nauth_error_set(&directory->error, NAUTH_ERROR_INCOMPLETE, obstacle);
	if ((position->pages & (position->pages - 1)) == 0)
		strlcpy(position->landmark, position->next, NAUTH_CURSOR_MAX);
	strlcpy(position->cursor, position->next, NAUTH_CURSOR_MAX);
	return true;
}

/* The page at the cursor is done: it said what comes next. */
static void
note_page(NauthDirectory *directory, const char *next, bool last)
{
	directory->position.begun = true;
	directory->position.last = last;
	directory->position.pages++;
	strlcpy(directory->position.next, next, NAUTH_CURSOR_MAX);
}

/* Who is to be deleted one day is not yet, unless a status says so. */
static void
wait_for_deletions(const NauthDirectory *directory, NauthUser *users, int count)
{
	const NauthColumns *columns = &directory->options->provider->columns;
	int64		now;

	if (columns->deleted_at.member == NULL || columns->status)
		return;
	now = nauth_timestamptz_to_moment(GetCurrentTimestamp());
	for (int i = 0; i < count; i++)
		if (users[i].has_deleted_at && users[i].deleted_at > now + CLOCK_SLACK)
			users[i].has_deleted_at = false;
}

/* Ask for the page at the cursor and read it. */
static bool
read_page(NauthDirectory *directory)
{
	const NauthOptions *options = directory->options;
	NauthPage  *page = &directory->page;
	NauthQuery	query = directory->query;
	NauthError *error = &directory->error;
	const char *cursor;
	NauthReply	reply;
	bool		windowed;
	bool		missing;

	memset(error, 0, sizeof(*error));
	windowed = nauth_spread_aim(directory->position.begun ? directory->position.cursor : NULL,
								&query, &cursor, error);
	if (error->kind != NAUTH_OK || !nauth_directory_ask(directory, &query, cursor, &reply, &missing) ||
		!options->provider->read_page(&directory->settings, &query, cursor, &reply, page, error))
		return false;

	wait_for_deletions(directory, page->users, page->count);

	/* by time of change all users of a page may have been read before */
	if (page->count == 0 && !page->last && !page->reread && query.kind == NAUTH_QUERY_LIST)
	{
		note_page(directory, page->next, page->last);
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE, "a page before the end has no users");
	}
	if (windowed ? !nauth_spread_take(&directory->spread, &query, page, error) : !nauth_spread_check(page, error))
		return false;
	note_page(directory, page->next, page->last);
	return true;
}

bool
nauth_directory_try_next(NauthDirectory *directory, const NauthPage **page)
{
	NauthPage  *read = &directory->page;

	*page = NULL;
	directory->before = directory->position;
	if (directory->position.last)
		return true;
	nauth_ahead_newest(directory);
	do
	{
		if (!advance_cursor(directory) || !read_page(directory))
			return false;
		if (nauth_ahead_may_spread(directory) && !read->reread)
		{
			nauth_spread_start(&directory->spread, read);
			strlcpy(directory->position.next, read->next, NAUTH_CURSOR_MAX);
		}
		nauth_ahead_look(directory);
	} while (read->reread || (read->count == 0 && !read->last && directory->query.kind == NAUTH_QUERY_LIST));
	*page = read;
	return true;
}

const NauthPage *
nauth_directory_next(NauthDirectory *directory)
{
	const NauthPage *page;

	if (!nauth_directory_try_next(directory, &page))
		nauth_directory_fail(directory);
	return page;
}

void
nauth_directory_back(NauthDirectory *directory)
{
	directory->position = directory->before;
}

void
nauth_directory_skip(NauthDirectory *directory, const char *next, bool last)
{
	memset(&directory->error, 0, sizeof(NauthError));
	if (strlen(next) >= NAUTH_CURSOR_MAX)
		nauth_error_set(&directory->error, NAUTH_ERROR_INCOMPLETE, "a cursor is too long");
	if (directory->error.kind != NAUTH_OK || !advance_cursor(directory))
		nauth_directory_fail(directory);
	note_page(directory, next, last);

	/* what was begun for other pages was in vain */
	if (!last)
		nauth_ahead_keep(directory, next);
	nauth_ahead_clear(directory);
}

bool
nauth_directory_may_be_of_filter(NauthErrorKind kind)
{
	return kind == NAUTH_ERROR_PERMISSION || kind == NAUTH_ERROR_NOT_FOUND ||
		kind == NAUTH_ERROR_REFUSED || kind == NAUTH_ERROR_UNAVAILABLE;
}

/* ---- Users and counts */

bool
nauth_directory_try_user(NauthDirectory *directory, const char *id,
						 NauthUser *user, bool *found)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_USER,.id = id};
	NauthReply	reply;
	bool		missing;

	*found = nauth_directory_ask(directory, &query, NULL, &reply, &missing) &&
		nauth_read_user(directory->options->provider, &directory->settings, id, &reply, user,
						&missing, &directory->error);
	if (*found)
		wait_for_deletions(directory, user, 1);
	return *found || missing;
}

bool
nauth_directory_user(NauthDirectory *directory, const char *id, NauthUser *user)
{
	bool		found;

	if (!nauth_directory_try_user(directory, id, user, &found))
		nauth_directory_fail(directory);
	return found;
}

bool
nauth_directory_try_count(NauthDirectory *directory, const NauthQuery *query, int64_t *count)
{
	NauthReply	reply;
	bool		missing;

	return nauth_directory_ask(directory, query, NULL, &reply, &missing) &&
		nauth_reply_count(directory->options->provider, &reply, count, &directory->error);
}

int64
nauth_directory_count(NauthDirectory *directory, const NauthQuery *query)
{
	int64_t		count;

	if (!nauth_directory_try_count(directory, query, &count))
		nauth_directory_fail(directory);
	return count;
}
