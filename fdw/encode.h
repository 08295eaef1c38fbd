/*-------------------------------------------------------------------------
 *
 * encode.h
 *	  Users as they lie in the cache: from a reply, and to column values.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_ENCODE_H
#define NAUTH_ENCODE_H

#include "cache/codec.h"
#include "users.h"

/*
 * Give a user the form of the cache, with all columns.  Its bytes lie in the
 * current memory context.  One that PostgreSQL cannot hold is the reason why.
 */
extern void nauth_encode_user(const NauthOptions *options, const NauthUser *user,
							  NauthCodecUser *encoded);

/*
 * Column values of a user that is no such reason.  They lie in the decoded page,
 * where room for their headers is.
 */
extern void nauth_decode_user(const NauthCodecUser *user, NauthRow *row);

#endif							/* NAUTH_ENCODE_H */
