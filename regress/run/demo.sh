#!/usr/bin/env bash
# `make demo`: the promise of README, played against a simulated Clerk, a real Better Auth and a real Redis, with the
# SQL a user would type and what it answers. Says so loudly and fails when an answer is not the one expected.
#
# Copyright (c) 2026, neon_auth_fdw contributors

set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Plays SQL from standard input in DATABASE as one would type it there.
play()
{
	echo
	psql -X -q -a -P pager=off -v ON_ERROR_STOP=1 -v session_token="${BETTER_AUTH_TOKEN:-}" -d "$1" -f -
}

ask()
{
	psql -X -q -At -v ON_ERROR_STOP=1 -d "$1" -c "$2"
}

expect()
{
	local what=$1 want=$2 got=$3

	[[ $got == "$want" ]] || die "EXPECTED $what to be $want, BUT IT IS $got"
	echo "-- as expected: $what is $want"
}

# Refreshes users_sync in DATABASE from SERVER, and holds what the refresh says it did against the numbers given.
refresh()
{
	local database=$1 server=$2 out=$work/demo/refresh name

	play "$database" <<<"CALL neon_auth.refresh_users_sync('$server') \\gx" | tee "$out"
	for name in inserted updated tombstoned; do
		expect "$name" "$3" "$(awk -v name="$name" '$1 == name { print $3 }' "$out")"
		shift
	done
}

# Shows the log of refreshes in DATABASE: the first is full, and this has to be how the last one went.
show_runs()
{
	play "$1" <<<"SELECT run_id, mode, reason, requests, users, inserted, updated, tombstoned FROM neon_auth.sync_run ORDER BY run_id;"
	expect "the first refresh" full "$(ask "$1" "SELECT mode FROM neon_auth.sync_run ORDER BY run_id LIMIT 1")"
	expect "the last refresh" "$2" "$(ask "$1" "SELECT mode FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1")"
}

# Which version of each row there is: any write changes it.
row_versions()
{
	ask "$1" "SELECT md5(string_agg(concat(id, ctid, xmin), ' ' ORDER BY id)) FROM neon_auth.users_sync"
}

at_provider()
{
	printf '\n%s $ %s\n' "$1" "$2"
}

in_better_auth()
{
	at_provider "Better Auth" "$*"
	better_auth "$@"
}

# COMMAND... of curl, to the simulator's own door for changing its users.
in_clerk()
{
	local text=$1

	shift
	at_provider Clerk "$text"
	curl -sS -f "$@"
	echo
}

# How many requests the simulator got so far.
clerk_requests()
{
	curl -sS -f "$sim_url/_sim/stats" | grep -oE '"(list|count|get|other)":[0-9]+' | awk -F: '{ n += $2 } END { print n }'
}

start_everything()
{
	local step

	say "Preparing: Node, packages of the test servers, the extension, a private PostgreSQL and Redis"
	mkdir "$work/demo"
	for step in make_node "npm_ci regress/better_auth" build_and_install build_simulator; do
		$step >"$logs/demo-setup.log" 2>&1 || {
			tail -n 50 "$logs/demo-setup.log" >&2
			die "$step failed"
		}
	done
	start_simulator clerk --provider clerk --users 1000 --seed 1
	start_redis
	start_postgres demo-postgres </dev/null
	start_better_auth
	createdb clerk
	createdb app
}

allow_loopback()
{
	say "Only here: the providers are on this machine, over http, which a superuser has to allow"
	play postgres <<-END
		LOAD 'neon_auth_fdw';
		ALTER SYSTEM SET neon_auth_fdw.allowed_urls = '$sim_url, $BETTER_AUTH_URL';
		SELECT pg_reload_conf();
	END
}

clerk_part()
{
	say "Part 1: Clerk (simulated), 1000 users"
	play clerk <<-END
		CREATE EXTENSION neon_auth_fdw;
		CREATE SERVER clerk FOREIGN DATA WRAPPER neon_auth_fdw
		  OPTIONS (provider 'clerk', url '$sim_url', redis_url '$redis_url', cache_ttl '10min');
		CREATE USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (api_key 'sk_test_x');
		CREATE SCHEMA app;
		IMPORT FOREIGN SCHEMA directory FROM SERVER clerk INTO app;

		-- Only here, where a slow machine must not change what is shown:
		ALTER SERVER clerk OPTIONS (ADD redis_timeout '10s');

		-- The directory is a table. This asks Clerk now: for the number of users alone, then for all of them.
		SELECT count(*) FROM app.users;
		SELECT count(*) FROM app.users WHERE name LIKE 'A%';
	END
}

clerk_cache()
{
	local before out=$work/demo/explain

	say "Redis has it now, for every session and every server with this key: asking again costs Clerk nothing"
	before=$(clerk_requests)
	play clerk <<-'END' | tee "$out"
		EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id, name, email FROM app.users;
	END
	expect "the number of requests, says EXPLAIN," 0 "$(awk '$1 == "Requests:" { print $2 }' "$out")"
	expect "the number of requests, says Clerk," 0 $(($(clerk_requests) - before))
}

