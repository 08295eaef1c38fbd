/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  SQL functions schedule_refresh and unschedule_refresh: jobs of pg_cron.
 *
 * A job runs as the role that made it, which must be able to refresh; so that is
 * looked at first, without a request.  pg_cron keeps its jobs in one database
 * of a cluster; elsewhere the error says what to call there.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "pgcompat.h"
#include "sync/refresh.h"
#include "sync/schedule.h"
#include "sync/statement.h"

/* When a job begins that lasts for a minute. */
#define EACH_MINUTE	"* * * * *"

/* Bytes of a job's readable name before a hash is needed to tell it. */
#define NAME_PREFIX	(NAMEDATALEN - 1 - 9)

typedef struct Job
{
	const char *server;
	const char *target;
	const char *schedule;		/* NULL: it is to be removed */
	const char *command;
} Job;

NAUTH_FUNCTION(neon_auth_schedule_refresh);
NAUTH_FUNCTION(neon_auth_unschedule_refresh);

/*
 * One name for a server and a target, and for their database where pg_cron lives
 * in another one; pg_cron keeps it in a column of type name.
 */
static const char *
job_name(const Job *job, const char *database)
{
	char	   *name = psprintf("refresh %s from %s%s%s", job->target, job->server,
								database ? " of " : "", database ? database : "");
	size_t		len = strlen(name);

	if (len < NAMEDATALEN)
		return name;
	return psprintf("%.*s~%08x", pg_mbcliplen(name, len, NAME_PREFIX), name,
					hash_bytes((const unsigned char *) name, len));
}

/* What to call where pg_cron keeps its jobs. */
static const char *
call_elsewhere(const Job *job, const char *database)
{
	const char *here = get_database_name(MyDatabaseId);
	const char *name = job_name(job, here);

	if (job->schedule)
		return psprintf("In database \"%s\", as a superuser: SELECT cron.schedule_in_database(%s, %s, %s, %s, %s);", database,
						quote_literal_cstr(name), quote_literal_cstr(job->schedule),
						quote_literal_cstr(job->command), quote_literal_cstr(here),
						quote_literal_cstr(GetUserNameFromId(GetUserId(), false)));
	return psprintf("In database \"%s\", as a superuser: SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = %s AND database = %s;",
					database, quote_literal_cstr(name), quote_literal_cstr(here));
}

/* What there is of pg_cron, for the caller and this database. */
typedef enum CronState
{
	CRON_NOT_LOADED,
	CRON_ELSEWHERE,				/* it keeps its jobs in another database */
	CRON_NOT_CREATED,
	CRON_FORBIDDEN,
	CRON_READY
} CronState;

/* *database is where it keeps its jobs, or NULL. */
static CronState
find_cron(const char **database)
{
	*database = GetConfigOption("cron.database_name", true, false);
	if (*database == NULL)
		return CRON_NOT_LOADED;
	if (strcmp(*database, get_database_name(MyDatabaseId)) != 0)
		return CRON_ELSEWHERE;
	if (!OidIsValid(get_extension_oid("pg_cron", true)))
		return CRON_NOT_CREATED;
	return nauth_schema_usable(get_namespace_oid("cron", false), GetUserId()) ? CRON_READY : CRON_FORBIDDEN;
}

#define CREATE_CRON		"As a superuser: CREATE EXTENSION pg_cron;"

static const char *
grant_cron(void)
{
	return psprintf("As a superuser: GRANT USAGE ON SCHEMA cron TO %s;",
					quote_identifier(GetUserNameFromId(GetUserId(), false)));
}

/* Raise an error unless pg_cron is in this database and the caller may use it. */
static void
require_cron(const Job *job)
{
	const char *database;
	CronState	state = find_cron(&database);
	const char *here = get_database_name(MyDatabaseId);

	if (state == CRON_READY)
		return;
	if (state == CRON_FORBIDDEN)
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied for schema cron"),
				errhint("%s", grant_cron()));
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			job->schedule ? errmsg("cannot schedule a refresh from database \"%s\"", here) :
			errmsg("cannot unschedule a refresh from database \"%s\"", here),
			state == CRON_NOT_LOADED ? errdetail("pg_cron is not loaded.") :
			state == CRON_ELSEWHERE ? errdetail("pg_cron keeps its jobs in database \"%s\".", database) :
			errdetail("Extension \"pg_cron\" does not exist in this database."),
			state == CRON_NOT_LOADED ? errhint("Add pg_cron to shared_preload_libraries, restart the server and CREATE EXTENSION pg_cron. Any other scheduler does as well.") :
			errhint("%s", state == CRON_ELSEWHERE ? call_elsewhere(job, database) : CREATE_CRON));
}

/*
 * Run a statement of pg_cron's with up to three texts as parameters, the others
 * NULL; its first value, or 0.
 */
static int64
ask_cron(const char *sql, const char *first, const char *second, const char *third)
{
	const char *texts[] = {first, second, third};
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[lengthof(texts)];
	bool		isnull = true;
	Datum		result = 0;
	int			count = 0;
	NauthRole	saved;

	for (; count < lengthof(texts) && texts[count]; count++)
		values[count] = CStringGetTextDatum(texts[count]);
	nauth_role_enter(GetUserId(), &saved);	/* for its search_path */
	nauth_statement_check(SPI_execute_with_args(sql, count, types, values, NULL, false, 0));
	nauth_role_leave(&saved);
	if (SPI_processed > 0)
		result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? 0 : DatumGetInt64(result);
}

