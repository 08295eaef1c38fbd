/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  Commands for a Redis as bytes, and its replies from bytes.
 *
 * hiredis is a codec here, and this is the only file that includes it.  Its
 * reader calls the on_... functions, which keep what was read in memory of
 * malloc and neither palloc nor ereport.  What Redis says is not trusted:
 * replies are bounded, and must have the form that their command says.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <hiredis/hiredis.h>

#include "cache/exchange.h"
#include "utils/memutils.h"

/* With two pairs of MULTI and EXEC. */
#define COMMANDS_MAX	(NAUTH_REDIS_COMMANDS + 4)

/* Each reply, and each one in that of EXEC, may have one more value than texts. */
#define VALUES_MAX		(NAUTH_REDIS_VALUES + 2 * COMMANDS_MAX)

/* Bytes of all replies without texts, and those kept of an error or a status. */
#define SHORT_REPLIES	4096
#define MESSAGE_MAX		128

/* Bytes around a word of a command. */
#define WORD_OVERHEAD	32

static const struct
{
	int			type;
	const char *status;			/* of that type */
	bool		or_nil;
	bool		large;
}			forms[] = {
	[NAUTH_REDIS_OK] = {REDIS_REPLY_STATUS, "OK", false, false},
	[NAUTH_REDIS_OK_OR_NIL] = {REDIS_REPLY_STATUS, "OK", true, false},
	[NAUTH_REDIS_INTEGER] = {REDIS_REPLY_INTEGER, NULL, false, false},
	[NAUTH_REDIS_TEXT] = {REDIS_REPLY_STRING, NULL, true, true},
	[NAUTH_REDIS_TEXTS] = {REDIS_REPLY_ARRAY, NULL, false, true},
	[NAUTH_REDIS_PONG] = {REDIS_REPLY_STATUS, "PONG", false, false},
	[NAUTH_REDIS_QUEUED] = {REDIS_REPLY_STATUS, "QUEUED", false, false},
	[NAUTH_REDIS_EXEC] = {REDIS_REPLY_ARRAY, NULL, false, false},
};

static const char no_memory[] = "out of memory";

typedef struct RedisCommand
{
	NauthRedisForm form;
	bool		queued;			/* between MULTI and EXEC */
	int			first;			/* EXEC: the first command that was queued */
	int			texts;			/* TEXTS: how many */
	int			count;			/* of words */
	const char *words[NAUTH_REDIS_WORDS];
	size_t		lengths[NAUTH_REDIS_WORDS];
	int			value;			/* of the reply, the first one of TEXTS; or -1 */
} RedisCommand;

/* A reply, or a part of one. */
typedef struct RedisValue
{
	int			type;			/* REDIS_REPLY_... */
	long long	number;			/* an integer, or elements of an array */
	char	   *text;			/* malloc'ed; an error or a status may be cut */
	size_t		len;
} RedisValue;

struct NauthRedisExchange
{
	MemoryContextCallback callback;
	int			count;
	RedisCommand commands[COMMANDS_MAX];
	int			wanted;			/* values in all replies */
	int			multi;			/* the first command queued, or -1 */
	bool		overfull;		/* more of anything than we have room for */
	char	   *bytes;			/* all commands, malloc'ed; may hold secrets */
	size_t		len;

	redisReader *reader;
	size_t		limit;			/* bytes of all replies, and those received */
	size_t		received;

	/* values as they came, an array before its elements */
	RedisValue	values[VALUES_MAX];
	int			held;
	int			checked;		/* of values held */
	int			answered;		/* commands */
	bool		unfit;			/* a callback refused what was read */
	int			refused;		/* the first command that was, or -1 */
	const char *refusal;
};

/* ---- Commands */

void
nauth_exchange_forget_bytes(NauthRedisExchange *exchange)
{
	if (exchange->bytes)
		explicit_bzero(exchange->bytes, exchange->len);
	free(exchange->bytes);
	exchange->bytes = NULL;
	exchange->len = 0;
}

