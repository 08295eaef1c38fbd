/*-------------------------------------------------------------------------
 *
 * sigv4.c
 *		Whether a request is signed as Signature Version 4 has it.
 *
 * Everything is worked out from the request as it was received: which headers are
 * signed is what it says, what they hold is what came.  The one access key has the
 * key as its secret.
 *
 *	--set access_key_id=ID	of the access key (sim_access_key)
 *	--set session_token=T	it is a temporary one, whose session has this token
 *	--set expired_token=T	the token of a session that has ended
 *	--set clock=SECONDS		how far the provider's clock is ahead (0); the only
 *							clock in the simulator that is a real one
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "sigv4.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define MAX_PART 512
#define MAX_SIGNED 32
#define CLOCK_SECONDS 300

/* The header Authorization, taken apart. */
typedef struct Authorization
{
	char		key_id[MAX_PART];
	char		date[MAX_PART];
	char		region[MAX_PART];
	char		service[MAX_PART];
	char		scope[MAX_PART * 4];	/* of the three and its end */
	char		signed_headers[MAX_PART];
	char		signature[MAX_PART];
}			Authorization;

static const SimSigv4Failure good = {NULL, NULL};

static SimSigv4Failure
fail(const char *code, const char *message)
{
	SimSigv4Failure failure = {code, message};

	return failure;
}

static SimSigv4Failure
invalid(const char *message)
{
	return fail("InvalidSignatureException", message);
}

static SimSigv4Failure
incomplete(const char *message)
{
	return fail("IncompleteSignatureException", message);
}

/* ---- the header Authorization ---- */

/* Copy what stands before a character, and go behind that; false if it is too long. */
static bool
take(const char **p, const char *end_characters, char to[MAX_PART])
{
	size_t		len = strcspn(*p, end_characters);

	if (len == 0 || len >= MAX_PART)
		return false;
	memcpy(to, *p, len);
	to[len] = '\0';
	*p += len;
	return true;
}

/* The value of "name=" among the parts of the header, which commas part. */
static bool
find_part(const char *header, const char *name, char to[MAX_PART])
{
	for (const char *p = header + strlen(ALGORITHM); *p; p += strcspn(p, ","))
	{
		p += strspn(p, ", ");
		if (strncmp(p, name, strlen(name)) != 0)
			continue;
		p += strlen(name);
		return take(&p, ", ", to);
	}
	return false;
}

static bool
split_credential(const char *credential, Authorization * auth)
{
	const char *p = credential;

	if (!take(&p, "/", auth->key_id) || *p++ != '/')
		return false;
	snprintf(auth->scope, sizeof(auth->scope), "%s", p);
	return take(&p, "/", auth->date) && *p++ == '/' && take(&p, "/", auth->region) &&
		*p++ == '/' && take(&p, "/", auth->service) && strcmp(p, "/aws4_request") == 0;
}

static SimSigv4Failure
read_authorization(const char *header, Authorization * auth)
{
	char		credential[MAX_PART];

	if (strncmp(header, ALGORITHM " ", strlen(ALGORITHM " ")) != 0)
		return incomplete("The algorithm is another one.");
	if (!find_part(header, "Credential=", credential))
		return incomplete("Authorization has no Credential.");
	if (!find_part(header, "Signature=", auth->signature))
		return incomplete("Authorization has no Signature.");
	if (!find_part(header, "SignedHeaders=", auth->signed_headers))
		return incomplete("Authorization has no SignedHeaders.");
	if (!split_credential(credential, auth))
		return incomplete("Credential does not have five elements.");
	return good;
}

/* ---- what is signed ---- */

static void
put_hex(SimBuf *buf, const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sim_buf_printf(buf, "%02x", bytes[i]);
}

static void
put_hash(SimBuf *buf, const SimBuf *text)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *) (text->data ? text->data : ""), text->len, hash);
	put_hex(buf, hash, sizeof(hash));
}

/* A value without blanks around it, and with one where there were several. */
static void
put_trimmed(SimBuf *buf, const char *value)
{
	bool		blank = false;

	value += strspn(value, " \t");
	for (; *value; value++)
	{
		if (*value == ' ' || *value == '\t')
		{
			blank = true;
			continue;
		}
		if (blank)
			SIM_LITERAL(buf, " ");
		blank = false;
		sim_buf_add(buf, value, 1);
	}
}

/* "name:value" of all headers with this name; false if there is none. */
static bool
put_header(SimBuf *buf, const SimRequest *request, const char *name)
{
	bool		found = false;

	sim_buf_printf(buf, "%s:", name);
	for (int i = 0; i < request->n_headers; i++)
	{
		if (strcasecmp(request->headers[i].name, name) != 0)
			continue;
		if (found)
			SIM_LITERAL(buf, ",");
		put_trimmed(buf, request->headers[i].value);
		found = true;
	}
	SIM_LITERAL(buf, "\n");
	return found;
}

/* Split the names of signed headers, which must rise and be in lower case. */
static int
split_signed(char *list, char *names[MAX_SIGNED])
{
	char	   *rest = list;
	char	   *name;
	int			n = 0;

	for (const char *c = list; *c; c++)
		if (isupper((unsigned char) *c))
			return -1;
	while ((name = strtok_r(rest, ";", &rest)) != NULL)
	{
		if (n == MAX_SIGNED || (n > 0 && strcmp(names[n - 1], name) >= 0))
			return -1;
		names[n++] = name;
	}
	return n;
}

/* Must a request's header of this name be signed, if it is there? */
static bool
has_to_be_signed(const char *name)
{
	return strcasecmp(name, "Host") == 0 || strncasecmp(name, "X-Amz-", 6) == 0;
}

