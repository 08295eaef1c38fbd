/*-------------------------------------------------------------------------
 *
 * buffer.c
 *		Memory, byte strings, JSON text and times of the provider simulator.
 *
 * A listing of a million users is built here byte by byte, so the writers are
 * plain and allocate nothing but the buffer itself.  They know no provider.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sim.h"

void *
sim_alloc(size_t size)
{
	return memset(sim_realloc(NULL, size), 0, size);
}

void *
sim_realloc(void *old, size_t size)
{
	void	   *new = realloc(old, size);

	if (new == NULL)
	{
		fputs("nauth_sim: out of memory\n", stderr);
		abort();
	}
	return new;
}

char *
sim_memdup(const char *bytes, size_t len)
{
	char	   *copy = sim_alloc(len + 1);

	memcpy(copy, bytes, len);
	return copy;
}

char *
sim_strdup(const char *text)
{
	return text ? sim_memdup(text, strlen(text)) : NULL;
}

/*
 * The whole file in memory the caller frees, with a NUL behind it.
 */
char *
sim_read_file(const char *path, size_t *len)
{
	FILE	   *file = fopen(path, "rb");
	SimBuf		buf = {0};
	char		block[65536];
	size_t		got;

	if (file == NULL)
		return NULL;
	while ((got = fread(block, 1, sizeof(block), file)) > 0)
		sim_buf_add(&buf, block, got);
	fclose(file);
	sim_buf_add(&buf, "", 1);
	*len = buf.len - 1;
	return buf.data;
}

void
sim_buf_grow(SimBuf *buf, size_t len)
{
	size_t		cap = buf->cap ? buf->cap : 256;

	while (cap - buf->len <= len)
		cap *= 2;
	buf->data = sim_realloc(buf->data, cap);
	buf->cap = cap;
}

void
sim_buf_free(SimBuf *buf)
{
	free(buf->data);
	memset(buf, 0, sizeof(*buf));
}

void
sim_buf_int(SimBuf *buf, int64_t value)
{
	char		digits[24];
	char	   *p = digits + sizeof(digits);
	uint64_t	rest = value < 0 ? -(uint64_t) value : (uint64_t) value;

	do
	{
		*--p = (char) ('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (value < 0)
		*--p = '-';
	sim_buf_add(buf, p, (size_t) (digits + sizeof(digits) - p));
}

/*
 * Write the content of a JSON string.  Bytes above 127 pass unchanged: what
 * is not UTF-8 was put in by a test that wants to see it.
 */
void
sim_buf_escape(SimBuf *buf, const char *text)
{
	const char *start = text;

	for (; *text; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		sim_buf_add(buf, start, (size_t) (text - start));
		start = text + 1;
		if (c < ' ')
			sim_buf_printf(buf, "\\u%04x", c);
		else
		{
			SIM_LITERAL(buf, "\\");
			sim_buf_add(buf, text, 1);
		}
	}
	sim_buf_add(buf, start, (size_t) (text - start));
}

void
sim_buf_string(SimBuf *buf, const char *text)
{
	if (text == NULL)
	{
		SIM_LITERAL(buf, "null");
		return;
	}
	SIM_LITERAL(buf, "\"");
	sim_buf_escape(buf, text);
	SIM_LITERAL(buf, "\"");
}

/*
 * Begin a member of an object, behind a comma unless it is the first.
 */
void
sim_buf_name(SimBuf *buf, const char *name)
{
	if (buf->data[buf->len - 1] != '{')
		SIM_LITERAL(buf, ",");
	SIM_LITERAL(buf, "\"");
	sim_buf_text(buf, name);
	SIM_LITERAL(buf, "\":");
}

void
sim_buf_member(SimBuf *buf, const char *name, const char *text)
{
	sim_buf_name(buf, name);
	sim_buf_string(buf, text);
}

/*
 * A member that is left out if there is no text.
 */
void
sim_buf_optional(SimBuf *buf, const char *name, const char *text)
{
	if (text)
		sim_buf_member(buf, name, text);
}

static void
put_digits(char *to, int width, int64_t value)
{
	while (width-- > 0)
	{
		to[width] = (char) ('0' + value % 10);
		value /= 10;
	}
}

/*
 * Write a time as JavaScript's toISOString does.  The years it writes with a
 * sign are of no use to a test, so they all become its last one.
 */
void
sim_buf_iso(SimBuf *buf, int64_t ms)
{
	char		text[] = "0000-00-00T00:00:00.000Z";
	int64_t		fraction = ((ms % 1000) + 1000) % 1000;
	time_t		seconds = (time_t) ((ms - fraction) / 1000);
	struct tm	tm;

	if (ms < INT64_C(-62135596800000) || ms > INT64_C(253402300799999) ||
		gmtime_r(&seconds, &tm) == NULL)
	{
		SIM_LITERAL(buf, "+275760-09-13T00:00:00.000Z");
		return;
	}
	put_digits(text, 4, tm.tm_year + 1900);
	put_digits(text + 5, 2, tm.tm_mon + 1);
	put_digits(text + 8, 2, tm.tm_mday);
	put_digits(text + 11, 2, tm.tm_hour);
	put_digits(text + 14, 2, tm.tm_min);
	put_digits(text + 17, 2, tm.tm_sec);
	put_digits(text + 20, 3, fraction);
	sim_buf_add(buf, text, sizeof(text) - 1);
}

void
sim_buf_time(SimBuf *buf, const char *name, int64_t ms)
{
	sim_buf_name(buf, name);
	SIM_LITERAL(buf, "\"");
	sim_buf_iso(buf, ms);
	SIM_LITERAL(buf, "\"");
}

void
sim_buf_printf(SimBuf *buf, const char *format,...)
{
	va_list		args;
	int			len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0)
		return;
	if (buf->cap - buf->len <= (size_t) len)
		sim_buf_grow(buf, (size_t) len);
	va_start(args, format);
	vsnprintf(buf->data + buf->len, (size_t) len + 1, format, args);
	va_end(args);
	buf->len += (size_t) len;
}

int64_t
sim_parse_iso(const char *text)
{
	struct tm	tm = {0};
	int			ms = 0;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &tm.tm_year, &tm.tm_mon,
			   &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms) < 6)
		return SIM_TIME_NONE;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return (int64_t) timegm(&tm) * 1000 + ms;
}

