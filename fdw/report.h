/*-------------------------------------------------------------------------
 *
 * report.h
 *	  Turns a NauthError into the one ereport that the person at psql reads.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_REPORT_H
#define NAUTH_REPORT_H

#include "error.h"

/* Raise error, which is not NAUTH_OK, for the foreign server of this name. */
extern _Noreturn void nauth_report(const NauthError *error, const char *server);

#endif							/* NAUTH_REPORT_H */
