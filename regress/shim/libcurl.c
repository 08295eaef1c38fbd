/*-------------------------------------------------------------------------
 *
 * libcurl.c
 *		When libcurl is initialized, and one that waits for host names.
 *
 * It is not linked here.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <unistd.h>

#include "shim.h"

CURLcode
curl_global_init(long flags)
{
	CURLcode	(*next) (long) = nauth_shim_next("curl_global_init");
	char		mark[PATH_MAX];

	nauth_shim_mark(mark, "curl", getpid(), 0);
	return next(flags);
}

curl_version_info_data *
curl_version_info(CURLversion version)
{
	static curl_version_info_data changed;
	curl_version_info_data *(*next) (CURLversion) = nauth_shim_next("curl_version_info");
	char		value[8];

	if (!nauth_shim_read("oldcurl", value, sizeof(value)))
		return next(version);
	changed = *next(version);
	changed.features &= ~CURL_VERSION_ASYNCHDNS;
	return &changed;
}
