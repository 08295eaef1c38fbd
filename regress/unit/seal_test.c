/*-------------------------------------------------------------------------
 *
 * seal_test.c
 *	  Unit tests of names and sealing.
 *
 * The known answers were not made by seal.c: keys and names by "openssl kdf"
 * and "openssl mac", the element by Python's cryptography.  Elements of older
 * versions of us lie in Redis, so they may only change with the version.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include "cache/seal.h"

#define LARGE	(1024 * 1024)

/* More than anything here allocates. */
#define POINTS_MAX	1000

static const NauthSpan secrets[] = {{"sk_test_x", 9}, {"", 0}, {"ab", 2}};
static const NauthSpan parts[] = {{"clerk", 5}, {"https://api.clerk.com", 21}};
static const char known_name_key[] =
"43831a17a5b39a2fe8b83f567e4dd40f13b7c1e0ca3737749a4eb05237277760";
static const char known_seal_key[] =
"c8f3b082d9eeb907c1bca3464cae80416bf7e11bc2da25d738cba894886a3273";
static const char known_name[] = "7527cf2d773ddc6b63effcbf040f09b0";
static const char known_element[] =
"01000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f000649bf0322c740"
"202122232425262728292a2b79debe264aa7a29b28531ffa4565c143fff831e638";

/* What is sealed in known_element, and where. */
static const char known_content[] = "hello";
static const NauthSealPlace known_place = {
	"neon_auth:{d}:q 0",
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
	INT64_C(1769934600456000)
};

static NauthSealKeys keys;

/* Blocks that OpenSSL has, and how many more it gets; less than 0: any number. */
static int	blocks = 0;
static int	blocks_left = -1;

static void *
on_malloc(size_t size, const char *file, int line)
{
	(void) file;
	(void) line;
	if (blocks_left == 0)
		return NULL;
	if (blocks_left > 0)
		blocks_left--;
	blocks++;
	return malloc(size);
}

static void
on_free(void *block, const char *file, int line)
{
	(void) file;
	(void) line;
	if (block != NULL)
		blocks--;
	free(block);
}

static void *
on_realloc(void *block, size_t size, const char *file, int line)
{
	if (block == NULL)
		return on_malloc(size, file, line);
	if (size == 0)
	{
		on_free(block, file, line);
		return NULL;
	}
	return blocks_left == 0 ? NULL : realloc(block, size);
}

static void
write_hex(const void *bytes, size_t len, char *text)
{
	for (size_t i = 0; i < len; i++)
		sprintf(text + 2 * i, "%02x", ((const uint8_t *) bytes)[i]);
}

static NauthSpan
read_hex(const char *text)
{
	size_t		len = strlen(text) / 2;
	char	   *bytes = unit_allocate(len);
	NauthSpan	span = {bytes, len};

	for (size_t i = 0; i < len; i++)
	{
		unsigned int byte;

		sscanf(text + 2 * i, "%2x", &byte);
		bytes[i] = (char) byte;
	}
	return span;
}

/* Open a copy of the element, and wipe what came out of it. */
static NauthSealResult
unseal(const NauthSealKeys *with, const NauthSealPlace *at, NauthSpan element)
{
	NauthSpan	copy = unit_copy(element.data, element.len);
	char	   *content = unit_allocate(element.len);
	NauthSealPlace place = {.place = at->place};
	size_t		len;
	NauthSealResult result = nauth_unseal(with, &place, copy, content, &len);

	free(content);
	unit_free(copy);
	return result;
}

static void
test_known_answers(void)
{
	NauthSealPlace place = {.place = known_place.place};
	NauthSpan	element = read_hex(known_element);
	char		content[sizeof(known_element)];
	char		text[2 * NAUTH_SEAL_KEY + 1];
	char		name[NAUTH_SEAL_NAME];
	size_t		len;

	ok(nauth_seal_derive(secrets, 3, &keys), "keys are derived");
	write_hex(keys.name, NAUTH_SEAL_KEY, text);
	is_text(text, known_name_key, "the key for names");
	write_hex(keys.seal, NAUTH_SEAL_KEY, text);
	is_text(text, known_seal_key, "the key for seals");
	ok(nauth_seal_name(&keys, parts, 2, name), "a name is made");
	is_text(name, known_name, "the name");
	is_int(nauth_unseal(&keys, &place, element, content, &len), NAUTH_SEAL_OK, "an element opens");
	ok(len == strlen(known_content) && memcmp(content, known_content, len) == 0, "its content");
	ok(memcmp(place.generation, known_place.generation, NAUTH_SEAL_ID) == 0, "its generation");
	ok(memcmp(place.epoch, known_place.epoch, NAUTH_SEAL_ID) == 0, "its epoch");
	is_int(place.until, known_place.until, "its until");
	unit_free(element);
}

