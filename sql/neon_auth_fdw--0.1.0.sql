/* The whole SQL surface of neon_auth_fdw 0.1.0.  Released scripts are never edited. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION neon_auth_fdw" to load this file. \quit

-- Whoever owns the schema, or may create in it, could put objects of his own in the
-- way of ours, and a database that is not UTF8 cannot hold what providers send.
DO $$
DECLARE
	others pg_catalog.text;
BEGIN
	IF (SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database
		WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) OPERATOR(pg_catalog.<>) 'UTF8' THEN
		RAISE EXCEPTION 'extension "neon_auth_fdw" requires a database with encoding UTF8'
			USING ERRCODE = 'feature_not_supported',
				  HINT = 'Create the database with: CREATE DATABASE name ENCODING ''UTF8'' TEMPLATE template0.';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n
				   JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
				   WHERE n.nspname OPERATOR(pg_catalog.=) 'neon_auth'
				   AND (r.rolsuper OR r.rolname OPERATOR(pg_catalog.=) CURRENT_USER)) THEN
		RAISE EXCEPTION 'schema "neon_auth" belongs to a role that is neither superuser nor the one installing the extension'
			USING ERRCODE = 'insufficient_privilege',
				  HINT = 'Look at what is in it, then drop it, or change its owner with: ALTER SCHEMA neon_auth OWNER TO CURRENT_USER.';
	END IF;
	SELECT pg_catalog.string_agg(CASE WHEN r.oid IS NULL THEN 'PUBLIC' ELSE pg_catalog.quote_ident(r.rolname) END, ', ')
		INTO others
		FROM pg_catalog.pg_namespace n
		CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) a
		LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.grantee
		WHERE n.nspname OPERATOR(pg_catalog.=) 'neon_auth'
		AND a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'
		AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner
		AND r.rolsuper IS NOT TRUE;
	IF others IS NOT NULL THEN
		RAISE EXCEPTION 'roles without superuser rights may create objects in schema "neon_auth"'
			USING ERRCODE = 'insufficient_privilege',
				  DETAIL = pg_catalog.concat('CREATE is granted to: ', others),
				  HINT = pg_catalog.concat('Create the schema if it is not there, then: REVOKE CREATE ON SCHEMA neon_auth FROM ', others, '.');
	END IF;
	SELECT pg_catalog.string_agg(pg_catalog.format('neon_auth.%I (%I)', c.relname, r.rolname), ', ' ORDER BY c.relname)
		INTO others
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) c.relowner
		WHERE c.relnamespace OPERATOR(pg_catalog.=) 'neon_auth'::pg_catalog.regnamespace
		AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p', 'v', 'm', 'f']::pg_catalog."char"[])
		AND NOT r.rolsuper AND r.rolname OPERATOR(pg_catalog.<>) CURRENT_USER;
	IF others IS NOT NULL THEN
		RAISE WARNING 'schema "neon_auth" has tables of roles without superuser rights: %', others
			USING HINT = 'Whoever owns users_sync decides what applications read there: drop it if it is not that of an earlier installation.';
	END IF;
END
$$;

COMMENT ON SCHEMA neon_auth IS 'users of auth providers: refresh functions and their state (extension neon_auth_fdw), and users_sync';

GRANT USAGE ON SCHEMA neon_auth TO PUBLIC;

/*
 * The foreign data wrapper
 */

CREATE FUNCTION neon_auth.neon_auth_fdw_handler()
RETURNS pg_catalog.fdw_handler
AS 'MODULE_PATHNAME', 'neon_auth_fdw_handler'
LANGUAGE C STRICT;

COMMENT ON FUNCTION neon_auth.neon_auth_fdw_handler() IS 'handler of foreign data wrapper neon_auth_fdw';

CREATE FUNCTION neon_auth.neon_auth_fdw_validator(pg_catalog.text[], pg_catalog.oid)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'neon_auth_fdw_validator'
LANGUAGE C STRICT;

COMMENT ON FUNCTION neon_auth.neon_auth_fdw_validator(pg_catalog.text[], pg_catalog.oid) IS 'checks options of servers, user mappings and foreign tables';

CREATE FOREIGN DATA WRAPPER neon_auth_fdw
	HANDLER neon_auth.neon_auth_fdw_handler
	VALIDATOR neon_auth.neon_auth_fdw_validator;

COMMENT ON FOREIGN DATA WRAPPER neon_auth_fdw IS 'the user directory of an auth provider';

CREATE FUNCTION neon_auth.providers(
	OUT provider pg_catalog.text,
	OUT url pg_catalog.text,
	OUT page_size pg_catalog.int4,
	OUT max_page_size pg_catalog.int4,
	OUT lists_changes pg_catalog.bool,
	OUT counts_windows pg_catalog.bool,
	OUT tells_deletions pg_catalog.bool,
	OUT pushdown pg_catalog.text[],
	OUT credentials pg_catalog.text[],
	OUT required pg_catalog.text[])
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'neon_auth_providers'
LANGUAGE C STRICT STABLE PARALLEL SAFE;

