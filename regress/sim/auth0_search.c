/*-------------------------------------------------------------------------
 *
 * auth0_search.c
 *		The parameters of Auth0's list of users, and its search language.
 *
 * Of Lucene's query language, conditions joined by AND:
 *
 *	user_id:"a"  user_id:("a" OR "b")  email:"a"
 *	created_at:["2026-01-15T12:00:00.123Z" TO *}  and the same of updated_at, with
 *	[ or { in front and ] or } behind, times quoted or not
 *
 * A phrase in quotation marks has \ before any mark of its own.  What Auth0 knows and
 * this file does not is answered 501, anything else 400.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "auth0.h"

#define DEFAULT_PER_PAGE 50
#define MAX_PER_PAGE 100
#define MAX_SHOWN 1000
#define TIME_LEN 24				/* 2026-01-15T12:00:00.123Z */

static const char *const other_params[] = {
	"connection", "fields", "include_fields", "primary_order"
};

static const char *const other_fields[] = {
	"name", "given_name", "family_name", "nickname", "phone_number",
	"phone_verified", "logins_count", "last_login", "last_ip", "blocked",
	"email_verified", "email.domain", "organization_id", "identities.connection"
};

static bool
refuse(SimReply *reply, const char *message)
{
	return sim_auth0_error(reply, 400, "invalid_query_string", message);
}

/* ---- The search language */

static bool
skip(const char **p, const char *text)
{
	size_t		len = strlen(text);

	if (strncmp(*p, text, len) != 0)
		return false;
	*p += len;
	return true;
}

/*
 * A phrase in quotation marks, owned by the caller; NULL if there is none.
 */
static char *
read_phrase(const char **p)
{
	SimBuf		buf = {0};

	if (!skip(p, "\""))
		return NULL;
	for (; **p && **p != '"'; (*p)++)
	{
		if (**p == '\\' && *++(*p) == '\0')
			break;
		sim_buf_add(&buf, *p, 1);
	}
	if (!skip(p, "\""))
	{
		sim_buf_free(&buf);
		return NULL;
	}
	sim_buf_add(&buf, "", 1);
	return buf.data;
}

static bool
read_ids(const char **p, Auth0Search *search)
{
	bool		many = skip(p, "(");
	char	   *id;

	if (search->ids)
		return false;
	search->ids = json_array();
	do
	{
		id = read_phrase(p);
		if (id == NULL)
			return false;
		json_array_append_new(search->ids, json_string(id));
		free(id);
	} while (many && skip(p, " OR "));
	return !many || skip(p, ")");
}

static bool
read_email(const char **p, Auth0Search *search)
{
	if (search->email)
		return false;
	search->email = read_phrase(p);
	return search->email != NULL;
}

/* A time, or "otherwise" for a star. */
static bool
read_bound(const char **p, int64_t otherwise, int64_t *bound)
{
	bool		quoted = **p == '"';
	char		again[TIME_LEN + 1] = "";
	SimBuf		buf = {0};

	if (skip(p, "*"))
	{
		*bound = otherwise;
		return true;
	}
	*p += quoted;
	if (strlen(*p) < TIME_LEN)
		return false;
	memcpy(again, *p, TIME_LEN);
	*bound = sim_parse_iso(again);
	if (*bound == SIM_TIME_NONE)
		return false;

	/* nothing but a whole time in milliseconds reads as it is written */
	sim_buf_iso(&buf, *bound);
	sim_buf_add(&buf, "", 1);
	if (strcmp(buf.data, again) != 0)
		*bound = SIM_TIME_NONE;
	sim_buf_free(&buf);
	*p += TIME_LEN;
	return *bound != SIM_TIME_NONE && (!quoted || skip(p, "\""));
}

static bool
read_range(const char **p, SimOrder field, SimQuery *query)
{
	bool		open = **p == '{';
	int64_t		from;
	int64_t		to;

	if (query->min[field] != INT64_MIN || query->max[field] != INT64_MAX)
		return false;
	if ((!skip(p, "[") && !skip(p, "{")) || !read_bound(p, INT64_MIN, &from) ||
		!skip(p, " TO ") || !read_bound(p, INT64_MAX, &to))
		return false;
	if (from != INT64_MIN)
		query->min[field] = from + open;
	open = **p == '}';
	if (to != INT64_MAX)
		query->max[field] = to - open;
	return skip(p, "]") || skip(p, "}");
}

static bool
read_condition(const char **p, Auth0Search *search, SimReply *reply)
{
	size_t		len = strcspn(*p, ":");
	char	   *field = sim_memdup(*p, len);
	bool		known = SIM_IS_ONE_OF(field, other_fields);
	bool		read = false;

	*p += len + ((*p)[len] == ':');
	if (strcmp(field, "user_id") == 0)
		read = read_ids(p, search);
	else if (strcmp(field, "email") == 0)
		read = read_email(p, search);
	else if (strcmp(field, "created_at") == 0)
		read = read_range(p, SIM_BY_CREATED, &search->query);
	else if (strcmp(field, "updated_at") == 0)
		read = read_range(p, SIM_BY_UPDATED, &search->query);
	free(field);
	if (known)
		return sim_auth0_not_simulated(reply, "this field of a search");
	return read || refuse(reply, "Failed to parse query");
}

