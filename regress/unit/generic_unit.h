/*-------------------------------------------------------------------------
 *
 * generic_unit.h
 *	  Options of the provider "generic" in unit tests.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#ifndef NAUTH_GENERIC_UNIT_H
#define NAUTH_GENERIC_UNIT_H

#include "provider_unit.h"

#define GENERIC	(&nauth_provider_generic)

static inline void
begin_settings(void)
{
	memset(unit_settings.more, 0, sizeof(unit_settings.more));
	unit_settings.page_size = 100;
	unit_settings.more[NAUTH_SETTING_LIST_PATH] = "/users";
	unit_settings.more[NAUTH_SETTING_USERS_MEMBER] = "users";
	unit_settings.more[NAUTH_SETTING_UPDATED_AT_MEMBER] = "updatedAt";
	unit_header = NULL;
}

static inline void
set(NauthSetting setting, const char *value)
{
	unit_settings.more[setting] = value;
}

static inline void
begin_paged(const char *paging)
{
	begin_settings();
	set(NAUTH_SETTING_PAGING, paging);
}

static inline void
begin_cursors(const char *member)
{
	begin_paged("cursor");
	set(NAUTH_SETTING_NEXT_MEMBER, member);
}

#endif							/* NAUTH_GENERIC_UNIT_H */
