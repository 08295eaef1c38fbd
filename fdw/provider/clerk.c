/*-------------------------------------------------------------------------
 *
 * clerk.c
 *	  Clerk, by its Backend API.
 *
 * A listing is walked by created_at with a cursor, the id of the user read
 * last: offsets are not a snapshot, and large ones time out at Clerk's.  The
 * reply is a bare array, so a page that is not full is the only end mark.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "provider.h"

#include <string.h>

#include "../json.h"

static void
clerk_write_request(const NauthSettings *settings, const NauthQuery *query,
					const char *cursor, NauthRequest *request)
{
	static const char *const paths[] = {
		[NAUTH_QUERY_LIST] = "/v1/users",
		[NAUTH_QUERY_USER] = "/v1/users",
		[NAUTH_QUERY_COUNT] = "/v1/users/count"
	};

	nauth_request_begin(request, settings->url, paths[query->kind]);
	if (query->kind == NAUTH_QUERY_USER)
		nauth_request_segment(request, query->id);
	if (query->kind == NAUTH_QUERY_LIST)
	{
		nauth_request_number(request, "limit", settings->page_size);
		nauth_request_parameter(request, "order_by", "created_at");
		if (cursor != NULL)
			nauth_request_parameter(request, "starting_after", cursor);
	}
	nauth_request_header(request, "Authorization", "Bearer ", settings->api_key);
}

static bool
clerk_read_page(const NauthSettings *settings, const char *cursor,
				const NauthReply *reply, NauthPage *page, NauthError *error)
{
	const char *id;

	(void) cursor;
	nauth_read_begin(page);
	if (!nauth_read_users(&nauth_provider_clerk, reply->body, page, error))
		return false;
	if (page->count > settings->page_size)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page has more users than were asked for");

	page->last = page->count < settings->page_size;
	if (page->last)
		return true;
	id = page->users[page->count - 1].id;
	if (id[0] == '\0')
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the last user of a page has no id to continue from");
	memcpy(page->next, id, strlen(id) + 1);
	return true;
}

static bool
clerk_read_count(const NauthReply *reply, int64_t *count, NauthError *error)
{
	if (nauth_json_int64(reply->body, "total_count", count) && *count >= 0)
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
