/*-------------------------------------------------------------------------
 *
 * redact.h
 *	  Take members out of a user before anybody stores it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_REDACT_H
#define NAUTH_REDACT_H

#include "utils/jsonb.h"

/*
 * A user without the members at these paths, of two lists that end with NULL or
 * are NULL.  A path is names joined by dots; arrays on the way are gone through.
 * Returns jsonb itself if it has none of them, else a new one.
 */
extern Jsonb *nauth_redact(Jsonb *jsonb, const char *const *first, const char *const *second);

#endif							/* NAUTH_REDACT_H */
