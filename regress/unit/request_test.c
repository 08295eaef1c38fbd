/*-------------------------------------------------------------------------
 *
 * request_test.c
 *	  Unit tests of the writing of requests: no value may become more than a
 *	  value.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "request.h"

#define BASE	"https://api.example.com"

static NauthRequest request;

typedef struct EncodingCase
{
	const char *value;
	const char *encoded;
} EncodingCase;

static const EncodingCase encoding_cases[] = {
	{"user_2abc", "user_2abc"},
	{"AZaz09-_.~", "AZaz09-_.~"},
	{"a b", "a%20b"},
	{"a\r\nHost: x", "a%0D%0AHost%3A%20x"},
	{"a&b=c", "a%26b%3Dc"},
	{"a#b?c", "a%23b%3Fc"},
	{"../../v1/users", "..%2F..%2Fv1%2Fusers"},
	{"...", "..."},
	{"100%", "100%25"},
	{"%2e%2e", "%252e%252e"},
	{"+user", "%2Buser"},
	{"\xC3\xA9\xF0\x9F\x98\x80", "%C3%A9%F0%9F%98%80"},
	{"\x01\x7F\xFF", "%01%7F%FF"},
	{"'\"<>{}[]|\\^`;:@$,!*()", "%27%22%3C%3E%7B%7D%5B%5D%7C%5C%5E%60%3B%3A%40%24%2C%21%2A%28%29"}
};

static void
test_encoding(void)
{
	for (size_t i = 0; i < sizeof(encoding_cases) / sizeof(encoding_cases[0]); i++)
	{
		const EncodingCase *test = &encoding_cases[i];
		char		expected[512];

		nauth_request_begin(&request, BASE, "/v1/users");
		nauth_request_segment(&request, test->value);
		nauth_request_parameter(&request, "q", test->value);
		snprintf(expected, sizeof(expected), BASE "/v1/users/%s?q=%s",
				 test->encoded, test->encoded);
		is_text(request.url, expected, test->encoded);
		ok(!request.overflow, "fits");
	}
}

static void
test_refused_segments(void)
{
	static const char *const values[] = {"", ".", "..", ".;", "..;x"};

	for (int i = 0; i < (int) (sizeof(values) / sizeof(values[0])); i++)
	{
		nauth_request_begin(&request, BASE, "/v1/users");
		nauth_request_segment(&request, values[i]);
		ok(request.overflow, "a segment that would ask for another resource");
		nauth_request_parameter(&request, "limit", "1");
		is_text(request.url, BASE "/v1/users/", "nothing is written behind it");
	}
}

static void
test_query(void)
{
	nauth_request_begin(&request, BASE, "/v1/users");
	nauth_request_number(&request, "limit", 500);
	nauth_request_number(&request, "least", INT64_MIN);
	nauth_request_parameter(&request, "empty", "");
	is_text(request.url, BASE "/v1/users?limit=500&least=-9223372036854775808&empty=",
			"parameters");

	nauth_request_begin(&request, BASE, "/v1/users");
	ok(nauth_request_encoded("a/é~") == 1 + 3 + 6 + 1, "bytes of a value");
	nauth_request_segment(&request, nauth_request_id);
	nauth_request_parameter(&request, "id", nauth_request_id);
	is_text(request.url, BASE "/v1/users/{id}?id={id}", "an id that is not known");
	ok(!request.overflow, "fits");
}

static void
test_headers(void)
{
	static const char *const bad[] = {"a\nb", "a\rb", "a\tb", "\x7F", "\x01"};

	nauth_request_begin(&request, BASE, "/");
	nauth_request_header(&request, "Authorization", "Bearer ", "sk_test");
	nauth_request_header(&request, "X-Access", "", "server");
	is_text(request.headers, "Authorization: Bearer sk_test\nX-Access: server",
			"headers");
	ok(!request.overflow, "fit");
	for (int i = 0; i < 5; i++)
	{
		nauth_request_begin(&request, BASE, "/");
		nauth_request_header(&request, "Authorization", "Bearer ", bad[i]);
		ok(request.overflow, "a control character in a header");
	}
}

static void
test_overflow(void)
{
	size_t		size = 64 * 1024;
	char	   *value = unit_allocate(size + 1);

	memset(value, '/', size);
	value[size] = '\0';
	nauth_request_begin(&request, BASE, "/v1/users");
	nauth_request_segment(&request, value);
	ok(request.overflow, "a segment too long");
	ok(strlen(request.url) < NAUTH_URL_MAX, "is not written behind the end");
	nauth_request_parameter(&request, "limit", "1");
	ok(request.overflow && strstr(request.url, "limit") == NULL,
	   "and nothing is behind it");

	nauth_request_begin(&request, BASE, "/v1/users");
	ok(!request.overflow, "a new request begins without");
	nauth_request_parameter(&request, "q", value);
	ok(request.overflow, "a parameter too long");
	nauth_request_begin(&request, value, "/v1/users");
	ok(request.overflow, "a base too long");
	nauth_request_begin(&request, BASE, "/");
	nauth_request_header(&request, "X", "", value);
	ok(request.overflow, "a header too long");
	is_text(request.headers, "X: ", "is left out");
	free(value);
}

/* The longest value that fits is written whole, the next marks an overflow. */
static void
test_edge(char byte, size_t encoded_len, const char *name)
{
	char		value[NAUTH_URL_MAX];
	size_t		before = strlen(BASE "/?=") + strlen(name);
	size_t		room = (NAUTH_URL_MAX - before) / encoded_len;
	int			wrong = 0;
	int			fitting = 0;

	for (size_t len = room - 5; len < room + 5; len++)
	{
		memset(value, byte, len);
		value[len] = '\0';
		nauth_request_begin(&request, BASE, "/");
		nauth_request_parameter(&request, name, value);
		fitting += !request.overflow;
		if (!request.overflow && strlen(request.url) != before + len * encoded_len)
			wrong++;
		if (strlen(request.url) >= NAUTH_URL_MAX)
			wrong++;
	}
	is_int(wrong, 0, "values around the bound");
	ok(fitting > 0 && fitting < 10, "some of them fit");
}