/*
 * Read a whole decimal number; false, if the text is anything else.
 */
bool
sim_parse_int(const char *text, int64_t min, int64_t max, int64_t *value)
{
	char	   *end;

	if (strspn(text, "-0123456789") != strlen(text))
		return false;
	errno = 0;
	*value = strtoll(text, &end, 10);
	return end != text && *end == '\0' && errno == 0 &&
		*value >= min && *value <= max;
}

bool
sim_is_uuid(const char *text)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (size_t i = 0; i < sizeof(form); i++)
		if (form[i] == 'x' ? !isxdigit((unsigned char) text[i]) : text[i] != form[i])
			return false;
	return true;
}

bool
sim_is_one_of(const char *name, const char *const *table, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(name, table[i]) == 0)
			return true;
	return false;
}

/* FNV-1a, from 0 on. */
uint64_t
sim_hash_text(uint64_t hash, const char *text)
{
	if (hash == 0)
		hash = UINT64_C(14695981039346656037);
	for (; *text; text++)
		hash = (hash ^ (unsigned char) *text) * UINT64_C(1099511628211);
	return hash;
}

void
sim_indexes_add(SimIndexes *list, int64_t index)
{
	if (list->n == list->cap)
	{
		list->cap = list->cap ? list->cap * 2 : 64;
		list->item = sim_realloc(list->item, list->cap * sizeof(int64_t));
	}
	list->item[list->n++] = index;
}

void
sim_indexes_add_once(SimIndexes *list, int64_t index)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->item[i] == index)
			return;
	sim_indexes_add(list, index);
}

static int
compare_indexes(const void *left, const void *right)
{
	int64_t		a = *(const int64_t *) left;
	int64_t		b = *(const int64_t *) right;

	return (a > b) - (a < b);
}

void
sim_indexes_sort(SimIndexes *list)
{
	size_t		kept = 0;

	if (list->n > 1)
		qsort(list->item, list->n, sizeof(int64_t), compare_indexes);
	for (size_t i = 0; i < list->n; i++)
		if (kept == 0 || list->item[kept - 1] != list->item[i])
			list->item[kept++] = list->item[i];
	list->n = kept;
}
