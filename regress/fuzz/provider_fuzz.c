/*-------------------------------------------------------------------------
 *
 * provider_fuzz.c
 *	  Fuzz the reading of replies, for all providers.
 *
 * The first byte of an input chooses the provider, the reader and the size of
 * a page; the rest is the body of the reply.  Where the choice says so, the
 * body begins behind the first line and that line is the cursor.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "provider/provider.h"

#define MAX_PAGE_SIZE	16

#define check(condition) \
	do { if (!(condition)) abort(); } while (0)

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const NauthError no_error;

static void
check_user(const NauthUser *user, NauthSpan body)
{
	check(user->json.data >= body.data && user->json.len <= body.len &&
		  (size_t) (user->json.data - body.data) <= body.len - user->json.len);
	check(memchr(user->id, '\0', sizeof(user->id)) != NULL);
	check((user->id[0] == '\0') == (user->flaw == NAUTH_FLAW_ID));
	if (user->has_updated_at)
		check(user->flaw == NAUTH_FLAW_NONE &&
			  user->updated_at >= NAUTH_MOMENT_MIN &&
			  user->updated_at < NAUTH_MOMENT_MAX);
}

static void
check_error(bool read, const NauthError *error)
{
	check(read == (error->kind == NAUTH_OK));
	check(read == (error->reason == NULL));
	check(memchr(error->code, '\0', sizeof(error->code)) != NULL);
	check(memchr(error->request_id, '\0', sizeof(error->request_id)) != NULL);
}

/* Read a page, and once more as if it were the next one. */
static void
fuzz_page(const NauthProvider *provider, NauthQueryKind kind,
		  const char *cursor, const NauthReply *reply, int page_size)
{
	NauthSettings settings = {.url = "https://auth.example.com",.api_key = "key",.page_size = page_size};
	NauthQuery	query = {.kind = kind};
	char		next[NAUTH_CURSOR_MAX];

	for (int i = 0; i < 2; i++)
	{
		static NauthRequest request;
		NauthUser	users[MAX_PAGE_SIZE];
		NauthPage	page = {.users = users,.capacity = page_size < NAUTH_MIN_CAPACITY ? NAUTH_MIN_CAPACITY : page_size};
		NauthError	error = no_error;
		bool		read = provider->read_page(&settings, &query, cursor, reply,
											   &page, &error);

		check_error(read, &error);
		if (!read)
		{
			check(!page.last && !page.reread);
			return;
		}
		check(page.count >= 0 && page.count <= page.capacity);
		for (int user = 0; user < page.count; user++)
			check_user(&users[user], reply->body);
		if (page.last)
			return;

		/* what the provider wrote itself it can ask with */
		check(memchr(page.next, '\0', sizeof(page.next)) != NULL);
		if (page.next[0] == '\0')
		{
			check(kind == NAUTH_QUERY_CHANGES && !page.reread);
			return;
		}
		memcpy(next, page.next, sizeof(next));
		cursor = next;
		provider->write_request(&settings, &query, cursor, &request);
		check(!request.overflow);
	}
}

static void
fuzz_count(const NauthProvider *provider, const NauthReply *reply)
{
	NauthError	error = no_error;
	int64_t		count;
	bool		read = provider->read_count(reply, &count, &error);

	check_error(read, &error);
	if (read)
		check(count >= 0);
}

static void
fuzz_user(const NauthProvider *provider, const NauthReply *reply)
{
	NauthSettings settings = {.url = "https://auth.example.com",.api_key = "key"};
	NauthError	error = no_error;
	NauthUser	user;
	bool		read = nauth_read_user(provider, &settings, "a", reply, &user, &error);

	check_error(read, &error);
	if (read)
	{
		check_user(&user, reply->body);
		check(strcmp(user.id, "a") == 0);
	}
}

static void
fuzz_error(const NauthProvider *provider, NauthReply reply)
{
	NauthError	error = no_error;

	reply.status = provider->not_found_status;
	nauth_read_failure(provider, &reply, &error);
	if (nauth_read_is_not_found(provider, &reply))
		check(strcmp(error.code, provider->not_found_code) == 0);
	check_error(true, &error);
}

/* The first line of the body, taken off it; NULL when it is no cursor. */
static const char *
take_cursor(NauthReply *reply, char *cursor)
{
	const char *end = memchr(reply->body.data, '\n', reply->body.len);
	size_t		len = end == NULL ? 0 : (size_t) (end - reply->body.data);

	if (end == NULL || len >= NAUTH_CURSOR_MAX)
		return NULL;
	memcpy(cursor, reply->body.data, len);
	cursor[len] = '\0';
	reply->body.data += len + 1;
	reply->body.len -= len + 1;
	return cursor;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NauthReply	reply = {.status = 200,.body = {(const char *) data + 1, size - 1}};
	char		cursor[NAUTH_CURSOR_MAX];
	const NauthProvider *provider;
	int			choice;

	if (size == 0)
		return 0;
	choice = data[0];
	provider = nauth_providers[choice & 1];
	switch (choice >> 1 & 7)
	{
		case 0:
			fuzz_count(provider, &reply);
			break;
		case 1:
			fuzz_user(provider, &reply);
			break;
		case 2:
			fuzz_error(provider, reply);
			break;
		case 3:
			fuzz_page(provider, NAUTH_QUERY_LIST, take_cursor(&reply, cursor),
					  &reply, (choice >> 4) + 1);
			break;
		case 4:
			fuzz_page(provider, NAUTH_QUERY_CHANGES, take_cursor(&reply, cursor),
					  &reply, (choice >> 4) + 1);
			break;
		default:
			fuzz_page(provider, NAUTH_QUERY_LIST, NULL, &reply, (choice >> 4) + 1);
			break;
	}
	return 0;
}
