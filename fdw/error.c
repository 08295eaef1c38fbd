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

#define NAME_CHARACTERS \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."

/* Whether a text has only these characters, and fits into size with its zero. */
static bool
is_made_of(const char *text, const char *characters, size_t size)
{
	size_t		len = strnlen(text, size);

	return len < size && strspn(text, characters) == len;
}

void
nauth_error_set_code(NauthError *error, const char *code)
{
	error->code[0] = '\0';
	if (is_made_of(code, NAME_CHARACTERS, sizeof(error->code)))
		memcpy(error->code, code, strlen(code) + 1);
}

void
nauth_error_set_request_id(NauthError *error, const char *id)
{
	if (id[0] != '\0' && is_made_of(id, NAME_CHARACTERS ":", sizeof(error->request_id)))
		memcpy(error->request_id, id, strlen(id) + 1);
}

NauthErrorKind
nauth_error_of_status(int status)
{
	static const struct
	{
		int			status;
		NauthErrorKind kind;
	}			kinds[] = {
		{401, NAUTH_ERROR_CREDENTIAL},
		{403, NAUTH_ERROR_PERMISSION},
		{404, NAUTH_ERROR_NOT_FOUND},
		{429, NAUTH_ERROR_RATE_LIMIT},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].status == status)
			return kinds[i].kind;
	if (status >= 300 && status < 400)
		return NAUTH_ERROR_REDIRECT;
	return status >= 500 ? NAUTH_ERROR_UNAVAILABLE : NAUTH_ERROR_REFUSED;
}
