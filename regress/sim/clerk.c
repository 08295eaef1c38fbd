/*-------------------------------------------------------------------------
 *
 * clerk.c
 *		The part of Clerk's Backend API that has to do with users, strictly.
 *
 * What Clerk would refuse is refused.  What Clerk can do but this file does
 * not is answered 501, so that a test notices instead of passing by luck.
 * Parameters of the list are read in clerk_query.c, users written in
 * clerk_json.c.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "clerk.h"

static const char *const api_versions[] = {
	"2021-02-05", "2024-10-01", "2025-03-12", "2025-04-10", "2025-11-10",
	"2026-05-12"
};

/* Members of the body of PATCH and POST; Clerk knows more of them. */
static const struct
{
	const char *name;
	bool		patch;
	bool		post;
}			body_members[] = {
	{"first_name", true, true},
	{"last_name", true, true},
	{"username", true, true},
	{"email_address", false, true},
	{"skip_password_requirement", false, true}
};

static const char *const other_members[] = {
	"external_id", "phone_number", "web3_wallet", "password",
	"password_digest", "password_hasher", "skip_password_checks",
	"totp_secret", "backup_codes", "public_metadata", "private_metadata",
	"unsafe_metadata", "created_at", "legal_accepted_at", "skip_legal_checks",
	"delete_self_enabled", "create_organization_enabled",
	"create_organizations_limit", "primary_email_address_id",
	"primary_phone_number_id", "primary_web3_wallet_id", "profile_image_id",
	"notify_primary_email_address_changed",
	"sign_out_of_other_sessions", "locale", "bypass_client_trust"
};

/* ---- errors ---- */

/*
 * Make the reply an error in Clerk's form.  Always false, to be returned.
 */
bool
sim_clerk_error(SimReply *reply, int status, const char *code,
				const char *message, const char *format,...)
{
	static uint64_t trace;
	char		text[512];
	va_list		args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	reply->status = status;
	reply->rejected = status != 404;
	reply->content_type = "application/json";
	reply->body.len = 0;
	SIM_LITERAL(&reply->body, "{\"errors\":[{\"code\":");
	sim_buf_string(&reply->body, code);
	SIM_LITERAL(&reply->body, ",\"message\":");
	sim_buf_string(&reply->body, message);
	SIM_LITERAL(&reply->body, ",\"long_message\":");
	sim_buf_string(&reply->body, text);
	sim_buf_printf(&reply->body, "}],\"clerk_trace_id\":\"%032llx\"}",
				   (unsigned long long) ++trace);
	return false;
}

bool
sim_clerk_not_simulated(SimReply *reply, const char *what)
{
	return sim_clerk_error(reply, 501, "not_simulated", "not simulated",
						   "Clerk knows %s, but the simulator does not.", what);
}

bool
sim_clerk_invalid(SimReply *reply, const char *param, const char *what)
{
	return sim_clerk_error(reply, 422, "form_param_value_invalid", "is invalid",
						   "%s %s", param, what);
}

static bool
not_found(SimReply *reply, const char *id)
{
	return sim_clerk_error(reply, 404, "resource_not_found", "not found",
						   "No user was found with id %s.", id);
}

static void
fail_with(int status, SimReply *reply)
{
	switch (status)
	{
		case 200:
			break;
		case 401:
			sim_clerk_error(reply, 401, "clerk_key_invalid",
							"The provided Clerk Secret Key is invalid.",
							"Make sure that your Clerk Secret Key is correct.");
			break;
		case 403:
			sim_clerk_error(reply, 403, "authorization_invalid",
							"Unauthorized request",
							"You are not authorized to perform this request");
			break;
		case 404:
			not_found(reply, "user_");
			break;
		case 429:
			sim_clerk_error(reply, 429, "too_many_requests",
							"Too many requests",
							"Please try again later.");
			reply->headers = json_pack("{s:s}", "Retry-After", "1");
			break;
		default:
			if (status >= 400)
				sim_clerk_error(reply, status, "internal_clerk_error",
								"Oops, an unexpected error occurred",
								"There was an internal error on our servers.");
			break;
	}
	reply->rejected = false;
}

/* ---- answers ---- */

static void
put_list(SimQuery *query, const SimRequest *request, SimReply *reply,
		 SimPage *page)
{
	sim_query_run(query, request->fault, page);
	sim_query_put(&reply->body, page);
	sim_clerk_note_page(request, page);
}

static void
answer_users(SimRequest *request, SimReply *reply)
{
	SimQuery	query;
	SimPage		page = {0};

	if (sim_clerk_read_query(request, &query, reply))
	{
		if (request->kind == SIM_LIST)
			put_list(&query, request, reply, &page);
		else
			sim_buf_printf(&reply->body, "{\"object\":\"total_count\","
						   "\"total_count\":%lld}",
						   (long long) sim_fault_total(request->fault,
													   sim_query_count(&query)));
	}
	sim_query_free(&query, &page);
}

static bool
read_body_member(const char *name, bool post, SimReply *reply)
{
	for (size_t i = 0; i < sizeof(body_members) / sizeof(body_members[0]); i++)
		if (strcmp(name, body_members[i].name) == 0)
		{
			if (post ? body_members[i].post : body_members[i].patch)
				return true;
			break;
		}
	if (SIM_IS_ONE_OF(name, other_members))
		return sim_clerk_not_simulated(reply, name);
	return sim_clerk_error(reply, 422, "form_param_unknown", "is unknown",
						   "%s is not a valid parameter for this request.",
						   name);
}

/*
 * Read the body of a PATCH or POST.  *body and *space own the strings.
 */
