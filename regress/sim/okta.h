/*-------------------------------------------------------------------------
 *
 * okta.h
 *		What the files of the simulator's Okta profile share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SIM_OKTA_H
#define SIM_OKTA_H

#include "sim.h"

#define SIM_OKTA_TEXT 256

/* What of a user can be asked for. */
typedef struct SimOktaUser
{
	char		id[SIM_ID_SIZE];
	char		status[SIM_OKTA_TEXT];
	char		login[SIM_OKTA_TEXT];
	char		email[SIM_OKTA_TEXT];	/* "" : none */
	char		first[SIM_OKTA_TEXT];
	char		last[SIM_OKTA_TEXT];
	int64_t		updated;		/* as it is shown */
} SimOktaUser;

/* in okta.c; always false, to be returned */
extern bool sim_okta_error(SimReply *reply, int status, const char *code,
						   const char *summary);
extern bool sim_okta_not_simulated(SimReply *reply, const char *what);

/* in okta_user.c */
extern void sim_okta_put_user(SimBuf *buf, const SimUser *user);
extern void sim_okta_look(const SimUser *user, SimOktaUser *seen);
extern void sim_okta_changed(const SimUser *user, SimEvent event);
extern void sim_okta_note_list(void);
extern void sim_okta_alone(bool alone); /* users are not in a list */

/* in okta_list.c */
extern void sim_okta_list(SimRequest *request, SimReply *reply);

#endif							/* SIM_OKTA_H */
