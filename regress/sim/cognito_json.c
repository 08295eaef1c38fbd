/*-------------------------------------------------------------------------
 *
 * cognito_json.c
 *		A user as Cognito writes it: attributes are pairs in an array, of which
 *		nobody has all, and times are numbers of seconds.
 *
 * The sub is the Username where that was not chosen, as in a pool whose users sign in
 * by e-mail; else it is another UUID.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "cognito.h"

#include <stdio.h>
#include <stdlib.h>

static void
put_attribute(SimBuf *buf, const char *name, const char *value)
{
	if (value == NULL)
		return;
	sim_buf_printf(buf, "%s{\"Name\":\"%s\",\"Value\":", buf->data[buf->len - 1] == '[' ? "" : ",", name);
	sim_buf_string(buf, value);
	SIM_LITERAL(buf, "}");
}

void
sim_cognito_sub(const SimUser *user, char sub[SIM_ID_SIZE])
{
	uint64_t	high = sim_hash((uint64_t) user->index, 31);
	uint64_t	low = sim_hash((uint64_t) user->index, 32);

	sim_users_id(user, sub);
	if (user->id)
		snprintf(sub, SIM_ID_SIZE, "%08x-%04x-%04x-%04x-%012llx", (unsigned) (high >> 32),
				 (unsigned) (high >> 16 & 0xFFFF), (unsigned) (high & 0xFFFF),
				 (unsigned) (low >> 48), (unsigned long long) (low & UINT64_C(0xFFFFFFFFFFFF)));
}

/* The one address of a user, or NULL. */
const char *
sim_cognito_email(const SimPerson *person)
{
	return person->n_emails > 0 ? person->emails[person->primary < 0 ? 0 : person->primary] : NULL;
}

/* Half of the users have their name in one attribute, the others in two. */
static void
put_names(SimBuf *buf, const SimPerson *person)
{
	SimBuf		name = {0};

	if (person->hash % 2 == 0)
	{
		put_attribute(buf, "family_name", person->last);
		put_attribute(buf, "given_name", person->first);
		return;
	}
	if (person->first == NULL && person->last == NULL)
		return;
	sim_generate_name(&name, person);
	put_attribute(buf, "name", name.data);
	sim_buf_free(&name);
}

/* Which of the attributes comes first is nobody's business. */
static void
put_attributes(SimBuf *buf, const SimUser *user)
{
	SimPerson	person;
	char		sub[SIM_ID_SIZE];
	const char *email;

	sim_generate_person(user, &person);
	email = sim_cognito_email(&person);
	sim_cognito_sub(user, sub);
	SIM_LITERAL(buf, "[");
	if (person.hash % 3 == 0)
		put_attribute(buf, "email", email);
	put_attribute(buf, "sub", sub);
	put_names(buf, &person);
	put_attribute(buf, "preferred_username", person.username);
	if (!person.plain && person.hash % 8 == 0)
		put_attribute(buf, "custom:team", "blue");
	if (email)
		put_attribute(buf, "email_verified", person.hash % 5 == 0 ? "false" : "true");
	if (person.hash % 3 != 0)
		put_attribute(buf, "email", email);
	SIM_LITERAL(buf, "]");
}

/* The same number in one form or another. */
static void
put_time(SimBuf *buf, const char *name, int64_t ms)
{
	long long	seconds = ms / 1000;
	int			fraction = (int) (ms % 1000);

	sim_buf_printf(buf, ",\"%s\":", name);
	if (sim_setting_is("times", "exponent") && seconds >= 1000000000)
		sim_buf_printf(buf, "%lld.%09lld%03dE9", seconds / 1000000000, seconds % 1000000000, fraction);
	else if (fraction == 0)
		sim_buf_printf(buf, "%lld", seconds);
	else
		sim_buf_printf(buf, "%lld.%03d", seconds, fraction);
}

static void
put_user(SimBuf *buf, const SimUser *user, bool single)
{
	const char *state = user->state ? user->state : "";
	char		id[SIM_ID_SIZE];

	sim_users_id(user, id);
	SIM_LITERAL(buf, "{\"Username\":");
	sim_buf_string(buf, id);
	sim_buf_printf(buf, ",\"%s\":", single ? "UserAttributes" : "Attributes");
	put_attributes(buf, user);
	put_time(buf, "UserCreateDate", user->created);
	put_time(buf, "UserLastModifiedDate", user->updated);
	sim_buf_printf(buf, ",\"Enabled\":%s,\"UserStatus\":\"%s\"", strcmp(state, "disabled") == 0 ? "false" : "true",
				   strcmp(state, "reset") == 0 ? "RESET_REQUIRED" : "CONFIRMED");
	if (strcmp(state, "sms") == 0)
		SIM_LITERAL(buf, ",\"MFAOptions\":[{\"DeliveryMedium\":\"SMS\",\"AttributeName\":\"phone_number\"}]");
	if (single && sim_hash((uint64_t) user->index, 33) % 3 == 0)
		SIM_LITERAL(buf, ",\"UserMFASettingList\":[\"SOFTWARE_TOKEN_MFA\"],\"PreferredMfaSetting\":\"SOFTWARE_TOKEN_MFA\"");
	SIM_LITERAL(buf, "}");
}

void
sim_cognito_put_user(SimBuf *buf, const SimUser *user)
{
	put_user(buf, user, false);
}

/* One who is served verbatim has the other name for its attributes, too. */
void
sim_cognito_put_single(SimBuf *buf, const SimUser *user)
{
	static const char listed[] = "\"Attributes\":";
	char	   *raw;
	char	   *found;

	if (user->raw == NULL)
	{
		put_user(buf, user, true);
		return;
	}
	raw = sim_memdup(user->raw, user->raw_len);
	found = strstr(raw, listed);
	if (found == NULL)
		sim_buf_add(buf, user->raw, user->raw_len);
	else
	{
		size_t		before = (size_t) (found - raw);

		sim_buf_add(buf, raw, before);
		SIM_LITERAL(buf, "\"UserAttributes\":");
		sim_buf_add(buf, user->raw + before + strlen(listed), user->raw_len - before - strlen(listed));
	}
	free(raw);
}
