/*-------------------------------------------------------------------------
 *
 * users.h
 *	  One user of a page -> the seven columns of users_sync.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_USERS_H
#define NAUTH_USERS_H

#include "datatype/timestamp.h"

#include "options.h"

/* The columns, in the order of users_sync. */
typedef enum NauthColumn
{
	NAUTH_RAW_JSON,
	NAUTH_ID,
	NAUTH_NAME,
	NAUTH_EMAIL,
	NAUTH_CREATED_AT,
	NAUTH_UPDATED_AT,
	NAUTH_DELETED_AT
} NauthColumn;

#define NAUTH_NUM_COLUMNS	7

typedef struct NauthColumnDef
{
	const char *name;
	Oid			type;
	int16		len;			/* of the type, as in pg_type */
	bool		byval;
	char		align;
	bool		not_null;		/* no user that PostgreSQL holds is without */
} NauthColumnDef;

extern const NauthColumnDef nauth_columns[NAUTH_NUM_COLUMNS];

/* Number of the column with this name, or -1. */
extern int	nauth_column_find(const char *name);

/* The names of all columns with a comma between, palloc'd, for a hint. */
extern char *nauth_column_names(void);

/* A user as column values, in the memory context they were made in. */
typedef struct NauthRow
{
	Datum		values[NAUTH_NUM_COLUMNS];
	bool		nulls[NAUTH_NUM_COLUMNS];
} NauthRow;

/*
 * Turn a user into column values, palloc'd.  Returns NULL, or when PostgreSQL
 * cannot hold this user the reason why: a clause without data of the user.
 */
extern const char *nauth_user_to_row(const NauthOptions *options,
									 const NauthUser *user, NauthRow *row);

/* A moment as timestamptz, which counts from 2000, and back. */
extern TimestampTz nauth_moment_to_timestamptz(int64_t moment);
extern int64_t nauth_timestamptz_to_moment(TimestampTz time);

#endif							/* NAUTH_USERS_H */
