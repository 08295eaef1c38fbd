/*-------------------------------------------------------------------------
 *
 * purge.c
 *	  Procedure purge_deleted: really deletes rows that were marked long ago.
 *
 * Only then do ON DELETE rules of foreign keys fire.  At top level each batch
 * is a transaction of its own.  A row that something still refers to, by a
 * foreign key without such a rule, stays.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fault_point.h"
#include "pgcompat.h"
#include "sync/blame.h"
#include "sync/digest.h"
#include "sync/procedure.h"
#include "sync/refresh.h"
#include "sync/statement.h"

#define BATCH		1000

/* Arguments of the procedure, as in the script. */
enum PurgeArg
{
	ARG_OLDER_THAN,
	ARG_TARGET
};

typedef struct Purge
{
	TimestampTz before;			/* rows marked before it */

	/* how far it is: the last row looked at */
	TimestampTz deleted_at;
	char	   *id;

	int64		purged;
	int64		kept;
	const char *constraint;		/* why the first of these was kept */
	const char *table;
} Purge;

/* A part of a batch. */
typedef struct Part
{
	Purge	   *purge;
	NauthIdList ids;
} Part;

NAUTH_FUNCTION(neon_auth_purge_deleted);

static TimestampTz
before_arg(FunctionCallInfo fcinfo, TimestampTz now)
{
	Datum		before = PG_ARGISNULL(ARG_OLDER_THAN) ? TimestampTzGetDatum(DT_NOEND) :
	DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(now), PG_GETARG_DATUM(ARG_OLDER_THAN));

	if (DatumGetTimestampTz(before) > now)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for argument \"%s\"", "older_than"),
				errhint("It is how long ago rows were marked as deleted, such as '90 days'."));
	return DatumGetTimestampTz(before);
}

/* The next rows that were marked long ago, in the order of their marking. */
static void
read_batch(NauthRun *run, Purge *purge, NauthIdList *batch)
{
	bool		isnull;

	nauth_target_execute_user(&run->target, psprintf("SELECT id::text, deleted_at::timestamptz FROM %s WHERE deleted_at < %s"
													 " AND (deleted_at, id) > (%s, ($1)[1]) ORDER BY deleted_at, id LIMIT %d",
													 run->target.name, nauth_time_sql(purge->before),
													 nauth_time_sql(purge->deleted_at), BATCH),
							  purge->id ? purge->id : "");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];

		nauth_id_list_add(batch, run->page_cxt, nauth_target_id(tuple, SPI_tuptable->tupdesc), NULL);
		purge->deleted_at = DatumGetTimestampTz(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	if (batch->count > 0)
	{
		char	   *last = MemoryContextStrdup(run->cxt, batch->ids[batch->count - 1]);

		if (purge->id)
			pfree(purge->id);
		purge->id = last;
	}
}

/* Step: delete some rows, unless a refresh has brought one back. */
static void
delete_part(NauthRun *run, void *arg)
{
	Part	   *part = arg;

	nauth_digest_forget(run, part->ids.count, (const char *const *) part->ids.ids);
	nauth_target_execute(&run->target, psprintf("DELETE FROM %s WHERE id = ANY ($1) AND deleted_at < %s",
												run->target.name, nauth_time_sql(part->purge->before)), &part->ids);
	part->purge->purged += SPI_processed;
	NAUTH_FAULT_POINT("purged");
}

static bool
is_referenced(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION || error->sqlerrcode == ERRCODE_RESTRICT_VIOLATION;
}

/* Delete these rows, or halves of them, until those are alone that cannot be. */
static void
delete_half(NauthRun *run, Purge *purge, char **ids, int count)
{
	Part		part = {.purge = purge,.ids = {.count = count,.ids = ids}};
	ErrorData  *error = nauth_run_insist(run, delete_part, &part);

	if (error == NULL)
		return;
	if (!nauth_blame_user(error))
		ReThrowError(error);
	if (count > 1)
	{
		FreeErrorData(error);
		delete_half(run, purge, ids, count / 2);
		delete_half(run, purge, ids + count / 2, count - count / 2);
		return;
	}
	if (!is_referenced(error))
		nauth_blame_raise(psprintf("could not delete user \"%s\" from table %s", ids[0], run->target.name), error);
	if (purge->kept++ == 0)
	{
		purge->constraint = error->constraint_name ? MemoryContextStrdup(run->cxt, error->constraint_name) : NULL;
		purge->table = error->table_name ? MemoryContextStrdup(run->cxt, error->table_name) : NULL;
	}
	FreeErrorData(error);
}

static void
purge_all(NauthRun *run, Purge *purge)
{
	int			count;

	do
	{
		NauthIdList batch = {0};

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(run->page_cxt);
		nauth_run_check_at_once(run);
		read_batch(run, purge, &batch);
		count = batch.count;
		if (count > 0)
			delete_half(run, purge, batch.ids, count);
		MemoryContextSwitchTo(run->cxt);
		MemoryContextReset(run->page_cxt);
		nauth_run_commit(run);
	} while (count == BATCH);
}

static void
notice_kept(const NauthRun *run, const Purge *purge)
{
	if (purge->kept == 0)
		return;
	ereport(NOTICE,
			errmsg_plural("kept %lld user of %s that something refers to",
						  "kept %lld users of %s that something refers to", purge->kept,
						  (long long) purge->kept, run->target.name),
			purge->constraint && purge->table ?
			errdetail("For one, by constraint \"%s\" of table \"%s\".", purge->constraint, purge->table) : 0,
			errhint("Delete what refers to them, or give the constraint ON DELETE SET NULL or CASCADE."));
}

/* Open the target, of which the caller must be the owner. */
static void
open_target(NauthRun *run, const char *name)
{
	if (!nauth_target_open(name, &run->target))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("table \"%s\" does not exist", name),
				errhint("Name the table as \"target\"."));
}

/* SQL procedure purge_deleted(older_than, target, INOUT ...) */
Datum
neon_auth_purge_deleted(PG_FUNCTION_ARGS)
{
	bool		toplevel = nauth_run_is_toplevel(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Purge		purge = {.deleted_at = DT_NOBEGIN};
	NauthRun   *run;
	int64		numbers[2];
	Datum		result;

	nauth_run_check_writable("CALL neon_auth.purge_deleted()");
	SPI_connect_ext(toplevel ? SPI_OPT_NONATOMIC : 0);
	run = nauth_run_create(toplevel);
	purge.before = before_arg(fcinfo, run->started_at);
	open_target(run, nauth_procedure_text(fcinfo, ARG_TARGET, NAUTH_DEFAULT_TARGET));
	nauth_run_enter();
	PG_TRY();
	{
		nauth_run_commit(run);	/* on to READ COMMITTED */
		purge_all(run, &purge);
	}
	PG_FINALLY();
	{
		nauth_run_leave();
	}
	PG_END_TRY();
	notice_kept(run, &purge);

	MemoryContextSwitchTo(caller);
	numbers[0] = purge.purged;
	numbers[1] = purge.kept;
	result = nauth_procedure_result(fcinfo, NULL, lengthof(numbers), numbers, run->started_at);
	MemoryContextDelete(run->cxt);
	SPI_finish();
	return result;
}
