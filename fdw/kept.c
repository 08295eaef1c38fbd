/*-------------------------------------------------------------------------
 *
 * kept.c
 *	  Rows that are kept while a statement runs, for whoever reads them again.
 *
 * Whoever comes to the end of what was read reads on for all: no scan waits for
 * another, which may be itself waiting for this one.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "kept.h"

struct NauthKept
{
	NauthKept  *next;			/* of the same statement */
	Oid			serverid;
	Oid			userid;
	const char *key;			/* or NULL */
	bool		wide;			/* raw_json is kept */
	MemoryContext cxt;
	MemoryContext query_cxt;	/* what is wanted */
	NauthSource *source;
	Tuplestorestate *rows;
	TupleTableSlot *slot;
	bool		ended;			/* all rows have been read */
	Bitmapset  *idle;			/* read pointers that nobody uses */
	int64	   *places;			/* rows that each read pointer is behind */
	int			n_places;
};

/* A server of which raw_json is wanted. */
typedef struct Wide
{
	struct Wide *next;
	Oid			serverid;
	Oid			userid;
} Wide;

/* A statement under way, while its memory exists. */
typedef struct Statement
{
	struct Statement *next;
	EState	   *estate;
	int			scans;			/* begun, and not ended */
	NauthKept  *kept;
	Wide	   *wide;
	MemoryContextCallback on_reset;
} Statement;

static Statement *statements = NULL;

static void
forget_statement(void *arg)
{
	Statement **place = &statements;

	while (*place != arg)
		place = &(*place)->next;
	*place = (*place)->next;
}

/* A recheck of rows that were locked belongs to the statement that locks them. */
static EState *
outermost(EState *estate)
{
	while (estate->es_epq_active)
		estate = estate->es_epq_active->parentestate;
	return estate;
}

static Statement *
get_statement(EState *estate)
{
	Statement  *statement = statements;

	estate = outermost(estate);
	while (statement && statement->estate != estate)
		statement = statement->next;
	if (statement)
		return statement;
	statement = MemoryContextAllocZero(estate->es_query_cxt, sizeof(Statement));
	statement->estate = estate;
	statement->next = statements;
	statement->on_reset.func = forget_statement;
	statement->on_reset.arg = statement;
	statements = statement;
	MemoryContextRegisterResetCallback(estate->es_query_cxt, &statement->on_reset);
	return statement;
}

static bool
is_wide(const Statement *statement, const NauthKeptFor *who)
{
	for (const Wide *wide = statement->wide; wide; wide = wide->next)
		if (wide->serverid == who->serverid && wide->userid == who->userid)
			return true;
	return false;
}

void
nauth_kept_announce(const NauthKeptFor *who, bool wide)
{
	Statement  *statement = get_statement(who->estate);
	Wide	   *more;

	statement->scans++;
	if (!wide || is_wide(statement, who))
		return;
	more = MemoryContextAlloc(statement->estate->es_query_cxt, sizeof(Wide));
	more->serverid = who->serverid;
	more->userid = who->userid;
	more->next = statement->wide;
	statement->wide = more;
}

/* Only here may rows go that are on disk: who was begun may read them still. */
void
nauth_kept_withdraw(const NauthKeptFor *who)
{
	Statement  *statement = get_statement(who->estate);

	if (--statement->scans > 0)
		return;
	for (NauthKept *kept = statement->kept; kept; kept = kept->next)
	{
		ExecDropSingleTupleTableSlot(kept->slot);
		tuplestore_end(kept->rows);
		MemoryContextDelete(kept->cxt);
	}
	statement->kept = NULL;
}

static TupleDesc
make_desc(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(NAUTH_NUM_COLUMNS);

	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
		TupleDescInitEntry(desc, i + 1, nauth_columns[i].name, nauth_columns[i].type, -1, 0);
	return desc;
}

static NauthKept *
find(const Statement *statement, const NauthKeptFor *who, const char *key)
{
	NauthKept  *kept = statement->kept;

	while (kept && (kept->key == NULL || kept->serverid != who->serverid ||
					kept->userid != who->userid || strcmp(kept->key, key) != 0))
		kept = kept->next;
	return kept;
}

/* Begin to read what is wanted, of which the source needs a copy. */
static void
begin(NauthKept *kept, const NauthQuery *wanted)
{
	NauthQuery	copy = *wanted;
	MemoryContext old;

	MemoryContextReset(kept->query_cxt);
	old = MemoryContextSwitchTo(kept->query_cxt);
	if (wanted->email)
		copy.email = pstrdup(wanted->email);
	if (wanted->ids)
	{
		const char **ids = palloc(wanted->n_ids * sizeof(char *));

		for (int i = 0; i < wanted->n_ids; i++)
			ids[i] = pstrdup(wanted->ids[i]);
		copy.ids = ids;
	}
	MemoryContextSwitchTo(old);
	nauth_source_begin(kept->source, &copy);
	kept->ended = false;
}

