/*-------------------------------------------------------------------------
 *
 * jsonb_test.c
 *	  Unit tests of the check of jsonb bytes.
 *
 * The fixtures are what PostgreSQL wrote, on a little-endian machine; see
 * fixtures/jsonb/make.sql.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "jsonb_unit.h"

#define LENGTH(array)	(sizeof(array) / sizeof((array)[0]))

static const char *const fixtures[] = {
	"scalar_null", "scalar_true", "scalar_text", "scalar_text_empty", "scalar_zero",
	"scalar_number", "object_empty", "array_empty", "small", "keys", "nested", "numbers",
	"unicode", "array_40", "array_130", "object_110", "clerk_user"
};

static bool
valid(NauthSpan blob)
{
	return nauth_jsonb_valid(blob.data, blob.len, unit_utf8);
}

static NauthSpan
jsonb_fixture(const char *name)
{
	char		path[64];

	snprintf(path, sizeof(path), "jsonb/%s", name);
	return unit_fixture(path);
}

/* What PostgreSQL wrote is taken, and nothing that is longer or shorter. */
static void
test_fixture(const char *name)
{
	NauthSpan	blob = jsonb_fixture(name);
	char	   *longer = unit_allocate(blob.len + 4);
	int			taken = 0;

	ok(valid(blob), name);
	unit_jsonb_walk(blob.data);
	for (size_t len = 0; len < blob.len; len++)
	{
		NauthSpan	cut = unit_copy(blob.data, len);

		taken += valid(cut);
		unit_free(cut);
	}
	memcpy(longer, blob.data, blob.len);
	memset(longer + blob.len, 0, 4);
	for (size_t more = 1; more <= 4; more++)
		taken += nauth_jsonb_valid(longer, blob.len + more, unit_utf8);
	is_int(taken, 0, "nor cut off or longer");
	free(longer);
	unit_free(blob);
}

/* Check a mutant; if it is taken, go where the server would go. */
static int
try_mutant(NauthSpan blob)
{
	if (!valid(blob))
		return 0;
	unit_jsonb_walk(blob.data);
	return 1;
}

/* Change each byte and each word: a sanitizer sees it if that leads outside. */
static void
test_mutants(const char *name)
{
	static const uint32_t flips[] = {
		UINT32_MAX, NAUTH_JSONB_COUNT, NAUTH_JSONB_SCALAR, NAUTH_JSONB_OBJECT, NAUTH_JSONB_ARRAY,
		NAUTH_JSONB_IS_END, NAUTH_JSONB_TYPE, NAUTH_JSONB_OBJECT | NAUTH_JSONB_ARRAY, 1, 3, 4, 12
	};
	NauthSpan	blob = jsonb_fixture(name);
	char	   *bytes = (char *) blob.data;
	int			tried = 0;
	int			taken = 0;

	for (size_t i = 0; i < blob.len; i++)
	{
		char		byte = bytes[i];

		for (int other = 1; other < 256; other++, tried++)
		{
			bytes[i] = (char) (byte ^ other);
			taken += try_mutant(blob);
		}
		bytes[i] = byte;
	}
	for (size_t i = 0; i + 4 <= blob.len; i += 4)
	{
		uint32_t	word = unit_word(bytes + i);

		for (size_t k = 0; k < LENGTH(flips); k++, tried++)
		{
			uint32_t	mutant = word ^ flips[k];

			memcpy(bytes + i, &mutant, sizeof(mutant));
			taken += try_mutant(blob);
		}
		memcpy(bytes + i, &word, sizeof(word));
	}
	ok(valid(blob), name);
	printf("# %d of %d mutants are jsonb, too\n", taken, tried);
	unit_free(blob);
}

typedef struct WordCase
{
	const char *fixture;
	int			at;				/* number of the word */
	uint32_t	word;
	const char *name;
} WordCase;

