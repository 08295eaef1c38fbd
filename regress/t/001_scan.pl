
# Scans of foreign tables: the columns, what is asked of the provider and how
# often, one state of the directory in a statement, whose credential is used,
# users that PostgreSQL cannot hold, listings that shift or break while they are
# read, and what an error says and does not say.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $fixture = tree() . '/regress/fixtures/clerk/scan.json';
my $users = 46;    # 6 in the fixture and 40 generated

my $clerk = start_sim(provider => 'clerk', users => 40, fixture => $fixture);
my $auth = start_sim(provider => 'better_auth', users => 60);
my $hostile = start_sim(provider => 'clerk', users => 3);
my $canary = start_sim(provider => 'clerk', users => 1, key => 'sk_canary_4711');
my $elsewhere = start_sim(provider => 'clerk', users => 1);

my $node = new_node(
	'scan',
	urls => [ map { $_->url } $clerk, $auth, $hostile, $canary ],
	conf => "log_statement = none\ntimezone = 'UTC'\n");
add_server($node, $clerk);
add_server($node, $clerk, name => 'paged', schema => 'paged', options => ", page_size '10'");
add_server($node, $auth, schema => 'auth', options => ", page_size '10'");
add_server($node, $hostile, name => 'hostile', schema => 'hostile');
add_server($node, $canary, name => 'canary', schema => 'canary');

# ---- Helpers

# Runs SQL; returns what psql printed, and its messages with their SQLSTATEs.
sub run_sql
{
	my ($sql) = @_;
	my (undef, $out, $err) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 0);

	return ($out, $err);
}

# The SQL prints these rows, no message, and asks this of the simulator.
sub query_is
{
	my ($name, $sql, $rows, $requests, $sim) = @_;

	$sim //= $clerk;
	$sim->reset_stats;
	my ($out, $err) = run_sql($sql);
	is($out . $err, $rows, "$name: rows");
	is($sim->asked, $requests, "$name: requests") if defined $requests;
	return;
}

# The SQL fails with this SQLSTATE and message.
sub query_fails
{
	my ($name, $sql, $sqlstate, $message) = @_;
	my ($out, $err) = run_sql($sql);

	like($err, qr/^psql:\S+ ERROR:  $sqlstate: .*$message/m, "$name: SQLSTATE and message");
	is($out, '', "$name: no rows");
	return;
}

# ---- Columns

query_is(
	'all columns',
	"SELECT id, name, email, created_at AT TIME ZONE 'UTC', updated_at AT TIME ZONE 'UTC', deleted_at
	   FROM app.users ORDER BY created_at LIMIT 6",
	join("\n",
		'user_scanA|Ada Lind|ada@example.com|2023-11-14 22:13:20.123|2023-11-14 22:21:41.456|',
		'user_scanB|grace|grace@example.com|2023-11-14 22:13:21|2023-11-14 22:13:21.001|',
		'user_scanC|Park||2023-11-14 22:13:22.999|2023-11-14 22:13:22.999|',
		'user_scanD|Zoë Niño 日本 😀|zoë@example.com|2023-11-14 22:13:23.123|2023-11-14 22:13:23.124|',
		'user_scanE|||2023-11-14 22:13:24.123|2023-11-14 22:13:24.123|',
		'odd &=#?%+é id|odd||2023-11-14 22:13:25.123|2023-11-14 22:13:25.123|'),
	'1 list');
query_is('raw_json is the user as received',
	"SELECT count(*) FROM app.users u JOIN jsonb_array_elements(pg_read_file('$fixture')::jsonb) e ON e = u.raw_json",
	'6');
query_is(
	'long numbers in raw_json',
	"SELECT raw_json->'public_metadata'->>'whole', raw_json->'public_metadata'->>'fraction',
			raw_json->'public_metadata'->>'zeros', raw_json->'public_metadata'->>'small'
	   FROM app.users WHERE id = 'user_scanE'",
	'123456789012345678901234567890|-0.123456789012345678901234567890|1.500|0.000000000000000000000000000001');
