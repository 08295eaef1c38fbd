/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  Pages of a listing -> rows of the target.
 *
 * Most users of most pages have not changed; they cost a look into the table
 * of what is known.  The others become jsonb and go to the target in one
 * statement a page for each kind (write.c).  Every prefix of these statements leaves
 * a valid target, so a crash needs no repair.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fault_point.h"
#include "sync/apply.h"
#include "sync/changes.h"
#include "sync/state.h"
#include "sync/write.h"

static void
load_user(HeapTuple tuple, TupleDesc desc, void *arg)
{
	NauthRun   *run = arg;
	bool		isnull;
	char	   *id = nauth_target_id(tuple, desc);
	Datum		time = SPI_getbinval(tuple, desc, 2, &isnull);
	NauthKnownUser user = {.version = isnull ? NAUTH_NO_VERSION : DatumGetTimestampTz(time)};

	user.deleted = DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull));
	nauth_known_set(run->known, id, &user);
	pfree(id);
}

/*
 * Fill run->known with what the target holds, of all ids or of these.  The
 * casts are for a table that somebody alters in mid run: the values must have
 * the types read here.
 */
static void
load_users(NauthRun *run, const NauthIdList *ids)
{
	if (OidIsValid(run->target.relid))
		nauth_target_read(&run->target, "id::text, updated_at::timestamptz, deleted_at IS NOT NULL",
						  ids ? "id = ANY ($1)" : "true", ids, load_user, run);
}

static void
create_known(NauthRun *run, int64 users)
{
	MemoryContext old = MemoryContextSwitchTo(run->cxt);

	run->known = nauth_known_create(users);
	MemoryContextSwitchTo(old);
}

/* Read all of the target, for a full run. */
void
nauth_apply_load(NauthRun *run)
{
	create_known(run, run->live_before);
	load_users(run, NULL);
	nauth_digest_load(run);
	run->live_before = nauth_known_live(run->known);
}

/* Read what is not known yet of the users of run->page, for an incremental run. */
static void
load_page(NauthRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->page_cxt);
	NauthIdList ids = {0};
	NauthKnownUser user;

	if (run->known == NULL)
		create_known(run, 0);
	for (int i = 0; i < run->page->count; i++)
		if (run->page->users[i].id[0] != '\0' &&
			!nauth_known_get(run->known, run->page->users[i].id, &user))
			nauth_id_list_add(&ids, run->page_cxt, run->page->users[i].id, NULL);
	if (ids.count > 0)
		load_users(run, &ids);
	MemoryContextSwitchTo(old);
}

/*
 * Whether the row of a known user has to be looked at.  The same time is not
 * proof of the same content if it was near to the time of reading, and an
 * older one may be of another user with the same id: then the statement
 * compares more.
 */
static bool
may_have_changed(const NauthRun *run, const NauthKnownUser *known, const NauthWanted *wanted)
{
	if (run->new_shape || known->deleted != wanted->marked || known->version == NAUTH_NO_VERSION ||
		known->digested == wanted->timed)
		return true;
	if (wanted->timed && wanted->now.version == known->version)
		return wanted->now.version >= run->last.final_before;
	return wanted->now.version != known->version;
}

/*
 * Whether a user was created after the last run and not counted since.  It may
 * have a row all the same: some applications do not wait for us.  If it was
 * created in the very moment of the latest change that was seen, and is that
 * change, the row is ours and has that version, or a later one.  A row with a time
 * of change before the user's creation is of another user with the same id, or of a
 * directory with times that lie ahead; either is counted.
 */
static bool
is_uncounted(const NauthRun *run, const NauthUser *user, int64 version)
{
	TimestampTz created = nauth_moment_to_timestamptz(user->created_at);

	if (!user->has_created_at || !user->has_updated_at || user->created_at > user->updated_at)
		return false;
	if (version != NAUTH_NO_VERSION && version < created)
		return false;
	return (created > run->last.newest || (created == run->last.newest && version < run->last.newest)) &&
		nauth_id_list_find(&run->counted_before, user->id) < 0;
}

/*
 * Note for the count of an incremental run that a user is in the directory,
 * unless that was known.
 */
static void
note_listed(NauthRun *run, const NauthUser *user, const NauthWanted *wanted, int64 version)
{
	bool		live = wanted->live;
	int			place = nauth_id_list_find(&run->held_before, user->id);
	bool		held = place >= 0;
	bool		hidden = nauth_id_list_find(&run->hidden_before, user->id) >= 0;
	bool		quarantined = nauth_id_list_find(&run->quarantined_before, user->id) >= 0;

	if (held)
		run->held_returned[place] = true;
	if (held || quarantined)
		nauth_id_list_add(&run->returned_users, run->cxt, user->id, NULL);
	if (!held && !hidden && (quarantined || ((live || wanted->marked) && !is_uncounted(run, user, version))))
		return;
	run->counts.listed++;
	run->counts.live += live && !held && !hidden;
	nauth_id_list_add(&run->counted_users, run->cxt, user->id, NULL);
}

/*
 * Whether an event is enough to write its user.  Not if the row is marked, or its
 * deletion held; nor if there is none though the last run has seen the user, which
 * may be gone since, and its row purged.
 */
