
# What it is worth that requests are in flight at the same time, beside one after the
# other in the same run, at providers that answer after a while.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench::Flight;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use NeonAuth::Bench;
use NeonAuth::Bench::Refresh qw(seconds_of_goal);
use NeonAuth::Bench::Setup;
use NeonAuth::Test;

our @EXPORT = qw(measure_flight);

# A listing of one request after the other takes too long to be measured more than once.
my %once;

sub once
{
	my ($name, $sql) = @_;

	return $once{$name} //= sql_seconds($sql);
}

sub measure_append
{
	my @slow = map { start_sim(users => 100, seed => $_, latency => 300) } 1 .. 5;
	my $sql = 'SELECT count(id) FROM (' . join(' UNION ALL ', map { "SELECT id FROM slow$_.users" } 1 .. 5) . ') u';

	allow($_) for @slow;
	add_server($node, $slow[ $_ - 1 ], name => "slow$_", schema => "slow$_") for 1 .. 5;
	my ($together, $one, $in_turn) = medians($rounds, sub { return sql_seconds($sql) }, sub { return sql_seconds('SELECT count(id) FROM slow1.users') },
		sub { return once('append', "SET enable_async_append = off; $sql; RESET enable_async_append") });

	result('async_append', value => $together, unit => 's', floor => $one, goal => 1.5, of => 'floor',
		what => sprintf('five servers of 300 ms in an Append; the floor is one of them; one after the other they take %.2f s', $in_turn));
	return;
}

# One server as it is, and one that sends one request after the other.
sub measure_latency
{
	my $far = start_sim(users => $users, latency => 100);
	my $some = 'SELECT count(*) FROM %s.users WHERE id = ANY (ARRAY(SELECT id FROM bench.known))';

	allow($far);
	add_server($node, $far, name => 'far', schema => 'far', options => $patience);
	add_server($node, $far, name => 'serial', schema => 'serial', options => "$patience, max_concurrency '1'");
	sql('CREATE TABLE bench.known AS SELECT id FROM far.users ORDER BY created_at LIMIT 1000');
	my ($batches, $each) = medians($rounds, map { my $sql = sprintf($some, $_); sub { return sql_seconds($sql) } } 'far', 'serial');
	result('ids_100ms', aside => 1, value => $batches, unit => 's', floor => undef, goal => 0.5 * $each,
		what => sprintf('1000 ids at 100 ms a request; one request after the other they take %.2f s', $each));

	my ($listing, $serial) = medians($few_rounds, sub { return sql_seconds('SELECT count(id) FROM far.users') },
		sub { return once('listing', 'SELECT count(id) FROM serial.users') });
	result('listing_100ms', value => $listing, unit => 's', goal => seconds_of_goal(4),
		what => sprintf('%d pages at 100 ms a request, no cache; one request after the other they take %.1f s', $users / 500, $serial));
	return;
}

sub measure_flight
{
	progress('requests at the same time');
	measure_append();
	measure_latency();
	return;
}

1;
