/*-------------------------------------------------------------------------
 *
 * shim.h
 *		What the files of the library share; shim.c tells what it is for.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_SHIM_H
#define NAUTH_SHIM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* ---- shim.c */

/* The path of a link in the folder; false if there is no folder. */
extern bool nauth_shim_path(char path[PATH_MAX], const char *name);

/* The target of a link in the folder; false if there is none.  errno stays. */
extern bool nauth_shim_read(const char *name, char *value, size_t size);

/* Make a link for the test to see, thread 0 being none. */
extern void nauth_shim_mark(char mark[PATH_MAX], const char *name, int process, int thread);

/* The function of this name that would be called without the library. */
extern void *nauth_shim_next(const char *name);

/* ---- calls.c */

/* Ends the process if the network is forbidden. */
extern void nauth_shim_use_network(const char *how);

#endif							/* NAUTH_SHIM_H */
