-- What is asked of the provider, seen by EXPLAIN, which asks nothing.
CREATE SERVER clerk FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk');
CREATE SERVER better FOREIGN DATA WRAPPER neon_auth_fdw
	OPTIONS (provider 'better_auth', url 'https://auth.example.com/');
CREATE USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (api_key 'sk_test_canary');
CREATE FOREIGN TABLE users (id text, name text, email text, created_at timestamptz, raw_json jsonb) SERVER clerk;
CREATE FOREIGN TABLE members (id text, name text) SERVER better;

-- a listing
EXPLAIN (VERBOSE, COSTS OFF) SELECT id, name FROM users;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM members;

-- id = is one request, and is checked again locally
EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM users WHERE id = 'user_1';
EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM users WHERE 'user_1' = id AND name LIKE 'A%';
EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM members WHERE id = 'a/../b?c&d=e#f%';
PREPARE by_id(text) AS SELECT name FROM users WHERE id = $1;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (VERBOSE, COSTS OFF) EXECUTE by_id('user_1');
RESET plan_cache_mode;

-- anything else is local
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id <> 'user_1';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id = 'user_1' OR name = 'x';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE lower(id) = 'user_1';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id = name;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id = random()::text;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE email = 'a@example.com';

-- look-alikes: an operator of another schema, a collation that ignores case
CREATE SCHEMA nauth_trojan;
CREATE FUNCTION nauth_trojan.eq(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR nauth_trojan.= (LEFTARG = text, RIGHTARG = text, FUNCTION = nauth_trojan.eq);
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id OPERATOR(nauth_trojan.=) 'user_1';
CREATE COLLATION nauth_trojan.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id = 'user_1' COLLATE nauth_trojan.nocase;

-- only the columns that are needed; never the credential
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*) FROM users;
EXPLAIN (VERBOSE, COSTS OFF) SELECT users FROM users;
EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) SELECT id FROM users WHERE id = 'user_1';

SET client_min_messages = warning;
DROP SCHEMA nauth_trojan CASCADE;
DROP SERVER clerk CASCADE;
DROP SERVER better CASCADE;
