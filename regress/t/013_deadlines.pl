
# Time-outs hold whatever the other side does: a table of waits times a table of
# time-outs, then retries, absurd Retry-After values, and budgets of many requests.
# What is waited for never comes while the test lasts, so what ended was ended by
# the time-out; how late that was is printed and never asserted.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use List::Util qw(max);
use NeonAuth::Shim;
use NeonAuth::Test;
use NeonAuth::Wire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $users = 25;
my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $folder = PostgreSQL::Test::Utils::tempdir();
my $sim = start_sim(users => $users);
my $slow = start_sim(users => 200);
my $hole = start_black_hole();
my $shim = new_shim();

# Cases run side by side, each on a lane.
my @lanes = map { start_wire() } 1 .. 20;

# ---- PostgreSQL

my @urls = map { $_->url } $sim, $slow, $hole;
for my $port (map { $_->port } @lanes)
{
	push @urls, map { "$_:$port" } qw(http://127.0.0.1 https://127.0.0.1 http://directory.test redis://cache.test);
}
# compiling a plan would look like being late
my $node = $shim->new_node('main', urls => \@urls, conf => "max_connections = 50\njit = off\n");
add_server($node, $sim);

# ---- Cases

# The time-outs that no case runs into; those in question are short.
my %ample = (connect_timeout => '10min', request_timeout => '10min', scan_timeout => '1h', refresh_timeout => '1h',
	redis_timeout => '10min');

# What ends a case that no time-out ended.
my $last_resort = '30s';

my $asked = [ 'read', '\r\n\r\n' ];
my $number = 0;
my %overshoot;

# Makes the server and the foreign table of a case.
sub make_server
{
	my ($case, $port) = @_;
	my $name = $case->{server} = 'case' . ++$number;
	my %options = (provider => 'clerk', url => 'http://127.0.0.1:PORT', %ample, %{ $case->{options} });
	my $options = join(', ', map { "$_ '$options{$_}'" } sort keys %options) =~ s/PORT/$port/gr;

	return <<"SQL";
CREATE SERVER $name FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS ($options);
CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS (@{[ $case->{mapping} // "api_key 'sk_test_x'" ]});
CREATE SCHEMA $name;
IMPORT FOREIGN SCHEMA directory FROM SERVER $name INTO $name;
SQL
}

# Starts psql with the SQL of a case, between two looks at the clock, after a
# scan that makes the session ready, and with another one at the end.
sub start_case
{
	my ($case) = @_;
	my $file = "$folder/$case->{server}";
	my $sql = ($case->{sql} // 'SELECT id FROM SERVER.users') =~ s/SERVER/$case->{server}/gr;

	append_to_file("$file.sql", <<"SQL");
SET statement_timeout = '@{[ $case->{last_resort} // $last_resort ]}';
\\o /dev/null
SELECT count(id) FROM app.users;
\\o
SELECT 'begin', extract(epoch FROM clock_timestamp());
$sql
;
SELECT 'end', extract(epoch FROM clock_timestamp());
SELECT 'then', count(id) FROM app.users;
SQL
	$case->{file} = $file;
	$case->{run} = IPC::Run::start([ qw(psql -XAtq -v VERBOSITY=verbose -f), "$file.sql", '-d', $node->connstr('postgres') ],
		'<', '/dev/null', '>', $file, '2>&1', IPC::Run::timeout($limit));
	return;
}

# Waits until this is true, as long as a test may wait; says whether it is.
sub comes_true
{
	my ($condition) = @_;

	for (1 .. 100 * $limit)
	{
		return 1 if $condition->();
		sleep(0.01);
	}
	return 0;
}

# What the case printed, how often it tried, and that it left nothing open.
sub check_case
{
	my ($case, $wire) = @_;
	my $text = slurp_file($case->{file});
	my %clock = $text =~ /^(begin|end)\|([\d.]+)$/mg;
	my $tries = sub { return $wire->connections - $case->{before} };

	like($text, $case->{expected}, "$case->{name}: how it ends");
	like($text, qr/^then\|$users$/m, "$case->{name}: the session goes on");
	if (defined $case->{tries})
	{
		# the last one may not have been accepted yet
		comes_true(sub { return $tries->() >= ($case->{tries} =~ /(\d)/)[0] });
		like($tries->(), qr/^$case->{tries}$/, "$case->{name}: tries");
		ok(comes_true(sub { return $wire->at('closed') == $wire->connections }), "$case->{name}: no connection is left");
	}
	return unless $case->{due};
	$overshoot{ $case->{name} } = 1000 * ($clock{end} - $clock{begin}) - $case->{due};
	note(sprintf('%s: %+.0f ms', $case->{name}, $overshoot{ $case->{name} }));
	return;
}

# Runs the cases, hashes of: name; options and mapping of the server, where PORT
# is that of the lane, or an existing server; script of the lane, which never
# ends by itself; sql, where SERVER stands for the server and its schema (a scan);
# expected, what psql prints; tries, a pattern for the number of connections;
# due, the milliseconds after which it ends; last_resort, a statement_timeout.
sub run_cases
{
	my (@cases) = @_;

	while (my @batch = splice(@cases, 0, @lanes))
	{
		my $sql = '';

		for my $lane (0 .. $#batch)
		{
			$lanes[$lane]->script(@{ $batch[$lane]{script} // [] });
			$batch[$lane]{before} = $lanes[$lane]->connections;
			$sql .= make_server($batch[$lane], $lanes[$lane]->port) unless $batch[$lane]{server};
		}
		$node->safe_psql('postgres', $sql);
		start_case($_) for @batch;
		$_->{run}->finish for @batch;
		check_case($batch[$_], $lanes[$_]) for 0 .. $#batch;
	}
	return;
}

sub fails
{
	my ($sqlstate, $message, $reason) = @_;

	return qr/ERROR:  $sqlstate: [^\n]*$message[^\n]*\nDETAIL:  Reason: $reason( \(HTTP status \d+\))?\.\n/;
}

my $late = fails('HV00L', 'did not answer in time', 'no complete reply came in time');
my $no_time = fails('HV00L', 'did not answer in time', 'no (complete reply came in time|time is left for a request)');
my $not_connected = fails('HV00N', 'could not connect to the provider', 'no connection was made in time');
my $unavailable = fails('HV00L', 'is not available', 'service unavailable');
my $busy = fails('53400', 'takes no more requests for now', 'too many requests');

my $refresh = "CALL neon_auth.refresh_users_sync('SERVER', target => 'SERVER.users_sync', mode => 'full')";
my $check_redis = "SELECT verdict = 'ok', message, detail FROM neon_auth.check_server('SERVER') WHERE part = 'redis'";

# ---- The waits

# A byte every 20 ms, for longer than the test may last.
sub drip
{
	my ($first, $bytes) = @_;

	return ($asked, [ 'send', $first ], [ 'drip', $bytes x (100 * $limit / length $bytes), 0.02 ]);
}

my $ok = "HTTP/1.1 200 OK\r\n";
my $long = "Content-Length: 1000000\r\n\r\n";
my $chunks = "${ok}Transfer-Encoding: chunked\r\n\r\n";
my $gzip = "${ok}Content-Encoding: gzip\r\n\r\n" . pack('H*', '1f8b0800000000000003');
my %before_connected = (dns => 1, connect => 1, tls => 1);

# name, where the URL is, what is done to the connection, how many are seen
my @waits = (
	[ 'dns', 'http://directory.test:PORT', [], 0 ],
	[ 'connect', $hole->url, [], 0 ],
	[ 'tls', 'https://127.0.0.1:PORT', [ [ 'read', '\x16' ], ['stall'] ], 1 ],
	map { [ $_->[0], 'http://127.0.0.1:PORT', $_->[1], 1 ] } (
		[ 'no request is read', [ ['stall'] ] ],
		[ 'no answer', [ $asked, ['stall'] ] ],
		[ 'half of the headers', [ $asked, [ 'send', "${ok}Content-" ], ['stall'] ] ],
		[ 'half of the body', [ $asked, [ 'send', "${ok}$long\[" ], ['stall'] ] ],
		[ 'a drip of interim replies', [ drip('', "HTTP/1.1 100 Continue\r\n\r\n") ] ],
		[ 'a drip of headers', [ drip($ok, "X-More: x\r\n") ] ],
		[ 'a drip of body', [ drip("$ok$long", ' ') ] ],
		[ 'a drip of body without length', [ drip("$ok\r\n", ' ') ] ],
		[ 'a drip of chunks', [ drip($chunks, "1\r\n \r\n") ] ],
		[ 'a drip of a 503', [ drip("HTTP/1.1 503 Busy\r\nRetry-After: 0\r\n$long", ' ') ] ]));

# Bytes that come faster than they can be read, none of which counts for the size
# of a reply: parts of a chunk's extension; blocks of gzip without a byte in them.
my @floods = map { [ $_->[0], 'http://127.0.0.1:PORT', [ $asked, [ 'send', $_->[1] ], [ 'flood', $_->[2] ] ], 1 ] } (
	[ 'a flood of chunk extension', "${chunks}1;", 'x' ],
	[ 'a flood of empty gzip', $gzip, pack('b*', '0100000000' x 4) ]);

# Cases of these waits for this time-out.
sub waits_within
{
	my ($timeout, $milliseconds, $expected, @these) = @_;

	return map { {
			name => "$timeout, $_->[0]",
			options => { url => $_->[1], $timeout => "${milliseconds}ms" },
			script => $_->[2],
			sql => $timeout eq 'refresh_timeout' ? $refresh : undef,
			expected => $expected,
			tries => $_->[3],
			due => $milliseconds
	} } @these;
}

# A case of redis_timeout; its provider answers.
sub redis
{
	my ($name, $url, $script, $tries, %more) = @_;

	return {
		name => "redis_timeout, $name",
		options => { url => $sim->url, redis_url => $url, redis_timeout => '1s' },
		script => $script,
		sql => $check_redis,
		expected => qr/^f\|the Redis of server "\w+" did not answer in time\|Reason: no complete reply came in time\.$/m,
		tries => $tries,
		due => 1000,
		%more
	};
}

my $redis_url = 'redis://127.0.0.1:PORT';
my %connecting = (expected => qr/^f\|could not connect to the Redis of server "\w+"\|Reason: no connection was made in time\.$/m);
my $slow_ok = [ 'drip', "+OK\r\n", 0.15 ];
my @redis_waits = (
	redis('dns', 'redis://cache.test:PORT', [], 0, %connecting),
	redis('connect', 'redis://127.0.0.1:' . $hole->port, [], 0, %connecting),
	redis('tls', 'rediss://127.0.0.1:PORT', [ [ 'read', '\x16' ], ['stall'] ], 1, %connecting),
	redis('no answer', $redis_url, [ [ 'command', 1 ], ['stall'] ], 1),
	redis('half of an answer', $redis_url, [ [ 'command', 1 ], [ 'send', '+PO' ], ['stall'] ], 1),
	redis('a drip', $redis_url, [ [ 'command', 1 ], [ 'drip', '+' . 'x' x 4000, 0.02 ] ], 1),
	# each answer by itself is there in time
	redis(
		'three slow answers',
		"$redis_url/1",
		[ [ 'command', 1 ], $slow_ok, [ 'command', 1 ], $slow_ok, [ 'command', 1 ], [ 'drip', "+PONG\r\n", 0.1 ], ['stall'] ],
		1,
		mapping => "api_key 'sk_test_x', redis_password 'x'"));

# longer than what comes last
$shim->slow_dns(24 * 60 * 60);
run_cases(
	waits_within('connect_timeout', 1000, $not_connected, grep { $before_connected{ $_->[0] } } @waits),
	(map { waits_within($_, 1000, $late, @waits) } qw(request_timeout scan_timeout refresh_timeout)),
	@redis_waits);
is($node->safe_psql('postgres', 'SELECT DISTINCT status, sqlstate FROM neon_auth.sync_run'),
	'failed|HV00L', 'each refresh is logged as failed');

# Each by itself, since they take a processor.  Later versions of libcurl count
# these bytes; and a flood may pause in the end.
my $flooded = qr/$late|ERROR:  HV00M: [^\n]* sent too large a reply\n/;
for my $timeout (qw(request_timeout scan_timeout refresh_timeout))
{
	run_cases({ %$_, last_resort => '5s' }) for waits_within($timeout, 300, $flooded, @floods);
}

# ---- What a time-out covers

# all of a request: its name is found in time, and its reply would be
$shim->slow_dns(0.7);
run_cases({
		name => 'request_timeout, a slow name and a slow reply',
		options => { url => 'http://directory.test:PORT', request_timeout => '1s' },
		script => [ $asked, [ 'drip', "${ok}Content-Length: 2\r\n\r\n", 0.02 ], [ 'send', '[]' ], ['stall'] ],
		expected => $late,
		tries => '[01]',
		due => 1000
	});
$shim->end_dns;

my @slow_reply = ($asked, [ 'send', "${ok}Content-Length: 75\r\n\r\n" ], [ 'drip', '[' . ' ' x 73 . ']', 0.02 ], ['stall']);
my $no_rows = qr/^begin\S+\nend\S+\n/;
my @covers = (
	{
		name => 'connect_timeout is for connecting only',
		options => { connect_timeout => '1s' },
		script => \@slow_reply,
		expected => $no_rows,
		tries => 1
	},
	{
		name => 'refresh_timeout is not for scans',
		options => { refresh_timeout => '1s' },
		script => \@slow_reply,
		expected => $no_rows,
		tries => 1
	},
	{
		name => 'scan_timeout is not for refreshes',
		options => { scan_timeout => '1s' },
		script => \@slow_reply,
		sql => $refresh,
		expected => qr/^ok\|0\|/m,
		tries => 1
	},
	{
		name => 'the time between two pages does not count',
		options => { url => $sim->url, scan_timeout => '1500ms', page_size => 5 },
		sql => <<'SQL',
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM SERVER.users;
MOVE 1 IN c;
SELECT pg_sleep(2);
MOVE ALL IN c;
\echo then :ROW_COUNT
SQL
		expected => qr/^then @{[ $users - 1 ]}$/m
	},
	# PostgreSQL makes whole seconds of a part of a minute
	map { {
			name => "a time-out of $_->[0]",
			options => { request_timeout => $_->[0] },
			script => [ $asked, ['stall'] ],
			expected => $late,
			tries => '[01]',
			due => $_->[1]
	} } ([ '1500ms', 1500 ], [ '1.5s', 1500 ], [ '0.01min', 1000 ], [ '90000us', 90 ], [ '900', 900 ]));

# ---- Many requests

add_server($node, $slow, name => 'kept', schema => 'kept', options => ", page_size '1'");

sub refresh_kept
{
	return join('/', (split /\|/, $node->safe_psql('postgres', $refresh =~ s/SERVER/kept/gr))[ 0 .. 4 ]);
}

my $kept = q(SELECT count(*), md5(string_agg(u::text, chr(10) ORDER BY id)), min(xmin::text), max(ctid) FROM kept.users_sync u);
is(refresh_kept(), 'ok/200/0/0/0', 'a refresh without a fault');
my $before = $node->safe_psql('postgres', $kept);
$node->safe_psql('postgres', q(ALTER SERVER kept OPTIONS (ADD refresh_timeout '1s')));
$slow->remove('index/7');
$slow->fault({ latency_ms => 250, times => -1 });

# each of them is answered in time
my @many = (
	{
		name => 'scan_timeout, many pages',
		options => { url => $slow->url, page_size => 1, scan_timeout => '1s' },
		expected => $no_time,
		due => 1000
	},
	{
		name => 'scan_timeout, many look-ups',
		options => { url => $slow->url, scan_timeout => '1s' },
		sql => q(SELECT count(*) FROM generate_series(1, 1000) n CROSS JOIN LATERAL
			(SELECT FROM SERVER.users WHERE id = 'user_' || n OFFSET 0) u),
		expected => $no_time,
		due => 1000
	},
	{ name => 'refresh_timeout, many pages', server => 'kept', sql => $refresh, expected => $no_time, due => 1000 });

# ---- Retries

# A reply without a body, to a try that may be followed by another.
sub status_reply
{
	my ($status, @headers) = @_;

	return [ 'send', join("\r\n", "HTTP/1.1 $status Busy", @headers, 'Content-Length: 0', 'Connection: close', '', '') ];
}

my %failed_tries = (
	'503' => [ $asked, status_reply(503) ],
	'429' => [ $asked, status_reply(429) ],
	'a broken connection' => [ $asked, ['reset'] ],
	'half of a reply' => [ $asked, [ 'send', "${ok}$long\[" ] ]);
my @retries = map {
	my $failed = $failed_tries{$_};
	{
		name => "scan_timeout, three times $_ and then nothing",
		options => { scan_timeout => '3s' },
		script => [ [ 'turn', ($failed) x 3, [ $asked, ['stall'] ] ] ],
		expected => $late,
		tries => 4,
		due => 3000
	},
	{
		name => "request_timeout, $_ and then nothing",
		options => { request_timeout => '2s' },
		script => [ [ 'turn', $failed, [ $asked, ['stall'] ] ] ],
		expected => $late,
		tries => 2
	}
} sort keys %failed_tries;

# those that last longest are together
run_cases(@retries, @many, @covers);

my $runs = q(SELECT status, sqlstate, users < 200 FROM neon_auth.sync_run WHERE server = 'kept' ORDER BY run_id DESC LIMIT 1);
is($node->safe_psql('postgres', $runs), 'failed|HV00L|t', 'the refresh is logged as failed');
is($node->safe_psql('postgres', $kept), $before, 'users_sync is as it was');
$slow->clear_faults;
is(refresh_kept(), 'ok/0/0/199/1', 'the next refresh marks who was gone');

# ---- Absurd Retry-After values

my $billion = 1000000000;

# the value, and how many tries there are
my @values = map { { name => 'Retry-After "' . substr($_->[0], 0, 30) . '"', headers => ["Retry-After: $_->[0]"], tries => $_->[1] } } (
	[ '0', 4 ],
	[ $billion, 1 ],
	[ 'Sun, 06 Nov 1994 08:49:37 GMT', 4 ],
	[ 'Sat, 06 Nov 2094 08:49:37 GMT', 1 ],
	[ 'soon', 4 ],
	[ '-1', 4 ],
	[ "-$billion", 4 ],
	[ '', 4 ],
	[ '9' x 20, 1 ],
	[ '9' x 1000, 1 ],
	[ '1e9', 4 ],
	[ '1.5', 4 ],
	[ '3600, 0', 4 ],
	[ "\xff\x01", 4 ]);
push @values,
  { name => 'no Retry-After', headers => [], tries => 4 },
  { name => 'Retry-After "0", then a billion', headers => [ 'Retry-After: 0', "Retry-After: $billion" ], tries => 1 },
  { name => 'Retry-After a billion, then "0"', headers => [ "Retry-After: $billion", 'Retry-After: 0' ], tries => 4 },
  { name => 'a pause as long as what is left', headers => ['Retry-After: 1'], tries => 1, options => { scan_timeout => '1s' } };

# Better Auth's own header has seconds, too, or a moment
my @own_values = map { {
		name => "X-Retry-After \"$_->[0]\"",
		headers => ["X-Retry-After: $_->[0]"],
		tries => $_->[1],
		options => { provider => 'better_auth' }
} } ([ '0', 4 ], [ $billion - 1, 1 ], [ $billion, 4 ], [ 4 * $billion, 1 ], [ '9' x 20, 1 ], [ 'soon', 4 ]);

sub busy_cases
{
	my ($status, $expected, @these) = @_;

	return map { {
			options => {},
			%$_,
			name => "$status, $_->{name}",
			script => [ $asked, status_reply($status, @{ $_->{headers} }) ],
			expected => $expected
	} } @these;
}

run_cases(
	busy_cases(429, $busy, @values, @own_values),
	busy_cases(503, $unavailable, @values),
	map { { %$_, name => "$_->{name}, of a refresh", sql => $refresh } } busy_cases(429, $busy, $values[1]));

$node->stop;
note(sprintf('%s: %.0f ms late', $_, $overshoot{$_}))
  for (sort { $overshoot{$b} <=> $overshoot{$a} } keys %overshoot)[ 0 .. 4 ];
note(sprintf('latest of all: %.0f ms', max(values %overshoot)));
done_testing();
