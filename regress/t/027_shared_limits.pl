
# What spares the provider requests it would refuse: after status 429 nobody with
# the same credential asks until it is over, and max_requests_per_second is kept by
# all of them together.  Both are keys in Redis; here they are deleted by the test
# instead of waited for.  Without a Redis a session keeps both for itself.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run;
use NeonAuth::Redis;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $hour = 60 * 60 * 1000;
my $users = 12;
my $redis = start_redis('--notify-keyspace-events', 'K$x', qw(--slowlog-log-slower-than 0 --slowlog-max-len 100000));
my $sim = start_sim(users => $users);
my $node = new_node('limits', urls => [ $sim->url ]);
my $with_redis = ", redis_url '" . $redis->url . "', redis_timeout '1min'";

# Three pages: 5, 5 and 2 users.  All servers have the same credential.  A query that
# would have to wait for longer than scan_timeout gives up at once.
my $short = ", page_size '5', scan_timeout '20s', refresh_timeout '20s'";
my $long = ", page_size '5', scan_timeout '1h'";
add_server($node, $sim, options => "$with_redis$short, cache_ttl '0'");
add_server($node, $sim, name => 'patient', schema => 'patient', options => "$with_redis$long, cache_ttl '0'");
add_server($node, $sim, name => 'cached', schema => 'cached', options => "$with_redis$long, cache_ttl '1h'");
add_server($node, $sim, name => 'alone', schema => 'alone', options => $short);
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE guest;
GRANT USAGE ON FOREIGN SERVER clerk TO guest;
GRANT USAGE ON SCHEMA app TO guest;
GRANT SELECT ON app.users TO guest;
CREATE USER MAPPING FOR guest SERVER clerk OPTIONS (api_key 'sk_test_another');
SQL

# ---- Helpers

# Runs SQL in a session of its own; returns what psql prints, and its messages.
sub run_sql
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres') ],
		'<', \$sql, '>', \$out, '2>', \$err, IPC::Run::timeout($limit));
	chomp($out);
	return ($out, $err);
}

# What comes of SQL in a new session, in a line: what it prints, the SQLSTATEs of
# errors and warnings, and how many requests the provider got.
sub outcome
{
	my ($sql) = @_;

	$sim->reset_stats;
	my ($out, $err) = run_sql($sql);
	return join(', ', split(/\n/, $out), $err =~ /^((?:ERROR|WARNING):  \w{5})/mg, 'requests ' . $sim->requests);
}

# The provider has just said so to somebody; Redis keeps that for a minute.
sub silence
{
	$redis->ask('DEL', $redis->keys('*:b'), 'none');
	too_many(3600);
	run_sql('SELECT count(id) FROM app.users');
	return;
}

# It does this, in as many requests as there are pages; or it is kept from asking.
sub asks { my ($sql, $name) = @_; return is(outcome($sql), "$users, requests 3", $name); }

sub asks_not
{
	my ($sql, $name) = @_;

	silence();
	return is(outcome($sql), 'ERROR:  53400, requests 0', $name);
}

sub too_many { return $sim->fault({ status => 429, headers => { 'Retry-After' => "$_[0]" } }); }

