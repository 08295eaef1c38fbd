/*-------------------------------------------------------------------------
 *
 * firebase.c
 *		The reading methods of Firebase Authentication, strictly.
 *
 * Accounts of a project are listed in order of ids, looked up (firebase_lookup.c) and
 * counted; those of a tenant below the tenant alone.  Parameters that are unknown, or
 * that the real one has and this file has not, are refused.  Access tokens are given
 * for assertions of the one service account, ACCOUNT below.
 *
 *	--set style=emulator	as the emulator has it: another path before /v1, the token
 *							"owner", any project and tenant, empty if it is not ours;
 *							the last user's id as the token of the next page, also of a
 *							last page that is full; addresses are compared as they are
 *	--set project=ID		the one project (demo-project)
 *	--set tenant=ID			all users are in this tenant of it, none in the project
 *	--set full=token		a last page that is full has a token, too
 *	--set redacted=1		the token may not see hashes of passwords
 *	--set case=kept			addresses are not shown in lower case
 *	--set public_key=FILE	of the service account; without, the key is the token
 *	--set key_id=ID			what the assertion must name its key by
 *
 * State of a user: "disabled".  A change of nothing but updated_at changes times of
 * signing in, and what a password is checked with.
 *
 * Tricks of a list:
 *
 *	empty_page		a page without users that names a next one
 *	blank_token		an empty token for none
 *	same_token		the token that it was asked with, or one that leads nowhere
 *	wide_token		a token longer than a cursor may be
 *	odd_token		one with a control character
 *	number_token	a number
 *	null_token		null
 *	no_kind			nothing tells what the reply is
 *	other_kind		it is of another kind
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "firebase.h"

#define PROJECT "demo-project"
#define ACCOUNT "reader@demo-project.iam.gserviceaccount.com"
#define SCOPE "https://www.googleapis.com/auth/identitytoolkit"
#define TOKEN "/token"
#define REAL_PATH "/v1/projects/"
#define EMULATOR_PATH "/identitytoolkit.googleapis.com" REAL_PATH
#define TOKEN_MARK "Cg"			/* begins the token of a page */
#define DEFAULT_LIMIT 20
#define MAX_LIMIT 1000
#define WIDE 5000

static const char *const settings[] = {
	"style", "project", "tenant", "full", "redacted", "case", "public_key", "key_id", "token_seconds", "token_uses", NULL
};

static const char *const other_params[] = {"delegatedProjectNumber", "tenantId", "fields", "$fields"};

/* ---- errors ---- */

bool
sim_firebase_error(SimReply *reply, int status, const char *name, const char *message)
{
	reply->status = status;
	reply->content_type = "application/json; charset=UTF-8";
	reply->rejected = true;
	reply->body.len = 0;
	sim_buf_printf(&reply->body, "{\"error\":{\"code\":%d,\"message\":", status);
	sim_buf_string(&reply->body, message);
	SIM_LITERAL(&reply->body, ",\"errors\":[{\"message\":");
	sim_buf_string(&reply->body, message);
	SIM_LITERAL(&reply->body, ",\"domain\":\"global\",\"reason\":\"invalid\"}]");
	if (name)
	{
		SIM_LITERAL(&reply->body, ",\"status\":");
		sim_buf_string(&reply->body, name);
	}
	SIM_LITERAL(&reply->body, "}}");
	return false;
}

bool
sim_firebase_not_simulated(SimReply *reply, const char *what)
{
	return sim_firebase_error(reply, 501, "NOT_IMPLEMENTED", what);
}

