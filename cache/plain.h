/*-------------------------------------------------------------------------
 *
 * plain.h
 *	  Words, numbers and values one behind another: an element's plain bytes.
 *
 * A value is its length, its bytes, and one to four zeros up to a multiple of
 * four.  So each value ends with a zero, is aligned, and has its length, which
 * whoever reads it may overwrite, right before it.
 *
 * Writing and reading go on after a fault without any effect: callers look at
 * ok when they are through.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_PLAIN_H
#define NAUTH_PLAIN_H

#include "cache/codec.h"

typedef struct NauthPlainWriter
{
	NauthBytes *bytes;
	bool		ok;				/* false: no memory, or beyond NAUTH_CODEC_MAX */
} NauthPlainWriter;

typedef struct NauthPlainReader
{
	const char *pos;
	const char *end;
	NauthCodecValid valid;		/* for callers */
	bool		ok;				/* false: cut off, or padding is not zeros */
} NauthPlainReader;

/* Write bytes, a multiple of four. */
extern void nauth_plain_put(NauthPlainWriter *writer, const void *data, size_t len);
extern void nauth_plain_put_word(NauthPlainWriter *writer, uint32_t word);

/* A value whose data is NULL is null, which has a length of its own. */
extern void nauth_plain_put_value(NauthPlainWriter *writer, NauthSpan value);

/* Read what was put; zero and null after a fault. */
extern uint32_t nauth_plain_take_word(NauthPlainReader *reader);
extern int64_t nauth_plain_take_number(NauthPlainReader *reader);
extern NauthSpan nauth_plain_take_value(NauthPlainReader *reader);

#endif							/* NAUTH_PLAIN_H */
