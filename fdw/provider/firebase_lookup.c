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

/*
 * Firebase keeps addresses in lower case, and does not say whether a look-up
 * regards the case.  With both spellings whoever has the address is found.
 */
static void
write_addresses(const char *email, NauthRequest *request)
{
	char		lower[ADDRESS_MAX];
	size_t		len = 0;

	nauth_request_quoted(request, email);
	if (email == nauth_request_email)
		return;
	for (; email[len] != '\0'; len++)
		lower[len] = email[len] >= 'A' && email[len] <= 'Z' ? (char) (email[len] + ('a' - 'A')) : email[len];
	lower[len] = '\0';
	if (strcmp(lower, email) == 0)
		return;
	nauth_request_json(request, JSON_TYPE, ",");
	nauth_request_quoted(request, lower);
}

void
nauth_firebase_write_lookup(const NauthQuery *query, NauthRequest *request)
{
	bool		by_email = query->kind == NAUTH_QUERY_LIST && query->ids == NULL;

	nauth_request_json(request, JSON_TYPE, by_email ? "{\"email\":[" : "{\"localId\":[");
	if (by_email)
		write_addresses(query->email, request);
	else if (query->kind == NAUTH_QUERY_USER)
		nauth_request_quoted(request, query->id);
	else
	{
		for (int i = 0; i < query->n_ids; i++)
		{
			if (i > 0)
				nauth_request_json(request, JSON_TYPE, ",");
			nauth_request_quoted(request, query->ids[i]);
		}
	}
	nauth_request_json(request, JSON_TYPE, "]}");
}
