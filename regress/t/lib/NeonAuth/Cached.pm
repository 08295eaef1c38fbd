
# What a query through the cache answers, and what that asks of the provider, for
# tests of what users see.  How Redis is asked is not looked at here.
#
#	watch_queries($node, $sim);
#	query_is('a lookup', $sql, 'Ada', '1 get');
#	query_is('a lookup again', $sql, 'Ada', 'nothing');
#	is(explained($sql), '0, hits=1 stale=0 misses=0, age', 'EXPLAIN of a lookup');
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Cached;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use NeonAuth::Test;
use Test::More;

our @EXPORT = qw(watch_queries run_sql query_is explained);

my ($node, $sim);

# The node where queries run, and the simulator that query_is looks at, unless told.
sub watch_queries
{
	($node, $sim) = @_;
	return;
}

# Runs SQL in a session of its own; returns what psql printed, then its messages.
sub run_sql
{
	my ($sql, $database) = @_;
	my (undef, $out, $err) = $node->psql($database // 'postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 0);

	return join("\n", grep { length } $out, $err);
}

# The SQL prints this and no message, and asks this of the simulator.
sub query_is
{
	my ($name, $sql, $rows, $requests, $provider, $database) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$provider //= $sim;
	$provider->reset_stats;
	is(run_sql($sql, $database), $rows, "$name: rows");
	is($provider->asked, $requests, "$name: requests");
	return;
}

# What EXPLAIN says of a query with one scan, as "requests, cache fields, age".
sub explained
{
	my ($sql) = @_;
	my $text = run_sql("EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) $sql");
	my ($requests) = $text =~ /^ +Requests: (\d+)$/m;
	my ($cache, $age) = $text =~ /^ +Cache: (hits=\d+ stale=\d+ misses=\d+)( age=\d+\.\d{3} s)?$/m;

	return ($requests // 'none') . ', ' . ($cache // 'none') . ($age ? ', age' : '');
}

1;
