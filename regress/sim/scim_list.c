/*-------------------------------------------------------------------------
 *
 * scim_list.c
 *		SCIM's list of users: the filter, the order and the page.
 *
 * Of filters there is 'meta.lastModified ge "TIME"' alone.  A cursor holds the user
 * after whom to go on and what it was made for, so that it outlives him.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "scim.h"

#define DEFAULT_COUNT 100
#define MINUTE_MS 60000
#define SINCE "meta.lastModified ge \""

/* What is asked for. */
typedef struct Asked
{
	int64_t		count;
	int64_t		start;			/* from 1 on */
	const char *cursor;			/* or NULL */
	char		since[SIM_SCIM_TIME];	/* or "" */
	bool		filtered;
	bool		by_id;
	uint64_t	purpose;		/* of a cursor */
} Asked;

/* A user, and what he is sorted by. */
typedef struct Row
{
	int64_t		index;
	uint64_t	place;
	char		id[SIM_ID_SIZE];
} Row;

typedef struct Rows
{
	Row		   *item;
	size_t		n;
} Rows;

static const char *const parameters[] = {
	"count", "startIndex", "cursor", "sortBy", "sortOrder", "filter"
};

/* list replies so far: what an order that moves depends on */
static uint64_t n_lists;

/* ---- the filter ---- */

/* A time with any offset; SIM_TIME_NONE if it is none. */
static int64_t
parse_time(const char *text)
{
	int64_t		time = sim_parse_iso(text);
	const char *zone = strlen(text) > 19 ? text + 19 : "";
	int			hours;
	int			minutes;

	zone += *zone == '.' ? strspn(zone, ".0123456789") : 0;
	if (time == SIM_TIME_NONE || strcmp(zone, "Z") == 0)
		return time;
	if ((*zone != '+' && *zone != '-') || strlen(zone) != 6 ||
		sscanf(zone + 1, "%2d:%2d", &hours, &minutes) != 2)
		return SIM_TIME_NONE;
	return time - (*zone == '-' ? -1 : 1) * (int64_t) (hours * 60 + minutes) * MINUTE_MS;
}

static bool
read_filter(const char *filter, Asked *asked, SimReply *reply)
{
	size_t		len;

	if (filter == NULL)
		return true;
	if (sim_setting_is("filters", "off"))
		return sim_scim_error(reply, 400, "invalidFilter", "filters are not supported");
	if (sim_setting_is("filters", "missing"))
		return sim_scim_error(reply, 501, NULL, "filters are not supported");
	if (sim_setting_is("filters", "many") && asked->count > 1)
		return sim_scim_error(reply, 400, "tooMany", "the filter finds too many");
	len = strlen(filter);
	if (strncmp(filter, SINCE, strlen(SINCE)) != 0 || filter[len - 1] != '"' ||
		len - strlen(SINCE) > SIM_SCIM_TIME)
		return sim_scim_error(reply, 501, "invalidFilter", "this filter is not simulated");
	snprintf(asked->since, SIM_SCIM_TIME, "%.*s", (int) (len - strlen(SINCE) - 1), filter + strlen(SINCE));
	if (parse_time(asked->since) == SIM_TIME_NONE)
		return sim_scim_error(reply, 400, "invalidFilter", "no time");
	asked->filtered = !sim_setting_is("filters", "ignored");
	return true;
}

static bool
passes(const Asked *asked, const SimUser *user)
{
	char		changed[SIM_SCIM_TIME];

	if (!asked->filtered)
		return true;
	if (sim_setting_is("filters", "nothing") || !sim_scim_changed(user, changed))
		return false;
	if (sim_setting_is("filters", "text"))
		return strcmp(changed, asked->since) >= 0;
	return user->updated >= parse_time(asked->since);
}

/* ---- the other parameters ---- */

static bool
read_sort(const SimRequest *request, Asked *asked, SimReply *reply)
{
	const char *by = sim_request_param(request, "sortBy");
	const char *order = sim_request_param(request, "sortOrder");

	if (by == NULL && order == NULL)
		return true;
	if (sim_setting_is("sort", "refused"))
		return sim_scim_error(reply, 400, "invalidPath", "sorting is not supported");
	if (sim_setting_is("sort", "missing"))
		return sim_scim_error(reply, 501, NULL, "sorting is not supported");
	if (by == NULL || strcmp(by, "id") != 0 || order)
		return sim_scim_error(reply, 501, NULL, "this order is not simulated");
	asked->by_id = !sim_setting_is("sort", "ignored");
	return true;
}

