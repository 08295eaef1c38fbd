/*-------------------------------------------------------------------------
 *
 * ahead.c
 *	  Requests that are sent before anybody waits for them.
 *
 * They are matched by their bytes: whoever asks for the same gets the reply, or its
 * failure is forgotten.  So there is nothing to keep in step with where a listing
 * is, and what is not wanted any more is given up.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "directory_state.h"
#include "provider/asking.h"
#include "wait.h"

/* Asks for the user who was created last. */
static const NauthQuery newest_user = {.kind = NAUTH_QUERY_LIST,.order = NAUTH_ORDER_NEWEST,.limit = 1};

Ahead *
nauth_ahead_find(NauthDirectory *directory)
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

void
nauth_ahead_clear(NauthDirectory *directory)
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
	Ahead	   *ahead = nauth_ahead_find(directory);
	bool		known = ahead != NULL;

	for (int i = 0; i < AHEAD_MAX && ahead == NULL; i++)
		if (directory->ahead[i].call == NULL)
			ahead = &directory->ahead[i];
	if (ahead == NULL)
		return false;
	ahead->wanted = true;
	if (!known)
		ahead->call = nauth_http_begin(directory->http, &directory->request, directory->budget);
	directory->budget -= nauth_clock() - start;
	return !known;
}

bool
nauth_ahead_end(NauthDirectory *directory, Ahead *ahead, int64 deadline, NauthReply *reply)
{
	free_call(&directory->current);
	directory->current = ahead->call;
	ahead->call = NULL;
	return nauth_http_end(directory->current, deadline, reply, &directory->error);
}

/*
 * Write the request for the page at this cursor, NULL for the first one.  False if
 * there is none.
 */
static bool
write_page(NauthDirectory *directory, const char *cursor, bool *windowed)
{
	NauthQuery	query = directory->query;
	NauthError	error = {0};
	const char *inner;

	*windowed = nauth_spread_aim(cursor, &query, &inner, &error);
	nauth_directory_write(directory, &query, inner);
	return error.kind == NAUTH_OK;
}

/* Write the request for what comes next; false if nothing does. */
static bool
write_next(NauthDirectory *directory)
{
	const Position *position = &directory->position;
	bool		windowed;

	if (position->last || (position->begun && nauth_directory_obstacle(position)))
		return false;
	return write_page(directory, position->begun ? position->next : NULL, &windowed);
}

/* The one for what comes next, or NULL. */
static Ahead *
find_next(NauthDirectory *directory)
{
	return write_next(directory) ? nauth_ahead_find(directory) : NULL;
}

void
nauth_directory_start(NauthDirectory *directory)
{
	Ahead	   *ahead;

	/* a failure is for who asks in the end */
	if (!nauth_directory_authorize(directory) || !write_next(directory))
		return;
	(void) begin_ahead(directory);
	ahead = nauth_ahead_find(directory);
	if (ahead)
		ahead->wanted = false;
}

bool
nauth_directory_ready(NauthDirectory *directory)
{
	int64		start = nauth_clock();
	Ahead	   *ahead = find_next(directory);
	bool		ready = ahead == NULL || nauth_http_done(ahead->call);

	directory->budget -= nauth_clock() - start;
	return ready;
}

bool
nauth_directory_is_ahead(NauthDirectory *directory)
{
	return find_next(directory) != NULL;
}

int
nauth_directory_descriptor(NauthDirectory *directory)
{
	Ahead	   *ahead = find_next(directory);

	return ahead ? nauth_http_descriptor(ahead->call) : -1;
}

void
nauth_directory_ahead(NauthDirectory *directory, NauthAhead look_ahead)
{
	directory->look_ahead = look_ahead;
}

/* ---- Listings */

/* Whether the pages read have as many users as are wanted. */
static bool
has_enough(const NauthDirectory *directory)
{
	const NauthQuery *query = &directory->query;
	int			page = nauth_ask_limit(&directory->options->settings, query, NULL);

	return query->once || (query->limit > 0 && (int64) directory->position.pages * page >= query->limit);
}

bool
nauth_ahead_may_spread(const NauthDirectory *directory)
{
	const NauthProvider *provider = directory->options->provider;
	const NauthQuery *query = &directory->query;

	return directory->look_ahead != NAUTH_AHEAD_NEVER && directory->options->max_concurrency > 1 &&
		provider->counts_windows && provider->by_creation == NAUTH_PAGES_ALL &&
		query->kind == NAUTH_QUERY_LIST && query->order != NAUTH_ORDER_NEWEST &&
		!query->windowed && query->ids == NULL && query->email == NULL && query->limit == 0;
}

void
nauth_ahead_newest(NauthDirectory *directory)
{
	const NauthOptions *options = directory->options;
	const NauthQuery *query = &newest_user;
	NauthUser	user;
	NauthPage	page = {.users = &user,.capacity = 1};
	NauthReply	reply;
	bool		missing;

	if (!nauth_spread_wants_newest(&directory->spread, directory->position.pages))
		return;
	nauth_directory_write(directory, query, NULL);
	if (nauth_ahead_find(directory) == NULL)
		return;
	directory->spread.pointless = true;
	if (nauth_directory_ask(directory, query, NULL, &reply, &missing) &&
		options->provider->read_page(&directory->settings, query, NULL, &reply, &page, &directory->error) &&
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
	bool		windowed;

	(void) write_page(directory, cursor, &windowed);
	if (begin_ahead(directory))
		directory->spread.asked += windowed;
}

void
nauth_ahead_keep(NauthDirectory *directory, const char *cursor)
{
	Ahead	   *ahead;
	bool		windowed;

	(void) write_page(directory, cursor, &windowed);
	ahead = nauth_ahead_find(directory);
	if (ahead)
		ahead->wanted = true;
}

void
nauth_ahead_look(NauthDirectory *directory)
{
	const Position *position = &directory->position;
	int			most = directory->options->max_concurrency;
	char		cursor[NAUTH_CURSOR_MAX];

	if (directory->look_ahead == NAUTH_AHEAD_NEVER || most == 1 || position->last ||
		has_enough(directory) || nauth_directory_obstacle(position) ||
		(directory->look_ahead == NAUTH_AHEAD_LATER && position->pages < 2))
		return;
	/* who may stop early has not more on its way than was of use already */
	if (directory->look_ahead == NAUTH_AHEAD_LATER)
		most = Min(most, position->pages);
	want_page(directory, position->next);
	for (int i = 1; i < most && nauth_spread_ahead(&directory->spread, position->next, i, cursor); i++)
		want_page(directory, cursor);
	if (nauth_ahead_may_spread(directory) && nauth_spread_wants_newest(&directory->spread, position->pages))
	{
		nauth_directory_write(directory, &newest_user, NULL);
		(void) begin_ahead(directory);
	}
	nauth_ahead_clear(directory);
}
