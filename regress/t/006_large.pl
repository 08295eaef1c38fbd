# 100,000 users: memory stays bounded, requests and statements are counted by
# pages and not by users, a run that finds nothing new writes nothing, and an
# incremental one costs what has changed.  NAUTH_USERS chooses another number.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use constant {
	USERS => $ENV{NAUTH_USERS} || 100_000,
	PAGES => ($ENV{NAUTH_USERS} || 100_000) / 500,
	MEGABYTES => 64,
};

my $sim = start_sim(users => USERS);
my ($library) = run_command([ 'pg_config', '--pkglibdir' ]);
my $counts_statements = -e "$library/pg_stat_statements.so";
my $conf = "shared_buffers = 64MB\nmax_wal_size = 4GB\njit = off\n";
$conf .= "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track = 'all'\n" if $counts_statements;
my $node = new_node('large', urls => [ $sim->url ], conf => $conf);

add_server($node, $sim);
$node->safe_psql('postgres', 'CREATE EXTENSION pg_stat_statements') if $counts_statements;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Memory of a process that it shares with no other, in kB; 0 once it has ended.
sub anonymous_memory
{
	my ($pid) = @_;

	open(my $file, '<', "/proc/$pid/status") or return 0;
	my ($size) = map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$file>;
	return $size // 0;
}

