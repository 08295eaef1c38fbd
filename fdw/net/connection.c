/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  The connections that a session keeps between statements.
 *
 * Here is the only state that outlives a statement, and the one place that
 * decides when it goes: whatever failed at once; what was idle too long, or
 * belongs to options that have changed, at the end of a transaction, if need be
 * of an empty one; when descriptors are short whatever was used longest ago.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/sinval.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timeout.h"

#include "net/connection.h"
#include "wait.h"

/*
 * Descriptors, of which the server's own file cache must know: epoll, timer,
 * libcurl's wakeup pair and a socket are kept; while in use there may be the
 * resolver's pair and its socket, and one more while IPv6 and IPv4 race.
 */
#define DESCRIPTORS_KEPT	5
#define DESCRIPTORS_IN_USE	9

typedef struct Connection
{
	NauthConnectionId id;
	const NauthConnectionKind *kind;
	void	   *handle;			/* NULL: this place is free */
	MemoryContext cxt;
	int			descriptors;	/* reserved for it */
	bool		in_use;
	bool		in_transaction; /* was used in this transaction */
	int64		uses;
	int64		last_use;		/* of nauth_clock() */
} Connection;

static Connection connections[NAUTH_CONNECTIONS_MAX];

/* Counts changes of servers and user mappings. */
static uint64 catalog = 0;

/* Wakes a session that rests, when a connection is due to be closed. */
static TimeoutId idle_timer;

/* Close one, however far it came. */
static void
close_connection(Connection *connection)
{
	void	   *handle = connection->handle;

	connection->handle = NULL;
	if (handle)
		connection->kind->close(handle);
	nauth_wait_release(connection->descriptors);
	if (connection->cxt)
		MemoryContextDelete(connection->cxt);
	memset(connection, 0, sizeof(*connection));
}

static void
on_catalog_change(Datum arg, int cache, uint32 hash)
{
	catalog++;
}

/*
 * Called by a signal.  Nothing may be closed here, but a session that rests can
 * be told that there are invalidation messages: it looks for them in a
 * transaction of its own, at whose end we are called again.
 */
static void
on_idle_timer(void)
{
	catchupInterruptPending = true;
	SetLatch(MyLatch);
}

/*
 * Close what is due, and come back when the next one is.  Options that have
 * changed may still be those of a refresh that commits after each page, which
 * then goes on using its connection.
 */
static void
on_transaction_end(XactEvent event, void *arg)
{
	int64		now = nauth_clock();
	int64		next = PG_INT64_MAX;

	if (proc_exit_inprogress ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE))
		return;
	for (Connection *c = connections; c < connections + NAUTH_CONNECTIONS_MAX; c++)
	{
		bool		outdated = c->id.catalog != catalog && !c->in_transaction;
		int64		due = c->last_use + c->id.idle_timeout * INT64CONST(1000);

		c->in_transaction = false;
		if (c->handle == NULL || c->in_use)
			continue;
		if (outdated || due <= now)
			close_connection(c);
		else
			next = Min(next, due);
	}
	if (next != PG_INT64_MAX)
		enable_timeout_after(idle_timer, (int) ((next - now) / 1000) + 1);
}

void
nauth_connection_identify(NauthConnectionId *id)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_catalog_change, (Datum) 0);
		CacheRegisterSyscacheCallback(USERMAPPINGOID, on_catalog_change, (Datum) 0);
		RegisterXactCallback(on_transaction_end, NULL);
		idle_timer = RegisterTimeout(USER_TIMEOUT, on_idle_timer);
		registered = true;
	}
	id->catalog = catalog;
}

/* Close the one used longest ago; false if all are in use. */
static bool
close_oldest(void)
{
	Connection *oldest = NULL;

	for (Connection *c = connections; c < connections + NAUTH_CONNECTIONS_MAX; c++)
		if (c->handle && !c->in_use && (oldest == NULL || c->last_use < oldest->last_use))
			oldest = c;
	if (oldest)
		close_connection(oldest);
	return oldest != NULL;
}

/*
 * Have so many descriptors reserved, if need be in place of another's.  One
 * more must be free: each wait for a socket makes a wait event set, which asks
 * for its descriptor under the same limit.
 */
