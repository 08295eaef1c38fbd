
# ALTER EXTENSION UPDATE: a later version finds state, target and servers as the
# earlier one left them.  There is one version so far, so a later one is made up
# here, in the private copy of the server.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/lib";

use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($version) = slurp_file(tree() . '/neon_auth_fdw.control') =~ /^default_version = '(.*)'/m;
my $later = '99.0';
my $sharedir = `pg_config --sharedir`;
chomp $sharedir;
my $script = "$sharedir/extension/neon_auth_fdw--$version--$later.sql";

END { unlink $script if defined $script; }

append_to_file($script, <<'SQL');
\echo Use "ALTER EXTENSION neon_auth_fdw UPDATE" to load this file. \quit
ALTER TABLE neon_auth.sync_state ADD COLUMN later_column int;
CREATE FUNCTION neon_auth.later_function() RETURNS int LANGUAGE sql RETURN 1;
SQL

my $sim = start_sim(users => 30);
my $node = new_node('main', urls => [ $sim->url ]);
add_server($node, $sim);
$node->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk')));
my $state = $node->safe_psql('postgres', 'SELECT server, tenant, live_users, watermark FROM neon_auth.sync_state');

is($node->safe_psql('postgres', 'SELECT extversion FROM pg_extension ' . "WHERE extname = 'neon_auth_fdw'"), $version, 'the version of the control file is installed');
$node->safe_psql('postgres', "ALTER EXTENSION neon_auth_fdw UPDATE TO '$later'");
is($node->safe_psql('postgres', 'SELECT neon_auth.later_function()'), '1', 'an update adds what is new');
is($node->safe_psql('postgres', 'SELECT server, tenant, live_users, watermark FROM neon_auth.sync_state'), $state, 'and keeps the state');
$sim->remove('index/3');
like($node->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^ok\|0\|0\|29\|1\|0\|0\|/, 'the next refresh goes on from it');
is($node->safe_psql('postgres', 'SELECT count(id) FROM app.users'), '29', 'the foreign table goes on too');

# A dump of the updated extension asks for no version, so it is restored with the
# control file's, whose state tables take the dumped rows if they have the columns.
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_extension_update_paths('neon_auth_fdw') WHERE source = '$version' AND target = '$later' AND path IS NOT NULL"),
	'1', 'there is a path from this version to a later one');

done_testing();
