/*-------------------------------------------------------------------------
 *
 * deletion.h
 *	  Decide who is gone, ask the provider, mark.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_DELETION_H
#define NAUTH_DELETION_H

#include "sync/run.h"

/*
 * Under which name a reason that a person can approve is stored, NULL of others; and
 * the way back.
 */
extern const char *nauth_deletion_brake_name(const char *reason);
extern const char *nauth_deletion_brake_reason(const char *name);

/* Whether nothing but a full run, or a person, can let pass what is held for that. */
extern bool nauth_deletion_stays_held(const char *reason);

/* Whether so many new deletions at once would wait for a person. */
extern bool nauth_deletion_too_many(const NauthRun *run, int64 deletions);

/* Fill run->missing_users after a listing, and hold back what has to be. */
extern void nauth_deletion_find(NauthRun *run);

/* Move who must not be asked about from run->missing_users to run->held_users. */
extern void nauth_deletion_brake(NauthRun *run);

/* Ask about run->missing_users; who is confirmed goes to run->deleted_users. */
extern void nauth_deletion_confirm(NauthRun *run);

/*
 * Where no list shows a witness: choose some live users other than these, and ask for
 * them until one is found.
 */
extern void nauth_deletion_choose_witnesses(NauthRun *run, const NauthIdList *except,
											NauthIdList *witnesses);
extern void nauth_deletion_ask_witnesses(NauthRun *run, const NauthIdList *witnesses);

/*
 * Whether the provider finds a user by this id: that one, not another who answers to
 * it.  Raises an error if it cannot be told.
 */
extern bool nauth_deletion_finds(NauthRun *run, const char *id, NauthUser *user);

/* Mark run->deleted_users. */
extern void nauth_deletion_apply(NauthRun *run);

#endif							/* NAUTH_DELETION_H */
