
# What a session has and what it leaves behind: descriptors, bytes that the C library
# has given out, bytes in the server's own contexts, and the resident set, which also
# counts pages touched for the first time.  Measured after a while, and again when the
# same was done many more times, in any way in which a scan can end.
#
#	my $meter = new_meter($node, first => 100, times => 1000, providers => [$sim],
#		bounds => { malloc => 24 * 1024, contexts => 24 * 1024, resident => 1024 * 1024 });
#	$meter->each_way('well', '', [ 'to the end', 'SELECT * FROM ok.users;', 2 ]);
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Resources;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use NeonAuth::Test qw(memory_below);
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_meter);

# For sessions of a node that has a table ok.users.  Options: how often a way is tried
# before the first measurement, and up to the second; by how much each kind may grow
# meanwhile; the simulators that are asked.
sub new_meter
{
	my ($node, %opts) = @_;

	$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION nauth_probe;

CREATE FUNCTION memory(what text) RETURNS bigint LANGUAGE sql AS \$\$
	SELECT substring(pg_read_file('/proc/self/status') FROM what || ':\\s+(\\d+)')::bigint * 1024
\$\$;
CREATE FUNCTION measure(what text) RETURNS text LANGUAGE sql AS \$\$
	SELECT concat_ws('|', 'measured', what,
		(SELECT count(*) FROM pg_ls_dir('/proc/self/fd')),
		probe_malloc_bytes(),
		(SELECT sum(used_bytes) FROM pg_backend_memory_contexts),
		memory('VmRSS'))
\$\$;

-- Each time in a subtransaction of its own, and each must end with this SQLSTATE.
CREATE FUNCTION repeat_sql(what text, query text, expected text, times int) RETURNS SETOF text LANGUAGE plpgsql AS \$\$
DECLARE
	state text;
BEGIN
	FOR i IN 1 .. $opts{first} + times LOOP
		BEGIN
			EXECUTE query;
			state := '00000';
		EXCEPTION WHEN OTHERS THEN
			state := SQLSTATE;
		END;
		ASSERT state = expected, state;
		IF i IN ($opts{first}, $opts{first} + times) THEN
			RETURN NEXT measure(what);
		END IF;
	END LOOP;
END \$\$;

CREATE FUNCTION first_id() RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
	found record;
BEGIN
	FOR found IN SELECT id FROM ok.users LOOP
		RETURN found.id;
	END LOOP;
END \$\$;
SQL
	return bless { node => $node, %opts }, __PACKAGE__;
}

# Lines of SQL with a measurement after the first of them and one at the end.
sub measured
{
	my ($self, $what, @lines) = @_;
	my $measure = "\\o\nSELECT measure('$what');\n\\o /dev/null\n";
	my @before = splice(@lines, 0, $self->{first});

	return join("\n", @before, $measure, @lines, $measure);
}

# Runs it in one session; returns what was measured by name, each time as an array,
# and the number of errors by SQLSTATE.  What measuring itself needs is in the caches
# before.
sub run_session
{
	my ($self, $sql) = @_;
	my (%measured, %errors);
	my $warm_up = "SELECT measure('warm-up');\n" x 3;
	my ($status, $out, $err) = $self->{node}->psql(
		'postgres', $warm_up . $sql,
		on_error_stop => 0,
		extra_params => [ '-v', 'VERBOSITY=sqlstate' ],
		timeout => $PostgreSQL::Test::Utils::timeout_default);

	is($status, 0, 'the session lives to its end');
	for ($out =~ /^measured\|(.*)$/mg)
	{
		my ($what, @values) = split /\|/;

		push @{ $measured{$what} }, \@values if $what ne 'warm-up';
	}
	$errors{$1}++ while $err =~ /ERROR: +(\w+)/g;
	return (\%measured, \%errors);
}

# Nothing has grown from the one measurement to the other.
sub flat
{
	my ($self, $what, $before, $after) = @_;
	my %bounds = %{ $self->{bounds} };
	my (%before, %after);

	@before{qw(descriptors malloc contexts resident)} = @$before;
	@after{qw(descriptors malloc contexts resident)} = @$after;
	is($after{descriptors}, $before{descriptors}, "$what: as many descriptors as before");
	for my $kind (sort keys %bounds)
	{
		my $grown = $after{$kind} - $before{$kind};

		# contexts are the server's own count, and no sanitizer's
		if ($kind eq 'contexts')
		{
			cmp_ok($grown, '<', $bounds{$kind}, "$what: no growth ($kind)");
		}
		else
		{
			memory_below($grown, $bounds{$kind}, "$what: no growth ($kind)");
		}
		note("$what: $before{$kind} bytes, then $grown more");
	}
	return;
}

# A session that goes each way many times.  A way is a name, SQL, what that asks of
# the providers, and the SQLSTATE if it fails.
sub each_way
{
	my ($self, $kind, $begin, @ways) = @_;
	my $all = $self->{first} + $self->{times};
	my ($requests, $asked, %expected) = (0, 0);
	my @script = map { $self->measured($_->[0], ($_->[1]) x $all) } @ways;

	$_->reset_stats for @{ $self->{providers} };
	my ($measured, $errors) = $self->run_session(join("\n", $begin, "\\o /dev/null", @script));
	for my $way (@ways)
	{
		my ($what, undef, $asks, $sqlstate) = @$way;

		$requests += $asks * $all;
		$expected{$sqlstate} += $all if $sqlstate;
		$self->flat("$kind, $what", @{ $measured->{$what} });
	}
	is_deeply($errors, \%expected, "$kind: each time as expected");
	$asked += $_->requests for @{ $self->{providers} };
	is($asked, $requests, "$kind: the provider was asked so often, and no more");
	return;
}

1;