static void
free_reader(NauthRedisExchange *exchange)
{
	if (exchange->reader)
		redisReaderFree(exchange->reader);
	exchange->reader = NULL;
}

void
nauth_exchange_forget_replies(NauthRedisExchange *exchange)
{
	free_reader(exchange);
	for (int i = 0; i < exchange->held; i++)
		free(exchange->values[i].text);
	for (int i = 0; i < exchange->count; i++)
		exchange->commands[i].value = -1;
	exchange->held = exchange->checked = exchange->answered = 0;
	exchange->limit = exchange->received = 0;
	exchange->unfit = false;
	exchange->refused = -1;
	exchange->refusal = NULL;
}

void
nauth_redis_reset(NauthRedisExchange *exchange)
{
	nauth_exchange_forget_bytes(exchange);
	nauth_exchange_forget_replies(exchange);
	exchange->count = 0;
	exchange->wanted = 0;
	exchange->multi = -1;
	exchange->overfull = false;
}

static void
reset_callback(void *arg)
{
	nauth_redis_reset(arg);
}

NauthRedisExchange *
nauth_redis_exchange(void)
{
	NauthRedisExchange *exchange = palloc0(sizeof(NauthRedisExchange));

	nauth_redis_reset(exchange);
	exchange->callback.func = reset_callback;
	exchange->callback.arg = exchange;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &exchange->callback);
	return exchange;
}

int
nauth_redis_command_words(NauthRedisExchange *exchange, NauthRedisForm form,
						  const char *const *words)
{
	RedisCommand *command;

	if (exchange->count == COMMANDS_MAX)
		exchange->overfull = true;
	else
		exchange->count++;
	command = &exchange->commands[exchange->count - 1];
	memset(command, 0, sizeof(*command));
	command->form = form;
	command->queued = exchange->multi >= 0 && form != NAUTH_REDIS_EXEC;
	command->value = -1;
	if (form != NAUTH_REDIS_TEXTS)
		exchange->wanted++;
	for (; *words; words++)
		nauth_redis_word(exchange, *words, strlen(*words));
	return exchange->count - 1;
}

void
nauth_redis_word(NauthRedisExchange *exchange, const char *data, size_t len)
{
	RedisCommand *command = &exchange->commands[exchange->count - 1];

	if (command->count == NAUTH_REDIS_WORDS)
	{
		exchange->overfull = true;
		return;
	}
	command->words[command->count] = data;
	command->lengths[command->count++] = len;
}

void
nauth_redis_field(NauthRedisExchange *exchange, const char *field)
{
	nauth_redis_word(exchange, field, strlen(field));
	exchange->commands[exchange->count - 1].texts++;
	exchange->wanted++;
}

void
nauth_redis_multi(NauthRedisExchange *exchange)
{
	exchange->multi = nauth_redis_command(exchange, NAUTH_REDIS_OK, "MULTI") + 1;
}

void
nauth_redis_exec(NauthRedisExchange *exchange)
{
	int			number = nauth_redis_command(exchange, NAUTH_REDIS_EXEC, "EXEC");

	Assert(exchange->multi >= 0);
	exchange->commands[number].first = exchange->multi;
	exchange->multi = -1;
}

bool
nauth_exchange_write(NauthRedisExchange *exchange, NauthSpan *bytes, NauthError *error)
{
	size_t		size = 1;

	nauth_exchange_forget_bytes(exchange);
	for (int i = 0; i < exchange->count; i++)
	{
		size += WORD_OVERHEAD;
		for (int word = 0; word < exchange->commands[i].count; word++)
			size += exchange->commands[i].lengths[word] + WORD_OVERHEAD;
	}
	if (exchange->overfull || exchange->wanted > NAUTH_REDIS_VALUES || size > NAUTH_REDIS_REPLY_MAX)
		return nauth_error_set(error, NAUTH_ERROR_REQUEST, "too much for one exchange");
	exchange->bytes = malloc(size);
	if (exchange->bytes == NULL)
		return nauth_error_set(error, NAUTH_ERROR_MEMORY, no_memory);
	for (int i = 0; i < exchange->count; i++)
	{
		RedisCommand *command = &exchange->commands[i];
		char	   *text;
		long long	len = redisFormatCommandArgv(&text, command->count, command->words, command->lengths);

		if (len < 0)
			return nauth_error_set(error, NAUTH_ERROR_MEMORY, no_memory);
		memcpy(exchange->bytes + exchange->len, text, len);
		exchange->len += len;
		explicit_bzero(text, len);
		redisFreeCommand(text);
	}
	bytes->data = exchange->bytes;
	bytes->len = exchange->len;
	return true;
}

