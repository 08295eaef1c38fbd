/*-------------------------------------------------------------------------
 *
 * keycloak.c
 *		The reading routes of Keycloak's Admin REST API, strictly, and its tokens.
 *
 * Users are listed in order of the username; those made without one have their
 * e-mail or their id in its place.  What the real one does is done here too: who
 * may not be seen is taken off a page after it was cut, listings without a filter
 * leave out service accounts and those by e-mail do not, and a client that may
 * query users but not view them gets an empty list and a count of 0.  Stricter
 * than the real one, unknown parameters are refused; what it can do but this file
 * cannot is answered 501.
 *
 *	--set realm=NAME	the one realm (demo); in "master" roles are those of
 *						the client master-realm
 *	--set roles=WHICH	of the service account: view (default), manage, admin (of
 *						all realms), none (only query-users), nothing (not even
 *						that); lightweight and blind are view and none with a
 *						token that does not show it, opaque is view with one that
 *						is no JWT
 *	--set uncounted=N	so many users are of a federation that does not count
 *	--set token_seconds, token_uses		as in token.c
 *
 * States of a user, set by "state":
 *
 *	hidden				taken off each page, and found by its id
 *	invalid				LDAP does not know it any more: whatever comes upon it
 *						removes it
 *	service				a service account: not listed nor counted, but found by
 *						its id and its e-mail
 *	undated				has no time of creation
 *
 * Tricks of a fault:
 *
 *	ldap_trouble		an empty list, whoever is there
 *	error_in_page		half of the page, then an error object, with status 200
 *	realm_gone			there is no such realm
 *
 * Of the other faults, hide_index, truncate_page and empty work on the list.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <strings.h>

#include "sim.h"

#define DEFAULT_MAX 100
#define ADMIN "/admin/realms/"
#define REALMS "/realms/"
#define TOKEN "/protocol/openid-connect/token"

/* A user and what it is sorted by. */
typedef struct Row
{
	char		username[SIM_EMAIL_SIZE];
	int64_t		index;
	bool		service;
} Row;

static const char *const list_params[] = {"first", "max", "email", "exact"};

static const char *const more_params[] = {
	"search", "username", "firstName", "lastName", "enabled", "emailVerified",
	"idpAlias", "idpUserId", "q", "briefRepresentation"
};

static Row *rows;				/* all users in order, unless one has changed */
static int64_t n_rows;
static bool rows_known;

static void
error(SimReply *reply, int status, const char *what)
{
	reply->status = status;
	reply->content_type = "application/json";
	reply->body.len = 0;
	SIM_LITERAL(&reply->body, "{\"error\":");
	sim_buf_string(&reply->body, what);
	SIM_LITERAL(&reply->body, "}");
}

static void
refuse(SimReply *reply, int status, const char *what)
{
	error(reply, status, what);
	reply->rejected = true;
}

static void
fail_with(int status, SimReply *reply)
{
	switch (status)
	{
		case 400:
			error(reply, 400, "invalid_request");
			break;
		case 401:
			error(reply, 401, "HTTP 401 Unauthorized");
			break;
		case 403:
			error(reply, 403, "HTTP 403 Forbidden");
			break;
		case 404:
			error(reply, 404, "User not found");
			break;
		default:
			error(reply, status, "unknown_error");
			break;
	}
}

static bool
roles_are(const char *which)
{
	return strcmp(sim_setting_or("roles", "view"), which) == 0;
}

static bool
may_view(void)
{
	return !roles_are("none") && !roles_are("blind") && !roles_are("nothing");
}

/* ---- a user ---- */

static const char *
email_of(const SimPerson *person)
{
	return person->primary < 0 ? NULL : person->emails[person->primary];
}

static void
read_username(const SimUser *user, const SimPerson *person, char *name)
{
	const char *email = email_of(person);

	if (person->username || email)
		snprintf(name, SIM_EMAIL_SIZE, "%s", person->username ? person->username : email);
	else
		sim_users_id(user, name);
}

