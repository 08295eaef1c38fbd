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
#define NAUTH_EMAIL_MAX		320 /* of an e-mail address */
#define NAUTH_CURSOR_MAX	4096	/* bytes of a cursor, its zero included */
#define NAUTH_TOKEN_MAX		6144	/* bytes of an access token, its zero
									 * included */
#define NAUTH_CLAIMS_MAX	1024	/* of the claims that a client makes */
#define NAUTH_MEMBER_MAX	64	/* bytes of a name in a path of a member */
#define NAUTH_MAX_RULES		4

/*
 * A page of a list by time of change has a user to go on from, one to show who
 * was read last, and one that is new.
 */
#define NAUTH_MIN_CAPACITY	3

/* Options of a server that only some providers take. */
typedef enum NauthSetting
{
	NAUTH_SETTING_PROJECT_ID,
	NAUTH_SETTING_REALM,
	NAUTH_SETTING_AUDIENCE,
	NAUTH_SETTING_TENANT_ID,
	NAUTH_SETTING_USER_POOL_ID,
	NAUTH_SETTING_LIST_PATH,
	NAUTH_SETTING_ID_MEMBER,

	/* all before tell one directory from another */
	NAUTH_SETTING_HEADER_PREFIX,
	NAUTH_SETTING_TOKEN_TYPE,
	NAUTH_SETTING_TOKEN_URL,
	NAUTH_SETTING_REGION,
	NAUTH_SETTING_PAGING,
	NAUTH_SETTING_USER_PATH,
	NAUTH_SETTING_PAGE_PARAMETER,
	NAUTH_SETTING_SIZE_PARAMETER,
	NAUTH_SETTING_FIRST_PAGE,
	NAUTH_SETTING_NEXT_MEMBER,
	NAUTH_SETTING_TOTAL_MEMBER,
	NAUTH_SETTING_EMAIL_PARAMETER,
	NAUTH_SETTING_SINCE_PARAMETER,
	NAUTH_SETTING_ID_TYPE,
	NAUTH_SETTING_AUTH_HEADER,
	NAUTH_SETTING_AUTH_SCHEME,
	NAUTH_SETTING_NOT_FOUND_STATUS,
	NAUTH_SETTING_NOT_FOUND_MEMBER,
	NAUTH_SETTING_NOT_FOUND_VALUE,

	/* all from here on decide what rows are like */
	NAUTH_SETTING_USERS_MEMBER,
	NAUTH_SETTING_USER_MEMBER,
	NAUTH_SETTING_NAME_MEMBER,
	NAUTH_SETTING_LAST_NAME_MEMBER,
	NAUTH_SETTING_EMAIL_MEMBER,
	NAUTH_SETTING_CREATED_AT_MEMBER,
	NAUTH_SETTING_UPDATED_AT_MEMBER,
	NAUTH_SETTING_DELETED_AT_MEMBER,
	NAUTH_SETTING_TIME_UNIT,
	NAUTH_NUM_SETTINGS
} NauthSetting;

/* What a provider is told about a server: never a catalog, never an Oid. */
typedef struct NauthSettings
{
	const char *url;			/* base URL without a slash at its end */
	const char *api_key;		/* or "" */
	int			page_size;		/* users to ask for in a page */
	const char *client_id;		/* client credentials: an id and one of the
								 * next two, or NULL all */
	const char *client_secret;
	const char *private_key;	/* PEM */
	const char *private_key_id; /* or NULL */
	const char *assertion;		/* JWT signed with the key, for write_token */
	const char *token;			/* got for these, or NULL: the api_key counts */
	const char *access_key_id;	/* what requests are signed with, or NULL */
	const char *secret_access_key;	/* the same */
	const char *session_token;	/* of a temporary access key; or NULL */
	const char *more[NAUTH_NUM_SETTINGS];	/* each NULL if it is not set */
	bool		deprovisioned_deleted;	/* who is deprovisioned is deleted */
} NauthSettings;

typedef enum NauthQueryKind
{
	NAUTH_QUERY_LIST,			/* all users */
	NAUTH_QUERY_CHANGES,		/* all users, those changed last first */
	NAUTH_QUERY_SINCE,			/* all that has changed since a time */
	NAUTH_QUERY_USER,			/* the user with this id */
	NAUTH_QUERY_COUNT			/* how many users a complete listing has */
} NauthQueryKind;

/* By what the users of a listing come. */
typedef enum NauthOrder
{
	NAUTH_ORDER_OWN,			/* whatever the provider pages best by */
	NAUTH_ORDER_OLDEST,			/* by time of creation */
	NAUTH_ORDER_NEWEST
} NauthOrder;

