/*-------------------------------------------------------------------------
 *
 * generic_options.c
 *	  A directory of one's own: what the options mean, and which of them do not
 *	  go together.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "generic.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "asking.h"

/* Users of a reply without pages, unless option page_size says otherwise, and at most. */
#define WHOLE_SIZE		10000
#define WHOLE_MAX		20000

/* Of smaller pages with numbers none may begin as it has to. */
#define NUMBERED_MIN	20

#define NO_SIZE			"none"

#define UNCONFIRMED_HINT \
	"Say where one user is, and what the directory answers where there is none: ALTER SERVER %s OPTIONS (ADD user_path '/users/{id}', ADD not_found_member '...', ADD not_found_value '...');"

/* The names of NauthGenericPaging. */
static const char *const pagings[] = {
	[NAUTH_GENERIC_WHOLE] = "none",
	[NAUTH_GENERIC_NUMBERED] = "page",
	[NAUTH_GENERIC_OFFSET] = "offset",
	[NAUTH_GENERIC_CURSOR] = "cursor",
	[NAUTH_GENERIC_LINK] = "link"
};

#define NUM_PAGINGS	(sizeof(pagings) / sizeof(pagings[0]))

bool
nauth_generic_is(const NauthSettings *settings, NauthSetting option, const char *value)
{
	return settings->more[option] != NULL && strcasecmp(settings->more[option], value) == 0;
}

NauthGenericPaging
nauth_generic_paging(const NauthSettings *settings)
{
	for (size_t i = 0; i < NUM_PAGINGS; i++)
		if (nauth_generic_is(settings, NAUTH_SETTING_PAGING, pagings[i]))
			return (NauthGenericPaging) i;
	return NAUTH_GENERIC_WHOLE;
}

const char *
nauth_generic_page_parameter(const NauthSettings *settings)
{
	const char *name = settings->more[NAUTH_SETTING_PAGE_PARAMETER];

	return name != NULL ? name : pagings[nauth_generic_paging(settings)];
}

const char *
nauth_generic_size_parameter(const NauthSettings *settings)
{
	const char *name = settings->more[NAUTH_SETTING_SIZE_PARAMETER];

	if (name != NULL)
		return strcasecmp(name, NO_SIZE) == 0 ? NULL : name;
	return nauth_generic_paging(settings) == NAUTH_GENERIC_WHOLE ? NULL : "limit";
}

/* ---- What the provider becomes by them */

/* Whether an id is an integer as JSON has it, above or equal to 0. */
static bool
is_integer(const char *id)
{
	size_t		len = strspn(id, "0123456789");

	return len > 0 && len < 19 && id[len] == '\0' && (id[0] != '0' || len == 1);
}

static void
adapt_columns(const NauthSettings *settings, NauthColumns *columns)
{
	const char *const *more = settings->more;
	NauthMomentForm form = nauth_generic_is(settings, NAUTH_SETTING_TIME_UNIT, "s") ? NAUTH_MOMENT_SECONDS :
	nauth_generic_is(settings, NAUTH_SETTING_TIME_UNIT, "ms") ? NAUTH_MOMENT_MILLISECONDS : NAUTH_MOMENT_RFC3339;

	if (more[NAUTH_SETTING_ID_MEMBER] != NULL)
		columns->id = more[NAUTH_SETTING_ID_MEMBER];
	columns->id_is_number = nauth_generic_is(settings, NAUTH_SETTING_ID_TYPE, "integer");
	if (more[NAUTH_SETTING_NAME_MEMBER] != NULL)
	{
		columns->name[0].kind = more[NAUTH_SETTING_LAST_NAME_MEMBER] != NULL ? NAUTH_RULE_JOIN : NAUTH_RULE_MEMBER;
		columns->name[0].a = more[NAUTH_SETTING_NAME_MEMBER];
		columns->name[0].b = more[NAUTH_SETTING_LAST_NAME_MEMBER];
	}
	if (more[NAUTH_SETTING_EMAIL_MEMBER] != NULL)
	{
		columns->email[0].kind = NAUTH_RULE_MEMBER;
		columns->email[0].a = more[NAUTH_SETTING_EMAIL_MEMBER];
	}
	columns->created_at.member = more[NAUTH_SETTING_CREATED_AT_MEMBER];
	columns->updated_at.member = more[NAUTH_SETTING_UPDATED_AT_MEMBER];
	columns->deleted_at.member = more[NAUTH_SETTING_DELETED_AT_MEMBER];
	columns->created_at.form = columns->updated_at.form = columns->deleted_at.form = form;
}

