# Memory that runs out (F49), once, at each allocation of a query that the cache has a
# part in: those of libcurl, hiredis, LZ4, OpenSSL, the server and our own.  The
# query ends with SQLSTATE 53200 or with the right result and at most one WARNING;
# the next one in the same session is as if nothing had been, and uses the cache.
# The nth allocation is made to fail for each n until there is no nth, in three
# rounds of every third.  Of the first query of a session, which takes a session for
# each n, every seventh.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";

use IPC::Run ();
use NeonAuth::Redis;
use NeonAuth::Shim;
use NeonAuth::Starve;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# How many rounds there are, and the step from one n to the next in first queries.
my $rounds = 3;
my $stride = 7;

# Twelve users, on two pages of 11 and 1: a request that has lost its query on the
# way would get the simulator's page of 10, which looks like the end of the listing.
my $shim = new_shim();
my $sim = start_sim(provider => 'clerk', users => 12);
my $redis = start_redis('--requirepass', 'secret');
my $node = $shim->new_node(
	'memory',
	urls => [ $sim->url ],
	conf => "log_statement = none\nlog_min_messages = fatal\njit = off\n");

# Nothing here gets stale.  A new connection has to give the password and to select
# the database.
add_server($node, $sim,
	options => ", page_size '11', cache_ttl '1d', redis_timeout '1min', redis_url '" . $redis->url . "/1'");
$node->safe_psql('postgres',
	q(ALTER USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (ADD redis_password 'secret')));
prepare_starving($node, 'clerk');
$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION counted(counters text[]) RETURNS bigint LANGUAGE sql AS \$\$
	SELECT sum(value::bigint) FROM neon_auth.cache_stats() s, jsonb_each_text(to_jsonb(s)) WHERE key = ANY (counters)
\$\$;

-- Fills the cache, clears it, and says whether users are found there nevertheless.
CREATE FUNCTION cleared() RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
	hits bigint;
BEGIN
	PERFORM neon_auth.cache_clear('clerk');
	PERFORM probe_fail_malloc(0);
	hits := counted('{hits}');
	PERFORM FROM app.users;
	RETURN counted('{hits}') - hits;
END \$\$;

-- Runs the query with the nth allocation failing and says how that ended; then with
-- enough memory, twice, of which the second time is to make so many hits.  What is
-- told meanwhile stands between two NOTICEs.
CREATE FUNCTION starve(before text, query text, expected text, hits int, n int) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
	stdin text := standard_input();
	faults bigint;
	hits_before bigint;
	got text;
	result text;
BEGIN
	EXECUTE before;
	RAISE NOTICE 'begin';
	result := starved(query, expected, n);
	RAISE NOTICE 'end';
	EXECUTE before;
	faults := counted('{faults,skipped,corrupt,lost}');
	FOR i IN 1 .. 2 LOOP
		hits_before := counted('{hits}');
		EXECUTE query INTO got;
		IF got IS DISTINCT FROM expected THEN
			result := result || ', then wrong';
		END IF;
	END LOOP;
	IF counted('{faults,skipped,corrupt,lost}') > faults OR counted('{hits}') - hits_before <> hits THEN
		result := result || ', then without the cache';
		BEGIN
			PERFORM neon_auth.cache_clear('clerk');
		EXCEPTION WHEN out_of_memory THEN
			result := result || ' for lack of OpenSSL';
		END;
	END IF;
	IF standard_input() IS DISTINCT FROM stdin THEN
		result := result || ', then without standard input';
	END IF;
	RETURN concat_ws('|', 'ended', n, result);
END \$\$;

-- The same for every n of a round.
CREATE FUNCTION starve_round(before text, query text, hits int, round int) RETURNS SETOF text LANGUAGE plpgsql AS \$\$
DECLARE
	expected text;
	result text;
BEGIN
	EXECUTE before;
	EXECUTE query INTO STRICT expected;
	FOR n IN round .. 10000 BY $rounds LOOP
		result := starve(before, query, expected, hits, n);
		RETURN NEXT result;
		EXIT WHEN result ~ 'all right';
	END LOOP;
END \$\$;
SQL

# A lease whose taker could not read that it got it stays for five seconds, which
# is as it should be, but too long for a test.
my $leases = "for _, key in ipairs(redis.call('KEYS', '*:l')) do redis.call('DEL', key) end";
my $sweeper = IPC::Run::start(
	[ 'redis-cli', '-s', $redis->socket, '-a', 'secret', '-n', 1, '-r', -1, '-i', '0.02', 'EVAL', $leases, 0 ],
	'<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');

# ---- Helpers