/* ---- Replies: hiredis calls these; NULL makes it give up */

static void *
on_value(NauthRedisExchange *exchange, int type, long long number, const char *text, size_t len)
{
	RedisValue *value = &exchange->values[exchange->held];

	exchange->unfit = exchange->held == VALUES_MAX;
	if (exchange->unfit)
		return NULL;
	memset(value, 0, sizeof(*value));
	value->type = type;
	value->number = number;
	if (text)
	{
		value->len = type == REDIS_REPLY_STRING ? len : Min(len, MESSAGE_MAX);
		value->text = malloc(value->len + 1);
		if (value->text == NULL)
			return NULL;
		memcpy(value->text, text, value->len);
		value->text[value->len] = '\0';
	}
	exchange->held++;
	return value;
}

static void *
on_string(const redisReadTask *task, char *text, size_t len)
{
	return on_value(task->privdata, task->type, 0, text, len);
}

#if HIREDIS_MAJOR >= 1
static void *
on_array(const redisReadTask *task, size_t count)
#else
static void *
on_array(const redisReadTask *task, int count)
#endif
{
	NauthRedisExchange *exchange = task->privdata;

	/* no deeper than TEXTS in EXEC; a map or a push is no array to us */
	exchange->unfit = count > VALUES_MAX || task->type != REDIS_REPLY_ARRAY ||
		(task->parent && task->parent->parent);
	return exchange->unfit ? NULL : on_value(exchange, task->type, count, NULL, 0);
}

static void *
on_integer(const redisReadTask *task, long long number)
{
	return on_value(task->privdata, task->type, number, NULL, 0);
}

static void *
on_nil(const redisReadTask *task)
{
	/* the type of its task is that of what might have been there */
	return on_value(task->privdata, REDIS_REPLY_NIL, 0, NULL, 0);
}

/*
 * hiredis 1 reads numbers and truth values of later protocols without telling
 * us.  Then a value is missing where one is expected.
 */
static redisReplyObjectFunctions reply_functions = {
	.createString = on_string,
	.createArray = on_array,
	.createInteger = on_integer,
	.createNil = on_nil,
};

/* The next value, if it is of this form, or an error; else NULL. */
static const RedisValue *
take_value(NauthRedisExchange *exchange, NauthRedisForm form, bool or_error)
{
	const RedisValue *value = &exchange->values[exchange->checked];
	const char *status = forms[form].status;

	if (exchange->checked == exchange->held)
		return NULL;
	exchange->checked++;
	if ((value->type == REDIS_REPLY_ERROR && or_error) ||
		(value->type == REDIS_REPLY_NIL && forms[form].or_nil))
		return value;
	if (value->type != forms[form].type ||
		(status && (value->len != strlen(status) || memcmp(value->text, status, value->len) != 0)))
		return NULL;
	return value;
}

/* Check the values of one reply, or of one in that of EXEC. */
static bool
take_reply(NauthRedisExchange *exchange, int number, NauthRedisForm form)
{
	RedisCommand *command = &exchange->commands[number];
	const RedisValue *value = take_value(exchange, form, true);
	bool		fits = value != NULL;

	if (fits && value->type == REDIS_REPLY_ERROR)
	{
		if (exchange->refused < 0)
		{
			exchange->refused = number;
			exchange->refusal = value->text;
		}
		return true;
	}
	command->value = exchange->checked - 1;
	if (form == NAUTH_REDIS_TEXTS)
	{
		command->value++;
		fits = fits && value->number == command->texts;
		for (int i = 0; fits && i < command->texts; i++)
			fits = take_value(exchange, NAUTH_REDIS_TEXT, false) != NULL;
	}
	if (form == NAUTH_REDIS_EXEC)
	{
		fits = fits && value->number == number - command->first;
		for (int i = command->first; fits && i < number; i++)
			fits = take_reply(exchange, i, exchange->commands[i].form);
	}
	return fits;
}

