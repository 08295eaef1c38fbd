
# A database that goes on elsewhere, or from an earlier time: row F46 of the fault matrix.
# A standby is promoted in the middle of a run, the old primary is rewound and promoted in
# turn, and a server is restored to a point between two runs.  Queries go on; the first
# refresh lists the whole directory, with the brake on deletions; and nobody is marked whom
# the provider has.  Copies of one database, and a standby that lost runs, are in 040.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Hanging;
use NeonAuth::Matrix;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $days = 24 * 60 * 60;
my $canary = 'sk_canary_of_failover';
my $sim = start_sim(users => 100, key => $canary, clock => (time() - 30 * $days) * 1000);
my $primary = new_node('primary', urls => [ $sim->url ], allows_streaming => 1, conf => "wal_log_hints = on\nlog_statement = none\nwal_keep_size = '64MB'\n");
my $target = 'neon_auth.users_sync';
my $refresh = q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full'));
my $copied = 'full|the database was promoted, restored or copied since the last refresh';

$primary->enable_archiving;
$primary->restart;
add_server($primary, $sim, options => ", page_size '20'");

sub on_node
{
	my ($node) = @_;

	return begin_matrix($node, secrets => [$canary]);
}

sub sql { my ($node, $sql) = @_; return $node->safe_psql('postgres', $sql); }
sub last_run { return sql($_[0], 'SELECT mode, reason FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1'); }

# Who is marked; and who of these is live at the provider.
sub marked { return sql($_[0], "SELECT count(*) FROM $target WHERE deleted_at IS NOT NULL"); }

sub wrongly_marked
{
	my ($node) = @_;
	my $marked = sql($node, "SELECT string_agg(id, ' ') FROM $target WHERE deleted_at IS NOT NULL");
	my %live = map { $_->{id} => 1 } grep { !$_->{deleted} } @{ $sim->users };

	return join(' ', grep { $live{$_} } split / /, $marked);
}

my ($changes, $next_gone) = (0, 10);

# Some users change, one is new, and so many are gone.
sub change_directory
{
	my ($gone) = @_;

	$changes++;
	$sim->update("index/$_", { name => "Change $changes" }) for 0, 1, 98;
	$sim->create({ name => "New $changes" });
	$sim->remove("index/$next_gone", $gone) if $gone;
	$next_gone += $gone;
	return;
}

# The first run on a node that goes on from another one's state, which lacks so many
# users that are gone: by a full listing, whatever is asked for.
sub first_run_is_full
{
	my ($node, $what) = @_;

	like(refreshed(mode => 'incremental'), qr/ERROR:  55000: .*\nDETAIL:  Reason: the database was promoted, restored or copied/, "$what: an incremental run is refused");
	like(refreshed(), qr/^ok\|/, "$what: a run of mode auto is well");
	is(last_run($node), $copied, "$what: it lists the directory");
	is(wrongly_marked($node), '', "$what: nobody is marked whom the provider has");
	repairs($what);
	is(last_run($node), 'incremental|', "$what: the next run is incremental");
	return;
}

sub make_standby
{
	my ($name, $of) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$of->backup("base_$name");
	$standby->init_from_backup($of, "base_$name", has_streaming => 1);
	$standby->start;
	$of->wait_for_catchup($standby);
	return $standby;
}

on_node($primary);
like(refreshed(), qr/^ok\|100\|/, 'a first run');
my $standby = make_standby('standby', $primary);

# ---- The primary is lost in the middle of a run

my $session = new_session($standby);

