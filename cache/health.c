/*-------------------------------------------------------------------------
 *
 * health.c
 *	  What a session remembers of a server's cache: counters, and when not to
 *	  ask its Redis.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/pg_prng.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cache/health.h"
#include "report.h"
#include "wait.h"

/* Faults in a row after which Redis is left alone, and for how long. */
#define FAULTS_MAX		3
#define SLOW_MAX		8		/* exchanges in a row */
#define SHORT_PAUSE		(10 * USECS_PER_SEC)
#define LONG_PAUSE		USECS_PER_MINUTE

/*
 * What each kind of fault means; all others are like a broken connection.
 * A Redis that says what is wrong with our options will go on saying so.
 */
static const struct
{
	NauthErrorKind kind;
	bool		quiet;			/* passes by itself: no WARNING */
	bool		at_once;		/* no second attempt is worth it */
	int64		pause;
}			fault_kinds[] = {
	{NAUTH_ERROR_UNAVAILABLE, true, false, SHORT_PAUSE},
	{NAUTH_ERROR_CREDENTIAL, false, true, LONG_PAUSE},
	{NAUTH_ERROR_REFUSED, false, true, LONG_PAUSE},
	{NAUTH_ERROR_FORBIDDEN_URL, false, true, LONG_PAUSE},
	{NAUTH_ERROR_FORBIDDEN_ADDRESS, false, true, LONG_PAUSE},
	/* the last one stands for all others */
	{NAUTH_OK, false, false, SHORT_PAUSE},
};

static NauthHealth *all = NULL;

/* When the part of a statement began that counts as one of its own. */
static int64_t part_began_at = 0;

static NauthHealth *
make_health(const NauthConnectionId *id)
{
	NauthHealth *health = MemoryContextAllocZero(TopMemoryContext, sizeof(NauthHealth));

	health->server = id->server;
	health->mapping = id->mapping;
	health->catalog = id->catalog;
	health->next = all;
	all = health;
	return health;
}

NauthHealth *
nauth_health_get(const NauthConnectionId *id)
{
	NauthHealth *health = all;

	while (health && (health->server != id->server || health->mapping != id->mapping))
		health = health->next;
	if (health == NULL)
		return make_health(id);
	if (health->catalog != id->catalog)
	{
		health->catalog = id->catalog;
		health->faults = 0;
		health->warned = false;
		health->failed_in = 0;
		health->closed_until = health->read_only_until = health->not_before = 0;
		health->listed_until = 0;
	}
	return health;
}

const NauthHealth *
nauth_health_list(void)
{
	return all;
}

void
nauth_health_next_statement(void)
{
	part_began_at = GetCurrentTimestamp();
}

static int64_t
statement_began_at(void)
{
	return Max(GetCurrentStatementStartTimestamp(), part_began_at);
}

bool
nauth_health_may_ask(NauthHealth *health)
{
	if (nauth_clock() >= health->closed_until &&
		health->failed_in != statement_began_at())
		return true;
	health->counters[NAUTH_CACHE_SKIPPED]++;
	return false;
}

bool
nauth_health_may_write(const NauthHealth *health)
{
	return nauth_clock() >= health->read_only_until;
}

bool
nauth_health_worked(NauthHealth *health, bool slowly, NauthError *error)
{
	health->slow = slowly ? health->slow + 1 : 0;
	if (health->slow > SLOW_MAX)
	{
		health->slow = 0;
		return nauth_error_set(error, NAUTH_ERROR_TIMEOUT, "its answers take too long to be of use");
	}
	health->faults = 0;
	if (nauth_clock() - health->last_fault > LONG_PAUSE)
		health->warned = false;
	return true;
}

static void
warn(const NauthError *error, const char *server)
{
	NauthReport report;

	nauth_report_describe(error, NAUTH_PEER_REDIS, server, &report);
	ereport(WARNING,
			errcode(report.sqlstate),
			errmsg("%s", report.message),
			report.detail ? errdetail("%s", report.detail) : 0,
			errhint("The provider was asked instead. %s", report.hint ? report.hint : ""));
}

void
nauth_health_failed(NauthHealth *health, const NauthError *error, const char *server)
{
	int64		now = nauth_clock();
	size_t		i = 0;

	health->counters[NAUTH_CACHE_FAULTS]++;
	health->last_fault = now;
	while (i < lengthof(fault_kinds) - 1 && fault_kinds[i].kind != error->kind)
		i++;
	if (error->kind == NAUTH_ERROR_MEMORY)
		return;					/* not Redis's fault */
	if (error->kind != NAUTH_ERROR_READ_ONLY)
		health->failed_in = statement_began_at();
	if (error->kind == NAUTH_ERROR_READ_ONLY)
		health->read_only_until = now + fault_kinds[i].pause;
	else if (fault_kinds[i].at_once || ++health->faults >= FAULTS_MAX)
	{
		/* not all sessions at once; and the next fault will do to close again */
		health->closed_until = now +
			pg_prng_uint64_range(&pg_global_prng_state, fault_kinds[i].pause, fault_kinds[i].pause * 3 / 2);
		health->faults = FAULTS_MAX - 1;
	}
	if (!fault_kinds[i].quiet && !health->warned)
	{
		health->warned = true;
		warn(error, server);
	}
}
