/*-------------------------------------------------------------------------
 *
 * okta_list.c
 *		Okta's list of users: the filter, the page and the links.
 *
 * Of filters there is what Okta documents, without brackets: "eq" of a status,
 * id, login, e-mail address or name, and "eq gt ge lt le" of lastUpdated, joined
 * by "and" and "or".  A cursor holds where to go on and what it was made for.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "okta.h"

#define MAX_CONDITIONS 256
#define MAX_LIMIT 200

typedef enum Attribute
{
	ATTRIBUTE_ID,
	ATTRIBUTE_STATUS,
	ATTRIBUTE_UPDATED,
	ATTRIBUTE_LOGIN,
	ATTRIBUTE_EMAIL,
	ATTRIBUTE_FIRST,
	ATTRIBUTE_LAST
} Attribute;

/* by Attribute; case matters */
static const char *const attributes[] = {
	"id", "status", "lastUpdated", "profile.login", "profile.email",
	"profile.firstName", "profile.lastName"
};

/* All but the first are for times. */
static const char *const operators[] = {"eq", "gt", "ge", "lt", "le"};

typedef struct Condition
{
	Attribute	attribute;
	int			operator;
	char		text[SIM_OKTA_TEXT];
	int64_t		time;
	bool		or_before;		/* begins another part of an "or" */
} Condition;

typedef struct Filter
{
	Condition	conditions[MAX_CONDITIONS];
	int			n;
	bool		bare;			/* there is none */
} Filter;

static const char *const other_params[] = {
	"q", "search", "sortBy", "sortOrder"
};

static bool
invalid(SimReply *reply)
{
	return sim_okta_error(reply, 400, "E0000031", "Invalid search criteria.");
}

/* ---- the filter ---- */

static int
find_name(const char *name, size_t len, const char *const *names, size_t n,
		  bool any_case)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(names[i]) == len &&
			(any_case ? strncasecmp(name, names[i], len) : strncmp(name, names[i], len)) == 0)
			return (int) i;
	return -1;
}

static const char *
skip_spaces(const char *p)
{
	return p + strspn(p, " ");
}

/* Read a JSON string; NULL if there is none. */
static const char *
read_string(const char *p, char *text)
{
	const char *end = p;
	json_t	   *json;
	bool		fits;

	if (*p != '"')
		return NULL;
	for (end++; *end != '"'; end++)
		if (*end == '\0' || (*end == '\\' && *++end == '\0'))
			return NULL;
	json = json_loadb(p, (size_t) (end + 1 - p), JSON_DECODE_ANY, NULL);
	fits = json && json_string_length(json) < SIM_OKTA_TEXT;
	snprintf(text, SIM_OKTA_TEXT, "%s", fits ? json_string_value(json) : "");
	json_decref(json);
	return fits ? end + 1 : NULL;
}

static const char *
read_condition(const char *p, Condition *condition)
{
	size_t		len = strcspn(p, " ");
	int			attribute = find_name(p, len, attributes, sizeof(attributes) / sizeof(attributes[0]), false);
	int			operator;

	p = skip_spaces(p + len);
	len = strcspn(p, " ");
	operator = find_name(p, len, operators, sizeof(operators) / sizeof(operators[0]), true);
	if (attribute < 0 || operator < 0 || (operator > 0 && attribute != ATTRIBUTE_UPDATED))
		return NULL;
	condition->attribute = (Attribute) attribute;
	condition->operator = operator;
	p = read_string(skip_spaces(p + len), condition->text);
	if (p && attribute == ATTRIBUTE_UPDATED)
	{
		condition->time = sim_parse_iso(condition->text);
		if (strlen(condition->text) != 24 || condition->time == SIM_TIME_NONE)
			return NULL;
	}
	return p;
}

static bool
read_filter(const char *text, Filter *filter, SimReply *reply)
{
	const char *p = skip_spaces(text);

	if (strpbrk(p, "()") && strchr(p, '"') > strpbrk(p, "()"))
		return sim_okta_not_simulated(reply, "brackets in a filter");
	for (bool or_before = false;;)
	{
		Condition  *condition = &filter->conditions[filter->n];

		if (filter->n == MAX_CONDITIONS)
			return sim_okta_not_simulated(reply, "so long a filter");
		p = read_condition(p, condition);
		if (p == NULL)
			return invalid(reply);
		condition->or_before = or_before;
		filter->n++;
		p = skip_spaces(p);
		if (*p == '\0')
			return true;
		or_before = strncasecmp(p, "or ", 3) == 0;
		if (!or_before && strncasecmp(p, "and ", 4) != 0)
			return invalid(reply);
		p = skip_spaces(p + 3);
	}
}

