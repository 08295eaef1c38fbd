/*-------------------------------------------------------------------------
 *
 * generic.c
 *		A user directory that a company has written for itself, strictly.
 *
 * There is no such API, so all that differs from one to the next is a setting.  A
 * parameter that is not known is refused, but with deaf=1.
 *
 *	--set paging=none|page|offset|cursor|link|url	(offset).  url: the next
 *						member has the URL of the next page
 *	--set page=NAME, size=NAME		names of the parameters
 *	--set first=0		number of the first page (1)
 *	--set data=NAME		member with the users (data); "bare": the reply is the array
 *	--set one=NAME		member with the single user; without it the reply is the user
 *	--set total=NAME	member with the number of users (total); "off": none
 *	--set next=NAME		member with the cursor (next)
 *	--set end=null|empty|absent		how it says that there is none (null)
 *	--set most=N		users that a page has at most, whatever was asked for
 *	--set default=N		users of a page, if none was asked for (10)
 *	--set order=created|newest|id
 *	--set ids=text|integer|uuid		and time=iso8601|s|ms
 *	--set nest=1		names, addresses and times within other members
 *	--set header=NAME	of the credential (Authorization); scheme=NAME|none (Bearer)
 *	--set error=code|nested|number|message	the body of errors (code)
 *	--set missing=N		status for a user who does not exist (404)
 *	--set deaf=1		parameters are not heeded but for email and updated_since;
 *						deaf=page: the number or offset alone is not
 *	--set also=KEY		another key that is accepted
 *	--set links=relative	URLs without a host; links=numbered: URLs, or
 *						cursors, that count pages
 *
 * A user whose state is "deleted" stays, with a time of deletion.
 *
 * Tricks of a fault: no_link, foreign_link, other_path_link, preload_link, bad_link,
 * no_total, no_data, same_next, junk_next, foreign_id, proxy (a 404 that is not the
 * directory's), wrong_code, empty_object.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "sim.h"

#define ROUTE "/users"

static const char *const settings[] = {
	"paging", "page", "size", "first", "data", "one", "total", "next", "end", "most", "default", "order", "ids",
	"time", "nest", "header", "scheme", "error", "missing", "deaf", "links", "also", NULL
};

/* What a list request asks for. */
typedef struct Asked
{
	int64_t		size;
	int64_t		number;			/* of the page, or the offset */
	const char *cursor;
} Asked;

static bool
has_paging(const char *paging)
{
	return strcmp(sim_setting_or("paging", "offset"), paging) == 0;
}

static const char *
page_name(void)
{
	return sim_setting_or("page", has_paging("page") || sim_setting_is("links", "numbered") ? "page" :
						  has_paging("offset") ? "offset" : "cursor");
}

static const char *
size_name(void)
{
	return sim_setting_or("size", "limit");
}

/* ---- errors ---- */

static void
error(SimReply *reply, int status, const char *code, const char *message)
{
	reply->status = status;
	reply->content_type = "application/json";
	reply->body.len = 0;
	if (sim_setting_is("error", "nested"))
		sim_buf_printf(&reply->body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}", code, message);
	else if (sim_setting_is("error", "number"))
		sim_buf_printf(&reply->body, "{\"code\":%d,\"message\":\"%s\"}",
					   strcmp(code, "user_not_found") == 0 ? 1404 : status, message);
	else if (sim_setting_is("error", "message"))
		sim_buf_printf(&reply->body, "{\"message\":\"%s\"}", message);
	else
		sim_buf_printf(&reply->body, "{\"code\":\"%s\",\"message\":\"%s\"}", code, message);
}

static bool
refuse(SimReply *reply, int status, const char *code, const char *message)
{
	error(reply, status, code, message);
	reply->rejected = true;
	return false;
}

static void
not_found(SimReply *reply)
{
	error(reply, atoi(sim_setting_or("missing", "404")), "user_not_found", "404 User Not Found");
}

