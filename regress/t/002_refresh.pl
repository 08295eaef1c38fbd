# refresh_users_sync: what it writes, what it does not, how it may be called, on
# which tables, as whom, what it leaves behind when it fails, and what others see
# of it.  Deletions have a test of their own.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use JSON::PP;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

# Now, so that changes are younger than the last success less its overlap.
my $sim = start_sim(users => 250, clock => time() * 1000);
my $other = start_sim(users => 5, seed => 2);
my $node = new_node('refresh', urls => [ $sim->url, $other->url ],
	conf => "max_prepared_transactions = 2\nrestart_after_crash = on\ndeadlock_timeout = 100ms\n");
my $true = JSON::PP::true;
my $stderr;

add_server($node, $sim, options => ", page_size '100', request_timeout '5min'");
add_server($node, $other, name => 'other', schema => 'other');

# ---- Helpers

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Runs statements that may fail; returns the output, or the SQLSTATE of the error.
# What was said is in $stderr.
sub try_sql
{
	$node->psql('postgres', "\\set VERBOSITY verbose\n$_[0]", stdout => \my $out, stderr => \$stderr);
	return $stderr =~ /ERROR:  (\w{5}):/ ? $1 : $out;
}

# The statement for a target; without one, for users_sync.  This test is about the
# full listing, so that is asked for unless $more has a mode.
sub call
{
	my ($target, $more) = @_;

	return 'CALL neon_auth.refresh_users_sync(' . join(', ', "'clerk'",
		$target ? "target => \$q\$$target\$q\$" : (), $more // (),
		($more // '') =~ /\bmode => / ? () : "mode => 'full'") . ')';
}

# "status inserted/updated/unchanged/tombstoned/held/quarantined", or the SQLSTATE.
sub refresh
{
	my ($status, @counts) = split /\|/, try_sql(call(@_));

	return @counts ? "$status " . join('/', @counts[ 0 .. 5 ]) : $status;
}

my $columns = 'id, name, email, raw_json, created_at, updated_at';

# How many rows differ between the live part of a target and the directory.
sub difference
{
	my ($target) = @_;
	my ($here, $there) = ("SELECT $columns FROM $target WHERE deleted_at IS NULL", "SELECT $columns FROM app.users");

	return sql("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

# Changes with any write to the rows of a table, even with a lock on one.
sub heap
{
	return sql("SELECT md5(string_agg(concat(ctid, xmin, xmax), ' ' ORDER BY ctid)) FROM $_[0]");
}

sub state
{
	return sql("SELECT concat(s, r, (SELECT count(*) FROM neon_auth.sync_run)) FROM neon_auth.sync_state s, LATERAL (SELECT max(run_id) FROM neon_auth.sync_run) r WHERE target = '$_[0]'::regclass");
}

sub last_run
{
	my ($columns, $target) = @_;

	return sql("SELECT $columns FROM neon_auth.sync_run WHERE target = '$target'::regclass ORDER BY run_id DESC LIMIT 1");
}

# Begins statements in a session of their own, until finish() of the result.
sub begin
{
	my ($options, @statements) = @_;
	my %session = (out => '', err => '');

	$session{run} = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') . " $options", map { ('-c', $_) } @statements ],
		'<', \undef, '>', \$session{out}, '2>', \$session{err}, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return \%session;
}

sub finish
{
	my ($session) = @_;

	$session->{run}->finish;
	return $session;
}

# Begins a refresh that stands still at a request, after so many of its kind.
sub begin_hanging
{
	my ($target, $after, $options) = @_;
	my $faults = $sim->stats->{faults};

	$sim->fault({ match => 'list', after => $after, hang => $true });
	my $session = begin('application_name=hanging ' . ($options // ''), call($target));
	wait_until('the request hangs', sub { $sim->stats->{faults} > $faults });
	return $session;
}

sub activity
{
	return sql("SELECT $_[0] FROM pg_stat_activity WHERE application_name = 'hanging'");
}

# ---- The first run, and one that has nothing to do

my $users_sync = 'neon_auth.users_sync';

is(refresh(undef, 'dry_run => true'), 'dry run 250/0/0/0/0/0', 'a dry run counts what a first run would do');
is(sql("SELECT to_regclass('$users_sync') IS NULL"), 't', 'and makes no table');
is(sql('SELECT (SELECT count(*) FROM neon_auth.sync_run) + (SELECT count(*) FROM neon_auth.sync_state)'), 0, 'and no state');
is(refresh(), 'ok 250/0/0/0/0/0', 'the first run makes users_sync and fills it');
is(difference($users_sync), 0, 'it equals the foreign table');
is(sql("SELECT count(*) FROM $users_sync"), 250, 'with all users');
is(last_run("concat_ws(' ', mode, status, requests, pages, users, inserted, sqlstate)", $users_sync), 'full ok 3 3 250 250', 'the run is logged');
is(sql("SELECT concat_ws(' ', server, provider, last_status, live_users, held, quarantined, lag < '1 hour') FROM neon_auth.sync_status"),
	'clerk clerk ok 250 0 0 t', 'sync_status tells of it');

my $new = $sim->create({ name => 'Ada Lovelace', email => 'ada@example.com' });
is(refresh(), 'ok 1/0/250/0/0/0', 'a new user is inserted');
sql("CREATE TABLE app.fired (what text);
	CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO app.fired VALUES (TG_OP); RETURN NULL; END';
	CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON $users_sync FOR EACH ROW EXECUTE FUNCTION app.note()");
my $heap = heap($users_sync);
is(refresh(), 'ok 0/0/251/0/0/0', 'the next run finds all users unchanged');
is(heap($users_sync), $heap, 'and writes no row, nor locks one');
is(sql('SELECT count(*) FROM app.fired'), 0, 'and fires no trigger');
is(refresh(undef, "mode => 'auto'"), 'ok 0/0/1/0/0/0', 'mode auto reads the new user only');
is(heap($users_sync), $heap, 'and writes nothing either');
is(sql('SELECT count(*) FROM app.fired'), 0, 'and fires no trigger either');

# ---- Changes

$sim->update($new->{id}, { name => 'Ada King' });
my $state = state($users_sync);
is(refresh(undef, 'dry_run => true'), 'dry run 0/1/250/0/0/0', 'a dry run counts a change');
is(heap($users_sync) . state($users_sync), $heap . $state, 'and writes nothing');
is(refresh(), 'ok 0/1/250/0/0/0', 'a change is written');
is(sql("SELECT name, email FROM $users_sync WHERE id = '$new->{id}'"), 'Ada King|ada@example.com', 'to the columns');
is(sql('SELECT string_agg(what, $$,$$) FROM app.fired'), 'UPDATE', 'the trigger fires once');
my $time = $sim->user($new->{id})->{updated_at};
$sim->update($new->{id}, { name => 'Same Time', updated_at => $time });
is(refresh(), 'ok 0/1/250/0/0/0', 'another content of the same millisecond is written');
is(difference($users_sync), 0, 'the target equals the directory');
$sim->update($new->{id}, { name => 'Too Old', updated_at => $time - 1 });
is(refresh(), 'ok 0/0/251/0/0/0', 'an older time');
is(sql("SELECT name FROM $users_sync WHERE id = '$new->{id}'"), 'Same Time', 'never overwrites a newer one');
my $old = $sim->user('index/10');
$sim->update($old->{id}, { name => 'Long Final', updated_at => $old->{updated_at} });
is(refresh(), 'ok 0/0/251/0/0/0', 'what was final when read is not compared');
$sim->remove($new->{id});
refresh();
is(sql("SELECT deleted_at IS NULL FROM $users_sync WHERE id = '$new->{id}'"), 'f', 'a deleted user is marked');
$sim->create({ id => $new->{id}, name => 'Back Again' });
is(refresh(), 'ok 0/1/250/0/0/0', 'an id seen again');
is(sql("SELECT name, deleted_at IS NULL FROM $users_sync WHERE id = '$new->{id}'"), 'Back Again|t', 'is live again');
sql("UPDATE $users_sync SET deleted_at = now() WHERE id = '$old->{id}'");
is(refresh(), 'ok 0/1/250/0/0/0', 'so is one that has not changed since');
is(sql("SELECT s.live_users = count(*) FROM neon_auth.sync_state s, $users_sync u WHERE u.deleted_at IS NULL GROUP BY s.live_users"), 't', 'live_users is their number');
sql("DROP TRIGGER note ON $users_sync");

# ---- Ways to call it

like(try_sql("\\pset tuples_only off\n" . call()), qr/^status\|inserted\|updated\|unchanged\|tombstoned\|held\|quarantined\|requests\|elapsed\nok\|0\|0\|251\|0\|0\|0\|3\|00:00:\S+\n\(1 row\)$/m,
	'a bare CALL prints one row');
is(try_sql(call() . " \\gset r_\n\\echo :r_status :r_unchanged"), 'ok 251', '\gset takes its columns');
my $execute = 'DECLARE s text; i bigint; BEGIN EXECUTE $c$' . call() . '$c$ INTO s, i; RAISE NOTICE $f$% %$f$, s, i; END';
try_sql("DO \$d\$ $execute \$d\$");
like($stderr, qr/NOTICE:.* ok 0$/m, 'EXECUTE INTO in DO');
try_sql("CREATE PROCEDURE app.p() LANGUAGE plpgsql AS \$d\$ $execute \$d\$; CALL app.p()");
like($stderr, qr/NOTICE:.* ok 0$/m, 'EXECUTE INTO in a procedure');
try_sql('DO $d$ DECLARE s text; i bigint; u bigint; n bigint; t bigint; h bigint; q bigint; r bigint; e interval;
	BEGIN CALL neon_auth.refresh_users_sync($$clerk$$, $$full$$, $$neon_auth.users_sync$$, NULL, false, s, i, u, n, t, h, q, r, e); RAISE NOTICE $$% %$$, s, n; END $d$');
like($stderr, qr/NOTICE:.* ok 251$/m, 'CALL with variables in DO');
is(try_sql("SET default_transaction_isolation = 'serializable'; " . call() . '; SHOW transaction_isolation') =~ s/\|.*\n/ /r, 'ok serializable', 'serializable by default does no harm');

$sim->reset_stats;
is(try_sql('BEGIN ISOLATION LEVEL REPEATABLE READ; ' . call()), '0A000', 'F45: an old snapshot is refused');
is(try_sql('BEGIN READ ONLY; ' . call()), '25006', 'so is a read-only transaction');
is(try_sql("CALL neon_auth.refresh_users_sync('clerk', mode => 'fast')"), '22023', 'and an unknown mode');
is(try_sql('CALL neon_auth.refresh_users_sync(NULL)'), '22023', 'and no server');
is(try_sql("CALL neon_auth.refresh_users_sync('nobody')"), '42704', 'and an unknown server');
is($sim->stats->{list}, 0, 'all before any request');
is(try_sql('BEGIN; ' . call('app.atomic') . "; SELECT count(*) FROM app.atomic; ROLLBACK; SELECT count(*) FROM neon_auth.sync_run, to_regclass('app.atomic') r WHERE target = r OR status = 'running'") =~ s/^ok.*\n//r,
	"251\n0", 'a rollback leaves neither rows nor a run');
is(try_sql('BEGIN; ' . call('app.atomic') . '; COMMIT; SELECT count(*) FROM app.atomic') =~ s/^ok.*\n//r, 251, 'a commit keeps them');
is(last_run('status', 'app.atomic'), 'ok', 'and the run');
is(try_sql('BEGIN; ' . call('app.atomic') . "; PREPARE TRANSACTION 'p'"), '0A000', 'F45: PREPARE TRANSACTION is refused');
$sim->fault({ match => 'list', after => 1, status => 500 });
is(try_sql('BEGIN; DO $d$ BEGIN EXECUTE $c$' . call('app.atomic') . '$c$; EXCEPTION WHEN fdw_error OR fdw_unable_to_create_execution THEN NULL; END $d$; SELECT 1; COMMIT; ' . call('app.atomic')) =~ s/ok.*/ok/r,
	"1\nok", 'F45: a failure in a subtransaction can be caught, and nothing stays locked');

# ---- One target, one directory

$other->reset_stats;
is(try_sql("CALL neon_auth.refresh_users_sync('other')"), '55000', 'another server is refused');
like($stderr, qr/HINT:.*target => 'schema\.name'/, 'with the way out');
is($other->stats->{list}, 0, 'before any request');
sql("ALTER SERVER clerk OPTIONS (SET url '" . $other->url . "')");
is(refresh(), '55000', 'another URL is refused');
is($other->stats->{list} + $other->stats->{get}, 0, 'before any request');
sql("ALTER SERVER clerk OPTIONS (SET url '" . $sim->url . "')");
is(sql("CALL neon_auth.refresh_users_sync('other', target => 'other.users_sync')") =~ s/\|0.*//r, 'ok|5', 'another target takes it');

# a run that failed has made the target its server's as well
$sim->fault({ match => 'list', after => 1, status => 500 });
is(refresh('app.half'), 'HV00L', 'a first run fails in the middle');
is(sql('SELECT count(*) FROM app.half'), 100, 'what it wrote stays');
sql('DELETE FROM app.half WHERE id NOT IN (SELECT id FROM app.half LIMIT 5)');
is(try_sql("CALL neon_auth.refresh_users_sync('other', target => 'app.half')"), '55000', 'and belongs to its server already');
is(sql('SELECT count(*) FROM app.half WHERE deleted_at IS NOT NULL'), 0, 'so nobody is marked as deleted');
is(sql("SELECT last_status, last_success_at IS NULL, last_error_sqlstate FROM neon_auth.sync_status WHERE target = 'app.half'::regclass"), 'failed|t|HV00L', 'sync_status tells of it');
is(refresh('app.half'), 'ok 246/0/5/0/0/0', 'the next run completes it');

# a restarted simulator takes another key, and with another seed is another directory
my $directory = start_sim(users => 30, key => 'sk_first');
my $key = sub { sql("ALTER USER MAPPING FOR CURRENT_USER SERVER key OPTIONS (SET api_key '$_[0]')") };
my $key_call = "CALL neon_auth.refresh_users_sync('key', target => 'key.users_sync')";
allow_urls($node, map { $_->url } $sim, $other, $directory);
add_server($node, $directory, name => 'key', schema => 'key');
is(sql($key_call) =~ s/\|0.*//r, 'ok|30', 'a directory of its own');
$directory->stop;
$directory = start_sim(users => 30, key => 'sk_rotated', port => $directory->port);
is(try_sql($key_call), '28000', 'a key that is no longer accepted fails');
$key->('sk_rotated');
like(sql($key_call), qr/^ok\|0\|0\|30\|0\|/, 'a rotated key that knows our users is accepted');
$directory->stop;
$directory = start_sim(users => 30, key => 'sk_wrong', seed => 9, port => $directory->port);
$key->('sk_wrong');
$heap = heap('key.users_sync');
is(try_sql($key_call), '55000', 'a key of another directory is refused');
like($stderr, qr/knows none of the users in key\.users_sync/, 'with the reason');
is($directory->stats->{list}, 0, 'its users are not even listed');
is(heap('key.users_sync'), $heap, 'and nothing changes');
is(last_run('status', 'key.users_sync'), 'failed', 'the log has it');

# ---- Shapes of targets

sub shape
{
	my ($name, $target, $ddl, $check, $expected) = @_;

	sql($ddl);
	is(refresh($target), 'ok 251/0/0/0/0/0', "$name: is filled");
	is(refresh($target), 'ok 0/0/251/0/0/0', "$name: unchanged users are not written");
	is(sql($check), $expected, "$name: holds what it should") if $check;
	return;
}

my $rest = 'name text, email text, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz';
shape("Neon's generated columns", 'app.neon', neon_table('app.neon'),
	"SELECT count(*) FROM app.neon n JOIN app.users u USING (id, created_at, updated_at) WHERE (n.name, n.email) IS NOT DISTINCT FROM (u.name, u.email)", 251);
shape('extra columns and another order', 'app.extra', "CREATE TABLE app.extra (note text DEFAULT 'mine', deleted_at timestamptz, updated_at timestamptz,
	created_at timestamptz, email text, name text, seen int, id text PRIMARY KEY, raw_json jsonb)",
	"SELECT count(*) FROM app.extra WHERE note = 'mine'", 251);
is(difference('app.extra'), 0, 'extra columns and another order: equals the directory');
shape('a unique index and odd names', 'app."O\'Neil ""x"""', "CREATE TABLE app.\"O'Neil \"\"x\"\"\" (raw_json jsonb, id text, $rest);
	CREATE UNIQUE INDEX ON app.\"O'Neil \"\"x\"\"\" (id)");
shape('partitions', 'app.parts', "CREATE TABLE app.parts (raw_json jsonb, id text PRIMARY KEY, $rest) PARTITION BY HASH (id);
	CREATE TABLE app.part0 PARTITION OF app.parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE app.part1 PARTITION OF app.parts FOR VALUES WITH (MODULUS 2, REMAINDER 1)", 'SELECT count(*) > 50 FROM app.part1', 't');
shape('forced row security', 'app.rls', "SELECT neon_auth.create_users_sync('app.rls'); ALTER TABLE app.rls ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	CREATE POLICY all_rows ON app.rls USING (true)", 'SELECT count(*) FROM app.rls', 251);
shape('a foreign key from posts', 'app.fk', "SELECT neon_auth.create_users_sync('app.fk');
	CREATE TABLE app.posts (author text REFERENCES app.fk ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)");
sql("INSERT INTO app.posts VALUES ('$new->{id}')");
$sim->update($new->{id}, { name => 'Author' });
is(refresh('app.fk'), 'ok 0/1/250/0/0/0', 'a foreign key: the user referred to changes');

# the hint of the approval has to quote what needs it
$sim->fault({ match => 'list', empty => $true });
is(refresh('app."O\'Neil ""x"""'), 'held 0/0/0/0/251/0', 'odd names: deletions are held');
my ($hint) = $stderr =~ /(CALL neon_auth\..*\));$/m;
is(try_sql($hint) =~ s/\|.*//r, 'ok', 'odd names: the statement in the hint can be run');

# rows and types that are not ours must not crash the server
shape('nulls in a unique index', 'app.nulls', "CREATE TABLE app.nulls (raw_json jsonb, id text UNIQUE, $rest); INSERT INTO app.nulls DEFAULT VALUES",
	'SELECT count(*) FROM app.nulls', 252);
# nobody of this directory is written, so that the next step is to look who is missing
my $retyped = "CALL neon_auth.refresh_users_sync('other', target => 'other.retyped')";
sql($retyped);
$other->remove('index/3');
$other->reset_stats;
$other->fault({ match => 'list', hang => $true });
my $session = begin('application_name=retyped', $retyped);
wait_until('the request hangs', sub { $other->stats->{faults} });
sql('ALTER TABLE other.retyped ALTER id TYPE bigint USING hashtext(id)');
$other->clear_faults;
$other->stats;    # the simulator closes what hung with its next call
unlike(finish($session)->{err}, qr/connection/, 'a type that changes during a run does not crash the server');
wait_until('the server is there', sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 });
is(sql('SELECT count(*) FROM other.retyped WHERE deleted_at IS NOT NULL'), 0, 'and nobody is marked');

# ---- As whom it writes

sql("CREATE ROLE owner LOGIN; CREATE ROLE stranger LOGIN; CREATE SCHEMA owned AUTHORIZATION owner; GRANT USAGE ON FOREIGN SERVER clerk TO owner;
	CREATE USER MAPPING FOR owner SERVER clerk OPTIONS (api_key 'sk_test_x'); GRANT CREATE, USAGE ON SCHEMA app TO owner");
my $as_owner = "SET SESSION AUTHORIZATION owner; ";
like(try_sql($as_owner . call('owned.users')), qr/^ok\|251/, 'a role without privileges has a target of its own');
is(try_sql($as_owner . call('app.fk')), '42501', "but may not write another's");
is(sql("SET SESSION AUTHORIZATION owner; SELECT string_agg(DISTINCT target::text, ',') FROM neon_auth.sync_run"), 'owned.users', 'an owner sees the runs of his targets only');
is(sql('SET SESSION AUTHORIZATION owner; SELECT string_agg(target::text, $$,$$) FROM neon_auth.sync_status'), 'owned.users', 'and their state');
is(sql("SET SESSION AUTHORIZATION stranger; SELECT (SELECT count(*) FROM neon_auth.sync_run) + (SELECT count(*) FROM neon_auth.sync_state)"), 0, 'a stranger sees nothing');
is(try_sql($as_owner . "DELETE FROM neon_auth.sync_state"), '42501', 'nobody else writes the state');

# a trigger of the owner's while a superuser refreshes; AFTER runs first, then INIT is deferred
sub owners_trigger
{
	my ($body, $kind) = @_;

	sql("$as_owner CREATE OR REPLACE FUNCTION owned.f() RETURNS trigger LANGUAGE plpgsql AS \$t\$ BEGIN $body RETURN NULL; END \$t\$;
		DROP TRIGGER IF EXISTS t ON owned.users; " . sprintf($kind // 'CREATE TRIGGER t AFTER UPDATE ON owned.users%s', ' FOR EACH ROW EXECUTE FUNCTION owned.f()'));
	$sim->update($new->{id}, { name => 'Change ' . rand() });
	return refresh('owned.users');
}

sql('SET SESSION AUTHORIZATION owner; CREATE TABLE owned.who (name text, path text)');
is(owners_trigger('INSERT INTO owned.who VALUES (current_user, current_setting($$search_path$$));'), 'ok 0/1/250/0/0/0', "the owner's trigger fires");
is(sql('SELECT * FROM owned.who'), 'owner|pg_catalog, pg_temp', 'as the owner, with a search_path of ours');
is(owners_trigger('SET ROLE ' . sql('SELECT current_user') . ';'), '42501', 'it cannot become the caller');
is(owners_trigger('RESET SESSION AUTHORIZATION;'), '42501', 'by no way');
is(owners_trigger('ALTER ROLE owner SUPERUSER;'), '42501', 'nor use his rights');
is(owners_trigger('ALTER ROLE owner SUPERUSER;', 'CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON owned.users DEFERRABLE INITIALLY DEFERRED%s'), '42501', 'not even at commit');
is(sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'owner'"), 'f', 'the owner has gained nothing');
owners_trigger('PERFORM set_config($$session_replication_role$$, $$replica$$, false);');
is(owners_trigger('PERFORM set_config($$work_mem$$, $$77MB$$, false);'), 'ok 0/1/250/0/0/0', 'a trigger may set what it wants');
isnt((split /\n/, try_sql(call('owned.users') . '; SHOW work_mem'))[-1], '77MB', 'but not for the caller');
is(owners_trigger('EXECUTE $c$' . call('owned.users') . '$c$;'), '55006', 'a refresh cannot be called within one');
like(last_run("concat_ws(' ', status, sqlstate, error)", 'owned.users'), qr/^failed 55006 cannot refresh within a refresh/, 'a failed run is logged with its error');
sql('DROP TRIGGER t ON owned.users');

# ---- A trigger or a value that fails

sub breaking
{
	my ($target, $raise) = @_;

	sql("SELECT neon_auth.create_users_sync('$target'); CREATE SEQUENCE $target\_seq; CREATE OR REPLACE FUNCTION $target\_f() RETURNS trigger LANGUAGE plpgsql
		AS \$t\$ BEGIN IF NEW.id = '" . $sim->user('index/105')->{id} . "' THEN $raise END IF; RETURN NEW; END \$t\$;
		CREATE TRIGGER t BEFORE INSERT ON $target FOR EACH ROW EXECUTE FUNCTION $target\_f()");
	return refresh($target);
}

is(breaking('app.raises', "RAISE EXCEPTION 'no such user wanted';"), 'P0001', 'a trigger that raises fails the run');
is(sql('SELECT count(*) FROM app.raises'), 100, 'the page before it stays');
is(last_run("concat_ws(' ', status, sqlstate, error, inserted, finished_at IS NOT NULL)", 'app.raises'), 'failed P0001 could not write user "' . $sim->user('index/105')->{id} . '" to table app.raises: no such user wanted 100 t', 'the log has the error');
is(sql("SELECT count(*) FROM neon_auth.quarantined_user WHERE target = 'app.raises'::regclass"), 0, 'and nobody is left out');
sql('DROP TRIGGER t ON app.raises');
is(refresh('app.raises'), 'ok 151/0/100/0/0/0', 'healed, the others are written');
is(breaking('app.value', "RAISE EXCEPTION USING ERRCODE = '22003';"), 'ok 250/0/0/0/0/1', 'a value the target cannot hold leaves one user out');
is(sql("SELECT count(*) FROM neon_auth.quarantined_user WHERE target = 'app.value'::regclass AND id = '" . $sim->user('index/105')->{id} . "' AND reason ~ 'SQLSTATE 22003'"), 1, 'who is listed with the reason');
sql('DROP TRIGGER t ON app.value');
is(refresh('app.value'), 'ok 1/0/250/0/0/0', 'healed, the user is written');
is(sql("SELECT count(*) FROM neon_auth.quarantined_user WHERE target = 'app.value'::regclass"), 0, 'and leaves the list');
is(breaking('app.deadlock', "IF nextval('app.deadlock_seq') <= 3 THEN RAISE EXCEPTION USING ERRCODE = '40P01'; END IF;"), 'ok 251/0/0/0/0/0', 'a deadlock is tried again');
is(breaking('app.deadlocks', "RAISE EXCEPTION USING ERRCODE = '40P01';"), '40P01', 'deadlocks without end fail the run');
is(last_run('status', 'app.deadlocks') . sql('SELECT count(*) FROM app.deadlocks'), 'failed100', 'and no page is passed over');

# ---- Users that PostgreSQL cannot hold

my %hostile = (
	nul => '{"id":"user_nul","first_name":"a\u0000b","created_at":1767225600001,"updated_at":1767225600001}',
	surrogate => '{"id":"user_surrogate","first_name":"\ud800","created_at":1767225600001,"updated_at":1767225600001}',
	bytes => qq({"id":"user_bytes","first_name":"\xff\xfe","created_at":1767225600001,"updated_at":1767225600001}),
	deep => '{"id":"user_deep","a":' . '[' x 3000 . ']' x 3000 . ',"created_at":1767225600001,"updated_at":1767225600001}',
	number => '{"id":"user_number","a":1e400000000,"created_at":1767225600001,"updated_at":1767225600001}',
	time => '{"id":"user_time","created_at":1767225600001,"updated_at":"yesterday"}',
	name => '{"id":"user_name","first_name":"' . 'x' x 5000 . '","created_at":1767225600001,"updated_at":1767225600001}');
my $healthy = $sim->create({ id => 'user_healthy', name => 'Still Healthy' });
is(refresh(), 'ok 1/1/250/0/0/0', 'before any hostile user');
$sim->create_raw($hostile{$_}, id => "user_$_") for sort keys %hostile;
$sim->control('POST', 'users/user_healthy/update?raw=1&updated_at=' . (time() + 100) * 1000, $hostile{time} =~ s/user_time/user_healthy/r);
is(refresh(), 'ok 0/0/251/0/0/8', 'hostile users are left out, all others are not');
is(last_run('requests', $users_sync), 3, 'nobody is asked whether they are gone');
is(sql("SELECT string_agg(id, ' ' ORDER BY id) FROM neon_auth.quarantined_user WHERE reason <> ''"),
	'user_bytes user_deep user_healthy user_name user_nul user_number user_surrogate user_time', 'and listed with a reason');
is(sql("SELECT name, deleted_at IS NULL FROM $users_sync WHERE id = 'user_healthy'"), 'Still Healthy|t', 'a row that one had stays as it was');
is(sql("SELECT quarantined FROM neon_auth.sync_status WHERE target = '$users_sync'::regclass"), 8, 'sync_status counts them');
$sim->control('POST', 'users/user_healthy/update?raw=1&updated_at=' . (time() + 200) * 1000, '{"id":"user_healthy","first_name":"Healed","created_at":1767225600001,"updated_at":' . (time() + 200) * 1000 . '}');
is(refresh(), 'ok 0/1/251/0/0/7', 'who is healed is written');
is(sql("SELECT count(*) FROM neon_auth.quarantined_user WHERE target = '$users_sync'::regclass"), 7, 'and leaves the list');
$sim->remove("user_$_") for keys %hostile;
$sim->remove('user_healthy');
is(refresh(), 'ok 0/0/251/1/0/0', 'all of them gone');

# ---- Failures in the middle

refresh('app.middle');
sql('DELETE FROM app.middle');
my $middle_state = "SELECT to_jsonb(s) - 'unproved', unproved FROM neon_auth.sync_state s WHERE target = 'app.middle'::regclass";
$state = sql($middle_state);
$sim->fault({ match => 'list', after => 2, status => 500, times => -1 });
is(refresh('app.middle'), 'HV00L', 'the third page fails');
is(sql('SELECT count(*), count(deleted_at) FROM app.middle'), '200|0', 'the pages before it are written, nobody is marked');
is(sql($middle_state), $state =~ s/\|f$/|t/r, 'watermark and last success stay, but the numbers of users are in doubt');
is(last_run("concat_ws(' ', status, pages, inserted, sqlstate)", 'app.middle'), 'failed 2 200 HV00L', 'the log says how far it came');
$sim->clear_faults;
is(refresh('app.middle', "mode => 'auto'"), 'ok 51/0/200/0/0/0', 'the next run repairs, although nothing has changed at the provider');
is(last_run("concat_ws(': ', mode, reason)", 'app.middle'), 'full: the last refresh could not prove who is missing', 'for it is full');
is(sql($middle_state) =~ s/.*\|//r, 'f', 'and ends the doubt');

# ---- When it waits for the disk

# How often that was waited for, by whomever.
sub syncs
{
	return sql($node->pg_version >= 18 ? q(SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal') : 'SELECT wal_sync FROM pg_stat_wal');
}

sql($_) for "ALTER SYSTEM SET wal_writer_flush_after = '1GB'", "ALTER SYSTEM SET wal_writer_delay = '10s'", 'ALTER SYSTEM SET fsync = on';
sql("SELECT pg_reload_conf(); ALTER SERVER clerk OPTIONS (SET page_size '5')");
wait_until('the settings are in effect', sub { sql('SHOW fsync') eq 'on' });
my $synced = syncs();
is(refresh('app.pages'), 'ok 251/0/0/0/0/0', 'a run of fifty pages');
cmp_ok(syncs() - $synced, '<', 25, 'does not wait for the disk after each');
sql("ALTER SERVER clerk OPTIONS (SET page_size '100')");
sql($_) for 'ALTER SYSTEM RESET ALL', 'SELECT pg_reload_conf()';

# ---- What others see, and how it ends

sub unlocked
{
	return sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") eq '0';
}

$session = begin_hanging('owned.users', 2, 'user=owner');
is(activity('backend_xid IS NULL AND backend_xmin IS NULL'), 't', 'no snapshot is held while the network is waited for');
is(activity('state'), 'active', 'by a session that works');
my $progress = "SELECT concat_ws(' ', target, phase, users, coalesce(total, -1), pages, requests, elapsed > '0') FROM neon_auth.sync_progress";
is(sql($progress), 'owned.users listing 200 251 2 3 t', 'sync_progress shows it, with the request for the third page');
is(sql("SET SESSION AUTHORIZATION owner; $progress"), 'owned.users listing 200 251 2 3 t', 'to its owner too');
is(sql("SET SESSION AUTHORIZATION stranger; $progress"), '', 'to nobody else');
is(last_run('status', 'owned.users'), 'running', 'the log says that it runs');
is((split / /, refresh('owned.users'))[0], 'busy', 'F44: a second run is told so at once');
is((split / /, refresh('app.middle'))[0], 'ok', 'another target is free');
is(sql('SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = $$hanging$$'), 't', 'a cancel');
like(finish($session)->{err}, qr/canceling statement due to user request/, 'ends it');
is(last_run("status || ' ' || sqlstate", 'owned.users'), 'failed 57014', 'as the log says');
ok(unlocked(), 'its lock is released');
is(sql($progress), '', 'and its progress forgotten');
$sim->clear_faults;

$session = begin_hanging('app.middle', 1);
sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $$hanging$$');
like(finish($session)->{err}, qr/terminating connection/, 'a terminated session');
wait_until('the lock is released', \&unlocked);
$sim->clear_faults;
is(refresh('app.middle'), 'ok 0/0/251/0/0/0', 'is no obstacle');
is(sql("SELECT status FROM neon_auth.sync_run WHERE target = 'app.middle'::regclass ORDER BY run_id DESC OFFSET 1 LIMIT 1"), 'crashed', 'the next run says what became of it');

sql('DELETE FROM app.middle');
$session = begin_hanging('app.middle', 1);
my $pid = activity('pid');
wait_until('the log is on disk', sub { sql('SELECT pg_current_wal_flush_lsn() = pg_current_wal_insert_lsn()') eq 't' });
kill('KILL', $pid);
finish($session);
$sim->clear_faults;
wait_until('the server has recovered', sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 });
is(sql('SELECT count(*) FROM app.middle'), 100, 'a page that was written survives a crash');
is(refresh('app.middle'), 'ok 151/0/100/0/0/0', 'the next run completes it');
is(sql("SELECT status FROM neon_auth.sync_run WHERE target = 'app.middle'::regclass ORDER BY run_id DESC OFFSET 1 LIMIT 1"), 'crashed', 'and logs the crash');
is(difference('app.middle'), 0, 'the target equals the directory');

done_testing();
