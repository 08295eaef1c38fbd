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

#include "cache/gate.h"
#include "directory.h"
#include "report.h"
#include "spread.h"
#include "wait.h"

/* The first pages of windows, and who was created last. */
#define AHEAD_MAX		(NAUTH_CONCURRENCY_MAX + 1)

/* Asks for the user who was created last. */
static const NauthQuery newest_user = {.kind = NAUTH_QUERY_LIST,.order = NAUTH_ORDER_NEWEST,.limit = 1};

/* How far a listing has come. */
typedef struct Position
{
	bool		begun;
	bool		last;			/* at its end */
	int			pages;			/* asked for, with those read again */
	char		cursor[NAUTH_CURSOR_MAX];	/* the page was asked for with it */
	char		next[NAUTH_CURSOR_MAX]; /* cursor of the next one */
	char		landmark[NAUTH_CURSOR_MAX]; /* an earlier cursor */
} Position;

/* A request begun in the background. */
typedef struct Ahead
{
	NauthCall  *call;			/* or NULL */
	bool		wanted;
} Ahead;

struct NauthDirectory
{
	const NauthOptions *options;
	NauthCache *cache;			/* or NULL */
	NauthHttp  *http;
	int64		budget;			/* microseconds of waiting that are left */
	NauthRequest request;		/* too large for the stack */
	NauthError	error;
	Ahead		ahead[AHEAD_MAX];
	NauthCall  *current;		/* was among these; the last reply is its, or
								 * NULL */

	/* the listing */
	NauthQuery	query;
	NauthAhead	look_ahead;
	NauthSpread spread;
	NauthPage	page;
	Position	position;
	Position	before;			/* the last page */
};

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
		.url = options->settings.url,
		.secret = {options->settings.api_key, strlen(options->settings.api_key)},
		.ttl = options->cache_ttl,
		.stale_ttl = options->cache_stale_ttl,
		.max_bytes = options->cache_max_bytes,
	};

	nauth_directory_redis(options, &cache.redis);
	return nauth_cache_open(&cache);
}

