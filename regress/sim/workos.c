/*-------------------------------------------------------------------------
 *
 * workos.c
 *		The part of WorkOS's API that has to do with users, strictly.
 *
 * What WorkOS would refuse is refused; what it can do but this file cannot is
 * answered 501.  Users are written in workos_json.c; what happened to them since
 * the start is told by workos_events.c, whose requests are of the kind "other".
 *
 *	--set lost_cursor=	what a list does when the user to go on after is gone:
 *						"restart" at the top (default), say that this is the
 *						"end", "keep" on as if it were there, or "error"
 *	--set name=			"absent": users have no "name" ("present")
 *	--set sign_ins=		"often": all sign in before each list ("never")
 *	--set events_kept=N	only the last N events are there (all)
 *	--set events_order=	"ignored" (default): the oldest event comes first, or
 *						"honoured": as documented, the latest unless asked
 *	--set events_end=	what "after" is at the end of the events: "null"
 *						(default), "absent", or "cursor", the id of the last
 *						event, with nothing behind it
 *
 * Tricks: "restart", a list begins at the top whatever the cursor; "short", a page
 * has 10 users at most, whatever the limit; "stale_event", before the events are
 * listed the oldest state of the user of the latest event is told once more.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "workos.h"

#define USERS_PATH "/user_management/users"
#define DEFAULT_LIMIT 10
#define MAX_LIMIT 100

static const char *const settings[] = {
	"lost_cursor", "name", "sign_ins", "events_kept", "events_order", "events_end", NULL
};

static const char *const other_params[] = {"before", "organization", "organization_id"};

/* ---- errors ---- */

static void
error(SimReply *reply, int status, const char *code, const char *message)
{
	reply->status = status;
	reply->content_type = "application/json; charset=utf-8";
	reply->body.len = 0;
	SIM_LITERAL(&reply->body, "{\"message\":");
	sim_buf_string(&reply->body, message);
	sim_buf_optional(&reply->body, "code", code);
	SIM_LITERAL(&reply->body, "}");
}

bool
sim_workos_refuse(SimReply *reply, const char *field, const char *what)
{
	error(reply, 422, "invalid_request_parameters", "Validation failed.");
	reply->body.len--;
	SIM_LITERAL(&reply->body, ",\"errors\":[{\"code\":");
	sim_buf_string(&reply->body, what);
	SIM_LITERAL(&reply->body, ",\"field\":");
	sim_buf_string(&reply->body, field);
	SIM_LITERAL(&reply->body, "}]}");
	reply->rejected = true;
	return false;
}

bool
sim_workos_not_simulated(SimReply *reply, const char *what)
{
	error(reply, 501, "not_simulated", what);
	reply->rejected = true;
	return false;
}

static void
not_found(SimReply *reply, const char *id)
{
	error(reply, 404, "entity_not_found", "User not found.");
	reply->body.len--;
	SIM_LITERAL(&reply->body, ",\"entity_id\":");
	sim_buf_string(&reply->body, id);
	SIM_LITERAL(&reply->body, "}");
}

static void
fail_with(int status, SimReply *reply)
{
	switch (status)
	{
		case 200:
			break;
		case 401:
			error(reply, 401, NULL, "Unauthorized");
			break;
		case 403:
			error(reply, 403, NULL, "Forbidden");
			break;
		case 404:
			not_found(reply, "user_");
			break;
		case 422:
			sim_workos_refuse(reply, "limit", "invalid");
			break;
		case 429:
			error(reply, 429, NULL, "Rate limit exceeded.");
			reply->headers = json_pack("{s:s}", "Retry-After", "1");
			break;
		default:
			if (status >= 400)
				error(reply, status, NULL, "Internal Server Error");
			break;
	}
	reply->rejected = false;
}

/* ---- the list of users ---- */

bool
sim_workos_read_common(const SimParam *param, int64_t *limit, bool *descending,
					   bool *other, SimReply *reply)
{
	if (strcmp(param->name, "limit") == 0)
		return sim_parse_int(param->value, 1, MAX_LIMIT, limit) ||
			sim_workos_refuse(reply, "limit", "must be from 1 to 100");
	if (strcmp(param->name, "order") != 0)
	{
		*other = true;
		return false;
	}
	*descending = strcmp(param->value, "desc") == 0;
	if (strcmp(param->value, "normal") == 0)
		return sim_workos_not_simulated(reply, "order normal");
	return *descending || strcmp(param->value, "asc") == 0 ||
		sim_workos_refuse(reply, "order", "must be asc, desc or normal");
}

/*
 * Begin behind a user; what is done when it is gone WorkOS does not document.
 */
static bool
read_after(const SimRequest *request, const char *id, SimQuery *query, SimReply *reply)
{
	int64_t		index = sim_users_find(id);
	SimUser		user;
	bool		known = index >= 0 && sim_users_get(index, &user);
	bool		lost = !known || user.deleted;

	if (sim_fault_trick(request->fault, "restart") ||
		(lost && strcmp(sim_setting_or("lost_cursor", "restart"), "restart") == 0))
		return true;
	if (lost && sim_setting_is("lost_cursor", "error"))
	{
		not_found(reply, id);
		return false;
	}
	query->after = true;
	query->after_time = query->descending ? INT64_MIN : INT64_MAX;
	if (!lost || (known && sim_setting_is("lost_cursor", "keep")))
	{
		query->after_time = user.created;
		query->after_index = index;
	}
	return true;
}

