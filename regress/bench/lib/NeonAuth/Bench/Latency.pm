
# How long the first refresh takes where not the work but the provider is slow: far away,
# or with a plan that allows few requests.  Plans are those of Clerk (1000 requests in ten
# seconds, of a development instance 100) and of Auth0's free tenants (two a second).
#
# Of what would take many minutes a smaller directory is measured, and the time of a large
# one computed in proportion to its requests, which a plan is all about.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench::Latency;

use strict;
use warnings FATAL => 'all';

use NeonAuth::Bench;
use NeonAuth::Bench::Setup;
use NeonAuth::Pages;
use NeonAuth::Test;

my $count = 0;

# Of each plan: provider, requests a second in the long run, and at once before that; and
# what part of the directory is measured.
my @plans = (
	[ 'Clerk, 1000 in 10 s', 'clerk', 100, 1000, 1 ],
	[ 'Clerk, 100 in 10 s', 'clerk', 10, 100, 1 ],
	[ 'Auth0, 2 a second', 'auth0', 2, 2, 20 ]);

# A first refresh from a new simulator of so many users, behind the limit if there is one.
# Requests are all that were sent, those in vain as well.
sub first_refresh_of
{
	my ($what, $provider, $size, $options, $flags, @limit) = @_;
	my $name = 'far' . ++$count;
	my $sim = start_sim(provider => $provider, users => $size, %$flags);
	my $asked = @limit ? start_limited($sim, @limit) : $sim;
	my $seconds;

	allow($asked);
	add_server($node, $asked, name => $name, schema => $name, options => "$patience$options");
	$seconds = refresh($name, 'auto', "ok $size/0/0/0");
	my ($requests) = sql('SELECT requests FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1');
	sql("DROP SCHEMA $name CASCADE");
	$_->stop for @limit ? ($asked, $sim) : $sim;
	return figures(provider => $what, users => $size, requests => $requests, seconds => rounded($seconds), for_users => $users,
		how => $size == $users ? 'measured' : 'computed', seconds_for_users => rounded($seconds * $users / $size));
}

sub run
{
	my @measured;

	set_up();
	for my $latency (0, 20, 100)
	{
		my $what = "Clerk, $latency ms a request";

		push @measured, first_refresh_of($what, 'clerk', $users, '', { latency => $latency });
		push @measured, first_refresh_of("$what, one after the other", 'clerk', $users, ", max_concurrency '1'", { latency => $latency });
	}
	for my $plan (@plans)
	{
		my ($what, $provider, $rate, $burst, $part) = @$plan;
		my @limited = ($rate, $burst);

		push @measured, first_refresh_of($what, $provider, int($users / $part), '', { latency => 20 }, @limited);
		push @measured, first_refresh_of("$what, max_requests_per_second $rate", $provider, int($users / $part), ", max_requests_per_second '$rate'", { latency => 20 }, @limited);
	}
	report('latency', [qw(provider users requests seconds for_users how seconds_for_users)], @measured);
	tear_down();
	return;
}

1;
