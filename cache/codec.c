/*-------------------------------------------------------------------------
 *
 * codec.c
 *	  Pages of users as bytes, and back.
 *
 * An element is the length of its plain bytes and an LZ4 block of them.  What
 * they are is said by the functions that put and take: the same things in the
 * same order.  What a page must hold to is checked on both ways, so nothing is
 * written that cannot be read; and nothing is read that would be written in
 * another way.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "cache/codec.h"

#include <lz4.h>
#include <stdlib.h>
#include <string.h>

#include "cache/jsonb.h"
#include "cache/plain.h"
#include "moment.h"

#define RATIO_MAX		255		/* bytes that LZ4 makes of one, at most */
#define REASON_MAX		200
#define PAGES_MAX		INT64_C(1000000)
#define COUNT_MAX		(INT64_C(1) << 53)	/* of users and of bytes */

/* What the server takes for a timestamptz; infinite ones are outside. */
#define TIMESTAMPTZ_MIN	INT64_C(-211813488000000000)
#define TIMESTAMPTZ_END	INT64_C(9223371331200000000)

/* First word of the plain bytes. */
typedef enum ElementKind
{
	ELEMENT_NARROW = 1,
	ELEMENT_WIDE,
	ELEMENT_HEAD
} ElementKind;

static const size_t text_max[NAUTH_CODEC_TEXTS] = {
	[NAUTH_CODEC_ID] = NAUTH_CODEC_TEXT,
	[NAUTH_CODEC_NAME] = NAUTH_CODEC_TEXT,
	[NAUTH_CODEC_EMAIL] = NAUTH_CODEC_TEXT,
	[NAUTH_CODEC_REASON] = REASON_MAX
};

/* Members of NauthCodecProgress in the order in which they are stored. */
static const struct
{
	size_t		offset;
	int64_t		min;
	int64_t		max;
}			progress_members[] = {
	{offsetof(NauthCodecProgress, started_at), NAUTH_MOMENT_MIN, NAUTH_MOMENT_MAX - 1},
	{offsetof(NauthCodecProgress, fresh_from), NAUTH_MOMENT_MIN, NAUTH_MOMENT_MAX - 1},
	{offsetof(NauthCodecProgress, pages), 0, PAGES_MAX},
	{offsetof(NauthCodecProgress, users), 0, COUNT_MAX},
	{offsetof(NauthCodecProgress, bytes), 0, COUNT_MAX}
};

#define PROGRESS_MEMBERS (sizeof(progress_members) / sizeof(progress_members[0]))

bool
nauth_bytes_reserve(NauthBytes *bytes, size_t capacity)
{
	size_t		grown = bytes->capacity + bytes->capacity / 2;
	char	   *data;

	if (capacity <= bytes->capacity)
		return true;
	if (grown < capacity)
		grown = capacity;
	data = realloc(bytes->data, grown);
	if (data == NULL)
		return false;
	bytes->data = data;
	bytes->capacity = grown;
	return true;
}

void
nauth_bytes_free(NauthBytes *bytes)
{
	free(bytes->data);
	memset(bytes, 0, sizeof(*bytes));
}

static bool
is_reason(NauthSpan text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < ' ' || text.data[i] > '~')
			return false;
	return text.len > 0;
}

/* Whether a user has what it must, and nothing that it must not. */
static bool
user_valid(const NauthCodecUser *user)
{
	const NauthSpan *texts = user->texts;

	for (int i = 0; i < NAUTH_CODEC_TEXTS; i++)
		if (texts[i].data != NULL && texts[i].len > text_max[i])
			return false;
	if (texts[NAUTH_CODEC_REASON].data == NULL)
		return texts[NAUTH_CODEC_ID].data != NULL && texts[NAUTH_CODEC_ID].len > 0;
	return is_reason(texts[NAUTH_CODEC_REASON]) && texts[NAUTH_CODEC_ID].data == NULL &&
		texts[NAUTH_CODEC_NAME].data == NULL && texts[NAUTH_CODEC_EMAIL].data == NULL &&
		!user->has_created_at && !user->has_updated_at && !user->has_deleted_at;
}

static bool
count_valid(uint32_t count)
{
	return count <= NAUTH_CODEC_USERS;
}

static bool
timestamptz_valid(int64_t timestamptz)
{
	return timestamptz >= TIMESTAMPTZ_MIN && timestamptz < TIMESTAMPTZ_END;
}

static void
put_cursor(NauthPlainWriter *writer, const char *cursor)
{
	NauthSpan	value = {cursor, strlen(cursor)};

	writer->ok &= value.len <= NAUTH_CODEC_TEXT;
	nauth_plain_put_value(writer, value);
}

