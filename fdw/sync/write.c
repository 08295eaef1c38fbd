/*-------------------------------------------------------------------------
 *
 * write.c
 *	  Users that have changed -> one statement on the target.
 *
 * Whether a user is written the statement itself decides (write_sql.c).
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "sync/blame.h"
#include "sync/changes.h"
#include "sync/statement.h"
#include "sync/write.h"
#include "sync/write_sql.h"

/* Wanted users that one statement writes.  Its plan outlives a try that fails. */
typedef struct Batch
{
	const char *sql;
	SPIPlanPtr	plan;
	NauthWanted *users;
	int			count;
} Batch;

/* One column of a batch as an array. */
static Datum
column_array(const Batch *batch, NauthColumn column)
{
	const NauthColumnDef *def = &nauth_columns[column];
	Datum	   *values = palloc(batch->count * sizeof(Datum));
	bool	   *nulls = palloc(batch->count * sizeof(bool));
	int			lower = 1;
	int			count = batch->count;

	for (int i = 0; i < count; i++)
	{
		values[i] = batch->users[i].row.values[column];
		nulls[i] = batch->users[i].row.nulls[column];
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, &count, &lower, def->type,
											  def->len, def->byval, def->align));
}

/*
 * The time of change that we compare with next time must be the one that was
 * written: a later one would keep the provider's next changes away.
 */
static void
check_time(HeapTuple tuple, TupleDesc desc, const NauthWanted *user)
{
	bool		isnull;
	Datum		time = SPI_getbinval(tuple, desc, 2, &isnull);

	if (isnull || DatumGetTimestampTz(time) != DatumGetTimestampTz(user->row.values[NAUTH_UPDATED_AT]))
		ereport(ERROR,
				errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				errmsg("a trigger of the table has changed column \"updated_at\""),
				errhint("It is the time of the provider, by which changes are found: let the trigger set another column."));
}

/*
 * Count what the statement returned.  Its ids are in our order, so that one
 * walk along both tells whether a user was new.
 */
static void
count_written(NauthRun *run, const Batch *batch)
{
	int			next = 0;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		char	   *id = nauth_target_id(tuple, SPI_tuptable->tupdesc);
		NauthWanted *user;

		while (next < batch->count && strcmp(batch->users[next].id, id) != 0)
			next++;
		if (next == batch->count)
			elog(ERROR, "unexpected order of written users");
		user = &batch->users[next];
		check_time(tuple, SPI_tuptable->tupdesc, user);
		if (!user->known)
			run->counts.inserted++;
		else if (user->live && user->marked)
			run->counts.tombstoned++;
		else
			run->counts.updated++;
		run->counts.live += !user->marked - user->live;
		user->written = true;
		user->row_time = DatumGetTimestampTz(user->row.values[NAUTH_UPDATED_AT]);
		pfree(id);
	}
}

/*
 * The provider tells a time of change of users where it told none: the time in
 * their rows is ours, which must not keep an older one of the provider away.
 */
static void
forget_own_times(NauthRun *run, const Batch *batch)
{
	NauthIdList retimed = {0};

	for (int i = 0; i < batch->count; i++)
		if (batch->users[i].retimed)
			nauth_id_list_add(&retimed, CurrentMemoryContext, batch->users[i].id, NULL);
	if (retimed.count == 0)
		return;
	nauth_target_execute(&run->target,
						 psprintf("UPDATE %s SET updated_at = NULL WHERE id = ANY ($1)", run->target.name),
						 &retimed);
	nauth_digest_forget(run, retimed.count, (const char *const *) retimed.ids);
}

/*
 * Of two events of the same time nobody knows which is the later one: who is not
 * as such an event has it is asked for, as those whom events have brought back.
 */
static void
note_ties(NauthRun *run, Oid *types, Datum *values)
{
	nauth_statement_check(SPI_execute_with_args(nauth_write_ties_sql(run), NAUTH_WRITE_ARGS, types, values, NULL, true, 0));
	for (uint64 i = 0; i < SPI_processed; i++)
		nauth_id_list_add(&run->revived_users, run->cxt,
						  nauth_target_id(SPI_tuptable->vals[i], SPI_tuptable->tupdesc), NULL);
	SPI_freetuptable(SPI_tuptable);
}

/* When the users of a batch were changed, as their rows were loaded; an array. */
static Datum
loaded_times(const NauthRun *run, const Batch *batch)
{
	TimestampTz *times = palloc(batch->count * sizeof(TimestampTz));

	for (int i = 0; i < batch->count; i++)
	{
		NauthKnownUser known;

		times[i] = nauth_known_get(run->known, batch->users[i].id, &known) && !known.digested ?
			known.version : NAUTH_NO_VERSION;
	}
	return nauth_time_array(batch->count, times);
}

/*
 * Somebody else may have written a row meanwhile, with the options of before: as long as
 * one is not as ours make it, it must not be told that all are.
 */
