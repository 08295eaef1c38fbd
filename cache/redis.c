/*-------------------------------------------------------------------------
 *
 * redis.c
 *	  Talking to a Redis, within deadlines.
 *
 * hiredis is a codec here: it writes commands and reads replies, and the bytes
 * travel through net/stream.c, since its own connections cannot be cancelled.
 * What Redis says is not trusted: a reply is bounded, and one of another form
 * than the command has ends the connection.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <hiredis/hiredis.h>

#include "cache/redis.h"
#include "net/stream.h"
#include "net/url.h"
#include "wait.h"

/* Bytes of one reply; those we ask for are short. */
#define REPLY_MAX		4096
#define RECEIVE_BUFFER	1024
#define COMMAND_WORDS	3

/* A reply: a status, an error or a string; everything else is refused. */
typedef struct RedisReply
{
	int			type;			/* REDIS_REPLY_... */
	char		text[128];		/* its beginning */
} RedisReply;

typedef struct Redis
{
	NauthStream *stream;
	redisReader *reader;
	bool		ready;			/* connected and let in */
	char	   *command;		/* the last one, malloc'ed by hiredis */
	RedisReply	reply;
} Redis;

static const char not_redis[] = "the reply is not Redis's";

/* One exchange on its way through nauth_connection_use. */
typedef struct Exchange
{
	const NauthRedisOptions *options;
	NauthRedisAddress address;
	int64_t		deadline;
	NauthError *error;
	bool		kept;			/* on a connection that was open before */
} Exchange;

/* hiredis calls these; NULL makes it give up the reply. */
static void *
on_string(const redisReadTask *task, char *text, size_t len)
{
	RedisReply *reply = task->privdata;

	reply->type = task->type;
	len = Min(len, sizeof(reply->text) - 1);
	memcpy(reply->text, text, len);
	reply->text[len] = '\0';
	return reply;
}

#if HIREDIS_MAJOR >= 1
static void *
on_array(const redisReadTask *task, size_t count)
#else
static void *
on_array(const redisReadTask *task, int count)
#endif
{
	return NULL;
}

static void *
on_integer(const redisReadTask *task, long long value)
{
	return NULL;
}

static void *
on_nil(const redisReadTask *task)
{
	return NULL;
}

static redisReplyObjectFunctions reply_functions = {
	.createString = on_string,
	.createArray = on_array,
	.createInteger = on_integer,
	.createNil = on_nil,
};

static void
redis_close(void *handle)
{
	Redis	   *redis = handle;

	if (redis->stream)
		nauth_stream_close(redis->stream);
	if (redis->reader)
		redisReaderFree(redis->reader);
	free(redis->command);
}

static void *
redis_open(void)
{
	Redis	   *redis = palloc0(sizeof(Redis));

	redis->stream = nauth_stream_open();
	if (redis->stream == NULL)
		return NULL;
	redis->reader = redisReaderCreateWithFunctions(&reply_functions);
	if (redis->reader == NULL)
	{
		redis_close(redis);
		errno = ENOMEM;
		return NULL;
	}
	redis->reader->privdata = &redis->reply;
	return redis;
}

static int
redis_sockets(const void *handle)
{
	return nauth_stream_sockets(((const Redis *) handle)->stream);
}

static const NauthConnectionKind redis_connection = {
	.name = "redis",
	.open = redis_open,
	.close = redis_close,
	.sockets = redis_sockets,
};

static bool
send_command(Redis *redis, int count, const char **words, const Exchange *exchange)
{
	int			len;

	free(redis->command);
	redis->command = NULL;
	/* hiredis 1 has types of reply that it does not tell us about */
	memset(&redis->reply, 0, sizeof(redis->reply));
	len = redisFormatCommandArgv(&redis->command, count, words, NULL);
	if (len < 0)
		return nauth_error_set(exchange->error, NAUTH_ERROR_MEMORY, "out of memory");
	return nauth_stream_send(redis->stream, redis->command, len,
							 exchange->deadline, exchange->error);
}

static bool
receive_reply(Redis *redis, const Exchange *exchange)
{
	char		buffer[RECEIVE_BUFFER];
	size_t		total = 0;
	void	   *reply = NULL;

	while (reply == NULL)
	{
		size_t		len;

		if (!nauth_stream_receive(redis->stream, buffer, sizeof(buffer), &len,
								  exchange->deadline, exchange->error))
			return false;
		total += len;
		if (total > REPLY_MAX)
			return nauth_error_set(exchange->error, NAUTH_ERROR_TOO_LARGE, "the reply is too large");
		if (redisReaderFeed(redis->reader, buffer, len) != REDIS_OK ||
			redisReaderGetReply(redis->reader, &reply) != REDIS_OK)
			return nauth_error_set(exchange->error, NAUTH_ERROR_UNREADABLE, not_redis);
	}
	/* more than was asked for would answer the next command */
	if (redis->reader->pos != redis->reader->len)
		return nauth_error_set(exchange->error, NAUTH_ERROR_UNREADABLE, not_redis);
	return true;
}

