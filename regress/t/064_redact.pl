# Option redact: what it names is in no raw_json, neither of the foreign table, nor
# of the cache, nor of users_sync, also not of users who have not changed since.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Redis;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $redis = start_redis();
my $sim = start_sim(users => 40);
my $node = new_node('main', urls => [ $sim->url ]);
add_server($node, $sim);

sub sql { return $node->safe_psql('postgres', $_[0]); }

# A canary in each place that is named below, and one that stays.
my $id = $sim->create_raw(<<'JSON')->{id};
{"id": "user_canary", "first_name": "Ada", "last_name": "Lind", "private_metadata": {"k": "CANARY"}, "external_accounts":
 [{"id": 1, "token": {"value": "CANARY", "kind": "x"}}, [{"token": {"value": "CANARY"}}], "text", {"token": "kept"}],
 "a.b": "CANARY", "deep": {"er": {"still": "CANARY", "kept": 1}, "list": [[], {}, null]}, "p\u0061ss": "CANARY", "passage": "kept",
 "email_addresses": [{"id": "e", "email_address": "ada@example.com"}], "primary_email_address_id": "e",
 "created_at": 1735689600000, "updated_at": 1735689600000}
JSON
my $paths = 'a.b, private_metadata, external_accounts.token.value, deep.er.still, pass, not.there, first_name';
my $kept = q(SELECT raw_json -> 'external_accounts' #>> '{3,token}', raw_json #> '{external_accounts,0,token}', raw_json -> 'deep',
 raw_json ->> 'passage', name, raw_json ? 'first_name' FROM %s WHERE id = 'user_canary');
my $expected = 'kept|{"kind": "x"}|{"er": {"kept": 1}, "list": [[], {}, null]}|kept|Ada Lind|f';

sub canaries { return sql("SELECT count(*) FROM $_[0] WHERE raw_json::text LIKE '%CANARY%'"); }

sub as_received
{
	my ($table) = @_;

	return canaries($table) == 1 && sql("SELECT raw_json ? 'private_metadata' FROM $table WHERE id = 'user_canary'") eq 't';
}

ok(as_received('app.users'), 'without the option raw_json is the user as received');
sql(q(CALL neon_auth.refresh_users_sync('clerk')));
ok(as_received('neon_auth.users_sync'), 'so it is in users_sync');

sql("ALTER SERVER clerk OPTIONS (ADD redact '$paths')");
is(canaries('app.users'), 0, 'what is named is not in the foreign table');
is(sql(sprintf $kept, 'app.users'), $expected, 'and all else is as it was, the columns too');
is(sql("SELECT count(*) FROM app.users WHERE id = 'user_canary' AND raw_json::text NOT LIKE '%CANARY%'"), 1, 'nor in a lookup');

# The row has to be written though the user has not changed.
$sim->reset_stats;
my $run = sql(q(CALL neon_auth.refresh_users_sync('clerk')));
like($run, qr/^ok\|0\|41\|0\|0\|0\|0\|/, 'the next refresh writes all rows anew: each had a first_name');
is(canaries('neon_auth.users_sync'), 0, 'without what is named');
is(sql(sprintf $kept, 'neon_auth.users_sync'), $expected, 'and with all else');
is(sql(q(SELECT reason FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1)),
	'options that decide what rows are like have changed', 'its row in the log says why it was a full one');
