/*-------------------------------------------------------------------------
 *
 * url_fuzz.c
 *	  Fuzz what decides whether an address may be asked.
 *
 * A line of the input is neon_auth_fdw.allowed_urls, the rest an address, which is
 * read as one of a provider and as one of a Redis.  What is allowed then goes where
 * it says to a reader that knows nothing of escapes: no user, no "..", no control
 * character, and no http or other host unless the setting has it.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "net/url.h"

#define TEXT_MAX	(NAUTH_URL_MAX + 1024)
#define OWN_HOST	"https://api.example.com"


static const char *const own[] = {OWN_HOST "/v1", "https://*.example.org", "https://idp.*.example.net", NULL};

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
	if (!holds)
		abort();
}

/* Whether the path has a segment of dots, however it is written. */
static bool
has_dots(const char *path)
{
	while (*(path += strcspn(path, "/?")) == '/')
	{
		size_t		dots = 0;

		for (path++; *path == '.' || strncasecmp(path, "%2e", 3) == 0; dots++)
			path += *path == '.' ? 1 : 3;
		if ((dots == 1 || dots == 2) && (*path == '\0' || *path == '/' || *path == '?' || *path == '#'))
			return true;
	}
	return false;
}

/* What holds for any address that may be asked. */
static void
check_allowed(const char *text, const char *target)
{
	const char *authority = strchr(text, ':');
	size_t		len;

	/* one slash will do for libcurl, which has the last word */
	check(authority != NULL && authority[1] == '/');
	authority += 1 + strspn(authority + 1, "/");
	len = strcspn(authority, "/?#");
	check(memchr(authority, '@', len) == NULL && memchr(authority, '\\', len) == NULL);
	check(strchr(text, '#') == NULL || strchr(text, '#')[1] == '\0');
	check(target[0] == '/' && !has_dots(target));
	for (const char *c = target; *c; c++)
		check((unsigned char) *c > ' ' && *c != 0x7F);

	/* by the provider's own alone */
	if (nauth_allowed_urls[0] == '\0')
	{
		check(strncasecmp(text, "https:/", 7) == 0);
		check(strncasecmp(text, OWN_HOST, strlen(OWN_HOST)) != 0 ||
			  (strncmp(target, "/v1", 3) == 0 && strchr("/?", target[3]) != NULL));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char setting[TEXT_MAX];
	static char target[NAUTH_URL_MAX];
	char		text[TEXT_MAX];
	const uint8_t *end = memchr(data, '\n', size);
	size_t		len = end == NULL ? 0 : (size_t) (end - data);
	NauthRedisAddress address;
	NauthError	error = {0};

	if (size - len >= TEXT_MAX || len >= TEXT_MAX)
		return 0;
	memcpy(setting, data, len);
	setting[len] = '\0';
	nauth_allowed_urls = setting;
	if (end != NULL)
		len++;
	memcpy(text, data + len, size - len);
	text[size - len] = '\0';

	if (nauth_url_check(text, own, target, &error))
		check_allowed(text, target);
	else
		check(error.kind != NAUTH_OK);
	if (nauth_url_check_base(text) == NAUTH_OK)
		check(strpbrk(text, "?#") == NULL);
	if (nauth_url_redis(text, &address) == NAUTH_OK)
		check((address.socket[0] == '/') != (address.host[0] != '\0') && address.database >= 0 &&
			  strspn(address.port, "0123456789") == strlen(address.port));
	memset(&error, 0, sizeof(error));
	if (!nauth_url_check_redis(text, &address, &error))
		check(error.kind != NAUTH_OK);
	return 0;
}
