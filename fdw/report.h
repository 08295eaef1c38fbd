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

typedef enum NauthReportPeer
{
	NAUTH_PEER_PROVIDER,
	NAUTH_PEER_REDIS
} NauthReportPeer;

typedef struct NauthReport
{
	int			sqlstate;
	const char *message;
	const char *detail;			/* or NULL */
	const char *hint;			/* or NULL */
} NauthReport;

/*
 * Put error, which is not NAUTH_OK, into words, in the current memory context.
 * peer is who was asked for the foreign server of this name.
 */
extern void nauth_report_describe(const NauthError *error, NauthReportPeer peer,
								  const char *server, NauthReport *report);

/* Raise it. */
extern _Noreturn void nauth_report(const NauthError *error, NauthReportPeer peer,
								   const char *server);

#endif							/* NAUTH_REPORT_H */
