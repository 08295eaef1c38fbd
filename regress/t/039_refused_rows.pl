# Rows that the target refuses, and what happens to it meanwhile: a run that may not
# write a user says which one and why, takes its batch back, and moves nothing else;
# once mended, the next run makes the target equal.  While a run waits for the
# provider, in each of its phases, others do with the table what they want, end the
# run, or drop everything below it.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Hanging;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $days = 24 * 60 * 60;
my $sim = start_sim(users => 60, clock => (time() - 30 * $days) * 1000);
my $large = start_sim(users => 400, seed => 2, clock => (time() - 30 * $days) * 1000);
my $node = new_node('refused', urls => [ $sim->url, $large->url ]);
my $session = new_session($node);

add_server($node, $sim, options => ", page_size '10'");
add_server($node, $large, name => 'large', schema => 'large', options => ", page_size '10'");

# ---- Helpers

sub ask
{
	return $session->ask($_[0]) // die "the server ended the session: $_[0]";
}

# Statements that must not fail.
sub sql
{
	my $text = ask($_[0]);

	die "$_[0]: $text" if $text =~ /ERROR:  /;
	return $text;
}

sub call
{
	my ($server, $mode, $target) = @_;

	return "CALL neon_auth.refresh_users_sync('$server', mode => '$mode', target => '$target')";
}

# How a run ended: its status, or the SQLSTATE.
sub outcome
{
	my ($text) = @_;

	return $text =~ /ERROR:  (\w{5}):/ ? $1 : $text =~ /^(ok|held|busy|dry run)\|/m ? $1 : $text;
}

