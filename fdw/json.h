/*-------------------------------------------------------------------------
 *
 * json.h
 *	  Small JSON documents: error bodies, access tokens.
 *
 * json.c is the only file that includes jansson.h, and this header shows
 * nothing of it: jansson.h and utils/builtins.h do not compile together, and
 * the server exports a json_object() of its own that would be called instead
 * of jansson's.  A page of users is never read here but by slice.h.
 *
 * No PostgreSQL header here, for the providers are tested without a server.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_JSON_H
#define NAUTH_JSON_H

#include "slice.h"

/* A document larger than this is not one of ours, and is not parsed. */
#define NAUTH_JSON_MAX		(64 * 1024)

/*
 * Find a text by its path: member names and array positions joined by dots,
 * as in "errors.0.code".  False when body is not JSON, too large, has a member
 * twice, or has no text there that fits into size and holds no zero byte; and for
 * want of memory.
 */
extern bool nauth_json_text(NauthSpan body, const char *path,
							char *out, size_t size);

/* The same for an integer. */
extern bool nauth_json_integer(NauthSpan body, const char *path, int64_t *number);

/* Whether the array at path has one of these texts, a list ended by NULL. */
extern bool nauth_json_has_text(NauthSpan body, const char *path, const char *const *texts);

#endif							/* NAUTH_JSON_H */