static bool
holds(const Condition *condition, const SimOktaUser *seen)
{
	const char *const texts[] = {
		[ATTRIBUTE_ID] = seen->id,[ATTRIBUTE_STATUS] = seen->status,
		[ATTRIBUTE_UPDATED] = NULL,[ATTRIBUTE_LOGIN] = seen->login,
		[ATTRIBUTE_EMAIL] = seen->email,[ATTRIBUTE_FIRST] = seen->first,
		[ATTRIBUTE_LAST] = seen->last
	};
	int64_t		time = seen->updated;

	if (condition->attribute != ATTRIBUTE_UPDATED)
		return strcmp(texts[condition->attribute], condition->text) == 0;
	switch (condition->operator)
	{
		case 0:
			return time == condition->time;
		case 1:
			return time > condition->time;
		case 2:
			return time >= condition->time;
		case 3:
			return time < condition->time;
		default:
			return time <= condition->time;
	}
}

static bool
matches(const Filter *filter, const SimOktaUser *seen)
{
	bool		part = true;

	if (filter->bare)
		return strcmp(seen->status, "DEPROVISIONED") != 0;
	for (int i = 0; i < filter->n; i++)
	{
		if (filter->conditions[i].or_before)
		{
			if (part)
				return true;
			part = true;
		}
		part = part && holds(&filter->conditions[i], seen);
	}
	return part;
}

/* ---- the other parameters ---- */

/* What a cursor is made for: the filter and the limit. */
static uint64_t
purpose(const char *filter, int64_t limit)
{
	return sim_hash((uint64_t) limit, 17) ^ sim_hash_text(0, filter ? filter : "");
}

static bool
read_after(const char *text, const char *filter, int64_t limit, int64_t *from,
		   SimReply *reply)
{
	unsigned long long made_for;
	long long	index;
	char		end;

	if (sscanf(text, "%lld.%16llx%c", &index, &made_for, &end) != 2 || index < 0 ||
		made_for != purpose(filter, limit))
		return sim_okta_error(reply, 400, "E0000001", "Api validation failed: after");
	*from = index + 1;
	return true;
}

static bool
read_params(const SimRequest *request, Filter *filter, int64_t *limit,
			int64_t *from, SimReply *reply)
{
	const char *limit_text = sim_request_param(request, "limit");
	const char *filter_text = sim_request_param(request, "filter");
	const char *after = sim_request_param(request, "after");

	for (int i = 0; i < request->n_params; i++)
	{
		const char *name = request->params[i].name;

		if (SIM_IS_ONE_OF(name, other_params))
			return sim_okta_not_simulated(reply, name);
		if (sim_request_param(request, name) != request->params[i].value ||
			(strcmp(name, "limit") != 0 && strcmp(name, "filter") != 0 &&
			 strcmp(name, "after") != 0))
			return sim_okta_error(reply, 400, "E0000001", "Unknown parameter");
	}
	if (limit_text && !sim_parse_int(limit_text, 1, MAX_LIMIT, limit))
		return sim_okta_error(reply, 400, "E0000001", "Api validation failed: limit");
	filter->bare = filter_text == NULL;
	if (filter_text && !read_filter(filter_text, filter, reply))
		return false;
	return after == NULL || read_after(after, filter_text, *limit, from, reply);
}

/* ---- the page ---- */

/* Whether there is more behind the page; users are in order of index. */
static bool
fill_page(const Filter *filter, int64_t from, int64_t limit,
		  const json_t *fault, SimIndexes *users)
{
	int64_t		end = sim_fault_true(fault, "empty") ? 0 : sim_users_end();

	for (int64_t i = from; i < end; i++)
	{
		SimOktaUser seen;
		SimUser		user;

		if (!sim_users_get(i, &user) || user.deleted || sim_fault_hides(fault, i))
			continue;
		sim_okta_look(&user, &seen);
		if (!matches(filter, &seen))
			continue;
		if ((int64_t) users->n == limit)
			return true;
		sim_indexes_add(users, i);
	}
	return false;
}

/* ---- the links ---- */

