/*-------------------------------------------------------------------------
 *
 * known.c
 *	  What the target holds, in a table of 16 bytes a slot.
 *
 * An open-addressing table of two words a slot.  simplehash.h would do, but
 * needs a status field, which makes 24 bytes of 16, and this table is most of
 * the memory that a refresh of a large directory takes.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "known.h"

#define MIN_SLOTS	1024

/* The low bits of a value are flags, the rest is the version. */
#define FLAG_DELETED	1
#define FLAG_SEEN		2
#define FLAG_DIGESTED	4
#define FLAG_BITS		(64 - NAUTH_VERSION_BITS)

/* No version, and what versions that do not fit become. */
#define NO_VERSION		(-(INT64CONST(1) << (63 - FLAG_BITS)))

typedef struct Slot
{
	uint64		hash;			/* 0 marks a free slot */
	int64		value;
} Slot;

struct NauthKnown
{
	uint64		seed;
	uint64		mask;			/* number of slots less one */
	uint64		used;
	Slot	   *slots;
};

NauthKnown *
nauth_known_create(int64 users)
{
	NauthKnown *known = palloc0(sizeof(NauthKnown));
	uint64		slots = pg_nextpower2_64(Max(users + users / 7, MIN_SLOTS));

	if (!pg_strong_random(&known->seed, sizeof(known->seed)))
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("could not generate a random number"));
	known->mask = slots - 1;
	known->slots = palloc_extended(slots * sizeof(Slot), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	return known;
}

void
nauth_known_free(NauthKnown *known)
{
	pfree(known->slots);
	pfree(known);
}

/* The slot of a hash, or the free one where it belongs. */
static Slot *
find_slot(const NauthKnown *known, uint64 hash)
{
	uint64		i = hash & known->mask;

	while (known->slots[i].hash != 0 && known->slots[i].hash != hash)
		i = (i + 1) & known->mask;
	return &known->slots[i];
}

static uint64
hash_id(const NauthKnown *known, const char *id)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) id, strlen(id), known->seed);

	return hash != 0 ? hash : 1;
}

static void
move_slot(NauthKnown *known, Slot slot)
{
	*find_slot(known, slot.hash) = slot;
}

/*
 * Twice as many slots, in place, so that there is never a second table.  In the order
 * of the slots, beginning after a free one, nobody moves across somebody who has not
 * moved yet; who is before that slot has come round the end, and is put aside.
 */
static void
grow(NauthKnown *known)
{
	uint64		count = known->mask + 1;
	uint64		first = 0;
	Slot	   *aside;

	while (known->slots[first].hash != 0)
		first++;
	aside = palloc(Max(first, 1) * sizeof(Slot));
	known->slots = repalloc_huge(known->slots, 2 * count * sizeof(Slot));
	/* from here on nothing can fail, and leave a table that is half of each */
	known->mask = 2 * count - 1;
	memset(known->slots + count, 0, count * sizeof(Slot));
	memcpy(aside, known->slots, first * sizeof(Slot));
	memset(known->slots, 0, first * sizeof(Slot));
	for (uint64 i = first; i < count; i++)
	{
		Slot		slot = known->slots[i];

		known->slots[i].hash = 0;
		if (slot.hash != 0)
			move_slot(known, slot);
	}
	for (uint64 i = 0; i < first; i++)
		move_slot(known, aside[i]);
	pfree(aside);
}

static NauthKnownUser
unpack(int64 value)
{
	int64		version = value >> FLAG_BITS;
	NauthKnownUser user = {
		.version = version == NO_VERSION ? NAUTH_NO_VERSION : version,
		.digested = value & FLAG_DIGESTED,
		.deleted = value & FLAG_DELETED,
		.seen = value & FLAG_SEEN
	};

	return user;
}

static int64
pack(const NauthKnownUser *user)
{
	int64		version = user->version;

	if (version <= NO_VERSION || version >= -NO_VERSION)
		version = NO_VERSION;
	return (int64) ((uint64) version << FLAG_BITS) |
		(user->digested ? FLAG_DIGESTED : 0) | (user->deleted ? FLAG_DELETED : 0) | (user->seen ? FLAG_SEEN : 0);
}

bool
nauth_known_get(const NauthKnown *known, const char *id, NauthKnownUser *user)
{
	Slot	   *slot = find_slot(known, hash_id(known, id));

	if (slot->hash == 0)
		return false;
	*user = unpack(slot->value);
	return true;
}

void
nauth_known_set(NauthKnown *known, const char *id, const NauthKnownUser *user)
{
	uint64		hash = hash_id(known, id);
	Slot	   *slot = find_slot(known, hash);

	if (slot->hash == 0)
	{
		/* keep one slot of eight free, so that chains stay short */
		if (++known->used > known->mask - known->mask / 8)
		{
			grow(known);
			slot = find_slot(known, hash);
		}
		slot->hash = hash;
	}
	slot->value = pack(user);
}

static int64
count_values(const NauthKnown *known, int64 unwanted)
{
	int64		count = 0;

	for (uint64 i = 0; i <= known->mask; i++)
		if (known->slots[i].hash != 0 && (known->slots[i].value & unwanted) == 0)
			count++;
	return count;
}

int64
nauth_known_live(const NauthKnown *known)
{
	return count_values(known, FLAG_DELETED);
}

int64
nauth_known_missing(const NauthKnown *known)
{
	return count_values(known, FLAG_DELETED | FLAG_SEEN);
}
