/*-------------------------------------------------------------------------
 *
 * workos_events.c
 *		What happened to users, as WorkOS's list of events tells it.
 *
 * An event is kept as the JSON it is served as.  Their times never fall, whatever
 * time a user is changed at.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "workos.h"

#define DEFAULT_LIMIT 10
#define STEP_MS 1000

typedef struct WorkosEvent
{
	int64_t		number;			/* of its id, from 1 on */
	int64_t		time;
	const char *name;
	int64_t		index;			/* of the user */
	char	   *user;			/* JSON */
} WorkosEvent;

typedef struct EventQuery
{
	int64_t		limit;
	bool		descending;
	int64_t		start;			/* only what is later, or SIM_TIME_NONE */
	const char *after;			/* or NULL */
	const char *names;			/* with commas between */
} EventQuery;

/* by SimEvent */
static const char *const event_names[] = {"user.created", "user.updated", "user.deleted"};

static const char *const other_names[] = {"organization.created", "session.created"};

static const char *const other_params[] = {"before", "range_end", "organization_id", "events[]"};

static WorkosEvent *events;		/* all that ever were, oldest first */
static size_t n_events;
static size_t events_cap;

/* ---- keeping them ---- */

static void
keep(const char *name, int64_t index, int64_t time, const char *user)
{
	WorkosEvent *event;

	if (n_events == events_cap)
	{
		events_cap = events_cap ? events_cap * 2 : 64;
		events = sim_realloc(events, events_cap * sizeof(*events));
	}
	event = &events[n_events++];
	event->number = (int64_t) n_events;
	event->time = time;
	event->name = name;
	event->index = index;
	event->user = sim_strdup(user);
}

static int64_t
latest(void)
{
	int64_t		first = sim_config.clock != SIM_TIME_NONE ? sim_config.clock : sim_generate_end();

	return n_events > 0 ? events[n_events - 1].time : first;
}

/*
 * A deletion has no time of its own, and that of a user served verbatim may be
 * nonsense.
 */
void
sim_workos_changed(const SimUser *user, SimEvent event)
{
	SimBuf		json = {0};
	int64_t		time = latest();

	if (event == SIM_DELETED || user->raw)
		time += STEP_MS;
	else if (user->updated > time)
		time = user->updated;
	sim_users_put(&json, user);
	sim_buf_add(&json, "", 1);
	keep(event_names[event], user->index, time, json.data);
	sim_buf_free(&json);
}

/*
 * The first event there still is.
 */
static size_t
oldest(void)
{
	size_t		kept = (size_t) sim_setting_int("events_kept", 0, INT64_MAX);

	return kept < n_events ? n_events - kept : 0;
}

/*
 * The oldest state of the user whom the newest event is about comes once more.
 */
static void
repeat_stale(void)
{
	for (size_t i = oldest(); i + 1 < n_events; i++)
		if (events[i].index == events[n_events - 1].index)
		{
			keep(events[i].name, events[i].index, latest(), events[i].user);
			return;
		}
}

/* ---- reading what is asked for ---- */

/*
 * Is the name one of the list?  Only the first len bytes of it count.
 */
static bool
is_listed(const char *names, const char *name, size_t len)
{
	while (*names)
	{
		size_t		part = strcspn(names, ",");

		if (part == len && strncmp(names, name, len) == 0)
			return true;
		names += part + (names[part] == ',');
	}
	return false;
}

static bool
read_names(const char *names, EventQuery *query, SimReply *reply)
{
	const char *p = names;

	if (query->names)
		return sim_workos_not_simulated(reply, "several parameters \"events\"");
	query->names = names;
	do
	{
		size_t		len = strcspn(p, ",");
		bool		known = false;

		for (size_t i = 0; i < sizeof(event_names) / sizeof(event_names[0]); i++)
			known = known || is_listed(event_names[i], p, len);
		for (size_t i = 0; i < sizeof(other_names) / sizeof(other_names[0]); i++)
			known = known || is_listed(other_names[i], p, len);
		if (!known)
			return sim_workos_refuse(reply, "events", "unknown_event_type");
		p += len;
	} while (*p++ == ',');
	return true;
}

