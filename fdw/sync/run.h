/*-------------------------------------------------------------------------
 *
 * run.h
 *	  One refresh: what was asked, how far it is, what it did.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_RUN_H
#define NAUTH_RUN_H

#include "directory.h"
#include "sync/known.h"
#include "sync/role.h"
#include "sync/target.h"

/* Hexadecimal digits of a fingerprint, and the zero. */
#define NAUTH_FINGERPRINT	33

/* Users left out are listed up to here, and counted beyond. */
#define NAUTH_MAX_QUARANTINED	1000

/* A list of ids with a constant or palloc'd reason for each. */
typedef struct NauthIdList
{
	int			count;
	int			size;
	char	  **ids;
	const char **reasons;
} NauthIdList;

extern void nauth_id_list_add(NauthIdList *list, MemoryContext cxt,
							  const char *id, const char *reason);

/* Texts as a text[], palloc'd. */
extern Datum nauth_text_array(int count, const char *const *texts);

typedef enum NauthPhase
{
	NAUTH_PHASE_STARTING,
	NAUTH_PHASE_READING_TARGET,
	NAUTH_PHASE_LISTING,
	NAUTH_PHASE_CONFIRMING,
	NAUTH_PHASE_FINISHING
} NauthPhase;

/* What a run did so far; a step that fails takes its share back. */
typedef struct NauthCounts
{
	int64		pages;
	int64		users;			/* in the listing */
	int64		inserted;
	int64		updated;
	int64		unchanged;
	int64		tombstoned;
	int64		quarantined;
} NauthCounts;

typedef struct NauthRun
{
	/* what was asked */
	const NauthOptions *options;
	NauthTarget target;
	int			approved;		/* approve_deletions, or -1 */
	bool		dry_run;
	bool		toplevel;		/* may commit */

	/* what it knows */
	MemoryContext cxt;			/* lives as long as the run */
	MemoryContext page_cxt;		/* reset for each page */
	MemoryContext user_cxt;		/* reset for each user */
	NauthDirectory *directory;
	NauthKnown *known;
	char		tenant[NAUTH_FINGERPRINT];
	char		credential[NAUTH_FINGERPRINT];
	bool		first_run;		/* of this target */
	bool		new_credential; /* has to show that it knows our users */
	TimestampTz final_before;	/* users changed before this were final when
								 * last read; DT_NOBEGIN: nothing was */
	int64		live_before;
	int64		run_id;
	TimestampTz started_at;
	NauthPhase	phase;
	const NauthPage *page;
	int64		total;			/* users as the provider says, or -1 */

	/* what it found */
	TimestampTz watermark;		/* latest time of the provider, or DT_NOBEGIN */
	char		witness[NAUTH_ID_MAX + 1];	/* a user of the listing, or "" */
	int64		unreadable_ids;
	int64		duplicates;
	NauthIdList quarantined_users;
	NauthIdList held_before;	/* until a person approves, sorted by id */
	NauthIdList missing_users;	/* live here and not in the listing */
	NauthIdList deleted_users;	/* confirmed, to be marked */
	NauthIdList held_users;
	const char *held_reason;
	int			held_for_approval;	/* of these: a person may release them */

	/* what it did */
	NauthCounts counts;
} NauthRun;

/* Leave a user out, with the reason why PostgreSQL cannot hold it. */
extern void nauth_run_quarantine(NauthRun *run, const char *id, const char *reason);

/* How a run that reached its end is logged: ok, held or dry run. */
extern const char *nauth_run_status(const NauthRun *run);

/*
 * Run a step in a subtransaction.  Returns NULL, or the error that it ended
 * with, copied into the run's memory; the subtransaction is then rolled back.
 *
 * nauth_run_insist tries again some times after a deadlock.  It is for steps
 * that can be repeated: one that takes the next page cannot.
 */
typedef void (*NauthStep) (NauthRun *run, void *arg);

extern ErrorData *nauth_run_attempt(NauthRun *run, NauthStep step, void *arg);
extern ErrorData *nauth_run_insist(NauthRun *run, NauthStep step, void *arg);

/* progress.c: publish phase and counts for view sync_progress; forget them */
extern void nauth_progress_publish(const NauthRun *run);
extern void nauth_progress_end(void);

/* apply.c: read what the target holds; write a page; see there */
extern void nauth_apply_load(NauthRun *run);
extern void nauth_apply_page(NauthRun *run);

/*
 * deletion.c: decide who is gone, ask the provider, mark; see there.  The
 * first turns a reason read from held_deletion into the one that a person can
 * approve, or NULL.
 */
extern const char *nauth_deletion_approvable(const char *reason);
extern void nauth_deletion_find(NauthRun *run);
extern void nauth_deletion_confirm(NauthRun *run);
extern void nauth_deletion_apply(NauthRun *run);

/* state.c: the state tables; see there */
extern void nauth_state_forget_dropped(void);
extern void nauth_state_load(NauthRun *run);
extern void nauth_state_begin(NauthRun *run);
extern void nauth_state_finish(NauthRun *run);
extern void nauth_state_fail(NauthRun *run, const ErrorData *error);

#endif							/* NAUTH_RUN_H */