/* How one user is asked for, and what says that there is none. */
static void
adapt_lookups(const NauthSettings *settings, NauthProvider *copy)
{
	const char *path = settings->more[NAUTH_SETTING_USER_PATH];
	const char *status = settings->more[NAUTH_SETTING_NOT_FOUND_STATUS];
	const char *id = path != NULL ? strstr(path, NAUTH_GENERIC_ID) : NULL;

	copy->lists_only = id == NULL;
	copy->unconfirmed = UNCONFIRMED_HINT;
	if (id == NULL)
		return;

	/* within a path some servers take even an encoded slash for one */
	copy->never_in_id = strcspn(path, "?") > (size_t) (id - path) ? "/\\" : NULL;
	if (settings->more[NAUTH_SETTING_NOT_FOUND_VALUE] == NULL)
		return;
	copy->unconfirmed = NULL;
	copy->error_path = settings->more[NAUTH_SETTING_NOT_FOUND_MEMBER];
	copy->not_found_code = settings->more[NAUTH_SETTING_NOT_FOUND_VALUE];
	copy->not_found_status = status != NULL ? (int) strtol(status, NULL, 10) : 404;
}

void
nauth_generic_adapt(const NauthSettings *settings, NauthProvider *copy)
{
	NauthGenericPaging paging = nauth_generic_paging(settings);

	if (paging == NAUTH_GENERIC_WHOLE)
	{
		copy->page_size = WHOLE_SIZE;
		copy->max_page_size = WHOLE_MAX;
	}
	else if (paging == NAUTH_GENERIC_NUMBERED)
		copy->min_page_size = NUMBERED_MIN;
	copy->page_header = paging == NAUTH_GENERIC_LINK || paging == NAUTH_GENERIC_WHOLE ? "Link" : NULL;
	copy->finds_emails = settings->more[NAUTH_SETTING_EMAIL_PARAMETER] != NULL;
	copy->lists_since = settings->more[NAUTH_SETTING_SINCE_PARAMETER] != NULL;
	copy->count_path = settings->more[NAUTH_SETTING_TOTAL_MEMBER];
	copy->counts = copy->count_path != NULL && paging != NAUTH_GENERIC_WHOLE && nauth_generic_size_parameter(settings) != NULL;
	if (nauth_generic_is(settings, NAUTH_SETTING_ID_TYPE, "integer"))
		copy->is_id = is_integer;
	else if (nauth_generic_is(settings, NAUTH_SETTING_ID_TYPE, "uuid"))
		copy->is_id = nauth_ask_is_uuid;
	adapt_columns(settings, &copy->columns);
	adapt_lookups(settings, copy);
}

/* ---- What does not go together */

#define WITH(paging)	(1u << (paging))
#define ANY_PAGING		(~0u)

/* An option that is set goes with these kinds of paging, and needs another one. */
typedef struct Rule
{
	NauthSetting option;
	unsigned	with;
	NauthSetting needs;			/* NAUTH_NUM_SETTINGS: nothing */
	const char *message;
	const char *hint;
} Rule;

