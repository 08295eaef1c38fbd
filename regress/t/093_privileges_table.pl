
# Who can do what: the table of docs/security.md, cell by cell, and what somebody tries
# with what he has: the owner of a server who sends its users elsewhere, and the owner of
# a table under whose triggers a superuser's job writes.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my ($key, $password) = ('sk_zygomorphic_key', 'redis-zygomorphic-password');
my $sim = start_sim(users => 20, key => $key);
my $elsewhere = start_sim(users => 5, key => 'sk_another');
my $node = new_node('table', urls => [ $sim->url ], conf => "log_statement = none\n");
my $url = $sim->url;

$node->safe_psql('postgres', <<"SQL");
CREATE ROLE nothing LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE server_owner LOGIN; CREATE ROLE table_owner LOGIN; CREATE ROLE admin LOGIN SUPERUSER; CREATE ROLE somebody;
CREATE SCHEMA s_nothing AUTHORIZATION nothing; CREATE SCHEMA s_reader AUTHORIZATION reader; CREATE SCHEMA s_server_owner AUTHORIZATION server_owner;
CREATE SCHEMA s_table_owner AUTHORIZATION table_owner; CREATE SCHEMA s_admin AUTHORIZATION admin; CREATE SCHEMA app AUTHORIZATION admin;
GRANT USAGE ON FOREIGN DATA WRAPPER neon_auth_fdw TO server_owner;
SET ROLE server_owner;
CREATE SERVER clerk FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url '$url', cache_ttl '0');
CREATE SERVER shared FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url '$url', cache_ttl '0');
CREATE SERVER bare FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url '$url');
GRANT USAGE ON FOREIGN SERVER clerk, shared, bare TO reader, table_owner;
CREATE USER MAPPING FOR PUBLIC SERVER shared OPTIONS (api_key '$key');
RESET ROLE;
CREATE USER MAPPING FOR somebody SERVER clerk OPTIONS (api_key '$key');
CREATE USER MAPPING FOR reader SERVER clerk OPTIONS (api_key '$key');
CREATE USER MAPPING FOR server_owner SERVER clerk OPTIONS (api_key '$key');
CREATE USER MAPPING FOR table_owner SERVER clerk OPTIONS (api_key '$key');
CREATE USER MAPPING FOR admin SERVER clerk OPTIONS (api_key '$key');
SET ROLE admin;
IMPORT FOREIGN SCHEMA directory FROM SERVER clerk INTO app;
GRANT USAGE ON SCHEMA app TO PUBLIC;
GRANT SELECT ON app.users TO reader;
SELECT neon_auth.create_users_sync();
ALTER TABLE neon_auth.users_sync OWNER TO table_owner;
SQL

my @roles = qw(nothing reader server_owner table_owner admin);
my %session;

# Logged in as they are: from a session of a superuser they could go back to him.
for my $role (@roles)
{
	local $ENV{PGUSER} = $role;
	$session{$role} = new_session($node);
	$session{$role}->must('SET client_min_messages = warning');
}

# What a role gets: what is returned, or the SQLSTATE.
sub outcome
{
	my ($role, $sql) = @_;
	my $text = $session{$role}->ask($sql) // 'the session has ended';

	return $text =~ /ERROR:  (\w{5}):/ ? $1 : $text;
}

# In a transaction that is given up.
sub tried { my ($role, $sql) = @_; my $text = outcome($role, "BEGIN; $sql"); outcome($role, 'ROLLBACK'); return $text; }

