
# The HTTP engine as a query meets it: retries, which URLs may be asked, TLS, and
# an environment that would lead the requests astray.  What ends a wait is in
# 012_interrupts.pl and 013_deadlines.pl, what replies may be in 020_replies.pl.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run;
use NeonAuth::Test;
use NeonAuth::Wire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 25;
my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $folder = PostgreSQL::Test::Utils::tempdir();
my $sim = start_sim(provider => 'clerk', users => $users);
my $elsewhere = start_sim(provider => 'clerk', users => 1);

# Two pages, the first of which sets a cookie.
my $body = '[{"id":"ada"}]';
my $wire = start_wire(
	[ 'read', '\r\n\r\n' ],
	[ 'send', "HTTP/1.1 200 OK\r\nSet-Cookie: crumb=1; Path=/\r\nContent-Length: " . length($body) . "\r\n\r\n$body" ],
	[ 'read', '\r\n\r\n' ],
	[ 'send', "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]" ]);

# ---- PostgreSQL, in an environment with proxies and a .netrc

mkdir "$folder/home";
append_to_file("$folder/home/.netrc", "machine 127.0.0.1 login netrc password netrc\n");
chmod(0600, "$folder/home/.netrc");

my $node;
{
	local @ENV{qw(http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY)} = ($elsewhere->url) x 5;
	local $ENV{HOME} = "$folder/home";
	$node = new_node('http', urls => [ $sim->url, $wire->url ]);
}
add_server($node, $sim);
add_server($node, $sim, name => 'paged', schema => 'paged', options => ", page_size '5'");
add_server($node, $sim, name => 'other', schema => 'other');

# ---- Helpers

my $scripts = 0;

# Runs this SQL; returns what psql prints and its messages, with their SQLSTATEs.
sub run_sql
{
	my ($sql) = @_;
	my $file = "$folder/script" . ++$scripts;
	my ($out, $err) = ('', '');

	append_to_file($file, $sql);
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), '-f', $file ],
		'>', \$out, '2>', \$err, IPC::Run::timeout($limit));
	chomp($out);
	return ($out, $err);
}

# With this fault the SQL prints these rows, with so many requests.
sub query_is
{
	my ($name, $fault, $sql, $rows, $requests) = @_;

	$sim->fault($fault) if $fault;
	$sim->reset_stats;
	my ($out, $err) = run_sql($sql);
	my $ok = is($out . $err, $rows, "$name: rows");
	is($sim->requests, $requests, "$name: requests") if defined $requests;
	$sim->clear_faults;
	return $ok;
}

# With this fault the SQL fails with this SQLSTATE and message, and so many
# requests.  A test that would last for ever ends with another SQLSTATE.
sub query_fails
{
	my ($name, $fault, $sql, $sqlstate, $message, $requests) = @_;

	$sim->fault($fault) if $fault;
	$sim->reset_stats;
	my ($out, $err) = run_sql("SET statement_timeout = '${limit}s'; $sql");
	like($err, qr/ERROR:  $sqlstate: .*$message/s, "$name: SQLSTATE and message");
	is($out, '', "$name: no rows");
	is($sim->requests, $requests, "$name: requests") if defined $requests;
	$sim->clear_faults;
	return;
}

my $scan = 'SELECT count(id) FROM app.users';
my $pages = 'SELECT count(id) FROM paged.users';

# ---- Connections

query_is('a scan', undef, $scan, $users, 1) or die 'nothing else can work';
query_is('pages', undef, $pages, $users, 6);
is($sim->stats->{connections}, 1, 'one connection serves all pages');

# ---- Retries

query_is('502, 503 and 504', [ map { { status => $_ } } 502 .. 504 ], $scan, $users, 4);
query_fails('503, always', { status => 503, times => -1 }, $scan, 'HV00L', 'is not available', 4);
query_fails('401 is final', { status => 401 }, $scan, '28000', 'did not accept', 1);

