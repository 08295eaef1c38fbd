/*-------------------------------------------------------------------------
 *
 * delta.c
 *	  Users who came or went since the last successful run.
 *
 * sync_state has the numbers of users at the end of that run.  What is written
 * after it has to be counted in the same transaction, or a deletion could hide
 * behind an insertion; but whoever does so must not wait for others, nor they
 * for him.  So it is a row of its own for each user, in sync_delta.
 *
 * A user may be live here and at the provider, and hidden from the listing of a full
 * run: its search does not know him yet, say.  He is in the numbers of that run, and a
 * delta takes him off those who are listed, until he is.  So he cannot be taken for
 * somebody who comes, and behind whom a deletion could hide.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"

#include "sync/state.h"
#include "sync/statement.h"

/* Add the deltas of the target to the numbers of its last run. */
void
nauth_delta_load(NauthRun *run)
{
	NauthArgs	args = {0};

	nauth_args_relation(&args, run->target.relid);
	nauth_statement_execute("SELECT id, listed::int8, live::int8, ARRAY[listed, live]::text"
							" FROM neon_auth.sync_delta WHERE target = $1 ORDER BY id COLLATE \"C\"", &args);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		const char *id = nauth_result_text(i, 1);
		int64		listed = nauth_result_int(i, 2);
		int64		live = nauth_result_int(i, 3);

		nauth_id_list_add(&run->counted_before, run->cxt, id,
						  MemoryContextStrdup(run->cxt, nauth_result_text(i, 4)));
		if (listed > 0)
			nauth_id_list_add(&run->come_before, run->cxt, id, NULL);
		else if (listed < 0 && live == 0)
			nauth_id_list_add(&run->hidden_before, run->cxt, id, NULL);
		run->counts.listed += listed;
		run->live_before += live;
	}
}

/*
 * Store that these users are listed now (1), or no more (-1), and by how many
 * the live rows of each have changed.  Somebody else may have counted the same.
 */
void
nauth_delta_store(NauthRun *run, int count, char *const *ids, int listed, int64 live)
{
	NauthArgs	args = {0};

	if (count == 0)
		return;
	run->stored = true;
	nauth_args_relation(&args, run->target.relid);
	nauth_args_texts(&args, count, (const char *const *) ids);
	nauth_args_int(&args, listed);
	nauth_args_int(&args, live);
	nauth_statement_execute("INSERT INTO neon_auth.sync_delta AS t (target, id, listed, live)"
							" SELECT $1, id, $3, $4 FROM unnest($2) AS id"
							" ON CONFLICT (target, id) DO UPDATE"
							" SET listed = greatest(-1, least(1, t.listed + excluded.listed)), live = t.live + excluded.live", &args);
}

/*
 * Whether the numbers of a run that has reached its end include this delta, which
 * has come up since it began: it is of the run itself, or of a sync_user; a full
 * run has then listed the user before or after.
 */
static bool
is_included(const NauthRun *run, const char *id, int64 listed)
{
	NauthKnownUser user;
	bool		seen;

	if (run->incremental)
		return nauth_id_list_find(&run->counted_users, id) >= 0;
	seen = nauth_known_get(run->known, id, &user) && user.seen;
	return listed == 0 || (listed > 0) == seen;
}

/* A full run has read the target when a row was live that is marked since. */
static void
note_marked(NauthRun *run, const char *id, int64 live)
{
	NauthKnownUser user;

	if (run->incremental || live >= 0 || !nauth_known_get(run->known, id, &user) || user.seen)
		return;
	user.deleted = true;
	nauth_known_set(run->known, id, &user);
}

/*
 * Store who is hidden from listings: by this run, or since an earlier one, if an
 * incremental run has not read the user.  Returns how many these are.
 */
static int
store_hidden(NauthRun *run)
{
	NauthIdList hidden = {0};

	for (int i = 0; i < run->hidden_users.count; i++)
		nauth_id_list_add(&hidden, CurrentMemoryContext, run->hidden_users.ids[i], NULL);
	for (int i = 0; run->incremental && i < run->hidden_before.count; i++)
		if (nauth_id_list_find(&run->counted_users, run->hidden_before.ids[i]) < 0)
			nauth_id_list_add(&hidden, CurrentMemoryContext, run->hidden_before.ids[i], NULL);
	nauth_delta_store(run, hidden.count, hidden.ids, -1, 0);
	return hidden.count;
}

/*
 * Take away what was loaded, and has become a part of the numbers; a sync_user
 * may have added to it.
 */
static void
subtract_loaded(const NauthRun *run)
{
	const NauthIdList *loaded = &run->counted_before;
	NauthArgs	args = {0};

	if (loaded->count == 0)
		return;
	nauth_args_relation(&args, run->target.relid);
	nauth_args_texts(&args, loaded->count, (const char *const *) loaded->ids);
	nauth_args_texts(&args, loaded->count, loaded->notes);
	nauth_statement_execute("UPDATE neon_auth.sync_delta AS t"
							" SET listed = t.listed - m.was[1], live = t.live - m.was[2]"
							" FROM (SELECT id, was::int2[] FROM unnest($2, $3) AS u (id, was)) AS m"
							" WHERE t.target = $1 AND t.id = m.id", &args);
	args.count = 2;
	nauth_statement_execute("DELETE FROM neon_auth.sync_delta"
							" WHERE target = $1 AND id = ANY ($2) AND listed = 0 AND live = 0", &args);
}

/* Forget the deltas that are in the numbers that the run now stores. */
static void
forget_included(NauthRun *run)
{
	NauthIdList included = {0};
	NauthArgs	args = {0};

	nauth_args_relation(&args, run->target.relid);
	nauth_statement_execute("SELECT id, listed::int8, live::int8 FROM neon_auth.sync_delta WHERE target = $1", &args);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *id = nauth_result_text(i, 1);

		note_marked(run, id, nauth_result_int(i, 3));
		if (is_included(run, id, nauth_result_int(i, 2)))
			nauth_id_list_add(&included, CurrentMemoryContext, id, NULL);
		pfree(id);
	}
	if (included.count == 0)
		return;
	nauth_args_texts(&args, included.count, (const char *const *) included.ids);
	nauth_statement_execute("DELETE FROM neon_auth.sync_delta WHERE target = $1 AND id = ANY ($2)", &args);
}

/*
 * Leave the deltas that the numbers of the run, which it now stores, do not include.
 * Who is hidden is in these numbers.
 */
int
nauth_delta_settle(NauthRun *run)
{
	nauth_id_list_sort(&run->counted_users);
	subtract_loaded(run);
	forget_included(run);
	return store_hidden(run);
}
