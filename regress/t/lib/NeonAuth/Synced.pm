# Tests of refreshes: one directory after the other, each with a simulator, a server and
# a schema of this name, and a users_sync in it.  All functions are about the current one.
#
#	begin_synced($node, provider => 'workos', columns => 'id, name');
#	directory('small', ", page_size '50'", users => 100);
#	is(refresh(), 'ok 100/0/0/0', 'the first refresh');
#	query_is('all users', 'SELECT count(*) FROM small.users', '100', '2 list');
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Synced;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use NeonAuth::Session;
use NeonAuth::Test;
use Test::More;

our @EXPORT = qw($sim $server $session $said begin_synced directory again sql refresh state last_run tombstones row difference heap id_of wrongly_marked query_is pushed_is last_target);

# Simulator, name and session of the current directory, and what its last refresh said.
our ($sim, $server, $session, $said);

my ($node, @urls);
my %is;

# Of all directories: provider; sim, flags of the simulator; age, how many seconds ago its
# clock begins; mapping, options of the user mapping; columns that difference compares;
# and counts, which ones of its result refresh returns.
sub begin_synced
{
	($node, my %how) = @_;
	%is = (
		provider => 'clerk',
		age => 3600,
		columns => 'id, name, email, raw_json, created_at, updated_at',
		counts => [ 0, 1, 3, 4 ],
		%how);
	again();
	return;
}

# A new session.
sub again
{
	undef $session;
	$session = new_session($node);
	return;
}

sub directory
{
	my ($name, $options, %flags) = @_;

	$sim = start_sim(provider => $is{provider}, clock => (time() - $is{age}) * 1000, %{ $is{sim} // {} }, %flags);
	push @urls, $sim->url;
	allow_urls($node, @urls);
	$server = $name;
	add_server($node, $sim, name => $name, schema => $name, options => $options, ($is{mapping} ? (mapping => $is{mapping}) : ()));
	again();
	return;
}

sub sql { return $session->must($_[0]); }

# The SQL prints these rows and, if that is told, asks this of the simulator.
sub query_is
{
	my ($name, $sql, $rows, $requests) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$sim->reset_stats;
	is($session->ask($sql), $rows, "$name: rows");
	is($sim->asked, $requests, "$name: requests") if defined $requests;
	return;
}

# The same with the answer that there is without asking for anything alone.
sub pushed_is
{
	my ($name, $sql, $requests) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $rows = sql("SET neon_auth_fdw.pushdown = off; $sql; RESET neon_auth_fdw.pushdown");

	ok($rows ne '' || $name =~ /nobody/, "$name: there are rows");
	query_is($name, $sql, $rows, $requests);
	return;
}

# What the simulator was asked for last.
sub last_target { return $sim->stats->{last_target}; }

# Refreshes users_sync: "status inserted/updated/tombstoned/held", or the SQLSTATE.
sub refresh
{
	my ($more) = @_;

	$sim->reset_stats;
	$said = $session->ask("CALL neon_auth.refresh_users_sync('$server', target => '$server.users_sync'" . ($more ? ", $more" : '') . ')');
	return outcome_of($said, @{ $is{counts} });
}

sub state
{
	return sql("SELECT $_[0] FROM neon_auth.sync_state WHERE target = '$server.users_sync'::regclass");
}

sub last_run
{
	return sql("SELECT concat_ws(': ', $_[0]) FROM neon_auth.sync_run WHERE target = '$server.users_sync'::regclass ORDER BY run_id DESC LIMIT 1");
}

# Ids of those that are marked.
sub tombstones
{
	return sql("SELECT coalesce(string_agg(id, ' ' ORDER BY id COLLATE \"C\"), '') FROM $server.users_sync WHERE deleted_at IS NOT NULL");
}

sub row
{
	my ($id, $columns) = @_;

	return sql("SELECT $columns FROM $server.users_sync WHERE id = '$id'");
}

# How many rows differ between the live part of the target and the directory.
sub difference
{
	my ($here, $there) = ("SELECT $is{columns} FROM $server.users_sync WHERE deleted_at IS NULL", "SELECT $is{columns} FROM $server.users");

	return sql("SELECT count(*) FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

# Where each row lies and who wrote it: the same as long as nothing is written.
sub heap
{
	return sql("SELECT md5(string_agg(concat(ctid, xmin, xmax), ' ' ORDER BY ctid)) FROM $server.users_sync");
}

sub id_of { return $sim->user("index/$_[0]")->{id}; }

# Ids of those that are marked, and live at the provider.
sub wrongly_marked
{
	my %live = map { $_->{id} => 1 } grep { !$_->{deleted} } @{ $sim->users };

	return join(' ', grep { $live{$_} } split / /, tombstones());
}

1;
