/*-------------------------------------------------------------------------
 *
 * scim.c
 *	  Any service of SCIM 2.0 (RFC 7643, RFC 7644), by its users.
 *
 * How they are listed is told in scim_listing.c and scim_pages.c.
 *
 * That a user does not exist is an error of SCIM, which its schema tells from that of
 * a proxy; its status alone would not.
 *
 * Users are never asked for by a filter on ids or addresses: a service that ignores it,
 * or compares otherwise, would hide somebody.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "scim.h"

#include <string.h>
#include <strings.h>

#include "asking.h"
#include "reading.h"

static const char *const pagings[] = {"index", "cursor", NULL};

/* Is never to be returned, but that is easily forgotten. */
static const char *const secret_paths[] = {"password", NULL};

#define ERROR_SCHEMA	"urn:ietf:params:scim:api:messages:2.0:Error"

/* It is all that errors have in common; the types of those of a listing are in scim_listing.c. */
static const NauthKnownCode known_codes[] = {
	{ERROR_SCHEMA, NULL},
	{NULL, NULL}
};

bool
nauth_scim_pages_by(const NauthSettings *settings, const char *paging)
{
	const char *set = settings->more[NAUTH_SETTING_PAGING];

	return set != NULL && strcasecmp(set, paging) == 0;
}

/*
 * A service that pages by cursor need not tell how many users there are, nor exactly.
 */
static void
adapt(const NauthSettings *settings, NauthProvider *copy)
{
	copy->counts = !nauth_scim_pages_by(settings, "cursor");
}

static void
scim_write_request(const NauthSettings *settings, const NauthQuery *query,
				   const char *cursor, NauthRequest *request)
{
	if (query->kind != NAUTH_QUERY_USER && query->kind != NAUTH_QUERY_COUNT)
		nauth_scim_write_page(settings, query, cursor, request);
	else
	{
		nauth_request_begin(request, settings->url, "/Users");
		if (query->kind == NAUTH_QUERY_USER)
			nauth_request_segment(request, query->id);
		else					/* not all services take 0 */
			nauth_request_number(request, "count", 1);
	}
	nauth_ask_bearer(settings, request);
	nauth_request_header(request, "Accept", "", "application/scim+json");
}

/*
 * Users that nest too deep are found when they are read themselves, so depth and
 * numbers do not matter here.
 */
bool
nauth_scim_read_envelope(const NauthReply *reply, NauthScimEnvelope *envelope, NauthError *error)
{
	static const char *const names[] = {"totalResults", "Resources", "nextCursor", NULL};
	NauthSpan	found[3];

	if (!nauth_read_envelope(reply->body, names, found, error))
		return false;
	envelope->total = -1;
	if (!nauth_slice_is_null(found[0]) &&
		(!nauth_slice_int64(found[0], &envelope->total) ||
		 envelope->total < 0 || envelope->total > NAUTH_OFFSET_MAX))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the totalResults of the page is no number of users");
	envelope->users = found[1];
	if (nauth_slice_is_null(found[1]))
		envelope->users.data = NULL;
	envelope->next[0] = '\0';
	if (nauth_slice_is_null(found[2]) || nauth_slice_text(found[2], envelope->next, sizeof(envelope->next)))
		return true;
	return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE,
						   "the cursor of the next page is too long, or no text");
}

static bool
scim_read_count(const NauthReply *reply, int64_t *count, NauthError *error)
{
	NauthScimEnvelope envelope;

	if (!nauth_scim_read_envelope(reply, &envelope, error))
		return false;
	*count = envelope.total;
	if (*count >= 0)
		return true;
	error->hint = "If the service does not tell how many users there are: ALTER SERVER %s OPTIONS (ADD paging 'cursor');";
	return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the reply has no totalResults");
}

const NauthProvider nauth_provider_scim = {
	.name = "scim",
	.url = NULL,
	.takes_key = true,
	.takes = NAUTH_TAKES(NAUTH_SETTING_PAGING),
	.choices = {[NAUTH_SETTING_PAGING] = pagings},
	.page_size = 100,
	.min_page_size = 2,
	.max_page_size = NAUTH_SCIM_MOST,
	.error_path = "schemas.0",
	.known_codes = known_codes,
	.has_aliases = true,		/* some take a userName, too */
	.reserved_id = "bulkId",
	.not_found_status = 404,
	.not_found_code = ERROR_SCHEMA,
	.lists_since = true,
	.counts = true,
	.never_in_id = "/\\",		/* even encoded they may be another path */
	.by_creation = NAUTH_PAGES_NONE,
	.secret_paths = secret_paths,
	.columns = {
		.id = "id",
		.name = {
			{.kind = NAUTH_RULE_MEMBER,.a = "displayName"},
			{.kind = NAUTH_RULE_MEMBER,.a = "name.formatted"},
			{.kind = NAUTH_RULE_JOIN,.a = "name.givenName",.b = "name.familyName"},
			{.kind = NAUTH_RULE_MEMBER,.a = "userName"}
		},
		.email = {
			{.kind = NAUTH_RULE_FLAGGED,.a = "emails",.b = "primary",.d = "value"},
			{.kind = NAUTH_RULE_FIRST,.a = "emails",.d = "value"},
			{.kind = NAUTH_RULE_ADDRESS,.a = "userName"}
		},
		.created_at = {"meta.created", NAUTH_MOMENT_RFC3339},
		.updated_at = {"meta.lastModified", NAUTH_MOMENT_RFC3339}
	},
	.adapt = adapt,
	.write_request = scim_write_request,
	.read_page = nauth_scim_read_page,
	.is_page = nauth_scim_is_page,
	.read_count = scim_read_count
};