# Runs SQL; returns what it printed, how each try ended, and the WARNINGs of each,
# joined, after those that came in none.
sub run_tries
{
	my ($what, @sql) = @_;
	my ($status, $out, $err) =
	  $node->psql('postgres', join('', @sql), timeout => $PostgreSQL::Test::Utils::timeout_default);
	my @ends = $out =~ /^ended\|(.*)$/mg;
	my ($trying, @warnings) = (0, '');

	is($status, 0, "$what: the session lives to its end") or diag($err);
	for (split /\n/, $err)
	{
		push @warnings, '' if /NOTICE:  begin$/;
		$trying = 1 if /NOTICE:  begin$/;
		$trying = 0 if /NOTICE:  end$/;
		$warnings[ $trying ? -1 : 0 ] .= $1 if /WARNING:  (.*)/;
	}
	return ($out, \@ends, \@warnings);
}

# A setting that the library defines names no Redis.
my $warning = qr/out of memory(?: while asking the Redis of server "clerk")?/;

sub check_tries
{
	my ($what, $ends, $warnings, $least) = @_;

	check_ends($what, $ends, scalar(grep { $_ } @$warnings), $least);
	is(join("\n", grep { !/^($warning)?$/ } @$warnings), '', "$what: at most one WARNING, of Redis and memory");
	is($warnings->[0], '', "$what: and none with enough memory");
	note(sprintf('%s: %d tries, %d with SQLSTATE 53200, %d with a WARNING',
		$what, scalar(@$ends), scalar(grep { /\|53200/ } @$ends), scalar(grep { $_ } @$warnings)));
	return;
}

# Starves a query in a session of its own.
sub starve
{
	my ($what, $before, $query, $hits) = @_;
	my ($out, $ends, $warnings) = run_tries($what,
		map { "SELECT starve_round('$before', '$query', $hits, $_);\nSELECT leftovers();\n" } 1 .. $rounds);

	check_tries($what, $ends, $warnings, 30);
	check_leftovers($what, $out, $rounds);
	return;
}

# ---- Listings and look-ups, cold and warm, with kept connections and new ones

my $someone = $sim->user('index/3')->{id};
my $clear = "SELECT neon_auth.cache_clear(''clerk'')";
my $anew = 'SELECT neon_auth.disconnect_all()';
my $narrow = "SELECT string_agg(id || name, '' '' ORDER BY id) FROM app.users";
my $wide = "SELECT string_agg(id || raw_json, '' '' ORDER BY id) FROM app.users";
my $one = "SELECT raw_json FROM app.users WHERE id = ''$someone''";

starve('a cold listing', $clear, $narrow, 1);
starve('a cold listing, new connections', "$clear, neon_auth.disconnect_all()", $narrow, 1);
starve('a warm listing', 'SELECT 1', $wide, 1);
starve('a warm listing, a new connection', $anew, $wide, 1);
starve('a cold look-up', $clear, $one, 1);
starve('a warm look-up', 'SELECT 1', $one, 1);

# ---- Forgetting

starve('cache_clear', 'SELECT count(id) FROM app.users', 'SELECT cleared()', 0);
starve('a refresh', 'DELETE FROM neon_auth.users_sync', 'SELECT refreshed()', 0);

# ---- The first query of a session

# OpenSSL that had no memory when it was first used is of no use to its process any
# more: then the cache is left alone.
my $rows = $node->safe_psql('postgres', 'SET neon_auth_fdw.cache = off; ' . $wide =~ s/''/'/gr);
my @ends;
my @warnings = ('');
my $lacks = 0;

for (my $n = 1; !@ends || $ends[-1] !~ /all right/; $n += 40 * $stride)
{
	my @tries = map { "SELECT starve('SELECT 1', '$wide', '$rows', 1, " . ($n + $_ * $stride) . ');' } 0 .. 39;
	my (undef, $more, $more_warnings) = run_tries('a first query', map { "\\c\nLOAD 'nauth_probe';\n$_\n" } @tries);

	$warnings[0] .= shift @$more_warnings;
	push @warnings, @$more_warnings;
	$lacks += s/\|right\K, then without the cache for lack of OpenSSL$// for @$more;
	push @ends, @$more;
	last if @$more < @tries;
}
check_tries('a first query', \@ends, \@warnings, 30);
cmp_ok($lacks, '<', @ends / 10, 'a first query: few leave an OpenSSL of no use behind');

unlike(slurp_file($node->logfile), qr/PANIC|FATAL|terminated by signal/, 'no process of the server has ended badly');

$sweeper->kill_kill;
$node->stop;
done_testing();
