/*-------------------------------------------------------------------------
 *
 * connection.h
 *	  The connections that a session keeps between statements.
 *
 * One a server, user mapping and kind.  A connection is in use only while
 * something is sent and its reply received, so any other can be closed at any
 * moment; whoever wants it next gets a new one.  It is used by one at a time,
 * or shared by several, as they like; one of these who has failed leaves the
 * others alone, and nobody else joins them.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_CONNECTION_H
#define NAUTH_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

/* What a connection can be to. */
typedef struct NauthConnectionKind
{
	const char *name;

	/*
	 * Make one in the current memory context, without I/O; NULL with errno
	 * set when there is no descriptor or memory.  May raise an error.
	 */
	void	   *(*open) (void);
	void		(*close) (void *handle);	/* all but its memory; cannot fail */
	int			(*sockets) (const void *handle);	/* open now */
} NauthConnectionKind;

/* Whose connection: of a server's options as they were read once. */
typedef struct NauthConnectionId
{
	Oid			server;
	Oid			mapping;
	uint64_t	catalog;		/* changes with any server or mapping */
	int			idle_timeout;	/* milliseconds it may be kept unused */
} NauthConnectionId;

/*
 * Begin to read options: sets id->catalog.  A connection opened for options
 * that were changed since serves their readers alone, and not for long.
 */
extern void nauth_connection_identify(NauthConnectionId *id);

/* What is done with a connection; true if it may be used again. */
typedef bool (*NauthConnectionUse) (void *handle, void *arg);

/*
 * Open a connection, or take the one that is kept, and use it.  It is closed
 * if use returns false or raises an error.  Raises an error when there is no
 * descriptor left.
 */
extern bool nauth_connection_use(const NauthConnectionId *id,
								 const NauthConnectionKind *kind,
								 NauthConnectionUse use, void *arg);

/*
 * Use the connection that is kept, if there is one and it is not in use, and
 * close it.  Raises an error only if use does.
 */
extern void nauth_connection_use_last(const NauthConnectionId *id,
									  const NauthConnectionKind *kind,
									  NauthConnectionUse use, void *arg);

/* Somebody who shares a connection, in memory of his own. */
typedef struct NauthConnectionUser
{
	struct Connection *connection;	/* NULL: he shares none */
	struct NauthConnectionUser *next;

	/*
	 * He can do without it: cancel what he does with it, and leave.  NULL
	 * while he cannot.  Must not raise an error.
	 */
	void		(*yield) (struct NauthConnectionUser *user);
} NauthConnectionUser;

/*
 * Share a connection, opened if need be, until one leaves.  Returns its handle.
 * With most above 0, NULL instead when that many share it already or no
 * descriptor is left; with 0 an error is raised for want of descriptors.
 */
extern void *nauth_connection_join(NauthConnectionUser *user,
								   const NauthConnectionId *id,
								   const NauthConnectionKind *kind, int most);

/* failed: nobody else may use it.  Never raises an error. */
extern void nauth_connection_leave(NauthConnectionUser *user, bool failed);

/* A connection that is kept, as one sees it from outside. */
typedef struct NauthConnectionInfo
{
	Oid			server;
	Oid			mapping;
	const char *kind;
	int			sockets;
	bool		valid;			/* it has not failed, and options have not
								 * changed since */
	int64_t		uses;
	int64_t		idle;			/* microseconds since the last use */
} NauthConnectionInfo;

/* Connections kept at most. */
#define NAUTH_CONNECTIONS_MAX	16

/* Fills info and returns their number. */
extern int	nauth_connection_list(NauthConnectionInfo info[NAUTH_CONNECTIONS_MAX]);

/*
 * Close those of a server, or all with InvalidOid; true if there was one.  Not
 * those in use, unless all their users can do without.
 */
extern bool nauth_connection_close(Oid server);

#endif							/* NAUTH_CONNECTION_H */
