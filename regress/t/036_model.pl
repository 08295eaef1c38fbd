# The model: random histories of a Clerk and of two Better Auths, while refreshes of
# random modes run, fail and are killed.  What has to hold is told at the head of
# NeonAuth::Model; 066_model_of_all.pl does the same with the other providers.
#
# NAUTH_SEED chooses other histories, NAUTH_STEPS longer ones (`make soak`).  A
# failure prints both and the history.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Model;
use Test::More;

my $seed = $ENV{NAUTH_SEED} || 1;
my $steps = $ENV{NAUTH_STEPS} || 1500;

# How many runs there were of a server and this condition.
sub runs { return sql("SELECT count(*) FROM neon_auth.sync_run WHERE server = '$_[0]' AND $_[1]"); }

begin_model('model', $seed, $steps);

directory('clerk', page_size => 20, sim => { users => 600 });
history('windows', $steps);
cmp_ok(runs('clerk', "mode = 'incremental' AND tombstoned > 0"), '>', $steps / 300, 'deletions were found without a listing');

directory('offsets', provider => 'better_auth', page_size => 25, sim => { users => 150 });
history('offsets', $steps);
cmp_ok(runs('offsets', "mode = 'incremental'"), '>', $steps / 20, 'runs were incremental');

directory('timeless', provider => 'better_auth', page_size => 50, options => ", ignore_changes 'lastSeenAt'",
	timeless => 1, volatile => 'lastSeenAt', sim => { users => 120, hide => ['updatedAt'], 'last-seen' => 1 });
history('timeless', $steps / 2);
is(runs('timeless', "mode = 'incremental'"), 0, 'without times of change all runs are full');

done_testing();
