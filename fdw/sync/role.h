/*-------------------------------------------------------------------------
 *
 * role.h
 *	  Acting as the owner of a table, for single statements.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_ROLE_H
#define NAUTH_ROLE_H

/* What nauth_role_leave puts back. */
typedef struct NauthRole
{
	Oid			userid;
	int			sec_context;
	int			guc_level;
	MemoryContext cxt;
} NauthRole;

/* Owner of a relation; InvalidOid if there is none. */
extern Oid	nauth_relation_owner(Oid relid);

/*
 * Whether the current role may see what is known of a target: it is or belongs to
 * the owner, or watches over the server.
 */
extern bool nauth_role_sees(Oid relid);

/*
 * Act as another role in a security-restricted context with a search_path of
 * pg_catalog, until nauth_role_leave, which also brings back the memory context:
 * SPI leaves one that lives for the whole run.  It must not be entered across a
 * commit.
 * After an error the end of the subtransaction puts everything back.
 */
extern void nauth_role_enter(Oid role, NauthRole *saved);
extern void nauth_role_leave(const NauthRole *saved);

#endif							/* NAUTH_ROLE_H */
