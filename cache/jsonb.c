/*-------------------------------------------------------------------------
 *
 * jsonb.c
 *	  Whether bytes are a jsonb that the server can safely work with.
 *
 * One pass over the tree, each byte looked at once.  Offsets are relative to
 * the container's data, which is aligned to a word like the container itself.
 * This file must not allocate, and must be as strict as the server's writer:
 * a freedom that no jsonb uses is one that only a forger has use for.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "cache/jsonb.h"

#include <string.h>

#define WORD			4

/*
 * A numeric: a varlena header, 16 bits that hold the short form or the sign and
 * scale of the long one, in the long one 16 bits of weight, and digits of four
 * decimals each.
 */
#define NUMERIC_FORM	0xC000
#define NUMERIC_POSITIVE 0x0000
#define NUMERIC_NEGATIVE 0x4000
#define NUMERIC_SHORT	0x8000	/* the form left is not a number or infinite */
#define NUMERIC_SCALE	0x3FFF
#define SHORT_NEGATIVE	0x2000
#define SHORT_SCALE		0x1F80
#define SHORT_SCALE_SHIFT 7
#define SHORT_WEIGHT	0x003F
#define SHORT_WEIGHT_SIGN 0x0040
#define SHORT_SCALE_MAX	63
#define SHORT_WEIGHT_MAX 63
#define SHORT_WEIGHT_MIN (-64)
#define DIGIT_BASE		10000
#define DIGIT_DECIMALS	4

/* Decimal places on either side of the point that slice.c lets a number have. */
#define PLACES_MAX		(NAUTH_SLICE_NUMBER + NAUTH_SLICE_EXPONENT)
#define WEIGHT_MAX		(PLACES_MAX / DIGIT_DECIMALS + 1)

/* What a varlena of len bytes, header included, begins with. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VARLENA_HEADER(len)	((uint32_t) (len) << 2)
#else
#define VARLENA_HEADER(len)	((uint32_t) (len))
#endif

typedef struct Numeric
{
	bool		negative;
	bool		is_short;
	int			scale;			/* decimal places shown */
	int			weight;			/* of the first digit, as a power of the base */
	const char *digits;
	int			count;
} Numeric;

static inline uint32_t
word_at(const char *p)
{
	uint32_t	word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static inline int
uint16_at(const char *p)
{
	uint16_t	number;

	memcpy(&number, p, sizeof(number));
	return number;
}

static inline int
int16_at(const char *p)
{
	int16_t		number;

	memcpy(&number, p, sizeof(number));
	return number;
}

/*
 * Most texts are ASCII, which is itself in every encoding of a server: no need
 * to ask, if it has no zero.
 */
static inline bool
text_valid(const char *text, size_t len, NauthCodecValid valid)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t	foreign = 0;	/* high bits of bytes that are not 1 to 127 */
	size_t		i = 0;

	for (; len - i >= sizeof(uint64_t); i += sizeof(uint64_t))
	{
		uint64_t	bytes;

		memcpy(&bytes, text + i, sizeof(bytes));
		foreign |= (bytes - ones) | bytes;
	}
	for (; i < len; i++)
		foreign |= (uint64_t) (unsigned char) (text[i] - 1) | (unsigned char) text[i];
	return (foreign & ones << 7) == 0 || valid(text, len);
}

/* Take a numeric apart; false if it is not even that. */
static bool
read_numeric(const char *data, size_t len, Numeric *numeric)
{
	size_t		digits = WORD + sizeof(uint16_t);
	int			form;

	if (len < digits || word_at(data) != VARLENA_HEADER(len))
		return false;
	form = uint16_at(data + WORD);
	numeric->is_short = (form & NUMERIC_FORM) == NUMERIC_SHORT;
	if (numeric->is_short)
	{
		numeric->negative = (form & SHORT_NEGATIVE) != 0;
		numeric->scale = (form & SHORT_SCALE) >> SHORT_SCALE_SHIFT;
		numeric->weight = (form & SHORT_WEIGHT) - (form & SHORT_WEIGHT_SIGN);
	}
	else
	{
		if ((form & NUMERIC_SHORT) != 0 || len < digits + sizeof(int16_t))
			return false;
		numeric->negative = (form & NUMERIC_FORM) == NUMERIC_NEGATIVE;
		numeric->scale = form & NUMERIC_SCALE;
		numeric->weight = int16_at(data + digits);
		digits += sizeof(int16_t);
	}
	numeric->digits = data + digits;
	numeric->count = (int) ((len - digits) / sizeof(int16_t));
	return (len - digits) % sizeof(int16_t) == 0;
}