/*
 * Lies about {"a": 1, "c": null, "bb": [true, "x"]}.  Words: 0 header, 1 to 3
 * keys, 4 to 6 values, 7 "acbb", 8 and 9 numeric, 10 header, 11 and 12 elements.
 */
static const WordCase word_cases[] = {
	{"small", 0, NAUTH_JSONB_OBJECT | 2, "fewer pairs"},
	{"small", 0, NAUTH_JSONB_OBJECT | 4, "more pairs"},
	{"small", 0, NAUTH_JSONB_OBJECT | NAUTH_JSONB_COUNT, "as many pairs as can be said"},
	{"small", 0, NAUTH_JSONB_ARRAY | 3, "an object called array"},
	{"small", 0, 3, "neither array nor object"},
	{"small", 0, NAUTH_JSONB_OBJECT | NAUTH_JSONB_ARRAY | 3, "array and object"},
	{"small", 0, NAUTH_JSONB_OBJECT | NAUTH_JSONB_SCALAR | 3, "an object that is a scalar"},
	{"small", 0, NAUTH_JSONB_OBJECT | UINT32_C(0x80000000) | 3, "a flag that there is not"},
	{"small", 1, 1, "a first child without an end"},
	{"small", 2, NAUTH_JSONB_IS_END | 2, "an end where a length belongs"},
	{"small", 1, NAUTH_JSONB_IS_END | NAUTH_JSONB_NULL, "a key that is null"},
	{"small", 2, NAUTH_JSONB_TRUE | 1, "a key that is true"},
	{"small", 3, NAUTH_JSONB_LENGTH, "a key that ends outside"},
	{"small", 5, NAUTH_JSONB_NULL | 1, "a null of one byte"},
	{"small", 5, UINT32_C(0x60000000), "an unknown type"},
	{"small", 5, UINT32_C(0x70000000), "another unknown type"},
	{"small", 4, NAUTH_JSONB_NUMERIC | 7, "a numeric that is too short"},
	{"small", 4, NAUTH_JSONB_CONTAINER | 8, "a numeric called container"},
	{"small", 6, NAUTH_JSONB_CONTAINER | 12, "a container that is too short"},
	{"small", 6, NAUTH_JSONB_CONTAINER | 14, "a container that is too long"},
	{"small", 6, NAUTH_JSONB_CONTAINER | 3, "a container without a header"},
	{"small", 6, NAUTH_JSONB_NUMERIC | 13, "a container called numeric"},
	{"small", 8, 7 << 2, "a numeric with a shorter header"},
	{"small", 8, 9 << 2, "a numeric with a longer header"},
	{"small", 8, 8 << 2 | 1, "a numeric with a short header"},
	{"small", 8, 8 << 2 | 2, "a numeric that is compressed"},
	{"small", 10, NAUTH_JSONB_ARRAY | NAUTH_JSONB_SCALAR | 2, "a scalar of two"},
	{"small", 10, NAUTH_JSONB_ARRAY | 3, "more elements"},
	{"small", 12, 2, "an element that ends outside"},
	{"small", 12, 0, "a byte that is nobody's"},
	{"scalar_true", 0, NAUTH_JSONB_ARRAY | NAUTH_JSONB_SCALAR, "a scalar of none"},
	{"scalar_true", 1, NAUTH_JSONB_IS_END | NAUTH_JSONB_TRUE | 1, "true ends outside"},
	{"array_40", 33, NAUTH_JSONB_TRUE, "no end at the stride"},
	{"array_40", 33, NAUTH_JSONB_IS_END | NAUTH_JSONB_STRING | 1, "an end before the last"},
	{"array_40", 33, NAUTH_JSONB_IS_END | NAUTH_JSONB_LENGTH, "an end outside"}
};

static void
test_words(void)
{
	for (size_t i = 0; i < LENGTH(word_cases); i++)
	{
		const WordCase *test = &word_cases[i];
		NauthSpan	blob = jsonb_fixture(test->fixture);

		memcpy((char *) blob.data + 4 * test->at, &test->word, sizeof(test->word));
		ok(!valid(blob), test->name);
		unit_free(blob);
	}
}

