/*-------------------------------------------------------------------------
 *
 * jsonb.h
 *	  Whether bytes are a jsonb that the server can safely work with.
 *
 * The server trusts the jsonb of its own tables: it follows lengths, offsets
 * and counts without a look at where they lead.  Bytes from elsewhere are
 * walked here first.  What passes is what the server's input function would
 * have built, byte for byte in all that steers it, so that no operator or cast
 * can read out of bounds or meet a value that cannot be.
 *
 * No PostgreSQL header here, so the constants of the format stand here again;
 * whoever includes both headers should compare them.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_JSONB_H
#define NAUTH_JSONB_H

#include "cache/codec.h"

/* A container begins with a word: how many elements or pairs, and what it is. */
#define NAUTH_JSONB_COUNT		UINT32_C(0x0FFFFFFF)
#define NAUTH_JSONB_SCALAR		UINT32_C(0x10000000)	/* with ARRAY */
#define NAUTH_JSONB_OBJECT		UINT32_C(0x20000000)
#define NAUTH_JSONB_ARRAY		UINT32_C(0x40000000)

/* Then a word for each child: its length, or where it ends, and its type. */
#define NAUTH_JSONB_LENGTH		UINT32_C(0x0FFFFFFF)
#define NAUTH_JSONB_TYPE		UINT32_C(0x70000000)
#define NAUTH_JSONB_IS_END		UINT32_C(0x80000000)
#define NAUTH_JSONB_STRING		UINT32_C(0x00000000)
#define NAUTH_JSONB_NUMERIC		UINT32_C(0x10000000)
#define NAUTH_JSONB_FALSE		UINT32_C(0x20000000)
#define NAUTH_JSONB_TRUE		UINT32_C(0x30000000)
#define NAUTH_JSONB_NULL		UINT32_C(0x40000000)
#define NAUTH_JSONB_CONTAINER	UINT32_C(0x50000000)

/* One child in so many has an end, the first included. */
#define NAUTH_JSONB_STRIDE		32

/*
 * Whether data, which is what follows the varlena header, is a whole jsonb with
 * nothing behind it.  Every text in it is valid; it nests no deeper, and its
 * numbers are no larger, than slice.h lets through.
 */
extern bool nauth_jsonb_valid(const char *data, size_t len, NauthCodecValid valid);

#endif							/* NAUTH_JSONB_H */