/* Append as Okta does: a blank is "+". */
static void
put_encoded(SimBuf *buf, const char *text)
{
	for (; *text; text++)
	{
		if (isalnum((unsigned char) *text) || strchr("-_.~", *text))
			sim_buf_add(buf, text, 1);
		else if (*text == ' ')
			SIM_LITERAL(buf, "+");
		else
			sim_buf_printf(buf, "%%%02X", (unsigned char) *text);
	}
}

/* One link; index is that of the last user, or -1 in a link to the page itself. */
static void
put_link(SimBuf *buf, const SimRequest *request, int64_t index, int64_t limit)
{
	const json_t *fault = request->fault;
	const char *host = sim_request_header(request, "Host");
	const char *filter = sim_request_param(request, "filter");
	const char *after = sim_request_param(request, "after");
	bool		next = index >= 0;
	size_t		wide = sim_fault_trick(fault, "long_link") ? 9000 :
	sim_fault_trick(fault, "wide_link") ? 4500 : 0;

	if (next && sim_fault_trick(fault, "bare_link"))
		filter = NULL;
	SIM_LITERAL(buf, "<http://");
	sim_buf_text(buf, next && sim_fault_trick(fault, "foreign_link") ? "evil.example.com" : host ? host : "");
	if (next && sim_fault_trick(fault, "evil_link"))
		SIM_LITERAL(buf, ".evil.example.com");
	SIM_LITERAL(buf, "/api/v1/users?");
	if (next)
		sim_buf_printf(buf, "after=%lld.%016llx&", (long long) index,
					   (unsigned long long) purpose(filter, limit));
	else if (after)
		sim_buf_printf(buf, "after=%s&", after);
	sim_buf_printf(buf, "limit=%lld", (long long) limit);
	if (filter)
	{
		SIM_LITERAL(buf, "&filter=");
		put_encoded(buf, filter);
	}
	for (size_t i = 0; next && i < wide; i++)
		SIM_LITERAL(buf, "0");
	sim_buf_text(buf, ">; rel=");
	sim_buf_text(buf, next ? "\"next\"" : "\"self\"");
}

static void
add_link(json_t *links, SimBuf *buf)
{
	json_array_append_new(links, json_stringn(buf->data, buf->len));
	buf->len = 0;
}

/* The links in one line, in another way than usual. */
static json_t *
join_links(json_t *links)
{
	SimBuf		buf = {0};
	json_t	   *joined;

	for (size_t i = json_array_size(links); i > 0; i--)
	{
		sim_buf_text(&buf, json_string_value(json_array_get(links, i - 1)));
		if (i > 1)
			SIM_LITERAL(&buf, " ,");
	}
	joined = json_stringn(buf.data, buf.len);
	sim_buf_free(&buf);
	json_decref(links);
	return joined;
}

static void
put_link_headers(const SimRequest *request, SimReply *reply, int64_t last,
				 int64_t limit)
{
	const json_t *fault = request->fault;
	json_t	   *links = json_array();
	SimBuf		buf = {0};

	reply->headers = json_object();
	if (sim_fault_trick(fault, "lost_link"))
		json_array_append_new(links, json_string("</style.css>; rel=\"preload\""));
	else if (!sim_fault_trick(fault, "no_link"))
	{
		put_link(&buf, request, -1, limit);
		add_link(links, &buf);
		for (int i = 0; i < 2 && last >= 0; i++)
		{
			if (i == 0 ? sim_fault_trick(fault, "end_link") : !sim_fault_trick(fault, "twice_link"))
				continue;
			put_link(&buf, request, last, limit);
			add_link(links, &buf);
		}
	}
	if (sim_setting_is("links", "joined") && json_array_size(links) > 0)
		links = join_links(links);
	json_object_set_new(reply->headers, "Link", links);
	sim_buf_free(&buf);
}

void
sim_okta_list(SimRequest *request, SimReply *reply)
{
	static Filter filter;
	SimPage		page = {0};
	int64_t		limit = MAX_LIMIT;
	int64_t		from = 0;
	int64_t		keep = sim_fault_int(request->fault, "truncate_page", -1);
	bool		more;
	int64_t		last = -1;

	sim_okta_note_list();
	memset(&filter, 0, sizeof(filter));
	if (!read_params(request, &filter, &limit, &from, reply))
		return;
	more = fill_page(&filter, from, limit, request->fault, &page.users);
	if (more)
		last = page.users.item[page.users.n - 1];
	if (keep >= 0 && (size_t) keep < page.users.n)
		page.users.n = (size_t) keep;
	sim_query_put(&reply->body, &page);
	put_link_headers(request, reply, last, limit);
	free(page.users.item);
}