query_is('columns in another order',
	"SELECT email, updated_at > created_at, id FROM app.users WHERE id = 'user_scanA'",
	'ada@example.com|t|user_scanA');
query_is('a column that only the qual reads',
	"SELECT name FROM app.users WHERE email = 'grace\@example.com'", 'grace');
query_is(
	'whole row',
	"SELECT (u).name, (u).id, (u).raw_json->>'username' FROM app.users u
	  WHERE u IS DISTINCT FROM NULL AND id = 'user_scanA'",
	'Ada Lind|user_scanA|ada');
query_is('tableoid', "SELECT tableoid::regclass FROM app.users WHERE id = 'user_scanA'", 'app.users');
query_is(
	'a table with some columns, one dropped',
	"CREATE FOREIGN TABLE app.some (name text, email text, id text) SERVER clerk;
	 ALTER FOREIGN TABLE app.some DROP COLUMN name;
	 SELECT * FROM app.some WHERE id = 'user_scanA'; SELECT s FROM app.some s WHERE id = 'user_scanA'",
	"ada\@example.com|user_scanA\n(ada\@example.com,user_scanA)");
query_is('count(*)', 'SELECT count(id) FROM app.users', $users, '1 list');

# ---- One user by id

query_is('id = constant', "SELECT name FROM app.users WHERE id = 'user_scanA'", 'Ada Lind', '1 get');
query_is('constant = id', "SELECT name FROM app.users WHERE 'user_scanA' = id", 'Ada Lind', '1 get');
query_is('unknown id', "SELECT name FROM app.users WHERE id = 'user_none'", '', '1 get');
query_is('id and another qual', "SELECT name FROM app.users WHERE id = 'user_scanA' AND name = 'x'", '', '1 get');
query_is('id from a subquery', "SELECT name FROM app.users WHERE id = (SELECT 'user_' || 'scanB')", 'grace', '1 get');
query_is('id from an empty subquery', "SELECT name FROM app.users WHERE id = (SELECT 'x' LIMIT 0)", '', 'nothing');
query_is(
	'generic plan',
	"SET plan_cache_mode = force_generic_plan;
	 PREPARE one(text) AS SELECT name FROM app.users WHERE id = \$1;
	 EXECUTE one('user_scanA'); EXECUTE one('user_scanB'); EXECUTE one(NULL)",
	"Ada Lind\ngrace", '2 get');
query_is(
	'in functions',
	"CREATE FUNCTION name_of(text) RETURNS text LANGUAGE plpgsql AS
	   'BEGIN RETURN (SELECT name FROM app.users WHERE id = \$1); END';
	 SELECT name_of('user_scanA'), name_of('user_scanC')",
	'Ada Lind|Park', '2 get');
query_is('in a READ ONLY transaction',
	"BEGIN READ ONLY; SELECT name FROM app.users WHERE id = 'user_scanA'; COMMIT", 'Ada Lind', '1 get');

# Ids that mean something in a URL: one request with exactly this id, or none.
sub odd_id_ok
{
	my ($sim, $table, $prefix, $id, $rows) = @_;
	my $shown = $id =~ s/([^!-~])/sprintf('<%02x>', ord($1))/ger;

	$sim->reset_stats;
	my ($out) = run_sql("SELECT id FROM $table WHERE id = '$id'");
	my $target = $sim->stats->{last_target} // '';
	my $decoded = $target =~ s/^\Q$prefix\E//r =~ s/%([0-9A-F]{2})/chr(hex($1))/ger;

	is($out, $rows, "$table, id $shown: rows");
	is($sim->asked, '1 get', "$table, id $shown: requests");
	is($decoded, $id, "$table, id $shown: id in the request");
	like($target, qr/^\Q$prefix\E[A-Za-z0-9%._~-]*$/, "$table, id $shown: encoded");
	return;
}

