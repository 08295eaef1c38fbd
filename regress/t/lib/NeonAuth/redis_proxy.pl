
# The process behind NeonAuth::RedisProxy, where faults are explained: passes the
# commands of its clients on to a Redis, one after the other, and the replies back.
# One loop over all sockets, so that things happen in one order and a fault that
# was set counts for all that comes later.  Its arguments are its port, the socket
# and the password of the Redis, a file that gets the port for controls when all is
# ready, and a log file.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use List::Util qw(max min);
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Storable qw(nfreeze thaw);
use Time::HiRes qw(time);

my ($port, $redis, $password, $ready, $log) = @ARGV;
my ($listener, $control);
my $connect = 'accept';
my (@faults, @numbered, @seen, @recorded);
my ($trips, $accepted) = (0, 0);

# A connection has the sockets client and server, undef when closed; in, bytes of
# the client not yet looked at; reply, those of Redis; to, bytes to be written to
# each socket; and a state: idle, asked (Redis has the command now), drip, delay,
# stall, closing.
my @connections;

# ---- RESP

sub encode { my (@words) = @_; return join('', '*' . @words . "\r\n", map { '$' . length . "\r\n$_\r\n" } @words); }

# The length of the command or reply that the bytes begin with; 0 if it is not
# whole.  Adds its strings to an array.
sub length_of
{
	my ($bytes, $strings) = @_;
	my $at = 0;

	for (my $left = 1; $left > 0; $left--)
	{
		my $end = index($$bytes, "\r\n", $at);
		return 0 if $end < 0;
		my ($type, $number) = substr($$bytes, $at, $end - $at) =~ /\A([-+:\$*])(.*)\z/s or die "not RESP\n";

		$at = $end + 2;
		$left += $number if $type eq '*' && $number > 0;
		next unless $type eq '$' && $number >= 0;
		push @$strings, substr($$bytes, $at, $number) if $strings;
		$at += $number + 2;
	}
	return $at <= length $$bytes ? $at : 0;
}

# Has Redis do these commands now, on a connection for it alone.
sub call
{
	my ($connection, @commands) = @_;
	my $server = IO::Socket::UNIX->new(Peer => $redis) // return;
	my @login = length $password ? [ 'AUTH', $password ] : ();

	for my $words (@login, [ 'SELECT', $connection->{database} ], @commands)
	{
		my $reply = '';

		$server->print(encode(map { $_ eq 'KEY' ? $connection->{words}[1] : $_ } @$words));
		until (length_of(\$reply))
		{
			# such as SHUTDOWN, which has none
			sysread($server, $reply, 65536, length $reply) or return;
		}
		warn "@$words: $reply" if $reply =~ /^-/;
	}
	return;
}

# ---- Faults

# Bytes of a generator with a fixed seed, the same with every Perl.
sub garbage
{
	my ($length) = @_;
	my ($state, $bytes) = (1, '');

	for (1 .. $length)
	{
		$state = ($state * 1103515245 + 12345) % 2**31;
		$bytes .= chr($state >> 16 & 255);
	}
	return $bytes;
}

sub half { my ($reply) = @_; return substr($reply, 0, length($reply) / 2); }

