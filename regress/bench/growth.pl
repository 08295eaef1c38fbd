#!/usr/bin/perl
# Draws docs/growth.svg from what BENCH_PART=growth measured: seconds, and memory, by the
# number of users, both axes logarithmic.
#
#	perl regress/bench/growth.pl regress/bench/out/growth.json > docs/growth.svg
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use List::Util qw(max min);
use POSIX qw(floor);

my ($width, $height, $left, $top, $gap) = (400, 320, 60, 40, 80);
my @colours = map { "#$_" } qw(1f6feb d1480f 2a8f3f 8a3ffc a8741a);

# Of each panel: title, and for each line its name and how it is read from a measurement.
my @panels = (
	{ title => 'seconds', lines => [
		[ 'first refresh', sub { $_[0]{first_refresh_s} } ],
		[ 'full refresh without changes', sub { $_[0]{full_refresh_unchanged_s} } ],
		[ 'cached scan, all columns', sub { $_[0]{cached_scan_all_s} } ],
		[ 'incremental refresh, 10 changes', sub { $_[0]{incremental_ms} / 1000 } ] ] },
	{ title => 'MiB of a backend beyond an idle one', lines => [
		[ 'first refresh', sub { $_[0]{memory_mib}{'first refresh'} } ],
		[ 'full refresh without changes', sub { $_[0]{memory_mib}{'refresh without changes'} } ],
		[ 'cached scan, all columns', sub { $_[0]{memory_mib}{'scan of the cache'} } ] ] });

sub log10 { my ($number) = @_; return log($number) / log(10); }

# Powers of ten around numbers, as their exponents.
sub decades
{
	my @exponents = map { log10($_) } grep { $_ > 0 } @_;
	my $low = floor(min(@exponents));
	my $high = -floor(-max(@exponents));

	return ($low, $high > $low ? $high : $low + 1);
}

sub number { my ($exponent) = @_; return 10**$exponent >= 1 ? sprintf('%d', 10**$exponent) =~ s/(?<=\d)(?=(?:\d{3})+$)/,/gr : sprintf('%g', 10**$exponent); }

sub text
{
	my ($x, $y, $anchor, $words, $colour) = @_;

	return sprintf(qq(<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>\n), $x, $y, $anchor, $colour // '#333', $words);
}

# One panel, its left edge at $x0.
sub panel
{
	my ($panel, $x0, @measured) = @_;
	my ($from, $to) = decades(map { $_->{users} } @measured);
	my ($low, $high) = decades(map { my $line = $_; map { $line->[1]->($_) } @measured } @{ $panel->{lines} });
	my $x = sub { return $x0 + $width * (log10($_[0]) - $from) / ($to - $from) };
	my $y = sub { return $top + $height - $height * (log10($_[0]) - $low) / ($high - $low) };
	my $svg = text($x0, $top - 16, 'start', $panel->{title});

	for my $exponent ($low .. $high)
	{
		my $at = $y->(10**$exponent);
		$svg .= sprintf(qq(<path d="M%.1f %.1fh%d" stroke="#ddd"/>\n), $x0, $at, $width) . text($x0 - 6, $at + 4, 'end', number($exponent));
	}
	for my $exponent ($from .. $to)
	{
		my $at = $x->(10**$exponent);
		$svg .= sprintf(qq(<path d="M%.1f %.1fv%d" stroke="#ddd"/>\n), $at, $top, $height) . text($at, $top + $height + 18, 'middle', number($exponent));
	}
	$svg .= text($x0 + $width / 2, $top + $height + 36, 'middle', 'users');
	for my $i (0 .. $#{ $panel->{lines} })
	{
		my ($name, $read) = @{ $panel->{lines}[$i] };
		my @points = map { [ $x->($_->{users}), $y->($read->($_)) ] } @measured;

		$svg .= sprintf(qq(<path d="M%s" fill="none" stroke="%s" stroke-width="2"/>\n), join('L', map { sprintf('%.1f %.1f', @$_) } @points), $colours[$i]);
		$svg .= sprintf(qq(<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>\n), @$_, $colours[$i]) for @points;
		$svg .= text($x0, $top + $height + 60 + 18 * $i, 'start', $name, $colours[$i]);
	}
	return $svg;
}

my ($file) = @ARGV;
open(my $in, '<', $file // '') or die "usage: growth.pl FILE\n";
my @measured = sort { $a->{users} <=> $b->{users} } @{ decode_json(do { local $/; <$in> }) };

printf(qq(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">\n<rect width="100%%" height="100%%" fill="#fff"/>\n),
	2 * ($left + $width) + $gap, $top + $height + 140);
print panel($panels[$_], $left + $_ * ($width + $gap), @measured) for 0 .. $#panels;
print "</svg>\n";