# How many rows differ between the live part of a target and the directory.
sub difference
{
	my ($target, $schema) = @_;
	my $columns = 'id, name, email, raw_json, created_at, updated_at';
	my ($here, $there) = ("SELECT $columns FROM $target WHERE deleted_at IS NULL", "SELECT $columns FROM $schema.users");

	return sql("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

sub tombstones
{
	return sql("SELECT coalesce(string_agg(id, ' ' ORDER BY id), '') FROM $_[0] WHERE deleted_at IS NOT NULL");
}

sub last_run
{
	my ($columns, $target) = @_;

	return sql("SELECT concat_ws(' ', $columns) FROM neon_auth.sync_run r WHERE target = '$target'::regclass ORDER BY run_id DESC LIMIT 1");
}

# How far the target was read, by its state.
sub progress
{
	return sql("SELECT concat_ws(' ', watermark, last_success_at, last_full_at) FROM neon_auth.sync_state WHERE target = '$_[0]'::regclass");
}

# ---- Users that the target refuses (F59)

# Who is refused is told by the username, which is not personal here; e-mail and
# name must never be seen.  All targets belong to a role without privileges, for
# a superuser meets no policy.
my %canary = (name => 'Canary Surname', email => 'canary@example.com');
my $refused = q((raw_json ->> 'username') IS NOT DISTINCT FROM 'refused');
my $between = $sim->user('index/24')->{created_at} + 1;

$sim->update('index/3', { email => $canary{email} });
sql(qq(CREATE ROLE owner; GRANT USAGE ON SCHEMA app TO owner;
	CREATE TABLE app.kind (kind int PRIMARY KEY); INSERT INTO app.kind VALUES (1); GRANT ALL ON app.kind TO owner;
	CREATE TABLE app.mail (email text PRIMARY KEY); INSERT INTO app.mail VALUES (reverse('moc.elpmaxe\@yranac')); GRANT ALL ON app.mail TO owner;
	CREATE FUNCTION app.copy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF new.raw_json ->> \$\$username\$\$ = \$\$refused\$\$ THEN
		EXECUTE format(\$\$INSERT INTO app.mail VALUES (%L)\$\$, new.email); END IF; RETURN new; END';
	CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF new.raw_json ->> \$\$username\$\$ = \$\$refused\$\$ THEN
		RAISE EXCEPTION USING MESSAGE = \$\$not this one\$\$, DETAIL = new.email; END IF; RETURN new; END'));

# What refuses: SQL, the SQLSTATE, its message, what the hint names, and how it is
# mended.
my %refusals = (
	'a CHECK constraint' => [
		"ALTER TABLE T ADD CONSTRAINT usual CHECK (NOT ($refused))", '23514',
		'violates check constraint "usual"', 'constraint "usual"', 'ALTER TABLE T DROP CONSTRAINT usual' ],
	'a NOT NULL column' => [
		"ALTER TABLE T ADD org int NOT NULL GENERATED ALWAYS AS (CASE WHEN NOT ($refused) THEN 1 END) STORED", '23502',
		'null value in column "org"', 'column "org"', 'ALTER TABLE T ALTER org DROP NOT NULL' ],
	'a unique e-mail' => [
		'ALTER TABLE T ADD CONSTRAINT one_email UNIQUE (email)', '23505',
		'violates unique constraint "one_email"', 'constraint "one_email"', 'ALTER TABLE T DROP CONSTRAINT one_email' ],
	'a foreign key' => [
		"ALTER TABLE T ADD kind int GENERATED ALWAYS AS (CASE WHEN $refused THEN 2 ELSE 1 END) STORED;
			ALTER TABLE T ADD CONSTRAINT known_kind FOREIGN KEY (kind) REFERENCES app.kind", '23503',
		'violates foreign key constraint "known_kind"', 'constraint "known_kind"', 'ALTER TABLE T DROP CONSTRAINT known_kind' ],
	'a deferred foreign key' => [
		"ALTER TABLE T ADD kind int GENERATED ALWAYS AS (CASE WHEN $refused THEN 2 ELSE 1 END) STORED;
			ALTER TABLE T ADD CONSTRAINT late_kind FOREIGN KEY (kind) REFERENCES app.kind DEFERRABLE INITIALLY DEFERRED", '23503',
		'violates foreign key constraint "late_kind"', 'constraint "late_kind"', 'ALTER TABLE T DROP CONSTRAINT late_kind' ],
	'a policy' => [
		"ALTER TABLE T ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY usual ON T USING (true) WITH CHECK (NOT ($refused))", '42501',
		'violates row-level security policy', 'policy', 'DROP POLICY usual ON T; CREATE POLICY every ON T USING (true)' ],
	'a BEFORE trigger' => [
		'CREATE TRIGGER usual BEFORE INSERT OR UPDATE ON T FOR EACH ROW EXECUTE FUNCTION app.refuse()', 'P0001',
		'not this one', 'trigger', 'DROP TRIGGER usual ON T' ],
	'a statement of a trigger' => [
		'CREATE TRIGGER usual AFTER INSERT OR UPDATE ON T FOR EACH ROW EXECUTE FUNCTION app.copy()', '23505',
		'violates unique constraint "mail_pkey"', 'constraint "mail_pkey"', 'DROP TRIGGER usual ON T' ],
	'an AFTER trigger' => [
		'CREATE TRIGGER usual AFTER INSERT OR UPDATE ON T FOR EACH ROW EXECUTE FUNCTION app.refuse()', 'P0001',
		'not this one', 'trigger', 'DROP TRIGGER usual ON T' ]);

my $targets = 0;

# A target that equals the directory and refuses what is to come.  Then one user is
# gone, and of the changes those of index/17 come a batch before those of
# "user_refused" and index/22, by time of creation and by time of change.  Returns
# the target.
sub set_up
{
	my ($what, $how) = @_;
	my $target = 'app.t' . ++$targets;
	my $gone = "user_gone$targets";

	eval { $sim->remove('user_refused') };
	$sim->create({ id => $gone });
	$sim->create({ id => 'user_refused', name => 'Usual', created_at => $between }) if $how eq 'changed';
	sql("SELECT neon_auth.create_users_sync('$target'); ALTER TABLE $target OWNER TO owner;" . call('clerk', 'full', $target));
	sql($refusals{$what}[0] =~ s/\bT\b/$target/gr);

	$sim->remove($gone);
	$sim->update('index/22', { name => "Beside $target" });
	my %change = (%canary, username => 'refused', updated_at => $sim->user('index/22')->{updated_at} + 1);
	$how eq 'changed' ? $sim->update('user_refused', \%change) : $sim->create({ %change, id => 'user_refused', created_at => $between });
	$sim->update("index/$_", { name => "Before $target" }) for 5 .. 17;
	return $target;
}

sub name_of
{
	my ($target, $index) = @_;

	return sql("SELECT name FROM $target WHERE id = '" . $sim->user("index/$index")->{id} . "'");
}

for my $what (sort keys %refusals)
{
	my (undef, $sqlstate, $message, $hint, $mend) = @{ $refusals{$what} };

	for my $case ([ 'full', 'new' ], [ 'incremental', 'new' ], [ 'incremental', 'changed' ])
	{
		my ($mode, $how) = @$case;
		my $name = "$what, $mode, a $how user";
		my $target = set_up($what, $how);
		my $progress = progress($target);
		my $text = ask(call('clerk', $mode, $target));

		like($text, qr/ERROR:  $sqlstate: could not write user "user_refused" to table $target: .*\Q$message\E/, "$name: the error names the user and what was wrong");
		like($text, qr/^HINT:  .*\Q$hint\E/m, "$name: the hint names what refuses");
		unlike($text, qr/canary|DETAIL/i, "$name: nothing personal is said");
		is(name_of($target, 17), "Before $target", "$name: the batch before stays");
		isnt(name_of($target, 22), "Beside $target", "$name: the batch of the user is taken back whole");
		is(tombstones($target), '', "$name: nobody is marked as deleted");
		is(progress($target), $progress, "$name: watermark and last success stay");
		is(last_run('mode, status, sqlstate', $target), "$mode failed $sqlstate", "$name: the log has it");
		unlike(last_run('r', $target) . sql('SELECT * FROM neon_auth.sync_status'), qr/canary/i, "$name: without anything personal");
		sql($mend =~ s/\bT\b/$target/gr);
		is(outcome(ask(call('clerk', 'auto', $target))), 'ok', "$name: once mended, the next run succeeds");
		is(difference($target, 'app'), 0, "$name: and makes the target equal to the directory");
		is(tombstones($target), "user_gone$targets", "$name: only who is gone is marked");
	}
}

# A trigger that sets the time of change itself, and one that keeps users out.
{
	my $target = set_up('a BEFORE trigger', 'new');

	sql("DROP TRIGGER usual ON $target; CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.updated_at := now(); RETURN new; END';
		CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON $target FOR EACH ROW EXECUTE FUNCTION app.touch()");
	like(ask(call('clerk', 'auto', $target)), qr/ERROR:  27000: could not write user ".*" to table $target: a trigger of the table has changed column "updated_at"\nHINT:  .*another column/,
		'a trigger that sets updated_at is refused, for it would keep changes away');
	sql("DROP TRIGGER touch ON $target; CREATE FUNCTION app.filter() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN new.raw_json ->> \$\$username\$\$ = \$\$refused\$\$ THEN NULL ELSE new END; END';
		CREATE TRIGGER filter BEFORE INSERT OR UPDATE ON $target FOR EACH ROW EXECUTE FUNCTION app.filter()");
	is(outcome(ask(call('clerk', 'auto', $target))), 'ok', 'a trigger that keeps a user out');
	is(sql("SELECT id || ': ' || reason FROM neon_auth.quarantined_user WHERE target = '$target'::regclass"), 'user_refused: a trigger of the table keeps it out', 'leaves it in the list of those left out');
	ask(call('clerk', 'auto', $target));
	is(last_run('mode, status', $target), 'incremental ok', 'and is no reason to list all users again');
	sql("DROP TRIGGER filter ON $target");
	is(outcome(ask(call('clerk', 'full', $target))), 'ok', 'without the trigger');
	is(difference($target, 'app'), 0, 'the target equals the directory');
}

for my $mode ('full', 'incremental')
{
	my $target = set_up('a CHECK constraint', 'new');
	my $before = sql("SELECT * FROM $target ORDER BY id") . sql('SELECT * FROM neon_auth.sync_run ORDER BY run_id') . progress($target);

	like(ask('BEGIN; ' . call('clerk', $mode, $target) . '; COMMIT'), qr/ERROR:  23514: could not write user "user_refused"/, "in a transaction, $mode: the run fails");
	is(sql("SELECT * FROM $target ORDER BY id") . sql('SELECT * FROM neon_auth.sync_run ORDER BY run_id') . progress($target),
		$before, "in a transaction, $mode: and nothing of it is left");
}
unlike(slurp_file($node->logfile), qr/canary/i, "the server's log has nothing personal either");

# ---- Where a run waits

# Name, mode, the request that hangs, and the phase.  With more than one page of
# changes and one deletion, an incremental run has two lists, two counts, counts
# that halve, the list of a window, and gets.
my @waits = (
	[ 'listing', 'full', { match => 'list', after => 20 }, 'listing' ],
	[ 'counting after a listing', 'full', { match => 'count' }, 'confirming deletions' ],
	[ 'confirming after a listing', 'full', { match => 'get', after => 1 }, 'confirming deletions' ],
	[ 'reading changes', 'incremental', { match => 'list' }, 'reading changes' ],
	[ 'reading further changes', 'incremental', { match => 'list', after => 1 }, 'reading changes' ],
	[ 'counting', 'incremental', { match => 'count' }, 'reading changes' ],
	[ 'counting once more', 'incremental', { match => 'count', after => 1 }, 'reading changes' ],
	[ 'halving', 'incremental', { match => 'count', after => 2 }, 'searching deletions' ],
	[ 'halving further', 'incremental', { match => 'count', after => 4 }, 'searching deletions' ],
	[ 'listing a window', 'incremental', { match => 'list', after => 2 }, 'searching deletions' ],
	[ 'confirming', 'incremental', { match => 'get', after => 1 }, 'confirming deletions' ]);

my @gone;

# An hour later, much has changed and somebody is gone.
sub change_directory
{
	my $later = $large->user('index/0')->{updated_at} + 60 * 60 * 1000;

	$large->update('index/0', { name => 'An hour later', updated_at => $later });
	$large->update("index/$_", { name => "Change $later" }) for 1 .. 12;
	push @gone, $large->user('index/' . (20 + 5 * @gone))->{id};
	$large->remove($gone[-1]);
	return;
}

my $held = 'large.users_sync';

# Whether it has come right: equal, and of all rows only those marked who are gone.
sub is_right
{
	my ($name) = @_;

	is(difference($held, 'large'), 0, "$name: the target equals the directory");
	is(tombstones($held), join(' ', sort @gone), "$name: only who is gone is marked");
	return;
}

$large->update('index/0', { name => 'Now' });
sql(call('large', 'full', $held));
sql("CREATE TABLE app.unrelated (); SET statement_timeout = '30s'");

# ---- What others do with the target meanwhile (F44)

for my $wait (@waits)
{
	my ($name, $mode, $fault, $phase) = @$wait;
	change_directory();
	my $run = hang_refresh($node, $large, $fault, call('large', $mode, $held));
	my $pid = $run->pid;
	my $number = @gone;

	is(sql("SELECT phase FROM neon_auth.sync_progress WHERE pid = $pid"), $phase, "$name: the run waits in its phase");
	is(sql("SELECT concat_ws(' ', state, backend_xid, backend_xmin) FROM pg_stat_activity WHERE pid = $pid"), 'active', "$name: without transaction id and snapshot");
	is(sql("SELECT string_agg(relation::regclass::text, ' ') FROM pg_locks WHERE pid = $pid AND locktype <> 'advisory' AND relation IS NOT NULL"), '', "$name: no table is locked");
	is(join(' ', map { ask($_) } "VACUUM FULL $held", "ALTER TABLE $held ADD COLUMN note$number text", "CREATE INDEX ON $held (name)", "ANALYZE $held",
			'TRUNCATE app.unrelated', "UPDATE $held SET note$number = 'ours' WHERE id = '" . $large->user('index/399')->{id} . "'") =~ s/ //gr,
		'', "$name: other sessions do what they want with the table");
	is(join(' ', map { outcome(ask(call('large', $_, $held))) } qw(auto incremental full)), 'busy busy busy', "$name: a second run is busy in each mode");
	is(outcome($run->release), 'ok', "$name: the run goes on to its end");
	is(last_run('mode, status, tombstoned', $held), "$mode ok 1", "$name: as what it was");
	is_right($name);
}

# ---- What ends the run meanwhile

my $locks = q(SELECT 'locks ' || count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory');

for my $wait (@waits)
{
	my ($name, $mode, $fault) = @$wait;

	for my $cause ('pg_cancel_backend', 'statement_timeout')
	{
		change_directory();
		my $progress = progress($held);
		my $run = hang_refresh($node, $large, $fault, call('large', $mode, $held), $locks,
			{ settings => $cause eq 'statement_timeout' ? 'statement_timeout=2s' : undef });
		sql('SELECT pg_cancel_backend(' . $run->pid . ')') if $cause eq 'pg_cancel_backend';
		my $text = $run->finish;

		is(outcome($text), '57014', "$name: $cause ends the run");
		like($text, qr/^locks 0$/m, "$name: $cause: its lock is released");
		is(last_run('mode, status, sqlstate', $held), "$mode failed 57014", "$name: $cause: the log has it");
		is(progress($held), $progress, "$name: $cause: watermark and last success stay");
		$large->clear_faults;
		is(outcome(ask(call('large', 'auto', $held))), 'ok', "$name: $cause: the next run succeeds");
		is_right("$name: $cause");
	}
}

# ---- What is dropped below it (F44)

my $started = sql('SELECT pg_postmaster_start_time()');
my $users_sync = 'neon_auth.users_sync';

sql('CREATE DATABASE ready');
$node->safe_psql('ready', 'CREATE EXTENSION neon_auth_fdw');
add_server($node, $large, name => 'large', schema => 'large', options => ", page_size '10'", database => 'ready');

# Drops something in a copy of database "ready" while a run waits there; returns
# what the run says then.
sub drop_below
{
	my ($wait, $drop, $database) = @_;
	my (undef, $mode, $fault) = @$wait;

	$node->safe_psql('ready', call('large', 'full', $users_sync));
	change_directory();
	sql("CREATE DATABASE $database TEMPLATE ready");
	my $run = hang_refresh($node, $large, $fault, call('large', $mode, $users_sync), 'SELECT pg_backend_pid()', { database => $database });
	$node->safe_psql($database, "SET client_min_messages = error; SET statement_timeout = '30s'; $drop");
	my $pid = $run->pid;
	my $text = $run->release;
	return $text =~ s/^$pid$/alive/mr;
}

my $copies = 0;
my $marked = "SELECT count(*) >= 400 - 50, count(deleted_at) FROM $users_sync";

for my $wait (@waits)
{
	my ($name) = @$wait;
	my $database = 'copy' . ++$copies;
	my $text = drop_below($wait, 'DROP EXTENSION neon_auth_fdw CASCADE', $database);

	like($text, qr/ERROR:  (42\w{3}):/, "$name: without the extension the run ends with an error");
	like($text, qr/^alive$/m, "$name: its session goes on");
	is($node->safe_psql($database, $marked), $node->safe_psql('ready', $marked), "$name: users_sync is still there, with nobody marked by the run");

	$database = 'copy' . ++$copies;
	$text = drop_below($wait, "DROP TABLE $users_sync", $database);
	like($text, qr/ERROR:  (42\w{3}|55000):/, "$name: without its table the run ends with an error");
	like($text, qr/^alive$/m, "$name: its session goes on");
	like($node->safe_psql($database, call('large', 'auto', $users_sync)), qr/^ok\|\d+\|0\|0\|0\|0\|0\|/, "$name: the next run makes another table and fills it");
}
is(sql('SELECT pg_postmaster_start_time()'), $started, 'no backend has crashed');

done_testing();
