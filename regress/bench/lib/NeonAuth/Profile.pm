
# Where the time of a backend goes while it runs statements: its seconds of work by what it
# works at, told from stacks that perf takes; those in the kernel; and those that it
# waits.  They add up to the seconds that have passed.
#
#	my $where = profile($session, \@groups, sub { ... });
#	# { wall => 1.9, waiting => 0.2, kernel => 0.3, jsonb => 1.1, rest => 0.3 }
#
# Groups are names and patterns of functions or libraries, in turn.  A stack counts for the
# group of the innermost function that has one, so what a function of the server is called
# for counts for whoever called it.  perf may not look into the kernel for a user.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Profile;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run ();
use NeonAuth::Test;
use POSIX ();
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(profile);

# Stacks a second, and bytes of each.
my ($frequency, $depth) = (497, 24576);

# Seconds of a process in its own code and in the kernel.
sub cpu_of
{
	my ($pid) = @_;
	my @fields = split / /, slurp_file("/proc/$pid/stat") =~ s/^.*\) //r;

	return map { $_ / POSIX::sysconf(POSIX::_SC_CLK_TCK()) } @fields[ 11, 12 ];
}

# The group of a stack, its innermost function first.
sub group_of
{
	my ($groups, @stack) = @_;

	for my $frame (@stack)
	{
		for (my $i = 0; $i < @$groups; $i += 2)
		{
			return $groups->[$i] if $frame =~ $groups->[ $i + 1 ];
		}
	}
	return 'rest';
}

# How many stacks of a recording belong to each group, and how many there are.
sub count_stacks
{
	my ($file, $groups) = @_;
	my (%count, @stack);

	open(my $script, '-|', 'perf', 'script', '--no-inline', '-F', 'ip,sym,dso', '-i', $file) or die "perf script: $!";
	while (my $line = <$script>)
	{
		if ($line =~ /^\s+[0-9a-f]+ (.*)$/)
		{
			push @stack, $1;
			next;
		}
		$count{ group_of($groups, @stack) }++ if @stack;
		@stack = ();
	}
	$count{ group_of($groups, @stack) }++ if @stack;
	close($script) or die "perf script: $?";
	return \%count;
}

sub profile
{
	my ($session, $groups, $code) = @_;
	my $pid = $session->must('SELECT pg_backend_pid()');
	my $file = PostgreSQL::Test::Utils::tempdir() . '/perf.data';
	my $perf = IPC::Run::start([ 'perf', 'record', '-q', '-e', 'cpu-clock:u', '-F', $frequency, '--call-graph', "dwarf,$depth", '-p', $pid, '-o', $file ],
		'<', '/dev/null', '>', '/dev/null', '2>', "$file.log");

	# it opens its counters before it writes the head of the file
	wait_until('perf to begin', sub { die slurp_file("$file.log") if !$perf->pumpable; return -s $file; });
	sleep(0.5);
	my ($begin, @before) = (time(), cpu_of($pid));
	$code->();
	my ($wall, @after) = (time() - $begin, cpu_of($pid));
	$perf->signal('INT');
	$perf->finish;

	my ($own, $kernel) = map { $after[$_] - $before[$_] } 0, 1;
	my $count = count_stacks($file, $groups);
	my $all = 0;
	$all += $_ for values %$count;
	unlink($file);
	return { wall => $wall, kernel => $kernel, waiting => $wall - $own - $kernel, map { ($_ => $own * $count->{$_} / $all) } keys %$count };
}

1;
