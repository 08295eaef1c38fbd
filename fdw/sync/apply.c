/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  Pages of a listing -> rows of the target.
 *
 * Most users of most pages have not changed; they cost a look into the table
 * of what is known.  The others become jsonb and go to the target in one
 * statement a page, sorted by id so that two writers cannot block each other
 * in a circle.  Every prefix of these statements leaves a valid target, so a
 * crash needs no repair.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "sync/run.h"
#include "users.h"

/* Columns that are written: all but deleted_at, which is null of a live user. */
#define WRITTEN_COLUMNS		NAUTH_DELETED_AT

/* A user to be written. */
typedef struct WantedUser
{
	char		id[NAUTH_ID_MAX + 1];
	bool		known;			/* has a row already */
	NauthKnownUser now;			/* what will be known of it */
	NauthRow	row;
} WantedUser;

/* Wanted users that one statement writes. */
typedef struct Batch
{
	const char *sql;
	WantedUser *users;
	int			count;
} Batch;

static void
load_user(HeapTuple tuple, TupleDesc desc, void *arg)
{
	bool		isnull;
	char	   *id = nauth_target_id(tuple, desc);
	Datum		time = SPI_getbinval(tuple, desc, 2, &isnull);
	NauthKnownUser user = {.updated_at = isnull ? DT_NOBEGIN : DatumGetTimestampTz(time)};

	user.deleted = DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull));
	nauth_known_set(arg, id, &user);
	pfree(id);
}

/*
 * Fill run->known with what the target holds.  The casts are for a table that
 * somebody alters in mid run: the values must have the types read here.
 */
void
nauth_apply_load(NauthRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->cxt);

	run->known = nauth_known_create(run->live_before);
	MemoryContextSwitchTo(old);
	if (OidIsValid(run->target.relid))
		nauth_target_read(&run->target, "id::text, updated_at::timestamptz, deleted_at IS NOT NULL",
						  "true", load_user, run->known);
	run->live_before = nauth_known_live(run->known);
}

/*
 * Whether the row of a known user has to be looked at.  The same time is not
 * proof of the same content if it was near to the time of reading: then the
 * statement compares the content.
 */
static bool
may_have_changed(const NauthRun *run, const NauthKnownUser *known, TimestampTz updated_at)
{
	if (known->deleted || known->updated_at == DT_NOBEGIN || updated_at == DT_NOBEGIN)
		return true;
	if (updated_at == known->updated_at)
		return updated_at >= run->final_before;
	return updated_at > known->updated_at;
}

/*
 * Note that a user turned up.  Returns true if it has to be written, with
 * what will then be known of it in wanted.
 */
static bool
see_user(NauthRun *run, const NauthUser *user, WantedUser *wanted)
{
	TimestampTz updated_at = user->has_updated_at ?
	nauth_moment_to_timestamptz(user->updated_at) : DT_NOBEGIN;
	NauthKnownUser now = {.updated_at = updated_at,.seen = true};
	NauthKnownUser known = {.updated_at = DT_NOBEGIN,.deleted = true};

	wanted->known = nauth_known_get(run->known, user->id, &known);
	if (known.seen)
	{
		run->duplicates++;
		return false;
	}
	known.seen = true;
	nauth_known_set(run->known, user->id, &known);
	run->watermark = Max(run->watermark, updated_at);
	if (wanted->known && !may_have_changed(run, &known, updated_at))
	{
		run->counts.unchanged++;
		return false;
	}
	strlcpy(wanted->id, user->id, sizeof(wanted->id));
	wanted->now = now;
	return true;
}

/*
 * Turn a user into a row.  Parsing leaves ten times the row behind, so it is
 * done elsewhere and only the row is kept.
 */
static const char *
make_row(NauthRun *run, const NauthUser *user, NauthRow *row)
{
	MemoryContext old = MemoryContextSwitchTo(run->user_cxt);
	const char *reason = nauth_user_to_row(run->options->provider, user, row);

	MemoryContextSwitchTo(old);
	for (int i = 0; reason == NULL && i < NAUTH_NUM_COLUMNS; i++)
	{
		const NauthColumnDef *def = &nauth_columns[i];

		if (!row->nulls[i])
			row->values[i] = datumCopy(row->values[i], def->byval, def->len);
	}
	MemoryContextReset(run->user_cxt);
	return reason;
}

static int
compare_wanted(const void *a, const void *b)
{
	return strcmp(((const WantedUser *) a)->id, ((const WantedUser *) b)->id);
}

/* The users of the page that have to be written, as rows, sorted by id. */
static int
collect_wanted(NauthRun *run, WantedUser *wanted)
{
	int			count = 0;

	for (int i = 0; i < run->page->count; i++)
	{
		const NauthUser *user = &run->page->users[i];
		WantedUser *next = &wanted[count];
		const char *reason;

		CHECK_FOR_INTERRUPTS();
		run->counts.users++;
		if (user->flaw == NAUTH_FLAW_ID)
		{
			nauth_run_quarantine(run, "", "");
			continue;
		}
		if (nauth_read_id_possible(run->options->provider, user->id))
			strlcpy(run->witness, user->id, sizeof(run->witness));
		if (!see_user(run, user, next))
			continue;
		reason = make_row(run, user, &next->row);
		if (reason)
			nauth_run_quarantine(run, user->id, reason);
		else
			count++;
	}
	qsort(wanted, count, sizeof(WantedUser), compare_wanted);
	return count;
}

