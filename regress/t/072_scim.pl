# SCIM 2.0, simulated: services differ in what they can do and in what they do wrong, and
# none of it may lose a user, or mark one who is live, whatever they say of themselves.  Pages are capped, shifted and
# without an order, totals lie, filters are ignored or find nobody, times are missing or
# have any offset, and a not-found may be of something else.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/lib";

use HTTP::Tiny;
use JSON::PP;
use NeonAuth::Providers;
use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

use constant USERS => 150;
use constant FOREVER => -1;
use constant NOBODY => '3f2504e0-4f89-41d3-9a0c-0305e82c3301';

my $json = JSON::PP->new->utf8->canonical;
my $node = new_node('scim', conf => "timezone = 'UTC'\n");
my $session = new_session($node);
my ($sim, $server, $target, $said);
my (@urls, $targets);

# ---- Helpers

# A service with its server; both are the current ones from now on.
sub service
{
	my ($name, $options, %flags) = @_;

	$sim = start_provider('scim', clock => (time() - 3600) * 1000, %flags);
	push @urls, $sim->url;
	allow_urls($node, @urls);
	$server = $name;
	$target = "$name.users_sync";
	add_server($node, $sim, name => $name, schema => $name, options => $options);
	return $sim;
}

sub sql { return $session->must($_[0]); }

# "status inserted/updated/unchanged/tombstoned/held", or the SQLSTATE.
sub refresh
{
	my ($more) = @_;

	$sim->reset_stats;
	$said = $session->ask("CALL neon_auth.refresh_users_sync('$server', target => '$target'" . ($more ? ", $more" : '') . ')');
	return outcome_of($said, 0 .. 4);
}

sub tombstones { return sql("SELECT coalesce(string_agg(id, ' ' ORDER BY id COLLATE \"C\"), '') FROM $target WHERE deleted_at IS NOT NULL"); }
sub last_run { return sql("SELECT concat_ws(': ', mode, reason, note) FROM neon_auth.sync_run WHERE target = '$target'::regclass ORDER BY run_id DESC LIMIT 1"); }
sub id_of { return $sim->user("index/$_[0]")->{id}; }
sub live_ids { return sort map { $_->{id} } grep { !$_->{deleted} } @{ $sim->users }; }
sub heap { return sql("SELECT md5(string_agg(concat(ctid, xmin), ' ' ORDER BY ctid)) FROM $target"); }