static const Rule rules[] = {
	{NAUTH_SETTING_PAGE_PARAMETER, WITH(NAUTH_GENERIC_NUMBERED) | WITH(NAUTH_GENERIC_OFFSET) | WITH(NAUTH_GENERIC_CURSOR), NAUTH_NUM_SETTINGS,
		"option \"page_parameter\" means nothing with such paging",
	"It names the number, the offset or the cursor of a page. Leave it out, or set option paging to page, offset or cursor."},
	{NAUTH_SETTING_FIRST_PAGE, WITH(NAUTH_GENERIC_NUMBERED), NAUTH_NUM_SETTINGS,
		"option \"first_page\" means nothing without page numbers",
	"It is the number of the first page. Leave it out, or set option paging to page."},
	{NAUTH_SETTING_NEXT_MEMBER, WITH(NAUTH_GENERIC_CURSOR), NAUTH_NUM_SETTINGS,
		"option \"next_member\" means nothing without cursors",
	"It is where a page has the cursor, or the URL, of the next one. Leave it out, or set option paging to cursor."},
	{NAUTH_SETTING_LAST_NAME_MEMBER, ANY_PAGING, NAUTH_SETTING_NAME_MEMBER,
		"option \"last_name_member\" requires option \"name_member\"",
	"A name is that of name_member, a blank and that of last_name_member. Where there is only one, it is name_member."},
	{NAUTH_SETTING_USER_MEMBER, ANY_PAGING, NAUTH_SETTING_USER_PATH,
		"option \"user_member\" requires option \"user_path\"",
	"It is where the reply to user_path has the user. For the list there is users_member."},
	{NAUTH_SETTING_NOT_FOUND_MEMBER, ANY_PAGING, NAUTH_SETTING_USER_PATH,
		"option \"not_found_member\" requires option \"user_path\"",
	"It says what the directory answers where a user is asked for who does not exist: add user_path '/users/{id}', or where that is."},
	{NAUTH_SETTING_NOT_FOUND_STATUS, ANY_PAGING, NAUTH_SETTING_NOT_FOUND_MEMBER,
		"option \"not_found_status\" is not enough to tell that a user does not exist",
	"A proxy, or a path that is wrong, answers with such a status, too, and every user would be marked as deleted. Add not_found_member and not_found_value: what the body of that answer has, such as code and user_not_found."},
	{NAUTH_SETTING_NOT_FOUND_MEMBER, ANY_PAGING, NAUTH_SETTING_NOT_FOUND_VALUE,
		"option \"not_found_member\" requires option \"not_found_value\"",
	"It is where the body of an error has what not_found_value says, such as code and user_not_found."},
	{NAUTH_SETTING_NOT_FOUND_VALUE, ANY_PAGING, NAUTH_SETTING_NOT_FOUND_MEMBER,
		"option \"not_found_value\" requires option \"not_found_member\"",
	"It is what the body of an error has at not_found_member, such as user_not_found at code."},
	{NAUTH_SETTING_SINCE_PARAMETER, ANY_PAGING, NAUTH_SETTING_UPDATED_AT_MEMBER,
		"option \"since_parameter\" requires option \"updated_at_member\"",
	"Users are asked for who have changed since the latest of these times."},
	{NAUTH_SETTING_TIME_UNIT, ANY_PAGING, NAUTH_NUM_SETTINGS, NULL, NULL}
};

/* Headers that say how a request travels, or what it is. */
static const char *const other_headers[] = {
	"Host", "Connection", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "TE", "Trailer",
	"Upgrade", "Keep-Alive", "Expect", "Accept", "Accept-Encoding", "Range", "User-Agent", "Via", "Forwarded",
	"Max-Forwards", "Date", "Origin", "Referer", NULL
};

static const char *const other_prefixes[] = {"Proxy-", "Sec-", "If-", "X-Forwarded-", "X-HTTP-Method", NULL};

static bool
is_other_header(const char *name)
{
	for (int i = 0; other_headers[i] != NULL; i++)
		if (strcasecmp(name, other_headers[i]) == 0)
			return true;
	for (int i = 0; other_prefixes[i] != NULL; i++)
		if (strncasecmp(name, other_prefixes[i], strlen(other_prefixes[i])) == 0)
			return true;
	return false;
}

/* Whether the query of a path has a parameter of this name. */
static bool
has_parameter(const char *path, const char *name)
{
	const char *p = strchr(path, '?');
	size_t		len = strlen(name);

	for (; p != NULL; p = strchr(p, '&'))
	{
		p++;
		if (strncmp(p, name, len) == 0 && strchr("=&", p[len]) != NULL)
			return true;
	}
	return false;
}