# ---- Which URLs may be asked

sub use_url
{
	my ($url) = @_;

	return "ALTER SERVER other OPTIONS (SET url '$url')";
}

my $other = 'SELECT id FROM other.users';
my $port = $sim->port;
my $closed = PostgreSQL::Test::Cluster::get_free_port();
my $refused = '42501';
my $arrived = 'HV00L';    # the simulator has nothing there
my @rules = (
	# what is allowed, the URL, the SQLSTATE
	[ '', "http://127.0.0.1:$port", $refused ],
	[ '', "https://127.0.0.1:$port", $refused ],
	[ "http://127.0.0.1:$port", "http://127.0.0.1:$port", '00000' ],
	[ "http://127.0.0.1:$port/", "http://127.0.0.1:$port", '00000' ],
	[ "https://a.example,\n HTTP://127.0.0.1:$port", "http://127.0.0.1:$port", '00000' ],
	[ 'http://127.0.0.1', "http://127.0.0.1:$port", $refused ],
	[ "http://127.0.0.1:$closed", "http://127.0.0.1:$port", $refused ],
	[ "http://localhost:$port", "http://127.0.0.1:$port", $refused ],
	[ "https://127.0.0.1:$port", "http://127.0.0.1:$port", $refused ],
	[ "127.0.0.1:$port", "http://127.0.0.1:$port", $refused ],
	[ "http://*.0.0.1:$port", "http://127.0.0.1:$port", $refused ],
	[ "http://127.0.0.1:$port/api", "http://127.0.0.1:$port/api", $arrived ],
	[ "http://127.0.0.1:$port/api/", "http://127.0.0.1:$port/api/deeper", $arrived ],
	[ "http://127.0.0.1:$port/api", "http://127.0.0.1:$port/apis", $refused ],
	[ "http://127.0.0.1:$port/api", "http://127.0.0.1:$port", $refused ],
	[ "http://127.0.0.1:$port/api", "http://127.0.0.1:$port/api/../x", $refused ],
	[ "http://127.0.0.1:$port/v1/users/x", "http://127.0.0.1:$port", $refused ],
	[ 'http://169.254.169.254', 'http://169.254.169.254', $refused ],
	[ 'http://[::ffff:169.254.169.254]', 'http://[::ffff:169.254.169.254]', $refused ]);

for my $row (@rules)
{
	my ($allowed, $url, $sqlstate) = @$row;
	my $shown = $allowed =~ s/\s+/ /gr;

	$sim->reset_stats;
	my ($out) = run_sql(use_url($url) . ";\nSET neon_auth_fdw.allowed_urls = E'$allowed';\n"
		  . "\\o /dev/null\n$other;\n\\o\n\\echo :SQLSTATE\n");
	is("$out, " . $sim->requests, "$sqlstate, " . ($sqlstate eq $refused ? 0 : 1), "\"$shown\" allowed, \"$url\" asked");
}

# a wildcard stands for hosts below; nothing here speaks TLS, so what is allowed
# fails when it connects
my $wildcard = "https://*.localhost:$port";

for my $row (
	[ "https://a.localhost:$port", 'HV00N' ], [ "https://a.b.localhost:$port", 'HV00N' ],
	[ "https://localhost:$port", $refused ], [ "https://alocalhost:$port", $refused ],
	[ "http://a.localhost:$port", $refused ], [ "https://a.localhost:$closed", $refused ])
{
	my ($url, $sqlstate) = @$row;
	my ($out) = run_sql(use_url($url) . ";\nSET neon_auth_fdw.allowed_urls = '$wildcard';\n"
		  . "\\o /dev/null\n$other;\n\\o\n\\echo :SQLSTATE\n");
	is($out, $sqlstate, "\"$wildcard\" allowed, \"$url\" asked");
}

