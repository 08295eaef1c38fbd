/*-------------------------------------------------------------------------
 *
 * directory_unit.h
 *	  A simulated directory that shifts while it is listed.
 *
 * A test says in a Server how its provider would answer a request from it; what
 * users there are, what happens to them between two pages, the listing itself and
 * what it came to are the same for all.  Directories of another kind, whose users
 * are gone and stay or change their places, have the listing alone in common.
 *
 * A listing that says that it is complete must have had everybody who was there all
 * the time, once; any other must say that it is not.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_DIRECTORY_UNIT_H
#define NAUTH_DIRECTORY_UNIT_H

#include "provider_unit.h"

#define DIRECTORY_MAX	3000	/* users there ever are */
#define REQUESTS_MAX	400		/* of a listing */

typedef enum State
{
	SHOWN,
	TIMELESS,					/* what is shown as its time is none */
	HIDDEN,						/* taken off a page after it was cut */
	INVALID						/* removed by being on a page */
} State;

typedef struct Entry
{
	int			number;			/* nobody else ever has it */
	int			time;			/* of creation, in a unit of the test's own */
	State		state;
} Entry;

/* The users in order of creation, or what else the provider lists them by. */
static Entry directory[DIRECTORY_MAX];
static int	directory_size;
static int	directory_next;		/* number of whoever comes next */

/* How often a listing returned each user, by number, and what it took. */
static int	seen[DIRECTORY_MAX];
static int	requests;			/* made so far, the one under way included */
static int	rereads;

/* What happens after every page; or NULL. */
static void (*meanwhile) (void);

/* What happens once, when so many pages were read. */
typedef struct Change
{
	int			after;
	void		(*change) (int position, int count);
	int			position;
	int			count;
} Change;

typedef struct Server
{
	const NauthProvider *provider;
	NauthQueryKind kind;		/* of the listing */
	const char *id;				/* how sscanf finds the number in an id */
	NauthSpan	(*answer) (void);	/* to unit_request */
} Server;

/* So many users, of whom each "together" have the same time. */
static inline void
directory_fill_together(int size, int together)
{
	for (int i = 0; i < size; i++)
	{
		Entry		entry = {i, i / together * 10, SHOWN};

		directory[i] = entry;
	}
	directory_size = directory_next = size;
}

static inline void
directory_fill(int size)
{
	directory_fill_together(size, 1);
}

/* As many as there are. */
static inline void
directory_delete(int position, int count)
{
	if (position < 0 || position >= directory_size)
		return;
	if (count > directory_size - position)
		count = directory_size - position;
	memmove(directory + position, directory + position + count,
			(size_t) (directory_size - position - count) * sizeof(Entry));
	directory_size -= count;
}

/* New users, of the time of whoever is before them. */
static inline void
directory_insert(int position, int count)
{
	int			time = position > 0 ? directory[position - 1].time : -1;

	memmove(directory + position + count, directory + position,
			(size_t) (directory_size - position) * sizeof(Entry));
	directory_size += count;
	for (int i = 0; i < count; i++)
	{
		Entry		entry = {directory_next++, time, SHOWN};

		directory[position + i] = entry;
	}
}

/* Where this user is, or -1. */
static inline int
directory_find(int number)
{
	for (int i = 0; i < directory_size; i++)
		if (directory[i].number == number)
			return i;
	return -1;
}

/* Who is in this place of a listing in that order. */
static inline const Entry *
directory_at(int place, bool newest)
{
	return &directory[newest ? directory_size - 1 - place : place];
}

/* A number that the request has behind a name, or 0. */
static inline int
directory_asked(const char *name)
{
	const char *found = strstr(unit_request.url, name);

	return found == NULL ? 0 : atoi(found + strlen(name));
}

static inline void
directory_change(const Change *change)
{
	if (change != NULL && change->after == requests)
		change->change(change->position, change->count);
}

/* Note who is on the page; false if somebody is who never was in the directory. */
static inline bool
directory_see(const Server *server)
{
	for (int i = 0; i < unit_page.count; i++)
	{
		int			number;

		if (sscanf(unit_users[i].id, server->id, &number) != 1 || number < 0 || number >= DIRECTORY_MAX)
			return false;
		seen[number]++;
	}
	return true;
}

/*
 * List the directory, in the order of unit_query; returns how it ended.  What the
 * provider never says is said of what fdw/directory.c would not put up with: UNFIT
 * where there is no way on, or one in a circle; MEMORY where a page has nobody, and
 * REFUSED where it has somebody unknown; TIMEOUT where there is no end.
 */
