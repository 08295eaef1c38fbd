/*-------------------------------------------------------------------------
 *
 * full.h
 *	  A full run: list the directory and compare all of it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_FULL_H
#define NAUTH_FULL_H

#include "sync/run.h"

/* in full.c: all of it, up to the end of the run */
extern void nauth_full_run(NauthRun *run);

/* in probe.c: refuse a new credential that does not know our users */
extern void nauth_probe_credential(NauthRun *run);

#endif							/* NAUTH_FULL_H */
