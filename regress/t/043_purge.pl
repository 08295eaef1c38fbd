
# Tombstones that are purged: in batches, so that what refers to them goes with them, is
# set to null, or keeps them, as its foreign key says.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $sim = start_sim(users => 20);
my $node = new_node('purge', urls => [ $sim->url ]);
my $session = new_session($node);
my $target = 'neon_auth.users_sync';

add_server($node, $sim);

sub sql { return $session->must($_[0]); }
sub is_sql { my ($query, $value, $name) = @_; return is(sql("SELECT $query"), $value, $name); }
sub purge { my ($arguments) = @_; return $session->ask("CALL neon_auth.purge_deleted($arguments)"); }

# What it purged and kept.
sub purged
{
	my ($arguments) = @_;
	my $text = purge($arguments);

	return $text =~ /^(\d+)\|(\d+)\|[\d:.]+$/m ? "$1 $2" : $text;
}

sql(<<"SQL");
CALL neon_auth.refresh_users_sync('clerk');
CREATE SCHEMA own;
SELECT neon_auth.create_users_sync('own.users_sync');
-- 2500 marked 1 to 100 days ago, 100 of them referred to in each way
INSERT INTO own.users_sync (id, raw_json, updated_at, deleted_at)
	SELECT 'u' || i, '{}', now(), now() - interval '1 day' * (1 + i % 100) FROM generate_series(1, 2500) i;
INSERT INTO own.users_sync (id, raw_json) SELECT 'live' || i, '{}' FROM generate_series(1, 100) i;
CREATE TABLE cascaded (id text REFERENCES own.users_sync (id) ON DELETE CASCADE);
CREATE TABLE nulled (id text REFERENCES own.users_sync (id) ON DELETE SET NULL);
CREATE TABLE keeping (id text CONSTRAINT keeps REFERENCES own.users_sync (id));
CREATE TABLE deferring (id text REFERENCES own.users_sync (id) ON DELETE NO ACTION DEFERRABLE INITIALLY DEFERRED);
INSERT INTO cascaded SELECT id FROM own.users_sync WHERE id ~ '^u\\d+0\$|^live';
INSERT INTO nulled SELECT id FROM own.users_sync WHERE id ~ '^u\\d+1\$|^live';
SQL
my $own = q(target => 'own.users_sync');
is(purged("'101 days', $own"), '0 0', 'nobody was marked so long ago');
is(purged("'90 days 12 hours', $own"), '250 0', 'those marked long ago');
is_sql(q(count(*), count(deleted_at), count(*) FILTER (WHERE deleted_at < now() - interval '90 days 12 hours') FROM own.users_sync), '2350|2250|0', 'are gone, and nobody else');
is_sql(q(count(*) FROM cascaded WHERE id LIKE 'u%'), sql(q(SELECT count(id) FROM own.users_sync WHERE id ~ '^u\d+0$')), 'and with them what is cascaded');
is_sql(q(count(*) FROM nulled WHERE id IS NULL), 250 - 1 - sql(q(SELECT count(id) FROM own.users_sync WHERE id ~ '^u\d+1$')), 'others are set to null');

# keys without such a rule
sql(q(INSERT INTO keeping SELECT id FROM own.users_sync WHERE id ~ '^u\d+22$'));
sql(q(INSERT INTO deferring SELECT id FROM own.users_sync WHERE id ~ '^u\d+33$'));
my $text = purge("'0', $own");
like($text, qr/^2202\|48\|/m, 'what others refer to is kept, the rest goes');
like($text, qr/NOTICE:.*kept 48 users.*by constraint "(?:keeps|deferring_id_fkey)" of table "(?:keeping|deferring)".*ON DELETE SET NULL or CASCADE/s, 'and it is said why');
is_sql(q(count(id) FROM own.users_sync WHERE deleted_at IS NOT NULL), 48, 'they are there');
is_sql(q(count(*) FROM keeping JOIN own.users_sync USING (id)), 24, 'with what refers to them');
is_sql(q(count(id) FROM own.users_sync WHERE deleted_at IS NULL), 100, 'nobody who is live is purged');
sql('DROP TABLE deferring; ALTER TABLE keeping DROP CONSTRAINT keeps, ADD FOREIGN KEY (id) REFERENCES own.users_sync (id) ON DELETE CASCADE');
is(purged("'0', $own"), '48 0', 'with another rule they go');
is_sql('count(*) FROM keeping', 0, 'with what refers to them');

# ever so many that are kept
my $pid = sql('SELECT pg_backend_pid()');
sub memory { return process_memory($pid, 'RssAnon'); }
sql(<<'SQL');
INSERT INTO own.users_sync (id, raw_json, deleted_at) SELECT 'k' || i, '{}', timestamptz '2020-01-01' + interval '1 s' * i FROM generate_series(1, 6000) i;
CREATE TABLE keeping_all (id text REFERENCES own.users_sync (id));
INSERT INTO keeping_all SELECT id FROM own.users_sync WHERE id LIKE 'k%';
SQL
is(purged("'1000 days', $own"), '0 6000', 'thousands that others refer to');
my $kilobytes = memory();
is(purged("'1000 days', $own"), '0 6000', 'again');
memory_below(memory() - $kilobytes, 4096, 'without memory for each');
sql(q(DROP TABLE keeping_all; DELETE FROM own.users_sync WHERE id LIKE 'k%'));

