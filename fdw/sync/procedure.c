/*-------------------------------------------------------------------------
 *
 * procedure.c
 *	  SQL procedure refresh_users_sync, and what all procedures share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pgcompat.h"
#include "sync/procedure.h"
#include "sync/refresh.h"

/* Arguments of the procedure, as in the script. */
enum RefreshArg
{
	ARG_SERVER,
	ARG_MODE,
	ARG_TARGET,
	ARG_APPROVE,
	ARG_DRY_RUN
};

/* Columns that a procedure returns, at most. */
#define MAX_RESULTS	16

static const char *const mode_names[] = {
	[NAUTH_MODE_AUTO] = "auto",
	[NAUTH_MODE_INCREMENTAL] = "incremental",
	[NAUTH_MODE_FULL] = "full",
};

NAUTH_FUNCTION(neon_auth_refresh_users_sync);

/* Nothing may begin where it cannot end: refuse before any request. */
static void
check_transaction(bool toplevel)
{
	nauth_run_check_writable("CALL neon_auth.refresh_users_sync()");
	if (!toplevel && IsolationUsesXactSnapshot())
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("cannot refresh in a transaction with isolation level above READ COMMITTED"),
				errdetail("Its snapshot may be older than the last refresh."),
				errhint("Call it outside of a transaction, or after BEGIN ISOLATION LEVEL READ COMMITTED."));
}

const char *
nauth_procedure_text(FunctionCallInfo fcinfo, int arg, const char *otherwise)
{
	return PG_ARGISNULL(arg) ? otherwise : text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

Datum
nauth_procedure_result(FunctionCallInfo fcinfo, const char *status, int count,
					   const int64 *numbers, TimestampTz started_at)
{
	Interval	elapsed = {.time = GetCurrentTimestamp() - started_at};
	TupleDesc	desc;
	Datum		values[MAX_RESULTS];
	bool		nulls[MAX_RESULTS] = {false};
	int			filled = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	Assert(desc->natts <= MAX_RESULTS);
	if (status)
		values[filled++] = CStringGetTextDatum(status);
	for (int i = 0; i < count; i++)
		values[filled++] = Int64GetDatum(numbers[i]);
	values[filled] = IntervalPGetDatum(&elapsed);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static NauthMode
mode_arg(FunctionCallInfo fcinfo)
{
	const char *name = nauth_procedure_text(fcinfo, ARG_MODE, mode_names[NAUTH_MODE_AUTO]);

	for (int mode = 0; mode < lengthof(mode_names); mode++)
		if (strcmp(mode_names[mode], name) == 0)
			return mode;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid value for argument \"%s\": \"%s\"", "mode", name),
			errhint("Modes are auto, incremental and full."));
}

static int
approve_arg(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(ARG_APPROVE))
		return -1;
	if (PG_GETARG_INT32(ARG_APPROVE) < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("approve_deletions must not be negative"));
	return PG_GETARG_INT32(ARG_APPROVE);
}

static Datum
result_row(FunctionCallInfo fcinfo, const NauthRun *run, const char *status)
{
	const NauthCounts *counts = &run->counts;
	const int64 numbers[] = {
		counts->inserted, counts->updated, counts->unchanged, counts->tombstoned,
		nauth_run_held(run).count, counts->quarantined, nauth_directory_stats(run->directory)->requests
	};

	return nauth_procedure_result(fcinfo, status, lengthof(numbers), numbers, run->started_at);
}

/*
 * SQL procedure refresh_users_sync(server, mode, target, approve_deletions,
 * dry_run, INOUT ...)
 */
Datum
neon_auth_refresh_users_sync(PG_FUNCTION_ARGS)
{
	bool		toplevel = nauth_run_is_toplevel(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	NauthRun   *run;
	NauthMode	mode;
	const char *status;
	Datum		result;

	check_transaction(toplevel);
	SPI_connect_ext(toplevel ? SPI_OPT_NONATOMIC : 0);
	run = nauth_run_create(toplevel);
	mode = mode_arg(fcinfo);
	run->approved = approve_arg(fcinfo);
	run->dry_run = !PG_ARGISNULL(ARG_DRY_RUN) && PG_GETARG_BOOL(ARG_DRY_RUN);
	nauth_refresh_open(run, nauth_procedure_text(fcinfo, ARG_SERVER, NULL), nauth_procedure_text(fcinfo, ARG_TARGET, NAUTH_DEFAULT_TARGET));
	status = nauth_refresh(run, mode);

	MemoryContextSwitchTo(caller);
	result = result_row(fcinfo, run, status ? status : "busy");
	MemoryContextDelete(run->cxt);
	SPI_finish();
	return result;
}
