
# Targets that their owners made odd, on purpose or not: none of them crashes the
# server, loses a change or marks a live user as deleted.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $sim = start_sim(users => 60);
my $node = new_node('main', urls => [ $sim->url ]);
my $rest = 'name text, email text, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz';
my $stderr;

add_server($node, $sim, options => ", page_size '10'");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Of a full listing: "status inserted/updated/unchanged/tombstoned/held/quarantined",
# or the SQLSTATE
sub refresh
{
	my ($target, %opts) = @_;
	my $server = $opts{server} // 'clerk';
	my $more = $opts{more} // '';

	$node->psql('postgres', "\\set VERBOSITY verbose\nCALL neon_auth.refresh_users_sync('$server', target => '$target', mode => 'full'$more)",
		stdout => \my $out, stderr => \$stderr);
	return $1 if $stderr =~ /ERROR:  (\w{5}):/;
	my ($status, @counts) = split /\|/, $out;
	return "$status " . join('/', @counts[ 0 .. 5 ]);
}

# How the last run of a target ended, by the log.
sub last_run
{
	my ($target) = @_;

	return sql("SELECT concat(status, ' ', sqlstate, ' ', inserted, ': ', error) FROM neon_auth.sync_run WHERE target = '$target'::regclass ORDER BY run_id DESC LIMIT 1");
}

sub alive { is(sql('SELECT 1'), '1', "$_[0]: the server is up"); return; }

# ---- Ids that vanish

sql("CREATE TABLE app.t (raw_json jsonb NOT NULL, id text UNIQUE, $rest);
	CREATE FUNCTION app.no_id() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.id := NULL; RETURN new; END';
	CREATE TRIGGER x BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION app.no_id()");
is(refresh('app.t'), '27000', 'a trigger that takes the id away fails the run');
alive('no id');

# ---- Shapes in which ids or times are not what they were

sql(q(CREATE COLLATION app.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)));
sql("CREATE TABLE app.ci (raw_json jsonb NOT NULL, id text COLLATE app.ci, $rest); CREATE UNIQUE INDEX ON app.ci (id COLLATE \"C\")");
is(refresh('app.ci'), '42809', 'a collation that takes two ids for one is refused');
sql('CREATE TABLE app.seconds (raw_json jsonb NOT NULL, id text PRIMARY KEY, ' . $rest =~ s/updated_at timestamptz/updated_at timestamptz(0)/r . ')');
is(refresh('app.seconds'), '42809', 'a time of change without fractions is refused');
sql("SELECT neon_auth.create_users_sync('app.parent'); CREATE TABLE app.child () INHERITS (app.parent)");
is(refresh('app.parent'), '42809', 'a table with child tables is refused');

# ---- Defaults and constraints of the owner

sql("SELECT neon_auth.create_users_sync('app.born_deleted'); ALTER TABLE app.born_deleted ALTER deleted_at SET DEFAULT now()");
is(refresh('app.born_deleted'), 'ok 60/0/0/0/0/0', 'a default of deleted_at');
is(sql('SELECT count(*) FROM app.born_deleted WHERE deleted_at IS NOT NULL'), '0', 'marks nobody as deleted');

sql("SELECT neon_auth.create_users_sync('app.needs_more'); ALTER TABLE app.needs_more ADD org text NOT NULL");
is(refresh('app.needs_more'), '23502', 'a column that must not be null fails the run');
like($stderr, qr/could not write user "user_\w+" to table app\.needs_more: null value in column "org"/, 'and says why');
unlike($stderr, qr/DETAIL/, 'without the row');
is(sql('SELECT count(*) FROM app.needs_more'), '0', 'nobody of the page is written');
is(sql(q(SELECT last_success_at IS NULL FROM neon_auth.sync_status WHERE target = 'app.needs_more'::regclass)), 't', 'which is no success');
is(last_run('app.needs_more') =~ s/user_\w+/ID/r, 'failed 23502 0: could not write user "ID" to table app.needs_more: null value in column "org" of relation "needs_more" violates not-null constraint',
	'the log has it');
sql("ALTER TABLE app.needs_more ALTER org SET DEFAULT 'ours'");
is(refresh('app.needs_more'), 'ok 60/0/0/0/0/0', 'mended, all are written');

