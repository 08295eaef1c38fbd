/*-------------------------------------------------------------------------
 *
 * supabase.c
 *		The two reading routes of the admin API of Supabase Auth, strictly.
 *
 * As behind the gateway of a hosted project, under /auth/v1: it wants the key as
 * "apikey", too.  As there, the list has no order among users of the same time,
 * whoever was deleted softly stays in it, and Link names paths that only the server
 * behind the gateway knows.  Unlike the real one, unknown parameters are refused.
 *
 *	--set prefix=		as a server of one's own: no gateway, and this path
 *						before /admin/users
 *	--set ties=moving	users of the same time in another order in each list
 *	--set most=N		users that a page has at most, whatever was asked for
 *	--set role=ROLE		the key is of this role, such as anon
 *
 * Users have these states: "deleted" is a soft deletion; "banned"; "aud:NAME" is
 * another audience than "authenticated".
 *
 * Tricks of a fault:
 *
 *	ties			in this list, users of the same time have another order
 *	no_total		no X-Total-Count
 *	bad_total		one that is no number
 *	newest_first	the list in its default order
 *	no_audience		X-JWT-AUD is not heeded
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <strings.h>

#include "supabase.h"

#define DEFAULT_PER_PAGE 50
#define ROUTE "/admin/users"

static const char *const settings[] = {"prefix", "ties", "most", "role", NULL};

static const char *const list_params[] = {"page", "per_page", "sort", "filter"};

/* What a list request asks for. */
typedef struct Asked
{
	int64_t		page;
	int64_t		per_page;
	bool		descending;
	const char *sort;
	const char *filter;
	const char *audience;
} Asked;

static SimIndexes stateful;		/* users who have or had a state */
static int64_t n_lists;
static bool new_errors;			/* this request wants the form of 2024 */

static const char *
prefix(void)
{
	return sim_setting_or("prefix", "/auth/v1");
}

/* ---- errors ---- */

static void
error(SimReply *reply, int status, const char *code, const char *message)
{
	reply->status = status;
	reply->content_type = "application/json";
	reply->body.len = 0;
	if (new_errors)
		sim_buf_printf(&reply->body, "{\"code\":\"%s\",\"message\":", code);
	else
		sim_buf_printf(&reply->body, "{\"code\":%d,\"error_code\":\"%s\",\"msg\":",
					   status, code);
	sim_buf_string(&reply->body, message);
	if (status >= 500 && !new_errors)
		sim_buf_printf(&reply->body, ",\"error_id\":\"%08x-0000-4000-8000-000000000000\"",
					   (unsigned) n_lists);
	SIM_LITERAL(&reply->body, "}");
	sim_reply_header(reply, "X-Sb-Error-Code", code);
}

static bool
refuse(SimReply *reply, int status, const char *code, const char *message)
{
	error(reply, status, code, message);
	reply->rejected = true;
	return false;
}

/*
 * The gateway has errors of its own.
 */
static bool
refuse_at_gateway(SimReply *reply, int status, const char *message, const char *hint)
{
	reply->status = status;
	reply->content_type = "application/json; charset=utf-8";
	reply->rejected = true;
	SIM_LITERAL(&reply->body, "{\"message\":");
	sim_buf_string(&reply->body, message);
	sim_buf_optional(&reply->body, "hint", hint);
	SIM_LITERAL(&reply->body, "}");
	return false;
}

static void
fail_with(int status, SimReply *reply)
{
	switch (status)
	{
		case 400:
			error(reply, 400, "validation_failed", "Bad Pagination Parameters");
			break;
		case 401:
			error(reply, 401, "no_authorization", "This endpoint requires a Bearer token");
			break;
		case 403:
			error(reply, 403, "not_admin", "User not allowed");
			break;
		case 404:
			error(reply, 404, "user_not_found", "User not found");
			break;
		case 429:				/* without a Retry-After */
			error(reply, 429, "over_request_rate_limit", "Request rate limit reached");
			break;
		case 504:
			error(reply, 504, "request_timeout",
				  "Processing this request timed out, please retry after a moment.");
			break;
		default:
			if (status >= 400)
				error(reply, status, "unexpected_failure", "Database error finding users");
			break;
	}
}

