/*-------------------------------------------------------------------------
 *
 * server.c
 *		HTTP: the only user of libmicrohttpd.
 *
 * One thread waits for the daemon's epoll descriptor and for the timers of
 * delayed requests, so all state of the simulator is touched by one thread.
 * A delayed request is suspended; it never holds up another one.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sim.h"

#define MAX_BODY ((size_t) 64 << 20)
#define NEVER INT64_MAX

/* A request on its connection. */
typedef struct Exchange
{
	SimRequest *request;
	struct MHD_Connection *connection;
	bool		begun;			/* the handler was called */
	bool		counted;		/* it is whole and in the statistics */
	bool		asleep;			/* suspended, and in the list of sleepers */
	bool		hung;			/* never to be answered */
	int64_t		wake_at;
	struct Exchange *next;
} Exchange;

/* A reply's body sent in a way that no honest server would. */
typedef struct Stream
{
	Exchange   *exchange;
	SimBuf		body;
	uint64_t	len;			/* with all repetitions */
	uint64_t	cut;			/* close after so many bytes */
	int64_t		drip_ms;
	bool		rested;			/* the pause before the next byte is over */
} Stream;

SimStats	sim_stats;

static struct MHD_Daemon *server;
static Exchange *sleepers;
static char *last_list;			/* the target a repeated page repeats */
static volatile sig_atomic_t quitting;

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- requests that wait ---- */

/* Set where the daemon has to run once more without being asked to. */
static bool resumed;

static void
fall_asleep(Exchange *exchange, int64_t wake_at)
{
	exchange->wake_at = wake_at;
	exchange->asleep = true;
	exchange->next = sleepers;
	sleepers = exchange;
	MHD_suspend_connection(exchange->connection);
}

/*
 * Wake those whose time has come, or of all only those that hang.
 */
static void
wake(int64_t now, bool hung)
{
	Exchange  **link = &sleepers;

	while (*link)
	{
		Exchange   *exchange = *link;

		if (exchange->wake_at <= now || (hung && exchange->hung))
		{
			*link = exchange->next;
			exchange->asleep = false;
			resumed = true;
			MHD_resume_connection(exchange->connection);
		}
		else
			link = &exchange->next;
	}
}

void
sim_server_release(void)
{
	wake(INT64_MIN, true);
}

static int64_t
next_wake(void)
{
	int64_t		first = NEVER;

	for (Exchange *exchange = sleepers; exchange; exchange = exchange->next)
		if (exchange->wake_at < first)
			first = exchange->wake_at;
	return first;
}

/* ---- sending ---- */

/*
 * Fill a block with the body, over and over from the given position on.
 */
static void
fill_block(const Stream *stream, uint64_t pos, char *to, size_t n)
{
	while (n > 0)
	{
		size_t		from = (size_t) (pos % stream->body.len);
		size_t		part = stream->body.len - from;

		if (part > n)
			part = n;
		memcpy(to, stream->body.data + from, part);
		to += part;
		pos += part;
		n -= part;
	}
}

static ssize_t
read_stream(void *arg, uint64_t pos, char *to, size_t max)
{
	Stream	   *stream = arg;
	uint64_t	n = max;

	if (pos >= stream->cut)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (pos >= stream->len)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (stream->drip_ms > 0)
	{
		stream->rested = !stream->rested;
		if (stream->rested)
		{
			fall_asleep(stream->exchange, now_ms() + stream->drip_ms);
			return 0;
		}
		n = 1;
	}
	if (n > stream->len - pos)
		n = stream->len - pos;
	if (n > stream->cut - pos)
		n = stream->cut - pos;
	fill_block(stream, pos, to, (size_t) n);
	return (ssize_t) n;
}

static void
free_stream(void *arg)
{
	Stream	   *stream = arg;

	sim_buf_free(&stream->body);
	free(stream);
}

/*
 * A response that owns the reply's body.
 */
