/*-------------------------------------------------------------------------
 *
 * users.c
 *	  One user of a page -> the seven columns of users_sync.
 *
 * The user is parsed by jsonb's own input function, so that what is refused
 * here is exactly what a jsonb column refuses, and the other columns are then
 * read from the result by the provider's rules.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "redact.h"
#include "users.h"

/* Larger values than these are no profile of a person, but an attack. */
#define NAUTH_RAW_MAX		(1024 * 1024)
#define NAUTH_NAME_MAX		4096

/* Time as text, as some providers write it, has no need for more. */
#define NAUTH_TIME_MAX		64

#define JSONB_TYPE	JSONBOID, -1, false, TYPALIGN_INT
#define TEXT_TYPE	TEXTOID, -1, false, TYPALIGN_INT
#define TIME_TYPE	TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE

const NauthColumnDef nauth_columns[NAUTH_NUM_COLUMNS] = {
	[NAUTH_RAW_JSON] = {"raw_json", JSONB_TYPE, true},
	[NAUTH_ID] = {"id", TEXT_TYPE, true},
	[NAUTH_NAME] = {"name", TEXT_TYPE},
	[NAUTH_EMAIL] = {"email", TEXT_TYPE},
	[NAUTH_CREATED_AT] = {"created_at", TIME_TYPE},
	[NAUTH_UPDATED_AT] = {"updated_at", TIME_TYPE},
	[NAUTH_DELETED_AT] = {"deleted_at", TIME_TYPE},
};

static const char *const flaw_reasons[] = {
	[NAUTH_FLAW_NONE] = NULL,
	[NAUTH_FLAW_ID] = "its id cannot be read",
	[NAUTH_FLAW_TIME] = "its modification time cannot be read",
	[NAUTH_FLAW_DELETION] = "its time of deletion cannot be read",
	[NAUTH_FLAW_DUPLICATE] = "its id or one of its times stands twice",
	[NAUTH_FLAW_DEEP] = "it nests too deep",
	[NAUTH_FLAW_NUMBER] = "it has a number out of bounds",
};

int
nauth_column_find(const char *name)
{
	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
		if (strcmp(nauth_columns[i].name, name) == 0)
			return i;
	return -1;
}

char *
nauth_column_names(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", nauth_columns[i].name);
	return names.data;
}

/* Microseconds from 1970 to 2000. */
#define EPOCH_DIFFERENCE	((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

TimestampTz
nauth_moment_to_timestamptz(int64_t moment)
{
	return moment - EPOCH_DIFFERENCE;
}

int64_t
nauth_timestamptz_to_moment(TimestampTz time)
{
	return time + EPOCH_DIFFERENCE;
}

/*
 * Parse bytes as jsonb; NULL with reason set where jsonb refuses them.
 *
 * The input function only pallocs, so its error can be caught without a
 * subtransaction, which would be refused under a Gather.  Only what says "this
 * value is bad" is caught: data exceptions, and limits of the program.
 */
static Jsonb *
parse_jsonb(NauthSpan json, const char **reason)
{
	MemoryContext cxt = CurrentMemoryContext;
	char	   *text;
	Jsonb	   *volatile jsonb = NULL;

	if (json.len > NAUTH_RAW_MAX)
		*reason = "it is larger than 1 MB";
	else if (pg_encoding_verifymbstr(PG_UTF8, json.data, json.len) != json.len)
		*reason = "it is not valid UTF-8";
	if (*reason)
		return NULL;

	text = pnstrdup(json.data, json.len);
	PG_TRY();
	{
		jsonb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	}
	PG_CATCH();
	{
		int			class = ERRCODE_TO_CATEGORY(geterrcode());

		if (class != ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) &&
			class != ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED))
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		FlushErrorState();
		*reason = "PostgreSQL cannot hold it as jsonb";
	}
	PG_END_TRY();
	return jsonb;
}

/* Member of an object, by its path; false when it is absent. */
static bool
get_member(JsonbContainer *object, const char *path, JsonbValue *value)
{
	for (;;)
	{
		size_t		len = strcspn(path, ".");

		if (!JsonContainerIsObject(object) ||
			!getKeyJsonValueFromContainer(object, path, len, value))
			return false;
		if (path[len] == '\0')
			return true;
		if (value->type != jbvBinary)
			return false;
		object = value->val.binary.data;
		path += len + 1;
	}
}

/* Member that is an array, or NULL. */
static JsonbContainer *
get_array(JsonbContainer *object, const char *path)
{
	JsonbValue	value;

	if (!get_member(object, path, &value) || value.type != jbvBinary ||
		!JsonContainerIsArray(value.val.binary.data))
		return NULL;
	return value.val.binary.data;
}

/* Member as text: NULL when it is absent, not a string, or empty. */
static char *
get_text(JsonbContainer *object, const char *path)
{
	JsonbValue	value;

	if (!get_member(object, path, &value) || value.type != jbvString ||
		value.val.string.len == 0)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

static char *
join_texts(char *first, char *second)
{
	if (first && second)
		return psprintf("%s %s", first, second);
	return first ? first : second;
}

/* Whether an object of an array is the one that a rule means. */
static bool
is_meant(JsonbContainer *object, const NauthRule *rule, const char *wanted)
{
	JsonbValue	value;
	char	   *key;

	if (rule->kind == NAUTH_RULE_FIRST)
		return true;
	if (rule->kind == NAUTH_RULE_FLAGGED)
		return get_member(object, rule->b, &value) && value.type == jbvBool && value.val.boolean;
	key = get_text(object, rule->b);
	return key && strcmp(key, wanted) == 0;
}

/* The member d of the first object in array a that is the one meant. */
static char *
find_text(JsonbContainer *user, const NauthRule *rule, const char *wanted)
{
	JsonbContainer *array = get_array(user, rule->a);
	uint32		count = array ? JsonContainerSize(array) : 0;

	for (uint32 i = 0; i < count; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);

		CHECK_FOR_INTERRUPTS();
		if (element->type == jbvBinary && is_meant(element->val.binary.data, rule, wanted))
			return get_text(element->val.binary.data, rule->d);
	}
	return NULL;
}

