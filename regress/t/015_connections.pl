
# The connections that a session keeps: used again by the next statement, closed
# when idle, failed or asked to, never used with options that have changed, and
# never more than the process has descriptors for.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use JSON::PP;
use NeonAuth::Test;
use NeonAuth::Wire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $users = 25;
my $sim = start_sim(users => $users, key => 'sk_test_x');
my $other = start_sim(users => 7, key => 'sk_test_x');
my $node = new_node('main');

allow_urls($node, $sim->url, $other->url);
add_server($node, $sim, options => ", page_size '5'");
add_server($node, $other, name => 'other', schema => 'other');

my $scan = 'SELECT count(id) FROM app.users';
my $kept = 'SELECT server, role, kind, valid, sockets, uses FROM neon_auth.connections() ORDER BY server, role';
my $role = $node->safe_psql('postgres', 'SELECT CURRENT_USER');

sub start_session
{
	return $node->background_psql('postgres', on_error_stop => 0);
}

# A session's answer, errors left out.
sub answer
{
	my ($session, $sql) = @_;
	my ($out) = $session->query("$sql;");

	return $out;
}

sub descriptors
{
	my ($pid) = @_;

	return scalar(() = glob("/proc/$pid/fd/*"));
}

# How many connections the simulator took since its counters were reset.
sub connections_of
{
	my ($provider) = @_;

	return $provider->stats->{connections};
}

# ---- From statement to statement

my $session = start_session();
my $pid = answer($session, 'SELECT pg_backend_pid()');

is(answer($session, 'SELECT count(*) FROM neon_auth.connections()'), '0', 'a new session has no connection');
$sim->reset_stats;
is(answer($session, $scan), $users, 'a scan');
is(answer($session, $scan), $users, 'the next one');
is(answer($session, "BEGIN; $scan; SAVEPOINT s; $scan; ROLLBACK TO s; $scan; COMMIT"), "$users\n$users\n$users",
	'more in a transaction');
is(answer($session, 'SELECT count(*) FROM app.users a JOIN app.users b USING (id)'), $users, 'a self-join');
is(connections_of($sim), 1, 'use one connection');
is(answer($session, $kept), "clerk|$role|provider|t|1|36", 'which the session knows');
is(answer($session, "SELECT idle >= '0' AND idle < '1 day' FROM neon_auth.connections()"), 't', 'and since when it rests');
answer($session, q(CALL neon_auth.refresh_users_sync('clerk')));
is(connections_of($sim), 1, 'a refresh uses it too');

# Two listings in turn: each reads its own page while the other's is being used, and
# has its next one on its way.
is( answer($session, <<'SQL'), 't', 'two cursors in turn');
DO $$
DECLARE
	a CURSOR FOR SELECT id FROM app.users;
	b CURSOR FOR SELECT id FROM app.users;
	x text; y text; seen text[] := '{}';
BEGIN
	OPEN a; OPEN b;
	FOR i IN 1..25 LOOP
		FETCH a INTO x;
		FETCH b INTO y;
		IF x <> y OR x = ANY (seen) THEN RAISE EXCEPTION 'wrong row %', i; END IF;
		seen := seen || x;
	END LOOP;
END $$;
SELECT true
SQL
cmp_ok(connections_of($sim), '<=', 2, 'have a socket each at most');
is(answer($session, 'SELECT kind FROM neon_auth.connections()'), 'provider', 'of one connection');

# ---- Functions to close them

is(answer($session, $scan . '; SELECT count(id) FROM other.users'), "$users\n7", 'two servers');
is(answer($session, 'SELECT server FROM neon_auth.connections() ORDER BY 1'), "clerk\nother", 'have one each');
is(answer($session, q(SELECT neon_auth.disconnect('other'))), 't', 'disconnect');
is(answer($session, q(SELECT neon_auth.disconnect('other'))), 'f', 'has nothing more to close');
is(answer($session, 'SELECT server FROM neon_auth.connections()'), 'clerk', 'and leaves the other');
is(answer($session, 'SELECT neon_auth.disconnect_all()'), 't', 'disconnect_all');
is(answer($session, 'SELECT neon_auth.disconnect_all()'), 'f', 'has nothing more to close');
my ($ret, $out, $err) = $node->psql('postgres', q(SELECT neon_auth.disconnect('nobody')));
like($err, qr/server "nobody" does not exist/, 'disconnect from an unknown server');
is( answer($session, <<'SQL'), "5\nt\n20", 'a connection closed in the middle of a listing is opened again');
BEGIN;
DECLARE c CURSOR FOR SELECT 1 FROM app.users;
MOVE 5 IN c;
WITH got AS (SELECT 1) SELECT 5 FROM got;
SELECT neon_auth.disconnect('clerk');
CREATE TEMP TABLE rest (n int);
DO $$ DECLARE c refcursor := 'c'; n int; BEGIN LOOP FETCH c INTO n; EXIT WHEN NOT FOUND; INSERT INTO rest VALUES (n); END LOOP; END $$;
SELECT count(*) FROM rest;
COMMIT;
SQL

