
# A large listing read as windows of time of creation, several in flight at once: the
# same users in the same order as page by page, whoever comes, goes and changes
# meanwhile, and however they are spread over time.  How fast that is nobody looks at
# here: requests are counted.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run;
use JSON::PP;
use NeonAuth::Redis;
use NeonAuth::Resources;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $true = JSON::PP::true;
my $users = 2000;
my $page = 50;
my $pages = $users / $page;
my $redis = start_redis('--notify-keyspace-events', 'K$x');
my $sim = start_sim(users => $users, latency => 10);
my $node = new_node('windows', urls => [ $sim->url ], conf => "log_statement = none\nlog_min_messages = fatal\njit = off\n");
my $size = ", page_size '$page'";
my $with_redis = ", redis_url '" . $redis->url . "', redis_timeout '1min'";

# one reads page by page; large has a cache that takes no more than some pages.
add_server($node, $sim, name => 'ok', schema => 'ok', options => $size);
add_server($node, $sim, name => 'one', schema => 'one', options => "$size, max_concurrency '1'");
add_server($node, $sim, name => 'small', schema => 'small', options => ", page_size '49'");
add_server($node, $sim, name => 'large', schema => 'large', options => "$size, cache_max_bytes '64kB' $with_redis");
add_server($node, $sim, name => 'paced', schema => 'paced',
	options => "$size, cache_ttl '0', max_requests_per_second '500' $with_redis");

my $session = new_session($node);

# How many users, how many of them differ, and all of them in their order.  A DISTINCT beside
# an aggregate would sort them for both.
sub summary { return "cardinality(a), (SELECT count(DISTINCT t) FROM unnest(a) t), md5(array_to_string(a, ',')) FROM (SELECT array_agg($_[0]) AS a FROM $_[1]) s"; }
sub listing { return $session->ask('SELECT ' . summary('u::text', "$_[0].users u")); }

