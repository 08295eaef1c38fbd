
# Installing where somebody else was before, and updating: whoever could make objects in
# the database has none of them called, adopted or read by the superuser who installs,
# refreshes or watches.  And the scripts keep to the rules that make it so.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $sim = start_sim(users => 20);
my $node = new_node('install', urls => [ $sim->url ]);
my $url = $sim->url;
my $script_check = tree() . '/regress/run/scripts.sh';

$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN; CREATE ROLE auth_owner; CREATE ROLE app; CREATE ROLE admin SUPERUSER');

# Runs SQL; returns what psql printed and said.
sub run_sql
{
	my ($database, $sql) = @_;
	my (undef, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$sql", on_error_stop => 0);

	return join("\n", grep { length } $out, $err);
}

my $databases = 0;

# A new database in which mallory may create what she likes, and has.
sub trapped
{
	my (@traps) = @_;
	my $database = 'trapped_' . ++$databases;

	$node->safe_psql('postgres', "CREATE DATABASE $database; GRANT CREATE ON DATABASE $database TO mallory");
	$node->safe_psql($database, join(";\n", 'GRANT CREATE ON SCHEMA public TO mallory', @traps));
	return $database;
}

my $create = 'CREATE EXTENSION neon_auth_fdw';
my $as = 'SET ROLE mallory';

# ---- F54 install, B9, SEC-20: what is refused

my $overload = 'PROCEDURE neon_auth.refresh_users_sync(text) LANGUAGE plpgsql AS $$BEGIN ALTER ROLE mallory SUPERUSER; END$$';
my $owned = 'ALTER SCHEMA neon_auth OWNER TO admin';

for my $row (
	# what is refused, as what, and what was done before
	[ 'a schema that is hers', qr/ERROR:  42501: schema "neon_auth" belongs to a role.*HINT:  Look at what is in it/s, "$as; CREATE SCHEMA neon_auth" ],
	[ 'a schema in which she may create', qr/ERROR:  42501: roles without.*DETAIL:  CREATE is granted to: mallory\n.*REVOKE CREATE ON SCHEMA neon_auth FROM mallory\./s,
		'CREATE SCHEMA neon_auth', 'GRANT CREATE ON SCHEMA neon_auth TO mallory' ],
	[ 'a schema in which everybody may create', qr/ERROR:  42501: roles without.*DETAIL:  CREATE is granted to: PUBLIC\n/s,
		'CREATE SCHEMA neon_auth', 'GRANT ALL ON SCHEMA neon_auth TO PUBLIC' ],
	[ 'a schema that default privileges open', qr/ERROR:  42501: roles without.*DETAIL:  CREATE is granted to: mallory\n/s,
		'ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO mallory' ],
	[ 'a procedure that would be called in place of ours', qr/ERROR:  42723: function "neon_auth.refresh_users_sync\((IN )?text\)" would be called.*DROP ROUTINE neon_auth.refresh_users_sync/s,
		"$as; CREATE SCHEMA neon_auth; CREATE $overload; RESET ROLE", $owned ],
	[ 'an aggregate, too', qr/ERROR:  42723: function "neon_auth.deleted_users/,
		'CREATE SCHEMA neon_auth; CREATE AGGREGATE neon_auth.deleted_users (text) (SFUNC = textcat, STYPE = text)' ],
	[ 'a function of the same arguments', qr/ERROR:  42723: function "sees_target" already exists/,
		"$as; CREATE SCHEMA neon_auth; CREATE FUNCTION neon_auth.sees_target(regclass) RETURNS bool LANGUAGE sql AS 'SELECT true'; RESET ROLE", $owned ],
	[ 'a table with the name of ours', qr/ERROR:  42P07: relation "sync_run" already exists/,
		"$as; CREATE SCHEMA neon_auth; CREATE TABLE neon_auth.sync_run (x int); RESET ROLE", $owned ],
	[ 'a view with the name of ours', qr/ERROR:  42P07: relation "sync_status" already exists/,
		"$as; CREATE SCHEMA neon_auth; CREATE VIEW neon_auth.sync_status AS SELECT 1; RESET ROLE", $owned ],
	[ 'a type with the name of ours', qr/ERROR:  42710: type "sync_state" already exists/,
		"$as; CREATE SCHEMA neon_auth; CREATE DOMAIN neon_auth.sync_state AS text; RESET ROLE", $owned ])
{
	my ($what, $refusal, @traps) = @$row;
	my $database = trapped(@traps);

	like(run_sql($database, $create), $refusal, "F54 install: refused is $what");
	is($node->safe_psql($database, "SELECT count(*) FROM pg_extension WHERE extname = 'neon_auth_fdw'"), '0', '... and nothing is left');
}

# What is not hers is no reason.
my $database = trapped('CREATE SCHEMA neon_auth AUTHORIZATION admin', 'GRANT USAGE ON SCHEMA neon_auth TO mallory', 'CREATE ROLE second SUPERUSER',
	'GRANT CREATE ON SCHEMA neon_auth TO second');
is(run_sql($database, $create), '', 'F54 install: a schema of superusers is taken');

# ---- F54 install: default privileges open nothing

$database = trapped('ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO mallory, PUBLIC', 'ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO mallory, PUBLIC',
	'ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO mallory');
is(run_sql($database, $create), '', 'F54 install: with default privileges for others');
my $plain = trapped();
run_sql($plain, $create);
my $rights = q(
	SELECT c.relname, a.privilege_type, a.grantee::regrole FROM pg_class c, aclexplode(c.relacl) a
	WHERE c.relnamespace = 'neon_auth'::regnamespace AND a.grantee <> c.relowner
	UNION ALL SELECT p.proname, a.privilege_type, a.grantee::regrole FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
	WHERE p.pronamespace = 'neon_auth'::regnamespace AND a.grantee <> p.proowner
	ORDER BY 1, 2, 3);
my $expected = $node->safe_psql($plain, $rights);
like($expected, qr/^deleted_users\|EXECUTE\|-$/m, 'there are rights');
is($node->safe_psql($database, $rights), $expected, '... nobody has more rights than without');

# ---- SEC-21: no function has another one's rights

is($node->safe_psql('postgres', <<'SQL'), '', 'SEC-21: functions are C of this library, run as their caller, with no settings; but one');
SELECT p.oid::regprocedure, l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'neon_auth'::regnamespace
AND (p.prosecdef OR p.proconfig IS NOT NULL OR p.provariadic <> 0 OR l.lanname <> 'c' OR p.probin <> '$libdir/neon_auth_fdw')
AND p.proname <> 'error_class'
SQL
is($node->safe_psql('postgres', q(SELECT l.lanname, p.prosecdef, p.prosqlbody IS NOT NULL FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.proname = 'error_class')),
	'sql|f|t', 'SEC-21: which was parsed when it was made');
is($node->safe_psql('postgres', q(SELECT string_agg(p.oid::regprocedure::text, ' ') FROM pg_proc p
	WHERE p.pronamespace = 'neon_auth'::regnamespace AND NOT has_function_privilege('app', p.oid, 'EXECUTE'))),
	'neon_auth.sync_user(text,text,text)', 'SEC-21: and one asks for a grant');
is($node->safe_psql('postgres', q(SELECT superuser, trusted, relocatable, schema FROM pg_available_extension_versions WHERE name = 'neon_auth_fdw' AND version = (SELECT extversion FROM pg_extension WHERE extname = 'neon_auth_fdw'))),
	't|f|f|neon_auth', 'SEC-21: only a superuser installs it');

# ---- F54: a hostile search_path, for whatever is run by a superuser

# Whatever an unqualified name would find: operators, functions, casts of names, tables.
my @trojans;
for my $type (qw(text timestamptz int8 oid name bool))
{
	push @trojans, "CREATE FUNCTION evil.op($type, $type) RETURNS bool LANGUAGE plpgsql AS \$\$BEGIN RAISE 'TROJAN operator'; END\$\$";
	push @trojans, map { "CREATE OPERATOR evil.$_ (LEFTARG = $type, RIGHTARG = $type, FUNCTION = evil.op)" } qw(= <> < > - + ||);
}
for my $function ('now()', 'clock_timestamp()', 'count(int)', 'format(text, text)', 'substr(text, int, int)', 'sum(int8)', 'current_database()',
	'error_class(text)', 'deleted_users(regclass)', 'sees_target(regclass)', 'progress_of_refreshes()', 'quote_ident(text)', 'concat(text, text)', 'length(text)',
	'unnest(text[])', 'regexp_replace(text, text, text)', 'jsonb_build_object()', 'md5(text)', 'sha256(bytea)', 'coalesce_(text)')
{
	push @trojans, "CREATE FUNCTION evil.$function RETURNS bigint LANGUAGE plpgsql AS \$\$BEGIN RAISE 'TROJAN function'; END\$\$";
}
push @trojans, map { "CREATE TABLE evil.$_ (trojan int)" } qw(sync_state sync_run sync_delta held_deletion quarantined_user sync_digest pg_class pg_namespace pg_proc pg_extension);
push @trojans, map { "CREATE DOMAIN evil.$_ AS int CHECK (VALUE IS NULL)" } qw(text timestamptz int8 jsonb regclass interval bool oid);

$database = trapped("$as; CREATE SCHEMA evil", @trojans, 'RESET ROLE');
my $temp = join('; ', map { "CREATE TEMP TABLE $_ (trojan int)" } qw(sync_state sync_run users_sync pg_class pg_extension));
my $path = "SET search_path = evil, pg_temp, pg_catalog, neon_auth";
like(run_sql($database, "$path; SELECT 'a'::pg_catalog.text = 'b'::pg_catalog.text"), qr/TROJAN operator/, 'the trap works');

my $trapped = new_session($node, database => $database);
sub trapped_ok
{
	my ($sql, $pattern, $name) = @_;
	my $said = $trapped->ask($sql);

	return like($said, $pattern, $name) && unlike($said, qr/TROJAN|ERROR|trojan/, '... with nothing of hers');
}

$trapped->must("$temp; $path");
trapped_ok($create, qr/^$/, 'F54 install: with a hostile search_path');
trapped_ok("CREATE SERVER clerk FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url '$url', cache_ttl '0')", qr/^$/, 'F54: a server');
trapped_ok("CREATE USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (api_key 'sk_test_x')", qr/^$/, 'F54: a mapping');
$trapped->must('CREATE SCHEMA app; IMPORT FOREIGN SCHEMA directory FROM SERVER clerk INTO app');
for my $row (
	[ q(SELECT neon_auth.create_users_sync('neon_auth.users_sync')), qr/users_sync/ ],
	[ q(CALL neon_auth.refresh_users_sync('clerk')), qr/^ok\|20\|/ ],
	[ q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full')), qr/^ok\|0\|0\|20\|/ ],
	[ q(CALL neon_auth.follow_users_sync('clerk', during => '0')), qr/^ok\|/ ],
	[ q(SELECT neon_auth.sync_user('clerk', (SELECT id FROM neon_auth.users_sync LIMIT 1))), qr/user_/ ],
	[ q(CALL neon_auth.purge_deleted('1 day')), qr/^0\|0\|/ ],
	[ q(SELECT target, server, last_status, live_users, deleted_users, held, quarantined, last_error_class FROM neon_auth.sync_status), qr/users_sync\|clerk\|ok\|20\|0\|0\|0\|$/ ],
	[ q(SELECT * FROM neon_auth.sync_progress), qr/^$/ ],
	[ q(SELECT neon_auth.error_class('53400')), qr/^rate limit$/ ],
	[ q(SELECT part, verdict FROM neon_auth.check_server('clerk')), qr/^url\|ok\n.*^user\|ok$/ms ],
	[ q(SELECT count(*) FROM app.users), qr/^20$/ ],
	[ q(SELECT count(id) FROM app.users WHERE id OPERATOR(pg_catalog.=) 'nobody'), qr/^0$/ ],
	[ q(ANALYZE app.users), qr/^$/ ],
	[ q(SELECT count(provider) > 0 FROM neon_auth.providers()), qr/^t$/ ],
	[ q(SELECT count(server) FROM neon_auth.connections()), qr/^1$/ ])
{
	my ($sql, $pattern) = @$row;

	trapped_ok($sql, $pattern, "F54: with a hostile search_path: $sql");
}

# an operator of hers is never sent to the provider as if it were PostgreSQL's own
$sim->reset_stats;
like($trapped->ask(q(SELECT id FROM app.users WHERE id = 'nobody'::pg_catalog.text)), qr/TROJAN operator/, 'F54 scan: her operator is called, as the query says');
is($sim->stats->{get}, 0, '... and not taken for ours');

# ---- F54 install: once more, where a table is

$database = 'postgres';
$node->safe_psql($database, <<"SQL");
CREATE SERVER clerk FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url '$url', cache_ttl '0');
CREATE USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (api_key 'sk_test_x');
SELECT neon_auth.create_users_sync();
ALTER TABLE neon_auth.users_sync OWNER TO mallory;
SQL

like(run_sql($database, "SET client_min_messages = warning; DROP EXTENSION neon_auth_fdw CASCADE; $create"),
	qr/^\S*\s*WARNING:  01000: schema "neon_auth" has tables of roles without superuser rights: neon_auth.users_sync \(mallory\)\nHINT:  Whoever owns users_sync/,
	'F54 install: a table of somebody else is pointed at');
$node->safe_psql($database, 'ALTER TABLE neon_auth.users_sync OWNER TO CURRENT_USER');
is(run_sql($database, "SET client_min_messages = warning; DROP EXTENSION neon_auth_fdw CASCADE; $create"), '', 'F54 install: one of the superuser is not');
$node->safe_psql($database, <<"SQL");
CREATE SERVER clerk FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url '$url', cache_ttl '0');
CREATE USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (api_key 'sk_test_x');
SQL
like(run_sql($database, "SELECT neon_auth.create_users_sync(); CALL neon_auth.refresh_users_sync('clerk')"), qr/users_sync\nok\|20\|/, 'F54 install: and works with the table of before');

