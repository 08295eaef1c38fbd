
# A fault of a provider in both columns of the fault matrix.  In each of them the fault
# begins, something is asked, the fault ends, and the same is asked again.
#
#	begin_faults($node, $sim, redis => $redis);
#	fault_row('F9', 'status 401', fault => { status => 401 }, error => '28000: .*');
#	fault_row('F3', 'refused', begin => sub { $wire->stop }, end => sub { $wire->start }, error => '...');
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Faulty;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use NeonAuth::Matrix;
use NeonAuth::Session;
use Test::More;

our @EXPORT = qw($session begin_faults fault_row scan_of refresh_of asked_of change_directory marked wrongly_marked last_run with_options);

# The session of all scans, and of all else that is not a connection of its own.
our $session;

my ($node, $sim);

sub begin_faults
{
	($node, $sim, my %how) = @_;
	begin_matrix($node, secrets => [ $sim->key ], %how);
	$session = new_session($node);
	return;
}

sub scan_of { return "SELECT count(id) FROM $_[0].users"; }
sub refresh_of { return "CALL neon_auth.refresh_users_sync('$_[0]', target => '$_[0].users_sync', mode => 'full')"; }

# What the session says to SQL, over a new connection to the provider.
sub asked_of
{
	my ($sql) = @_;

	$session->must('SELECT neon_auth.disconnect_all()');
	my $said = $session->ask($sql);
	die 'the session has ended' unless defined $said;
	heard($said);
	return $said;
}

# Somebody comes, somebody changes, somebody goes: what a run has to find out.
sub change_directory
{
	my ($provider) = @_;
	my @live = grep { !$_->{deleted} } @{ ($provider // $sim)->users };

	$provider //= $sim;
	$provider->create({ name => 'Grace New' });
	$provider->update($live[3]{id}, { name => 'Changed ' . scalar @live });
	$provider->remove($live[5]{id});
	return;
}

# How many of a target are marked.
sub marked
{
	return $session->must("SELECT count(deleted_at) FROM $_[0]");
}

# Ids of those who are marked, and live at the provider.
sub wrongly_marked
{
	my ($target, $provider) = @_;
	my %live = map { $_->{id} => 1 } grep { !$_->{deleted} } @{ $provider->users };

	return join(' ', grep { $live{$_} } split /\n/, $session->must("SELECT id FROM $target WHERE deleted_at IS NOT NULL"));
}

sub last_run
{
	my ($server, $columns) = @_;

	return $session->must("SELECT concat_ws(' ', $columns) FROM neon_auth.sync_run WHERE target = '$server.users_sync'::regclass ORDER BY run_id DESC LIMIT 1");
}

# Runs the code while the server has these options in place of those it has, which
# it must have.
sub with_options
{
	my ($server, $options, $code) = @_;

	return scalar $code->() unless %$options;
	my %before = $session->must("SELECT option_name, option_value FROM pg_options_to_table((SELECT srvoptions FROM pg_foreign_server WHERE srvname = '$server'))") =~ /^(\w+)\|(.*)$/mg;
	my $set = sub {
		my ($from) = @_;
		$session->must("ALTER SERVER $server OPTIONS (" . join(', ', map { "SET $_ '$from->{$_}'" } sort keys %$options) . ')');
	};

	$set->($options);
	my $got = $code->();
	$set->({ map { $_ => $before{$_} } keys %$options });
	return $got;
}

# The fault begins or ends.
sub switch
{
	my ($is, $when) = @_;

	$is->{$when}->() if $is->{$when};
	return unless $is->{fault};
	return $is->{sim}->clear_faults if $when eq 'end';
	$is->{sim}->fault({ match => 'list', times => -1, %$_ }) for ref $is->{fault} eq 'ARRAY' ? @{ $is->{fault} } : $is->{fault};
	return;
}

# Asks while there is the fault, and with these options; returns what was said, and
# checks how many requests came.
sub ask_faulty
{
	my ($is, $what, $code) = @_;

	switch($is, 'begin');
	$is->{sim}->reset_stats;
	my $said = with_options($is->{server}, $is->{options}, $code);
	my $requests = $is->{sim}->requests;
	switch($is, 'end');
	like($requests, qr/^$is->{requests}$/, "$what: requests") if defined $is->{requests};
	return $said;
}

sub scan_column
{
	my ($is, $what) = @_;
	my $users = asked_of(scan_of($is->{server}));

	like(ask_faulty($is, $what, sub { asked_of($is->{sql} // scan_of($is->{server})) }), $is->{scan}, "$what: what a scan says");
	is(asked_of(scan_of($is->{server})), $users, "$what: the next scan is well");
	return;
}

sub refresh_column
{
	my ($is, $what) = @_;
	my $target = "$is->{server}.users_sync";
	my $run = sub { asked_of(refresh_of($is->{server})) };

	change_directory($is->{sim});
	my $before = marked($target);
	my $said = ask_faulty($is, $what, $is->{writes} ? $run : sub { unchanged_by($what, $run) });

	like($said, $is->{refresh}, "$what: what a refresh says");
	is(marked($target), $before, "$what: nobody is marked as deleted");
	if ($said =~ /ERROR:  (\w{5}):/)
	{
		is(last_run($is->{server}, 'status, sqlstate'), "failed $1", "$what: the log has it");
	}
	repairs($what, server => $is->{server}, target => $target, table => "$is->{server}.users", mode => 'full',
		($is->{columns} ? (columns => $is->{columns}) : ()));
	cmp_ok(marked($target), '>', $before, "$what: and who is gone is marked then");
	is(wrongly_marked($target, $is->{sim}), '', "$what: and nobody else");
	return;
}

# A row, and what is special in it, for a server (clerk) whose simulator is sim.  The
# fault: begin and end, code; fault, one of the simulator's or an array of them; and
# options that the server has meanwhile, in place of those that it has.  What is
# said: error, a pattern, by both columns; or scan and refresh, what psql prints.
# Also: requests, a pattern; sql of the scan; writes, whether a refresh may write
# users before it fails; only, the one column; columns that are compared.
sub fault_row
{
	my ($name, $what, %opts) = @_;
	my $error = $opts{error} ? qr/\A(psql:\S+ )?ERROR:  $opts{error}/s : undef;
	my $is = { server => 'clerk', sim => $sim, options => {}, scan => $error, refresh => $error, %opts };
	my %columns = (scan => \&scan_column, refresh => \&refresh_column);

	for my $column ($opts{only} // ('scan', 'refresh'))
	{
		row($name, $what, $column => sub { $columns{$column}->($is, $what) });
	}
	return;
}

1;
