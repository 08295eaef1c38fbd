
# What all measures share: seconds, medians, and the table of results.
#
#	my ($together, $alone) = medians($rounds,
#		sub { return seconds(sub { ... }) }, sub { return seconds(sub { ... }) });
#	result('async_append', value => $together, floor => $alone, unit => 's', goal => 1.5,
#		of => 'floor', what => 'five servers of 300 ms; the floor is one of them');
#	print_results();
#	write_json('bench', json_results());
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use JSON::PP;
use List::Util qw(max);
use NeonAuth::Test;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw($users $rounds $few_rounds seconds median medians rounded result print_results
  json_results print_table report write_json progress figures);

# Of the directory, and how often each thing is measured; what takes long, less often.
our $users = $ENV{BENCH_USERS} || 100000;
our $rounds = $ENV{BENCH_ROUNDS} || 5;
our $few_rounds = $rounds < 3 ? $rounds : 3;

my $begin = time();
my @results;

# ---- Measuring

sub seconds
{
	my ($code) = @_;
	my $since = time();

	$code->();
	return time() - $since;
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;

	return $sorted[ @sorted / 2 ];
}

# Runs pieces of code one after the other, once more than so many rounds; returns the
# median of what each one returned, of the first round nothing.  So what is compared
# is measured at the same time, whatever else the machine does.
sub medians
{
	my ($times, @codes) = @_;
	my @got;

	for my $round (0 .. $times)
	{
		for my $i (0 .. $#codes)
		{
			my $got = $codes[$i]->($round);
			push @{ $got[$i] }, $got if $round > 0;
		}
	}
	return map { median(@$_) } @got;
}

# As many digits as a measurement is worth.
sub rounded
{
	my ($number) = @_;

	return defined $number ? 0 + sprintf('%.4g', $number) : undef;
}

# Says what is under way, and since when.
sub progress
{
	my ($what) = @_;

	note(sprintf('%4d s: %s', time() - $begin, $what));
	return;
}

# One line of figures by name, also of figures within figures.
sub text_of
{
	my ($is) = @_;

	return join(', ', map { ref $is->{$_} ? "$_: (" . text_of($is->{$_}) . ')' : "$_ $is->{$_}" } sort keys %$is);
}

# Says what was measured; returns it.
sub figures
{
	my (%is) = @_;

	progress(text_of(\%is));
	return \%is;
}

# ---- Results

# What was measured, by its name: value and unit, what it is (what), and what is known of
# floor and postgres_fdw in the same unit.  The goal is of one of these two (of), a ratio;
# or else of the value itself.  Something else that has to hold is "if".  What is only
# shown, and in no file, is "aside".
sub result
{
	my ($name, %is) = @_;
	my $beside = $is{ $is{of} // 'floor' };

	$is{name} = $name;
	$is{ratio} = $is{value} / $beside if $beside;
	$is{holds} = ($is{of} ? $is{ratio} : $is{value}) <= $is{goal} && ($is{if} // 1) ? 1 : 0;
	push @results, \%is;
	progress(join(' ', row_of(\%is)));
	return;
}

my @head = qw(name value unit floor postgres_fdw ratio goal holds);

sub goal_of
{
	my ($is) = @_;
	my $goal = '<= ' . rounded($is->{goal});

	return $is->{of} ? "$goal x $is->{of}" : "$goal $is->{unit}";
}

sub row_of
{
	my ($is) = @_;

	return ($is->{name}, rounded($is->{value}), $is->{unit},
		(map { defined $is->{$_} ? rounded($is->{$_}) : '-' } qw(floor postgres_fdw ratio)),
		goal_of($is), $is->{holds} ? 'yes' : 'MISSED');
}

sub print_results
{
	print_table([ @head, 'what' ], map { [ row_of($_), $_->{what} ] } @results);
	return;
}

# The same for a file.
sub json_results
{
	return [
		map {
			my $is = $_;
			+{ (map { $_ => rounded($is->{$_}) } qw(value floor postgres_fdw ratio goal)),
				name => $is->{name}, unit => $is->{unit},
				holds => $is->{holds} ? JSON::PP::true : JSON::PP::false }
		} grep { !$_->{aside} } @results ];
}

# Prints rows below a head, in columns as wide as they need to be; numbers end, and texts
# begin, below each other.
sub print_table
{
	my (@rows) = @_;
	my @widths = map { my $i = $_; max(map { length($_->[$i]) } @rows) } 0 .. $#{ $rows[0] };

	for my $row (@rows)
	{
		note(join('  ', map { sprintf($row->[$_] =~ /^[-.\d]+$/ ? '%*s' : '%-*s', $widths[$_], $row->[$_]) } 0 .. $#$row) =~ s/ +$//r);
	}
	return;
}

# Prints figures as a table, and writes them as out/NAME.json: hashes with these names.
sub report
{
	my ($name, $names, @figures) = @_;

	print_table($names, map { my $is = $_; [ map { $is->{$_} // '-' } @$names ] } @figures);
	write_json($name, \@figures);
	return;
}

# Writes out/NAME.json, which `make bench` copies to the checkout that it was called in.
sub write_json
{
	my ($name, $data) = @_;
	my $folder = tree() . '/regress/bench/out';

	mkdir($folder);
	open(my $file, '>', "$folder/$name.json") or die "$folder/$name.json: $!";
	print $file JSON::PP->new->canonical->pretty->encode($data);
	close($file) or die "$folder/$name.json: $!";
	return;
}

1;
