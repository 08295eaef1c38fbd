
# Full refreshes: the first one, and those that find nothing changed; and what is the
# least that they could cost, measured in the same rounds.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench::Refresh;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run ();
use List::Util qw(sum);
use NeonAuth::Bench;
use NeonAuth::Bench::Setup;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(first_refresh load_parsed unchanged measure_refreshes seconds_of_goal);

# The table keeps jsonb in line and uncompressed, whatever a row of users has.
my $plain = 'WITH (toast_tuple_target = 8160)';

# Users as text, as they were received.  A byte that no JSON has makes a line one field.
sub load_raw
{
	my $file = PostgreSQL::Test::Utils::tempdir() . '/users';

	run_or_die($file, split_command(), '--users', $pages->files);
	sql("DROP TABLE IF EXISTS bench.raw; CREATE TABLE bench.raw (body text) $plain; ALTER TABLE bench.raw ALTER body SET STORAGE EXTERNAL;
		COPY bench.raw FROM '$file' (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02'); VACUUM ANALYZE bench.raw");
	unlink($file);
	return;
}

sub run_or_die
{
	my ($file, @command) = @_;

	IPC::Run::run(\@command, '>', $file) or die "@command: $?";
	return;
}

# The rows of a users_sync, in order of creation, as a listing brings them.
sub load_parsed
{
	my ($table) = @_;

	sql("DROP TABLE IF EXISTS bench.parsed, bench.copy; CREATE TABLE bench.parsed (LIKE $table) $plain;
		ALTER TABLE bench.parsed ALTER raw_json SET STORAGE EXTERNAL;
		INSERT INTO bench.parsed SELECT raw_json || '{}', id, name, email, created_at, updated_at, deleted_at FROM $table ORDER BY created_at;
		VACUUM ANALYZE bench.parsed");
	my $options = sql("SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = '$table'::regclass");
	sql("CREATE TABLE bench.copy (LIKE $table INCLUDING ALL)" . ($options ? " WITH ($options)" : ''));
	return;
}

# ---- The first refresh

sub first_refresh
{
	sql('DROP TABLE IF EXISTS clerk.users_sync; CHECKPOINT');
	return refresh('clerk', 'auto', "ok $users/0/0/0");
}

sub parse { return sql_seconds('SELECT count(body::jsonb) FROM bench.raw'); }

sub insert
{
	sql('TRUNCATE bench.copy; CHECKPOINT');
	return sql_seconds('INSERT INTO bench.copy SELECT * FROM bench.parsed');
}

# Medians of so many rounds: the refresh, jsonb_in of all users, INSERT .. SELECT of all rows.
sub first_refresh_and_floor
{
	my ($times) = @_;

	load_raw();
	first_refresh();
	load_parsed('clerk.users_sync');
	return medians($times, \&first_refresh, \&parse, \&insert);
}

# ---- Nothing has changed

# All pages over loopback, over one connection, and read by nobody; without the time that
# curl takes to start.
sub transfer
{
	my ($list, $times) = map { PostgreSQL::Test::Utils::tempdir() . "/$_" } qw(urls times);

	append_to_file($list, join('', map { "url = \"$_\"\noutput = /dev/null\n" } $pages->urls));
	run_or_die($times, 'curl', '-sS', '-f', '-w', '%{time_total}\n', '-K', $list);
	return sum(split /\n/, slurp_file($times));
}

sub split_pages
{
	my ($out) = run_command([ split_command(), $pages->files ]);
	my ($seconds, $found) = $out =~ /^([\d.]+) seconds, (\d+) users/ or die "split: $out";

	die "split: $found of $users users" if $found != $users;
	return $seconds;
}

# Seconds of a refresh by server that finds no change.
sub unchanged { my ($server) = @_; return refresh($server, 'full', "ok 0/0/$users/0"); }

# Medians of so many rounds: by time of change, by digest; transfer of all pages, splitting them.
sub unchanged_and_floor
{
	my ($times) = @_;

	refresh('timeless', 'full', "ok $users/0/0/0") if sql("SELECT to_regclass('timeless.users_sync') IS NULL") eq 't';
	sql('VACUUM ANALYZE clerk.users_sync; VACUUM ANALYZE timeless.users_sync; VACUUM ANALYZE neon_auth.sync_digest; CHECKPOINT');
	return medians($times, sub { return unchanged('clerk') }, sub { return unchanged('timeless') }, \&transfer, \&split_pages);
}

# ---- The table

# A goal for 100,000 users, for more of them in proportion.
sub seconds_of_goal
{
	my ($seconds) = @_;

	return $users > 100000 ? $seconds * $users / 100000 : $seconds;
}

sub measure_refreshes
{
	my $bytes = $pages->save_listing;

	progress(sprintf('%d users, %.1f MB, %.0f bytes a user, are at nginx', $users, $bytes / 1e6, $bytes / $users));
	progress('first refresh');
	my ($first, $parse, $insert) = first_refresh_and_floor($few_rounds);
	result('first_refresh', value => $first, unit => 's', floor => $parse + $insert, goal => 1.1, of => 'floor',
		what => sprintf('empty table, pages of nginx; the floor is jsonb_in of each user (%.2f s) and INSERT .. SELECT of the rows (%.2f s)', $parse, $insert));

	progress('full refreshes without changes');
	my ($unchanged, $digest, $transfer, $split) = unchanged_and_floor($rounds);
	my $floor = sprintf('the floor is the bytes by curl (%.2f s) and splitting them (%.2f s)', $transfer, $split);
	my %same = (unit => 's', floor => $transfer + $split, goal => seconds_of_goal(0.6));
	result('full_refresh_unchanged', %same, value => $unchanged, what => "mode full, pages of nginx, warm; $floor");
	result('full_refresh_unchanged_digest', %same, value => $digest, what => "the same users of a provider without times of change; $floor");
	return;
}

1;
