/*-------------------------------------------------------------------------
 *
 * redis_fuzz.c
 *	  Fuzz the reader of what a Redis answers.
 *
 * The first byte of an input chooses the commands, the second in what pieces the
 * rest of it, the reply, arrives.  Whatever that is, the reader ends with all
 * commands answered in their form, or an error; and in pieces of any size it comes
 * to the same.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cache/exchange.h"
#include "server.h"

#define FIELDS	3

typedef enum Outcome
{
	MORE,						/* is to come */
	COMPLETE,
	FAILED
} Outcome;

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
	if (!holds)
		abort();
}

/* Ask as the cache does: one command of a form, all of them, or a transaction. */
static void
write_commands(NauthRedisExchange *exchange, uint8_t choice)
{
	int			form = choice % 8;
	bool		multi = form == 7;

	if (multi)
		nauth_redis_multi(exchange);
	for (int i = 0; i <= NAUTH_REDIS_PONG; i++)
	{
		if (form <= NAUTH_REDIS_PONG && i != form)
			continue;
		nauth_redis_command(exchange, i, "WORD", "key");
		for (int field = 0; i == NAUTH_REDIS_TEXTS && field < FIELDS; field++)
			nauth_redis_field(exchange, "field");
	}
	if (multi)
		nauth_redis_exec(exchange);
}

/* Look at everything that a caller may look at. */
static unsigned
sum_up(const NauthRedisExchange *exchange, int commands)
{
	unsigned	sum = 0;

	for (int i = -1; i <= commands; i++)
	{
		sum += nauth_redis_done(exchange, i) + (unsigned) nauth_redis_integer(exchange, i);
		for (int number = -1; number <= FIELDS; number++)
		{
			NauthSpan	text = nauth_redis_text(exchange, i, number);

			for (size_t k = 0; text.data != NULL && k < text.len; k++)
				sum = sum * 31 + (unsigned char) text.data[k];
		}
	}
	return sum;
}

static Outcome
read_reply(uint8_t choice, const uint8_t *data, size_t size, size_t piece, unsigned *sum)
{
	NauthRedisExchange *exchange = nauth_redis_exchange();
	NauthError	error = {0};
	NauthSpan	bytes;
	Outcome		outcome = MORE;
	bool		read = true;
	int			refused;

	write_commands(exchange, choice);
	check(nauth_exchange_write(exchange, &bytes, &error) && bytes.len > 0);
	nauth_exchange_forget_bytes(exchange);
	check(nauth_exchange_begin(exchange, &error));
	for (size_t at = 0; outcome == MORE && at < size; at += piece)
	{
		read = nauth_exchange_read(exchange, (const char *) data + at, Min(piece, size - at), &error);
		if (!read)
			outcome = FAILED;
		else if (nauth_exchange_complete(exchange))
			outcome = at + piece >= size ? COMPLETE : FAILED;
	}
	check(read == (error.kind == NAUTH_OK));
	(void) nauth_exchange_refusal(exchange, &refused);
	*sum = outcome == COMPLETE ? sum_up(exchange, NAUTH_REDIS_COMMANDS) : 0;
	return outcome;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned	whole;
	unsigned	parts;

	if (size < 2)
		return 0;
	check(read_reply(data[0], data + 2, size - 2, size, &whole) ==
		  read_reply(data[0], data + 2, size - 2, (size_t) data[1] % 32 + 1, &parts) && whole == parts);
	fuzz_reset();
	return 0;
}
