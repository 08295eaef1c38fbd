/*-------------------------------------------------------------------------
 *
 * import.c
 *	  IMPORT FOREIGN SCHEMA directory: the foreign table "users".
 *
 * All directories look the same, so nothing is asked of the provider.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "neon_auth_fdw.h"
#include "options.h"
#include "users.h"

#define REMOTE_SCHEMA	"directory"
#define REMOTE_TABLE	"users"

/* What the statement asks for. */
typedef struct Import
{
	int			columns[NAUTH_NUM_COLUMNS]; /* in the table's order */
	int			count;
	bool		not_null;		/* say so of columns that never are null */
} Import;

static void
set_columns(Import *import, DefElem *def)
{
	char	   *hint = psprintf("It is a list of columns, none of them twice, of: %s.", nauth_column_names());
	List	   *names;
	ListCell   *lc;

	if (!SplitIdentifierString(pstrdup(defGetString(def)), ',', &names) || names == NIL)
		nauth_options_report_value(def->defname, hint);
	import->count = 0;
	foreach(lc, names)
	{
		int			column = nauth_column_find(lfirst(lc));

		for (int i = 0; i < import->count; i++)
			if (import->columns[i] == column)
				column = -1;
		if (column < 0)
			nauth_options_report_value(def->defname, hint);
		import->columns[import->count++] = column;
	}
}

static void
set_not_null(Import *import, DefElem *def)
{
	if (!parse_bool(defGetString(def), &import->not_null))
		nauth_options_report_value(def->defname, "It is true or false.");
}

static const struct
{
	const char *name;
	void		(*set) (Import *import, DefElem *def);
}			options[] = {
	{"columns", set_columns},
	{"import_not_null", set_not_null},
};

static void
set_option(Import *import, DefElem *def)
{
	StringInfoData valid;

	initStringInfo(&valid);
	for (int i = 0; i < lengthof(options); i++)
	{
		if (strcmp(options[i].name, def->defname) == 0)
		{
			options[i].set(import, def);
			return;
		}
		appendStringInfo(&valid, "%s%s", i > 0 ? ", " : "", options[i].name);
	}
	ereport(ERROR,
			errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			errmsg("invalid option \"%s\"", def->defname),
			errhint("Valid options here are: %s.", valid.data));
}

/* Read the options; the server leaves it to us that none comes twice. */
static void
read_options(Import *import, const List *list)
{
	ListCell   *lc;

	import->not_null = true;
	for (import->count = 0; import->count < NAUTH_NUM_COLUMNS; import->count++)
		import->columns[import->count] = import->count;
	foreach(lc, list)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		for (int i = 0; i < foreach_current_index(lc); i++)
			if (strcmp(list_nth_node(DefElem, list, i)->defname, def->defname) == 0)
				ereport(ERROR,
						errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("option \"%s\" provided more than once", def->defname));
		set_option(import, def);
	}
}

/* The statement that makes the table. */
static char *
write_statement(const Import *import, const char *server)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE FOREIGN TABLE %s (", REMOTE_TABLE);
	for (int i = 0; i < import->count; i++)
	{
		int			column = import->columns[i];

		appendStringInfo(&sql, "%s%s %s%s", i > 0 ? ", " : "", nauth_columns[column].name,
						 format_type_be_qualified(nauth_columns[column].type),
						 import->not_null && nauth_columns[column].not_null ? " NOT NULL" : "");
	}
	appendStringInfo(&sql, ") SERVER %s", quote_identifier(server));
	return sql.data;
}

List *
neonAuthImportForeignSchema(ImportForeignSchemaStmt *stmt, Oid serverOid)
{
	const char *server = GetForeignServer(serverOid)->servername;
	Import		import;

	if (strcmp(stmt->remote_schema, REMOTE_SCHEMA) != 0)
		ereport(ERROR,
				errcode(ERRCODE_FDW_SCHEMA_NOT_FOUND),
				errmsg("server \"%s\" has no schema \"%s\"", server, stmt->remote_schema),
				errhint("The only one is \"%s\".", REMOTE_SCHEMA));
	read_options(&import, stmt->options);
	if (!IsImportableForeignTable(REMOTE_TABLE, stmt))
		return NIL;
	return list_make1(write_statement(&import, server));
}
