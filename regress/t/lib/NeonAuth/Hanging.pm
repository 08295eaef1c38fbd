# A refresh that stands still at a request to the simulator, in a session of its own.
#
#	my $run = hang_refresh($node, $sim, { match => 'count' }, "CALL ...", 'SELECT 1');
#	... $node->safe_psql('postgres', 'SELECT ... WHERE pid = ' . $run->pid) ...
#	my $text = $run->release;     # what psql said, errors with their SQLSTATE
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Hanging;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run ();
use JSON::PP;
use NeonAuth::Test qw(wait_until);
use PostgreSQL::Test::Utils;

our @EXPORT = qw(hang_refresh);

my $count = 0;

# Runs the statements one by one, also after an error, and returns when the first
# one has sent the request that the fault names, which is not answered.  A hash
# among the statements has options: database (postgres), settings ("name=value").
sub hang_refresh
{
	my ($node, $sim, $fault, @statements) = @_;
	my %opts = map { ref ? %$_ : () } @statements;
	my $database = $opts{database} // 'postgres';
	my $name = 'hanging' . ++$count;
	my $self = bless { sim => $sim, text => '' }, __PACKAGE__;
	my $hits = $sim->stats->{faults};
	my $settings = $opts{settings} ? " options='-c $opts{settings}'" : '';

	$sim->fault({ %$fault, hang => JSON::PP::true });
	$self->{run} = IPC::Run::start(
		[
			$node->installed_command('psql'), '-XAtq', '-v', 'VERBOSITY=verbose',
			'-d', $node->connstr($database) . " application_name=$name$settings",
			map { ref ? () : ('-c', $_) } @statements ],
		'<', \undef, '>', \$self->{text}, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	wait_until('the request hangs', sub {
		$self->{run}->pump_nb;
		die "the refresh did not hang: $self->{text}" unless $self->{run}->pumpable;
		return $sim->stats->{faults} > $hits;
	});
	$self->{pid} = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = '$name'");
	return $self;
}

# Process id of its backend.
sub pid { return $_[0]->{pid}; }

# Waits until psql has ended; returns what it said.
sub finish
{
	my ($self) = @_;

	$self->{run}->finish;
	return $self->{text};
}

# Lets the provider go on, and waits.
sub release
{
	my ($self) = @_;

	$self->{sim}->clear_faults;
	$self->{sim}->stats;    # the simulator closes what hung with its next call
	return $self->finish;
}

1;
