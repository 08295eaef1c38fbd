/*-------------------------------------------------------------------------
 *
 * workos_json.c
 *		A user as WorkOS writes it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "workos.h"

#define SIGN_IN_STEP_MS 1000

/* lists so far: the clock of last_sign_in_at, which no change moves */
static int64_t n_lists;

/*
 * Let everybody sign in, if they do.
 */
void
sim_workos_signed_in(void)
{
	n_lists++;
}

static void
put_name(SimBuf *buf, const SimPerson *person)
{
	if (sim_setting_is("name", "absent"))
		return;
	if (person->first == NULL || person->last == NULL)
	{
		sim_buf_member(buf, "name", person->first ? person->first : person->last);
		return;
	}
	SIM_LITERAL(buf, ",\"name\":\"");
	sim_buf_escape(buf, person->first);
	SIM_LITERAL(buf, " ");
	sim_buf_escape(buf, person->last);
	SIM_LITERAL(buf, "\"");
}

static void
put_sign_in(SimBuf *buf)
{
	if (sim_setting_is("sign_ins", "often"))
		sim_buf_time(buf, "last_sign_in_at", sim_generate_end() + n_lists * SIGN_IN_STEP_MS);
	else
		SIM_LITERAL(buf, ",\"last_sign_in_at\":null");
}

void
sim_workos_put_user(SimBuf *buf, const SimUser *user)
{
	SimPerson	person;
	char		id[SIM_ID_SIZE];

	sim_generate_person(user, &person);
	sim_users_id(user, id);
	SIM_LITERAL(buf, "{\"object\":\"user\"");
	sim_buf_member(buf, "id", id);
	sim_buf_member(buf, "email", person.n_emails > 0 ? person.emails[0] : "");
	sim_buf_printf(buf, ",\"email_verified\":%s", person.hash % 4 == 0 ? "false" : "true");
	sim_buf_member(buf, "first_name", person.first);
	sim_buf_member(buf, "last_name", person.last);
	put_name(buf, &person);
	SIM_LITERAL(buf, ",\"profile_picture_url\":null,\"external_id\":null,\"metadata\":{}");
	put_sign_in(buf);
	SIM_LITERAL(buf, ",\"locale\":null");
	sim_buf_time(buf, "created_at", user->created);
	sim_buf_time(buf, "updated_at", user->updated);
	SIM_LITERAL(buf, "}");
}
