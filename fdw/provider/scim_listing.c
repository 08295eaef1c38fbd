/*-------------------------------------------------------------------------
 *
 * scim_listing.c
 *	  List the users of a SCIM service, all or those changed since a time.
 *
 * What a service can do is seen, for what services tell of themselves is often wrong; that is asked
 * for (scim_config.c), and decides what is tried first.  Unless it names cursors the first
 * page names no method of paging, as RFC 9865 allows, so that it is the service's own: a
 * nextCursor on it says which.  The order of ids, which never change, is asked for, and
 * not if that is refused.
 *
 * A filter that is not understood may be ignored, or find nobody.  So before one is
 * trusted three counts must agree: all users were changed since 1970, which also shows that
 * all have a time of change, and none will be in the year 9000.  Else all users are listed,
 * which is the whole answer, too.
 *
 * Some services compare times as text, whatever offset these have.  So the time is
 * written with the offset whose text comes before that of all others at the same moment.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "scim.h"

#include <string.h>

#include "../json.h"
#include "asking.h"
#include "reading.h"

#define HOUR		INT64_C(3600000000)
#define OFFSET		"-12:00"
#define EVER		"1970-01-01T00:00:00" OFFSET
#define NEVER		"9000-01-01T00:00:00" OFFSET

/* Of errors with status 400; what no listing can bring about is not here. */
static const NauthKnownCode types[] = {
	{"expiredCursor", "Larger pages make a listing shorter: ALTER SERVER %s OPTIONS (ADD page_size '1000');"},
	{"invalidCount", "Ask for pages as small as the service wants them: ALTER SERVER %s OPTIONS (ADD page_size '50');"},
	{"invalidCursor", "If the service pages by index: ALTER SERVER %s OPTIONS (ADD paging 'index');"},
	{"invalidFilter", NULL},
	{"invalidPath", NULL},
	{"invalidSyntax", NULL},
	{"invalidValue", NULL},
	{"sensitive", NULL},
	{"tooMany", "Ask for pages as small as the service wants them: ALTER SERVER %s OPTIONS (ADD page_size '50');"},
	{NULL, NULL}
};

/* ---- Requests */

static void
write_changed_since(int64_t from, NauthRequest *request)
{
	char		text[NAUTH_MOMENT_TEXT];

	if (from == NAUTH_MOMENT_UNKNOWN)
	{
		nauth_request_more(request, nauth_request_changed);
		return;
	}
	if (from >= NAUTH_MOMENT_MAX)
		from = NAUTH_MOMENT_MAX - 1;
	nauth_moment_write((from < 0 ? 0 : from) - 12 * HOUR, 0, text);
	text[strlen(text) - 1] = '\0';
	nauth_request_more(request, text);
	nauth_request_more(request, OFFSET);
}

static void
write_filter(const NauthScimPlace *place, const NauthQuery *query, NauthRequest *request)
{
	if (place->step == NAUTH_SCIM_TOTAL || !place->filtered)
		return;
	nauth_request_parameter(request, "filter", "meta.lastModified ge \"");
	if (place->step == NAUTH_SCIM_EVER)
		nauth_request_more(request, EVER);
	else if (place->step == NAUTH_SCIM_NEVER)
		nauth_request_more(request, NEVER);
	else
		write_changed_since(query->from, request);
	nauth_request_more(request, "\"");
}

/* A page by index that is not the first one begins with somebody who was read. */
static int
limit_of(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
		 const NauthScimPlace *place)
{
	int			limit = nauth_ask_limit(settings, query, cursor);

	if (limit > place->config.most)
		limit = place->config.most;
	return limit < 2 && place->step == NAUTH_SCIM_INDEX && !nauth_scim_is_first(place) ? 2 : limit;
}

