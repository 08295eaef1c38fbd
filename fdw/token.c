/*-------------------------------------------------------------------------
 *
 * token.c
 *	  Access tokens that client credentials are exchanged for.
 *
 * A session asks for one at a time, since whoever needs it waits for it, and all
 * scans and refreshes of the session then use it.  It is renewed before it ends:
 * a request that is sent with it must still be answered.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "json.h"
#include "jwt.h"
#include "token.h"
#include "users.h"
#include "wait.h"

/* A token is renewed so long before its end, or a quarter of its life. */
#define MARGIN			INT64CONST(60000000)	/* microseconds */

/* A credential that was refused is not tried again so soon, unless options change. */
#define REFUSED_FOR		USECS_PER_SEC

/* How long it lives when the provider does not say, and at most, in seconds. */
#define DEFAULT_LIFE	60
#define LONGEST_LIFE	86400

#define ASSERTION_MAX	4096	/* bytes of a signed assertion */
#define NONCE_BYTES		16

typedef struct Token
{
	struct Token *next;
	Oid			server;
	Oid			mapping;
	uint64_t	catalog;		/* as in NauthConnectionId */
	int64		renew_at;		/* of nauth_clock(); 0: there is none */
	int64		refused_until;	/* until then it is not asked for again */
	NauthError	refusal;
	char		text[NAUTH_TOKEN_MAX];
} Token;

/* Errors of RFC 6749 that may be shown; the first ones are of the credential. */
static const char *const known_errors[] = {
	"access_denied", "invalid_client", "invalid_grant", "unauthorized_client",
	"invalid_request", "invalid_scope", "unsupported_grant_type"
};

#define CREDENTIAL_ERRORS	4

const char	nauth_token_hint[] =
"Set client_id and client_secret, or private_key, of a client that may use client credentials, with: ALTER USER MAPPING FOR ... SERVER %s OPTIONS (SET client_id '...', ...);";

static Token *all = NULL;

/*
 * The one of a server and mapping; made, or emptied if options have changed.  Then
 * others of before are of no use either, and make room: there are no more than were
 * in use between two changes.
 */
static Token *
find_token(const NauthConnectionId *id)
{
	NauthConnectionId now = *id;
	Token	   *token = all;

	nauth_connection_identify(&now);
	while (token && (token->server != id->server || token->mapping != id->mapping))
		token = token->next;
	for (Token *other = all; other && token == NULL; other = other->next)
		if (other->catalog != now.catalog)
			token = other;
	if (token == NULL)
	{
		token = MemoryContextAllocZero(TopMemoryContext, sizeof(Token));
		token->next = all;
		all = token;
	}
	if (token->server != id->server || token->mapping != id->mapping || token->catalog != id->catalog)
	{
		explicit_bzero(token->text, sizeof(token->text));
		token->renew_at = token->refused_until = 0;
		token->server = id->server;
		token->mapping = id->mapping;
		token->catalog = id->catalog;
	}
	return token;
}

/* Why there is no token, from a reply that has none. */
static void
read_refusal(const NauthReply *reply, NauthError *error)
{
	char		code[NAUTH_ERROR_CODE];

	nauth_error_set(error, nauth_error_of_status(reply->status), "the provider gave no access token");
	error->status = reply->status;
	nauth_error_set_request_id(error, reply->request_id);
	if (reply->status == 404)
		error->hint = "Check options \"url\", \"realm\" and \"token_url\" of server %s, where the provider has them.";
	if (!nauth_json_text(reply->body, "error", code, sizeof(code)))
		return;
	for (int i = 0; i < lengthof(known_errors); i++)
	{
		if (strcmp(code, known_errors[i]) != 0)
			continue;
		nauth_error_set_code(error, code);
		if (i < CREDENTIAL_ERRORS)
		{
			error->kind = NAUTH_ERROR_CREDENTIAL;
			error->hint = nauth_token_hint;
		}
	}
}

