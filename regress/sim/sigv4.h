/*-------------------------------------------------------------------------
 *
 * sigv4.h
 *		Checks of requests that are signed as AWS wants it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SIM_SIGV4_H
#define SIM_SIGV4_H

#include "sim.h"

typedef struct SimSigv4Failure
{
	const char *code;			/* as AWS has it; NULL: it is good */
	const char *message;
}			SimSigv4Failure;

extern SimSigv4Failure sim_sigv4_check(const SimRequest *request, const char *region,
									   const char *service);

#endif							/* SIM_SIGV4_H */
