# What keeps a deletion back that looks like any other: users who came since the last
# success and are gone with an empty directory, who was created just now, many runs
# with few deletions each, an id that the provider refuses to look for.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $project = '11111111-2222-4333-8444-555555555555';
my $stack = start_sim(provider => 'stack', users => 5);
my $clerk = start_sim(users => 3000);
my $auth0 = start_sim(provider => 'auth0', users => 20);
my $node = new_node('held_back', urls => [ map { $_->url } $stack, $clerk, $auth0 ]);
my $session = new_session($node);

add_server($node, $stack, options => ", project_id '$project'");
add_server($node, $clerk, schema => 'c');
add_server($node, $auth0, schema => 'a');
my %target = (stack => 'neon_auth.users_sync', clerk => 'c.users_sync', auth0 => 'a.users_sync');

sub sql { return $session->must($_[0]); }

sub refresh
{
	my ($server, $more) = @_;

	return $session->ask("CALL neon_auth.refresh_users_sync('$server', target => '$target{$server}'" . ($more // '') . ')') =~ s/(\|[^|]*){2}$//mr;
}

sub marked { return sql("SELECT count(deleted_at) FROM $target{$_[0]}"); }

sub held
{
	return sql("SELECT coalesce(string_agg(format('%s %s', n, reason), ', ' ORDER BY reason), '') FROM
		(SELECT count(*) AS n, reason FROM neon_auth.held_deletion WHERE target = '$target{$_[0]}'::regclass GROUP BY reason) h");
}

# ---- Who came since the last success goes with an empty directory as little as the others

like(refresh('stack'), qr/^ok\|5\|/m, 'a directory');
for my $n (1 .. 40)
{
	my $user = $stack->create({});
	sql("SELECT FROM neon_auth.sync_user('stack', '$user->{id}')");
}
$stack->fault({ match => 'list', times => -1, content_type => 'application/json', body => '{"items":[],"is_paginated":true,"pagination":{"next_cursor":null}}' });
$stack->fault({ match => 'get', times => -1, status => 404, content_type => 'application/json', body => '{"code":"USER_NOT_FOUND","error":"User not found."}' });
like(refresh('stack'), qr/^held\|0\|0\|0\|0\|45\|/m, 'an empty one');
is(marked('stack'), 0, 'marks nobody');
is(held('stack'), '45 the directory is empty', 'and says why');
$stack->clear_faults;
like(refresh('stack'), qr/^ok\|0\|0\|45\|0\|0\|/m, 'with the users back all is well');
$stack->remove("index/5", 9);
like(refresh('stack'), qr/^ok\|0\|0\|36\|9\|0\|/m, 'those who are really gone are marked');

# ---- Many runs with few deletions each are as one with many

like(refresh('clerk'), qr/^ok\|3000\|/m, 'a large directory');
for my $run (1 .. 2)
{
	$clerk->remove('index/' . 250 * $run, 250);
	like(refresh('clerk', ", mode => 'full'"), qr/^ok\|0\|0\|\d+\|250\|0\|/m, "250 deletions, $run");
}
$clerk->remove('index/1000', 3);
like(refresh('clerk', ", mode => 'full'"), qr/^held\|0\|0\|2497\|0\|3\|/m, 'three more within the hour wait');
is(held('clerk'), '3 more than 500 users went missing within an hour', 'and say why');
like(refresh('clerk', ', approve_deletions => 3'), qr/^ok\|0\|0\|2497\|3\|0\|/m, 'for a person');
sql(q(UPDATE neon_auth.sync_run SET finished_at = finished_at - interval '1 hour'));
$clerk->remove('index/2000', 3);
like(refresh('clerk', ", mode => 'full'"), qr/^ok\|0\|0\|2494\|3\|0\|/m, 'an hour later they do not');
like(refresh('clerk', ", mode => 'full'"), qr/^ok\|0\|0\|2494\|0\|0\|/m, 'and that is all');

# ---- Who was created just now has time to be known everywhere

sub created_now { return sql("UPDATE c.users_sync SET created_at = clock_timestamp() WHERE id = '" . $clerk->user("index/$_[0]")->{id} . "'"); }

created_now(2500);
$clerk->remove('index/2500');
my $said = refresh('clerk', ", mode => 'full'");
like($said, qr/^held\|0\|0\|2493\|0\|1\|/m, 'a user who is gone in the moment of his creation');
is(held('clerk'), '1 the user was created just now', 'waits');
like($said, qr/The next refresh tries again/, 'for no person');
sql(q(UPDATE c.users_sync SET created_at = created_at - interval '1 minute' WHERE created_at > now() - interval '10 minutes'));
like(refresh('clerk'), qr/^ok\|0\|0\|2493\|1\|0\|/m, 'and is marked by a later run');

# one of whom two listings in a row know nothing, nor those who look by id
my $new = $clerk->create({ created_at => 1000 * time() });
sql("SELECT FROM neon_auth.sync_user('clerk', '$new->{id}', 'c.users_sync')");
for my $run (1, 2)
{
	$clerk->fault([ { match => 'list', times => -1, hide_index => $new->{index} },
			{ match => 'get', after => 1, status => 404, content_type => 'application/json', body => '{"errors":[{"code":"resource_not_found"}]}' } ]);
	like(refresh('clerk', ", mode => 'full'"), qr/^held\|0\|0\|2493\|0\|1\|/m, "a user whom the provider does not know everywhere, $run");
	$clerk->clear_faults;
}
like(refresh('clerk'), qr/^ok\|0\|0\|2494\|0\|0\|/m, 'stays live');
$clerk->remove($new->{id});
sql("UPDATE c.users_sync SET created_at = created_at - interval '1 minute' WHERE id = '$new->{id}'");
like(refresh('clerk', ", mode => 'full'"), qr/^ok\|0\|0\|2493\|1\|0\|/m, 'until it is really gone');

# one whom a list of changes has shown, and no listing
$new = $clerk->create({ created_at => 1000 * time(), updated_at => 1000 * time() });
like(refresh('clerk'), qr/^ok\|1\|0\|/m, 'a user who has come');
is(sql(q(SELECT mode FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1)), 'incremental', 'is among what has changed');
$clerk->remove($new->{id});
like(refresh('clerk', ", mode => 'full'"), qr/^held\|0\|0\|2493\|0\|1\|/m, 'and waits when he is gone');
sql("UPDATE c.users_sync SET created_at = created_at - interval '1 minute' WHERE id = '$new->{id}'");
like(refresh('clerk', ", mode => 'full'"), qr/^ok\|0\|0\|2493\|1\|0\|/m, 'for a later run');

created_now(2501);
like(refresh('clerk', ", mode => 'full'"), qr/^ok\|0\|0\|2493\|0\|0\|/m, 'one who was listed');
$clerk->remove('index/2501');
like(refresh('clerk', ", mode => 'full'"), qr/^ok\|0\|0\|2492\|1\|0\|/m, 'does not wait');

# ---- An id that the provider refuses to look for

like(refresh('auth0'), qr/^ok\|20\|/m, 'another directory');
sql(q(INSERT INTO a.users_sync (id, raw_json) VALUES ('auth0|odd', '{}')));
$auth0->remove('index/3');
# after a witness and the one who is gone
$auth0->fault({ match => 'get', after => 2, status => 400, content_type => 'application/json', body => '{"statusCode":400,"error":"Bad Request","message":"no","errorCode":"invalid_uri"}' });
like(refresh('auth0', ", mode => 'full'"), qr/^held\|0\|0\|19\|1\|1\|/m, 'does not keep others from being marked');
is(held('auth0'), '1 the provider does not answer whether it has a user with its id', 'and waits');
$auth0->clear_faults;
like(refresh('auth0'), qr/^held\|0\|0\|\d+\|0\|1\|/m, 'through runs');
is(sql(q(SELECT mode FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1)), 'incremental', 'that list nobody');
like(refresh('auth0', ", mode => 'full'"), qr/^ok\|0\|0\|19\|1\|0\|/m, 'until there is an answer');

$node->stop;
done_testing();
