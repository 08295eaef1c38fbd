
# How fresh a table is that a job of pg_cron follows, each minute for a minute: users
# are changed, created and deleted at random moments, and it is measured how long each
# takes to show in the table.
#
#	FRESHNESS_SECONDS	how long (180), after a third of that in which nothing changes
#	FRESHNESS_USERS		in the directory (10000)
#	FRESHNESS_LATENCY	milliseconds before each answer of the provider (50)
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Session;
use NeonAuth::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = $ENV{FRESHNESS_SECONDS} || 180;
my $users = $ENV{FRESHNESS_USERS} || 10000;
my $latency = $ENV{FRESHNESS_LATENCY} // 50;
my $sim = start_sim(users => $users, latency => $latency, clock => 1000 * int(time() - 30 * 86400));
my $node = new_node('fresh', urls => [ $sim->url ],
	conf => "shared_preload_libraries = 'pg_cron'\ncron.use_background_workers = on\n");
my $session = new_session($node);

# Waits until the condition holds; returns how long that took.
sub seconds_until
{
	my ($condition) = @_;
	my $begin = time();

	sleep(0.01) while $session->must("SELECT $condition") ne 't';
	return time() - $begin;
}

sub row { my ($columns, $id) = @_; return "(SELECT $columns FROM neon_auth.users_sync WHERE id = '$id')"; }

# Some moment of the times of real changes: now.
sub now { return int(1000 * time()); }

my %kinds = (
	changed => sub {
		my ($i) = @_;
		my $id = $sim->user("index/$i")->{id};
		$sim->update($id, { name => "Fresh $i", updated_at => now() });
		return row("name = 'Fresh $i'", $id);
	},
	created => sub {
		my $user = $sim->create({ name => 'New', created_at => now() });
		return 'EXISTS ' . row('true', $user->{id});
	},
	deleted => sub {
		my ($i) = @_;
		my $id = $sim->user("index/$i")->{id};
		$sim->remove($id);
		return row('deleted_at IS NOT NULL', $id);
	});

sub quantile
{
	my ($part, @sorted) = @_;

	return sprintf('%.2f', $sorted[ int($part * $#sorted + 0.5) ]);
}

add_server($node, $sim);
$session->must('CREATE EXTENSION pg_cron');
$session->must(q(SELECT neon_auth.schedule_refresh('clerk', follow => true)));
seconds_until("to_regclass('neon_auth.users_sync') IS NOT NULL");
seconds_until(q(EXISTS (SELECT FROM neon_auth.sync_state WHERE last_success_at IS NOT NULL)));

# Requests an hour since counting began.
my ($begin, $before);
sub begin_counting { ($begin, $before) = (time(), $sim->requests); return; }
sub requests_an_hour { return ($sim->requests - $before) / (time() - $begin) * 3600; }

my %delays;
begin_counting();
sleep($seconds / 3);
my $asked = requests_an_hour();
begin_counting();
srand(1);
for (my $i = 0; time() - $begin < $seconds; $i++)
{
	my $kind = (qw(changed changed created changed created deleted))[ $i % 6 ];

	sleep(rand(1.5));
	push @{ $delays{$kind} }, seconds_until($kinds{$kind}->($i));
}
my $asked_busy = requests_an_hour();

note(sprintf('%d users, %d ms a request, %d s', $users, $latency, time() - $begin));
for my $kind (sort keys %delays)
{
	my @sorted = sort { $a <=> $b } @{ $delays{$kind} };

	note(sprintf('%s: %d times, median %s s, 95th percentile %s s, longest %s s', $kind, scalar @sorted, map { quantile($_, @sorted) } 0.5, 0.95, 1));
}
note(sprintf('%d requests an hour while nothing changes, %d while all that does', $asked, $asked_busy));
is($session->must(q(SELECT count(*) FROM neon_auth.sync_run WHERE status NOT IN ('ok', 'running'))), 0, 'all runs ended well');
$node->stop('immediate');
done_testing();
