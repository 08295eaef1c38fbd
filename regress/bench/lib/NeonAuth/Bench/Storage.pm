
# How users_sync could be stored: compressed in this way or that or not at all, and with
# raw_json in the row or out of line.  What it costs to write, and what a join costs that
# wants no more than name and address, for which raw_json only lies in the way.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench::Storage;

use strict;
use warnings FATAL => 'all';

use NeonAuth::Bench;
use NeonAuth::Bench::Refresh;
use NeonAuth::Bench::Setup;

# Of each way: compression, storage, how large a row may be before parts go out of line,
# and the storage of the other columns: where raw_json alone is to go out of line, or is to
# stay, these must not go in its place, which makes a join slower than anything else.
my @ways = (
	[ 'as it is', 'pglz', 'EXTENDED', 2032, 'EXTENDED' ],
	[ 'as it is', 'lz4', 'EXTENDED', 2032, 'EXTENDED' ],
	[ 'out of line', 'pglz', 'EXTENDED', 128, 'MAIN' ],
	[ 'out of line', 'lz4', 'EXTENDED', 128, 'MAIN' ],
	[ 'out of line, other columns, too', 'lz4', 'EXTENDED', 128, 'EXTENDED' ],
	[ 'in line while it fits', 'pglz', 'MAIN', 2032, 'MAIN' ],
	[ 'in line while it fits', 'lz4', 'MAIN', 2032, 'MAIN' ],
	[ 'not compressed', 'pglz', 'EXTERNAL', 2032, 'EXTENDED' ]);

my @names = qw(raw_json compression storage toast_tuple_target write_s join_s lookups_s read_raw_json_s heap_mb toast_mb);

sub make_table
{
	my ($compression, $storage, $target, $others) = @_;

	sql("DROP TABLE IF EXISTS bench.way; CREATE TABLE bench.way (LIKE clerk.users_sync INCLUDING ALL) WITH (toast_tuple_target = $target);
		ALTER TABLE bench.way ALTER raw_json SET STORAGE $storage, ALTER raw_json SET COMPRESSION $compression,
		ALTER id SET STORAGE $others, ALTER name SET STORAGE $others, ALTER email SET STORAGE $others");
	return;
}

sub write_rows
{
	sql('TRUNCATE bench.way; CHECKPOINT');
	return sql_seconds('INSERT INTO bench.way SELECT * FROM bench.parsed');
}

# Name and address of the author of each post, by a scan of all users.
sub join_all { return sql_seconds('SELECT count(u.name), count(u.email) FROM bench.posts p JOIN bench.way u ON u.id = p.author_id'); }

# The same of some posts, by the index.
sub join_some
{
	return sql_seconds('SET enable_hashjoin = off; SET enable_mergejoin = off;
		SELECT count(u.name), count(u.email) FROM (SELECT * FROM bench.posts LIMIT 10000) p JOIN bench.way u ON u.id = p.author_id;
		RESET enable_hashjoin; RESET enable_mergejoin');
}

sub read_raw_json { return sql_seconds(q(SELECT count(raw_json ->> 'last_sign_in_at') FROM bench.way)); }

sub measure_way
{
	my ($where, @how) = @_;
	my %is = (raw_json => $where, compression => $how[1] eq 'EXTERNAL' ? 'none' : $how[0], storage => $how[1], toast_tuple_target => $how[2]);

	make_table(@how);
	($is{write_s}) = medians($few_rounds, \&write_rows);
	sql('VACUUM ANALYZE bench.way');
	@is{qw(join_s lookups_s read_raw_json_s)} = medians($rounds, \&join_all, \&join_some, \&read_raw_json);
	@is{qw(heap_mb toast_mb)} = map { $_ / 1e6 } split /\|/,
	  sql(q(SELECT pg_relation_size('bench.way'), pg_total_relation_size(reltoastrelid) FROM pg_class WHERE oid = 'bench.way'::regclass));
	$is{$_} = rounded($is{$_}) for grep { /_(s|mb)$/ } keys %is;
	return figures(%is);
}

sub run
{
	set_up();
	first_refresh();
	load_parsed('clerk.users_sync');
	sql('CREATE TABLE bench.posts AS SELECT id AS author_id FROM clerk.users_sync ORDER BY hashtext(id); VACUUM ANALYZE bench.posts');
	report('storage', \@names, map { measure_way(@$_) } @ways);
	tear_down();
	return;
}

1;