static struct MHD_Response *
make_response(Exchange *exchange, SimReply *reply)
{
	const json_t *fault = exchange->request->fault;
	int64_t		cut = sim_fault_int(fault, "cut", -1);
	int64_t		drip_ms = sim_fault_int(fault, "drip_ms", 0);
	int64_t		repeat = sim_fault_int(fault, "body_repeat", 1);
	bool		chunked = sim_fault_true(fault, "chunked");
	Stream	   *stream;

	if (cut < 0 && drip_ms <= 0 && repeat == 1 && !chunked)
	{
		if (reply->body.len == 0)
		{
			sim_buf_free(&reply->body);
			return MHD_create_response_from_buffer(0, NULL,
												   MHD_RESPMEM_PERSISTENT);
		}
		return MHD_create_response_from_buffer(reply->body.len,
											   reply->body.data,
											   MHD_RESPMEM_MUST_FREE);
	}
	stream = sim_alloc(sizeof(*stream));
	stream->exchange = exchange;
	stream->body = reply->body;
	stream->len = reply->body.len * (uint64_t) (repeat > 0 ? repeat : 0);
	stream->cut = cut < 0 ? UINT64_MAX : (uint64_t) cut;
	stream->drip_ms = drip_ms;
	return MHD_create_response_from_callback(chunked ?
											 MHD_SIZE_UNKNOWN : stream->len,
											 65536, read_stream, stream,
											 free_stream);
}

static enum MHD_Result
send_reply(Exchange *exchange, SimReply *reply)
{
	size_t		len = reply->body.len;
	struct MHD_Response *response = make_response(exchange, reply);
	const char *name;
	json_t	   *value;
	enum MHD_Result result;

	if (reply->content_type)
		MHD_add_response_header(response, "Content-Type", reply->content_type);
	json_object_foreach(reply->headers, name, value)
	{
		/* an array is a header that comes several times */
		for (size_t i = 0; i < json_array_size(value); i++)
			MHD_add_response_header(response, name,
									json_string_value(json_array_get(value, i)));
		if (json_is_string(value))
			MHD_add_response_header(response, name, json_string_value(value));
	}
	json_decref(reply->headers);
	result = MHD_queue_response(exchange->connection,
								(unsigned) reply->status, response);
	MHD_destroy_response(response);
	if (exchange->counted)
		sim_stats.bytes += (int64_t) len;
	return result;
}

/* ---- answering ---- */

static void
count_request(SimRequest *request)
{
	request->kind = sim_config.provider->classify(request);
	request->fault = sim_fault_take(request->kind);
	sim_stats.kinds[request->kind]++;
	free(sim_stats.last_target);
	sim_stats.last_target = sim_strdup(request->target);
	sim_stats.in_flight++;
	if (sim_stats.in_flight > sim_stats.in_flight_max)
		sim_stats.in_flight_max = sim_stats.in_flight;
}

static void
answer(SimRequest *request, SimReply *reply)
{
	const json_t *fault = request->fault;
	const json_t *mutate = json_object_get(fault, "mutate");

	if (mutate)
		sim_mutate(mutate, false);
	if (request->kind == SIM_LIST)
	{
		if (last_list && sim_fault_true(fault, "repeat_page"))
			sim_request_retarget(request, last_list);
		free(last_list);
		last_list = sim_strdup(request->target);
	}
	if (!sim_fault_replaces(fault))
		sim_config.provider->answer(request, reply);
	if (fault)
		sim_fault_reply(fault, reply);
	if (reply->rejected)
		sim_stats.rejected++;
}

/*
 * The request is whole: answer it, unless it has to wait before that.
 */
static enum MHD_Result
finish(Exchange *exchange)
{
	SimRequest *request = exchange->request;
	SimReply	reply = {0};
	int64_t		latency;

	if (strncmp(request->path, "/_sim/", 6) == 0)
	{
		sim_control_answer(request, &reply);
		return send_reply(exchange, &reply);
	}
	if (!exchange->counted)
	{
		exchange->counted = true;
		count_request(request);
		exchange->hung = sim_fault_true(request->fault, "hang");
		latency = sim_config.latency_ms +
			sim_fault_int(request->fault, "latency_ms", 0);
		if (exchange->hung || latency > 0)
		{
			fall_asleep(exchange, exchange->hung ? NEVER : now_ms() + latency);
			return MHD_YES;
		}
	}
	if (exchange->hung)
		return MHD_NO;
	answer(request, &reply);
	return send_reply(exchange, &reply);
}

static enum MHD_Result
keep_header(void *arg, enum MHD_ValueKind kind, const char *name,
			const char *value)
{
	SimRequest *request = arg;

	(void) kind;
	if (request->n_headers == SIM_MAX_HEADERS)
		return MHD_NO;
	request->headers[request->n_headers++] = (SimParam)
	{
		(char *) name, (char *) (value ? value : "")
	};
	return MHD_YES;
}

