/*-------------------------------------------------------------------------
 *
 * left_out.c
 *	  Lists of users that are not as the provider has them: deletions that are
 *	  held, users that PostgreSQL cannot hold.
 *
 * A full run makes both lists anew.  An incremental one leaves the users alone
 * that it has not read.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "sync/deletion.h"
#include "sync/state.h"
#include "sync/statement.h"

/*
 * Users in these lists, read back in the order that nauth_id_list_find needs, with
 * reason and brake where they have one.
 */
static void
load_list(NauthRun *run, const char *sql, NauthIdList *list)
{
	NauthArgs	args = {0};

	list->count = 0;
	nauth_args_relation(&args, run->target.relid);
	nauth_statement_execute(sql, &args);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *id = nauth_result_text(i, 1);
		char	   *text = nauth_result_text(i, 2);
		char	   *brake = nauth_result_text(i, 3);
		const char *reason = brake ? nauth_deletion_brake_reason(brake) :
		text ? MemoryContextStrdup(run->cxt, text) : NULL;

		/* there may be as many as the directory had users */
		nauth_id_list_add(list, run->cxt, id, reason);
		pfree(id);
		if (text)
			pfree(text);
		if (brake)
			pfree(brake);
	}
}

/* An approval has to name the number of deletions that wait for a person. */
static void
check_approval(const NauthRun *run)
{
	int			count = 0;

	for (int i = 0; i < run->held_before.count; i++)
		if (nauth_deletion_brake_name(run->held_before.notes[i]))
			count++;
	if (run->approved >= 0 && run->approved != count)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg_plural("approve_deletions is %d, but %d deletion is held for approval in table %s",
							  "approve_deletions is %d, but %d deletions are held for approval in table %s",
							  count, run->approved, count, run->target.name),
				errhint("SELECT * FROM neon_auth.held_deletion shows what would be approved."));
}

/* Fill held_before and quarantined_before, and check approve_deletions. */
void
nauth_left_out_load(NauthRun *run)
{
	load_list(run, "SELECT id, reason, brake FROM neon_auth.held_deletion WHERE target = $1"
			  " ORDER BY id COLLATE \"C\"", &run->held_before);
	run->held_returned = MemoryContextAllocZero(run->cxt, Max(run->held_before.count, 1) * sizeof(bool));
	load_list(run, "SELECT id, NULL, NULL FROM neon_auth.quarantined_user WHERE target = $1"
			  " ORDER BY id COLLATE \"C\"", &run->quarantined_before);
	check_approval(run);
}

/*
 * Delete the rows that the run has gone over and that are not to stay: of those
 * that it has found when it began, all or, incrementally, those it has read.
 */
static void
forget_others(NauthRun *run, const char *table, const NauthIdList *before, int count, const char *const *ids)
{
	const NauthIdList *gone_over = run->incremental ? &run->returned_users : before;
	NauthArgs	args = {0};

	if (gone_over->count == 0)
		return;
	run->stored = true;
	nauth_args_relation(&args, run->target.relid);
	nauth_args_texts(&args, count, ids);
	nauth_args_texts(&args, gone_over->count, (const char *const *) gone_over->ids);
	nauth_statement_execute(psprintf("DELETE FROM neon_auth.%s WHERE target = $1 AND id <> ALL ($2) AND id = ANY ($3)",
									 table), &args);
}

/* Who is marked now is not held, by whomever. */
static void
forget_marked(NauthRun *run)
{
	const NauthIdList *deleted = &run->deleted_users;
	NauthArgs	args = {0};

	if (deleted->count == 0)
		return;
	nauth_args_relation(&args, run->target.relid);
	nauth_args_texts(&args, deleted->count, (const char *const *) deleted->ids);
	nauth_statement_execute("DELETE FROM neon_auth.held_deletion WHERE target = $1 AND id = ANY ($2)", &args);
}

static void
store_held(NauthRun *run)
{
	const NauthIdList *list = &run->held_users;
	const char **brakes = palloc(Max(list->count, 1) * sizeof(char *));
	NauthArgs	args = {0};

	for (int i = 0; i < list->count; i++)
	{
		const char *name = nauth_deletion_brake_name(list->notes[i]);

		brakes[i] = name ? name : "";
	}
	forget_others(run, "held_deletion", &run->held_before, list->count, (const char *const *) list->ids);
	forget_marked(run);
	if (list->count == 0)
		return;
	run->stored = true;
	nauth_args_relation(&args, run->target.relid);
	nauth_args_texts(&args, list->count, (const char *const *) list->ids);
	nauth_args_texts(&args, list->count, list->notes);
	nauth_args_texts(&args, list->count, brakes);
	nauth_statement_execute("INSERT INTO neon_auth.held_deletion AS t (target, id, reason, brake, held_since)"
							" SELECT $1, n.id, n.reason, nullif(n.brake, ''), now() FROM unnest($2, $3, $4) AS n (id, reason, brake)"
							" ON CONFLICT (target, id) DO UPDATE SET reason = excluded.reason, brake = excluded.brake"
							" WHERE (t.reason, t.brake) IS DISTINCT FROM (excluded.reason, excluded.brake)", &args);
}

static void
store_quarantined(NauthRun *run)
{
	int			count = run->quarantined_count;
	const NauthQuarantined *users = run->quarantined;
	const char **ids = palloc(Max(count, 1) * sizeof(char *));
	const char **reasons = palloc(Max(count, 1) * sizeof(char *));
	TimestampTz *created = palloc(Max(count, 1) * sizeof(TimestampTz));
	Datum	   *has_row = palloc(Max(count, 1) * sizeof(Datum));
	NauthArgs	args = {0};

	for (int i = 0; i < count; i++)
	{
		ids[i] = users[i].id;
		reasons[i] = users[i].reason;
		created[i] = users[i].created_at;
		has_row[i] = BoolGetDatum(users[i].has_row);
	}
	forget_others(run, "quarantined_user", &run->quarantined_before, count, ids);
	if (count == 0)
		return;
	run->stored = true;
	nauth_args_relation(&args, run->target.relid);
	nauth_args_texts(&args, count, ids);
	nauth_args_texts(&args, count, reasons);
	nauth_args_times(&args, count, created);
	nauth_args_add(&args, BOOLARRAYOID,
				   PointerGetDatum(construct_array(has_row, count, BOOLOID, 1, true, TYPALIGN_CHAR)), false);
	nauth_statement_execute("INSERT INTO neon_auth.quarantined_user AS t"
							" (target, id, reason, quarantined_since, created_at, has_row)"
							" SELECT DISTINCT ON (n.id) $1, n.id, n.reason, now(), n.created_at, n.has_row"
							" FROM unnest($2, $3, $4, $5) AS n (id, reason, created_at, has_row)"
							" ORDER BY n.id"
							" ON CONFLICT (target, id) DO UPDATE SET reason = excluded.reason,"
							" created_at = excluded.created_at, has_row = excluded.has_row"
							" WHERE (t.reason, t.created_at, t.has_row) IS DISTINCT FROM"
							" (excluded.reason, excluded.created_at, excluded.has_row)", &args);
}

/* Write both lists as the run leaves them; rows that stay as they were are not touched. */
void
nauth_left_out_store(NauthRun *run)
{
	store_held(run);
	store_quarantined(run);
}
