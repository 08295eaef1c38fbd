/*-------------------------------------------------------------------------
 *
 * reply.c
 *	  What a reply says that is no page: nobody, a number, a failure.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../json.h"
#include "reading.h"

#define SHAPE_MAX	200			/* of an error code, and what is around it */

bool
nauth_reply_count(const NauthProvider *provider, const NauthReply *reply, int64_t *count, NauthError *error)
{
	if (provider->read_count != NULL)
		return provider->read_count(reply, count, error);
	return (nauth_slice_int64(nauth_read_path(reply->body, provider->count_path), count) && *count >= 0) ||
		nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the reply has no number of users");
}

/* The code at this path of an error body, which may be an integer, or "". */
static void
read_code(const NauthProvider *provider, const NauthReply *reply, const char *path,
		  char code[NAUTH_ERROR_CODE])
{
	char		text[SHAPE_MAX + 1] = "";
	const char *name = text;
	size_t		len;
	int64_t		number;

	if (!nauth_json_text(reply->body, path, text, sizeof(text)) &&
		nauth_json_integer(reply->body, path, &number))
		snprintf(text, sizeof(text), "%" PRId64, number);
	if (provider->codes_are_shapes && strchr(text, '#') != NULL)
		name = strchr(text, '#') + 1;
	len = provider->codes_are_shapes ? strcspn(name, ":") : strlen(name);
	if (len >= NAUTH_ERROR_CODE)
		len = 0;
	memcpy(code, name, len);
	code[len] = '\0';
}

/* The code at this path, or NULL if none that is known is there. */
static const NauthKnownCode *
find_code(const NauthProvider *provider, const NauthReply *reply, const char *path)
{
	const NauthKnownCode *known = provider->known_codes;
	char		code[NAUTH_ERROR_CODE];

	if (path == NULL)
		return NULL;
	read_code(provider, reply, path, code);
	while (known->code != NULL && strcmp(known->code, code) != 0)
		known++;
	return known->code != NULL ? known : NULL;
}

bool
nauth_reply_confirms(const NauthProvider *provider)
{
	return provider->unconfirmed == NULL && !provider->lists_only &&
		(provider->not_found_code != NULL || provider->find_user != NULL);
}

bool
nauth_reply_is_not_found(const NauthProvider *provider, const NauthReply *reply)
{
	char		code[NAUTH_ERROR_CODE];

	if (reply->status != provider->not_found_status || provider->not_found_code == NULL)
		return false;
	read_code(provider, reply, provider->error_path, code);
	return strcmp(code, provider->not_found_code) == 0;
}

NauthErrorKind
nauth_reply_kind(const NauthProvider *provider, const NauthReply *reply)
{
	char		code[NAUTH_ERROR_CODE];

	if (provider->code_kinds != NULL && reply->status >= 400)
	{
		read_code(provider, reply, provider->error_path, code);
		for (const NauthCodeKind *known = provider->code_kinds; known->code != NULL; known++)
			if (strcmp(known->code, code) == 0)
				return known->kind;
	}
	return nauth_error_of_status(reply->status);
}

void
nauth_reply_failure(const NauthProvider *provider, const NauthReply *reply,
					NauthError *error)
{
	const NauthKnownCode *known;
	char		id[NAUTH_ERROR_REQUEST_ID];

	if (reply->status > 0)
		error->status = reply->status;
	nauth_error_set_request_id(error, reply->request_id);
	if (reply->status < 400)
		return;
	if (provider->id_path != NULL &&
		nauth_json_text(reply->body, provider->id_path, id, sizeof(id)))
		nauth_error_set_request_id(error, id);
	known = find_code(provider, reply, provider->error_path);
	if (known == NULL)
		known = find_code(provider, reply, provider->status_path);
	if (known == NULL)
		return;
	strcpy(error->code, known->code);
	error->hint = known->hint;
}
