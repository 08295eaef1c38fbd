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

#include "option_value.h"
#include "pgcompat.h"

#define REQUESTS_MAX		1000

static const NauthOption option_table[] = {
	{"provider", ForeignServerRelationId, OPTION_PROVIDER,
	offsetof(NauthOptions, provider), 0, 0},
	{"url", ForeignServerRelationId, OPTION_URL,
	offsetof(NauthOptions, settings.url), 0, 0},
	{"page_size", ForeignServerRelationId, OPTION_INTEGER,
	offsetof(NauthOptions, settings.page_size), 1, INT_MAX},
	{"connect_timeout", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, connect_timeout), 1, NAUTH_DAY_MS},
	{"request_timeout", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, request_timeout), 1, NAUTH_DAY_MS},
	{"scan_timeout", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, scan_timeout), 1, NAUTH_DAY_MS},
	{"refresh_timeout", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, refresh_timeout), 1, NAUTH_DAY_MS},
	{"idle_timeout", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, connection.idle_timeout), 0, NAUTH_DAY_MS},
	{"redis_url", ForeignServerRelationId, OPTION_REDIS_URL,
	offsetof(NauthOptions, redis_url), 0, 0},
	{"redis_timeout", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, redis_timeout), 1, NAUTH_DAY_MS},
	{"redis_prefix", ForeignServerRelationId, OPTION_PREFIX,
	offsetof(NauthOptions, redis_prefix), 0, 0},
	{"cache_ttl", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, cache_ttl), 0, NAUTH_DAY_MS},
	{"cache_stale_ttl", ForeignServerRelationId, OPTION_MILLISECONDS,
	offsetof(NauthOptions, cache_stale_ttl), 0, NAUTH_DAY_MS},
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
	offsetof(NauthOptions, full_refresh_every), 0, 24 * NAUTH_DAY_MS},
	{"keep_runs", ForeignServerRelationId, OPTION_SECONDS,
	offsetof(NauthOptions, keep_runs), 60, 3650 * NAUTH_DAY_S},
	{"notify", ForeignServerRelationId, OPTION_BOOLEAN,
	offsetof(NauthOptions, notify), 0, 0},
	{"ignore_changes", ForeignServerRelationId, OPTION_MEMBERS,
	offsetof(NauthOptions, ignore_changes), 0, 0},
	{"redact", ForeignServerRelationId, OPTION_PATHS,
	offsetof(NauthOptions, redact), 0, 0},
	{"project_id", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_PROJECT_ID]), 0, 0},
	{"header_prefix", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_HEADER_PREFIX]), 0, 0},
	{"realm", ForeignServerRelationId, OPTION_SEGMENT,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_REALM]), 0, 0},
	{"audience", ForeignServerRelationId, OPTION_TEXT,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_AUDIENCE]), 0, 0},
	{"token_type", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_TOKEN_TYPE]), 0, 0},
	{"tenant_id", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_TENANT_ID]), 0, 0},
	{"token_url", ForeignServerRelationId, OPTION_URL,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_TOKEN_URL]), 0, 0},
	{"user_pool_id", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_USER_POOL_ID]), 0, 0},
	{"region", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_REGION]), 0, 0},
	{"paging", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_PAGING]), 0, 0},
	{"list_path", ForeignServerRelationId, OPTION_PATH,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_LIST_PATH]), 0, 0},
	{"user_path", ForeignServerRelationId, OPTION_PATH,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_USER_PATH]), 0, 0},
	{"users_member", ForeignServerRelationId, OPTION_MEMBER,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_USERS_MEMBER]), 0, 0},
	{"user_member", ForeignServerRelationId, OPTION_MEMBER,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_USER_MEMBER]), 0, 0},
	{"page_parameter", ForeignServerRelationId, OPTION_TEXT,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_PAGE_PARAMETER]), 0, 0},
	{"size_parameter", ForeignServerRelationId, OPTION_TEXT,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_SIZE_PARAMETER]), 0, 0},
	{"first_page", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_FIRST_PAGE]), 0, 0},
	{"next_member", ForeignServerRelationId, OPTION_MEMBER,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_NEXT_MEMBER]), 0, 0},
	{"total_member", ForeignServerRelationId, OPTION_MEMBER,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_TOTAL_MEMBER]), 0, 0},
	{"email_parameter", ForeignServerRelationId, OPTION_TEXT,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_EMAIL_PARAMETER]), 0, 0},
	{"since_parameter", ForeignServerRelationId, OPTION_TEXT,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_SINCE_PARAMETER]), 0, 0},
	{"id_member", ForeignServerRelationId, OPTION_MEMBER,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_ID_MEMBER]), 0, 0},
	{"id_type", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_ID_TYPE]), 0, 0},
	{"name_member", ForeignServerRelationId, OPTION_MEMBER,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_NAME_MEMBER]), 0, 0},
	{"last_name_member", ForeignServerRelationId, OPTION_MEMBER,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_LAST_NAME_MEMBER]), 0, 0},
	{"email_member", ForeignServerRelationId, OPTION_MEMBER,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_EMAIL_MEMBER]), 0, 0},
	{"created_at_member", ForeignServerRelationId, OPTION_MEMBER,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_CREATED_AT_MEMBER]), 0, 0},
	{"updated_at_member", ForeignServerRelationId, OPTION_MEMBER,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_UPDATED_AT_MEMBER]), 0, 0},
	{"deleted_at_member", ForeignServerRelationId, OPTION_MEMBER,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_DELETED_AT_MEMBER]), 0, 0},
	{"time_unit", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_TIME_UNIT]), 0, 0},
	{"auth_header", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_AUTH_HEADER]), 0, 0},
	{"auth_scheme", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_AUTH_SCHEME]), 0, 0},
	{"not_found_status", ForeignServerRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_NOT_FOUND_STATUS]), 0, 0},
	{"not_found_member", ForeignServerRelationId, OPTION_MEMBER,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_NOT_FOUND_MEMBER]), 0, 0},
	{"not_found_value", ForeignServerRelationId, OPTION_TEXT,
	offsetof(NauthOptions, settings.more[NAUTH_SETTING_NOT_FOUND_VALUE]), 0, 0},
	{"deprovisioned_as_deleted", ForeignServerRelationId, OPTION_BOOLEAN,
	offsetof(NauthOptions, settings.deprovisioned_deleted), 0, 0},
	{"api_key", UserMappingRelationId, OPTION_SECRET,
	offsetof(NauthOptions, settings.api_key), 0, 0},
	{"client_id", UserMappingRelationId, OPTION_SECRET,
	offsetof(NauthOptions, settings.client_id), 0, 0},
	{"client_secret", UserMappingRelationId, OPTION_SECRET,
	offsetof(NauthOptions, settings.client_secret), 0, 0},
	{"private_key", UserMappingRelationId, OPTION_PRIVATE_KEY,
	offsetof(NauthOptions, settings.private_key), 0, 0},
	{"private_key_id", UserMappingRelationId, OPTION_NAME,
	offsetof(NauthOptions, settings.private_key_id), 0, 0},
	{"access_key_id", UserMappingRelationId, OPTION_SECRET,
	offsetof(NauthOptions, settings.access_key_id), 0, 0},
	{"secret_access_key", UserMappingRelationId, OPTION_SECRET,
	offsetof(NauthOptions, settings.secret_access_key), 0, 0},
	{"session_token", UserMappingRelationId, OPTION_SECRET,
	offsetof(NauthOptions, settings.session_token), 0, 0},
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

