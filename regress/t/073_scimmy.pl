# A real service of SCIM 2.0, SCIMMY: what is done to its users through SCIM itself arrives.
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

package NeonAuth::Scimmy;
our @ISA = ('NeonAuth::Test::Provider');
sub url { my ($self) = @_; return $self->SUPER::url . '/scim/v2'; }

package main;

my $folder = tree() . '/regress/scim';

BAIL_OUT('regress/scim has no node_modules (npm ci)') unless -d "$folder/node_modules";

my ($pid, $file) = start_process('scimmy', 'node', "$folder/server.mjs", '--port-file', 'FILE');
my $scim = bless { pid => $pid, port => slurp_file($file) + 0, provider => 'scim', key => 'scim_test_x' }, 'NeonAuth::Scimmy';
my $node = new_node('scimmy', urls => [ $scim->url ]);
my $json = JSON::PP->new->utf8->canonical;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $target = 'scimmy.users_sync';
my $said;

add_server($node, $scim, name => 'scimmy', schema => 'scimmy', options => ", page_size '20'");

# ---- Helpers

# A request of SCIM; returns what it answers.
sub call
{
	my ($method, $path, $body) = @_;
	my $reply = HTTP::Tiny->new->request($method, $scim->url . $path, {
		headers => { Authorization => 'Bearer ' . $scim->key, 'Content-Type' => 'application/scim+json' },
		($body ? (content => $json->encode($body)) : ()) });

	die "$method $path: $reply->{status} $reply->{content}" unless $reply->{success};
	return ($reply->{content} // '') =~ /\S/ ? $json->decode($reply->{content}) : undef;
}

sub create
{
	my ($name, %more) = @_;
	my $address = lc($name) =~ s/ /./gr . '@example.com';

	return call('POST', '/Users', { schemas => ['urn:ietf:params:scim:schemas:core:2.0:User'], userName => $address, displayName => $name,
		emails => [ { value => "home.$address", type => 'home' }, { value => $address, type => 'work', primary => $true } ], active => $true, %more });
}

sub change
{
	my ($id, %values) = @_;

	return call('PATCH', "/Users/$id", { schemas => ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
		Operations => [ map { { op => 'replace', path => $_, value => $values{$_} } } sort keys %values ] });
}

sub outage { HTTP::Tiny->new->post(NeonAuth::Test::Provider::url($scim) . "/control/outage?on=$_[0]"); return; }
sub config { HTTP::Tiny->new->post(NeonAuth::Test::Provider::url($scim) . "/control/config?$_[0]"); return; }

# What it was asked for since the last time.
sub requests { return HTTP::Tiny->new->get(NeonAuth::Test::Provider::url($scim) . '/control/requests')->{content}; }
sub query { return $node->safe_psql('postgres', $_[0]); }

# "status inserted updated unchanged tombstoned held", or what the error says.
sub refresh
{
	my ($more) = @_;
	my ($out, $err) = ('', '');

	$node->psql('postgres', "CALL neon_auth.refresh_users_sync('scimmy', target => '$target'" . ($more ? ", $more" : '') . ')', stdout => \$out, stderr => \$err);
	return $err if $err =~ /ERROR/;
	return join ' ', (split /\|/, $out)[ 0 .. 5 ];
}

sub last_run { return query("SELECT concat_ws(': ', mode, reason, note) FROM neon_auth.sync_run WHERE target = '$target'::regclass ORDER BY run_id DESC LIMIT 1"); }
sub tombstones { return query("SELECT coalesce(string_agg(name, ', ' ORDER BY name), '') FROM $target WHERE deleted_at IS NOT NULL"); }

sub is_equal
{
	my ($name) = @_;

	is(query(<<"SQL"), '0', $name);
SELECT count(*) FROM ((SELECT * FROM scimmy.users EXCEPT SELECT * FROM $target WHERE deleted_at IS NULL)
	UNION ALL (SELECT * FROM $target WHERE deleted_at IS NULL EXCEPT SELECT * FROM scimmy.users)) AS d
SQL
	return;
}

# ---- Create, change, delete

is(refresh(), 'ok 0 0 0 0 0', 'an empty service');
my $ada = create('Ada Lind', password => 'never shown');
is(query('SELECT name, email, raw_json ? \'password\' FROM scimmy.users'), 'Ada Lind|ada.lind@example.com|f', 'a user, with the primary address');
is(query(q(SELECT created_at = (raw_json #>> '{meta,created}')::timestamptz AND updated_at = (raw_json #>> '{meta,lastModified}')::timestamptz FROM scimmy.users)), 't', 'and times');
like(refresh(), qr/^ok 1 0 0 0 0$/, 'is there by a refresh');
my @users = map { create("User $_") } 1 .. 85;
is(refresh("mode => 'full'"), 'ok 85 0 1 0 0', 'many more come over many pages');
is_equal('the target equals the service');
is(query('SELECT count(*), count(DISTINCT id) FROM scimmy.users u'), '86|86', 'a scan has each of them once');
# all are new, so that what has changed of late is more than small pages are worth
query("ALTER SERVER scimmy OPTIONS (SET page_size '200')");
like(refresh(), qr/^ok 0 0 \d+ 0 0$/, 'then nothing is written');
is(last_run(), 'incremental', 'for its filter can be trusted');

change($ada->{id}, displayName => 'Ada King');
change($users[6]{id}, active => $false);
like(refresh(), qr/^ok 0 2 \d+ 0 0$/, 'a change of name, and one who is not active any more, are changes');
is(last_run(), 'incremental', 'that are listed alone');
is(query("SELECT name FROM $target WHERE id = '$ada->{id}'"), 'Ada King', 'are written');
# whom no listing has shown yet it would hold for half a minute
query("UPDATE $target SET created_at = created_at - interval '1 minute' WHERE id = '$users[8]{id}'");
call('DELETE', "/Users/$users[8]{id}");
is(refresh(), 'ok 0 0 85 1 0', 'a deletion');
is(last_run(), 'full: the provider counts less users than are known', 'shows in the count');
is(tombstones(), 'User 9', 'and marks nobody else');
is_equal('the target equals the service again');

# ---- One user, and what is asked for alone

is(query("SELECT name FROM scimmy.users WHERE id = '$ada->{id}'"), 'Ada King', 'a user by id');
is(query("SELECT count(id) FROM scimmy.users WHERE id = '$users[8]{id}'"), '0', 'one who is gone');
is(query("SELECT count(id) FROM scimmy.users WHERE id = '$_'"), '0', "nobody: $_")
  for ('no such id?&x=%', '.search', '..', uc $ada->{id});
is(query('SELECT count(*) FROM scimmy.users'), '85', 'the number of users');
for my $sql ("SELECT name FROM scimmy.users WHERE email = 'user.3\@example.com'",
	"SELECT name FROM scimmy.users WHERE updated_at >= (SELECT max(updated_at) FROM $target)",
	'SELECT count(*) FROM (SELECT 1 FROM scimmy.users LIMIT 7) u')
{
	is(query($sql), query("SET neon_auth_fdw.pushdown = off; $sql"), "$sql: the same as without pushdown");
}
is(query(q(SELECT string_agg(concat_ws(' ', part, verdict), ', ') FROM neon_auth.check_server('scimmy') WHERE part IN ('credential', 'list', 'user', 'count'))),
	'credential ok, list ok, user ok, count ok', 'check_server is content');
my $new = create('Just Now');
is(query("SELECT name FROM neon_auth.sync_user('scimmy', '$new->{id}', target => '$target')"), 'Just Now', 'one who has just come');

# ---- What it says of itself

my $config = call('GET', '/ServiceProviderConfig');
is_deeply([ $config->{filter}, $config->{sort} ], [ { supported => $true, maxResults => 1000 }, { supported => $true } ], 'what it says of itself');
requests();
is(refresh("mode => 'full'"), 'ok 0 0 86 0 0', 'a full refresh');
like(requests(), qr{^/ServiceProviderConfig\n/Users\?count=200&sortBy=id\n}, 'asks for that, and then for pages as large as wanted');
config('filter=1&sort=0&max=40');
is(refresh("mode => 'full'"), 'ok 0 0 86 0 0', 'it says that it does not sort, and that 40 users are enough');
my $requests = requests();
like($requests, qr{^/ServiceProviderConfig\n/Users\?count=40\n(/Users\?count=40&startIndex=\d+\n){2}$}, 'so there are pages of 40 in its own order') or diag($requests);
like(refresh(), qr/^ok 0 0 \d+ 0 0$/, 'the next one writes nothing');
like(requests(), qr{^/ServiceProviderConfig\n(/Users\?count=1\S*\n){3}/Users\?count=40&filter=\S+\n}, 'and begins with the same, and three counts');
config('filter=0&sort=1&max=1000');
is(refresh(), 'ok 0 0 86 0 0', 'it says that it does not filter');
is(last_run(), 'full: the provider cannot be asked for changes alone', 'so all users are listed');
like(requests(), qr{^(/ServiceProviderConfig\n/Users\?count=200&sortBy=id\n)+(?!.*filter=)}, 'and no filter is asked with');
is_equal('the target equals the service');
config('filter=1&sort=1&max=1000');

# ---- The service without its database answers "not found" for everybody

outage(1);
like(refresh(), qr/ERROR: .*\n.*404/s, 'a service without its database: no refresh');
is(query("SELECT deleted_at IS NULL FROM neon_auth.sync_user('scimmy', '$ada->{id}', target => '$target')"), 't', 'nor is a single user believed to be gone');
is(tombstones(), 'User 9', 'nobody is marked');
outage(0);
like(refresh("mode => 'full'"), qr/^ok 0 \d+ \d+ 0 0$/, 'and then all is well');
is_equal('and equal');

done_testing();
