/*-------------------------------------------------------------------------
 *
 * options.h
 *	  Options of servers and user mappings: one table, one resolved struct.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_OPTIONS_H
#define NAUTH_OPTIONS_H

#include "net/connection.h"
#include "provider/provider.h"

/* Members that options "ignore_changes" and "redact" may name. */
#define NAUTH_MAX_MEMBERS	24

/* Values of option "max_concurrency". */
#define NAUTH_CONCURRENCY_MAX	32

/* All that is known of a server, for one role. */
typedef struct NauthOptions
{
	const char *server;			/* name of the foreign server */
	NauthConnectionId connection;
	const NauthProvider *provider;
	NauthSettings settings;
	int			connect_timeout;	/* milliseconds, of one try */
	int			request_timeout;	/* milliseconds, of one try */
	int			scan_timeout;	/* milliseconds of waiting, of one scan */
	int			refresh_timeout;	/* milliseconds, of one refresh */
	const char *redis_url;		/* or NULL, like the next two */
	const char *redis_user;
	const char *redis_password;
	int			redis_timeout;	/* milliseconds, of one exchange */
	const char *redis_prefix;	/* of its keys */
	int			cache_ttl;		/* milliseconds; 0: nothing is cached */
	int			cache_stale_ttl;	/* milliseconds */
	int64_t		cache_max_bytes;	/* of one listing */
	int			max_requests_per_second;	/* 0: any number */
	double		request_cost;	/* for the planner, of a request */
	double		fdw_tuple_cost; /* the same, of a user that it sends */
	int			max_concurrency;	/* requests of a session in flight at once */
	int			full_refresh_every; /* milliseconds; 0: each refresh is full */
	int			keep_runs;		/* seconds that the log goes back */
	bool		notify;			/* of what a run has changed */
	const char *const *ignore_changes;	/* members of a user whose change
										 * alone is none; NULL, or ended by
										 * NULL */
	const char *const *redact;	/* paths of members that are not stored, as
								 * well */
	const char *directory;		/* what tells directories of a provider apart */
	const char *credential;		/* what tells credentials apart, a secret */
	const char *shape;			/* what else of the options decides what rows
								 * are like */
	const char *answers;		/* all of them that decide what is asked and
								 * what comes of it */
} NauthOptions;

/*
 * Resolve the options of a server, palloc'd.  With a valid userid the user
 * mapping of that role, or the public one, is read too and its credential is
 * required; with InvalidOid there is none, which is enough to plan and to
 * explain.  Raises an error for what is missing.
 */
extern NauthOptions *nauth_options_get(Oid serverid, Oid userid);

/* Raise that the value of an option is none; the hint says what would be one. */
extern _Noreturn void nauth_options_report_value(const char *name, const char *hint);

/* The name of an option that only some providers take. */
extern const char *nauth_options_setting(NauthSetting setting);

/* The user mapping of a role, or the public one, or InvalidOid. */
extern Oid	nauth_options_mapping(Oid serverid, Oid userid);

#endif							/* NAUTH_OPTIONS_H */