/* A jsonb by its words; the last one may be cut off. */
typedef struct BlobCase
{
	bool		valid;
	size_t		len;
	uint32_t	words[6];
	const char *name;
} BlobCase;

#define ARRAY			NAUTH_JSONB_ARRAY
#define OBJECT			NAUTH_JSONB_OBJECT
#define SCALAR			(NAUTH_JSONB_ARRAY | NAUTH_JSONB_SCALAR)
#define END				NAUTH_JSONB_IS_END
#define CONTAINER		NAUTH_JSONB_CONTAINER
#define BYTES(a, b, c)	((uint32_t) (a) | (uint32_t) (b) << 8 | (uint32_t) (c) << 16)

static const BlobCase blob_cases[] = {
	{true, 4, {ARRAY}, "no element"},
	{true, 12, {ARRAY | 2, END | NAUTH_JSONB_NULL, NAUTH_JSONB_TRUE}, "two elements"},
	{true, 8, {SCALAR | 1, END | NAUTH_JSONB_NULL}, "a scalar"},
	{false, 4, {SCALAR}, "a scalar of no element"},
	{false, 12, {SCALAR | 2, END | NAUTH_JSONB_NULL, NAUTH_JSONB_TRUE}, "a scalar of two"},
	{false, 12, {SCALAR | 1, END | CONTAINER | 4, ARRAY}, "a scalar that is an array"},
	{true, 16, {ARRAY | 1, END | CONTAINER | 8, ARRAY | 1, END | NAUTH_JSONB_NULL}, "an array in one"},
	{false, 16, {ARRAY | 1, END | CONTAINER | 8, SCALAR | 1, END | NAUTH_JSONB_NULL}, "a scalar in one"},
	{false, 9, {SCALAR | 1, END | NAUTH_JSONB_NULL | 1, 0}, "a null of one byte"},
	{false, 9, {SCALAR | 1, END | NAUTH_JSONB_TRUE | 1, 0}, "a true of one byte"},
	{false, 9, {SCALAR | 1, END | NAUTH_JSONB_FALSE | 1, 0}, "a false of one byte"},
	{true, 20, {ARRAY | 2, END | 1, CONTAINER | 7, BYTES('a', 0, 0), ARRAY}, "an array with padding"},
	{false, 20, {ARRAY | 2, END | 1, CONTAINER | 7, BYTES('a', 0, 1), ARRAY}, "padding that is not zero"},
	{false, 13, {ARRAY | 2, END | 1, CONTAINER, BYTES('a', 0, 0)}, "an array without padding"},
	{false, 15, {ARRAY | 2, END | 1, CONTAINER | 2, BYTES('a', 0, 0)}, "an array cut off in its padding"},
	{false, 16, {ARRAY | 2, END | 1, CONTAINER | 3, BYTES('a', 0, 0)}, "an array cut off behind its padding"},
	{true, 12, {OBJECT | 1, END, NAUTH_JSONB_NULL}, "an empty key"},
	{false, 12, {OBJECT | 1, END | NAUTH_JSONB_NULL, NAUTH_JSONB_NULL}, "a key that is null"},
	{true, 22, {OBJECT | 2, END | 1, 1, NAUTH_JSONB_NULL, NAUTH_JSONB_NULL, BYTES('a', 'b', 0)}, "keys a, b"},
	{false, 22, {OBJECT | 2, END | 1, 1, NAUTH_JSONB_NULL, NAUTH_JSONB_NULL, BYTES('b', 'a', 0)}, "keys b, a"},
	{false, 22, {OBJECT | 2, END | 1, 1, NAUTH_JSONB_NULL, NAUTH_JSONB_NULL, BYTES('a', 'a', 0)}, "keys a, a"},
	{true, 23, {OBJECT | 2, END | 1, 2, NAUTH_JSONB_NULL, NAUTH_JSONB_NULL, BYTES('b', 'a', 'a')}, "keys b, aa"},
	{false, 23, {OBJECT | 2, END | 2, 1, NAUTH_JSONB_NULL, NAUTH_JSONB_NULL, BYTES('a', 'a', 'b')}, "keys aa, b"},
	{false, 20, {OBJECT | 2, END, 0, NAUTH_JSONB_NULL, NAUTH_JSONB_NULL}, "two empty keys"}
};

