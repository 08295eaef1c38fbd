
# check_server says of each part of a server whether it can be reached, and what
# to do if not: the provider, and its Redis, a real one and one that lies.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Redis;
use NeonAuth::Test;
use NeonAuth::Wire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $canary = 'canary-8d1f2b';
my $sim = start_sim();
my $node = new_node('main', conf => "log_min_messages = debug5\n");

allow_urls($node, $sim->url);
add_server($node, $sim);

sub run_sql
{
	my ($sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql);

	return $out . $err;
}

# What is wrong with the provider or the Redis, after setting these options of server
# or mapping.
sub check
{
	my ($part, @settings) = @_;

	run_sql($_) for @settings;
	return run_sql("SELECT NOT bool_or(e), coalesce(max(message) FILTER (WHERE e), 'works'), max(detail) FILTER (WHERE e), max(hint) FILTER (WHERE e)
		FROM (SELECT *, verdict = 'error' AS e FROM neon_auth.check_server('clerk')) c WHERE (part = 'redis') = ('$part' = 'redis')");
}

# A check that must find this fault.
sub finds
{
	my ($name, $part, $fault, @settings) = @_;

	return like(check($part, @settings), qr/^f\|.*$fault/s, "$name");
}

sub redis_url
{
	my ($url) = @_;

	return "ALTER SERVER clerk OPTIONS (SET redis_url '$url')";
}

sub mapping
{
	my ($options) = @_;

	return "ALTER USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS ($options)";
}

# ---- The provider

# The verdicts on all parts, in order, by their first letters.
sub verdicts
{
	my (@settings) = @_;

	run_sql($_) for @settings;
	return run_sql(q(SELECT string_agg(left(verdict, 1), '') FROM neon_auth.check_server('clerk')));
}

is(run_sql(q(SELECT part, verdict, message FROM neon_auth.check_server('clerk'))), <<'ROWS' =~ s/\n\z//r, 'a row for each part');
url|ok|may be asked
connection|ok|the provider answers
credential|ok|is accepted
list|ok|users can be listed
user|ok|a user of the list is found by id
count|ok|1000 users
clock|ok|agrees with the provider's
redis|none|queries are not cached
pg_cron|none|pg_cron is not loaded
ROWS
is($sim->asked, '1 get, 1 list, 1 count', 'three requests');

# Each mistake, where it shows and what is unknown then: parts in the order above.
for my $row (
	[ 'a wrong key', { status => 401 }, 'ooeuuuonn' ],
	[ 'a key without rights', { status => 403 }, 'oooeuuonn' ],
	[ 'another service', { status => 404 }, 'oooeuuonn' ],
	[ 'a provider that is down', { status => 500 }, 'oooeuuonn' ],
	[ 'one that takes no more requests', { status => 429 }, 'oooeuuonn' ],
	[ 'one that redirects', { status => 301, headers => { Location => 'https://example.com' } }, 'oooeuuonn' ],
	[ 'a page of HTML', { body => '<html></html>', content_type => 'text/html' }, 'oooeuuonn' ],
	[ 'a key that may list and not get', { match => 'get', status => 403 }, 'ooooeoonn' ],
	[ 'one that finds nobody', { match => 'get', status => 404, body => '{"errors":[{"code":"resource_not_found"}]}' }, 'oooowoonn' ],
	[ 'one that does not count', { match => 'count', status => 403 }, 'oooooeonn' ],
	[ 'a clock that is behind', { headers => { Date => 'Mon, 01 Jan 2001 00:00:00 GMT' } }, 'oooooownn' ],
	[ 'a clock that is ahead', { headers => { Date => 'Wed, 01 Jan 2070 00:00:00 GMT' } }, 'oooooownn' ])
{
	my ($name, $fault, $expected) = @$row;

	$sim->fault({ match => 'any', times => 100, %$fault });
	is(verdicts(), $expected, "$name: the parts that are well, and those that are not");
	is(run_sql(q(SELECT count(*) FROM neon_auth.check_server('clerk') WHERE verdict IN ('error', 'warning') AND hint IS NULL)), 0, '... with what to do');
	$sim->clear_faults;
}
like(run_sql(q(SELECT message FROM neon_auth.check_server('clerk') WHERE part = 'clock')), qr/agrees/, 'the clock again');

for my $row (
	[ 'a wrong key', { status => 401 }, 'did not accept the credential' ],
	[ 'a key without rights', { status => 403 }, 'does not let this credential read users' ],
	[ 'a provider that is down', { status => 500 }, 'is not available.*HTTP status 500' ],
	[ 'another service', { status => 404 }, 'has no user directory at this address' ],
	[ 'a page of HTML', { body => '<html></html>', content_type => 'text/html' }, 'could not read the reply.*is not JSON' ],
	[ 'a number that is none', { body => '{}' }, 'could not read the reply' ])
{
	my ($name, $fault, $message) = @$row;

	$sim->fault({ match => 'any', %$fault });
	finds($name, 'provider', $message);
	$sim->clear_faults;
}
my $nowhere = 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
my $url = $sim->url;
is(verdicts("ALTER SERVER clerk OPTIONS (SET url '$nowhere')"), 'euuuuuunn', 'an address that is not allowed');
finds('an address that is not allowed', 'provider', 'may not be asked.*allowed_urls',
	"ALTER SERVER clerk OPTIONS (SET url '$nowhere')");
allow_urls($node, $sim->url, $nowhere);
is(verdicts(), 'oeuuuuunn', 'nobody there');
finds('nobody there', 'provider', 'could not connect to the provider', 'SELECT 1');
my $plain = 'http://directory.invalid';
allow_urls($node, $sim->url, $nowhere, $plain);
is(verdicts("ALTER SERVER clerk OPTIONS (SET url '$plain')"), 'weuuuuunn', 'http to another machine, and no such machine');
like(run_sql(q(SELECT hint FROM neon_auth.check_server('clerk') WHERE part = 'url')), qr/Use https: ALTER SERVER clerk OPTIONS \(SET url/, 'says what to do');
is(check('provider', "ALTER SERVER clerk OPTIONS (SET url '$url')"), 't|works||', 'the provider again');

# ---- A real Redis

my $redis = start_redis('--requirepass', $canary);
$redis->call('-a', $canary, 'ACL', 'SETUSER', 'sync', 'on', ">$canary", '+@all');
$redis->call('-a', $canary, 'ACL', 'SETUSER', 'mute', 'on', ">$canary", '-@all', '+auth');
my $real = $redis->url;

finds('Redis wants a password', 'redis', 'asks for a password.*redis_password', "ALTER SERVER clerk OPTIONS (ADD redis_url '$real')");
finds('Redis, a wrong password', 'redis', 'WRONGPASS', mapping(qq(ADD redis_password 'wrong-$canary')));
is(check('redis', mapping("SET redis_password '$canary'")), 't|works||', 'Redis with a password');
is(check('redis', mapping(q(ADD redis_user 'sync'))), 't|works||', 'Redis with user and password');
finds('Redis, a user without rights', 'redis', 'may not run this command.*NOPERM', mapping(q(SET redis_user 'mute')));
run_sql(mapping('DROP redis_user'));
is(check('redis', redis_url("$real/7")), 't|works||', 'Redis, another database');
finds('Redis, no such database', 'redis', 'refused', redis_url("$real/9999"));
is(check('redis', redis_url('unix:' . $redis->socket)), 't|works||', 'Redis on a Unix socket');
finds('Redis, no such socket', 'redis', 'could not connect to the Redis', redis_url('unix:/nowhere/at/all'));
is(check('redis', redis_url(q(redis://localhost:) . $redis->port)), 't|works||', 'Redis by name');
finds('Redis without TLS', 'redis', 'could not connect', redis_url($real =~ s/redis/rediss/r));
finds('Redis elsewhere', 'redis', 'may not be asked.*allowed_urls', redis_url('redis://192.0.2.1'));
finds('the provider as Redis', 'redis', 'broke|not Redis', redis_url('redis://127.0.0.1:' . $sim->port));

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $ask = q(SELECT verdict = 'ok' FROM neon_auth.check_server('clerk') WHERE part = 'redis';);
my $uses = q(SELECT uses FROM neon_auth.connections() WHERE kind = 'redis';);
run_sql(redis_url($real));
is($session->query($ask x 3), "t\nt\nt", 'Redis, three times');
is($session->query($uses), '3', 'over one connection');
run_sql(mapping(q(SET redis_password 'wrong')));
is($session->query($ask), 'f', 'never with a password that is no longer right');
run_sql(mapping("SET redis_password '$canary'"));
is($session->query($ask), 't', 'and again when it is');
$redis->call('-a', $canary, 'CLIENT', 'KILL', 'TYPE', 'normal');
is($session->query($ask), 't', 'it may have been closed since');
$redis->stop;
is($session->query($ask), 'f', 'a Redis that is gone');
is($session->query($uses), '', 'keeps no connection');
is($session->query('SELECT count(id) FROM app.users;'), '1000', 'and no query from its answer');

# ---- A Redis that lies

run_sql(mapping('DROP redis_password'));
my $wire = start_wire();
run_sql(redis_url('redis://127.0.0.1:' . $wire->port));
run_sql(q(ALTER SERVER clerk OPTIONS (ADD redis_timeout '10s')));
for my $row (
	[ 'PONG', [ 'send', "+PONG\r\n" ], 't' ],
	[ 'PONG in pieces', [ 'drip', "+PONG\r\n", 0.01 ], 't' ],
	[ 'nothing', ['close'], 'closed without a reply' ],
	[ 'a reset', ['reset'], 'broke' ],
	[ 'another status', [ 'send', "+OK\r\n" ], 'not Redis' ],
	[ 'two replies', [ 'send', "+PONG\r\n+PONG\r\n" ], 'not Redis' ],
	[ 'no RESP', [ 'send', "SSH-2.0-OpenSSH_9.2\r\n" ], 'not Redis' ],
	[ 'a number', [ 'send', ":7\r\n" ], 'not Redis' ],
	[ 'nothing at all', [ 'send', "\$-1\r\n" ], 'not Redis' ],
	[ 'an array', [ 'send', "*2\r\n+a\r\n+b\r\n" ], 'not Redis' ],
	[ 'a huge array', [ 'send', "*2000000000\r\n" ], 'not Redis' ],
	[ 'a negative array', [ 'send', "*-9\r\n" ], 'not Redis' ],
	[ 'a push of RESP3', [ 'send', ">2\r\n+a\r\n+b\r\n" ], 'not Redis' ],
	[ 'a huge string', [ 'flood', "\$2000000000\r\n" . 'x' x 4096 ], 'too large' ],
	[ 'a line without end', [ 'flood', '+' . 'x' x 4096 ], 'too large' ],
	[ 'loading', [ 'send', "-LOADING Redis is loading the dataset in memory\r\n" ], 'is not available.*LOADING' ],
	[ 'a master that is down', [ 'send', "-MASTERDOWN Link with MASTER is down\r\n" ], 'is not available' ],
	[ 'a script', [ 'send', "-BUSY Redis is busy running a script\r\n" ], 'is not available' ],
	[ 'no room', [ 'send', "-ERR max number of clients reached\r\n" ], 'is not available.*as many clients' ],
	[ 'protected mode', [ 'send', "-DENIED Redis is running in protected mode\r\n" ], 'is not available.*protected mode' ],
	[ 'a number of RESP3', [ 'send', ",1.5\r\n" ], 'not Redis' ],
	[ 'an error', [ 'send', "-ERR $canary\r\n" ], 'refused the request.*ERR' ],
	[ 'an error of no form', [ 'send', "-<b>$canary</b> x\r\n" ], 'refused' ])
{
	my ($name, $step, $result) = @$row;

	$wire->script([ 'command', 1 ], $step, ['stall']);
	$result eq 't'
	  ? is(check('redis'), 't|works||', "Redis says $name")
	  : finds("Redis says $name", 'redis', $result);
}
run_sql(q(ALTER SERVER clerk OPTIONS (SET redis_timeout '200ms')));
my $connections = $wire->connections;
for my $row (
	[ 'nothing', ['stall'] ],
	[ 'half a reply', [ 'command', 1 ], [ 'send', '+PO' ], ['stall'] ],
	[ 'a byte a second', [ 'command', 1 ], [ 'drip', '+' . 'x' x 600, 1 ] ])
{
	my ($name, @steps) = @$row;

	$wire->script(@steps);
	finds("Redis says $name", 'redis', 'did not answer in time.*redis_timeout');
	$connections++;
	is($wire->connections, $connections, 'and is asked once');
}
$wire->wait_at('closed', $connections);
is($wire->at('stall'), 0, 'no connection stays after a time-out');

# ---- Who may check, and what is told

run_sql('CREATE ROLE guest');
my $denied = run_sql(q(SET ROLE guest; SELECT * FROM neon_auth.check_server('clerk')));
like($denied, qr/permission denied for foreign server clerk/, 'only who may use the server may check it');
like(run_sql(q(SELECT * FROM neon_auth.check_server('nobody'))), qr/server "nobody" does not exist/, 'an unknown server');
run_sql('CREATE FOREIGN DATA WRAPPER other; GRANT USAGE ON FOREIGN DATA WRAPPER other TO guest');
my $own = run_sql(<<"SQL");
SET ROLE guest;
CREATE SERVER own FOREIGN DATA WRAPPER other OPTIONS (provider 'clerk', url '$url', redis_url '$real');
CREATE USER MAPPING FOR CURRENT_USER SERVER own OPTIONS (api_key 'sk_test_x');
SELECT * FROM neon_auth.check_server('own');
SQL
like($own, qr/foreign-data wrapper "other" has no handler/, 'a server of another wrapper is none of ours');
run_sql('CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw');
for my $sql (q(SELECT * FROM neon_auth.check_server('files')), q(CALL neon_auth.refresh_users_sync('files')))
{
	like(run_sql($sql), qr/server "files" is not one of foreign data wrapper neon_auth_fdw/, $sql);
}
$node->stop;
my $log = slurp_file($node->logfile);
$log =~ s/^.*(ALTER|CREATE) USER MAPPING.*$//mg;    # as they were typed
unlike($log, qr/$canary/, 'no message has a password or what Redis says');

done_testing();
