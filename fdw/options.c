/*-------------------------------------------------------------------------
 *
 * options.c
 *	  The table of options, their validator and their resolver.
 *
 * The validator checks what can be checked without a connection.  Whether a
 * URL may be asked is decided when connecting, by neon_auth_fdw.allowed_urls:
 * the validator sees options of another role and of another time.  No message
 * quotes a value, for it might be a credential in the wrong place.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "net/url.h"
#include "options.h"
#include "pgcompat.h"

#define NAUTH_SECRET_MAX	4096
#define PREFIX_MAX			63
#define REQUESTS_MAX		1000
#define COST_MAX			1e10
#define BYTES_MIN			(INT64CONST(64) * 1024)
#define BYTES_MAX			(INT64CONST(1) << 40)

typedef enum OptionType
{
	OPTION_PROVIDER,
	OPTION_URL,
	OPTION_REDIS_URL,
	OPTION_SECRET,
	OPTION_PREFIX,
	OPTION_MEMBERS,
	OPTION_MILLISECONDS,
	OPTION_SECONDS,
	OPTION_BYTES,
	OPTION_INTEGER,
	OPTION_COST,
	OPTION_BOOLEAN
} OptionType;

typedef struct Option
{
	const char *name;
	Oid			catalog;		/* where it may stand */
	OptionType	type;
	size_t		offset;			/* in NauthOptions */
	int			min;			/* of numbers */
	int			max;
} Option;

#define DAY_S	(24 * 60 * 60)
#define DAY_MS	(DAY_S * 1000)
#define MEMBER_MAX	64			/* bytes of a member's name */

static const Option option_table[] = {
	{"provider", ForeignServerRelationId, OPTION_PROVIDER,
	offsetof(NauthOptions, provider), 0, 0},
	{"url", ForeignServerRelationId, OPTION_URL,
	offsetof(NauthOptions, settings.url), 0, 0},
	{"page_size", ForeignServerRelationId, OPTION_INTEGER,
	offsetof(NauthOptions, settings.page_size), 1, INT_MAX},
	{"connect_timeout", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, connect_timeout), 1, DAY_MS},
	{"request_timeout", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, request_timeout), 1, DAY_MS},
	{"scan_timeout", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, scan_timeout), 1, DAY_MS},
	{"refresh_timeout", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, refresh_timeout), 1, DAY_MS},
	{"idle_timeout", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, connection.idle_timeout), 0, DAY_MS},
	{"redis_url", ForeignServerRelationId, OPTION_REDIS_URL,
	offsetof(NauthOptions, redis_url), 0, 0},
	{"redis_timeout", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, redis_timeout), 1, DAY_MS},
	{"redis_prefix", ForeignServerRelationId, OPTION_PREFIX,
	offsetof(NauthOptions, redis_prefix), 0, 0},
	{"cache_ttl", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, cache_ttl), 0, DAY_MS},
	{"cache_stale_ttl", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, cache_stale_ttl), 0, DAY_MS},
	{"cache_max_bytes", ForeignServerRelationId, OPTION_BYTES,
	offsetof(NauthOptions, cache_max_bytes), 0, 0},
	{"max_requests_per_second", ForeignServerRelationId, OPTION_INTEGER,
	offsetof(NauthOptions, max_requests_per_second), 1, REQUESTS_MAX},
	{"request_cost", ForeignServerRelationId, OPTION_COST,
	offsetof(NauthOptions, request_cost), 0, 0},
	{"fdw_tuple_cost", ForeignServerRelationId, OPTION_COST,
	offsetof(NauthOptions, fdw_tuple_cost), 0, 0},
	{"max_concurrency", ForeignServerRelationId, OPTION_INTEGER,
	offsetof(NauthOptions, max_concurrency), 1, NAUTH_CONCURRENCY_MAX},
	{"full_refresh_every", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, full_refresh_every), 0, 24 * DAY_MS},
	{"keep_runs", ForeignServerRelationId, OPTION_SECONDS,
	offsetof(NauthOptions, keep_runs), 60, 3650 * DAY_S},
	{"notify", ForeignServerRelationId, OPTION_BOOLEAN,
	offsetof(NauthOptions, notify), 0, 0},
	{"ignore_changes", ForeignServerRelationId, OPTION_MEMBERS,
	offsetof(NauthOptions, ignore_changes), 0, 0},
	{"api_key", UserMappingRelationId, OPTION_SECRET,
	offsetof(NauthOptions, settings.api_key), 0, 0},
	{"redis_user", UserMappingRelationId, OPTION_SECRET,
	offsetof(NauthOptions, redis_user), 0, 0},
	{"redis_password", UserMappingRelationId, OPTION_SECRET,
	offsetof(NauthOptions, redis_password), 0, 0},
};

NAUTH_FUNCTION(neon_auth_fdw_validator);

