/*-------------------------------------------------------------------------
 *
 * generic.c
 *	  A directory of one's own, of options alone.
 *
 * All that other providers know of their API the options of the server say here,
 * and what they do not say is not assumed: without a path of one user nobody is
 * asked for, and without an answer that says so nobody is believed to be gone.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "generic.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../json.h"
#include "asking.h"
#include "link.h"
#include "reading.h"
#include "reply.h"

#define SCHEME_MAX		64		/* bytes of a scheme, a blank and a zero */
#define PARAMETER_MAX	768		/* of a parameter's name, encoded */
#define PATH_MAX_BYTES	256		/* of a path, its zero included */

/* What in-house directories leave in their users by mistake. */
static const char *const secret_paths[] = {
	"password", "passwd", "pwd", "passwordHash", "password_hash", "hashedPassword", "hashed_password",
	"encryptedPassword", "encrypted_password", "passwordDigest", "password_digest", "salt", "passwordSalt",
	"password_salt", "secret", "apiKey", "api_key", "apiToken", "api_token", "accessToken", "access_token",
	"refreshToken", "refresh_token", "rememberToken", "remember_token", "resetToken", "reset_token",
	"resetPasswordToken", "reset_password_token", "confirmationToken", "confirmation_token", "otpSecret",
	"otp_secret", "totpSecret", "totp_secret", "mfaSecret", "mfa_secret", "twoFactorSecret", "two_factor_secret",
	"recoveryCodes", "recovery_codes", "backupCodes", "backup_codes", NULL
};

static const char *const paging_choices[] = {"none", "page", "offset", "cursor", "link", NULL};
static const char *const first_page_choices[] = {"0", "1", NULL};
static const char *const id_type_choices[] = {"text", "integer", "uuid", NULL};
static const char *const time_unit_choices[] = {"iso8601", "s", "ms", NULL};

/* No status that a proxy, a limit or a credential that is not taken has. */
static const char *const not_found_choices[] = {"404", "410", "400", "422", "200", NULL};

/* Nobody knows which codes there are, and what they might tell. */
static const NauthKnownCode known_codes[] = {{NULL, NULL}};

static NauthProvider
adapted(const NauthSettings *settings)
{
	NauthProvider provider = nauth_provider_generic;

	nauth_generic_adapt(settings, &provider);
	return provider;
}

/* ---- Requests */

/* The credential, in the header and under the scheme that it has there. */
static void
write_credential(const NauthSettings *settings, NauthRequest *request)
{
	const char *header = settings->more[NAUTH_SETTING_AUTH_HEADER];
	const char *scheme = settings->more[NAUTH_SETTING_AUTH_SCHEME];
	char		prefix[SCHEME_MAX + 1] = "";

	if (header == NULL)
		header = "Authorization";
	if (scheme == NULL)
		scheme = strcasecmp(header, "Authorization") == 0 ? "Bearer" : "none";
	if (strcasecmp(scheme, "none") != 0)
		snprintf(prefix, sizeof(prefix), "%s ", scheme);
	nauth_request_header(request, header, prefix, settings->api_key);
	nauth_request_header(request, "Accept", "", "application/json");
}

void
nauth_generic_write_parameter(NauthRequest *request, const char *name, const char *value)
{
	char		encoded[PARAMETER_MAX];
	int			used = 0;

	for (; *name != '\0' && used < PARAMETER_MAX - 4; name++)
		used += snprintf(encoded + used, (size_t) (PARAMETER_MAX - used), strchr("[]$&=#%+ \"<>?/\\^`{|}", *name) != NULL ? "%%%02X" : "%c",
						 (unsigned char) *name);
	encoded[used] = '\0';
	nauth_request_parameter(request, encoded, value);
}

void
nauth_generic_write_number(NauthRequest *request, const char *name, int64_t number)
{
	char		digits[24];

	snprintf(digits, sizeof(digits), "%" PRId64, number);
	nauth_generic_write_parameter(request, name, digits);
}

