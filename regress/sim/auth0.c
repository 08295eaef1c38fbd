/*-------------------------------------------------------------------------
 *
 * auth0.c
 *		The part of Auth0's Management API that has to do with users, strictly.
 *
 * What Auth0 would refuse is refused, unknown parameters too.  The search language is
 * in auth0_search.c, the index that lags behind in auth0_index.c.  Users of the same
 * time have an order that does not change: that of their indexes.
 *
 *	POST /oauth/token			form of client credentials, and an audience
 *	GET  /api/v2/users			search
 *	GET  /api/v2/users/{id}		at once what is true
 *
 * A token or the key of the simulator is taken.  Of requests for a page of one user
 * without an order statistics and faults say "count".
 *
 * Settings, besides those of token.c:
 *
 *	index_lag=N		the search does not know of the last N changes (0)
 *	audience=TEXT	of the API ("http://HOST/api/v2/", the host as asked)
 *	idp_tokens=1	identities show their tokens, as with read:user_idp_tokens
 *
 * Tricks of a fault:
 *
 *	index			the index knows all changes from this request on
 *	default_page	page and per_page are not minded
 *	no_search		q is not minded
 *	no_sort			sort is not minded: users come by id
 *
 * States of a user: "blocked", and "seen", which is one login more than before.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "auth0.h"

#define USERS_PATH "/api/v2/users"
#define TOKEN_PATH "/oauth/token"
#define RESET_TIME "1735689600" /* that of a limit which nobody has reached */

static const char *const settings[] = {
	"index_lag", "audience", "idp_tokens", "token_seconds", "token_uses", NULL
};

/* ---- errors ---- */

static const char *
name_of_status(int status)
{
	switch (status)
	{
		case 400:
			return "Bad Request";
		case 401:
			return "Unauthorized";
		case 403:
			return "Forbidden";
		case 404:
			return "Not Found";
		case 429:
			return "Too Many Requests";
		case 503:
			return "Service Unavailable";
		default:
			return "Internal Server Error";
	}
}

bool
sim_auth0_error(SimReply *reply, int status, const char *code, const char *message)
{
	reply->status = status;
	reply->rejected = true;
	reply->content_type = "application/json; charset=utf-8";
	reply->body.len = 0;
	sim_buf_printf(&reply->body, "{\"statusCode\":%d,\"error\":\"%s\",\"message\":", status, name_of_status(status));
	sim_buf_string(&reply->body, message);
	sim_buf_optional(&reply->body, "errorCode", code);
	SIM_LITERAL(&reply->body, "}");
	return false;
}

bool
sim_auth0_not_simulated(SimReply *reply, const char *what)
{
	return sim_auth0_error(reply, 501, "not_simulated", what);
}

/* As the provider would say it, of its own accord. */
static void
fail_with(int status, SimReply *reply)
{
	static const struct
	{
		int			status;
		const char *code;
		const char *message;
	}			errors[] = {
		{400, "invalid_query_string", "Query validation error"},
		{401, "invalid_token", "Expired token received for JSON Web Token validation"},
		{403, "insufficient_scope", "Insufficient scope, expected any of: read:users"},
		{404, "inexistent_user", "The user does not exist."},
		{429, "too_many_requests", "Global limit has been reached"},
		{503, NULL, "The query exceeded the timeout. Please try refining your search criteria."}
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].status == status)
			sim_auth0_error(reply, status, errors[i].code, errors[i].message);
	if (status >= 400 && reply->body.len == 0)
		sim_auth0_error(reply, status, NULL, "An internal server error occurred");
	if (status == 429)
		reply->headers = json_pack("{s:s, s:s, s:s}", "X-RateLimit-Limit", "2",
								   "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", RESET_TIME);
	reply->rejected = false;
}

/* ---- a user ---- */

/*
 * The one address that Auth0 shows of a user.
 */
const char *
sim_auth0_email(const SimPerson *person)
{
	return person->primary >= 0 ? person->emails[person->primary] : NULL;
}

