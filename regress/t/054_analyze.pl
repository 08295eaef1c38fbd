
# ANALYZE of foreign tables: what it asks of the provider, and what the planner then
# knows; of small directories, of such as are larger than the bound, in the cache,
# with users that PostgreSQL cannot hold, and as whom.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Redis;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $clerk = start_sim(provider => 'clerk', users => 1000);
my $auth = start_sim(provider => 'better_auth', users => 60);
my $hostile = start_sim(provider => 'clerk', users => 8);
my $redis = start_redis();
my $node = new_node(
	'analyze',
	urls => [ map { $_->url } $clerk, $auth, $hostile ],
	conf => "log_statement = none\ntimezone = 'UTC'\n");
add_server($node, $clerk);
add_server($node, $clerk, name => 'paged', schema => 'paged', options => ", page_size '10'");
add_server($node, $clerk, name => 'cached', schema => 'cached',
	options => ", page_size '100', cache_ttl '1d', redis_timeout '1min', redis_url '" . $redis->url . "'");
add_server($node, $auth, schema => 'auth', options => ", page_size '10'");
add_server($node, $hostile, name => 'hostile', schema => 'hostile', options => ", page_size '2'");

# Runs SQL; returns what psql printed, and what it said.
sub run_sql
{
	my ($sql) = @_;
	my (undef, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 0);

	return ($out, $err);
}

