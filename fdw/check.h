/*-------------------------------------------------------------------------
 *
 * check.h
 *	  One row of check_server.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_CHECK_H
#define NAUTH_CHECK_H

typedef enum NauthVerdict
{
	NAUTH_VERDICT_OK,
	NAUTH_VERDICT_WARNING,		/* it works, and should be looked at */
	NAUTH_VERDICT_ERROR,
	NAUTH_VERDICT_NONE,			/* not there, and not required */
	NAUTH_VERDICT_UNKNOWN		/* could not be looked at */
} NauthVerdict;

typedef struct NauthCheck
{
	NauthVerdict verdict;
	const char *message;
	const char *detail;			/* or NULL, like the next */
	const char *hint;
} NauthCheck;

/* One without a detail; the texts are not copied. */
extern NauthCheck nauth_check_say(NauthVerdict verdict, const char *message, const char *hint);

#endif							/* NAUTH_CHECK_H */
