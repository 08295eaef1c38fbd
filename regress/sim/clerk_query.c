/*-------------------------------------------------------------------------
 *
 * clerk_query.c
 *		The parameters of Clerk's list and count of users, strictly.
 *
 * An unknown parameter or a bad value is 422, one that Clerk knows but that is
 * not simulated is 501.  Where Clerk's behaviour is not documented, the comment
 * says what was chosen.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "clerk.h"

#define MAX_FILTER_VALUES 100

/* Pages that are remembered. */
#define N_PAGES 16384

/* The last user of a page, and what it was asked with. */
static struct
{
	int64_t		index;
	uint64_t	asked;
}			pages[N_PAGES];
static size_t n_pages;

typedef enum Support
{
	LIST_ONLY,					/* not allowed when counting */
	LIST_AND_COUNT,
	NOT_SIMULATED
} Support;

typedef bool (*ReadParam) (const char *value, SimQuery *query,
						   SimReply *reply);

static bool read_limit(const char *value, SimQuery *query, SimReply *reply);
static bool read_offset(const char *value, SimQuery *query, SimReply *reply);
static bool read_order(const char *value, SimQuery *query, SimReply *reply);
static bool read_before(const char *value, SimQuery *query, SimReply *reply);
static bool read_after(const char *value, SimQuery *query, SimReply *reply);

/* "read" is NULL where all values have to be seen together. */
static const struct
{
	const char *name;
	Support		support;
	ReadParam	read;
}			list_params[] = {
	{"limit", LIST_ONLY, read_limit},
	{"offset", LIST_ONLY, read_offset},
	{"order_by", LIST_ONLY, read_order},
	{"starting_after", LIST_ONLY, NULL},
	{"user_id", LIST_AND_COUNT, NULL},
	{"email_address", LIST_AND_COUNT, NULL},
	{"created_at_before", LIST_AND_COUNT, read_before},
	{"created_at_after", LIST_AND_COUNT, read_after},
	{"__clerk_api_version", LIST_AND_COUNT, NULL},
	{"phone_number", NOT_SIMULATED, NULL},
	{"username", NOT_SIMULATED, NULL},
	{"web3_wallet", NOT_SIMULATED, NULL},
	{"external_id", NOT_SIMULATED, NULL},
	{"organization_id", NOT_SIMULATED, NULL},
	{"query", NOT_SIMULATED, NULL},
	{"email_address_query", NOT_SIMULATED, NULL},
	{"phone_number_query", NOT_SIMULATED, NULL},
	{"username_query", NOT_SIMULATED, NULL},
	{"name_query", NOT_SIMULATED, NULL},
	{"banned", NOT_SIMULATED, NULL},
	{"last_active_at_before", NOT_SIMULATED, NULL},
	{"last_active_at_after", NOT_SIMULATED, NULL},
	{"last_active_at_since", NOT_SIMULATED, NULL},
	{"last_sign_in_at_before", NOT_SIMULATED, NULL},
	{"last_sign_in_at_after", NOT_SIMULATED, NULL},
	{"provider", NOT_SIMULATED, NULL},
	{"provider_user_id", NOT_SIMULATED, NULL}
};

static const char *const other_orders[] = {
	"email_address", "web3wallet", "first_name", "last_name", "phone_number",
	"username", "last_active_at", "last_sign_in_at"
};

static bool
read_limit(const char *value, SimQuery *query, SimReply *reply)
{
	return sim_parse_int(value, 1, 500, &query->limit) ||
		sim_clerk_invalid(reply, "limit", "must be an integer from 1 to 500.");
}

static bool
read_offset(const char *value, SimQuery *query, SimReply *reply)
{
	return sim_parse_int(value, 0, INT32_MAX, &query->offset) ||
		sim_clerk_invalid(reply, "offset", "must be an integer from 0.");
}

static bool
read_order(const char *value, SimQuery *query, SimReply *reply)
{
	const char *name = value + (*value == '+' || *value == '-');

	query->descending = *value == '-';
	if (strcmp(name, "created_at") == 0)
		query->order = SIM_BY_CREATED;
	else if (strcmp(name, "updated_at") == 0)
		query->order = SIM_BY_UPDATED;
	else if (SIM_IS_ONE_OF(name, other_orders))
		return sim_clerk_not_simulated(reply, "this order_by");
	else
		return sim_clerk_invalid(reply, "order_by",
								 "names no column to order by.");
	return true;
}

/* Whether the bounds are part of the window Clerk does not document. */
static bool
read_before(const char *value, SimQuery *query, SimReply *reply)
{
	int64_t		time;

	if (!sim_parse_int(value, INT64_MIN + 1, INT64_MAX, &time))
		return sim_clerk_invalid(reply, "created_at_before",
								 "must be an integer.");
	query->max[SIM_BY_CREATED] = sim_config.bounds_included ? time : time - 1;
	return true;
}

static bool
read_after(const char *value, SimQuery *query, SimReply *reply)
{
	int64_t		time;

	if (!sim_parse_int(value, INT64_MIN, INT64_MAX - 1, &time))
		return sim_clerk_invalid(reply, "created_at_after",
								 "must be an integer.");
	query->min[SIM_BY_CREATED] = sim_config.bounds_included ? time : time + 1;
	return true;
}

/*
 * A value with "-" in front excludes, one with "+" or nothing includes.
 */
