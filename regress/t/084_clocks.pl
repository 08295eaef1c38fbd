# Clocks that are a day off, on either side, before and while something goes on: row F55
# of the fault matrix, and moments that a provider names (of row F11).  The server's time
# of day jumps; the provider's is that of the simulator, which goes on as ever, or what
# its header Date says.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Cached;
use NeonAuth::Hanging;
use NeonAuth::Matrix;
use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Shim;
use NeonAuth::Test;
use POSIX qw(strftime);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $day = 24 * 60 * 60;
my $shim = new_shim();
my $redis = start_redis();
my $sim = start_sim(users => 30, key => 'sk_canary_4711', clock => (time() - 3600) * 1000);
my $auth0 = start_sim(provider => 'auth0', users => 5);
my $node = $shim->new_node('clocks', urls => [ map { $_->url } $sim, $auth0 ]);
my $cached = ", redis_timeout '1min', redis_url '" . $redis->url . "', cache_ttl '1h', cache_stale_ttl '1h'";

add_server($node, $sim, options => ", page_size '10'");
add_server($node, $sim, name => 'cached', schema => 'cached', options => ", page_size '10'$cached");
add_server($node, $auth0, schema => 'auth0');
begin_matrix($node, secrets => ['sk_canary_4711'], redis => $redis);
watch_queries($node, $sim);

my @jumps = ([ 'a day ahead', $day ], [ 'a day behind', -$day ]);

# ---- What a scan takes for fresh

my $name = q(SELECT count(*), max(name) FILTER (WHERE id = 'user_ada') FROM cached.users);
$sim->create({ id => 'user_ada', first_name => 'Ada 0' });
$sim->create({ id => 'user_bob' });
my $users = 32;
my $version = 0;

# Gives the user another name.
sub rename_ada
{
	$version++;
	$sim->update('user_ada', { first_name => "Ada $version" });
	return;
}

for my $jump (@jumps)
{
	my ($what, $seconds) = @$jump;

	row(
		'F55', "our clock is $what",
		scan => sub {
			run_sql(q(SELECT neon_auth.cache_clear('cached')));
			query_is('a listing', $name, "$users|Ada $version", '4 list');
			query_is('the same again', $name, "$users|Ada $version", 'nothing');
			rename_ada();
			$shim->set_clock($seconds);
			query_is("$what: it is not fresh", $name, "$users|Ada $version", '4 list');
			query_is("$what: the new one is", $name, "$users|Ada $version", 'nothing');
			rename_ada();
			$shim->set_clock(0);
			query_is("no more $what: that is not fresh either", $name, "$users|Ada $version", '4 list');
			like(explained($name), qr/^0, hits=1 stale=0 misses=0, age$/, 'and what is read then has an age');
		},
		'scan, meanwhile' => sub {
			my $session = new_session($node);

			$session->must("BEGIN; DECLARE c CURSOR FOR SELECT id FROM app.users");
			my @ids = split /\n/, $session->must('FETCH 10 FROM c');
			$shim->set_clock($seconds);
			push @ids, split /\n/, $session->must('FETCH 10 FROM c');
			$shim->set_clock(0);
			push @ids, split /\n/, $session->must('FETCH ALL FROM c; COMMIT');
			my %ids = map { $_ => 1 } @ids;
			is(scalar(@ids) . '|' . keys %ids, "$users|$users", "$what, within a listing: each user once");
		});
}

row(
	'F55',
	'deadlines' => sub {
		my $session = new_session($node);

		for my $jump (@jumps)
		{
			my ($what, $seconds) = @$jump;

			# neither is over before its time nor waits longer than that
			$sim->fault({ match => 'list', latency_ms => 300 });
			my $hits = $sim->stats->{faults};
			$session->begin('SELECT count(id) FROM app.users');
			wait_until('the request', sub { return $sim->stats->{faults} > $hits });
			$shim->set_clock($seconds);
			is($session->finish, $users, "$what, during a request: it is waited for");
			$shim->set_clock(0);

			$session->must(q(ALTER SERVER clerk OPTIONS (ADD request_timeout '300ms')));
			$sim->fault({ match => 'list', hang => JSON::PP::true });
			$hits = $sim->stats->{faults};
			$session->begin('SELECT count(id) FROM app.users');
			wait_until('the request', sub { return $sim->stats->{faults} > $hits });
			$shim->set_clock($seconds);
			like($session->finish, qr/ERROR:  HV00L: the provider of server "clerk" did not answer in time/, "$what, during one that hangs: the limit counts");
			$shim->set_clock(0);
			$sim->clear_faults;
			$session->must('ALTER SERVER clerk OPTIONS (DROP request_timeout)');
		}
	},
	'an age is never below 0' => sub {
		run_sql(q(SELECT neon_auth.cache_clear('cached')));
		run_sql($name);
		$shim->set_clock(-120);
		query_is('two minutes behind: the listing is used', $name, "$users|Ada $version", 'nothing');
		my ($age) = run_sql("EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) $name") =~ /age=(\S+) s/;
		is($age, '0.000', 'and is as if read just now');
		$shim->set_clock(0);
	});

