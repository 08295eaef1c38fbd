
# Fifty sessions at once that ask the cache, beside fifty that ask postgres_fdw for the
# same; first sessions that have asked before, then those whose first question it is.
#
#	BENCH_SECONDS	how long each load lasts (10); scans alone are so many a session,
#					since in so short a time not all would come to an end
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench::Sessions;

use strict;
use warnings FATAL => 'all';

use NeonAuth::Bench;
use NeonAuth::Bench::Cached;
use NeonAuth::Bench::Refresh;
use NeonAuth::Bench::Setup;
use PostgreSQL::Test::Utils;

my $sessions = 50;
my $seconds = $ENV{BENCH_SECONDS} || 10;
my $scans = 2;
my %schemas = ('the cache' => 'cached', postgres_fdw => 'rival');

sub scan_script
{
	my ($schema) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . "/scan_$schema.sql";

	append_to_file($file, scan_sql($schema, 'narrow') . ";\n");
	return $file;
}

# The scripts of a load, with their weights.
my %loads = (
	lookups => sub { return ('-f', lookup_script($_[0])) },
	scans => sub { return ('-f', scan_script($_[0])) },
	'lookups and scans' => sub { return ('-f', lookup_script($_[0]) . '@100', '-f', scan_script($_[0]) . '@1') });

# The time that the fastest of so large a part take, at most.
sub quantile { my ($part, @sorted) = @_; return $sorted[ int($part * $#sorted + 0.5) ]; }

# Milliseconds of all transactions that pgbench has logged, in order.
sub logged
{
	my ($folder) = @_;

	return sort { $a <=> $b } map { (split / /)[2] / 1000 } map { split /\n/, slurp_file($_) } glob("$folder/log*");
}

# A load by pgbench: transactions a second, and how long they took.
sub load
{
	my ($what, $load, $side, @how) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my @scripts = $loads{$load}->($schemas{$side});
	my $took = seconds(sub { pgbench('-c', $sessions, '-j', '2', '--log', '--log-prefix', "$folder/log", @how, @scripts) });
	my @times = logged($folder);

	return figures(sessions => $what, load => $load, asked => $side, transactions => scalar @times, seconds => rounded($took), per_second => rounded(@times / $took),
		median_ms => rounded(quantile(0.5, @times)), p99_ms => rounded(quantile(0.99, @times)));
}

sub run
{
	my @measured;

	set_up();
	first_refresh();
	prepare_cached();
	for my $load (sort keys %loads)
	{
		my @how = $load eq 'scans' ? ('-t', $scans) : ('-T', $seconds);

		push @measured, map { load("$sessions that go on", $load, $_, @how) } sort keys %schemas;
	}

	# with -C each transaction has a session of its own
	for my $load (qw(lookups scans))
	{
		push @measured, map { load("$sessions new ones", $load, $_, '-C', '-t', '1') } sort keys %schemas;
	}
	report('sessions', [qw(sessions load asked transactions seconds per_second median_ms p99_ms)], @measured);
	tear_down();
	return;
}

1;
