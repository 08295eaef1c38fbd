# Directories that are none of ours, by options alone: the examples of docs/providers.md,
# as they stand there, against a real Feathers service and a real Better Auth.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/lib";

use HTTP::Tiny;
use JSON::PP;
use NeonAuth::Test qw(:DEFAULT start_process);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

BAIL_OUT(better_auth_missing()) if better_auth_missing();
BAIL_OUT('regress/feathers has no node_modules (npm ci)') unless -d tree() . '/regress/feathers/node_modules';

my $node = new_node('main');
my $docs = slurp_file(tree() . '/docs/providers.md');

sub query { return $node->safe_psql('postgres', $_[0]); }

# The SQL of an example, with this address and key in the place of its own.
sub example
{
	my ($heading, $url, $key) = @_;
	my ($sql) = $docs =~ /^### \Q$heading\E\n.*?^```text\n(.*?)^```$/ms or die "no example \"$heading\"";

	$sql =~ s{https://[a-z.]+}{$url}g;
	$sql =~ s/api_key '[^']*'/api_key '$key'/;
	return $sql;
}

# Makes the server of an example and looks whether all is well.
sub begin
{
	my ($name, $heading, $url, $key) = @_;

	query(example($heading, $url, $key) . "CREATE SCHEMA $name; IMPORT FOREIGN SCHEMA directory FROM SERVER $name INTO $name");
	is(query("SELECT string_agg(part || ': ' || message, ', ') FROM neon_auth.check_server('$name') WHERE verdict IN ('error', 'warning')"), '', "$name: check_server finds nothing");
	return;
}

