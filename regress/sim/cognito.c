/*-------------------------------------------------------------------------
 *
 * cognito.c
 *		The part of Amazon Cognito's API of user pools that has to do with users,
 *		strictly.
 *
 * All requests are POST / and say in a header what they are.  Who asks is told by
 * the signature, which sigv4.c checks; the head of that file has its settings.
 * Lists are in cognito_list.c.
 *
 *	--set user_pool_id=ID	the one pool (eu-central-1_Example01)
 *	--set region=NAME		of the endpoint (eu-central-1)
 *	--set times=			"decimal" (default) or "exponent": how times are written
 *	--set usernames=		"insensitive": a user is found by its Username in any case
 *							("sensitive")
 *	--set alias=			"email": also by its address ("none"); by its sub it
 *							always is
 *	--set filter_case=		"exact": a filter finds addresses in the same case alone
 *							("any")
 *	--set short=N			pages have N users at most, whatever the Limit
 *	--set empty=N			each Nth page of a listing is empty, and not the last
 *	--set end=				"empty": after a page that is full there is always
 *							another one ("full")
 *	--set lag=N				who is created is not in the next N pages, of any listing
 *	--set errors=			"namespaced": the names of errors have their namespace
 *							before them ("bare")
 *
 * Tricks: "empty_page", a page is empty, and not the last; "same_token", a page has
 * the token of the first one after it; "other_user", AdminGetUser is about somebody
 * else; "namespaced", an error of that form; "no_type", an error without a name.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "cognito.h"

#include <stdio.h>
#include <strings.h>

#include "sigv4.h"

#define MEDIA_TYPE "application/x-amz-json-1.1"
#define TARGET "AWSCognitoIdentityProviderService."
#define NAMESPACE "com.amazonaws.cognitoidentityprovider#"

static const char *const settings[] = {
	"user_pool_id", "region", "access_key_id", "session_token", "expired_token", "clock", "times",
	"usernames", "alias", "filter_case", "short", "empty", "end", "lag", "errors", NULL
};

static const char *const list_members[] = {"UserPoolId", "Limit", "PaginationToken", "Filter", "AttributesToGet"};
static const char *const get_members[] = {"UserPoolId", "Username"};

static const json_t *current_fault; /* of the request being answered */

/* ---- errors ---- */

static void
error(SimReply *reply, int status, const char *type, const char *message)
{
	bool		namespaced = sim_setting_is("errors", "namespaced") ||
	sim_fault_trick(current_fault, "namespaced");

	reply->status = status;
	reply->content_type = MEDIA_TYPE;
	reply->body.len = 0;
	SIM_LITERAL(&reply->body, "{");
	if (!sim_fault_trick(current_fault, "no_type"))
		sim_buf_printf(&reply->body, "\"__type\":\"%s%s\",", namespaced ? NAMESPACE : "", type);
	SIM_LITERAL(&reply->body, "\"message\":");
	sim_buf_string(&reply->body, message);
	SIM_LITERAL(&reply->body, "}");
}

bool
sim_cognito_refuse(SimReply *reply, const char *type, const char *message)
{
	error(reply, 400, type, message);
	reply->rejected = true;
	return false;
}

static void
not_found(SimReply *reply)
{
	error(reply, 400, "UserNotFoundException", "User does not exist.");
}

static void
fail_with(int status, SimReply *reply)
{
	static const struct
	{
		int			status;
		const char *type;
	}			types[] = {
		{400, "InvalidParameterException"},
		{401, "NotAuthorizedException"},
		{403, "AccessDeniedException"},
		{404, "UnknownOperationException"},
		{429, "TooManyRequestsException"},
		{500, "InternalErrorException"},
		{503, "ServiceUnavailableException"}
	};
	const char *type = "UnknownException";

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].status == status)
			type = types[i].type;
	if (status >= 400)
		error(reply, status, type, "as the test wants it");
}

/* ---- one user ---- */

/* Find a user by its Username, or by what else may stand for it. */
static bool
find_user(const char *name, SimUser *user)
{
	bool		any_case = sim_setting_is("usernames", "insensitive");
	bool		by_email = sim_setting_is("alias", "email");
	int64_t		end = sim_users_end();

	if (sim_users_find_live(name, user))
		return true;
	for (int64_t index = 0; index < end; index++)
	{
		SimPerson	person;
		char		id[SIM_ID_SIZE];
		char		sub[SIM_ID_SIZE];
		const char *email;

		if (!sim_users_get(index, user) || user->deleted)
			continue;
		sim_users_id(user, id);
		sim_cognito_sub(user, sub);
		sim_generate_person(user, &person);
		email = sim_cognito_email(&person);
		if (strcmp(sub, name) == 0 || (any_case && strcasecmp(id, name) == 0) ||
			(by_email && email && strcasecmp(email, name) == 0))
			return true;
	}
	return false;
}

