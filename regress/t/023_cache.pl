
# What a user sees of the cache: the same rows with fewer requests, who shares them,
# and when the provider is asked again.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use CPAN::Meta::YAML;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;

use NeonAuth::Cached;
use NeonAuth::Redis;
use NeonAuth::RedisProxy;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 67;    # 6 in the fixture, 60 generated, one created
my $sim = start_sim(users => 60, fixture => tree() . '/regress/fixtures/clerk/scan.json');
my $auth = start_sim(provider => 'better_auth', users => 60);
my $odd = start_sim(users => 3);
my $redis = start_redis();
my $proxy = start_redis_proxy($redis);
my $node = new_node(
	'main',
	urls => [ map { $_->url } $sim, $auth, $odd ],
	allows_streaming => 1,
	conf => "log_statement = none\ntimezone = 'UTC'\n");

# Nothing here gets stale by itself.
my $cached = ", redis_url '" . $redis->url . "', redis_timeout '1min', cache_ttl '1d', page_size '10'";
$sim->create({ id => 'user_ada', username => 'lady', first_name => 'Lady', last_name => 'Ada' });
add_server($node, $sim, options => $cached);
add_server($node, $auth, schema => 'auth', options => $cached);
add_server($node, $odd, name => 'odd', schema => 'odd', options => $cached);
add_server($node, $sim, name => 'plain', schema => 'plain');
watch_queries($node, $sim);

# ---- Helpers

# One line that no two different contents of a table share.
sub digest
{
	my ($table, $columns) = @_;

	return "SELECT count(*), md5(string_agg(u::text, E'\\n' ORDER BY id COLLATE \"C\"))
		FROM (SELECT $columns FROM $table) u";
}

my $narrow = 'id, name, email, created_at, updated_at, deleted_at';
my $count = 'SELECT count(id) FROM app.users';
my $one = "SELECT name FROM app.users WHERE id = 'user_ada'";
my $off = 'SET neon_auth_fdw.cache = off';
my $refill = 'SET neon_auth_fdw.cache = refill';
my $clear = "SELECT neon_auth.cache_clear('clerk')";

# ---- The same rows, and no request

