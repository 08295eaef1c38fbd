/*-------------------------------------------------------------------------
 *
 * clerk.c
 *	  Clerk, by its Backend API.
 *
 * A listing is walked by created_at with a cursor, the id of the user read
 * last: offsets are not a snapshot, and large ones time out at Clerk's.  What
 * has changed can only be listed by offset; see offset.h.  The reply is a bare
 * array, so a page that is not full is the only end mark.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "offset.h"

#include <string.h>

#include "asking.h"
#include "reading.h"


static const char *const own_urls[] = {"https://api.clerk.com", NULL};

/* Have day precision, and do not always come with another updated_at. */
static const char *const volatile_members[] = {"last_active_at", NULL};

/* What Clerk's list of Backend API errors has for requests such as ours. */
static const NauthKnownCode known_codes[] = {
	{"authentication_invalid", NULL},
	{"authorization_header_format_invalid", NULL},
	{"authorization_invalid", NULL},
	{"bad_request", NULL},
	{"clerk_key_invalid", "Set the secret key of this very instance, sk_live_... or sk_test_..., with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (SET api_key '...');"},
	{"could_not_authenticate_request", NULL},
	{"form_param_format_invalid", NULL},
	{"form_param_nil", NULL},
	{"form_param_unknown", NULL},
	{"form_param_value_invalid", NULL},
	{"gateway_timeout", NULL},
	{"internal_clerk_error", "Try again later; Clerk's support finds the request by its id."},
	{"operation_deprecated", "Clerk has given up what this version of neon_auth_fdw asks for: install a later one."},
	{"quota_exceeded", "A quota of this instance is used up at Clerk."},
	{"request_invalid_for_environment", NULL},
	{"request_invalid_for_instance", NULL},
	{"resource_not_found", NULL},
	{NULL, NULL}
};

static void
write_bound(NauthRequest *request, const char *name, int64_t moment, int64_t milliseconds)
{
	if (moment == NAUTH_MOMENT_UNKNOWN)
		nauth_request_parameter(request, name, nauth_request_time);
	else
		nauth_request_number(request, name, milliseconds);
}

/*
 * Clerk does not say whether its bounds are part of the window.  A window may
 * have somebody too many at its edges, never too few.  Nor does it say what it
 * thinks of times before 1970, in which there were no users.
 */
static void
write_window(const NauthQuery *query, NauthRequest *request)
{
	if (!query->windowed)
		return;
	if (query->from > NAUTH_MILLISECOND || query->from == NAUTH_MOMENT_UNKNOWN)
		write_bound(request, "created_at_after", query->from, query->from / NAUTH_MILLISECOND - 1);
	if (query->before < NAUTH_MOMENT_MAX)
		write_bound(request, "created_at_before", query->before, (query->before + NAUTH_MILLISECOND - 1) / NAUTH_MILLISECOND);
}

/*
 * Clerk does not say how it compares addresses.  Those of another case than the
 * one it may have stored are found by asking for both.
 */
static void
write_email(const char *email, NauthRequest *request)
{
	char		lower[NAUTH_EMAIL_MAX + 1];
	size_t		len = strlen(email);

	nauth_request_parameter(request, "email_address", email);
	if (email == nauth_request_email || len > NAUTH_EMAIL_MAX)
		return;
	for (size_t i = 0; i <= len; i++)
		lower[i] = email[i] >= 'A' && email[i] <= 'Z' ? email[i] + ('a' - 'A') : email[i];
	if (strcmp(lower, email) != 0)
		nauth_request_parameter(request, "email_address", lower);
}

static void
write_page_parameters(const NauthSettings *settings, const NauthQuery *query,
					  const char *cursor, NauthRequest *request)
{
	NauthOffset offset;

	nauth_request_number(request, "limit", nauth_ask_limit(settings, query, cursor));
	if (query->kind == NAUTH_QUERY_CHANGES)
	{
		if (!nauth_offset_read(cursor, &offset))
			request->overflow = true;
		nauth_request_number(request, "offset", offset.skip);
		nauth_request_parameter(request, "order_by", "-updated_at");
		return;
	}
	nauth_request_parameter(request, "order_by",
							query->order == NAUTH_ORDER_NEWEST ? "-created_at" : "created_at");
	if (cursor != NULL)
		nauth_request_parameter(request, "starting_after", cursor);
	for (int i = 0; i < query->n_ids; i++)
		nauth_request_parameter(request, "user_id", query->ids[i]);
	if (query->email != NULL)
		write_email(query->email, request);
	write_window(query, request);
}

