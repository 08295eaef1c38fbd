/*-------------------------------------------------------------------------
 *
 * option_value.c
 *	  The values of options, by type.
 *
 * No message quotes a value, for it might be a credential in the wrong place.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "jwt.h"
#include "net/url.h"
#include "option_value.h"

#define NAUTH_SECRET_MAX	4096
#define PRIVATE_KEY_MAX		16384
#define TEXT_MAX			255
#define PREFIX_MAX			63
#define NAME_CHARACTERS		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
#define COST_MAX			1e10
#define BYTES_MIN			(INT64CONST(64) * 1024)
#define BYTES_MAX			(INT64CONST(1) << 40)
#define PATH_MAX_BYTES		128 /* of a member's path */
#define NAMES_MAX			8	/* in one that a column is read by */

/* value may be a credential in the wrong place, so it is not quoted. */
_Noreturn void
nauth_options_report_value(const char *name, const char *hint)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for option \"%s\"", name),
			errhint("%s", hint));
}

static const NauthProvider *
parse_provider(const NauthOption *option, const char *value)
{
	const NauthProvider *provider = nauth_provider_find(value);
	StringInfoData names;

	if (provider)
		return provider;
	initStringInfo(&names);
	for (int i = 0; nauth_providers[i]; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
						 nauth_providers[i]->name);
	nauth_options_report_value(option->name,
							   psprintf("Providers are: %s.", names.data));
}

/* kind is what reading an address came to. */
static void
check_address(const NauthOption *option, NauthErrorKind kind, const char *hint)
{
	if (kind == NAUTH_ERROR_MEMORY)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("out of memory"));
	if (kind != NAUTH_OK)
		nauth_options_report_value(option->name, hint);
}

/* A base URL without the slashes at its end. */
static char *
parse_url(const NauthOption *option, const char *value)
{
	char	   *url;

	check_address(option, strlen(value) > NAUTH_URL_MAX / 2 ? NAUTH_ERROR_FORBIDDEN_URL :
				  nauth_url_check_base(value),
				  "It is an absolute http or https URL without user, query, fragment and encoded slashes, such as https://auth.example.com.");
	url = pstrdup(value);
	for (size_t len = strlen(url); len > 0 && url[len - 1] == '/'; len--)
		url[len - 1] = '\0';
	return url;
}

static char *
parse_redis_url(const NauthOption *option, const char *value)
{
	NauthRedisAddress address;

	check_address(option, nauth_url_redis(value, &address),
				  "It is redis://host:port/database, rediss:// for TLS, or unix:/path/of/socket; user and password belong into the user mapping.");
	return pstrdup(value);
}

/* A secret travels in a header, where a control character would end it. */
static char *
parse_secret(const NauthOption *option, const char *value)
{
	size_t		len = strlen(value);

	if (len == 0 || len > NAUTH_SECRET_MAX)
		nauth_options_report_value(option->name,
								   psprintf("It has 1 to %d characters.", NAUTH_SECRET_MAX));
	for (size_t i = 0; i < len; i++)
		if (value[i] <= ' ' || value[i] > '~')
			nauth_options_report_value(option->name,
									   "It has printable ASCII characters only, and no blanks.");
	return pstrdup(value);
}

/*
 * Files of JSON have "\n" for an end of line, and keys are pasted from them as they
 * are.  There is no backslash in PEM.
 */
static char *
parse_private_key(const NauthOption *option, const char *value)
{
	char	   *key = pstrdup(value);
	char	   *to = key;

	for (const char *from = value; *from; from++)
	{
		bool		escaped = from[0] == '\\' && from[1] == 'n';

		*to++ = escaped ? '\n' : *from;
		from += escaped;
	}
	*to = '\0';
	if (strlen(value) > PRIVATE_KEY_MAX || !nauth_jwt_is_key(key))
		nauth_options_report_value(option->name,
								   "It is an RSA private key of 2048 bits or more in PEM format, without a passphrase.");
	return key;
}

