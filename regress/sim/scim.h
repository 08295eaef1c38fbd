/*-------------------------------------------------------------------------
 *
 * scim.h
 *		What the files of the simulator's SCIM profile share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SIM_SCIM_H
#define SIM_SCIM_H

#include "sim.h"

#define SIM_SCIM_TIME 40

/* in scim.c; the first always false, to be returned */
extern bool sim_scim_error(SimReply *reply, int status, const char *type,
						   const char *detail);
extern void sim_scim_put_user(SimBuf *buf, const SimUser *user);

/* When a user was changed, as it is shown; false if it is not. */
extern bool sim_scim_changed(const SimUser *user, char *text);	/* SIM_SCIM_TIME */

/* in scim_list.c */
extern void sim_scim_list(SimRequest *request, SimReply *reply);

#endif							/* SIM_SCIM_H */
