
# What a provider, or whoever stands in its place, may send: bombs in body and
# headers, replies cut after every byte, replies that are no directory although
# their status is 200, and redirects.  Each ends in an error, in bounded memory,
# and is asked for once, unless the connection broke.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use Compress::Raw::Zlib;
use IO::Compress::Gzip qw(gzip);
use IPC::Run;
use List::Util qw(sum);
use NeonAuth::Test;
use NeonAuth::Wire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $page = '[{"id":"ada","first_name":"\u0041da","created_at":1700000000000,"x":[null,{}]}]';
my $request = [ 'read', '\r\n\r\n' ];
my $lanes = 8;    # sessions side by side

my $wire = start_wire();
my $elsewhere = start_wire($request, [ 'send', reply($page) ]);
my @lane_wires = map { start_wire() } 1 .. $lanes;

# ---- PostgreSQL

my $node = new_node('replies', urls => [ map { $_->url } $wire, @lane_wires ]);

# Makes a foreign table in a schema of this name.
sub add_wire
{
	my ($name, $provider, $to, $options) = @_;

	$node->safe_psql('postgres', <<"SQL");
CREATE SERVER $name FOREIGN DATA WRAPPER neon_auth_fdw
	OPTIONS (provider '$provider', url '@{[ $to->url ]}' $options);
CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS (api_key 'sk_test_x');
CREATE SCHEMA $name;
IMPORT FOREIGN SCHEMA directory FROM SERVER $name INTO $name;
SQL
	return;
}

add_wire('clerk', 'clerk', $wire, '');
add_wire('paged', 'clerk', $wire, ", page_size '1'");
add_wire('brisk', 'clerk', $wire, ", request_timeout '2s'");
add_wire('better_auth', 'better_auth', $wire, '');
add_wire("lane$_", 'clerk', $lane_wires[$_], '') for 0 .. $lanes - 1;

# Says how a query ends: its only value, or the error.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION outcome(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	value text;
	detail text;
BEGIN
	EXECUTE query INTO value;
	RETURN coalesce(value, 'nothing');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' ', SQLSTATE, SQLERRM, detail);
END
$$;
SQL

my $session = $node->background_psql('postgres');
my $backend = $session->query('SELECT pg_backend_pid()');
$session->query("SET statement_timeout = '${limit}s'");

# ---- Helpers

