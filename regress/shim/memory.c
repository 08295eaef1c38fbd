/*-------------------------------------------------------------------------
 *
 * memory.c
 *		The nth allocation of a thread fails.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

/* the C library's own, under the names it keeps for libraries like this */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

/* for tests, through regress/probe */
extern void nauth_shim_fail_malloc(long nth);
extern long nauth_shim_malloc_calls(void);

/*
 * Of the thread that armed it.  Nothing may be allocated when they are used,
 * hence a model that fits a library there from the start.
 */
static __thread long fail_at __attribute__((tls_model("initial-exec")));
static __thread long calls __attribute__((tls_model("initial-exec")));

/* ---- strdup() and the like call these */

/* Counts a call in the thread that armed it; true if that call is to fail. */
static inline bool
fails(void)
{
	if (__builtin_expect(fail_at == 0, 1) || ++calls != fail_at)
		return false;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *block, size_t size)
{
	return fails() ? NULL : __libc_realloc(block, size);
}

void *
memalign(size_t alignment, size_t size)
{
	return fails() ? NULL : __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int
posix_memalign(void **block, size_t alignment, size_t size)
{
	void	   *got = memalign(alignment, size);

	if (got == NULL)
		return ENOMEM;
	*block = got;
	return 0;
}

/*
 * From now on counts the calls in this thread, the nth of which fails, once; 0
 * ends that and leaves the count for nauth_shim_malloc_calls().
 */
void
nauth_shim_fail_malloc(long nth)
{
	if (nth != 0)
		calls = 0;
	fail_at = nth;
}

long
nauth_shim_malloc_calls(void)
{
	return calls;
}
