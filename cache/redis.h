/*-------------------------------------------------------------------------
 *
 * redis.h
 *	  Talking to a Redis, within deadlines.
 *
 * redis.c is the only file that includes hiredis, and this header shows
 * nothing of it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_REDIS_H
#define NAUTH_REDIS_H

#include "error.h"
#include "net/connection.h"

typedef struct NauthRedisOptions
{
	NauthConnectionId connection;
	const char *url;			/* as nauth_url_redis takes it */
	const char *user;			/* or NULL, like password */
	const char *password;
	int			timeout;		/* milliseconds, of one exchange */
} NauthRedisOptions;

/*
 * Ask Redis whether it is there and takes our password.  False with error set
 * if not.  Raises an error for an interrupt, or when the server has no
 * descriptor or memory left for a connection.
 */
extern bool nauth_redis_ping(const NauthRedisOptions *options, NauthError *error);

#endif							/* NAUTH_REDIS_H */