clerk_copy()
{
	local email new before

	play clerk <<-'END'
		SELECT id, name, email, created_at FROM app.users ORDER BY created_at LIMIT 3;
	END
	email=$(ask clerk "SELECT email FROM app.users WHERE email IS NOT NULL ORDER BY created_at LIMIT 1")
	play clerk <<-END
		SELECT id, name FROM app.users WHERE email = '$email';

		-- The copy to join with: neon_auth.users_sync.
	END
	refresh clerk clerk 1000 0 0
	new='{"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com"}'
	in_clerk "a user signs up" -X POST -H 'Content-Type: application/json' -d "$new" "$sim_url/_sim/users"
	refresh clerk clerk 1 0 0

	say "The first refresh listed all users; the next one read what had changed of late, and counted"
	show_runs clerk incremental
	expect "of its requests, the number" 2 "$(ask clerk "SELECT requests FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1")"
	before=$(clerk_requests)
	play clerk <<-'END'
		SELECT id, name, email FROM neon_auth.users_sync WHERE email = 'ada@example.com';

		-- A refresh that changes something has the cache forget, so this asks Clerk again.
		SELECT count(*) FROM app.users;
	END
	expect "Clerk" "asked again" "$([[ $(clerk_requests) -gt $before ]] && echo "asked again")"
	expect "the number of users" 1001 "$(ask clerk "SELECT count(*) FROM app.users")"
}

better_auth_sign_ups()
{
	local name

	say "Part 2: Better Auth (the real one, on a database of its own); people sign up"
	for name in Ada Grace Alan Barbara Edsger; do
		in_better_auth sign-up "$name" "${name,,}@example.com"
	done
}

better_auth_first_refresh()
{
	play app <<-END
		CREATE EXTENSION neon_auth_fdw;
		CREATE SERVER better_auth FOREIGN DATA WRAPPER neon_auth_fdw
		  OPTIONS (provider 'better_auth', url '$BETTER_AUTH_URL');
		CREATE USER MAPPING FOR CURRENT_USER SERVER better_auth OPTIONS (api_key :'session_token');
		CREATE SCHEMA app;
		IMPORT FOREIGN SCHEMA directory FROM SERVER better_auth INTO app;

		-- Ask the provider itself:
		SELECT name, email, created_at, raw_json->>'role' AS role FROM app.users ORDER BY created_at;

		-- And keep a copy to join with:
	END
	refresh app better_auth 6 0 0
}

show_posts()
{
	play app <<-END
		SELECT p.title, u.name, u.email
		  FROM posts p LEFT JOIN neon_auth.users_sync u ON u.id = p.author_id AND u.deleted_at IS NULL
		  ORDER BY p.title;
	END
}

better_auth_posts()
{
	play app <<-END
		CREATE TABLE posts (title text, author_id text REFERENCES neon_auth.users_sync (id));
		INSERT INTO posts
		  SELECT 'Notes by ' || name, id FROM neon_auth.users_sync WHERE name IN ('Ada', 'Grace', 'Alan');
	END
	show_posts
}

better_auth_changes()
{
	say "At the provider one user changes, one signs up, one is deleted"
	in_better_auth rename grace@example.com "Grace Hopper"
	in_better_auth sign-up Donald donald@example.com
	in_better_auth remove alan@example.com
	refresh app better_auth 1 1 1
	say "It counted one user less than it should, and listed them all to see who is missing"
	show_runs app full
	show_posts
	expect "Grace's name" "Grace Hopper" "$(ask app "SELECT name FROM neon_auth.users_sync WHERE email = 'grace@example.com'")"
	expect "the one marked as deleted" Alan "$(ask app "SELECT name FROM neon_auth.users_sync WHERE deleted_at IS NOT NULL")"
	expect "the number of users" 6 "$(ask app "SELECT count(*) FROM neon_auth.users_sync WHERE deleted_at IS NULL")"
}

better_auth_at_rest()
{
	local before

	say "Nothing has changed since: nothing is written"
	before=$(row_versions app)
	refresh app better_auth 0 0 0
	expect "every row" "the very same version" "$([[ $(row_versions app) == "$before" ]] && echo "the very same version")"
	show_runs app incremental
	play app <<<"SELECT * FROM neon_auth.sync_status;"
}

better_auth_one_user()
{
	local id

	say "Somebody signs up and posts at once: that user is fetched, no refresh is waited for"
	in_better_auth sign-up Edith edith@example.com
	id=$(ask auth "SELECT id FROM \"user\" WHERE email = 'edith@example.com'")
	play app <<-END
		INSERT INTO posts SELECT 'Notes by ' || name, id FROM neon_auth.sync_user('better_auth', '$id');

		-- Rows marked as deleted can be purged; here a post still refers to the one there is.
		CALL neon_auth.purge_deleted('0');

		SELECT part, verdict, message FROM neon_auth.check_server('better_auth');
	END
	expect "who has posted," "Ada Alan Edith Grace" "$(ask app "SELECT string_agg(split_part(title, ' ', 3), ' ' ORDER BY title) FROM posts")"
	expect "the rows kept of deleted users" 1 "$(ask app "SELECT count(*) FROM neon_auth.users_sync WHERE deleted_at IS NOT NULL")"
	refresh app better_auth 0 0 0
}

main()
{
	local part

	enter_work_folder
	for part in start_everything allow_loopback clerk_part clerk_cache clerk_copy better_auth_sign_ups \
		better_auth_first_refresh better_auth_posts better_auth_changes better_auth_at_rest better_auth_one_user; do
		"$part"
	done
	say "The demo did what README says ($SECONDS s)"
}

if [[ -n ${NAUTH_WORK:-} ]]; then
	main
else
	run_in_work_folder demo.sh "${BUILD_PACKAGES[@]}"
fi
