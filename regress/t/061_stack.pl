# Provider "stack": Stack Auth, and Hexclave as it is named now.  Cursors whose users
# are deleted while a listing is read, with servers of both kinds; users who leave
# the default listing; no time of change and no count; both families of headers.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Session;
use NeonAuth::Synced qw($sim $session $said sql query_is);
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

use constant USERS => 120;

my $project = '11111111-2222-4333-8444-555555555555';
my %sims = (
	older => start_sim(provider => 'stack', users => USERS, set => [ 'family=stack', 'cursor=included' ]),
	newer => start_sim(provider => 'stack', users => USERS, set => [ 'family=hexclave', 'cursor=excluded', 'page_cap=50' ]),
	stack => start_sim(provider => 'stack', users => USERS),
	nobody => start_sim(provider => 'stack', users => 0));
my $node = new_node('stack', urls => [ map { $_->url } values %sims ], conf => "timezone = 'UTC'\n");
my $options = ", project_id '$project', page_size '20'";

add_server($node, $sims{older}, name => 'older', schema => 'older', options => $options);
add_server($node, $sims{newer}, name => 'newer', schema => 'newer', options => "$options, header_prefix 'x-hexclave'");
add_server($node, $sims{stack}, name => 'stack', schema => 'app', options => $options);
add_server($node, $sims{nobody}, name => 'nobody', schema => 'nobody', options => $options);
$sim = $sims{stack};
$session = new_session($node);

# ---- Helpers

# "status inserted/updated/unchanged/tombstoned/held/quarantined", or the SQLSTATE.
sub refresh
{
	my ($server, $target) = @_;

	$said = $session->ask("CALL neon_auth.refresh_users_sync('$server', target => '$target')");
	return outcome_of($said, 0 .. 5);
}

sub options { my ($server, $options) = @_; sql("ALTER SERVER $server OPTIONS ($options)"); return; }
sub row { my ($id, $columns) = @_; return sql("SELECT $columns FROM app.t WHERE id = '$id'"); }
sub heap { return sql('SELECT md5(string_agg(concat(ctid, xmin, xmax), $$ $$ ORDER BY ctid)) FROM app.t'); }
sub tombstones { my ($target) = @_; return sql("SELECT count(*) FROM $target WHERE deleted_at IS NOT NULL"); }

