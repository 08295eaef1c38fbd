
# Connections that fail, stall, lie or break: rows F3 to F8 of the fault matrix in each
# column, with B1, B8, B19 and REL-7, REL-9 and SEC-11, which they are about.  What a
# scan does then in depth is in 012, 013, 020 and 022.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use Compress::Raw::Zlib;
use IO::Socket::INET;
use JSON::PP;
use NeonAuth::Faulty;
use NeonAuth::Matrix;
use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Test;
use NeonAuth::Tls;
use NeonAuth::Wire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir();
my $users = 25;
my ($sim, $tls_sim) = map { start_sim(users => $users, key => 'sk_canary_4711') } 1 .. 2;
my $redis = start_redis();

# What is healthy goes through the wire to the simulator.
my @healthy = ([ 'forward', $sim->port ]);
my $wire = start_wire(@healthy);
my $request = [ 'read', '\r\n\r\n' ];

# PostgreSQL's OpenSSL takes old versions of TLS, so that it is for us to refuse them.
my $tls_port = PostgreSQL::Test::Cluster::get_free_port();
my $tls_url = "https://localhost:$tls_port";
my $authority = new_authority("$folder/ours");
my $node;
{
	local %ENV = (%ENV, lax_openssl("$folder/openssl.cnf"));
	$node = new_node('transport', urls => [ $wire->url, $tls_url ], conf => "neon_auth_fdw.ca_file = '" . $authority->file . "'\n");
}

# ---- Servers: "old" has cached users who are not fresh any more; "hasty" gives up before
# it would try again

my $ample = "connect_timeout '10min', request_timeout '10min', scan_timeout '1h', refresh_timeout '1h'";
my $cached = "cache_ttl '1ms', cache_stale_ttl '1h', redis_timeout '1min', redis_url '" . $redis->url . "'";
my %servers = (
	clerk => [ $wire->url, $ample ],
	old => [ $wire->url, "$ample, $cached" ],
	hasty => [ $wire->url, "connect_timeout '10min', scan_timeout '5ms'" ],
	tls => [ $tls_url, $ample ],
	tls_old => [ $tls_url, "$ample, $cached" ]);

for my $name (sort keys %servers)
{
	my ($url, $options) = @{ $servers{$name} };

	add_server($node, $sim, name => $name, schema => $name, options => ", page_size '10', $options");
	$node->safe_psql('postgres', "ALTER SERVER $name OPTIONS (SET url '$url')");
}
begin_faults($node, $sim, table => 'clerk.users', target => 'clerk.users_sync', redis => $redis);

# ---- Users who were cached before

# Forgets that others were told lately that the provider fails.
sub drop_marks
{
	my @marks = grep { /:[blr]$/ } $redis->keys;

	$redis->ask('DEL', @marks) if @marks;
	return;
}

