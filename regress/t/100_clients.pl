
# Applications written for Neon Auth, unchanged: Drizzle's usersSync, node-postgres, and
# the statements of Neon's documentation (regress/clients).
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = tree() . '/regress/clients';

BAIL_OUT("$folder has no node_modules (npm ci)") unless -d "$folder/node_modules";

my $sim = start_sim(users => 30);
my $node = new_node('clients', urls => [ $sim->url ]);

add_server($node, $sim, options => ", notify 'true'");
$node->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk')));
$sim->remove('index/3');
is($node->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full'))) =~ s/^(ok\|0\|0\|29\|1)\|.*/$1/sr,
	'ok|0|0|29|1', 'a table with a user who is deleted');

# Each test of the file is one here.
local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => scalar(getpwuid($<)), PGDATABASE => 'postgres');
IPC::Run::run([ 'node', '--test', '--test-reporter=tap', "$folder/clients.test.mjs" ], '<', \undef, '>', \my $said, '2>&1',
	IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
my $status = $? >> 8;
ok(!$1, $2) while $said =~ /^(not )?ok \d+ - (.*)$/mg;
is($status, 0, 'and nothing else has failed') or diag($said);

done_testing();
