/*-------------------------------------------------------------------------
 *
 * raw.c
 *		Reading users whose JSON is served verbatim.
 *
 * Such a user may be anything, invalid JSON included, and its bytes must not
 * change.  So it is cut out of its file and searched for the few members that
 * the directory needs by counting brackets; a member that cannot be read is
 * simply not known.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "sim.h"

static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && strchr(" \t\r\n", *p) != NULL && *p != '\0')
		p++;
	return p;
}

static const char *
skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return p < end ? p + 1 : end;
}

/*
 * The end of the value at p: the comma or bracket that no bracket opened.
 */
static const char *
skip_value(const char *p, const char *end)
{
	int64_t		depth = 0;

	while (p < end)
	{
		if (*p == '"')
		{
			p = skip_string(p, end);
			continue;
		}
		if (*p == '{' || *p == '[')
			depth++;
		else if (depth == 0 && (*p == ',' || *p == '}' || *p == ']'))
			break;
		else if (*p == '}' || *p == ']')
			depth--;
		p++;
	}
	return p;
}

static size_t
trimmed(const char *from, const char *to)
{
	while (to > from && strchr(" \t\r\n", to[-1]) != NULL)
		to--;
	return (size_t) (to - from);
}

/*
 * Call back with each element of a JSON array; false if it is not one.
 */
bool
sim_raw_split(const char *json, size_t len,
			  void (*element) (const char *json, size_t len))
{
	const char *end = json + len;
	const char *p = skip_space(json, end);

	if (p == end || *p++ != '[')
		return false;
	for (;;)
	{
		const char *start = p = skip_space(p, end);

		if (p == end || *p == ']')
			return p < end;
		p = skip_value(p, end);
		element(start, trimmed(start, p));
		if (p < end && *p == ',')
			p++;
		else if (p == end || *p != ']')
			return false;
	}
}

/*
 * The bytes of a top-level member; false if there is none of that name.
 */
static bool
find_member(const SimChange *change, const char *name, const char **value,
			size_t *len)
{
	const char *end = change->raw + change->raw_len;
	const char *p = skip_space(change->raw, end);

	if (p == end || *p++ != '{')
		return false;
	for (;;)
	{
		const char *key = p = skip_space(p, end);
		size_t		key_len;

		if (p == end || *p != '"')
			return false;
		p = skip_string(p, end);
		key_len = (size_t) (p - key);
		p = skip_space(p, end);
		if (p == end || *p++ != ':')
			return false;
		*value = p = skip_space(p, end);
		p = skip_value(p, end);
		*len = trimmed(*value, p);
		if (key_len == strlen(name) + 2 &&
			memcmp(key + 1, name, key_len - 2) == 0)
			return true;
		if (p == end || *p++ != ',')
			return false;
	}
}

/*
 * The value of a top-level member, if it is one that jansson can hold.
 */
static json_t *
load_member(const SimChange *change, const char *name)
{
	const char *value;
	size_t		len;

	if (!find_member(change, name, &value, &len))
		return NULL;
	return json_loadb(value, len, JSON_DECODE_ANY, NULL);
}

static void
read_time(SimChange *change, const char *name, unsigned bit, int64_t *time)
{
	json_t	   *value;

	if (change->set & bit)
		return;
	value = load_member(change, name);
	if (json_is_integer(value))
		*time = json_integer_value(value);
	else if (json_is_string(value))
		*time = sim_parse_iso(json_string_value(value));
	else
		*time = SIM_TIME_NONE;
	if (*time != SIM_TIME_NONE)
		change->set |= bit;
	json_decref(value);
}

static void
read_email(SimChange *change, const json_t *email, json_t *owner)
{
	if (!json_is_string(email) || change->n_emails == SIM_MAX_EMAILS)
		return;
	json_array_append(owner, (json_t *) email);
	change->emails[change->n_emails++] = json_string_value(email);
}

/*
 * Complete a change that has "raw" with the identifier, times and e-mails
 * found in it.  The strings belong to *owner, which the caller releases.
 */
void
sim_raw_read(SimChange *change, json_t **owner)
{
	const SimProvider *provider = sim_config.provider;
	json_t	   *id = load_member(change, provider->id_member ?
								 provider->id_member : "id");
	json_t	   *email = load_member(change, "email");
	json_t	   *emails = load_member(change, "email_addresses");
	json_t	   *element;
	size_t		i;

	*owner = json_array();
	change->set |= SIM_SET_RAW | SIM_SET_EMAILS;
	change->n_emails = 0;
	if (change->id == NULL && json_is_string(id))
	{
		json_array_append(*owner, id);
		change->id = json_string_value(id);
	}
	read_time(change, "created_at", SIM_SET_CREATED, &change->created);
	read_time(change, "createdAt", SIM_SET_CREATED, &change->created);
	read_time(change, "updated_at", SIM_SET_UPDATED, &change->updated);
	read_time(change, "updatedAt", SIM_SET_UPDATED, &change->updated);
	if (provider->created_member)
		read_time(change, provider->created_member, SIM_SET_CREATED,
				  &change->created);
	if (provider->updated_member)
		read_time(change, provider->updated_member, SIM_SET_UPDATED,
				  &change->updated);
	read_email(change, email, *owner);
	json_array_foreach(emails, i, element)
		read_email(change, json_object_get(element, "email_address"), *owner);
	json_decref(id);
	json_decref(email);
	json_decref(emails);
}