# ---- What a refresh finds

# A run in this mode is well and leaves the target equal to the directory; returns its
# mode, and why it was full.
sub run_is_right
{
	my ($what, $mode) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	repairs($what, mode => $mode);
	is($node->safe_psql('postgres', 'SELECT string_agg(id, $$ $$ ORDER BY id) FROM neon_auth.users_sync WHERE deleted_at IS NOT NULL'),
		join(' ', sort map { $_->{id} } grep { $_->{deleted} } @{ $sim->users }), "$what: nobody else is marked");
	return $node->safe_psql('postgres', q(SELECT concat_ws(': ', mode, reason) FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1));
}

# Somebody comes, somebody changes, and somebody goes unless the next run reads changes
# alone.
my $turns = 0;

sub change_all
{
	my ($mode) = @_;

	$turns++;
	$sim->create({ first_name => "Turn $turns" });
	rename_ada();
	$sim->remove("index/$turns") if $mode ne 'incremental';
	return;
}

run_is_right('the first run', 'full');

for my $jump (@jumps)
{
	my ($what, $seconds) = @$jump;

	row(
		'F55', "our clock is $what",
		refresh => sub {
			change_all('full');
			run_is_right('before', 'full');
			change_all('auto');
			$shim->set_clock($seconds);
			is(run_is_right($what, 'auto'),
				'full: full_refresh_every has passed since the last one', "$what: nobody knows when the last full run was");
			for my $mode ('incremental', 'full', 'incremental')
			{
				change_all($mode);
				run_is_right("$what, $mode", $mode);
			}
			$shim->set_clock(0);
			for my $mode ('incremental', 'auto', 'full')
			{
				change_all($mode);
				run_is_right("no more $what, $mode", $mode);
			}
		},
		'refresh, meanwhile' => sub {
			for my $mode ('full', 'incremental')
			{
				change_all($mode);
				my $run = hang_refresh($node, $sim, { match => 'list', after => ($mode eq 'full' ? 1 : 0) },
					"CALL neon_auth.refresh_users_sync('clerk', mode => '$mode')");
				$shim->set_clock($seconds);
				$run->release;
				run_is_right("$what, within one that is $mode, then", $mode);
				change_all($mode);
				$shim->set_clock(0);
				run_is_right("no more $what, $mode", $mode);
			}
		});
}

# What is dated ahead of its provider's clock, as an import may be, tells nothing of how
# far changes were read.  A clock of ours that is as much ahead makes it look like one.
for my $mode ('full', 'incremental')
{
	row(
		'F55', "our clock and a user are ahead, $mode",
		refresh => sub {
			run_is_right('before', 'full');
			$shim->set_clock($day);
			my $future = $sim->create({ first_name => 'Future', updated_at => (time() + $day - 3600) * 1000 });
			run_is_right('a user of the future', $mode);
			is($node->safe_psql('postgres', q(SELECT watermark <= now() - interval '1 day' FROM neon_auth.sync_state)), 't',
				'the watermark is not ahead of the provider');
			$sim->update('user_bob', { first_name => "Changed $mode", updated_at => time() * 1000 });
			like(run_is_right('who has changed since', 'incremental'), qr/^incremental/, 'is found by a run that reads changes alone');
			$shim->set_clock(0);
			$sim->remove($future->{id});
			run_is_right('without that user', 'full');
		});
}

