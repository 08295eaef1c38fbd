/*-------------------------------------------------------------------------
 *
 * slice_test.c
 *	  Unit tests of the JSON splitter.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

static const char *const names[] = {"id", "updated_at", NULL};

/* Walk an array to its end; returns the last result and counts elements. */
static NauthSliceResult
walk(NauthSpan json, int *elements, NauthSliceResult *flaw)
{
	NauthSlicer slicer;
	NauthSpan	element;
	NauthSpan	found[2];
	NauthSliceResult result = nauth_slice_array(&slicer, json);

	*elements = 0;
	*flaw = NAUTH_SLICE_OK;
	while (result != NAUTH_SLICE_END && result != NAUTH_SLICE_SYNTAX &&
		   result != NAUTH_SLICE_TYPE)
	{
		result = nauth_slice_next(&slicer, names, &element, found);
		if (result != NAUTH_SLICE_END && result != NAUTH_SLICE_SYNTAX &&
			result != NAUTH_SLICE_TYPE)
		{
			(*elements)++;
			if (result != NAUTH_SLICE_OK)
				*flaw = result;
		}
	}
	return result;
}

typedef struct ArrayCase
{
	const char *json;
	NauthSliceResult result;
	int			elements;
	NauthSliceResult flaw;
} ArrayCase;