static void
write_user(const NauthSettings *settings, const char *id, NauthRequest *request)
{
	const char *path = settings->more[NAUTH_SETTING_USER_PATH];
	const char *place = path != NULL ? strstr(path, NAUTH_GENERIC_ID) : NULL;
	char		before[PATH_MAX_BYTES];

	snprintf(before, sizeof(before), "%.*s", place != NULL ? (int) (place - path) : 0, path != NULL ? path : "");
	nauth_request_begin(request, settings->url, before);
	request->overflow |= place == NULL || id[0] == '\0' || nauth_request_is_dots(id);
	nauth_request_more(request, id);
	if (place != NULL)
		nauth_request_literal(request, place + strlen(NAUTH_GENERIC_ID));
}

/*
 * A time as the directory writes its own, cut off to the second, and a second less:
 * some find only those who changed after it.
 */
static void
write_since(const NauthSettings *settings, int64_t from, NauthRequest *request)
{
	const char *name = settings->more[NAUTH_SETTING_SINCE_PARAMETER];
	int64_t		seconds = from < NAUTH_SECOND ? 0 : from / NAUTH_SECOND - 1;
	char		text[NAUTH_MOMENT_TEXT];

	if (from == NAUTH_MOMENT_UNKNOWN)
		nauth_generic_write_parameter(request, name, nauth_request_changed);
	else if (nauth_generic_is(settings, NAUTH_SETTING_TIME_UNIT, "s"))
		nauth_generic_write_number(request, name, seconds);
	else if (nauth_generic_is(settings, NAUTH_SETTING_TIME_UNIT, "ms"))
		nauth_generic_write_number(request, name, seconds * 1000);
	else
	{
		if (seconds >= NAUTH_MOMENT_MAX / NAUTH_SECOND)
			seconds = NAUTH_MOMENT_MAX / NAUTH_SECOND - 1;
		nauth_moment_write(seconds * NAUTH_SECOND, 3, text);
		nauth_generic_write_parameter(request, name, text);
	}
}

/* Number or offset of a page, and its size. */
static void
write_place(const NauthSettings *settings, const char *cursor, int limit, NauthRequest *request)
{
	const char *name = nauth_generic_page_parameter(settings);
	const char *size = nauth_generic_size_parameter(settings);
	bool		from_zero = nauth_generic_is(settings, NAUTH_SETTING_FIRST_PAGE, "0");
	NauthGenericPlace place;

	(void) nauth_generic_aim(settings, cursor, limit, &place);
	request->overflow |= place.size == 0;
	if (nauth_generic_paging(settings) == NAUTH_GENERIC_NUMBERED)
		nauth_generic_write_number(request, name, place.number + (from_zero ? 0 : 1));
	else
		nauth_generic_write_number(request, name, place.start);
	if (size != NULL)
		nauth_generic_write_number(request, size, place.size);
}

/* Whether a page can have been asked for with this cursor. */
static bool
is_cursor(const NauthSettings *settings, const char *cursor)
{
	NauthGenericPaging paging = nauth_generic_paging(settings);
	NauthGenericPlace place;

	if (cursor == NULL)
		return true;
	if (paging == NAUTH_GENERIC_NUMBERED || paging == NAUTH_GENERIC_OFFSET)
		return nauth_generic_aim(settings, cursor, settings->page_size, &place);
	return paging != NAUTH_GENERIC_WHOLE && nauth_generic_is_cursor(settings, cursor);
}

/*
 * How many users to ask for.  By cursors it is two at least, for a page of one would
 * not tell whether it is the last.
 */
static int
page_limit(const NauthSettings *settings, const NauthQuery *query, const char *cursor)
{
	int			limit = nauth_ask_limit(settings, query, cursor);

	if (query->kind == NAUTH_QUERY_COUNT)
		return 1;
	return nauth_generic_paging(settings) == NAUTH_GENERIC_CURSOR && limit < 2 ? 2 : limit;
}

