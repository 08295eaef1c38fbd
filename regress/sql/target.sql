-- Targets: the table that create_users_sync makes, and which others will do.
CREATE ROLE nauth_regress_owner;
CREATE ROLE nauth_regress_other;
CREATE SCHEMA nauth_t;
GRANT ALL ON SCHEMA nauth_t TO PUBLIC;

SELECT neon_auth.create_users_sync('nauth_t.users_sync');
\d nauth_t.users_sync
SELECT attname, attstorage, col_description(attrelid, attnum) FROM pg_attribute
	WHERE attrelid = 'nauth_t.users_sync'::regclass AND attnum > 0 ORDER BY attnum;
SELECT reloptions FROM pg_class WHERE oid = 'nauth_t.users_sync'::regclass;
SELECT obj_description('nauth_t.users_sync'::regclass);
-- compressed with lz4 where the server has that
SELECT attcompression = CASE WHEN 'lz4' = ANY (enumvals) THEN 'l' ELSE '' END AS compressed FROM pg_attribute, pg_settings s
	WHERE attrelid = 'nauth_t.users_sync'::regclass AND attname = 'raw_json' AND s.name = 'default_toast_compression';
-- PUBLIC may do nothing with it, whatever the default privileges are
ALTER DEFAULT PRIVILEGES IN SCHEMA nauth_t GRANT SELECT ON TABLES TO PUBLIC;
SELECT neon_auth.create_users_sync('nauth_t.private');
SELECT has_table_privilege('nauth_regress_other', 'nauth_t.private', 'SELECT');
-- again is nothing
SELECT neon_auth.create_users_sync('nauth_t.users_sync');

-- a name that has to be quoted
SELECT neon_auth.create_users_sync('nauth_t."Odd ""name"');
SELECT neon_auth.create_users_sync('no_such_schema.users_sync');
SELECT neon_auth.create_users_sync('a.b.c.d');

-- it belongs to whoever made it
SET ROLE nauth_regress_owner;
SELECT neon_auth.create_users_sync('nauth_t.mine');
SELECT neon_auth.create_users_sync();
RESET ROLE;
SELECT relowner::regrole FROM pg_class WHERE oid = 'nauth_t.mine'::regclass;
SET ROLE nauth_regress_other;
SELECT neon_auth.create_users_sync('nauth_t.mine');
RESET ROLE;

-- a new table may get the Oid of a dropped one, and must not inherit its state
INSERT INTO neon_auth.held_deletion VALUES (4294967000, 'a', 'because', NULL, now());
SELECT neon_auth.create_users_sync('nauth_t.fresh');
SELECT count(*) FROM neon_auth.held_deletion WHERE target = 4294967000;

-- shapes that will do: columns in another order with more beside them, Neon's own
CREATE TABLE nauth_t.other_order (note text, id text UNIQUE NOT NULL, email text, name text,
	deleted_at timestamptz, updated_at timestamptz, created_at timestamptz, raw_json jsonb);
SELECT neon_auth.create_users_sync('nauth_t.other_order');
CREATE TABLE nauth_t.neon (
	raw_json jsonb NOT NULL,
	id text GENERATED ALWAYS AS (raw_json ->> 'id') STORED PRIMARY KEY,
	name text GENERATED ALWAYS AS (raw_json ->> 'display_name') STORED,
	email text GENERATED ALWAYS AS (raw_json ->> 'primary_email') STORED,
	created_at timestamptz GENERATED ALWAYS AS (to_timestamp(trunc(((raw_json ->> 'signed_up_at_millis')::bigint)::float8) / 1000::float8)) STORED,
	updated_at timestamptz,
	deleted_at timestamptz);
SELECT neon_auth.create_users_sync('nauth_t.neon');

-- and shapes that will not
CREATE VIEW nauth_t.a_view AS SELECT * FROM nauth_t.users_sync;
SELECT neon_auth.create_users_sync('nauth_t.a_view');
CREATE TABLE nauth_t.no_email (LIKE nauth_t.users_sync INCLUDING ALL);
ALTER TABLE nauth_t.no_email DROP COLUMN email;
SELECT neon_auth.create_users_sync('nauth_t.no_email');
CREATE TABLE nauth_t.uuid_id (LIKE nauth_t.users_sync INCLUDING ALL);
ALTER TABLE nauth_t.uuid_id ALTER id TYPE uuid USING id::uuid;
SELECT neon_auth.create_users_sync('nauth_t.uuid_id');
CREATE TABLE nauth_t.no_key (LIKE nauth_t.users_sync);
SELECT neon_auth.create_users_sync('nauth_t.no_key');
CREATE UNIQUE INDEX ON nauth_t.no_key (id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX ON nauth_t.no_key (id, email);
CREATE UNIQUE INDEX ON nauth_t.no_key (lower(id));
SELECT neon_auth.create_users_sync('nauth_t.no_key');
CREATE TABLE nauth_t.half_generated (LIKE nauth_t.users_sync INCLUDING ALL);
ALTER TABLE nauth_t.half_generated DROP COLUMN name,
	ADD COLUMN name text GENERATED ALWAYS AS (raw_json ->> 'name') STORED;
SELECT neon_auth.create_users_sync('nauth_t.half_generated');

SET client_min_messages = warning;
DROP SCHEMA nauth_t CASCADE;
DROP ROLE nauth_regress_owner, nauth_regress_other;