sql("SELECT neon_auth.create_users_sync('app.no_value'); CREATE FUNCTION app.out_of_range() RETURNS trigger LANGUAGE plpgsql
	AS 'BEGIN RAISE EXCEPTION USING ERRCODE = \$\$22003\$\$; END'; CREATE TRIGGER x BEFORE INSERT ON app.no_value FOR EACH ROW EXECUTE FUNCTION app.out_of_range()");
is(refresh('app.no_value'), '55000', 'a table that can hold nobody fails the run');
like($stderr, qr/none of the users of server "clerk" can be stored.*SQLSTATE 22003/s, 'and says why');
is(sql(q(SELECT last_success_at IS NULL FROM neon_auth.sync_status WHERE target = 'app.no_value'::regclass)), 't', 'which is no success either');

sql("SELECT neon_auth.create_users_sync('app.one_out'); ALTER TABLE app.one_out ADD CHECK (email IS NOT NULL OR name IS NOT NULL)");
# created after 55 of the others, so that it comes on the sixth page of ten
my $created = $sim->user('index/54')->{created_at} + 1;
$sim->create_raw(qq({"id":"user_bare","updated_at":$created,"created_at":$created}), id => 'user_bare', created_at => $created, updated_at => $created);
is(refresh('app.one_out'), '23514', 'one user that a constraint refuses fails the run');
like($stderr, qr/could not write user "user_bare" to table app\.one_out: new row for relation "one_out" violates check constraint "one_out_check"/, 'and is named');
like($stderr, qr/^HINT: .*constraint "one_out_check"/m, 'with the constraint');
like($stderr, qr/^CONSTRAINT NAME:  one_out_check$/m, 'for programs too');
unlike($stderr, qr/DETAIL/, 'but not with the row');
is(last_run('app.one_out'), 'failed 23514 50: could not write user "user_bare" to table app.one_out: new row for relation "one_out" violates check constraint "one_out_check"',
	'the log has it');
is(sql(q(SELECT count(*) FROM neon_auth.quarantined_user WHERE target = 'app.one_out'::regclass)), '0', 'nobody is left out');
sql('ALTER TABLE app.one_out DROP CONSTRAINT one_out_check');
is(refresh('app.one_out'), 'ok 11/0/50/0/0/0', 'mended, the others are written');
is(sql(q(SELECT count(*) FROM app.one_out WHERE id = 'user_bare' AND deleted_at IS NULL)), '1', 'the refused one, too');
$sim->remove('user_bare');

# ---- Rows from elsewhere, and another key

sql("SELECT neon_auth.create_users_sync('app.seeded');
	INSERT INTO app.seeded (id, raw_json) VALUES ('seed-admin', '{}'), ('seed-bot', '{}'), ('seed-test', '{}'), ('count', '{}')");
is(refresh('app.seeded'), 'held 60/0/0/0/4/0', 'users that a table had before its first refresh are held, however few');
like($stderr, qr/the table had users before its first refresh/, 'with the reason');
sql(q(UPDATE neon_auth.held_deletion SET reason = 'as an earlier version put it'));
is(refresh('app.seeded'), 'held 0/0/60/0/4/0', 'and go on waiting in the next run');
is(sql(q(SELECT DISTINCT concat_ws(': ', brake, reason) FROM neon_auth.held_deletion WHERE target = 'app.seeded'::regclass)),
	'first run: the table had users before its first refresh', 'whatever words the reason was in');
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (SET api_key 'sk_test_y')");
my $port = $sim->port;
$sim->stop;
$sim = start_sim(users => 60, key => 'sk_test_y', port => $port);
is(refresh('app.seeded'), 'held 0/0/60/0/4/0', 'a new key is tried with users that the provider knew');
is(refresh('app.seeded', more => ', approve_deletions => 4'), 'held 0/0/60/3/1/0', 'approved, they are marked, but for one that cannot be asked for');
is(sql(q(SELECT id FROM neon_auth.held_deletion WHERE target = 'app.seeded'::regclass)), 'count', 'which stays in the list');

# ---- A server with another name

sql('ALTER SERVER clerk RENAME TO renamed');
is(refresh('app.seeded', server => 'renamed'), 'held 0/0/60/0/1/0', 'a server that was renamed keeps its target');
is(sql(q(SELECT server FROM neon_auth.sync_state WHERE target = 'app.seeded'::regclass)), 'renamed', 'under its new name');
add_server($node, $sim, schema => 'second');
is(refresh('app.seeded'), '55000', 'another server does not get it');

# An empty table may change its server, and then has nothing of the one before
add_server($node, $sim, name => 'wrong', schema => 'third', mapping => "api_key 'sk_test_wrong'");
sql("SELECT neon_auth.create_users_sync('app.undecided')");
is(refresh('app.undecided', server => 'wrong'), '28000', 'a first run that fails');
$sim->fault({ status => 500 });
is(refresh('app.undecided'), 'HV00L', 'and one of another server');
$sim->clear_faults;
is(sql(q(SELECT s.server || (s.credential = o.credential) FROM neon_auth.sync_state s, neon_auth.sync_state o
	WHERE s.target = 'app.undecided'::regclass AND o.target = 'app.seeded'::regclass)), 'clerktrue', 'which the table is of now, with its credential');

# ---- A directory that shows nobody

my $watermark = sql(q(SELECT watermark FROM neon_auth.sync_state WHERE target = 'app.seeded'::regclass));
$sim->fault({ match => 'list', empty => JSON::PP::true });
is(refresh('app.seeded', server => 'renamed'), 'held 0/0/0/0/61/0', 'an empty directory is held');
is(sql(q(SELECT watermark FROM neon_auth.sync_state WHERE target = 'app.seeded'::regclass)), $watermark, 'and the watermark does not go back');
$sim->clear_faults;

# ---- In a transaction

sql("SELECT neon_auth.create_users_sync('app.quiet')");
is(sql(q(BEGIN ISOLATION LEVEL READ UNCOMMITTED; CALL neon_auth.refresh_users_sync('renamed', target => 'app.quiet'); COMMIT)) =~ s/\|.*//sr,
	'ok', 'READ UNCOMMITTED is as good as READ COMMITTED');
is( $node->safe_psql('postgres', q(
	SET client_min_messages = error;
	DO $$ BEGIN FOR i IN 1 .. 50 LOOP BEGIN
		EXECUTE 'CALL neon_auth.refresh_users_sync(''renamed'', target => ''app.quiet'', approve_deletions => 7)';
	EXCEPTION WHEN invalid_parameter_value THEN NULL; END; END LOOP;
	PERFORM 1 / (CASE WHEN EXISTS (SELECT FROM pg_backend_memory_contexts WHERE name LIKE 'neon_auth_fdw%') THEN 0 ELSE 1 END); END $$;
	SELECT 'done')), 'done', 'failed calls leave no memory behind within a statement');

done_testing();