# Page by page and in windows it is the same, with not too many requests more.
sub same_listing
{
	my ($name, $more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$sim->reset_stats;
	my $serial = listing('one');
	my $asked = $sim->stats->{list};
	$sim->reset_stats;
	is(listing('ok'), $serial, "$name: the same users in the same order");
	my $stats = $sim->stats;
	cmp_ok($stats->{list}, '<=', 1.5 * $asked + ($more // 12), "$name: $stats->{list} requests instead of $asked");
	return $stats;
}

# The directory anew: this moves users to other times of creation.
sub arrange
{
	my (@moves) = @_;

	$sim->control('POST', "users/index/$_->[0]/update?count=$_->[1]", { created_at => $_->[2] }) for @moves;
	return;
}

# ---- Windows, and when there are none

{
	my $stats = same_listing('as generated');

	like($stats->{last_target}, qr/created_at_after=\d+$/, '... the last window has no end');
	for my $row ([ '', 8 ], [ "ADD max_concurrency '3'", 3 ], [ "SET max_concurrency '12'", 12 ])
	{
		my ($change, $most) = @$row;

		$session->must("ALTER SERVER ok OPTIONS ($change)") if $change;
		$sim->reset_stats;
		$sim->fault({ match => 'list', after => 16, latency_ms => 300, times => 12 });
		is($session->ask('SELECT count(id) FROM ok.users'), $users, "all users with $most windows");
		is($sim->stats->{in_flight_max}, $most, "... at once");
		$sim->clear_faults;
	}
	$session->must("ALTER SERVER ok OPTIONS (DROP max_concurrency)");

	$sim->reset_stats;
	is($session->ask('SELECT count(id) FROM small.users'), $users, 'pages of less than 50 users are too small');
	is($sim->stats->{in_flight_max}, 1, '... for more than one at a time');
	$session->must("ALTER SERVER small OPTIONS (SET page_size '200')");
	$sim->reset_stats;
	is($session->ask('SELECT count(id) FROM small.users'), $users, 'and a listing of eleven pages too short');
	is($sim->stats->{list}, 12, '... for more than a look at who was created last');
}

# How much is asked for ahead grows with what was wanted.
$sim->reset_stats;
$session->must('BEGIN; DECLARE c CURSOR FOR SELECT id FROM ok.users');
for my $row ([ 1, 1 ], [ 2, 3 ], [ 3, 5 ], [ 4, 9 ])
{
	my ($number, $requests) = @$row;

	$session->ask('MOVE ' . ($number == 1 ? 1 : $page) . ' FROM c');
	wait_until("$requests requests", sub { return $sim->stats->{list} >= $requests });
	is($sim->stats->{list}, $requests, "page $number of a cursor: $requests requests");
}
is($session->ask("MOVE ALL FROM c;\n\\echo :ROW_COUNT"), $users - 3 * $page - 1, 'which goes on to the end');
$session->must('COMMIT');

# ---- While users come, go and change

{
	my $before = $sim->users;
	my @gone = (100, 200, 700, 701, 702, 1500, 1999);

	$sim->fault({ match => 'list', after => 9,
			mutate => { delete_index => \@gone, update_index => [ 50, 600, 1700 ], create => [ map { { name => "New $_" } } 1 .. 60 ] } });
	$session->must('CREATE TEMP TABLE seen AS SELECT id, created_at FROM ok.users');
	is($session->ask('SELECT count(*) - count(DISTINCT id) FROM seen'), 0, 'nobody comes twice');
	my %seen = map { $_ => 1 } split /\n/, $session->ask('SELECT id FROM seen');
	my @after = grep { !$_->{deleted} } @{ $sim->users };
	is_deeply([ map { $_->{id} } grep { !$seen{ $_->{id} } && $_->{index} < $users } @after ], [], 'nobody is left out who was there all the time');
	is_deeply([ grep { my $id = $_->{id}; !$seen{$id} && $_->{index} >= $users } @after ], [], 'nor who came before the last window was read');
	is($session->ask('SELECT count(*) FROM (SELECT created_at < lag(created_at) OVER () AS back FROM seen) s WHERE back'), 0, 'all in order');
	same_listing('afterwards');
}

# ---- However they are spread

my $begin = 1735689600000;
my $day = 24 * 3600 * 1000;
for my $row (
	[ 'all at one moment', [ 0, 1990, $begin ] ],
	[ 'all but the first and the last pages at one moment', [ 250, 1650, $begin + 250 * 20000 ] ],
	[ 'a page in each millisecond', map { [ 40 * $_, 40, $begin + $_ ] } 0 .. 49 ],
	[ 'three pages at a time once a day', map { [ 150 * $_, 150, $begin + $day * $_ ] } 0 .. 12 ],
	[ 'twice as many every month', map { [ $_, 1, $begin + int(30 * $day * log($_ + 1) / log(2)) ] } 0 .. 1999 ],
	[ 'few, then many', map { [ $_, 1, $begin + ($_ < 200 ? $day * $_ : 200 * $day + 10 * $_) ] } 0 .. 1999 ],
	[ 'many, then few', map { [ $_, 1, $begin + ($_ < 1800 ? 10 * $_ : $day * $_) ] } 0 .. 1999 ],
	[ 'one in a hundred years', map { [ $_, 1, $_ < 1999 ? $begin + 60000 * $_ : $begin + 36500 * $day ] } 0 .. 1999 ],
	[ 'thirty now and then', map { [ 30 * $_, 30, $begin + 17 * $day * $_ * $_ % 9_000_000_000 ] } 0 .. 65 ],
	[ 'long before 1970', map { [ $_, 1, -1000 * $begin / 1000 - $day * (2000 - $_) ] } 0 .. 1999 ])
{
	my ($name, @moves) = @$row;

	arrange(grep { !$sim->user("index/$_->[0]")->{deleted} || $_->[1] > 1 } map { split_gone($_) } @moves);
	same_listing($name, 24);
}

# What is left of a move without users who are gone.
sub split_gone
{
	my ($move) = @_;
	my ($first, $count, $time) = @$move;
	my %gone = map { $_ => 1 } (100, 200, 700, 701, 702, 1500, 1999);
	my @parts;

	for my $index ($first .. $first + $count - 1)
	{
		next if $gone{$index};
		if (@parts && $parts[-1][0] + $parts[-1][1] == $index) { $parts[-1][1]++; }
		else { push @parts, [ $index, 1, $time ]; }
	}
	return @parts;
}

# Whether a window has its bounds nobody knows.
for my $bounds (qw(included excluded))
{
	my $other = start_sim(users => 1000, bounds => $bounds);

	$other->control('POST', "users/index/$_/update", { created_at => $begin + $_ }) for 0 .. 999;
	allow_urls($node, $sim->url, $other->url);
	add_server($node, $other, name => $bounds, schema => $bounds, options => $size);
	my $seen = new_session($node)->ask("SELECT count(*), count(DISTINCT id) FROM $bounds.users");
	is($seen, '1000|1000', "one in each millisecond, bounds $bounds: all users, once");
	like($other->stats->{last_target}, qr/created_at_after/, '... in windows');
	$other->stop;
}

# ---- Faults

arrange(split_gone([ 0, 2000, $begin ]));
arrange(map { split_gone([ $_, 1, $begin + 20000 * $_ ]) } 0 .. 1999);
my $truth = listing('one');
for my $row (
	[ 'status 429', { status => 429, headers => { 'Retry-After' => '0' }, times => 2 } ],
	[ 'status 503', { status => 503, times => 3 } ],
	[ 'connections that break', { cut => 10, times => 3 } ],
	[ 'slow windows', { latency_ms => 50, times => 5 } ])
{
	my ($name, $fault) = @$row;

	$sim->fault({ match => 'list', after => 10, %$fault });
	is(listing('ok'), $truth, "$name in mid flight: all users, in order");
	$sim->clear_faults;
}
$sim->reset_stats;
$sim->fault({ match => 'list', after => 10, status => 429, headers => { 'Retry-After' => '3600' } });
like(listing('ok'), qr/53400/, 'silence for an hour ends it');
my $asked = $sim->stats->{list};
like(listing('ok'), qr/53400/, 'for all that was to come');
is($sim->stats->{list}, $asked, 'without a request');
$session->must("ALTER SERVER ok OPTIONS (SET page_size '$page')");

$sim->fault({ match => 'list', after => 12, hang => $true, times => -1 });
like($session->ask("SET statement_timeout = '500ms'; SELECT count(id) FROM ok.users"), qr/57014/, 'a listing with all windows in flight is canceled');
$session->must('RESET statement_timeout');
is($session->ask("SELECT count(*) FROM neon_auth.connections() WHERE server = 'ok'"), 0, '... and leaves no connection');
$sim->clear_faults;
is(listing('ok'), $truth, '... and the next one has all users');

# A user where he does not belong shows that windows are not kept.
for my $row ([ 'no time of creation', '{"id": "user_odd"}' ], [ 'another', '{"id": "user_odd", "created_at": 1}' ])
{
	my ($name, $json) = @$row;
	my $odd = $sim->create_raw($json, id => 'user_odd', created_at => $begin + 20000 * 1000 + 1);

	like(listing('ok'), qr/HV00M.*did not keep to the time of creation asked for/s, "a user of $name in a window is an error");
	is((split /\|/, listing('one'))[0], (split /\|/, $truth)[0] + 1, '... and none page by page');
	$sim->remove("index/$odd->{index}");
}

# Rests in mid flight for longer than a try may take.
$session->must("ALTER SERVER ok OPTIONS (ADD request_timeout '200ms')");
$session->must('BEGIN; DECLARE c CURSOR FOR SELECT id FROM ok.users; CREATE TEMP TABLE slow (n serial, id text)');
$session->must('DO $$ DECLARE c refcursor := $q$c$q$; i text; BEGIN LOOP FETCH c INTO i; EXIT WHEN NOT FOUND; INSERT INTO slow (id) VALUES (i);
	IF random() < 0.01 THEN PERFORM pg_sleep(0.03); END IF;
	IF (SELECT max(n) FROM slow) = 500 THEN PERFORM pg_sleep(1.5); END IF; END LOOP; END $$');
is($session->ask("SELECT string_agg(id, ',' ORDER BY n) = (SELECT string_agg(id, ',') FROM one.users) FROM slow"), 't', 'a cursor that rests in mid flight has all users');
$session->must("COMMIT; ALTER SERVER ok OPTIONS (DROP request_timeout)");

# ---- Through a cache that does not take it all

for my $time (qw(first second))
{
	$redis->ask('FLUSHALL');
	$sim->reset_stats;
	my $text = listing('large');
	like($text, qr/^\Q$truth\E$/m, "a listing too large for the cache, the $time time: the same users");
	cmp_ok($sim->stats->{in_flight_max}, '>', 2, '... in windows as soon as that is known');
}

# ---- Through a cache that does

$node->safe_psql('postgres', "ALTER SERVER large OPTIONS (SET cache_max_bytes '64MB')");
$redis->ask('FLUSHALL');
$sim->reset_stats;
like(listing('large'), qr/^\Q$truth\E$/m, 'a listing for the cache: the same users');
cmp_ok($sim->stats->{in_flight_max}, '>', 2, '... in windows');
cmp_ok($sim->stats->{list}, '<=', 1.5 * $pages + 12, '... and not too many requests');
$sim->reset_stats;
like(listing('large'), qr/^\Q$truth\E$/m, 'the same from the cache');
is($sim->requests, 0, '... without a request');

# Somebody rests in the middle, with windows in flight, and others go on.
for my $rows (120, 400, 900, 1500)
{
	$redis->ask('FLUSHALL');
	$session->must("BEGIN; DECLARE c CURSOR FOR SELECT u::text AS u FROM large.users u; CREATE TEMP TABLE part (n serial, u text)");
	$session->must("DO \$\$ DECLARE c refcursor := 'c'; t text; BEGIN FOR i IN 1 .. $rows LOOP FETCH c INTO t; INSERT INTO part (u) VALUES (t); END LOOP; END \$\$");
	like(new_session($node)->must('SELECT ' . summary('u::text', 'large.users u')), qr/^\Q$truth\E$/m,
		"another session goes on behind $rows users");
	$session->must("DO \$\$ DECLARE c refcursor := 'c'; t text; BEGIN LOOP FETCH c INTO t; EXIT WHEN NOT FOUND; INSERT INTO part (u) VALUES (t); END LOOP; END \$\$");
	is($session->must('SELECT ' . summary('u ORDER BY n', 'part')),
		$truth, '... and the one who rested has them, too');
	$session->must('COMMIT; DROP TABLE part');
}
is($session->must("SELECT sum(corrupt) FROM neon_auth.cache_stats()"), 0, 'no place in a listing was damaged');

# ---- Refreshes

sub last_run { return $session->ask('SELECT status, users, inserted, updated, tombstoned, held FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1'); }

my ($count) = split /\|/, $truth;
$sim->reset_stats;
$sim->fault({ match => 'list', after => 8, latency_ms => 300, times => 8 });
$session->must("CALL neon_auth.refresh_users_sync('ok')");
is(last_run(), "ok|$count|$count|0|0|0", 'a refresh in windows has all users');
is($sim->stats->{in_flight_max}, 8, '... eight windows at once');
$sim->fault({ match => 'list', after => 9, mutate => { delete_index => [ 10, 500, 1200, 1900 ], create => [ { name => 'New' }, { name => 'Newer' } ] } });
$session->must("CALL neon_auth.refresh_users_sync('ok', mode => 'full')");
$session->must("CALL neon_auth.refresh_users_sync('ok', mode => 'full')");
is($session->ask('SELECT count(*) FILTER (WHERE deleted_at IS NULL), count(deleted_at) FROM neon_auth.users_sync'), ($count - 2) . '|4', 'who is gone is marked, and nobody else');

# windows that end too soon: whoever is missing is asked for
$sim->fault({ match => 'list', after => 12, truncate_page => 5, times => 3 });
$session->must("CALL neon_auth.refresh_users_sync('ok', mode => 'full')");
is($session->ask('SELECT count(*) FILTER (WHERE deleted_at IS NULL), count(deleted_at) FROM neon_auth.users_sync'), ($count - 2) . '|4', 'windows that end too soon have nobody marked');
$sim->clear_faults;

# ---- The pace

{
	my $told = '';
	my $listener = IPC::Run::start([ 'redis-cli', '-s', $redis->socket, 'PSUBSCRIBE', '__keyspace@0__:*:r', 'the end' ],
		'>', \$told, '2>&1', my $timer = IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

	pump_until($listener, $timer, \$told, qr/the end/) or die 'no subscription';
	$redis->ask('FLUSHALL');
	$sim->reset_stats;
	like(listing('paced'), qr/^\d+\|\d+\|/, 'a listing in windows with a pace');
	$redis->ask('PUBLISH', 'the end', 'of it');
	pump_until($listener, $timer, \$told, qr/of it/) or die 'the subscription ended';
	$listener->kill_kill;
	is(scalar(() = $told =~ /^set$/mg), $sim->stats->{list}, 'each request was let through, and no other');
	unlike(join(' ', $told =~ /^(set|expired)$/mg), qr/set set/, 'never before it was time');
}

# ---- What it leaves behind: nothing

my $meter = new_meter($node, first => 200, times => 100, providers => [],
	bounds => { malloc => 24 * 1024, contexts => 24 * 1024, resident => 1024 * 1024 });
my $in_flight = 'DECLARE c CURSOR FOR SELECT * FROM ok.users; FETCH 210 FROM c;';
my $away = 'SELECT neon_auth.disconnect_all();';

$meter->each_way(
	'windows in flight', '',
	[ 'a cursor closed', "BEGIN; $in_flight CLOSE c; COMMIT; $away", 0 ],
	[ 'a savepoint rolled back', "BEGIN; SAVEPOINT s; $in_flight ROLLBACK TO s; COMMIT; $away", 0 ],
	[ 'an error of the query', "SELECT 1 / (row_number() OVER () - 222) FROM ok.users;\n$away", 0, '22012' ]);

$node->stop;
done_testing();
