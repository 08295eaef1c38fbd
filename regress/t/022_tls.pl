# TLS to a real Redis and to a server of OpenSSL's: only a certificate that an authority of ours has signed, for this
# host and this day, is spoken to, and in TLS 1.2 or later. Whom we do not trust gets neither a command nor a password.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run;
use NeonAuth::Redis;
use NeonAuth::Test;
use NeonAuth::Tls;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $canary = 'canary-5e0c77';
my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $folder = PostgreSQL::Test::Utils::tempdir();

# ---- Certificates

my $ours = new_authority("$folder/ours");
my $foreign = new_authority("$folder/foreign", 'another authority');
my $impostor = new_authority("$folder/impostor");
my ($authority, $stranger) = ($ours->file, $foreign->file);
my $good = $ours->certificate('good');
my %bad = (
	'for another host' => $ours->certificate('elsewhere', names => 'DNS:elsewhere.test'),
	'that is expired' => $ours->certificate('expired', until => POSIX::strftime('%Y%m%d%H%M%SZ', gmtime(time() - 2))),
	'of another authority' => $foreign->certificate('foreign'),
	'of an authority of the same name' => $impostor->certificate('forged'),
	'that signs itself' => $ours->certificate('alone', alone => 1));
my $garbage = "$folder/garbage.pem";
append_to_file($garbage, "no certificate\n");

# ---- The servers

my $tls_port = PostgreSQL::Test::Cluster::get_free_port();
my $redis = start_redis('--requirepass', $canary, '--port', 0, '--tls-port', $tls_port, '--tls-auth-clients', 'no',
	'--tls-cert-file', $good, '--tls-key-file', $good, '--tls-ca-cert-file', $authority,
	'--tls-protocols', 'TLSv1.2 TLSv1.3', '--tls-ciphers', 'DEFAULT@SECLEVEL=0');
my $sim = start_sim();
my $node;
{
	# PostgreSQL's OpenSSL takes old versions of TLS, so that it is for us to refuse them.
	local %ENV = (%ENV, lax_openssl("$folder/openssl.cnf"));
	$node = new_node('main');
}

# A session of its own, with this ca_file.
sub run_sql
{
	my ($ca_file, $sql) = @_;
	my $set = "LOAD 'neon_auth_fdw'; SET neon_auth_fdw.ca_file = '$ca_file'";
	my ($status, $out, $err) = $node->psql('postgres', "$set; $sql");

	return $out . $err;
}

