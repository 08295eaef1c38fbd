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

/* option_table.c: all of them, ended by one without a name */
extern const NauthOption nauth_option_table[];

/* Which of the options that only some providers take it is, or -1. */
extern int	nauth_option_setting(const NauthOption *option);

/* Of options that only some providers take: whether it is set; whether a provider takes it. */
extern bool nauth_option_is_set(const NauthOption *option, const NauthOptions *options);
extern bool nauth_option_is_taken(const NauthOption *option, const NauthProvider *provider);

/*
 * The one of this name.  Raises an error if there is none, with a hint that names those
 * that the provider takes, or all if it is NULL.
 */
extern const NauthOption *nauth_option_find(const char *name, Oid catalog, const NauthProvider *provider);

/* credential.c: names of what one of this kind consists of; NULL if it is not taken */
#define NAUTH_CREDENTIAL_KINDS	4
extern const char *nauth_credential_names(const NauthProvider *provider, int kind);

/* The credentials that a provider takes, as SQL has them after a verb. */
extern char *nauth_credential_sql(const NauthProvider *provider, const char *verb);

/* Raise an error unless a mapping has one whole credential, of a kind that is taken. */
extern void nauth_credential_check(const NauthOptions *options);

/* All that tells one credential from another, NULL or empty where it is not set. */
#define NAUTH_CREDENTIAL_PARTS	7
extern void nauth_credential_parts(const NauthSettings *settings, const char **parts);

#define NAUTH_DAY_S		(24 * 60 * 60)
#define NAUTH_DAY_MS	(NAUTH_DAY_S * 1000)

/*
 * Parse a value into its place in options, palloc'd.  Raises an error, which does
 * not quote it, for what is none.
 */
extern void nauth_option_set(NauthOptions *options, const NauthOption *option,
							 const char *value);

#endif							/* NAUTH_OPTION_VALUE_H */
