# Amazon Cognito, simulated: requests that are signed, and checked as AWS checks them;
# listings with pages of any length; aliases in the place of ids; errors that have their
# meaning in a code; lists that lag behind.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use IO::Socket::INET;
use JSON::PP;
use NeonAuth::Redis;
use NeonAuth::Shim;
use NeonAuth::Synced;
use NeonAuth::Test;
use POSIX qw(strftime);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $true = JSON::PP::true;
my $pool = 'eu-central-1_Example01';
my $pool_option = ", user_pool_id '$pool'";
my $mapping = "access_key_id 'sim_access_key', secret_access_key 'sk_test_x'";
my $node = new_node('cognito', conf => "timezone = 'UTC'\n");
begin_synced($node, provider => 'cognito', mapping => $mapping);

# ---- Helpers

sub query_fails
{
	my ($name, $sql, $sqlstate, $message) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	like($said = $session->ask($sql), qr/ERROR:  $sqlstate: .*$message/s, $name);
	unlike($said, qr/sk_test_x|sim_access_key|session_of_mine|as the test wants/, 'no secret and nothing of the body is in the message');
	return;
}

sub aws_error { my ($type, $status) = @_; return (status => $status // 400, body => qq({"__type":"$type","message":"of nobody's business"})); }

# ---- All users

directory('scan', $pool_option, users => 150);
query_is('all users', 'SELECT count(id), count(DISTINCT id) FROM scan.users', '150|150', '3 list');
query_is('how many, for which there is but an estimate', 'SELECT count(*) FROM scan.users', '150', '3 list');
query_is('some', 'SELECT count(*) FROM (SELECT 1 FROM scan.users LIMIT 7) u', '7', '1 list');
is(sql(q(SELECT count(*) FROM neon_auth.check_server('scan') WHERE verdict IN ('error', 'warning'))), 0, 'check_server finds nothing');
is($sim->stats->{rejected}, 0, 'nothing was asked that AWS refuses');
my $attribute = q((SELECT a ->> 'Value' FROM jsonb_array_elements(raw_json -> 'Attributes') a WHERE a ->> 'Name' = '%s'));
my ($name, $given, $family, $email, $sub) = map { sprintf $attribute, $_ } qw(name given_name family_name email sub);
query_is('their columns', qq(SELECT count(*), count(name) > 120, count(name) < 150, count(email) < 150, count($name) > 20, count($given) > 20 FROM scan.users WHERE id = raw_json ->> 'Username'
	AND name IS NOT DISTINCT FROM coalesce($name, nullif(concat_ws(' ', $given, $family), '')) AND email IS NOT DISTINCT FROM $email AND deleted_at IS NULL
	AND extract(epoch FROM created_at) = (raw_json ->> 'UserCreateDate')::numeric AND extract(epoch FROM updated_at) = (raw_json ->> 'UserLastModifiedDate')::numeric),
	'150|t|t|t|t|t', '3 list');
$sim->create({ id => 'ada', name => 'Ada Lind', email => 'Ada@Example.com', created_at => 1700000000123, updated_at => 1700000501456 });
$sim->create({ id => 'no.name', created_at => 1700000001000, email => undef, first_name => undef, last_name => undef });
query_is('two of them', q(SELECT id, name, email, created_at, updated_at FROM scan.users WHERE id IN ('ada', 'no.name') ORDER BY id),
	"ada|Ada Lind|Ada\@Example.com|2023-11-14 22:13:20.123+00|2023-11-14 22:21:41.456+00\nno.name|||2023-11-14 22:13:21+00|2023-11-14 22:13:21+00", '2 get');
for my $set ([ 'end=empty', 1 ], [ 'short=7', 1 ], [ 'empty=2', 60 ], [ 'short=1', 60 ], [ 'times=exponent', 13 ], [ [ 'empty=2', 'short=3', 'end=empty', 'times=exponent' ], 60 ])
{
	my ($settings, $size) = @$set;
	my $text = ref $settings ? join(' ', @$settings) : $settings;
	my $schema = 'page_' . ($text =~ tr/a-z0-9/_/cr) . "_$size";

	directory($schema, "$pool_option, page_size '$size'", users => 90, seed => 7, set => $settings);
	query_is("$size on a page, $text", "SELECT count(id), count(DISTINCT id), count(updated_at), min(created_at) FROM $schema.users", '90|90|90|2025-01-01 00:00:00.875+00');
	is(refresh(), 'ok 90/0/0/0', 'and all of them are in a table');
}

# ---- One user

directory('one', $pool_option, users => 90, set => [ 'alias=email', 'usernames=insensitive' ]);
my $somebody = id_of(77);
query_is('by id', "SELECT id = raw_json ->> 'Username' FROM one.users WHERE id = '$somebody'", 't', '1 get');
query_is('the same user from a list', "SELECT count(*) FROM one.users a JOIN (SELECT * FROM one.users OFFSET 0) b ON b.id = a.id AND b IS NOT DISTINCT FROM a WHERE a.id = '$somebody'", '1');
query_is('nobody', "SELECT id FROM one.users WHERE id = 'nobody'", '', '1 get');
query_is('several', "SELECT count(*) FROM one.users WHERE id IN ('$somebody', 'nobody', '" . id_of(78) . "')", '2', '3 get');
query_is('an odd id', "SELECT id FROM one.users WHERE id = \$\$a?b#c&d=%20\x{c3}\x{a9}\\\"}\$\$", '', '1 get');
query_is("what no id can be: '$_'", "SELECT id FROM one.users WHERE id = \$\$$_\$\$", '', 'nothing') for '', ' ', 'a b', "a\nb", 'i' x 129;
$sim->create({ id => 'grace', name => 'Grace Ho', email => 'grace@example.com' });
my $grace_sub = sql("SELECT $sub FROM one.users WHERE id = 'grace'");
like($grace_sub, qr/^[0-9a-f]{8}-/, 'whose Username is her own has a sub');
for (
	[ 'a sub', $grace_sub ],
	[ 'an alias', 'grace@example.com' ],
	[ 'a Username in another case', 'GRACE' ])
{
	my ($what, $id) = @$_;

	pushed_is("$what is nobody's id", "SELECT id FROM one.users WHERE id = '$id'", '1 get');
	query_fails("$what is not found by sync_user", "SELECT * FROM neon_auth.sync_user('one', '$id', 'one.users_sync')", 'HV00M', 'another user answers to this id.*HINT:  Ask for the user by the id')
	  if refresh() =~ /^ok/;
}
query_is('her sub finds her in raw_json', "SELECT id FROM one.users WHERE raw_json -> 'Attributes' \@> '[{\"Name\": \"sub\", \"Value\": \"$grace_sub\"}]'", 'grace', '2 list');
for (
	[ 'no such pool', { aws_error('ResourceNotFoundException') }, 'HV00L', 'has no user directory at this address.*ResourceNotFoundException.*HINT:  Set the id of a user pool' ],
	[ '404', { status => 404, body => '{"__type":"UserNotFoundException"}' }, 'HV00L', 'has no user directory' ],
	[ 'a message alone', { status => 400, body => '{"message":"User does not exist."}' }, 'HV00L', 'refused the request' ],
	[ 'HTML', { status => 400, body => '<h1>User does not exist</h1>' }, 'HV00L', 'refused the request' ],
	[ 'no right', { aws_error('AccessDeniedException') }, '42501', 'AccessDeniedException.*cognito-idp:AdminGetUser' ],
	[ 'something internal', { aws_error('InternalErrorException', 500) }, 'HV00L', 'is not available.*InternalErrorException' ])
{
	my ($what, $fault, $sqlstate, $message) = @$_;

	$sim->fault({ match => 'get', %$fault });
	query_fails("$what is not for a user who does not exist", "SELECT id FROM one.users WHERE id = '$somebody'", $sqlstate, $message);
	$sim->clear_faults;
}

# ---- By address

directory('address', $pool_option, users => 120);
$sim->create({ id => 'ada', name => 'Ada Lind', email => 'Ada@Example.com' });
$sim->create({ id => 'odd', name => 'Odd', email => '"a b\\"@example.com' });
$sim->create({ id => 'longest', email => 'e' x 240 . '@example.com' });
$sim->create({ id => 'slash', email => 'a\b@example.com' });
$sim->create({ id => 'zoe', name => 'Zoe', email => "zo\x{eb}\@example.com" });
my $long = 'e' x 60 . '@example.com';
$sim->create({ id => 'long', email => $long });
pushed_is('an address', q(SELECT id FROM address.users WHERE email = 'Ada@Example.com'), '1 list');
pushed_is('nobody in another case', q(SELECT id FROM address.users WHERE email = 'ada@example.com'), '1 list');
pushed_is('one with an accent', "SELECT id FROM address.users WHERE email = U&'zo\\00EB\@example.com'", '1 list');
pushed_is('a long one', "SELECT id FROM address.users WHERE email = '$long'", '1 list');
pushed_is('one with quotation marks, among all users', q(SELECT id FROM address.users WHERE email = '"a b\\"@example.com'), '3 list');
pushed_is('one with a backslash, too', q(SELECT id FROM address.users WHERE email = 'a\b@example.com'), '3 list');
pushed_is('one that is too long for a filter, too', "SELECT id FROM address.users WHERE email = '" . 'e' x 240 . "\@example.com'", '3 list');
pushed_is('nobody by one that would be another filter', q(SELECT id FROM address.users WHERE email = 'x" or email ^= "'), '3 list');
pushed_is('nobody by one that is too long for a filter', "SELECT id FROM address.users WHERE email = repeat('e', 300)", '3 list');
is($sim->stats->{rejected}, 0, 'nothing was asked that AWS refuses');
$sim->reset_stats;
my $plan = sql(q(EXPLAIN (VERBOSE, COSTS off) SELECT id FROM address.users WHERE id = 'ada'; EXPLAIN (VERBOSE, COSTS off) SELECT id FROM address.users WHERE email = 'ada@example.com'));
is($sim->asked, 'nothing', 'EXPLAIN asks nothing');
like($plan, qr/POST http:\S+ \{"UserPoolId":"$pool","Username":"ada"\}.*POST http:\S+ \{"UserPoolId":"$pool","Limit":60,"Filter":"email = \\"ada\@example.com\\""\}/s, 'and shows the requests');
unlike($plan, qr/sk_test_x|sim_access_key/, 'without the key');
directory('exact', $pool_option, users => 60, set => 'filter_case=exact');
$sim->create({ id => 'ada', email => 'Ada@Example.com' });
pushed_is('where a filter minds the case, an address', q(SELECT id FROM exact.users WHERE email = 'Ada@Example.com'), '1 list');

# ---- Pages that are not what they seem

directory('odd', $pool_option, users => 150);
$sim->fault({ match => 'list', trick => 'empty_page', times => 2 });
query_is('two empty pages before the first', 'SELECT count(id) FROM odd.users', '150', '5 list');
$sim->fault({ match => 'list', trick => 'empty_page', after => 2 });
query_is('one where the last should be', 'SELECT count(id) FROM odd.users', '150', '4 list');
my $user = '{"Username":"x"}';
for my $row (
	[ 'a token that was there before', { trick => 'same_token', times => -1 }, 'HV00M', 'could not read the whole user directory.*repeated a cursor' ],
	[ 'empty pages without end', { trick => 'empty_page', match => 'list', body => '{"Users":[],"PaginationToken":"same"}', times => -1 }, 'HV00M', 'repeated a cursor' ],
	[ 'a token that is none', { body => qq({"Users":[$user],"PaginationToken":{}}) }, 'HV00M', 'no token' ],
	[ 'a token of no length', { body => qq({"Users":[$user],"PaginationToken":""}) }, 'HV00M', 'no token' ],
	[ 'a token that is too long', { body => qq({"Users":[$user],"PaginationToken":") . 't' x 4096 . '"}' }, 'HV00M', 'too long' ],
	[ 'no users', { body => '{}' }, 'HV00M', 'no list of users' ],
	[ 'more users than asked for', { body => '{"Users":[' . join(',', ($user) x 61) . ']}' }, 'HV00M', 'more users than were asked for' ],
	[ 'an error with status 200', { body => '{"__type":"UserNotFoundException"}' }, 'HV00M', 'could not read the reply' ],
	[ 'HTML', { body => '<html>', content_type => 'text/html' }, 'HV00M', 'not JSON' ],
	[ 'a cut page', { cut => 500, times => -1 }, 'HV00M', 'broke' ],
	[ 'a token that is not taken', { aws_error('InvalidParameterException') }, 'HV00L', 'InvalidParameterException' ],
	[ 'no right', { aws_error('AccessDeniedException') }, '42501', 'AccessDeniedException.*IAM policy' ],
	[ 'no right, in words of another', { aws_error('NotAuthorizedException') }, '42501', 'NotAuthorizedException' ],
	[ 'who is not found', { aws_error('UserNotFoundException') }, 'HV00L', 'refused the request' ],
	[ 'no such pool', { aws_error('ResourceNotFoundException') }, 'HV00L', 'has no user directory.*ALTER SERVER odd OPTIONS' ],
	[ 'a code that is unknown', { aws_error('SomethingSecretException') }, 'HV00L', 'The reply had HTTP status 400, request id|The reply had HTTP status 400\.' ])
{
	my ($what, $fault, $sqlstate, $message) = @$row;

	$sim->fault({ match => 'list', after => 1, %$fault });
	query_fails("second page: $what", 'SELECT count(id) FROM odd.users', $sqlstate, $message);
	unlike($said, qr/SomethingSecret|nobody's business/, 'which is not shown');
	$sim->clear_faults;
}
sql("ALTER SERVER odd OPTIONS (SET user_pool_id 'eu-central-1_Other')");
query_fails('a pool that is not there', 'SELECT count(id) FROM odd.users', 'HV00L', 'ResourceNotFoundException", request id "00000000-0000-4000-8000-');
query_fails('nor has a user', "SELECT count(id) FROM odd.users WHERE id = 'ada'", 'HV00L', 'ResourceNotFoundException');

# ---- Too many requests

directory('busy', "$pool_option, redis_timeout '250'", users => 90);
for my $type ('TooManyRequestsException', 'ThrottlingException', 'LimitExceededException', 'com.amazonaws.cognitoidentityprovider#TooManyRequestsException')
{
	$sim->fault({ match => 'list', times => 2, aws_error($type) });
	query_is("$type, and then no more", 'SELECT count(id) FROM busy.users', '90', '4 list');
	$sim->fault({ match => 'get', times => 1, aws_error($type) });
	query_is('or for one user', "SELECT count(*) FROM busy.users WHERE id = '" . id_of(3) . "'", '1', '2 get');
}
$sim->fault({ match => 'list', times => -1, aws_error('TooManyRequestsException') });
$sim->reset_stats;
query_fails('in vain', 'SELECT count(id) FROM busy.users', '53400', 'takes no more requests for now.*HTTP status 400, code "TooManyRequestsException"');
is($sim->stats->{list}, 4, 'after as many tries as for status 429');
$sim->clear_faults;
$sim->fault({ match => 'list', times => 1, aws_error('InvalidParameterException') });
$sim->reset_stats;
query_fails('another error with that status', 'SELECT count(id) FROM busy.users', 'HV00L', 'InvalidParameterException');
is($sim->stats->{list}, 1, 'is not tried again');

# What is cached and old is shown while there are too many requests, and never to whose
# key is not taken, though all of it comes with status 400.
my $redis = start_redis();
directory('cached', "$pool_option, redis_url '" . $redis->url . "', redis_timeout '1min', cache_ttl '1ms', cache_stale_ttl '1h'", users => 90);
query_is('users who are cached', 'SELECT count(id) FROM cached.users', '90', '2 list');
for (
	[ 'TooManyRequestsException', '' ],
	[ 'InvalidSignatureException', '28000' ],
	[ 'UnrecognizedClientException', '28000' ],
	[ 'AccessDeniedException', '42501' ],
	[ 'ThrottlingException', '' ])
{
	my ($type, $sqlstate) = @$_;
	my @marks = grep { /:[blr]$/ } $redis->keys;

	$redis->ask('DEL', @marks) if @marks;
	again();
	$sim->fault({ times => -1, aws_error($type) });
	if ($sqlstate)
	{
		query_fails("$type: old users are not shown", 'SELECT count(id) FROM cached.users', $sqlstate, $type);
	}
	else
	{
		like($session->ask('SELECT count(id) FROM cached.users'), qr/WARNING:.*^90$/ms, "$type: old users are shown, with a warning");
	}
	$sim->clear_faults;
}

# ---- Signatures.  Credentials of the server's mapping, settings of the simulator.

for (
	[ 'wrong_secret', [], "access_key_id 'sim_access_key', secret_access_key 'wrong'", '28000', 'InvalidSignatureException.*HINT:  Check secret_access_key.*region.*clock' ],
	[ 'wrong_id', [], "access_key_id 'other', secret_access_key 'sk_test_x'", '28000', 'UnrecognizedClientException.*HINT:  Set a valid access key with: ALTER USER MAPPING FOR .* SERVER wrong_id' ],
	[ 'wrong_region', [], $mapping, '28000', 'InvalidSignatureException', ", region 'us-east-1'" ],
	[ 'pool_region', ['region=us-east-1'], $mapping, '28000', 'InvalidSignatureException' ],
	[ 'right_region', ['region=us-east-1'], $mapping, '', '', ", region 'us-east-1'" ],
	[ 'clock_behind', ['clock=310'], $mapping, '28000', 'InvalidSignatureException.*HINT:  .*clock of this machine' ],
	[ 'clock_ahead', ['clock=-310'], $mapping, '28000', 'InvalidSignatureException.*HINT:  .*clock of this machine' ],
	[ 'clock_nearly', ['clock=280'], $mapping, '', '' ],
	[ 'clock_nearly_too', ['clock=-280'], $mapping, '', '' ],
	[ 'session', ['session_token=session_of_mine+/=='], "$mapping, session_token 'session_of_mine+/=='", '', '' ],
	[ 'long_session', [ 'session_token=' . 'session_of_mine/+' x 120 ], "$mapping, session_token '" . 'session_of_mine/+' x 120 . "'", '', '' ],
	[ 'session_missing', ['session_token=session_of_mine'], $mapping, '28000', 'UnrecognizedClientException' ],
	[ 'session_wrong', ['session_token=session_of_mine'], "$mapping, session_token 'other'", '28000', 'UnrecognizedClientException' ],
	[ 'session_needless', [], "$mapping, session_token 'session_of_mine'", '28000', 'UnrecognizedClientException' ],
	[ 'session_expired', [ 'session_token=new', 'expired_token=session_of_mine' ], "$mapping, session_token 'session_of_mine'", '28000', 'ExpiredTokenException.*HINT:  Set a valid access key' ],
	[ 'odd_secret', ['access_key_id=AKIA_of_mine_0'], "access_key_id 'AKIA_of_mine_0', secret_access_key 'a:b+/=%25\\c'", '', '', '', { key => 'a:b+/=%25\\c' } ])
{
	my ($name, $set, $credential, $sqlstate, $message, $options, $flags) = @$_;

	directory($name, $pool_option . ($options // ''), users => 3, set => $set, %{ $flags // {} });
	sql("DROP USER MAPPING FOR CURRENT_USER SERVER $name; CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS ($credential)");
	if ($sqlstate)
	{
		query_fails("$name: refused", "SELECT count(id) FROM $name.users", $sqlstate, $message);
		query_fails('for one user, too', "SELECT count(id) FROM $name.users WHERE id = 'ada'", $sqlstate, $message);
	}
	else
	{
		query_is("$name: taken", "SELECT count(id) FROM $name.users", '3', '1 list');
		query_is('for one user, too', "SELECT count(id) FROM $name.users WHERE id = '" . id_of(1) . "'", '1', '1 get');
	}
}

# What the simulator makes of requests that are signed here, by hand.
directory('signed', $pool_option, users => 3);

sub ask_signed
{
	my (%how) = @_;
	my $body = $how{body} // qq({"UserPoolId":"$pool","Limit":1});
	my $date = strftime('%Y%m%dT%H%M%SZ', gmtime(time() + ($how{ahead} // 0)));
	my $day = substr($date, 0, 8);
	my %headers = (
		host => '127.0.0.1:' . $sim->port,
		'content-type' => 'application/x-amz-json-1.1',
		'x-amz-date' => $date,
		'x-amz-target' => 'AWSCognitoIdentityProviderService.ListUsers',
		%{ $how{headers} // {} });
	my @signed = sort grep { !$how{unsigned}{$_} } keys %headers;
	my $names = join(';', $how{disorder} ? reverse @signed : @signed);
	my $scope = join('/', $day, $how{region} // 'eu-central-1', $how{service} // 'cognito-idp', 'aws4_request');
	my $canonical = join("\n", 'POST', '/', '', (map { "$_:$headers{$_}" } @signed), '', $names, sha256_hex($body));
	my $key = 'AWS4sk_test_x';
	$key = hmac_sha256($_, $key) for split m{/}, $scope;
	my $signature = hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $date, $scope, sha256_hex($canonical)), $key);
	my $authorization = $how{authorization} // "AWS4-HMAC-SHA256 Credential=sim_access_key/$scope, SignedHeaders=$names, Signature=$signature";
	my $sent = $how{sent} // $body;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $sim->port, Timeout => 60) or die "connect: $@";
	my $reply = '';

	$socket->syswrite("POST / HTTP/1.1\r\n" . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers)
		  . ($authorization ? "Authorization: $authorization\r\n" : '') . 'Content-Length: ' . length($sent) . "\r\nConnection: close\r\n\r\n$sent");
	1 while $socket->sysread($reply, 65536, length $reply);
	return $reply =~ m{^HTTP/1\.1 200 .*"Users":\[\{}s ? 'good' : join ' ', $reply =~ m{^HTTP/1\.1 (\d+) .*"__type":"(\w+)"}s;
}

for (
	[ 'good', 'a signature by hand' ],
	[ 'good', 'a request of four minutes ago', ahead => -240 ],
	[ '400 InvalidSignatureException', 'one of six minutes ago', ahead => -360 ],
	[ '400 InvalidSignatureException', 'one of six minutes to come', ahead => 360 ],
	[ '400 InvalidSignatureException', 'a body that was changed', sent => qq({"UserPoolId":"$pool","Limit":2}) ],
	[ '400 InvalidSignatureException', 'another region', region => 'us-east-1' ],
	[ '400 InvalidSignatureException', 'another service', service => 'cognito' ],
	[ '400 InvalidSignatureException', 'what is asked is not signed', unsigned => { 'x-amz-target' => 1 } ],
	[ '400 InvalidSignatureException', 'nor the host', unsigned => { host => 1 } ],
	[ '400 InvalidSignatureException', 'headers in another order', disorder => 1 ],
	[ 'good', 'another header is not signed', unsigned => { 'content-type' => 1 } ],
	[ '400 MissingAuthenticationTokenException', 'no signature', authorization => '' ],
	[ '400 IncompleteSignatureException', 'another way to prove oneself', authorization => 'Bearer sk_test_x' ],
	[ '400 IncompleteSignatureException', 'half a signature', authorization => 'AWS4-HMAC-SHA256 Credential=sim_access_key/a/b/c/aws4_request' ],
	[ '400 UnrecognizedClientException', 'the token of no session', headers => { 'x-amz-security-token' => 'x' } ],
	[ '400 UnknownOperationException', 'another operation', headers => { 'x-amz-target' => 'AWSCognitoIdentityProviderService.ListUser' } ],
	[ '400 UnknownOperationException', 'another type', headers => { 'content-type' => 'application/json' } ],
	[ '400 InvalidParameterException', 'too large a page', body => qq({"UserPoolId":"$pool","Limit":61}) ],
	[ '400 InvalidParameterException', 'some attributes', body => qq({"UserPoolId":"$pool","AttributesToGet":["email"]}) ],
	[ '400 InvalidParameterException', 'a token of nobody', body => qq({"UserPoolId":"$pool","PaginationToken":"x"}) ],
	[ '400 SerializationException', 'no JSON', body => '{' ])
{
	my ($answer, $what, %how) = @$_;

	is(ask_signed(%how), $answer, "by hand: $what");
}

# ---- Options

for (
	[ '', qr/HV002: option "user_pool_id" is required for provider "cognito"/, 'the pool is required' ],
	[ ", user_pool_id 'Example01'", qr/option "user_pool_id" is no id of a user pool.*HINT:  .*eu-central-1_Example01/s, 'with its region' ],
	[ "$pool_option, region 'Frankfurt am Main'", qr/ERROR: /, 'a region that is none' ],
	[ "$pool_option, region 'evil.example'", qr/option "region" is no name of a region/, 'nor is this' ],
	[ "$pool_option, page_size '61'", qr/ERROR:  22023:.*takes 1 to 60/s, 'page_size has bounds' ],
	[ "$pool_option, realm 'x'", qr/provider "cognito" has no option "realm"/, 'others are not taken' ])
{
	my ($options, $message, $what) = @$_;

	like($session->ask("CREATE SERVER wrong FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'cognito'$options)"), $message, $what);
}
like($session->ask("CREATE SERVER wrong FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', region 'eu-central-1')"), qr/provider "clerk" has no option "region"/, 'nor do others take these');
for (
	[ '', 'https://cognito-idp.eu-central-1.amazonaws.com/' ],
	[ ", region 'us-east-1'", 'https://cognito-idp.us-east-1.amazonaws.com/' ],
	[ ", region 'cn-north-1'", 'https://cognito-idp.cn-north-1.amazonaws.com.cn/' ],
	[ ", region 'us-east-1', url 'https://cognito-idp-fips.us-east-1.amazonaws.com'", 'https://cognito-idp-fips.us-east-1.amazonaws.com/' ])
{
	my ($options, $url) = @$_;
	my $shown = sql("BEGIN; CREATE SERVER named FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'cognito'$pool_option$options); CREATE USER MAPPING FOR CURRENT_USER SERVER named OPTIONS ($mapping);"
		  . ' CREATE SCHEMA named; IMPORT FOREIGN SCHEMA directory FROM SERVER named INTO named; EXPLAIN (VERBOSE, COSTS off) SELECT id FROM named.users; ROLLBACK');

	like($shown, qr/POST \Q$url\E \{/, "the address, $options");
}
is(sql(q(SELECT url, credentials, required, page_size, max_page_size, pushdown FROM neon_auth.providers() WHERE provider = 'cognito')),
	'|{"access_key_id, secret_access_key"}|{user_pool_id}|60|60|{"id =","email ="}', 'the registry');
for (
	[ "api_key 'sk_test_x'", qr/another credential than provider "cognito" takes/, 'an API key' ],
	[ "access_key_id 'sim_access_key'", qr/another credential than provider "cognito" takes/, 'half an access key' ],
	[ "session_token 'session_of_mine'", qr/option "session_token" requires option "access_key_id"/, 'a session alone' ])
{
	my ($credential, $message, $what) = @$_;

	like($session->ask("BEGIN; DROP USER MAPPING FOR CURRENT_USER SERVER signed; CREATE USER MAPPING FOR CURRENT_USER SERVER signed OPTIONS ($credential); SELECT count(*) FROM signed.users"), $message, "$what is no credential");
	$session->ask('ROLLBACK');
}
$node->append_conf('postgresql.conf', "neon_auth_fdw.allowed_urls = ''\n");
$node->reload;
NeonAuth::Synced::again();
query_fails('an address that is none of Cognito', 'SELECT count(id) FROM signed.users', '42501', 'may not be asked.*HINT:  Options user_pool_id and region of server signed make its address');

# ---- Its own addresses, which need no permission.  Here they lead to this machine, where
# nobody listens; what a query says tells whether it asked.

my $shim = new_shim();
my $names = $shim->new_node('names');
for (
	[ '.amazonaws.com', '', 1 ],
	[ '.amazonaws.com', ", region 'us-gov-west-1'", 1 ],
	[ '.amazonaws.com.cn', ", region 'cn-north-1'", 1 ],
	[ '.amazonaws.com', ", url 'https://cognito-idp.eu-west-3.amazonaws.com'", 1 ],
	[ '.amazonaws.com', ", url 'https://cognito-idp-fips.us-east-1.amazonaws.com'", 1 ],
	map { [ '.test', ", url '$_'", 0 ] } 'http://cognito-idp.eu-west-3.amazonaws.com', 'https://cognito-idp.eu-west-3.amazonaws.com:8443',
	'https://cognito-idp.a.b.amazonaws.com', 'https://cognito-idp.amazonaws.com', 'https://cognito-idp..amazonaws.com', 'https://x.cognito-idp.eu-west-3.amazonaws.com',
	'https://cognito-idp.eu-west-3.amazonaws.com.test', 'https://xcognito-idp.eu-west-3.amazonaws.com', 'https://s3.eu-west-3.amazonaws.com',
	'https://cognito-idp.eu-west-3.xamazonaws.com', 'https://cognito-idp.eu-west-3.amazonaws.com.', 'https://cognito-idp.*.amazonaws.com.cn.test')
{
	my ($end, $options, $allowed) = @$_;

	$shim->resolve_names($end);
	my ($status, $out, $err) = $names->psql('postgres', <<"SQL");
\\set VERBOSITY verbose
BEGIN;
CREATE SERVER named FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'cognito'$pool_option, connect_timeout '5s'$options);
CREATE USER MAPPING FOR CURRENT_USER SERVER named OPTIONS ($mapping);
CREATE FOREIGN TABLE users (id text) SERVER named;
SELECT id FROM users;
SQL
	like($err, $allowed ? qr/ERROR:  HV00N: could not connect/ : qr/ERROR:  (42501: the address .* may not be asked|22023:)/, ($allowed ? 'may' : 'may not') . " be asked:$options");
}
$names->stop;

# ---- Refreshes

directory('sync', $pool_option, users => 150, set => [ 'empty=2', 'short=31' ]);
is(refresh(), 'ok 150/0/0/0', 'the first refresh');
is(difference(), 0, 'makes the table equal to the directory');
my $heap = heap();
is(refresh(), 'ok 0/0/0/0', 'nothing new');
is(heap(), $heap, 'writes nothing');
for my $index (0 .. 9)
{
	$sim->update("index/$index", { name => "New Name $index" });
}
is(refresh(), 'ok 0/10/0/0', 'changes');
is(difference(), 0, 'arrive');
$sim->update('index/11', { state => 'disabled' });
is(refresh(), 'ok 0/1/0/0', 'who is disabled has changed');
is(tombstones(), '', 'and is not deleted');

# whoever is asked for alone is the same row as from a list
$heap = heap();
is(sql("SELECT count(*) FROM (SELECT neon_auth.sync_user('sync', id, 'sync.users_sync') FROM sync.users_sync) s"), 150, 'each user, asked for alone');
is(heap(), $heap, 'is what the list had: nothing is written');
is(sql(q(SELECT count(*) FROM sync.users_sync WHERE raw_json ?| '{UserAttributes,UserMFASettingList,PreferredMfaSetting}' OR NOT raw_json ? 'Attributes')), 0, 'under the same names');
$sim->update('index/12', { name => 'Twelve Alone' });
sql("SELECT neon_auth.sync_user('sync', '" . id_of(12) . "', 'sync.users_sync')");
is(row(id_of(12), 'name'), 'Twelve Alone', 'a change comes this way, too');
is(sql(q(SELECT count(*) FROM sync.users_sync WHERE raw_json ?| '{UserAttributes,UserMFASettingList,PreferredMfaSetting}')), 0, 'in the same form');
$heap = heap();
is(refresh(), 'ok 0/0/0/0', 'and the next refresh');
is(heap(), $heap, 'has nothing to write');

# a deletion is what AdminGetUser says
my $gone = id_of(20);
$sim->remove($gone);
is(refresh(), 'ok 0/0/1/0', 'a deletion');
is($sim->stats->{get} > 0, 1, 'is confirmed by id');
is(tombstones(), $gone, 'and marked');

# a list that lags behind: who is not on it is not gone
$sim->fault({ match => 'list', hide_index => [ 30 .. 34 ], times => -1 });
like(refresh(), qr{^(ok|held) 0/0/0/}, 'users who are missing in a list, but there');
is(tombstones(), $gone, 'are not marked');
$sim->clear_faults;
for my $fault (
	{ aws_error('ResourceNotFoundException') }, { aws_error('UserNotFoundException', 404) }, { aws_error('AccessDeniedException') }, { aws_error('TooManyRequestsException') },
	{ aws_error('InvalidSignatureException') }, { aws_error('InternalErrorException', 500) }, { status => 404, body => '<p>' }, { status => 400, body => '' },
	{ status => 400, body => '{"message":"User does not exist."}' }, { status => 400, body => '{"code":"UserNotFoundException"}' },
	{ status => 200, body => '{"__type":"UserNotFoundException","message":"User does not exist."}' }, { aws_error('UserNotFoundExceptions') })
{
	my $user = $sim->create({ name => 'To Go' });

	refresh();
	$sim->remove($user->{id});
	$sim->fault({ match => 'get', times => -1, %$fault });
	refresh();
	$sim->clear_faults;
	is(row($user->{id}, 'deleted_at IS NULL'), 't', "an answer that is not the right one confirms no deletion: $fault->{status} $fault->{body}");
	refresh();
	is(row($user->{id}, 'deleted_at IS NULL'), 'f', 'the right one does');
}
is(wrongly_marked(), '', 'nobody who is there is marked');
is(difference(), 0, 'the table equals the directory');

# the whole pool missing, or nobody in the list, deletes nobody
my $marked = tombstones();
$sim->fault({ times => -1, aws_error('ResourceNotFoundException') });
is(refresh(), 'HV00L', 'no such pool');
$sim->clear_faults;
$sim->fault({ match => 'list', empty => $true });
like(refresh(), qr{^held 0/0/0/}, 'an empty list');
is(tombstones(), $marked, 'mark nobody');
is(refresh(), 'ok 0/0/0/0', 'the next refresh finds all');

# a row is held whose id finds another user now
directory('alias', $pool_option, users => 40, set => 'alias=email');
my $old = $sim->create({ id => 'old@example.com', name => 'Old Name' });
is(refresh(), 'ok 41/0/0/0', 'a Username that looks like an address');
$sim->remove('old@example.com');
$sim->update('index/5', { email => 'old@example.com' });
is(refresh(), 'held 0/1/0/1', 'is deleted, and somebody else has that for an alias: held');
is(sql(q(SELECT reason FROM neon_auth.held_deletion WHERE id = 'old@example.com')), 'another user answers to its id at the provider', 'and why');
is(row('old@example.com', 'deleted_at IS NULL'), 't', 'its row stays');
$sim->update('index/5', { email => 'new@example.com' });
is(refresh(), 'ok 0/1/1/0', 'until nobody answers');

# who was just created is late in lists, but AdminGetUser knows at once
directory('late', $pool_option, users => 100, set => 'lag=5');
is(refresh(), 'ok 100/0/0/0', 'a list');
my $new = $sim->create({ name => 'New Comer' });
is(sql("SELECT (neon_auth.sync_user('late', '$new->{id}', 'late.users_sync')).name"), 'New Comer', 'a new user, asked for');
is(refresh(), 'ok 0/0/0/0', 'is not on the list yet');
is(row($new->{id}, 'deleted_at IS NULL'), 't', 'and stays');
refresh() for 1 .. 3;
is(difference(), 0, 'until the list has it');

# names of errors may have a namespace
directory('namespaced', $pool_option, users => 30, set => 'errors=namespaced');
refresh();
$sim->remove('index/3');
is(refresh(), 'ok 0/0/1/0', 'a deletion, confirmed by a code with a namespace');

# ---- What tells one directory from another

directory('moved', $pool_option, users => 10, set => 'region=us-east-1');
sql("ALTER SERVER moved OPTIONS (ADD region 'us-east-1')");
is(refresh(), 'ok 10/0/0/0', 'a pool whose endpoint is another');
for (
	[ "SET region 'us-west-2'", qr/28000/, 'a region of an address that stays is for the signature alone' ],
	[ "DROP url", qr/ERROR: /, 'without it the region makes the address' ],
	[ "SET user_pool_id 'us-east-1_Other'", qr/ERROR: /, 'another pool' ])
{
	my ($change, $message, $what) = @$_;

	$sim->reset_stats;
	sql("BEGIN; ALTER SERVER moved OPTIONS ($change)");
	like($said = $session->ask("CALL neon_auth.refresh_users_sync('moved', target => 'moved.users_sync')"), $message, $what);
	is($sim->asked, $change =~ /^SET region/ ? '1 list' : 'nothing', 'asks as much');
	$session->ask('ROLLBACK');
}

done_testing();
