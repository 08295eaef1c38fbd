/*-------------------------------------------------------------------------
 *
 * stack.c
 *		The reading routes for users of Stack Auth, now Hexclave, strictly.
 *
 * A cursor is the id of a user, and if that user is gone, or filtered out, the
 * page is empty and says that it is the last: so does the query under the real
 * one.  Users of one time of sign-up come by id.  What the real one can do but
 * this file cannot is answered 501.
 *
 *	--set family=both|stack|hexclave	names of headers that are taken; the ids
 *							of errors come under these, too
 *	--set cursor=included|excluded	next_cursor is the first user of the next
 *							page, or the last one of this page
 *	--set page_cap=N		more than that is refused, and so is a list
 *							without limit of more users (no bound)
 *	--set project=ID		the one project (PROJECT below)
 *
 * States of users: "anonymous" and "restricted", which the list hides unless it is
 * asked for them.  Every other reply of status 429 has no Retry-After.  A change
 * of nothing but updated_at changes last_active_at_millis alone.
 *
 * Tricks for single requests: "excluded" and "included", as if the setting cursor
 * were that; "text", an error 400 as bare text.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "sim.h"

#define PROJECT "11111111-2222-4333-8444-555555555555"
#define USERS_PATH "/api/v1/users"

/* What is asked of the list, besides the filters. */
typedef struct StackListing
{
	SimQuery	query;
	const char *cursor;			/* or NULL */
	int64_t		limit;			/* -1: all */
	bool		anonymous;
	bool		restricted;
} StackListing;

/* A user and what it is sorted by. */
typedef struct StackRow
{
	int64_t		created;
	int64_t		index;
	char		id[SIM_ID_SIZE];
} StackRow;

static const char *const other_params[] = {
	"team_id", "only_anonymous", "excluded_email_domains"
};

/* users who have, or had, a state */
static SimIndexes with_state;

/* ---- headers and errors ---- */

static bool
takes_family(const char *family)
{
	return sim_setting("family") == NULL || sim_setting_is("family", "both") || sim_setting_is("family", family);
}

/*
 * A header by its name behind the prefix, of the families that are taken.
 */
static const char *
get_header(const SimRequest *request, const char *name)
{
	const char *value = NULL;
	char		full[64];

	if (takes_family("hexclave"))
	{
		snprintf(full, sizeof(full), "x-hexclave-%s", name);
		value = sim_request_header(request, full);
	}
	if (value == NULL && takes_family("stack"))
	{
		snprintf(full, sizeof(full), "x-stack-%s", name);
		value = sim_request_header(request, full);
	}
	return value;
}

static void
set_header(SimReply *reply, const char *name, const char *value)
{
	char		full[64];

	if (takes_family("hexclave"))
	{
		snprintf(full, sizeof(full), "x-hexclave-%s", name);
		sim_reply_header(reply, full, value);
	}
	if (takes_family("stack"))
	{
		snprintf(full, sizeof(full), "x-stack-%s", name);
		sim_reply_header(reply, full, value);
	}
}

static const char *
project_id(void)
{
	return sim_setting_or("project", PROJECT);
}

/*
 * Some known errors have details, which the SDK cannot do without.
 */
static void
put_details(SimBuf *buf, const char *code, const char *message)
{
	const char *name = NULL;

	if (strcmp(code, "SCHEMA_ERROR") == 0)
		name = "message";
	if (strcmp(code, "INVALID_SECRET_SERVER_KEY") == 0 || strcmp(code, "CURRENT_PROJECT_NOT_FOUND") == 0)
	{
		name = "project_id";
		message = project_id();
	}
	if (name == NULL)
		return;
	sim_buf_printf(buf, ",\n  \"details\": {\"%s\": ", name);
	sim_buf_string(buf, message);
	SIM_LITERAL(buf, "}");
}

/*
 * Make the reply a known error.  Always false, to be returned.
 */
static bool
error(SimReply *reply, int status, const char *code, const char *message)
{
	reply->status = status;
	reply->content_type = "application/json; charset=utf-8";
	reply->rejected = status != 404;
	reply->body.len = 0;
	SIM_LITERAL(&reply->body, "{\n  \"code\": ");
	sim_buf_string(&reply->body, code);
	put_details(&reply->body, code, message);
	SIM_LITERAL(&reply->body, ",\n  \"error\": ");
	sim_buf_string(&reply->body, message);
	SIM_LITERAL(&reply->body, "\n}");
	set_header(reply, "known-error", code);
	return false;
}

static bool
text_error(SimReply *reply, int status, const char *message)
{
	reply->status = status;
	reply->content_type = "text/plain; charset=utf-8";
	reply->rejected = true;
	reply->body.len = 0;
	sim_buf_text(&reply->body, message);
	return false;
}

