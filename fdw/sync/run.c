/*-------------------------------------------------------------------------
 *
 * run.c
 *	  What all steps of a refresh need: subtransactions, lists of users.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/resowner.h"

#include "sync/run.h"

#define DEADLOCK_TRIES	5

void
nauth_id_list_add(NauthIdList *list, MemoryContext cxt, const char *id, const char *reason)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);

	if (list->count == list->size)
	{
		int			size = Max(64, list->size * 2);

		list->ids = list->ids ? repalloc_huge(list->ids, size * sizeof(char *)) :
			palloc(size * sizeof(char *));
		list->reasons = list->reasons ? repalloc_huge(list->reasons, size * sizeof(char *)) :
			palloc(size * sizeof(char *));
		list->size = size;
	}
	list->ids[list->count] = pstrdup(id);
	list->reasons[list->count++] = reason;
	MemoryContextSwitchTo(old);
}

Datum
nauth_text_array(int count, const char *const *texts)
{
	Datum	   *values = palloc(Max(count, 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		values[i] = CStringGetTextDatum(texts[i]);
	return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

void
nauth_run_quarantine(NauthRun *run, const char *id, const char *reason)
{
	run->counts.quarantined++;
	if (id[0] == '\0')
		run->unreadable_ids++;
	else if (run->quarantined_users.count < NAUTH_MAX_QUARANTINED)
		nauth_id_list_add(&run->quarantined_users, run->cxt, id,
						  MemoryContextStrdup(run->cxt, reason));
}

const char *
nauth_run_status(const NauthRun *run)
{
	if (run->dry_run)
		return "dry run";
	return run->held_users.count > 0 ? "held" : "ok";
}

ErrorData *
nauth_run_attempt(NauthRun *run, NauthStep step, void *arg)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	NauthCounts counts = run->counts;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction("neon_auth_refresh");
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		step(run, arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(run->cxt);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;

	/* the end of a subtransaction by error also ended our progress */
	if (error)
	{
		run->counts = counts;
		nauth_progress_publish(run);
	}
	return error;
}

ErrorData *
nauth_run_insist(NauthRun *run, NauthStep step, void *arg)
{
	ErrorData  *error = NULL;

	for (int try = 0; try < DEADLOCK_TRIES; try++)
	{
		error = nauth_run_attempt(run, step, arg);
		if (error == NULL || error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
			break;
	}
	return error;
}
