/*-------------------------------------------------------------------------
 *
 * url.c
 *	  Which addresses may be asked.
 *
 * The rules are kept before any byte leaves.  Only the address that a name
 * resolves to is checked elsewhere, in policy.c, when it is known.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>

#include "net/url.h"

char	   *nauth_allowed_urls = NULL;
char	   *nauth_ca_file = NULL;

/* The parts of a URL that rules look at; the last two may be NULL. */
typedef enum NauthUrlPart
{
	NAUTH_URL_SCHEME,
	NAUTH_URL_HOST,
	NAUTH_URL_PORT,				/* the scheme's own if none is written */
	NAUTH_URL_PATH,				/* without "." and ".." */
	NAUTH_URL_QUERY,
	NAUTH_URL_FRAGMENT
} NauthUrlPart;

#define NAUTH_URL_PARTS		(NAUTH_URL_FRAGMENT + 1)

typedef struct NauthUrl
{
	char	   *part[NAUTH_URL_PARTS];	/* by NauthUrlPart */
} NauthUrl;

/* The schemes that options may use. */
static const struct
{
	const char *name;
	bool		redis;
	bool		tls;
}			schemes[] = {
	{"https", false, true},
	{"http", false, false},
	{"redis", true, false},
	{"rediss", true, true},
};

#define REDIS_PORT		"6379"
#define UNIX_SCHEME		"unix:"

static const struct
{
	CURLUPart	part;
	unsigned int flags;
	CURLUcode	missing;		/* the code that is no error */
}			url_parts[NAUTH_URL_PARTS] = {
	[NAUTH_URL_SCHEME] = {CURLUPART_SCHEME, 0, CURLUE_OK},
	[NAUTH_URL_HOST] = {CURLUPART_HOST, 0, CURLUE_OK},
	[NAUTH_URL_PORT] = {CURLUPART_PORT, CURLU_DEFAULT_PORT, CURLUE_NO_PORT},
	[NAUTH_URL_PATH] = {CURLUPART_PATH, 0, CURLUE_OK},
	[NAUTH_URL_QUERY] = {CURLUPART_QUERY, 0, CURLUE_NO_QUERY},
	[NAUTH_URL_FRAGMENT] = {CURLUPART_FRAGMENT, 0, CURLUE_NO_FRAGMENT},
};

/*
 * Split a URL as it will be understood when sent.  Returns OK, MEMORY, or
 * FORBIDDEN_URL for text that is none or has a user in it.  Free it always.
 */
static NauthErrorKind
url_split(NauthUrl *url, const char *text)
{
	CURLU	   *handle = curl_url();
	CURLUcode	code;

	memset(url, 0, sizeof(*url));
	if (handle == NULL)
		return NAUTH_ERROR_MEMORY;
	code = curl_url_set(handle, CURLUPART_URL, text,
						CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME);
	for (int i = 0; code == CURLUE_OK && i < NAUTH_URL_PARTS; i++)
	{
		code = curl_url_get(handle, url_parts[i].part, &url->part[i],
							url_parts[i].flags);
		if (code == url_parts[i].missing)
			code = CURLUE_OK;
	}
	curl_url_cleanup(handle);

	if (code == CURLUE_OUT_OF_MEMORY)
		return NAUTH_ERROR_MEMORY;
	return code == CURLUE_OK ? NAUTH_OK : NAUTH_ERROR_FORBIDDEN_URL;
}

static void
url_free(NauthUrl *url)
{
	for (int i = 0; i < NAUTH_URL_PARTS; i++)
		curl_free(url->part[i]);
}

/* Index in schemes, or -1. */
static int
url_scheme(const NauthUrl *url)
{
	for (int i = 0; i < lengthof(schemes); i++)
		if (pg_strcasecmp(url->part[NAUTH_URL_SCHEME], schemes[i].name) == 0)
			return i;
	return -1;
}

/* libcurl knows the ports of the schemes that it speaks itself. */
static const char *
url_port(const NauthUrl *url)
{
	return url->part[NAUTH_URL_PORT] ? url->part[NAUTH_URL_PORT] : REDIS_PORT;
}

/*
 * Whether this is an address without tricks.  A host in other letters than
 * ASCII may be looked up as another one.  curl has resolved "." and ".." in
 * the path; written as %2e they would be left to the server.
 */
static bool
url_is_plain(const NauthUrl *url)
{
	if (url_scheme(url) < 0 || url->part[NAUTH_URL_FRAGMENT] != NULL)
		return false;
	for (const char *c = url->part[NAUTH_URL_HOST]; *c; c++)
	{
		if (IS_HIGHBIT_SET(*c))
			return false;
	}
	for (const char *c = url->part[NAUTH_URL_PATH]; *c == '/';)
	{
		int			dots = 0;

		for (c++; *c == '.' || pg_strncasecmp(c, "%2e", 3) == 0; dots++)
			c += *c == '.' ? 1 : 3;
		/* some servers take "..;x" for ".." */
		if ((dots == 1 || dots == 2) &&
			(*c == '/' || *c == '\0' || *c == ';' || pg_strncasecmp(c, "%3b", 3) == 0))
			return false;
		c += strcspn(c, "/");
	}
	return true;
}

