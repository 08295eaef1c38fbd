/*-------------------------------------------------------------------------
 *
 * supabase.h
 *		What the two files of the simulated Supabase Auth share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SUPABASE_H
#define SUPABASE_H

#include "sim.h"

#define SUPABASE_AUDIENCE "authenticated"

/* in supabase_json.c */
extern void sim_supabase_put_user(SimBuf *buf, const SimUser *user);
extern void sim_supabase_alone(bool alone); /* is it the one user of a reply? */
extern const char *sim_supabase_audience(const SimUser *user);
extern bool sim_supabase_matches(const SimUser *user, const char *filter);

#endif							/* SUPABASE_H */
