/*-------------------------------------------------------------------------
 *
 * json.c
 *	  Small JSON documents: error bodies, and replies with a token.
 *
 * The only file that includes jansson.h.  It must not include a PostgreSQL
 * header, and must not call jansson's json_object(): the server has a function
 * of that name, which would run instead.  A document is parsed, asked one
 * thing and freed before the return, so that no error can leak it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "json.h"

#include <jansson.h>
#include <string.h>

/* Bytes of one step of a path. */
#define STEP_MAX	64

/* Parse body; NULL when it is not a document of ours. */
static json_t *
load(NauthSpan body)
{
	if (body.data == NULL || body.len > NAUTH_JSON_MAX)
		return NULL;
	return json_loadb(body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
}

/* The value one step below; borrowed, or NULL. */
static json_t *
step_into(json_t *value, const char *step)
{
	size_t		position = 0;

	if (json_is_object(value))
		return json_object_get(value, step);
	if (step[0] == '\0' || strspn(step, "0123456789") != strlen(step))
		return NULL;
	for (; *step != '\0' && position <= NAUTH_JSON_MAX; step++)
		position = position * 10 + (size_t) (*step - '0');
	return json_array_get(value, position);
}

/* The value at path; borrowed, or NULL. */
static json_t *
walk(json_t *value, const char *path)
{
	while (value != NULL)
	{
		char		step[STEP_MAX];
		size_t		len = strcspn(path, ".");

		if (len >= sizeof(step))
			return NULL;
		memcpy(step, path, len);
		step[len] = '\0';
		value = step_into(value, step);
		if (path[len] == '\0')
			break;
		path += len + 1;
	}
	return value;
}

bool
nauth_json_text(NauthSpan body, const char *path, char *out, size_t size)
{
	json_t	   *document = load(body);
	json_t	   *value = walk(document, path);
	bool		fits = json_is_string(value) && json_string_length(value) < size;

	/* without JSON_ALLOW_NUL the parser has refused a zero byte within */
	if (fits)
		memcpy(out, json_string_value(value), json_string_length(value) + 1);
	json_decref(document);
	return fits;
}

bool
nauth_json_has_text(NauthSpan body, const char *path, const char *const *texts)
{
	json_t	   *document = load(body);
	json_t	   *array = walk(document, path);
	bool		found = false;

	for (size_t i = 0; i < json_array_size(array) && !found; i++)
	{
		const char *text = json_string_value(json_array_get(array, i));

		for (int j = 0; text != NULL && texts[j] != NULL && !found; j++)
			found = strcmp(text, texts[j]) == 0;
	}
	json_decref(document);
	return found;
}

bool
nauth_json_integer(NauthSpan body, const char *path, int64_t *number)
{
	json_t	   *document = load(body);
	json_t	   *value = walk(document, path);
	bool		found = json_is_integer(value);

	if (found)
		*number = json_integer_value(value);
	json_decref(document);
	return found;
}
