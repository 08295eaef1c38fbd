# Users whom the provider keeps as deleted: they witness nothing, are counted once, and
# may be purged only so long after we have marked them. And the log of a run that
# fails in its last step.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Session;
use NeonAuth::Synced;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('kept', conf => "timezone = 'UTC'\n");
# Events are of now, for a watermark is a time of the clock.
begin_synced($node, provider => 'okta', age => 0);

sub live { return sql("SELECT count(*) FROM $server.users_sync WHERE deleted_at IS NULL"); }

# ---- a listing of users who are all deleted softly has no witness

directory('witness', ", deprovisioned_as_deleted 'true'", users => 28);
$sim->update("index/$_", { state => 'deprovisioned' }) for 0 .. 19;
is(refresh(), 'ok 28/0/0/0', 'twenty deprovisioned, eight live');
is(live(), 8, 'eight live');
$sim->fault([ { match => 'list', times => -1, hide_index => [ 20 .. 27 ] },
	{ match => 'get', times => -1, status => 404, body => '{"errorCode":"E0000007","errorSummary":"Not found: Resource not found"}' } ]);
like(refresh("mode => 'full'"), qr{^held 0/0/0/8$}, 'a provider that lists none of the live ones and finds nobody by id');
is(live(), 8, 'marks nobody');

# ---- listed_users rises with each sight of somebody deleted softly

directory('listed', ", deprovisioned_as_deleted 'true'", users => 30);
refresh();
is(state('listed_users, live_users'), '30|30', 'thirty');
$sim->update('index/5', { state => 'deprovisioned' });
is(refresh(), 'ok 0/0/1/0', 'one is deprovisioned');
is(last_run('mode'), 'incremental', 'incrementally');
refresh() for 1 .. 4;
is(last_run('mode'), 'incremental', 'four more runs');
is(state('listed_users, live_users'), '30|29', 'still thirty are listed');
sql("SELECT id, deleted_at FROM neon_auth.sync_user('listed', '" . id_of(5) . "', target => 'listed.users_sync')");
is(sql("SELECT count(*) FROM neon_auth.sync_delta WHERE target = 'listed.users_sync'::regclass"), 0, 'nor does sync_user count it again');

# ---- purge at once of somebody deprovisioned long ago

directory('purge', '', users => 30);
$sim->update('index/5', { state => 'deprovisioned', updated_at => 1735700000000 });
refresh();
is(live(), 30, 'all are live without the option');
sql("ALTER SERVER purge OPTIONS (ADD deprovisioned_as_deleted 'true')");
is(refresh(), 'ok 0/0/1/0', 'one is not with it');
$session->ask("CALL neon_auth.purge_deleted('90 days', target => 'purge.users_sync')");
is(sql('SELECT count(*) FROM purge.users_sync'), 30, 'it was marked a moment ago, not 90 days');
$session->ask("CALL neon_auth.purge_deleted('0', target => 'purge.users_sync')");
is(sql('SELECT count(*) FROM purge.users_sync'), 29, 'it can be purged when that is wanted');
for my $mode ('incremental', 'full', 'auto')
{
	like(refresh("mode => '$mode'"), qr{^ok 0/0/0/0$}, "$mode: the provider still has it");
	is(sql('SELECT count(*) FROM purge.users_sync'), 29, 'and it does not come back');
}
is(state('listed_users, live_users'), '30|29', 'though it is listed');

# ---- The time of a deletion is the provider's, if the row was not seen live since

directory('times', ", deprovisioned_as_deleted 'true'", users => 30, clock => (time() + 3600) * 1000);
$sim->update('index/4', { state => 'deprovisioned' });
is(refresh(), 'ok 30/0/0/0', 'a first refresh with one who is deprovisioned');
is(sql("SELECT deleted_at = (raw_json ->> 'statusChanged')::timestamptz FROM times.users_sync WHERE id = '" . id_of(4) . "'"), 't', 'has the time of that');
$sim->update('index/5', { state => 'deprovisioned' });
is(refresh(), 'ok 0/0/1/0', 'another one since');
is(sql("SELECT deleted_at = (raw_json ->> 'statusChanged')::timestamptz FROM times.users_sync WHERE id = '" . id_of(5) . "'"), 't', 'has it, too');
$sim->update('index/5', { first_name => 'Still', last_name => 'Gone' });
my $marked = sql("SELECT deleted_at FROM times.users_sync WHERE id = '" . id_of(5) . "'");
is(refresh(), 'ok 0/1/0/0', 'a change of that one');
is(sql("SELECT deleted_at || name FROM times.users_sync WHERE id = '" . id_of(5) . "'"), $marked . 'Still Gone', 'leaves the time as it was');

# ---- the row of a followed run that fails in its last step

directory('logged', '', users => 30);
refresh();
$sim->update('index/5', { first_name => 'Changed' });
my $other = new_session($node);
$other->must("BEGIN; SELECT FROM neon_auth.sync_state WHERE target = 'logged.users_sync'::regclass FOR UPDATE");
my $before = sql("SELECT count(*) FROM neon_auth.sync_run WHERE target = 'logged.users_sync'::regclass");
like($session->ask("SET lock_timeout = '200ms'; CALL neon_auth.follow_users_sync('logged', during => '0 seconds', target => 'logged.users_sync')"), qr/55P03/, 'a lock is waited for in vain');
sql('RESET lock_timeout');
$other->must('ROLLBACK');
is(sql("SELECT count(*) FROM neon_auth.sync_run WHERE target = 'logged.users_sync'::regclass") - $before, 1, 'the failure is in the log');
is(last_run('status'), 'failed', 'as such');

done_testing();
