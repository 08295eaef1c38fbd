/*-------------------------------------------------------------------------
 *
 * procedure.h
 *	  What the SQL procedures share: their arguments and results.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_PROCEDURE_H
#define NAUTH_PROCEDURE_H

#include "datatype/timestamp.h"
#include "fmgr.h"

/* An argument of type text, palloc'd, or this where it is null. */
extern const char *nauth_procedure_text(FunctionCallInfo fcinfo, int arg, const char *otherwise);

/*
 * The INOUT columns, palloc'd: a status, if it is not NULL, so many numbers of
 * type int8, and the time since started_at.
 */
extern Datum nauth_procedure_result(FunctionCallInfo fcinfo, const char *status, int count,
									const int64 *numbers, TimestampTz started_at);

#endif							/* NAUTH_PROCEDURE_H */
