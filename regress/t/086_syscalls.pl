# Calls of the system that fail at a chosen time: connect, send and recv, those of the
# provider and of Redis, once and always; and what the extension leaves of the process it
# is in: no signal, timer, locale, umask, folder or variable changed (B2, B3, B8, REL-6,
# REL-8).  Which call it is, the nth from when it was armed, is the library's in
# regress/shim to count.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use Errno qw(EAGAIN ECONNREFUSED ECONNRESET EINTR ENETUNREACH ENOBUFS EPIPE ETIMEDOUT);
use NeonAuth::Cached;
use NeonAuth::Matrix;
use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Shim;
use NeonAuth::Test;
use NeonAuth::Wire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 12;
my $shim = new_shim();
my $redis = start_redis();
my $sim = start_sim(users => $users, key => 'sk_canary_4711');
my $wire = start_wire([ 'read', 'GET' ], ['reset']);
my $closed = PostgreSQL::Test::Cluster::get_free_port();
my $node = $shim->new_node('calls', urls => [ $sim->url, $wire->url, "http://127.0.0.1:$closed" ]);

# Pages of 11 users: a listing is two.
my $cached = ", redis_timeout '1min', redis_url '" . $redis->url . "', cache_ttl '1h'";
add_server($node, $sim, options => ", page_size '11'");
add_server($node, $sim, name => 'cached', schema => 'cached', options => ", page_size '11'$cached");
add_server($node, $sim, name => 'broken', schema => 'broken');
add_server($node, $sim, name => 'hasty', schema => 'hasty', options => ", scan_timeout '20ms'");
$node->safe_psql('postgres', "ALTER SERVER broken OPTIONS (SET url '" . $wire->url . "')");
$node->safe_psql('postgres', "ALTER SERVER hasty OPTIONS (SET url 'http://127.0.0.1:$closed')");
begin_matrix($node, secrets => ['sk_canary_4711'], redis => $redis);
watch_queries($node, $sim);
repairs('at first');

# ---- Calls

my %errors = (
	EAGAIN => EAGAIN, ECONNREFUSED => ECONNREFUSED, ECONNRESET => ECONNRESET, EINTR => EINTR, ENETUNREACH => ENETUNREACH,
	ENOBUFS => ENOBUFS, EPIPE => EPIPE, ETIMEDOUT => ETIMEDOUT, short => 0);

# The calls, how they fail, and which of them, once.  "always" is how a scan ends when
# all fail so, if it ends with an error.
my @calls = (
	[ 'connect', 'ECONNREFUSED', [1], 'HV00N: could not connect' ],
	[ 'connect', 'ENETUNREACH', [1], 'HV00N: could not connect' ],
	[ 'connect', 'ETIMEDOUT', [], 'HV00N: could not connect' ],
	[ 'send', 'EPIPE', [ 1, 2 ], 'HV00M: the connection to the provider of server "clerk" broke' ],
	[ 'send', 'ECONNRESET', [ 1, 2 ], 'HV00M: the connection to the provider of server "clerk" broke' ],
	[ 'send', 'EAGAIN', [ 1, 2 ] ],
	[ 'send', 'short', [ 1, 2 ] ],
	[ 'recv', 'ECONNRESET', [ 1, 2, 3 ], 'HV00M: the connection to the provider of server "clerk" broke' ],
	[ 'recv', 'ETIMEDOUT', [ 1, 2 ], 'HV00M: the connection to the provider of server "clerk" broke' ],
	[ 'recv', 'EAGAIN', [ 1, 2 ] ],
	[ 'recv', 'EINTR', [ 1, 2 ] ],
	[ 'recv', 'short', [ 1, 2 ] ]);

my $all = q(SELECT count(*), count(DISTINCT id), count(DISTINCT raw_json) FROM app.users);
my $right = "$users|$users|$users";
my $refresh = q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full'));

# From now on so many of these calls of the session fail, from the nth on; the next of
# them is one of a new connection.
sub arm
{
	my ($session, $call, $error, $nth, $times) = @_;

	return $session->must("SELECT neon_auth.disconnect_all(); SELECT probe_fail_call('$call', $nth, $times, $errors{$error})");
}

# Ends that; returns how many such calls there were.
sub disarm
{
	my ($session, $call) = @_;

	return $session->must("SET client_min_messages = error; SELECT probe_fail_call('$call', 0); RESET client_min_messages; SELECT probe_calls()") =~ s/^\n//r;
}

for my $row (@calls)
{
	my ($call, $error, $nths, $always) = @$row;

	row(
		'F3', "$call, $error",
		scan => sub {
			my $session = new_session($node);

			for my $nth (@$nths)
			{
				arm($session, $call, $error, $nth, 1);
				is($session->ask($all), $right, "number $nth: the scan is right");
				cmp_ok(disarm($session, $call), '>=', $nth, "number $nth: there was one");
				is($session->ask($all), $right, "number $nth: and so is the next one");
			}
			if ($always)
			{
				arm($session, $call, $error, 1, -1);
				like($session->ask($all), qr/ERROR:  $always/, 'always: the error');
				disarm($session, $call);
				is($session->ask($all), $right, 'always: the session goes on');
			}
			elsif ($error eq 'short')
			{
				arm($session, $call, $error, 1, -1);
				is($session->ask($all), $right, 'always: the scan is right');
				cmp_ok(disarm($session, $call), '>', 200, 'always: byte by byte');
			}
		},
		refresh => sub {
			my $session = new_session($node);

			$sim->update('index/3', { first_name => "$call $error" });
			for my $nth (@$nths)
			{
				arm($session, $call, $error, $nth, 1);
				like($session->ask($refresh), qr/^ok\|/, "number $nth: the refresh is well");
				cmp_ok(disarm($session, $call), '>=', $nth, "number $nth: there was one");
			}
			if ($always)
			{
				$sim->update('index/4', { first_name => "$call $error" });
				unchanged_by("$call, $error, always", sub {
					arm($session, $call, $error, 1, -1);
					like($session->ask($refresh), qr/ERROR:  $always/, 'always: the error');
					disarm($session, $call);
				});
			}
			repairs("$call, $error");
		});
}

