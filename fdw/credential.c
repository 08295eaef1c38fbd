/*-------------------------------------------------------------------------
 *
 * credential.c
 *	  Kinds of credentials, and whether a user mapping has one of them.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "option_value.h"

/* Kinds of credentials: what they consist of, and who takes them. */
static const struct
{
	size_t		taken;			/* in NauthProvider */
	size_t		parts[2];		/* in NauthSettings */
	const char *names[2];		/* NULL: there is no second part */
}			credential_kinds[NAUTH_CREDENTIAL_KINDS] = {

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

/* What the kinds consist of, and last what may come beside one. */
static const size_t all_parts[NAUTH_CREDENTIAL_PARTS] = {
	offsetof(NauthSettings, api_key),
	offsetof(NauthSettings, client_id),
	offsetof(NauthSettings, client_secret),
	offsetof(NauthSettings, private_key),
	offsetof(NauthSettings, access_key_id),
	offsetof(NauthSettings, secret_access_key),
	offsetof(NauthSettings, session_token),
};

static const char *
part_of(const NauthSettings *settings, size_t offset)
{
	return *(const char *const *) ((const char *) settings + offset);
}

void
nauth_credential_parts(const NauthSettings *settings, const char **parts)
{
	for (int i = 0; i < NAUTH_CREDENTIAL_PARTS; i++)
		parts[i] = part_of(settings, all_parts[i]);
}

static bool
is_set(const char *part)
{
	return part != NULL && part[0] != '\0';
}

/* Whether a provider takes a credential of this kind. */
static bool
is_taken(const NauthProvider *provider, int kind)
{
	return *((const bool *) ((const char *) provider + credential_kinds[kind].taken));
}

const char *
nauth_credential_names(const NauthProvider *provider, int kind)
{
	const char *const *names = credential_kinds[kind].names;

	if (!is_taken(provider, kind))
		return NULL;
	return names[1] ? psprintf("%s, %s", names[0], names[1]) : names[0];
}

char *
nauth_credential_sql(const NauthProvider *provider, const char *verb)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < lengthof(credential_kinds); i++)
	{
		if (!is_taken(provider, i))
			continue;
		appendStringInfo(&sql, "%s%s%s '...'", sql.len > 0 ? " or " : "", verb, credential_kinds[i].names[0]);
		if (credential_kinds[i].names[1])
			appendStringInfo(&sql, ", %s%s '...'", verb, credential_kinds[i].names[1]);
	}
	return sql.data;
}

/* How many parts of a credential of this kind are set. */
static int
count_parts(const NauthSettings *settings, int kind)
{
	int			count = 0;

	for (int i = 0; i < 2 && credential_kinds[kind].names[i]; i++)
		count += is_set(part_of(settings, credential_kinds[kind].parts[i]));
	return count;
}

void
nauth_credential_check(const NauthOptions *options)
{
	const NauthProvider *provider = options->provider;
	const NauthSettings *settings = &options->settings;
	int			any = 0;

	for (int i = 0; i < NAUTH_CREDENTIAL_PARTS - 1; i++)
		any += is_set(part_of(settings, all_parts[i]));
	for (int i = 0; i < lengthof(credential_kinds); i++)
	{
		int			whole = credential_kinds[i].names[1] ? 2 : 1;

		if (is_taken(provider, i) && count_parts(settings, i) == whole && any == whole)
			return;
	}
	ereport(ERROR,
			errcode(any ? ERRCODE_FDW_INVALID_OPTION_NAME : ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
			any ?
			errmsg("user mapping for server \"%s\" has another credential than provider \"%s\" takes",
				   options->server, provider->name) :
			errmsg("user mapping for server \"%s\" has no credential", options->server),
			any ?
			errhint("It takes %s, and nothing else.", nauth_credential_sql(provider, "")) :
			errhint("Add it with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (%s);",
					quote_identifier(options->server), nauth_credential_sql(provider, "ADD ")));
}
