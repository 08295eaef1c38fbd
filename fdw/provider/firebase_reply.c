/*-------------------------------------------------------------------------
 *
 * firebase_reply.c
 *	  Read what Firebase Authentication replies.
 *
 * A member without a value is left out, so nobody is a reply without users.  What
 * tells it from any other object is its "kind".
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "firebase.h"

#include <string.h>

#include "asking.h"
#include "reading.h"

#define LISTED		"identitytoolkit#DownloadAccountResponse"
#define LOOKED_UP	"identitytoolkit#GetAccountInfoResponse"

#define KIND_MAX	64
#define TOKEN_MAX	3072		/* of a page's, encoded, to fit into a URL */
#define DIGITS_MAX	19			/* of a count that fits */

/* What is around users. */
enum
{
	FOUND_KIND, FOUND_USERS, FOUND_NEXT, FOUND_MEMBERS
};

/* The emulator's token is the id of a user, so it may have any characters. */
bool
nauth_firebase_is_token(const char *text)
{
	if (text[0] == '\0' || strnlen(text, NAUTH_CURSOR_MAX) == NAUTH_CURSOR_MAX ||
		nauth_request_encoded(text) > TOKEN_MAX)
		return false;
	for (; *text != '\0'; text++)
		if ((unsigned char) *text < ' ' || *text == 0x7F)
			return false;
	return true;
}

/*
 * Users that nest too deep are found when they are read themselves, so depth and
 * numbers do not matter here.
 */
static bool
read_envelope(const NauthReply *reply, const char *kind, NauthSpan found[FOUND_MEMBERS],
			  NauthError *error)
{
	static const char *const names[FOUND_MEMBERS + 1] = {"kind", "users", "nextPageToken", NULL};
	char		text[KIND_MAX];

	if (!nauth_read_envelope(reply->body, names, found, error))
		return false;
	if (!nauth_slice_text(found[FOUND_KIND], text, sizeof(text)) || strcmp(text, kind) != 0)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the reply is of another kind than was asked for");
	return true;
}

/* Only a page without a token, or with an empty one, is the last. */
static bool
read_next(NauthSpan token, NauthPage *page, NauthError *error)
{
	if (token.data == NULL || (token.len == 2 && memcmp(token.data, "\"\"", 2) == 0))
	{
		page->last = true;
		return true;
	}
	if (!nauth_slice_text(token, page->next, NAUTH_CURSOR_MAX) || !nauth_firebase_is_token(page->next))
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the token of the next page is none that could be sent");

	/* a page may be empty although there are more */
	page->reread = page->count == 0;
	return true;
}

bool
nauth_firebase_read_page(const NauthSettings *settings, const NauthQuery *query, const char *cursor,
						 const NauthReply *reply, NauthPage *page, NauthError *error)
{
	bool		lookup = nauth_firebase_is_lookup(query);
	NauthSpan	found[FOUND_MEMBERS];

	nauth_read_begin(page);
	if (cursor != NULL && (lookup || !nauth_firebase_is_token(cursor)))
		return nauth_read_no_cursor(error);
	if (!read_envelope(reply, lookup ? LOOKED_UP : LISTED, found, error) ||
		(found[FOUND_USERS].data != NULL &&
		 !nauth_read_users(&nauth_provider_firebase, settings, found[FOUND_USERS],
						   lookup ? page->capacity : nauth_ask_limit(settings, query, cursor), page, error)))
		return false;
	if (lookup)
	{
		page->last = true;
		return true;
	}
	return read_next(found[FOUND_NEXT], page, error);
}

bool
nauth_firebase_find_user(const NauthSettings *settings, const NauthReply *reply, NauthSpan *json,
						 bool *missing, NauthError *error)
{
	static const char *const none[] = {NULL};
	NauthSpan	found[FOUND_MEMBERS];
	NauthSpan	nothing[1];
	NauthSlicer slicer;
	NauthSpan	next;

	(void) settings;
	*missing = false;
	if (!read_envelope(reply, LOOKED_UP, found, error))
		return false;
	if (found[FOUND_USERS].data == NULL)
	{
		*missing = true;
		return false;
	}
	if (nauth_slice_array(&slicer, found[FOUND_USERS]) == NAUTH_SLICE_OK &&
		nauth_slice_is_split(nauth_slice_next(&slicer, none, json, nothing)) &&
		nauth_slice_next(&slicer, none, &next, nothing) == NAUTH_SLICE_END)
		return true;
	return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the reply to a look-up of one user is not one user");
}

/* A count is a text of digits. */
bool
nauth_firebase_read_count(const NauthReply *reply, int64_t *count, NauthError *error)
{
	static const char *const names[] = {"recordsCount", NULL};
	char		digits[DIGITS_MAX + 1];
	NauthSpan	number = {digits, 0};
	NauthSpan	found[1];

	if (nauth_slice_object(reply->body, names, found) == NAUTH_SLICE_OK &&
		nauth_slice_text(found[0], digits, sizeof(digits)))
		number.len = strspn(digits, "0123456789");
	if (number.len > 0 && digits[number.len] == '\0' && nauth_slice_int64(number, count))
		return true;
	return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the count of users is no text of digits");
}
