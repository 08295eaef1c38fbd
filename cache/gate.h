/*-------------------------------------------------------------------------
 *
 * gate.h
 *	  When requests may be sent to a provider, for all backends with the same
 *	  credential.
 *
 * They share two things in Redis: that the provider wants silence for a while
 * (status 429), and the pace set by max_requests_per_second.  Without a Redis
 * each session keeps both for itself.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_GATE_H
#define NAUTH_GATE_H

#include "cache/cache.h"
#include "http.h"

/*
 * Make the gate of a server in the current memory context, without any I/O.
 * cache may be NULL; requests is the most in a second, or 0 for any number.
 */
extern NauthGate *nauth_gate_open(const NauthConnectionId *id, NauthCache *cache, int requests);

#endif							/* NAUTH_GATE_H */
