/*-------------------------------------------------------------------------
 *
 * provider_unit.h
 *	  What the tests of all providers ask of them.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_PROVIDER_UNIT_H
#define NAUTH_PROVIDER_UNIT_H

#include "unit.h"

#include "provider/provider.h"

#define UNIT_USERS	600

/* the longest id there is */
#define IDS_255 \
	"iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii" \
	"iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii" \
	"iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii"

static NauthUser unit_users[UNIT_USERS];
static NauthPage unit_page;
static NauthError unit_error;
static NauthRequest unit_request;
static NauthQuery unit_query;	/* what unit_write adds kind and id to */
static NauthSettings unit_settings = {.url = "https://auth.example.com",.api_key = "key"};

/* What is expected of a user of the fixture hostile.json. */
typedef struct UserCase
{
	const char *id;
	NauthFlaw	flaw;
	bool		has_updated_at;
} UserCase;

/* The first users of that fixture; the rest is about times, by provider. */
static const UserCase unit_hostile[] = {
	{"nul", NAUTH_FLAW_NONE, true},
	{"surrogate", NAUTH_FLAW_NONE, true},
	{"exponent_400", NAUTH_FLAW_NONE, true},
	{"exponent_401", NAUTH_FLAW_NUMBER, false},
	{"exponent_huge", NAUTH_FLAW_NUMBER, false},
	{"digits_128", NAUTH_FLAW_NONE, true},
	{"digits_129", NAUTH_FLAW_NUMBER, false},
	{"depth_64", NAUTH_FLAW_NONE, true},
	{"depth_65", NAUTH_FLAW_DEEP, false},
	{"depth_2049", NAUTH_FLAW_DEEP, false},
	{"", NAUTH_FLAW_ID, false},
	{"", NAUTH_FLAW_ID, false},
	{"", NAUTH_FLAW_ID, false},
	{"", NAUTH_FLAW_ID, false},
	{"", NAUTH_FLAW_ID, false},
	{"", NAUTH_FLAW_ID, false},
	{"", NAUTH_FLAW_ID, false},
	{"", NAUTH_FLAW_ID, false},
	{"", NAUTH_FLAW_ID, false},
	{"", NAUTH_FLAW_ID, false},
	{IDS_255, NAUTH_FLAW_NONE, true},
	{"spaced \"quoted\" \n line", NAUTH_FLAW_NONE, true},
	{"same", NAUTH_FLAW_NONE, true},
	{"same", NAUTH_FLAW_NONE, true}
};

static inline void
unit_write(const NauthProvider *provider, NauthQueryKind kind, const char *id,
		   const char *cursor)
{
	unit_query.kind = kind;
	unit_query.id = id;
	provider->write_request(&unit_settings, &unit_query, cursor, &unit_request);
}

/* Read a page into unit_page; it is one of the query last written. */
static inline bool
unit_read(const NauthProvider *provider, const char *cursor, NauthSpan body)
{
	NauthReply	reply = {.status = 200,.body = body};

	memset(&unit_error, 0, sizeof(unit_error));
	memset(&unit_page, 0x5A, sizeof(unit_page));
	unit_page.users = unit_users;
	unit_page.capacity = UNIT_USERS;
	return provider->read_page(&unit_settings, &unit_query, cursor, &reply,
							   &unit_page, &unit_error);
}

static inline bool
unit_read_fixture(const NauthProvider *provider, const char *cursor,
				  const char *name)
{
	NauthSpan	body = unit_fixture(name);
	bool		read = unit_read(provider, cursor, body);

	unit_free(body);
	return read;
}

/* No page that is cut off may pass for a page. */
static inline void
unit_check_cut(const NauthProvider *provider, const char *fixture)
{
	NauthSpan	page = unit_fixture(fixture);
	size_t		end = page.len;
	int			read = 0;

	unit_query.kind = NAUTH_QUERY_LIST;
	while (page.data[end - 1] != ']' && page.data[end - 1] != '}')
		end--;
	for (size_t len = 0; len < end; len++)
	{
		NauthSpan	cut = unit_copy(page.data, len);

		read += unit_read(provider, NULL, cut);
		read += unit_page.last || unit_error.kind != NAUTH_ERROR_UNREADABLE;
		unit_free(cut);
	}
	is_int(read, 0, "a page that is cut off anywhere is unreadable");
	unit_free(page);
}

/* Nor may anything that came with status 200 and is no page at all. */
static inline void
unit_check_bodies(const NauthProvider *provider)
{
	static const char *const bodies[] = {
		"", " ", "{}", "null", "true", "0", "\"[]\"", "[1]", "[null]", "[[]]",
		"<!doctype html><html><body>Sign in</body></html>",
		"{\"errors\":[{\"code\":\"internal_error\",\"message\":\"x\"}]}",
		"{\"message\":\"x\",\"code\":\"INTERNAL\"}",
		"{\"users\":null,\"total\":0,\"limit\":4}",
		"{\"users\":{},\"total\":0,\"limit\":4}",
		"{\"users\":[1],\"total\":1,\"limit\":4}",
		"\xEF\xBB\xBF[]", "[]x", "[]\n[]"
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		NauthSpan	body = unit_copy_text(bodies[i]);
		NauthReply	reply = {.status = 200,.body = body};
		NauthUser	user;
		int64_t		count;
		char		name[64];

		snprintf(name, sizeof(name), "body %zu is no page", i);
		ok(!unit_read(provider, NULL, body) && !unit_page.last &&
		   unit_error.kind == NAUTH_ERROR_UNREADABLE &&
		   unit_error.reason != NULL, name);
		snprintf(name, sizeof(name), "body %zu is no count", i);
		ok(provider->read_count == NULL || !provider->read_count(&reply, &count, &unit_error), name);
		snprintf(name, sizeof(name), "body %zu is no user", i);
		ok(!nauth_read_user(provider, &unit_settings, "user", &reply, &user, &unit_error), name);
		unit_free(body);
	}
}