static bool
read_param(const SimParam *param, SimQuery *query, const char **after, SimReply *reply)
{
	SimIndexes	found = {0};
	bool		other = false;

	if (sim_workos_read_common(param, &query->limit, &query->descending, &other, reply))
		return true;
	if (!other)
		return false;
	if (strcmp(param->name, "after") == 0)
		*after = param->value;
	else if (strcmp(param->name, "email") == 0)
	{
		sim_users_find_email(param->value, &found);
		sim_query_narrow(query, &found);
	}
	else if (SIM_IS_ONE_OF(param->name, other_params))
		return sim_workos_not_simulated(reply, param->name);
	else
		return sim_workos_refuse(reply, param->name, "unknown");
	return true;
}

static bool
read_query(const SimRequest *request, SimQuery *query, SimReply *reply)
{
	const char *after = NULL;

	sim_query_init(query);
	query->limit = DEFAULT_LIMIT;
	query->descending = true;
	for (int i = 0; i < request->n_params; i++)
		if (!read_param(&request->params[i], query, &after, reply))
			return false;
	return after == NULL || read_after(request, after, query, reply);
}

static void
put_cursor(SimBuf *buf, const char *name, const SimPage *page, int64_t place)
{
	SimUser		user;
	char		id[SIM_ID_SIZE];

	sim_buf_printf(buf, "\"%s\":", name);
	if (place < 0)
	{
		SIM_LITERAL(buf, "null");
		return;
	}
	sim_users_get(page->users.item[place], &user);
	sim_users_id(&user, id);
	sim_buf_string(buf, id);
}

/*
 * One more user than wanted is looked for, to know whether there are more.
 */
static void
answer_list(SimRequest *request, SimReply *reply)
{
	SimQuery	query;
	SimPage		page = {0};
	int64_t		limit;
	bool		more;

	sim_workos_signed_in();
	if (read_query(request, &query, reply))
	{
		limit = query.limit;
		if (limit > DEFAULT_LIMIT && sim_fault_trick(request->fault, "short"))
			limit = DEFAULT_LIMIT;
		query.limit = limit + 1;
		sim_query_run(&query, request->fault, &page);
		more = (int64_t) page.users.n > limit;
		if (more)
			page.users.n = (size_t) limit;
		SIM_LITERAL(&reply->body, "{\"object\":\"list\",\"data\":");
		sim_query_put(&reply->body, &page);
		SIM_LITERAL(&reply->body, ",\"list_metadata\":{");
		put_cursor(&reply->body, "before", &page, query.after && page.users.n > 0 ? 0 : -1);
		SIM_LITERAL(&reply->body, ",");
		put_cursor(&reply->body, "after", &page, more ? limit - 1 : -1);
		SIM_LITERAL(&reply->body, "}}");
	}
	sim_query_free(&query, &page);
}

/* ---- the rest ---- */

static void
answer_user(SimRequest *request, SimReply *reply, const char *id)
{
	SimUser		user;

	if (request->n_params > 0)
		sim_workos_refuse(reply, request->params[0].name, "unknown");
	else if (!sim_users_find_live(id, &user))
		not_found(reply, id);
	else
		sim_users_put(&reply->body, &user);
}

static const char *
user_of_path(const char *path)
{
	const size_t len = strlen(USERS_PATH "/");
	const char *id;

	if (strncmp(path, USERS_PATH "/", len) != 0)
		return NULL;
	id = path + len;
	return *id && strchr(id, '/') == NULL && strcmp(id, "external_id") != 0 ? id : NULL;
}

static SimKind
classify(const SimRequest *request)
{
	if (strcmp(request->method, "GET") != 0)
		return SIM_OTHER;
	if (strcmp(request->path, USERS_PATH) == 0)
		return SIM_LIST;
	return user_of_path(request->path) ? SIM_GET : SIM_OTHER;
}

/*
 * What else there is below the users, such as /external_id/{id}, or nothing.
 */
static void
answer_other(SimRequest *request, SimReply *reply)
{
	if (strcmp(request->path, "/events") == 0 && strcmp(request->method, "GET") == 0)
		sim_workos_answer_events(request, reply);
	else if (strncmp(request->path, USERS_PATH, strlen(USERS_PATH)) == 0)
		sim_workos_not_simulated(reply, request->path);
	else
	{
		error(reply, 404, NULL, "Not Found");
		reply->rejected = true;
	}
}

static void
answer(SimRequest *request, SimReply *reply)
{
	reply->status = 200;
	reply->content_type = "application/json; charset=utf-8";
	if (!sim_request_authorized(request))
	{
		fail_with(401, reply);
		reply->rejected = true;
	}
	else if (request->malformed)
		sim_workos_refuse(reply, "target", "cannot be decoded");
	else if (request->kind == SIM_LIST)
		answer_list(request, reply);
	else if (request->kind == SIM_GET)
		answer_user(request, reply, user_of_path(request->path));
	else
		answer_other(request, reply);
}

const SimProvider sim_workos = {
	.name = "workos",
	.id_prefix = "user_01",
	.id_digits = 24,
	.email_required = true,
	.classify = classify,
	.answer = answer,
	.failure = fail_with,
	.put_user = sim_workos_put_user,
	.changed = sim_workos_changed,
	.settings = settings
};
