/*-------------------------------------------------------------------------
 *
 * seal.h
 *	  Names and bytes that only those who have the credential can read.
 *
 * What is kept in a cache is sealed with AES-256-GCM under a key that is
 * derived from the credential, and bound to its place: it opens only there.
 * seal.c is the only file that includes OpenSSL.  Nothing here raises an error.
 *
 * No PostgreSQL header here: this file is unit tested and fuzzed by itself.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_SEAL_H
#define NAUTH_SEAL_H

#include "slice.h"

#define NAUTH_SEAL_KEY		32	/* bytes of a key */
#define NAUTH_SEAL_ID		16	/* bytes of a generation's or an epoch's name */
#define NAUTH_SEAL_NAME		33	/* characters of a name, its zero included */

/* What a sealed element has more than its content: header and tag. */
#define NAUTH_SEAL_OVERHEAD	(1 + 2 * NAUTH_SEAL_ID + 8 + 12 + 16)

/* Derived from a credential; to be kept as secret as that. */
typedef struct NauthSealKeys
{
	uint8_t		name[NAUTH_SEAL_KEY];	/* for names */
	uint8_t		seal[NAUTH_SEAL_KEY];	/* keys of generations come from it */
} NauthSealKeys;

/*
 * Where an element belongs.  place is its Redis key and field, in as many words
 * as it takes to tell it from all others; it is not stored.  The rest stands
 * readable in the element's header, and is checked with it.
 */
typedef struct NauthSealPlace
{
	const char *place;
	uint8_t		generation[NAUTH_SEAL_ID];
	uint8_t		epoch[NAUTH_SEAL_ID];
	int64_t		until;			/* a moment: after it the element is worthless */
} NauthSealPlace;

typedef enum NauthSealResult
{
	NAUTH_SEAL_OK,
	NAUTH_SEAL_FOREIGN,			/* another version's, or no element at all */
	NAUTH_SEAL_BROKEN,			/* not sealed by us for this place */
	NAUTH_SEAL_MEMORY			/* OpenSSL could not work */
} NauthSealResult;

/* Fill with random bytes; false if there are none. */
extern bool nauth_seal_random(uint8_t *bytes, size_t len);

/*
 * Derive the keys (HKDF-SHA256) from the parts of a credential, in order.
 * Parts are told apart: ("ab", "c") is another credential than ("a", "bc").
 */
extern bool nauth_seal_derive(const NauthSpan *secrets, int count, NauthSealKeys *keys);

/* HMAC-SHA256 of parts that are told apart, as 32 hexadecimal digits. */
extern bool nauth_seal_name(const NauthSealKeys *keys, const NauthSpan *parts, int count,
							char name[NAUTH_SEAL_NAME]);

/* Write an id of NAUTH_SEAL_ID bytes as hexadecimal digits, and read it back. */
extern void nauth_seal_write_id(const uint8_t id[NAUTH_SEAL_ID], char text[NAUTH_SEAL_NAME]);
extern bool nauth_seal_read_id(NauthSpan text, uint8_t id[NAUTH_SEAL_ID]);

/*
 * Seal content into element, which has room for len + NAUTH_SEAL_OVERHEAD
 * bytes.  The nonce is random, the key derived for the generation.
 */
extern bool nauth_seal(const NauthSealKeys *keys, const NauthSealPlace *place,
					   const char *content, size_t len, char *element);

/* Read the header alone, without believing it: generation, epoch, until. */
extern bool nauth_seal_peek(NauthSpan element, NauthSealPlace *place);

/*
 * Open an element found at place->place; content has room for element.len
 * bytes, *len is set.  The rest of place is filled in as with peek, and is true
 * if the result is NAUTH_SEAL_OK.  Whether "until" has passed is the caller's to
 * decide.
 */
extern NauthSealResult nauth_unseal(const NauthSealKeys *keys, NauthSealPlace *place,
									NauthSpan element, char *content, size_t *len);

#endif							/* NAUTH_SEAL_H */
