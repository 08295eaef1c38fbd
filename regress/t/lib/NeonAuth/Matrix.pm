
# What every row of the fault matrix (docs/testing.md) has to show besides its own two
# columns: the target unchanged, or repaired by the next healthy run alone; descriptors
# and memory flat; a cancel that ends the wait within 250 ms; no secret in any sink; no
# process that crashed.
#
#	begin_matrix($node, secrets => ['sk_canary'], redis => $redis);
#	row('F7', scan => sub { ... }, refresh => sub { ... });
#	my $said = unchanged_by('a page cut off', sub { $session->ask('CALL ...') });
#	repairs('after a page cut off');
#	flat('pages cut off', 200, 'SELECT count(id) FROM app.users');
#	cancel_within('a page that never comes', 250, 'SELECT count(id) FROM app.users', n => 5);
#	no_canary();
#	no_crash();
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Matrix;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run ();
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(begin_matrix row unchanged_by repairs refreshed flat cancel_within heard no_canary no_crash);

# By how much what the C library has given out, and the server's own contexts, may grow
# in many repeats; a leak of a few bytes in each is more.
my $growth = 24 * 1024;

my ($node, %is, $control, @heard);

# The node that all rows are about, with the extension and database "postgres".  Options:
# server, the one that repairs refreshes from (clerk); table, its foreign table
# (app.users); target (neon_auth.users_sync); columns in which both are compared;
# secrets, a list of what nobody may be told; redis, a NeonAuth::Redis where no secret
# may be found.
sub begin_matrix
{
	($node, my %how) = @_;
	%is = (
		server => 'clerk',
		table => 'app.users',
		target => 'neon_auth.users_sync',
		columns => 'id, name, email, raw_json, created_at, updated_at',
		secrets => [],
		%how);
	undef $control;
	@heard = ();
	$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS nauth_probe');
	return;
}

# One row of the matrix: its name, perhaps what is special here, and a test of each
# column (scan, refresh, and whatever else asks a provider).
sub row
{
	my ($name, @columns) = @_;
	my $what = @columns % 2 ? ', ' . shift @columns : '';
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	while (my ($column, $test) = splice(@columns, 0, 2))
	{
		subtest("$name: $column$what" => $test);
	}
	return;
}

# ---- The target

# All that a run may write about users, of all targets: lines, cut to be read, by
# what they are.  That a full run was begun, which it notes first of all, is no such thing.
sub written
{
	my $sql = join(' UNION ALL ',
		q(SELECT 'sync_state' AS kind, (to_jsonb(t) - 'unproved')::text AS line FROM neon_auth.sync_state AS t),
		(map { "SELECT '$_', t::text FROM neon_auth.$_ AS t" } qw(sync_delta held_deletion quarantined_user)),
		map { "SELECT '$_', t::text FROM $_ AS t" } split /\n/, $node->safe_psql('postgres', 'SELECT target FROM neon_auth.sync_state'));

	return map { (split /\|/, $_, 2) } split /\n/, $node->safe_psql('postgres', <<"SQL");
SELECT md5(concat(kind, line, row_number() OVER (PARTITION BY kind, line))),
	kind || ' ' || regexp_replace(left(regexp_replace(line, '"\\{.*\\}"', '{}'), 200), '\\s', ' ', 'g')
FROM ($sql) AS w
SQL
}

# The code changes neither a users_sync nor what is known of it; returns what the code
# returns.
sub unchanged_by
{
	my ($what, $code) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %before = written();
	my @got = $code->();
	my %after = written();
	my @changes = ((map { "- $before{$_}" } grep { !$after{$_} } keys %before), map { "+ $after{$_}" } grep { !$before{$_} } keys %after);

	is(join("\n", sort @changes), '', "$what: the target is as it was");
	return wantarray ? @got : $got[0];
}

# Refreshes the target; returns the row that says how it went, or the messages.
sub refreshed
{
	my (%how) = (%is, @_);
	my $more = $how{mode} ? ", mode => '$how{mode}'" : '';
	my ($status, $out, $err) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nCALL neon_auth.refresh_users_sync('$how{server}', target => '$how{target}'$more)");

	push @heard, $err;
	return $status == 0 ? $out : $err;
}

