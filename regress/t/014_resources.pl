
# What a scan leaves behind: nothing.  Thousands of scans in one session, in
# every way in which a scan can end, well or badly, and scans canceled wherever
# they were: as many descriptors as before, and not a byte more of memory for
# each.  No program that the session starts inherits a socket of ours.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Resources;
use NeonAuth::Shim;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# How often a way is tried before the first measurement, and up to the second.
my $first = 100;
my $times = 1000;
my $cancels = 200;

# How much may grow while so many scans are made.  Whatever a scan leaks, be it 24
# bytes, is more than the first allows.
my %bounds = (malloc => 24 * 1024, contexts => 24 * 1024, resident => 1024 * 1024);

# ---- Five servers

my $shim = new_shim();
my $sim = start_sim(provider => 'clerk', users => 8);
my $broken = start_sim(provider => 'clerk', users => 8);
my $silent = start_sim(provider => 'clerk', users => 1);
my $slow_url = 'http://slow.test:' . $sim->port;
my $node = $shim->new_node(
	'resources',
	urls => [ $sim->url, $broken->url, $silent->url, $slow_url ],
	conf => "log_statement = none\nlog_min_messages = fatal\njit = off\n");

# ok has two pages; refused does not take the key; the second page of broken is no
# JSON; silent never answers; slow has a name that is looked up for long.
add_server($node, $sim, name => 'ok', schema => 'ok', options => ", page_size '5'");
add_server($node, $sim, name => 'refused', schema => 'refused');
add_server($node, $broken, name => 'broken', schema => 'broken', options => ", page_size '5'");
add_server($node, $silent, name => 'silent', schema => 'silent');
add_server($node, $sim, name => 'slow', schema => 'slow');
$broken->create_raw('{"id": "user_broken", "nested": [}}');
$silent->fault({ match => 'any', hang => JSON::PP::true, times => -1 });
$shim->slow_dns(0.3);
my $someone = $sim->user('index/3')->{id};

$node->safe_psql('postgres', <<"SQL");
ALTER SERVER slow OPTIONS (SET url '$slow_url');
ALTER USER MAPPING FOR CURRENT_USER SERVER refused OPTIONS (SET api_key 'sk_test_wrong');

-- A canceled look-up goes on in a thread, of which nobody waits for the end.
CREATE FUNCTION wait_for_threads() RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
	WHILE (SELECT count(*) FROM pg_ls_dir('/proc/self/task')) > 1 LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
END \$\$;

-- What kinds of descriptors a program inherits, beside its own.
CREATE TABLE descriptor (line text);
CREATE FUNCTION inherited(what text) RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
	DELETE FROM descriptor;
	COPY descriptor FROM PROGRAM 'ls -l /proc/self/fd';
	RETURN concat_ws('|', 'measured', what, (
		SELECT string_agg(kind, ' ' ORDER BY kind)
		FROM descriptor, substring(line FROM '-> (socket|anon_inode:\\[\\w+\\])') kind));
END \$\$;
SQL
my $meter = new_meter($node, first => $first, times => $times, bounds => \%bounds, providers => [ $sim, $broken ]);

# ---- Scans that end well, scans that end badly, and both in one transaction

