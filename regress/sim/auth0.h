/*-------------------------------------------------------------------------
 *
 * auth0.h
 *		What the files of the Auth0 profile share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef SIM_AUTH0_H
#define SIM_AUTH0_H

#include "sim.h"

/* What a list request asks for. */
typedef struct Auth0Search
{
	int64_t		page;
	int64_t		per_page;
	bool		totals;
	SimQuery	query;			/* its offset and limit are set last */
	json_t	   *ids;			/* array of user_id, or NULL */
	char	   *email;			/* or NULL */
} Auth0Search;

/* in auth0.c: make the reply an error; always false, to be returned */
extern bool sim_auth0_error(SimReply *reply, int status, const char *code,
							const char *message);
extern bool sim_auth0_not_simulated(SimReply *reply, const char *what);
extern const char *sim_auth0_email(const SimPerson *person);	/* or NULL */

/* in auth0_search.c; to be freed even if it could not be read */
extern bool sim_auth0_read_search(const SimRequest *request, Auth0Search *search,
								  SimReply *reply);
extern void sim_auth0_free_search(Auth0Search *search);

/* in auth0_index.c */
extern void sim_auth0_changed(const SimUser *user, SimEvent event);
extern void sim_auth0_catch_up(void);
extern int64_t sim_auth0_run_search(Auth0Search *search, const json_t *fault,
									SimBuf *users, int64_t *total); /* how many users */

#endif							/* SIM_AUTH0_H */