NauthKept *
nauth_kept_open(const NauthKeptFor *who, const NauthQuery *wanted, const char *key, bool *shared)
{
	Statement  *statement = get_statement(who->estate);
	NauthKept  *kept = key ? find(statement, who, key) : NULL;
	MemoryContext cxt;
	MemoryContext old;

	*shared = kept != NULL;
	if (kept)
		return kept;
	cxt = AllocSetContextCreate(statement->estate->es_query_cxt, "neon_auth_fdw kept rows",
								ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	kept = MemoryContextAllocZero(statement->estate->es_query_cxt, sizeof(NauthKept));
	kept->serverid = who->serverid;
	kept->userid = who->userid;
	kept->key = key ? pstrdup(key) : NULL;
	kept->cxt = cxt;
	kept->query_cxt = AllocSetContextCreate(cxt, "neon_auth_fdw query", ALLOCSET_SMALL_SIZES);
	kept->wide = is_wide(statement, who);
	kept->source = nauth_source_open(who->serverid, who->userid, kept->wide);
	kept->slot = MakeSingleTupleTableSlot(make_desc(), &TTSOpsMinimalTuple);
	kept->rows = tuplestore_begin_heap(false, false, work_mem);
	tuplestore_set_eflags(kept->rows, EXEC_FLAG_REWIND);
	MemoryContextSwitchTo(old);
	begin(kept, wanted);
	kept->next = statement->kept;
	statement->kept = kept;
	return kept;
}

NauthSource *
nauth_kept_source(NauthKept *kept)
{
	return kept->source;
}

void
nauth_kept_restart(NauthKept *kept, const NauthQuery *wanted)
{
	tuplestore_clear(kept->rows);
	memset(kept->places, 0, kept->n_places * sizeof(int64));
	begin(kept, wanted);
}

int
nauth_kept_join(NauthKept *kept)
{
	int			reader = bms_next_member(kept->idle, -1);
	MemoryContext old = MemoryContextSwitchTo(kept->cxt);

	if (reader >= 0)
		kept->idle = bms_del_member(kept->idle, reader);
	else
		reader = tuplestore_alloc_read_pointer(kept->rows, EXEC_FLAG_REWIND);
	if (reader >= kept->n_places)
	{
		kept->places = kept->places ? repalloc(kept->places, (reader + 1) * sizeof(int64)) :
			palloc((reader + 1) * sizeof(int64));
		kept->n_places = reader + 1;
	}
	MemoryContextSwitchTo(old);
	nauth_kept_rewind(kept, reader);
	return reader;
}

void
nauth_kept_rewind(NauthKept *kept, int reader)
{
	tuplestore_select_read_pointer(kept->rows, reader);
	tuplestore_rescan(kept->rows);
	kept->places[reader] = 0;
}

void
nauth_kept_leave(NauthKept *kept, int reader)
{
	MemoryContext old = MemoryContextSwitchTo(kept->cxt);

	kept->idle = bms_add_member(kept->idle, reader);
	MemoryContextSwitchTo(old);
}

bool
nauth_kept_has_more(NauthKept *kept, int reader)
{
	return kept->ended || kept->places[reader] < tuplestore_tuple_count(kept->rows);
}

bool
nauth_kept_next(NauthKept *kept, int reader, NauthRow *row)
{
	/* a row that was on disk is put into this context, and freed by the slot */
	MemoryContext old = MemoryContextSwitchTo(kept->cxt);
	bool		found;

	tuplestore_select_read_pointer(kept->rows, reader);
	found = tuplestore_gettupleslot(kept->rows, true, false, kept->slot);
	if (found)
	{
		slot_getallattrs(kept->slot);
		memcpy(row->values, kept->slot->tts_values, sizeof(row->values));
		memcpy(row->nulls, kept->slot->tts_isnull, sizeof(row->nulls));
	}
	else if (!kept->ended)
	{
		found = nauth_source_next(kept->source, row);
		kept->ended = !found;
		if (found)
		{
			row->nulls[NAUTH_RAW_JSON] |= !kept->wide;
			tuplestore_putvalues(kept->rows, kept->slot->tts_tupleDescriptor, row->values, row->nulls);
		}
	}
	kept->places[reader] += found;
	MemoryContextSwitchTo(old);
	return found;
}
