/*-------------------------------------------------------------------------
 *
 * statement.h
 *	  Statements on the state tables, as the owner of these.
 *
 * Whoever may refresh a target of his own needs no right on tables that others'
 * targets share.  All functions need SPI.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_STATEMENT_H
#define NAUTH_STATEMENT_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"

#define NAUTH_MAX_ARGS	24

/* Arguments of a statement, in order; all zeros has none. */
typedef struct NauthArgs
{
	int			count;
	Oid			types[NAUTH_MAX_ARGS];
	Datum		values[NAUTH_MAX_ARGS];
	char		nulls[NAUTH_MAX_ARGS];
} NauthArgs;

/* Add one; NULL, and DT_NOBEGIN of a time, is SQL's null. */
extern void nauth_args_add(NauthArgs *args, Oid type, Datum value, bool isnull);
extern void nauth_args_text(NauthArgs *args, const char *value);
extern void nauth_args_int(NauthArgs *args, int64 value);
extern void nauth_args_bool(NauthArgs *args, bool value);
extern void nauth_args_time(NauthArgs *args, TimestampTz value);
extern void nauth_args_relation(NauthArgs *args, Oid relid);
extern void nauth_args_texts(NauthArgs *args, int count, const char *const *texts);
extern void nauth_args_times(NauthArgs *args, int count, const TimestampTz *times);

/* Texts as a text[], times as a timestamptz[], palloc'd. */
extern Datum nauth_text_array(int count, const char *const *texts);
extern Datum nauth_time_array(int count, const TimestampTz *times);

/* SQL for a time as a timestamptz, palloc'd or constant. */
extern const char *nauth_time_sql(TimestampTz time);

/*
 * Run a statement as the owner of the state tables, or as a role; its result is
 * in SPI_tuptable.
 */
extern void nauth_statement_execute(const char *sql, NauthArgs *args);
extern void nauth_statement_execute_as(Oid role, const char *sql, NauthArgs *args);

/* Raise an error if this is one, which some of SPI's functions return. */
extern void nauth_statement_check(int result);

/*
 * Values of that result, rows and columns counted from 0 and 1.  A null is
 * false, 0, DT_NOBEGIN, and NULL.
 */
extern bool nauth_result_bool(int row, int column);
extern int64 nauth_result_int(int row, int column);
extern TimestampTz nauth_result_time(int row, int column);
extern char *nauth_result_text(int row, int column);

/* Called with each row, which is valid until it returns; must not use SPI. */
typedef void (*NauthRowReader) (HeapTuple tuple, TupleDesc desc, void *arg);

/* Read the result of a query row by row, in bounded memory. */
extern void nauth_statement_read(const char *sql, NauthArgs *args, NauthRowReader reader, void *arg);
extern void nauth_statement_read_as(Oid role, const char *sql, NauthArgs *args, NauthRowReader reader, void *arg);

#endif							/* NAUTH_STATEMENT_H */