/* A text that goes into a path, a header or a form, each encoded in its way. */
static char *
parse_text(const NauthOption *option, const char *value)
{
	size_t		len = strlen(value);
	bool		good = len > 0 && len <= TEXT_MAX;

	for (size_t i = 0; i < len; i++)
		good &= value[i] >= ' ' && value[i] <= '~';
	/* even encoded some server or proxy may take these for a '/' or a ".." */
	if (option->type == OPTION_SEGMENT &&
		(strpbrk(value, "/\\%;") != NULL || nauth_request_is_dots(value)))
		nauth_options_report_value(option->name, "It has none of the characters \"/\\%;\", and is neither \".\" nor \"..\".");
	if (!good)
		nauth_options_report_value(option->name,
								   psprintf("It has 1 to %d printable ASCII characters.", TEXT_MAX));
	return pstrdup(value);
}

/* Whether a byte that is encoded in a path may be another path to whoever decodes it. */
static bool
is_treacherous(const char *encoded)
{
	char		digits[] = {encoded[1], encoded[2], '\0'};
	long		byte = strtol(digits, NULL, 16);

	return byte <= ' ' || byte == 0x7F || strchr("/\\.%;?#", (int) byte) != NULL;
}

/* Whether the path of a URL leads nowhere but where it seems to. */
static bool
is_url_path(const char *value)
{
	size_t		end = strcspn(value, "?");

	for (size_t i = 0; value[i] != '\0'; i++)
	{
		if (value[i] <= ' ' || value[i] > '~' || strchr("#\"<>\\^`|", value[i]) != NULL)
			return false;
		if (value[i] == '%' && (!isxdigit((unsigned char) value[i + 1]) || !isxdigit((unsigned char) value[i + 2])))
			return false;
		if (i < end && value[i] == '%' && is_treacherous(value + i))
			return false;
		if (i < end && value[i] == '/' && (value[i + 1] == '/' || nauth_request_is_dots(pnstrdup(value + i + 1, strcspn(value + i + 1, "/?")))))
			return false;
	}
	return value[0] == '/' && strlen(value) <= TEXT_MAX;
}

static char *
parse_url_path(const NauthOption *option, const char *value)
{
	if (!is_url_path(value))
		nauth_options_report_value(option->name,
								   psprintf("It is a path below option \"url\" of up to %d characters that begins with \"/\", such as %s.", TEXT_MAX,
											strcmp(option->name, "list_path") == 0 ? "/users?status=all" : "/users/{id}"));
	return pstrdup(value);
}

/* Names between dots, few: each costs time in each user. */
static char *
parse_member(const NauthOption *option, const char *value)
{
	bool		good = strlen(value) <= PATH_MAX_BYTES;
	int			names = 0;

	for (const char *p = value; good; p++)
	{
		size_t		len = strcspn(p, ".");

		good = ++names <= NAMES_MAX && len > 0 && len < NAUTH_MEMBER_MAX && strcspn(p, "\"\\, ") >= len;
		for (size_t i = 0; i < len; i++)
			good &= (unsigned char) p[i] > ' ' && p[i] != 0x7F;
		p += len;
		if (*p == '\0')
			break;
	}
	if (!good)
		nauth_options_report_value(option->name, psprintf("It is the path of a member in JSON, up to %d names with dots between, such as data.items.", NAMES_MAX));
	return pstrdup(value);
}

/* What begins a key stands in an access rule of Redis as it is. */
static char *
parse_name(const NauthOption *option, const char *value)
{
	bool		prefix = option->type == OPTION_PREFIX;
	size_t		len = strlen(value);

	if (len == 0 || len > PREFIX_MAX || strspn(value, prefix ? NAME_CHARACTERS ":" : NAME_CHARACTERS) != len)
		nauth_options_report_value(option->name,
								   psprintf("It has 1 to %d letters, digits and characters of \"_-.%s\".",
											PREFIX_MAX, prefix ? ":" : ""));
	return pstrdup(value);
}