# How many rows differ between the live part of the target and the directory.
sub difference
{
	my $columns = 'id, name, email, raw_json, created_at, updated_at';
	my ($here, $there) = ("SELECT $columns FROM $target WHERE deleted_at IS NULL", "SELECT $columns FROM $server.users");

	return sql("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

# A query has the same rows as without what it can ask for alone, and asks this.
sub same_is
{
	my ($name, $query, $asked) = @_;
	my $plain = sql("SET neon_auth_fdw.pushdown = off; $query");

	sql('SET neon_auth_fdw.pushdown = on');
	$sim->reset_stats;
	is(sql($query), $plain, "$name: rows");
	is($sim->asked, $asked, "$name: requests") if defined $asked;
	is($sim->stats->{rejected}, 0, "$name: nothing is refused");
	return $plain;
}

# A scan has everybody who is there, once.
sub scan_is_whole
{
	my ($name) = @_;

	is_deeply([ sort split /\n/, $session->ask("SELECT id FROM $server.users") ], [ live_ids() ], "$name: a scan has all users once");
	return;
}

# The ids that a reader gets who asks for one index after the other.
sub naive_ids
{
	my ($count, $more) = @_;
	my (@ids, $page);

	for (my $start = 1; ; $start += $count)
	{
		my $reply = HTTP::Tiny->new->get($sim->url . "/Users?startIndex=$start&count=$count$more",
			{ headers => { Authorization => 'Bearer ' . $sim->key, Accept => 'application/scim+json' } });
		$page = $json->decode($reply->{content});
		push @ids, map { $_->{id} } @{ $page->{Resources} // [] };
		last if $start + $count > $page->{totalResults};
	}
	return @ids;
}

sub lacking
{
	my %has = map { $_ => 1 } @_;

	return scalar grep { !$has{$_} } live_ids();
}

# ---- Columns

service('small', '', users => 0);
is(refresh(), 'ok 0/0/0/0/0', 'an empty directory');

sub put
{
	my ($number, $members) = @_;
	my $ms = 1767225600000 + $number * 1000;
	my $user = { schemas => ['urn:ietf:params:scim:schemas:core:2.0:User'], id => "u$number", userName => "user$number", %$members };

	$sim->create_raw($json->encode($user), id => "u$number", created_at => $ms, updated_at => $ms);
	return;
}

my ($true, $false) = (JSON::PP::true, JSON::PP::false);

put(1, { displayName => 'Ada', name => { formatted => 'Ada F. Lind', givenName => 'Ada' }, emails => [ { value => 'first@example.com' }, { value => 'ada@example.com', primary => $true } ],
	meta => { created => '2026-01-15T12:00:00Z', lastModified => '2026-02-01T08:30:00.456+01:00' } });
put(2, { displayName => '', name => { formatted => 'Zoe F.', givenName => 'Zoe' }, emails => [ { value => 'zoe@example.com', primary => $false }, { value => 'zoe2@example.com' } ],
	meta => { created => '2026-01-15T12:00:00.123456789-05:30', lastModified => '2026-02-01t08:30:00z' } });
put(3, { name => { givenName => 'Grace', familyName => 'Hopper' }, emails => [], userName => 'grace@example.com', password => 'leaked', meta => {} });
put(4, { name => { familyName => 'Turing' }, emails => undef, userName => 'no address' });
put(5, { emails => [ { type => 'work' } ], active => $false, 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User' => { department => 'Sales' }, meta => { created => undef } });
is(sql('SELECT id, name, email, created_at, updated_at FROM small.users ORDER BY id'), <<'ROWS' =~ s/\n\z//r, 'names, addresses and times');
u1|Ada|ada@example.com|2026-01-15 12:00:00+00|2026-02-01 07:30:00.456+00
u2|Zoe F.|zoe@example.com|2026-01-15 17:30:00.123456+00|2026-02-01 08:30:00+00
u3|Grace Hopper|grace@example.com||
u4|Turing|||
u5|user5|||
ROWS
is(sql(q(SELECT raw_json ? 'password', count(*) FROM small.users GROUP BY 1)), 'f|5', 'a password is not kept, should there be one');
is(sql(q(SELECT raw_json #>> '{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,department}' FROM small.users WHERE id = 'u5')), 'Sales', 'what extensions add is');
is(sql(q(SELECT count(*) FROM small.users WHERE deleted_at IS NULL)), 5, 'who is not active is not deleted');

# ---- What is asked

service('scim', ", page_size '20'", users => USERS);
my ($first, $last) = (id_of(0), id_of(USERS - 1));

is(sql('SELECT count(DISTINCT id), count(name) FROM scim.users'), USERS . '|' . USERS, 'all users, over pages of 20');
is(sql(q(SELECT count(*) FROM scim.users WHERE created_at = (raw_json #>> '{meta,created}')::timestamptz
	AND updated_at = (raw_json #>> '{meta,lastModified}')::timestamptz AND deleted_at IS NULL)), USERS, 'with their times');
is($sim->stats->{rejected}, 0, 'nothing is refused');
like(sql('EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM scim.users'), qr{Request: GET \S+/scim/v2/ServiceProviderConfig$}m, 'a listing begins with what the service can do');
like(sql('EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM scim.users LIMIT 100'), qr{Request: GET \S+/scim/v2/Users\?count=20&sortBy=id$}m, 'that of some with a page, which names no way of paging');
$sim->reset_stats;
sql('SELECT name FROM scim.users');
is($sim->asked, '15 list, 1 other', 'that is one request more');
same_is('one user', "SELECT id, name, email FROM scim.users WHERE id = '$first'", '1 get');
same_is('two users', "SELECT id, name FROM scim.users WHERE id IN ('$first', '$last') ORDER BY id", '2 get');
is(same_is('an id that nobody has', "SELECT id FROM scim.users WHERE id = '" . NOBODY . "'", '1 get'), '', 'no user');
is(same_is("an id that is none: $_", "SELECT id FROM scim.users WHERE id = '$_'", 'nothing'), '', 'no user, and no error')
  for ('', '..', '../Users', "$first/x", "$first\\x", 'bulkId');
is(same_is("an odd id: $_", "SELECT id FROM scim.users WHERE id = '" . s/'/''/gr . "'"), '', 'no user, and no error')
  for ('a?count=1', '.search', 'a b', '%2e%2e', "quo'te", 'x#y', 'Me');
is(same_is('the number of users', 'SELECT count(*) FROM scim.users', '1 count'), USERS, 'is told by one request');
my $email = sql('SELECT email FROM scim.users WHERE email IS NOT NULL LIMIT 1');
is(same_is('by address', "SELECT email FROM scim.users WHERE email = '$email'"), $email, 'is looked for here');
sql('ANALYZE scim.users');
same_is('some', 'SELECT count(*) FROM (SELECT 1 FROM scim.users LIMIT 7) u', '1 list');
same_is('one', 'SELECT count(*) FROM (SELECT 1 FROM scim.users LIMIT 1) u', '1 list');
my $late = sql('SELECT updated_at FROM scim.users ORDER BY updated_at DESC OFFSET 4 LIMIT 1');
is(same_is('who was changed since', "SELECT count(*) FROM scim.users WHERE updated_at >= '$late'", '1 list, 1 count, 3 other'), 5, 'what it can do, three counts and a list');
like($sim->stats->{last_target}, qr/filter=meta\.lastModified%20ge%20%22\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d-12%3A00%22$/, 'with an offset that comes before all others');
same_is('who was changed after', "SELECT id FROM scim.users WHERE updated_at > '$late' ORDER BY id");
same_is('nobody was', "SELECT id FROM scim.users WHERE updated_at > '2100-01-01'");
like(sql(q(EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM scim.users WHERE updated_at > '2026-01-01')), qr{Request: GET \S+/ServiceProviderConfig$}m, 'of which EXPLAIN has the first');

# listings that begin with the same request are different ones in the cache
my $uncached = $sim;
my $redis = start_redis();
service('cached', ", redis_url '" . $redis->url . "', redis_timeout '1min'", users => 40);
my @times = split /\n/, sql('SET neon_auth_fdw.cache = off; SELECT updated_at FROM cached.users ORDER BY updated_at DESC');
sql('RESET neon_auth_fdw.cache; ANALYZE cached.users');
$sim->reset_stats;
for my $since (@times[ 4, 20, 9 ], '2100-01-01', $times[4])
{
	is(sql("SELECT count(*) FROM cached.users WHERE updated_at >= '$since'"), scalar(grep { $_ ge $since } @times), "who was changed since $since");
}
is(sql('SELECT count(*) FROM cached.users'), 40, 'and how many there are');
is($sim->asked, '4 list, 5 count, 12 other', 'each is asked for once');
for my $limit (3, 7, 100, 3, 7)
{
	is(sql("SELECT count(*) FROM (SELECT 1 FROM cached.users WHERE updated_at >= '$times[20]' LIMIT $limit) u"), $limit < 21 ? $limit : 21, "$limit of who was changed");
	is(sql("SELECT count(*) FROM (SELECT 1 FROM cached.users LIMIT $limit) u"), $limit < 40 ? $limit : 40, "$limit of all");
}
# a page of one is in the cache, with a cursor that is good for pages of this size alone
service('parted', ", page_size '5', redis_url '" . $redis->url . "', redis_timeout '1min'", users => 40, set => 'paging=both');
my ($parted_all, $parted_late) = ('SELECT id FROM parted.users', "SELECT id FROM parted.users WHERE updated_at >= '2000-01-01'");
for my $query ($parted_all, $parted_late)
{
	sql("BEGIN; DECLARE part CURSOR FOR $query; FETCH 3 FROM part; COMMIT");
}
for my $size (7, 1000, 5)
{
	sql("ALTER SERVER parted OPTIONS (SET page_size '$size')");
	is(scalar(my @all = split /\n/, $session->ask($_)), 40, "in pages of $size: $_") for $parted_all, $parted_late;
}
is($sim->stats->{rejected}, 0, 'no page is asked for with the cursor of another listing');
($sim, $server, $target) = ($uncached, 'scim', 'scim.users_sync');

# pages of any size, and a service that gives less than is asked for
for my $size (2, 3, 7, 30, 50, 75, 100, 149, 150, 151, 1000)
{
	sql("ALTER SERVER scim OPTIONS (SET page_size '$size')");
	is(sql('SELECT count(DISTINCT id), count(*) FROM (SELECT id FROM scim.users OFFSET 0) u'), USERS . '|' . USERS, "pages of $size");
}
$sim->reset_stats;
sql('SELECT count(name) FROM scim.users');
is($sim->asked, '1 list, 1 other', 'a page that is not full is the last one');
sql("ALTER SERVER scim OPTIONS (SET page_size '150')");
$sim->reset_stats;
sql('SELECT count(name) FROM scim.users');
is($sim->asked, '2 list, 1 other', 'a full one is not');
sql("ALTER SERVER scim OPTIONS (SET page_size '20')");

# ---- Refreshes

is(refresh(), 'ok ' . USERS . '/0/0/0/0', 'the first refresh');
is(difference(), 0, 'makes the target equal to the directory');
my $rows = heap();
like(refresh(), qr{^ok 0/0/\d+/0/0$}, 'the next writes nothing');
is($sim->asked, '1 list, 1 count, 3 other', 'and asks for nothing but what has changed');
is(heap(), $rows, 'no row is touched');
is(refresh("mode => 'full'"), 'ok 0/0/' . USERS . '/0/0', 'nor by a full one');
$sim->update('index/20', { name => 'Ada King' });
$sim->update('index/21', { state => 'inactive' });
like(refresh(), qr{^ok 0/2/\d+/0/0$}, 'two changes');
is(last_run(), 'incremental', 'by a list of changes');
is(sql("SELECT name FROM $target WHERE id = '" . id_of(20) . "'"), 'Ada King', 'are written');
is(sql("SELECT raw_json ->> 'active', deleted_at FROM $target WHERE id = '" . id_of(21) . "'"), 'false|', 'who is not active is not deleted');
$sim->create({ name => 'New', email => 'new@example.com' });
like(refresh(), qr{^ok 1/0/\d+/0/0$}, 'somebody new');
is(last_run(), 'incremental', 'by a list of changes, too');
$sim->fault({ match => 'list', mutate => { create => { name => 'In Between', email => 'between@example.com' } } });
like(refresh(), qr{^ok 1/0/\d+/0/0$}, 'somebody who comes between the count and the list');
is(last_run(), 'incremental', 'is no reason to list');
is($sim->asked, '1 list, 2 count, 3 other', 'but to count again');
my $gone = id_of(33);
$sim->remove('index/33');
is(refresh(), 'ok 0/0/' . (USERS + 1) . '/1/0', 'a deletion');
is(last_run(), 'full: the provider counts less users than are known', 'shows in the count, and is looked for at once');
is(tombstones(), $gone, 'is marked');
is($sim->stats->{get}, 3, 'the user was asked for by id, and one who is there before and after');
like(refresh(), qr{^ok 0/0/\d+/0/0$}, 'once');
is(last_run(), 'incremental', 'and then there is nothing to list');
$sim->create({ id => $gone, name => 'Come Back', email => 'back@example.com' });
like(refresh(), qr{^ok 0/1/\d+/0/0$}, 'one who comes back');
is(tombstones(), '', 'is not marked any more');
is(difference(), 0, 'and the target equals the directory');

# ---- Who comes and goes while pages are read

# whoever counts indexes loses a user for each deletion
$sim->fault({ match => 'list', after => 2, mutate => { delete_index => [ 3, 7 ] } });
cmp_ok(lacking(naive_ids(20, '')), '>', 0, 'two deleted in the part already read: who counts indexes lacks somebody');
$sim->clear_faults;

# [ how many, from which index on, after how many pages ]
for my $case ([ 1, 1, 1 ], [ 2, 2, 2 ], [ 9, 10, 4 ], [ 25, 60, 8 ])
{
	my ($many, $from, $after) = @$case;
	my @gone = (grep { !$sim->user("index/$_")->{deleted} } $from .. $from + 80)[ 0 .. $many - 1 ];
	my @ids = sort map { id_of($_) } @gone;

	refresh("mode => 'full'");
	my $before = tombstones();
	my %before = map { $_ => 1 } split / /, $before;
	$sim->fault({ match => 'list', after => $after, mutate => { delete_index => \@gone } });
	like(refresh("mode => 'full'"), qr{^(?:ok 0/0/\d+/\d+/0|held 0/0/\d+/0/\d+|HV00M)$}, "$many deleted while pages are read");
	is(scalar(grep { my $id = $_; !$before{$id} && !grep { $_ eq $id } @ids } split / /, tombstones()), 0, 'nobody else is marked');
	$sim->clear_faults;
	my $held = refresh("mode => 'full'");
	refresh("approve_deletions => $1") if $held =~ m{^held .*/(\d+)$};
	is(difference(), 0, 'then the target equals the directory');
	$sim->create({ name => "Fill $_" }) for 1 .. $many;
}
$sim->fault({ match => 'list', after => 3, mutate => { delete_index => [ 70 .. 76 ], create => { name => 'In Between' } } });
my $rest = $session->ask('SELECT id FROM scim.users');
ok($rest =~ /ERROR:  HV00M/ || lacking(split /\n/, $rest) <= 1, 'a scan meanwhile lacks at most who has just come, or says that it is not complete');
$sim->clear_faults;

# everybody but a few: the next index is behind the end
for my $set ([], ['past_end=all'])
{
	service('shrinking' . @$set, ", page_size '20'", users => 120, set => [ 'sort=ignored', @$set ]);
	$sim->fault({ match => 'list', after => 10, mutate => { delete_index => [ 0 .. 29 ] } });
	is(lacking(split /\n/, sql("SELECT id FROM $server.users")), 0, "the next index is behind the end, @$set: the rest is found");
	$sim->create({ name => "More $_", email => "more$_\@example.com" }) for 1 .. 30;
	$sim->fault({ match => 'list', after => 6, mutate => { delete_index => [ 30 .. 114 ] } });
	like($session->ask("SELECT id FROM $server.users"), qr/ERROR:  HV00M: .*the directory shifted/s, "all that was read is deleted, @$set: no complete listing");
}

# ---- Orders

# a service that has an order only when asked for one
service('moving', ", page_size '20'", users => USERS, set => 'order=moving');
my %naive = map { $_ => 1 } naive_ids(20, '');
cmp_ok(lacking(keys %naive), '>', 0, 'without an order of the service: who counts indexes lacks somebody');
scan_is_whole('sorted by id');
is(refresh(), 'ok ' . USERS . '/0/0/0/0', 'so does a refresh');

# and one that has none: either the listing is whole, or it is none
for my $sort ('ignored', 'refused', 'missing')
{
	service("unsorted_$sort", ", page_size '20'", users => USERS, set => [ "sort=$sort", 'order=moving' ]);
	for my $config ('right', 'missing', 'right', 'missing', 'missing')
	{
		sql("DROP SERVER $server CASCADE; DROP SCHEMA $server CASCADE");
		service("unsorted_$sort", ", page_size '20'", users => USERS, set => [ "sort=$sort", 'order=moving', "config=$config" ]);
		$rest = $session->ask("SELECT id FROM $server.users");
		ok($rest =~ /ERROR:  HV00M/ || lacking(split /\n/, $rest) == 0, "an order that moves, sort $sort: all users, or an error");
	}
	is(refresh(), 'HV00M', 'no refresh');
	like($said, qr/the order of the users changed while they were listed|the directory shifted|another number of users/, 'says the error');
	sql("ALTER SERVER $server OPTIONS (SET page_size '200')");
	like(refresh(), qr{^ok \d+/0/\d+/0/0$}, 'with pages that have all of them it is one');
	is(difference(), 0, 'and the target equals the directory');
	for my $set ("sort=$sort", 'config=missing', 'says_sort=true')
	{
		service("plain_$sort" . ++$targets, ", page_size '20'", users => USERS, set => [ "sort=$sort", $set ]);
		scan_is_whole("an order that stays, sort $sort, $set");
		is(refresh(), 'ok ' . USERS . '/0/0/0/0', 'so does a refresh');
	}
}

# ---- Caps, totals, envelopes

for my $cap (3, 15, 50)
{
	service("capped_$cap", ", page_size '100'", users => USERS, set => "cap=$cap");
	scan_is_whole("no more than $cap on a page");
	is(refresh(), 'ok ' . USERS . '/0/0/0/0', 'so does a refresh');
}
service('lying', ", page_size '20'", users => USERS, set => 'total=page');
is($session->ask('SELECT count(name) FROM lying.users') =~ /ERROR:  HV00M/, 1, 'a total that is that of the page ends no listing');
is(refresh(), 'HV00M', 'nor does a refresh take it');
service('zero', ", page_size '20'", users => USERS, set => 'zero=refused');
is(sql('SELECT count(*) FROM zero.users'), USERS, 'a service that takes no count of 0 is not asked with it');
is(refresh(), 'ok ' . USERS . '/0/0/0/0', 'a refresh');
like(refresh(), qr{^ok 0/0/\d+/0/0$}, 'and the next');
is(last_run(), 'incremental', 'by a list of changes');

service('faulty', ", page_size '20'", users => USERS);
refresh();
my $lost = id_of(90);
$sim->remove('index/90');
my $untouched = heap();
my $live = USERS - 1;

# [ name, fault of a list, what a full run ends with, what the error says ]
for my $case (
	[ 'no total', { trick => 'no_total' }, 'HV00M', 'the page has no totalResults' ],
	[ 'a total that is a text', { trick => 'bad_total', times => FOREVER }, 'HV00M', 'the totalResults of the page is no number of users' ],
	[ 'no list of users', { trick => 'no_resources' }, 'HV00M', 'the page has no Resources' ],
	[ 'more users than asked for', { trick => 'extra' }, 'HV00M', 'the page has more users than were asked for' ],
	[ 'an empty page', { after => 3, truncate_page => 0 }, 'HV00M', 'a page ended before the total that it names' ],
	[ 'somebody who is counted and not shown', { times => FOREVER, hide_index => 20 }, 'HV00M', 'ended before' ],
	[ 'a page that comes again', { after => 4, repeat_page => $true }, 'HV00M', 'order of the users changed|shifted|another number' ],
	[ 'one too many counted', { add_total => 1, times => FOREVER }, 'HV00M', 'ended before' ],
	[ 'many too many counted', { add_total => 30, times => FOREVER }, 'HV00M', 'ended before' ],
	[ 'an empty list', { empty => $true, times => FOREVER }, 'held 0/0/0/0/' . USERS, undef ],
	[ 'HTML', { body => '<html></html>', content_type => 'text/html' }, 'HV00M', 'not JSON' ],
	[ 'half a page', { cut => 3000, times => FOREVER }, 'HV00L', undef ],
	[ 'an error with status 200', { body => $json->encode({ schemas => ['urn:ietf:params:scim:api:messages:2.0:Error'], status => '500' }) }, 'HV00M', 'no totalResults' ],
	[ 'no list at all', { body => '[]' }, 'HV00M', 'no JSON object' ],
	[ 'a wrong address', { status => 404 }, 'HV00L', undef ],
	[ 'status 401', { status => 401 }, '28000', undef ],
	[ 'status 403', { status => 403 }, '42501', undef ],
	[ 'status 400, twice', { status => 400, times => 2 }, 'HV00L', undef ],
	[ 'status 500', { status => 500, times => FOREVER }, 'HV00L', undef ])
{
	my ($name, $fault, $end, $text) = @$case;

	$sim->fault({ match => 'list', %$fault });
	like(refresh("mode => 'full'"), qr/^(?:$end|HV00\w)$/, "$name: the run ends so") or diag($said);
	like($said, qr/$text/, "$name: for this reason") if $text;
	unlike($said, qr/sk_test_x|example\.com|could not be answered/, "$name: no secret, and nothing of a reply");
	is(tombstones(), '', "$name: nobody is marked");
	is(heap(), $untouched, "$name: nothing is written");
	$sim->clear_faults;
}

# what costs nobody anything
for my $case (
	[ 'a page with half of its users', { truncate_page => 10, after => 3 } ],
	[ 'another order once', { after => 4, ignore_order => $true } ],
	[ 'too many requests', { status => 429, after => 2, headers => { 'Retry-After' => '0' } } ],
	[ 'a sort that is refused once', { status => 400 } ])
{
	my ($name, $fault) = @$case;

	$sim->fault({ match => 'list', %$fault });
	scan_is_whole($name);
	$sim->clear_faults;
}

# a count that differs from the listing holds
$sim->fault({ match => 'count', times => FOREVER, add_total => 30 });
is(refresh("mode => 'full'"), "held 0/0/$live/0/1", 'a count that is too high holds the deletion');
is(last_run(), 'full: mode full was asked for: the provider counts another number of users than it listed', 'says the run');
$sim->clear_faults;

# ---- What counts as gone

my $error = { schemas => ['urn:ietf:params:scim:api:messages:2.0:Error'], status => '404', detail => 'Resource not found' };

for my $case (
	[ 'a status without the schema', 404, $json->encode({ status => '404', detail => 'Not found' }) ],
	[ 'another schema', 404, $json->encode({ %$error, schemas => ['urn:scim:schemas:core:1.0'] }) ],
	[ 'errors of another kind', 404, '{"errors":[{"status":"404","title":"Not Found"}]}' ],
	[ 'a gateway', 404, '{"message":"no Route matched with those values"}' ],
	[ 'HTML', 404, '<html>404</html>' ],
	[ 'nothing', 404, '' ],
	[ 'the body with another status', 400, $json->encode($error) ],
	[ 'the body with status 200', 200, $json->encode($error) ],
	[ 'the body with status 403', 403, $json->encode($error) ])
{
	my ($name, $status, $body) = @$case;

	$sim->fault({ match => 'get', after => 1, times => FOREVER, status => $status, body => $body });
	like(refresh("mode => 'full'"), qr{^(HV00M|42501|held 0/0/$live/0/1)$}, "$name: the run fails, or holds who is missing");
	is(tombstones(), '', "$name: nobody is marked");
	$sim->clear_faults;
}

# a service that takes other names, too, and somebody has that one now
$sim->fault({ match => 'get', after => 1, times => 1, status => 200, body => $json->encode({ id => 'somebody' }) });
is(refresh("mode => 'full'"), "held 0/0/$live/0/1", 'somebody else who answers to the id');
like(last_run(), qr/another user answers to its id/, 'is told, and the run goes on');
is(tombstones(), '', 'nobody is marked');
$sim->clear_faults;

# a service that finds nobody by id, as a wrong path would
$sim->fault({ match => 'get', times => FOREVER, status => 404, body => $json->encode($error) });
is(refresh("mode => 'full'"), "held 0/0/$live/0/1", 'a service that finds nobody by id');
like(last_run(), qr/the provider does not find by id a user that it listed/, 'is not believed');
is(tombstones(), '', 'nobody is marked');
$sim->clear_faults;
# and one that begins with it half-way
$sim->fault({ match => 'get', after => 2, times => FOREVER, status => 404, body => $json->encode($error) });
is(refresh("mode => 'full'"), "held 0/0/$live/0/1", 'nor one that begins so in the middle');
$sim->clear_faults;
is(refresh("mode => 'full'"), "ok 0/0/$live/1/0", 'after all that');
is(tombstones(), $lost, 'the one who is gone is marked');

# a base that lists, and another where every user is unknown
$session->ask("CREATE SERVER astray FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'scim', url '" . $sim->url . "x');
	CREATE USER MAPPING FOR CURRENT_USER SERVER astray OPTIONS (api_key 'sk_test_x'); CREATE SCHEMA astray; IMPORT FOREIGN SCHEMA directory FROM SERVER astray INTO astray");
push @urls, $sim->url . 'x';
allow_urls($node, @urls);
like($session->ask('SELECT id FROM astray.users'), qr/ERROR:  HV00L/, 'a wrong base url: an error for all');
is($session->ask("SELECT part FROM neon_auth.check_server('astray') WHERE verdict = 'error'"), 'list', 'which check_server tells');

# ---- Cursors

for my $paging ('cursor', 'both')
{
	for my $option ('', 'cursor', 'CURSOR', 'index')
	{
		next if $paging eq 'cursor' && $option eq 'index';
		service('paged' . ++$targets, ", page_size '20'" . ($option ? ", paging '$option'" : ''), users => USERS, set => "paging=$paging");
		$sim->reset_stats;
		scan_is_whole("paging $paging, option '$option'");
		my $by_cursor = lc $option ne 'index';
		like($sim->stats->{last_target}, $by_cursor ? qr/&cursor=[^&]/ : qr/&startIndex=\d/, $by_cursor ? 'by cursors' : 'by indexes');
		is($sim->stats->{rejected}, 0, 'nothing is refused');
		is(refresh(), 'ok ' . USERS . '/0/0/0/0', 'a refresh');
		is(difference(), 0, 'makes the target equal');
		like(refresh(), qr{^ok 0/0/\d+/0/0$}, 'the next writes nothing');
		is(last_run(), 'incremental', 'and lists nothing');
		$sim->update('index/7', { name => 'Changed' });
		like(refresh(), qr{^ok 0/1/\d+/0/0$}, 'a change');
		$sim->remove('index/8');
		like(refresh(), qr{^ok 0/0/\d+/1/0$}, 'a deletion');
		is(tombstones(), id_of(8), 'of nobody else');
	}
}

# cursors do not shift
service('cursors', ", page_size '20'", users => USERS, set => 'paging=cursor');
refresh();
$sim->fault({ match => 'list', after => 4, mutate => { delete_index => [ 1 .. 5 ], create => { name => 'New' } } });
is(lacking(split /\n/, sql('SELECT id FROM cursors.users')) <= 1, 1, 'who comes and goes hides nobody');
$sim->clear_faults;
refresh("mode => 'full'");
my $tombstones = tombstones();
for my $case (
	[ 'a cursor that has expired', { after => 3, trick => 'expired', times => FOREVER }, 'HV00L', 'code "expiredCursor".*HINT:  Larger pages' ],
	[ 'one that is forgotten', { after => 3, trick => 'forgotten', times => FOREVER }, 'HV00L', 'code "invalidCursor".*HINT:  If the service pages by index' ],
	[ 'one that is lost', { after => 3, trick => 'lost_cursor', times => FOREVER }, 'HV00M', 'another number of users than its totalResults' ],
	[ 'one that is too long', { after => 1, trick => 'long_cursor', times => FOREVER }, 'HV00M', 'the cursor of the next page is too long' ],
	[ 'a page that comes again', { after => 3, repeat_page => $true, times => FOREVER }, 'HV00M', 'another number of users than its totalResults' ])
{
	my ($name, $fault, $end, $text) = @$case;

	$sim->fault({ match => 'list', %$fault });
	is(refresh("mode => 'full'"), $end, "$name: the run fails") or diag($said);
	like($said, qr/$text/s, "$name: for this reason");
	is(tombstones(), $tombstones, "$name: nobody is marked");
	$sim->clear_faults;
}

# a service that does not tell how many users there are
service('untold', ", page_size '20'", users => USERS, set => [ 'paging=cursor', 'total=none' ]);
scan_is_whole('no total');
like($session->ask('SELECT count(*) FROM untold.users'), qr/ERROR:  HV00M.*no totalResults.*HINT:  .*ADD paging 'cursor'/s, 'no count: an error that tells what mends it');
sql("ALTER SERVER untold OPTIONS (ADD paging 'cursor')");
is(sql('SELECT count(*) FROM untold.users'), USERS, 'with the option users are counted here');
is(refresh(), 'ok ' . USERS . '/0/0/0/0', 'a refresh');
$sim->remove('index/8');
is(refresh("mode => 'full'"), 'ok 0/0/' . (USERS - 1) . '/1/0', 'and a deletion');
is(refresh(), 'ok 0/0/' . (USERS - 1) . '/0/0', 'no filter can be trusted');
is(last_run(), 'full: the provider cannot be asked for changes alone', 'so all is listed');

# one that leads in a circle, with nothing to tell it by but itself
$sim->fault({ match => 'list', after => 3, repeat_page => $true, times => FOREVER });
is(refresh("mode => 'full'"), 'HV00M', 'a cursor that leads to itself');
like($said, qr/the provider repeated a cursor/, 'is found');
$sim->clear_faults;

like($session->ask("CREATE SERVER odd FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'scim', url 'https://scim.example.com', paging 'pages')"),
	qr/ERROR:  22023: .*paging.*HINT:  It is index or cursor/s, 'there are two ways of paging');
like($session->ask("CREATE SERVER nowhere FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'scim')"),
	qr/ERROR:  HV002: option "url" is required/, 'each service has its own url');

# ---- Filters

# a filter that is of no use costs a listing, and nothing else
for my $case (map { my $filters = $_; map { [ $filters, $_ ] } 'config=right', 'config=missing', 'says_filter=true' } 'off', 'missing', 'ignored', 'nothing', 'many')
{
	my ($filters, $set) = @$case;
	service("filters_$filters" . ++$targets, ", page_size '100'", users => USERS, set => [ "filters=$filters", $set ]);
	is(refresh(), 'ok ' . USERS . '/0/0/0/0', "filters $filters: the first refresh");
	is(refresh(), 'ok 0/0/' . USERS . '/0/0', 'the next writes nothing');
	is(last_run(), 'full: the provider cannot be asked for changes alone', 'and lists all');
	$sim->update('index/20', { name => 'Ada King' });
	is(refresh(), 'ok 0/1/' . (USERS - 1) . '/0/0', 'a change is found');
	$sim->update('index/21', { name => 'Grace King' });
	like(refresh("mode => 'incremental'"), qr{^ok 0/1/\d+/0/0$}, 'also where a listing is not wanted');
	$late = sql("SELECT max(updated_at) FROM $server.users");
	is(sql("SELECT name FROM $server.users WHERE updated_at >= '$late'"), 'Grace King', 'and by a query');
}

# users without a time of change
for my $times ('none', 'some')
{
	service("times_$times", ", page_size '100'", users => USERS, set => "times=$times");
	is(refresh(), 'ok ' . USERS . '/0/0/0/0', "times of $times: the first refresh");
	is(refresh(), 'ok 0/0/' . USERS . '/0/0', 'the next writes nothing');
	$sim->update('index/30', { name => 'Untimed' });
	is(refresh(), 'ok 0/1/' . (USERS - 1) . '/0/0', 'a change is found');
	is(sql("SELECT name FROM $target WHERE id = '" . id_of(30) . "'"), 'Untimed', 'and written');
}
# who comes without one, and is changed, among others who have it
service('untimed', '', users => USERS);
refresh();
$sim->create({ name => 'Odd', email => 'odd@example.com', state => 'untimed' });
like(refresh(), qr{^ok 1/0/\d+/0/0$}, 'one who has no time of change comes');
$sim->update('index/' . USERS, { name => 'Odd Again', state => 'untimed' });
like(refresh(), qr{^ok 0/1/\d+/0/0$}, 'and is changed: no filter would have found that');
is(sql("SELECT name FROM $target WHERE email = 'odd\@example.com'"), 'Odd Again', 'it is written');
is(last_run(), 'full: not all users have a time of change', 'by a listing');

# times with offsets, compared as times or as text
for my $zone ('+00:00', '+05:30', '-11:00', '+14:00')
{
	for my $filters ('on', 'text')
	{
		service('zone' . ++$targets, '', users => 40, set => [ "zone=$zone", "filters=$filters" ]);
		is(refresh(), 'ok 40/0/0/0/0', "times with $zone, filters $filters: the first refresh");
		$sim->update('index/3', { name => 'Zoned' });
		like(refresh(), qr{^ok 0/1/\d+/0/0$}, 'a change is found');
		$sim->update('index/4', { name => 'Zoned, too' });
		like(refresh(), qr{^ok 0/1/\d+/0/0$}, 'and one a moment later');
		is(last_run(), 'incremental', 'by a list of changes');
		is(difference(), 0, 'the target equals the directory');
	}
}

# ---- Followed

for my $filters ('on', 'off')
{
	service("followed_$filters", ", page_size '200'", users => USERS, set => "filters=$filters");
	refresh();
	$sim->update('index/20', { name => 'Followed' });
	$sim->reset_stats;
	like($session->ask("CALL neon_auth.follow_users_sync('$server', every => '200ms', during => '4s', target => '$target')"), qr/^(?!.*ERROR)/s, "filters $filters: it can be followed");
	is(sql("SELECT name FROM $target WHERE id = '" . id_of(20) . "'"), 'Followed', 'and a change arrives');
	cmp_ok($sim->stats->{list}, '<=', 50, 'the directory is not listed again and again');
}

# ---- What a service says of itself

# [ name, settings of the service, what its listing is asked with in the end ]
for my $case (
	[ 'nothing', ['config=missing'], qr/&startIndex=\d/ ],
	[ 'nothing, with cursors', [ 'config=missing', 'paging=cursor' ], qr/&cursor=[^&]/ ],
	[ 'nothing, with both', [ 'config=missing', 'paging=both' ], qr/&startIndex=\d/ ],
	[ 'that it has both', ['paging=both'], qr/^(?!.*startIndex).*&cursor=[^&]/ ],
	[ 'that it has cursors alone', ['paging=cursor'], qr/&cursor=[^&]/ ],
	[ 'cursors that it refuses', ['says_cursor=true'], qr/&startIndex=\d/ ],
	[ 'cursors alone that it refuses', [ 'says_cursor=true', 'says_index=false' ], qr/&startIndex=\d/ ],
	[ 'cursors that it knows nothing of', [ 'says_cursor=true', 'paging=deaf' ], qr/&startIndex=\d/ ],
	[ 'nothing but these', [ 'says_cursor=true', 'says_index=false', 'paging=deaf' ], qr/&startIndex=\d/ ],
	[ 'no cursors, which it has', [ 'says_cursor=false', 'says_index=true', 'paging=cursor' ], qr/&cursor=[^&]/ ],
	[ 'no paging', [ 'says_cursor=false', 'says_index=false' ], qr/&startIndex=\d/ ],
	[ 'that it does not sort', ['says_sort=false'], qr/^(?!.*sortBy).*&startIndex=\d/ ],
	[ 'that nor does it, by cursor', [ 'sort=refused', 'paging=both' ], qr/^(?!.*sortBy).*&cursor=[^&]/ ],
	[ 'that it sorts, which it refuses', [ 'says_sort=true', 'sort=refused' ], qr/^(?!.*sortBy).*&startIndex=\d/ ],
	[ 'both of these wrong', [ 'says_sort=true', 'sort=missing', 'says_cursor=true' ], qr/^(?!.*sortBy).*&startIndex=\d/ ],
	[ 'a page that is smaller', [ 'says_most=7', 'most=7' ], qr/count=7&/ ],
	[ 'that of filters', [ 'says_results=5', 'most=5', 'says_most=7' ], qr/count=5&/ ],
	[ 'pages of one user', ['says_most=1'], qr/count=2&/ ],
	[ 'smaller pages by cursor', [ 'says_most=7', 'most=7', 'paging=both' ], qr/count=7&.*&cursor=[^&]/ ],
	[ 'a page that is larger', ['says_most=5000'], qr/count=20&/ ],
	[ 'no page', [ 'says_most=0', 'says_results=-1' ], qr/count=20&/ ],
	[ 'nonsense', [ 'says_most=1e99', 'says_results="many"', 'says_cursor="yes"', 'says_index=[]', 'says_sort=0', 'says_filter={}' ], qr/count=20&sortBy=id&startIndex=\d/ ],
	[ 'something that is not JSON', ['says_sort=false,'], qr/count=20&sortBy=id&startIndex=\d/ ])
{
	my ($name, $set, $asked) = @$case;

	service('says' . ++$targets, ", page_size '20'", users => USERS, set => $set);
	$sim->reset_stats;
	scan_is_whole("it says $name");
	like($sim->stats->{last_target}, $asked, 'it is listed so');
	is(refresh(), 'ok ' . USERS . '/0/0/0/0', 'a refresh');
	like(refresh(), qr{^ok 0/0/\d+/0/0$}, 'the next');
	like(last_run(), $name eq 'pages of one user' ? qr/^full: more has changed than a listing takes/ : qr/^incremental$/, 'lists what has changed');
	$sim->update('index/7', { name => 'Changed' });
	like(refresh(), qr{^ok 0/1/\d+/0/0$}, 'a change');
	$sim->remove('index/8');
	like(refresh(), qr{^ok 0/0/\d+/1/0$}, 'a deletion');
	is(tombstones(), id_of(8), 'of nobody else');
	is(difference(), 0, 'and the target equals the directory');
}

# who says that nothing can be filtered is not asked to
service('unfiltered', '', users => 40, set => 'says_filter=false');
refresh();
is(refresh(), 'ok 0/0/40/0/0', 'no filters: the next refresh');
is(last_run(), 'full: the provider cannot be asked for changes alone', 'lists all');
is($sim->asked, '2 list, 2 other', 'and asks for no counts');

# a page that is full is the last one where there are cursors alone
for my $option ('', ", paging 'cursor'")
{
	service('full' . ++$targets, ", page_size '20'$option", users => 20, set => 'paging=cursor');
	scan_is_whole("as many users as a page has, by cursor$option");
	is($sim->stats->{rejected}, 0, 'nothing is refused');
}

# with the option the service is taken for what it does, and not for what it says
service('opted', ", page_size '20'", users => USERS, set => [ 'says_sort=false', 'says_filter=false', 'says_most=7', 'order=moving' ]);
like($session->ask('SELECT id FROM opted.users'), qr/ERROR:  HV00M/, 'one that says that it does not sort, moves, and does sort: no listing');
sql("ALTER SERVER opted OPTIONS (ADD paging 'index')");
scan_is_whole('with the option');
is($sim->stats->{other}, 1, 'it is not asked any more');
is(refresh(), 'ok ' . USERS . '/0/0/0/0', 'a refresh');
is($sim->asked, '15 list', 'nor for that');

# one that refuses pages of that size, and does not say so
service('small_pages', ", page_size '20'", users => USERS, set => 'most=7');
like($session->ask('SELECT id FROM small_pages.users'), qr/ERROR:  HV00L.*code "invalidCount".*HINT:  Ask for pages as small/s, 'a page that is too large, untold: an error that tells what mends it');

# whatever is answered where there is no such resource
service('resource', ", page_size '20'", users => USERS, set => 'paging=both');
refresh();
for my $case (
	(map { [ "status $_", { status => $_, body => '{"sort":{"supported":false}}' } ] } 204, 400, 403, 404, 405, 406, 410, 500, 501),
	[ 'a redirect', { status => 302, headers => { Location => 'https://login.example.com/' } } ],
	[ 'a page for people', { status => 200, body => '<!doctype html><html></html>', content_type => 'text/html' } ],
	[ 'an empty reply', { status => 200, body => '' } ],
	[ 'a list', { status => 200, body => '[]' } ],
	[ 'half of it', { status => 200, body => '{"pagination":{"cursor":true' } ],
	[ 'an error of SCIM', { status => 200, body => $json->encode({ schemas => ['urn:ietf:params:scim:api:messages:2.0:Error'], status => '404' }) } ],
	[ 'a page of users', { status => 200, body => '{"totalResults":0,"Resources":[]}' } ],
	[ 'too many requests, once', { status => 429, headers => { 'Retry-After' => '0' } } ],
	[ 'a service that is busy once', { status => 503 } ])
{
	my ($name, $fault) = @$case;

	$sim->fault({ match => 'other', %$fault });
	scan_is_whole("$name for what it says of itself");
	$sim->clear_faults;
	$sim->fault({ match => 'other', %$fault });
	is(refresh("mode => 'full'"), 'ok 0/0/' . USERS . '/0/0', 'a full refresh writes nothing');
	$sim->clear_faults;
	$sim->fault({ match => 'other', %$fault });
	like(refresh(), qr{^ok 0/0/\d+/0/0$}, 'nor does the next one');
	is(last_run(), 'incremental', 'which lists changes');
	$sim->clear_faults;
}
for my $case ([ 401, '28000' ], [ 503, 'HV00L' ])
{
	my ($status, $end) = @$case;

	$sim->fault({ match => 'other', times => FOREVER, status => $status, body => '{"detail":"for ada@example.com"}' });
	is(refresh("mode => 'full'"), $end, "status $status for it is an error");
	unlike($said, qr/sk_test_x|ada\@example/, 'without a secret, and anything of the reply');
	$sim->clear_faults;
}
is(sql("SELECT string_agg(concat_ws(' ', part, verdict), ', ') FROM neon_auth.check_server('resource') WHERE part IN ('list', 'user', 'count')"),
	'list ok, user ok, count ok', 'check_server is content with a service that says what it can do');
$sim->fault({ match => 'other', times => 2, status => 404, body => '' });
is(sql("SELECT string_agg(concat_ws(' ', part, verdict), ', ') FROM neon_auth.check_server('resource') WHERE part IN ('list', 'user', 'count')"),
	'list ok, user ok, count ok', 'and with one that does not');
$sim->clear_faults;

# ---- Credentials and errors

service('guarded', '', users => 3);
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER guarded OPTIONS (SET api_key 'another_key')");
my $told = $session->ask('SELECT id FROM guarded.users');
like($told, qr/ERROR:  28000: .*HINT:  /s, 'another key: an error, with what mends it');
unlike($told, qr/another_key|Authorization failed/, 'which does not tell the key, nor what the service says');
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER guarded OPTIONS (SET api_key 'sk_test_x')");
is(sql('SELECT count(id) FROM guarded.users'), 3, 'the right one');
for my $type ('invalidCount', 'tooMany')
{
	$sim->fault({ match => 'list', times => FOREVER, status => 400, body => $json->encode({ %$error, status => '400', scimType => $type, detail => 'for ada@example.com' }) });
	$told = $session->ask('SELECT id FROM guarded.users');
	like($told, qr/ERROR:  HV00L.*code "$type".*HINT:  .*ALTER SERVER guarded OPTIONS \(ADD page_size '50'\)/s, "$type tells what mends it");
	unlike($told, qr/ada\@example/, 'and nothing of the reply');
	$sim->clear_faults;
}
$sim->fault({ match => 'list', times => FOREVER, status => 400, body => $json->encode({ %$error, status => '400', scimType => 'x y' }) });
unlike($session->ask('SELECT id FROM guarded.users'), qr/x y/, 'another type is not told');
$sim->clear_faults;
is(sql("SELECT string_agg(concat_ws(' ', part, verdict), ', ') FROM neon_auth.check_server('guarded') WHERE verdict <> 'none' AND part <> 'clock'"),
	'url ok, connection ok, credential ok, list ok, user ok, count ok', 'check_server is content');
my $one = id_of(1);
refresh();
is(sql("SELECT id FROM neon_auth.sync_user('guarded', '$one', target => '$target')"), $one, 'a single user');
$sim->remove('index/1');
is(sql("SELECT deleted_at IS NOT NULL FROM neon_auth.sync_user('guarded', '$one', target => '$target')"), 't', 'who is gone');

# ---- What users write about themselves

my $deep = '[' x 90 . ']' x 90;
$sim->create_raw(qq({"id":"poison","userName":"a\\u0000b","x":$deep,"meta":{"lastModified":"2025-01-01T00:20:00Z"}}), id => 'poison', created_at => 1735690800000, updated_at => 1735690800000);
my @scanned = sort split /\n/, $session->ask('SELECT id FROM guarded.users') =~ s/^.*(WARNING|DETAIL|HINT|LOCATION): .*\n//mgr;
is_deeply(\@scanned, [ grep { $_ ne 'poison' } live_ids() ], 'one whom PostgreSQL cannot hold hides nobody');

done_testing();
