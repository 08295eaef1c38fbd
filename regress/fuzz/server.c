/*-------------------------------------------------------------------------
 *
 * server.c
 *	  As much of a PostgreSQL server as the fuzzed files call: memory that the
 *	  sanitizers watch, and the comparisons of its port library.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "server.h"
#include "utils/memutils.h"

MemoryContext CurrentMemoryContext = NULL;

static MemoryContextCallback *callbacks = NULL;

/* What is palloc'ed, freed by fuzz_reset. */
static struct Block
{
	struct Block *next;
	max_align_t data[];
}		   *blocks = NULL;

void *
palloc0(Size size)
{
	struct Block *block = calloc(1, sizeof(struct Block) + size);

	if (block == NULL)
		abort();
	block->next = blocks;
	blocks = block;
	return block->data;
}

void
MemoryContextRegisterResetCallback(MemoryContext context, MemoryContextCallback *cb)
{
	(void) context;
	cb->next = callbacks;
	callbacks = cb;
}

void
fuzz_reset(void)
{
	for (; callbacks; callbacks = callbacks->next)
		callbacks->func(callbacks->arg);
	while (blocks)
	{
		struct Block *block = blocks;

		blocks = block->next;
		free(block);
	}
}

/* The C library's, in a locale where they are the same. */
int
pg_strcasecmp(const char *s1, const char *s2)
{
	return strcasecmp(s1, s2);
}

int
pg_strncasecmp(const char *s1, const char *s2, size_t n)
{
	return strncasecmp(s1, s2, n);
}

size_t
strlcpy(char *dst, const char *src, size_t siz)
{
	size_t		len = strlen(src);

	if (siz > 0)
	{
		memcpy(dst, src, Min(len, siz - 1));
		dst[Min(len, siz - 1)] = '\0';
	}
	return len;
}

#undef vsnprintf
int
pg_snprintf(char *str, size_t count, const char *fmt,...)
{
	va_list		args;
	int			len;

	va_start(args, fmt);
	len = vsnprintf(str, count, fmt, args);
	va_end(args);
	return len;
}
