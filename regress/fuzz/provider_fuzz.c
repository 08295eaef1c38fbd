/*-------------------------------------------------------------------------
 *
 * provider_fuzz.c
 *	  Fuzz the reading of replies, for all providers.
 *
 * The first byte of an input chooses the provider, and what is over the options of a
 * directory of one's own; the second the reader and the
 * size of a page; the rest is the body of the reply.  Where the choice says so,
 * a first line of it is the cursor, and where the provider pages by a header, the
 * next line is that.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "provider/provider.h"
#include "provider/reading.h"
#include "provider/reply.h"

#define MAX_PAGE_SIZE	64

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
		check((user->flaw == NAUTH_FLAW_NONE || user->flaw == NAUTH_FLAW_DELETION) &&
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

/* Of a server that has all options. */
static const NauthSettings all_settings = {
	.url = "https://auth.example.com",
	.api_key = "key",
	.client_id = "client",
	.client_secret = "secret",
	.more = {
		[NAUTH_SETTING_PROJECT_ID] = "project",
		[NAUTH_SETTING_REALM] = "realm",
		[NAUTH_SETTING_USER_POOL_ID] = "eu-central-1_Example01"
	},
	.deprovisioned_deleted = true
};

/* What directories of one's own may have beside that. */
static const char *const pagings[] = {"none", "page", "offset", "cursor", "link"};

static NauthSettings own_settings;

/* Settings for this choice, and the provider that they make. */
static NauthProvider
adapt_provider(const NauthProvider *provider, int choice)
{
	NauthProvider copy = *provider;

	own_settings = all_settings;
	if (provider->adapt == NULL)
		return copy;
	own_settings.more[NAUTH_SETTING_LIST_PATH] = "/users?all=1";
	own_settings.more[NAUTH_SETTING_PAGING] = pagings[choice % 5];
	own_settings.more[NAUTH_SETTING_NEXT_MEMBER] = "next";
	own_settings.more[NAUTH_SETTING_USERS_MEMBER] = choice & 1 ? "users" : NULL;
	own_settings.more[NAUTH_SETTING_TOTAL_MEMBER] = choice & 2 ? "total" : NULL;
	own_settings.more[NAUTH_SETTING_UPDATED_AT_MEMBER] = "updatedAt";
	own_settings.more[NAUTH_SETTING_TIME_UNIT] = choice & 4 ? "s" : NULL;
	own_settings.more[NAUTH_SETTING_ID_TYPE] = choice & 8 ? "integer" : NULL;
	own_settings.more[NAUTH_SETTING_USER_PATH] = "/users/{id}";
	own_settings.more[NAUTH_SETTING_USER_MEMBER] = choice & 1 ? "data.user" : NULL;
	own_settings.more[NAUTH_SETTING_SINCE_PARAMETER] = "since";
	own_settings.more[NAUTH_SETTING_NOT_FOUND_MEMBER] = "error.code";
	own_settings.more[NAUTH_SETTING_NOT_FOUND_VALUE] = "1404";
	provider->adapt(&own_settings, &copy);
	return copy;
}

/* Read a page, and once more as if it were the next one. */
static void
fuzz_page(const NauthProvider *provider, NauthQueryKind kind,
		  const char *cursor, const NauthReply *reply, int page_size)
{
	NauthSettings settings = own_settings;
	NauthQuery	query = {.kind = kind};
	char		next[NAUTH_CURSOR_MAX];

	settings.page_size = page_size < provider->min_page_size ? provider->min_page_size : page_size;
	for (int i = 0; i < 2; i++)
	{
		static NauthRequest request;
		NauthUser	users[MAX_PAGE_SIZE];
		NauthPage	page = {.users = users,.capacity = MAX_PAGE_SIZE};
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
	bool		read;

	if (provider->read_count == NULL && provider->count_path == NULL)
		return;
	read = nauth_reply_count(provider, reply, &count, &error);
	check_error(read, &error);
	if (read)
		check(count >= 0);
}

static void
fuzz_user(const NauthProvider *provider, const NauthReply *reply)
{
	NauthError	error = no_error;
	NauthUser	user;
	bool		missing;
	bool		read = nauth_read_user(provider, &own_settings, "a", reply, &user, &missing, &error);

	check(!read || !missing);
	check_error(read || missing, &error);
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
	nauth_reply_failure(provider, &reply, &error);
	check(nauth_reply_kind(provider, &reply) != NAUTH_OK);
	if (nauth_reply_is_not_found(provider, &reply) && provider->known_codes[0].code != NULL)
		check(strcmp(error.code, provider->not_found_code) == 0);
	check_error(true, &error);
}

/* The first line of the body, taken off it; NULL when it is none or too long. */
static const char *
take_line(NauthReply *reply, char line[NAUTH_CURSOR_MAX])
{
	const char *end = memchr(reply->body.data, '\n', reply->body.len);
	size_t		len = end == NULL ? 0 : (size_t) (end - reply->body.data);

	if (end == NULL || len >= NAUTH_CURSOR_MAX)
		return NULL;
	memcpy(line, reply->body.data, len);
	line[len] = '\0';
	reply->body.data += len + 1;
	reply->body.len -= len + 1;
	return line;
}

static const NauthProvider *
choose_provider(uint8_t choice, int *rest)
{
	int			count = 0;

	while (nauth_providers[count] != NULL)
		count++;
	*rest = choice / count;
	return nauth_providers[choice % count];
}

/* What a token says of itself is text of strangers, too. */
static void
fuzz_token(const NauthProvider *provider, const NauthReply *reply)
{
	char		token[NAUTH_TOKEN_MAX];
	NauthError	error = no_error;

	if (provider->check_token == NULL || reply->body.len >= sizeof(token))
		return;
	memcpy(token, reply->body.data, reply->body.len);
	token[reply->body.len] = '\0';
	check_error(provider->check_token(token, &error), &error);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NauthReply	reply = {.status = 200};
	char		line[NAUTH_CURSOR_MAX];
	char		header[NAUTH_CURSOR_MAX];
	NauthProvider adapted;
	const NauthProvider *provider;
	int			rest;
	NauthQueryKind kind = NAUTH_QUERY_LIST;
	const char *cursor = NULL;

	if (size < 2)
		return 0;
	provider = choose_provider(data[0], &rest);
	adapted = adapt_provider(provider, rest);
	provider = &adapted;
	reply.body = (NauthSpan)
	{
		(const char *) data + 2, size - 2
	};
	switch (data[1] & 15)
	{
		case 0:
			fuzz_count(provider, &reply);
			return 0;
		case 1:
			fuzz_user(provider, &reply);
			return 0;
		case 2:
			fuzz_error(provider, reply);
			return 0;
		case 3:
			fuzz_token(provider, &reply);
			return 0;
		case 4:
			if (provider->page_header != NULL)
				reply.header = take_line(&reply, header);
			fuzz_count(provider, &reply);
			return 0;
		case 5:
		case 6:
			cursor = take_line(&reply, line);
			kind = data[1] & 1 ? NAUTH_QUERY_LIST : NAUTH_QUERY_CHANGES;
			break;
		case 7:
			cursor = take_line(&reply, line);
			kind = NAUTH_QUERY_SINCE;
			break;
		default:
			break;
	}
	if (provider->page_header != NULL)
		reply.header = take_line(&reply, header);
	if ((kind == NAUTH_QUERY_CHANGES && !provider->lists_changes) ||
		(kind == NAUTH_QUERY_SINCE && !provider->lists_since))
		kind = NAUTH_QUERY_LIST;
	fuzz_page(provider, kind, cursor, &reply, (data[1] >> 4) + 1);
	return 0;
}
