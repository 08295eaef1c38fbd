/*-------------------------------------------------------------------------
 *
 * okta_user.c
 *		Users as Okta writes them, and what of them a filter can ask for.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "okta.h"

#define SECOND_MS 1000

static const struct
{
	const char *state;
	const char *status;
	bool		dated;			/* statusChanged is known */
}			states[] = {
	{"deprovisioned", "DEPROVISIONED", true},
	{"undated", "DEPROVISIONED", false},
	{"suspended", "SUSPENDED", true},
	{"locked_out", "LOCKED_OUT", true},
	{"staged", "STAGED", false}
};

/* When the state of a user was changed last. */
typedef struct StateChange
{
	int64_t		index;
	char	   *state;			/* or NULL */
	int64_t		time;
} StateChange;

static StateChange *changes;
static size_t n_changes;

static bool alone;

/* list requests so far: the clock of lastLogin, which no change moves */
static int64_t n_lists;

void
sim_okta_note_list(void)
{
	n_lists++;
}

void
sim_okta_alone(bool is_alone)
{
	alone = is_alone;
}

static int64_t
shown(int64_t ms)
{
	return sim_setting("millis") ? ms : ms - (ms % SECOND_MS + SECOND_MS) % SECOND_MS;
}

static StateChange *
find_change(int64_t index)
{
	for (size_t i = 0; i < n_changes; i++)
		if (changes[i].index == index)
			return &changes[i];
	return NULL;
}

/*
 * Remember when a state begins; a change of something else leaves it.
 */
void
sim_okta_changed(const SimUser *user, SimEvent event)
{
	StateChange *change = find_change(user->index);

	if (event == SIM_DELETED || (change == NULL && user->state == NULL))
		return;
	if (change == NULL)
	{
		changes = sim_realloc(changes, (n_changes + 1) * sizeof(*changes));
		change = &changes[n_changes++];
		memset(change, 0, sizeof(*change));
		change->index = user->index;
	}
	else if (change->state && user->state && strcmp(change->state, user->state) == 0)
		return;
	free(change->state);
	change->state = sim_strdup(user->state);
	change->time = user->updated;
}

/* The status, and when it was changed, or SIM_TIME_NONE. */
static const char *
status_of(const SimUser *user, int64_t *when)
{
	const StateChange *change = find_change(user->index);

	*when = change ? change->time : user->created;
	for (size_t i = 0; user->state && i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(user->state, states[i].state) == 0)
		{
			if (!states[i].dated)
				*when = SIM_TIME_NONE;
			return states[i].status;
		}
	return "ACTIVE";
}

static const char *
login_of(const SimUser *user, const SimPerson *person, char *space)
{
	if (person->n_emails > 0)
		return person->emails[0];
	if (person->username)
		return person->username;
	sim_users_id(user, space);
	return space;
}

/* ---- what a filter can ask for ---- */

static void
copy_member(const json_t *object, const char *name, char *to, size_t size)
{
	const char *text = json_string_value(json_object_get(object, name));

	snprintf(to, size, "%s", text ? text : "");
}

/* The same of a user served verbatim, as far as it can be read. */
static void
look_at_raw(const SimUser *user, SimOktaUser *seen)
{
	json_t	   *json = json_loadb(user->raw, user->raw_len, 0, NULL);
	const json_t *profile = json_object_get(json, "profile");

	copy_member(json, "status", seen->status, sizeof(seen->status));
	copy_member(profile, "login", seen->login, sizeof(seen->login));
	copy_member(profile, "email", seen->email, sizeof(seen->email));
	copy_member(profile, "firstName", seen->first, sizeof(seen->first));
	copy_member(profile, "lastName", seen->last, sizeof(seen->last));
	json_decref(json);
}