static void
put_timestamptz(NauthPlainWriter *writer, bool present, int64_t timestamptz)
{
	nauth_plain_put_word(writer, present);
	if (!present)
		return;
	writer->ok &= timestamptz_valid(timestamptz);
	nauth_plain_put(writer, &timestamptz, sizeof(timestamptz));
}

static void
put_progress(NauthPlainWriter *writer, const NauthCodecProgress *progress)
{
	for (size_t i = 0; i < PROGRESS_MEMBERS; i++)
	{
		int64_t		number;

		memcpy(&number, (const char *) progress + progress_members[i].offset, sizeof(number));
		writer->ok &= number >= progress_members[i].min &&
			number <= progress_members[i].max;
		nauth_plain_put(writer, &number, sizeof(number));
	}
}

static void
put_user(NauthPlainWriter *writer, const NauthCodecUser *user)
{
	writer->ok &= user_valid(user);
	put_timestamptz(writer, user->has_created_at, user->created_at);
	put_timestamptz(writer, user->has_updated_at, user->updated_at);
	put_timestamptz(writer, user->has_deleted_at, user->deleted_at);
	for (int i = 0; i < NAUTH_CODEC_TEXTS; i++)
		nauth_plain_put_value(writer, user->texts[i]);
}

static NauthPlainWriter
begin_writing(NauthBytes *scratch, ElementKind kind)
{
	NauthPlainWriter writer = {scratch, true};

	scratch->len = 0;
	nauth_plain_put_word(&writer, kind);
	return writer;
}

/* Compress what was written into an element. */
static bool
end_writing(const NauthPlainWriter *writer, NauthBytes *element)
{
	const NauthBytes *plain = writer->bytes;
	uint32_t	plain_len = (uint32_t) plain->len;
	int			bound;
	int			len;

	if (!writer->ok)
		return false;
	bound = LZ4_compressBound((int) plain_len);
	if (!nauth_bytes_reserve(element, sizeof(plain_len) + bound))
		return false;
	memcpy(element->data, &plain_len, sizeof(plain_len));
	len = LZ4_compress_default(plain->data, element->data + sizeof(plain_len),
							   (int) plain_len, bound);
	element->len = sizeof(plain_len) + len;
	return len > 0;
}

bool
nauth_codec_write_narrow(const NauthCodecPage *page, NauthBytes *bytes, NauthBytes *scratch)
{
	NauthPlainWriter writer = begin_writing(scratch, ELEMENT_NARROW);

	if (!count_valid(page->count) || page->last != (page->next[0] == '\0'))
		return false;
	put_progress(&writer, &page->progress);
	put_cursor(&writer, page->cursor);
	put_cursor(&writer, page->next);
	nauth_plain_put_word(&writer, page->count);
	for (int i = 0; i < page->count; i++)
		put_user(&writer, &page->users[i]);
	return end_writing(&writer, bytes);
}

/* Whether a user has a json if it should. */
static bool
json_fits(const NauthCodecUser *user)
{
	return (user->json.data != NULL) == (user->texts[NAUTH_CODEC_REASON].data == NULL);
}

bool
nauth_codec_write_wide(const NauthCodecPage *page, NauthBytes *bytes, NauthBytes *scratch)
{
	NauthPlainWriter writer = begin_writing(scratch, ELEMENT_WIDE);

	if (!count_valid(page->count))
		return false;
	nauth_plain_put_word(&writer, page->count);
	for (int i = 0; i < page->count; i++)
	{
		writer.ok &= json_fits(&page->users[i]);
		nauth_plain_put_value(&writer, page->users[i].json);
	}
	return end_writing(&writer, bytes);
}

bool
nauth_codec_write_head(const NauthCodecHead *head, NauthBytes *bytes, NauthBytes *scratch)
{
	NauthPlainWriter writer = begin_writing(scratch, ELEMENT_HEAD);

	nauth_plain_put_word(&writer, head->state);
	put_progress(&writer, &head->progress);
	return end_writing(&writer, bytes);
}

static NauthSpan
take_text(NauthPlainReader *reader)
{
	NauthSpan	text = nauth_plain_take_value(reader);

	reader->ok &= (text.data == NULL || reader->valid(text.data, text.len));
	return text;
}

/* A cursor is the provider's, not of the server's encoding. */
static const char *
take_cursor(NauthPlainReader *reader)
{
	NauthSpan	cursor = nauth_plain_take_value(reader);

	reader->ok &= cursor.data != NULL && cursor.len <= NAUTH_CODEC_TEXT &&
		memchr(cursor.data, '\0', cursor.len) == NULL;
	return reader->ok ? cursor.data : "";
}