static void
test_round_trip(size_t len, const char *name)
{
	char	   *content = unit_allocate(len);
	char	   *element = unit_allocate(len + NAUTH_SEAL_OVERHEAD);
	char	   *again = unit_allocate(len + NAUTH_SEAL_OVERHEAD);
	NauthSpan	span = {element, len + NAUTH_SEAL_OVERHEAD};
	NauthSealPlace place = known_place;
	NauthSealPlace found = {.place = known_place.place};
	size_t		found_len = 1;

	place.until = -2;
	for (size_t i = 0; i < len; i++)
		content[i] = (char) (i * 7 + i / 256);
	ok(nauth_seal(&keys, &place, content, len, element), name);
	is_int(nauth_unseal(&keys, &found, span, again, &found_len), NAUTH_SEAL_OK, "and back");
	ok(found_len == len && memcmp(again, content, len) == 0, "the same content");
	ok(len < 16 || memcmp(element + NAUTH_SEAL_OVERHEAD - 16, content, len) != 0, "is not readable");
	is_int(found.until, -2, "nor is until lost");
	free(content);
	free(element);
	free(again);
}

/* Two seals of the same have no byte of the nonce in common but by chance. */
static void
test_nonce(void)
{
	char		first[5 + NAUTH_SEAL_OVERHEAD] = {0};
	char		second[5 + NAUTH_SEAL_OVERHEAD] = {0};

	ok(nauth_seal(&keys, &known_place, known_content, 5, first) &&
	   nauth_seal(&keys, &known_place, known_content, 5, second), "the same is sealed twice");
	ok(memcmp(first, second, 41) == 0, "under the same header");
	ok(memcmp(first + 41, second + 41, 12) != 0, "with another nonce");
	ok(memcmp(first + 53, second + 53, 5) != 0, "as other bytes");
}

static void
test_damage(void)
{
	NauthSpan	element = read_hex(known_element);
	NauthSpan	cut;
	char	   *bytes = (char *) element.data;
	char		content[sizeof(known_element)];
	NauthSealPlace place = known_place;
	size_t		len = 1;
	int			wrong = 0;

	for (size_t i = 0; i < element.len * 8; i++)
	{
		bytes[i / 8] ^= 1 << i % 8;
		wrong += unseal(&keys, &known_place, element) != (i < 8 ? NAUTH_SEAL_FOREIGN : NAUTH_SEAL_BROKEN);
		bytes[i / 8] ^= 1 << i % 8;
	}
	is_int(wrong, 0, "with any bit changed it does not open");
	cut.data = bytes;
	for (cut.len = 0; cut.len < element.len; cut.len++)
		wrong += unseal(&keys, &known_place, cut) !=
			(cut.len < NAUTH_SEAL_OVERHEAD ? NAUTH_SEAL_FOREIGN : NAUTH_SEAL_BROKEN);
	is_int(wrong, 0, "nor cut off anywhere");
	is_int(unseal(&keys, &known_place, element), NAUTH_SEAL_OK, "unchanged it does");

	memset(content, 'x', sizeof(content));
	bytes[element.len - 1] ^= 1;
	is_int(nauth_unseal(&keys, &place, element, content, &len), NAUTH_SEAL_BROKEN,
		   "one with a wrong tag");
	ok(memcmp(content, "\0\0\0\0\0xxx", 8) == 0 && len == 0, "leaves no content behind");
	unit_free(element);
}

/* An element that is written elsewhere, or whose header is taken for another's. */
static void
test_places(void)
{
	static const char *const places[] = {"", "neon_auth:{d}:q 1", "neon_auth:{d}:q ",
	"neon_auth:{d}:q 00"};
	NauthSpan	element = read_hex(known_element);
	NauthSealPlace place = known_place;
	NauthSealPlace peeked;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
	{
		place.place = places[i];
		is_int(unseal(&keys, &place, element), NAUTH_SEAL_BROKEN, "another place");
	}
	for (int at = 1; at <= 33; at += 16)
	{
		((char *) element.data)[at] ^= 1;
		ok(nauth_seal_peek(element, &peeked), "a header can be read, true or not");
		is_int(unseal(&keys, &known_place, element), NAUTH_SEAL_BROKEN,
			   at == 1 ? "another generation" : at == 17 ? "another epoch" : "another until");
		((char *) element.data)[at] ^= 1;
	}
	element.len = NAUTH_SEAL_OVERHEAD - 1;
	ok(!nauth_seal_peek(element, &peeked), "too short to be one");
	element.len = 0;
	ok(!nauth_seal_peek(element, &peeked), "nothing");
	unit_free(element);
}

/* Keys of other secrets, the parts in other pieces among them. */
static void
test_keys(void)
{
	static const NauthSpan other[][3] = {
		{{"sk_test_x", 9}, {"a", 1}, {"b", 1}},
		{{"sk_test_x", 9}, {"ab", 2}, {"", 0}},
		{{"sk_test_xa", 10}, {"", 0}, {"b", 1}},
		{{"sk_test_y", 9}, {"", 0}, {"ab", 2}},
	};
	NauthSpan	element = read_hex(known_element);
	NauthSealKeys others;
	char		name[NAUTH_SEAL_NAME];

	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
	{
		ok(nauth_seal_derive(other[i], 3, &others), "keys of another credential");
		is_int(unseal(&others, &known_place, element), NAUTH_SEAL_BROKEN, "do not open it");
		ok(nauth_seal_name(&others, parts, 2, name) && strcmp(name, known_name) != 0,
		   "and make other names");
	}
	ok(nauth_seal_derive(secrets, 2, &others) && memcmp(&others, &keys, sizeof(keys)) != 0,
	   "nor do those of fewer secrets");
	ok(memcmp(keys.name, keys.seal, NAUTH_SEAL_KEY) != 0, "no key serves for both");
	unit_free(element);
}

