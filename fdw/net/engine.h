/*-------------------------------------------------------------------------
 *
 * engine.h
 *	  libcurl inside a backend: several transfers, or one stream.
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

typedef struct NauthEngine NauthEngine;

/* A transfer or a stream under way, in memory of whoever wants it. */
typedef struct NauthHandle
{
	NauthEngine *engine;		/* NULL: it is in none */
	struct NauthHandle *next;
	CURL	   *easy;
	bool		added;			/* curl carries it */
	bool		ended;			/* as the next three say */
	bool		no_memory;		/* malloc failed in curl's last step */
	CURLcode	code;
	NauthError	failure;		/* found by a callback, or too late */
	int64_t		due;			/* of nauth_clock(): it fails then */
} NauthHandle;

struct NauthEngine
{
	NauthPoll	poll;
	CURLM	   *multi;			/* keeps the connections */
	NauthHandle *handles;
	int64_t		due;			/* curl wants to be called, of nauth_clock() */
	int64_t		armed;			/* the timer is set for this */
	bool		news;			/* a handle has ended */
	sigset_t	signals;		/* mask outside curl */
	int			sockets;		/* open now */
	const char *broken;			/* what none of its handles can survive */
};

/*
 * Open and close one, in memory of the caller.  False, with errno set and
 * nothing left open, when there is no descriptor or no memory.  Closing ends
 * its handles.
 */
extern bool nauth_engine_open(NauthEngine *engine);
extern void nauth_engine_close(NauthEngine *engine);

/* Keep up to so many connections open while they are not used; 1 until told. */
extern void nauth_engine_keep(NauthEngine *engine, int connections);

/*
 * Put a handle into an engine, where it does nothing but to be due some time.
 * Then make handle->easy, with the policy that holds for everything we send.
 * The caller adds options; connect_timeout is in milliseconds.
 */
extern void nauth_engine_join(NauthEngine *engine, NauthHandle *handle);
extern CURLcode nauth_engine_prepare(NauthHandle *handle, const char *url,
									 int connect_timeout);

/*
 * Begin what was prepared, without waiting.  It ends when curl says so, with
 * handle->code, which is CURLE_OK too when handle->failure says what went
 * wrong; or at the deadline of nauth_clock().
 */
extern void nauth_engine_begin(NauthHandle *handle, int64_t deadline);

/* End a handle that could not be prepared, for this reason. */
extern void nauth_engine_refuse(NauthHandle *handle, CURLcode code);

/*
 * Move all handles on as far as that goes without waiting.  When one has ended by
 * that the descriptor becomes readable once more, for whoever waits for that one.
 */
extern void nauth_engine_move(NauthEngine *engine);

/*
 * When a handle that has not ended fails, or if nothing was begun with it
 * when the engine's descriptor is to become readable.
 */
extern void nauth_engine_due(NauthHandle *handle, int64_t deadline);

/*
 * Wait until anything happens to any handle, and move all on; at once if this
 * one has ended.  Raises an error for an interrupt, which leaves the handle fit
 * for nothing but nauth_engine_end.
 */
extern void nauth_engine_wait(NauthHandle *handle);

/* Destroy what was prepared, ended or not, and take the handle out. */
extern void nauth_engine_end(NauthHandle *handle);

/* policy.c: whether an address is one that is never connected to. */
extern bool nauth_engine_forbids(const struct sockaddr *address);

/*
 * policy.c: say what went wrong: what a callback found, else what this result means, if
 * it is not CURLE_OK.  True if another try may do better.
 */
extern bool nauth_engine_explain(const NauthHandle *handle, CURLcode code,
								 NauthError *error);

#endif							/* NAUTH_ENGINE_H */
