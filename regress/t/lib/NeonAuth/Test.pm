
# What the TAP tests share: a PostgreSQL with the extension, a simulated provider and
# the real Better Auth, each ended by its process id when the test script ends, however
# it ends.  Only Perl's own modules and PostgreSQL's test modules.  A real Redis is in
# NeonAuth::Redis.
#
#	my $sim = start_sim(provider => 'clerk', users => 300);
#	my $node = new_node('main', urls => [ $sim->url ]);
#	add_server($node, $sim);              # server clerk, schema app, app.users
#	$sim->update('index/7', { name => 'Ada Lovelace' });
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Test;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use File::Basename qw(dirname);
use File::Spec;
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

our @EXPORT = qw(new_node allow_urls add_server start_sim start_better_auth
  better_auth_missing tree wait_until open_descriptors process_memory memory_below
  neon_table);
our @EXPORT_OK = qw(start_process);

my $tree = File::Spec->rel2abs(dirname(__FILE__) . '/../../../..');
my $owner = $$;
my $count = 0;
my %running;

# A signal must run the END blocks, this module's and that of the servers.
$SIG{$_} = sub { exit 1 }
  for qw(HUP INT TERM);

# A server that is ended at once cannot say what its processes have executed, which
# `make coverage` wants to know.
if ($ENV{NAUTH_COVERAGE})
{
	no warnings 'redefine';
	*PostgreSQL::Test::Cluster::teardown_node = sub { my ($self, @how) = @_; $self->stop('fast', @how); };
}

# The top of the source tree.
sub tree
{
	return $tree;
}

# Kilobytes of a process, by a name of /proc/PID/status.
sub process_memory
{
	my ($pid, $name) = @_;

	return slurp_file("/proc/$pid/status") =~ /^$name:\s+(\d+) kB/m ? $1 : die "no $name of $pid";
}

