/*-------------------------------------------------------------------------
 *
 * deletion.c
 *	  Users that are gone at the provider, and everything that keeps us from
 *	  believing it too soon.
 *
 * A row that is wrongly marked as deleted destroys data of our users, so four
 * things must come together, and no single switch turns them off: a listing
 * proved complete that lacks the user, of the directory or of the window where
 * the user belongs; a brake against too many at once, which
 * a person can release for exactly the list that was shown; a provider that
 * finds by id what it listed; and for each single user its specific answer
 * that it does not exist.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/timestamp.h"

#include "fault_point.h"
#include "provider/asking.h"
#include "provider/reply.h"
#include "sync/deletion.h"
#include "sync/statement.h"

/* The brake: more than this, or from BRAKE_MIN up more than BRAKE_PERCENT. */
#define BRAKE_MAX		500
#define BRAKE_MIN		10
#define BRAKE_PERCENT	20

/* Live users who may witness that the provider finds users by id. */
#define WITNESSES		10

/* The provider's count may differ by this many, and by one percent. */
#define COUNT_SLACK		10

/*
 * Why deletions wait for a person.  Other reasons pass by themselves, and so
 * may these when fewer users are missing; only the users that a table had
 * before us wait for as long as it takes.  The names are stored, and stay what
 * they are in later versions; the reasons are for people.
 */
enum Brake
{
	BRAKE_FIRST_RUN,
	BRAKE_EMPTY,
	BRAKE_MANY,
	BRAKE_SHARE
};

static const char *const brake_names[] = {
	[BRAKE_FIRST_RUN] = "first run",
	[BRAKE_EMPTY] = "empty",
	[BRAKE_MANY] = "many",
	[BRAKE_SHARE] = "share",
};

static const char *const brake_reasons[] = {
	[BRAKE_FIRST_RUN] = "the table had users before its first refresh",
	[BRAKE_EMPTY] = "the directory is empty",
	[BRAKE_MANY] = "more than " CppAsString2(BRAKE_MAX) " users went missing within an hour",
	[BRAKE_SHARE] = "more than " CppAsString2(BRAKE_PERCENT) " % of the users are missing",
};

static const char lost_witness[] = "the provider does not find by id a user that it listed";

/* Why deletions wait for another answer, which the next run is not likelier to get than any. */
static const char another_answers[] = "another user answers to its id at the provider";
static const char no_answer[] = "the provider does not answer whether it has a user with its id";

const char *
nauth_deletion_brake_name(const char *reason)
{
	for (int i = 0; i < lengthof(brake_reasons); i++)
		if (brake_reasons[i] == reason)
			return brake_names[i];
	return NULL;
}

const char *
nauth_deletion_brake_reason(const char *name)
{
	for (int i = 0; i < lengthof(brake_names); i++)
		if (strcmp(brake_names[i], name) == 0)
			return brake_reasons[i];
	/* of a later version: the one that never passes by itself */
	return brake_reasons[BRAKE_FIRST_RUN];
}

bool
nauth_deletion_stays_held(const char *reason)
{
	return nauth_deletion_brake_name(reason) || strcmp(reason, another_answers) == 0 || strcmp(reason, no_answer) == 0;
}

/* Note a live user of the target that did not turn up. */
static void
note_missing(HeapTuple tuple, TupleDesc desc, void *arg)
{
	NauthRun   *run = arg;
	NauthKnownUser user;
	char	   *id = nauth_target_id(tuple, desc);

	/* a row that somebody wrote during the run is not known, and stays */
	if (nauth_known_get(run->known, id, &user) && !user.seen && !user.deleted)
		nauth_id_list_add(&run->missing_users, run->cxt, id, NULL);
	pfree(id);
}

/* Why this deletion has waited for a person since an earlier run, or NULL. */
static const char *
held_before(const NauthRun *run, const char *id)
{
	int			i = nauth_id_list_find(&run->held_before, id);

	return i < 0 || nauth_deletion_brake_name(run->held_before.notes[i]) == NULL ?
		NULL : run->held_before.notes[i];
}

/*
 * Hold a deletion back.  What waits for a person goes on waiting for one,
 * whatever else is in its way today.
 */
