
# Who else is in the process.  Another user of libcurl, in any order with our
# scans, before and after errors of ours and its own clean-up: both work.  And
# however a server loads the library: scans work, and nothing of libcurl begins
# before the first request of a session, for it would not survive a fork.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Shim;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 12;
my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $shim = new_shim();
my $sim = start_sim(provider => 'clerk', users => $users);
my $silent = start_sim(provider => 'clerk', users => 1);
my $named_url = 'http://clerk.test:' . $sim->port;
my $node = $shim->new_node(
	'neighbours',
	urls => [ $sim->url, $silent->url, $named_url ],
	conf => "log_statement = none\nlog_min_messages = log\n");

add_server($node, $sim, name => 'ok', schema => 'ok', options => ", page_size '5'");
add_server($node, $sim, name => 'refused', schema => 'refused');
add_server($node, $silent, name => 'silent', schema => 'silent');
add_server($node, $sim, name => 'named', schema => 'named');
$silent->fault({ match => 'any', hang => JSON::PP::true, times => -1 });
my $elsewhere = $sim->url . '/_sim/ready';

$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION nauth_probe;
ALTER SERVER named OPTIONS (SET url '$named_url');
ALTER USER MAPPING FOR CURRENT_USER SERVER refused OPTIONS (SET api_key 'sk_test_wrong');

-- How a query fails.
CREATE FUNCTION sqlstate_of(query text) RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
	EXECUTE query;
	RETURN '00000';
EXCEPTION WHEN query_canceled OR OTHERS THEN
	RETURN SQLSTATE;
END \$\$;
SQL

# ---- Another user of libcurl

# What one may do in a session, and what that prints.
my %steps = (
	scan => [ 'SELECT count(id) FROM ok.users;', $users ],
	named => [ 'SELECT count(id) FROM named.users;', $users ],
	fails => [ q{SELECT sqlstate_of('SELECT * FROM refused.users');}, '28000' ],
	# the time-out is that of all three statements; a busy machine must not run into it before the query waits
	canceled => [ q{BEGIN; SET LOCAL statement_timeout = '100ms'; SELECT sqlstate_of('SELECT * FROM silent.users'); COMMIT;}, '57014' ],
	closes => [ q{SELECT 'closed' FROM neon_auth.disconnect_all();}, 'closed' ],
	begin => [ 'BEGIN; DECLARE c CURSOR FOR SELECT count(*) OVER (ORDER BY id) FROM ok.users; FETCH 1 FROM c;', 1 ],
	rest => [ "MOVE @{[ $users - 2 ]} FROM c; FETCH 1 FROM c; COMMIT;", $users ],
	other => [ "SELECT probe_curl_get('$elsewhere');", 200 ],
	ends => [ q{SELECT 'ended' FROM probe_curl_cleanup();}, 'ended' ]);

# All ways to put that many of these steps in a row.
sub rows_of
{
	my ($length, @names) = @_;

	return [] if $length == 0;
	return map { my $row = $_; map { [ @$row, $_ ] } @names } rows_of($length - 1, @names);
}