static enum MHD_Result
handle(void *arg, struct MHD_Connection *connection, const char *url,
	   const char *method, const char *version, const char *upload,
	   size_t *upload_len, void **state)
{
	Exchange   *exchange = *state;
	SimRequest *request = exchange->request;

	(void) arg;
	(void) url;
	(void) version;
	if (!exchange->begun)
	{
		exchange->begun = true;
		request->method = method;
		MHD_get_connection_values(connection, MHD_HEADER_KIND, keep_header,
								  request);
		return MHD_YES;
	}
	if (*upload_len > 0)
	{
		if (request->body.len + *upload_len > MAX_BODY)
			return MHD_NO;
		sim_buf_add(&request->body, upload, *upload_len);
		*upload_len = 0;
		return MHD_YES;
	}
	return finish(exchange);
}

/*
 * Called with the raw target, before anything else of a request.
 */
static void *
begin_request(void *arg, const char *target, struct MHD_Connection *connection)
{
	Exchange   *exchange = sim_alloc(sizeof(*exchange));

	(void) arg;
	exchange->request = sim_request_new(target);
	exchange->connection = connection;
	return exchange;
}

static void
end_request(void *arg, struct MHD_Connection *connection, void **state,
			enum MHD_RequestTerminationCode code)
{
	Exchange   *exchange = *state;

	(void) arg;
	(void) connection;
	(void) code;
	if (exchange == NULL)
		return;
	if (exchange->counted)
		sim_stats.in_flight--;
	sim_request_free(exchange->request);
	free(exchange);
	*state = NULL;
}

static void
count_connection(void *arg, struct MHD_Connection *connection, void **state,
				 enum MHD_ConnectionNotificationCode code)
{
	(void) arg;
	(void) connection;
	(void) state;
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		sim_stats.connections++;
}

/* ---- the daemon ---- */

/*
 * Listen; *port is the port asked for, and becomes the one that was got.
 */
bool
sim_server_start(int *port)
{
	struct sockaddr_in address = {0};
	const union MHD_DaemonInfo *info;

	address.sin_family = AF_INET;
	address.sin_port = htons((uint16_t) *port);
	if (inet_pton(AF_INET, sim_config.bind, &address.sin_addr) != 1)
		return false;
	server = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME,
							  0, NULL, NULL, handle, NULL,
							  MHD_OPTION_SOCK_ADDR, &address,
							  MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u,
							  MHD_OPTION_CONNECTION_LIMIT, 4096u,
							  MHD_OPTION_CONNECTION_MEMORY_LIMIT,
							  (size_t) 128 << 10,
							  MHD_OPTION_URI_LOG_CALLBACK, begin_request, NULL,
							  MHD_OPTION_NOTIFY_COMPLETED, end_request, NULL,
							  MHD_OPTION_NOTIFY_CONNECTION, count_connection,
							  NULL, MHD_OPTION_END);
	if (server == NULL)
		return false;
	info = MHD_get_daemon_info(server, MHD_DAEMON_INFO_BIND_PORT);
	*port = info->port;
	return true;
}

static void
wait_for_work(int epoll_fd, const sigset_t *unblocked)
{
	struct pollfd ready = {.fd = epoll_fd,.events = POLLIN};
	MHD_UNSIGNED_LONG_LONG daemon_ms;
	int64_t		wait_ms = -1;
	int64_t		first = next_wake();
	struct timespec timeout;

	if (MHD_get_timeout(server, &daemon_ms) == MHD_YES)
		wait_ms = (int64_t) daemon_ms;
	if (first != NEVER)
	{
		int64_t		left = first - now_ms();

		if (left < 0)
			left = 0;
		if (wait_ms < 0 || left < wait_ms)
			wait_ms = left;
	}
	if (resumed)
		wait_ms = 0;
	resumed = false;
	timeout.tv_sec = (time_t) (wait_ms / 1000);
	timeout.tv_nsec = (long) (wait_ms % 1000) * 1000000;
	ppoll(&ready, 1, wait_ms < 0 ? NULL : &timeout, unblocked);
}

void
sim_server_run(void)
{
	int			epoll_fd;
	sigset_t	blocked;
	sigset_t	unblocked;

	/* a signal is let in only while waiting, so none is overlooked */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &unblocked);
	sigdelset(&unblocked, SIGTERM);
	sigdelset(&unblocked, SIGINT);
	epoll_fd = MHD_get_daemon_info(server, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	while (!quitting)
	{
		wait_for_work(epoll_fd, &unblocked);
		wake(now_ms(), false);
		MHD_run(server);
	}
}

void
sim_server_quit(int signal_number)
{
	(void) signal_number;
	quitting = 1;
}

void
sim_server_stop(void)
{
	/* the daemon may not be stopped while requests are suspended */
	wake(NEVER, true);
	MHD_stop_daemon(server);
	free(last_list);
	free(sim_stats.last_target);
}
