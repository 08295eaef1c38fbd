/*-------------------------------------------------------------------------
 *
 * slice.c
 *	  Split JSON bytes into ranges without building anything.
 *
 * Inside of a value only tokens are checked, not their order: that is the
 * work of whoever parses the value.  What must hold here for any bytes at all
 * is that nothing outside of the input is read, and that a value ends where a
 * parser would say that it ends.  This file must not allocate.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "slice.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Bytes of the longest member name that is compared after decoding, its zero included. */
#define NAME_MAX_BYTES		64

/* What a byte that is not part of a string, number or literal means. */
typedef enum NauthByte
{
	BYTE_STRAY,					/* cannot stand there */
	BYTE_BLANK,
	BYTE_PART,					/* parts values: comma and colon */
	BYTE_QUOTE,
	BYTE_OPEN,
	BYTE_CLOSE,
	BYTE_NUMBER,
	BYTE_LITERAL
} NauthByte;

static const unsigned char byte_kinds[256] = {
	[' '] = BYTE_BLANK,['\t'] = BYTE_BLANK,['\n'] = BYTE_BLANK,['\r'] = BYTE_BLANK,
	[','] = BYTE_PART,[':'] = BYTE_PART,['"'] = BYTE_QUOTE,
	['{'] = BYTE_OPEN,['['] = BYTE_OPEN,['}'] = BYTE_CLOSE,[']'] = BYTE_CLOSE,
	['-'] = BYTE_NUMBER,['0'] = BYTE_NUMBER,['1'] = BYTE_NUMBER,
	['2'] = BYTE_NUMBER,['3'] = BYTE_NUMBER,['4'] = BYTE_NUMBER,
	['5'] = BYTE_NUMBER,['6'] = BYTE_NUMBER,['7'] = BYTE_NUMBER,
	['8'] = BYTE_NUMBER,['9'] = BYTE_NUMBER,
	['t'] = BYTE_LITERAL,['f'] = BYTE_LITERAL,['n'] = BYTE_LITERAL
};

/* A walk over one object, and what it met that the object is flawed by. */
typedef struct NauthWalk
{
	const char *end;
	bool		deep;
	bool		long_number;
	bool		duplicate;
} NauthWalk;

static inline NauthByte
byte_kind(char c)
{
	return (NauthByte) byte_kinds[(unsigned char) c];
}

static inline NauthSpan
span_between(const char *start, const char *end)
{
	NauthSpan	span = {start, (size_t) (end - start)};

	return span;
}

static inline const char *
skip_blanks(const char *p, const char *end)
{
	while (p < end && byte_kind(*p) == BYTE_BLANK)
		p++;
	return p;
}

/*
 * The first quote or backslash from p on, or end.  Most bytes of a page are
 * in strings, so this decides how fast a page is split.
 */
static inline const char *
find_special(const char *p, const char *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');

	while (end - p >= 16)
	{
		__m128i		block = _mm_loadu_si128((const __m128i *) p);
		int			mask = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(block, quote),
														  _mm_cmpeq_epi8(block, backslash)));

		if (mask != 0)
			return p + __builtin_ctz((unsigned int) mask);
		p += 16;
	}
#endif
	while (p < end && *p != '"' && *p != '\\')
		p++;
	return p;
}

/* p is behind the opening quote; returns the byte behind the closing one. */
static inline const char *
skip_string(const char *p, const char *end)
{
	for (;;)
	{
		p = find_special(p, end);
		if (p == end)
			return NULL;
		if (*p == '"')
			return p + 1;
		if (end - p < 2)
			return NULL;
		p += 2;
	}
}

/*
 * A number ends at the first byte that no number has.  A wrong one such as
 * "1.2.3" is left to the parser, but a huge one must never reach numeric_in:
 * there "1e99999" takes as much memory as its author likes.
 */
static const char *
skip_number(NauthWalk *walk, const char *p)
{
	const char *start = p;
	bool		in_exponent = false;
	int			exponent = 0;

	for (; p < walk->end; p++)
	{
		if (*p >= '0' && *p <= '9')
		{
			if (in_exponent && exponent <= NAUTH_SLICE_EXPONENT)
				exponent = exponent * 10 + (*p - '0');
		}
		else if (*p == 'e' || *p == 'E')
			in_exponent = true;
		else if (*p != '.' && *p != '-' && *p != '+')
			break;
	}
	if (p - start > NAUTH_SLICE_NUMBER || exponent > NAUTH_SLICE_EXPONENT)
		walk->long_number = true;
	return p;
}

