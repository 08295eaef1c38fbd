
# One user, now: an application that may call sync_user and no more gets the row that
# its foreign key needs; a user who is gone is marked on proof alone; many calls for
# one user make few requests; and no refresh is in the way, nor misled.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use NeonAuth::Hanging;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $days = 24 * 60 * 60;
my $sim = start_sim(users => 100, clock => (time() - 30 * $days) * 1000);
my $node = new_node('user', urls => [ $sim->url ], conf => "max_connections = 80\n");
my $admin = new_session($node);
my $target = 'neon_auth.users_sync';

add_server($node, $sim, options => ", page_size '20'");

sub sql { return $admin->must($_[0]); }

# What a role says, with its SQLSTATE where it fails.
sub as { my ($role, $sql) = @_; return $admin->ask("SET ROLE $role; $sql; RESET ROLE"); }

# A call by the application; the requests that it makes are counted.
sub sync_user
{
	my ($id, $columns, $role) = @_;

	$sim->reset_stats;
	$columns //= q(concat_ws('|', id, deleted_at IS NULL));
	return as($role // 'app', "SELECT $columns FROM neon_auth.sync_user('clerk', '$id')");
}

sub refresh { my ($mode) = @_; return sql("CALL neon_auth.refresh_users_sync('clerk', mode => '" . ($mode // 'auto') . "')") =~ /^(\w+)/ && $1; }
sub last_run { return sql("SELECT concat_ws(' ', mode, reason, requests) FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1"); }

sub difference
{
	my ($here, $there) = map { "SELECT id, name, email, raw_json, created_at, updated_at FROM $_" } "$target WHERE deleted_at IS NULL", 'app.users';

	return sql("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

sub is_true { my ($condition, $name) = @_; return is(sql("SELECT $condition"), 't', $name); }

# The numbers of users that the next run begins with are those of the table.
sub is_counted
{
	my ($name) = @_;

	return is(sql("SELECT concat_ws(' ', s.live_users + coalesce(d.live, 0) - t.count, s.listed_users + coalesce(d.listed, 0) - t.count)
		FROM neon_auth.sync_state s, (SELECT sum(live) AS live, sum(listed) AS listed FROM neon_auth.sync_delta) d,
		(SELECT count(*) FROM $target WHERE deleted_at IS NULL) t"), '0 0', $name);
}

# ---- Who may call it, and what is needed

sql(<<'SQL');
CREATE ROLE auth_owner;
CREATE ROLE app;
GRANT USAGE ON FOREIGN SERVER clerk TO auth_owner;
CREATE USER MAPPING FOR auth_owner SERVER clerk OPTIONS (api_key 'sk_test_x');
CREATE TABLE posts (title text, author_id text);
GRANT INSERT, SELECT ON posts TO app;
SQL
my $new = $sim->create({ name => 'New Here' });
like(sync_user($new->{id}), qr/42501: permission denied for function sync_user/, 'nobody may call it');
sql('GRANT EXECUTE ON FUNCTION neon_auth.sync_user TO app');
like(sync_user($new->{id}), qr/42P01: table "neon_auth.users_sync" does not exist.*CALL neon_auth.refresh_users_sync\('clerk'\)/s, 'there is no table');
sql("SELECT neon_auth.create_users_sync(); ALTER TABLE $target OWNER TO auth_owner");
like(sync_user($new->{id}), qr/55000: table neon_auth.users_sync has not been refreshed.*As role auth_owner: CALL/s, 'a table that was never refreshed');
is($sim->requests, 0, 'no request until then');
as('auth_owner', q(CALL neon_auth.refresh_users_sync('clerk')));
is_counted('the numbers of users, refreshed');

# ---- A new user

$new = $sim->create({ name => 'Ada Lovelace', email => 'ada@example.com' });
is(sync_user($new->{id}), 't', 'a new user: a caller who may read nothing is told nothing');
is($sim->asked, '1 get', 'with one request');
is(sql("SELECT name FROM $target WHERE id = '$new->{id}'"), 'Ada Lovelace', 'but the row is there');
is_counted('and it is counted');
sql("GRANT SELECT (id, name, deleted_at) ON $target TO app");
is(sync_user($new->{id}, 'id, name, email, raw_json'), "$new->{id}|Ada Lovelace||", 'what the caller may read of it is returned');
is(sync_user($new->{id}, 'email, raw_json IS NOT NULL', 'auth_owner') =~ s/.*ERROR: +(\w+).*/$1/sr, '42501', 'the owner may not call it without being allowed to');
is($admin->ask("SELECT email, raw_json ->> 'id' FROM neon_auth.sync_user('clerk', '$new->{id}')"), "ada\@example.com|$new->{id}", 'a superuser gets all');
sql("ALTER TABLE $target ENABLE ROW LEVEL SECURITY");
is(sync_user($new->{id}, 'id, name'), '|', 'nothing where policies decide who may read rows');
sql("ALTER TABLE $target DISABLE ROW LEVEL SECURITY");
is(refresh(), 'ok', 'the next refresh');
is(last_run(), 'incremental 2', 'needs no listing');
is(difference(), 0, 'and the target equals the directory');
is_counted('the numbers of users after it');
$sim->update($new->{id}, { name => 'Ada King' });
is(sync_user($new->{id}, 'name'), 'Ada King', 'a change');
is(sync_user($new->{id}, 'name'), 'Ada King', 'and none');
is_true("count(*) = 1 FROM $target WHERE id = '$new->{id}'", 'one row');
is_counted('counted once');
is($admin->ask("SELECT neon_auth.sync_user('clerk', NULL) IS NULL"), 't', 'no id, no user');

# before an INSERT that references the table
sql(<<"SQL");
ALTER TABLE posts ADD FOREIGN KEY (author_id) REFERENCES $target (id);
CREATE FUNCTION need_author() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	IF NEW.author_id IS NOT NULL AND NOT EXISTS (SELECT FROM $target WHERE id = NEW.author_id AND deleted_at IS NULL) THEN
		PERFORM neon_auth.sync_user('clerk', NEW.author_id);
	END IF;
	RETURN NEW;
END \$\$;
CREATE TRIGGER need_author BEFORE INSERT ON posts FOR EACH ROW EXECUTE FUNCTION need_author();
SQL
$new = $sim->create({ name => 'Author' });
$sim->reset_stats;
is(as('app', "INSERT INTO posts VALUES ('First', '$new->{id}')"), '', 'an INSERT that references a user of now');
is($sim->asked, '1 get', 'asks for that user');
is(as('app', "INSERT INTO posts SELECT 'More', '$new->{id}' FROM generate_series(1, 9)"), '', 'more of the same user');
is($sim->asked, '1 get', 'need no request');
like(as('app', q(INSERT INTO posts VALUES ('None', 'user_of_nowhere'))), qr/23503: insert or update on table "posts" violates foreign key/, 'of a user who does not exist');
is(as('app', q(INSERT INTO posts VALUES ('Anonymous', NULL))), '', 'of nobody');
$new = $sim->create({ name => 'Rolled Back' });
$admin->ask("BEGIN; INSERT INTO posts VALUES ('Never', '$new->{id}'); ROLLBACK");
is_true("count(*) = 0 FROM $target WHERE id = '$new->{id}'", 'rolled back, the row is not there');
is_counted('nor counted');
$admin->ask("BEGIN; SAVEPOINT s; SELECT FROM neon_auth.sync_user('clerk', '$new->{id}'); ROLLBACK TO s; SELECT FROM neon_auth.sync_user('clerk', '$new->{id}'); COMMIT");
is_true("count(*) = 1 FROM $target WHERE id = '$new->{id}'", 'rolled back to a savepoint, and done again');
refresh();
is_counted('which is counted once');
is(last_run(), 'incremental 2', 'the next refresh needs no listing');

# ---- A user who is gone

my $gone = $sim->user('index/30')->{id};
sub live { my ($id) = @_; return sql("SELECT count(*) FROM $target WHERE id = '$id' AND deleted_at IS NULL"); }
$sim->remove('index/30');
for my $row (
	[ 'a wrong key', { status => 401 }, '28000' ],
	[ 'a key without rights', { status => 403 }, '42501' ],
	[ 'a bare 404', { status => 404, body => '' }, 'HV00L' ],
	[ 'a page of HTML', { body => '<html></html>', content_type => 'text/html' }, 'HV00M' ],
	[ 'somebody else', { body => '{"id":"user_other"}' }, 'HV00M' ],
	[ 'a failure', { status => 400, body => '{}' }, 'HV00L' ])
{
	my ($name, $fault, $state) = @$row;

	$sim->fault({ match => 'get', %$fault });
	like(sync_user($gone), qr/ERROR:  $state/, "$name is an error");
	$sim->clear_faults;
	is(live($gone), 1, 'and marks nobody');
}
is(sync_user($gone), "$gone|f", 'a user who is gone is marked');
is($sim->asked, '5 get, 1 list', 'on the word of a provider that does not list it, and finds another one, before and after');
is(live($gone), 0, 'there is no live row');
is_counted('and it is counted');
is(sync_user($gone), "$gone|f", 'again');
is($sim->asked, '1 get', 'there is nothing to mark');
is(sync_user('user_of_nowhere'), 't', 'of a user who never was there is no row');
refresh();
is(last_run(), 'incremental 2', 'the next refresh looks for nobody');
is_counted('the numbers are right');
is(difference(), 0, 'the target equals the directory');

# a provider that has lost its users, one by one
my %lost = (match => 'get', status => 404, body => '{"errors":[{"code":"resource_not_found"}]}', times => 1000);
$gone = $sim->user('index/31')->{id};
$sim->fault({%lost});
like(sync_user($gone), qr/WARNING:.*did not mark a user .*the provider lists the user.*^$gone\|t$/ms, 'a provider that lists who it does not find is not believed');
$sim->clear_faults;
$sim->remove('index/31');
$sim->fault({%lost});
like(sync_user($gone), qr/WARNING:.*finds no other user either.*^$gone\|t$/ms, 'nor one that finds nobody');
is_true('count(*) = 1 FROM neon_auth.held_deletion', 'that is held');
$sim->clear_faults;
like(sync_user($gone), qr/WARNING:.*held back already.*^$gone\|t$/ms, 'and stays so');
refresh();
refresh();
is_true('count(*) = 0 FROM neon_auth.held_deletion', 'until refreshes have looked');
is(live($gone), 0, 'and marked it');
is_counted('it is counted');

# who has just signed up may not be everywhere at the provider
$new = $sim->create({ name => 'Just Now', created_at => 1000 * time() });
is(sync_user($new->{id}), "$new->{id}|t", 'one who has just signed up');
$sim->fault({%lost, times => 1});
like(sync_user($new->{id}), qr/WARNING:.*created or changed just now.*^$new->{id}\|t$/ms, 'and is not found for a moment');
$sim->remove($new->{id});
refresh();
is(live($new->{id}), 1, 'has time before a refresh believes that it is gone');
sql("UPDATE $target SET created_at = created_at - interval '1 minute' WHERE id = '$new->{id}'");
refresh();
is(live($new->{id}), 0, 'and is marked then');

# who was gone and is back is not new: the brake counts him as all others
my @back = map { $sim->user("index/$_")->{id} } 14 .. 25;
for my $id (@back)
{
	my $user = $sim->user($id);

	$sim->remove($id);
	sync_user($id);
	$sim->create({ id => $id, map { ($_ => $user->{$_}) } qw(first_name last_name) });
	like(sync_user($id), qr/^$id\|t$/m, 'gone, and back');
}
is_true("count(*) = 12 FROM neon_auth.sync_delta WHERE id = ANY ('{" . join(',', @back) . "}') AND listed = 0 AND live = 0", 'they are counted as before');
$sim->remove($_) for @back, map { "index/$_" } 26 .. 29, 32 .. 37;
like(sql(q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^held\|/m, 'the brake counts them');
is_true("count(*) = 22 FROM neon_auth.held_deletion WHERE brake = 'share'", 'and holds all who are missing');
is(sql("CALL neon_auth.refresh_users_sync('clerk', approve_deletions => 22)") =~ /^(\w+)/ && $1, 'ok', 'until they are let go');
is_counted('and all is right again');
sql("UPDATE $target SET deleted_at = deleted_at - interval '2 hours' WHERE deleted_at IS NOT NULL");

# one call after the other, the brake counts them all
my @gone = map { $sim->user("index/$_")->{id} } 40 .. 69;
$sim->remove("index/$_") for 40 .. 69;
my @said = map { sync_user($_) } @gone;
my $marked = grep { /\|f$/ } @said;
cmp_ok($marked, '>=', 9, 'single deletions pass');
cmp_ok($marked, '<=', 21, 'until more than a fifth are gone');
is(scalar(grep { /more than 20 % of the users are missing/ } @said), @gone - $marked, 'the others are held');
is(scalar(grep { /held back already/ } map { sync_user($_) } @gone[ -3 .. -1 ]), 3, 'however often that is called');
is_true("count(*) = " . (@gone - $marked) . " FROM neon_auth.held_deletion", 'and wait for a person');
is(sql("CALL neon_auth.refresh_users_sync('clerk', approve_deletions => " . (@gone - $marked) . ')') =~ /^(\w+)/ && $1, 'ok', 'who approves them');
is(difference(), 0, 'then the target equals the directory');
is_counted('and the numbers are right');

# ---- What is refused

$sim->reset_stats;
like(as('app', q(SELECT FROM neon_auth.sync_user('nobody', 'user_x'))), qr/42704: server "nobody" does not exist/, 'no such server');
sql("CREATE SERVER other FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url '" . $sim->url . "')");
sql(q(GRANT USAGE ON FOREIGN SERVER other TO auth_owner));
sql(q(CREATE USER MAPPING FOR auth_owner SERVER other OPTIONS (api_key 'sk_test_x')));
like(as('app', q(SELECT FROM neon_auth.sync_user('other', 'user_x'))), qr/55000: table neon_auth.users_sync holds the users of server "clerk"/, 'a server of another table');
sql(q(ALTER USER MAPPING FOR auth_owner SERVER clerk OPTIONS (SET api_key 'sk_test_other')));
like(sync_user($gone), qr/55000: the credential for server "clerk" is not the one/, 'a credential that no refresh has shown to be right');
sql(q(ALTER USER MAPPING FOR auth_owner SERVER clerk OPTIONS (SET api_key 'sk_test_x')));
sub is_nobody
{
	my ($id, $name) = @_;
	my $sql = $id =~ s/\r/\\r/r =~ s/\n/\\n/r;

	return is(as('app', "SELECT u.id IS NULL FROM neon_auth.sync_user('clerk', E'$sql') u"), 't', $name);
}

for my $id ('', '..', 'x' x 5000)
{
	is_nobody($id, 'an id that no user can have: ' . substr($id, 0, 8));
}
is($sim->requests, 0, 'no request for all of these');
is_nobody($_, 'a hostile id') for "user\r\nX: y", '-x', 'user&limit=500', 'user%2F..', "o''neil";
is($sim->asked, '5 get', 'is asked for by one right request');
like($admin->ask("BEGIN READ ONLY; SELECT FROM neon_auth.sync_user('clerk', '$gone'); ROLLBACK"), qr/25006/, 'not in a transaction that only reads');
$admin->ask('ROLLBACK');
sql(<<"SQL");
CREATE FUNCTION nest() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN PERFORM neon_auth.sync_user('clerk', NEW.id); RETURN NEW; END \$\$;
GRANT EXECUTE ON FUNCTION neon_auth.sync_user TO auth_owner;
CREATE TRIGGER nest BEFORE INSERT ON $target FOR EACH ROW EXECUTE FUNCTION nest();
SQL
$new = $sim->create({ name => 'Nested' });
like(sync_user($new->{id}), qr/55006: cannot refresh within a refresh/, 'not in a trigger of the table itself');
sql("DROP TRIGGER nest ON $target");
sql("ALTER TABLE $target ADD CONSTRAINT no_ned CHECK (name <> 'Ned')");
$new = $sim->create({ name => 'Ned' });
like(sync_user($new->{id}), qr/23514: could not write user "$new->{id}".*constraint "no_ned"/s, 'a user whom the table refuses');
sql("ALTER TABLE $target DROP CONSTRAINT no_ned");
$new = $sim->create_raw('{"id":"user_zero","first_name":"\u0000","created_at":1,"updated_at":' . (time() - 3600) * 1000 . '}');
like(sync_user('user_zero'), qr/WARNING:.*left out a user/, 'a user whom PostgreSQL cannot hold');
is_true('count(*) = 1 FROM neon_auth.quarantined_user', 'is listed');
$sim->remove('user_zero');
refresh();
refresh();
is(difference(), 0, 'then the target equals the directory');

# ---- Beside a refresh

my $late = $sim->create({ name => 'Late' });
my $run = hang_refresh($node, $sim, { match => 'list', after => 1 }, "SET ROLE auth_owner", "CALL neon_auth.refresh_users_sync('clerk', mode => 'full')");
is(sync_user($late->{id}), "$late->{id}|t", 'while a refresh lists');
is($run->release =~ /^(\w+)/m && $1, 'ok', 'which then goes on');
is(difference(), 0, 'to the right end');
is_counted('with the right numbers');
refresh();
is(last_run(), 'incremental 2', 'so that the next one needs no listing');

# the answer of a provider that is older than a deletion does not undo it
$sim->update('index/5', { name => 'Changed, Then Gone' });
$gone = $sim->user('index/5')->{id};
$run = hang_refresh($node, $sim, { match => 'list' }, "SET ROLE auth_owner", "CALL neon_auth.refresh_users_sync('clerk', mode => 'incremental')");
sql("UPDATE $target SET deleted_at = clock_timestamp() WHERE id = '$gone'");
$run->release;
is(live($gone), 0, 'a row that was marked since the provider was asked stays marked');
is(refresh('full'), 'ok', 'a later answer');
is(live($gone), 1, 'brings it back');

# nor does a deletion that was found before somebody wrote the row again
$gone = $sim->user('index/6')->{id};
$sim->remove('index/6');
$run = hang_refresh($node, $sim, { match => 'get', after => 2 }, "SET ROLE auth_owner", "CALL neon_auth.refresh_users_sync('clerk', mode => 'full')");
sql("UPDATE $target SET name = name WHERE id = '$gone'");
like($run->release, qr/^ok\|0\|0\|\d+\|0\|/m, 'a row that was written since the provider was asked is not marked');
is(live($gone), 1, 'it is live');
refresh();
is(live($gone), 0, 'and is marked by the next run');
sql("UPDATE $target SET deleted_at = deleted_at - interval '2 hours'");    # or the brake would hold it
$gone = $sim->user('index/7')->{id};
$sim->remove('index/7');
$run = hang_refresh($node, $sim, { match => 'get', after => 4 }, "SELECT deleted_at IS NULL FROM neon_auth.sync_user('clerk', '$gone')");
sql("UPDATE $target SET name = name WHERE id = '$gone'");
is($run->release, "t\n", 'the same of sync_user');
is(sync_user($gone), "$gone|f", 'which finds it the next time');
refresh();

# a row that is not committed yet, of a user whom a refresh has found, too
$new = $sim->create({ name => 'Not Committed' });
my $application = new_session($node);
$application->must("BEGIN; SELECT FROM neon_auth.sync_user('clerk', '$new->{id}')");
my $waiting = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c', "CALL neon_auth.refresh_users_sync('clerk')" ],
	'<', \undef, '>', \my $said, '2>&1');
wait_until('the refresh waits', sub { return sql(q(SELECT count(*) FROM pg_locks WHERE NOT granted)); });
$application->must('COMMIT');
$waiting->finish;
like($said, qr/^ok\|0\|/, 'a refresh waits for it, and finds it written');
is_true('count(*) = 0 FROM neon_auth.quarantined_user', 'nobody is left out');
is_counted('and it is counted once');

# what is held while a refresh lists is not forgotten by it
$gone = $sim->user('index/8')->{id};
$run = hang_refresh($node, $sim, { match => 'list', after => 2 }, "SET ROLE auth_owner", "CALL neon_auth.refresh_users_sync('clerk', mode => 'full')");
$sim->remove('index/8');
$sim->fault({%lost});
like(sync_user($gone), qr/finds no other user either/, 'a deletion is held while a refresh lists');
$run->release;
is_true('count(*) = 1 FROM neon_auth.held_deletion', 'and still when that has ended');
refresh() for 1 .. 2;
is(live($gone), 0, 'so that it is not forgotten');
is_counted('nor is the number');

# nor what is counted after the listing has passed it
$sim->remove('index/9');
$gone = $sim->user('index/10')->{id};
$run = hang_refresh($node, $sim, { match => 'get', after => 1 }, "SET ROLE auth_owner", "CALL neon_auth.refresh_users_sync('clerk', mode => 'full')");
$new = $sim->create({ name => 'After The Listing' });
is(sync_user($new->{id}), "$new->{id}|t", 'a user who comes when a refresh has listed');
$sim->remove('index/10');
is(sync_user($gone), "$gone|f", 'and one who goes');
$run->release;
is_counted('are counted');
refresh();
is(last_run(), 'incremental 2', 'and the next refresh needs no listing');
# nor what is marked, or held, before the listing has come to it
$gone = $sim->user('index/11')->{id};
$run = hang_refresh($node, $sim, { match => 'list' }, "SET ROLE auth_owner", "CALL neon_auth.refresh_users_sync('clerk', mode => 'full')");
$sim->remove('index/11');
is(sync_user($gone), "$gone|f", 'one who goes before a refresh lists');
$run->release;
is_counted('is counted');
$gone = $sim->user('index/12')->{id};
$run = hang_refresh($node, $sim, { match => 'list' }, "SET ROLE auth_owner", "CALL neon_auth.refresh_users_sync('clerk', mode => 'full')");
$sim->remove('index/12');
$sim->fault({%lost});
like(sync_user($gone), qr/finds no other user either/, 'a deletion that is held');
$run->release;
is(live($gone), 0, 'and that the refresh finds');
is_true('count(*) = 0 FROM neon_auth.held_deletion', 'is held no more');
is_counted('and counted');

# who was left out and is not any more
sql(<<"SQL");
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '22000'; END \$\$;
CREATE TRIGGER refuse BEFORE UPDATE ON $target FOR EACH ROW EXECUTE FUNCTION refuse();
SQL
$sim->update('index/13', { name => 'Refused' });
my $refused = $sim->user('index/13')->{id};
like(sync_user($refused), qr/left out a user/, 'a user whom a trigger refuses');
is_true('count(*) = 1 FROM neon_auth.quarantined_user', 'is listed');
sql("DROP TRIGGER refuse ON $target");
is(sync_user($refused), "$refused|t", 'and once it is gone is written');
is_true('count(*) = 0 FROM neon_auth.quarantined_user', 'and listed no more');

# ---- Many at once

# How many requests so many sessions make that call it so often.
sub storm
{
	my ($sessions, $calls, $id) = @_;
	my $script = PostgreSQL::Test::Utils::tempdir() . '/storm.sql';
	my ($out, $err);

	append_to_file($script, "SET ROLE app; SELECT FROM neon_auth.sync_user('clerk', '$id');\n") unless -e $script;
	$sim->reset_stats;
	IPC::Run::run([ $node->installed_command('pgbench'), '-n', '-c', $sessions, '-j', 4, '-t', $calls, '-f', $script, $node->connstr('postgres') ],
		'>', \$out, '2>', \$err) or die $err;
	unlink $script;
	return $sim->requests;
}

$sim->fault({ match => 'get', latency_ms => 200, times => 1_000_000 });
$new = $sim->create({ name => 'Wanted By All' });
my $requests = storm(50, 20, $new->{id});
cmp_ok($requests, '<=', 500, "1,000 calls for one user, of 50 sessions, make few requests ($requests)");
cmp_ok($requests, '>=', 20, 'but none shares a request that began before it');
is_true("count(*) = 1 FROM $target WHERE id = '$new->{id}' AND deleted_at IS NULL", 'one row');
is_counted('that is counted once');
$sim->clear_faults;

# who waits is not told of what is older than the call
my $first = hang_refresh($node, $sim, { match => 'get' }, "SELECT name FROM neon_auth.sync_user('clerk', '$new->{id}')");
$sim->update($new->{id}, { name => 'Changed While Asked' });
my $second = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT name FROM neon_auth.sync_user('clerk', '$new->{id}')" ],
	'<', \undef, '>', \my $name, '2>&1');
wait_until('the second call waits', sub { return sql(q(SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory')); });
$first->release;
$second->finish;
is($name, "Changed While Asked\n", 'a call that waited for an older request asks itself');

# and can be cancelled
$first = hang_refresh($node, $sim, { match => 'get' }, "SELECT name FROM neon_auth.sync_user('clerk', '$new->{id}')");
like($admin->ask("SET statement_timeout = '100ms'; SELECT name FROM neon_auth.sync_user('clerk', '$new->{id}')"), qr/57014/, 'who waits can be cancelled');
sql('RESET statement_timeout; SELECT pg_cancel_backend(' . $first->pid . ')');
like($first->finish, qr/57014/, 'and so can who asks');
$sim->clear_faults;
is(sync_user($new->{id}), "$new->{id}|t", 'then it is free again');
is($node->safe_psql('postgres', q(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')), 0, 'no lock is left behind');

# an application that writes the row itself
$new = $sim->create({ name => 'Own Row' });
like($admin->ask("BEGIN; INSERT INTO $target SELECT * FROM app.users WHERE id = '$new->{id}'; SELECT FROM neon_auth.sync_user('clerk', '$new->{id}'); PREPARE TRANSACTION 'x'"), qr/0A000: cannot PREPARE a transaction/, 'what it has counted cannot be prepared');
$admin->ask('ROLLBACK');

# a prepared transaction would keep it
$new = $sim->create({ name => 'Prepared' });
like($admin->ask("BEGIN; SELECT FROM neon_auth.sync_user('clerk', '$new->{id}'); PREPARE TRANSACTION 'x'"), qr/0A000: cannot PREPARE a transaction/, 'what it has written cannot be prepared');
$admin->ask('ROLLBACK');

$node->stop;
done_testing();
