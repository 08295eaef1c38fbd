/*-------------------------------------------------------------------------
 *
 * state.h
 *	  What is stored of a run, beside the target.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_STATE_H
#define NAUTH_STATE_H

#include "sync/run.h"

/*
 * in state.c: what the next run has to know.  Read it, and refuse to mix two
 * directories in a target; write that a run has begun, of the first one of a target;
 * that rows are of two shapes now; that a full run has begun, after which nothing can be
 * told from counts until one succeeds; what an incremental run has counted so far; and
 * what a run has found that has reached its end.  Forget targets that were dropped.
 */
extern void nauth_state_load(NauthRun *run);
extern void nauth_state_begin(NauthRun *run);
extern void nauth_state_mix_shapes(const NauthRun *run);
extern void nauth_state_doubt(NauthRun *run);
extern void nauth_state_keep(NauthRun *run);
extern void nauth_state_finish(NauthRun *run);
extern void nauth_state_forget_dropped(void);

/*
 * in log.c: the row of a run that begins, and that has ended: by an error, unless that is
 * NULL; whether it has changed anything, and the message to whoever listens if so
 */
extern void nauth_log_begin(NauthRun *run);
extern void nauth_log_end(NauthRun *run, const ErrorData *error);
extern bool nauth_log_has_changes(const NauthRun *run);
extern void nauth_log_notify(const NauthRun *run);

/*
 * in delta.c: users who came or went since the last successful run.  Read them; store that
 * these are listed now (1), or no more (-1), and by how many the live rows of each have
 * changed; leave those that the numbers of the run do not include, and return how many
 * users are hidden from listings.
 */
extern void nauth_delta_load(NauthRun *run);
extern void nauth_delta_store(NauthRun *run, int count, char *const *ids,
							  int listed, int64 live);
extern int	nauth_delta_settle(NauthRun *run);

/* in left_out.c: read users held and quarantined; write them as the run leaves them */
extern void nauth_left_out_load(NauthRun *run);
extern void nauth_left_out_store(NauthRun *run);

#endif							/* NAUTH_STATE_H */