COMMENT ON FUNCTION neon_auth.providers() IS 'the values of server option "provider"; url is NULL where there is no single one: option "url" is then required, or others make it; lists_changes: refreshes can be incremental; counts_windows: deletions are found without a listing; tells_deletions: by events; pushdown: what queries of foreign tables can ask for alone; credentials: options of the user mapping, one of these; required: options of the server';

/*
 * The session's connections, and whether a server can be reached
 */

CREATE FUNCTION neon_auth.connections(
	OUT server pg_catalog.text,
	OUT role pg_catalog.text,
	OUT kind pg_catalog.text,
	OUT valid pg_catalog.bool,
	OUT sockets pg_catalog.int4,
	OUT uses pg_catalog.int8,
	OUT idle pg_catalog.interval)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'neon_auth_connections'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION neon_auth.connections() IS 'connections that this session keeps open; kind: provider or redis; valid: false after a change of any server or user mapping; sockets: open now; uses: how often it was used; idle: since the last use';

CREATE FUNCTION neon_auth.disconnect(server pg_catalog.text)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'neon_auth_disconnect'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION neon_auth.disconnect(pg_catalog.text) IS 'closes the connections of this session to a server; false if there were none';

CREATE FUNCTION neon_auth.disconnect_all()
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'neon_auth_disconnect_all'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION neon_auth.disconnect_all() IS 'closes all connections that this session keeps; false if there were none';

CREATE FUNCTION neon_auth.check_server(
	server pg_catalog.text,
	OUT part pg_catalog.text,
	OUT verdict pg_catalog.text,
	OUT message pg_catalog.text,
	OUT detail pg_catalog.text,
	OUT hint pg_catalog.text)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'neon_auth_check_server'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION neon_auth.check_server(pg_catalog.text) IS 'looks at each part that a server needs, with the credential of the caller, and says what to do: provider, clock, Redis, pg_cron';

CREATE FUNCTION neon_auth.cache_stats(
	OUT server pg_catalog.text,
	OUT role pg_catalog.text,
	OUT hits pg_catalog.int8,
	OUT stale pg_catalog.int8,
	OUT misses pg_catalog.int8,
	OUT waits pg_catalog.int8,
	OUT corrupt pg_catalog.int8,
	OUT lost pg_catalog.int8,
	OUT faults pg_catalog.int8,
	OUT skipped pg_catalog.int8,
	OUT bytes_read pg_catalog.int8,
	OUT bytes_written pg_catalog.int8)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'neon_auth_cache_stats'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION neon_auth.cache_stats() IS 'what the cache was good for in this session, one row a server and user mapping';

CREATE FUNCTION neon_auth.cache_clear(server pg_catalog.text)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'neon_auth_cache_clear'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION neon_auth.cache_clear(pg_catalog.text) IS 'forgets what is cached of a server for the credential of the caller';

/*
 * State.  Only the refresh writes these tables, as their owner.  A role sees
 * the rows of targets whose owner it is or belongs to, or all if it belongs to
 * pg_read_all_stats.
 */

CREATE TABLE neon_auth.sync_state (
	target pg_catalog.regclass PRIMARY KEY,
	server pg_catalog.text NOT NULL,
	provider pg_catalog.text NOT NULL,
	tenant pg_catalog.text NOT NULL,
	credential pg_catalog.text NOT NULL,
	shape pg_catalog.text NOT NULL DEFAULT '',
	cluster pg_catalog.text NOT NULL,
	live_users pg_catalog.int8 NOT NULL DEFAULT 0,
	listed_users pg_catalog.int8 NOT NULL DEFAULT 0,
	watermark pg_catalog.timestamptz,
	newest_change pg_catalog.timestamptz,
	newest_change_at pg_catalog.timestamptz,
	last_success_started_at pg_catalog.timestamptz,
	last_success_at pg_catalog.timestamptz,
	last_full_at pg_catalog.timestamptz,
	next_full_at pg_catalog.timestamptz,
	unproved pg_catalog.bool NOT NULL DEFAULT false,
	timeless pg_catalog.bool NOT NULL DEFAULT false
);

