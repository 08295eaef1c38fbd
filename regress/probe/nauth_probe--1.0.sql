-- Functions for tests; nauth_probe.c tells what they are for.
--
-- Copyright (c) 2026, neon_auth_fdw contributors

CREATE FUNCTION probe_fail_malloc(n int) RETURNS void
	LANGUAGE C STRICT VOLATILE AS 'MODULE_PATHNAME';

CREATE FUNCTION probe_malloc_calls() RETURNS bigint
	LANGUAGE C STRICT VOLATILE AS 'MODULE_PATHNAME';

CREATE FUNCTION probe_malloc_bytes() RETURNS bigint
	LANGUAGE C STRICT VOLATILE AS 'MODULE_PATHNAME';

CREATE FUNCTION probe_curl_get(url text) RETURNS int
	LANGUAGE C STRICT VOLATILE AS 'MODULE_PATHNAME';

CREATE FUNCTION probe_curl_cleanup() RETURNS void
	LANGUAGE C STRICT VOLATILE AS 'MODULE_PATHNAME';
