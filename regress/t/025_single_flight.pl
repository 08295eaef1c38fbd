# However many sessions want a listing that is not in the cache, the provider is
# asked for each of its pages once; and whatever happens to the session that asks,
# the others go on.  The order of events is enforced by holding the provider and by
# stopping processes; where that takes longer than a lease lasts, the test gives
# the lease a longer life.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Fleet;
use NeonAuth::Redis;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $users = 950;
my $pages = 10;
my $sim = start_sim(users => $users, latency => 20);
my $redis = start_redis();
my $slow_sim = start_sim(users => 250);
my $slow_redis = start_redis();
my $limited_sim = start_sim(users => 250);
my $late_sim = start_sim(users => $users);
my @urls = map { $_->url } $sim, $redis, $slow_sim, $slow_redis, $limited_sim, $late_sim;
my $node = new_node('main', urls => \@urls, conf => "max_connections = 280\n");
my $second = new_node('second', urls => [ $sim->url, $redis->url ]);

# A server whose users are cached under its own name, or under that of another.  Who
# does not share them asks for each page once, too, and for nothing else.
sub add_cached
{
	my ($on, $name, %opts) = @_;
	my $provider = delete $opts{sim} // $sim;
	my %options = (page_size => 100, redis_url => $redis->url, redis_prefix => $name, cache_ttl => '1h',
		max_concurrency => 1, redis_timeout => '1min', request_timeout => '10min', scan_timeout => '10min', %opts);

	add_server($on, $provider, name => $name, schema => $name,
		options => join('', map { ", $_ '$options{$_}'" } sort keys %options));
	return;
}

sub clear { return $node->safe_psql('postgres', "SELECT neon_auth.cache_clear('$_[0]')"); }

add_cached($node, 'app');
add_cached($node, 'crowd');
$node->safe_psql('postgres', 'CREATE UNLOGGED TABLE answer (kind text, answer text)');

# ---- What is right

my %summary = (
	narrow => q{id || coalesce(name, '')},
	wide => 'id || raw_json::text');

$_ = "count(*) || ' ' || count(DISTINCT id) || ' ' || md5(string_agg($_, ',' ORDER BY id))" for values %summary;

# What a query without the cache answers.
sub truth
{
	my ($kind) = @_;

	return $node->safe_psql('postgres', "SET neon_auth_fdw.cache = off; SELECT $summary{$kind} FROM app.users");
}

my $all = 'SELECT ' . $summary{narrow} . ' FROM app.users;';
my $truth = truth('narrow');

like($truth, qr/^$users $users /, 'without the cache, each user is there once');
is($sim->stats->{list}, $pages, "that takes $pages requests");

# What is wrong with the ids that a cursor has read, if anything.
sub wrong_ids
{
	my ($session) = @_;
	my %seen;

	$seen{$_}++ for @{ $session->{ids} };
	my $doubled = grep { $_ > 1 } values %seen;
	return scalar(keys %seen) == $users && $doubled == 0 ? '' : keys(%seen) . " users, $doubled of them twice";
}

# A later query has the right answer, without a request.
sub cached_ok
{
	my ($what, $table) = @_;

	$sim->reset_stats;
	is($node->safe_psql('postgres', $table ? $all =~ s/app\.users/$table/r : $all),
		$truth, "$what: a later query reads the right users");
	is($sim->stats->{list}, 0, "$what: it reads them from the cache");
	return;
}

# ---- Crowds

# Lets 200 sessions read the listing of server crowd; returns what they answered.
sub crowd_reads
{
	$node->safe_psql('postgres', 'TRUNCATE answer');
	$sim->reset_stats;
	crowd($node, 200, map { "INSERT INTO answer SELECT '$_', $summary{$_} FROM crowd.users" } sort keys %summary);
	return $node->safe_psql('postgres', 'SELECT DISTINCT kind, answer FROM answer ORDER BY 1, 2');
}

sub one_listing
{
	my ($what) = @_;

	is($node->safe_psql('postgres', 'SELECT count(*) FROM answer'), 200, "$what: 200 sessions read at once");
	is($sim->stats->{list}, $pages, "$what: the provider is asked for each page once");
	return;
}

my $before = join "\n", map { "$_|" . truth($_) } sort keys %summary;
is(crowd_reads(), $before, 'cold listing: all get all users once, with and without raw_json');
one_listing('cold listing');
my $filled = time;

