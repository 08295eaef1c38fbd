-- What is asked of the provider, seen by EXPLAIN, which asks nothing.
CREATE SERVER clerk FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk');
CREATE SERVER better FOREIGN DATA WRAPPER neon_auth_fdw
	OPTIONS (provider 'better_auth', url 'https://auth.example.com/');
CREATE USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (api_key 'sk_test_canary');
CREATE FOREIGN TABLE users (id text, name text, email text, created_at timestamptz, updated_at timestamptz, raw_json jsonb)
	SERVER clerk;
CREATE FOREIGN TABLE members (id text, name text, email text, created_at timestamptz, updated_at timestamptz) SERVER better;
SET timezone = 'UTC';
SET jit = off;

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

-- several ids: one request where the provider has it
EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM users WHERE id IN ('user_b', 'user_a', 'user_b');
EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM members WHERE id = ANY ('{b,a,NULL}');
EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM users WHERE id = ANY ('{}');
PREPARE by_ids(text[]) AS SELECT name FROM users WHERE id = ANY ($1);
SET plan_cache_mode = force_generic_plan;
EXPLAIN (VERBOSE, COSTS OFF) EXECUTE by_ids('{user_1}');
RESET plan_cache_mode;
EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM users WHERE id <> ALL ('{a,b}');

-- an id from another table: a lookup each, while there are few
CREATE TABLE post (author text, n int);
INSERT INTO post SELECT 'user_' || n, n FROM generate_series(1, 5) n;
ANALYZE post;
EXPLAIN (VERBOSE, COSTS OFF) SELECT n, name FROM post LEFT JOIN users ON id = author;
INSERT INTO post SELECT 'user_' || n, n FROM generate_series(6, 50000) n;
ANALYZE post;
EXPLAIN (VERBOSE, COSTS OFF) SELECT n, name FROM post JOIN users ON id = author;
EXPLAIN (VERBOSE, COSTS OFF) SELECT n, name FROM post JOIN users ON id = author WHERE author = 'user_7';
EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM post p CROSS JOIN LATERAL (SELECT name FROM users WHERE id = p.author OFFSET 0) u
	WHERE n < 3;

-- an e-mail address; one that may be no single address is looked for here
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE email = 'a+b&c@example.com';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE email = 'Ada@Example.com';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM members WHERE email = 'Ada@Example.com';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE email = E'a@example.com\r\nb@example.com';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE email = '';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE email = (SELECT 'a@example.com' OFFSET 0);
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE lower(email) = 'a@example.com';

-- times of creation, where the provider has windows
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users
	WHERE created_at >= '2024-05-01' AND created_at < '2024-05-02 00:00:00.0005';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE '2024-05-01'::date < created_at;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE created_at = '2024-05-01'::timestamp;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE created_at > now() - interval '1 day';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE created_at > '-infinity' AND created_at < 'infinity';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE created_at > '2024-05-02' AND created_at < '2024-05-01';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM members WHERE created_at >= '2024-05-01';

-- times of change: the latest changes, if they go back far enough
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE updated_at >= '2024-05-01';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM members WHERE updated_at > '2024-05-01' AND name <> 'x';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE updated_at < '2024-05-01';

-- order and limit
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users ORDER BY created_at;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users ORDER BY created_at DESC;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users ORDER BY created_at DESC LIMIT 10 OFFSET 5;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE created_at < '2024-05-01' ORDER BY created_at DESC LIMIT 10;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users ORDER BY created_at, id;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users ORDER BY updated_at DESC NULLS LAST LIMIT 10;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users LIMIT 10;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM members ORDER BY created_at DESC LIMIT 10;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM members ORDER BY created_at DESC;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM members ORDER BY updated_at DESC LIMIT 10;

EXPLAIN (VERBOSE, COSTS OFF) SELECT max(updated_at), max(created_at), min(created_at) FROM users;

-- not where that would not be all that is read
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users ORDER BY updated_at DESC, id LIMIT 10;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users ORDER BY updated_at DESC LIMIT 501;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users ORDER BY updated_at LIMIT 10;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users ORDER BY updated_at DESC FETCH FIRST 10 ROWS WITH TIES;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE name = 'x' ORDER BY updated_at DESC LIMIT 10;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users ORDER BY name LIMIT 10;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users ORDER BY updated_at DESC LIMIT (SELECT 10 OFFSET 0);
EXPLAIN (VERBOSE, COSTS OFF) SELECT DISTINCT email FROM users LIMIT 10;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users JOIN post ON id = author AND n < 20000 LIMIT 10;

