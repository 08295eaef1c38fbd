/*-------------------------------------------------------------------------
 *
 * auth0.c
 *	  Auth0, by its Management API v2.
 *
 * Users are listed by its search, which shows the first 1000 of a query; see
 * auth0.h.  A search says how many users it finds, and a page is the last
 * one if it is not full and reaches that number.
 *
 * The index of the search is some seconds late: it may still have who was deleted,
 * and not yet have who was created.  Single users are looked up without it.
 *
 * The first page of a listing has no bound.  A search that asks for any time of
 * creation would be one for its existence, which Auth0 advises against, and would
 * leave out users without one.  They come last; where they do not fit on the page,
 * the listing fails.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "auth0.h"

#include <stdio.h>
#include <string.h>

#include "asking.h"
#include "offset.h"
#include "reading.h"

/* The public regions.  A domain of one's own is to be allowed by a superuser. */
static const char *const own_urls[] = {
	"https://*.auth0.com/api/v2", "https://*.auth0.com/oauth/token",
	"https://*.us.auth0.com/api/v2", "https://*.us.auth0.com/oauth/token",
	"https://*.eu.auth0.com/api/v2", "https://*.eu.auth0.com/oauth/token",
	"https://*.au.auth0.com/api/v2", "https://*.au.auth0.com/oauth/token",
	"https://*.jp.auth0.com/api/v2", "https://*.jp.auth0.com/oauth/token",
	"https://*.ca.auth0.com/api/v2", "https://*.ca.auth0.com/oauth/token",
	"https://*.uk.auth0.com/api/v2", "https://*.uk.auth0.com/oauth/token",
	NULL
};

/* Shown to who has read:user_idp_tokens. */
static const char *const secret_paths[] = {
	"identities.access_token", "identities.access_token_secret",
	"identities.refresh_token", NULL
};

/* Differ after each login. */
static const char *const volatile_members[] = {
	"last_ip", "last_login", "logins_count", NULL
};

static const NauthKnownCode known_codes[] = {
	{"inexistent_user", NULL},
	{"insufficient_scope", "In the Auth0 Dashboard, under Applications, APIs, Auth0 Management API, authorize the application with permission read:users."},
	{"invalid_paging", NULL},
	{"invalid_query_string", NULL},
	{"invalid_token", "A management token may have ended: set another one with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (SET api_key '...'); For client_id and client_secret in its place new ones are got."},
	{"invalid_uri", NULL},
	{"too_many_requests", NULL},
	{NULL, NULL}
};

/* ---- Requests */

/* Which users of a search: so many, the page counted from 0. */
static void
write_page(int size, int page, NauthRequest *request)
{
	nauth_request_number(request, "per_page", size);
	nauth_request_number(request, "page", page);
	nauth_request_parameter(request, "include_totals", "true");
	nauth_request_parameter(request, "search_engine", "v3");
}

static void
write_listing(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
			  NauthRequest *request)
{
	int			limit = nauth_ask_limit(settings, query, cursor);
	NauthKeyset keyset;

	if (!nauth_keyset_read(cursor, limit, &keyset))
		request->overflow = true;
	write_page(limit - keyset.page, keyset.page, request);
	nauth_request_parameter(request, "sort", query->kind == NAUTH_QUERY_CHANGES ? "updated_at:-1" :
							nauth_keyset_descends(query) ? "created_at:-1" : "created_at:1");
	nauth_auth0_write_search(query, &keyset, request);
}

static void
auth0_write_request(const NauthSettings *settings, const NauthQuery *query,
					const char *cursor, NauthRequest *request)
{
	static const NauthKeyset beginning = {0};

	nauth_request_begin(request, settings->url, "/api/v2/users");
	if (query->kind == NAUTH_QUERY_USER)
		nauth_request_segment(request, query->id);
	else if (query->kind == NAUTH_QUERY_COUNT)
	{
		write_page(1, 0, request);
		nauth_auth0_write_search(query, &beginning, request);
	}
	else
		write_listing(settings, query, cursor, request);
	nauth_ask_bearer(settings, request);
}

/* The audience of Auth0's own API is its address at Auth0's own domain. */
static void
auth0_write_token(const NauthSettings *settings, NauthRequest *request)
{
	const char *audience = settings->more[NAUTH_SETTING_AUDIENCE];
	char		own[NAUTH_URL_MAX];

	if (audience == NULL)
	{
		snprintf(own, sizeof(own), "%s/api/v2/", settings->url);
		audience = own;
	}
	nauth_request_begin(request, settings->url, "/oauth/token");
	nauth_ask_client(settings, request);
	nauth_request_form(request, "audience", audience);
}

/* ---- Replies */