like(outcome('table_owner', q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^ok\|20\|/, 'the table is filled');
my $id = $sim->user('index/3')->{id};

# ---- The table: how each row is tried, with what is got where it can be done, and where not

my $denied = qr/^42501$/;
my $no_row = qr/^0$/;
my $mapping = "SELECT count(*) FROM pg_user_mappings WHERE umoptions::text LIKE '%api_key=$key%'";
my %checks = (
	'read the options of a server, `url` and `redis_url` among them' => [ [ "SELECT count(*) FROM pg_foreign_server WHERE srvname = 'clerk' AND srvoptions::text LIKE '%url=$url%'", qr/^1$/ ] ],
	'read its own mapping, `api_key` included' => [ [ "$mapping AND usename = current_user AND srvname = 'clerk'", qr/^1$/, $no_row ] ],
	'read the mapping of another role' => [ [ "$mapping AND usename NOT IN (current_user, 'public')", qr/^4$/, $no_row ] ],
	'read the mapping for PUBLIC' => [ [ "$mapping AND usename = 'public'", qr/^1$/, $no_row ] ],
	'use the mapping for PUBLIC, with USAGE on the server' =>
	  [ [ 'CREATE FOREIGN TABLE s_%s.shared (id text) SERVER shared; SELECT count(id) FROM s_%s.shared', qr/^20$/ ] ],
	'read the catalog `pg_user_mapping`' => [ [ 'SELECT count(*) > 0 FROM pg_user_mapping', qr/^t$/ ] ],
	'make a mapping for itself' => [ [ "CREATE USER MAPPING FOR CURRENT_USER SERVER bare OPTIONS (api_key 'x')", qr/^$/ ] ],
	'change or drop the mapping of another role' => [
		[ "ALTER USER MAPPING FOR somebody SERVER clerk OPTIONS (SET api_key 'x')", qr/^$/ ],
		[ 'DROP USER MAPPING FOR somebody SERVER clerk', qr/^$/ ] ],
	'make a server' => [ [ "CREATE SERVER own FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk')", qr/^$/ ] ],
	'set `url` or `redis_url` of the server' => [
		[ "ALTER SERVER clerk OPTIONS (SET url 'https://api.clerk.com')", qr/^$/ ],
		[ "ALTER SERVER clerk OPTIONS (ADD redis_url 'redis://localhost')", qr/^$/ ] ],
	'set `neon_auth_fdw.allowed_urls` or `neon_auth_fdw.ca_file`, for itself, a role or the database' => [
		map { my $name = $_; map { [ "DO \$\$BEGIN PERFORM neon_auth.providers(); END\$\$; $_ neon_auth_fdw.$name = ''", qr/^$/ ] } 'SET', 'ALTER ROLE %s SET', 'ALTER DATABASE postgres SET', 'ALTER ROLE somebody SET' } qw(allowed_urls ca_file) ],
	'drop the server, with the foreign tables' => [ [ 'DROP SERVER clerk CASCADE', qr/^$/ ] ],
	'make a foreign table' => [
		[ 'CREATE FOREIGN TABLE s_%s.mine (id text) SERVER clerk', qr/^$/ ],
		[ 'IMPORT FOREIGN SCHEMA directory FROM SERVER clerk INTO s_%s', qr/^$/ ] ],
	'query the foreign table' => [ [ 'SELECT count(id) FROM app.users', qr/^20$/ ], [ "SELECT count(id) FROM app.users WHERE id = '$id'", qr/^1$/ ] ],
	'call `check_server` and `cache_clear`' => [
		[ q(SELECT count(*) FROM neon_auth.check_server('clerk') WHERE verdict = 'error'), qr/^0$/ ],
		[ q(SELECT neon_auth.cache_clear('clerk')), qr/^55000$/ ] ],
	'see `connections()` and `cache_stats()` of another session' =>
	  [ [ "SELECT count(*) FROM (SELECT role FROM neon_auth.connections() UNION ALL SELECT role FROM neon_auth.cache_stats()) x WHERE role <> current_user", qr/^[1-9]/, $no_row ] ],
	'call `providers()` and `error_class()`' => [ [ 'SELECT count(*) > 0 FROM neon_auth.providers()', qr/^t$/ ], [ q(SELECT neon_auth.error_class('53400')), qr/^rate limit$/ ] ],
	'call `refresh_users_sync` and `follow_users_sync`' => [
		[ q(CALL neon_auth.refresh_users_sync('clerk')), qr/^ok\|/, undef, 1 ],
		[ q(CALL neon_auth.refresh_users_sync('clerk', dry_run => true)), qr/^dry run\|/, undef, 1 ],
		[ q(CALL neon_auth.follow_users_sync('clerk', during => '0')), qr/^ok\|/, undef, 1 ] ],
	'call `purge_deleted`' => [ [ q(CALL neon_auth.purge_deleted('1 day')), qr/^0\|0\|/, undef, 1 ] ],
	'call `sync_user`, until it is granted' => [ [ "SELECT id FROM neon_auth.sync_user('clerk', '$id')", qr/^\Q$id\E$/, undef, 1 ] ],
	'read and write `users_sync`' => [
		[ 'SELECT count(*) FROM neon_auth.users_sync', qr/^20$/ ], [ 'DELETE FROM neon_auth.users_sync', qr/^$/ ],
		[ 'TRUNCATE neon_auth.users_sync', qr/^$/ ], [ "UPDATE neon_auth.users_sync SET name = 'x'", qr/^$/ ] ],
	'see the state, the runs and the progress of the table' => [
		[ 'SELECT count(*) FROM neon_auth.sync_state', qr/^1$/, $no_row ],
		[ 'SELECT count(*) > 0 FROM neon_auth.sync_run', qr/^t$/, qr/^f$/ ],
		[ 'SELECT count(*) FROM neon_auth.sync_status', qr/^1$/, $no_row ] ],
	'know how many of its users are deleted' => [ [ q(SELECT neon_auth.deleted_users('neon_auth.users_sync')), qr/^0$/ ] ],
	'read `sync_digest`' => [ [ 'SELECT count(*) FROM neon_auth.sync_digest', qr/^0$/ ] ],
	'write the state' => [
		map { my $table = $_; map { [ sprintf($_, "neon_auth.$table"), qr/^$/ ] } 'DELETE FROM %s', 'TRUNCATE %s', 'INSERT INTO %s (target) SELECT NULL WHERE false', 'ALTER TABLE %s DISABLE ROW LEVEL SECURITY' }
		  qw(sync_state sync_delta sync_run held_deletion quarantined_user sync_digest) ],
	'make a trigger on `users_sync`, which runs with the rights of its owner' => [
		[ 'CREATE FUNCTION s_%s.f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$; CREATE TRIGGER t AFTER INSERT ON neon_auth.users_sync EXECUTE FUNCTION s_%s.f()', qr/^$/ ] ],
	'make a table with `create_users_sync` where it may create tables' => [ [ q(SELECT neon_auth.create_users_sync('s_%s.users_sync')), qr/users_sync$/ ] ],
	'make anything in schema `neon_auth`' => [
		[ q(SELECT neon_auth.create_users_sync('neon_auth.another')), qr/another$/ ], [ 'CREATE TABLE neon_auth.t (x int)', qr/^$/ ],
		[ q(CREATE PROCEDURE neon_auth.refresh_users_sync(text) LANGUAGE sql AS 'SELECT 1'), qr/^$/ ],
		[ q(CREATE OR REPLACE FUNCTION neon_auth.error_class(sqlstate text) RETURNS text LANGUAGE sql AS 'SELECT 1'), qr/^42P13$|^$/ ] ],
	'drop the extension' => [ [ 'DROP EXTENSION neon_auth_fdw CASCADE', qr/^$/ ], [ 'ALTER EXTENSION neon_auth_fdw DROP FUNCTION neon_auth.providers()', qr/^$/ ] ]);

my ($table) = slurp_file(tree() . '/docs/security.md') =~ /^## Who can do what\n.*?^\|---.*?\n(.*?)^$/ms or die 'no table in docs/security.md';
my %seen;

for my $line (split /\n/, $table)
{
	my ($what, @cells) = $line =~ /^\| (.*?) \| (yes|no) \| (yes|no) \| (yes|no) \| (yes|no) \| (yes|no) \|$/ or die "no row of the table: $line";
	my $check = $checks{$what};

	$seen{$what} = 1;
	ok($check, "the row can be tried: $what") or next;
	for my $role (@roles)
	{
		my $can = shift(@cells) eq 'yes';

		for (@$check)
		{
			my ($sql, $yes, $no, $at_once) = @$_;

			$sql =~ s/%s/$role/g unless $sql =~ /LIKE/;
			my $got = $at_once ? outcome($role, $sql) : tried($role, $sql);
			like($got, $can ? $yes : $no // $denied, "$role " . ($can ? 'can' : 'cannot') . " $what: " . substr($sql, 0, 70));
		}
	}
}
is(join("\n", grep { !$seen{$_} } sort keys %checks), '', 'the table has all rows that are tried');

# ---- SEC-1, B5: where an option may stand

my @secrets = qw(api_key client_id client_secret private_key access_key_id secret_access_key session_token redis_user redis_password);
my @unsafe = qw(verify_peer verify_host sslmode ca_file ca_path cert key insecure proxy userpwd netrc headers resolve interface follow allowed_urls);
my %places = (
	wrapper => [ 'admin', 'ALTER FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (ADD %s)' ],
	server => [ 'server_owner', 'ALTER SERVER clerk OPTIONS (ADD %s)' ],
	column => [ 'server_owner', 'CREATE FOREIGN TABLE s_server_owner.t (id text OPTIONS (%s)) SERVER clerk' ],
	table => [ 'server_owner', 'CREATE FOREIGN TABLE s_server_owner.t (id text) SERVER clerk OPTIONS (%s)' ],
	mapping => [ 'server_owner', 'ALTER USER MAPPING FOR server_owner SERVER clerk OPTIONS (ADD %s)' ]);

for my $place (sort keys %places)
{
	my ($role, $sql) = @{ $places{$place} };

	for my $option (($place eq 'mapping' ? () : @secrets), @unsafe)
	{
		my $text = $session{$role}->ask(sprintf($sql, "$option 'zygomorphic'"));

		like($text, qr/ERROR:  HV00D: /, (grep({ $_ eq $option } @secrets) ? 'SEC-1' : 'B5') . ": $option is no option of a $place");
		unlike($text, qr/zygomorphic/, '... and its value is not quoted');
	}
}
is($node->safe_psql('postgres', q(SELECT neon_auth.disconnect_all(); SELECT string_agg(name, ' ' ORDER BY name) FROM pg_settings WHERE name LIKE 'neon_auth_fdw.%' AND context = 'user')) =~ s/^[tf]\n//r,
	'neon_auth_fdw.cache neon_auth_fdw.pushdown', 'B5: what a role may set for itself');

# ---- The owner of a server who sends its users elsewhere

my $sender = 'server_owner';
$node->safe_psql('postgres', "ALTER USER MAPPING FOR reader SERVER clerk OPTIONS (ADD redis_password '$password')");
for my $row (
	# where he sends them, what comes of the reader's query
	[ $elsewhere->url, 'an address that nobody allowed' ], [ $elsewhere->url =~ s/127\.0\.0\.1/localhost/r, 'the same by name' ],
	[ $url =~ s/127\.0\.0\.1/localhost/r, 'the provider by another name' ], [ "$url/", 'the provider with a slash', 20 ], [ 'https://127.0.0.1:' . $elsewhere->port, 'with TLS' ],
	[ 'http://169.254.169.254', 'where clouds hand out credentials' ], [ 'http://[::ffff:169.254.169.254]', 'the same, mapped' ], [ 'http://10.0.0.1', 'an internal address' ])
{
	my ($to, $what, $rows) = @$row;

	$elsewhere->reset_stats;
	my $changed = outcome($sender, "ALTER SERVER clerk OPTIONS (SET url '$to')");
	my $got = outcome('reader', 'SELECT count(id) FROM app.users');
	is($changed eq '' ? $got : $changed, $rows // '42501', "F54, SEC-12: a server sent to $what: the reader's query");
	is($elsewhere->asked, 'nothing', '... and no credential leaves');
	outcome($sender, "ALTER SERVER clerk OPTIONS (SET url '$url')");
}
is(outcome($sender, "ALTER SERVER clerk OPTIONS (SET provider 'better_auth', SET url '" . $elsewhere->url . "')"), '', 'another provider');
is(outcome('reader', 'SELECT count(id) FROM app.users'), '42501', 'is asked at no address that nobody allowed, either');
outcome($sender, "ALTER SERVER clerk OPTIONS (SET provider 'clerk', SET url '$url')");
is(outcome('table_owner', q(CALL neon_auth.refresh_users_sync('clerk'))) =~ /^ok\|0\|0\|\d+\|0\|/ ? 'ok' : 'not', 'ok', 'nobody was deleted meanwhile');

# a Redis of his: he sees that users are there, and the password for Redis, and nothing else
my $his = start_redis();
is(outcome($sender, "ALTER SERVER clerk OPTIONS (ADD redis_url 'redis://192.0.2.1:6379', SET cache_ttl '1h')"), '', 'a Redis elsewhere, without TLS');
like($session{reader}->ask('SELECT count(id) FROM app.users'), qr/20\z/, 'SEC-15: is not asked, the provider is');
outcome($sender, "ALTER SERVER clerk OPTIONS (SET redis_url '" . $his->url . "')");
my $monitored = '';
my $monitor = IPC::Run::start([ 'redis-cli', '-s', $his->socket, 'MONITOR' ], '>', \$monitored, '2>&1', my $timer = IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
pump_until($monitor, $timer, \$monitored, qr/^OK/) or die 'MONITOR did not start';
$node->safe_psql('postgres', 'ALTER USER MAPPING FOR reader SERVER clerk OPTIONS (DROP redis_password)');
is(outcome('reader', "SELECT count(raw_json) FROM app.users"), '20', 'a Redis of his own is asked');
$his->ask('ECHO', 'the end of it');
pump_until($monitor, $timer, \$monitored, qr/the end of it/) or die 'MONITOR ended';
$monitor->kill_kill;
my $name = $node->safe_psql('postgres', "SELECT name FROM neon_auth.users_sync WHERE id = '$id'");
like($monitored, qr/HSETNX/, '... and gets pages');
unlike($monitored . $his->dump, qr/\Q$key\E|\Q$id\E|\Q$name\E|clerk/, '... of which he can read no key, no user and no server');
outcome($sender, 'ALTER SERVER clerk OPTIONS (DROP redis_url)');

# the mapping of another role he may replace, not read
is(tried($sender, "ALTER USER MAPPING FOR reader SERVER clerk OPTIONS (SET api_key 'mine'); SELECT count(*) FROM pg_user_mappings WHERE usename = 'reader' AND umoptions IS NOT NULL"), '0',
	'a mapping that he set he cannot read');

# ---- The owner of a table under whose triggers a superuser's job writes

# Whatever it tries is noted, with as whom it was; what it may not do fails.
my @tries = (
	'ALTER ROLE table_owner SUPERUSER', 'GRANT admin TO table_owner', 'SET ROLE admin', 'RESET ROLE', 'SET SESSION AUTHORIZATION admin', 'RESET SESSION AUTHORIZATION',
	"SELECT set_config('role', 'admin', false)", 'SELECT rolpassword FROM pg_authid', 'SELECT umoptions FROM pg_user_mapping', "COPY (SELECT 1) TO PROGRAM 'true'",
	"COPY (SELECT 1) TO '/dev/null'", "SELECT pg_read_file('PG_VERSION')", q(CREATE FUNCTION neon_auth.trojan() RETURNS int LANGUAGE sql AS 'SELECT 1'),
	'UPDATE neon_auth.sync_state SET live_users = 0', 'DELETE FROM neon_auth.sync_run', 'SELECT count(*) FROM app.users', 'CREATE TEMP TABLE pg_class (x int)',
	"SET neon_auth_fdw.allowed_urls = 'http://127.0.0.1'", 'DECLARE c CURSOR WITH HOLD FOR SELECT 1', "SELECT neon_auth.sync_user('clerk', 'x')",
	'LISTEN trojan', 'ALTER SYSTEM SET work_mem = 1');
my $list = join(', ', map { "'" . s/'/''/gr . "'" } @tries);
like(outcome('table_owner', q(CALL neon_auth.refresh_users_sync('clerk', target => 's_table_owner.trapped'))), qr/^ok\|20\|/, 'a table where its owner may create what he likes');
$session{table_owner}->must(<<"SQL");
CREATE TABLE s_table_owner.noted (place text, who text, owner text, done text);
CREATE FUNCTION s_table_owner.evil(place text) RETURNS bool LANGUAGE plpgsql AS \$f\$
DECLARE
	attempt text;
BEGIN
	INSERT INTO s_table_owner.noted VALUES (place, current_user, session_user, '');
	FOREACH attempt IN ARRAY ARRAY[$list] LOOP
		BEGIN
			EXECUTE attempt;
			INSERT INTO s_table_owner.noted VALUES (place, current_user, session_user, attempt);
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
	END LOOP;
	RETURN true;
END \$f\$;
CREATE FUNCTION s_table_owner.evil_immutable(place text) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS \$f\$BEGIN RETURN s_table_owner.evil(place); END\$f\$;
CREATE FUNCTION s_table_owner.trap() RETURNS trigger LANGUAGE plpgsql AS \$f\$BEGIN PERFORM s_table_owner.evil(concat_ws(' ', TG_WHEN, TG_OP, TG_LEVEL)); RETURN coalesce(NEW, OLD); END\$f\$;
CREATE TRIGGER a BEFORE INSERT OR UPDATE OR DELETE ON s_table_owner.trapped FOR EACH ROW EXECUTE FUNCTION s_table_owner.trap();
CREATE TRIGGER b AFTER INSERT OR UPDATE OR DELETE ON s_table_owner.trapped FOR EACH ROW EXECUTE FUNCTION s_table_owner.trap();
CREATE TRIGGER c BEFORE INSERT OR UPDATE OR DELETE ON s_table_owner.trapped FOR EACH STATEMENT EXECUTE FUNCTION s_table_owner.trap();
ALTER TABLE s_table_owner.trapped ADD CONSTRAINT evil CHECK (s_table_owner.evil('CHECK')) NOT VALID;
ALTER TABLE s_table_owner.trapped ADD COLUMN more bool DEFAULT s_table_owner.evil('DEFAULT');
CREATE INDEX evil ON s_table_owner.trapped (s_table_owner.evil_immutable('INDEX ' || coalesce(name, '')));
CREATE INDEX evil_where ON s_table_owner.trapped (name) WHERE s_table_owner.evil_immutable('INDEX WHERE ' || coalesce(name, ''));
CREATE TABLE s_table_owner.child (id text REFERENCES s_table_owner.trapped (id) ON DELETE CASCADE);
CREATE TRIGGER d AFTER DELETE ON s_table_owner.child FOR EACH ROW EXECUTE FUNCTION s_table_owner.trap();
ALTER TABLE s_table_owner.trapped ENABLE ROW LEVEL SECURITY;
ALTER TABLE s_table_owner.trapped FORCE ROW LEVEL SECURITY;
CREATE POLICY evil ON s_table_owner.trapped USING (s_table_owner.evil('POLICY')) WITH CHECK (s_table_owner.evil('POLICY CHECK'));
TRUNCATE s_table_owner.noted;
SQL

# What superusers' jobs do with the table, each time with a change to write.
my @gone = map { $sim->user("index/$_")->{id} } 5, 6;
my @jobs = (
	[ 'an incremental refresh', sub { $sim->update('index/1', { first_name => 'Changed' }); $sim->create({ first_name => 'New' }) }, q(CALL neon_auth.refresh_users_sync('clerk', target => 's_table_owner.trapped')), qr/^ok\|1\|1\|/ ],
	[ 'a full refresh', sub { $sim->update('index/2', { first_name => 'Changed' }) }, q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full', target => 's_table_owner.trapped')), qr/^ok\|0\|1\|/ ],
	[ 'one that marks the deleted', sub { $session{table_owner}->must("INSERT INTO s_table_owner.child VALUES ('$gone[0]')"); $sim->remove($_) for @gone }, q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full', target => 's_table_owner.trapped')), qr/^ok\|0\|0\|19\|2\|/ ],
	[ 'a follower', sub { $sim->update('index/3', { first_name => 'Changed' }) }, q(CALL neon_auth.follow_users_sync('clerk', during => '0', target => 's_table_owner.trapped')), qr/^ok\|\d+\|0\|1\|/ ],
	[ 'a user alone', sub { $sim->update('index/3', { first_name => 'Again' }) }, "SELECT id FROM neon_auth.sync_user('clerk', '$id', 's_table_owner.trapped')", qr/^\Q$id\E/m ],
	[ 'a purge', sub { $session{table_owner}->must("UPDATE s_table_owner.trapped SET deleted_at = '2001-01-01' WHERE deleted_at IS NOT NULL") }, q(CALL neon_auth.purge_deleted('1 day', 's_table_owner.trapped')), qr/^2\|0\|/ ]);
my $catalog = "SELECT md5(string_agg(x, ' ')) FROM (SELECT rolname || rolsuper FROM pg_roles UNION ALL SELECT roleid::text || member FROM pg_auth_members
	UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'neon_auth'::regnamespace ORDER BY 1) AS t (x)";
my $before = $node->safe_psql('postgres', $catalog);

for my $job (@jobs)
{
	my ($what, $change, $sql, $expected) = @$job;

	$change->();
	$session{table_owner}->must('TRUNCATE s_table_owner.noted');
	like($session{admin}->ask($sql), $expected, "a table owner's traps: $what is done");
	cmp_ok($node->safe_psql('postgres', 'SELECT count(DISTINCT place) FROM s_table_owner.noted'), '>=', 4, '... and has met some')
	  or diag($node->safe_psql('postgres', 'SELECT DISTINCT place, who FROM s_table_owner.noted'));
	is($node->safe_psql('postgres', 'SELECT DISTINCT who FROM s_table_owner.noted'), 'table_owner', '... all with the rights of the owner');
	is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT done, '; ') FROM s_table_owner.noted WHERE done <> ''"), '', '... which allow none of it');
	is($session{admin}->must('SELECT current_user, session_user, current_setting(\'role\')'), 'admin|admin|none', '... and leave the session as it was');
}
is($node->safe_psql('postgres', $catalog), $before, 'nobody has got a right or a function');

# a trigger that would wait for the superuser's commit
$session{table_owner}->must('CREATE CONSTRAINT TRIGGER e AFTER UPDATE ON s_table_owner.trapped DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION s_table_owner.trap(); TRUNCATE s_table_owner.noted');
$sim->update('index/4', { first_name => 'Deferred' });
like($session{admin}->ask(q(CALL neon_auth.refresh_users_sync('clerk', target => 's_table_owner.trapped'))), qr/^ok\|0\|1\|/, 'a refresh with a deferred trigger');
is($node->safe_psql('postgres', q(SELECT count(*) / 2 || ' ' || string_agg(DISTINCT who || done, '; ') FROM s_table_owner.noted WHERE place = 'AFTER UPDATE ROW')), '1 table_owner',
	'... fires it before the commit, with the rights of the owner');

$node->stop;
done_testing();
