/*-------------------------------------------------------------------------
 *
 * sim.h
 *		What the files of the provider simulator share.
 *
 * Layers, lowest first: buffer, generate, raw, order, users, query; then fault,
 * mutate, control and the providers (clerk, better_auth), which answer requests;
 * then server (the only user of libmicrohttpd) and main.  Everything runs in one
 * thread, so nothing here is locked.  Running out of memory ends the program.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SIM_H
#define SIM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SIM_MAX_EMAILS 8
#define SIM_MAX_PARAMS 1024
#define SIM_MAX_HEADERS 64
#define SIM_MAX_SETTINGS 32
#define SIM_MAX_HIDDEN 16
#define SIM_ID_SIZE 64
#define SIM_EMAIL_SIZE 128
#define SIM_TIME_NONE INT64_MIN

/* A growing byte string; zeroed memory is an empty one. */
typedef struct SimBuf
{
	char	   *data;
	size_t		len;
	size_t		cap;			/* always above len once data is set */
} SimBuf;

/* A growing list of user indexes. */
typedef struct SimIndexes
{
	int64_t    *item;
	size_t		n;
	size_t		cap;
} SimIndexes;

typedef enum SimOrder
{
	SIM_BY_CREATED,
	SIM_BY_UPDATED
} SimOrder;

/* Which members of a SimUser or a SimChange were set explicitly. */
enum
{
	SIM_SET_FIRST = 1,
	SIM_SET_LAST = 2,
	SIM_SET_USERNAME = 4,
	SIM_SET_EMAILS = 8,
	SIM_SET_CREATED = 16,
	SIM_SET_UPDATED = 32,
	SIM_SET_RAW = 64,
	SIM_SET_STATE = 128
};

/*
 * One user.  Users that nobody touched exist only as an index; those that
 * were loaded, created, changed or deleted have a record of this type in
 * users.c.  Times are milliseconds since 1970.
 */
typedef struct SimUser
{
	int64_t		index;			/* place in creation order; never reused */
	int64_t		created;
	int64_t		updated;
	bool		deleted;
	unsigned	set;			/* SIM_SET_ bits of what replaces the
								 * generated values */
	char	   *first;
	char	   *last;
	char	   *username;
	char	   *emails[SIM_MAX_EMAILS];
	int			n_emails;
	char	   *id;				/* NULL: made from the index */
	char	   *state;			/* NULL, or what only the profile understands,
								 * such as "deprovisioned" */
	char	   *raw;			/* NULL, or the JSON to serve verbatim */
	size_t		raw_len;
	struct SimUser *next_by_index;
	struct SimUser *next_by_id;
} SimUser;

/* What to create or to change; strings are borrowed, copied when stored. */
typedef struct SimChange
{
	unsigned	set;
	const char *first;
	const char *last;
	const char *username;
	const char *emails[SIM_MAX_EMAILS];
	int			n_emails;
	int64_t		created;
	int64_t		updated;
	const char *id;				/* only for creating; NULL: made from index */
	const char *state;
	const char *raw;
	size_t		raw_len;
} SimChange;

/* The readable part of a user: generated values with the user's own on top. */
typedef struct SimPerson
{
	const char *first;			/* each may be NULL */
	const char *last;
	const char *username;
	const char *emails[SIM_MAX_EMAILS];
	int			n_emails;
	int			primary;		/* index into emails, -1 for none */
	uint64_t	hash;			/* source of everything else about the user */
	bool		plain;			/* created by request: no invented extras */
	char		space[4][SIM_EMAIL_SIZE];
} SimPerson;

/* What is asked of the directory.  Bounds are inclusive. */
typedef struct SimQuery
{
	SimOrder	order;
	bool		descending;
	int64_t		min[2];			/* by SimOrder */
	int64_t		max[2];
	int64_t		offset;
	int64_t		limit;			/* -1: all */
	bool		after;			/* start behind this key, in list direction */
	int64_t		after_time;
	int64_t		after_index;
	bool		by_id;			/* in the order of ids instead */
	bool		narrowed;		/* only users of "include" */
	SimIndexes	include;
	SimIndexes	exclude;
} SimQuery;

typedef struct SimPage
{
	SimIndexes	users;
	int64_t		total;			/* matching users, whatever the page */
} SimPage;

