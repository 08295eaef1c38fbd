/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  State of a scan, for the files that run it and explain it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_SCAN_H
#define NAUTH_SCAN_H

#include "kept.h"
#include "query.h"

typedef struct NauthScan
{
	/* set when the scan begins */
	NauthKeptFor who;
	int			column_of[NAUTH_NUM_COLUMNS];	/* attribute index of each
												 * column, -1 if not read */
	List	   *values;			/* ExprStates of fdw_exprs */
	Bitmapset  *params;			/* executor parameters that they depend on */
	bool		keeps;			/* its rows, for they may be read again */
	MemoryContext scan_cxt;		/* the source, until the end of the scan;
								 * NULL: only explained */
	MemoryContext query_cxt;	/* what is wanted */

	/* set when the first row is wanted */
	const NauthOptions *options;	/* of the server alone, for all rescans */
	bool		begun;
	bool		ended;			/* there are no more rows */
	bool		nobody;			/* can be what is wanted */
	NauthSource *source;		/* of rows that are not kept */
	NauthKept  *kept;			/* or those that are */
	int			reader;
	bool		shared;			/* another scan has begun them */
} NauthScan;

/*
 * What a plan wants.  With known, of a scan whose parameters are known, the values
 * are computed, in the current memory context; without, constants alone.  False
 * if nobody can match.
 */
extern bool nauth_scan_wanted(ForeignScanState *node, const NauthProvider *provider, bool known,
							  NauthQuery *wanted);

/* What it reads from, or NULL before it has begun. */
extern NauthSource *nauth_scan_source(const NauthScan *scan);

/*
 * Begin to get the next row, without waiting; whether it is there, or there is
 * none.
 */
extern bool nauth_scan_start(ForeignScanState *node);

/* Becomes readable when one should look whether it is; -1: at once. */
extern int	nauth_scan_descriptor(ForeignScanState *node);

#endif							/* NAUTH_SCAN_H */
