/*-------------------------------------------------------------------------
 *
 * target.c
 *	  The table that is kept equal to a directory.
 *
 * users_sync is an ordinary table of the role that made it, not a member of
 * the extension: pg_dump would lose what users add to a member.  So anything
 * may have been done to it, and its shape is checked in every run.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "pgcompat.h"
#include "sync/state.h"
#include "sync/statement.h"
#include "users.h"

/* Columns that Neon's shape generates: id, name, email and created_at. */
#define GENERATED_COLUMNS	4

NAUTH_FUNCTION(neon_auth_create_users_sync);
NAUTH_FUNCTION(neon_auth_deleted_users);

static const char *const column_comments[NAUTH_NUM_COLUMNS] = {
	[NAUTH_RAW_JSON] = "the user as the provider sent it",
	[NAUTH_ID] = "id of the user at the provider",
	[NAUTH_NAME] = "name to show",
	[NAUTH_EMAIL] = "primary e-mail address; not unique",
	[NAUTH_CREATED_AT] = "when the user was created at the provider",
	[NAUTH_UPDATED_AT] = "when the user was changed at the provider",
	[NAUTH_DELETED_AT] = "when the user was found to be deleted at the provider; null for live users",
};

/*
 * Compressing raw_json with pglz would take half of the time of a first refresh.  It goes
 * out of line, and nothing else does: who joins with name and email reads a quarter of the
 * pages.  See docs/performance.md.
 */
#ifdef USE_LZ4
#define RAW_JSON_COMPRESSION	" COMPRESSION lz4"
#else
#define RAW_JSON_COMPRESSION	""
#endif
#define ROW_TARGET	"128"

static RangeVar *
parse_name(const char *name)
{
	return makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(name)));
}

Oid
nauth_target_find(const char *name)
{
	return RangeVarGetRelid(parse_name(name), NoLock, true);
}

char *
nauth_target_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

static void
execute_ddl(const char *sql)
{
	if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "unexpected result of a utility statement");
}

char *
nauth_target_full_name(const char *name)
{
	RangeVar   *rv = parse_name(name);
	Oid			relid = nauth_target_find(name);

	if (OidIsValid(relid))
		return nauth_target_name(relid);
	return quote_qualified_identifier(rv->schemaname ? rv->schemaname :
									  get_namespace_name(RangeVarGetCreationNamespace(rv)), rv->relname);
}

char *
nauth_target_creation_name(const char *name)
{
	RangeVar   *rv = parse_name(name);
	Oid			schema = RangeVarGetCreationNamespace(rv);
	char	   *schema_name = get_namespace_name(schema);

	if (!nauth_schema_creatable(schema, GetUserId()))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("cannot create table \"%s\" in schema \"%s\"", rv->relname, schema_name),
				errhint("Name a table of another schema as \"target\", or as a superuser: SELECT neon_auth.create_users_sync(%s); ALTER TABLE %s OWNER TO %s;",
						quote_literal_cstr(quote_qualified_identifier(schema_name, rv->relname)),
						quote_qualified_identifier(schema_name, rv->relname),
						quote_identifier(GetUserNameFromId(GetUserId(), false))));
	return quote_qualified_identifier(schema_name, rv->relname);
}

Oid
nauth_target_create(const char *name)
{
	char	   *table = nauth_target_creation_name(name);
	StringInfoData sql;

	nauth_state_forget_dropped();
	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", table);
	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
		appendStringInfo(&sql, "%s%s %s%s", i > 0 ? ", " : "", nauth_columns[i].name,
						 format_type_be_qualified(nauth_columns[i].type),
						 i == NAUTH_RAW_JSON ? RAW_JSON_COMPRESSION " NOT NULL" : i == NAUTH_ID ? " PRIMARY KEY" : "");
	appendStringInfoString(&sql, ") WITH (toast_tuple_target = " ROW_TARGET ")");
	execute_ddl(sql.data);
	execute_ddl(psprintf("ALTER TABLE %s ALTER id SET STORAGE main, ALTER name SET STORAGE main,"
						 " ALTER email SET STORAGE main", table));
	execute_ddl(psprintf("CREATE INDEX ON %s (deleted_at)", table));
	execute_ddl(psprintf("REVOKE ALL ON %s FROM PUBLIC", table));
	execute_ddl(psprintf("COMMENT ON TABLE %s IS %s", table,
						 quote_literal_cstr("users of an auth provider, kept equal by neon_auth.refresh_users_sync")));
	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
		execute_ddl(psprintf("COMMENT ON COLUMN %s.%s IS %s", table, nauth_columns[i].name,
							 quote_literal_cstr(column_comments[i])));
	return nauth_target_find(table);
}