row('F46', 'a standby is promoted in the middle of a run of its primary',
	scan => sub {
		is(sql($standby, 'SELECT count(id) FROM app.users'), '100', 'a standby reads the directory');
		like($session->must('BEGIN; DECLARE c CURSOR FOR SELECT id FROM app.users; FETCH 1 FROM c'), qr/^user_/, 'a query has begun there');
	},
	refresh => sub {
		change_directory(3);
		my $run = hang_refresh($primary, $sim, { match => 'list', after => 2 }, $refresh);

		# two pages are written, and have come across
		$primary->wait_for_catchup($standby);
		is(sql($standby, "SELECT count(*) FROM $target WHERE name = 'Change 1'"), '2', 'the standby has the first pages of it');
		$primary->stop('immediate');
		$standby->promote;
		$sim->clear_faults;
		unlike($run->finish, qr/^ok\|/m, 'the run has not ended well');
		on_node($standby);
		is(marked($standby), '0', 'nobody is marked as deleted');
		first_run_is_full($standby, 'promoted');
		is(marked($standby), '3', 'promoted: those who are gone are marked');
		is(sql($standby, q(SELECT string_agg(DISTINCT status, ' ' ORDER BY status) FROM neon_auth.sync_run WHERE status <> 'failed')), 'crashed ok', 'and the log says what became of that run');
	},
	'scan after it' => sub {
		my @rest = split /\n/, $session->must('FETCH ALL FROM c; COMMIT');

		# of what has changed meanwhile it sees what its next pages have
		cmp_ok(scalar(keys %{ { map { $_ => 1 } @rest } }), '>=', 96, 'the query goes on to its end');
		is(sql($standby, 'SELECT count(id) FROM app.users'), '98', 'and the next one has what is new');
	});

# ---- The old primary comes back

sub rewind
{
	my ($old, $new) = @_;
	my $conf = slurp_file($old->data_dir . '/postgresql.conf');

	# pg_rewind wants a clean end, and copies the other's settings
	$old->start;
	$old->stop;
	command_ok([ $old->installed_command('pg_rewind'), '--target-pgdata', $old->data_dir, '--source-server', $new->connstr('postgres'), '--no-sync' ], 'pg_rewind');
	unlink $old->data_dir . '/postgresql.conf';
	append_to_file($old->data_dir . '/postgresql.conf', $conf);
	$old->enable_streaming($new);
	$old->start;
	return $new->wait_for_catchup($old);
}

row('F46', 'the old primary is rewound, and promoted again',
	scan => sub {
		change_directory(2);
		on_node($standby);
		like(refreshed(), qr/^ok\|1\|/, 'the new primary goes on');
		rewind($primary, $standby);
		is(sql($primary, 'SELECT count(id) FROM app.users'), '97', 'the old one reads the directory, as a standby');
	},
	refresh => sub {
		$sim->reset_stats;
		like(($primary->psql('postgres', "\\set VERBOSITY verbose\n$refresh"))[2], qr/ERROR:  25006: cannot execute CALL neon_auth\.refresh_users_sync\(\) during recovery/, 'a refresh is refused there');
		is($sim->asked, 'nothing', 'before any request');
		change_directory(2);
		$standby->stop;
		$primary->promote;
		on_node($primary);
		first_run_is_full($primary, 'rewound');
		is(marked($primary), '7', 'rewound: those who are gone are marked');
	});

# ---- Restored to a point between two runs

my $restored = PostgreSQL::Test::Cluster->new('restored');

row('F46', 'restored to a point between two runs',
	refresh => sub {
		$primary->backup('between');
		change_directory(2);
		like(refreshed(), qr/^ok\|1\|/, 'a run before that point');
		sql($primary, q(SELECT pg_create_restore_point('between')));
		change_directory(4);
		like(refreshed(), qr/^ok\|1\|\d+\|\d+\|4\|/, 'a run after it');
		sql($primary, 'SELECT pg_switch_wal()');
		$primary->stop;

		$restored->init_from_backup($primary, 'between', has_restoring => 1, standby => 0);
		$restored->append_conf('postgresql.conf', "recovery_target_name = 'between'\nrecovery_target_action = promote\narchive_mode = off\n");
		$restored->start;
		$restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'it was not restored';
		on_node($restored);
		is(marked($restored), '9', 'it is as it was then');

		# more are missing at once than may be believed
		change_directory(30);
		like(refreshed(), qr/^held\|\d+\|\d+\|\d+\|0\|34\|/, 'the brake holds deletions');
		is(last_run($restored), $copied, 'of a full listing');
		is(marked($restored), '9', 'nobody is marked');
		like($restored->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk', approve_deletions => 34))), qr/^ok\|\d+\|\d+\|\d+\|34\|0\|/, 'until somebody says so');
		is(wrongly_marked($restored), '', 'nobody is marked whom the provider has');
		repairs('restored');
	},
	scan => sub { is(sql($restored, 'SELECT count(id) FROM app.users'), scalar(grep { !$_->{deleted} } @{ $sim->users }), 'its queries ask the provider as ever') });

no_canary();
no_crash();
$restored->stop;
done_testing();
