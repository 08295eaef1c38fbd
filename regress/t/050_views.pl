
# Views over a foreign table: whose credential they use, and what they hide from a
# function that tells; materialized views; definitions that are dumped and restored
# without asking anybody; and scans in queries that run in parallel, with a user in
# the directory that PostgreSQL cannot hold.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 45;
my $sim = start_sim(provider => 'clerk', users => $users);
my $node = new_node('views', urls => [ $sim->url ], conf => "log_statement = none\ntimezone = 'UTC'\n");

add_server($node, $sim, options => ", page_size '10'");

# Runs SQL; returns what psql printed, and what it said.
sub run_sql
{
	my ($sql, $database) = @_;
	my (undef, $out, $err) = $node->psql($database // 'postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 0);

	return ($out, $err);
}

# The SQL prints these rows, no message, and asks this of the provider.
sub query_is
{
	my ($name, $sql, $rows, $requests) = @_;

	$sim->reset_stats;
	my ($out, $err) = run_sql($sql);
	is($out . $err, $rows, "$name: rows");
	is($sim->asked, $requests, "$name: requests");
	return;
}

# The SQL fails with this SQLSTATE and message, and asks this.
sub query_fails
{
	my ($name, $sql, $sqlstate, $message, $requests) = @_;

	$sim->reset_stats;
	my (undef, $err) = run_sql($sql);
	like($err, qr/ERROR:  $sqlstate: .*$message/, "$name: SQLSTATE and message");
	is($sim->asked, $requests, "$name: requests");
	return;
}

# ---- Whose credential

# keeper's is the right one, guest's is wrong, stranger has none.
run_sql("CREATE ROLE keeper; CREATE ROLE guest; CREATE ROLE stranger; CREATE SCHEMA kept AUTHORIZATION keeper;
	GRANT USAGE ON SCHEMA app, kept TO keeper, guest, stranger; GRANT USAGE, CREATE ON SCHEMA app TO guest;
	GRANT SELECT ON app.users TO keeper, guest, stranger;
	CREATE USER MAPPING FOR keeper SERVER clerk OPTIONS (api_key 'sk_test_x');
	CREATE USER MAPPING FOR guest SERVER clerk OPTIONS (api_key 'sk_wrong');
	SET ROLE keeper;
	CREATE VIEW kept.names AS SELECT id, name FROM app.users;
	CREATE VIEW kept.of_caller WITH (security_invoker) AS SELECT id, name FROM app.users;
	GRANT SELECT ON kept.names, kept.of_caller TO PUBLIC;
	SET ROLE guest;
	CREATE VIEW app.names_again AS SELECT count(id) FROM kept.names;
	CREATE VIEW app.names_of_guest AS SELECT count(id) FROM app.users;
	CREATE VIEW app.names_of_caller AS SELECT count(id) FROM kept.of_caller;
	GRANT SELECT ON app.names_again, app.names_of_guest, app.names_of_caller TO PUBLIC");

query_is("a view: its owner's", 'SET ROLE stranger; SELECT count(id) FROM kept.names', $users, '5 list');
query_is('a view of a view: that of the inner one\'s owner', 'SET ROLE stranger; TABLE app.names_again', $users, '5 list');
query_fails("a view of somebody with a wrong one", 'SET ROLE keeper; TABLE app.names_of_guest', '28000', 'did not accept', '1 list');
query_is('security_invoker: the caller\'s', 'SET ROLE keeper; SELECT count(id) FROM kept.of_caller', $users, '5 list');
query_fails('security_invoker, a caller without', 'SET ROLE stranger; SELECT count(id) FROM kept.of_caller',
	'42704', 'role "stranger" has no user mapping', 'nothing');
query_is('security_invoker within a view: still the caller\'s', 'SET ROLE keeper; TABLE app.names_of_caller', $users, '5 list');
is((run_sql('SELECT (SELECT count(id) FROM kept.names), (SELECT count(id) FROM app.users)'))[0], "$users|$users", 'two owners in one query');
query_is(
	'a function of its owner',
	"CREATE FUNCTION kept.number_of() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(id) FROM app.users';
	 ALTER FUNCTION kept.number_of() OWNER TO keeper; SET ROLE stranger; SELECT kept.number_of()", $users, '5 list');

# ---- What a view hides

my @ids = map { $sim->user("index/$_")->{id} } 0 .. 2;
my $shown = join(', ', map { "'$_'" } @ids[ 0, 1 ]);

run_sql("CREATE FUNCTION app.tell(t text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
	   \$\$BEGIN RAISE NOTICE 'saw %', t; RETURN true; END\$\$;
	GRANT EXECUTE ON FUNCTION app.tell TO PUBLIC;
	SET ROLE keeper;
	CREATE VIEW kept.open AS SELECT id, name FROM app.users WHERE left(id, 99) IN ($shown);
	CREATE VIEW kept.barred WITH (security_barrier) AS SELECT id, name FROM app.users WHERE left(id, 99) IN ($shown);
	CREATE VIEW kept.barred_by_id WITH (security_barrier) AS SELECT id, name FROM app.users WHERE id IN ($shown);
	GRANT SELECT ON kept.open, kept.barred, kept.barred_by_id TO PUBLIC");

# Whom the function has seen in this query.
sub seen
{
	my ($sql) = @_;
	my ($out, $err) = run_sql("SET ROLE stranger; $sql");

	return join(' ', sort $err =~ /NOTICE:  00000: saw (\S+)/g);
}

is(scalar(split / /, seen('SELECT id FROM kept.open WHERE app.tell(id)')), $users, 'a plain view: the function sees everybody');
is(seen('SELECT id FROM kept.barred WHERE app.tell(id)'), join(' ', sort @ids[ 0, 1 ]), 'a security barrier: nobody who is hidden');
is(seen('SELECT id FROM kept.barred_by_id WHERE app.tell(id)'), join(' ', sort @ids[ 0, 1 ]), 'nor where the provider is asked for the others alone');
is(seen("SELECT id FROM kept.barred WHERE id = '$ids[0]' AND app.tell(id)"), $ids[0], 'by id: the one asked for');
is(seen("SELECT id FROM kept.barred WHERE id = '$ids[2]' AND app.tell(id)"), '', 'nor by id');
query_is('by id, shown', "SET ROLE stranger; SELECT id FROM kept.barred WHERE id = '$ids[0]'", $ids[0], '1 get');
query_is('by id, hidden', "SET ROLE stranger; SELECT id FROM kept.barred WHERE id = '$ids[2]'", '', '1 get');
is(seen("SELECT id FROM kept.barred b WHERE id = (SELECT max(id) FROM kept.barred WHERE app.tell(id)) AND app.tell(name)") =~ tr/ //, 2,
	'by an id that is computed, too');

# ---- Materialized views

$sim->reset_stats;
run_sql("SET ROLE keeper; CREATE MATERIALIZED VIEW kept.later AS SELECT id, name FROM app.users WITH NO DATA;
	RESET ROLE; GRANT SELECT ON kept.later TO PUBLIC");
is($sim->asked, 'nothing', 'WITH NO DATA asks nothing');
query_is('CREATE', "SET ROLE keeper; CREATE MATERIALIZED VIEW kept.rows AS SELECT * FROM app.users; GRANT SELECT ON kept.rows TO PUBLIC",
	'', '5 list');
query_is('reading it', 'SET ROLE stranger; SELECT count(*), count(raw_json) FROM kept.rows', "$users|$users", 'nothing');
query_is('it has the rows', 'SELECT count(*) FROM (TABLE kept.rows EXCEPT TABLE app.users) u', '0', '5 list');
query_is("REFRESH by somebody else: its owner's", 'DROP USER MAPPING FOR CURRENT_USER SERVER clerk; REFRESH MATERIALIZED VIEW kept.later',
	'', '5 list');
run_sql("CREATE USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (api_key 'sk_test_x'); CREATE UNIQUE INDEX ON kept.rows (id)");
$sim->update('index/7', { first_name => 'Changed' });
$sim->remove('index/8');
query_is('REFRESH CONCURRENTLY', 'REFRESH MATERIALIZED VIEW CONCURRENTLY kept.rows', '', '5 list');
query_is('it has the changes', "SELECT count(*), count(*) FILTER (WHERE name LIKE 'Changed%') FROM kept.rows",
	join('|', $users - 1, 1), 'nothing');
$sim->fault({ status => 500, after => 3, match => 'list' });
query_fails('REFRESH that fails', 'REFRESH MATERIALIZED VIEW kept.rows', 'HV00L', 'is not available', '4 list');
$sim->clear_faults;
query_is('leaves it as it was', 'SELECT count(*) FROM kept.rows', $users - 1, 'nothing');

# ---- Definitions, dumped and restored

run_sql("CREATE TABLE app.parts (id text NOT NULL, email text) PARTITION BY LIST (email);
	CREATE FOREIGN TABLE app.remote PARTITION OF app.parts DEFAULT SERVER clerk;
	CREATE TABLE app.parent (id text); CREATE FOREIGN TABLE app.child (email text) INHERITS (app.parent) SERVER clerk;
	IMPORT FOREIGN SCHEMA directory FROM SERVER clerk INTO kept OPTIONS (columns 'email, id')");
my $definitions = q(SELECT c.oid::regclass, c.relkind, c.relowner::regrole, c.reloptions, pg_get_viewdef(c.oid), s.srvname, a.columns
	  FROM pg_class c LEFT JOIN pg_foreign_table t ON t.ftrelid = c.oid LEFT JOIN pg_foreign_server s ON s.oid = t.ftserver,
	  LATERAL (SELECT string_agg(attname || ' ' || atttypid::regtype || ' ' || attnotnull, ', ' ORDER BY attnum) AS columns
	             FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) a
	 WHERE relnamespace IN ('app'::regnamespace, 'kept'::regnamespace) AND relkind <> 'i' ORDER BY c.oid::regclass::text);
my ($original) = run_sql($definitions);
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';

$sim->reset_stats;
$node->command_ok([ 'pg_dump', '-s', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $node->connstr('copy'), '-f', $dump ],
	'psql restores it');
is((run_sql($definitions, 'copy'))[0], $original, 'the copy has the same definitions');
like($original, qr/^kept\.barred\|v\|keeper\|\{security_barrier=true\}\|/m, 'among them a view');
is($sim->asked, 'nothing', 'nobody was asked');
is($sim->stats->{connections}, 0, 'nor connected to');
is((run_sql('SET ROLE stranger; SELECT count(id) FROM kept.names', 'copy'))[0], $users - 1, 'and the copy works');

# ---- Queries in parallel

$sim->create_raw('{"id":"user_nul","name":"a\u0000b"}');
$sim->create({ id => 'user_last' });
run_sql("CREATE TABLE app.copy AS SELECT * FROM app.users; CREATE TABLE app.posts (id int, author text);
	INSERT INTO app.posts SELECT g, (SELECT array_agg(id ORDER BY id) FROM app.copy)[1 + g % 60] FROM generate_series(1, 20000) g;
	ANALYZE app.posts; ANALYZE app.copy");
my $forced = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
my $parallel = 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
	SET max_parallel_workers_per_gather = 2; SET enable_material = off;';

# The query has this plan, warns of the one who is left out, and gives what it
# gives with a local copy.
sub parallel_ok
{
	my ($name, $settings, $sql, $shape) = @_;
	my ($expected) = run_sql($sql =~ s/app\.users/app.copy/gr);
	my ($plan) = run_sql("$settings EXPLAIN (COSTS off) $sql");

	like($plan, $shape, "$name: plan");
	my ($out, $err) = run_sql("$settings $sql");
	is($out, $expected, "$name: rows");
	is(scalar(() = $err =~ /WARNING:  22000: left out a user/g), 1, "$name: one user is left out");
	unlike($err, qr/ERROR/, "$name: no error");
	return;
}

my $scan = qr/Foreign Scan on users/;
parallel_ok('a Gather beside the scan', "$parallel SET enable_nestloop = off;",
	'SELECT count(*), count(u.name), min(p.id) FROM app.posts p JOIN app.users u ON u.id = p.author',
	qr/Join.*(Gather.*Parallel Seq Scan.*$scan|$scan.*Gather.*Parallel Seq Scan)/s);
parallel_ok('a scan that is repeated beside a Gather', "$parallel SET enable_hashjoin = off; SET enable_mergejoin = off;",
	'SELECT count(*) FROM app.users u JOIN app.posts p ON p.author < u.id AND p.id < 300',
	qr/Nested Loop.*(Gather.*$scan|$scan.*Gather)/s);
parallel_ok('a scan for a Gather', $parallel,
	'SELECT count(*) FROM app.posts WHERE id <= (SELECT count(id) FROM app.users)',
	qr/InitPlan.*$scan.*Gather.*Parallel Seq Scan/s);
parallel_ok('forced', "SET $forced = on;", 'SELECT id, name FROM app.users ORDER BY id', qr/^Sort\n[^\n]*\n +->  $scan$/);

$node->stop;
done_testing();
