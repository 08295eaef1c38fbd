
# Prisma makes models of users_sync and of tables that refer to it, and its client works
# with these.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/lib";

use NeonAuth::Clients;
use Test::More;

run_client_tests(client_node(), 'prisma.test.mjs');

done_testing();