sub flipped
{
	my ($reply, $offset, $bit) = @_;

	substr($reply, length($reply) - ($offset // 3), 1) ^= chr(1 << ($bit // 0));
	return $reply;
}

# What is done when the reply is there, or instead of it: the bytes that the client
# gets now, the state of the connection afterwards, and bytes for later.
my %effects = (
	none => sub { my ($fault, $reply) = @_; return ($reply, 'idle'); },
	error => sub { my ($fault) = @_; return ("$fault->{text}\r\n", 'idle'); },
	reply => sub { my ($fault) = @_; return ($fault->{bytes}, 'idle'); },
	garbage => sub { my ($fault) = @_; return (garbage($fault->{length} // 1000), 'idle'); },
	stall => sub { return ('', 'stall'); },
	close => sub { return ('', 'closing'); },
	half => sub { my ($fault, $reply) = @_; return (half($reply), 'stall'); },
	half_close => sub { my ($fault, $reply) = @_; return (half($reply), 'closing'); },
	drip => sub { my ($fault, $reply) = @_; return ('', 'drip', $reply); },
	flip => sub { my ($fault, $reply) = @_; return (flipped($reply, $fault->{offset}, $fault->{bit}), 'idle'); },
	delay => sub { my ($fault, $reply) = @_; return ('', 'delay', $reply); });
my %skips_redis = map { $_ => 1 } qw(error reply garbage stall close);
my %goes_on = map { $_ => 1 } qw(call record);

# What some must have, and what all may have.
my %needs = (error => 'text', reply => 'bytes', drip => 'pause', delay => 'pause', call => 'commands');
my %known = map { $_ => 1 } values %needs, qw(do command key words after times pass length offset bit when);

sub add_fault
{
	my ($fault) = @_;
	my $do = $fault->{do};

	if ($fault->{connect})
	{
		$fault->{connect} =~ /\A(refuse|close|ignore)\z/ && keys %$fault == 1 or die "no such fault of connections\n";
		$connect = $1;
		open_port($connect ne 'refuse');
		return;
	}
	$do && ($effects{$do} || $goes_on{$do}) or die "no such fault\n";
	$known{$_} or die "a fault has no \"$_\"\n" for keys %$fault;
	!$needs{$do} || defined $fault->{ $needs{$do} } or die "$do needs \"$needs{$do}\"\n";
	$fault->{$_} //= 0 for qw(after fired);
	$fault->{pass} //= !$skips_redis{$do};
	push @$_, $fault for \(@faults, @numbered);
	return $#numbered;
}

# The faults that are done to this command.
sub faults_of
{
	my (@words) = @_;
	my @done;

	for my $fault (@faults)
	{
		next if defined $fault->{command} && $fault->{command} ne uc $words[0];
		next if defined $fault->{key} && ($words[1] // '') !~ /$fault->{key}/;
		next if defined $fault->{words} && "@words" !~ /$fault->{words}/;
		next if $fault->{after} > 0 && $fault->{after}--;
		next if defined $fault->{times} && $fault->{fired} >= $fault->{times};
		$fault->{fired}++;
		push @done, $fault;
		last unless $goes_on{ $fault->{do} };
	}
	return @done;
}

# ---- A connection

# Does the calls that faults ask for before or after the command.
sub make_calls
{
	my ($c, $when) = @_;

	call($c, @{ $_->{commands} }) for grep { $_->{do} eq 'call' && ($_->{when} // 'before') eq $when } @{ $c->{faults} };
	return;
}

# Takes the next command when there is one.
sub take_command
{
	my ($c) = @_;
	my $length = length_of(\$c->{in}) or return 0;
	my $command = substr($c->{in}, 0, $length, '');
	length_of(\$command, \my @words);
	die "an empty command\n" unless @words;

	push @seen, [ map { /\A[ -~]*\z/ ? $_ : '<' . length . ' bytes>' } @words ];
	@{$c}{qw(words faults)} = (\@words, [ faults_of(@words) ]);
	($c->{effect}) = ((grep { !$goes_on{ $_->{do} } } @{ $c->{faults} }), { do => 'none', pass => 1 });
	make_calls($c, 'before');
	if (uc $words[0] eq 'EXEC' && $c->{multi} && ($c->{spoilt} || !$c->{effect}{pass}))
	{
		# Redis must not do what the client is told was not done
		$command = encode('DISCARD');
		$c->{effect} = { do => 'error', text => '-EXECABORT Transaction discarded because of previous errors.' }
		  if $c->{effect}{pass};
	}
	elsif (!$c->{effect}{pass})
	{
		answer($c, '');
		return 1;
	}
	$c->{to}{server} .= $command;
	$c->{state} = 'asked';
	return 1;
}

# Gives the client what it gets, now that Redis has answered or was not asked.
sub answer
{
	my ($c, $reply) = @_;
	my ($name, $effect) = (uc $c->{words}[0], $c->{effect});

	make_calls($c, 'after');
	push @recorded, { words => $c->{words}, reply => $reply } if grep { $_->{do} eq 'record' } @{ $c->{faults} };
	$c->{database} = $c->{words}[1] if $name eq 'SELECT' && $reply =~ /^\+OK/;
	$c->{spoilt} ||= $effect->{do} eq 'error';
	@{$c}{qw(multi spoilt)} = ($name eq 'MULTI', 0) if $name =~ /\A(MULTI|EXEC|DISCARD)\z/ && $reply ne '';
	(my $now, @{$c}{qw(state later)}) = $effects{ $effect->{do} }->($effect, $reply);
	@{$c}{qw(pause due)} = ($effect->{pause}, time() + ($effect->{pause} // 0));
	$c->{to}{client} .= $now;
	return;
}

# Does what can be done without waiting.
sub work
{
	my ($c) = @_;

	while (1)
	{
		if ($c->{state} =~ /drip|delay/ && time() >= $c->{due})
		{
			$c->{to}{client} .= substr($c->{later}, 0, $c->{state} eq 'drip' ? 1 : length $c->{later}, '');
			transmit($c, 'client');
			$c->{due} = time() + $c->{pause};
			$c->{state} = 'idle' if $c->{later} eq '';
		}
		elsif ($c->{state} eq 'idle')
		{
			last unless take_command($c);
		}
		elsif ($c->{state} eq 'asked' && (my $length = length_of(\$c->{reply})))
		{
			answer($c, substr($c->{reply}, 0, $length, ''));
		}
		else
		{
			last;
		}
	}
	$c->{state} = 'closing' if !$c->{server} && $c->{state} =~ /idle|asked/;
	transmit($c, $_) for qw(client server);
	hang_up($c) if $c->{client} ? $c->{state} eq 'closing' && $c->{to}{client} eq '' : $c->{state} ne 'asked';
	return;
}

# Writes what can be written to one side; to nobody if it is gone.
sub transmit
{
	my ($c, $side) = @_;
	my $sent = $c->{$side} ? syswrite($c->{$side}, $c->{to}{$side}) : length $c->{to}{$side};

	substr($c->{to}{$side}, 0, $sent // 0, '');
	lose($c, $side) if !defined $sent && !$!{EAGAIN};
	return;
}

# Reads what has come from one side.
sub receive
{
	my ($c, $side) = @_;
	my $bytes = '';

	$! = 0;
	1 while sysread($c->{$side}, $bytes, 1 << 20, length $bytes);
	lose($c, $side) unless $!{EAGAIN};
	if ($side eq 'server')
	{
		$c->{reply} .= $bytes;
	}
	elsif ($bytes ne '' && $c->{state} ne 'stall')
	{
		$trips++ if $c->{state} eq 'idle' && $c->{in} eq '' && $c->{to}{client} eq '';
		$c->{in} .= $bytes;
	}
	return;
}

# This side is gone.  What a client sent before is still passed on.
sub lose { my ($c, $side) = @_; close(delete $c->{$side}) if $c->{$side}; return; }

sub hang_up { my ($c) = @_; lose($c, $_) for qw(client server); $c->{state} = 'closing'; return; }

sub accept_connection
{
	my $client = $listener->accept // return;
	my $server = $connect eq 'accept' ? IO::Socket::UNIX->new(Peer => $redis) : undef;

	$accepted++;
	return unless $server;
	setsockopt($client, IPPROTO_TCP, TCP_NODELAY, 1);
	$_->blocking(0) for $client, $server;
	push @connections, { client => $client, server => $server, to => { client => '', server => '' },
		in => '', reply => '', state => 'idle', database => 0 };
	return;
}

# ---- The test's door, and the loop

# Opens the port, or closes it; connections that wait there stay if it is open.
sub open_port
{
	my ($open) = @_;
	my @address = (LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1);

	return if !$open == !$listener;
	close($listener) if $listener;
	$listener = $open ? IO::Socket::INET->new(@address, Listen => 511) // die "listen: $!" : undef;
	return;
}

my %controls = (
	fault => sub { return add_fault(@_); },
	clear => sub { @faults = (); $connect = 'accept'; open_port(1); return; },
	fired => sub { return $numbered[ $_[0] ]{fired}; },
	seen => sub { return @seen; },
	trips => sub { return $trips; },
	recorded => sub { return @recorded; },
	reset => sub { @seen = @recorded = (); $trips = $accepted = 0; return; },
	accepted => sub { return $accepted; },
	connections => sub { return scalar grep { $_->{client} } @connections; },
	disconnect => sub { hang_up($_) for @connections; return; },
	waiting => sub { return scalar grep { $_->{client} && $_->{state} =~ /stall|drip|delay/ } @connections; });

sub obey
{
	local $/ = undef;
	my $socket = $control->accept // return;
	my ($name, @arguments) = @{ thaw(readline($socket)) };
	my @result = eval { $controls{$name}->(@arguments) };

	$socket->print(nfreeze($@ ? { died => $@ } : \@result));
	return;
}

# Until the standard input ends.
sub serve
{
	while (1)
	{
		@connections = grep { $_->{client} || $_->{server} } @connections;
		my @due = map { max(0, $_->{due} - time()) } grep { $_->{state} =~ /drip|delay/ } @connections;
		my $read = IO::Select->new(\*STDIN, $control, grep { $_ } map { @{$_}{qw(client server)} } @connections);
		my $write = IO::Select->new;

		$read->add($listener) if $listener && $connect ne 'ignore';
		for my $c (@connections)
		{
			$write->add($c->{$_}) for grep { $c->{$_} && $c->{to}{$_} ne '' } qw(client server);
		}
		my ($readable) = IO::Select->select($read, $write, undef, min(@due));
		my %is_readable = map { $_ => 1 } @{ $readable // [] };

		return if $is_readable{ \*STDIN };
		for my $c (@connections)
		{
			receive($c, $_) for grep { $c->{$_} && $is_readable{ $c->{$_} } } qw(client server);
		}
		for my $c (@connections)
		{
			next if eval { work($c); 1 };
			warn $@;
			hang_up($c);
		}
		accept_connection() if $listener && $is_readable{$listener};
		obey() if $is_readable{$control};
	}
	return;
}

$SIG{PIPE} = 'IGNORE';

# The test's output would not end before this process does.
open(STDOUT, '>', '/dev/null') or die "stdout: $!";
open(STDERR, '>', $log) or die "stderr: $!";
open_port(1);
$control = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128) // die "listen: $!";
open(my $file, '>', "$ready.new") or die "$ready: $!";
print {$file} $control->sockport;
close($file) or die "$ready: $!";
rename("$ready.new", $ready) or die "$ready: $!";
serve();