COMMENT ON TABLE neon_auth.sync_state IS 'one row a target: the directory it belongs to and how far it was read';
COMMENT ON COLUMN neon_auth.sync_state.target IS 'the table kept equal to the directory';
COMMENT ON COLUMN neon_auth.sync_state.server IS 'the only foreign server that may refresh it';
COMMENT ON COLUMN neon_auth.sync_state.provider IS 'its provider';
COMMENT ON COLUMN neon_auth.sync_state.tenant IS 'fingerprint of provider, URL and the other options that tell directories apart';
COMMENT ON COLUMN neon_auth.sync_state.credential IS 'fingerprint of the credential last used: another one has to show that it knows our users';
COMMENT ON COLUMN neon_auth.sync_state.shape IS 'fingerprint of the options that decide what rows are like: with others the next run is full, and compares all';
COMMENT ON COLUMN neon_auth.sync_state.cluster IS 'database system and timeline of the last successful run: in another one the next run is full';
COMMENT ON COLUMN neon_auth.sync_state.live_users IS 'users without deleted_at, as far as refreshes have written them';
COMMENT ON COLUMN neon_auth.sync_state.listed_users IS 'users that the provider should have counted then';
COMMENT ON COLUMN neon_auth.sync_state.watermark IS 'all changes until then have been read, by the clock of the provider';
COMMENT ON COLUMN neon_auth.sync_state.newest_change IS 'latest time of change seen';
COMMENT ON COLUMN neon_auth.sync_state.newest_change_at IS 'end of the run that saw it first, by the clock of this server';
COMMENT ON COLUMN neon_auth.sync_state.last_success_started_at IS 'when the last successful run began';
COMMENT ON COLUMN neon_auth.sync_state.last_success_at IS 'when the last successful run ended';
COMMENT ON COLUMN neon_auth.sync_state.last_full_at IS 'when the last one ended that listed the whole directory';
COMMENT ON COLUMN neon_auth.sync_state.next_full_at IS 'by option full_refresh_every, as it was at the last success';
COMMENT ON COLUMN neon_auth.sync_state.timeless IS 'not all users have a time of change: each run is full';
COMMENT ON COLUMN neon_auth.sync_state.unproved IS 'a run could not prove who is missing: the next one in mode auto is full';

CREATE TABLE neon_auth.sync_delta (
	target pg_catalog.regclass NOT NULL,
	id pg_catalog.text NOT NULL,
	listed pg_catalog.int2 NOT NULL,
	live pg_catalog.int2 NOT NULL,
	PRIMARY KEY (target, id)
);

COMMENT ON TABLE neon_auth.sync_delta IS 'users who came or went since the last successful run, or whom the last full listing lacked though the provider has them: what they add to the numbers in sync_state';
COMMENT ON COLUMN neon_auth.sync_delta.target IS 'the table with the row';
COMMENT ON COLUMN neon_auth.sync_delta.id IS 'id of the user';
COMMENT ON COLUMN neon_auth.sync_delta.listed IS 'to be added to listed_users';
COMMENT ON COLUMN neon_auth.sync_delta.live IS 'to be added to live_users';

CREATE TABLE neon_auth.sync_run (
	run_id pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	target pg_catalog.regclass NOT NULL,
	server pg_catalog.text NOT NULL,
	mode pg_catalog.text NOT NULL,
	reason pg_catalog.text,
	status pg_catalog.text NOT NULL,
	started_at pg_catalog.timestamptz NOT NULL,
	finished_at pg_catalog.timestamptz,
	requests pg_catalog.int8 NOT NULL DEFAULT 0,
	retries pg_catalog.int8 NOT NULL DEFAULT 0,
	pages pg_catalog.int8 NOT NULL DEFAULT 0,
	users pg_catalog.int8 NOT NULL DEFAULT 0,
	inserted pg_catalog.int8 NOT NULL DEFAULT 0,
	updated pg_catalog.int8 NOT NULL DEFAULT 0,
	unchanged pg_catalog.int8 NOT NULL DEFAULT 0,
	tombstoned pg_catalog.int8 NOT NULL DEFAULT 0,
	confirmed pg_catalog.int8 NOT NULL DEFAULT 0,
	held pg_catalog.int8 NOT NULL DEFAULT 0,
	quarantined pg_catalog.int8 NOT NULL DEFAULT 0,
	approved pg_catalog.int8,
	note pg_catalog.text,
	sqlstate pg_catalog.text,
	error pg_catalog.text,
	hint pg_catalog.text
);

CREATE INDEX sync_run_target_idx ON neon_auth.sync_run (target, run_id);
CREATE INDEX sync_run_running_idx ON neon_auth.sync_run (target) WHERE status OPERATOR(pg_catalog.=) 'running';
COMMENT ON INDEX neon_auth.sync_run_target_idx IS 'the last runs of a target';
COMMENT ON INDEX neon_auth.sync_run_running_idx IS 'runs that have not ended';
COMMENT ON SEQUENCE neon_auth.sync_run_run_id_seq IS 'numbers of runs';

