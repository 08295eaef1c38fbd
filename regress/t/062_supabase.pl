# Supabase Auth, simulated: what each of its pitfalls would do to users, and that it
# does not.  Its list has only page numbers, so a deletion in the part already read
# hides somebody from whoever counts pages; who is created at the same time has no
# order; who is deleted softly stays; and a list is of one audience alone.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/lib";

use HTTP::Tiny;
use JSON::PP;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

# A project behind the gateway, whose API is not at the root.
package Hosted;
our @ISA = ('NeonAuth::Test::Sim');
sub url { my ($self) = @_; return $self->SUPER::url . '/auth/v1'; }

package main;

use constant USERS => 150;
use constant FOREVER => -1;

my $json = JSON::PP->new->utf8->canonical;
my $node = new_node('supabase', conf => "timezone = 'UTC'\n");
my $session = new_session($node);
my ($server, $target, $said);
my (@urls, $targets);

# ---- Helpers

# A project with its server; both are the current ones from now on.
sub project
{
	my ($name, $options, %flags) = @_;
	my $sim = bless start_sim(provider => 'supabase', %flags), 'Hosted';

	push @urls, $sim->url;
	allow_urls($node, @urls);
	$server = $name;
	add_server($node, $sim, name => $name, schema => $name, options => $options);
	return $sim;
}

sub sql { return $session->must($_[0]); }

# "status inserted/updated/unchanged/tombstoned/held", or the SQLSTATE.
sub refresh
{
	$said = $session->ask("CALL neon_auth.refresh_users_sync('$server', target => '$target')");
	return outcome_of($said, 0 .. 4);
}

# A new target, equal to the directory.
sub fresh
{
	($server) = @_ if @_;
	$target = "$server.t" . ++$targets;
	return refresh();
}

sub tombstones { return sql("SELECT coalesce(string_agg(id, ' ' ORDER BY id COLLATE \"C\"), '') FROM $target WHERE deleted_at IS NOT NULL"); }
sub last_note { return sql("SELECT note FROM neon_auth.sync_run WHERE target = '$target'::regclass ORDER BY run_id DESC LIMIT 1"); }
sub id_of { my ($sim, $index) = @_; return $sim->user("index/$index")->{id}; }