bool
nauth_exchange_begin(NauthRedisExchange *exchange, NauthError *error)
{
	nauth_exchange_forget_replies(exchange);
	exchange->reader = redisReaderCreateWithFunctions(&reply_functions);
	if (exchange->reader == NULL)
		return nauth_error_set(error, NAUTH_ERROR_MEMORY, no_memory);
	exchange->reader->privdata = exchange;
	/* 0.14 asserts that it can replace its buffer */
	exchange->reader->maxbuf = 0;
	exchange->limit = SHORT_REPLIES;
	for (int i = 0; i < exchange->count; i++)
		if (forms[exchange->commands[i].form].large)
			exchange->limit = NAUTH_REDIS_REPLY_MAX;
	return true;
}

/* Take one reply that the reader has read completely. */
static bool
end_reply(NauthRedisExchange *exchange)
{
	int			number = exchange->answered++;
	const RedisCommand *command = &exchange->commands[number];

	return take_reply(exchange, number, command->queued ? NAUTH_REDIS_QUEUED : command->form) &&
		exchange->checked == exchange->held;
}

bool
nauth_exchange_read(NauthRedisExchange *exchange, const char *data, size_t len, NauthError *error)
{
	redisReader *reader = exchange->reader;
	void	   *reply;
	bool		fits = true;

	exchange->received += len;
	if (exchange->received > exchange->limit)
		return nauth_error_set(error, NAUTH_ERROR_TOO_LARGE, "the reply is too large");
	(void) redisReaderFeed(reader, data, len);
	do
	{
		reply = NULL;
		(void) redisReaderGetReply(reader, &reply);
		fits = reader->err == 0 && (reply == NULL || end_reply(exchange));
	} while (fits && reply && !nauth_exchange_complete(exchange));
	/* a NULL of ours it takes for a lack of memory, too */
	if (reader->err == REDIS_ERR_OOM && !exchange->unfit)
		return nauth_error_set(error, NAUTH_ERROR_MEMORY, no_memory);
	if (fits && !nauth_exchange_complete(exchange))
		return true;
	/* more than was asked for would answer the next command */
	if (!fits || reader->pos != reader->len)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the reply is not Redis's");
	free_reader(exchange);
	return true;
}

bool
nauth_exchange_complete(const NauthRedisExchange *exchange)
{
	return exchange->answered == exchange->count;
}

const char *
nauth_exchange_refusal(const NauthRedisExchange *exchange, int *command)
{
	*command = exchange->refused;
	return exchange->refusal;
}

/* ---- What callers take from the replies */

/* A value that a command was answered with, from 0 of TEXTS; NULL if there is none. */
static const RedisValue *
find_value(const NauthRedisExchange *exchange, int command, int number)
{
	const RedisCommand *asked;

	if (command < 0 || command >= exchange->count)
		return NULL;
	asked = &exchange->commands[command];
	if (asked->value < 0 || number < 0 || number >= Max(asked->texts, 1))
		return NULL;
	return &exchange->values[asked->value + number];
}

bool
nauth_redis_done(const NauthRedisExchange *exchange, int command)
{
	const RedisValue *value = find_value(exchange, command, 0);

	return value && value->type == REDIS_REPLY_STATUS;
}

int64_t
nauth_redis_integer(const NauthRedisExchange *exchange, int command)
{
	const RedisValue *value = find_value(exchange, command, 0);

	return value ? value->number : 0;
}

NauthSpan
nauth_redis_text(const NauthRedisExchange *exchange, int command, int number)
{
	const RedisValue *value = find_value(exchange, command, number);
	NauthSpan	text = {value ? value->text : NULL, value ? value->len : 0};

	return text;
}
