/*-------------------------------------------------------------------------
 *
 * fault.c
 *		Faults in the queue, and the replies they put in place of real ones.
 *
 * A fault is the JSON object that was posted; whoever acts on a member reads
 * it there.  Only the oldest due fault hits a request, so an array of faults is
 * a script.  What the members mean is told at the head of main.c.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "sim.h"

typedef struct Fault
{
	json_t	   *spec;
	int			match;			/* SimKind, or -1 for any */
	int64_t		after;			/* matching requests still to let pass */
	int64_t		times;			/* hits left, -1 for no end */
	struct Fault *next;
} Fault;

typedef enum ValueType
{
	IS_INTEGER,
	IS_STRING,
	IS_TRUE_FALSE,
	IS_OBJECT,
	IS_INTEGERS					/* one or an array */
} ValueType;

static const struct
{
	const char *name;
	ValueType	type;
}			members[] = {
	{"match", IS_STRING},
	{"after", IS_INTEGER},
	{"times", IS_INTEGER},
	{"status", IS_INTEGER},
	{"body", IS_STRING},
	{"body_repeat", IS_INTEGER},
	{"content_type", IS_STRING},
	{"headers", IS_OBJECT},
	{"latency_ms", IS_INTEGER},
	{"cut", IS_INTEGER},
	{"chunked", IS_TRUE_FALSE},
	{"drip_ms", IS_INTEGER},
	{"hang", IS_TRUE_FALSE},
	{"redirect", IS_STRING},
	{"mutate", IS_OBJECT},
	{"hide_index", IS_INTEGERS},
	{"truncate_page", IS_INTEGER},
	{"empty", IS_TRUE_FALSE},
	{"repeat_page", IS_TRUE_FALSE},
	{"ignore_order", IS_TRUE_FALSE},
	{"add_total", IS_INTEGER},
	{"swallow", IS_TRUE_FALSE},
	{"trick", IS_STRING}
};

/* by SimKind */
static const char *const kind_names[] = {"list", "count", "get", "other"};

static Fault *faults;

static bool
has_type(const json_t *value, ValueType type)
{
	switch (type)
	{
		case IS_INTEGER:
			return json_is_integer(value);
		case IS_STRING:
			return json_is_string(value);
		case IS_TRUE_FALSE:
			return json_is_boolean(value);
		case IS_OBJECT:
			return json_is_object(value);
		case IS_INTEGERS:
			break;
	}
	for (size_t i = 0; i < json_array_size(value); i++)
		if (!json_is_integer(json_array_get(value, i)))
			return false;
	return json_is_integer(value) || json_is_array(value);
}

static const char *
check_member(const char *name, const json_t *value)
{
	const char *text;
	const json_t *header;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
	{
		if (strcmp(name, members[i].name) != 0)
			continue;
		if (!has_type(value, members[i].type))
			return "a member of the fault has the wrong type";
		if (strcmp(name, "mutate") == 0)
			return sim_mutate(value, true);
		if (strcmp(name, "headers") == 0)
		{
			json_object_foreach((json_t *) value, text, header)
				if (!json_is_string(header))
				return "a header of the fault is not a string";
		}
		return NULL;
	}
	return "the fault has an unknown member";
}

static bool
find_match(const char *name, int *match)
{
	*match = -1;
	if (name == NULL || strcmp(name, "any") == 0)
		return true;
	for (int kind = SIM_LIST; kind <= SIM_OTHER; kind++)
		if (strcmp(name, kind_names[kind]) == 0)
			*match = kind;
	return *match >= 0;
}

static const char *
add_one(json_t *spec)
{
	Fault	  **end = &faults;
	Fault	   *fault;
	const char *name;
	const char *wrong;
	json_t	   *value;
	int			match;

	if (!json_is_object(spec))
		return "a fault must be a JSON object";
	json_object_foreach(spec, name, value)
	{
		wrong = check_member(name, value);
		if (wrong)
			return wrong;
	}
	if (!find_match(json_string_value(json_object_get(spec, "match")), &match))
		return "\"match\" must be list, count, get, other or any";

	fault = sim_alloc(sizeof(*fault));
	fault->spec = json_incref(spec);
	fault->match = match;
	fault->after = sim_fault_int(spec, "after", 0);
	fault->times = sim_fault_int(spec, "times", 1);
	while (*end)
		end = &(*end)->next;
	*end = fault;
	return NULL;
}