/*
 * What is asked for.  A listing takes at most one of ids, email and a window,
 * and an order of its own only without the first two.  A text may be one of
 * the unknown values of request.h, in an EXPLAIN.
 */
typedef struct NauthQuery
{
	NauthQueryKind kind;
	const char *id;				/* of NAUTH_QUERY_USER */
	const char *const *ids;		/* LIST: only these users, as many as n_ids,
								 * up to max_ids; or NULL */
	int			n_ids;
	int			most_ids;		/* of a scan: rather all users than more; or 0 */
	const char *email;			/* LIST: at least all users with this address,
								 * where finds_emails is set; or NULL */
	NauthOrder	order;			/* LIST: see by_creation */
	int			limit;			/* users that are enough, in pages of at most
								 * that many; or 0.  CHANGES: of its first
								 * page alone */
	bool		once;			/* LIST and CHANGES: the first page is all
								 * that is wanted */
	bool		windowed;		/* LIST and COUNT: only users created from
								 * "from" on and before "before", two moments;
								 * where counts_windows is set.  Who was
								 * created within a millisecond of either may
								 * be in or out. */
	int64_t		from;			/* or NAUTH_MOMENT_UNKNOWN in an EXPLAIN.
								 * SINCE: users changed from then on, at least */
	int64_t		before;
} NauthQuery;

#define NAUTH_MOMENT_UNKNOWN	INT64_MIN

typedef enum NauthFlaw
{
	NAUTH_FLAW_NONE,
	NAUTH_FLAW_ID,				/* no id that could be read, or two ids */
	NAUTH_FLAW_TIME,			/* modification time is not a time */
	NAUTH_FLAW_DELETION,		/* nor is that of its deletion */
	NAUTH_FLAW_DUPLICATE,		/* a time stands twice */
	NAUTH_FLAW_DEEP,			/* nests too deep */
	NAUTH_FLAW_NUMBER			/* a number out of bounds */
} NauthFlaw;

/*
 * One user of a page: where it lies and what decides whether it is wanted.  "gone"
 * is for NAUTH_QUERY_SINCE alone: the user was deleted, and nothing else of it but
 * the id counts.  A user may come several times there, and then the last one counts.
 */
typedef struct NauthUser
{
	NauthSpan	json;			/* in the reply's body */
	char		id[NAUTH_ID_MAX + 1];	/* "" with NAUTH_FLAW_ID and only then */
	bool		has_updated_at;
	bool		has_created_at;
	bool		has_deleted_at; /* the provider keeps who is deleted */
	bool		gone;
	int64_t		updated_at;		/* moments */
	int64_t		created_at;
	int64_t		deleted_at;
	NauthFlaw	flaw;
} NauthUser;

/* One page.  users and capacity are the caller's, the rest the provider's. */
typedef struct NauthPage
{
	NauthUser  *users;
	int			capacity;		/* at least page_size, and NAUTH_MIN_CAPACITY */
	int			count;
	bool		last;			/* the provider's own end mark was seen */
	bool		reread;			/* nothing here is used, and nobody is missed:
								 * next goes back a little, for the directory
								 * shifted, or has to be asked to be sure */
	char		next[NAUTH_CURSOR_MAX]; /* cursor of the next page unless
										 * last; "": there is more, and no way
										 * to it */
	int64_t		total;			/* users in the directory, -1 when not told */
	bool		everybody;		/* of NAUTH_QUERY_SINCE: it cannot be asked
								 * for, and so is a listing of all */
} NauthPage;

/*
 * How the text of a column is taken from a user.  A member is named by its path:
 * "name", or "profile.name" for one within another.
 */
typedef enum NauthRuleKind
{
	NAUTH_RULE_NONE,			/* ends the list of rules */
	NAUTH_RULE_MEMBER,			/* member a */
	NAUTH_RULE_JOIN,			/* members a and b with a blank between, or
								 * the one of them that is not empty */
	NAUTH_RULE_PICK,			/* in the array a, the object whose member b
								 * equals the user's member c: its member d */
	NAUTH_RULE_NAMED,			/* in the array a, the object whose member b
								 * is the text c: its member d; joined to that
								 * of the one with the text e, if there is an
								 * e */
	NAUTH_RULE_FLAGGED,			/* in the array a, the object whose member b
								 * is true: its member d */
	NAUTH_RULE_FIRST,			/* in the array a, the first object: its
								 * member d */
	NAUTH_RULE_ADDRESS			/* member a, if it is an e-mail address */
} NauthRuleKind;

typedef struct NauthRule
{
	NauthRuleKind kind;
	const char *a;
	const char *b;
	const char *c;
	const char *d;
	const char *e;
} NauthRule;

