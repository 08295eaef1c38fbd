/*-------------------------------------------------------------------------
 *
 * names.c
 *		Host names that end in ".test", or as the link "suffix" says: how long a
 *		look-up takes, and what comes of it.
 *
 * The target of the link "names" is an error of getaddrinfo() as a number, such
 * as -2, or addresses with "," between them, all of which the name then has.
 * Without it a name has 127.0.0.1.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "shim.h"

/* How often a pause looks whether it is over. */
#define TICK_SECONDS	0.01

typedef int (*Lookup) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* What a look-up still has to wait, if it began then. */
static double
seconds_left(double begin)
{
	char		value[64];

	if (!nauth_shim_read("dns", value, sizeof(value)))
		return 0;
	return begin + strtod(value, NULL) - now();
}

static void
pause_lookup(void)
{
	double		begin = now();
	double		left = seconds_left(begin);
	char		mark[PATH_MAX];

	if (left <= 0)
		return;
	nauth_shim_mark(mark, "wait", getpid(), gettid());
	for (; left > 0; left = seconds_left(begin))
	{
		double		tick = left < TICK_SECONDS ? left : TICK_SECONDS;
		struct timespec t = {0, (long) (tick * 1e9)};

		nanosleep(&t, NULL);
	}
	unlink(mark);
}

static bool
ends_in(const char *name, const char *end)
{
	size_t		len = strlen(name);

	return len > strlen(end) && strcasecmp(name + len - strlen(end), end) == 0;
}

static bool
is_test_name(const char *name)
{
	char		more[64];

	return ends_in(name, ".test") || (nauth_shim_read("suffix", more, sizeof(more)) && ends_in(name, more));
}

/*
 * What the link says: an error, or the addresses, as one list.  The C library
 * frees each element of a list by itself.
 */
static int
answer_lookup(Lookup next, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	char		answer[1024] = "127.0.0.1";
	char	   *rest = answer;
	char	   *address;
	int			error = 0;

	(void) nauth_shim_read("names", answer, sizeof(answer));
	if (answer[0] == '-')
		return atoi(answer);
	while (error == 0 && (address = strsep(&rest, ",")) != NULL)
	{
		error = next(address, service, hints, result);
		while (error == 0 && *result)
			result = &(*result)->ai_next;
	}
	return error;
}

int
getaddrinfo(const char *name, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	Lookup		next = (Lookup) nauth_shim_next("getaddrinfo");

	/* a numeric address, as in pg_hba.conf, asks nobody */
	if (hints == NULL || (hints->ai_flags & AI_NUMERICHOST) == 0)
		nauth_shim_use_network("getaddrinfo");
	if (name == NULL || !is_test_name(name))
		return next(name, service, hints, result);
	pause_lookup();
	return answer_lookup(next, service, hints, result);
}
