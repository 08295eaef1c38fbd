/*-------------------------------------------------------------------------
 *
 * deletion.c
 *	  Users that are gone at the provider, and everything that keeps us from
 *	  believing it too soon.
 *
 * A row that is wrongly marked as deleted destroys data of our users, so four
 * things must come together, and no single switch turns them off: a listing
 * proved complete that lacks the user; a brake against too many at once, which
 * a person can release for exactly the list that was shown; a provider that
 * finds by id what it listed; and for each single user its specific answer
 * that it does not exist.
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
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "sync/run.h"
#include "users.h"

#define LOAD_BATCH		10000

/* The brake: more than this, or from BRAKE_MIN up more than BRAKE_PERCENT. */
#define BRAKE_MAX		500
#define BRAKE_MIN		10
#define BRAKE_PERCENT	20

/* The provider's count may differ by this many, and by one percent. */
#define COUNT_SLACK		10

/* Live users of the target that did not turn up. */
static void
find_missing(NauthRun *run)
{
	NauthRole	saved;
	Portal		cursor;

	nauth_role_enter(run->target.owner, &saved);
	cursor = SPI_cursor_open_with_args(NULL,
									   psprintf("SELECT id FROM %s WHERE deleted_at IS NULL ORDER BY id",
												run->target.name),
									   0, NULL, NULL, NULL, false, 0);
	do
	{
		SPI_cursor_fetch(cursor, true, LOAD_BATCH);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool		isnull;
			char	   *id = TextDatumGetCString(SPI_getbinval(SPI_tuptable->vals[i],
															   SPI_tuptable->tupdesc, 1, &isnull));
			NauthKnownUser user;

			/*
			 * a row that somebody wrote during the run is not known, and
			 * stays
			 */
			if (nauth_known_get(run->known, id, &user) && !user.seen && !user.deleted)
				nauth_id_list_add(&run->missing_users, run->cxt, id, NULL);
			pfree(id);
		}
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	} while (SPI_processed > 0);
	SPI_cursor_close(cursor);
	nauth_role_leave(&saved);
}

static void
hold(NauthRun *run, const char *id, const char *reason)
{
	run->held_reason = reason;
	nauth_id_list_add(&run->held_users, run->cxt, id, reason);
}

static void
hold_all(NauthRun *run, const char *reason)
{
	for (int i = 0; i < run->missing_users.count; i++)
		hold(run, run->missing_users.ids[i], reason);
	run->missing_users.count = 0;
}

static int
compare_ids(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool
is_approved(const NauthRun *run, const char *id)
{
	return run->approved_users.count > 0 &&
		bsearch(&id, run->approved_users.ids, run->approved_users.count,
				sizeof(char *), compare_ids) != NULL;
}

/* Why so many deletions at once are held, or NULL. */
static const char *
brake(const NauthRun *run, int deletions)
{
	if (deletions == 0)
		return NULL;
	if (run->counts.users == 0)
		return "the directory is empty";
	if (deletions > BRAKE_MAX)
		return "more than 500 users are missing";
	if (deletions >= BRAKE_MIN && deletions * INT64CONST(100) > run->live_before * BRAKE_PERCENT)
		return "more than 20 % of the users are missing";
	return NULL;
}

/* Hold back what the brake holds; what a person approved passes. */
static void
apply_brake(NauthRun *run)
{
	NauthIdList *missing = &run->missing_users;
	int			approved = 0;
	const char *reason;

	if (run->approved_users.count > 0)
		qsort(run->approved_users.ids, run->approved_users.count, sizeof(char *), compare_ids);
	for (int i = 0; i < missing->count; i++)
		if (is_approved(run, missing->ids[i]))
			approved++;
	reason = brake(run, missing->count - approved);
	if (reason == NULL)
		return;
	run->held_for_approval = true;
	approved = 0;
	for (int i = 0; i < missing->count; i++)
		if (is_approved(run, missing->ids[i]))
			missing->ids[approved++] = missing->ids[i];
		else
			hold(run, missing->ids[i], reason);
	missing->count = approved;
}

/*
 * Step one, after the listing has reached its end: who is missing, and what
 * of that may be asked about.
 */
void
nauth_deletion_find(NauthRun *run)
{
	if (!OidIsValid(run->target.relid) || nauth_known_missing(run->known) == 0)
		return;
	find_missing(run);
	if (run->unreadable_ids > 0)
		hold_all(run, "a user in the listing has no readable id");
	else if (run->duplicates > 0)
		hold_all(run, "the listing had a user twice");
	else
		apply_brake(run);
}

/* Why the provider's own count contradicts the listing, or NULL. */
static const char *
contradiction(NauthRun *run)
{
	int64		count = nauth_directory_count(run->directory);
	NauthUser  *user = palloc(sizeof(NauthUser));

	if (Abs(count - run->counts.users) > COUNT_SLACK + count / 100)
		return "the provider counts another number of users than it listed";
	if (run->counts.users > 0 && !nauth_directory_user(run->directory, run->witness, user))
		return "the provider does not find by id a user that it listed";
	return NULL;
}

/*
 * Step two, with requests and without a snapshot: each missing user that the
 * provider says does not exist goes to run->deleted_users.  One that it still
 * finds was only hidden from the listing, and stays as it is.
 */
void
nauth_deletion_confirm(NauthRun *run)
{
	NauthUser  *user = palloc(sizeof(NauthUser));
	const char *reason;

	if (run->missing_users.count == 0)
		return;
	run->phase = NAUTH_PHASE_CONFIRMING;
	nauth_progress_publish(run);
	reason = contradiction(run);
	if (reason)
	{
		hold_all(run, reason);
		return;
	}
	for (int i = 0; i < run->missing_users.count; i++)
	{
		const char *id = run->missing_users.ids[i];

		if (!nauth_read_id_possible(run->options->provider, id))
			hold(run, id, "the provider cannot be asked about such an id");
		else if (!nauth_directory_user(run->directory, id, user))
			nauth_id_list_add(&run->deleted_users, run->cxt, id, NULL);
	}
}

/* Step three, in the transaction that ends the run: mark them. */
void
nauth_deletion_apply(NauthRun *run)
{
	NauthIdList *deleted = &run->deleted_users;
	Oid			types[2] = {TEXTARRAYOID, TIMESTAMPTZOID};
	Datum		values[2];
	Datum	   *ids;
	NauthRole	saved;

	run->counts.tombstoned = deleted->count;
	if (deleted->count == 0 || run->dry_run)
		return;
	ids = palloc(deleted->count * sizeof(Datum));
	for (int i = 0; i < deleted->count; i++)
		ids[i] = CStringGetTextDatum(deleted->ids[i]);
	values[0] = PointerGetDatum(construct_array(ids, deleted->count, TEXTOID, -1, false, TYPALIGN_INT));
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	nauth_role_enter(run->target.owner, &saved);
	SPI_execute_with_args(psprintf("UPDATE %s SET deleted_at = $2 WHERE id = ANY ($1) AND deleted_at IS NULL",
								   run->target.name),
						  2, types, values, NULL, false, 0);
	nauth_role_leave(&saved);
	run->counts.tombstoned = SPI_processed;
}
