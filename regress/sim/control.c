/*-------------------------------------------------------------------------
 *
 * control.c
 *		The calls under /_sim/ with which a test plays provider.
 *
 * They need no credential, count in no statistics and are hit by no fault.
 * What they are is told at the head of main.c.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

static void
fail(SimReply *reply, int status, const char *what)
{
	reply->status = status;
	reply->body.len = 0;
	SIM_LITERAL(&reply->body, "{\"error\":");
	sim_buf_string(&reply->body, what);
	SIM_LITERAL(&reply->body, "}\n");
}

/* ---- reading what to change ---- */

static const char *
read_text(const json_t *value, SimChange *change, unsigned bit,
		  const char **text)
{
	if (!json_is_string(value) && !json_is_null(value))
		return "a name must be a string or null";
	change->set |= bit;
	*text = json_string_value(value);
	return NULL;
}

static const char *
read_emails(const json_t *value, SimChange *change)
{
	size_t		n = json_is_array(value) ? json_array_size(value) : 1;

	change->set |= SIM_SET_EMAILS;
	change->n_emails = 0;
	if (json_is_null(value))
		return NULL;
	if (n > SIM_MAX_EMAILS)
		return "too many e-mail addresses";
	for (size_t i = 0; i < n; i++)
	{
		const json_t *email = json_is_array(value) ?
		json_array_get(value, i) : value;

		if (!json_is_string(email))
			return "an e-mail address must be a string";
		change->emails[change->n_emails++] = json_string_value(email);
	}
	return NULL;
}

static const char *
read_time(const json_t *value, SimChange *change, unsigned bit, int64_t *time)
{
	if (!json_is_integer(value))
		return "a time must be an integer of milliseconds";
	change->set |= bit;
	*time = json_integer_value(value);
	return NULL;
}

/*
 * A whole name is kept as first and last name, cut at its first space.
 */
static const char *
read_name(const json_t *value, SimChange *change, char **space)
{
	char	   *cut;

	free(*space);
	*space = sim_strdup(json_string_value(value));
	cut = *space ? strchr(*space, ' ') : NULL;
	if (cut)
		*cut = '\0';
	change->set |= SIM_SET_FIRST | SIM_SET_LAST;
	change->first = *space;
	change->last = cut ? cut + 1 : NULL;
	return NULL;
}

static const char *
read_member(const char *name, const json_t *value, SimChange *change,
			char **space)
{
	if (strcmp(name, "first_name") == 0)
		return read_text(value, change, SIM_SET_FIRST, &change->first);
	if (strcmp(name, "last_name") == 0)
		return read_text(value, change, SIM_SET_LAST, &change->last);
	if (strcmp(name, "username") == 0)
		return read_text(value, change, SIM_SET_USERNAME, &change->username);
	if (strcmp(name, "email") == 0 || strcmp(name, "email_address") == 0)
		return read_emails(value, change);
	if (strcmp(name, "created_at") == 0)
		return read_time(value, change, SIM_SET_CREATED, &change->created);
	if (strcmp(name, "updated_at") == 0)
		return read_time(value, change, SIM_SET_UPDATED, &change->updated);
	if (strcmp(name, "state") == 0)
		return read_text(value, change, SIM_SET_STATE, &change->state);
	if (strcmp(name, "name") == 0)
		return read_name(value, change, space);
	if (strcmp(name, "id") != 0)
		return "unknown member";
	change->id = json_string_value(value);
	if (change->id == NULL || strlen(change->id) >= SIM_ID_SIZE)
		return "\"id\" must be a string of less than 64 bytes";
	return NULL;
}

/*
 * Read an object into a change; returns what is wrong with it, or NULL.  The
 * strings of the change belong to the object and to *space, which the caller
 * frees.
 */
const char *
sim_control_read(const json_t *body, SimChange *change, char **space)
{
	const char *name;
	json_t	   *value;

	if (!json_is_object(body))
		return "the body must be a JSON object";
	json_object_foreach((json_t *) body, name, value)
	{
		const char *wrong = read_member(name, value, change, space);

		if (wrong)
			return wrong;
	}
	return NULL;
}

/* ---- users ---- */

