# What ends a statement from outside, and what must not: cancels, terminations and limits
# of time in each wait of each command (row F39, with the 250 ms of O2), the server's own
# limits (F40), signals without end (F51), and a configuration that changes meanwhile
# (F60).  With them what B6, B7, REL-2 and REL-13 demand.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Hanging;
use NeonAuth::Matrix;
use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Shim;
use NeonAuth::Test;
use NeonAuth::Wire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $day = 24 * 60 * 60;
my $users = 25;
my $shim = new_shim();
my $redis = start_redis();
my $hole = start_black_hole();
my $sim = start_sim(users => $users, key => 'sk_canary_4711');
my $wire = start_wire([ 'forward', $sim->port ]);
my $redis_wire = start_wire([ 'forward', $redis->port ]);
my $tls = start_wire([ 'read', '\x16' ], ['stall']);
my $url = 'http://clerk.test:' . $wire->port;
my $tls_url = 'https://127.0.0.1:' . $tls->port;
my $node = $shim->new_node('limits', urls => [ $sim->url, $url, $tls_url ],
	conf => "max_connections = 40\nrestart_after_crash = on\n");

# Servers that wait for ever: "clerk" by the wire, "cached" with a Redis behind a wire,
# "shared" with the Redis itself, "tls" without an end of the handshake.
my $patient = ", page_size '10', connect_timeout '10min', request_timeout '10min', scan_timeout '1h', refresh_timeout '1h'";
my %servers = (
	clerk => [ $url, $patient ],
	cached => [ $sim->url, "$patient, redis_timeout '10min', cache_ttl '1ms', redis_url 'redis://127.0.0.1:" . $redis_wire->port . "'" ],
	shared => [ $sim->url, "$patient, redis_timeout '10min', redis_url '" . $redis->url . "'" ],
	tls => [ $tls_url, $patient ]);

for my $name (sort keys %servers)
{
	my ($at, $options) = @{ $servers{$name} };

	add_server($node, $sim, name => $name, schema => $name, options => $options);
	$node->safe_psql('postgres', "ALTER SERVER $name OPTIONS (SET url '$at')");
}
$node->safe_psql('postgres', 'CREATE DATABASE other');
begin_matrix($node, table => 'clerk.users', secrets => ['sk_canary_4711'], redis => $redis);
repairs('at first');
like(refreshed(server => 'cached', target => 'cached.users_sync'), qr/^ok\|/, 'also with a cache');
$node->safe_psql('postgres', 'CREATE DATABASE doomed TEMPLATE postgres');

# ---- The waits

# Ends the look-ups that nobody waits for any more.
sub end_lookups
{
	$shim->end_dns;
	wait_until('the last look-up', sub { return $shim->dns_waiting == 0 });
	return;
}

# What a connection to the provider comes to, until it is ended.
sub script
{
	my ($at, $real, @steps) = @_;

	return (
		before => sub { $at->script(@steps) },
		after => sub { $at->script([ 'forward', $real->port ]) },
		waits => sub { return $at->at('stall') + $at->at('drip') > 0 });
}

my $asked = [ 'read', '\r\n\r\n' ];
my $head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: $day\r\n\r\n";
my %waits = (
	'a name' => {
		before => sub { $shim->slow_dns($day) },
		after => \&end_lookups,
		waits => sub { my ($pid) = @_; return scalar grep { $_->[0] == $pid } $shim->dns_threads } },
	'a connection' => { before => sub { $shim->connect_to($hole->port) }, after => sub { $shim->connect_to(undef) } },
	'an answer' => { script($wire, $sim, $asked, ['stall']) },
	'the rest of a header' => { script($wire, $sim, $asked, [ 'send', "HTTP/1.1 200 OK\r\nContent-" ], ['stall']) },
	'the rest of a body' => { script($wire, $sim, $asked, [ 'send', $head ], [ 'drip', ' ' x $day, 1 ]) },
	'the end of a pause' => {
		script($wire, $sim, $asked, [ 'send', "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3000\r\nContent-Length: 0\r\n\r\n" ], ['stall']) });
