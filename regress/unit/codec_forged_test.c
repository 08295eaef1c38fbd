/*-------------------------------------------------------------------------
 *
 * codec_forged_test.c
 *	  Unit tests of the codec of pages: what nobody wrote is not read.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "cache/plain.h"
#include "codec_unit.h"

#define LENGTH(array)	(sizeof(array) / sizeof((array)[0]))

/* Where things are in a narrow element of codec_make_page. */
#define AT_CURSOR		44
#define AT_NEXT			60
#define AT_COUNT		72

static NauthCodecPage page;
static char long_text[NAUTH_CODEC_TEXT + 2];
static NauthSpan json;

static void
make_page(int count)
{
	codec_make_page(&page, count, json);
}

/* The plain bytes of an element, to be freed. */
static NauthBytes
make_plain(Kind kind)
{
	NauthCodecHead head = {NAUTH_CODEC_TOO_LARGE, {0, 0, 0, 0, 0}};
	NauthBytes	bytes = {NULL, 0, 0};
	NauthBytes	plain = {NULL, 0, 0};

	make_page(USER_KINDS);
	head.progress = page.progress;
	if (!codec_write(kind, &page, &head, &bytes, &plain))
		abort();
	nauth_bytes_free(&bytes);
	return plain;
}

/* A user, and whether there can be such a one. */
typedef struct UserCase
{
	bool		good;
	bool		has_time;
	const char *texts[NAUTH_CODEC_TEXTS];
	const char *name;
} UserCase;

/* id, name, email, reason; long_text ends where they all end */
#define TEXT_MAX		(long_text + 1)
#define TOO_LONG		long_text
#define REASON_MAX		(long_text + NAUTH_CODEC_TEXT + 1 - 200)
#define LONG_REASON		(long_text + NAUTH_CODEC_TEXT + 1 - 201)

static const UserCase user_cases[] = {
	{true, true, {"a", "b", "c", NULL}, "a user"},
	{true, false, {"a", NULL, NULL, NULL}, "one who is but an id"},
	{true, false, {"a", "", "", NULL}, "one with empty texts"},
	{true, false, {TEXT_MAX, TEXT_MAX, TEXT_MAX, NULL}, "texts as long as they may be"},
	{false, false, {NULL, "b", "c", NULL}, "a user without an id"},
	{false, false, {"", "b", "c", NULL}, "an empty id"},
	{false, false, {TOO_LONG, "b", "c", NULL}, "too long an id"},
	{false, false, {"a", TOO_LONG, "c", NULL}, "too long a name"},
	{false, false, {"a", "b", TOO_LONG, NULL}, "too long an address"},
	{false, true, {NULL, NULL, NULL, NULL}, "a user who is nothing"},
	{true, false, {NULL, NULL, NULL, "because"}, "a user left out"},
	{true, false, {NULL, NULL, NULL, REASON_MAX}, "as long a reason as there may be"},
	{false, false, {NULL, NULL, NULL, LONG_REASON}, "too long a reason"},
	{false, false, {NULL, NULL, NULL, ""}, "an empty reason"},
	{false, false, {NULL, NULL, NULL, "a\nb"}, "a reason of two lines"},
	{false, false, {NULL, NULL, NULL, "a\x7F"}, "a reason with a control character"},
	{false, false, {NULL, NULL, NULL, "Z\xC3\xB6" "e"}, "a reason that is not ASCII"},
	{false, false, {"a", NULL, NULL, "because"}, "an id and a reason"},
	{false, false, {NULL, "b", NULL, "because"}, "a name and a reason"},
	{false, false, {NULL, NULL, "", "because"}, "an address and a reason"},
	{false, true, {NULL, NULL, NULL, "because"}, "a time and a reason"}
};

/* A user's plain bytes without any check. */
static void
put_user(NauthPlainWriter *writer, const NauthCodecUser *user)
{
	nauth_plain_put_word(writer, user->has_created_at);
	if (user->has_created_at)
		nauth_plain_put(writer, &user->created_at, sizeof(user->created_at));
	nauth_plain_put_word(writer, 0);
	nauth_plain_put_word(writer, 0);
	for (int i = 0; i < NAUTH_CODEC_TEXTS; i++)
		nauth_plain_put_value(writer, user->texts[i]);
}