COMMENT ON TABLE neon_auth.sync_run IS 'log of refresh runs';
COMMENT ON COLUMN neon_auth.sync_run.run_id IS 'counts up over all targets';
COMMENT ON COLUMN neon_auth.sync_run.target IS 'the table that was refreshed';
COMMENT ON COLUMN neon_auth.sync_run.server IS 'the foreign server that was asked';
COMMENT ON COLUMN neon_auth.sync_run.mode IS 'full: the whole directory was listed; incremental: only what has changed';
COMMENT ON COLUMN neon_auth.sync_run.reason IS 'of a full run: why it was one';
COMMENT ON COLUMN neon_auth.sync_run.status IS 'running, ok, held (deletions wait for approval), failed, or crashed (its backend ended)';
COMMENT ON COLUMN neon_auth.sync_run.started_at IS 'when it began, by the clock of this server';
COMMENT ON COLUMN neon_auth.sync_run.finished_at IS 'when it ended, or was found to have crashed';
COMMENT ON COLUMN neon_auth.sync_run.requests IS 'tries sent to the provider';
COMMENT ON COLUMN neon_auth.sync_run.retries IS 'of these, after one that failed';
COMMENT ON COLUMN neon_auth.sync_run.pages IS 'pages that were read';
COMMENT ON COLUMN neon_auth.sync_run.users IS 'users that were read';
COMMENT ON COLUMN neon_auth.sync_run.inserted IS 'rows inserted';
COMMENT ON COLUMN neon_auth.sync_run.updated IS 'rows updated';
COMMENT ON COLUMN neon_auth.sync_run.unchanged IS 'users of the directory that needed no write';
COMMENT ON COLUMN neon_auth.sync_run.tombstoned IS 'rows whose deleted_at was set';
COMMENT ON COLUMN neon_auth.sync_run.confirmed IS 'of these, for being missing: the others are kept by the provider as deleted';
COMMENT ON COLUMN neon_auth.sync_run.held IS 'deletions that are held back';
COMMENT ON COLUMN neon_auth.sync_run.quarantined IS 'users that were left out';
COMMENT ON COLUMN neon_auth.sync_run.approved IS 'approve_deletions, where the run was given it';
COMMENT ON COLUMN neon_auth.sync_run.note IS 'why deletions were held, or could not be looked for';
COMMENT ON COLUMN neon_auth.sync_run.sqlstate IS 'of the error of a failed run';
COMMENT ON COLUMN neon_auth.sync_run.error IS 'its message';
COMMENT ON COLUMN neon_auth.sync_run.hint IS 'what mends it';

CREATE TABLE neon_auth.held_deletion (
	target pg_catalog.regclass NOT NULL,
	id pg_catalog.text NOT NULL,
	reason pg_catalog.text NOT NULL,
	brake pg_catalog.text,
	held_since pg_catalog.timestamptz NOT NULL,
	PRIMARY KEY (target, id)
);

COMMENT ON TABLE neon_auth.held_deletion IS 'users missing at the provider that were not marked as deleted: approve_deletions => their number does it';
COMMENT ON COLUMN neon_auth.held_deletion.target IS 'the table with the row';
COMMENT ON COLUMN neon_auth.held_deletion.id IS 'id of the user';
COMMENT ON COLUMN neon_auth.held_deletion.reason IS 'why the deletion was held';
COMMENT ON COLUMN neon_auth.held_deletion.brake IS 'which brake a person can release: first run, empty, many, share; null: it waits for the provider';
COMMENT ON COLUMN neon_auth.held_deletion.held_since IS 'the first run that held it';

CREATE TABLE neon_auth.quarantined_user (
	target pg_catalog.regclass NOT NULL,
	id pg_catalog.text NOT NULL,
	reason pg_catalog.text NOT NULL,
	quarantined_since pg_catalog.timestamptz NOT NULL,
	created_at pg_catalog.timestamptz,
	has_row pg_catalog.bool NOT NULL,
	PRIMARY KEY (target, id)
);

COMMENT ON TABLE neon_auth.quarantined_user IS 'users of the directory that PostgreSQL cannot hold, and why; a row they already had stays as it was';
COMMENT ON COLUMN neon_auth.quarantined_user.target IS 'the table without the user';
COMMENT ON COLUMN neon_auth.quarantined_user.id IS 'id of the user';
COMMENT ON COLUMN neon_auth.quarantined_user.reason IS 'why it was left out';
COMMENT ON COLUMN neon_auth.quarantined_user.quarantined_since IS 'the first run that left it out';
COMMENT ON COLUMN neon_auth.quarantined_user.created_at IS 'when the user was created at the provider';
COMMENT ON COLUMN neon_auth.quarantined_user.has_row IS 'whether the table has an older row of the user';

CREATE TABLE neon_auth.sync_digest (
	target pg_catalog.regclass NOT NULL,
	id pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
	digest pg_catalog.bytea NOT NULL,
	updated_at pg_catalog.timestamptz NOT NULL,
	PRIMARY KEY (target, id)
);

COMMENT ON TABLE neon_auth.sync_digest IS 'users whose provider tells no time of change: a digest of what was last seen of each';
COMMENT ON COLUMN neon_auth.sync_digest.target IS 'the table with the row';
COMMENT ON COLUMN neon_auth.sync_digest.id IS 'id of the user';
COMMENT ON COLUMN neon_auth.sync_digest.digest IS 'first 16 bytes of a SHA-256, without members whose change is none';
COMMENT ON COLUMN neon_auth.sync_digest.updated_at IS 'updated_at of the row that it is of: another row is compared';

ALTER TABLE neon_auth.sync_state ENABLE ROW LEVEL SECURITY;
ALTER TABLE neon_auth.sync_delta ENABLE ROW LEVEL SECURITY;
ALTER TABLE neon_auth.sync_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE neon_auth.held_deletion ENABLE ROW LEVEL SECURITY;
ALTER TABLE neon_auth.quarantined_user ENABLE ROW LEVEL SECURITY;
ALTER TABLE neon_auth.sync_digest ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION neon_auth.sees_target(target pg_catalog.regclass)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'neon_auth_sees_target'
LANGUAGE C STRICT STABLE PARALLEL SAFE;

