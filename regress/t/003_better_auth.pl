
# A real Better Auth server: what its users do through its own API arrives.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/lib";

use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

BAIL_OUT(better_auth_missing()) if better_auth_missing();

my $node = new_node('main');
my $auth = start_better_auth($node);
my $client = 'node ' . tree() . '/regress/better_auth/client.mjs';

allow_urls($node, $auth->url);
# small pages, so that a few users make many of them
add_server($node, $auth, options => ", page_size '20'");

# By a full listing: what is tested here is how that fares with the real server.
sub refresh
{
	my ($out, $err) = ('', '');

	$node->psql('postgres', q(CALL neon_auth.refresh_users_sync('better_auth', mode => 'full')), stdout => \$out, stderr => \$err);
	return $err if $err =~ /ERROR/;
	my @columns = split /\|/, $out;
	return join ' ', @columns[ 0 .. 6 ];
}

sub query { return $node->safe_psql('postgres', $_[0]); }
sub in_auth { return $node->safe_psql('auth', $_[0]); }

sub is_equal
{
	my ($name) = @_;

	is(query(q(
		SELECT count(*) FROM (
			(SELECT * FROM app.users EXCEPT SELECT * FROM neon_auth.users_sync WHERE deleted_at IS NULL)
			UNION ALL
			(SELECT * FROM neon_auth.users_sync WHERE deleted_at IS NULL EXCEPT SELECT * FROM app.users)) AS d)), '0', $name);
	return;
}

# Sign up, change, ban, remove

$auth->call('sign-up', 'Ada Lovelace', 'Ada@Example.com');
is(refresh(), 'ok 2 0 0 0 0 0', 'the first refresh brings the administrator and who signed up');
is(query(q(SELECT name, email, deleted_at IS NULL FROM neon_auth.users_sync WHERE email LIKE 'ada%')),
	'Ada Lovelace|ada@example.com|t', 'with name and address');
is(query(q(SELECT created_at = (raw_json ->> 'createdAt')::timestamptz AND updated_at = (raw_json ->> 'updatedAt')::timestamptz
	FROM neon_auth.users_sync WHERE email LIKE 'ada%')), 't', 'and its times, to the millisecond');
$auth->call('create-many', 130, 'user');
is(refresh(), 'ok 130 0 2 0 0 0', 'many more come over many pages');
is_equal('the target equals the foreign table');
is(refresh(), 'ok 0 0 132 0 0 0', 'a second refresh writes nothing');

$auth->call('rename', 'ada@example.com', 'Ada King');
$auth->call('ban', 'user7@example.com');
my $gone = $auth->call('remove', 'user9@example.com');
is(refresh(), 'ok 0 2 129 1 0 0', 'a change of name and a ban are updates, a removal is a tombstone');
is(query(q(SELECT email FROM neon_auth.users_sync WHERE deleted_at IS NOT NULL)), 'user9@example.com',
	'only the removed user is marked as deleted');
is_equal('the target equals the foreign table again');
is(refresh(), 'ok 0 0 131 0 0 0', 'and then nothing is written');

# One user

my ($ada) = $auth->call('get', 'ada@example.com');
is(query("SELECT name FROM app.users WHERE id = '$ada->{id}'"), 'Ada King', 'a user is found by id');
is(query("SELECT count(id) FROM app.users WHERE id = '$gone->{id}'"), '0', 'one that was removed is not');
is(query("SELECT count(id) FROM app.users WHERE id = 'no/such id?&x=%'"), '0', 'nor an odd id');

# What is asked for alone: the same answer as of all users, in fewer requests

for (
	[ 'ids', 'SELECT id, name FROM app.users WHERE id = ANY (ARRAY(SELECT id FROM neon_auth.users_sync ORDER BY id LIMIT 120)) ORDER BY id', 2 ],
	[ 'ids of nobody among them', "SELECT name FROM app.users WHERE id IN ('$ada->{id}', '$gone->{id}', 'no/such id?&x=%', '-', '+', E'a\\r\\nb')", 1 ],
	[ 'an address', "SELECT name FROM app.users WHERE email = 'ada\@example.com'", 1 ],
	[ 'an address in another case', "SELECT name FROM app.users WHERE email = 'Ada\@Example.com'", 1 ],
	[ 'a hostile address', "SELECT name FROM app.users WHERE email = 'a&filterValue=b%\@c?#d'", 1 ],
	[ 'the newest', 'SELECT created_at FROM app.users ORDER BY created_at DESC LIMIT 10', 1 ],
	[ 'the oldest', 'SELECT created_at FROM app.users ORDER BY created_at LIMIT 10', 1 ],
	[ 'the latest changes', 'SELECT updated_at FROM app.users ORDER BY updated_at DESC LIMIT 10', 1 ],
	[ 'what changed', "SELECT id FROM app.users WHERE updated_at >= (SELECT max(updated_at) FROM neon_auth.users_sync)", 1 ],
	[ 'the number', 'SELECT count(*) FROM app.users', 1 ],
	[ 'some of them', 'SELECT count(*) FROM (SELECT 1 FROM app.users LIMIT 7) u', 1 ])
{
	my ($name, $sql, $requests) = @$_;

	is(query($sql), query("SET neon_auth_fdw.pushdown = off; $sql"), "$name: the same answer");
	my ($sent) = query("EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) $sql") =~ /Requests: (\d+)/;
	is($sent, $requests, "$name: requests");
}

