/*-------------------------------------------------------------------------
 *
 * scim_place.c
 *	  Where a listing of a SCIM service is, as the text of a cursor.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "scim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Bytes of a cursor before that of the service, at most. */
#define HEAD_MAX	80

void
nauth_scim_begin(const NauthSettings *settings, const NauthScimConfig *config,
				 bool filtered, NauthScimPlace *place)
{
	memset(place, 0, sizeof(*place));
	place->config = *config;
	place->step = config->cursors || nauth_scim_pages_by(settings, "cursor") ? NAUTH_SCIM_CURSOR : NAUTH_SCIM_INDEX;
	place->sorted = !config->unsorted;
	place->filtered = filtered;
	place->total = place->directory = -1;
}

bool
nauth_scim_is_first(const NauthScimPlace *place)
{
	return (place->step == NAUTH_SCIM_INDEX && place->offset.marks == 0) ||
		(place->step == NAUTH_SCIM_CURSOR && place->next[0] == '\0');
}

/* Go behind the letter if it stands there, which is noted. */
static void
read_flag(const char **p, char letter, bool *flag)
{
	*flag = **p == letter;
	*p += *flag;
}

/* Read a number that may be -1, and is written one greater, and the blank behind it. */
static bool
read_number(const char **p, int64_t *number)
{
	if (!nauth_offset_number(p, NAUTH_OFFSET_MAX + 1, number) || **p != ' ')
		return false;
	(*number)--;
	(*p)++;
	return true;
}

/* Read what the service said of itself. */
static bool
read_config(const char **p, NauthScimConfig *config)
{
	bool		capped;
	int64_t		most;

	read_flag(p, 'c', &config->cursors);
	read_flag(p, 'o', &config->only_cursors);
	read_flag(p, 'u', &config->unsorted);
	read_flag(p, 'p', &capped);
	if (!capped)
		return true;
	if (!read_number(p, &most) || most < 2 || most >= NAUTH_SCIM_MOST)
		return false;
	config->most = (int) most;
	return true;
}

/*
 * A cursor is the letter of the step, "s" if it is sorted, "f" if filtered, "m" if
 * moved; "c", "o" and "u" for what the service said of itself, with "p" and a number for
 * the size of its pages; the three numbers, and then the offset, unless it is the first
 * page, or the service's cursor.
 */
bool
nauth_scim_read_place(const NauthSettings *settings, const NauthQuery *query,
					  const char *cursor, NauthScimPlace *place)
{
	static const NauthScimConfig unknown = {.most = NAUTH_SCIM_MOST};
	const char *p = cursor;

	nauth_scim_begin(settings, &unknown, query->kind == NAUTH_QUERY_SINCE, place);
	if (nauth_scim_asks_config(settings, query))
		place->step = NAUTH_SCIM_CONFIG;
	else if (place->filtered)
		place->step = NAUTH_SCIM_TOTAL;
	if (cursor == NULL)
		return true;
	if (*p == '\0' || strchr("tenic", *p) == NULL)
		return false;
	place->step = (NauthScimStep) *p++;
	read_flag(&p, 's', &place->sorted);
	read_flag(&p, 'f', &place->filtered);
	read_flag(&p, 'm', &place->moved);
	if (!read_config(&p, &place->config) || !read_number(&p, &place->total) || !read_number(&p, &place->taken) ||
		!read_number(&p, &place->directory) || place->taken < 0)
		return false;
	if (place->step == NAUTH_SCIM_INDEX)
		return nauth_offset_read(*p != '\0' ? p : NULL, &place->offset);
	if (strlen(p) >= sizeof(place->next) || (place->step != NAUTH_SCIM_CURSOR && *p != '\0'))
		return false;
	memcpy(place->next, p, strlen(p) + 1);
	return true;
}

bool
nauth_scim_write_place(const NauthScimPlace *place, char *cursor)
{
	const NauthScimConfig *config = &place->config;
	int			used = snprintf(cursor, NAUTH_CURSOR_MAX, "%c%s%s%s%s%s%s",
								(char) place->step, place->sorted ? "s" : "", place->filtered ? "f" : "",
								place->moved ? "m" : "", config->cursors ? "c" : "",
								config->only_cursors ? "o" : "", config->unsorted ? "u" : "");

	if (config->most < NAUTH_SCIM_MOST)
		used += snprintf(cursor + used, NAUTH_CURSOR_MAX - used, "p%d ", config->most + 1);
	used += snprintf(cursor + used, NAUTH_CURSOR_MAX - used, "%" PRId64 " %" PRId64 " %" PRId64 " ",
					 place->total + 1, place->taken + 1, place->directory + 1);
	if (place->step == NAUTH_SCIM_INDEX && place->offset.marks > 0)
		nauth_offset_write(&place->offset, cursor, used);
	else if (place->step == NAUTH_SCIM_CURSOR)
	{
		size_t		len = strlen(place->next);

		if (len > NAUTH_CURSOR_MAX - HEAD_MAX)
			return false;
		memcpy(cursor + used, place->next, len + 1);
	}
	return true;
}