static _Noreturn void
report_unknown_option(const char *name, Oid catalog)
{
	StringInfoData valid;

	initStringInfo(&valid);
	for (int i = 0; i < lengthof(option_table); i++)
		if (option_table[i].catalog == catalog)
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "",
							 option_table[i].name);
	ereport(ERROR,
			errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			errmsg("invalid option \"%s\"", name),
			valid.len > 0 ?
			errhint("Valid options here are: %s.", valid.data) :
			errhint("There are no valid options here."));
}

static const Option *
find_option(const char *name, Oid catalog)
{
	for (int i = 0; i < lengthof(option_table); i++)
		if (option_table[i].catalog == catalog &&
			strcmp(option_table[i].name, name) == 0)
			return &option_table[i];
	report_unknown_option(name, catalog);
}

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
parse_provider(const Option *option, const char *value)
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
check_address(const Option *option, NauthErrorKind kind, const char *hint)
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
parse_url(const Option *option, const char *value)
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
parse_redis_url(const Option *option, const char *value)
{
	NauthRedisAddress address;

	check_address(option, nauth_url_redis(value, &address),
				  "It is redis://host:port/database, rediss:// for TLS, or unix:/path/of/socket; user and password belong into the user mapping.");
	return pstrdup(value);
}

/* A secret travels in a header, where a control character would end it. */
static char *
parse_secret(const Option *option, const char *value)
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

/* What begins a key, and stands in an access rule of Redis as it is. */
static char *
parse_prefix(const Option *option, const char *value)
{
	size_t		len = strlen(value);

	if (len == 0 || len > PREFIX_MAX ||
		strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:") != len)
		nauth_options_report_value(option->name,
								   psprintf("It has 1 to %d letters, digits and characters of \"_-.:\".", PREFIX_MAX));
	return pstrdup(value);
}

/* Names between commas, as a list ended by NULL. */
static char **
parse_members(const Option *option, const char *value)
{
	char	  **members = palloc0((NAUTH_MAX_MEMBERS + 1) * sizeof(char *));
	int			count = 0;

	for (;;)
	{
		size_t		len;

		value += strspn(value, " ");
		len = strcspn(value, ", ");
		if (len == 0 || len > MEMBER_MAX || count == NAUTH_MAX_MEMBERS)
			break;
		members[count++] = pnstrdup(value, len);
		value += len;
		value += strspn(value, " ");
		if (*value == '\0')
			return members;
		if (*value++ != ',')
			break;
	}
	nauth_options_report_value(option->name,
							   psprintf("It is a list of up to %d names of members of a user, such as last_seen, logins.",
										NAUTH_MAX_MEMBERS));
}

static int64_t
parse_bytes(const Option *option, const char *value)
{
	double		bytes;

	if (!parse_real(value, &bytes, GUC_UNIT_BYTE, NULL) || bytes < BYTES_MIN || bytes > BYTES_MAX)
		nauth_options_report_value(option->name, "It is an amount of memory from 64kB to 1TB, such as 64MB or 1GB.");
	return (int64_t) bytes;
}

static int
parse_number(const Option *option, const char *value)
{
	int			unit = option->type == OPTION_MILLISECONDS ? GUC_UNIT_MS :
	option->type == OPTION_SECONDS ? GUC_UNIT_S : 0;
	int			number;

	if (!parse_int(value, &number, unit, NULL) ||
		number < option->min || number > option->max)
		nauth_options_report_value(option->name, unit == GUC_UNIT_MS ?
								   psprintf("It is a duration from %dms to %dd, such as 500ms, 10s or 5min.",
											option->min, option->max / DAY_MS) :
								   unit == GUC_UNIT_S ?
								   psprintf("It is a duration from %ds to %dd, such as 90min or 30d.",
											option->min, option->max / DAY_S) :
								   option->max < INT_MAX ?
								   psprintf("It is a whole number from %d to %d.", option->min, option->max) :
								   "It is a whole number above 0.");
	return number;
}

static double
parse_cost(const Option *option, const char *value)
{
	double		cost;

	if (!parse_real(value, &cost, 0, NULL) || isnan(cost) || cost < 0 || cost > COST_MAX)
		nauth_options_report_value(option->name, "It is a number from 0 to 1e10, in the planner's units, such as 100 or 0.01.");
	return cost;
}

static bool
parse_switch(const Option *option, const char *value)
{
	bool		on;

	if (!parse_bool(value, &on))
		nauth_options_report_value(option->name, "It is true or false.");
	return on;
}

/* Parse a value into its place. */
static void
set_option(NauthOptions *options, const Option *option, const char *value)
{
	char	   *place = (char *) options + option->offset;

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
		case OPTION_PREFIX:
			*(char **) place = parse_prefix(option, value);
			break;
		case OPTION_MEMBERS:
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

static void
set_options(NauthOptions *options, List *list, Oid catalog)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		set_option(options, find_option(def->defname, catalog), defGetString(def));
	}
}

