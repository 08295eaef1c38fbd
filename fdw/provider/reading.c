/*-------------------------------------------------------------------------
 *
 * reading.c
 *	  Read users from replies: what all providers have in common.
 *
 * A user that is flawed is passed on with its flaw, for one poisoned user must
 * not hide the others; a reply that is flawed is an error, for it must not be
 * taken for a small directory.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "provider.h"

#include <string.h>

#include "../json.h"

/* The members that a reader looks for in a user. */
enum
{
	FOUND_ID, FOUND_UPDATED_AT, FOUND_CREATED_AT, FOUND_MEMBERS
};

#define MEMBER_NAMES(columns) \
	{(columns)->id, (columns)->updated_at.member, (columns)->created_at.member, NULL}

int
nauth_read_limit(const NauthSettings *settings, const NauthQuery *query,
				 const char *cursor)
{
	int			limit = settings->page_size;

	if (query->newest)
		return 1;
	if (query->kind != NAUTH_QUERY_CHANGES)
		return limit;
	if (cursor == NULL && query->limit > 0 && query->limit < limit)
		limit = query->limit;
	return limit < NAUTH_MIN_CAPACITY ? NAUTH_MIN_CAPACITY : limit;
}

void
nauth_read_begin(NauthPage *page)
{
	page->count = 0;
	page->last = false;
	page->reread = false;
	page->next[0] = '\0';
	page->total = -1;
}

/* Whether id is the member that stands twice. */
static bool
id_is_duplicate(const NauthColumns *columns, NauthSpan json)
{
	const char *const names[] = {columns->id, NULL};
	NauthSpan	found[1];

	return nauth_slice_object(json, names, found) == NAUTH_SLICE_DUPLICATE;
}

static NauthFlaw
read_id(const NauthColumns *columns, NauthSliceResult result,
		NauthSpan value, NauthUser *user)
{
	if (result == NAUTH_SLICE_DUPLICATE && id_is_duplicate(columns, user->json))
		user->id[0] = '\0';
	else
		nauth_slice_text(value, user->id, sizeof(user->id));
	return user->id[0] == '\0' ? NAUTH_FLAW_ID : NAUTH_FLAW_NONE;
}

static NauthFlaw
flaw_of_slice(NauthSliceResult result)
{
	switch (result)
	{
		case NAUTH_SLICE_DUPLICATE:
			return NAUTH_FLAW_DUPLICATE;
		case NAUTH_SLICE_DEEP:
			return NAUTH_FLAW_DEEP;
		case NAUTH_SLICE_LONG_NUMBER:
			return NAUTH_FLAW_NUMBER;
		default:
			return NAUTH_FLAW_NONE;
	}
}

/* A modification time that is absent or null is no flaw: there is none. */
static NauthFlaw
read_updated_at(const NauthColumns *columns, NauthSpan value, NauthUser *user)
{
	if (nauth_slice_is_null(value))
		return NAUTH_FLAW_NONE;
	user->has_updated_at = nauth_moment_read(value, columns->updated_at.form,
											 &user->updated_at);
	return user->has_updated_at ? NAUTH_FLAW_NONE : NAUTH_FLAW_TIME;
}

static void
fill_user(const NauthColumns *columns, NauthSliceResult result,
		  NauthSpan json, const NauthSpan *found, NauthUser *user)
{
	user->json = json;
	user->has_updated_at = false;
	user->updated_at = user->created_at = 0;
	user->has_created_at = nauth_moment_read(found[FOUND_CREATED_AT],
											 columns->created_at.form,
											 &user->created_at);
	user->flaw = read_id(columns, result, found[FOUND_ID], user);
	if (user->flaw == NAUTH_FLAW_NONE)
		user->flaw = flaw_of_slice(result);
	if (user->flaw == NAUTH_FLAW_NONE)
		user->flaw = read_updated_at(columns, found[FOUND_UPDATED_AT], user);
}

bool
nauth_read_users(const NauthProvider *provider, NauthSpan array,
				 NauthPage *page, NauthError *error)
{
	const NauthColumns *columns = &provider->columns;
	const char *const names[] = MEMBER_NAMES(columns);
	NauthSpan	found[FOUND_MEMBERS] = {{NULL, 0}};
	NauthSlicer slicer;
	NauthSpan	json;
	NauthSliceResult result = nauth_slice_array(&slicer, array);

	page->count = 0;
	if (result != NAUTH_SLICE_OK)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "where the list of users should be is no JSON array");
	for (;;)
	{
		result = nauth_slice_next(&slicer, names, &json, found);
		if (result == NAUTH_SLICE_END)
			return true;
		if (result == NAUTH_SLICE_SYNTAX)
			return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
								   "the list of users is not valid JSON or is cut off");
		if (result == NAUTH_SLICE_TYPE)
			return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
								   "the list of users has an element that is no object");
		if (page->count == page->capacity)
			return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
								   "the page has more users than were asked for");
		fill_user(columns, result, json, found, &page->users[page->count++]);
	}
}

bool
nauth_read_user(const NauthProvider *provider, const char *id,
				const NauthReply *reply, NauthUser *user, NauthError *error)
{
	const NauthColumns *columns = &provider->columns;
	const char *const names[] = MEMBER_NAMES(columns);
	NauthSpan	found[FOUND_MEMBERS] = {{NULL, 0}};
	NauthSliceResult result = nauth_slice_object(reply->body, names, found);

	if (result == NAUTH_SLICE_SYNTAX || result == NAUTH_SLICE_TYPE)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "where the user should be is no JSON object");
	fill_user(columns, result, reply->body, found, user);
	if (strcmp(user->id, id) != 0 || id[0] == '\0')
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "the reply is not about the user that was asked for");
	return true;
}

bool
nauth_read_id_possible(const NauthProvider *provider, const char *id)
{
	return id[0] != '\0' && strlen(id) <= NAUTH_ID_MAX &&
		strcmp(id, ".") != 0 && strcmp(id, "..") != 0 &&
		(provider->reserved_id == NULL || strcmp(id, provider->reserved_id) != 0);
}

bool
nauth_read_is_not_found(const NauthProvider *provider, const NauthReply *reply,
						NauthError *error)
{
	char		code[NAUTH_ERROR_CODE] = "";

	nauth_json_text(reply->body, provider->error_path, code, sizeof(code));
	nauth_error_set_code(error, code);
	return reply->status == provider->not_found_status &&
		strcmp(error->code, provider->not_found_code) == 0;
}