static const char *
skip_literal(const char *p, const char *end)
{
	static const NauthSpan literals[] = {
		{"true", 4}, {"false", 5}, {"null", 4}
	};

	for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++)
	{
		if ((size_t) (end - p) >= literals[i].len &&
			memcmp(p, literals[i].data, literals[i].len) == 0)
			return p + literals[i].len;
	}
	return NULL;
}

/*
 * Skip an array or object inside of the object that is walked.  Brackets are
 * matched by kind, one bit each, down to the depth that there are bits for;
 * below they are only counted, for the value is not going to be used.
 */
static const char *
skip_brackets(NauthWalk *walk, const char *p)
{
	uint64_t	braces = 1;
	size_t		depth = 1;

	while (p != NULL && p < walk->end)
	{
		switch (byte_kind(*p))
		{
			case BYTE_QUOTE:
				p = skip_string(p + 1, walk->end);
				break;
			case BYTE_PART:
			case BYTE_BLANK:
				p++;
				break;
			case BYTE_OPEN:
				if (++depth <= NAUTH_SLICE_DEPTH)
					braces = braces << 1 | (*p == '{');
				else
					walk->deep = true;
				p++;
				break;
			case BYTE_CLOSE:
				if (depth-- <= NAUTH_SLICE_DEPTH)
				{
					if ((braces & 1) != (*p == '}'))
						return NULL;
					braces >>= 1;
				}
				p++;
				if (depth == 1)
					return p;
				break;
			case BYTE_NUMBER:
				p = skip_number(walk, p);
				break;
			case BYTE_LITERAL:
				p = skip_literal(p, walk->end);
				break;
			case BYTE_STRAY:
				return NULL;
		}
	}
	return NULL;
}

/* Skip the value at p; NULL when there is none or it does not end. */
static const char *
skip_value(NauthWalk *walk, const char *p)
{
	if (p == walk->end)
		return NULL;
	switch (byte_kind(*p))
	{
		case BYTE_QUOTE:
			return skip_string(p + 1, walk->end);
		case BYTE_OPEN:
			return skip_brackets(walk, p);
		case BYTE_NUMBER:
			return skip_number(walk, p);
		case BYTE_LITERAL:
			return skip_literal(p, walk->end);
		default:
			return NULL;
	}
}

/* Whether a member's name, quotes included, says the same as a wanted one. */
static bool
name_equals(NauthSpan name, const char *wanted)
{
	char		decoded[NAME_MAX_BYTES];
	size_t		len = strlen(wanted);

	if (name.len == len + 2 && memcmp(name.data + 1, wanted, len) == 0)
		return true;

	/* "\u0069d" is "id" too, and must not hide a second one */
	return memchr(name.data, '\\', name.len) != NULL &&
		nauth_slice_text(name, decoded, sizeof(decoded)) &&
		strcmp(decoded, wanted) == 0;
}

static void
keep_member(NauthWalk *walk, NauthSpan name, NauthSpan value,
			const char *const *names, NauthSpan *found)
{
	for (int i = 0; names[i] != NULL; i++)
	{
		if (!name_equals(name, names[i]))
			continue;
		if (found[i].data != NULL)
			walk->duplicate = true;
		else
			found[i] = value;
		return;
	}
}

/*
 * Walk one "name: value" from p on.  Returns the next byte that is not blank,
 * which may be the end, or NULL.
 */
static const char *
walk_member(NauthWalk *walk, const char *p, const char *const *names,
			NauthSpan *found)
{
	const char *start = p;
	NauthSpan	name;

	if (p == walk->end || *p != '"')
		return NULL;
	p = skip_string(p + 1, walk->end);
	if (p == NULL)
		return NULL;
	name = span_between(start, p);

	p = skip_blanks(p, walk->end);
	if (p == walk->end || *p != ':')
		return NULL;
	start = skip_blanks(p + 1, walk->end);

	p = skip_value(walk, start);
	if (p == NULL)
		return NULL;
	keep_member(walk, name, span_between(start, p), names, found);
	return skip_blanks(p, walk->end);
}

