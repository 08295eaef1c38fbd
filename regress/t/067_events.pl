# Refreshes by events, where these say less than they seem to: what is held stays held,
# and is counted once; who is deleted and created again; events that come late, a Date
# that lies in the future, and users who come and go.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Synced;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('events', conf => "timezone = 'UTC'\n");
# Events are of now, for a watermark is a time of the clock.
begin_synced($node, provider => 'workos', age => 0, columns => "id, name, email, raw_json - 'last_sign_in_at', created_at, updated_at, deleted_at");

# ---- held deletions are counted twice by the next run of events

directory('twice', ", page_size '50'", users => 100);
refresh();
$sim->remove("index/$_") for 10 .. 49;
is(refresh(), 'held 0/0/0/40', 'many events of deletions are held');
is(refresh(), 'held 0/0/0/40', 'and as many by the next run');
my $hint = ($said =~ /approve_deletions => (\d+)/)[0];
is($hint, 40, 'the hint');
is(refresh("approve_deletions => $hint"), 'ok 0/0/40/0', 'what the hint says can be done');

# Marked, though it was held: still said to be held
directory('twice_b', ", page_size '50'", users => 100);
refresh();
sql("INSERT INTO neon_auth.held_deletion SELECT 'twice_b.users_sync'::regclass, '" . id_of(10) . "', 'more than 20 % of the users are missing', 'share', now()");
$sim->remove("index/10");
is(refresh(), 'held 0/0/0/1', 'what is held stays so until a listing, and is counted once');

# ---- newest_change goes back, and live_users up

directory('counts', ", page_size '50'", users => 200);
refresh();
my $newest = state('newest_change');
$sim->remove('index/5');
is(refresh(), 'ok 0/0/1/0', 'one old user is deleted');
is(last_run('mode'), 'incremental', 'by an event');
cmp_ok(state('newest_change'), 'ge', $newest, 'the latest change seen does not go back');
$sim->update("index/$_", { name => "Changed $_" }) for 100 .. 119;
is(refresh(), 'ok 0/20/0/0', 'others change');
is(state('live_users'), sql("SELECT count(*) FROM counts.users_sync WHERE deleted_at IS NULL"), 'live_users');
is(state('listed_users'), 199, 'listed_users');

# ---- deleted and recreated with the same id, on one page of events

directory('recreated', ", page_size '50'", users => 60);
refresh();
$sim->fault({ match => 'other', mutate => { recreate_index => 7 } });
refresh();
is(last_run('mode'), 'incremental', 'by events');
is(difference(), 0, 'who was recreated at once is as the provider has it');
is(refresh(), 'ok 0/0/0/0', 'again');
is(difference(), 0, 'still');
my $gone = id_of(20);
$sim->remove('index/20');
is(refresh(), 'ok 0/0/1/0', 'another is deleted');
$sim->fault({ match => "other", mutate => { recreate_index => 20 } });
refresh();
is(last_run('mode'), 'incremental', 'by events');
is(wrongly_marked(), '', 'who was recreated after we had marked it is live');
refresh() for 1 .. 3;
is(wrongly_marked(), '', 'after three more runs');

# ---- an event takes a deletion off those that wait for a person

