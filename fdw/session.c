/*-------------------------------------------------------------------------
 *
 * session.c
 *	  SQL functions about what a session holds and whom it reaches:
 *	  connections(), disconnect(), disconnect_all(), cache_stats(),
 *	  cache_clear().
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_user_mapping.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "directory.h"
#include "neon_auth_fdw.h"
#include "pgcompat.h"
#include "report.h"

#define NUM_CONNECTION_COLUMNS	7
#define NUM_STATS_COLUMNS		(2 + NAUTH_CACHE_COUNTERS)

NAUTH_FUNCTION(neon_auth_connections);
NAUTH_FUNCTION(neon_auth_disconnect);
NAUTH_FUNCTION(neon_auth_disconnect_all);
NAUTH_FUNCTION(neon_auth_cache_stats);
NAUTH_FUNCTION(neon_auth_cache_clear);

/* Whose user mapping it is; NULL if it was dropped. */
static const char *
mapping_role(Oid mapping)
{
	HeapTuple	tuple = SearchSysCache1(USERMAPPINGOID, ObjectIdGetDatum(mapping));
	const char *role;
	Oid			userid;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	userid = ((Form_pg_user_mapping) GETSTRUCT(tuple))->umuser;
	role = OidIsValid(userid) ? GetUserNameFromId(userid, true) : "public";
	ReleaseSysCache(tuple);
	return role;
}

static void
put_text(Datum *value, bool *null, const char *text)
{
	*null = text == NULL;
	*value = text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* SQL function connections(): one row a connection that this session keeps. */
Datum
neon_auth_connections(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	NauthConnectionInfo info[NAUTH_CONNECTIONS_MAX];
	int			count = nauth_connection_list(info);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < count; i++)
	{
		ForeignServer *server = GetForeignServerExtended(info[i].server, FSV_MISSING_OK);
		Interval	idle = {.time = info[i].idle};
		Datum		values[NUM_CONNECTION_COLUMNS];
		bool		nulls[NUM_CONNECTION_COLUMNS] = {false};

		put_text(&values[0], &nulls[0], server ? server->servername : NULL);
		put_text(&values[1], &nulls[1], mapping_role(info[i].mapping));
		put_text(&values[2], &nulls[2], info[i].kind);
		values[3] = BoolGetDatum(info[i].valid);
		values[4] = Int32GetDatum(info[i].sockets);
		values[5] = Int64GetDatum(info[i].uses);
		values[6] = IntervalPGetDatum(&idle);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* SQL function disconnect(server): whether there was anything to close. */
Datum
neon_auth_disconnect(PG_FUNCTION_ARGS)
{
	ForeignServer *server = GetForeignServerByName(text_to_cstring(PG_GETARG_TEXT_PP(0)), false);

	PG_RETURN_BOOL(nauth_connection_close(server->serverid));
}

/* SQL function disconnect_all() */
Datum
neon_auth_disconnect_all(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(nauth_connection_close(InvalidOid));
}

/*
 * SQL function cache_stats(): what the cache was good for in this session, one
 * row a server and user mapping.
 */
Datum
neon_auth_cache_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (const NauthHealth *health = nauth_health_list(); health; health = health->next)
	{
		ForeignServer *server = GetForeignServerExtended(health->server, FSV_MISSING_OK);
		Datum		values[NUM_STATS_COLUMNS];
		bool		nulls[NUM_STATS_COLUMNS] = {false};

		if (!health->has_cache)
			continue;
		put_text(&values[0], &nulls[0], server ? server->servername : NULL);
		put_text(&values[1], &nulls[1], mapping_role(health->mapping));
		for (int i = 0; i < NAUTH_CACHE_COUNTERS; i++)
			values[2 + i] = Int64GetDatum(health->counters[i]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * SQL function cache_clear(server): forget what is cached for the caller's
 * credential.
 */
Datum
neon_auth_cache_clear(PG_FUNCTION_ARGS)
{
	ForeignServer *server = nauth_server_to_ask(text_to_cstring(PG_GETARG_TEXT_PP(0)), GetUserId());
	NauthOptions *options = nauth_options_get(server->serverid, GetUserId());
	NauthCache *cache;
	NauthError	error = {0};

	if (options->redis_url == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("server \"%s\" has no cache", server->servername),
				errhint("Option \"redis_url\" of the server says which Redis to use."));
	cache = nauth_directory_cache(nauth_directory_open(options, options->scan_timeout));
	if (cache == NULL)
		nauth_error_set(&error, NAUTH_ERROR_MEMORY, NULL);
	if (cache == NULL || !nauth_cache_forget(cache, &error))
		nauth_report(&error, NAUTH_PEER_REDIS, server->servername);
	PG_RETURN_VOID();
}
