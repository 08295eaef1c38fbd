/*-------------------------------------------------------------------------
 *
 * error.c
 *	  Fill a NauthError.
 *
 * The half of error.h that the providers need.  The other half, which raises
 * errors and so needs the server, is report.c.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "error.h"

#include <string.h>

bool
nauth_error_set(NauthError *error, NauthErrorKind kind, const char *reason)
{
	error->kind = kind;
	error->reason = reason;
	return false;
}

void
nauth_error_set_code(NauthError *error, const char *code)
{
	static const char allowed[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
	size_t		len = strlen(code);

	if (len < sizeof(error->code) && strspn(code, allowed) == len)
		memcpy(error->code, code, len + 1);
	else
		error->code[0] = '\0';
}