row(
	'F55',
	follow => sub {
		for my $jump (@jumps)
		{
			my ($what, $seconds) = @$jump;
			my $session = new_session($node);
			my $pid = $session->must('SELECT pg_backend_pid()');
			my $waits = sub { return $node->safe_psql('postgres', q(SELECT count(*) FROM neon_auth.sync_progress WHERE phase = 'waiting for the next beat')) };
			my $name = q(SELECT name FROM neon_auth.users_sync WHERE id = 'user_ada');

			$session->begin(q(CALL neon_auth.follow_users_sync('clerk', during => '1 hour')));
			wait_until('it follows', $waits);
			$shim->set_clock($seconds);
			change_all('incremental');
			wait_until('what has changed', sub { return $node->safe_psql('postgres', $name) eq "Ada $version" });
			pass("$what: it sees what has changed");
			$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
			like($session->finish, qr/ERROR:  57014/, "$what: and goes on");
			$shim->set_clock(0);

			$session->begin(q(CALL neon_auth.follow_users_sync('clerk', every => '1 s', during => '1 s')));
			$shim->set_clock($seconds);
			like($session->finish, qr/^ok\|/, "$what: its time is over when it is, by another clock");
			$shim->set_clock(0);
			run_is_right("no more $what", 'auto');
		}
	},
	purge => sub {
		my $marked = q(SELECT count(*) FROM neon_auth.users_sync WHERE deleted_at IS NOT NULL);
		my $before = $node->safe_psql('postgres', $marked);

		$shim->set_clock(-2 * $day);
		$node->safe_psql('postgres', q(CALL neon_auth.purge_deleted('0 days')));
		is($node->safe_psql('postgres', $marked), $before, 'two days behind: who was marked later than now is kept');
		$shim->set_clock($day);
		$node->safe_psql('postgres', q(CALL neon_auth.purge_deleted('3 days')));
		is($node->safe_psql('postgres', $marked), $before, 'a day ahead: who was marked less than three days ago is kept');
		$shim->set_clock(0);
		run_is_right('then', 'full');
	});

# ---- Moments that a provider names, by its own clock

sub http_date { return strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime($_[0])); }

# A provider that is busy until a moment of its own clock is asked so often by the SQL.
sub busy_until
{
	my ($what, $provider, $headers, $sql, $expected, $requests) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$provider->fault({ match => 'any', status => 429, times => ($requests > 2 ? -1 : 1), headers => $headers });
	$provider->reset_stats;
	my $said = run_sql($sql);
	heard($said);
	like($said, $expected, "$what: what is said");
	is($provider->requests, $requests, "$what: requests");
	$provider->clear_faults;
	return;
}

my $busy = qr/ERROR:  53400: the provider of server "\w+" takes no more requests for now/;
my $scan = 'SELECT count(id) FROM app.users WHERE id = $$user_ada$$';

for my $jump (@jumps, [ 'right', 0 ])
{
	my ($what, $seconds) = @$jump;

	row(
		'F11', "a moment, our clock is $what",
		scan => sub {
			$shim->set_clock($seconds);
			busy_until('in an hour', $sim, { 'Retry-After' => http_date(time() + 3600) }, $scan, $busy, 1);
			busy_until('in a second', $sim, { 'Retry-After' => http_date(time() + 1) }, $scan, qr/\A1\z/, 2);
			busy_until('an hour ago', $sim, { 'Retry-After' => http_date(time() - 3600) }, $scan, qr/\A1\z/, 2);
			busy_until('in an hour, as a number', $auth0, { 'X-RateLimit-Reset' => '' . (time() + 3600) }, 'SELECT count(id) FROM auth0.users', $busy, 1);
			busy_until('in a second, as a number', $auth0, { 'X-RateLimit-Reset' => '' . (time() + 1) }, 'SELECT count(id) FROM auth0.users', qr/\A5\z/, 2)
			  if $seconds < 0;
			$shim->set_clock(0);
		},
		refresh => sub {
			change_all('full');
			$shim->set_clock($seconds);
			my $refresh = q(CALL neon_auth.refresh_users_sync('clerk'));

			unchanged_by('a provider that is busy', sub {
				busy_until('in an hour', $sim, { 'Retry-After' => http_date(time() + 3600) }, $refresh, $busy, 1);
			});
			$sim->fault({ match => 'list', status => 429, headers => { 'Retry-After' => http_date(time() + 1) } });
			repairs("$what: in a second");
			$sim->clear_faults;
			$shim->set_clock(0);
			run_is_right('then', 'full');
		});
}

row(
	'F11',
	'the clock of the provider is off' => sub {
		for my $jump (@jumps)
		{
			my ($what, $seconds) = @$jump;
			my $there = time() + $seconds;

			busy_until("$what, in an hour", $sim,
				{ Date => http_date($there), 'Retry-After' => http_date($there + 3600) }, $scan, $busy, 1);
			busy_until("$what, in a second", $sim,
				{ Date => http_date($there), 'Retry-After' => http_date($there + 1) }, $scan, qr/\A1\z/, 2);
		}
	});

no_canary();
no_crash();
$node->stop;
done_testing();
