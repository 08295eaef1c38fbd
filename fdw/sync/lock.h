/*-------------------------------------------------------------------------
 *
 * lock.h
 *	  Who may write a target, and whose lookup others may share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_LOCK_H
#define NAUTH_LOCK_H

#include "storage/lock.h"

typedef struct NauthLock
{
	LOCKTAG		tag;
	bool		session;		/* not released by the end of the transaction */
} NauthLock;

/*
 * Take the lock of a target, for a refresh; false if another one has it.  A
 * session's lock is kept across commits; one of the transaction is released
 * with it, which then cannot be prepared.  A beat of follow_users_sync is waited
 * for a little.
 */
extern bool nauth_lock_target(NauthLock *lock, Oid relid, bool session);

/* The session's lock of who follows a target; false if another one has it. */
extern bool nauth_lock_follow(NauthLock *lock, Oid relid);

/* The transaction's lock of one user of a target; waits until it is free. */
extern void nauth_lock_user(NauthLock *lock, Oid relid, const char *id);

extern void nauth_lock_release(const NauthLock *lock);

/* The transaction holds such a lock to its end, so that it cannot be prepared. */
extern void nauth_lock_forbid_prepare(void);

/*
 * Tell other backends that a user was asked for at that time, of nauth_clock(), and is written, and
 * whether one of them has told so since a time.  They see it until this backend
 * tells so of another user, or its transaction is rolled back.
 */
extern void nauth_lookup_tell(Oid relid, const char *id, int64 asked_at);
extern bool nauth_lookup_told(Oid relid, const char *id, int64 since);

#endif							/* NAUTH_LOCK_H */