static void
test_blobs(void)
{
	for (size_t i = 0; i < LENGTH(blob_cases); i++)
	{
		const BlobCase *test = &blob_cases[i];
		NauthSpan	blob = unit_copy((const char *) test->words, test->len);

		ok(valid(blob) == test->valid, test->name);
		unit_free(blob);
	}
}

#define NUMERIC_MAX		6

typedef struct NumericCase
{
	bool		valid;
	int			count;			/* of the words that follow */
	uint16_t	words[NUMERIC_MAX];
	const char *name;
} NumericCase;

/* 0x8000 short, 0x2000 and 0x4000 negative, weight of 0x0040 is -64 */
static const NumericCase numeric_cases[] = {
	{true, 1, {0x8000}, "0"},
	{true, 1, {0x9F80}, "0 with a scale of 63"},
	{true, 2, {64, 0}, "0 with a scale of 64"},
	{true, 2, {528, 0}, "0 with a scale of 528"},
	{true, 2, {0x8000, 1}, "1"},
	{true, 2, {0xA000, 1}, "-1"},
	{true, 2, {0x8000, 9999}, "9999"},
	{true, 3, {0x8001, 1, 1}, "10001"},
	{true, 4, {0x8002, 1, 0, 1}, "100000001"},
	{true, 2, {0x807F | 1 << 7, 5000}, "0.5"},
	{true, 2, {0x80FF, 1000}, "0.1"},
	{true, 2, {0x827F, 1}, "0.0001 with a scale of 4"},
	{true, 3, {0, 64, 1}, "1e256"},
	{true, 3, {0x4000, 64, 1}, "-1e256"},
	{true, 3, {400, (uint16_t) -100, 1}, "1e-400"},
	{true, 3, {0, 133, 1}, "1e532"},
	{false, 1, {0xC000}, "NaN"},
	{false, 1, {0xD000}, "infinity"},
	{false, 1, {0xF000}, "-infinity"},
	{false, 3, {0xC000, 64, 1}, "NaN with a digit"},
	{false, 1, {0xA000}, "-0"},
	{false, 1, {0x8001}, "0 with a weight"},
	{false, 2, {0, 0}, "0 in the long form"},
	{false, 1, {0}, "a long form without a weight"},
	{false, 3, {0, 0, 1}, "1 in the long form"},
	{false, 3, {0x8001, 0, 1}, "a leading zero"},
	{false, 3, {0x8001, 1, 0}, "a trailing zero"},
	{false, 2, {0x8000, 0}, "a digit of zero"},
	{false, 2, {0x8000, 10000}, "a digit of 10000"},
	{false, 2, {0x8000, 0xFFFF}, "a negative digit"},
	{false, 4, {0x8002, 1, 10000, 1}, "a digit of 10000 inside"},
	{false, 2, {0x827F - (1 << 7), 1}, "0.0001 with a scale of 3"},
	{false, 2, {0x807F, 5000}, "0.5 with a scale of 0"},
	{false, 3, {0x3FFF, 0, 1}, "a scale of 16383"},
	{false, 2, {529, 0}, "0 with a scale of 529"},
	{false, 3, {0, 134, 1}, "1e536"},
	{false, 3, {0, 0x7FFF, 1}, "a weight of 32767"},
	{false, 3, {528, (uint16_t) -134, 1}, "1e-536"},
	{false, 3, {0, 0x8000, 1}, "a weight of -32768"}
};