# a trigger that refuses one; batches before it stay deleted
sql(<<'SQL');
INSERT INTO own.users_sync (id, raw_json, deleted_at)
	SELECT 'u' || i, '{}', timestamptz '2020-01-01' + interval '1 s' * i FROM generate_series(1, 2500) i;
CREATE TABLE log (at text, who text);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY INVOKER AS $$
BEGIN
	IF OLD.id = 'u1700' THEN RAISE EXCEPTION 'not this one' USING DETAIL = OLD::text; END IF;
	INSERT INTO public.log VALUES (OLD.id, current_user);
	RETURN OLD;
END $$;
CREATE TRIGGER refuse BEFORE DELETE ON own.users_sync FOR EACH ROW EXECUTE FUNCTION refuse();
SQL
$text = purge("'0', $own");
like($text, qr/ERROR:  P0001: could not delete user "u1700" from table own.users_sync: not this one/, 'a trigger that refuses one is an error');
unlike($text, qr/u1700,/, 'without the row');
is_sql(q(count(id) FROM own.users_sync WHERE deleted_at IS NOT NULL), 1500, 'what was done before stays done');
like($session->ask("BEGIN; CALL neon_auth.purge_deleted('0', $own); COMMIT"), qr/P0001/, 'in a transaction');
$session->ask('ROLLBACK');
is_sql(q(count(id) FROM own.users_sync WHERE deleted_at IS NOT NULL), 1500, 'nothing is done');
sql('DROP TRIGGER refuse ON own.users_sync');
is(sql("BEGIN; CALL neon_auth.purge_deleted('0', $own)") =~ /^(\d+)/ && $1, '1500', 'all of it');
sql('ROLLBACK');
is_sql(q(count(id) FROM own.users_sync WHERE deleted_at IS NOT NULL), 1500, 'or nothing');

# the triggers are the owner's code, whoever calls it
sql(<<'SQL');
CREATE ROLE keeper;
GRANT USAGE ON SCHEMA own TO keeper;
ALTER TABLE own.users_sync OWNER TO keeper;
GRANT INSERT ON log TO keeper;
TRUNCATE log;
CREATE TRIGGER refuse BEFORE DELETE ON own.users_sync FOR EACH ROW WHEN (OLD.id < 'u1') EXECUTE FUNCTION refuse();
CREATE TRIGGER note BEFORE DELETE ON own.users_sync FOR EACH ROW WHEN (OLD.id = 'u2000') EXECUTE FUNCTION refuse();
SQL
is(purged("'0', $own"), '1500 0', 'as a superuser');
is_sql(q(string_agg(DISTINCT who, ' ') FROM log), 'keeper', 'triggers run as the owner');
sql('CREATE ROLE guest; GRANT USAGE ON SCHEMA own TO guest');
like($session->ask("SET ROLE guest; CALL neon_auth.purge_deleted('0', $own); RESET ROLE"), qr/42501: must be owner/, 'others may not');
sql('RESET ROLE');
for my $older_than ("'-1 day'", 'NULL')
{
	like(purge("$older_than, $own"), qr/22023: invalid value for argument "older_than"/, "older_than $older_than");
}
like(purge("'1 day', target => 'own.nothing'"), qr/42P01: table "own.nothing" does not exist/, 'no table');
like(purge("'1 day', target => 'public.log'"), qr/42809/, 'another kind of table');

# a user who comes back while rows are purged
sql(q(INSERT INTO own.users_sync (id, raw_json, deleted_at) SELECT 'back' || i, '{}', '2020-01-01' FROM generate_series(1, 3) i));
my $other = new_session($node);
$other->must(q(BEGIN; UPDATE own.users_sync SET deleted_at = NULL WHERE id = 'back2'));
my $purging = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c', "CALL neon_auth.purge_deleted('0', $own)" ],
	'<', \undef, '>', \my $said, '2>&1');
wait_until('the purge waits', sub { return sql(q(SELECT count(*) FROM pg_locks WHERE NOT granted)); });
$other->must('COMMIT');
$purging->finish;
like($said, qr/^2\|0\|/, 'those who are still gone are purged');
is_sql(q(string_agg(id, ' ') FROM own.users_sync WHERE id LIKE 'back%'), 'back2', 'but not who came back meanwhile');

# ---- What was purged does not come back, and does not mislead a refresh

my $gone = $sim->user('index/3')->{id};
$sim->remove('index/3');
sql(q(CALL neon_auth.refresh_users_sync('clerk')));
is(purged("'0'"), '1 0', 'a user whom a refresh has marked');
like(sql(q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^ok\|0\|0\|/, 'is not brought back');
is_sql(q(concat_ws(' ', mode, requests) FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1), 'incremental 2', 'nor looked for');
is_sql("count(*) FROM $target WHERE id = '$gone'", 0, 'the row is gone');

$node->stop;
done_testing();
