/*-------------------------------------------------------------------------
 *
 * wait.h
 *	  Waiting inside a backend: latch, epoll, timerfd and clock.
 *
 * A library with many sockets and timers is turned into one descriptor, which
 * a backend can wait for together with its latch.  Nothing else in this
 * extension may block: no sleep, no poll, no blocking socket.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_WAIT_H
#define NAUTH_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * An epoll descriptor with a timer in it.  It is readable when a watched
 * descriptor is ready or the timer expired.  The two are -1 while closed.
 */
typedef struct NauthPoll
{
	int			epoll;
	int			timer;
} NauthPoll;

/* Events taken at a time; what is left is ready again. */
#define NAUTH_POLL_EVENTS	8

typedef struct NauthPollEvent
{
	int			fd;				/* -1 for the timer */
	bool		readable;		/* a broken descriptor is both */
	bool		writable;
} NauthPollEvent;

/* Monotonic time in microseconds: the clock of all deadlines. */
extern int64_t nauth_clock(void);

/*
 * Wait until fd is readable (true) or the deadline passed (false, whatever fd
 * is by then); fd -1 is a plain sleep.  A cancel, a termination or a statement timeout raises its
 * error from here.
 */
extern bool nauth_wait(int fd, int64_t deadline);

/*
 * Count descriptors that the server's own file cache must leave free, those
 * of a NauthPoll and of a library included.  False, with none counted, when
 * this backend holds too many.
 */
extern bool nauth_wait_reserve(int descriptors);
extern void nauth_wait_release(int descriptors);

/* False with errno set when there is no descriptor; close then as well. */
extern bool nauth_poll_open(NauthPoll *poll);
extern void nauth_poll_close(NauthPoll *poll);

/* Watch fd for reading, writing, both or (forget it) neither. */
extern bool nauth_poll_watch(NauthPoll *poll, int fd, bool reading,
							 bool writing);

/* Set the timer to expire once, after so many milliseconds; -1 is never. */
extern void nauth_poll_timer(NauthPoll *poll, long milliseconds);

/*
 * Take what is ready, without waiting, and stop an expired timer.  Returns
 * the number of events.
 */
extern int	nauth_poll_drain(NauthPoll *poll,
							 NauthPollEvent events[NAUTH_POLL_EVENTS]);

#endif							/* NAUTH_WAIT_H */