static bool
read_paging(const SimRequest *request, Asked *asked, SimReply *reply)
{
	const char *start = sim_request_param(request, "startIndex");
	const char *cursor = sim_request_param(request, "cursor");
	bool		cursors = sim_setting_is("paging", "cursor");

	asked->start = 1;
	if (sim_setting_is("paging", "deaf"))
		cursor = NULL;
	if (start && (cursors || cursor))
		return sim_scim_error(reply, 400, "invalidValue", "startIndex");
	if (cursor && !cursors && !sim_setting_is("paging", "both"))
		return sim_scim_error(reply, 400, "invalidCursor", "there are no cursors");
	if (start && !sim_parse_int(start, INT64_MIN, INT64_MAX, &asked->start))
		return sim_scim_error(reply, 400, "invalidValue", "startIndex");
	if (asked->start < 1)
		asked->start = 1;
	asked->cursor = cursor ? cursor : cursors ? "" : NULL;
	return true;
}

static bool
read_params(const SimRequest *request, Asked *asked, SimReply *reply)
{
	const char *count = sim_request_param(request, "count");
	const char *filter = sim_request_param(request, "filter");

	for (int i = 0; i < request->n_params; i++)
		if (!SIM_IS_ONE_OF(request->params[i].name, parameters) ||
			sim_request_param(request, request->params[i].name) != request->params[i].value)
			return sim_scim_error(reply, 400, "invalidSyntax", "unknown parameter");
	asked->count = DEFAULT_COUNT;
	if (count && !sim_parse_int(count, INT64_MIN, INT64_MAX, &asked->count))
		return sim_scim_error(reply, 400, "invalidValue", "count");
	if (asked->count < 0)
		asked->count = 0;
	if (sim_setting("most") && asked->count > atoll(sim_setting("most")))
		return sim_scim_error(reply, 400, "invalidCount", "count");
	if (asked->count == 0 && sim_setting_is("zero", "refused"))
		return sim_scim_error(reply, 400, "invalidValue", "count");
	asked->purpose = sim_hash_text(sim_hash((uint64_t) asked->count, 23), filter ? filter : "");
	return read_sort(request, asked, reply) && read_paging(request, asked, reply) &&
		read_filter(filter, asked, reply);
}

/* ---- the rows ---- */

static int
compare_ids(const void *a, const void *b)
{
	return strcmp(((const Row *) a)->id, ((const Row *) b)->id);
}

static int
compare_places(const void *a, const void *b)
{
	uint64_t	one = ((const Row *) a)->place;
	uint64_t	two = ((const Row *) b)->place;

	return (one > two) - (one < two);
}

static void
fill_rows(const Asked *asked, Rows *rows)
{
	bool		moving = sim_setting_is("order", "moving");
	int64_t		end = sim_users_end();

	n_lists++;
	rows->item = sim_alloc(((size_t) end + 1) * sizeof(Row));
	for (int64_t i = 0; i < end; i++)
	{
		Row		   *row = &rows->item[rows->n];
		SimUser		user;

		if (!sim_users_get(i, &user) || user.deleted || !passes(asked, &user))
			continue;
		row->index = i;
		row->place = moving ? sim_hash((uint64_t) i, n_lists) : (uint64_t) i;
		sim_users_id(&user, row->id);
		rows->n++;
	}
	qsort(rows->item, rows->n, sizeof(Row), asked->by_id ? compare_ids : compare_places);
}

static void
apply_fault(const json_t *fault, Rows *rows)
{
	size_t		n = 0;

	for (size_t i = 0; i < rows->n; i++)
		if (!sim_fault_hides(fault, rows->item[i].index))
			rows->item[n++] = rows->item[i];
	rows->n = sim_fault_true(fault, "empty") ? 0 : n;
	if (sim_fault_true(fault, "ignore_order"))
		qsort(rows->item, rows->n, sizeof(Row), compare_places);
}

