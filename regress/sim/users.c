/*-------------------------------------------------------------------------
 *
 * users.c
 *		The directory: generated users with an overlay of touched ones.
 *
 * Indexes are given in creation order: first the fixture, then the generated
 * users ("base"), then those created while running.  Only touched users have
 * a record; where it stands among the others is kept in order.c.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "sim.h"

#define CLOCK_STEP_MS 1000
#define FIXTURE_LATEST INT64_C(1735689599999)	/* before any generated user */

static SimUser **records;		/* in the order they came to be */
static size_t n_records;
static size_t records_cap;
static SimUser **by_index;		/* hash tables of n_buckets chains */
static SimUser **by_id;
static size_t n_buckets;
static int64_t n_fixture;
static int64_t n_created;
static int64_t clock_ms;

/*
 * A user's number among the generated ones, or -1 if it is none of them.
 */
int64_t
sim_users_base(int64_t index)
{
	int64_t		base = index - n_fixture;

	return base >= 0 && base < sim_config.users ? base : -1;
}

int64_t
sim_users_fixture(void)
{
	return n_fixture;
}

int64_t
sim_users_end(void)
{
	return n_fixture + sim_config.users + n_created;
}

/* ---- records and their hash tables ---- */

static size_t
bucket_of_id(const char *id)
{
	return (size_t) (sim_hash_text(0, id) & (n_buckets - 1));
}

static size_t
bucket_of_index(int64_t index)
{
	return (size_t) sim_hash((uint64_t) index, 5) & (n_buckets - 1);
}

static void
link_record(SimUser *user)
{
	size_t		bucket = bucket_of_index(user->index);

	user->next_by_index = by_index[bucket];
	by_index[bucket] = user;
	if (user->id)
	{
		bucket = bucket_of_id(user->id);
		user->next_by_id = by_id[bucket];
		by_id[bucket] = user;
	}
}

static void
add_record(SimUser *user)
{
	if (n_records == records_cap)
	{
		records_cap = records_cap ? records_cap * 2 : 1024;
		records = sim_realloc(records, records_cap * sizeof(*records));
		n_buckets = records_cap * 2;
		free(by_index);
		free(by_id);
		by_index = sim_alloc(n_buckets * sizeof(*by_index));
		by_id = sim_alloc(n_buckets * sizeof(*by_id));
		for (size_t i = 0; i < n_records; i++)
			link_record(records[i]);
	}
	records[n_records++] = user;
	link_record(user);
}

static SimUser *
find_record(int64_t index)
{
	SimUser    *user = n_buckets ? by_index[bucket_of_index(index)] : NULL;

	while (user && user->index != index)
		user = user->next_by_index;
	return user;
}

/*
 * Look at any user that is or was; false if the index was never given.
 * The strings belong to the directory.
 */
bool
sim_users_get(int64_t index, SimUser *user)
{
	SimUser    *record = find_record(index);

	if (record)
	{
		*user = *record;
		return true;
	}
	if (sim_users_base(index) < 0)
		return false;
	memset(user, 0, sizeof(*user));
	user->index = index;
	user->created = sim_generate_time(SIM_BY_CREATED, index - n_fixture);
	user->updated = sim_generate_time(SIM_BY_UPDATED, index - n_fixture);
	return true;
}

void
sim_users_id(const SimUser *user, char *id)
{
	if (user->id)
		snprintf(id, SIM_ID_SIZE, "%s", user->id);
	else
		sim_generate_id(user->index, id);
}

/*
 * An id may be given again after its user was deleted: the living one wins.
 */
int64_t
sim_users_find(const char *id)
{
	SimUser    *user = n_buckets ? by_id[bucket_of_id(id)] : NULL;
	int64_t		index = -1;
	SimUser		other;

	for (; user; user = user->next_by_id)
	{
		if (strcmp(user->id, id) != 0)
			continue;
		if (!user->deleted)
			return user->index;
		if (index < 0)
			index = user->index;	/* the chain has the newest first */
	}
	if (index >= 0)
		return index;
	index = sim_generate_index(id);
	if (index < 0 || !sim_users_get(index, &other) || other.id)
		return -1;
	return index;
}

bool
sim_users_find_live(const char *id, SimUser *user)
{
	int64_t		index = sim_users_find(id);

	return index >= 0 && sim_users_get(index, user) && !user->deleted;
}

static bool
has_email(const SimUser *user, const char *email)
{
	SimPerson	person;

	sim_generate_person(user, &person);
	for (int i = 0; i < person.n_emails; i++)
		if (strcasecmp(person.emails[i], email) == 0)
			return true;
	return false;
}

void
sim_users_find_email(const char *email, SimIndexes *found)
{
	int64_t		index = sim_generate_email_index(email);
	SimUser		user;

	if (index >= 0 && sim_users_get(index, &user) && !user.deleted &&
		has_email(&user, email))
		sim_indexes_add(found, index);
	for (size_t i = 0; i < n_records; i++)
		if ((records[i]->set & SIM_SET_EMAILS) && !records[i]->deleted &&
			has_email(records[i], email))
			sim_indexes_add(found, records[i]->index);
}

/* ---- changes ---- */

static int64_t
next_time(void)
{
	clock_ms += CLOCK_STEP_MS;
	return clock_ms;
}

static void
replace_string(char **old, const char *new)
{
	char	   *copy = sim_strdup(new);

	free(*old);
	*old = copy;
}

