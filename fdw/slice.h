/*-------------------------------------------------------------------------
 *
 * slice.h
 *	  Split JSON bytes into ranges without building anything.
 *
 * A page of a directory is some hundred users of which often none has
 * changed.  These functions find where each user begins and ends, and the few
 * members that decide whether somebody wants it, in one pass and without an
 * allocation.  They check what splitting needs (strings, brackets, bounds) and
 * no more: a user that is wanted is then parsed by the server's jsonb input
 * function, which is the judge of its syntax.
 *
 * No PostgreSQL header here: this file is unit tested and fuzzed by itself.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_SLICE_H
#define NAUTH_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Brackets a value may nest; jsonb would take more, no directory needs it. */
#define NAUTH_SLICE_DEPTH	64
/* Bytes of one number, and its largest decimal exponent either way. */
#define NAUTH_SLICE_NUMBER	128
#define NAUTH_SLICE_EXPONENT 400

/* A range of bytes owned by somebody else.  data is NULL where it is absent. */
typedef struct NauthSpan
{
	const char *data;
	size_t		len;
} NauthSpan;

typedef enum NauthSliceResult
{
	NAUTH_SLICE_OK,
	NAUTH_SLICE_END,			/* no further element */
	NAUTH_SLICE_SYNTAX,			/* not JSON, cut off, or bytes after the end */
	NAUTH_SLICE_TYPE,			/* JSON, but another type than asked for */
	NAUTH_SLICE_DUPLICATE,		/* a member that was asked for stands twice */
	NAUTH_SLICE_DEEP,			/* nests deeper than NAUTH_SLICE_DEPTH */
	NAUTH_SLICE_LONG_NUMBER		/* a number beyond the bounds above */
} NauthSliceResult;

/* Where an array walk stands.  Set up by nauth_slice_array. */
typedef struct NauthSlicer
{
	const char *pos;
	const char *end;
	bool		first;
} NauthSlicer;

/*
 * Find members of one JSON object.  json must hold exactly one object, white
 * space around it allowed.  names ends with NULL; found has one place a name
 * and gets the range of the value, quotes included, or an absent range.
 *
 * Returns OK, SYNTAX, TYPE, DUPLICATE, DEEP or LONG_NUMBER.
 */
extern NauthSliceResult nauth_slice_object(NauthSpan json,
										   const char *const *names,
										   NauthSpan *found);

/*
 * Begin to walk a JSON array (exactly one, white space around it allowed).
 * Returns OK, SYNTAX or TYPE.
 */
extern NauthSliceResult nauth_slice_array(NauthSlicer *slicer, NauthSpan json);

/*
 * Go to the next element, which must be an object, and find members in it as
 * nauth_slice_object does.
 *
 * Returns OK, or END after the closing bracket.  DUPLICATE, DEEP and
 * LONG_NUMBER concern this element alone: element (and what was found) is set
 * and the walk can go on; of several, the first of this list is returned.
 * After SYNTAX or TYPE it cannot.
 */
extern NauthSliceResult nauth_slice_next(NauthSlicer *slicer,
										 const char *const *names,
										 NauthSpan *element,
										 NauthSpan *found);

/*
 * Decode a JSON string (quotes included in value) into UTF-8 with a
 * terminating zero.  False, with "" in out, when value is not a string, does
 * not fit into size, or holds what a PostgreSQL text cannot: U+0000, a lone
 * surrogate, malformed UTF-8, a raw control character.
 */
extern bool nauth_slice_text(NauthSpan value, char *out, size_t size);

/* Read a JSON integer.  False when value is anything else or out of range. */
extern bool nauth_slice_int64(NauthSpan value, int64_t *out);

/*
 * Whether an object was split in a way that its parts can be used.  What nests too
 * deep, or is too long a number, is found again where it is read itself.
 */
extern bool nauth_slice_is_split(NauthSliceResult result);

/* Whether value is absent or the literal null. */
extern bool nauth_slice_is_null(NauthSpan value);

#endif							/* NAUTH_SLICE_H */
