# How fast it is, beside the least that the same could cost and beside postgres_fdw, all
# measured in one run; docs/performance.md says what each figure means.
#
#	BENCH_PART		what is measured:
#		table		all goals, in one table; the default
#		breakdown	where the time goes; with perf, of Debian's package linux-perf
#		growth		some of it for directories of 1,000 to 1,000,000 users
#		latency		a first refresh from providers that are far away, or allow few requests
#		storage		users_sync with other compression, and raw_json in other places
#		sessions	fifty sessions at once that ask the cache, or postgres_fdw
#	BENCH_USERS		of the directory (100000); of the largest one, for growth
#	BENCH_ROUNDS	measurements of each, whose median counts (5); of what takes long at most 3
#
# Each part leaves its figures in regress/bench/out/, as JSON.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";

use NeonAuth::Bench;
use Test::More;

my $part = $ENV{BENCH_PART} || 'table';
my $module = 'NeonAuth::Bench::' . ucfirst $part;

die "there is no BENCH_PART $part\n" unless grep { $part eq $_ } qw(table breakdown growth latency sessions storage);

eval "require $module" or die $@;
$module->run;
pass("measured $part");
done_testing();
