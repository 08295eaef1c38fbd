/*-------------------------------------------------------------------------
 *
 * cognito.h
 *		What the files of the profile "cognito" share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SIM_COGNITO_H
#define SIM_COGNITO_H

#include "sim.h"

#define COGNITO_MAX_PAGE 60

/* in cognito.c: whether a setting has this value, or that is what it is by default */

/* in cognito.c: answer with an error; always returns false */
extern bool sim_cognito_refuse(SimReply *reply, const char *type, const char *message);

/* in cognito_json.c: a user as a listing, or AdminGetUser, has it */
extern void sim_cognito_put_user(SimBuf *buf, const SimUser *user);
extern void sim_cognito_put_single(SimBuf *buf, const SimUser *user);
extern const char *sim_cognito_email(const SimPerson *person);
extern void sim_cognito_sub(const SimUser *user, char sub[SIM_ID_SIZE]);

/* in cognito_list.c */
extern void sim_cognito_answer_list(SimRequest *request, const json_t *body, SimReply *reply);
extern void sim_cognito_changed(const SimUser *user, SimEvent event);

#endif							/* SIM_COGNITO_H */