-- the number of users
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*) FROM users;
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*) + 1, 'x', count(*) FROM members LIMIT 1;
EXPLAIN (VERBOSE, COSTS OFF) SELECT (SELECT count(*) FROM users), count(*) FROM members;
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*) FROM users WHERE email <> 'x';
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*) FILTER (WHERE email <> 'x') FROM users;
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*), count(name) FROM users;
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*) FROM users GROUP BY email;
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*) FROM users HAVING count(*) > 1;
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*) FROM users u JOIN members USING (id);

-- anything else is local
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id <> 'user_1';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id = 'user_1' OR name = 'x';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE lower(id) = 'user_1';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id = name;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id = random()::text;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE created_at = ANY ('{2024-05-01}');
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE name = 'x';

-- hostile values
EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM users WHERE id IN ('-user_a', '+user_b', 'user_c', 'user_d', '..', '', 'count');
EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM users WHERE id IN (E'a\r\nb', 'c&d=e#f?%');
EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM users WHERE id IN ('..', 'count');

-- nothing of this when it is switched off
SET neon_auth_fdw.pushdown = off;
EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM users WHERE id = 'user_1';
EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM users ORDER BY created_at LIMIT 1;
EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*) FROM users;
EXPLAIN (VERBOSE, COSTS OFF) SELECT n, name FROM post JOIN users ON id = author AND n < 3;
RESET neon_auth_fdw.pushdown;

-- costs: options of the server, and the number of users
ALTER SERVER clerk OPTIONS (ADD request_cost '1e6', ADD fdw_tuple_cost '10');
EXPLAIN SELECT id FROM users WHERE id = 'user_1';
EXPLAIN SELECT id FROM users;
ALTER SERVER clerk OPTIONS (SET request_cost '0', SET fdw_tuple_cost '0');
EXPLAIN SELECT id FROM users;
ALTER SERVER clerk OPTIONS (DROP request_cost, DROP fdw_tuple_cost);
BEGIN;
INSERT INTO neon_auth.sync_state (target, server, provider, tenant, credential, cluster, live_users)
	VALUES ('post', 'clerk', '', '', '', '', 1234567);
EXPLAIN SELECT id FROM users;
ROLLBACK;
ALTER SERVER clerk OPTIONS (ADD request_cost '-1');
ALTER SERVER clerk OPTIONS (ADD fdw_tuple_cost 'nan');

-- look-alikes: an operator of another schema, a collation that ignores case
CREATE SCHEMA nauth_trojan;
CREATE FUNCTION nauth_trojan.eq(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR nauth_trojan.= (LEFTARG = text, RIGHTARG = text, FUNCTION = nauth_trojan.eq);
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id OPERATOR(nauth_trojan.=) 'user_1';
CREATE COLLATION nauth_trojan.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id = 'user_1' COLLATE nauth_trojan.nocase;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE email = 'a@example.com' COLLATE nauth_trojan.nocase;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id COLLATE nauth_trojan.nocase IN ('a', 'b');
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id = 'user_1' COLLATE "C";
CREATE FUNCTION nauth_trojan.ge(timestamptz, timestamptz) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR nauth_trojan.>= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = nauth_trojan.ge);
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE created_at OPERATOR(nauth_trojan.>=) '2024-05-01';
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id = ANY ('{a,b}'::varchar[]) AND email = 'a@example.com'::varchar;
-- citext and its like have operators of their own
CREATE DOMAIN nauth_trojan.any_text AS text;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM users WHERE id = 'user_1'::nauth_trojan.any_text;

-- only the columns that are needed; never the credential
EXPLAIN (VERBOSE, COSTS OFF) SELECT 1 FROM users;
EXPLAIN (VERBOSE, COSTS OFF) SELECT users FROM users;
DO $$
DECLARE
	plan text;
BEGIN
	EXECUTE $sql$EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) SELECT id FROM users WHERE id = 'user_1'$sql$ INTO plan;
	RAISE INFO '%', regexp_replace(plan, '\s*"Disabled": false,', '');	-- which PostgreSQL 18 adds
END
$$;

DROP TABLE post;
RESET timezone;
SET client_min_messages = warning;
DROP SCHEMA nauth_trojan CASCADE;
DROP SERVER clerk CASCADE;
DROP SERVER better CASCADE;
