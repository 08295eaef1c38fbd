/*-------------------------------------------------------------------------
 *
 * mutate.c
 *		What a fault changes in the directory before the answer it hits.
 *
 * That is how users come, go and change in the middle of a listing.  What a
 * mutation says is told at the head of main.c.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "sim.h"

/* Do one thing, or only look whether it can be read; returns what is wrong. */
typedef const char *(*Mutation) (json_t *value, bool check_only);

static const char *
delete_index(json_t *value, bool check_only)
{
	if (!json_is_integer(value))
		return "an index to delete must be an integer";
	if (!check_only)
		sim_users_delete(json_integer_value(value));
	return NULL;
}

static const char *
update_index(json_t *value, bool check_only)
{
	SimChange	change = {0};

	if (!json_is_integer(value))
		return "an index to update must be an integer";
	if (!check_only)
		sim_users_update(json_integer_value(value), &change);
	return NULL;
}

/*
 * A change that makes the same person again, the primary e-mail first.
 */
static void
copy_person(const SimPerson *person, SimChange *change)
{
	change->set = SIM_SET_FIRST | SIM_SET_LAST | SIM_SET_USERNAME |
		SIM_SET_EMAILS;
	change->first = person->first;
	change->last = person->last;
	change->username = person->username;
	change->n_emails = person->n_emails;
	memcpy(change->emails, person->emails, sizeof(change->emails));
	if (person->primary > 0)
	{
		change->emails[0] = person->emails[person->primary];
		change->emails[person->primary] = person->emails[0];
	}
}

/*
 * Whoever has the identifier now goes, so that this can be done repeatedly.
 */
static void
recreate(int64_t index)
{
	SimUser		user;
	SimPerson	person;
	SimChange	change = {0};
	char		id[SIM_ID_SIZE];

	if (!sim_users_get(index, &user))
		return;
	sim_users_id(&user, id);
	index = sim_users_find(id);
	sim_users_get(index, &user);
	sim_users_delete(index);
	sim_generate_person(&user, &person);
	copy_person(&person, &change);
	change.id = id;
	sim_users_create(&change);
}

static const char *
recreate_index(json_t *value, bool check_only)
{
	if (!json_is_integer(value))
		return "an index to recreate must be an integer";
	if (!check_only)
		recreate(json_integer_value(value));
	return NULL;
}

static const char *
create(json_t *value, bool check_only)
{
	SimChange	change = {0};
	char	   *space = NULL;
	const char *wrong = sim_control_read(value, &change, &space);

	if (wrong == NULL && !check_only)
		sim_users_create(&change);
	free(space);
	return wrong;
}

static const char *
update(json_t *value, bool check_only)
{
	const json_t *index = json_object_get(value, "index");
	json_t	   *members = json_copy(value);
	SimChange	change = {0};
	char	   *space = NULL;
	const char *wrong;

	/* the copy is shallow, so the strings in the change outlive it */
	json_object_del(members, "index");
	wrong = sim_control_read(members, &change, &space);
	json_decref(members);
	if (wrong == NULL && !json_is_integer(index))
		wrong = "\"index\" of the user to update must be an integer";
	if (wrong == NULL && change.id)
		wrong = "the id of a user cannot change";
	if (wrong == NULL && !check_only)
		sim_control_update(json_integer_value(index), &change);
	free(space);
	return wrong;
}

static const struct
{
	const char *name;
	Mutation	act;
}			mutations[] = {
	{"delete_index", delete_index},
	{"update_index", update_index},
	{"recreate_index", recreate_index},
	{"create", create},
	{"update", update}
};

static Mutation
find_mutation(const char *name)
{
	for (size_t i = 0; i < sizeof(mutations) / sizeof(mutations[0]); i++)
		if (strcmp(name, mutations[i].name) == 0)
			return mutations[i].act;
	return NULL;
}

static const char *
act_on_each(Mutation act, json_t *value, bool check_only)
{
	const char *wrong = NULL;

	if (!json_is_array(value))
		return act(value, check_only);
	for (size_t i = 0; i < json_array_size(value) && wrong == NULL; i++)
		wrong = act(json_array_get(value, i), check_only);
	return wrong;
}

/*
 * Do what a fault's "mutate" says, or only look whether it can be read.
 * Indexes of users that are gone are passed over.
 */
const char *
sim_mutate(const json_t *mutate, bool check_only)
{
	const char *name;
	json_t	   *value;
	const char *wrong = NULL;

	json_object_foreach((json_t *) mutate, name, value)
	{
		Mutation	act = find_mutation(name);

		wrong = act ? act_on_each(act, value, check_only) : "unknown mutation";
		if (wrong)
			break;
	}
	return wrong;
}