typedef enum SimKind
{
	SIM_LIST,
	SIM_COUNT,
	SIM_GET,
	SIM_OTHER
} SimKind;

typedef struct SimParam
{
	char	   *name;
	char	   *value;
} SimParam;

/* One HTTP request, from its first line to the end of its reply. */
typedef struct SimRequest
{
	const char *method;
	char	   *target;			/* as sent */
	char	   *path;			/* decoded */
	SimParam	params[SIM_MAX_PARAMS];
	int			n_params;
	SimParam	headers[SIM_MAX_HEADERS];	/* borrowed */
	int			n_headers;
	bool		malformed;		/* the target could not be decoded */
	SimBuf		body;
	SimKind		kind;
	json_t	   *fault;			/* the fault that hits this request, or NULL */
} SimRequest;

typedef struct SimReply
{
	int			status;
	const char *content_type;	/* NULL: none sent */
	SimBuf		body;
	json_t	   *headers;		/* object of strings, or NULL */
	bool		rejected;		/* the request was one the profile refuses */
} SimReply;

/* How the ids of generated users look. */
typedef enum SimIdForm
{
	SIM_ID_BASE62,				/* a prefix and base62 digits */
	SIM_ID_UUID,
	SIM_ID_INTEGER				/* by --set ids=integer alone */
} SimIdForm;

/* What happened to a user. */
typedef enum SimEvent
{
	SIM_CREATED,
	SIM_UPDATED,
	SIM_DELETED
} SimEvent;

/*
 * One provider's dialect.  "failure" fills a reply with what the provider
 * sends along with a status; "put_user" writes a user that is not raw;
 * "has_field" knows the members that an application may add and hide, and is
 * NULL where no application can.  "changed" is told what became of a user, who
 * is then as the change left it, and may be NULL, as may everything below it.
 */
typedef struct SimProvider
{
	const char *name;
	const char *id_prefix;
	SimIdForm	id_form;
	int			id_digits;		/* base62 digits after the prefix, 11 or more */
	bool		email_required; /* each user has exactly one e-mail */
	SimKind		(*classify) (const SimRequest *request);
	void		(*answer) (SimRequest *request, SimReply *reply);
	void		(*failure) (int status, SimReply *reply);
	void		(*put_user) (SimBuf *buf, const SimUser *user);
	bool		(*has_field) (const char *name);
	void		(*changed) (const SimUser *user, SimEvent event);
	const char *const *settings;	/* names that --set knows, ended by NULL */
	const char *id_member;		/* of users served verbatim, besides those */
	const char *created_member; /* of Clerk and Better Auth */
	const char *updated_member;
} SimProvider;

typedef struct SimConfig
{
	const SimProvider *provider;
	int64_t		users;			/* generated users */
	uint64_t	seed;
	const char *key;
	const char *bind;
	int			port;
	const char *port_file;
	const char *fixture;
	int64_t		latency_ms;
	int64_t		clock;			/* first time given to a change, or
								 * SIM_TIME_NONE */
	const char *hidden[SIM_MAX_HIDDEN]; /* members of a user not served */
	int			n_hidden;
	bool		last_seen;		/* users have a lastSeenAt */
	bool		bounds_included;	/* in windows of time of creation */
	const char *settings[SIM_MAX_SETTINGS]; /* NAME=VALUE of --set */
	int			n_settings;
} SimConfig;

typedef struct SimStats
{
	int64_t		kinds[SIM_OTHER + 1];
	int64_t		tokens;			/* access tokens given out */
	int64_t		rejected;
	int64_t		faults;
	int64_t		connections;
	int64_t		bytes;
	int64_t		in_flight;
	int64_t		in_flight_max;
	char	   *last_target;
} SimStats;

extern SimConfig sim_config;
extern SimStats sim_stats;
extern const SimProvider sim_auth0;
extern const SimProvider sim_better_auth;
extern const SimProvider sim_clerk;
extern const SimProvider sim_cognito;
extern const SimProvider sim_firebase;
extern const SimProvider sim_generic;
extern const SimProvider sim_keycloak;
extern const SimProvider sim_okta;
extern const SimProvider sim_scim;
extern const SimProvider sim_stack;
extern const SimProvider sim_supabase;
extern const SimProvider sim_workos;

