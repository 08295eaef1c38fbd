
# A directory that is followed: a change is in the target a beat later, at the price of
# a request a beat; deletions follow with the count; other runs come in between; and it
# ends at its time, when it is cancelled, and where it makes no sense.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use NeonAuth::Hanging;
use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $days = 24 * 60 * 60;
my $sim = start_sim(users => 200, clock => (time() - 30 * $days) * 1000);
my $empty = start_sim(users => 0, seed => 2);
my $timeless = start_sim(provider => 'better_auth', users => 20, hide => 'updatedAt');
my $redis = start_redis();
my $node = new_node('follow', urls => [ $sim->url, $empty->url, $timeless->url ]);
my $session = new_session($node);
my $target = 'neon_auth.users_sync';

add_server($node, $sim, options => ", page_size '50', cache_ttl '1d', cache_stale_ttl '1d', redis_url '" . $redis->url . "', redis_timeout '1min'");
add_server($node, $empty, name => 'empty', schema => 'empty');
add_server($node, $timeless, name => 'timeless', schema => 'timeless');

sub sql { return $session->must($_[0]); }
sub is_sql { my ($query, $value, $name) = @_; return is(sql("SELECT $query"), $value, $name); }
sub call { my ($arguments) = @_; return "CALL neon_auth.follow_users_sync('clerk'" . ($arguments ? ", $arguments" : '') . ')'; }

# Starts a call in the background; ended by finish, which returns what it said.
sub start
{
	my ($sql) = @_;
	my $self = { text => '' };

	$self->{run} = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres') . ' application_name=follow', '-c', $sql ],
		'<', \undef, '>', \$self->{text}, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return $self;
}

sub finish { my ($self) = @_; $self->{run}->finish; return $self->{text}; }
sub cancel { return sql(q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'follow')); }
sub wait_for { my ($what, $condition) = @_; return wait_until($what, sub { return sql("SELECT $condition") eq 't' }); }
sub row { my ($columns, $id) = @_; return "(SELECT $columns FROM $target WHERE id = '$id')"; }

