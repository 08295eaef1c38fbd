/*-------------------------------------------------------------------------
 *
 * slice_value.c
 *	  Read the few values of a sliced user that decide what happens to it.
 *
 * Unlike the splitter this is strict, for what it returns is used as it is: a
 * text is one that PostgreSQL can hold, an integer is written as one.  This
 * file must not allocate.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "slice.h"

#include <string.h>

/* Four hexadecimal digits at p, or -1. */
static int32_t
read_hex(const char *p, const char *end)
{
	int32_t		code = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char		c = p[i];

		if (c >= '0' && c <= '9')
			code = code * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			code = code * 16 + (c - 'a') + 10;
		else if (c >= 'A' && c <= 'F')
			code = code * 16 + (c - 'A') + 10;
		else
			return -1;
	}
	return code;
}

/* The character of an escape; p is behind the backslash.  -1: there is none. */
static int32_t
read_escape(const char **p, const char *end)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	int32_t		code;
	int32_t		low;

	if (*p == end)
		return -1;
	if (**p != 'u')
	{
		const char *letter = memchr(letters, **p, sizeof(letters) - 1);

		(*p)++;
		return letter == NULL ? -1 : meanings[letter - letters];
	}
	code = read_hex(*p + 1, end);
	if (code <= 0 || (code >= 0xDC00 && code <= 0xDFFF))
		return -1;
	*p += 5;
	if (code < 0xD800 || code > 0xDBFF)
		return code;

	if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
		return -1;
	low = read_hex(*p + 2, end);
	if (low < 0xDC00 || low > 0xDFFF)
		return -1;
	*p += 6;
	return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

/* The character at p, written as itself.  -1: not what a string may hold. */
static int32_t
read_utf8(const char **p, const char *end)
{
	static const int32_t least[] = {0, 0x80, 0x800, 0x10000};
	unsigned char lead = (unsigned char) **p;
	int			more = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
	int32_t		code = more == 0 ? lead : lead & (0x3F >> more);

	if (lead < 0x20 || lead == '"' || (lead >= 0x80 && lead < 0xC0) ||
		lead > 0xF4 || end - *p <= more)
		return -1;
	for (int i = 1; i <= more; i++)
	{
		unsigned char byte = (unsigned char) (*p)[i];

		if ((byte & 0xC0) != 0x80)
			return -1;
		code = code << 6 | (byte & 0x3F);
	}
	if (code < least[more] || code > 0x10FFFF ||
		(code >= 0xD800 && code <= 0xDFFF))
		return -1;
	*p += more + 1;
	return code;
}

/* Write a character as UTF-8; returns how many bytes it takes. */
static size_t
write_utf8(int32_t code, char *bytes)
{
	size_t		len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t i = len - 1; i > 0; i--)
	{
		bytes[i] = (char) (0x80 | (code & 0x3F));
		code >>= 6;
	}
	bytes[0] = (char) (len == 1 ? code : (0xF00 >> len & 0xFF) | code);
	return len;
}

bool
nauth_slice_text(NauthSpan value, char *out, size_t size)
{
	const char *p;
	const char *end;
	size_t		used = 0;

	if (size == 0)
		return false;
	out[0] = '\0';
	if (value.data == NULL || value.len < 2 ||
		value.data[0] != '"' || value.data[value.len - 1] != '"')
		return false;
	p = value.data + 1;
	end = value.data + value.len - 1;
	while (p < end)
	{
		char		bytes[4];
		size_t		len;
		int32_t		code;

		if (*p == '\\')
		{
			p++;
			code = read_escape(&p, end);
		}
		else
			code = read_utf8(&p, end);
		len = code < 0 ? size : write_utf8(code, bytes);
		if (len >= size - used)
		{
			out[0] = '\0';
			return false;
		}
		memcpy(out + used, bytes, len);
		used += len;
	}
	out[used] = '\0';
	return true;
}

bool
nauth_slice_int64(NauthSpan value, int64_t *out)
{
	const char *p = value.data;
	const char *end;
	bool		negative;
	int64_t		result = 0;

	if (value.data == NULL || value.len == 0)
		return false;
	end = p + value.len;
	negative = *p == '-';
	if (negative)
		p++;
	if (p == end || (*p == '0' && end - p > 1))
		return false;

	/* counted downwards, for there is one more negative number */
	for (; p < end; p++)
	{
		if (*p < '0' || *p > '9' ||
			__builtin_mul_overflow(result, 10, &result) ||
			__builtin_sub_overflow(result, *p - '0', &result))
			return false;
	}
	if (!negative && __builtin_sub_overflow((int64_t) 0, result, &result))
		return false;
	*out = result;
	return true;
}

bool
nauth_slice_is_null(NauthSpan value)
{
	return value.data == NULL ||
		(value.len == 4 && memcmp(value.data, "null", 4) == 0);
}

bool
nauth_slice_is_split(NauthSliceResult result)
{
	return result == NAUTH_SLICE_OK || result == NAUTH_SLICE_DEEP ||
		result == NAUTH_SLICE_LONG_NUMBER;
}
