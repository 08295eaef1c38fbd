-- The extension itself: what it makes, who may use it, what is documented.
SELECT extversion, extrelocatable, n.nspname
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE extname = 'neon_auth_fdw';

-- every object it makes
SELECT pg_describe_object(classid, objid, 0) AS object
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'neon_auth_fdw')
AND classid <> 'pg_type'::regclass
ORDER BY pg_describe_object(classid, objid, 0) COLLATE "C";

-- has a comment
SELECT pg_describe_object(classid, objid, 0) AS object_without_comment
FROM pg_depend d
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'neon_auth_fdw')
AND classid <> 'pg_type'::regclass
AND NOT (classid = 'pg_class'::regclass AND (SELECT relkind FROM pg_class WHERE oid = objid) NOT IN ('r', 'v'))
AND NOT EXISTS (SELECT FROM pg_description c WHERE c.classoid = d.classid AND c.objoid = d.objid AND c.objsubid = 0)
ORDER BY 1;

SELECT c.oid::regclass AS table_with_a_column_without_comment, a.attname
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'neon_auth'::regnamespace AND c.relkind = 'r' AND c.relname <> 'users_sync'
AND col_description(c.oid, a.attnum) IS NULL
ORDER BY 1, 2;

-- state tables, their sequences included, belong to a dump
SELECT unnest(extconfig)::regclass AS dumped FROM pg_extension WHERE extname = 'neon_auth_fdw' ORDER BY 1;

SELECT * FROM neon_auth.providers() ORDER BY provider;

-- the wrapper, and with it all access to the network, is nobody's by default
CREATE ROLE nauth_regress_app;
SELECT has_foreign_data_wrapper_privilege('nauth_regress_app', 'neon_auth_fdw', 'USAGE');

-- ordinary roles read state, of their own targets, and write none of it
SELECT c.relname, p.privilege,
	has_table_privilege('nauth_regress_app', c.oid, p.privilege) AS granted
FROM pg_class c, (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS p (privilege)
WHERE c.relnamespace = 'neon_auth'::regnamespace
AND c.relname IN ('sync_state', 'sync_run', 'held_deletion', 'quarantined_user', 'sync_digest')
AND has_table_privilege('nauth_regress_app', c.oid, p.privilege)
ORDER BY c.relname COLLATE "C", p.privilege;

-- all that psql lists says what it is
SELECT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'neon_auth_fdw' AND d.classid <> 'pg_type'::regclass
	AND obj_description(d.objid, d.classid::regclass::name) IS NULL AND d.objid <> 'neon_auth.sync_run_run_id_seq'::regclass
UNION ALL SELECT format('column %s of %s', attname, attrelid::regclass) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
	WHERE relnamespace = 'neon_auth'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0 AND col_description(attrelid, attnum) IS NULL;

-- settings of our prefix are ours alone, and the allow-list is the superuser's
SET neon_auth_fdw.no_such_setting = 'x';
SET ROLE nauth_regress_app;
SET neon_auth_fdw.allowed_urls = 'http://127.0.0.1:1';
RESET ROLE;
DROP ROLE nauth_regress_app;

-- a schema that somebody else owns is not taken over; later versions show all of the statement
\set SHOW_CONTEXT never
CREATE ROLE nauth_regress_trojan;
CREATE DATABASE nauth_regress_trojan TEMPLATE template0 ENCODING 'UTF8';
CREATE DATABASE nauth_regress_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
\set here :DBNAME
\c nauth_regress_trojan
CREATE SCHEMA neon_auth AUTHORIZATION nauth_regress_trojan;
CREATE EXTENSION neon_auth_fdw;
CREATE TABLE neon_auth.sync_state (target text);
ALTER SCHEMA neon_auth OWNER TO CURRENT_USER;
CREATE EXTENSION neon_auth_fdw;
DROP TABLE neon_auth.sync_state;
CREATE EXTENSION neon_auth_fdw;

-- DROP EXTENSION leaves the table
SELECT neon_auth.create_users_sync();
DROP EXTENSION neon_auth_fdw;
SELECT count(*) FROM neon_auth.users_sync;
-- and CREATE EXTENSION finds it again
CREATE EXTENSION neon_auth_fdw;
SELECT neon_auth.create_users_sync();

-- a database that cannot hold what providers send is refused
\c nauth_regress_latin1
CREATE EXTENSION neon_auth_fdw;
\c :here
DROP DATABASE nauth_regress_trojan;
DROP DATABASE nauth_regress_latin1;
DROP ROLE nauth_regress_trojan;