/* SQL function schedule_refresh(server, schedule, target, follow): the job's id */
Datum
neon_auth_schedule_refresh(PG_FUNCTION_ARGS)
{
	NauthRun   *run;
	Job			job = {0};
	int64		id;

	SPI_connect();
	run = nauth_run_create(false);
	nauth_refresh_check(run, text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(2)));
	job.server = run->options->server;
	job.target = run->target.name;
	job.schedule = text_to_cstring(PG_GETARG_TEXT_PP(1));
	job.command = nauth_refresh_call(PG_GETARG_BOOL(3) ? "follow_users_sync" : "refresh_users_sync",
									 job.server, job.target, NULL);
	if (PG_GETARG_BOOL(3) && strcmp(job.schedule, EACH_MINUTE) != 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a job that follows a directory has schedule \"%s\"", EACH_MINUTE),
				errdetail("It follows for a minute, and would rest until the next."),
				errhint("Leave out argument \"schedule\", or argument \"follow\"."));
	require_cron(&job);
	id = ask_cron("SELECT cron.schedule($1, $2, $3)", job_name(&job, NULL), job.schedule, job.command);
	SPI_finish();
	PG_RETURN_INT64(id);
}

/* SQL function unschedule_refresh(server, target): false if there was no job */
Datum
neon_auth_unschedule_refresh(PG_FUNCTION_ARGS)
{
	Job			job = {0};
	int64		id;

	SPI_connect();
	job.server = text_to_cstring(PG_GETARG_TEXT_PP(0));
	job.target = nauth_target_full_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	require_cron(&job);
	id = ask_cron("SELECT jobid FROM cron.job WHERE jobname = $1::name AND username = current_user",
				  job_name(&job, NULL), NULL, NULL);
	if (id > 0)
		(void) ask_cron("SELECT 1::int8 FROM cron.unschedule($1::int8)", psprintf(INT64_FORMAT, id), NULL, NULL);
	SPI_finish();
	PG_RETURN_BOOL(id > 0);
}

/* The value of a text column of pg_cron's last answer. */
static char *
cron_text(int column)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

/* How the last run of a job has ended that refreshes from this server. */
static NauthCheck
check_job(const char *server)
{
	NauthCheck	check;

	(void) ask_cron("SELECT j.jobid, j.schedule, j.active, d.status, d.return_message FROM cron.job j"
					" LEFT JOIN LATERAL (SELECT * FROM cron.job_run_details d WHERE d.jobid = j.jobid"
					" AND d.status IN ('succeeded', 'failed') ORDER BY d.runid DESC LIMIT 1) d ON true"
					" WHERE j.username = current_user AND j.database = current_database()"
					" AND position('_users_sync(' || $1 IN j.command) > 0 ORDER BY j.active DESC, j.jobid LIMIT 1",
					quote_literal_cstr(server), NULL, NULL);
	if (SPI_processed == 0)
		return nauth_check_say(NAUTH_VERDICT_NONE, "no job of this role refreshes from the server",
							   psprintf("To refresh each minute: SELECT neon_auth.schedule_refresh(%s);", quote_literal_cstr(server)));
	if (strcmp(cron_text(3), "t") != 0)
		return nauth_check_say(NAUTH_VERDICT_WARNING, psprintf("job %s is not active", cron_text(1)),
							   psprintf("As a superuser: SELECT cron.alter_job(%s, active => true);", cron_text(1)));
	if (cron_text(4) == NULL || strcmp(cron_text(4), "succeeded") == 0)
		return nauth_check_say(NAUTH_VERDICT_OK, psprintf("job %s: %s", cron_text(1), cron_text(2)), NULL);
	check = nauth_check_say(NAUTH_VERDICT_ERROR, psprintf("the last run of job %s has failed", cron_text(1)),
							"Where it could not connect: let cron.host be a socket directory that pg_hba.conf lets the role in by, or set cron.use_background_workers.");
	check.detail = cron_text(5);
	return check;
}

NauthCheck
nauth_schedule_check(const char *server)
{
	MemoryContext caller = CurrentMemoryContext;
	const char *database;
	NauthCheck	check;

	switch (find_cron(&database))
	{
		case CRON_NOT_LOADED:
			return nauth_check_say(NAUTH_VERDICT_NONE, "pg_cron is not loaded", "Any other scheduler does as well.");
		case CRON_ELSEWHERE:
			return nauth_check_say(NAUTH_VERDICT_NONE, psprintf("pg_cron keeps its jobs in database \"%s\"", database),
								   psprintf("SELECT neon_auth.schedule_refresh(%s); says what to call there.",
											quote_literal_cstr(server)));
		case CRON_NOT_CREATED:
			return nauth_check_say(NAUTH_VERDICT_NONE, "extension \"pg_cron\" does not exist in this database", CREATE_CRON);
		case CRON_FORBIDDEN:
			return nauth_check_say(NAUTH_VERDICT_NONE, "this role may not make jobs", grant_cron());
		case CRON_READY:
			break;
	}
	SPI_connect();
	check = check_job(server);
	MemoryContextSwitchTo(caller);
	check.message = pstrdup(check.message);
	check.detail = check.detail ? pstrdup(check.detail) : NULL;
	check.hint = check.hint ? pstrdup(check.hint) : NULL;
	SPI_finish();
	return check;
}
