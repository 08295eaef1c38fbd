# The table neon_auth.users_sync on other servers, by logical replication, with the
# statements of docs/architecture.md ("When one is too small"), word for word: only
# the publisher knows the provider, and only what changed goes over the line.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";

use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $narrow = 'id, name, email, created_at, updated_at, deleted_at';
my $sim = start_sim(users => 20);
my $publisher = new_node('publisher', urls => [ $sim->url ], allows_streaming => 'logical');
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
my $connection = $publisher->connstr . ' dbname=app';

# ---- Helpers

# The statements that the section shows for a kind of block.
sub documented
{
	my ($info) = @_;
	my ($section) = slurp_file(tree() . '/docs/architecture.md') =~ /^### When one is too small\n(.*?)^##+ /ms
	  or die 'the section has gone';
	my @blocks = $section =~ /^```\Q$info\E\n(.*?)^```$/msg;

	die "the section has not one block \"$info\"" unless @blocks == 1;
	return $blocks[0];
}

sub on_publisher { my ($sql) = @_; return $publisher->safe_psql('app', $sql); }
sub on_subscriber { my ($sql, $database) = @_; return $subscriber->safe_psql($database // 'postgres', $sql); }
sub refresh { return on_publisher(q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full'))) =~ s/^(ok(\|\d+){4}).*/$1/r; }

# Every row of the table with these columns.
sub rows_of
{
	my ($columns) = @_;

	return "SELECT ROW($columns) FROM neon_auth.users_sync ORDER BY id COLLATE \"C\"";
}

# Where each row stands, and by which transaction: no two versions are alike.
sub versions
{
	my ($database) = @_;

	my $rows = on_subscriber("SELECT id || '=' || ctid || xmin FROM neon_auth.users_sync", $database);

	return { map { split /=/ } split /\n/, $rows };
}

# The ids whose rows were written since then.
sub written
{
	my ($before, $now) = @_;

	return join(' ', sort grep { ($before->{$_} // '') ne $now->{$_} } keys %$now);
}

# What the publication has sent since the last time, a letter a message: B and C
# around a transaction, R for the shape of the table, I, U and D for rows.
sub sent
{
	return on_publisher(<<'SQL');
SELECT coalesce(string_agg(chr(get_byte(data, 0)), ''), '')
FROM pg_logical_slot_get_binary_changes('witness', NULL, NULL, 'proto_version', '1', 'publication_names', 'users')
SQL
}

# Database of the subscriber, subscription, columns that it takes.
my @copies = ([ 'postgres', 'users', "$narrow, raw_json" ]);

# Waits until all copies have all, which are then equal.
sub all_equal
{
	my ($when) = @_;

	for my $copy (@copies)
	{
		my ($database, $subscription, $columns) = @$copy;

		$publisher->wait_for_catchup($subscription);
		is(on_subscriber(rows_of($columns), $database), on_publisher(rows_of($columns)),
			"$when: all of it is in $database");
	}
	return;
}

# ---- The documented statements

$publisher->safe_psql('postgres', 'CREATE DATABASE app');
on_publisher(documented('sql'));
add_server($publisher, $sim, database => 'app');
like(refresh(), qr/^ok\|20\|0\|0\|0$/, 'the publisher refreshes');

$subscriber->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
$subscriber->append_conf('postgresql.conf', 'wal_retrieve_retry_interval = 100ms');
$subscriber->start;
like(documented('text'), qr/'host=\.\.\. dbname=\.\.\.'/, 'the document leaves one thing to the reader');
on_subscriber(documented('text') =~ s/'host=\.\.\. dbname=\.\.\.'/'$connection'/r);
my $shape = q(SELECT attname, atttypid::regtype, attnotnull FROM pg_attribute
	WHERE attrelid = 'neon_auth.users_sync'::regclass AND attnum > 0 ORDER BY attname);
is(on_subscriber($shape), on_publisher($shape), 'the documented table is like the one that is published');
$subscriber->wait_for_subscription_sync($publisher, 'users');
is(on_subscriber('SELECT count(*), count(raw_json), count(deleted_at) FROM neon_auth.users_sync'), '20|20|0',
	'the copy begins with the users that are there');
all_equal('at first');
is(on_subscriber('SELECT extname FROM pg_extension'), 'plpgsql', 'the other server has no extension');

# ---- Without raw_json: no such column, or one with a default

my %tables = (
	lean => '',
	defaulted => q(raw_json jsonb NOT NULL DEFAULT '{}',));

on_publisher("CREATE PUBLICATION narrow FOR TABLE neon_auth.users_sync ($narrow)");
for my $database (sort keys %tables)
{
	$subscriber->safe_psql('postgres', "CREATE DATABASE $database");
	on_subscriber(<<"SQL", $database);
CREATE SCHEMA neon_auth;
CREATE TABLE neon_auth.users_sync ($tables{$database} id text PRIMARY KEY, name text, email text,
  created_at timestamptz, updated_at timestamptz, deleted_at timestamptz);
CREATE SUBSCRIPTION narrow_$database CONNECTION '$connection' PUBLICATION narrow;
SQL
	$subscriber->wait_for_subscription_sync($publisher, "narrow_$database", $database);
	push @copies, [ $database, "narrow_$database", $narrow ];
}
all_equal('a column list');

# ---- Changes

# One new, one changed, one deleted user, by number; returns their ids.
sub change
{
	my ($number) = @_;
	my ($changed, $gone) = map { $sim->user("index/$_")->{id} } $number, $number + 1;
	my $new = "user_new$number";

	$sim->create({ id => $new, first_name => "New$number" });
	$sim->update($changed, { first_name => "Changed$number", last_name => 'Once' });
	$sim->remove($gone);
	return ($new, $changed, $gone);
}

# These changes have come, and no other row was written.
sub arrived
{
	my ($when, $before, $number, @ids) = @_;
	my ($new, $changed, $gone) = map { "'$_'" } @ids;

	for my $copy (@copies)
	{
		my ($database) = @$copy;

		is(on_subscriber("SELECT name, deleted_at IS NULL FROM neon_auth.users_sync WHERE id = $new", $database),
			"New$number|t", "$when: $database has the new user");
		is(on_subscriber("SELECT name, deleted_at IS NULL FROM neon_auth.users_sync WHERE id = $changed", $database),
			"Changed$number Once|t", "$when: $database has the change");
		is(on_subscriber("SELECT deleted_at IS NOT NULL FROM neon_auth.users_sync WHERE id = $gone", $database),
			't', "$when: $database has the deletion, as deleted_at");
		is(written($before->{$database}, versions($database)), join(' ', sort @ids),
			"$when: $database wrote these rows alone");
	}
	return;
}

sub all_versions { return { map { $_->[0] => versions($_->[0]) } @copies }; }

on_publisher(q(SELECT pg_create_logical_replication_slot('witness', 'pgoutput')));
my $before = all_versions();
my @ids = change(3);
is(refresh(), 'ok|1|1|18|1', 'a refresh that finds changes');
like(sent(), qr/^(B(R?[IU])+C)+$/, 'sends rows');
all_equal('changes');
arrived('changes', $before, 3, @ids);

# ---- No changes

$before = all_versions();
is(refresh(), 'ok|0|0|20|0', 'a refresh that finds nothing new');
is(sent(), '', 'sends nothing');
all_equal('no changes');
is_deeply(all_versions(), $before, 'and no row is written anywhere');

my $changed = $sim->user('index/9')->{id};
$sim->update($changed, { first_name => 'Alone' });
is(refresh(), 'ok|0|1|19|0', 'a refresh that finds one change');
like(sent(), qr/^BR?UC$/, 'sends one row');
all_equal('one change');
is(written($before->{postgres}, versions('postgres')), $changed, 'and that one is written');

# ---- A subscriber that was away

$before = all_versions();
$subscriber->stop('immediate');
@ids = change(12);
is(refresh(), 'ok|1|1|18|1', 'a refresh while the subscriber is down');
$subscriber->start;
all_equal('after a crash');
arrived('after a crash', $before, 12, @ids);
is(on_subscriber('SELECT count(*), count(deleted_at) FROM neon_auth.users_sync'), '22|2', 'nothing is there twice');

$before = all_versions();
$publisher->restart;
$subscriber->restart;
is(refresh(), 'ok|0|0|20|0', 'a refresh after both were started again');
all_equal('after a restart');
is_deeply(all_versions(), $before, 'leaves all rows where they are');

on_publisher(q(SELECT pg_drop_replication_slot('witness')));
$subscriber->stop;
$publisher->stop;
done_testing();