static void
fail_with(int status, SimReply *reply)
{
	switch (status)
	{
		case 401:
			error(reply, 401, "unauthorized", "401 Unauthorized");
			break;
		case 403:
			error(reply, 403, "forbidden", "403 Forbidden");
			break;
		case 404:
			not_found(reply);
			break;
		case 429:
			error(reply, 429, "slow_down", "Too many requests");
			reply->headers = json_pack("{s:s}", "Retry-After", "1");
			break;
		default:
			error(reply, status, "internal", "The database is secret-host-7");
			break;
	}
}

/* ---- a user ---- */

static void
put_time(SimBuf *buf, const char *name, int64_t ms)
{
	sim_buf_printf(buf, ",\"%s\":", name);
	if (sim_setting_is("time", "ms"))
		sim_buf_int(buf, ms);
	else if (sim_setting_is("time", "s"))
		sim_buf_printf(buf, "%lld.%03d", (long long) (ms / 1000), (int) (ms % 1000));
	else
	{
		SIM_LITERAL(buf, "\"");
		sim_buf_iso(buf, ms);
		SIM_LITERAL(buf, "\"");
	}
}

static void
put_id(SimBuf *buf, const SimUser *user)
{
	char		id[SIM_ID_SIZE];

	sim_users_id(user, id);
	if (sim_setting_is("ids", "integer"))
		sim_buf_text(buf, id);
	else
		sim_buf_string(buf, id);
}

static void
put_user(SimBuf *buf, const SimUser *user)
{
	bool		nested = sim_setting_is("nest", "1");
	bool		deleted = sim_user_has_state(user, "deleted");
	SimPerson	person;

	sim_generate_person(user, &person);
	SIM_LITERAL(buf, "{\"id\":");
	put_id(buf, user);
	sim_buf_text(buf, nested ? ",\"profile\":{\"first_name\":" : ",\"first_name\":");
	sim_buf_string(buf, person.first);
	SIM_LITERAL(buf, ",\"last_name\":");
	sim_buf_string(buf, person.last);
	SIM_LITERAL(buf, ",\"email\":");
	sim_buf_string(buf, person.n_emails > 0 ? person.emails[0] : NULL);
	if (nested)
		SIM_LITERAL(buf, "},\"audit\":{\"by\":\"hr\"");
	put_time(buf, "created_at", user->created);
	put_time(buf, "updated_at", user->updated);
	if (deleted)
		put_time(buf, "deleted_at", user->updated);
	else
		SIM_LITERAL(buf, ",\"deleted_at\":null");
	sim_buf_text(buf, nested ? "}" : "");
	sim_buf_printf(buf, ",\"department\":\"d%d\",\"password_hash\":\"$2b$10$secret%d\",\"mfaSecret\":\"secret\"}",
				   (int) (person.hash % 7), (int) (person.hash % 1000));
}

/* ---- parameters ---- */

static bool
is_known(const char *name)
{
	if (strcmp(name, "email") == 0 || strcmp(name, "updated_since") == 0 || strcmp(name, "status") == 0)
		return true;
	return !has_paging("none") && (strcmp(name, page_name()) == 0 || strcmp(name, size_name()) == 0);
}

static bool
read_asked(const SimRequest *request, Asked *asked, SimReply *reply)
{
	const char *number = sim_request_param(request, page_name());
	const char *size = sim_request_param(request, size_name());
	int64_t		most = atoll(sim_setting_or("most", "0"));
	bool		deaf = sim_setting_is("deaf", "1");

	for (int i = 0; i < request->n_params; i++)
	{
		if (!deaf && !is_known(request->params[i].name))
			return refuse(reply, 400, "bad_parameter", "Unknown parameter");
		for (int j = 0; j < i; j++)
			if (strcmp(request->params[i].name, request->params[j].name) == 0)
				return refuse(reply, 400, "bad_parameter", "A parameter twice");
	}
	asked->number = strcmp(page_name(), "offset") == 0 || has_paging("offset") ? 0 : atoi(sim_setting_or("first", "1"));
	asked->size = has_paging("none") ? -1 : atoll(sim_setting_or("default", "10"));
	if (deaf || has_paging("none"))
		return true;
	if (size && !sim_parse_int(size, 1, INT32_MAX, &asked->size))
		return refuse(reply, 400, "bad_parameter", "Invalid size");
	if (most > 0 && asked->size > most)
		asked->size = most;
	if (!has_paging("offset") && !has_paging("page") && !sim_setting_is("links", "numbered"))
		asked->cursor = number;
	else if (number && !sim_setting_is("deaf", "page") && !sim_parse_int(number, asked->number, INT32_MAX, &asked->number))
		return refuse(reply, 400, "bad_parameter", "Invalid page");
	return true;
}

