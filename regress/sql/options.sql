-- Options: each is checked where it is set, and no message quotes its value.
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw;
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'nobody');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'better_auth');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', api_key 'sk_test_secret');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', color 'red');

-- URLs
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url '');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url 'example.com');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url 'ftp://example.com');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url 'file:///etc/passwd');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url 'https://user:secret@example.com');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url 'https://example.com/?key=secret');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url 'https://example.com/#x');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url 'https://example.com/#');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url 'https://example.com/v1?');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url E'https://example.com/\r\nX: y');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url 'https://example.com/a/..%2fb');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url 'https://example.com/a/..\b');

-- numbers and durations
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', page_size '0');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', page_size '501');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', page_size 'many');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', request_timeout '0');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', request_timeout '10 parsecs');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', request_timeout '-1s');

CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', idle_timeout '-1');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_timeout '0');

-- refreshes
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', full_refresh_every '-1');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', full_refresh_every '577h');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', full_refresh_every 'never');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', ignore_changes '');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', ignore_changes ' ');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', ignore_changes 'a,');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', ignore_changes ',a');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', ignore_changes 'a b');
DO $$
DECLARE
	value text;
BEGIN
	FOREACH value IN ARRAY ARRAY[repeat('x', 65), repeat('a, ', 100) || 'a']
	LOOP
		BEGIN
			EXECUTE format('CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider %L, ignore_changes %L)',
						   'clerk', value);
		EXCEPTION WHEN invalid_parameter_value THEN
			RAISE NOTICE '%', SQLERRM;
		END;
	END LOOP;
END
$$;
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw
	OPTIONS (provider 'clerk', full_refresh_every '0', ignore_changes 'last_seen');
ALTER SERVER s OPTIONS (SET full_refresh_every '24d', SET ignore_changes ' last_seen , logins,x-y ');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (api_key 'sk_test_x', full_refresh_every '1h');
DROP SERVER s;

-- the address of a Redis
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_url '127.0.0.1:6379');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_url 'http://127.0.0.1:6379');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_url 'redis://');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_url 'redis://:secret@127.0.0.1');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_url 'redis://127.0.0.1/one');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_url 'redis://127.0.0.1/1/2');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_url 'redis://127.0.0.1/1?x=y');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_url 'redis://127.0.0.1:66000');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_url E'redis://127.0.0.1/\r\n1');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_url 'unix:redis.sock');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_url 'unix://host/redis.sock');
DO $$
BEGIN
	EXECUTE format('CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider %L, redis_url %L)',
				   'clerk', 'unix:/' || repeat('x', 107));
EXCEPTION WHEN invalid_parameter_value THEN
	RAISE NOTICE '%', SQLERRM;
END
$$;
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw
	OPTIONS (provider 'clerk', redis_url 'redis://127.0.0.1', idle_timeout '0', redis_timeout '1s');
ALTER SERVER s OPTIONS (SET redis_url 'rediss://cache.example.com:6380/15');
ALTER SERVER s OPTIONS (SET redis_url 'redis://[::1]:6379/');
ALTER SERVER s OPTIONS (SET redis_url 'unix:/run/redis/redis.sock');
DROP SERVER s;

-- the cache
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_prefix '');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_prefix 'a b');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_prefix '{a}');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_prefix 'a*');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_prefix E'a\r\nFLUSHALL');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', redis_prefix 'é');
DO $$
BEGIN
	EXECUTE format('CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider %L, redis_prefix %L)',
				   'clerk', repeat('x', 64));
EXCEPTION WHEN invalid_parameter_value THEN
	RAISE NOTICE '%', SQLERRM;
END
$$;
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_ttl '-1');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_ttl '25h');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_ttl 'soon');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_ttl '');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_stale_ttl '-1s');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_stale_ttl '2d');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_max_bytes '63kB');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_max_bytes '0');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_max_bytes '-1GB');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_max_bytes '1025GB');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_max_bytes '1e400');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_max_bytes 'NaN');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', cache_max_bytes '64 MiB');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', max_requests_per_second '0');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', max_requests_per_second '1001');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', max_requests_per_second '10/s');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', max_concurrency '0');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', max_concurrency '33');
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw
	OPTIONS (provider 'clerk', redis_prefix 'App-1_x.y:z', cache_ttl '0', cache_stale_ttl '0', cache_max_bytes '64kB',
		max_requests_per_second '1', max_concurrency '1');
