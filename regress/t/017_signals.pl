
# Signals and the thread in which libcurl looks up a host name.  The server's
# signal handlers must not run in it, so it has every signal blocked, while the
# session itself takes signals as ever; and a hail of signals during look-ups
# changes no result.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use Config;
use IPC::Run;
use NeonAuth::Shim;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $users = 12;
my $signals = 100_000;
my $scans = 200;
my $limit = $PostgreSQL::Test::Utils::timeout_default;

my $shim = new_shim();
my $sim = start_sim(provider => 'clerk', users => $users);
my $url = 'http://clerk.test:' . $sim->port;
my $node = $shim->new_node('signals', urls => [ $sim->url, $url ], conf => "log_statement = none\n");

add_server($node, $sim);
$node->safe_psql('postgres', <<"SQL");
ALTER SERVER clerk OPTIONS (SET url '$url');
CREATE TABLE hail (over boolean);

-- Looks up and scans until the hail is over, each time in a transaction of its own.
CREATE PROCEDURE scan_on(INOUT scans int = 0, INOUT wrong int = 0) LANGUAGE plpgsql AS \$\$
BEGIN
	WHILE NOT EXISTS (SELECT FROM hail) LOOP
		PERFORM neon_auth.disconnect_all();
		wrong := wrong + abs((SELECT count(DISTINCT id) FROM app.users)::int - $users);
		scans := scans + 1;
		COMMIT;
	END LOOP;
END \$\$;
SQL

# ---- Helpers

# A session that runs this SQL; its process id comes first in what it prints.
sub start_session
{
	my ($sql) = @_;
	my %session = (out => '', err => '');

	$session{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', '-' ],
		'<', \"SELECT pg_backend_pid();\n$sql",
		'>', \$session{out}, '2>', \$session{err}, IPC::Run::timeout($limit));
	$session{run}->pump until $session{out} =~ /^(\d+)\n/;
	$session{pid} = $1;
	return \%session;
}

# Waits for its end; returns what it has printed since.
sub finish_session
{
	my ($session) = @_;

	$session->{run}->finish;
	$session->{out} =~ s/^\d+\n//;
	return $session->{out} . $session->{err};
}

# The masks in a status of /proc by their names: what is blocked, ignored, caught.
# Of the signals above 32 the C library uses some itself, as soon as it has threads.
sub masks
{
	my ($status) = @_;

	return { $status =~ /^(Sig(?:Blk|Ign|Cgt)):\s*[0-9a-f]{8}([0-9a-f]{8})$/mg };
}

# The names of the signals in a mask.
sub signals_of
{
	my ($mask) = @_;
	my @names = split / /, $Config{sig_name};

	return map { $names[$_] } grep { hex($mask) >> ($_ - 1) & 1 } 1 .. 31;
}

# ---- Who takes signals while a name is looked up

$shim->slow_dns(1000);
{
	my $session = start_session(
		"SELECT pg_read_file('/proc/self/status');\nSELECT count(id) FROM app.users;\nSELECT pg_read_file('/proc/self/status');\n");
	$shim->wait_dns(1);
	my ($lookup) = $shim->dns_threads;
	my ($pid, $thread) = @$lookup;
	my %blocked = map { $_ => 1 } signals_of(masks(slurp_file("/proc/$pid/task/$thread/status"))->{SigBlk});
	my $during = masks(slurp_file("/proc/$pid/status"));

	is($pid, $session->{pid}, 'the session looks up a name');
	isnt($thread, $pid, 'in a thread of its own');
	is_deeply(
		[ grep { !$blocked{$_} } qw(HUP INT QUIT USR1 USR2 PIPE ALRM TERM CHLD CONT URG VTALRM PROF IO) ],
		[], 'the thread has every signal blocked that the server handles');
	is(scalar(grep { !/^(KILL|STOP)$/ && !$blocked{$_} } (split / /, $Config{sig_name})[ 1 .. 31 ]),
		0, 'and all others that can be');

	$shim->end_dns;
	my $printed = finish_session($session);
	my @before_after = map { masks($_) } split /^$users\n/m, $printed;

	is(@before_after, 2, 'and ends with the right number of users');
	is_deeply($during, $before_after[0], 'the session itself has the mask and handlers of before, during the look-up');
	is_deeply($before_after[1], $before_after[0], 'and after it');
}

# ---- A hail of signals

$shim->slow_dns(0.003);
{
	my $session = start_session("CALL scan_on();\nSELECT 'still here';\n");
	my $sent = 0;

	$sim->reset_stats;

	while ($sent < $signals || $sim->stats->{list} < $scans)
	{
		$sent += kill($_, ($session->{pid}) x 20) ? 20 : die "kill: $!" for qw(USR1 URG USR1 ALRM USR1);
		kill('HUP', $session->{pid}) if $sent % 10_000 == 0;
		sleep(0.002);
	}
	$node->safe_psql('postgres', 'INSERT INTO hail VALUES (true)');
	my $printed = finish_session($session);

	like($printed, qr/^\d+\|0\nstill here\n$/, 'each scan under 100,000 signals is right');
	cmp_ok($printed =~ /^(\d+)/ ? $1 : 0, '>=', $scans, 'and there were many');
	note("$sent signals, $printed");
	is($shim->dns_waiting, 0, 'no look-up was left behind');
}

unlike(slurp_file($node->logfile), qr/PANIC|FATAL|terminated by signal/, 'no process of the server has ended badly');

done_testing();
