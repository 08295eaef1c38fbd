/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  What others see of a run while it goes on.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_PROGRESS_H
#define NAUTH_PROGRESS_H

#include "sync/run.h"

/* Publish phase and counts for view sync_progress. */
extern void nauth_progress_publish(const NauthRun *run);

/* Tell the person at psql, now and then. */
extern void nauth_progress_notice(NauthRun *run);

/* Forget what was published. */
extern void nauth_progress_end(void);

#endif							/* NAUTH_PROGRESS_H */
