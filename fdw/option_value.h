/*-------------------------------------------------------------------------
 *
 * option_value.h
 *	  The values of options, by type.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_OPTION_VALUE_H
#define NAUTH_OPTION_VALUE_H

#include "options.h"

typedef enum NauthOptionType
{
	OPTION_PROVIDER,
	OPTION_URL,
	OPTION_REDIS_URL,
	OPTION_SECRET,
	OPTION_PRIVATE_KEY,			/* PEM */
	OPTION_PREFIX,
	OPTION_NAME,				/* letters, digits, '-', '_' and '.' */
	OPTION_TEXT,				/* printable ASCII */
	OPTION_SEGMENT,				/* the same, as one segment of a path */
	OPTION_PATH,				/* of a URL, with a query if it has one */
	OPTION_MEMBER,				/* path of a member in JSON */
	OPTION_MEMBERS,
	OPTION_PATHS,
	OPTION_MILLISECONDS,
	OPTION_SECONDS,
	OPTION_BYTES,
	OPTION_INTEGER,
	OPTION_COST,
	OPTION_BOOLEAN
} NauthOptionType;

typedef struct NauthOption
{
	const char *name;
	Oid			catalog;		/* where it may stand */
	NauthOptionType type;
	size_t		offset;			/* in NauthOptions */
	int			min;			/* of numbers */
	int			max;
} NauthOption;

#define NAUTH_DAY_S		(24 * 60 * 60)
#define NAUTH_DAY_MS	(NAUTH_DAY_S * 1000)

/*
 * Parse a value into its place in options, palloc'd.  Raises an error, which does
 * not quote it, for what is none.
 */
extern void nauth_option_set(NauthOptions *options, const NauthOption *option,
							 const char *value);

#endif							/* NAUTH_OPTION_VALUE_H */
