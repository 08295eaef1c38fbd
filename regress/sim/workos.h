/*-------------------------------------------------------------------------
 *
 * workos.h
 *		What the files of the WorkOS profile share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SIM_WORKOS_H
#define SIM_WORKOS_H

#include "sim.h"

/* in workos.c; both always return false */
extern bool sim_workos_refuse(SimReply *reply, const char *field, const char *what);
extern bool sim_workos_not_simulated(SimReply *reply, const char *what);

/* in workos.c: the value of a setting, or the default */

/*
 * In workos.c: read "limit" and "order", which both lists have; true if the
 * parameter is one of these and good, or else *other is set.
 */
extern bool sim_workos_read_common(const SimParam *param, int64_t *limit, bool *descending,
								   bool *other, SimReply *reply);

/* in workos_json.c */
extern void sim_workos_put_user(SimBuf *buf, const SimUser *user);
extern void sim_workos_signed_in(void);

/* in workos_events.c */
extern void sim_workos_changed(const SimUser *user, SimEvent event);
extern void sim_workos_answer_events(SimRequest *request, SimReply *reply);

#endif							/* SIM_WORKOS_H */