# ---- Idle ones

$node->safe_psql('postgres', q(ALTER SERVER clerk OPTIONS (ADD idle_timeout '0')));
$sim->reset_stats;
is(answer($session, "BEGIN; $scan; $scan; COMMIT"), "$users\n$users", 'without idle time');
is(connections_of($sim), 1, 'one connection serves a transaction');
is(answer($session, $kept), '', 'and is closed with it');
$node->safe_psql('postgres', q(ALTER SERVER clerk OPTIONS (SET idle_timeout '200ms')));
answer($session, 'SELECT neon_auth.disconnect_all()');
my $none = open_descriptors($pid);
for my $round (1 .. 3)
{
	answer($session, $scan);
	wait_until('the idle connection to be closed', sub { return open_descriptors($pid) == $none });
	is(open_descriptors($pid), $none, "a session that rests closes what is due by itself, $round");
}
is(answer($session, $kept), '', 'and knows that it has');
is(answer($session, "BEGIN; $scan; SELECT FROM pg_sleep(0.5); $scan"), "$users\n$users", 'in a transaction');
sleep(0.5);
is(answer($session, "$scan; COMMIT"), $users, 'nothing is closed that is still used');
is(answer($session, 'SELECT 1/0; SELECT 1'), '1', 'after an error');
answer($session, $scan);
$node->safe_psql('postgres', q(ALTER SERVER clerk OPTIONS (DROP idle_timeout)));

# The provider hangs up on a connection that it kept: no failure, no other try.
my $reply = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";
my $wire = start_wire([ 'read', '\r\n\r\n' ], [ 'send', $reply ], ['close']);
allow_urls($node, $sim->url, $other->url, $wire->url);
$node->safe_psql('postgres', qq(ALTER SERVER other OPTIONS (SET url '@{[ $wire->url ]}')));
for (1 .. 3)
{
	is(answer($session, 'SELECT count(id) FROM other.users'), '0', 'a provider that hangs up after each reply');
	$wire->wait_at('closed', $_);
}
is($wire->connections, 3, 'gets a new connection each time');

# ---- Changes of options

my $other_url = $other->url;
$node->safe_psql('postgres', "ALTER SERVER other OPTIONS (SET url '$other_url')");
is(answer($session, 'SELECT count(id) FROM other.users'), '7', 'ALTER SERVER elsewhere is seen by the next statement');
$node->safe_psql('postgres', q(ALTER USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (SET api_key 'sk_test_wrong')));
is(answer($session, 'SELECT count(id) FROM other.users'), '', 'ALTER USER MAPPING too');
$node->safe_psql('postgres', q(ALTER USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (SET api_key 'sk_test_x')));
is(answer($session, 'SELECT count(id) FROM other.users'), '7', 'and back');
answer($session, $scan);
is( answer($session, "BEGIN; $scan; ALTER SERVER other OPTIONS (ADD page_size '9'); SELECT bool_or(valid) FROM neon_auth.connections(); COMMIT"),
	"$users\nf", 'connections of before a change are not valid');
is(answer($session, "SELECT count(*) FROM neon_auth.connections()"), '0', 'and closed when they are used no more');

# A scan that has begun ends with the options it began with.
is( answer($session, <<'SQL'), "5\n20", 'a change in the middle of a scan');
BEGIN;
DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1 FROM app.users;
MOVE 5 IN c;
SELECT 5;
ALTER SERVER clerk OPTIONS (SET url 'http://127.0.0.1:1');
CREATE TEMP TABLE rest2 (n int);
DO $$ DECLARE c refcursor := 'c'; n int; BEGIN LOOP FETCH c INTO n; EXIT WHEN NOT FOUND; INSERT INTO rest2 VALUES (n); END LOOP; END $$;
SELECT count(*) FROM rest2;
ROLLBACK;
SQL

my $reader = start_session();
answer($reader, 'BEGIN; DECLARE c CURSOR FOR SELECT 1 FROM app.users; MOVE 5 IN c');
$node->safe_psql('postgres', 'DROP USER MAPPING FOR CURRENT_USER SERVER clerk');
is( answer($reader, 'MOVE 1000 IN c; SELECT role IS NULL, valid, uses FROM neon_auth.connections(); COMMIT'),
	't|f|6', 'DROP USER MAPPING elsewhere lets a cursor go on, on a connection that is nobody\'s then');
