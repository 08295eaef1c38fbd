/*-------------------------------------------------------------------------
 *
 * schedule.h
 *	  Jobs of pg_cron that refresh.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_SCHEDULE_H
#define NAUTH_SCHEDULE_H

#include "check.h"

/*
 * Whether a job of the caller refreshes from this server, and how its last run
 * has ended.
 */
extern NauthCheck nauth_schedule_check(const char *server);

#endif							/* NAUTH_SCHEDULE_H */
