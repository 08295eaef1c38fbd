
# A server that does what a script says, byte for byte: it stalls, cuts, drips,
# floods, resets, or passes on to a real server until then.  For HTTP and Redis
# alike, since it knows neither.
#
#	my $wire = start_wire(['read', '\r\n\r\n'], ['send', $half], ['stall']);
#	... start a query of $wire->url ...
#	$wire->wait_at('stall', 1);
#	... it waits now, and will until the test ends it ...
#
# The steps, array references, are done in order by wire_server.pl, where each is
# explained: read, command, send, drip, flood, forward, stall, close, reset, loop
# and turn.  After the last one, and at the client's end, the connection is closed.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Wire;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use File::Basename qw(basename dirname);
use IO::Socket::INET;
use NeonAuth::Test qw(wait_until);
use PostgreSQL::Test::Utils;
use Socket;
use Storable qw(nstore);
use Time::HiRes qw(sleep);

our @EXPORT = qw(start_wire start_black_hole);

my $program = dirname(__FILE__) . '/wire_server.pl';
my $owner = $$;
my $count = 0;
my %running;

# Starts a server with this script and returns it.
sub start_wire
{
	my (@steps) = @_;
	my $folder = PostgreSQL::Test::Utils::tempdir() . '/wire' . ++$count;
	my $self = bless { folder => $folder }, __PACKAGE__;

	mkdir $folder or die "$folder: $!";
	$self->script(@steps);
	$self->start;
	return $self;
}

# Starts it, on the port that it had, if there was one.
sub start
{
	my ($self) = @_;
	my $folder = $self->{folder};
	my $log = "$PostgreSQL::Test::Utils::log_path/" . basename($folder) . '.log';

	# A process of its own, not a copy of this one, which would hold on to the
	# pipes of each psql.  It ends when its standard input does.
	$self->{pid} = open($self->{lifeline}, '|-', $^X, $program, $folder, $log, $self->{port} // 0) || die "fork: $!";
	$running{ $self->{pid} } = $self;
	wait_until('the port', sub { return -e "$folder/port"; });
	$self->{port} = slurp_file("$folder/port");
	return;
}

sub pid { return $_[0]->{pid}; }
sub port { return $_[0]->{port}; }
sub url { return "http://127.0.0.1:$_[0]->{port}"; }

# What is done with connections accepted from now on.
sub script
{
	my ($self, @steps) = @_;

	nstore({ first => $self->connections, steps => \@steps }, "$self->{folder}/new");
	rename("$self->{folder}/new", "$self->{folder}/script") or die "rename: $!";
	return;
}

# How many connections were accepted.
sub connections
{
	my ($self) = @_;
	my $number = 0;

	$number++ while -e "$self->{folder}/$number.step";
	return $number;
}

# How many connections are in a step of this name now, or 'closed'.
sub at
{
	my ($self, $name) = @_;

	return scalar grep { slurp_file("$self->{folder}/$_.step") eq $name } 0 .. $self->connections - 1;
}

# Waits until that many are.
sub wait_at
{
	my ($self, $name, $number) = @_;

	wait_until("$number connections at step $name", sub { return $self->at($name) >= $number; });
	return;
}

# The bytes that the client sent on this connection, counted from 0, so far.
sub received
{
	my ($self, $number) = @_;

	return slurp_file("$self->{folder}/$number.in");
}

# Ends the server and its connections; start goes on at the same port.
sub stop
{
	my ($self) = @_;

	return unless delete $running{ $self->{pid} };
	local $SIG{PIPE} = 'IGNORE';
	local ($!, $?);
	syswrite($self->{lifeline}, "end\n");
	close($self->{lifeline});    # waits for the process
	unlink("$self->{folder}/port");
	return;
}

END
{
	if ($$ == $owner)
	{
		$_->stop for values %running;
	}
}

# Returns an object with port and url, where no connection is ever made or
# refused: the queue of connections to be accepted is full, so that the kernel
# drops what comes in.  Its port is a free one, or the one given; it ends with
# the object.
sub start_black_hole
{
	my ($at) = @_;

	socket(my $listener, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
	setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, 1) or die "reuse: $!";
	bind($listener, sockaddr_in($at // 0, INADDR_LOOPBACK)) or die "bind: $!";
	listen($listener, 0) or die "listen: $!";
	my ($port) = sockaddr_in(getsockname($listener));
	my $self = bless { port => $port, listener => $listener, queue => [] }, __PACKAGE__;

	for (1 .. 10)
	{
		my $socket = IO::Socket::INET->new(Proto => 'tcp', Blocking => 0) or die "socket: $!";
		connect($socket, sockaddr_in($port, INADDR_LOOPBACK));
		push @{ $self->{queue} }, $socket;
		sleep(0.1);
		return $self unless defined getpeername($socket);
	}
	die 'the kernel accepts connections beyond the queue';
}

1;