# A reply whose connection is closed after it; headers are lines.
sub reply
{
	my ($body, %opts) = @_;
	my $status = $opts{status} // '200 OK';
	my $type = $opts{type} // 'application/json';
	my $headers = join('', map { "$_\r\n" } "Content-Type: $type", @{ $opts{headers} // [] });

	$headers .= 'Content-Length: ' . length($body) . "\r\n" unless $opts{unframed};
	return "HTTP/1.1 $status\r\nConnection: close\r\n$headers\r\n$body";
}

sub unframed
{
	my ($body, @headers) = @_;

	return reply($body, unframed => 1, headers => \@headers);
}

# The same, in chunks of seven bytes.
sub chunked
{
	my ($body) = @_;
	my $chunks = join('', map { sprintf("%x\r\n%s\r\n", length, $_) } $body =~ /(.{1,7})/gs);

	return unframed("${chunks}0\r\n\r\n", 'Transfer-Encoding: chunked');
}

my $list = "SELECT string_agg(id, ',' ORDER BY id) FROM %s.users";
my $get = "SELECT id FROM %s.users WHERE id = 'ada'";

# How a query on this table ends whose connections are served by these steps.
sub outcome
{
	my ($schema, $query, @steps) = @_;

	$wire->script($request, @steps);
	return $session->query(sprintf("SELECT outcome(\$_\$$query\$_\$)", $schema));
}

# The query ends like this, after so many requests, which is one.
sub outcome_is
{
	my ($name, $schema, $query, $steps, $expected, $requests) = @_;
	my $before = $wire->connections;
	my $outcome = outcome($schema, $query, @$steps);

	$requests //= 1;
	$name =~ s/([^ -~])/sprintf('\x%02x', ord $1)/ge;
	like($wire->connections - $before . " requests: $outcome", qr/^$requests requests: $expected$/, $name);
	return;
}

sub list_is
{
	my ($name, $reply, $expected, $requests) = @_;

	outcome_is($name, 'clerk', $list, [ [ 'send', $reply ] ], $expected, $requests);
	return;
}

# Kilobytes that the backend has, and those it had at most.
sub memory
{
	return map { process_memory($backend, $_) } qw(VmRSS VmHWM);
}

my $unreadable = 'HV00M could not read the reply .*';
my $too_large = 'HV00M .* sent too large a reply .*';
my $no_json = "${unreadable}the reply is not JSON.*";
my $broke = 'HV00M the connection to the provider .* broke .*';

# ---- Good replies, so that the bad ones show something

list_is('announced', reply($page), 'ada');
list_is('chunked', chunked($page), 'ada');
list_is('until the end of the connection', unframed($page), 'ada');
list_is('several replies', "HTTP/1.1 100 Continue\r\n\r\n" . reply($page), 'ada');
gzip(\$page, \my $packed) or die 'gzip';
my $packed_reply = reply($packed, headers => ['Content-Encoding: gzip']);
list_is('compressed', $packed_reply, 'ada');

my ($small) = memory();
my $largest = '[' . ' ' x (16 * 1024 * 1024 - 2) . ']';
for my $how (\&reply, \&unframed)
{
	list_is('as large as may be', $how->($largest), 'nothing');
	list_is('larger by a byte', $how->("$largest "), $too_large);
}

# ---- Bombs

# Something endless that is compressed a thousandfold, after a beginning: that,
# and what follows again and again, since a full flush forgets what was before.
sub endless_gzip
{
	my ($begin, $more) = @_;
	my $gzip = Compress::Raw::Zlib::Deflate->new(-WindowBits => WANT_GZIP, -AppendOutput => 1);
	my @parts;

	for my $bytes ($begin, $more)
	{
		push @parts, '';
		$gzip->deflate($bytes, $parts[-1]) == Z_OK or die 'deflate';
		$gzip->flush($parts[-1], Z_FULL_FLUSH) == Z_OK or die 'flush';
	}
	return @parts;
}

my $blanks = ' ' x (1024 * 1024);
my ($gzip_begin, $gzip_more) = endless_gzip($blanks, $blanks);
my $ok = "HTTP/1.1 200 OK\r\n";
my $chunks = "${ok}Transfer-Encoding: chunked\r\n\r\n";
my $ten_gigabytes = 10 * 1024 ** 3;

# name, what is sent first, what is sent for ever after it
my @bombs = (
	[ 'a body without end', unframed('['), ' ' ],
	[ 'chunks without end', $chunks, "1000\r\n" . ' ' x 4096 . "\r\n" ],
	[ 'chunks of a byte without end', $chunks, "1\r\n \r\n" ],
	[ 'a chunk of 10 GB', sprintf("$chunks%x\r\n", $ten_gigabytes), ' ' ],
	[ '10 GB, announced', "${ok}Content-Length: $ten_gigabytes\r\n\r\n", ' ' ],
	[ 'an error without end', unframed('') =~ s/200 OK/400 Bad Request/r, 'x' ],
	[ 'a redirect without end', unframed('', 'Location: /') =~ s/200 OK/302 Found/r, 'x' ],
	[ 'gzip without end', unframed($gzip_begin, 'Content-Encoding: gzip'), $gzip_more ],
	[ 'headers without end', $ok, "X-More: x\r\n" ],
	[ 'a header without end', "${ok}X-Long: ", 'x' ],
	[ 'a status without end', 'HTTP/1.1 200 ', 'x' ],
	[ 'trailers without end', "${chunks}0\r\n", "X-More: x\r\n" ],
	[ 'interim replies without end', '', "HTTP/1.1 100 Continue\r\n\r\n" ]);

sub throw_bombs
{
	for my $bomb (@bombs)
	{
		my ($name, $first, $ever) = @$bomb;

		outcome_is($name, 'clerk', $list, [ [ 'send', $first ], [ 'flood', $ever ] ], $too_large);
		note(sprintf("%d kB now, %d kB at most", memory()));
	}
	return;
}

throw_bombs();
my ($after, $most) = memory();
throw_bombs();
my ($again) = memory();

note("at first $small kB, after one round $after kB, at most $most kB, after another $again kB");

# curl's buffers, decompression, and code that is run for the first time
my $slack = 4 * 1024;
memory_below($most - $small, 16 * 1024 + $slack, 'bombs take no more memory than the largest reply may have');
memory_below($after - $small, $slack, 'which is given back');
memory_below($again - $after, 1024, 'and another round takes no more');

# What never becomes a byte of a body or header ends at the deadline.
my $late = 'HV00L .* did not answer in time .*';
my $gzip_header = substr($gzip_begin, 0, 10);

# The request_timeout ends them, or libcurl, whose later versions count these bytes.
for my $endless (
	[ 'a chunk extension without end', "${chunks}1;", 'x' ],
	[ 'empty gzip without end', unframed($gzip_header, 'Content-Encoding: gzip'), "\0\0\0\xff\xff" ])
{
	my ($name, $first, $ever) = @$endless;

	outcome_is($name, 'brisk', $list, [ [ 'send', $first ], [ 'flood', $ever ] ], "($late|HV00M .* too large .*)");
}
memory_below((memory())[1] - $most, $slack, 'bytes that count for nothing take no memory');

# Nothing compressed over and over: curl would be busy with it for hours, and
# neither deadline nor cancel would count.  Its later versions refuse a compression
# of the transfer by themselves.
my $no_coding = "${unreadable}the (reply is encoded in another way than gzip|compression of the reply is malformed).*";
my ($nothing, $more_nothing) = ($gzip_header, "\0\0\0\xff\xff" x 200000);

for my $layers (2, 3)
{
	($nothing, $more_nothing) = endless_gzip($nothing, $more_nothing);
	for my $headers (
		[ 'Content-Encoding: ' . join(', ', ('gzip') x $layers) ],
		[ ('Content-Encoding: gzip') x $layers ],
		[ 'Content-Encoding: gzip,', ' gzip' ],
		[ 'Transfer-Encoding: gzip', 'Content-Encoding: gzip' ],
		[ 'Transfer-Encoding: gzip, gzip, chunked' ],
		[ 'Content-Encoding: deflate, gzip' ])
	{
		outcome_is("nothing, compressed $layers times, as @$headers", 'clerk', $list,
			[ [ 'send', unframed($nothing, @$headers) ], [ 'flood', $more_nothing ] ], $no_coding);
	}
	$more_nothing x= 1000;
}
my $early = "HTTP/1.1 103 Early Hints\r\nContent-Encoding: gzip\r\n\r\n";
outcome_is('nothing, compressed in two replies', 'clerk', $list,
	[ [ 'send', $early . unframed($nothing, 'Content-Encoding: gzip') ], [ 'flood', $more_nothing ] ], $no_coding);
list_is('an identical encoding', reply($page, headers => ['Content-Encoding: identity']), 'ada');

# ---- Replies that are no HTTP, or not quite

my $no_http = "${unreadable}the reply is not HTTP.*";
my $no_gzip = "${unreadable}the compression of the reply is malformed.*";

list_is('another protocol', "SSH-2.0-OpenSSH_9.2\r\n", $no_http);
list_is('nothing', '', "$broke without a reply.*", 4);
outcome_is('a reset', 'clerk', $list, [ ['reset'] ], $broke, 4);
list_is('a body and nothing else', $page, $no_http);
list_is('a change of protocol', "HTTP/1.1 101 Switching Protocols\r\n\r\n" . reply($page), 'HV00L .*status 101.*');
list_is('a negative length', "${ok}Content-Length: -1\r\n\r\n$page", $no_http);
list_is('two lengths', "${ok}Content-Length: 2\r\nContent-Length: 20\r\n\r\n[]$page", $unreadable);
list_is('a chunk of no size', "${chunks}z\r\n$page", $broke, 4);
list_is('no gzip', reply($page, headers => ['Content-Encoding: gzip']), $no_gzip);
list_is('an unknown compression', reply($page, headers => ['Content-Encoding: x-none']), $no_coding);
list_is('half of a gzip', reply(substr($packed, 0, -20), headers => ['Content-Encoding: gzip']), $unreadable);

# A reply for a question not yet asked: the second page has to be asked for.
my $first = '[{"id":"ada"}]';
my $unasked = reply('[{"id":"eve"}]');
outcome_is('a reply that nobody asked for', 'paged', $list, [
		[ 'turn',
			[ [ 'send', (reply($first) =~ s/Connection.*?\n//r) . $unasked ], $request, [ 'send', $unasked ] ],
			[ [ 'send', reply('[{"id":"bob"}]') ] ],
			[ [ 'send', reply('[]') ] ] ] ], 'ada,bob', 3);

# ---- Replies cut after every byte

# The reply up to each byte of its body.
sub cuts
{
	my ($whole) = @_;

	return map { substr($whole, 0, $_) } index($whole, "\r\n\r\n") + 4 .. length($whole) - 1;
}

# Lists users as often as there are these replies for it, $each a query, on all
# lanes at once; returns how the queries ended, and the requests.
sub outcomes_of_lanes
{
	my ($each, @replies) = @_;
	my @lanes = map { { wire => $_, out => '', replies => [], before => $_->connections } } @lane_wires;
	my %outcomes;

	for (my $query = 0; @replies; $query++)
	{
		push @{ $lanes[ $query % $lanes ]{replies} }, splice(@replies, 0, $each);
	}
	for my $number (0 .. $#lanes)
	{
		my $lane = $lanes[$number];
		my $times = @{ $lane->{replies} } / $each;

		$lane->{wire}->script([ 'turn', map { [ $request, [ 'send', $_ ] ] } @{ $lane->{replies} }, '' ]);
		$lane->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
				sprintf("SELECT outcome(\$_\$$list\$_\$) FROM generate_series(1, $times)", "lane$number") ],
			'>', \$lane->{out}, IPC::Run::timeout($limit));
	}
	for my $lane (@lanes)
	{
		$lane->{run}->finish;
		$outcomes{$_}++ for split /\n/, $lane->{out};
	}
	return (\%outcomes, sum(map { $_->{wire}->connections - $_->{before} } @lanes));
}

my %framings = (
	'by its length' => [ reply($page), cuts(reply($page)) ],
	'compressed' => [ $packed_reply, cuts($packed_reply) ],
	# curl awaits all but the very last line feed
	'in chunks' => [ chunked($page), cuts(substr(chunked($page), 0, -1)) ]);

for my $how (sort keys %framings)
{
	my ($whole, @cuts) = @{ $framings{$how} };
	my ($outcomes, $requests) = outcomes_of_lanes(2, map { ($_, $whole) } @cuts);

	is_deeply([ $outcomes, $requests ], [ { ada => scalar @cuts }, 2 * @cuts ],
		"framed $how, cut once, after each of " . @cuts . ' bytes: asked again');
	($outcomes, $requests) = outcomes_of_lanes(4, map { ($_) x 4 } @cuts[ 0, @cuts / 2, -1 ]);
	is_deeply([ [ grep { !/^$broke$/ } keys %$outcomes ], $requests ], [ [], 12 ],
		"framed $how, cut always: an error");
}

# what ends where the connection ends can only be judged by what it says
my @cuts = cuts(unframed($page));
my ($outcomes, $requests) = outcomes_of_lanes(1, @cuts);
is_deeply([ [ grep { !/^$unreadable$/ } keys %$outcomes ], $requests ], [ [], scalar @cuts ],
	'framed by nothing, cut after each of ' . @cuts . ' bytes: an error');

# headers in the same way, where another request is as good as an error
my $head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
my %after;

for my $length (0 .. length($head) - 1)
{
	my @cut = [ 'send', substr($head, 0, $length) ];
	my @whole = [ 'send', reply($page) ];

	$after{ outcome('clerk', $list, [ 'turn', \@cut, \@whole ]) }++;
}
note("cut within the headers: $_ ($after{$_} times)") for sort keys %after;
is_deeply([ grep { !/^(ada|$unreadable|$broke)$/ } keys %after ], [],
	'cut within the headers: asked again or an error');

# ---- Status 200, but no directory

my $html = '<!DOCTYPE html><html><body>Sign in</body></html>';
my @neither = ('', ' ', '{}', 'null', 'true', '0', '""', '[', '[null]', '[[]]', '[0]',
	"$page,", $page x 2, "\xef\xbb\xbf$page", "\0$page",
	'{"users":null}', '{"users":{}}', '{"data":[]}', '{"errors":[{"code":"internal"}]}', $html);
my @no_list = ('[]', $page, '{"users":[]}', '{"users":[],"total":null}', '{"users":[],"total":-1}', '{"total":0}');
my @no_user = ('[]', $page, '{"id":null}', '{"id":["ada"]}');

for my $body (@neither)
{
	list_is("a list is \"$body\"", reply($body), $unreadable);
}
for my $body (@neither, @no_list)
{
	outcome_is("Better Auth's list is \"$body\"", 'better_auth', $list, [ [ 'send', reply($body) ] ], $unreadable);
}
for my $body (@neither, @no_user)
{
	outcome_is("a user is \"$body\"", 'clerk', $get, [ [ 'send', reply($body) ] ], $unreadable);
}
outcome_is('a user is another', 'clerk', $get, [ [ 'send', reply('{"id":"eve"}') ] ], 'HV00M .* did not give what was asked for.*');

# ---- Content types

for my $type ('application/json', 'Application/JSON; charset=utf-8', 'application/json;charset=UTF-8',
	'application/scim+json')
{
	list_is("type \"$type\"", reply($page, type => $type), 'ada');
}
list_is('no type', reply($page) =~ s/Content-Type.*?\n//r, 'ada');
for my $type ('text/html', 'text/html; charset=utf-8', 'text/html; x=application/json', 'text/plain',
	'application/jsonp', 'application/json-seq', 'application/xjson', 'application/octet-stream')
{
	list_is("type \"$type\"", reply($page, type => $type), $no_json);
}
list_is('HTML', reply($html, type => 'text/html'), $no_json);
outcome_is('HTML for a user', 'clerk', $get, [ [ 'send', reply($html, type => 'text/html') ] ], $no_json);

# an error says enough by its status
for my $row (
	[ '401 Unauthorized', '28000' ], [ '403 Forbidden', '42501' ],
	[ '404 Not Found', 'HV00L' ], [ '500 Internal Server Error', 'HV00L' ])
{
	my ($status, $sqlstate) = @$row;
	my $reply = reply($html, type => 'text/html', status => $status);

	list_is("HTML with $status", $reply, "$sqlstate .*");
	outcome_is("HTML with $status for a user", 'clerk', $get, [ [ 'send', $reply ] ], "$sqlstate .*");
}
list_is('status 204', reply('', status => '204 No Content'), 'HV00L .*');
list_is('status 206', reply($page, status => '206 Partial Content'), 'HV00L .*');

# ---- Redirects

my $there = $elsewhere->url;
my $port = $elsewhere->port;
my $redirects = 'HV00L .* redirects to another address .*';

sub redirect
{
	my ($target) = @_;

	return reply($page, status => '302 Found', headers => ["Location: $target"]);
}

for my $status (300 .. 308)
{
	list_is("redirect with $status", redirect($there) =~ s/302 Found/$status Elsewhere/r,
		"${redirects}status $status.*");
}
for my $target ("//127.0.0.1:$port/", "http://localhost:$port/", "https://127.0.0.1:$port/",
	"http://x:y\@127.0.0.1:$port/", "gopher://127.0.0.1:$port/", "ldap://127.0.0.1:$port/",
	'file:///etc/passwd', 'javascript:0', $wire->url, '/v1/users', '', ' ', "\x01")
{
	list_is("redirect to \"$target\"", redirect($target), $redirects);
}
outcome_is('redirect for a user', 'clerk', $get, [ [ 'send', redirect($there) ] ], $redirects);
list_is('redirect to nowhere', reply('', status => '302 Found'), $redirects);
list_is('another place in the headers of a page',
	reply($page, headers => [ "Location: $there", "Refresh: 0; url=$there" ]), 'ada');
is($elsewhere->connections, 0, 'redirects are not followed');

$session->quit;
$node->stop;
done_testing();
