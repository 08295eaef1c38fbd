# What is believed to be unchanged is: columns whose members are redacted change with
# their users, and a digest tells only of the row that it was stored with, not of one
# that was put back from a copy, or made with other options.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $project = '11111111-2222-4333-8444-555555555555';
my $stack = start_sim(provider => 'stack', users => 20);
my $clerk = start_sim(users => 20);
my $node = new_node('digest', urls => [ $stack->url, $clerk->url ]);
my $session = new_session($node);

add_server($node, $stack, options => ", project_id '$project', redact 'primary_email'");
add_server($node, $clerk, schema => 'c', options => ", redact 'first_name'");

sub sql { return $session->must($_[0]); }
sub refresh { return sql("CALL neon_auth.refresh_users_sync('stack')") =~ s/(\|[^|]*){2}$//r; }

sub differ
{
	return sql('SELECT count(*) FROM neon_auth.users_sync t FULL JOIN app.users u USING (id)
		WHERE (t.name, t.email, t.raw_json) IS DISTINCT FROM (u.name, u.email, u.raw_json)');
}

# ---- Redacted members

is(refresh(), 'ok|20|0|0|0|0|0', 'a directory without times of change');
is(sql(q(SELECT count(*) FROM neon_auth.users_sync WHERE raw_json ? 'primary_email' OR email IS NULL)), 0, 'whose addresses are in a column alone');
$stack->update('index/0', { email => 'changed@example.com' });
is(refresh(), 'ok|0|1|19|0|0|0', 'one changes');
is(differ(), 0, 'here, too');
is(refresh(), 'ok|0|0|20|0|0|0', 'once');

sql(q(CALL neon_auth.refresh_users_sync('clerk', target => 'c.users_sync')));
my $user = $clerk->user('index/0');
sql(qq(UPDATE c.users_sync SET name = 'Another Name' WHERE id = '$user->{id}'));
sql(q(CALL neon_auth.refresh_users_sync('clerk', target => 'c.users_sync', mode => 'full')));
is(sql('SELECT count(*) FROM c.users_sync t JOIN c.users u USING (id) WHERE t.name <> u.name'),
	1, 'with times of change a row that nobody has changed at the provider is left alone');
$clerk->update('index/0', {});
sql(q(CALL neon_auth.refresh_users_sync('clerk', target => 'c.users_sync')));
is(sql('SELECT count(*) FROM c.users_sync t JOIN c.users u USING (id) WHERE t.name <> u.name'), 0, 'until it is');

# ---- Rows that were put back

sql('ALTER SERVER stack OPTIONS (DROP redact)');
is(refresh(), 'ok|0|20|0|0|0|0', 'without redact all are written');
sql('CREATE TABLE copy AS TABLE neon_auth.users_sync');
$stack->update('index/3', { name => 'New Name' });
is(refresh(), 'ok|0|1|19|0|0|0', 'a name changes');
sql('TRUNCATE neon_auth.users_sync; INSERT INTO neon_auth.users_sync SELECT * FROM copy');
isnt(differ(), 0, 'the table is put back as it was before');
is(refresh(), 'ok|0|1|19|0|0|0', 'the next run sees that');
is(differ(), 0, 'and all is equal again');
is(refresh(), 'ok|0|0|20|0|0|0', 'with nothing left to do');
sql(q(UPDATE neon_auth.users_sync SET updated_at = updated_at - interval '1 s'));
is(refresh(), 'ok|0|0|20|0|0|0', 'rows that are the same are not written, whatever their time');
is(sql('SELECT count(*) FROM neon_auth.sync_digest d JOIN neon_auth.users_sync t USING (id, updated_at)'), 20, 'and their digests are of them again');

# ---- A state that was dropped, with other options

sql(q(ALTER SERVER stack OPTIONS (ADD redact 'server_metadata'); DELETE FROM neon_auth.sync_state));
like(refresh(), qr/^ok\|/, 'a run that knows of no other before');
is(sql(q(SELECT count(*) FROM neon_auth.users_sync WHERE raw_json ? 'server_metadata')), 0, 'keeps no member that is not to be kept');

$node->stop;
done_testing();
