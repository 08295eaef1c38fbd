/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  The connections that a session keeps between statements.
 *
 * They are kept here alone, and this is the one place that decides when one
 * goes: whatever failed at once; what was idle too long, or
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
 * Descriptors, of which the server's own file cache must know: epoll, timer and
 * libcurl's wakeup pair; for each user a socket, one more while IPv6 and IPv4
 * race, the resolver's pair and its socket; and at least one socket is kept.
 */
#define DESCRIPTORS_OPEN	4
#define DESCRIPTORS_USER	5

typedef struct Connection
{
	NauthConnectionId id;
	const NauthConnectionKind *kind;
	void	   *handle;			/* NULL: this place is free */
	MemoryContext cxt;
	int			descriptors;	/* reserved for it */
	int			users;			/* it is in use by */
	NauthConnectionUser *sharing;	/* all of them, if they share it */
	bool		failed;			/* for one of them: close it after the last */
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
		if (c->handle == NULL || c->users > 0)
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

/* Have those who share it leave; true if they all could. */
static bool
clear_users(Connection *connection)
{
	NauthConnectionUser *next;

	for (NauthConnectionUser *user = connection->sharing; user; user = next)
	{
		next = user->next;
		if (user->yield)
			user->yield(user);
	}
	return connection->users == 0;
}

/*
 * Close the one used longest ago.  If all are in use, have somebody leave who
 * can; false if nobody can.
 */
static bool
make_room(void)
{
	Connection *oldest = NULL;

	for (Connection *c = connections; c < connections + NAUTH_CONNECTIONS_MAX; c++)
		if (c->handle && c->users == 0 && (oldest == NULL || c->last_use < oldest->last_use))
			oldest = c;
	if (oldest)
	{
		close_connection(oldest);
		return true;
	}
	for (Connection *c = connections; c < connections + NAUTH_CONNECTIONS_MAX; c++)
	{
		for (NauthConnectionUser *user = c->sharing; user; user = user->next)
		{
			if (user->yield)
			{
				user->yield(user);
				return true;
			}
		}
	}
	return false;
}

/* How many descriptors its users need, and what it keeps open besides. */
static int
descriptors_of(const Connection *connection)
{
	int			sockets = connection->handle ? connection->kind->sockets(connection->handle) : 0;

	return DESCRIPTORS_OPEN + DESCRIPTORS_USER * connection->users +
		Max(sockets - connection->users, connection->users == 0);
}

/*
 * Reserve what a connection needs, if need be in place of another's; false if
 * that cannot be had and needs not.  One more must be free: each wait for a
 * socket makes a wait event set, which asks for its descriptor under the same
 * limit.
 */
static bool
reserve(Connection *connection, bool needed)
{
	int			more = descriptors_of(connection) - connection->descriptors;

	if (more <= 0)
		nauth_wait_release(-more);
	else
	{
		while (!nauth_wait_reserve(Max(more, 0) + 1))
		{
			if (!needed)
				return false;
			if (!make_room())
				ereport(ERROR,
						errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("no descriptors are left for a connection"),
						errhint("Raise max_files_per_process, or close what this session holds open."));
			/* somebody may have left this very connection */
			more = descriptors_of(connection) - connection->descriptors;
		}
		nauth_wait_release(1 + Max(-more, 0));
	}
	connection->descriptors += more;
	return true;
}

/* The connection kept for id, or NULL; one in use only to share it. */
static Connection *
find_kept(const NauthConnectionId *id, const NauthConnectionKind *kind, bool share)
{
	for (Connection *c = connections; c < connections + NAUTH_CONNECTIONS_MAX; c++)
		if (c->handle && !c->failed && (c->users == 0 || (share && c->sharing)) &&
			c->kind == kind && c->id.server == id->server &&
			c->id.mapping == id->mapping && c->id.catalog == id->catalog)
			return c;
	return NULL;
}

/*
 * The connection kept for id, or else a free place of the table.  Not inlined,
 * for its variables would then look clobbered by the PG_TRY below.
 */
static pg_noinline Connection *
take_place(const NauthConnectionId *id, const NauthConnectionKind *kind, bool share)
{
	Connection *kept = find_kept(id, kind, share);

	if (kept)
		return kept;
	for (;;)
	{
		for (Connection *c = connections; c < connections + NAUTH_CONNECTIONS_MAX; c++)
			if (c->handle == NULL && c->users == 0)
				return c;
		if (!make_room())
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
				errmsg("could not create the descriptors of a connection: %m"),
				no_memory ? 0 : errhint("Raise max_files_per_process, or close what this session holds open."));
}

/* It is used no more: close it if it must be, else keep what it needs. */
static void
end_use(Connection *connection)
{
	if (connection->users == 0 && connection->failed)
	{
		close_connection(connection);
		return;
	}
	(void) reserve(connection, false);
	connection->in_transaction = true;
	connection->uses++;
	connection->last_use = nauth_clock();
}

bool
nauth_connection_use(const NauthConnectionId *id, const NauthConnectionKind *kind,
					 NauthConnectionUse use, void *arg)
{
	Connection *const connection = take_place(id, kind, false);
	bool		again;

	connection->id = *id;
	connection->users = 1;

	PG_TRY();
	{
		(void) reserve(connection, true);
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

	connection->users = 0;
	connection->failed = !again;
	end_use(connection);
	return again;
}

void
nauth_connection_use_last(const NauthConnectionId *id, const NauthConnectionKind *kind,
						  NauthConnectionUse use, void *arg)
{
	Connection *connection = find_kept(id, kind, false);

	if (connection == NULL)
		return;
	(void) use(connection->handle, arg);
	close_connection(connection);
}

/* One user less. */
static void
unlink_user(NauthConnectionUser *user)
{
	Connection *connection = user->connection;

	for (NauthConnectionUser **link = &connection->sharing; *link; link = &(*link)->next)
	{
		if (*link == user)
		{
			*link = user->next;
			break;
		}
	}
	connection->users--;
	user->connection = NULL;
}

void *
nauth_connection_join(NauthConnectionUser *user, const NauthConnectionId *id,
					  const NauthConnectionKind *kind, int most)
{
	Connection *const connection = take_place(id, kind, true);
	bool		reserved;

	if (most > 0 && connection->users >= most)
		return NULL;
	connection->id = *id;
	connection->users++;
	user->connection = connection;
	user->yield = NULL;
	user->next = connection->sharing;
	connection->sharing = user;

	PG_TRY();
	{
		reserved = reserve(connection, most == 0);
		if (reserved && connection->handle == NULL)
			open_connection(connection, kind);
	}
	PG_CATCH();
	{
		unlink_user(user);
		if (connection->users == 0)
			close_connection(connection);
		PG_RE_THROW();
	}
	PG_END_TRY();

	if (reserved)
		return connection->handle;
	unlink_user(user);
	if (connection->handle == NULL)
		close_connection(connection);
	return NULL;
}

void
nauth_connection_leave(NauthConnectionUser *user, bool failed)
{
	Connection *connection = user->connection;

	if (connection == NULL)
		return;
	unlink_user(user);
	connection->failed |= failed;
	end_use(connection);
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
		info->valid = c->id.catalog == catalog && !c->failed;
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
		if (c->handle && (!OidIsValid(server) || c->id.server == server) && clear_users(c))
		{
			close_connection(c);
			any = true;
		}
	}
	return any;
}
