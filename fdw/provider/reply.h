/*-------------------------------------------------------------------------
 *
 * reply.h
 *	  What a reply says that is no page: nobody, a number, a failure.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_REPLY_H
#define NAUTH_REPLY_H

#include "provider.h"

/*
 * Whether a reply is the provider's specific answer that a user does not exist; and
 * whether there is any such.
 */
extern bool nauth_reply_is_not_found(const NauthProvider *provider,
									 const NauthReply *reply);
extern bool nauth_reply_confirms(const NauthProvider *provider);

/* Read the reply to NAUTH_QUERY_COUNT. */
extern bool nauth_reply_count(const NauthProvider *provider, const NauthReply *reply,
							  int64_t *count, NauthError *error);

/* What a failed reply is a failure of: its code tells, or else its status. */
extern NauthErrorKind nauth_reply_kind(const NauthProvider *provider,
									   const NauthReply *reply);

/*
 * Note in error what a reply of any status tells of a failure, should there be one:
 * status, request id, known code and its hint.
 */
extern void nauth_reply_failure(const NauthProvider *provider,
								const NauthReply *reply, NauthError *error);

#endif							/* NAUTH_REPLY_H */
