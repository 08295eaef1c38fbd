
# When the cache does not do: options that change, users who do not exist, listings
# that are old or too large, and providers that fail.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/lib";

use NeonAuth::Cached;
use NeonAuth::Redis;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 67;
my $sim = start_sim(users => 66);
my $twin = start_sim(users => 3, seed => 2);
my $auth = start_sim(provider => 'better_auth', users => 40);
my $redis = start_redis();
my $node = new_node('main', urls => [ map { $_->url } $sim, $twin, $auth ], conf => "log_statement = none\n");

# For "clerk" nothing gets old by itself, for "old" everything is at once; they share
# what is cached, for they have the same credential.
my $cached = ", redis_url '" . $redis->url . "', redis_timeout '1min', page_size '10'";
$sim->create({ id => 'user_ada', first_name => 'Ada' });
add_server($node, $sim, options => "$cached, cache_ttl '1d'");
add_server($node, $sim, name => 'old', schema => 'old', options => "$cached, cache_ttl '1ms', cache_stale_ttl '1h'");
add_server($node, $auth, name => 'old_auth', schema => 'old_auth', options => "$cached, cache_ttl '1ms'");
watch_queries($node, $sim);

# ---- Helpers

# Changes an option of a server.
sub set_option
{
	my ($name, $value, $server) = @_;

	run_sql('ALTER SERVER ' . ($server // 'clerk') . " OPTIONS (SET $name '$value')");
	return;
}

sub set_key
{
	my ($key) = @_;

	run_sql("ALTER USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (SET api_key '$key')");
	return;
}

# Forgets what keeps other sessions from asking.
sub drop_marks
{
	my @marks = grep { /:[blr]$/ } $redis->keys;

	$redis->ask('DEL', @marks) if @marks;
	return;
}

# The provider works again, and nobody remembers that it did not.
sub mend
{
	my ($provider) = @_;

	($provider // $sim)->clear_faults;
	drop_marks();
	return;
}

my $count = 'SELECT count(id) FROM app.users';
my $one = q(SELECT name FROM app.users WHERE id = 'user_ada');
my $all_old = 'SELECT count(*), count(DISTINCT id) FROM old.users';
my $one_old = q(SELECT name FROM old.users WHERE id = 'user_ada');
my $clear = q(SELECT neon_auth.cache_clear('clerk'));
my $refill = 'SET neon_auth_fdw.cache = refill';
my $session = $node->background_psql('postgres', on_error_stop => 0);

# ---- Old listings

query_is('a cold cache', "$all_old; $one_old", "$users|$users\nAda", '1 get, 7 list');
query_is('an old listing', "$all_old; $one_old", "$users|$users\nAda", '1 get, 7 list');
is(explained($all_old), '7, hits=0 stale=0 misses=1', 'EXPLAIN of an old listing');
query_is('where it is fresh, it is read', "$count; $one", "$users\nAda", 'nothing');
$sim->update('user_ada', { first_name => 'Augusta' });
query_is('a change is seen where listings get old at once', $one_old, 'Augusta', '1 get');
query_is('and then everywhere', $one, 'Augusta', 'nothing');
$sim->create({ id => 'user_new' });
query_is('a new user, too', $all_old, '68|68', '7 list');
query_is('everywhere', $count, ++$users, 'nothing');

# While another session has the lease, which has no end here.
$redis->ask('SET', "$_:l", 1) for map { /^(.*\}:\w{32})(?::c)?$/ } $redis->keys;
query_is('an old listing that is being fetched', "$all_old; $one_old", "68|68\nAugusta", 'nothing');
is(explained($all_old), '0, hits=0 stale=1 misses=0, age', 'EXPLAIN of such a listing');
is(explained($one_old), '0, hits=0 stale=1 misses=0, age', 'and of a user');
$session->query_safe("BEGIN; DECLARE c CURSOR FOR SELECT id FROM old.users; FETCH 5 FROM c");
mend();
$sim->remove('user_new');
$users--;
query_is('a new listing', $all_old, '67|67', '7 list');
is(scalar(split /\n/, $session->query_safe('FETCH ALL FROM c')), 63, 'who reads the old one reads it to its end');
is($session->query_safe('COMMIT; SELECT stale, misses, lost, corrupt FROM neon_auth.cache_stats()'), '1|0|0|0',
	'from the cache');

# ---- Providers that fail

# The SQL gives these rows with one WARNING that they are old.  What it leaves for
# other sessions lasts from then on until mend.
sub stale_is
{
	my ($name, $sql, $rows, $detail) = @_;
	my $hint = 'Option "cache_stale_ttl" of the server sets how old they may get while the provider fails';
	my $out = run_sql($sql);
	my @kept = grep { $redis->ask('PERSIST', $_) } grep { /:l$/ } $redis->keys;

	is(scalar @kept, 1, "$name: a lease that keeps others from asking");
	like($out, qr/\A\Q$rows\E\npsql:\S+ WARNING:  01000: users of server "\w+" are \d+ s old\n/,
		"$name: rows and WARNING");
	like($out, qr/\nDETAIL:  .*$detail.*\nHINT:  \Q$hint\E\.\n/, "$name: with the reason");
	is(scalar(() = $out =~ /WARNING|ERROR/g), 1, "$name: which is the only one");
	return;
}

# The SQL fails with this SQLSTATE and message, and gives no rows.
sub fails
{
	my ($name, $sql, $error) = @_;

	like(run_sql($sql), qr/\Apsql:\S+ ERROR:  $error/, "$name: an error, no rows");
	return;
}

$sim->update('user_ada', { first_name => 'Later' });
for my $row (
	[ 'HTTP status 503', { status => 503 } ],
	[ 'HTTP status 500', { status => 500 } ],
	[ 'HTTP status 429', { status => 429, headers => { 'Retry-After' => '30' } } ],
	[ 'broke', { cut => 100 } ])
{
	my ($detail, $fault) = @$row;

	for my $query ([ 'a listing', $all_old, '67|67' ], [ 'a lookup', $one_old, 'Augusta' ])
	{
		my ($name, $sql, $rows) = @$query;

		$sim->fault({ match => 'any', times => -1, %$fault });
		$sim->reset_stats;
		stale_is("$name, $detail", $sql, $rows, $detail);
		isnt($sim->asked, 'nothing', 'the provider was asked');
		query_is("$name, $detail, of others", $sql, $rows, 'nothing');
		mend();
		$sim->fault({ match => 'any', times => -1, %$fault });
		like(explained($sql), qr/^[1-9]\d*, .*, age$/, 'EXPLAIN tells the age');
		mend();
	}
}
my $at = $sim->port;
$sim->stop;
stale_is('nobody there', $all_old, '67|67', 'could not connect');
is(run_sql($all_old), '67|67', 'for other sessions there is no WARNING');
drop_marks();
my $join = 'SELECT count(*) FROM old.users a JOIN old.users b USING (id)';
stale_is('nobody there, in both scans of a self-join', $join, 67, 'could not connect');
$sim = start_sim(port => $at, users => 66);
$sim->create({ id => 'user_ada', first_name => 'Back' });
mend();
query_is('the provider is there again', "$one_old; $all_old", "Back\n67|67", '1 get, 7 list');

run_sql("CREATE TABLE posts AS SELECT 'user_ada' AS author FROM generate_series(1, 3)");
my @ids = split /\n/, run_sql('SELECT id FROM app.users ORDER BY id LIMIT 3');
run_sql("INSERT INTO posts SELECT unnest('{@{[ join(',', @ids) ]}}'::text[])");
my $lookups = 'SELECT count((SELECT u.id FROM old.users u WHERE u.id = p.author)) FROM posts p';
is(run_sql($lookups), 6, 'lookups in a loop');
$sim->fault({ match => 'any', times => -1, status => 500 });
is(scalar(() = run_sql($lookups) =~ /^6$|WARNING/mg), 2, 'when the provider fails there is one WARNING for all');
mend();

# What is no reason to take an old answer for a new one.
for my $row (
	[ 401, '28000' ], [ 403, '42501' ], [ 404, 'HV00L' ], [ 422, 'HV00L' ],
	[ 'HTML', 'HV00M', { body => '<html></html>', content_type => 'text/html' } ],
	[ 'no JSON', 'HV00M', { body => '[' } ])
{
	my ($name, $error, $fault) = @$row;

	$sim->fault({ match => 'any', times => -1, %{ $fault // { status => $name, body => '{}' } } });
	fails("$name, a listing", $all_old, $error);
	fails("$name, a lookup", $one_old, $error);
	ok(!(grep { /:l$/ } $redis->keys), "$name: the lease is given back");
	query_is("$name: fresh users are read", "$count; $one", "67\nBack", 'nothing');
	$sim->clear_faults;
}
$sim->fault({ match => 'any', times => -1, status => 500 });
set_option('cache_stale_ttl', '1ms', 'old');
fails('too old a listing', $all_old, 'HV00L');
fails('too old a user', $one_old, 'HV00L');
set_option('cache_stale_ttl', '1h', 'old');
stale_is('cache_stale_ttl, at once', $all_old, '67|67', '500');
mend();
query_is('when it works again', "$one_old; $all_old", "Back\n67|67", '1 get, 7 list');

# A page that is not the first one.
for my $row ([ $sim, 'old', 67 ], [ $auth, 'old_auth', 40 ])
{
	my ($provider, $schema, $number) = @$row;
	my ($name, $rows) = ($provider->provider, "$number|$number");
	my $sql = "SELECT count(*), count(DISTINCT id) FROM $schema.users";

	is(run_sql($sql), $rows, "$name: a listing");
	for my $fails ($sql, "SELECT id FROM $schema.users")
	{
		$provider->fault({ match => 'list', after => 1, times => -1, status => 500 });
		fails("$name: failure of the second page", $fails, 'HV00L');
		mend($provider);
	}
	$provider->fault({ match => 'list', times => -1, status => 500 });
	stale_is("$name: failure of the first page, then", $sql, $rows, 'HTTP status 500');
	mend($provider);
}
run_sql($clear);
$sim->fault({ match => 'list', after => 4, times => -1, status => 500 });
fails('failure of the fifth page of a cold listing', $count, 'HV00L');
mend();
query_is('who comes later goes on from there',
	'SELECT count(*), count(DISTINCT id), count(DISTINCT raw_json) FROM app.users', '67|67|67', '3 list');

# ---- Users who do not exist

my $nobody = q(SELECT name FROM app.users WHERE id = 'user_late');
my $nobody_old = $nobody =~ s/app/old/r;
query_is('an unknown id', $nobody, '', '1 get');
wait_until('a hit', sub { $sim->reset_stats; return run_sql($nobody) eq '' && $sim->asked eq 'nothing'; });
pass('is remembered');
$sim->fault({ match => 'any', times => -1, status => 500 });
fails('but not when it is old', $nobody_old, 'HV00L');
mend();
wait_until('the end of it', sub { $sim->reset_stats; return run_sql($nobody) eq '' && $sim->asked eq '1 get'; });
pass('and not for long, whatever cache_ttl is');
$sim->create({ id => 'user_late', first_name => 'Late' });
run_sql($clear);
query_is('who came meanwhile', $nobody, 'Late', '1 get');
query_is('stays', $nobody, 'Late', 'nothing');
$sim->remove('user_late');
query_is('who left is not served stale', $nobody_old, '', '1 get');

# ---- Options

run_sql("$count; $one");
set_option('cache_ttl', '0');
query_is('cache_ttl 0', "$count; $one", "$users\nBack", '1 get, 7 list');
is(explained($count), '7, none', 'is no use of the cache');
$sim->reset_stats;
is($session->query_safe($count), $users, 'a session that was there before');
is($sim->asked, '7 list', 'knows, too');
set_option('cache_ttl', '1d');
query_is('cache_ttl as it was', "$count; $one", "$users\nBack", 'nothing');
set_option('cache_ttl', '1ms');
query_is('a short cache_ttl, at once', "$count; $one", "$users\nBack", '1 get, 7 list');
query_is('a short cache_ttl again', "$count; $one", "$users\nBack", '1 get, 7 list');
set_option('cache_ttl', '1d');
$twin->reset_stats;
set_option('url', $twin->url);
query_is('another url', $count, 3, 'nothing');
is($twin->asked, '1 list', 'asks there');
set_option('url', $sim->url);
query_is('the url as it was', $count, $users, 'nothing');
set_option('page_size', 20);
query_is('another page_size', $count, $users, '4 list');
set_option('page_size', 10);
query_is('the page_size as it was', $count, $users, 'nothing');
set_key('sk_other');
like(run_sql("$count; $one"), qr/28000.*28000/s, 'another credential is that of somebody else');
$sim->reset_stats;
like($session->query($count), qr/^$/, 'in a session that was there before, too');
set_key('sk_test_x');
query_is('the credential as it was', "$count; $one", "$users\nBack", 'nothing');
is($session->query($count), $users, 'and in that session');

# ---- More than the cache takes

set_option('page_size', 20);
run_sql("ALTER SERVER clerk OPTIONS (ADD cache_max_bytes '64kB'); $clear");
srand(1);
for my $id (qw(user_big user_bigger))
{
	$sim->create_raw(qq({"id":"$id","created_at":1900000000000,"n":[) . join(',', map { rand } 1 .. 3000) . ']}');
}
$users += 2;
my %before = map { $_ => 1 } $redis->keys;
my $notice = qr/NOTICE: .*users of server "clerk" are more than the cache takes\n.*HINT:  Option "cache_max_bytes"/;
$sim->reset_stats;
my $out = run_sql($count);
like($out, qr/^$users\n(?=.*NOTICE)/, 'a listing that is too large is read');
is(scalar(() = $out =~ /$notice/g), 1, 'with one NOTICE');
is($sim->asked, '4 list', 'and one request a page');
is_deeply([ grep { !$before{$_} } $redis->keys ], [], 'no page of it stays in Redis');
cmp_ok($redis->ask('MEMORY', 'USAGE', $_), '<', 1000, 'a small note does') for grep { /:c$/ } $redis->keys;
$redis->reset_commands;
like(run_sql($count), qr/^$users\n(?=.*NOTICE)/, 'another session is told, too');
ok(!{ $redis->commands }->{set}, 'and tries no more to cache it');
query_is('a lookup is not too large', $one, 'Back', '1 get');
query_is('and cached', $one, 'Back', 'nothing');
run_sql("ALTER SERVER clerk OPTIONS (SET cache_max_bytes '1GB'); $refill; $count");
query_is('a larger limit', $count, $users, 'nothing');

$node->stop;
done_testing();
