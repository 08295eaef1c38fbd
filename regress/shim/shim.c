/*-------------------------------------------------------------------------
 *
 * shim.c
 *		Between a server under test and the C library: slow look-ups of host
 *		names, a network that must not be touched, memory that runs out, a
 *		process that is killed at a chosen point.
 *
 * A test preloads it (LD_PRELOAD) and controls it while the server runs, by
 * symbolic links in the folder that NAUTH_SHIM names:
 *
 *		dns			its target is how many seconds a look-up takes
 *		names		its target is how names end that are looked up like *.test
 *		forbid		while it is there, using the network ends the process
 *		point		its target is NAME or NAME:N; the process that comes to this
 *					point for the Nth time (the first) since it saw another
 *					target, or none, removes the link and kills itself.  More
 *					after another ":" only makes a target differ from the last.
 *
 * and by those the test learns what the server does:
 *
 *		wait.PID.TID	this thread is in such a look-up now
 *		curl.PID	this process has initialized libcurl
 *
 * A link is read and replaced in one step and without a descriptor, which a
 * test that counts descriptors would see.  Memory is a matter of one thread,
 * through the two functions at the end.  Without a control all is as ever.
 *
 * The points are where the server calls
 *
 *		void nauth_fault_point(const char *name);
 *
 * which it does if that function exists, that is if this library is preloaded.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* How often a pause looks whether it is over. */
#define TICK_SECONDS	0.01

/* the C library's own, under the names it keeps for libraries like this */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

/* libcurl's, without its header; it is not linked here */
extern int	curl_global_init(long flags);

/* for the server; see the head */
extern void nauth_fault_point(const char *name);

/* for tests; see the end */
extern void nauth_shim_fail_malloc(long nth);
extern long nauth_shim_malloc_calls(void);

/*
 * Of the thread that armed it.  Nothing may be allocated when they are used,
 * hence a model that fits a library there from the start.
 */
static __thread long fail_at __attribute__((tls_model("initial-exec")));
static __thread long calls __attribute__((tls_model("initial-exec")));

/* ---- Control */

/* The path of a link in the folder; false if there is no folder. */
static bool
control_path(char path[PATH_MAX], const char *name)
{
	const char *folder = getenv("NAUTH_SHIM");

	if (folder == NULL)
		return false;
	snprintf(path, PATH_MAX, "%s/%s", folder, name);
	return true;
}

/* The target of a link in the folder; false if there is none. */
static bool
read_control(const char *name, char *value, size_t size)
{
	char		path[PATH_MAX];
	ssize_t		len;

	if (!control_path(path, name))
		return false;
	len = readlink(path, value, size - 1);
	if (len < 0)
		return false;
	value[len] = '\0';
	return true;
}

/* Make a link for the test to see, thread 0 being none. */
static void
make_mark(char mark[PATH_MAX], const char *name, int process, int thread)
{
	const char *folder = getenv("NAUTH_SHIM");
	int			len;

	if (folder == NULL)
		return;
	len = snprintf(mark, PATH_MAX, "%s/%s.%d", folder, name, process);
	if (thread != 0)
		snprintf(mark + len, PATH_MAX - len, ".%d", thread);
	if (symlink("mark", mark) != 0 && errno != EEXIST)
		abort();
}

static void *
next_function(const char *name)
{
	void	   *function = dlsym(RTLD_NEXT, name);

	if (function == NULL)
		abort();
	return function;
}

/* ---- Host names */

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

	if (!read_control("dns", value, sizeof(value)))
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
	make_mark(mark, "wait", getpid(), gettid());
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

	return ends_in(name, ".test") || (read_control("names", more, sizeof(more)) && ends_in(name, more));
}

/* ---- The network */

/* Whether it leads to where no server under a ban may go. */
static bool
is_network(const struct sockaddr *address)
{
	if (address == NULL)
		return false;
	if (address->sa_family == AF_UNIX)
		return strstr(((const struct sockaddr_un *) address)->sun_path, ".s.PGSQL.") == NULL;
	return address->sa_family == AF_INET || address->sa_family == AF_INET6;
}

static void
use_network(const char *how)
{
	char		value[8];

	if (!read_control("forbid", value, sizeof(value)))
		return;
	fprintf(stderr, "nauth_shim: %s() while the network is forbidden\n", how);
	abort();
}

int
getaddrinfo(const char *name, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	int			(*next) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

	next = next_function("getaddrinfo");
	/* a numeric address, as in pg_hba.conf, asks nobody */
	if (hints == NULL || (hints->ai_flags & AI_NUMERICHOST) == 0)
		use_network("getaddrinfo");
	if (name != NULL && is_test_name(name))
	{
		pause_lookup();
		name = "127.0.0.1";
	}
	return next(name, service, hints, result);
}

int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	int			(*next) (int, const struct sockaddr *, socklen_t) = next_function("connect");

	if (is_network(address))
		use_network("connect");
	return next(fd, address, len);
}

ssize_t
sendto(int fd, const void *data, size_t size, int flags,
	   const struct sockaddr *address, socklen_t len)
{
	ssize_t		(*next) (int, const void *, size_t, int, const struct sockaddr *, socklen_t);

	next = next_function("sendto");
	if (is_network(address))
		use_network("sendto");
	return next(fd, data, size, flags, address, len);
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t		(*next) (int, const struct msghdr *, int) = next_function("sendmsg");

	if (is_network(message->msg_name))
		use_network("sendmsg");
	return next(fd, message, flags);
}

int
curl_global_init(long flags)
{
	int			(*next) (long) = next_function("curl_global_init");
	char		mark[PATH_MAX];

	make_mark(mark, "curl", getpid(), 0);
	return next(flags);
}

/* ---- Points at which a process is killed */

/* Whether a target names this point; nth becomes the time that counts. */
static bool
is_at(const char *target, const char *name, long *nth)
{
	size_t		len = strlen(name);

	if (strncmp(target, name, len) != 0 ||
		(target[len] != '\0' && target[len] != ':'))
		return false;
	*nth = target[len] == ':' ? strtol(target + len + 1, NULL, 10) : 1;
	return true;
}

void
nauth_fault_point(const char *name)
{
	static char seen[128];		/* the target that is counted for */
	static long count;
	char		target[sizeof(seen)];
	char		path[PATH_MAX];
	long		nth;

	if (!read_control("point", target, sizeof(target)))
		target[0] = '\0';
	if (strcmp(target, seen) != 0)
	{
		strcpy(seen, target);
		count = 0;
	}
	if (target[0] == '\0' || !is_at(target, name, &nth) || ++count < nth)
		return;
	if (!control_path(path, "point"))
		return;
	if (unlink(path) != 0)
	{
		/* another process was faster, and one death was asked for */
		if (errno == ENOENT)
			return;
		abort();
	}
	kill(getpid(), SIGKILL);
}

/* ---- Memory; strdup() and the like call these */

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