static const ArrayCase array_cases[] = {
	{"[]", NAUTH_SLICE_END, 0, NAUTH_SLICE_OK},
	{" \t\r\n[ \n ] \n", NAUTH_SLICE_END, 0, NAUTH_SLICE_OK},
	{"[{}]", NAUTH_SLICE_END, 1, NAUTH_SLICE_OK},
	{"[{} , { } ]", NAUTH_SLICE_END, 2, NAUTH_SLICE_OK},
	{"[{\"id\":\"a\",\"x\":[{\"y\":[1,-2.5e+3,true,false,null]}]}]", NAUTH_SLICE_END, 1, NAUTH_SLICE_OK},
	{"[{\"x\":\"]}\\\"\\\\\"},{\"x\":\"\\\\\"}]", NAUTH_SLICE_END, 2, NAUTH_SLICE_OK},
	{"[{\"0123456789abcdef0123456789abcdef\\\"}\":\"0123456789abcde\\\"\"}]", NAUTH_SLICE_END, 1, NAUTH_SLICE_OK},
	{"", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"  ", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"\xEF\xBB\xBF[]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"<html></html>", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"{}", NAUTH_SLICE_TYPE, 0, NAUTH_SLICE_OK},
	{"null", NAUTH_SLICE_TYPE, 0, NAUTH_SLICE_OK},
	{"\"[]\"", NAUTH_SLICE_TYPE, 0, NAUTH_SLICE_OK},
	{"7", NAUTH_SLICE_TYPE, 0, NAUTH_SLICE_OK},
	{"]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[]]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{}]x", NAUTH_SLICE_SYNTAX, 1, NAUTH_SLICE_OK},
	{"[][]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[,]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{},]", NAUTH_SLICE_SYNTAX, 1, NAUTH_SLICE_OK},
	{"[,{}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{} {}]", NAUTH_SLICE_SYNTAX, 1, NAUTH_SLICE_OK},
	{"[{}}", NAUTH_SLICE_SYNTAX, 1, NAUTH_SLICE_OK},
	{"[1]", NAUTH_SLICE_TYPE, 0, NAUTH_SLICE_OK},
	{"[{},null]", NAUTH_SLICE_TYPE, 1, NAUTH_SLICE_OK},
	{"[[{}]]", NAUTH_SLICE_TYPE, 0, NAUTH_SLICE_OK},
	{"[{\"x\":[}]]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{\"x\":[1}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{\"x\":{]}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{\"x\"}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{\"x\":}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{\"x\":,}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{\"x\":1,}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{,\"x\":1}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{\"x\":1 \"y\":1}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{x:1}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{\"x\":nul}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{\"x\":[tru]}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{\"x\":[undefined]}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{\"x\":NaN}]", NAUTH_SLICE_SYNTAX, 0, NAUTH_SLICE_OK},
	{"[{\"id\":1,\"id\":1}]", NAUTH_SLICE_END, 1, NAUTH_SLICE_DUPLICATE},
	{"[{\"id\":1,\"\\u0069d\":1}]", NAUTH_SLICE_END, 1, NAUTH_SLICE_DUPLICATE},
	{"[{\"\\u0069\\u0064\":1,\"i\\u0064\":1},{\"id\":1}]", NAUTH_SLICE_END, 2, NAUTH_SLICE_DUPLICATE},
	{"[{\"id\":null,\"id\":null}]", NAUTH_SLICE_END, 1, NAUTH_SLICE_DUPLICATE},
	{"[{\"x\":1,\"x\":1,\"id\":{\"id\":1,\"id\":2}}]", NAUTH_SLICE_END, 1, NAUTH_SLICE_OK},
	{"[{\"\":1,\"i\":1,\"id \":1,\"idx\":1,\"ID\":1,\"id\\u0000\":1,\"id\":1}]", NAUTH_SLICE_END, 1, NAUTH_SLICE_OK},
	{"[{\"x\":1e400}]", NAUTH_SLICE_END, 1, NAUTH_SLICE_OK},
	{"[{\"x\":1e401}]", NAUTH_SLICE_END, 1, NAUTH_SLICE_LONG_NUMBER},
	{"[{\"x\":[-0.1E-401]}]", NAUTH_SLICE_END, 1, NAUTH_SLICE_LONG_NUMBER},
	{"[{\"x\":1e1e99999999999999999999999},{}]", NAUTH_SLICE_END, 2, NAUTH_SLICE_LONG_NUMBER}
};

static void
test_arrays(void)
{
	for (size_t i = 0; i < sizeof(array_cases) / sizeof(array_cases[0]); i++)
	{
		const ArrayCase *test = &array_cases[i];
		NauthSpan	json = unit_copy_text(test->json);
		NauthSliceResult flaw;
		int			elements;
		NauthSliceResult result = walk(json, &elements, &flaw);
		char		name[200];

		snprintf(name, sizeof(name), "case %zu: %.40s", i, test->json);
		for (char *c = name; *c != '\0'; c++)
			if (*c < ' ' || *c > '~' || *c == '#')
				*c = '?';
		ok(result == test->result && elements == test->elements &&
		   flaw == test->flaw, name);
		unit_free(json);
	}
}

/* A page of which every part may be cut off. */
static void
test_cut(const char *fixture)
{
	NauthSpan	page = unit_fixture(fixture);
	size_t		end = page.len;
	int			ended = 0;
	int			elements;
	NauthSliceResult flaw;

	while (page.data[end - 1] != ']')
		end--;
	for (size_t len = 0; len < end; len++)
	{
		NauthSpan	cut = unit_copy(page.data, len);

		if (walk(cut, &elements, &flaw) == NAUTH_SLICE_END)
			ended++;
		unit_free(cut);
	}
	is_int(ended, 0, "a page that is cut off anywhere has no end");
	ok(walk(page, &elements, &flaw) == NAUTH_SLICE_END && elements == 3,
	   "the whole page has one");
	unit_free(page);
}

static NauthSliceResult
walk_nested(size_t depth, const char *open, const char *close)
{
	char	   *text = unit_allocate(depth * 8 + 32);
	size_t		len = (size_t) sprintf(text, "[{\"id\":1,\"x\":");
	NauthSpan	json;
	NauthSliceResult flaw;
	NauthSliceResult result;
	int			elements;

	for (size_t i = 0; i < depth; i++)
		len += (size_t) sprintf(text + len, "%s", open);
	len += (size_t) sprintf(text + len, "1");
	for (size_t i = 0; i < depth; i++)
		len += (size_t) sprintf(text + len, "%s", close);
	len += (size_t) sprintf(text + len, "},{}]");
	json = unit_copy(text, len);
	free(text);
	result = walk(json, &elements, &flaw);
	unit_free(json);
	return result == NAUTH_SLICE_END && elements == 2 ? flaw : result;
}

static void
test_depth(void)
{
	ok(walk_nested(63, "[", "]") == NAUTH_SLICE_OK, "depth 64");
	ok(walk_nested(64, "[", "]") == NAUTH_SLICE_DEEP, "depth 65");
	ok(walk_nested(63, "{\"a\":", "}") == NAUTH_SLICE_OK, "depth 64 of objects");
	ok(walk_nested(64, "{\"a\":", "}") == NAUTH_SLICE_DEEP, "depth 65 of objects");
	ok(walk_nested(2048, "[", "]") == NAUTH_SLICE_DEEP, "depth 2049");
	ok(walk_nested(1000000, "[", "]") == NAUTH_SLICE_DEEP, "depth 1000001");
	ok(walk_nested(63, "[", "}") == NAUTH_SLICE_SYNTAX, "brackets of two kinds");
	ok(walk_nested(2048, "[", "}") == NAUTH_SLICE_SYNTAX,
	   "brackets of two kinds below the depth that is matched");
}

static void
test_object(void)
{
	static const char text[] =
	" {\"x\":{\"id\":0},\"id\" : \"a\" ,\"updated_at\":[1,{}]} ";
	NauthSpan	json = unit_copy_text(text);
	NauthSpan	absent = {NULL, 0};
	NauthSpan	found[2];

	ok(nauth_slice_object(json, names, found) == NAUTH_SLICE_OK, "an object");
	ok(found[0].len == 3 && memcmp(found[0].data, "\"a\"", 3) == 0,
	   "a member is found");
	ok(found[1].len == 6 && memcmp(found[1].data, "[1,{}]", 6) == 0,
	   "an array is found whole");
	json.len -= 2;
	ok(nauth_slice_object(json, names, found) == NAUTH_SLICE_SYNTAX, "cut off");
	unit_free(json);

	json = unit_copy_text("{}{}");
	ok(nauth_slice_object(json, names, found) == NAUTH_SLICE_SYNTAX, "two objects");
	json.len = 2;
	ok(nauth_slice_object(json, names, found) == NAUTH_SLICE_OK &&
	   found[0].data == NULL && found[1].data == NULL, "members are absent");
	unit_free(json);
	ok(nauth_slice_object(absent, names, found) == NAUTH_SLICE_SYNTAX, "no bytes");
}

static void
test_long_number(void)
{
	char		text[256] = "[{\"x\":";
	NauthSliceResult flaw;
	int			elements;

	for (int digits = NAUTH_SLICE_NUMBER; digits <= NAUTH_SLICE_NUMBER + 1; digits++)
	{
		NauthSpan	json;

		memset(text + 6, '9', (size_t) digits);
		strcpy(text + 6 + digits, "}]");
		json = unit_copy_text(text);
		ok(walk(json, &elements, &flaw) == NAUTH_SLICE_END && elements == 1 &&
		   flaw == (digits > NAUTH_SLICE_NUMBER ? NAUTH_SLICE_LONG_NUMBER : NAUTH_SLICE_OK),
		   "a number at and behind the bound of its length");
		unit_free(json);
	}
}

typedef struct TextCase
{
	const char *json;
	const char *text;			/* NULL: refused */
} TextCase;

static const TextCase text_cases[] = {
	{"\"\"", ""},
	{"\"abc\"", "abc"},
	{"\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz"},
	{"\"\\u00e9\\u65E5\"", "\xC3\xA9\xE6\x97\xA5"},
	{"\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80"},
	{"\"\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80\"", "\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80"},
	{"\"\\uDBFF\\uDFFF\"", "\xF4\x8F\xBF\xBF"},
	{"\"\x7F\"", "\x7F"},
	{"\"0123456789012345678901234567890\"", "0123456789012345678901234567890"},
	{"\"01234567890123456789012345678901\"", NULL},
	{"\"012345678901234567890123456789\xC3\xA9\"", NULL},
	{"\"\\u0000\"", NULL},
	{"\"\\ud83d\"", NULL},
	{"\"\\ud83dx\"", NULL},
	{"\"\\ud83d\\n\"", NULL},
	{"\"\\ud83d\\u0041\"", NULL},
	{"\"\\ude00\"", NULL},
	{"\"\\ude00\\ud83d\"", NULL},
	{"\"\\u12\"", NULL},
	{"\"\\u12g4\"", NULL},
	{"\"\\x\"", NULL},
	{"\"\\\"", NULL},
	{"\"a\nb\"", NULL},
	{"\"a\"b\"", NULL},
	{"\"\xC3\"", NULL},
	{"\"\xC0\x80\"", NULL},
	{"\"\xC1\xBF\"", NULL},
	{"\"\x80\"", NULL},
	{"\"\xE0\x80\x80\"", NULL},
	{"\"\xED\xA0\x80\"", NULL},
	{"\"\xF0\x80\x80\x80\"", NULL},
	{"\"\xF4\x90\x80\x80\"", NULL},
	{"\"\xF8\x88\x80\x80\x80\"", NULL},
	{"\"\xFF\"", NULL},
	{"\"\xE6\x97\"", NULL},
	{"\"\xE6\x97x\"", NULL},
	{"\"", NULL},
	{"", NULL},
	{"7", NULL},
	{"null", NULL},
	{"[\"a\"]", NULL}
};

static void
test_texts(void)
{
	char		out[32];
	NauthSpan	absent = {NULL, 0};

	for (size_t i = 0; i < sizeof(text_cases) / sizeof(text_cases[0]); i++)
	{
		const TextCase *test = &text_cases[i];
		NauthSpan	value = unit_copy_text(test->json);
		bool		read = nauth_slice_text(value, out, sizeof(out));
		char		name[32];

		snprintf(name, sizeof(name), "text %zu", i);
		ok(read == (test->text != NULL) &&
		   strcmp(out, read ? test->text : "") == 0, name);
		unit_free(value);
	}
	ok(!nauth_slice_text(absent, out, sizeof(out)), "text that is absent");
	ok(!nauth_slice_text(absent, out, 0), "no room for a text");
}

typedef struct IntegerCase
{
	const char *json;
	bool		read;
	int64_t		value;
} IntegerCase;

static const IntegerCase integer_cases[] = {
	{"0", true, 0}, {"-0", true, 0}, {"7", true, 7}, {"-7", true, -7},
	{"9223372036854775807", true, INT64_MAX},
	{"-9223372036854775808", true, INT64_MIN},
	{"9223372036854775808", false, 0},
	{"-9223372036854775809", false, 0},
	{"99999999999999999999999999", false, 0},
	{"", false, 0}, {"-", false, 0}, {"+1", false, 0}, {"01", false, 0},
	{"-01", false, 0}, {"1.0", false, 0}, {"1e3", false, 0}, {"1 ", false, 0},
	{"\"1\"", false, 0}, {"null", false, 0}, {"true", false, 0}
};

static void
test_integers(void)
{
	for (size_t i = 0; i < sizeof(integer_cases) / sizeof(integer_cases[0]); i++)
	{
		const IntegerCase *test = &integer_cases[i];
		NauthSpan	value = unit_copy_text(test->json);
		int64_t		out = 0;
		char		name[64];

		snprintf(name, sizeof(name), "integer \"%s\"", test->json);
		ok(nauth_slice_int64(value, &out) == test->read && out == test->value,
		   name);
		unit_free(value);
	}
}

int
main(void)
{
	NauthSpan	absent = {NULL, 0};
	NauthSpan	null = {"null", 4};
	NauthSpan	text = {"\"null\"", 6};

	test_arrays();
	test_cut("clerk/page.json");
	test_depth();
	test_object();
	test_long_number();
	test_texts();
	test_integers();
	ok(nauth_slice_is_null(absent) && nauth_slice_is_null(null) &&
	   !nauth_slice_is_null(text), "null");
	return done_testing();
}