# That a process has less memory than this, or has grown by less.  A sanitizer keeps for a
# while what was freed.
sub memory_below
{
	my ($memory, $bound, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$bound *= 10 if $ENV{NAUTH_SANITIZER};
	return cmp_ok($memory, '<', $bound, $what);
}

# SQL for a users_sync as Neon makes it: all but three columns are computed.
sub neon_table
{
	my ($name) = @_;

	return <<"SQL";
CREATE TABLE $name (
	raw_json jsonb NOT NULL,
	id text GENERATED ALWAYS AS (raw_json ->> 'id') STORED PRIMARY KEY,
	name text GENERATED ALWAYS AS (raw_json ->> 'display_name') STORED,
	email text GENERATED ALWAYS AS (raw_json ->> 'primary_email') STORED,
	created_at timestamptz GENERATED ALWAYS AS (to_timestamp(trunc(((raw_json ->> 'signed_up_at_millis')::bigint)::float8) / 1000::float8)) STORED,
	updated_at timestamptz,
	deleted_at timestamptz);
SQL
}

# Waits until the code returns something true, which it returns; dies after as
# long as a test may wait.
sub wait_until
{
	my ($what, $code) = @_;

	for (1 .. 50 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $got = $code->();
		return $got if $got;
		sleep(0.02);
	}
	die "waited in vain for $what";
}

# How many descriptors of this process are no files.
sub open_descriptors
{
	my ($pid) = @_;

	return scalar grep { (readlink($_) // '') =~ /^(socket|anon_inode|pipe):/ } glob("/proc/$pid/fd/*");
}

# Starts a command, named in the log files, and returns its process id and the
# file that it was to write when ready: "FILE" in the command is that file.
sub start_process
{
	my ($name, @command) = @_;
	my $unique = $name . '_' . ++$count;
	my $file = PostgreSQL::Test::Utils::tempdir() . "/$unique.ready";
	my $log = "$PostgreSQL::Test::Utils::log_path/$unique.log";

	s/\bFILE\b/$file/ for @command;
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null') and
		  open(STDOUT, '>', $log) and
		  open(STDERR, '>&', \*STDOUT) and
		  exec {$command[0]} @command;
		POSIX::_exit(127);
	}
	$running{$pid} = 1;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return ($pid, $file) if -s $file;
		last if waitpid($pid, WNOHANG) != 0;
		sleep(0.1);
	}
	die "$name did not start:\n" . (-e $log ? slurp_file($log) : '');
}

# Ends it with SIGTERM, even if it is stopped, and with SIGKILL after five seconds.
sub stop_process
{
	my ($pid) = @_;

	return unless delete $running{$pid};
	kill('TERM', $pid);
	kill('CONT', $pid);
	for (1 .. 50)
	{
		return if waitpid($pid, WNOHANG) != 0;
		sleep(0.1);
	}
	kill('KILL', $pid);
	waitpid($pid, 0);
	return;
}

END
{
	my $status = $?;

	if ($$ == $owner)
	{
		stop_process($_) for keys %running;
	}
	$? = $status;
}

# A running server with the extension in database "postgres".  Options: urls (to
# be allowed), conf (lines for postgresql.conf), allows_streaming.
sub new_node
{
	my ($name, %opts) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	# The extension asks for UTF8, which the caller's locale need not mean.
	$node->init(
		allows_streaming => $opts{allows_streaming},
		extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
	# Nobody else looks at the tables, or gives the planner other ideas half way.
	$node->append_conf('postgresql.conf', "autovacuum = off\n" . ($opts{conf} // ''));
	$node->append_conf('postgresql.conf', urls_line(@{ $opts{urls} // [] }));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION neon_auth_fdw');
	return $node;
}

sub urls_line
{
	return "neon_auth_fdw.allowed_urls = '" . join(', ', @_) . "'\n";
}

# Allows these URLs instead of those allowed before; new sessions see it.
sub allow_urls
{
	my ($node, @urls) = @_;

	$node->append_conf('postgresql.conf', urls_line(@urls));
	$node->reload;
	$node->poll_query_until('postgres',
			"SELECT current_setting('neon_auth_fdw.allowed_urls') = '"
		  . join(', ', @urls)
		  . "'")
	  or die 'the server did not reload its configuration';
	return;
}

# A foreign server for a provider, the caller's mapping, and the foreign table.
# Options: name (the provider's), schema (app), database (postgres), options
# (further SQL for CREATE SERVER, beginning with a comma), mapping (SQL of the
# mapping's options, in place of the api_key).
sub add_server
{
	my ($node, $provider, %opts) = @_;
	my $name = $opts{name} // $provider->provider;
	my $schema = $opts{schema} // 'app';
	my $more = $opts{options} // '';
	my ($kind, $url) = ($provider->provider, $provider->url);
	my $mapping = $opts{mapping} // "api_key '" . $provider->key . "'";

	$node->safe_psql($opts{database} // 'postgres', <<"SQL");
CREATE SERVER $name FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider '$kind', url '$url'$more);
CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS ($mapping);
CREATE SCHEMA IF NOT EXISTS $schema;
IMPORT FOREIGN SCHEMA directory FROM SERVER $name INTO $schema;
SQL
	return;
}

# Starts the simulator.  Options are its flags (regress/sim/main.c), such as
# provider (clerk), users, seed, key, clock, latency, fixture; the value may be
# an array for a flag that repeats.
sub start_sim
{
	my %flags = (provider => 'clerk', key => 'sk_test_x', port => 0, @_);
	my @command = ("$tree/regress/sim/nauth_sim", '--port-file', 'FILE');

	for my $flag (sort keys %flags)
	{
		my $value = $flags{$flag};
		push @command, "--$flag", $_ for (ref $value ? @$value : $value);
	}
	my ($pid, $file) = start_process("sim_$flags{provider}", @command);
	return NeonAuth::Test::Sim->new($pid, slurp_line($file), \%flags);
}

# Why start_better_auth cannot work here, for skip_all; undef if it can.
sub better_auth_missing
{
	return "regress/better_auth has no node_modules (npm ci)"
	  unless -d "$tree/regress/better_auth/node_modules";
	return;
}

# Starts Better Auth on a new database of $node.  Options: database (auth), port,
# rate_limit ("requests:seconds"; none otherwise).
sub start_better_auth
{
	my ($node, %opts) = @_;
	my $database = $opts{database} // 'auth';
	my @command = ('node', "$tree/regress/better_auth/server.mjs",
		'--port-file', 'FILE', '--token-file', 'FILE.token');

	push @command, '--port', $opts{port} if defined $opts{port};
	push @command, '--rate-limit', $opts{rate_limit} if defined $opts{rate_limit};
	$node->safe_psql('postgres', "CREATE DATABASE $database")
	  unless $node->safe_psql('postgres',
		"SELECT 1 FROM pg_database WHERE datname = '$database'");
	local %ENV = (
		%ENV,
		PGHOST => $node->host,
		PGPORT => $node->port,
		PGUSER => scalar(getpwuid($<)),
		PGDATABASE => $database);
	my ($pid, $file) = start_process('better_auth', @command);
	return NeonAuth::Test::BetterAuth->new($pid, slurp_line($file),
		slurp_line("$file.token"));
}

sub slurp_line
{
	my ($file) = @_;
	my $text = slurp_file($file);

	chomp $text;
	return $text;
}

# ---- What both kinds of provider can do

package NeonAuth::Test::Provider;

sub pid { return $_[0]->{pid}; }
sub port { return $_[0]->{port}; }
sub url { return "http://127.0.0.1:$_[0]->{port}"; }
sub key { return $_[0]->{key}; }
sub provider { return $_[0]->{provider}; }

sub stop
{
	my ($self) = @_;

	NeonAuth::Test::stop_process($self->{pid});
	return;
}

# ---- A running simulator

package NeonAuth::Test::Sim;

use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;

our @ISA = ('NeonAuth::Test::Provider');

sub new
{
	my ($class, $pid, $port, $flags) = @_;

	return bless {
		pid => $pid,
		port => $port,
		provider => $flags->{provider},
		key => $flags->{key},
		json => JSON::PP->new->utf8->canonical->allow_nonref,
	}, $class;
}

# The connection kept for control calls, since the simulator counts connections; a new
# one if the other side has ended it, or if it is another process's.
sub take_connection
{
	my ($self) = @_;
	my $kept = delete $self->{connection};

	return $kept if $kept && $kept->{pid} == $$ && !IO::Select->new($kept->{socket})->can_read(0);
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port, Timeout => 60) or die "connect: $@";
	return { pid => $$, socket => $socket };
}

# One request under /_sim/; returns the body.  HTTP::Tiny sends head and body
# apart, which costs 40 ms of delayed acknowledgement each time.
sub exchange
{
	my ($self, $method, $path, $body) = @_;
	my $connection = $self->take_connection;
	my $socket = $connection->{socket};
	my ($reply, $length) = ('');

	$socket->syswrite("$method /_sim/$path HTTP/1.1\r\nHost: sim\r\nContent-Length: " . length($body) . "\r\n\r\n$body");
	while (!defined $length || length $reply < $length)
	{
		IO::Select->new($socket)->can_read(60) && $socket->sysread($reply, 65536, length $reply)
		  or die "$method $path: no reply";
		$length //= $reply =~ /^HTTP.*?^Content-Length: (\d+)\r\n.*?^\r\n/ims ? $+[0] + $1 : undef;
	}
	$self->{connection} = $connection;
	my ($status, $content) = $reply =~ m{^HTTP/1\.1 (\d+) .*?\r\n\r\n(.*)}s or die "$method $path: no HTTP";
	die "$method $path: $status $content" if $status !~ /^2/;
	return $content;
}

# One control call; returns the decoded answer.  A body that is no reference is
# sent as it is.
sub control
{
	my ($self, $method, $path, $body) = @_;
	my $content = $self->exchange($method, $path, ref $body ? $self->{json}->encode($body) : $body // '');

	return $content =~ /\S/ ? $self->{json}->decode($content) : undef;
}

sub create { my ($self, $user) = @_; return $self->control('POST', 'users', $user); }
sub user { my ($self, $id) = @_; return $self->control('GET', "users/$id"); }
sub update { my ($self, $id, $change) = @_; return $self->control('POST', "users/$id/update", $change); }
sub fault { my ($self, $fault) = @_; return $self->control('POST', 'fault', $fault); }
sub clear_faults { my ($self) = @_; return $self->control('DELETE', 'fault'); }
sub stats { my ($self) = @_; return $self->control('GET', 'stats'); }
sub reset_stats { my ($self) = @_; return $self->control('POST', 'reset'); }

# All users that are or were, in order of index.  Read by hand, for JSON::PP takes
# longer than what is tested.
sub users
{
	my ($self) = @_;
	my $text = $self->exchange('GET', 'users', '');
	my @users;

	while ($text =~ /"id":"([^"\\]*)","index":(\d+),"created_at":(-?\d+),"updated_at":(-?\d+),"deleted":(\w)/g)
	{
		push @users, { id => $1, index => $2 + 0, created_at => $3 + 0, updated_at => $4 + 0, deleted => $5 eq 't' };
	}
	return \@users;
}

# How many requests came since the counters were reset.
sub requests
{
	my ($self) = @_;
	my $stats = $self->stats;

	return $stats->{list} + $stats->{get} + $stats->{count} + $stats->{other};
}

# What came since then: "2 get, 1 list".
sub asked
{
	my ($self) = @_;
	my $stats = $self->stats;

	return join(', ', map { "$stats->{$_} $_" } grep { $stats->{$_} } qw(get list count other)) || 'nothing';
}

# Removes the user, or the $count users from this one on.
sub remove
{
	my ($self, $id, $count) = @_;

	return $self->control('DELETE', "users/$id" . ($count ? "?count=$count" : ''));
}

# A user whose JSON is served as given, whatever it is.
sub create_raw
{
	my ($self, $json, %parameters) = @_;
	my $query = HTTP::Tiny->new->www_form_urlencode({ raw => 1, %parameters });

	return $self->control('POST', "users?$query", $json);
}

# ---- A running Better Auth

package NeonAuth::Test::BetterAuth;

use JSON::PP;

our @ISA = ('NeonAuth::Test::Provider');

sub new
{
	my ($class, $pid, $port, $token) = @_;

	return bless { pid => $pid, port => $port, provider => 'better_auth', key => $token }, $class;
}

# A command of regress/better_auth/client.mjs, such as call('rename', $id, 'Ada');
# returns the users it prints.
sub call
{
	my ($self, @command) = @_;
	local $ENV{BETTER_AUTH_URL} = $self->url;
	local $ENV{BETTER_AUTH_TOKEN} = $self->key;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'node', NeonAuth::Test::tree() . '/regress/better_auth/client.mjs', @command ],
		'>', \$out, '2>', \$err)
	  or die "@command: $err";
	my @users = map { JSON::PP->new->utf8->decode($_) } split /\n/, $out;
	return wantarray ? @users : $users[0];
}

1;
