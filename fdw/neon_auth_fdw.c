/*-------------------------------------------------------------------------
 *
 * neon_auth_fdw.c
 *	  Entry of the extension: module magic, settings, the wrapper's callbacks.
 *
 * Wiring only.  Nothing here may open a connection or initialise a library:
 * the module may be preloaded into the postmaster, and what a library keeps
 * does not survive the fork.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "foreign/fdwapi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "listing.h"
#include "neon_auth_fdw.h"
#include "net/url.h"
#include "pgcompat.h"
#include "provider/provider.h"

PG_MODULE_MAGIC;

char	   *nauth_allowed_urls = NULL;
char	   *nauth_ca_file = NULL;
int			nauth_cache_mode = NAUTH_CACHE_ON;
bool		nauth_pushdown = true;

static const struct config_enum_entry cache_modes[] = {
	{"on", NAUTH_CACHE_ON, false},
	{"off", NAUTH_CACHE_OFF, false},
	{"refill", NAUTH_CACHE_REFILL, false},
	{NULL, 0, false}
};

extern PGDLLEXPORT void _PG_init(void);

NAUTH_FUNCTION(neon_auth_fdw_handler);
NAUTH_FUNCTION(neon_auth_providers);

/*
 * When a first attempt to load the library ran out of memory half-way, the server
 * does not forget what it has defined.
 */
static bool
is_defined(const char *setting)
{
	return GetConfigOption(setting, true, false) != NULL &&
		(GetConfigOptionFlags(setting, true) & GUC_CUSTOM_PLACEHOLDER) == 0;
}

void
_PG_init(void)
{
	if (!is_defined("neon_auth_fdw.allowed_urls"))
		DefineCustomStringVariable("neon_auth_fdw.allowed_urls",
								   "Base URLs that may be asked besides the providers' own, separated by commas.",
								   "An https host may be written as *.example.com. Only here can http be allowed.",
								   &nauth_allowed_urls,
								   "",
								   PGC_SUSET,
								   0,
								   NULL, NULL, NULL);
	if (!is_defined("neon_auth_fdw.cache"))
		DefineCustomEnumVariable("neon_auth_fdw.cache",
								 "Whether queries use the cache.",
								 "With \"off\" they ask the provider; with \"refill\" they do so and cache its answer.",
								 &nauth_cache_mode,
								 NAUTH_CACHE_ON,
								 cache_modes,
								 PGC_USERSET,
								 0,
								 NULL, NULL, NULL);
	if (!is_defined("neon_auth_fdw.ca_file"))
		DefineCustomStringVariable("neon_auth_fdw.ca_file",
								   "File with the certificate authorities (PEM) that are trusted instead of the system's.",
								   "It counts for connections to providers and to Redis that are made from now on.",
								   &nauth_ca_file,
								   "",
								   PGC_SUSET,
								   0,
								   NULL, NULL, NULL);
	if (!is_defined("neon_auth_fdw.pushdown"))
		DefineCustomBoolVariable("neon_auth_fdw.pushdown",
								 "Whether providers are asked for what a query wants alone.",
								 "Without, they are asked for all users, and the rest is worked out here. It counts when a query is planned.",
								 &nauth_pushdown,
								 true,
								 PGC_USERSET,
								 GUC_EXPLAIN,
								 NULL, NULL, NULL);
	MarkGUCPrefixReserved("neon_auth_fdw");
}

/* Callbacks of the wrapper.  It is read-only and does not run in parallel. */
Datum
neon_auth_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = neonAuthGetForeignRelSize;
	routine->GetForeignPaths = neonAuthGetForeignPaths;
	routine->GetForeignPlan = neonAuthGetForeignPlan;
	routine->GetForeignUpperPaths = neonAuthGetForeignUpperPaths;
	routine->ReparameterizeForeignPathByChild = neonAuthReparameterizeForeignPathByChild;
	routine->BeginForeignScan = neonAuthBeginForeignScan;
	routine->IterateForeignScan = neonAuthIterateForeignScan;
	routine->ReScanForeignScan = neonAuthReScanForeignScan;
	routine->EndForeignScan = neonAuthEndForeignScan;
	routine->IsForeignPathAsyncCapable = neonAuthIsForeignPathAsyncCapable;
	routine->ForeignAsyncRequest = neonAuthForeignAsyncRequest;
	routine->ForeignAsyncConfigureWait = neonAuthForeignAsyncConfigureWait;
	routine->ForeignAsyncNotify = neonAuthForeignAsyncNotify;
	routine->ExplainForeignScan = neonAuthExplainForeignScan;
	routine->AnalyzeForeignTable = neonAuthAnalyzeForeignTable;
	routine->ImportForeignSchema = neonAuthImportForeignSchema;
	PG_RETURN_POINTER(routine);
}

/*
 * USAGE on our wrapper decides who may make servers, and so connections; a
 * server of another wrapper would be a way around it.
 */
ForeignServer *
nauth_server_to_ask(const char *name, Oid role)
{
	ForeignServer *server = GetForeignServerByName(name, false);
	FdwRoutine *routine;

	if (!nauth_server_usable(server->serverid, role))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, server->servername);
	routine = GetFdwRoutineByServerId(server->serverid);
	if (routine->BeginForeignScan != neonAuthBeginForeignScan)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("server \"%s\" is not one of foreign data wrapper neon_auth_fdw",
					   server->servername));
	return server;
}

/* What can be asked of a provider alone, in words of SQL, as text[]. */
static Datum
pushdown_of(const NauthProvider *provider)
{
	const struct
	{
		bool		can;
		const char *what;
	}			kinds[] = {
		{true, "id ="},
		{provider->max_ids > 0, "id = ANY"},
		{provider->finds_emails, "email ="},
		{provider->counts_windows, "created_at"},
		{provider->lists_changes || (provider->lists_since && !provider->tells_gone), "updated_at"},
		{provider->by_creation == NAUTH_PAGES_ALL, "ORDER BY created_at"},
		{provider->by_creation == NAUTH_PAGES_FIRST, "ORDER BY created_at LIMIT"},
		{provider->lists_changes, "ORDER BY updated_at DESC LIMIT"},
		{provider->counts, "count(*)"},
	};
	Datum		texts[lengthof(kinds)];
	int			count = 0;

	for (int i = 0; i < lengthof(kinds); i++)
		if (kinds[i].can)
			texts[count++] = CStringGetTextDatum(kinds[i].what);
	return PointerGetDatum(construct_array(texts, count, TEXTOID, -1, false, TYPALIGN_INT));
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
		Datum		values[7];
		bool		nulls[7] = {false};

		values[0] = CStringGetTextDatum(provider->name);
		nulls[1] = provider->url == NULL;
		if (provider->url)
			values[1] = CStringGetTextDatum(provider->url);
		values[2] = Int32GetDatum(provider->page_size);
		values[3] = Int32GetDatum(provider->max_page_size);
		values[4] = BoolGetDatum(provider->lists_changes || provider->lists_since);
		values[5] = BoolGetDatum(provider->counts_windows);
		values[6] = pushdown_of(provider);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
