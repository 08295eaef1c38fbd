/*-------------------------------------------------------------------------
 *
 * clock.c
 *		A time of day that is ahead, or behind, by what the link "clock" says.
 *
 * The clock that counts from the start of the machine goes on as ever.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include "shim.h"

/* clock_gettime() itself is looked up once: the server calls it without end. */
typedef int (*Clock) (clockid_t, struct timespec *);

static int
read_clock(clockid_t clock, struct timespec *t)
{
	static Clock next = NULL;

	if (next == NULL)
		next = (Clock) nauth_shim_next("clock_gettime");
	return next(clock, t);
}

static long
offset(void)
{
	char		value[32];

	return nauth_shim_read("clock", value, sizeof(value)) ? strtol(value, NULL, 10) : 0;
}

int
clock_gettime(clockid_t clock, struct timespec *t)
{
	int			result = read_clock(clock, t);

	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
		t->tv_sec += offset();
	return result;
}

int
gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	struct timespec now;

	(void) zone;
	(void) read_clock(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec + offset();
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *result)
{
	struct timeval t;

	(void) gettimeofday(&t, NULL);
	if (result)
		*result = t.tv_sec;
	return t.tv_sec;
}
