
# A hot standby reads the directory, and refuses a refresh before any request;
# after its promotion it refreshes.
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

my $sim = start_sim(users => 20);
my $primary = new_node('primary', urls => [ $sim->url ], allows_streaming => 1);

add_server($primary, $sim);
$primary->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk')));
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

is($standby->safe_psql('postgres', 'SELECT count(id) FROM app.users'), '20', 'a standby reads the directory');
is($standby->safe_psql('postgres', 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(id) FROM app.users; COMMIT'),
	'20', 'in a transaction of any kind that a standby has');
is($standby->safe_psql('postgres', 'SELECT count(id) FROM neon_auth.users_sync'), '20', 'and the replicated users_sync');
is($standby->safe_psql('postgres', 'SELECT live_users FROM neon_auth.sync_status'), '20', 'and its state');

$sim->reset_stats;
my ($status, $out, $err) = $standby->psql('postgres', q(\set VERBOSITY verbose
CALL neon_auth.refresh_users_sync('clerk')));
like($err, qr/ERROR:  25006: cannot execute CALL neon_auth.refresh_users_sync\(\) during recovery/,
	'a refresh is refused on a standby');
is($sim->stats->{list}, 0, 'before any request');

$sim->create({ first_name => 'New' });
$primary->stop;
$standby->promote;
like($standby->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^ok\|1\|0\|20\|0\|0\|0\|/,
	'after the promotion it refreshes');
my $last_run = q(SELECT mode, reason FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1);
is($standby->safe_psql('postgres', $last_run), 'full|the database was promoted, restored or copied since the last refresh',
	'by a full listing, since the last refreshes may have been lost');
$sim->create({ first_name => 'Newer' });
like($standby->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^ok\|1\|0\|\d+\|0\|0\|0\|/, 'and again');
is($standby->safe_psql('postgres', $last_run), 'incremental|', 'incrementally');

done_testing();