/* ---- the list ---- */

static void
note_state(const SimUser *user, SimEvent event)
{
	(void) event;
	if (user->set & SIM_SET_STATE)
		sim_indexes_add_once(&stateful, user->index);
}

static bool
read_sort(const char *sort, Asked *asked, SimReply *reply)
{
	asked->descending = true;
	asked->sort = sort;
	if (sort == NULL || strcmp(sort, "created_at") == 0)
		return true;
	if (strncmp(sort, "created_at ", 11) != 0)
		return refuse(reply, 400, "validation_failed",
					  "Bad Sort Parameters: bad field for sort");
	asked->descending = strcasecmp(sort + 11, "desc") == 0;
	return asked->descending || strcasecmp(sort + 11, "asc") == 0 ||
		refuse(reply, 400, "validation_failed",
			   "Bad Sort Parameters: bad direction for sort, only 'asc' and 'desc' allowed");
}

static bool
read_asked(const SimRequest *request, Asked *asked, SimReply *reply)
{
	const char *page = sim_request_param(request, "page");
	const char *per_page = sim_request_param(request, "per_page");

	for (int i = 0; i < request->n_params; i++)
	{
		const char *name = request->params[i].name;

		if (strcmp(name, "limit") == 0 || strcmp(name, "cursor") == 0)
			return refuse(reply, 501, "not_simulated", "the list by cursor");
		if (!SIM_IS_ONE_OF(name, list_params))
			return refuse(reply, 400, "validation_failed", "Unknown parameter");
		for (int j = 0; j < i; j++)
			if (strcmp(name, request->params[j].name) == 0)
				return refuse(reply, 501, "not_simulated", "a parameter twice");
	}
	asked->page = 1;
	asked->per_page = DEFAULT_PER_PAGE;
	if ((page && !sim_parse_int(page, 1, INT32_MAX, &asked->page)) ||
		(per_page && !sim_parse_int(per_page, 1, INT32_MAX, &asked->per_page)))
		return refuse(reply, 400, "validation_failed", "Bad Pagination Parameters");
	asked->filter = sim_request_param(request, "filter");
	asked->audience = sim_request_header(request, "X-JWT-AUD");
	if (asked->audience == NULL || asked->audience[0] == '\0' ||
		sim_fault_trick(request->fault, "no_audience"))
		asked->audience = SUPABASE_AUDIENCE;
	return read_sort(sim_request_param(request, "sort"), asked, reply);
}

/*
 * Leave the users of one audience.  Most users are of the default one.
 */
static void
narrow_to_audience(SimQuery *query, const char *audience)
{
	bool		common = strcmp(audience, SUPABASE_AUDIENCE) == 0;
	SimIndexes	found = {0};

	for (size_t i = 0; i < stateful.n; i++)
	{
		SimUser		user;
		bool		its;

		if (!sim_users_get(stateful.item[i], &user))
			continue;
		its = strcmp(sim_supabase_audience(&user), audience) == 0;
		if (common && !its)
			sim_indexes_add(&query->exclude, user.index);
		if (!common && its)
			sim_indexes_add(&found, user.index);
	}
	sim_indexes_sort(&query->exclude);
	if (!common)
		sim_query_narrow(query, &found);
}

static void
narrow_to_filter(SimQuery *query, const char *filter)
{
	SimIndexes	found = {0};
	int64_t		end = sim_users_end();

	for (int64_t i = 0; i < end; i++)
	{
		SimUser		user;

		if (sim_users_get(i, &user) && !user.deleted &&
			sim_supabase_matches(&user, filter))
			sim_indexes_add(&found, i);
	}
	sim_query_narrow(query, &found);
}