/* A member that a user got by its id has, and a listing has otherwise. */
typedef struct NauthRename
{
	const char *name;			/* top-level member */
	const char *listed;			/* what a listing calls it; NULL: it has none */
} NauthRename;

typedef struct NauthMomentRule
{
	const char *member;			/* path of a member */
	NauthMomentForm form;
} NauthMomentRule;

/* The columns of users_sync that are not raw_json.  First text wins. */
typedef struct NauthColumns
{
	const char *id;				/* path of a member */
	bool		id_is_number;	/* it may be an integer, too: its digits */
	NauthRule	name[NAUTH_MAX_RULES + 1];
	NauthRule	email[NAUTH_MAX_RULES + 1];
	NauthMomentRule created_at;
	NauthMomentRule updated_at;
	NauthMomentRule deleted_at; /* of users who are deleted and still there;
								 * no member: there are none */
	const char *status;			/* top-level member, or NULL; deleted_at
								 * counts */
	const char *deleted_status; /* only if it has this value, and with the
								 * option deprovisioned_deleted; without that
								 * time it is updated_at */
} NauthColumns;

/* How many pages of a listing. */
typedef enum NauthPages
{
	NAUTH_PAGES_NONE,
	NAUTH_PAGES_FIRST,			/* for the order of equal ones may change */
	NAUTH_PAGES_ALL
} NauthPages;

/* An error code that may be shown. */
typedef struct NauthKnownCode
{
	const char *code;
	const char *hint;			/* as in NauthError; NULL: what mends all
								 * errors of such a status */
} NauthKnownCode;

/* What a failure with this error code is, where the status does not tell. */
typedef struct NauthCodeKind
{
	const char *code;
	NauthErrorKind kind;		/* NAUTH_ERROR_RATE_LIMIT: it is tried again */
} NauthCodeKind;

/* The end of a url_hint. */
#define NAUTH_OTHER_URL_HINT	"Another one has to be allowed by a superuser: " NAUTH_ALLOW_URL_SQL

