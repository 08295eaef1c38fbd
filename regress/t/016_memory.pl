
# Memory that runs out (F49), once, at each allocation that a scan or a refresh makes:
# it ends with SQLSTATE 53200 or with the right result, and the next one in the
# same session is as if nothing had been.  The nth allocation is made to fail for
# n = 1, 2, 3 ... until there is no nth.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Shim;
use NeonAuth::Starve;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Twelve users, on two pages of 11 and 1: a request that has lost its query on the
# way would get the simulator's page of 10, which looks like the end of the listing.
my $shim = new_shim();
my $sim = start_sim(provider => 'clerk', users => 12);
my $named_url = 'http://clerk.test:' . $sim->port;
my $node = $shim->new_node(
	'memory',
	urls => [ $sim->url, $named_url ],
	conf => "log_statement = none\nlog_min_messages = log\njit = off\n");

add_server($node, $sim, name => 'address', schema => 'address', options => ", page_size '11'");
add_server($node, $sim, name => 'named', schema => 'named', options => ", page_size '11'");
prepare_starving($node, 'address');
$node->safe_psql('postgres', <<"SQL");
ALTER SERVER named OPTIONS (SET url '$named_url');

-- Runs the query until nothing is left that could fail, each time after another
-- one, and says how it ended; then again with enough memory.
CREATE FUNCTION starve(before text, query text, step int) RETURNS SETOF text LANGUAGE plpgsql AS \$\$
DECLARE
	stdin text := standard_input();
	expected text;
	got text;
	result text;
BEGIN
	EXECUTE query INTO STRICT expected;
	FOR n IN 1 .. 10000 BY step LOOP
		EXECUTE before;
		result := starved(query, expected, n);
		EXECUTE before;
		EXECUTE query INTO got;
		RETURN NEXT concat_ws('|', 'ended', n, result)
			|| CASE WHEN got IS DISTINCT FROM expected THEN ', then wrong' ELSE '' END
			|| CASE WHEN standard_input() IS DISTINCT FROM stdin THEN ', then without standard input' ELSE '' END;
		EXIT WHEN result = 'all right';
	END LOOP;
END \$\$;
SQL

# Starves a query in a session of its own, four times, at each allocation or at
# every so many.
sub starve
{
	my ($what, $before, $query, $step) = @_;
	my $run = "SELECT starve('$before', '$query', " . ($step // 1) . ");\nSELECT leftovers();\n";
	my ($status, $out, $err) =
	  $node->psql('postgres', $run x 4, timeout => $PostgreSQL::Test::Utils::timeout_default);
	my @ends = $out =~ /^ended\|(.*)$/mg;

	is($status, 0, "$what: the session lives to its end") or diag($err);
	check_ends($what, \@ends, 0, 4 * 50);
	check_leftovers($what, $out, 4);
	note("$what: " . @ends / 4 . ' allocations');
	return;
}

# ---- Scans, with the connection that the session keeps, and connecting anew

my $someone = $sim->user('index/3')->{id};
my %before = ('the kept connection' => 'SELECT 1', 'a new connection' => 'SELECT neon_auth.disconnect_all()');

for my $server (qw(address named))
{
	for my $kind (sort keys %before)
	{
		starve("$server, $kind, one user", $before{$kind}, "SELECT name FROM $server.users WHERE id = ''$someone''");
		starve("$server, $kind, two pages", $before{$kind}, "SELECT string_agg(id || name, '' '' ORDER BY id) FROM $server.users");
	}
}

# ---- A refresh of a target that has lost its rows

starve('a refresh', 'DELETE FROM neon_auth.users_sync', 'SELECT refreshed()');

# ---- An incremental one, whose users have all changed

starve('an incremental refresh', 'UPDATE neon_auth.users_sync SET updated_at = NULL', q(SELECT refreshed(''incremental'')), 5);

unlike(
	slurp_file($node->logfile),
	qr/PANIC|FATAL|terminated by signal/,
	'no process of the server has ended badly');

done_testing();