static void
fail_with(int status, SimReply *reply)
{
	static const struct
	{
		int			status;
		const char *name;
		const char *message;
	}			errors[] = {
		{400, "INVALID_ARGUMENT", "Request contains an invalid argument."},
		{401, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential."},
		{403, "PERMISSION_DENIED", "The caller does not have permission"},
		{404, "NOT_FOUND", "Requested entity was not found."},
		{429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Read requests' of service 'identitytoolkit.googleapis.com'."},
		{500, "INTERNAL", "Internal error encountered."},
		{503, "UNAVAILABLE", "The service is currently unavailable."}
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].status == status)
			sim_firebase_error(reply, status, errors[i].name, errors[i].message);
	if (reply->body.len == 0)
		sim_firebase_error(reply, status, "UNKNOWN", "Unknown Error.");
	reply->rejected = false;
}

/* ---- the list ---- */

/*
 * The id that a token of a page stands for, or false.
 */
static bool
read_token(const char *token, char id[SIM_ID_SIZE])
{
	size_t		len = strlen(token);

	if (sim_setting_is("style", "emulator"))
	{
		snprintf(id, SIM_ID_SIZE, "%s", token);
		return true;
	}
	if (strncmp(token, TOKEN_MARK, strlen(TOKEN_MARK)) != 0 || len % 2 != 0 || len / 2 >= SIM_ID_SIZE)
		return false;
	token += strlen(TOKEN_MARK);
	memset(id, 0, SIM_ID_SIZE);
	for (size_t i = 0; token[2 * i]; i++)
	{
		unsigned	byte;

		if (sscanf(token + 2 * i, "%2x", &byte) != 1)
			return false;
		id[i] = (char) byte;
	}
	return true;
}

static void
put_token(SimBuf *buf, const char *id)
{
	if (sim_setting_is("style", "emulator"))
	{
		sim_buf_string(buf, id);
		return;
	}
	SIM_LITERAL(buf, "\"" TOKEN_MARK);
	for (; *id; id++)
		sim_buf_printf(buf, "%02x", (unsigned char) *id);
	SIM_LITERAL(buf, "\"");
}

static bool
read_params(const SimRequest *request, int64_t *limit, char after[SIM_ID_SIZE], SimReply *reply)
{
	for (int i = 0; i < request->n_params; i++)
	{
		const char *name = request->params[i].name;
		const char *value = request->params[i].value;

		if (SIM_IS_ONE_OF(name, other_params))
			return sim_firebase_not_simulated(reply, name);
		if (sim_request_param(request, name) != value)
			return sim_firebase_error(reply, 400, "INVALID_ARGUMENT", "A parameter stands twice");
		if (strcmp(name, "maxResults") == 0)
		{
			if (!sim_parse_int(value, 1, MAX_LIMIT, limit))
				return sim_firebase_error(reply, 400, "INVALID_ARGUMENT", "maxResults is out of bounds");
		}
		else if (strcmp(name, "nextPageToken") != 0)
			return sim_firebase_error(reply, 400, "INVALID_ARGUMENT", "Invalid JSON payload received. Unknown name");
		else if (!read_token(value, after))
			return sim_firebase_error(reply, 400, NULL, "INVALID_PAGE_SELECTION");
	}
	return true;
}

/*
 * All users behind this id, but those whom the fault hides, in order.
 */
static void
select_users(const char *after, const json_t *fault, SimIndexes *users)
{
	json_t	   *hide = json_object();
	SimQuery	query;
	SimPage		all;

	sim_query_init(&query);
	query.by_id = true;
	json_object_set(hide, "hide_index", json_object_get(fault, "hide_index"));
	sim_query_run(&query, hide, &all);
	for (size_t i = 0; i < all.users.n; i++)
	{
		char		id[SIM_ID_SIZE];
		SimUser		user;

		sim_users_get(all.users.item[i], &user);
		sim_users_id(&user, id);
		if (strcmp(id, after) > 0)
			sim_indexes_add(users, user.index);
	}
	sim_query_free(&query, &all);
	json_decref(hide);
}

/*
 * The member that says where to go on; index is of the last user, -1: none follows.
 */
static void
put_next(const SimRequest *request, SimBuf *buf, int64_t index)
{
	const json_t *fault = request->fault;
	const char *asked = sim_request_param(request, "nextPageToken");
	char		id[SIM_ID_SIZE] = "";
	SimUser		user;

	if (sim_fault_trick(fault, "blank_token") && index < 0)
		SIM_LITERAL(buf, ",\"nextPageToken\":\"\"");
	else if (sim_fault_trick(fault, "null_token"))
		SIM_LITERAL(buf, ",\"nextPageToken\":null");
	else if (sim_fault_trick(fault, "number_token"))
		SIM_LITERAL(buf, ",\"nextPageToken\":7");
	else if (sim_fault_trick(fault, "odd_token"))
		SIM_LITERAL(buf, ",\"nextPageToken\":\"Cg\\u0007\"");
	else if (sim_fault_trick(fault, "wide_token"))
		sim_buf_printf(buf, ",\"nextPageToken\":\"%0*d\"", WIDE, 0);
	else if (sim_fault_trick(fault, "same_token"))
	{
		SIM_LITERAL(buf, ",\"nextPageToken\":");
		sim_buf_string(buf, asked ? asked : TOKEN_MARK "7A");
	}
	else if (index >= 0)
	{
		sim_users_get(index, &user);
		sim_users_id(&user, id);
		SIM_LITERAL(buf, ",\"nextPageToken\":");
		put_token(buf, id);
	}
}

static void
put_kind(const json_t *fault, SimBuf *buf)
{
	if (sim_fault_trick(fault, "no_kind"))
		SIM_LITERAL(buf, "{\"etag\":\"\"");
	else
		sim_buf_printf(buf, "{\"kind\":\"identitytoolkit#%s\"", sim_fault_trick(fault, "other_kind") ?
					   "GetAccountInfoResponse" : "DownloadAccountResponse");
}

/*
 * A page of these users, from the first on.
 */
static void
put_page(const SimRequest *request, SimReply *reply, const SimIndexes *users, int64_t limit)
{
	const json_t *fault = request->fault;
	bool		emulator = sim_setting_is("style", "emulator");
	bool		full_has = emulator || sim_setting_is("full", "token");
	int64_t		keep = sim_fault_int(fault, "truncate_page", limit);
	int64_t		n = sim_fault_true(fault, "empty") ? 0 : (int64_t) users->n;
	int64_t		last = n > limit || (n == limit && full_has) ? users->item[limit - 1] : -1;
	SimPage		page = {0};

	for (int64_t i = 0; i < n && i < limit && i < keep; i++)
		sim_indexes_add(&page.users, users->item[i]);
	if (sim_fault_trick(fault, "empty_page"))
		page.users.n = 0;
	put_kind(fault, &reply->body);
	if (page.users.n > 0 || emulator)
	{
		SIM_LITERAL(&reply->body, ",\"users\":");
		sim_query_put(&reply->body, &page);
	}
	put_next(request, &reply->body, last);
	SIM_LITERAL(&reply->body, "}");
	free(page.users.item);
}

static void
answer_list(const SimRequest *request, SimReply *reply, bool here)
{
	int64_t		limit = DEFAULT_LIMIT;
	char		after[SIM_ID_SIZE] = "";
	SimIndexes	users = {0};

	if (!read_params(request, &limit, after, reply))
		return;
	if (here)
		select_users(after, request->fault, &users);
	if (sim_fault_trick(request->fault, "empty_page") && users.n > 0)
		put_page(request, reply, &users, 1);
	else
		put_page(request, reply, &users, limit);
	free(users.item);
}

/* ---- the count ---- */

static void
answer_count(const SimRequest *request, SimReply *reply, bool here)
{
	json_t	   *body = sim_request_json(request, 0);
	SimPage		none = {0};
	SimQuery	query;

	sim_query_init(&query);
	if (request->n_params > 0 || !json_is_object(body))
		sim_firebase_error(reply, 400, "INVALID_ARGUMENT", "Invalid JSON payload received.");
	else if (json_object_size(body) != 1 || !json_is_false(json_object_get(body, "returnUserInfo")))
		sim_firebase_not_simulated(reply, "queries of users");
	else
		sim_buf_printf(&reply->body, "{\"recordsCount\":\"%lld\"}",
					   (long long) sim_fault_total(request->fault, here ? sim_query_count(&query) : 0));
	sim_query_free(&query, &none);
	json_decref(body);
}

/* ---- routes ---- */

/*
 * What is behind "/accounts:", or NULL.  *name gets what comes before it and behind
 * "/projects/".
 */
static const char *
find_method(const SimRequest *request, char name[SIM_EMAIL_SIZE])
{
	const char *prefix = sim_setting_is("style", "emulator") ? EMULATOR_PATH : REAL_PATH;
	const char *rest = request->path + strlen(prefix);
	const char *method;

	if (strncmp(request->path, prefix, strlen(prefix)) != 0)
		return NULL;
	method = strstr(rest, "/accounts:");
	if (method == NULL || (size_t) (method - rest) >= SIM_EMAIL_SIZE)
		return NULL;
	snprintf(name, SIM_EMAIL_SIZE, "%.*s", (int) (method - rest), rest);
	return method + strlen("/accounts:");
}

static SimKind
classify(const SimRequest *request)
{
	bool		get = strcmp(request->method, "GET") == 0;
	bool		post = strcmp(request->method, "POST") == 0;
	char		name[SIM_EMAIL_SIZE];
	const char *method = find_method(request, name);

	if (get && method && strcmp(method, "batchGet") == 0)
		return SIM_LIST;
	if (post && method && strcmp(method, "query") == 0)
		return SIM_COUNT;
	if (post && method && strcmp(method, "lookup") == 0)
		return sim_firebase_asks_one(request) ? SIM_GET : SIM_LIST;
	return SIM_OTHER;
}

static bool
is_authorized(const SimRequest *request)
{
	if (sim_setting("public_key"))
		return sim_token_accepted(request);
	return sim_setting_is("style", "emulator") ? sim_request_bearer(request, "owner") :
		sim_request_authorized(request);
}

/*
 * Is it the project that has the users, or the tenant where there is one?
 */
static bool
find_project(const char *name, bool *here, SimReply *reply)
{
	const char *project = sim_setting_or("project", PROJECT);
	const char *tenant = sim_setting("tenant");
	size_t		len = strlen(project);
	bool		ours = strncmp(name, project, len) == 0 && (name[len] == '\0' || name[len] == '/');
	const char *in = ours && strncmp(name + len, "/tenants/", 9) == 0 ? name + len + 9 : NULL;

	*here = ours && (tenant ? in && strcmp(in, tenant) == 0 : name[len] == '\0');
	if (*here || sim_setting_is("style", "emulator"))
		return true;
	if (!ours)
		return sim_firebase_error(reply, 400, NULL, "PROJECT_NOT_FOUND");
	return in == NULL || sim_firebase_error(reply, 400, NULL, "TENANT_NOT_FOUND");
}

/*
 * A service account speaks for itself alone, and asks for what it needs alone.
 */
static bool
is_assertion_good(const char *assertion)
{
	json_t	   *claims = sim_assertion_claims(assertion, sim_setting("key_id"));
	const char *iss = json_string_value(json_object_get(claims, "iss"));
	const char *aud = json_string_value(json_object_get(claims, "aud"));
	const char *scope = json_string_value(json_object_get(claims, "scope"));
	bool		good = iss && strcmp(iss, ACCOUNT) == 0 && scope && strcmp(scope, SCOPE) == 0 &&
	aud && strlen(aud) > strlen(TOKEN) && strcmp(aud + strlen(aud) - strlen(TOKEN), TOKEN) == 0 &&
	json_object_get(claims, "sub") == NULL;

	json_decref(claims);
	return good;
}

static void
answer_token(SimRequest *request, SimReply *reply)
{
	const char *grant = sim_token_form(request, "grant_type");
	bool		bearer = grant && strcmp(grant, "urn:ietf:params:oauth:grant-type:jwt-bearer") == 0;
	const char *assertion = sim_token_form(request, "assertion");
	char	   *copy = sim_strdup(assertion ? assertion : "");

	if (strcmp(request->method, "POST") != 0 || !bearer)
		sim_token_refuse(reply, 400, "unsupported_grant_type", "Invalid grant_type");
	else if (!is_assertion_good(copy))
		sim_token_refuse(reply, 400, "invalid_grant", "Invalid JWT Signature.");
	else
		sim_token_give(reply, NULL);
	free(copy);
}

static void
answer_accounts(SimRequest *request, SimReply *reply, const char *method)
{
	char		name[SIM_EMAIL_SIZE];
	bool		here;

	find_method(request, name);
	if (!find_project(name, &here, reply))
		return;
	if (request->kind == SIM_COUNT)
		answer_count(request, reply, here);
	else if (strcmp(method, "batchGet") == 0)
		answer_list(request, reply, here);
	else
		sim_firebase_lookup(request, reply, here);
}

static void
answer(SimRequest *request, SimReply *reply)
{
	const char *type = sim_request_header(request, "Content-Type");
	char		name[SIM_EMAIL_SIZE];
	const char *method = find_method(request, name);

	reply->status = 200;
	reply->content_type = "application/json; charset=UTF-8";
	if (strcmp(request->path, TOKEN) == 0)
		answer_token(request, reply);
	else if (request->malformed)
		sim_firebase_error(reply, 400, "INVALID_ARGUMENT", "Invalid request target");
	else if (request->kind == SIM_OTHER)
	{
		fail_with(404, reply);
		reply->rejected = true;
	}
	else if (!is_authorized(request))
	{
		fail_with(401, reply);
		reply->rejected = true;
	}
	else if (strcmp(request->method, "POST") == 0 && (type == NULL || strcmp(type, "application/json") != 0))
		sim_firebase_error(reply, 400, "INVALID_ARGUMENT", "The body is no JSON");
	else
		answer_accounts(request, reply, method);
}

const SimProvider sim_firebase = {
	.name = "firebase",
	.id_prefix = "",
	.id_digits = 28,
	.classify = classify,
	.answer = answer,
	.failure = fail_with,
	.put_user = sim_firebase_put_user,
	.settings = settings,
	.id_member = "localId"
};
