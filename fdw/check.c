/*-------------------------------------------------------------------------
 *
 * check.c
 *	  SQL function check_server: each part that a server needs, with a verdict
 *	  and what to do.
 *
 * Three requests show what a refresh needs of a provider: a list, a user of it
 * by id, a count.  The first one that fails also says how far it came.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "check.h"
#include "directory.h"
#include "neon_auth_fdw.h"
#include "pgcompat.h"
#include "provider/asking.h"
#include "provider/reply.h"
#include "report.h"
#include "sync/schedule.h"
#include "users.h"

#define NUM_COLUMNS		5

/* Users of the list that is asked for. */
#define LISTED			10

/* Seconds by which clocks may differ. */
#define SKEW_MAX		60

/* In the order of the rows; each of the first four needs the one before. */
enum Part
{
	PART_URL,
	PART_CONNECTION,
	PART_CREDENTIAL,
	PART_LIST,
	PART_USER,
	PART_COUNT,
	PART_CLOCK,
	PART_REDIS,
	PART_CRON,
	NUM_PARTS
};

static const char *const part_names[NUM_PARTS] = {
	[PART_URL] = "url",
	[PART_CONNECTION] = "connection",
	[PART_CREDENTIAL] = "credential",
	[PART_LIST] = "list",
	[PART_USER] = "user",
	[PART_COUNT] = "count",
	[PART_CLOCK] = "clock",
	[PART_REDIS] = "redis",
	[PART_CRON] = "pg_cron",
};

static const char *const verdict_names[] = {
	[NAUTH_VERDICT_OK] = "ok",
	[NAUTH_VERDICT_WARNING] = "warning",
	[NAUTH_VERDICT_ERROR] = "error",
	[NAUTH_VERDICT_NONE] = "none",
	[NAUTH_VERDICT_UNKNOWN] = "unknown",
};

NAUTH_FUNCTION(neon_auth_check_server);

NauthCheck
nauth_check_say(NauthVerdict verdict, const char *message, const char *hint)
{
	NauthCheck	check = {.verdict = verdict,.message = message,.hint = hint};

	return check;
}

/* Which of the first four parts a failure is about. */
static enum Part
part_of(NauthErrorKind kind)
{
	switch (kind)
	{
		case NAUTH_ERROR_FORBIDDEN_URL:
			return PART_URL;
		case NAUTH_ERROR_CONNECT:
		case NAUTH_ERROR_CERTIFICATE:
		case NAUTH_ERROR_FORBIDDEN_ADDRESS:
		case NAUTH_ERROR_TIMEOUT:
		case NAUTH_ERROR_TRANSFER:
		case NAUTH_ERROR_MEMORY:
			return PART_CONNECTION;
		case NAUTH_ERROR_CREDENTIAL:
			return PART_CREDENTIAL;
		default:
			return PART_LIST;
	}
}

static NauthCheck
failed(const NauthError *error, NauthReportPeer peer, const char *server)
{
	NauthReport report;
	NauthCheck	check = {.verdict = NAUTH_VERDICT_ERROR};

	nauth_report_describe(error, peer, server, &report);
	check.message = report.message;
	check.detail = report.detail;
	check.hint = report.hint;
	return check;
}

/* Whether a URL is one of http whose host is this machine. */
static bool
is_local_http(const char *url)
{
	const char *host = url + strlen("http://");
	size_t		len;

	if (pg_strncasecmp(url, "http://", strlen("http://")) != 0)
		return false;
	len = strcspn(host, ":/");
	return strncmp(host, "[::1]", 5) == 0 || strncmp(host, "localhost", Max(len, 9)) == 0 ||
		(strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == len);
}

/* http is allowed only by a superuser's word, but may still be a mistake. */
static NauthCheck
check_url(const NauthOptions *options)
{
	const char *url = options->settings.url;

	if (pg_strncasecmp(url, "https://", strlen("https://")) == 0 || is_local_http(url))
		return nauth_check_say(NAUTH_VERDICT_OK, "may be asked", NULL);
	return nauth_check_say(NAUTH_VERDICT_WARNING, "the credential and all users travel without encryption",
						   psprintf("Use https: ALTER SERVER %s OPTIONS (SET url 'https://...');",
									quote_identifier(options->server)));
}

