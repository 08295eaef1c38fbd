/*-------------------------------------------------------------------------
 *
 * firebase_lookup.c
 *	  Ask Firebase Authentication for users by id or e-mail address.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "firebase.h"

#include <string.h>

#define JSON_TYPE		"application/json"

/* Addresses are shorter than this, Google says. */
#define ADDRESS_MAX		256

#define ALNUM			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* Whether these characters are words of such ones with single dots between. */
static bool
is_dotted(const char *text, size_t len, const char *characters)
{
	bool		dot = true;		/* one would be too many here */

	for (size_t i = 0; i < len; i++)
	{
		if (text[i] != '.' ? strchr(characters, text[i]) == NULL : dot)
			return false;
		dot = text[i] == '.';
	}
	return len > 0 && !dot;
}

/* Whether it is name@domain.tld, without quotes and comments. */
static bool
is_plain_address(const char *email)
{
	const char *at = strchr(email, '@');

	return at != NULL && strlen(email) < ADDRESS_MAX && strchr(at, '.') != NULL &&
		is_dotted(email, (size_t) (at - email), ALNUM "!#$%&'*+-/=?^_`{|}~") &&
		is_dotted(at + 1, strlen(at + 1), ALNUM "-");
}

bool
nauth_firebase_is_lookup(const NauthQuery *query)
{
	if (query->kind != NAUTH_QUERY_LIST)
		return query->kind == NAUTH_QUERY_USER;
	if (query->ids != NULL || query->email == nauth_request_email)
		return true;
	return query->email != NULL && is_plain_address(query->email);
}

void
nauth_firebase_write_lookup(const NauthQuery *query, NauthRequest *request)
{
	bool		by_email = query->kind == NAUTH_QUERY_LIST && query->ids == NULL;
	bool		one = by_email || query->kind == NAUTH_QUERY_USER;
	const char *const *values = by_email ? &query->email : one ? &query->id : query->ids;

	nauth_request_json(request, JSON_TYPE, by_email ? "{\"email\":[" : "{\"localId\":[");
	for (int i = 0; i < (one ? 1 : query->n_ids); i++)
	{
		if (i > 0)
			nauth_request_json(request, JSON_TYPE, ",");
		nauth_request_quoted(request, values[i]);
	}
	nauth_request_json(request, JSON_TYPE, "]}");
}
