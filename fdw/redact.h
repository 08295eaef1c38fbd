/*-------------------------------------------------------------------------
 *
 * redact.h
 *	  Make a user what is stored of it: without secrets, of one form.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_REDACT_H
#define NAUTH_REDACT_H

#include "utils/jsonb.h"

#include "provider/provider.h"

/*
 * A user without the members at these paths, of two lists that end with NULL or
 * are NULL.  A path is names joined by dots; arrays on the way are gone through.
 * Returns jsonb itself if it has none of them, else a new one.
 */
extern Jsonb *nauth_redact(Jsonb *jsonb, const char *const *first, const char *const *second);

/*
 * A user got by its id as a listing would have it: with members called otherwise, or
 * left out.  renames ends with one without a name, or is NULL.  Returns jsonb itself if
 * it has none of them.
 */
extern Jsonb *nauth_rename(Jsonb *jsonb, const NauthRename *renames);

#endif							/* NAUTH_REDACT_H */
