/*-------------------------------------------------------------------------
 *
 * nauth_probe.c
 *		What tests need inside the process of neon_auth_fdw.
 *
 * The curl part stands for another extension that uses libcurl by itself, in
 * its own way, and knows nothing of ours.  The malloc part passes on to the
 * library in regress/shim, if that is preloaded.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <malloc.h>

#include "fmgr.h"
#include "utils/builtins.h"

#define TIMEOUT_SECONDS 60L

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(probe_fail_malloc);
PG_FUNCTION_INFO_V1(probe_malloc_calls);
PG_FUNCTION_INFO_V1(probe_malloc_bytes);
PG_FUNCTION_INFO_V1(probe_curl_get);
PG_FUNCTION_INFO_V1(probe_curl_cleanup);

static bool curl_started = false;

static void *
shim_function(const char *name)
{
	void	   *function = dlsym(RTLD_DEFAULT, name);

	if (function == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("nauth_shim.so is not preloaded into this server"));
	return function;
}

/* probe_fail_malloc(n): fail the nth allocation from now on, once; 0 = off. */
Datum
probe_fail_malloc(PG_FUNCTION_ARGS)
{
	void		(*fail_malloc) (long) = shim_function("nauth_shim_fail_malloc");

	fail_malloc(PG_GETARG_INT32(0));
	PG_RETURN_VOID();
}

/* probe_malloc_calls(): how many there were since, or until it was set to 0. */
Datum
probe_malloc_calls(PG_FUNCTION_ARGS)
{
	long		(*malloc_calls) (void) = shim_function("nauth_shim_malloc_calls");

	PG_RETURN_INT64(malloc_calls());
}

/* probe_malloc_bytes(): what is allocated now, the server's own included. */
Datum
probe_malloc_bytes(PG_FUNCTION_ARGS)
{
	struct mallinfo2 info = mallinfo2();

	PG_RETURN_INT64((int64) (info.uordblks + info.hblkhd));
}

static size_t
drop_body(char *data, size_t size, size_t count, void *arg)
{
	return size * count;
}

/* probe_curl_get(url): the status of the reply, 0 if none came. */
Datum
probe_curl_get(PG_FUNCTION_ARGS)
{
	char	   *url = text_to_cstring(PG_GETARG_TEXT_PP(0));
	long		status = 0;
	CURL	   *easy;

	if (!curl_started)
		curl_started = curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK;
	easy = curl_started ? curl_easy_init() : NULL;
	if (easy == NULL)
		ereport(ERROR, errmsg("could not start libcurl"));
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, TIMEOUT_SECONDS);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_body);
	if (curl_easy_perform(easy) == CURLE_OK)
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(easy);
	PG_RETURN_INT32((int32) status);
}

/* probe_curl_cleanup(): give back what the first probe_curl_get() began. */
Datum
probe_curl_cleanup(PG_FUNCTION_ARGS)
{
	if (curl_started)
		curl_global_cleanup();
	curl_started = false;
	PG_RETURN_VOID();
}
