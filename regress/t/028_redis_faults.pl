
# Each fault of a Redis at each command that a query sends there: the query answers
# with all users of the directory, without an error and with one WARNING at most;
# the session goes on, and once Redis is well nothing is left of it.  F27 and so on
# are the kinds of faults: down (27), slow (28), busy (29), without writes (30),
# locked (31), a node of a cluster (32), not a Redis at all (33), and restarted or
# emptied (36).  032_redis_breaker.pl has more faults than one in a row.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Redis;
use NeonAuth::RedisProxy;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 25;
my $sim = start_sim(users => $users);
my $redis = start_redis();
my $proxy = start_redis_proxy($redis);
my $node = new_node('main', urls => [ $sim->url ]);

# They share what is cached.  The patient ones wait for Redis until the test's own
# end, so that whatever they get over is seen at once; hasty ones wait out what has
# no end.  For stale ones no listing is fresh.
my %patience = (patient => '10min', hasty => '100ms');
my %freshness = ('' => '60s', _stale => '1ms');
my @servers;

for my $patience (sort keys %patience)
{
	for my $stale (sort keys %freshness)
	{
		my $name = "$patience$stale";

		push @servers, $name;
		add_server($node, $sim, name => $name, schema => $name,
			options => ", page_size '10', idle_timeout '5min', redis_url '@{[ $proxy->url ]}',
				redis_timeout '$patience{$patience}', cache_ttl '$freshness{$stale}'");
	}
}

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $id = $sim->user('index/7')->{id};
my $columns = 'id, name, email, created_at, updated_at';

# Three pages; the same without raw_json; a user.
my %queries = (
	listing => 'SELECT count(*), md5(string_agg(u::text, chr(10) ORDER BY id)) FROM SCHEMA.users u',
	narrow => "SELECT count(*), md5(string_agg(($columns)::text, chr(10) ORDER BY id)) FROM SCHEMA.users",
	lookup => "SELECT count(*), md5(string_agg(u::text, chr(10))) FROM SCHEMA.users u WHERE id = '$id'");

# ---- Helpers

# What the session answers, and what it is told besides.
sub run_sql
{
	my ($sql) = @_;

	$session->{stderr} = '';
	my ($out) = $session->query("$sql;");
	return ($out, $session->{stderr});
}

sub query
{
	my ($server, $name) = @_;

	return $queries{$name} =~ s/SCHEMA/$server/r;
}

# Has the session forget what it knows of Redis, as a new one would.
my $forget = join('; ', map { "ALTER SERVER $_ OPTIONS (SET idle_timeout '5min')" } @servers);

my %truth;
for my $name (sort keys %queries)
{
	($truth{$name}) = run_sql('SET neon_auth_fdw.cache = off; ' . query('patient', $name));
	like($truth{$name}, qr/^(25|1)\|[0-9a-f]{32}$/, "the provider's answer, $name");
}
run_sql('RESET neon_auth_fdw.cache');

# What is wrong with what the session says to SQL that ends with this query, as often as
# told: nothing, and perhaps so many WARNINGs in all.
sub judge
{
	my ($sql, $name, $times, $warnings) = @_;
	my ($out, $err) = run_sql("$sql; SELECT 'usable'");
	my $told = () = $err =~ /WARNING:/g;
	my @wrong;

	push @wrong, "answered $out" if $out ne "$truth{$name}\n" x $times . 'usable';
	push @wrong, "told $told WARNINGs" if $told > $warnings;
	push @wrong, "said $err" if @wrong || $err =~ /ERROR|FATAL|NOTICE/;
	return @wrong;
}

# Puts into Redis what a query will find there: all if it is warm.
sub prepare
{
	my ($warm, $name) = @_;

	$redis->ask('FLUSHALL');
	run_sql($forget . ($warm ? '; ' . query('patient', $name) : ''));
	return;
}

# What is wrong with this query when Redis is well again, later: leases that nobody
# gave back have run out.
sub judge_recovery
{
	my ($name) = @_;
	my $query = query('patient', $name);

	$proxy->clear;
	$redis->ask('DEL', $_) for $redis->keys('*:l');
	return map { "then $_" } judge("$forget; $query; $query", $name, 2, 0);
}

# ---- The commands

# Where a fault hits: a query on a cold or a warm cache, or one with stale users;
# what the command is for; and how the proxy knows it.
my @places = (
	[ 'cold listing', 'the first GET', command => 'GET' ],
	[ 'cold listing', 'SET of the lease', command => 'SET', key => ':l$' ],
	[ 'cold listing', 'SET of the epoch', command => 'SET', key => ':e$' ],
	[ 'cold listing', 'GET under the lease', command => 'GET', after => 4 ],
	[ 'cold listing', 'GET of the silence for page 1', command => 'GET', key => ':b$', after => 1 ],
	[ 'cold listing', 'MULTI', command => 'MULTI' ],
	[ 'cold listing', 'HSETNX of page 1', command => 'HSETNX' ],
	[ 'cold listing', 'EXEC of page 1', command => 'EXEC' ],
	[ 'cold listing', 'SET of the lease of page 2', command => 'SET', key => ':l$', after => 1 ],
	[ 'cold listing', 'HLEN of page 2', command => 'HLEN', after => 1 ],
	[ 'cold listing', 'PTTL of page 2', command => 'PTTL' ],
	[ 'cold listing', 'EXEC of page 2', command => 'EXEC', after => 1 ],
	[ 'cold listing', 'PEXPIRE of the last page', command => 'PEXPIRE', after => 2 ],
	[ 'cold listing', 'DEL of the last head', command => 'DEL', key => ':n$' ],
	[ 'cold listing', 'EXEC of the last page', command => 'EXEC', after => 2 ],
	[ 'warm listing', 'GET', command => 'GET' ],
	[ 'warm listing', 'HMGET of page 1', command => 'HMGET' ],
	[ 'warm listing', 'HMGET of later pages', command => 'HMGET', after => 1 ],
	[ 'stale listing', 'SET of the lease', command => 'SET', key => ':l$' ],
	[ 'stale listing', 'EXEC of the last page', command => 'EXEC', after => 2 ],
	[ 'cold narrow', 'DEL of the lease', command => 'DEL', key => ':l$' ],
	[ 'warm narrow', 'HMGET of page 1', command => 'HMGET' ],
	[ 'warm narrow', 'HMGET of later pages', command => 'HMGET', after => 1 ],
	[ 'cold lookup', 'the first GET', command => 'GET' ],
	[ 'cold lookup', 'HMGET under the lease', command => 'HMGET', after => 1 ],
	[ 'cold lookup', 'GET of the silence', command => 'GET', key => ':b$', after => 1 ],
	[ 'cold lookup', 'HSET', command => 'HSET' ],
	[ 'cold lookup', 'EXEC', command => 'EXEC' ],
	[ 'warm lookup', 'HMGET', command => 'HMGET' ]);

# Some of them, one for each kind of exchange.
my %is_chosen = map { $_ => 1 } 'cold listing, the first GET', 'cold listing, PTTL of page 2',
  'cold listing, EXEC of page 1', 'warm listing, HMGET of page 1', 'cold lookup, EXEC';
my @chosen = grep { $is_chosen{"$_->[0], $_->[1]"} } @places;

# Does a fault at a place and checks all that follows.  how: warnings (1), at most;
# server (patient).
sub check_fault
{
	my ($title, $place, $fault, %how) = @_;
	my ($case, $command, %where) = @$place;
	my ($state, $name) = split / /, $case;
	my $server = ($how{server} // 'patient') . ($state eq 'stale' ? '_stale' : '');
	my ($fired, @wrong) = (0);

	# a hasty one may have had no patience with a busy machine, before it got there
	for (my $attempts = $how{server} ? 20 : 1; $attempts > 0 && !$fired && !@wrong; $attempts--)
	{
		prepare($state ne 'cold', $name);
		my $number = $proxy->fault({ %where, %$fault });
		push @wrong, judge(query($server, $name), $name, 1, $how{warnings} // 1);
		$fired = $proxy->fired($number);
		push @wrong, judge_recovery($name);
	}
	push @wrong, 'did not meet the fault' unless $fired;
	return is(join("\n", @wrong), '', "$title at $command, $case");
}

# ---- It is not there, or goes away

for my $name (sort keys %queries)
{
	for my $fault ([ 'refuse', 'refused' ], [ 'close', 'accepted and closed' ])
	{
		prepare(0, $name);
		$proxy->fault({ connect => $fault->[0] });
		my @wrong = judge(query('patient', $name), $name, 1, 1);
		is(join("\n", @wrong, judge_recovery($name)), '', "F27: $fault->[1], $name");
	}
}
for my $place (@places)
{
	check_fault('F27: the connection is closed', $place, { do => 'close' });
	check_fault('F27: closed within the reply', $place, { do => 'half_close' });
}
for my $place (@chosen)
{
	check_fault('F27: closed, once', $place, { do => 'close', times => 1 });
	check_fault('F27: closed after it was done', $place, { do => 'close', pass => 1 });
}

# ---- It is slow

for my $place (@places)
{
	check_fault('F28: nothing comes', $place, { do => 'stall' }, server => 'hasty');
}
for my $place (@chosen)
{
	check_fault('F28: half a reply comes', $place, { do => 'half' }, server => 'hasty');
	check_fault('F28: nothing comes, but it was done', $place, { do => 'stall', pass => 1 }, server => 'hasty');
	check_fault('F28: the reply drips', $place, { do => 'drip', pause => 0.06 }, server => 'hasty');
	check_fault('F28: half a large reply comes', $place, { do => 'reply', bytes => "\$2000000\r\nhalf" },
		server => 'hasty');
}

# ---- It says no

# The row, how many WARNINGs there may be, and replies; the first one is tried everywhere.
my @refusals = (
	[
		'F29', 0,
		'LOADING Redis is loading the dataset in memory',
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
		'CLUSTERDOWN The cluster is down',
		'TRYAGAIN Multiple keys request during rehashing of slot',
		'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.'
	],
	[
		'F30', 1,
		"READONLY You can't write against a read only replica.",
		'NOREPLICAS Not enough good replicas to write.',
		'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk.',
		"OOM command not allowed when used memory > 'maxmemory'."
	],
	[
		'F31', 1,
		"NOPERM User neon_auth has no permissions to run the command",
		'NOAUTH Authentication required.',
		'WRONGPASS invalid username-password pair or user is disabled.',
		'ERR AUTH <password> called without any password configured for the default user.'
	],
	[
		'F32', 1,
		'MOVED 3999 127.0.0.1:6381',
		'ASK 3999 127.0.0.1:6381',
		"CROSSSLOT Keys in request don't hash to the same slot"
	],
	[
		'F33', 1,
		'WRONGTYPE Operation against a key holding the wrong kind of value',
		"ERR unknown command 'HSETNX', with args beginning with: ",
		'',
		"ERR \x00\xff\x1b[2J\t" . 'x' x 3000
	]);

for my $row (@refusals)
{
	my ($title, $warnings, @texts) = @$row;

	for my $text (@texts)
	{
		my ($code) = $text =~ /^(ERR \w+|\w*)/;

		for my $place ($text eq $texts[0] ? @places : @chosen)
		{
			check_fault("$title: " . ($code || 'an empty error'), $place, { do => 'error', text => "-$text" },
				warnings => $warnings);
		}
	}
}

# ---- It says what makes no sense

# Some are right for some commands, where they lie: that once, then all goes on.  The
# first four are tried everywhere.
my @replies = (
	[ 'a status', "+HELLO\r\n" ],
	[ 'a number', ":1\r\n" ],
	[ 'nil', "\$-1\r\n" ],
	[ 'an array of numbers', "*2\r\n:1\r\n:2\r\n" ],
	[ 'a long status', '+' . 'x' x 5000 . "\r\n" ],
	[ 'a text', "\$5\r\nhello\r\n" ],
	[ 'a nil array', "*-1\r\n" ],
	[ 'an empty array', "*0\r\n" ],
	[ 'an array of an array', "*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n" ],
	[ 'the head of a huge array', "*2000000000\r\n" ],
	[ 'the head of a larger one', "*99999999999999999999\r\n" ],
	[ 'a number that is none', ":1a\r\n" ],
	[ 'a length that is none', "\$-7\r\n" ],
	[ 'two replies', "+OK\r\n+OK\r\n" ],
	[ 'a push of RESP3', ">2\r\n+invalidate\r\n*0\r\n" ],
	[ 'a map of RESP3', "%1\r\n+key\r\n:1\r\n" ],
	[ 'a null of RESP3', "_\r\n" ],
	[ 'an attribute of RESP3', "|1\r\n+key\r\n:1\r\n+OK\r\n" ],
	[ 'HTTP', "HTTP/1.1 400 Bad Request\r\n\r\n" ]);

for my $place (@places)
{
	check_fault("F33: $_->[0]", $place, { do => 'reply', bytes => $_->[1], times => 1 }) for @replies[ 0 .. 3 ];
}
for my $place (@chosen)
{
	check_fault('F33: garbage', $place, { do => 'garbage' });
	check_fault("F33: $_->[0]", $place, { do => 'reply', bytes => $_->[1], times => 1 }) for @replies[ 4 .. $#replies ];
}

# ---- It is emptied, or loses a key, at each command

for my $case ('cold listing', 'warm listing', 'stale listing', 'cold lookup', 'warm lookup')
{
	my ($state, $name) = split / /, $case;

	prepare($state ne 'cold', $name);
	$proxy->reset;
	run_sql(query($state eq 'stale' ? 'patient_stale' : 'patient', $name));
	my @seen = $proxy->seen;
	for my $number (0 .. $#seen)
	{
		my $command = ($number + 1) . ", $seen[$number][0]";
		my %once = (do => 'call', times => 1);

		for my $when ('before', 'after')
		{
			check_fault("F36: emptied $when", [ $case, $command, after => $number ],
				{ %once, commands => [ ['FLUSHALL'] ], when => $when }, warnings => 0);
		}
		next if @{ $seen[$number] } == 1;
		my $earlier = grep { @$_ > 1 } @seen[ 0 .. $number - 1 ];
		check_fault('F36: its key is evicted', [ $case, $command, key => '.', after => $earlier ],
			{ %once, commands => [ [ 'DEL', 'KEY' ] ] }, warnings => 0);
	}
}

# ---- What happens to it in the middle of a listing

my ($rows) = run_sql('SET neon_auth_fdw.cache = off; SELECT u FROM patient.users u; RESET neon_auth_fdw.cache');
my @lines = sort split /\n/, $rows;

sub counters
{
	my ($stats) = run_sql(<<'SQL');
SELECT hits, misses, lost, corrupt, faults FROM neon_auth.cache_stats() WHERE server = 'patient'
SQL

	return split /\|/, $stats;
}

# The keys of a listing: its head, and its pages.
sub keys_of_head { return grep { /:[cn]$/ } $redis->keys; }
sub keys_of_pages { return grep { $redis->ask('TYPE', $_) eq 'hash' } $redis->keys; }

# What happens after a page was read; whether the rest is read from Redis, too, if the
# cache is warm; how many WARNINGs there may be; what ends it.
my @events = (
	[ 'nothing', sub { }, 1, 0 ],
	[ 'a restart with all data', sub { $redis->stop(keep => 1); $redis->start }, 1, 0 ],
	[ 'a restart without data', sub { $redis->stop; $redis->start }, 0, 0 ],
	[ 'its end', sub { $redis->stop(keep => 1) }, 0, 1, sub { $redis->start } ],
	[ 'FLUSHALL', sub { $redis->ask('FLUSHALL') }, 0, 0 ],
	[ 'another epoch', sub { $redis->ask('SET', grep({ /:e$/ } $redis->keys), '0123456789abcdef' x 2) }, 1, 0 ],
	[ 'the end of the head', sub { $redis->ask('DEL', keys_of_head()) }, 1, 0 ],
	[ 'the end of the pages', sub { $redis->ask('DEL', keys_of_pages()) }, 0, 0 ],
	[ 'the end of a page', sub { $redis->ask('HDEL', keys_of_pages(), '1') }, 0, 0 ],
	[ 'another name of the pages', sub { $redis->ask('RENAME', keys_of_pages(), 'elsewhere') }, 0, 0 ],
	[ 'pages of another type', sub { $redis->ask('SET', keys_of_pages(), 'x') }, 0, 1,
		sub { $redis->ask('FLUSHALL') } ],
	[ 'a closed connection', sub { $proxy->disconnect }, 1, 0 ]);

for my $event (@events)
{
	my ($what, $act, $goes_on, $warnings, $end) = @$event;

	for my $warm (0, 1)
	{
		my $title = "F36: $what in the middle of a " . ($warm ? 'warm' : 'cold') . ' listing';

		prepare($warm, 'listing');
		my @before = counters();
		my ($first) = run_sql("BEGIN; DECLARE c CURSOR FOR SELECT u FROM patient.users u; FETCH 5 FROM c");
		$sim->reset_stats;
		$act->();
		my ($rest, $err) = run_sql('FETCH ALL FROM c; COMMIT');
		$end->() if $end;
		my @after = counters();

		is_deeply([ sort split /\n/, "$first\n$rest" ], \@lines, "$title: all users, each once");
		cmp_ok(scalar(() = $err =~ /WARNING/g), '<=', $warnings, 'not too many WARNINGs');
		unlike($err, qr/ERROR|FATAL|NOTICE/, 'no error');
		is($sim->requests, $warm && $goes_on ? 0 : 2, 'requests for two pages, unless they came from Redis');
		is($after[4] - $before[4] > 0, $warnings > 0, 'a fault is one') if $warm;
		is(join("\n", judge_recovery('listing')), '', 'and later');
	}
}

# ---- A kept connection that went away costs nothing

for my $event ([ 'was closed', sub { $proxy->disconnect } ], $events[1])
{
	prepare(1, 'listing');
	run_sql(query('patient', 'listing'));
	my @before = counters();

	$event->[1]->();
	$sim->reset_stats;
	is(join("\n", judge(query('patient', 'listing'), 'listing', 1, 0)), '', "F27: the kept connection, $event->[0]");
	my @after = counters();
	is_deeply([ map { $after[$_] - $before[$_] } 0 .. $#after ], [ 1, 0, 0, 0, 0 ], 'one more hit, and nothing else');
	is($sim->requests, 0, 'without a request');
}

$session->quit;
$node->stop;
done_testing();