my @odd_ids = ('a&b=c', 'a#b', 'a?b', '%2e%2e', '+', ';', '...;', '.%3b', '-user_scanA',
	"a\r\nX-Evil: 1", "\t", "ünï😀");

odd_id_ok($clerk, 'app.users', '/v1/users/', $_, '') for @odd_ids;
odd_id_ok($clerk, 'app.users', '/v1/users/', 'odd &=#?%+é id', 'odd &=#?%+é id');
odd_id_ok($auth, 'auth.users', '/api/auth/admin/get-user?id=', $_, '') for @odd_ids, 'a/../b';
for my $id ('', '.', '..', '..;', '.;x', 'count', 'a/../b', 'x' x 300)
{
	query_is("id '" . substr($id, 0, 8) . "' that no user can have",
		"SELECT id FROM app.users WHERE id = '$id'", '', 'nothing');
}

# ---- As much of a listing as is needed

query_is('all pages', 'SELECT count(DISTINCT id) FROM paged.users', $users, '5 list');
query_is('LIMIT 1', 'SELECT count(*) FROM (SELECT id FROM paged.users LIMIT 1) u', '1', '1 list');
query_is('LIMIT 0', 'SELECT id FROM paged.users LIMIT 0', '', 'nothing');
query_is('WHERE false', 'SELECT id FROM paged.users WHERE false', '', 'nothing');
query_is('FETCH of a part',
	'BEGIN; DECLARE c CURSOR FOR SELECT id FROM paged.users; MOVE 10 IN c; CLOSE c; COMMIT', '', '1 list');
query_is(
	'FETCH in parts',
	"BEGIN; DECLARE c CURSOR FOR SELECT id FROM paged.users WHERE id LIKE 'user_scan%';
	 FETCH 1 FROM c; FETCH 2 FROM c; MOVE ALL IN c; FETCH 1 FROM c; COMMIT",
	"user_scanA\nuser_scanB\nuser_scanC", '5 list');
query_is(
	'cursor WITH HOLD and SCROLL',
	"DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT id FROM paged.users WHERE id LIKE 'user_scan%';
	 FETCH LAST FROM c; FETCH FIRST FROM c",
	"user_scanE\nuser_scanA", '5 list');