/* A member of the page that is a number of users. */
static bool
read_number(NauthSpan value, int64_t *number)
{
	return nauth_slice_int64(value, number) && *number >= 0 && *number <= NAUTH_OFFSET_MAX;
}

/*
 * Read the users of a page that was asked for with this size and number.  Users that
 * nest too deep are found when they are read themselves.
 */
static bool
read_users(const NauthSettings *settings, const NauthReply *reply, int size, int number,
		   NauthPage *page, int64_t *total, NauthError *error)
{
	static const char *const names[] = {"users", "start", "limit", "length", "total", NULL};
	NauthSpan	found[5];
	int64_t		start;
	int64_t		limit;
	int64_t		length;

	if (!nauth_read_envelope(reply->body, names, found, error))
		return false;
	if (!read_number(found[1], &start) || !read_number(found[2], &limit) ||
		!read_number(found[3], &length) || !read_number(found[4], total))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page does not tell its start, limit, length and total");
	if (start != (int64_t) number * size || limit != size)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page is another one than was asked for");
	if (nauth_slice_is_null(found[0]))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the page has no list of users");
	if (!nauth_read_users(&nauth_provider_auth0, settings, found[0], size, page, error))
		return false;
	if (page->count != length)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page has another number of users than it says");
	return true;
}

static bool
auth0_read_page(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
				const NauthReply *reply, NauthPage *page, NauthError *error)
{
	int			limit = nauth_ask_limit(settings, query, cursor);
	NauthKeyset keyset;
	int64_t		total;
	int			size;

	nauth_read_begin(page);
	if (!nauth_keyset_read(cursor, limit, &keyset))
		return nauth_read_no_cursor(error);
	size = limit - keyset.page;
	if (!read_users(settings, reply, size, keyset.page, page, &total, error))
		return false;

	/* there are more users than asked for by id only if they were not minded */
	if (query->ids != NULL && page->count > query->n_ids)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page has more users than were asked for");
	if (page->count < size && (int64_t) keyset.page * size + page->count < total)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "a page ended before the total that it names");
	page->last = page->count < size;
	if (cursor == NULL && query->ids == NULL && query->email == NULL && !query->windowed)
		page->total = total;
	return nauth_keyset_finish(settings, query, &keyset, limit, page, error);
}

/* The total of a page of one user. */
static bool
auth0_read_count(const NauthReply *reply, int64_t *count, NauthError *error)
{
	static const NauthSettings none = {0};
	NauthUser	user;
	NauthPage	page = {.users = &user,.capacity = 1};

	return read_users(&none, reply, 1, 0, &page, count, error) &&
		(page.count == (*count > 0) ||
		 nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
						 "the page has another number of users than it says"));
}

/* All have the connection's kind before this character, and are refused without. */
static bool
is_id(const char *id)
{
	return strchr(id, '|') != NULL;
}

const NauthProvider nauth_provider_auth0 = {
	.name = "auth0",
	.url = NULL,
	.own_urls = own_urls,
	.url_hint = "Set the address of your tenant without a path: ALTER SERVER %s OPTIONS (SET url 'https://TENANT.eu.auth0.com'); " NAUTH_OTHER_URL_HINT,
	.takes_key = true,
	.takes_client = true,
	.takes = NAUTH_TAKES(NAUTH_SETTING_AUDIENCE),
	.page_size = 100,
	.min_page_size = 10,		/* lets 29 users of one time be read */
	.max_page_size = 100,
	.retry_header = "X-RateLimit-Reset",
	.error_path = "errorCode",
	.known_codes = known_codes,
	.id_header = "X-Auth0-RequestId",
	.not_found_status = 404,
	.not_found_code = "inexistent_user",
	.lists_changes = true,
	.counts_windows = true,
	.counts = true,
	.max_ids = 50,
	.is_id = is_id,
	.finds_emails = true,
	.by_creation = NAUTH_PAGES_ALL,
	.secret_paths = secret_paths,
	.volatile_members = volatile_members,
	.columns = {
		.id = "user_id",
		.name = {
			{.kind = NAUTH_RULE_MEMBER,.a = "name"},
			{.kind = NAUTH_RULE_JOIN,.a = "given_name",.b = "family_name"},
			{.kind = NAUTH_RULE_MEMBER,.a = "nickname"}
		},
		.email = {{.kind = NAUTH_RULE_MEMBER,.a = "email"}},
		.created_at = {"created_at", NAUTH_MOMENT_RFC3339},
		.updated_at = {"updated_at", NAUTH_MOMENT_RFC3339}
	},
	.write_request = auth0_write_request,
	.read_page = auth0_read_page,
	.read_count = auth0_read_count,
	.write_token = auth0_write_token
};