static inline void
unit_check_hostile(const NauthProvider *provider, const char *fixture,
				   const UserCase *times, int count)
{
	const int	common = sizeof(unit_hostile) / sizeof(unit_hostile[0]);
	const bool	timed = provider->columns.updated_at.member != NULL;
	NauthSpan	body = unit_fixture(fixture);

	unit_settings.page_size = common + count;
	ok(unit_read(provider, NULL, body), "a page of hostile users is read");
	is_int(unit_page.count, common + count, "with all of its users");
	for (int i = 0; i < unit_page.count; i++)
	{
		const NauthUser *user = &unit_users[i];
		const UserCase *expected =
		i < common ? &unit_hostile[i] : &times[i - common];
		char		name[64];

		snprintf(name, sizeof(name), "hostile user %d", i);
		ok(strcmp(user->id, expected->id) == 0 &&
		   user->flaw == expected->flaw &&
		   user->has_updated_at == (expected->has_updated_at && timed) &&
		   user->json.data > body.data && user->json.data[0] == '{' &&
		   user->json.data + user->json.len < body.data + body.len &&
		   user->json.data[user->json.len - 1] == '}', name);
	}
	unit_free(body);
}

/* Read a failure into unit_error; header is that of the request id, or "". */
static inline void
unit_read_failure(const NauthProvider *provider, int status, const char *header, NauthSpan body)
{
	NauthReply	reply = {.status = status,.body = body};

	memset(&unit_error, 0, sizeof(unit_error));
	memcpy(reply.request_id, header, strlen(header) + 1);
	nauth_read_failure(provider, &reply, &unit_error);
}

/* Whether this means that a user does not exist; it is read as a failure too. */
static inline bool
unit_is_not_found(const NauthProvider *provider, int status,
				  const char *fixture)
{
	NauthReply	reply = {.status = status,.body = unit_fixture(fixture)};
	bool		not_found = nauth_read_is_not_found(provider, &reply);

	unit_read_failure(provider, status, "", reply.body);
	unit_free(reply.body);
	return not_found;
}

/* Read as a failure a body that has this code and this id where they belong. */
static inline void
unit_read_failure_with(const NauthProvider *provider, const char *format,
					   const char *code, const char *id, const char *header)
{
	char		json[1024];
	NauthSpan	body;

	snprintf(json, sizeof(json), format, code, id);
	body = unit_copy_text(json);
	unit_read_failure(provider, 403, header, body);
	unit_free(body);
}

/* No text of an error body but a known code and what looks like an id is kept. */
static inline void
unit_check_failures(const NauthProvider *provider, const char *format)
{
	const char *known = provider->known_codes[0].code;

	for (const NauthKnownCode *code = provider->known_codes; code->code != NULL; code++)
	{
		unit_read_failure_with(provider, format, code->code, "", "");
		is_text(unit_error.code, code->code, "a known code");
		ok(unit_error.hint == code->hint, "with its hint");
		ok(code->hint == NULL || strchr(code->hint, '%') == NULL ||
		   strchr(code->hint, '%') == strstr(strrchr(code->hint, '%'), "%s"),
		   "which names the server, if anything");
	}
	unit_read_failure_with(provider, format, "another_code", "", "");
	ok(unit_error.code[0] == '\0' && unit_error.hint == NULL, "an unknown code is not kept");
	unit_read_failure_with(provider, format, "", "", "");
	is_text(unit_error.code, "", "nor is none");
	is_int(unit_error.status, 403, "the status is");
	unit_read_failure_with(provider, format, known, "", "head-1.:_");
	is_text(unit_error.request_id, "head-1.:_", "an id of a header");
	unit_read_failure_with(provider, format, known, "", "ada@example.com");
	is_text(unit_error.request_id, "", "unless it is none");
}

/* Read a user from a fixture; the user's bytes are not to be looked at. */
static inline bool
unit_read_user(const NauthProvider *provider, const char *id,
			   const char *fixture, NauthUser *user)
{
	NauthReply	reply = {.status = 200,.body = unit_fixture(fixture)};
	bool		read = nauth_read_user(provider, &unit_settings, id, &reply, user, &unit_error);

	unit_free(reply.body);
	return read;
}

/* Read a count from this body, which is freed; -1 when it is refused. */
static inline int64_t
unit_read_count_body(const NauthProvider *provider, NauthSpan body)
{
	NauthReply	reply = {.status = 200,.body = body};
	int64_t		count;
	bool		read = provider->read_count(&reply, &count, &unit_error);

	unit_free(body);
	return read ? count : -1;
}

static inline int64_t
unit_read_count(const NauthProvider *provider, const char *json)
{
	return unit_read_count_body(provider, unit_copy_text(json));
}

#endif							/* NAUTH_PROVIDER_UNIT_H */
