/*-------------------------------------------------------------------------
 *
 * jsonb_unit.h
 *	  An encoding for tests, and the way of the server through a jsonb.
 *
 * The server trusts a jsonb, and so does the walk here: run on bytes that the
 * checker took, in a block of exactly their length, it makes a sanitizer see
 * whether it was right.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_JSONB_UNIT_H
#define NAUTH_JSONB_UNIT_H

#include <string.h>

#include "cache/jsonb.h"

/* UTF-8 without zeros, as far as lead and continuation bytes say. */
static inline bool
unit_utf8(const char *text, size_t len)
{
	size_t		more = 0;		/* continuation bytes due */

	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (more > 0 && (c & 0xC0) == 0x80)
			more--;
		else if (more > 0 || c == 0 || (c >= 0x80 && c < 0xC2) || c > 0xF4)
			return false;
		else if (c >= 0x80)
			more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
	}
	return more == 0;
}

static inline uint32_t
unit_word(const char *p)
{
	uint32_t	word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* Where a child begins: behind those before it, from the last known end on. */
static inline size_t
unit_jsonb_offset(const char *entries, size_t child)
{
	size_t		offset = 0;

	while (child-- > 0)
	{
		uint32_t	entry = unit_word(entries + 4 * child);

		offset += entry & NAUTH_JSONB_LENGTH;
		if ((entry & NAUTH_JSONB_IS_END) != 0)
			break;
	}
	return offset;
}

static inline unsigned
unit_sum(const char *data, size_t len)
{
	unsigned	sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += (unsigned char) data[i];
	return sum;
}

/*
 * Read every byte that the server would; returns a sum of them, so that reading
 * is not for nothing.
 */
static inline unsigned
unit_jsonb_walk(const char *data)
{
	uint32_t	header = unit_word(data);
	size_t		children = (header & NAUTH_JSONB_COUNT) *
	((header & NAUTH_JSONB_OBJECT) != 0 ? 2 : 1);
	const char *entries = data + 4;
	const char *base = entries + 4 * children;
	unsigned	sum = 0;

	for (size_t i = 0; i < children; i++)
	{
		size_t		offset = unit_jsonb_offset(entries, i);
		size_t		end = unit_jsonb_offset(entries, i + 1);
		const char *aligned = base + (offset + 3) / 4 * 4;

		switch (unit_word(entries + 4 * i) & NAUTH_JSONB_TYPE)
		{
			case NAUTH_JSONB_STRING:
				sum += unit_sum(base + offset, end - offset);
				break;
			case NAUTH_JSONB_NUMERIC:
				sum += unit_sum(aligned, unit_word(aligned) >> 2);
				break;
			case NAUTH_JSONB_CONTAINER:
				sum += unit_jsonb_walk(aligned);
				break;
		}
	}
	return sum;
}

#endif							/* NAUTH_JSONB_UNIT_H */
