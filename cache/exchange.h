/*-------------------------------------------------------------------------
 *
 * exchange.h
 *	  Commands for a Redis as bytes, and its replies from bytes.
 *
 * The half of an exchange (redis.h) that does no I/O; redis.c is the other.
 * Whoever uses a Redis does without this header.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_EXCHANGE_H
#define NAUTH_EXCHANGE_H

#include "cache/redis.h"

/*
 * Write all commands into one piece of memory, which may hold secrets: it is to
 * be forgotten as soon as it was sent, which also overwrites it.  False with
 * error set when they are too much, or there is no memory.
 */
extern bool nauth_exchange_write(NauthRedisExchange *exchange, NauthSpan *bytes, NauthError *error);
extern void nauth_exchange_forget_bytes(NauthRedisExchange *exchange);

/*
 * Begin to read: replies read so far are forgotten.  False with error set: no
 * memory.
 */
extern bool nauth_exchange_begin(NauthRedisExchange *exchange, NauthError *error);

/*
 * Read bytes as they come.  False with error set when there are too many, or no
 * memory, or they are no replies to these commands: then nothing more on this
 * connection makes sense.
 */
extern bool nauth_exchange_read(NauthRedisExchange *exchange, const char *data, size_t len,
								NauthError *error);

extern void nauth_exchange_forget_replies(NauthRedisExchange *exchange);

/* Whether all commands were answered, if only with an error. */
extern bool nauth_exchange_complete(const NauthRedisExchange *exchange);

/*
 * How the first error among the replies begins, and which command it answers;
 * NULL if there is none.
 */
extern const char *nauth_exchange_refusal(const NauthRedisExchange *exchange, int *command);

#endif							/* NAUTH_EXCHANGE_H */
