/*-------------------------------------------------------------------------
 *
 * request.c
 *	  Write requests.
 *
 * Whatever a value holds, it stays the value that it is: here is where a
 * user's text becomes part of a URL.  A request that does not fit, or cannot
 * be written, is marked and never becomes another request by being cut off.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char	nauth_request_id[] = "{id}";
const char	nauth_request_email[] = "{email}";
const char	nauth_request_time[] = "{created_at}";
const char	nauth_request_changed[] = "{updated_at}";

/* Append to a buffer of size bytes, or mark. */
static void
append(NauthRequest *request, char *buffer, size_t size, const char *text)
{
	size_t		used = strlen(buffer);
	size_t		len = strlen(text);

	if (request->overflow || len >= size - used)
		request->overflow = true;
	else
		memcpy(buffer + used, text, len + 1);
}

static void
append_url(NauthRequest *request, const char *text)
{
	append(request, request->url, sizeof(request->url), text);
}

static void
append_header(NauthRequest *request, const char *text)
{
	append(request, request->headers, sizeof(request->headers), text);
}

static bool
is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		(c >= '0' && c <= '9') ||
		c == '-' || c == '_' || c == '.' || c == '~';
}

size_t
nauth_request_encoded(const char *value)
{
	size_t		bytes = 0;

	for (; *value != '\0'; value++)
		bytes += is_unreserved(*value) ? 1 : 3;
	return bytes;
}

/* Whether it stands for a value that an EXPLAIN does not know. */
static bool
is_unknown(const char *value)
{
	return value == nauth_request_id || value == nauth_request_email ||
		value == nauth_request_time || value == nauth_request_changed;
}

/* Append a value percent-encoded, byte by byte, to a buffer of size bytes. */
static void
append_encoded(NauthRequest *request, char *buffer, size_t size, const char *value)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t		used = strlen(buffer);

	if (is_unknown(value))
	{
		append(request, buffer, size, value);
		return;
	}
	for (; *value != '\0' && !request->overflow; value++)
	{
		unsigned char byte = (unsigned char) *value;

		if (size - used <= 3)
			request->overflow = true;
		else if (is_unreserved(*value))
			buffer[used++] = *value;
		else
		{
			buffer[used++] = '%';
			buffer[used++] = digits[byte >> 4];
			buffer[used++] = digits[byte & 15];
		}
	}
	buffer[used] = '\0';
}

void
nauth_request_begin(NauthRequest *request, const char *base, const char *path)
{
	request->url[0] = '\0';
	request->headers[0] = '\0';
	request->body[0] = '\0';
	request->signer[0] = request->signing_id[0] = request->signing_key[0] = '\0';
	request->overflow = false;
	append_url(request, base);
	append_url(request, path);
}

/* Some servers take what follows a ';' for parameters, and leave it out. */
bool
nauth_request_is_dots(const char *value)
{
	size_t		dots = strspn(value, ".");

	return (dots == 1 || dots == 2) && (value[dots] == '\0' || value[dots] == ';');
}

void
nauth_request_segment(NauthRequest *request, const char *value)
{
	append_url(request, "/");
	if (value[0] == '\0' || nauth_request_is_dots(value))
		request->overflow = true;
	else
		append_encoded(request, request->url, sizeof(request->url), value);
}

/* Begin a parameter: all of it but the value. */
static void
append_name(NauthRequest *request, const char *name)
{
	append_url(request, strchr(request->url, '?') == NULL ? "?" : "&");
	append_url(request, name);
	append_url(request, "=");
}

void
nauth_request_parameter(NauthRequest *request, const char *name,
						const char *value)
{
	append_name(request, name);
	append_encoded(request, request->url, sizeof(request->url), value);
}

void
nauth_request_number(NauthRequest *request, const char *name, int64_t value)
{
	char		digits[24];

	snprintf(digits, sizeof(digits), "%" PRId64, value);
	nauth_request_parameter(request, name, digits);
}

void
nauth_request_more(NauthRequest *request, const char *value)
{
	append_encoded(request, request->url, sizeof(request->url), value);
}

void
nauth_request_literal(NauthRequest *request, const char *text)
{
	append_url(request, text);
}

void
nauth_request_header(NauthRequest *request, const char *name,
					 const char *prefix, const char *value)
{
	for (const char *c = value; *c != '\0'; c++)
	{
		if ((unsigned char) *c < 0x20 || *c == 0x7F)
			request->overflow = true;
	}
	if (request->headers[0] != '\0')
		append_header(request, "\n");
	append_header(request, name);
	append_header(request, ": ");
	append_header(request, prefix);
	append_header(request, value);
}

void
nauth_request_form(NauthRequest *request, const char *name, const char *value)
{
	char	   *body = request->body;

	if (body[0] == '\0')
		nauth_request_header(request, "Content-Type", "", "application/x-www-form-urlencoded");
	else
		append(request, body, sizeof(request->body), "&");
	append(request, body, sizeof(request->body), name);
	append(request, body, sizeof(request->body), "=");
	append_encoded(request, body, sizeof(request->body), value);
}

static void
append_body(NauthRequest *request, const char *text)
{
	append(request, request->body, sizeof(request->body), text);
}

void
nauth_request_json(NauthRequest *request, const char *type, const char *json)
{
	if (request->body[0] == '\0')
		nauth_request_header(request, "Content-Type", "", type);
	append_body(request, json);
}

void
nauth_request_quoted(NauthRequest *request, const char *value)
{
	append_body(request, "\"");
	if (is_unknown(value))
		append_body(request, value);
	for (; !is_unknown(value) && *value != '\0'; value++)
	{
		char		text[8];
		bool		special = *value == '"' || *value == '\\';
		bool		control = (unsigned char) *value < 0x20;

		snprintf(text, sizeof(text), control ? "\\u%04x" : special ? "\\%c" : "%c", (unsigned char) *value);
		append_body(request, text);
	}
	append_body(request, "\"");
}

void
nauth_request_sign(NauthRequest *request, const char *region, const char *service,
				   const char *id, const char *key)
{
	int			len = snprintf(request->signer, NAUTH_SIGNING_MAX, "%s:%s", region, service);

	append(request, request->signing_id, NAUTH_SIGNING_MAX, id);
	append(request, request->signing_key, NAUTH_SIGNING_MAX, key);
	request->overflow |= len >= NAUTH_SIGNING_MAX;
}
