# What was asked for in the background is no newer than its request, a time-out there
# is one, and one at a time is one at a time.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Session;
use NeonAuth::Test;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

my $sim = start_sim(users => 30);
my $other = start_sim(users => 30, seed => 2);
my $node = new_node('background', urls => [ map { $_->url } $sim, $other ], conf => "jit = off\n");
my ($session, $locker) = map { new_session($node) } 1 .. 2;

add_server($node, $sim, name => 'clerk', schema => 'app', options => ", page_size '10'");
add_server($node, $sim, name => 'one', schema => 'one', options => ", page_size '10', max_concurrency '1'");
add_server($node, $sim, name => 'hasty', schema => 'hasty', options => ", request_timeout '1s'");
add_server($node, $other, name => 'brief', schema => 'brief', options => ", request_timeout '30s', scan_timeout '1s'");

# ---- A refresh that writes a page which it asked for long ago

my ($first, $gone) = map { $sim->user("index/$_")->{id} } 0, 15;
sub is_marked { my ($name) = @_; return is($session->must("SELECT deleted_at IS NOT NULL FROM neon_auth.users_sync WHERE id = '$gone'"), 't', $name); }

$session->must("CALL neon_auth.refresh_users_sync('clerk')");
$sim->update('index/0', { first_name => 'Changed' });

# The row of who has changed is locked, so that the refresh rests on the first page.
$locker->must("BEGIN; SELECT FROM neon_auth.users_sync WHERE id = '$first' FOR UPDATE");
$sim->reset_stats;
my $pid = fork() // die "fork: $!";
if ($pid == 0)
{
	$node->psql('postgres', "CALL neon_auth.refresh_users_sync('clerk', mode => 'full')");
	POSIX::_exit(0);
}
ok(wait_until('the second page was asked for', sub { $sim->stats->{list} >= 2 }), 'the next page is asked for while this one is written');
$sim->remove('index/15');
$session->must("SELECT neon_auth.sync_user('clerk', '$gone')");
is_marked('who is gone is marked by sync_user');
$locker->must('COMMIT');
waitpid($pid, 0);
is_marked('and a refresh with an older page leaves that so');
$session->must("CALL neon_auth.refresh_users_sync('clerk')");
is_marked('as does the next one');

# ---- Time-outs of scans that are waited for together

my $both = 'SELECT id FROM hasty.users UNION ALL SELECT id FROM brief.users';
like($session->must("EXPLAIN (COSTS off) $both"), qr/(Async Foreign Scan.*?){2}/s, 'two scans are waited for together');
for my $case ([ $sim, 'hasty' ], [ $other, 'brief' ])
{
	my ($silent, $server) = @$case;

	$silent->fault({ match => 'list', hang => \1, times => -1 });
	$session->must("SET statement_timeout = '20s'");
	$silent->reset_stats;
	like($session->ask($both), qr/ERROR:  HV00L: the provider of server "$server" did not answer in time/, "$server never answers");
	is($silent->requests, 1, '... and is asked once');
	$silent->clear_faults;
}

# ---- One at a time

my $one = join(' UNION ALL ', map { "SELECT id FROM one.users WHERE created_at " . ('<', '>=')[ $_ % 2 ] . " '2025-01-01 00:0$_:00Z'" } 1 .. 4);
$sim->fault({ match => 'list', latency_ms => 200, times => -1 });
for my $sql ($one, "BEGIN; DECLARE c CURSOR FOR $one; MOVE 1 FROM c; SELECT count(id) FROM one.users; MOVE ALL FROM c; COMMIT")
{
	$sim->reset_stats;
	$session->must($sql);
	cmp_ok($sim->stats->{list}, '>', 3, 'several requests');
	is($sim->stats->{in_flight_max}, 1, '... with max_concurrency 1 one after the other');
}
$sim->clear_faults;

$node->stop;
done_testing();
