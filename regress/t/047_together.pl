
# All at once: applications that ask for single users, a follower, refreshes of all
# modes and purges, while users come, change, go and come back.  Whatever order that
# takes, nobody who is live is marked, and afterwards the target equals the directory
# and the numbers are right.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $rounds = 800;
my $seed = $ENV{NAUTH_SEED} || 1;
my $sim = start_sim(users => 200, clock => (time() - 30 * 24 * 60 * 60) * 1000);
my $node = new_node('together', urls => [ $sim->url ], conf => "max_connections = 50\ndeadlock_timeout = '100ms'\n");
my $session = new_session($node);
my $target = 'neon_auth.users_sync';
my (%marked, %ends);

srand($seed);
add_server($node, $sim, options => ", page_size '30'");
$session->must(q(CALL neon_auth.refresh_users_sync('clerk')));
$session->must(q(CREATE TABLE wanted (n serial PRIMARY KEY, id text); INSERT INTO wanted (id) SELECT id FROM neon_auth.users_sync));

# Live users that have been marked since the last look.  A user who came back is
# not, before the next refresh.
sub falsely_marked
{
	my %live = map { $_->{id} => 1 } grep { !$_->{deleted} } @{ $sim->users };
	my %now = map { $_ => 1 } split / /, $session->must("SELECT coalesce(string_agg(id, ' '), '') FROM $target WHERE deleted_at IS NOT NULL");
	my @wrong = grep { !$marked{$_} && $live{$_} } keys %now;

	%marked = %now;
	return @wrong;
}

# Sessions that ask for one user after the other, some for two in a transaction.
my $script = PostgreSQL::Test::Utils::tempdir() . '/ask.sql';
append_to_file($script, <<'SQL');
SET client_min_messages = error;
\set a random(1, 230)
\set b random(1, 230)
BEGIN;
SELECT FROM wanted w, neon_auth.sync_user('clerk', w.id) WHERE n = least(:a, :b);
SELECT FROM wanted w, neon_auth.sync_user('clerk', w.id) WHERE n = :b AND :a % 4 = 0;
COMMIT;
SQL
my $asking = IPC::Run::start(
	[ $node->installed_command('pgbench'), '-n', '-c', 6, '-j', 2, '-T', 3600, '--max-tries', 1000, '-f', $script, $node->connstr('postgres') ],
	'<', \undef, '>', \my $asked, '2>', \my $complaints);
my $following = IPC::Run::start(
	[ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c', q(CALL neon_auth.follow_users_sync('clerk', every => '100ms', during => '1h')) ],
	'<', \undef, '>', \my $followed, '2>&1');
wait_until('the follower', sub { return $session->must('SELECT count(*) FROM neon_auth.sync_progress'); });

my @wrong;
for my $round (1 .. $rounds)
{
	my $index = int(rand(200));
	my $user = $sim->user("index/$index");
	my $what = rand();

	if ($user->{deleted})
	{
		# comes back, another user under the same id
		$sim->create({ id => $user->{id}, name => 'Back ' . rand() }) if $what < 0.3 && !grep { !$_->{deleted} && $_->{id} eq $user->{id} } @{ $sim->users };
	}
	elsif ($what < 0.3) { $sim->remove("index/$index"); }
	elsif ($what < 0.8) { $sim->update("index/$index", { name => 'Changed ' . rand() }); }
	else
	{
		my $new = $sim->create({ name => 'New ' . rand() });
		$session->must("INSERT INTO wanted (id) VALUES ('$new->{id}')");
	}
	if ($round % 10 == 0)
	{
		my $mode = (qw(auto incremental full))[ rand(3) ];
		my $text = $session->ask("CALL neon_auth.refresh_users_sync('clerk', mode => '$mode')");
		$ends{ $text =~ /ERROR:  (\w+)/ ? $1 : $text =~ /^(\w+)\|/m && $1 }++;
		push @wrong, falsely_marked();
	}
	$session->ask("CALL neon_auth.purge_deleted('0')") if $round % 70 == 0;
}
$session->must(q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%follow_users_sync%' AND pid <> pg_backend_pid()));
$following->finish;
$asking->signal('INT');
$asking->finish;
note($complaints);
my $gets = $sim->stats->{get};
cmp_ok($gets, '>', 100, "users were asked for all the time ($gets)");
note(join ', ', map { "$_: $ends{$_}" } sort keys %ends);

is(join(' ', @wrong), '', "nobody who is live was marked (NAUTH_SEED=$seed)");
is(join(' ', grep { !/^(ok|held)$/ } keys %ends), '', 'refreshes came in between, and ended well');
like($followed, qr/canceling statement/, 'the follower went on until it was canceled');
unlike($complaints, qr/ERROR:(?!.*(deadlock|cancel))/, 'no session met another error than that others were first');

# ---- When all are done

for my $mode ('full', 'auto')
{
	my $held = $session->must('SELECT count(*) FROM neon_auth.held_deletion');
	like($session->ask("CALL neon_auth.refresh_users_sync('clerk'" . ($held > 0 ? ", approve_deletions => $held" : ", mode => '$mode'") . ')'), qr/^(ok|held)\|/m, 'a last run');
}
my ($here, $there) = map { "SELECT id, name, email, raw_json, created_at, updated_at FROM $_" } "$target WHERE deleted_at IS NULL", 'app.users';
is($session->must("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d"), 0, 'the target equals the directory');
my $live = grep { !$_->{deleted} } @{ $sim->users };
is($session->must("SELECT concat_ws(' ', live_users, listed_users, (SELECT count(*) FROM neon_auth.sync_delta)) FROM neon_auth.sync_state"), "$live $live 0", 'the numbers are right');
is(join(' ', falsely_marked()), '', 'and nobody who is live is marked');
is($node->safe_psql('postgres', q(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')), 0, 'no lock is left behind');

$node->stop;
done_testing();