static const NauthOption *
find_option(const char *name, Oid catalog)
{
	for (int i = 0; i < lengthof(option_table); i++)
		if (option_table[i].catalog == catalog &&
			strcmp(option_table[i].name, name) == 0)
			return &option_table[i];
	report_unknown_option(name, catalog);
}

static void
set_options(NauthOptions *options, List *list, Oid catalog)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		nauth_option_set(options, find_option(def->defname, catalog), defGetString(def));
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

/* Which of the options that only some providers take this is, or -1. */
static int
setting_of(const NauthOption *option)
{
	size_t		first = offsetof(NauthOptions, settings.more);

	return option->offset < first || option->offset >= first + NAUTH_NUM_SETTINGS * sizeof(char *) ? -1 :
		(int) ((option->offset - first) / sizeof(char *));
}

const char *
nauth_options_setting(NauthSetting setting)
{
	for (int i = 0; i < lengthof(option_table); i++)
		if (setting_of(&option_table[i]) == (int) setting)
			return option_table[i].name;
	return "";
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

	for (int i = 0; i < lengthof(option_table); i++)
	{
		const NauthOption *option = &option_table[i];
		int			setting = setting_of(option);
		uint64		bit = setting >= 0 ? NAUTH_TAKES(setting) : 0;
		bool		set = setting >= 0 && options->settings.more[setting] != NULL;

		if (option->offset == offsetof(NauthOptions, settings.deprovisioned_deleted))
			set = options->settings.deprovisioned_deleted && !provider->knows_deprovisioned;
		if (set && !(provider->takes & bit))
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

/* Kinds of credentials: what they consist of, and who takes them. */
static const struct
{
	size_t		taken;			/* in NauthProvider */
	size_t		parts[2];		/* in NauthSettings */
	const char *names[2];		/* NULL: there is no second part */
}			credential_kinds[] = {

	{offsetof(NauthProvider, takes_key),
		{offsetof(NauthSettings, api_key)}, {"api_key"}
	},
	{offsetof(NauthProvider, takes_client),
		{offsetof(NauthSettings, client_id), offsetof(NauthSettings, client_secret)}, {"client_id", "client_secret"}
	},
	{offsetof(NauthProvider, takes_key_pair),
		{offsetof(NauthSettings, client_id), offsetof(NauthSettings, private_key)}, {"client_id", "private_key"}
	},
	{offsetof(NauthProvider, takes_access_key),
		{offsetof(NauthSettings, access_key_id), offsetof(NauthSettings, secret_access_key)}, {"access_key_id", "secret_access_key"}
	},
};

/* The credentials that a provider takes, as SQL has them. */
static char *
credentials_sql(const NauthProvider *provider, const char *verb)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < lengthof(credential_kinds); i++)
	{
		if (!*((const bool *) ((const char *) provider + credential_kinds[i].taken)))
			continue;
		appendStringInfo(&sql, "%s%s%s '...'", sql.len > 0 ? " or " : "", verb, credential_kinds[i].names[0]);
		if (credential_kinds[i].names[1])
			appendStringInfo(&sql, ", %s%s '...'", verb, credential_kinds[i].names[1]);
	}
	return sql.data;
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
						credentials_sql(provider, "")));
	return GetUserMapping(userid, server->serverid);
}

