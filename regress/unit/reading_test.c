/*-------------------------------------------------------------------------
 *
 * reading_test.c
 *	  Unit tests of what no single provider needs: members within others, ids
 *	  that are numbers, a user within an envelope.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "provider/reading.h"
#include "provider/reply.h"
#include "provider_unit.h"

static bool
find_user(const NauthSettings *settings, const NauthReply *reply, NauthSpan *json,
		  bool *missing, NauthError *error)
{
	const char *const names[] = {"user", NULL};

	(void) settings;
	if (nauth_slice_object(reply->body, names, json) != NAUTH_SLICE_OK)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "no envelope");
	*missing = json->data == NULL;
	return !*missing;
}

static const NauthProvider nested = {
	.name = "nested",
	.find_user = find_user,
	.columns = {
		.id = "profile.uid",
		.id_is_number = true,
		.created_at = {"meta.created", NAUTH_MOMENT_SECONDS},
		.updated_at = {"meta.more.changed", NAUTH_MOMENT_RFC3339},
		.deleted_at = {"gone", NAUTH_MOMENT_MILLISECONDS_TEXT}
	}
};

#define TIME	"\"2026-02-01T08:30:00.456Z\""
#define MOMENT	INT64_C(1769934600456000)

typedef struct Case
{
	const char *json;
	const char *id;
	NauthFlaw	flaw;
	bool		has_updated_at;
	bool		has_created_at;
	bool		has_deleted_at;
}			Case;

static const Case cases[] = {
	{"{\"profile\":{\"uid\":\"a\"},\"meta\":{\"created\":1769934600.456,\"more\":{\"changed\":" TIME "}},\"gone\":\"1769934600456\"}",
	"a", NAUTH_FLAW_NONE, true, true, true},
	{"{\"meta\":{\"more\":{\"x\":[{\"changed\":1}],\"changed\":" TIME "},\"created\":1.769934600456E9},\"profile\":{\"x\":{},\"uid\":42}}",
	"42", NAUTH_FLAW_NONE, true, true, false},
	{"{\"pro\\u0066ile\":{\"u\\u0069d\":\"a\"}}", "a", NAUTH_FLAW_NONE, false, false, false},
	{"{\"profile\":{\"uid\":-7},\"meta\":null}", "-7", NAUTH_FLAW_NONE, false, false, false},
	{"{\"profile\":{\"uid\":9223372036854775807},\"meta\":{\"more\":null}}", "9223372036854775807", NAUTH_FLAW_NONE, false, false, false},
	{"{\"profile\":{\"uid\":\"a\"},\"meta\":[1]}", "a", NAUTH_FLAW_NONE, false, false, false},
	{"{\"profile\":{\"uid\":\"a\"},\"meta\":{\"more\":\"changed\"}}", "a", NAUTH_FLAW_NONE, false, false, false},
	{"{\"profile\":{\"uid\":\"a\"},\"meta\":{\"more\":{\"changed\":null}}}", "a", NAUTH_FLAW_NONE, false, false, false},
	{"{\"profile\":{\"uid\":\"a\"},\"meta\":{\"more\":{\"changed\":1}}}", "a", NAUTH_FLAW_TIME, false, false, false},
	{"{\"profile\":{\"uid\":\"a\"},\"gone\":1}", "a", NAUTH_FLAW_DELETION, false, false, false},

	/* no id, or none that can be told */
	{"{\"profile.uid\":\"a\"}", "", NAUTH_FLAW_ID, false, false, false},
	{"{\"uid\":\"a\"}", "", NAUTH_FLAW_ID, false, false, false},
	{"{\"profile\":\"uid\"}", "", NAUTH_FLAW_ID, false, false, false},
	{"{\"profile\":{\"uid\":1.5}}", "", NAUTH_FLAW_ID, false, false, false},
	{"{\"profile\":{\"uid\":1e3}}", "", NAUTH_FLAW_ID, false, false, false},
	{"{\"profile\":{\"uid\":9223372036854775808}}", "", NAUTH_FLAW_ID, false, false, false},
	{"{\"profile\":{\"uid\":true}}", "", NAUTH_FLAW_ID, false, false, false},
	{"{\"profile\":{\"uid\":\"\"}}", "", NAUTH_FLAW_ID, false, false, false},
	{"{\"profile\":{\"uid\":\"a\",\"uid\":\"b\"}}", "", NAUTH_FLAW_ID, false, false, false},
	{"{\"profile\":{\"uid\":\"a\"},\"profile\":{\"uid\":\"b\"}}", "", NAUTH_FLAW_ID, false, false, false},

	/* two times: which one counts? */
	{"{\"profile\":{\"uid\":\"a\"},\"meta\":{\"more\":{\"changed\":" TIME ",\"chan\\u0067ed\":" TIME "}}}",
	"a", NAUTH_FLAW_DUPLICATE, false, false, false},
	{"{\"profile\":{\"uid\":\"a\"},\"meta\":{\"more\":{},\"more\":{\"changed\":" TIME "}}}", "a", NAUTH_FLAW_DUPLICATE, false, false, false},
	{"{\"profile\":{\"uid\":\"a\"},\"meta\":{},\"meta\":{\"more\":{\"changed\":" TIME "}}}", "a", NAUTH_FLAW_DUPLICATE, false, false, false},
	{"{\"profile\":{\"uid\":\"a\"},\"meta\":{\"created\":1,\"created\":2}}", "a", NAUTH_FLAW_DUPLICATE, false, true, false},
};

