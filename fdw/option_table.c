/*-------------------------------------------------------------------------
 *
 * option_table.c
 *	  The options of servers and user mappings: their names, types and places.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "lib/stringinfo.h"

#include "option_value.h"

#define REQUESTS_MAX		1000

#define SERVER(name, type, member, min, max) \
	{name, ForeignServerRelationId, type, offsetof(NauthOptions, member), min, max}
#define SETTING(name, type, setting) \
	SERVER(name, type, settings.more[NAUTH_SETTING_ ## setting], 0, 0)
#define MAPPING(name, type, member) \
	{name, UserMappingRelationId, type, offsetof(NauthOptions, member), 0, 0}

const NauthOption nauth_option_table[] = {
	SERVER("provider", OPTION_PROVIDER, provider, 0, 0),
	SERVER("url", OPTION_URL, settings.url, 0, 0),
	SERVER("page_size", OPTION_INTEGER, settings.page_size, 1, INT_MAX),
	SERVER("connect_timeout", OPTION_MILLISECONDS, connect_timeout, 1, NAUTH_DAY_MS),
	SERVER("request_timeout", OPTION_MILLISECONDS, request_timeout, 1, NAUTH_DAY_MS),
	SERVER("scan_timeout", OPTION_MILLISECONDS, scan_timeout, 1, NAUTH_DAY_MS),
	SERVER("refresh_timeout", OPTION_MILLISECONDS, refresh_timeout, 1, NAUTH_DAY_MS),
	SERVER("idle_timeout", OPTION_MILLISECONDS, connection.idle_timeout, 0, NAUTH_DAY_MS),
	SERVER("redis_url", OPTION_REDIS_URL, redis_url, 0, 0),
	SERVER("redis_timeout", OPTION_MILLISECONDS, redis_timeout, 1, NAUTH_DAY_MS),
	SERVER("redis_prefix", OPTION_PREFIX, redis_prefix, 0, 0),
	SERVER("cache_ttl", OPTION_MILLISECONDS, cache_ttl, 0, NAUTH_DAY_MS),
	SERVER("cache_stale_ttl", OPTION_MILLISECONDS, cache_stale_ttl, 0, NAUTH_DAY_MS),
	SERVER("cache_max_bytes", OPTION_BYTES, cache_max_bytes, 0, 0),
	SERVER("max_requests_per_second", OPTION_INTEGER, max_requests_per_second, 1, REQUESTS_MAX),
	SERVER("request_cost", OPTION_COST, request_cost, 0, 0),
	SERVER("fdw_tuple_cost", OPTION_COST, fdw_tuple_cost, 0, 0),
	SERVER("max_concurrency", OPTION_INTEGER, max_concurrency, 1, NAUTH_CONCURRENCY_MAX),
	SERVER("full_refresh_every", OPTION_MILLISECONDS, full_refresh_every, 0, 24 * NAUTH_DAY_MS),
	SERVER("keep_runs", OPTION_SECONDS, keep_runs, 60, 3650 * NAUTH_DAY_S),
	SERVER("notify", OPTION_BOOLEAN, notify, 0, 0),
	SERVER("ignore_changes", OPTION_MEMBERS, ignore_changes, 0, 0),
	SERVER("redact", OPTION_PATHS, redact, 0, 0),
	SETTING("project_id", OPTION_NAME, PROJECT_ID),
	SETTING("header_prefix", OPTION_NAME, HEADER_PREFIX),
	SETTING("realm", OPTION_SEGMENT, REALM),
	SETTING("audience", OPTION_TEXT, AUDIENCE),
	SETTING("token_type", OPTION_NAME, TOKEN_TYPE),
	SETTING("tenant_id", OPTION_NAME, TENANT_ID),
	SETTING("token_url", OPTION_URL, TOKEN_URL),
	SETTING("user_pool_id", OPTION_NAME, USER_POOL_ID),
	SETTING("region", OPTION_NAME, REGION),
	SETTING("paging", OPTION_NAME, PAGING),
	SETTING("list_path", OPTION_PATH, LIST_PATH),
	SETTING("user_path", OPTION_PATH, USER_PATH),
	SETTING("users_member", OPTION_MEMBER, USERS_MEMBER),
	SETTING("user_member", OPTION_MEMBER, USER_MEMBER),
	SETTING("page_parameter", OPTION_TEXT, PAGE_PARAMETER),
	SETTING("size_parameter", OPTION_TEXT, SIZE_PARAMETER),
	SETTING("first_page", OPTION_NAME, FIRST_PAGE),
	SETTING("next_member", OPTION_MEMBER, NEXT_MEMBER),
	SETTING("total_member", OPTION_MEMBER, TOTAL_MEMBER),
	SETTING("email_parameter", OPTION_TEXT, EMAIL_PARAMETER),
	SETTING("since_parameter", OPTION_TEXT, SINCE_PARAMETER),
	SETTING("id_member", OPTION_MEMBER, ID_MEMBER),
	SETTING("id_type", OPTION_NAME, ID_TYPE),
	SETTING("name_member", OPTION_MEMBER, NAME_MEMBER),
	SETTING("last_name_member", OPTION_MEMBER, LAST_NAME_MEMBER),
	SETTING("email_member", OPTION_MEMBER, EMAIL_MEMBER),
	SETTING("created_at_member", OPTION_MEMBER, CREATED_AT_MEMBER),
	SETTING("updated_at_member", OPTION_MEMBER, UPDATED_AT_MEMBER),
	SETTING("deleted_at_member", OPTION_MEMBER, DELETED_AT_MEMBER),
	SETTING("time_unit", OPTION_NAME, TIME_UNIT),
	SETTING("auth_header", OPTION_NAME, AUTH_HEADER),
	SETTING("auth_scheme", OPTION_NAME, AUTH_SCHEME),
	SETTING("not_found_status", OPTION_NAME, NOT_FOUND_STATUS),
	SETTING("not_found_member", OPTION_MEMBER, NOT_FOUND_MEMBER),
	SETTING("not_found_value", OPTION_TEXT, NOT_FOUND_VALUE),
	SERVER("deprovisioned_as_deleted", OPTION_BOOLEAN, settings.deprovisioned_deleted, 0, 0),
	MAPPING("api_key", OPTION_SECRET, settings.api_key),
	MAPPING("client_id", OPTION_SECRET, settings.client_id),
	MAPPING("client_secret", OPTION_SECRET, settings.client_secret),
	MAPPING("private_key", OPTION_PRIVATE_KEY, settings.private_key),
	MAPPING("private_key_id", OPTION_NAME, settings.private_key_id),
	MAPPING("access_key_id", OPTION_SECRET, settings.access_key_id),
	MAPPING("secret_access_key", OPTION_SECRET, settings.secret_access_key),
	MAPPING("session_token", OPTION_SECRET, settings.session_token),
	MAPPING("redis_user", OPTION_SECRET, redis_user),
	MAPPING("redis_password", OPTION_SECRET, redis_password),
	{NULL}
};

int
nauth_option_setting(const NauthOption *option)
{
	size_t		first = offsetof(NauthOptions, settings.more);

	return option->offset < first || option->offset >= first + NAUTH_NUM_SETTINGS * sizeof(char *) ? -1 :
		(int) ((option->offset - first) / sizeof(char *));
}

/* The one option for some providers that is no text. */
static bool
is_deprovisioned(const NauthOption *option)
{
	return option->offset == offsetof(NauthOptions, settings.deprovisioned_deleted);
}