sub check
{
	my ($part, $ca_file) = @_;

	return run_sql($ca_file,
		"SELECT NOT bool_or(e), coalesce(max(message) FILTER (WHERE e), 'works'), max(detail) FILTER (WHERE e), max(hint) FILTER (WHERE e)
		FROM (SELECT *, verdict = 'error' AS e FROM neon_auth.check_server('clerk')) c WHERE (part = 'redis') = ('$part' = 'redis')");
}

sub use_certificate
{
	my ($file) = @_;

	return $redis->ask('CONFIG', 'SET', 'tls-cert-file', $file, 'tls-key-file', $file);
}

sub set_option
{
	my ($name, $value) = @_;

	return $node->safe_psql('postgres', "ALTER SERVER clerk OPTIONS (SET $name '$value')");
}

# It works, and this is what Redis is asked then.
sub works
{
	my ($name, $ca_file) = @_;

	$redis->reset_commands;
	is(check('redis', $ca_file), 't|works||', $name);
	my %commands = $redis->commands;
	return is_deeply([ sort keys %commands ], [ 'auth', 'ping' ], "$name: Redis is asked");
}

# It is refused for that reason, and Redis is not asked at all.
sub refused
{
	my ($name, $ca_file, $reason) = @_;

	$redis->reset_commands;
	like(check('redis', $ca_file), qr/^f\|could not connect to the Redis.*$reason.*ca_file/s, $name);
	my %commands = $redis->commands;
	return is_deeply(\%commands, {}, "$name: Redis gets no command");
}

my $not_accepted = 'the TLS certificate was not accepted';

# With GnuTLS a file without certificates is one of no authorities.
my $not_read = "the trusted certificates could not be read|$not_accepted";

allow_urls($node, $sim->url);
add_server($node, $sim, options => ", redis_url 'rediss://localhost:$tls_port', redis_timeout '${limit}s'");
$node->safe_psql('postgres', "ALTER USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (ADD redis_password '$canary')");

# ---- Whom we trust

works('a certificate of our authority', $authority);
set_option('redis_url', "rediss://127.0.0.1:$tls_port");
works('a certificate for an address', $authority);
set_option('redis_url', "rediss://localhost:$tls_port");
refused('no authority of ours', '', $not_accepted);
refused('another authority', $stranger, $not_accepted);
refused('an authority that is not there', "$folder/nothing.pem", 'the trusted certificates could not be read');
refused('a folder', $folder, $not_read);
refused('a file without a certificate', $garbage, $not_read);

for my $what (sort keys %bad)
{
	use_certificate($bad{$what});
	refused("a certificate $what", $authority, $not_accepted);
}
use_certificate($bad{'that signs itself'});
works('a certificate that is trusted itself', $bad{'that signs itself'});
use_certificate($good);

# ---- Which versions

# Whether a client that is not choosy gets a connection of this version.
sub speaks
{
	my ($version) = @_;

	my @command = (qw(openssl s_client -cipher DEFAULT@SECLEVEL=0 -connect), "localhost:$tls_port", "-$version");

	return IPC::Run::run(\@command, '<', \undef, '>', \my $out, '2>&1', IPC::Run::timeout($limit));
}

for my $row ([ 'TLSv1.1', 'tls1_1' ], [ 'TLSv1', 'tls1' ])
{
	my ($version, $option) = @$row;

	$redis->ask('CONFIG', 'SET', 'tls-protocols', $version);
	SKIP:
	{
		skip "OpenSSL has no $version here", 3 unless speaks($option);
		ok(1, "Redis speaks $version");
		refused($version, $authority, 'the TLS handshake failed');
	}
}
for my $version ('TLSv1.2', 'TLSv1.3')
{
	$redis->ask('CONFIG', 'SET', 'tls-protocols', $version);
	works($version, $authority);
}

# ---- A kept connection

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $ask = q(SELECT verdict = 'ok' FROM neon_auth.check_server('clerk') WHERE part = 'redis';);
$session->query("LOAD 'neon_auth_fdw'; SET neon_auth_fdw.ca_file = '$authority';");
is($session->query($ask), 't', 'a session connects');
$session->query("SET neon_auth_fdw.ca_file = '$stranger';");
is($session->query($ask), 't', 'and goes on with its connection');
is($session->query('SELECT neon_auth.disconnect_all();'), 't', 'which it closes');
is($session->query($ask), 'f', 'a new one needs an authority of now');
$session->quit;

# ---- A provider

# Serves pages of HTML with this certificate; ended by the test's end, too.
sub start_https
{
	my ($certificate) = @_;
	my @command = (qw(openssl s_server -www -accept 127.0.0.1:0 -cert), $certificate, '-key', $certificate);
	my $out = '';
	my $run = IPC::Run::start(\@command, '<', \undef, '>', \$out, '2>&1', IPC::Run::timeout($limit));

	$run->pump until $out =~ /ACCEPT \S+:(\d+)\s/;
	return ($run, $1);
}

for my $row (
	[ 'of our authority', $good, $authority, 'could not read the reply.*is not JSON' ],
	[ 'of no authority of ours', $good, '', $not_accepted ],
	[ 'for another host', $bad{'for another host'}, $authority, $not_accepted ],
	[ 'of an authority that is not there', $good, "$folder/nothing.pem", 'certificates could not be read' ])
{
	my ($name, $certificate, $ca_file, $reason) = @$row;
	my ($run, $port) = start_https($certificate);

	allow_urls($node, "https://localhost:$port");
	set_option('url', "https://localhost:$port");
	like(check('provider', $ca_file), qr/^f\|.*$reason/s, "a provider with a certificate $name");
	$run->kill_kill;
}

# ---- Who may say whom to trust

$node->safe_psql('postgres', 'CREATE ROLE guest LOGIN');
my ($status, $out, $err) = $node->psql('postgres', "SET neon_auth_fdw.ca_file = '$authority'; "
	  . "SELECT count(*) > 0 FROM neon_auth.providers(); SELECT '<' || current_setting('neon_auth_fdw.ca_file') || '>'",
	extra_params => [ '-U', 'guest' ]);
is($out, "t\n<>", 'an ordinary user who sets ca_file before there is one');
like($err, qr/permission denied to set parameter "neon_auth_fdw.ca_file"/, 'is refused when there is');
like(run_sql('', "SET ROLE guest; SET neon_auth_fdw.ca_file = '$authority'"),
	qr/permission denied to set parameter "neon_auth_fdw.ca_file"/, 'and is refused after that, too');
$node->stop;

done_testing();
