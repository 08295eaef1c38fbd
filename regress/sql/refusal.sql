-- What is refused before anything is asked: there is no provider here.
CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw
	OPTIONS (provider 'better_auth', url 'http://127.0.0.1:9');
CREATE ROLE nauth_regress_super SUPERUSER;
SET ROLE nauth_regress_super;
CREATE SCHEMA nauth_r;

-- scans
CREATE FOREIGN TABLE nauth_r.users (id text, name text) SERVER s;
SELECT * FROM nauth_r.users;
CREATE USER MAPPING FOR CURRENT_USER SERVER s;
SELECT * FROM nauth_r.users;
ALTER USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (ADD api_key 'canary');
SELECT * FROM nauth_r.users;
-- http has to be allowed, whatever the address; a prefix of a name is no match
SET neon_auth_fdw.allowed_urls = 'https://127.0.0.1:9, http://127.0.0.1:90, http://127.0.0.1:9/deeper';
SELECT * FROM nauth_r.users;
-- ids that nobody can have ask nothing
SELECT * FROM nauth_r.users WHERE id = '';
SELECT * FROM nauth_r.users WHERE id = NULL;
SELECT * FROM nauth_r.users WHERE id = repeat('x', 256);
-- a scan that is not reached asks nothing
SELECT * FROM nauth_r.users WHERE false;
SELECT * FROM nauth_r.users LIMIT 0;

-- refresh: arguments
CALL neon_auth.refresh_users_sync('s', mode => 'wrong', target => 'nauth_r.users_sync');
CALL neon_auth.refresh_users_sync('s', mode => 'incremental', target => 'nauth_r.users_sync');
CALL neon_auth.refresh_users_sync(NULL);
CALL neon_auth.refresh_users_sync('no_such_server');
CALL neon_auth.refresh_users_sync('s', target => 'nauth_r.users');
CALL neon_auth.refresh_users_sync('s', target => 'no_such_schema.users_sync');
CALL neon_auth.refresh_users_sync('s', target => 'nauth_r.users_sync', approve_deletions => -1);
CALL neon_auth.refresh_users_sync('s', target => 'nauth_r.users_sync', approve_deletions => 3);

-- refresh: transactions
BEGIN ISOLATION LEVEL REPEATABLE READ;
CALL neon_auth.refresh_users_sync('s', target => 'nauth_r.users_sync');
ROLLBACK;
BEGIN READ ONLY;
CALL neon_auth.refresh_users_sync('s', target => 'nauth_r.users_sync');
ROLLBACK;
SET default_transaction_read_only = on;
CALL neon_auth.refresh_users_sync('s', target => 'nauth_r.users_sync');
RESET default_transaction_read_only;

-- a failed run stays in the log, with its reason and without a secret
CALL neon_auth.refresh_users_sync('s', target => 'nauth_r.users_sync');
SELECT server, mode, reason, status, finished_at IS NOT NULL AS finished, requests, sqlstate, error
FROM neon_auth.sync_run WHERE target = 'nauth_r.users_sync'::regclass ORDER BY run_id;
-- inside a transaction nothing of it stays
BEGIN;
CALL neon_auth.refresh_users_sync('s', target => 'nauth_r.users_sync');
ROLLBACK;
SELECT count(*) FROM neon_auth.sync_run WHERE target = 'nauth_r.users_sync'::regclass;

-- privileges: the server's, a mapping of one's own, the target's
CREATE ROLE nauth_regress_app;
GRANT ALL ON SCHEMA nauth_r TO nauth_regress_app;
GRANT SELECT ON nauth_r.users TO nauth_regress_app;
SET ROLE nauth_regress_app;
SELECT * FROM nauth_r.users;
CALL neon_auth.refresh_users_sync('s', target => 'nauth_r.users_sync');
SET ROLE nauth_regress_super;
GRANT USAGE ON FOREIGN SERVER s TO nauth_regress_app;
SET ROLE nauth_regress_app;
CALL neon_auth.refresh_users_sync('s', target => 'nauth_r.users_sync');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (api_key 'mine');
CALL neon_auth.refresh_users_sync('s', target => 'nauth_r.users_sync');
-- who does not own a target does not see its state
SELECT count(*) FROM neon_auth.sync_run;
SELECT count(*) FROM neon_auth.sync_status;
RESET ROLE;

SET client_min_messages = warning;
DROP SERVER s CASCADE;
DROP SCHEMA nauth_r CASCADE;
DROP OWNED BY nauth_regress_app;
DROP ROLE nauth_regress_app, nauth_regress_super;

-- the providers' own hosts: one label, https, the scheme's port and the path of the API; none of these is asked
RESET neon_auth_fdw.allowed_urls;
RESET client_min_messages;
CREATE SERVER nauth_regress_own FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'supabase', url 'https://abc.supabase.co');
CREATE USER MAPPING FOR CURRENT_USER SERVER nauth_regress_own OPTIONS (api_key 'x');
CREATE FOREIGN TABLE own_users (id text) SERVER nauth_regress_own;
SELECT id FROM own_users;
DO $$
DECLARE
	address text;
BEGIN
	FOREACH address IN ARRAY ARRAY[
		'http://abc.supabase.co/auth/v1', 'https://abc.supabase.co:8443/auth/v1', 'https://supabase.co/auth/v1', 'https://.supabase.co/auth/v1',
		'https://a.b.supabase.co/auth/v1', 'https://supabase.co.example.com/auth/v1', 'https://abc.supabase.co.example.com/auth/v1',
		'https://abcsupabase.co/auth/v1', 'https://abc.supabase.com/auth/v1', 'https://abc.supabase.co/auth/v10', 'https://abc.supabase.co/functions/v1',
		'https://abc.supabase.co/functions/auth/v1', 'https://abc.supabase.co/auth/v1/../../functions/v1', 'https://*.supabase.co/functions/v1',
		'https://abc.supabase.co./auth/v1'] LOOP
		BEGIN
			EXECUTE format('ALTER SERVER nauth_regress_own OPTIONS (SET url %L)', address);
			PERFORM id FROM own_users;
		EXCEPTION WHEN OTHERS THEN
			RAISE NOTICE '%: % %', address, SQLSTATE, SQLERRM;
		END;
	END LOOP;
END
$$;
ALTER SERVER nauth_regress_own OPTIONS (SET provider 'okta', SET url 'https://example.okta.com/x');
SELECT id FROM own_users;
ALTER SERVER nauth_regress_own OPTIONS (SET provider 'auth0', SET url 'https://example.eu.auth0.com/x');
SELECT id FROM own_users;
SET client_min_messages = warning;
DROP SERVER nauth_regress_own CASCADE;
RESET client_min_messages;
