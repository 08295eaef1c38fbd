/*-------------------------------------------------------------------------
 *
 * okta.c
 *		The reading routes of Okta's Users API, strictly.
 *
 * A listing without a filter leaves out users that are deprovisioned, one with
 * a filter has them; that there is more is told by the header Link alone; in
 * the place of an id a login, what comes before its "@", and "me" are taken.
 * Stricter than the real one, unknown parameters are refused, and a cursor that
 * comes with others than it was made for; what it can do but this file cannot is
 * answered 501.  Which users a filter has is in okta_list.c, users are written
 * in okta_user.c.
 *
 *	--set oauth=1		the key is an access token: "Bearer", not "SSWS"
 *	--set public_key=FILE	of the client that tokens are given to; see token.c
 *	--set millis=1		times have milliseconds; by default they are cut off to
 *						the second when shown and when compared
 *	--set links=joined	both links are in one header, the next one first, and
 *						with other blanks; by default each has a line
 *	--set logins=1		users have a lastLogin, a second later in each list
 *						reply, though nothing else changes
 *
 * States: "deprovisioned", "suspended", "staged", "locked_out"; "undated", which
 * is deprovisioned with a statusChanged of null; none is ACTIVE.
 *
 * Tricks of a list:
 *
 *	foreign_link	the link to the next page has another host
 *	evil_link		a host that begins with ours
 *	no_link			there is no link at all
 *	lost_link		only a link of somebody else, as of a proxy
 *	end_link		the link to the next page alone is lost: no reader can know
 *	wide_link		the link to the next page is longer than a cursor may be
 *	long_link		and longer than a header may be
 *	bare_link		the link to the next page has no filter
 *	twice_link		two links to next pages
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "okta.h"

#define TOKEN "/oauth2/v1/token"
#define USERS "/api/v1/users"

static const char *const settings[] = {
	"oauth", "millis", "links", "logins", "public_key", "token_uses", "token_seconds", NULL
};

/* ---- errors ---- */

bool
sim_okta_error(SimReply *reply, int status, const char *code,
			   const char *summary)
{
	static int64_t n;

	reply->status = status;
	reply->content_type = "application/json";
	reply->rejected = status != 404;
	reply->body.len = 0;
	SIM_LITERAL(&reply->body, "{\"errorCode\":");
	sim_buf_string(&reply->body, code);
	SIM_LITERAL(&reply->body, ",\"errorSummary\":");
	sim_buf_string(&reply->body, summary);
	SIM_LITERAL(&reply->body, ",\"errorLink\":");
	sim_buf_string(&reply->body, code);
	sim_buf_printf(&reply->body, ",\"errorId\":\"oaeSim%019lld\",\"errorCauses\":[]}",
				   (long long) ++n);
	return false;
}

bool
sim_okta_not_simulated(SimReply *reply, const char *what)
{
	return sim_okta_error(reply, 501, "NOT_SIMULATED", what);
}

static void
fail_with(int status, SimReply *reply)
{
	static const struct
	{
		int			status;
		const char *code;
		const char *summary;
	}			errors[] = {
		{400, "E0000001", "Api validation failed"},
		{401, "E0000011", "Invalid token provided"},
		{403, "E0000006", "You do not have permission to perform the requested action"},
		{404, "E0000008", "The requested path was not found"},
		{429, "E0000047", "API call exceeded rate limit due to too many requests."},
		{503, "E0000010", "Service is in read only mode"}
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].status == status)
		{
			sim_okta_error(reply, status, errors[i].code, errors[i].summary);
			reply->rejected = false;
			return;
		}
	sim_okta_error(reply, status, "E0000009", "Internal Server Error");
	reply->rejected = false;
}

/* ---- one user ---- */

/* Does the name stand for this user, by login or what is before the "@"? */
static bool
is_login(const SimOktaUser *seen, const char *name, bool whole)
{
	size_t		len = strcspn(seen->login, "@");

	if (whole)
		return strcmp(seen->login, name) == 0;
	return strlen(name) == len && strncmp(seen->login, name, len) == 0;
}

/* The one living user of this login, or -1. */
static int64_t
find_login(const char *name, bool whole)
{
	int64_t		end = sim_users_end();
	int64_t		found = -1;
	SimOktaUser seen;
	SimUser		user;

	for (int64_t i = 0; i < end; i++)
	{
		if (!sim_users_get(i, &user) || user.deleted)
			continue;
		sim_okta_look(&user, &seen);
		if (strcmp(name, "me") != 0 && !is_login(&seen, name, whole))
			continue;
		if (found >= 0)
			return -1;
		found = i;
		if (strcmp(name, "me") == 0)
			break;
	}
	return found;
}