/* Whether digits are in range, none is idle, and none is behind the scale. */
static bool
digits_valid(const Numeric *numeric)
{
	const char *digits = numeric->digits;
	int			last = int16_at(digits + sizeof(int16_t) * (numeric->count - 1));
	int			places = DIGIT_DECIMALS * (numeric->count - 1 - numeric->weight);

	if (int16_at(digits) == 0 || last == 0)
		return false;
	for (int i = 0; i < numeric->count; i++)
	{
		int			digit = int16_at(digits + sizeof(int16_t) * i);

		if (digit < 0 || digit >= DIGIT_BASE)
			return false;
	}
	for (; last % 10 == 0; last /= 10)
		places--;
	return places <= numeric->scale;
}

/* A weight far below zero needs no check of its own: it takes a scale to match. */
static bool
numeric_valid(const char *data, size_t len)
{
	Numeric		numeric;
	bool		fits_short;

	if (!read_numeric(data, len, &numeric) || numeric.scale > PLACES_MAX ||
		numeric.weight > WEIGHT_MAX)
		return false;
	fits_short = numeric.scale <= SHORT_SCALE_MAX &&
		numeric.weight >= SHORT_WEIGHT_MIN && numeric.weight <= SHORT_WEIGHT_MAX;
	if (numeric.is_short != fits_short)
		return false;
	if (numeric.count == 0)
		return numeric.weight == 0 && !numeric.negative;
	return digits_valid(&numeric);
}

static bool container_valid(const char *data, size_t len, NauthCodecValid valid, int depth);

/* Whether a child of a type with this length stands at an offset of data. */
static bool
child_valid(uint32_t type, const char *data, size_t offset, size_t len,
			NauthCodecValid valid, int depth)
{
	size_t		padding = -offset % WORD;

	switch (type)
	{
		case NAUTH_JSONB_STRING:
			return text_valid(data + offset, len, valid);
		case NAUTH_JSONB_NULL:
		case NAUTH_JSONB_FALSE:
		case NAUTH_JSONB_TRUE:
			return len == 0;
		case NAUTH_JSONB_NUMERIC:
		case NAUTH_JSONB_CONTAINER:
			if (len < padding)
				return false;
			for (size_t i = 0; i < padding; i++)
				if (data[offset + i] != '\0')
					return false;
			data += offset + padding;
			len -= padding;
			return type == NAUTH_JSONB_NUMERIC ? numeric_valid(data, len) :
				container_valid(data, len, valid, depth + 1);
		default:
			return false;
	}
}

/* Whether a key sorts behind the one before it, as the server sorts them. */
static inline bool
keys_ascend(NauthSpan before, NauthSpan key)
{
	if (before.len != key.len)
		return before.len < key.len;
	return memcmp(before.data, key.data, key.len) < 0;
}

/* Whether this can be the first word of a container; *keys of its children are keys. */
static bool
read_header(uint32_t header, int depth, size_t *children, size_t *keys)
{
	size_t		count = header & NAUTH_JSONB_COUNT;

	switch (header & ~NAUTH_JSONB_COUNT)
	{
		case NAUTH_JSONB_OBJECT:
			*children = 2 * count;
			*keys = count;
			return true;
		case NAUTH_JSONB_ARRAY:
			*children = count;
			*keys = 0;
			return true;
		case NAUTH_JSONB_ARRAY | NAUTH_JSONB_SCALAR:
			*children = count;
			*keys = 0;
			return count == 1 && depth == 1;
		default:
			return false;
	}
}

static bool
container_valid(const char *data, size_t len, NauthCodecValid valid, int depth)
{
	const char *entries = data + WORD;
	uint32_t	header;
	size_t		children;
	size_t		keys;
	size_t		offset = 0;
	NauthSpan	before = {data, 0};

	if (depth > NAUTH_SLICE_DEPTH || len < WORD)
		return false;
	header = word_at(data);
	if (!read_header(header, depth, &children, &keys) || children > len / WORD - 1)
		return false;
	data += WORD + WORD * children;
	len -= WORD + WORD * children;
	for (size_t i = 0; i < children; i++)
	{
		uint32_t	entry = word_at(entries + WORD * i);
		bool		is_end = (entry & NAUTH_JSONB_IS_END) != 0;
		uint32_t	type = entry & NAUTH_JSONB_TYPE;
		size_t		end = (entry & NAUTH_JSONB_LENGTH) + (is_end ? 0 : offset);

		if (is_end != (i % NAUTH_JSONB_STRIDE == 0) || end < offset || end > len)
			return false;
		if (i < keys)
		{
			NauthSpan	key = {data + offset, end - offset};

			if (type != NAUTH_JSONB_STRING || (i > 0 && !keys_ascend(before, key)))
				return false;
			before = key;
		}
		if (type == NAUTH_JSONB_CONTAINER && (header & NAUTH_JSONB_SCALAR) != 0)
			return false;
		if (!child_valid(type, data, offset, end - offset, valid, depth))
			return false;
		offset = end;
	}
	return offset == len;
}

bool
nauth_jsonb_valid(const char *data, size_t len, NauthCodecValid valid)
{
	return container_valid(data, len, valid, 1);
}