static void
test_members(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		NauthSpan	json = unit_copy_text(cases[i].json);
		NauthUser	user;

		ok(nauth_read_object(&nested, &unit_settings, json, &user), cases[i].json);
		is_text(user.id, cases[i].id, "id");
		is_int(user.flaw, cases[i].flaw, "flaw");
		ok(user.has_updated_at == cases[i].has_updated_at && (!user.has_updated_at || user.updated_at == MOMENT), "updated_at");
		ok(user.has_deleted_at == cases[i].has_deleted_at && (!user.has_deleted_at || user.deleted_at == MOMENT), "deleted_at");
		ok(user.has_created_at == cases[i].has_created_at &&
		   (!user.has_created_at || user.created_at == MOMENT || user.flaw != NAUTH_FLAW_NONE), "created_at");
		unit_free(json);
	}
}

/* A name that is longer than any can be is not looked for, and none that it begins with is. */
static void
test_long_names(void)
{
	char		path[2 * NAUTH_MEMBER_MAX + 8];
	char		text[4 * NAUTH_MEMBER_MAX];

	for (int len = NAUTH_MEMBER_MAX - 1; len <= NAUTH_MEMBER_MAX + 1; len++)
	{
		NauthProvider provider = nested;
		NauthSpan	json;
		NauthUser	user;
		bool		fits = len <= NAUTH_MEMBER_MAX;

		memset(path, 'x', sizeof(path));
		path[len] = '.';
		path[2 * len + 1] = '\0';
		snprintf(text, sizeof(text), "{\"%.*s\":{\"%.*s\":\"a\"}}", len, path, len, path + len + 1);
		provider.columns.id = path;
		json = unit_copy_text(text);
		ok(nauth_read_object(&provider, &unit_settings, json, &user) && (user.id[0] == 'a') == fits, "a long name");
		unit_free(json);
	}
}

static void
test_envelope(void)
{
	static const struct
	{
		const char *body;
		NauthErrorKind kind;
		bool		missing;
	}			bodies[] = {
		{"{\"user\":{\"profile\":{\"uid\":\"a\"}}}", NAUTH_OK, false},
		{"{\"user\":{\"profile\":{\"uid\":\"b\"}}}", NAUTH_ERROR_UNFIT, false},
		{"{\"user\":null}", NAUTH_ERROR_UNREADABLE, false},
		{"{\"profile\":{\"uid\":\"a\"}}", NAUTH_OK, true},
		{"[]", NAUTH_ERROR_UNREADABLE, false},
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		NauthReply	reply = unit_reply(unit_copy_text(bodies[i].body));
		NauthError	error = {0};
		NauthUser	user;
		bool		missing;

		ok(nauth_read_user(&nested, &unit_settings, "a", &reply, &user, &missing, &error) ==
		   (bodies[i].kind == NAUTH_OK && !bodies[i].missing) &&
		   missing == bodies[i].missing && error.kind == bodies[i].kind, bodies[i].body);
		unit_free(reply.body);
	}
}

/* Who could confirm that a user does not exist. */
static void
test_confirms(void)
{
	static const NauthProvider silent = {.error_path = "code",.not_found_status = 404};
	static const NauthProvider blind = {.find_user = find_user,.not_found_code = "x",.lists_only = true};
	static const NauthProvider telling = {.error_path = "code",.not_found_status = 404,.not_found_code = "x"};
	NauthReply	reply = {.status = 404,.body = unit_copy_text("{\"code\":\"x\"}")};

	ok(nauth_reply_confirms(&nested) && nauth_reply_confirms(&telling), "who has an answer");
	ok(!nauth_reply_confirms(&silent) && !nauth_reply_confirms(&blind), "and who has none");
	ok(nauth_reply_is_not_found(&telling, &reply) && !nauth_reply_is_not_found(&silent, &reply), "never means anything");
	unit_free(reply.body);
}

int
main(void)
{
	test_members();
	test_long_names();
	test_envelope();
	test_confirms();
	return done_testing();
}
