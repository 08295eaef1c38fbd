/*-------------------------------------------------------------------------
 *
 * role.c
 *	  Acting as the owner of a table, for single statements.
 *
 * Targets and state tables are written as their owners: a trigger on a target
 * is its owner's code and must never run with the rights of whoever calls the
 * refresh, and a caller needs no right on state that others' targets share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "pgcompat.h"
#include "sync/role.h"

NAUTH_FUNCTION(neon_auth_sees_target);

Oid
nauth_relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

bool
nauth_role_sees(Oid relid)
{
	Oid			role = GetUserId();
	Oid			owner = nauth_relation_owner(relid);

	return has_privs_of_role(role, ROLE_PG_READ_ALL_STATS) ||
		(OidIsValid(owner) && has_privs_of_role(role, owner));
}

/* SQL function sees_target(target): for the policies of the state tables */
Datum
neon_auth_sees_target(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(nauth_role_sees(PG_GETARG_OID(0)));
}

void
nauth_role_enter(Oid role, NauthRole *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	SetUserIdAndSecContext(role, saved->sec_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	saved->guc_level = NewGUCNestLevel();
	saved->cxt = CurrentMemoryContext;
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
nauth_role_leave(const NauthRole *saved)
{
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->userid, saved->sec_context);
	MemoryContextSwitchTo(saved->cxt);
}