NauthDirectory *
nauth_directory_open(const NauthOptions *options, int budget)
{
	NauthDirectory *directory = palloc0(sizeof(NauthDirectory));
	NauthCache *cache = options->redis_url ? open_cache(options) : NULL;
	NauthHttpOptions http = {
		.allowed_url = options->provider->url,
		.retry_header = options->provider->retry_header,
		.id_header = options->provider->id_header,
		.connection = options->connection,
		.connect_timeout = options->connect_timeout,
		.request_timeout = options->request_timeout,
		.concurrency = options->max_concurrency,
		.gate = nauth_gate_open(&options->connection, cache, options->max_requests_per_second),
	};

	directory->options = options;
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

static NauthErrorKind
status_error(int status)
{
	static const struct
	{
		int			status;
		NauthErrorKind kind;
	}			kinds[] = {
		{401, NAUTH_ERROR_CREDENTIAL},
		{403, NAUTH_ERROR_PERMISSION},
		{404, NAUTH_ERROR_NOT_FOUND},
		{429, NAUTH_ERROR_RATE_LIMIT},
	};

	for (int i = 0; i < lengthof(kinds); i++)
		if (kinds[i].status == status)
			return kinds[i].kind;
	if (status >= 300 && status < 400)
		return NAUTH_ERROR_REDIRECT;
	return status >= 500 ? NAUTH_ERROR_UNAVAILABLE : NAUTH_ERROR_REFUSED;
}

/*
 * Whether a reply is one to be read: with status 200 and not of another type.
 * *missing says that it is the provider's answer for a user who does not exist.
 */
static bool
accept_reply(NauthDirectory *directory, const NauthReply *reply, bool *missing)
{
	NauthError *error = &directory->error;

	*missing = false;
	if (reply->status == 200 && reply->other_type)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the reply is not JSON");
	if (reply->status == 200)
		return true;
	*missing = nauth_read_is_not_found(directory->options->provider, reply);
	return nauth_error_set(error, status_error(reply->status), NULL);
}

static void
write_request(NauthDirectory *directory, const NauthQuery *query, const char *cursor)
{
	const NauthOptions *options = directory->options;

	options->provider->write_request(&options->settings, query, cursor, &directory->request);
}

/* ---- Requests in the background */

/* The one for what was written, or NULL. */
static Ahead *
find_ahead(NauthDirectory *directory)
{
	for (Ahead *ahead = directory->ahead; ahead < directory->ahead + AHEAD_MAX; ahead++)
		if (ahead->call && nauth_http_asks(ahead->call, &directory->request))
			return ahead;
	return NULL;
}

static void
free_call(NauthCall **call)
{
	if (*call)
		nauth_http_free(*call);
	*call = NULL;
}

/* Give up those that nobody wants any more, and want none. */
static void
free_unwanted(NauthDirectory *directory)
{
	for (Ahead *ahead = directory->ahead; ahead < directory->ahead + AHEAD_MAX; ahead++)
	{
		if (!ahead->wanted)
			free_call(&ahead->call);
		ahead->wanted = false;
	}
}

/* What was written will be asked for soon.  True if it was begun just now. */
static bool
begin_ahead(NauthDirectory *directory)
{
	int64		start = nauth_clock();
	Ahead	   *ahead = find_ahead(directory);
	bool		known = ahead != NULL;

	for (int i = 0; i < AHEAD_MAX && ahead == NULL; i++)
		if (directory->ahead[i].call == NULL)
			ahead = &directory->ahead[i];
	if (ahead == NULL)
		return false;
	ahead->wanted = true;
	if (!known)
		ahead->call = nauth_http_begin(directory->http, &directory->request);
	directory->budget -= nauth_clock() - start;
	return !known;
}

/*
 * Wait for the reply to what was written, which is on its way.  The reply before
 * it is done with.
 */
static bool
end_ahead(NauthDirectory *directory, Ahead *ahead, int64 deadline, NauthReply *reply)
{
	free_call(&directory->current);
	directory->current = ahead->call;
	ahead->call = NULL;
	return nauth_http_end(directory->current, deadline, reply, &directory->error);
}

/*
 * Why a listing cannot go on to its next page, or NULL.  A cursor that was there
 * before means that the listing goes in circles.  To find circles of any length
 * one earlier cursor is enough, if it is taken anew after twice as many pages
 * each time (Brent's way).
 */
static const char *
find_obstacle(const Position *position)
{
	const char *next = position->next;

	if (next[0] == '\0')
		return "users that were changed at the same time fill a page";
	if (strcmp(next, position->cursor) == 0 || strcmp(next, position->landmark) == 0)
		return "the provider repeated a cursor";
	if (position->pages >= NAUTH_DIRECTORY_PAGES)
		return "the listing has too many pages";
	return NULL;
}

/* Write the request for what comes next; false if nothing does. */
static bool
write_next(NauthDirectory *directory)
{
	const Position *position = &directory->position;
	NauthQuery	query = directory->query;
	NauthError	error = {0};
	const char *inner;

	if (position->last || (position->begun && find_obstacle(position)))
		return false;
	(void) nauth_spread_aim(position->begun ? position->next : NULL, &query, &inner, &error);
	write_request(directory, &query, inner);
	return error.kind == NAUTH_OK;
}

void
nauth_directory_start(NauthDirectory *directory)
{
	Ahead	   *ahead;

	if (!write_next(directory))
		return;
	(void) begin_ahead(directory);
	ahead = find_ahead(directory);
	if (ahead)
		ahead->wanted = false;
}

bool
nauth_directory_ready(NauthDirectory *directory)
{
	int64		start = nauth_clock();
	Ahead	   *ahead = write_next(directory) ? find_ahead(directory) : NULL;
	bool		ready = ahead == NULL || nauth_http_done(ahead->call);

	directory->budget -= nauth_clock() - start;
	return ready;
}

int
nauth_directory_descriptor(NauthDirectory *directory)
{
	Ahead	   *ahead = write_next(directory) ? find_ahead(directory) : NULL;

	return ahead ? nauth_http_descriptor(ahead->call) : -1;
}

void
nauth_directory_ahead(NauthDirectory *directory, NauthAhead look_ahead)
{
	directory->look_ahead = look_ahead;
}

/* ---- Requests whose reply is waited for */

/*
 * Send a request to the provider.  True with a reply to be read; else the
 * error is set, and *missing as in accept_reply.
 */
static bool
ask(NauthDirectory *directory, const NauthQuery *query, const char *cursor,
	NauthReply *reply, bool *missing)
{
	int64		start = nauth_clock();
	int64		deadline = start + directory->budget;
	Ahead	   *ahead;
	bool		answered;

	*missing = false;
	memset(&directory->error, 0, sizeof(NauthError));
	write_request(directory, query, cursor);
	ahead = find_ahead(directory);
	if (ahead)
		answered = end_ahead(directory, ahead, deadline, reply);
	else
		answered = nauth_http_get(directory->http, &directory->request,
								  deadline, reply, &directory->error);
	directory->budget -= nauth_clock() - start;
	nauth_read_failure(directory->options->provider, reply, &directory->error);
	return answered && accept_reply(directory, reply, missing);
}

/* ---- Listings */

void
nauth_directory_begin(NauthDirectory *directory, const NauthQuery *query)
{
	free_unwanted(directory);
	directory->query = *query;
	directory->look_ahead = NAUTH_AHEAD_NEVER;
	nauth_spread_begin(&directory->spread, directory->options->settings.page_size);
	memset(&directory->position, 0, sizeof(Position));
}

/* Go on to the cursor of the next page. */
static bool
advance_cursor(NauthDirectory *directory)
{
	Position   *position = &directory->position;
	const char *obstacle;

	if (!position->begun)
		return true;
	obstacle = find_obstacle(position);
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
	if (error->kind != NAUTH_OK || !ask(directory, &query, cursor, &reply, &missing) ||
		!options->provider->read_page(&options->settings, &query, cursor, &reply, page, error))
		return false;

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

/* Whether the pages read have as many users as are wanted. */
static bool
has_enough(const NauthDirectory *directory)
{
	const NauthQuery *query = &directory->query;
	int			page = nauth_read_limit(&directory->options->settings, query, NULL);

	return query->once || (query->limit > 0 && (int64) directory->position.pages * page >= query->limit);
}

/* Whether more than the next page may be asked for, if the listing is large. */
static bool
may_spread(const NauthDirectory *directory)
{
	const NauthProvider *provider = directory->options->provider;
	const NauthQuery *query = &directory->query;

	return directory->look_ahead != NAUTH_AHEAD_NEVER && directory->options->max_concurrency > 1 &&
		provider->counts_windows && provider->by_creation == NAUTH_PAGES_ALL &&
		query->kind == NAUTH_QUERY_LIST && query->order != NAUTH_ORDER_NEWEST &&
		!query->windowed && query->ids == NULL && query->email == NULL && query->limit == 0;
}

/*
 * Find out when the youngest user was created, if that was asked.  A failure is
 * none of the listing, which goes on as before.
 */
static void
read_newest(NauthDirectory *directory)
{
	const NauthOptions *options = directory->options;
	const NauthQuery *query = &newest_user;
	NauthUser	user;
	NauthPage	page = {.users = &user,.capacity = 1};
	NauthReply	reply;
	bool		missing;

	if (!nauth_spread_wants_newest(&directory->spread, directory->position.pages))
		return;
	write_request(directory, query, NULL);
	if (find_ahead(directory) == NULL)
		return;
	directory->spread.pointless = true;
	if (ask(directory, query, NULL, &reply, &missing) &&
		options->provider->read_page(&options->settings, query, NULL, &reply, &page, &directory->error) &&
		page.count == 1 && user.has_created_at)
	{
		directory->spread.newest = user.created_at;
		directory->spread.pointless = false;
	}
}

/* Begin to ask for the page at this cursor. */
static void
want_page(NauthDirectory *directory, const char *cursor)
{
	NauthQuery	query = directory->query;
	NauthError	error;
	const char *inner;
	bool		windowed = nauth_spread_aim(cursor, &query, &inner, &error);

	write_request(directory, &query, inner);
	if (begin_ahead(directory))
		directory->spread.asked += windowed;
}

/* Do not give up what was begun for the page at this cursor. */
static void
keep_ahead(NauthDirectory *directory, const char *cursor)
{
	NauthQuery	query = directory->query;
	NauthError	error;
	const char *inner;
	Ahead	   *ahead;

	(void) nauth_spread_aim(cursor, &query, &inner, &error);
	write_request(directory, &query, inner);
	ahead = find_ahead(directory);
	if (ahead)
		ahead->wanted = true;
}

/* Begin to ask for what comes after the page that was read. */
static void
look_ahead(NauthDirectory *directory)
{
	const Position *position = &directory->position;
	int			most = directory->options->max_concurrency;
	char		cursor[NAUTH_CURSOR_MAX];

	if (directory->look_ahead == NAUTH_AHEAD_NEVER || most == 1 || position->last ||
		has_enough(directory) || find_obstacle(position) ||
		(directory->look_ahead == NAUTH_AHEAD_LATER && position->pages < 2))
		return;
	/* who may stop early has not more on its way than was of use already */
	if (directory->look_ahead == NAUTH_AHEAD_LATER)
		most = Min(most, position->pages);
	want_page(directory, position->next);
	for (int i = 1; i < most && nauth_spread_ahead(&directory->spread, position->next, i, cursor); i++)
		want_page(directory, cursor);
	if (may_spread(directory) && nauth_spread_wants_newest(&directory->spread, position->pages))
	{
		write_request(directory, &newest_user, NULL);
		(void) begin_ahead(directory);
	}
	free_unwanted(directory);
}

bool
nauth_directory_try_next(NauthDirectory *directory, const NauthPage **page)
{
	NauthPage  *read = &directory->page;

	*page = NULL;
	directory->before = directory->position;
	if (directory->position.last)
		return true;
	read_newest(directory);
	do
	{
		if (!advance_cursor(directory) || !read_page(directory))
			return false;
		if (may_spread(directory) && !read->reread)
		{
			nauth_spread_start(&directory->spread, read);
			strlcpy(directory->position.next, read->next, NAUTH_CURSOR_MAX);
		}
		look_ahead(directory);
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
		keep_ahead(directory, next);
	free_unwanted(directory);
}

/* ---- Users and counts */

bool
nauth_directory_try_user(NauthDirectory *directory, const char *id,
						 NauthUser *user, bool *found)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_USER,.id = id};
	NauthReply	reply;
	bool		missing;

	*found = ask(directory, &query, NULL, &reply, &missing) &&
		nauth_read_user(directory->options->provider, id, &reply, user,
						&directory->error);
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

	return ask(directory, query, NULL, &reply, &missing) &&
		directory->options->provider->read_count(&reply, count, &directory->error);
}

int64
nauth_directory_count(NauthDirectory *directory, const NauthQuery *query)
{
	int64_t		count;

	if (!nauth_directory_try_count(directory, query, &count))
		nauth_directory_fail(directory);
	return count;
}
