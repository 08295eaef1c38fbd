# Host names that cannot be resolved, or not in time, or to addresses that are never
# asked: rows F1 and F2 of the fault matrix in each column, with what SEC-13 and REL-4
# demand of names.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use Errno qw(ECONNREFUSED);
use NeonAuth::Cached;
use NeonAuth::Matrix;
use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Shim;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Socket qw(EAI_AGAIN EAI_FAIL EAI_NONAME);
use Test::More;

my $users = my $cached = 25;
my $day = 24 * 60 * 60;
my $shim = new_shim();
my $redis = start_redis();
my $sim = start_sim(users => $users, key => 'sk_canary_4711');
my $url = 'http://clerk.test:' . $sim->port;
my $node = $shim->new_node('names', urls => [$url], conf => "max_connections = 30\n");

# Servers for the same directory: "old" has cached users who are not fresh any more;
# "hasty" gives up before it would try again; "patient" waits for ever.
my %servers = (
	clerk => "connect_timeout '200ms'",
	old => "connect_timeout '200ms', cache_ttl '1ms', cache_stale_ttl '1h', redis_timeout '1min', redis_url '" . $redis->url . "'",
	hasty => "connect_timeout '10s'",
	patient => "connect_timeout '10min', request_timeout '10min', scan_timeout '1h', refresh_timeout '1h'");

for my $name (sort keys %servers)
{
	add_server($node, $sim, name => $name, schema => $name, options => ", page_size '10', $servers{$name}");
	$node->safe_psql('postgres', "ALTER SERVER $name OPTIONS (SET url '$url')");
}
begin_matrix($node, table => 'clerk.users', secrets => ['sk_canary_4711'], redis => $redis);
watch_queries($node, $sim);

# ---- Helpers

my $limit = 'ALTER SERVER old OPTIONS (SET cache_stale_ttl';

sub scan_of { return "SELECT count(id) FROM $_[0].users"; }