/*
 * Queue a fault or an array of them; returns what is wrong with it, or NULL.
 */
const char *
sim_fault_add(json_t *spec)
{
	const char *wrong = NULL;

	if (!json_is_array(spec))
		return add_one(spec);
	for (size_t i = 0; i < json_array_size(spec) && wrong == NULL; i++)
		wrong = add_one(json_array_get(spec, i));
	return wrong;
}

static void
remove_fault(Fault **link)
{
	Fault	   *fault = *link;

	*link = fault->next;
	json_decref(fault->spec);
	free(fault);
}

void
sim_fault_clear(void)
{
	while (faults)
		remove_fault(&faults);
}

/*
 * The fault that hits the request now beginning, as a reference to release.
 * All matching faults count the request; the oldest one that is due is used.
 */
json_t *
sim_fault_take(SimKind kind)
{
	json_t	   *hit = NULL;
	Fault	  **link = &faults;

	while (*link)
	{
		Fault	   *fault = *link;

		if (fault->match < 0 || fault->match == (int) kind)
		{
			if (fault->after > 0)
				fault->after--;
			else if (hit == NULL && fault->times != 0)
			{
				hit = json_incref(fault->spec);
				sim_stats.faults++;
				if (fault->times > 0)
					fault->times--;
			}
		}
		if (fault->times == 0)
			remove_fault(link);
		else
			link = &fault->next;
	}
	return hit;
}

int64_t
sim_fault_int(const json_t *fault, const char *name, int64_t otherwise)
{
	const json_t *value = json_object_get(fault, name);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool
sim_fault_true(const json_t *fault, const char *name)
{
	return json_is_true(json_object_get(fault, name));
}

/*
 * Is it this trick, which only the profile knows?
 */
bool
sim_fault_trick(const json_t *fault, const char *name)
{
	const char *trick = json_string_value(json_object_get(fault, "trick"));

	return trick && strcmp(trick, name) == 0;
}

/*
 * Add to a list whom the fault leaves out of listings.
 */
void
sim_fault_add_hidden(const json_t *fault, SimIndexes *hidden)
{
	const json_t *value = json_object_get(fault, "hide_index");

	if (json_is_integer(value))
		sim_indexes_add(hidden, json_integer_value(value));
	for (size_t i = 0; i < json_array_size(value); i++)
		sim_indexes_add(hidden, json_integer_value(json_array_get(value, i)));
}

/*
 * Is this one of them?
 */
bool
sim_fault_hides(const json_t *fault, int64_t index)
{
	const json_t *value = json_object_get(fault, "hide_index");

	for (size_t i = 0; i < json_array_size(value); i++)
		if (json_integer_value(json_array_get(value, i)) == index)
			return true;
	return json_is_integer(value) && json_integer_value(value) == index;
}

/*
 * The number of users to tell, which a fault may make wrong.
 */
int64_t
sim_fault_total(const json_t *fault, int64_t total)
{
	int64_t		add = sim_fault_int(fault, "add_total", 0);

	if (add > INT64_MAX - total)
		return INT64_MAX;
	return total + add > 0 ? total + add : 0;
}

static const char *
get_text(const json_t *fault, const char *name)
{
	return json_string_value(json_object_get(fault, name));
}

/*
 * Does the fault answer by itself, so that the provider is not asked?
 */
bool
sim_fault_replaces(const json_t *fault)
{
	return json_object_get(fault, "status") || json_object_get(fault, "body") ||
		json_object_get(fault, "redirect");
}

/*
 * Apply to a reply what the fault says about it.  If the fault replaces the
 * reply, the one given is still empty.
 */
void
sim_fault_reply(const json_t *fault, SimReply *reply)
{
	const json_t *body = json_object_get(fault, "body");
	const char *redirect = get_text(fault, "redirect");
	const char *type = get_text(fault, "content_type");
	json_t	   *headers = json_object_get(fault, "headers");

	if (sim_fault_replaces(fault))
	{
		reply->status = (int) sim_fault_int(fault, "status",
											redirect ? 302 : 200);
		if (body)
		{
			reply->content_type = "application/json";
			sim_buf_add(&reply->body, json_string_value(body),
						json_string_length(body));
		}
		else
			sim_config.provider->failure(reply->status, reply);
	}
	if (type)
		reply->content_type = type;
	if (headers)
	{
		json_decref(reply->headers);
		reply->headers = json_copy(headers);
	}
	if (redirect)
		sim_reply_header(reply, "Location", redirect);
}
