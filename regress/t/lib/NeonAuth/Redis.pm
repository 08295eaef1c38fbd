
# A real Redis, or another server of its protocol, that the test ends as it ends the
# others of NeonAuth::Test.
#
#	my $redis = start_redis('--requirepass', 'secret');
#	add_server($node, $sim, options => ", redis_url '" . $redis->url . "'");
#	$redis->ask('DEL', $redis->keys('*:l'));
#	$redis->stop(keep => 1);
#	$redis->start;                        # with what was in it
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Redis;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IO::Select;
use IO::Socket::UNIX;
use IPC::Run ();
use NeonAuth::Test qw(start_process wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep);

our @EXPORT = qw(start_redis redis_servers);
our @ISA = ('NeonAuth::Test::Provider');

# Debian's packages of the tools have the servers under these names; the packages
# of the servers would start one for the machine.
my %redis_servers = (redis => '/usr/bin/redis-check-rdb', valkey => '/usr/bin/valkey-check-rdb');

# The names of those that are here, for start_redis.
sub redis_servers { return grep { -x $redis_servers{$_} } sort keys %redis_servers; }

# Starts a Redis on a port and a socket of its own.  Arguments are perhaps the name
# of another server, then its options, the same each time it starts, such as
#	'--requirepass', 'secret', '--user', 'reader', 'on', '>secret', '~*', '+@read'
sub start_redis
{
	my (@options) = @_;
	my $name = @options && $options[0] !~ /^-/ ? shift @options : 'redis';
	my $folder = PostgreSQL::Test::Utils::tempdir_short();
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my ($socket, $server) = ("$folder/socket", "$folder/$name-server");
	my @command = ($server, '--bind', '127.0.0.1', '--port', $port, '--unixsocket', $socket, '--dir', $folder,
		'--save', '', '--rdbcompression', 'no', '--pidfile', 'FILE', @options);
	my ($password) = map { $options[ $_ + 1 ] } grep { $options[$_] eq '--requirepass' } 0 .. $#options;

	# Its own choice, its port and 10000, may be the port of an outgoing connection that has just ended.
	push @command, '--cluster-port', PostgreSQL::Test::Cluster::get_free_port() if grep { $_ eq '--cluster-enabled' } @options;
	symlink($redis_servers{$name}, $server) or die "$server: $!";
	my $self = bless { port => $port, folder => $folder, socket => $socket, command => \@command,
		password => $password }, __PACKAGE__;
	$self->start;
	return $self;
}

# ---- What it can do

sub url { return "redis://127.0.0.1:$_[0]->{port}"; }
sub socket { return $_[0]->{socket}; }

# Starts it, again if it was stopped, and waits until it has read what it kept.
sub start
{
	my ($self) = @_;

	($self->{pid}) = start_process('redis', @{ $self->{command} });
	return wait_until('Redis',
		sub { return eval { $self->reset_commands } || $@ =~ /Redis: NO(AUTH|PERM)/; });
}

# Ends it; what it holds is there again after start if "keep" is true.
sub stop
{
	my ($self, %how) = @_;

	$how{keep} ? $self->ask('SAVE') : unlink("$self->{folder}/dump.rdb");
	delete $self->{link};
	return $self->SUPER::stop;
}

# Makes it answer nothing, with its connections open, until resume.
sub pause
{
	my ($self) = @_;

	kill('STOP', $self->pid);
	return wait_until('the pause', sub { return slurp_file("/proc/$self->{pid}/stat") =~ /\) T/; });
}

sub resume { my ($self) = @_; return kill('CONT', $self->pid); }

# What it answers to a command, by redis-cli, which waits until it is there.
sub call
{
	my ($self, @command) = @_;
	my ($out, $err) = ('', '');
	local %ENV = (%ENV, defined $self->{password} ? (REDISCLI_AUTH => $self->{password}) : ());

	for (1 .. 100)
	{
		last if IPC::Run::run([ 'redis-cli', '-e', '-s', $self->socket, @command ], '>', \$out, '2>', \$err);
		last if $err !~ /Could not connect/;
		sleep(0.1);
	}
	chomp $out;
	return $out;
}

# The same over a connection that is kept, with any bytes: returns a string, an
# array reference or undef, and dies for an error that is not within an array.
sub ask
{
	my ($self, @words) = @_;

	delete $self->{link} if $self->{link} && IO::Select->new($self->{link})->can_read(0);
	if (!$self->{link})
	{
		$self->{link} = IO::Socket::UNIX->new(Peer => $self->socket) // die "$self->{socket}: $!";
		$self->ask('AUTH', $self->{password}) if defined $self->{password};
	}
	$self->{link}->print('*' . @words . "\r\n", map { '$' . length . "\r\n$_\r\n" } @words);
	return read_reply($self->{link}, 0);
}

sub read_reply
{
	my ($link, $depth) = @_;
	local $/ = "\r\n";
	my ($type, $rest) = (readline($link) // die 'Redis: no reply') =~ /^(.)(.*)\r\n/;

	die "Redis: $rest\n" if $type eq '-' && $depth == 0;
	return $rest if $type =~ /[-+:]/;
	return undef if $rest < 0;
	return [ map { read_reply($link, $depth + 1) } 1 .. $rest ] if $type eq '*';
	read($link, my $bytes, $rest + 2) == $rest + 2 or die 'Redis: half a reply';
	return substr($bytes, 0, $rest);
}

# The names of its keys.
sub keys { my ($self, $pattern) = @_; return sort @{ $self->ask('KEYS', $pattern // '*') }; }

# All that is in it, of all databases: each key, field and value as it is.
sub dump { my ($self) = @_; $self->ask('SAVE'); return slurp_file("$self->{folder}/dump.rdb"); }

# How often each command was done since it started or the counters were reset, by
# name in lower case, those of keys, dump and ask included.
sub commands
{
	my ($self) = @_;
	my %counts = $self->ask('INFO', 'commandstats') =~ /^cmdstat_(\S+?):calls=(\d+)/mg;

	delete @counts{ 'info', 'config|resetstat' };
	return %counts;
}

sub reset_commands { my ($self) = @_; return $self->ask('CONFIG', 'RESETSTAT'); }

1;
