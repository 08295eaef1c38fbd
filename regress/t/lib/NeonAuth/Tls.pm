
# TLS before a simulator: certificates of an authority of our own, right and wrong, and
# an OpenSSL that speaks with one of them and passes on all else to the simulator.
#
#	my $authority = new_authority($folder);
#	my $expired = $authority->certificate('expired', until => '20200101000000Z');
#	my $tls = start_tls($sim, $port, $expired);
#	$tls->stop;
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Tls;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IO::Socket::INET;
use IPC::Run ();
use NeonAuth::Test qw(wait_until);
use POSIX ();
use PostgreSQL::Test::Utils;

our @EXPORT = qw(new_authority start_tls lax_openssl);

my @curve = qw(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes);
my $owner = $$;
my %running;

sub openssl
{
	my (@command) = @_;
	my $output = '';

	IPC::Run::run([ 'openssl', @command ], '<', \undef, '>', \$output, '2>&1') or die "openssl @command: $output";
	return;
}

# An authority, whose files are in a folder of its own, which must not be there yet.
# It is called "our authority", unless another name is given.
sub new_authority
{
	my ($folder, $name) = @_;

	mkdir $folder or die "$folder: $!";
	openssl(qw(req -x509 -days 2 -subj), '/CN=' . ($name // 'our authority'), @curve, '-keyout', "$folder/ca.key", '-out', "$folder/ca.pem");
	append_to_file("$folder/ca.cnf", <<"CNF");
[ca]
default_ca = ours
[ours]
database = $folder/index
new_certs_dir = $folder
serial = $folder/serial
private_key = $folder/ca.key
certificate = $folder/ca.pem
default_md = sha256
unique_subject = no
copy_extensions = copy
policy = any
[any]
commonName = supplied
CNF
	append_to_file("$folder/index", '');
	append_to_file("$folder/serial", "01\n");
	return bless { folder => $folder }, __PACKAGE__;
}

# The file with its own certificate, for those who trust it.
sub file { return "$_[0]->{folder}/ca.pem"; }

# The file with a new certificate and its key.  Options: names (localhost and
# 127.0.0.1), from and until (yesterday and tomorrow, as YYYYMMDDHHMMSSZ), alone
# (signed by itself).
sub certificate
{
	my ($self, $name, %opts) = @_;
	my $file = "$self->{folder}/$name.pem";
	my @request = (@curve, qw(-subj /CN=localhost -addext), 'subjectAltName=' . ($opts{names} // 'DNS:localhost,IP:127.0.0.1'), '-keyout', "$file.key");
	my $day = sub { return POSIX::strftime('%Y%m%d%H%M%SZ', gmtime(time() + $_[0] * 24 * 60 * 60)); };

	if ($opts{alone})
	{
		openssl(qw(req -x509 -days 2), @request, '-out', "$file.crt");
	}
	else
	{
		openssl('req', @request, '-out', "$file.csr");
		openssl(qw(ca -batch -notext -config), "$self->{folder}/ca.cnf", '-in', "$file.csr", '-out', "$file.crt",
			'-startdate', $opts{from} // $day->(-1), '-enddate', $opts{until} // $day->(1));
	}
	append_to_file($file, slurp_file("$file.crt") . slurp_file("$file.key"));
	return $file;
}

# The environment variable that lets OpenSSL speak versions that we refuse ourselves.
sub lax_openssl
{
	my ($file) = @_;

	append_to_file($file, <<'CNF');
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = lax
[lax]
MinProtocol = TLSv1
CipherString = DEFAULT@SECLEVEL=0
CNF
	return (OPENSSL_CONF => $file);
}

# Speaks TLS at this port of 127.0.0.1.  What it decrypts goes to the simulator over one
# connection, and back.  Further arguments are options of openssl s_server.
sub start_tls
{
	my ($sim, $port, $certificate, @more) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $sim->port) or die "connect: $@";
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open(STDIN, '<&', $socket) and open(STDOUT, '>&', $socket) and open(STDERR, '>>', "$PostgreSQL::Test::Utils::log_path/tls_$port.log") and
		  exec {'openssl'} qw(openssl s_server -quiet -accept), "127.0.0.1:$port", '-cert', $certificate, '-key', $certificate, @more;
		POSIX::_exit(127);
	}
	$running{$pid} = 1;
	wait_until('TLS', sub { return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port); });
	return bless { pid => $pid }, 'NeonAuth::Tls::Server';
}

sub end_process
{
	my ($pid) = @_;
	local ($?, $!);

	return unless delete $running{$pid};
	kill('KILL', $pid);
	waitpid($pid, 0);
	return;
}

END
{
	if ($$ == $owner)
	{
		end_process($_) for keys %running;
	}
}

package NeonAuth::Tls::Server;

sub stop
{
	NeonAuth::Tls::end_process($_[0]->{pid});
	return;
}

1;
