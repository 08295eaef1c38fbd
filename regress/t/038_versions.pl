# Which version of a user wins: an older one never replaces a newer one, an id that
# is given again is another user, and who comes back is live.  In full and in
# incremental runs.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Hanging;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

use constant SECOND => 1000;

my $sim = start_sim(users => 400, clock => (time() - 7200) * 1000);
my $node = new_node('versions', urls => [ $sim->url ]);
my ($target, $targets);

add_server($node, $sim, options => ", page_size '100'");
my $session = new_session($node);

# ---- Helpers

sub sql { return $session->must($_[0]); }

sub call
{
	my ($mode) = @_;

	return "CALL neon_auth.refresh_users_sync('clerk', target => '$target', mode => '$mode')";
}

# "inserted/updated/tombstoned"
sub refresh
{
	my ($mode) = @_;
	my @row = split /\|/, ($session->ask(call($mode)) =~ /^(ok\|.*)$/m)[0];

	return join '/', @row[ 1, 2, 4 ];
}

sub fresh
{
	$target = 'app.t' . ++$targets;
	refresh('full');
	return;
}

sub name_of { return sql("SELECT concat_ws(' ', name, CASE WHEN deleted_at IS NOT NULL THEN 'gone' END) FROM $target WHERE id = '$_[0]'"); }
sub ms { return sql("SELECT (extract(epoch FROM $_[1]) * 1000)::bigint FROM $target WHERE id = '$_[0]'"); }
sub last_mode { return sql("SELECT concat_ws(': ', mode, reason) FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1"); }

