/*-------------------------------------------------------------------------
 *
 * workos.c
 *	  WorkOS, by its User Management API.
 *
 * All users are listed by time of creation with a cursor, the id of the user read
 * last.  What has changed is not in that list but in the events: users created,
 * updated and deleted, of the last 30 days, oldest first.
 *
 * There is no count.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "workos.h"

#include <string.h>

#include "asking.h"
#include "reading.h"


static const char *const own_urls[] = {
	"https://api.workos.com/user_management", "https://api.workos.com/events", NULL
};

/* A sign-in is no update: it changes neither updated_at nor is it an event. */
static const char *const volatile_members[] = {"last_sign_in_at", NULL};

static const NauthKnownCode known_codes[] = {
	{"entity_not_found", NULL},
	{"invalid_request_parameters", NULL},
	{NULL, NULL}
};

/*
 * Events from a moment on.  WorkOS takes either a beginning or a cursor, and has
 * only what happened after a beginning, not at it.
 *
 * It sends the oldest first whatever it is asked, though its documentation has it
 * otherwise unless that order is named.
 */
static void
write_events(const NauthQuery *query, const char *cursor, NauthRequest *request)
{
	char		from[NAUTH_MOMENT_TEXT];

	nauth_request_parameter(request, "events", "user.created,user.updated,user.deleted");
	nauth_request_parameter(request, "order", "asc");
	if (cursor != NULL)
		nauth_request_parameter(request, "after", cursor);
	else if (query->from == NAUTH_MOMENT_UNKNOWN)
		nauth_request_parameter(request, "range_start", nauth_request_time);
	else
	{
		nauth_moment_write(query->from - NAUTH_MILLISECOND, 3, from);
		nauth_request_parameter(request, "range_start", from);
	}
}

/* Order "normal" would turn the meaning of cursors round. */
static void
write_users(const NauthQuery *query, const char *cursor, NauthRequest *request)
{
	nauth_request_parameter(request, "order",
							query->order == NAUTH_ORDER_NEWEST ? "desc" : "asc");
	if (!nauth_workos_write_place(cursor, request))
		request->overflow = true;
	if (query->email != NULL)
		nauth_request_parameter(request, "email", query->email);
}

/* Without a limit there would be 10 on a page. */
static void
workos_write_request(const NauthSettings *settings, const NauthQuery *query,
					 const char *cursor, NauthRequest *request)
{
	bool		events = query->kind == NAUTH_QUERY_SINCE;

	nauth_request_begin(request, settings->url, events ? "/events" : "/user_management/users");
	if (query->kind == NAUTH_QUERY_USER)
		nauth_request_segment(request, query->id);
	else
	{
		nauth_request_number(request, "limit", nauth_ask_limit(settings, query, cursor));
		if (events)
			write_events(query, cursor, request);
		else
			write_users(query, cursor, request);
	}
	nauth_ask_bearer(settings, request);
}

/*
 * Find the list, and the id to go on after, "" at the end.  At the end of the users
 * WorkOS promises a null; at that of the events there may be nothing at all.
 */
static bool
read_envelope(const NauthQuery *query, const NauthReply *reply, NauthSpan *list,
			  char after[NAUTH_ID_MAX + 1], NauthError *error)
{
	static const char *const names[] = {"data", "list_metadata", NULL};
	static const char *const end_names[] = {"after", NULL};
	NauthSpan	found[2];
	NauthSpan	end[1];

	if (!nauth_read_envelope(reply->body, names, found, error))
		return false;
	if (nauth_slice_is_null(found[0]) ||
		nauth_slice_object(found[1], end_names, end) != NAUTH_SLICE_OK ||
		(end[0].data == NULL && query->kind != NAUTH_QUERY_SINCE))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page has no list, or does not tell whether it is the last");
	*list = found[0];
	after[0] = '\0';
	if (nauth_slice_is_null(end[0]))
		return true;
	if (!nauth_slice_text(end[0], after, NAUTH_ID_MAX + 1) || after[0] == '\0')
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "where the id to go on after should be is no id");
	return true;
}

static bool
workos_read_page(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
				 const NauthReply *reply, NauthPage *page, NauthError *error)
{
	char		after[NAUTH_ID_MAX + 1];
	NauthSpan	list;

	nauth_read_begin(page);
	if (!read_envelope(query, reply, &list, after, error))
		return false;
	if (query->kind != NAUTH_QUERY_SINCE)
		return nauth_workos_read_users(settings, query, cursor, list, after, page, error);
	if (!nauth_workos_read_events(settings, query, cursor, list, page, error))
		return false;
	page->last = after[0] == '\0';
	strcpy(page->next, after);
	return true;
}

/*
 * WorkOS documents a 404 for a user who does not exist, but of its body only a
 * message.  It sends a code with it, and so does it where something else was not
 * found; a 404 without that very code proves nothing.
 */
const NauthProvider nauth_provider_workos = {
	.name = "workos",
	.url = "https://api.workos.com",
	.own_urls = own_urls,
	.takes_key = true,
	.page_size = 100,
	.min_page_size = 1,
	.max_page_size = 100,
	.error_path = "code",
	.known_codes = known_codes,
	.reserved_id = "external_id",	/* users by another id are below it */
	.not_found_status = 404,
	.not_found_code = "entity_not_found",
	.lists_since = true,
	.since_days = 30,
	.tells_gone = true,
	.never_in_id = "/",			/* even encoded it may be another path */
	.finds_emails = true,
	.by_creation = NAUTH_PAGES_ALL,
	.volatile_members = volatile_members,
	.columns = {
		.id = "id",
		.name = {
			{.kind = NAUTH_RULE_MEMBER,.a = "name"},
			{.kind = NAUTH_RULE_JOIN,.a = "first_name",.b = "last_name"}
		},
		.email = {{.kind = NAUTH_RULE_MEMBER,.a = "email"}},
		.created_at = {"created_at", NAUTH_MOMENT_RFC3339},
		.updated_at = {"updated_at", NAUTH_MOMENT_RFC3339}
	},
	.write_request = workos_write_request,
	.read_page = workos_read_page
};
