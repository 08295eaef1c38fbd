#!/usr/bin/perl
# Prints what `make bench` has left in regress/bench/out as the tables of
# docs/performance.md, a part each that is there.
#
#	perl regress/bench/results.pl
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use JSON::PP;

# Of each part the columns, in order; those of memory have a blank in their name.
my @parts = (
	[ bench => qw(name value unit floor postgres_fdw ratio goal holds) ],
	[ growth => qw(users first_refresh_s full_refresh_unchanged_s incremental_ms incremental_requests deletion_requests cached_scan_all_s cached_scan_narrow_s),
		'memory_mib.first refresh', 'memory_mib.refresh without changes', 'memory_mib.scan of the cache' ],
	[ latency => qw(provider users requests seconds how seconds_for_users) ],
	[ sessions => qw(sessions load asked per_second median_ms p99_ms) ],
	[ storage => qw(raw_json compression write_s join_s lookups_s read_raw_json_s heap_mb toast_mb) ],
	[ breakdown => qw(way part ms percent) ]);

# A member by its path, as it is to be read.
sub cell
{
	my ($is, $path) = @_;

	$is = ref $is ? $is->{$_} : undef for split /\./, $path;
	return JSON::PP::is_bool($is) ? ($is ? 'yes' : 'no') : $is // '';
}

# The name of a column with its unit.
sub head
{
	my ($path) = @_;
	my %units = (s => 's', ms => 'ms', mb => 'MB');

	return "memory of a $1, MiB" if $path =~ /^memory_mib\.(.*)/;
	return $path =~ s/_(s|ms|mb)$/, $units{$1}/r =~ s/_/ /gr;
}

sub print_row { return print '| ' . join(' | ', @_) . " |\n"; }

my $folder = dirname(__FILE__) . '/out';

for my $part (@parts)
{
	my ($name, @columns) = @$part;

	open(my $file, '<', "$folder/$name.json") or next;
	my $figures = decode_json(do { local $/; <$file> });
	print "### $name\n\n";
	print_row(map { head($_) } @columns);
	print '|' . '---|' x @columns . "\n";
	for my $is (@$figures)
	{
		print_row(map { cell($is, $_) } @columns);
	}
	print "\n";
}
