/*-------------------------------------------------------------------------
 *
 * okta.c
 *	  Okta, by its Users API.
 *
 * There are two universes: a listing without a filter leaves out users that are
 * deprovisioned, one with a filter has them.  Everything here has a filter, and
 * "changed since 1970" is everybody.
 *
 * A page names the next one in its header Link, by a URL whose cursor is opaque.
 * It is followed as it is, but never to another address: the credential goes
 * with it.  The cursor of a listing is that URL's query.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "link.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "asking.h"
#include "reading.h"

#define USERS		"/api/v1/users"
#define ID_LENGTH	20

/* For tokens, and how long an assertion is good, in seconds: Okta takes an hour. */
#define TOKEN		"/oauth2/v1/token"
#define ASSERTION	300

static const char *const own_urls[] = {
	"https://*.okta.com/api/v1", "https://*.okta.com/oauth2/v1",
	"https://*.oktapreview.com/api/v1", "https://*.oktapreview.com/oauth2/v1",
	"https://*.okta-emea.com/api/v1", "https://*.okta-emea.com/oauth2/v1",
	NULL
};

static const char *const token_types[] = {"SSWS", "Bearer", NULL};

/* Recovery questions, and whatever else Okta may put there one day. */
static const char *const secret_paths[] = {"credentials", NULL};

/*
 * A listing has other links to what can be done with a user than the user alone;
 * to sign in does not always come with another lastUpdated.
 */
static const char *const volatile_members[] = {"_links", "lastLogin", NULL};

#define NEW_TOKEN_HINT \
	"Set an API token that is valid with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (SET api_key '...');" \
	" An OAuth access token needs the server's option token_type 'Bearer'."

static const NauthKnownCode known_codes[] = {
	{"E0000001", NULL},
	{"E0000002", NULL},
	{"E0000004", NEW_TOKEN_HINT},
	{"E0000005", NULL},
	{"E0000006", "Use an API token of an administrator who may read all users, such as a read-only administrator, or an access token with the scope okta.users.read, and set it with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (SET api_key '...');"},
	{"E0000007", NULL},
	{"E0000008", "Set the address of your Okta organization, without a path, with: ALTER SERVER %s OPTIONS (SET url 'https://...');"},
	{"E0000009", "Try again later; Okta's support finds the request by its id."},
	{"E0000010", "Okta is being maintained: try again later."},
	{"E0000011", NEW_TOKEN_HINT},
	{"E0000015", NULL},
	{"E0000022", NULL},
	{"E0000031", NULL},
	{"E0000047", NULL},
	{NULL, NULL}
};

/*
 * In the place of an id Okta takes logins as well, what comes before their "@",
 * and "me".  All ids of users that it shows have 20 letters and digits and begin
 * with "00u", though it does not promise that.  To be wrong is harmless: whoever
 * has another id cannot be asked for, and so is not believed to be gone; and a
 * login that looks like an id brings a user of another id, which is an error.
 */
static bool
okta_is_id(const char *id)
{
	return strncmp(id, "00u", 3) == 0 && strlen(id) == ID_LENGTH &&
		strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") == ID_LENGTH;
}

static void
write_credential(const NauthSettings *settings, NauthRequest *request)
{
	const char *type = settings->more[NAUTH_SETTING_TOKEN_TYPE];

	if (settings->token != NULL || (type != NULL && strcasecmp(type, "Bearer") == 0))
		nauth_ask_bearer(settings, request);
	else
		nauth_request_header(request, "Authorization", "SSWS ", settings->api_key);
	nauth_request_header(request, "Accept", "", "application/json");
}

/* A value within quotes, as JSON has it. */
static void
write_quoted(NauthRequest *request, const char *value)
{
	nauth_request_more(request, "\"");
	if (strpbrk(value, "\"\\") == NULL)
		nauth_request_more(request, value);
	else
	{
		for (; *value != '\0'; value++)
		{
			const char	escaped[] = {'\\', *value, '\0'};

			nauth_request_more(request, *value == '"' || *value == '\\' ? escaped : escaped + 1);
		}
	}
	nauth_request_more(request, "\"");
}

/*
 * Okta shows times cut off to the second.  Asked from the second's beginning on,
 * it leaves out nobody, whichever time it compares.
 */
static void
write_since(int64_t from, NauthRequest *request)
{
	char		text[NAUTH_MOMENT_TEXT];

	nauth_request_parameter(request, "filter", "lastUpdated ge \"");
	if (from == NAUTH_MOMENT_UNKNOWN)
		nauth_request_more(request, nauth_request_changed);
	else
	{
		if (from >= NAUTH_MOMENT_MAX)
			from = NAUTH_MOMENT_MAX - 1;
		nauth_moment_write(from < 0 ? 0 : from - from % NAUTH_SECOND, 3, text);
		nauth_request_more(request, text);
	}
	nauth_request_more(request, "\"");
}

static void
write_filter(const NauthQuery *query, NauthRequest *request)
{
	if (query->kind == NAUTH_QUERY_SINCE)
		write_since(query->from, request);
	else if (query->ids != NULL)
	{
		nauth_request_parameter(request, "filter", "");
		for (int i = 0; i < query->n_ids; i++)
		{
			nauth_request_more(request, i == 0 ? "id eq " : " or id eq ");
			write_quoted(request, query->ids[i]);
		}
	}
	else if (query->email != NULL)
	{
		nauth_request_parameter(request, "filter", "profile.email eq ");
		write_quoted(request, query->email);
	}
	else
		nauth_request_parameter(request, "filter", "lastUpdated gt \"1970-01-01T00:00:00.000Z\"");
}