/* Each user is written if there can be such a one, and read if so. */
static void
test_users(void)
{
	for (size_t i = 0; i < LENGTH(user_cases); i++)
	{
		const UserCase *test = &user_cases[i];
		NauthBytes	plain = make_plain(NARROW);
		NauthBytes	bytes = {NULL, 0, 0};
		NauthBytes	scratch = {NULL, 0, 0};
		NauthPlainWriter writer = {&plain, true};
		NauthCodecUser *user = &page.users[0];
		int			wrong = 0;

		page.count = 1;
		memset(user, 0, sizeof(*user));
		user->has_created_at = test->has_time;
		for (int k = 0; k < NAUTH_CODEC_TEXTS; k++)
		{
			user->texts[k].data = test->texts[k];
			user->texts[k].len = test->texts[k] == NULL ? 0 : strlen(test->texts[k]);
		}
		plain.len = AT_COUNT;
		nauth_plain_put_word(&writer, 1);
		put_user(&writer, user);
		ok(nauth_codec_write_narrow(&page, &bytes, &scratch) == test->good, test->name);
		ok(codec_takes_plain(NARROW, &page, &plain, plain.len, &wrong) == test->good && wrong == 0,
		   "and reading it");
		nauth_bytes_free(&plain);
		nauth_bytes_free(&bytes);
		nauth_bytes_free(&scratch);
	}
}

/* A cursor can be as long as a text, and no longer. */
static void
test_cursors(void)
{
	for (int too_long = 0; too_long <= 1; too_long++)
	{
		NauthSpan	cursor = {long_text, NAUTH_CODEC_TEXT + too_long};
		NauthBytes	plain = make_plain(NARROW);
		NauthPlainWriter writer = {&plain, true};
		int			wrong = 0;

		plain.len = AT_CURSOR;
		nauth_plain_put_value(&writer, cursor);
		nauth_plain_put_value(&writer, cursor);
		nauth_plain_put_word(&writer, 0);
		ok(codec_takes_plain(NARROW, &page, &plain, plain.len, &wrong) == !too_long && wrong == 0,
		   too_long ? "longer cursors" : "cursors as long as they may be");
		nauth_bytes_free(&plain);
	}
}

static void
test_states(void)
{
	for (uint32_t state = 0; state <= NAUTH_CODEC_TOO_LARGE + 1; state++)
	{
		NauthBytes	plain = make_plain(HEAD);
		int			wrong = 0;

		memcpy(plain.data + 4, &state, sizeof(state));
		ok(codec_takes_plain(HEAD, &page, &plain, plain.len, &wrong) == (state <= NAUTH_CODEC_TOO_LARGE),
		   "a state that there is");
		nauth_bytes_free(&plain);
	}
}

typedef struct ByteCase
{
	size_t		at;
	const char *bytes;
	size_t		len;
	const char *name;
} ByteCase;

/* the first user's texts begin with an id, six bytes long */
#define AT_ID			(AT_COUNT + 4 + 12 + 12 + 12)

static const ByteCase byte_cases[] = {
	{0, "\0\0\0\0", 4, "an element of no kind"},
	{0, "\4\0\0\0", 4, "an element of an unknown kind"},
	{AT_CURSOR, "\x08\0\0\0", 4, "a cursor that is shorter"},
	{AT_CURSOR, "\x0A\0\0\0", 4, "a cursor that is longer"},
	{AT_CURSOR, "\x0C\0\0\0", 4, "a cursor that takes the padding"},
	{AT_CURSOR, "\xFF\xFF\xFF\x7F", 4, "a cursor longer than all"},
	{AT_CURSOR, "\xFE\xFF\xFF\xFF", 4, "a cursor so long that sums overflow"},
	{AT_CURSOR, "\xFF\xFF\xFF\xFF", 4, "a cursor that is null"},
	{AT_CURSOR + 7, "\0", 1, "a zero in a cursor"},
	{AT_CURSOR + 15, "x", 1, "padding that is not zero"},
	{AT_NEXT, "\xFF\xFF\xFF\xFF", 4, "a next cursor that is null"},
	{AT_NEXT, "\0\0\0\0\0\0\0\0", 8, "an empty one with too much behind"},
	{AT_COUNT, "\3\0\0\0", 4, "fewer users than there are"},
	{AT_COUNT, "\5\0\0\0", 4, "more users than there are"},
	{AT_COUNT, "\xE9\3\0\0", 4, "more users than a page has"},
	{AT_COUNT, "\xFF\xFF\xFF\xFF", 4, "less than no users"},
	{AT_COUNT + 4, "\0\0\0\0", 4, "a time that is not there, and is"},
	{AT_COUNT + 4, "\2\0\0\0", 4, "a time that may be there"},
	{AT_ID, "\5\0\0\0", 4, "an id that is shorter"},
	{AT_ID, "\7\0\0\0", 4, "an id that is longer"},
	{AT_ID, "\xFF\xFF\xFF\xFF", 4, "an id that is null"},
	{AT_ID + 5, "\0", 1, "a zero in a text"},
	{AT_ID + 5, "\xFF", 1, "a text that is not of the encoding"},
	{AT_ID + 9, "\xC3", 1, "a text that ends within a character"},
	{AT_ID + 10, "\1", 1, "padding of a text that is not zero"}
};

