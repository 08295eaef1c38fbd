# WorkOS, simulated: what is asked of it and read from it, listings whose cursor is
# nobody's any more, and refreshes by its events.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Synced;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $true = JSON::PP::true;
my $node = new_node('workos', conf => "timezone = 'UTC'\n");
# Events are of now, for a watermark is a time of the clock.
begin_synced($node, provider => 'workos', age => 0, columns => "id, name, email, raw_json - 'last_sign_in_at', created_at, updated_at, deleted_at");

# ---- Helpers

sub query_fails
{
	my ($name, $sql, $sqlstate, $message) = @_;

	like($session->ask($sql), qr/ERROR:  $sqlstate: .*$message/, $name);
	return;
}

# ---- All users

directory('scan', '', users => 250);
query_is('all users', 'SELECT count(id), count(DISTINCT id) FROM scan.users', '250|250', '3 list');
like(last_target(), qr{^/user_management/users\?limit=100&order=asc&after=user_01}, 'they are asked for 100 at a time');
query_is('their columns', q(SELECT count(*), count(name) > 200, count(name) < 250 FROM scan.users WHERE id = raw_json ->> 'id' AND name IS NOT DISTINCT FROM raw_json ->> 'name'
	AND email = raw_json ->> 'email' AND created_at = (raw_json ->> 'created_at')::timestamptz AND updated_at = (raw_json ->> 'updated_at')::timestamptz AND deleted_at IS NULL),
	'250|t|t', '3 list');
query_is('how many', 'SELECT count(*) FROM scan.users', '250', '3 list');
query_is('some', 'SELECT count(*) FROM (SELECT 1 FROM scan.users LIMIT 7) u', '7', '1 list');
like(last_target(), qr/limit=7&/, 'on a page of so many');
is(sql(q(SELECT count(*) FROM neon_auth.check_server('scan') WHERE verdict IN ('error', 'warning'))), 0, 'check_server finds nothing');

# ---- One user

my $somebody = id_of(77);
query_is('by id', "SELECT email = raw_json ->> 'email' FROM scan.users WHERE id = '$somebody'", 't', '1 get');
query_is('nobody', "SELECT id FROM scan.users WHERE id = 'user_01nobody'", '', '1 get');
query_is('several', "SELECT count(*) FROM scan.users WHERE id IN ('$somebody', 'user_01nobody', '" . id_of(78) . "')", '2', '3 get');
query_is('an odd id', "SELECT id FROM scan.users WHERE id = \$\$a?b#c&d=%20 \x{c3}\x{a9}\\\$\$", '', '1 get');
query_is('one with a line end', "SELECT id FROM scan.users WHERE id = E'a\\r\\nb'", '', '1 get');
query_is("an id that would be another path: '$_'", "SELECT id FROM scan.users WHERE id = '$_'", '', 'nothing')
  for '', '.', '..', '../events', 'external_id', 'external_id/1', '/';
$sim->fault({ match => 'get', body => '{"object":"user","id":"user_01other"}' });
query_fails('another user than asked for', "SELECT id FROM scan.users WHERE id = '$somebody'", 'HV00M', 'did not give what was asked for');
for my $row (
	[ 'of another route', '{"message":"Not Found","error":"Not Found","statusCode":404}' ],
	[ 'with another code', '{"message":"Not found","code":"not_found"}' ],
	[ 'with a message alone', '{"message":"User not found"}' ],
	[ 'in HTML', '<h1>Not Found</h1>' ],
	[ 'with no body', '' ])
{
	my ($name, $body) = @$row;

	$sim->fault({ match => 'get', status => 404, body => $body });
	query_fails("404 $name", "SELECT id FROM scan.users WHERE id = '$somebody'", 'HV00L', 'has no user directory at this address');
}

# ---- What a query wants alone