bool
nauth_option_is_set(const NauthOption *option, const NauthOptions *options)
{
	int			setting = nauth_option_setting(option);

	if (is_deprovisioned(option))
		return options->settings.deprovisioned_deleted;
	return setting >= 0 && options->settings.more[setting] != NULL;
}

bool
nauth_option_is_taken(const NauthOption *option, const NauthProvider *provider)
{
	int			setting = nauth_option_setting(option);

	if (is_deprovisioned(option))
		return provider->knows_deprovisioned;
	return setting < 0 || (provider->takes & NAUTH_TAKES(setting)) != 0;
}

const char *
nauth_options_setting(NauthSetting setting)
{
	for (const NauthOption *option = nauth_option_table; option->name; option++)
		if (nauth_option_setting(option) == (int) setting)
			return option->name;
	return "";
}

/* The provider is NULL where it is not known. */
static _Noreturn void
report_unknown_option(const char *name, Oid catalog, const NauthProvider *provider)
{
	StringInfoData valid;

	initStringInfo(&valid);
	for (const NauthOption *option = nauth_option_table; option->name; option++)
		if (option->catalog == catalog && (provider == NULL || nauth_option_is_taken(option, provider)))
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", option->name);
	ereport(ERROR,
			errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			errmsg("invalid option \"%s\"", name),
			valid.len > 0 ?
			errhint("Valid options here are: %s.", valid.data) :
			errhint("There are no valid options here."));
}

const NauthOption *
nauth_option_find(const char *name, Oid catalog, const NauthProvider *provider)
{
	for (const NauthOption *option = nauth_option_table; option->name; option++)
		if (option->catalog == catalog && strcmp(option->name, name) == 0)
			return option;
	report_unknown_option(name, catalog, provider);
}