static bool
read_q(const char *q, Auth0Search *search, SimReply *reply)
{
	do
	{
		if (!read_condition(&q, search, reply))
			return false;
	} while (skip(&q, " AND "));
	return *q == '\0' || refuse(reply, "Failed to parse query");
}

/* ---- Parameters */

static bool
read_sort(const char *sort, Auth0Search *search, SimReply *reply)
{
	size_t		len = strcspn(sort, ":");
	char	   *field = sim_memdup(sort, len);
	bool		by_created = strcmp(field, "created_at") == 0;
	bool		by_updated = strcmp(field, "updated_at") == 0;
	bool		known = SIM_IS_ONE_OF(field, other_fields);

	free(field);
	search->query.descending = strcmp(sort + len, ":-1") == 0;
	if (!search->query.descending && strcmp(sort + len, ":1") != 0)
		return refuse(reply, "sort is a field and 1 or -1");
	if (known)
		return sim_auth0_not_simulated(reply, "this order");
	if (!by_created && !by_updated)
		return refuse(reply, "no such field to sort by");
	search->query.order = by_updated ? SIM_BY_UPDATED : SIM_BY_CREATED;
	return true;
}

static bool
read_paging(const char *name, const char *value, Auth0Search *search, SimReply *reply)
{
	bool		page = strcmp(name, "page") == 0;

	return sim_parse_int(value, 0, page ? INT32_MAX : MAX_PER_PAGE, page ? &search->page : &search->per_page) ||
		refuse(reply, page ? "Expected a page from 0" : "Expected per_page from 0 to 100");
}

static bool
read_param(const SimParam *param, Auth0Search *search, SimReply *reply)
{
	const char *name = param->name;
	const char *value = param->value;

	if (strcmp(name, "page") == 0 || strcmp(name, "per_page") == 0)
		return read_paging(name, value, search, reply);
	if (strcmp(name, "include_totals") == 0)
	{
		search->totals = strcmp(value, "true") == 0;
		return search->totals || strcmp(value, "false") == 0 || refuse(reply, "Expected a boolean");
	}
	if (strcmp(name, "search_engine") == 0)
		return strcmp(value, "v3") == 0 || refuse(reply, "You are not allowed to use this search_engine");
	if (strcmp(name, "sort") == 0)
		return read_sort(value, search, reply);
	if (strcmp(name, "q") == 0)
		return read_q(value, search, reply);
	return SIM_IS_ONE_OF(name, other_params) ? sim_auth0_not_simulated(reply, name) :
		refuse(reply, "Additional properties not allowed");
}

/* Who has one of the ids, or the address, as far as the directory knows. */
static void
narrow(Auth0Search *search)
{
	SimIndexes	found = {0};

	for (size_t i = 0; i < json_array_size(search->ids); i++)
	{
		int64_t		index = sim_users_find(json_string_value(json_array_get(search->ids, i)));

		if (index >= 0)
			sim_indexes_add(&found, index);
	}
	if (search->ids)
		sim_query_narrow(&search->query, &found);
	if (search->email == NULL)
		return;
	sim_users_find_email(search->email, &found);
	for (size_t i = found.n; i > 0; i--)
	{
		SimUser		user;
		SimPerson	person;
		const char *email;

		/* other addresses than the one that is shown are nobody's */
		sim_users_get(found.item[i - 1], &user);
		sim_generate_person(&user, &person);
		email = sim_auth0_email(&person);
		if (email == NULL || strcasecmp(email, search->email) != 0)
			found.item[i - 1] = found.item[--found.n];
	}
	sim_query_narrow(&search->query, &found);
}

bool
sim_auth0_read_search(const SimRequest *request, Auth0Search *search, SimReply *reply)
{
	memset(search, 0, sizeof(*search));
	search->per_page = DEFAULT_PER_PAGE;
	sim_query_init(&search->query);
	for (int i = 0; i < request->n_params; i++)
	{
		for (int j = 0; j < i; j++)
			if (strcmp(request->params[i].name, request->params[j].name) == 0)
				return refuse(reply, "a parameter stands twice");
		if (!read_param(&request->params[i], search, reply))
			return false;
	}
	if ((search->page + 1) * search->per_page > MAX_SHOWN)
		return sim_auth0_error(reply, 400, "invalid_paging", "You can only page through the first 1000 records");
	narrow(search);
	return true;
}

void
sim_auth0_free_search(Auth0Search *search)
{
	SimPage		none = {0};

	sim_query_free(&search->query, &none);
	json_decref(search->ids);
	free(search->email);
}
