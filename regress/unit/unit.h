/*-------------------------------------------------------------------------
 *
 * unit.h
 *	  The few lines that a unit test needs: TAP output and fixtures.
 *
 * Bytes under test lie in a block of exactly their length, so that a build
 * with -fsanitize=address sees a read behind their end.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_UNIT_H
#define NAUTH_UNIT_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slice.h"

static int	unit_tests;
static int	unit_failures;

static inline bool
ok(bool passed, const char *name)
{
	printf("%sok %d - %s\n", passed ? "" : "not ", ++unit_tests, name);
	if (!passed)
		unit_failures++;
	return passed;
}

static inline void
is_text(const char *got, const char *expected, const char *name)
{
	if (!ok(strcmp(got, expected) == 0, name))
		printf("#      got: %s\n# expected: %s\n", got, expected);
}

static inline void
is_int(int64_t got, int64_t expected, const char *name)
{
	if (!ok(got == expected, name))
		printf("#      got: %" PRId64 "\n# expected: %" PRId64 "\n", got, expected);
}

/* What main returns: prints the plan, tells whether all passed. */
static inline int
done_testing(void)
{
	printf("1..%d\n", unit_tests);
	return unit_failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static inline void *
unit_allocate(size_t size)
{
	void	   *block = malloc(size == 0 ? 1 : size);

	if (block == NULL)
	{
		printf("Bail out! out of memory\n");
		exit(EXIT_FAILURE);
	}
	return block;
}

/* A copy of bytes for a test to read; free it with unit_free. */
static inline NauthSpan
unit_copy(const char *data, size_t len)
{
	char	   *block = unit_allocate(len);
	NauthSpan	span = {block, len};

	memcpy(block, data, len);
	return span;
}

static inline NauthSpan
unit_copy_text(const char *text)
{
	return unit_copy(text, strlen(text));
}

static inline void
unit_free(NauthSpan span)
{
	free((void *) span.data);
}

/* The bytes of a file below regress/fixtures; free them with unit_free. */
static inline NauthSpan
unit_fixture(const char *name)
{
	char		path[1024];
	char		block[65536];
	size_t		len;
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/%s", NAUTH_FIXTURES, name);
	file = fopen(path, "rb");
	if (file == NULL)
	{
		printf("Bail out! cannot open fixture %s\n", name);
		exit(EXIT_FAILURE);
	}
	len = fread(block, 1, sizeof(block), file);
	fclose(file);
	return unit_copy(block, len);
}

#endif							/* NAUTH_UNIT_H */
