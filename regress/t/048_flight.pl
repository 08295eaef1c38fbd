
# Requests in flight while nobody waits for them: the next page of a listing, asked
# for while the rows of this one are used.  The users are those of a listing that
# waits for each page, nobody who stops early has asked for more than a page too
# many, and whatever becomes of a request in the background is as if it had not been
# sent.  How fast that is nobody looks at here: requests are counted.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Resources;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 23;
my $pages = 5;
my $sim = start_sim(users => $users);
my $auth = start_sim(users => $users, provider => 'better_auth');
my $node = new_node('flight', urls => [ $sim->url, $auth->url ],
	conf => "log_statement = none\nlog_min_messages = fatal\njit = off\n");
my $size = ", page_size '5'";

# one waits for each page; short and brief give up early; paced sends one a second.
add_server($node, $sim, name => 'ok', schema => 'ok', options => $size);
add_server($node, $sim, name => 'one', schema => 'one', options => "$size, max_concurrency '1'");
add_server($node, $sim, name => 'short', schema => 'short', options => "$size, request_timeout '300ms'");
add_server($node, $sim, name => 'brief', schema => 'brief', options => "$size, request_timeout '40ms'");
add_server($node, $sim, name => 'paced', schema => 'paced',
	options => "$size, max_requests_per_second '1', refresh_timeout '500ms'");
add_server($node, $auth, name => 'auth', schema => 'auth', options => $size);
add_server($node, $auth, name => 'auth_one', schema => 'auth_one', options => "$size, max_concurrency '1'");

my $true = JSON::PP::true;
my $session = new_session($node);

# The provider has had so many requests for pages, and gets no more of itself.
sub asked_is
{
	my ($count, $name) = @_;

	wait_until("$count requests", sub { return $sim->stats->{list} >= $count });
	return is($sim->stats->{list}, $count, $name);
}

# A cursor at the first row of this page.
sub open_at
{
	my ($schema, $page) = @_;

	$sim->clear_faults;
	$sim->reset_stats;
	$session->must("BEGIN; DECLARE c CURSOR FOR SELECT * FROM $schema.users");
	move(1 + 5 * ($page - 1));
	return;
}

# Goes on by so many rows; what psql says.
sub move
{
	my ($rows) = @_;

	return $session->ask("\\o /dev/null\nFETCH $rows FROM c;\n\\o");
}

# How many rows there still are, or what psql says of an error.
sub rest
{
	my $text = $session->ask("\\o /dev/null\nSELECT 1;\n\\o\nMOVE ALL FROM c;\n\\echo :ROW_COUNT");

	$session->ask('ROLLBACK');
	return $text;
}

sub rows { return $session->ask("SELECT md5(string_agg(u::text, ',')), count(*) FROM $_[0].users u"); }

# ---- When a page is asked for

open_at('ok', 1);
asked_is(1, 'on the first page nothing else is asked for');
move(4);
asked_is(1, 'nor at its last row');
move(1);
asked_is(3, 'on the second one the third is');
move(4);
asked_is(3, 'and no other before that is used');
move(1);
asked_is(4, 'on the third the fourth');
is(rest(), $users - 11, 'the rest is there');
asked_is($pages, 'each page was asked for once');
is($sim->stats->{in_flight_max}, 1, 'one at a time, since each tells where the next begins');

open_at('one', 3);
asked_is(3, 'with max_concurrency 1 each is waited for before the next is asked for');
is(rest(), $users - 11, 'which gives the same users');

is(rows('ok'), rows('one'), 'all users, as they stand in the reply, in the same order');
is(rows('auth'), rows('auth_one'), 'by offset, too');
like(rows('auth'), qr/\|$users$/, 'and all');

$sim->reset_stats;
$session->must("CALL neon_auth.refresh_users_sync('ok')");
is($session->ask('SELECT count(*) FROM neon_auth.users_sync'), $users, 'a refresh has all users');
is($sim->stats->{list}, $pages, '... in as many requests');

