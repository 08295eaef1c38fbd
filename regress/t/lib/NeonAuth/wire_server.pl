
# The process behind NeonAuth::Wire: listens on a port of 127.0.0.1 and goes
# through the steps of a script for each connection, in a process of its own, so
# that the steps are plain blocking code.  Its arguments are a folder, a log file,
# and the port, or 0 for a free one.  The folder has what it shares with the test: the port; the
# script; N.in, the bytes received on connection N; N.step, the name of its step.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IO::Select;
use IO::Socket::INET;
use List::Util qw(min);
use POSIX qw(WNOHANG);
use Socket;
use Storable qw(retrieve);
use Time::HiRes qw(sleep);

# Writes a file so that nobody sees a part of it.
sub spurt
{
	my ($file, $text) = @_;

	open(my $handle, '>', "$file.new") or die "$file: $!";
	print {$handle} $text;
	close($handle) or die "$file: $!";
	rename("$file.new", $file) or die "$file: $!";
	return;
}

# Accepts connections until the standard input ends, then ends their processes.
sub serve
{
	my ($folder, $log, $port) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1, Listen => 128, Proto => 'tcp')
	  or die "listen: $!";
	my $select = IO::Select->new($listener, \*STDIN);
	my ($number, %children) = (0);

	$SIG{PIPE} = 'IGNORE';

	# The test's output would not end before this process does.
	open(STDOUT, '>', '/dev/null') or die "stdout: $!";
	open(STDERR, '>', $log) or die "stderr: $!";
	$number++ while -e "$folder/$number.step";
	spurt("$folder/port", $listener->sockport);
	for (; !grep { $_ == \*STDIN } $select->can_read; $number++)
	{
		my $client = $listener->accept or die "accept: $!";
		my $script = retrieve("$folder/script");

		spurt("$folder/$number.step", 'accepted');
		my $pid = fork() // die "fork: $!";
		serve_connection("$folder/$number", $client, $number - $script->{first}, @{ $script->{steps} })
		  if $pid == 0;
		$children{$pid} = 1;
		while ((my $ended = waitpid(-1, WNOHANG)) > 0)
		{
			delete $children{$ended};
		}
	}
	kill('TERM', keys %children);
	waitpid($_, 0) for keys %children;
	return;
}

my %steps = (
	# until what came since the last match has this pattern, a string
	read => sub {
		my ($connection, $pattern) = @_;

		receive($connection) until $connection->{unread} =~ /$pattern/;
		substr($connection->{unread}, 0, $+[0], '');
	},
	# this many Redis commands
	command => sub {
		my ($connection, $number) = @_;

		for (1 .. $number)
		{
			my $length;

			receive($connection) until $length = command_length($connection->{unread});
			substr($connection->{unread}, 0, $length, '');
		}
	},
	send => sub {
		my ($connection, $bytes) = @_;

		transmit($connection, $bytes);
	},
	# byte by byte, with a pause of so many seconds after each
	drip => sub {
		my ($connection, $bytes, $seconds) = @_;

		for my $byte (split //, $bytes)
		{
			transmit($connection, $byte);
			sleep($seconds);
		}
	},
	# again and again
	flood => sub {
		my ($connection, $bytes) = @_;
		my $more = $bytes x (1 + 65536 / length $bytes);

		transmit($connection, $more) while 1;
	},
	# to a server at this port and back, until it ends or so many bytes of
	# { request => ..., reply => ... } have passed; another one goes on there
	forward => \&forward,
	# nothing, until the client ends
	stall => sub { receive($_[0]) while 1; },
	close => \&hang_up,
	# with RST, where close sends FIN if the client has sent no more than was read
	reset => sub {
		setsockopt($_[0]->{client}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) or die "linger: $!";
		hang_up($_[0]);
	});

# Goes through the steps and exits.  Two of them choose what comes next:
#	['loop']                begins again
#	['turn', [@steps],...]  takes the first list for the first connection since the
#	                        script was set, the second for the second, the last for
#	                        all others
sub serve_connection
{
	my ($path, $client, $turn, @script) = @_;
	my $connection = { path => $path, client => $client, unread => '' };
	my @left = @script;

	open($connection->{received}, '>', "$path.in") or die "$path.in: $!";
	while (my $step = shift @left)
	{
		my ($name, @arguments) = @$step;

		if ($name eq 'turn')
		{
			@left = @script = @{ $arguments[ min($turn, $#arguments) ] };
		}
		elsif ($name eq 'loop')
		{
			@left = @script;
		}
		else
		{
			spurt("$path.step", $name);
			$steps{$name}->($connection, @arguments);
		}
	}
	hang_up($connection);
	return;
}

# Ends the connection and its process.
sub hang_up
{
	my ($connection) = @_;

	close($connection->{client});
	spurt("$connection->{path}.step", 'closed');
	POSIX::_exit(0);
}

# Waits for more from the client.
sub receive
{
	my ($connection) = @_;

	sysread($connection->{client}, my $bytes, 65536) or hang_up($connection);
	syswrite($connection->{received}, $bytes);
	$connection->{unread} .= $bytes;
	return;
}

sub transmit
{
	my ($connection, $bytes) = @_;

	syswrite($connection->{client}, $bytes) // hang_up($connection);
	return;
}

# The length of the Redis command that the bytes begin with; 0 if it is not whole.
sub command_length
{
	my ($bytes) = @_;
	my $length = $bytes =~ /\A\*(\d+)\r\n/ ? $+[0] : return 0;

	for (1 .. $1)
	{
		return 0 unless $length < length $bytes && substr($bytes, $length) =~ /\A\$(\d+)\r\n/;
		$length += $+[0] + $1 + 2;
	}
	return $length <= length $bytes ? $length : 0;
}

sub forward
{
	my ($connection, $port, $limits) = @_;
	my $server = $connection->{server} //= IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port")
	  // hang_up($connection);
	my %left = (request => 2**53, reply => 2**53, %{ $limits // {} });
	my $select = IO::Select->new($connection->{client}, $server);

	while ($left{request} > 0 && $left{reply} > 0)
	{
		my $bytes = substr($connection->{unread}, 0, min($left{request}, length $connection->{unread}), '');

		syswrite($server, $bytes);
		$left{request} -= length $bytes;
		for my $ready (length $bytes ? () : $select->can_read)
		{
			if ($ready == $connection->{client})
			{
				receive($connection);
			}
			elsif (sysread($server, my $answer, min($left{reply}, 65536)))
			{
				transmit($connection, $answer);
				$left{reply} -= length $answer;
			}
			else
			{
				delete $connection->{server};
				return;
			}
		}
	}
	return;
}

serve(@ARGV);
