#!/usr/bin/env bash
# Check the layers of docs/architecture.md: a file includes its own row and the
# rows below, foreign libraries have one includer each, and versions are told
# apart in one file.  Prints one line for each breach.
set -euo pipefail
cd "$(dirname "$0")/../.."

breaches=0

breach() {
	echo "$1"
	breaches=$((breaches + 1))
}

# forbid WHAT FILES PATTERN: no line of these files may match
forbid() {
	local what=$1 files=$2 pattern=$3 line
	# shellcheck disable=SC2086 # a list of files
	while IFS= read -r line; do
		breach "$what: $line"
	done < <(grep -nE "$pattern" $files || [ $? -eq 1 ] || echo "cannot read $files")
}

# only_in WHAT PLACE PATTERN: no file of the extension outside of PLACE, a file
# or a folder, may match
only_in() {
	local what=$1 place=$2 pattern=$3 line
	while IFS= read -r line; do
		breach "$what: $line"
	done < <(grep -rnE --include='*.[ch]' "$pattern" fdw cache | grep -vE "^${place}[:/]" || true)
}

only_in "curl belongs into fdw/net" fdw/net '#include <curl/|#include "(net/)?engine'
only_in "hiredis belongs into cache/exchange.c" cache/exchange.c '#include <hiredis/'
only_in "lz4 belongs into cache/codec.c" cache/codec.c '#include <lz4'
only_in "openssl belongs into cache/seal.c and fdw/jwt.c" '(cache/seal.c|fdw/jwt.c)' '#include <openssl/'
only_in "jansson belongs into fdw/json.c" fdw/json.c '#include <jansson'
only_in "versions belong into fdw/pgcompat.h" fdw/pgcompat.h 'PG_VERSION_NUM'
only_in "waiting belongs into fdw/wait.c" fdw/wait.c '#include <(poll|sys/epoll|sys/timerfd|sys/select)\.h>|WaitLatch|WaitEventSet|pg_usleep|[^_]sleep\('

# jansson's function of this name is the server's in a backend, and crashes it
forbid "json_object() is not jansson's here" "$(echo fdw/*.c fdw/*/*.c)" '^[^*]*[^_]json_object\('

# a library calls these functions, and a longjmp through it would break it
while IFS= read -r line; do
	breach "a callback must not raise an error: $line"
done < <(awk '
	/^on_[a-z_]+\(/ { inside = 1 }
	/^}/ { inside = 0 }
	inside && /ereport|elog|palloc|pstrdup|psprintf|MemoryContext|CHECK_FOR_INTERRUPTS|nauth_report|nauth_wait\(/ {
		print FILENAME ":" FNR ":" $0
	}' cache/*.c fdw/net/*.c)

own='#include "'
pure="fdw/slice.[ch] fdw/slice_value.c fdw/moment.[ch] fdw/json.[ch] fdw/jwt.[ch] fdw/error.[ch] fdw/request.[ch]
	cache/seal.[ch] cache/codec.[ch] cache/jsonb.[ch] cache/plain.[ch]"
forbid "no PostgreSQL below the providers" "$pure fdw/provider/*.[ch]" \
	"$own(postgres|c\.h|utils/|lib/|nodes/|executor/|access/|catalog/|miscadmin)"
forbid "libraries know nothing above them" "$pure fdw/net/*.[ch] fdw/http.[ch] fdw/wait.[ch] fdw/report.[ch]" \
	"$own(provider/|options|query|users|directory|sync/|neon_auth_fdw)"
forbid "the cache knows nothing above it" "cache/*.[ch]" \
	"$own(provider/|options|query|users|directory|listing|sync/|neon_auth_fdw|catalog/|foreign/|utils/(syscache|rel))"
forbid "providers do no I/O" "fdw/provider/*.[ch]" \
	"$own(\.\./)?(http|net/|cache/|wait|directory|options|users|query|sync/|report)|<(sys/socket|unistd)\.h>"
forbid "meaning does no I/O" "fdw/options.[ch] fdw/query.[ch] fdw/users.[ch]" \
	"$own(wait|directory|sync/|cache/)|nauth_http_(open|get)|nauth_connection_use"
forbid "the directory knows no planner, executor or SPI" "fdw/directory.[ch]" \
	"$own(executor|optimizer|nodes|commands|foreign|sync)/|SPI_"
forbid "only fdw/provider names a provider" "fdw/*.[ch] fdw/net/*.[ch] fdw/sync/*.[ch] cache/*.[ch]" 'clerk|better_auth|auth0|firebase|keycloak|okta|scim|supabase|workos|hexclave|stack.auth|cognito|provider_generic|"generic"'

[ "$breaches" -eq 0 ]