COMMENT ON FUNCTION neon_auth.sees_target(pg_catalog.regclass) IS 'whether the current role may see the state of this target: it is or belongs to its owner, or to pg_read_all_stats';

CREATE POLICY owner_reads ON neon_auth.sync_state FOR SELECT USING (neon_auth.sees_target(target));
CREATE POLICY owner_reads ON neon_auth.sync_delta FOR SELECT USING (neon_auth.sees_target(target));
CREATE POLICY owner_reads ON neon_auth.sync_run FOR SELECT USING (neon_auth.sees_target(target));
CREATE POLICY owner_reads ON neon_auth.held_deletion FOR SELECT USING (neon_auth.sees_target(target));
CREATE POLICY owner_reads ON neon_auth.quarantined_user FOR SELECT USING (neon_auth.sees_target(target));

COMMENT ON POLICY owner_reads ON neon_auth.sync_state IS 'owners of the target and who watches over the server, for reading';
COMMENT ON POLICY owner_reads ON neon_auth.sync_delta IS 'owners of the target and who watches over the server, for reading';
COMMENT ON POLICY owner_reads ON neon_auth.sync_run IS 'owners of the target and who watches over the server, for reading';
COMMENT ON POLICY owner_reads ON neon_auth.held_deletion IS 'owners of the target and who watches over the server, for reading';
COMMENT ON POLICY owner_reads ON neon_auth.quarantined_user IS 'owners of the target and who watches over the server, for reading';

-- what was granted by ALTER DEFAULT PRIVILEGES is taken back here and at the end
REVOKE ALL ON neon_auth.sync_state, neon_auth.sync_delta, neon_auth.sync_run, neon_auth.sync_run_run_id_seq,
	neon_auth.held_deletion, neon_auth.quarantined_user, neon_auth.sync_digest FROM PUBLIC;
GRANT SELECT ON neon_auth.sync_state, neon_auth.sync_delta, neon_auth.sync_run, neon_auth.held_deletion, neon_auth.quarantined_user TO PUBLIC;

-- of a target that was dropped only a number would be left, which may be another table's elsewhere
SELECT pg_catalog.pg_extension_config_dump('neon_auth.sync_state', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) target)');
SELECT pg_catalog.pg_extension_config_dump('neon_auth.sync_delta', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) target)');
SELECT pg_catalog.pg_extension_config_dump('neon_auth.sync_run', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) target)');
SELECT pg_catalog.pg_extension_config_dump('neon_auth.sync_run_run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('neon_auth.held_deletion', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) target)');
SELECT pg_catalog.pg_extension_config_dump('neon_auth.quarantined_user', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) target)');
SELECT pg_catalog.pg_extension_config_dump('neon_auth.sync_digest', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) target)');

CREATE FUNCTION neon_auth.deleted_users(target pg_catalog.regclass)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'neon_auth_deleted_users'
LANGUAGE C STRICT STABLE;

COMMENT ON FUNCTION neon_auth.deleted_users(pg_catalog.regclass) IS 'how many rows of a target are marked as deleted; null if they cannot be counted now';

CREATE FUNCTION neon_auth.error_class(sqlstate pg_catalog.text)
RETURNS pg_catalog.text
LANGUAGE SQL IMMUTABLE PARALLEL SAFE
RETURN CASE
	WHEN sqlstate OPERATOR(pg_catalog.=) '28000' THEN 'credential'
	WHEN sqlstate OPERATOR(pg_catalog.=) '42501' THEN 'permission'
	WHEN sqlstate OPERATOR(pg_catalog.=) '53400' THEN 'rate limit'
	WHEN sqlstate OPERATOR(pg_catalog.=) 'HV00N' THEN 'network'
	WHEN sqlstate OPERATOR(pg_catalog.=) 'HV00L' OR sqlstate OPERATOR(pg_catalog.=) 'HV00M' THEN 'provider'
	WHEN sqlstate OPERATOR(pg_catalog.=) '55P03' THEN 'lock'
	WHEN pg_catalog.substr(sqlstate, 1, 2) OPERATOR(pg_catalog.=) ANY (ARRAY['22', '23', '27', '44', 'P0']) THEN 'table'
	WHEN pg_catalog.substr(sqlstate, 1, 2) OPERATOR(pg_catalog.=) '40' THEN 'lock'
	WHEN pg_catalog.substr(sqlstate, 1, 2) OPERATOR(pg_catalog.=) ANY (ARRAY['53', '54']) THEN 'resources'
	WHEN pg_catalog.substr(sqlstate, 1, 2) OPERATOR(pg_catalog.=) '57' THEN 'interrupted'
	WHEN pg_catalog.substr(sqlstate, 1, 2) OPERATOR(pg_catalog.=) ANY (ARRAY['42', '55', 'HV']) THEN 'setup'
	WHEN sqlstate IS NOT NULL THEN 'other'
END;

COMMENT ON FUNCTION neon_auth.error_class(pg_catalog.text) IS 'in a word, what a failed run has failed for';