void
sim_okta_look(const SimUser *user, SimOktaUser *seen)
{
	SimPerson	person;
	char		space[SIM_ID_SIZE];
	int64_t		when;

	sim_users_id(user, seen->id);
	seen->updated = shown(user->updated);
	if (user->raw)
	{
		look_at_raw(user, seen);
		return;
	}
	sim_generate_person(user, &person);
	snprintf(seen->status, SIM_OKTA_TEXT, "%s", status_of(user, &when));
	snprintf(seen->login, SIM_OKTA_TEXT, "%s", login_of(user, &person, space));
	snprintf(seen->email, SIM_OKTA_TEXT, "%s", person.n_emails > 0 ? person.emails[0] : "");
	snprintf(seen->first, SIM_OKTA_TEXT, "%s", person.first ? person.first : "");
	snprintf(seen->last, SIM_OKTA_TEXT, "%s", person.last ? person.last : "");
}

/* ---- writing ---- */

static void
put_time(SimBuf *buf, const char *name, int64_t time)
{
	if (time == SIM_TIME_NONE)
		sim_buf_member(buf, name, NULL);
	else
		sim_buf_time(buf, name, shown(time));
}

static void
put_profile(SimBuf *buf, const SimUser *user, const SimPerson *person)
{
	char		space[SIM_ID_SIZE];

	SIM_LITERAL(buf, ",\"profile\":{");
	sim_buf_member(buf, "firstName", person->first);
	sim_buf_member(buf, "lastName", person->last);
	sim_buf_member(buf, "displayName", person->first || person->last ? person->username : NULL);
	sim_buf_member(buf, "mobilePhone", NULL);
	sim_buf_member(buf, "secondEmail", person->n_emails > 1 ? person->emails[1] : NULL);
	sim_buf_member(buf, "login", login_of(user, person, space));
	sim_buf_member(buf, "email", person->n_emails > 0 ? person->emails[0] : NULL);
	SIM_LITERAL(buf, "}");
}

/* A user alone has links to what can be done with it. */
static void
put_links(SimBuf *buf, const char *id, const char *status)
{
	static const char *const actions[] = {"suspend", "deactivate", "reset_password"};

	sim_buf_printf(buf, ",\"_links\":{\"self\":{\"href\":\"https://sim.example.com/api/v1/users/%s\"}", id);
	for (size_t i = 0; alone && strcmp(status, "ACTIVE") == 0 &&
		 i < sizeof(actions) / sizeof(actions[0]); i++)
		sim_buf_printf(buf, ",\"%s\":{\"href\":\"https://sim.example.com/api/v1/users/%s/lifecycle/%s\",\"method\":\"POST\"}",
					   actions[i], id, actions[i]);
	SIM_LITERAL(buf, "}}");
}

void
sim_okta_put_user(SimBuf *buf, const SimUser *user)
{
	SimPerson	person;
	char		id[SIM_ID_SIZE];
	int64_t		changed;
	const char *status = status_of(user, &changed);

	sim_generate_person(user, &person);
	sim_users_id(user, id);
	SIM_LITERAL(buf, "{");
	sim_buf_member(buf, "id", id);
	sim_buf_member(buf, "status", status);
	put_time(buf, "created", user->created);
	put_time(buf, "activated", strcmp(status, "STAGED") == 0 ? SIM_TIME_NONE : user->created);
	put_time(buf, "statusChanged", changed);
	put_time(buf, "lastLogin", sim_setting("logins") ?
			 sim_generate_end() + n_lists * SECOND_MS : SIM_TIME_NONE);
	put_time(buf, "lastUpdated", user->updated);
	put_time(buf, "passwordChanged", person.plain ? SIM_TIME_NONE : user->created);
	SIM_LITERAL(buf, ",\"type\":{\"id\":\"oty1simulated0type00\"}");
	put_profile(buf, user, &person);
	SIM_LITERAL(buf, ",\"credentials\":{\"password\":{},\"recovery_question\":"
				"{\"question\":\"What was your first computer?\"},"
				"\"provider\":{\"type\":\"OKTA\",\"name\":\"OKTA\"}}");
	put_links(buf, id, status);
}
