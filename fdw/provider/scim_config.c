/*-------------------------------------------------------------------------
 *
 * scim_config.c
 *	  What a SCIM service says of itself in its ServiceProviderConfig.
 *
 * That is often missing and sometimes wrong.  So it decides only which way of listing
 * is tried first, and never whether a listing is complete or a filter works; and a
 * service that has nothing to say is listed as it always was.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "scim.h"

#include <string.h>

/*
 * It is a request more, which a listing of all users or of changes is worth.  Who says how
 * the service pages knows it, and need not put up with what it says wrongly.
 */
bool
nauth_scim_asks_config(const NauthSettings *settings, const NauthQuery *query)
{
	if (settings->more[NAUTH_SETTING_PAGING] != NULL)
		return false;
	return query->kind == NAUTH_QUERY_SINCE ||
		(query->kind == NAUTH_QUERY_LIST && query->limit == 0 && !query->once &&
		 query->ids == NULL && query->email == NULL);
}

/*
 * A credential that is not taken, or a service that is busy, is the same for what
 * comes next.  All else may be how a service answers that knows no such resource.
 */
bool
nauth_scim_is_config(const NauthReply *reply)
{
	switch (reply->status)
	{
		case 401:
		case 429:
		case 502:
		case 503:
		case 504:
			return false;
		default:
			return true;
	}
}

static bool
is_literal(NauthSpan value, const char *literal)
{
	return value.data != NULL && value.len == strlen(literal) && memcmp(value.data, literal, value.len) == 0;
}

/* Find members of a member; all are absent if it is no object. */
static void
split(NauthSpan object, const char *const names[], NauthSpan found[], int count)
{
	if (!nauth_slice_is_split(nauth_slice_object(object, names, found)))
		memset(found, 0, (size_t) count * sizeof(NauthSpan));
}

/* A page of one user would have nobody to show where it begins. */
static void
read_most(NauthSpan value, NauthScimConfig *config)
{
	int64_t		most;

	if (value.data != NULL && nauth_slice_int64(value, &most) && most > 0 && most < config->most)
		config->most = most < 2 ? 2 : (int) most;
}

void
nauth_scim_read_config(const NauthReply *reply, NauthScimConfig *config)
{
	static const char *const names[] = {"pagination", "sort", "filter", NULL};
	static const char *const paging_names[] = {"cursor", "index", "maxPageSize", NULL};
	static const char *const sort_names[] = {"supported", NULL};
	static const char *const filter_names[] = {"supported", "maxResults", NULL};
	NauthSpan	parts[3] = {{0}};
	NauthSpan	paging[3];
	NauthSpan	sort[1];
	NauthSpan	filter[2];

	if (reply->status == 200)
		split(reply->body, names, parts, 3);
	split(parts[0], paging_names, paging, 3);
	split(parts[1], sort_names, sort, 1);
	split(parts[2], filter_names, filter, 2);
	memset(config, 0, sizeof(*config));
	config->cursors = is_literal(paging[0], "true");
	config->only_cursors = config->cursors && is_literal(paging[1], "false");
	config->unsorted = is_literal(sort[0], "false");
	config->unfiltered = is_literal(filter[0], "false");
	config->most = NAUTH_SCIM_MOST;
	read_most(paging[2], config);
	read_most(filter[1], config);
}
