#!/usr/bin/env bash
# Check what the built library exports and imports.  All modules of a backend
# share one namespace, so nothing but SQL functions may be exported; and what
# blocks a backend, or is another function there than in its own library, may
# not be imported.  Prints one line for each breach.
set -euo pipefail
cd "$(dirname "$0")/../.."

library=neon_auth_fdw.so
exported='Pg_magic_func|_PG_init|(pg_finfo_)?neon_auth_[a-z_]+'
blocking='redis(Connect|Command|vCommand|GetReply|AppendCommand|BufferRead|BufferWrite).*|curl_easy_perform|curl_multi_wait|curl_multi_poll|getaddrinfo|gethostbyname|connect|recv|poll|select|sleep|usleep|nanosleep|pg_usleep'
replaced='curl_global_init_mem|curl_global_cleanup|json_set_alloc_funcs|json_object|signal|sigaction|pqsignal|setitimer|setlocale|sigprocmask'

[ -f "$library" ] || { echo "$library is not built"; exit 1; }
breaches=$(
	nm -D --defined-only "$library" | awk '{ print $NF }' | grep -vxE "$exported" | sed 's/^/exports /' || true
	nm -D --undefined-only "$library" | awk '{ print $NF }' | sed 's/@.*//' |
		grep -xE "$blocking|$replaced" | sed 's/^/imports /' || true
)
[ -z "$breaches" ] || { echo "$breaches"; exit 1; }
