/*-------------------------------------------------------------------------
 *
 * keycloak.c
 *	  Keycloak, by its Admin REST API.
 *
 * A client of the realm reads it with its service account.  Users have no time of
 * change, so who has changed is found by comparing.  How the realm is listed
 * to its end is told in keycloak_listing.c, what an access token shows in
 * keycloak_token.c.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "keycloak.h"

#include <string.h>

#include "asking.h"
#include "offset.h"

const char	nauth_keycloak_roles_hint[] =
"Give the service account of the client the roles view-users and query-users of realm-management, in Keycloak's console under Clients, the client, Service accounts roles.";

/* An exception of Keycloak has its message where others have a code. */
static const NauthKnownCode known_codes[] = {
	{"HTTP 401 Unauthorized", NULL},
	{"HTTP 403 Forbidden", nauth_keycloak_roles_hint},
	{"Realm not found.", "Set the name of the realm, as addresses have it, with: ALTER SERVER %s OPTIONS (SET realm '...');"},
	{"User not found", NULL},
	{"unknown_error", "Keycloak's own log says why."},
	{NULL, NULL}
};

/* A user's password and the like, should an extension of Keycloak show them. */
static const char *const secret_paths[] = {"credentials", NULL};

/* In the place of an id these ask for something else. */
static bool
is_id(const char *id)
{
	return strcmp(id, "count") != 0 && strcmp(id, "profile") != 0;
}

static void
keycloak_write_request(const NauthSettings *settings, const NauthQuery *query,
					   const char *cursor, NauthRequest *request)
{
	nauth_request_begin(request, settings->url, "/admin/realms");
	nauth_request_segment(request, settings->more[NAUTH_SETTING_REALM]);
	nauth_request_segment(request, "users");
	if (query->kind == NAUTH_QUERY_USER)
		nauth_request_segment(request, query->id);
	else if (query->kind == NAUTH_QUERY_COUNT)
		nauth_request_segment(request, "count");
	else
		nauth_keycloak_write_page(settings, query, cursor, request);
	nauth_ask_bearer(settings, request);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A count is a JSON document that is nothing but a number. */
static bool
keycloak_read_count(const NauthReply *reply, int64_t *count, NauthError *error)
{
	NauthSpan	number = reply->body;

	while (number.len > 0 && is_space(number.data[0]))
	{
		number.data++;
		number.len--;
	}
	while (number.len > 0 && is_space(number.data[number.len - 1]))
		number.len--;
	if (number.len > 0 && nauth_slice_int64(number, count) && *count >= 0 && *count < NAUTH_OFFSET_MAX)
		return true;
	return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the count of users is no number");
}

const NauthProvider nauth_provider_keycloak = {
	.name = "keycloak",
	.url = NULL,
	.takes_client = true,
	.takes = NAUTH_TAKES(NAUTH_SETTING_REALM),
	.needs = NAUTH_TAKES(NAUTH_SETTING_REALM),
	.page_size = 100,
	.min_page_size = 10,
	.max_page_size = 500,
	.error_path = "error",
	.known_codes = known_codes,
	.not_found_status = 404,
	.not_found_code = "User not found",
	.counts = true,
	.is_id = is_id,
	.never_in_id = "/",			/* even encoded it is another path */
	.finds_emails = true,
	.by_creation = NAUTH_PAGES_NONE,
	.secret_paths = secret_paths,
	.columns = {
		.id = "id",
		.name = {
			{.kind = NAUTH_RULE_JOIN,.a = "firstName",.b = "lastName"},
			{.kind = NAUTH_RULE_MEMBER,.a = "username"}
		},
		.email = {{.kind = NAUTH_RULE_MEMBER,.a = "email"}},
		.created_at = {"createdTimestamp", NAUTH_MOMENT_MILLISECONDS}
	},
	.write_request = keycloak_write_request,
	.read_page = nauth_keycloak_read_page,
	.read_count = keycloak_read_count,
	.write_token = nauth_keycloak_write_token,
	.check_token = nauth_keycloak_check_token
};
