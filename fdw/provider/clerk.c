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

#define MILLISECOND		INT64_C(1000)

/* Have day precision, and do not always come with another updated_at. */
static const char *const volatile_members[] = {"last_active_at", NULL};

/*
 * Clerk does not say whether its bounds are part of the window.  A window may
 * have somebody too many at its edges, never too few.
 */
static void
write_window(const NauthQuery *query, NauthRequest *request)
{
	if (!query->windowed)
		return;
	if (query->from > NAUTH_MOMENT_MIN)
		nauth_request_number(request, "created_at_after", query->from / MILLISECOND - 1);
	if (query->before < NAUTH_MOMENT_MAX)
		nauth_request_number(request, "created_at_before", (query->before + MILLISECOND - 1) / MILLISECOND);
}

static void
write_page_parameters(const NauthSettings *settings, const NauthQuery *query,
					  const char *cursor, NauthRequest *request)
{
	NauthOffset offset;

	nauth_request_number(request, "limit", nauth_read_limit(settings, query, cursor));
	if (query->kind == NAUTH_QUERY_CHANGES)
	{
		if (!nauth_offset_read(cursor, &offset))
			request->overflow = true;
		nauth_request_number(request, "offset", offset.skip);
		nauth_request_parameter(request, "order_by", "-updated_at");
		return;
	}
	nauth_request_parameter(request, "order_by", query->newest ? "-created_at" : "created_at");
	if (cursor != NULL)
		nauth_request_parameter(request, "starting_after", cursor);
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
	nauth_request_header(request, "Authorization", "Bearer ", settings->api_key);
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
		return nauth_error_set(error, NAUTH_ERROR_REQUEST,
							   "the cursor of the listing is damaged");
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
	int			limit = nauth_read_limit(settings, query, cursor);

	nauth_read_begin(page);
	if (!nauth_read_users(&nauth_provider_clerk, reply->body, page, error))
		return false;
	if (page->count > limit)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page has more users than were asked for");
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
	.page_size = 500,
	.min_page_size = 1,
	.max_page_size = 500,
	.retry_header = NULL,
	.reserved_id = "count",
	.error_path = "errors.0.code",
	.not_found_status = 404,
	.not_found_code = "resource_not_found",
	.lists_changes = true,
	.counts_windows = true,
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