static void
test_bytes(void)
{
	for (size_t i = 0; i < LENGTH(byte_cases); i++)
	{
		const ByteCase *test = &byte_cases[i];
		NauthBytes	plain = make_plain(NARROW);
		int			wrong = 0;

		memcpy(plain.data + test->at, test->bytes, test->len);
		ok(!codec_takes_plain(NARROW, &page, &plain, plain.len, &wrong), test->name);
		nauth_bytes_free(&plain);
	}
}

/* Change each byte and each word; how often that was taken. */
static int
try_mutants(Kind kind, NauthBytes *plain, int *wrong)
{
	static const uint32_t words[] = {
		0, 1, 2, 3, 4, 200, 1000, 1001, 4096, 4097, INT32_MAX, UINT32_C(0x80000000),
		UINT32_MAX - 3, UINT32_MAX - 1, UINT32_MAX
	};
	int			taken = 0;

	for (size_t i = 0; i < plain->len; i++)
	{
		char		byte = plain->data[i];

		for (int bits = 1; bits < 256; bits += 6)
		{
			plain->data[i] = (char) (byte ^ bits);
			taken += codec_takes_plain(kind, &page, plain, plain->len, wrong);
		}
		plain->data[i] = byte;
	}
	for (size_t i = 0; i + 4 <= plain->len; i += 4)
	{
		uint32_t	word = unit_word(plain->data + i);

		for (size_t k = 0; k < LENGTH(words); k++)
		{
			memcpy(plain->data + i, &words[k], 4);
			taken += codec_takes_plain(kind, &page, plain, plain->len, wrong);
		}
		memcpy(plain->data + i, &word, 4);
	}
	return taken;
}

static void
test_mutants(Kind kind, const char *name)
{
	NauthBytes	plain = make_plain(kind);
	size_t		len = plain.len;
	int			wrong = 0;
	int			taken = 0;

	printf("# %d mutants of %zu bytes were taken\n", try_mutants(kind, &plain, &wrong), len);
	is_int(wrong, 0, name);
	nauth_bytes_reserve(&plain, len + 8);
	memset(plain.data + len, 0, 8);
	for (size_t i = 1; i <= len + 8; i++)
		taken += i != len && codec_takes_plain(kind, &page, &plain, i, &wrong);
	is_int(taken, 0, "nothing cut off or longer is taken");
	nauth_bytes_free(&plain);
}

/* Whether an element is taken that is cut or extended to len, and begins so. */
static bool
takes_changed(NauthSpan element, size_t len, uint32_t plain_len, int *wrong)
{
	char	   *bytes = unit_allocate(len);
	NauthSpan	changed = {bytes, len};
	bool		taken;

	memset(bytes, 0, len);
	memcpy(bytes, element.data, len < element.len ? len : element.len);
	memcpy(bytes, &plain_len, len < 4 ? len : 4);
	taken = codec_takes(NARROW, &page, changed, wrong);
	free(bytes);
	return taken;
}

/* Compressed bytes: cut, longer, of another length than they say, changed. */
static void
test_compressed(void)
{
	static const uint32_t lengths[] = {
		0, 1, 4, NAUTH_CODEC_MAX, NAUTH_CODEC_MAX + 1, INT32_MAX, UINT32_MAX
	};
	NauthBytes	plain = make_plain(NARROW);
	NauthSpan	element = codec_compress(plain.data, plain.len);
	uint32_t	plain_len = (uint32_t) plain.len;
	int			wrong = 0;
	int			taken = 0;

	ok(takes_changed(element, element.len, plain_len, &wrong), "an element as it was");
	for (size_t len = 0; len < element.len + 8; len++)
		taken += len != element.len && takes_changed(element, len, plain_len, &wrong);
	is_int(taken, 0, "none that is cut off or longer");
	for (size_t i = 0; i < LENGTH(lengths); i++)
		taken += takes_changed(element, element.len, lengths[i], &wrong);
	taken += takes_changed(element, element.len, plain_len - 1, &wrong);
	taken += takes_changed(element, element.len, plain_len + 1, &wrong);
	is_int(taken, 0, "none that says another length");
	for (size_t i = 0; i < 8 * element.len; i++)
	{
		((char *) element.data)[i / 8] ^= (char) (1 << i % 8);
		taken += codec_takes(NARROW, &page, element, &wrong);
		((char *) element.data)[i / 8] ^= (char) (1 << i % 8);
	}
	printf("# %d with one bit changed were taken\n", taken);
	is_int(wrong, 0, "those taken with a bit changed make sense");
	unit_free(element);
	nauth_bytes_free(&plain);
}

