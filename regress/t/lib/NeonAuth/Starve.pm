
# Memory that runs out, once, at the nth allocation that a query makes, for n = 1, 2,
# 3 ... until there is no nth: the SQL that makes it so, and what is checked of each
# end and of what all of them leave behind.
#
#	prepare_starving($node, 'clerk');
#	... SELECT starved(query, expected, n) for each n, SELECT leftovers() after each round ...
#	check_ends($what, \@ends, 0, 50);
#	check_leftovers($what, $out, 3);      # $out is what psql printed
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Starve;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use List::Util qw(min);
use Test::More;

our @EXPORT = qw(prepare_starving check_ends check_leftovers);

# Bytes that may stay allocated after some hundred of such ends, round by round.
my $bound = 16 * 1024;

# Creates the SQL functions, of which refreshed() is about this server.
sub prepare_starving
{
	my ($node, $server) = @_;

	$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION nauth_probe;
CALL neon_auth.refresh_users_sync('$server');

CREATE FUNCTION refreshed(mode text DEFAULT 'full') RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
	EXECUTE format('CALL neon_auth.refresh_users_sync(''$server'', mode => %L)', mode);
	RETURN (SELECT string_agg(id || name, ' ' ORDER BY id) FROM neon_auth.users_sync WHERE deleted_at IS NULL);
END \$\$;

-- The kinds of descriptors that are no files, when no look-up that was given up
-- goes on in a thread, and the bytes that are allocated.  Not pipes: one of the
-- program's own may still be open.
CREATE TABLE descriptor (line text);
CREATE FUNCTION leftovers() RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
	WHILE (SELECT count(*) FROM pg_ls_dir('/proc/self/task')) > 1 LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
	DELETE FROM descriptor;
	COPY descriptor FROM PROGRAM 'ls -l /proc/\$PPID/fd; true';
	RETURN concat_ws('|', 'left', probe_malloc_bytes(), (
		SELECT string_agg(kind, ' ' ORDER BY kind)
		FROM descriptor, substring(line FROM '-> (socket|anon_inode:\\[\\w+\\])') kind));
END \$\$;

-- How the query ends when its nth allocation fails; "all right" if there is no nth.
CREATE FUNCTION starved(query text, expected text, n int) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
	got text;
	detail text;
BEGIN
	PERFORM probe_fail_malloc(n);
	EXECUTE query INTO got;
	PERFORM probe_fail_malloc(0);
	RETURN CASE WHEN got IS DISTINCT FROM expected THEN 'wrong'
		WHEN probe_malloc_calls() < n THEN 'all right' ELSE 'right' END;
EXCEPTION WHEN OTHERS THEN
	PERFORM probe_fail_malloc(0);
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' ', SQLSTATE, SQLERRM, detail);
END \$\$;

-- A library that closes what is not its own begins with descriptor 0.
CREATE FUNCTION standard_input() RETURNS text LANGUAGE sql AS \$\$
	SELECT pg_read_file('/proc/self/fdinfo/0', 0, 1000, true)
\$\$;
SQL
	return;
}

# The server's SHA-256, which a refresh uses, does not say that it had no memory.
my $no_memory = qr/53200 |XX000 could not \w+ SHA256 context/;

# The ends, as "n|how", are out of memory or right, and right again; that many of them,
# beside those that were counted otherwise, failed; and the last one is all right.
sub check_ends
{
	my ($what, $ends, $counted, $least) = @_;
	my @odd = grep { !/^\d+\|($no_memory|right|all right)/ || /, then/ } @$ends;

	is(join("\n", @odd), '', "$what: out of memory or right, and right again");
	cmp_ok(scalar(grep { /\|53200/ } @$ends) + $counted, '>', $least, "$what: many allocations failed");
	like($ends->[-1] // '', qr/\|all right$/, "$what: right when none is left to fail");
	return;
}

# What is left behind after each of so many rounds: a leak makes it grow in every one of
# them, while a block of memory that the server keeps for later comes and goes.
sub check_leftovers
{
	my ($what, $out, $rounds) = @_;
	my @left = map { [ split /\|/ ] } $out =~ /^left\|(.*)$/mg;

	is(scalar(@left), $rounds, "$what: all rounds") or return;
	cmp_ok(min(map { $left[ $_ + 1 ][0] - $left[$_][0] } 0 .. $rounds - 2), '<', $bound, "$what: all memory was given back")
	  or diag(join(', ', map { $_->[0] } @left));
	is($left[-1][1], $left[0][1], "$what: and all descriptors");
	return;
}

1;