# A statement in the background, once it waits; and its end, with what it printed.
sub begin_sql
{
	my ($name, $sql) = @_;
	my %session = (out => '', err => '');

	local $ENV{PGAPPNAME} = $name;
	$session{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $sql ],
		'<', \'', '>', \$session{out}, '2>', \$session{err}, IPC::Run::timeout($limit));
	wait_until("$name waits", sub {
		return 1 if !$session{run}->pumpable;    # it has ended, and its end will tell
		$session{run}->pump_nb;
		return (run_sql("SELECT count(*) FROM pg_stat_activity
			WHERE application_name = '$name' AND wait_event_type = 'Extension'"))[0];
	});
	return \%session;
}

sub finish
{
	my ($session) = @_;

	$session->{run}->finish;
	chomp($session->{out});
	return $session->{out} . $session->{err};
}

my $scan = 'SELECT count(id) FROM app.users';
my $cached = 'SELECT count(id) FROM cached.users';
my $patient = 'SELECT count(id) FROM patient.users';
my $alone = 'SELECT count(id) FROM alone.users';

# ---- Status 429

asks($scan, 'a scan');
is(join(' ', $redis->keys), '', 'of which Redis keeps nothing');
too_many(3600);
is(outcome($scan), 'ERROR:  53400, requests 1', 'the provider wants silence for an hour');
my ($silence) = $redis->keys('*:b');
like($silence // '', qr/^neon_auth:\{[0-9a-f]{32}\}:b$/, 'which stands in Redis');
my $left = $redis->ask('PTTL', $silence);
ok($left > 0 && $left <= 60_000, "for a minute at most: $left ms");
asks_not($scan, 'another session does not ask');

like((run_sql($scan))[1], qr/takes no more requests for now\nDETAIL:  .*too many requests\.\nHINT:  Try again later/,
	'the error says why, and what to do');
asks_not("SELECT count(id) FROM app.users WHERE id = 'x'", 'nor is it asked for one user');
asks_not("SET neon_auth_fdw.cache = off; $scan", 'with the cache off');
asks_not("SET neon_auth_fdw.cache = refill; $scan", 'or refilled');
asks_not("CALL neon_auth.refresh_users_sync('clerk')", 'nor by a refresh');
like(outcome("SELECT bool_and(verdict <> 'error') FROM neon_auth.check_server('clerk')"), qr/^t, requests 3$/,
	'only a check of the server does, which is about the provider alone');
is(outcome("SET ROLE guest; $scan"), 'ERROR:  28000, requests 1', 'another credential is not held back');
$redis->ask('DEL', $silence);
asks($scan, 'once it is over all ask again');
is((split /, /, outcome("CALL neon_auth.refresh_users_sync('clerk')"))[-1], 'requests 3', 'a refresh, too');

for my $after (1_000_000_000, '99999999999999999999')
{
	$redis->ask('FLUSHALL');
	too_many($after);
	run_sql($scan);
	$left = $redis->ask('PTTL', $silence);
	ok($left > 0 && $left <= 60_000, "Retry-After $after: silence for a minute at most: $left ms");
}


# a key that is not ours
$redis->ask('SET', $silence, '1', 'PX', $hour);
asks($scan, 'silence that somebody else invents is none');
silence();
my $value = $redis->ask('GET', $silence);
$redis->ask('SET', $silence, $value =~ s/\z/x/r, 'PX', $hour);
asks($scan, 'nor is one that was changed');
$redis->ask('FLUSHALL');
$redis->ask('RPUSH', $silence, '1');
like(outcome($scan), qr/^$users, .*requests 3$/, 'nor is something else');
$redis->ask('FLUSHALL');

# ---- A stale listing meanwhile

asks($cached, 'a listing is cached');
silence();
is(outcome($cached), "$users, requests 0", 'silence is none for what is cached');
run_sql("ALTER SERVER cached OPTIONS (SET cache_ttl '1ms')");
is(outcome($cached), "$users, WARNING:  01000, requests 0", 'what is stale is served instead of asking or waiting');
$redis->ask('DEL', $redis->keys('*:l'));
like((run_sql($cached))[1],
	qr/^WARNING:  01000: users of server "cached" are \d+ s old\nDETAIL:  .* takes no more requests/m,
	'... with a warning that says why');
$redis->ask('DEL', $silence, $redis->keys('*:l'));
too_many(3600);
is(outcome($cached), "$users, WARNING:  01000, requests 1", 'a 429 while stale users are there is no error');
ok($redis->ask('PTTL', $silence) > 0, '... but silence for all');
$redis->ask('DEL', $silence, $redis->keys('*:l'));
asks($cached, 'when it is over they are fresh again');

# ---- While it lasts Redis is left alone, too: a look now and then is all

sub waits_quietly
{
	my ($sql, $name, $meanwhile) = @_;

	$redis->ask('DEL', $redis->keys('*:[bl]'), 'none');
	too_many(3);
	my $waiting = begin_sql('quiet', $sql);
	$redis->reset_commands;
	$meanwhile->();
	is(finish($waiting), $users, $name);
	my %commands = $redis->commands;
	my $gets = $commands{get} // 0;
	return cmp_ok($gets, '<', 300, "... in few commands: $gets");
}

waits_quietly("SET neon_auth_fdw.cache = refill; $cached", 'a listing made anew waits for the end of the silence', sub { });
my ($complete) = $redis->keys('*:c');
waits_quietly("SET neon_auth_fdw.cache = refill; $cached", 'even if others have the lease', sub { $redis->ask('SET', $complete =~ s/c\z/l/r, '1', 'PX', 5000) });
$redis->ask('DEL', $redis->keys('*:[cn]'));
waits_quietly($cached, 'so does one whose Redis has lost what was said', sub { $redis->ask('DEL', $redis->keys('*:b'), 'none') });

# ---- What a session remembers by itself

too_many(3600);
is(outcome("$alone; $alone"), 'ERROR:  53400, ERROR:  53400, requests 1', 'without a Redis a session remembers');
asks($alone, 'which another one does not know');
too_many(3600);
is(outcome("$scan;\n\\! redis-cli -s " . $redis->socket . " FLUSHALL\n$scan;"),
	'OK, ERROR:  53400, ERROR:  53400, requests 1', 'with one it does, too, whatever becomes of that');
too_many(3600);
is(outcome("$alone; ALTER USER MAPPING FOR CURRENT_USER SERVER alone OPTIONS (SET api_key 'sk_test_x'); $alone"),
	"$users, ERROR:  53400, requests 4", 'another credential begins anew');

# ---- The pace

my $one = 'SELECT count(*) FROM (SELECT id FROM app.users LIMIT 1) t';
run_sql("ALTER SERVER clerk OPTIONS (ADD max_requests_per_second '1000')");
for my $row ([ 1, 1000 ], [ 3, 334 ], [ 7, 143 ], [ 999, 2 ], [ 1000, 1 ])
{
	my ($requests, $interval) = @$row;
	$redis->ask('FLUSHALL');
	$redis->ask('SLOWLOG', 'RESET');
	run_sql("ALTER SERVER clerk OPTIONS (SET max_requests_per_second '$requests'); $one");
	my @sets = map { join ' ', @{ $_->[3] } } grep { $_->[3][0] eq 'SET' } @{ $redis->ask('SLOWLOG', 'GET', '1000') };
	like("@sets", qr/^SET neon_auth:\{[0-9a-f]{32}\}:r 1 NX PX $interval$/, "$requests a second: one in $interval ms");
}
my $pace = $silence =~ s/b$/r/r;
run_sql("ALTER SERVER $_ OPTIONS (ADD max_requests_per_second '100')") for qw(patient cached);

# somebody has sent a request just now
$redis->ask('FLUSHALL');
run_sql("ALTER SERVER cached OPTIONS (SET cache_ttl '1h')");
asks($cached, 'a listing is cached');
$redis->ask('SET', $pace, '1', 'PX', 1000);
is(outcome($cached), "$users, requests 0", 'what is cached does not count');
run_sql("ALTER SERVER patient OPTIONS (SET max_requests_per_second '1', SET page_size '1')");
my $waiting = begin_sql('waiting', $patient);
run_sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'waiting'");
like(finish($waiting), qr/canceling statement due to user request/, 'a query that waits can be canceled');
run_sql("ALTER SERVER patient OPTIONS (SET max_requests_per_second '100')");

# longer than any, or without an end: none of ours
$redis->ask('SET', $pace, '1', 'PX', $hour);
asks($scan, 'a pace longer than any holds nobody');
$redis->ask('SET', $pace, '1');
asks($scan, 'nor does one without an end');

# two sessions at once: Redis tells of each time that the key is set, or ends
my $told = '';
my $listener = IPC::Run::start([ 'redis-cli', '-s', $redis->socket, 'PSUBSCRIBE', '__keyspace@0__:*:r', 'the end' ],
	'>', \$told, '2>&1', my $timer = IPC::Run::timeout($limit));
pump_until($listener, $timer, \$told, qr/the end/) or die 'no subscription';
$redis->ask('FLUSHALL');
$sim->reset_stats;
my $began = time();
my @both = map { begin_sql("scan$_", "$patient; $patient") } 1, 2;
is(join(' ', map { finish($_) } @both), "$users\n$users $users\n$users", 'two sessions at once have all rows');
my $requests = $sim->requests;
note(sprintf('%d requests at 100 a second took %.0f ms', $requests, (time() - $began) * 1000));
$redis->ask('PUBLISH', 'the end', 'of it');
pump_until($listener, $timer, \$told, qr/of it/) or die 'the subscription ended';
$listener->kill_kill;
my @events = $told =~ /^(set|expired)$/mg;
is(scalar(grep { $_ eq 'set' } @events), $requests, 'each request was let through by the key, and it alone');
unlike("@events", qr/set set/, 'never before its end');

# without a Redis: the second page would have to wait for longer than the query may take
run_sql("ALTER SERVER alone OPTIONS (SET scan_timeout '500ms', ADD max_requests_per_second '1')");
ok(wait_until('the second page', sub { return outcome($alone) eq 'ERROR:  53400, requests 1' }),
	'alone a session keeps the pace, too');
is(outcome('SELECT count(*) FROM (SELECT id FROM alone.users LIMIT 1) t'), '1, requests 1', 'which is its own');

# ---- A lease that nobody gives back, and that has no end either

run_sql("ALTER SERVER cached OPTIONS (SET scan_timeout '6s', DROP max_requests_per_second)");
$redis->ask('FLUSHALL');
$redis->ask('SLOWLOG', 'RESET');
asks($cached, 'a listing is cached');
my ($lease) = grep { /:l$/ } map { $_->[3][1] // '' } @{ $redis->ask('SLOWLOG', 'GET', '1000') };
$redis->ask('FLUSHALL');
$redis->ask('SET', $lease, '1');
asks($cached, 'who waits for another session leaves time for the provider');

$node->stop;
done_testing();
