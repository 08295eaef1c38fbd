/*-------------------------------------------------------------------------
 *
 * cognito_list.c
 *		ListUsers: pages of any length, in an order that means nothing.
 *
 * Users come by Username.  A PaginationToken says behind whom to go on, and is good
 * only with the parameters that it was given for.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "cognito.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define TOKEN_MAX 1024
#define FILTER_MAX 256

typedef struct List
{
	int64_t		limit;
	const char *filter;			/* or "" */
	char		email[FILTER_MAX + 1];	/* that it is for */
	int64_t		requests;		/* of the listing, before this one */
	char		after[SIM_ID_SIZE]; /* "" at the beginning */
} List;

/* A user who was created a while ago is in the list. */
typedef struct Late
{
	int64_t		index;
	int64_t		from;			/* that request for a list */
}			Late;

static Late * late;
static size_t n_late;
static int64_t n_lists;

void
sim_cognito_changed(const SimUser *user, SimEvent event)
{
	if (event != SIM_CREATED || sim_setting_int("lag", 0, 0) == 0)
		return;
	late = sim_realloc(late, (n_late + 1) * sizeof(Late));
	late[n_late++] = (Late)
	{
		user->index, n_lists + sim_setting_int("lag", 0, 0)
	};
}

static bool
is_late(int64_t index)
{
	for (size_t i = 0; i < n_late; i++)
		if (late[i].index == index && late[i].from >= n_lists)
			return true;
	return false;
}

/* ---- tokens ---- */

static uint64_t
parameters_of(const List *list)
{
	return sim_hash_text(sim_hash((uint64_t) list->limit, 34), list->filter);
}

static void
put_token(SimBuf *buf, const List *list, const char *after)
{
	char		text[TOKEN_MAX];
	int			len = snprintf(text, sizeof(text), "%016llx %lld %s",
							   (unsigned long long) parameters_of(list), (long long) list->requests + 1, after);

	SIM_LITERAL(buf, "\"CAIS");
	for (int i = 0; i < len; i++)
		sim_buf_printf(buf, "%02x", (unsigned char) text[i] ^ 0x5A);
	SIM_LITERAL(buf, "\"");
}

static bool
read_token(const char *token, List *list)
{
	char		text[TOKEN_MAX];
	size_t		len = 0;
	unsigned	byte;
	unsigned long long parameters;
	long long	requests;
	int			place = 0;

	if (strncmp(token, "CAIS", 4) != 0 || strlen(token) >= TOKEN_MAX)
		return false;
	for (token += 4; sscanf(token, "%2x", &byte) == 1 && token[1]; token += 2)
		text[len++] = (char) (byte ^ 0x5A);
	text[len] = '\0';
	if (*token || sscanf(text, "%16llx %lld %n", &parameters, &requests, &place) != 2 ||
		place == 0 || strlen(text + place) >= SIM_ID_SIZE || parameters != parameters_of(list))
		return false;
	list->requests = requests;
	strcpy(list->after, text + place);
	return true;
}

/* ---- parameters ---- */

static bool
read_number(const json_t *value, int64_t *limit, SimReply *reply)
{
	*limit = json_integer_value(value);
	if (!json_is_integer(value))
		return sim_cognito_refuse(reply, "SerializationException", "Limit is no integer");
	return (*limit >= 0 && *limit <= COGNITO_MAX_PAGE) ||
		sim_cognito_refuse(reply, "InvalidParameterException", "Limit must be from 0 to 60");
}

static bool
read_list(const json_t *body, List *list, SimReply *reply)
{
	const json_t *limit = json_object_get(body, "Limit");
	const json_t *filter = json_object_get(body, "Filter");
	const json_t *token = json_object_get(body, "PaginationToken");

	memset(list, 0, sizeof(*list));
	list->limit = COGNITO_MAX_PAGE;
	list->filter = filter ? json_string_value(filter) : "";
	if (json_object_get(body, "AttributesToGet"))
		return sim_cognito_refuse(reply, "InvalidParameterException", "Not all users have such an attribute");
	if (list->filter == NULL || (token && !json_is_string(token)))
		return sim_cognito_refuse(reply, "SerializationException", "A parameter is no string");
	if (limit && !read_number(limit, &list->limit, reply))
		return false;

	/* none at all is as many as there may be */
	if (list->limit == 0)
		list->limit = COGNITO_MAX_PAGE;
	return token == NULL || read_token(json_string_value(token), list) ||
		sim_cognito_refuse(reply, "InvalidParameterException", "The pagination token is invalid");
}

