/*-------------------------------------------------------------------------
 *
 * providers.c
 *	  SQL function providers(): what the registry knows.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "option_value.h"
#include "pgcompat.h"

#define NUM_COLUMNS		10

NAUTH_FUNCTION(neon_auth_providers);

/* One of the texts of a list, where the provider has it. */
typedef struct Trait
{
	bool		has;
	const char *text;
} Trait;

static Datum
array_of_traits(const Trait *traits, int count)
{
	Datum	   *texts = palloc(count * sizeof(Datum));
	int			found = 0;

	for (int i = 0; i < count; i++)
		if (traits[i].has)
			texts[found++] = CStringGetTextDatum(traits[i].text);
	return PointerGetDatum(construct_array(texts, found, TEXTOID, -1, false, TYPALIGN_INT));
}

/* What can be asked of a provider alone, in words of SQL, as text[]. */
static Datum
pushdown_of(const NauthProvider *provider)
{
	const Trait kinds[] = {
		{!provider->lists_only, "id ="},
		{provider->max_ids > 0, "id = ANY"},
		{provider->finds_emails, "email ="},
		{provider->counts_windows, "created_at"},
		{provider->lists_changes || (provider->lists_since && !provider->tells_gone), "updated_at"},
		{provider->by_creation == NAUTH_PAGES_ALL, "ORDER BY created_at"},
		{provider->by_creation == NAUTH_PAGES_FIRST, "ORDER BY created_at LIMIT"},
		{provider->lists_changes, "ORDER BY updated_at DESC LIMIT"},
		{provider->counts, "count(*)"},
	};

	return array_of_traits(kinds, lengthof(kinds));
}

static Datum
credentials_of(const NauthProvider *provider)
{
	Trait		kinds[NAUTH_CREDENTIAL_KINDS];

	for (int i = 0; i < NAUTH_CREDENTIAL_KINDS; i++)
	{
		kinds[i].text = nauth_credential_names(provider, i);
		kinds[i].has = kinds[i].text != NULL;
	}
	return array_of_traits(kinds, lengthof(kinds));
}

static Datum
required_of(const NauthProvider *provider)
{
	Trait		options[NAUTH_NUM_SETTINGS + 1] = {{provider->url == NULL && provider->write_url == NULL, "url"}};

	for (int i = 0; i < NAUTH_NUM_SETTINGS; i++)
	{
		options[i + 1].has = (provider->needs & NAUTH_TAKES(i)) != 0;
		options[i + 1].text = nauth_options_setting(i);
	}
	return array_of_traits(options, lengthof(options));
}

/* SQL function providers(): one row a provider. */
Datum
neon_auth_providers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; nauth_providers[i]; i++)
	{
		const NauthProvider *provider = nauth_providers[i];
		Datum		values[NUM_COLUMNS];
		bool		nulls[NUM_COLUMNS] = {false};

		values[0] = CStringGetTextDatum(provider->name);
		nulls[1] = provider->url == NULL;
		if (provider->url)
			values[1] = CStringGetTextDatum(provider->url);
		values[2] = Int32GetDatum(provider->page_size);
		values[3] = Int32GetDatum(provider->max_page_size);
		values[4] = BoolGetDatum(provider->lists_changes || provider->lists_since);
		values[5] = BoolGetDatum(provider->counts_windows);
		values[6] = BoolGetDatum(provider->tells_gone);
		values[7] = pushdown_of(provider);
		values[8] = credentials_of(provider);
		values[9] = required_of(provider);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
