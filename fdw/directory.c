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

#include "directory.h"
#include "report.h"
#include "wait.h"

struct NauthDirectory
{
	const NauthOptions *options;
	NauthHttp  *http;
	int64		budget;			/* microseconds of waiting that are left */
	NauthRequest request;		/* too large for the stack */
	NauthError	error;

	/* the listing */
	NauthPage	page;
	bool		begun;
	char		cursor[NAUTH_CURSOR_MAX];	/* the page was asked for with it */
	char		landmark[NAUTH_CURSOR_MAX]; /* an earlier cursor */
	int			pages;			/* asked for, with those read again */
};

NauthDirectory *
nauth_directory_open(const NauthOptions *options, int budget)
{
	NauthDirectory *directory = palloc0(sizeof(NauthDirectory));
	NauthHttpOptions http = {
		.allowed_url = options->provider->url,
		.retry_header = options->provider->retry_header,
		.connection = options->connection,
		.connect_timeout = options->connect_timeout,
		.request_timeout = options->request_timeout,
	};

	directory->options = options;
	directory->budget = (int64) budget * 1000;
	directory->http = nauth_http_open(&http);
	directory->page.capacity = options->settings.page_size;
	directory->page.users = palloc0(sizeof(NauthUser) * directory->page.capacity);
	return directory;
}

const NauthHttpStats *
nauth_directory_stats(const NauthDirectory *directory)
{
	return nauth_http_stats(directory->http);
}

static _Noreturn void
fail(NauthDirectory *directory)
{
	nauth_report(&directory->error, directory->options->server);
}

static _Noreturn void
fail_with(NauthDirectory *directory, NauthErrorKind kind, const char *reason)
{
	nauth_error_set(&directory->error, kind, reason);
	fail(directory);
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
	*missing = nauth_read_is_not_found(directory->options->provider, reply, error);
	error->status = reply->status;
	return nauth_error_set(error, status_error(reply->status), NULL);
}

/*
 * Send a request to the provider.  True with a reply to be read; else the
 * error is set, and *missing as in accept_reply.
 */
static bool
ask(NauthDirectory *directory, const NauthQuery *query, const char *cursor,
	NauthReply *reply, bool *missing)
{
	const NauthOptions *options = directory->options;
	int64		start = nauth_clock();
	bool		answered;

	*missing = false;
	memset(&directory->error, 0, sizeof(NauthError));
	options->provider->write_request(&options->settings, query, cursor,
									 &directory->request);
	answered = nauth_http_get(directory->http, &directory->request,
							  start + directory->budget, reply, &directory->error);
	directory->budget -= nauth_clock() - start;
	return answered && accept_reply(directory, reply, missing);
}

void
nauth_directory_list(NauthDirectory *directory)
{
	directory->begun = false;
	directory->cursor[0] = '\0';
	directory->landmark[0] = '\0';
	directory->page.last = false;
	directory->pages = 0;
}

/*
 * Go on to the cursor that the page named.  A cursor that was there before
 * means that the listing goes in circles.  To find circles of any length one
 * earlier cursor is enough, if it is taken anew after twice as many pages each
 * time (Brent's way).
 */
static void
advance_cursor(NauthDirectory *directory)
{
	const char *next = directory->page.next;

	if (strcmp(next, directory->cursor) == 0 || strcmp(next, directory->landmark) == 0)
		fail_with(directory, NAUTH_ERROR_INCOMPLETE, "the provider repeated a cursor");
	if (directory->pages >= NAUTH_DIRECTORY_PAGES)
		fail_with(directory, NAUTH_ERROR_INCOMPLETE, "the listing has too many pages");
	if ((directory->pages & (directory->pages - 1)) == 0)
		strlcpy(directory->landmark, next, NAUTH_CURSOR_MAX);
	strlcpy(directory->cursor, next, NAUTH_CURSOR_MAX);
}

/* Ask for the page at the cursor and read it. */
static void
read_page(NauthDirectory *directory)
{
	const NauthOptions *options = directory->options;
	NauthPage  *page = &directory->page;
	const char *cursor = directory->begun ? directory->cursor : NULL;
	NauthQuery	query = {.kind = NAUTH_QUERY_LIST};
	NauthReply	reply;
	bool		missing;

	if (!ask(directory, &query, cursor, &reply, &missing) ||
		!options->provider->read_page(&options->settings, cursor, &reply, page,
									  &directory->error))
		fail(directory);
	directory->begun = true;
	directory->pages++;
	if (page->count == 0 && !page->last && !page->reread)
		fail_with(directory, NAUTH_ERROR_INCOMPLETE, "a page before the end has no users");
}

const NauthPage *
nauth_directory_next(NauthDirectory *directory)
{
	if (directory->page.last)
		return NULL;
	do
	{
		if (directory->begun)
			advance_cursor(directory);
		read_page(directory);
	} while (directory->page.reread);
	return &directory->page;
}

bool
nauth_directory_user(NauthDirectory *directory, const char *id, NauthUser *user)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_USER,.id = id};
	NauthReply	reply;
	bool		missing;

	if (ask(directory, &query, NULL, &reply, &missing) &&
		nauth_read_user(directory->options->provider, id, &reply, user,
						&directory->error))
		return true;
	if (!missing)
		fail(directory);
	return false;
}

static bool
count_users(NauthDirectory *directory, int64_t *count)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_COUNT};
	NauthReply	reply;
	bool		missing;

	return ask(directory, &query, NULL, &reply, &missing) &&
		directory->options->provider->read_count(&reply, count, &directory->error);
}

int64
nauth_directory_count(NauthDirectory *directory)
{
	int64_t		count;

	if (!count_users(directory, &count))
		fail(directory);
	return count;
}

bool
nauth_directory_check(NauthDirectory *directory, NauthError *error)
{
	int64_t		count;

	if (count_users(directory, &count))
		return true;
	*error = directory->error;
	return false;
}