# With the fault gone, one run is all it takes: no lock was left, and the target then
# has each live user of the directory as the directory has it.  Options as those of
# begin_matrix, and mode.
sub repairs
{
	my ($what, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	%how = (%is, %how);
	my ($here, $there) = ("SELECT $how{columns} FROM $how{target} WHERE deleted_at IS NULL", "SELECT $how{columns} FROM $how{table}");

	like(refreshed(%how), qr/^ok\|/, "$what: the next run is well");
	is( $node->safe_psql('postgres', <<"SQL"), '0', "$what: and the target is equal to the directory");
SET neon_auth_fdw.cache = off;
SELECT count(*) FROM (($here EXCEPT ALL $there) UNION ALL ($there EXCEPT ALL $here)) AS difference
SQL
	return;
}

# ---- Descriptors and memory

# What a session has: descriptors, and bytes by kind.
sub held_by
{
	my ($session, $pid) = @_;
	my %held = (descriptors => open_descriptors($pid));

	@held{qw(malloc contexts)} = split /\|/, $session->must('SELECT probe_malloc_bytes(), sum(used_bytes) FROM pg_backend_memory_contexts');
	return \%held;
}

# By what it has grown, by kind.
sub grown
{
	my ($before, $after) = @_;

	return { map { $_ => $after->{$_} - $before->{$_} } keys %$after };
}

sub is_flat
{
	my ($grown) = @_;

	return $grown->{descriptors} <= 0 && $grown->{malloc} < $growth && $grown->{contexts} < $growth;
}

# Repeats it that many times in one session, after a tenth as many, and at least five,
# that fill what is kept: SQL, which may fail, or code that is given the session.  What
# grows once, as for a first thread, does not grow again: there are up to three rounds.
sub flat
{
	my ($what, $times, $task) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $session = new_session($node);
	my $pid = $session->must('SELECT pg_backend_pid()');
	my $repeat = sub {
		for (1 .. $_[0])
		{
			ref $task ? $task->($session) : push @heard, $session->ask($task);
		}
		return held_by($session, $pid);
	};
	my $grown;

	held_by($session, $pid) for 1 .. 3;
	my $before = $repeat->($times / 10 > 5 ? $times / 10 : 5);
	# what is kept may grow for a time, such as threads of libcurl 8.23; a leak does so in each round
	for (1 .. 12)
	{
		my $after = $repeat->($times);

		$grown = grown($before, $after);
		$before = $after;
		last if is_flat($grown);
	}
	cmp_ok($grown->{descriptors}, '<=', 0, "$what: no more descriptors after $times times");
	cmp_ok($grown->{$_}, '<', $growth, "$what: no more memory ($_)") for qw(malloc contexts);
	return;
}

# ---- A cancel

# Whether the session of this process waits in this extension.
sub waits_here
{
	return $control->must("SELECT count(*) FROM pg_stat_activity WHERE pid = $_[0] AND wait_event_type = 'Extension'");
}

# Brings a session into a wait by SQL and has pg_cancel_backend end it.  Each time the
# error is right, no advisory lock is left and the session goes on; and the fastest of n
# attempts took less than that many milliseconds, from the call to the error, which one
# of them does on a machine however slow if the wait listens, and none if it does not.
# Options: n (5); waits, code that tells whether the process given is in the wait, besides
# waiting in this extension; before and after, code for each attempt; setup, SQL before;
# function (pg_cancel_backend) and error; lives (true), whether the session does.
sub cancel_within
{
	my ($what, $milliseconds, $sql, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($fastest, $error) = (9**9, $how{error} // qr/ERROR:  57014: canceling statement due to user request/);

	$control //= new_session($node, database => 'template1');
	for (1 .. $how{n} // 5)
	{
		$how{before}->() if $how{before};
		my $took = one_cancel($what, $sql, $error, %how);
		$how{after}->() if $how{after};

		$fastest = $took if $took < $fastest;
		last if $fastest < $milliseconds;
	}
	note(sprintf('%s: %.0f ms', $what, $fastest));
	cmp_ok($fastest, '<', $milliseconds, "$what: the cancel ends it within $milliseconds ms");
	return $fastest;
}

# One of them: the milliseconds it took.
sub one_cancel
{
	my ($what, $sql, $error, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 2;
	my $session = new_session($node);
	my $pid = $session->must(($how{setup} // '') . ';SELECT pg_backend_pid()');
	my $function = $how{function} // 'pg_cancel_backend';

	$session->begin($sql);
	wait_until("the wait: $what", sub {
		die "$what: it did not wait: " . $session->said if length $session->said;
		return waits_here($pid) && (!$how{waits} || $how{waits}->($pid));
	});
	my $begin = time();
	$control->begin("SELECT $function($pid)");
	my $give_up = $begin + $PostgreSQL::Test::Utils::timeout_default;
	1 while $session->said(0.01) !~ /\n/ && time() < $give_up;
	my $took = 1000 * (time() - $begin);
	$control->finish;

	my $text = $session->finish // $session->said;
	push @heard, $text;
	like($text, $error, "$what: the error of a cancel");
	if ($how{lives} // 1)
	{
		is($session->ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"),
			'0', "$what: and the session goes on, without a lock");
	}
	return $took;
}

# ---- Secrets

# Keeps texts, such as messages that a client was told, for no_canary.
sub heard
{
	push @heard, @_;
	return;
}

# The log of the server since it was made, without what was typed with a secret.
sub server_log
{
	my $text = join('', map { slurp_file($_) } sort grep { /\.log$/ } glob(($node->logfile =~ s/(_\d+)?\.log$//r) . '*'));

	$text =~ s/^.*(ALTER|CREATE) USER MAPPING.*$//mg;
	return $text;
}

# What a dump of the database says, without the mappings, whose options are theirs.
sub dumped
{
	my ($out, $err) = ('', '');

	IPC::Run::run([ $node->installed_command('pg_dump'), '-d', $node->connstr('postgres') ], '>', \$out, '2>', \$err) or die $err;
	$out =~ s/^CREATE USER MAPPING.*?^\);$//msg;
	return $out . $err;
}

sub ask_all { return $node->safe_psql('postgres', $_[0]); }

# By name, where a secret could end up, as code that returns all of it.
my %sinks = (
	'the log' => \&server_log,
	'messages' => sub { return join("\n", grep { defined } @heard) },
	'pg_stat_activity' => sub { return ask_all(q(SELECT a FROM pg_stat_activity AS a WHERE query !~ 'USER MAPPING')) },
	'pg_stat_statements' => sub {
		return '' if ask_all(q(SELECT count(*) FROM pg_extension WHERE extname = 'pg_stat_statements')) eq '0';
		return ask_all(q(SELECT s FROM pg_stat_statements AS s WHERE query !~ 'USER MAPPING'));
	},
	'EXPLAIN' => sub {
		return ($node->psql('postgres', "EXPLAIN (VERBOSE) SELECT * FROM $is{table}; EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM $is{table}"))[1];
	},
	'the tables of the extension' => sub {
		return join("\n", map { ask_all("SELECT t FROM neon_auth.$_ AS t") }
			  qw(sync_state sync_delta sync_run held_deletion quarantined_user sync_digest sync_status sync_progress));
	},
	'views of the extension' => sub { return ask_all('SELECT c FROM neon_auth.connections() AS c; SELECT c FROM neon_auth.cache_stats() AS c') },
	'pg_dump' => \&dumped,
	'Redis' => sub { return $is{redis} ? $is{redis}->dump : '' });

# None of the secrets stands in any sink.  Options: secrets, others than those of
# begin_matrix; except, names of sinks where they may stand.
sub no_canary
{
	my (%how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @secrets = @{ $how{secrets} // $is{secrets} };
	my %except = map { $_ => 1 } @{ $how{except} // [] };

	die 'no secret to look for' unless @secrets;
	for my $sink (grep { !$except{$_} } sort keys %sinks)
	{
		my $text = $sinks{$sink}->();

		is(join(', ', grep { index($text, $_) >= 0 } @secrets), '', "no secret in $sink");
	}
	return;
}

# ---- Crashes

# No process of the server has crashed: by its log, but for as many as the test itself
# killed with signal 9, and it answers.  (2 is the end of one that was told to quit.)
sub no_crash
{
	my ($killed) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @ends = server_log() =~ /^.*(?:was terminated by signal|exited with exit code [^012]|PANIC: |TRAP: |AddressSanitizer|runtime error:).*$/mg;
	my @ours = grep { /terminated by signal 9\b/ } @ends;

	is(join("\n", grep { !/terminated by signal 9\b/ } @ends), '', 'no process of the server has crashed');
	is(scalar @ours, $killed // 0, 'nor was one killed but by this test');
	is(ask_all('SELECT 1'), '1', 'and the server answers');
	return;
}

1;