static void
put_user(SimBuf *buf, const SimUser *user)
{
	SimPerson	person;
	char		id[SIM_ID_SIZE];
	char		username[SIM_EMAIL_SIZE];

	sim_generate_person(user, &person);
	sim_users_id(user, id);
	read_username(user, &person, username);
	SIM_LITERAL(buf, "{\"id\":");
	sim_buf_string(buf, id);
	sim_buf_optional(buf, "username", username);
	sim_buf_optional(buf, "firstName", person.first);
	sim_buf_optional(buf, "lastName", person.last);
	sim_buf_optional(buf, "email", email_of(&person));
	sim_buf_printf(buf, ",\"emailVerified\":%s", person.hash % 4 == 0 ? "false" : "true");
	if (!person.plain && person.hash % 8 == 0)
		SIM_LITERAL(buf, ",\"attributes\":{\"locale\":[\"en\"],\"phone\":[\"+1 555 0100\",\"+1 555 0101\"]}");
	if (sim_user_has_state(user, "undated"))
		SIM_LITERAL(buf, ",\"createdTimestamp\":null");
	else
		sim_buf_printf(buf, ",\"createdTimestamp\":%lld", (long long) user->created);
	sim_buf_printf(buf, ",\"enabled\":%s", person.hash % 32 == 1 ? "false" : "true");
	SIM_LITERAL(buf, ",\"totp\":false,\"disableableCredentialTypes\":[],\"requiredActions\":[],\"notBefore\":0,"
				"\"access\":{\"manageGroupMembership\":false,\"view\":true,\"mapRoles\":false,"
				"\"impersonate\":false,\"manage\":false}}");
}

/* ---- rows in order of the username ---- */

static void
changed(const SimUser *user, SimEvent event)
{
	(void) user;
	(void) event;
	rows_known = false;
}

static int
compare_rows(const void *left, const void *right)
{
	const Row  *a = left;
	const Row  *b = right;
	int			result = strcmp(a->username, b->username);

	return result != 0 ? result : (a->index > b->index) - (a->index < b->index);
}

static void
sort_rows(void)
{
	int64_t		end = sim_users_end();

	if (rows_known)
		return;
	free(rows);
	rows = sim_alloc((size_t) (end + 1) * sizeof(*rows));
	n_rows = 0;
	for (int64_t i = 0; i < end; i++)
	{
		SimUser		user;
		SimPerson	person;

		if (!sim_users_get(i, &user) || user.deleted)
			continue;
		sim_generate_person(&user, &person);
		read_username(&user, &person, rows[n_rows].username);
		rows[n_rows].service = sim_user_has_state(&user, "service");
		rows[n_rows++].index = i;
	}
	qsort(rows, (size_t) n_rows, sizeof(*rows), compare_rows);
	rows_known = true;
}

/*
 * The users of a list before it is cut: all but service accounts, or all of
 * whom this is the e-mail.
 */
static void
select_users(const char *email, SimIndexes *users)
{
	sort_rows();
	for (int64_t i = 0; i < n_rows; i++)
	{
		SimUser		user;
		SimPerson	person;
		const char *other;

		if (email == NULL)
		{
			if (!rows[i].service)
				sim_indexes_add(users, rows[i].index);
			continue;
		}
		sim_users_get(rows[i].index, &user);
		sim_generate_person(&user, &person);
		other = email_of(&person);
		if (other && strcasecmp(other, email) == 0)
			sim_indexes_add(users, rows[i].index);
	}
}

/*
 * Take off a page who may not be seen, and remove who is not there any more.
 */
static void
filter_users(const json_t *fault, SimIndexes *users)
{
	int64_t		keep = sim_fault_int(fault, "truncate_page", INT64_MAX);
	size_t		kept = 0;

	for (size_t i = 0; i < users->n; i++)
	{
		SimUser		user;

		sim_users_get(users->item[i], &user);
		if (sim_user_has_state(&user, "invalid"))
			sim_users_delete(users->item[i]);
		else if (may_view() && !sim_user_has_state(&user, "hidden") &&
				 !sim_fault_hides(fault, users->item[i]) && (int64_t) kept < keep)
			users->item[kept++] = users->item[i];
	}
	users->n = kept;
}

/* ---- answers ---- */

