# What it is worth that requests are in flight at the same time, beside one after the
# other in the same run.  Providers answer after a while; the numbers are medians.
#
#	BENCH_ROUNDS	measurements of each (5)
#	BENCH_USERS		of the directory that is listed (100000)
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use List::Util qw(max);
use NeonAuth::Session;
use NeonAuth::Test;
use Test::More;
use Time::HiRes qw(time);

my $rounds = $ENV{BENCH_ROUNDS} || 5;
my $users = $ENV{BENCH_USERS} || 100000;
my @slow = map { start_sim(users => 100, seed => $_, latency => 300) } 1 .. 5;
my $large = start_sim(users => $users, latency => 100);
my $node = new_node('bench', urls => [ map { $_->url } @slow, $large ], conf => "jit = off\nwork_mem = '256MB'\n");

add_server($node, $slow[ $_ - 1 ], name => "s$_", schema => "s$_") for 1 .. 5;
add_server($node, $large, name => 'large', schema => 'large', options => ", scan_timeout '10min', refresh_timeout '10min'");
add_server($node, $large, name => 'serial', schema => 'serial',
	options => ", max_concurrency '1', scan_timeout '10min', refresh_timeout '10min'");
$node->safe_psql('postgres', 'CREATE TABLE ids AS SELECT id FROM large.users ORDER BY created_at LIMIT 1000');
my $session = new_session($node);

# The median of the seconds that a query takes, connections being open.
sub seconds
{
	my ($sql, $times) = @_;
	my @seconds;

	for my $round (0 .. $times // $rounds)
	{
		my $begin = time();

		$session->must($sql);
		push @seconds, time() - $begin if $round > 0;
	}
	return (sort { $a <=> $b } @seconds)[ @seconds / 2 ];
}

sub report
{
	my ($name, $what, $value, $alone, $goal, $ratio) = @_;

	note sprintf('%-14s %-58s %7.3f s  %7.3f s  %5.2f  %-8s %s', $name, $what, $value, $alone, $ratio, "<= $goal", $ratio <= $goal ? 'holds' : 'MISSED');
	return;
}

note sprintf('%-14s %-58s %9s  %9s  %5s  %-8s', 'name', 'what', 'value', 'beside', 'ratio', 'goal');
my $append = 'SELECT count(id) FROM (' . join(' UNION ALL ', map { "SELECT id FROM s$_.users" } 1 .. 5) . ') u';
my ($together, $one) = (seconds($append), seconds('SELECT count(id) FROM s1.users'));
report('async_append', 'five servers of 300 ms; beside one of them', $together, $one, 1.5, $together / $one);
$session->must('SET enable_async_append = off');
my $in_turn = seconds($append, 1);
report('', 'the same; beside one server after the other', $together, $in_turn, 0.3, $together / $in_turn);

my $some = 'FROM %s.users WHERE id = ANY (ARRAY(SELECT id FROM ids))';
my ($batches, $each) = map { seconds(sprintf("SELECT count(*) $some", $_)) } 'large', 'serial';
report('ids_100ms', '1000 ids at 100 ms a request; beside one after the other', $batches, $each, 0.5, $batches / $each);

my ($windows, $serial) = map { seconds("SELECT count(id) FROM $_.users", $_ eq 'serial' ? 1 : 3) } 'large', 'serial';
report('listing_100ms', "$users users at 100 ms a request; beside one after the other", $windows, $serial, 0.2, $windows / $serial);

pass('measured');
$node->stop;
done_testing();
