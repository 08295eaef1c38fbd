/*-------------------------------------------------------------------------
 *
 * user.c
 *	  SQL function sync_user: one user, now.
 *
 * It is an incremental run of a page with a single user, in the transaction of
 * its caller and beside whatever refresh goes on: what it writes is valid at any
 * time, and it takes no lock that a refresh needs.  It acts for the owner of
 * the target, so that an application needs the right to call it and no more.
 *
 * Calls for the same user wait for each other, and one that waited for a
 * request which began after its own beginning needs none.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_namespace.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

#include "fault_point.h"
#include "neon_auth_fdw.h"
#include "pgcompat.h"
#include "provider/asking.h"
#include "sync/apply.h"
#include "sync/changes.h"
#include "sync/deletion.h"
#include "sync/lock.h"
#include "sync/refresh.h"
#include "sync/state.h"
#include "sync/statement.h"
#include "users.h"
#include "wait.h"

NAUTH_FUNCTION(neon_auth_sync_user);

/* Open what is needed, as the owner of the target and without any request. */
static void
open_run(NauthRun *run, const char *server_name, const char *target)
{
	Oid			relid = nauth_target_find(target);
	ForeignServer *server;

	if (!OidIsValid(relid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("table \"%s\" does not exist", target),
				errhint("Make it with: %s;", nauth_refresh_call("refresh_users_sync", server_name, target, NULL)));
	nauth_target_describe(relid, &run->target);
	server = nauth_server_to_ask(server_name, run->target.owner);
	nauth_run_set_options(run, nauth_options_get(server->serverid, run->target.owner));
	if (run->options->provider->lists_only)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("server \"%s\" cannot be asked for one user", run->options->server),
				errhint("Say where one user is, if that is anywhere: ALTER SERVER %s OPTIONS (ADD user_path '...');",
						quote_identifier(run->options->server)));
	run->directory = nauth_directory_open(run->options, run->options->scan_timeout);
}

/* Only the directory that refreshes write may, with the credential they have. */
static void
load_state(NauthRun *run)
{
	const char *owner;
	const char *call;

	nauth_state_load(run);
	if (run->has_state && !run->new_credential)
		return;
	owner = quote_identifier(GetUserNameFromId(run->target.owner, false));
	call = nauth_refresh_call("refresh_users_sync", run->options->server, run->target.name, NULL);
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			run->has_state ?
			errmsg("the credential for server \"%s\" is not the one that %s was last refreshed with",
				   run->options->server, run->target.name) :
			errmsg("table %s has not been refreshed from server \"%s\" yet", run->target.name, run->options->server),
			run->has_state ?
			errhint("Give its owner's user mapping the same one, or refresh with this one, as role %s: %s;", owner, call) :
			errhint("As role %s: %s;", owner, call));
}

/* A live row of the target. */
typedef struct LiveRow
{
	TimestampTz created_at;		/* or DT_NOBEGIN, like the next */
	TimestampTz updated_at;
} LiveRow;

/* The live row of the user; false if there is none. */
static bool
read_live_row(const NauthRun *run, LiveRow *row)
{
	nauth_target_execute_user(&run->target, psprintf("SELECT created_at::timestamptz, updated_at::timestamptz FROM %s"
													 " WHERE id = ANY ($1) AND deleted_at IS NULL", run->target.name),
							  run->single);
	if (SPI_processed == 0)
		return false;
	row->created_at = nauth_result_time(0, 1);
	row->updated_at = nauth_result_time(0, 2);
	return true;
}

/* What the brake has to know beside this user: deletions of the last hour. */
static void
count_deletions(NauthRun *run)
{
	nauth_target_execute(&run->target, psprintf("SELECT count(*) FROM %s WHERE deleted_at > now() - interval '1 hour'",
												run->target.name), NULL);
	run->deleted_before = nauth_result_int(0, 1);
}

/*
 * Why the row stays as it is though the provider does not find the user, or NULL.
 * A listing proves more than that; here it is of the moment of creation.
 */
static const char *
objection(NauthRun *run, const LiveRow *row)
{
	if (nauth_id_list_find(&run->held_before, run->single) >= 0)
		return "the deletion is held back already";
	if (Max(row->created_at, row->updated_at) > nauth_run_provider_time(run, GetCurrentTimestamp()) - NAUTH_SETTLED_AGE)
		return "the user was created or changed just now";
	if (run->options->provider->counts_windows && row->created_at != DT_NOBEGIN &&
		nauth_window_lists(run, run->single, row->created_at))
		return "the provider lists the user";
	return NULL;
}

/* Tell that the row is as live as before. */
static void
warn_unmarked(const NauthRun *run, const char *reason)
{
	ereport(WARNING,
			errcode(ERRCODE_WARNING),
			errmsg("did not mark a user of %s as deleted whom the provider does not find", run->target.name),
			errdetail("Reason: %s.", reason),
			errhint("The next refresh decides, or whoever looks into neon_auth.held_deletion."));
}

/*
 * The provider says that the user does not exist: mark the row, if there is a
 * live one, on its word of several requests and with the brake of any other run.
 */