static bool
check_params(const SimRequest *request, SimReply *reply)
{
	for (int i = 0; i < request->n_params; i++)
	{
		const char *name = request->params[i].name;

		if (SIM_IS_ONE_OF(name, more_params))
			refuse(reply, 501, "not simulated");
		else if (!SIM_IS_ONE_OF(name, list_params))
			refuse(reply, 400, "unknown parameter");
		else
			continue;
		return false;
	}
	return true;
}

static bool
read_number(const SimRequest *request, const char *name, int64_t otherwise,
			int64_t *value, SimReply *reply)
{
	const char *text = sim_request_param(request, name);

	*value = otherwise;
	if (text == NULL || sim_parse_int(text, 0, INT32_MAX, value))
		return true;
	refuse(reply, 404, "HTTP 404 Not Found");	/* as JAX-RS does */
	return false;
}

static void
put_page(SimReply *reply, const SimIndexes *users, const json_t *fault)
{
	SimPage		page = {.users = *users};

	sim_query_put(&reply->body, &page);
	if (!sim_fault_trick(fault, "error_in_page"))
		return;
	reply->body.len /= 2;
	SIM_LITERAL(&reply->body, "{\"error\":\"unknown_error\",\"error_description\":"
				"\"For more on this error consult the server log.\"}");
}

static void
answer_list(SimRequest *request, SimReply *reply)
{
	const char *email = sim_request_param(request, "email");
	const char *exact = sim_request_param(request, "exact");
	SimIndexes	all = {0};
	SimIndexes	cut = {0};
	int64_t		first;
	int64_t		max;

	if (!check_params(request, reply) ||
		!read_number(request, "first", 0, &first, reply) ||
		!read_number(request, "max", DEFAULT_MAX, &max, reply))
		return;
	if ((email == NULL) != (exact == NULL) || (exact && strcmp(exact, "true") != 0))
	{
		refuse(reply, 501, "not simulated");
		return;
	}
	select_users(email, &all);
	for (int64_t i = first; i < first + max && i < (int64_t) all.n; i++)
		sim_indexes_add(&cut, all.item[i]);
	if (sim_fault_trick(request->fault, "ldap_trouble") || sim_fault_true(request->fault, "empty"))
		cut.n = 0;
	filter_users(request->fault, &cut);
	put_page(reply, &cut, request->fault);
	free(all.item);
	free(cut.item);
}

static void
answer_count(SimRequest *request, SimReply *reply)
{
	int64_t		uncounted = sim_setting_int("uncounted", 0, 0);
	SimIndexes	all = {0};
	int64_t		count;

	if (request->n_params > 0)
	{
		refuse(reply, 501, "not simulated");
		return;
	}
	select_users(NULL, &all);
	count = may_view() ? (int64_t) all.n - uncounted : 0;
	sim_buf_int(&reply->body, sim_fault_total(request->fault, count > 0 ? count : 0));
	free(all.item);
}

static void
answer_get(SimRequest *request, SimReply *reply, const char *id)
{
	SimUser		user;
	bool		found = sim_users_find_live(id, &user);

	if (request->n_params > 0)
		refuse(reply, 400, "unknown parameter");
	else if (found && sim_user_has_state(&user, "invalid"))
	{
		sim_users_delete(user.index);
		fail_with(404, reply);
	}
	else if (!found)
		fail_with(404, reply);
	else if (!may_view())
		fail_with(403, reply);
	else
		sim_users_put(&reply->body, &user);
}

/*
 * What is behind a prefix and the realm in a path, or NULL.  With another realm
 * *other is set.
 */
static const char *
behind_realm(const SimRequest *request, const char *prefix, bool *other)
{
	const char *realm = sim_setting_or("realm", "demo");
	const char *path = request->path;
	size_t		len = strlen(realm);

	*other = false;
	if (strncmp(path, prefix, strlen(prefix)) != 0)
		return NULL;
	path += strlen(prefix);
	*other = strncmp(path, realm, len) != 0 || path[len] != '/';
	return *other ? NULL : path + len;
}

/* The id in the path of a user, or NULL. */
static const char *
id_behind(const char *rest)
{
	return strncmp(rest, "/users/", 7) == 0 && rest[7] != '\0' && strchr(rest + 7, '/') == NULL &&
		strcmp(rest + 7, "count") != 0 && strcmp(rest + 7, "profile") != 0 ? rest + 7 : NULL;
}