# How many rows differ, but for when they were changed and seen.
sub difference
{
	my ($target, $schema) = @_;
	my $columns = q(id, name, email, raw_json - 'last_active_at_millis', created_at);
	my ($here, $there) = ("SELECT $columns FROM $target WHERE deleted_at IS NULL", "SELECT $columns FROM $schema.users");

	return sql("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

# ---- Columns and lookups

$sim->create({ id => '00000000-0000-4000-8000-00000000000a', name => 'Ada Lind', email => [ 'Ada@Example.com', 'second@example.com' ], created_at => 1700000000123 });
$sim->create({ id => '00000000-0000-4000-8000-00000000000b', name => '', email => undef, created_at => 1700000001000 });
query_is('all columns', 'SELECT id, name, email, created_at, updated_at, deleted_at FROM app.users ORDER BY created_at LIMIT 2',
	"00000000-0000-4000-8000-00000000000a|Ada Lind|Ada\@Example.com|2023-11-14 22:13:20.123+00||\n"
	  . '00000000-0000-4000-8000-00000000000b|||2023-11-14 22:13:21+00||', '1 list');
query_is('all users', q(SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE (name, email, created_at) IS NOT DISTINCT FROM
	(raw_json ->> 'display_name', raw_json ->> 'primary_email', to_timestamp((raw_json ->> 'signed_up_at_millis')::numeric / 1000))) FROM app.users),
	'122|122|122', '7 list');
query_is('who has no name', 'SELECT count(*) > 1, count(name) FROM app.users WHERE name IS NULL', 't|0', '7 list');
query_is('the number of users, which has no request of its own', 'SELECT count(*) FROM app.users', '122', '7 list');

my $ada = '00000000-0000-4000-8000-00000000000a';
query_is('a user', "SELECT name FROM app.users WHERE id = '$ada'", 'Ada Lind', '1 get');
query_is('no user', "SELECT name FROM app.users WHERE id = '00000000-0000-4000-8000-000000000000'", '', '1 get');
for my $odd ('me', 'x', uc $ada, "{$ada}", "$ada/", '..', '', "$ada?x", $ada =~ tr/-//dr)
{
	query_is("the odd id '$odd'", "SELECT name FROM app.users WHERE id = '$odd'", '', 'nothing');
}
query_is('some of several', "SELECT name FROM app.users WHERE id IN ('$ada', 'me', '" . uc($ada) . "')", 'Ada Lind', '1 get');
is($sim->stats->{rejected}, 0, 'nothing was asked that the API refuses');

for (
	[ 'an address', q(SELECT name FROM app.users WHERE email = 'Ada@Example.com'), 'Ada Lind', '1 list' ],
	[ 'one in another case', q(SELECT name FROM app.users WHERE email = 'ada@example.com'), '', '1 list' ],
	[ 'one that is not the first', q(SELECT name FROM app.users WHERE email = 'second@example.com'), '', '1 list' ],
	[ 'one that is part of others', q(SELECT count(*) FROM app.users WHERE email = 'n@example.com'), '0', '1 list' ],
	[ 'one with a backslash', q(SELECT count(*) FROM app.users WHERE email = 'a\b@example.com'), '0', '7 list' ])
{
	my ($name, $sql, $rows, $requests) = @$_;

	query_is($name, $sql, $rows, $requests);
	is(sql("SET neon_auth_fdw.pushdown = off; $sql; RESET neon_auth_fdw.pushdown"), $rows, "$name: the same among all users");
}
for my $direction ('', ' DESC')
{
	my $sql = "SELECT created_at FROM app.users ORDER BY created_at$direction LIMIT 30";
	my $all = sql("SET neon_auth_fdw.pushdown = off; $sql; RESET neon_auth_fdw.pushdown");

	query_is("the first 30 by time of sign-up$direction", $sql, $all, '2 list');
	like($sim->stats->{last_target}, $direction ? qr/desc=true/ : qr/desc=false/, 'in this order');
}

# ---- Options

like($session->ask("CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'stack')"),
	qr/ERROR:  HV002: option "project_id" is required for provider "stack"/, 'project_id is required');
like($session->ask("ALTER SERVER stack OPTIONS (DROP project_id)"), qr/ERROR:  HV002: option "project_id" is required/, 'and stays');
like($session->ask("ALTER SERVER stack OPTIONS (ADD realm 'x')"), qr/ERROR:  HV00D: provider "stack" has no option "realm"/, 'others are not taken');
for (
	[ 'older', "ADD header_prefix 'X-Hexclave'", qr/ACCESS_TYPE_REQUIRED/, 'headers of the new name, which an older server does not know' ],
	[ 'newer', "SET header_prefix 'X-Stack'", qr/ACCESS_TYPE_REQUIRED/, 'those of the old name' ],
	[ 'stack', "SET project_id 'another'", qr/ERROR:  HV.*CURRENT_PROJECT_NOT_FOUND.*HINT:  Set the id of the project .*ALTER SERVER stack OPTIONS \(SET project_id/s, 'another project' ],
	[ 'newer', "SET page_size '60'", qr/SCHEMA_ERROR.*HINT:  If option page_size is more .*ALTER SERVER newer OPTIONS \(SET page_size/s, 'more users than a server gives at once' ])
{
	my ($server, $change, $message, $name) = @$_;
	my $schema = $server eq 'stack' ? 'app' : $server;

	like($session->ask("BEGIN; ALTER SERVER $server OPTIONS ($change); SELECT count(*) FROM $schema.users; ROLLBACK"), $message, $name);
	$session->ask('ROLLBACK');
}
$sim->reset_stats;
like($session->ask("BEGIN; ALTER SERVER stack OPTIONS (ADD header_prefix 'Authorization'); SELECT count(*) FROM app.users"), qr/ERROR:  22023:.*HINT:  It is X-Stack or X-Hexclave\./s, 'headers of no such name');
sql('ROLLBACK');
is($sim->asked, 'nothing', 'get no key');
sql(q(ALTER USER MAPPING FOR CURRENT_USER SERVER stack OPTIONS (SET api_key 'ssk_wrong')));
like($session->ask('SELECT count(*) FROM app.users'), qr/ERROR:  28000:.*INVALID_SECRET_SERVER_KEY.*HINT:  Set a secret server key/s, 'a wrong key');
unlike($session->ask('SELECT count(*) FROM app.users'), qr/ssk_wrong/, 'which no message shows');
sql(q(ALTER USER MAPPING FOR CURRENT_USER SERVER stack OPTIONS (SET api_key 'sk_test_x')));
$sim->fault({ match => 'list', trick => 'text' });
like($session->ask('SELECT count(*) FROM app.users'), qr/ERROR:  HV\w+:.*400/s, 'an error that is bare text');

# ---- Refreshes: no time of change, so a digest tells

is(refresh('stack', 'app.t'), 'ok 122/0/0/0/0/0', 'the first refresh');
is(difference('app.t', 'app'), 0, 'makes the table equal to the directory');
my $heap = heap();
is(refresh('stack', 'app.t'), 'ok 0/0/122/0/0/0', 'nothing new');
is(heap(), $heap, 'writes nothing');
$sim->update($_, { updated_at => $sim->user($_)->{updated_at} + 60_000 }) for map { "index/$_" } 1 .. 9;
is(refresh('stack', 'app.t'), 'ok 0/0/122/0/0/0', 'who was only active has not changed');
is(heap(), $heap, 'and is not written');
$sim->update($ada, { name => 'Ada King' });
is(refresh('stack', 'app.t'), 'ok 0/1/121/0/0/0', 'a change');
is(row($ada, 'name'), 'Ada King', 'arrives');
my $gone = $sim->user('index/7')->{id};
$sim->remove($gone);
$sim->reset_stats;
is(refresh('stack', 'app.t'), 'ok 0/0/121/1/0/0', 'a deletion');
is($sim->stats->{get} > 0, 1, 'is confirmed by id');
is(row($gone, 'deleted_at IS NOT NULL'), 't', 'and marked');
is(tombstones('app.t'), 1, 'nobody else is');

# who is not on the list is not gone yet
my $hidden = $sim->user('index/30');
$sim->fault({ match => 'list', hide_index => $hidden->{index}, times => 7 });
like(refresh('stack', 'app.t'), qr{^(ok|held) 0/0/120/0/}, 'who is not listed, but found by id');
$sim->clear_faults;
is(row($hidden->{id}, 'deleted_at IS NULL'), 't', 'is live');
for my $fault ({ status => 400 }, { status => 401 }, { status => 404, body => '<p>' }, { status => 404, body => '{"code":"PROJECT_NOT_FOUND"}' },
	{ status => 200, body => '{"code":"USER_NOT_FOUND","error":"User not found."}' })
{
	my $user = $sim->create({ name => 'To Go' });

	refresh('stack', 'app.t');
	$sim->remove($user->{id});
	$sim->fault({ match => 'get', times => -1, %$fault });
	refresh('stack', 'app.t');
	$sim->clear_faults;
	is(row($user->{id}, 'deleted_at IS NULL'), 't', 'an answer that is not the right one confirms no deletion: ' . ($fault->{body} // $fault->{status}));
	refresh('stack', 'app.t');
	is(row($user->{id}, 'deleted_at IS NULL'), 'f', 'the right one does');
}
is(difference('app.t', 'app'), 0, 'the table equals the directory');

# ---- Vanishing users: restricted and anonymous ones leave the default listing

my $tombstones = tombstones('app.t');
my ($restricted, $anonymous) = map { $sim->user("index/$_")->{id} } 41, 42;
$sim->update($restricted, { state => 'restricted' });
$sim->update($anonymous, { state => 'anonymous' });
$sim->reset_stats;
is(refresh('stack', 'app.t'), 'ok 0/2/119/0/0/0', 'users who are restricted, or anonymous, are changed');
is($sim->asked, '7 list', 'and not even missed');
is(row($restricted, q(deleted_at IS NULL AND raw_json @> '{"is_restricted": true}')), 't', 'one who is restricted is live');
is(row($anonymous, q(deleted_at IS NULL AND raw_json @> '{"is_anonymous": true}')), 't', 'so is one who is anonymous');
is(tombstones('app.t'), $tombstones, 'nobody is marked');
my ($address, $whose) = split /\|/, sql("SELECT email, id FROM app.t WHERE id IN ('$restricted', '$anonymous') AND email IS NOT NULL LIMIT 1");
query_is('they are found by address, too', "SELECT id FROM app.users WHERE email = '$address'", $whose, '1 list');
$sim->update($restricted, { state => undef });
is(refresh('stack', 'app.t'), 'ok 0/1/120/0/0/0', 'and back');

# ---- Lost tails.  The users of the listing, in its order, are numbered from 0; there
# are 20 on a page.  An empty page that says it is the last would leave out the rest:
# a new table would lack them, and in an old one they would be missing.

my $tables = 0;
for (
	[ 'the first user of the next page', [ 20 ] ],
	[ 'the last user of a page', [ 19 ] ],
	[ 'both', [ 19, 20 ] ],
	[ 'the last seven of a page', [ 13 .. 19 ] ],
	[ 'and the next five', [ 13 .. 24 ] ],
	[ 'a later one', [ 39, 40 ], 2 ],
	[ 'and those on the last page', [ 99, 100 ], 5 ])
{
	my ($name, $places, $after) = @$_;

	for my $server ('older', 'newer')
	{
		my ($provider, $target) = ($sims{$server}, "$server.t" . ++$tables);
		my $users = sql("SELECT count(*) FROM $server.users");
		my @ids = split /\n/, sql("SELECT id FROM $server.users");

		# those that were read before they were deleted are read again by a listing to come
		my @deleted = map { $ids[$_] } @$places;
		my $unread = grep { $_ >= 20 * ($after // 1) } @$places;
		$provider->fault({ match => 'list', after => $after // 1, mutate => { delete_index => [ map { $provider->user($_)->{index} } @deleted ] } });
		is(refresh($server, $target), 'ok ' . ($users - $unread) . '/0/0/0/0/0', "$server: $name, deleted between two pages: all others are read");
		is(sql("SELECT count(*) FROM $server.users"), $users - @deleted, "$server: so they are by a scan");
		my $late = $provider->create({ name => "Late $name" });
		is(refresh($server, $target), 'ok 1/0/' . ($users - @deleted) . '/' . (@deleted - $unread) . '/0/0', "$server: who was deleted is marked, who has come is there");
		is(difference($target, $server), 0, "$server: the table equals the directory");
		$provider->create({ name => "Instead of $_" }) for @deleted;
		$provider->remove($late->{id});
	}
}

# a table that is full, and a directory whose new users come last
for my $server ('older', 'newer')
{
	my $provider = $sims{$server};

	refresh($server, "$server.full");
	my @ids = split /\n/, sql("SELECT id FROM $server.users");
	my $new = $provider->create({ name => 'Newcomer' });
	$provider->fault({ match => 'list', after => 1, mutate => { delete_index => [ map { $provider->user($ids[$_])->{index} } 19, 20 ] } });
	$provider->reset_stats;
	is(refresh($server, "$server.full"), 'ok 1/0/119/1/0/0', "$server: the newcomer is seen although two who were cursors are gone, and who was not read is marked");
	is($provider->stats->{list}, $server eq 'older' ? 9 : 7, "$server: with an empty page for each cursor that is gone");
	is(sql("SELECT count(*) FROM $server.full WHERE id = '$new->{id}'"), 1, "$server: who has come is there");

	# all that are remembered are gone: it cannot be known what was missed
	@ids = split /\n/, sql("SELECT id FROM $server.users");
	$provider->fault({ match => 'list', after => 1, mutate => { delete_index => [ map { $provider->user($ids[$_])->{index} } 8 .. 24 ] } });
	my $before = tombstones("$server.full");
	is(refresh($server, "$server.full"), 'HV00M', "$server: a whole run of users deleted where the listing stands: it fails");
	like($said, qr/the users read last were deleted while the directory was read/, "$server: and says why");
	is(tombstones("$server.full"), $before, "$server: nobody is marked");
	like(refresh($server, "$server.full"), qr{^(ok|held) 0/0/}, "$server: the next one goes through");
	is(difference("$server.full", $server) <= 17, 1, "$server: and all is well but what has to wait for a person");

	# the true end: whoever was left to read is gone
	my @rest = split /\n/, sql("SELECT id FROM $server.users OFFSET 40");
	$provider->fault({ match => 'list', after => 2, mutate => { delete_index => [ map { $provider->user($_)->{index} } @rest ] } });
	is(sql("SELECT count(*) FROM $server.users"), 40, "$server: everybody who was left to read is deleted: that is an end");
}

# a server of the other kind takes over, for so many pages
$sim = $sims{stack};
my $users = sql('SELECT count(*) FROM app.t WHERE deleted_at IS NULL');
for my $pages (1 .. 4)
{
	$sim->fault({ match => 'list', after => 2, times => $pages, trick => 'excluded' });
	is(sql('SELECT count(*), count(DISTINCT id) FROM app.users'), "$users|$users", "a server of the other kind in mid-listing, for $pages pages");
	$sim->clear_faults;
}

# ---- Replies that are no pages

for (
	[ 'no pagination', '{"items":[],"is_paginated":true}' ],
	[ 'no next_cursor', '{"items":[],"is_paginated":true,"pagination":{}}' ],
	[ 'items that are no list', '{"items":{},"is_paginated":true,"pagination":{"next_cursor":null}}' ],
	[ 'a long cursor', '{"items":[{"id":"' . $ada . '"}],"is_paginated":true,"pagination":{"next_cursor":"' . 'a' x 5000 . '"}}' ],
	[ 'a cursor that comes again', '{"items":[{"id":"' . $ada . '"}],"is_paginated":true,"pagination":{"next_cursor":"' . $ada . '"}}', -1 ])
{
	my ($name, $body, $times) = @$_;

	$sim->fault({ match => 'list', after => 1, times => $times // 1, body => $body });
	like($session->ask('SELECT count(*) FROM app.users'), qr/ERROR:  HV/, "$name is an error");
	$sim->clear_faults;
}
$sim->fault({ match => 'list', after => 1, times => 2, status => 429 });
is(sql('SELECT count(*) FROM app.users'), $users, 'a rate limit is waited for, with Retry-After and without');

is(refresh('nobody', 'nobody.t'), 'ok 0/0/0/0/0/0', 'an empty directory is no error');
is(sql('SELECT count(*) FROM nobody.users'), 0, 'it has nobody');
is($sims{nobody}->stats->{list}, 2, 'which the first page says');
is(sql(q(SELECT coalesce(string_agg(part || ': ' || message, ', '), '') FROM neon_auth.check_server('stack') WHERE verdict IN ('error', 'warning'))), '', 'check_server finds nothing');

done_testing();
