/*-------------------------------------------------------------------------
 *
 * token.c
 *		Access tokens for client credentials, as RFC 6749 has it.
 *
 * The one client is "client", its secret is the key, or it has a key pair.  Only the latest token is
 * good, and after so many requests none is: a test can do without waiting.
 *
 *	--set token_seconds=N	what is told of its life (3600)
 *	--set token_uses=N		requests that it is good for (no bound)
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "sim.h"

#define CLIENT_ID "client"

static SimBuf current;			/* the token, a NUL behind it */
static int64_t uses_left;
static int64_t n_tokens;

/*
 * Append bytes as base64url without padding.
 */
static void
put_base64(SimBuf *buf, const char *bytes, size_t len)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned	bits = 0;
	int			n = 0;

	for (size_t i = 0; i < len; i++)
	{
		bits = bits << 8 | (unsigned char) bytes[i];
		for (n += 8; n >= 6; n -= 6)
			sim_buf_add(buf, &digits[bits >> (n - 6) & 63], 1);
	}
	if (n > 0)
		sim_buf_add(buf, &digits[bits << (6 - n) & 63], 1);
}

static void
make_token(const char *claims)
{
	static const char header[] = "{\"alg\":\"none\",\"typ\":\"JWT\"}";

	current.len = 0;
	n_tokens++;
	if (claims)
	{
		put_base64(&current, header, strlen(header));
		SIM_LITERAL(&current, ".");
		put_base64(&current, claims, strlen(claims));
		SIM_LITERAL(&current, ".");
	}
	sim_buf_printf(&current, "token_%lld", (long long) n_tokens);
	sim_buf_add(&current, "", 1);
	uses_left = sim_setting_int("token_uses", 0, INT64_MAX);
	sim_stats.tokens++;
}

/*
 * Answer with an error of RFC 6749.
 */
void
sim_token_refuse(SimReply *reply, int status, const char *code, const char *description)
{
	reply->status = status;
	reply->rejected = true;
	SIM_LITERAL(&reply->body, "{\"error\":");
	sim_buf_string(&reply->body, code);
	SIM_LITERAL(&reply->body, ",\"error_description\":");
	sim_buf_string(&reply->body, description);
	SIM_LITERAL(&reply->body, "}");
}

/*
 * A field of the form in the body, or NULL.  It is read as if it were a query.
 */
const char *
sim_token_form(SimRequest *request, const char *name)
{
	static SimRequest *form;
	SimBuf		target = {0};
	const char *value;

	SIM_LITERAL(&target, "/?");
	if (request->body.len > 0)
		sim_buf_add(&target, request->body.data, request->body.len);
	sim_buf_add(&target, "", 1);
	if (form)
		sim_request_free(form);
	form = sim_request_new(target.data);
	value = sim_request_param(form, name);
	sim_buf_free(&target);
	return value;
}

static bool
form_has(SimRequest *request, const char *name, const char *value)
{
	const char *found = sim_token_form(request, name);

	return found && strcmp(found, value) == 0;
}

/*
 * Does the client prove itself, by its secret or by an assertion?
 */
static bool
is_client(SimRequest *request)
{
	const char *assertion;
	bool		good;
	char	   *copy;

	if (form_has(request, "client_secret", sim_config.key))
		return form_has(request, "client_id", CLIENT_ID);
	if (!form_has(request, "client_assertion_type",
				  "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))
		return false;
	assertion = sim_token_form(request, "client_assertion");
	copy = sim_strdup(assertion ? assertion : "");
	good = sim_assertion_good(copy, CLIENT_ID, request->path);
	free(copy);
	return good;
}

/*
 * Answer with a token: opaque, or a JWT with these claims, unsigned.
 */
void
sim_token_give(SimReply *reply, const char *claims)
{
	make_token(claims);
	SIM_LITERAL(&reply->body, "{\"access_token\":");
	sim_buf_string(&reply->body, current.data);
	sim_buf_printf(&reply->body, ",\"token_type\":\"Bearer\",\"expires_in\":%lld}",
				   (long long) sim_setting_int("token_seconds", 0, 3600));
}

/*
 * Answer POST of a form by which a client proves itself, with a token as above.
 */
void
sim_token_answer(SimRequest *request, SimReply *reply, const char *claims)
{
	const char *type = sim_request_header(request, "Content-Type");

	reply->status = 200;
	reply->content_type = "application/json";
	if (strcmp(request->method, "POST") != 0)
		sim_token_refuse(reply, 405, "invalid_request", "POST it");
	else if (type == NULL || strcmp(type, "application/x-www-form-urlencoded") != 0)
		sim_token_refuse(reply, 400, "invalid_request", "The body is no form");
	else if (!form_has(request, "grant_type", "client_credentials"))
		sim_token_refuse(reply, 400, "unsupported_grant_type", "Unsupported grant_type");
	else if (!is_client(request))
		sim_token_refuse(reply, 401, "invalid_client", "Invalid client or Invalid client credentials");
	else
		sim_token_give(reply, claims);
}

/*
 * Does the request have the latest token, and is that still good?
 */
bool
sim_token_accepted(const SimRequest *request)
{
	if (current.data == NULL || uses_left <= 0 ||
		!sim_request_bearer(request, current.data))
		return false;
	uses_left--;
	return true;
}

void
sim_token_stop(void)
{
	sim_buf_free(&current);
}