static void
hold(NauthRun *run, const char *id, const char *reason)
{
	const char *earlier = held_before(run, id);

	run->held_reason = reason;
	if (earlier)
		reason = earlier;
	nauth_id_list_add(&run->held_users, run->cxt, id, reason);
}

/* Move a list of users to those that are held. */
static void
hold_all(NauthRun *run, NauthIdList *users, const char *reason)
{
	for (int i = 0; i < users->count; i++)
		hold(run, users->ids[i], reason);
	users->count = 0;
}

/* Why so many new deletions have to wait for a person, or NULL. */
static const char *
brake(const NauthRun *run, int64 deletions)
{
	if (run->counts.users == 0 && !run->incremental)
		return brake_reasons[BRAKE_EMPTY];
	if (deletions + run->deleted_before > BRAKE_MAX)
		return brake_reasons[BRAKE_MANY];
	/* single users come one by one, and count together */
	if (run->single)
		deletions += run->deleted_before;
	if (deletions >= BRAKE_MIN && deletions * 100 > run->live_before * BRAKE_PERCENT)
		return brake_reasons[BRAKE_SHARE];
	return NULL;
}

bool
nauth_deletion_too_many(const NauthRun *run, int64 deletions)
{
	return run->first_run || brake(run, deletions) != NULL;
}

/*
 * What the brake has to know of the hour before this run: whom runs have marked for
 * being missing, without a person's approval.  That many are gone is the same in one run
 * and in many.
 */
static void
count_marked(NauthRun *run)
{
	NauthArgs	args = {0};

	nauth_args_relation(&args, run->target.relid);
	nauth_statement_execute("SELECT coalesce(sum(greatest(confirmed - coalesce(approved, 0), 0)), 0)::int8"
							" FROM neon_auth.sync_run WHERE target = $1 AND finished_at > now() - interval '1 hour'", &args);
	run->deleted_before = nauth_result_int(0, 1);
}

/* Whether a person decides, or has decided, about this deletion alone. */
static bool
is_decided(const NauthRun *run, const char *id)
{
	const char *earlier = held_before(run, id);

	return earlier && (run->approved >= 0 || earlier == brake_reasons[BRAKE_FIRST_RUN]);
}

/*
 * Whether a listing can have shown a user who was created then: the last run was one,
 * began later, and did not lack the user; nor have we the user from elsewhere since.
 */
static bool
was_listed(const NauthRun *run, const char *id, TimestampTz created)
{
	return run->last.success_started_at != DT_NOBEGIN && run->last.full_at >= run->last.success_started_at &&
		created < nauth_run_provider_time(run, run->last.success_started_at) &&
		nauth_id_list_find(&run->held_before, id) < 0 && nauth_id_list_find(&run->counted_before, id) < 0;
}

/*
 * Whether the user was created so lately that a part of the provider, such as a replica
 * that lags behind, may not know of it.  A listing has shown that one does, and so does
 * an event of the end; and a time far in the future is of another clock.
 */
static bool
is_young(const NauthRun *run, const char *id, TimestampTz created)
{
	TimestampTz now = nauth_run_provider_time(run, GetCurrentTimestamp());

	return created > now - NAUTH_SETTLED_AGE && created <= now + NAUTH_OVERLAP &&
		!was_listed(run, id, created) && nauth_id_list_find(&run->gone_users, id) < 0;
}

/*
 * Note which version of its row each missing user has, before the provider is
 * asked: somebody may write the row again after its answer.  Who is young has time.
 */
static void
note_versions(NauthRun *run)
{
	NauthIdList *missing = &run->missing_users;
	int			passed = 0;

	if (missing->count == 0)
		return;
	nauth_target_execute(&run->target,
						 psprintf("SELECT m.id, t.xmin::text, t.created_at::timestamptz FROM unnest($1) WITH ORDINALITY AS m (id, n)"
								  " LEFT JOIN %s t ON t.id = m.id ORDER BY m.n", run->target.name), missing);
	for (int i = 0; i < missing->count; i++)
	{
		const char *version = nauth_result_text(i, 2);

		if (held_before(run, missing->ids[i]) == NULL && is_young(run, missing->ids[i], nauth_result_time(i, 3)))
		{
			hold(run, missing->ids[i], "the user was created just now");
			continue;
		}
		missing->ids[passed] = missing->ids[i];
		missing->notes[passed++] = MemoryContextStrdup(run->cxt, version ? version : "0");
	}
	missing->count = passed;
}

