
# Memory that runs out, once, at each allocation that a scan or a refresh makes:
# it ends with SQLSTATE 53200 or with the right result, and the next one in the
# same session is as if nothing had been.  The nth allocation is made to fail for
# n = 1, 2, 3 ... until there is no nth.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Shim;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Bytes that may stay allocated after some hundred of such ends.
my $bound = 16 * 1024;

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
$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION nauth_probe;
ALTER SERVER named OPTIONS (SET url '$named_url');
CALL neon_auth.refresh_users_sync('address');

CREATE FUNCTION refreshed() RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
	EXECUTE 'CALL neon_auth.refresh_users_sync(''address'')';
	RETURN (SELECT string_agg(id || name, ' ' ORDER BY id) FROM neon_auth.users_sync WHERE deleted_at IS NULL);
END \$\$;

-- The kinds of descriptors that are no files, when no look-up that was given up
-- goes on in a thread.  Not pipes: one of the program's own may still be open.
CREATE TABLE descriptor (line text);
CREATE FUNCTION descriptors() RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
	WHILE (SELECT count(*) FROM pg_ls_dir('/proc/self/task')) > 1 LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
	DELETE FROM descriptor;
	COPY descriptor FROM PROGRAM 'ls -l /proc/\$PPID/fd';
	RETURN (SELECT string_agg(kind, ' ' ORDER BY kind)
		FROM descriptor, substring(line FROM '-> (socket|anon_inode:\\[\\w+\\])') kind);
END \$\$;

-- Runs the query until nothing is left that could fail, each time after another
-- one, and says how it ended; then again with enough memory.  A library that
-- closes what is not its own begins with descriptor 0.
CREATE FUNCTION starve(before text, query text) RETURNS SETOF text LANGUAGE plpgsql AS \$\$
DECLARE
	stdin text := pg_read_file('/proc/self/fdinfo/0');
	expected text;
	got text;
	result text;
	detail text;
	calls int;
BEGIN
	EXECUTE query INTO STRICT expected;
	FOR n IN 1 .. 10000 LOOP
		calls := n;
		EXECUTE before;
		BEGIN
			PERFORM probe_fail_malloc(n);
			EXECUTE query INTO got;
			PERFORM probe_fail_malloc(0);
			calls := probe_malloc_calls();
			result := CASE WHEN got = expected THEN 'right' ELSE 'wrong' END;
		EXCEPTION WHEN OTHERS THEN
			PERFORM probe_fail_malloc(0);
			GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
			result := concat_ws(' ', SQLSTATE, SQLERRM, detail);
		END;
		EXECUTE before;
		EXECUTE query INTO got;
		IF got IS DISTINCT FROM expected THEN
			result := result || ', then wrong';
		END IF;
		IF pg_read_file('/proc/self/fdinfo/0', 0, 1000, true) IS DISTINCT FROM stdin THEN
			result := result || ', then without standard input';
		END IF;
		RETURN NEXT concat_ws('|', 'ended', n, result);
		EXIT WHEN calls < n;
	END LOOP;
END \$\$;
SQL

# Starves a query in a session of its own, three times; what the last two leave
# behind is compared.  The server's SHA-256, which a refresh uses, does not say
# that it had no memory.
my $no_memory = qr/53200 |XX000 could not \w+ SHA256 context/;

sub starve
{
	my ($what, $before, $query) = @_;
	my $run = "SELECT starve('$before', '$query');\nSELECT 'left', descriptors(), probe_malloc_bytes();\n";
	my ($status, $out, $err) =
	  $node->psql('postgres', $run x 3, timeout => $PostgreSQL::Test::Utils::timeout_default);
	my @ends = $out =~ /^ended\|(.*)$/mg;
	my @odd = grep { !/^\d+\|($no_memory|right)/ || /, then/ } @ends;
	my @left = map { [ split /\|/ ] } $out =~ /^left\|(.*)$/mg;

	is($status, 0, "$what: the session lives to its end") or diag($err);
	is(join("\n", @odd), '', "$what: out of memory or right, and right again");
	cmp_ok(scalar(grep { /\|53200/ } @ends), '>', 3 * 50, "$what: many allocations failed");
	like($ends[-1] // '', qr/\|right$/, "$what: right when none is left to fail");
	cmp_ok($left[2][1] - $left[1][1], '<', $bound, "$what: all memory was given back") if @left == 3;
	is($left[-1][0], $left[0][0], "$what: and all descriptors") if @left;
	note("$what: " . @ends / 3 . ' allocations');
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

unlike(
	slurp_file($node->logfile),
	qr/PANIC|FATAL|terminated by signal/,
	'no process of the server has ended badly');

done_testing();