/* SQL function create_users_sync(target text) */
Datum
neon_auth_create_users_sync(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	NauthTarget target;

	if (!nauth_target_open(name, &target))
	{
		SPI_connect();
		target.relid = nauth_target_create(name);
		SPI_finish();
	}
	PG_RETURN_OID(target.relid);
}

/* Count rows that are marked, as the owner; false if that cannot be done. */
static bool
count_marked(Oid relid, int64 *count)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		NauthRole	saved;

		nauth_role_enter(nauth_relation_owner(relid), &saved);
		nauth_statement_check(SPI_execute(psprintf("SELECT count(*) FROM %s WHERE deleted_at IS NOT NULL", nauth_target_name(relid)),
										  true, 0));
		nauth_role_leave(&saved);
		*count = nauth_result_int(0, 1);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		if (geterrcode() == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return done;
}

/* Refuse a relation whose state the role may not see; none at all is nothing to hide. */
static void
check_seen(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name && !nauth_role_sees(relid))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("permission denied for table %s", name));
}

/*
 * SQL function deleted_users(target): rows that are marked; NULL of what is no
 * target, is locked, or has become something else.  A view over all targets must
 * not fail because of one.
 */
Datum
neon_auth_deleted_users(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	NauthArgs	args = {0};
	char		kind;
	bool		counted;
	int64		count;

	/*
	 * also before the lock, which is nothing for others; after it, for what
	 * was read may be gone
	 */
	check_seen(relid);
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		PG_RETURN_NULL();
	check_seen(relid);
	kind = get_rel_relkind(relid);
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
	{
		UnlockRelationOid(relid, AccessShareLock);
		PG_RETURN_NULL();
	}
	SPI_connect();
	nauth_args_relation(&args, relid);
	nauth_statement_execute("SELECT FROM neon_auth.sync_state WHERE target = $1", &args);
	counted = SPI_processed > 0 && count_marked(relid, &count);
	SPI_finish();
	if (!counted)
		PG_RETURN_NULL();
	PG_RETURN_INT64(count);
}

static void
refuse_target(Relation rel, const char *detail)
{
	ereport(ERROR,
			errcode(ERRCODE_WRONG_OBJECT_TYPE),
			errmsg("cannot use \"%s\" as a users_sync table", RelationGetRelationName(rel)),
			errdetail("%s", detail),
			errhint("SELECT neon_auth.create_users_sync('schema.name') makes a new one; name it as \"target\"."));
}

/* Whether some unique index can be the arbiter of ON CONFLICT (id). */
static bool
has_unique_id(Relation rel)
{
	AttrNumber	id = get_attnum(RelationGetRelid(rel), nauth_columns[NAUTH_ID].name);
	ListCell   *lc;
	bool		found = false;

	foreach(lc, RelationGetIndexList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisunique && index->indimmediate && index->indisvalid &&
			index->indnkeyatts == 1 && index->indkey.values[0] == id &&
			heap_attisnull(tuple, Anum_pg_index_indpred, NULL))
			found = true;
		ReleaseSysCache(tuple);
	}
	return found;
}

/* Check one of the seven columns.  Returns whether it is generated. */
static bool
check_column(Relation rel, NauthColumn column)
{
	const NauthColumnDef *def = &nauth_columns[column];
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), def->name);
	Form_pg_attribute att;

	if (attnum == InvalidAttrNumber)
		refuse_target(rel, psprintf("It has no column \"%s\".", def->name));
	att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	if (att->atttypid != def->type)
		refuse_target(rel, psprintf("Column \"%s\" must have type %s.", def->name,
									format_type_be(def->type)));
	if (column == NAUTH_ID && !get_collation_isdeterministic(att->attcollation))
		refuse_target(rel, "Column \"id\" has a collation that takes different ids for the same.");
	if ((column == NAUTH_UPDATED_AT || column == NAUTH_DELETED_AT) &&
		att->atttypmod >= 0 && att->atttypmod < MAX_TIMESTAMP_PRECISION)
		refuse_target(rel, psprintf("Column \"%s\" must keep microseconds.", def->name));
	return att->attgenerated != '\0';
}

