/*-------------------------------------------------------------------------
 *
 * redis.h
 *	  Talking to a Redis, within deadlines.
 *
 * An exchange is some commands sent at once and their replies.  Each command
 * says what form its reply has, so that whoever reads it need not check again.
 * What becomes of commands and replies is in exchange.c, the only file that
 * includes hiredis; redis.c carries them.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_REDIS_H
#define NAUTH_REDIS_H

#include "error.h"
#include "net/connection.h"
#include "slice.h"

/* Bounds of an exchange. */
#define NAUTH_REDIS_COMMANDS	12
#define NAUTH_REDIS_WORDS		40	/* of one command */
#define NAUTH_REDIS_VALUES		64	/* in all replies */
#define NAUTH_REDIS_REPLY_MAX	(64 * 1024 * 1024)	/* bytes of all replies */

typedef struct NauthRedisOptions
{
	NauthConnectionId connection;
	const char *url;			/* as nauth_url_redis takes it */
	const char *user;			/* or NULL, like password */
	const char *password;
	int			timeout;		/* milliseconds, of one exchange */
} NauthRedisOptions;

/* What a command is answered with, unless with an error. */
typedef enum NauthRedisForm
{
	NAUTH_REDIS_OK,				/* status OK */
	NAUTH_REDIS_OK_OR_NIL,		/* the same, or nil: SET ... NX */
	NAUTH_REDIS_INTEGER,
	NAUTH_REDIS_TEXT,			/* bytes, or nil */
	NAUTH_REDIS_TEXTS,			/* as many of these as were asked for: HMGET */
	NAUTH_REDIS_PONG,			/* status PONG */
	NAUTH_REDIS_QUEUED,			/* this and the next are not for callers */
	NAUTH_REDIS_EXEC
} NauthRedisForm;

typedef struct NauthRedisExchange NauthRedisExchange;

/*
 * Make one in the current memory context, which also owns the replies.  It can
 * be used for one exchange after another.
 */
extern NauthRedisExchange *nauth_redis_exchange(void);

/* Begin anew: no commands, and the replies of the last run are gone. */
extern void nauth_redis_reset(NauthRedisExchange *exchange);

/*
 * Add a command of these words, strings, and return its number.  Words must
 * live until the exchange is run.  With TEXTS, as many are expected as there
 * are calls of nauth_redis_field.
 */
#define nauth_redis_command(exchange, form, ...) \
	nauth_redis_command_words(exchange, form, (const char *const[]) {__VA_ARGS__, NULL})
extern int	nauth_redis_command_words(NauthRedisExchange *exchange, NauthRedisForm form,
									  const char *const *words);

/* Add a word to the last command. */
extern void nauth_redis_word(NauthRedisExchange *exchange, const char *data, size_t len);

/* Add a word to the last command that names one more of the texts wanted. */
extern void nauth_redis_field(NauthRedisExchange *exchange, const char *field);

/*
 * Commands between these two are done by Redis all at once or, if one cannot
 * be, mostly none.  Their replies are as without.
 */
extern void nauth_redis_multi(NauthRedisExchange *exchange);
extern void nauth_redis_exec(NauthRedisExchange *exchange);

/*
 * Send the commands and receive the replies.  False with error set if Redis
 * could not be asked, said no to one of them, or what came is no such reply.
 * Raises an error for an interrupt, or when the server has no descriptor or
 * memory left for a connection.
 */
extern bool nauth_redis_run(NauthRedisExchange *exchange, const NauthRedisOptions *options,
							NauthError *error);

/* Replies after nauth_redis_run, by number of command; valid until the next. */
extern bool nauth_redis_done(const NauthRedisExchange *exchange, int command);	/* OK, not nil */
extern int64_t nauth_redis_integer(const NauthRedisExchange *exchange, int command);

/* A text, from 0 of TEXTS; data is NULL for nil.  Its bytes may be changed. */
extern NauthSpan nauth_redis_text(const NauthRedisExchange *exchange, int command, int number);

/*
 * Send commands whose replies nobody will read, if a connection is kept and not
 * in use, as far as that can be done without waiting; the connection is then
 * closed.  Never raises an error, so that a memory context's reset callback may
 * call it, if exchange and words are of that context and older than the
 * callback.
 */
extern void nauth_redis_send_last(NauthRedisExchange *exchange, const NauthRedisOptions *options);

/*
 * Ask Redis whether it is there and takes our password.  False with error set
 * if not; raises errors as nauth_redis_run does.
 */
extern bool nauth_redis_ping(const NauthRedisOptions *options, NauthError *error);

#endif							/* NAUTH_REDIS_H */
