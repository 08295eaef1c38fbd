/*-------------------------------------------------------------------------
 *
 * lock.c
 *	  Who may write a target, and whose lookup others may share.
 *
 * All locks are advisory ones, which need no shared memory of our own.  What a
 * backend has looked up it tells through the server's progress reporting, under
 * a command number that the server does not know, for the same reason.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"

#include "pgcompat.h"
#include "sync/lock.h"
#include "wait.h"

/*
 * Of a target: the two int4 keys of pg_advisory_lock, this one and its Oid.  The
 * others differ in a field that SQL cannot set.
 */
#define LOCK_CLASS		0x6E617574	/* "naut" */

enum LockKind
{
	LOCK_TARGET = 2,			/* as pg_advisory_lock(int4, int4) has it */
	LOCK_FOLLOW,
	LOCK_USER
};

/* A beat is waited for so long, looking so often, in microseconds. */
#define BEAT_PATIENCE	(2 * 1000 * 1000)
#define BEAT_PAUSE		(20 * 1000)

/* Far from the server's numbers, and beside that of progress.c. */
#define LOOKUP_COMMAND	((ProgressCommandType) 0x4E42)

enum LookupParam
{
	PARAM_HASH,
	PARAM_ASKED_AT,
	NUM_PARAMS
};

/* This transaction holds the lock of a target until its end. */
static bool holds_transaction_lock = false;

/*
 * A prepared transaction would keep the lock until somebody resolves it, and
 * all refreshes would be busy.
 */
static void
forbid_prepare(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_PREPARE && holds_transaction_lock)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("cannot PREPARE a transaction that has refreshed a users_sync table"),
				errhint("Call refresh_users_sync or sync_user outside of the transaction."));
	if (event != XACT_EVENT_PRE_COMMIT)
		holds_transaction_lock = false;
}

void
nauth_lock_forbid_prepare(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(forbid_prepare, NULL);
	registered = true;
	holds_transaction_lock = true;
}

static bool
try_lock(const NauthLock *lock)
{
	return LockAcquire(&lock->tag, ExclusiveLock, lock->session, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
nauth_lock_release(const NauthLock *lock)
{
	LockRelease(&lock->tag, ExclusiveLock, lock->session);
}

static bool
try_follow(NauthLock *lock, Oid relid)
{
	SET_LOCKTAG_ADVISORY(lock->tag, MyDatabaseId, LOCK_CLASS, relid, LOCK_FOLLOW);
	lock->session = true;
	return try_lock(lock);
}

/* Somebody who only looks whether it is taken has it for a moment. */
bool
nauth_lock_follow(NauthLock *lock, Oid relid)
{
	if (try_follow(lock, relid))
		return true;
	(void) nauth_wait(-1, nauth_clock() + BEAT_PAUSE);
	return try_follow(lock, relid);
}

/* Whether somebody follows the target, whose beats are short. */
static bool
is_followed(Oid relid)
{
	NauthLock	lock;

	if (!try_follow(&lock, relid))
		return true;
	nauth_lock_release(&lock);
	return false;
}

bool
nauth_lock_target(NauthLock *lock, Oid relid, bool session)
{
	int64		deadline = nauth_clock() + BEAT_PATIENCE;
	bool		locked;

	SET_LOCKTAG_ADVISORY(lock->tag, MyDatabaseId, LOCK_CLASS, relid, LOCK_TARGET);
	lock->session = session;
	while (!(locked = try_lock(lock)) && nauth_clock() < deadline && is_followed(relid))
		(void) nauth_wait(-1, nauth_clock() + BEAT_PAUSE);
	if (locked && !session)
		nauth_lock_forbid_prepare();
	return locked;
}

/* Two users with the same hash, which are rare, wait for each other. */
static uint64
hash_user(Oid relid, const char *id)
{
	return hash_bytes_extended((const unsigned char *) id, strlen(id), relid);
}

void
nauth_lock_user(NauthLock *lock, Oid relid, const char *id)
{
	uint64		hash = hash_user(relid, id);

	SET_LOCKTAG_ADVISORY(lock->tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash, LOCK_USER);
	lock->session = false;
	(void) LockAcquire(&lock->tag, ExclusiveLock, false, false);
}

void
nauth_lookup_tell(Oid relid, const char *id, int64 asked_at)
{
	const int	params[NUM_PARAMS] = {PARAM_HASH, PARAM_ASKED_AT};
	const int64 values[NUM_PARAMS] = {hash_user(relid, id), asked_at};

	pgstat_progress_start_command(LOOKUP_COMMAND, relid);
	pgstat_progress_update_multi_param(NUM_PARAMS, params, values);
}

bool
nauth_lookup_told(Oid relid, const char *id, int64 since)
{
	int64		hash = hash_user(relid, id);
	int			backends;

	/* what was told before this transaction is not what we want */
	pgstat_clear_backend_activity_snapshot();
	backends = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= backends; i++)
	{
		const PgBackendStatus *status = nauth_backend_status(i);

		if (status->st_databaseid == MyDatabaseId &&
			status->st_progress_command == LOOKUP_COMMAND &&
			status->st_progress_command_target == relid &&
			status->st_progress_param[PARAM_HASH] == hash &&
			status->st_progress_param[PARAM_ASKED_AT] >= since)
			return true;
	}
	return false;
}