/* Of a user of the database the name is often the address. */
static void
put_names(SimBuf *buf, const SimPerson *person, const char *email)
{
	SimBuf		name = {0};

	sim_generate_name(&name, person);
	if (name.data[0] != '\0' && (person->plain || person->hash >> 50 & 1))
		sim_buf_optional(buf, "name", name.data);
	else if (name.data[0] == '\0')
		sim_buf_optional(buf, "name", email);
	sim_buf_optional(buf, "given_name", person->first);
	sim_buf_optional(buf, "family_name", person->last);
	sim_buf_optional(buf, "nickname", person->username);
	sim_buf_free(&name);
}

/* One user in eight also signs in by an account at Google. */
static void
put_identities(SimBuf *buf, const SimPerson *person, const char *id)
{
	SIM_LITERAL(buf, ",\"identities\":[{\"provider\":\"auth0\",\"user_id\":");
	sim_buf_string(buf, strchr(id, '|') ? strchr(id, '|') + 1 : id);
	SIM_LITERAL(buf, ",\"connection\":\"Username-Password-Authentication\",\"isSocial\":false}");
	if (person->hash >> 51 & 7)
	{
		SIM_LITERAL(buf, "]");
		return;
	}
	SIM_LITERAL(buf, ",{\"provider\":\"google-oauth2\",\"user_id\":\"");
	sim_buf_int(buf, (int64_t) (person->hash >> 1));
	SIM_LITERAL(buf, "\",\"connection\":\"google-oauth2\",\"isSocial\":true");
	if (sim_setting("idp_tokens"))
	{
		SIM_LITERAL(buf, ",\"access_token\":\"ya29.idp_secret\",\"refresh_token\":\"1//idp_secret\",\"access_token_secret\":\"idp_secret\",\"expires_in\":3599");
	}
	SIM_LITERAL(buf, "}]");
}

static void
put_user(SimBuf *buf, const SimUser *user)
{
	SimPerson	person;
	const char *email;
	const char *state = user->state ? user->state : "";
	bool		seen = strcmp(state, "seen") == 0;
	char		id[SIM_ID_SIZE];

	sim_generate_person(user, &person);
	sim_users_id(user, id);
	email = sim_auth0_email(&person);
	SIM_LITERAL(buf, "{\"user_id\":");
	sim_buf_string(buf, id);
	sim_buf_optional(buf, "email", email);
	if (email)
		sim_buf_text(buf, person.hash % 4 == 0 ? ",\"email_verified\":false" : ",\"email_verified\":true");
	put_names(buf, &person, email);
	put_identities(buf, &person, id);
	sim_buf_time(buf, "created_at", user->created);
	sim_buf_time(buf, "updated_at", user->updated);
	sim_buf_time(buf, "last_login", user->updated + seen);
	sim_buf_printf(buf, ",\"last_ip\":\"203.0.113.%d\",\"logins_count\":%d",
				   (int) (person.hash % 200) + seen, (int) (person.hash % 50) + seen);
	if (strcmp(state, "blocked") == 0)
		SIM_LITERAL(buf, ",\"blocked\":true");
	SIM_LITERAL(buf, "}");
}

/* ---- answers ---- */

/*
 * What the trick of a fault has the server not mind.
 */
static void
play_trick(const json_t *fault, Auth0Search *search)
{
	if (sim_fault_trick(fault, "index"))
		sim_auth0_catch_up();
	if (sim_fault_trick(fault, "default_page"))
	{
		search->page = 0;
		search->per_page = 50;
	}
	if (sim_fault_trick(fault, "no_search"))
	{
		for (SimOrder order = SIM_BY_CREATED; order <= SIM_BY_UPDATED; order++)
		{
			search->query.min[order] = INT64_MIN;
			search->query.max[order] = INT64_MAX;
		}
		search->query.narrowed = false;
	}
	if (sim_fault_trick(fault, "no_sort"))
	{
		search->query.by_id = true;
		search->query.descending = false;
	}
}

