/*-------------------------------------------------------------------------
 *
 * report.c
 *	  Turns a NauthError into the one ereport that the person at psql reads.
 *
 * One row a kind: what could not be done, under which SQLSTATE, and what mends
 * it.  The SQLSTATE tells what kind of thing is in the way; whether it may pass
 * by itself, docs/operations.md tells of each message.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "report.h"

typedef struct ErrorText
{
	int			sqlstate;
	const char *message;		/* with one %s: who was asked */
	const char *hint;			/* or NULL; with %s: the server, as SQL has it */
} ErrorText;

static const ErrorText error_texts[] = {
	[NAUTH_ERROR_CONNECT] = {ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION,
		"could not connect to %s",
	"Check options \"url\" and \"connect_timeout\" of the server, its name resolution and its certificate (setting neon_auth_fdw.ca_file)."},
	[NAUTH_ERROR_CERTIFICATE] = {ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION,
		"could not connect to %s",
	"Check option \"url\" of the server, and that the authority of its certificate is a trusted one (setting neon_auth_fdw.ca_file)."},
	[NAUTH_ERROR_FORBIDDEN_URL] = {ERRCODE_INSUFFICIENT_PRIVILEGE,
		"the address of %s may not be asked",
	"A superuser can allow it: " NAUTH_ALLOW_URL_SQL},
	[NAUTH_ERROR_FORBIDDEN_ADDRESS] = {ERRCODE_INSUFFICIENT_PRIVILEGE,
		"%s has an address that is never asked",
	"It is link-local, or one where clouds hand out credentials."},
	[NAUTH_ERROR_TIMEOUT] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"%s did not answer in time",
	"Options \"connect_timeout\", \"request_timeout\", \"scan_timeout\" and \"refresh_timeout\" of the server set the limits."},
	[NAUTH_ERROR_TRANSFER] = {ERRCODE_FDW_UNABLE_TO_CREATE_REPLY,
		"the connection to %s broke",
	"Try again."},
	[NAUTH_ERROR_TOO_LARGE] = {ERRCODE_FDW_UNABLE_TO_CREATE_REPLY,
		"%s sent too large a reply",
	"A smaller option \"page_size\" of the server makes replies smaller."},
	[NAUTH_ERROR_CREDENTIAL] = {ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
		"%s did not accept the credential",
	"Set a valid one with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (SET api_key '...');"},
	[NAUTH_ERROR_PERMISSION] = {ERRCODE_INSUFFICIENT_PRIVILEGE,
		"%s does not let this credential read users",
	"Give the credential the right to list users at the provider."},
	[NAUTH_ERROR_NOT_FOUND] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"%s has no user directory at this address",
	"Check option \"url\" of the server."},
	[NAUTH_ERROR_RATE_LIMIT] = {ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
		"%s takes no more requests for now",
	"Try again later, or with a larger option \"page_size\" of the server."},
	[NAUTH_ERROR_UNAVAILABLE] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"%s is not available",
	"Try again later."},
	[NAUTH_ERROR_READ_ONLY] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"%s takes no writes",
	NULL},
	[NAUTH_ERROR_REDIRECT] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"%s redirects to another address",
	"Redirects are not followed, for they would carry the credential along. Set option \"url\" of the server to the final address."},
	[NAUTH_ERROR_REFUSED] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"%s refused the request",
	"Check that options \"provider\" and \"url\" of the server belong together."},
	[NAUTH_ERROR_UNREADABLE] = {ERRCODE_FDW_UNABLE_TO_CREATE_REPLY,
		"could not read the reply of %s",
	"Check that options \"provider\" and \"url\" of the server belong together."},
	[NAUTH_ERROR_INCOMPLETE] = {ERRCODE_FDW_UNABLE_TO_CREATE_REPLY,
		"could not read the whole user directory of %s",
	"Try again."},
	[NAUTH_ERROR_UNFIT] = {ERRCODE_FDW_UNABLE_TO_CREATE_REPLY,
		"%s did not give what was asked for",
	"With SET neon_auth_fdw.pushdown = off all users are asked for, and the rest is worked out here."},
	[NAUTH_ERROR_REQUEST] = {ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
		"could not write a request to %s",
	"A value or an option is too long for a request."},
	[NAUTH_ERROR_MEMORY] = {ERRCODE_OUT_OF_MEMORY,
		"out of memory while asking %s",
	NULL},
};

