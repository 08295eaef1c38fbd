/*-------------------------------------------------------------------------
 *
 * write_sql.c
 *	  The SQL of the statements that write users.
 *
 * The statement itself decides what is newer, for it alone sees the row as it
 * is: an older version never replaces a newer one, and what is the same is not
 * written, nor locked.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "sync/changes.h"
#include "sync/write_sql.h"

/* Marked since the provider was asked, whose answer knew nothing of that. */
#define GONE_MEANWHILE	"t.deleted_at BETWEEN $9 AND clock_timestamp()"

/* One that is there again, or was created later than t. */
#define ANOTHER_USER \
	"(t.deleted_at IS NOT NULL AND excluded.deleted_at IS NULL) OR" \
	" excluded.created_at > t.created_at + interval '1 second'"

/*
 * When a user was deleted whom the provider keeps.  Not before we have seen it live,
 * whatever the provider says: from that time on it is counted when the row may be
 * purged, and a mistake can be mended.
 */
#define DELETED_AT \
	"CASE WHEN excluded.deleted_at IS NOT NULL THEN coalesce(t.deleted_at, greatest(excluded.deleted_at, $10)) END"

/* One with a later time of change. */
#define NEWER_USER \
	"excluded.updated_at > t.updated_at OR (t.updated_at IS NULL AND excluded.updated_at IS NOT NULL)"

/* One that the provider has marked as deleted since. */
#define MARKED_THERE \
	"t.deleted_at IS NULL AND excluded.deleted_at IS NOT NULL AND (excluded.updated_at < t.updated_at) IS NOT TRUE"

/*
 * One whose time of change is an earlier one since other options decide what it is, or
 * since the provider went back in time; the row is as it was when the run began, before
 * the provider was asked.
 */
#define RETIMED_USER \
	"(excluded.updated_at < t.updated_at AND" \
	" t.updated_at = ($11)[array_position($2, excluded.id::text COLLATE \"C\")])"

/* Whether all rows are compared, since other options make other rows. */
bool
nauth_write_makes_shapes(const NauthRun *run)
{
	return run->new_shape && !run->incremental;
}

/*
 * SQL for whether the content of a row t is another than that of a user "excluded".
 * Columns are made from raw_json, which tells of them what is not redacted.
 */
static const char *
differs_sql(const NauthRun *run)
{
	const char *json = run->ignored_count > 0 && !run->new_shape ?
	"t.raw_json - $8 IS DISTINCT FROM excluded.raw_json - $8" :
	"t.raw_json IS DISTINCT FROM excluded.raw_json";

	if (run->target.generated)
		return json;
	/* the same member may have gone to another column */
	if (run->new_shape)
		return "(t.raw_json, t.name, t.email, t.created_at) IS DISTINCT FROM"
			" (excluded.raw_json, excluded.name, excluded.email, excluded.created_at)";
	return run->options->redact && run->options->redact[0] ?
		psprintf("(%s OR (t.name, t.email) IS DISTINCT FROM (excluded.name, excluded.email))", json) : json;
}

/*
 * SQL for whether a row t is another than a user "excluded", and not a newer
 * one.  A user created later than t is another one with the same id, whatever
 * its time of change; a second allows for a table that rounds.  Without times
 * of the provider only the content tells.
 */
static const char *
changed_sql(const NauthRun *run, bool timed)
{
	const char *differs = differs_sql(run);

	if (timed && nauth_since_is_word(run))
		differs = NEWER_USER;
	else if (timed)
		differs = psprintf(NEWER_USER " OR ((excluded.updated_at < t.updated_at) IS NOT TRUE AND %s)%s", differs,
						   nauth_write_makes_shapes(run) ? " OR " RETIMED_USER : "");
	return psprintf("(" ANOTHER_USER " OR (" MARKED_THERE ") OR %s) AND (" GONE_MEANWHILE ") IS NOT TRUE", differs);
}

/*
 * SQL of the users, which are $1 to $7, arrays of the columns in order, and stay in
 * their order.  As functions of the list, not of FROM, they are read from the arrays
 * one by one, without a copy of them all.  Neon's own table computes id, name and the
 * others from members that Stack Auth sends, so these are put into raw_json for it.
 */
static const char *
users_sql(const NauthRun *run)
{
	const char *raw_json = run->target.generated ?
	"raw_json || jsonb_build_object('id', id, 'display_name', name, 'primary_email', email,"
	" 'signed_up_at_millis', (extract(epoch FROM created_at) * 1000)::bigint)" : "raw_json";

	return psprintf("(SELECT %s AS raw_json, id, name, email, created_at, updated_at, deleted_at FROM"
					" (SELECT unnest($1) AS raw_json, unnest($2) AS id, unnest($3) AS name, unnest($4) AS email,"
					" unnest($5) AS created_at, unnest($6) AS updated_at, unnest($7) AS deleted_at) AS p) AS excluded",
					raw_json);
}

/*
 * Unchanged users are left out by a join, since ON CONFLICT would lock their
 * rows before it finds that there is nothing to write.  A dry run asks what
 * the join leaves.  Users without a row need no join, nor a sort after it, which
 * together cost as much as writing them.
 */
const char *
nauth_write_sql(const NauthRun *run, bool timed, NauthWriteWay way)
{
	const NauthTarget *target = &run->target;
	bool		generated = target->generated;
	const char *columns = generated ? "raw_json, updated_at, deleted_at" :
	"raw_json, id, name, email, created_at, updated_at, deleted_at";
	const char *changed = changed_sql(run, timed);
	const char *source = users_sql(run);
	const char *replace = "";

	if (way == NAUTH_WAY_KNOWN)
		source = psprintf("%s LEFT JOIN %s t ON t.id = excluded.id WHERE t.id IS NULL OR %s"
						  " ORDER BY excluded.id COLLATE \"C\"", source, target->name, changed);
	if (run->dry_run)
		return psprintf("SELECT excluded.id, excluded.updated_at FROM %s", source);
	if (way != NAUTH_WAY_NEW)
		replace = psprintf(" ON CONFLICT (id) DO UPDATE SET raw_json = excluded.raw_json,%s"
						   " updated_at = excluded.updated_at, deleted_at = " DELETED_AT " WHERE %s",
						   generated ? "" : " name = excluded.name, email = excluded.email,"
						   " created_at = excluded.created_at,", changed);
	return psprintf("INSERT INTO %s AS t (%s) SELECT excluded.%s FROM %s%s"
					" RETURNING t.id::text, t.updated_at::timestamptz",
					target->name, columns,
					generated ? "raw_json, excluded.updated_at, excluded.deleted_at" :
					"raw_json, excluded.id, excluded.name, excluded.email,"
					" excluded.created_at, excluded.updated_at, excluded.deleted_at", source, replace);
}

const char *
nauth_write_ties_sql(const NauthRun *run)
{
	return psprintf("SELECT t.id::text FROM %s JOIN %s t ON t.id = excluded.id AND t.updated_at = excluded.updated_at"
					" WHERE t.deleted_at IS NULL AND %s", users_sql(run), run->target.name, differs_sql(run));
}

const char *
nauth_write_shapes_sql(const NauthRun *run, bool timed)
{
	return psprintf("SELECT FROM %s JOIN %s t ON t.id = excluded.id"
					" WHERE excluded.id = ANY ($12) AND t.deleted_at IS NULL AND (%s%s) LIMIT 1",
					users_sql(run), run->target.name, differs_sql(run),
					timed ? " OR t.updated_at IS DISTINCT FROM excluded.updated_at" : "");
}