/* Who of the page can be asked for by id; NULL if there is nobody. */
static const char *
choose_user(const NauthOptions *options, const NauthPage *page)
{
	for (int i = 0; i < page->count; i++)
		if (page->users[i].flaw != NAUTH_FLAW_ID &&
			nauth_ask_id_possible(options->provider, page->users[i].id))
			return pstrdup(page->users[i].id);
	return NULL;
}

/* What lets deletions be confirmed, where they cannot be; or NULL. */
static const char *
mend_unconfirmed(const NauthOptions *options)
{
	return options->provider->unconfirmed ?
		psprintf(options->provider->unconfirmed, quote_identifier(options->server)) : NULL;
}

/* Deletions are believed only of a provider that finds by id whom it lists. */
static NauthCheck
check_user(NauthDirectory *directory, const NauthOptions *options, const char *id)
{
	NauthUser  *user = palloc(sizeof(NauthUser));
	bool		found;

	if (options->provider->lists_only)
		return nauth_check_say(NAUTH_VERDICT_NONE, "the provider cannot be asked for one user, so nobody is marked as deleted for being missing",
							   mend_unconfirmed(options));
	if (id == NULL)
		return nauth_check_say(NAUTH_VERDICT_UNKNOWN, "the directory has nobody to ask for", NULL);
	if (!nauth_directory_try_user(directory, id, user, &found))
		return failed(nauth_directory_error(directory), NAUTH_PEER_PROVIDER, options->server);
	if (found && !nauth_reply_confirms(options->provider))
		return nauth_check_say(NAUTH_VERDICT_WARNING, "a user of the list is found by id, but no answer means that one does not exist, so nobody is marked as deleted for being missing",
							   mend_unconfirmed(options));
	if (found)
		return nauth_check_say(NAUTH_VERDICT_OK, "a user of the list is found by id", NULL);
	return nauth_check_say(NAUTH_VERDICT_WARNING, "a user of the list is not found by id",
						   "While that is so no deletion is believed. Unless the user was deleted just now, ask the provider why.");
}

static NauthCheck
check_count(NauthDirectory *directory, const NauthOptions *options)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_COUNT};
	int64_t		count;

	if (!options->provider->counts)
		return nauth_check_say(NAUTH_VERDICT_NONE, "the provider does not count its users", NULL);
	if (!nauth_directory_try_count(directory, &query, &count))
		return failed(nauth_directory_error(directory), NAUTH_PEER_PROVIDER, options->server);
	return nauth_check_say(NAUTH_VERDICT_OK, psprintf(INT64_FORMAT " users", (int64) count), NULL);
}

static NauthCheck
check_clock(const NauthHttpStats *stats)
{
	int64		skew = stats->skew;
	int64		size = skew < 0 ? -skew : skew;

	if (!stats->dated)
		return nauth_check_say(NAUTH_VERDICT_UNKNOWN, "the provider has not told its time", NULL);
	if (size <= SKEW_MAX)
		return nauth_check_say(NAUTH_VERDICT_OK, "agrees with the provider's", NULL);
	return nauth_check_say(NAUTH_VERDICT_WARNING,
						   psprintf("the clock of this server is " INT64_FORMAT " seconds %s the provider's",
									size, skew > 0 ? "ahead of" : "behind"),
						   "Set the clock, and let NTP keep it: by it times of users that lie in the future are told.");
}

/*
 * The first four parts, by how far a request came: all before the part that
 * failed are well, and of those after it nothing is known.
 */
static void
tell_stages(const NauthOptions *options, NauthCheck checks[NUM_PARTS], enum Part failed_at)
{
	static const char *const well[] = {
		[PART_CONNECTION] = "the provider answers",
		[PART_CREDENTIAL] = "is accepted",
		[PART_LIST] = "users can be listed",
	};

	for (int part = PART_URL; part <= PART_LIST; part++)
	{
		if (part > failed_at)
			checks[part] = nauth_check_say(NAUTH_VERDICT_UNKNOWN, "could not be asked", NULL);
		else if (part < failed_at)
			checks[part] = part == PART_URL ? check_url(options) : nauth_check_say(NAUTH_VERDICT_OK, well[part], NULL);
	}
}

