/*-------------------------------------------------------------------------
 *
 * write.c
 *	  Users that have changed -> one statement on the target.
 *
 * The statement itself decides what is newer, for it alone sees the row as it
 * is: an older version never replaces a newer one, and what is the same is not
 * written, nor locked.
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
#include "sync/statement.h"
#include "sync/write.h"

/* Columns that are written: all. */
#define WRITTEN_COLUMNS		NAUTH_NUM_COLUMNS

/*
 * And the members that do not count, when the provider was asked, and when the last
 * success began: live rows were live then.  Where options make other rows, also the
 * times of change of the rows as they were loaded; and who was not written, for
 * note_shapes.
 */
enum WriteArg
{
	ARG_IGNORED = WRITTEN_COLUMNS,
	ARG_ASKED_AT,
	ARG_SEEN_AT,
	ARG_LOADED_AT,
	WRITE_ARGS,
	ARG_UNWRITTEN = WRITE_ARGS,
	SHAPE_ARGS
};

/*
 * How users are written.  That there is no row of a new one is only what was so when
 * the rows were read, but to look again for each costs a tenth of writing it.  So they
 * are inserted, and if somebody else was faster, once more as rows that may be there.
 */
typedef enum WriteWay
{
	WAY_NEW,
	WAY_DISPUTED,
	WAY_KNOWN
} WriteWay;

/* Wanted users that one statement writes.  Its plan outlives a try that fails. */
typedef struct Batch
{
	const char *sql;
	SPIPlanPtr	plan;
	NauthWanted *users;
	int			count;
} Batch;

/* Marked since the provider was asked, whose answer knew nothing of that. */
#define GONE_MEANWHILE	"t.deleted_at BETWEEN $9 AND clock_timestamp()"

/* One that is there again, or was created later than t. */
#define ANOTHER_USER \
	"(t.deleted_at IS NOT NULL AND excluded.deleted_at IS NULL) OR" \
	" excluded.created_at > t.created_at + interval '1 second'"

/*
 * When a user was deleted whom the provider keeps.  Not before we have seen it live,
 * whatever the provider says: from that time on it is counted when the row may be
 * purged, and a mistake can be mended.
 */
#define DELETED_AT \
	"CASE WHEN excluded.deleted_at IS NOT NULL THEN coalesce(t.deleted_at, greatest(excluded.deleted_at, $10)) END"

/* One with a later time of change. */
#define NEWER_USER \
	"excluded.updated_at > t.updated_at OR (t.updated_at IS NULL AND excluded.updated_at IS NOT NULL)"

/* One that the provider has marked as deleted since. */
#define MARKED_THERE \
	"t.deleted_at IS NULL AND excluded.deleted_at IS NOT NULL AND (excluded.updated_at < t.updated_at) IS NOT TRUE"

/*
 * One whose time of change is an earlier one since other options decide what it is, or
 * since the provider went back in time; the row is as it was when the run began, before
 * the provider was asked.
 */
#define RETIMED_USER \
	"(excluded.updated_at < t.updated_at AND" \
	" t.updated_at = ($11)[array_position($2, excluded.id::text COLLATE \"C\")])"

/* Whether all rows are compared, since other options make other rows. */
static bool
makes_shapes(const NauthRun *run)
{
	return run->new_shape && !run->incremental;
}

/* SQL for whether the content of a row t is another than that of a user "excluded". */
static const char *
differs_sql(const NauthRun *run)
{
	/* the same member may have gone to another column */
	if (run->new_shape && !run->target.generated)
		return "(t.raw_json, t.name, t.email, t.created_at) IS DISTINCT FROM"
			" (excluded.raw_json, excluded.name, excluded.email, excluded.created_at)";
	return run->ignored_count > 0 && !run->new_shape ?
		"t.raw_json - $8 IS DISTINCT FROM excluded.raw_json - $8" :
		"t.raw_json IS DISTINCT FROM excluded.raw_json";
}

/*
 * SQL for whether a row t is another than a user "excluded", and not a newer
 * one.  A user created later than t is another one with the same id, whatever
 * its time of change; a second allows for a table that rounds.  Without times
 * of the provider only the content tells.
 */
static const char *
changed_sql(const NauthRun *run, bool timed)
{
	const char *differs = differs_sql(run);

	if (timed && nauth_since_is_word(run))
		differs = NEWER_USER;
	else if (timed)
		differs = psprintf(NEWER_USER " OR ((excluded.updated_at < t.updated_at) IS NOT TRUE AND %s)%s", differs,
						   makes_shapes(run) ? " OR " RETIMED_USER : "");
	return psprintf("(" ANOTHER_USER " OR (" MARKED_THERE ") OR %s) AND (" GONE_MEANWHILE ") IS NOT TRUE", differs);
}