/* Read a token from a reply with status 200; begun is when it was asked for. */
static bool
read_token(Token *token, const NauthProvider *provider, const NauthReply *reply, int64 begun, NauthError *error)
{
	int64_t		life = DEFAULT_LIFE;
	char		type[16];

	if (!nauth_json_text(reply->body, "access_token", token->text, sizeof(token->text)) || token->text[0] == '\0')
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "where the access token should be is none");
	/* it would be kept, and no request with it could be written */
	for (const char *c = token->text; *c; c++)
		if (*c <= ' ' || *c > '~')
			return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the access token has a character that none has");
	if (nauth_json_text(reply->body, "token_type", type, sizeof(type)) && pg_strcasecmp(type, "bearer") != 0)
		return nauth_error_set(error, NAUTH_ERROR_UNREADABLE, "the access token is of another type than Bearer");
	if (provider->check_token && !provider->check_token(token->text, error))
		return false;
	(void) nauth_json_integer(reply->body, "expires_in", &life);
	life = Min(Max(life, 0), LONGEST_LIFE) * USECS_PER_SEC;
	token->renew_at = begun + life - Min(life / 4, MARGIN);
	return true;
}

/*
 * Sign an assertion for a client that proves itself with a key.  False with error
 * set when that cannot be done.
 */
static bool
make_assertion(const NauthOptions *options, char assertion[ASSERTION_MAX], NauthError *error)
{
	const NauthSettings *settings = &options->settings;
	int64		now = nauth_timestamptz_to_moment(GetCurrentTimestamp()) / NAUTH_SECOND;
	char		claims[NAUTH_CLAIMS_MAX];
	char		nonce[2 * NONCE_BYTES + 1];
	uint8		bytes[NONCE_BYTES];

	if (!pg_strong_random(bytes, sizeof(bytes)))
		return nauth_error_set(error, NAUTH_ERROR_REQUEST, "there are no random numbers");
	for (int i = 0; i < NONCE_BYTES; i++)
		sprintf(nonce + 2 * i, "%02x", bytes[i]);
	if (!options->provider->write_claims(settings, now, nonce, claims) ||
		!nauth_jwt_sign(settings->private_key, settings->private_key_id, claims, assertion, ASSERTION_MAX))
		return nauth_error_set(error, NAUTH_ERROR_REQUEST, "the assertion of the client could not be signed");
	return true;
}

/* Ask the provider for a token. */
static bool
fetch_token(Token *token, const NauthOptions *options, NauthHttp *http, NauthRequest *request,
			int64 deadline, NauthError *error)
{
	int64		begun = nauth_clock();
	NauthSettings settings = options->settings;
	char		assertion[ASSERTION_MAX];
	NauthReply	reply;
	bool		read;

	token->renew_at = 0;
	settings.assertion = assertion;
	for (bool again = false;; again = true)
	{
		int64		retries = nauth_http_stats(http)->retries;

		if (settings.private_key && !make_assertion(options, assertion, error))
			return false;
		options->provider->write_token(&settings, request);
		read = nauth_http_send(http, request, deadline, &reply, error);

		/*
		 * an assertion is good for once, and may have been read by the try
		 * that failed
		 */
		if (again || !read || reply.status == 200 || settings.private_key == NULL ||
			nauth_http_stats(http)->retries == retries)
			break;
	}
	if (read && reply.status != 200)
	{
		read_refusal(&reply, error);
		read = false;
	}
	read = read && read_token(token, options->provider, &reply, begun, error);
	explicit_bzero(request, sizeof(*request));
	explicit_bzero(assertion, sizeof(assertion));
	token->refusal = *error;
	token->refused_until = !read && error->kind == NAUTH_ERROR_CREDENTIAL ? nauth_clock() + REFUSED_FOR : 0;
	return read;
}

const char *
nauth_token_get(const NauthOptions *options, NauthHttp *http, NauthRequest *request,
				int64_t deadline, NauthError *error)
{
	Token	   *token = find_token(&options->connection);

	if (nauth_clock() < token->renew_at)
		return token->text;
	if (nauth_clock() < token->refused_until)
	{
		*error = token->refusal;
		return NULL;
	}
	return fetch_token(token, options, http, request, deadline, error) ? token->text : NULL;
}

void
nauth_token_forget(const NauthOptions *options)
{
	find_token(&options->connection)->renew_at = 0;
}