/*
 * Whether the path has what some server may take for a '/'.  Ids in a request
 * may have it, the base URL that they come after may not: behind one, ".."
 * would lead out of what is allowed.
 */
static bool
url_hides_slash(const NauthUrl *url)
{
	for (const char *c = url->part[NAUTH_URL_PATH]; *c; c++)
		if (*c == '\\' || pg_strncasecmp(c, "%2f", 3) == 0 || pg_strncasecmp(c, "%5c", 3) == 0)
			return true;
	return false;
}

/* Whether url lies under base, or its host below that of base. */
static bool
url_is_under(const NauthUrl *url, const NauthUrl *base, bool below_host)
{
	const char *host = url->part[NAUTH_URL_HOST];
	const char *path = base->part[NAUTH_URL_PATH];
	size_t		len = strlen(path);

	if (below_host)
	{
		size_t		above = strlen(host);
		size_t		below = strlen(base->part[NAUTH_URL_HOST]);

		if (above < below + 2 || host[above - below - 1] != '.')
			return false;
		host += above - below;
	}
	while (len > 0 && path[len - 1] == '/')
		len--;
	return pg_strcasecmp(url->part[NAUTH_URL_SCHEME], base->part[NAUTH_URL_SCHEME]) == 0 &&
		pg_strcasecmp(host, base->part[NAUTH_URL_HOST]) == 0 &&
		strcmp(url_port(url), url_port(base)) == 0 &&
		strncmp(url->part[NAUTH_URL_PATH], path, len) == 0 &&
		(url->part[NAUTH_URL_PATH][len] == '/' || url->part[NAUTH_URL_PATH][len] == '\0');
}

/*
 * Put into the place of the "*" that is one label of a host what stands there in this
 * host.  False if there is nothing, or it does not fit.
 */
static bool
fill_label(char text[NAUTH_URL_MAX], const char *host)
{
	char	   *start = strstr(text, "://");
	char	   *star = start ? strchr(start, '*') : NULL;
	size_t		len;

	if (star == NULL)
		return true;
	for (const char *c = start; c < star; c++)
	{
		if (*c != '.')
			continue;
		host += strcspn(host, ".");
		if (*host++ == '\0')
			return false;
	}
	len = strcspn(host, ".");
	if (len == 0 || strlen(text) + len > NAUTH_URL_MAX)
		return false;
	memmove(star + len, star + 1, strlen(star + 1) + 1);
	memcpy(star, host, len);
	return true;
}

/*
 * Whether url lies under this base URL of len bytes.  A "*" is one label of the host
 * of a provider's own URL; at the beginning of another one it is any number of them.
 */
static NauthErrorKind
url_check_entry(const NauthUrl *url, const char *text, size_t len, bool own)
{
	static const char any[] = "https://*.";
	char		base_text[NAUTH_URL_MAX];
	bool		below_host = false;
	NauthUrl	base;
	NauthErrorKind kind;

	if (len >= sizeof(base_text))
		return NAUTH_ERROR_FORBIDDEN_URL;
	memcpy(base_text, text, len);
	base_text[len] = '\0';

	/* A '*' is no part of a URL, so curl must not see it. */
	if (own && !fill_label(base_text, url->part[NAUTH_URL_HOST]))
		return NAUTH_ERROR_FORBIDDEN_URL;
	if (!own && pg_strncasecmp(base_text, any, strlen(any)) == 0)
	{
		below_host = true;
		memmove(base_text + strlen("https://"), base_text + strlen(any),
				len - strlen(any) + 1);
	}

	kind = url_split(&base, base_text);
	if (kind == NAUTH_OK &&
		(!url_is_plain(&base) || base.part[NAUTH_URL_QUERY] != NULL ||
		 !url_is_under(url, &base, below_host)))
		kind = NAUTH_ERROR_FORBIDDEN_URL;
	url_free(&base);
	return kind;
}

/* Whether an entry of neon_auth_fdw.allowed_urls allows it. */
static NauthErrorKind
url_check_list(const NauthUrl *url)
{
	static const char blank[] = ", \t\n";
	NauthErrorKind kind = NAUTH_ERROR_FORBIDDEN_URL;

	for (const char *list = nauth_allowed_urls; list && *list && kind == NAUTH_ERROR_FORBIDDEN_URL;)
	{
		size_t		len = strcspn(list, blank);

		if (len > 0)
			kind = url_check_entry(url, list, len, false);
		list += len;
		list += strspn(list, blank);
	}
	return kind;
}

