
# How time and memory grow with the directory.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench::Growth;

use strict;
use warnings FATAL => 'all';

use NeonAuth::Bench;
use NeonAuth::Bench::Cached;
use NeonAuth::Bench::Changes;
use NeonAuth::Bench::Memory;
use NeonAuth::Bench::Refresh;
use NeonAuth::Bench::Setup;

my @sizes = (1000, 10000, 100000, 300000, 1000000);

# Large ones are measured once, after the round that does not count.
sub times_of { my ($size) = @_; return $size > 100000 ? 1 : $few_rounds; }

sub measure_size
{
	my $times = times_of($users);
	my %is = (users => $users, rounds => $times);

	set_up();
	($is{first_refresh_s}) = medians($times, \&first_refresh);
	($is{full_refresh_unchanged_s}) = medians($times, sub { return unchanged('clerk') });
	progress("$users users: refreshes measured");
	my ($changed, $changed_requests, $deleted, $deleted_requests) = changed_and_deleted($times);
	@is{qw(incremental_ms incremental_requests)} = (1000 * $changed, $changed_requests);
	@is{qw(deletion_ms deletion_requests)} = (1000 * $deleted, $deleted_requests);
	fill_cache();
	@is{qw(cached_scan_all_s cached_scan_narrow_s)} = medians($times, sub { return scan_all('cached') }, sub { return scan_narrow('cached') });
	progress("$users users: cached scans measured");
	$is{$_} = rounded($is{$_}) for keys %is;
	my $peaks = peaks();
	$is{memory_mib} = { map { ($_ => rounded($peaks->{$_})) } keys %$peaks };
	tear_down();
	return figures(%is);
}

sub run
{
	my $largest = $ENV{BENCH_USERS} || $sizes[-1];
	my @measured;

	for my $size (grep { $_ <= $largest } @sizes)
	{
		$users = $size;
		push @measured, measure_size();
		write_json('growth', \@measured);
	}
	return;
}

1;
