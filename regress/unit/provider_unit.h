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
#include "provider/reading.h"
#include "provider/reply.h"

#define UNIT_USERS	600

/* the longest id there is */
#define IDS_255 \
	"iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii" \
	"iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii" \
	"iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii"

static NauthUser unit_users[UNIT_USERS];
static NauthPage unit_page;
static NauthError unit_error;
static bool unit_missing;		/* unit_read_user found that there is none */
static NauthRequest unit_request;
static NauthQuery unit_query;	/* what unit_write adds kind and id to */
static NauthSettings unit_settings = {.url = "https://auth.example.com",.api_key = "key"};

/* What pages and counts come with in the provider's page_header, or NULL. */
static const char *unit_header;

/* Room that the page of hostile users has for more of them. */
static int	unit_spare;
static uint64_t unit_seed;		/* of unit_below */

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

/* Those who come next where times are texts of RFC 3339. */
static const UserCase unit_rfc3339[] = {
	{"time_absent", NAUTH_FLAW_NONE, false},
	{"time_null", NAUTH_FLAW_NONE, false},
	{"time_twice", NAUTH_FLAW_DUPLICATE, false},
	{"time_number", NAUTH_FLAW_TIME, false},
	{"time_date", NAUTH_FLAW_TIME, false},
	{"time_february_30", NAUTH_FLAW_TIME, false},
	{"time_no_zone", NAUTH_FLAW_TIME, false},
	{"time_offset", NAUTH_FLAW_NONE, true},
	{"time_year_0", NAUTH_FLAW_TIME, false},
	{"time_long_year", NAUTH_FLAW_TIME, false},
	{"time_nul", NAUTH_FLAW_TIME, false}
};

/* Some number from 0 on, below this end. */
static inline int
unit_below(int end)
{
	unit_seed = unit_seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (int) ((unit_seed >> 33) % (uint64_t) end);
}

/* A good reply with this body. */
static inline NauthReply
unit_reply(NauthSpan body)
{
	NauthReply	reply = {.status = 200,.header = unit_header,.body = body};

	return reply;
}

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
	NauthReply	reply = unit_reply(body);

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

/*
 * How the reading of this body ends, as a page of the query last written, and
 * whether that is the end of the listing.
 */
static inline void
unit_check_page(const NauthProvider *provider, const char *json, NauthErrorKind kind, bool last,
				const char *name)
{
	NauthSpan	body = unit_copy_text(json);

	ok(unit_read(provider, NULL, body) == (kind == NAUTH_OK) && unit_error.kind == kind, name);
	ok(unit_page.last == last, "and whether it is the end");
	unit_free(body);
}

/* A body, and how the reading of it ends. */
struct BodyCase
{
	const char *json;
	NauthErrorKind kind;
	bool		last;
	const char *name;
};

static inline void
unit_check_pages(const NauthProvider *provider, const struct BodyCase *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		unit_check_page(provider, cases[i].json, cases[i].kind, cases[i].last, cases[i].name);
}

/* No cursor that is damaged may be asked with, nor may a page be read with it. */
static inline void
unit_check_cursors(const NauthProvider *provider, NauthQueryKind kind, const char *fixture,
				   const char *const *damaged, int count)
{
	for (int i = 0; i < count; i++)
	{
		char		name[64];

		unit_write(provider, kind, NULL, damaged[i]);
		snprintf(name, sizeof(name), "damaged cursor %d is not asked with", i);
		ok(unit_request.overflow, name);
		ok(!unit_read_fixture(provider, damaged[i], fixture) && !unit_page.last &&
		   unit_error.kind == NAUTH_ERROR_REQUEST, "nor read with");
	}
}

