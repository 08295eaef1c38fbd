/*-------------------------------------------------------------------------
 *
 * json_test.c
 *	  Unit tests of the reading of small JSON documents, and of error codes.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "error.h"
#include "json.h"

typedef struct JsonCase
{
	const char *json;
	const char *path;
	const char *text;			/* NULL: refused */
} JsonCase;

static const JsonCase text_cases[] = {
	{"{\"code\":\"X\"}", "code", "X"},
	{"{\"errors\":[{\"code\":\"a\"},{\"code\":\"b\"}]}", "errors.1.code", "b"},
	{"{\"errors\":[{\"code\":\"a\"}]}", "errors.1.code", NULL},
	{"{\"errors\":[]}", "errors.0.code", NULL},
	{"{\"errors\":{\"0\":{\"code\":\"c\"}}}", "errors.0.code", "c"},
	{"{\"errors\":[{\"code\":\"a\"}]}", "errors.x.code", NULL},
	{"{\"errors\":[{\"code\":\"a\"}]}", "errors.-0.code", NULL},
	{"{\"errors\":[{\"code\":\"a\"}]}", "errors.99999999999999999999999999", NULL},
	{"{\"errors\":[{\"code\":\"a\"}]}", "errors..code", NULL},
	{"[\"a\",\"b\"]", "1", "b"},
	{"{\"code\":\"0123456789abcde\"}", "code", "0123456789abcde"},
	{"{\"code\":\"0123456789abcdef\"}", "code", NULL},
	{"{\"code\":7}", "code", NULL},
	{"{\"code\":null}", "code", NULL},
	{"{\"code\":{\"x\":1}}", "code", NULL},
	{"{\"code\":\"a\"}", "code.x", NULL},
	{"{\"code\":\"a\\u0000b\"}", "code", NULL},
	{"{\"code\":\"a\",\"code\":\"b\"}", "code", NULL},
	{"{\"code\":\"a\"}x", "code", NULL},
	{"{\"code\":\"a\"", "code", NULL},
	{"\xEF\xBB\xBF{\"code\":\"a\"}", "code", NULL},
	{"{\"code\":\"\xFF\"}", "code", NULL},
	{"<html>", "code", NULL},
	{"\"code\"", "code", NULL},
	{"", "code", NULL}
};

static void
test_texts(void)
{
	for (size_t i = 0; i < sizeof(text_cases) / sizeof(text_cases[0]); i++)
	{
		const JsonCase *test = &text_cases[i];
		NauthSpan	body = unit_copy_text(test->json);
		char		out[16] = "";
		char		name[64];

		snprintf(name, sizeof(name), "text %zu at %s", i, test->path);
		ok(nauth_json_text(body, test->path, out, sizeof(out)) == (test->text != NULL) &&
		   (test->text == NULL || strcmp(out, test->text) == 0), name);
		unit_free(body);
	}
}

static void
test_bounds(void)
{
	size_t		len = NAUTH_JSON_MAX + 1;
	char	   *text = unit_allocate(len + 1);
	NauthSpan	body = {text, len};
	NauthSpan	absent = {NULL, 0};
	char		out[4];

	memset(text, ' ', len);
	memcpy(text, "{\"a\":\"b\"}", 9);
	ok(!nauth_json_text(body, "a", out, sizeof(out)), "a body too large");
	body.len--;
	ok(nauth_json_text(body, "a", out, sizeof(out)), "a body just not too large");
	memset(text, '[', len);
	ok(!nauth_json_text(body, "0", out, sizeof(out)), "a body too deep");
	ok(!nauth_json_text(absent, "a", out, sizeof(out)), "no body");
	free(text);
}

static void
test_error(void)
{
	NauthError	error = {0};

	ok(!nauth_error_set(&error, NAUTH_ERROR_TIMEOUT, "too late") &&
	   error.kind == NAUTH_ERROR_TIMEOUT, "an error is set");
	is_text(error.reason, "too late", "with its reason");
	nauth_error_set_code(&error, "resource_not-found.X1");
	is_text(error.code, "resource_not-found.X1", "a code");
	nauth_error_set_code(&error, "sk_live of Ada");
	is_text(error.code, "", "a sentence is no code");
	nauth_error_set_code(&error, "0123456789012345678901234567890123456789012345678901234567890123");
	is_text(error.code, "", "nor is what does not fit");
	nauth_error_set_request_id(&error, "fra1::8c2-_.X");
	is_text(error.request_id, "fra1::8c2-_.X", "a request id");
	nauth_error_set_request_id(&error, "");
	nauth_error_set_request_id(&error, "Ada Lind");
	nauth_error_set_request_id(&error, "a/b");
	nauth_error_set_request_id(&error, "01234567890123456789012345678901234567890123456789012345678901234");
	is_text(error.request_id, "fra1::8c2-_.X", "stays when another one is none, or too long");
}

int
main(void)
{
	test_texts();
	test_bounds();
	test_error();
	return done_testing();
}