# ---- The scripts

is(`$script_check 2>&1`, '', 'SEC-20: the scripts keep to the rules');
my $folder = PostgreSQL::Test::Utils::tempdir();
my $guard = qq(\\echo Use "CREATE EXTENSION x" to load this file. \\quit\n);
for my $row (
	[ 'does not begin', 'SELECT 1;', '' ],
	[ 'adopts', 'CREATE OR REPLACE FUNCTION neon_auth.f() RETURNS pg_catalog.text LANGUAGE C;' ],
	[ 'adopts', 'CREATE TABLE IF NOT EXISTS neon_auth.t (x pg_catalog.int4);' ],
	[ '@extschema@', q(SELECT 'x@extschema@y';) ],
	[ 'SECURITY DEFINER', 'CREATE FUNCTION neon_auth.f() RETURNS pg_catalog.text LANGUAGE C SECURITY DEFINER;' ],
	[ 'search_path', 'SET search_path = pg_catalog;' ],
	[ 'search_path', q(SELECT pg_catalog.set_config('search_path', '', true);) ],
	[ 'temporary', 'CREATE TEMP TABLE t (x pg_catalog.int4);' ],
	[ 'function f() is not qualified', 'CREATE FUNCTION f() RETURNS pg_catalog.text LANGUAGE C;' ],
	[ 'table t is not qualified', 'ALTER TABLE t ADD COLUMN x pg_catalog.int4;' ],
	[ 'view v is not qualified', 'CREATE VIEW v AS SELECT 1;' ],
	[ 'table t is not qualified', 'CREATE INDEX i ON t (x);' ],
	[ 'relation pg_class is not qualified', 'CREATE VIEW neon_auth.v AS SELECT 1 FROM pg_class;' ],
	[ 'relation t is not qualified', 'CREATE VIEW neon_auth.v AS SELECT 1 FROM neon_auth.a LEFT JOIN t ON true;' ],
	[ 'function now is not qualified', 'SELECT now();' ],
	[ 'function count is not qualified', 'CREATE VIEW neon_auth.v AS SELECT count(*) FROM neon_auth.a;' ],
	[ 'a function of schema public', 'SELECT public.now();' ],
	[ 'operator = is not qualified', 'CREATE VIEW neon_auth.v AS SELECT 1 FROM neon_auth.a WHERE x = 1;' ],
	[ 'operator || is not qualified', q(SELECT 'a' || 'b';) ],
	[ 'operator - is not qualified', 'SELECT pg_catalog.now() - neon_auth.f();' ],
	[ 'LIKE looks', q(CREATE VIEW neon_auth.v AS SELECT 1 FROM neon_auth.a WHERE x LIKE 'a%';) ],
	[ 'IN ( looks', 'CREATE VIEW neon_auth.v AS SELECT 1 FROM neon_auth.a WHERE x IN (1, 2);' ],
	[ 'DISTINCT looks', 'CREATE VIEW neon_auth.v AS SELECT 1 FROM neon_auth.a WHERE x IS DISTINCT FROM y;' ],
	[ 'type text is not qualified', q(SELECT 'a'::text;) ],
	[ 'type text is not qualified', 'CREATE FUNCTION neon_auth.f() RETURNS text LANGUAGE C;' ],
	[ 'type int is not qualified', "CREATE TABLE neon_auth.t (\n\ta pg_catalog.text NOT NULL,\n\tx int NOT NULL\n);" ],
	[ 'type text is not qualified', 'CREATE FUNCTION neon_auth.f(a pg_catalog.int4, OUT b text) RETURNS pg_catalog.record AS LANGUAGE C;' ])
{
	my ($what, $sql, $begin) = @$row;

	unlink("$folder/bad.sql");
	append_to_file("$folder/bad.sql", ($begin // $guard) . "$sql\n");
	like(`$script_check $folder/bad.sql 2>&1`, qr/^\Q$folder\E\/bad.sql:\d+: .*\Q$what\E/m, "SEC-20: the check finds: $sql");
	isnt($?, 0, '... and fails');
}

done_testing();