/* A body of JSON, and what a value cannot do to it. */
static void
test_json(void)
{
	static NauthRequest request;

	nauth_request_begin(&request, "https://x", "/y");
	nauth_request_json(&request, "application/json", "{\"id\":[");
	nauth_request_quoted(&request, "a\"],\\\n\x01\xC3\xA9/");
	nauth_request_json(&request, "text/html", ",");
	nauth_request_quoted(&request, nauth_request_email);
	nauth_request_json(&request, "application/json", "]}");
	is_text(request.body, "{\"id\":[\"a\\\"],\\\\\\u000a\\u0001\xC3\xA9/\",\"{email}\"]}", "a body");
	is_text(request.headers, "Content-Type: application/json", "of the type that came first");
	ok(!request.overflow, "it fits");
	for (int i = 0; i < NAUTH_BODY_MAX / 2; i++)
		nauth_request_quoted(&request, "");
	ok(request.overflow && request.body[NAUTH_BODY_MAX - 1] == '\0', "until there is too much of it");
}

static void
test_signing(void)
{
	static NauthRequest request;
	char		key[NAUTH_SIGNING_MAX + 1];

	nauth_request_begin(&request, "https://x", "/");
	is_text(request.signer, "", "nobody signs it");
	nauth_request_sign(&request, "eu-west-1", "cognito-idp", "id", "secret");
	is_text(request.signer, "eu-west-1:cognito-idp", "who signs it");
	is_text(request.signing_id, "id", "with which key");
	is_text(request.signing_key, "secret", "and its secret");
	ok(!request.overflow, "it fits");
	memset(key, 'k', NAUTH_SIGNING_MAX);
	key[NAUTH_SIGNING_MAX] = '\0';
	nauth_request_begin(&request, "https://x", "/");
	is_text(request.signing_key, "", "no more");
	nauth_request_sign(&request, "r", "s", "id", key);
	ok(request.overflow, "a key that is too long");
	nauth_request_begin(&request, "https://x", "/");
	nauth_request_sign(&request, key, "s", "id", "secret");
	ok(request.overflow, "or a region");
}

int
main(void)
{
	test_encoding();
	test_refused_segments();
	test_query();
	test_headers();
	test_overflow();
	test_edge('a', 1, "q");
	test_edge('/', 3, "q");
	test_edge('/', 3, "qq");
	test_edge('/', 3, "qqq");
	test_json();
	test_signing();
	return done_testing();
}
