# A psql that goes on: many statements without a new process for each, and with
# what was said, errors included, in the order it was said.
#
#	my $session = new_session($node);
#	my $text = $session->ask('SELECT 1');     # undef when the server has ended it
#	$session->begin('SELECT pg_sleep(5)');    # does not wait
#	... $session->said ...
#	$text = $session->finish;
#	is(outcome_of($session->ask('CALL neon_auth.refresh_users_sync()'), 0, 1), 'ok 100/0', 'a refresh');
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Session;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IO::Select;
use POSIX ();
use PostgreSQL::Test::Utils;

our @EXPORT = qw(new_session outcome_of);

# Options: database (postgres).
sub new_session
{
	my ($node, %opts) = @_;
	my $connection = $node->connstr($opts{database} // 'postgres');
	my $psql = $node->installed_command('psql');

	pipe(my $from_us, my $to_psql) or die "pipe: $!";
	pipe(my $from_psql, my $to_us) or die "pipe: $!";
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		close($_) for $to_psql, $from_psql;
		open(STDIN, '<&', $from_us) and open(STDOUT, '>&', $to_us) and open(STDERR, '>&', $to_us) and
		  exec {$psql} $psql, '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $connection, '-f', '-';
		POSIX::_exit(127);
	}
	$to_psql->autoflush(1);
	return bless { pid => $pid, in => $to_psql, out => $from_psql, count => 0 }, __PACKAGE__;
}

# Runs statements; returns what psql said.
sub ask
{
	my ($self, $sql) = @_;

	$self->begin($sql);
	return $self->finish;
}

# Has psql run statements, and does not wait for them.
sub begin
{
	my ($self, $sql) = @_;
	local $SIG{PIPE} = 'IGNORE';

	@{$self}{qw(sql text mark)} = ($sql, '', '=' . ++$self->{count} . '=');
	print { $self->{in} } "$sql\n;\n\\echo $self->{mark}\n";
	return;
}

# What it has said of them so far, after waiting that many seconds at most for more.
sub said
{
	my ($self, $seconds) = @_;

	sysread($self->{out}, $self->{text}, 65536, length $self->{text})
	  if IO::Select->new($self->{out})->can_read($seconds // 0);
	return $self->{text};
}

# Waits for their end; returns what psql said.
sub finish
{
	my ($self) = @_;
	my $select = IO::Select->new($self->{out});

	while ($self->{text} !~ s/\n?^$self->{mark}\n\z//m)
	{
		$! = 0;
		$select->can_read($PostgreSQL::Test::Utils::timeout_default) or $!{EINTR} or die "psql is silent: $self->{sql}";
		next if $!{EINTR};
		return unless sysread($self->{out}, $self->{text}, 65536, length $self->{text});
	}
	return $self->{text};
}

# Runs statements that must not fail; dies with what psql said.
sub must
{
	my ($self, $sql) = @_;
	my $text = $self->ask($sql);

	die $text if $text =~ /^(psql:\S+: )?ERROR:/m;
	return $text;
}

# What a refresh came to, by what psql said of its CALL: "status count/count" with the
# counts at these places behind the status, or the SQLSTATE.
sub outcome_of
{
	my ($said, @places) = @_;

	return $1 if $said =~ /ERROR:  (\w{5}):/;
	my ($status, @counts) = split /\|/, ($said =~ /^((?:ok|held|busy|dry run)\|.*)$/m)[0];
	return "$status " . join('/', @counts[@places]);
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!);

	close($self->{in});
	close($self->{out});
	waitpid($self->{pid}, 0);
	return;
}

1;