my $email = sql("SELECT raw_json ->> 'email' FROM scan.users WHERE id = '$somebody'");
pushed_is('by address', "SELECT id FROM scan.users WHERE email = '$email'", '1 list');
like(last_target(), qr/[?&]email=/, 'which is asked for');
pushed_is('nobody by address in another case', "SELECT id FROM scan.users WHERE email = '" . uc($email) . "'", '1 list');
pushed_is('nobody by a hostile address', "SELECT id FROM scan.users WHERE email = 'a&limit=1\@b?#c'", '1 list');
pushed_is('the newest', 'SELECT created_at FROM scan.users ORDER BY created_at DESC LIMIT 10', '1 list');
like(last_target(), qr/limit=10&order=desc$/, 'in that order');
pushed_is('more of them', 'SELECT created_at FROM scan.users ORDER BY created_at DESC LIMIT 130', '2 list');
pushed_is('the oldest', 'SELECT created_at FROM scan.users ORDER BY created_at LIMIT 10', '1 list');
pushed_is('the latest changes', 'SELECT updated_at FROM scan.users ORDER BY updated_at DESC LIMIT 10', '3 list');
pushed_is('what changed', "SELECT id FROM scan.users WHERE updated_at >= '2025-01-01 01:00:00' ORDER BY id", '3 list');
$sim->reset_stats;
my $plan = sql("EXPLAIN (VERBOSE, COSTS off) SELECT id FROM scan.users WHERE id = 'user_01x'; EXPLAIN (VERBOSE, COSTS off) SELECT id FROM scan.users WHERE email = 'ada\@example.com'");
is($sim->asked, 'nothing', 'EXPLAIN asks nothing');
like($plan, qr{GET http://\S+/user_management/users/user_01x\n.*GET http://\S+/user_management/users\?limit=\d+&order=asc&email=ada%40example\.com\n}s, 'and shows the requests');
unlike($plan, qr/sk_test_x/, 'without the key');

# ---- Pages that are not what they seem

$sim->fault({ match => 'list', trick => 'short', times => -1 });
query_is('pages of 10, whatever was asked', 'SELECT count(id), count(DISTINCT id) FROM scan.users', '250|250', '25 list');
$sim->clear_faults;
my $user = '{"id":"user_01x"}';
for my $row (
	[ 'no list_metadata', { body => qq({"object":"list","data":[$user]}) }, 'HV00M', 'could not read the reply' ],
	[ 'no word about the end', { body => qq({"object":"list","data":[$user],"list_metadata":{"before":null}}) }, 'HV00M', 'could not read the reply' ],
	[ 'a cursor that is no text', { body => qq({"data":[$user],"list_metadata":{"before":null,"after":1}}) }, 'HV00M', 'could not read the reply' ],
	[ 'nobody, but a cursor', { body => '{"data":[],"list_metadata":{"before":null,"after":"user_01x"}}' }, 'HV00M', 'could not read the whole user directory' ],
	[ 'more users than asked for', { body => '{"data":[' . join(',', ($user) x 101) . '],"list_metadata":{"before":null,"after":null}}' }, 'HV00M', 'could not read the reply' ],
	[ 'an array', { body => "[$user]" }, 'HV00M', 'could not read the reply' ],
	[ 'an error with status 200', { body => '{"message":"Unauthorized"}' }, 'HV00M', 'could not read the reply' ],
	[ 'HTML', { body => '<html>', content_type => 'text/html' }, 'HV00M', 'could not read the reply' ],
	[ 'a cut page', { cut => 500, times => -1 }, 'HV00M', 'broke' ],
	[ 'the page again', { repeat_page => $true, times => -1 }, 'HV00M', 'could not read the whole user directory' ],
	[ '401', { status => 401 }, '28000', 'did not accept the credential' ],
	[ '403', { status => 403 }, '42501', 'does not let this credential read users' ],
	[ '404 as for a user', { status => 404 }, 'HV00L', 'has no user directory at this address' ],
	[ '422', { status => 422 }, 'HV00L', 'refused the request' ])
{
	my ($name, $fault, $sqlstate, $message) = @$row;

	$sim->fault({ match => 'list', after => 1, %$fault });
	query_fails("second page: $name", 'SELECT count(id) FROM scan.users', $sqlstate, $message);
	$sim->clear_faults;
}
$sim->fault({ match => 'list', body => qq({"data":[$user,{"id":"user_01y"}],"list_metadata":{"before":null,"after":null}}) });
query_fails('more users than are enough', 'SELECT id FROM scan.users LIMIT 1', 'HV00M', 'could not read the reply');
$sim->fault([ { match => 'list', status => 429 }, { match => 'list', status => 503 } ]);
query_is('429 and 503 once', 'SELECT count(id) FROM scan.users', '250', '5 list');

# ---- Listings whose cursor is nobody's any more

# Deletes those who stand at these places, before the second page.
sub delete_before_second
{
	my @live = grep { !$_->{deleted} } @{ $sim->users };

	$sim->fault({ match => 'list', after => 1, mutate => { delete_index => [ map { $live[$_]{index} } @_ ] } });
	return;
}

# Everybody who is left is listed, once.
sub drift_is
{
	my ($name, $places, $requests) = @_;

	delete_before_second(@$places);
	query_is($name, "CREATE TEMP TABLE seen AS SELECT id FROM $server.users;
		SELECT count(*) - count(DISTINCT id) FROM seen; SELECT count(id) FROM $server.users WHERE id NOT IN (SELECT id FROM seen); DROP TABLE seen", "0\n0");
	is($sim->stats->{list}, $requests, "$name: requests");
	return;
}

for my $mode (qw(restart end keep))
{
	my $lost = "lost cursor, $mode";
	my $again = $mode eq 'keep' ? 0 : 1;

	directory("lost_$mode", ", page_size '10'", users => 60, set => ["lost_cursor=$mode"]);
	drift_is("$lost: the user after whom to go on is deleted", [9], 12 + $again);
	drift_is("$lost: and with it those who come next", [ 9 .. 14 ], 12 + $again);
	drift_is("$lost: the one before it", [8], 12);
	drift_is("$lost: all of the next page", [ 10 .. 19 ], 10);
	my $count = "SELECT count(id) - count(DISTINCT id) FROM lost_$mode.users";
	delete_before_second(7 .. 12);
	if ($mode eq 'keep') { query_is("$lost: all around it deleted", $count, '0'); }
	else { query_fails("$lost: all around it deleted", $count, 'HV00M', 'could not read the whole user directory'); }
	query_is("$lost: the next time", $count, '0', '4 list');
}
directory('lost_error', ", page_size '10'", users => 40, set => ['lost_cursor=error']);
$sim->fault({ match => 'list', after => 1, mutate => { delete_index => 9 } });
query_fails('lost cursor, error', 'SELECT id FROM lost_error.users', 'HV00L', 'has no user directory at this address');
$sim->fault({ match => 'list', after => 2, trick => 'restart' });
query_is('a list that begins anew once', 'SELECT count(id), count(DISTINCT id) FROM lost_error.users', '39|39', '5 list');
$sim->fault({ match => 'list', after => 2, trick => 'restart', times => -1 });
query_fails('one that always does', 'SELECT id FROM lost_error.users', 'HV00M', 'could not read the whole user directory');
$sim->clear_faults;

# ---- Refreshes by events

directory('sync', ", page_size '50'", users => 200);
is(refresh(), 'ok 200/0/0/0', 'the first refresh');
is(last_run('mode, reason'), 'full: it is the first refresh of the table', 'is full');
is(difference(), 0, 'the target equals the directory');
my $heap = heap();
is(refresh(), 'ok 0/0/0/0', 'the next one has nothing to do');
is(last_run('mode'), 'incremental', 'and is incremental');
is($sim->asked, '1 other', 'it asks for events, once');
like(last_target(), qr{^/events\?limit=50&events=user\.created%2Cuser\.updated%2Cuser\.deleted&order=asc&range_start=20\d\d-}, 'from a time on');
is(heap(), $heap, 'and writes nothing');

my $new = $sim->create({ name => 'Ada King', email => 'ada@example.com' });
$sim->update('index/10', { name => 'Ada Changed' });
my $gone = id_of(20);
$sim->remove($gone);
is(refresh(), 'ok 1/1/1/0', 'one is created, one changed, one deleted');
is(last_run('mode'), 'incremental', 'all by events');
like($sim->asked, qr/^[34] get, 1 other$/, 'and by a question for the one and its witness');
is(tombstones(), $gone, 'the right one is marked');
is(row($new->{id}, q(name || ' ' || email || ' ' || (raw_json ->> 'object'))), 'Ada King ada@example.com user', 'what is stored is the user, not the event');
is(difference(), 0, 'the target equals the directory');
$heap = heap();
is(refresh(), 'ok 0/0/0/0', 'the same events again');
is(heap(), $heap, 'write nothing');

$new = $sim->create({ name => 'Came And Went' });
$sim->update($new->{id}, { name => 'Came And Went Again' });
$sim->remove($new->{id});
is(refresh(), 'ok 0/0/0/0', 'one who came and went between two refreshes');
is(row($new->{id}, 'count(*)'), 0, 'leaves no row');

$sim->update("index/$_", { name => "Many $_" }) for 30 .. 149;
$sim->remove('index/150', 3);
$new = $sim->create({ name => 'Last Of Many' });
is(refresh(), 'ok 1/120/3/0', 'events on several pages');
is(last_run('mode'), 'incremental', 'are read to their end');
is($sim->stats->{other}, 3, 'in three requests');
like(last_target() . ' ' . $sim->stats->{rejected}, qr{ 0$}, 'none of which is refused');
is(difference(), 0, 'the target equals the directory');

# ---- Old events

$sim->update($new->{id}, { name => 'First' });
$sim->update($new->{id}, { name => 'Second' });
is(refresh(), 'ok 0/1/0/0', 'two changes of one user are one');
is(row($new->{id}, 'name'), 'Second', 'the later one');
$sim->fault({ match => 'other', trick => 'stale_event' });
is(refresh(), 'ok 0/0/0/0', 'an old state of a user that comes late');
is(row($new->{id}, 'name'), 'Second', 'does not undo a newer one');
$sim->update($new->{id}, { name => 'Third' });
$sim->fault({ match => 'other', trick => 'stale_event' });
is(refresh(), 'ok 0/1/0/0', 'nor one that comes behind it');
is(row($new->{id}, 'name'), 'Third', 'on the same page');
$sim->remove($new->{id});
is(refresh(), 'ok 0/0/1/0', 'this user is deleted');
$heap = heap();
$sim->fault({ match => 'other', trick => 'stale_event' });
is(refresh(), 'ok 0/0/0/0', 'when it comes to life in an old event');
is(row($new->{id}, 'deleted_at IS NOT NULL') . ' ' . heap(), "t $heap", 'it stays deleted');
is(last_run('mode'), 'incremental', 'nor is there a need for a listing');
is(difference() . ' ' . wrongly_marked(), '0 ', 'the target equals the directory');

# ---- What events are not believed

my $live = id_of(5);
my $event = sub {
	my ($name, $data) = @_;
	return qq({"object":"list","data":[{"object":"event","id":"event_900","event":"$name","data":$data,"created_at":"2030-01-01T00:00:00.000Z"}],"list_metadata":{"after":null}});
};
my $before = tombstones();

$sim->fault({ match => 'other', body => $event->('user.deleted', qq({"object":"user","id":"$live"})) });
is(refresh(), 'ok 0/0/0/0', 'an event that says of somebody to be gone who is not');
is(tombstones(), $before, 'marks nobody');
$gone = id_of(40);
$sim->remove($gone);
for my $row (
	[ '401', { status => 401 }, '28000' ],
	[ '404', { status => 404 }, 'HV00L' ],
	[ '500', { status => 500 }, 'HV00L' ],
	[ 'HTML', { body => '<html>', content_type => 'text/html' }, 'HV00M' ],
	[ 'an empty object', { body => '{}' }, 'HV00M' ],
	[ 'no list_metadata', { body => '{"object":"list","data":[]}' }, 'HV00M' ],
	[ 'an event without a name', { body => $event->('', '{}') =~ s/"event":"",//r }, 'HV00M' ],
	[ 'an event without a user', { body => $event->('user.deleted', 'null') }, 'HV00M' ],
	[ 'a cut page', { cut => 50, times => -1 }, 'HV00M' ])
{
	my ($name, $fault, $sqlstate) = @$row;

	$sim->fault({ match => 'other', %$fault });
	is(refresh(), $sqlstate, "events: $name");
	is(tombstones(), $before, "events: $name: nobody is marked");
	$sim->clear_faults;
}
$sim->fault({ match => 'get', after => 1, times => -1, status => 404, body => '{"message":"Not Found"}' });
is(refresh(), 'HV00L', 'an event of a deletion, and a 404 that is not that of a user');
is(tombstones(), $before, 'mark nobody');
$sim->clear_faults;
$sim->fault({ match => 'get', times => -1, status => 404 });
like(refresh(), qr{^held 0/0/0/\d$}, 'an event of a deletion, and a provider that finds nobody');
is(tombstones(), $before, 'mark nobody');
$sim->clear_faults;
is(refresh(), 'ok 0/0/1/0', 'a healthy run marks the one who is gone');
is(last_run('mode, reason'), 'full: the last refresh could not prove who is missing', 'and is a full one');
is(wrongly_marked(), '', 'and no other');
$sim->remove('index/41');
$sim->fault({ match => 'other', status => 422 });
is(refresh(), 'ok 0/0/1/0', 'events that are refused');
is(last_run('mode, reason'), 'full: the list of changes could not be read to its end', 'make the run a full one');
$sim->fault({ match => 'other', body => $event->('user.updated', '{"object":"user","email":"x"}') });
is(refresh(), 'ok 0/0/0/0', 'an event of nobody knows whom');
is(last_run('mode, reason'), 'full: a user has no readable id', 'makes it a full one');
$sim->remove('index/57');
$sim->fault({ match => 'other', status => 403 });
is(refresh() . ' ' . last_run('mode'), 'ok 0/0/1/0 full', 'events that the key may not read: a full run');
$sim->fault({ match => 'other', status => 403 });
like(sql("SELECT verdict, message FROM neon_auth.check_server('$server') WHERE part = 'list'"),
	qr/^warning\|users can be listed, but not what has changed: the provider .* does not let this credential read users$/, 'which check_server says, too');

# ---- Events that are no more

$sim->remove('index/42');
sql(q(UPDATE neon_auth.sync_state SET watermark = watermark - interval '28 days' WHERE target = 'sync.users_sync'::regclass));
is(refresh(), 'ok 0/0/1/0', 'after 28 days');
is(last_run('mode'), 'incremental', 'events are still there');
$sim->remove('index/43');
sql(q(UPDATE neon_auth.sync_state SET watermark = watermark - interval '30 days' WHERE target = 'sync.users_sync'::regclass));
is(refresh("mode => 'incremental'"), '55000', 'after 30 days they are not');
is(refresh(), 'ok 0/0/1/0', 'so that the run');
is(last_run('mode, reason'), 'full: the provider does not keep changes that long', 'is full');
is($sim->stats->{other}, 0, 'and asks for none');
is(difference() . ' ' . wrongly_marked(), '0 ', 'the target equals the directory');

directory('expired', ", page_size '50'", users => 60, set => ['events_kept=2']);
refresh();
$gone = id_of(7);
$sim->remove($gone);
$sim->update("index/$_", { name => "Later $_" }) for 8, 9;
is(refresh(), 'ok 0/2/0/0', 'a deletion whose event was forgotten too soon');
is(tombstones(), '', 'is not seen');
is(refresh("mode => 'full'"), 'ok 0/0/1/0', 'but by the next listing');
$sim->remove('index/10');
$sim->update("index/$_", { name => "Later $_" }) for 11, 12;
sql(q(UPDATE neon_auth.sync_state SET watermark = watermark - interval '30 days' WHERE target = 'expired.users_sync'::regclass));
is(refresh(), 'ok 0/2/1/0', 'which there is by itself, when they are as old as that');
is(difference() . ' ' . wrongly_marked(), '0 ', 'the target equals the directory');

# ---- Ways in which WorkOS may tell events

for my $way (qw(events_end=absent events_end=cursor events_order=honoured))
{
	(my $name = $way) =~ s/=/_/;

	directory($name, ", page_size '10'", users => 60, set => [$way]);
	refresh();
	$sim->update("index/$_", { name => "Changed $_" }) for 0 .. 14;
	$sim->remove('index/3', 2);
	$sim->create({ name => "Created $_" }) for 1 .. 3;
	is(refresh(), 'ok 3/15/2/0', "$way: events on two pages of 10");
	is(last_run('mode'), 'incremental', "$way: are enough");
	is(difference() . ' ' . wrongly_marked(), '0 ', "$way: the target equals the directory");
}

# ---- Listings that restart, end too soon, or are of another shape

directory('whole', ", page_size '20'", users => 100, set => [ 'sign_ins=often', 'name=absent' ]);
refresh();
is(sql(q(SELECT count(*) FROM whole.users WHERE name IS NOT DISTINCT FROM nullif(concat_ws(' ', raw_json ->> 'first_name', raw_json ->> 'last_name'), '') AND NOT raw_json ? 'name')),
	100, 'without a name there are two');
$sim->update('index/50', { first_name => 'Grace' });
is(refresh("mode => 'full'"), 'ok 0/1/0/0', 'a change');
$heap = heap();
is(refresh("mode => 'full'"), 'ok 0/0/0/0', 'to sign in is none');
is(heap(), $heap, 'and is not written');

$sim->fault({ match => 'list', after => 1, mutate => { delete_index => 19 } });
is(refresh("mode => 'full'"), 'ok 0/0/0/0', 'a listing that begins anew once finds its place');
is(wrongly_marked(), '', 'and marks nobody');
is($sim->stats->{list}, 6, 'with one more request');
is(refresh(), 'ok 0/0/1/0', 'the next run marks who was deleted in its middle');
$sim->fault({ match => 'list', after => 1, mutate => { delete_index => [ 18, 20 ] } });
is(refresh("mode => 'full'"), 'HV00M', 'one that does not is noticed');
is(wrongly_marked() . ' ' . last_run('status'), ' failed', 'and marks nobody');
is(refresh(), 'ok 0/0/2/0', 'the next run is none the worse');
is(difference() . ' ' . wrongly_marked(), '0 ', 'the target equals the directory');

$sim->remove('index/60');
$before = tombstones();
$sim->fault({ match => 'list', after => 1, truncate_page => 10 });
like(refresh("mode => 'full'"), qr{^held 0/0/0/\d\d$}, 'an end too soon, of many');
is(tombstones(), $before, 'marks nobody');
$sim->fault({ match => 'list', after => 4, truncate_page => 10 });
is(refresh("mode => 'full'"), 'ok 0/0/1/0', 'an end too soon, of a few');
is(wrongly_marked(), '', 'marks the one who is gone');
$sim->fault({ match => 'list', times => -1, empty => $true });
like(refresh("mode => 'full'"), qr{^held 0/0/0/96$}, 'an empty directory is held');
$sim->clear_faults;
is(refresh("mode => 'full'"), 'ok 0/0/0/0', 'a healthy run ends all that');
is(difference() . ' ' . wrongly_marked(), '0 ', 'the target equals the directory');

# ---- Users who cannot be held

$sim->create_raw('{"object":"user","id":"user_01nul","email":"nul@example.com","first_name":"a\u0000b","created_at":"2030-01-01T00:00:00.000Z","updated_at":"2030-01-01T00:00:00.000Z"}');
is(refresh(), 'ok 0/0/0/0', 'an event of a user whom PostgreSQL cannot hold');
is(last_run('mode, quarantined'), 'incremental: 1', 'is left out');
$sim->remove('user_01nul');
is(refresh("mode => 'full'"), 'ok 0/0/0/0', 'until a listing shows that it is gone');
is(sql(q(SELECT count(*) FROM neon_auth.quarantined_user WHERE target = 'whole.users_sync'::regclass)), 0, 'then it is forgotten');

done_testing();