$clerk->reset_stats;
my ($plan) = run_sql("EXPLAIN SELECT * FROM app.users; EXPLAIN VERBOSE SELECT * FROM app.users WHERE id = 'user_scanA';
	PREPARE listing AS SELECT * FROM app.users");
is($clerk->asked, 'nothing', 'EXPLAIN and PREPARE: requests');
like($plan, qr{Request: GET \Q${\$clerk->url}\E/v1/users/user_scanA$}m, 'EXPLAIN VERBOSE shows the request');
unlike($plan, qr/sk_test_x/, 'EXPLAIN VERBOSE shows no key');

# ---- Rescans

run_sql("CREATE TABLE posts (id int, author text);
	INSERT INTO posts VALUES (1, 'user_scanA'), (2, 'user_scanB'), (3, 'user_none'), (4, 'user_scanA'), (5, NULL);
	CREATE TABLE moments (at timestamptz)");
my $loop = join('', map { "SET enable_$_ = off;" } qw(material hashjoin mergejoin memoize));
my $by_post = "1|Ada Lind\n2|grace\n3|\n4|Ada Lind\n5|";

query_is('correlated subquery by id',
	'SELECT id, (SELECT name FROM app.users u WHERE u.id = p.author) FROM posts p ORDER BY id', $by_post, '4 get');
query_is(
	'LATERAL by id',
	"$loop SELECT p.id, u.name FROM posts p LEFT JOIN LATERAL
	   (SELECT name FROM app.users u WHERE u.id = p.author OFFSET 0) u ON true ORDER BY p.id",
	$by_post, '4 get');
query_is('join by id',
	'SELECT p.id, u.name FROM posts p LEFT JOIN app.users u ON u.id = p.author ORDER BY p.id', $by_post);

my $cross = 'FROM generate_series(1, 4) g LEFT JOIN paged.users u ON length(u.id) > g';
($plan) = run_sql("$loop EXPLAIN (COSTS off) SELECT 1 $cross");
like($plan, qr/Nested Loop.*\n.*\n.*Function Scan.*\n\s*->  Foreign Scan/, 'the plan rescans the foreign table');
query_is('rescans', "$loop SELECT count(*), count(DISTINCT u.id) $cross", 4 * $users . "|$users", '5 list');
query_is(
	'rescans with rows on disk',
	"$loop SET work_mem = '64kB';
	 SELECT count(*), count(DISTINCT u.raw_json), count(DISTINCT (g, md5(u::text))) $cross",
	join('|', 4 * $users, $users, 4 * $users), '5 list');

# The first pass ends on page 1, the second reads on from there to page 2.
for my $index (5, 15, 45)
{
	my $at = $clerk->user("index/$index")->{created_at};
	run_sql("INSERT INTO moments SELECT to_timestamp($at / 1000.0) - interval '0.5 ms'");
}
query_is(
	'rescans of a part, each longer than before',
	"$loop SELECT count(*) FROM moments m WHERE EXISTS (SELECT FROM paged.users u WHERE u.created_at >= m.at)",
	'3', '5 list');
query_is(
	'correlated subquery over the listing',
	"$loop SELECT sum((SELECT count(*) FROM paged.users u WHERE length(u.id) > g)) FROM generate_series(1, 3) g",
	3 * $users, '5 list');
query_is(
	'one id in a correlated subquery',
	"$loop SELECT count(x) FROM (SELECT (SELECT u.id FROM paged.users u WHERE u.id = 'user_scanA' AND length(u.id) > g) x
	   FROM generate_series(1, 3) g) y",
	'3', '1 get');
query_is(
	'one id from an uncorrelated subquery in a correlated one',
	"$loop SELECT count(x) FROM (SELECT (SELECT u.id FROM paged.users u WHERE u.id = (SELECT min(id) FROM (VALUES ('user_scanA')) v (id))
	   AND length(u.id) > g) x FROM generate_series(1, 3) g) y",
	'3', '1 get');
query_is(
	'a listing repeated because of another table',
	"$loop SELECT sum(x.n) FROM generate_series(1, 3) g,
	   LATERAL (SELECT count(*) AS n FROM paged.users u LEFT JOIN posts p ON p.id = g) x",
	3 * $users, '5 list');
query_is(
	'a listing in each round of a recursion',
	"$loop WITH RECURSIVE t (n) AS
	   (SELECT 1 UNION SELECT t.n + 1 FROM paged.users u, t WHERE length(u.id) > t.n AND t.n < 4)
	 SELECT count(*) FROM t",
	'4', '5 list');
query_is('self-join', 'SELECT count(*) FROM app.users a JOIN app.users b ON b.id = a.id', $users);

my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe("$loop BEGIN; DECLARE c CURSOR FOR SELECT u.id, u.name $cross");
my $first = $session->query_safe("FETCH $users FROM c");
$clerk->update('index/7', { first_name => 'Changed' });
$clerk->remove('index/8');
$clerk->create({ id => 'user_later' });
is($session->query_safe("FETCH $users FROM c"), $first, 'a rescan does not see later changes');
$session->query_safe('MOVE ALL IN c; CLOSE c; COMMIT');
query_is('the next statement sees them',
	"SELECT count(*), count(*) FILTER (WHERE name LIKE 'Changed%') FROM app.users", "$users|1");
my $forced = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
query_is('forced parallel query',
	"SET $forced = on; SELECT count(*), count(p.id) FROM app.users u LEFT JOIN posts p ON p.author = u.id",
	$users + 1 . '|3');

# ---- Whose credential

