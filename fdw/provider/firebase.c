/*-------------------------------------------------------------------------
 *
 * firebase.c
 *	  Firebase Authentication, and Google's Identity Platform which it is part of.
 *
 * Users are listed by accounts:batchGet, found by accounts:lookup and counted by
 * accounts:query, those of a tenant below the tenant.  A service account signs for
 * itself and is given an access token.  The emulator takes the token "owner".
 *
 * No member tells when a user was changed, so who has changed is found by
 * comparing.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "firebase.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "asking.h"

#define DEFAULT_TOKEN_URL	"https://oauth2.googleapis.com/token"
#define SCOPE				"https://www.googleapis.com/auth/identitytoolkit"
#define ASSERTION			300 /* seconds; Google takes an hour */

#define NAME_MAX_BYTES		255 /* of a project or a tenant */
#define ID_CHARACTERS		128

static const char *const own_urls[] = {
	"https://identitytoolkit.googleapis.com/v1", DEFAULT_TOKEN_URL, NULL
};

/*
 * What a password is checked with, and which way of checking it that is.  Without
 * the right to see them they have a value that says so.
 */
static const char *const secret_paths[] = {"passwordHash", "salt", "version", "rawPassword", NULL};

/* To sign in, or to have a token renewed, is no change of a user. */
static const char *const volatile_members[] = {"lastLoginAt", "lastRefreshAt", NULL};

#define ROLE_HINT \
	"Give the service account the role Firebase Authentication Viewer (roles/firebaseauth.viewer) in the project that option project_id names, and see that the Identity Toolkit API is enabled there."
#define TOKEN_HINT \
	"Set client_id, private_key and private_key_id of a service account, or an access token as api_key that has not ended, with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (...);"
#define PROJECT_HINT \
	"Set the id of the project, which is not its name or number, with: ALTER SERVER %s OPTIONS (SET project_id '...');"

/*
 * Messages that are codes of the Identity Toolkit, and Google's statuses for the
 * others.
 */
static const NauthKnownCode known_codes[] = {
	{"CONFIGURATION_NOT_FOUND", "Firebase Authentication was never set up in the project: press Get started under Authentication in the Firebase console, or set another project with: ALTER SERVER %s OPTIONS (SET project_id '...');"},
	{"INSUFFICIENT_PERMISSION", ROLE_HINT},
	{"INVALID_PAGE_SELECTION", NULL},
	{"INVALID_PROJECT_ID", PROJECT_HINT},
	{"PROJECT_DISABLED", NULL},
	{"PROJECT_NOT_FOUND", PROJECT_HINT},
	{"QUOTA_EXCEEDED", NULL},
	{"TENANT_NOT_FOUND", "Set the id of a tenant of the project with: ALTER SERVER %s OPTIONS (SET tenant_id '...');"},
	{"UNSUPPORTED_TENANT_OPERATION", NULL},
	{"DEADLINE_EXCEEDED", NULL},
	{"FAILED_PRECONDITION", NULL},
	{"INTERNAL", NULL},
	{"INVALID_ARGUMENT", NULL},
	{"NOT_FOUND", NULL},
	{"PERMISSION_DENIED", ROLE_HINT},
	{"RESOURCE_EXHAUSTED", NULL},
	{"UNAUTHENTICATED", TOKEN_HINT},
	{"UNAVAILABLE", NULL},
	{"UNKNOWN", NULL},
	{NULL, NULL}
};

/* Google's libraries take ids of up to so many characters, whatever they are. */
static bool
firebase_is_id(const char *id)
{
	size_t		characters = 0;

	for (; *id != '\0'; id++)
	{
		/* a look-up of so many ids has to fit, and escaped these are longer */
		if ((unsigned char) *id < ' ')
			return false;
		characters += (*id & 0xC0) != 0x80;
	}
	return characters <= ID_CHARACTERS;
}

/*
 * Whether it can stand in a path as it is.  There is no escaping in one that has to
 * end in a ":" and a method.
 */
static bool
is_name(const char *name)
{
	size_t		len = strlen(name);

	return len > 0 && len <= NAME_MAX_BYTES && !nauth_request_is_dots(name) &&
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == len;
}

