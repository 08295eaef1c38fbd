
# Processes that die in the middle: killed at each named point of a scan for all, a
# refresh, sync_user and purge_deleted (F41); a server that is stopped at once while
# a run writes (F42); and a postmaster that dies while others wait (F43).  What is
# there afterwards is old or new, row by row, nobody is marked whom the provider has,
# and the next run repairs the rest.  Random points in random histories are in
# 036_model.pl and 066_model_of_all.pl, how a scan goes on after another one's death
# in 025_single_flight.pl.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use JSON::PP ();
use NeonAuth::Matrix;
use NeonAuth::Redis;
use NeonAuth::RedisProxy;
use NeonAuth::Shim;
use NeonAuth::Test;
use NeonAuth::Wire;
use PostgreSQL::Test::Utils;
use Test::More;

my $days = 24 * 60 * 60;
my $canary = 'sk_canary_of_crashes';
my $sim = start_sim(users => 400, key => $canary, clock => (time() - 30 * $days) * 1000);
my $redis = start_redis();
my $proxy = start_redis_proxy($redis);
my $silent = start_wire(['stall']);
my $patient = start_wire([ 'read', '\r\n\r\n' ],
	[ 'send', "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3000\r\nContent-Length: 0\r\n\r\n" ], ['stall']);
my $shim = new_shim();
my $node = $shim->new_node('crash', urls => [ map { $_->url } $sim, $silent, $patient ],
	conf => "restart_after_crash = on\nlog_statement = none\n");
my $target = 'neon_auth.users_sync';
my $killed = 0;

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub refresh_sql { return "CALL neon_auth.refresh_users_sync('clerk', mode => '$_[0]')"; }

add_server($node, $sim, options => ", page_size '20', redis_url '" . $redis->url . "', redis_timeout '1min', cache_ttl '1d'");
begin_matrix($node, secrets => [$canary], redis => $redis);
like(refreshed(), qr/^ok\|400\|/, 'a first run');

# ---- What has to hold whenever something has died

# What happens at the provider before each case, all of it later than what was before.
my $changes = 0;

sub change
{
	my ($from) = (10 * ++$changes);

	$sim->update("index/$from", { name => "Name $changes" });
	$sim->create({ name => "New $changes" });
	return $sim->remove('index/' . ($from + 1));
}

sub keep_rows { return sql("DROP TABLE IF EXISTS kept; CREATE TABLE kept AS TABLE $target"); }

# Rows that are neither as they were nor as the provider has them, with those that it
# has marked as deleted; and those that went, though nobody had deleted them.
sub wrong_rows
{
	return sql(<<"SQL");
SET neon_auth_fdw.cache = off;
SELECT count(*) FROM (
	SELECT n.id FROM (TABLE $target EXCEPT TABLE kept) AS n LEFT JOIN app.users AS p USING (id)
	WHERE NOT CASE WHEN n.deleted_at IS NULL THEN p.id IS NOT NULL AND n.raw_json = p.raw_json AND n.updated_at = p.updated_at
		ELSE p.id IS NULL END
	UNION ALL
	SELECT k.id FROM kept AS k LEFT JOIN $target AS n USING (id) WHERE n.id IS NULL AND k.deleted_at IS NULL) AS wrong
SQL
}

sub is_old_or_new
{
	my ($what) = @_;

	is(wrong_rows(), '0', "$what: each row is the old or the new one");
	repairs($what);
	is(sql(q(SELECT count(*) FROM neon_auth.sync_run WHERE status = 'running')), '0', "$what: no run is taken to go on");
	return;
}

# ---- F41: killed at a point

# Runs SQL that dies at this point when it gets there for the nth time.
sub die_at
{
	my ($point, $nth, $sql) = @_;
	my $log = -s $node->logfile;

	$shim->kill_at($point, $nth);
	my ($status) = $node->psql('postgres', $sql);
	my $has_died = $shim->killed;

	$shim->kill_nowhere;
	ok($has_died, "killed at \"$point\", time $nth") or return;
	$killed++;
	is($status, 2, 'the session has ended');
	$node->wait_for_log(qr/database system is ready to accept connections/, $log);
	return;
}

