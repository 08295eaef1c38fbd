/*-------------------------------------------------------------------------
 *
 * supabase.c
 *	  Supabase Auth (GoTrue), by its admin API.
 *
 * How its list is paged is in supabase.h.  The number of users comes in a header.
 * A page that is not full is the last one, if that number says so, too.
 *
 * A user who was deleted softly stays in the list, with a deleted_at.
 *
 * An address is asked for by "filter", which Supabase does not document.  It finds
 * whose address has the text within it, or is not looked at: more users than
 * wanted, in either case.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "offset.h"
#include "supabase.h"

#include <string.h>

#include "asking.h"
#include "reading.h"

#define USERS_PATH		"/admin/users"
#define AUDIENCE_MAX	256		/* bytes of an audience, its zero included */

#define SET_KEY \
	"Set a secret key or the service_role key of this very project with: " \
	"ALTER USER MAPPING FOR ... SERVER %s OPTIONS (SET api_key '...');"

/* Functions of a project are under the same host: they must not get the key. */
static const char *const own_urls[] = {"https://*.supabase.co/auth/v1", NULL};

/* Come with a user asked for alone, and not with one of the list. */
static const char *const volatile_members[] = {"factors", "identities", NULL};

static const NauthKnownCode known_codes[] = {
	{"bad_jwt", SET_KEY},
	{"no_authorization", SET_KEY},
	{"not_admin", SET_KEY},
	{"over_request_rate_limit", NULL},
	{"request_timeout", "A smaller option \"page_size\" of the server makes the requests shorter."},
	{"unexpected_failure", "The log of Supabase Auth says why, in the dashboard under Logs."},
	{"user_not_found", NULL},
	{"validation_failed", NULL},
	{NULL, NULL}
};

static bool
descends(const NauthQuery *query)
{
	return query->order == NAUTH_ORDER_NEWEST;
}

static void
write_page_parameters(const NauthSettings *settings, const NauthQuery *query,
					  const char *cursor, NauthRequest *request)
{
	NauthSupabasePlace place;

	if (!nauth_supabase_aim(cursor, nauth_ask_limit(settings, query, cursor), &place))
		request->overflow = true;
	nauth_request_number(request, "page", place.page);
	nauth_request_number(request, "per_page", place.per_page);
	nauth_request_parameter(request, "sort", descends(query) ? "created_at desc" : "created_at asc");

	/* it is a pattern of LIKE, where a backslash is none */
	if (query->email != NULL && strchr(query->email, '\\') == NULL)
		nauth_request_parameter(request, "filter", query->email);
}

static void
supabase_write_request(const NauthSettings *settings, const NauthQuery *query,
					   const char *cursor, NauthRequest *request)
{
	const char *audience = settings->more[NAUTH_SETTING_AUDIENCE];

	nauth_request_begin(request, settings->url, USERS_PATH);
	if (query->kind == NAUTH_QUERY_USER)
		nauth_request_segment(request, query->id);
	else if (query->kind == NAUTH_QUERY_COUNT)
	{
		nauth_request_number(request, "page", 1);
		nauth_request_number(request, "per_page", 1);
	}
	else
		write_page_parameters(settings, query, cursor, request);
	nauth_ask_bearer(settings, request);
	nauth_request_header(request, "apikey", "", settings->api_key);
	if (audience != NULL)
		nauth_request_header(request, "X-JWT-AUD", "", audience);
}

/* Whether the list is that of an audience: any, if none was asked for. */
static bool
is_audience(NauthSpan value, const char *audience)
{
	char		text[AUDIENCE_MAX];

	return audience == NULL ||
		(nauth_slice_text(value, text, sizeof(text)) && strcmp(text, audience) == 0);
}

/*
 * Read what is around the users.  Users that nest too deep are found when they are
 * read themselves, so depth and numbers do not matter here.
 */
static bool
read_envelope(const NauthReply *reply, const char *audience, NauthSpan *users,
			  int64_t *total, NauthError *error)
{
	static const char *const names[] = {"users", "aud", NULL};
	NauthSpan	found[2];
	const char *p = reply->header;

	if (!nauth_read_envelope(reply->body, names, found, error))
		return false;
	if (nauth_slice_is_null(found[0]))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page has no list of users");
	if (!is_audience(found[1], audience))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page is of another audience than asked for");
	if (p == NULL || !nauth_offset_number(&p, NAUTH_OFFSET_MAX, total) || *p != '\0')
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the page has no header X-Total-Count with a number of users");
	*users = found[0];
	return true;
}

static bool
supabase_read_page(const NauthSettings *settings, const NauthQuery *query,
				   const char *cursor, const NauthReply *reply, NauthPage *page,
				   NauthError *error)
{
	int			size = nauth_ask_limit(settings, query, cursor);
	NauthSupabasePlace place;
	NauthSpan	users;

	nauth_read_begin(page);
	if (!nauth_supabase_aim(cursor, size, &place))
		return nauth_read_no_cursor(error);
	return read_envelope(reply, settings->more[NAUTH_SETTING_AUDIENCE], &users, &page->total, error) &&
		nauth_read_users(&nauth_provider_supabase, settings, users, place.per_page, page, error) &&
		nauth_supabase_take(&place, size, descends(query), page, error);
}

static bool
supabase_read_count(const NauthReply *reply, int64_t *count, NauthError *error)
{
	NauthUser	user;
	NauthPage	page = {.users = &user,.capacity = 1};
	NauthSettings settings = {0};
	NauthSpan	users;

	return read_envelope(reply, NULL, &users, count, error) &&
		nauth_read_users(&nauth_provider_supabase, &settings, users, page.capacity, &page, error);
}

const NauthProvider nauth_provider_supabase = {
	.name = "supabase",
	.url = NULL,
	.own_urls = own_urls,
	.url_hint = "Set the address of your project with its path: ALTER SERVER %s OPTIONS (SET url 'https://PROJECT.supabase.co/auth/v1'); " NAUTH_OTHER_URL_HINT,
	.takes_key = true,
	.takes = NAUTH_TAKES(NAUTH_SETTING_AUDIENCE),
	.page_size = 500,
	.min_page_size = 20,		/* of smaller ones none may begin as it has to */
	.max_page_size = 1000,
	.page_header = "X-Total-Count",
	.error_path = "error_code",
	.known_codes = known_codes,
	.id_path = "error_id",
	.not_found_status = 404,
	.not_found_code = "user_not_found",
	.counts = true,
	.is_id = nauth_ask_is_uuid,
	.finds_emails = true,
	.by_creation = NAUTH_PAGES_ALL,
	.volatile_members = volatile_members,
	.columns = {
		.id = "id",
		.name = {
			{.kind = NAUTH_RULE_MEMBER,.a = "user_metadata.full_name"},
			{.kind = NAUTH_RULE_MEMBER,.a = "user_metadata.name"},
			{.kind = NAUTH_RULE_MEMBER,.a = "user_metadata.display_name"}
		},
		.email = {{.kind = NAUTH_RULE_MEMBER,.a = "email"}},
		.created_at = {"created_at", NAUTH_MOMENT_RFC3339},
		.updated_at = {"updated_at", NAUTH_MOMENT_RFC3339},
		.deleted_at = {"deleted_at", NAUTH_MOMENT_RFC3339}
	},
	.write_request = supabase_write_request,
	.read_page = supabase_read_page,
	.read_count = supabase_read_count
};
