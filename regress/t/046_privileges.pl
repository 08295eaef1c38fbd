
# The setup with least privileges, as docs/security.md has it: each role can what it is
# there for, and nothing else, nor can anybody else.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $sim = start_sim(users => 20);
my $node = new_node('privileges', urls => [ $sim->url ]);
my $key = 'sk_test_x';
my $url = $sim->url;
my ($script) = slurp_file(tree() . '/docs/security.md') =~ /^```sql\n(CREATE ROLE auth_owner.*?)^```$/ms or die 'no script in docs/security.md';

$node->safe_psql('postgres', "CREATE SERVER clerk FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url '$url')");
$node->safe_psql('postgres', $script =~ s/sk_live_\.\.\./$key/gr);
$node->safe_psql('postgres', 'CREATE ROLE guest LOGIN; CREATE SCHEMA shop AUTHORIZATION app');

my %session = map {
	my $session = new_session($node);
	$session->must("SET SESSION AUTHORIZATION $_");
	($_ => $session);
} qw(auth_sync app watcher guest);

# What a role gets: what is returned, or the SQLSTATE.
sub outcome
{
	my ($role, $sql) = @_;
	my $text = $session{$role}->ask($sql);

	return $text =~ /ERROR:  (\w{5}):/ ? $1 : $text;
}

my $new = $sim->create({ name => 'New' });
my $denied = qr/^42501$/;
my $sync_user = "SELECT id FROM neon_auth.sync_user('clerk', '$new->{id}')";

# Before the first refresh, and that
like(outcome('app', $sync_user), qr/^55000$/, 'app: before the first refresh there is nobody to fetch');
like(outcome('auth_sync', q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^ok\|21\|/, 'auth_sync refreshes');

# a statement, and what each role gets
for my $row (
	[ q(CALL neon_auth.refresh_users_sync('clerk')), qr/^ok\|/, $denied, $denied, $denied ],
	[ q(CALL neon_auth.follow_users_sync('clerk', during => '0')), qr/^ok\|/, $denied, $denied, $denied ],
	[ q(CALL neon_auth.purge_deleted('1 day')), qr/^0\|0\|/, $denied, $denied, $denied ],
	[ $sync_user, $denied, qr/^$new->{id}$/, $denied, $denied ],
	[ q(SELECT count(*) FROM neon_auth.check_server('clerk') WHERE verdict = 'error'), qr/^0$/, $denied, $denied, $denied ],
	[ q(SELECT neon_auth.create_users_sync()), qr/users_sync$/, $denied, $denied, $denied ],
	[ q(SELECT count(id) FROM neon_auth.users_sync), qr/^21$/, qr/^21$/, $denied, $denied ],
	[ q(SELECT count(raw_json) FROM neon_auth.users_sync), qr/^21$/, $denied, $denied, $denied ],
	[ qq(UPDATE neon_auth.users_sync SET name = name WHERE id = '$new->{id}'), qr/^$/, $denied, $denied, $denied ],
	[ q(DELETE FROM neon_auth.users_sync WHERE id = 'nobody'), qr/^$/, $denied, $denied, $denied ],
	[ q(SELECT count(*) FROM neon_auth.sync_status), qr/^1$/, qr/^0$/, qr/^1$/, qr/^0$/ ],
	[ q(SELECT deleted_users FROM neon_auth.sync_status), qr/^0$/, qr/^$/, qr/^0$/, qr/^$/ ],
	[ q(SELECT neon_auth.deleted_users('neon_auth.users_sync')), qr/^0$/, $denied, qr/^0$/, $denied ],
	[ q(SELECT count(*) > 0 FROM neon_auth.sync_run), qr/^t$/, qr/^f$/, qr/^t$/, qr/^f$/ ],
	[ q(SELECT count(*) FROM neon_auth.sync_progress), qr/^0$/, qr/^0$/, qr/^0$/, qr/^0$/ ],
	[ q(SELECT count(*) FROM neon_auth.sync_digest), $denied, $denied, $denied, $denied ],
	[ q(SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NOT NULL), qr/^1$/, qr/^0$/, qr/^0$/, qr/^0$/ ],
	[ q(SELECT count(*) FROM pg_user_mapping), $denied, $denied, $denied, $denied ],
	[ q(SELECT count(*) > 0 FROM neon_auth.providers()), qr/^t$/, qr/^t$/, qr/^t$/, qr/^t$/ ],
	[ q(SELECT neon_auth.schedule_refresh('clerk')), qr/^55000$/, $denied, $denied, $denied ],
	[ q(CREATE SERVER own FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk')), $denied, $denied, $denied, $denied ],
	[ q(SET neon_auth_fdw.allowed_urls = 'http://localhost'), $denied, $denied, $denied, $denied ],
	[ q(CREATE TABLE shop.orders (user_id text REFERENCES neon_auth.users_sync (id))), $denied, qr/^$/, $denied, $denied ],
	[ q(DELETE FROM neon_auth.sync_state), $denied, $denied, $denied, $denied ],
	[ q(UPDATE neon_auth.sync_run SET status = 'ok'), $denied, $denied, $denied, $denied ],
	[ q(DELETE FROM neon_auth.sync_delta), $denied, $denied, $denied, $denied ],
	[ q(DELETE FROM neon_auth.held_deletion), $denied, $denied, $denied, $denied ],
	[ q(DELETE FROM neon_auth.quarantined_user), $denied, $denied, $denied, $denied ])
{
	my ($sql, @expected) = @$row;

	like(outcome($_, $sql), shift @expected, "$_: $sql") for qw(auth_sync app watcher guest);
}

# The application's foreign key works with what it has.
$new = $sim->create({ name => 'Buyer' });
is(outcome('app', "INSERT INTO shop.orders SELECT id FROM neon_auth.sync_user('clerk', '$new->{id}')"), '', 'app: a foreign key to a user of now');
is($node->safe_psql('postgres', 'SELECT tableowner FROM pg_tables WHERE tablename = \'users_sync\''), 'auth_owner', 'the table has its owner');
is($node->safe_psql('postgres', q(SELECT rolcanlogin FROM pg_roles WHERE rolname = 'auth_owner')), 'f', 'as whom nobody logs in');

$node->stop;
done_testing();
