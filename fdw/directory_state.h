/*-------------------------------------------------------------------------
 *
 * directory_state.h
 *	  State of a directory, for the files that make it work.
 *
 * directory.c asks and reads; ahead.c asks for what will be wanted next.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_DIRECTORY_STATE_H
#define NAUTH_DIRECTORY_STATE_H

#include "directory.h"
#include "spread.h"

/* The first pages of windows, and who was created last. */
#define AHEAD_MAX		(NAUTH_CONCURRENCY_MAX + 1)

/* How far a listing has come. */
typedef struct Position
{
	bool		begun;
	bool		last;			/* at its end */
	int			pages;			/* asked for, with those read again */
	char		cursor[NAUTH_CURSOR_MAX];	/* the page was asked for with it */
	char		next[NAUTH_CURSOR_MAX]; /* cursor of the next one */
	char		landmark[NAUTH_CURSOR_MAX]; /* an earlier cursor */
} Position;

/* A request begun in the background. */
typedef struct Ahead
{
	NauthCall  *call;			/* or NULL */
	bool		wanted;
} Ahead;

struct NauthDirectory
{
	const NauthOptions *options;
	NauthSettings settings;		/* of the options, with a token */
	NauthCache *cache;			/* or NULL */
	NauthHttp  *http;
	int64		budget;			/* microseconds of waiting that are left */
	NauthRequest request;		/* too large for the stack */
	MemoryContextCallback on_reset; /* wipes it */
	NauthError	error;
	int64		asked_at;		/* for the last reply, of nauth_clock() */
	Ahead		ahead[AHEAD_MAX];
	NauthCall  *current;		/* was among these; the last reply is its, or
								 * NULL */

	/* the listing */
	NauthQuery	query;
	NauthAhead	look_ahead;
	NauthSpread spread;
	NauthPage	page;
	Position	position;
	Position	before;			/* the last page */
};

/* ---- directory.c */

/*
 * Have a token for requests, where there is need for one; may wait.  False with
 * the error set if it cannot be had.
 */
extern bool nauth_directory_authorize(NauthDirectory *directory);

/* Write the request of a query into directory->request. */
extern void nauth_directory_write(NauthDirectory *directory, const NauthQuery *query, const char *cursor);

/*
 * Send a request to the provider.  True with a reply to be read; else the error is
 * set, and *missing says that it is the provider's answer for a user who does not
 * exist.
 */
extern bool nauth_directory_ask(NauthDirectory *directory, const NauthQuery *query, const char *cursor,
								NauthReply *reply, bool *missing);

/* Why a listing cannot go on to its next page, or NULL. */
extern const char *nauth_directory_obstacle(const Position *position);

/* ---- ahead.c */

/* The request in the background that is the one just written, or NULL. */
extern Ahead *nauth_ahead_find(NauthDirectory *directory);

/* Wait for the reply to it, which is on its way; the reply before it is done with. */
extern bool nauth_ahead_end(NauthDirectory *directory, Ahead *ahead, int64 deadline, NauthReply *reply);

/* Give up those that nobody wants any more, and want none. */
extern void nauth_ahead_clear(NauthDirectory *directory);

/* Want the request for the page at this cursor, if it was begun. */
extern void nauth_ahead_keep(NauthDirectory *directory, const char *cursor);

/* Begin to ask for what comes after the page that was read. */
extern void nauth_ahead_look(NauthDirectory *directory);

/* Whether more than the next page may be asked for, if the listing is large. */
extern bool nauth_ahead_may_spread(const NauthDirectory *directory);

/*
 * Find out when the youngest user was created, if that was asked.  A failure is
 * none of the listing, which goes on as before.
 */
extern void nauth_ahead_newest(NauthDirectory *directory);

#endif							/* NAUTH_DIRECTORY_STATE_H */