/* Where a cursor goes on; false if it is none for this list. */
static bool
find_cursor(const Asked *asked, const json_t *fault, const Rows *rows, size_t *first, SimReply *reply)
{
	Row			after = {0};
	char		id[SIM_ID_SIZE];
	unsigned long long purpose;
	long long	index;
	char		end;

	*first = 0;
	if (*asked->cursor == '\0')
		return true;
	if (sim_fault_trick(fault, "expired"))
		return sim_scim_error(reply, 400, "expiredCursor", "the cursor has expired");
	if (sim_fault_trick(fault, "forgotten") ||
		sscanf(asked->cursor, "%16llx.%lld.%63[-0-9a-zA-Z_]%c", &purpose, &index, id, &end) != 3 ||
		purpose != asked->purpose)
		return sim_scim_error(reply, 400, "invalidCursor", "no cursor of this query");
	snprintf(after.id, sizeof(after.id), "%s", id);
	after.place = (uint64_t) index;
	while (*first < rows->n &&
		   (asked->by_id ? compare_ids(&rows->item[*first], &after) : compare_places(&rows->item[*first], &after)) <= 0)
		(*first)++;
	return true;
}

/* ---- the reply ---- */

static void
put_next(SimReply *reply, const Asked *asked, const json_t *fault, const Row *last)
{
	if (sim_fault_trick(fault, "lost_cursor"))
		return;
	sim_buf_printf(&reply->body, ",\"nextCursor\":\"%016llx.%lld.%s",
				   (unsigned long long) asked->purpose, (long long) last->place, last->id);
	for (int i = 0; i < 5000 && sim_fault_trick(fault, "long_cursor"); i++)
		SIM_LITERAL(&reply->body, "x");
	SIM_LITERAL(&reply->body, "\"");
}

static void
put_total(SimReply *reply, const json_t *fault, int64_t total, size_t on_page, bool by_cursor)
{
	SIM_LITERAL(&reply->body, "{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:ListResponse\"]");
	if (sim_fault_trick(fault, "no_total") || (by_cursor && sim_setting_is("total", "none")))
		return;
	if (sim_setting_is("total", "page"))
		total = (int64_t) on_page;
	sim_buf_printf(&reply->body, sim_fault_trick(fault, "bad_total") ?
				   ",\"totalResults\":\"%lld\"" : ",\"totalResults\":%lld", (long long) sim_fault_total(fault, total));
}

static void
put_users(SimReply *reply, const Row *rows, size_t n)
{
	SIM_LITERAL(&reply->body, ",\"Resources\":[");
	for (size_t i = 0; i < n; i++)
	{
		SimUser		user;

		if (i > 0)
			SIM_LITERAL(&reply->body, ",");
		sim_users_get(rows[i].index, &user);
		sim_users_put(&reply->body, &user);
	}
	SIM_LITERAL(&reply->body, "]");
}

/* How many users a page has that begins with this one. */
static size_t
page_size(const Asked *asked, const json_t *fault, size_t left)
{
	const char *cap = sim_setting("cap");
	int64_t		keep = sim_fault_int(fault, "truncate_page", -1);
	int64_t		n = asked->count;

	if (cap && atoll(cap) < n)
		n = atoll(cap);
	n += sim_fault_trick(fault, "extra");
	if (keep >= 0 && keep < n)
		n = keep;
	return (size_t) n < left ? (size_t) n : left;
}

static void
put_page(SimReply *reply, const Asked *asked, const json_t *fault, const Rows *rows, int64_t total)
{
	size_t		first = (size_t) asked->start - 1;
	size_t		n;

	if (asked->cursor && !find_cursor(asked, fault, rows, &first, reply))
		return;
	if (first >= rows->n)
		first = sim_setting_is("past_end", "all") ? 0 : rows->n;
	n = page_size(asked, fault, rows->n - first);
	put_total(reply, fault, total, n, asked->cursor);
	if (asked->cursor == NULL)
		sim_buf_printf(&reply->body, ",\"startIndex\":%lld", (long long) first + 1);
	else if (first + n < rows->n && n > 0)
		put_next(reply, asked, fault, &rows->item[first + n - 1]);
	sim_buf_printf(&reply->body, ",\"itemsPerPage\":%lld", (long long) n);
	if ((asked->count > 0 || n > 0) && !sim_fault_trick(fault, "no_resources"))
		put_users(reply, rows->item + first, n);
	SIM_LITERAL(&reply->body, "}");
}

void
sim_scim_list(SimRequest *request, SimReply *reply)
{
	const json_t *fault = request->fault;
	Asked		asked = {0};
	Rows		rows = {0};
	int64_t		total;

	if (!read_params(request, &asked, reply))
		return;
	fill_rows(&asked, &rows);
	total = sim_fault_true(fault, "empty") ? 0 : (int64_t) rows.n;
	apply_fault(fault, &rows);
	put_page(reply, &asked, fault, &rows, total);
	free(rows.item);
}