CREATE VIEW neon_auth.sync_status WITH (security_invoker = true) AS
SELECT s.target, s.server, s.provider,
	   r.status AS last_status, r.started_at AS last_started_at,
	   s.last_success_at,
	   pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) s.last_success_at AS success_age,
	   pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) s.last_success_started_at AS lag,
	   s.last_full_at, s.next_full_at,
	   s.live_users OPERATOR(pg_catalog.+) COALESCE(d.live, 0) AS live_users,
	   neon_auth.deleted_users(s.target) AS deleted_users,
	   (SELECT pg_catalog.count(*) FROM neon_auth.held_deletion h WHERE h.target OPERATOR(pg_catalog.=) s.target) AS held,
	   (SELECT pg_catalog.count(*) FROM neon_auth.quarantined_user q WHERE q.target OPERATOR(pg_catalog.=) s.target) AS quarantined,
	   s.watermark, r.note AS last_note,
	   neon_auth.error_class(e.sqlstate) AS last_error_class,
	   e.sqlstate AS last_error_sqlstate, e.error AS last_error, e.hint AS last_error_hint, e.finished_at AS last_error_at
FROM neon_auth.sync_state s
JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) s.target
LEFT JOIN LATERAL (SELECT pg_catalog.sum(d.live)::pg_catalog.int8 AS live FROM neon_auth.sync_delta d
				   WHERE d.target OPERATOR(pg_catalog.=) s.target) d ON true
LEFT JOIN LATERAL (SELECT * FROM neon_auth.sync_run r
				   WHERE r.target OPERATOR(pg_catalog.=) s.target ORDER BY r.run_id DESC LIMIT 1) r ON true
LEFT JOIN LATERAL (SELECT * FROM neon_auth.sync_run e
				   WHERE e.target OPERATOR(pg_catalog.=) s.target AND e.error IS NOT NULL ORDER BY e.run_id DESC LIMIT 1) e ON true;

COMMENT ON VIEW neon_auth.sync_status IS 'one row a target: lag, last success, last error, what waits for a decision';
COMMENT ON COLUMN neon_auth.sync_status.target IS 'the table';
COMMENT ON COLUMN neon_auth.sync_status.server IS 'the foreign server it was refreshed from last';
COMMENT ON COLUMN neon_auth.sync_status.provider IS 'its provider';
COMMENT ON COLUMN neon_auth.sync_status.last_status IS 'how the last run in the log ended, or running';
COMMENT ON COLUMN neon_auth.sync_status.last_started_at IS 'when that began';
COMMENT ON COLUMN neon_auth.sync_status.last_success_at IS 'when the last run that reached its end ended';
COMMENT ON COLUMN neon_auth.sync_status.success_age IS 'how long ago that is';
COMMENT ON COLUMN neon_auth.sync_status.lag IS 'how long ago that run began: so far behind the directory the table may be';
COMMENT ON COLUMN neon_auth.sync_status.last_full_at IS 'when the whole directory was listed last';
COMMENT ON COLUMN neon_auth.sync_status.next_full_at IS 'from when on the next run lists it again, by full_refresh_every';
COMMENT ON COLUMN neon_auth.sync_status.live_users IS 'rows without deleted_at';
COMMENT ON COLUMN neon_auth.sync_status.deleted_users IS 'rows with deleted_at; null while the table is locked, or where its owner may not read it';
COMMENT ON COLUMN neon_auth.sync_status.held IS 'deletions that wait: SELECT * FROM neon_auth.held_deletion';
COMMENT ON COLUMN neon_auth.sync_status.quarantined IS 'users left out: SELECT * FROM neon_auth.quarantined_user';
COMMENT ON COLUMN neon_auth.sync_status.watermark IS 'all changes until then are in the table';
COMMENT ON COLUMN neon_auth.sync_status.last_note IS 'why the last run held deletions, or did not look for them';
COMMENT ON COLUMN neon_auth.sync_status.last_error_class IS 'in a word, what the last failed run failed for';
COMMENT ON COLUMN neon_auth.sync_status.last_error_sqlstate IS 'its SQLSTATE';
COMMENT ON COLUMN neon_auth.sync_status.last_error IS 'its error; it stays to be seen after a success';
COMMENT ON COLUMN neon_auth.sync_status.last_error_hint IS 'what mends that';
COMMENT ON COLUMN neon_auth.sync_status.last_error_at IS 'when it failed';

REVOKE ALL ON neon_auth.sync_status FROM PUBLIC;
GRANT SELECT ON neon_auth.sync_status TO PUBLIC;

CREATE FUNCTION neon_auth.progress_of_refreshes(
	OUT pid pg_catalog.int4,
	OUT target pg_catalog.oid,
	OUT phase pg_catalog.text,
	OUT users pg_catalog.int8,
	OUT total pg_catalog.int8,
	OUT pages pg_catalog.int8,
	OUT requests pg_catalog.int8,
	OUT started_at pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'neon_auth_progress_of_refreshes'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION neon_auth.progress_of_refreshes() IS 'source of view sync_progress';

CREATE VIEW neon_auth.sync_progress AS
SELECT p.pid, p.target::pg_catalog.regclass AS target, p.phase, p.users, p.total, p.pages, p.requests,
	   pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) p.started_at AS elapsed
