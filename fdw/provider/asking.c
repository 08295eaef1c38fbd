/*-------------------------------------------------------------------------
 *
 * asking.c
 *	  Write requests: what all providers have in common.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "asking.h"

#include <string.h>

int
nauth_ask_limit(const NauthSettings *settings, const NauthQuery *query,
				const char *cursor)
{
	int			limit = settings->page_size;
	bool		changes = query->kind == NAUTH_QUERY_CHANGES;

	/* one more than there can be, so that this page is the last */
	if (query->ids != NULL)
		return query->n_ids + 1;
	if ((cursor == NULL || !changes) && query->limit > 0 && query->limit < limit)
		limit = query->limit;
	return changes && limit < NAUTH_MIN_CAPACITY ? NAUTH_MIN_CAPACITY : limit;
}

bool
nauth_ask_id_possible(const NauthProvider *provider, const char *id)
{
	return id[0] != '\0' && strlen(id) <= NAUTH_ID_MAX && !nauth_request_is_dots(id) &&
		(provider->never_in_id == NULL || strpbrk(id, provider->never_in_id) == NULL) &&
		(provider->reserved_id == NULL || strcmp(id, provider->reserved_id) != 0) &&
		(provider->is_id == NULL || provider->is_id(id));
}

bool
nauth_ask_is_uuid(const char *id)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (size_t i = 0; i < sizeof(form); i++)
		if (form[i] == 'x' ? id[i] == '\0' || strchr("0123456789abcdef", id[i]) == NULL : id[i] != form[i])
			return false;
	return true;
}

void
nauth_ask_bearer(const NauthSettings *settings, NauthRequest *request)
{
	nauth_request_header(request, "Authorization", "Bearer ",
						 settings->token != NULL ? settings->token : settings->api_key);
}

void
nauth_ask_client(const NauthSettings *settings, NauthRequest *request)
{
	nauth_request_form(request, "grant_type", "client_credentials");
	nauth_request_form(request, "client_id", settings->client_id);
	nauth_request_form(request, "client_secret", settings->client_secret);
}

bool
nauth_ask_id_listable(const NauthProvider *provider, const char *id)
{
	return provider->odd_ids == NULL || strchr(provider->odd_ids, id[0]) == NULL;
}
