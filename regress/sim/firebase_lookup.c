/*-------------------------------------------------------------------------
 *
 * firebase_lookup.c
 *		Users by id and by address: POST accounts:lookup.
 *
 * Nobody is a reply without users, in both styles.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <strings.h>

#include "firebase.h"

#define MOST 100

static const char *const other_members[] = {
	"idToken", "phoneNumber", "federatedUserId", "delegatedProjectNumber", "targetProjectId", "initialEmail"
};

/*
 * Is it about one user by id, and nobody else?
 */
bool
sim_firebase_asks_one(const SimRequest *request)
{
	json_t	   *body = sim_request_json(request, 0);
	bool		one = json_array_size(json_object_get(body, "localId")) == 1 &&
	json_array_size(json_object_get(body, "email")) == 0;

	json_decref(body);
	return one;
}

static void
add_user(SimIndexes *users, int64_t index, const json_t *fault)
{
	if (!sim_fault_hides(fault, index))
		sim_indexes_add_once(users, index);
}

/*
 * The emulator compares addresses as they are; it keeps them in lower case.
 */
static void
add_address(SimIndexes *users, const char *email, const json_t *fault)
{
	int64_t		end = sim_users_end();
	bool		exact = sim_setting_is("style", "emulator");
	SimUser		user;

	for (int64_t i = 0; i < end; i++)
	{
		const char *other;

		if (!sim_users_get(i, &user) || user.deleted || (other = sim_firebase_email(&user)) == NULL)
			continue;
		if (exact ? strcmp(other, email) == 0 : strcasecmp(other, email) == 0)
			add_user(users, i, fault);
	}
}

static bool
is_address(const char *email)
{
	const char *at = strchr(email, '@');

	return at && at > email && strchr(at, '.') && strchr(at + 1, '@') == NULL && strchr(email, ' ') == NULL &&
		strlen(email) < 256;
}

/*
 * Add whom a list of texts names.
 */
static bool
add_named(const json_t *names, bool by_id, const json_t *fault, SimIndexes *users, SimReply *reply)
{
	if (!json_is_array(names) || json_array_size(names) > MOST)
		return sim_firebase_error(reply, 400, "INVALID_ARGUMENT", "Invalid value: no list, or too long a one");
	for (size_t i = 0; i < json_array_size(names); i++)
	{
		const char *text = json_string_value(json_array_get(names, i));
		SimUser		user;

		if (text == NULL)
			return sim_firebase_error(reply, 400, "INVALID_ARGUMENT", "Invalid value: no text");
		if (!by_id && !sim_setting_is("style", "emulator") && !is_address(text))
			return sim_firebase_error(reply, 400, NULL, "INVALID_EMAIL");
		if (!by_id)
			add_address(users, text, fault);
		else if (sim_users_find_live(text, &user))
			add_user(users, user.index, fault);
	}
	return true;
}

static bool
read_body(json_t *body, const json_t *fault, SimIndexes *users, SimReply *reply)
{
	const char *name;
	json_t	   *value;

	json_object_foreach(body, name, value)
	{
		if (SIM_IS_ONE_OF(name, other_members))
			return sim_firebase_not_simulated(reply, name);
		if (strcmp(name, "localId") != 0 && strcmp(name, "email") != 0)
			return sim_firebase_error(reply, 400, "INVALID_ARGUMENT", "Invalid JSON payload received. Unknown name");
		if (!add_named(value, strcmp(name, "localId") == 0, fault, users, reply))
			return false;
	}
	return true;
}

/*
 * Answer a look-up; "here" says whether the project or tenant is ours.
 */
void
sim_firebase_lookup(const SimRequest *request, SimReply *reply, bool here)
{
	json_t	   *body = sim_request_json(request, 0);
	SimPage		page = {0};

	if (request->n_params > 0)
		sim_firebase_error(reply, 400, "INVALID_ARGUMENT", "Unknown parameter");
	else if (!json_is_object(body))
		sim_firebase_error(reply, 400, "INVALID_ARGUMENT", "Invalid JSON payload received.");
	else if (read_body(body, request->kind == SIM_LIST ? request->fault : NULL, &page.users, reply))
	{
		SIM_LITERAL(&reply->body, "{\"kind\":\"identitytoolkit#GetAccountInfoResponse\"");
		if (here && page.users.n > 0)
		{
			SIM_LITERAL(&reply->body, ",\"users\":");
			sim_query_put(&reply->body, &page);
		}
		SIM_LITERAL(&reply->body, "}");
	}
	free(page.users.item);
	json_decref(body);
}
