/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  Waiting inside a backend: latch, epoll, timerfd and clock.
 *
 * nauth_wait is the only place where a query stands still for the network, so
 * it is the only one that must notice a cancel.  The nauth_poll functions
 * never raise an error: a library calls them from its callbacks.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "wait.h"

int64_t
nauth_clock(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool
nauth_wait(int fd, int64_t deadline)
{
	for (;;)
	{
		int64_t		left = deadline - nauth_clock();
		int			wanted = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;
		int			got;

		/* Rounded up, lest the last millisecond be spent in a busy loop. */
		left = left <= 0 ? 0 : Min((left + 999) / 1000, INT_MAX);
		if (fd >= 0)
			got = WaitLatchOrSocket(MyLatch, wanted | WL_SOCKET_READABLE, fd,
									(long) left, PG_WAIT_EXTENSION);
		else
			got = WaitLatch(MyLatch, wanted, (long) left, PG_WAIT_EXTENSION);

		if (got & WL_LATCH_SET)
			ResetLatch(MyLatch);

		/* Even when fd is always ready, a cancel and the deadline count. */
		CHECK_FOR_INTERRUPTS();
		if (nauth_clock() >= deadline)
			return false;
		if (got & WL_SOCKET_READABLE)
			return true;
	}
}

bool
nauth_wait_reserve(int descriptors)
{
	for (int count = 0; count < descriptors; count++)
	{
		if (!AcquireExternalFD())
		{
			nauth_wait_release(count);
			return false;
		}
	}
	return true;
}

void
nauth_wait_release(int descriptors)
{
	while (descriptors-- > 0)
		ReleaseExternalFD();
}

bool
nauth_poll_open(NauthPoll *poll)
{
	struct epoll_event event = {.events = EPOLLIN};

	poll->epoll = epoll_create1(EPOLL_CLOEXEC);
	poll->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	event.data.fd = poll->timer;
	return poll->epoll >= 0 && poll->timer >= 0 &&
		epoll_ctl(poll->epoll, EPOLL_CTL_ADD, poll->timer, &event) == 0;
}

void
nauth_poll_close(NauthPoll *poll)
{
	if (poll->epoll >= 0)
		close(poll->epoll);
	if (poll->timer >= 0)
		close(poll->timer);
	poll->epoll = -1;
	poll->timer = -1;
}

bool
nauth_poll_watch(NauthPoll *poll, int fd, bool reading, bool writing)
{
	struct epoll_event event = {0};

	event.data.fd = fd;
	if (reading)
		event.events |= EPOLLIN;
	if (writing)
		event.events |= EPOLLOUT;
	if (event.events == 0)
	{
		(void) epoll_ctl(poll->epoll, EPOLL_CTL_DEL, fd, &event);
		return true;
	}

	/* The kernel forgets a closed descriptor, and its number comes back. */
	if (epoll_ctl(poll->epoll, EPOLL_CTL_MOD, fd, &event) == 0)
		return true;
	return errno == ENOENT &&
		epoll_ctl(poll->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

void
nauth_poll_timer(NauthPoll *poll, long milliseconds)
{
	struct itimerspec when = {0};

	if (milliseconds > 0)
	{
		when.it_value.tv_sec = milliseconds / 1000;
		when.it_value.tv_nsec = milliseconds % 1000 * 1000000;
	}
	else if (milliseconds == 0)
		when.it_value.tv_nsec = 1;	/* zero would stop it */
	(void) timerfd_settime(poll->timer, 0, &when, NULL);
}

int
nauth_poll_drain(NauthPoll *poll, NauthPollEvent events[NAUTH_POLL_EVENTS])
{
	struct epoll_event ready[NAUTH_POLL_EVENTS];
	int			count;

	count = epoll_wait(poll->epoll, ready, NAUTH_POLL_EVENTS, 0);
	for (int i = 0; i < count; i++)
	{
		uint32_t	broken = ready[i].events & (EPOLLERR | EPOLLHUP);

		events[i].fd = ready[i].data.fd;
		events[i].readable = broken || (ready[i].events & EPOLLIN);
		events[i].writable = broken || (ready[i].events & EPOLLOUT);
		if (events[i].fd == poll->timer)
		{
			nauth_poll_timer(poll, -1);
			events[i].fd = -1;
		}
	}
	return Max(count, 0);
}
