/*-------------------------------------------------------------------------
 *
 * apply.h
 *	  Bring what was read into the target: of a full run, page by page, or some
 *	  users of any.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_APPLY_H
#define NAUTH_APPLY_H

#include "sync/run.h"

/* Step: read into run->known what the target holds. */
extern void nauth_apply_load(NauthRun *run);

/* Write what has changed of run->page, of a listing. */
extern void nauth_apply_page(NauthRun *run);

/* The same of users who come from elsewhere; reads what the target holds of them. */
extern void nauth_apply_some(NauthRun *run, const NauthPage *page);

#endif							/* NAUTH_APPLY_H */