/* An element that says a length it cannot have costs no memory. */
static void
test_memory(void)
{
	static const uint32_t lengths[] = {NAUTH_CODEC_MAX + 1, NAUTH_CODEC_MAX};
	static const size_t lens[] = {NAUTH_CODEC_MAX / 250, NAUTH_CODEC_MAX / 256};

	for (size_t i = 0; i < LENGTH(lens); i++)
	{
		char	   *bytes = unit_allocate(lens[i]);
		NauthSpan	element = {bytes, lens[i]};
		NauthBytes	plain = {NULL, 0, 0};

		memset(bytes, 0, lens[i]);
		memcpy(bytes, &lengths[i], sizeof(lengths[i]));
		ok(!nauth_codec_read_narrow(element, unit_utf8, &plain, &page) && plain.data == NULL,
		   "nothing is allocated for too large an element");
		free(bytes);
		nauth_bytes_free(&plain);
	}
}

/* An element of plain bytes as they are, which says that it has plain_len. */
static NauthSpan
store(const NauthBytes *plain, size_t len, uint32_t plain_len)
{
	char	   *bytes = unit_allocate(len + len / 255 + 8);
	NauthSpan	element = {bytes, 5};
	size_t		rest = len - 15;

	memcpy(bytes, &plain_len, sizeof(plain_len));
	bytes[4] = '\xF0';			/* literals alone, 15 and as many as follow */
	for (; rest >= 255; rest -= 255)
		bytes[element.len++] = '\xFF';
	bytes[element.len++] = (char) rest;
	memcpy(bytes + element.len, plain->data, len);
	element.len += len;
	return element;
}

/* Memory is used again; what an element before left in it is not read. */
static void
test_remains(void)
{
	NauthBytes	plain = make_plain(NARROW);
	NauthSpan	whole = store(&plain, plain.len, (uint32_t) plain.len);
	NauthSpan	shorter = store(&plain, plain.len - 4, (uint32_t) plain.len);

	ok(nauth_codec_read_narrow(whole, unit_utf8, &plain, &page), "an element that is not compressed");
	ok(!nauth_codec_read_narrow(shorter, unit_utf8, &plain, &page), "one whose end is another's");
	unit_free(whole);
	unit_free(shorter);
	nauth_bytes_free(&plain);
}

/* An element is read as what it is, and a wide one for its page alone. */
static void
test_mix_ups(void)
{
	int			wrong = 0;
	NauthBytes	plain;

	for (Kind kind = NARROW; kind <= HEAD; kind++)
	{
		plain = make_plain(kind);
		for (Kind other = NARROW; other <= HEAD; other++)
			ok(codec_takes_plain(other, &page, &plain, plain.len, &wrong) == (kind == other),
			   "an element is read as what it is");
		nauth_bytes_free(&plain);
	}
	plain = make_plain(WIDE);
	make_page(USER_KINDS - 1);
	ok(!codec_takes_plain(WIDE, &page, &plain, plain.len, &wrong), "not for a page of fewer users");
	make_page(USER_KINDS + 1);
	ok(!codec_takes_plain(WIDE, &page, &plain, plain.len, &wrong), "nor of more");
	make_page(USER_KINDS);
	page.users[FULL] = page.users[LEFT_OUT];
	ok(!codec_takes_plain(WIDE, &page, &plain, plain.len, &wrong), "nor one that leaves out another");
	nauth_bytes_free(&plain);
}

int
main(void)
{
	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
	{
		printf("1..0 # SKIP the fixture is of a little-endian machine\n");
		return EXIT_SUCCESS;
	}
	memset(long_text, 'x', sizeof(long_text) - 1);
	json = unit_fixture("jsonb/small");
	test_users();
	test_cursors();
	test_states();
	test_bytes();
	test_mutants(NARROW, "narrow elements make sense");
	test_mutants(WIDE, "wide elements make sense");
	test_mutants(HEAD, "heads make sense");
	test_compressed();
	test_memory();
	test_remains();
	test_mix_ups();
	unit_free(json);
	return done_testing();
}
