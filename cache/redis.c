/*-------------------------------------------------------------------------
 *
 * redis.c
 *	  Talking to a Redis, within deadlines.
 *
 * Commands become bytes and bytes replies in exchange.c; they travel through
 * net/stream.c, since the connections of Redis's own library cannot be
 * cancelled.  A connection is kept only while it is in step: all that was asked
 * has been answered, and nothing else has come.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cache/exchange.h"
#include "miscadmin.h"
#include "net/stream.h"
#include "net/url.h"
#include "utils/memutils.h"
#include "wait.h"

#define RECEIVE_BUFFER	(32 * 1024)

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
	{"ERR AUTH ", NAUTH_ERROR_CREDENTIAL, "it has no password, but was sent one"},
	{"ERR Client sent AUTH", NAUTH_ERROR_CREDENTIAL, "it has no password, but was sent one"},
	{"LOADING", NAUTH_ERROR_UNAVAILABLE, "it is loading its data"},
	{"MASTERDOWN", NAUTH_ERROR_UNAVAILABLE, "it is a replica without a master"},
	{"CLUSTERDOWN", NAUTH_ERROR_UNAVAILABLE, "its cluster is down"},
	{"TRYAGAIN", NAUTH_ERROR_UNAVAILABLE, "its cluster is moving keys"},
	{"BUSY ", NAUTH_ERROR_UNAVAILABLE, "it is running a script"},
	{"ERR max number of clients", NAUTH_ERROR_UNAVAILABLE, "it has as many clients as it takes"},
	{"DENIED", NAUTH_ERROR_UNAVAILABLE, "its protected mode denies this address"},
	{"READONLY", NAUTH_ERROR_READ_ONLY, "it is a replica"},
	{"OOM", NAUTH_ERROR_READ_ONLY, "it uses as much memory as it may"},
	{"MISCONF", NAUTH_ERROR_READ_ONLY, "it cannot save its data"},
	{"NOREPLICAS", NAUTH_ERROR_READ_ONLY, "it has too few replicas"},
	{"MOVED", NAUTH_ERROR_REFUSED, "it is a node of a cluster that keeps this key elsewhere"},
	{"ASK ", NAUTH_ERROR_REFUSED, "it is a node of a cluster that keeps this key elsewhere"},
	{"CROSSSLOT", NAUTH_ERROR_REFUSED, "it is a node of a cluster that keeps these keys apart"},
	{"WRONGTYPE", NAUTH_ERROR_REFUSED, "a key holds something of another type"},
	/* the last one stands for all others */
	{"ERR", NAUTH_ERROR_REFUSED, "it refused a command"},
};

typedef struct Redis
{
	NauthStream *stream;
	bool		ready;			/* connected and let in */
} Redis;

/* An exchange on its way through nauth_connection_use. */
typedef struct RedisRun
{
	NauthRedisExchange *exchange;
	const NauthRedisOptions *options;
	NauthRedisAddress address;
	int64_t		deadline;
	NauthError *error;
	bool		again;			/* the kept connection was closed meanwhile */
} RedisRun;

static void *
redis_open(void)
{
	Redis	   *redis = palloc0(sizeof(Redis));

	redis->stream = nauth_stream_open();
	return redis->stream ? redis : NULL;
}

