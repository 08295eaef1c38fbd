/*-------------------------------------------------------------------------
 *
 * cognito.c
 *	  Amazon Cognito, by its API of user pools.
 *
 * The id of a user is its Username, for that is what the API asks by: AdminGetUser
 * is exact and knows every user at once, while a list may lag behind.  It takes an
 * alias in that place as well, or the sub, and so a reply may be about somebody who
 * has another Username.
 *
 * A page of a list may be short, or even empty, before the end: a list ends where
 * there is no token for more.  AttributesToGet is never sent, for a list fails where
 * a user lacks one of these attributes.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "cognito.h"

#include <stdio.h>
#include <string.h>

#include "asking.h"
#include "reading.h"

#define USERNAME_MAX	128		/* characters of a Username */
#define FILTER_MAX		256		/* characters of a filter */

#define MEDIA_TYPE		"application/x-amz-json-1.1"
#define EMAIL_FILTER	"email = \\\""	/* the beginning of one, in JSON */

#define KEY_HINT \
	"Set a valid access key with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (SET access_key_id '...', SET secret_access_key '...'); a temporary one comes with a session_token."
#define SIGNATURE_HINT \
	"Check secret_access_key, that option region of server %s is that of the user pool, and that the clock of this machine is right: one that is five minutes off makes no valid signature."
#define POLICY_HINT \
	"Let an IAM policy allow the access key cognito-idp:ListUsers and cognito-idp:AdminGetUser on the user pool."

static const char *const own_urls[] = {
	"https://cognito-idp.*.amazonaws.com",
	"https://cognito-idp.*.amazonaws.com.cn",
	"https://cognito-idp-fips.*.amazonaws.com",
	NULL
};

static const NauthKnownCode known_codes[] = {
	{"AccessDeniedException", POLICY_HINT},
	{"ExpiredTokenException", KEY_HINT},
	{"IncompleteSignatureException", KEY_HINT},
	{"InternalErrorException", NULL},
	{"InvalidParameterException", NULL},
	{"InvalidSignatureException", SIGNATURE_HINT},
	{"LimitExceededException", NULL},
	{"MissingAuthenticationTokenException", KEY_HINT},
	{"NotAuthorizedException", POLICY_HINT},
	{"RequestExpired", SIGNATURE_HINT},
	{"ResourceNotFoundException", "Set the id of a user pool of that region and account with: ALTER SERVER %s OPTIONS (SET user_pool_id '...');"},
	{"ThrottlingException", NULL},
	{"TooManyRequestsException", NULL},
	{"UnrecognizedClientException", KEY_HINT},
	{"UserNotFoundException", NULL},
	{NULL, NULL}
};

/* AWS refuses with status 400 whatever the reason: of these the code tells. */
static const NauthCodeKind code_kinds[] = {
	{"AccessDeniedException", NAUTH_ERROR_PERMISSION},
	{"ExpiredTokenException", NAUTH_ERROR_CREDENTIAL},
	{"IncompleteSignatureException", NAUTH_ERROR_CREDENTIAL},
	{"InvalidSignatureException", NAUTH_ERROR_CREDENTIAL},
	{"LimitExceededException", NAUTH_ERROR_RATE_LIMIT},
	{"MissingAuthenticationTokenException", NAUTH_ERROR_CREDENTIAL},
	{"NotAuthorizedException", NAUTH_ERROR_PERMISSION},
	{"RequestExpired", NAUTH_ERROR_CREDENTIAL},
	{"ResourceNotFoundException", NAUTH_ERROR_NOT_FOUND},
	{"ThrottlingException", NAUTH_ERROR_RATE_LIMIT},
	{"TooManyRequestsException", NAUTH_ERROR_RATE_LIMIT},
	{"UnrecognizedClientException", NAUTH_ERROR_CREDENTIAL},
	{NULL, NAUTH_OK}
};

/* A single user has another name for its attributes, and tells of more. */
static const NauthRename renames[] = {
	{"UserAttributes", "Attributes"},
	{"UserMFASettingList", NULL},
	{"PreferredMfaSetting", NULL},
	{NULL, NULL}
};

/* What a Username is made of: anything but blanks and control characters. */
static bool
is_id(const char *id)
{
	size_t		characters = 0;

	for (const char *c = id; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= ' ' || *c == 0x7F)
			return false;
		characters += ((unsigned char) *c & 0xC0) != 0x80;
	}
	return characters <= USERNAME_MAX;
}

/* ---- Requests */

/*
 * Whether a filter can have this address.  How a quotation mark or a backslash would
 * stand in one is not documented, and a filter that is read otherwise could leave out
 * somebody; so could one that is too long.
 */
static bool
fits_filter(const char *email)
{
	size_t		characters = 0;

	for (const char *c = email; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7F || *c == '"' || *c == '\\')
			return false;
		characters += ((unsigned char) *c & 0xC0) != 0x80;
	}
	return characters <= FILTER_MAX - strlen("email = \"\"");
}

/* An address that fits in no filter is looked for among all users. */
static void
write_filter(const char *email, NauthRequest *request)
{
	if (email != nauth_request_email && !fits_filter(email))
		return;
	nauth_request_json(request, MEDIA_TYPE, ",\"Filter\":\"" EMAIL_FILTER);
	nauth_request_json(request, MEDIA_TYPE, email);
	nauth_request_json(request, MEDIA_TYPE, "\\\"\"");
}

