
# Seeing what happens: a running refresh from another session, the state of each
# target, the log and how far it goes back, the NOTICEs of a long first refresh, and
# word to who listens.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Hanging;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $sim = start_sim(users => 300);
my $node = new_node('seeing', urls => [ $sim->url ]);
my $session = new_session($node);
my $target = 'neon_auth.users_sync';

add_server($node, $sim, options => ", page_size '50'");

sub sql { return $session->must($_[0]); }
sub is_sql { my ($query, $value, $name) = @_; return is(sql("SELECT $query"), $value, $name); }
sub refresh { my ($more) = @_; return $session->ask("CALL neon_auth.refresh_users_sync('clerk'" . ($more // '') . ')'); }
sub status { my ($columns) = @_; return sql("SELECT concat_ws('|', $columns) FROM neon_auth.sync_status WHERE target = '$target'::regclass"); }

# ---- A running refresh

my $progress = q(concat_ws('|', target, phase, users, total, pages, requests, elapsed > '0', pid) FROM neon_auth.sync_progress);
my $run = hang_refresh($node, $sim, { match => 'list', after => 3 }, q(CALL neon_auth.refresh_users_sync('clerk')));
# two requests are on their way: for the next page, and for who was created last
is_sql($progress, "$target|listing|150|3|5|t|" . $run->pid, 'a listing, from another session');
is(status('last_status, last_success_at IS NULL, live_users, deleted_users'), 'running|t|0|0', 'sync_status shows a first refresh that runs');
$run->release;
is_sql('count(*) FROM neon_auth.sync_progress', 0, 'afterwards there is none');
$sim->remove('index/7');
$run = hang_refresh($node, $sim, { match => 'get' }, q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full')));
like(sql("SELECT $progress"), qr/^$target\|confirming deletions\|299\|/, 'a full run that confirms a deletion');
sql(q(CREATE ROLE guest));
is(sql(q(SET ROLE guest; SELECT count(*) FROM neon_auth.sync_progress; RESET ROLE)), 0, 'not to others');
is(sql(q(GRANT pg_read_all_stats TO guest; SET ROLE guest; SELECT count(*) FROM neon_auth.sync_progress; RESET ROLE)), 1, 'but to those who watch over the server');
$run->release;

# ---- The state of a target

is(status("server, provider, last_status, live_users, deleted_users, held, quarantined, last_error IS NULL"), 'clerk|clerk|ok|299|1|0|0|t', 'the state of a target');
is(status(q(lag >= success_age, success_age < '1 hour', next_full_at - last_full_at, last_full_at = last_success_at)), 't|t|1 day|t', 'how old it is, and when it will be listed again');
sql(q(ALTER SERVER clerk OPTIONS (ADD full_refresh_every '2h')));
refresh();
is(status('next_full_at - last_full_at'), '02:00:00', 'by the option');
my $new = $sim->create({ name => 'One More' });
sql("SELECT FROM neon_auth.sync_user('clerk', '$new->{id}')");
is(status('live_users'), 300, 'users of sync_user are counted');

# one table that cannot be read does not spoil the view of all
sql(q(CALL neon_auth.refresh_users_sync('clerk', target => 'app.users_sync')));
my $all = q(SELECT string_agg(concat_ws(' ', target, coalesce(deleted_users, -1)), ', ' ORDER BY target::text) FROM neon_auth.sync_status);
is(sql($all), 'app.users_sync 0, neon_auth.users_sync 1', 'all targets');
my $locker = new_session($node);
$locker->must('BEGIN; LOCK app.users_sync');
is(sql($all), 'app.users_sync -1, neon_auth.users_sync 1', 'one that is locked');
$locker->must('ROLLBACK');
sql(q(CREATE TABLE app.dropped AS TABLE app.users_sync; SELECT neon_auth.create_users_sync('app.going')));
sql(q(CALL neon_auth.refresh_users_sync('clerk', target => 'app.going')));
my $looker = new_session($node);
$looker->must('SELECT deleted_users FROM neon_auth.sync_status');
sql('DROP TABLE app.going');
is($looker->must(q(SELECT count(*) FROM neon_auth.sync_state WHERE neon_auth.deleted_users(target) IS NULL)), 1, 'of one that is gone nothing is known');
is(sql($all), 'app.users_sync 0, neon_auth.users_sync 1', 'nor shown');
sql('DROP TABLE app.dropped');
sql(q(CREATE ROLE tenant; ALTER TABLE app.users_sync OWNER TO tenant));
is(sql($all), 'app.users_sync -1, neon_auth.users_sync 1', 'one whose owner may not read it');
sql(q(ALTER TABLE app.users_sync OWNER TO CURRENT_USER));
sql(q(CREATE TABLE private (deleted_at timestamptz); INSERT INTO private VALUES (now()); CREATE VIEW seen AS SELECT now() AS deleted_at));
is(sql(q(SET ROLE guest; SELECT neon_auth.deleted_users('private') IS NULL AND neon_auth.deleted_users('seen') IS NULL; RESET ROLE)), 't', 'what is no target is not read');
$locker->must('BEGIN; SET ROLE guest');
$locker->must("SELECT neon_auth.deleted_users('seen')");
my $locks = q(SELECT count(*) FROM pg_locks WHERE relation IN ('private'::regclass, 'seen'::regclass));
is($locker->must($locks), 0, 'and no lock on it stays');
$locker->must('ROLLBACK; CREATE ROLE stranger; BEGIN; SAVEPOINT s; SET ROLE stranger');
like($locker->ask("SELECT neon_auth.deleted_users('private')"), qr/42501: permission denied for table private/, 'who may not see a table is told nothing');
sql(q(SET lock_timeout = '1s'; ALTER TABLE private ADD COLUMN more int; RESET lock_timeout));
pass('nor has he a lock on it while his transaction lasts');
$locker->must('ROLLBACK');

for my $row (
	[ { status => 401 }, '28000', 'credential', qr/ALTER USER MAPPING FOR .* SERVER clerk OPTIONS \(SET api_key/ ],
	[ { status => 403 }, '42501', 'permission', qr/right to list users/ ],
	[ { status => 429, times => 9, headers => { 'Retry-After' => '3600' } }, '53400', 'rate limit', qr/later/ ],
	[ { status => 500 }, 'HV00L', 'provider', qr/later/ ],
	[ { body => '<html>' }, 'HV00M', 'provider', qr/options "provider" and "url"/ ])
{
	my ($fault, $state, $class, $hint) = @$row;

	$sim->fault({ match => 'any', %$fault });
	refresh();
	$sim->clear_faults;
	# one that was told to wait does
	$session = new_session($node);
	like(status('last_status, last_error_sqlstate, last_error_class, last_error_hint'), qr/^failed\|$state\|$class\|.*$hint/, "an error of class $class");
}
my $url = $sim->url;
sql(q(ALTER SERVER clerk OPTIONS (SET url 'http://127.0.0.1:1')));
is($session->ask(q(CALL neon_auth.refresh_users_sync('clerk', target => 'app.other'))) =~ /ERROR:  (\w+)/ && $1, '42501', 'an address that is not allowed');
sql("ALTER SERVER clerk OPTIONS (SET url '$url')");
sql("ALTER TABLE $target ADD CONSTRAINT short CHECK (length(name) < 30)");
$sim->create({ name => 'x' x 40 });
refresh();
like(status('last_error_sqlstate, last_error_class, last_error_hint'), qr/^23514\|table\|Change constraint "short"/, 'what the table refuses');
sql("ALTER TABLE $target DROP CONSTRAINT short");
$run = hang_refresh($node, $sim, { match => 'list' }, q(CALL neon_auth.refresh_users_sync('clerk')));
sql('SELECT pg_cancel_backend(' . $run->pid . ')');
$run->release;
is(status('last_error_class'), 'interrupted', 'a run that was cancelled');
is(join(' ', map { sql("SELECT neon_auth.error_class('$_')") } qw(28000 HV00N 55P03 40P01 53200 55000 42P01 HV002 XX000)),
	'credential network lock lock resources setup setup setup other', 'classes');
like(refresh(), qr/^ok/, 'once it is mended');
is(status('last_status, last_error_class'), 'ok|interrupted', 'the last error stays to be seen');

# ---- How far the log goes back

sql(q(ALTER SERVER clerk OPTIONS (ADD keep_runs '7d')));
sql(<<"SQL");
INSERT INTO neon_auth.sync_run (target, server, mode, status, started_at, finished_at)
	SELECT '$target'::regclass, 'clerk', 'full', 'ok', now() - interval '1 day' * i, now() - interval '1 day' * i FROM generate_series(1, 20) i;
INSERT INTO neon_auth.sync_run (target, server, mode, status, started_at, finished_at) VALUES ('app.users'::regclass, 'clerk', 'full', 'ok', now() - interval '1 year', now() - interval '1 year');
SQL
my $old = "count(*) FROM neon_auth.sync_run WHERE target = '$target'::regclass AND finished_at < now() - interval '7 days'";
like(refresh(), qr/^ok/, 'a run that does not list');
is_sql($old, 14, 'leaves the log alone');
like(refresh(", mode => 'full'"), qr/^ok/, 'one that lists');
is_sql($old, 0, 'forgets what is older than option keep_runs');
is_sql("count(*) FROM neon_auth.sync_run WHERE finished_at < now() - interval '23 hours'", 7, 'and nothing else, nor of other targets');
like($session->ask(q(ALTER SERVER clerk OPTIONS (SET keep_runs '1s'))), qr/22023: invalid value for option "keep_runs".*from 60s to 3650d/s, 'a time too short');

# ---- Word to who listens

my $listener = new_session($node);
$listener->must('LISTEN neon_auth_users_sync');

# What was heard since the last time, without the number of the run.
sub heard
{
	my @heard = $listener->ask('SELECT') =~ /Asynchronous notification "neon_auth_users_sync" with payload "(.*)" received/g;

	s/"run_id": \d+/"run_id": N/ for @heard;
	return join(' ', @heard);
}

$sim->update('index/10', { name => 'Ten' });
refresh();
is(heard(), '', 'without option notify nobody is told');
like($session->ask(q(ALTER SERVER clerk OPTIONS (ADD notify 'perhaps'))), qr/22023: invalid value for option "notify"/, 'the option is a switch');
sql(q(ALTER SERVER clerk OPTIONS (ADD notify 'on')));
refresh();
is(heard(), '', 'a run that changes nothing is no news');
$sim->update("index/$_", { name => "Number $_" }) for 11 .. 19;
$sim->create({ name => 'Another' });
$sim->remove('index/20');
refresh(", mode => 'full'");
is(heard(), '{"target": "neon_auth.users_sync", "run_id": N, "inserted": 1, "updated": 9, "tombstoned": 1}', 'one message a run');
ok(JSON::PP->new->decode('{"target": "neon_auth.users_sync", "run_id": 1, "inserted": 1, "updated": 9, "tombstoned": 1}'), 'in JSON');
$new = $sim->create({ name => 'One By One' });
sql("SELECT FROM neon_auth.sync_user('clerk', '$new->{id}')");
is(heard(), '{"target": "neon_auth.users_sync", "run_id": null, "inserted": 1, "updated": 0, "tombstoned": 0}', 'sync_user tells of its user, too');
$sim->update('index/21', { name => 'Rolled Back' });
$session->ask(q(BEGIN; CALL neon_auth.refresh_users_sync('clerk'); ROLLBACK));
is(heard(), '', 'what is rolled back is not told');
sql(q(CALL neon_auth.follow_users_sync('clerk', during => '0')));
like(heard(), qr/"updated": 1,/, 'what follows tells of its beat');
$sim->update("index/$_", { name => "Then $_" }) for 30 .. 200;
$sim->fault({ match => 'list', after => 2, status => 401 });
refresh(", mode => 'full'");
like(heard(), qr/^\{"target": "neon_auth.users_sync", "run_id": N, "inserted": 0, "updated": [1-9]\d*, "tombstoned": 0\}$/, 'a run that fails tells of what it has written before');
$sim->clear_faults;
refresh();

# ---- A first refresh that takes its time

my $slow = start_sim(users => 120, latency => 700, seed => 5);
allow_urls($node, $sim->url, $slow->url);
$session = new_session($node);
add_server($node, $slow, name => 'slow', schema => 'slow', options => ", page_size '10'");
my $call = q(CALL neon_auth.refresh_users_sync('slow', mode => 'full', target => 'slow.users_sync'));
my @notices = $session->ask($call) =~ /NOTICE:  00000: read (\d+) users of server "slow", with \d+ requests/g;
cmp_ok(scalar(@notices), '>=', 1, 'it tells how far it is');
ok(!(grep { $_ % 10 || $_ > 120 } @notices), 'by its pages');
unlike($session->ask($call), qr/NOTICE/, 'later ones do not');

$node->stop;
done_testing();