/* in buffer.c */
extern void *sim_alloc(size_t size);	/* zeroed */
extern void *sim_realloc(void *old, size_t size);
extern char *sim_strdup(const char *text);	/* NULL stays NULL */
extern char *sim_memdup(const char *bytes, size_t len); /* adds a NUL */
extern char *sim_read_file(const char *path, size_t *len);	/* NULL: errno */
extern void sim_buf_grow(SimBuf *buf, size_t len);
extern void sim_buf_int(SimBuf *buf, int64_t value);
extern void sim_buf_string(SimBuf *buf, const char *text);	/* or null */
extern void sim_buf_escape(SimBuf *buf, const char *text);	/* without quotes */
extern void sim_buf_iso(SimBuf *buf, int64_t ms);	/* without quotes */
extern void sim_buf_name(SimBuf *buf, const char *name);
extern void sim_buf_member(SimBuf *buf, const char *name,
						   const char *text);	/* or null */
extern void sim_buf_optional(SimBuf *buf, const char *name,
							 const char *text); /* or nothing */
extern void sim_buf_time(SimBuf *buf, const char *name, int64_t ms);
extern void sim_buf_printf(SimBuf *buf, const char *format,...)
			__attribute__((format(printf, 2, 3)));
extern void sim_buf_free(SimBuf *buf);
extern int64_t sim_parse_iso(const char *text); /* or SIM_TIME_NONE */
extern bool sim_parse_int(const char *text, int64_t min, int64_t max,
						  int64_t *value);
extern bool sim_is_uuid(const char *text);
extern bool sim_is_one_of(const char *name, const char *const *table, size_t n);
extern uint64_t sim_hash_text(uint64_t hash, const char *text); /* hash: of what is
																 * before */
extern void sim_indexes_add(SimIndexes *list, int64_t index);
extern void sim_indexes_add_once(SimIndexes *list, int64_t index);
extern void sim_indexes_sort(SimIndexes *list); /* and drop duplicates */

/* in generate.c: pure functions of the seed and an index */
extern uint64_t sim_hash(uint64_t value, uint64_t salt);
extern void sim_generate_token(SimBuf *buf, uint64_t hash, int digits);
extern void sim_generate_id(int64_t index, char *id);	/* SIM_ID_SIZE */
extern int64_t sim_generate_index(const char *id);	/* -1: not of our making */
extern int64_t sim_generate_time(SimOrder order, int64_t base);
extern int64_t sim_generate_end(void);	/* later than every generated time */
extern void sim_generate_person(const SimUser *user, SimPerson *person);
extern void sim_generate_name(SimBuf *buf, const SimPerson *person);
extern int64_t sim_generate_email_index(const char *email); /* a guess, or -1 */

/* in raw.c: JSON that need not be valid */
extern bool sim_raw_split(const char *json, size_t len,
						  void (*element) (const char *json, size_t len));
extern void sim_raw_read(SimChange *change, json_t **owner);

/* in order.c */
extern void sim_order_place(SimUser *user, bool enter);
extern int64_t sim_order_size(SimOrder order);
extern int64_t sim_order_rank(SimOrder order, int64_t time, int64_t index);
extern int64_t sim_order_select(SimOrder order, int64_t rank);
extern void sim_order_stop(void);

/* in users.c */
extern void sim_users_start(void);
extern void sim_users_stop(void);
extern int64_t sim_users_end(void); /* one past the last index ever given */
extern int64_t sim_users_base(int64_t index);
extern int64_t sim_users_fixture(void); /* users of the fixture */
extern bool sim_users_get(int64_t index, SimUser *user);	/* or deleted */
extern int64_t sim_users_find(const char *id);	/* or deleted; -1: none */
extern bool sim_users_find_live(const char *id, SimUser *user);
extern void sim_users_id(const SimUser *user, char *id);	/* SIM_ID_SIZE */
extern void sim_users_find_email(const char *email, SimIndexes *found);
extern int64_t sim_users_create(const SimChange *change);	/* -1: id taken */
extern bool sim_users_update(int64_t index, const SimChange *change);
extern bool sim_users_delete(int64_t index);
extern void sim_users_put(SimBuf *buf, const SimUser *user);