my $id = $node->safe_psql('postgres', 'SELECT id FROM crowd.users ORDER BY id LIMIT 1');
for my $case ([ 'a user', $id, 1 ], [ 'a user who does not exist', 'user_0', 0 ])
{
	my ($what, $wanted, $found) = @$case;

	$node->safe_psql('postgres', 'TRUNCATE answer');
	$sim->reset_stats;
	crowd($node, 100, "INSERT INTO answer SELECT 'id', count(id) FROM crowd.users WHERE id = '$wanted'");
	is($node->safe_psql('postgres', 'SELECT answer, count(*) FROM answer GROUP BY 1'),
		"$found|100", "cold lookup of $what: 100 sessions get the right answer");
	is($sim->stats->{get}, 1, "cold lookup of $what: the provider is asked once");
}

# ---- Sessions that read only a part

# Forgets the listing and begins to read it.
sub start_cold
{
	my ($table, $fetch) = @_;
	my $session = open_session($node);

	clear('app');
	$sim->reset_stats;
	declare($session, $table);
	fetch($session, $fetch);
	return $session;
}

my $idle = start_cold('app.users', 1);
is($node->safe_psql('postgres', $all), $truth, 'an idle cursor holds nobody up');
is($sim->stats->{list}, $pages, 'the page that it read is not read again');
fetch($idle, 'ALL');
is(wrong_ids($idle), '', 'an idle cursor goes on with the right users');
is($sim->stats->{list}, $pages, 'it takes the pages that it needs from the cache');

clear('app');
$sim->reset_stats;
is($node->safe_psql('postgres', 'SELECT EXISTS (SELECT FROM app.users)'), 't', 'a query for one row');
is($sim->stats->{list}, 1, 'it reads one page');
is($node->safe_psql('postgres', $all), $truth, 'a query for all users goes on from there');
is($sim->stats->{list}, $pages, 'no page is read again');

for my $join (qw(hash merge nestloop))
{
	my $off = join ' ', map { $join =~ /^$_/ ? () : "SET enable_${_}join = off;" } qw(hash merge);

	$off .= ' SET enable_nestloop = off;' if $join ne 'nestloop';
	clear('app');
	$sim->reset_stats;
	my $sql = "$off SELECT count(*) FROM app.users a JOIN app.users b ON a.name || a.id = b.name || b.id";
	is($node->safe_psql('postgres', $sql),
		$node->safe_psql('postgres', 'SELECT count(id) FROM app.users WHERE name IS NOT NULL'),
		"$join join: a listing joined with itself does not wait for itself");
	is($sim->stats->{list}, $pages, "$join join: each page is read once");
}

my $both = start_cold('app.users', 150);
$both->{psql}->query_safe('DECLARE d CURSOR FOR SELECT id FROM app.users; MOVE 350 FROM d');
fetch($both, 500);
is($both->{psql}->query_safe('WITH all_of AS MATERIALIZED (SELECT id FROM app.users) SELECT count(*) FROM all_of'),
	$users, 'several scans in one session read one listing');
fetch($both, 'ALL');
is(wrong_ids($both), '', 'each of them goes on with the right users');
is($sim->stats->{list}, $pages, 'they read each page once');

# A session has read two pages and asks for the third, which the provider does not
# answer yet.
sub start_leader
{
	my ($on, $name, $provider) = @_;
	my $leader = open_session($on);

	clear($name);
	$provider->reset_stats;
	declare($leader, "$name.users");
	fetch($leader, 200);
	hold($provider);
	begin_fetch($leader, 100);
	wait_for_held($provider, 1);
	return $leader;
}

# ---- Sessions that wait for one that is frozen

my $frozen = 'a session that asks stays frozen';
my %slow = (sim => $slow_sim, redis_url => $slow_redis->url, redis_prefix => 'slow');

add_cached($node, 'slow', %slow);
add_cached($node, 'hasty', %slow, scan_timeout => '1s');
add_cached($node, 'late', sim => $late_sim, redis_url => $slow_redis->url);

my ($patient, $canceled, $timed, $hasty) = map { open_session($node) } 1 .. 4;
my $stuck = start_leader($node, 'slow', $slow_sim);

