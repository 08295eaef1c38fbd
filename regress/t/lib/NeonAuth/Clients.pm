
# Clients from npm (regress/clients), run on a full neon_auth.users_sync, one of whose
# thirty users is deleted.
#
#	my $node = client_node();
#	run_client_tests($node, 'clients.test.mjs');
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Clients;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run ();
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(client_node run_client_tests);

my $folder = tree() . '/regress/clients';
my $sim;

sub client_node
{
	BAIL_OUT("$folder has no node_modules (npm ci)") unless -d "$folder/node_modules";
	$sim = start_sim(users => 30);
	my $node = new_node('clients', urls => [ $sim->url ]);

	add_server($node, $sim, options => ", notify 'true'");
	$node->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk')));
	$sim->remove('index/3');
	like($node->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full'))), qr/^ok\|0\|0\|29\|1\|/,
		'a table with a user who is deleted');
	return $node;
}

# Each test of the file is one here.
sub run_client_tests
{
	my ($node, $file) = @_;
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => scalar(getpwuid($<)), PGDATABASE => 'postgres');

	IPC::Run::run([ 'node', '--test', '--test-reporter=tap', "$folder/$file" ], '<', \undef, '>', \my $said, '2>&1',
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	my $status = $? >> 8;
	ok(!$1, $2) while $said =~ /^(not )?ok \d+ - (.*)$/mg;
	is($status, 0, 'and nothing else has failed') or diag($said);
	return;
}

1;
