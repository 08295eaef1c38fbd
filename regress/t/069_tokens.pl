# Access tokens for a client's credentials: whose they are, where they go, what is made of
# bad ones, how often they are asked for, and that they are shown nowhere.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $client = "client_id 'client', client_secret 'sk_test_x'";
my $sim = start_sim(provider => 'auth0', users => 30);
my $other = start_sim(provider => 'auth0', users => 30, key => 'other');
my $many = start_sim(provider => 'auth0', users => 3000, clock => (time() - 3600) * 1000, set => 'token_uses=25');
my $node = new_node('tokens', urls => [ map { $_->url } $sim, $other, $many ],
	conf => "log_min_messages = debug5\nlog_statement = none\nlog_min_error_statement = panic\n");
my $users = 'SELECT count(id) FROM app.users';

add_server($node, $sim, mapping => $client);
add_server($node, $many, name => 'many', schema => 'many', mapping => $client, options => ", page_size '50', max_concurrency '8'");
my $session = new_session($node);

sub sql { return $session->must($_[0]); }

# ---- Whose they are

sql(<<"SQL");
CREATE ROLE stranger;
CREATE ROLE nobody_s;
GRANT USAGE ON FOREIGN SERVER auth0 TO stranger, nobody_s;
GRANT USAGE ON SCHEMA app TO stranger, nobody_s;
GRANT SELECT ON app.users TO stranger, nobody_s;
CREATE USER MAPPING FOR stranger SERVER auth0 OPTIONS (client_id 'client', client_secret 'wrong');
CREATE VIEW app.seen AS SELECT id FROM app.users;
GRANT SELECT ON app.seen TO stranger;
CREATE FUNCTION app.definer() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(id) FROM app.users';
SQL
is(sql($users), 30, 'a token is got');
sql('SET ROLE stranger');
like($session->ask($users), qr/ERROR:  28000:/, 'another role has no use of it');
is(sql('SELECT count(*) FROM app.seen'), 30, 'but through a view of the one whose it is');
is(sql('SELECT app.definer()'), 30, 'and through a function of that one');
sql('RESET ROLE; SET ROLE nobody_s');
like($session->ask($users), qr/ERROR:  42704:/, 'a role without a mapping has none');
sql('RESET ROLE');

# ---- Where they go

$other->reset_stats;
sql("ALTER SERVER auth0 OPTIONS (SET url '" . $other->url . "')");
like($session->ask($users), qr/ERROR:  28000:/, 'another address');
is($other->asked, '1 other', 'gets a request for a token of its own, and no token');
sql("ALTER SERVER auth0 OPTIONS (SET url '" . $sim->url . "')");
is(sql($users), 30, 'the address of before');
sql("BEGIN; ALTER SERVER auth0 OPTIONS (SET url '" . $other->url . "'); SAVEPOINT s");
$session->ask($users);
sql('ROLLBACK');
$other->reset_stats;
is(sql($users) . ' ' . $other->asked, '30 nothing', 'a change that was rolled back is none');
for my $status (302, 307)
{
	$other->reset_stats;
	$sim->fault({ match => 'other', status => $status, redirect => $other->url . '/oauth/token' });
	like(new_session($node)->ask($users), qr/ERROR:.*redirects/, "a redirect with status $status");
	is($other->asked, 'nothing', 'is not followed, for the secret would go along');
}

# ---- Bad ones

for my $body (
	'{"access_token":"CANARY\r\nX-Evil: 1","expires_in":86400}', '{"access_token":"CANARY x","expires_in":86400}', '{"access_token":"CANARY\u00e9","expires_in":86400}',
	'{"access_token":"CANARY\u0000y"}', '{"access_token":"CANARY","token_type":"mac"}', '{"access_token":"' . 'CANARY' x 1024 . '"}', '{"access_token":""}', '{"access_token":7}',
	'{"access_token":"CANARY","access_token":"b"}', '<html>CANARY', '[' x 5000, '{}', '')
{
	my $fresh = new_session($node);
	my $name = substr($body, 0, 40);

	$sim->fault({ match => 'other', status => 200, body => $body });
	like($fresh->ask($users), qr/ERROR:  HV00M:/, "no token: $name");
	is($fresh->must($users), 30, 'is not kept: the next query gets another one');
}
for my $life ('-9223372036854775808', '9223372036854775807', '"60"', 'null', '1e400')
{
	$sim->fault({ match => 'other', status => 200, body => qq({"access_token":"CANARY","expires_in":$life}) });
	unlike(new_session($node)->ask($users), qr/CANARY/, "a life of $life: what comes of it, the token is not shown");
}
$sim->clear_faults;

# ---- How often they are asked for

$sim->reset_stats;
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER auth0 OPTIONS (SET client_secret 'wrong')");
sql(<<'SQL');
DO $$
BEGIN
	FOR i IN 1 .. 50 LOOP
		BEGIN
			PERFORM count(id) FROM app.users;
		EXCEPTION WHEN invalid_authorization_specification THEN
			NULL;
		END;
	END LOOP;
END
$$
SQL
cmp_ok($sim->stats->{other}, '<', 10, 'a credential that was refused is not tried again and again');
$sim->reset_stats;
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER auth0 OPTIONS (SET client_secret 'sk_test_x')");
is(sql($users), 30, 'another one at once');

like(sql("CALL neon_auth.refresh_users_sync('many', target => 'many.users_sync')"), qr/^ok\|3000\|/, 'a large listing with many pages on their way, and tokens that end in its middle');
cmp_ok($many->stats->{tokens}, '<=', 10, 'takes no more of them than pages by turns would');

# ---- That they leave nothing behind

sub memory { return sql(q(SELECT total_bytes FROM pg_backend_memory_contexts WHERE name = 'TopMemoryContext')); }

sub turn
{
	sql("DROP USER MAPPING FOR CURRENT_USER SERVER auth0; CREATE USER MAPPING FOR CURRENT_USER SERVER auth0 OPTIONS ($client)");
	return sql('SELECT count(*) FROM (SELECT id FROM app.users LIMIT 1) AS u');
}

turn() for 1 .. 10;
my $before = memory();
turn() for 1 .. 100;
cmp_ok(memory() - $before, '<', 200_000, 'a session does not grow with the mappings it has seen');

my $log = slurp_file($node->logfile);
unlike($log, qr/CANARY|token_\d|sk_test_x/, 'no log, however verbose, has a token or a secret');

done_testing();