static bool
read_filters(const SimRequest *request, SimQuery *query, SimReply *reply)
{
	const char *email = sim_request_param(request, "email");
	const char *since = sim_request_param(request, "updated_since");
	bool		text = !sim_setting_is("time", "s") && !sim_setting_is("time", "ms");
	int64_t		time;

	if (email)
	{
		SimIndexes	found = {0};

		sim_users_find_email(email, &found);
		sim_query_narrow(query, &found);
	}
	if (since == NULL)
		return true;
	if (text)
		time = sim_parse_iso(since);
	else if (!sim_parse_int(since, 0, INT64_MAX / 1000, &time))
		time = SIM_TIME_NONE;
	if (time == SIM_TIME_NONE)
		return refuse(reply, 400, "bad_parameter", "Invalid time");
	query->min[SIM_BY_UPDATED] = sim_setting_is("time", "s") ? time * 1000 : time;
	return true;
}

/* ---- the list ---- */

static void
put_encoded(SimBuf *buf, const char *text)
{
	for (; *text; text++)
		sim_buf_printf(buf, strchr("&=#%+ @", *text) ? "%%%02X" : "%c", (unsigned char) *text);
}

static bool
is_numbered(void)
{
	return has_paging("page") || sim_setting_is("links", "numbered");
}

/* The URL of the first page, or of the one behind a user. */
static void
put_url(SimBuf *buf, const SimRequest *request, const SimPage *after, const Asked *asked)
{
	SimUser		last;

	const char *host = sim_request_header(request, "Host");
	const char *filters[] = {"email", "updated_since", "status"};

	if (sim_fault_trick(request->fault, "foreign_link"))
		host = "evil.example.com";
	if (!sim_setting_is("links", "relative"))
		sim_buf_printf(buf, "http://%s", host ? host : "");
	sim_buf_printf(buf, "%s?%s=%lld", sim_fault_trick(request->fault, "other_path_link") ? "/elsewhere" : ROUTE,
				   size_name(), (long long) asked->size);
	if (after && is_numbered())
		sim_buf_printf(buf, "&%s=%lld", page_name(), (long long) asked->number + 1);
	else if (after)
	{
		sim_users_get(after->users.item[after->users.n - 1], &last);
		sim_buf_printf(buf, "&%s=%lld/%lld", page_name(), (long long) last.created, (long long) last.index);
	}
	for (size_t i = 0; i < 3; i++)
	{
		const char *value = sim_request_param(request, filters[i]);

		if (value == NULL)
			continue;
		sim_buf_printf(buf, "&%s=", filters[i]);
		put_encoded(buf, value);
	}
}

static void
put_link(SimReply *reply, const SimRequest *request, const Asked *asked, const SimPage *page, bool more)
{
	SimBuf		link = {0};

	if (sim_fault_trick(request->fault, "no_link"))
		return;
	if (sim_fault_trick(request->fault, "preload_link"))
	{
		sim_reply_header(reply, "Link", "</style.css>; rel=preload; as=style");
		return;
	}
	if (more)
	{
		SIM_LITERAL(&link, "<");
		put_url(&link, request, page, asked);
		sim_buf_text(&link, sim_fault_trick(request->fault, "bad_link") ? "; rel=\"next\", " : ">; rel=\"next\", ");
	}
	SIM_LITERAL(&link, "<");
	put_url(&link, request, NULL, asked);
	SIM_LITERAL(&link, ">; rel=\"first\"");
	sim_buf_add(&link, "", 1);
	sim_reply_header(reply, "Link", link.data);
	sim_buf_free(&link);
}