static void
redis_close(void *handle)
{
	nauth_stream_close(((Redis *) handle)->stream);
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

/*
 * Set error to what the first no means; returns the command it answers, or -1.
 * EXEC may only repeat a reason.
 */
static int
explain_refusal(const NauthRedisExchange *exchange, NauthError *error)
{
	static const char discarded[] = "EXECABORT Transaction discarded because of: ";
	char		code[NAUTH_ERROR_CODE];
	size_t		i = 0;
	int			command;
	const char *text = nauth_exchange_refusal(exchange, &command);

	if (text == NULL)
		return -1;
	if (strncmp(text, discarded, strlen(discarded)) == 0)
		text += strlen(discarded);
	strlcpy(code, text, Min(strcspn(text, " ") + 1, sizeof(code)));
	while (i < lengthof(refusals) - 1 && strncmp(text, refusals[i].code, strlen(refusals[i].code)) != 0)
		i++;
	nauth_error_set_code(error, code);
	nauth_error_set(error, refusals[i].kind, refusals[i].reason);
	return command;
}

static bool
receive(Redis *redis, NauthRedisExchange *exchange, RedisRun *run)
{
	char		buffer[RECEIVE_BUFFER];
	size_t		len;

	/* what comes fast is never waited for */
	CHECK_FOR_INTERRUPTS();
	if (nauth_clock() >= run->deadline)
		return nauth_error_set(run->error, NAUTH_ERROR_TIMEOUT, "no complete reply came in time");
	if (!nauth_stream_receive(redis->stream, buffer, sizeof(buffer), &len,
							  run->deadline, run->error))
		return false;
	run->again = false;
	return nauth_exchange_read(exchange, buffer, len, run->error);
}

/*
 * Send the commands and receive all replies.  True if the connection is in step
 * then, though Redis may have said no, which is in run->error.
 */
static bool
transact(Redis *redis, NauthRedisExchange *exchange, RedisRun *run)
{
	NauthError *error = run->error;
	NauthSpan	bytes;
	bool		in_step;

	if (!nauth_exchange_begin(exchange, error) ||
		!nauth_exchange_write(exchange, &bytes, error))
		return false;
	in_step = nauth_stream_send(redis->stream, bytes.data, bytes.len, run->deadline, error);
	nauth_exchange_forget_bytes(exchange);
	while (in_step && !nauth_exchange_complete(exchange))
		in_step = receive(redis, exchange, run);

	/* a no may be the last word of a Redis, and says more than its silence */
	if (in_step || error->kind == NAUTH_ERROR_TRANSFER || error->kind == NAUTH_ERROR_UNREADABLE)
		(void) explain_refusal(exchange, error);
	return in_step;
}

/*
 * Tell a new connection who we are and which database we mean, before anything
 * else is sent: it would be done as somebody else, or elsewhere.
 */
static bool
introduce(Redis *redis, RedisRun *run)
{
	const NauthRedisOptions *options = run->options;
	char		database[12];
	MemoryContext cxt;
	MemoryContext old;
	NauthRedisExchange *exchange;
	bool		let_in;

	if (options->password == NULL && run->address.database == 0)
		return true;

	/* goes with the connection, lest an error leave the password behind */
	cxt = AllocSetContextCreate(GetMemoryChunkContext(redis), "neon_auth_fdw introduction",
								ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	exchange = nauth_redis_exchange();
	MemoryContextSwitchTo(old);
	if (options->password)
	{
		nauth_redis_command(exchange, NAUTH_REDIS_OK, "AUTH");
		if (options->user)
			nauth_redis_word(exchange, options->user, strlen(options->user));
		nauth_redis_word(exchange, options->password, strlen(options->password));
	}
	if (run->address.database != 0)
	{
		snprintf(database, sizeof(database), "%d", run->address.database);
		nauth_redis_command(exchange, NAUTH_REDIS_OK, "SELECT", database);
	}
	let_in = transact(redis, exchange, run) && run->error->kind == NAUTH_OK;
	/* any other no to AUTH is about what we sent */
	if (run->error->kind == NAUTH_ERROR_REFUSED && options->password &&
		explain_refusal(exchange, run->error) == 0)
		nauth_error_set(run->error, NAUTH_ERROR_CREDENTIAL, "it did not accept user and password");
	MemoryContextDelete(cxt);
	return let_in;
}

static bool
perform(void *handle, void *arg)
{
	Redis	   *redis = handle;
	RedisRun   *run = arg;
	bool		in_step;

	run->again = redis->ready;
	if (redis->ready && !nauth_stream_quiet(redis->stream))
		return nauth_error_set(run->error, NAUTH_ERROR_TRANSFER, "the connection was closed");
	if (!redis->ready)
		redis->ready = nauth_stream_connect(redis->stream, &run->address, run->deadline, run->error) &&
			introduce(redis, run);
	in_step = redis->ready && transact(redis, run->exchange, run);
	run->again = run->again && !in_step && run->error->kind == NAUTH_ERROR_TRANSFER;
	return in_step;
}

bool
nauth_redis_run(NauthRedisExchange *exchange, const NauthRedisOptions *options, NauthError *error)
{
	RedisRun	run = {
		.exchange = exchange,
		.options = options,
		.deadline = nauth_clock() + options->timeout * INT64CONST(1000),
		.error = error,
	};

	memset(error, 0, sizeof(*error));
	if (!nauth_url_check_redis(options->url, &run.address, error))
		return false;
	do
	{
		memset(error, 0, sizeof(*error));
		(void) nauth_connection_use(&options->connection, &redis_connection, perform, &run);
	} while (run.again);
	if (error->kind != NAUTH_OK)
		nauth_exchange_forget_replies(exchange);
	return error->kind == NAUTH_OK;
}

static bool
send_last(void *handle, void *arg)
{
	Redis	   *redis = handle;
	NauthSpan  *bytes = arg;

	if (redis->ready)
		nauth_stream_send_now(redis->stream, bytes->data, bytes->len);
	return false;
}

void
nauth_redis_send_last(NauthRedisExchange *exchange, const NauthRedisOptions *options)
{
	NauthError	error = {0};
	NauthSpan	bytes;

	if (nauth_exchange_write(exchange, &bytes, &error))
		nauth_connection_use_last(&options->connection, &redis_connection, send_last, &bytes);
	nauth_exchange_forget_bytes(exchange);
}

bool
nauth_redis_ping(const NauthRedisOptions *options, NauthError *error)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "neon_auth_fdw ping",
											  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	NauthRedisExchange *exchange = nauth_redis_exchange();
	bool		answered;

	MemoryContextSwitchTo(old);
	nauth_redis_command(exchange, NAUTH_REDIS_PONG, "PING");
	answered = nauth_redis_run(exchange, options, error);
	MemoryContextDelete(cxt);
	return answered;
}
