/*-------------------------------------------------------------------------
 *
 * options.c
 *	  The validator of options and their resolver.
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

#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "option_value.h"
#include "pgcompat.h"

NAUTH_FUNCTION(neon_auth_fdw_validator);

/* The provider that a list of options names, should it be one. */
static const NauthProvider *
find_named_provider(List *list)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "provider") == 0)
			return nauth_provider_find(defGetString(def));
	}
	return NULL;
}

static void
set_options(NauthOptions *options, List *list, Oid catalog)
{
	const NauthProvider *provider = find_named_provider(list);
	ListCell   *lc;

	foreach(lc, list)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		nauth_option_set(options, nauth_option_find(def->defname, catalog, provider), defGetString(def));
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
	options->full_refresh_every = NAUTH_DAY_MS;
	options->keep_runs = 30 * NAUTH_DAY_S;
	return options;
}

/* Refuse a value that the provider does not know. */
static void
check_choice(const NauthOptions *options, NauthSetting setting)
{
	const char *value = options->settings.more[setting];
	const char *const *choices = options->provider->choices[setting];
	StringInfoData valid;

	if (value == NULL || choices == NULL)
		return;
	initStringInfo(&valid);
	for (int i = 0; choices[i]; i++)
	{
		if (pg_strcasecmp(value, choices[i]) == 0)
			return;
		appendStringInfo(&valid, "%s%s", i > 0 ? " or " : "", choices[i]);
	}
	nauth_options_report_value(nauth_options_setting(setting), psprintf("It is %s.", valid.data));
}

/* Options that this provider does not take, or cannot do without. */
static void
check_settings(const NauthOptions *options)
{
	const NauthProvider *provider = options->provider;

	for (const NauthOption *option = nauth_option_table; option->name; option++)
	{
		int			setting = nauth_option_setting(option);
		uint64		bit = setting >= 0 ? NAUTH_TAKES(setting) : 0;
		bool		set = nauth_option_is_set(option, options);

		if (set && !nauth_option_is_taken(option, provider))
			ereport(ERROR,
					errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					errmsg("provider \"%s\" has no option \"%s\"", provider->name, option->name),
					errhint("Leave it out, or check option \"provider\"."));
		if (!set && (provider->needs & bit))
			ereport(ERROR,
					errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
					errmsg("option \"%s\" is required for provider \"%s\"", option->name, provider->name),
					errhint("Add it to the options of the server: %s '...'.", option->name));
	}
}

/* What this server's options make of the provider. */
static const NauthProvider *
adapt_provider(const NauthOptions *options)
{
	const NauthProvider *provider = options->provider;
	const char *hint = NULL;
	const char *reason = provider->refuse ? provider->refuse(&options->settings, &hint) : NULL;
	NauthProvider *copy;

	if (reason)
		ereport(ERROR,
				errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				errmsg("%s", reason),
				hint ? errhint("%s", hint) : 0);
	if (provider->adapt == NULL)
		return provider;
	copy = palloc(sizeof(NauthProvider));
	*copy = *provider;
	provider->adapt(&options->settings, copy);
	return copy;
}

/* The base URL of a server that has no option for it, or NULL. */
static const char *
default_url(const NauthOptions *options)
{
	const NauthProvider *provider = options->provider;
	char		url[NAUTH_URL_MAX];

	if (provider->url || provider->write_url == NULL || !provider->write_url(&options->settings, url))
		return provider->url;
	return pstrdup(url);
}

/* What a server needs as a whole; fills in what the provider decides. */
static void
complete_server(NauthOptions *options)
{
	const NauthProvider *provider;

	if (options->provider == NULL)
		ereport(ERROR,
				errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				errmsg("option \"provider\" is required"),
				errhint("SELECT provider FROM neon_auth.providers() lists the providers."));
	check_settings(options);
	for (int i = 0; i < NAUTH_NUM_SETTINGS; i++)
		check_choice(options, i);
	provider = options->provider = adapt_provider(options);
	if (options->settings.url == NULL)
		options->settings.url = default_url(options);
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

/* An option that means nothing without another one. */
static void
check_pair(const char *name, const char *value, const char *other_name, const char *other)
{
	if (value && !other)
		ereport(ERROR,
				errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				errmsg("option \"%s\" requires option \"%s\"", name, other_name));
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
	check_pair("redis_user", options->redis_user, "redis_password", options->redis_password);
	check_pair("session_token", options->settings.session_token, "access_key_id", options->settings.access_key_id);
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
find_mapping(ForeignServer *server, const NauthProvider *provider, Oid userid)
{
	if (!OidIsValid(nauth_options_mapping(server->serverid, userid)))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("role \"%s\" has no user mapping for server \"%s\"",
					   GetUserNameFromId(userid, false), server->servername),
				errhint("Create it with: CREATE USER MAPPING FOR %s SERVER %s OPTIONS (%s);",
						quote_identifier(GetUserNameFromId(userid, false)),
						quote_identifier(server->servername),
						nauth_credential_sql(provider, "")));
	return GetUserMapping(userid, server->serverid);
}

/* Parts that are not NULL, each after a line feed and its number, from a first one on. */
static const char *
join_parts(const char *before, int first, const char *const *parts, int count)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, before);
	for (int i = 0; i < count; i++)
		if (parts[i])
			appendStringInfo(&text, "\n%d %s", first + i, parts[i]);
	return text.data;
}

/* Texts that stand for all options that tell something apart. */
static void
describe(NauthOptions *options)
{
	const NauthSettings *settings = &options->settings;
	const char *credential[NAUTH_CREDENTIAL_PARTS];
	int			count = 0;

	nauth_credential_parts(settings, credential);

	options->directory = join_parts(settings->url, 0, settings->more, NAUTH_SETTING_HEADER_PREFIX);
	options->credential = join_parts(credential[0], 0, credential + 1, NAUTH_CREDENTIAL_PARTS - 1);
	while (options->redact && options->redact[count])
		count++;
	options->shape = join_parts(settings->deprovisioned_deleted ? "deprovisioned" : "", 0, options->redact, count);
	options->shape = join_parts(options->shape, NAUTH_MAX_MEMBERS, settings->more + NAUTH_SETTING_USERS_MEMBER,
								NAUTH_NUM_SETTINGS - NAUTH_SETTING_USERS_MEMBER);
	options->answers = psprintf("%s\n%s", join_parts(settings->url, 0, settings->more, NAUTH_NUM_SETTINGS), options->shape);
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
		UserMapping *mapping = find_mapping(server, options->provider, userid);

		options->connection.mapping = mapping->umid;
		set_options(options, mapping->options, UserMappingRelationId);
	}
	if (options->settings.api_key == NULL)
		options->settings.api_key = "";
	if (OidIsValid(userid))
		nauth_credential_check(options);
	describe(options);
	return options;
}
