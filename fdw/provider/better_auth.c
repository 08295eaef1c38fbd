/*-------------------------------------------------------------------------
 *
 * better_auth.c
 *	  Better Auth, by its admin plugin.
 *
 * There are only offsets to page with; see offset.h.
 *
 * The server answers an error of its own with 200, no users and a total of 0.
 * Only a true answer repeats the limit it was asked with.
 *
 * By time of creation only the first page is ordered, for the reason that
 * SORT_MEMBER has.
 *
 * Times are never asked for with a filter: the server compares them as text,
 * which some of its databases answer with nobody, and some even with the limit
 * repeated.  To sort by them works everywhere.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "offset.h"

#include "asking.h"
#include "reading.h"

/*
 * Never changes in a user's life, so that nobody moves within a listing, and
 * is nobody else's.  By createdAt, users made at the same moment have no order
 * among them: PostgreSQL then gives some twice and others never.
 */
#define SORT_MEMBER		"id"

static const NauthKnownCode known_codes[] = {
	{"FAILED_TO_GET_SESSION", "Better Auth could not read its sessions: its own log says why."},
	{"USER_NOT_FOUND", NULL},
	{"VALIDATION_ERROR", NULL},
	{"YOU_ARE_NOT_ALLOWED_TO_GET_USER", "Set a session token of a user whose role has the permissions user:list and user:get, such as admin, with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (SET api_key '...');"},
	{"YOU_ARE_NOT_ALLOWED_TO_LIST_USERS", "Set a session token of a user whose role has the permissions user:list and user:get, such as admin, with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (SET api_key '...');"},
	{NULL, NULL}
};

static void
write_order(const NauthQuery *query, NauthRequest *request)
{
	bool		changes = query->kind == NAUTH_QUERY_CHANGES;

	nauth_request_parameter(request, "sortBy", changes ? "updatedAt" :
							query->order != NAUTH_ORDER_OWN ? "createdAt" : SORT_MEMBER);
	nauth_request_parameter(request, "sortDirection",
							changes || query->order == NAUTH_ORDER_NEWEST ? "desc" : "asc");
}

/* An "in" with one value is an error that the server swallows. */
static void
write_filter(const NauthQuery *query, NauthRequest *request)
{
	if (query->ids == NULL && query->email == NULL)
		return;
	nauth_request_parameter(request, "filterField", query->ids ? "id" : "email");
	nauth_request_parameter(request, "filterOperator", query->n_ids > 1 ? "in" : "eq");
	for (int i = 0; i < query->n_ids; i++)
		nauth_request_parameter(request, "filterValue", query->ids[i]);
	if (query->email != NULL)
		nauth_request_parameter(request, "filterValue", query->email);
}

static void
write_page_parameters(const NauthSettings *settings, const NauthQuery *query,
					  const char *cursor, NauthRequest *request)
{
	NauthOffset offset;

	if (!nauth_offset_read(cursor, &offset))
		request->overflow = true;
	nauth_request_number(request, "limit", nauth_ask_limit(settings, query, cursor));
	nauth_request_number(request, "offset", offset.skip);
	write_order(query, request);
	write_filter(query, request);
}

static void
better_auth_write_request(const NauthSettings *settings,
						  const NauthQuery *query, const char *cursor,
						  NauthRequest *request)
{
	bool		single = query->kind == NAUTH_QUERY_USER;

	nauth_request_begin(request, settings->url,
						single ? "/api/auth/admin/get-user" : "/api/auth/admin/list-users");
	if (single)
		nauth_request_parameter(request, "id", query->id);
	else if (query->kind == NAUTH_QUERY_COUNT)
		nauth_request_number(request, "limit", 1);
	else
		write_page_parameters(settings, query, cursor, request);
	nauth_ask_bearer(settings, request);
}

/*
 * Read what is around the users.  Users that nest too deep are found when they
 * are read themselves, so depth and numbers do not matter here.
 */
static bool
read_envelope(const NauthReply *reply, int64_t limit, NauthSpan *users,
			  int64_t *total, NauthError *error)
{
	static const char *const names[] = {"users", "total", "limit", NULL};
	NauthSpan	found[3];
	int64_t		echo;

	if (!nauth_read_envelope(reply->body, names, found, error))
		return false;
	*users = found[0];
	if (nauth_slice_is_null(found[0]) ||
		!nauth_slice_int64(found[1], total) ||
		*total < 0 || *total > NAUTH_OFFSET_MAX)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page has no list of users or no total");
	if (nauth_slice_is_null(found[2]))
		return nauth_error_set(error, NAUTH_ERROR_UNAVAILABLE,
							   "the server answered an error of its own with an empty page");
	if (!nauth_slice_int64(found[2], &echo) || echo != limit)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page was made with another limit than asked for");
	return true;
}

static bool
better_auth_read_page(const NauthSettings *settings, const NauthQuery *query,
					  const char *cursor, const NauthReply *reply,
					  NauthPage *page, NauthError *error)
{
	int			limit = nauth_ask_limit(settings, query, cursor);
	NauthOffset offset;
	NauthSpan	users;
	int			received;

	nauth_read_begin(page);
	if (!nauth_offset_read(cursor, &offset))
		return nauth_read_no_cursor(error);
	if (!read_envelope(reply, limit, &users, &page->total, error) ||
		!nauth_read_users(&nauth_provider_better_auth, settings, users, limit, page, error))
		return false;
	received = page->count;

	if (!nauth_offset_join(&offset, limit, page, error))
		return false;
	if (page->reread)
		return true;
	page->last = offset.skip + received >= page->total;
	if (page->last)
		return true;
	if (received < limit)
		return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
							   "a page ended before the total that it names");
	return nauth_offset_go_on(&offset, query, limit, page, error);
}

static bool
better_auth_read_count(const NauthReply *reply, int64_t *count,
					   NauthError *error)
{
	NauthSpan	users;

	return read_envelope(reply, 1, &users, count, error);
}

const NauthProvider nauth_provider_better_auth = {
	.name = "better_auth",
	.url = NULL,
	.takes_key = true,
	.page_size = 200,
	.min_page_size = 2,
	.max_page_size = 500,
	.retry_header = "X-Retry-After",
	.error_path = "code",
	.known_codes = known_codes,
	.not_found_status = 404,
	.not_found_code = "USER_NOT_FOUND",
	.lists_changes = true,
	.counts = true,
	.max_ids = 100,
	.finds_emails = true,
	.by_creation = NAUTH_PAGES_FIRST,
	.columns = {
		.id = "id",
		.name = {{.kind = NAUTH_RULE_MEMBER,.a = "name"}},
		.email = {{.kind = NAUTH_RULE_MEMBER,.a = "email"}},
		.created_at = {"createdAt", NAUTH_MOMENT_RFC3339},
		.updated_at = {"updatedAt", NAUTH_MOMENT_RFC3339}
	},
	.write_request = better_auth_write_request,
	.read_page = better_auth_read_page,
	.read_count = better_auth_read_count
};