static bool
read_user_ids(const SimRequest *request, SimQuery *query, SimReply *reply)
{
	SimIndexes	include = {0};
	bool		narrow = false;
	int			n = 0;

	for (int i = 0; i < request->n_params; i++)
	{
		const char *value = request->params[i].value;
		bool		exclude = *value == '-';
		int64_t		index;

		if (strcmp(request->params[i].name, "user_id") != 0)
			continue;
		n++;
		narrow |= !exclude;
		index = sim_users_find(value + (exclude || *value == '+'));
		if (index >= 0)
			sim_indexes_add(exclude ? &query->exclude : &include, index);
	}
	sim_indexes_sort(&query->exclude);
	if (narrow)
		sim_query_narrow(query, &include);
	free(include.item);
	return n <= MAX_FILTER_VALUES ||
		sim_clerk_invalid(reply, "user_id", "takes at most 100 values.");
}

static bool
read_emails(const SimRequest *request, SimQuery *query, SimReply *reply)
{
	SimIndexes	found = {0};
	int			n = 0;

	for (int i = 0; i < request->n_params; i++)
	{
		if (strcmp(request->params[i].name, "email_address") != 0)
			continue;
		if (++n > MAX_FILTER_VALUES)
			break;
		sim_users_find_email(request->params[i].value, &found);
	}
	if (n > 0)
		sim_query_narrow(query, &found);
	return n <= MAX_FILTER_VALUES ||
		sim_clerk_invalid(reply, "email_address", "takes at most 100 values.");
}

/* All parameters but the cursor, as a number. */
static uint64_t
asked_with(const SimRequest *request)
{
	uint64_t	hash = 0;

	for (int i = 0; i < request->n_params; i++)
	{
		if (strcmp(request->params[i].name, "starting_after") == 0)
			continue;
		hash = sim_hash_text(hash, request->params[i].name);
		hash = sim_hash_text(hash, "=");
		hash = sim_hash_text(hash, request->params[i].value);
		hash = sim_hash_text(hash, "&");
	}
	return hash;
}

void
sim_clerk_note_page(const SimRequest *request, const SimPage *page)
{
	if (page->users.n == 0)
		return;
	pages[n_pages % N_PAGES].index = page->users.item[page->users.n - 1];
	pages[n_pages % N_PAGES].asked = asked_with(request);
	n_pages++;
}

/*
 * With a cursor "all other parameters must stay identical".  That of no page that
 * is remembered may be anything.
 */
static bool
cursor_fits(const SimRequest *request, int64_t index)
{
	uint64_t	asked = asked_with(request);
	bool		ends_page = false;

	for (size_t i = 0; i < N_PAGES && i < n_pages; i++)
	{
		if (pages[i].index != index)
			continue;
		if (pages[i].asked == asked)
			return true;
		ends_page = true;
	}
	return !ends_page;
}

/*
 * A user deleted since still marks its place; Clerk does not document that.
 */
static bool
read_cursor(const SimRequest *request, SimQuery *query, SimReply *reply)
{
	const char *id = sim_request_param(request, "starting_after");
	int64_t		index;
	SimUser		user;

	if (id == NULL)
		return true;
	if (query->order != SIM_BY_CREATED)
		return sim_clerk_invalid(reply, "starting_after",
								 "needs the order of created_at.");
	if (query->offset > 0)
		return sim_clerk_invalid(reply, "starting_after",
								 "cannot be combined with an offset.");
	index = sim_users_find(id);
	if (index < 0 || !sim_users_get(index, &user))
		return sim_clerk_invalid(reply, "starting_after", "names no user.");
	if (!cursor_fits(request, index))
		return sim_clerk_invalid(reply, "starting_after",
								 "continues a list with other parameters.");
	query->after = true;
	query->after_time = user.created;
	query->after_index = index;
	return true;
}

static bool
read_param(const SimRequest *request, int number, SimQuery *query,
		   SimReply *reply)
{
	const SimParam *param = &request->params[number];
	bool		listing = request->kind == SIM_LIST;

	for (size_t i = 0; i < sizeof(list_params) / sizeof(list_params[0]); i++)
	{
		if (strcmp(param->name, list_params[i].name) != 0)
			continue;
		if (list_params[i].support == NOT_SIMULATED)
			return sim_clerk_not_simulated(reply, param->name);
		if (list_params[i].support == LIST_ONLY && !listing)
			break;

		/* only the first of several is honoured */
		if (list_params[i].read == NULL ||
			sim_request_param(request, param->name) != param->value)
			return true;
		return list_params[i].read(param->value, query, reply);
	}
	return sim_clerk_error(reply, 422, "form_param_unknown", "is unknown",
						   "%s is not a valid parameter for this request.",
						   param->name);
}

/*
 * Read the parameters of a list or count; false if the reply is an error.
 * The query is to be freed in either case.
 */
bool
sim_clerk_read_query(const SimRequest *request, SimQuery *query,
					 SimReply *reply)
{
	sim_query_init(query);
	query->limit = 10;
	query->descending = true;
	for (int i = 0; i < request->n_params; i++)
		if (!read_param(request, i, query, reply))
			return false;
	return read_user_ids(request, query, reply) &&
		read_emails(request, query, reply) &&
		read_cursor(request, query, reply);
}
