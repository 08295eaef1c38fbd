/*-------------------------------------------------------------------------
 *
 * codec_test.c
 *	  Unit tests of the codec of pages: what is written comes back.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "codec_unit.h"

#define LENGTH(array)	(sizeof(array) / sizeof((array)[0]))

static NauthCodecPage page;
static NauthCodecPage again;
static char long_text[NAUTH_CODEC_TEXT + 2];
static const uint32_t empty_object = NAUTH_JSONB_OBJECT;
static const NauthSpan json = {(const char *) &empty_object, sizeof(empty_object)};

static NauthSpan
text_of_length(size_t len)
{
	NauthSpan	span = {long_text, len};

	return span;
}

static void
make_page(int count)
{
	codec_make_page(&page, count, json);
}

static bool
write_page(Kind kind, NauthBytes *bytes, NauthBytes *plain)
{
	NauthCodecHead head = {NAUTH_CODEC_COMPLETE, page.progress};

	return codec_write(kind, &page, &head, bytes, plain);
}

static bool
writes(Kind kind)
{
	NauthBytes	bytes = {NULL, 0, 0};
	NauthBytes	plain = {NULL, 0, 0};
	bool		written = write_page(kind, &bytes, &plain);

	nauth_bytes_free(&bytes);
	nauth_bytes_free(&plain);
	return written;
}

static void
round_trip(const char *name)
{
	int			wrong = 0;

	for (Kind kind = NARROW; kind <= HEAD; kind++)
	{
		NauthBytes	bytes = {NULL, 0, 0};
		NauthBytes	plain = {NULL, 0, 0};

		wrong += !write_page(kind, &bytes, &plain);
		wrong += !codec_takes_plain(kind, &page, &plain, plain.len, &wrong);
		nauth_bytes_free(&bytes);
		nauth_bytes_free(&plain);
	}
	is_int(wrong, 0, name);
}

static void
test_round_trips(void)
{
	make_page(3);
	round_trip("a page comes back");
	make_page(0);
	page.cursor = page.next = "";
	page.last = true;
	round_trip("a page without users");
	make_page(NAUTH_CODEC_USERS);
	round_trip("a page of as many users as it may have");
	make_page(1);
	page.users[0].texts[NAUTH_CODEC_ID] = text_of_length(NAUTH_CODEC_TEXT);
	page.users[0].texts[NAUTH_CODEC_NAME] = text_of_length(NAUTH_CODEC_TEXT);
	page.users[0].texts[NAUTH_CODEC_EMAIL] = text_of_length(NAUTH_CODEC_TEXT);
	page.cursor = page.next = long_text + 1;
	round_trip("texts as long as they may be");
	for (int len = 1; len < 9; len++)
	{
		make_page(1);
		page.users[0].texts[NAUTH_CODEC_ID] = text_of_length(len);
		round_trip("texts of each alignment");
	}
}

/* What was read is what was written, member by member. */
static void
test_members(void)
{
	NauthBytes	bytes = {NULL, 0, 0};
	NauthBytes	plain = {NULL, 0, 0};
	NauthSpan	span;
	const NauthCodecUser *users = again.users;

	make_page(USER_KINDS);
	write_page(NARROW, &bytes, &plain);
	span.data = bytes.data;
	span.len = bytes.len;
	memset(&again, 0xFF, sizeof(again));
	ok(nauth_codec_read_narrow(span, unit_utf8, &plain, &again), "a page is read");
	ok(memcmp(&again.progress, &page.progress, sizeof(page.progress)) == 0, "its progress");
	is_text(again.cursor, page.cursor, "its cursor");
	is_text(again.next, page.next, "the next one");
	ok(!again.last && again.count == USER_KINDS, "it is not the last, and has its users");
	is_text(users[FULL].texts[NAUTH_CODEC_NAME].data, "Z\xC3\xB6" "e", "a name");
	is_text(users[FULL].texts[NAUTH_CODEC_EMAIL].data, "zoe@example.com", "an address");
	ok(users[FULL].texts[NAUTH_CODEC_REASON].data == NULL, "no reason");
	ok(users[FULL].has_created_at && users[FULL].created_at == 42 &&
	   users[FULL].has_updated_at && users[FULL].updated_at == -42 &&
	   users[FULL].has_deleted_at && users[FULL].deleted_at == 43, "times");
	is_text(users[NULLS].texts[NAUTH_CODEC_ID].data, "user_22", "an id");
	ok(users[NULLS].texts[NAUTH_CODEC_NAME].data == NULL && !users[NULLS].has_created_at &&
	   !users[NULLS].has_updated_at && !users[NULLS].has_deleted_at, "nulls");
	is_text(users[LEFT_OUT].texts[NAUTH_CODEC_REASON].data, "it has a NUL", "a reason");
	ok(users[EMPTY_TEXTS].texts[NAUTH_CODEC_NAME].data != NULL &&
	   users[EMPTY_TEXTS].texts[NAUTH_CODEC_NAME].len == 0, "an empty text is not null");
	nauth_bytes_free(&bytes);
	nauth_bytes_free(&plain);
}

