# Users without a time of change: a digest tells who has changed, updated_at is when
# that was seen, and members that change by themselves are no change.  Here an
# application hides updatedAt from Better Auth's replies.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

use constant USERS => 150;

my $sim = start_sim(provider => 'better_auth', users => USERS, hide => ['updatedAt'], 'last-seen' => 1);
my $node = new_node('timeless', urls => [ $sim->url ]);
my $target = 'app.users_sync';
my $said;

add_server($node, $sim, options => ", page_size '50', ignore_changes 'lastSeenAt, image'");
my $session = new_session($node);

# ---- Helpers

sub sql { return $session->must($_[0]); }

# "status inserted/updated/unchanged/tombstoned/quarantined", or the SQLSTATE.
sub refresh
{
	my ($more) = @_;

	$said = $session->ask("CALL neon_auth.refresh_users_sync('better_auth', target => '$target'" . ($more ? ", $more" : '') . ')');
	return outcome_of($said, 0 .. 3, 5);
}

sub option { sql("ALTER SERVER better_auth OPTIONS ($_[0])"); return; }
sub heap { return sql("SELECT md5(string_agg(concat(ctid, xmin, xmax), ' ' ORDER BY ctid)) FROM $_[0]"); }
sub row { my ($id, $columns) = @_; return sql("SELECT $columns FROM $target WHERE id = '$id'"); }
sub digests { return sql("SELECT count(*) FROM neon_auth.sync_digest WHERE target = '$target'::regclass"); }

