
# Applications written for Neon Auth, unchanged: Drizzle's usersSync, node-postgres, and
# the statements of Neon's documentation.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/lib";

use NeonAuth::Clients;
use Test::More;

run_client_tests(client_node(), 'clients.test.mjs');

done_testing();