static void
clerk_write_request(const NauthSettings *settings, const NauthQuery *query,
					const char *cursor, NauthRequest *request)
{
	bool		count = query->kind == NAUTH_QUERY_COUNT;

	nauth_request_begin(request, settings->url, count ? "/v1/users/count" : "/v1/users");
	if (query->kind == NAUTH_QUERY_USER)
		nauth_request_segment(request, query->id);
	else if (count)
		write_window(query, request);
	else
		write_page_parameters(settings, query, cursor, request);
	nauth_ask_bearer(settings, request);
}

/* The cursor of a listing is the id of its last user. */
static bool
go_on(NauthPage *page, NauthError *error)
{
	const char *id = page->users[page->count - 1].id;

	if (id[0] == '\0')
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the last user of a page has no id to continue from");
	memcpy(page->next, id, strlen(id) + 1);
	return true;
}

/* Finish a page of the list by time of change, which has received so many. */
static bool
finish_changes(const NauthQuery *query, const char *cursor, int limit,
			   NauthPage *page, NauthError *error)
{
	bool		full = page->count == limit;
	NauthOffset offset;

	if (!nauth_offset_read(cursor, &offset))
		return nauth_read_no_cursor(error);
	if (!nauth_offset_join(&offset, limit, page, error))
		return false;
	if (page->reread)
		return true;
	page->last = !full;
	return page->last || nauth_offset_go_on(&offset, query, limit, page, error);
}

static bool
clerk_read_page(const NauthSettings *settings, const NauthQuery *query,
				const char *cursor, const NauthReply *reply, NauthPage *page,
				NauthError *error)
{
	int			limit = nauth_ask_limit(settings, query, cursor);

	nauth_read_begin(page);
	if (!nauth_read_users(&nauth_provider_clerk, settings, reply->body, limit, page, error))
		return false;
	if (query->kind == NAUTH_QUERY_CHANGES)
		return finish_changes(query, cursor, limit, page, error);
	page->last = page->count < limit;
	return page->last || go_on(page, error);
}

static bool
clerk_read_count(const NauthReply *reply, int64_t *count, NauthError *error)
{
	static const char *const names[] = {"total_count", NULL};
	NauthSpan	found[1];

	if (nauth_slice_object(reply->body, names, found) == NAUTH_SLICE_OK &&
		nauth_slice_int64(found[0], count) && *count >= 0)
		return true;
	return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
						   "the count of users is no JSON object with a total_count");
}

const NauthProvider nauth_provider_clerk = {
	.name = "clerk",
	.url = "https://api.clerk.com",
	.own_urls = own_urls,
	.takes_key = true,
	.page_size = 500,
	.min_page_size = 1,
	.max_page_size = 500,
	.retry_header = NULL,
	.reserved_id = "count",
	.error_path = "errors.0.code",
	.known_codes = known_codes,
	.id_path = "clerk_trace_id",
	.id_header = "CF-Ray",
	.not_found_status = 404,
	.not_found_code = "resource_not_found",
	.lists_changes = true,
	.counts_windows = true,
	.counts = true,
	.max_ids = 100,
	.never_in_id = "/",			/* even encoded it is another path */
	.odd_ids = "+-",			/* include and exclude */
	.finds_emails = true,
	.by_creation = NAUTH_PAGES_ALL,
	.volatile_members = volatile_members,
	.columns = {
		.id = "id",
		.name = {
			{.kind = NAUTH_RULE_JOIN,.a = "first_name",.b = "last_name"},
			{.kind = NAUTH_RULE_MEMBER,.a = "username"}
		},
		.email = {
			{
				.kind = NAUTH_RULE_PICK,.a = "email_addresses",.b = "id",
				.c = "primary_email_address_id",.d = "email_address"
			}
		},
		.created_at = {"created_at", NAUTH_MOMENT_MILLISECONDS},
		.updated_at = {"updated_at", NAUTH_MOMENT_MILLISECONDS}
	},
	.write_request = clerk_write_request,
	.read_page = clerk_read_page,
	.read_count = clerk_read_count
};