static void
check_shape(Relation rel, NauthTarget *target)
{
	int			generated = 0;

	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		refuse_target(rel, "It is not a table.");
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
		refuse_target(rel, "It has child tables, whose rows its unique index does not cover.");
	for (int i = 0; i < NAUTH_NUM_COLUMNS; i++)
		if (check_column(rel, i))
		{
			if (i == NAUTH_RAW_JSON || i == NAUTH_UPDATED_AT || i == NAUTH_DELETED_AT)
				refuse_target(rel, psprintf("Column \"%s\" must not be generated.", nauth_columns[i].name));
			generated++;
		}
	if (generated != 0 && generated != GENERATED_COLUMNS)
		refuse_target(rel, "Either all or none of the columns id, name, email and created_at are generated.");
	target->generated = generated > 0;
	if (!has_unique_id(rel))
		refuse_target(rel, "Column \"id\" has no primary key or unique index of its own.");
}

void
nauth_target_describe(Oid relid, NauthTarget *target)
{
	Relation	rel = relation_open(relid, AccessShareLock);

	target->relid = relid;
	target->owner = rel->rd_rel->relowner;
	target->name = nauth_target_name(relid);
	check_shape(rel, target);
	relation_close(rel, AccessShareLock);
}

/* Refuse a table that is not the caller's. */
static void
check_owner(const NauthTarget *target)
{
	if (!nauth_relation_owned(target->relid, GetUserId()))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("must be owner of table %s to refresh it", get_rel_name(target->relid)),
				errhint("Call it as role %s, or name a table of your own as \"target\".",
						quote_identifier(GetUserNameFromId(target->owner, false))));
}

bool
nauth_target_open(const char *name, NauthTarget *target)
{
	Oid			relid = nauth_target_find(name);

	if (!OidIsValid(relid))
		return false;
	nauth_target_describe(relid, target);
	check_owner(target);
	return true;
}

char *
nauth_target_id(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		id = SPI_getbinval(tuple, desc, 1, &isnull);

	if (isnull)
		ereport(ERROR,
				errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				errmsg("a row of the table has lost its id"),
				errhint("A trigger, or whoever alters the table during a refresh, must not change column \"id\"."));
	return TextDatumGetCString(id);
}

void
nauth_target_keep(const NauthTarget *target, LOCKMODE mode)
{
	LockRelationOid(target->relid, mode);
	if (nauth_target_find(target->name) != target->relid || nauth_relation_owner(target->relid) != target->owner)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table %s is not the one any more that it was when the refresh began", target->name),
				errhint("Somebody has moved, replaced or dropped it, or changed its owner: refresh again, with the name that it has now."));
}

void
nauth_target_execute(const NauthTarget *target, const char *sql, const NauthIdList *ids)
{
	NauthArgs	args = {0};

	nauth_target_keep(target, AccessShareLock);
	if (ids)
		nauth_args_texts(&args, ids->count, (const char *const *) ids->ids);
	nauth_statement_execute_as(target->owner, sql, &args);
}

void
nauth_target_execute_user(const NauthTarget *target, const char *sql, const char *id)
{
	char	   *ids[] = {unconstify(char *, id)};
	NauthIdList list = {.count = 1,.ids = ids};

	nauth_target_execute(target, sql, &list);
}

void
nauth_target_read(const NauthTarget *target, const char *columns,
				  const char *condition, const NauthIdList *ids,
				  NauthRowReader reader, void *arg)
{
	NauthArgs	args = {0};

	nauth_target_keep(target, AccessShareLock);
	if (ids)
		nauth_args_texts(&args, ids->count, (const char *const *) ids->ids);
	nauth_statement_read_as(target->owner, psprintf("SELECT %s FROM %s WHERE id IS NOT NULL AND %s",
													columns, target->name, condition), &args, reader, arg);
}