static bool
refuse(SimReply *reply, const char *what)
{
	return error(reply, 400, "SCHEMA_ERROR", what);
}

static bool
not_simulated(SimReply *reply, const char *what)
{
	return text_error(reply, 501, what);
}

static void
fail_with(int status, SimReply *reply)
{
	static int	n_limited;

	switch (status)
	{
		case 200:
			break;
		case 400:
			refuse(reply, "Request validation failed");
			break;
		case 401:
			error(reply, 401, "INVALID_SECRET_SERVER_KEY",
				  "The secret server key is not valid for the project. Does the project and/or the key exist?");
			break;
		case 404:
			error(reply, 404, "USER_NOT_FOUND", "User not found.");
			break;
		case 429:
			text_error(reply, 429, "Too many requests");
			if (n_limited++ % 2 == 0)
				reply->headers = json_pack("{s:s}", "Retry-After", "1");
			break;
		default:
			text_error(reply, status, "Something went wrong. Please make sure the data you entered is correct.");
			break;
	}
	reply->rejected = false;
}

static bool
check_key(const SimRequest *request, SimReply *reply)
{
	const char *access = get_header(request, "access-type");
	const char *project = get_header(request, "project-id");
	const char *key = get_header(request, "secret-server-key");

	if (access == NULL)
		return error(reply, 400, key ? "PROJECT_KEY_WITHOUT_ACCESS_TYPE" : "ACCESS_TYPE_REQUIRED",
					 "You must specify an access level for this project.");
	if (strcmp(access, "client") != 0 && strcmp(access, "server") != 0 && strcmp(access, "admin") != 0)
		return error(reply, 400, "INVALID_ACCESS_TYPE", "The access type must be client, server, or admin.");
	if (project == NULL)
		return error(reply, 400, "ACCESS_TYPE_WITHOUT_PROJECT_ID", "The project id was not provided.");
	if (strcmp(project, project_id()) != 0)
		return error(reply, 400, "CURRENT_PROJECT_NOT_FOUND", "The current project was not found.");
	if (strcmp(access, "admin") == 0)
		return not_simulated(reply, "an admin's access");
	if (strcmp(access, "client") == 0)
		return error(reply, 401, "INSUFFICIENT_ACCESS_TYPE", "The access type must be server or admin.");
	if (key == NULL || strcmp(key, sim_config.key) != 0)
	{
		fail_with(401, reply);
		reply->rejected = true;
		return false;
	}
	return true;
}

/* ---- a user ---- */

static void
put_bool(SimBuf *buf, const char *name, bool value)
{
	sim_buf_printf(buf, ",\"%s\":%s", name, value ? "true" : "false");
}

static void
put_state(SimBuf *buf, const SimUser *user)
{
	bool		anonymous = sim_user_has_state(user, "anonymous");
	bool		restricted = anonymous || sim_user_has_state(user, "restricted");

	put_bool(buf, "is_anonymous", anonymous);
	put_bool(buf, "is_restricted", restricted);
	SIM_LITERAL(buf, ",\"restricted_reason\":");
	if (anonymous)
		SIM_LITERAL(buf, "{\"type\":\"anonymous\"}");
	else if (restricted)
		SIM_LITERAL(buf, "{\"type\":\"restricted_by_administrator\"}");
	else
		SIM_LITERAL(buf, "null");
	put_bool(buf, "restricted_by_admin", restricted && !anonymous);
	SIM_LITERAL(buf, ",\"restricted_by_admin_reason\":null,\"restricted_by_admin_private_details\":null");
}

