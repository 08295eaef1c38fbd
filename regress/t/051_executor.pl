
# A foreign table wherever the executor can put one: beside concurrent updates, in
# cursors that outlive their transaction, under parents and in appends, repeated in
# every way, and larger than work_mem.  The rows are those that a local copy of the
# directory gives.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 60;
my $sim = start_sim(provider => 'clerk', users => $users);
my $auth = start_sim(provider => 'better_auth', users => 45);
my $many = start_sim(provider => 'clerk', users => 5000);
my $node = new_node(
	'executor',
	urls => [ map { $_->url } $sim, $auth, $many ],
	conf => "log_statement = none\ntimezone = 'UTC'\n");
add_server($node, $sim, options => ", page_size '10'");
add_server($node, $auth, schema => 'auth', options => ", page_size '10'");
add_server($node, $many, name => 'many', schema => 'many');

my $session = new_session($node);
my $other = new_session($node);

$session->must("CREATE TABLE app.copy AS SELECT * FROM app.users; CREATE TABLE auth.copy AS SELECT * FROM auth.users;
	CREATE TABLE many.copy AS SELECT * FROM many.users; ANALYZE app.copy; ANALYZE auth.copy; ANALYZE many.copy;
	CREATE TABLE posts (id int PRIMARY KEY, author text, title text, author_name text);
	INSERT INTO posts SELECT g, (SELECT array_agg(id ORDER BY id COLLATE \"C\") FROM app.copy)[1 + g % 80], 'post ' || g
	  FROM generate_series(1, 200) g;
	CREATE UNIQUE INDEX ON app.copy (id); ANALYZE posts");

# With this setting each node reads its input again and again.
my $loop = join('', map { "SET enable_$_ = off;" } qw(material hashjoin mergejoin memoize));

# The query with foreign tables gives what it gives with their copies, which is
# something, and asks this of the provider.
sub same_ok
{
	my ($name, $settings, $sql, $requests) = @_;
	my $expected = $session->must($sql =~ s/\b(app|auth|many)\.users\b/$1.copy/gr);

	isnt($expected, '', "$name: there are rows");
	$_->reset_stats for $sim, $auth, $many;
	my $got = $session->must("$settings\n$sql;\nRESET ALL");
	is($got, $expected, "$name: rows");
	is(join('; ', map { $_->asked } $sim, $auth, $many) =~ s/(; )?nothing(; )?//gr, $requests, "$name: requests")
	  if defined $requests;
	return;
}

# ---- Rescans

same_ok('nested loop', $loop, 'SELECT p.id, u.id, u.name, u.raw_json FROM posts p JOIN app.users u ON u.id < p.author AND p.id < 20
	ORDER BY p.id, u.id COLLATE "C"', '7 list');
same_ok('outer join', $loop, 'SELECT p.id, u.name FROM posts p LEFT JOIN app.users u ON length(u.id) > 1 AND u.id = p.author || $$$$
	ORDER BY p.id');
same_ok('lateral', $loop, 'SELECT p.id, l.* FROM posts p, LATERAL (SELECT u.id, u.email FROM app.users u WHERE u.id > p.author
	ORDER BY u.id COLLATE "C" LIMIT 2 OFFSET p.id % 3) l ORDER BY p.id, l.id COLLATE "C"', '7 list');
same_ok('lateral by id', $loop, 'SELECT p.id, l.* FROM posts p, LATERAL (SELECT u.id, u.email FROM app.users u WHERE u.id = p.author OFFSET 0) l
	WHERE p.id < 30 ORDER BY p.id');
same_ok('correlated subqueries', $loop, 'SELECT p.id, (SELECT count(*) FROM app.users u WHERE u.id <= p.author),
	ARRAY(SELECT u.name FROM app.users u WHERE u.id >= p.author ORDER BY u.id COLLATE "C" LIMIT 2) FROM posts p WHERE p.id < 20 ORDER BY p.id');
same_ok('EXISTS and NOT EXISTS', $loop, 'SELECT p.id, EXISTS (SELECT FROM app.users u WHERE u.id = p.author AND u.email LIKE $$%a%$$),
	NOT EXISTS (SELECT FROM app.users u WHERE u.created_at > to_timestamp(p.id) AND u.id > p.author) FROM posts p ORDER BY p.id');
same_ok('recursion', $loop, 'WITH RECURSIVE up (id, depth) AS (SELECT min(id COLLATE "C"), 1 FROM app.users UNION ALL
	SELECT (SELECT min(u.id COLLATE "C") FROM app.users u WHERE u.id COLLATE "C" > up.id), depth + 1 FROM up WHERE up.id IS NOT NULL)
	TABLE up ORDER BY depth');
same_ok('the recursive part joins', $loop, 'WITH RECURSIVE walk (id, depth) AS (SELECT author, 1 FROM posts WHERE id = 1 UNION
	SELECT u.id, depth + 1 FROM walk JOIN app.users u ON u.id > walk.id AND depth < 3 AND length(u.name) > depth * 4)
	SELECT depth, count(*), min(id COLLATE "C") FROM walk GROUP BY depth ORDER BY depth', '7 list');
same_ok('self-join', $loop, 'SELECT count(*), count(DISTINCT a.id), count(DISTINCT b.id) FROM app.users a JOIN app.users b ON a.created_at < b.created_at');
same_ok('merge join', 'SET enable_hashjoin = off; SET enable_nestloop = off;',
	'SELECT p.id, u.name FROM posts p JOIN app.users u ON u.id = p.author ORDER BY p.id', '7 list');
same_ok('merge full join', 'SET enable_hashjoin = off; SET enable_nestloop = off;',
	'SELECT p.id, u.id FROM posts p FULL JOIN app.users u ON u.id = p.author ORDER BY p.id, u.id COLLATE "C"', '7 list');
same_ok('a CTE read twice', '', 'WITH u AS MATERIALIZED (SELECT * FROM app.users) SELECT a.id, b.name FROM u a JOIN u b USING (id) ORDER BY a.id COLLATE "C"', '7 list');
same_ok('window functions and sets', '', 'SELECT id, rank() OVER (ORDER BY created_at), count(*) OVER () FROM app.users
	EXCEPT SELECT author, 1, 1 FROM posts ORDER BY 1', '7 list');
same_ok('TABLESAMPLE of a local table, tuples and whole rows', '', 'SELECT u.id, (u IS NOT DISTINCT FROM u), md5((u.raw_json)::text) FROM app.users u
	ORDER BY ROW(u.created_at, u.id COLLATE "C") LIMIT 30', '7 list');

# ---- Appends

same_ok('UNION ALL of two servers', '', 'SELECT id, email, created_at FROM app.users UNION ALL SELECT id, email, created_at FROM auth.users
	ORDER BY 1, 2', '7 list; 8 list');
same_ok('UNION ALL, joined', $loop, 'SELECT p.id, b.name FROM posts p JOIN (SELECT id, name FROM app.users UNION ALL SELECT id, name FROM auth.users) b
	ON b.id > p.author AND p.id < 5 ORDER BY p.id, b.name COLLATE "C", b.id COLLATE "C"', '7 list; 8 list');
same_ok('LIMIT of the first', 'SET enable_async_append = off;',
	'SELECT count(*) FROM (SELECT id FROM app.users UNION ALL SELECT id FROM auth.users LIMIT 5) u', '1 list');
same_ok('LIMIT of any', '', 'SELECT count(*) FROM (SELECT id FROM app.users UNION ALL SELECT id FROM auth.users LIMIT 5) u', '1 list; 1 list');
$session->must('CREATE TABLE family (id text, name text, email text); CREATE TABLE family_copy (LIKE family);
	CREATE FOREIGN TABLE child (created_at timestamptz) INHERITS (family) SERVER clerk;
	CREATE FOREIGN TABLE sister () INHERITS (family) SERVER better_auth;
	INSERT INTO family VALUES ($$own$$, $$Own$$);
	INSERT INTO family_copy SELECT id, name, email FROM app.copy UNION ALL SELECT id, name, email FROM auth.copy UNION ALL TABLE ONLY family;
	CREATE TABLE parts (kind int, id text, email text) PARTITION BY LIST (kind)');
sub family_ok
{
	my ($name, $settings, $sql, $requests) = @_;
	my $expected = $session->must($sql =~ s/\bfamily\b/family_copy/gr);

	isnt($expected, '', "$name: there are rows");
	$_->reset_stats for $sim, $auth;
	is($session->must("$settings\n$sql;\nRESET ALL"), $expected, "$name: rows");
	is($sim->asked . '; ' . $auth->asked, $requests, "$name: requests");
	return;
}
family_ok('children', '', 'SELECT * FROM family ORDER BY id COLLATE "C"', '7 list; 8 list');
family_ok('children, repeated', $loop, 'SELECT p.id, f.name FROM posts p LEFT JOIN family f ON f.id > p.author AND p.id < 4 WHERE p.id < 4
	ORDER BY p.id, f.id COLLATE "C"', '7 list; 8 list');
family_ok('children, one user', '', q(SELECT id, name FROM family WHERE id = (SELECT min(author) FROM posts)), '1 get; 1 get');
like($session->ask('UPDATE family SET name = $$x$$'), qr/ERROR:  0A000: cannot update foreign table|ERROR:  55000: .*foreign table/, 'children cannot be changed');
$session->must("CREATE TABLE users_only (id text, email text) PARTITION BY RANGE (id);
	CREATE FOREIGN TABLE users_low PARTITION OF users_only FOR VALUES FROM (MINVALUE) TO ('user_~') SERVER clerk;
	CREATE TABLE users_high PARTITION OF users_only FOR VALUES FROM ('user_~') TO (MAXVALUE);
	INSERT INTO users_only VALUES ('zoe', 'zoe\@example.com')");
$sim->reset_stats;
is($session->must("SELECT count(*) FROM users_only WHERE id >= 'user_~'"), 1, 'a pruned partition: rows');
is($sim->asked, 'nothing', 'a pruned partition: requests');
is($session->must('SELECT count(*), count(DISTINCT id) FROM users_only'), join('|', $users + 1, $users + 1), 'a foreign partition: rows');
is($session->must("SELECT count(*) FROM posts p JOIN users_only u USING (id)" =~ s/USING \(id\)/ON u.id = p.author/r),
	$session->must('SELECT count(*) FROM posts p JOIN app.copy u ON u.id = p.author'), 'a foreign partition, joined');

# ---- Cursors

my @all = split /\n/, $session->must('SELECT id FROM app.copy ORDER BY created_at, id');
$session->must('BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT id FROM app.users ORDER BY created_at, id');
my @read = split /\n/, $session->must('FETCH 7 FROM held');
$session->must('COMMIT');
$sim->remove('index/30');
$sim->update('index/31', { first_name => 'Later' });
push @read, split /\n/, $session->must('FETCH 20 FROM held');
$sim->reset_stats;
push @read, split /\n/, $session->must('FETCH ALL FROM held; CLOSE held');
is_deeply(\@read, \@all, 'WITH HOLD: the rows of the transaction that made it');
is($sim->asked, 'nothing', 'WITH HOLD: nothing is asked after its commit');
$session->must('DROP TABLE app.copy; CREATE TABLE app.copy AS SELECT * FROM app.users');
@all = split /\n/, $session->must('SELECT id FROM app.users');
$session->must('BEGIN; DECLARE back SCROLL CURSOR FOR SELECT id FROM app.users');
is($session->must('FETCH 15 FROM back'), join("\n", @all[ 0 .. 14 ]), 'SCROLL: forward');
is($session->must('FETCH BACKWARD 5 FROM back'), join("\n", reverse @all[ 9 .. 13 ]), 'backward');
is($session->must('FETCH ABSOLUTE 40 FROM back'), $all[39], 'to a place');
is($session->must('FETCH RELATIVE -30 FROM back'), $all[9], 'and back');
is($session->must('MOVE FORWARD ALL IN back; FETCH PRIOR FROM back'), $all[-1], 'from the end');
$session->must('ROLLBACK');
is($session->must('BEGIN; SAVEPOINT s; DECLARE c CURSOR FOR SELECT id FROM app.users; FETCH 3 FROM c; ROLLBACK TO s; SELECT count(*) FROM app.users; COMMIT'),
	join("\n", @all[ 0 .. 2 ], scalar @all), 'a cursor that a savepoint takes away');

# ---- Beside a concurrent update

# Statement of the one session that has to wait for what the other has done; returns
# the posts afterwards.
sub after_wait
{
	my ($change, $statement) = @_;
	my $pid = $other->must('SELECT pg_backend_pid()');

	$session->must("BEGIN; $change");
	print { $other->{in} } "$statement;\n";
	wait_until('the statement to wait', sub {
		return $session->must("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid") eq 't';
	});
	$session->must('COMMIT');
	my $said = $other->ask('SELECT 1');
	$said =~ s/\n?1\z//;
	my $posts = $session->must("SELECT author = (SELECT id FROM app.copy WHERE created_at = (SELECT max(created_at) FROM app.copy)), title, author_name IS NOT NULL,
		author_name IS NOT DISTINCT FROM (SELECT name FROM app.copy u WHERE u.id = p.author) FROM posts p WHERE id = 1");
	$session->must("UPDATE posts SET title = 'post ' || id, author_name = NULL, author = (SELECT min(id COLLATE \"C\") FROM app.copy) WHERE id = 1");
	return "$said;$posts";
}

my $give_name = 'UPDATE posts p SET author_name = u.name FROM app.users u WHERE u.id = p.author AND p.id = 1';
my $last = "author = (SELECT id FROM app.copy ORDER BY created_at DESC LIMIT 1)";
$session->must('UPDATE posts SET author = (SELECT min(id COLLATE "C") FROM app.copy) WHERE id = 1');

is(after_wait("UPDATE posts SET title = 'changed' WHERE id = 1", $give_name), ';f|changed|t|t', 'UPDATE FROM: both changes are there');
is(after_wait("UPDATE posts SET $last WHERE id = 1", $give_name), ';t|post 1|f|f', 'UPDATE FROM: a row that no longer joins is left alone');
is(after_wait("UPDATE posts SET title = 'changed' WHERE id = 1",
	"UPDATE posts p SET author_name = u.name FROM app.users u WHERE u.id = p.author AND u.id = (SELECT author FROM posts WHERE id = 1) AND p.id = 1"),
	';f|changed|t|t', 'UPDATE FROM one user by id');
is(after_wait("UPDATE posts SET title = 'changed' WHERE id = 1", "$loop $give_name"), ';f|changed|t|t', 'UPDATE FROM, nested loop');
is(after_wait("UPDATE posts SET title = 'changed' WHERE id = 1",
	"UPDATE posts SET author_name = (SELECT name FROM app.users u WHERE u.id = posts.author) WHERE id = 1"),
	';f|changed|t|t', 'a subquery in SET');
like(after_wait("UPDATE posts SET title = 'changed' WHERE id = 1",
	"SELECT p.title, u.name IS NOT NULL FROM posts p JOIN app.users u ON u.id = p.author WHERE p.id = 1 FOR UPDATE OF p"),
	qr/^changed\|t;/, 'SELECT FOR UPDATE shows the new row');
like(after_wait("UPDATE posts SET $last WHERE id = 1",
	"SELECT p.title FROM posts p JOIN app.users u ON u.id = p.author WHERE p.id = 1 FOR UPDATE"), qr/^;/, 'SELECT FOR UPDATE: one that no longer joins');
like(after_wait("DELETE FROM posts WHERE id = 1; INSERT INTO posts SELECT 1, min(id COLLATE \"C\"), 'post 1' FROM app.copy", $give_name), qr/^;f\|post 1\|f/,
	'UPDATE FROM: a row that is gone');

# ---- More than work_mem

# What the server has written to temporary files since, as it logs it.
sub temporary_files
{
	my ($sql) = @_;
	my $offset = -s $node->logfile;
	my $got = $session->must("SET work_mem = '64kB'; SET hash_mem_multiplier = 1; SET log_temp_files = 0; $sql; RESET ALL");

	return ($got, scalar(() = slurp_file($node->logfile, $offset) =~ /temporary file: path/g));
}

sub spill_ok
{
	my ($name, $settings, $sql) = @_;
	my $expected = $session->must($sql =~ s/many\.users/many.copy/gr);

	$many->reset_stats;
	my ($got, $files) = temporary_files("$settings $sql");
	is($got, $expected, "$name: rows");
	cmp_ok($files, '>', 0, "$name: temporary files");
	return;
}

# Sums of hashes, for whatever needs an order would write files of its own.
my $digest = q(count(*), sum(hashtext(a.raw_json::text || coalesce(b.name, ''))), sum(hashtext(a.id || b.id)));
my $pairs = "SELECT $digest FROM many.users a JOIN many.users b ON b.id = a.id";
spill_ok('hash join', 'SET enable_mergejoin = off; SET enable_nestloop = off;', $pairs);
spill_ok('merge join', 'SET enable_hashjoin = off; SET enable_nestloop = off;', $pairs);
spill_ok('kept rows', "$loop SET jit = off;", 'SELECT count(*), sum(hashtext(u::text)) FROM generate_series(1, 3) g LEFT JOIN many.users u ON length(u.id) > g');
spill_ok('sort', '', 'SELECT md5(string_agg(t, $$$$)) FROM (SELECT u::text t FROM many.users u ORDER BY email COLLATE "C", id COLLATE "C") x');
spill_ok('groups', 'SET enable_sort = off;', 'SELECT count(*), sum(n) FROM (SELECT id, raw_json, count(*) n FROM many.users GROUP BY 1, 2) x');

my $expected = $session->must('SELECT id, md5(raw_json::text) FROM many.copy');
my $offset = -s $node->logfile;
$session->must("SET work_mem = '64kB'; SET log_temp_files = 0; BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT id, md5(raw_json::text) FROM many.users; FETCH 0 FROM held; COMMIT");
$many->reset_stats;
ok(join("\n", sort split /\n/, $session->must('FETCH ALL FROM held')) eq join("\n", sort split /\n/, $expected), 'WITH HOLD: rows');
is($many->asked, 'nothing', 'WITH HOLD: requests');
$session->must('CLOSE held; RESET ALL');
like(slurp_file($node->logfile, $offset), qr/temporary file: path/, 'WITH HOLD: temporary files');

$node->stop;
done_testing();
