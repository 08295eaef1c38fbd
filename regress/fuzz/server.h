/*-------------------------------------------------------------------------
 *
 * server.h
 *	  As much of a PostgreSQL server as the fuzzed files call.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef FUZZ_SERVER_H
#define FUZZ_SERVER_H

/* End the memory context that everything is palloc'ed in. */
extern void fuzz_reset(void);

#endif							/* FUZZ_SERVER_H */
