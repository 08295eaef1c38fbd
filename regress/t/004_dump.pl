
# users_sync survives pg_dump and pg_restore with all that users add to it: a
# trigger, a policy, a column, a publication and a foreign key; so do the state
# tables, and the restored target is refreshed as the old one was.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/lib";

use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $sim = start_sim(users => 30);
# users without a time of change, and one that cannot be held
my $others = start_sim(provider => 'better_auth', users => 6, hide => 'updatedAt');
$others->create_raw('{"id":"long","name":"' . 'x' x 5000 . '"}', id => 'long');
my $node = new_node('main', urls => [ $sim->url, $others->url ]);
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';

add_server($node, $sim);
add_server($node, $others, schema => 'others');
my $refresh_others = q(CALL neon_auth.refresh_users_sync('better_auth', target => 'others.copy'));
$node->safe_psql('postgres', $refresh_others);
$node->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk')));
$sim->remove('index/29');
$node->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk')));
# deletions that wait for approval
$sim->remove('index/0', 12);
$node->safe_psql('postgres', q(SET client_min_messages = error; CALL neon_auth.refresh_users_sync('clerk')));

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE reader;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
CREATE TRIGGER note BEFORE UPDATE ON neon_auth.users_sync FOR EACH ROW EXECUTE FUNCTION public.note();
ALTER TABLE neon_auth.users_sync ADD COLUMN plan text DEFAULT 'free';
UPDATE neon_auth.users_sync SET plan = 'paid' WHERE id = (SELECT min(id) FROM neon_auth.users_sync);
ALTER TABLE neon_auth.users_sync ENABLE ROW LEVEL SECURITY;
CREATE POLICY live ON neon_auth.users_sync FOR SELECT TO reader USING (deleted_at IS NULL);
GRANT SELECT ON neon_auth.users_sync TO reader;
CREATE PUBLICATION users FOR TABLE neon_auth.users_sync;
CREATE TABLE posts (title text, author text REFERENCES neon_auth.users_sync (id));
INSERT INTO posts SELECT 'by ' || name, id FROM neon_auth.users_sync LIMIT 3;
COMMENT ON TABLE neon_auth.users_sync IS 'ours';
SQL

# What a copy must have in common with the original, by name.
my %same = (
	'rows' => q(SELECT * FROM neon_auth.users_sync ORDER BY id),
	'referencing rows' => q(SELECT * FROM posts ORDER BY title),
	'triggers' => q(SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'neon_auth.users_sync'::regclass AND NOT tgisinternal),
	'policies' => q(SELECT policyname, roles, qual FROM pg_policies WHERE tablename = 'users_sync'),
	'row level security' => q(SELECT relrowsecurity FROM pg_class WHERE oid = 'neon_auth.users_sync'::regclass),
	'columns' => q(SELECT attname, atttypid::regtype, attnotnull FROM pg_attribute WHERE attrelid = 'neon_auth.users_sync'::regclass AND attnum > 0 ORDER BY attname),
	'indexes' => q(SELECT indexdef FROM pg_indexes WHERE tablename = 'users_sync' ORDER BY 1),
	'privileges' => q(SELECT relacl FROM pg_class WHERE oid = 'neon_auth.users_sync'::regclass),
	'publications' => q(SELECT pubname, schemaname, tablename FROM pg_publication_tables),
	'foreign keys' => q(SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE confrelid = 'neon_auth.users_sync'::regclass),
	'comments' => q(SELECT obj_description('neon_auth.users_sync'::regclass)),
	'state' => q(SELECT * FROM neon_auth.sync_state ORDER BY target::text),
	'runs' => q(SELECT * FROM neon_auth.sync_run ORDER BY run_id),
	'held deletions' => q(SELECT * FROM neon_auth.held_deletion ORDER BY id),
	'quarantined users' => q(SELECT * FROM neon_auth.quarantined_user ORDER BY id),
	'digests' => q(SELECT * FROM neon_auth.sync_digest ORDER BY id),
	'rows without times of change' => q(SELECT * FROM others.copy ORDER BY id),
	'servers and mappings' => q(SELECT srvname, usename, srvoptions, umoptions FROM pg_user_mappings JOIN pg_foreign_server USING (srvname) ORDER BY srvname),
	'the foreign table' => q(SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = 'app.users'::regclass AND attnum > 0 ORDER BY attnum),
	'sequence of runs' => q(SELECT last_value, is_called FROM neon_auth.sync_run_run_id_seq));

my %original = map { $_ => $node->safe_psql('postgres', $same{$_}) } keys %same;
cmp_ok($original{'held deletions'} =~ tr/\n//, '==', 11, 'twelve deletions are held before the dump');
like($original{'quarantined users'}, qr/^others\.copy\|long\|.*\|f$/, 'a user is quarantined');
cmp_ok($original{digests} =~ tr/\n//, '==', 5, 'six have a digest');

# what is left of a target that was dropped is none of a copy, where its number may be another table's
$node->safe_psql('postgres', q(INSERT INTO neon_auth.sync_digest VALUES (4000000001, 'a', '', now());
	INSERT INTO neon_auth.held_deletion (target, id, reason, held_since) VALUES (4000000001, 'a', 'none', now());
	INSERT INTO neon_auth.sync_delta VALUES (4000000001, 'a', 1, 1)));
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE template0');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump ], 'pg_restore');
is($node->safe_psql('copy', $same{$_}), $original{$_}, "the copy has the same $_")
  for sort keys %same;
is($node->safe_psql('copy', q(SELECT count(*) FROM neon_auth.sync_delta)), 0, 'and nothing of a target that was dropped');

# The copy goes on where the original stood.
is( $node->safe_psql('copy', q(CALL neon_auth.refresh_users_sync('clerk', approve_deletions => 12))) =~ s/\|[^|]*\|[^|]*$//r,
	'ok|0|0|17|12|0|0',
	'the held deletions are approved in the copy');
is( $node->safe_psql('copy', q(SELECT count(id) FROM neon_auth.users_sync WHERE deleted_at IS NULL AND plan IS NOT NULL)),
	'17', 'the other users stay, with the added column');
is( $node->safe_psql('copy', q(SELECT count(DISTINCT run_id) = count(*) FROM neon_auth.sync_run)),
	't', 'runs go on counting');
$others->update('index/2', { name => 'Changed' });
is($node->safe_psql('copy', $refresh_others) =~ s/\|[^|]*\|[^|]*$//r, 'ok|0|1|5|0|0|1', 'digests tell who has changed since');

# Plain SQL restores too.
$node->command_ok([ 'pg_dump', '-f', "$dump.sql", '-d', $node->connstr('postgres') ], 'pg_dump as SQL');
$node->safe_psql('postgres', 'CREATE DATABASE plain TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $node->connstr('plain'), '-f', "$dump.sql" ],
	'psql restores it');
is($node->safe_psql('plain', $same{rows}), $original{rows}, 'with the same rows');

# DROP EXTENSION leaves the table, CREATE EXTENSION takes it up again.
$node->safe_psql('plain', 'SET client_min_messages = error; DROP EXTENSION neon_auth_fdw CASCADE');
is($node->safe_psql('plain', $same{rows}), $original{rows}, 'DROP EXTENSION leaves users_sync');
$node->safe_psql('plain', 'CREATE EXTENSION neon_auth_fdw');
add_server($node, $sim, database => 'plain', schema => 'again');
like( $node->safe_psql('plain', q(SET client_min_messages = error; CALL neon_auth.refresh_users_sync('clerk'))),
	qr/^held\|0\|0\|17\|0\|12\|/,
	'and a new extension refreshes it, with the same care');

done_testing();
