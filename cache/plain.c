/*-------------------------------------------------------------------------
 *
 * plain.c
 *	  Words, numbers and values one behind another: an element's plain bytes.
 *
 * The only place where the codec's bytes are counted: nothing is read before
 * it is known to be there.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "cache/plain.h"

#include <string.h>

#define ABSENT			UINT32_MAX	/* length of a value that is null */

/* What may follow a value; there is always one of them. */
static const char zeros[NAUTH_CODEC_HEADER];

void
nauth_plain_put(NauthPlainWriter *writer, const void *data, size_t len)
{
	NauthBytes *bytes = writer->bytes;

	writer->ok = writer->ok && len <= NAUTH_CODEC_MAX - bytes->len &&
		nauth_bytes_reserve(bytes, bytes->len + len);
	if (!writer->ok)
		return;
	memcpy(bytes->data + bytes->len, data, len);
	bytes->len += len;
}

void
nauth_plain_put_word(NauthPlainWriter *writer, uint32_t word)
{
	nauth_plain_put(writer, &word, sizeof(word));
}

void
nauth_plain_put_value(NauthPlainWriter *writer, NauthSpan value)
{
	nauth_plain_put_word(writer, value.data == NULL ? ABSENT : (uint32_t) value.len);
	if (value.data == NULL)
		return;
	nauth_plain_put(writer, value.data, value.len);
	nauth_plain_put(writer, zeros, sizeof(zeros) - value.len % sizeof(zeros));
}

/* The next len bytes, or NULL if there are not as many. */
static const char *
take(NauthPlainReader *reader, size_t len)
{
	const char *pos = reader->pos;

	reader->ok = reader->ok && len <= (size_t) (reader->end - pos);
	if (!reader->ok)
		return NULL;
	reader->pos += len;
	return pos;
}

uint32_t
nauth_plain_take_word(NauthPlainReader *reader)
{
	uint32_t	word = 0;
	const char *data = take(reader, sizeof(word));

	if (data != NULL)
		memcpy(&word, data, sizeof(word));
	return word;
}

int64_t
nauth_plain_take_number(NauthPlainReader *reader)
{
	int64_t		number = 0;
	const char *data = take(reader, sizeof(number));

	if (data != NULL)
		memcpy(&number, data, sizeof(number));
	return number;
}

NauthSpan
nauth_plain_take_value(NauthPlainReader *reader)
{
	NauthSpan	value = {NULL, 0};
	uint32_t	len = nauth_plain_take_word(reader);
	size_t		padding_len = sizeof(zeros) - len % sizeof(zeros);
	const char *data;
	const char *padding;

	if (len == ABSENT)
		return value;
	data = take(reader, len);
	padding = take(reader, padding_len);
	reader->ok = padding != NULL && memcmp(padding, zeros, padding_len) == 0;
	if (reader->ok)
	{
		value.data = data;
		value.len = len;
	}
	return value;
}