static void
note_shapes(NauthRun *run, const Batch *batch, Oid *types, Datum *values)
{
	const char **ids = palloc(batch->count * sizeof(char *));
	int			count = 0;

	for (int i = 0; i < batch->count; i++)
		if (!batch->users[i].written)
			ids[count++] = batch->users[i].id;
	if (count == 0)
		return;
	types[NAUTH_ARG_UNWRITTEN] = TEXTARRAYOID;
	values[NAUTH_ARG_UNWRITTEN] = nauth_text_array(count, ids);
	nauth_statement_check(SPI_execute_with_args(nauth_write_shapes_sql(run, batch->users[0].timed), NAUTH_SHAPE_ARGS,
												types, values, NULL, false, 1));
	if (SPI_processed > 0)
		run->shape[0] = '\0';
	SPI_freetuptable(SPI_tuptable);
}

/* What is noted of a user whose row is this one of the result, in its second column. */
typedef void (*RowTaker) (NauthRun *run, NauthWanted *user, int row);

/* Read a column of the rows with these ids; users are sorted by id. */
static void
read_rows(NauthRun *run, const char *column, const NauthIdList *ids, NauthWanted *users, int count, RowTaker take)
{
	int			next = 0;

	if (ids->count == 0)
		return;
	nauth_target_execute(&run->target, psprintf("SELECT id::text, %s FROM %s WHERE id = ANY ($1)"
												" ORDER BY id::text COLLATE \"C\"", column, run->target.name), ids);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		char	   *id = nauth_target_id(SPI_tuptable->vals[row], SPI_tuptable->tupdesc);

		while (next < count && strcmp(users[next].id, id) < 0)
			next++;
		if (next < count && strcmp(users[next].id, id) == 0)
			take(run, &users[next], row);
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
take_row_time(NauthRun *run, NauthWanted *user, int row)
{
	user->row_time = nauth_result_time(row, 2);
}

/*
 * Note which rows the statement will compare.  Read before it, so that a row that
 * somebody writes meanwhile is not taken for the one that it has found to be the same.
 */
static void
note_row_times(NauthRun *run, Batch *batch)
{
	NauthIdList known = {0};

	for (int i = 0; i < batch->count; i++)
	{
		batch->users[i].row_time = DT_NOBEGIN;
		if (batch->users[i].known)
			nauth_id_list_add(&known, CurrentMemoryContext, batch->users[i].id, NULL);
	}
	read_rows(run, "updated_at::timestamptz", &known, batch->users, batch->count, take_row_time);
}

static void
store_digests(NauthRun *run, const Batch *batch)
{
	const char **ids = palloc(batch->count * sizeof(char *));
	NauthDigest *digests = palloc(batch->count * sizeof(NauthDigest));
	TimestampTz *times = palloc(batch->count * sizeof(TimestampTz));
	int			count = 0;

	for (int i = 0; i < batch->count; i++)
	{
		if (batch->users[i].row_time == DT_NOBEGIN)
			continue;
		ids[count] = batch->users[i].id;
		digests[count] = batch->users[i].digest;
		times[count++] = batch->users[i].row_time;
	}
	if (count > 0)
		nauth_digest_store(run, count, ids, digests, times);
}

static void
free_plan(Batch *batch)
{
	if (batch->plan)
		SPI_freeplan(batch->plan);
	batch->plan = NULL;
}

/* A plan for these very arrays would begin with copies of them. */
static void
execute_batch(Batch *batch, Oid *types, Datum *values)
{
	free_plan(batch);
	batch->plan = SPI_prepare_cursor(batch->sql, NAUTH_WRITE_ARGS, types, CURSOR_OPT_GENERIC_PLAN);
	if (batch->plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", batch->sql, SPI_result_code_string(SPI_result));
	nauth_statement_check(SPI_execute_plan(batch->plan, values, NULL, false, 0));
}

/* Step: write a batch. */
static void
write_batch(NauthRun *run, void *arg)
{
	Batch	   *batch = arg;
	bool		timed = batch->users[0].timed;
	Oid			types[NAUTH_SHAPE_ARGS];
	Datum		values[NAUTH_SHAPE_ARGS];
	NauthRole	saved;

	for (int i = 0; i < batch->count; i++)
		batch->users[i].written = false;
	nauth_target_keep(&run->target, run->dry_run ? AccessShareLock : RowExclusiveLock);
	if (timed && !run->dry_run)
		forget_own_times(run, batch);
	else if (!run->dry_run)
		note_row_times(run, batch);
	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
	{
		types[i] = get_array_type(nauth_columns[i].type);
		values[i] = column_array(batch, i);
	}
	types[NAUTH_ARG_IGNORED] = TEXTARRAYOID;
	values[NAUTH_ARG_IGNORED] = nauth_text_array(run->ignored_count, run->ignored);
	types[NAUTH_ARG_ASKED_AT] = TIMESTAMPTZOID;
	values[NAUTH_ARG_ASKED_AT] = TimestampTzGetDatum(run->asked_at);
	types[NAUTH_ARG_SEEN_AT] = TIMESTAMPTZOID;
	values[NAUTH_ARG_SEEN_AT] = TimestampTzGetDatum(run->last.success_started_at != DT_NOBEGIN ?
													run->last.success_started_at : run->started_at);
	types[NAUTH_ARG_LOADED_AT] = get_array_type(TIMESTAMPTZOID);
	values[NAUTH_ARG_LOADED_AT] = nauth_write_makes_shapes(run) ? loaded_times(run, batch) :
		PointerGetDatum(construct_empty_array(TIMESTAMPTZOID));
	nauth_role_enter(run->target.owner, &saved);
	if (nauth_since_is_word(run))
		note_ties(run, types, values);
	execute_batch(batch, types, values);
	nauth_role_leave(&saved);
	count_written(run, batch);
	SPI_freetuptable(SPI_tuptable);
	if (nauth_write_makes_shapes(run) && !run->dry_run)
	{
		nauth_role_enter(run->target.owner, &saved);
		note_shapes(run, batch, types, values);
		nauth_role_leave(&saved);
	}
	if (!timed && !run->dry_run)
		store_digests(run, batch);
}

static void
take_found(NauthRun *run, NauthWanted *user, int row)
{
	user->found = true;
	run->counts.live += nauth_result_bool(row, 2);
}

/*
 * Of users who were to be new and were not written: whether somebody else has written
 * a row, which then counts.  users are sorted by id.
 */
static void
find_rows(NauthRun *run, NauthWanted *users, int count)
{
	NauthIdList unwritten = {0};

	for (int i = 0; i < count; i++)
	{
		users[i].found = false;
		if (!users[i].known && !users[i].written)
			nauth_id_list_add(&unwritten, CurrentMemoryContext, users[i].id, NULL);
	}
	read_rows(run, "deleted_at IS NULL", &unwritten, users, count, take_found);
}

/*
 * What became of a user: written, or left as it was; or one that was to be new
 * and that a trigger has kept out, without an error.  One that was to be new may
 * also have been written by somebody else meanwhile.
 */
static void
note_end(NauthRun *run, NauthWanted *user)
{
	user->now.deleted = user->written ? user->marked : user->known && !user->live;
	if (!user->known && !user->written && !user->found)
	{
		nauth_run_quarantine(run, user->user, false, "a trigger of the table keeps it out");
		return;
	}
	nauth_known_set(run->known, user->id, &user->now);
	run->counts.unchanged += !user->written;
}

/*
 * Write a batch, each try in a subtransaction.  When the target does not take
 * it, halves of it are written until the user to blame is alone: one that
 * PostgreSQL cannot hold is left out, any other ends the run.
 */
static void
write_half(NauthRun *run, NauthWriteWay way, NauthWanted *users, int count)
{
	Batch		batch = {.sql = nauth_write_sql(run, users->timed, way),.users = users,.count = count};
	ErrorData  *error = nauth_run_insist(run, write_batch, &batch);

	free_plan(&batch);
	if (error == NULL)
	{
		find_rows(run, users, count);
		for (int i = 0; i < count; i++)
			note_end(run, &users[i]);
		return;
	}
	if (way == NAUTH_WAY_NEW && error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION)
		write_half(run, NAUTH_WAY_DISPUTED, users, count);
	else if (!nauth_blame_user(error))
		ReThrowError(error);
	else if (count == 1)
	{
		if (!nauth_blame_value(error) || run->counts.quarantined >= NAUTH_MAX_QUARANTINED)
			nauth_blame_raise(psprintf("could not write user \"%s\" to table %s", users->id, run->target.name), error);
		nauth_run_quarantine(run, users[0].user, users[0].live,
							 psprintf("the table does not take it (SQLSTATE %s)",
									  unpack_sql_state(error->sqlerrcode)));
	}
	else
	{
		write_half(run, way, users, count / 2);
		write_half(run, way, users + count / 2, count - count / 2);
	}
	FreeErrorData(error);
}

/* What decides which statement writes a user, then the id. */
static int
compare_wanted(const void *a, const void *b)
{
	const NauthWanted *left = a;
	const NauthWanted *right = b;

	if (left->timed != right->timed)
		return left->timed ? 1 : -1;
	if (left->known != right->known)
		return left->known ? 1 : -1;
	return strcmp(left->id, right->id);
}

void
nauth_write_users(NauthRun *run, NauthWanted *users, int count)
{
	int			next;

	if (!OidIsValid(run->target.relid))
	{
		run->counts.inserted += count;
		return;
	}
	qsort(users, count, sizeof(NauthWanted), compare_wanted);
	for (int begin = 0; begin < count; begin = next)
	{
		bool		timed = users[begin].timed;
		bool		known = users[begin].known;

		for (next = begin + 1; next < count; next++)
			if (users[next].timed != timed || users[next].known != known)
				break;
		write_half(run, known ? NAUTH_WAY_KNOWN : NAUTH_WAY_NEW, users + begin, next - begin);
	}
}