# Runs a statement in a session that has warmed up; returns its output and by how
# many MB its own memory grew at most.
sub measure
{
	my ($statement) = @_;
	my ($in, $out, $err) = ('', '', '');
	my $run = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

	$in .= "SELECT count(*) FROM neon_auth.providers();\nSELECT pg_backend_pid();\n";
	$run->pump until $out =~ /\n(\d+)\n/;
	my $pid = $1;
	my $before = my $most = anonymous_memory($pid);
	$out = '';
	$in .= "$statement;\n\\echo done\n\\q\n";
	while ($out !~ /^done$/m && $run->pumpable)
	{
		my $now = anonymous_memory($pid);
		$most = $now if $now > $most;
		$run->pump_nb;
		sleep(0.005);
	}
	$run->finish;
	# a first refresh tells how far it is, where the machine is slow
	is($err =~ s/^NOTICE:  read \d+ users of server .*\n//mgr, '', "no message: $statement");
	return ($out =~ s/\ndone\n//r, ($most - $before) / 1024);
}

# Calls of statements of a kind since the last time.
sub calls
{
	my ($kind) = @_;

	return sql("SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query ~* '$kind'");
}

sub list_requests
{
	my $stats = $sim->stats;

	$sim->reset_stats;
	return $stats->{list};
}

sub heap
{
	return sql("SELECT concat(sum(hashtext(concat(ctid, xmin, xmax))::bigint), ' ', pg_relation_size('neon_auth.users_sync')) FROM neon_auth.users_sync");
}

my $refresh = "CALL neon_auth.refresh_users_sync('clerk', mode => 'full')";

# ---- The first run

list_requests();
sql('SELECT pg_stat_statements_reset()') if $counts_statements;
my ($row, $growth) = measure($refresh);
note(sprintf('first run: %s, memory grew by %.1f MB', $row, $growth));
like($row, qr/^ok\|${\USERS}\|0\|0\|0\|0\|0\|/, 'the first run writes all users');
memory_below($growth, MEGABYTES, 'F58: the first run takes little memory');
my $requests = list_requests();
ok($requests >= PAGES && $requests <= 1.25 * PAGES, "the first run takes not many more requests than pages ($requests)");
is(sql('SELECT count(DISTINCT id) FROM neon_auth.users_sync WHERE deleted_at IS NULL'), USERS, 'every user is there');

SKIP:
{
	skip 'this PostgreSQL has no pg_stat_statements', 4 unless $counts_statements;
	cmp_ok(calls('^INSERT INTO neon_auth\.users_sync '), '<=', $requests, 'one INSERT a page at most');
	cmp_ok(calls('.'), '<=', 3 * $requests, 'no statement for a single user');
	sql('SELECT pg_stat_statements_reset()');
	my $heap = heap();
	($row) = measure($refresh);
	like($row, qr/^ok\|0\|0\|${\USERS}\|0\|0\|0\|/, 'the second run finds all users unchanged');
	# the page with those whose time of change is within five minutes of the latest
	is(calls('INSERT INTO neon_auth\.users_sync ') . ' ' . heap(), "1 $heap", 'and has but one page looked at again, and nothing written');
}

# ---- The next run

my $heap = heap();
my ($first, $last) = map { $sim->user('index/' . $_)->{id} } 0, USERS - 1;
$sim->update($last, { name => 'Last One' });
$sim->remove($first);
list_requests();
($row, $growth) = measure($refresh);
note(sprintf('next run: %s, memory grew by %.1f MB', $row, $growth));
like($row, qr/^ok\|0\|1\|${\(USERS - 2)}\|1\|0\|0\|/, 'a change and a deletion among many users');
memory_below($growth, MEGABYTES, 'it takes little memory');
$requests = list_requests();
ok($requests >= PAGES && $requests <= 1.25 * PAGES, "it takes not many more requests than pages ($requests)");
is(sql("SELECT string_agg(id, ' ' ORDER BY deleted_at) FROM neon_auth.users_sync WHERE deleted_at IS NOT NULL OR name = 'Last One'"),
	"$first $last", 'the right two rows are written');
isnt(heap(), $heap, 'and that shows');

# ---- Incremental runs

my $auto = "CALL neon_auth.refresh_users_sync('clerk')";

sub seq_scans
{
	return sql(q(SELECT pg_stat_force_next_flush(); SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'neon_auth.users_sync'::regclass)) =~ s/^\n//r;
}

# A run in mode auto: what it says, how many requests and scans of the table it
# takes at most.
sub incremental
{
	my ($what, $expected, $requests, $scans) = @_;
	my $before = seq_scans();

	$sim->reset_stats;
	my ($row, $growth) = measure($auto);
	my $asked = $sim->requests;
	note(sprintf('%s: %s, %s, memory grew by %.1f MB', $what, $row, $sim->asked, $growth));
	like($row, $expected, $what);
	is(sql('SELECT mode FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1'), 'incremental', "$what: the run is incremental");
	cmp_ok($asked, '<=', $requests, "$what: takes at most $requests requests ($asked)");
	cmp_ok(seq_scans() - $before, '<=', $scans, "$what: and $scans scans of the table");
	memory_below($growth, MEGABYTES, "$what: and little memory");
	return;
}

incremental('nothing new', qr/^ok\|0\|0\|\d+\|0\|0\|0\|/, 2, 0);
$sim->update('index/' . int($_ * USERS / 11), { name => "Changed $_" }) for 1 .. 10;
incremental('ten changes', qr/^ok\|0\|10\|\d+\|0\|0\|0\|/, 3, 0);
my $gone = $sim->user('index/' . int(USERS / 3))->{id};
$sim->remove($gone);
incremental('one deletion', qr/^ok\|0\|0\|\d+\|1\|0\|0\|/, 25, 2);
is(sql("SELECT count(id) FROM neon_auth.users_sync WHERE id = '$gone' AND deleted_at IS NOT NULL"), 1, 'of the right user');
$sim->create({ id => $gone, name => 'Back Again' });
incremental('who is back', qr/^ok\|0\|1\|\d+\|0\|0\|0\|/, 3, 0);
list_requests();

# ---- The foreign table

is(sql('SELECT count(*) FROM (SELECT id FROM app.users LIMIT 5) AS u'), 5, 'a scan with LIMIT');
is(list_requests(), 1, 'takes one request');
($row, $growth) = measure('SELECT count(*), count(raw_json), max(length(raw_json::text)) > 100 FROM app.users');
note(sprintf('scan of all: memory grew by %.1f MB', $growth));
is($row, (USERS - 1) . '|' . (USERS - 1) . '|t', 'F58: a scan of all users');
memory_below($growth, MEGABYTES, 'takes little memory');
is(sql("SELECT count(*) FROM app.users f FULL JOIN (SELECT * FROM neon_auth.users_sync WHERE deleted_at IS NULL) u USING (id) WHERE (f.updated_at, f.name, f.email) IS DISTINCT FROM (u.updated_at, u.name, u.email)"),
	0, 'the target equals the foreign table');

# ---- Many pages

my $paged = start_sim(users => 5000, seed => 2);
allow_urls($node, $sim->url, $paged->url);
add_server($node, $paged, name => 'paged', schema => 'paged', options => ", page_size '5'");
($row, $growth) = measure("CALL neon_auth.refresh_users_sync('paged', target => 'paged.users_sync')");
note(sprintf('1000 pages: %s, memory grew by %.1f MB', $row, $growth));
like($row, qr/^ok\|5000\|/, 'a first run of 1000 small pages');
memory_below($growth, 16, 'leaves no memory behind for each');

done_testing();