static void
reserve(Connection *connection, int descriptors)
{
	int			more = descriptors - connection->descriptors;

	if (more <= 0)
		nauth_wait_release(-more);
	else
	{
		while (!nauth_wait_reserve(more + 1))
			if (!close_oldest())
				ereport(ERROR,
						errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("no descriptors are left for a connection"),
						errhint("Raise max_files_per_process, or close what this session holds open."));
		nauth_wait_release(1);
	}
	connection->descriptors = descriptors;
}

/* The connection kept for id, or NULL. */
static Connection *
find_kept(const NauthConnectionId *id, const NauthConnectionKind *kind)
{
	for (Connection *c = connections; c < connections + NAUTH_CONNECTIONS_MAX; c++)
		if (c->handle && !c->in_use && c->kind == kind && c->id.server == id->server &&
			c->id.mapping == id->mapping && c->id.catalog == id->catalog)
			return c;
	return NULL;
}

/*
 * The connection kept for id, or else a free place of the table.  Not inlined,
 * for its variables would then look clobbered by the PG_TRY below.
 */
static pg_noinline Connection *
take_place(const NauthConnectionId *id, const NauthConnectionKind *kind)
{
	Connection *kept = find_kept(id, kind);

	if (kept)
		return kept;
	for (;;)
	{
		for (Connection *c = connections; c < connections + NAUTH_CONNECTIONS_MAX; c++)
			if (c->handle == NULL && !c->in_use)
				return c;
		if (!close_oldest())
			elog(ERROR, "all connections are in use");
	}
}

/* Make a connection of a free place. */
static void
open_connection(Connection *connection, const NauthConnectionKind *kind)
{
	MemoryContext old;
	bool		no_memory;

	connection->kind = kind;
	connection->cxt = AllocSetContextCreate(TopMemoryContext, "neon_auth_fdw connection",
											ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(connection->cxt);
	connection->handle = kind->open();
	MemoryContextSwitchTo(old);
	no_memory = errno == ENOMEM;
	if (connection->handle == NULL)
		ereport(ERROR,
				errcode(no_memory ? ERRCODE_OUT_OF_MEMORY : ERRCODE_INSUFFICIENT_RESOURCES),
				errmsg("could not open what a connection needs: %m"));
}

bool
nauth_connection_use(const NauthConnectionId *id, const NauthConnectionKind *kind,
					 NauthConnectionUse use, void *arg)
{
	Connection *const connection = take_place(id, kind);
	bool		again;

	connection->id = *id;
	connection->in_use = true;

	PG_TRY();
	{
		reserve(connection, DESCRIPTORS_IN_USE);
		if (connection->handle == NULL)
			open_connection(connection, kind);
		again = use(connection->handle, arg);
	}
	PG_CATCH();
	{
		close_connection(connection);
		PG_RE_THROW();
	}
	PG_END_TRY();

	if (!again)
	{
		close_connection(connection);
		return false;
	}
	reserve(connection, DESCRIPTORS_KEPT);
	connection->in_use = false;
	connection->in_transaction = true;
	connection->uses++;
	connection->last_use = nauth_clock();
	return true;
}

void
nauth_connection_use_last(const NauthConnectionId *id, const NauthConnectionKind *kind,
						  NauthConnectionUse use, void *arg)
{
	Connection *connection = find_kept(id, kind);

	if (connection == NULL)
		return;
	(void) use(connection->handle, arg);
	close_connection(connection);
}

int
nauth_connection_list(NauthConnectionInfo info[NAUTH_CONNECTIONS_MAX])
{
	int			count = 0;

	for (const Connection *c = connections; c < connections + NAUTH_CONNECTIONS_MAX; c++)
	{
		if (c->handle == NULL)
			continue;
		info->server = c->id.server;
		info->mapping = c->id.mapping;
		info->kind = c->kind->name;
		info->sockets = c->kind->sockets(c->handle);
		info->valid = c->id.catalog == catalog;
		info->uses = c->uses;
		info->idle = nauth_clock() - c->last_use;
		info++;
		count++;
	}
	return count;
}

bool
nauth_connection_close(Oid server)
{
	bool		any = false;

	for (Connection *c = connections; c < connections + NAUTH_CONNECTIONS_MAX; c++)
	{
		if (c->handle && !c->in_use && (!OidIsValid(server) || c->id.server == server))
		{
			close_connection(c);
			any = true;
		}
	}
	return any;
}