static bool
read_body(const SimRequest *request, bool post, SimChange *change,
		  json_t **body, char **space, SimReply *reply)
{
	const char *name;
	json_t	   *value;
	const char *wrong;

	*body = sim_request_json(request, 0);
	if (!json_is_object(*body))
		return sim_clerk_error(reply, 400, "request_body_invalid",
							   "Request body invalid",
							   "The request body is not a JSON object.");
	json_object_foreach(*body, name, value)
	{
		if (!read_body_member(name, post, reply))
			return false;
	}
	value = json_object_get(*body, "email_address");
	if (value && !json_is_array(value))
		return sim_clerk_invalid(reply, "email_address", "must be an array.");
	json_object_del(*body, "skip_password_requirement");
	wrong = sim_control_read(*body, change, space);
	return wrong == NULL || sim_clerk_invalid(reply, "body", wrong);
}

static bool
emails_are_free(const SimChange *change, SimReply *reply)
{
	SimIndexes	found = {0};

	for (int i = 0; i < change->n_emails; i++)
		sim_users_find_email(change->emails[i], &found);
	free(found.item);
	return found.n == 0 ||
		sim_clerk_error(reply, 422, "form_identifier_exists",
						"That email address is taken. Please try another.",
						"That email address is taken. Please try another.");
}

static void
create_user(SimRequest *request, SimReply *reply)
{
	SimChange	change = {0};
	json_t	   *body = NULL;
	char	   *space = NULL;
	SimUser		user;

	if (read_body(request, true, &change, &body, &space, reply) &&
		emails_are_free(&change, reply))
	{
		sim_users_get(sim_users_create(&change), &user);
		sim_users_put(&reply->body, &user);
	}
	json_decref(body);
	free(space);
}

static void
update_user(SimRequest *request, SimReply *reply, SimUser *user)
{
	SimChange	change = {0};
	json_t	   *body = NULL;
	char	   *space = NULL;

	if (user->raw)
		sim_clerk_not_simulated(reply, "how to change a user served verbatim");
	else if (read_body(request, false, &change, &body, &space, reply))
	{
		sim_users_update(user->index, &change);
		sim_users_get(user->index, user);
		sim_users_put(&reply->body, user);
	}
	json_decref(body);
	free(space);
}

static void
delete_user(SimReply *reply, const SimUser *user)
{
	char		id[SIM_ID_SIZE];

	sim_users_id(user, id);
	sim_users_delete(user->index);
	SIM_LITERAL(&reply->body, "{\"object\":\"user\",\"id\":");
	sim_buf_string(&reply->body, id);
	SIM_LITERAL(&reply->body, ",\"deleted\":true}");
}

static void
answer_user(SimRequest *request, SimReply *reply, const char *id)
{
	SimUser		user;

	if (!sim_users_find_live(id, &user))
		not_found(reply, id);
	else if (strcmp(request->method, "GET") == 0)
		sim_users_put(&reply->body, &user);
	else if (strcmp(request->method, "PATCH") == 0)
		update_user(request, reply, &user);
	else
		delete_user(reply, &user);
}

/*
 * Both the header and the parameter, or an unknown version, is an error.
 */
static bool
check_version(const SimRequest *request, SimReply *reply)
{
	const char *param = sim_request_param(request, "__clerk_api_version");
	const char *header = sim_request_header(request, "Clerk-API-Version");
	const char *version = param ? param : header;

	if ((param && header) ||
		(version && !SIM_IS_ONE_OF(version, api_versions)))
		return sim_clerk_error(reply, 400, "clerk_api_version_invalid",
							   "The API version is invalid",
							   "Name one known version, once.");
	return true;
}

static bool
is_method(const SimRequest *request, const char *const *methods)
{
	for (; *methods; methods++)
		if (strcmp(request->method, *methods) == 0)
			return true;
	return false;
}

static SimKind
classify(const SimRequest *request)
{
	const char *path = request->path;

	if (strcmp(request->method, "GET") != 0)
		return SIM_OTHER;
	if (strcmp(path, "/v1/users") == 0)
		return SIM_LIST;
	if (strcmp(path, "/v1/users/count") == 0)
		return SIM_COUNT;
	return strncmp(path, "/v1/users/", 10) == 0 ? SIM_GET : SIM_OTHER;
}

static void
answer(SimRequest *request, SimReply *reply)
{
	static const char *const one_user[] = {"GET", "PATCH", "DELETE", NULL};
	const char *path = request->path;
	bool		users = strcmp(path, "/v1/users") == 0;
	bool		user = strncmp(path, "/v1/users/", 10) == 0 &&
	strchr(path + 10, '/') == NULL && path[10];

	reply->status = 200;
	reply->content_type = "application/json";
	if (!sim_request_authorized(request))
	{
		fail_with(401, reply);
		reply->rejected = true;
	}
	else if (request->malformed)
		sim_clerk_error(reply, 400, "request_invalid", "is invalid",
						"The request target cannot be decoded.");
	else if (!check_version(request, reply))
		return;
	else if (request->kind == SIM_LIST || request->kind == SIM_COUNT)
		answer_users(request, reply);
	else if (users && strcmp(request->method, "POST") == 0)
		create_user(request, reply);
	else if (user && is_method(request, one_user))
		answer_user(request, reply, path + 10);
	else
	{
		sim_clerk_error(reply, users || user ? 405 : 404, "url_not_found",
						"URL not found", "%s is not a path of this API.", path);
		reply->rejected = true;
	}
}

const SimProvider sim_clerk = {
	.name = "clerk",
	.id_prefix = "user_",
	.id_digits = 27,
	.classify = classify,
	.answer = answer,
	.failure = fail_with,
	.put_user = sim_clerk_put_user
};
