# A refresh writes to the table that it began with or to none: one that gets its name
# in mid run stays as it is, and the run fails and is told.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Hanging;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $sim = start_sim(users => 60);
my $other = start_sim(users => 30, seed => 2);
my $node = new_node('moved', urls => [ $sim->url, $other->url ]);
my $session = new_session($node);

add_server($node, $sim, name => 'one', options => ", page_size '10', request_timeout '5min'");
add_server($node, $other, name => 'two', schema => 'o');
sub sql { return $session->must($_[0]); }

my %moves = (
	'another table gets its name' => [
		'CREATE SCHEMA old; ALTER TABLE neon_auth.users_sync SET SCHEMA old; ALTER TABLE o.users_sync SET SCHEMA neon_auth',
		'ALTER TABLE neon_auth.users_sync SET SCHEMA o; ALTER TABLE old.users_sync SET SCHEMA neon_auth; DROP SCHEMA old' ],
	'it is renamed' => [ 'ALTER TABLE neon_auth.users_sync RENAME TO elsewhere', 'ALTER TABLE neon_auth.elsewhere RENAME TO users_sync' ],
	'it has another owner' => [ 'CREATE ROLE other; ALTER TABLE neon_auth.users_sync OWNER TO other', 'ALTER TABLE neon_auth.users_sync OWNER TO CURRENT_USER; DROP ROLE other' ]);

sql(q(CALL neon_auth.refresh_users_sync('one')));
sql(q(CALL neon_auth.refresh_users_sync('two', target => 'o.users_sync')));
for my $what (sort keys %moves)
{
	my ($there, $back) = @{ $moves{$what} };
	my $before = sql('SELECT md5(string_agg(u::text, $$ $$ ORDER BY id)) FROM o.users_sync u');

	$sim->update("index/$_", { name => $what }) for 40 .. 59;
	my $run = hang_refresh($node, $sim, { match => 'list', after => 2 }, q(CALL neon_auth.refresh_users_sync('one', mode => 'full')));
	sql($there);
	like($run->release, qr/ERROR:  55000: table neon_auth\.users_sync is not the one any more/, "$what: the run ends with an error");
	sql($back);
	is(sql('SELECT md5(string_agg(u::text, $$ $$ ORDER BY id)) FROM o.users_sync u'), $before, 'the other table is as it was');
	is(sql(q(SELECT status || ' ' || sqlstate FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1)), 'failed 55000', 'and the log says so');
	sql(q(CALL neon_auth.refresh_users_sync('one')));
	is(sql('SELECT count(*) FROM neon_auth.users_sync t FULL JOIN app.users u USING (id) WHERE t.raw_json IS DISTINCT FROM u.raw_json'), 0, 'the next run makes all equal');
}

$node->stop;
done_testing();
