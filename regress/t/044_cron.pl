
# The real pg_cron, in both of its modes: jobs of an ordinary role bring changes in, in
# pg_cron's own database and in another one; they follow; they end as busy where another
# run goes on; and where a job cannot be made, what is said can be done as it stands.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $cron = `pg_config --sharedir` =~ s/\s+\z//r . '/extension/pg_cron.control';
die 'pg_cron is not installed' unless -e $cron;

my %modes = (
	workers => [ 'cron.use_background_workers = on', 'max_worker_processes = 20' ],
	connections => [ 'cron.use_background_workers = off', "cron.host = '$ENV{PGHOST}'" ]);
my %sim = map { $_ => start_sim(users => 20) } sort keys %modes;
my %node;

sub sql { my ($mode, $sql, $database) = @_; return $node{$mode}->safe_psql($database // 'postgres', $sql); }

# What a role says, with the hint where it fails.
sub as
{
	my ($mode, $role, $sql, $database) = @_;
	my ($status, $out, $err) = $node{$mode}->psql($database // 'postgres', "SET ROLE $role; $sql");

	return $out . $err;
}

# ---- Before pg_cron is there

for my $mode (sort keys %modes)
{
	$node{$mode} = new_node($mode, urls => [ $sim{$mode}->url ]);
	add_server($node{$mode}, $sim{$mode});
	sql($mode, 'CREATE DATABASE other');
	sql($mode, 'CREATE EXTENSION neon_auth_fdw', 'other');
	add_server($node{$mode}, $sim{$mode}, database => 'other');
	sql($mode, <<'SQL', $_) for 'postgres', 'other';
DO $$ BEGIN CREATE ROLE worker LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT USAGE ON FOREIGN SERVER clerk TO worker;
CREATE USER MAPPING FOR worker SERVER clerk OPTIONS (api_key 'sk_test_x');
CREATE SCHEMA own AUTHORIZATION worker;
CREATE SCHEMA "followed ""so""" AUTHORIZATION worker;
SQL
}
my $schedule = q(SELECT neon_auth.schedule_refresh('clerk', target => 'own.users_sync'));
my $unschedule = q(SELECT neon_auth.unschedule_refresh('clerk', 'own.users_sync'));
like(as('workers', 'worker', $schedule), qr/cannot schedule a refresh from database "postgres"\nDETAIL:  pg_cron is not loaded.\nHINT:  Add pg_cron to shared_preload_libraries/, 'pg_cron is not loaded');
for my $mode (sort keys %modes)
{
	$node{$mode}->append_conf('postgresql.conf', join("\n", "shared_preload_libraries = 'pg_cron'", @{ $modes{$mode} }));
	$node{$mode}->restart;
}
my $text = as('workers', 'worker', $schedule);
like($text, qr/Extension "pg_cron" does not exist in this database.\nHINT:  As a superuser: CREATE EXTENSION pg_cron;/, 'it has no extension');
sql($_, $text =~ /HINT:  As a superuser: (.*)/) for sort keys %modes;
$text = as('workers', 'worker', $schedule);
like($text, qr/permission denied for schema cron\nHINT:  As a superuser: GRANT/, 'the role may not use it');
sql($_, $text =~ /HINT:  As a superuser: (.*)/) for sort keys %modes;

# ---- What is refused before there is a job

like(as('workers', 'worker', $_->[0]), $_->[1], $_->[2]) for (
	[ q(SELECT neon_auth.schedule_refresh('nobody')), qr/server "nobody" does not exist/, 'no server' ],
	[ q(SELECT neon_auth.schedule_refresh('clerk')), qr/cannot create table "users_sync" in schema "neon_auth"/, 'a target that the role cannot make' ],
	[ q(SELECT neon_auth.schedule_refresh('clerk', target => 'pg_class')), qr/cannot use "pg_class" as a users_sync table/, 'a target that is none' ],
	[ q(SELECT neon_auth.schedule_refresh('clerk', '*/5 * * * *', 'own.users_sync', true)), qr/a job that follows a directory has schedule "\* \* \* \* \*"/, 'to follow now and then' ],
	[ q(SELECT neon_auth.schedule_refresh('clerk', 'now and then', target => 'own.users_sync')), qr/invalid schedule/, 'a schedule that is none' ]);
sql('workers', 'CREATE ROLE guest; GRANT USAGE ON SCHEMA cron TO guest; CREATE SCHEMA guest AUTHORIZATION guest');
like(as('workers', 'guest', q(SELECT neon_auth.schedule_refresh('clerk', target => 'guest.users_sync'))), qr/permission denied for foreign server clerk/, 'a server that the role may not use');
sql('workers', 'GRANT USAGE ON FOREIGN SERVER clerk TO guest');
like(as('workers', 'guest', q(SELECT neon_auth.schedule_refresh('clerk', target => 'guest.users_sync'))), qr/role "guest" has no user mapping/, 'no credential');
is(sql('workers', 'SELECT count(*) FROM cron.job'), 0, 'there is no job');
like(as('workers', 'worker', q(SET search_path = own; SELECT neon_auth.schedule_refresh('clerk', target => 'later'))), qr/^\d+$/, 'one for a table that is not there yet');
is(as('workers', 'worker', q(SET search_path = own; SELECT neon_auth.unschedule_refresh('clerk', 'later'))), 't', 'is found again by that name');

# ---- Jobs

for my $mode (sort keys %modes)
{
	my $id = as($mode, 'worker', q(SELECT neon_auth.schedule_refresh('clerk', '*/5 * * * *', target => 'own.users_sync')));

	like($id, qr/^\d+$/, "$mode: a job");
	is(as($mode, 'worker', $schedule), $id, "$mode: the same with another schedule");
	is(sql($mode, 'SELECT schedule, command, username, database FROM cron.job'),
		q{* * * * *|CALL neon_auth.refresh_users_sync('clerk', target => 'own.users_sync')|worker|postgres}, "$mode: is the job of the role");
	is(as($mode, 'worker', $unschedule), 't', "$mode: it can be removed");
	is(as($mode, 'worker', $unschedule), 'f', "$mode: once");
	is(sql($mode, 'SELECT count(*) FROM cron.job'), 0, "$mode: then there is none");
	like(as($mode, 'worker', $schedule), qr/^\d+$/, "$mode: a job again");
	like(as($mode, 'worker', q(SELECT neon_auth.schedule_refresh('clerk', target => '"followed ""so""".users_sync', follow => true))), qr/^\d+$/, "$mode: one that follows");

	# pg_cron lives in another database
	$text = as($mode, 'worker', $schedule, 'other');
	like($text, qr/cannot schedule a refresh from database "other"\nDETAIL:  pg_cron keeps its jobs in database "postgres"/, "$mode: from another database");
	my ($call) = $text =~ /HINT:  In database "postgres", as a superuser: (.*)/ or die $text;
	like(sql($mode, $call), qr/^\d+$/, "$mode: the call that is printed works");
	is(sql($mode, q(SELECT username, database FROM cron.job ORDER BY jobid DESC LIMIT 1)), 'worker|other', "$mode: for that role and database");
}

# ---- The jobs, not this test, bring the users in

my @targets = ([ 'postgres', 'own.users_sync' ], [ 'other', 'own.users_sync' ], [ 'postgres', '"followed ""so""".users_sync' ]);

# Waits until the condition holds of a target.
sub wait_for
{
	my ($mode, $place, $condition) = @_;
	my ($database, $target) = @$place;

	return wait_until("$mode, $database, $target: $condition", sub {
		return sql($mode, "SELECT to_regclass('$target') IS NOT NULL", $database) eq 't'
		  && sql($mode, "SELECT $condition FROM $target", $database) eq 't';
	});
}

for my $mode (sort keys %modes)
{
	ok(wait_for($mode, $_, 'count(*) = 20'), "$mode: the job has filled $_->[1] of database $_->[0]") for @targets;
	is(sql($mode, q(SELECT tableowner FROM pg_tables WHERE tablename = 'users_sync' AND schemaname = 'own'), $_), 'worker', "$mode: which is the role's, in $_") for 'postgres', 'other';
}

# ---- What check_server says of them

my $check = q(SELECT verdict, message FROM neon_auth.check_server('clerk') WHERE part = 'pg_cron');
for my $mode (sort keys %modes)
{
	my $jobs = q(SELECT jobid FROM cron.job WHERE username = 'worker' AND database = 'postgres' ORDER BY jobid);
	my ($id, $other) = split /\n/, sql($mode, $jobs);

	is(as($mode, 'worker', $check), "ok|job $id: * * * * *", "$mode: check_server sees the job");
	like(as($mode, 'worker', $check, 'other'), qr/^none\|pg_cron keeps its jobs in database "postgres"$/, "$mode: not from another database");
	is(sql($mode, $check), 'none|no job of this role refreshes from the server', "$mode: nor those of other roles");
	is(sql($mode, qq(BEGIN; INSERT INTO cron.job_run_details (jobid, username, status, return_message) VALUES ($id, 'worker', 'failed', 'connection failed'); SET LOCAL ROLE worker;
		$check; ROLLBACK)), "error|the last run of job $id has failed", "$mode: it sees that it has failed");
	is(sql($mode, "BEGIN; UPDATE cron.job SET active = false; SET LOCAL ROLE worker; $check; ROLLBACK"), "warning|job $id is not active", "$mode: or is not active");
}

# Where a job follows, that takes no minute.  Another one meets a run that goes on.
for my $mode (sort keys %modes)
{
	my $session = $node{$mode}->background_psql('postgres');

	$session->query_safe("SELECT pg_advisory_lock(1851880820, 'own.users_sync'::regclass::oid::int)");
	$sim{$mode}->create({ name => 'Followed' });
	ok(wait_for($mode, $targets[2], "count(*) = 21"), "$mode: a new user in the table that is followed");
	is(sql($mode, q(SELECT count(id) FROM own.users_sync)), 20, "$mode: and not in one whose refresh is kept away");
	$modes{$mode} = $session;
}
my $runs = q(SELECT count(*) FROM cron.job_run_details d JOIN cron.job j USING (jobid) WHERE j.database = 'postgres' AND j.command LIKE '%refresh%' AND d.status = 'succeeded');
my %before = map { $_ => sql($_, $runs) } keys %modes;
for my $mode (sort keys %modes)
{
	ok(wait_until("$mode: the next job", sub { return sql($mode, $runs) > $before{$mode} }), "$mode: a job that meets another run ends well");
	is(sql($mode, q(SELECT count(id) FROM own.users_sync)), 20, "$mode: as busy");
	is(sql($mode, q(SELECT string_agg(DISTINCT status, ' ') FROM neon_auth.sync_run)), 'ok', "$mode: which is not a run");
	ok(wait_for($mode, $targets[1], 'count(*) = 21'), "$mode: while the job in the other database runs");
	$modes{$mode}->quit;
	like(sql($mode, q(SELECT string_agg(DISTINCT status, ' ') FROM cron.job_run_details WHERE status NOT IN ('running', 'starting'))), qr/^succeeded$/, "$mode: all jobs have ended well")
	  or diag(sql($mode, 'SELECT * FROM cron.job_run_details'));

	# and away with them
	$text = as($mode, 'worker', $unschedule, 'other');
	my ($call) = $text =~ /HINT:  In database "postgres", as a superuser: (.*)/ or die $text;
	sql($mode, $call);
	is(sql($mode, q(SELECT count(*) FROM cron.job WHERE database = 'other')), 0, "$mode: the call that is printed removes that job");
	is(as($mode, 'worker', $unschedule), 't', "$mode: its own the role removes itself");
	is(as($mode, 'worker', q(SELECT neon_auth.unschedule_refresh('clerk', '"followed ""so""".users_sync'))), 't', "$mode: both");
	is(sql($mode, q(SELECT count(*) FROM cron.job)), 0, "$mode: none is left");
	$node{$mode}->stop('immediate');
}

done_testing();