static bool
read_param(const SimParam *param, EventQuery *query, SimReply *reply)
{
	bool		other = false;

	if (sim_workos_read_common(param, &query->limit, &query->descending, &other, reply))
		return true;
	if (!other)
		return false;
	if (strcmp(param->name, "events") == 0)
		return read_names(param->value, query, reply);
	if (strcmp(param->name, "after") == 0)
		query->after = param->value;
	else if (strcmp(param->name, "range_start") == 0)
	{
		query->start = sim_parse_iso(param->value);
		if (query->start == SIM_TIME_NONE)
			return sim_workos_refuse(reply, "range_start", "is no ISO 8601 date");
	}
	else if (SIM_IS_ONE_OF(param->name, other_params))
		return sim_workos_not_simulated(reply, param->name);
	else
		return sim_workos_refuse(reply, param->name, "unknown");
	return true;
}

/*
 * Documented is that the latest come first unless it is asked otherwise, but the
 * real one sends the oldest first whatever it is asked.
 */
static bool
read_query(const SimRequest *request, EventQuery *query, SimReply *reply)
{
	memset(query, 0, sizeof(*query));
	query->limit = DEFAULT_LIMIT;
	query->descending = true;
	query->start = SIM_TIME_NONE;
	for (int i = 0; i < request->n_params; i++)
		if (!read_param(&request->params[i], query, reply))
			return false;
	if (strcmp(sim_setting_or("events_order", "ignored"), "ignored") == 0)
		query->descending = false;
	if (query->names == NULL)
		return sim_workos_refuse(reply, "events", "required");
	if (query->after && query->start != SIM_TIME_NONE)
		return sim_workos_refuse(reply, "after", "excludes range_start");
	return true;
}

/* ---- answers ---- */

/*
 * The place of an event in the order asked for, from 0 on.
 */
static const WorkosEvent *
event_at(const EventQuery *query, size_t place)
{
	return &events[query->descending ? n_events - 1 - place : oldest() + place];
}

/*
 * The place after the event of the cursor; one that is not kept is as none.
 */
static size_t
first_place(const EventQuery *query)
{
	char		id[32];

	for (size_t i = 0; query->after && i < n_events - oldest(); i++)
	{
		snprintf(id, sizeof(id), "event_%lld", (long long) event_at(query, i)->number);
		if (strcmp(id, query->after) == 0)
			return i + 1;
	}
	return 0;
}

static bool
is_wanted(const EventQuery *query, const WorkosEvent *event)
{
	return is_listed(query->names, event->name, strlen(event->name)) &&
		(query->start == SIM_TIME_NONE || event->time > query->start);
}

static void
put_event(SimBuf *buf, const WorkosEvent *event)
{
	sim_buf_printf(buf, "{\"object\":\"event\",\"id\":\"event_%lld\",\"event\":\"%s\",\"data\":",
				   (long long) event->number, event->name);
	sim_buf_text(buf, event->user);
	SIM_LITERAL(buf, ",\"created_at\":\"");
	sim_buf_iso(buf, event->time);
	SIM_LITERAL(buf, "\",\"context\":{}}");
}

static void
put_end(SimBuf *buf, const WorkosEvent *last, bool more)
{
	SIM_LITERAL(buf, "],\"list_metadata\":{");
	if (last && (more || sim_setting_is("events_end", "cursor")))
		sim_buf_printf(buf, "\"after\":\"event_%lld\"", (long long) last->number);
	else if (!sim_setting_is("events_end", "absent"))
		SIM_LITERAL(buf, "\"after\":null");
	SIM_LITERAL(buf, "}}");
}

void
sim_workos_answer_events(SimRequest *request, SimReply *reply)
{
	EventQuery	query;
	const WorkosEvent *last = NULL;
	int64_t		count = 0;
	bool		more = false;

	if (!read_query(request, &query, reply))
		return;
	if (sim_fault_trick(request->fault, "stale_event"))
		repeat_stale();
	SIM_LITERAL(&reply->body, "{\"object\":\"list\",\"data\":[");
	for (size_t i = first_place(&query); i < n_events - oldest() && !more; i++)
	{
		const WorkosEvent *event = event_at(&query, i);

		if (!is_wanted(&query, event))
			continue;
		more = count == query.limit;
		if (more)
			break;
		if (count++ > 0)
			SIM_LITERAL(&reply->body, ",");
		put_event(&reply->body, event);
		last = event;
	}
	put_end(&reply->body, last, more);
}
