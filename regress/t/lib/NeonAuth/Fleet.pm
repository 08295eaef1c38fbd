# Many sessions that read one listing, and the means to put them in an order: a
# provider that is held, so that whoever asks it waits, and queries that are
# begun now and ended later.
#
#	my $session = open_session($node);
#	declare($session, 'app.users');       # a cursor
#	fetch($session, 200);                 # adds to $session->{ids}
#	hold($sim);
#	begin_fetch($session, 100);
#	wait_for_held($sim, 1);               # it waits for the provider
#	let_go($sim);
#	end_query($session);
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Fleet;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run ();
use NeonAuth::Test;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(freeze thaw is_frozen wait_for_end hold let_go wait_for_held wait_for_answer lease_of wait_for_polls
  open_session begin_query end_query abandon declare begin_fetch fetch crowd);

my $count = 0;

# ---- Processes

sub is_frozen
{
	my ($pid) = @_;

	return slurp_file("/proc/$pid/stat") =~ /\) T/ ? 1 : 0;
}

sub freeze
{
	my ($pid) = @_;

	kill('STOP', $pid);
	return wait_until("process $pid to stop", sub { return is_frozen($pid) });
}

sub thaw { my ($pid) = @_; return kill('CONT', $pid); }

sub wait_for_end
{
	my ($pid) = @_;

	return wait_until("the end of process $pid", sub { return !kill(0, $pid) });
}

# From now on requests to the provider wait, those by $sim's methods too.
sub hold { my ($sim) = @_; return freeze($sim->pid); }
sub let_go { my ($sim) = @_; return thaw($sim->pid); }

# How many sockets have something to read, of those whose line in /proc has this.
# An end of the connection is one byte there.
sub unread
{
	my ($addresses) = @_;

	return scalar(() = slurp_file('/proc/net/tcp') =~ /^ *\d+: $addresses 0[18] \w+:0*[1-9A-F][0-9A-F]/mg);
}

sub address_of { my ($sim) = @_; return sprintf('0100007F:%04X', $sim->port); }

# Waits until so many requests are on their way to a provider that is held, those
# included whose sender has gone.
sub wait_for_held
{
	my ($sim, $requests) = @_;
	my $address = address_of($sim);

	return wait_until("$requests requests", sub { return unread("$address \\S+") == $requests });
}

# Waits until it has answered somebody who is frozen.
sub wait_for_answer
{
	my ($sim) = @_;
	my $address = address_of($sim);

	return wait_until('an answer', sub { return unread("\\S+ $address") > 0 });
}

# The key that says that somebody fetches a page of what is cached under this
# prefix; undef if nobody does.
sub lease_of
{
	my ($redis, $prefix) = @_;

	return ($redis->keys("$prefix:*:l"))[0];
}

# Waits until those who wait for the one with the lease have asked for it so often
# since Redis's counters were reset.
sub wait_for_polls
{
	my ($redis, $times) = @_;

	return wait_until('sessions that wait', sub { return +{ set => 0, $redis->commands }->{set} >= $times });
}

# ---- Sessions

sub open_session
{
	my ($node) = @_;
	my $psql = $node->background_psql('postgres', on_error_stop => 0);

	$psql->set_query_timer_restart;
	return { psql => $psql, pid => $psql->query_safe('SELECT pg_backend_pid()'), ids => [] };
}

# Sends SQL and waits for nothing.
sub begin_query
{
	my ($session, $sql) = @_;
	my $psql = $session->{psql};

	$psql->{stderr} = '';
	$psql->{stdin} .= "$sql\n";
	$psql->{run}->pump_nb while length $psql->{stdin};
	return;
}

# Waits for the end of what was begun; returns what it printed, or what went wrong.
sub end_query
{
	my ($session) = @_;
	my $psql = $session->{psql};
	my $out = $psql->query('');
	my $err = $psql->{stderr};

	$psql->{stderr} = '';
	my $file = delete $session->{file};

	push @{ $session->{ids} }, split /\n/, slurp_file($file) if $file && -e $file;
	return $err ne '' ? $err : $out;
}

# Ends a session that has no server any more, or never will.
sub abandon
{
	my ($session) = @_;

	$session->{psql}->{run}->kill_kill;
	return;
}

# Begins to read the ids of all users of this table.
sub declare
{
	my ($session, $table) = @_;

	$session->{ids} = [];
	$session->{psql}->query_safe("BEGIN; DECLARE c CURSOR FOR SELECT id FROM $table");
	return;
}

# Begins to read so many more users, or 'ALL' that are left.
sub begin_fetch
{
	my ($session, $users) = @_;

	$session->{file} = PostgreSQL::Test::Utils::tempdir() . '/fetch' . ++$count;
	begin_query($session, "FETCH $users FROM c \\g $session->{file}");
	return;
}

sub fetch
{
	my ($session, $users) = @_;

	begin_fetch($session, $users);
	return end_query($session);
}

# Runs that SQL in so many sessions, which begin at the same moment.  A file of
# several is for sessions by lot.
sub crowd
{
	my ($node, $sessions, @sql) = @_;
	my $gate = open_session($node);
	my ($out, @files) = ('');

	for my $sql (@sql)
	{
		push @files, '-f', PostgreSQL::Test::Utils::tempdir() . '/crowd' . ++$count;
		append_to_file($files[-1], "SELECT pg_advisory_lock_shared(1);\n$sql;\n");
	}
	$gate->{psql}->query_safe('SELECT pg_advisory_lock(1)');
	my $run = IPC::Run::start(
		[ $node->installed_command('pgbench'), '-n', '-c', $sessions, '-t', 1, @files, $node->connstr('postgres') ],
		'<', '/dev/null', '>', \$out, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$node->poll_query_until('postgres',
		"SELECT count(*) = $sessions FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
	  or die "the sessions did not come:\n$out";
	$gate->{psql}->quit;
	$run->finish or die "pgbench failed:\n$out";
	return $out;
}

1;