# ANALYZE of the table says nothing, asks this, and counts so many rows.
sub analyze_ok
{
	my ($name, $sim, $table, $requests, $rows, $settings) = @_;

	$sim->reset_stats;
	my ($out, $err) = run_sql(($settings // '') . "ANALYZE $table");
	is($out . $err, '', "$name: says nothing");
	is($sim->asked, $requests, "$name: requests");
	($out) = run_sql("SELECT reltuples FROM pg_class WHERE oid = '$table'::regclass");
	is($out, $rows, "$name: reltuples");
	return;
}

# ---- A directory that is read to its end

my ($plan) = run_sql('EXPLAIN SELECT * FROM app.users');
like($plan, qr/rows=10000 /, 'before: the planner knows nothing');
analyze_ok('all users', $clerk, 'app.users', '3 list', 1000);
($plan) = run_sql('EXPLAIN SELECT * FROM app.users');
like($plan, qr/rows=1000 /, 'the planner knows the number of users');

# The same numbers for a table of the same rows.
run_sql('CREATE TABLE app.copy AS SELECT * FROM app.users; ANALYZE app.copy');
my $stats = "SELECT attname, null_frac, avg_width, n_distinct, most_common_vals, histogram_bounds
	  FROM pg_stats WHERE schemaname = 'app' AND tablename = '%s' AND attname <> 'raw_json' ORDER BY attname";
my ($expected) = run_sql(sprintf($stats, 'copy'));
my ($got) = run_sql(sprintf($stats, 'users'));
is($got, $expected, 'statistics are those of a table with the same rows');
like($got, qr/^id\|0\|\d+\|-1\|/m, 'and there are some');
($got) = run_sql(q{SELECT null_frac, avg_width > 500 FROM pg_stats WHERE schemaname = 'app' AND tablename = 'users' AND attname = 'raw_json'});
is($got, '0|t', 'raw_json too');

run_sql('CREATE FOREIGN TABLE app.some (gone int, email text, id text) SERVER clerk; ALTER FOREIGN TABLE app.some DROP COLUMN gone');
analyze_ok('some columns, one dropped', $clerk, 'app.some', '3 list', 1000);
($got) = run_sql(q{SELECT attname, n_distinct FROM pg_stats WHERE tablename = 'some' AND attname = 'id'});
is($got, 'id|-1', 'statistics of a table with some columns');
analyze_ok('Better Auth', $auth, 'auth.users', '11 list', 60);
$clerk->reset_stats;
run_sql('ANALYZE');
is($clerk->asked, 'nothing', 'ANALYZE of the database leaves foreign tables out');

# ---- A directory beyond the bound

analyze_ok('40 pages of 100', $clerk, 'paged.users', '40 list, 1 count', 1000);
my (undef, $said) = run_sql('SET default_statistics_target = 1; ANALYZE VERBOSE paged.users');
like($said, qr/INFO:  00000: "users": read 400 of 1000 users of the directory; 300 rows in sample$/m,
	'ANALYZE VERBOSE');
($got) = run_sql(q{SELECT count(*) FROM pg_stats s, LATERAL (SELECT max(b) AS latest
	   FROM unnest(s.histogram_bounds::text::timestamptz[]) b) h
	  WHERE schemaname = 'paged' AND tablename = 'users' AND attname = 'created_at'
	    AND latest > (SELECT created_at FROM app.copy ORDER BY created_at OFFSET 300 LIMIT 1)});
is($got, '1', 'the sample is not the first rows');
analyze_ok('little memory', $clerk, 'app.users', '1 list, 1 count', 1000, "SET maintenance_work_mem = '1MB';");

$clerk->fault({ match => 'count', status => 500 });
(undef, $said) = run_sql('ANALYZE paged.users');
like($said, qr/ERROR:  HV00L: the provider of server "paged" is not available/, 'no count: an error');
$clerk->clear_faults;

# ---- In the cache

analyze_ok('a cold cache', $clerk, 'cached.users', '11 list', 1000);
analyze_ok('a warm cache', $clerk, 'cached.users', 'nothing', 1000);
$clerk->reset_stats;
($got) = run_sql('SELECT count(id) FROM cached.users');
is($got . ', ' . $clerk->asked, '1000, nothing', 'what ANALYZE has read is there for queries');

# ---- Users that PostgreSQL cannot hold

$hostile->create_raw('{"first_name":"no id"}');
$hostile->create_raw('{"id":"user_nul","name":"a\u0000b"}');
$hostile->create({ id => 'user_last' });
analyze_ok('hostile users', $hostile, 'hostile.users', '6 list', 9);
(undef, $said) = run_sql('ANALYZE VERBOSE hostile.users');
like($said, qr/read 9 of 9 users .*\nDETAIL:  2 more users were left out/, 'hostile users: VERBOSE tells of them');
$hostile->create({}) for 1 .. 79;
analyze_ok('hostile users beyond the bound', $hostile, 'hostile.users', '40 list, 1 count', 88);

# ---- As whom

run_sql("CREATE ROLE keeper; GRANT USAGE ON FOREIGN SERVER clerk TO keeper; GRANT USAGE, CREATE ON SCHEMA app TO keeper;
	CREATE USER MAPPING FOR keeper SERVER clerk OPTIONS (api_key 'sk_wrong');
	SET ROLE keeper; CREATE FOREIGN TABLE app.kept (id text) SERVER clerk");
(undef, $said) = run_sql('ANALYZE app.kept');
like($said, qr/ERROR:  28000: .* did not accept the credential/, "the owner's mapping is used, not the caller's");
run_sql("ALTER USER MAPPING FOR keeper SERVER clerk OPTIONS (SET api_key 'sk_test_x')");
analyze_ok('the owner', $clerk, 'app.kept', '3 list', 1000, 'SET ROLE keeper; ');
$clerk->reset_stats;
(undef, $said) = run_sql('SET ROLE keeper; ANALYZE app.users');
like($said, qr/WARNING: .*(skipping "users"|"users", skipping it)/, 'somebody else may not');
is($clerk->asked, 'nothing', 'somebody else: requests');

# ---- What ends it

$clerk->fault({ hang => \1, after => 1 });
(undef, $said) = run_sql("SET statement_timeout = '1s'; ANALYZE app.users");
like($said, qr/ERROR:  57014: /, 'it can be canceled while it waits');
$clerk->clear_faults;
analyze_ok('and again', $clerk, 'app.users', '3 list', 1000);
$clerk->fault({ status => 500, after => 1 });
(undef, $said) = run_sql('ANALYZE app.users');
like($said, qr/ERROR:  HV00L: .* is not available/, 'a page that fails is an error');
$clerk->clear_faults;
(undef, $said) = run_sql('CREATE FOREIGN TABLE app.wrong (phone text) SERVER clerk; ANALYZE app.wrong');
like($said, qr/ERROR:  HV005: column "phone" of foreign table "wrong"/, 'columns are checked');

# ---- As a part of another table

run_sql("CREATE TABLE app.parts (id text, email text) PARTITION BY LIST (email);
	CREATE FOREIGN TABLE app.remote PARTITION OF app.parts DEFAULT SERVER clerk;
	CREATE TABLE app.local PARTITION OF app.parts FOR VALUES IN ('nobody');
	INSERT INTO app.local SELECT g::text, 'nobody' FROM generate_series(1, 1000) g");
(undef, $said) = run_sql('ANALYZE app.remote; ANALYZE app.parts');
is($said, '', 'a partitioned table');
($got) = run_sql(q{SELECT (SELECT sum(f) BETWEEN 0.4 AND 0.6 FROM unnest(most_common_freqs) f)
	  FROM pg_stats WHERE tablename = 'parts' AND attname = 'email'});
is($got, 't', 'has its foreign partition in its statistics');

$node->stop;
done_testing();
