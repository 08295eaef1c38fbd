/*-------------------------------------------------------------------------
 *
 * redact.c
 *	  Make a user what is stored of it: without secrets, of one form.
 *
 * It is done on the jsonb, where a name is a name however it was written, not on
 * the bytes received.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "redact.h"

/* Paths of both lists. */
#define PATHS_MAX	128

/* Paths of which a value may have a part, and what is left of each. */
typedef struct Paths
{
	int			count;
	const char *rest[PATHS_MAX];
	bool		exact[PATHS_MAX];	/* else case and "_" and "-" do not matter */
} Paths;

static void
add_paths(Paths *paths, const char *const *list, bool exact)
{
	for (; list && *list; list++)
	{
		if (paths->count == PATHS_MAX)
			elog(ERROR, "too many members are to be left out");
		paths->exact[paths->count] = exact;
		paths->rest[paths->count++] = *list;
	}
}

/* What of a path is behind a name that it begins with, or NULL. */
static const char *
behind_name(const char *path, bool exact, const char *name, size_t len)
{
	if (exact)
		return strncmp(path, name, len) == 0 ? path + len : NULL;
	for (const char *end = name + len;;)
	{
		while (name < end && (*name == '_' || *name == '-'))
			name++;
		while (*path == '_' || *path == '-')
			path++;
		if (name == end)
			return path;
		if (pg_ascii_tolower((unsigned char) *name++) != pg_ascii_tolower((unsigned char) *path++))
			return NULL;
	}
}

/*
 * What of the paths lies within this member.  False if the member itself is at
 * the end of one.
 */
static bool
enter(const Paths *paths, const char *name, size_t len, Paths *inner)
{
	inner->count = 0;
	for (int i = 0; i < paths->count; i++)
	{
		const char *rest = behind_name(paths->rest[i], paths->exact[i], name, len);

		if (rest == NULL)
			continue;
		if (*rest == '\0')
			return false;
		if (*rest == '.')
		{
			inner->exact[inner->count] = paths->exact[i];
			inner->rest[inner->count++] = rest + 1;
		}
	}
	return true;
}

/* Whether an object has a member that a path begins with. */
static bool
may_have(JsonbContainer *object, const Paths *paths)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue	key;
	JsonbValue	value;
	Paths		inner;

	(void) JsonbIteratorNext(&it, &key, true);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		if (!enter(paths, key.val.string.val, key.val.string.len, &inner) || inner.count > 0)
			return true;
		(void) JsonbIteratorNext(&it, &value, true);
	}
	return false;
}

static JsonbValue *copy_value(JsonbParseState **state, JsonbIteratorToken token,
							  JsonbValue *value, const Paths *paths);

/* Copy what is within an object or array that has just begun, and its end. */
static JsonbValue *
copy_container(JsonbParseState **state, JsonbContainer *container, const Paths *paths)
{
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbValue	value;
	JsonbIteratorToken token = JsonbIteratorNext(&it, &value, true);
	Paths		inner;

	pushJsonbValue(state, token, NULL);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_END_OBJECT && token != WJB_END_ARRAY)
	{
		JsonbValue	key = value;

		if (token == WJB_ELEM)
		{
			copy_value(state, WJB_ELEM, &value, paths);
			continue;
		}
		(void) JsonbIteratorNext(&it, &value, true);
		if (!enter(paths, key.val.string.val, key.val.string.len, &inner))
			continue;
		pushJsonbValue(state, WJB_KEY, &key);
		copy_value(state, WJB_VALUE, &value, &inner);
	}
	return pushJsonbValue(state, token, NULL);
}

/* How deep a user nests is bounded by NAUTH_SLICE_DEPTH. */
static JsonbValue *
copy_value(JsonbParseState **state, JsonbIteratorToken token, JsonbValue *value, const Paths *paths)
{
	if (value->type == jbvBinary && paths->count > 0)
		return copy_container(state, value->val.binary.data, paths);
	return pushJsonbValue(state, token, value);
}

Jsonb *
nauth_redact(Jsonb *jsonb, const char *const *first, const char *const *second)
{
	JsonbParseState *state = NULL;
	Paths		paths = {0};

	if (first == NULL && second == NULL)
		return jsonb;
	add_paths(&paths, first, false);
	add_paths(&paths, second, true);
	if (!JB_ROOT_IS_OBJECT(jsonb) || !may_have(&jsonb->root, &paths))
		return jsonb;
	return JsonbValueToJsonb(copy_container(&state, &jsonb->root, &paths));
}

/* What is said of a member of this name, or NULL. */
static const NauthRename *
find_rename(const NauthRename *renames, const JsonbValue *key)
{
	for (; renames->name; renames++)
		if (strlen(renames->name) == key->val.string.len &&
			memcmp(renames->name, key->val.string.val, key->val.string.len) == 0)
			return renames;
	return NULL;
}

static bool
has_any(Jsonb *jsonb, const NauthRename *renames)
{
	JsonbValue	value;

	for (; renames && renames->name; renames++)
		if (getKeyJsonValueFromContainer(&jsonb->root, renames->name, strlen(renames->name), &value))
			return true;
	return false;
}

Jsonb *
nauth_rename(Jsonb *jsonb, const NauthRename *renames)
{
	JsonbParseState *state = NULL;
	JsonbIterator *it;
	JsonbValue	key;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(jsonb) || !has_any(jsonb, renames))
		return jsonb;
	it = JsonbIteratorInit(&jsonb->root);
	pushJsonbValue(&state, JsonbIteratorNext(&it, &key, true), NULL);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		const NauthRename *rename = find_rename(renames, &key);

		(void) JsonbIteratorNext(&it, &value, true);
		if (rename && rename->listed == NULL)
			continue;
		if (rename)
		{
			key.val.string.val = unconstify(char *, rename->listed);
			key.val.string.len = strlen(rename->listed);
		}
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