/* A scalar of this type and content. */
static NauthSpan
make_scalar(uint32_t type, const void *data, size_t len)
{
	char	   *bytes = unit_allocate(8 + len);
	uint32_t	words[2] = {NAUTH_JSONB_ARRAY | NAUTH_JSONB_SCALAR | 1, NAUTH_JSONB_IS_END | type | len};
	NauthSpan	blob = {bytes, 8 + len};

	memcpy(bytes, words, sizeof(words));
	memcpy(bytes + 8, data, len);
	return blob;
}

static void
test_numerics(void)
{
	for (size_t i = 0; i < LENGTH(numeric_cases); i++)
	{
		const NumericCase *test = &numeric_cases[i];
		char		numeric[4 + 2 * NUMERIC_MAX];
		uint32_t	len = 4 + 2 * test->count;
		uint32_t	header = len << 2;
		NauthSpan	blob;

		memcpy(numeric, &header, sizeof(header));
		memcpy(numeric + 4, test->words, len - 4);
		blob = make_scalar(NAUTH_JSONB_NUMERIC, numeric, len);
		ok(valid(blob) == test->valid, test->name);
		unit_free(blob);
	}
}

/* 1, and a byte more that is half a digit. */
static void
test_half_digit(void)
{
	static const char numeric[] = {9 << 2, 0, 0, 0, 0, '\x80', 1, 0, 0};
	NauthSpan	blob = make_scalar(NAUTH_JSONB_NUMERIC, numeric, sizeof(numeric));

	ok(!valid(blob), "half a digit");
	unit_free(blob);
}

/* Wherever in a text a byte stands that cannot be there, it is seen. */
static void
test_texts(void)
{
	static const char bad[] = {'\0', '\x80', '\xFF', '\xC3'};
	int			wrong = 0;
	char		text[40];

	memset(text, 'x', sizeof(text));
	for (size_t len = 0; len <= sizeof(text); len++)
		for (size_t at = 0; at < len; at++)
			for (size_t k = 0; k < sizeof(bad); k++)
			{
				NauthSpan	blob;

				text[at] = bad[k];
				blob = make_scalar(NAUTH_JSONB_STRING, text, len);
				wrong += valid(blob);
				unit_free(blob);
				text[at] = 'x';
			}
	is_int(wrong, 0, "no text that the encoding does not have");
	memcpy(text + 7, "\xC3\xA4", 2);
	for (size_t len = 9; len <= sizeof(text); len++)
	{
		NauthSpan	blob = make_scalar(NAUTH_JSONB_STRING, text, len);

		wrong += !valid(blob);
		unit_free(blob);
	}
	is_int(wrong, 0, "but one that it has");
}

/* As many arrays, each the only element of the one around it. */
static bool
nested_valid(int depth)
{
	size_t		len = 8 * depth - 4;
	char	   *bytes = unit_allocate(len);
	bool		result;

	for (int i = 0; i < depth; i++)
	{
		uint32_t	words[2] = {NAUTH_JSONB_ARRAY | (i + 1 < depth),
		NAUTH_JSONB_IS_END | NAUTH_JSONB_CONTAINER | (len - 8 * (i + 1))};

		memcpy(bytes + 8 * i, words, i + 1 < depth ? 8 : 4);
	}
	result = nauth_jsonb_valid(bytes, len, unit_utf8);
	free(bytes);
	return result;
}

int
main(void)
{
	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
	{
		printf("1..0 # SKIP the fixtures are of a little-endian machine\n");
		return EXIT_SUCCESS;
	}
	for (size_t i = 0; i < LENGTH(fixtures); i++)
		test_fixture(fixtures[i]);
	for (size_t i = 0; i < LENGTH(fixtures); i++)
		test_mutants(fixtures[i]);
	test_words();
	test_blobs();
	test_numerics();
	test_half_digit();
	test_texts();
	ok(nested_valid(1) && nested_valid(2) && nested_valid(NAUTH_SLICE_DEPTH), "as deep as a user may be");
	ok(!nested_valid(NAUTH_SLICE_DEPTH + 1), "but not deeper");
	return done_testing();
}
