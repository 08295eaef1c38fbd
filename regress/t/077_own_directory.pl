# A directory of one's own, as no other provider is: more users in a reply than the
# cache takes at once, members that are credentials under any spelling, times of
# deletion that are none, and options that are mended while an answer is cached.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('own', conf => "timezone = 'UTC'\n");
my $session = new_session($node);
my $redis = start_redis();
my $json = JSON::PP->new->canonical;
my $columns = ", list_path '/users', users_member 'data', user_path '/users/{id}', not_found_member 'code', not_found_value 'user_not_found'"
  . ", name_member 'first_name', email_member 'email', created_at_member 'created_at', updated_at_member 'updated_at'";
my @urls;

sub sql { return $session->must($_[0]); }

sub directory
{
	my ($name, $options, %flags) = @_;
	my $sim = start_sim(provider => 'generic', %flags);

	push @urls, $sim->url;
	allow_urls($node, @urls);
	add_server($node, $sim, name => $name, schema => $name, options => "$columns$options");
	return $sim;
}

sub refresh
{
	my ($name, $more) = @_;

	return sql("CALL neon_auth.refresh_users_sync('$name', target => '$name.users_sync'" . ($more // '') . ')');
}

# ---- More users in a reply than an element of the cache has

my $sim = directory('whole', ", paging 'none', page_size '5000', redis_url '" . $redis->url . "', redis_timeout '1min'", users => 1000, set => ['paging=none']);
is(sql('SELECT count(raw_json), count(DISTINCT id) FROM whole.users'), '1000|1000', 'a thousand users');
$sim->reset_stats;
is(sql('SELECT count(raw_json) FROM whole.users'), 1000, 'are cached');
is($sim->asked, 'nothing', 'in one reply');
$sim->create({}) for 1 .. 300;
sql(q(SELECT neon_auth.cache_clear('whole')));
for my $again (1, 2)
{
	$sim->reset_stats;
	is(sql('SELECT count(a.raw_json), count(DISTINCT b.id) FROM whole.users a JOIN whole.users b USING (id)'), '1300|1300', 'more are read, in a join with themselves');
	like($sim->asked, qr/^[12] list$/, 'from the provider each time');
}
like(refresh('whole'), qr/^ok\|1300\|/, 'and refreshed');

# ---- Members that are credentials, under any spelling

my @secrets = qw(password Password PASSWORD_HASH passwordHash password-hash otpSecret otp_secret resetPasswordToken);
my @named = map { "m$_" } 0 .. 23;
my $user = $json->encode({ id => 'u1', first_name => 'Ada', created_at => '2026-01-01T00:00:00Z', updated_at => '2026-01-02T00:00:00Z',
	pass => 'port', hash_tag => '#a', (map { $_ => 'canary' } @secrets, @named), inner => { password => 'kept', m0 => 'kept' } });

$sim = directory('secrets', ", redact '" . join(', ', @named) . "'", users => 0);
$sim->create_raw($user);
is(sql(q(SELECT string_agg(k, ' ' ORDER BY k COLLATE "C") FROM secrets.users, jsonb_object_keys(raw_json) AS k)), 'created_at first_name hash_tag id inner pass updated_at',
	'of two long lists nothing is left');
is(sql(q(SELECT raw_json ->> 'inner' FROM secrets.users)), '{"m0": "kept", "password": "kept"}', 'what is within another member is another one');

# ---- Times of deletion that are none

$sim = directory('zero', ", deleted_at_member 'removed_at'", users => 0);
for my $row ([ 'zero', '0001-01-01T00:00:00Z' ], [ 'epoch', '1970-01-01T00:00:00Z' ], [ 'one day', '2999-01-01T00:00:00Z' ], [ 'none', undef ], [ 'past', '2026-01-03T00:00:00Z' ])
{
	$sim->create_raw($json->encode({ id => $row->[0], first_name => $row->[0], created_at => '2026-01-01T00:00:00Z', updated_at => '2026-01-02T00:00:00Z', removed_at => $row->[1] }));
}
is(sql(q(SELECT string_agg(id, ', ' ORDER BY id) FROM zero.users WHERE deleted_at IS NOT NULL)), 'past', 'only who was deleted is');
like(refresh('zero'), qr/^ok\|5\|/, 'a refresh');
is(sql(q(SELECT string_agg(id, ', ' ORDER BY id) FROM zero.users_sync WHERE deleted_at IS NOT NULL)), 'past', 'marks no other');
sql(qq(SELECT id FROM neon_auth.sync_user('zero', '$_', 'zero.users_sync'))) for 'zero', 'one day';
is(sql(q(SELECT string_agg(id, ', ' ORDER BY id) FROM zero.users_sync WHERE deleted_at IS NOT NULL)), 'past', 'nor does sync_user');

# ---- An option that is mended counts at once

$sim = directory('mended', ", paging 'offset', total_member 'total', cache_ttl '1h', redis_url '" . $redis->url . "', redis_timeout '1min'", users => 30, set => ['total=total']);
sql(q(ALTER SERVER mended OPTIONS (ADD id_type 'text')));
is(sql('SELECT count(*) FROM mended.users'), 30, 'a number that is cached');
$sim->create({});
is(sql('SELECT count(*) FROM mended.users'), 30, 'is the same for a while');
sql(q(ALTER SERVER mended OPTIONS (DROP id_type)));
is(sql('SELECT count(*) FROM mended.users'), 31, 'but not with other options');

# ---- Paths that lead elsewhere for whoever decodes them

for my $path ('/..%5c..%5cadmin', '/users%0d%0aX:y', '/users%00', '/%252e%252e/admin', '/a%2fb', '/%2E%2E/a', '/a%3bb', '/a%20b')
{
	like($session->ask("ALTER SERVER mended OPTIONS (SET list_path '$path')"), qr/ERROR:  22023: invalid value for option "list_path"/, "list_path $path");
}
sql(q(ALTER SERVER mended OPTIONS (SET list_path '/users?filter=a%2fb%20c')));
for my $member ('password', 'profile.Password_Hash', 'api-key')
{
	like($session->ask("ALTER SERVER mended OPTIONS (SET name_member '$member')"), qr/ERROR:  HV024: a member that is a credential can be no column/, "name_member $member");
}
like($session->ask("ALTER SERVER mended OPTIONS (ADD deleted_at_member 'created_at')"), qr/ERROR:  HV024: option "deleted_at_member" names another time/, 'a time of deletion that all users have');
like($session->ask("ALTER SERVER mended OPTIONS (ADD deleted_at_member '" . join('.', ('a') x 9) . "')"), qr/ERROR:  22023: .*up to 8 names/s, 'a path of too many names');

$node->stop;
done_testing();
