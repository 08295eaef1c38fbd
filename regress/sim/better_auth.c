/*-------------------------------------------------------------------------
 *
 * better_auth.c
 *		The two reading routes of Better Auth's admin plugin, strictly.
 *
 * What the real one does silently wrong is done here too: most errors are
 * swallowed into an empty list, and times are compared as text.  Stricter
 * than the real one, unknown parameters are refused; what it can do but this
 * file cannot is answered 501.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "sim.h"

#define DEFAULT_LIMIT 100
#define LAST_MS INT64_C(253402300799999)	/* the end of year 9999 */
#define SEEN_STEP_MS 1000

typedef enum Verdict
{
	GOOD,
	SWALLOWED,					/* an empty list with status 200 */
	REFUSED						/* the reply is complete */
} Verdict;

static const char *const user_fields[] = {
	"id", "name", "email", "emailVerified", "image", "createdAt",
	"updatedAt", "role", "banned", "banReason", "banExpires"
};

static const char *const operators[] = {
	"eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "contains",
	"starts_with", "ends_with"
};

static const char *const list_params[] = {
	"limit", "offset", "sortBy", "sortDirection", "filterField",
	"filterOperator", "filterValue"
};

static const char *const search_params[] = {
	"searchField", "searchOperator", "searchValue"
};

/* list requests so far: the clock of lastSeenAt, which no change moves */
static int64_t n_lists;

static void
error(SimReply *reply, int status, const char *code, const char *message)
{
	reply->status = status;
	reply->content_type = "application/json";
	reply->body.len = 0;
	SIM_LITERAL(&reply->body, "{\"message\":");
	sim_buf_string(&reply->body, message);
	sim_buf_optional(&reply->body, "code", code);
	SIM_LITERAL(&reply->body, "}");
}

static Verdict
refuse(SimReply *reply, const char *message)
{
	error(reply, 400, "VALIDATION_ERROR", message);
	reply->rejected = true;
	return REFUSED;
}

static Verdict
not_simulated(SimReply *reply, const char *what)
{
	error(reply, 501, "NOT_SIMULATED", what);
	reply->rejected = true;
	return REFUSED;
}

static void
fail_with(int status, SimReply *reply)
{
	switch (status)
	{
		case 400:
			error(reply, 400, "VALIDATION_ERROR", "Validation Error");
			break;
		case 403:
			error(reply, 403, "YOU_ARE_NOT_ALLOWED_TO_LIST_USERS",
				  "You are not allowed to list users");
			break;
		case 404:
			error(reply, 404, "USER_NOT_FOUND", "User not found");
			break;
		case 429:
			error(reply, 429, NULL,
				  "Too many requests. Please try again later.");
			reply->headers = json_pack("{s:s}", "X-Retry-After", "1");
			break;
		default:				/* 401 and 5xx have no body at all */
			reply->content_type = NULL;
			break;
	}
}

/* ---- a user ---- */

/*
 * Is it a field of the user, the application's additional one included?
 */
static bool
has_field(const char *name)
{
	return SIM_IS_ONE_OF(name, user_fields) ||
		(sim_config.last_seen && strcmp(name, "lastSeenAt") == 0);
}

/*
 * Begin a member; false if the application hides it ("returned: false").
 */
static bool
begin_member(SimBuf *buf, const char *name)
{
	for (int i = 0; i < sim_config.n_hidden; i++)
		if (strcmp(name, sim_config.hidden[i]) == 0)
			return false;
	sim_buf_name(buf, name);
	return true;
}

static void
put_string(SimBuf *buf, const char *name, const char *value)
{
	if (begin_member(buf, name))
		sim_buf_string(buf, value);
}

static void
put_json(SimBuf *buf, const char *name, const char *value)
{
	if (begin_member(buf, name))
		sim_buf_text(buf, value);
}

static void
put_time(SimBuf *buf, const char *name, int64_t time)
{
	if (!begin_member(buf, name))
		return;
	SIM_LITERAL(buf, "\"");
	sim_buf_iso(buf, time);
	SIM_LITERAL(buf, "\"");
}

static void
put_name(SimBuf *buf, const SimPerson *person)
{
	const char *only = NULL;

	if (!begin_member(buf, "name"))
		return;
	if (person->first == NULL && person->last == NULL)
		only = person->username ? person->username : "";
	SIM_LITERAL(buf, "\"");
	sim_buf_escape(buf, only ? only : person->first ? person->first : "");
	if (person->first && person->last)
		SIM_LITERAL(buf, " ");
	sim_buf_escape(buf, person->last ? person->last : "");
	SIM_LITERAL(buf, "\"");
}

