/*-------------------------------------------------------------------------
 *
 * engine.c
 *	  libcurl inside a backend: several transfers, or one stream.
 *
 * curl tells us which sockets and timers it wants watched and never waits
 * itself; we wait in nauth_wait, the only place that may raise an error while
 * something is under way.  The on_... functions are called by curl: they note
 * what is wrong in failure, and neither palloc nor ereport, for a longjmp
 * through curl makes its handles unusable and unfreeable.
 *
 * Whatever is moved on, all handles of the engine are.  There is one timer for
 * what curl wants and for what each handle is due; it is set last, when both
 * are known.
 *
 * An engine is used as long as all goes well.  After a failure, a cancel or a
 * lack of memory connection.c gives it to nobody else, and closes it with its
 * connections as soon as those who share it have ended: a handle left in the
 * middle of something is not worth the risk.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/engine.h"
#include "net/url.h"

/* Microseconds for what is there already, before anything is said to be late. */
#define STEPS_TIME		INT64CONST(20000)

/* What holds for all that is sent. */
static const struct
{
	CURLoption	option;
	long		value;
}			policy_numbers[] = {
	{CURLOPT_NOSIGNAL, 1},
	{CURLOPT_SSL_VERIFYPEER, 1},
	{CURLOPT_SSL_VERIFYHOST, 2},
	{CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
	{CURLOPT_NETRC, CURL_NETRC_IGNORED},
	{CURLOPT_TCP_KEEPALIVE, 1},
#if LIBCURL_VERSION_NUM >= 0x075700
	/* else freeing a handle waits for its getaddrinfo thread */
	{CURLOPT_QUICK_EXIT, 1},
#endif
#if LIBCURL_VERSION_NUM < 0x075500
	{CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS},
#endif
};

static const struct
{
	CURLoption	option;
	const char *value;
}			policy_texts[] = {
#if LIBCURL_VERSION_NUM >= 0x075500
	{CURLOPT_PROTOCOLS_STR, "http,https"},
#endif
	{CURLOPT_PROXY, ""},		/* nor one from the environment */
};

/*
 * Every call of curl that may start a thread stands between these two.  A
 * thread inherits the mask, and a signal must not find one in which to run the
 * server's handlers.
 */
static void
curl_enter(NauthEngine *engine)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &engine->signals);
}

static void
curl_leave(NauthEngine *engine)
{
	pthread_sigmask(SIG_SETMASK, &engine->signals, NULL);
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *data)
{
	NauthEngine *engine = arg;

	/* CURL_POLL_REMOVE has neither bit */
	if (!nauth_poll_watch(&engine->poll, fd, what & CURL_POLL_IN, what & CURL_POLL_OUT))
		engine->broken = "a socket could not be watched";
	return 0;
}

static int
on_timer(CURLM *multi, long milliseconds, void *arg)
{
	((NauthEngine *) arg)->due = milliseconds < 0 ? PG_INT64_MAX :
		nauth_clock() + milliseconds * INT64CONST(1000);
	return 0;
}

/* The name is resolved now, and curl leaves out the close-on-exec flag. */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	NauthHandle *handle = arg;
	int			fd;

	if (nauth_engine_forbids(&address->addr))
	{
		nauth_error_set(&handle->failure, NAUTH_ERROR_FORBIDDEN_ADDRESS, NULL);
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
				address->protocol);
	if (fd >= 0)
		handle->engine->sockets++;
	return fd;
}

/* A connection may be closed long after the handle that opened it. */
static int
on_close_socket(void *arg, curl_socket_t fd)
{
	NauthEngine *engine = arg;

	engine->sockets--;
	return close(fd);
}

/*
 * curl's own state is of the process, and lives as long: another extension
 * may use it too.  Not at load time, for it does not survive a fork.
 */
static void
start_curl(NauthEngine *engine)
{
	static bool started = false;

	if (started)
		return;
	if ((curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS) == 0)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("libcurl cannot look up host names without blocking"),
				errhint("Use a libcurl with the threaded resolver or c-ares."));
	curl_enter(engine);
	started = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	curl_leave(engine);
	if (!started)
		ereport(ERROR,
				errcode(ERRCODE_FDW_ERROR),
				errmsg("could not initialize libcurl"));
}

/*
 * The socket pairs that curl makes for itself lack the close-on-exec flag.  A
 * pair gets the lowest free numbers, which are found by taking them first.
 */
static void
expect_pair(NauthEngine *engine, int pair[2])
{
	for (int i = 0; i < 2; i++)
		pair[i] = fcntl(engine->poll.epoll, F_DUPFD_CLOEXEC, 0);
	for (int i = 0; i < 2; i++)
		close(pair[i]);
}

