# What the cache costs a backend: a bounded amount of memory, two connections, and
# nothing that stays.  Hundreds of scans and thousands of look-ups in one session,
# in every way in which they can end, and 100,000 users read through the cache.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use NeonAuth::Fleet;
use NeonAuth::Redis;
use NeonAuth::Resources;
use NeonAuth::Shim;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# How often a way is tried before the first measurement, and up to the second.
my $first = 50;
my $times = 500;
my $lookups = 5000;
my $failures = 500;
my $cancels = 100;

# How many bytes more there may be after that.  Of the first, some 30 kB are now there
# and now not, in buffers that are kept.
my %bounds = (malloc => 48 * 1024, contexts => 16 * 1024, resident => 1024 * 1024);

use constant {
	MANY_USERS => 100_000,
	MEGABYTES => 64,
};

# ---- Servers that share a Redis

my $shim = new_shim();
my $sim = start_sim(users => 8);
my $broken = start_sim(users => 8);
my $changing = start_sim(users => 8);
my $silent = start_sim(users => 8);
my $large = start_sim(users => MANY_USERS);
my $redis = start_redis();
my $node = $shim->new_node(
	'resources',
	urls => [ map { $_->url } $sim, $broken, $changing, $silent, $large ],
	conf => "log_statement = none\nlog_min_messages = fatal\njit = off\n");
my $cached = ", redis_timeout '1min', redis_url '" . $redis->url . "'";

# brief has nothing that is fresh; refused does not take the key; the second page of
# broken is no JSON; silent never answers; alone has no Redis.
add_server($node, $sim, name => 'ok', schema => 'ok', options => "$cached, cache_ttl '1d', page_size '5'");
add_server($node, $changing, name => 'brief', schema => 'brief',
	options => "$cached, cache_ttl '1ms', page_size '4'");
add_server($node, $sim, name => 'refused', schema => 'refused', options => $cached);
add_server($node, $broken, name => 'broken', schema => 'broken',
	options => "$cached, cache_ttl '1d', page_size '5'");
add_server($node, $silent, name => 'silent', schema => 'silent', options => $cached);
add_server($node, $large, name => 'large', schema => 'large', options => "$cached, cache_ttl '1d'");
add_server($node, $sim, name => 'alone', schema => 'alone',
	options => ", redis_url 'redis://127.0.0.1:1', page_size '5'");
$broken->create_raw('{"id": "user_broken", "nested": [}}');
$silent->fault({ match => 'any', hang => JSON::PP::true, times => -1 });
my $someone = $sim->user('index/3')->{id};

$node->safe_psql('postgres', <<"SQL");
ALTER USER MAPPING FOR CURRENT_USER SERVER refused OPTIONS (SET api_key 'sk_test_wrong');
SQL
my $meter = new_meter($node, first => $first, times => $times, bounds => \%bounds, providers => [ $sim, $broken ]);

# ---- Scans that end well, scans that end badly, and both in one transaction

$node->safe_psql('postgres', "SELECT FROM ok.users; SELECT FROM ok.users WHERE id = '$someone'");
$node->psql('postgres', 'SELECT FROM broken.users');

my $cursor = 'DECLARE c CURSOR';

$meter->each_way(
	'well', '',
	[ 'to the end', 'SELECT * FROM ok.users;', 0 ],
	[ 'without raw_json', 'SELECT count(id) FROM ok.users;', 0 ],
	[ 'one user by id', "SELECT * FROM ok.users WHERE id = '$someone';", 0 ],
	[ 'LIMIT', 'SELECT * FROM ok.users LIMIT 3;', 0 ],
	[ 'a cursor closed early', "BEGIN; $cursor FOR SELECT * FROM ok.users; FETCH 3 c; CLOSE c; COMMIT;", 0 ],
	[ 'a cursor left open at ROLLBACK', "BEGIN; $cursor FOR SELECT * FROM ok.users; FETCH 6 c; ROLLBACK;", 0 ],
	[ 'a cursor WITH HOLD', "BEGIN; $cursor WITH HOLD FOR SELECT * FROM ok.users; COMMIT; FETCH 3 c; CLOSE c;", 0 ],
	[ 'rescans', 'SELECT * FROM generate_series(1, 3) n, LATERAL (SELECT id FROM ok.users LIMIT n) u;', 0 ],
	[ 'a PL/pgSQL loop left early', 'SELECT first_id();', 0 ],
	[ 'DISCARD ALL', 'SET neon_auth_fdw.cache = off; DISCARD ALL; SELECT * FROM ok.users;', 0 ],
	[ 'refill', "SET neon_auth_fdw.cache = refill; SELECT * FROM ok.users; RESET neon_auth_fdw.cache;", 2 ],
	[ 'a cold cache', "SELECT neon_auth.cache_clear('ok'); SELECT * FROM ok.users;", 2 ],
	[ 'a cold cache, LIMIT', "SELECT neon_auth.cache_clear('ok'); SELECT * FROM ok.users LIMIT 3;", 1 ],
	[ 'a stale listing', 'SELECT * FROM brief.users;', 0 ],
	[ 'without its Redis', 'SELECT * FROM alone.users;', 2 ]);

