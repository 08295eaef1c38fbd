
# Nothing but a scan that is wanted, a refresh and check_server uses the network:
# the shim aborts any process of the server that looks up a name or connects.
# Where the database may not be written, scans work and a refresh is refused
# before any request.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use NeonAuth::Shim;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 25;
my $sim = start_sim(users => $users);
my $shim = new_shim();
my $node = $shim->new_node('main', urls => [ $sim->url ], conf => "restart_after_crash = on\n");

add_server($node, $sim);
my $id = $node->safe_psql('postgres', 'SELECT id FROM app.users LIMIT 1');
my $redis = "redis_url 'redis://cache.test'";

# ---- What may not use it

my @statements = (
	# planning, whatever the plan
	'EXPLAIN SELECT * FROM app.users',
	"EXPLAIN (VERBOSE, FORMAT JSON) SELECT name FROM app.users WHERE id = '$id'",
	'EXPLAIN SELECT count(*) FROM app.users a JOIN app.users b USING (id) ORDER BY 1',
	"EXPLAIN DELETE FROM pg_am WHERE EXISTS (SELECT FROM app.users)",
	'PREPARE one(text) AS SELECT name FROM app.users WHERE id = $1',
	"EXPLAIN EXECUTE one('$id')",
	'SET plan_cache_mode = force_generic_plan',
	"EXPLAIN (VERBOSE) EXECUTE one('$id')",
	'RESET plan_cache_mode',
	'CREATE VIEW v AS SELECT * FROM app.users',
	'CREATE MATERIALIZED VIEW m AS SELECT * FROM app.users WITH NO DATA',
	'DECLARE c CURSOR WITH HOLD FOR SELECT 1 FROM app.users WHERE false',

	# scans that are begun and never asked for a row, or for one that no user has
	'SELECT * FROM app.users LIMIT 0',
	'SELECT * FROM app.users WHERE false',
	"SELECT * FROM app.users WHERE id = ''",
	'SELECT * FROM app.users WHERE id = NULL',
	"SELECT * FROM app.users WHERE id = '../' || repeat('x', 300)",
	'SELECT 1 WHERE false AND EXISTS (SELECT FROM app.users)',
	'SELECT CASE WHEN true THEN 1 ELSE (SELECT count(id) FROM app.users) END',
	'SELECT x FROM (SELECT 1 AS x WHERE false) t JOIN app.users u ON u.id = x::text',
	'BEGIN; DECLARE d CURSOR FOR SELECT * FROM app.users; CLOSE d; COMMIT',

	# definitions
	"CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url 'https://directory.test', $redis)",
	"ALTER SERVER s OPTIONS (SET url 'https://other.test', ADD page_size '7')",
	"CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (api_key 'x', redis_password 'y')",
	"ALTER USER MAPPING FOR PUBLIC SERVER s OPTIONS (SET api_key 'z')",
	'IMPORT FOREIGN SCHEMA directory FROM SERVER s INTO public',
	'CREATE FOREIGN TABLE members (id text, email text) SERVER s',
	'ALTER FOREIGN TABLE members ADD COLUMN name text',
	'ALTER SERVER s RENAME TO t',
	'DROP SERVER t CASCADE',
	'CREATE EXTENSION IF NOT EXISTS neon_auth_fdw',
	'ALTER EXTENSION neon_auth_fdw UPDATE',

	# functions and views
	'SELECT * FROM neon_auth.providers()',
	'SELECT * FROM neon_auth.connections()',
	'SELECT neon_auth.disconnect_all()',
	'SELECT neon_auth.create_users_sync()',
	'TABLE neon_auth.sync_status',
	'TABLE neon_auth.sync_progress',
	'TABLE neon_auth.sync_run',
	'SELECT * FROM neon_auth.users_sync',
	'VACUUM',
	'ANALYZE',
	'ANALYZE neon_auth.users_sync');

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $session->query('SELECT pg_backend_pid();');

$shim->forbid_network(1);
$sim->reset_stats;
for my $sql (@statements)
{
	$session->{stderr} = '';
	# psql goes with its session
	my $lives = eval { $session->query("$sql;"); 1 };
	ok($lives && $session->{stderr} !~ /ERROR|FATAL/, $sql) or die "$@ $session->{stderr}";
}
is($session->query('SELECT pg_backend_pid();'), $pid, 'the session is the one that began');

my $dump = '';
ok(IPC::Run::run([ 'pg_dump', '-s', '-d', $node->connstr('postgres') ], '>', \$dump), 'pg_dump');
like($dump, qr/CREATE FOREIGN TABLE app.users/, 'has the foreign table');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
ok(IPC::Run::run([ qw(psql -X -v ON_ERROR_STOP=1 -q -d), $node->connstr('restored') ], '<', \$dump, '>', '/dev/null'), 'restoring it');
$node->safe_psql('postgres', 'CREATE DATABASE made; DROP DATABASE restored');
$node->safe_psql('made', 'CREATE EXTENSION neon_auth_fdw; DROP EXTENSION neon_auth_fdw');
is($sim->stats->{connections}, 0, 'the provider saw nobody');
ok(-d "/proc/$pid", 'no process has ended');

# ---- Where nothing may be written, it is not asked in vain

my $read_only = 'cannot execute CALL neon_auth.refresh_users_sync\(\)';
for my $mode ('READ ONLY', 'ISOLATION LEVEL SERIALIZABLE READ ONLY, DEFERRABLE', 'ISOLATION LEVEL REPEATABLE READ')
{
	my ($ret, $out, $err) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nBEGIN $mode;\nCALL neon_auth.refresh_users_sync('clerk');");
	my $error = $mode =~ /READ ONLY/ ? qr/ERROR:  25006: $read_only in a read-only transaction/ : qr/ERROR:  0A000: /;
	like($err, $error, "BEGIN $mode: a refresh is refused before it asks");
}

# ---- The shim would have noticed

for my $sql (
	'SELECT count(id) FROM app.users',
	q(CALL neon_auth.refresh_users_sync('clerk')),
	q(SELECT * FROM neon_auth.check_server('clerk')))
{
	my $before = -s $node->logfile;

	isnt($node->psql('postgres', $sql), 0, "what asks ends its session: $sql");
	wait_until('the server to come back', sub { return IPC::Run::run([ 'pg_isready', '-q', '-d', $node->connstr('postgres') ]) });
	like(slurp_file($node->logfile, $before), qr/was terminated by signal 6/, 'for its process was aborted');
}
$shim->forbid_network(0);
is($sim->stats->{connections}, 0, 'the provider still saw nobody');

for my $mode ('READ ONLY', 'ISOLATION LEVEL SERIALIZABLE READ ONLY, DEFERRABLE')
{
	is($node->safe_psql('postgres', "BEGIN $mode; SELECT count(id) FROM app.users; COMMIT"), $users, "BEGIN $mode: a scan works");
}
is($node->safe_psql('postgres', q(SELECT bool_and(verdict <> 'error') FROM neon_auth.check_server('clerk'))), 't', 'so does check_server');

$node->stop;
done_testing();
