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
#include "fmgr.h"
#include "foreign/fdwapi.h"
#include "utils/acl.h"
#include "utils/guc.h"

#include "listing.h"
#include "neon_auth_fdw.h"
#include "net/url.h"
#include "pgcompat.h"
#include "plan.h"

PG_MODULE_MAGIC;

static const struct config_enum_entry cache_modes[] = {
	{"on", NAUTH_CACHE_ON, false},
	{"off", NAUTH_CACHE_OFF, false},
	{"refill", NAUTH_CACHE_REFILL, false},
	{NULL, 0, false}
};

extern PGDLLEXPORT void _PG_init(void);

NAUTH_FUNCTION(neon_auth_fdw_handler);

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
								 GUC_EXPLAIN,
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
