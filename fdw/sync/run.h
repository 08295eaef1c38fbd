/*-------------------------------------------------------------------------
 *
 * run.h
 *	  One refresh: what was asked, how far it is, what it did.
 *
 * A run is full: it lists the directory and compares all of it; or it is
 * incremental: it reads what has changed since the last run, and from counts
 * learns whether anybody is missing.  An incremental run that cannot prove
 * that ("doubt") becomes a full one.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_RUN_H
#define NAUTH_RUN_H

#include "fmgr.h"

#include "directory.h"
#include "sync/id_list.h"
#include "sync/known.h"
#include "sync/role.h"
#include "sync/target.h"

/* Hexadecimal digits of a fingerprint, and the zero. */
#define NAUTH_FINGERPRINT	33

/* Users left out are listed up to here, and counted beyond. */
#define NAUTH_MAX_QUARANTINED	1000

/* Users whom an incremental run stores as new before it has succeeded. */
#define NAUTH_MAX_COUNTED		1000

/* Members that may be left out of a comparison, of a provider and an option. */
#define NAUTH_MAX_IGNORED	(NAUTH_MAX_MEMBERS + 8)

/*
 * Changes younger than this at the last reading may have been read too early:
 * clocks of a provider differ, and what is committed late has an earlier time.
 */
#define NAUTH_OVERLAP	(5 * USECS_PER_MINUTE)

/*
 * Users younger than this may not be everywhere at the provider: what is
 * committed late, or read from a replica, would seem not to be there.
 */
#define NAUTH_SETTLED_AGE	(30 * USECS_PER_SEC)

/*
 * Who was created within this of a bound, in microseconds, may be on either side
 * of it: providers round.
 */
#define NAUTH_BLUR		(2 * 1000)

typedef enum NauthPhase
{
	NAUTH_PHASE_STARTING,
	NAUTH_PHASE_READING_TARGET,
	NAUTH_PHASE_CHANGES,
	NAUTH_PHASE_LISTING,
	NAUTH_PHASE_SEARCHING,
	NAUTH_PHASE_CONFIRMING,
	NAUTH_PHASE_FINISHING,
	NAUTH_PHASE_WAITING
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
	int64		live;			/* by how many the rows without deleted_at
								 * have become more, by what was written */
	int64		listed;			/* users that a listing would have now; of an
								 * incremental run */
} NauthCounts;

/* A user left out. */
typedef struct NauthQuarantined
{
	char	   *id;
	const char *reason;
	TimestampTz created_at;		/* DT_NOBEGIN where it is not known */
	bool		has_row;		/* a live one, of before */
} NauthQuarantined;

typedef struct NauthRun NauthRun;

/* What the last run that succeeded has left; times are DT_NOBEGIN where there is none. */
typedef struct NauthLastRun
{
	bool		unproved;		/* it could not say who is missing */
	bool		timeless;		/* some user had no time of change */
	TimestampTz watermark;		/* all changes until then were read */
	TimestampTz newest;			/* latest change seen */
	TimestampTz newest_at;		/* since when, by our clock */
	TimestampTz full_at;		/* of the last full run */
	TimestampTz success_started_at;
	TimestampTz final_before;	/* users changed before this were final when
								 * they were read */
} NauthLastRun;

/* What an incremental run has read. */
typedef struct NauthChanges
{
	void		(*take) (NauthRun *run, const NauthPage *page); /* a page */
	TimestampTz since;			/* users changed from then on are read */
	TimestampTz newest;			/* change on the first page, or DT_NOBEGIN */
	bool		ended;			/* everything since then was read */
	int64		pages;
	int64		total;			/* users by the last page, or -1 */
	int			count;			/* users read, and when they were created */
	int			size;
	TimestampTz *created;
} NauthChanges;

struct NauthRun
{
	/* what was asked */
	const NauthOptions *options;
	NauthTarget target;
	int			approved;		/* approve_deletions, or -1 */
	bool		dry_run;
	bool		toplevel;		/* may commit */
	bool		followed;		/* logged only if it did something */
	const char *single;			/* id of the one user that it is about, for
								 * sync_user; or NULL */
	int64		patience;		/* microseconds of waiting, of a run that is
								 * followed */
	bool		more;			/* a glance has not shown all */
	bool		stored;			/* rows of state, that others may wait for */
	const char *const *ignored; /* members whose change alone is none, ended
								 * by NULL */
	int			ignored_count;

	/* what it knows */
	MemoryContext cxt;			/* lives as long as the run */
	MemoryContext page_cxt;		/* reset for each page */
	MemoryContext user_cxt;		/* reset for each user */
	NauthDirectory *directory;
	NauthKnown *known;
	char		tenant[NAUTH_FINGERPRINT];
	char		credential[NAUTH_FINGERPRINT];
	char		shape[NAUTH_FINGERPRINT];
	const char *cluster;		/* where the database runs, and in which life */
	bool		has_state;		/* some run of this server has begun */
	bool		first_run;		/* none has succeeded */
	bool		new_credential; /* has to show that it knows our users */
	bool		new_shape;		/* rows may differ though nobody has changed */
	bool		same_cluster;
	NauthLastRun last;
	int64		live_before;
	int64		listed_before;
	int64		run_id;			/* 0: it has no row yet */
	TimestampTz started_at;
	NauthPhase	phase;
	int64		told_at;		/* of nauth_clock(): the person at psql was */
	const NauthPage *page;
	TimestampTz asked_at;		/* when it was asked for */
	int64		total;			/* users as the provider says, or -1 */