$node->safe_psql('postgres', 'SELECT FROM ok.users');
$meter->each_way(
	'badly', '',
	[ 'at once', 'SELECT * FROM refused.users;', 1, '28000' ],
	[ 'one user by id', "SELECT * FROM refused.users WHERE id = '$someone';", 1, '28000' ],
	[ 'on the second page', 'SELECT * FROM broken.users;', 2, 'HV00M' ],
	[ 'at the second FETCH', "BEGIN; $cursor FOR SELECT * FROM broken.users; FETCH 3 c; FETCH ALL c; ROLLBACK;", 2,
		'HV00M' ],
	[ 'at COMMIT', "BEGIN; $cursor WITH HOLD FOR SELECT * FROM broken.users; FETCH 1 c; COMMIT;", 2, 'HV00M' ],
	[ 'by the query itself', 'SELECT 1 / (row_number() OVER () - 3) FROM ok.users;', 0, '22012' ]);

$meter->each_way(
	'in one transaction', 'BEGIN;',
	[ 'a savepoint released', 'SAVEPOINT s; SELECT * FROM ok.users; RELEASE s;', 0 ],
	[ 'a savepoint rolled back', 'SAVEPOINT s; SELECT * FROM ok.users; ROLLBACK TO s; RELEASE s;', 0 ],
	[ 'an error after a savepoint', 'SAVEPOINT s; SELECT * FROM broken.users; ROLLBACK TO s; RELEASE s;', 2, 'HV00M' ],
	[ 'a cursor of a savepoint', "SAVEPOINT s; $cursor FOR SELECT * FROM ok.users; FETCH 3 c; ROLLBACK TO s; RELEASE s;",
		0 ]);

# ---- In one statement

my %loops = (
	'scans' => [ 'SELECT * FROM ok.users', '00000', $failures ],
	'look-ups' => [ "SELECT * FROM ok.users WHERE id = ''$someone''", '00000', $lookups ],
	'failing at once' => [ 'SELECT * FROM refused.users', '28000', $failures ],
	'failing on the second page' => [ 'SELECT * FROM broken.users', 'HV00M', $failures ],
	'failing by the query itself' => [ 'SELECT 1 / (row_number() OVER () - 3) FROM ok.users', '22012', $failures ]);

{
	my ($measured, $errors) = $meter->run_session(
		join("\n", map { sprintf("SELECT repeat_sql('%s', '%s', '%s', %d);", $_, @{ $loops{$_} }) } sort keys %loops));

	$meter->flat("in one statement, $_", @{ $measured->{$_} }) for sort keys %loops;
	is_deeply($errors, {}, 'in one statement: each time as expected');
}

# The same plan again and again.
$sim->reset_stats;
{
	my $loop = "SET enable_memoize = off; SELECT count(u.name) FROM generate_series(1, %d) g,
		LATERAL (SELECT name FROM ok.users WHERE id = '$someone' AND g > 0 OFFSET 0) u;";
	my ($measured) = $meter->run_session(
		join("\n", map { sprintf("$loop SELECT measure('plan');", $_) } 100, 100, $lookups));

	$meter->flat("$lookups look-ups of one plan", @{ $measured->{plan} }[ 1, 2 ]);
	is($sim->requests, 0, 'which do not ask the provider');
}

# ---- Canceled while the provider says nothing

