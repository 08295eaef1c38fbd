/*-------------------------------------------------------------------------
 *
 * engine.h
 *	  libcurl inside a backend: one transfer or one stream at a time.
 *
 * Only the files of fdw/net include this, for it shows libcurl's types.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_ENGINE_H
#define NAUTH_ENGINE_H

#include <curl/curl.h>
#include <signal.h>

#include "error.h"
#include "wait.h"

typedef struct NauthEngine
{
	NauthPoll	poll;
	CURLM	   *multi;			/* keeps the connections */
	CURL	   *easy;			/* what is under way, or NULL */
	sigset_t	signals;		/* mask outside curl */
	int			running;
	int			sockets;		/* open now */
	bool		no_memory;		/* malloc failed in curl's last step */
	NauthError	failure;		/* found by a callback */
} NauthEngine;

/*
 * Open and close one, in memory of the caller.  False, with errno set and
 * nothing left open, when there is no descriptor or no memory.
 */
extern bool nauth_engine_open(NauthEngine *engine);
extern void nauth_engine_close(NauthEngine *engine);

/*
 * Make engine->easy, with the policy that holds for everything we send.  The
 * caller adds options; connect_timeout is in milliseconds.
 */
extern CURLcode nauth_engine_prepare(NauthEngine *engine, const char *url,
									 int connect_timeout);

/*
 * Run what was prepared to its end, or to the deadline of nauth_clock().
 * Returns curl's result, which is CURLE_OK too when engine->failure says what
 * went wrong.  Raises an error for an interrupt, which leaves the engine fit
 * for nothing but nauth_engine_close.
 */
extern CURLcode nauth_engine_run(NauthEngine *engine, int64_t deadline);

/* Destroy engine->easy, finished or not. */
extern void nauth_engine_end(NauthEngine *engine);

/*
 * Say what went wrong: what a callback found, else what this result means, if
 * it is not CURLE_OK.  True if another try may do better.
 */
extern bool nauth_engine_explain(const NauthEngine *engine, CURLcode code,
								 NauthError *error);

#endif							/* NAUTH_ENGINE_H */
