/*-------------------------------------------------------------------------
 *
 * main.c
 *		nauth_sim, a provider simulator for tests: flags, start and end.
 *
 * It answers as a provider's user API does, strictly, for any number of users
 * that are generated from a seed, and is told by a test over the same port
 * what to change and which faults to show.  Nothing in it is random and
 * nothing depends on the time of day.  It serves loopback only by default and
 * must never hold real users.
 *
 *	nauth_sim --provider NAME --port-file FILE
 *		--users N		generated users (1000)
 *		--seed S		other seed, other users (1)
 *		--key KEY		the one accepted bearer token (sk_test_x)
 *		--port N		0, the default, takes a free one
 *		--bind ADDRESS	IPv4 (127.0.0.1)
 *		--fixture FILE	JSON array; its users come first, served verbatim.  A
 *						created_at of 2025 or later sorts as the end of 2024.
 *		--latency MS	before each answer
 *		--clock MS		times of changes rise from here by a second each; by
 *						default from the end of the generated users' times
 *		--fault JSON	as for /_sim/fault; may be repeated
 *		--hide MEMBER	better_auth only: users are served without it, as with
 *						"returned: false"; sorts and filters still know it.  May
 *						be repeated.  Users served verbatim keep it.
 *		--last-seen		better_auth only: users have a "lastSeenAt", a second
 *						later in each list reply, though nothing else changes
 *
 *		--bounds included	clerk only: created_at_before and created_at_after
 *						are times of users in the window; by default they are
 *						"excluded"
 *
 *		--set NAME=VALUE	a setting of the provider; the head of its file
 *						tells which there are
 *
 * FILE gets the port when the simulator is ready.  SIGTERM and SIGINT end it.
 *
 * Indexes number the users in creation order from 0: fixture, generated,
 * created.  An index is never reused.  Users generated from 2025-01-01 on have
 * rising created_at (some equal) and updated_at.  Control calls, no credential
 * needed (times are ms since 1970, USER is an id or index/N):
 *
 *	GET    /_sim/ready
 *	GET    /_sim/stats			list, count, get, other: requests by kind;
 *								rejected (refused by the profile), faults (that
 *								hit), connections, bytes, in_flight_max, users,
 *								last_target
 *	POST   /_sim/reset			zeroes those
 *	POST   /_sim/users			{"first_name","last_name" or "name","username",
 *								"email": text or array,"id","created_at",
 *								"updated_at"}, all optional
 *	POST   /_sim/users?raw=1[&id=][&created_at=][&updated_at=]
 *								the body is served verbatim, whatever it is;
 *								what is not given is looked for in it
 *	GET    /_sim/users/USER		{"id","index","created_at","updated_at",
 *								"deleted"}
 *	GET    /_sim/users			an array of those: all that are or were, by index
 *	POST   /_sim/users/USER/update	the same body as for creating (no id), or
 *								raw=1; without updated_at the clock is read
 *	DELETE /_sim/users/USER
 *								both take count=N for N neighbours
 *	POST   /_sim/fault			one fault or an array of them
 *	DELETE /_sim/fault			drops them, and closes what hangs
 *
 * A fault hits matching requests; of several due ones only the oldest hits:
 *
 *	match			"list", "count", "get", "other" or "any" (default)
 *	after			let that many matching requests pass first
 *	times			hits (1); -1 for ever
 *	status, body	answer this; a status alone has the provider's own body
 *	body_repeat		that many copies of the body, made while sending
 *	content_type, headers, redirect
 *	latency_ms		answer later
 *	cut				close after that many bytes of the announced body
 *	chunked			send without Content-Length
 *	drip_ms			one byte each so many ms
 *	hang			never answer
 *	mutate			before answering, in the order given; each takes one or
 *					an array, and users that are gone are passed over:
 *					{"delete_index": N, "update_index": N,
 *					"recreate_index": N	deletes the user if it lives, creates
 *										one with its id, name and e-mails, but
 *										a new index and new times
 *					"create": {as above},
 *					"update": {"index": N, as above without id}} (no raw user)
 *	hide_index		N or [N..]: left out of the list, still counted and found
 *	truncate_page	only the first so many users of the page
 *	empty			an empty list
 *	repeat_page		the page of the last list request again
 *	ignore_order	the list in order of creation, ascending, whatever was asked
 *	add_total		added to Clerk's count or Better Auth's total; at least 0
 *	swallow			Better Auth's answer when it hides an error
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

SimConfig	sim_config = {
	.users = 1000,
	.seed = 1,
	.key = "sk_test_x",
	.bind = "127.0.0.1",
	.clock = SIM_TIME_NONE
};

static const SimProvider *const providers[] = {
	&sim_auth0, &sim_better_auth, &sim_clerk, &sim_cognito, &sim_firebase,
	&sim_generic, &sim_keycloak, &sim_okta, &sim_scim, &sim_stack, &sim_supabase,
	&sim_workos
};

static const struct option flags[] = {
	{"provider", required_argument, NULL, 'p'},
	{"users", required_argument, NULL, 'u'},
	{"seed", required_argument, NULL, 's'},
	{"key", required_argument, NULL, 'k'},
	{"port", required_argument, NULL, 'P'},
	{"port-file", required_argument, NULL, 'f'},
	{"fixture", required_argument, NULL, 'x'},
	{"latency", required_argument, NULL, 'l'},
	{"bind", required_argument, NULL, 'b'},
	{"clock", required_argument, NULL, 'c'},
	{"fault", required_argument, NULL, 'F'},
	{"hide", required_argument, NULL, 'h'},
	{"last-seen", no_argument, NULL, 'L'},
	{"bounds", required_argument, NULL, 'B'},
	{"set", required_argument, NULL, 'S'},
	{NULL, 0, NULL, 0}
};

static void
die(const char *what, const char *detail)
{
	fprintf(stderr, "nauth_sim: %s%s%s\n", what, detail ? ": " : "",
			detail ? detail : "");
	exit(1);
}

static int64_t
read_number(const char *text, int64_t max)
{
	int64_t		number;

	if (!sim_parse_int(text, 0, max, &number))
		die("not a number in range", text);
	return number;
}

static void
read_provider(const char *name)
{
	for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++)
		if (strcmp(name, providers[i]->name) == 0)
			sim_config.provider = providers[i];
	if (sim_config.provider == NULL)
		die("unknown provider", name);
}

static void
read_fault(const char *text)
{
	json_t	   *spec = json_loads(text, 0, NULL);
	const char *wrong = sim_fault_add(spec);

	if (wrong)
		die(wrong, text);
	json_decref(spec);
}

static void
read_hidden(const char *name)
{
	if (sim_config.n_hidden == SIM_MAX_HIDDEN)
		die("too many members to hide", name);
	sim_config.hidden[sim_config.n_hidden++] = name;
}

static void
read_setting(const char *setting)
{
	if (sim_config.n_settings == SIM_MAX_SETTINGS)
		die("too many settings", setting);
	sim_config.settings[sim_config.n_settings++] = setting;
}

/*
 * The value of --set NAME=VALUE, or NULL.
 */
