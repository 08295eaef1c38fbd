/*-------------------------------------------------------------------------
 *
 * auth0_search.c
 *	  Write searches in Auth0's query language, which is Lucene's.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "auth0.h"

#include <stdio.h>
#include <string.h>

/*
 * A value in quotation marks, which it cannot end.  The values that an EXPLAIN does
 * not know are written as they are: they have nothing to escape.
 */
static void
write_quoted(NauthRequest *request, const char *value)
{
	const char *special;

	nauth_request_more(request, "\"");
	while ((special = strpbrk(value, "\"\\")) != NULL)
	{
		char		part[NAUTH_EMAIL_MAX + 3];
		int			len = snprintf(part, sizeof(part), "%.*s\\%c", (int) (special - value), value, *special);

		if (len >= (int) sizeof(part))
			request->overflow = true;
		nauth_request_more(request, part);
		value = special + 1;
	}
	nauth_request_more(request, value);
	nauth_request_more(request, "\"");
}

/* A bound; the ends of all time are none. */
static void
write_bound(NauthRequest *request, int64_t moment)
{
	char		text[NAUTH_MOMENT_TEXT];

	if (moment == NAUTH_MOMENT_UNKNOWN)
		write_quoted(request, nauth_request_time);
	else if (moment <= NAUTH_MOMENT_MIN || moment >= NAUTH_MOMENT_MAX)
		nauth_request_more(request, "*");
	else
	{
		nauth_moment_write(moment, 3, text);
		write_quoted(request, text);
	}
}

/* Begin a condition of the search, all of which must hold. */
static void
begin_condition(NauthRequest *request, bool *begun)
{
	if (*begun)
		nauth_request_more(request, " AND ");
	else
		nauth_request_parameter(request, "q", "");
	*begun = true;
}

/* Users of the window and from where the listing is: a bound that is read is in. */
static void
write_times(const NauthQuery *query, const NauthKeyset *keyset, NauthRequest *request, bool *begun)
{
	bool		descends = nauth_keyset_descends(query);
	int64_t		from = query->windowed ? query->from : NAUTH_MOMENT_MIN;
	int64_t		before = query->windowed ? query->before : NAUTH_MOMENT_MAX;
	bool		open;

	if (before > NAUTH_MOMENT_MIN)
		before = nauth_keyset_whole(before, true);
	if (keyset->begun && descends)
		before = keyset->time;
	else if (keyset->begun)
		from = keyset->time;
	open = before < NAUTH_MOMENT_MAX && !(keyset->begun && descends);
	if (from == NAUTH_MOMENT_MIN && before >= NAUTH_MOMENT_MAX)
		return;
	begin_condition(request, begun);
	nauth_request_more(request, query->kind == NAUTH_QUERY_CHANGES ? "updated_at:[" : "created_at:[");
	write_bound(request, from);
	nauth_request_more(request, " TO ");
	write_bound(request, before);
	nauth_request_more(request, open ? "}" : "]");
}

void
nauth_auth0_write_search(const NauthQuery *query, const NauthKeyset *keyset, NauthRequest *request)
{
	bool		begun = false;

	if (query->ids != NULL)
	{
		begin_condition(request, &begun);
		for (int i = 0; i < query->n_ids; i++)
		{
			nauth_request_more(request, i == 0 ? "user_id:(" : " OR ");
			write_quoted(request, query->ids[i]);
		}
		nauth_request_more(request, ")");
	}
	if (query->email != NULL)
	{
		begin_condition(request, &begun);
		nauth_request_more(request, "email:");
		write_quoted(request, query->email);
	}
	write_times(query, keyset, request, &begun);
}
