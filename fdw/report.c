/*-------------------------------------------------------------------------
 *
 * report.c
 *	  Turns a NauthError into the one ereport that the person at psql reads.
 *
 * One row a kind: what could not be done, under which SQLSTATE, and what mends
 * it.  Callers can tell by the SQLSTATE whether to try again: class HV is a
 * fault that may pass, 28000 and 42501 need another credential, 53400 needs
 * patience.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "report.h"

typedef struct ErrorText
{
	int			sqlstate;
	const char *message;		/* with one %s: the server's name */
	const char *hint;
} ErrorText;

static const ErrorText error_texts[] = {
	[NAUTH_ERROR_CONNECT] = {ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION,
		"could not connect to the provider of server \"%s\"",
	"Check option \"url\" of the server, its name resolution and its certificate."},
	[NAUTH_ERROR_FORBIDDEN_URL] = {ERRCODE_INSUFFICIENT_PRIVILEGE,
		"the URL of server \"%s\" may not be asked",
	"A superuser can allow it: LOAD 'neon_auth_fdw'; ALTER SYSTEM SET neon_auth_fdw.allowed_urls = '...'; SELECT pg_reload_conf();"},
	[NAUTH_ERROR_TIMEOUT] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"the provider of server \"%s\" did not answer in time",
	"Options connect_timeout, request_timeout, scan_timeout and refresh_timeout of the server set the limits."},
	[NAUTH_ERROR_TRANSFER] = {ERRCODE_FDW_UNABLE_TO_CREATE_REPLY,
		"the connection to the provider of server \"%s\" broke",
	"Try again."},
	[NAUTH_ERROR_TOO_LARGE] = {ERRCODE_FDW_UNABLE_TO_CREATE_REPLY,
		"the provider of server \"%s\" sent too large a reply",
	"A smaller option \"page_size\" of the server makes replies smaller."},
	[NAUTH_ERROR_CREDENTIAL] = {ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
		"the provider of server \"%s\" did not accept the credential",
	"Set a valid one with: ALTER USER MAPPING FOR ... SERVER ... OPTIONS (SET api_key '...')."},
	[NAUTH_ERROR_PERMISSION] = {ERRCODE_INSUFFICIENT_PRIVILEGE,
		"the provider of server \"%s\" does not let this credential read users",
	"Give the credential the right to list users at the provider."},
	[NAUTH_ERROR_NOT_FOUND] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"the provider of server \"%s\" has no user directory at this address",
	"Check option \"url\" of the server."},
	[NAUTH_ERROR_RATE_LIMIT] = {ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
		"the provider of server \"%s\" takes no more requests for now",
	"Try again later, or with a larger option \"page_size\" of the server."},
	[NAUTH_ERROR_UNAVAILABLE] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"the provider of server \"%s\" is not available",
	"Try again later."},
	[NAUTH_ERROR_REDIRECT] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"the provider of server \"%s\" redirects to another address",
	"Redirects are not followed, for they would carry the credential along. Set option \"url\" of the server to the final address."},
	[NAUTH_ERROR_REFUSED] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"the provider of server \"%s\" refused the request",
	"Check that options \"provider\" and \"url\" of the server belong together."},
	[NAUTH_ERROR_UNREADABLE] = {ERRCODE_FDW_UNABLE_TO_CREATE_REPLY,
		"could not read the reply of the provider of server \"%s\"",
	"Check that options \"provider\" and \"url\" of the server belong together."},
	[NAUTH_ERROR_INCOMPLETE] = {ERRCODE_FDW_UNABLE_TO_CREATE_REPLY,
		"could not read the whole user directory of server \"%s\"",
	"Try again."},
	[NAUTH_ERROR_REQUEST] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"could not write a request to the provider of server \"%s\"",
	"A value or an option is too long for a request."},
	[NAUTH_ERROR_MEMORY] = {ERRCODE_OUT_OF_MEMORY,
		"out of memory while asking the provider of server \"%s\"",
	NULL},
};

/* "the reason (HTTP status 401, code some_code)" in as far as it is known. */
static char *
error_detail(const NauthError *error)
{
	char	   *status = error->status > 0 ? psprintf("HTTP status %d", error->status) : NULL;
	char	   *code = error->code[0] ? psprintf("code \"%s\"", error->code) : NULL;
	char	   *facts = status && code ? psprintf("%s, %s", status, code) :
	(status ? status : code);

	if (error->reason && facts)
		return psprintf("Reason: %s (%s).", error->reason, facts);
	if (error->reason)
		return psprintf("Reason: %s.", error->reason);
	return facts ? psprintf("The reply had %s.", facts) : NULL;
}

void
nauth_report(const NauthError *error, const char *server)
{
	const ErrorText *text = &error_texts[error->kind];
	char	   *detail = error_detail(error);

	Assert(error->kind > NAUTH_OK && error->kind < lengthof(error_texts));
	ereport(ERROR,
			errcode(text->sqlstate),
			errmsg(text->message, server),
			detail ? errdetail("%s", detail) : 0,
			text->hint ? errhint("%s", text->hint) : 0);
}
