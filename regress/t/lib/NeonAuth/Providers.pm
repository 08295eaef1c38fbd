# What is different from provider to provider, for tests that are about all of them.
#
#	my $sim = start_provider('okta', users => 100);
#	add_server($node, $sim, mapping => $providers{okta}{mapping}, options => $providers{okta}{options});
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Providers;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use JSON::PP;
use NeonAuth::Test;

our @EXPORT = qw(start_provider %providers $generic);

my $true = JSON::PP::true;
my $client = "client_id 'client', client_secret 'sk_test_x'";

# Tricks of a list, as faults of their own.
sub tricks { return map { { match => 'list', trick => $_ } } @_; }

# What a directory of one's own has, whatever it is paged by.
our $generic = ", user_path '/users/{id}', not_found_member 'code', not_found_value 'user_not_found'"
  . ", name_member 'first_name', last_name_member 'last_name', email_member 'email', created_at_member 'created_at'"
  . ", updated_at_member 'updated_at', deleted_at_member 'deleted_at', email_parameter 'email', since_parameter 'updated_since'";

# Of each: SQL of its server and mapping; members of raw_json that change by
# themselves; what goes wrong there and nowhere else; states that are changes, and
# the one of users who are deleted and still there; members for option redact.
our %providers = (
	auth0 => {
		mapping => $client,
		volatile => 'last_ip,last_login,logins_count',
		states => [ 'blocked', 'seen', undef ],
		redact => 'identities, nickname',
		faults => [ tricks(qw(default_page no_search no_sort)), map { { match => 'other', status => $_ } } 401, 500, 503 ]
	},
	better_auth => { faults => [ { match => 'list', swallow => $true } ], redact => 'image' },
	clerk => { redact => 'private_metadata' },
	cognito => {
		options => ", user_pool_id 'eu-central-1_Example01'",
		mapping => "access_key_id 'sim_access_key', secret_access_key 'sk_test_x'",
		states => [ 'disabled', 'reset', 'sms', undef ],
		redact => 'Enabled, UserStatus',
		faults => [
			tricks(qw(empty_page same_token)),
			map { { match => $_->[0], status => 400, body => qq({"__type":"$_->[1]","message":"x"}) } }
			  ([ 'list', 'TooManyRequestsException' ], [ 'get', 'ThrottlingException' ], [ 'list', 'InvalidSignatureException' ], [ 'get', 'ResourceNotFoundException' ])
		]
	},
	firebase => {
		options => ", project_id 'demo-project'",
		volatile => 'lastLoginAt,lastRefreshAt',
		timeless => 1,
		states => [ 'disabled', undef ],
		redact => 'providerUserInfo.rawId, emailVerified',
		faults => [ tricks(qw(empty_page blank_token same_token wide_token odd_token number_token null_token no_kind other_kind)) ]
	},
	generic => {
		options => ", list_path '/users', users_member 'data', total_member 'total', paging 'offset'$generic",
		states => [ 'odd', undef ],
		soft => ['deleted'],
		alone => sub { my ($sim, $id) = @_; return ($sim->url . "/users/$id", { Authorization => 'Bearer ' . $sim->key }); },
		is_soft => sub { return defined $_[0]->{deleted_at}; },
		redact => 'department, first_name',
		# only a listing shows who is removed for good
		lists_deletions => 1,
		faults => [ tricks(qw(no_total no_data)), map { { match => 'get', trick => $_ } } qw(proxy wrong_code foreign_id empty_object) ]
	},
	keycloak => {
		options => ", realm 'demo'",
		mapping => $client,
		timeless => 1,
		states => [ 'undated', undef ],
		# who is removed by whatever comes upon it
		fading => 'invalid',
		redact => 'access.view, emailVerified',
		faults => [ tricks(qw(ldap_trouble error_in_page realm_gone)), map { { match => 'other', status => $_ } } 401, 500, 503 ]
	},
	okta => {
		options => ", deprovisioned_as_deleted 'true'",
		volatile => '_links,lastLogin',
		states => [ 'suspended', 'locked_out', 'staged', undef ],
		soft => [ 'deprovisioned', 'undated' ],
		alone => sub { my ($sim, $id) = @_; return ($sim->url . "/api/v1/users/$id", { Authorization => 'SSWS ' . $sim->key }); },
		is_soft => sub { return $_[0]->{status} eq 'DEPROVISIONED'; },
		redact => 'profile.login, passwordChanged',
		# only a listing shows who is removed for good
		lists_deletions => 1,
		faults => [ tricks(qw(foreign_link evil_link no_link lost_link end_link wide_link long_link bare_link twice_link)) ]
	},
	scim => {
		states => [ 'inactive', undef ],
		redact => 'meta.location, active',
		faults => [ tricks(qw(no_resources no_total bad_total extra)) ]
	},
	stack => {
		options => ", project_id '11111111-2222-4333-8444-555555555555'",
		volatile => 'last_active_at_millis',
		timeless => 1,
		states => [ 'anonymous', 'restricted', undef ],
		redact => 'server_metadata',
		faults => [ tricks(qw(excluded included text)) ]
	},
	supabase => {
		volatile => 'identities,factors',
		states => [ 'banned', undef ],
		soft => ['deleted'],
		alone => sub { my ($sim, $id) = @_; return ($sim->url . "/admin/users/$id", { Authorization => 'Bearer ' . $sim->key, apikey => $sim->key }); },
		is_soft => sub { return defined $_[0]->{deleted_at}; },
		redact => 'app_metadata.provider, is_anonymous',
		faults => [ tricks(qw(ties no_total bad_total newest_first no_audience)) ]
	},
	workos => {
		volatile => 'last_sign_in_at',
		redact => 'email_verified',
		# an id is never given again
		ids_once => 1,
		# watermarks are times of the provider's clock
		dated => 1,
		faults => [
			tricks(qw(restart short)), ({ match => 'other', trick => 'stale_event' }) x 4,
			map { { match => 'other', status => $_ } } 403, 422, 500, 503
		]
	});

# A provider whose API is not at the root: Supabase behind its gateway, Google's, and a service of SCIM.
package NeonAuth::Providers::Hosted;
our @ISA = ('NeonAuth::Test::Sim');
my %paths = (firebase => '/v1', scim => '/scim/v2', supabase => '/auth/v1');
sub url { my ($self) = @_; return $self->SUPER::url . $paths{ $self->provider }; }

package NeonAuth::Providers;

# A simulator of the provider; flags as of start_sim.
sub start_provider
{
	my ($provider, %flags) = @_;
	my $sim = start_sim(provider => $provider, %flags);

	return $paths{$provider} ? bless $sim, 'NeonAuth::Providers::Hosted' : $sim;
}

1;
