# Whose users a target holds, and as of when: it takes one server only, rows that
# somebody adds or deletes by hand do no harm, and a database that is restored,
# copied, promoted or put back goes on rightly from what it has, whatever happened
# at the provider since.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $hour = 60 * 60 * 1000;
my $sim = start_sim(users => 400, clock => time() * 1000 - 30 * 24 * $hour);
my $stranger = start_sim(users => 5, seed => 2);
my $node = new_node('main', urls => [ $sim->url, $stranger->url ], allows_streaming => 1);
my $copied = 'full|the database was promoted, restored or copied since the last refresh';
my $target = 'neon_auth.users_sync';
my $stderr;

# ---- Helpers: a place is a database of a node

sub place
{
	my ($where, $database) = @_;

	return { node => $where, database => $database };
}

my $main = place($node, 'postgres');

sub sql
{
	my ($place, $statements) = @_;

	return $place->{node}->safe_psql($place->{database}, $statements);
}

# "status inserted/updated/unchanged/tombstoned/held/quarantined", or the SQLSTATE
sub refresh
{
	my ($place, $mode, $more) = @_;

	$place->{node}->psql($place->{database}, "\\set VERBOSITY verbose\nCALL neon_auth.refresh_users_sync(" . ($more // "'clerk'") . ", mode => '$mode')",
		stdout => \my $out, stderr => \$stderr);
	return $1 if $stderr =~ /ERROR:  (\w{5}):/;
	my ($status, @counts) = split /\|/, $out;
	return "$status " . join('/', @counts[ 0 .. 5 ]);
}

# The way that the last run took, and why.
sub way
{
	return sql($_[0], "SELECT mode, reason FROM neon_auth.sync_run WHERE target = '$target'::regclass ORDER BY run_id DESC LIMIT 1");
}

sub heap
{
	return sql($main, "SELECT md5(string_agg(concat(ctid, xmin, xmax), ' ' ORDER BY ctid)) FROM $target");
}

# Who was marked or has to be, of all targets: they all had everybody from the start.
my @gone;

# Whether a target has come right: equal to the directory, and of all rows only those
# marked who are gone; and its state has the right numbers.
sub is_right
{
	my ($place, $name) = @_;
	my $columns = 'id, name, email, raw_json, created_at, updated_at';
	my ($here, $there) = ("SELECT $columns FROM $target WHERE deleted_at IS NULL", 'SELECT * FROM there');

	is( sql($place, "SELECT count(*) FROM (WITH there AS MATERIALIZED (SELECT $columns FROM app.users)
			($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d"), 0, "$name: the target equals the directory");
	is(sql($place, "SELECT coalesce(string_agg(id, ' ' ORDER BY id COLLATE \"C\"), '') FROM $target WHERE deleted_at IS NOT NULL"),
		join(' ', sort @gone), "$name: only who is gone is marked");
	is(sql($place, "SELECT live_users - count(*), listed_users - count(*) FROM neon_auth.sync_state s, $target u
			WHERE s.target = '$target'::regclass AND deleted_at IS NULL GROUP BY live_users, listed_users"), '0|0', "$name: the state has their number");
	return;
}

my $changes = 0;

# An hour later some users have changed, one is new, and one is gone.
sub change_directory
{
	my $later = $sim->user('index/0')->{updated_at} + $hour;

	$changes++;
	$sim->update('index/0', { name => "Hour $changes", updated_at => $later });
	$sim->update("index/$_", { name => "Change $changes" }) for 5, 10 + $changes, 200 + $changes;
	$sim->create({ name => "New $changes" });
	push @gone, $sim->user('index/' . (50 + 3 * $changes))->{id};
	$sim->remove($gone[-1]);
	return;
}

sub id_of
{
	return $sim->user("index/$_[0]")->{id};
}

# ---- One target, one server

add_server($node, $sim, options => ", page_size '10'");
add_server($node, $stranger, name => 'stranger', schema => 'stranger');
add_server($node, $sim, name => 'namesake', schema => 'namesake');
$sim->update('index/0', { name => 'Now' });    # after all that was generated
is(refresh($main, 'auto'), 'ok 400/0/0/0/0/0', 'a target is filled');
change_directory();
is(refresh($main, 'auto'), 'ok 1/4/0/1/0/0', 'a target is refreshed');
is(way($main), 'incremental|', 'incrementally');
is_right($main, 'a target');

my $heap = heap();
my $runs = sql($main, 'SELECT count(*) FROM neon_auth.sync_run');
$_->reset_stats for $sim, $stranger;
for my $server ('stranger', 'namesake')
{
	for my $mode ('auto', 'incremental', 'full')
	{
		is(refresh($main, $mode, "'$server'"), '55000', "server $server, mode $mode: is refused");
		like($stderr, qr/holds the users of server "clerk", not of "$server"/, "server $server, mode $mode: with the reason");
	}
	is(refresh($main, 'auto', "'$server', dry_run => true"), '55000', "server $server: even a dry run");
}
is($sim->requests + $stranger->requests, 0, 'no provider is asked for that');
is(heap(), $heap, 'no row is touched');
is(sql($main, 'SELECT count(*) FROM neon_auth.sync_run'), $runs, 'and no run is logged');

# ---- Rows from other hands

my $by_hand = "INSERT INTO $target (id, raw_json, created_at) VALUES ('user_byhand%d', '{}', '2025-01-01 00:30:00+00')";

sql($main, sprintf($by_hand, 1));
$sim->update('index/0', { name => 'Beside a row by hand' });
is(refresh($main, 'auto'), 'ok 0/1/4/0/0/0', 'a row by hand: a run');
is(way($main), 'incremental|', 'a row by hand: is incremental as ever');
is(sql($main, "SELECT count(*) FROM $target WHERE id = 'user_byhand1' AND deleted_at IS NULL"), 1, 'a row by hand: is left alone');
is(refresh($main, 'full'), 'ok 0/0/400/1/0/0', 'a row by hand: a full run marks it');
push @gone, 'user_byhand1';
is_right($main, 'a row by hand');

# a search for somebody else comes by
sql($main, sprintf($by_hand, 2));
$sim->remove($_), push @gone, $_ for id_of(100);
like(refresh($main, 'auto'), qr{^ok 0/0/\d+/[12]/0/0$}, 'a row by hand while somebody is searched for: a run succeeds');
refresh($main, 'auto');
refresh($main, 'full');
push @gone, 'user_byhand2';
is_right($main, 'a row by hand while somebody is searched for');

# whoever signs up is inserted at once by somebody else
my $signed_up = $sim->create({ name => 'Signed Up' })->{id};
sql($main, "INSERT INTO $target (id, raw_json) VALUES ('$signed_up', '{}')");
is((split / /, refresh($main, 'auto'))[0], 'ok', 'a row by hand of a user who exists: a run succeeds');
is_right($main, 'a row by hand of a user who exists');

sql($main, "CREATE TABLE app.old (LIKE $target INCLUDING ALL)");
sql($main, sprintf($by_hand =~ s/\Q$target/app.old/r, 3));
is(refresh($main, 'auto', "'clerk', target => 'app.old'"), 'held 400/0/0/0/1/0', 'a row from before the first refresh is held');

# ---- Rows that are deleted by hand

sub lose
{
	return sql($main, "DELETE FROM $target WHERE id = '$_[0]' RETURNING 'lost'");
}

is(lose(id_of(150)), 'lost', 'a row deleted by hand, a change of the user: is gone');
$sim->update('index/150', { name => 'Here Again' });
is((split / /, refresh($main, 'auto'))[0], 'ok', 'a row deleted by hand, a change of the user: a run succeeds');
is_right($main, 'a row deleted by hand, a change of the user');
is(lose(id_of(160)), 'lost', 'a row deleted by hand: is gone');
$sim->update('index/0', { name => 'Beside a lost row' });
is((split / /, refresh($main, 'auto'))[0], 'ok', 'a row deleted by hand: a run succeeds');
is(way($main), 'incremental|', 'a row deleted by hand: incrementally');
is(refresh($main, 'full'), 'ok 1/0/399/0/0/0', 'a row deleted by hand: the next full run brings it back');
is_right($main, 'a row deleted by hand');

# ---- A dump, restored elsewhere

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
my $elsewhere = place(new_node('elsewhere', urls => [ $sim->url ]), 'restored');
my $beside = place($node, 'restored');

change_directory();
refresh($main, 'auto');
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
change_directory();
refresh($main, 'auto');
change_directory();
for my $place ($elsewhere, $beside)
{
	sql(place($place->{node}, 'postgres'), 'CREATE DATABASE restored TEMPLATE template0');
	$place->{node}->command_ok([ 'psql', '-Xqo', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-d', $place->{node}->connstr('restored'), '-f', $dump ], 'psql restores it');
}
is(refresh($elsewhere, 'incremental'), '55000', 'restored in another cluster: an incremental run is refused');
like($stderr, qr/Reason: the database was promoted, restored or copied since the last refresh/, 'restored in another cluster: with the reason');
is(refresh($elsewhere, 'auto'), 'ok 2/6/392/2/0/0', 'restored in another cluster: mode auto refreshes');
is(way($elsewhere), $copied, 'restored in another cluster: by a full listing');
is_right($elsewhere, 'restored in another cluster');
change_directory();
is((split / /, refresh($elsewhere, 'auto'))[0], 'ok', 'restored in another cluster: the next run');
is(way($elsewhere), 'incremental|', 'restored in another cluster: is incremental');
is_right($elsewhere, 'restored in another cluster, then refreshed');

is((split / /, refresh($beside, 'auto'))[0], 'ok', 'restored in another database of the cluster: mode auto refreshes');
note(way($beside));
is_right($beside, 'restored in another database of the cluster');
refresh($main, 'auto');
is_right($main, 'the database that was dumped');

# ---- A copy by CREATE DATABASE

my $branch = place($node, 'branch');

sql($beside, 'CREATE DATABASE branch TEMPLATE postgres');
for my $round ([ $main, $branch ], [ $branch, $main ], [ $branch ], [$main])
{
	change_directory();
	for my $place (@$round)
	{
		is((split / /, refresh($place, 'auto'))[0], 'ok', "copied by CREATE DATABASE: $place->{database}: a run succeeds");
		is(way($place), 'incremental|', "copied by CREATE DATABASE: $place->{database}: incrementally");
		is_right($place, "copied by CREATE DATABASE: $place->{database}");
	}
}

# ---- Rows and state of an earlier time

my @tables = ('users_sync', 'sync_state', 'sync_run', 'sync_digest', 'held_deletion', 'quarantined_user');

sql($main, 'CREATE SCHEMA backup;' . join(';', map { "CREATE TABLE backup.$_ AS TABLE neon_auth.$_" } @tables));
change_directory();
refresh($main, 'auto');
change_directory();
refresh($main, 'full');
change_directory();
sql($main, 'BEGIN;' . join(';', map { ("DELETE FROM neon_auth.$_", "INSERT INTO neon_auth.$_ OVERRIDING SYSTEM VALUE SELECT * FROM backup.$_") } @tables) . '; COMMIT');
is(refresh($main, 'incremental'), 'ok 3/8/5/3/0/0', 'put back as of an earlier time: an incremental run brings everything since');
is_right($main, 'put back as of an earlier time');

# ---- A crash, and a standby that is promoted after it has lost runs

$node->stop('immediate');
$node->start;
change_directory();
is((split / /, refresh($main, 'auto'))[0], 'ok', 'after a crash: a run succeeds');
is(way($main), 'incremental|', 'after a crash: incrementally');
is_right($main, 'after a crash');

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
$standby->stop;
change_directory();
refresh($main, 'auto');
$node->stop;
change_directory();
$standby->start;
is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', 'a standby has lost a run of its primary');
$standby->promote;
my $promoted = place($standby, 'postgres');
is(refresh($promoted, 'incremental'), '55000', 'promoted: an incremental run is refused');
is((split / /, refresh($promoted, 'auto'))[0], 'ok', 'promoted: mode auto refreshes');
is(way($promoted), $copied, 'promoted: by a full listing');
is_right($promoted, 'promoted');
change_directory();
is((split / /, refresh($promoted, 'auto'))[0], 'ok', 'promoted: the next run');
is(way($promoted), 'incremental|', 'promoted: is incremental');
is_right($promoted, 'promoted, then refreshed');

done_testing();