# How many rows differ between the target and the directory.
sub difference
{
	my $columns = 'id, name, email, raw_json, created_at, updated_at, deleted_at';
	my ($here, $there) = ("SELECT $columns FROM $target", "SELECT $columns FROM $server.users");

	return sql("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

# A query has the same rows as without what it can ask for alone, and asks this.
sub same_is
{
	my ($sim, $name, $query, $asked) = @_;
	my $plain = sql("SET neon_auth_fdw.pushdown = off; $query");

	sql('SET neon_auth_fdw.pushdown = on');
	$sim->reset_stats;
	is(sql($query), $plain, "$name: rows");
	is($sim->asked, $asked, "$name: requests") if defined $asked;
	is($sim->stats->{rejected}, 0, "$name: nothing is refused");
	return $plain;
}

# The ids that a reader gets who takes one page after the other, until one is short.
sub naive_ids
{
	my ($sim, $per_page) = @_;
	my (@ids, @users);

	for (my $page = 1; ; $page++)
	{
		my $reply = HTTP::Tiny->new->get($sim->url . "/admin/users?page=$page&per_page=$per_page&sort=created_at%20asc",
			{ headers => { Authorization => 'Bearer ' . $sim->key, apikey => $sim->key } });
		@users = @{ $json->decode($reply->{content})->{users} };
		push @ids, map { $_->{id} } @users;
		last if @users < $per_page;
	}
	return @ids;
}

sub live_ids { my ($sim) = @_; return grep { $_ } map { $_->{deleted} ? undef : $_->{id} } @{ $sim->users }; }

# How many users a list of ids lacks.
sub lacking
{
	my ($sim, @ids) = @_;
	my %has = map { $_ => 1 } @ids;

	return scalar grep { !$has{$_} } live_ids($sim);
}

# ---- Columns

my $small = project('small', '', users => 0);

sub put
{
	my ($number, $members) = @_;
	my $ms = 1767225600000 + $number * 1000;
	my $user = {
		id => sprintf('00000000-0000-4000-8000-%012d', $number), aud => 'authenticated', email => '', user_metadata => {},
		created_at => sprintf('2026-01-01T00:00:%02d.123456Z', $number), updated_at => sprintf('2026-02-01T00:00:%02dZ', $number), %$members };

	$small->create_raw($json->encode($user), created_at => $ms, updated_at => $ms);
	return;
}

is(fresh(), 'ok 0/0/0/0/0', 'an empty directory');
put(1, { email => 'ada@example.com', user_metadata => { full_name => 'Ada Lind', name => 'Ada', display_name => 'A' } });
put(2, { email => 'zoe@example.com', user_metadata => { full_name => '', name => 'Zoe', display_name => 'Z' } });
put(3, { phone => '15550100', user_metadata => { name => undef, display_name => 'Grace' } });
put(4, { email => undef, is_anonymous => JSON::PP::true });
put(5, { email => 'lin@example.com', user_metadata => { full_name => { first => 'Lin' } }, banned_until => '2126-01-01T00:00:00Z' });
put(6, { email => 'dGhpcyBpcyBub2JvZHk', deleted_at => '2026-02-02T00:00:00.5Z' });
is(sql('SELECT right(id, 1), name, email, deleted_at FROM small.users ORDER BY created_at'), <<'ROWS' =~ s/\n\z//r, 'names, addresses and deletions');
1|Ada Lind|ada@example.com|
2|Zoe|zoe@example.com|
3|Grace||
4|||
5||lin@example.com|
6||dGhpcyBpcyBub2JvZHk|2026-02-02 00:00:00.5+00
ROWS
is(sql("SELECT count(*) FROM small.users WHERE email IS NULL"), 2, 'no address is none, not an empty one');
is(sql("SELECT min(created_at), max(updated_at) FROM small.users"), '2026-01-01 00:00:01.123456+00|2026-02-01 00:00:06+00', 'times, to the microsecond');

# ---- What is asked

my $sim = project('supabase', ", page_size '20'", users => USERS);
my ($first, $last) = (id_of($sim, 0), id_of($sim, USERS - 1));

is(sql('SELECT count(DISTINCT id) FROM supabase.users WHERE name IS NOT NULL OR name IS NULL'), USERS, 'all users, over pages of 20');
is(sql(q(SELECT count(*) FROM supabase.users WHERE created_at = (raw_json ->> 'created_at')::timestamptz
	AND updated_at = (raw_json ->> 'updated_at')::timestamptz AND deleted_at IS NULL)), USERS, 'with their times');
is($sim->stats->{rejected}, 0, 'nothing is refused');
same_is($sim, 'one user', "SELECT id, name, email FROM supabase.users WHERE id = '$first'", '1 get');
same_is($sim, 'two users', "SELECT id, name FROM supabase.users WHERE id IN ('$first', '$last') ORDER BY id", '2 get');
is(same_is($sim, 'an id that nobody has', "SELECT id FROM supabase.users WHERE id = '3f2504e0-4f89-41d3-9a0c-0305e82c3301'", '1 get'), '', 'no user');
is(same_is($sim, "an id that is none: $_", "SELECT id FROM supabase.users WHERE id = '$_'", 'nothing'), '', 'no user, and no error')
  for ('', 'user_1', uc $first, "{$first}", "$first ", $first =~ s/-//gr, '..', '../users', "urn:uuid:$first");
is(same_is($sim, 'the number of users', 'SELECT count(*) FROM supabase.users', '1 count'), USERS, 'is told by one request');
same_is($sim, 'the oldest', 'SELECT created_at, id FROM supabase.users ORDER BY created_at LIMIT 5', '1 list');
same_is($sim, 'the newest', 'SELECT created_at FROM supabase.users ORDER BY created_at DESC LIMIT 5', '1 list');
same_is($sim, 'the newest over pages', 'SELECT created_at FROM supabase.users ORDER BY created_at DESC LIMIT 70');
same_is($sim, 'all in order', 'SELECT created_at FROM supabase.users ORDER BY created_at');

# addresses are found by a pattern: no more and no less than with =
my ($email) = sql('SELECT email FROM supabase.users WHERE email IS NOT NULL ORDER BY created_at LIMIT 1 OFFSET 100');
is(same_is($sim, 'by address', "SELECT email FROM supabase.users WHERE email = '$email'", '1 list'), $email, 'one user');
like($sim->stats->{last_target}, qr/&filter=/, 'and asked for by a filter');
is(same_is($sim, "by address $_", "SELECT email FROM supabase.users WHERE email = '$_'"), '', 'nobody')
  for ('%@example.com', '_da@example.com', substr($email, 1), uc $email, 'nobody@example.com', 'a\\@example.com');
for my $odd ('back\\slash@example.com', 'end@example.com\\', 'per%cent@example.com', 'under_score@example.com', 'Upper@example.com', "quo'te+1\@example.com")
{
	$sim->create({ name => 'Odd', email => $odd });
	is(same_is($sim, "by address $odd", "SELECT email FROM supabase.users WHERE email = '" . $odd =~ s/'/''/gr . "'"), $odd, 'one user');
}
is(same_is($sim, 'by a name that looks like an address', "SELECT email FROM supabase.users WHERE email = 'odd'"), '', 'nobody');

# ---- Refreshes

my $count = USERS + 6;
is(fresh(), "ok $count/0/0/0/0", 'the first refresh');
is(difference(), 0, 'makes the target equal to the directory');
is(refresh(), "ok 0/0/$count/0/0", 'the next writes nothing');
is(sql("SELECT mode FROM neon_auth.sync_run WHERE target = '$target'::regclass ORDER BY run_id DESC LIMIT 1"), 'full', 'and is a full one');
$sim->update('index/20', { name => 'Ada King' });
$sim->update('index/21', { state => 'banned' });
is(refresh(), 'ok 0/2/' . ($count - 2) . '/0/0', 'a change and a ban');
is(sql("SELECT name FROM $target WHERE id = '" . id_of($sim, 20) . "'"), 'Ada King', 'are written');
my $gone = id_of($sim, 33);
$sim->remove('index/33');
$sim->reset_stats;
is(refresh(), 'ok 0/0/' . ($count - 1) . '/1/0', 'a hard deletion');
is(tombstones(), $gone, 'is marked');
is($sim->stats->{get}, 3, 'the user was asked for by id, and one who is there before and after');
$count--;

# soft deletion: the user stays, and is deleted
my $soft = id_of($sim, 50);
$sim->update('index/50', { state => 'deleted' });
is(sql("SELECT deleted_at = updated_at, name IS NULL, raw_json -> 'user_metadata' FROM supabase.users WHERE id = '$soft'"), 't|t|{}', 'one who is deleted softly');
is(sql('SELECT count(*) FROM supabase.users WHERE deleted_at IS NOT NULL'), 1, 'is in the list');
is(refresh(), 'ok 0/0/' . ($count - 1) . '/1/0', 'and by a refresh');
is(tombstones(), join(' ', sort $gone, $soft), 'marked');
is(sql("SELECT count(*) FROM $target t JOIN supabase.users u USING (id, updated_at) WHERE id = '$soft' AND t.deleted_at > u.deleted_at"), 1, 'not before the last refresh that saw it live, though that was long ago');
my $marked_at = sql("SELECT deleted_at FROM $target WHERE id = '$soft'");
is(refresh(), "ok 0/0/$count/0/0", 'once');
is(sql("SELECT deleted_at FROM $target WHERE id = '$soft'"), $marked_at, 'which stays');
$sim->update('index/50', { state => undef });
is(refresh(), 'ok 0/1/' . ($count - 1) . '/0/0', 'one who comes back');
is(tombstones(), $gone, 'is not marked any more');
$sim->update('index/50', { state => 'deleted' });
refresh();
$sim->remove('index/50');
is(refresh(), 'ok 0/0/' . ($count - 1) . '/0/0', 'one who goes for good after that');
is(tombstones(), join(' ', sort $gone, $soft), 'stays marked');
$count--;

# ---- Deletions while pages are read

# whoever counts pages loses a user for each deletion
my $naive = start_sim(provider => 'supabase', users => USERS);
bless $naive, 'Hosted';
$naive->fault({ match => 'list', after => 2, mutate => { delete_index => [ 3, 7 ] } });
is(lacking($naive, naive_ids($naive, 20)), 2, 'two deleted in the part already read: who counts pages lacks two others');

# [ how many, from which index on, after how many pages ]
for my $case ([ 1, 1, 1 ], [ 2, 2, 2 ], [ 9, 4, 4 ], [ 25, 60, 8 ])
{
	my ($many, $from, $after) = @$case;
	my @gone = (grep { !$sim->user("index/$_")->{deleted} } $from .. $from + 40)[ 0 .. $many - 1 ];
	my $all = (split m{/| }, fresh())[1];
	my @ids = sort map { id_of($sim, $_) } @gone;

	$sim->fault({ match => 'list', after => $after, mutate => { delete_index => \@gone } });
	is(refresh(), "ok 0/0/$all/0/0", "$many deleted while pages are read: a listing that has everybody");
	is(tombstones(), '', 'nobody is marked by it');
	is(refresh(), 'ok 0/0/' . ($all - $many) . "/$many/0", 'the next marks them');
	is(tombstones(), join(' ', @ids), 'and nobody else');
	is(difference() - @ids, 0, 'all others are as they are there');
	$sim->create({ name => "Fill $_" }) for 1 .. $many;
}

# nor does a scan miss somebody
$sim->fault({ match => 'list', after => 3, mutate => { delete_index => [ 10 .. 16 ] } });
my @scanned = split /\n/, sql('SELECT id FROM supabase.users');
is(lacking($sim, @scanned), 0, 'a scan while users are deleted has all who are left');
$sim->fault({ match => 'list', after => 2, mutate => { delete_index => [ 40 .. 44 ], create => { name => 'New' } } });
@scanned = split /\n/, sql('SELECT id FROM supabase.users ORDER BY created_at DESC');
my %scanned = map { $_ => 1 } @scanned;
is(scalar keys %scanned, scalar @scanned, 'one that begins with the newest while one comes has nobody twice');
is(lacking($sim, @scanned), 1, 'and lacks nobody else');

# everybody but a few
my $shrinking = project('shrinking', ", page_size '20'", users => 120);
$shrinking->fault({ match => 'list', after => 4, mutate => { delete_index => [ 0 .. 49 ] } });
@scanned = split /\n/, sql('SELECT id FROM shrinking.users');
is(lacking($shrinking, @scanned), 0, 'all that was read is deleted: the rest is found');

# ---- Users of the same time

my $ties = project('ties', ", page_size '50'", users => USERS, set => 'ties=moving');
$ties->create({ name => "Together $_", created_at => 1767225600000 }) for 1 .. 15;
my %naive = map { $_ => 1 } naive_ids($ties, 20);
cmp_ok(lacking($ties, keys %naive), '>', 0, 'users of the same time change their order: who counts pages lacks some');
for (1 .. 5)
{
	@scanned = sort split /\n/, sql('SELECT id FROM ties.users');
	is_deeply(\@scanned, [ sort(live_ids($ties)) ], 'a scan has all of them once');
	@scanned = sort split /\n/, sql('SELECT id FROM ties.users ORDER BY created_at DESC');
	is_deeply(\@scanned, [ sort(live_ids($ties)) ], 'so has one that begins with the newest');
}
is(fresh(), 'ok 165/0/0/0/0', 'so has a refresh');
is(refresh(), 'ok 0/0/165/0/0', 'and another');

# more of them than a page has
$ties->create({ name => "Import $_", created_at => 1767312000000 }) for 1 .. 120;
is(refresh(), 'HV00M', 'more of them than a page has, and another order each time: no complete listing');
like($said, qr/users created at the same time fill a page, and their order changed/, 'says the error');
is(tombstones(), '', 'nobody is marked');
sql("ALTER SERVER ties OPTIONS (SET page_size '200')");
like(refresh(), qr{^ok \d+/0/\d+/0/0$}, 'with larger pages it is one');
is(difference(), 0, 'and the target equals the directory');
my $import = project('import', ", page_size '20'", users => 10);
$import->create({ name => "Import $_", created_at => 1767225600000 }) for 1 .. 60;
is(fresh(), 'ok 70/0/0/0/0', 'so it is with small ones, as long as the order stays');
is(difference(), 0, 'and the target equals the directory');

# ---- Totals and ends

($server, my $live) = ('supabase', 0);
fresh();
$live = sql("SELECT count(*) FROM $target");
$gone = id_of($sim, 90);
$sim->remove('index/90');
$live--;
my $untouched = sql("SELECT md5(string_agg(concat(ctid, xmin), ' ' ORDER BY ctid)) FROM $target");

# [ name, fault of a list, what the run ends with, what the error says ]
for my $case (
	[ 'no total', { trick => 'no_total' }, 'HV00M', 'no header X-Total-Count' ],
	[ 'no total, later', { trick => 'no_total', after => 4 }, 'HV00M', 'no header X-Total-Count' ],
	[ 'a total that is none', { trick => 'bad_total' }, 'HV00M', 'no header X-Total-Count' ],
	[ 'more counted than there are', { add_total => 3, times => FOREVER }, 'HV00M', 'ended before the total' ],
	[ 'nobody, but a total', { body => '{"users":[],"aud":"authenticated"}', headers => { 'X-Total-Count' => '9' } }, 'HV00M', 'ended before the total' ],
	[ 'another order', { trick => 'newest_first', after => 1 }, 'HV00M', 'not in order of creation' ],
	[ 'another order from the start', { trick => 'newest_first', times => FOREVER }, 'HV00M', 'not in order of creation' ],
	[ 'a page again', { repeat_page => JSON::PP::true, after => 2, times => FOREVER }, 'HV00M', '' ],
	[ 'an error that came with 200', { body => '{"code":500,"error_code":"unexpected_failure","msg":"x"}' }, 'HV00M', 'no list of users' ],
	[ 'a bare list', { body => '[]', headers => { 'X-Total-Count' => '0' } }, 'HV00M', 'no JSON object' ],
	[ 'HTML', { body => '<html></html>', content_type => 'text/html' }, 'HV00M', 'not JSON' ],
	[ 'no such page', { status => 404 }, 'HV00L', '404' ],
	[ 'no right', { status => 403 }, '42501', '403' ],
	[ 'no server', { status => 500, times => FOREVER }, 'HV00L', '500' ])
{
	my ($name, $fault, $end, $text) = @$case;

	$sim->fault({ match => 'list', %$fault });
	is(refresh(), $end, "$name: the run fails");
	like($said, qr/$text/, "$name: with a reason");
	is(tombstones(), '', "$name: nobody is marked");
	is(sql("SELECT md5(string_agg(concat(ctid, xmin), ' ' ORDER BY ctid)) FROM $target"), $untouched, "$name: nothing is written");
	$sim->clear_faults;
}

# [ name, fault of a list ] that cost nobody anything
for my $case (
	[ 'one counted too many once', { add_total => 1, after => 9 } ],
	[ 'one counted too few once', { add_total => -1, after => 3 } ],
	[ 'a page with half of its users', { truncate_page => 10, after => 3 } ],
	[ 'a page with one', { truncate_page => 1 } ],
	[ 'too many requests, and no Retry-After', { status => 429, after => 2 } ])
{
	my ($name, $fault) = @$case;

	$sim->fault({ match => 'list', %$fault });
	@scanned = sort split /\n/, sql('SELECT id FROM supabase.users');
	is_deeply(\@scanned, [ sort(live_ids($sim)) ], "$name: a scan has all users once");
	$sim->clear_faults;
}

# a server that gives no more than 15 at once, whatever it is asked for
my $capped = project('capped', ", page_size '100'", users => USERS, set => 'most=15');
my $rows = $session->ask('SELECT id FROM capped.users');
ok($rows =~ /ERROR:  HV00M/ || lacking($capped, split /\n/, $rows) == 0, 'pages that are cut: all users, or an error');
$rows = $session->ask('SELECT id FROM capped.users LIMIT 10');
is(scalar(split /\n/, $rows), 10, 'what fits is told');

# ---- What counts as gone

$server = 'supabase';
my $not_found = { code => 404, error_code => 'user_not_found', msg => 'User not found' };

for my $case (
	[ 'an id that is none', 404, $json->encode({ %$not_found, error_code => 'validation_failed' }) ],
	[ 'a version without codes', 404, '{"code":404,"msg":"User not found"}' ],
	[ 'the form of 2024', 404, '{"code":"user_not_found","message":"User not found"}' ],
	[ 'a gateway', 404, '{"message":"no Route matched with those values"}' ],
	[ 'no JSON', 404, '404 page not found' ],
	[ 'nothing', 404, '' ],
	[ 'a key of somebody who is gone', 403, $json->encode($not_found) ],
	[ 'another user', 200, $json->encode({ id => $first }) ])
{
	my ($name, $status, $body) = @$case;

	$sim->fault({ match => 'get', after => 1, times => FOREVER, status => $status, body => $body });
	like(refresh(), qr{^(HV00M|42501|held 0/0/\d+/0/[1-9]\d*)$}, "$name: the run fails, or holds who is missing");
	is(tombstones(), '', "$name: nobody is marked");
	$sim->clear_faults;
}
is(refresh(), "ok 0/0/$live/1/0", 'after all that');
is(tombstones(), $gone, 'the one who is gone is marked');

# ---- Audiences

fresh();
my @others = sort map { id_of($sim, $_) } 100 .. 102;
$sim->update("index/$_", { state => 'aud:tenant' }) for 100 .. 102;
is(sql('SELECT count(id) FROM supabase.users') + 3, $live, 'users of another audience are not in the list');
like(refresh(), qr{^ok 0/0/\d+/0/0$}, 'a refresh does not see them');
is(tombstones(), '', 'but they are found by id, and nobody is marked');
is(last_note() // '', '', 'nor held');
add_server($node, $sim, name => 'tenant', schema => 'tenant', options => ", audience 'tenant'");
is(sql('SELECT id FROM tenant.users ORDER BY id COLLATE "C"'), join("\n", @others), 'a server of that audience has them alone');
is(sql('SELECT count(*) FROM tenant.users'), 3, 'and counts them alone');
is(fresh('tenant'), 'ok 3/0/0/0/0', 'as a refresh does');
$sim->fault({ match => 'list', times => FOREVER, trick => 'no_audience' });
is(refresh(), 'HV00M', 'a list of another audience than asked for is none');
like($said, qr/another audience/, 'says the error');
is(tombstones(), '', 'nobody is marked');
$sim->clear_faults;
$sim->update("index/$_", { state => undef }) for 100 .. 102;
is(refresh(), 'held 0/0/0/0/3', 'all of them leave that audience: an empty directory is held');
is(tombstones(), '', 'nobody is marked');
$server = 'supabase';

# ---- What users write about themselves

my $deep = '[' x 90 . ']' x 90;
my $poisoned = '11111111-1111-4111-8111-111111111111';
my $poison = qq({"id":"$poisoned","user_metadata":{"full_name":"a\\u0000b","x":$deep},"created_at":"2025-01-01T00:20:00Z","updated_at":"2025-01-01T00:20:00Z"});
$sim->create_raw($poison, id => $poisoned, created_at => 1735690800000, updated_at => 1735690800000);
@scanned = sort split /\n/, $session->ask('SELECT id FROM supabase.users') =~ s/^.*(WARNING|DETAIL|HINT|LOCATION): .*\n//mgr;
is_deeply(\@scanned, [ sort(grep { $_ ne $poisoned } live_ids($sim)) ], 'one whom PostgreSQL cannot hold hides nobody');
$sim->remove($poisoned);

# ---- Who was asked for alone

# has identities, too, which the list does not have: that is no change
my $recent = project('recent', '', users => 5, clock => time() * 1000);
fresh();
$recent->update('index/2', { name => 'Just Now' });
my $changed = id_of($recent, 2);
sql("SELECT FROM neon_auth.sync_user('recent', '$changed', target => '$target')");
is(sql("SELECT name, raw_json -> 'identities' FROM $target WHERE id = '$changed'"), 'Just Now|[]', 'a user who was asked for alone');
is(refresh(), 'ok 0/0/5/0/0', 'is the same one in the list');

# ---- Keys and servers

# [ name, key, options of the simulator, SQLSTATE, text ]
for my $case (
	[ 'another key', 'sb_secret_other', '', '28000', '401' ],
	[ 'a key of another role', 'sk_test_x', 'role=anon', '42501', 'not_admin.*HINT:  Set a secret key or the service_role key' ],
	[ 'another key, without a gateway', 'sb_secret_other', 'prefix=', '42501', 'bad_jwt.*HINT:  Set a secret key or the service_role key' ])
{
	my ($name, $key, $set, $state, $text) = @$case;
	my $guarded = start_sim(provider => 'supabase', users => 3, $set ? (set => $set) : ());
	my $schema = 'guarded' . ++$targets;

	bless $guarded, 'Hosted' unless $set eq 'prefix=';
	push @urls, $guarded->url;
	allow_urls($node, @urls);
	add_server($node, $guarded, name => $schema, schema => $schema, mapping => "api_key '$key'");
	my $error = $session->ask("SELECT id FROM $schema.users");
	like($error, qr/ERROR:  $state: .*$text/s, "$name: an error, with what mends it");
	unlike($error, qr/$key/, "$name: which does not tell the key");
	sql("ALTER USER MAPPING FOR CURRENT_USER SERVER $schema OPTIONS (SET api_key 'sk_test_x')");
	is($session->ask("SELECT count(id) FROM $schema.users") =~ /^3$/m ? 3 : 0, $set eq 'role=anon' ? 0 : 3, "$name: the right one");
}
like($session->ask("CREATE SERVER nowhere FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'supabase')"),
	qr/ERROR:  HV002: option "url" is required/, 'each project has its own url');
like($session->ask("CREATE SERVER tiny FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'supabase', url 'https://a.example.com', page_size '19')"),
	qr/HINT:  .*takes 20 to 1000/, 'pages are not too small to overlap');

# the key goes to the API of a hosted project alone
for my $url ('https://abc.supabase.co', 'https://abc.supabase.co/functions/v1', 'https://a.b.supabase.co/auth/v1', 'http://abc.supabase.co/auth/v1', 'https://abc.supabase.co/auth/v11')
{
	$session->ask("DROP SERVER IF EXISTS elsewhere CASCADE; CREATE SERVER elsewhere FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'supabase', url '$url');
		CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere OPTIONS (api_key 'x'); CREATE SCHEMA IF NOT EXISTS elsewhere;
		IMPORT FOREIGN SCHEMA directory FROM SERVER elsewhere INTO elsewhere");
	like($session->ask('SELECT id FROM elsewhere.users'), qr/ERROR:  \w{5}: .*allowed_urls/s, "$url has to be allowed");
}
is($sim->stats->{rejected}, 0, 'nothing was refused');

done_testing();