run_sql("CREATE ROLE guest; GRANT USAGE ON FOREIGN SERVER other TO guest;
	GRANT USAGE ON SCHEMA other TO guest; GRANT SELECT ON other.users TO guest;
	CREATE USER MAPPING FOR guest SERVER other OPTIONS (api_key 'sk_test_x');" . use_url($elsewhere->url));
my $allow = 'SET neon_auth_fdw.allowed_urls = ' . "'" . $elsewhere->url . "'";
query_fails('a guest cannot allow URLs', undef,
	"LOAD 'neon_auth_fdw'; SET ROLE guest; $allow", '42501', 'permission denied');
query_fails('nor before the library is loaded', undef, "SET ROLE guest; $allow; $other", '42501', 'may not be asked');
is($elsewhere->requests, 0, 'a URL that a guest allowed is not asked');

# ---- Connecting and TLS

my $no_connection = 'could not connect to the provider';
my $allow_closed = "SET neon_auth_fdw.allowed_urls = 'http://127.0.0.1:$closed, https://127.0.0.1:$port'";
query_fails('refused connection', undef, "$allow_closed; " . use_url("http://127.0.0.1:$closed") . "; $other",
	'HV00N', "$no_connection.*the connection failed");
query_fails('no TLS there', undef, "$allow_closed; " . use_url("https://127.0.0.1:$port") . "; $other",
	'HV00N', "$no_connection.*TLS handshake failed", 0);

# Starts a TLS server that prints what it gets; returns it and its port.
sub start_tls_server
{
	my %tls = (in => '', out => '', err => '');
	my $certificate = "$folder/certificate.pem";

	run_command([ qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2),
			qw(-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout), $certificate, '-out', $certificate ]);
	$tls{run} = IPC::Run::start([ qw(openssl s_server -accept 127.0.0.1:0 -cert), $certificate, '-key', $certificate ],
		'<', \$tls{in}, '>', \$tls{out}, '2>', \$tls{err}, my $timeout = IPC::Run::timeout($limit));
	pump_until($tls{run}, $timeout, \$tls{out}, qr/ACCEPT \S+:\d+\s/) or die "openssl: $tls{err}";
	$tls{timeout} = $timeout;
	$tls{port} = $1 if $tls{out} =~ /ACCEPT \S+:(\d+)/;
	return \%tls;
}

my $tls = start_tls_server();
my $tls_url = "https://127.0.0.1:$tls->{port}";
query_fails('self-signed certificate', undef,
	"SET neon_auth_fdw.allowed_urls = '$tls_url'; " . use_url($tls_url) . "; $other",
	'HV00N', "$no_connection.*the TLS certificate was not accepted");
IPC::Run::run([ qw(openssl s_client -quiet -no_ign_eof -connect), "127.0.0.1:$tls->{port}" ],
	'<', \"GET /control\n", '>', \my $ignored, '2>&1', IPC::Run::timeout($limit));
ok(pump_until($tls->{run}, $tls->{timeout}, \$tls->{out}, qr{GET /control}), 'the TLS server shows what it gets');
unlike($tls->{out}, qr/GET \/v1|Authorization|sk_test_x/, 'no request for a self-signed certificate');
$tls->{run}->kill_kill;

# ---- Nothing of the environment was used

$elsewhere->reset_stats;
query_is('a scan beside proxies', undef, $scan, $users, 1);
is($elsewhere->requests, 0, 'proxies of the environment are not used');
query_is('two pages', undef, use_url($wire->url) . "; ALTER SERVER other OPTIONS (ADD page_size '1'); $other", 'ada');
my $requests = $wire->received(0);
is(scalar(() = $requests =~ /^GET /mg), 2, 'pages are asked for on one connection');
is(scalar(() = $requests =~ /^Authorization: Bearer sk_test_x\r$/mg), 2, 'each request has the key');
is(scalar(() = $requests =~ /^Authorization:/mgi), 2, 'and nothing of .netrc');
unlike($requests, qr/^(Cookie|Proxy-\S+):/mi, 'no cookie and no proxy header');

$node->stop;
done_testing();
