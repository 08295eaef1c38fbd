/*-------------------------------------------------------------------------
 *
 * libcurl.c
 *		When libcurl is initialized, one that waits for host names, and one that
 *		gives header lines as its manual says: with nothing after them.
 *
 * It is not linked here.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim.h"

/* Beside the one who wants the headers; the server's is the only one. */
static curl_write_callback on_header;

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

/* The line, at the end of memory. */
static size_t
pass_header(char *line, size_t size, size_t count, void *arg)
{
	size_t		len = size * count;
	size_t		page = sysconf(_SC_PAGESIZE);
	size_t		room = (len + page - 1) / page * page;
	char	   *memory = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t		result;

	if (memory == MAP_FAILED || mprotect(memory + room, page, PROT_NONE) != 0)
		abort();
	memcpy(memory + room - len, line, len);
	result = on_header(memory + room - len, size, count, arg);
	munmap(memory, room + page);
	return result;
}

/* Whatever is set, a number or a pointer, is passed in the same way on such a machine. */
#undef curl_easy_setopt
CURLcode
curl_easy_setopt(CURL *easy, CURLoption option,...)
{
	static CURLcode (*next) (CURL *, CURLoption,...) = NULL;
	va_list		args;
	void	   *value;
	char		control[8];

	_Static_assert(sizeof(void *) == sizeof(curl_off_t) && sizeof(void *) == sizeof(long), "another way of passing");
	va_start(args, option);
	value = va_arg(args, void *);
	va_end(args);
	if (next == NULL)
		next = (CURLcode (*) (CURL *, CURLoption,...)) nauth_shim_next("curl_easy_setopt");
	if (option == CURLOPT_HEADERFUNCTION && nauth_shim_read("bareheaders", control, sizeof(control)))
	{
		on_header = (curl_write_callback) value;
		value = (void *) pass_header;
	}
	return next(easy, option, value);
}
