/*-------------------------------------------------------------------------
 *
 * shim.c
 *		Between a server under test and the C library: host names that are slow,
 *		unknown or lead elsewhere, a network that must not be touched or fails,
 *		a clock that jumps, descriptors, disk and memory that run out, a process
 *		that is killed at a chosen point.
 *
 * A test preloads it (LD_PRELOAD) and controls it while the server runs, by
 * symbolic links in the folder that NAUTH_SHIM names:
 *
 *		dns			its target is how many seconds a look-up takes
 *		names		what comes of it then: names.c
 *		suffix		its target is how names end that are looked up like *.test
 *		clock		its target is by how many seconds the time of day is ahead
 *		forbid		while it is there, using the network ends the process
 *		hole		its target is the port that connections are made to, instead
 *		oldcurl		while it is there, libcurl says that it would wait for names
 *		bareheaders	while it is there, memory ends where a header line ends
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
 * test that counts descriptors would see.  Memory and calls that fail are a
 * matter of one thread, through the functions of memory.c and calls.c, which
 * regress/probe makes callable from SQL.  Without a control all is as ever.
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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim.h"

/* for the server; see the head */
extern void nauth_fault_point(const char *name);

/* ---- Control */

bool
nauth_shim_path(char path[PATH_MAX], const char *name)
{
	const char *folder = getenv("NAUTH_SHIM");

	if (folder == NULL)
		return false;
	snprintf(path, PATH_MAX, "%s/%s", folder, name);
	return true;
}

bool
nauth_shim_read(const char *name, char *value, size_t size)
{
	char		path[PATH_MAX];
	int			before = errno;
	ssize_t		len;

	if (!nauth_shim_path(path, name))
		return false;
	len = readlink(path, value, size - 1);
	errno = before;
	if (len < 0)
		return false;
	value[len] = '\0';
	return true;
}

void
nauth_shim_mark(char mark[PATH_MAX], const char *name, int process, int thread)
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

void *
nauth_shim_next(const char *name)
{
	void	   *function = dlsym(RTLD_NEXT, name);

	if (function == NULL)
		abort();
	return function;
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

	if (!nauth_shim_read("point", target, sizeof(target)))
		target[0] = '\0';
	if (strcmp(target, seen) != 0)
	{
		strcpy(seen, target);
		count = 0;
	}
	if (target[0] == '\0' || !is_at(target, name, &nth) || ++count < nth)
		return;
	if (!nauth_shim_path(path, "point"))
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
