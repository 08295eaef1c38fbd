/*-------------------------------------------------------------------------
 *
 * nauth_probe.c
 *		What tests need inside the process of neon_auth_fdw.
 *
 * The curl part stands for another extension that uses libcurl by itself, in
 * its own way, and knows nothing of ours.  The malloc part and that of calls
 * pass on to the library in regress/shim, if that is preloaded.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#define TIMEOUT_SECONDS 60L

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(probe_fail_malloc);
PG_FUNCTION_INFO_V1(probe_malloc_calls);
PG_FUNCTION_INFO_V1(probe_fail_call);
PG_FUNCTION_INFO_V1(probe_calls);
PG_FUNCTION_INFO_V1(probe_held);
PG_FUNCTION_INFO_V1(probe_process);
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

/*
 * probe_fail_call(call, n, times, error, place): so many calls of this name fail
 * with this errno, from the nth on, at this place; n of 0 = off.
 */
Datum
probe_fail_call(PG_FUNCTION_ARGS)
{
	void		(*fail_call) (const char *, long, long, int, const char *) = shim_function("nauth_shim_fail_call");

	fail_call(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_INT32(1), PG_GETARG_INT32(2),
			  PG_GETARG_INT32(3), text_to_cstring(PG_GETARG_TEXT_PP(4)));
	PG_RETURN_VOID();
}

/* probe_calls(): how many there were since. */
Datum
probe_calls(PG_FUNCTION_ARGS)
{
	long		(*calls) (void) = shim_function("nauth_shim_calls");

	PG_RETURN_INT64(calls());
}

/* probe_malloc_bytes(): what is allocated now, the server's own included. */
Datum
probe_malloc_bytes(PG_FUNCTION_ARGS)
{
	struct mallinfo2 info = mallinfo2();

	PG_RETURN_INT64((int64) (info.uordblks + info.hblkhd));
}

/*
 * probe_held(query): the first value it returns, as a notice, with all interrupts
 * held off until then.
 */
Datum
probe_held(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));

	HOLD_INTERRUPTS();
	SPI_connect();
	if (SPI_execute(query, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "the query has no row");
	elog(NOTICE, "held: %s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
	RESUME_INTERRUPTS();
	PG_RETURN_VOID();
}

/* Add what becomes of each signal, and which ones are blocked. */
static void
describe_signals(StringInfo text)
{
	sigset_t	blocked;

	sigprocmask(SIG_SETMASK, NULL, &blocked);
	for (int number = 1; number < 32; number++)
	{
		struct sigaction action;

		if (sigaction(number, NULL, &action) == 0)
			appendStringInfo(text, "%d %p %x %d\n", number, (void *) action.sa_handler,
							 action.sa_flags, sigismember(&blocked, number));
	}
}

/*
 * probe_process(): all that a library might change of the process it is in: signals,
 * timers but the one that is the server's, locale, umask, folder, environment.
 */
Datum
probe_process(PG_FUNCTION_ARGS)
{
	StringInfoData text;
	struct itimerval timer;
	char		folder[MAXPGPATH];
	mode_t		mask = umask(0);

	umask(mask);
	initStringInfo(&text);
	describe_signals(&text);
	for (int which = ITIMER_VIRTUAL; which <= ITIMER_PROF; which++)
		if (getitimer(which, &timer) == 0)
			appendStringInfo(&text, "timer %ld %ld\n", (long) timer.it_value.tv_sec, (long) timer.it_interval.tv_sec);
	appendStringInfo(&text, "locale %s\numask %o\nfolder %s\n", setlocale(LC_ALL, NULL), (unsigned) mask,
					 getcwd(folder, sizeof(folder)));
	for (char **variable = environ; *variable; variable++)
		appendStringInfo(&text, "%s\n", *variable);
	PG_RETURN_TEXT_P(cstring_to_text(text.data));
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
