# How fast it is, beside the least that the same could cost and beside postgres_fdw, all
# measured in one run; docs/performance.md says what each figure means.
#
#	BENCH_PART		what is measured: table (the default), the table of all goals
#	BENCH_USERS		of the directory (100000)
#	BENCH_ROUNDS	measurements of each, whose median counts (5); of what takes long at most 3
#	BENCH_COMPRESSION	of users_sync: pglz, the server's default, or lz4
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
my %modules = (table => 'NeonAuth::Bench::Table');
my $module = $modules{$part} // die "BENCH_PART is one of: " . join(', ', sort keys %modules) . "\n";

eval "require $module" or die $@;
$module->run;
pass("measured $part");
done_testing();
