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
#include "reading.h"

#include <stdio.h>
#include <string.h>

#include "asking.h"

#define STATUS_MAX	32			/* bytes of a status that means something */

/* The members that a reader looks for in a user. */
enum
{
	FOUND_ID, FOUND_UPDATED_AT, FOUND_CREATED_AT, FOUND_DELETED_AT, FOUND_STATUS, FOUND_MEMBERS
};

/*
 * Those that the provider has: a member that is looked for costs time in each user.
 * Of a path it is the first name that is looked for, once for all that share it.
 */
typedef struct Members
{
	int			count;
	const char *names[FOUND_MEMBERS + 1];
	char		firsts[FOUND_MEMBERS][NAUTH_MEMBER_MAX + 1];	/* of paths */
	int			places[FOUND_MEMBERS];	/* of each of those above among the
										 * names; or -1 */
	const char *rests[FOUND_MEMBERS];	/* of its path, behind the first name;
										 * or NULL */
} Members;

/* The place of a name among those looked for. */
static int
place_name(Members *members, const char *name)
{
	for (int i = 0; i < members->count; i++)
		if (strcmp(members->names[i], name) == 0)
			return i;
	members->names[members->count] = name;
	return members->count++;
}

/* Look for a member by its path. */
static void
place_member(Members *members, int member, const char *path)
{
	size_t		len = strcspn(path, ".");
	char	   *first = members->firsts[member];

	if (path[len] == '\0')
		members->places[member] = place_name(members, path);
	else if (len <= NAUTH_MEMBER_MAX)
	{
		memcpy(first, path, len);
		first[len] = '\0';
		members->places[member] = place_name(members, first);
		members->rests[member] = path + len + 1;
	}
}

static void
name_members(const NauthColumns *columns, Members *members)
{
	const char *const all[FOUND_MEMBERS] = {
		[FOUND_ID] = columns->id,
		[FOUND_UPDATED_AT] = columns->updated_at.member,
		[FOUND_CREATED_AT] = columns->created_at.member,
		[FOUND_DELETED_AT] = columns->deleted_at.member,
		[FOUND_STATUS] = columns->status
	};

	members->count = 0;
	for (int i = 0; i < FOUND_MEMBERS; i++)
	{
		members->places[i] = -1;
		members->rests[i] = NULL;
		if (all[i] != NULL)
			place_member(members, i, all[i]);
	}
	members->names[members->count] = NULL;
}

/*
 * What a path leads to within a value, absent if it is no object; *duplicate is set
 * if a name of the path stands twice.
 */
static NauthSpan
enter_path(NauthSpan value, const char *path, bool *duplicate)
{
	while (path != NULL && !nauth_slice_is_null(value))
	{
		char		name[NAUTH_MEMBER_MAX + 1] = "";
		const char *const names[] = {name, NULL};
		size_t		len = strcspn(path, ".");
		NauthSliceResult result;

		if (len <= NAUTH_MEMBER_MAX)
			memcpy(name, path, len);
		result = nauth_slice_object(value, names, &value);
		*duplicate |= result == NAUTH_SLICE_DUPLICATE;
		if (len > NAUTH_MEMBER_MAX || (result != NAUTH_SLICE_DUPLICATE && !nauth_slice_is_split(result)))
			value.data = NULL;
		path = path[len] == '.' ? path + len + 1 : NULL;
	}
	return value;
}

/*
 * The values of all members from those of the names.  *flaw is raised to
 * NAUTH_SLICE_DUPLICATE where that is found within one.
 */
static void
find_members(const Members *members, const NauthSpan *values, NauthSpan *found, NauthSliceResult *flaw)
{
	for (int i = 0; i < FOUND_MEMBERS; i++)
	{
		bool		duplicate = false;

		found[i] = (NauthSpan)
		{
			NULL, 0
		};
		if (members->places[i] >= 0)
			found[i] = enter_path(values[members->places[i]], members->rests[i], &duplicate);
		if (duplicate)
			*flaw = NAUTH_SLICE_DUPLICATE;
	}
}

NauthSpan
nauth_read_path(NauthSpan json, const char *path)
{
	bool		duplicate = false;
	NauthSpan	value = enter_path(json, path, &duplicate);

	if (duplicate)
		value.data = NULL;
	return value;
}

void
nauth_read_begin(NauthPage *page)
{
	page->count = 0;
	page->last = false;
	page->reread = false;
	page->next[0] = '\0';
	page->total = -1;
	page->everybody = false;
}

bool
nauth_read_envelope(NauthSpan body, const char *const *names, NauthSpan *found, NauthError *error)
{
	return nauth_slice_is_split(nauth_slice_object(body, names, found)) ||
		nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the page is no JSON object or is cut off");
}

bool
nauth_read_no_cursor(NauthError *error)
{
	return nauth_error_set(error, NAUTH_ERROR_REQUEST, "the cursor of the listing is damaged");
}

/* Whether id is the member that stands twice, or what it is within. */
static bool
id_is_duplicate(const NauthColumns *columns, NauthSpan json)
{
	bool		duplicate = false;

	(void) enter_path(json, columns->id, &duplicate);
	return duplicate;
}

/* The digits of an integer, as they stand there. */
static void
read_number(NauthSpan value, NauthUser *user)
{
	int64_t		number;

	if (nauth_slice_int64(value, &number) && value.len <= NAUTH_ID_MAX)
	{
		memcpy(user->id, value.data, value.len);
		user->id[value.len] = '\0';
	}
}

