/*-------------------------------------------------------------------------
 *
 * firebase.h
 *		What the files of the simulator's Firebase profile share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SIM_FIREBASE_H
#define SIM_FIREBASE_H

#include "sim.h"

/* in firebase.c: whether a setting has this value; then an error, always false */
extern bool sim_firebase_error(SimReply *reply, int status, const char *name,
							   const char *message);
extern bool sim_firebase_not_simulated(SimReply *reply, const char *what);

/* in firebase_lookup.c; "here" says whether the project or tenant asked is ours */
extern bool sim_firebase_asks_one(const SimRequest *request);
extern void sim_firebase_lookup(const SimRequest *request, SimReply *reply, bool here);

/* in firebase_user.c: the address as it is shown, or NULL; until the next call */
extern const char *sim_firebase_email(const SimUser *user);
extern void sim_firebase_put_user(SimBuf *buf, const SimUser *user);

#endif							/* SIM_FIREBASE_H */