freeze($stuck->{pid});
$slow_redis->ask('PEXPIRE', lease_of($slow_redis, 'slow'), 600_000);
let_go($slow_sim);
$slow_redis->reset_commands;
begin_query($_, 'SELECT count(id) FROM slow.users;') for $patient, $canceled;
begin_query($timed, "SET statement_timeout = '1s'; SELECT count(id) FROM slow.users;");
begin_query($hasty, 'SELECT count(id) FROM hasty.users;');
wait_for_polls($slow_redis, 20);
$node->safe_psql('postgres', "SELECT pg_cancel_backend($canceled->{pid})");
like(end_query($canceled), qr/canceling statement due to user request/, "$frozen: one that waits can be canceled");
like(end_query($timed), qr/canceling statement due to statement timeout/, "$frozen: statement_timeout ends one");
is(end_query($hasty), 250, "$frozen: one with little time goes on by itself");

# One that has its answer when it goes on, after its lease.
my $late = start_leader($node, 'late', $late_sim);

freeze($late->{pid});
let_go($late_sim);
wait_for_answer($late_sim);

# ---- Sessions that wait because the provider wants silence

my $limited = 'the provider wants silence for longer than anybody waits for a page';
my @silent = map { open_session($node) } 1 .. 10;

add_cached($node, 'limited', sim => $limited_sim, redis_url => $slow_redis->url);
$limited_sim->fault({ match => 'list', status => 429, headers => { 'Retry-After' => '12' } });
begin_query($_, 'SELECT count(id) FROM limited.users;') for @silent;

# ---- The session that asks the provider ends

# Sessions that wait for it.
sub start_followers
{
	my @followers = map { open_session($node) } 1 .. 3;

	$redis->reset_commands;
	begin_query($_, $all) for @followers;
	wait_for_polls($redis, 20);
	return @followers;
}

sub followers_finish
{
	my ($what, @followers) = @_;

	is(join(', ', map { end_query($_) } @followers),
		join(', ', ($truth) x @followers), "$what: the others get all users");
	cmp_ok($sim->stats->{list}, '<=', $pages + 2, "$what: they go on where it was");
	note("$what: " . $sim->stats->{list} . ' requests');
	cached_ok($what);
	return;
}

sub keep_lease { return $redis->ask('PEXPIRE', lease_of($redis, 'app'), 600_000); }

for my $end (qw(terminate cancel))
{
	my $what = "a session that asks is ended by pg_${end}_backend";
	my $leader = start_leader($node, 'app', $sim);

	keep_lease();
	my @followers = start_followers();
	$node->safe_psql('postgres', "SELECT pg_${end}_backend($leader->{pid})");
	wait_for_held($sim, 2);
	pass("$what: another one asks at once, while the first lease would have lasted");
	let_go($sim);
	if ($end eq 'cancel')
	{
		like(end_query($leader), qr/canceling statement due to user request/, "$what: it has ended");
	}
	else
	{
		wait_for_end($leader->{pid});
		abandon($leader);
	}
	followers_finish($what, @followers);
}

{
	my $what = 'a session that asks is frozen';
	my $leader = start_leader($node, 'app', $sim);

	freeze($leader->{pid});
	cmp_ok($redis->ask('PTTL', lease_of($redis, 'app')), '<=', 5000, "$what: its lease lasts five seconds at most");
	let_go($sim);
	followers_finish($what, start_followers());
	ok(is_frozen($leader->{pid}), "$what: nobody needed it");
	$sim->update("index/$_", { first_name => 'Changed' }) for 5, 905;
	$truth = truth('narrow');
	is($node->safe_psql('postgres', "SET neon_auth_fdw.cache = refill; $all"),
		$truth, "$what: and others replace its listing");

	thaw($leader->{pid});
	is(end_query($leader), '', "$what: then it goes on");
	fetch($leader, 'ALL');
	is(wrong_ids($leader), '', "$what: it gets all users itself");
	cached_ok("$what and has come back");
	$redis->ask('DEL', grep { /:c$/ } $redis->keys('app:*'));
	is($node->safe_psql('postgres', $all), $truth, "$what: nobody finds its listing again");
}