sub difference
{
	my $columns = 'id, name, email, raw_json, created_at, updated_at';
	my ($here, $there) = ("SELECT $columns FROM $target WHERE deleted_at IS NULL", "SELECT $columns FROM app.users");

	return sql("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

# Another user who replaces this one under the same id, with times relative to its own.
sub replace_user
{
	my ($user, $name, $created, $updated) = @_;

	$sim->remove($user->{id});
	return $sim->create({ id => $user->{id}, name => $name, created_at => $user->{created_at} + $created, updated_at => $user->{updated_at} + $updated });
}

# ---- The same in both modes

for my $mode ('full', 'incremental')
{
	fresh();

	# a user changed a moment ago, so that all of this lies within the overlap
	my $user = $sim->create({ name => 'One Version' });
	my $time = $user->{updated_at};
	refresh($mode);

	$sim->update($user->{id}, { name => 'Too Old', updated_at => $time - SECOND });
	is(refresh($mode), '0/0/0', "$mode: an older version");
	is(name_of($user->{id}), 'One Version', "$mode: does not replace a newer one");
	$sim->update($user->{id}, { name => 'Same Moment', updated_at => $time });
	is(refresh($mode), '0/1/0', "$mode: another version of the same moment does");
	$sim->update($user->{id}, { name => 'A Newer One', updated_at => $time + 1 });
	is(refresh($mode), '0/1/0', "$mode: and one that is a millisecond newer");
	is(name_of($user->{id}), 'A Newer One', "$mode: is there");

	# an id given again
	$user = $sim->user($user->{id});
	my $second = replace_user($user, 'Second Life', 10 * SECOND, 20 * SECOND);
	is(refresh($mode), '0/1/0', "F57: $mode: an id that is given again");
	is(name_of($user->{id}) . ' ' . ms($user->{id}, 'created_at'), "Second Life $second->{created_at}", "$mode: is the new user");
	my $third = replace_user($second, 'Third Life', 5 * SECOND, -10 * SECOND);
	is(refresh($mode), '0/1/0', "$mode: also with an older time of change");
	is(name_of($user->{id}) . ' ' . ms($user->{id}, 'updated_at'), "Third Life $third->{updated_at}", "$mode: is the new user");
	replace_user($third, 'A Stale Life', -5 * SECOND, -SECOND);
	is(refresh($mode), '0/0/0', "$mode: a stale version of the user before");
	is(name_of($user->{id}), 'Third Life', "$mode: does not come back");
	$sim->update($user->{id}, { name => 'Newer After All', updated_at => $third->{updated_at} + 30 * SECOND });
	is(refresh($mode), '0/1/0', "$mode: unless it was changed later");

	# gone, and back
	$sim->remove($user->{id});
	my $elsewhere = $sim->create({ name => 'Same E-mail', email => 'same@example.com' });
	refresh('full');
	is(name_of($user->{id}), 'Newer After All gone', "$mode: a deletion");
	$sim->create({ id => $user->{id}, name => 'Is Back', created_at => $third->{created_at} - 60 * SECOND, updated_at => $third->{updated_at} - 60 * SECOND });
	is(refresh($mode), '0/1/0', "$mode: who is back is live, however old the version");
	is(name_of($user->{id}), 'Is Back', "$mode: and is what the provider has");
	$sim->remove($elsewhere->{id});
	my $again = $sim->create({ name => 'Same E-mail', email => 'same@example.com' });
	is(refresh('full'), '1/0/1', "$mode: the e-mail address of who is gone");
	is(sql("SELECT count(*), count(deleted_at) FROM $target WHERE email = 'same\@example.com'"), '2|1', "$mode: is no identity");
	$sim->remove($again->{id});
	refresh('full');
	is(difference(), 0, "$mode: the target equals the directory");
}

# ---- Who is back unchanged, long after

fresh();
my $old = $sim->user('index/50');
$sim->fault([ { match => 'list', times => -1, hide_index => 50 }, ]);
sql("UPDATE $target SET deleted_at = now() WHERE id = '$old->{id}'");
$sim->clear_faults;
is(refresh('full'), '0/1/0', 'a user who is listed loses the mark');
sql("UPDATE $target SET deleted_at = now() WHERE id = '$old->{id}'; UPDATE neon_auth.sync_state SET live_users = live_users - 1, listed_users = listed_users - 1 WHERE target = '$target'::regclass");
is(refresh('auto'), '0/1/0', 'also in mode auto');
is(last_mode(), 'full: the provider counts more users than are known', 'which needs a listing for a user that was not changed');

# ---- Deleted and created again while a run looks

fresh();
my $user = $sim->user('index/60');
$sim->remove($user->{id});
$sim->fault({ match => 'get', after => 2, mutate => { recreate_index => 60 } });
is(refresh('auto'), '0/0/1', 'a user who is created again after the provider said that it is gone');
is(refresh('auto'), '0/1/0', 'is live after the next run');
is(difference(), 0, 'and the target equals the directory');

# ---- Somebody else writes rows meanwhile

fresh();
my ($changed, $newer, $older, $same) = map { $sim->user("index/$_") } 250, 251, 252, 253;
$sim->update($changed->{id}, { name => 'From The List' });
sql("DELETE FROM $target WHERE id IN ('$newer->{id}', '$older->{id}', '$same->{id}')");
my $run = hang_refresh($node, $sim, { match => 'list', after => 2 }, call('full'));
my $columns = 'raw_json, id, name, email, created_at, updated_at';
sql("UPDATE $target SET name = 'From Elsewhere', updated_at = now() WHERE id = '$changed->{id}';
	INSERT INTO $target ($columns) SELECT raw_json, id, 'From Elsewhere', email, created_at, now() FROM app.users WHERE id = '$newer->{id}';
	INSERT INTO $target ($columns) SELECT raw_json, id, 'From Before', email, created_at, updated_at - interval '1 hour' FROM app.users WHERE id = '$older->{id}';
	INSERT INTO $target ($columns) SELECT $columns FROM app.users WHERE id = '$same->{id}'");
my $row = sql("SELECT ctid FROM $target WHERE id = '$same->{id}'");
is(outcome_of($run->release, 0 .. 3), 'ok 1/0/401/0', 'a run during which others write rows');
is(name_of($changed->{id}), 'From Elsewhere', 'leaves a newer version of a row');
is(name_of($newer->{id}), 'From Elsewhere', 'also of one that was inserted');
is(name_of($older->{id}), sql("SELECT name FROM app.users WHERE id = '$older->{id}'"), 'replaces an older version');
is(sql("SELECT ctid FROM $target WHERE id = '$same->{id}'"), $row, 'and does not write what is the same');

# ---- A table that rounds

sql("CREATE TABLE app.rounds (raw_json jsonb NOT NULL, id text PRIMARY KEY, name text, email text, created_at timestamptz(0), updated_at timestamptz, deleted_at timestamptz)");
$target = 'app.rounds';
refresh('full');
sql("UPDATE neon_auth.sync_state SET watermark = NULL WHERE target = '$target'::regclass");
is(refresh('full'), '0/0/0', 'times of creation that a table rounds are no other user');

done_testing();
