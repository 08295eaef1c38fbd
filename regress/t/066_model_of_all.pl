# Random histories of all providers but those of 036_model.pl, each with what is its
# own: users who are deleted and still there, and come back; ids that are given again;
# tokens that end; cursors that are lost; events that come late; a search that knows
# less than there is; options that change what rows are like.  What has to hold is told
# at the head of NeonAuth::Model.
#
# NAUTH_SEED chooses other histories, NAUTH_STEPS longer ones (`make soak`).  A
# failure prints both and the history.  NAUTH_ONLY, names with commas between, has
# only these histories.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Model;
use NeonAuth::Providers;
use Test::More;

my $seed = $ENV{NAUTH_SEED} || 1;
my $steps = $ENV{NAUTH_STEPS} || 600;
my %only = map { $_ => 1 } split /,/, $ENV{NAUTH_ONLY} // '';

begin_model('model_of_all', $seed, $steps);

# What the provider may do in one way or another is chosen by the seed.
sub by_seed { return $_[ $seed % @_ ]; }

my @directories = (
	[ 'auth0', provider => 'auth0', sim => { set => ['token_uses=40'] } ],
	[ 'late', provider => 'auth0', late => 1, steps => $steps / 2, sim => { users => 80, set => ['index_lag=4'] } ],
	[ 'cognito', provider => 'cognito', sim => { set => [ 'empty=3', 'short=17', by_seed('times=exponent', 'times=decimal'), by_seed('end=full', 'end=empty') ] } ],
	[ 'firebase', provider => 'firebase', sim => { set => [ by_seed('style=real', 'full=token', 'case=kept') ] } ],
	[ 'generic', provider => 'generic', sim => { set => [ by_seed('order=created', 'order=newest', 'most=11') ] } ],
	[ 'numbered', provider => 'generic', instead => ", list_path '/users', users_member 'data', paging 'page'$generic", steps => $steps / 2,
		sim => { set => [ 'paging=page', by_seed('total=off', 'order=newest') ] } ],
	[ 'linked', provider => 'generic', instead => ", list_path '/users', users_member 'data', paging 'cursor', next_member 'next'$generic", steps => $steps / 2,
		sim => { set => [ by_seed('paging=cursor', 'paging=url'), by_seed('end=null', 'end=absent', 'end=empty'), 'order=newest' ] } ],
	[ 'keycloak', provider => 'keycloak', sim => { set => ['token_uses=40'] } ],
	[ 'okta', provider => 'okta', sim => { set => [ 'logins=1', by_seed('links=joined', 'millis=1') ] } ],
	[ 'scim', provider => 'scim', sim => { set => [ by_seed('paging=cursor', 'paging=index', 'paging=both'), by_seed('order=moving', 'cap=15', 'zone=-05:00'), by_seed('config=right', 'says_cursor=true', 'config=missing') ] } ],
	[ 'scim_some', provider => 'scim', timeless => 1, states => [ 'untimed', 'inactive', undef ], sim => { set => [ by_seed('filters=ignored', 'filters=on', 'filters=nothing'), 'cap=15', by_seed('says_sort=false', 'says_most=12', 'says_filter=false') ] } ],
	[ 'stack', provider => 'stack', sim => { set => [ by_seed('cursor=included', 'cursor=excluded') ] } ],
	[ 'supabase', provider => 'supabase', sim => { set => ['ties=moving'] } ],
	[ 'workos', provider => 'workos', sim => { set => [ 'sign_ins=often', by_seed('lost_cursor=restart', 'lost_cursor=end', 'lost_cursor=keep') ] } ]);

for (@directories)
{
	my ($name, %how) = @$_;

	next if %only && !$only{$name};
	directory($name, page_size => 20, more => 1, %how, sim => { users => 120, %{ $how{sim} } });
	history($name, $how{steps} // $steps);
}

done_testing();