/* Status, code and request id, in as far as they are known. */
static char *
error_facts(const NauthError *error)
{
	StringInfoData facts;

	initStringInfo(&facts);
	if (error->status > 0)
		appendStringInfo(&facts, "HTTP status %d", error->status);
	if (error->code[0])
		appendStringInfo(&facts, "%scode \"%s\"", facts.len > 0 ? ", " : "", error->code);
	if (error->request_id[0])
		appendStringInfo(&facts, "%srequest id \"%s\"", facts.len > 0 ? ", " : "", error->request_id);
	return facts.data;
}

/* "the reason (facts)", or what there is of it; NULL for nothing. */
static char *
error_detail(const NauthError *error)
{
	char	   *facts = error_facts(error);

	if (error->reason && facts[0])
		return psprintf("Reason: %s (%s).", error->reason, facts);
	if (error->reason)
		return psprintf("Reason: %s.", error->reason);
	return facts[0] ? psprintf("The reply had %s.", facts) : NULL;
}

/* What mends a fault of Redis, where that differs. */
static const char *
redis_hint(NauthErrorKind kind)
{
	switch (kind)
	{
		case NAUTH_ERROR_CONNECT:
		case NAUTH_ERROR_CERTIFICATE:
			return "Check options \"redis_url\" and \"redis_timeout\" of the server, that a Redis listens there, and its certificate (setting neon_auth_fdw.ca_file).";
		case NAUTH_ERROR_FORBIDDEN_URL:
		case NAUTH_ERROR_FORBIDDEN_ADDRESS:
		case NAUTH_ERROR_MEMORY:
			return error_texts[kind].hint;
		case NAUTH_ERROR_TIMEOUT:
			return "Option \"redis_timeout\" of the server sets the limit.";
		case NAUTH_ERROR_CREDENTIAL:
			return "Set options \"redis_user\" and \"redis_password\" of the user mapping, or the rights of that user in Redis.";
		case NAUTH_ERROR_UNAVAILABLE:
			return "Try again later.";
		case NAUTH_ERROR_READ_ONLY:
			return "Option \"redis_url\" of the server must name a Redis that takes writes: a master, with memory left for them.";
		case NAUTH_ERROR_REFUSED:
			return "Option \"redis_url\" of the server must name a Redis, or a proxy, that serves all keys and knows the commands.";
		default:
			return "Check options \"redis_url\" and \"redis_timeout\" of the server, and that a Redis listens there.";
	}
}

void
nauth_report_describe(const NauthError *error, NauthReportPeer peer,
					  const char *server, NauthReport *report)
{
	const ErrorText *text = &error_texts[error->kind];
	const char *hint;
	const char *who = peer == NAUTH_PEER_REDIS ? "the Redis" : "the provider";

	Assert(error->kind > NAUTH_OK && error->kind < lengthof(error_texts));
	report->sqlstate = text->sqlstate;
	report->message = psprintf(text->message, psprintf("%s of server \"%s\"", who, server));
	report->detail = error_detail(error);
	hint = peer == NAUTH_PEER_REDIS ? redis_hint(error->kind) :
		error->hint ? error->hint : text->hint;
	report->hint = hint ? psprintf(hint, quote_identifier(server)) : NULL;
}

void
nauth_report(const NauthError *error, NauthReportPeer peer, const char *server)
{
	NauthReport report;

	nauth_report_describe(error, peer, server, &report);
	ereport(ERROR,
			errcode(report.sqlstate),
			errmsg("%s", report.message),
			report.detail ? errdetail("%s", report.detail) : 0,
			report.hint ? errhint("%s", report.hint) : 0);
}