/* in query.c */
extern void sim_query_init(SimQuery *query);
extern void sim_query_narrow(SimQuery *query, SimIndexes *users);	/* owns users */
extern int64_t sim_query_count(const SimQuery *query);
extern void sim_query_run(SimQuery *query, const json_t *fault, SimPage *page);
extern void sim_query_put(SimBuf *buf, const SimPage *page);	/* JSON array */
extern void sim_query_free(SimQuery *query, SimPage *page);

/* in fault.c */
extern const char *sim_fault_add(json_t *spec); /* NULL, or what is wrong */
extern void sim_fault_clear(void);
extern json_t *sim_fault_take(SimKind kind);	/* a reference, or NULL */
extern int64_t sim_fault_int(const json_t *fault, const char *name,
							 int64_t otherwise);
extern bool sim_fault_true(const json_t *fault, const char *name);
extern bool sim_fault_trick(const json_t *fault, const char *name);
extern void sim_fault_add_hidden(const json_t *fault, SimIndexes *hidden);
extern bool sim_fault_hides(const json_t *fault, int64_t index);
extern int64_t sim_fault_total(const json_t *fault, int64_t total);
extern bool sim_fault_replaces(const json_t *fault);
extern void sim_fault_reply(const json_t *fault, SimReply *reply);

/* in control.c */
extern void sim_control_answer(SimRequest *request, SimReply *reply);
extern const char *sim_control_read(const json_t *body, SimChange *change,
									char **space);
extern bool sim_control_update(int64_t index, const SimChange *change);

/* in mutate.c */
extern const char *sim_mutate(const json_t *mutate, bool check_only);

/* in request.c */
extern SimRequest *sim_request_new(const char *target);
extern void sim_request_retarget(SimRequest *request, const char *target);
extern void sim_request_free(SimRequest *request);
extern const char *sim_request_param(const SimRequest *request,
									 const char *name);
extern const char *sim_request_header(const SimRequest *request,
									  const char *name);
extern bool sim_request_authorized(const SimRequest *request);
extern bool sim_request_bearer(const SimRequest *request, const char *key);

extern json_t *sim_request_json(const SimRequest *request, size_t flags);
extern void sim_reply_header(SimReply *reply, const char *name,
							 const char *value);

/* in token.c: access tokens for client credentials, the client being "client" */
extern void sim_token_answer(SimRequest *request, SimReply *reply,
							 const char *claims);	/* JSON of the token, or
													 * NULL */
extern void sim_token_give(SimReply *reply, const char *claims);
extern void sim_token_refuse(SimReply *reply, int status, const char *code,
							 const char *description);
extern const char *sim_token_form(SimRequest *request, const char *name);
extern bool sim_token_accepted(const SimRequest *request);
extern void sim_token_stop(void);

/* in assertion.c */
extern json_t *sim_assertion_claims(const char *jwt, const char *key_id);
extern bool sim_assertion_good(const char *jwt, const char *client,
							   const char *path);

/* in main.c: the value of --set NAME=VALUE, or NULL */
extern const char *sim_setting(const char *name);
extern const char *sim_setting_or(const char *name, const char *otherwise);
extern bool sim_setting_is(const char *name, const char *value);
extern int64_t sim_setting_int(const char *name, int64_t min,
							   int64_t otherwise);

/* in server.c */
extern bool sim_server_start(int *port);
extern void sim_server_run(void);	/* returns after sim_server_quit */
extern void sim_server_quit(int signal_number);
extern void sim_server_release(void);	/* drop the requests that hang */
extern void sim_server_stop(void);

static inline bool
sim_user_has_state(const SimUser *user, const char *state)
{
	return user->state && strcmp(user->state, state) == 0;
}

/* Appending is inline because a listing is nothing else. */
static inline void
sim_buf_add(SimBuf *buf, const char *bytes, size_t len)
{
	if (buf->cap - buf->len <= len)
		sim_buf_grow(buf, len);
	memcpy(buf->data + buf->len, bytes, len);
	buf->len += len;
}

static inline void
sim_buf_text(SimBuf *buf, const char *text)
{
	sim_buf_add(buf, text, strlen(text));
}

#define SIM_IS_ONE_OF(name, table) \
	sim_is_one_of(name, table, sizeof(table) / sizeof((table)[0]))

#define SIM_LITERAL(buf, text) sim_buf_add(buf, "" text, sizeof(text) - 1)

#endif							/* SIM_H */