typedef struct NauthProvider
{
	const char *name;			/* value of the server option "provider" */
	const char *url;			/* base URL; NULL: every directory has its
								 * own, "url" is required unless write_url
								 * makes it */
	const char *const *own_urls;	/* URLs that are always allowed, as
									 * nauth_url_check takes them; or NULL */
	const char *url_hint;		/* as in NauthError, for an address that is
								 * not allowed; or NULL */
	bool		takes_key;		/* credentials: api_key */
	bool		takes_client;	/* client_id and client_secret */
	bool		takes_key_pair; /* client_id and private_key */
	bool		takes_access_key;	/* access_key_id and secret_access_key */
	uint64_t	takes;			/* options: bits of NAUTH_TAKES */
	uint64_t	needs;			/* of these, those without which there is no
								 * asking */
	const char *const *choices[NAUTH_NUM_SETTINGS]; /* what each may be, a
													 * list ended by NULL,
													 * whatever the case;
													 * NULL: anything */
	bool		knows_deprovisioned;	/* takes deprovisioned_deleted */
	int			page_size;		/* asked for unless an option says otherwise */
	int			min_page_size;	/* of what that option may say */
	int			max_page_size;
	const char *retry_header;	/* seconds to wait after a 429, when it is not
								 * Retry-After; or NULL */
	const char *page_header;	/* that read_page and read_count look into, or
								 * NULL */
	const char *error_path;		/* of the error code in an error body */
	const char *status_path;	/* of another one there, for when that is none
								 * of known_codes; or NULL */
	const NauthKnownCode *known_codes;	/* ended by one that is NULL; any
										 * other is not shown: it could be
										 * anything */
	const NauthCodeKind *code_kinds;	/* ended by one that is NULL; or NULL:
										 * the status tells all */
	bool		codes_are_shapes;	/* a code may have a namespace before a
									 * '#' and more behind a ':' */
	const char *id_path;		/* of the id of the request in an error body;
								 * or NULL */
	const char *id_header;		/* has that id where the body has none; or
								 * NULL.  Common ones are looked at anyway. */
	bool		has_aliases;	/* a user may answer to an id that it has not:
								 * nobody has that id, but this is no proof
								 * that somebody who had it is gone */
	const char *reserved_id;	/* in the place of an id this asks for
								 * something else; or NULL */
	bool		lists_only;		/* does not answer NAUTH_QUERY_USER */

	/*
	 * Both together, in a reply about one user: this user does not exist.
	 * Nothing else ever means that, but for find_user.  Without a code no
	 * answer does, and nobody is ever found to be deleted.
	 */
	int			not_found_status;
	const char *not_found_code;
	const char *unconfirmed;	/* no answer does, whatever the above: what
								 * mends that, as in NauthError; or NULL */
	bool		lists_changes;	/* answers NAUTH_QUERY_CHANGES */
	bool		lists_since;	/* answers NAUTH_QUERY_SINCE, read_page then
								 * ends with what is there now */
	int			since_days;		/* for which it knows that, or 0: for ever */
	bool		tells_gone;		/* and has who was deleted */
	bool		counts_windows; /* lists and counts windows, exactly */
	bool		counts;			/* answers NAUTH_QUERY_COUNT, exactly */
	const char *count_path;		/* where in the reply, without read_count */
	int			max_ids;		/* of a listing by ids; 0: there is none */
	bool		(*is_id) (const char *id);	/* whether a user can have it, or
											 * NULL: any */
	const char *never_in_id;	/* characters that no id has; or NULL */
	const char *odd_ids;		/* an id that begins with one of these means
								 * something else there; or NULL */
	bool		finds_emails;	/* lists users by e-mail address */
	NauthPages	by_creation;	/* pages of a listing that may be ordered so */
	const char *const *secret_paths;	/* members that are credentials, and
										 * never stored: paths, through
										 * arrays, too; NULL, or ended by NULL */
	const char *const *volatile_members;	/* NULL, or a list ended by NULL:
											 * to differ in these alone is no
											 * change of a user */
	const NauthRename *renames; /* NULL, or ended by one without a name */
	NauthColumns columns;

	/*
	 * Where what it can do depends on options of the server: change a copy of
	 * the provider, after refuse had nothing against them; or NULL.  What it
	 * puts there must live as long as the options.
	 */
	void		(*adapt) (const NauthSettings *settings, struct NauthProvider *copy);

	/*
	 * Why options of the server do not go together, a message of constant
	 * text, with the hint that mends it; NULL if they do.  Or NULL itself.
	 */
	const char *(*refuse) (const NauthSettings *settings, const char **hint);

	/*
	 * Where url is NULL: write the base URL that options of the server tell,
	 * which refuse had nothing against.  False if they do not tell it.  Or
	 * NULL itself.
	 */
	bool		(*write_url) (const NauthSettings *settings, char url[NAUTH_URL_MAX]);

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

	/*
	 * Whether a reply of another status than 200, or that is not JSON, is one
	 * that read_page reads, too; or NULL: never.
	 */
	bool		(*is_page) (const NauthSettings *settings,
							const NauthQuery *query, const char *cursor,
							const NauthReply *reply);

	/*
	 * Where the user is in a reply with status 200 to NAUTH_QUERY_USER; or
	 * NULL: it is the body.  False with *missing set where such a reply says
	 * that the user does not exist, or else with error set.
	 */
	bool		(*find_user) (const NauthSettings *settings, const NauthReply *reply,
							  NauthSpan *json, bool *missing, NauthError *error);

	/*
	 * Read the reply, status 200, to NAUTH_QUERY_COUNT; or NULL: it is the
	 * integer at count_path.
	 */
	bool		(*read_count) (const NauthReply *reply, int64_t *count,
							   NauthError *error);

	/*
	 * Where takes_client or takes_key_pair is set: write the request for an
	 * access token, whose reply is that of RFC 6749; and look whether one
	 * that was got is good for reading users, in as far as it tells.  The
	 * latter may be NULL.
	 */
	void		(*write_token) (const NauthSettings *settings, NauthRequest *request);
	bool		(*check_token) (const char *token, NauthError *error);

	/*
	 * Where takes_key_pair is set: write the claims of the assertion, a JSON
	 * object.  now is in seconds since 1970, nonce is what makes it unique.
	 * False if they do not fit, or a setting would need escaping in JSON.
	 */
	bool		(*write_claims) (const NauthSettings *settings, int64_t now, const char *nonce,
								 char claims[NAUTH_CLAIMS_MAX]);
} NauthProvider;

#define NAUTH_TAKES(setting)	(UINT64_C(1) << (setting))

/* registry.c: all providers, ended by NULL, and one by its name or NULL */
extern const NauthProvider *const nauth_providers[];
extern const NauthProvider *nauth_provider_find(const char *name);

extern const NauthProvider nauth_provider_auth0;
extern const NauthProvider nauth_provider_better_auth;
extern const NauthProvider nauth_provider_clerk;
extern const NauthProvider nauth_provider_cognito;
extern const NauthProvider nauth_provider_firebase;
extern const NauthProvider nauth_provider_generic;
extern const NauthProvider nauth_provider_keycloak;
extern const NauthProvider nauth_provider_okta;
extern const NauthProvider nauth_provider_scim;
extern const NauthProvider nauth_provider_stack;
extern const NauthProvider nauth_provider_supabase;
extern const NauthProvider nauth_provider_workos;

#endif							/* NAUTH_PROVIDER_H */