/* Why parameters would be sent twice, or NULL. */
static const char *
refuse_parameters(const NauthSettings *settings, const char **hint)
{
	const NauthGenericPaging paging = nauth_generic_paging(settings);
	const char *const names[] = {
		paging == NAUTH_GENERIC_WHOLE || paging == NAUTH_GENERIC_LINK ? NULL : nauth_generic_page_parameter(settings),
		nauth_generic_size_parameter(settings),
		settings->more[NAUTH_SETTING_EMAIL_PARAMETER],
		settings->more[NAUTH_SETTING_SINCE_PARAMETER]
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		bool		twice = names[i] != NULL && has_parameter(settings->more[NAUTH_SETTING_LIST_PATH], names[i]);

		for (size_t j = 0; j < i; j++)
			twice |= names[i] != NULL && names[j] != NULL && strcmp(names[i], names[j]) == 0;
		*hint = "The number and the size of a page, an address and a time are put behind list_path under the names of their options, each of its own.";
		if (twice)
			return "a parameter would be sent twice";
	}
	return NULL;
}

/* Why the paths are none, or NULL. */
static const char *
refuse_paths(const NauthSettings *settings, const char **hint)
{
	const char *path = settings->more[NAUTH_SETTING_USER_PATH];
	const char *id = path != NULL ? strstr(path, NAUTH_GENERIC_ID) : NULL;
	size_t		braces = path != NULL ? strcspn(path, "{}") : 0;

	*hint = "In the place of {id} comes the id of the user, such as /users/{id} or /user?id={id}. It stands there once, and is a whole segment or a whole value.";
	if (strpbrk(settings->more[NAUTH_SETTING_LIST_PATH], "{}") != NULL)
		return "option \"list_path\" is about all users and has no {id}";
	if (path == NULL)
		return NULL;
	if (id == NULL || path + braces != id || strpbrk(id + strlen(NAUTH_GENERIC_ID), "{}") != NULL)
		return "option \"user_path\" has to have {id} in it, once";
	if (strchr("/=", id[-1]) == NULL || strchr("/?&", id[strlen(NAUTH_GENERIC_ID)]) == NULL)
		return "in option \"user_path\" {id} has to be a whole segment or a whole value";
	return NULL;
}

/* Why an option goes with no paging of this kind, or not without another one; or NULL. */
static const char *
refuse_pairs(const NauthSettings *settings, const char **hint)
{
	NauthGenericPaging paging = nauth_generic_paging(settings);

	for (const Rule *rule = rules; rule->message != NULL; rule++)
	{
		*hint = rule->hint;
		if (settings->more[rule->option] != NULL &&
			(!(rule->with & WITH(paging)) || (rule->needs != NAUTH_NUM_SETTINGS && settings->more[rule->needs] == NULL)))
			return rule->message;
	}
	if (paging == NAUTH_GENERIC_CURSOR && settings->more[NAUTH_SETTING_NEXT_MEMBER] == NULL)
	{
		*hint = "Add next_member: where a page has the cursor, or the URL, of the next one.";
		return "paging by cursors requires option \"next_member\"";
	}
	if (paging == NAUTH_GENERIC_NUMBERED && nauth_generic_size_parameter(settings) == NULL)
	{
		*hint = "A page has to begin a little before the last one ended, which shows whether the directory has shifted. By its number alone none can.";
		return "paging by numbers requires that the size of a page can be asked for";
	}
	return NULL;
}

/* Letters alone, in lower case. */
static void
fold(const char *text, char folded[NAUTH_ERROR_CODE])
{
	size_t		used = 0;

	for (; *text != '\0' && used < NAUTH_ERROR_CODE - 1; text++)
		if (isalpha((unsigned char) *text))
			folded[used++] = (char) tolower((unsigned char) *text);
	folded[used] = '\0';
}

static bool
is_one_of(const char *const *list, const char *text)
{
	while (*list != NULL && strcmp(*list, text) != 0)
		list++;
	return *list != NULL;
}