ALTER SERVER s OPTIONS (SET cache_ttl '1d', SET cache_stale_ttl '24h', SET cache_max_bytes '1TB', SET max_requests_per_second '1000', SET max_concurrency '32');
ALTER SERVER s OPTIONS (SET cache_ttl '90', SET cache_stale_ttl '0.5h', SET cache_max_bytes '65536');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (api_key 'sk_test_x', cache_ttl '1min');
DROP SERVER s;
SET neon_auth_fdw.cache = refill;
SET neon_auth_fdw.cache = off;
SET neon_auth_fdw.cache = false;
SET neon_auth_fdw.cache = 'always';
RESET neon_auth_fdw.cache;
SHOW neon_auth_fdw.cache;

CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw
	OPTIONS (provider 'better_auth', url 'https://auth.example.com/base/', page_size '100',
		connect_timeout '500ms', request_timeout '5s', scan_timeout '1min', refresh_timeout '1h');
ALTER SERVER s OPTIONS (DROP url);
ALTER SERVER s OPTIONS (SET page_size '7');

-- credentials: in user mappings only, and never with a character that ends a header
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (api_key '');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (api_key E'sk\r\nX-Evil: 1');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (api_key 'sk test');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (api_key 'schlüssel');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (password 'x');
DO $$
BEGIN
	EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (api_key %L)', repeat('x', 4097));
EXCEPTION WHEN invalid_parameter_value THEN
	RAISE NOTICE '%', SQLERRM;
END
$$;
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (api_key 'sk_test_x', redis_user 'app');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (api_key 'sk_test_x', redis_password E'a\nb');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (api_key 'sk_test_x', redis_user 'app', redis_password 'x');

-- a client's, in the place of a key; which of them a provider takes is looked at when it is asked
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (client_id 'a b');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (client_secret E'a\nb');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (client_id 'client', private_key '-----BEGIN PRIVATE KEY-----');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (private_key_id 'a/b');
-- a key as a file of JSON has it, with "\n" for each end of line; no other escape is taken
\set key `openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 | sed 's/$/\\n/' | tr -d '\n'`
SELECT :'key' LIKE '-----BEGIN PRIVATE KEY-----\\n%\\n-----END PRIVATE KEY-----\\n' AS escaped;
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (client_id 'client', private_key :'key');
DROP USER MAPPING FOR PUBLIC SERVER s;
SELECT replace(:'key', '\n', '\r') AS key \gset
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (client_id 'client', private_key :'key');
CREATE FOREIGN TABLE t (id text) SERVER s;
ALTER USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (ADD client_id 'client', ADD client_secret 'secret');
SELECT count(id) FROM t;
ALTER USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (DROP api_key);
SELECT count(id) FROM t;
ALTER USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (DROP client_id, DROP client_secret);
SELECT count(id) FROM t;
DROP USER MAPPING FOR CURRENT_USER SERVER s;
CREATE SERVER k FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'keycloak', url 'https://auth.example.com');
CREATE SERVER k FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'keycloak', url 'https://auth.example.com', realm '');
CREATE SERVER k FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'keycloak', url 'https://auth.example.com', realm 'my realm');
CREATE FOREIGN TABLE u (id text) SERVER k;
DO $$
DECLARE
	name text;
	hint text;
BEGIN
	FOREACH name IN ARRAY '{t,u}'::text[] LOOP
		BEGIN
			EXECUTE format('SELECT count(id) FROM %I', name);
		EXCEPTION WHEN undefined_object THEN
			GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
			RAISE NOTICE '%', replace(hint, quote_ident(current_user), 'ROLE');
		END;
	END LOOP;
END
$$;
CREATE USER MAPPING FOR CURRENT_USER SERVER k;
SELECT count(id) FROM u;
ALTER USER MAPPING FOR CURRENT_USER SERVER k OPTIONS (ADD client_id 'client');
SELECT count(id) FROM u;
ALTER USER MAPPING FOR CURRENT_USER SERVER k OPTIONS (ADD api_key 'x');
SELECT count(id) FROM u;
DROP FOREIGN TABLE t, u;

-- options that only some providers have
ALTER SERVER s OPTIONS (ADD realm 'x');
ALTER SERVER k OPTIONS (ADD project_id 'x');
ALTER SERVER k OPTIONS (DROP realm);
ALTER SERVER k OPTIONS (ADD deprovisioned_as_deleted 'true');
ALTER SERVER k OPTIONS (ADD deprovisioned_as_deleted 'false');
ALTER SERVER k OPTIONS (SET deprovisioned_as_deleted 'maybe');
ALTER SERVER k OPTIONS (SET realm E'a\nb');
CREATE SERVER o FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'okta', url 'https://example.okta.com', token_type 'Basic');
CREATE SERVER o FOREIGN DATA WRAPPER neon_auth_fdw
	OPTIONS (provider 'okta', url 'https://example.okta.com', token_type 'bearer', deprovisioned_as_deleted 'on');