# A scan of the server says that, and sends nothing.
sub scan_says
{
	my ($what, $server, $expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$sim->reset_stats;
	my $said = run_sql(scan_of($server));
	heard($said);
	like($said, $expected, "$what: what a scan says");
	is($sim->stats->{connections}, 0, "$what: nobody was connected to");
	return;
}

# Forgets that others were told lately that the provider fails.
sub drop_marks
{
	my @marks = grep { /:[blr]$/ } $redis->keys;

	$redis->ask('DEL', @marks) if @marks;
	return;
}

# The columns of a fault under which no connection is made: what a scan says without a
# cache, with one that is old, and with one that is too old.
sub scans_fail
{
	my ($what, $error) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	scan_says($what, 'clerk', qr/\A\S+ ERROR:  $error/);
	scan_says("$what, old users", 'old', qr/\A$cached\n\S+ WARNING:  01000: users of server "old" are \d+ s old\n(?!.*(WARNING|ERROR))/s);
	drop_marks();
	run_sql("$limit '1ms')");
	scan_says("$what, users that are too old", 'old', qr/\A\S+ ERROR:  $error/);
	run_sql("$limit '1h')");
	drop_marks();
	return;
}

# A refresh fails with that and changes nothing; returns the retries of the run.
sub refresh_fails
{
	my ($what, $error) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$sim->reset_stats;
	like(unchanged_by($what, sub { return refreshed() }), qr/ERROR:  $error/, "$what: what a refresh says");
	is($sim->stats->{connections}, 0, "$what: nobody was connected to");
	my ($status, $retries) = split /\|/, $node->safe_psql('postgres', 'SELECT status, retries FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1');
	is($status, 'failed', "$what: the run has failed");
	return $retries;
}

# All is well: users are cached, and have got old.
repairs('at first');
is(run_sql(scan_of('old')), $users, 'users are cached');
is(refreshed(server => $_, target => "$_.users_sync") =~ /^ok\|/, 1, "$_ has users, too") for 'hasty', 'patient';
run_sql(q(ALTER SERVER hasty OPTIONS (SET connect_timeout '20ms', ADD scan_timeout '20ms')));

# ---- F1: a look-up that fails

my %errors = (NXDOMAIN => EAI_NONAME, 'SERVFAIL, perhaps later' => EAI_AGAIN, 'SERVFAIL' => EAI_FAIL);
my $unresolved = 'HV00N: could not connect to the provider of server "\w+"\nDETAIL:  Reason: the host name could not be resolved\.';

for my $name (sort keys %errors)
{
	row(
		'F1', $name,
		scan => sub {
			$shim->resolve_to($errors{$name});
			scans_fail($name, $unresolved);
			$shim->resolve_to();
			is(run_sql(scan_of('clerk')), $users, "$name: the next scan is well");
		},
		refresh => sub {
			$sim->create({ first_name => $name });
			$users++;
			$shim->resolve_to($errors{$name});
			is(refresh_fails($name, $unresolved), 3, "$name: it was tried again, three times");
			$shim->resolve_to();
			repairs("$name, when the name is known");
		});
}

row(
	'F1', 'many times',
	scan => sub {
		$shim->resolve_to(EAI_NONAME);
		flat('unknown names', 100, scan_of('hasty'));
		$shim->resolve_to();
	},
	refresh => sub {
		run_sql(q(ALTER SERVER hasty OPTIONS (ADD refresh_timeout '20ms')));
		$shim->resolve_to(EAI_NONAME);
		flat('unknown names', 100, q(CALL neon_auth.refresh_users_sync('hasty', target => 'hasty.users_sync')));
		$shim->resolve_to();
		run_sql(q(ALTER SERVER hasty OPTIONS (DROP refresh_timeout, SET connect_timeout '10s')));
		repairs('unknown names, many times', server => 'hasty', target => 'hasty.users_sync');
	});

# ---- F2: a look-up that does not end

my $late = 'HV00N: could not connect to the provider of server "\w+"\nDETAIL:  Reason: no connection was made in time\.';

# Ends the look-ups that nobody waits for any more.
sub end_lookups
{
	$shim->end_dns;
	wait_until('the last look-up', sub { return $shim->dns_waiting == 0 });
	return;
}

# Whether this process looks up a name.
sub in_lookup
{
	my ($pid) = @_;

	return scalar grep { $_->[0] == $pid } $shim->dns_threads;
}

my $refresh_patient = q(CALL neon_auth.refresh_users_sync('patient', target => 'patient.users_sync'));

row(
	'F2',
	scan => sub {
		$shim->slow_dns($day);
		scans_fail('no answer', $late);
		end_lookups();
		is(run_sql(scan_of('clerk')), $users, 'the next scan is well');
	},
	refresh => sub {
		$sim->create({});
		$users++;
		$shim->slow_dns($day);
		is(refresh_fails('no answer', $late), 0, 'no answer: it was tried once');
		end_lookups();
		repairs('no answer, when there is one');
	});

row(
	'F2', 'a cancel',
	map {
		my ($column, $sql) = @$_;

		$column => sub {
			unchanged_by("a cancelled $column", sub {
				cancel_within("a $column that looks up a name", 250, $sql,
					before => sub { $shim->slow_dns($day) }, waits => \&in_lookup, after => \&end_lookups);
			});
		}
	} [ scan => scan_of('patient') ], [ refresh => $refresh_patient ]);

row(
	'F2', 'many times',
	scan => sub {
		flat('names without an answer', 20, sub {
			my ($session) = @_;

			$shim->slow_dns($day);
			heard($session->ask(scan_of('hasty')));
			end_lookups();
		});
	});

# ---- Addresses that are never asked, however they are written (SEC-13)

my @forbidden = qw(169.254.169.254 ::ffff:169.254.169.254 ::169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1
  fe80::1 febf::1 fd00:ec2::254 100.100.100.200 192.0.0.192);
my $forbidden = qr/ERROR:  42501: the provider of server "\w+" has an address that is never asked/;

# In a session where no attempt to connect would leave this machine, the SQL is refused
# before there is one.
sub forbidden_is
{
	my ($column, $sql) = @_;
	my $session = new_session($node);

	for my $address (@forbidden)
	{
		$shim->resolve_to($address);
		$session->must("SELECT probe_fail_call('connect', 1, -1, @{[ECONNREFUSED]})");
		like($session->ask($sql), $forbidden, "a name for $address: what a $column says");
		is($session->must(q(SELECT probe_fail_call('connect', 0); SELECT probe_calls())), "\n0", "$address: nobody is connected to");
	}
	$shim->resolve_to();
	return;
}

row(
	'SEC-13',
	scan => sub { forbidden_is(scan => scan_of('clerk')) },
	refresh => sub {
		unchanged_by('names of forbidden addresses', sub { forbidden_is(refresh => q(CALL neon_auth.refresh_users_sync('clerk'))) });
	},
	'one address of two' => sub {
		$sim->reset_stats;
		$shim->resolve_to('169.254.169.254', '127.0.0.1');
		like(run_sql(scan_of('clerk')), $forbidden, 'a name that has a forbidden address among others is refused');
		is($sim->requests, 0, 'and no request is sent');
	},
	'a name that changes' => sub {
		my $session = new_session($node);

		$shim->resolve_to();
		is($session->ask(scan_of('clerk')), $users, 'a name is right when it is looked up first');
		$session->must('SELECT neon_auth.disconnect_all()');
		$shim->resolve_to('169.254.169.254');
		like($session->ask(scan_of('clerk')), $forbidden, 'and is judged by what it is later');
		$shim->resolve_to();
		is($session->ask(scan_of('clerk')), $users, 'and then again');
		repairs('names of forbidden addresses');
	});

# ---- A libcurl that would wait for names in the session itself (REL-4)

row(
	'REL-4',
	scan => sub {
		$shim->slow_curl(1);
		scan_says('a libcurl that waits', 'clerk', qr/\A\S+ ERROR:  0A000: libcurl cannot look up host names without blocking\n/);
	},
	refresh => sub {
		refresh_fails('a libcurl that waits', '0A000: libcurl cannot look up host names without blocking');
		$shim->slow_curl(0);
		repairs('a libcurl that does not');
	});

no_canary();
no_crash();
$node->stop;
done_testing();