static void
apply_change(SimUser *user, const SimChange *change)
{
	if (change->set & SIM_SET_FIRST)
		replace_string(&user->first, change->first);
	if (change->set & SIM_SET_LAST)
		replace_string(&user->last, change->last);
	if (change->set & SIM_SET_USERNAME)
		replace_string(&user->username, change->username);
	if (change->set & SIM_SET_EMAILS)
	{
		for (int i = 0; i < SIM_MAX_EMAILS; i++)
			replace_string(&user->emails[i],
						   i < change->n_emails ? change->emails[i] : NULL);
		user->n_emails = change->n_emails;
	}
	if (change->set & SIM_SET_STATE)
		replace_string(&user->state, change->state);
	if (change->set & SIM_SET_RAW)
	{
		free(user->raw);
		user->raw = sim_memdup(change->raw, change->raw_len);
		user->raw_len = change->raw_len;
	}
	user->set |= change->set;
	if (change->set & SIM_SET_CREATED)
		user->created = change->created;
	user->updated = change->set & SIM_SET_UPDATED ?
		change->updated : next_time();

	/* a raw user's time may be nonsense, which must not spread */
	if (!(change->set & SIM_SET_RAW) && user->updated > clock_ms)
		clock_ms = user->updated;
}

static void
tell(const SimUser *user, SimEvent event)
{
	if (sim_config.provider->changed)
		sim_config.provider->changed(user, event);
}

static void
new_record(int64_t index, const SimChange *change, int64_t created)
{
	SimUser    *user = sim_alloc(sizeof(*user));

	user->index = index;
	user->created = created;
	user->updated = created;
	user->id = sim_strdup(change->id);
	apply_change(user, change);
	user->set |= SIM_SET_FIRST | SIM_SET_LAST | SIM_SET_USERNAME |
		SIM_SET_EMAILS;
	add_record(user);
	sim_order_place(user, true);
}

/*
 * Create a user; returns its index, or -1 if a living user has that id.
 */
int64_t
sim_users_create(const SimChange *change)
{
	SimChange	full = *change;
	SimUser		other;
	int64_t		index = sim_users_end();

	if (change->id && sim_users_find_live(change->id, &other))
		return -1;
	if (!(full.set & SIM_SET_CREATED))
		full.created = full.set & SIM_SET_UPDATED ? full.updated : next_time();
	if (!(full.set & SIM_SET_UPDATED))
		full.updated = full.created;
	full.set |= SIM_SET_CREATED | SIM_SET_UPDATED;
	n_created++;
	new_record(index, &full, full.created);
	tell(find_record(index), SIM_CREATED);
	return index;
}

/*
 * The record of a living user, made if it has none yet; else NULL.
 */
static SimUser *
touch(int64_t index)
{
	SimUser    *record = find_record(index);
	SimUser		user;

	if (record)
		return record->deleted ? NULL : record;
	if (!sim_users_get(index, &user))
		return NULL;
	record = sim_alloc(sizeof(*record));
	*record = user;
	add_record(record);
	return record;
}

/*
 * Change a user; false if there is none.  Unless the change sets it, the
 * time of change comes from the logical clock.
 */
bool
sim_users_update(int64_t index, const SimChange *change)
{
	SimUser    *user = touch(index);

	if (user == NULL)
		return false;
	sim_order_place(user, false);
	apply_change(user, change);
	sim_order_place(user, true);
	tell(user, SIM_UPDATED);
	return true;
}

bool
sim_users_delete(int64_t index)
{
	SimUser    *user = touch(index);

	if (user == NULL)
		return false;
	sim_order_place(user, false);
	user->deleted = true;
	sim_order_place(user, true);
	tell(user, SIM_DELETED);
	return true;
}

void
sim_users_put(SimBuf *buf, const SimUser *user)
{
	if (user->raw)
		sim_buf_add(buf, user->raw, user->raw_len);
	else
		sim_config.provider->put_user(buf, user);
}

/* ---- start and end ---- */

static void
count_fixture(const char *json, size_t len)
{
	(void) json;
	(void) len;
	n_fixture++;
}

static void
load_fixture(const char *json, size_t len)
{
	SimChange	change = {0};
	json_t	   *owner;
	int64_t		index = (int64_t) n_records;

	change.raw = json;
	change.raw_len = len;
	sim_raw_read(&change, &owner);
	if (!(change.set & SIM_SET_CREATED) || change.created > FIXTURE_LATEST)
		change.created = FIXTURE_LATEST;
	if (!(change.set & SIM_SET_UPDATED))
		change.updated = change.created;
	change.set |= SIM_SET_CREATED | SIM_SET_UPDATED;
	new_record(index, &change, change.created);
	json_decref(owner);
}

void
sim_users_start(void)
{
	char	   *json;
	size_t		len;

	clock_ms = sim_config.clock != SIM_TIME_NONE ?
		sim_config.clock : sim_generate_end();
	if (sim_config.fixture == NULL)
		return;
	json = sim_read_file(sim_config.fixture, &len);
	if (json == NULL || !sim_raw_split(json, len, count_fixture))
	{
		fprintf(stderr, "nauth_sim: could not read a JSON array from \"%s\"\n",
				sim_config.fixture);
		exit(1);
	}
	sim_raw_split(json, len, load_fixture);
	free(json);
}

static void
free_record(SimUser *user)
{
	free(user->first);
	free(user->last);
	free(user->username);
	for (int i = 0; i < SIM_MAX_EMAILS; i++)
		free(user->emails[i]);
	free(user->id);
	free(user->state);
	free(user->raw);
	free(user);
}

void
sim_users_stop(void)
{
	for (size_t i = 0; i < n_records; i++)
		free_record(records[i]);
	free(records);
	free(by_index);
	free(by_id);
	sim_order_stop();
}