static void
put_user(SimBuf *buf, const SimUser *user)
{
	SimPerson	person;
	SimBuf		name = {0};
	char		id[SIM_ID_SIZE];
	const char *email;

	sim_generate_person(user, &person);
	sim_users_id(user, id);
	sim_generate_name(&name, &person);
	email = person.primary < 0 ? NULL : person.emails[person.primary];
	SIM_LITERAL(buf, "{\"id\":");
	sim_buf_string(buf, id);
	SIM_LITERAL(buf, ",\"primary_email\":");
	sim_buf_string(buf, email);
	put_bool(buf, "primary_email_verified", email && person.hash % 16 != 0);
	put_bool(buf, "primary_email_auth_enabled", email != NULL);
	SIM_LITERAL(buf, ",\"display_name\":");
	sim_buf_string(buf, name.data[0] ? name.data : NULL);
	SIM_LITERAL(buf, ",\"selected_team\":null,\"selected_team_id\":null,\"profile_image_url\":null");
	sim_buf_printf(buf, ",\"signed_up_at_millis\":%lld", (long long) user->created);
	put_bool(buf, "has_password", person.hash % 4 != 0);
	put_bool(buf, "otp_auth_enabled", person.hash % 4 == 0);
	SIM_LITERAL(buf, ",\"passkey_auth_enabled\":false,\"client_metadata\":null"
				",\"client_read_only_metadata\":null,\"server_metadata\":");
	sim_buf_text(buf, person.hash % 8 == 0 && !person.plain ? "{\"plan\":\"gold\"}" : "null");
	sim_buf_printf(buf, ",\"last_active_at_millis\":%lld", (long long) user->updated);
	put_state(buf, user);
	SIM_LITERAL(buf, ",\"oauth_providers\":[]");
	put_bool(buf, "auth_with_email", email != NULL);
	SIM_LITERAL(buf, ",\"requires_totp_mfa\":false,\"country_code\":null"
				",\"risk_scores\":{\"sign_up\":{\"bot\":0,\"free_trial_abuse\":0}}}");
	sim_buf_free(&name);
}

static void
changed(const SimUser *user, SimEvent event)
{
	if (event != SIM_DELETED && user->state)
		sim_indexes_add_once(&with_state, user->index);
}

/* ---- parameters ---- */

/*
 * A user by id, which the database compares as a UUID, not as text.
 */
static bool
find_user(const char *id, SimUser *user)
{
	char		lower[SIM_ID_SIZE];

	snprintf(lower, sizeof(lower), "%s", id);
	for (char *c = lower; *c; c++)
		*c = (char) tolower((unsigned char) *c);
	return sim_users_find_live(lower, user);
}

/*
 * Is this text anywhere in the name or an address, in either case?
 */
static bool
is_found_by(const SimUser *user, const char *text)
{
	SimPerson	person;
	SimBuf		name = {0};
	bool		found;

	sim_generate_person(user, &person);
	sim_generate_name(&name, &person);
	found = strcasestr(name.data, text) != NULL;
	for (int i = 0; i < person.n_emails; i++)
		found = found || strcasestr(person.emails[i], text) != NULL;
	sim_buf_free(&name);
	return found;
}

static bool
read_search(const char *text, SimQuery *query, SimReply *reply)
{
	SimIndexes	found = {0};
	int64_t		end = sim_users_end();
	SimUser		user;

	if (strchr(text, '\\'))
		return not_simulated(reply, "what a backslash means in a query");
	if (text[0] == '\0')
		return true;
	if (sim_is_uuid(text) && find_user(text, &user))
		sim_indexes_add(&found, user.index);
	for (int64_t i = 0; i < end; i++)
		if (sim_users_get(i, &user) && !user.deleted && is_found_by(&user, text))
			sim_indexes_add(&found, i);
	sim_query_narrow(query, &found);
	return true;
}

/*
 * A parameter that is "true" or "false".
 */
static bool
read_switch(const char *name, const char *value, bool *to, SimReply *reply)
{
	char		what[64];

	snprintf(what, sizeof(what), "%s must be one of: true, false", name);
	*to = strcmp(value, "true") == 0;
	return *to || strcmp(value, "false") == 0 || refuse(reply, what);
}

static bool
read_param(const SimParam *param, StackListing *listing, SimReply *reply)
{
	const char *name = param->name;
	const char *value = param->value;

	if (strcmp(name, "limit") == 0)
		return sim_parse_int(value, 1, INT32_MAX, &listing->limit) && listing->limit <= sim_setting_int("page_cap", 1, INT64_MAX) ?
			true : refuse(reply, "limit must be an integer in bounds");
	if (strcmp(name, "cursor") == 0)
	{
		listing->cursor = value;
		return sim_is_uuid(value) || refuse(reply, "cursor must be a valid UUID");
	}
	if (strcmp(name, "order_by") == 0)
		return strcmp(value, "signed_up_at") == 0 ||
			(strcmp(value, "last_active_at") == 0 ? not_simulated(reply, "this order_by") :
			 refuse(reply, "order_by must be one of: signed_up_at"));
	if (strcmp(name, "desc") == 0)
		return read_switch(name, value, &listing->query.descending, reply);
	if (strcmp(name, "include_anonymous") == 0)
		return read_switch(name, value, &listing->anonymous, reply);
	if (strcmp(name, "include_restricted") == 0)
		return read_switch(name, value, &listing->restricted, reply);
	if (strcmp(name, "query") == 0)
		return read_search(value, &listing->query, reply);
	return SIM_IS_ONE_OF(name, other_params) ? not_simulated(reply, name) :
		refuse(reply, "query contains unknown properties");
}

