/*-------------------------------------------------------------------------
 *
 * source.h
 *	  The rows that a scan wants of a directory, one after the other.
 *
 * A source belongs to the memory context it was opened in.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_SOURCE_H
#define NAUTH_SOURCE_H

#include "listing.h"

typedef struct NauthSource NauthSource;

/*
 * Open one in the current memory context, without any I/O.  wide: raw_json is
 * wanted.  Raises an error for options that are missing.
 */
extern NauthSource *nauth_source_open(Oid serverid, Oid userid, bool wide);

/*
 * Begin to read what is wanted, as nauth_query_narrow made it; what it points to
 * must live until the end.  "limit" of one that is wanted "once" is the number
 * of rows that will be read at most.
 */
extern void nauth_source_begin(NauthSource *source, const NauthQuery *wanted);

/*
 * The next row, valid until the next call; false at the end.  Users that
 * PostgreSQL cannot hold are left out, with one WARNING.  Raises an error when
 * the provider does not give what was asked for.
 */
extern bool nauth_source_next(NauthSource *source, NauthRow *row);

/* As of a listing, for what nauth_source_next will return. */
extern void nauth_source_start(NauthSource *source);
extern bool nauth_source_ready(const NauthSource *source);
extern int	nauth_source_descriptor(const NauthSource *source);

extern NauthListingStats nauth_source_stats(const NauthSource *source);

#endif							/* NAUTH_SOURCE_H */
