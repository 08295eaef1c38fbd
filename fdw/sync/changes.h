/*-------------------------------------------------------------------------
 *
 * changes.h
 *	  An incremental run: read what has changed, and count who is missing.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_CHANGES_H
#define NAUTH_CHANGES_H

#include "sync/run.h"

/*
 * in changes.c: whether the run can be incremental (NULL, or why not; *must tells that
 * no wish of a user changes that), be that, or write what has changed last, of one page
 */
extern const char *nauth_changes_obstacle(const NauthRun *run, bool *must);
extern void nauth_changes_run(NauthRun *run);
extern bool nauth_changes_glance(NauthRun *run);

/*
 * Begin a query whose pages are taken by a function, in a step each; read all, until
 * changes.ended is set or there is a doubt; or read the next one.
 */
extern void nauth_changes_begin(NauthRun *run, const NauthQuery *query,
								void (*take) (NauthRun *run, const NauthPage *page));
extern void nauth_changes_read(NauthRun *run);
extern void nauth_changes_read_page(NauthRun *run);

/*
 * in since.c: the same for providers that list changes since a time.  The watermark
 * is that of a run without any change, by the provider's clock, or DT_NOBEGIN.
 */
extern const char *nauth_since_obstacle(const NauthRun *run);
extern bool nauth_since_is_word(const NauthRun *run);
extern TimestampTz nauth_since_watermark(const NauthRun *run);
extern void nauth_since_run(NauthRun *run);
extern bool nauth_since_glance(NauthRun *run);

/*
 * in window.c: count users created before a time; find missing users without a
 * listing; look whether one is listed
 */
extern int64 nauth_window_count(NauthRun *run, TimestampTz before);
extern bool nauth_window_worthwhile(const NauthRun *run);
extern void nauth_window_search(NauthRun *run, TimestampTz settled, int64 counted);
extern bool nauth_window_lists(NauthRun *run, const char *id, TimestampTz created);

#endif							/* NAUTH_CHANGES_H */
