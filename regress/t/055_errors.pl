
# What an error of a provider says: server, HTTP status, known code, request id
# and what mends it; wherever the provider puts them, whatever it answers, and in
# all that asks.  And what it never says.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $clerk = start_sim(provider => 'clerk', users => 3, key => 'sk_canary_4711');
my $auth = start_sim(provider => 'better_auth', users => 3, key => 'canary_4711');
my $node = new_node(
	'errors',
	urls => [ map { $_->url } $clerk, $auth ],
	conf => "log_statement = none\n");
add_server($node, $clerk, name => '"my ""clerk"""');
add_server($node, $auth, schema => 'auth');

# Runs SQL; returns what psql printed and said.
sub run_sql
{
	my ($sql) = @_;
	my (undef, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 0);

	return "$out\n$err";
}

# Each request fails like this; the SQL says so in exactly these lines.
sub error_is
{
	my ($name, $sim, $sql, $fault, $detail, $hint) = @_;

	$sim->fault({ times => -1, %$fault });
	my $said = run_sql($sql);
	$sim->clear_faults;
	my ($got) = $said =~ /^DETAIL:  (.*)/m;
	is($got, $detail, "$name: detail");
	($got) = $said =~ /^HINT:  (.*)/m;
	like($got, $hint, "$name: hint") if $hint;
	return $said;
}

# An error body as Clerk writes it, and as Better Auth does.
sub clerk_body { my ($code, $id) = @_; return qq({"errors":[{"code":"$code","message":"No"}],"clerk_trace_id":"$id"}); }
sub auth_body { my ($code) = @_; return qq({"code":"$code","message":"No"}); }

my $list = 'SELECT * FROM app.users';
my $auth_list = 'SELECT * FROM auth.users';

# ---- Where the id is

like(
	error_is('Clerk, 401', $clerk, $list,
		{ status => 401, body => clerk_body('clerk_key_invalid', 'abc123'), headers => { 'CF-Ray' => 'ray-FRA' } },
		'The reply had HTTP status 401, code "clerk_key_invalid", request id "abc123".', qr/secret key.*FOR \.\.\. SERVER "my ""clerk""" OPTIONS/),
	qr/ERROR:  28000: the provider of server "my "clerk"" did not accept the credential/,
	'the message names the server');
error_is('a 401 that Clerk does not explain', $clerk, $list, { status => 401, body => '' },
	'The reply had HTTP status 401.', qr/ALTER USER MAPPING FOR \.\.\. SERVER "my ""clerk""" OPTIONS/);
error_is('a header, where the body has none', $clerk, $list,
	{ status => 500, body => '<html>', headers => { 'CF-Ray' => '8c2f1-FRA' } },
	'The reply had HTTP status 500, request id "8c2f1-FRA".');
error_is('two headers: the provider\'s own', $clerk, $list,
	{ status => 500, body => '', headers => { 'X-Request-Id' => 'other', 'CF-RAY' => 'own', 'cf-ray-2' => 'x' } },
	'The reply had HTTP status 500, request id "own".');
error_is('a header that is common', $auth, $auth_list,
	{ status => 403, body => auth_body('YOU_ARE_NOT_ALLOWED_TO_LIST_USERS'), headers => { 'x-request-id' => 'req:7' } },
	'The reply had HTTP status 403, code "YOU_ARE_NOT_ALLOWED_TO_LIST_USERS", request id "req:7".', qr/user:list.*SERVER better_auth OPTIONS/);
error_is('two headers that are common: the first of them', $auth, $auth_list,
	{ status => 403, body => '{}', headers => { 'CF-Ray' => 'second', 'X-Request-Id' => 'first' } },
	'The reply had HTTP status 403, request id "first".');

# ---- Whatever is answered

error_is('tried again in vain', $clerk, $list, { status => 503, body => clerk_body('internal_clerk_error', 'id5') },
	'Reason: service unavailable (HTTP status 503, code "internal_clerk_error", request id "id5").', qr/Clerk's support/);
error_is('429', $clerk, $list,
	{ status => 429, body => clerk_body('quota_exceeded', 'id4'), headers => { 'Retry-After' => '1000000' } },
	'Reason: too many requests (HTTP status 429, code "quota_exceeded", request id "id4").', qr/quota/);
error_is('redirect', $clerk, $list, { redirect => 'http://127.0.0.1:1/', headers => { 'CF-Ray' => 'id3' } },
	'The reply had HTTP status 302, request id "id3".', qr/"url" of the server/);
error_is('a good status with a bad body', $clerk, $list, { body => '{}', headers => { 'CF-Ray' => 'id2' } },
	'Reason: where the list of users should be is no JSON array (HTTP status 200, request id "id2").');
error_is('another type', $clerk, $list, { body => 'x', content_type => 'text/plain', headers => { 'CF-Ray' => 'id2' } },
	'Reason: the reply is not JSON (HTTP status 200, request id "id2").');
error_is('one user', $clerk, "$list WHERE id = 'x'", { status => 404, body => clerk_body('resource_missing', 'id1') },
	'The reply had HTTP status 404, request id "id1".');
is(run_sql("$list WHERE id = 'x'"), "\n", 'a user who does not exist is no error');

# ---- Whoever asks

my %fault = (status => 401, body => clerk_body('clerk_key_invalid', 'abc123'));
my $detail = 'The reply had HTTP status 401, code "clerk_key_invalid", request id "abc123".';

error_is('refresh', $clerk, q{CALL neon_auth.refresh_users_sync('my "clerk"')}, \%fault, $detail, qr/secret key/);
$clerk->fault({ times => -1, %fault });
my $row = run_sql(q{SELECT detail, hint FROM neon_auth.check_server('my "clerk"') WHERE detail IS NOT NULL});
like($row, qr/^\Q$detail\E\|Set the secret key/m, 'check_server');
$clerk->clear_faults;

# ---- What is never said

my $marker = 'MARKER_815';
my @bodies = (
	clerk_body($marker, 'ada@example.com'), clerk_body($marker, "$marker of Ada"), clerk_body($marker, $marker x 7),
	auth_body($marker), qq({"clerk_trace_id":{"x":"$marker"}}), "<html>$marker");
my @faults = map { { status => $_->[0], body => $_->[1], headers => { 'CF-Ray' => $_->[2], 'X-Request-Id' => $_->[2], 'Retry-After' => '1000000' } } }
  map { my $body = $_; map { [ $_, $body, "$marker/ada\@example.com" ], [ $_, $body, $marker x 7 ] } 400, 403, 429, 500 } @bodies;
my $offset = -s $node->logfile;

for my $sim ($clerk, $auth)
{
	my $sql = ($sim == $clerk ? $list : $auth_list) . ";\n";

	$sim->fault(\@faults);
	my $said = run_sql("SET client_min_messages = debug5; SET log_min_messages = debug5;\n"
		  . 'DISCARD ALL;' . ("$sql SELECT neon_auth.disconnect_all();" x @faults));
	$sim->clear_faults;
	is(scalar(() = $said =~ /ERROR:  \w{5}: /g), scalar @faults, $sim->provider . ': each reply is an error');
	unlike($said, qr/MARKER|ada\@|canary|limit=|order_by/i, $sim->provider . ': nothing of a reply, a key or a query is said');
}
my $log = slurp_file($node->logfile, $offset);
like($log, qr/DETAIL:  .*HTTP status 429/, 'the log has the errors');
unlike($log, qr/MARKER|ada\@|canary|limit=|order_by/i, 'and nothing of a reply, a key or a query');

$node->stop;
done_testing();