static inline NauthErrorKind
directory_list(const Server *server, int page_size, const Change *change)
{
	char		cursor[NAUTH_CURSOR_MAX] = "";

	unit_settings.page_size = page_size;
	memset(seen, 0, sizeof(seen));
	for (requests = rereads = 0; requests < REQUESTS_MAX;)
	{
		const char *at = requests == 0 ? NULL : cursor;
		NauthSpan	body;
		bool		read;

		if (meanwhile != NULL && requests > 0)
			meanwhile();
		directory_change(change);
		unit_write(server->provider, server->kind, NULL, at);
		if (unit_request.overflow)
			return NAUTH_ERROR_REQUEST;
		requests++;
		body = server->answer();
		read = unit_read(server->provider, at, body);
		unit_free(body);
		if (!read)
			return unit_error.kind;
		rereads += unit_page.reread;
		if (!directory_see(server))
			return NAUTH_ERROR_REFUSED;
		if (unit_page.last)
			return NAUTH_OK;
		if (server->kind == NAUTH_QUERY_LIST && (unit_page.count == 0) != unit_page.reread)
			return NAUTH_ERROR_MEMORY;
		if (unit_page.next[0] == '\0' || strcmp(unit_page.next, cursor) == 0)
			return NAUTH_ERROR_UNFIT;
		strcpy(cursor, unit_page.next);
	}
	return NAUTH_ERROR_TIMEOUT;
}

/* How many who are still there, and came before this number, were not seen. */
static inline int
directory_lost(int first_new)
{
	int			lost = 0;

	for (int i = 0; i < directory_size; i++)
		lost += directory[i].number < first_new && directory[i].state < HIDDEN && seen[directory[i].number] == 0;
	return lost;
}

/* Those, and anybody who was seen twice, or can not be seen. */
static inline int
directory_wrong(int first_new)
{
	int			wrong = directory_lost(first_new);

	for (int i = 0; i < directory_next; i++)
		wrong += seen[i] > 1;
	for (int i = 0; i < directory_size; i++)
		wrong += directory[i].state >= HIDDEN && seen[directory[i].number] > 0;
	return wrong;
}

/* What many listings came to. */
static struct
{
	int			complete;
	int			incomplete;		/* and said so */
	int			failed;			/* in any other way */
	int			wrong;			/* complete, they say, and are not */
}			tally;

/* Count a listing that ended so, and was wrong about so many users if it is complete. */
static inline void
tally_add(NauthErrorKind kind, int wrong)
{
	tally.complete += kind == NAUTH_OK;
	tally.incomplete += kind == NAUTH_ERROR_INCOMPLETE;
	tally.failed += kind != NAUTH_OK && kind != NAUTH_ERROR_INCOMPLETE;
	tally.wrong += kind == NAUTH_OK && wrong > 0;
}

/* Judge them, of which more than so many must be complete, and begin anew. */
static inline void
tally_check(int enough, const char *name)
{
	is_int(tally.wrong, 0, name);
	is_int(tally.failed, 0, "a listing that is not complete says so");
	if (!ok(tally.complete > enough, "and many are complete"))
		printf("# complete: %d, not: %d\n", tally.complete, tally.incomplete);
	memset(&tally, 0, sizeof(tally));
}

/* How a listing ends that is shifted so, and how often it asks without anybody new. */
typedef struct DriftCase
{
	Change		change;
	NauthErrorKind kind;
	int			rereads;
	const char *name;
} DriftCase;

/* From this number on users need not be seen who came meanwhile. */
static inline void
directory_check_drift(const Server *server, int size, int page_size, int first_new,
					  const DriftCase *cases, int count)
{
	for (int i = 0; i < count; i++)
	{
		directory_fill(size);
		ok(directory_list(server, page_size, &cases[i].change) == cases[i].kind, cases[i].name);
		is_int(rereads, cases[i].rereads, "so often it went back, or on without anybody");
		if (cases[i].kind == NAUTH_OK)
			is_int(directory_wrong(first_new), 0, "everybody who was there all the time was seen once");
	}
}

/* Users who appear later, in the part that was read, do not have others lost. */
static inline void
directory_check_inserted_before(const Server *server)
{
	Change		change = {1, directory_insert, 0, 5};

	directory_fill(100);
	ok(directory_list(server, 20, &change) == NAUTH_OK, "5 added in the part that was read");
	is_int(directory_wrong(100), 0, "all others were seen once");
	change.count = 50;
	directory_fill(100);
	is_int(directory_list(server, 20, &change) == NAUTH_OK ? directory_lost(100) : 0, 0,
		   "50 added there: nobody is lost in a complete listing");
}

/* Count listings of 50 users with any deletion at any time. */
static inline void
tally_add_deletions(const Server *server)
{
	for (int after = 1; after <= 6; after++)
		for (int position = 0; position < 50; position++)
			for (int count = 1; count <= 50 - position; count++)
			{
				Change		change = {after, directory_delete, position, count};
				NauthErrorKind kind;

				directory_fill(50);
				kind = directory_list(server, 8, &change);
				tally_add(kind, directory_wrong(50));
			}
}

#endif							/* NAUTH_DIRECTORY_UNIT_H */
