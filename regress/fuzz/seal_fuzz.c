/*-------------------------------------------------------------------------
 *
 * seal_fuzz.c
 *	  Fuzz the opening of sealed elements.
 *
 * An input is taken for an element as it came from a Redis, which is never
 * genuine; and for a content, which is sealed and opened again, and is not once a
 * byte of the element differs, or its place.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "cache/seal.h"

static const NauthSpan secret = {"sk_test_x", 9};

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
	if (!holds)
		abort();
}

/* Open an element at a place; content has room for all of it. */
static NauthSealResult
open_at(const NauthSealKeys *keys, const char *where, const void *bytes, size_t size, char *content, size_t *len)
{
	NauthSealPlace place = {.place = where};
	NauthSpan	element = {bytes, size};

	return nauth_unseal(keys, &place, element, content, len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NauthSealPlace place = {.place = "here",.until = 1};
	NauthSealKeys keys;
	NauthSpan	input = {(const char *) data, size};
	char	   *content = malloc(size + 1);
	char	   *element = malloc(size + NAUTH_SEAL_OVERHEAD);
	size_t		sealed = size + NAUTH_SEAL_OVERHEAD;
	uint8_t		id[NAUTH_SEAL_ID];
	size_t		len;

	check(content != NULL && element != NULL && nauth_seal_derive(&secret, 1, &keys));
	check(open_at(&keys, "here", data, size, content, &len) != NAUTH_SEAL_OK && len == 0);
	(void) nauth_seal_read_id(input, id);

	check(nauth_seal(&keys, &place, (const char *) data, size, element));
	check(open_at(&keys, "here", element, sealed, content, &len) == NAUTH_SEAL_OK && len == size);
	check(memcmp(content, data, size) == 0);
	check(open_at(&keys, "elsewhere", element, sealed, content, &len) == NAUTH_SEAL_BROKEN && len == 0);
	if (size > 1)
	{
		element[(data[0] << 8 | data[1]) % sealed] ^= (char) (data[0] | 1);
		check(open_at(&keys, "here", element, sealed, content, &len) != NAUTH_SEAL_OK && len == 0);
	}
	free(content);
	free(element);
	return 0;
}