run_sql("CREATE ROLE keeper; CREATE ROLE guest; CREATE ROLE stranger;
	GRANT USAGE ON SCHEMA app TO keeper, guest, stranger; GRANT SELECT ON app.users TO keeper, guest, stranger;
	GRANT USAGE ON FOREIGN SERVER clerk TO keeper, guest, stranger; GRANT CREATE ON SCHEMA app TO keeper;
	CREATE USER MAPPING FOR keeper SERVER clerk OPTIONS (api_key 'sk_test_x');
	CREATE USER MAPPING FOR guest SERVER clerk OPTIONS (api_key 'sk_wrong');
	SET ROLE keeper; CREATE VIEW app.names AS SELECT id, name FROM app.users; GRANT SELECT ON app.names TO PUBLIC");
my $one = "WHERE id = 'user_scanA'";

query_is("a view uses its owner's mapping", "SET ROLE stranger; SELECT name FROM app.names $one", 'Ada Lind', '1 get');
query_is("a view does not use the caller's mapping",
	"SET ROLE guest; SELECT name FROM app.names $one", 'Ada Lind', '1 get');
query_fails('own mapping', "SET ROLE guest; SELECT name FROM app.users $one", '28000', 'did not accept the credential');
$clerk->reset_stats;
query_fails('no mapping', "SET ROLE stranger; SELECT name FROM app.users $one", '42704',
	'role "stranger" has no user mapping');
is($clerk->asked, 'nothing', 'no mapping: requests');

# ---- Users that PostgreSQL cannot hold

my %bad = (
	nul => '"name":"a\u0000b"',
	surrogate => '"name":"\ud83d"',
	utf8 => "\"name\":\"\xff\"",
	depth => '"n":' . '[' x 100 . ']' x 100,
	number => '"n":1e401',
	twice => '"id":"twice"',
	time => '"updated_at":"soon"');
$hostile->create_raw(qq({"id":"$_",$bad{$_}})) for sort keys %bad;
$hostile->create_raw('{"first_name":"no id"}');
$hostile->create_raw('{"id":"big","n":1e400}');

my ($out, $err) = run_sql('SELECT id FROM hostile.users ORDER BY id DESC');
is(scalar(split /\n/, $out), 4, 'users beside hostile ones are there');
like($out, qr/^big$/m, 'a number that numeric can hold is no reason');
is(scalar(() = $err =~ /WARNING:  22000: left out a user of server "hostile"/g),
	1, 'one warning for all hostile users');
for my $id (grep { $_ ne 'twice' } sort keys %bad)
{
	($out, $err) = run_sql("SELECT id FROM hostile.users WHERE id = '$id'");
	is($out, '', "hostile user $id by id: left out");
	like($err, qr/WARNING:  22000: left out a user.*\nDETAIL:  Reason: /, "hostile user $id by id: warning");
}

# ---- A directory that changes or breaks while it is read

# The indexes of users by their places in Better Auth's listing, which is by id.
sub index_at
{
	my @ids = split /\n/, (run_sql('SELECT id FROM auth.users ORDER BY id COLLATE "C"'))[0];

	return map { $auth->user($ids[$_])->{index} } @_;
}

# Every user that remains is there, none twice, whatever happens between pages.
# One created in the part that was read already need not be there.
sub drift_ok
{
	my ($name, @mutations) = @_;

	$auth->fault([ map { { match => 'list', after => 1, mutate => $_ } } @mutations ]);
	query_is(
		"drift, $name",
		"CREATE TEMP TABLE seen AS SELECT id FROM auth.users;
		 SELECT count(*) - count(DISTINCT id) FROM seen;
		 SELECT count(id) FROM auth.users WHERE id NOT IN (SELECT id FROM seen) AND name <> 'Early'",
		"0\n0");
	$auth->clear_faults;
	return;
}

drift_ok('one deleted', { delete_index => [ index_at(3) ] });
drift_ok('more deleted than pages overlap', { delete_index => [ index_at(0, 1, 2, 4, 5, 6) ] });
drift_ok('the last one read deleted', { delete_index => [ index_at(9) ] });
drift_ok('one deleted before each page', map { { delete_index => $_ } } index_at(0 .. 4));
drift_ok('created before', { create => { id => '0', name => 'Early', email => 'early@example.com' } });
drift_ok('created behind', { create => { id => 'zz', name => 'Late', email => 'late@example.com' } });
$auth->fault({ match => 'list', after => 1, mutate => { delete_index => [ index_at(7 .. 9) ] } });
query_fails('all that a page remembers deleted',
	'SELECT id FROM auth.users', 'HV00M', 'could not read the whole user directory');

# An array of: name, simulator, SQL, fault, SQLSTATE, message, requests.
my $calm = 'SELECT count(id) FROM app.users';
my $pages = 'SELECT count(id) FROM paged.users';
my $offsets = 'SELECT count(id) FROM auth.users';
my $get = "SELECT id FROM app.users WHERE id = 'user_scanA'";
my $too_many = { status => 429, times => -1, headers => { 'Retry-After' => '1000000000' } };
my $unreadable = 'could not read the reply';
my $incomplete = 'could not read the whole user directory';
my @errors = (
	[ '401', $clerk, $calm, { status => 401 }, '28000', 'did not accept the credential', '1 list' ],
	[ '403', $clerk, $calm, { status => 403 }, '42501', 'does not let this credential read users', '1 list' ],
	[ '404 of a list', $clerk, $calm, { status => 404 }, 'HV00L', 'has no user directory at this address', '1 list' ],
	[ '422', $clerk, $calm, { status => 422 }, 'HV00L', 'refused the request', '1 list' ],
	[ '429, come back in years', $clerk, $calm, $too_many, '53400', 'takes no more requests for now', '1 list' ],
	[ '500', $clerk, $calm, { status => 500 }, 'HV00L', 'is not available', '1 list' ],
	[ 'redirect', $clerk, $calm, { redirect => $elsewhere->url . '/v1/users' }, 'HV00L', 'redirects', '1 list' ],
	[ 'third page fails', $clerk, $pages, { status => 500, after => 2 }, 'HV00L', 'is not available', '3 list' ],
	[ 'HTML', $clerk, $calm, { body => '<html>', content_type => 'text/html' }, 'HV00M', $unreadable, '1 list' ],
	[ 'empty body', $clerk, $calm, { body => '' }, 'HV00M', $unreadable, '1 list' ],
	[ '{}', $clerk, $calm, { body => '{}' }, 'HV00M', $unreadable, '1 list' ],
	[ 'null', $clerk, $calm, { body => 'null' }, 'HV00M', $unreadable, '1 list' ],
	[ 'no objects', $clerk, $calm, { body => '[{"id":"a"},7]' }, 'HV00M', $unreadable, '1 list' ],
	[ 'bytes behind the end', $clerk, $calm, { body => '[] x' }, 'HV00M', $unreadable, '1 list' ],
	[ 'no end', $clerk, $calm, { body => '[{"id":"a"},' }, 'HV00M', $unreadable, '1 list' ],
	[ 'repeated page, Clerk', $clerk, $pages, { repeat_page => \1, after => 1 }, 'HV00M', $incomplete, '2 list' ],
	[ 'another user', $clerk, $get, { body => '{"id":"user_scanB"}' }, 'HV00M', 'did not give what was asked for', '1 get' ],
	[ '404 of something else', $clerk, $get, { status => 404, body => '<html>' }, 'HV00L', 'has no user dir', '1 get' ],
	[ '{} for a user', $clerk, $get, { body => '{}' }, 'HV00M', $unreadable, '1 get' ],
	[ 'swallowed error', $auth, $offsets, { swallow => \1 }, 'HV00L', 'is not available', '1 list' ],
	[ 'swallowed error later', $auth, $offsets, { swallow => \1, after => 2 }, 'HV00L', 'is not available', '3 list' ],
	[ 'truncated page', $auth, $offsets, { truncate_page => 7, after => 1 }, 'HV00M', $incomplete, '2 list' ],
	[ 'repeated page, Better Auth', $auth, $offsets, { repeat_page => \1, after => 1 }, 'HV00M', $incomplete, '2 list' ],
	[ 'empty pages', $auth, $offsets, { empty => \1, after => 1, times => -1 }, 'HV00M', $incomplete ],
	[ 'cut page', $auth, $offsets, { cut => 500, after => 1, times => -1 }, 'HV00M', 'broke', '5 list' ]);

$elsewhere->reset_stats;
for my $row (@errors)
{
	my ($name, $sim, $sql, $fault, $sqlstate, $message, $requests) = @$row;

	$sim->reset_stats;
	$sim->fault($fault);
	query_fails($name, $sql, $sqlstate, $message);
	is($sim->asked, $requests, "$name: requests") if defined $requests;
	$sim->clear_faults;
}
is($elsewhere->asked, 'nothing', 'redirect: the target is not asked');

$clerk->fault([ map { { status => 429, headers => { 'Retry-After' => $_ } } } '0', '1' ]);
query_is('429 twice', $calm, $users, '3 list');
$clerk->fault({ status => 503 });
query_is('503 once', $calm, $users, '2 list');
$clerk->fault({ empty => \1 });
query_is('an empty directory', $calm, '0', '1 list');

# ---- Failing in a loop

my $pid = $session->query_safe("SELECT pg_backend_pid() FROM app.users $one");
my $before = open_descriptors($pid);
$clerk->fault({ status => 401, times => -1 });
my $failed = $session->query_safe(<<'SQL');
BEGIN;
CREATE TEMP TABLE failed (state text);
DO $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		BEGIN
			PERFORM count(id) FROM app.users;
		EXCEPTION WHEN invalid_authorization_specification THEN
			INSERT INTO failed VALUES (SQLSTATE);
		END;
	END LOOP;
END $$;
SELECT count(*) FROM failed;
SQL
is($failed, 200, 'failures in a loop are caught');
is(open_descriptors($pid), $before, 'failures in a loop leave no descriptor open');
$clerk->clear_faults;
is($session->query_safe("COMMIT; SELECT name FROM app.users $one"), 'Ada Lind', 'and the session goes on');
$session->quit;

# ---- No message tells what nobody may know

my $marker = 'MARKER_815';
my $body = qq({"errors":[{"message":"$marker","long_message":"$marker","code":"it's $marker"}]});
$canary->create_raw(qq({"id":"user_odd","n":"$marker\\u0000","email":"$marker\@example.com"}));
$canary->create({ id => 'user_canary', first_name => $marker, email => "$marker\@example.com" });
$canary->fault([ map { { match => 'list', status => $_, body => $body } } 401, 403, 404, 422, 429, 500 ]);
$canary->fault([ map { { match => 'list', body => $_ } } $body, "<html>$marker", qq([{"id":"$marker",) ]);

my $offset = -s $node->logfile;
my $scan = "SELECT count(name) FROM canary.users;\n";
(undef, $err) = run_sql("SET client_min_messages = debug5; SET log_min_messages = debug5;\n" . $scan x 10
	  . "SELECT count(email) FROM canary.users WHERE id = 'user_canary'");
my $log = slurp_file($node->logfile, $offset);
is(scalar(() = $err =~ /ERROR:  \w{5}: /g), 8, 'canary: each fault is an error');
like($err, qr/WARNING: .*left out a user/, 'canary: a user is left out');
like($log, qr/DEBUG:/, 'canary: the log is detailed');
for ([ 'messages', $err ], [ 'log', $log ])
{
	my ($sink, $text) = @$_;

	unlike($text, qr/sk_canary_4711/, "canary: no key in $sink");
	unlike($text, qr/$marker/i, "canary: nothing of a body in $sink");
}

$node->stop;
done_testing();
