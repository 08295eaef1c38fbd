/*-------------------------------------------------------------------------
 *
 * procedure.c
 *	  SQL procedure refresh_users_sync.
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

#define NUM_RESULTS	9

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

static const char *
text_arg(FunctionCallInfo fcinfo, int arg, const char *default_value)
{
	return PG_ARGISNULL(arg) ? default_value : text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

static NauthMode
mode_arg(FunctionCallInfo fcinfo)
{
	const char *name = text_arg(fcinfo, ARG_MODE, mode_names[NAUTH_MODE_AUTO]);

	for (int mode = 0; mode < lengthof(mode_names); mode++)
		if (strcmp(mode_names[mode], name) == 0)
			return mode;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("invalid mode of a refresh"),
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

/* The INOUT columns of the procedure. */
static Datum
result_row(FunctionCallInfo fcinfo, const NauthRun *run, const char *status)
{
	const NauthCounts *counts = &run->counts;
	Interval   *elapsed = palloc0(sizeof(Interval));
	TupleDesc	desc;
	Datum		values[NUM_RESULTS];
	bool		nulls[NUM_RESULTS] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	elapsed->time = GetCurrentTimestamp() - run->started_at;
	values[0] = CStringGetTextDatum(status);
	values[1] = Int64GetDatum(counts->inserted);
	values[2] = Int64GetDatum(counts->updated);
	values[3] = Int64GetDatum(counts->unchanged);
	values[4] = Int64GetDatum(counts->tombstoned);
	values[5] = Int64GetDatum(nauth_run_held(run).count);
	values[6] = Int64GetDatum(counts->quarantined);
	values[7] = Int64GetDatum(nauth_directory_stats(run->directory)->requests);
	values[8] = IntervalPGetDatum(elapsed);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
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
	nauth_refresh_open(run, text_arg(fcinfo, ARG_SERVER, NULL), text_arg(fcinfo, ARG_TARGET, NAUTH_DEFAULT_TARGET));
	status = nauth_refresh(run, mode);

	MemoryContextSwitchTo(caller);
	result = result_row(fcinfo, run, status ? status : "busy");
	MemoryContextDelete(run->cxt);
	SPI_finish();
	return result;
}