/* Replies that say no, by how they begin. */
static const struct
{
	const char *code;
	NauthErrorKind kind;
	const char *reason;
}			refusals[] = {
	{"NOAUTH", NAUTH_ERROR_CREDENTIAL, "it asks for a password"},
	{"WRONGPASS", NAUTH_ERROR_CREDENTIAL, "it did not accept user and password"},
	{"NOPERM", NAUTH_ERROR_CREDENTIAL, "the user may not run this command"},
	{"LOADING", NAUTH_ERROR_UNAVAILABLE, "it is loading its data"},
	{"MASTERDOWN", NAUTH_ERROR_UNAVAILABLE, "it is a replica without a master"},
	{"BUSY ", NAUTH_ERROR_UNAVAILABLE, "it is running a script"},
	{"ERR max number of clients", NAUTH_ERROR_UNAVAILABLE, "it has as many clients as it takes"},
	{"DENIED", NAUTH_ERROR_UNAVAILABLE, "its protected mode denies this address"},
	/* the last one stands for all others */
	{"ERR", NAUTH_ERROR_REFUSED, "it refused a command"},
};

static bool
explain_refusal(const RedisReply *reply, NauthError *error)
{
	size_t		i = 0;
	char		code[NAUTH_ERROR_CODE];

	strlcpy(code, reply->text, Min(strcspn(reply->text, " ") + 1, sizeof(code)));
	while (i < lengthof(refusals) - 1 && strncmp(reply->text, refusals[i].code, strlen(refusals[i].code)) != 0)
		i++;
	nauth_error_set_code(error, code);
	return nauth_error_set(error, refusals[i].kind, refusals[i].reason);
}

/* Send a command that is answered by a status, and expect this one. */
static bool
command(Redis *redis, const Exchange *exchange, const char *expected,
		int count, const char **words)
{
	if (!send_command(redis, count, words, exchange) ||
		!receive_reply(redis, exchange))
		return false;
	if (redis->reply.type == REDIS_REPLY_ERROR)
		return explain_refusal(&redis->reply, exchange->error);
	if (redis->reply.type != REDIS_REPLY_STATUS || strcmp(redis->reply.text, expected) != 0)
		return nauth_error_set(exchange->error, NAUTH_ERROR_UNREADABLE, not_redis);
	return true;
}

/* Tell a new connection who we are and which database we mean. */
static bool
introduce(Redis *redis, const Exchange *exchange)
{
	const NauthRedisOptions *options = exchange->options;
	char		number[12];
	const char *words[COMMAND_WORDS] = {"AUTH"};
	int			count = 1;

	if (options->password)
	{
		if (options->user)
			words[count++] = options->user;
		words[count++] = options->password;
		if (!command(redis, exchange, "OK", count, words))
		{
			/* any other no to AUTH is about what we sent */
			if (exchange->error->kind == NAUTH_ERROR_REFUSED)
				nauth_error_set(exchange->error, NAUTH_ERROR_CREDENTIAL,
								"it did not accept user and password");
			return false;
		}
	}
	if (exchange->address.database == 0)
		return true;
	snprintf(number, sizeof(number), "%d", exchange->address.database);
	words[0] = "SELECT";
	words[1] = number;
	return command(redis, exchange, "OK", 2, words);
}

static bool
ping(void *handle, void *arg)
{
	Redis	   *redis = handle;
	Exchange   *exchange = arg;
	const char *words[COMMAND_WORDS] = {"PING"};

	exchange->kept = redis->ready;
	if (!redis->ready)
		redis->ready = nauth_stream_connect(redis->stream, &exchange->address,
											exchange->deadline, exchange->error) &&
			introduce(redis, exchange);
	return redis->ready && command(redis, exchange, "PONG", 1, words);
}

bool
nauth_redis_ping(const NauthRedisOptions *options, NauthError *error)
{
	Exchange	exchange = {
		.options = options,
		.deadline = nauth_clock() + options->timeout * INT64CONST(1000),
		.error = error,
	};
	bool		answered;

	memset(error, 0, sizeof(*error));
	if (!nauth_url_check_redis(options->url, &exchange.address, error))
		return false;

	/* a kept connection may have been closed at the other end: a new one then */
	do
	{
		memset(error, 0, sizeof(*error));
		answered = nauth_connection_use(&options->connection, &redis_connection, ping, &exchange);
	} while (!answered && exchange.kept && error->kind == NAUTH_ERROR_TRANSFER);
	return answered;
}
