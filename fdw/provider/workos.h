/*-------------------------------------------------------------------------
 *
 * workos.h
 *	  Pages of WorkOS: of its users, and of what happened to them.
 *
 * No PostgreSQL header here.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_WORKOS_H
#define NAUTH_WORKOS_H

#include "provider.h"

/*
 * Write where a page of users begins: the parameter "after", unless it is the
 * first one.  False when the cursor is damaged.
 */
extern bool nauth_workos_write_place(const char *cursor, NauthRequest *request);

/* Read the users of a page; after is the id to go on after, "" at the end. */
extern bool nauth_workos_read_users(const NauthSettings *settings, const NauthQuery *query,
									const char *cursor, NauthSpan list, const char *after,
									NauthPage *page, NauthError *error);

/* Read the users of the events of a page. */
extern bool nauth_workos_read_events(const NauthSettings *settings, const NauthQuery *query,
									 const char *cursor, NauthSpan list,
									 NauthPage *page, NauthError *error);

#endif							/* NAUTH_WORKOS_H */
