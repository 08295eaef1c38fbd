# Provider "firebase": Firebase Authentication, and its emulator.  Not found with status
# 200; empty pages that are no end, and full ones that are; numbers in texts; hashes of
# passwords, which no row may have; tenants; a service account that signs for itself.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use HTTP::Tiny;
use JSON::PP;
use NeonAuth::Providers;
use NeonAuth::Session;
use NeonAuth::Synced qw($sim $session $said sql query_is);
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

use constant USERS => 120;

my $account = 'reader@demo-project.iam.gserviceaccount.com';
my $keys = PostgreSQL::Test::Utils::tempdir();
for my $name ('good', 'other')
{
	system_or_bail('openssl', 'genpkey', '-quiet', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', "$keys/$name.pem");
	system_or_bail('openssl', 'pkey', '-in', "$keys/$name.pem", '-pubout', '-out', "$keys/$name.pub");
}
my ($good_key, $other_key) = map { slurp_file("$keys/$_.pem") } 'good', 'other';

my %sims = (
	fire => start_provider('firebase', users => USERS),
	filled => start_provider('firebase', users => USERS, set => ['full=token']),
	emulated => start_sim(provider => 'firebase', users => USERS, set => ['style=emulator']),
	nobody => start_provider('firebase', users => 0),
	tenant => start_provider('firebase', users => 30, set => ['tenant=sales-x1']),
	kept => start_provider('firebase', users => 5, set => ['case=kept']),
	redacted => start_provider('firebase', users => 40, set => ['redacted=1']),
	signed => start_provider('firebase', users => 650, set => [ "public_key=$keys/good.pub", 'key_id=key-1', 'token_uses=3' ]));
my $stranger = start_provider('firebase', users => 3);
my @urls = map { $_->url } values %sims;
my $token_url = $sims{signed}->url =~ s{/v1$}{/token}r;
my $node = new_node('firebase', urls => [ @urls, $token_url ], conf => "timezone = 'UTC'\n");
my $options = ", project_id 'demo-project', page_size '20'";

add_server($node, $sims{$_}, name => $_, schema => $_, options => $options) for qw(fire filled nobody kept redacted);
add_server($node, $sims{tenant}, name => 'tenant', schema => 'tenant', options => "$options, tenant_id 'sales-x1'");
$node->safe_psql('postgres', <<"SQL");
CREATE SERVER emulated FOREIGN DATA WRAPPER neon_auth_fdw
  OPTIONS (provider 'firebase', url '${\ $sims{emulated}->url}/identitytoolkit.googleapis.com/v1' $options);
CREATE USER MAPPING FOR CURRENT_USER SERVER emulated OPTIONS (api_key 'owner');
CREATE SCHEMA emulated;
IMPORT FOREIGN SCHEMA directory FROM SERVER emulated INTO emulated;
SQL
$sim = $sims{fire};
$session = new_session($node);

# ---- Helpers

sub without_pushdown { return sql("SET neon_auth_fdw.pushdown = off; $_[0]; RESET neon_auth_fdw.pushdown"); }

# "status inserted/updated/unchanged/tombstoned/held/quarantined", or the SQLSTATE.
sub refresh
{
	my ($server, $target) = @_;

	$said = $session->ask("CALL neon_auth.refresh_users_sync('$server', target => '$target')");
	return outcome_of($said, 0 .. 5);
}

sub row { my ($id, $columns) = @_; return sql("SELECT $columns FROM fire.t WHERE id = '$id'"); }
sub heap { return sql('SELECT md5(string_agg(concat(ctid, xmin, xmax), $$ $$ ORDER BY ctid)) FROM fire.t'); }

# How many rows differ, but for when they were changed and seen.
sub difference
{
	my ($target, $schema) = @_;
	my $columns = q(id, name, email, raw_json - '{lastLoginAt,lastRefreshAt}'::text[], created_at);
	my ($here, $there) = ("SELECT $columns FROM $target WHERE deleted_at IS NULL", "SELECT $columns FROM $schema.users");

	return sql("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

# ---- Columns and lookups

$sim->create({ id => '1k2Z', name => 'Ada Lind', email => 'Ada@Example.com', created_at => 1700000000123 });
$sim->create({ id => "a b/\"c\"\\\x{e9}", name => '', email => undef, created_at => 1700000001000 });
query_is('all columns', q(SELECT id, name, email, created_at, updated_at, deleted_at FROM fire.users WHERE id = '1k2Z'),
	'1k2Z|Ada Lind|ada@example.com|2023-11-14 22:13:20.123+00||', '1 get');
query_is('all users', q(SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE (name, email, created_at) IS NOT DISTINCT FROM
	(raw_json ->> 'displayName', raw_json ->> 'email', to_timestamp((raw_json ->> 'createdAt')::numeric / 1000))) FROM fire.users),
	'122|122|122', '7 list');
query_is('the number of users', 'SELECT count(*) FROM fire.users', '122', '1 count');
query_is('a user with an odd id', q(SELECT name IS NULL FROM fire.users WHERE id = E'a b/"c"\\\\\u00e9'), 't', '1 get');
query_is('no user', q(SELECT id FROM fire.users WHERE id = 'nobody'), '', '1 get');
for my $odd ('', '.', '..', "a\tb", 'x' x 129, 'x' x 300)
{
	query_is('an id that none has', "SELECT id FROM fire.users WHERE id = '$odd'", '', 'nothing');
}
my @some = split /\n/, sql('SELECT id FROM fire.users LIMIT 3');
query_is('users by id', "SELECT count(*) FROM fire.users WHERE id IN ('$some[0]', '$some[1]', 'nobody', 'nobody too')", '2', '1 list');
query_is('as many as are asked for at once', q(SELECT count(*) FROM fire.users WHERE id = ANY (ARRAY(SELECT id FROM fire.users LIMIT 60))), '60', '4 list');
$node->safe_psql('postgres', 'CREATE TABLE ids AS SELECT id FROM fire.users LIMIT 110');
query_is('and more', q(SET enable_seqscan = off; SELECT count(*) FROM fire.users WHERE id = ANY (ARRAY(SELECT id FROM ids) || ARRAY(SELECT md5(n::text) FROM generate_series(1, 90) n)); RESET enable_seqscan), '110', '2 list');
is($sim->stats->{rejected}, 0, 'nothing was asked that the API refuses');

for (
	[ 'an address', q(SELECT id FROM fire.users WHERE email = 'ada@example.com'), '1k2Z', '1 list' ],
	[ 'one in another case', q(SELECT id FROM fire.users WHERE email = 'Ada@Example.com'), '', '1 list' ],
	[ 'one that nobody has', q(SELECT id FROM fire.users WHERE email = 'nobody@example.com'), '', '1 list' ],
	[ 'what would be refused', q(SELECT id FROM fire.users WHERE email = 'ada@localhost'), '', '7 list' ],
	[ 'nor is this an address', q(SELECT id FROM fire.users WHERE email = 'a b"@example.com'), '', '7 list' ],
	[ 'the empty one', q(SELECT id FROM fire.users WHERE email = ''), '', 'nothing' ])
{
	my ($name, $sql, $rows, $requests) = @$_;

	query_is($name, $sql, $rows, $requests);
	is(without_pushdown($sql), $rows, "$name: the same among all users");
}
is($sim->stats->{rejected}, 0, 'nothing was asked that the API refuses');
$sims{kept}->create({ id => 'kept', name => 'Kept', email => 'Ada@Example.com' });
$sims{kept}->create({ id => 'other', name => 'Other', email => 'ada@example.com' });
is(sql(q(SELECT id FROM kept.users WHERE email = 'Ada@Example.com')), 'kept', 'a server that keeps the case, and finds by any: the one whose address it is');
is(sql(q(SELECT id FROM kept.users WHERE email = 'ada@example.com')), 'other', 'and the other');
like(sql(q(EXPLAIN (VERBOSE) SELECT * FROM fire.users WHERE id = '1k2Z')), qr{POST http://\S+/v1/projects/demo-project/accounts:lookup \{"localId":\["1k2Z"\]\}}, 'EXPLAIN shows what is asked');

# ---- Pages of all sizes, and ends of all kinds

for my $server ('fire', 'filled', 'emulated')
{
	my $count = $server eq 'fire' ? 122 : 120;

	for my $size (1, 7, 40, 60, 1000)
	{
		is($session->ask("BEGIN; ALTER SERVER $server OPTIONS (SET page_size '$size'); SELECT count(*), count(DISTINCT id) FROM $server.users; ROLLBACK"),
			"$count|$count", "$server: all users, $size at once");
	}
	$sims{$server}->reset_stats;
	sql("SELECT id FROM $server.users");
	is($sims{$server}->asked, '7 list', "$server: pages") if $server ne 'fire';
}
is(refresh('filled', 'filled.t'), 'ok 120/0/0/0/0/0', 'an empty last page is an end');
is(refresh('emulated', 'emulated.t'), 'ok 120/0/0/0/0/0', 'so it is of the emulator, whose pages always have users');
is(sql(q(SELECT count(*) FROM emulated.users WHERE id = 'nobody')), '0', 'and which finds nobody with status 200');
is(refresh('nobody', 'nobody.t'), 'ok 0/0/0/0/0/0', 'an empty directory is no error');
is(sql('SELECT count(*) FROM (SELECT FROM nobody.users OFFSET 0) u'), 0, 'it has nobody');

$sim->fault({ match => 'list', trick => 'blank_token', times => -1 });
is(sql('SELECT count(DISTINCT id) FROM fire.users'), 122, 'an empty token is none');
$sim->clear_faults;
for my $after (0, 3, 6)
{
	$sim->fault({ match => 'list', after => $after, trick => 'empty_page' });
	is(sql('SELECT count(*) >= 121, count(*) = count(DISTINCT id) FROM fire.users'), 't|t', "an empty page after $after is read over");
	$sim->clear_faults;
}
for (
	[ 'same_token', qr/the provider repeated a cursor/ ], [ 'wide_token', qr/the token of the next page/ ],
	[ 'odd_token', qr/the token of the next page/ ], [ 'number_token', qr/the token of the next page/ ],
	[ 'null_token', qr/the token of the next page/ ], [ 'no_kind', qr/of another kind/ ], [ 'other_kind', qr/of another kind/ ])
{
	my ($trick, $message) = @$_;

	$sim->fault({ match => 'list', after => 1, times => -1, trick => $trick });
	like($session->ask('SELECT count(DISTINCT id) FROM fire.users'), qr/ERROR:  HV.*$message/s, "$trick is an error");
	$sim->clear_faults;
}
for (
	[ 'no object', '[]' ], [ 'HTML', '<html>' ], [ 'users that are no list', '{"kind":"identitytoolkit#DownloadAccountResponse","users":{}}' ],
	[ 'null', '{"kind":"identitytoolkit#DownloadAccountResponse","users":null}' ], [ 'an error with status 200', '{"error":{"code":403,"message":"x","status":"PERMISSION_DENIED"}}' ])
{
	$sim->fault({ match => 'list', after => 1, body => $_->[1] });
	like($session->ask('SELECT count(DISTINCT id) FROM fire.users'), qr/ERROR:  HV/, "$_->[0] is no page");
	$sim->clear_faults;
}

# ---- Refreshes: no time of change, so a digest tells

is(refresh('fire', 'fire.t'), 'ok 122/0/0/0/0/0', 'the first refresh');
is(difference('fire.t', 'fire'), 0, 'makes the table equal to the directory');
my $heap = heap();
is(refresh('fire', 'fire.t'), 'ok 0/0/122/0/0/0', 'nothing new');
is(heap(), $heap, 'writes nothing');

# who signs in has other times, and perhaps another hash of the same password
my $before = HTTP::Tiny->new->get($sim->url . '/projects/demo-project/accounts:batchGet?maxResults=1000', { headers => { Authorization => 'Bearer ' . $sim->key } })->{content};
my ($hash, $salt) = ($before =~ /"passwordHash":"([^"]+)"/, $before =~ /"salt":"([^"]+)"/);
ok($hash && $salt, 'the API shows what passwords are checked with');
$sim->update($_, { updated_at => $sim->user($_)->{updated_at} + 60_000 }) for map { "index/$_" } 1 .. 9;
is(refresh('fire', 'fire.t'), 'ok 0/0/122/0/0/0', 'who signed in has not changed');
is(heap(), $heap, 'and is not written');
for my $table ('fire.t', 'fire.users', 'emulated.t', 'redacted.users')
{
	is(sql("SELECT count(*) FROM $table WHERE raw_json ?| '{passwordHash,salt,version,rawPassword}'::text[] OR raw_json::text ~ 'c2VjcmV0|UkVEQUNURUQ'"), 0, "$table has no hash of a password");
}
is(sql(q(SELECT count(*) > 0 FROM fire.t WHERE raw_json ? 'passwordUpdatedAt')), 't', 'but when it was set');

$sim->update('1k2Z', { name => 'Ada King' });
is(refresh('fire', 'fire.t'), 'ok 0/1/121/0/0/0', 'a change');
is(row('1k2Z', 'name'), 'Ada King', 'arrives');
my $disabled = $sim->user('index/11')->{id};
$sim->update($disabled, { state => 'disabled' });
is(refresh('fire', 'fire.t'), 'ok 0/1/121/0/0/0', 'who is disabled is changed');
is(row($disabled, q(deleted_at IS NULL AND raw_json @> '{"disabled": true}')), 't', 'and live');
my $gone = $sim->user('index/7')->{id};
$sim->remove($gone);
$sim->reset_stats;
is(refresh('fire', 'fire.t'), 'ok 0/0/121/1/0/0', 'a deletion');
like($sim->asked, qr/7 list.*1 count|1 count.*7 list/, 'is found by a listing, and the count');
is($sim->stats->{get} > 0, 1, 'and confirmed by id');
is(row($gone, 'deleted_at IS NOT NULL'), 't', 'and marked');
is(sql('SELECT count(*) FROM fire.t WHERE deleted_at IS NOT NULL'), 1, 'nobody else is');

# who is not on the list is not gone yet
my $hidden = $sim->user('index/30');
$sim->fault({ match => 'list', hide_index => $hidden->{index}, times => 7 });
like(refresh('fire', 'fire.t'), qr{^(ok|held) 0/0/120/0/}, 'who is not listed, but found by id');
$sim->clear_faults;
is(row($hidden->{id}, 'deleted_at IS NULL'), 't', 'is live');

# status 200, and many answers that are near to the right one
my $nobody = '"kind":"identitytoolkit#GetAccountInfoResponse"';
for my $fault (
	{ status => 400 }, { status => 401 }, { status => 403 }, { status => 404 }, { status => 404, body => '<p>' },
	{ status => 404, body => "{$nobody}" }, { status => 400, body => '{"error":{"code":400,"message":"USER_NOT_FOUND"}}' },
	{ body => '{}' }, { body => '' }, { body => "{$nobody,\"users\":[]}" }, { body => "{$nobody,\"users\":null}" }, { body => "{$nobody,\"users\":[{}]}" },
	{ body => "{$nobody,$nobody}" }, { body => "{$nobody,\"users\":[{\"localId\":\"1k2Z\"}]}" },
	{ body => '{"kind":"identitytoolkit#DownloadAccountResponse"}' }, { body => '{"kind":null}' }, { body => "[{$nobody}]" })
{
	my $user = $sim->create({ name => 'To Go' });
	my $name = $fault->{body} // "status $fault->{status}";

	refresh('fire', 'fire.t');
	$sim->remove($user->{id});

	# only what is said of this user, not of the one who is asked for to be sure
	$sim->fault({ match => 'get', after => 1, %$fault });
	$sim->reset_stats;
	like(refresh('fire', 'fire.t'), qr{^(\w{5}$|held 0/0/\d+/0/1)}, "no answer: $name");
	is($sim->stats->{faults}, 1, 'which was given');
	$sim->clear_faults;
	is(row($user->{id}, 'deleted_at IS NULL'), 't', 'confirms no deletion');
	refresh('fire', 'fire.t');
	is(row($user->{id}, 'deleted_at IS NULL'), 'f', 'the right answer does');
}
is(difference('fire.t', 'fire'), 0, 'the table equals the directory');
$sim->fault({ match => 'get', body => "{$nobody,\"users\":[{\"localId\":\"another\"}]}" });
like($session->ask(q(SELECT id FROM fire.users WHERE id = '1k2Z')), qr/ERROR:  HV.*not about the user that was asked for/s, 'another user is not the one');

# a listing that is cut, or of another number of users, deletes nobody
$sim->fault({ match => 'list', after => 2, body => '{"kind":"identitytoolkit#DownloadAccountResponse"}' });
like(refresh('fire', 'fire.t'), qr{^held 0/0/\d+/0/}, 'a page without users and token ends a listing, but the count contradicts it');
is(sql('SELECT count(*) FROM fire.t WHERE deleted_at IS NULL'), 121, 'and nobody is marked');
is(refresh('fire', 'fire.t'), 'ok 0/0/121/0/0/0', 'the next one goes through');
for my $body ('{"recordsCount":4}', '{"recordsCount":""}', '{"recordsCount":"4.0"}', '{"recordsCount":"-4"}', '{"recordsCount":"99999999999999999999"}', '{}', '{"userInfo":[]}')
{
	$sim->fault({ match => 'count', body => $body });
	like($session->ask('SELECT count(*) FROM fire.users'), qr/ERROR:  HV.*the count of users is no text of digits/s, "no count: $body");
}

# ---- Tenants

is(sql('SELECT count(*) FROM tenant.users'), 30, 'a tenant has its users');
is(sql(q(SELECT count(*) FROM tenant.users WHERE raw_json ->> 'tenantId' = 'sales-x1')), 30, 'which say so');
my $tenant_user = $sims{tenant}->user('index/3');
is(sql("SELECT count(*) FROM tenant.users WHERE id = '$tenant_user->{id}'"), 1, 'who are found by id');
is(refresh('tenant', 'tenant.t'), 'ok 30/0/0/0/0/0', 'and refreshed');
sql(q(ALTER SERVER tenant OPTIONS (DROP tenant_id)));
is(sql('SELECT count(*) FROM tenant.users'), 0, 'the project itself has others');
is(sql("SELECT count(*) FROM tenant.users WHERE id = '$tenant_user->{id}'"), 0, 'by id, too');
$sims{tenant}->reset_stats;
like(refresh('tenant', 'tenant.t'), qr/^\w{5}$/, 'a target of another tenant is refused');
like($said, qr/holds the users of another provider or URL/, 'which the message says');
is($sims{tenant}->asked, 'nothing', 'before anything is asked');
is(sql('SELECT count(*) FROM tenant.t WHERE deleted_at IS NOT NULL'), 0, 'and nobody is marked');
sql(q(ALTER SERVER tenant OPTIONS (ADD tenant_id 'another')));
like($session->ask('SELECT count(*) FROM tenant.users'), qr/ERROR:  HV.*TENANT_NOT_FOUND.*HINT:  Set the id of a tenant .*ALTER SERVER tenant OPTIONS \(SET tenant_id/s, 'a tenant that is none');

# ---- Options and errors

like($session->ask(q(CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'firebase'))),
	qr/ERROR:  HV002: option "project_id" is required for provider "firebase"/, 'project_id is required');
like($session->ask(q(CREATE SERVER s FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'firebase', project_id 'a/b'))), qr/ERROR:  22023:/, 'and none that leads elsewhere');
like($session->ask(q(ALTER SERVER fire OPTIONS (SET page_size '1001'))), qr/ERROR:.*takes 1 to 1000/s, 'pages have a bound');
for (
	[ q(SET project_id 'another'), qr/PROJECT_NOT_FOUND.*HINT:  Set the id of the project.*ALTER SERVER fire OPTIONS \(SET project_id/s, 'another project' ],
	[ q(SET project_id '..'), qr/ERROR:  HV/, 'one of dots' ])
{
	my ($change, $message, $name) = @$_;

	like($session->ask("BEGIN; ALTER SERVER fire OPTIONS ($change); SELECT id FROM fire.users; ROLLBACK"), $message, $name);
	$session->ask('ROLLBACK');
}
for (
	[ 401, qr/ERROR:  28000:.*UNAUTHENTICATED.*HINT:  Set client_id, private_key/s ],
	[ 403, qr/ERROR:  42501:.*PERMISSION_DENIED.*HINT:  Give the service account the role .*roles\/firebaseauth\.viewer/s ],
	[ 404, qr/ERROR:  HV.*NOT_FOUND/s ])
{
	my ($status, $message) = @$_;

	$sim->fault({ match => 'list', status => $status });
	like($session->ask('SELECT id FROM fire.users'), $message, "status $status");
}
for (
	[ 'CONFIGURATION_NOT_FOUND', ',"status":"NOT_FOUND"', qr/HINT:  Firebase Authentication was never set up/ ],
	[ 'INVALID_PROJECT_ID', ',"status":"INVALID_ARGUMENT"', qr/HINT:  Set the id of the project/ ],
	[ 'INSUFFICIENT_PERMISSION', '', qr/HINT:  Give the service account the role/ ])
{
	my ($code, $more, $hint) = @$_;

	$sim->fault({ match => 'list', status => 400, body => "{\"error\":{\"code\":400,\"message\":\"$code\"$more}}" });
	like($session->ask('SELECT id FROM fire.users'), qr/"$code".*$hint/s, "$code counts more than its status");
}
$sim->fault({ match => 'list', status => 400, body => '{"error":{"code":400,"message":"ada@example.com is secret","status":"also secret"}}' });
unlike($session->ask('SELECT id FROM fire.users'), qr/secret/, 'what is no code is not shown');
$sim->fault({ match => 'list', after => 1, times => 2, status => 429 });
is(sql('SELECT count(DISTINCT id) FROM fire.users'), 121, 'a quota is waited for');
sql(q(ALTER USER MAPPING FOR CURRENT_USER SERVER fire OPTIONS (SET api_key 'ya29.wrong')));
like($session->ask('SELECT id FROM fire.users'), qr/ERROR:  28000:.*UNAUTHENTICATED/s, 'a wrong token');
unlike($session->ask('SELECT id FROM fire.users'), qr/ya29/, 'which no message shows');
sql(q(ALTER USER MAPPING FOR CURRENT_USER SERVER fire OPTIONS (SET api_key 'sk_test_x')));
is(sql(q(SELECT coalesce(string_agg(part || ': ' || message, ', '), '') FROM neon_auth.check_server('fire') WHERE verdict IN ('error', 'warning'))), '', 'check_server finds nothing');

# ---- A service account, with its key as the file of JSON has it

my $pasted = $good_key =~ s/\n/\\n/gr;
my $signed = $sims{signed};

sub mapping { return $session->ask("ALTER USER MAPPING FOR CURRENT_USER SERVER signed OPTIONS ($_[0])"); }

add_server($node, $signed, name => 'signed', schema => 'signed', options => "$options, token_url '$token_url'",
	mapping => "client_id '$account', private_key_id 'key-1', private_key '$pasted'");
$session = new_session($node);
sql(q(ALTER SERVER signed OPTIONS (SET page_size '200')));
is(sql('SELECT count(DISTINCT id) FROM signed.users'), 650, 'a service account lists all');
is($signed->stats->{tokens}, 2, 'with another token in the middle, when the first was not taken any more');
is(sql('SELECT count(*) FROM signed.users'), 650, 'and counts');
is($signed->stats->{tokens}, 2, 'with the one that the session keeps');
is(refresh('signed', 'signed.t'), 'ok 650/0/0/0/0/0', 'and is refreshed from');
mapping("SET private_key '$good_key'");
is(sql('SELECT count(*) FROM signed.users'), 650, 'the key as PEM has it');
for (
	[ "SET private_key '$other_key'", "SET private_key '$good_key'", 'another key' ],
	[ "SET private_key_id 'key-2'", "SET private_key_id 'key-1'", 'another name of it' ],
	[ q(SET client_id 'stranger@demo-project.iam.gserviceaccount.com'), "SET client_id '$account'", 'another account' ])
{
	my ($change, $back, $name) = @$_;

	mapping($change);
	my $error = $session->ask('SELECT count(*) FROM signed.users');
	like($error, qr/ERROR:  28000: .*did not accept the credential.*the provider gave no access token .*"invalid_grant".*HINT:  .*private_key/s, "$name is refused, and the hint says what to set");
	unlike($error, qr/PRIVATE|eyJ|stranger/, 'without the key or the assertion');
	mapping($back);
}
is(sql('SELECT count(*) FROM signed.users'), 650, 'the right one goes on');

# an assertion goes to Google, or to whom a superuser allows
$stranger->reset_stats;
my $foreign = $stranger->url =~ s{/v1$}{/token}r;
sql("ALTER SERVER signed OPTIONS (SET token_url '$foreign')");
$signed->reset_stats;
like($session->ask('SELECT count(*) FROM signed.users'), qr/ERROR:  42501:.*HINT:  .*allowed_urls/s, 'a token_url that nobody allowed');
is($stranger->asked, 'nothing', 'gets no assertion');
is($stranger->stats->{connections} <= 2, 1, 'nor a connection');
is($signed->asked, 'nothing', 'and nothing is read without a token');
sql("ALTER SERVER signed OPTIONS (SET token_url '$token_url/none')");
like($session->ask('SELECT count(*) FROM signed.users'), qr/ERROR:.*the provider gave no access token.*404.*HINT:  Check options .*"token_url" of server signed/s, 'one that is none is an error that says where to look');
like($session->ask(q(ALTER SERVER signed OPTIONS (SET token_url 'token'))), qr/ERROR:  22023:.*token_url/s, 'a token_url is a URL');
sql(q(ALTER SERVER signed OPTIONS (DROP token_url)));
sql("ALTER SERVER signed OPTIONS (ADD token_url '$token_url')");
is(sql('SELECT count(*) FROM signed.users'), 650, 'the allowed one is asked again');
like($session->ask(q(ALTER USER MAPPING FOR CURRENT_USER SERVER fire OPTIONS (ADD client_id 'x'); SELECT id FROM fire.users)), qr/ERROR:.*another credential/s, 'a key and a client are too many');

done_testing();