static SimKind
classify(const SimRequest *request)
{
	bool		other;
	const char *rest = behind_realm(request, ADMIN, &other);

	if (strcmp(request->method, "GET") != 0 || rest == NULL)
		return SIM_OTHER;
	if (strcmp(rest, "/users") == 0)
		return SIM_LIST;
	if (strcmp(rest, "/users/count") == 0)
		return SIM_COUNT;
	return id_behind(rest) ? SIM_GET : SIM_OTHER;
}

static void
answer_token(SimRequest *request, SimReply *reply)
{
	const char *client = strcmp(sim_setting_or("realm", "demo"), "master") == 0 ? "master-realm" : "realm-management";
	const char *role = roles_are("manage") ? "\"manage-users\"," : may_view() ? "\"view-users\",\"query-groups\"," : "";
	SimBuf		claims = {0};

	sim_buf_printf(&claims, "{\"iss\":\"http://sim/realms/%s\",\"azp\":\"client\",\"typ\":\"Bearer\"", sim_setting_or("realm", "demo"));
	if (roles_are("admin"))
		SIM_LITERAL(&claims, ",\"realm_access\":{\"roles\":[\"offline_access\",\"admin\"]},\"resource_access\":{}");
	else if (roles_are("nothing"))
		SIM_LITERAL(&claims, ",\"resource_access\":{\"account\":{\"roles\":[\"view-profile\"]}}");
	else if (!roles_are("lightweight") && !roles_are("blind"))
		sim_buf_printf(&claims, ",\"resource_access\":{\"account\":{\"roles\":[\"view-profile\"]},"
					   "\"%s\":{\"roles\":[%s\"query-users\"]}}", client, role);
	SIM_LITERAL(&claims, "}");
	sim_buf_add(&claims, "", 1);
	sim_token_answer(request, reply, roles_are("opaque") ? NULL : claims.data);
	sim_buf_free(&claims);
}

/* A request of the admin API with a good token. */
static void
answer_admin(SimRequest *request, SimReply *reply, const char *rest)
{
	if (request->malformed)
		refuse(reply, 400, "malformed request target");
	else if (strcmp(request->method, "GET") != 0 || (request->kind == SIM_OTHER && strcmp(rest, "/users/profile") == 0))
		refuse(reply, 501, "not simulated");
	else if (request->kind == SIM_OTHER)
		refuse(reply, 404, "HTTP 404 Not Found");
	else if (roles_are("nothing"))
		fail_with(403, reply);
	else if (request->kind == SIM_LIST)
		answer_list(request, reply);
	else if (request->kind == SIM_COUNT)
		answer_count(request, reply);
	else
		answer_get(request, reply, id_behind(rest));
}

static void
answer(SimRequest *request, SimReply *reply)
{
	bool		other;
	const char *rest = behind_realm(request, REALMS, &other);

	reply->status = 200;
	reply->content_type = "application/json";
	if (other || sim_fault_trick(request->fault, "realm_gone"))
		refuse(reply, 404, rest || other ? "Realm does not exist" : "Realm not found.");
	else if (rest && strcmp(rest, TOKEN) == 0)
		answer_token(request, reply);
	else if (strncmp(request->path, ADMIN, strlen(ADMIN)) != 0)
		refuse(reply, 404, "HTTP 404 Not Found");
	else if (!sim_token_accepted(request))
	{
		fail_with(401, reply);
		reply->rejected = true;
	}
	else if ((rest = behind_realm(request, ADMIN, &other)) == NULL)
		refuse(reply, 404, "Realm not found.");
	else
		answer_admin(request, reply, rest);
}

static const char *const settings[] = {
	"realm", "roles", "uncounted", "token_seconds", "token_uses", NULL
};

const SimProvider sim_keycloak = {
	.name = "keycloak",
	.id_prefix = "",
	.id_form = SIM_ID_UUID,
	.classify = classify,
	.answer = answer,
	.failure = fail_with,
	.put_user = put_user,
	.changed = changed,
	.settings = settings
};