static bool
is_signed(const char *name, char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

/* The request is for "/", without a query: both are known. */
static SimSigv4Failure
put_canonical(SimBuf *buf, const SimRequest *request, const char *signed_headers)
{
	char	   *list = sim_strdup(signed_headers);
	char	   *names[MAX_SIGNED];
	int			n = split_signed(list, names);
	SimSigv4Failure failure = good;

	sim_buf_printf(buf, "%s\n/\n\n", request->method);
	for (int i = 0; i < n; i++)
		if (!put_header(buf, request, names[i]))
			failure = invalid("A header that is signed is missing.");
	for (int i = 0; i < request->n_headers; i++)
		if (has_to_be_signed(request->headers[i].name) && !is_signed(request->headers[i].name, names, n))
			failure = invalid("A header that has to be signed is not.");
	if (n <= 0 || !is_signed("host", names, n))
		failure = invalid("SignedHeaders does not rise, or lacks host.");
	free(list);
	sim_buf_printf(buf, "\n%s\n", signed_headers);
	put_hash(buf, &request->body);
	return failure;
}

/* ---- the signature ---- */

static void
hmac(const unsigned char *key, size_t key_len, const char *text, unsigned char to[SHA256_DIGEST_LENGTH])
{
	unsigned	len;

	HMAC(EVP_sha256(), key, (int) key_len, (const unsigned char *) text, strlen(text), to, &len);
}

static void
put_signature(SimBuf *buf, const Authorization * auth, const char *text)
{
	unsigned char key[SHA256_DIGEST_LENGTH];
	SimBuf		first = {0};

	sim_buf_printf(&first, "AWS4%s", sim_config.key);
	hmac((unsigned char *) first.data, first.len, auth->date, key);
	hmac(key, sizeof(key), auth->region, key);
	hmac(key, sizeof(key), auth->service, key);
	hmac(key, sizeof(key), "aws4_request", key);
	hmac(key, sizeof(key), text, key);
	put_hex(buf, key, sizeof(key));
	sim_buf_free(&first);
}

static SimSigv4Failure
check_signature(const SimRequest *request, const Authorization * auth, const char *date)
{
	SimBuf		canonical = {0};
	SimBuf		text = {0};
	SimBuf		signature = {0};
	SimSigv4Failure failure = put_canonical(&canonical, request, auth->signed_headers);

	sim_buf_printf(&text, ALGORITHM "\n%s\n%s\n", date, auth->scope);
	put_hash(&text, &canonical);
	sim_buf_add(&text, "", 1);
	put_signature(&signature, auth, text.data);
	sim_buf_add(&signature, "", 1);
	if (failure.code == NULL && strcmp(signature.data, auth->signature) != 0)
		failure = invalid("The signature does not match.");
	sim_buf_free(&canonical);
	sim_buf_free(&text);
	sim_buf_free(&signature);
	return failure;
}

/* ---- who, where and when ---- */

static SimSigv4Failure
check_identity(const SimRequest *request, const Authorization * auth)
{
	const char *token = sim_request_header(request, "X-Amz-Security-Token");

	if (token && sim_setting_is("expired_token", token))
		return fail("ExpiredTokenException", "The session has ended.");
	if (strcmp(auth->key_id, sim_setting_or("access_key_id", "sim_access_key")) != 0 ||
		(token ? !sim_setting_is("session_token", token) : sim_setting("session_token") != NULL))
		return fail("UnrecognizedClientException", "The access key or its session token is unknown.");
	return good;
}

static SimSigv4Failure
check_time(const Authorization * auth, const char *date)
{
	struct tm	parts = {0};
	const char *end = strptime(date, "%Y%m%dT%H%M%SZ", &parts);
	const char *clock = sim_setting("clock");
	int64_t		ahead = 0;
	double		age;

	if (clock)
		sim_parse_int(clock, -86400, 86400, &ahead);
	if (end == NULL || *end)
		return incomplete("X-Amz-Date is no date.");
	if (strncmp(auth->date, date, 8) != 0 || strlen(auth->date) != 8)
		return invalid("The dates of Credential and X-Amz-Date differ.");
	age = difftime(time(NULL), timegm(&parts)) + (double) ahead;
	if (age > CLOCK_SECONDS)
		return invalid("Signature expired: it is more than 5 min. old");
	if (age < -CLOCK_SECONDS)
		return invalid("Signature not yet current: it is more than 5 min. ahead");
	return good;
}

/*
 * Check the signature of a request for "/"; the code of the failure is NULL if it
 * is good.
 */
SimSigv4Failure
sim_sigv4_check(const SimRequest *request, const char *region, const char *service)
{
	const char *header = sim_request_header(request, "Authorization");
	const char *date = sim_request_header(request, "X-Amz-Date");
	Authorization auth;
	SimSigv4Failure failure;

	if (header == NULL)
		return fail("MissingAuthenticationTokenException", "Missing Authentication Token");
	failure = read_authorization(header, &auth);
	if (failure.code == NULL && date == NULL)
		failure = incomplete("There is no X-Amz-Date.");
	if (failure.code == NULL)
		failure = check_identity(request, &auth);
	if (failure.code == NULL && strcmp(auth.region, region) != 0)
		failure = invalid("The signature is for another region.");
	if (failure.code == NULL && strcmp(auth.service, service) != 0)
		failure = invalid("The signature is for another service.");
	if (failure.code == NULL)
		failure = check_time(&auth, date);
	return failure.code ? failure : check_signature(request, &auth, date);
}