my %redis_waits = (
	'Redis to answer' => { script($redis_wire, $redis, [ 'command', 1 ], ['stall']) },
	'the rest of what Redis says' => { script($redis_wire, $redis, [ 'command', 1 ], [ 'send', '+O' ], ['stall']) },
	'Redis, byte by byte' => { script($redis_wire, $redis, [ 'command', 1 ], [ 'drip', '+' . 'x' x $day, 1 ]) });

my $someone = $sim->user('index/3')->{id};
my %commands = (
	scan => 'SELECT count(id) FROM clerk.users',
	refresh => q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full')),
	follow => q(CALL neon_auth.follow_users_sync('clerk', during => '1 hour')),
	sync_user => "SELECT FROM neon_auth.sync_user('clerk', '$someone')");

# ---- F39: cancels, within 250 ms

for my $command (sort keys %commands)
{
	row(
		'F39', 'a cancel',
		$command => sub {
			unchanged_by("a cancelled $command", sub {
				cancel_within("$command, waiting for $_", 250, $commands{$command}, %{ $waits{$_} }) for sort keys %waits;
			});
			repairs("a cancelled $command");
		});
}

row(
	'F39', 'a cancel, with Redis',
	map {
		my ($command, $sql) = @$_;

		$command => sub {
			unchanged_by("a cancelled $command", sub {
				cancel_within("$command, waiting for $_", 250, $sql, %{ $redis_waits{$_} }) for sort keys %redis_waits;
			});
		}
	} [ scan => 'SELECT count(id) FROM cached.users' ], [ refresh => q(CALL neon_auth.refresh_users_sync('cached', target => 'cached.users_sync')) ]);

row(
	'F39', 'a cancel, of other waits',
	'scan, a handshake' => sub {
		cancel_within('scan, waiting for a handshake', 250, 'SELECT count(id) FROM tls.users', waits => sub { return $tls->at('stall') > 0 });
	},
	'refresh, a handshake' => sub {
		cancel_within('refresh, waiting for a handshake', 250, q(CALL neon_auth.refresh_users_sync('tls', target => 'tls.users_sync')),
			waits => sub { return $tls->at('stall') > 0 });
	},
	'follow, the next beat' => sub {
		cancel_within('follow, waiting for its next beat', 250, q(CALL neon_auth.follow_users_sync('clerk', every => '1 hour', during => '2 hours')),
			waits => sub { return $node->safe_psql('postgres', q(SELECT count(*) FROM neon_auth.sync_progress WHERE phase ~ 'waiting')) });
	},
	'scan, another who lists' => sub {
		$node->safe_psql('postgres', q(SELECT neon_auth.cache_clear('shared')));
		my $leader = hang_refresh($node, $sim, { match => 'list' }, 'SELECT count(id) FROM shared.users');

		cancel_within('scan, waiting for who lists', 250, 'SELECT count(id) FROM shared.users');
		like($leader->release, qr/^$users$/m, 'who lists goes on');
	});

# ---- F39: what else ends a command

# A statement that waits for an answer, in a session.
sub wait_for_answer
{
	my ($session, $sql) = @_;

	$wire->script($asked, ['stall']);
	$session->begin($sql);
	$wire->wait_at('stall', 1);
	return;
}

sub answer_again
{
	$wire->script([ 'forward', $sim->port ]);
	wait_until('the end of the connection', sub { return $wire->at('stall') == 0 });
	return;
}

