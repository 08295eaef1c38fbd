# What is asked of the provider for a query, and that the answer is right: users by
# id and address, windows, orders, limits and counts; values that are hostile;
# providers that do not do what they were asked; scans that share a listing.  What
# EXPLAIN shows of it is in regress/sql/pushdown.sql.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Cached;
use NeonAuth::Redis;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = start_redis();
my $clerk = start_sim(provider => 'clerk', users => 300);
my $auth = start_sim(provider => 'better_auth', users => 120);
my $odd = start_sim(provider => 'clerk', users => 30);
my $node = new_node('pushdown', urls => [ map { $_->url } $clerk, $auth, $odd ], conf => "timezone = 'UTC'\njit = off\n");

add_server($node, $clerk, name => 'clerk', schema => 'app', options => ", page_size '49'");
add_server($node, $auth, name => 'auth', schema => 'auth', options => ", page_size '50'");
add_server($node, $odd, name => 'odd', schema => 'odd', options => ", page_size '49'");
add_server($node, $clerk, name => 'cached', schema => 'cached', options => ", page_size '49', redis_url '" . $redis->url . "', redis_timeout '1min'");
watch_queries($node, $clerk);
$node->safe_psql('postgres', <<'SQL');
SET neon_auth_fdw.pushdown = off;
CREATE TABLE people AS SELECT * FROM app.users;
CREATE TABLE members AS SELECT * FROM auth.users;
CREATE TABLE pick AS SELECT n, id FROM (SELECT row_number() OVER (ORDER BY created_at, id) AS n, id FROM people) p WHERE n % 20 = 0;
ANALYZE pick;
SQL

my $somebody = $node->safe_psql('postgres', 'SELECT min(id) FROM pick');

# The last request that was answered.
sub last_target { return $_[0]->stats->{last_target}; }

# ---- Users by id

my $list = "ARRAY(SELECT id FROM people ORDER BY id LIMIT 250)";
query_is('250 ids', "SELECT count(*), count(DISTINCT id) FROM app.users WHERE id = ANY ($list)", '250|250', '3 list');
query_is('the same twice, and NULL', "SELECT count(*) FROM app.users WHERE id = ANY ($list || $list || NULL::text)", '250', '3 list');
query_is('ids that nobody has', "SELECT count(*) FROM app.users WHERE id IN ('user_x', 'user_y')", '0', '1 list');
query_is('ids that nobody can have', "SELECT count(*) FROM app.users WHERE id IN ('', '.', '..', 'count')", '0', 'nothing');
query_is('one id of many', "SELECT count(*) FROM app.users WHERE id IN ('', '.', (SELECT id FROM pick LIMIT 1))", '1', '1 get');
query_is('120 ids of Better Auth', "SELECT count(*) FROM auth.users WHERE id = ANY (ARRAY(SELECT id FROM members))",
	'120', '2 list', $auth);
query_is('one of them', "SELECT count(*) FROM auth.users WHERE id = ANY (ARRAY(SELECT id FROM members LIMIT 1))", '1', '1 get', $auth);
query_is('a NULL for an array', "SELECT count(*) FROM app.users WHERE id = ANY ((SELECT NULL)::text[])", '0', 'nothing');
query_is('ids that are long', "SELECT count(*) FROM app.users WHERE id = ANY (ARRAY(SELECT repeat('é', 100) || n FROM generate_series(1, 20) n))",
	'0', '2 list');

# Many batches are in flight at once, once the second is wanted.
my $many = "FROM app.users WHERE id = ANY (ARRAY(SELECT 'user_' || n FROM generate_series(1, 850) n) || $list)";
$clerk->fault({ match => 'list', latency_ms => 100, times => 11 });
query_is('1100 ids', "SELECT count(*) $many", '250', '11 list');
cmp_ok($clerk->stats->{in_flight_max}, '>', 4, 'at the same time');
query_is('of which the first is enough', "SELECT count(*) FROM (SELECT 1 FROM app.users WHERE id = ANY ($list) LIMIT 1) u", '1', '1 list');
$node->safe_psql('postgres', "ALTER SERVER clerk OPTIONS (ADD max_concurrency '1')");
query_is('or one after the other', "SELECT count(*) $many", '250', '11 list');
is($clerk->stats->{in_flight_max}, 1, 'if that is wanted');
$node->safe_psql('postgres', "ALTER SERVER clerk OPTIONS (DROP max_concurrency)");
$clerk->fault({ match => 'get', latency_ms => 100, times => 20 });
query_is('ids that have to be asked for alone', "SELECT count(*) FROM app.users WHERE id = ANY (ARRAY(SELECT '-' || n FROM generate_series(1, 20) n))", '0', '20 get');
cmp_ok($clerk->stats->{in_flight_max}, '>', 1, 'are, at the same time');