# Users that PostgreSQL cannot hold, in pages with others, and the longest values.
my $long = 'n' x 4096;
$odd->create_raw(qq({"id":"long","first_name":"$long"}));
$odd->create_raw(qq({"id":"accents","first_name":") . "\xc3\xa9" x 2048 . '"}');
$odd->create_raw(qq({"id":"longer","first_name":"${long}n"}));
$odd->create_raw('{"id":"' . 'i' x 255 . '","first_name":"ends with a blank "}', id => 'widest');
$odd->create_raw(q({"id":"nul","first_name":"a\u0000b"}));
$odd->create_raw(q({"id":"escapes","first_name":"\ud83d\ude00 \" \\\\ \n\t","n":[1e400,-0.10,{},[],"",null,true]}));
$odd->create({ id => "filler$_" }) for 1 .. 20;
$odd->create_raw('{"first_name":"no id"}', created_at => 1);
$odd->create_raw(qq({"id":"nothing else"}));
$odd->create_raw(qq({"id":"bytes","first_name":"\xff"}));

for my $row ([ 'app.users', $sim, $users ], [ 'auth.users', $auth, 60 ], [ 'odd.users', $odd, 28 ])
{
	my ($table, $provider, $rows) = @$row;

	for my $columns ($narrow, '*')
	{
		my $sql = digest($table, $columns);

		$provider->reset_stats;
		my $direct = run_sql("$off;\n$sql");
		my $requests = $provider->asked;

		like($direct, qr/^$rows\|\w{32}$/m, "$table, $columns: all users are there");
		$provider->reset_stats;
		is(run_sql("\n$sql"), $direct, "$table, $columns: through the cache there are the same");
		is($provider->asked, $columns eq $narrow ? $requests : 'nothing', 'which were asked for once, for all columns');
		$provider->reset_stats;
		is(run_sql("\n$sql"), $direct, "$table, $columns: from the cache there are the same");
		is($provider->asked, 'nothing', 'without a request');
	}
}
like(run_sql(digest('odd.users', $narrow)), qr/WARNING:  22000: left out a user of server "odd".*\nDETAIL:  Reason: /,
	'from the cache, too, users left out are told with the reason');

# More users go than two of Better Auth's pages have in common, so one is read again.
my @first = split /\n/, run_sql('SELECT id FROM auth.users ORDER BY id COLLATE "C" LIMIT 7');
my @gone = map { $auth->user($_)->{index} } @first[ 0 .. 2, 4 .. 6 ];
my $sixty = 'SELECT count(*), count(DISTINCT id) FROM auth.users';
run_sql(q(SELECT neon_auth.cache_clear('better_auth')));
$auth->fault({ match => 'list', after => 1, mutate => { delete_index => \@gone } });
is(run_sql($sixty), '60|60', 'users who go while pages are cached');
query_is('are in what is cached', $sixty, '60|60', 'nothing', $auth);

query_is('count(*)', $count, $users, 'nothing');
query_is('LIMIT', 'SELECT count(*) FROM (SELECT * FROM app.users LIMIT 25) u', 25, 'nothing');
query_is('LIMIT on a page', 'SELECT count(*) FROM (SELECT * FROM app.users LIMIT 10) u', 10, 'nothing');
query_is('a condition', "SELECT id FROM app.users WHERE name = 'Lady Ada'", 'user_ada', 'nothing');
query_is('one column', 'SELECT count(email) FROM app.users', 63, 'nothing');
query_is('raw_json alone', q(SELECT raw_json->>'username' FROM app.users WHERE name = 'Lady Ada'), 'lady', 'nothing');
query_is('the first lookup', $one, 'Lady Ada', '1 get');
query_is('a lookup again', $one, 'Lady Ada', 'nothing');
query_is('of other columns', "SELECT raw_json->>'username' FROM app.users WHERE id = 'user_ada'", 'lady', 'nothing');
query_is('another lookup', "SELECT name FROM app.users WHERE id = 'user_scanB'", 'grace', '1 get');
for my $id ('odd &=#?%+é id', 'user_scanE')
{
	my $sql = "SELECT * FROM app.users WHERE id = '$id'";
	my $direct = run_sql("$off; $sql");

	query_is("a lookup of $id", $sql, $direct, '1 get');
	query_is("a lookup of $id again", $sql, $direct, 'nothing');
}
my $left_out = q(SELECT * FROM odd.users WHERE id = 'nul');
my $direct = run_sql("$off; $left_out");
like($direct, qr/left out a user/, 'a lookup of a user left out');
query_is('the same, cached', $left_out, $direct, '1 get', $odd);
query_is('the same from the cache', $left_out, $direct, 'nothing', $odd);
query_is('READ ONLY',
	"BEGIN READ ONLY; $count; $one; SELECT txid_current_if_assigned() IS NULL; COMMIT", "$users\nLady Ada\nt",
	'nothing');
query_is('filling the cache in READ ONLY',
	"$clear; BEGIN READ ONLY; $count; SELECT txid_current_if_assigned() IS NULL; COMMIT", "\n$users\nt", '7 list');

# ---- EXPLAIN

is(explained($count), '0, hits=1 stale=0 misses=0, age', 'EXPLAIN of a hit');
is(explained($one), '1, hits=0 stale=0 misses=1', 'EXPLAIN of a miss, for cache_clear forgot lookups too');
is(explained($one), '0, hits=1 stale=0 misses=0, age', 'EXPLAIN of a lookup');
is(explained("$count LIMIT 0"), 'none, none', 'EXPLAIN of a scan that did not begin');
is(explained('SELECT count(id) FROM plain.users'), '1, none', 'EXPLAIN where there is no cache');
like(run_sql("$off; EXPLAIN (ANALYZE, COSTS off) $count"), qr/Requests: 7\n(?!.*Cache:)/s, 'EXPLAIN without the cache');
$sim->reset_stats;
$redis->reset_commands;
unlike(run_sql("EXPLAIN (VERBOSE) $count; EXPLAIN $one; PREPARE p AS $count"), qr/Cache|Requests/,
	'EXPLAIN alone has no such lines');
is($sim->asked, 'nothing', 'it asks no provider');
is_deeply({ $redis->commands }, {}, 'and no Redis');
my %plans = map { $_ => run_sql("EXPLAIN (ANALYZE, FORMAT $_) SELECT * FROM app.users") } qw(json yaml xml);
for my $plan (JSON::PP->new->decode($plans{json})->[0]{Plan}, CPAN::Meta::YAML->read_string($plans{yaml})->[0][0]{Plan})
{
	is(join(' ', map { $plan->{$_} } 'Requests', 'Cache Hits', 'Cache Stale', 'Cache Misses'), '0 1 0 0', 'as data');
	like($plan->{'Cache Age'}, qr/^\d+\.\d+$/, 'with the age, a number');
}
my $fields = q(xpath('//*[starts-with(local-name(), "Cache")]/text()',);
like(run_sql("SELECT $fields '$plans{xml}')"), qr/^\{1,0,0,\d+\.\d+\}$/, 'and as XML');

# ---- Who shares

my $session = $node->background_psql('postgres', on_error_stop => 0);
$sim->reset_stats;
is($session->query_safe("$count; $one"), "$users\nLady Ada", 'a session reads what others have cached');
is($sim->asked, 'nothing', 'asking nobody');
like($session->query_safe('SELECT * FROM neon_auth.cache_stats()'),
	qr/^clerk\|\w+\|2\|0\|0\|0\|0\|0\|0\|0\|[1-9]\d*\|0$/, 'cache_stats counts this');
$node->safe_psql('postgres', 'CREATE DATABASE branch');
$node->safe_psql('branch', 'CREATE EXTENSION neon_auth_fdw');
add_server($node, $sim, name => 'other_name', database => 'branch', options => $cached);
query_is('another database, another name of the server', "$count; $one", "$users\nLady Ada", 'nothing', $sim, 'branch');

run_sql("CREATE ROLE keeper; CREATE ROLE guest; CREATE ROLE stranger;
	GRANT USAGE ON SCHEMA app TO keeper, guest, stranger; GRANT SELECT ON app.users TO keeper, guest, stranger;
	GRANT USAGE ON FOREIGN SERVER clerk TO keeper, guest;
	CREATE USER MAPPING FOR keeper SERVER clerk OPTIONS (api_key 'sk_test_x');
	CREATE USER MAPPING FOR guest SERVER clerk OPTIONS (api_key 'sk_other')");
query_is('another role with the same credential', "SET ROLE keeper; $count; $one", "$users\nLady Ada", 'nothing');
for my $sql ($count, $one)
{
	$sim->reset_stats;
	like(run_sql("SET ROLE guest; $sql"), qr/^psql:\S+ ERROR:  28000/, 'another credential gets nothing of it');
	unlike($sim->asked, qr/nothing/, 'the provider decides');
}
is(run_sql("SET ROLE guest; $clear"), '', 'it may forget what is its own');
query_is('which this is not', "$count; $one", "$users\nLady Ada", 'nothing');

# ---- The setting

query_is('with off, which any role may set', "$one; SET ROLE keeper; $off; $count; $one", "Lady Ada\n$users\nLady Ada",
	'1 get, 7 list');
my %keys = map { $_ => 1 } $redis->keys;
$redis->reset_commands;
query_is('with off, again', "$off; $count; $one; $one", "$users\nLady Ada\nLady Ada", '2 get, 7 list');
is_deeply({ $redis->commands }, { get => 9 }, 'off only looks whether the provider wants silence');
is_deeply({ map { $_ => 1 } $redis->keys }, \%keys, 'and leaves there what is there');
$sim->update('user_ada', { first_name => 'Augusta', last_name => 'King' });
query_is('what is cached stays', $one, 'Lady Ada', 'nothing');
query_is('off sees a change', "$off; $one", 'Augusta King', '1 get');
query_is('what is cached still stays', $one, 'Lady Ada', 'nothing');
query_is('refill sees it', "SET ROLE keeper; $refill; $one; $count", "Augusta King\n$users", '1 get, 7 list');
query_is('and so do all others then', "$one; SELECT name FROM (SELECT * FROM app.users) u WHERE id || '' = 'user_ada'",
	"Augusta King\nAugusta King", 'nothing');

# ---- Changes at the provider

# The name of the first user by lookup and by listing, and what was asked for.
sub seen
{
	$sim->reset_stats;
	my @names = split /\n/, run_sql("$one; SELECT name FROM app.users WHERE id || '' = 'user_ada'");

	return join(', ', @names, $sim->asked);
}

$session->query_safe(q(CALL neon_auth.refresh_users_sync('clerk')));
is(seen(), 'Augusta King, Augusta King, 1 get, 7 list', 'a refresh that found something new forgets all');
is(seen(), 'Augusta King, Augusta King, nothing', 'once');
$session->query_safe(q(CALL neon_auth.refresh_users_sync('clerk')));
is(seen(), 'Augusta King, Augusta King, nothing', 'a refresh that found nothing new does not');
$sim->update('user_ada', { first_name => 'Ada', last_name => 'Byron' });
is(seen(), 'Augusta King, Augusta King, nothing', 'a change is not seen at once');
$session->query_safe(q(CALL neon_auth.refresh_users_sync('clerk', dry_run => true)));
is(seen(), 'Augusta King, Augusta King, nothing', 'nor after a dry run');
$session->query_safe(q(CALL neon_auth.refresh_users_sync('clerk')));
is(seen(), 'Ada Byron, Ada Byron, 1 get, 7 list', 'but after a refresh');
$sim->update('user_ada', { first_name => 'Lady', last_name => 'Ada' });
is(run_sql($clear), '', 'cache_clear says nothing');
is(seen(), 'Lady Ada, Lady Ada, 1 get, 7 list', 'after cache_clear all sessions see a change');
$sim->remove('index/20');
$session->query_safe(q(CALL neon_auth.refresh_users_sync('clerk')));
$users--;
query_is('a deletion is seen after a refresh', $count, $users, '7 list');
is(seen(), 'Lady Ada, Lady Ada, 1 get', 'lookups were forgotten');
for my $row (
	[ "SET ROLE stranger; $clear", '42501: permission denied for foreign server clerk', 'the right to use the server' ],
	[ "GRANT USAGE ON FOREIGN SERVER clerk TO stranger; SET ROLE stranger; $clear",
		'42704: role "stranger" has no user mapping for server "clerk"', 'a user mapping' ],
	[ q(SELECT neon_auth.cache_clear('plain')),
		'55000: server "plain" has no cache\nHINT:  Option "redis_url" of the server says which Redis', 'a Redis' ],
	[ q(SELECT neon_auth.cache_clear('nowhere')), '42704: server "nowhere" does not exist', 'a server' ],
	[ "ALTER SERVER plain OPTIONS (ADD redis_url 'redis://127.0.0.1:1'); SELECT neon_auth.cache_clear('plain')",
		'HV00N: could not connect to the Redis of server "plain"', 'a Redis that is there' ])
{
	my ($sql, $error, $what) = @$row;

	like(run_sql($sql), qr/ERROR:  $error/, "cache_clear needs $what");
}
is(seen(), 'Lady Ada, Lady Ada, nothing', 'and forgets nothing without');

# ---- Statements of all kinds

run_sql("CREATE TABLE posts (id int, author text);
	INSERT INTO posts VALUES (1, 'user_ada'), (2, 'user_scanB'), (3, NULL), (4, 'user_ada'), (5, 'user_scanB')");
my $loop = join('', map { "SET enable_$_ = off;" } qw(material hashjoin mergejoin memoize));
my $cold = "\\o /dev/null\n$clear;\n\\o\n";
my $by_post = "1|Lady Ada\n2|grace\n3|\n4|Lady Ada\n5|grace";
my @loops = (
	[ 'lookups in a subquery', 'SELECT id, (SELECT name FROM app.users u WHERE u.id = p.author) FROM posts p' ],
	[ 'lookups in a nested loop', "$loop SELECT p.id, u.name FROM posts p LEFT JOIN LATERAL
		(SELECT name FROM app.users u WHERE u.id = p.author OFFSET 0) u ON true" ]);

for (@loops)
{
	my ($name, $sql) = @$_;

	query_is("$name, cold", "$cold $sql ORDER BY p.id", $by_post, '2 get');
	query_is($name, "$sql ORDER BY p.id", $by_post, 'nothing');
}
is(explained("$loops[0][1] WHERE author > ''"), '0, hits=4 stale=0 misses=0, age', 'EXPLAIN counts each lookup');
my $each = 'SELECT 1 FROM app.users';
my $in_turns = 'FETCH 8 a; FETCH 9 b;' x 6;

for my $row (
	[ 'a self-join', 'SELECT count(*) FROM app.users a JOIN app.users b USING (id)', $users ],
	[ 'a self-join of whole rows', 'SELECT count(a.raw_json) FROM app.users a JOIN app.users b ON a = b', $users ],
	[ 'a self-join in a loop', "$loop SELECT count(*) FROM app.users a JOIN app.users b ON a.id >= b.id",
		$users * ($users + 1) / 2 ],
	[ 'a union', "$count UNION ALL $count", "$users\n$users" ],
	[ 'rescans', "$loop SELECT count(u) FROM generate_series(1, 3) g LEFT JOIN app.users u ON length(u.id) > g",
		3 * $users ],
	[ 'a cursor WITH HOLD', "BEGIN; DECLARE c CURSOR WITH HOLD FOR $each; FETCH 15 c; COMMIT; FETCH ALL c",
		join("\n", (1) x $users) ],
	[ 'two cursors in turns', "BEGIN; DECLARE a CURSOR FOR $each; DECLARE b CURSOR FOR $each;\n"
		  . "\\o /dev/null\n$in_turns\n\\o\nFETCH ALL a; FETCH ALL b", join("\n", (1) x (2 * $users - 6 * 17)), '9 list' ])
{
	my ($name, $sql, $rows, $requests) = @$row;

	query_is("$name, cold", "$cold $sql", $rows, $requests // '7 list');
	query_is($name, $sql, $rows, 'nothing');
}
like(run_sql("$cold BEGIN; DECLARE a CURSOR FOR $each; DECLARE b CURSOR FOR $each;\n\\o /dev/null\n$in_turns\n\\o\nCOMMIT; SELECT sum(waits) FROM neon_auth.cache_stats()"),
	qr/^0$/m, 'cursors of one session do not wait for each other');
query_is('a part', "$cold SELECT count(*) FROM (SELECT FROM app.users LIMIT 25) u", 25, '3 list');
query_is('the rest', $count, $users, '4 list');
query_is(
	'a prepared statement',
	"$cold SET plan_cache_mode = force_generic_plan; PREPARE p(text) AS SELECT name FROM app.users WHERE id = \$1;
	 EXECUTE p('user_ada'); EXECUTE p('user_scanB'); EXECUTE p(NULL); EXECUTE p('user_ada')",
	"Lady Ada\ngrace\nLady Ada", '2 get');
query_is(
	'exceptions while reading',
	"$cold DO \$\$ BEGIN
	   FOR i IN 1 .. 20 LOOP
	     BEGIN PERFORM 1 / (length(id) - length(id)) FROM app.users; RAISE 'no exception';
	     EXCEPTION WHEN division_by_zero THEN NULL; END;
	   END LOOP;
	 END \$\$", '', '1 list');
query_is('after that', $count, $users, '6 list');

# ---- Redis

my $watched = $proxy->url;
run_sql("ALTER SERVER clerk OPTIONS (SET redis_url '$watched')");
$session->query("SELECT neon_auth.disconnect_all(); $one");

# The words that a statement sends to Redis, with short names of keys, and in how
# many round trips.
sub said
{
	my ($sql) = @_;

	$proxy->reset;
	$session->query($sql);
	my @commands = map { join(' ', map { s/^neon_auth:\{\w+\}:// ? s/\w{32}/ID/gr : $_ } @$_) } $proxy->seen;

	return join(', ', $proxy->trips, @commands);
}

is(said($one), '1, GET e, HMGET ID 0', 'a lookup is one round trip, and moves no raw_json');
is(said($one =~ s/name/raw_json/r), '1, GET e, HMGET ID 0 0r', 'unless that is wanted');
is(said($count), '4, GET e, GET ID:c, GET ID:n, HMGET ID:ID 0, HMGET ID:ID 1 2, HMGET ID:ID 3 4 5 6',
	'a listing comes in steps of growing size, without raw_json');
is(said('SELECT * FROM app.users LIMIT 1'), '2, GET e, GET ID:c, GET ID:n, HMGET ID:ID 0 0r',
	'which are no larger than needed');
my ($narrow_bytes, $wide_bytes) = map {
	my $before = $session->query('SELECT sum(bytes_read) FROM neon_auth.cache_stats()');

	$session->query("SELECT count($_) FROM app.users");
	$session->query('SELECT sum(bytes_read) FROM neon_auth.cache_stats()') - $before;
} qw(name raw_json);
cmp_ok(0, '<', $narrow_bytes, 'cache_stats counts bytes');
cmp_ok(2 * $narrow_bytes, '<', $wide_bytes, 'which are many more with raw_json');
is(said($clear) =~ s/ID|\w{32}/ID/r, '1, SET e ID PX 604800000', 'to forget is one command');
$proxy->reset;
$session->query("$count; $one; $refill; $count; $one");
my %commands = map { $_->[0] => 1 } $proxy->seen;
is(join(' ', sort keys %commands), 'DEL EXEC GET HLEN HMGET HSET HSETNX MULTI PEXPIRE PTTL SET',
	'all else takes these commands');
$session->quit;

# ---- A standby

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);

# The same as query_is, on the standby.
sub standby_is
{
	my ($name, $sql, $rows, $requests) = @_;

	$sim->reset_stats;
	is($standby->safe_psql('postgres', $sql), $rows, "$name on a standby: rows");
	is($sim->asked, $requests, "$name on a standby: requests");
	return;
}

standby_is('what the primary has cached', "$count; $one", "$users\nLady Ada", 'nothing');
standby_is('counters', "$count; SELECT hits, misses FROM neon_auth.cache_stats()", "$users\n1|0", 'nothing');
standby_is('cache_clear', $clear, '', 'nothing');
standby_is('a cold cache', "BEGIN ISOLATION LEVEL REPEATABLE READ; $count; $one; COMMIT", "$users\nLady Ada",
	'1 get, 7 list');
query_is('what a standby has cached', "$count; $one", "$users\nLady Ada", 'nothing');
$standby->stop;

$node->stop;
done_testing();