FROM neon_auth.progress_of_refreshes() p;

COMMENT ON VIEW neon_auth.sync_progress IS 'refreshes of this database that are running now';
COMMENT ON COLUMN neon_auth.sync_progress.pid IS 'process id of the session';
COMMENT ON COLUMN neon_auth.sync_progress.target IS 'the table that is refreshed';
COMMENT ON COLUMN neon_auth.sync_progress.phase IS 'what the run is at';
COMMENT ON COLUMN neon_auth.sync_progress.users IS 'users read so far';
COMMENT ON COLUMN neon_auth.sync_progress.total IS 'users in the directory as the provider says; null where it does not';
COMMENT ON COLUMN neon_auth.sync_progress.pages IS 'pages read so far';
COMMENT ON COLUMN neon_auth.sync_progress.requests IS 'requests made so far';
COMMENT ON COLUMN neon_auth.sync_progress.elapsed IS 'how long it has been running';

REVOKE ALL ON neon_auth.sync_progress FROM PUBLIC;
GRANT SELECT ON neon_auth.sync_progress TO PUBLIC;

/*
 * Refresh
 */

CREATE FUNCTION neon_auth.create_users_sync(target pg_catalog.text DEFAULT 'neon_auth.users_sync')
RETURNS pg_catalog.regclass
AS 'MODULE_PATHNAME', 'neon_auth_create_users_sync'
LANGUAGE C STRICT VOLATILE;

COMMENT ON FUNCTION neon_auth.create_users_sync(pg_catalog.text) IS 'creates a users_sync table, owned by the caller, unless it is there';

CREATE FUNCTION neon_auth.sync_user(
	server pg_catalog.text,
	user_id pg_catalog.text,
	target pg_catalog.text DEFAULT 'neon_auth.users_sync',
	OUT raw_json pg_catalog.jsonb,
	OUT id pg_catalog.text,
	OUT name pg_catalog.text,
	OUT email pg_catalog.text,
	OUT created_at pg_catalog.timestamptz,
	OUT updated_at pg_catalog.timestamptz,
	OUT deleted_at pg_catalog.timestamptz)
RETURNS pg_catalog.record
AS 'MODULE_PATHNAME', 'neon_auth_sync_user'
LANGUAGE C STRICT VOLATILE;