/* Names between commas, as a list ended by NULL. */
static char **
parse_members(const NauthOption *option, const char *value)
{
	bool		paths = option->type == OPTION_PATHS;
	size_t		max = paths ? PATH_MAX_BYTES : NAUTH_MEMBER_MAX;
	char	  **members = palloc0((NAUTH_MAX_MEMBERS + 1) * sizeof(char *));
	int			count = 0;

	for (;;)
	{
		size_t		len;

		value += strspn(value, " ");
		len = strcspn(value, ", ");
		if (len == 0 || len > max || count == NAUTH_MAX_MEMBERS)
			break;
		members[count] = pnstrdup(value, len);
		/* a path with an empty name would protect nothing */
		if (paths && (value[0] == '.' || value[len - 1] == '.' || strstr(members[count], "..") != NULL))
			break;
		count++;
		value += len;
		value += strspn(value, " ");
		if (*value == '\0')
			return members;
		if (*value++ != ',')
			break;
	}
	nauth_options_report_value(option->name,
							   psprintf(paths ? "It is a list of up to %d paths of members of a user, such as private_metadata, identities.profile." :
										"It is a list of up to %d names of members of a user, such as last_seen, logins.",
										NAUTH_MAX_MEMBERS));
}

static int64_t
parse_bytes(const NauthOption *option, const char *value)
{
	double		bytes;

	if (!parse_real(value, &bytes, GUC_UNIT_BYTE, NULL) || bytes < BYTES_MIN || bytes > BYTES_MAX)
		nauth_options_report_value(option->name, "It is an amount of memory from 64kB to 1TB, such as 64MB or 1GB.");
	return (int64_t) bytes;
}

static int
parse_number(const NauthOption *option, const char *value)
{
	int			unit = option->type == OPTION_MILLISECONDS ? GUC_UNIT_MS :
	option->type == OPTION_SECONDS ? GUC_UNIT_S : 0;
	int			number;

	if (!parse_int(value, &number, unit, NULL) ||
		number < option->min || number > option->max)
		nauth_options_report_value(option->name, unit == GUC_UNIT_MS ?
								   psprintf("It is a duration from %dms to %dd, such as 500ms, 10s or 5min.",
											option->min, option->max / NAUTH_DAY_MS) :
								   unit == GUC_UNIT_S ?
								   psprintf("It is a duration from %ds to %dd, such as 90min or 30d.",
											option->min, option->max / NAUTH_DAY_S) :
								   option->max < INT_MAX ?
								   psprintf("It is a whole number from %d to %d.", option->min, option->max) :
								   "It is a whole number above 0.");
	return number;
}

static double
parse_cost(const NauthOption *option, const char *value)
{
	double		cost;

	if (!parse_real(value, &cost, 0, NULL) || isnan(cost) || cost < 0 || cost > COST_MAX)
		nauth_options_report_value(option->name, "It is a number from 0 to 1e10, in the planner's units, such as 100 or 0.01.");
	return cost;
}

static bool
parse_switch(const NauthOption *option, const char *value)
{
	bool		on;

	if (!parse_bool(value, &on))
		nauth_options_report_value(option->name, "It is true or false.");
	return on;
}

void
nauth_option_set(NauthOptions *options, const NauthOption *option, const char *value)
{
	void	   *place = (char *) options + option->offset;

	switch (option->type)
	{
		case OPTION_PROVIDER:
			*(const NauthProvider **) place = parse_provider(option, value);
			break;
		case OPTION_URL:
			*(char **) place = parse_url(option, value);
			break;
		case OPTION_REDIS_URL:
			*(char **) place = parse_redis_url(option, value);
			break;
		case OPTION_SECRET:
			*(char **) place = parse_secret(option, value);
			break;
		case OPTION_PRIVATE_KEY:
			*(char **) place = parse_private_key(option, value);
			break;
		case OPTION_PREFIX:
		case OPTION_NAME:
			*(char **) place = parse_name(option, value);
			break;
		case OPTION_TEXT:
		case OPTION_SEGMENT:
			*(char **) place = parse_text(option, value);
			break;
		case OPTION_PATH:
			*(char **) place = parse_url_path(option, value);
			break;
		case OPTION_MEMBER:
			*(char **) place = parse_member(option, value);
			break;
		case OPTION_MEMBERS:
		case OPTION_PATHS:
			*(char ***) place = parse_members(option, value);
			break;
		case OPTION_BYTES:
			*(int64_t *) place = parse_bytes(option, value);
			break;
		case OPTION_COST:
			*(double *) place = parse_cost(option, value);
			break;
		case OPTION_BOOLEAN:
			*(bool *) place = parse_switch(option, value);
			break;
		case OPTION_MILLISECONDS:
		case OPTION_SECONDS:
		case OPTION_INTEGER:
			*(int *) place = parse_number(option, value);
			break;
	}
}