static void
write_page(const NauthSettings *settings, const NauthQuery *query, const char *cursor, NauthRequest *request)
{
	const char *path = settings->more[NAUTH_SETTING_LIST_PATH];
	int			limit = page_limit(settings, query, cursor);
	const char *within = nauth_generic_query(cursor);
	const char *size = nauth_generic_size_parameter(settings);

	nauth_request_begin(request, settings->url, path);
	request->overflow |= !is_cursor(settings, cursor);
	if (within != NULL)
	{
		/* all that the list is asked with is part of it */
		request->url[strcspn(request->url, "?")] = '\0';
		nauth_request_literal(request, within);
		return;
	}
	switch (nauth_generic_paging(settings))
	{
		case NAUTH_GENERIC_NUMBERED:
		case NAUTH_GENERIC_OFFSET:
			write_place(settings, cursor, limit, request);
			break;
		case NAUTH_GENERIC_CURSOR:
		case NAUTH_GENERIC_LINK:
			nauth_generic_write_cursor(settings, cursor, limit, request);
			break;
		case NAUTH_GENERIC_WHOLE:
			if (size != NULL)
				nauth_generic_write_number(request, size, settings->page_size);
			break;
	}
	if (query->kind == NAUTH_QUERY_SINCE)
		write_since(settings, query->from, request);
	else if (query->email != NULL)
		nauth_generic_write_parameter(request, settings->more[NAUTH_SETTING_EMAIL_PARAMETER], query->email);
}

static void
generic_write_request(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
					  NauthRequest *request)
{
	if (query->kind == NAUTH_QUERY_USER)
		write_user(settings, query->id, request);
	else
		write_page(settings, query, cursor, request);
	write_credential(settings, request);
}

/* ---- Replies */

static bool
fail(NauthError *error, const char *reason, const char *hint)
{
	error->hint = hint;
	return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, reason);
}

/* Read what is around the users, if they are within an object. */
static bool
read_envelope(const NauthSettings *settings, NauthSpan body, NauthSpan *users, int64_t *total,
			  NauthError *error)
{
	static const char *const none[] = {NULL};
	const char *users_path = settings->more[NAUTH_SETTING_USERS_MEMBER];
	const char *total_path = settings->more[NAUTH_SETTING_TOTAL_MEMBER];

	*users = body;
	if ((users_path != NULL || total_path != NULL || nauth_generic_paging(settings) == NAUTH_GENERIC_CURSOR) &&
		!nauth_read_envelope(body, none, NULL, error))
		return false;
	if (users_path != NULL)
		*users = nauth_read_path(body, users_path);
	if (users_path != NULL && nauth_slice_is_null(*users))
		return fail(error, "the page has no list of users where option \"users_member\" says",
					"Name the member that has the list: ALTER SERVER %s OPTIONS (SET users_member '...');");
	if (total_path != NULL &&
		(!nauth_slice_int64(nauth_read_path(body, total_path), total) || *total < 0 || *total > NAUTH_OFFSET_MAX))
		return fail(error, "the page has no number of users where option \"total_member\" says",
					"Name the member that has the number of all users, or leave it out: ALTER SERVER %s OPTIONS (SET total_member '...');");
	return true;
}

/* Whether the ids are such as the options say: better no listing than one that lookups contradict. */
static bool
check_ids(const NauthProvider *provider, const char *cursor, const NauthPage *page, NauthError *error)
{
	int			flawed = 0;

	for (int i = 0; i < page->count; i++)
	{
		const NauthUser *user = &page->users[i];

		flawed += user->flaw == NAUTH_FLAW_ID;
		if (user->flaw != NAUTH_FLAW_ID && provider->is_id != NULL && !provider->is_id(user->id))
			return fail(error, "a user has an id that is not of the type that option \"id_type\" says",
						"Let ids be any text: ALTER SERVER %s OPTIONS (DROP id_type);");
		if (user->flaw != NAUTH_FLAW_ID && !nauth_ask_id_possible(provider, user->id))
			return fail(error, "a user has an id that cannot be asked for",
						"A slash or a backslash cannot be in a path. If the directory takes the id as a parameter: ALTER SERVER %s OPTIONS (SET user_path '/user?id={id}'); else leave user_path out.");
	}
	if (cursor == NULL && page->count > 0 && flawed == page->count)
		return fail(error, "no user has an id where it is looked for",
					"Name the member that has the id, ALTER SERVER %s OPTIONS (ADD id_member '...'), and where ids are JSON numbers add id_type 'integer'.");
	return true;
}

