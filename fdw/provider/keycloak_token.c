/*-------------------------------------------------------------------------
 *
 * keycloak_token.c
 *	  Access tokens of Keycloak, and what they show.
 *
 * A service account that may query users and not view them gets 200 and an empty
 * list: a realm with nobody in it.  Most access tokens show the roles, so that
 * this is an error before anything is read.  The signature does not matter here:
 * a forged token could only have us ask with it, and be refused.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "keycloak.h"

#include <string.h>

#include "../json.h"
#include "asking.h"

/*
 * Where roles are, by number.  The client whose roles are about a realm is one of
 * that realm, and has another name only in "master".
 */
static const struct
{
	const char *path;
	const char *roles[4];		/* that let read users, ended by NULL */
}			places[] = {
	{"resource_access.realm-management.roles", {"view-users", "manage-users", "realm-admin"}},
	{"resource_access.master-realm.roles", {"view-users", "manage-users", "realm-admin"}},
	{"realm_access.roles", {"admin"}}
};

void
nauth_keycloak_write_token(const NauthSettings *settings, NauthRequest *request)
{
	nauth_request_begin(request, settings->url, "/realms");
	nauth_request_segment(request, settings->more[NAUTH_SETTING_REALM]);
	nauth_request_segment(request, "protocol");
	nauth_request_segment(request, "openid-connect");
	nauth_request_segment(request, "token");
	nauth_ask_client(settings, request);
}

/* Decode base64url without padding.  False if it is none, or too long. */
static bool
decode(const char *text, size_t len, char *out, size_t size, size_t *used)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned	bits = 0;
	int			count = 0;

	*used = 0;
	for (size_t i = 0; i < len; i++)
	{
		const char *digit = memchr(digits, text[i], sizeof(digits) - 1);

		if (digit == NULL || *used == size)
			return false;
		bits = bits << 6 | (unsigned) (digit - digits);
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		out[(*used)++] = (char) (bits >> count);
	}
	return true;
}

/* Decode the claims of a JWT, its second part of three. */
static bool
decode_claims(const char *token, char *out, size_t size, size_t *used)
{
	const char *first = strchr(token, '.');
	const char *second = first == NULL ? NULL : strchr(first + 1, '.');

	return second != NULL && strchr(second + 1, '.') == NULL &&
		decode(first + 1, (size_t) (second - first - 1), out, size, used);
}

bool
nauth_keycloak_check_token(const char *token, NauthError *error)
{
	static const char *const names[] = {"resource_access", NULL};
	char		payload[NAUTH_TOKEN_MAX];
	NauthSpan	claims = {payload, 0};
	NauthSpan	found[1];

	/* an opaque or a lightweight token tells nothing */
	if (!decode_claims(token, payload, sizeof(payload), &claims.len) ||
		nauth_slice_object(claims, names, found) != NAUTH_SLICE_OK ||
		nauth_slice_is_null(found[0]))
		return true;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (nauth_json_has_text(claims, places[i].path, places[i].roles))
			return true;
	error->hint = nauth_keycloak_roles_hint;
	return nauth_error_set(error, NAUTH_ERROR_PERMISSION,
						   "the access token has no role that lets read users");
}