static char *
pick_text(JsonbContainer *user, const NauthRule *rule)
{
	char	   *wanted = get_text(user, rule->c);

	return wanted ? find_text(user, rule, wanted) : NULL;
}

/* Something on both sides of one "@", and no blank. */
static char *
get_address(JsonbContainer *user, const char *path)
{
	char	   *text = get_text(user, path);
	char	   *at = text ? strchr(text, '@') : NULL;

	return at && at > text && at[1] && strchr(at + 1, '@') == NULL && strpbrk(text, " \t\r\n") == NULL ? text : NULL;
}

static char *
apply_rule(JsonbContainer *user, const NauthRule *rule)
{
	switch (rule->kind)
	{
		case NAUTH_RULE_NONE:
			break;
		case NAUTH_RULE_MEMBER:
			return get_text(user, rule->a);
		case NAUTH_RULE_JOIN:
			return join_texts(get_text(user, rule->a), get_text(user, rule->b));
		case NAUTH_RULE_PICK:
			return pick_text(user, rule);
		case NAUTH_RULE_NAMED:
			return join_texts(find_text(user, rule, rule->c),
							  rule->e ? find_text(user, rule, rule->e) : NULL);
		case NAUTH_RULE_FLAGGED:
		case NAUTH_RULE_FIRST:
			return find_text(user, rule, NULL);
		case NAUTH_RULE_ADDRESS:
			return get_address(user, rule->a);
	}
	return NULL;
}

/* The first text that a rule gives. */
static const char *
set_text(JsonbContainer *user, const NauthRule *rules, size_t max,
		 NauthRow *row, NauthColumn column)
{
	char	   *text = NULL;

	for (; rules->kind != NAUTH_RULE_NONE && text == NULL; rules++)
		text = apply_rule(user, rules);
	row->nulls[column] = text == NULL;
	if (text == NULL)
		return NULL;
	if (strlen(text) > max)
		return column == NAUTH_NAME ? "its name is too long" : "its email is too long";
	row->values[column] = CStringGetTextDatum(text);
	return NULL;
}

/* A time is a string or number of jsonb; a number is read from its text. */
static bool
read_moment(const JsonbValue *value, NauthMomentForm form, int64_t *moment)
{
	char	   *text;
	NauthSpan	span;

	if (value->type == jbvString && value->val.string.len <= NAUTH_TIME_MAX &&
		memchr(value->val.string.val, '"', value->val.string.len) == NULL &&
		memchr(value->val.string.val, '\\', value->val.string.len) == NULL)
		text = psprintf("\"%.*s\"", value->val.string.len, value->val.string.val);
	else if (value->type == jbvNumeric)
		text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	else
		return false;
	span.data = text;
	span.len = strlen(text);
	return nauth_moment_read(span, form, moment);
}

static const char *
set_created_at(JsonbContainer *user, const NauthMomentRule *rule, NauthRow *row)
{
	JsonbValue	value;
	int64_t		moment;

	row->nulls[NAUTH_CREATED_AT] = true;
	if (rule->member == NULL || !get_member(user, rule->member, &value) || value.type == jbvNull)
		return NULL;
	if (!read_moment(&value, rule->form, &moment))
		return "its creation time cannot be read";
	row->nulls[NAUTH_CREATED_AT] = false;
	row->values[NAUTH_CREATED_AT] =
		TimestampTzGetDatum(nauth_moment_to_timestamptz(moment));
	return NULL;
}

const char *
nauth_user_to_row(const NauthOptions *options, const NauthUser *user,
				  NauthRow *row)
{
	const NauthColumns *columns = &options->provider->columns;
	const char *reason = flaw_reasons[user->flaw];
	Jsonb	   *jsonb;

	if (reason)
		return reason;
	jsonb = parse_jsonb(user->json, &reason);
	if (jsonb == NULL)
		return reason;
	jsonb = nauth_rename(jsonb, options->provider->renames);

	row->nulls[NAUTH_RAW_JSON] = false;
	row->values[NAUTH_ID] = CStringGetTextDatum(user->id);
	row->nulls[NAUTH_ID] = false;
	row->values[NAUTH_UPDATED_AT] =
		TimestampTzGetDatum(nauth_moment_to_timestamptz(user->updated_at));
	row->nulls[NAUTH_UPDATED_AT] = !user->has_updated_at;
	row->values[NAUTH_DELETED_AT] =
		TimestampTzGetDatum(nauth_moment_to_timestamptz(user->deleted_at));
	row->nulls[NAUTH_DELETED_AT] = !user->has_deleted_at;

	reason = set_text(&jsonb->root, columns->name, NAUTH_NAME_MAX, row, NAUTH_NAME);
	if (reason == NULL)
		reason = set_text(&jsonb->root, columns->email, NAUTH_EMAIL_MAX, row, NAUTH_EMAIL);
	if (reason == NULL)
		reason = set_created_at(&jsonb->root, &columns->created_at, row);
	row->values[NAUTH_RAW_JSON] = JsonbPGetDatum(nauth_redact(jsonb, options->provider->secret_paths,
															  options->redact));
	return reason;
}
