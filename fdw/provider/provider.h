/*-------------------------------------------------------------------------
 *
 * provider.h
 *	  The contract of a provider: everything that differs between user
 *	  directories, as data where it can be and as code where it must be.
 *
 * A provider describes requests and reads replies.  It does no I/O, keeps no
 * state, knows no catalog and allocates nothing, so that it runs on fixture
 * files in a unit test.  Time-outs, retries, rate limits, loops and errors are
 * dealt with once for all of them: by fdw/http.c and fdw/directory.c.
 *
 * To add one: a file with one "const NauthProvider", a line in registry.c,
 * fixtures and unit tests, a simulator profile, a section in docs/providers.md.
 *
 * No PostgreSQL header here.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_PROVIDER_H
#define NAUTH_PROVIDER_H

#include "../error.h"
#include "../moment.h"
#include "../request.h"
#include "../slice.h"

#define NAUTH_ID_MAX		255 /* bytes of a user's id */
#define NAUTH_CURSOR_MAX	1024	/* bytes of a cursor, its zero included */
#define NAUTH_MAX_RULES		3

/*
 * A page of a list by time of change has a user to go on from, one to show who
 * was read last, and one that is new.
 */
#define NAUTH_MIN_CAPACITY	3

/* What a provider is told about a server: never a catalog, never an Oid. */
typedef struct NauthSettings
{
	const char *url;			/* base URL without a slash at its end */
	const char *api_key;
	int			page_size;		/* users to ask for in a page */
} NauthSettings;

typedef enum NauthQueryKind
{
	NAUTH_QUERY_LIST,			/* all users */
	NAUTH_QUERY_CHANGES,		/* all users, those changed last first */
	NAUTH_QUERY_USER,			/* the user with this id */
	NAUTH_QUERY_COUNT			/* how many users a complete listing has */
} NauthQueryKind;

typedef struct NauthQuery
{
	NauthQueryKind kind;
	const char *id;				/* of NAUTH_QUERY_USER; NULL in an EXPLAIN
								 * that does not know it: "{id}" is written */
	int			limit;			/* of NAUTH_QUERY_CHANGES: users of its first
								 * page, or 0 for as many as of any other */
	bool		windowed;		/* LIST and COUNT: only users created from
								 * "from" on and before "before", two moments;
								 * where counts_windows is set.  Who was
								 * created within a millisecond of either may
								 * be in or out. */
	int64_t		from;
	int64_t		before;
	bool		newest;			/* LIST: only the user created last, where
								 * counts_windows is set; a page of one */
} NauthQuery;

typedef enum NauthFlaw
{
	NAUTH_FLAW_NONE,
	NAUTH_FLAW_ID,				/* no id that could be read, or two ids */
	NAUTH_FLAW_TIME,			/* modification time is not a time */
	NAUTH_FLAW_DUPLICATE,		/* a time stands twice */
	NAUTH_FLAW_DEEP,			/* nests too deep */
	NAUTH_FLAW_NUMBER			/* a number out of bounds */
} NauthFlaw;

/* One user of a page: where it lies and what decides whether it is wanted. */
typedef struct NauthUser
{
	NauthSpan	json;			/* in the reply's body */
	char		id[NAUTH_ID_MAX + 1];	/* "" with NAUTH_FLAW_ID and only then */
	bool		has_updated_at;
	bool		has_created_at;
	int64_t		updated_at;		/* moments */
	int64_t		created_at;
	NauthFlaw	flaw;
} NauthUser;

/* One page.  users and capacity are the caller's, the rest the provider's. */
typedef struct NauthPage
{
	NauthUser  *users;
	int			capacity;		/* at least page_size, and NAUTH_MIN_CAPACITY */
	int			count;
	bool		last;			/* the provider's own end mark was seen */
	bool		reread;			/* the directory shifted while paging: nothing
								 * here is used, next goes back a little */
	char		next[NAUTH_CURSOR_MAX]; /* cursor of the next page unless
										 * last; "": there is more, and no way
										 * to it */
	int64_t		total;			/* users in the directory, -1 when not told */
} NauthPage;

/* How the text of a column is taken from a user. */
typedef enum NauthRuleKind
{
	NAUTH_RULE_NONE,			/* ends the list of rules */
	NAUTH_RULE_MEMBER,			/* member a */
	NAUTH_RULE_JOIN,			/* members a and b with a blank between, or
								 * the one of them that is not empty */
	NAUTH_RULE_PICK				/* in the array a, the object whose member b
								 * equals the user's member c: its member d */
} NauthRuleKind;