typedef struct NumberCase
{
	size_t		offset;			/* in the progress */
	int64_t		number;
	bool		good;
	const char *name;
} NumberCase;

#define PROGRESS(member) offsetof(NauthCodecProgress, member)

static const NumberCase progress_cases[] = {
	{PROGRESS(started_at), INT64_C(-62135596800000000), true, "begun in the year 1"},
	{PROGRESS(started_at), INT64_C(-62135596800000001), false, "begun before the year 1"},
	{PROGRESS(fresh_from), INT64_C(253402300799999999), true, "fresh until the year 9999"},
	{PROGRESS(fresh_from), INT64_C(253402300800000000), false, "fresh after the year 9999"},
	{PROGRESS(pages), 0, true, "no page"},
	{PROGRESS(pages), -1, false, "less than no page"},
	{PROGRESS(pages), 1000000, true, "a million pages"},
	{PROGRESS(pages), 1000001, false, "more than a million pages"},
	{PROGRESS(users), -1, false, "less than no user"},
	{PROGRESS(users), INT64_MAX, false, "more users than there are"},
	{PROGRESS(bytes), INT64_MIN, false, "less than no byte"},
	{PROGRESS(bytes), INT64_C(1) << 53, true, "as many bytes as can be"},
	{PROGRESS(bytes), (INT64_C(1) << 53) + 1, false, "more bytes than can be"}
};

static const NumberCase time_cases[] = {
	{0, INT64_C(-211813488000000000), true, "the first timestamp"},
	{0, INT64_C(-211813488000000001), false, "before the first timestamp"},
	{0, INT64_C(9223371331199999999), true, "the last timestamp"},
	{0, INT64_C(9223371331200000000), false, "behind the last timestamp"},
	{0, INT64_MAX, false, "infinity"},
	{0, INT64_MIN, false, "-infinity"}
};

/* Put a number where the page has it: written or not, and read or not. */
static void
number_case(const NumberCase *test, Kind kind, size_t at, int64_t *member)
{
	NauthBytes	bytes = {NULL, 0, 0};
	NauthBytes	plain = {NULL, 0, 0};
	int			wrong = 0;

	write_page(kind, &bytes, &plain);
	memcpy(plain.data + at, &test->number, sizeof(test->number));
	ok(codec_takes_plain(kind, &page, &plain, plain.len, &wrong) == test->good && wrong == 0, test->name);
	*member = test->number;
	ok(writes(kind) == test->good, "and writing it");
	nauth_bytes_free(&bytes);
	nauth_bytes_free(&plain);
}

static void
test_bounds(void)
{
	for (Kind kind = NARROW; kind <= HEAD; kind += HEAD - NARROW)
		for (size_t i = 0; i < LENGTH(progress_cases); i++)
		{
			const NumberCase *test = &progress_cases[i];
			size_t		before = kind == HEAD ? 8 : 4;

			make_page(3);
			number_case(test, kind, before + test->offset,
						(int64_t *) ((char *) &page.progress + test->offset));
		}
	for (size_t i = 0; i < LENGTH(time_cases); i++)
	{
		/* kind, progress, "500 3:abc", "1000", count; then a word says yes */
		size_t		at = 4 + 40 + 16 + 12 + 4 + 4;

		make_page(3);
		number_case(&time_cases[i], NARROW, at, &page.users[FULL].created_at);
		make_page(3);
		number_case(&time_cases[i], NARROW, at + 12, &page.users[FULL].updated_at);
	}
}

/* Pages that contradict themselves. */
static void
test_pages(void)
{
	make_page(3);
	page.last = true;
	ok(!writes(NARROW), "the last page has no next");
	make_page(3);
	page.next = "";
	ok(!writes(NARROW), "a page that is not the last has one");
	make_page(3);
	page.cursor = long_text;
	ok(!writes(NARROW), "too long a cursor");
	make_page(3);
	page.count = -1;
	ok(!writes(NARROW) && !writes(WIDE), "fewer than no users");
	page.count = NAUTH_CODEC_USERS + 1;
	ok(!writes(NARROW) && !writes(WIDE), "more users than a page has");
	make_page(3);
	page.users[FULL].json.data = NULL;
	ok(!writes(WIDE), "a user without a json");
	make_page(3);
	page.users[LEFT_OUT].json = json;
	ok(!writes(WIDE), "a left-out user with one");
	make_page(3);
	page.users[FULL].json.len = NAUTH_CODEC_MAX;
	ok(!writes(WIDE), "more bytes than an element holds");
}

int
main(void)
{
	memset(long_text, 'x', sizeof(long_text) - 1);
	test_round_trips();
	test_members();
	test_bounds();
	test_pages();
	return done_testing();
}