$meter->each_way(
	'well', '',
	[ 'to the end', 'SELECT * FROM ok.users;', 2 ],
	[ 'one user by id', "SELECT * FROM ok.users WHERE id = '$someone';", 1 ],
	[ 'LIMIT', 'SELECT * FROM ok.users LIMIT 3;', 1 ],
	[ 'a cursor closed early', 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM ok.users; FETCH 3 FROM c; CLOSE c; COMMIT;', 1 ],
	[ 'a cursor left open at COMMIT', 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM ok.users; FETCH 3 FROM c; COMMIT;', 1 ],
	[ 'a cursor left open at ROLLBACK', 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM ok.users; FETCH 6 FROM c; ROLLBACK;', 2 ],
	[ 'a cursor WITH HOLD', 'BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM ok.users; COMMIT; FETCH 3 FROM c; CLOSE c;', 2 ],
	[ 'rescans', 'SELECT * FROM generate_series(1, 3) n, LATERAL (SELECT id FROM ok.users LIMIT n) u;', 1 ],
	[ 'a PL/pgSQL loop left early', 'SELECT first_id();', 2 ]);

$meter->each_way(
	'badly', '',
	[ 'at once', 'SELECT * FROM refused.users;', 1, '28000' ],
	[ 'one user by id', "SELECT * FROM refused.users WHERE id = '$someone';", 1, '28000' ],
	[ 'on the second page', 'SELECT * FROM broken.users;', 2, 'HV00M' ],
	[ 'at the second FETCH', 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM broken.users; FETCH 3 FROM c; FETCH ALL FROM c; ROLLBACK;', 2, 'HV00M' ],
	[ 'at COMMIT', 'BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM broken.users; FETCH 1 FROM c; COMMIT;', 2, 'HV00M' ],
	[ 'by the query itself', 'SELECT 1 / (row_number() OVER () - 3) FROM ok.users;', 1, '22012' ]);

$meter->each_way(
	'in one transaction', 'BEGIN;',
	[ 'a savepoint released', 'SAVEPOINT s; SELECT * FROM ok.users; RELEASE s;', 2 ],
	[ 'a savepoint rolled back', 'SAVEPOINT s; SELECT * FROM ok.users; ROLLBACK TO s; RELEASE s;', 2 ],
	[ 'an error after a savepoint', 'SAVEPOINT s; SELECT * FROM broken.users; ROLLBACK TO s; RELEASE s;', 2, 'HV00M' ],
	[ 'a cursor closed early', 'DECLARE c CURSOR FOR SELECT * FROM ok.users; FETCH 3 FROM c; CLOSE c;', 1 ],
	[ 'a cursor of a savepoint', 'SAVEPOINT s; DECLARE c CURSOR FOR SELECT * FROM ok.users; FETCH 3 FROM c; ROLLBACK TO s; RELEASE s;', 1 ]);

# ---- In one statement

my %loops = (
	'well' => [ 'SELECT * FROM ok.users', '00000' ],
	'at once' => [ 'SELECT * FROM refused.users', '28000' ],
	'on the second page' => [ 'SELECT * FROM broken.users', 'HV00M' ],
	'by the query itself' => [ 'SELECT 1 / (row_number() OVER () - 3) FROM ok.users', '22012' ]);

{
	my ($measured, $errors) = $meter->run_session(
		join("\n", map { "SELECT repeat_sql('$_', '$loops{$_}[0]', '$loops{$_}[1]', $times);" } sort keys %loops));

	$meter->flat("in one statement, $_", @{ $measured->{$_} }) for sort keys %loops;
	is_deeply($errors, {}, 'in one statement: each time as expected');
}

# ---- Canceled: while the provider says nothing, and while its name is looked up

for my $server (qw(silent slow))
{
	my @scans = ("SELECT * FROM $server.users;") x ($first + $cancels);
	my $measure = "RESET statement_timeout; SELECT wait_for_threads();";

	$scans[$_] = "SET statement_timeout = '5ms'; $scans[$_]" for (0, $first);
	$scans[$_] = "$scans[$_] $measure" for ($first - 1, $#scans);
	my ($measured, $errors) = $meter->run_session("\\o /dev/null\n" . $meter->measured($server, @scans));
	$meter->flat("canceled, $server", @{ $measured->{$server} });
	is_deeply($errors, { 57014 => $first + $cancels }, "canceled, $server: each time as expected");
}

# ---- Programs that the session starts

{
	my ($inherited) = $meter->run_session(<<'SQL');
SELECT inherited('before');
SELECT count(id) FROM ok.users;
SELECT inherited('after a scan');
SELECT count(id) FROM broken.users;
SELECT inherited('after one that failed');
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM ok.users;
FETCH 1 FROM c;
SELECT inherited('within a scan');
ROLLBACK;
SET statement_timeout = '20ms';
SELECT count(id) FROM silent.users;
SELECT count(id) FROM slow.users;
RESET statement_timeout;
SELECT inherited('after a canceled look-up');
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM slow.users;
FETCH 1 FROM c;
SELECT inherited('within a scan after a look-up');
ROLLBACK;
SQL
	my $before = delete($inherited->{before})->[0];

	is(keys %$inherited, 5, 'programs were started');
	is_deeply($inherited->{$_}[0], $before, "$_ a program inherits nothing of ours") for sort keys %$inherited;
	note("before any scan: @$before");
}

done_testing();