static int64_t
find_user(const char *name)
{
	int64_t		index;
	SimUser		user;

	if (sim_users_find_live(name, &user))
		return user.index;
	index = find_login(name, true);
	return index >= 0 ? index : find_login(name, false);
}

static void
answer_get(SimRequest *request, SimReply *reply)
{
	const char *name = request->path + strlen(USERS "/");
	int64_t		index = find_user(name);
	char		summary[SIM_OKTA_TEXT * 2];
	SimUser		user;

	if (request->n_params > 0)
		sim_okta_error(reply, 400, "E0000001", "Unknown parameter");
	else if (index < 0)
	{
		snprintf(summary, sizeof(summary), "Not found: Resource not found: %.*s (User)",
				 SIM_OKTA_TEXT, name);
		sim_okta_error(reply, 404, "E0000007", summary);
	}
	else
	{
		sim_users_get(index, &user);
		sim_okta_alone(true);
		sim_users_put(&reply->body, &user);
		sim_okta_alone(false);
	}
}

/* ---- routes ---- */

static SimKind
classify(const SimRequest *request)
{
	const char *rest = request->path + strlen(USERS);

	if (strcmp(request->method, "GET") != 0 ||
		strncmp(request->path, USERS, strlen(USERS)) != 0)
		return SIM_OTHER;
	if (*rest == '\0')
		return SIM_LIST;
	return *rest == '/' && rest[1] != '\0' && strchr(rest + 1, '/') == NULL ?
		SIM_GET : SIM_OTHER;
}

static bool
is_authorized(const SimRequest *request)
{
	const char *value = sim_request_header(request, "Authorization");

	if (sim_setting("public_key"))
		return sim_token_accepted(request);
	if (sim_setting("oauth"))
		return sim_request_authorized(request);
	return value && strncmp(value, "SSWS ", 5) == 0 &&
		strcmp(value + 5, sim_config.key) == 0;
}

/* What is in the head of each reply; nothing here knows the time of day. */
static void
put_headers(SimReply *reply)
{
	static int64_t n;
	char		id[64];

	snprintf(id, sizeof(id), "reqSim%020lld", (long long) ++n);
	sim_reply_header(reply, "X-Okta-Request-Id", id);
	sim_reply_header(reply, "X-Rate-Limit-Limit", "600");
	sim_reply_header(reply, "X-Rate-Limit-Remaining", "599");
	sim_reply_header(reply, "X-Rate-Limit-Reset", "1735689600");
}

/*
 * Clients of this API sign for themselves; one with a secret gets no token, nor
 * does one without the scope.
 */
static void
answer_token(SimRequest *request, SimReply *reply)
{
	const char *scope = sim_token_form(request, "scope");

	if (scope == NULL || strcmp(scope, "okta.users.read") != 0 ||
		sim_token_form(request, "client_secret"))
	{
		reply->status = 400;
		reply->rejected = true;
		SIM_LITERAL(&reply->body, "{\"error\":\"invalid_scope\"}");
	}
	else
		sim_token_answer(request, reply, NULL);
}

static void
answer(SimRequest *request, SimReply *reply)
{
	reply->status = 200;
	reply->content_type = "application/json";
	if (strcmp(request->path, TOKEN) == 0)
		answer_token(request, reply);
	else if (!is_authorized(request))
		sim_okta_error(reply, 401, "E0000011", "Invalid token provided");
	else if (request->kind == SIM_OTHER)
	{
		sim_okta_error(reply, 404, "E0000008", "The requested path was not found");
		reply->rejected = true;
	}
	else if (request->malformed)
		sim_okta_error(reply, 400, "E0000001", "Invalid request target");
	else if (request->kind == SIM_LIST)
		sim_okta_list(request, reply);
	else
		answer_get(request, reply);
	put_headers(reply);
}

const SimProvider sim_okta = {
	.name = "okta",
	.id_prefix = "00u",
	.id_digits = 17,
	.classify = classify,
	.answer = answer,
	.failure = fail_with,
	.put_user = sim_okta_put_user,
	.changed = sim_okta_changed,
	.settings = settings,
	.created_member = "created",
	.updated_member = "lastUpdated"
};
