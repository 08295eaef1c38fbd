
# A proxy between the extension and a real Redis.  It knows commands and replies,
# and does to some of them what a fault says; faults come and go while connections
# are open, and a method returns when it is so.
#
#	my $redis = start_redis();
#	my $proxy = start_redis_proxy($redis);
#	add_server($node, $sim, options => ", redis_url '" . $proxy->url . "'");
#	$proxy->fault({ command => 'HMGET', after => 2, do => 'half' });
#	... start a query ...
#	$proxy->wait_waiting(1);          # its third HMGET got half of a reply
#	$proxy->clear;
#	$proxy->reset;
#	... run a query ...
#	is($proxy->trips, 1);             # it asked once, and this is what:
#	is_deeply([ map { $_->[0] } $proxy->seen ], [ 'GET', 'HMGET' ]);
#
# A fault is a hash.  Which commands it is for:
#	command   this one, in upper case (any)
#	key       pattern that its first argument must match
#	words     pattern that all its words, with blanks between, must match
#	after     how many of those are let pass first (0)
#	times     how many it is done to after that (all)
# and what is done:
#	do => 'error'       text instead of a reply; within MULTI, EXEC then fails
#	      'reply'       bytes instead of a reply
#	      'garbage'     length (1000) bytes that look random, always the same
#	      'stall'       nothing is answered on this connection any more
#	      'close'       it is closed
#	      'half'        half of the reply, then nothing any more
#	      'half_close'  half of the reply, then it is closed
#	      'drip'        the reply byte by byte, each after a pause of so many seconds
#	      'flip'        the reply with bit (0) of a byte changed, at offset from its end;
#	                    the last of a value is at 3, before CR and LF, as is preset
#	      'delay'       the reply, after a pause of so many seconds
#	      'call'        commands, an array of arrays of words, done by Redis before this
#	                    command (when => 'after': between it and its reply); the word
#	                    KEY stands for the key
#	      'record'      nothing, but the words and the reply are kept for recorded
# Redis does not get the command with the first five, unless "pass" is true.  Of
# the faults for a command, the first is done, in order of creation; but call and
# record leave it to the next ones.  Each command of a connection is passed on when
# the one before was answered, even if they came at once.
#
# A fault of connections from now on, until clear, has this alone:
#	connect => 'refuse' nobody listens
#	           'close'  they are accepted and closed
#	           'ignore' they are made, but not accepted before clear
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::RedisProxy;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use File::Basename qw(dirname);
use IO::Socket::INET;
use NeonAuth::Test qw(wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Storable qw(nfreeze thaw);

our @EXPORT = qw(start_redis_proxy);

my $program = dirname(__FILE__) . '/redis_proxy.pl';
my $owner = $$;
my $count = 0;
my %running;

# Starts a proxy of this Redis.
sub start_redis_proxy
{
	my ($redis) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/redis_proxy' . ++$count;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $self = bless { port => $port }, __PACKAGE__;

	# A process of its own, not a copy of this one, which would hold on to the
	# pipes of each psql.  It ends when its standard input does.
	$self->{pid} = open($self->{lifeline}, '|-', $^X, $program, $port, $redis->socket, $redis->{password} // '',
		$file, "$PostgreSQL::Test::Utils::log_path/redis_proxy$count.log") || die "fork: $!";
	$running{ $self->{pid} } = $self;
	wait_until('the proxy', sub { return -e $file; });
	$self->{control} = slurp_file($file);
	return $self;
}

sub pid { return $_[0]->{pid}; }
sub port { return $_[0]->{port}; }
sub url { return "redis://127.0.0.1:$_[0]->{port}"; }

# Has the process call a function of its table with these arguments, and returns
# the array that it returns.
sub control
{
	my ($self, @call) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{control}") // die "proxy: $!";
	local $/ = undef;

	$socket->print(nfreeze(\@call));
	$socket->shutdown(1);
	my $result = thaw(readline($socket) // die 'the proxy is gone');
	die $result->{died} if ref $result eq 'HASH';
	return @$result;
}

# Adds a fault and returns its number.
sub fault
{
	my ($self, $fault) = @_;
	my %copy = map { $_ => ref $fault->{$_} eq 'Regexp' ? "$fault->{$_}" : $fault->{$_} } keys %$fault;

	return ($self->control('fault', \%copy))[0];
}

# Drops all faults.  What a fault has begun on a connection goes on.
sub clear { my ($self) = @_; return $self->control('clear'); }

# How often a fault was done, by its number.
sub fired { my ($self, $number) = @_; return ($self->control('fired', $number))[0]; }

# The commands that came since the start or reset, those that Redis did not get
# included: arrays of words.  A word that is not printable is "<N bytes>" there.
sub seen { my ($self) = @_; return $self->control('seen'); }

# How often a client asked since then: bytes came after all replies had been sent.
sub trips { my ($self) = @_; return ($self->control('trips'))[0]; }

# What faults have recorded since then: hashes of words, as they were, and reply.
sub recorded { my ($self) = @_; return $self->control('recorded'); }

# Forgets what was counted, seen and recorded.
sub reset { my ($self) = @_; return $self->control('reset'); }

# How many connections were accepted since then; how many are open.
sub accepted { my ($self) = @_; return ($self->control('accepted'))[0]; }
sub connections { my ($self) = @_; return ($self->control('connections'))[0]; }

# Closes those that are open.
sub disconnect { my ($self) = @_; return $self->control('disconnect'); }

# How many connections a fault holds up now, and still open: stall, half, drip,
# delay.
sub waiting { my ($self) = @_; return ($self->control('waiting'))[0]; }

# Waits until that many do.
sub wait_waiting
{
	my ($self, $number) = @_;

	wait_until("$number waiting connections", sub { return $self->waiting >= $number; });
	return;
}

# Ends the proxy and its connections.
sub stop
{
	my ($self) = @_;

	return unless delete $running{ $self->{pid} };
	local ($!, $?);
	kill('TERM', $self->{pid});  # in case it waits for a Redis that stands still
	close($self->{lifeline});    # waits for the process
	return;
}

END
{
	if ($$ == $owner)
	{
		$_->stop for values %running;
	}
}

1;