static void
put_user(SimBuf *buf, int64_t index)
{
	SimUser		user;
	char		id[SIM_ID_SIZE];

	sim_users_get(index, &user);
	sim_users_id(&user, id);
	SIM_LITERAL(buf, "{\"id\":");
	sim_buf_string(buf, id);
	sim_buf_printf(buf, ",\"index\":%lld,\"created_at\":%lld,"
				   "\"updated_at\":%lld,\"deleted\":%s}",
				   (long long) user.index, (long long) user.created,
				   (long long) user.updated, user.deleted ? "true" : "false");
}

static void
put_user_line(SimReply *reply, int64_t index)
{
	put_user(&reply->body, index);
	SIM_LITERAL(&reply->body, "\n");
}

/*
 * All users, those that are gone, too: what a test compares a table with.
 */
static void
put_users(SimRequest *request, SimReply *reply)
{
	int64_t		end = sim_users_end();

	(void) request;
	SIM_LITERAL(&reply->body, "[");
	for (int64_t i = 0; i < end; i++)
	{
		if (i > 0)
			SIM_LITERAL(&reply->body, ",\n");
		put_user(&reply->body, i);
	}
	SIM_LITERAL(&reply->body, "]\n");
}

/*
 * Read a change from a request: a JSON body, or with raw=1 any body and the
 * rest as parameters.
 */
static const char *
read_request(SimRequest *request, SimChange *change, json_t **owner,
			 char **space)
{
	const char *raw = sim_request_param(request, "raw");
	const char *created = sim_request_param(request, "created_at");
	const char *updated = sim_request_param(request, "updated_at");

	if (created && sim_parse_int(created, INT64_MIN + 1, INT64_MAX,
								 &change->created))
		change->set |= SIM_SET_CREATED;
	if (updated && sim_parse_int(updated, INT64_MIN + 1, INT64_MAX,
								 &change->updated))
		change->set |= SIM_SET_UPDATED;
	change->id = sim_request_param(request, "id");
	if (change->id && strlen(change->id) >= SIM_ID_SIZE)
		return "the id is too long";
	if (raw && strcmp(raw, "1") == 0)
	{
		change->raw = request->body.data ? request->body.data : "";
		change->raw_len = request->body.len;
		sim_raw_read(change, owner);
		if (change->id && strlen(change->id) >= SIM_ID_SIZE)
			return "the id in the user is too long; name another as id=";
		return NULL;
	}
	if (request->body.len == 0)
		return NULL;
	*owner = sim_request_json(request, 0);
	return sim_control_read(*owner, change, space);
}

static void
create_user(SimRequest *request, SimReply *reply)
{
	SimChange	change = {0};
	json_t	   *owner = NULL;
	char	   *space = NULL;
	const char *wrong = read_request(request, &change, &owner, &space);
	int64_t		index;

	if (wrong)
		fail(reply, 400, wrong);
	else
	{
		index = sim_users_create(&change);
		if (index < 0)
			fail(reply, 409, "a user has that id");
		else
		{
			reply->status = 201;
			put_user_line(reply, index);
		}
	}
	json_decref(owner);
	free(space);
}

/*
 * A user whose bytes are served verbatim changes only by other bytes.
 */
bool
sim_control_update(int64_t index, const SimChange *change)
{
	SimUser		user;

	if (sim_users_get(index, &user) && user.raw && !(change->set & SIM_SET_RAW))
		return false;
	return sim_users_update(index, change);
}

static void
change_users(SimRequest *request, SimReply *reply, int64_t index,
			 int64_t count, bool delete)
{
	SimChange	change = {0};
	json_t	   *owner = NULL;
	char	   *space = NULL;
	const char *wrong = NULL;
	int64_t		done = 0;

	if (!delete)
		wrong = read_request(request, &change, &owner, &space);
	for (int64_t i = index; wrong == NULL && i < index + count; i++)
		if (delete ? sim_users_delete(i) : sim_control_update(i, &change))
			done++;
	json_decref(owner);
	free(space);
	if (wrong)
		fail(reply, 400, wrong);
	else if (done < count)
		fail(reply, 409, "not all users exist, or a raw user needs raw=1");
	else if (count == 1)
		put_user_line(reply, index);
	else
		sim_buf_printf(&reply->body, "{\"changed\":%lld}\n", (long long) done);
}

/*
 * The user named by "index/N" or by an id; cuts off "/update".
 */
static int64_t
find_user(char *name, bool *update)
{
	char	   *slash = strrchr(name, '/');
	int64_t		index;
	SimUser		user;

	*update = slash && strcmp(slash, "/update") == 0;
	if (*update)
		*slash = '\0';
	if (strncmp(name, "index/", 6) != 0)
		return sim_users_find(name);
	if (!sim_parse_int(name + 6, 0, INT64_MAX / 2, &index) ||
		!sim_users_get(index, &user))
		return -1;
	return index;
}