for my $command (sort keys %commands)
{
	my $sql = $commands{$command};

	row(
		'F39', $command,
		'pg_terminate_backend' => sub {
			unchanged_by('it', sub {
				cancel_within("$command, terminated, waiting for $_", 250, $sql, %{ $waits{$_} },
					function => 'pg_terminate_backend', lives => 0,
					error => qr/FATAL:  57P01: terminating connection due to administrator command/)
				  for 'a name', 'an answer', 'the end of a pause';
			});
		},
		'statement_timeout' => sub {
			unchanged_by('it', sub {
				my $session = new_session($node);

				$session->must(q(SET statement_timeout = '500ms'));
				wait_for_answer($session, $sql);
				like($session->finish, qr/ERROR:  57014: canceling statement due to statement timeout/, 'its error');
				answer_again();
			});
		},
		'the client is killed' => sub {
			unchanged_by('it', sub {
				my $session = new_session($node);
				my $pid = $session->must(q(SET client_connection_check_interval = '50ms'; SELECT pg_backend_pid()));

				wait_for_answer($session, $sql);
				kill('KILL', $session->{pid});
				wait_until('the end of its session', sub { return !-d "/proc/$pid" });
				pass('its session ends, too');
				answer_again();
			});
			repairs('it');
		});
}

# Only a lock is waited for so long, not a network (REL-2).
row(
	'REL-2',
	map {
		my $command = $_;

		$command => sub {
			my $session = new_session($node);

			$session->must(q(SET lock_timeout = '20ms'));
			wait_for_answer($session, $commands{$command});
			sleep(0.2);
			is($session->said, '', 'lock_timeout: it waits as before');
			is($wire->at('stall'), 1, 'for the same answer');
			$node->safe_psql('postgres', q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Extension'));
			like($session->finish, qr/ERROR:  57014: canceling statement due to user request/, 'and can be cancelled');
			answer_again();
		}
	} sort keys %commands);

row(
	'F39', 'DROP DATABASE',
	'its own, with force' => sub {
		my $session = new_session($node, database => 'doomed');

		wait_for_answer($session, $commands{refresh});
		$node->safe_psql('template1', 'DROP DATABASE doomed WITH (FORCE)');
		like($session->finish // $session->said, qr/FATAL:  57P01: terminating connection due to administrator command/, 'the refresh ends');
		answer_again();
	},
	'another one (B6)' => sub {
		my @sessions = map { new_session($node) } 1 .. 4;
		my @sql = map { $commands{$_} } sort keys %commands;

		$waits{'the end of a pause'}->{before}->();
		$_->begin(shift @sql) for @sessions;
		wait_until('all waits', sub {
			return $node->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Extension')) >= 3 });
		$node->safe_psql('template1', 'DROP DATABASE other');
		pass('it is dropped while others wait');
		$node->safe_psql('postgres', q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Extension'));
		$_->finish for @sessions;
		# and with it the connections that they keep
		undef @sessions;
		answer_again();
		repairs('it');
	});

# ---- F40: limits of the server

my $late = qr/FATAL:  25P03: terminating connection due to idle-in-transaction timeout/;

row(
	'F40',
	'scan, idle in a transaction' => sub {
		my $session = new_session($node);
		my $connections = $wire->connections;

		$session->must("BEGIN; DECLARE c CURSOR FOR SELECT id FROM clerk.users; SET idle_in_transaction_session_timeout = '100ms'");
		like($session->ask('FETCH 5 FROM c'), qr/\A(user_\w+\n){4}user_\w+\z/, 'it has begun to read');
		wait_until('the end of the connection', sub { return $wire->at('closed') == $wire->connections });
		cmp_ok($wire->connections, '>', $connections, 'the connection is closed with the session');
		like($session->ask('SELECT 1') // $session->said, $late, 'by that limit');
	},
	'refresh, idle in a transaction' => sub {
		unchanged_by('it', sub {
			my $session = new_session($node);

			$sim->update($someone, { first_name => 'Idle' });
			like($session->must("BEGIN; $commands{refresh}"), qr/^ok\|/m, 'it has refreshed');
			$session->must("SET idle_in_transaction_session_timeout = '100ms'");
			wait_until('the end of the session', sub {
				return $node->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE state ~ 'idle in transaction')) eq '0' });
			like($session->ask('SELECT 1') // $session->said, $late, 'by that limit');
		});
		repairs('it');
	},
	'scan, lock_timeout' => sub {
		my ($session, $other) = (new_session($node), new_session($node));

		$other->must('BEGIN; ALTER FOREIGN TABLE clerk.users ALTER COLUMN email SET NOT NULL');
		like($session->ask("SET lock_timeout = '100ms'; $commands{scan}"), qr/ERROR:  55P03: canceling statement due to lock timeout/, 'its error');
		$other->must('ROLLBACK');
		is($session->ask($commands{scan}), $users, 'and the next one is right');
	},
	map {
		my ($limit, $error) = @$_;

		"refresh, $limit" => sub {
			my ($session, $other) = (new_session($node), new_session($node));

			$sim->update($someone, { first_name => "After $limit" });
			$other->must("BEGIN; SELECT FROM neon_auth.users_sync WHERE id = '$someone' FOR UPDATE");
			unchanged_by('it', sub {
				like($session->ask("SET $limit = '300ms'; $commands{refresh}"), $error, 'its error');
				is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_locks WHERE locktype = $$advisory$$'), '0', 'it has left no lock');
			});
			$other->must('ROLLBACK');
			repairs('it');
		}
	} [ 'lock_timeout', qr/ERROR:  55P03: .*lock timeout/ ], [ 'statement_timeout', qr/ERROR:  57014: .*statement timeout/ ]);

# There is no such limit before PostgreSQL 17.
if ($node->pg_version >= 17)
{
	row(
		'F40', 'transaction_timeout',
		map {
			my $command = $_;

			$command => sub {
				unchanged_by('it', sub {
					my $session = new_session($node);

					$session->must(q(SET transaction_timeout = '300ms'));
					wait_for_answer($session, $commands{$command});
					like($session->finish // $session->said, qr/FATAL:  25P04: terminating connection due to transaction timeout/, 'it ends');
					answer_again();
				});
				repairs('it');
			}
		} 'scan', 'refresh');
}

# ---- F51: signals without end

# Sends signals, these in turn, in all so many, until the session is done as well.
sub hail
{
	my ($session, $pid, $most, @signals) = @_;
	my $sent = 0;

	while ($sent < $most || $session->said(0) !~ /^$session->{mark}$/m)
	{
		kill($_, ($pid) x 20) == 20 or die "kill: $!" for @signals;
		$sent += 20 * @signals;
		sleep(0.002);
	}
	note("$sent signals");
	return $session->finish;
}

row(
	'F51',
	refresh => sub {
		my $session = new_session($node);
		my $pid = $session->must('SELECT pg_backend_pid()');

		$sim->update($someone, { first_name => 'In the hail' });
		$shim->slow_dns(0.02);
		$session->begin("SELECT neon_auth.disconnect_all() \\g /dev/null\n$commands{refresh};\n" x 30);
		my $said = hail($session, $pid, 100_000, qw(USR1 URG USR1 ALRM USR1));
		is(scalar(() = $said =~ /^ok\|/mg), 30, '100,000 signals: each refresh is well');
		end_lookups();
		repairs('100,000 signals');
	},
	'scan, cancels held off' => sub {
		my $session = new_session($node);
		my $pid = $session->must('SELECT pg_backend_pid()');

		$shim->slow_dns($day);
		$session->begin('SELECT probe_held($$SELECT count(id) FROM clerk.users$$)');
		$shim->wait_dns(1);
		for (1 .. 200)
		{
			kill($_, ($pid) x 10) == 10 or die "kill: $!" for qw(INT USR1 INT);
			sleep(0.001);
		}
		is($session->said, '', 'while interrupts are held off, thousands of them end nothing');
		$shim->end_dns;
		like($session->finish, qr/NOTICE:  00000: held: $users\n.*ERROR:  57014: canceling/s, 'the scan is right, and only then is the statement cancelled');
		is($session->ask($commands{scan}), $users, 'and the session goes on');
	},
	'refresh, cancels' => sub {
		my $session = new_session($node);
		my $pid = $session->must('SELECT pg_backend_pid()');

		$sim->update($someone, { first_name => 'In the second hail' });
		$shim->slow_dns(0.01);
		$session->begin("SELECT neon_auth.disconnect_all() \\g /dev/null\n$commands{refresh};\n" x 30);
		my $said = hail($session, $pid, 5_000, qw(INT));
		my @odd = grep { !/^(ok\||psql:\S+ ERROR:  57014:|psql:\S+ ERROR:  [0-9A-Z]{5}: canceling|LOCATION: |DETAIL: |CONTEXT: |$)/ } split /\n/, $said;
		is(join("\n", @odd), '', 'thousands of cancels: each refresh is well or cancelled');
		end_lookups();
		repairs('thousands of cancels');
	});

# ---- F60: a configuration that changes meanwhile

# Reloads the configuration with these lines, and waits until a new session has them.
sub configure
{
	my ($urls, $cache) = @_;

	$node->append_conf('postgresql.conf', "neon_auth_fdw.allowed_urls = '$urls'\nneon_auth_fdw.cache = '$cache'\n");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('neon_auth_fdw.cache') = '$cache'") or die 'no reload';
	return;
}

my $allowed = $node->safe_psql('postgres', 'SHOW neon_auth_fdw.allowed_urls');

row(
	'F60',
	map {
		my ($command, $expected) = @$_;

		$command => sub {
			my $run = hang_refresh($node, $sim, { match => 'list', after => 1 }, $commands{$command}, $commands{scan});

			configure('http://127.0.0.1:1', 'off');
			like($run->release, qr/\A$expected.*ERROR:  42501: the address of the provider of server "clerk" may not be asked/s,
				'it ends as it began, and the next statement has the new configuration');
			configure($allowed, 'on');
			repairs('it');
		}
	} [ scan => "$users\n" ], [ refresh => 'ok\|' ]);

row(
	'F60',
	'its deadline' => sub {
		my $session = new_session($node);

		$session->must(q(ALTER SERVER clerk OPTIONS (SET scan_timeout '1s')));
		wait_for_answer($session, $commands{scan});
		$node->safe_psql('postgres', q(ALTER SERVER clerk OPTIONS (SET scan_timeout '1h')));
		$node->reload;
		like($session->finish, qr/ERROR:  HV00L: the provider of server "clerk" did not answer in time/, 'is that of its start');
		answer_again();
	});

no_canary();

# ---- B7, REL-13: a process that is killed however far it came

my @stages = ((map { [ scan => $_, $waits{$_} ], [ refresh => $_, $waits{$_} ] } 'a name', 'the rest of a body'),
	[ 'cached scan' => 'Redis to answer', $redis_waits{'Redis to answer'} ]);
$commands{'cached scan'} = 'SELECT count(id) FROM cached.users';

row(
	'B7',
	map {
		my ($command, $what, $wait) = @$_;

		"$command, waiting for $what" => sub {
			my $session = new_session($node);
			my $pid = $session->must('SELECT pg_backend_pid()');

			$wait->{before}->();
			$session->begin($commands{$command});
			wait_until('the wait', sub { return $wait->{waits}->($pid) });
			kill('KILL', $pid);
			$session->finish;
			$wait->{after}->();
			$node->poll_query_until('postgres', 'SELECT true') or die 'the server did not come back';
			is($node->safe_psql('postgres', $commands{scan}), $users, 'the next session is well');
			repairs('it');
		}
	} @stages);

no_crash(scalar @stages);
$node->stop;
done_testing();