static bool
take_timestamptz(NauthPlainReader *reader, int64_t *timestamptz)
{
	uint32_t	present = nauth_plain_take_word(reader);

	*timestamptz = 0;
	if (present == 0)
		return false;
	*timestamptz = nauth_plain_take_number(reader);
	reader->ok &= present == 1 && timestamptz_valid(*timestamptz);
	return true;
}

static void
take_progress(NauthPlainReader *reader, NauthCodecProgress *progress)
{
	for (size_t i = 0; i < PROGRESS_MEMBERS; i++)
	{
		int64_t		number = nauth_plain_take_number(reader);

		reader->ok &= number >= progress_members[i].min &&
			number <= progress_members[i].max;
		memcpy((char *) progress + progress_members[i].offset, &number, sizeof(number));
	}
}

static void
take_user(NauthPlainReader *reader, NauthCodecUser *user)
{
	user->has_created_at = take_timestamptz(reader, &user->created_at);
	user->has_updated_at = take_timestamptz(reader, &user->updated_at);
	user->has_deleted_at = take_timestamptz(reader, &user->deleted_at);
	for (int i = 0; i < NAUTH_CODEC_TEXTS; i++)
		user->texts[i] = take_text(reader);
	user->json.data = NULL;
	user->json.len = 0;
	reader->ok &= user_valid(user);
}

/* Decompress an element into plain, to be read if it is of this kind. */
static NauthPlainReader
begin_reading(NauthSpan element, ElementKind kind, NauthCodecValid valid, NauthBytes *plain)
{
	NauthPlainReader reader = {NULL, NULL, valid, false};
	uint32_t	plain_len;
	size_t		len = element.len - sizeof(plain_len);

	if (element.len < sizeof(plain_len) || len > (size_t) LZ4_compressBound(NAUTH_CODEC_MAX))
		return reader;
	memcpy(&plain_len, element.data, sizeof(plain_len));
	if (plain_len == 0 || plain_len > NAUTH_CODEC_MAX || plain_len > RATIO_MAX * len ||
		!nauth_bytes_reserve(plain, plain_len))
		return reader;
	if (LZ4_decompress_safe(element.data + sizeof(plain_len), plain->data, (int) len,
							(int) plain_len) != (int) plain_len)
		return reader;
	plain->len = plain_len;
	reader.pos = plain->data;
	reader.end = plain->data + plain_len;
	reader.ok = true;
	reader.ok = nauth_plain_take_word(&reader) == (uint32_t) kind;
	return reader;
}

static bool
end_reading(const NauthPlainReader *reader)
{
	return reader->ok && reader->pos == reader->end;
}

bool
nauth_codec_read_narrow(NauthSpan element, NauthCodecValid valid, NauthBytes *plain,
						NauthCodecPage *page)
{
	NauthPlainReader reader = begin_reading(element, ELEMENT_NARROW, valid, plain);
	uint32_t	count;

	take_progress(&reader, &page->progress);
	page->cursor = take_cursor(&reader);
	page->next = take_cursor(&reader);
	page->last = page->next[0] == '\0';
	count = nauth_plain_take_word(&reader);
	if (!count_valid(count))
		return false;
	page->count = (int) count;
	for (int i = 0; i < page->count && reader.ok; i++)
		take_user(&reader, &page->users[i]);
	return end_reading(&reader);
}

bool
nauth_codec_read_wide(NauthSpan element, NauthCodecValid valid, NauthBytes *plain,
					  NauthCodecPage *page)
{
	NauthPlainReader reader = begin_reading(element, ELEMENT_WIDE, valid, plain);

	if (nauth_plain_take_word(&reader) != (uint32_t) page->count)
		return false;
	for (int i = 0; i < page->count && reader.ok; i++)
	{
		NauthCodecUser *user = &page->users[i];

		user->json = nauth_plain_take_value(&reader);
		reader.ok &= json_fits(user) &&
			(user->json.data == NULL ||
			 nauth_jsonb_valid(user->json.data, user->json.len, valid));
	}
	return end_reading(&reader);
}

bool
nauth_codec_read_head(NauthSpan element, NauthBytes *plain, NauthCodecHead *head)
{
	NauthPlainReader reader = begin_reading(element, ELEMENT_HEAD, NULL, plain);
	uint32_t	state = nauth_plain_take_word(&reader);

	head->state = (NauthCodecState) state;
	take_progress(&reader, &head->progress);
	return end_reading(&reader) && state <= NAUTH_CODEC_TOO_LARGE;
}