# Redis is asked over the internet too, so its calls are among those that are counted.
# Whichever it is, a scan is right, and says so at most once.
for my $call ('connect', 'send', 'recv')
{
	my $error = $call eq 'connect' ? 'ECONNREFUSED' : 'ECONNRESET';

	row(
		'F27', "$call",
		'scan, cold and warm' => sub {
			my $sql = $all =~ s/app\./cached./r;

			for my $nth ($call eq 'connect' ? (1, 2) : 1 .. 8)
			{
				my $session = new_session($node);
				my @said;

				$session->must(q(SELECT neon_auth.cache_clear('cached'))) if $nth % 2;
				arm($session, $call, $error, $nth, 1);
				push @said, $session->ask($sql);
				disarm($session, $call);
				push @said, $session->ask($sql);
				heard(@said);
				is(join(' ', map { /^([\d|]+)$/m } @said), "$right $right", "number $nth: the scans are right");
				cmp_ok(scalar(() = "@said" =~ /(?:WARNING|ERROR): /g), '<=', 1, "number $nth: and there is at most one message");
			}
		});
}

# ---- A peer that goes away while it is sent to (REL-6, B3)

my $reset = qr/ERROR:  HV00M: the connection to the provider of server "broken" broke/;

row(
	'REL-6',
	map {
		my ($column, $sql) = @$_;

		$column => sub {
			my $session = new_session($node);
			my $before = $session->must('SELECT probe_process()');

			arm($session, 'send', 'short', 1, -1);
			like($session->ask($sql), $reset, 'the other side goes away: an error, and no signal');
			cmp_ok(disarm($session, 'send'), '>', 3, 'after some bytes');
			is($session->must('SELECT probe_process()'), $before, 'signals are as they were');
		}
	} [ scan => 'SELECT id FROM broken.users' ], [ refresh => q(CALL neon_auth.refresh_users_sync('broken', target => 'broken.users_sync')) ]);

# ---- The process is left as it was (REL-8, B2)

row(
	'REL-8',
	map {
		my ($column, $sql) = @$_;

		$column => sub {
			my $session = new_session($node);
			my $before = $session->must('SELECT probe_process()');

			like($before, qr/^umask 77\n(.*\n)*PATH=/m, 'it is known how the process is');
			$session->must($sql);
			is($session->must('SELECT probe_process()'), $before, 'a first time: it is as before');
			$session->must($sql);
			$session->must('SELECT neon_auth.disconnect_all()');
			is($session->must('SELECT probe_process()'), $before, 'and later');
		}
	} [ scan => $all ], [ 'scan, with Redis' => $all =~ s/app\./cached./r ], [ refresh => $refresh ]);

# Who comes after us in the session is cancelled as ever, the server's own code and that
# of another extension with libcurl.
my $holder = new_session($node);
$holder->must('SELECT pg_advisory_lock(4711)');
row(
	'B2',
	map {
		my ($what, $sql, $event) = @$_;

		$what => sub {
			my $session = new_session($node);
			my $pid = $session->must('SELECT pg_backend_pid()');

			$session->must("$all; $refresh");
			$session->begin($sql);
			$node->poll_query_until('postgres', "SELECT wait_event = '$event' FROM pg_stat_activity WHERE pid = $pid") or die 'it did not wait';
			$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
			like($session->finish, qr/ERROR:  57014: canceling statement due to user request/, 'it is cancelled');
		}
	} [ 'pg_sleep' => 'SELECT pg_sleep(600)', 'PgSleep' ], [ 'a lock' => 'SELECT pg_advisory_lock(4711)', 'advisory' ]);

# ---- Connections that are refused, very often (B8)

row(
	'B8',
	scan => sub {
		my $fifty = <<'SQL';
DO $$
BEGIN
	FOR i IN 1 .. 50 LOOP
		BEGIN
			PERFORM id FROM hasty.users;
			RAISE 'nobody is there';
		EXCEPTION WHEN OTHERS THEN
			-- refused, or on a busy machine not even that in so short a time
			IF SQLSTATE NOT LIKE 'HV%' THEN RAISE; END IF;
		END;
	END LOOP;
END $$
SQL
		flat('fifty refused connections', 20, sub { $_[0]->must($fifty) });
	});

# ---- Header lines as libcurl's manual has them

row(
	'B3',
	'headers without an end' => sub {
		$shim->bare_headers(1);
		is(run_sql($all), $right, 'a scan reads no byte that is not there');
		like(run_sql($refresh), qr/^ok\|/, 'nor does a refresh');
		$shim->bare_headers(0);
	});

no_canary();
no_crash();
$node->stop;
done_testing();
