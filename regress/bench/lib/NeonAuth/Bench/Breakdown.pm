
# Where the time goes, way by way: work that has a name, the kernel, waiting.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench::Breakdown;

use strict;
use warnings FATAL => 'all';

use NeonAuth::Bench;
use NeonAuth::Bench::Cached;
use NeonAuth::Bench::Refresh;
use NeonAuth::Bench::Setup;
use NeonAuth::Profile;

# What is done on the way of a refresh.  A function within SQL comes before SQL itself.
my @refresh = (
	'compression of raw_json' => qr/pglz_compress|lz4_compress_datum|LZ4_compress/,
	'index of ids' => qr/\b(?:_bt_\w+|bt\w*insert|btgettuple|index_insert)\b/,
	WAL => qr/\bXLogInsert\b/,
	'jsonb of changed users' => qr/\b(?:jsonb_in|jsonb_from_cstring|JsonbValueToJsonb|pg_parse_json|nauth_redact)\b/,
	'columns of changed users' => qr/\bnauth_user_to_row\b/,
	'digests' => qr/\bnauth_digest_\w+/,
	'comparing with the target' => qr/\b(?:nauth_known_\w+|collect_wanted|see_user|nauth_apply_load)\b/,
	'splitting pages' => qr/\bnauth_(?:slice|read)_\w+/,
	'network' => qr/libcurl|\bnauth_(?:http|transfer|engine|connection|stream)_\w+/,
	'commit' => qr/\b(?:SPI_commit\w*|CommitTransaction\w*)\b/,
	'SQL otherwise' => qr/\b_?SPI_\w+/);

# What is done on the way of a query of the cache.
my @cached = (
	LZ4 => qr/LZ4_decompress/,
	'opening what is sealed' => qr/libcrypto|\bnauth_(?:unseal|seal)\w*/,
	'checking jsonb' => qr/\bnauth_jsonb_valid\b/,
	'decoding' => qr/\bnauth_(?:codec|plain)_\w+/,
	'talking to Redis' => qr/\bnauth_(?:redis|exchange|stream|engine)_\w+|libhiredis|libcurl/,
	'the listing otherwise' => qr/\bnauth_\w+/,
	'planner and parser' => qr/\b(?:pg_plan_queries|pg_analyze_and_rewrite\w*|raw_parser|pg_parse_query|planner)\b/,
	'executor' => qr/\b(?:standard_ExecutorRun|ExecutorRun|ExecScan|ExecAgg)\b/);

# What is profiled: its groups, what comes before, and the statements.
my @ways = (
	[ 'first refresh', \@refresh, sub { sql('DROP TABLE IF EXISTS clerk.users_sync; CHECKPOINT') }, sub { refresh('clerk', 'auto', "ok $users/0/0/0") } ],
	[ 'full refresh without changes', \@refresh, sub { }, sub { unchanged('clerk') for 1 .. 5 }, 5 ],
	[ 'the same by digests', \@refresh, sub { refresh('timeless', 'full', "ok $users/0/0/0") }, sub { unchanged('timeless') for 1 .. 5 }, 5 ],
	[ 'cached scan, all columns', \@cached, \&prepare_cached, sub { scan_all('cached') for 1 .. 10 }, 10 ],
	[ 'cached scan without raw_json', \@cached, sub { }, sub { scan_narrow('cached') for 1 .. 20 }, 20 ],
	[ 'cached lookup', \@cached, \&prepare_lookups, sub { sql('CALL bench.look_up(20)') }, 20000 ]);

# The known users are looked up one by one, so many times, with a plan for each.
sub prepare_lookups
{
	sql(q(CREATE PROCEDURE bench.look_up(times int) LANGUAGE plpgsql AS $$ DECLARE user_id text; BEGIN
		FOR i IN 1 .. times LOOP FOR user_id IN SELECT id FROM bench.ids LOOP
			EXECUTE format('SELECT * FROM cached.users WHERE id = %L', user_id); END LOOP; END LOOP; END $$));
	sql('CALL bench.look_up(1)');
	return;
}

# Rows of the table: each part of one way, in milliseconds of one statement, and of a hundred.
sub break_down
{
	my ($what, $groups, $prepare, $code, $times) = @_;

	$prepare->();
	my $where = profile($session, $groups, $code);
	my $wall = delete $where->{wall};
	my @parts = sort { $where->{$b} <=> $where->{$a} } keys %$where;

	progress("$what: profiled");
	return (map { +{ way => $what, part => $_, ms => rounded(1000 * $where->{$_} / ($times // 1)), percent => sprintf('%.1f', 100 * $where->{$_} / $wall) } } @parts),
	  { way => $what, part => 'all', ms => rounded(1000 * $wall / ($times // 1)), percent => '100.0' };
}

sub run
{
	set_up();
	first_refresh();
	report('breakdown', [qw(way part ms percent)], map { break_down(@$_) } @ways);
	tear_down();
	return;
}

1;