# it does not stop on the first page
$sim->reset_stats;
$session->must("ALTER SERVER ok OPTIONS (ADD refresh_timeout '1s')");
$sim->fault({ match => 'list', after => 1, hang => $true, times => -1 });
like($session->ask("CALL neon_auth.refresh_users_sync('ok', mode => 'full')"), qr/HV00L/, 'a refresh whose second page does not come');
is($sim->stats->{list}, 2, '... has asked for that');
$session->must('ALTER SERVER ok OPTIONS (DROP refresh_timeout)');

# ---- What becomes of it

# Faults of the third page, which is asked for in the background: what comes of a
# scan, in how many requests.
for my $row (
	[ 'status 503', { status => 503 }, $users - 6, $pages + 1 ],
	[ 'status 429', { status => 429, headers => { 'Retry-After' => '0' } }, $users - 6, $pages + 1 ],
	[ 'a connection that breaks', { cut => 10 }, $users - 6, $pages + 1 ],
	[ 'silence for an hour', { status => 429, headers => { 'Retry-After' => '3600' } }, qr/53400.*too many requests/s, 3 ],
	[ 'status 503 for ever', { status => 503, times => -1 }, qr/HV00L.*is not available/s, 6 ],
	[ 'status 401', { status => 401, times => -1 }, qr/28000/, 3 ],
	[ 'no JSON', { body => '[{' }, qr/HV00M/, 3 ])
{
	my ($name, $fault, $expected, $requests) = @$row;

	$sim->clear_faults;
	$sim->reset_stats;
	$session->must("BEGIN; DECLARE c CURSOR FOR SELECT * FROM ok.users");
	move(5);
	$sim->fault({ match => 'list', after => 1, %$fault });
	move(1);
	my $text = rest();
	ref $expected ? like($text, $expected, "$name: as without") : is($text, $expected, "$name: all users");
	asked_is($requests, "$name: requests");
	$session->must("ALTER SERVER ok OPTIONS (SET page_size '5')");    # forgets the silence
}

# It hangs, and is waited for: that is a time-out as any other.
open_at('short', 1);
move(4);
$sim->fault({ match => 'list', after => 1, hang => $true });
move(1);
like(rest(), qr/HV00L.*did not answer in time/s, 'who waits for it from the start waits as long as for any other');
asked_is(3, 'once');

# Nobody waits, and then it is too late: it is asked for anew.
open_at('short', 1);
move(4);
$sim->fault({ match => 'list', after => 1, hang => $true });
move(1);
asked_is(3, 'a cursor rests');
$session->must('SELECT pg_sleep(0.4)');
is(rest(), $users - 6, 'and goes on, though the request in the background has failed meanwhile');
asked_is($pages + 1, 'with one that was too many');

# What came long ago is not used.
open_at('brief', 2);
asked_is(3, 'a cursor rests for long');
$sim->update('index/10', { first_name => 'Late' });
$session->must('SELECT pg_sleep(0.4)');
move(4);
my ($name) = $session->ask('FETCH 1 FROM c') =~ /(Late)/;
is($name, 'Late', 'and sees what has changed since the page was first sent');
$session->ask('ROLLBACK');

# ---- What ends it

open_at('ok', 1);
move(4);
$sim->fault({ match => 'list', after => 1, hang => $true, times => -1 });
move(1);
asked_is(3, 'a request hangs');
like($session->ask("SET LOCAL statement_timeout = '50ms'; MOVE ALL FROM c"), qr/57014/, 'who waits for it can be canceled');
$session->ask('ROLLBACK');
is($session->ask("SELECT count(*) FROM neon_auth.connections() WHERE server = 'ok'"), 0, 'nothing is left of it');
$sim->clear_faults;
is($session->ask('SELECT count(*) FROM ok.users'), $users, 'and the session goes on');

# Somebody else's request in the same session is none of his business.
open_at('ok', 1);
move(4);
$sim->fault({ match => 'list', after => 1, latency_ms => 300 });
move(1);
asked_is(3, 'a cursor has a request in flight');
$sim->fault({ match => 'get', hang => $true, times => -1 });
like($session->ask(<<'SQL'), qr/^canceled$/m, 'another query is canceled');
\o /dev/null
SAVEPOINT s;
SET LOCAL statement_timeout = '50ms';
SELECT * FROM ok.users WHERE id = 'user_x';
ROLLBACK TO s;
\o
\echo canceled
SQL
is($session->ask("SELECT valid FROM neon_auth.connections() WHERE server = 'ok'"), 'f', 'nobody new gets the connection');
is(rest(), $users - 6, 'the cursor does not notice');
asked_is($pages, 'its page is not asked for again');
is($session->ask('SELECT count(*) FROM neon_auth.connections() WHERE NOT valid'), 0, 'then it is closed');
$sim->clear_faults;