/* No page that is cut off may pass for a page. */
static inline void
unit_check_cut(const NauthProvider *provider, NauthQueryKind kind, const char *fixture)
{
	NauthSpan	page = unit_fixture(fixture);
	size_t		end = page.len;
	int			read = 0;

	unit_query.kind = kind;
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
		NauthReply	reply = unit_reply(body);
		NauthUser	user;
		bool		missing;
		int64_t		count;
		char		name[64];

		snprintf(name, sizeof(name), "body %zu is no page", i);
		ok(!unit_read(provider, NULL, body) && !unit_page.last &&
		   unit_error.kind == NAUTH_ERROR_UNREADABLE &&
		   unit_error.reason != NULL, name);
		snprintf(name, sizeof(name), "body %zu is no count", i);
		ok(provider->read_count == NULL || !provider->read_count(&reply, &count, &unit_error), name);
		snprintf(name, sizeof(name), "body %zu is no user", i);
		ok(!nauth_read_user(provider, &unit_settings, "user", &reply, &user, &missing, &unit_error), name);
		unit_free(body);
	}
}

/* Hostile users are passed on, each with its flaw; these follow on unit_hostile. */
static inline void
unit_check_hostile(const NauthProvider *provider, const char *fixture,
				   const UserCase *times, int count)
{
	const int	common = sizeof(unit_hostile) / sizeof(unit_hostile[0]);
	const bool	timed = provider->columns.updated_at.member != NULL;
	NauthSpan	body = unit_fixture(fixture);

	unit_settings.page_size = common + count + unit_spare;
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

/* The same where unit_rfc3339 follows, and then perhaps more. */
static inline void
unit_check_hostile_rfc3339(const NauthProvider *provider, const char *fixture,
						   const UserCase *more, int count)
{
	const int	common = sizeof(unit_rfc3339) / sizeof(unit_rfc3339[0]);
	UserCase	times[2 * sizeof(unit_rfc3339) / sizeof(unit_rfc3339[0])];

	memcpy(times, unit_rfc3339, sizeof(unit_rfc3339));
	for (int i = 0; i < count; i++)
		times[common + i] = more[i];
	unit_check_hostile(provider, fixture, times, common + count);
}

/*
 * A copy in which some bytes are changed, cut out, doubled or cut off.  Half of the
 * places are near the end, which matters most and is short.
 */
static inline NauthSpan
unit_damage(NauthSpan whole)
{
	static const char marks[] = "\"{}[],:\\n0 \xff";
	static char bytes[65536];
	int			len = (int) whole.len;

	memcpy(bytes, whole.data, whole.len);
	for (int times = 1 + unit_below(3); times > 0; times--)
	{
		int			near = unit_below(2) == 0 && len > 120 ? 120 : len;
		int			at = len - 1 - unit_below(near);
		int			some = 1 + unit_below(len - at < 40 ? len - at : 40);

		switch (unit_below(6))
		{
			case 0:
				bytes[at] = marks[unit_below(sizeof(marks))];
				break;
			case 1:
				bytes[at] = (char) unit_below(256);
				break;
			case 2:
				bytes[at] ^= (char) (1 << unit_below(8));
				break;
			case 3:
				len = at > 0 ? at : 1;
				break;
			case 4:
				memmove(bytes + at, bytes + at + some, (size_t) (len - at - some));
				len = len > some ? len - some : 1;
				break;
			default:
				if (len + some > (int) sizeof(bytes))
					break;
				memmove(bytes + at + some, bytes + at, (size_t) (len - at));
				len += some;
				break;
		}
	}
	return unit_copy(bytes, (size_t) len);
}

/*
 * Whether all that unit_read left is within its bounds: a page that leads to its
 * end or on, with a cursor that can be asked with, or an error.
 */
static inline bool
unit_is_sound(const NauthProvider *provider, NauthSpan body, bool read)
{
	const NauthQueryKind kind = unit_query.kind;

	if (!read)
		return !unit_page.last && unit_error.kind != NAUTH_OK && unit_error.reason != NULL;
	if (unit_page.count < 0 || unit_page.count > unit_settings.page_size ||
		(unit_page.reread && unit_page.count > 0) ||
		strnlen(unit_page.next, NAUTH_CURSOR_MAX) == NAUTH_CURSOR_MAX)
		return false;
	for (int i = 0; i < unit_page.count; i++)
		if (unit_users[i].json.data < body.data ||
			unit_users[i].json.data + unit_users[i].json.len > body.data + body.len ||
			memchr(unit_users[i].id, '\0', NAUTH_ID_MAX + 1) == NULL)
			return false;

	/* a list of changes may have more, and no way to it */
	if (unit_page.last || (unit_page.next[0] == '\0' && kind == NAUTH_QUERY_CHANGES))
		return unit_page.next[0] == '\0';
	unit_write(provider, kind, NULL, unit_page.next);
	return unit_page.next[0] != '\0' && !unit_request.overflow;
}

/*
 * Thousands of damaged pages at this cursor are read within their bounds, or not at
 * all.  Returns how many passed for the end.
 */
static inline int
unit_check_damaged(const NauthProvider *provider, NauthQueryKind kind, const char *fixture,
				   const char *cursor)
{
	const int	rounds = 6000;
	NauthSpan	page = unit_fixture(fixture);
	int			wrong = 0;
	int			pages = 0;
	int			ends = 0;
	bool		good;

	unit_seed = 1;
	unit_query.kind = kind;
	good = unit_read(provider, cursor, page);
	for (int i = 0; i < rounds; i++)
	{
		NauthSpan	body = unit_damage(page);
		NauthReply	reply = unit_reply(body);
		bool		read = unit_read(provider, cursor, body);
		int64_t		number;

		pages += read;
		ends += unit_page.last;
		wrong += !unit_is_sound(provider, body, read);
		if (provider->read_count != NULL && provider->read_count(&reply, &number, &unit_error))
			wrong += number < 0;
		unit_free(body);
	}
	is_int(wrong, 0, "damaged pages are read within their bounds, or not at all");
	if (!ok(pages < rounds && (!good || pages > rounds / 20), "some are, if the whole one is, some are not"))
		printf("# read: %d of %d\n", pages, rounds);
	unit_free(page);
	return ends;
}

/* Read a failure into unit_error; header is that of the request id, or "". */
static inline void
unit_read_failure(const NauthProvider *provider, int status, const char *header, NauthSpan body)
{
	NauthReply	reply = {.status = status,.body = body};

	memset(&unit_error, 0, sizeof(unit_error));
	memcpy(reply.request_id, header, strlen(header) + 1);
	nauth_reply_failure(provider, &reply, &unit_error);
}

/* Whether this means that a user does not exist; it is read as a failure too. */
static inline bool
unit_is_not_found(const NauthProvider *provider, int status,
				  const char *fixture)
{
	NauthReply	reply = {.status = status,.body = unit_fixture(fixture)};
	bool		not_found = nauth_reply_is_not_found(provider, &reply);

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

/* A failure as a fixture has it, and what is known of it. */
struct FailureCase
{
	const char *fixture;
	int			status;
	const char *code;
	bool		hint;
};

static inline void
unit_check_failure_cases(const NauthProvider *provider, const struct FailureCase *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		NauthSpan	body = unit_fixture(cases[i].fixture);

		unit_read_failure(provider, cases[i].status, "", body);
		is_text(unit_error.code, cases[i].code, cases[i].fixture);
		ok((unit_error.hint != NULL) == cases[i].hint, "and whether something mends it");
		unit_free(body);
	}
}

/* Read a user from a fixture; the user's bytes are not to be looked at. */
static inline bool
unit_read_user(const NauthProvider *provider, const char *id,
			   const char *fixture, NauthUser *user)
{
	NauthReply	reply = unit_reply(unit_fixture(fixture));
	bool		read = nauth_read_user(provider, &unit_settings, id, &reply, user, &unit_missing, &unit_error);

	unit_free(reply.body);
	return read;
}

/* Read a count from this body, which is freed; -1 when it is refused. */
static inline int64_t
unit_read_count_body(const NauthProvider *provider, NauthSpan body)
{
	NauthReply	reply = unit_reply(body);
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