/* Whether it is plain, and allowed by the provider's own URLs or the list. */
static NauthErrorKind
url_check(const NauthUrl *url, const char *const *own)
{
	NauthErrorKind kind = NAUTH_ERROR_FORBIDDEN_URL;

	if (!url_is_plain(url))
		return kind;
	for (; own && *own && schemes[url_scheme(url)].tls && kind == NAUTH_ERROR_FORBIDDEN_URL; own++)
		kind = url_check_entry(url, *own, strlen(*own), true);
	return kind == NAUTH_ERROR_FORBIDDEN_URL ? url_check_list(url) : kind;
}

/* Set the error that a check came to; true if it is none. */
static bool
report_check(NauthErrorKind kind, NauthError *error)
{
	if (kind == NAUTH_OK)
		return true;
	return nauth_error_set(error, kind, kind == NAUTH_ERROR_MEMORY ? "out of memory" :
						   "it is not below an allowed URL");
}

bool
nauth_url_check(const char *text, const char *const *own,
				char target[NAUTH_URL_MAX], NauthError *error)
{
	NauthUrl	url;
	NauthErrorKind kind = url_split(&url, text);

	if (kind == NAUTH_OK)
		kind = url_check(&url, own);
	if (kind == NAUTH_OK)
	{
		const char *query = url.part[NAUTH_URL_QUERY];

		if (snprintf(target, NAUTH_URL_MAX, "%s%s%s", url.part[NAUTH_URL_PATH],
					 query ? "?" : "", query ? query : "") >= NAUTH_URL_MAX)
			kind = NAUTH_ERROR_FORBIDDEN_URL;
	}
	url_free(&url);
	return report_check(kind, error);
}

NauthErrorKind
nauth_url_check_base(const char *text)
{
	NauthUrl	url;
	NauthErrorKind kind = url_split(&url, text);

	/* an empty query or fragment is none, but what is appended would be one */
	if (kind == NAUTH_OK &&
		(!url_is_plain(&url) || url_hides_slash(&url) || strpbrk(text, "?#") != NULL ||
		 schemes[url_scheme(&url)].redis))
		kind = NAUTH_ERROR_FORBIDDEN_URL;
	url_free(&url);
	return kind;
}

/* Copy a part if it fits. */
static bool
copy_part(char *place, size_t size, const char *part)
{
	return strlcpy(place, part, size) < size;
}

/* The database is the only segment of the path, if there is one. */
static bool
read_database(const char *path, int *database)
{
	const char *digits = path + (*path == '/');

	if (strlen(digits) > 4 || strspn(digits, "0123456789") != strlen(digits))
		return false;
	*database = (int) strtol(digits, NULL, 10);
	return true;
}

/* "unix:///path" is another way to write "unix:/path". */
static bool
read_socket_path(const char *path, NauthRedisAddress *address)
{
	if (strncmp(path, "//", 2) == 0)
		path += 2;
	return path[0] == '/' && path[1] != '\0' && path[1] != '/' &&
		copy_part(address->socket, sizeof(address->socket), path);
}

static bool
read_redis_address(const NauthUrl *url, NauthRedisAddress *address)
{
	if (!url_is_plain(url) || !schemes[url_scheme(url)].redis ||
		url->part[NAUTH_URL_QUERY] != NULL)
		return false;
	address->tls = schemes[url_scheme(url)].tls;
	return copy_part(address->host, sizeof(address->host), url->part[NAUTH_URL_HOST]) &&
		copy_part(address->port, sizeof(address->port), url_port(url)) &&
		read_database(url->part[NAUTH_URL_PATH], &address->database);
}

NauthErrorKind
nauth_url_redis(const char *text, NauthRedisAddress *address)
{
	NauthUrl	url;
	NauthErrorKind kind;

	memset(address, 0, sizeof(*address));
	if (strncmp(text, UNIX_SCHEME, strlen(UNIX_SCHEME)) == 0)
		return read_socket_path(text + strlen(UNIX_SCHEME), address) ?
			NAUTH_OK : NAUTH_ERROR_FORBIDDEN_URL;
	kind = url_split(&url, text);
	if (kind == NAUTH_OK && !read_redis_address(&url, address))
		kind = NAUTH_ERROR_FORBIDDEN_URL;
	url_free(&url);
	return kind;
}

bool
nauth_url_check_redis(const char *text, NauthRedisAddress *address, NauthError *error)
{
	static const char *const local[] = {"127.0.0.1", "localhost", "[::1]"};
	NauthErrorKind kind = nauth_url_redis(text, address);
	char		target[NAUTH_URL_MAX];

	if (kind != NAUTH_OK || address->socket[0])
		return report_check(kind, error);
	for (int i = 0; i < lengthof(local); i++)
		if (pg_strcasecmp(address->host, local[i]) == 0)
			return true;
	return nauth_url_check(text, NULL, target, error);
}
