# Okta: listings by the header Link and what happens to one that is lost or leads
# away, the two universes of users with and without a filter, ids that Okta takes
# for logins, deprovisioned users, and refreshes by time of change.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

use constant USERS => 450;

my $true = JSON::PP::true;
my $sim = start_sim(provider => 'okta', users => USERS);
my $other = start_sim(provider => 'okta', users => 5, key => 'other_key');
my $oauth = start_sim(provider => 'okta', users => 3, set => [ 'oauth=1', 'millis=1' ]);
my $joined = start_sim(provider => 'okta', users => USERS, set => 'links=joined');
my $busy = start_sim(provider => 'okta', users => 30, set => 'logins=1');

# Allowed, all of them, so that nothing but the provider keeps links from leading there.
my $node = new_node('okta', urls => [ map { $_->url } $sim, $other, $oauth, $joined, $busy ], conf => "timezone = 'UTC'\n");
my ($said, $server, $target);

add_server($node, $sim);
add_server($node, $sim, name => 'small', schema => 'small', options => ", page_size '50'");
add_server($node, $oauth, name => 'oauth', schema => 'oauth', options => ", token_type 'bearer'");
add_server($node, $joined, name => 'joined', schema => 'joined', options => ", page_size '7'");
add_server($node, $busy, name => 'busy', schema => 'busy');
my $session = new_session($node);

# ---- Helpers

sub sql { return $session->must($_[0]); }
sub last_target { return $sim->stats->{last_target}; }

# An id as Okta makes them.
sub id { return '00u' . substr("$_[0]00000000000000000", 0, 17); }

# Run a refresh of the current target: "status inserted/updated/unchanged/tombstoned/held", or the SQLSTATE.
sub refresh
{
	my ($more) = @_;

	$said = $session->ask("CALL neon_auth.refresh_users_sync('$server', target => '$target'" . ($more ? ", $more" : '') . ')');
	return outcome_of($said, 0 .. 4);
}

sub full { return refresh(join ', ', "mode => 'full'", @_); }

sub live { return sql("SELECT count(*) FROM $target WHERE deleted_at IS NULL"); }
sub marked { return sql("SELECT coalesce(string_agg(id, ' ' ORDER BY id), '') FROM $target WHERE deleted_at IS NOT NULL"); }
sub heap { return sql("SELECT md5(string_agg(concat(ctid, xmin, xmax), ' ' ORDER BY ctid)) FROM $target"); }
sub last_run { return sql("SELECT $_[0] FROM neon_auth.sync_run WHERE target = '$target'::regclass ORDER BY run_id DESC LIMIT 1"); }