/* The cursor of what comes next, in the body. */
static void
put_next(SimReply *reply, const SimRequest *request, const Asked *asked, const SimPage *page, bool more)
{
	const char *name = sim_setting_or("next", "next");
	SimUser		last;

	sim_buf_text(&reply->body, asked->cursor ? ",\"prev\":\"0/0\"" : ",\"prev\":null");
	if (!more && sim_setting_is("end", "absent"))
		return;
	sim_buf_printf(&reply->body, ",\"%s\":", name);
	if (sim_fault_trick(request->fault, "junk_next"))
		SIM_LITERAL(&reply->body, "{\"page\":2}");
	else if (sim_fault_trick(request->fault, "same_next"))
		SIM_LITERAL(&reply->body, "\"0/0\"");
	else if (!more)
		sim_buf_text(&reply->body, sim_setting_is("end", "empty") ? "\"\"" : "null");
	else if (has_paging("url"))
	{
		SIM_LITERAL(&reply->body, "\"");
		put_url(&reply->body, request, page, asked);
		SIM_LITERAL(&reply->body, "\"");
	}
	else if (is_numbered())
		sim_buf_int(&reply->body, asked->number + 1);
	else
	{
		sim_users_get(page->users.item[page->users.n - 1], &last);
		sim_buf_printf(&reply->body, "\"%lld/%lld\"", (long long) last.created, (long long) last.index);
	}
}

/* Where the page begins; the next row tells whether there is more. */
static bool
aim(const Asked *asked, SimQuery *query, SimReply *reply)
{
	long long	time;
	long long	index;

	query->by_id = sim_setting_is("order", "id");
	query->descending = sim_setting_is("order", "newest");
	query->limit = asked->size < 0 ? -1 : asked->size + 1;
	if (has_paging("offset"))
		query->offset = asked->number;
	else if (is_numbered())
		query->offset = (asked->number - atoi(sim_setting_or("first", "1"))) * asked->size;
	if (asked->cursor == NULL)
		return true;
	if (sscanf(asked->cursor, "%lld/%lld", &time, &index) != 2)
		return refuse(reply, 400, "bad_parameter", "Invalid cursor");
	query->after = true;
	query->after_time = time;
	query->after_index = index;
	return true;
}

static void
put_page(SimRequest *request, SimReply *reply, const Asked *asked, SimPage *page, SimPage *whole)
{
	const char *data = sim_setting_or("data", "data");
	const char *total = sim_setting_or("total", "total");
	bool		bare = strcmp(data, "bare") == 0;
	bool		more = asked->size >= 0 && (int64_t) whole->users.n > asked->size;

	if (asked->size >= 0 && (int64_t) page->users.n > asked->size)
		page->users.n = (size_t) asked->size;
	if (more)
		whole->users.n = (size_t) asked->size;
	if (!bare)
		sim_buf_printf(&reply->body, "{\"%s\":", sim_fault_trick(request->fault, "no_data") ? "nothing" : data);
	sim_query_put(&reply->body, page);
	if (!bare && strcmp(total, "off") != 0 && !sim_fault_trick(request->fault, "no_total"))
		sim_buf_printf(&reply->body, ",\"%s\":%lld", total, (long long) sim_fault_total(request->fault, page->total));
	if (!bare && (has_paging("cursor") || has_paging("url")))
		put_next(reply, request, asked, whole, more);
	if (!bare)
		SIM_LITERAL(&reply->body, "}");
	if (has_paging("link"))
		put_link(reply, request, asked, whole, more);
}