/* All users in one reply: is it whole? */
static bool
end_whole(const NauthSettings *settings, const NauthReply *reply, NauthPage *page, NauthError *error)
{
	NauthLinks	links = {0};
	bool		more = reply->header != NULL && nauth_link_read(reply->header, &links) && links.next.data != NULL;

	page->last = !more && (page->total >= 0 ? page->count >= page->total : page->count < settings->page_size);
	if (page->last)
		return true;
	error->hint = more || page->total >= 0 ?
		"Say how the directory is paged: ALTER SERVER %s OPTIONS (ADD paging '...');" :
		"A larger page_size lets a reply have more users: ALTER SERVER %s OPTIONS (ADD page_size '20000'). Above that, the directory has to be paged: option paging.";
	return nauth_error_set(error, NAUTH_ERROR_INCOMPLETE, more ? "the reply names a next page" :
						   page->total >= 0 ? "the reply has fewer users than the total that it names" :
						   "the reply has as many users as one may have, so that it cannot be told from a part");
}

static bool
finish_page(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
			const NauthReply *reply, NauthPage *page, NauthError *error)
{
	int			limit = page_limit(settings, query, cursor);
	NauthGenericPlace place;

	switch (nauth_generic_paging(settings))
	{
		case NAUTH_GENERIC_NUMBERED:
		case NAUTH_GENERIC_OFFSET:
			(void) nauth_generic_aim(settings, cursor, limit, &place);
			return nauth_generic_take(settings, &place, page, error);
		case NAUTH_GENERIC_CURSOR:
		case NAUTH_GENERIC_LINK:
			return nauth_generic_follow(settings, cursor, limit, reply, page, error);
		case NAUTH_GENERIC_WHOLE:
			break;
	}
	return end_whole(settings, reply, page, error);
}

static bool
generic_read_page(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
				  const NauthReply *reply, NauthPage *page, NauthError *error)
{
	NauthProvider provider = adapted(settings);
	NauthSpan	users;

	nauth_read_begin(page);
	if (!is_cursor(settings, cursor))
		return nauth_read_no_cursor(error);
	if (!read_envelope(settings, reply->body, &users, &page->total, error))
		return false;

	/* with a filter it may be the number of those who pass, or of all */
	if (query->kind == NAUTH_QUERY_SINCE || query->email != NULL)
		page->total = -1;
	if (!nauth_read_users(&provider, settings, users, page->capacity, page, error))
	{
		if (page->count == page->capacity)
			error->hint = "If the directory gives that many users: ALTER SERVER %s OPTIONS (ADD page_size '...'), or name what it is told the size of a page by: option \"size_parameter\".";
		else if (page->count == 0 && settings->more[NAUTH_SETTING_USERS_MEMBER] == NULL)
			error->hint = "If the list is a member of the reply: ALTER SERVER %s OPTIONS (ADD users_member '...');";
		return false;
	}
	if (check_ids(&provider, cursor, page, error) &&
		finish_page(settings, query, cursor, reply, page, error))
		return true;
	page->last = page->reread = false;
	return false;
}