/* Whether a value is no more than a status says, where a proxy or a router may say it, too. */
static bool
is_bare_status(const char *path, const char *value)
{
	static const char *const phrases[] = {
		"", "notfound", "pagenotfound", "resourcenotfound", "routenotfound", "gone", "badrequest", "unprocessableentity",
		"unprocessablecontent", "validationerror", "ok", "error", "true", "false", NULL
	};
	static const char *const members[] = {
		"status", "statuscode", "statustext", "httpstatus", "httpcode", "code", "error", "errorcode", "errors", "message",
		"errormessage", "msg", "detail", "details", "title", "reason", "name", "type", "description", "errordescription", "success", "ok", "", NULL
	};
	const char *member = strrchr(path, '.');
	size_t		digits = strspn(value, "0123456789");
	char		folded[NAUTH_ERROR_CODE];

	if (value[digits] == '\0')
		return digits == 3;
	if (digits != 0 && digits != 3)
		return false;
	fold(value, folded);
	if (!is_one_of(phrases, folded))
		return false;
	fold(member != NULL ? member + 1 : path, folded);
	return is_one_of(members, folded);
}

/* Whether a path ends in the name of a credential, which no column may show. */
static bool
is_secret(const char *path)
{
	const char *member = path != NULL ? strrchr(path, '.') : NULL;
	char		folded[NAUTH_ERROR_CODE];
	char		secret[NAUTH_ERROR_CODE];

	if (path == NULL)
		return false;
	fold(member != NULL ? member + 1 : path, folded);
	for (const char *const *name = nauth_provider_generic.secret_paths; *name != NULL; name++)
	{
		fold(*name, secret);
		if (strcmp(folded, secret) == 0)
			return true;
	}
	return false;
}

/* Why a member cannot be what an option says it is, or NULL. */
static const char *
refuse_members(const NauthSettings *settings, const char **hint)
{
	static const NauthSetting shown[] = {
		NAUTH_SETTING_ID_MEMBER, NAUTH_SETTING_NAME_MEMBER, NAUTH_SETTING_LAST_NAME_MEMBER, NAUTH_SETTING_EMAIL_MEMBER
	};
	static const NauthSetting times[] = {NAUTH_SETTING_CREATED_AT_MEMBER, NAUTH_SETTING_UPDATED_AT_MEMBER};
	const char *deleted = settings->more[NAUTH_SETTING_DELETED_AT_MEMBER];

	*hint = "Members that are credentials are never shown, in no column.";
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		if (is_secret(settings->more[shown[i]]))
			return "a member that is a credential can be no column";
	*hint = "It is the time of deletion of users who are still listed then, and null or absent for all others.";
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (deleted != NULL && settings->more[times[i]] != NULL && strcmp(deleted, settings->more[times[i]]) == 0)
			return "option \"deleted_at_member\" names another time, which would mark all users as deleted";
	return NULL;
}

const char *
nauth_generic_refuse(const NauthSettings *settings, const char **hint)
{
	const char *reason = refuse_pairs(settings, hint);
	const char *value = settings->more[NAUTH_SETTING_NOT_FOUND_VALUE];

	if (reason == NULL)
		reason = refuse_paths(settings, hint);
	if (reason == NULL)
		reason = refuse_parameters(settings, hint);
	if (reason == NULL)
		reason = refuse_members(settings, hint);
	if (reason != NULL)
		return reason;
	if (value != NULL && strlen(value) >= NAUTH_ERROR_CODE)
	{
		*hint = "It has up to 63 characters. Choose a member of the error that has a code, not a sentence.";
		return "option \"not_found_value\" is too long";
	}
	if (value != NULL && is_bare_status(settings->more[NAUTH_SETTING_NOT_FOUND_MEMBER], value))
	{
		*hint = "A proxy, or a path that is wrong, says no more than the status, too, and every user would be marked as deleted. Choose what only a missing user is answered with, such as user_not_found at code, or \"404 User Not Found\" at message.";
		return "option \"not_found_value\" is not enough to tell that a user does not exist";
	}
	if (settings->more[NAUTH_SETTING_AUTH_HEADER] != NULL && is_other_header(settings->more[NAUTH_SETTING_AUTH_HEADER]))
	{
		*hint = "It is the header that has the credential, such as Authorization, X-Api-Key or PRIVATE-TOKEN.";
		return "option \"auth_header\" names a header that is not for credentials";
	}
	return NULL;
}
