/*-------------------------------------------------------------------------
 *
 * pgcompat.h
 *	  Differences between PostgreSQL 15 to 18: the only file that tests
 *	  PG_VERSION_NUM.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_PGCOMPAT_H
#define NAUTH_PGCOMPAT_H

#if PG_VERSION_NUM < 150000
#error "neon_auth_fdw requires PostgreSQL 15 or later"
#endif

/* headers of values of variable length */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* what an ExplainForeignScan callback needs */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#else
#include "commands/explain.h"
#endif

/* before 16, PG_FUNCTION_INFO_V1 does not declare the function as exported */
#define NAUTH_FUNCTION(name) \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)

/* the path of a scan of a base relation, and one that has the result of a query */
#if PG_VERSION_NUM >= 180000
#define nauth_foreignscan_path(root, rel, rows, startup, total, pathkeys, outer, private) \
	create_foreignscan_path(root, rel, NULL, rows, 0, startup, total, \
							pathkeys, outer, NULL, NIL, private)
#define nauth_foreign_upper_path(root, rel, target, rows, startup, total, private) \
	create_foreign_upper_path(root, rel, target, rows, 0, startup, total, \
							  NIL, NULL, NIL, private)
#elif PG_VERSION_NUM >= 170000
#define nauth_foreignscan_path(root, rel, rows, startup, total, pathkeys, outer, private) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, \
							pathkeys, outer, NULL, NIL, private)
#define nauth_foreign_upper_path(root, rel, target, rows, startup, total, private) \
	create_foreign_upper_path(root, rel, target, rows, startup, total, \
							  NIL, NULL, NIL, private)
#else
#define nauth_foreignscan_path(root, rel, rows, startup, total, pathkeys, outer, private) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, \
							pathkeys, outer, NULL, private)
#define nauth_foreign_upper_path(root, rel, target, rows, startup, total, private) \
	create_foreign_upper_path(root, rel, target, rows, startup, total, \
							  NIL, NULL, private)
#endif

/* elements of an array that is not known yet */
#if PG_VERSION_NUM >= 170000
#define nauth_estimate_array_length(root, array) estimate_array_length(root, array)
#else
#define nauth_estimate_array_length(root, array) estimate_array_length(array)
#endif

/* expressions of a parent as those of its child */
#if PG_VERSION_NUM >= 160000
#define nauth_adjust_to_child(root, node, child) \
	adjust_appendrel_attrs_multilevel(root, (Node *) (node), child, (child)->top_parent)
#else
#define nauth_adjust_to_child(root, node, child) \
	adjust_appendrel_attrs_multilevel(root, (Node *) (node), (child)->relids, (child)->top_parent_relids)
#endif

/* the direction of a path key */
#if PG_VERSION_NUM >= 180000
#define nauth_pathkey_descends(key) ((key)->pk_cmptype == COMPARE_GT)
#else
#define nauth_pathkey_descends(key) ((key)->pk_strategy == BTGreaterStrategyNumber)
#endif

/* the role that a scan acts for, InvalidOid for the current one */
#if PG_VERSION_NUM >= 160000
#define nauth_scan_check_as_user(node) \
	(((ForeignScan *) (node)->ss.ps.plan)->checkAsUser)
#else
#define nauth_scan_check_as_user(node) \
	(exec_rt_fetch(bms_next_member(((ForeignScan *) (node)->ss.ps.plan)->fs_relids, -1), \
				   (node)->ss.ps.state)->checkAsUser)
#endif

/* where ANALYZE can be ended, and rests as its cost settings say */
#if PG_VERSION_NUM >= 180000
#define nauth_analyze_rest()	vacuum_delay_point(true)
#else
#define nauth_analyze_rest()	vacuum_delay_point()
#endif

/* ownership and USAGE checks got one function for all catalogs in 16 */
#if PG_VERSION_NUM >= 160000
#define nauth_server_usable(server, role) \
	(object_aclcheck(ForeignServerRelationId, server, role, ACL_USAGE) == ACLCHECK_OK)
#define nauth_schema_creatable(schema, role) \
	(object_aclcheck(NamespaceRelationId, schema, role, ACL_CREATE) == ACLCHECK_OK)
#define nauth_schema_usable(schema, role) \
	(object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE) == ACLCHECK_OK)
#define nauth_relation_owned(relation, role) \
	object_ownercheck(RelationRelationId, relation, role)
#else
#define nauth_server_usable(server, role) \
	(pg_foreign_server_aclcheck(server, role, ACL_USAGE) == ACLCHECK_OK)
#define nauth_schema_creatable(schema, role) \
	(pg_namespace_aclcheck(schema, role, ACL_CREATE) == ACLCHECK_OK)
#define nauth_schema_usable(schema, role) \
	(pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK)
#define nauth_relation_owned(relation, role) \
	pg_class_ownercheck(relation, role)
#endif

/* the backend status array, counted from 1 */
#if PG_VERSION_NUM >= 160000
#define nauth_backend_status(i)	(&pgstat_get_local_beentry_by_index(i)->backendStatus)
#else
#define nauth_backend_status(i)	(&pgstat_fetch_stat_local_beentry(i)->backendStatus)
#endif

#endif							/* NAUTH_PGCOMPAT_H */
