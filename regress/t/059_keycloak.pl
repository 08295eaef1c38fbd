# Keycloak: a realm that is paged by offsets, with pages that are not full in the
# middle, rows that vanish by being looked at, and pages that are empty for other
# reasons than that nobody is left; tokens that live shortly, and roles that let a
# client see nobody.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

use constant USERS => 150;

my $mapping = "client_id 'client', client_secret 'sk_test_x'";
my $node = new_node('keycloak', conf => "timezone = 'UTC'\n");
my (@urls, $session, $sim, $server, $target, $said);

# ---- Helpers

sub sql { return $session->must($_[0]); }

# A realm with its server; both are the current ones from now on.
sub realm
{
	my ($name, $settings, %flags) = @_;
	my $realm = 'demo';

	for (@$settings)
	{
		$realm = $1 if /^realm=(.*)/;
	}
	$sim = start_sim(provider => 'keycloak', users => USERS, set => $settings, %flags);
	push @urls, $sim->url;
	allow_urls($node, @urls);
	$server = $name;
	$target = "$name.users_sync";
	add_server($node, $sim, name => $name, schema => $name, mapping => $mapping, options => ", realm '$realm', page_size '20'");
	$session = new_session($node);
	return $sim;
}

# "status inserted/updated/unchanged/tombstoned/held/quarantined", or the SQLSTATE.
sub refresh
{
	my ($more) = @_;

	$said = $session->ask("CALL neon_auth.refresh_users_sync('$server', target => '$target'" . ($more ? ", $more" : '') . ')');
	return outcome_of($said, 0 .. 5);
}

sub tombstones { return sql("SELECT coalesce(string_agg(id, ' ' ORDER BY id), '') FROM $target WHERE deleted_at IS NOT NULL"); }
sub note_of_run { return sql("SELECT note FROM neon_auth.sync_run WHERE target = '$target'::regclass ORDER BY run_id DESC LIMIT 1"); }