static bool
read_params(const SimRequest *request, StackListing *listing, SimReply *reply)
{
	const char *only = sim_request_param(request, "only_anonymous");
	const char *anonymous = sim_request_param(request, "include_anonymous");

	if (only && strcmp(only, "true") == 0 && (anonymous == NULL || strcmp(anonymous, "true") != 0))
		return text_error(reply, 400, "only_anonymous=true requires include_anonymous=true");
	for (int i = 0; i < request->n_params; i++)
	{
		const SimParam *param = &request->params[i];

		if (sim_request_param(request, param->name) != param->value)
			return refuse(reply, "a parameter stands twice");
		if (!read_param(param, listing, reply))
			return false;
	}
	return true;
}

/*
 * Leave out whom the list hides, and whom a fault does.
 */
static void
hide(StackListing *listing, const json_t *fault)
{
	SimUser		user;

	for (size_t i = 0; i < with_state.n; i++)
		if (sim_users_get(with_state.item[i], &user) && !listing->anonymous &&
			(sim_user_has_state(&user, "anonymous") || (sim_user_has_state(&user, "restricted") && !listing->restricted)))
			sim_indexes_add(&listing->query.exclude, user.index);
	sim_fault_add_hidden(fault, &listing->query.exclude);
	sim_indexes_sort(&listing->query.exclude);
}

/* ---- the list ---- */

static int
compare_rows(const void *left, const void *right)
{
	const StackRow *a = left;
	const StackRow *b = right;

	return a->created != b->created ? (a->created > b->created) - (a->created < b->created) : strcmp(a->id, b->id);
}

static int
compare_rows_descending(const void *left, const void *right)
{
	return compare_rows(right, left);
}

static int64_t
count_at(const SimQuery *query, int64_t created)
{
	SimQuery	moment = *query;

	moment.min[SIM_BY_CREATED] = moment.max[SIM_BY_CREATED] = created;
	return sim_query_count(&moment);
}

/*
 * At least so many rows from where the query begins, if there are so many, with all
 * of the same time of sign-up; sorted.  The caller frees them.
 */
static StackRow *
fetch(const SimQuery *from, int64_t want, size_t *n)
{
	SimQuery	query = *from;
	SimPage		page;
	SimUser		user;
	StackRow   *rows;

	query.limit = want;
	sim_query_run(&query, NULL, &page);
	if (want >= 0 && (int64_t) page.users.n == want)
	{
		sim_users_get(page.users.item[want - 1], &user);
		free(page.users.item);
		*(query.descending ? query.min : query.max) = user.created;
		query.limit = -1;
		sim_query_run(&query, NULL, &page);
	}
	rows = sim_alloc((page.users.n + 1) * sizeof(StackRow));
	for (size_t i = 0; i < page.users.n; i++)
	{
		sim_users_get(page.users.item[i], &user);
		rows[i].created = user.created;
		rows[i].index = user.index;
		sim_users_id(&user, rows[i].id);
	}
	*n = page.users.n;
	free(page.users.item);
	qsort(rows, *n, sizeof(StackRow), query.descending ? compare_rows_descending : compare_rows);
	return rows;
}

static bool
is_excluding(const json_t *fault)
{
	if (sim_fault_trick(fault, "excluded") || sim_fault_trick(fault, "included"))
		return sim_fault_trick(fault, "excluded");
	return sim_setting_is("cursor", "excluded");
}

/*
 * The rows of a page and one more, where there is one.
 */
static StackRow *
fetch_page(StackListing *listing, bool excluding, size_t *first, size_t *n)
{
	SimQuery   *query = &listing->query;
	int64_t		want = listing->limit < 0 ? -1 : listing->limit + 1;
	char		id[SIM_ID_SIZE];
	SimUser		user;
	StackRow   *rows;

	*first = *n = 0;
	if (listing->cursor == NULL)
		return fetch(query, want, n);
	if (!find_user(listing->cursor, &user))
		return NULL;
	*(query->descending ? query->max : query->min) = user.created;
	if (want >= 0)
		want += count_at(query, user.created) + 1;
	rows = fetch(query, want, n);
	sim_users_id(&user, id);
	while (*first < *n && strcmp(rows[*first].id, id) != 0)
		(*first)++;
	if (excluding && *first < *n)
		(*first)++;
	return rows;
}

static void
put_page(SimReply *reply, const SimPage *page, const char *next)
{
	SIM_LITERAL(&reply->body, "{\"items\":");
	sim_query_put(&reply->body, page);
	SIM_LITERAL(&reply->body, ",\"is_paginated\":true,\"pagination\":{\"next_cursor\":");
	sim_buf_string(&reply->body, next);
	SIM_LITERAL(&reply->body, "}}");
}

