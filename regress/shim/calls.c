/*-------------------------------------------------------------------------
 *
 * calls.c
 *		A network that is forbidden, and calls of the system that fail.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "shim.h"

/* for tests, through regress/probe */
extern void nauth_shim_fail_call(const char *call, long nth, long times, int error, const char *place);
extern long nauth_shim_calls(void);

/* What happens to a call. */
typedef enum Fate
{
	PASSES,
	FAILS,						/* with errno set */
	IS_SHORT					/* it does one byte */
}			Fate;

/*
 * What fails in the thread that armed it: the calls of this name on a place,
 * from the nth on, so many times, -1 being for ever.  The place of a descriptor
 * is the part of its path that tells; for those of the network it is enough to
 * be one.
 */
static __thread struct
{
	char		call[16];
	char		place[32];
	long		nth;
	long		times;
	int			error;			/* 0: it is short */
	long		seen;
}			rule;

/* ---- Where a descriptor leads */

static bool
is_internet(int fd)
{
	int			family = 0;
	socklen_t	size = sizeof(family);
	int			before = errno;
	bool		is = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 &&
	(family == AF_INET || family == AF_INET6);

	errno = before;
	return is;
}

static bool
is_at_place(int fd)
{
	char		name[64];
	char		path[PATH_MAX];
	ssize_t		len;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	len = readlink(name, path, sizeof(path) - 1);
	if (len < 0)
		return false;
	path[len] = '\0';
	return strstr(path, rule.place) != NULL;
}

static bool
is_anywhere(int fd)
{
	(void) fd;
	return true;
}

/* ---- Which calls fail */

static Fate
fate(const char *call, bool (*counts) (int fd), int fd)
{
	long		seen;

	if (__builtin_expect(rule.nth == 0, 1) || strcmp(rule.call, call) != 0 || !counts(fd))
		return PASSES;
	seen = ++rule.seen;
	if (seen < rule.nth || (rule.times >= 0 && seen >= rule.nth + rule.times))
		return PASSES;
	if (rule.error == 0)
		return IS_SHORT;
	errno = rule.error;
	return FAILS;
}

/*
 * From now on counts the calls of this name in this thread; of them so many fail,
 * from the nth on.  0 ends that and leaves the count for nauth_shim_calls().
 */
void
nauth_shim_fail_call(const char *call, long nth, long times, int error, const char *place)
{
	rule.nth = 0;
	if (nth == 0)
		return;
	snprintf(rule.call, sizeof(rule.call), "%s", call);
	snprintf(rule.place, sizeof(rule.place), "%s", place);
	rule.times = times;
	rule.error = error;
	rule.seen = 0;
	rule.nth = nth;
}

long
nauth_shim_calls(void)
{
	return rule.seen;
}

/* ---- A network that must not be touched */

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

void
nauth_shim_use_network(const char *how)
{
	char		value[8];

	if (!nauth_shim_read("forbid", value, sizeof(value)))
		return;
	fprintf(stderr, "nauth_shim: %s() while the network is forbidden\n", how);
	abort();
}

/* ---- The calls */

/* To the port that the link "hole" names, if it is there, whatever was meant. */
static struct sockaddr_in
reroute(const struct sockaddr_in *address)
{
	struct sockaddr_in other = *address;
	char		port[8];

	if (nauth_shim_read("hole", port, sizeof(port)))
		other.sin_port = htons(atoi(port));
	return other;
}

int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	int			(*next) (int, const struct sockaddr *, socklen_t) = nauth_shim_next("connect");
	struct sockaddr_in other;

	if (is_network(address))
		nauth_shim_use_network("connect");
	if (address->sa_family == AF_INET)
	{
		other = reroute((const struct sockaddr_in *) address);
		address = (const struct sockaddr *) &other;
	}
	return fate("connect", is_internet, fd) == FAILS ? -1 : next(fd, address, len);
}

ssize_t
sendto(int fd, const void *data, size_t size, int flags,
	   const struct sockaddr *address, socklen_t len)
{
	ssize_t		(*next) (int, const void *, size_t, int, const struct sockaddr *, socklen_t);

	next = nauth_shim_next("sendto");
	if (is_network(address))
		nauth_shim_use_network("sendto");
	return next(fd, data, size, flags, address, len);
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t		(*next) (int, const struct msghdr *, int) = nauth_shim_next("sendmsg");

	if (is_network(message->msg_name))
		nauth_shim_use_network("sendmsg");
	return next(fd, message, flags);
}

ssize_t
send(int fd, const void *data, size_t size, int flags)
{
	static ssize_t (*next) (int, const void *, size_t, int) = NULL;
	Fate		how = fate("send", is_internet, fd);

	if (next == NULL)
		next = nauth_shim_next("send");
	return how == FAILS ? -1 : next(fd, data, how == IS_SHORT && size > 1 ? 1 : size, flags);
}

ssize_t
recv(int fd, void *data, size_t size, int flags)
{
	static ssize_t (*next) (int, void *, size_t, int) = NULL;
	Fate		how = fate("recv", is_internet, fd);

	if (next == NULL)
		next = nauth_shim_next("recv");
	return how == FAILS ? -1 : next(fd, data, how == IS_SHORT && size > 1 ? 1 : size, flags);
}

int
socket(int domain, int type, int protocol)
{
	int			(*next) (int, int, int) = nauth_shim_next("socket");

	return fate("socket", is_anywhere, -1) == FAILS ? -1 : next(domain, type, protocol);
}

/* by one of these two libcurl lets itself be woken up, depending on its version */
int
socketpair(int domain, int type, int protocol, int pair[2])
{
	int			(*next) (int, int, int, int *) = nauth_shim_next("socketpair");

	return fate("wakeup", is_anywhere, -1) == FAILS ? -1 : next(domain, type, protocol, pair);
}

int
eventfd(unsigned count, int flags)
{
	int			(*next) (unsigned, int) = nauth_shim_next("eventfd");

	return fate("wakeup", is_anywhere, -1) == FAILS ? -1 : next(count, flags);
}

int
epoll_create1(int flags)
{
	int			(*next) (int) = nauth_shim_next("epoll_create1");

	return fate("epoll_create1", is_anywhere, -1) == FAILS ? -1 : next(flags);
}

int
timerfd_create(int clock, int flags)
{
	int			(*next) (int, int) = nauth_shim_next("timerfd_create");

	return fate("timerfd_create", is_anywhere, -1) == FAILS ? -1 : next(clock, flags);
}

/* Of sockets alone: the server has latches and timers of its own to watch. */
int
epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	int			(*next) (int, int, int, struct epoll_event *) = nauth_shim_next("epoll_ctl");

	if (operation != EPOLL_CTL_DEL && fate("epoll_ctl", is_internet, fd) == FAILS)
		return -1;
	return next(epoll, operation, fd, event);
}

/* The server's two ways to write files, under one name. */
ssize_t
pwrite(int fd, const void *data, size_t size, off_t offset)
{
	static ssize_t (*next) (int, const void *, size_t, off_t) = NULL;

	if (next == NULL)
		next = nauth_shim_next("pwrite");
	return fate("pwrite", is_at_place, fd) == FAILS ? -1 : next(fd, data, size, offset);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	ssize_t		(*next) (int, const struct iovec *, int, off_t) = nauth_shim_next("pwritev");

	return fate("pwrite", is_at_place, fd) == FAILS ? -1 : next(fd, parts, count, offset);
}
