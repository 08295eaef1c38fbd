
# Servers with regress/shim/nauth_shim.so preloaded: host names that resolve when and
# to what the test says, a clock that jumps, a network that must not be touched, and
# processes that are killed at a chosen point.  Calls that fail are a matter of one
# session: function probe_fail_call of regress/probe.
#
#	my $shim = new_shim();
#	my $node = $shim->new_node('main', urls => [ "http://clerk.test:$port" ]);
#	$shim->slow_dns(600);                # whoever looks up *.test waits
#	$shim->wait_dns(1);                  # until somebody does
#	$shim->end_dns;                      # and gets 127.0.0.1
#	$shim->resolve_to('10.0.0.1', '::1');# or these, or an error: EAI_NONAME
#	$shim->set_clock(86400);             # it is tomorrow, for the server
#	$shim->kill_at('page', 3);           # whoever reads the third page dies there
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Shim;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use NeonAuth::Test ();
use PostgreSQL::Test::Utils;

our @EXPORT = qw(new_shim);

my $library = NeonAuth::Test::tree() . '/regress/shim/nauth_shim.so';

# Controls the servers made through it, all at once.
sub new_shim
{
	die "$library is missing: make -C regress/shim" unless -f $library;
	return bless { folder => PostgreSQL::Test::Utils::tempdir() }, __PACKAGE__;
}

# The environment that preloads it, after the library of a sanitizer where there is one:
# then what fails for want of memory does not, and all else is as ever.
sub environment
{
	my ($self) = @_;

	return (LD_PRELOAD => join(' ', $ENV{NAUTH_SANITIZER} // (), $library), NAUTH_SHIM => $self->{folder});
}

# NeonAuth::Test's new_node, preloaded then and whenever it starts again.
sub new_node
{
	my ($self, $name, %opts) = @_;
	local %ENV = (%ENV, $self->environment);
	my $node = NeonAuth::Test::new_node($name, %opts);

	$node->{nauth_shim} = $self;
	return bless $node, 'NeonAuth::Shim::Node';
}

# Replaces the link in one step; without a value removes it.
sub control
{
	my ($self, $name, $value) = @_;
	my $link = "$self->{folder}/$name";

	if (!defined $value)
	{
		unlink $link;
		return;
	}
	symlink($value, "$link.new") and rename("$link.new", $link) or die "$link: $!";
	return;
}

# From now on a name that ends in ".test" resolves to 127.0.0.1 after that many
# seconds, counted from when its look-up began; those under way, too.
sub slow_dns
{
	my ($self, $seconds) = @_;

	$self->control('dns', $seconds || undef);
	return;
}

# From now on names that end in this resolve to 127.0.0.1 as well.
sub resolve_names
{
	my ($self, $end) = @_;

	$self->control('suffix', $end);
	return;
}

# Ends the pauses under way, and there are no more until slow_dns.
sub end_dns
{
	my ($self) = @_;

	$self->slow_dns(0);
	return;
}

# What a look-up of such a name has in the end: these addresses, or the error of
# getaddrinfo() with this number; without any, 127.0.0.1 again.
sub resolve_to
{
	my ($self, @answer) = @_;

	$self->control('names', @answer ? join(',', @answer) : undef);
	return;
}

# By how many seconds the server's time of day is ahead of ours from now on.  Its
# clock for time-outs goes on as ever.
sub set_clock
{
	my ($self, $seconds) = @_;

	$self->control('clock', $seconds || undef);
	return;
}

# From now on connections are made to this port of the machine that was meant, whatever
# port was; without one to their own again.
sub connect_to
{
	my ($self, $port) = @_;

	$self->control('hole', $port);
	return;
}

# While true, libcurl says that it looks up names with nothing else going on.
sub slow_curl
{
	my ($self, $slow) = @_;

	$self->control('oldcurl', $slow ? 'yes' : undef);
	return;
}

# While true, libcurl gives each header line so that to read beyond it ends the process.
sub bare_headers
{
	my ($self, $bare) = @_;

	$self->control('bareheaders', $bare ? 'yes' : undef);
	return;
}

# The threads in such a pause now, each as [ process, thread ].  One that ended
# in the middle has left its mark.
sub dns_threads
{
	my ($self) = @_;

	return grep { -d "/proc/$_->[0]/task/$_->[1]" }
	  map { /wait\.(\d+)\.(\d+)$/ ? [ $1, $2 ] : () } glob("$self->{folder}/wait.*");
}

# How many there are.
sub dns_waiting
{
	my ($self) = @_;

	return scalar(my @threads = $self->dns_threads);
}

# Waits, with a bound, until there are at least that many.
sub wait_dns
{
	my ($self, $count) = @_;

	NeonAuth::Test::wait_until("$count look-ups", sub { return $self->dns_waiting >= $count });
	return;
}

# Whether this process has initialized libcurl.
sub curl_started
{
	my ($self, $pid) = @_;

	return -l "$self->{folder}/curl.$pid";
}

# While true, a server that looks up a name or connects to anything but a
# PostgreSQL on this machine aborts, and all its sessions end; its log tells.
sub forbid_network
{
	my ($self, $forbidden) = @_;

	$self->control('forbid', $forbidden ? 'yes' : undef);
	return;
}

# From now on the process that comes to the point of this name for the nth time (the
# first) is killed there, once.  Each call begins to count anew.
sub kill_at
{
	my ($self, $point, $nth) = @_;

	$self->{kills}++;
	$self->{armed} = 1;
	$self->control('point', join(':', $point, $nth // 1, $self->{kills}));
	return;
}

# No more of that.
sub kill_nowhere
{
	my ($self) = @_;

	# Without a link to remove, it has fired, and killed() still says so.
	$self->{armed} = 0 if unlink "$self->{folder}/point";
	return;
}

# Whether a process was killed since kill_at.
sub killed
{
	my ($self) = @_;

	return $self->{armed} && !-l "$self->{folder}/point";
}

# ---- A server that keeps the library when it starts again

package NeonAuth::Shim::Node;

use PostgreSQL::Test::Cluster;

our @ISA = ('PostgreSQL::Test::Cluster');

sub start
{
	my ($self, @options) = @_;
	local %ENV = (%ENV, $self->{nauth_shim}->environment);

	return $self->SUPER::start(@options);
}

sub restart
{
	my ($self, @options) = @_;
	local %ENV = (%ENV, $self->{nauth_shim}->environment);

	return $self->SUPER::restart(@options);
}

1;