static void
answer_user(SimRequest *request, SimReply *reply, const char *rest)
{
	char	   *name = sim_strdup(rest);
	const char *count_text = sim_request_param(request, "count");
	int64_t		count = 1;
	bool		update;
	int64_t		index = find_user(name, &update);

	if (index < 0)
		fail(reply, 404, "no such user");
	else if (count_text && !sim_parse_int(count_text, 1, INT64_MAX / 4, &count))
		fail(reply, 400, "\"count\" must be a positive integer");
	else if (update && strcmp(request->method, "POST") == 0)
		change_users(request, reply, index, count, false);
	else if (!update && strcmp(request->method, "DELETE") == 0)
		change_users(request, reply, index, count, true);
	else if (!update && strcmp(request->method, "GET") == 0)
		put_user_line(reply, index);
	else
		fail(reply, 405, "wrong method");
	free(name);
}

/* ---- the other calls ---- */

static void
add_fault(SimRequest *request, SimReply *reply)
{
	json_t	   *spec = sim_request_json(request, 0);
	const char *wrong = sim_fault_add(spec);

	if (wrong)
		fail(reply, 400, wrong);
	json_decref(spec);
}

static void
clear_faults(SimRequest *request, SimReply *reply)
{
	(void) request;
	(void) reply;
	sim_fault_clear();
	sim_server_release();
}

static void
reset_stats(SimRequest *request, SimReply *reply)
{
	int64_t		in_flight = sim_stats.in_flight;

	(void) request;
	(void) reply;
	free(sim_stats.last_target);
	memset(&sim_stats, 0, sizeof(sim_stats));
	sim_stats.in_flight = in_flight;
}

static void
put_stats(SimRequest *request, SimReply *reply)
{
	const SimStats *s = &sim_stats;

	(void) request;
	sim_buf_printf(&reply->body, "{\"list\":%lld,\"count\":%lld,\"get\":%lld,"
				   "\"other\":%lld,\"tokens\":%lld,\"rejected\":%lld,"
				   "\"faults\":%lld,"
				   "\"connections\":%lld,\"bytes\":%lld,"
				   "\"in_flight_max\":%lld,\"users\":%lld,\"last_target\":",
				   (long long) s->kinds[SIM_LIST],
				   (long long) s->kinds[SIM_COUNT],
				   (long long) s->kinds[SIM_GET],
				   (long long) s->kinds[SIM_OTHER], (long long) s->tokens,
				   (long long) s->rejected, (long long) s->faults,
				   (long long) s->connections, (long long) s->bytes,
				   (long long) s->in_flight_max,
				   (long long) sim_order_size(SIM_BY_CREATED));
	sim_buf_string(&reply->body, s->last_target);
	SIM_LITERAL(&reply->body, "}\n");
}

static void
put_ready(SimRequest *request, SimReply *reply)
{
	(void) request;
	SIM_LITERAL(&reply->body, "{\"ready\":true}\n");
}

static const struct
{
	const char *method;
	const char *path;
	void		(*answer) (SimRequest *request, SimReply *reply);
}			calls[] = {
	{"GET", "ready", put_ready},
	{"GET", "stats", put_stats},
	{"POST", "reset", reset_stats},
	{"POST", "fault", add_fault},
	{"DELETE", "fault", clear_faults},
	{"GET", "users", put_users},
	{"POST", "users", create_user}
};

/*
 * Answer a request whose path begins with "/_sim/".
 */
void
sim_control_answer(SimRequest *request, SimReply *reply)
{
	const char *path = request->path + strlen("/_sim/");

	reply->status = 200;
	reply->content_type = "application/json";
	if (request->malformed)
	{
		fail(reply, 400, "malformed request target");
		return;
	}
	if (strncmp(path, "users/", 6) == 0)
	{
		answer_user(request, reply, path + 6);
		return;
	}
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
	{
		if (strcmp(path, calls[i].path) == 0 &&
			strcmp(request->method, calls[i].method) == 0)
		{
			calls[i].answer(request, reply);
			if (reply->body.len == 0)
				SIM_LITERAL(&reply->body, "{\"ok\":true}\n");
			return;
		}
	}
	fail(reply, 404, "no such control call");
}