# What a refresh did: status and counts.
sub refresh
{
	my ($name, $more) = @_;
	my ($out, $err) = ('', '');

	$node->psql('postgres', "CALL neon_auth.refresh_users_sync('$name', target => '$name.users_sync'" . ($more // '') . ')', stdout => \$out, stderr => \$err);
	return $err if $err =~ /ERROR/;
	return join ' ', (split /\|/, $out)[ 0, 1, 2, 4, 5 ];
}

sub is_equal
{
	my ($name, $what) = @_;

	is(query(qq(SELECT count(*) FROM ((SELECT * FROM $name.users EXCEPT SELECT * FROM $name.users_sync WHERE deleted_at IS NULL)
		UNION ALL (SELECT * FROM $name.users_sync WHERE deleted_at IS NULL EXCEPT SELECT * FROM $name.users)) AS d)), '0', "$name: $what");
	return;
}

# The same answer as of all users.
sub pushed
{
	my ($name, $sql, $requests) = @_;

	is(query($sql), query("SET neon_auth_fdw.pushdown = off; $sql"), "$name: the same answer");
	my ($sent) = query("EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) $sql") =~ /Requests: (\d+)/;
	is($sent // 0, $requests, "$name: requests");
	return;
}

# ---- Feathers

my ($pid, $file) = start_process('feathers', 'node', tree() . '/regress/feathers/server.mjs', '--port-file', 'FILE', '--users', '173');
my $port = slurp_file($file) =~ s/\s//gr;
my $auth = start_better_auth($node);
my $http = HTTP::Tiny->new(default_headers => { 'X-Api-Key' => 'sk_test_x', 'Content-Type' => 'application/json' });

allow_urls($node, "http://127.0.0.1:$port", $auth->url);

sub feathers
{
	my ($method, $path, $body) = @_;
	my $reply = $http->request($method, "http://127.0.0.1:$port$path", { $body ? (content => encode_json($body)) : () });

	die "$method $path: $reply->{status} $reply->{content}" unless $reply->{success};
	return decode_json($reply->{content});
}

begin('feathers', 'Example: a Feathers service', "http://127.0.0.1:$port", 'sk_test_x');
is(query('SELECT count(id), count(DISTINCT id), count(name), count(created_at) FROM feathers.users'), '173|173|173|173', 'all are listed');
is(query(q(SELECT name, email FROM feathers.users WHERE id = '42')), 'First42 Last42|user42@example.com', 'with name and address');
is(query(q(SELECT count(*) FROM feathers.users WHERE raw_json ? 'password')), '0', 'and no password');
pushed('an id', q(SELECT name FROM feathers.users WHERE id = '7'), 1);
pushed('nobody', q(SELECT name FROM feathers.users WHERE id = '100000'), 1);
pushed('an id of another form', q(SELECT name FROM feathers.users WHERE id = '7abc'), 0);
pushed('an address', q(SELECT name FROM feathers.users WHERE email = 'user99@example.com'), 1);
pushed('a hostile address', q(SELECT name FROM feathers.users WHERE email = 'a&$limit=0@x?#['), 1);
pushed('how many', 'SELECT count(*) FROM feathers.users', 1);
is(refresh('feathers'), 'ok 173 0 0 0', 'the first refresh');
is(refresh('feathers', ", mode => 'full'"), 'ok 0 0 0 0', 'a full one writes nothing');
feathers('PATCH', '/users/12', { firstName => 'Ada' });
my $new = feathers('POST', '/users', { firstName => 'New', email => 'new@example.com' });
is(refresh('feathers'), 'ok 1 1 0 0', 'a change, and somebody new');
is(query(q(SELECT mode FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1)), 'incremental', 'by what has changed since');
feathers('DELETE', "/users/$_") for 3, 50, 51, 173;
is(refresh('feathers'), 'ok 0 0 4 0', 'four who are gone');
is(query(q(SELECT concat_ws(' ', mode, reason) FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1)), 'full the provider counts less users than are known', 'which the number of users has shown');
is(query(q(SELECT string_agg(id, ' ' ORDER BY id::int) FROM feathers.users_sync WHERE deleted_at IS NOT NULL)), '3 50 51 173', 'these and no others');
is_equal('feathers', 'and all is equal');

# The directory changes while a cursor reads it: each user that stays is read once.
{
	my $curl = "\\! curl -s -o /dev/null -X DELETE -H 'X-Api-Key: sk_test_x' http://127.0.0.1:$port/users";
	my $ids = query(<<"SQL");
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM feathers.users;
FETCH 60 FROM c;
$curl/1
$curl/2
$curl/8
$curl/9
FETCH ALL FROM c;
COMMIT;
SQL
	my %read;
	$read{$_}++ for split /\n/, $ids;
	is(join(' ', grep { $read{$_} > 1 } sort keys %read), '', 'nobody is read twice while users are removed');
	is(join(' ', grep { !$read{$_} } split /\n/, query('SELECT id FROM feathers.users')), '', 'and nobody who stays is missed');
}
query(q(ALTER SERVER feathers OPTIONS (SET page_parameter '$offset')));
like(refresh('feathers', ", mode => 'full'"), qr/ERROR/, 'a parameter that Feathers takes for a filter is an error');
query(q(ALTER SERVER feathers OPTIONS (SET page_parameter '$skip', SET user_path '/people/{id}')));
like(refresh('feathers', ", mode => 'full'"), qr/ERROR/, 'a path of nobody is an error, though it is answered with 404');
is(query('SELECT count(*) FROM feathers.users_sync WHERE deleted_at IS NOT NULL'), '4', 'and marks nobody');

# ---- Better Auth, as what it is not known to be

$auth->call('create-many', 130, 'user');
begin('auth', 'Example: Better Auth by options', $auth->url, $auth->key);
query(q(ALTER SERVER auth OPTIONS (SET page_size '20')));
is(query('SELECT count(id), count(DISTINCT id), count(name), count(updated_at) FROM auth.users'), '131|131|131|131', 'all are listed');
my ($somebody) = $auth->call('get', 'user7@example.com');
pushed('one of Better Auth', "SELECT name FROM auth.users WHERE id = '$somebody->{id}'", 1);
pushed('nobody of Better Auth', "SELECT name FROM auth.users WHERE id = 'no/such?&id=%'", 1);
pushed('the number of Better Auth', 'SELECT count(*) FROM auth.users', 1);
is(refresh('auth'), 'ok 131 0 0 0', 'the first refresh');
$auth->call('rename', 'user7@example.com', 'Ada King');
my $gone = $auth->call('remove', 'user9@example.com');
is(refresh('auth'), 'ok 0 1 1 0', 'a change, and one who is gone');
is(query('SELECT id FROM auth.users_sync WHERE deleted_at IS NOT NULL'), $gone->{id}, 'who it is');
is_equal('auth', 'and all is equal');
is(query("SELECT count(*) FROM (SELECT * FROM auth.users EXCEPT SELECT u.* FROM auth.users u) d"), '0', 'twice the same');
query(q(ALTER SERVER auth OPTIONS (SET list_path '/api/auth/admin/list-users?sortBy=nothing')));
like(refresh('auth'), qr/ERROR/, 'another list is another directory');
query("ALTER SERVER auth OPTIONS (SET list_path '/api/auth/admin/list-users?sortBy=id&sortDirection=asc', SET users_member 'people')");
like(refresh('auth'), qr/ERROR/, 'a member that is not there is an error');
is(query('SELECT count(*) FROM auth.users_sync WHERE deleted_at IS NOT NULL'), '1', 'and marks nobody');

done_testing();