static void
test_names(void)
{
	static const struct
	{
		int			count;
		NauthSpan	parts[3];
	}			cases[] = {
		{2, {{"ab", 2}, {"c", 1}}},
		{2, {{"a", 1}, {"bc", 2}}},
		{1, {{"abc", 3}}},
		{3, {{"ab", 2}, {"c", 1}, {NULL, 0}}},
		{3, {{"", 0}, {"ab", 2}, {"c", 1}}},
		{2, {{"c", 1}, {"ab", 2}}},
		{1, {{"", 0}}},
		{0, {{NULL, 0}}},
	};
	char		names[8][NAUTH_SEAL_NAME];

	for (int i = 0; i < 8; i++)
	{
		bool		differs = nauth_seal_name(&keys, cases[i].parts, cases[i].count, names[i]);

		for (int j = 0; j < i; j++)
			differs = differs && strcmp(names[i], names[j]) != 0;
		ok(differs && strlen(names[i]) == NAUTH_SEAL_NAME - 1, "a name of its own");
	}
}

static void
test_ids(void)
{
	static const char *const refused[] = {
		"", "0", "00112233445566778899aabbccddeef", "00112233445566778899aabbccddeeff0",
		"00112233445566778899AABBCCDDEEFF", "00112233445566778899aabbccddeefg",
		" 0112233445566778899aabbccddeeff", "0x112233445566778899aabbccddeeff",
	};
	static const char text[] = "00112233445566778899aabbccddeeff";
	NauthSpan	span = unit_copy(text, strlen(text));
	uint8_t		id[NAUTH_SEAL_ID];
	uint8_t		other[NAUTH_SEAL_ID] = {0};
	char		again[NAUTH_SEAL_NAME];

	ok(nauth_seal_read_id(span, id), "an id is read");
	nauth_seal_write_id(id, again);
	is_text(again, text, "and written");
	((char *) span.data)[7] = '\0';
	ok(!nauth_seal_read_id(span, other), "one with a zero byte is none");
	unit_free(span);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
	{
		span = unit_copy_text(refused[i]);
		ok(!nauth_seal_read_id(span, other), refused[i]);
		unit_free(span);
	}
	ok(nauth_seal_random(id, sizeof(id)) && nauth_seal_random(other, sizeof(other)) &&
	   memcmp(id, other, sizeof(id)) != 0, "two random ids differ");
}

/* Everything once; whether it went well, and what was said of the element. */
static bool
do_all(NauthSealResult *result)
{
	char		element[5 + NAUTH_SEAL_OVERHEAD];
	NauthSpan	known = read_hex(known_element);
	NauthSealKeys derived;
	char		name[NAUTH_SEAL_NAME];
	uint8_t		id[NAUTH_SEAL_ID];
	bool		done = nauth_seal_random(id, sizeof(id));

	done = nauth_seal_derive(secrets, 3, &derived) && done;
	done = nauth_seal_name(&keys, parts, 2, name) && done;
	done = nauth_seal(&keys, &known_place, known_content, 5, element) && done;
	*result = unseal(&keys, &known_place, known);
	unit_free(known);
	return done && *result == NAUTH_SEAL_OK;
}

/* OpenSSL without memory from some point on, and its queue of errors. */
static void
test_no_memory(void)
{
	NauthSealResult result;
	unsigned long error;
	int			before;
	int			wrong = 0;
	bool		done = false;
	int			point = 0;

	BIO_free(BIO_new_mem_buf(NULL, 1));
	error = ERR_peek_last_error();
	ok(error != 0, "there is an error of somebody else");
	before = blocks;
	for (; !done && point < POINTS_MAX; point++)
	{
		blocks_left = point;
		done = do_all(&result);
		blocks_left = -1;
		wrong += result != NAUTH_SEAL_OK && result != NAUTH_SEAL_MEMORY;
		wrong += ERR_peek_error() != error || ERR_peek_last_error() != error;
		wrong += blocks != before;
	}
	ok(done && point > 2, "memory can fail");
	is_int(wrong, 0, "that is told as such, leaks nothing, and leaves no error behind");
	result = unseal(&keys, &known_place, parts[1]);
	ok(do_all(&result) && ERR_get_error() == error && ERR_get_error() == 0,
	   "nor does anything else");
}

int
main(void)
{
	if (CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free) != 1)
		printf("Bail out! OpenSSL was in use before\n");
	test_known_answers();
	test_round_trip(0, "nothing is sealed");
	test_round_trip(1, "one byte is sealed");
	test_round_trip(LARGE, "1 MB is sealed");
	test_nonce();
	test_damage();
	test_places();
	test_keys();
	test_names();
	test_ids();
	test_no_memory();
	return done_testing();
}