{
	my @scans = ('SELECT * FROM silent.users;') x ($first + $cancels);

	$scans[$_] = "SET statement_timeout = '5ms'; $scans[$_]" for (0, $first);
	$scans[$_] = "$scans[$_] RESET statement_timeout; SELECT neon_auth.disconnect_all();" for ($first - 1, $#scans);
	my ($measured, $errors) = $meter->run_session("\\o /dev/null\n" . $meter->measured('silent', @scans));
	$meter->flat('canceled', @{ $measured->{silent} });
	is_deeply($errors, { 57014 => $first + $cancels }, 'canceled: each time as expected');
}

# A lease that nobody gives back would run out by itself, without this command.
sub deletions { my %commands = (del => 0, $redis->commands); return $commands{del}; }

my $signal = 'SELECT pg_%s_backend(%d)';
my @ends = (
	[ 'canceled', '', 'cancel' ],
	[ 'canceled in a transaction that stays open', 'BEGIN;', 'cancel' ],
	[ 'canceled in a savepoint', 'BEGIN; SAVEPOINT s;', 'cancel' ],
	[ 'terminated', '', 'terminate' ]);

for my $end (@ends)
{
	my ($what, $before, $how) = @$end;

	for my $query ('SELECT FROM silent.users', "SELECT FROM silent.users WHERE id = '$someone'")
	{
		my $session = open_session($node);

		wait_until('earlier leases to go', sub { return !lease_of($redis, 'neon_auth') });
		begin_query($session, "$before $query;");
		wait_until('the lease', sub { return lease_of($redis, 'neon_auth') });
		$redis->reset_commands;
		$node->safe_psql('postgres', sprintf($signal, $how, $session->{pid}));
		wait_until('the end of the lease', sub { return !lease_of($redis, 'neon_auth') });
		is(deletions(), 1, "$what: the lease is given back ($query)");
		if ($how eq 'terminate')
		{
			abandon($session);
			next;
		}
		like(end_query($session), qr/canceling statement due to user request/, "$what: the query has ended");
		$session->{psql}->quit;
	}
}

# ---- Connections

my $kept = q(SELECT string_agg(concat_ws(' ', kind, valid, sockets), ', ' ORDER BY kind) FROM neon_auth.connections());
my $session = open_session($node);
my ($psql, $pid) = @$session{qw(psql pid)};
my $both = 'provider t 1, redis t 1';

$psql->query_safe("SELECT neon_auth.cache_clear('ok')");
$psql->query_safe('SELECT neon_auth.disconnect_all()');
my $none = open_descriptors($pid);
$psql->query_safe("SELECT count(id) FROM ok.users; SELECT count(id) FROM ok.users WHERE id = '$someone'");
is($psql->query_safe($kept), $both, 'a session has one connection to the provider and one to Redis');
$psql->query_safe('SELECT count(*) FROM ok.users a JOIN ok.users b USING (id)');
$psql->query_safe(q(CALL neon_auth.refresh_users_sync('ok')));
$psql->query_safe('BEGIN; DECLARE a CURSOR FOR SELECT FROM ok.users; DECLARE b CURSOR FOR SELECT FROM ok.users;
	FETCH 3 a; FETCH 6 b; FETCH 6 a; COMMIT');
is($psql->query_safe($kept), $both, 'whatever it does');
wait_until('Redis to have no other', sub { return $redis->ask('CLIENT', 'LIST') =~ tr/\n// == 2 });
$psql->query_safe('DECLARE c CURSOR WITH HOLD FOR SELECT FROM ok.users; FETCH 3 c; PREPARE p AS SELECT FROM ok.users;
	SET neon_auth_fdw.cache = off');
$psql->query_safe('DISCARD ALL');
$sim->reset_stats;
is($psql->query_safe("$kept; SHOW neon_auth_fdw.cache; SELECT count(id) FROM ok.users"), "$both\non\n8",
	'DISCARD ALL resets the setting and keeps the connections');
is($sim->requests, 0, 'and the cache goes on');
is($psql->query_safe('SELECT neon_auth.disconnect_all()'), 't', 'disconnect_all');
is(open_descriptors($pid), $none, 'closes both');
$node->safe_psql('postgres', q(ALTER SERVER ok OPTIONS (ADD idle_timeout '100ms')));
for my $round (1 .. 3)
{
	$psql->query_safe("BEGIN; SELECT neon_auth.cache_clear('ok'); SELECT count(id) FROM ok.users; COMMIT");
	wait_until('idle connections to be closed', sub { return open_descriptors($pid) == $none });
	is($psql->query_safe($kept), '', "a session that rests closes both when they are idle, $round");
}
is($psql->query_safe("SELECT count(id) FROM ok.users; $kept"), "8\nredis t 1",
	'a warm cache takes a connection to Redis alone');
$psql->quit;

# ---- 100,000 users

# Runs a query in a session of its own; returns its answer.
sub measure_peak
{
	my ($what, $query) = @_;
	my $now = "SELECT memory('VmRSS'), memory('VmHWM'), probe_malloc_bytes()";
	my $warm_up = "SELECT count(*) FROM neon_auth.connections(); SELECT count(id) FROM ok.users";
	my @lines = split /\n/, $node->safe_psql('postgres', "$warm_up; $now; $now; $query; $now; $now",
		timeout => $PostgreSQL::Test::Utils::timeout_default);
	my ($answer, $before, $after) = ($lines[-3], map { [ split /\|/ ] } @lines[ -4, -1 ]);
	my $most = $after->[1] - $before->[0];

	cmp_ok($most, '<', MEGABYTES * 1024 * 1024, "$what takes little memory");
	cmp_ok($after->[2] - $before->[2], '<', $bounds{resident}, 'and gives it back');
	note(sprintf('%s: %.1f MiB at first, %.1f more at most, %.1f in the end', $what,
		map { $_ / 1024 / 1024 } $before->[0], $most, $after->[0] - $before->[0]));
	return $answer;
}

my $narrow = 'SELECT count(id) FROM large.users';
my $wide = 'SELECT count(raw_json) FROM large.users';

is(measure_peak('filling the cache with many users', $narrow), MANY_USERS, 'all of them come');
$large->reset_stats;
is(measure_peak('reading them from the cache', $narrow), MANY_USERS, 'all of them come');
is(measure_peak('reading them with raw_json', $wide), MANY_USERS, 'all of them come');
is($large->requests, 0, 'and nobody asked the provider');
is($node->safe_psql('postgres', 'SELECT sum(temp_files) FROM pg_stat_database'), 0, 'no temporary file was written');

$node->stop;
done_testing();