# How many rows differ, but for when they changed.
sub difference
{
	my $columns = 'id, name, email, raw_json, created_at';
	my ($here, $there) = ("SELECT $columns FROM $target WHERE deleted_at IS NULL", "SELECT $columns FROM $server.users");

	return sql("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

# Indexes of users by their place in the order of the realm.
sub in_order
{
	return map { $sim->user($_)->{index} } split /\n/, sql("SELECT id FROM $server.users");
}

sub set_state { my ($state, @indexes) = @_; $sim->update("index/$_", { state => $state }) for @indexes; return; }
sub number_of_users { return sql("SELECT count(*) || ' ' || count(DISTINCT id) FROM $server.users"); }

# The SQL prints these rows, and asks this of the simulator.
sub query_is
{
	my ($name, $sql, $rows, $asked) = @_;

	$sim->reset_stats;
	is($session->ask($sql), $rows, "$name: rows");
	is($sim->asked, $asked, "$name: requests") if defined $asked;
	is($sim->stats->{rejected}, 0, "$name: nothing that Keycloak would refuse");
	return;
}

# ---- Queries

realm('keycloak', ['token_seconds=60']);
my $ada = $sim->create({ first_name => 'Ada', last_name => 'Lind', username => 'ada', email => 'ada@example.com', created_at => 1_700_000_000_123 })->{id};
my $grace = $sim->create({ username => 'grace', created_at => 1_700_000_001_000 })->{id};
my $lin = $sim->create({ last_name => 'Lin', username => 'lin', email => 'o\'lin+%_*&#@example.com', state => 'undated' })->{id};
my $columns = 'id, name, email, created_at, updated_at, deleted_at';

query_is('a user', "SELECT $columns FROM keycloak.users WHERE id = '$ada'", "$ada|Ada Lind|ada\@example.com|2023-11-14 22:13:20.123+00||", '1 get, 1 other');
is($sim->stats->{tokens}, 1, 'a token was got for it');
query_is('without name and address', "SELECT $columns FROM keycloak.users WHERE id = '$grace'", "$grace|grace||2023-11-14 22:13:21+00||", '1 get');
query_is('without time of creation', "SELECT $columns FROM keycloak.users WHERE id = '$lin'", "$lin|Lin|o'lin+%_*&#\@example.com|||", '1 get');
query_is('what else is there', "SELECT raw_json ->> 'username', raw_json ->> 'enabled', raw_json -> 'access' ->> 'view' FROM keycloak.users WHERE id = '$ada'", 'ada|true|true', '1 get');
query_is('nobody has the id', "SELECT name FROM keycloak.users WHERE id = '00000000-0000-4000-8000-000000000000'", '', '1 get');
query_is("an odd id, $_", "SELECT name FROM keycloak.users WHERE id = '$_'", '', '1 get')
  for 'x', 'a b', 'a?first=1', 'a%2Fb', '..%2F', 'a;b', 'é', 'a#b', '...', 'counts';
query_is("an id that nobody can have, $_", "SELECT name FROM keycloak.users WHERE id = '$_'", '', 'nothing')
  for '', '.', '..', 'count', 'profile', 'a/b', 'x' x 256;
query_is('two ids', "SELECT count(*) FROM keycloak.users WHERE id IN ('$ada', '$grace')", 2, '2 get');
query_is('an address', "SELECT name FROM keycloak.users WHERE email = 'ada\@example.com'", 'Ada Lind', '1 list');
query_is('an odd one', "SELECT name FROM keycloak.users WHERE email = 'o''lin+%_*&#\@example.com'", 'Lin', '1 list');
query_is('in another case', "SELECT name FROM keycloak.users WHERE email = 'Ada\@example.com'", '', '1 list');
query_is('part of one', "SELECT name FROM keycloak.users WHERE email = 'da\@example.com'", '', '1 list');
query_is('a few users', "SELECT count(*) FROM (SELECT FROM keycloak.users LIMIT 5) u", 5, '1 list');
query_is('all of them', "SELECT count(id), count(DISTINCT id) FROM keycloak.users", '153|153', '17 list, 1 count');
query_is('how many they are', "SELECT count(*) FROM keycloak.users", 153, '1 count');
query_is('the newest', "SELECT max(created_at) IS NOT NULL FROM keycloak.users", 't', '17 list, 1 count');
for my $where ("email = 'ada\@example.com'", "id = '$ada'", "email LIKE 'a%'", "created_at < '2024-01-01'", 'email IS NULL', 'created_at IS NULL')
{
	my $query = "SELECT count(*), md5(string_agg(u::text, ' ' ORDER BY id)) FROM keycloak.users u WHERE $where";
	is(sql($query), sql("SET neon_auth_fdw.pushdown = off; $query; RESET neon_auth_fdw.pushdown"), "pushed down or not: $where");
}
like(sql("EXPLAIN (VERBOSE, COSTS OFF) SELECT name FROM keycloak.users WHERE email = (SELECT 'x' || 'y')"),
	qr{GET \Q@{[$sim->url]}\E/admin/realms/demo/users\?first=0&max=20&email=\{email\}&exact=true}, 'EXPLAIN tells the request');
is($session->ask('SELECT message FROM neon_auth.check_server($$keycloak$$) WHERE verdict IN ($$error$$, $$warning$$)'), '', 'check_server finds nothing');

# a service account is no user, but one that is asked for is found
my $service = $sim->create({ username => 'service-account-sync', email => 'sync@example.com', state => 'service' })->{id};
query_is('a service account', "SELECT count(id) FROM keycloak.users", 153);
query_is('by its id', "SELECT email FROM keycloak.users WHERE id = '$service'", 'sync@example.com', '1 get');
query_is('by its address', "SELECT id FROM keycloak.users WHERE email = 'sync\@example.com'", $service, '1 list');
query_is('or counted', "SELECT count(*) FROM keycloak.users", 153, '1 count');
$sim->remove($_) for $ada, $grace, $lin, $service;

# ---- Refreshes: who has changed is found by comparing

is(refresh(), 'ok 150/0/0/0/0/0', 'the first refresh');
is(difference(), 0, 'makes the target equal to the directory');
$sim->reset_stats;
is(refresh(), 'ok 0/0/150/0/0/0', 'then nothing is new');
is($sim->asked, '16 list, 1 count', 'as the realm was listed, and counted at its end');
my @order = in_order();
my $changed = $sim->user("index/$order[40]")->{id};
$sim->update($changed, { first_name => 'Ada', last_name => 'King' });
is(refresh(), 'ok 0/1/149/0/0/0', 'a change');
is(sql("SELECT name FROM $target WHERE id = '$changed'"), 'Ada King', 'is written');
is(refresh(), 'ok 0/0/150/0/0/0', 'once');
$sim->update($changed, { username => '0-first' });
is(refresh(), 'ok 0/1/149/0/0/0', 'who gets another name moves in the order');
$sim->create({ id => 'aaaaaaaa-0000-4000-8000-000000000001', username => 'zz-last' });
is(refresh(), 'ok 1/0/150/0/0/0', 'somebody new at the end');
$sim->remove('aaaaaaaa-0000-4000-8000-000000000001');
$sim->reset_stats;
is(refresh(), 'ok 0/0/150/1/0/0', 'who is gone is marked');
is(tombstones(), 'aaaaaaaa-0000-4000-8000-000000000001', 'and nobody else');
is($sim->stats->{get}, 3, 'when its id is not found, and that of another user is');
is(difference(), 0, 'the target equals the directory');
like(refresh("mode => 'incremental'"), qr/^55000$/, 'nothing is incremental here');
$sim->create_raw('{"id":"raw-1","username":"raw","credentials":[{"type":"password","secretData":"CANARY"}],"createdTimestamp":null}', id => 'raw-1');
is(refresh(), 'ok 1/0/150/0/0/0', 'one with a credential');
is(sql("SELECT raw_json ? 'credentials', raw_json::text LIKE '%CANARY%' FROM $target WHERE id = 'raw-1'"), 'f|f', 'is stored without it');
$sim->remove('raw-1');
is(refresh(), 'ok 0/0/150/1/0/0', 'and goes');

# ---- Pages that are not full, in the middle

@order = in_order();
my @hidden = @order[ 3, 21, 22, 23, 24, 25, 60, 99, 100, 101, 149 ];
set_state('hidden', @hidden);
$sim->reset_stats;
is(number_of_users(), '139 139', 'users who cannot be seen: all others are listed once');
is($sim->stats->{rejected}, 0, 'with requests that Keycloak takes');
is(refresh(), 'ok 0/0/139/0/0/0', 'and a refresh');
is(tombstones(), join(' ', sort 'aaaaaaaa-0000-4000-8000-000000000001', 'raw-1'), 'marks none of them');
set_state('hidden', @order[ 61 .. 66 ]);
is(refresh(), 'held 0/0/133/0/17/0', 'nor more');
is(note_of_run(), 'the provider counts another number of users than it listed', 'for the count knows of them');
set_state('hidden', @order[ 45 .. 59 ]);
is(refresh(), 'HV00M', 'but not if they fill a page');
like($said, qr/DETAIL:  Reason: more users in a row than fit on a page cannot be seen.*HINT:  The service account/si, 'which says so');
set_state('hidden', @order[ 40 .. 90 ]);
is(refresh(), 'HV00M', 'or more than one');
like($said, qr/DETAIL:  Reason: the provider counts users that it does not list.*HINT:  The service account/si, 'which says so, too');
set_state(undef, @order);
is(number_of_users(), '150 150', 'all are seen again');

# the last ones, who are as many as fit on a page
set_state('hidden', @order[ 141 .. 149 ]);
is(number_of_users(), '141 141', 'hidden users at the end are no error');
is(refresh(), 'ok 0/0/141/0/0/0', 'nor gone');
set_state(undef, @order);
is(refresh(), 'ok 0/0/150/0/0/0', 'as is seen then');

# ---- Rows that vanish while they are listed

# the second page vanishes but for who was read before, and the third moves into its place
set_state('invalid', @order[ 10 .. 34 ]);
is(number_of_users(), '125 125', 'users whom LDAP has removed: all others are listed once');
is($sim->stats->{users}, 125, 'and they are gone');
@order = in_order();
set_state('invalid', @order[ 10 .. 60 ]);
is(number_of_users(), '74 74', 'more than two pages of them');
$target = 'keycloak.second';
is(refresh(), 'ok 74/0/0/0/0/0', 'a table with the others');
@order = in_order();
set_state('invalid', @order[ 54 .. 73 ]);
is(number_of_users(), '54 54', 'the last page of them');
my @gone = sort map { $sim->user("index/$_")->{id} } @order[ 54 .. 73 ];
is(refresh(), 'held 0/0/54/0/20/0', 'twenty at once are held');
is(refresh('approve_deletions => 20'), 'ok 0/0/54/20/0/0', 'and go when that is approved');
is(tombstones(), join(' ', @gone), 'these and nobody else');

# ---- Users who come and go while the realm is listed

realm('moving', []);
is(refresh(), 'ok 150/0/0/0/0/0', 'another realm');
@order = in_order();
$gone[0] = $sim->user("index/$order[2]")->{id};
$sim->fault({ match => 'list', after => 3, mutate => { delete_index => $order[2] } });
is(number_of_users(), '150 150', 'somebody goes who was read: nobody is missed');
is(refresh(), 'ok 0/0/149/1/0/0', 'and only that user');
is(tombstones(), $gone[0], 'is marked');
my %stay = map { $sim->user("index/$_")->{id} => 1 } @order[ 25 .. 149 ];
$sim->fault({ match => 'list', after => 4, mutate => { delete_index => [ @order[ 3 .. 17 ] ] } });
my @read = split /\n/, sql('SELECT id FROM moving.users');
delete $stay{$_} for @read;
is(scalar keys %stay, 0, 'fifteen go: the page is read again from further back, and nobody is missed');
@order = in_order();
$sim->fault({ match => 'list', after => 4, mutate => { create => [ map { { username => "0$_" } } 1 .. 30 ] } });
$session->ask('SELECT count(DISTINCT id) FROM moving.users');
@read = in_order();
is(scalar @read, 164, 'thirty came in front');
$sim->fault({ match => 'list', after => 3, mutate => { delete_index => [ @read[ 0 .. 50 ] ] } });
like($session->ask('SELECT count(id) FROM moving.users'), qr/ERROR:  HV00M: .*DETAIL:  Reason: the directory shifted while it was read/s, 'more go than a page has: that is an error');
# at the end: one goes before the page behind the last one, one comes before the count
@read = in_order();
is(scalar @read, 113, 'the others are there');
my $pages = sub { $sim->reset_stats; number_of_users(); return $sim->stats->{list}; };
my $list = $pages->();
$sim->fault([ { match => 'list', after => $list - 1, mutate => { delete_index => $read[5] } },
		{ match => 'count', mutate => { create => [ { username => 'zzz1' }, { username => 'zzz2' } ] } } ]);
is(number_of_users(), '115 115', 'one who was read goes and two come at the very end: they are listed');

# ---- An empty page that is no end

my $trouble = { match => 'list', trick => 'ldap_trouble', times => -1 };
sub harmless
{
	my ($name, $fault, $end, $detail) = @_;

	$sim->fault($fault);
	my $before = tombstones();
	is(refresh(), $end, "$name: the refresh");
	like($said, $detail, "$name: why");
	is(tombstones(), $before, "$name: nobody is marked");
	$sim->clear_faults;
	$sim->fault($fault);
	like($session->ask("SELECT count(id) FROM $server.users"), qr/ERROR:  \Q$end\E: /, "$name: a query");
	$sim->clear_faults;
	return;
}
my $list_error = qr/DETAIL:  Reason: the provider counts users that it does not list.*HINT:  The service account of the client may lack the role view-users/si;
harmless('LDAP is out of order', $trouble, 'HV00M', $list_error);
harmless('it is from the third page on', { %$trouble, after => 2 }, 'HV00M', qr/the directory shifted while it was read/);
harmless('once, in the middle', { %$trouble, after => 2, times => 4 }, 'HV00M', qr/the directory shifted while it was read/);
harmless('an error in the middle of a page', { match => 'list', after => 1, trick => 'error_in_page', times => -1 }, 'HV00M', qr/the list of users is not valid JSON or is cut off/);
harmless('the realm is gone', { match => 'list', trick => 'realm_gone', times => -1 }, 'HV00L', qr/HINT:  Set the name of the realm, as addresses have it, with: ALTER SERVER moving OPTIONS \(SET realm/);
harmless('no count', { match => 'count', body => 'null', times => -1 }, 'HV00M', qr/the count of users is no number/);
$sim->fault({ %$trouble, times => 1 });
is(number_of_users(), '114 114', 'trouble that passes is asked about again');
# the one who is missing may not be believed to be gone for another 404
$target = 'moving.second';
refresh();
$sim->remove("index/$read[9]");
for my $case ([ 'another 404', { match => 'get', after => 1, trick => 'realm_gone', times => -1 }, 'held' ],
	[ 'a 404 without a body', { match => 'get', after => 1, status => 404, body => '', times => -1 }, 'held' ],
	[ '403', { match => 'get', after => 1, status => 403, times => -1 }, '42501' ],
	[ 'a count that says otherwise', { match => 'count', add_total => -40, times => -1 }, 'held' ])
{
	my $before = tombstones();
	$sim->fault($case->[1]);
	is((split / /, refresh())[0], $case->[2], "not found: $case->[0]");
	is(tombstones(), $before, 'nobody is marked');
	$sim->clear_faults;
}
like(refresh(), qr{^ok 0/0/\d+/1/0/0$}, 'then the one who is gone is');

# ---- A federation whose users are not counted

realm('uncounted', ['uncounted=60']);
is(number_of_users(), '150 150', 'a count that is too low ends nothing');
is(refresh(), 'ok 150/0/0/0/0/0', 'nor does it keep anybody out');
$sim->remove("index/7");
is(refresh(), 'held 0/0/149/0/1/0', 'but deletions are held, for it contradicts');
is(note_of_run(), 'the provider counts another number of users than it listed', 'which says so');
@order = in_order();
set_state('invalid', @order[ 100 .. 124 ]);
is(number_of_users(), '124 124', 'nor does it end a listing where rows vanish');

# ---- Tokens

realm('tokens', [ 'token_uses=4', 'roles=lightweight' ]);
is(number_of_users(), '150 150', 'tokens end in the middle of a listing, time and again');
my $stats = $sim->stats;
cmp_ok($stats->{tokens}, '>', 3, 'others are got then');
is($stats->{rejected}, $stats->{tokens} - 1, 'one for each that was not taken');
is(refresh(), 'ok 150/0/0/0/0/0', 'in a refresh, too');
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER tokens OPTIONS (SET client_secret 'wrong')");
like($session->ask('SELECT FROM tokens.users'), qr/ERROR:  28000: .*invalid_client.*HINT:  Set client_id and client_secret/s, 'the client is not known');
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER tokens OPTIONS (SET client_secret 'sk_test_x')");
sql("ALTER SERVER tokens OPTIONS (SET realm 'other')");
like($session->ask('SELECT FROM tokens.users'), qr/ERROR:  HV00L: /, 'nor is there another realm');
like($session->ask('ALTER SERVER tokens OPTIONS (DROP realm); SELECT FROM tokens.users'), qr/ERROR:  .*realm/, 'and there has to be one');

# ---- Roles

for my $roles (qw(view manage admin lightweight opaque))
{
	realm("may_$roles", ["roles=$roles"], users => 30);
	is(number_of_users(), '30 30', "roles $roles");
}
realm('master', ['realm=master'], users => 30);
is(number_of_users(), '30 30', 'in the realm master');

# The role is taken away: the provider would say that nobody is there.
sub lose_role
{
	my ($roles) = @_;
	my $port = $sim->port;

	$sim->stop;
	$sim = start_sim(provider => 'keycloak', users => 30, port => $port, set => ["roles=$roles"]);
	return;
}
realm('roles', [], users => 30);
is(refresh(), 'ok 30/0/0/0/0/0', 'a realm to lose');
for my $roles (qw(none nothing))
{
	lose_role($roles);
	$session = new_session($node);
	is(refresh(), '42501', "roles $roles: the refresh is an error");
	like($said, qr/DETAIL:  Reason: the access token has no role that lets read users.*HINT:  Give the service account of the client the roles view-users and query-users of realm-management/si, 'which says what is missing');
	is($sim->asked, '1 other', 'before a user is asked for');
	is(tombstones(), '', 'and marks nobody');
	like($session->ask('SELECT count(id) FROM roles.users'), qr/ERROR:  42501: /, 'so is a query');
}
lose_role('blind');
$session = new_session($node);
is(refresh(), 'held 0/0/0/0/30/0', 'a token that does not tell: nobody is there');
is(note_of_run(), 'the directory is empty', 'which a person has to approve');
is(refresh('approve_deletions => 30'), '42501', 'who cannot, for single users may not be read');
like($said, qr/HINT:  Give the service account of the client the roles view-users/, 'for the same reason');
is(tombstones(), '', 'nobody is marked');
lose_role('view');
$session = new_session($node);
is(refresh(), 'ok 0/0/30/0/0/0', 'with the role all are there');

done_testing();
