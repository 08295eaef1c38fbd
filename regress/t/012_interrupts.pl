# Whatever ends a query from outside ends it at once, however it waits for the
# network: a table of waits times a table of causes.  Each wait lasts until the
# test ends it, so a query that is over was ended by the cause; how long that
# took is printed and never asserted.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use List::Util qw(max);
use NeonAuth::Shim;
use NeonAuth::Test;
use NeonAuth::Wire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $users = 25;
my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $folder = PostgreSQL::Test::Utils::tempdir();
my $sim = start_sim(users => $users);
my $hole = start_black_hole();
my $shim = new_shim();

# ---- The waits

# Whether this process looks up a name.
sub in_lookup
{
	my ($pid) = @_;

	return scalar grep { $_->[0] == $pid } $shim->dns_threads;
}

# The lines of /proc/net/tcp about the sockets of this process, as hashes.
sub sockets
{
	my ($pid) = @_;
	my %own = map { (readlink($_) // '') =~ /^socket:\[(\d+)\]$/ ? ($1 => 1) : () } glob("/proc/$pid/fd/*");
	my @sockets;

	for my $line (split /\n/, slurp_file('/proc/net/tcp'))
	{
		my @field = split ' ', $line;
		push @sockets, { state => $field[3], unread => hex((split /:/, $field[4])[1]) } if $own{ $field[9] };
	}
	return @sockets;
}

# Whether this process has asked for a connection and not got it.
sub in_connect
{
	my ($pid) = @_;
	my $syn_sent = '02';

	return scalar grep { $_->{state} eq $syn_sent } sockets($pid);
}

# Whether it has read all that it was sent.
sub has_read
{
	my ($pid) = @_;

	return !grep { $_->{unread} > 0 } sockets($pid);
}

my $url = "url 'http://127.0.0.1:PORT'";
my $day = 24 * 60 * 60;
my $asked = [ 'read', '\r\n\r\n' ];

# The wait for a Redis at this address; the provider answers.
sub redis
{
	my ($name, $address, $script, %more) = @_;

	return {
		name => $name,
		options => "url '" . $sim->url . "', redis_url '$address', redis_timeout '10min'",
		script => $script,
		sql => "SELECT FROM neon_auth.check_server('$name')",
		%more
	};
}

# name: of the server and its schema; options: of the server; script: what is
# done to a connection, at PORT (without it, PORT takes none); waits: the step
# in which the wait shows ('stall'); shows: whether the process with this id is
# in it; sql: gets there, if not by a scan.
my @waits = (
	{ name => 'dns', options => "url 'http://directory.test:PORT'", shows => \&in_lookup },
	{ name => 'connect', options => $url, shows => \&in_connect },
	{ name => 'tls', options => "url 'https://127.0.0.1:PORT'", script => [ [ 'read', '\x16' ], ['stall'] ] },
	{ name => 'answer', options => $url, script => [ $asked, ['stall'] ] },
	{
		name => 'headers',
		options => $url,
		script => [ $asked, [ 'send', "HTTP/1.1 200 OK\r\nContent-" ], ['stall'] ]
	},
	{
		name => 'drip',
		options => $url,
		script => [
			$asked,
			[ 'send', "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: $day\r\n\r\n" ],
			[ 'drip', ' ' x $day, 1 ] ],
		waits => 'drip'
	},
	{
		name => 'backoff',
		options => $url,
		script => [
			$asked,
			[ 'send', "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3000\r\nContent-Length: 0\r\n\r\n" ],
			['stall'] ],
		shows => \&has_read
	},
	redis('redis_dns', 'redis://cache.test:PORT', undef, shows => \&in_lookup),
	redis('redis_connect', 'redis://127.0.0.1:PORT', undef, shows => \&in_connect),
	redis('redis_tls', 'rediss://127.0.0.1:PORT', [ [ 'read', '\x16' ], ['stall'] ]),
	redis('redis_answer', 'redis://127.0.0.1:PORT', [ [ 'command', 1 ], ['stall'] ]),
	redis('redis_half', 'redis://127.0.0.1:PORT', [ [ 'command', 1 ], [ 'send', '+PO' ], ['stall'] ]),
	redis('redis_drip', 'redis://127.0.0.1:PORT', [ [ 'command', 1 ], [ 'drip', '+' . 'x' x $day, 1 ] ], waits => 'drip'));

for my $wait (@waits)
{
	$wait->{wire} = start_wire(@{ $wait->{script} }) if $wait->{script};
	my $port = ($wait->{wire} // $hole)->port;
	$wait->{options} =~ s/PORT/$port/g;
}

# How many connections are where this wait shows.
sub connections_in
{
	my ($wait) = @_;

	return $wait->{wire} ? $wait->{wire}->at($wait->{waits} // 'stall') : 0;
}

# Whether the process is in this wait.
sub is_in
{
	my ($wait, $pid) = @_;

	return 0 if $wait->{wire} && connections_in($wait) == 0;
	return !$wait->{shows} || $wait->{shows}->($pid);
}

# ---- PostgreSQL

my $node = $shim->new_node(
	'main',
	urls => [ $sim->url, map { $_->{options} =~ /'(\w+:[^']+)'/g } @waits ],
	allows_streaming => 1,
	conf => "max_connections = 50\nmax_standby_streaming_delay = 0\n");

add_server($node, $sim);
for my $wait (@waits)
{
	$node->safe_psql('postgres', <<"SQL");
CREATE SERVER $wait->{name} FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', $wait->{options},
	connect_timeout '10min', request_timeout '10min', scan_timeout '1h', refresh_timeout '1h');
CREATE USER MAPPING FOR CURRENT_USER SERVER $wait->{name} OPTIONS (api_key 'sk_test_x');
CREATE SCHEMA $wait->{name};
IMPORT FOREIGN SCHEMA directory FROM SERVER $wait->{name} INTO $wait->{name};
SQL
}
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres', 'CREATE DATABASE doomed TEMPLATE postgres');
$node->backup('base');

my $control = $node->background_psql('template1');
$control->set_query_timer_restart;

# ---- Sessions

my $scripts = 0;

# Starts psql with this SQL; what it says is in the file.  It has no pipes, so
# that nobody needs to listen.
sub start_session
{
	my ($connection, $sql) = @_;
	my $file = "$folder/session" . ++$scripts;

	append_to_file("$file.sql", $sql);
	return {
		file => $file,
		run => IPC::Run::start(
			[ qw(psql -XAtq -v VERBOSITY=verbose -f), "$file.sql", '-d', $connection ],
			'<', '/dev/null', '>', $file, '2>&1', IPC::Run::timeout($limit))
	};
}

sub printed
{
	my ($session) = @_;

	return slurp_file($session->{file});
}

# A good scan, and whether what was before it has left a lock.
my $good = 'SELECT count(*), (SELECT count(*) FROM pg_locks WHERE locktype = $$advisory$$ AND pid = pg_backend_pid()) FROM app.users';

# Brings a session into each wait, all at the same time, and then lets it go on
# with a good scan.  Options: node, database; settings of the session; sql, a
# function of the wait; waits, fewer of them.  Returns nothing if a session said
# something before it was there.
sub enter
{
	my (%opts) = @_;
	my $server = $opts{node} // $node;
	my $database = $opts{database} // 'postgres';
	my @sessions;

	wait_until('connections of before', sub { return !grep { connections_in($_) } @waits });
	$shim->slow_dns($day);
	for my $wait (@{ $opts{waits} // \@waits })
	{
		my $sql = $opts{sql} ? $opts{sql}->($wait) : $wait->{sql} // "SELECT count(id) FROM $wait->{name}.users";
		my $connection = $server->connstr($database) . " application_name='$wait->{name}'";

		$connection .= " options='-c $opts{settings}'" if $opts{settings};
		my $session = start_session($connection, "$sql;\n$good;\n");
		push @sessions, { %$session, wait => $wait, name => $wait->{name} };
	}
	my %found;
	wait_until(
		'all waits',
		sub {
			%found = map { (split /\|/)[0] => $_ } split /\n/, $server->safe_psql('template1', <<"SQL");
SELECT application_name, pid, extract(epoch FROM query_start)
FROM pg_stat_activity WHERE datname = '$database' AND wait_event_type = 'Extension'
SQL
			return 1 if grep { -s $_->{file} } @sessions;
			return !grep { !$found{ $_->{name} } || !is_in($_->{wait}, (split /\|/, $found{ $_->{name} })[1]) } @sessions;
		});
	if (grep { -s $_->{file} } @sessions)
	{
		leave(@sessions);
		return;
	}
	(undef, @{$_}{qw(pid begin)}) = split /\|/, $found{ $_->{name} } for @sessions;
	return @sessions;
}

# Waits for the ends of the sessions.
sub leave
{
	my (@sessions) = @_;

	$_->{run}->finish for @sessions;
	# the thread of a look-up that nobody waits for any more
	$shim->end_dns;
	wait_until('the last look-up', sub { return $shim->dns_waiting == 0 });
	return;
}

# Whether a process is no more; one that nobody has waited for is a zombie.
sub is_gone
{
	my ($pid) = @_;

	open(my $stat, '<', "/proc/$pid/stat") or return 1;
	my $line = <$stat> // '';
	return $line !~ /\) [^Z]/;
}

# ---- What is measured

my %slowest;

# Watches the sessions until each is over.
sub watch
{
	my ($cause, $begin, $is_over, @sessions) = @_;
	my $give_up = time() + $limit;
	my %took;

	while (keys %took < @sessions && time() < $give_up)
	{
		for my $session (grep { !defined $took{ $_->{name} } } @sessions)
		{
			next unless $is_over->($session);
			$took{ $session->{name} } = 1000 * (time() - ($begin // $session->{due}));
		}
		sleep(0.001);
	}
	for my $session (@sessions)
	{
		ok(defined $took{ $session->{name} }, "$cause, $session->{name}: it is over");
	}
	if (keys %took < @sessions)
	{
		# a server that is dead leaves this to us
		kill('KILL', map { $_->{pid} } @sessions);
		die 'a query hangs';
	}
	note("$cause: " . join(', ', map { sprintf('%s %.0f ms', $_->{name}, $took{ $_->{name} }) } @sessions));
	$slowest{$cause} = max(values %took);
	return;
}

# ---- The causes that end a session or its statement

sub signal
{
	my ($function, @sessions) = @_;

	$control->query_safe(join('; ', map { "SELECT $function($_->{pid})" } @sessions));
	return;
}

# act: ends them; settings: end them; text: what the client is told then; lives:
# the session goes on; database: where they are.
my @causes = (
	{
		name => 'pg_cancel_backend',
		act => sub { signal('pg_cancel_backend', @_) },
		text => 'ERROR:  57014: canceling statement due to user request',
		lives => 1
	},
	{
		name => 'pg_terminate_backend',
		act => sub { signal('pg_terminate_backend', @_) },
		text => 'FATAL:  57P01: terminating connection due to administrator command'
	},
	{
		name => 'client killed',
		settings => 'client_connection_check_interval=100ms',
		act => sub { $_->{run}->signal('KILL') for @_ }
	},
	{
		name => 'DROP DATABASE WITH (FORCE)',
		database => 'doomed',
		act => sub { $control->query_safe('DROP DATABASE doomed WITH (FORCE)') },
		text => 'FATAL:  57P01: terminating connection due to administrator command'
	});

# What was told at the end, and whether it was the end.
sub check_end
{
	my ($cause, @sessions) = @_;
	my $next = join('|', "$users\\|0\n", $cause->{also} // ());
	my $rest = $cause->{lives} ? qr/(DETAIL: [^\n]*\n)?(LOCATION: [^\n]*\n)?($next)/ : qr/.*/s;

	leave(@sessions);
	for my $session (@sessions)
	{
		my $what = "$cause->{name}, $session->{name}";
		my $lines = printed($session);

		like($lines, qr/^psql:\S+:1: $cause->{text}\n$rest\z/, "$what: SQLSTATE and message") if $cause->{text};
		is($lines, '', "$what: nobody to tell") unless $cause->{text};
	}
	return;
}

my $printed = sub { return printed($_[0]) =~ /\n/ };
my $gone = sub { return is_gone($_[0]->{pid}) };

# Brings sessions into their waits, as enter() does, and ends them.
sub apply
{
	my ($cause, %how) = @_;
	my @sessions = enter(settings => $cause->{settings}, database => $cause->{database}, %how)
	  or die 'a session did not wait';
	my $begin = time();

	$cause->{act}->(@sessions);
	watch($cause->{name}, $begin, $cause->{lives} ? $printed : $gone, @sessions);
	check_end($cause, @sessions);
	return;
}

apply($_) for @causes;

# The clock runs while they get there: once more with more time if it was short.
my $timed_out = {
	name => 'statement_timeout',
	text => 'ERROR:  57014: canceling statement due to statement timeout',
	lives => 1
};
for my $seconds (2, 8, 32)
{
	my @sessions = enter(settings => "statement_timeout=${seconds}s") or next;

	$_->{due} = $_->{begin} + $seconds for @sessions;
	watch($timed_out->{name}, undef, $printed, @sessions);
	check_end($timed_out, @sessions);
	last;
}
ok($slowest{statement_timeout}, 'statement_timeout was seen in all waits');

# ---- What other sessions do, who need us to listen or to let go

my @sessions = enter() or die 'a session did not wait';
my $begin = time();
$control->query_safe('DROP DATABASE other');
$slowest{'DROP DATABASE of another'} = 1000 * (time() - $begin);
pass('DROP DATABASE of another database is done');
for my $session (@sessions)
{
	ok(!-s $session->{file} && is_in($session->{wait}, $session->{pid}), "and $session->{name} waits as before");
}

my %ddl = map {
	$_->{name} => start_session($node->connstr('postgres'),
		"ALTER FOREIGN TABLE $_->{name}.users ALTER COLUMN email SET NOT NULL;\n\\echo done\n")
} grep { !$_->{wait}->{sql} } @sessions;
$node->poll_query_until('postgres', 'SELECT count(*) = ' . keys(%ddl) . ' FROM pg_locks WHERE NOT granted')
  or die 'no DDL waits for a lock';
is(join('', map { printed($_) } @sessions), '', 'DDL that conflicts with a scan waits for it');
$begin = time();
signal('pg_cancel_backend', @sessions);
watch('DDL after a cancel', $begin, sub { return printed($ddl{ $_[0]->{name} } // $_[0]) =~ /\n/ }, @sessions);
$_->{run}->finish for values %ddl;
is(printed($ddl{$_}), "done\n", "DDL on $_") for sort keys %ddl;
leave(@sessions);

# ---- Refreshes

my ($answer) = grep { $_->{name} eq 'answer' } @waits;
my $users_sync = 'SELECT count(*), md5(string_agg(u::text, chr(10) ORDER BY id)), min(xmin::text), max(ctid) FROM answer.users_sync u';

sub refresh
{
	my ($name) = @_;

	return "CALL neon_auth.refresh_users_sync('$name', target => '$name.users_sync', mode => 'full')";
}

sub counts
{
	return join('/', (split /\|/, $node->safe_psql('postgres', refresh('answer')))[ 0 .. 3 ]);
}

$answer->{wire}->script([ 'forward', $sim->port ]);
is(counts(), "ok/$users/0/0", 'a refresh');
$answer->{wire}->script(@{ $answer->{script} });
my $before = $node->safe_psql('postgres', $users_sync);

for my $cause (grep { $_->{name} =~ /^pg_/ } @causes)
{
	apply(
		{ %$cause, name => "$cause->{name} of a refresh" },
		sql => sub { return refresh($_[0]->{name}) },
		waits => [ grep { !$_->{sql} } @waits ]);
	is($node->safe_psql('postgres', $users_sync), $before, 'users_sync is as it was');
}
$answer->{wire}->script([ 'forward', $sim->port ]);
is(counts(), "ok/0/0/$users", 'the next refresh finds nothing to do');
$answer->{wire}->script(@{ $answer->{script} });

# ---- A hot standby that may not wait

my $standby = PostgreSQL::Test::Cluster->new('standby');
{
	local %ENV = (%ENV, $shim->environment);
	$standby->init_from_backup($node, 'base', has_streaming => 1);
	$standby->start;
}
$node->wait_for_catchup($standby);
@sessions = enter(node => $standby, waits => [ grep { !$_->{sql} } @waits ]) or die 'a scan on the standby did not wait';
$begin = time();
$control->quit;
$node->safe_psql('postgres',
	join(';', map { "ALTER FOREIGN TABLE $_->{name}.users ALTER COLUMN email DROP NOT NULL" } @sessions));
my $conflict = {
	name => 'replay on a standby', lives => 1,
	text => 'ERROR:  40001: canceling statement due to conflict with recovery',
	# by the rest of what is replayed, or told twice while the first is dealt with
	also => '(?s)psql:\S+:(2: ERROR|1: FATAL):  40001: .*'
};
watch($conflict->{name}, $begin, $printed, @sessions);
$node->wait_for_catchup($standby);
check_end($conflict, @sessions);
$standby->stop;

# ---- The death of the postmaster

@sessions = enter() or die 'a session did not wait';
my @others = map { { name => "process $_", pid => $_ } } split /\n/,
  $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
my %waiting = map { $_->{pid} => 1 } @sessions;
@others = grep { !$waiting{ $_->{pid} } } @others;
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
$begin = time();
$node->kill9;
watch('postmaster killed', $begin, $gone, @sessions, @others);
leave(@sessions);
# its lock file counts until somebody has waited for it
wait_until('the end of the postmaster', sub { return !kill(0, $postmaster) });
$node->start;
is($node->safe_psql('postgres', $good), "$users|0", 'the server starts again');
$node->stop;
note(sprintf('slowest: %s %.0f ms', $_, $slowest{$_})) for sort keys %slowest;
note(sprintf('slowest of all: %.0f ms', max(values %slowest)));
done_testing();