static void
answer_list(SimRequest *request, SimReply *reply)
{
	SimQuery	query;
	SimPage		page = {0};
	SimPage		whole = {0};
	Asked		asked = {0};

	sim_query_init(&query);
	if (read_asked(request, &asked, reply) && read_filters(request, &query, reply) && aim(&asked, &query, reply))
	{
		/* where it goes on is not changed by what a fault takes off the page */
		sim_query_run(&query, NULL, &whole);
		sim_query_run(&query, request->fault, &page);
		put_page(request, reply, &asked, &page, &whole);
		free(whole.users.item);
	}
	sim_query_free(&query, &page);
}

/* ---- one user ---- */

static void
answer_get(SimRequest *request, SimReply *reply)
{
	const char *id = request->path + sizeof(ROUTE);
	const char *one = sim_setting("one");
	SimUser		user;

	if (sim_fault_trick(request->fault, "proxy"))
	{
		reply->status = 404;
		reply->content_type = "text/html";
		SIM_LITERAL(&reply->body, "<html>404 Not Found</html>");
	}
	else if (sim_fault_trick(request->fault, "wrong_code"))
		error(reply, atoi(sim_setting_or("missing", "404")), "route_not_found", "404 Route Not Found");
	else if (sim_fault_trick(request->fault, "empty_object"))
		SIM_LITERAL(&reply->body, "{}");
	else if (sim_fault_trick(request->fault, "foreign_id") ? !sim_users_get(0, &user) : !sim_users_find_live(id, &user))
		not_found(reply);
	else
	{
		if (one)
			sim_buf_printf(&reply->body, "{\"%s\":", one);
		sim_users_put(&reply->body, &user);
		if (one)
			SIM_LITERAL(&reply->body, "}");
	}
}

/* ---- requests ---- */

static SimKind
classify(const SimRequest *request)
{
	if (strcmp(request->method, "GET") != 0)
		return SIM_OTHER;
	if (strcmp(request->path, ROUTE) == 0)
	{
		const char *size = sim_request_param(request, size_name());
		const char *number = sim_request_param(request, page_name());

		/*
		 * of one user a page is never asked for but to count, on the first
		 * page
		 */
		return size && strcmp(size, "1") == 0 &&
			(number == NULL || strcmp(number, has_paging("offset") ? "0" : sim_setting_or("first", "1")) == 0) ?
			SIM_COUNT : SIM_LIST;
	}
	if (strncmp(request->path, ROUTE "/", sizeof(ROUTE)) == 0 && request->path[sizeof(ROUTE)] != '\0')
		return SIM_GET;
	return SIM_OTHER;
}

static bool
is_authorized(const SimRequest *request)
{
	const char *given = sim_request_header(request, sim_setting_or("header", "Authorization"));
	const char *scheme = sim_setting_or("scheme", "Bearer");
	size_t		len = strlen(scheme);

	if (given == NULL)
		return false;
	if (strcmp(scheme, "none") != 0)
	{
		if (strncmp(given, scheme, len) != 0 || given[len] != ' ')
			return false;
		given += len + 1;
	}
	return strcmp(given, sim_config.key) == 0 || sim_setting_is("also", given);
}

static void
answer(SimRequest *request, SimReply *reply)
{
	reply->status = 200;
	reply->content_type = "application/json";
	if (!is_authorized(request))
		refuse(reply, 401, "unauthorized", "401 Unauthorized");
	else if (request->malformed)
		refuse(reply, 400, "bad_parameter", "Invalid request target");
	else if (request->kind == SIM_LIST || request->kind == SIM_COUNT)
		answer_list(request, reply);
	else if (request->kind == SIM_GET)
		answer_get(request, reply);
	else
		refuse(reply, 404, "route_not_found", "404 Route Not Found");
}

const SimProvider sim_generic = {
	.name = "generic",
	.id_prefix = "u_",
	.id_digits = 20,
	.classify = classify,
	.answer = answer,
	.failure = fail_with,
	.put_user = put_user,
	.settings = settings
};