{
	my $what = 'a session that asked comes back while another one asks for the same page';
	my $other = open_session($node);

	wait_until('the end of its lease', sub { return !lease_of($slow_redis, 'late') });
	hold($late_sim);
	begin_query($other, 'SELECT count(DISTINCT id) FROM late.users;');
	wait_for_held($late_sim, 1);
	thaw($late->{pid});
	is(end_query($late), '', "$what: it goes on");
	begin_fetch($late, 'ALL');
	let_go($late_sim);
	end_query($late);
	is(wrong_ids($late), '', "$what: it gets all users");
	is(end_query($other), $users, "$what: so does the other one");
	cmp_ok($late_sim->stats->{list}, '<=', $pages + 2, "$what: the other pages are not asked for twice");
	note("$what: " . $late_sim->stats->{list} . ' requests');
}

# ---- Two servers

add_cached($second, 'app', cache_ttl => '1ms');
add_cached($second, 'smaller', page_size => 70, redis_prefix => 'app');
{
	my $what = 'two servers';

	clear('app');
	is($node->safe_psql('postgres', $all), $truth, "$what: the first one fills the cache");
	$sim->update('index/7', { first_name => 'Again' });
	$truth = truth('narrow');
	$sim->reset_stats;
	is($second->safe_psql('postgres', $all), $truth, "$what: one with a shorter cache_ttl reads the listing again");
	is($sim->stats->{list}, $pages, "$what: page by page");
	cached_ok("$what with different cache_ttl");
	is($second->safe_psql('postgres', 'SELECT ' . $summary{narrow} . ' FROM smaller.users'),
		$truth, "$what: one with another page_size gets all users");
	cached_ok("$what with different page_size");
	is($node->safe_psql('postgres', "SELECT count(id) FROM app.users WHERE id = '$id'"), 1, "$what: a lookup");
	is($second->safe_psql('postgres', "SELECT count(id) FROM smaller.users WHERE id = '$id'"),
		1, "$what: the same on the other one");
	is($sim->stats->{get}, 1, "$what: one request is enough");
}

{
	my $what = 'another server crashes while it asks';
	my $leader = start_leader($second, 'app', $sim);
	my @followers = start_followers();
	my $postmaster = (split /\n/, slurp_file($second->data_dir . '/postmaster.pid'))[0];

	kill('KILL', $leader->{pid});
	wait_for_end($postmaster);
	abandon($leader);
	$second->stop('immediate', fail_ok => 1);
	let_go($sim);
	followers_finish($what, @followers);
}

# ---- Two refill at once

{
	my $what = 'two refill the cache at once';
	my @sessions = map { open_session($node) } 1 .. 2;

	$node->safe_psql('postgres', $all);
	$sim->reset_stats;
	hold($sim);
	begin_query($_, "SET neon_auth_fdw.cache = refill; $all") for @sessions;
	wait_for_held($sim, 2);
	let_go($sim);
	is(join(', ', map { end_query($_) } @sessions), "$truth, $truth", "$what: both get all users");
	is($sim->stats->{list}, 2 * $pages, "$what: each of them asks for each page");
	cached_ok($what);
}

is(end_query($patient), 250, "$frozen: one that has waited for long goes on by itself");
ok(is_frozen($stuck->{pid}) && lease_of($slow_redis, 'slow'), "$frozen: all the time, with its lease");
thaw($stuck->{pid});
end_query($stuck);

is(join(' ', map { end_query($_) } @silent), join(' ', (250) x @silent), "$limited: then all get all users");
cmp_ok($limited_sim->stats->{list}, '<=', 2 * 3, "$limited: and not each by itself");

# ---- Crowds that find an old listing

$sim->update("index/$_", { first_name => 'Once more' }) for 5, 905;
$truth = truth('narrow');
my $after = join "\n", map { "$_|" . truth($_) } sort keys %summary;
my %known = map { $_ => 1 } split /\n/, "$before\n$after";
my $age = time - $filled;

note("the listing is $age s old");
$node->safe_psql('postgres', 'ALTER SERVER crowd OPTIONS (SET cache_ttl \'' . int(900 * $age) . 'ms\')');
is(join("\n", grep { !$known{$_} } split /\n/, crowd_reads()),
	'', 'expired listing: all get the old users or the new ones');
one_listing('expired listing');
cached_ok('expired listing', 'crowd.users');

$node->safe_psql('postgres', "ALTER SERVER crowd OPTIONS (SET cache_ttl '1h')");
clear('crowd');
is(crowd_reads(), $after, 'forgotten listing: all get the users as they are');
one_listing('forgotten listing');

done_testing();