/*
 * SQL of the users, which are $1 to $7, arrays of the columns in order, and stay in
 * their order.  As functions of the list, not of FROM, they are read from the arrays
 * one by one, without a copy of them all.  Neon's own table computes id, name and the
 * others from members that Stack Auth sends, so these are put into raw_json for it.
 */
static const char *
users_sql(const NauthRun *run)
{
	const char *raw_json = run->target.generated ?
	"raw_json || jsonb_build_object('id', id, 'display_name', name, 'primary_email', email,"
	" 'signed_up_at_millis', (extract(epoch FROM created_at) * 1000)::bigint)" : "raw_json";

	return psprintf("(SELECT %s AS raw_json, id, name, email, created_at, updated_at, deleted_at FROM"
					" (SELECT unnest($1) AS raw_json, unnest($2) AS id, unnest($3) AS name, unnest($4) AS email,"
					" unnest($5) AS created_at, unnest($6) AS updated_at, unnest($7) AS deleted_at) AS p) AS excluded",
					raw_json);
}

/*
 * SQL that writes the users and returns the ids written, in order.
 *
 * Unchanged users are left out by a join, since ON CONFLICT would lock their
 * rows before it finds that there is nothing to write.  A dry run asks what
 * the join leaves.  Users without a row need no join, nor a sort after it, which
 * together cost as much as writing them.
 */
static const char *
build_sql(const NauthRun *run, bool timed, WriteWay way)
{
	const NauthTarget *target = &run->target;
	bool		generated = target->generated;
	const char *columns = generated ? "raw_json, updated_at, deleted_at" :
	"raw_json, id, name, email, created_at, updated_at, deleted_at";
	const char *changed = changed_sql(run, timed);
	const char *source = users_sql(run);
	const char *replace = "";

	if (way == WAY_KNOWN)
		source = psprintf("%s LEFT JOIN %s t ON t.id = excluded.id WHERE t.id IS NULL OR %s"
						  " ORDER BY excluded.id COLLATE \"C\"", source, target->name, changed);
	if (run->dry_run)
		return psprintf("SELECT excluded.id, excluded.updated_at FROM %s", source);
	if (way != WAY_NEW)
		replace = psprintf(" ON CONFLICT (id) DO UPDATE SET raw_json = excluded.raw_json,%s"
						   " updated_at = excluded.updated_at, deleted_at = " DELETED_AT " WHERE %s",
						   generated ? "" : " name = excluded.name, email = excluded.email,"
						   " created_at = excluded.created_at,", changed);
	return psprintf("INSERT INTO %s AS t (%s) SELECT excluded.%s FROM %s%s"
					" RETURNING t.id::text, t.updated_at::timestamptz",
					target->name, columns,
					generated ? "raw_json, excluded.updated_at, excluded.deleted_at" :
					"raw_json, excluded.id, excluded.name, excluded.email,"
					" excluded.created_at, excluded.updated_at, excluded.deleted_at", source, replace);
}

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
				errmsg("a trigger has changed updated_at"),
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
	SPI_execute_with_args(psprintf("SELECT t.id::text FROM unnest($1, $2, $6) AS excluded (raw_json, id, updated_at)"
								   " JOIN %s t ON t.id = excluded.id AND t.updated_at = excluded.updated_at"
								   " WHERE t.deleted_at IS NULL AND t.raw_json - $8 IS DISTINCT FROM excluded.raw_json - $8",
								   run->target.name), WRITE_ARGS, types, values, NULL, true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
		nauth_id_list_add(&run->revived_users, run->cxt,
						  nauth_target_id(SPI_tuptable->vals[i], SPI_tuptable->tupdesc), NULL);
	SPI_freetuptable(SPI_tuptable);
}

