/*-------------------------------------------------------------------------
 *
 * keycloak.h
 *	  What the files of the provider "keycloak" share.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_KEYCLOAK_H
#define NAUTH_KEYCLOAK_H

#include "provider.h"

/* What mends a service account that may not read users. */
extern const char nauth_keycloak_roles_hint[];

/* keycloak_listing.c */
extern void nauth_keycloak_write_page(const NauthSettings *settings, const NauthQuery *query,
									  const char *cursor, NauthRequest *request);
extern bool nauth_keycloak_read_page(const NauthSettings *settings, const NauthQuery *query,
									 const char *cursor, const NauthReply *reply,
									 NauthPage *page, NauthError *error);

/* keycloak_token.c */
extern void nauth_keycloak_write_token(const NauthSettings *settings, NauthRequest *request);
extern bool nauth_keycloak_check_token(const char *token, NauthError *error);

#endif							/* NAUTH_KEYCLOAK_H */