/* Begin a request for this method of the accounts. */
static void
begin(const NauthSettings *settings, const char *method, NauthRequest *request)
{
	const char *project = settings->more[NAUTH_SETTING_PROJECT_ID];
	const char *tenant = settings->more[NAUTH_SETTING_TENANT_ID];
	bool		named = project != NULL && is_name(project) && (tenant == NULL || is_name(tenant));
	char		path[2 * NAME_MAX_BYTES + 64] = "";

	if (named)
		snprintf(path, sizeof(path), "/projects/%s%s%s/accounts:%s", project,
				 tenant != NULL ? "/tenants/" : "", tenant != NULL ? tenant : "", method);
	nauth_request_begin(request, settings->url, path);
	request->overflow |= !named;
}

static void
write_page(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
		   NauthRequest *request)
{
	begin(settings, "batchGet", request);
	nauth_request_number(request, "maxResults", nauth_ask_limit(settings, query, cursor));
	if (cursor == NULL)
		return;
	nauth_request_parameter(request, "nextPageToken", cursor);
	request->overflow |= !nauth_firebase_is_token(cursor);
}

static void
firebase_write_request(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
					   NauthRequest *request)
{
	if (query->kind == NAUTH_QUERY_COUNT)
	{
		begin(settings, "query", request);
		nauth_request_json(request, "application/json", "{\"returnUserInfo\":false}");
	}
	else if (nauth_firebase_is_lookup(query))
	{
		begin(settings, "lookup", request);
		nauth_firebase_write_lookup(query, request);
	}
	else
		write_page(settings, query, cursor, request);
	nauth_ask_bearer(settings, request);
}

static const char *
token_url(const NauthSettings *settings)
{
	const char *url = settings->more[NAUTH_SETTING_TOKEN_URL];

	return url != NULL ? url : DEFAULT_TOKEN_URL;
}

static void
firebase_write_token(const NauthSettings *settings, NauthRequest *request)
{
	nauth_request_begin(request, token_url(settings), "");
	nauth_request_form(request, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
	nauth_request_form(request, "assertion", settings->assertion);
}

/*
 * A "sub" would be a user whom the service account speaks for: there is none.  Google
 * takes an assertion again, so it needs no nonce either.
 */
static bool
firebase_write_claims(const NauthSettings *settings, int64_t now, const char *nonce,
					  char claims[NAUTH_CLAIMS_MAX])
{
	const char *account = settings->client_id;
	const char *url = token_url(settings);

	(void) nonce;
	if (strpbrk(account, "\"\\") != NULL || strpbrk(url, "\"\\") != NULL)
		return false;
	return snprintf(claims, NAUTH_CLAIMS_MAX, "{\"iss\":\"%s\",\"scope\":\"" SCOPE "\",\"aud\":\"%s\",\"iat\":%" PRId64
					",\"exp\":%" PRId64 "}", account, url, now, now + ASSERTION) < NAUTH_CLAIMS_MAX;
}

const NauthProvider nauth_provider_firebase = {
	.name = "firebase",
	.url = "https://identitytoolkit.googleapis.com/v1",
	.own_urls = own_urls,
	.url_hint = "Drop options \"url\" and \"token_url\" where they are set, as with: ALTER SERVER %s OPTIONS (DROP url); " NAUTH_OTHER_URL_HINT,
	.takes_key = true,
	.takes_key_pair = true,
	.takes = NAUTH_TAKES(NAUTH_SETTING_PROJECT_ID) | NAUTH_TAKES(NAUTH_SETTING_TENANT_ID) |
	NAUTH_TAKES(NAUTH_SETTING_TOKEN_URL),
	.needs = NAUTH_TAKES(NAUTH_SETTING_PROJECT_ID),
	.page_size = 1000,
	.min_page_size = 1,
	.max_page_size = 1000,
	.error_path = "error.message",
	.status_path = "error.status",
	.known_codes = known_codes,
	.counts = true,
	.max_ids = NAUTH_FIREBASE_IDS,
	.is_id = firebase_is_id,
	.finds_emails = true,
	.by_creation = NAUTH_PAGES_NONE,
	.secret_paths = secret_paths,
	.volatile_members = volatile_members,
	.columns = {
		.id = "localId",
		.name = {{.kind = NAUTH_RULE_MEMBER,.a = "displayName"}},
		.email = {{.kind = NAUTH_RULE_MEMBER,.a = "email"}},
		.created_at = {"createdAt", NAUTH_MOMENT_MILLISECONDS_TEXT}
	},
	.write_request = firebase_write_request,
	.read_page = nauth_firebase_read_page,
	.find_user = nauth_firebase_find_user,
	.read_count = nauth_firebase_read_count,
	.write_token = firebase_write_token,
	.write_claims = firebase_write_claims
};
