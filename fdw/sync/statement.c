/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  Statements on the state tables, as the owner of these.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "sync/role.h"
#include "sync/statement.h"

/* Rows that are fetched at a time. */
#define READ_BATCH		10000

void
nauth_args_add(NauthArgs *args, Oid type, Datum value, bool isnull)
{
	Assert(args->count < NAUTH_MAX_ARGS);
	args->types[args->count] = type;
	args->values[args->count] = value;
	args->nulls[args->count++] = isnull ? 'n' : ' ';
}

void
nauth_args_text(NauthArgs *args, const char *value)
{
	nauth_args_add(args, TEXTOID, value ? CStringGetTextDatum(value) : (Datum) 0, value == NULL);
}

void
nauth_args_int(NauthArgs *args, int64 value)
{
	nauth_args_add(args, INT8OID, Int64GetDatum(value), false);
}

void
nauth_args_bool(NauthArgs *args, bool value)
{
	nauth_args_add(args, BOOLOID, BoolGetDatum(value), false);
}

void
nauth_args_time(NauthArgs *args, TimestampTz value)
{
	nauth_args_add(args, TIMESTAMPTZOID, TimestampTzGetDatum(value), value == DT_NOBEGIN);
}

void
nauth_args_relation(NauthArgs *args, Oid relid)
{
	nauth_args_add(args, REGCLASSOID, ObjectIdGetDatum(relid), false);
}

void
nauth_args_texts(NauthArgs *args, int count, const char *const *texts)
{
	nauth_args_add(args, TEXTARRAYOID, nauth_text_array(count, texts), false);
}

void
nauth_args_times(NauthArgs *args, int count, const TimestampTz *times)
{
	nauth_args_add(args, TIMESTAMPTZARRAYOID, nauth_time_array(count, times), false);
}

Datum
nauth_text_array(int count, const char *const *texts)
{
	Datum	   *values = palloc(Max(count, 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		values[i] = CStringGetTextDatum(texts[i]);
	return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
nauth_time_array(int count, const TimestampTz *times)
{
	Datum	   *values = palloc(Max(count, 1) * sizeof(Datum));
	bool	   *nulls = palloc(Max(count, 1) * sizeof(bool));
	int			lower = 1;

	for (int i = 0; i < count; i++)
	{
		values[i] = TimestampTzGetDatum(times[i]);
		nulls[i] = times[i] == DT_NOBEGIN;
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, &count, &lower, TIMESTAMPTZOID,
											  sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

const char *
nauth_time_sql(TimestampTz time)
{
	return time == DT_NOBEGIN ? "timestamptz '-infinity'" :
		psprintf("timestamptz '2000-01-01 00:00:00+00' + " INT64_FORMAT " * interval '1 us'", time);
}

/* The role that owns the state tables. */
static Oid
state_owner(void)
{
	Oid			owner = nauth_relation_owner(get_relname_relid("sync_state", get_namespace_oid("neon_auth", false)));

	if (!OidIsValid(owner))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("table neon_auth.sync_state does not exist"),
				errhint("Create extension neon_auth_fdw in this database."));
	return owner;
}

void
nauth_statement_check(int result)
{
	if (result < 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(result));
}

void
nauth_statement_execute(const char *sql, NauthArgs *args)
{
	nauth_statement_execute_as(state_owner(), sql, args);
}

void
nauth_statement_execute_as(Oid role, const char *sql, NauthArgs *args)
{
	NauthRole	saved;
	int			result;

	nauth_role_enter(role, &saved);
	result = SPI_execute_with_args(sql, args->count, args->types, args->values, args->nulls,
								   false, 0);
	nauth_role_leave(&saved);
	nauth_statement_check(result);
}

void
nauth_statement_read(const char *sql, NauthArgs *args, NauthRowReader reader, void *arg)
{
	nauth_statement_read_as(state_owner(), sql, args, reader, arg);
}

void
nauth_statement_read_as(Oid role, const char *sql, NauthArgs *args, NauthRowReader reader, void *arg)
{
	NauthRole	saved;
	Portal		cursor;

	nauth_role_enter(role, &saved);
	cursor = SPI_cursor_open_with_args(NULL, sql, args->count, args->types, args->values, args->nulls, false, 0);
	do
	{
		SPI_cursor_fetch(cursor, true, READ_BATCH);
		for (uint64 i = 0; i < SPI_processed; i++)
			reader(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, arg);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	} while (SPI_processed > 0);
	SPI_cursor_close(cursor);
	nauth_role_leave(&saved);
}

static Datum
result_value(int row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

bool
nauth_result_bool(int row, int column)
{
	bool		isnull;
	Datum		value = result_value(row, column, &isnull);

	return !isnull && DatumGetBool(value);
}

int64
nauth_result_int(int row, int column)
{
	bool		isnull;
	Datum		value = result_value(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

TimestampTz
nauth_result_time(int row, int column)
{
	bool		isnull;
	Datum		value = result_value(row, column, &isnull);

	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

char *
nauth_result_text(int row, int column)
{
	bool		isnull;
	Datum		value = result_value(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}
