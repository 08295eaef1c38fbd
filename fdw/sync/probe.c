/*-------------------------------------------------------------------------
 *
 * probe.c
 *	  Another credential than last time: is it of the same directory?
 *
 * Before it may change anything it has to find some of the users that are here.
 * Their ids alone do not tell: where ids are small numbers, another directory has
 * the same ones, of other people.  So who is found is compared with the row.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "provider/asking.h"
#include "provider/reply.h"
#include "sync/deletion.h"
#include "sync/full.h"
#include "sync/statement.h"
#include "users.h"

/* Users that a new credential is asked about. */
#define CREDENTIAL_PROBES	10

/* A live row of the target. */
typedef struct Probe
{
	char	   *id;
	TimestampTz created_at;		/* or DT_NOBEGIN */
	char	   *email;			/* or NULL, like the next */
	char	   *name;
} Probe;

typedef struct Probes
{
	int			count;
	Probe		rows[CREDENTIAL_PROBES];
	int			found;
	int			same;			/* of these, and who is another person */
	int			others;
	bool		refuted;		/* one of these was created at another time */
	NauthIdList listed;			/* ids of the first page, where users cannot
								 * be asked for alone */
} Probes;

static char *
keep_text(const NauthRun *run, int row, int column)
{
	char	   *value = nauth_result_text(row, column);

	return value ? MemoryContextStrdup(run->cxt, value) : NULL;
}

/* Read the live rows that meet a condition, as many as are probed. */
static void
read_rows(NauthRun *run, Probes *probes, const char *condition, const NauthIdList *ids)
{
	nauth_target_execute(&run->target,
						 psprintf("SELECT id::text, created_at::timestamptz, email::text, name::text FROM %s"
								  " WHERE deleted_at IS NULL AND id IS NOT NULL AND %s"
								  " ORDER BY updated_at DESC NULLS LAST LIMIT %d",
								  run->target.name, condition, CREDENTIAL_PROBES), ids);
	probes->count = SPI_processed;
	for (int i = 0; i < probes->count; i++)
		probes->rows[i] = (Probe)
	{
		.id = MemoryContextStrdup(run->cxt, nauth_target_id(SPI_tuptable->vals[i], SPI_tuptable->tupdesc)),
			.created_at = nauth_result_time(i, 2),
			.email = keep_text(run, i, 3),
			.name = keep_text(run, i, 4)
	};
}

/*
 * Step: some live users: those changed last, for they are the likeliest to exist
 * still, and none whose deletion is held.
 */
static void
step_choose(NauthRun *run, void *arg)
{
	read_rows(run, arg, "id <> ALL ($1)", &run->held_before);
}

/* Note whether texts of a row and of the user found are the same; false if one has none. */
static bool
compare_texts(Probes *probes, const char *here, const NauthRow *row, NauthColumn column)
{
	if (here == NULL || row->nulls[column])
		return false;
	if (pg_strcasecmp(here, TextDatumGetCString(row->values[column])) == 0)
		probes->same++;
	else
		probes->others++;
	return true;
}

/*
 * Note whether a user with the id of a row is the same person.  When he was created
 * never changes, within a second for a table that rounds; an address and a name may,
 * so one that differs proves nothing alone.  Who has nothing but the id is found.
 */
static void
compare(NauthRun *run, Probes *probes, const Probe *probe, const NauthUser *user)
{
	MemoryContext old = MemoryContextSwitchTo(run->user_cxt);
	NauthRow	row;

	probes->found++;
	if (nauth_user_to_row(run->options, user, &row) == NULL)
	{
		if (probe->created_at != DT_NOBEGIN && !row.nulls[NAUTH_CREATED_AT])
		{
			TimestampTz created = DatumGetTimestampTz(row.values[NAUTH_CREATED_AT]);
			bool		same = probe->created_at >= created - USECS_PER_SEC && probe->created_at <= created + USECS_PER_SEC;

			probes->same += same;
			probes->others += !same;
			probes->refuted = probes->refuted || !same;
		}
		else if (!compare_texts(probes, probe->email, &row, NAUTH_EMAIL))
			(void) compare_texts(probes, probe->name, &row, NAUTH_NAME);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->user_cxt);
}

/*
 * Whether the provider finds a user.  Where no answer of it means that there is none, any
 * but the user does not show that this credential knows him.
 */
static bool
finds(NauthRun *run, const char *id, NauthUser *user)
{
	bool		found;

	if (!nauth_ask_id_possible(run->options->provider, id))
		return false;
	if (nauth_reply_confirms(run->options->provider))
		return nauth_deletion_finds(run, id, user);
	return nauth_directory_try_user(run->directory, id, user, &found) && found;
}

static void
refuse(const NauthRun *run, const Probes *probes)
{
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("the credential for server \"%s\" has changed, and with it the provider knows none of the users in %s",
				   run->options->server, run->target.name),
			probes->found > 0 ?
			errdetail("It has other users under the same ids. It seems to belong to another directory, which would replace all users here.") :
			errdetail("It seems to belong to another directory, which would mark all users here as deleted."),
			errhint("Set the right credential in the user mapping, or name another table as \"target\". If it is the right one, as the owner of the extension: DELETE FROM neon_auth.sync_state WHERE target = %s::regclass;",
					quote_literal_cstr(run->target.name)));
}

/* Refuse the credential unless it knows our users: more of them than not. */
static void
judge(const NauthRun *run, const Probes *probes)
{
	if (probes->count == 0)
		return;
	if (probes->found == 0 || probes->refuted || (probes->others > 0 && probes->same <= probes->others))
		refuse(run, probes);
}

/* Step: ask about each. */
static void
step_ask(NauthRun *run, void *arg)
{
	Probes	   *probes = arg;
	NauthUser  *user = palloc(sizeof(NauthUser));

	for (int i = 0; i < probes->count; i++)
		if (finds(run, probes->rows[i].id, user))
			compare(run, probes, &probes->rows[i], user);
	judge(run, probes);
}

/* Step: the first page of a listing that has users, from a provider that tells no user alone. */
static void
step_list(NauthRun *run, void *arg)
{
	Probes	   *probes = arg;
	NauthQuery	all = {.kind = NAUTH_QUERY_LIST};
	const NauthPage *page;

	nauth_directory_begin(run->directory, &all);
	do
		page = nauth_directory_next(run->directory);
	while (page && page->count == 0);
	for (int i = 0; page && i < page->count; i++)
		if (page->users[i].flaw != NAUTH_FLAW_ID)
			nauth_id_list_add(&probes->listed, run->cxt, page->users[i].id, NULL);
	read_rows(run, probes, "id = ANY ($1)", &probes->listed);
	for (int i = 0; i < probes->count; i++)
		for (int j = 0; j < page->count; j++)
			if (page->users[j].flaw != NAUTH_FLAW_ID && strcmp(page->users[j].id, probes->rows[i].id) == 0)
				compare(run, probes, &probes->rows[i], &page->users[j]);
	/* rows, but none of these users */
	if (probes->count == 0)
		read_rows(run, probes, "true", NULL);
	judge(run, probes);
}

void
nauth_probe_credential(NauthRun *run)
{
	Probes	   *probes = MemoryContextAllocZero(run->cxt, sizeof(Probes));

	if (!run->options->provider->lists_only)
	{
		nauth_run_step(run, NAUTH_PHASE_STARTING, step_choose, probes);
		nauth_run_step(run, NAUTH_PHASE_STARTING, step_ask, probes);
	}
	else
		nauth_run_step(run, NAUTH_PHASE_STARTING, step_list, probes);
}