static void
answer_list(SimRequest *request, SimReply *reply)
{
	Auth0Search search;
	SimBuf		users = {0};
	int64_t		total;
	int64_t		count;

	if (sim_auth0_read_search(request, &search, reply))
	{
		play_trick(request->fault, &search);
		count = sim_auth0_run_search(&search, request->fault, &users, &total);
		if (search.totals)
			sim_buf_printf(&reply->body, "{\"start\":%lld,\"limit\":%lld,\"length\":%lld,\"total\":%lld,\"users\":",
						   (long long) (search.page * search.per_page), (long long) search.per_page,
						   (long long) count, (long long) sim_fault_total(request->fault, total));
		sim_buf_add(&reply->body, users.data, users.len);
		if (search.totals)
			SIM_LITERAL(&reply->body, "}");
		sim_buf_free(&users);
	}
	sim_auth0_free_search(&search);
}

static void
answer_get(SimRequest *request, SimReply *reply)
{
	const char *id = request->path + strlen(USERS_PATH "/");
	SimUser		user;

	if (request->n_params > 0)
	{
		sim_auth0_not_simulated(reply, "parameters of one user");
		return;
	}
	if (strchr(id, '|') == NULL)
	{
		sim_auth0_error(reply, 400, "invalid_uri", "Object didn't pass validation for format user-id");
		return;
	}
	if (!sim_users_find_live(id, &user))
		fail_with(404, reply);
	else
		sim_users_put(&reply->body, &user);
}

/* The audience has to be that of the API, at Auth0's own domain. */
static void
answer_token(SimRequest *request, SimReply *reply)
{
	const char *audience = sim_setting("audience");
	const char *host = sim_request_header(request, "Host");
	const char *asked;
	SimBuf		own = {0};

	if (audience)
		sim_buf_text(&own, audience);
	else
		sim_buf_printf(&own, "http://%s/api/v2/", host ? host : "");
	sim_buf_add(&own, "", 1);
	asked = sim_token_form(request, "audience");
	if (asked == NULL || strcmp(asked, own.data) != 0)
	{
		reply->status = 403;
		reply->rejected = true;
		SIM_LITERAL(&reply->body, "{\"error\":\"access_denied\",\"error_description\":\"Service not found\"}");
	}
	else
		sim_token_answer(request, reply, "{\"scope\":\"read:users\",\"gty\":\"client-credentials\"}");
	sim_buf_free(&own);
}

static SimKind
classify(const SimRequest *request)
{
	const char *per_page = sim_request_param(request, "per_page");

	if (strcmp(request->method, "GET") != 0)
		return SIM_OTHER;
	if (strncmp(request->path, USERS_PATH "/", strlen(USERS_PATH "/")) == 0)
		return SIM_GET;
	if (strcmp(request->path, USERS_PATH) != 0)
		return SIM_OTHER;
	return per_page && strcmp(per_page, "1") == 0 && sim_request_param(request, "sort") == NULL ?
		SIM_COUNT : SIM_LIST;
}

static void
answer(SimRequest *request, SimReply *reply)
{
	reply->status = 200;
	reply->content_type = "application/json; charset=utf-8";
	if (strcmp(request->path, TOKEN_PATH) == 0)
		answer_token(request, reply);
	else if (request->kind == SIM_OTHER)
		sim_auth0_error(reply, 404, NULL, "Not Found");
	else if (!sim_request_authorized(request) && !sim_token_accepted(request))
	{
		fail_with(401, reply);
		reply->rejected = true;
	}
	else if (request->malformed)
		sim_auth0_error(reply, 400, "invalid_uri", "Invalid request target");
	else if (request->kind == SIM_GET)
		answer_get(request, reply);
	else
		answer_list(request, reply);
	if (reply->headers == NULL)
		reply->headers = json_pack("{s:s, s:s, s:s}", "X-RateLimit-Limit", "50",
								   "X-RateLimit-Remaining", "49", "X-RateLimit-Reset", RESET_TIME);
}

const SimProvider sim_auth0 = {
	.name = "auth0",
	.id_prefix = "auth0|",
	.id_digits = 24,
	.classify = classify,
	.answer = answer,
	.failure = fail_with,
	.put_user = put_user,
	.changed = sim_auth0_changed,
	.settings = settings,
	.id_member = "user_id"
};