typedef struct NauthRule
{
	NauthRuleKind kind;
	const char *a;
	const char *b;
	const char *c;
	const char *d;
} NauthRule;

typedef struct NauthMomentRule
{
	const char *member;			/* top-level member */
	NauthMomentForm form;
} NauthMomentRule;

/* The columns of users_sync that are not raw_json.  First text wins. */
typedef struct NauthColumns
{
	const char *id;				/* top-level member */
	NauthRule	name[NAUTH_MAX_RULES + 1];
	NauthRule	email[NAUTH_MAX_RULES + 1];
	NauthMomentRule created_at;
	NauthMomentRule updated_at;
} NauthColumns;

typedef struct NauthProvider
{
	const char *name;			/* value of the server option "provider" */
	const char *url;			/* base URL, always allowed; NULL: every
								 * directory has its own, "url" is required */
	int			page_size;		/* asked for unless an option says otherwise */
	int			min_page_size;	/* of what that option may say */
	int			max_page_size;
	const char *retry_header;	/* seconds to wait after a 429, when it is not
								 * Retry-After; or NULL */
	const char *error_path;		/* of the error code in an error body */
	const char *reserved_id;	/* in the place of an id this asks for
								 * something else; or NULL */
	int			not_found_status;	/* with the code below: this user does not */
	const char *not_found_code; /* exist.  Nothing else ever means that. */
	bool		lists_changes;	/* answers NAUTH_QUERY_CHANGES */
	bool		counts_windows; /* lists and counts windows, exactly */
	const char *const *volatile_members;	/* NULL, or a list ended by NULL:
											 * to differ in these alone is no
											 * change of a user */
	NauthColumns columns;

	/*
	 * Write the request of a query.  cursor is NULL for the first page and
	 * else what read_page put into next; only listings have one.
	 */
	void		(*write_request) (const NauthSettings *settings,
								  const NauthQuery *query, const char *cursor,
								  NauthRequest *request);

	/*
	 * Read a page of a listing from a reply with status 200.  query and
	 * cursor are those the page was asked for with.  False with error set
	 * when the body is not the page that the API promises.
	 */
	bool		(*read_page) (const NauthSettings *settings,
							  const NauthQuery *query, const char *cursor,
							  const NauthReply *reply, NauthPage *page,
							  NauthError *error);

	/* Read the reply, status 200, to NAUTH_QUERY_COUNT. */
	bool		(*read_count) (const NauthReply *reply, int64_t *count,
							   NauthError *error);
} NauthProvider;

/* registry.c: all providers, ended by NULL, and one by its name or NULL */
extern const NauthProvider *const nauth_providers[];
extern const NauthProvider *nauth_provider_find(const char *name);

extern const NauthProvider nauth_provider_clerk;
extern const NauthProvider nauth_provider_better_auth;

/*
 * reading.c: what read_page is written with.
 *
 * nauth_read_limit is how many users to ask for, in the page at this cursor.
 *
 * nauth_read_begin makes a page empty: not the last, no cursor, no total.
 *
 * nauth_read_users splits a JSON array of users into page->users by the
 * provider's column table.  False with error set when it is no array of
 * objects or holds more than page->capacity.
 *
 * nauth_read_user is read_page for a reply to NAUTH_QUERY_USER, the same for
 * all providers: the body is one user, and its id must be the asked one.
 *
 * nauth_read_id_possible tells whether a user can have this id at all.  One
 * that is empty, longer than NAUTH_ID_MAX, "." or ".." is nobody's, and to ask
 * for it would be an error where "no such user" is the answer.
 *
 * nauth_read_is_not_found tells whether a reply is the provider's specific
 * answer that a user does not exist.  It also sets error->code.
 */
extern int	nauth_read_limit(const NauthSettings *settings,
							 const NauthQuery *query, const char *cursor);
extern void nauth_read_begin(NauthPage *page);
extern bool nauth_read_users(const NauthProvider *provider, NauthSpan array,
							 NauthPage *page, NauthError *error);
extern bool nauth_read_user(const NauthProvider *provider, const char *id,
							const NauthReply *reply, NauthUser *user,
							NauthError *error);
extern bool nauth_read_id_possible(const NauthProvider *provider, const char *id);
extern bool nauth_read_is_not_found(const NauthProvider *provider,
									const NauthReply *reply,
									NauthError *error);

#endif							/* NAUTH_PROVIDER_H */