void
nauth_scim_write_page(const NauthSettings *settings, const NauthQuery *query,
					  const char *cursor, NauthRequest *request)
{
	NauthScimPlace place;
	bool		damaged = !nauth_scim_read_place(settings, query, cursor, &place);

	nauth_request_begin(request, settings->url,
						place.step == NAUTH_SCIM_CONFIG ? "/ServiceProviderConfig" : "/Users");
	request->overflow |= damaged;
	if (place.step == NAUTH_SCIM_CONFIG)
		return;
	if (place.step != NAUTH_SCIM_INDEX && place.step != NAUTH_SCIM_CURSOR)
		nauth_request_number(request, "count", 1);
	else
	{
		nauth_request_number(request, "count", limit_of(settings, query, cursor, &place));
		if (place.sorted)
			nauth_request_parameter(request, "sortBy", "id");
		if (place.step == NAUTH_SCIM_CURSOR)
			nauth_request_parameter(request, "cursor", place.next);
		else if (!nauth_scim_is_first(&place) || nauth_scim_pages_by(settings, "index"))
			nauth_request_number(request, "startIndex", place.offset.skip + 1);
	}
	write_filter(&place, query, request);
}

/* ---- What a service cannot do */

/* Whether there is another way to list the users than the one that was refused. */
static bool
has_other_way(const NauthScimPlace *place)
{
	if (place->step == NAUTH_SCIM_INDEX || place->step == NAUTH_SCIM_CURSOR)
		return nauth_scim_is_first(place) && (place->sorted || place->filtered || place->config.cursors);
	return true;
}

/* Begin again without what may have been refused: cursors first, the order next, then the filter. */
static bool
begin_again(const NauthSettings *settings, const NauthScimPlace *place, NauthPage *page)
{
	bool		first = nauth_scim_is_first(place);
	bool		cursors = first && place->config.cursors;
	NauthScimConfig config = place->config;
	NauthScimPlace next;

	if (cursors)
		config.cursors = config.only_cursors = false;
	nauth_scim_begin(settings, &config, place->filtered && first && (cursors || place->sorted), &next);
	if (first && !cursors && place->sorted)
		next.sorted = false;
	next.directory = place->directory;
	page->reread = true;
	return nauth_scim_write_place(&next, page->next);
}

bool
nauth_scim_is_page(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
				   const NauthReply *reply)
{
	NauthScimPlace place;

	if (query->kind != NAUTH_QUERY_LIST && query->kind != NAUTH_QUERY_SINCE)
		return false;
	if (!nauth_scim_read_place(settings, query, cursor, &place))
		return false;
	if (place.step == NAUTH_SCIM_CONFIG)
		return nauth_scim_is_config(reply);
	return reply->status == 400 || (reply->status == 501 && has_other_way(&place));
}

/* Note why a page was refused, by the type of the error. */
static bool
refused(const NauthReply *reply, NauthError *error)
{
	char		type[NAUTH_ERROR_CODE];

	if (nauth_json_text(reply->body, "scimType", type, sizeof(type)))
	{
		for (const NauthKnownCode *known = types; known->code != NULL; known++)
		{
			if (strcmp(known->code, type) != 0)
				continue;
			memcpy(error->code, type, sizeof(type));
			error->hint = known->hint;
		}
	}
	return nauth_error_set(error, nauth_error_of_status(reply->status), NULL);
}

/* ---- Replies */

/* Go on by what the service says of itself. */
static bool
take_config(const NauthSettings *settings, const NauthQuery *query, const NauthReply *reply, NauthPage *page)
{
	NauthScimConfig config;
	NauthScimPlace next;

	nauth_scim_read_config(reply, &config);
	nauth_scim_begin(settings, &config, query->kind == NAUTH_QUERY_SINCE && !config.unfiltered, &next);
	if (next.filtered)
		next.step = NAUTH_SCIM_TOTAL;
	page->reread = true;
	return nauth_scim_write_place(&next, page->next);
}

