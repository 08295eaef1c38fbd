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

#include "check.h"
#include "directory.h"
#include "neon_auth_fdw.h"
#include "pgcompat.h"
#include "report.h"
#include "sync/schedule.h"

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

/* Which of the first four parts a failure is about. */
static enum Part
part_of(NauthErrorKind kind)
{
	switch (kind)
	{
		case NAUTH_ERROR_FORBIDDEN_URL:
			return PART_URL;
		case NAUTH_ERROR_CONNECT:
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

	nauth_report_describe(error, peer, server, &report);
	return (NauthCheck)
	{
		NAUTH_VERDICT_ERROR, report.message, report.detail, report.hint
	};
}

/* http is allowed only by a superuser's word, but may still be a mistake. */
static NauthCheck
check_url(const NauthOptions *options)
{
	static const char *const safe[] = {"https://", "http://127.", "http://localhost", "http://[::1]"};

	for (int i = 0; i < lengthof(safe); i++)
		if (pg_strncasecmp(options->settings.url, safe[i], strlen(safe[i])) == 0)
			return (NauthCheck)
	{
		NAUTH_VERDICT_OK, "may be asked"
	};
	return (NauthCheck)
	{
		NAUTH_VERDICT_WARNING, "the credential and all users travel without encryption", NULL,
			psprintf("Use https: ALTER SERVER %s OPTIONS (SET url 'https://...').", quote_identifier(options->server))
	};
}

/* Who of the page can be asked for by id; NULL if there is nobody. */
static const char *
choose_user(const NauthOptions *options, const NauthPage *page)
{
	for (int i = 0; i < page->count; i++)
		if (page->users[i].flaw != NAUTH_FLAW_ID &&
			nauth_read_id_possible(options->provider, page->users[i].id))
			return pstrdup(page->users[i].id);
	return NULL;
}

/* Deletions are believed only of a provider that finds by id whom it lists. */
static NauthCheck
check_user(NauthDirectory *directory, const NauthOptions *options, const char *id)
{
	NauthUser  *user = palloc(sizeof(NauthUser));
	bool		found;

	if (id == NULL)
		return (NauthCheck)
	{
		NAUTH_VERDICT_UNKNOWN, "the directory has nobody to ask for"
	};
	if (!nauth_directory_try_user(directory, id, user, &found))
		return failed(nauth_directory_error(directory), NAUTH_PEER_PROVIDER, options->server);
	if (found)
		return (NauthCheck)
	{
		NAUTH_VERDICT_OK, "a user of the list is found by id"
	};
	return (NauthCheck)
	{
		NAUTH_VERDICT_WARNING, "a user of the list is not found by id", NULL,
			"While that is so no deletion is believed. Unless the user was deleted just now, ask the provider why."
	};
}

static NauthCheck
check_count(NauthDirectory *directory, const NauthOptions *options)
{
	NauthQuery	query = {.kind = NAUTH_QUERY_COUNT};
	int64_t		count;

	if (!nauth_directory_try_count(directory, &query, &count))
		return failed(nauth_directory_error(directory), NAUTH_PEER_PROVIDER, options->server);
	return (NauthCheck)
	{
		NAUTH_VERDICT_OK, psprintf(INT64_FORMAT " users", (int64) count)
	};
}

static NauthCheck
check_clock(const NauthHttpStats *stats)
{
	int64		skew = stats->skew;

	if (!stats->dated)
		return (NauthCheck)
	{
		NAUTH_VERDICT_UNKNOWN, "the provider has not told its time"
	};
	if (Abs(skew) <= SKEW_MAX)
		return (NauthCheck)
	{
		NAUTH_VERDICT_OK, "agrees with the provider's"
	};
	return (NauthCheck)
	{
		NAUTH_VERDICT_WARNING,
			psprintf("the clock of this server is " INT64_FORMAT " seconds %s the provider's", Abs(skew), skew > 0 ? "ahead of" : "behind"),
			NULL, "Set the clock, and let NTP keep it: by it times of users that lie in the future are told."
	};
}

/* All parts of the provider, by itself, whatever is wrong with the Redis. */
static void
check_provider(const NauthOptions *options, NauthCheck checks[NUM_PARTS])
{
	NauthOptions *alone = palloc(sizeof(NauthOptions));
	NauthQuery	query = {.kind = NAUTH_QUERY_LIST};
	NauthDirectory *directory;
	const NauthPage *page;

	*alone = *options;
	alone->redis_url = NULL;
	directory = nauth_directory_open(alone, alone->scan_timeout);
	if (options->provider->lists_changes)
		query = (NauthQuery)
	{
		.kind = NAUTH_QUERY_CHANGES,.limit = LISTED
	};
	nauth_directory_begin(directory, &query);
	if (nauth_directory_try_next(directory, &page))
	{
		const char *id = choose_user(options, page);

		checks[PART_LIST] = (NauthCheck)
		{
			NAUTH_VERDICT_OK, "users can be listed"
		};
		checks[PART_USER] = check_user(directory, options, id);
		checks[PART_COUNT] = check_count(directory, options);
	}
	else
	{
		const NauthError *error = nauth_directory_error(directory);

		checks[part_of(error->kind)] = failed(error, NAUTH_PEER_PROVIDER, options->server);
	}
	checks[PART_CLOCK] = check_clock(nauth_directory_stats(directory));
}

/* What the request has shown to work before it failed, or passed. */
static void
fill_in(const NauthOptions *options, NauthCheck checks[NUM_PARTS])
{
	bool		reached = checks[PART_LIST].message != NULL;

	for (int part = PART_COUNT; part >= PART_URL; part--)
	{
		if (checks[part].message != NULL)
			reached |= part < PART_LIST;
		else if (part >= PART_LIST || !reached)
			checks[part] = (NauthCheck)
		{
			NAUTH_VERDICT_UNKNOWN, "could not be asked"
		};
		else if (part == PART_URL)
			checks[part] = check_url(options);
		else
			checks[part] = (NauthCheck)
		{
			NAUTH_VERDICT_OK, part == PART_CONNECTION ? "the provider answers" : "is accepted"
		};
	}
}

static NauthCheck
check_redis(const NauthOptions *options)
{
	NauthRedisOptions redis;
	NauthError	error = {0};

	if (options->redis_url == NULL)
		return (NauthCheck)
	{
		NAUTH_VERDICT_NONE, "queries are not cached", NULL,
			psprintf("To cache them: ALTER SERVER %s OPTIONS (ADD redis_url 'redis://127.0.0.1:6379').",
					 quote_identifier(options->server))
	};
	nauth_directory_redis(options, &redis);
	if (!nauth_redis_ping(&redis, &error))
		return failed(&error, NAUTH_PEER_REDIS, options->server);
	return (NauthCheck)
	{
		NAUTH_VERDICT_OK, "works"
	};
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
	fill_in(options, checks);
	checks[PART_REDIS] = check_redis(options);
	checks[PART_CRON] = nauth_schedule_check(options->server);
	for (int part = 0; part < NUM_PARTS; part++)
		put_row(rsinfo, part_names[part], &checks[part]);
	return (Datum) 0;
}