/* Users who came since the last success, sorted: by this run, or by one that failed. */
static NauthIdList
list_new(const NauthRun *run)
{
	NauthIdList new = {0};

	for (int i = 0; i < run->counted_users.count; i++)
		nauth_id_list_add(&new, run->cxt, run->counted_users.ids[i], NULL);
	for (int i = 0; i < run->come_before.count; i++)
		nauth_id_list_add(&new, run->cxt, run->come_before.ids[i], NULL);
	nauth_id_list_sort(&new);
	return new;
}

/*
 * Why a deletion is held back, or NULL: many tells why all are.  What a person has
 * approved passes.  Before the first run has succeeded only those users may go who came
 * with it; the table may have had the others before us.
 */
static const char *
obstacle(const NauthRun *run, const NauthIdList *new, const char *id, const char *many)
{
	if (is_decided(run, id))
		return run->approved < 0 ? brake_reasons[BRAKE_FIRST_RUN] : NULL;
	if (run->first_run && nauth_id_list_find(new, id) < 0)
		return brake_reasons[BRAKE_FIRST_RUN];
	return many;
}

/* Hold back what the brake holds. */
void
nauth_deletion_brake(NauthRun *run)
{
	NauthIdList *missing = &run->missing_users;
	NauthIdList new;
	int			undecided = 0;
	int			passed = 0;
	const char *many;

	if (missing->count == 0)
		return;
	new = list_new(run);
	if (!run->single)
		count_marked(run);
	for (int i = 0; i < missing->count; i++)
		undecided += !is_decided(run, missing->ids[i]);
	many = brake(run, undecided);
	for (int i = 0; i < missing->count; i++)
	{
		const char *reason = obstacle(run, &new, missing->ids[i], many);

		if (reason)
			hold(run, missing->ids[i], reason);
		else
			missing->ids[passed++] = missing->ids[i];
	}
	missing->count = passed;
	note_versions(run);
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
	nauth_target_read(&run->target, "id::text", "deleted_at IS NULL", NULL, note_missing, run);
	if (!nauth_reply_confirms(run->options->provider))
		hold_all(run, &run->missing_users, "the provider has no answer that means that a user does not exist");
	else if (run->unreadable_ids > 0)
		hold_all(run, &run->missing_users, "a user in the listing has no readable id");
	else if (run->duplicates > 0)
		hold_all(run, &run->missing_users, "the listing had a user twice");
	else
		nauth_deletion_brake(run);
}

bool
nauth_deletion_finds(NauthRun *run, const char *id, NauthUser *user)
{
	bool		found;

	if (!nauth_directory_try_user(run->directory, id, user, &found) &&
		nauth_directory_error(run->directory)->kind != NAUTH_ERROR_UNFIT)
		nauth_directory_fail(run->directory);
	return found;
}

void
nauth_deletion_choose_witnesses(NauthRun *run, const NauthIdList *except, NauthIdList *witnesses)
{
	nauth_target_execute(&run->target, psprintf("SELECT id::text FROM %s WHERE deleted_at IS NULL AND id <> ALL ($1) LIMIT %d",
												run->target.name, WITNESSES), except);
	for (uint64 i = 0; i < SPI_processed; i++)
		nauth_id_list_add(witnesses, run->cxt,
						  nauth_target_id(SPI_tuptable->vals[i], SPI_tuptable->tupdesc), NULL);
}

void
nauth_deletion_ask_witnesses(NauthRun *run, const NauthIdList *witnesses)
{
	NauthUser  *user = palloc(sizeof(NauthUser));

	for (int i = 0; i < witnesses->count && run->witness[0] == '\0'; i++)
		if (nauth_ask_id_possible(run->options->provider, witnesses->ids[i]) &&
			nauth_deletion_finds(run, witnesses->ids[i], user))
			strlcpy(run->witness, witnesses->ids[i], sizeof(run->witness));
}