static bool
is_believed(const NauthRun *run, const NauthUser *user, const NauthWanted *wanted)
{
	if (!nauth_since_is_word(run))
		return true;
	if (wanted->known)
		return wanted->live && nauth_id_list_find(&run->held_before, user->id) < 0;
	return user->has_created_at && nauth_moment_to_timestamptz(user->created_at) >= run->last.watermark;
}

/*
 * Note that a user turned up.  Returns true if it has to be written, with
 * what will then be known of it in wanted.  Who was deleted before we knew of it
 * gets a row from the first run alone: it may be a row that was purged.
 */
static bool
see_user(NauthRun *run, const NauthUser *user, NauthWanted *wanted)
{
	NauthKnownUser known = {.version = NAUTH_NO_VERSION,.deleted = true};

	wanted->known = nauth_known_get(run->known, user->id, &known);
	wanted->live = wanted->known && !known.deleted;
	wanted->retimed = known.digested && wanted->timed;
	wanted->marked = user->has_deleted_at;
	/* an incremental run may read a user again who was changed meanwhile */
	if (known.seen && (!run->incremental || run->dry_run))
	{
		run->duplicates++;
		return false;
	}
	if (!known.seen && !is_believed(run, user, wanted))
	{
		nauth_id_list_add(&run->revived_users, run->cxt, user->id, NULL);
		return false;
	}
	if (run->incremental && !known.seen)
		note_listed(run, user, wanted, known.version);
	known.seen = true;
	nauth_known_set(run->known, user->id, &known);
	if (wanted->known ? !may_have_changed(run, &known, wanted) : wanted->marked && !run->first_run)
	{
		run->counts.unchanged++;
		return false;
	}
	strlcpy(wanted->id, user->id, sizeof(wanted->id));
	return true;
}

/* The version of a user: its time of change, or else a digest. */
static void
set_version(NauthRun *run, const NauthUser *user, NauthWanted *wanted)
{
	wanted->now = (NauthKnownUser)
	{
		.seen = true
	};
	wanted->timed = user->has_updated_at || user->flaw != NAUTH_FLAW_NONE;
	if (wanted->timed)
	{
		wanted->now.version = user->has_updated_at ?
			nauth_moment_to_timestamptz(user->updated_at) : NAUTH_NO_VERSION;
		run->newest = Max(run->newest, wanted->now.version);
		return;
	}
	run->timeless = true;
	wanted->digest = nauth_digest_of(run, user);
	wanted->now.digested = true;
	wanted->now.version = nauth_digest_version(&wanted->digest);
}

/*
 * Turn a user into a row.  Parsing leaves ten times the row behind, so it is
 * done elsewhere and only the row is kept.  Where the provider tells no time of
 * change, it is when we see it.
 */
static const char *
make_row(NauthRun *run, const NauthUser *user, NauthRow *row)
{
	MemoryContext old = MemoryContextSwitchTo(run->user_cxt);
	const char *reason = nauth_user_to_row(run->options, user, row);

	MemoryContextSwitchTo(old);
	for (int i = 0; reason == NULL && i < NAUTH_NUM_COLUMNS; i++)
	{
		const NauthColumnDef *def = &nauth_columns[i];

		if (!row->nulls[i])
			row->values[i] = datumCopy(row->values[i], def->byval, def->len);
	}
	MemoryContextReset(run->user_cxt);
	if (reason == NULL && row->nulls[NAUTH_UPDATED_AT])
	{
		row->nulls[NAUTH_UPDATED_AT] = false;
		row->values[NAUTH_UPDATED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	}
	return reason;
}

/* The users of the page that have to be written, as rows. */
static int
collect_wanted(NauthRun *run, NauthWanted *wanted)
{
	int			count = 0;

	for (int i = 0; i < run->page->count; i++)
	{
		const NauthUser *user = &run->page->users[i];
		NauthWanted *next = &wanted[count];
		const char *reason;

		CHECK_FOR_INTERRUPTS();
		run->counts.users++;
		if (user->flaw == NAUTH_FLAW_ID)
		{
			nauth_run_quarantine(run, user, false, "");
			continue;
		}
		/* rather somebody who is live */
		if (!user->has_deleted_at || run->witness[0] == '\0')
			nauth_run_witness(run, user);
		set_version(run, user, next);
		if (!see_user(run, user, next))
			continue;
		reason = make_row(run, user, &next->row);
		next->user = user;
		if (reason)
			nauth_run_quarantine(run, user, next->live, reason);
		else
			count++;
	}
	return count;
}

/* Apply run->page to the target, of a listing. */
void
nauth_apply_page(NauthRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->page_cxt);
	NauthWanted *wanted = palloc(Max(run->page->count, 1) * sizeof(NauthWanted));
	int			count = collect_wanted(run, wanted);

	run->counts.pages++;
	run->total = run->page->total;
	nauth_write_users(run, wanted, count);
	NAUTH_FAULT_POINT("written");
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->page_cxt);
}

/*
 * Apply a page of users who may be anywhere in the directory: read what the
 * target holds of them, write, and count who is new.
 */
void
nauth_apply_some(NauthRun *run, const NauthPage *page)
{
	MemoryContext old = CurrentMemoryContext;

	run->page = page;
	load_page(run);
	nauth_apply_page(run);
	if (!run->dry_run)
	{
		MemoryContextSwitchTo(run->page_cxt);
		nauth_state_keep(run);
		MemoryContextSwitchTo(old);
		MemoryContextReset(run->page_cxt);
	}
	run->page = NULL;
}