open_at('ok', 2);
asked_is(3, 'a request is in flight');
is($session->ask('SELECT neon_auth.disconnect_all()'), 't', 'disconnect_all() gives it up');
is($session->ask('SELECT count(*) FROM neon_auth.connections()'), 0, 'so that nothing is left');
is(rest(), $users - 6, 'and the cursor goes on');
asked_is($pages + 1, 'with one request too many');

# More cursors with a request in flight than a session keeps connections.
{
	my $count = 20;

	for my $i (1 .. $count)
	{
		add_server($node, $sim, name => "many$i", schema => "many$i", options => $size);
	}
	$sim->reset_stats;
	$session->must('BEGIN');
	$session->must("DECLARE c$_ CURSOR FOR SELECT 1 FROM many$_.users; MOVE 6 FROM c$_") for 1 .. $count;
	is($session->ask('SELECT count(*) FROM neon_auth.connections()'), 16, "$count cursors share as many connections as are kept");
	my $rows = join(' ', map { $session->ask("MOVE ALL FROM c$_;\n\\echo :ROW_COUNT") } 1 .. $count);
	is($rows, join(' ', ($users - 6) x $count), 'each goes on');
	$session->must('COMMIT');
	cmp_ok($sim->stats->{list}, '<=', $count * ($pages + 1), 'none with more than a request too many');
}

# ---- The pace

$sim->reset_stats;
like($session->ask("CALL neon_auth.refresh_users_sync('paced', target => 'paced_sync')"),
	qr/53400/, 'a refresh whose second page would have to wait for too long');
is($sim->stats->{list}, 1, '... does not ask for it in the background either');

# ---- What it leaves behind: nothing

$sim->clear_faults;
my $meter = new_meter($node, first => 50, times => 300, providers => [$sim],
	bounds => { malloc => 24 * 1024, contexts => 24 * 1024, resident => 1024 * 1024 });
# Whether a reply was quicker than the end of its cursor decides whether its socket is
# kept; so none is.
my $away = 'SELECT neon_auth.disconnect_all();';
my $in_flight = "DECLARE c CURSOR FOR SELECT * FROM ok.users; FETCH 6 FROM c;";

$meter->each_way(
	'in flight', '',
	[ 'a cursor closed', "BEGIN; $in_flight CLOSE c; COMMIT; $away", 3 ],
	[ 'a cursor left open at COMMIT', "BEGIN; $in_flight COMMIT; $away", 3 ],
	[ 'a cursor left open at ROLLBACK', "BEGIN; $in_flight ROLLBACK; $away", 3 ],
	[ 'a savepoint rolled back', "BEGIN; SAVEPOINT s; $in_flight ROLLBACK TO s; COMMIT; $away", 3 ],
	[ 'LIMIT', "SELECT * FROM ok.users LIMIT 7; $away", 2 ],
	[ 'an error of the query', "SELECT 1 / (row_number() OVER () - 8) FROM ok.users;\n$away", 3, '22012' ],
	[ 'a rescan', "SELECT * FROM generate_series(6, 7) n, LATERAL (SELECT id FROM ok.users LIMIT n) u; $away", 3 ],
	[ 'to the end', 'SELECT * FROM ok.users;', $pages ]);
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION fail_in_flight() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM 1 / (row_number() OVER () - 8) FROM ok.users;
	EXCEPTION WHEN division_by_zero THEN
		PERFORM neon_auth.disconnect_all();
		RETURN;
	END;
	RAISE 'no error';
END $$;
SQL
{
	my ($measured, $errors) = $meter->run_session("SELECT repeat_sql('in exception blocks', 'SELECT fail_in_flight()', '00000', 300);");

	$meter->flat('in exception blocks', @{ $measured->{'in exception blocks'} });
	is_deeply($errors, {}, 'in exception blocks: each time as expected');
}

done_testing();