const char *
sim_setting(const char *name)
{
	size_t		len = strlen(name);

	for (int i = 0; i < sim_config.n_settings; i++)
		if (strncmp(sim_config.settings[i], name, len) == 0 &&
			sim_config.settings[i][len] == '=')
			return sim_config.settings[i] + len + 1;
	return NULL;
}

const char *
sim_setting_or(const char *name, const char *otherwise)
{
	const char *value = sim_setting(name);

	return value ? value : otherwise;
}

bool
sim_setting_is(const char *name, const char *value)
{
	const char *set = sim_setting(name);

	return set && strcmp(set, value) == 0;
}

/*
 * The value as a number; otherwise it is not given, or not one from min on.
 */
int64_t
sim_setting_int(const char *name, int64_t min, int64_t otherwise)
{
	const char *text = sim_setting(name);
	int64_t		value;

	return text && sim_parse_int(text, min, INT32_MAX, &value) ? value : otherwise;
}

static void
read_number_flag(int flag, const char *value)
{
	switch (flag)
	{
		case 'u':
			sim_config.users = read_number(value, INT64_C(1) << 40);
			break;
		case 's':
			sim_config.seed = (uint64_t) read_number(value, INT64_MAX);
			break;
		case 'P':
			sim_config.port = (int) read_number(value, 65535);
			break;
		case 'l':
			sim_config.latency_ms = read_number(value, INT32_MAX);
			break;
		case 'c':
			sim_config.clock = read_number(value, INT64_MAX / 2);
			break;
		default:
			die("see the head of main.c for the flags", NULL);
	}
}

