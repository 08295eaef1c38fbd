/*-------------------------------------------------------------------------
 *
 * firebase_user.c
 *		A user of Firebase Authentication as JSON.
 *
 * Numbers come as texts, in milliseconds, in seconds, or as a number, each where
 * Google has it so.  A user with an address has a password, and then the hash of it
 * and the salt, for whoever may see these.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>

#include "firebase.h"

/* What is shown to who may not see a password's hash: "REDACTED". */
#define REDACTED "UkVEQUNURUQ="

const char *
sim_firebase_email(const SimUser *user)
{
	static char email[SIM_EMAIL_SIZE];
	SimPerson	person;

	sim_generate_person(user, &person);
	if (person.primary < 0)
		return NULL;
	snprintf(email, sizeof(email), "%s", person.emails[person.primary]);
	for (char *c = email; *c && !sim_setting_is("case", "kept"); c++)
		*c = (char) tolower((unsigned char) *c);
	return email;
}

static void
put_number_text(SimBuf *buf, const char *name, int64_t value)
{
	sim_buf_printf(buf, ",\"%s\":\"%lld\"", name, (long long) value);
}

/* The hash changes with each change of the user, as if the password did. */
static void
put_password(SimBuf *buf, const SimUser *user, uint64_t hash)
{
	uint64_t	made = sim_hash(hash, (uint64_t) user->updated);

	if (sim_setting_is("redacted", "1"))
		SIM_LITERAL(buf, ",\"passwordHash\":\"" REDACTED "\"");
	else
		sim_buf_printf(buf, ",\"passwordHash\":\"c2VjcmV0SGFzaA%016llx==\",\"salt\":\"c2VjcmV0U2FsdA%08llx==\",\"version\":0",
					   (unsigned long long) made, (unsigned long long) (made & 0xFFFFFFFF));
	sim_buf_printf(buf, ",\"passwordUpdatedAt\":%lld", (long long) user->created);
}

static void
put_identities(SimBuf *buf, const char *name, const char *email, bool google)
{
	SIM_LITERAL(buf, ",\"providerUserInfo\":[");
	if (google)
	{
		SIM_LITERAL(buf, "{\"providerId\":\"google.com\",\"rawId\":\"1093\",\"federatedId\":\"1093\"");
		sim_buf_optional(buf, "displayName", name);
		SIM_LITERAL(buf, "}");
	}
	if (email)
	{
		sim_buf_text(buf, google ? "," : "");
		SIM_LITERAL(buf, "{\"providerId\":\"password\",\"rawId\":");
		sim_buf_string(buf, email);
		sim_buf_optional(buf, "email", email);
		SIM_LITERAL(buf, "}");
	}
	SIM_LITERAL(buf, "]");
}

static void
put_factor(SimBuf *buf, const SimUser *user)
{
	SIM_LITERAL(buf, ",\"mfaInfo\":[{\"mfaEnrollmentId\":\"sim-factor\",\"displayName\":\"phone\","
				"\"phoneInfo\":\"+*******0100\",\"enrolledAt\":\"");
	sim_buf_iso(buf, user->created);
	SIM_LITERAL(buf, "\"}]");
}

/* Signing in and having tokens renewed move with the time of change alone. */
static void
put_times(SimBuf *buf, const SimUser *user)
{
	put_number_text(buf, "validSince", user->created / 1000);
	put_number_text(buf, "lastLoginAt", user->updated);
	put_number_text(buf, "createdAt", user->created);
	sim_buf_time(buf, "lastRefreshAt", user->updated);
}

void
sim_firebase_put_user(SimBuf *buf, const SimUser *user)
{
	const char *email = sim_firebase_email(user);
	SimBuf		name = {0};
	char		id[SIM_ID_SIZE];
	SimPerson	person;

	sim_generate_person(user, &person);
	sim_users_id(user, id);
	sim_generate_name(&name, &person);
	SIM_LITERAL(buf, "{\"localId\":");
	sim_buf_string(buf, id);
	sim_buf_optional(buf, "email", email);
	sim_buf_optional(buf, "displayName", name.data[0] ? name.data : NULL);
	sim_buf_printf(buf, ",\"emailVerified\":%s", email && person.hash % 4 ? "true" : "false");
	if (email)
		put_password(buf, user, person.hash);
	put_identities(buf, name.data[0] ? name.data : NULL, email, person.hash % 3 == 0 && !person.plain);
	sim_buf_printf(buf, ",\"disabled\":%s", sim_user_has_state(user, "disabled") ? "true" : "false");
	put_times(buf, user);
	if (person.hash % 8 == 0 && !person.plain)
		sim_buf_optional(buf, "customAttributes", "{\"plan\":\"gold\"}");
	if (person.hash % 16 == 1 && !person.plain)
		put_factor(buf, user);
	sim_buf_optional(buf, "tenantId", sim_setting("tenant"));
	SIM_LITERAL(buf, "}");
	sim_buf_free(&name);
}