# How many rows differ, but for when they changed and for what is not compared.
sub difference
{
	my $columns = q(id, name, email, raw_json - '{lastSeenAt,updatedAt}'::text[], created_at);
	my ($here, $there) = ("SELECT $columns FROM $target WHERE deleted_at IS NULL", "SELECT $columns FROM app.users");

	return sql("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

# ---- The first run, and one that has nothing to do

my $before = sql('SELECT clock_timestamp()');
is(refresh(), 'ok ' . USERS . '/0/0/0/0', 'the first refresh');
is(difference(), 0, 'makes the target equal to the directory');
is(sql("SELECT count(*) FROM $target WHERE updated_at > '$before' AND updated_at <= clock_timestamp()"), USERS, 'updated_at is when a user was seen');
is(digests(), USERS, 'there is a digest of each');
is(sql('SELECT min(length(digest)) || $$ $$ || max(length(digest)) FROM neon_auth.sync_digest'), '16 16', 'of 16 bytes');
my $heap = heap($target) . heap('neon_auth.sync_digest');
my $seen = sql("SELECT md5(string_agg(raw_json ->> 'lastSeenAt', '')) FROM app.users");
is(refresh(), 'ok 0/0/' . USERS . '/0/0', 'nothing new, although an ignored member has changed');
isnt(sql("SELECT md5(string_agg(raw_json ->> 'lastSeenAt', '')) FROM app.users"), $seen, 'as it has');
is(heap($target) . heap('neon_auth.sync_digest'), $heap, 'writes no row, nor locks one');
is(sql('SELECT count(*) FROM neon_auth.sync_run WHERE mode = $$incremental$$'), 0, 'each run is full');
is(sql('SELECT reason FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1'), 'not all users have a time of change', 'and says why');
is(refresh("mode => 'incremental'"), '55000', 'mode incremental is refused');
like($said, qr/DETAIL:  Reason: not all users have a time of change\./, 'for that reason');

# ---- Changes

my $user = $sim->user('index/20');
$before = sql('SELECT clock_timestamp()');
$sim->update($user->{id}, { name => 'Ada Lovelace' });
is(refresh('dry_run => true'), 'dry run 0/1/149/0/0', 'a dry run finds a change');
is(heap($target) . heap('neon_auth.sync_digest'), $heap, 'and writes neither row nor digest');
is(refresh(), 'ok 0/1/149/0/0', 'a change');
is(row($user->{id}, "name || ' ' || (updated_at > '$before')"), 'Ada Lovelace true', 'is written, with the time when it was seen');
is(refresh(), 'ok 0/0/150/0/0', 'once');
$sim->update($user->{id}, { name => 'Grace Hopper', updated_at => $user->{updated_at} - 86_400_000 });
is(refresh(), 'ok 0/1/149/0/0', 'a time that is hidden decides nothing');
$sim->remove($user->{id});
is(refresh(), 'ok 0/0/149/1/0', 'a deletion');
$sim->create({ id => $user->{id}, name => 'Back Again' });
is(refresh(), 'ok 0/1/149/0/0', 'an id that is given again');
is(row($user->{id}, 'deleted_at IS NULL'), 't', 'is live');
is(difference(), 0, 'the target equals the directory');

# other bytes for the same content cost a comparison and another digest, no more
$heap = heap($target);
my $raw = row($user->{id}, q(raw_json::text));
$sim->control('POST', "users/$user->{id}/update?raw=1", $raw =~ s/, "/ , "/gr);
is(refresh(), 'ok 0/0/150/0/0', 'other bytes for the same content are no change');
is(heap($target), $heap, 'nor written');
my $digest = sql("SELECT encode(digest, 'hex') FROM neon_auth.sync_digest WHERE id = '$user->{id}'");
is(refresh(), 'ok 0/0/150/0/0', 'again');
is(sql("SELECT encode(digest, 'hex') FROM neon_auth.sync_digest WHERE id = '$user->{id}'"), $digest, 'their digest was kept');

# ---- Digests that are lost, and members that begin to count

sql('DELETE FROM neon_auth.sync_digest');
is(refresh(), 'ok 0/0/150/0/0', 'without digests the content is compared');
is(heap($target) . digests(), $heap . USERS, 'nothing is written but the digests');
my $kept = row($user->{id}, 'updated_at');
option("SET ignore_changes 'image'");
is(refresh(), 'ok 0/149/1/0/0', 'a member that is no longer ignored counts');
option("SET ignore_changes 'lastSeenAt'");
is(refresh(), 'ok 0/0/150/0/0', 'and one that is ignored again does not');
is(refresh(), 'ok 0/0/150/0/0', 'from then on');
is(row($user->{id}, 'updated_at'), $kept, 'who was served as before kept the time');
for my $bad ('', ' ', ',', 'a,,b', 'a b', 'a,', ',a', 'x' x 65, join(',', 'a' .. 'y'))
{
	like($session->ask("ALTER SERVER better_auth OPTIONS (SET ignore_changes '$bad')"), qr/ERROR:  22023: invalid value for option "ignore_changes".*HINT:  It is a list of up to 24 names/s,
		"ignore_changes refuses '" . substr($bad, 0, 20) . "'");
}
option("SET ignore_changes ' lastSeenAt , image '");
is(refresh(), 'ok 0/0/150/0/0', 'blanks around names do not matter');

# ---- Users that cannot be held, and a run that fails

$sim->create_raw('{"id":"user_nul","name":"a\u0000b","createdAt":"2026-01-01T00:00:00.000Z"}', id => 'user_nul');
is(refresh(), 'ok 0/0/150/0/1', 'one that cannot be held is left out');
is(digests(), USERS, 'and has no digest');
is(refresh(), 'ok 0/0/150/0/1', 'but is tried again');
$sim->remove('user_nul');
sql("ALTER TABLE $target ADD CONSTRAINT no_ada CHECK (name <> 'Ada King')");
$sim->update('index/30', { name => 'Ada King' });
$sim->update('index/31', { name => 'Same Page' });
my $all = sql('SELECT md5(string_agg(concat(id, digest), $$ $$ ORDER BY id)) FROM neon_auth.sync_digest');
is(refresh(), '23514', 'one that the table refuses ends the run');
sql("ALTER TABLE $target DROP CONSTRAINT no_ada");
is(refresh(), 'ok 0/2/148/0/0', 'no digest says that its page was written');
is(difference(), 0, 'the target equals the directory');

# ---- An application that shows updatedAt after all, and hides it again

sub restart
{
	my %flags = @_;
	my $port = $sim->port;

	$sim->stop;
	$sim = start_sim(provider => 'better_auth', users => USERS, port => $port, 'last-seen' => 1, %flags);
	return;
}

restart();
like(refresh(), qr{^ok 0/150/0/\d+/0$}, 'the provider tells times of change at last');
is(sql("SELECT count(*) FROM $target t JOIN app.users u USING (id, updated_at)"), USERS, 'which go into updated_at, older than ours as they are');
is(digests(), 0, 'the digests are gone');
refresh();
is(sql('SELECT mode FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1'), 'incremental', 'and the next run is incremental');
$sim->update('index/40', { name => 'By Time' });
like(refresh(), qr{^ok 0/1/}, 'a change is found by its time');

restart(hide => ['updatedAt']);
refresh("mode => 'full'");
is(digests(), USERS, 'hidden again, each user has a digest');
is(difference(), 0, 'and the target equals the directory');
$heap = heap($target);
is(refresh(), 'ok 0/0/150/0/0', 'and then nothing is new');
is(heap($target), $heap, 'and nothing is written');

# ---- Some have times, some have none

$sim->create_raw('{"id":"user_timed","name":"Timed","createdAt":"2026-01-01T00:00:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z"}', id => 'user_timed');
is(refresh(), 'ok 1/0/150/0/0', 'one user with a time among those without');
is(row('user_timed', 'updated_at'), '2026-01-01 00:00:00+00', 'keeps it');
is(refresh(), 'ok 0/0/151/0/0', 'and nothing is new');
is(sql('SELECT reason FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1'), 'not all users have a time of change', 'but runs are full');

# ---- Neon's generated columns

sql(neon_table('app.neon'));
$target = 'app.neon';
is(refresh(), 'ok 151/0/0/0/0', "Neon's own table");
$heap = heap($target);
is(refresh(), 'ok 0/0/151/0/0', 'with nothing new');
sql("DELETE FROM neon_auth.sync_digest WHERE target = '$target'::regclass");
is(refresh(), 'ok 0/0/151/0/0', 'also without digests');
is(heap($target), $heap, 'is not written');

done_testing();
