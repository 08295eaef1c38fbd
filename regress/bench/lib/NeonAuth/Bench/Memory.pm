
# The most memory that a backend takes, beyond what it has when it is idle: VmHWM less
# VmRSS of before, as the kernel counts.  That counts pages of shared_buffers, too, which
# are nobody's own; so the server has few of them meanwhile.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench::Memory;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use List::Util qw(max);
use NeonAuth::Bench;
use NeonAuth::Bench::Setup;
use NeonAuth::Session;
use NeonAuth::Test;

our @EXPORT = qw(peaks measure_memory);

# MiB that a new session takes for the statement.
sub peak
{
	my ($sql) = @_;
	my $new = new_session($node);
	my $pid = $new->must('SELECT pg_backend_pid()');
	my $idle = process_memory($pid, 'VmRSS');

	open(my $file, '>', "/proc/$pid/clear_refs") or die "/proc/$pid/clear_refs: $!";
	print $file "5\n";
	close($file) or die "/proc/$pid/clear_refs: $!";
	$new->must($sql);
	return (process_memory($pid, 'VmHWM') - $idle) / 1024;
}

# MiB by what was done: refreshes, and scans of the provider and of the cache.
sub peaks
{
	my $refresh = "CALL neon_auth.refresh_users_sync('clerk', 'full', 'clerk.memory')";
	my $scan = 'SELECT count(raw_json), count(id) FROM %s.users';
	my %peaks;

	$node->append_conf('postgresql.conf', "shared_buffers = '8MB'\n");
	$node->restart;
	$session = new_session($node);
	sql('DROP TABLE IF EXISTS clerk.memory');
	$peaks{'first refresh'} = peak($refresh);
	$peaks{'refresh without changes'} = peak($refresh);
	$peaks{'scan of the provider'} = peak(sprintf($scan, 'clerk'));
	$peaks{'scan of the cache'} = peak(sprintf($scan, 'cached'));
	return \%peaks;
}

sub measure_memory
{
	progress('memory');
	my $peaks = peaks();

	result('memory_peak', value => max(values %$peaks), unit => 'MiB', goal => 64,
		what => join(', ', map { sprintf('%s %.1f', $_, $peaks->{$_}) } sort keys %$peaks) . '; shared_buffers 8MB, of which each may touch all');
	return;
}

1;
