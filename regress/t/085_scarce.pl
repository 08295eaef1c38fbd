# What runs out: memory, in the commands that 016 and 034 leave out (row F49), and
# descriptors and disk (row F50; REL-28).  An end is clean: the result is right, or there
# is an error with a SQLSTATE of the class for it, and the same statement is right when
# there is enough again.  Which allocation or call fails is chosen, some dozen of each.
#
# A write-ahead log that cannot be written ends a server, by PostgreSQL's own rule, so it
# is not tried here.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use Errno qw(EMFILE ENFILE ENOBUFS ENOMEM ENOSPC);
use NeonAuth::Cached;
use NeonAuth::Matrix;
use NeonAuth::Session;
use NeonAuth::Shim;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 12;
my $many = 300;
my $shim = new_shim();
my $keys = PostgreSQL::Test::Utils::tempdir();
system_or_bail('openssl', 'genpkey', '-quiet', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', "$keys/key.pem");
system_or_bail('openssl', 'pkey', '-in', "$keys/key.pem", '-pubout', '-out', "$keys/key.pub");
my $sim = start_sim(users => $users, key => 'sk_canary_4711');
my $large = start_sim(users => $many, seed => 2);
my $auth0 = start_sim(provider => 'auth0', users => $users);
my $okta = start_sim(provider => 'okta', users => $users, set => ["public_key=$keys/key.pub"]);
my $node = $shim->new_node('scarce', urls => [ map { $_->url } $sim, $large, $auth0, $okta ],
	conf => "log_statement = none\njit = off\nmax_parallel_workers_per_gather = 0\n");

# A listing of the first is of two pages, so that both count.
add_server($node, $sim, options => ", page_size '11'");
add_server($node, $large, name => 'large', schema => 'large', options => ", page_size '100'");
add_server($node, $auth0, schema => 'auth0', mapping => "client_id 'client', client_secret 'sk_test_x'");
add_server($node, $okta, schema => 'okta', mapping => "client_id 'client', private_key '" . slurp_file("$keys/key.pem") . "', private_key_id 'key-1'");
begin_matrix($node, secrets => ['sk_canary_4711']);
repairs('at first');

# The errors of a lack of something; the server's SHA-256 and its epoll do not say so.
my $lack = qr/^psql:\S+ (?:ERROR|FATAL):  (53\w{3}: |HV00N: could not connect|HV00M: the connection to|XX000: could not \w+ SHA256|XX000: epoll_create1 failed|XX000: could not open)/;

# Runs the SQL in the session while something fails, by two calls of the probe around it.
# It is right or in want, and right again after that; returns whether it was in want, and
# how many of what could have failed there were.
sub in_want
{
	my ($session, $what, $sql, $right, $before, $begin, $end) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$session->must("SELECT neon_auth.disconnect_all(); $before; $begin");
	my $said = $session->ask($sql);
	my ($calls) = ($session->ask($end) // die 'the session is lost') =~ /(\d+)\z/;
	heard($said);
	my $want = $said =~ /$lack/;
	my $odd = $want || $said =~ $right ? '' : $said;

	$session->must($before) if $want;
	my $again = $session->ask($sql);
	$odd .= ", then $again" if $again !~ $right;
	is($odd, '', $what) if $odd;
	return ($want, $calls, $odd eq '');
}

# ---- F49: memory

my $someone = $sim->user('index/3')->{id};
my $counts = qr/\A$users\z/;
my %starved = (
	'sync_user' => [ "SELECT name IS NOT NULL FROM neon_auth.sync_user('clerk', '$someone')", qr/\At\z/, "UPDATE neon_auth.users_sync SET name = 'x', updated_at = NULL WHERE id = '$someone'" ],
	'follow' => [ q(CALL neon_auth.follow_users_sync('clerk', during => '0 seconds')), qr/\Aok\|/, 'SELECT' ],
	'purge' => [ q(CALL neon_auth.purge_deleted('1 day')), qr/\A\d+\|0/, "INSERT INTO neon_auth.users_sync (id, raw_json, name, deleted_at) SELECT 'gone_' || i, '{}', 'x', now() - interval '2 days' FROM generate_series(1, 30) i ON CONFLICT DO NOTHING" ],
	'refresh' => [ q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full')), qr/\Aok\|/, "DELETE FROM neon_auth.users_sync WHERE id = '$someone'" ],
	'a token' => [ 'SELECT count(id) FROM auth0.users', $counts, 'SELECT' ],
	'a signed assertion' => [ 'SELECT count(id) FROM okta.users', $counts, 'SELECT' ],
	'ANALYZE' => [ 'ANALYZE app.users', qr/\A\z/, 'SELECT' ],
	'two scans at once' => [ 'SELECT count(id) FROM (SELECT id FROM app.users UNION ALL SELECT id FROM auth0.users) AS u', qr/\A@{[2 * $users]}\z/, 'SET enable_async_append = on' ]);

# So many of all allocations, the first among them, spread evenly.
my $tries = 14;

for my $command (sort keys %starved)
{
	my ($sql, $right, $before) = @{ $starved{$command} };

	row(
		'F49',
		$command => sub {
			my $kept = new_session($node);
			my ($wants, $bad) = (0, 0);
			my $starve = sub {
				# a session keeps its token
				return in_want($command =~ /token|assertion/ ? new_session($node) : $kept, "$command, allocation $_[0]", $sql, $right, $before,
					"SELECT probe_fail_malloc($_[0])", 'SET client_min_messages = warning; SELECT probe_fail_malloc(0); SELECT probe_malloc_calls()');
			};
			$kept->must("$before; $sql");
			my (undef, $all) = $starve->(1_000_000);
			for my $i (0 .. $tries - 1)
			{
				my ($want, undef, $well) = $starve->(1 + int($i * $all / $tries));

				$wants += $want;
				$bad += !$well;
			}
			is($bad, 0, "$tries of $all allocations fail, one at a time: it is right or in want, and then right");
			cmp_ok($wants, '>', 0, "$wants times in want");
		});
}
$node->safe_psql('postgres', q(DELETE FROM neon_auth.users_sync WHERE id LIKE 'gone\_%'));
repairs('memory');

# check_server says what it lacks in its result.
row(
	'F49',
	'check_server' => sub {
		my $session = new_session($node);
		my $sql = q(SELECT count(*) FILTER (WHERE verdict = 'ok') FROM neon_auth.check_server('clerk'));
		my $right = $session->must($sql);

		for my $nth (map { 1 + 40 * $_ } 0 .. $tries)
		{
			$session->must("SELECT neon_auth.disconnect_all(); SELECT probe_fail_malloc($nth)");
			heard($session->ask($sql));
			$session->ask('SELECT probe_fail_malloc(0)');
			is($session->ask($sql), $right, "allocation $nth fails: the next check is right");
		}
	});

# ---- F50: descriptors

my $scan = q(SELECT count(*), count(DISTINCT id) FROM app.users);
my $refresh = q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full'));
my %commands = (scan => [ $scan, qr/\A$users\|$users\z/ ], refresh => [ $refresh, qr/\Aok\|/ ]);

# The limit of a process that lives, in the kernel.
sub limit_descriptors
{
	my ($pid, $limit) = @_;

	system_log('prlimit', '--pid', $pid, "--nofile=$limit:") == 0 or die 'prlimit';
	return;
}

# The limit under which it has so many numbers left.
sub limit_with
{
	my ($pid, $free) = @_;
	my %open = map { /(\d+)$/ ? ($1 => 1) : () } glob("/proc/$pid/fd/*");
	my $limit = 0;

	for (; $free > 0 || $open{$limit}; $limit++)
	{
		$free-- unless $open{$limit};
	}
	return $limit;
}

for my $command (sort keys %commands)
{
	my ($sql, $right) = @{ $commands{$command} };

	row(
		'F50', 'EMFILE',
		$command => sub {
			my $session = new_session($node);
			my $pid = $session->must('SELECT pg_backend_pid()');
			my ($limit) = slurp_file("/proc/$pid/limits") =~ /^Max open files +(\d+)/m;
			my $wants = 0;

			$session->must($sql);
			for my $more (0 .. 12)
			{
				$session->must('SELECT neon_auth.disconnect_all()');
				limit_descriptors($pid, limit_with($pid, $more));
				my $said = $session->ask($sql);
				limit_descriptors($pid, $limit);
				heard($said);
				$wants += $said =~ /$lack/;
				like($said, qr/$lack|$right/, "$more descriptors left: right or in want");
				like($session->ask($sql), $right, 'and right when there are enough');
			}
			cmp_ok($wants, '>', 2, "$wants times in want");
			repairs("too few descriptors, $command");
		});
}

my %errors = (EMFILE => EMFILE, ENFILE => ENFILE, ENOBUFS => ENOBUFS, ENOMEM => ENOMEM, ENOSPC => ENOSPC);
my @calls = (
	[ 'socket', 'EMFILE' ], [ 'socket', 'ENFILE' ], [ 'socket', 'ENOBUFS' ], [ 'wakeup', 'ENFILE' ],
	[ 'epoll_create1', 'ENFILE' ], [ 'timerfd_create', 'ENFILE' ], [ 'epoll_ctl', 'ENOSPC' ], [ 'epoll_ctl', 'ENOMEM' ]);

for my $row (@calls)
{
	my ($call, $error) = @$row;

	row(
		'F50', "$call, $error",
		map {
			my $command = $_;
			my ($sql, $right) = @{ $commands{$command} };

			$command => sub {
				my $session = new_session($node);
				my ($seen, $bad) = (0, 0);

				for my $times ([ 1, 1 ], [ 2, 1 ], [ 1, -1 ])
				{
					my (undef, $calls, $well) = in_want($session, "$call, $times->[0] and $times->[1]", $sql, $right, 'SELECT',
						"SELECT probe_fail_call('$call', $times->[0], $times->[1], $errors{$error})",
						"SET client_min_messages = warning; SELECT probe_fail_call('$call', 0); SELECT probe_calls()");

					$seen += $calls > 0;
					$bad += !$well;
				}
				is($bad, 0, 'it is right or in want, and then right');
				is($seen, 3, 'each time there was such a call');
			}
		} sort keys %commands);
}
repairs('calls that fail');

# ---- F50: disk

row(
	'F50', 'ENOSPC',
	'scan, temporary files' => sub {
		my $session = new_session($node);
		my $rows = 'SELECT count(*), sum(length(u::text)) FROM generate_series(1, 3) g LEFT JOIN large.users u ON length(u.id) > g';

		$session->must(q(SET work_mem = '64kB'));
		my $right = $session->must($rows);
		for my $nth (1, 2, 5)
		{
			$session->must("SELECT probe_fail_call('pwrite', $nth, -1, @{[ENOSPC]}, 'pgsql_tmp')");
			my $said = $session->ask($rows);
			like($said, qr/ERROR:  53100: could not write .*No space left on device/, "write $nth: its error");
			is($session->ask(q(SET client_min_messages = warning; SELECT probe_fail_call('pwrite', 0); SELECT count(*) FROM pg_ls_tmpdir())) =~ s/^\n//r, '0', 'no file is left');
			is($session->ask($rows), $right, 'and it is right when there is room');
		}
	},
	'refresh, a table that grows' => sub {
		my $session = new_session($node);
		my $sql = q(CALL neon_auth.refresh_users_sync('large', target => 'large.users_sync', mode => 'full'));

		like($session->must($sql), qr/^ok\|$many/, 'there is room at first');
		$large->control('POST', "users/index/0/update?count=$many", { first_name => 'Changed' });
		for my $nth (1, 10)
		{
			$session->must("SELECT probe_fail_call('pwrite', $nth, -1, @{[ENOSPC]}, '/base/')");
			like($session->ask($sql), qr/ERROR:  53100: could not (extend|write) .*No space left on device/, "write $nth: its error");
			$session->must(q(SELECT probe_fail_call('pwrite', 0)));
			is($session->must('SELECT count(*) FROM large.users_sync u WHERE deleted_at IS NOT NULL OR id NOT IN (SELECT id FROM large.users)'),
				'0', 'nobody is marked, and nobody is there who is not in the directory');
		}
		repairs('no space', server => 'large', target => 'large.users_sync', table => 'large.users');
	});

# ---- F50: a server that may hold few files

$node->append_conf('postgresql.conf', "max_files_per_process = 64\n");
$node->restart;
row(
	'F50', 'max_files_per_process = 64',
	map {
		my $command = $_;

		$command => sub { like(new_session($node)->ask($commands{$command}->[0]), $commands{$command}->[1], 'it is well') }
	} sort keys %commands);
repairs('few files');

no_canary();
no_crash();
$node->stop;
done_testing();