/*
 * Whether the provider still finds by id a user that it listed.  If it listed
 * nobody, that is for a person to judge.
 */
static bool
finds_witness(NauthRun *run)
{
	if (run->witness[0] == '\0')
		return !run->incremental && run->counts.users == 0 && run->approved >= 0;
	return nauth_deletion_finds(run, run->witness, palloc(sizeof(NauthUser)));
}

/*
 * Why the provider contradicts its listing, or NULL.  An incremental run has
 * compared counts already, where there are any.
 */
static const char *
contradiction(NauthRun *run)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_COUNT};
	int64		listed = run->counts.users;
	int64		count = run->incremental || !run->options->provider->counts ? listed :
	nauth_directory_count(run->directory, &query);

	if (run->single && run->witness[0] == '\0')
		return "the provider finds no other user either";
	if (Max(count, listed) - Min(count, listed) > COUNT_SLACK + count / 100)
		return "the provider counts another number of users than it listed";
	if (!finds_witness(run))
		return lost_witness;
	return NULL;
}

/* Ask about a missing user, of whose row this version is the one that counts. */
static void
ask_about(NauthRun *run, const char *id, const char *version)
{
	NauthErrorKind kind;
	NauthUser	user;
	bool		found;

	if (nauth_directory_try_user(run->directory, id, &user, &found))
	{
		if (!found)
			nauth_id_list_add(&run->deleted_users, run->cxt, id, version);
		else if (!run->incremental)
			nauth_id_list_add(&run->hidden_users, run->cxt, id, NULL);
		return;
	}
	kind = nauth_directory_error(run->directory)->kind;

	/* without an answer about this user the others get theirs */
	if (kind == NAUTH_ERROR_UNFIT)
		hold(run, id, another_answers);
	else if (kind == NAUTH_ERROR_REFUSED || kind == NAUTH_ERROR_NOT_FOUND)
		hold(run, id, no_answer);
	else
		nauth_directory_fail(run->directory);
}

/*
 * Step two, with requests and without a snapshot: each missing user that the
 * provider says does not exist goes to run->deleted_users.  One that it still
 * finds was only hidden from the listing, and stays as it is.
 */
void
nauth_deletion_confirm(NauthRun *run)
{
	const char *reason;

	if (run->missing_users.count == 0)
		return;
	reason = contradiction(run);
	if (reason)
	{
		hold_all(run, &run->missing_users, reason);
		return;
	}
	for (int i = 0; i < run->missing_users.count; i++)
	{
		const char *id = run->missing_users.ids[i];

		if (!nauth_ask_id_possible(run->options->provider, id))
			hold(run, id, "the provider cannot be asked about such an id");
		else
			ask_about(run, id, run->missing_users.notes[i]);
	}

	/* it may have begun meanwhile to say so of everybody */
	if (run->deleted_users.count > 0 && !finds_witness(run))
		hold_all(run, &run->deleted_users, lost_witness);
	NAUTH_FAULT_POINT("confirmed");
}

/* Step three, in the transaction that ends the run: mark the rows that are as they were. */
void
nauth_deletion_apply(NauthRun *run)
{
	const NauthIdList *deleted = &run->deleted_users;
	NauthArgs	args = {0};

	run->marked = deleted->count;
	if (run->dry_run)
		run->counts.tombstoned += run->marked;
	if (deleted->count == 0 || run->dry_run)
		return;
	nauth_target_keep(&run->target, RowExclusiveLock);
	nauth_args_texts(&args, deleted->count, (const char *const *) deleted->ids);
	nauth_args_texts(&args, deleted->count, deleted->notes);
	nauth_statement_execute_as(run->target.owner,
							   psprintf("UPDATE %s t SET deleted_at = clock_timestamp() FROM unnest($1, $2) AS m (id, version)"
										" WHERE t.id = m.id AND t.xmin = m.version::xid AND deleted_at IS NULL",
										run->target.name), &args);
	run->marked = SPI_processed;
	run->counts.tombstoned += run->marked;
	NAUTH_FAULT_POINT("tombstoned");
}