# How many rows differ between the live part of the target and the directory.
sub difference
{
	my $columns = 'id, name, email, raw_json, created_at, updated_at';
	my ($here, $there) = ("SELECT $columns FROM $target WHERE deleted_at IS NULL", "SELECT $columns FROM app.users WHERE deleted_at IS NULL");

	return sql("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

# The query has the same rows with and without what Okta does of it, and asks this.
sub pushed_is
{
	my ($name, $sql, $requests) = @_;

	$sim->reset_stats;
	my $got = sql($sql);
	is($sim->asked, $requests, "$name: requests");
	is($got, sql("SET neon_auth_fdw.pushdown = off; $sql; RESET neon_auth_fdw.pushdown"), "$name: the same rows");
	return $got;
}

# ---- A listing, by the header Link

$sim->reset_stats;
is(sql('SELECT count(*), count(DISTINCT id) FROM app.users'), USERS . '|' . USERS, 'all users are listed');
is($sim->asked, '3 list', 'in three pages');
is($sim->stats->{rejected}, 0, 'of which Okta refused none');
like(last_target(), qr{^/api/v1/users\?after=\d+\.[0-9a-f]{16}&limit=200&filter=lastUpdated\+gt\+%221970-01-01T00%3A00%3A00\.000Z%22$},
	'the last of them asked for as its link has it');
$sim->reset_stats;
is(sql('SELECT count(*) FROM small.users'), USERS, 'smaller pages');
is($sim->asked, '9 list', 'of which the last is a full one');
is(sql('SELECT count(*), count(DISTINCT id) FROM joined.users'), USERS . '|' . USERS, 'both links in one header, the other way round');
$sim->fault({ match => 'list', truncate_page => 3 });
is(sql('SELECT count(*) FROM app.users'), USERS - 197, 'a page that is not full is no end');

# ---- Columns

my $ada = $sim->create({ id => id('ada'), first_name => 'Ada', last_name => 'Lind', email => [ 'ada@example.com', 'second@example.com' ],
		created_at => 1767960000123, updated_at => 1767960001999 })->{id};
my $nick = $sim->create({ id => id('nick'), first_name => 'Nicholas', username => 'Nick', email => 'nick@example.com' })->{id};
my $mono = $sim->create({ id => id('mono'), last_name => 'Mono', email => 'Mono@Example.com' })->{id};
my $plain = $sim->create({ id => id('plain'), username => 'plain' })->{id};
my $users = USERS + 4;

is(sql("SELECT name, email, created_at, updated_at, deleted_at FROM app.users WHERE id = '$ada'"),
	'Ada Lind|ada@example.com|2026-01-09 12:00:00+00|2026-01-09 12:00:01+00|', 'columns, times cut off to the second');
is(sql("SELECT name FROM app.users WHERE id = '$nick'"), 'Nick', 'the display name goes first');
is(sql("SELECT name, email FROM app.users WHERE id = '$mono'"), 'Mono|Mono@Example.com', 'one of the two names');
is(sql("SELECT name, email FROM app.users WHERE id = '$plain'"), 'plain|', 'the login, and no address');
is(sql("SELECT raw_json -> 'profile' ->> 'secondEmail', raw_json ->> 'status' FROM app.users WHERE id = '$ada'"),
	'second@example.com|ACTIVE', 'raw_json has the rest');
is(sql(q(SELECT count(*) FROM app.users WHERE raw_json ? 'credentials' OR raw_json::text ~ 'computer')), 0, 'but no credentials');
is(sql('SELECT count(*) FROM app.users WHERE name IS NULL OR name = $$$$'), 0, 'everybody has a name');
is(sql(q(SELECT count(*) FROM oauth.users WHERE extract(milliseconds FROM created_at)::int % 1000 <> 0)), 3, 'where times have milliseconds they are read');

# ---- One user by id; Okta takes more than ids there

$sim->reset_stats;
is(sql("SELECT id FROM app.users WHERE id = '$ada'"), $ada, 'a user by id');
is(sql("SELECT count(id) FROM app.users WHERE id = '" . id('nobody') . "'"), 0, 'nobody by an id that nobody has');
is($sim->asked, '2 get', 'one request each');
$sim->reset_stats;
for my $no_id ('me', 'ada@example.com', 'ada', 'plain', 'Mono@Example.com', '', '.', '..', 'a/b', '00u', id('a') . '0', "$ada/factors", "$ada?x", ' ')
{
	is($session->ask("SELECT count(id) FROM app.users WHERE id = '$no_id'"), 0, "nobody by what is no id: '$no_id'");
	is($session->ask("SELECT count(id) FROM app.users WHERE id = ANY ('{\"$no_id\",$plain}')"), 1, 'nor with others');
}
is($sim->stats->{rejected}, 0, 'nothing that Okta refuses is asked');
$sim->reset_stats;
is(sql("SELECT count(id) FROM app.users WHERE id = '00g" . substr($ada, 3) . "'"), 0, 'what is not a user is not asked for');
is($sim->asked, 'nothing', 'at all');
# a login that looks like an id
my $trap = id('trap');
$sim->create({ id => id('victim'), username => $trap });
$users++;
like($session->ask("SELECT id FROM app.users WHERE id = '$trap'"), qr/ERROR:  HV00M:.*not about the user that was asked for/s,
	'who is found by login is never taken for who was asked for');

# ---- What is asked for alone

pushed_is('ids', "SELECT id, name FROM app.users WHERE id IN ('$ada', '$nick', '" . id('none') . "') ORDER BY id", '1 list');
like(last_target(), qr/filter=/, 'with a filter');
is(pushed_is('more ids than one request takes',
		"SELECT count(*) FROM (SELECT * FROM app.users WHERE id = ANY (ARRAY(SELECT raw_json ->> 'id' FROM small.users LIMIT 120))) AS u", '6 list'),
	120, 'all of them');
is(pushed_is('an address', "SELECT id FROM app.users WHERE email = 'ada\@example.com'", '1 list'), $ada, 'its user');
is(pushed_is('another case', "SELECT id FROM app.users WHERE email = 'ADA\@example.com'", '1 list'), '', 'is another address');
is(pushed_is('a second address', "SELECT id FROM app.users WHERE email = 'second\@example.com'", '1 list'), '', 'is not the column');
is(pushed_is('an address with an escape', q(SELECT count(id) FROM app.users WHERE email = 'a\b@example.com'), '1 list'), 0, 'is nobody');
$sim->create({ id => id('odd'), username => 'odd', email => 'o\\d+d&x=y@example.com' });
$users++;
is(pushed_is('an address of odd characters', q(SELECT id FROM app.users WHERE email = 'o\d+d&x=y@example.com'), '1 list'), id('odd'), 'its user');
is($sim->stats->{rejected}, 0, 'nothing of that is refused');

my $time = sql('SELECT updated_at FROM app.users ORDER BY updated_at, id OFFSET 400 LIMIT 1');
my $late = pushed_is('changed since', "SELECT id FROM app.users WHERE updated_at >= '$time' ORDER BY id", '1 list');
cmp_ok($late =~ tr/\n//, '>', 20, 'who was changed in the very second of that time is among them');
pushed_is('changed after', "SELECT count(*) FROM (SELECT * FROM app.users WHERE updated_at > '$time') AS u", '1 list');
pushed_is('changed within a second', "SELECT count(*) FROM (SELECT * FROM app.users WHERE updated_at > '$time'::timestamptz - interval '0.5 s') AS u", '1 list');
pushed_is('changed then', "SELECT id FROM app.users WHERE updated_at = '$time' ORDER BY id", '1 list');
$sim->reset_stats;
is(sql('SELECT count(*) FROM (SELECT id FROM app.users LIMIT 7) AS u'), 7, 'a few users');
is($sim->asked, '1 list', 'one page');
like(last_target(), qr/limit=7&/, 'of as many');
like(sql("EXPLAIN (VERBOSE, COSTS off) SELECT id FROM app.users WHERE email = 'ada\@example.com'"),
	qr{/api/v1/users\?limit=200&filter=profile\.email%20eq%20%22}, 'EXPLAIN shows the request');
like(sql("EXPLAIN (VERBOSE, COSTS off) SELECT id FROM app.users WHERE id = 'me'"), qr/Request: none/, 'and that there is none for what is no id');

# ---- Links that are lost or lead away: an error, and nobody is marked

($server, $target) = ('okta', 'app.users_sync');
is(full(), "ok $users/0/0/0/0", 'the first refresh');
is(difference(), 0, 'makes the target equal to the directory');
my $heap = heap();
is(full(), "ok 0/0/$users/0/0", 'the next one has nothing to do');
is(heap(), $heap, 'and writes nothing');

for my $case (
	[ 'foreign_link', qr/leads to another address.*HINT:.*ALTER SERVER okta/s ], [ 'evil_link', qr/leads to another address/ ],
	[ 'no_link', qr/no header Link/ ], [ 'lost_link', qr/does not name the page itself/ ], [ 'twice_link', qr/has one twice/ ],
	[ 'wide_link', qr/too long or has a character/ ], [ 'long_link', qr/no header Link, or too long a one/ ])
{
	my ($trick, $reason) = @$case;

	for my $page (0, 1)
	{
		$sim->fault({ match => 'list', after => $page, trick => $trick });
		is(full(), 'HV00M', "$trick on page $page is an error");
		like($said, $reason, 'which says so');
		is(marked() . live(), $users, 'and nobody is marked');
	}
}
is($sim->stats->{rejected}, 0, 'none of that is an error of Okta');

# To another address that may be asked, by whoever else has a mapping.
$other->reset_stats;
$sim->fault({ match => 'list', headers => { Link => '<' . $sim->url . '/api/v1/users?limit=200>; rel="self", <' . $other->url . '/api/v1/users?after=x&limit=200>; rel="next"' } });
is(full(), 'HV00M', 'a link to another server is an error');
is($other->requests, 0, 'to which no request is sent, and no token');
$sim->fault({ match => 'list', redirect => $other->url . '/api/v1/users' });
isnt(full(), "ok 0/0/$users/0/0", 'nor is a redirection followed');
is($other->requests, 0, 'with the token');
is(marked() . live(), $users, 'nobody is marked');
is(full(), "ok 0/0/$users/0/0", 'a healthy run is none the worse');

# That a link alone is lost nobody can know; then each user is asked for.
is(full(), "ok 0/0/$users/0/0", 'as before');
$sim->fault({ match => 'list', after => 2, trick => 'end_link' });
is(full(), "ok 0/0/$users/0/0", 'the last page has no next link anyway');
$sim->fault({ match => 'list', after => 1, trick => 'end_link' });
my $gone = $sim->user('index/3')->{id};
$sim->remove($gone);
$users--;
is(full(), 'ok 0/0/400/1/0', 'a premature end');
is(marked(), $gone, 'only who is gone is marked');
$sim->fault({ match => 'list', trick => 'end_link' });
like(full(), qr{^held 0/0/200/0/}, 'far too many behind one are held');
is(marked(), $gone, 'and stay');
$sim->fault({ match => 'list', after => 1, empty => $true });
like(full(), qr{^held |^ok 0/0/200/0/}, 'an empty page in between');
is(marked(), $gone, 'marks nobody');
$sim->fault({ match => 'list', times => -1, empty => $true });
like(full(), qr{^held 0/0/0/0/}, 'an empty directory is held');
$sim->clear_faults;
$sim->fault({ match => 'list', after => 1, repeat_page => $true });
is(full(), 'HV00M', 'a page that comes again is an error');
is(full(), "ok 0/0/$users/0/0", 'a healthy run is none the worse');
is(marked(), $gone, 'and nobody else was marked');

# ---- Deprovisioned users: two universes

my @dp = map { $sim->user("index/$_")->{id} } 20 .. 59;
$sim->update("index/$_", { state => 'deprovisioned' }) for 20 .. 59;
is(full(), 'ok 0/40/' . ($users - 40) . '/0/0', 'forty users are deprovisioned: an update');
is(marked() . live(), "$gone$users", 'they stay live');
is(sql("SELECT raw_json ->> 'status' FROM $target WHERE id = '$dp[0]'"), 'DEPROVISIONED', 'with their status');
is(full(), "ok 0/0/$users/0/0", 'and they are not lost afterwards');
$sim->reset_stats;
is(sql("SELECT count(*) FROM app.users WHERE id = ANY ('{" . join(',', @dp) . "}')"), 40, 'they are found by id');
is($sim->asked, '1 list', 'together');
my $email = sql("SELECT email FROM app.users WHERE id = ANY ('{" . join(',', @dp) . "}') AND email IS NOT NULL LIMIT 1");
is(sql("SELECT count(id) FROM app.users WHERE email = '$email'"), 1, 'and by address');
is(sql("SELECT count(id) FROM app.users WHERE id = '$dp[5]'"), 1, 'and one alone');
# a next link without the filter leaves them out
$sim->fault({ match => 'list', trick => 'bare_link' });
$sim->update("index/$_", { state => 'deprovisioned' }) for 300 .. 305;
$sim->reset_stats;
like(full(), qr{^ok 0/0/\d+/0/0}, 'in a listing that changes universe they are missing');
is($sim->stats->{get} >= 6, 1, 'each is asked for');
is(marked(), $gone, 'and none is marked');
is(full(), 'ok 0/6/' . ($users - 6) . '/0/0', 'and the next listing has them');

# With the option
sql("ALTER SERVER okta OPTIONS (ADD deprovisioned_as_deleted 'true')");
$sim->update($ada, { state => 'undated' });
my $before = sql('SELECT clock_timestamp()');
like(refresh(), qr{^ok 0/}, 'with the option');
is(last_run('mode'), 'full', 'the next run is a full one');
is(sql("SELECT count(*) FROM $target WHERE deleted_at IS NOT NULL"), 48, 'they are marked');
is(sql("SELECT count(*) FROM $target WHERE id = ANY ('{" . join(',', @dp) . "}') AND deleted_at > now() - interval '1 hour'"), 40, 'not before the last refresh that saw them live, though that was long ago');
is(sql("SELECT deleted_at IS NOT NULL, raw_json ->> 'status' FROM $target WHERE id = '$ada'"), 't|DEPROVISIONED', 'also one of whom Okta does not say when');
is(sql("SELECT deleted_at = updated_at FROM app.users WHERE id = '$ada'"), 't', 'who has the time of the last change in the foreign table');
is(sql('SELECT count(*) FROM app.users WHERE deleted_at IS NOT NULL'), 47, 'so the foreign table has it');
is(sql("SELECT deleted_at = (raw_json ->> 'statusChanged')::timestamptz FROM app.users WHERE id = '$dp[0]'"), 't', 'for one user, too');
is(difference(), 0, 'the target equals the directory');
$heap = heap();
full();
refresh();
is(heap(), $heap, 'further runs write nothing');
$sim->update($dp[0], { state => undef });
$sim->update($dp[1], { first_name => 'Still', last_name => 'Gone' });
like(refresh(), qr{^ok 0/}, 'one is activated again');
is(sql("SELECT deleted_at IS NULL, raw_json ->> 'status' FROM $target WHERE id = '$dp[0]'"), 't|ACTIVE', 'and is live');
is(sql("SELECT deleted_at IS NOT NULL, name FROM $target WHERE id = '$dp[1]'"), 't|Still Gone', 'a change of one who is not leaves it marked');
is(sql("SELECT deleted_at IS NOT NULL FROM neon_auth.sync_user('okta', '$dp[2]', target => '$target')"), 't', 'sync_user says the same');
$sim->update('index/100', { state => 'suspended' });
refresh();
is(sql("SELECT deleted_at IS NULL FROM $target WHERE id = '" . $sim->user('index/100')->{id} . "'"), 't', 'who is suspended is live');
$sim->update('index/101', { state => 'deprovisioned' });
like(refresh("mode => 'incremental'"), qr{^ok 0/}, 'another one is deprovisioned');
is(sql("SELECT deleted_at IS NOT NULL FROM $target WHERE id = '" . $sim->user('index/101')->{id} . "'"), 't', 'which an incremental refresh marks');
$sim->remove($dp[3]);
full();
is(sql("SELECT deleted_at IS NOT NULL FROM $target WHERE id = '$dp[3]'"), 't', 'one whom Okta has removed for good stays marked');
is(difference(), 0, 'the target equals the directory');
sql('ALTER SERVER okta OPTIONS (DROP deprovisioned_as_deleted)');
full();
is(sql("SELECT count(*) FROM $target WHERE deleted_at IS NOT NULL"), 2, 'without the option all but those who are gone are live again');
is(difference(), 0, 'and the target equals the directory');

# ---- Refreshes by time of change

$sim->reset_stats;
like(refresh(), qr{^ok 0/0/}, 'an incremental refresh with nothing new');
is(last_run('mode'), 'incremental', 'is incremental');
is($sim->asked, '1 list', 'and asks for one page');
like(last_target(), qr{^/api/v1/users\?limit=200&filter=lastUpdated%20ge%20%2220\d\d-\d\d-\d\dT\d\d%3A\d\d%3A\d\d\.000Z%22$}, 'of those changed since a time');
$sim->update("index/$_", { first_name => "Changed $_" }) for 200 .. 209;
my $new = $sim->create({ id => id('new'), first_name => 'New', email => 'new@example.com' });
$sim->reset_stats;
is(refresh("mode => 'incremental'") =~ m{^ok 1/(?:10|11)/}, 1, 'changes and a new user');
is($sim->asked, '1 list', 'take one request');
is(difference(), 0, 'the target equals the directory');
# in the second of the last change, and in one before that the overlap just reaches
my $latest = int($new->{updated_at} / 1000) * 1000;
$sim->update('index/210', { first_name => 'Same Second', updated_at => $latest + 1 });
$sim->update('index/211', { first_name => 'Same Second', updated_at => $latest + 999 });
$sim->update('index/212', { first_name => 'Late', updated_at => $latest - 300_000 });
like(refresh(), qr{^ok 0/[3-5]/}, 'changes in the second of the last one');
is(last_run('mode'), 'incremental', 'by an incremental refresh');
is(sql("SELECT string_agg(split_part(name, ' ', 1), ' ' ORDER BY name) FROM $target WHERE id IN ('" . join("', '", map { $sim->user("index/$_")->{id} } 210 .. 212) . "')"),
	'Late Same Same', 'are seen, to the edge of the overlap');
is(difference(), 0, 'the target equals the directory');
$sim->update("index/$_", { first_name => "Many $_" }) for 60 .. 299;
$sim->reset_stats;
like(refresh(), qr{^ok 0/24\d/}, 'more changes than a page has');
is($sim->asked, '2 list', 'take two');
is(difference(), 0, 'the target equals the directory');
$sim->update("index/$_", { first_name => "Lost $_" }) for 60 .. 299;
$sim->fault({ match => 'list', trick => 'foreign_link' });
my $watermark = sql("SELECT watermark FROM neon_auth.sync_state WHERE target = '$target'::regclass");
is(refresh("mode => 'incremental'"), 'ok 0/0/0/0/0', 'a link that leads away: such a run takes nothing of the page');
like($said, qr/could not be read to its end/, 'and says so');
is(sql("SELECT watermark FROM neon_auth.sync_state WHERE target = '$target'::regclass"), $watermark, 'it knows no more than before');
like(refresh(), qr{^ok 0/24\d/}, 'and nothing is missed');
is(last_run('mode'), 'full', 'by the next one, which is full');
is(difference(), 0, 'the target equals the directory');
$sim->update($dp[6], { state => 'suspended' });
refresh("mode => 'incremental'");
is(sql("SELECT raw_json ->> 'status' FROM $target WHERE id = '$dp[6]'"), 'SUSPENDED', 'a status is a change');

# a deletion for good is seen by a listing alone
my $hard = $sim->user('index/400')->{id};
my $marked = marked();
$sim->remove($hard);
like(refresh("mode => 'incremental'"), qr{^ok 0/\d/\d+/0/0}, 'one is removed for good');
is(marked(), $marked, 'which no list of changes tells');
for my $case ([ 404, 'E0000008' ], [ 404, 'E0000007x' ], [ 410, 'E0000007' ], [ 403, 'E0000006' ], [ 401, 'E0000011' ])
{
	my ($status, $code) = @$case;

	$sim->fault({ match => 'get', times => -1, status => $status, body => qq({"errorCode":"$code","errorSummary":"Not found: Resource not found: $hard (User)"}) });
	like(full(), qr/^(?:\w{5}$|held)/, "$status $code is not the answer that a user does not exist");
	$sim->clear_faults;
	is(marked(), $marked, 'nobody is marked');
}
$sim->reset_stats;
like(full(), qr{^ok 0/0/\d+/1/0}, 'a full refresh finds it');
is(marked(), join(' ', sort(split(/ /, $marked), $hard)), 'and marks that user alone');
cmp_ok($sim->stats->{get}, '<=', 3, 'after asking for it');
is(sql("SELECT deleted_at IS NOT NULL FROM neon_auth.sync_user('okta', '$hard', target => '$target')"), 't', 'sync_user agrees');
is(sql("SELECT count(id) FROM neon_auth.sync_user('okta', 'me', target => '$target')"), 0, 'and knows nobody called me');
like(refresh(), qr{^ok 0/0/}, 'and nothing is new');

# ---- Random histories: no live user is ever marked

my $seed = $ENV{NAUTH_SEED} // 1;
srand($seed);
my @tricks = map { { match => 'list', trick => $_ } } qw(foreign_link no_link lost_link end_link wide_link long_link bare_link twice_link);
my @faults = (
	@tricks, { match => 'list', truncate_page => 3 }, { match => 'list', hide_index => [ 7, 77, 177 ] }, { match => 'list', empty => $true },
	{ match => 'list', repeat_page => $true }, { match => 'list', body => '[]' }, { match => 'list', status => 500 }, { match => 'list', cut => 90 },
	{ match => 'get', status => 404 }, { match => 'get', status => 401 }, { match => 'list', mutate => { delete_index => [ 5, 250 ] } });
my (%ends, @false, @log);

($server, $target) = ('small', 'small.users_sync');
full();
for my $round (1 .. 40)
{
	my @all = @{ $sim->users };

	for (1 .. 1 + rand(5))
	{
		my $index = int(rand(@all));
		my $change = (qw(update update state state remove create))[ rand(6) ];

		push @log, "$change $index";
		if ($change eq 'create') { $sim->create({ first_name => "Random $round" }) }
		elsif ($all[$index]{deleted}) { next }
		elsif ($change eq 'remove') { $sim->remove("index/$index"); $all[$index]{deleted} = 1 }
		else { $sim->update("index/$index", $change eq 'state' ? { state => (undef, 'deprovisioned', 'suspended')[ rand(3) ] } : { first_name => "Random $round" }) }
	}
	my $fault = rand() < 0.6 ? { %{ $faults[ rand(@faults) ] }, after => int(rand(9)), times => 1 + int(rand(2)) } : undef;
	$sim->fault($fault) if $fault;
	my $end = refresh("mode => '" . (qw(full full auto incremental))[ rand(4) ] . "'");
	push @log, ($fault ? JSON::PP->new->canonical->encode($fault) : ()), $end;
	$ends{ (split / /, $end)[0] }++;
	$sim->clear_faults;
	my %live = map { $_->{id} => 1 } grep { !$_->{deleted} } @{ $sim->users };
	push @false, grep { $live{$_} } split / /, marked();
}
note(join ', ', map { "$_: $ends{$_}" } sort keys %ends);
is_deeply(\@false, [], "no live user was marked (seed $seed)") or diag("seed $seed:", map { "\n  $_" } @log);
cmp_ok($ends{ok} // 0, '>', 10, 'and many of these runs succeed');
like(full(), qr{^ok }, 'a healthy run');
is(difference(), 0, 'makes the target equal to the directory');
is(join(' ', grep { my $user = $sim->user($_); !$user->{deleted} } split / /, marked()), '', 'and those who are marked are gone');

# ---- What is no change

($server, $target) = ('busy', 'busy.users_sync');
is(full(), 'ok 30/0/0/0/0', 'users who sign in all the time');
$heap = heap();
for my $mode ('full', 'incremental', 'auto')
{
	like(refresh("mode => '$mode'"), qr{^ok 0/0/}, "are not changed by that: mode $mode");
}
$busy->update('index/29', { first_name => 'Last' });
refresh();
$heap = heap();
my $last = $busy->user('index/29')->{id};
is(sql("SELECT name LIKE 'Last%' FROM neon_auth.sync_user('busy', '$last', target => '$target')"), 't', 'one user alone has other links');
like(refresh(), qr{^ok 0/0/}, 'which are no change either');
is(heap(), $heap, 'nothing is written');

# ---- Credentials and errors

is(sql('SELECT count(*) FROM oauth.users'), 3, 'an access token');
sql('ALTER SERVER oauth OPTIONS (DROP token_type)');
like($session->ask('SELECT count(*) FROM oauth.users'), qr/ERROR:  28000:.*DETAIL:  .*401, code "E0000011", request id "reqSim\d+".*HINT:  .*FOR \.\.\. SERVER oauth .*token_type 'Bearer'/s,
	'which is sent as an API token is refused, and the hint says how');
$sim->fault({ match => 'list', status => 403, headers => { 'X-Okta-Request-Id' => 'reqABC-1' } });
like($session->ask('SELECT count(*) FROM app.users'), qr/ERROR:  42501:.*code "E0000006", request id "reqABC-1".*HINT:  .*okta\.users\.read/s, 'no right to');
$sim->fault({ match => 'list', status => 404 });
like($session->ask('SELECT count(*) FROM app.users'), qr/ERROR:.*E0000008.*HINT:  .*without a path/s, 'another path');

# Silence that is asked for by a time of day
$sim->fault({ match => 'list', status => 429, headers => { 'X-Rate-Limit-Reset' => '' . (time() + 86_400) } });
$sim->reset_stats;
like($session->ask('SELECT count(*) FROM app.users'), qr/ERROR:.*too many requests/s, 'a day of silence is more than a query waits');
is($sim->asked, '1 list', 'so nothing more is asked');
is(sql(q(SELECT string_agg(part || ': ' || message, ', ') FROM neon_auth.check_server('busy') WHERE verdict = 'error')), '', 'check_server finds no error');
like($session->ask(q(CREATE SERVER nowhere FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'okta'))), qr/ERROR:.*url/s, 'a url is needed');

# ---- A client that signs for itself

my $keys = PostgreSQL::Test::Utils::tempdir();
for my $name ('good', 'other')
{
	system_or_bail('openssl', 'genpkey', '-quiet', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', "$keys/$name.pem");
	system_or_bail('openssl', 'pkey', '-in', "$keys/$name.pem", '-pubout', '-out', "$keys/$name.pub");
}
my $signed = start_sim(provider => 'okta', users => 650, set => [ "public_key=$keys/good.pub", 'token_uses=3' ]);
my ($good_key, $other_key) = map { slurp_file("$keys/$_.pem") } 'good', 'other';

sub mapping { return $session->ask("ALTER USER MAPPING FOR CURRENT_USER SERVER signed OPTIONS ($_[0])"); }

allow_urls($node, map { $_->url } $sim, $other, $oauth, $joined, $busy, $signed);
add_server($node, $signed, name => 'signed', schema => 'signed', mapping => "client_id 'client', private_key '$good_key', private_key_id 'key-1'");
$session = new_session($node);
is(sql('SELECT count(DISTINCT id) FROM signed.users'), 650, 'a client with a private key lists all');
is($signed->stats->{tokens}, 2, 'with another token in the middle, when the first was not taken any more');
is(sql('SELECT count(*) FROM signed.users WHERE id = (SELECT id FROM signed.users LIMIT 1)'), 1, 'and goes on with it');
is($signed->stats->{tokens}, 2, 'which the session keeps');
is(new_session($node)->must('SELECT count(*) FROM (SELECT FROM signed.users LIMIT 10) u'), 10, 'another session');
is($signed->stats->{tokens}, 3, 'gets one of its own');
$signed->fault({ match => 'other', cut => 40 });
is(new_session($node)->must('SELECT count(*) FROM (SELECT FROM signed.users LIMIT 10) u'), 10, 'a reply with a token that is lost is asked for again, with another assertion');
$signed->clear_faults;
my $tokens = $signed->stats->{tokens};
mapping("SET private_key '$other_key'");
like($session->ask('SELECT count(*) FROM signed.users'),
	qr/ERROR:  28000: .*did not accept the credential.*DETAIL:  Reason: the provider gave no access token .*"invalid_client".*HINT:  .*client_id and client_secret, or private_key/s,
	'another key is refused, and the hint says what to set');
is($signed->stats->{tokens}, $tokens, 'the token of the key before is not used');
mapping("SET private_key '$good_key', SET client_id 'stranger'");
like($session->ask('SELECT count(*) FROM signed.users'), qr/ERROR:  28000:/, 'so is another client');
mapping(q(SET client_id 'cli"ent'));
like($session->ask('SELECT count(*) FROM signed.users'), qr/ERROR:  HV00L:.*could not be signed/s, 'a client that would break out of the claims is asked nothing with');
mapping(q(DROP private_key, DROP private_key_id, ADD client_secret 'x'));
like($session->ask('SELECT count(*) FROM signed.users'), qr/ERROR:  HV00D:.*has another credential than provider "okta" takes.*HINT:  It takes api_key '...' or client_id '...', private_key '...', and nothing else/s,
	'a secret is no credential of Okta');
for my $bad ('x', substr($good_key, 0, 500), "-----BEGIN PRIVATE KEY-----\n")
{
	my $answer = mapping("ADD private_key '$bad'");

	like($answer, qr/ERROR:  22023:.*invalid value for option "private_key".*HINT:  It is an RSA private key/s, 'what is no key is refused');
	unlike($answer, qr/\Q$bad\E/, 'and not shown') if length $bad > 1;
}
like($session->ask(q(ALTER SERVER signed OPTIONS (ADD token_type 'Basic'))), qr/ERROR:  22023:.*HINT:  It is SSWS or Bearer\./s, 'a type of token that there is not');

# ---- The statements of the documentation, in an order and with the options that a reader has

$node->safe_psql('postgres', 'CREATE DATABASE docs');
my ($docs, $url, $key) = (new_session($node, database => 'docs'), $joined->url, $joined->key);
$docs->must("CREATE EXTENSION neon_auth_fdw; CREATE SERVER okta FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'okta', url '$url', deprovisioned_as_deleted 'true')");
$docs->must("CREATE USER MAPPING FOR CURRENT_USER SERVER okta OPTIONS (api_key '$key'); CREATE SCHEMA okta; IMPORT FOREIGN SCHEMA directory FROM SERVER okta INTO okta");
$joined->update('index/7', { state => 'deprovisioned' });
like($docs->must("CALL neon_auth.refresh_users_sync('okta', target => 'okta.users_sync')"), qr/^ok\|450\|/m, 'a first refresh with deprovisioned users as deleted');
is($docs->must('SELECT count(*) FILTER (WHERE deleted_at IS NULL), count(*) FROM okta.users_sync'), '449|450', 'has them as such');

done_testing();