/*
 * Read a filter, an attribute and a value in quotation marks, where only that
 * attribute is simulated by which this project asks.
 */
static bool
read_filter(List *list, SimIndexes *found, SimReply *reply)
{
	static const char start[] = "email = \"";
	const char *value = list->filter + strlen(start);
	size_t		len;

	if (strlen(list->filter) > FILTER_MAX || strncmp(list->filter, start, strlen(start)) != 0)
		return sim_cognito_refuse(reply, "InvalidParameterException", "The filter is none that is simulated");
	len = strcspn(value, "\"\\");
	if (strcmp(value + len, "\"") != 0)
		return sim_cognito_refuse(reply, "InvalidParameterException", "The filter cannot be read");
	memcpy(list->email, value, len);
	list->email[len] = '\0';
	sim_users_find_email(list->email, found);
	return true;
}

/* Has the user the address that is looked for, as the one it has? */
static bool
passes(const SimUser *user, const List *list)
{
	SimPerson	person;
	const char *email;

	if (list->filter[0] == '\0' || user->raw)
		return true;
	sim_generate_person(user, &person);
	email = sim_cognito_email(&person);
	return email && (sim_setting_is("filter_case", "exact") ?
					 strcmp(email, list->email) : strcasecmp(email, list->email)) == 0;
}

/* ---- pages ---- */

/* How many users this page has room for; an empty one is where the listing stands. */
static int64_t
room(const List *list, const json_t *fault)
{
	int64_t		empty = sim_setting_int("empty", 0, 0);
	int64_t		room = sim_setting_int("short", 0, list->limit);

	if (sim_fault_trick(fault, "empty_page") || (empty > 0 && list->requests % empty == empty - 1))
		return 0;
	return room < list->limit ? room : list->limit;
}

/* Keep of all users, sorted by id, those of the page; true if there are more. */
static bool
cut_page(const List *list, const json_t *fault, SimPage *page, char last[SIM_ID_SIZE])
{
	int64_t		limit = room(list, fault);
	size_t		kept = 0;

	strcpy(last, list->after);
	for (size_t i = 0; i < page->users.n; i++)
	{
		int64_t		index = page->users.item[i];
		SimUser		user;
		char		id[SIM_ID_SIZE];

		sim_users_get(index, &user);
		sim_users_id(&user, id);
		if (strcmp(id, list->after) <= 0 || sim_fault_hides(fault, index) || is_late(index) ||
			!passes(&user, list))
			continue;
		if ((int64_t) kept == limit)
		{
			page->users.n = kept;
			return true;
		}
		page->users.item[kept++] = index;
		strcpy(last, id);
	}
	page->users.n = kept;

	/* it need not know that nobody follows */
	return limit > 0 && (int64_t) kept == limit && sim_setting_is("end", "empty");
}

static void
put_page(const List *list, const json_t *fault, SimPage *page, SimBuf *buf)
{
	char		last[SIM_ID_SIZE];
	bool		more = cut_page(list, fault, page, last);
	int64_t		keep = sim_fault_int(fault, "truncate_page", -1);

	if (keep >= 0 && (size_t) keep < page->users.n)
		page->users.n = (size_t) keep;
	if (sim_fault_true(fault, "empty"))
	{
		page->users.n = 0;
		more = false;
	}
	SIM_LITERAL(buf, "{\"Users\":");
	sim_query_put(buf, page);
	if (more || sim_fault_trick(fault, "same_token"))
	{
		List		same = *list;

		if (sim_fault_trick(fault, "same_token"))
		{
			same.requests = 0;
			strcpy(last, "~");
		}
		SIM_LITERAL(buf, ",\"PaginationToken\":");
		put_token(buf, &same, last);
	}
	SIM_LITERAL(buf, "}");
}

void
sim_cognito_answer_list(SimRequest *request, const json_t *body, SimReply *reply)
{
	SimIndexes	found = {0};
	SimPage		page = {0};
	SimQuery	query;
	List		list;

	n_lists++;
	sim_query_init(&query);
	query.by_id = true;
	if (read_list(body, &list, reply) &&
		(list.filter[0] == '\0' || read_filter(&list, &found, reply)))
	{
		if (list.filter[0])
			sim_query_narrow(&query, &found);
		sim_query_run(&query, NULL, &page);
		put_page(&list, request->fault, &page, &reply->body);
	}
	free(found.item);
	sim_query_free(&query, &page);
}
