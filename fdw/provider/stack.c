/*-------------------------------------------------------------------------
 *
 * stack.c
 *	  Stack Auth, which is named Hexclave since 2026.
 *
 * A listing is walked by time of sign-up; see stack.h for what is odd about
 * its cursors.  It has to ask for anonymous users, which includes restricted
 * ones: else whom an administrator restricts would leave it, and seem to be
 * deleted.
 *
 * No member tells when a user was changed, and the API has no count.
 *
 * X-Stack-Override-Error-Status is never sent: with it each error would come with
 * status 200.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "stack.h"

#include <string.h>
#include <strings.h>

#include "asking.h"
#include "reading.h"

/* The names of headers before and after the renaming. */
typedef struct StackHeaders
{
	const char *prefix;			/* as option header_prefix has it */
	const char *access_type;
	const char *project_id;
	const char *secret_key;
} StackHeaders;

static const StackHeaders stack = {
	"X-Stack", "X-Stack-Access-Type", "X-Stack-Project-Id", "X-Stack-Secret-Server-Key"
};
static const StackHeaders hexclave = {
	"X-Hexclave", "X-Hexclave-Access-Type", "X-Hexclave-Project-Id", "X-Hexclave-Secret-Server-Key"
};

static const char *const prefixes[] = {"X-Stack", "X-Hexclave", NULL};

static const char *const own_urls[] = {
	"https://api.stack-auth.com/api/v1", "https://api.hexclave.com/api/v1", NULL
};

/* Changes whenever the user does anything at all. */
static const char *const volatile_members[] = {"last_active_at_millis", NULL};

/* What Stack Auth's list of known errors has for requests such as ours. */
static const NauthKnownCode known_codes[] = {
	{"ACCESS_TYPE_REQUIRED", NULL},
	{"ACCESS_TYPE_WITHOUT_PROJECT_ID", NULL},
	{"CURRENT_PROJECT_NOT_FOUND", "Set the id of the project that the key is of with: ALTER SERVER %s OPTIONS (SET project_id '...');"},
	{"INSUFFICIENT_ACCESS_TYPE", NULL},
	{"INVALID_SECRET_SERVER_KEY", "Set a secret server key, ssk_..., of the project that option project_id names, with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (SET api_key '...');"},
	{"PROJECT_KEY_WITHOUT_ACCESS_TYPE", NULL},
	{"SCHEMA_ERROR", "If option page_size is more than this server takes, lower it with: ALTER SERVER %s OPTIONS (SET page_size '100');"},
	{"USER_NOT_FOUND", NULL},
	{NULL, NULL}
};

static bool
is_hexclave(const char *url)
{
	static const char domain[] = ".hexclave.com";
	const size_t len = sizeof(domain) - 1;
	const char *host = strstr(url, "://");
	size_t		host_len;

	host = host != NULL ? host + 3 : url;
	host_len = strcspn(host, ":/?#");
	return host_len > len && strncasecmp(host + host_len - len, domain, len) == 0;
}

/* The family of headers to use; NULL where the option names none. */
static const StackHeaders *
choose_family(const NauthSettings *settings)
{
	const char *prefix = settings->more[NAUTH_SETTING_HEADER_PREFIX];

	if (prefix == NULL)
		return is_hexclave(settings->url) ? &hexclave : &stack;
	if (strcasecmp(prefix, stack.prefix) == 0)
		return &stack;
	return strcasecmp(prefix, hexclave.prefix) == 0 ? &hexclave : NULL;
}

/* The key goes under no name that is not one of these, not even by mistake. */
static void
write_headers(const NauthSettings *settings, NauthRequest *request)
{
	const StackHeaders *family = choose_family(settings);
	const char *project_id = settings->more[NAUTH_SETTING_PROJECT_ID];

	if (family == NULL || project_id == NULL)
	{
		request->overflow = true;
		return;
	}
	nauth_request_header(request, family->access_type, "", "server");
	nauth_request_header(request, family->project_id, "", project_id);
	nauth_request_header(request, family->secret_key, "", settings->api_key);
}

/*
 * The query is looked for anywhere in names and addresses, which finds too many,
 * but nobody too few.  A backslash would mean something else in such a pattern.
 */
static void
write_email(const char *email, NauthRequest *request)
{
	if (strchr(email, '\\') == NULL)
		nauth_request_parameter(request, "query", email);
}

