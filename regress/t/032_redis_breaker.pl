
# A Redis that stays broken: when it is left alone, for how long, and what the session
# is told; refreshes in the meantime; and a wait for it that is ended from outside.
# What each fault does to one query is in 028_redis_faults.pl.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use NeonAuth::Redis;
use NeonAuth::RedisProxy;
use NeonAuth::Test;
use NeonAuth::Wire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $users = 25;
my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $sim = start_sim(users => $users);
my $redis = start_redis();
my $proxy = start_redis_proxy($redis);
my $node = new_node('main', urls => [ $sim->url ]);
my $id = $sim->user('index/7')->{id};

# A server of this name and schema, at a Redis with this address.
sub add_cached_server
{
	my ($name, $redis_url, $more) = @_;

	return add_server($node, $sim, name => $name, schema => $name,
		options => ", page_size '10', idle_timeout '5min', redis_url '$redis_url'$more");
}

# The first waits for Redis until the test's own end; both share what is cached.
add_server($node, $sim, name => 'alone', schema => 'alone', options => ", page_size '10'");
add_cached_server('patient', $proxy->url, ", redis_timeout '10min'");
add_cached_server('hasty', $proxy->url, ", redis_timeout '100ms'");

# Each answers with a count and a hash of all columns.
my $all = 'count(*), md5(string_agg(u::text, chr(10) ORDER BY id))';
sub listing { my ($server) = @_; return "SELECT $all FROM $server.users u"; }
sub lookup { my ($server, $key) = @_; return listing($server) . " WHERE id = '" . ($key // $id) . "'"; }

# ---- Sessions

sub start_session { return $node->background_psql('postgres', on_error_stop => 0); }

my $session = start_session();

# What a session answers, and what it is told besides.
sub run_sql
{
	my ($sql, $other) = @_;
	my $psql = $other // $session;

	$psql->{stderr} = '';
	my ($out) = $psql->query("$sql;");
	return ($out, $psql->{stderr});
}

sub new_session
{
	return run_sql("\\c\nSELECT");
}

sub count_warnings { my ($err) = @_; return scalar(() = $err =~ /WARNING:/g); }

# What a session has counted for this server, as a hash.
sub counters
{
	my ($server, $other) = @_;
	my @names = qw(hits corrupt faults skipped);
	my $sql = 'SELECT ' . join(', ', @names) . " FROM neon_auth.cache_stats() WHERE server = '$server'";
	my ($line) = run_sql($sql, $other);
	my %counters;

	@counters{@names} = split /\|/, $line;
	return \%counters;
}

my ($truth) = run_sql(listing('alone'));
my ($one) = run_sql(lookup('alone'));
like("$truth\n$one", qr/^$users\|\w{32}\n1\|\w{32}$/, 'the answers of the provider');

# Runs both queries and checks their answers; returns the number of WARNINGs.
sub check_answers
{
	my ($title, $server, $other) = @_;
	my ($out, $err) = run_sql(lookup($server) . '; ' . listing($server), $other);

	is($out, "$one\n$truth", "$title: right answers");
	unlike($err, qr/ERROR|FATAL/, 'and no error');
	return count_warnings($err);
}

# ---- A Redis that says nothing, for as long as it likes

# Each of these says nothing, or no end of it, until its client is gone.
my $never = start_wire(['stall']);
my $drip = start_wire([ 'command', 1 ], [ 'drip', '$9999' . '0' x 10_000, 0.05 ]);
my $flood = start_wire([ 'command', 1 ], [ 'flood', '$' ]);
my $hole = start_black_hole();
my @endless = ([ hole => $hole ], [ never => $never ], [ drip => $drip ], [ flood => $flood ]);

for my $endless (@endless)
{
	my ($name, $wire) = @$endless;

	add_cached_server($name, $wire->url =~ s/^http/redis/r, '');
	new_session();
	run_sql(listing('alone'));
	my ($out, $err);
	my @took = map {
		my $begin = time();
		($out, $err) = run_sql(listing($_));
		1000 * (time() - $begin)
	} ('alone', $name);
	note(sprintf('%s: %.0f ms, %.0f ms without a Redis', $name, reverse @took));
	is($out, $truth, "F28: a Redis without end, $name");
	is(count_warnings($err), 1, 'one WARNING');
	is(counters($name)->{faults}, 1, 'and one wait in a statement');
	check_answers('the next statements', $name) for 1 .. 2;
	is(counters($name)->{faults}, 3, 'three waits in a session');
}

# ---- A reply that comes too late

# It must not answer the next question, which would go out before it comes.
my @ids = map { $sim->user("index/$_")->{id} } 7, 8;
my @looked_up = map { (run_sql(lookup('alone', $_)))[0] } @ids;
for (1 .. 3)
{
	new_session();
	run_sql(join('; ', map { lookup('patient', $_) } @ids));
	$proxy->fault({ command => 'GET', do => 'delay', pause => 0.15, times => 1 });
	my ($out) = run_sql(join('; ', map { lookup('hasty', $_) } @ids, @ids));
	is($out, join("\n", @looked_up, @looked_up), 'F28: each query gets its own answer after one that came too late');
	is(counters('hasty')->{corrupt}, 0, 'and its own reply from Redis');
	$proxy->clear;
}

# ---- Replies that come late, each of them

add_cached_server('late', $proxy->url, ", redis_timeout '2s'");
new_session();
run_sql(lookup('late'));
$proxy->fault({ do => 'delay', pause => 0.6 });
{
	my ($told, @wrong) = ('');

	for (1 .. 12)
	{
		my ($out, $err) = run_sql(lookup('late'));

		push @wrong, $out if $out ne $looked_up[0];
		$told .= $err;
	}
	is("@wrong", '', 'F28: a Redis that is slow time and again, right answers');
	like($told, qr/WARNING:.*answer in time.*its answers take too long to be of use/s, 'it is as good as none');
	is(count_warnings($told), 1, 'which is told once');
}
$proxy->clear;

# ---- An AUTH that is refused in words of its own

# A Redis of before 6 knows no users.
add_cached_server('keyed', $proxy->url, '');
$node->safe_psql('postgres', q(ALTER USER MAPPING FOR CURRENT_USER SERVER keyed OPTIONS (ADD redis_user 'me', ADD redis_password 'secret')));
$proxy->fault({ command => 'AUTH', do => 'error', text => q(-ERR wrong number of arguments for 'auth' command) });
new_session();
{
	my ($out, $err) = run_sql(lookup('keyed'));

	is($out, $looked_up[0], 'F31: a Redis that does not know users, a right answer');
	like($err, qr/WARNING:.*did not accept user and password/s, 'it says what was refused');
}
$proxy->clear;

# ---- The breaker

# How each begins, faults until Redis is left alone, and WARNINGs.
my @broken = (
	[ 'F27: nobody listens', { connect => 'refuse' }, 3, 1 ],
	[ 'F27: accepted and closed', { connect => 'close' }, 3, 1 ],
	[ 'F27: closed', { do => 'close' }, 3, 1 ],
	[ 'F28: nothing comes', { do => 'stall' }, 3, 1 ],
	[ 'F29: LOADING', { do => 'error', text => '-LOADING Redis is loading the dataset in memory' }, 3, 0 ],
	[ 'F29: BUSY', { do => 'error', text => '-BUSY Redis is busy running a script.' }, 3, 0 ],
	[ 'F29: MASTERDOWN', { do => 'error', text => '-MASTERDOWN Link with MASTER is down' }, 3, 0 ],
	[ 'F29: CLUSTERDOWN', { do => 'error', text => '-CLUSTERDOWN The cluster is down' }, 3, 0 ],
	[ 'F29: TRYAGAIN', { do => 'error', text => '-TRYAGAIN Multiple keys request' }, 3, 0 ],
	[ 'F31: NOAUTH', { do => 'error', text => '-NOAUTH Authentication required.' }, 1, 1 ],
	[ 'F31: WRONGPASS', { do => 'error', text => '-WRONGPASS invalid username-password pair' }, 1, 1 ],
	[ 'F31: NOPERM', { do => 'error', text => '-NOPERM this user has no permissions' }, 1, 1 ],
	[ 'F31: no password set', { do => 'error', text => '-ERR AUTH <password> called without any password' }, 1, 1 ],
	[ 'F32: MOVED', { do => 'error', text => '-MOVED 3999 127.0.0.1:6381' }, 1, 1 ],
	[ 'F32: ASK', { do => 'error', text => '-ASK 3999 127.0.0.1:6381' }, 1, 1 ],
	[ 'F32: CROSSSLOT', { do => 'error', text => "-CROSSSLOT Keys in request don't hash to the same slot" }, 1, 1 ],
	[ 'F33: an unknown command', { do => 'error', text => "-ERR unknown command 'GET'" }, 1, 1 ],
	[ 'F33: garbage', { do => 'garbage' }, 3, 1 ],
	[ 'F33: HTTP', { do => 'reply', bytes => "HTTP/1.1 400 Bad Request\r\n\r\n" }, 3, 1 ]);

# Has a session find out that Redis is to be left alone, which it has when no query
# finds another fault; returns the number of WARNINGs.
sub open_breaker
{
	my ($title, $server, $other) = @_;
	my ($faults, $warnings) = (-1, 0);

	for (1 .. 10)
	{
		$warnings += check_answers($title, $server, $other);
		my $now = counters($server, $other)->{faults};
		last if $now == $faults;
		$faults = $now;
	}
	return $warnings;
}

sub heal
{
	$proxy->clear;
	$redis->ask('DEL', $_) for $redis->keys('*:l');
	return;
}

for my $case (@broken)
{
	my ($title, $fault, $faults, $warnings) = @$case;
	my $server = $title =~ /nothing comes/ ? 'hasty' : 'patient';

	new_session();
	$redis->ask('FLUSHALL');
	$proxy->fault($fault);
	is(open_breaker($title, $server), $warnings, 'WARNINGs');
	is(counters($server)->{faults}, $faults, "$faults faults");
	my $skipped = counters($server)->{skipped};
	$proxy->reset;
	is(check_answers('left alone', $server) + check_answers('left alone', $server), 0, 'nothing more is told');
	is_deeply([ $proxy->accepted, [ $proxy->seen ] ], [ 0, [] ], 'no connection and no command any more');
	cmp_ok(counters($server)->{skipped}, '>=', $skipped + 4, 'each query is counted as one without Redis');
	is(counters($server)->{faults}, $faults, 'and there is no other fault');
	heal();
	$proxy->reset;
	check_answers('still', $server);
	is($proxy->accepted, 0, 'it is left alone though it is well again');

	# options may have mended it
	run_sql("ALTER SERVER $server OPTIONS (SET redis_timeout '10min')");
	is(check_answers('after ALTER SERVER', $server) + check_answers('and again', $server), 0, 'nothing is told');
	is($proxy->accepted, 1, 'it is asked again after ALTER SERVER');
	is(counters($server)->{hits}, 2, 'and used');
	run_sql("ALTER SERVER $server OPTIONS (SET redis_timeout '100ms')") if $server eq 'hasty';
}

new_session();
open_breaker('before a change of the mapping', 'patient');
heal();
run_sql(q(ALTER USER MAPPING FOR CURRENT_USER SERVER patient OPTIONS (SET api_key 'sk_test_x')));
$proxy->reset;
check_answers('after ALTER USER MAPPING', 'patient');
is($proxy->accepted, 1, 'it is asked again after ALTER USER MAPPING');

# ---- A Redis that takes no writes

# Has it refuse whatever changes anything.
sub refuse_writes
{
	my ($text) = @_;

	$proxy->fault({ command => $_, do => 'error', text => $text }) for qw(SET HSET HSETNX PEXPIRE DEL);
	return;
}

for my $text ('-READONLY a replica', '-OOM too much memory', '-MISCONF it cannot save', '-NOREPLICAS too few')
{
	my ($code) = $text =~ /^-(\w+)/;

	new_session();
	$redis->ask('FLUSHALL');
	run_sql(listing('patient'));
	refuse_writes($text);
	is(check_answers("F30: $code", 'patient'), 1, 'one WARNING for the look-up that is not cached');
	is(counters('patient')->{hits}, 1, 'the listing comes from Redis');
	$proxy->reset;
	is(check_answers('then', 'patient') + check_answers('then', 'patient'), 0, 'nothing more is told');
	is_deeply([ sort map { $_->[0] } $proxy->seen ], [ sort((qw(GET HMGET GET GET GET HMGET HMGET)) x 2) ],
		'it is only read from');
	is_deeply([ @{ counters('patient') }{qw(hits skipped)} ], [ 3, 0 ], 'and of use');
	heal();
	run_sql("ALTER SERVER patient OPTIONS (SET idle_timeout '5min')");
	check_answers('written again', 'patient');
	is(scalar(grep { $_ =~ /:e$/ } $redis->keys), 1, 'an epoch');
	$proxy->reset;
	check_answers('and of use', 'patient');
	is(counters('patient')->{hits}, 6, 'it is written to again after ALTER SERVER');
}

# ---- What a session is told

# An episode of several faults is told once, the next one again.
new_session();
$redis->ask('FLUSHALL');
my $told = 0;
for my $fault ({ do => 'close' }, { do => 'error', text => '-LOADING' }, { do => 'garbage' }, { connect => 'refuse' })
{
	$proxy->fault($fault);
	$told += check_answers('an episode', 'patient') for 1 .. 3;
	$proxy->clear;
}
is($told, 1, 'many faults of an episode are told once');
run_sql("ALTER SERVER patient OPTIONS (SET idle_timeout '5min')");
$proxy->fault({ do => 'close' });
$told = 0;
$told += check_answers('another episode', 'patient') for 1 .. 3;
is($told, 1, 'another episode is told again');
heal();

# Redis fails now and then, and works in between.
new_session();
$proxy->fault({ command => 'GET', key => ':b$', after => 1, do => 'close' });
$told = 0;
for (1 .. 5)
{
	$redis->ask('FLUSHALL');
	$told += check_answers('now and then', 'patient');
}
is($told, 1, 'faults with good replies between them are told once, too');
heal();

# ---- Refreshes

# From here on no option changes, so that time can pass for these two sessions, to whom
# we come back.
my ($broken, $well) = map { start_session() } 1 .. 2;
$proxy->fault({ connect => 'close' });
open_breaker('a session to be looked at later', 'patient', $_) for $broken, $well;
heal();

run_sql("CALL neon_auth.refresh_users_sync('patient')");
my $changes = 0;
for my $case (@broken, [ 'F30: READONLY', undef, undef, 1 ])
{
	my ($title, $fault) = @$case;
	my $server = $title =~ /nothing comes/ ? 'hasty' : 'patient';
	my $target = "target => '$server.users_sync', mode => 'full'";

	new_session();
	run_sql("CALL neon_auth.refresh_users_sync('$server', $target)");
	$sim->update('index/3', { name => 'Name ' . ++$changes });
	$fault ? $proxy->fault($fault) : refuse_writes('-READONLY a replica');
	my ($out, $err) = run_sql("CALL neon_auth.refresh_users_sync('$server', $target)");
	heal();
	like($out, qr/^ok\|0\|1\|24\|0\|0\|0\|/, "$title: a refresh does all its work");
	unlike($err, qr/ERROR|FATAL/, 'without an error');
	cmp_ok(count_warnings($err), '<=', 1, 'with one WARNING at most');
	my ($name) = run_sql("SELECT name FROM $server.users_sync WHERE id = '" . $sim->user('index/3')->{id} . "'");
	is($name, "Name $changes", 'it has written');
}
($truth) = run_sql(listing('alone'));

# ---- A wait for Redis that is ended from outside

# What a query waits for, on a cold or a warm cache.
my @waits = (
	[ 'GET', 0, { command => 'GET', do => 'stall' } ],
	[ 'GET of a hit', 1, { command => 'GET', do => 'half' } ],
	[ 'HMGET', 1, { command => 'HMGET', do => 'stall' } ],
	[ 'half of HMGET', 1, { command => 'HMGET', do => 'half' } ],
	[ 'the lease', 0, { command => 'SET', key => ':l$', do => 'stall', pass => 1 } ],
	[ 'the silence', 0, { command => 'GET', key => ':b$', after => 1, do => 'stall' } ],
	[ 'EXEC', 0, { command => 'EXEC', do => 'stall' } ],
	[ 'EXEC that is done', 0, { command => 'EXEC', do => 'stall', pass => 1 } ],
	[ 'drip of EXEC', 0, { command => 'EXEC', do => 'drip', pause => 3600 } ]);

# What ends it; how the message begins; whether the session goes on.
my @causes = (
	[ 'pg_cancel_backend', 'ERROR:  57014: canceling statement due to user request', 1 ],
	[ 'pg_terminate_backend', 'FATAL:  57P01: terminating connection due to administrator command', 0 ],
	[ 'statement_timeout', 'ERROR:  57014: canceling statement due to statement timeout', 1 ]);

my $scripts = 0;

# Starts a session that is to be ended in its first query.  What it says is in a file,
# so that nobody needs to listen.
sub start_script
{
	my ($timeout) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/script' . ++$scripts;
	my @queries = (listing('patient'), 'SET statement_timeout = 0', lookup('patient'), listing('patient'));

	append_to_file("$file.sql", join('', map { "$_;\n" } @queries));
	return {
		file => $file,
		run => IPC::Run::start(
			[ qw(psql -XAtq -v VERBOSITY=verbose -f), "$file.sql", '-d',
				$node->connstr('postgres') . " application_name='waits' options='-c statement_timeout=$timeout'" ],
			'<', '/dev/null', '>', $file, '2>&1', IPC::Run::timeout($limit))
	};
}

# Brings a query into the wait and ends it; returns what psql printed.
sub interrupt
{
	my ($wait, $cause, $timeout) = @_;
	my ($what, $warm, $fault) = @$wait;

	$redis->ask('FLUSHALL');
	run_sql("\\c\n" . ($warm ? listing('patient') : 'SELECT'));
	my $number = $proxy->fault({ %$fault, times => 1 });
	my $script = start_script($timeout);

	if ($timeout)
	{
		wait_until('the time-out', sub { return -s $script->{file} });
	}
	else
	{
		$proxy->wait_waiting(1);
	}
	my $fired = $proxy->fired($number);
	heal();
	run_sql("SELECT $cause->[0](pid) FROM pg_stat_activity WHERE application_name = 'waits'") unless $timeout;
	$script->{run}->finish;
	return $fired ? slurp_file($script->{file}) : undef;
}

for my $cause (@causes)
{
	my ($name, $message, $goes_on) = @$cause;
	my $rest = $goes_on ? "$one\n$truth\n" : '';

	for my $wait (@waits)
	{
		# its clock runs while the query gets there
		my $out;
		for my $timeout ($name eq 'statement_timeout' ? (300, 3000, 30_000) : 0)
		{
			$out //= interrupt($wait, $cause, $timeout);
		}
		like($out, qr/\A\S+ $message\n(LOCATION:.*\n)?\Q$rest\E/, "$name in a wait for $wait->[0], and what follows");
		unlike($out, qr/WARNING/, 'without a WARNING');
		wait_until('the end of the connection', sub { return $proxy->waiting == 0 });
		is(check_answers('later', 'patient'), 0, 'nor is there one later');
	}
}

# ---- Redis is tried again by itself, after 10 to 15 seconds

# Whether the session's queries have asked Redis again, once or more.
sub has_tried
{
	my ($other, $counter, $number) = @_;

	my ($out) = run_sql(listing('patient'), $other);
	die "answered $out" if $out ne $truth;
	return counters('patient', $other)->{$counter} >= $number;
}

$proxy->fault({ connect => 'close' });
wait_until('another attempt', sub { return has_tried($broken, 'faults', 4); });
is(check_answers('tried in vain', 'patient', $broken), 0, 'nothing is told again');
is(counters('patient', $broken)->{faults}, 4, 'one fault is enough to leave it alone again');

heal();
wait_until('another attempt', sub { return has_tried($well, 'hits', 1); });
is(counters('patient', $well)->{faults}, 3, 'a Redis that is well again is used again');

$_->quit for $session, $broken, $well;
$node->stop;
done_testing();