	/* how it goes about it */
	bool		incremental;
	bool		may_list;		/* and so become full */
	const char *reason;			/* of a full run: why it is one */
	const char *doubt;			/* of an incremental run: why it proves
								 * nothing */
	int64		reread;			/* users that it wrote, and the full one that
								 * it became finds unchanged */
	NauthChanges changes;

	/* what it found */
	TimestampTz newest;			/* latest change seen, or DT_NOBEGIN */
	int64		begun_clock;	/* microseconds of nauth_clock, when the run,
								 * or the listing, or what has changed since,
								 * began */
	TimestampTz watermark;		/* all changes until then were read, or
								 * DT_NOBEGIN */
	bool		timeless;		/* some user has no time of change */
	char		witness[NAUTH_ID_MAX + 1];	/* a user of the listing, or "" */
	int64		unreadable_ids;
	int64		duplicates;
	int64		missing;		/* users by which the provider counts less
								 * than are known, at least, and at most; of
								 * an incremental run */
	int64		missing_most;
	int64		explained;		/* of these, not to be counted at all */
	int64		deleted_before; /* by other runs within the hour */
	NauthQuarantined *quarantined;
	int			quarantined_count;
	NauthIdList quarantined_before; /* of the last run, sorted by id */
	NauthIdList held_before;	/* of the last run, sorted by id, with reasons */
	bool	   *held_returned;	/* which of these were read by this run */
	NauthIdList counted_before; /* since the last success, sorted by id, with
								 * listed and live as an int2[] */
	NauthIdList come_before;	/* of these, who is listed since */
	NauthIdList hidden_before;	/* of these, hidden from the last full run,
								 * sorted */
	NauthIdList hidden_users;	/* live, and not listed though the provider
								 * has them */
	NauthIdList returned_users; /* held or quarantined, read by this run */
	NauthIdList counted_users;	/* by this run, as new in the directory */
	int			counted_stored; /* of these, in sync_delta */
	NauthIdList gone_users;		/* by events */
	NauthKnown *gone;			/* the same; seen: in an event after that */
	NauthIdList revived_users;	/* in an event, on whose word they are not
								 * taken for live; with a note, even if they
								 * are gone by another */
	bool		verified;		/* what is written now is no event */
	NauthIdList missing_users;	/* live here and not in the listing; behind
								 * the brake with xmin of their rows */
	NauthIdList deleted_users;	/* confirmed, to be marked; with the same */
	int64		marked;			/* of these */
	NauthIdList held_users;		/* by this run, with reasons */
	const char *held_reason;	/* the latest */

	/* what it did */
	NauthCounts counts;
	NauthCounts kept;			/* of an incremental run: what the state says */
};

/*
 * Make a run that acts for a call of a procedure or function: at top level, so
 * that it may commit, or within a transaction.  The current memory context is
 * then the run's, which lives on across commits at top level and elsewhere as
 * long as the subtransaction.
 */
extern bool nauth_run_is_toplevel(FunctionCallInfo fcinfo);
extern NauthRun *nauth_run_create(bool toplevel);
extern void nauth_run_set_options(NauthRun *run, const NauthOptions *options);

/* A time of our clock by that of the provider, if it tells. */
extern TimestampTz nauth_run_provider_time(const NauthRun *run, TimestampTz time);

/*
 * When it began to read, by the clock that is most behind: of this server, then and
 * now, or of the provider, where it tells.  Whoever changed before that has been read.
 */
extern TimestampTz nauth_run_reading_since(const NauthRun *run);

/* Refuse a command where nothing can be written, or within a run. */
extern void nauth_run_check_writable(const char *command);

/* Only one run at a time in a backend, for a trigger may call another. */
extern void nauth_run_enter(void);
extern void nauth_run_leave(void);

/* Take a user of a list as the witness: see finds_witness in deletion.c. */
extern void nauth_run_witness(NauthRun *run, const NauthUser *user);

/* Leave a user out, with the reason why PostgreSQL cannot hold it. */
extern void nauth_run_quarantine(NauthRun *run, const NauthUser *user, bool has_row,
								 const char *reason);

/* Deletions that are held after the run, those of before included. */
typedef struct NauthHeld
{
	int			count;
	int			approvable;		/* of these: a person may release them */
	int			passing;		/* the next run may release them */
	const char *reason;
} NauthHeld;

extern NauthHeld nauth_run_held(const NauthRun *run);

/* How a run that reached its end is logged: ok, held or dry run. */
extern const char *nauth_run_status(const NauthRun *run);

/* Become a full run, forgetting what only an incremental one needs. */
extern void nauth_run_become_full(NauthRun *run, const char *reason);

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

/*
 * nauth_run_check_at_once has the constraints of a batch not deferred, at top
 * level, and nauth_run_commit ends the batch, at top level: what was written so far
 * stays, whatever comes.  nauth_run_step runs a step as a batch of its own; if
 * it fails, that is written down, which stays at top level, and its error is
 * raised again.  Only the phase that finishes a run waits until all of it is on disk.
 */
extern void nauth_run_check_at_once(const NauthRun *run);
extern void nauth_run_commit(const NauthRun *run);
extern void nauth_run_step(NauthRun *run, NauthPhase phase, NauthStep step, void *arg);

#endif							/* NAUTH_RUN_H */