static void
okta_write_request(const NauthSettings *settings, const NauthQuery *query,
				   const char *cursor, NauthRequest *request)
{
	char		path[sizeof(USERS "?") + NAUTH_CURSOR_MAX] = USERS;
	bool		damaged = cursor != NULL && !nauth_link_is_cursor(cursor, strlen(cursor));

	if (cursor != NULL && !damaged)
		snprintf(path, sizeof(path), USERS "?%s", cursor);
	nauth_request_begin(request, settings->url, path);
	request->overflow |= damaged;
	if (query->kind == NAUTH_QUERY_USER)
		nauth_request_segment(request, query->id);
	else if (cursor == NULL)
	{
		nauth_request_number(request, "limit", nauth_ask_limit(settings, query, cursor));
		write_filter(query, request);
	}
	write_credential(settings, request);
}

static bool
okta_read_page(const NauthSettings *settings, const NauthQuery *query,
			   const char *cursor, const NauthReply *reply, NauthPage *page,
			   NauthError *error)
{
	char		base[NAUTH_URL_MAX];

	nauth_read_begin(page);
	snprintf(base, sizeof(base), "%s" USERS, settings->url);
	if (cursor != NULL && !nauth_link_is_cursor(cursor, strlen(cursor)))
		return nauth_read_no_cursor(error);
	if (!nauth_read_users(&nauth_provider_okta, settings, reply->body,
						  nauth_ask_limit(settings, query, cursor), page, error))
		return false;
	return nauth_link_follow(base, reply->header,
							 "Set the address that your Okta organization itself uses in its replies, which may be a custom domain, with: ALTER SERVER %s OPTIONS (SET url 'https://...');",
							 page, error);
}

/*
 * Tokens for this API are given to clients that sign for themselves alone, not
 * to those with a secret.
 */
static void
okta_write_token(const NauthSettings *settings, NauthRequest *request)
{
	nauth_request_begin(request, settings->url, TOKEN);
	nauth_request_form(request, "grant_type", "client_credentials");
	nauth_request_form(request, "scope", "okta.users.read");
	nauth_request_form(request, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
	nauth_request_form(request, "client_assertion", settings->assertion);
	nauth_request_header(request, "Accept", "", "application/json");
}

static bool
okta_write_claims(const NauthSettings *settings, int64_t now, const char *nonce,
				  char claims[NAUTH_CLAIMS_MAX])
{
	const char *client = settings->client_id;

	if (strpbrk(client, "\"\\") != NULL || strpbrk(settings->url, "\"\\") != NULL)
		return false;
	return snprintf(claims, NAUTH_CLAIMS_MAX, "{\"iss\":\"%s\",\"sub\":\"%s\",\"aud\":\"%s" TOKEN "\",\"iat\":%" PRId64
					",\"exp\":%" PRId64 ",\"jti\":\"%s\"}", client, client, settings->url, now,
					now + ASSERTION, nonce) < NAUTH_CLAIMS_MAX;
}

const NauthProvider nauth_provider_okta = {
	.name = "okta",
	.own_urls = own_urls,
	.url_hint = "Set the address of your organization without a path: ALTER SERVER %s OPTIONS (SET url 'https://ORGANIZATION.okta.com'); " NAUTH_OTHER_URL_HINT,
	.takes_key = true,
	.takes_key_pair = true,
	.takes = NAUTH_TAKES(NAUTH_SETTING_TOKEN_TYPE),
	.choices = {[NAUTH_SETTING_TOKEN_TYPE] = token_types},
	.knows_deprovisioned = true,
	.page_size = 200,
	.min_page_size = 1,
	.max_page_size = 200,
	.retry_header = "X-Rate-Limit-Reset",
	.page_header = "Link",
	.error_path = "errorCode",
	.known_codes = known_codes,
	.id_header = "X-Okta-Request-Id",
	.not_found_status = 404,
	.not_found_code = "E0000007",
	.lists_since = true,
	.max_ids = 50,
	.is_id = okta_is_id,
	.finds_emails = true,
	.by_creation = NAUTH_PAGES_NONE,
	.secret_paths = secret_paths,
	.volatile_members = volatile_members,
	.columns = {
		.id = "id",
		.name = {
			{.kind = NAUTH_RULE_MEMBER,.a = "profile.displayName"},
			{.kind = NAUTH_RULE_JOIN,.a = "profile.firstName",.b = "profile.lastName"},
			{.kind = NAUTH_RULE_MEMBER,.a = "profile.login"}
		},
		.email = {{.kind = NAUTH_RULE_MEMBER,.a = "profile.email"}},
		.created_at = {"created", NAUTH_MOMENT_RFC3339},
		.updated_at = {"lastUpdated", NAUTH_MOMENT_RFC3339},
		.deleted_at = {"statusChanged", NAUTH_MOMENT_RFC3339},
		.status = "status",
		.deleted_status = "DEPROVISIONED"
	},
	.write_request = okta_write_request,
	.read_page = okta_read_page,
	.write_token = okta_write_token,
	.write_claims = okta_write_claims
};