/* All pages of a list have to be asked for with the same parameters. */
static void
write_list(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
		   NauthRequest *request)
{
	char		limit[32];

	snprintf(limit, sizeof(limit), ",\"Limit\":%d", nauth_ask_limit(settings, query, cursor));
	nauth_request_json(request, MEDIA_TYPE, limit);
	if (query->email != NULL)
		write_filter(query->email, request);
	if (cursor != NULL)
	{
		nauth_request_json(request, MEDIA_TYPE, ",\"PaginationToken\":");
		nauth_request_quoted(request, cursor);
	}
}

/* A session token is among the headers that are signed. */
static void
write_signature(const NauthSettings *settings, NauthRequest *request)
{
	char		region[NAUTH_COGNITO_REGION];

	if (settings->session_token != NULL)
		nauth_request_header(request, "X-Amz-Security-Token", "", settings->session_token);
	if (!nauth_cognito_region(settings, region))
		request->overflow = true;
	else if (settings->access_key_id != NULL && settings->secret_access_key != NULL)
		nauth_request_sign(request, region, "cognito-idp", settings->access_key_id,
						   settings->secret_access_key);
}

static void
cognito_write_request(const NauthSettings *settings, const NauthQuery *query,
					  const char *cursor, NauthRequest *request)
{
	bool		user = query->kind == NAUTH_QUERY_USER;
	const char *pool = settings->more[NAUTH_SETTING_USER_POOL_ID];

	nauth_request_begin(request, settings->url, "/");
	nauth_request_header(request, "X-Amz-Target", "AWSCognitoIdentityProviderService.",
						 user ? "AdminGetUser" : "ListUsers");
	nauth_request_json(request, MEDIA_TYPE, "{\"UserPoolId\":");
	nauth_request_quoted(request, pool != NULL ? pool : "");
	if (user)
	{
		nauth_request_json(request, MEDIA_TYPE, ",\"Username\":");
		nauth_request_quoted(request, query->id);
	}
	else
		write_list(settings, query, cursor, request);
	nauth_request_json(request, MEDIA_TYPE, "}");
	write_signature(settings, request);
}

/* ---- Replies */

/* Whether a text may be a token, and fits into a request however it is escaped. */
static bool
is_token(const char *text)
{
	size_t		len = 0;

	for (const char *c = text; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= ' ' || *c == 0x7F)
			return false;
		len += *c == '"' || *c == '\\' ? 2 : 1;
	}
	return len > 0 && len < NAUTH_CURSOR_MAX;
}

/* Read the token of the next page, "" where there is none. */
static bool
read_token(NauthSpan value, char next[NAUTH_CURSOR_MAX], NauthError *error)
{
	next[0] = '\0';
	if (nauth_slice_is_null(value) ||
		(nauth_slice_text(value, next, NAUTH_CURSOR_MAX) && is_token(next)))
		return true;
	return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
						   "where the token of the next page should be is no token, or too long a one");
}

static bool
cognito_read_page(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
				  const NauthReply *reply, NauthPage *page, NauthError *error)
{
	static const char *const names[] = {"Users", "PaginationToken", NULL};
	NauthSpan	found[2];

	nauth_read_begin(page);
	if (!nauth_read_envelope(reply->body, names, found, error))
		return false;
	if (nauth_slice_is_null(found[0]))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the page has no list of users");
	if (!read_token(found[1], page->next, error) ||
		!nauth_read_users(&nauth_provider_cognito, settings, found[0],
						  nauth_ask_limit(settings, query, cursor), page, error))
		return false;
	page->last = page->next[0] == '\0';
	page->reread = page->count == 0 && !page->last;
	return true;
}

/*
 * Of a user who does not exist AWS says so with status 400, as of anything else.  That
 * a resource was not found is about the pool.
 */
const NauthProvider nauth_provider_cognito = {
	.name = "cognito",
	.own_urls = own_urls,
	.url_hint = "Options user_pool_id and region of server %s make its address. " NAUTH_OTHER_URL_HINT,
	.takes_access_key = true,
	.takes = NAUTH_TAKES(NAUTH_SETTING_USER_POOL_ID) | NAUTH_TAKES(NAUTH_SETTING_REGION),
	.needs = NAUTH_TAKES(NAUTH_SETTING_USER_POOL_ID),
	.page_size = 60,
	.min_page_size = 1,
	.max_page_size = 60,
	.error_path = "__type",
	.codes_are_shapes = true,
	.known_codes = known_codes,
	.code_kinds = code_kinds,
	.id_header = "x-amzn-RequestId",
	.not_found_status = 400,
	.not_found_code = "UserNotFoundException",
	.has_aliases = true,
	.is_id = is_id,
	.finds_emails = true,
	.by_creation = NAUTH_PAGES_NONE,
	.renames = renames,
	.columns = {
		.id = "Username",
		.name = {
			{.kind = NAUTH_RULE_NAMED,.a = "Attributes",.b = "Name",.c = "name",.d = "Value"},
			{.kind = NAUTH_RULE_NAMED,.a = "Attributes",.b = "Name",.c = "given_name",.d = "Value",.e = "family_name"}
		},
		.email = {{.kind = NAUTH_RULE_NAMED,.a = "Attributes",.b = "Name",.c = "email",.d = "Value"}},
		.created_at = {"UserCreateDate", NAUTH_MOMENT_SECONDS},
		.updated_at = {"UserLastModifiedDate", NAUTH_MOMENT_SECONDS}
	},
	.write_url = nauth_cognito_write_url,
	.refuse = nauth_cognito_refuse,
	.write_request = cognito_write_request,
	.read_page = cognito_read_page
};
