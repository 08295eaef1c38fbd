
# What is found without a listing: ten users who have changed, and one who is gone.  The
# simulator answers, so a part of the time is its own; the floor is one request to it.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench::Changes;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use NeonAuth::Bench;
use NeonAuth::Bench::Setup;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(changed_and_deleted measure_changes);

# The list of changes as the extension asks for it first.
my $request = '/v1/users?limit=100&offset=0&order_by=-updated_at';

# Changes ten users, who are others each time.
sub change_ten
{
	my ($round) = @_;

	$sim->update("index/$_", { name => "Changed $round" }) for map { ($_ * 7919 + $round) % ($users - 100) } 1 .. 10;
	return;
}

# Removes somebody of the middle of the directory, somebody else each time.
sub remove_one
{
	my ($round) = @_;

	$sim->remove('index/' . (int($users / 2) + 5 + 11 * $round));
	return;
}

# Seconds and requests of a refresh after that.
sub refresh_after
{
	my ($change, $round, $expected) = @_;

	$change->($round);
	sql('CHECKPOINT');
	$sim->reset_stats;
	my $seconds = refresh('changing', 'auto', $expected);
	return ($seconds, $sim->requests);
}

sub seconds_of_a_request
{
	my ($out) = run_command([ 'curl', '-sS', '-f', '-o', '/dev/null', '-w', '%{time_total}', '-H', 'Authorization: Bearer ' . $sim->key, $sim->url . $request ]);

	return $out;
}

# A first refresh from the simulator; and one more, after which the list of changes is
# read down to where they ended.
sub prepare_changes
{
	return if sql("SELECT to_regclass('changing.users_sync') IS NOT NULL") eq 't';
	refresh('changing', 'auto', "ok $users/0/0/0");
	sql('VACUUM ANALYZE changing.users_sync');
	return;
}

# How many users of before a refresh finds unchanged depends on what the overlap has, so
# only what it writes is looked at.
sub changed_and_deleted
{
	my ($times) = @_;
	my (@changes, @deletions, @floor);

	prepare_changes();
	for my $round (0 .. $times)
	{
		my @changed = refresh_after(\&change_ten, $round, qr{^ok 0/10/\d+/0$});
		my @deleted = refresh_after(\&remove_one, $round, qr{^ok 0/0/\d+/1$});

		next if $round == 0;
		push @changes, \@changed;
		push @deletions, \@deleted;
		push @floor, seconds_of_a_request();
	}
	return map { my $measured = $_; map { my $i = $_; median(map { $_->[$i] } @$measured) } 0 .. $#{ $measured->[0] } }
	  \@changes, \@deletions, [ map { [$_] } @floor ];
}

sub log2 { return log($_[0]) / log(2); }

sub measure_changes
{
	progress('changes and deletions');
	my ($changed, $requests, $deleted, $counts, $floor) = changed_and_deleted($rounds);

	result('incremental_10_changed', value => 1000 * $changed, unit => 'ms', floor => 1000 * $floor, goal => 20, if => $requests <= 3,
		what => "$requests requests (at most 3) to the simulator; the floor is one");
	result('one_deletion', value => $counts, unit => 'requests', floor => log2($users), goal => 25,
		what => sprintf('one user gone, %.0f ms; the floor is a binary search', 1000 * $deleted));
	return;
}

1;