/* How many parts of a credential of this kind are set. */
static int
count_parts(const NauthSettings *settings, int kind)
{
	int			count = 0;

	for (int i = 0; i < 2 && credential_kinds[kind].names[i]; i++)
	{
		const char *part = *(const char *const *) ((const char *) settings + credential_kinds[kind].parts[i]);

		count += part != NULL && part[0] != '\0';
	}
	return count;
}

/* A mapping has one whole credential, of a kind that the provider takes. */
static void
check_credential(const NauthOptions *options)
{
	const NauthProvider *provider = options->provider;
	const NauthSettings *settings = &options->settings;
	int			any = (settings->api_key[0] != '\0') + (settings->client_id != NULL) + (settings->client_secret != NULL) +
	(settings->private_key != NULL) + (settings->access_key_id != NULL) + (settings->secret_access_key != NULL);

	for (int i = 0; i < lengthof(credential_kinds); i++)
	{
		int			whole = credential_kinds[i].names[1] ? 2 : 1;

		if (*((const bool *) ((const char *) provider + credential_kinds[i].taken)) &&
			count_parts(settings, i) == whole && any == whole)
			return;
	}
	ereport(ERROR,
			errcode(any ? ERRCODE_FDW_INVALID_OPTION_NAME : ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			any ?
			errmsg("user mapping for server \"%s\" has another credential than provider \"%s\" takes",
				   options->server, provider->name) :
			errmsg("user mapping for server \"%s\" has no credential", options->server),
			any ?
			errhint("It takes %s, and nothing else.", credentials_sql(provider, "")) :
			errhint("Add it with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (%s);",
					quote_identifier(options->server), credentials_sql(provider, "ADD ")));
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
	const char *client[] = {settings->client_id, settings->client_secret, settings->private_key,
	settings->access_key_id, settings->secret_access_key, settings->session_token};
	int			count = 0;

	options->directory = join_parts(settings->url, 0, settings->more, NAUTH_SETTING_HEADER_PREFIX);
	options->credential = join_parts(settings->api_key, 0, client, lengthof(client));
	while (options->redact && options->redact[count])
		count++;
	options->shape = join_parts(settings->deprovisioned_deleted ? "deprovisioned" : "", 0, options->redact, count);
	options->shape = join_parts(options->shape, NAUTH_MAX_MEMBERS, settings->more + NAUTH_SETTING_USERS_MEMBER,
								NAUTH_NUM_SETTINGS - NAUTH_SETTING_USERS_MEMBER);
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
		check_credential(options);
	describe(options);
	return options;
}