COMMENT ON FUNCTION neon_auth.sync_user(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS 'asks for one user now, with the credential of the owner of target, writes the row and returns of it what the caller may read';

-- Whoever may call it has the owner of the target ask the provider.
REVOKE EXECUTE ON FUNCTION neon_auth.sync_user(pg_catalog.text, pg_catalog.text, pg_catalog.text) FROM PUBLIC;

CREATE FUNCTION neon_auth.schedule_refresh(
	server pg_catalog.text,
	schedule pg_catalog.text DEFAULT '* * * * *',
	target pg_catalog.text DEFAULT 'neon_auth.users_sync',
	follow pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'neon_auth_schedule_refresh'
LANGUAGE C STRICT VOLATILE;

COMMENT ON FUNCTION neon_auth.schedule_refresh(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.bool) IS 'makes or changes the job of pg_cron that refreshes target, or with follow => true follows the directory for a minute; returns its id';

CREATE FUNCTION neon_auth.unschedule_refresh(
	server pg_catalog.text,
	target pg_catalog.text DEFAULT 'neon_auth.users_sync')
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'neon_auth_unschedule_refresh'
LANGUAGE C STRICT VOLATILE;

COMMENT ON FUNCTION neon_auth.unschedule_refresh(pg_catalog.text, pg_catalog.text) IS 'removes the job that schedule_refresh has made; false if there is none';

CREATE PROCEDURE neon_auth.purge_deleted(
	older_than pg_catalog.interval,
	target pg_catalog.text DEFAULT 'neon_auth.users_sync',
	INOUT purged pg_catalog.int8 DEFAULT NULL,
	INOUT kept pg_catalog.int8 DEFAULT NULL,
	INOUT elapsed pg_catalog.interval DEFAULT NULL)
AS 'MODULE_PATHNAME', 'neon_auth_purge_deleted'
LANGUAGE C;

COMMENT ON PROCEDURE neon_auth.purge_deleted(pg_catalog.interval, pg_catalog.text, pg_catalog.int8, pg_catalog.int8, pg_catalog.interval) IS 'really deletes rows that were marked as deleted so long ago, so that ON DELETE rules of foreign keys fire';

CREATE PROCEDURE neon_auth.follow_users_sync(
	server pg_catalog.text,
	every pg_catalog.interval DEFAULT '1 second',
	during pg_catalog.interval DEFAULT '1 minute',
	target pg_catalog.text DEFAULT 'neon_auth.users_sync',
	INOUT status pg_catalog.text DEFAULT NULL,
	INOUT beats pg_catalog.int8 DEFAULT NULL,
	INOUT inserted pg_catalog.int8 DEFAULT NULL,
	INOUT updated pg_catalog.int8 DEFAULT NULL,
	INOUT tombstoned pg_catalog.int8 DEFAULT NULL,
	INOUT held pg_catalog.int8 DEFAULT NULL,
	INOUT requests pg_catalog.int8 DEFAULT NULL,
	INOUT elapsed pg_catalog.interval DEFAULT NULL)
AS 'MODULE_PATHNAME', 'neon_auth_follow_users_sync'
LANGUAGE C;

COMMENT ON PROCEDURE neon_auth.follow_users_sync(pg_catalog.text, pg_catalog.interval, pg_catalog.interval, pg_catalog.text, pg_catalog.text, pg_catalog.int8, pg_catalog.int8, pg_catalog.int8, pg_catalog.int8, pg_catalog.int8, pg_catalog.int8, pg_catalog.interval)
	IS 'refreshes target again and again for a while, so that it is hardly a beat behind the directory';

CREATE PROCEDURE neon_auth.refresh_users_sync(
	server pg_catalog.text,
	mode pg_catalog.text DEFAULT 'auto',
	target pg_catalog.text DEFAULT 'neon_auth.users_sync',
	approve_deletions pg_catalog.int4 DEFAULT NULL,
	dry_run pg_catalog.bool DEFAULT false,
	INOUT status pg_catalog.text DEFAULT NULL,
	INOUT inserted pg_catalog.int8 DEFAULT NULL,
	INOUT updated pg_catalog.int8 DEFAULT NULL,
	INOUT unchanged pg_catalog.int8 DEFAULT NULL,
	INOUT tombstoned pg_catalog.int8 DEFAULT NULL,
	INOUT held pg_catalog.int8 DEFAULT NULL,
	INOUT quarantined pg_catalog.int8 DEFAULT NULL,
	INOUT requests pg_catalog.int8 DEFAULT NULL,
	INOUT elapsed pg_catalog.interval DEFAULT NULL)
AS 'MODULE_PATHNAME', 'neon_auth_refresh_users_sync'
LANGUAGE C;

COMMENT ON PROCEDURE neon_auth.refresh_users_sync(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.bool, pg_catalog.text, pg_catalog.int8, pg_catalog.int8, pg_catalog.int8, pg_catalog.int8, pg_catalog.int8, pg_catalog.int8, pg_catalog.int8, pg_catalog.interval)
	IS 'makes target equal to the user directory of a server and says what it did; mode: auto, incremental or full';

/*
 * The end.  A function that was in the schema before, with the name of one of ours
 * and other arguments, would be called in its place by who leaves arguments to
 * their defaults.  And nobody has more rights than are granted above, whatever
 * ALTER DEFAULT PRIVILEGES says.
 */
DO $$
DECLARE
	foreign_one pg_catalog.text;
	revoke pg_catalog.text;
BEGIN
	SELECT pg_catalog.min(pg_catalog.format('neon_auth.%I(%s)', p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)))
		INTO foreign_one
		FROM pg_catalog.pg_proc p
		WHERE p.pronamespace OPERATOR(pg_catalog.=) 'neon_auth'::pg_catalog.regnamespace
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
						WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
						AND d.objid OPERATOR(pg_catalog.=) p.oid AND d.deptype OPERATOR(pg_catalog.=) 'e')
		AND EXISTS (SELECT FROM pg_catalog.pg_proc o
					JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) o.oid
					WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
					AND d.deptype OPERATOR(pg_catalog.=) 'e'
					AND o.pronamespace OPERATOR(pg_catalog.=) p.pronamespace
					AND o.proname OPERATOR(pg_catalog.=) p.proname);
	IF foreign_one IS NOT NULL THEN
		RAISE EXCEPTION 'function "%" would be called in place of one of extension "neon_auth_fdw"', foreign_one
			USING ERRCODE = 'duplicate_function',
				  HINT = pg_catalog.concat('Drop it, if it is not needed: DROP ROUTINE ', foreign_one, '.');
	END IF;

	FOR revoke IN
		SELECT pg_catalog.format('REVOKE ALL ON TABLE neon_auth.%I FROM %I', c.relname, r.rolname)
			FROM pg_catalog.pg_depend d
			JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) d.objid
			CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
			JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.grantee
			WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
			AND d.deptype OPERATOR(pg_catalog.=) 'e'
			AND c.relnamespace OPERATOR(pg_catalog.=) 'neon_auth'::pg_catalog.regnamespace
			AND a.grantee OPERATOR(pg_catalog.<>) c.relowner
		UNION
		SELECT pg_catalog.format('REVOKE ALL ON ROUTINE neon_auth.%I(%s) FROM %I', p.proname,
								 pg_catalog.pg_get_function_identity_arguments(p.oid), r.rolname)
			FROM pg_catalog.pg_depend d
			JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) d.objid
			CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) a
			JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.grantee
			WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
			AND d.deptype OPERATOR(pg_catalog.=) 'e'
			AND p.pronamespace OPERATOR(pg_catalog.=) 'neon_auth'::pg_catalog.regnamespace
			AND a.grantee OPERATOR(pg_catalog.<>) p.proowner
	LOOP
		EXECUTE revoke;
	END LOOP;
END
$$;