is(answer($reader, $scan), '', 'and the next statement has no mapping');
$node->safe_psql('postgres', q(CREATE USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (api_key 'sk_test_x')));
is(answer($reader, $scan), $users, 'until there is one again');
$reader->quit;

# A server may be dropped while a refresh waits for its provider, for that holds
# no lock then; it ends as it began. A scan holds its table.
add_server($node, $sim, name => 'gone', schema => 'gone', options => ", page_size '5'");
$sim->fault({ match => 'list', after => 1, hang => JSON::PP::true });
my ($refreshed, $messages) = ('', '');
my $refresh = IPC::Run::start(
	[ 'psql', '-XAt', '-d', $node->connstr('postgres'), '-c', q(CALL neon_auth.refresh_users_sync('gone', target => 'gone.users_sync')) ],
	'>', \$refreshed, '2>', \$messages, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM neon_auth.sync_progress WHERE pages = 1') or die 'no refresh';
$node->safe_psql('postgres', 'DROP SERVER gone CASCADE');
is($node->safe_psql('postgres', 'SELECT pages FROM neon_auth.sync_progress'), '1', 'DROP SERVER while a refresh waits');
$sim->clear_faults;
$refresh->finish;
like($refreshed . $messages, qr/^ok\|25\|/, 'does not keep it from its end');

# ---- Other roles of the same session

$node->safe_psql('postgres', <<"SQL");
CREATE ROLE reader;
GRANT USAGE ON SCHEMA app TO reader;
GRANT SELECT ON app.users TO reader;
CREATE USER MAPPING FOR PUBLIC SERVER clerk OPTIONS (api_key 'sk_test_x');
SQL
is(answer($session, "$scan; SET ROLE reader; $scan; RESET ROLE; $kept"),
	"$users\n$users\nclerk|$role|provider|t|1|6\nclerk|public|provider|t|1|6", 'each user mapping has a connection of its own');
$session->quit;

# ---- Descriptors: 16 connections at most, and fewer where they are scarce

my $many = 20;
$node->safe_psql('postgres', join(';', map { my $n = $_; my $url = $sim->url; <<"SQL" } 1 .. $many));
CREATE SERVER s$n FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url '$url');
CREATE USER MAPPING FOR CURRENT_USER SERVER s$n OPTIONS (api_key 'sk_test_x');
CREATE SCHEMA s$n;
IMPORT FOREIGN SCHEMA directory FROM SERVER s$n INTO s$n
SQL
$session = start_session();
answer($session, join('; ', map { "SELECT count(id) FROM s$_.users" } 1 .. $many));
is(answer($session, 'SELECT count(*), bool_and(valid) FROM neon_auth.connections()'), '16|t', 'at most 16 connections are kept');
is(answer($session, 'SELECT count(id) FROM s1.users'), $users, 'the one used longest ago made room and comes back');
$session->quit;

$node->append_conf('postgresql.conf', "max_files_per_process = 64\n");
$node->restart;
$session = start_session();
$pid = answer($session, 'SELECT pg_backend_pid()');
is( answer($session, join(' UNION ALL ', map { "SELECT count(id) FROM s$_.users" } 1 .. $many)),
	join("\n", ($users) x $many), "$many servers in one statement");
is(answer($session, 'SELECT count(id) FROM s1.users ' . join(' ', map { "JOIN s$_.users u$_ USING (id)" } 2 .. $many)),
	$users, "$many servers in one join");
cmp_ok(descriptors($pid), '<', 64, 'within the limit');
cmp_ok(answer($session, 'SELECT count(*) FROM neon_auth.connections()'), '>', 0, 'some connections are kept');
answer($session, 'SELECT neon_auth.disconnect_all()');
my $before = open_descriptors($pid);
answer($session, join('; ', map { "SELECT count(id) FROM s$_.users" } 1 .. $many, 1 .. $many));
answer($session, 'SELECT neon_auth.disconnect_all()');
is(open_descriptors($pid), $before, 'disconnect_all gives all of them back');
$session->quit;

# Our descriptors end at the limit in another way for each value.
for my $files (65 .. 80)
{
	$node->append_conf('postgresql.conf', "max_files_per_process = $files\n");
	$node->restart;
	is($node->safe_psql('postgres', join(' UNION ALL ', map { "SELECT count(id) FROM s$_.users" } 1 .. 8)),
		join("\n", ($users) x 8), "max_files_per_process = $files");
}

$node->stop;
done_testing();
