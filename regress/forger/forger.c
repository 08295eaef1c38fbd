/*-------------------------------------------------------------------------
 *
 * forger.c
 *	  Opens and seals elements of the cache for tests: an attacker who has the
 *	  credential for the provider and may write to Redis.
 *
 *	  forger CREDENTIAL
 *
 * It reads a line for each thing to do and answers with a line of hexadecimal
 * digits, or "-" if it cannot.  Bytes are hexadecimal in both:
 *
 *	  open PLACE ELEMENT			the plain bytes of an element of this place
 *	  seal PLACE ELEMENT PLAIN LEN	an element with the header of that one, and these
 *									plain bytes, compressed, said to be so many
 *	  wrap PLACE ELEMENT CONTENT	the same with content that is sealed as it is
 *	  date PLACE ELEMENT UNTIL		the same content, good until then
 *
 * What of it makes sense is up to the test.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/codec.h"
#include "cache/seal.h"

#define WORDS	5

static NauthSealKeys keys;

/* What one line says, and what is made of it; kept from line to line. */
typedef struct Order
{
	const char *verb;
	NauthSealPlace place;
	NauthBytes	words[WORDS];	/* of the line, without digits */
	NauthBytes	content;		/* opened, or to be sealed */
	NauthBytes	answer;
} Order;

static int
read_digit(char digit)
{
	return digit <= '9' ? digit - '0' : digit - 'a' + 10;
}

static bool
read_hex(const char *text, NauthBytes *bytes)
{
	size_t		len = strlen(text) / 2;

	if (!nauth_bytes_reserve(bytes, len + 1))
		return false;
	for (size_t i = 0; i < len; i++)
		bytes->data[i] = (char) (read_digit(text[2 * i]) << 4 | read_digit(text[2 * i + 1]));
	bytes->data[len] = '\0';
	bytes->len = len;
	return true;
}

/* Into place and content, what is sealed in the element. */
static bool
open_element(Order *order)
{
	NauthSpan	element = {order->words[1].data, order->words[1].len};

	order->place.place = order->words[0].data;
	return nauth_bytes_reserve(&order->content, element.len + 1) &&
		nauth_unseal(&keys, &order->place, element, order->content.data, &order->content.len) == NAUTH_SEAL_OK;
}

static bool
seal_content(Order *order)
{
	order->answer.len = order->content.len + NAUTH_SEAL_OVERHEAD;
	return nauth_bytes_reserve(&order->answer, order->answer.len) &&
		nauth_seal(&keys, &order->place, order->content.data, order->content.len, order->answer.data);
}

static bool
decompress(Order *order)
{
	uint32_t	len;

	if (order->content.len < sizeof(len))
		return false;
	memcpy(&len, order->content.data, sizeof(len));
	if (len > NAUTH_CODEC_MAX || !nauth_bytes_reserve(&order->answer, len + 1))
		return false;
	order->answer.len = len;
	return LZ4_decompress_safe(order->content.data + sizeof(len), order->answer.data,
							   (int) (order->content.len - sizeof(len)), (int) len) == (int) len;
}

static bool
compress(Order *order, const NauthBytes *plain, uint32_t said)
{
	int			bound = LZ4_compressBound((int) plain->len);
	int			len;

	if (!nauth_bytes_reserve(&order->content, sizeof(said) + bound))
		return false;
	memcpy(order->content.data, &said, sizeof(said));
	len = LZ4_compress_default(plain->data, order->content.data + sizeof(said), (int) plain->len, bound);
	order->content.len = sizeof(said) + len;
	return true;
}

static bool
copy(NauthBytes *to, const NauthBytes *from)
{
	if (!nauth_bytes_reserve(to, from->len + 1))
		return false;
	memcpy(to->data, from->data, from->len);
	to->len = from->len;
	return true;
}

/* words is PLACE ELEMENT and what comes behind, number the last one as it is written. */
static bool
obey(Order *order, const char *number)
{
	if (!open_element(order))
		return false;
	if (strcmp(order->verb, "open") == 0)
		return decompress(order);
	if (strcmp(order->verb, "seal") == 0)
		return compress(order, &order->words[2], (uint32_t) strtoul(number, NULL, 10)) && seal_content(order);
	if (strcmp(order->verb, "wrap") == 0)
		return copy(&order->content, &order->words[2]) && seal_content(order);
	if (strcmp(order->verb, "date") == 0)
	{
		order->place.until = strtoll(number, NULL, 10);
		return seal_content(order);
	}
	return false;
}

static void
answer(const Order *order, bool done)
{
	if (!done)
		putchar('-');
	for (size_t i = 0; done && i < order->answer.len; i++)
		printf("%02x", (unsigned char) order->answer.data[i]);
	putchar('\n');
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	static Order order;
	NauthSpan	secret = {argv[argc - 1], strlen(argv[argc - 1])};
	char	   *line = NULL;
	size_t		capacity = 0;

	if (argc != 2 || !nauth_seal_derive(&secret, 1, &keys))
		return EXIT_FAILURE;
	while (getline(&line, &capacity, stdin) > 0)
	{
		const char *word = strtok(line, " \n");
		const char *number = "";
		bool		done = true;

		order.verb = word ? word : "";
		for (int i = 0; (word = strtok(NULL, " \n")) != NULL; i++)
		{
			done = done && i < WORDS && (i > 2 || read_hex(word, &order.words[i]));
			number = word;
		}
		answer(&order, done && obey(&order, number));
	}
	for (int i = 0; i < WORDS; i++)
		nauth_bytes_free(&order.words[i]);
	nauth_bytes_free(&order.content);
	nauth_bytes_free(&order.answer);
	free(line);
	return EXIT_SUCCESS;
}
