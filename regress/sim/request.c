/*-------------------------------------------------------------------------
 *
 * request.c
 *		A request, its target taken apart strictly, and the head of its reply.
 *
 * The library under server.c forgives bad escapes and loses the raw target;
 * a strict simulator wants both, so the target is decoded here.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "sim.h"

static int
hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	return tolower((unsigned char) digit) - 'a' + 10;
}

/*
 * A decoded copy, owned by the caller.  A bad escape or a NUL byte marks the
 * request as malformed.
 */
static char *
decode(SimRequest *request, const char *text, size_t len, bool plus_is_space)
{
	char	   *copy = sim_memdup(text, len);
	char	   *to = copy;

	for (size_t i = 0; i < len; i++, to++)
	{
		*to = text[i];
		if (text[i] == '+' && plus_is_space)
			*to = ' ';
		if (text[i] != '%')
			continue;
		if (i + 2 < len && isxdigit((unsigned char) text[i + 1]) &&
			isxdigit((unsigned char) text[i + 2]))
		{
			*to = (char) (hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
			i += 2;
		}
		else
			request->malformed = true;
		if (*to == '\0')
			request->malformed = true;
	}
	*to = '\0';
	return copy;
}

static void
add_param(SimRequest *request, const char *text, size_t len)
{
	const char *equals = memchr(text, '=', len);
	size_t		name_len = equals ? (size_t) (equals - text) : len;
	SimParam   *param;

	if (len == 0)
		return;
	if (request->n_params == SIM_MAX_PARAMS)
	{
		request->malformed = true;
		return;
	}
	param = &request->params[request->n_params++];
	param->name = decode(request, text, name_len, true);
	param->value = equals ?
		decode(request, equals + 1, len - name_len - 1, true) : sim_strdup("");
}

static void
parse_target(SimRequest *request, const char *target)
{
	size_t		path_len = strcspn(target, "?");
	const char *p = target + path_len;

	request->target = sim_strdup(target);
	request->path = decode(request, target, path_len, false);
	while (*p)
	{
		size_t		len = strcspn(++p, "&");

		add_param(request, p, len);
		p += len;
	}
}

static void
free_target(SimRequest *request)
{
	for (int i = 0; i < request->n_params; i++)
	{
		free(request->params[i].name);
		free(request->params[i].value);
	}
	request->n_params = 0;
	request->malformed = false;
	free(request->target);
	free(request->path);
}

SimRequest *
sim_request_new(const char *target)
{
	SimRequest *request = sim_alloc(sizeof(*request));

	parse_target(request, target);
	return request;
}

/*
 * Answer as if another target had been asked.
 */
void
sim_request_retarget(SimRequest *request, const char *target)
{
	free_target(request);
	parse_target(request, target);
}

void
sim_request_free(SimRequest *request)
{
	free_target(request);
	sim_buf_free(&request->body);
	json_decref(request->fault);
	free(request);
}

/*
 * The first value of a parameter, or NULL.
 */
const char *
sim_request_param(const SimRequest *request, const char *name)
{
	for (int i = 0; i < request->n_params; i++)
		if (strcmp(request->params[i].name, name) == 0)
			return request->params[i].value;
	return NULL;
}

/*
 * The first value of a header, or NULL.
 */
const char *
sim_request_header(const SimRequest *request, const char *name)
{
	for (int i = 0; i < request->n_headers; i++)
		if (strcasecmp(request->headers[i].name, name) == 0)
			return request->headers[i].value;
	return NULL;
}

bool
sim_request_bearer(const SimRequest *request, const char *key)
{
	const char *value = sim_request_header(request, "Authorization");

	return value && strncmp(value, "Bearer ", 7) == 0 &&
		strcmp(value + 7, key) == 0;
}

bool
sim_request_authorized(const SimRequest *request)
{
	return sim_request_bearer(request, sim_config.key);
}

/*
 * The body as JSON, read with flags of Jansson; NULL if it is none.
 */
json_t *
sim_request_json(const SimRequest *request, size_t flags)
{
	return json_loadb(request->body.data ? request->body.data : "",
					  request->body.len, flags, NULL);
}

/*
 * Set a header, in place of the one of that name.
 */
void
sim_reply_header(SimReply *reply, const char *name, const char *value)
{
	if (reply->headers == NULL)
		reply->headers = json_object();
	json_object_set_new(reply->headers, name, json_string(value));
}
