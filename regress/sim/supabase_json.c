/*-------------------------------------------------------------------------
 *
 * supabase_json.c
 *		A user of Supabase Auth: as JSON, and as its filter sees it.
 *
 * Times have microseconds, without zeros at their end.  Users created in the same
 * millisecond have the same ones, so that they tie.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "supabase.h"

#define SCRAMBLED_EMAIL 43		/* digits of what takes the place of an
								 * address */
#define SCRAMBLED_PHONE 15
#define NAME_SIZE (2 * SIM_EMAIL_SIZE)

static bool alone;

void
sim_supabase_alone(bool is_alone)
{
	alone = is_alone;
}

const char *
sim_supabase_audience(const SimUser *user)
{
	return user->state && strncmp(user->state, "aud:", 4) == 0 ?
		user->state + 4 : SUPABASE_AUDIENCE;
}

static void
put_time(SimBuf *buf, const char *name, int64_t ms)
{
	SimBuf		time = {0};

	sim_buf_iso(&time, ms);
	time.len--;					/* the Z */
	sim_buf_printf(&time, "%03d", (int) ((ms * 7 % 1000 + 1000) % 1000));
	while (time.data[time.len - 1] == '0')
		time.len--;
	if (time.data[time.len - 1] == '.')
		time.len--;
	sim_buf_printf(buf, ",\"%s\":\"", name);
	sim_buf_add(buf, time.data, time.len);
	SIM_LITERAL(buf, "Z\"");
	sim_buf_free(&time);
}

/*
 * The name of a user, or NULL if that is not a full_name.
 */
static const char *
full_name(const SimPerson *person, char name[NAME_SIZE])
{
	if ((person->first == NULL && person->last == NULL) ||
		(!person->plain && person->hash % 3 > 0))
		return NULL;
	snprintf(name, NAME_SIZE, "%s%s%s", person->first ? person->first : "",
			 person->first && person->last ? " " : "",
			 person->last ? person->last : "");
	return name;
}

/*
 * Applications write the name where they like.
 */
static void
put_metadata(SimBuf *buf, const SimPerson *person)
{
	char		name[NAME_SIZE];
	const char *full = full_name(person, name);

	SIM_LITERAL(buf, ",\"user_metadata\":{\"email_verified\":true");
	if (full)
	{
		SIM_LITERAL(buf, ",\"full_name\":");
		sim_buf_string(buf, full);
		SIM_LITERAL(buf, ",\"name\":");
		sim_buf_string(buf, person->first ? person->first : person->last);
	}
	else if (person->first || person->last)
	{
		sim_buf_text(buf, person->hash % 3 == 1 ? ",\"full_name\":\"\",\"name\":" :
					 ",\"name\":null,\"display_name\":");
		sim_buf_string(buf, person->first ? person->first : person->last);
	}
	SIM_LITERAL(buf, "}");
}

/*
 * What a soft deletion leaves of a user.
 */
static void
put_remains(SimBuf *buf, const SimPerson *person)
{
	SIM_LITERAL(buf, ",\"email\":\"");
	if (person->n_emails > 0)
		sim_generate_token(buf, person->hash, SCRAMBLED_EMAIL);
	SIM_LITERAL(buf, "\",\"phone\":\"");
	if (person->n_emails == 0)
		sim_generate_token(buf, person->hash, SCRAMBLED_PHONE);
	SIM_LITERAL(buf, "\",\"app_metadata\":{},\"user_metadata\":{}");
}

static void
put_contents(SimBuf *buf, const SimPerson *person)
{
	SIM_LITERAL(buf, ",\"email\":");
	sim_buf_string(buf, person->n_emails > 0 ? person->emails[0] : "");
	if (person->n_emails > 0)
		SIM_LITERAL(buf, ",\"phone\":\"\",\"app_metadata\":{\"provider\":\"email\","
					"\"providers\":[\"email\"]}");
	else
		sim_buf_printf(buf, ",\"phone\":\"1555%07d\",\"app_metadata\":{"
					   "\"provider\":\"phone\",\"providers\":[\"phone\"]}",
					   (int) (person->hash % 10000000));
	put_metadata(buf, person);
}

/*
 * Identities come with a user asked for alone, but not in a list.
 */
void
sim_supabase_put_user(SimBuf *buf, const SimUser *user)
{
	SimPerson	person;
	char		id[SIM_ID_SIZE];

	sim_generate_person(user, &person);
	sim_users_id(user, id);
	SIM_LITERAL(buf, "{\"id\":");
	sim_buf_string(buf, id);
	SIM_LITERAL(buf, ",\"aud\":");
	sim_buf_string(buf, sim_supabase_audience(user));
	SIM_LITERAL(buf, ",\"role\":\"authenticated\"");
	if (sim_user_has_state(user, "deleted"))
		put_remains(buf, &person);
	else
		put_contents(buf, &person);
	sim_buf_text(buf, alone ? ",\"identities\":[]" : ",\"identities\":null");
	put_time(buf, "created_at", user->created);
	put_time(buf, "updated_at", user->updated);
	if (sim_user_has_state(user, "banned"))
		SIM_LITERAL(buf, ",\"banned_until\":\"2126-01-01T00:00:00Z\"");
	if (sim_user_has_state(user, "deleted"))
		put_time(buf, "deleted_at", user->updated);
	SIM_LITERAL(buf, ",\"is_anonymous\":false}");
}

/* ---- the filter ---- */

/*
 * LIKE of SQL, a backslash being its escape; or ILIKE, of ASCII.
 */
static bool
is_like(const char *text, const char *pattern, bool any_case)
{
	char		want = *pattern;
	char		have = *text;

	if (want == '%')
	{
		for (;; text++)
		{
			if (is_like(text, pattern + 1, any_case))
				return true;
			if (*text == '\0')
				return false;
		}
	}
	if (want == '\0' || have == '\0')
		return want == have;
	if (want == '\\')
		want = *++pattern;
	else if (want == '_')
		want = have;
	if (any_case)
	{
		want = (char) tolower((unsigned char) want);
		have = (char) tolower((unsigned char) have);
	}
	return want == have && is_like(text + 1, pattern + 1, any_case);
}

/*
 * Is this user found by a filter?  Of users served verbatim the bytes count.
 */
bool
sim_supabase_matches(const SimUser *user, const char *filter)
{
	SimPerson	person;
	char		name[NAME_SIZE];
	const char *full;
	SimBuf		pattern = {0};
	json_t	   *raw = user->raw ? json_loadb(user->raw, user->raw_len, 0, NULL) : NULL;
	const char *email;
	bool		matches;

	sim_generate_person(user, &person);
	email = user->raw ? json_string_value(json_object_get(raw, "email")) :
		person.n_emails > 0 ? person.emails[0] : NULL;
	full = user->raw ? json_string_value(json_object_get(json_object_get(raw, "user_metadata"), "full_name")) :
		full_name(&person, name);
	sim_buf_printf(&pattern, "%%%s%%", filter);
	pattern.data[pattern.len] = '\0';
	matches = !sim_user_has_state(user, "deleted") &&
		((email && is_like(email, pattern.data, false)) ||
		 (full && is_like(full, pattern.data, true)));
	sim_buf_free(&pattern);
	json_decref(raw);
	return matches;
}
