/*-------------------------------------------------------------------------
 *
 * clerk.h
 *		What the files of the Clerk profile share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SIM_CLERK_H
#define SIM_CLERK_H

#include "sim.h"

/* in clerk.c: make the reply an error; always false, to be returned */
extern bool sim_clerk_error(SimReply *reply, int status, const char *code,
							const char *message, const char *format,...)
			__attribute__((format(printf, 5, 6)));
extern bool sim_clerk_not_simulated(SimReply *reply, const char *what);
extern bool sim_clerk_invalid(SimReply *reply, const char *param,
							  const char *what);

/* in clerk_query.c */
extern bool sim_clerk_read_query(const SimRequest *request, SimQuery *query,
								 SimReply *reply);

/* The reply to this request is that page. */
extern void sim_clerk_note_page(const SimRequest *request, const SimPage *page);

/* in clerk_json.c */
extern void sim_clerk_put_user(SimBuf *buf, const SimUser *user);

#endif							/* SIM_CLERK_H */