/* A credential may list users, and not what has changed. */
static void
check_changes(NauthDirectory *directory, const NauthOptions *options, NauthCheck *check)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_SINCE,.from = nauth_timestamptz_to_moment(GetCurrentTimestamp())};
	const NauthPage *page;

	if (!options->provider->lists_since)
		return;
	nauth_directory_begin(directory, &query);
	if (nauth_directory_try_next(directory, &page))
		return;
	*check = failed(nauth_directory_error(directory), NAUTH_PEER_PROVIDER, options->server);
	check->verdict = NAUTH_VERDICT_WARNING;
	check->message = psprintf("users can be listed, but not what has changed: %s", check->message);
}

/* All parts of the provider, by itself, whatever is wrong with the Redis. */
static void
check_provider(const NauthOptions *options, NauthCheck checks[NUM_PARTS])
{
	NauthOptions *alone = palloc(sizeof(NauthOptions));
	NauthQuery	list = {.kind = NAUTH_QUERY_LIST};
	NauthQuery	changes = {.kind = NAUTH_QUERY_CHANGES,.limit = LISTED};
	NauthDirectory *directory;
	const NauthPage *page;
	enum Part	failed_at = PART_USER;

	*alone = *options;
	alone->redis_url = NULL;
	directory = nauth_directory_open(alone, alone->scan_timeout);
	nauth_directory_begin(directory, options->provider->lists_changes ? &changes : &list);
	if (nauth_directory_try_next(directory, &page))
	{
		checks[PART_USER] = check_user(directory, options, choose_user(options, page));
		checks[PART_COUNT] = check_count(directory, options);
	}
	else
	{
		const NauthError *error = nauth_directory_error(directory);

		failed_at = part_of(error->kind);
		checks[failed_at] = failed(error, NAUTH_PEER_PROVIDER, options->server);
		checks[PART_USER] = checks[PART_COUNT] = nauth_check_say(NAUTH_VERDICT_UNKNOWN, "could not be asked", NULL);
	}
	tell_stages(options, checks, failed_at);
	if (failed_at > PART_LIST)
		check_changes(directory, options, &checks[PART_LIST]);
	checks[PART_CLOCK] = check_clock(nauth_directory_stats(directory));
}

static NauthCheck
check_redis(const NauthOptions *options)
{
	NauthRedisOptions redis;
	NauthError	error = {0};

	if (options->redis_url == NULL)
		return nauth_check_say(NAUTH_VERDICT_NONE, "queries are not cached", psprintf("To cache them: ALTER SERVER %s OPTIONS (ADD redis_url 'redis://127.0.0.1:6379');",
																					  quote_identifier(options->server)));
	nauth_directory_redis(options, &redis);
	if (!nauth_redis_ping(&redis, &error))
		return failed(&error, NAUTH_PEER_REDIS, options->server);
	return nauth_check_say(NAUTH_VERDICT_OK, "works", NULL);
}

static void
put_row(ReturnSetInfo *rsinfo, const char *part, const NauthCheck *check)
{
	const char *texts[NUM_COLUMNS] = {
		part, verdict_names[check->verdict], check->message, check->detail, check->hint
	};
	Datum		values[NUM_COLUMNS] = {0};
	bool		nulls[NUM_COLUMNS];

	for (int i = 0; i < NUM_COLUMNS; i++)
	{
		nulls[i] = texts[i] == NULL;
		if (!nulls[i])
			values[i] = CStringGetTextDatum(texts[i]);
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * SQL function check_server(server): one row a part.  Only what keeps it from
 * asking at all is an error.
 */
Datum
neon_auth_check_server(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ForeignServer *server = nauth_server_to_ask(text_to_cstring(PG_GETARG_TEXT_PP(0)), GetUserId());
	NauthOptions *options = nauth_options_get(server->serverid, GetUserId());
	NauthCheck	checks[NUM_PARTS] = {0};

	InitMaterializedSRF(fcinfo, 0);
	check_provider(options, checks);
	checks[PART_REDIS] = check_redis(options);
	checks[PART_CRON] = nauth_schedule_check(options->server);
	for (int part = 0; part < NUM_PARTS; part++)
		put_row(rsinfo, part_names[part], &checks[part]);
	return (Datum) 0;
}