sub difference
{
	my ($here, $there) = map { "SELECT id, name, email, raw_json, created_at, updated_at FROM $_" } "$target WHERE deleted_at IS NULL", 'app.users';

	return sql("SET neon_auth_fdw.cache = off; SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

# ---- The beats of one call

# The first beat makes the table and lists, then one looks at the latest changes.
my $text = sql(call(q(every => '100ms', during => '350ms')));
like($text, qr/^ok\|[1234]\|200\|0\|0\|0\|\d+\|[\d:.]+$/, 'a first call fills the table');
is(difference(), 0, 'with the directory');
$sim->reset_stats;
sql(call(q(every => '100ms', during => '1050ms')));
my $stats = $sim->stats;
is($stats->{count}, 1, 'a call shorter than ten seconds counts once');
cmp_ok($stats->{list}, '<=', 11, 'and asks for one list a beat');
is($stats->{get} + $stats->{other}, 0, 'and nothing else');
is_sql('count(*) FROM neon_auth.sync_run', 1, 'what does nothing is not logged');
like(sql(call(q(during => '0'))), qr/^ok\|1\|/, 'of no duration it has one beat');

# ---- What changes meanwhile

my $follow = start(call(q(every => '100ms', during => '1h')));
wait_for('it follows', q(EXISTS (SELECT FROM neon_auth.sync_progress WHERE phase = 'waiting for the next beat')));
is_sql(q(concat_ws('|', count(*), min(target::text)) FROM neon_auth.sync_progress), "1|$target", 'sync_progress shows it');
$sim->reset_stats;
$sim->update('index/7', { name => 'Seven' });
wait_for('a change', row(q(name = 'Seven'), $sim->user('index/7')->{id}));
my $new = $sim->create({ name => 'Eleven' });
wait_for('a new user', "EXISTS (SELECT FROM $target WHERE id = '$new->{id}')");
$sim->update("index/$_", { name => "Many $_" }) for 20 .. 79;
wait_for('many changes', "count(*) = 60 FROM $target WHERE name LIKE 'Many %'");
is(difference(), 0, 'the target equals the directory');
$sim->remove('index/8');
my $gone = $sim->user('index/8')->{id};
wait_for('a deletion', row('deleted_at IS NOT NULL', $gone));
cmp_ok($sim->stats->{count}, '>=', 1, 'a deletion waits for a count');
is_sql(q(string_agg(DISTINCT concat_ws(' ', mode, status), ', ') FROM neon_auth.sync_run WHERE run_id > 1 AND tombstoned = 0), 'incremental ok', 'the log has what changed, all of it incremental');
is_sql("count(*) = 0 FROM neon_auth.sync_run WHERE status = 'running'", 't', 'and nothing that runs for ever');
is_sql(q(pg_stat_get_backend_start(1) IS NULL OR bool_and(backend_xmin IS NULL AND backend_xid IS NULL) FROM pg_stat_activity WHERE application_name = 'follow'), 't', 'no snapshot is kept')
  or diag(sql(q(SELECT * FROM pg_stat_activity WHERE application_name = 'follow')));

# nothing is kept of a beat: without that it was 33 KB of each
my $pid = sql(q(SELECT pid FROM neon_auth.sync_progress));
sub memory { return process_memory($pid, 'RssAnon'); }
sub lists { return $sim->stats->{list}; }
sub wait_for_beats { my $end = lists() + 60; return wait_until('sixty beats', sub { return lists() >= $end }); }
wait_for_beats();
my $kilobytes = memory();
wait_for_beats();
memory_below(memory() - $kilobytes, 1024, 'memory does not grow with the beats');

# the cache does not lag behind the target
sql('RESET neon_auth_fdw.cache; SELECT count(id) FROM app.users');
$sim->update('index/9', { name => 'Nine' });
wait_for('another change', row(q(name = 'Nine'), $sim->user('index/9')->{id}));
wait_for('in the cache, too', q(EXISTS (SELECT FROM app.users WHERE name = 'Nine')));

# nor does it for ever when Redis was away for a beat with a change
$redis->stop;
$sim->update('index/10', { name => 'Ten' });
wait_for('a change without Redis', row(q(name = 'Ten'), $sim->user('index/10')->{id}));
$redis->start;
sub hits { sql('SELECT count(id) FROM app.users'); return sql('SELECT sum(hits) FROM neon_auth.cache_stats()'); }
wait_until('a cached answer', sub { return hits() < hits() });
$sim->update('index/11', { name => 'Elf' });
wait_for('a change with Redis', row(q(name = 'Elf'), $sim->user('index/11')->{id}));
wait_for('in the cache again', q(EXISTS (SELECT FROM app.users WHERE name = 'Elf')));

# ---- Others

like(sql(call(q(during => '1min'))), qr/^busy\|0\|/, 'who else follows is told that it is busy');
$sim->fault({ match => 'list', latency_ms => 200, times => -1 });    # longer than the pause
my @ends = map { sql(q(SELECT pg_sleep(0.37); CALL neon_auth.refresh_users_sync('clerk'))) =~ /^\n?(\w+)\|/m && $1 } 1 .. 10;
$sim->clear_faults;
is_deeply([ grep { $_ ne 'ok' } @ends ], [], 'refreshes come in between');
like(sql(q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full'))), qr/^ok/, 'full ones, too');
sql("SELECT pg_advisory_lock(1851880820, '$target'::regclass::oid::int)");
my $lists = $sim->stats->{list};
sql('SELECT pg_sleep(0.5)');
is($sim->stats->{list}, $lists, 'while another run has the target it asks for nothing');
sql('SELECT pg_advisory_unlock_all()');
wait_until('it goes on', sub { return $sim->stats->{list} > $lists });
cancel();
like(finish($follow), qr/57014/, 'it can be cancelled while it waits');
is($node->safe_psql('postgres', q(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')), 0, 'and leaves no lock');
is_sql('count(*) FROM neon_auth.sync_progress', 0, 'nor progress');

# while it waits for the provider
my $run = hang_refresh($node, $sim, { match => 'list' }, call(q(every => '100ms', during => '1h')));
sql('SELECT pg_cancel_backend(' . $run->pid . ')');
like($run->finish, qr/57014/, 'it can be cancelled while it asks');
$sim->clear_faults;
is_sql(q(concat_ws(' ', status, sqlstate) FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1), 'failed 57014', 'which is logged');
is(sql(call(q(during => '0'))) =~ /^(\w+)/ && $1, 'ok', 'the next one goes on');

# ---- Deletions that are held, doubt, failure

my @few = map { $sim->user("index/$_")->{id} } 100 .. 149;
$sim->remove("index/$_") for 100 .. 149;
$session->ask(q(CALL neon_auth.refresh_users_sync('clerk')));
$text = $session->ask(call(q(every => '100ms', during => '700ms')));
is(scalar(() = $text =~ /WARNING:.*held back 50 deletions/g), 1, 'deletions that are held are told once');
like($text, qr/^held\|.*\|50\|\d+\|[\d:.]+$/m, 'and are in the result');
like(sql(q(CALL neon_auth.refresh_users_sync('clerk', approve_deletions => 50))), qr/^ok.*\|50\|0\|/, 'a person approves them');

# the provider counts wrong all the time: it is not listed all the time
$sim->fault({ match => 'count', body => '{"object":"total_count","total_count":9999}', times => 1000 });
sql(q(ALTER SERVER clerk OPTIONS (SET page_size '2')));    # so many pages, that would be some minutes
my $listings = q(count(*) FROM neon_auth.sync_run WHERE mode = 'full');
my $before = sql("SELECT $listings");
like(sql(call(q(during => '0'))), qr/^ok/, 'a count that is wrong') for 1 .. 5;
is(sql("SELECT $listings"), $before, 'does not cause listings all the time');
sql(q(ALTER SERVER clerk OPTIONS (SET page_size '50')));
$sim->clear_faults;
is_sql('unproved FROM neon_auth.sync_state WHERE target = ' . "'$target'::regclass", 't', 'but the next refresh lists');
sql(q(CALL neon_auth.refresh_users_sync('clerk')));

$sim->fault({ match => 'list', status => 401 });
like($session->ask(call(q(during => '1h'))), qr/ERROR:  28000/, 'a failure ends it');
is_sql(q(concat_ws(' ', mode, status, sqlstate) FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1), 'incremental failed 28000', 'and is logged');
$sim->clear_faults;

# a failure that is over, though nothing has changed since
sql(call(q(during => '0')));
is_sql("last_status FROM neon_auth.sync_status WHERE target = '$target'::regclass", 'ok', 'the first beat that is well again is logged');

# ---- Where it makes no sense

like($session->ask('BEGIN; ' . call() . '; COMMIT'), qr/ERROR:  25001: cannot follow a directory within a transaction/, 'within a transaction');
$session->ask('ROLLBACK');
for my $row (
	[ q(every => '0'), 'every' ], [ q(every => '-1s'), 'every' ], [ q(every => '2h'), 'every' ], [ q(every => NULL), 'every' ],
	[ q(during => '-1s'), 'during' ], [ q(during => '25h'), 'during' ], [ q(during => '1 month'), 'during' ],
	[ q(during => '178000000 years'), 'during' ])
{
	my ($arguments, $name) = @$row;

	like($session->ask(call($arguments)), qr/ERROR:  22023: invalid value for argument "$name"/, $arguments);
}
like($session->ask('CALL neon_auth.follow_users_sync(NULL)'), qr/ERROR:  22023: server must not be null/, 'no server');
like($session->ask(q(CALL neon_auth.follow_users_sync('timeless', target => 'timeless.users_sync'))),
	qr/ERROR:  0A000: cannot follow server "timeless".*not all users have a time of change.*schedule_refresh/s, 'users without a time of change');
is_sql(q(count(id) FROM timeless.users_sync), 20, 'are there all the same');

# a directory that has nobody yet
$follow = start(q(CALL neon_auth.follow_users_sync('empty', every => '100ms', during => '1h', target => 'empty.users_sync')));
wait_for('the empty table', q(to_regclass('empty.users_sync') IS NOT NULL));
$empty->create({ name => 'First' });
wait_for('the first user', 'count(*) = 1 FROM empty.users_sync');
$empty->create({ name => 'Second' });
wait_for('the second user', 'count(*) = 2 FROM empty.users_sync');
sql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'follow'));
like(finish($follow), qr/57P01|terminat/, 'it can be terminated');
wait_for('the locks', q(count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'));

$node->stop;
done_testing();
