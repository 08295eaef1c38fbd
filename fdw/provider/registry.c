/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  All providers.
 *
 * A new provider is a line here.  Nothing else may name one.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "provider.h"

#include <string.h>

const NauthProvider *const nauth_providers[] = {
	&nauth_provider_auth0,
	&nauth_provider_better_auth,
	&nauth_provider_clerk,
	&nauth_provider_cognito,
	&nauth_provider_firebase,
	&nauth_provider_generic,
	&nauth_provider_keycloak,
	&nauth_provider_okta,
	&nauth_provider_scim,
	&nauth_provider_stack,
	&nauth_provider_supabase,
	&nauth_provider_workos,
	NULL
};

const NauthProvider *
nauth_provider_find(const char *name)
{
	for (int i = 0; nauth_providers[i] != NULL; i++)
	{
		if (strcmp(nauth_providers[i]->name, name) == 0)
			return nauth_providers[i];
	}
	return NULL;
}