/* When the users of a batch were changed, as their rows were loaded; an array. */
static Datum
loaded_times(const NauthRun *run, const Batch *batch)
{
	Datum	   *times = palloc(batch->count * sizeof(Datum));
	bool	   *nulls = palloc(batch->count * sizeof(bool));
	int			lower = 1;
	int			count = batch->count;

	for (int i = 0; i < count; i++)
	{
		NauthKnownUser known;

		nulls[i] = !nauth_known_get(run->known, batch->users[i].id, &known) ||
			known.digested || known.version == NAUTH_NO_VERSION;
		times[i] = TimestampTzGetDatum(nulls[i] ? 0 : known.version);
	}
	return PointerGetDatum(construct_md_array(times, nulls, 1, &count, &lower, TIMESTAMPTZOID,
											  sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
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
	types[ARG_UNWRITTEN] = TEXTARRAYOID;
	values[ARG_UNWRITTEN] = nauth_text_array(count, ids);
	SPI_execute_with_args(psprintf("SELECT FROM %s JOIN %s t ON t.id = excluded.id"
								   " WHERE excluded.id = ANY ($12) AND t.deleted_at IS NULL AND (%s%s) LIMIT 1",
								   users_sql(run), run->target.name, differs_sql(run),
								   batch->users[0].timed ? " OR t.updated_at IS DISTINCT FROM excluded.updated_at" : ""),
						  SHAPE_ARGS, types, values, NULL, false, 1);
	if (SPI_processed > 0)
		run->shape[0] = '\0';
	SPI_freetuptable(SPI_tuptable);
}

static void
store_digests(NauthRun *run, const Batch *batch)
{
	const char **ids = palloc(batch->count * sizeof(char *));
	NauthDigest *digests = palloc(batch->count * sizeof(NauthDigest));

	for (int i = 0; i < batch->count; i++)
	{
		ids[i] = batch->users[i].id;
		digests[i] = batch->users[i].digest;
	}
	nauth_digest_store(run, batch->count, ids, digests);
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
	batch->plan = SPI_prepare_cursor(batch->sql, WRITE_ARGS, types, CURSOR_OPT_GENERIC_PLAN);
	if (batch->plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", batch->sql, SPI_result_code_string(SPI_result));
	SPI_execute_plan(batch->plan, values, NULL, false, 0);
}

/* Step: write a batch. */
static void
write_batch(NauthRun *run, void *arg)
{
	Batch	   *batch = arg;
	bool		timed = batch->users[0].timed;
	Oid			types[SHAPE_ARGS];
	Datum		values[SHAPE_ARGS];
	NauthRole	saved;

	for (int i = 0; i < batch->count; i++)
		batch->users[i].written = false;
	if (timed && !run->dry_run)
		forget_own_times(run, batch);
	for (int i = 0; i < WRITTEN_COLUMNS; i++)
	{
		types[i] = get_array_type(nauth_columns[i].type);
		values[i] = column_array(batch, i);
	}
	types[ARG_IGNORED] = TEXTARRAYOID;
	values[ARG_IGNORED] = nauth_text_array(run->ignored_count, run->ignored);
	types[ARG_ASKED_AT] = TIMESTAMPTZOID;
	values[ARG_ASKED_AT] = TimestampTzGetDatum(run->asked_at);
	types[ARG_SEEN_AT] = TIMESTAMPTZOID;
	values[ARG_SEEN_AT] = TimestampTzGetDatum(run->last_success_started_at != DT_NOBEGIN ?
											  run->last_success_started_at : run->started_at);
	types[ARG_LOADED_AT] = get_array_type(TIMESTAMPTZOID);
	values[ARG_LOADED_AT] = makes_shapes(run) ? loaded_times(run, batch) :
		PointerGetDatum(construct_empty_array(TIMESTAMPTZOID));
	nauth_role_enter(run->target.owner, &saved);
	if (nauth_since_is_word(run))
		note_ties(run, types, values);
	execute_batch(batch, types, values);
	nauth_role_leave(&saved);
	count_written(run, batch);
	SPI_freetuptable(SPI_tuptable);
	if (makes_shapes(run) && !run->dry_run)
	{
		nauth_role_enter(run->target.owner, &saved);
		note_shapes(run, batch, types, values);
		nauth_role_leave(&saved);
	}
	if (!timed && !run->dry_run)
		store_digests(run, batch);
}

/* Whether somebody else has written a row of the user, who is then counted. */
static bool
has_row(NauthRun *run, const char *id)
{
	nauth_target_execute_user(&run->target, psprintf("SELECT deleted_at IS NULL FROM %s WHERE id = ANY ($1)",
													 run->target.name), id);
	if (SPI_processed == 0)
		return false;
	run->counts.live += nauth_result_bool(0, 1);
	return true;
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
	if (!user->known && !user->written && !has_row(run, user->id))
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
write_half(NauthRun *run, WriteWay way, NauthWanted *users, int count)
{
	Batch		batch = {.sql = build_sql(run, users->timed, way),.users = users,.count = count};
	ErrorData  *error = nauth_run_insist(run, write_batch, &batch);

	free_plan(&batch);
	if (error == NULL)
	{
		for (int i = 0; i < count; i++)
			note_end(run, &users[i]);
		return;
	}
	if (way == WAY_NEW && error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION)
	{
		write_half(run, WAY_DISPUTED, users, count);
		return;
	}
	if (!nauth_blame_user(error))
		ReThrowError(error);
	if (count == 1)
	{
		if (!nauth_blame_value(error) || run->counts.quarantined >= NAUTH_MAX_QUARANTINED)
			nauth_blame_raise(psprintf("could not write user \"%s\" to table %s", users->id, run->target.name), error);
		nauth_run_quarantine(run, users[0].user, users[0].live,
							 psprintf("the table does not take it (SQLSTATE %s)",
									  unpack_sql_state(error->sqlerrcode)));
		return;
	}
	write_half(run, way, users, count / 2);
	write_half(run, way, users + count / 2, count - count / 2);
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
		write_half(run, known ? WAY_KNOWN : WAY_NEW, users + begin, next - begin);
	}
}