static void
protect_pair(const int pair[2])
{
	for (int i = 0; i < 2; i++)
		(void) fcntl(pair[i], F_SETFD, FD_CLOEXEC);
}

/* Make the handle that keeps the connections. */
static bool
open_multi(NauthEngine *engine)
{
	CURLM	   *multi;
	int			pair[2];

	expect_pair(engine, pair);
	engine->multi = multi = curl_multi_init();
	protect_pair(pair);
	errno = ENOMEM;				/* curl does not say */
	if (multi == NULL)
		return false;
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, engine);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_TIMERDATA, engine);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 1L);
#if LIBCURL_VERSION_NUM >= 0x081400
	curl_multi_setopt(multi, CURLMOPT_QUICK_EXIT, 1L);
#endif
	return true;
}

bool
nauth_engine_open(NauthEngine *engine)
{
	int			reason;

	memset(engine, 0, sizeof(*engine));
	engine->poll.epoll = engine->poll.timer = -1;
	engine->due = engine->armed = PG_INT64_MAX;
	start_curl(engine);
	if (nauth_poll_open(&engine->poll) && open_multi(engine))
		return true;
	reason = errno;
	nauth_engine_close(engine);
	errno = reason;
	return false;
}

void
nauth_engine_keep(NauthEngine *engine, int connections)
{
	curl_multi_setopt(engine->multi, CURLMOPT_MAXCONNECTS, (long) connections);
}

/*
 * These start no thread, so signals may come: before libcurl 7.87 they wait for
 * one that looks up a name.
 */
static void
take_out(NauthHandle *handle)
{
	if (handle->added)
		curl_multi_remove_handle(handle->engine->multi, handle->easy);
	handle->added = false;
}

void
nauth_engine_end(NauthHandle *handle)
{
	NauthEngine *engine = handle->engine;

	if (engine == NULL)
		return;
	take_out(handle);
	if (handle->easy)
		curl_easy_cleanup(handle->easy);
	for (NauthHandle **link = &engine->handles; *link; link = &(*link)->next)
	{
		if (*link == handle)
		{
			*link = handle->next;
			break;
		}
	}
	memset(handle, 0, sizeof(*handle));
}

void
nauth_engine_close(NauthEngine *engine)
{
	while (engine->handles)
		nauth_engine_end(engine->handles);
	if (engine->multi != NULL)
		curl_multi_cleanup(engine->multi);
	engine->multi = NULL;
	nauth_poll_close(&engine->poll);
}

/*
 * Trust the authorities of neon_auth_fdw.ca_file alone.  libcurl has a folder of
 * others by default, to which later versions return for NULL; a file in its
 * place holds none.
 */
static CURLcode
set_trust(CURL *easy)
{
	CURLcode	code;

	if (nauth_ca_file == NULL || nauth_ca_file[0] == '\0')
		return CURLE_OK;
	code = curl_easy_setopt(easy, CURLOPT_CAPATH, nauth_ca_file);
	if (code == CURLE_OK || code == CURLE_NOT_BUILT_IN)
		code = curl_easy_setopt(easy, CURLOPT_CAINFO, nauth_ca_file);
	return code;
}

void
nauth_engine_join(NauthEngine *engine, NauthHandle *handle)
{
	memset(handle, 0, sizeof(*handle));
	handle->engine = engine;
	handle->due = PG_INT64_MAX;
	handle->next = engine->handles;
	engine->handles = handle;
}

CURLcode
nauth_engine_prepare(NauthHandle *handle, const char *url, int connect_timeout)
{
	CURLcode	code = CURLE_OK;
	CURL	   *easy = curl_easy_init();

	handle->easy = easy;
	if (easy == NULL)
		return CURLE_OUT_OF_MEMORY;
	for (size_t i = 0; code == CURLE_OK && i < lengthof(policy_numbers); i++)
		code = curl_easy_setopt(easy, policy_numbers[i].option, policy_numbers[i].value);
	for (size_t i = 0; code == CURLE_OK && i < lengthof(policy_texts); i++)
		code = curl_easy_setopt(easy, policy_texts[i].option, policy_texts[i].value);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_URL, url);
	if (code == CURLE_OK)
		code = set_trust(easy);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) connect_timeout);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, handle);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, handle);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, handle->engine);
	return code;
}

/*
 * When curl has no memory to look up a name it closes descriptor 0 (seen in
 * 7.88), which a file of the server would get next, to be closed in its turn.
 */
static void
mend_standard_input(void)
{
	if (fcntl(STDIN_FILENO, F_GETFD) < 0 && errno == EBADF)
		(void) open("/dev/null", O_RDONLY);
}