# A listing, where that is less.  How many users there are is known since ANALYZE.
$node->safe_psql('postgres', 'ANALYZE app.users');
query_is('more ids than pages have users', "SELECT count(*) FROM app.users WHERE id = ANY (ARRAY(SELECT 'user_' || n FROM generate_series(1, 650) n) || $list)", '250', '7 list');
query_is('less of them', "SELECT count(*) $many", '250', '7 list');
query_is('and few', "SELECT count(*) FROM app.users WHERE id = ANY ($list)", '250', '3 list');

# ---- A lookup for each row of another table

query_is('a lookup each', 'SELECT count(u.id) FROM (SELECT * FROM pick WHERE n <= 60) p LEFT JOIN app.users u USING (id)', '3', '3 get');
query_is('a listing for many', 'SELECT count(*) FROM people JOIN app.users USING (id)', '300', '7 list');
query_is('a prepared lookup',
	"SET plan_cache_mode = force_generic_plan; PREPARE one AS SELECT count(*) FROM app.users WHERE id = \$1;
	 EXECUTE one('$somebody'); EXECUTE one('user_none'); EXECUTE one(NULL)", "1\n0\n0", '2 get');

# ---- Addresses

$clerk->create({ first_name => 'Case', email => [ 'Case@Example.com', 'second@example.com' ] });
query_is('an address', "SELECT first, count(*) FROM (SELECT name AS first FROM app.users WHERE email = 'Case\@Example.com') u GROUP BY 1",
	'Case|1', '1 list');
like(last_target($clerk), qr/email_address=Case%40Example\.com&email_address=case%40example\.com$/, 'in both cases');
query_is('in another case', "SELECT name FROM app.users WHERE email = 'case\@example.com'", '', '1 list');
query_is('one that is not the first', "SELECT name FROM app.users WHERE email = 'second\@example.com'", '', '1 list');
query_is('of Better Auth', "SELECT u.id = m.id FROM (SELECT * FROM members ORDER BY id LIMIT 1) m JOIN auth.users u ON u.email = (SELECT email FROM members ORDER BY id LIMIT 1)",
	't', '1 list', $auth);

# citext means something else.
$node->safe_psql('postgres', 'CREATE EXTENSION citext');
query_is('citext', "SELECT name FROM app.users WHERE email::citext = 'CASE\@example.com'", 'Case', '7 list');
query_is('citext ids', "SELECT count(*) FROM app.users WHERE id::citext = ANY (ARRAY['USER_X', (SELECT upper(id) FROM pick LIMIT 1)]::citext[])", '1', '7 list');

# ---- Hostile values: one right request, or all users and a local filter

for (
	[ "E'a\@b\\r\\nX-Evil: 1'", '7 list' ],
	[ "'a\@b&limit=1'", '1 list', qr/email_address=a%40b%26limit%3D1$/ ],
	[ "'a\@b#?/../%00'", '1 list', qr/email_address=a%40b%23%3F%2F\.\.%2F%2500$/ ],
	[ "'zoë\@例え.jp'", '1 list', qr/email_address=zo%C3%AB%40%E4%BE%8B%E3%81%88\.jp$/ ],
	[ "'a\@b,c\@d'", '7 list' ],
	[ "'x'", '7 list' ],
	[ "repeat('a', 65536) || '\@b'", 'nothing' ])
{
	my ($value, $requests, $target) = @$_;

	query_is("email = " . substr($value, 0, 30), "SELECT count(*) FROM app.users WHERE email = $value", '0', $requests);
	like(last_target($clerk), $target, 'as it is') if $target;
}
for (
	[ "E'a\\r\\nX-Evil: 1'", '1 get', qr{/v1/users/a%0D%0AX-Evil%3A%201$} ],
	[ "'a&b=c'", '1 get', qr{/v1/users/a%26b%3Dc$} ],
	[ "'../count'", 'nothing' ],
	[ "'-user_1'", '1 get', qr{/v1/users/-user_1$} ],
	[ "repeat('a', 65536)", 'nothing' ])
{
	my ($value, $requests, $target) = @$_;

	query_is("id = " . substr($value, 0, 30), "SELECT count(*) FROM app.users WHERE id = $value", '0', $requests);
	like(last_target($clerk), $target, 'as it is') if $target;
}
query_is('an id that would exclude', "SELECT count(*) FROM app.users WHERE id IN ('-user_x', '+user_y', 'user_z', 'user_w')", '0', '2 get, 1 list');
like(last_target($clerk), qr/user_id=user_w&user_id=user_z$/, 'is not among the others');

# ---- Windows of creation times

my $middle = "(SELECT created_at FROM people ORDER BY created_at, id OFFSET 150 LIMIT 1)";
for my $op ('>=', '>', '<', '<=', '=')
{
	my ($rows, $pages) = split /\|/, $node->safe_psql('postgres', "SELECT count(*), count(*) / 49 + 1 FROM people WHERE created_at $op $middle");
	$rows++, $pages = int($rows / 49) + 1 if $op =~ />/;
	query_is("created_at $op", "SELECT count(*) FROM app.users WHERE created_at $op $middle", $rows, "$pages list");
}
query_is('an empty window', "SELECT count(*) FROM app.users WHERE created_at > $middle AND created_at < $middle", '0', 'nothing');
query_is('no window', "SELECT count(*) FROM app.users WHERE created_at > NULL", '0', 'nothing');
query_is('a date beyond all times', "SELECT count(*) FROM app.users WHERE created_at < '5000000-01-01'::date", '301', '7 list');
query_is('the last time that there is', "SELECT count(*) FROM app.users WHERE created_at <= '294276-12-31 23:59:59'", '301', '7 list');
query_is('nothing after it', "SELECT count(*) FROM app.users WHERE created_at > '294276-12-31'", '0', 'nothing');

# ---- Times of change

query_is('what changed last', "SELECT count(*) FROM app.users WHERE updated_at >= (SELECT updated_at FROM people ORDER BY updated_at DESC OFFSET 9 LIMIT 1)",
	'11', '1 list');
like(last_target($clerk), qr/order_by=-updated_at/, 'by the latest changes');
query_is('more than a page of it', "SELECT count(*) FROM app.users WHERE updated_at >= (SELECT updated_at FROM people ORDER BY updated_at DESC OFFSET 99 LIMIT 1)",
	'101', '8 list');
query_is('exactly one time', 'SELECT count(*) > 0 FROM app.users WHERE updated_at = (SELECT max(updated_at) FROM people)', 't', '1 list');
$clerk->fault({ match => 'list', ignore_order => \1 });
query_is('another order than asked for', "SELECT count(*) FROM app.users WHERE updated_at >= (SELECT max(updated_at) FROM people)", '2', '8 list');

query_is('in two ways in one statement', "SELECT (SELECT count(*) FROM app.users WHERE updated_at >= (SELECT max(updated_at) FROM people)) > 0,
	(SELECT count(*) FROM app.users WHERE updated_at >= '1970-01-01')", 't|301', '9 list');
query_is('of two times that are known', "SELECT (SELECT count(*) FROM app.users WHERE updated_at >= '2100-01-01'), (SELECT count(*) FROM app.users WHERE updated_at >= '1970-01-01')",
	'0|301', '9 list');

# More users than a page have changed at the same moment.
$odd->create({ first_name => "Same $_", created_at => 1790000000000, updated_at => 1790000000000 }) for 1 .. 60;
my $moment = q(to_timestamp(1790000000));
query_is('more than a page at one moment', "SELECT count(*) FROM odd.users WHERE updated_at >= $moment", '60', '3 list', $odd);
query_is('and nobody after it', "SELECT count(*) FROM odd.users WHERE updated_at > $moment", '0', '1 list', $odd);
for my $user (grep { $_->{updated_at} == 1790000000000 } @{ $odd->users })
{
	$odd->remove($user->{id});
}

# ---- Orders and limits

$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION odd.lt(timestamptz, timestamptz) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 > $2';
CREATE FUNCTION odd.le(timestamptz, timestamptz) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 >= $2';
CREATE FUNCTION odd.gt(timestamptz, timestamptz) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 < $2';
CREATE FUNCTION odd.ge(timestamptz, timestamptz) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 <= $2';
CREATE FUNCTION odd.cmp(timestamptz, timestamptz) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT timestamptz_cmp($2, $1)';
CREATE OPERATOR odd.<<~ (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = odd.lt);
CREATE OPERATOR odd.<<=~ (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = odd.le);
CREATE OPERATOR odd.>>~ (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = odd.gt);
CREATE OPERATOR odd.>>=~ (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = odd.ge);
CREATE OPERATOR CLASS odd.turned FOR TYPE timestamptz USING btree AS OPERATOR 1 odd.<<~, OPERATOR 2 odd.<<=~,
	OPERATOR 3 =, OPERATOR 4 odd.>>=~, OPERATOR 5 odd.>>~, FUNCTION 1 odd.cmp(timestamptz, timestamptz);
SQL

sub ordered_is
{
	my ($name, $sql, $copy, $requests, $sim) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $wanted = $node->safe_psql('postgres', $sql =~ s/FROM \w+\.users/FROM $copy/r);

	query_is($name, $sql, $wanted, $requests, $sim);
	return;
}
$node->safe_psql('postgres', 'SET neon_auth_fdw.pushdown = off; TRUNCATE people; INSERT INTO people SELECT * FROM app.users');
ordered_is('oldest first', 'SELECT created_at FROM app.users ORDER BY created_at', 'people', '7 list');
ordered_is('newest first', 'SELECT created_at FROM app.users ORDER BY created_at DESC', 'people', '7 list');
ordered_is('the newest', 'SELECT created_at FROM app.users ORDER BY created_at DESC LIMIT 3 OFFSET 2', 'people', '1 list');
like(last_target($clerk), qr/limit=5&order_by=-created_at$/, 'and no more');
ordered_is('more than a page', 'SELECT created_at FROM app.users ORDER BY created_at DESC LIMIT 120', 'people', '3 list');
ordered_is('the latest changes', 'SELECT updated_at FROM app.users ORDER BY updated_at DESC LIMIT 40', 'people', '1 list');
ordered_is('a filter besides', "SELECT updated_at FROM app.users WHERE name > 'F' ORDER BY updated_at DESC LIMIT 5", 'people', '7 list');
ordered_is('the newest of Better Auth', 'SELECT created_at FROM auth.users ORDER BY created_at DESC LIMIT 7', 'members', '1 list', $auth);
ordered_is('its oldest', 'SELECT created_at FROM auth.users ORDER BY created_at LIMIT 7', 'members', '1 list', $auth);
ordered_is('the latest change alone', 'SELECT max(updated_at) FROM app.users', 'people', '1 list');
ordered_is('the first and the last user', 'SELECT min(created_at), max(created_at) FROM app.users', 'people', '2 list');
is(run_sql('SELECT created_at FROM app.users ORDER BY created_at USING OPERATOR(odd.<<~) LIMIT 3'),
	run_sql('SELECT created_at FROM people ORDER BY created_at DESC LIMIT 3'), 'an order of operators that are turned round');
query_is('any', 'SELECT count(*) FROM (SELECT 1 FROM app.users LIMIT 5) u', '5', '1 list');
query_is('a limit that a cursor goes through', <<'SQL', "2\n3\n0", '1 list');
BEGIN; DECLARE c CURSOR FOR SELECT 1 FROM app.users ORDER BY updated_at DESC LIMIT 5;
CREATE TEMP TABLE got (n int); DO $$ DECLARE c refcursor := 'c'; n int := 0; BEGIN
FOR n IN 1 .. 2 LOOP FETCH c INTO n; INSERT INTO got VALUES (n); END LOOP; END $$;
SELECT count(*) FROM got; MOVE FORWARD ALL FROM c; SELECT 3; SELECT 0; COMMIT;
SQL
$clerk->fault({ match => 'list', ignore_order => \1 });
like(run_sql('SELECT id FROM app.users ORDER BY created_at DESC LIMIT 20'),
	qr/HV00M: the provider of server "clerk" did not give what was asked for\n.*order.*\nHINT:  With SET neon_auth_fdw\.pushdown = off/s,
	'a provider that ignores the order is not believed');

# Users that PostgreSQL cannot hold are the newest.
for my $n (1 .. 9)
{
	my $moment = 1800000000000 + $n * 1000;
	$odd->create_raw(qq({"id":"user_bad$n","n":"\\u0000","created_at":$moment,"updated_at":$moment}));
}
my $latest = 'SELECT count(updated_at) FROM (SELECT updated_at FROM odd.users ORDER BY updated_at DESC LIMIT 5) u';
like(run_sql($latest), qr/^5\n.*left out a user/, 'users left out do not count for the limit');
for my $n (10 .. 20)
{
	my $moment = 1800000000000 + $n * 1000;
	$odd->create_raw(qq({"id":"user_bad$n","n":"\\u0000","created_at":$moment,"updated_at":$moment}));
}
like(run_sql($latest), qr/HV00M: .*too many users of its first page had to be left out/s, 'unless they are too many');
like(run_sql("SET neon_auth_fdw.pushdown = off; $latest"), qr/^5\n/, 'without pushdown they never are');
query_is('by creation there are more pages', 'SET client_min_messages = error; SELECT count(*) FROM (SELECT 1 FROM odd.users ORDER BY created_at DESC LIMIT 5) u',
	'5', '5 list', $odd);

# ---- Numbers

query_is('count(*)', 'SELECT count(*) FROM app.users', '301', '1 count');
query_is('twice in a query', 'SELECT count(*), count(*) * 2 FROM app.users', '301|602', '1 count');
query_is('of Better Auth', 'SELECT count(*) FROM auth.users', '120', '1 list', $auth);
query_is('of all that there are', 'SET client_min_messages = error; SELECT count(*), (SELECT count(id) FROM odd.users) FROM odd.users', '50|30', '2 list, 1 count', $odd);
query_is('cached', 'SELECT count(*) FROM cached.users; SELECT count(*) FROM cached.users', "301\n301", '1 count');
query_is('in another session', 'SELECT count(*) FROM cached.users', '301', 'nothing');
$clerk->fault({ match => 'count', body => '{"object":"total_count"}' });
like(run_sql('SELECT count(*) FROM app.users'), qr/HV00M: could not read the reply/, 'a count that is none');

# ---- What is cached

query_is('ids are cached', "SELECT count(*) FROM cached.users WHERE id = ANY ($list)", '250', '3 list');
query_is('in any order', "SELECT count(*) FROM cached.users WHERE id = ANY (ARRAY(SELECT id FROM people WHERE id = ANY ($list) ORDER BY id DESC))", '250', 'nothing');
query_is('and the latest changes', 'SELECT count(updated_at) FROM (SELECT updated_at FROM cached.users ORDER BY updated_at DESC LIMIT 5) u; SELECT count(updated_at) FROM (SELECT updated_at FROM cached.users ORDER BY updated_at DESC LIMIT 5) u', "5\n5", '1 list');
query_is('what changed', "SELECT count(*) FROM cached.users WHERE updated_at >= (SELECT max(updated_at) FROM people); SELECT count(*) FROM cached.users WHERE updated_at >= (SELECT max(updated_at) FROM people)",
	"1\n1", '1 list');

# To a listing that this session has seen in the cache, a join prefers no lookups.
my $few = 'SELECT count(u.id) FROM (SELECT * FROM pick WHERE n <= 100) p LEFT JOIN cached.users u USING (id)';
my $all = 'SELECT count(id) FROM cached.users';
query_is('a join that knows of no listing', $few, '5', '5 get');
query_is('one that does', "$all; SELECT neon_auth.cache_clear('cached'); $all; $few", "301\n\n301\n5", '14 list');
query_is('not after the cache was cleared', "$all; SELECT neon_auth.cache_clear('cached'); $few", "301\n\n5", '5 get');
query_is('nor where the cache is off', "$all; SET neon_auth_fdw.cache = off; $few", "301\n5", '5 get, 7 list');
query_is('one user is asked for all the same', "$all; SELECT count(*) FROM cached.users WHERE id = 'user_other'", "301\n0", '1 get');

# ---- Scans of a statement that read the same

my $join = 'SELECT count(*) FROM app.users a JOIN app.users b USING (id)';
query_is('a self-join', $join, '301', '7 list');
query_is('in a loop', "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET neon_auth_fdw.pushdown = off; $join",
	'301', '7 list');
query_is('of some columns and all', 'SELECT count(a.raw_json), count(b.name) > 0 FROM app.users b JOIN app.users a USING (id)', '301|t', '7 list');
query_is('a table and another of the same server',
	'CREATE FOREIGN TABLE app.names (id text, name text) SERVER clerk; SELECT count(*) FROM app.users JOIN app.names USING (id)', '301', '7 list');
my $date = $node->safe_psql('postgres', "SELECT quote_literal($middle)");
query_is('of two windows', "SELECT count(*) FROM app.users a JOIN app.users b USING (id) WHERE a.created_at >= $date AND b.created_at >= $date",
	$node->safe_psql('postgres', "SELECT count(*) FROM people WHERE created_at >= $date"), '4 list');
query_is('beyond work_mem', "SET work_mem = '64kB'; SELECT count(a.raw_json->'id'), count(*) FROM app.users a JOIN app.users b ON a.raw_json->>'id' = b.raw_json->>'id'",
	'301|301', '7 list');
query_is('a thousand rescans', 'SET enable_material = off; SET neon_auth_fdw.pushdown = off;
	 SELECT count(*) FROM generate_series(1, 1000) n JOIN app.users u ON length(u.id) >= 0 AND u.name IS NOT NULL AND n > length(u.name) + 990',
	$node->safe_psql('postgres', 'SELECT count(*) FROM generate_series(1, 1000) n JOIN people u ON u.name IS NOT NULL AND n > length(u.name) + 990'),
	'7 list');
query_is('in a subquery for each row', 'SELECT count(s) FROM (SELECT (SELECT max(name) FROM app.users u WHERE u.email <> p.id) AS s FROM pick p) q', '15', '7 list');

is(run_sql('SELECT count(*) FROM app.users a JOIN app.users b USING (id) WHERE a.xmin::text <> \'0\' OR b.xmax::text <> \'0\''), '0',
	'shared rows have no transactions');

# A lookup in a join of partitions.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE pu (id text, name text) PARTITION BY HASH (id);
CREATE FOREIGN TABLE pu0 PARTITION OF pu FOR VALUES WITH (MODULUS 1, REMAINDER 0) SERVER clerk;
CREATE TABLE pp (id text, n int) PARTITION BY HASH (id);
CREATE TABLE pp0 PARTITION OF pp FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO pp SELECT id, n FROM pick ORDER BY n LIMIT 3;
ANALYZE pp;
SQL
query_is('a join of partitions', 'SET enable_partitionwise_join = on; SELECT count(pu.id) FROM pp JOIN pu USING (id)', '3', '3 get');
like(run_sql('CREATE FOREIGN TABLE app.posix (id text COLLATE "C") SERVER clerk; CREATE TABLE posix AS SELECT \'x\' COLLATE "POSIX" AS id; SELECT * FROM app.posix WHERE id = (SELECT id FROM posix LIMIT 1)'),
	qr/42P22: could not determine which collation/, 'collations that are not one');

# ---- EXPLAIN

my $explain = 'EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, FORMAT';
my $plan = decode_json($node->safe_psql('postgres', "$explain JSON) SELECT id FROM app.users"))->[0]->{Plan};
is(join(' ', map { $plan->{$_} } qw(Requests Pages Users Retries)), '7 7 301 0', 'EXPLAIN counts requests, pages and users');
cmp_ok($plan->{Bytes}, '>', 301 * 200, 'and bytes');
$clerk->fault({ match => 'list', status => 503 });
$plan = decode_json($node->safe_psql('postgres', "$explain JSON) SELECT id FROM app.users ORDER BY updated_at DESC LIMIT 3"))->[0]->{Plan}->{Plans}->[0];
is(join(' ', map { $plan->{$_} } qw(Requests Pages Users Retries)), '2 1 13 1', 'and retries');
cmp_ok($plan->{'Pause Time'}, '>', 0, 'and the pause before one');
for my $format ('XML', 'YAML', 'TEXT')
{
	like($node->safe_psql('postgres', "$explain $format) $join"), qr/Requests\W+7/, "EXPLAIN as $format");
}
like($node->safe_psql('postgres', "$explain TEXT) $join"), qr/Read: by another scan of this statement/, 'a shared listing is told');

$node->stop;
done_testing();