/*
 * Judge the count of a step, and go on to the next one: to the filtered listing in the
 * end, or to that of all as soon as a count shows that the filter is of no use.
 */
static bool
judge_count(const NauthSettings *settings, const NauthScimPlace *place, int64_t count, NauthPage *page)
{
	NauthScimPlace next = *place;

	page->reread = true;
	if (place->step == NAUTH_SCIM_TOTAL)
	{
		next.directory = count > 0 ? count : -1;
		next.step = NAUTH_SCIM_EVER;
	}
	else if (place->step == NAUTH_SCIM_EVER)
		next.step = NAUTH_SCIM_NEVER;
	if (count < 0 || count != (place->step == NAUTH_SCIM_NEVER ? 0 : next.directory))
		return begin_again(settings, place, page);
	if (place->step == NAUTH_SCIM_NEVER)
	{
		nauth_scim_begin(settings, &place->config, true, &next);
		next.directory = place->directory;
	}
	return nauth_scim_write_place(&next, page->next);
}

/*
 * By a first page a service pages as it does it, whatever it said: one that knows no
 * cursors may have passed over that it was asked for them.
 */
static void
choose_paging(const NauthSettings *settings, const NauthScimEnvelope *envelope, NauthScimPlace *place)
{
	if (nauth_scim_is_first(place) && settings->more[NAUTH_SETTING_PAGING] == NULL)
		place->step = envelope->next[0] != '\0' ? NAUTH_SCIM_CURSOR : NAUTH_SCIM_INDEX;
}

/* Read the users of a page. */
static bool
take_users(const NauthSettings *settings, NauthScimPlace *place, int limit,
		   const NauthScimEnvelope *envelope, NauthPage *page, NauthError *error)
{
	bool		cursor = place->step == NAUTH_SCIM_CURSOR;

	if (!cursor && envelope->total < 0)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the page has no totalResults");
	if (!cursor && nauth_scim_is_beyond(place, envelope->total, limit, page))
		return true;
	if (envelope->users.data == NULL && envelope->total != 0)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the page has no Resources");
	if (envelope->users.data != NULL &&
		!nauth_read_users(&nauth_provider_scim, settings, envelope->users, limit, page, error))
		return false;
	page->total = envelope->total;

	/* where there are no indexes a page that is not the last has a cursor */
	if (!cursor && place->config.only_cursors && nauth_scim_is_first(place))
		limit++;
	if (!cursor)
		return nauth_scim_take_index(place, limit, page, error);
	memcpy(place->next, envelope->next, sizeof(place->next));
	return nauth_scim_take_cursor(place, !nauth_scim_pages_by(settings, "cursor"), page, error);
}

bool
nauth_scim_read_page(const NauthSettings *settings, const NauthQuery *query,
					 const char *cursor, const NauthReply *reply,
					 NauthPage *page, NauthError *error)
{
	NauthScimEnvelope envelope;
	NauthScimPlace place;
	int			limit;

	nauth_read_begin(page);
	if (!nauth_scim_read_place(settings, query, cursor, &place))
		return nauth_read_no_cursor(error);
	if (place.step == NAUTH_SCIM_CONFIG)
		return take_config(settings, query, reply, page);
	if (reply->status != 200)
		return has_other_way(&place) ? begin_again(settings, &place, page) : refused(reply, error);
	if (!nauth_scim_read_envelope(reply, &envelope, error))
		return false;
	limit = limit_of(settings, query, cursor, &place);
	if (place.step != NAUTH_SCIM_INDEX && place.step != NAUTH_SCIM_CURSOR)
		return judge_count(settings, &place, envelope.total, page);
	choose_paging(settings, &envelope, &place);
	if (!take_users(settings, &place, limit, &envelope, page, error))
		return false;
	if (query->kind == NAUTH_QUERY_SINCE)
	{
		page->everybody = !place.filtered;
		page->total = place.filtered ? place.directory : page->total;
	}
	return true;
}