sub of_user { return "SELECT id FROM neon_auth.sync_user('clerk', '" . $sim->user("index/$_[0]")->{id} . "')"; }

# What is killed: its name, the SQL, and points with the times they are come to.
my @victims = (
	[
		'a full run', sub { return refresh_sql('full') },
		[ written => 1, 12 ], [ uncommitted => 1 ], [ committed => 7 ], [ listed => 1 ], [ confirmed => 1 ], [ tombstoned => 1 ], [ recorded => 1 ]
	],
	[
		'an incremental run', sub { return refresh_sql('incremental') },
		[ written => 1 ], [ uncommitted => 2 ], [ counted => 1 ], [ searched => 1 ], [ confirmed => 1 ], [ tombstoned => 1 ], [ recorded => 1 ]
	],
	[ 'sync_user of a changed user', sub { return of_user(10 * $changes) }, [ answered => 1 ], [ written => 1 ] ],
	[ 'sync_user of a deleted user', sub { return of_user(10 * $changes + 1) }, [ answered => 1 ], [ confirmed => 1 ], [ tombstoned => 1 ] ],
	[ 'purge_deleted', sub { return q(CALL neon_auth.purge_deleted('0')) }, [ uncommitted => 1 ], [ purged => 1 ], [ committed => 2 ] ]);

for my $victim (@victims)
{
	my ($what, $sql, @points) = @$victim;

	row('F41', $what, refresh => sub {
		for my $case (@points)
		{
			my ($point, @times) = @$case;

			for my $nth (@times)
			{
				change();
				keep_rows();
				die_at($point, $nth, $sql->());
				is_old_or_new("$what killed at \"$point\"");
			}
		}
	});
}

# Of one that fills the cache: the others get all users, and the target knows nothing.
my $all = 'SELECT count(*), count(DISTINCT id) FROM app.users';

row('F41', 'a query that lists for all', scan => sub {
	my $right = sql("SET neon_auth_fdw.cache = off; $all");
	my $waited = 0;

	for my $case ([ leading => 1 ], [ unappended => 1 ], [ unappended => 21 ], [ appended => 9 ])
	{
		my ($point, $nth) = @$case;

		$redis->ask('FLUSHALL');
		unchanged_by("killed at $point", sub { die_at($point, $nth, $all) });
		my @lease = $redis->keys('*:l');

		# that of the first one is waited for until it ends by itself
		$redis->ask('DEL', @lease) if @lease && $waited++;
		is(sql($all), $right, 'another query gets all users');
		is(sql("$all; SELECT hits, corrupt FROM neon_auth.cache_stats()"), "$right\n1|0", 'the next one from the cache');
	}
});

# ---- F42: the server is stopped at once

# Where a run stands when that happens: a trigger that has it wait for a lock.
my @stops = (
	[ 'when a page is written', $target, 'AFTER INSERT OR UPDATE', 'NEW.deleted_at IS NULL' ],
	[ 'when a deletion is written', $target, 'AFTER UPDATE', 'NEW.deleted_at IS NOT NULL' ],
	[ 'when the state is written', 'neon_auth.sync_state', 'AFTER UPDATE', 'NEW.last_full_at > OLD.last_full_at' ]);

sub stop_in
{
	my ($what, $table, $event, $condition, $commit) = @_;
	my $gate = $node->background_psql('postgres');
	my $text = '';

	change();
	keep_rows();
	sql("CREATE TRIGGER zz_wait $event ON $table FOR EACH ROW WHEN ($condition) EXECUTE FUNCTION public.wait_here()");
	$gate->query_safe('SELECT pg_advisory_lock(42)');
	my $run = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') . " options='-c synchronous_commit=$commit'",
			'-c', refresh_sql('full') ], '<', \undef, '>', \$text, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted))
	  or die "$what: $text";
	$node->stop('immediate');
	$run->finish;
	$gate->{run}->kill_kill;
	like($text, qr/connection to server was lost/, "$what: the session is lost");
	$node->start;
	sql("DROP TRIGGER zz_wait ON $table");
	is_old_or_new($what);
	return;
}

sql(<<'SQL');
CREATE FUNCTION public.wait_here() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_catalog.pg_advisory_xact_lock_shared(42);
	RETURN NEW;