static bool
generic_find_user(const NauthSettings *settings, const NauthReply *reply, NauthSpan *json,
				  bool *missing, NauthError *error)
{
	const char *path = settings->more[NAUTH_SETTING_USER_MEMBER];
	NauthProvider provider = adapted(settings);

	*json = path != NULL ? nauth_read_path(reply->body, path) : reply->body;

	/* a user with such a member is still one */
	*missing = nauth_reply_is_not_found(&provider, reply) &&
		nauth_slice_is_null(nauth_read_path(*json, provider.columns.id));
	if (*missing)
		return false;
	return path == NULL || !nauth_slice_is_null(*json) ||
		fail(error, "the reply has no user where option \"user_member\" says",
			 "Name the member that has the user, or leave it out: ALTER SERVER %s OPTIONS (SET user_member '...');");
}

const NauthProvider nauth_provider_generic = {
	.name = "generic",
	.takes_key = true,
	.takes = NAUTH_TAKES(NAUTH_SETTING_LIST_PATH) | NAUTH_TAKES(NAUTH_SETTING_USER_PATH) |
	NAUTH_TAKES(NAUTH_SETTING_USERS_MEMBER) | NAUTH_TAKES(NAUTH_SETTING_USER_MEMBER) |
	NAUTH_TAKES(NAUTH_SETTING_PAGING) | NAUTH_TAKES(NAUTH_SETTING_PAGE_PARAMETER) |
	NAUTH_TAKES(NAUTH_SETTING_SIZE_PARAMETER) | NAUTH_TAKES(NAUTH_SETTING_FIRST_PAGE) |
	NAUTH_TAKES(NAUTH_SETTING_NEXT_MEMBER) | NAUTH_TAKES(NAUTH_SETTING_TOTAL_MEMBER) |
	NAUTH_TAKES(NAUTH_SETTING_EMAIL_PARAMETER) | NAUTH_TAKES(NAUTH_SETTING_SINCE_PARAMETER) |
	NAUTH_TAKES(NAUTH_SETTING_ID_MEMBER) | NAUTH_TAKES(NAUTH_SETTING_ID_TYPE) |
	NAUTH_TAKES(NAUTH_SETTING_NAME_MEMBER) | NAUTH_TAKES(NAUTH_SETTING_LAST_NAME_MEMBER) |
	NAUTH_TAKES(NAUTH_SETTING_EMAIL_MEMBER) | NAUTH_TAKES(NAUTH_SETTING_CREATED_AT_MEMBER) |
	NAUTH_TAKES(NAUTH_SETTING_UPDATED_AT_MEMBER) | NAUTH_TAKES(NAUTH_SETTING_DELETED_AT_MEMBER) |
	NAUTH_TAKES(NAUTH_SETTING_TIME_UNIT) | NAUTH_TAKES(NAUTH_SETTING_AUTH_HEADER) |
	NAUTH_TAKES(NAUTH_SETTING_AUTH_SCHEME) | NAUTH_TAKES(NAUTH_SETTING_NOT_FOUND_STATUS) |
	NAUTH_TAKES(NAUTH_SETTING_NOT_FOUND_MEMBER) | NAUTH_TAKES(NAUTH_SETTING_NOT_FOUND_VALUE),
	.needs = NAUTH_TAKES(NAUTH_SETTING_LIST_PATH),
	.choices = {
		[NAUTH_SETTING_PAGING] = paging_choices,
		[NAUTH_SETTING_FIRST_PAGE] = first_page_choices,
		[NAUTH_SETTING_ID_TYPE] = id_type_choices,
		[NAUTH_SETTING_TIME_UNIT] = time_unit_choices,
		[NAUTH_SETTING_NOT_FOUND_STATUS] = not_found_choices
	},
	.page_size = 100,
	.min_page_size = 2,
	.max_page_size = 1000,
	.error_path = "code",
	.known_codes = known_codes,
	.lists_only = true,
	.has_aliases = true,
	.by_creation = NAUTH_PAGES_NONE,
	.secret_paths = secret_paths,
	.columns = {.id = "id"},
	.adapt = nauth_generic_adapt,
	.refuse = nauth_generic_refuse,
	.write_request = generic_write_request,
	.read_page = generic_read_page,
	.find_user = generic_find_user
};