static void
read_flag(int flag, const char *value)
{
	switch (flag)
	{
		case 'p':
			read_provider(value);
			break;
		case 'k':
			sim_config.key = value;
			break;
		case 'f':
			sim_config.port_file = value;
			break;
		case 'x':
			sim_config.fixture = value;
			break;
		case 'b':
			sim_config.bind = value;
			break;
		case 'F':
			read_fault(value);
			break;
		case 'h':
			read_hidden(value);
			break;
		case 'L':
			sim_config.last_seen = true;
			break;
		case 'B':
			sim_config.bounds_included = strcmp(value, "included") == 0;
			if (!sim_config.bounds_included && strcmp(value, "excluded") != 0)
				die("--bounds are included or excluded, not", value);
			break;
		case 'S':
			read_setting(value);
			break;
		default:
			read_number_flag(flag, value);
	}
}

static void
read_flags(int argc, char **argv)
{
	int			flag;

	while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1)
	{
		read_flag(flag, optarg);

		/* start_sim() of the tests knows only flags with a value */
		if (flag == 'L' && argv[optind] && strcmp(argv[optind], "1") == 0)
			optind++;
	}
	if (sim_config.provider == NULL || sim_config.port_file == NULL ||
		optind < argc)
		die("--provider and --port-file are needed", argv[optind]);
}

/*
 * What an application of the provider may do to its users.
 */
static void
check_fields(void)
{
	const SimProvider *provider = sim_config.provider;

	if (provider->has_field == NULL)
	{
		if (sim_config.n_hidden > 0 || sim_config.last_seen)
			die("--hide and --last-seen are for better_auth only, not for",
				provider->name);
		return;
	}
	for (int i = 0; i < sim_config.n_hidden; i++)
		if (!provider->has_field(sim_config.hidden[i]))
			die("users have no such member to hide", sim_config.hidden[i]);
}

/*
 * Does this setting begin with a name that the provider knows, and "="?
 */
static bool
is_known(const char *setting)
{
	const char *const *names = sim_config.provider->settings;

	for (; names && *names; names++)
		if (strncmp(setting, *names, strlen(*names)) == 0 &&
			setting[strlen(*names)] == '=')
			return true;
	return false;
}

static void
check_settings(void)
{
	for (int i = 0; i < sim_config.n_settings; i++)
		if (!is_known(sim_config.settings[i]))
			die("the provider has no such setting", sim_config.settings[i]);
}

/*
 * Whoever waits for the file must never see half of it.
 */
static void
write_port_file(int port)
{
	SimBuf		name = {0};
	FILE	   *file;

	sim_buf_printf(&name, "%s.tmp", sim_config.port_file);
	file = fopen(name.data, "w");
	if (file == NULL || fprintf(file, "%d\n", port) < 0 ||
		fclose(file) != 0 || rename(name.data, sim_config.port_file) != 0)
		die("could not write the port file", strerror(errno));
	sim_buf_free(&name);
}

int
main(int argc, char **argv)
{
	struct sigaction quit = {.sa_handler = sim_server_quit};
	int			port;

	read_flags(argc, argv);
	check_fields();
	check_settings();
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &quit, NULL);
	sigaction(SIGINT, &quit, NULL);

	sim_users_start();
	port = sim_config.port;
	if (!sim_server_start(&port))
		die("could not listen", sim_config.bind);
	write_port_file(port);
	sim_server_run();
	sim_server_stop();
	sim_fault_clear();
	sim_token_stop();
	sim_users_stop();
	return 0;
}
