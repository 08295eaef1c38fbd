/*-------------------------------------------------------------------------
 *
 * import.c
 *	  IMPORT FOREIGN SCHEMA directory: the foreign table "users".
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "neon_auth_fdw.h"
#include "users.h"

#define REMOTE_SCHEMA	"directory"
#define REMOTE_TABLE	"users"

/* LIMIT TO and EXCEPT are applied by the caller to what is returned. */
List *
neonAuthImportForeignSchema(ImportForeignSchemaStmt *stmt, Oid serverOid)
{
	StringInfoData sql;

	if (strcmp(stmt->remote_schema, REMOTE_SCHEMA) != 0)
		ereport(ERROR,
				errcode(ERRCODE_FDW_SCHEMA_NOT_FOUND),
				errmsg("server \"%s\" has no schema \"%s\"",
					   GetForeignServer(serverOid)->servername, stmt->remote_schema),
				errhint("The only one is \"%s\".", REMOTE_SCHEMA));
	if (stmt->options != NIL)
		ereport(ERROR,
				errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				errmsg("invalid option \"%s\"",
					   linitial_node(DefElem, stmt->options)->defname),
				errhint("IMPORT FOREIGN SCHEMA has no options here."));

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE FOREIGN TABLE %s (", REMOTE_TABLE);
	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
		appendStringInfo(&sql, "%s%s %s", i > 0 ? ", " : "", nauth_columns[i].name,
						 format_type_be_qualified(nauth_columns[i].type));
	appendStringInfo(&sql, ") SERVER %s",
					 quote_identifier(GetForeignServer(serverOid)->servername));
	return list_make1(sql.data);
}