like(sql(q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^ok\|0\|0\|/, 'and the one after that writes nothing');
is(sql(q(SELECT mode FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1)), 'incremental', 'and is incremental');
like(sql(q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full'))), qr/^ok\|0\|0\|41\|/, 'nor does a full one');
$sim->update('index/3', { first_name => 'Grace' });
sql(q(SELECT FROM neon_auth.sync_user('clerk', (SELECT id FROM neon_auth.users_sync WHERE id <> 'user_canary' LIMIT 1))));
like(sql(q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^ok\|0\|1\|/, 'a change is seen');
is(sql(q(SELECT count(*) FROM neon_auth.users_sync WHERE raw_json ? 'first_name')), 0, 'and written without what is named');

# Both halves of a cached page, and sessions with other options.
sql("ALTER SERVER clerk OPTIONS (ADD redis_url '" . $redis->url . "', ADD redis_timeout '1min')");
is(canaries('app.users'), 0, 'a page that is put into the cache is without it');
$sim->reset_stats;
is(canaries('app.users'), 0, 'so is one that comes from there');
is($sim->requests, 0, 'which it did');
sql('ALTER SERVER clerk OPTIONS (DROP redact)');
ok(as_received('app.users'), 'without the option the pages of before are not used');
sql(q(CALL neon_auth.refresh_users_sync('clerk')));
ok(as_received('neon_auth.users_sync'), 'and users_sync has all again');

# Users without times of change are told by digests of what was received.
my $timeless = start_sim(provider => 'better_auth', users => 10, hide => 'updatedAt', key => 'k');
allow_urls($node, $sim->url, $timeless->url);
add_server($node, $timeless, schema => 'other');
sql(q(CALL neon_auth.refresh_users_sync('better_auth', target => 'other.users_sync')));
is(sql(q(SELECT count(*) FROM other.users_sync WHERE raw_json ? 'image')), 10, 'users without times of change');
sql(q(ALTER SERVER better_auth OPTIONS (ADD redact 'image')));
like(sql(q(CALL neon_auth.refresh_users_sync('better_auth', target => 'other.users_sync'))), qr/^ok\|0\|10\|0\|/, 'are written anew, too');
is(sql(q(SELECT count(*) FROM other.users_sync WHERE raw_json ? 'image')), 0, 'without what is named');

# Rows of other options than the last refresh had are never left behind: a run that
# fails halfway, or is for one user, under options that are then taken back; and users
# whom a listing leaves out.
sub without { return sql(q(SELECT count(*) FROM neon_auth.users_sync WHERE NOT raw_json ? 'private_metadata')); }

my $lacking = without();
sql("ALTER SERVER clerk OPTIONS (ADD redact 'private_metadata', ADD page_size '10')");
$sim->fault({ match => 'list', after => 2, times => -1, status => 403 });
$node->psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk')));
$sim->clear_faults;
cmp_ok(without(), '>', $lacking, 'a run has failed after some pages');
sql('ALTER SERVER clerk OPTIONS (DROP redact)');
sql(q(CALL neon_auth.refresh_users_sync('clerk')));
is(without(), $lacking, 'the next one writes all of them as it should');
sql("ALTER SERVER clerk OPTIONS (ADD redact 'private_metadata')");
sql(q(SELECT FROM neon_auth.sync_user('clerk', 'user_canary')));
is(without(), $lacking + 1, 'one user is written');
sql('ALTER SERVER clerk OPTIONS (DROP redact)');
sql(q(CALL neon_auth.refresh_users_sync('clerk')));
is(without(), $lacking, 'and by the next run again');
sql("ALTER SERVER clerk OPTIONS (ADD redact 'private_metadata')");
$sim->fault({ match => 'list', times => -1, hide_index => [ 3, 4 ] });
sql(q(CALL neon_auth.refresh_users_sync('clerk')));
is(without(), 39, 'two users are not listed, and not gone');
$sim->clear_faults;
sql(q(CALL neon_auth.refresh_users_sync('clerk')));
is(without(), 41, 'the next run that lists them writes them');

for my $bad ('', ',', 'a,,b', '.a', 'a.', 'a..b', 'x' x 129, join(', ', ('a') x 25))
{
	my (undef, undef, $error) = $node->psql('postgres', "ALTER SERVER clerk OPTIONS (SET redact '$bad')");
	like($error, qr/invalid value for option "redact"\nHINT:  It is a list of up to 24 paths/, 'a value that is none: ' . substr($bad, 0, 10));
}

done_testing();
