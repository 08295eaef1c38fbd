/*-------------------------------------------------------------------------
 *
 * workos_events.c
 *	  Read pages of WorkOS's events.
 *
 * An event has the user as it was left, and what was done by its name.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "workos.h"

#include <string.h>

#include "asking.h"
#include "reading.h"

/* What an event says of its user; of another kind it is not wanted. */
typedef enum WorkosEvent
{
	EVENT_OTHER,
	EVENT_CHANGED,
	EVENT_GONE
} WorkosEvent;

/* False when there is no name, so that nobody knows what it is. */
static bool
read_event_name(NauthSpan value, WorkosEvent *event)
{
	char		name[16];

	*event = EVENT_OTHER;
	if (value.data == NULL || value.data[0] != '"')
		return false;
	if (!nauth_slice_text(value, name, sizeof(name)))
		return true;
	if (strcmp(name, "user.created") == 0 || strcmp(name, "user.updated") == 0)
		*event = EVENT_CHANGED;
	else if (strcmp(name, "user.deleted") == 0)
		*event = EVENT_GONE;
	return true;
}

/* Read an event behind the users of a page. */
static bool
read_event(const NauthSettings *settings, const NauthSpan *found, NauthPage *page, NauthError *error)
{
	NauthUser  *user = &page->users[page->count];
	WorkosEvent event;

	if (!read_event_name(found[0], &event))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "an event has no name");
	if (event == EVENT_OTHER)
		return true;
	if (!nauth_read_object(&nauth_provider_workos, settings, found[1], user))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "where the user of an event should be is no JSON object");
	user->gone = event == EVENT_GONE;
	page->count++;
	return true;
}

bool
nauth_workos_read_events(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
						 NauthSpan list, NauthPage *page, NauthError *error)
{
	static const char *const names[] = {"event", "data", NULL};
	NauthSpan	found[2];
	NauthSlicer slicer;
	NauthSpan	json;
	NauthSliceResult result = nauth_slice_array(&slicer, list);
	int			limit = nauth_ask_limit(settings, query, cursor);

	if (result != NAUTH_SLICE_OK)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "where the list of events should be is no JSON array");
	for (int events = 0;; events++)
	{
		result = nauth_slice_next(&slicer, names, &json, found);
		if (result == NAUTH_SLICE_END)
			return true;
		if (!nauth_slice_is_split(result))
			return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
								   "the list of events is not valid, or has an element that is none");
		if (events == limit || page->count == page->capacity)
			return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
								   "the page has more events than were asked for");
		if (!read_event(settings, found, page, error))
			return false;
	}
}