# Takes each row of steps in a session of its own.
sub rows_work
{
	my ($what, @rows) = @_;
	my (@script, @expected);

	for my $row (@rows)
	{
		push @script, '\connect', map { $steps{$_}[0] } @$row;
		push @expected, join(' ', @$row), map { "$_: $steps{$_}[1]" } @$row;
	}
	my ($status, $out, $err) = $node->psql('postgres', join("\n", @script), on_error_stop => 0, timeout => $limit);
	my @printed = split /\n/, $out;
	my @got = map { join(' ', @$_), map { "$_: " . (shift(@printed) // '') } @$_ } @rows;

	is($status, 0, "$what: no session was lost");
	is($err, '', "$what: no error");
	is_deeply(\@got, \@expected, "$what: both work, in each of " . @rows . ' orders');
	return;
}

rows_work('four steps in any order', rows_of(4, qw(scan fails other ends)));
rows_work('names, cancels and closed connections', rows_of(3, qw(named canceled closes other ends)));
rows_work('within a scan', map { [ 'begin', @$_, 'rest', 'other', 'scan' ] } rows_of(2, qw(scan other ends)));

# ---- Ways to load the library

# The kinds of descriptors of a process that are no files.
sub descriptors_of
{
	my ($pid) = @_;

	return [ sort map { (readlink($_) // '') =~ /^(socket|pipe|anon_inode:.*?)(:|$)/ ? $1 : () } glob("/proc/$pid/fd/*") ];
}

# A new session has the library from the start, and scans work.
sub loaded_by
{
	my ($how, %settings) = @_;
	local $ENV{PGOPTIONS} = join(' ', map { "-c $_=$settings{$_}" } keys %settings);
	my ($status, $out, $err) = $node->psql('postgres', <<"SQL", timeout => $limit);
SELECT count(*) FROM pg_settings WHERE name = 'neon_auth_fdw.allowed_urls';
SELECT count(id) FROM ok.users;
SELECT probe_curl_get('$elsewhere');
SELECT count(id) FROM named.users;
SQL
	is($err, '', "$how: no error");
	is($out, "1\n$users\n200\n$users", "$how: it is there at once, and scans work");
	return;
}

is($node->safe_psql('postgres', "SELECT count(*) FROM pg_settings WHERE name = 'neon_auth_fdw.allowed_urls'"),
	'0', 'by itself a session loads it when a statement needs it');
is($node->safe_psql('postgres', "LOAD 'neon_auth_fdw'; SELECT count(id) FROM ok.users"), $users, 'F53, B4: LOAD: scans work');
loaded_by($_, session_preload_libraries => $_) for ('neon_auth_fdw', 'neon_auth_fdw,nauth_probe', 'nauth_probe,neon_auth_fdw');

# Any user may load what is in the folder of plug-ins.
SKIP:
{
	my $library = $node->config_data('--pkglibdir');
	my $folder = "$library/plugins";
	my $made = mkdir($folder);

	skip('the folder of plug-ins cannot be written', 2)
	  unless symlink("$library/neon_auth_fdw.so", "$folder/neon_auth_fdw.so");
	loaded_by('local_preload_libraries', local_preload_libraries => 'neon_auth_fdw');
	unlink("$folder/neon_auth_fdw.so");
	rmdir($folder) if $made;
}

# ---- Loaded before all sessions are forked

sub postmaster
{
	my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;

	return $pid;
}

my $descriptors = descriptors_of(postmaster());

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'neon_auth_fdw'\n");
$node->restart;
my $postmaster = postmaster();
my @sessions = map { $node->background_psql('postgres') } 1 .. 3;
my @pids = map { my ($pid) = $_->query('SELECT pg_backend_pid();'); $pid } @sessions;

ok(slurp_file("/proc/$postmaster/maps") =~ m{/neon_auth_fdw\.so$}m, 'shared_preload_libraries: it is in the server');
is_deeply([ grep { $shim->curl_started($_) } $postmaster, @pids ],
	[], 'but libcurl is not initialized, nor in its sessions');
for my $round (1 .. 2)
{
	is_deeply([ map { my ($count) = $_->query('SELECT count(id) FROM ok.users;'); $count } @sessions ],
		[ ($users) x 3 ], "scan $round of each session works");
}
is_deeply([ grep { $shim->curl_started($_) } $postmaster, @pids ], \@pids, 'only the sessions have initialized it');
is_deeply(descriptors_of($postmaster), $descriptors, 'the server has no descriptor that it had not without it');
is(scalar(() = glob("/proc/$postmaster/task/*")), 1, 'nor another thread');
$_->quit for @sessions;
loaded_by('shared_preload_libraries');

unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'no process of the server has ended badly');

done_testing();