# A scan of a server with a cache, during a fault: its users with a warning that they
# are old, and the error where they are older than allowed.
sub stale_row
{
	my ($name, $what, $server, %opts) = @_;

	row(
		$name, $what,
		'scan with a cache' => sub {
			my $count = asked_of(scan_of($server));
			my $is = qr/\A$count\npsql:\S+ WARNING:  01000: users of server "$server" are \d+ s old\n(?!.*(WARNING|ERROR):)/s;
			my $error = qr/\A(psql:\S+ )?ERROR:  $opts{error}/s;

			$opts{begin}->();
			my $said = with_options($server, $opts{options} // {}, sub { asked_of(scan_of($server)) =~ s/(.*)^(\d+)$(.*)/$2\n$1$3/msr });
			like($said, $is, "$what: users who are not too old, and not in silence");
			drop_marks();
			$said = with_options($server, { %{ $opts{options} // {} }, cache_stale_ttl => '1ms' }, sub { asked_of(scan_of($server)) });
			like($said, $error, "$what: no users who are too old");
			$opts{end}->();
			drop_marks();
			like(asked_of(scan_of($server)), qr/\A\d+\z/, "$what: the next scan is well");
		});
	return;
}

# ---- F3: no connection

my $failed = 'HV00N: could not connect to the provider of server "\w+"\nDETAIL:  Reason: the connection failed\.';
my $broke = 'HV00M: the connection to the provider of server "\w+" broke';
my $late_connection = 'HV00N: could not connect to the provider of server "\w+"\nDETAIL:  Reason: no connection was made in time\.';
my $hole;
my %unconnected = (
	'refused' => { begin => sub { $wire->stop }, end => sub { $wire->start }, error => $failed },
	'reset' => { begin => sub { $wire->script($request, ['reset']) }, end => sub { $wire->script(@healthy) }, error => $broke },
	'a black hole' => {
		begin => sub { $wire->stop; $hole = start_black_hole($wire->port) },
		end => sub { undef $hole; $wire->start },
		options => { connect_timeout => '200ms' },
		error => $late_connection
	});

like(asked_of(refresh_of($_)), qr/^ok\|25\|/, "$_ has users") for qw(clerk old hasty);
for my $what (sort keys %unconnected)
{
	fault_row('F3', $what, %{ $unconnected{$what} }, requests => 0);
	stale_row('F3', $what, 'old', %{ $unconnected{$what} });
}
row(
	'F3', 'a black hole, cancelled',
	map {
		my ($column, $sql) = @$_;

		$column => sub {
			$unconnected{'a black hole'}{begin}->();
			unchanged_by("a cancelled $column", sub { cancel_within("a $column that is not connected", 250, $sql) });
			$unconnected{'a black hole'}{end}->();
		}
	} [ scan => scan_of('clerk') ], [ refresh => refresh_of('clerk') ]);
row(
	'F3', 'refused a thousand times (B8)',
	scan => sub {
		$wire->stop;
		# a log of all that takes longer to be looked through
		flat('refused connections', 1000, "SET log_statement = 'none'; SET log_min_messages = 'panic'; " . scan_of('hasty'));
		$wire->start;
	},
	refresh => sub {
		with_options('clerk', { refresh_timeout => '5ms' }, sub {
			$wire->stop;
			flat('refused connections', 30, refresh_of('clerk'));
			$wire->start;
		});
		repairs('refused many times');
	});

# ---- F4: TLS that is not to be trusted

my $good = $authority->certificate('good');
my $not_accepted = 'HV00N: could not connect to the provider of server "\w+"\nDETAIL:  Reason: the TLS certificate was not accepted\.';
my $no_handshake = 'HV00N: could not connect to the provider of server "\w+"\nDETAIL:  Reason: the TLS handshake failed\.';
my %certificates = (
	'expired' => [ $authority->certificate('expired', from => '20200101000000Z', until => '20200201000000Z'), $not_accepted ],
	'not yet valid' => [ $authority->certificate('early', from => '20450101000000Z', until => '20450201000000Z'), $not_accepted ],
	'of another host' => [ $authority->certificate('elsewhere', names => 'DNS:elsewhere.test'), $not_accepted ],
	'self-signed' => [ $authority->certificate('alone', alone => 1), $not_accepted ],
	'of a foreign authority' => [ new_authority("$folder/foreign")->certificate('foreign'), $not_accepted ],
	'TLS 1.1' => [ $good, $no_handshake, qw(-tls1_1 -cipher DEFAULT@SECLEVEL=0) ]);
my $tls = start_tls($tls_sim, $tls_port, $good);

# The server speaks TLS in this way instead, or in none.
sub speak_tls
{
	my (@how) = @_;

	$tls->stop;
	$tls = start_tls($tls_sim, $tls_port, @how);
	return;
}

like(asked_of(refresh_of($_)), qr/^ok\|25\|/, "$_ has users") for qw(tls tls_old);
for my $what (sort keys %certificates)
{
	my ($certificate, $error, @more) = @{ $certificates{$what} };
	my %fault = (begin => sub { speak_tls($certificate, @more) }, end => sub { speak_tls($good) }, error => $error);

	fault_row('F4', $what, %fault, server => 'tls', sim => $tls_sim, requests => 0);
	fault_row('F4', "$what, with users in the cache", %fault, server => 'tls_old', sim => $tls_sim, requests => 0) if $what eq 'expired';
}
{
	my $silent;
	my %stalled = (
		begin => sub {
			$tls->stop;
			$silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $tls_port, ReuseAddr => 1, Listen => 128) or die "listen: $@";
		},
		end => sub { undef $silent; $tls = start_tls($tls_sim, $tls_port, $good) });

	fault_row('F4', 'a handshake that stalls', %stalled, server => 'tls', sim => $tls_sim, options => { connect_timeout => '200ms' }, error => $late_connection, requests => 0);
	row(
		'F4', 'a handshake that stalls, cancelled',
		map {
			my ($column, $sql) = @$_;

			$column => sub {
				$stalled{begin}->();
				unchanged_by("a cancelled $column", sub { cancel_within("a $column in a handshake", 250, $sql) });
				$stalled{end}->();
			}
		} [ scan => scan_of('tls') ], [ refresh => refresh_of('tls') ]);
}

# ---- F5 and F6: an answer that never comes, or never ends

my $late = 'HV00L: the provider of server "\w+" did not answer in time\nDETAIL:  Reason: no complete reply came in time( \(HTTP status 200\))?\.';
my $true = JSON::PP::true;

fault_row('F5', 'no answer', fault => { hang => $true }, options => { request_timeout => '200ms' }, error => $late, requests => 1);
fault_row('F5', 'no answer to a count', only => 'refresh', writes => 1, fault => { match => 'count', hang => $true }, options => { refresh_timeout => '1s' }, error => $late);
fault_row('F5', 'no answer about a user', only => 'refresh', writes => 1, fault => { match => 'get', after => 1, hang => $true }, options => { request_timeout => '300ms' }, error => $late);
fault_row('F6', 'a byte each second', fault => { drip_ms => 1000 }, options => { request_timeout => '1100ms' }, error => $late, requests => 1);
fault_row('F6', 'a byte each 10 ms (REL-7)', fault => { drip_ms => 10 }, options => { scan_timeout => '300ms', refresh_timeout => '300ms' }, error => $late, requests => 1);
for my $fault ([ 'F5', 'no answer (B1, B19)', { hang => $true } ], [ 'F6', 'a byte each second', { drip_ms => 1000 } ])
{
	my ($name, $what, $is) = @$fault;

	row(
		$name,
		"$what, cancelled",
		map {
			my ($column, $sql) = @$_;

			$column => sub {
				unchanged_by("a cancelled $column", sub {
					cancel_within("a $column, $what", 250, $sql,
						before => sub { $sim->reset_stats; $sim->fault({ match => 'list', times => -1, %$is }) },
						waits => sub { return $sim->stats->{faults} },
						after => sub { $sim->clear_faults });
				});
			}
		} [ scan => scan_of('clerk') ], [ refresh => refresh_of('clerk') ]);
}

# DDL that waits for a query waits no longer than the query does
row(
	'F5', 'DDL beside it (B1)',
	scan => sub {
		my ($reader, $owner) = map { new_session($node) } 1 .. 2;
		my $pid = $reader->must('SELECT pg_backend_pid()');
		my $waits = sub { return $session->must("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Extension'") };

		$sim->fault({ match => 'list', hang => $true });
		$reader->begin(scan_of('clerk'));
		wait_until('the scan', $waits);
		$owner->begin('ALTER FOREIGN TABLE clerk.users OWNER TO CURRENT_USER');
		wait_until('the DDL', sub { return $session->must('SELECT count(*) FROM pg_locks WHERE NOT granted') });
		$session->must("SELECT pg_cancel_backend($pid)");
		like($reader->finish, qr/ERROR:  57014:/, 'the scan is cancelled');
		is($owner->finish, '', 'and the DDL done');
		$sim->clear_faults;
	});

# ---- F7: a body cut off

# One run each, whose four tries are cut off after these bytes.
for my $cuts (
	[ 'by its length, first page', 0, {}, 0, 1, 2, 5000 ],
	[ 'by its length, second page', 1, {}, 1, 100, 1000, 4000 ],
	[ 'in chunks, first page', 0, { chunked => $true }, 1, 100, 2047, 4000 ],
	[ 'in chunks, second page', 1, { chunked => $true }, 0, 1, 2, 5000 ])
{
	my ($what, $after, $framing, @bytes) = @$cuts;

	fault_row(
		'F7', "cut off $what, after @bytes bytes",
		fault => [ map { { times => 1, after => $after, cut => $_, %$framing } } @bytes ],
		requests => 4 + $after,
		writes => $after,
		error => $broke);
}

# ---- F8: a reply that is too large

my $blanks = ' ' x (1024 * 1024);
my $gzip = Compress::Raw::Zlib::Deflate->new(-WindowBits => WANT_GZIP, -AppendOutput => 1);
my @zipped = ('', '');

# that, and what follows again and again, since a full flush forgets what was before
for my $part (0, 1)
{
	$gzip->deflate($blanks, $zipped[$part]) == Z_OK or die 'deflate';
	$gzip->flush($zipped[$part], Z_FULL_FLUSH) == Z_OK or die 'flush';
}
my $ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
my $body_too_large = 'HV00M: the provider of server "\w+" sent too large a reply\nDETAIL:  Reason: the reply is too large[ (.]';
my $headers_too_large = 'HV00M: the provider of server "\w+" sent too large a reply\nDETAIL:  Reason: the headers of the reply are too large[ (.]';

# name, what is sent first, what for ever after it, what is said
my @bombs = (
	[ '10 GiB, announced', "${ok}Content-Length: " . 10 * 1024**3 . "\r\n\r\n[", ' ', $body_too_large ],
	[ '10 GiB in chunks', "${ok}Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n", "1000\r\n" . ' ' x 4096 . "\r\n", $body_too_large ],
	[ 'a gzip bomb', "${ok}Content-Encoding: gzip\r\n\r\n$zipped[0]", $zipped[1], $body_too_large ],
	[ 'a million headers', $ok, "X-More: x\r\n", $headers_too_large =~ s{the headers of the reply are}{the (headers of the reply are|reply is)}r ],
	[ 'a header of 1 MiB', "${ok}X-Long: ", 'x', $headers_too_large =~ s{the headers of the reply are}{the (headers of the reply are|reply is)}r ]);

# Kilobytes that the session had at most.
my $pid = $session->must('SELECT pg_backend_pid()');
sub most_memory { return process_memory($pid, 'VmHWM'); }

for my $column (scan_of('clerk'), refresh_of('clerk'))
{
	$sim->fault({ match => 'list', times => 1, body => '[]' });
	asked_of($column);
}
repairs('before the bombs');
my $most = most_memory();

for my $bomb (@bombs)
{
	my ($what, $first, $ever, $error) = @$bomb;

	fault_row(
		'F8', $what,
		begin => sub { $wire->script($request, [ 'send', $first ], [ 'flood', $ever ]) },
		end => sub { $wire->script(@healthy) },
		error => $error);
}
fault_row('F8', '10 GiB about one user', only => 'refresh', writes => 1,
	fault => { match => 'get', after => 1, body => $blanks, body_repeat => 10 * 1024 }, error => $body_too_large);
row('F8', 'memory (REL-9)', 'both columns' => sub {
		# the largest reply may have 16 MiB
		memory_below(most_memory() - $most, 24 * 1024, 'all that takes no more memory than the largest reply may have');
		$wire->script($request, [ 'send', $bombs[0][1] ], [ 'flood', ' ' ]);
		flat('too large a reply', 5, "SELECT neon_auth.disconnect_all(); $_") for scan_of('clerk'), refresh_of('clerk');
		$wire->script(@healthy);
		repairs('too large a reply, many times');
	});

no_canary();
no_crash();
$node->stop;
done_testing();
