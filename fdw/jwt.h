/*-------------------------------------------------------------------------
 *
 * jwt.h
 *	  JSON Web Tokens that a client proves itself with: signed with RS256.
 *
 * jwt.c is the only file that includes OpenSSL's headers, besides cache/seal.c.
 *
 * No PostgreSQL header here.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_JWT_H
#define NAUTH_JWT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Sign claims, a JSON object, with an RSA key in PEM without a passphrase.  key_id
 * is that of the header, or NULL; it must not need escaping in JSON.  False when
 * the key cannot be read, is no RSA key of 2048 bits or more, or there is no
 * memory, or the token does not fit into size.
 */
extern bool nauth_jwt_sign(const char *pem, const char *key_id, const char *claims,
						   char *token, size_t size);

/* Whether a text is such a key. */
extern bool nauth_jwt_is_key(const char *pem);

#endif							/* NAUTH_JWT_H */