static void
put_user(SimBuf *buf, const SimUser *user)
{
	SimPerson	person;
	char		id[SIM_ID_SIZE];

	sim_generate_person(user, &person);
	sim_users_id(user, id);
	SIM_LITERAL(buf, "{");
	put_string(buf, "id", id);
	put_name(buf, &person);
	put_string(buf, "email", person.n_emails > 0 ? person.emails[0] : "");
	put_json(buf, "emailVerified", person.hash % 4 == 0 ? "false" : "true");
	put_json(buf, "image", "null");
	put_time(buf, "createdAt", user->created);
	put_time(buf, "updatedAt", user->updated);
	put_json(buf, "role", "\"user\"");
	put_json(buf, "banned", "false");
	put_json(buf, "banReason", "null");
	put_json(buf, "banExpires", "null");
	if (sim_config.last_seen)
		put_time(buf, "lastSeenAt", sim_generate_end() + n_lists * SEEN_STEP_MS);
	SIM_LITERAL(buf, "}");
}

/* ---- parameters ---- */

/*
 * The first time whose text is not less than the given one, which need not
 * be a time at all: that is how text in a database is compared.
 */
static int64_t
first_time_from(const char *text)
{
	int64_t		low = 0;
	int64_t		high = LAST_MS + 1;
	SimBuf		buf = {0};

	while (low < high)
	{
		int64_t		mid = low + (high - low) / 2;

		buf.len = 0;
		sim_buf_iso(&buf, mid);
		buf.data[buf.len] = '\0';
		if (strcmp(buf.data, text) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	sim_buf_free(&buf);
	return low;
}

static Verdict
filter_time(SimOrder field, const char *operator, const char *value,
			SimQuery *query, SimReply *reply)
{
	int64_t		from = first_time_from(value);

	query->min[field] = from;
	if (strcmp(operator, "gte") == 0)
		return GOOD;
	if (strcmp(operator, "eq") != 0)
		return not_simulated(reply, "this operator on a time");
	query->max[field] = from;
	if (strlen(value) != 24 || sim_parse_iso(value) != from)
		query->max[field] = from - 1;	/* no stored time has that text */
	return GOOD;
}

static Verdict
filter_id(const SimRequest *request, const char *operator, SimQuery *query,
		  SimReply *reply)
{
	SimIndexes	found = {0};
	int			n = 0;

	for (int i = 0; i < request->n_params; i++)
	{
		int64_t		index;

		if (strcmp(request->params[i].name, "filterValue") != 0)
			continue;
		n++;
		index = sim_users_find(request->params[i].value);
		if (index >= 0)
			sim_indexes_add(&found, index);
	}
	sim_query_narrow(query, &found);
	if (strcmp(operator, "in") == 0)
		return n > 1 ? GOOD : SWALLOWED;
	if (strcmp(operator, "eq") != 0)
		return not_simulated(reply, "this operator on the id");
	return n == 1 ? GOOD : SWALLOWED;
}

static Verdict
filter_email(const char *operator, const char *value, SimQuery *query,
			 SimReply *reply)
{
	SimIndexes	found = {0};

	if (strcmp(operator, "eq") != 0)
		return not_simulated(reply, "this operator on the e-mail");
	if (strpbrk(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL)
		sim_users_find_email(value, &found);	/* stored in lower case */
	sim_query_narrow(query, &found);
	return GOOD;
}

static Verdict
read_filter(const SimRequest *request, SimQuery *query, SimReply *reply)
{
	const char *field = sim_request_param(request, "filterField");
	const char *operator = sim_request_param(request, "filterOperator");
	const char *value = sim_request_param(request, "filterValue");

	if (operator == NULL)
		operator = "eq";
	if (!SIM_IS_ONE_OF(operator, operators))
		return refuse(reply, "Invalid filterOperator");
	if (field == NULL && value == NULL)
		return GOOD;
	if (field == NULL || value == NULL)
		return refuse(reply, "filterField and filterValue go together");
	if (strcmp(field, "id") == 0)
		return filter_id(request, operator, query, reply);
	if (strcmp(field, "email") == 0)
		return filter_email(operator, value, query, reply);
	if (strcmp(field, "createdAt") == 0)
		return filter_time(SIM_BY_CREATED, operator, value, query, reply);
	if (strcmp(field, "updatedAt") == 0)
		return filter_time(SIM_BY_UPDATED, operator, value, query, reply);
	return has_field(field) ?
		not_simulated(reply, "this filterField") : SWALLOWED;
}

static Verdict
read_sort(const SimRequest *request, SimQuery *query, SimReply *reply)
{
	const char *by = sim_request_param(request, "sortBy");
	const char *direction = sim_request_param(request, "sortDirection");

	if (direction && strcmp(direction, "desc") == 0)
		query->descending = by != NULL;
	else if (direction && strcmp(direction, "asc") != 0)
		return refuse(reply, "Invalid sortDirection");
	if (by == NULL || strcmp(by, "createdAt") == 0)
		return GOOD;
	query->by_id = strcmp(by, "id") == 0;
	if (query->by_id)
		return GOOD;
	if (strcmp(by, "updatedAt") != 0)
		return has_field(by) ?
			not_simulated(reply, "this sortBy") : SWALLOWED;
	query->order = SIM_BY_UPDATED;
	return GOOD;
}

static Verdict
read_numbers(const SimRequest *request, SimQuery *query, SimReply *reply)
{
	const char *limit = sim_request_param(request, "limit");
	const char *offset = sim_request_param(request, "offset");

	query->limit = 0;
	if (limit && !sim_parse_int(limit, 0, INT32_MAX, &query->limit))
		return refuse(reply, "Invalid limit");
	if (offset && !sim_parse_int(offset, 0, INT32_MAX, &query->offset))
		return refuse(reply, "Invalid offset");
	return GOOD;
}

static Verdict
read_query(const SimRequest *request, SimQuery *query, SimReply *reply)
{
	Verdict		verdict;

	sim_query_init(query);
	for (int i = 0; i < request->n_params; i++)
	{
		if (SIM_IS_ONE_OF(request->params[i].name, search_params))
			return not_simulated(reply, "searching");
		if (!SIM_IS_ONE_OF(request->params[i].name, list_params))
			return refuse(reply, "Unknown parameter");
	}
	verdict = read_numbers(request, query, reply);
	if (verdict == GOOD)
		verdict = read_sort(request, query, reply);
	if (verdict == GOOD)
		verdict = read_filter(request, query, reply);
	return verdict;
}

/* ---- answers ---- */

static void
put_users(SimReply *reply, const SimPage *page, const json_t *fault)
{
	SIM_LITERAL(&reply->body, "{\"users\":");
	sim_query_put(&reply->body, page);
	sim_buf_printf(&reply->body, ",\"total\":%lld",
				   (long long) sim_fault_total(fault, page->total));
}

static void
answer_list(SimRequest *request, SimReply *reply)
{
	SimQuery	query;
	SimPage		page = {0};
	Verdict		verdict = read_query(request, &query, reply);
	int64_t		asked = query.limit;

	n_lists++;
	if (verdict == GOOD && sim_fault_true(request->fault, "swallow"))
		verdict = SWALLOWED;
	if (verdict == SWALLOWED)
		SIM_LITERAL(&reply->body, "{\"users\":[],\"total\":0}");
	if (verdict == GOOD)
	{
		if (asked == 0)
			query.limit = DEFAULT_LIMIT;
		sim_query_run(&query, request->fault, &page);
		put_users(reply, &page, request->fault);
		if (asked > 0)
			sim_buf_printf(&reply->body, ",\"limit\":%lld", (long long) asked);
		if (query.offset > 0)
			sim_buf_printf(&reply->body, ",\"offset\":%lld",
						   (long long) query.offset);
		SIM_LITERAL(&reply->body, "}");
	}
	sim_query_free(&query, &page);
}

static void
answer_get(SimRequest *request, SimReply *reply)
{
	const char *id = sim_request_param(request, "id");
	SimUser		user;

	if (id == NULL || request->n_params != 1)
	{
		refuse(reply, "id is the one parameter");
		return;
	}
	if (!sim_users_find_live(id, &user))
		fail_with(404, reply);
	else
		sim_users_put(&reply->body, &user);
}

static SimKind
classify(const SimRequest *request)
{
	if (strcmp(request->method, "GET") != 0)
		return SIM_OTHER;
	if (strcmp(request->path, "/api/auth/admin/list-users") == 0)
		return SIM_LIST;
	if (strcmp(request->path, "/api/auth/admin/get-user") == 0)
		return SIM_GET;
	return SIM_OTHER;
}

static void
answer(SimRequest *request, SimReply *reply)
{
	reply->status = 200;
	reply->content_type = "application/json";
	if (request->kind == SIM_OTHER)
	{
		reply->status = 404;
		reply->content_type = NULL;
		reply->rejected = true;
	}
	else if (!sim_request_authorized(request))
	{
		reply->status = 401;
		reply->content_type = NULL;
		reply->rejected = true;
	}
	else if (request->malformed)
		refuse(reply, "Invalid request target");
	else if (request->kind == SIM_LIST)
		answer_list(request, reply);
	else
		answer_get(request, reply);
}

const SimProvider sim_better_auth = {
	.name = "better_auth",
	.id_prefix = "",
	.id_digits = 32,
	.email_required = true,
	.classify = classify,
	.answer = answer,
	.failure = fail_with,
	.put_user = put_user,
	.has_field = has_field
};
