/*-------------------------------------------------------------------------
 *
 * refresh.h
 *	  One run: makes a target equal to a directory.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_REFRESH_H
#define NAUTH_REFRESH_H

#include "sync/run.h"

#define NAUTH_DEFAULT_TARGET	"neon_auth.users_sync"

typedef enum NauthMode
{
	NAUTH_MODE_AUTO,			/* incremental where it can be */
	NAUTH_MODE_INCREMENTAL,		/* never lists the directory */
	NAUTH_MODE_FULL,
	NAUTH_MODE_FOLLOW			/* auto, but lists seldom and says little */
} NauthMode;

/*
 * Open what a run needs, without any request: options of the server for the
 * caller, target (created if there is none), directory.  Raises an error for
 * what is missing or not allowed.
 */
extern void nauth_refresh_open(NauthRun *run, const char *server, const char *target);

/*
 * Refresh under the lock of the target.  Returns the status, or NULL, for
 * "busy", if another run has the lock.
 */
extern const char *nauth_refresh(NauthRun *run, NauthMode mode);

/*
 * A beat between two refreshes of mode follow: one request, and what it shows
 * is written.  False when a refresh has to be next.
 */
extern bool nauth_refresh_glance(NauthRun *run);

/* A WARNING, if deletions are held after the run. */
extern void nauth_refresh_warn_held(const NauthRun *run);

/* Raise the errors of nauth_refresh_open, but make no target. */
extern void nauth_refresh_check(NauthRun *run, const char *server, const char *target);

/*
 * SQL that calls refresh_users_sync or follow_users_sync, with further arguments
 * or NULL; palloc'd.
 */
extern char *nauth_refresh_call(const char *procedure, const char *server,
								const char *target, const char *more);

#endif							/* NAUTH_REFRESH_H */