static NauthOptions *
default_options(void)
{
	NauthOptions *options = palloc0(sizeof(NauthOptions));

	options->connect_timeout = 5 * 1000;
	options->request_timeout = 10 * 1000;
	options->scan_timeout = 60 * 1000;
	options->refresh_timeout = 10 * 60 * 1000;
	options->connection.idle_timeout = 60 * 1000;
	options->redis_timeout = 250;
	options->redis_prefix = "neon_auth";
	options->cache_ttl = 60 * 1000;
	options->cache_stale_ttl = 60 * 60 * 1000;
	options->cache_max_bytes = INT64CONST(256) * 1024 * 1024;
	/* a request takes far longer than anything that is done with its reply */
	options->request_cost = 100;
	options->fdw_tuple_cost = 0.01;
	options->max_concurrency = 8;
	options->full_refresh_every = DAY_MS;
	options->keep_runs = 30 * DAY_S;
	return options;
}

/* What a server needs as a whole; fills in what the provider decides. */
static void
complete_server(NauthOptions *options)
{
	const NauthProvider *provider = options->provider;

	if (provider == NULL)
		ereport(ERROR,
				errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				errmsg("option \"provider\" is required"),
				errhint("SELECT provider FROM neon_auth.providers() lists the providers."));
	if (options->settings.url == NULL)
		options->settings.url = provider->url;
	if (options->settings.url == NULL)
		ereport(ERROR,
				errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				errmsg("option \"url\" is required for provider \"%s\"", provider->name),
				errhint("It is the address of your own directory, such as https://auth.example.com."));
	if (options->settings.page_size == 0)
		options->settings.page_size = provider->page_size;
	if (options->settings.page_size < provider->min_page_size ||
		options->settings.page_size > provider->max_page_size)
		nauth_options_report_value("page_size",
								   psprintf("Provider \"%s\" takes %d to %d.", provider->name,
											provider->min_page_size, provider->max_page_size));
}

/*
 * Validate the options of one catalog entry, one by one and as a whole.
 */
Datum
neon_auth_fdw_validator(PG_FUNCTION_ARGS)
{
	Oid			catalog = PG_GETARG_OID(1);
	NauthOptions *options = default_options();

	set_options(options, untransformRelOptions(PG_GETARG_DATUM(0)), catalog);
	if (catalog == ForeignServerRelationId)
		complete_server(options);
	if (options->redis_user && !options->redis_password)
		ereport(ERROR,
				errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				errmsg("option \"redis_user\" requires option \"redis_password\""));
	PG_RETURN_VOID();
}

Oid
nauth_options_mapping(Oid serverid, Oid userid)
{
	Oid			roles[] = {userid, InvalidOid};

	for (int i = 0; i < lengthof(roles); i++)
	{
		Oid			mapping = GetSysCacheOid2(USERMAPPINGUSERSERVER, Anum_pg_user_mapping_oid,
											  ObjectIdGetDatum(roles[i]), ObjectIdGetDatum(serverid));

		if (OidIsValid(mapping))
			return mapping;
	}
	return InvalidOid;
}

/* The user mapping of this role, or the public one. */
static UserMapping *
find_mapping(ForeignServer *server, Oid userid)
{
	if (!OidIsValid(nauth_options_mapping(server->serverid, userid)))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("role \"%s\" has no user mapping for server \"%s\"",
					   GetUserNameFromId(userid, false), server->servername),
				errhint("Create it with: CREATE USER MAPPING FOR %s SERVER %s OPTIONS (api_key '...');",
						quote_identifier(GetUserNameFromId(userid, false)),
						quote_identifier(server->servername)));
	return GetUserMapping(userid, server->serverid);
}

NauthOptions *
nauth_options_get(Oid serverid, Oid userid)
{
	NauthOptions *options = default_options();
	ForeignServer *server;

	/* first, to notice what changes while the rest is read */
	nauth_connection_identify(&options->connection);
	server = GetForeignServer(serverid);
	options->server = server->servername;
	options->connection.server = serverid;
	set_options(options, server->options, ForeignServerRelationId);
	complete_server(options);
	if (OidIsValid(userid))
	{
		UserMapping *mapping = find_mapping(server, userid);

		options->connection.mapping = mapping->umid;
		set_options(options, mapping->options, UserMappingRelationId);
	}
	if (options->settings.api_key == NULL)
		options->settings.api_key = "";
	if (OidIsValid(userid) && options->settings.api_key[0] == '\0')
		ereport(ERROR,
				errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				errmsg("user mapping for server \"%s\" has no credential", server->servername),
				errhint("Add it with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (ADD api_key '...');",
						quote_identifier(server->servername)));
	return options;
}