static void
mark_deleted(NauthRun *run)
{
	char	   *ids[] = {unconstify(char *, run->single)};
	NauthIdList except = {0};
	NauthIdList witnesses = {0};
	const char *reason;
	LiveRow		row;
	bool		listed;

	if (!read_live_row(run, &row))
		return;
	reason = objection(run, &row);
	if (reason)
	{
		warn_unmarked(run, reason);
		return;
	}
	count_deletions(run);
	for (int i = 0; i < run->held_before.count; i++)
		nauth_id_list_add(&except, run->cxt, run->held_before.ids[i], NULL);
	nauth_id_list_add(&except, run->cxt, run->single, NULL);
	nauth_deletion_choose_witnesses(run, &except, &witnesses);
	nauth_deletion_ask_witnesses(run, &witnesses);
	nauth_id_list_add(&run->missing_users, run->cxt, run->single, NULL);
	nauth_deletion_brake(run);
	nauth_deletion_confirm(run);
	nauth_deletion_apply(run);
	nauth_left_out_store(run);
	if (run->held_users.count > 0)
		warn_unmarked(run, run->held_reason);
	listed = nauth_id_list_find(&run->counted_before, run->single) >= 0 ||
		(row.created_at != DT_NOBEGIN && row.created_at <= run->last.newest);
	if (run->marked + run->held_users.count > 0)
		nauth_delta_store(run, 1, ids, listed ? -1 : 0, -run->marked);
}

/* Ask the provider, and write what it says. */
static void
ask(NauthRun *run)
{
	NauthUser  *user = palloc(sizeof(NauthUser));
	NauthPage	page = {.users = user,.count = 1,.total = -1,.last = true};
	bool		found;

	load_state(run);
	run->asked_at = GetCurrentTimestamp();
	found = nauth_directory_user(run->directory, run->single, user);
	NAUTH_FAULT_POINT("answered");
	if (found)
	{
		nauth_apply_some(run, &page);
		if (run->new_shape && nauth_log_has_changes(run))
			nauth_state_mix_shapes(run);
	}
	else
		mark_deleted(run);
	nauth_log_notify(run);
	if (run->quarantined_count > 0)
		ereport(WARNING,
				errcode(ERRCODE_WARNING),
				errmsg("left out a user of server \"%s\"", run->options->server),
				errdetail("Reason: %s.", run->quarantined[0].reason),
				errhint("neon_auth.quarantined_user lists all such users."));
}

/*
 * Ask unless somebody else has done so since the call began.  The lock is kept
 * until the end of the transaction if others cannot see before what was written.
 */
static void
ask_once(NauthRun *run, int64 called_at)
{
	NauthLock	lock;
	int64		asked_at;

	nauth_lock_user(&lock, run->target.relid, run->single);
	asked_at = nauth_clock();
	if (!nauth_lookup_told(run->target.relid, run->single, called_at))
	{
		ask(run);
		nauth_lookup_tell(run->target.relid, run->single, asked_at);
	}
	if (!nauth_log_has_changes(run) && !run->stored)
		nauth_lock_release(&lock);
	else
		nauth_lock_forbid_prepare();
}

/* Whether the caller may read a column of the target by himself. */
static bool
is_readable(const NauthTarget *target, AttrNumber column)
{
	Oid			role = GetUserId();

	return nauth_schema_usable(get_rel_namespace(target->relid), role) &&
		check_enable_rls(target->relid, role, true) != RLS_ENABLED &&
		(pg_class_aclcheck(target->relid, role, ACL_SELECT) == ACLCHECK_OK ||
		 pg_attribute_aclcheck(target->relid, column, role, ACL_SELECT) == ACLCHECK_OK);
}

/* The row of the user, in a memory context: what the caller may read of it. */
static Datum
read_row(FunctionCallInfo fcinfo, const NauthRun *run, MemoryContext cxt)
{
	Datum		values[NAUTH_NUM_COLUMNS] = {0};
	bool		nulls[NAUTH_NUM_COLUMNS];
	TupleDesc	desc;

	nauth_target_execute_user(&run->target, psprintf("SELECT raw_json, id, name, email, created_at, updated_at, deleted_at"
													 " FROM %s WHERE id = ANY ($1)", run->target.name), run->single);
	MemoryContextSwitchTo(cxt);
	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
	{
		AttrNumber	column = get_attnum(run->target.relid, nauth_columns[i].name);

		nulls[i] = SPI_processed == 0 || !is_readable(&run->target, column);
		if (!nulls[i])
			values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &nulls[i]);
	}
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* SQL function sync_user(server, user_id, target): the row, or nulls */
Datum
neon_auth_sync_user(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	int64		called_at = nauth_clock();
	NauthRun   *run;
	Datum		row;

	nauth_run_check_writable("neon_auth.sync_user()");
	SPI_connect();
	run = nauth_run_create(false);
	run->single = text_to_cstring(PG_GETARG_TEXT_PP(1));
	run->incremental = true;
	open_run(run, text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(2)));
	nauth_run_enter();
	PG_TRY();
	{
		/* of an id that no user can have there is nothing to ask */
		if (nauth_ask_id_possible(run->options->provider, run->single))
			ask_once(run, called_at);
		row = read_row(fcinfo, run, caller);
	}
	PG_FINALLY();
	{
		nauth_run_leave();
	}
	PG_END_TRY();
	MemoryContextDelete(run->cxt);
	SPI_finish();
	MemoryContextSwitchTo(caller);
	return row;
}