static bool
is_username(const char *name)
{
	size_t		characters = 0;

	if (name == NULL)
		return false;
	for (const char *c = name; *c; c++)
	{
		if ((unsigned char) *c <= ' ' || *c == 0x7F)
			return false;
		characters += ((unsigned char) *c & 0xC0) != 0x80;
	}
	return characters >= 1 && characters <= 128;
}

static void
answer_user(const json_t *body, SimReply *reply)
{
	const char *name = json_string_value(json_object_get(body, "Username"));
	SimUser		user;

	if (!is_username(name))
		sim_cognito_refuse(reply, "InvalidParameterException", "Username has another form");
	else if (!find_user(name, &user))
		not_found(reply);
	else
	{
		if (sim_fault_trick(current_fault, "other_user"))
			sim_users_get(user.index == 0 ? 1 : 0, &user);
		sim_cognito_put_single(&reply->body, &user);
	}
}

/* ---- requests ---- */

/* What the request asks for, or NULL. */
static const char *
operation(const SimRequest *request)
{
	const char *target = sim_request_header(request, "X-Amz-Target");
	const char *type = sim_request_header(request, "Content-Type");

	if (strcmp(request->method, "POST") != 0 || strcmp(request->target, "/") != 0 ||
		target == NULL || strncmp(target, TARGET, strlen(TARGET)) != 0 ||
		type == NULL || strcmp(type, MEDIA_TYPE) != 0)
		return NULL;
	return target + strlen(TARGET);
}

static SimKind
classify(const SimRequest *request)
{
	const char *name = operation(request);

	if (name && strcmp(name, "ListUsers") == 0)
		return SIM_LIST;
	return name && strcmp(name, "AdminGetUser") == 0 ? SIM_GET : SIM_OTHER;
}

/* Cognito overlooks members that it does not know; here they are a mistake. */
static bool
check_members(const json_t *body, const char *const *names, size_t n, SimReply *reply)
{
	const char *name;
	json_t	   *value;

	json_object_foreach((json_t *) body, name, value)
		if (!sim_is_one_of(name, names, n))
		return sim_cognito_refuse(reply, "SerializationException", "The body has an unknown member");
	return true;
}

static bool
check_pool(const json_t *body, SimReply *reply)
{
	const char *pool = json_string_value(json_object_get(body, "UserPoolId"));

	if (pool == NULL || strchr(pool, '_') == NULL)
		return sim_cognito_refuse(reply, "InvalidParameterException", "UserPoolId has another form");
	return strcmp(pool, sim_setting_or("user_pool_id", "eu-central-1_Example01")) == 0 ||
		sim_cognito_refuse(reply, "ResourceNotFoundException", "There is no such user pool");
}

static void
answer_body(SimRequest *request, const json_t *body, SimReply *reply)
{
	bool		list = request->kind == SIM_LIST;

	if (!json_is_object(body))
		sim_cognito_refuse(reply, "SerializationException", "The body is no JSON object");
	else if (!(list ? check_members(body, list_members, sizeof(list_members) / sizeof(list_members[0]), reply) :
			   check_members(body, get_members, sizeof(get_members) / sizeof(get_members[0]), reply)) ||
			 !check_pool(body, reply))
		return;
	else if (list)
		sim_cognito_answer_list(request, body, reply);
	else
		answer_user(body, reply);
}

static void
answer(SimRequest *request, SimReply *reply)
{
	static int64_t n_requests;
	SimSigv4Failure failure;
	json_t	   *body;

	current_fault = request->fault;
	reply->status = 200;
	reply->content_type = MEDIA_TYPE;
	reply->headers = json_pack("{s:o}", "x-amzn-RequestId",
							   json_sprintf("00000000-0000-4000-8000-%012lld", (long long) ++n_requests));
	failure = sim_sigv4_check(request, sim_setting_or("region", "eu-central-1"), "cognito-idp");
	if (request->kind == SIM_OTHER)
		sim_cognito_refuse(reply, "UnknownOperationException", "There is no such operation");
	else if (failure.code)
		sim_cognito_refuse(reply, failure.code, failure.message);
	else
	{
		body = sim_request_json(request, JSON_REJECT_DUPLICATES);
		answer_body(request, body, reply);
		json_decref(body);
	}
	current_fault = NULL;
}

const SimProvider sim_cognito = {
	.name = "cognito",
	.id_prefix = "",
	.id_form = SIM_ID_UUID,
	.classify = classify,
	.answer = answer,
	.failure = fail_with,
	.put_user = sim_cognito_put_user,
	.changed = sim_cognito_changed,
	.settings = settings,
	.id_member = "Username",
	.created_member = "UserCreateDate",
	.updated_member = "UserLastModifiedDate"
};