/*
 * Give users of the same time another order than in any list before.
 */
static void
move_ties(SimIndexes *users)
{
	for (size_t i = 0; i < users->n; i++)
	{
		size_t		first = i;
		size_t		other;
		int64_t		swap = users->item[i];
		SimUser		one;
		SimUser		two;

		sim_users_get(users->item[i], &one);
		while (first > 0 && sim_users_get(users->item[first - 1], &two) &&
			   two.created == one.created)
			first--;
		other = first + (size_t) (sim_hash((uint64_t) (i + (size_t) n_lists * 1000), 17) % (i - first + 1));
		users->item[i] = users->item[other];
		users->item[other] = swap;
	}
}

/*
 * Only who sees all users can give those of a time another order.
 */
static void
run_moving(SimQuery *query, const json_t *fault, SimPage *page)
{
	int64_t		offset = query->offset;
	int64_t		limit = query->limit;
	size_t		kept = 0;

	query->offset = 0;
	query->limit = -1;
	sim_query_run(query, fault, page);
	move_ties(&page->users);
	for (int64_t i = offset; i < offset + limit && i < (int64_t) page->users.n; i++)
		page->users.item[kept++] = page->users.item[i];
	page->users.n = kept;
}

/*
 * Links for who knows them as paths of the server behind the gateway.
 */
static void
put_link(SimReply *reply, const Asked *asked, int64_t total)
{
	int64_t		pages = (total + asked->per_page - 1) / asked->per_page;
	int64_t		targets[] = {asked->page < pages ? asked->page + 1 : 0, pages};
	SimBuf		link = {0};

	for (int i = 0; i < 2; i++)
	{
		if (i == 0 && targets[i] == 0)
			continue;
		if (link.len > 0)
			SIM_LITERAL(&link, ", ");
		sim_buf_printf(&link, "<" ROUTE "?page=%lld&per_page=%lld%s>; rel=\"%s\"",
					   (long long) targets[i], (long long) asked->per_page,
					   asked->sort ? asked->descending ? "&sort=created_at+desc" : "&sort=created_at+asc" : "",
					   i == 0 ? "next" : "last");
	}
	sim_buf_add(&link, "", 1);
	sim_reply_header(reply, "Link", link.data);
	sim_buf_free(&link);
}

static void
put_total(SimReply *reply, int64_t total, const json_t *fault)
{
	char		text[32];

	snprintf(text, sizeof(text), "%lld", (long long) sim_fault_total(fault, total));
	if (!sim_fault_trick(fault, "no_total"))
		sim_reply_header(reply, "X-Total-Count", sim_fault_trick(fault, "bad_total") ? "many" : text);
}

static void
answer_list(SimRequest *request, SimReply *reply)
{
	const char *most = sim_setting("most");
	SimQuery	query;
	SimPage		page = {0};
	Asked		asked = {0};
	int64_t		limit;

	n_lists++;
	if (!read_asked(request, &asked, reply))
		return;
	limit = asked.per_page;
	if (most && atoll(most) < limit)
		limit = atoll(most);
	sim_query_init(&query);
	query.descending = asked.descending || sim_fault_trick(request->fault, "newest_first");
	query.offset = (asked.page - 1) * limit;
	query.limit = limit;
	narrow_to_audience(&query, asked.audience);
	if (asked.filter && asked.filter[0])
		narrow_to_filter(&query, asked.filter);
	if (sim_setting_is("ties", "moving") || sim_fault_trick(request->fault, "ties"))
		run_moving(&query, request->fault, &page);
	else
		sim_query_run(&query, request->fault, &page);
	SIM_LITERAL(&reply->body, "{\"users\":");
	sim_query_put(&reply->body, &page);
	SIM_LITERAL(&reply->body, ",\"aud\":");
	sim_buf_string(&reply->body, asked.audience);
	SIM_LITERAL(&reply->body, "}");
	put_link(reply, &asked, page.total);
	put_total(reply, page.total, request->fault);
	sim_query_free(&query, &page);
}