static void
finish(NauthHandle *handle, CURLcode code, bool no_memory)
{
	if (code != CURLE_OK)
		mend_standard_input();
	handle->ended = true;
	handle->engine->news = true;
	handle->no_memory = no_memory && code != CURLE_OK;
	/* a lack of memory may come under another name */
	handle->code = handle->no_memory ? CURLE_OUT_OF_MEMORY : code;
}

/*
 * Find out who has ended.  What a callback found ends its handle even where curl
 * would go on.
 */
static void
find_ended(NauthEngine *engine, bool no_memory)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(engine->multi, &left)) != NULL)
	{
		char	   *handle = NULL;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &handle);
		finish((NauthHandle *) handle, message->data.result, no_memory);
	}
	for (NauthHandle *handle = engine->handles; handle; handle = handle->next)
	{
		if (!handle->added || handle->ended)
			continue;
		if (engine->broken)
			nauth_error_set(&handle->failure, NAUTH_ERROR_MEMORY, engine->broken);
		if (handle->failure.kind != NAUTH_OK)
		{
			finish(handle, CURLE_OK, false);
			take_out(handle);
		}
	}
}

/*
 * Hand curl what is ready; false if nothing was.  A step that may begin to look
 * up a name makes a pair, which outlives a look-up that is given up.
 */
static bool
advance(NauthEngine *engine)
{
	NauthPollEvent events[NAUTH_POLL_EVENTS];
	int			count = nauth_poll_drain(&engine->poll, events);
	CURLMcode	code = CURLM_OK;
	bool		no_memory;
	int			running;
	int			pair[2];

	if (count == 0 && engine->due > nauth_clock())
		return false;
	expect_pair(engine, pair);
	curl_enter(engine);
	errno = 0;
	for (int i = 0; code == CURLM_OK && i < count; i++)
	{
		if (events[i].fd < 0)
			engine->armed = PG_INT64_MAX;
		else
			code = curl_multi_socket_action(engine->multi, events[i].fd,
											(events[i].readable ? CURL_CSELECT_IN : 0) |
											(events[i].writable ? CURL_CSELECT_OUT : 0),
											&running);
	}
	if (code == CURLM_OK && engine->due <= nauth_clock())
	{
		engine->due = PG_INT64_MAX;
		code = curl_multi_socket_action(engine->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	no_memory = errno == ENOMEM;
	curl_leave(engine);
	protect_pair(pair);
	if (code != CURLM_OK)
		engine->broken = "libcurl ran out of memory";
	find_ended(engine, no_memory);
	return true;
}

/* Set the timer for whatever is due first. */
static void
arm(NauthEngine *engine)
{
	int64_t		due = engine->news ? 0 : engine->due;

	engine->news = false;
	for (const NauthHandle *handle = engine->handles; handle; handle = handle->next)
		if (!handle->ended)
			due = Min(due, handle->due);
	if (due == engine->armed)
		return;
	engine->armed = due;
	nauth_poll_timer(&engine->poll, due == PG_INT64_MAX ? -1 :
					 (long) ((Max(due - nauth_clock(), 0) + 999) / 1000));
}

void
nauth_engine_begin(NauthHandle *handle, int64_t deadline)
{
	NauthEngine *engine = handle->engine;

	curl_enter(engine);
	handle->added = curl_multi_add_handle(engine->multi, handle->easy) == CURLM_OK;
	curl_leave(engine);
	handle->due = deadline;
	if (!handle->added)
		finish(handle, CURLE_OUT_OF_MEMORY, true);
	nauth_engine_move(engine);
}

void
nauth_engine_refuse(NauthHandle *handle, CURLcode code)
{
	finish(handle, code, true);
}

void
nauth_engine_move(NauthEngine *engine)
{
	int64_t		start = nauth_clock();
	int64_t		now = start;

	while (now - start < STEPS_TIME && advance(engine))
		now = nauth_clock();
	for (NauthHandle *handle = engine->handles; handle; handle = handle->next)
	{
		if (handle->ended || handle->due > now)
			continue;
		handle->due = PG_INT64_MAX;
		if (!handle->added)
		{
			/* whoever put it off may not be the one who moves on now */
			engine->news = true;
			continue;
		}
		nauth_error_set(&handle->failure, NAUTH_ERROR_TIMEOUT, "no complete reply came in time");
		finish(handle, CURLE_OK, false);
		take_out(handle);
	}
	arm(engine);
}

void
nauth_engine_due(NauthHandle *handle, int64_t deadline)
{
	handle->due = deadline;
	arm(handle->engine);
}

void
nauth_engine_wait(NauthHandle *handle)
{
	NauthEngine *engine = handle->engine;

	/* late or not, to move on says which */
	if (!handle->ended)
	{
		(void) nauth_wait(engine->poll.epoll, handle->due);
		nauth_engine_move(engine);
	}
}
