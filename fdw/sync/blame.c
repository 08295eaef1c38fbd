/*-------------------------------------------------------------------------
 *
 * blame.c
 *	  Errors that single users of a batch are to blame for.
 *
 * A statement writes many users; if one of them is refused it has to be found,
 * and named without showing what its row holds.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sync/blame.h"

bool
nauth_blame_value(const ErrorData *error)
{
	int			class = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return class == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED);
}

bool
nauth_blame_user(const ErrorData *error)
{
	static const int others[] = {
		ERRCODE_CONNECTION_EXCEPTION, ERRCODE_INVALID_TRANSACTION_STATE,
		ERRCODE_TRANSACTION_ROLLBACK, ERRCODE_INSUFFICIENT_RESOURCES,
		ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, ERRCODE_OPERATOR_INTERVENTION,
		ERRCODE_SYSTEM_ERROR, ERRCODE_INTERNAL_ERROR
	};

	for (int i = 0; i < lengthof(others); i++)
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TO_CATEGORY(others[i]))
			return false;
	return true;
}

/*
 * Detail and context stay behind, for they may show the row, and so does a
 * message about a value.
 */
void
nauth_blame_raise(const char *act, const ErrorData *error)
{
	ereport(ERROR,
			errcode(error->sqlerrcode),
			errmsg("%s: %s", act, nauth_blame_value(error) ? "a value cannot be stored" : error->message),
			error->hint ? errhint("%s", error->hint) :
			error->constraint_name ?
			errhint("Change constraint \"%s\", or what the provider has of the user.", error->constraint_name) :
			error->column_name ?
			errhint("Change column \"%s\", or what the provider has of the user.", error->column_name) :
			errhint("A trigger or policy of the table, or a default, refuses the user."),
			error->schema_name ? err_generic_string(PG_DIAG_SCHEMA_NAME, error->schema_name) : 0,
			error->column_name ? err_generic_string(PG_DIAG_COLUMN_NAME, error->column_name) : 0,
			error->table_name ? err_generic_string(PG_DIAG_TABLE_NAME, error->table_name) : 0,
			error->constraint_name ? err_generic_string(PG_DIAG_CONSTRAINT_NAME, error->constraint_name) : 0);
}