# The directory changes while a cursor reads it: each user that stays is read once.

my @removed = map { "user$_\@example.com" } (1, 2, 3, 11, 12);
my $changes = join "\n", map { "\\! $client remove $_ >/dev/null" } @removed;
{
	local $ENV{BETTER_AUTH_URL} = $auth->url;
	local $ENV{BETTER_AUTH_TOKEN} = $auth->key;
	my $emails = query(<<"SQL");
BEGIN;
DECLARE c CURSOR FOR SELECT email FROM app.users;
FETCH 30 FROM c;
$changes
FETCH ALL FROM c;
COMMIT;
SQL
	my %read;
	$read{$_}++ for split /\n/, $emails;
	my %stay = map { $_ => 1 } split /\n/, query(q(SELECT email FROM app.users));
	is(join(' ', grep { $read{$_} > 1 } sort keys %read), '', 'nobody is read twice while users are removed');
	is(join(' ', grep { !$read{$_} } sort keys %stay), '', 'and nobody who stays is missed');
}
is(refresh(), 'ok 0 0 126 5 0 0', 'the removed ones are found');

# Users made at the same moment have no order among them but that of their ids.

in_auth(q(UPDATE "user" SET "createdAt" = '2026-01-01', "updatedAt" = now() + interval '1 s'));
is(refresh(), 'ok 0 126 0 0 0 0', 'all are updated when all were created at one moment');
for my $round (1 .. 3)
{
	# another physical order
	in_auth(q(UPDATE "user" SET image = image WHERE random() < 0.5; VACUUM FULL "user"));
	is(query(q(SELECT count(*), count(DISTINCT id) FROM app.users)), '126|126', "each is listed once, round $round");
}
is(refresh(), 'ok 0 0 126 0 0 0', 'and none is believed to be gone');

# One user at a time, and followed

my $late = $auth->call('create', 'Late Comer', 'late@example.com');
in_auth(q(UPDATE "user" SET "createdAt" = now() - interval '1 hour', "updatedAt" = now() - interval '1 minute' WHERE email = 'late@example.com'));
is(query("SELECT name FROM neon_auth.sync_user('better_auth', '$late->{id}')"), 'Late Comer', 'one who has just come is fetched');
$auth->call('remove', $late->{id});
is(query("SELECT deleted_at IS NOT NULL FROM neon_auth.sync_user('better_auth', '$late->{id}')"), 't', 'one who has just gone is marked');
is(query("SELECT count(id) FROM neon_auth.sync_user('better_auth', 'nobody-of-that-name')"), '0', 'one who never was is not there');
my $follower = $node->background_psql('postgres');
$follower->query_until(qr/^$/, "SET client_min_messages = error; CALL neon_auth.follow_users_sync('better_auth', every => '100ms', during => '1h');\n");
$late = $auth->call('create', 'Followed', 'followed@example.com');
ok(wait_until('who is followed', sub { return query("SELECT count(id) FROM neon_auth.users_sync WHERE id = '$late->{id}'") }), 'one who comes while the directory is followed');
$auth->call('remove', $late->{id});
ok(wait_until('who is followed', sub { return query("SELECT deleted_at IS NOT NULL FROM neon_auth.users_sync WHERE id = '$late->{id}'") eq 't' }), 'and goes');
query(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%follow_users_sync%' AND pid <> pg_backend_pid()));
$follower->{run}->finish;

# What the server answers when it does not want to

sub verdict { return query(q(SELECT string_agg(part || ': ' || message, ', ') FROM neon_auth.check_server('better_auth') WHERE verdict IN ('error', 'warning'))); }

is(verdict(), '', 'check_server finds nothing');

my $sessions = in_auth(q(SELECT count(*) FROM session));
in_auth(q(UPDATE "user" SET role = 'user' WHERE email = 'admin@example.com'));
like(refresh(), qr/ERROR:  the provider of server "better_auth" does not let this credential read users/, 'an administrator no more: 403');
is(verdict(), 'list: the provider of server "better_auth" does not let this credential read users', 'which check_server sees');
in_auth(q(UPDATE "user" SET role = 'admin' WHERE email = 'admin@example.com'));
in_auth(q(UPDATE session SET "expiresAt" = now() - interval '1 day'));
like(refresh(), qr/ERROR:  the provider of server "better_auth" did not accept the credential/, 'the session has expired: 401');
is(verdict(), 'credential: the provider of server "better_auth" did not accept the credential', 'and check_server, too');
is(query(q(SELECT string_agg(sqlstate, ' ' ORDER BY run_id) FROM neon_auth.sync_run WHERE error IS NOT NULL)), '42501 28000',
	'both are in the log');
is(query(q(SELECT count(id) FROM neon_auth.users_sync WHERE deleted_at IS NULL)), '126', 'and nobody was marked as deleted');

# Its rate limit is kept to.

my $limited = start_better_auth($node, rate_limit => '3:1');
allow_urls($node, $limited->url);
$node->safe_psql('postgres', 'ALTER SERVER better_auth OPTIONS (SET url ' . "'" . $limited->url . "')");
$node->safe_psql('postgres', 'ALTER USER MAPPING FOR CURRENT_USER SERVER better_auth OPTIONS (SET api_key ' . "'" . $limited->key . "')");
is(query(q(SELECT count(id) FROM app.users)), '126', 'a listing longer than the rate limit is read to its end');

done_testing();
