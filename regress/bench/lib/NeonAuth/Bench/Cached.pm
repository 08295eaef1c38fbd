
# Queries that the cache answers, beside postgres_fdw with the same rows, and beside a
# Redis that only hands out bytes.  All of it is in memory: of the Redis, and of the
# server that postgres_fdw asks.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench::Cached;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IO::Socket::UNIX;
use NeonAuth::Bench;
use NeonAuth::Bench::Setup;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(fill_cache scan_all scan_narrow prepare_cached scan_sql lookup_script pgbench measure_cached);

my $lookups = 1000;
my $transactions = 2000;

my %columns = (
	all => [qw(raw_json id name email created_at updated_at deleted_at)],
	narrow => [qw(id name email created_at updated_at deleted_at)]);

# Reads these columns of all users into the server, which counts them one by one: no
# client is measured.  OFFSET keeps postgres_fdw from having the other side count.
sub scan_sql
{
	my ($schema, $which) = @_;
	my $names = join(', ', @{ $columns{$which} });

	return 'SELECT ' . join(', ', map { "count($_)" } @{ $columns{$which} }) . " FROM (SELECT $names FROM $schema.users OFFSET 0) u";
}

sub scan_all { return sql_seconds(scan_sql($_[0], 'all')); }
sub scan_narrow { return sql_seconds(scan_sql($_[0], 'narrow')); }

# It must be the cache that answers.
sub must_hit
{
	my ($sql) = @_;
	my $said = sql("EXPLAIN (ANALYZE, COSTS off, TIMING off) $sql");

	die "not from the cache: $said" if $said !~ /Cache: hits=[1-9]\d* stale=0 misses=0/ || $said !~ /Requests: 0/;
	return;
}

# Fills the cache with the listing.
sub fill_cache
{
	my $sql = scan_sql('cached', 'all');

	sql($sql);
	must_hit($sql);
	return;
}

# The cache with the listing, and with the lookup of some users one by one.
sub prepare_cached
{
	rival_table('users', 'clerk.users_sync');
	sql('VACUUM ANALYZE clerk.users_sync');
	fill_cache();
	sql("CREATE TABLE bench.ids AS SELECT (row_number() OVER ())::int AS n, id FROM
		(SELECT id FROM clerk.users_sync ORDER BY hashtext(id) LIMIT $lookups) i; ALTER TABLE bench.ids ADD PRIMARY KEY (n); VACUUM ANALYZE bench.ids");
	sql(q(DO $$ DECLARE user_id text; BEGIN FOR user_id IN SELECT id FROM bench.ids LOOP
		EXECUTE format('SELECT FROM cached.users WHERE id = %L', user_id); END LOOP; END $$));
	must_hit("SELECT * FROM cached.users WHERE id = '" . sql('SELECT id FROM bench.ids WHERE n = 7') . q('));
	return;
}

# Some fields of a hash, read from a socket and thrown away; returns how many bytes that was.
sub read_fields
{
	my ($link, $key, @fields) = @_;
	my ($chunk, $end, $bytes) = ('', '', 0);

	$link->syswrite('*' . (2 + @fields) . join('', map { "\r\n\$" . length($_) . "\r\n$_" } 'HMGET', $key, @fields) . "\r\nPING\r\n");
	while ($end !~ /\+PONG\r\n\z/)
	{
		my $got = $link->sysread($chunk, 1048576) or die 'Redis has gone';
		$bytes += $got;
		$end = substr($end . ($got > 7 ? substr($chunk, -7) : $chunk), -7);
	}
	return $bytes;
}

# Seconds of all bytes of the listing, over the Redis's socket, eight fields at a time: a
# Redis that hands out all at once takes longer.  Returns their number as well.
sub seconds_of_bytes
{
	my %sizes = map { ($_ => $redis->ask('MEMORY', 'USAGE', $_)) } grep { $redis->ask('TYPE', $_) eq 'hash' } $redis->keys('*:*:*:*');
	my ($key) = sort { $sizes{$b} <=> $sizes{$a} } keys %sizes;
	my @fields = @{ $redis->ask('HKEYS', $key) };
	my $link = IO::Socket::UNIX->new(Peer => $redis->socket) // die $redis->socket . ": $!";
	my $bytes = 0;
	my $seconds = seconds(sub { $bytes += read_fields($link, $key, splice(@fields, 0, 8)) while @fields });

	return ($seconds, $bytes);
}

# Medians of so many rounds: a cached scan of all columns and without raw_json, the same two by
# postgres_fdw, and the bytes alone.
sub cached_scans
{
	my ($times) = @_;

	return medians($times, sub { return scan_all('cached') }, sub { return scan_narrow('cached') },
		sub { return scan_all('rival') }, sub { return scan_narrow('rival') }, sub { return (seconds_of_bytes())[0] });
}

# ---- Lookups

# A script of pgbench: a known user is looked up.
sub lookup_script
{
	my ($schema) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . "/lookup_$schema.sql";

	append_to_file($file, "\\set n random(1, $lookups)\nSELECT id FROM bench.ids WHERE n = :n \\gset\nSELECT * FROM $schema.users WHERE id = ':id';\n");
	return $file;
}

# What pgbench says, at the end of its arguments the database.
sub pgbench
{
	my (@arguments) = @_;
	my ($out, $err) = run_command([ $node->installed_command('pgbench'), '-n', @arguments, $node->connstr('postgres') ]);

	die "pgbench: $out$err" if $out !~ /number of failed transactions: 0 /;
	return $out;
}

# Milliseconds of a lookup, of one session that makes one after the other.
sub lookup
{
	my ($script) = @_;
	my ($milliseconds) = pgbench('-r', '-t', $transactions, '-f', $script) =~ /^\s+([\d.]+)\s+\d+\s+SELECT \* FROM/m;

	return $milliseconds;
}

# Milliseconds that a Redis takes to hand out a value of the size of a user there.
sub round_trip
{
	my ($out) = run_command([ 'redis-benchmark', '-s', $redis->socket, '-c', '1', '-n', '10000', '-d', '700', '-t', 'set,get', '--csv' ]);
	my ($milliseconds) = $out =~ /^"GET","[^"]*","([\d.]+)"/m or die "redis-benchmark: $out";

	return $milliseconds;
}

# ---- The table

sub measure_cached
{
	progress('cached scans');
	prepare_cached();
	my (undef, $bytes) = seconds_of_bytes();
	my ($all, $narrow, $rival_all, $rival_narrow, $floor) = cached_scans($few_rounds);
	my %than_rival = (unit => 's', of => 'postgres_fdw');

	result('cached_scan_all', %than_rival, value => $all, floor => $floor, postgres_fdw => $rival_all, goal => 0.12,
		what => sprintf('all columns, warm, Redis over its socket; the floor is its %.1f MB', $bytes / 1e6));
	result('cached_scan_narrow', %than_rival, value => $narrow, postgres_fdw => $rival_narrow, goal => 1, what => 'all columns but raw_json, warm');

	progress('cached lookups');
	my ($ours, $theirs) = map { lookup_script($_) } 'cached', 'rival';
	my ($lookup, $rival, $trip) = medians($rounds, sub { return lookup($ours) }, sub { return lookup($theirs) }, \&round_trip);
	result('cached_lookup', value => $lookup, unit => 'ms', floor => $trip, postgres_fdw => $rival, goal => 0.3,
		what => "one of $lookups known ids after the other, warm, as a client sees it; the floor is a GET of 700 bytes");
	return;
}

1;