static void
write_page_parameters(const NauthSettings *settings, const NauthQuery *query, const char *text,
					  NauthRequest *request)
{
	NauthStackCursor cursor;

	if (!nauth_stack_cursor_read(text, &cursor))
		request->overflow = true;
	nauth_request_number(request, "limit", nauth_ask_limit(settings, query, text));
	if (cursor.asked[0] != '\0')
		nauth_request_parameter(request, "cursor", cursor.asked);
	nauth_request_parameter(request, "order_by", "signed_up_at");
	nauth_request_parameter(request, "desc", query->order == NAUTH_ORDER_NEWEST ? "true" : "false");
	nauth_request_parameter(request, "include_anonymous", "true");
	if (query->email != NULL)
		write_email(query->email, request);
}

static void
stack_write_request(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
					NauthRequest *request)
{
	nauth_request_begin(request, settings->url, "/api/v1/users");
	if (query->kind == NAUTH_QUERY_USER)
		nauth_request_segment(request, query->id);
	else
		write_page_parameters(settings, query, cursor, request);
	write_headers(settings, request);
}

/* Read the cursor of the next page, "" where there is none. */
static bool
read_next(NauthSpan pagination, char next[NAUTH_STACK_ID], NauthError *error)
{
	static const char *const names[] = {"next_cursor", NULL};
	NauthSpan	found[1];

	next[0] = '\0';
	if (nauth_slice_object(pagination, names, found) != NAUTH_SLICE_OK || found[0].data == NULL)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page does not say whether there is a next one");
	if (nauth_slice_is_null(found[0]) ||
		(nauth_slice_text(found[0], next, NAUTH_STACK_ID) && nauth_ask_is_uuid(next)))
		return true;
	return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the cursor of the next page is no UUID");
}

/*
 * Read what is around the users.  Users that nest too deep are found when they
 * are read themselves, so depth and numbers do not matter here.
 */
static bool
read_envelope(const NauthReply *reply, NauthSpan *items, char next[NAUTH_STACK_ID],
			  NauthError *error)
{
	static const char *const names[] = {"items", "is_paginated", "pagination", NULL};
	NauthSpan	found[3];

	if (!nauth_read_envelope(reply->body, names, found, error))
		return false;
	*items = found[0];
	if (nauth_slice_is_null(found[0]) || found[1].len != 4 || memcmp(found[1].data, "true", 4) != 0)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the reply is no page of a list of users");
	return read_next(found[2], next, error);
}

static bool
stack_read_page(const NauthSettings *settings, const NauthQuery *query, const char *text,
				const NauthReply *reply, NauthPage *page, NauthError *error)
{
	NauthStackCursor cursor;
	char		next[NAUTH_STACK_ID];
	NauthSpan	items;

	nauth_read_begin(page);
	if (!nauth_stack_cursor_read(text, &cursor))
		return nauth_read_no_cursor(error);
	if (!read_envelope(reply, &items, next, error) ||
		!nauth_read_users(&nauth_provider_stack, settings, items, nauth_ask_limit(settings, query, text), page, error))
		return false;
	if (page->count == 0 && next[0] != '\0')
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "a page without users names a next one");
	if (!nauth_stack_cursor_join(&cursor, page, error))
		return false;
	if (page->reread)
		return true;
	page->last = next[0] == '\0';
	return page->last || nauth_stack_cursor_go_on(&cursor, next, page, error);
}

const NauthProvider nauth_provider_stack = {
	.name = "stack",
	.url = "https://api.stack-auth.com",
	.own_urls = own_urls,
	.takes_key = true,
	.takes = NAUTH_TAKES(NAUTH_SETTING_PROJECT_ID) | NAUTH_TAKES(NAUTH_SETTING_HEADER_PREFIX),
	.needs = NAUTH_TAKES(NAUTH_SETTING_PROJECT_ID),
	.choices = {[NAUTH_SETTING_HEADER_PREFIX] = prefixes},
	.page_size = 100,
	.min_page_size = 1,

	/*
	 * Newer servers refuse more than a number of theirs, which is not
	 * published.  A page shorter than asked for is no end here.
	 */
	.max_page_size = 1000,
	.error_path = "code",
	.known_codes = known_codes,
	.not_found_status = 404,
	.not_found_code = "USER_NOT_FOUND",
	.is_id = nauth_ask_is_uuid, /* not "me", nor what would be refused */
	.finds_emails = true,
	.by_creation = NAUTH_PAGES_ALL,
	.volatile_members = volatile_members,
	.columns = {
		.id = "id",
		.name = {{.kind = NAUTH_RULE_MEMBER,.a = "display_name"}},
		.email = {{.kind = NAUTH_RULE_MEMBER,.a = "primary_email"}},
		.created_at = {"signed_up_at_millis", NAUTH_MOMENT_MILLISECONDS}
	},
	.write_request = stack_write_request,
	.read_page = stack_read_page
};