CREATE SERVER st FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'stack');
CREATE SERVER st FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'stack', project_id 'a b');
CREATE SERVER st FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'stack', project_id 'x', header_prefix 'Authorization');
CREATE SERVER st FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'stack', project_id 'x', header_prefix 'x-hexclave');
SET client_min_messages = warning;
DROP SERVER k, o, st CASCADE;
RESET client_min_messages;

-- a directory of one's own: each option, and what does not go together
CREATE SERVER g FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'generic', url 'https://auth.example.com');
CREATE SERVER g FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'generic', url 'https://auth.example.com', list_path '/users');
ALTER SERVER g OPTIONS (SET list_path 'users');
ALTER SERVER g OPTIONS (SET list_path '/a/../users');
ALTER SERVER g OPTIONS (SET list_path '/a//users');
ALTER SERVER g OPTIONS (SET list_path '/a%2e%2e/users');
ALTER SERVER g OPTIONS (SET list_path '/users#x');
ALTER SERVER g OPTIONS (SET list_path E'/users\nx');
ALTER SERVER g OPTIONS (SET list_path '/users%zz');
ALTER SERVER g OPTIONS (SET list_path '/users/?status=all&sort=id');
ALTER SERVER g OPTIONS (ADD paging 'pages');
ALTER SERVER g OPTIONS (ADD paging 'cursor');
ALTER SERVER g OPTIONS (ADD paging 'offset', ADD next_member 'next');
ALTER SERVER g OPTIONS (ADD first_page '0');
ALTER SERVER g OPTIONS (ADD page_parameter 'p');
ALTER SERVER g OPTIONS (ADD paging 'page', ADD size_parameter 'none');
ALTER SERVER g OPTIONS (ADD paging 'page', ADD page_size '19');
ALTER SERVER g OPTIONS (ADD paging 'offset', ADD page_size '1001');
ALTER SERVER g OPTIONS (ADD paging 'offset', ADD page_parameter 'sort');
ALTER SERVER g OPTIONS (ADD users_member 'data..items');
ALTER SERVER g OPTIONS (ADD user_path '/users');
ALTER SERVER g OPTIONS (ADD user_path '/users/x{id}');
ALTER SERVER g OPTIONS (ADD user_member 'data');
ALTER SERVER g OPTIONS (ADD not_found_member 'code', ADD not_found_value 'x');
ALTER SERVER g OPTIONS (ADD user_path '/users/{id}', ADD not_found_status '404');
ALTER SERVER g OPTIONS (ADD user_path '/users/{id}', ADD not_found_member 'code', ADD not_found_value 'x', ADD not_found_status '403');
ALTER SERVER g OPTIONS (ADD user_path '/users/{id}', ADD not_found_value 'x');
ALTER SERVER g OPTIONS (ADD last_name_member 'last');
ALTER SERVER g OPTIONS (ADD since_parameter 'since');
ALTER SERVER g OPTIONS (ADD id_type 'int');
ALTER SERVER g OPTIONS (ADD time_unit 'us');
ALTER SERVER g OPTIONS (ADD auth_header 'Content-Length');
ALTER SERVER g OPTIONS (ADD auth_header 'a: b');
ALTER SERVER g OPTIONS (ADD realm 'x');
ALTER SERVER s OPTIONS (ADD list_path '/x');
ALTER SERVER g OPTIONS (ADD paging 'Page', ADD page_size '20', ADD user_path '/users/{id}', ADD not_found_member 'error.code', ADD not_found_value 'no such user', ADD auth_header 'PRIVATE-TOKEN');
DROP SERVER g;

-- members that are not kept
ALTER SERVER s OPTIONS (ADD redact '');
ALTER SERVER s OPTIONS (ADD redact 'a b');
ALTER SERVER s OPTIONS (ADD redact 'image,  banned.by , a.b.c');

-- foreign tables and the wrapper take none
CREATE FOREIGN TABLE t (id text) SERVER s OPTIONS (id 'x');
ALTER FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (ADD url 'https://example.com');

SET client_min_messages = warning;
DROP SERVER s CASCADE;