END $$
SQL
for my $commit (qw(on off))
{
	for my $stop (@stops)
	{
		row('F42', "immediate shutdown $stop->[0], synchronous_commit $commit", refresh => sub { stop_in(@$stop, $commit) });
	}
}

# ---- F43: the postmaster dies


# A server of this name, which is asked at this address.
sub waiting_server
{
	my ($name, $url, $options) = @_;

	sql(<<"SQL");
CREATE SERVER $name FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url '$url', connect_timeout '10min',
	request_timeout '10min', scan_timeout '1h', refresh_timeout '1h' $options);
CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS (api_key '$canary');
CREATE SCHEMA $name;
IMPORT FOREIGN SCHEMA directory FROM SERVER $name INTO $name;
SQL
	return;
}

waiting_server('silent', $silent->url, '');
waiting_server('patient', $patient->url, '');
waiting_server('stalled', $sim->url, ", redis_timeout '10min', redis_url '" . $proxy->url . "'");
waiting_server('followed', $sim->url, '');
sub refresh_of { return "CALL neon_auth.refresh_users_sync('$_[0]', target => '$_[0].users_sync')"; }

# The waits of each column, and SQL that gets there.
my %waits = (
	scan => {
		'the provider' => 'SELECT count(id) FROM silent.users',
		'a back-off' => 'SELECT count(id) FROM patient.users',
		'Redis' => 'SELECT count(id) FROM stalled.users'
	},
	refresh => {
		'the provider' => refresh_of('silent'),
		'a back-off' => refresh_of('patient'),
		'Redis' => refresh_of('stalled'),
		'the next beat' => q(CALL neon_auth.follow_users_sync('followed', every => '1h', during => '1h 1s', target => 'followed.users_sync')),
		'the provider, for sync_user' => of_user(5)
	});

# Brings a session into each of these waits; returns their processes.
sub enter
{
	my ($waits) = @_;
	my $begun = sql('SELECT clock_timestamp()');
	my @runs;

	for my $what (sort keys %$waits)
	{
		push @runs, IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c', $waits->{$what} ],
			'<', \undef, '>', '/dev/null', '2>', '/dev/null', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	}
	my $waiting = "FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND backend_start > '$begun'";

	# each for good, and not on its way there
	my $since = 0;
	wait_until('all waits', sub {
		return 0 if sql("SELECT count(*) $waiting") != @runs || $proxy->waiting < 1 || $patient->at('stall') < 1 || $silent->at('stall') < 1;
		return ++$since > 3;
	});
	return ([ split /\n/, sql("SELECT pid $waiting") ], @runs);
}

# Whether a process is no more; one that nobody has waited for is a zombie.
sub is_gone
{
	my ($pid) = @_;

	open(my $stat, '<', "/proc/$pid/stat") or return 1;
	return (readline($stat) // '') !~ /\) [^Z]/;
}

sub postmaster_dies
{
	my ($waits) = @_;
	my ($postmaster) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');

	$proxy->fault({ do => 'stall' });
	$sim->fault({ match => 'get', hang => JSON::PP::true });
	my ($pids, @runs) = enter($waits);
	my $before = sql('SELECT md5(string_agg(u::text, chr(10) ORDER BY id)) FROM ' . "$target AS u");

	$node->kill9;
	for my $pid (@$pids)
	{
		wait_until("the end of process $pid", sub { return is_gone($pid) });
	}
	pass('each process ends, whatever it waits for, while that goes on');
	$_->finish for @runs;
	# its lock file counts until somebody has waited for it
	wait_until('the end of the postmaster', sub { return !kill(0, $postmaster) });
	$sim->clear_faults;
	$proxy->clear;
	$node->start;
	is(sql('SELECT md5(string_agg(u::text, chr(10) ORDER BY id)) FROM ' . "$target AS u"), $before, 'the target is as it was');
	repairs('after the death of the postmaster');
	is(sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), '0', 'and nobody has a lock');
	return;
}

row('F43', 'a postmaster that dies', map { my $column = $_; $column => sub { postmaster_dies($waits{$column}) } } qw(scan refresh));

no_canary();
no_crash($killed);
$node->stop;
done_testing();
