/*-------------------------------------------------------------------------
 *
 * digest.c
 *	  Users whose provider tells no time of change: a digest of each tells
 *	  whether it is another than last time.
 *
 * The digest is over the bytes as received, so a user who is the same costs
 * neither jsonb nor a look at the table.  Other bytes for the same content
 * cost a comparison by the statement that writes, no more.  It is of SHA-256:
 * nobody shall make two profiles of which the second is not noticed.
 *
 * A hash belongs to the transaction it was made in, so each user gets one anew.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "sync/digest.h"
#include "sync/statement.h"

static int
compare_spans(const void *a, const void *b)
{
	const NauthSpan *left = a;
	const NauthSpan *right = b;

	return (left->data > right->data) - (left->data < right->data);
}

/* The values of the ignored members, in order of place; returns how many. */
static int
find_ignored(const NauthRun *run, const NauthUser *user, NauthSpan *found)
{
	int			count = 0;

	if (run->ignored_count == 0)
		return 0;
	nauth_slice_object(user->json, run->ignored, found);
	for (int i = 0; i < run->ignored_count; i++)
		if (found[i].data != NULL)
			found[count++] = found[i];
	qsort(found, count, sizeof(NauthSpan), compare_spans);
	return count;
}

/* Hash a user without these parts; false when the library cannot. */
static bool
hash_user(pg_cryptohash_ctx * hash, NauthSpan json, const NauthSpan *ignored, int count,
		  uint8 *bytes)
{
	const char *from = json.data;

	if (pg_cryptohash_init(hash) < 0)
		return false;
	for (int i = 0; i < count; i++)
	{
		if (pg_cryptohash_update(hash, (const uint8 *) from, ignored[i].data - from) < 0)
			return false;
		from = ignored[i].data + ignored[i].len;
	}
	return pg_cryptohash_update(hash, (const uint8 *) from, json.data + json.len - from) >= 0 &&
		pg_cryptohash_final(hash, bytes, PG_SHA256_DIGEST_LENGTH) >= 0;
}

NauthDigest
nauth_digest_of(const NauthRun *run, const NauthUser *user)
{
	NauthSpan	ignored[NAUTH_MAX_IGNORED];
	int			count = find_ignored(run, user, ignored);
	uint8		bytes[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	NauthDigest digest;

	if (hash == NULL || !hash_user(hash, user->json, ignored, count, bytes))
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("could not compute a digest of a user"));
	pg_cryptohash_free(hash);
	memcpy(digest.bytes, bytes, NAUTH_DIGEST_BYTES);
	return digest;
}

int64
nauth_digest_version(const NauthDigest *digest)
{
	int64		bits;

	memcpy(&bits, digest->bytes, sizeof(bits));
	/* shifted as a number with a sign, so that NauthKnown takes it whole */
	return bits >> (64 - NAUTH_VERSION_BITS);
}

/*
 * Add a digest to what is known of its user.  A row that somebody has put back, from a
 * copy of the table, or written since, has another time of change.
 */
static void
load_digest(HeapTuple tuple, TupleDesc desc, void *arg)
{
	NauthRun   *run = arg;
	bool		isnull;
	char	   *id = TextDatumGetCString(SPI_getbinval(tuple, desc, 1, &isnull));
	bytea	   *stored = DatumGetByteaPP(SPI_getbinval(tuple, desc, 2, &isnull));
	TimestampTz updated_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 3, &isnull));
	NauthKnownUser user;
	NauthDigest digest;

	if (VARSIZE_ANY_EXHDR(stored) == NAUTH_DIGEST_BYTES && nauth_known_get(run->known, id, &user))
	{
		memcpy(digest.bytes, VARDATA_ANY(stored), NAUTH_DIGEST_BYTES);
		user.version = user.version == updated_at ? nauth_digest_version(&digest) : NAUTH_NO_VERSION;
		user.digested = true;
		nauth_known_set(run->known, id, &user);
	}
	pfree(id);
}

void
nauth_digest_load(NauthRun *run)
{
	NauthArgs	args = {0};

	/* without a state nobody knows which options have made the rows */
	if (!run->has_state)
		return;
	nauth_args_relation(&args, run->target.relid);
	nauth_statement_read("SELECT id, digest, updated_at FROM neon_auth.sync_digest WHERE target = $1", &args, load_digest, run);
}

void
nauth_digest_store(NauthRun *run, int count, const char *const *ids, const NauthDigest *digests,
				   const TimestampTz *updated_at)
{
	Datum	   *values = palloc(count * sizeof(Datum));
	NauthArgs	args = {0};

	for (int i = 0; i < count; i++)
	{
		bytea	   *value = palloc(VARHDRSZ + NAUTH_DIGEST_BYTES);

		SET_VARSIZE(value, VARHDRSZ + NAUTH_DIGEST_BYTES);
		memcpy(VARDATA(value), digests[i].bytes, NAUTH_DIGEST_BYTES);
		values[i] = PointerGetDatum(value);
	}
	nauth_args_relation(&args, run->target.relid);
	nauth_args_texts(&args, count, ids);
	nauth_args_add(&args, BYTEAARRAYOID,
				   PointerGetDatum(construct_array(values, count, BYTEAOID, -1, false, TYPALIGN_INT)), false);
	nauth_args_times(&args, count, updated_at);
	nauth_statement_execute("INSERT INTO neon_auth.sync_digest AS d (target, id, digest, updated_at)"
							" SELECT $1, n.id, n.digest, n.updated_at FROM unnest($2, $3, $4) AS n (id, digest, updated_at)"
							" ON CONFLICT (target, id) DO UPDATE SET digest = excluded.digest, updated_at = excluded.updated_at"
							" WHERE (d.digest, d.updated_at) <> (excluded.digest, excluded.updated_at)", &args);
}

void
nauth_digest_forget(NauthRun *run, int count, const char *const *ids)
{
	NauthArgs	args = {0};

	nauth_args_relation(&args, run->target.relid);
	nauth_args_texts(&args, count, ids);
	nauth_statement_execute("DELETE FROM neon_auth.sync_digest WHERE target = $1 AND id = ANY ($2)", &args);
}
