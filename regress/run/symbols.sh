#!/usr/bin/env bash
# Check what the built library exports and imports.  All modules of a backend
# share one namespace, so nothing but SQL functions may be exported, and none that
# the server has; and what blocks a backend may not be imported, nor what the
# server exports under the name of a function of one of our libraries: it would
# be called instead.  Prints one line for each breach.
set -euo pipefail
cd "$(dirname "$0")/../.."

library=neon_auth_fdw.so
server=$("${PG_CONFIG:-pg_config}" --bindir)/postgres
exported='Pg_magic_func|_PG_init|(pg_finfo_)?neon_auth_[a-z_]+'
blocking='redis(Connect|Command|vCommand|GetReply|AppendCommand|BufferRead|BufferWrite).*|curl_easy_perform|curl_multi_wait|curl_multi_poll|getaddrinfo|gethostbyname|connect|recv|poll|select|sleep|usleep|nanosleep|pg_usleep'
replaced='curl_global_init_mem|curl_global_cleanup|json_set_alloc_funcs|signal|sigaction|pqsignal|setitimer|setlocale|sigprocmask'

# Names in the dynamic symbol tables of files, of a kind: defined or undefined.
names()
{
	local kind=$1

	shift
	nm -D "--$kind-only" "$@" | awk 'NF > 1 { sub(/@.*/, "", $NF); print $NF }' | LC_ALL=C sort -u
}

[ -f "$library" ] || { echo "$library is not built"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mapfile -t libraries < <(ldd "$library" | awk '/lib(curl|jansson|hiredis|lz4|crypto)[.-]/ { print $3 }')
((${#libraries[@]} == 5)) || { echo "not all libraries are linked: ${libraries[*]}"; exit 1; }
names defined "$library" >"$work/ours"
names undefined "$library" >"$work/imports"
names defined "$server" >"$work/server"
names defined "${libraries[@]}" >"$work/libraries"

breaches=$(
	grep -vxE "$exported" "$work/ours" | sed 's/^/exports /' || true
	LC_ALL=C comm -12 "$work/ours" "$work/server" | sed 's/^/exports what the server has: /'
	grep -xE "$blocking|$replaced" "$work/imports" | sed 's/^/imports /' || true
	LC_ALL=C comm -12 "$work/imports" "$work/server" | LC_ALL=C comm -12 - "$work/libraries" |
		sed 's/^/would get from the server: /'
)
[ -z "$breaches" ] || { echo "$breaches"; exit 1; }