directory('unheld', ", page_size '10'", users => 60);
my $x = $sim->create({ name => 'Exists Still' });
$sim->update($x->{id}, { name => 'Changed' });
$sim->update("index/$_", { name => "Later $_" }) for 0 .. 11;
sql("CREATE TABLE unheld.users_sync (raw_json jsonb NOT NULL, id text PRIMARY KEY, name text, email text, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz);
	INSERT INTO unheld.users_sync (raw_json, id, name, created_at, updated_at) VALUES ('{}', '$x->{id}', 'Of Old', now() - interval '1 hour', now() - interval '1 hour')");
$sim->remove($x->{id});
is(refresh(), 'held 60/0/0/1', 'who was in the table and is missing waits for a person');
$sim->fault({ match => 'other', after => 1, status => 500, times => -1 });
is(refresh(), 'HV00L', 'a run that fails at its second page');
$sim->clear_faults;
is(sql("SELECT count(*) FROM neon_auth.held_deletion WHERE target = 'unheld.users_sync'::regclass"), 1, 'it still waits');
is(tombstones(), '', 'it was not marked without approval');

# ---- one reply with a Date in the future

directory('dated', ", page_size '50'", users => 60);
refresh();
refresh();
$sim->fault({ match => 'other', headers => { Date => 'Wed, 01 Jan 2070 00:00:00 GMT' } });
is(refresh(), 'ok 0/0/0/0', 'a reply with a date in the future');
$sim->update("index/$_", { name => "Changed $_" }) for 1 .. 3;
$sim->remove('index/9');
refresh();
is(last_run('mode'), 'incremental', 'by events');
is(difference(), 0, 'changes after that are seen');

# ---- a stale event of somebody who came and went

directory('stale', ", page_size '50'", users => 60);
refresh();
my $new = $sim->create({ name => 'Came And Went' });
$sim->remove($new->{id});
is(refresh(), 'ok 0/0/0/0', 'came and went');
sql(q(UPDATE neon_auth.sync_state SET watermark = watermark + interval '10 minutes' WHERE target = 'stale.users_sync'::regclass));
my $body = qq({"object":"list","data":[{"object":"event","id":"event_900","event":"user.updated","data":{"object":"user","id":"$new->{id}","email":"a\@b.c","created_at":"2026-01-01T00:00:00.000Z","updated_at":"2026-01-01T00:00:00.000Z"},"created_at":"2030-01-01T00:00:00.000Z"}],"list_metadata":{"after":null}});
$sim->fault({ match => 'other', body => $body });
is(refresh(), 'ok 0/0/0/0', 'an old event of it that comes late');
is(row($new->{id}, 'count(*)'), 0, 'makes no row');
$sim->clear_faults;
refresh();
is(row($new->{id}, 'count(*)'), 0, 'nor is it live after the next run');

# ---- many who came and went, on different pages

directory('passing', ", page_size '50'", users => 100, clock => (time() - 240) * 1000);
refresh();
my @passing = map { $sim->create({ name => "Passing $_" })->{id} } 1 .. 30;
$sim->update("index/$_", { name => "Between $_" }) for 0 .. 39;
$sim->remove($_) for @passing;
like(refresh("mode => 'incremental'"), qr{^ok }, 'thirty come and go between two refreshes');
is(difference(), 0, 'they are not live here');
sql(q(CALL neon_auth.purge_deleted('0', target => 'passing.users_sync')));
is(refresh("mode => 'incremental'"), 'ok 0/0/0/0', 'nor do events of before bring their purged rows back');
is(sql('SELECT count(*) FROM passing.users_sync'), 100, 'there are none');

# ---- users who are known and seem to be new

directory('ahead', ", page_size '50'", users => 60);
my $ahead = $sim->create({ name => 'Of Tomorrow', created_at => (time() + 100) * 1000, updated_at => time() * 1000 });
refresh();
is(state('listed_users, live_users'), '61|61', 'one was created in the future');
$sim->update($ahead->{id}, { name => 'Of Next Week', updated_at => (time() + 200) * 1000 });
is(refresh("mode => 'incremental'"), 'ok 0/1/0/0', 'and changes after that');
is(state('listed_users, live_users'), '61|61', 'which makes no second one of it');

# ---- two states of a user at the same time, of which nobody knows the later one

directory('tied', ", page_size '50'", users => 60);
refresh();
my $tied = id_of(5);
$sim->update('index/5', { name => 'First Of All' });
refresh();
my $data = row($tied, q(jsonb_set(raw_json, '{first_name}', '"Tied"')));
$sim->fault({ match => 'other', body => qq({"object":"list","data":[{"object":"event","id":"event_901","event":"user.updated","data":$data,"created_at":"2030-01-01T00:00:00.000Z"}],"list_metadata":{"after":null}}) });
is(refresh(), 'ok 0/0/0/0', 'an event with another state of the same time');
is(difference(), 0, 'is not written, for the provider is asked');
is($sim->stats->{get}, 1, 'once');
$sim->clear_faults;
$sim->update('index/5', { name => 'Last Of All' });
my @both = map { sql("SELECT jsonb_set(raw_json, '{first_name}', '\"$_\"') FROM tied.users WHERE id = '$tied'") } 'Former', 'Latter';
$sim->fault({ match => 'other', body => '{"object":"list","data":[' . join(',', map { qq({"object":"event","id":"event_$_","event":"user.updated","data":$both[$_],"created_at":"2030-01-01T00:00:00.000Z"}) } 0, 1) . '],"list_metadata":{"after":null}}' });
refresh();
is(difference(), 0, 'nor one of two such states');

done_testing();
