/*-------------------------------------------------------------------------
 *
 * moment.h
 *	  Points in time as providers write them.
 *
 * A moment is a count of microseconds since 1970-01-01 00:00:00 UTC.  All
 * arithmetic is on integers: a double loses microseconds and is how other
 * readers came to disagree with the provider by one millisecond.
 *
 * No PostgreSQL header here, for the providers are tested without a server.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_MOMENT_H
#define NAUTH_MOMENT_H

#include "slice.h"

/* In microseconds; where PostgreSQL is, USECS_PER_SEC and the like are at hand. */
#define NAUTH_MILLISECOND	INT64_C(1000)
#define NAUTH_SECOND		INT64_C(1000000)

/* 0001-01-01 and 10000-01-01: outside lies a mix-up of units, not a date */
#define NAUTH_MOMENT_MIN	INT64_C(-62135596800000000)
#define NAUTH_MOMENT_MAX	INT64_C(253402300800000000)

typedef enum NauthMomentForm
{
	NAUTH_MOMENT_MILLISECONDS,	/* a JSON integer */
	NAUTH_MOMENT_RFC3339,		/* a JSON string, any offset, any fraction */
	NAUTH_MOMENT_MILLISECONDS_TEXT, /* a JSON string of an integer */
	NAUTH_MOMENT_SECONDS		/* a JSON number, with any fraction and
								 * exponent, or a string of one */
} NauthMomentForm;

/*
 * Read a moment from a JSON value.  Digits below a microsecond are cut off.
 * False when value is absent, null, of another form or out of range.
 */
extern bool nauth_moment_read(NauthSpan value, NauthMomentForm form,
							  int64_t *moment);

/* The same for the characters of an RFC 3339 time, without quotes. */
extern bool nauth_moment_parse(const char *text, size_t len, int64_t *moment);

/* Bytes of a moment as RFC 3339 has it, its zero included. */
#define NAUTH_MOMENT_TEXT	32

/*
 * Write a moment from NAUTH_MOMENT_MIN to below NAUTH_MOMENT_MAX with so many
 * digits of a second, from 0 to 6, cutting off the rest:
 * "2026-02-01T08:30:00.456Z" with 3.
 */
extern void nauth_moment_write(int64_t moment, int digits, char text[NAUTH_MOMENT_TEXT]);

#endif							/* NAUTH_MOMENT_H */