/* p is behind the opening brace; returns the byte behind the closing one. */
static const char *
walk_members(NauthWalk *walk, const char *p, const char *const *names,
			 NauthSpan *found)
{
	static const NauthSpan absent = {NULL, 0};

	for (int i = 0; names[i] != NULL; i++)
		found[i] = absent;

	p = skip_blanks(p, walk->end);
	if (p < walk->end && *p == '}')
		return p + 1;
	for (;;)
	{
		p = walk_member(walk, p, names, found);
		if (p == NULL || p == walk->end)
			return NULL;
		if (*p == '}')
			return p + 1;
		if (*p != ',')
			return NULL;
		p = skip_blanks(p + 1, walk->end);
	}
}

/* Whether something of the right type can be at p, or what is wrong. */
static NauthSliceResult
check_bracket(const char *p, const char *end, char bracket)
{
	if (p < end && *p == bracket)
		return NAUTH_SLICE_OK;
	if (p < end && byte_kind(*p) >= BYTE_QUOTE && byte_kind(*p) != BYTE_CLOSE)
		return NAUTH_SLICE_TYPE;
	return NAUTH_SLICE_SYNTAX;
}

/* Walk the object at p and go behind it. */
static NauthSliceResult
walk_object(const char **pos, const char *end, const char *const *names,
			NauthSpan *element, NauthSpan *found)
{
	NauthWalk	walk = {end, false, false, false};
	const char *start = *pos;
	const char *p;
	NauthSliceResult result = check_bracket(start, end, '{');

	if (result != NAUTH_SLICE_OK)
		return result;
	p = walk_members(&walk, start + 1, names, found);
	if (p == NULL)
		return NAUTH_SLICE_SYNTAX;
	*element = span_between(start, p);
	*pos = p;

	/* of several flaws, tell the one that makes what was found doubtful */
	if (walk.duplicate)
		return NAUTH_SLICE_DUPLICATE;
	if (walk.deep)
		return NAUTH_SLICE_DEEP;
	return walk.long_number ? NAUTH_SLICE_LONG_NUMBER : NAUTH_SLICE_OK;
}

NauthSliceResult
nauth_slice_object(NauthSpan json, const char *const *names, NauthSpan *found)
{
	NauthSpan	element;
	NauthSliceResult result;
	const char *end;
	const char *p;

	if (json.data == NULL)
		return NAUTH_SLICE_SYNTAX;
	end = json.data + json.len;
	p = skip_blanks(json.data, end);
	result = walk_object(&p, end, names, &element, found);
	if (result == NAUTH_SLICE_TYPE || result == NAUTH_SLICE_SYNTAX)
		return result;
	return skip_blanks(p, end) == end ? result : NAUTH_SLICE_SYNTAX;
}

NauthSliceResult
nauth_slice_array(NauthSlicer *slicer, NauthSpan json)
{
	NauthSliceResult result;

	if (json.data == NULL)
		return NAUTH_SLICE_SYNTAX;
	slicer->end = json.data + json.len;
	slicer->pos = skip_blanks(json.data, slicer->end);
	slicer->first = true;
	result = check_bracket(slicer->pos, slicer->end, '[');
	if (result == NAUTH_SLICE_OK)
		slicer->pos++;
	return result;
}

NauthSliceResult
nauth_slice_next(NauthSlicer *slicer, const char *const *names,
				 NauthSpan *element, NauthSpan *found)
{
	const char *end = slicer->end;
	const char *p = skip_blanks(slicer->pos, end);

	if (p < end && *p == ']')
		return skip_blanks(p + 1, end) == end ? NAUTH_SLICE_END : NAUTH_SLICE_SYNTAX;
	if (!slicer->first)
	{
		if (p == end || *p != ',')
			return NAUTH_SLICE_SYNTAX;
		p = skip_blanks(p + 1, end);
	}
	slicer->first = false;
	slicer->pos = p;
	return walk_object(&slicer->pos, end, names, element, found);
}
