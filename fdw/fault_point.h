/*-------------------------------------------------------------------------
 *
 * fault_point.h
 *	  Points at which a test may end the process.
 *
 * nauth_fault_point is a function that nobody defines: only a test preloads a
 * library that does (regress/shim).  So the library that is tested is the one
 * that is installed, and a point costs a comparison.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_FAULT_POINT_H
#define NAUTH_FAULT_POINT_H

extern void nauth_fault_point(const char *name) __attribute__((weak, visibility("default")));

#define NAUTH_FAULT_POINT(name) \
	do { \
		if (nauth_fault_point) \
			nauth_fault_point(name); \
	} while (0)

#endif							/* NAUTH_FAULT_POINT_H */