/* ---- one user ---- */

/*
 * The audience does not matter here.  GoTrue reads other forms of a UUID, too, but
 * none is asked for.
 */
static void
answer_get(SimRequest *request, SimReply *reply)
{
	const char *id = request->path + strlen(prefix()) + sizeof(ROUTE);
	SimUser		user;

	if (!sim_is_uuid(id))
	{
		refuse(reply, 404, "validation_failed", "user_id must be an UUID");
		return;
	}
	if (!sim_users_find_live(id, &user))
		error(reply, 404, "user_not_found", "User not found");
	else
	{
		sim_supabase_alone(true);
		sim_users_put(&reply->body, &user);
		sim_supabase_alone(false);
	}
}

/* ---- requests ---- */

static SimKind
classify(const SimRequest *request)
{
	size_t		len = strlen(prefix());
	const char *rest = request->path + len;

	if (strcmp(request->method, "GET") != 0 || strncmp(request->path, prefix(), len) != 0)
		return SIM_OTHER;
	if (strcmp(rest, ROUTE) == 0)
	{
		const char *per_page = sim_request_param(request, "per_page");

		/* nobody else asks for one user and no order */
		return per_page && strcmp(per_page, "1") == 0 && sim_request_param(request, "sort") == NULL ?
			SIM_COUNT : SIM_LIST;
	}
	if (strncmp(rest, ROUTE "/", sizeof(ROUTE)) == 0 && rest[sizeof(ROUTE)] != '\0')
		return SIM_GET;
	return SIM_OTHER;
}

static bool
check_key(const SimRequest *request, SimReply *reply)
{
	const char *key = sim_request_header(request, "apikey");
	const char *role = sim_setting("role");

	if (prefix()[0] != '\0' && key == NULL)
		return refuse_at_gateway(reply, 401, "No API key found in request",
								 "No `apikey` request header or url param was found.");
	if (prefix()[0] != '\0' && strcmp(key, sim_config.key) != 0)
		return refuse_at_gateway(reply, 401, "Invalid API key",
								 "Double check your Supabase `anon` or `service_role` API key.");
	if (sim_request_header(request, "Authorization") == NULL)
		return refuse(reply, 401, "no_authorization", "This endpoint requires a Bearer token");
	if (!sim_request_authorized(request))
		return refuse(reply, 403, "bad_jwt",
					  "invalid JWT: unable to parse or verify signature, signature is invalid");
	return role == NULL || strcmp(role, "service_role") == 0 ||
		refuse(reply, 403, "not_admin", "User not allowed");
}

static void
answer(SimRequest *request, SimReply *reply)
{
	const char *version = sim_request_header(request, "X-Supabase-Api-Version");

	new_errors = version && strcmp(version, "2024-01-01") == 0;
	reply->status = 200;
	reply->content_type = "application/json";
	if (strncmp(request->path, prefix(), strlen(prefix())) != 0)
		refuse_at_gateway(reply, 404, "no Route matched with those values", NULL);
	else if (!check_key(request, reply))
		return;
	else if (request->malformed)
		refuse(reply, 400, "validation_failed", "Invalid request target");
	else if (request->kind == SIM_LIST || request->kind == SIM_COUNT)
		answer_list(request, reply);
	else if (request->kind == SIM_GET)
		answer_get(request, reply);
	else
	{
		reply->status = 404;
		reply->content_type = "text/plain; charset=utf-8";
		reply->rejected = true;
		SIM_LITERAL(&reply->body, "404 page not found\n");
	}
}

const SimProvider sim_supabase = {
	.name = "supabase",
	.id_prefix = "",
	.id_form = SIM_ID_UUID,
	.classify = classify,
	.answer = answer,
	.failure = fail_with,
	.put_user = sim_supabase_put_user,
	.changed = note_state,
	.settings = settings
};