static void
answer_page(const SimRequest *request, SimReply *reply, StackListing *listing)
{
	const json_t *fault = request->fault;
	bool		excluding = is_excluding(fault);
	int64_t		keep = sim_fault_int(fault, "truncate_page", INT64_MAX);
	SimPage		page = {0};
	size_t		first;
	size_t		end;
	StackRow   *rows;
	const char *next = NULL;

	if (sim_fault_true(fault, "ignore_order"))
		listing->query.descending = false;
	hide(listing, fault);
	rows = fetch_page(listing, excluding, &first, &end);
	if (sim_fault_true(fault, "empty"))
		first = end;
	if (listing->limit < 0 && (int64_t) (end - first) > sim_setting_int("page_cap", 1, INT64_MAX))
		text_error(reply, 400, "Listing more than that many users requires a limit. Pass limit and paginate using cursor.");
	else
	{
		if (listing->limit >= 0 && (int64_t) (end - first) > listing->limit)
		{
			end = first + (size_t) listing->limit;
			next = rows[excluding ? end - 1 : end].id;
		}
		for (size_t i = first; i < end && (int64_t) (i - first) < keep; i++)
			sim_indexes_add(&page.users, rows[i].index);
		put_page(reply, &page, next);
	}
	free(page.users.item);
	free(rows);
}

static void
answer_list(const SimRequest *request, SimReply *reply)
{
	StackListing listing = {.limit = -1};
	SimPage		none = {0};

	sim_query_init(&listing.query);
	if (read_params(request, &listing, reply))
		answer_page(request, reply, &listing);
	sim_query_free(&listing.query, &none);
}

/* ---- answers ---- */

static void
answer_get(const SimRequest *request, SimReply *reply)
{
	const char *id = request->path + strlen(USERS_PATH) + 1;
	SimUser		user;

	if (strcmp(id, "me") == 0)
		error(reply, 400, "CANNOT_GET_OWN_USER_WITHOUT_USER", "You have specified 'me' as a userId, but did not provide authentication for a user.");
	else if (request->n_params > 0)
		refuse(reply, "query contains unknown properties");
	else if (!sim_is_uuid(id))
		refuse(reply, "user_id must be a valid UUID");
	else if (!find_user(id, &user))
		fail_with(404, reply);
	else
		sim_users_put(&reply->body, &user);
}

/*
 * What asks for it gets an error with status 200, and its own in a header.
 */
static void
override_status(const SimRequest *request, SimReply *reply)
{
	const char *override = get_header(request, "override-error-status");
	char		status[16];

	if (override == NULL || strcmp(override, "true") != 0 || reply->status < 400 || reply->status > 499)
		return;
	snprintf(status, sizeof(status), "%d", reply->status);
	set_header(reply, "actual-status", status);
	reply->status = 200;
}

static SimKind
classify(const SimRequest *request)
{
	size_t		len = strlen(USERS_PATH);
	const char *rest = request->path + len;

	if (strcmp(request->method, "GET") != 0 || strncmp(request->path, USERS_PATH, len) != 0)
		return SIM_OTHER;
	if (rest[0] == '\0')
		return SIM_LIST;
	return rest[0] == '/' && rest[1] && strchr(rest + 1, '/') == NULL ? SIM_GET : SIM_OTHER;
}

static void
answer(SimRequest *request, SimReply *reply)
{
	reply->status = 200;
	reply->content_type = "application/json; charset=utf-8";
	if (sim_fault_trick(request->fault, "text"))
		text_error(reply, 400, "Bad request");
	else if (request->malformed)
		refuse(reply, "Invalid request target");
	else if (strncmp(request->path, USERS_PATH, strlen(USERS_PATH)) != 0)
		text_error(reply, 404, "404 Not Found");
	else if (request->kind == SIM_OTHER)
		not_simulated(reply, "anything but reading users");
	else if (check_key(request, reply))
	{
		if (request->kind == SIM_LIST)
			answer_list(request, reply);
		else
			answer_get(request, reply);
	}
	override_status(request, reply);
}

static const char *const settings[] = {"family", "cursor", "page_cap", "project", NULL};

const SimProvider sim_stack = {
	.name = "stack",
	.id_prefix = "",
	.id_form = SIM_ID_UUID,
	.classify = classify,
	.answer = answer,
	.failure = fail_with,
	.put_user = put_user,
	.changed = changed,
	.settings = settings,
	.created_member = "signed_up_at_millis",
	.updated_member = "last_active_at_millis"
};
