/*-------------------------------------------------------------------------
 *
 * cognito.h
 *	  What the files of the provider "cognito" share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_COGNITO_H
#define NAUTH_COGNITO_H

#include "provider.h"

#define NAUTH_COGNITO_REGION	64	/* bytes of a region, its zero included */

/*
 * cognito_options.c: the region that requests are signed for, which option region
 * tells, or the beginning of the pool's id; false if neither does.  The other two are
 * those of the contract.
 */
extern bool nauth_cognito_region(const NauthSettings *settings, char region[NAUTH_COGNITO_REGION]);
extern bool nauth_cognito_write_url(const NauthSettings *settings, char url[NAUTH_URL_MAX]);
extern const char *nauth_cognito_refuse(const NauthSettings *settings, const char **hint);

#endif							/* NAUTH_COGNITO_H */