/*
 * SQL with the users of a page as $1 to $6, arrays of the columns in order,
 * that returns the ids written, in order.  Neon's own table computes id, name
 * and the others from members that Stack Auth sends, so these are put into
 * raw_json for it.
 *
 * Unchanged users are left out by a join, since ON CONFLICT would lock their
 * rows before it finds that there is nothing to write.  A dry run asks what
 * the join leaves.
 */
static char *
build_sql(const NauthRun *run)
{
	const NauthTarget *target = &run->target;
	bool		generated = target->generated;
	const char *raw_json = generated ?
	"raw_json || jsonb_build_object('id', id, 'display_name', name, 'primary_email', email,"
	" 'signed_up_at_millis', (extract(epoch FROM created_at) * 1000)::bigint)" : "raw_json";
	const char *columns = generated ? "raw_json, updated_at" :
	"raw_json, id, name, email, created_at, updated_at";
	const char *changed =
	"t.deleted_at IS NOT NULL OR excluded.updated_at > t.updated_at OR"
	" (t.updated_at IS NULL AND excluded.updated_at IS NOT NULL) OR"
	" ((excluded.updated_at < t.updated_at) IS NOT TRUE AND t.raw_json IS DISTINCT FROM excluded.raw_json)";
	const char *source =
	psprintf("(SELECT %s AS raw_json, id, name, email, created_at, updated_at"
			 " FROM unnest($1, $2, $3, $4, $5, $6)"
			 " AS p (raw_json, id, name, email, created_at, updated_at)) AS excluded"
			 " LEFT JOIN %s t ON t.id = excluded.id WHERE t.id IS NULL OR %s"
			 " ORDER BY excluded.id COLLATE \"C\"", raw_json, target->name, changed);

	if (run->dry_run)
		return psprintf("SELECT excluded.id FROM %s", source);
	return psprintf("INSERT INTO %s AS t (deleted_at, %s) SELECT NULL::timestamptz, excluded.%s FROM %s"
					" ON CONFLICT (id) DO UPDATE SET raw_json = excluded.raw_json,%s"
					" updated_at = excluded.updated_at, deleted_at = NULL"
					" WHERE %s RETURNING t.id::text",
					target->name, columns,
					generated ? "raw_json, excluded.updated_at" :
					"raw_json, excluded.id, excluded.name, excluded.email,"
					" excluded.created_at, excluded.updated_at", source,
					generated ? "" : " name = excluded.name, email = excluded.email,"
					" created_at = excluded.created_at,",
					changed);
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
 * Count what the statement returned.  Its ids are in our order, so that one
 * walk along both tells whether a user was new.
 */
static void
count_written(NauthRun *run, const Batch *batch)
{
	int			next = 0;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *id = nauth_target_id(SPI_tuptable->vals[i], SPI_tuptable->tupdesc);

		while (next < batch->count && strcmp(batch->users[next].id, id) != 0)
			next++;
		if (next == batch->count)
			elog(ERROR, "unexpected order of written users");
		if (batch->users[next].known)
			run->counts.updated++;
		else
			run->counts.inserted++;
	}
	run->counts.unchanged += batch->count - SPI_processed;
}

/* Step: write a batch. */
static void
write_batch(NauthRun *run, void *arg)
{
	Batch	   *batch = arg;
	Oid			types[WRITTEN_COLUMNS];
	Datum		values[WRITTEN_COLUMNS];
	NauthRole	saved;

	for (int i = 0; i < WRITTEN_COLUMNS; i++)
	{
		types[i] = get_array_type(nauth_columns[i].type);
		values[i] = column_array(batch, i);
	}
	nauth_role_enter(run->target.owner, &saved);
	SPI_execute_with_args(batch->sql, WRITTEN_COLUMNS, types, values, NULL, false, 0);
	nauth_role_leave(&saved);
	count_written(run, batch);
	SPI_freetuptable(SPI_tuptable);
}

/* Whether an error is about a value or a user, not about storing as such. */
static bool
is_about_a_value(const ErrorData *error)
{
	int			class = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return class == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED);
}

/*
 * Write a batch, each try in a subtransaction.  When the target does not take
 * one of its users, halves of it are written until that user is alone, and is
 * left out.  A target that takes none of them is broken, and the run fails.
 */
static void
write_users(NauthRun *run, const char *sql, WantedUser *users, int count)
{
	Batch		batch = {sql, users, count};
	ErrorData  *error = nauth_run_insist(run, write_batch, &batch);

	if (error == NULL)
	{
		for (int i = 0; i < count; i++)
			nauth_known_set(run->known, users[i].id, &users[i].now);
		return;
	}
	if (!is_about_a_value(error) || run->counts.quarantined >= NAUTH_MAX_QUARANTINED)
		ReThrowError(error);
	if (count == 1)
	{
		nauth_run_quarantine(run, users[0].id,
							 psprintf("the table does not take it (SQLSTATE %s)",
									  unpack_sql_state(error->sqlerrcode)));
		return;
	}
	write_users(run, sql, users, count / 2);
	write_users(run, sql, users + count / 2, count - count / 2);
}

/* Apply run->page to the target. */
void
nauth_apply_page(NauthRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->page_cxt);
	WantedUser *wanted = palloc(run->page->count * sizeof(WantedUser));
	int			count = collect_wanted(run, wanted);

	run->counts.pages++;
	run->total = run->page->total;
	if (count > 0 && OidIsValid(run->target.relid))
		write_users(run, build_sql(run), wanted, count);
	else
		run->counts.inserted += count;
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->page_cxt);
}
