# Scans of an Append that do not wait for each other: UNION ALL, partitions and
# children, over several servers and over one, with filters, pages, caches, failures,
# cancels and rescans.  That they are in flight at the same time is seen by providers
# that answer only when all were asked.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use constant SERVERS => 5;

my $redis = start_redis();
my @sims = map { start_sim(provider => 'clerk', users => 20 * $_, seed => $_) } 1 .. SERVERS;
my $node = new_node('append', urls => [ map { $_->url } @sims ], conf => "jit = off\n");

for my $n (1 .. SERVERS)
{
	add_server($node, $sims[ $n - 1 ], name => "s$n", schema => "s$n", options => ", page_size '10'");
	add_server($node, $sims[ $n - 1 ], name => "c$n", schema => "c$n", options => ", page_size '10', redis_url '" . $redis->url . "', redis_timeout '1min'");
}
my %from = map { my $kind = $_; ($kind => join(' UNION ALL ', map { "SELECT '$_' AS server, * FROM $kind$_.users" } 1 .. SERVERS)) } qw(s c);
$node->safe_psql('postgres', "SET neon_auth_fdw.pushdown = off; SET enable_async_append = off; CREATE TABLE copy AS $from{s};
	CREATE VIEW everybody AS $from{s}; CREATE VIEW cached AS $from{c}");
my $session = new_session($node);
my $all = "SELECT server, id, name FROM everybody";
my $wanted = $session->must("SELECT server, id, name FROM copy ORDER BY 1, 2");

# The answer, sorted by the client, for a sort would be the server's.
sub sorted { return join("\n", sort split /\n/, $_[0]); }

sub same_as_copy
{
	my ($name, $sql, $requests) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$_->reset_stats for @sims;
	is(sorted($session->ask($sql)), sorted($session->must($sql =~ s/\b(everybody|cached)\b/copy/gr)), $name);
	is(join(' ', map { $_->requests } @sims), $requests, "$name: requests") if defined $requests;
	return;
}

like($session->must("EXPLAIN (COSTS off) $all"), qr/(Async Foreign Scan.*?){5}/s, 'an Append of five servers is asynchronous');
like($session->must('EXPLAIN (COSTS off) SELECT count(*) FROM s1.users UNION ALL SELECT count(*) FROM s2.users'), qr/(Async Foreign Scan.*?){2}/s, 'one of counts, too');
same_as_copy('all of them', $all, '3 5 7 9 11');
for my $round (1 .. 10)
{
	my @rows = $session->must("EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) $all") =~ /Scan .*rows=(\d+)/g;
	is("@rows", '20 40 60 80 100', "EXPLAIN counts all rows, $round");
}
same_as_copy('with a filter', "$all WHERE name > 'M'", '3 5 7 9 11');
same_as_copy('with a filter that nobody passes', "$all WHERE name > 'zzz'", '3 5 7 9 11');
same_as_copy('with an id', "$all WHERE id = (SELECT max(id) FROM copy)", '1 1 1 1 1');
same_as_copy('with ids', "$all WHERE id = ANY (ARRAY(SELECT id FROM copy))", '3 3 3 3 3');
same_as_copy('with none', "$all WHERE id = ANY ('{}')", '0 0 0 0 0');
same_as_copy('an order', 'SELECT created_at FROM everybody ORDER BY created_at DESC LIMIT 7');
same_as_copy('a count', 'SELECT count(*) FROM everybody', '3 5 7 9 11');
same_as_copy('what changed', "$all WHERE updated_at >= (SELECT max(updated_at) FROM copy)");
$_->reset_stats for @sims;
is(join(' ', map { $_->requests } @sims) . ' ' . $session->must('SELECT count(*) FROM (SELECT id FROM s5.users UNION ALL SELECT id FROM s5.users UNION ALL SELECT id FROM s1.users) u'),
	'0 0 0 0 0 220', 'a server twice');
is(join(' ', map { $_->requests } @sims), '3 0 0 0 11', 'which share a listing');
same_as_copy('a join with itself', 'SELECT a.server, a.id FROM everybody a JOIN everybody b USING (server, id)');
same_as_copy('in a loop', 'SELECT n, (SELECT count(*) FROM everybody WHERE length(name) > n) FROM generate_series(5, 12) n');
same_as_copy('in a lateral subquery', 'SELECT n, u.* FROM generate_series(5, 12) n, LATERAL (SELECT id FROM everybody WHERE length(name) = n) u');
same_as_copy('a rescan with other parameters',
	'SELECT c.id, u.name FROM (SELECT id FROM copy ORDER BY id LIMIT 3) c CROSS JOIN LATERAL (SELECT name FROM everybody e WHERE e.id = c.id OFFSET 0) u');
is($session->must("BEGIN; DECLARE c CURSOR WITH HOLD FOR $all; MOVE 7 IN c; COMMIT; MOVE FORWARD ALL IN c; CLOSE c; SELECT 1"), '1', 'with a cursor');
for my $round (1 .. 3)
{
	same_as_copy("from the cache, $round", 'SELECT server, id, name FROM cached', $round == 1 ? '3 5 7 9 11' : '0 0 0 0 0');
}
is($session->must("SELECT sum(corrupt) + sum(lost) FROM neon_auth.cache_stats()"), '0', 'and nothing in it was lost');
like($session->must("EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) $all"), qr/(Async Foreign Scan.*?Requests: \d.*?){5}/s, 'EXPLAIN counts for each');

# ---- At the same time

# A first reply takes so long that five of them would be too many, one after the other.
$_->fault({ match => 'list', latency_ms => 1500 }) for @sims;
$node->safe_psql('postgres', "ALTER SERVER s$_ OPTIONS (ADD request_timeout '2s')") for 1 .. SERVERS;
$session->ask("SET statement_timeout = '6s'");
same_as_copy('five slow servers are waited for at the same time', $all, '3 5 7 9 11');
$_->fault({ match => 'get', latency_ms => 1500 }) for @sims;
same_as_copy('also where rows are kept', "$all WHERE id = (SELECT max(id) FROM copy)", '1 1 1 1 1');
$session->ask('SET enable_async_append = off');
$_->fault({ match => 'list', latency_ms => 1500 }) for @sims;
like($session->ask($all), qr/ERROR:  57014/, 'without that it would take too long');
$_->clear_faults for @sims;
$session->ask('RESET ALL');

# ---- One server

my $one = join(' UNION ALL ', map { "SELECT id FROM s5.users WHERE created_at " . ('<', '>=')[ $_ % 2 ] . " '2025-01-01 00:0$_:00Z'" } 1 .. 6);
same_as_copy('six windows of one server', $one =~ s/s5\.users/everybody/gr);
$_->reset_stats for @sims;
$sims[4]->fault({ match => 'list', latency_ms => 300, times => -1 });
is(sorted($session->must($one)), sorted($session->must($one =~ s/FROM s5\.users WHERE/FROM copy WHERE server = '5' AND/gr)), 'slowly');
cmp_ok($sims[4]->stats->{in_flight_max}, '>', 2, 'they are in flight at the same time');
$node->safe_psql('postgres', "ALTER SERVER s5 OPTIONS (ADD max_concurrency '1')");
$sims[4]->clear_faults;
$sims[4]->reset_stats;
is(sorted($session->must($one)), sorted($session->must($one =~ s/FROM s5\.users WHERE/FROM copy WHERE server = '5' AND/gr)), 'one at a time');
is($sims[4]->stats->{in_flight_max}, 1, 'if that is wanted');
$node->safe_psql('postgres', "ALTER SERVER s5 OPTIONS (DROP max_concurrency)");

# ---- Partitions

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE parent (id text, name text, created_at timestamptz) PARTITION BY RANGE (created_at);
CREATE FOREIGN TABLE part1 PARTITION OF parent FOR VALUES FROM (MINVALUE) TO ('2025-01-01 00:05:00Z') SERVER s4;
CREATE FOREIGN TABLE part2 PARTITION OF parent FOR VALUES FROM ('2025-01-01 00:05:00Z') TO (MAXVALUE) SERVER s5;
CREATE TABLE local (id text, name text, created_at timestamptz);
INSERT INTO local VALUES ('local', 'Local', now());
CREATE TABLE base (id text, name text, created_at timestamptz);
ALTER TABLE local INHERIT base;
CREATE FOREIGN TABLE child1 () INHERITS (base) SERVER s1;
CREATE FOREIGN TABLE child2 () INHERITS (base) SERVER s2;
SQL
is($session->must('SELECT count(id) FROM parent'), '180', 'partitions');
is($session->must("SELECT count(id) FROM parent WHERE created_at < '2025-01-01 00:04:00Z'"),
	$session->must("SELECT count(*) FROM copy WHERE server = '4' AND created_at < '2025-01-01 00:04:00Z'"), 'of which one is wanted');
is($session->must("SELECT count(*), count(*) FILTER (WHERE id = 'local'), count(DISTINCT tableoid) FROM base"), '61|1|3', 'children, a local one among them');

# ---- Failures

$sims[2]->fault({ match => 'list', status => 503, after => 1 });
same_as_copy('a server that fails once', $all);
$sims[2]->fault({ match => 'list', cut => 20 });
same_as_copy('one that breaks off', $all);
$sims[2]->fault({ match => 'list', status => 401, after => 2, times => -1 });
for my $sql ($all, "SELECT count(*) FROM ($all) u")
{
	like($session->ask($sql), qr/ERROR:  28000: the provider of server "s3" did not accept/, 'one that refuses is an error');
}
is($session->must(q(DO $$ BEGIN FOR i IN 1 .. 50 LOOP BEGIN PERFORM count(id) FROM everybody; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$; SELECT count(*) < 10 FROM neon_auth.connections())),
	't', 'often');
$sims[2]->clear_faults;

# what was sent on connections that are closed by now may be answered late
wait_until('the end of the requests before', sub {
	my @before = map { $_->requests } @sims;

	sleep(0.3);
	return "@before" eq join(' ', map { $_->requests } @sims);
});
same_as_copy('and all is well again', $all, '3 5 7 9 11');
$sims[3]->fault({ match => 'list', hang => \1, times => -1 });
$session->ask("SET statement_timeout = '300ms'");
like($session->ask($all), qr/ERROR:  57014/, 'a server that never answers does not outlast a cancel');
$session->ask('RESET statement_timeout');
$sims[3]->clear_faults;
same_as_copy('nor harm what follows', $all, '3 5 7 9 11');
$sims[0]->fault({ match => 'list', status => 429, headers => { 'Retry-After' => '1' } });
same_as_copy('a server that wants a pause', $all, '4 5 7 9 11');
same_as_copy('a LIMIT leaves the others alone', "SELECT count(*) FROM (SELECT id FROM everybody LIMIT 3) u");
same_as_copy('and nothing behind', $all, '3 5 7 9 11');

$node->stop;
done_testing();
