# Auth0: a search that shows 1000 users of a query and whose index is late, tokens that
# end, and everything else by which users could be lost or taken for deleted.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Synced;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 2500;
my $key = 'auth0_client_secret';
my $client = "client_id 'client', client_secret '$key'";
my $not_found = '{"statusCode":404,"error":"Not Found","message":"The user does not exist.","errorCode":"inexistent_user"}';
my $node = new_node('auth0', conf => "log_min_messages = debug1\nlog_statement = none\njit = off\n");
# Each login changes some members, and a user who was never changed has no time of it.
begin_synced($node, provider => 'auth0', sim => { key => $key }, mapping => $client, counts => [ 0 .. 4 ],
	columns => q(id, name, email, raw_json - '{last_ip,last_login,logins_count}'::text[], created_at, CASE WHEN raw_json ? 'updated_at' THEN updated_at END));

# ---- Helpers

sub full { return refresh("mode => 'full'"); }

sub live { return sort map { $_->{id} } grep { !$_->{deleted} } @{ $sim->users }; }

# What a listing has beside the directory, or lacks, or has twice; '' when it is right.
sub listing_fault
{
	my ($table) = @_;
	my $text = $session->ask("SELECT id FROM $table");
	my %seen;
	my @wrong;

	return $1 if $text =~ /ERROR:  (\w{5}):/;
	$seen{$_}++ for split /\n/, $text;
	push @wrong, map { "lost $_" } grep { !$seen{$_} } live();
	push @wrong, map { "twice $_" } grep { $seen{$_} > 1 } sort keys %seen;
	return join ', ', @wrong[ 0 .. ($#wrong > 3 ? 3 : $#wrong) ];
}

# ---- All users

directory('auth0', '', users => $users);
my $shown = $sim->create({ id => 'auth0|shown', name => 'Ada Lovelace', email => 'ada@example.com', created_at => 1800000000123, updated_at => 1800000001456 });
my $bare = $sim->create_raw('{"user_id":"sms|bare","phone_number":"+15550100","created_at":"2027-01-16T00:00:00.000Z"}', updated_at => 1);
$sim->create_raw('{"user_id":"google-oauth2|parts","email":"p@example.com","name":"","given_name":"Grace","family_name":"Hopper","nickname":"gh","created_at":"2027-01-16T00:00:01.000Z","updated_at":"2027-01-16T00:00:02.5Z"}');
$sim->create_raw('{"user_id":"samlp|corp|a b/c?d&e\"f\\\\g","nickname":"nick","created_at":"2027-01-16T00:00:02.000Z","updated_at":"2027-01-16T00:00:02.000Z"}');
my $all = $users + 4;

is(listing_fault('auth0.users'), '', 'a listing has all of 2504 users, each once');
is($sim->stats->{rejected}, 0, 'and nothing that Auth0 would refuse was asked');
sql("ALTER SERVER auth0 OPTIONS (ADD max_concurrency '1')");
$sim->reset_stats;
is(listing_fault('auth0.users'), '', 'so has one that is read page by page');
is($sim->asked, '26 list, 1 other', 'in as many requests as there are pages, and one for a token');
is(sql('SELECT count(*) FROM (SELECT created_at < lag(created_at) OVER () AS back FROM auth0.users) u WHERE back'), 0, 'in order of creation');
sql("ALTER SERVER auth0 OPTIONS (SET max_concurrency '4')");
is(sql("SELECT name, email, created_at, updated_at, deleted_at FROM auth0.users WHERE id = 'auth0|shown'"),
	'Ada Lovelace|ada@example.com|2027-01-15 08:00:00.123+00|2027-01-15 08:00:01.456+00|', 'the columns of a user');
is(sql("SELECT name IS NULL, email IS NULL, created_at, updated_at IS NULL, raw_json ->> 'phone_number' FROM auth0.users WHERE id = 'sms|bare'"),
	't|t|2027-01-16 00:00:00+00|t|+15550100', 'of one with hardly anything');
is(sql("SELECT name, updated_at FROM auth0.users WHERE id = 'google-oauth2|parts'"), 'Grace Hopper|2027-01-16 00:00:02.5+00', 'a name in parts');
is(sql("SELECT name FROM auth0.users WHERE id LIKE 'samlp%'"), 'nick', 'a nickname');
is(sql(q(SELECT count(*) FROM auth0.users WHERE name IS DISTINCT FROM coalesce(nullif(raw_json ->> 'name', ''),
	nullif(concat_ws(' ', raw_json ->> 'given_name', raw_json ->> 'family_name'), ''), raw_json ->> 'nickname')
	OR email IS DISTINCT FROM raw_json ->> 'email' OR created_at IS DISTINCT FROM (raw_json ->> 'created_at')::timestamptz
	OR updated_at IS DISTINCT FROM (raw_json ->> 'updated_at')::timestamptz)), 0, 'and of all');
is(sql('SELECT count(*) FILTER (WHERE email IS NULL) > 10, count(*) FILTER (WHERE name = email) > 10 FROM auth0.users'), 't|t',
	'some have no address, some have it as their name');

# ---- One user

my $odd = 'samlp|corp|a b/c?d&e"f\g';
for my $row (
	[ id_of(7), 1, 1 ], [ $odd, 1, 1 ], [ 'auth0|nobody', 0, 1 ], [ "a|\r\nX: y", 0, 1 ], [ 'a|é%2F', 0, 1 ],
	[ 'nobody', 0, 0 ], [ '', 0, 0 ], [ '..', 0, 0 ], [ 'x' x 300 . '|', 0, 0 ])
{
	my ($id, $found, $requests) = @$row;

	$sim->reset_stats;
	(my $literal = $id) =~ s/'/''/g;
	is(sql("SELECT count(id) FROM auth0.users WHERE id = '$literal'"), $found, 'id ' . substr($id =~ s/\s/ /gr, 0, 30) . ': found or not');
	is($sim->requests, $requests, '... by so many requests');
}
is($sim->stats->{rejected}, 0, 'none of which is refused');

# ---- What is asked for alone

my $begin = '2025-01-01 00:00:00+00';
my @some = map { id_of(100 * $_) } 1 .. 20;
for (
	[ 'ids', "SELECT id, name FROM auth0.users WHERE id = ANY ('{" . join(',', @some) . "}') ORDER BY id", 1 ],
	[ 'ids of nobody among them', "SELECT id FROM auth0.users WHERE id IN ('$some[0]', '$odd', 'auth0|nobody', 'nobody', 'a|\" OR \"', 'a|\\', E'a|\\r\\nb', 'auth0|*') ORDER BY id", 1 ],
	[ 'more ids than a search takes', "SELECT count(id) FROM auth0.users WHERE id = ANY (ARRAY(SELECT 'auth0|' || i FROM generate_series(1, 120) i) || '{$some[3],$some[4]}'::text[])", 3 ],
	[ 'an address', "SELECT id FROM auth0.users WHERE email = 'ada\@example.com'", 1 ],
	[ 'an address in another case', "SELECT count(id) FROM auth0.users WHERE email = 'Ada\@Example.com'", 1 ],
	[ 'a hostile address', q(SELECT count(id) FROM auth0.users WHERE email = 'a&q=b\%@c?#d'), 1 ],
	[ 'a window', "SELECT id FROM auth0.users WHERE created_at >= '$begin'::timestamptz + interval '90 min' AND created_at < '$begin'::timestamptz + interval '100 min' ORDER BY id", 1 ],
	[ 'a window between milliseconds', "SELECT id FROM auth0.users WHERE created_at > '2027-01-15 08:00:00.1225+00' AND created_at < '2027-01-15 08:00:00.1235+00'", 1 ],
	[ 'a moment', "SELECT id FROM auth0.users WHERE created_at = '2027-01-15 08:00:00.123+00'", 1 ],
	[ 'before all', "SELECT count(id) FROM auth0.users WHERE created_at < '2024-01-01'", 1 ],
	[ 'the newest', 'SELECT id, created_at FROM auth0.users ORDER BY created_at DESC LIMIT 12', 1 ],
	[ 'many of the newest', 'SELECT created_at FROM auth0.users ORDER BY created_at DESC LIMIT 350', 4 ],
	[ 'the oldest', 'SELECT created_at FROM auth0.users ORDER BY created_at LIMIT 100', 1 ],
	[ 'the latest changes', 'SELECT updated_at FROM auth0.users WHERE updated_at IS NOT NULL ORDER BY updated_at DESC LIMIT 10', 1 ],
	[ 'what changed', "SELECT id FROM auth0.users WHERE updated_at >= '2027-01-01' ORDER BY id", 1 ],
	[ 'the number', 'SELECT count(*) FROM auth0.users', 1 ],
	[ 'some of them', 'SELECT count(*) FROM (SELECT 1 FROM auth0.users LIMIT 17) u', 1 ])
{
	my ($name, $sql, $requests) = @$_;

	is(sql($sql), sql("SET neon_auth_fdw.pushdown = off; $sql; RESET neon_auth_fdw.pushdown"), "$name: the same answer");
	my ($sent) = sql("EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) $sql") =~ /Requests: (\d+)/;
	is($sent, $requests, "$name: requests");
}
is(sql('SELECT count(*) FROM auth0.users'), $all, 'the number is that of all');
is($sim->stats->{rejected}, 0, 'nothing of it is refused');
like(sql("EXPLAIN (VERBOSE, COSTS off) SELECT id FROM auth0.users WHERE email = 'ada\@example.com'"),
	qr{Request: GET \Q@{[ $sim->url ]}\E/api/v2/users\?per_page=100&page=0&include_totals=true&search_engine=v3&sort=created_at%3A1&q=email%3A%22ada%40example.com%22\n},
	'what would be asked');
like(sql("PREPARE p(text, timestamptz) AS SELECT id FROM auth0.users WHERE id = \$1; SET plan_cache_mode = force_generic_plan; EXPLAIN (VERBOSE, COSTS off) EXECUTE p('a|b', now()); RESET plan_cache_mode"),
	qr{/api/v2/users/\{id\}\n}, 'even of values that are not known yet');

# ---- Refreshes

is(refresh(), "ok $all/0/0/0/0", 'the first refresh');
is(last_run('mode'), 'full', 'is full');
is(difference(), 0, 'and makes the target equal to the directory');
is(full(), "ok 0/0/$all/0/0", 'a second one writes nothing');
sql(q(DELETE FROM auth0.users_sync WHERE id = 'sms|bare'));
$sim->remove('sms|bare');
$all--;
is(full(), "ok 0/0/$all/0/0", 'all have a time of change now');
like(refresh(), qr{^ok 0/0/\d+/0/0$}, 'nothing new');
is(last_run('mode, reason'), 'incremental', 'is found out incrementally');
is($sim->asked, '1 list, 1 count', 'by a page of changes and a count');
my $heap = heap();
refresh();
is(heap(), $heap, 'and no row is written');

my $new = $sim->create({ name => 'New User', email => 'new@example.com' });
$sim->update("index/$_", { name => "Changed $_" }) for 300 .. 312;
like(refresh(), qr{^ok 1/13/\d+/0/0$}, 'a new user and some changes');
is(last_run('mode'), 'incremental', 'incrementally');
is(difference(), 0, 'the target equals the directory');
$sim->update("index/$_", { name => "Many $_" }) for 400 .. 620;
like(refresh(), qr{^ok 0/221/\d+/0/0$}, 'more changes than a page has');
is(last_run('mode'), 'incremental', 'incrementally');
$sim->update("index/$_", { name => "Moving $_" }) for 700 .. 950;
$sim->fault({ match => 'list', after => 1, mutate => { update_index => [ 705, 940, 1500 ], delete_index => 945 } });
like(refresh(), qr{^ok 0/25\d/\d+/1/0$}, 'while users move and go');
refresh();
is(difference(), 0, 'the target equals the directory after one more');
is(tombstones(), id_of(945), 'and who went is marked');

my $gone = id_of(1234);
$sim->remove($gone);
like(refresh(), qr{^ok 0/0/\d+/1/0$}, 'a deletion');
is(last_run('mode'), 'incremental', 'is found by counts of windows');
cmp_ok($sim->stats->{list}, '<', 10, 'without a listing');
is(tombstones(), join(' ', sort($gone, id_of(945))), 'and nobody else is marked');
$sim->create({ id => $gone, name => 'Back Again' });
like(refresh(), qr{^ok 0/1/\d+/0/0$}, 'who comes again is live again');

# ---- What is no change and no deletion

my $user = $sim->user('index/2000');
$sim->update($user->{id}, { state => 'blocked' });
like(refresh(), qr{^ok 0/1/\d+/0/0$}, 'to be blocked is a change');
is(sql("SELECT deleted_at IS NULL, raw_json ->> 'blocked' FROM auth0.users_sync WHERE id = '$user->{id}'"), 't|true', 'and no deletion');

# hidden from the search, cut short, or a 404 that is not the user's
my $live = sql('SELECT count(*) FROM auth0.users_sync WHERE deleted_at IS NULL');
$sim->fault({ match => 'list', times => -1, hide_index => [ 50, 1600, 2400 ] });
full();
is(tombstones(), id_of(945), 'hidden from the search is not gone');
$sim->clear_faults;
for my $row (
	[ 'a page that is cut short', { match => 'list', after => 3, truncate_page => 40 }, 'a page ended before the total that it names' ],
	[ 'an empty page', { match => 'list', after => 3, truncate_page => 0 }, 'a page ended before the total that it names' ],
	[ 'a server that minds no page size', { match => 'list', after => 3, trick => 'default_page' }, 'the page is another one than was asked for' ],
	[ 'one that minds no search', { match => 'list', after => 3, trick => 'no_search' }, 'the users of a page are not in the order that was asked for' ],
	[ 'one that minds no order', { match => 'list', after => 3, trick => 'no_sort' }, 'the users of a page are not in the order that was asked for' ],
	[ 'an array without totals', { match => 'list', after => 3, body => '[]' }, 'the page is no JSON object or is cut off' ],
	[ 'a page about nothing', { match => 'list', after => 3, body => '{}' }, 'the page does not tell its start, limit, length and total' ],
	[ 'a page that says that it is all', { match => 'list', after => 3, truncate_page => 40, add_total => -100_000 } ],
	[ 'an empty directory', { match => 'list', times => -1, empty => JSON::PP::true } ])
{
	my ($name, $fault, $reason) = @$row;

	$sim->fault($fault);
	is(substr(full(), 0, 5), $reason ? 'HV00M' : 'held ', $name);
	like($said, qr/DETAIL:  Reason: \Q$reason\E/, '... for this reason') if $reason;
	$sim->clear_faults;
	is(tombstones(), id_of(945), '... deletes nobody');
}
is(full(), "ok 0/0/$live/0/0", 'a healthy run is none the worse');
$sim->fault({ match => 'list', after => 3, times => 4, add_total => -100_000 });
is(listing_fault('auth0.users'), '', 'a full page is never the end, whatever total it names');
$sim->clear_faults;

# the first who is asked for is one of the listing, the next are those it lacks
for my $row (
	[ 'a 404 without a code', { status => 404, body => '{"statusCode":404,"error":"Not Found","message":"Not Found"}' } ],
	[ 'a 404 of a proxy', { status => 404, body => '<html>', content_type => 'text/html' } ],
	[ 'a 400 about the id', { status => 400, body => '{"statusCode":400,"error":"Bad Request","message":"x","errorCode":"inexistent_user"}' } ],
	[ 'a 200 with an error', { status => 200, body => $not_found } ],
	[ 'another user', { status => 200, body => '{"user_id":"auth0|shown"}' } ],
	[ 'a 404 for all', { status => 404, body => $not_found, after => 0, times => -1 } ])
{
	my ($name, $fault) = @$row;

	$sim->fault([ { match => 'list', times => -1, hide_index => 50 }, { match => 'get', after => 1, %$fault } ]);
	full();
	$sim->clear_faults;
	is(tombstones(), id_of(945), "$name is not believed");
}
$sim->fault([ { match => 'list', times => -1, hide_index => 50 }, { match => 'get', after => 1, status => 404, body => $not_found } ]);
full();
$sim->clear_faults;
is(tombstones(), join(' ', sort(id_of(50), id_of(945))), 'the answer about this very user is');
like(full(), qr{^ok 0/1/\d+/0/0$}, 'and mended when the user turns up');
$sim->remove($gone);
full();
is(tombstones(), join(' ', sort($gone, id_of(945))), 'a true one, too');

# ---- Errors

$sim->fault({ match => 'list', after => 2, status => 503, times => 2 });
is(listing_fault('auth0.users'), '', 'a search that took too long is made again');
$sim->fault({ match => 'list', after => 2, status => 429, headers => { 'X-RateLimit-Reset' => '' . (time() - 10) } });
is(listing_fault('auth0.users'), '', 'and one beyond the rate limit');
$sim->fault({ match => 'list', status => 429, headers => { 'X-RateLimit-Reset' => '' . (time() + 100_000) } });
is(listing_fault('auth0.users'), '53400', 'unless there is a day to wait, by X-RateLimit-Reset');
again();
$sim->clear_faults;
$sim->fault({ match => 'list', status => 403 });
like($session->ask('SELECT count(id) FROM auth0.users'), qr/ERROR:  42501.*insufficient_scope.*HINT:  In the Auth0 Dashboard/s, 'a right that is missing');
$sim->fault({ match => 'list', status => 400, body => '{"statusCode":400,"error":"Bad Request","message":"secret message","errorCode":"invalid_paging"}', headers => { 'X-Auth0-RequestId' => '4ad55daa560e468bdfe1' } });
my $error = $session->ask('SELECT count(id) FROM auth0.users');
like($error, qr/invalid_paging.*4ad55daa560e468bdfe1|4ad55daa560e468bdfe1.*invalid_paging/s, 'a code, and the id of the request');
unlike($error, qr/secret message/, 'and no other text');
like(sql(q(SELECT string_agg(part || ' ' || verdict, ', ') FROM neon_auth.check_server('auth0'))), qr/list ok, user ok, count ok/, 'check_server finds nothing');

# ---- Users created at the same time

$sim->reset_stats;
$sim->control('POST', 'users/index/1300/update?count=980', { created_at => 1735689600000 + 1300 * 20000 });
is(listing_fault('auth0.users'), '', 'nearly as many at once as Auth0 shows');
$sim->control('POST', 'users/index/1300/update?count=1100', { created_at => 1735689600000 + 1300 * 20000 });
is(listing_fault('auth0.users'), 'HV00M', 'and more');
is($sim->stats->{rejected}, 0, 'which is known before Auth0 refuses');

directory('ties', ", page_size '20', max_concurrency '1'", users => 600);
my $time = 1735689600000;
$sim->control('POST', "users/index/$_->[0]/update?count=$_->[1]", { created_at => $time + $_->[2] })
  for [ 0, 20, 0 ], [ 20, 19, 1 ], [ 39, 2, 2 ], [ 41, 1, 3 ], [ 42, 21, 4 ], [ 63, 40, 5 ], [ 103, 109, 6 ], [ 212, 60, 7 ], map { [ 272 + $_, 1, 8 + int($_ / 3) ] } 0 .. 327;
is(listing_fault('ties.users'), '', 'users created together, at the ends of pages and more than a page: all, each once');
is(sql('SELECT count(*) FROM (SELECT created_at > lag(created_at) OVER () AS back FROM (SELECT created_at FROM ties.users ORDER BY created_at DESC LIMIT 600) u) u WHERE back'), 0,
	'the newest first, too');
is(sql('SELECT count(DISTINCT id) FROM (SELECT id FROM ties.users ORDER BY created_at DESC LIMIT 600) u'), 600, '... all of them');
sql("ALTER SERVER ties OPTIONS (SET page_size '100', SET max_concurrency '4')");
is(listing_fault('ties.users'), '', 'in windows, too');
sql("ALTER SERVER ties OPTIONS (SET page_size '20')");
is(refresh(), 'ok 600/0/0/0/0', 'a refresh');
$sim->control('POST', 'users/index/212/update?count=60', { created_at => $time + 6 });
is(listing_fault('ties.users'), 'HV00M', 'too many at once for its pages');
like($session->ask('SELECT id FROM ties.users'), qr/DETAIL:.*too many users were created at the same time/s, '... is said');
$sim->remove('index/150');
is(full(), 'HV00M', '... and is no listing');
is(tombstones(), '', '... that deletes anybody');
sql("ALTER SERVER ties OPTIONS (SET page_size '100')");
is(listing_fault('ties.users'), '', 'larger pages have them all');
like(full(), qr{^ok 0/\d+/\d+/1/0$}, 'and the one deletion is found');
is(tombstones(), id_of(150), 'of whom it was');

# users changed together, over the ends of pages
my $changed = (time() - 1800) * 1000;
refresh();
$sim->update("index/$_->[0]", { name => "Bulk $_->[0]", updated_at => $changed + $_->[1] }) for map { [ $_, int($_ / 30) ] } 300 .. 519;
sql("ALTER SERVER ties OPTIONS (SET page_size '40')");
like(refresh(), qr{^ok 0/220/\d+/0/0$}, 'users changed together, at the ends of pages');
is(last_run('mode'), 'incremental', '... are read page by page');
is(difference(), 0, '... all of them');
$sim->update("index/$_", { name => "Crowd $_", updated_at => $changed + 600_000 }) for 400 .. 450;
like(refresh(), qr{^ok 0/51/\d+/0/0$}, 'more than a page of them');
is(last_run('mode, reason'), 'full: the list of changes could not be read to its end', '... need a listing');
is(difference(), 0, '... of all');

# users of one time go while they are read
sql("ALTER SERVER ties OPTIONS (SET page_size '40', SET max_concurrency '1')");
my $marked = tombstones();
for my $row ([ 'one of a crowd goes', [110], qr/^ok/ ], [ 'many of them', [ 120 .. 149 ], qr/^HV00M/ ])
{
	my ($name, $indexes, $expected) = @$row;
	my $after = (grep { $_->{created_at} < $time + 6 } @{ $sim->users }) / 40 + 4;

	$sim->fault({ match => 'list', after => int($after), mutate => { delete_index => $indexes } });
	like(full(), $expected, "$name while they are read");
	full();
	is(tombstones(), join(' ', sort(split(/ /, $marked), map { id_of($_) } @$indexes)), '... and nobody else is marked');
	$marked = tombstones();
	is(difference(), 0, '... the target equals the directory');
}

# ---- An index that is late

directory('late', ", page_size '20'", users => 200, set => 'index_lag=4');
is(refresh(), 'ok 200/0/0/0/0', 'the first refresh');
$gone = id_of(60);
$sim->remove($gone);
$new = $sim->create({ name => 'Not Yet', email => 'notyet@example.com' });
is(sql("SELECT count(id) FROM late.users WHERE id = '$gone'"), 0, 'who was deleted is not found by id');
is(sql("SELECT count(id) FROM late.users WHERE id = '$new->{id}'"), 1, 'and who was created is');
is(sql("SELECT count(*) FROM late.users"), 200, 'the index has it the other way');
is(full(), 'ok 0/0/200/0/0', 'a refresh meanwhile');
is(tombstones(), '', 'marks nobody');
is(sql("SELECT name FROM neon_auth.sync_user('late', '$new->{id}', target => 'late.users_sync')"), 'Not Yet', 'who has just come is fetched by id');
is(full(), 'ok 0/0/200/0/0', 'a listing that lacks that user');
is(tombstones(), '', 'does not delete it');
$sim->fault({ match => 'list', trick => 'index' });
like(full(), qr{^ok 0/0/200/1/0$}, 'when the index has caught up, the deletion is found');
is(tombstones(), $gone, 'of the one who is gone');
is(difference(), 0, 'and the target equals the directory');
refresh();
$sim->update('index/80', { name => 'Late Change' });
$sim->remove('index/81');
refresh();
is(sql("SELECT count(*) FROM late.users_sync WHERE name = 'Late Change'"), 0, 'a change that the index does not have');
is(tombstones(), $gone, 'nor a deletion');
$sim->fault({ match => 'list', trick => 'index' });
refresh();
is(sql("SELECT count(*) FROM late.users_sync WHERE name = 'Late Change'"), 1, 'is found by the next run');
is(tombstones(), join(' ', sort($gone, id_of(81))), 'so is the deletion');
is(difference(), 0, 'and the target equals the directory');

# a user with a row whom a full refresh does not list, and who is not younger than all that it lists
$time = $sim->user('index/80')->{updated_at} - 60_000;
my $numbers = q(SELECT concat_ws(' ', live_users, listed_users, (SELECT string_agg(concat_ws(' ', id, listed, live), ', ') FROM neon_auth.sync_delta d WHERE d.target = s.target))
	FROM neon_auth.sync_state s WHERE target = 'late.users_sync'::regclass);
$new = $sim->create({ name => 'Hidden', created_at => $time, updated_at => $time });
sql("SELECT neon_auth.sync_user('late', '$new->{id}', target => 'late.users_sync')");
full();
is(sql($numbers), "200 200 $new->{id} -1 0", 'a user whom a full refresh did not list is noted as such');
refresh();
is(sql($numbers), "200 200 $new->{id} -1 0", 'also by the next one, which does not list it either');
$sim->remove(id_of(82));
$sim->fault({ match => 'list', trick => 'index' });
refresh();
is(tombstones(), join(' ', sort($gone, map { id_of($_) } 81, 82)), 'and does not hide that somebody goes when it is listed');
is(sql($numbers), '199 199', 'and is then counted once');
is(difference(), 0, 'and the target equals the directory');

# ---- Tokens

directory('tokens', ", page_size '20', max_concurrency '1'", users => 300, set => [ 'token_uses=7', 'idp_tokens=1' ]);
is(listing_fault('tokens.users'), '', 'a token that is not taken any more in mid listing');
is($sim->stats->{tokens}, 3, 'is renewed each time');
is($sim->stats->{rejected}, 2, 'after one refusal');
is(refresh(), 'ok 300/0/0/0/0', 'so it is in a refresh');
is(sql(q(SELECT count(*) FROM tokens.users_sync WHERE raw_json::text LIKE '%idp_secret%')), 0, 'tokens of identities are not stored');
cmp_ok(sql(q(SELECT count(*) FROM tokens.users_sync WHERE jsonb_array_length(raw_json -> 'identities') > 1 AND raw_json -> 'identities' -> 1 ? 'connection')), '>', 10, 'but the identities are');

directory('once', '', users => 300);
my $once = $sim->url;
sql('SELECT count(id) FROM once.users') for 1 .. 3;
refresh();
sql("SELECT count(id) FROM once.users WHERE id = 'auth0|x'");
is($sim->stats->{tokens}, 0, 'a session has one token');
$sim->reset_stats;
again();
sql('SELECT count(id) FROM once.users') for 1 .. 2;
is($sim->stats->{tokens}, 1, 'and another session another one');

# what each login changes, of a user changed so lately that its time proves nothing
directory('logins', '', users => 30);
refresh();
$user = $sim->update('index/7', { name => 'Just Now', updated_at => time() * 1000 });
like(refresh(), qr{^ok 0/1/\d+/0/0$}, 'a change of this very moment');
$sim->update('index/7', { state => 'seen', updated_at => $user->{updated_at} });
like(refresh(), qr{^ok 0/0/[1-9]\d*/0/0$}, 'what each login changes is no change');
$sim->update('index/7', { name => 'After All', updated_at => $user->{updated_at} });
like(refresh(), qr{^ok 0/1/\d+/0/0$}, 'but anything else is');

directory('short', '', users => 50, set => 'token_seconds=0');
sql('SELECT count(id) FROM short.users') for 1 .. 2;
is($sim->stats->{tokens}, 2, 'one that ends at once is renewed before it is used again');
is($sim->stats->{rejected}, 0, 'and never refused');

sub with_mapping
{
	my ($options) = @_;

	sql("DROP USER MAPPING FOR CURRENT_USER SERVER once; CREATE USER MAPPING FOR CURRENT_USER SERVER once OPTIONS ($options)");
	return $session->ask('SELECT count(id) FROM once.users');
}

$server = 'once';
for my $row (
	[ 'a wrong secret', "client_id 'client', client_secret 'wrong_secret'", 'invalid_client' ],
	[ 'a wrong client', "client_id 'other', client_secret '$key'", 'invalid_client' ])
{
	my ($name, $options, $code) = @$row;
	my $text = with_mapping($options);

	like($text, qr/ERROR:  28000: .*$code.*HINT:  [^\n]*ALTER USER MAPPING FOR \.\.\. SERVER once OPTIONS \(/s, "$name is 28000, with what mends it");
	unlike($text, qr/wrong_secret|\Q$key\E|token_\d/, '... and no secret');
}
is(with_mapping("api_key '$key'"), 300, 'a management token as api_key');
like(with_mapping("api_key 'ended'"), qr/ERROR:  28000.*invalid_token.*HINT:  A management token may have ended/s, 'one that has ended');
sql("ALTER SERVER once OPTIONS (ADD audience 'https://other.example.com/api/v2/')");
like(with_mapping($client), qr/ERROR:  28000.*access_denied/s, 'another audience');
sql("ALTER SERVER once OPTIONS (SET audience '$once/api/v2/')");
is(with_mapping($client), 300, 'is not that of this server, which may be named');
unlike(slurp_file($node->logfile), qr/\Q$key\E(?!')|token_\d|idp_secret/, 'no log has a token');

done_testing();