static NauthFlaw
read_id(const NauthColumns *columns, NauthSliceResult result,
		NauthSpan value, NauthUser *user)
{
	user->id[0] = '\0';
	if (result != NAUTH_SLICE_DUPLICATE || !id_is_duplicate(columns, user->json))
	{
		if (!nauth_slice_text(value, user->id, sizeof(user->id)) && columns->id_is_number)
			read_number(value, user);
	}
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

/* Whether a user with such a status counts as deleted. */
static bool
is_deleted_status(const NauthColumns *columns, const NauthSettings *settings, NauthSpan status)
{
	char		text[STATUS_MAX];

	if (columns->status == NULL)
		return true;
	return settings->deprovisioned_deleted && nauth_slice_text(status, text, sizeof(text)) &&
		strcmp(text, columns->deleted_status) == 0;
}

/*
 * When the user was deleted, if it was; a time that cannot be read is a flaw.  Zero
 * is how some programs write that there is none, by their own or by 1970.
 */
static NauthFlaw
read_deleted_at(const NauthColumns *columns, const NauthSettings *settings,
				const NauthSpan *found, NauthUser *user)
{
	if (columns->deleted_at.member == NULL ||
		!is_deleted_status(columns, settings, found[FOUND_STATUS]))
		return NAUTH_FLAW_NONE;
	if (nauth_slice_is_null(found[FOUND_DELETED_AT]))
	{
		user->has_deleted_at = columns->status != NULL && user->has_updated_at;
		user->deleted_at = user->has_deleted_at ? user->updated_at : 0;
		return NAUTH_FLAW_NONE;
	}
	user->has_deleted_at = nauth_moment_read(found[FOUND_DELETED_AT], columns->deleted_at.form,
											 &user->deleted_at);
	if (!user->has_deleted_at)
		return NAUTH_FLAW_DELETION;
	user->has_deleted_at = user->deleted_at > 0;
	return NAUTH_FLAW_NONE;
}

/* values are those of the members, in their order. */
static void
fill_user(const NauthProvider *provider, const NauthSettings *settings, const Members *members,
		  NauthSliceResult result, NauthSpan json, const NauthSpan *values, NauthUser *user)
{
	const NauthColumns *columns = &provider->columns;
	NauthSpan	found[FOUND_MEMBERS];

	find_members(members, values, found, &result);
	user->json = json;
	user->has_updated_at = user->has_deleted_at = user->gone = false;
	user->updated_at = user->created_at = user->deleted_at = 0;
	user->has_created_at = nauth_moment_read(found[FOUND_CREATED_AT],
											 columns->created_at.form,
											 &user->created_at);
	user->flaw = read_id(columns, result, found[FOUND_ID], user);
	if (user->flaw == NAUTH_FLAW_NONE)
		user->flaw = flaw_of_slice(result);
	if (user->flaw == NAUTH_FLAW_NONE)
		user->flaw = read_updated_at(columns, found[FOUND_UPDATED_AT], user);
	if (user->flaw == NAUTH_FLAW_NONE)
		user->flaw = read_deleted_at(columns, settings, found, user);
}

bool
nauth_read_users(const NauthProvider *provider, const NauthSettings *settings,
				 NauthSpan array, int most, NauthPage *page, NauthError *error)
{
	Members		members;
	NauthSpan	values[FOUND_MEMBERS];
	NauthSlicer slicer;
	NauthSpan	json;
	NauthSliceResult result = nauth_slice_array(&slicer, array);

	name_members(&provider->columns, &members);
	page->count = 0;
	if (result != NAUTH_SLICE_OK)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "where the list of users should be is no JSON array");
	for (;;)
	{
		result = nauth_slice_next(&slicer, members.names, &json, values);
		if (result == NAUTH_SLICE_END)
			return true;
		if (result == NAUTH_SLICE_SYNTAX)
			return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
								   "the list of users is not valid JSON or is cut off");
		if (result == NAUTH_SLICE_TYPE)
			return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
								   "the list of users has an element that is no object");
		if (page->count == page->capacity || page->count == most)
			return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
								   "the page has more users than were asked for");
		fill_user(provider, settings, &members, result, json, values, &page->users[page->count++]);
	}
}

bool
nauth_read_object(const NauthProvider *provider, const NauthSettings *settings,
				  NauthSpan json, NauthUser *user)
{
	Members		members;
	NauthSpan	values[FOUND_MEMBERS];
	NauthSliceResult result;

	name_members(&provider->columns, &members);
	result = nauth_slice_object(json, members.names, values);
	if (result == NAUTH_SLICE_SYNTAX || result == NAUTH_SLICE_TYPE)
		return false;
	fill_user(provider, settings, &members, result, json, values, user);
	return true;
}

bool
nauth_read_user(const NauthProvider *provider, const NauthSettings *settings,
				const char *id, const NauthReply *reply, NauthUser *user,
				bool *missing, NauthError *error)
{
	NauthSpan	json = reply->body;

	*missing = false;
	if (provider->find_user != NULL && !provider->find_user(settings, reply, &json, missing, error))
		return false;
	if (!nauth_read_object(provider, settings, json, user))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE,
							   "where the user should be is no JSON object");
	if (provider->has_aliases && user->id[0] != '\0' && id[0] != '\0' && strcmp(user->id, id) != 0)
	{
		error->hint = "Ask for the user by the id that it has at the provider, not by something else that finds it there.";
		return nauth_error_set(error, NAUTH_ERROR_UNFIT, "another user answers to this id");
	}
	if (user->id[0] == '\0' || id[0] == '\0')
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "where the user should be is none with an id");
	if (strcmp(user->id, id) != 0)
	{
		error->hint = "Check that options \"provider\" and \"url\" of the server belong together.";
		return nauth_error_set(error, NAUTH_ERROR_UNFIT, "the reply is not about the user that was asked for");
	}
	return true;
}
