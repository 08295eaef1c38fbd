
# A Redis that fails or lies, seen from a query and from a refresh: rows F27 to
# F33 of the fault matrix in both columns.  A query has right rows whatever Redis does; a
# refresh does not even look there.  Queries in depth are in 028 and 032; what is done to
# that which is in Redis is in 092.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Matrix;
use NeonAuth::Redis;
use NeonAuth::RedisProxy;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $days = 24 * 60 * 60;
my ($users, $pages) = (50, 3);
my $canary = 'sk_canary_of_caches';
my $sim = start_sim(users => $users, key => $canary, clock => (time() - 30 * $days) * 1000);
my $redis = start_redis();
my $proxy = start_redis_proxy($redis);
my $node = new_node('cached', urls => [ $sim->url ], conf => "log_statement = none\n");

# The first has no Redis; the last has little time for it.
my $cached = ", page_size '20', cache_ttl '1d', redis_url '" . $proxy->url . "'";
add_server($node, $sim, name => 'alone', schema => 'alone', options => ", page_size '20'");
add_server($node, $sim, schema => 'clerk', options => "$cached, redis_timeout '10min'");
add_server($node, $sim, name => 'impatient', schema => 'impatient', options => "$cached, redis_timeout '100ms'");
begin_matrix($node, table => 'clerk.users', secrets => [$canary], redis => $redis);

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub all_of { return "SELECT count(*), md5(string_agg(concat(id, name, email, raw_json), ' ' ORDER BY id)) FROM $_[0].users"; }
sub counted { return 'SELECT ' . join(', ', map { "sum($_)" } @_) . ' FROM neon_auth.cache_stats()'; }
sub refresh_of { my ($server, $target) = @_; return "CALL neon_auth.refresh_users_sync('$server', mode => 'full', target => '" . ($target // 'neon_auth.users_sync') . "')"; }

# What SQL prints, and its messages.
sub ask
{
	my (undef, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$_[0]", on_error_stop => 0);

	heard($err);
	return ($out, $err);
}

sub count_warnings { return scalar(() = $_[0] =~ /WARNING:/g); }

my $changes = 0;

# Something new at the provider, of which a refresh has to write one row: its id.
sub change
{
	my $index = ++$changes % 50;

	$sim->update("index/$index", { name => "Name $changes" });
	return $sim->user("index/$index")->{id};
}

# No fault any more, and nobody who remembers one.
sub heal
{
	$proxy->clear;
	$redis->ask('DEL', $_) for $redis->keys('*:l');
	return;
}

like(refreshed(), qr/^ok\|$users\|/, 'a first refresh');
ask(refresh_of('impatient', 'impatient.users_sync'));
change();
$sim->reset_stats;
ask(refresh_of('clerk'));
my $full_run = $sim->asked;

# ---- F27 to F33: Redis fails in some way, as long as a statement goes on

# Through a cold cache: all rows, one WARNING at most (or as many), one listing.
sub scan_beside
{
	my ($server, $warnings, @faults) = @_;
	my $right = sql(all_of('alone'));

	$redis->ask('FLUSHALL');
	my @numbers = map { $proxy->fault($_) } @faults;
	$sim->reset_stats;
	my ($out, $err) = ask(all_of($server) . ';' . counted('faults'));
	my ($rows, $faults) = split /\n/, $out;
	is($rows, $right, 'a query has the right rows');
	unlike($err, qr/ERROR|FATAL/, 'and no error');
	cmp_ok(count_warnings($err), '<=', $warnings, "and $warnings WARNING at most");
	is($sim->asked, "$pages list", 'the provider is asked as if there was no Redis');
	cmp_ok($faults, '==', 1, 'Redis is left alone after one fault');
	heal();
	is(sql(all_of($server)), $right, 'when it is well again, it is right, too');
	return;
}

# A refresh that does all it would do without Redis.
sub refresh_beside
{
	my ($server, $warnings, @faults) = @_;
	my $target = $server eq 'clerk' ? 'neon_auth.users_sync' : "$server.users_sync";

	# the target of another server may have missed some changes
	ask(refresh_of($server, $target));
	my $id = change();
	$proxy->fault($_) for @faults;
	$sim->reset_stats;
	my ($out, $err) = ask(refresh_of($server, $target) . ';' . counted('faults'));
	my ($row, $faults) = split /\n/, $out;
	like($row, qr/^ok\|0\|1\|49\|0\|0\|0\|/, 'a refresh does all its work');
	unlike($err, qr/ERROR|FATAL/, 'without an error');
	cmp_ok(count_warnings($err), '<=', $warnings, "and with $warnings WARNING at most");
	is($sim->asked, $full_run, 'the provider is asked as if there was no Redis');
	cmp_ok($faults, '<=', 1, 'Redis is left alone after one fault');
	is(sql("SELECT name FROM $target WHERE id = '$id'"), "Name $changes", 'it has written');
	heal();
	repairs('when Redis is well again', server => $server, target => $target, table => "$server.users");
	return;
}

sub error { return { do => 'error', text => "-$_[0]" }; }
sub reply { return { do => 'reply', bytes => $_[0], times => 1 }; }
sub no_writes { my ($text) = @_; return map { { command => $_, do => 'error', text => "-$text" } } qw(SET HSET HSETNX PEXPIRE DEL); }

# Row, what, WARNINGs, faults; a server that has no time, if Redis would take all there is.
my @broken = (
	[ 'F27', 'nobody listens', 1, { connect => 'refuse' } ],
	[ 'F27', 'accepted and closed', 1, { connect => 'close' } ],
	[ 'F27', 'closed', 1, { do => 'close' } ],
	[ 'F28', 'a black hole', 1, 'impatient', { connect => 'ignore' } ],
	[ 'F28', 'nothing comes', 1, 'impatient', { do => 'stall' } ],
	[ 'F28', 'a drip', 1, 'impatient', { do => 'drip', pause => 3600 } ],
	[ 'F28', 'half a reply, then nothing', 1, 'impatient', { do => 'half' } ],
	[ 'F29', 'LOADING', 0, error('LOADING Redis is loading the dataset in memory') ],
	[ 'F29', 'MASTERDOWN', 0, error('MASTERDOWN Link with MASTER is down') ],
	[ 'F29', 'CLUSTERDOWN', 0, error('CLUSTERDOWN The cluster is down') ],
	[ 'F29', 'BUSY', 0, error('BUSY Redis is busy running a script.') ],
	(map { [ 'F30', /^(\w+)/, 1, no_writes($_) ] } 'READONLY a replica', 'NOREPLICAS too few', 'MISCONF it cannot save', 'OOM too much memory'),
	[ 'F31', 'NOAUTH', 1, error('NOAUTH Authentication required.') ],
	[ 'F31', 'WRONGPASS', 1, error('WRONGPASS invalid username-password pair') ],
	[ 'F31', 'NOPERM', 1, error('NOPERM this user has no permissions') ],
	[ 'F31', 'AUTH without a password set (B12)', 1, error('ERR AUTH <password> called without any password configured') ],
	[ 'F32', 'MOVED', 1, error('MOVED 3999 127.0.0.1:6381') ],
	[ 'F32', 'ASK', 1, error('ASK 3999 127.0.0.1:6381') ],
	[ 'F32', 'CROSSSLOT', 1, error("CROSSSLOT Keys in request don't hash to the same slot") ],
	[ 'F33', 'the wrong type (B10)', 1, error('WRONGTYPE Operation against a key holding the wrong kind of value') ],
	[ 'F33', 'an unknown command', 1, error("ERR unknown command 'GET'") ],
	[ 'F33', 'garbage', 1, { do => 'garbage' } ],
	[ 'F33', 'a status', 1, reply("+HELLO\r\n") ],
	[ 'F33', 'an array of numbers', 1, reply("*2\r\n:1\r\n:2\r\n") ],
	[ 'F33', 'the head of a huge array', 1, reply("*2000000000\r\n") ],
	[ 'F33', 'a length that is none', 1, reply("\$-7\r\n") ],
	[ 'F33', 'a push of RESP3', 1, reply(">2\r\n+invalidate\r\n*0\r\n") ],
	[ 'F33', 'a map of RESP3', 1, reply("%1\r\n+key\r\n:1\r\n") ],
	[ 'F33', 'HTTP', 1, reply("HTTP/1.1 400 Bad Request\r\n\r\n") ]);

for my $case (@broken)
{
	my ($name, $what, $warnings, @faults) = @$case;
	my $server = ref $faults[0] ? 'clerk' : shift @faults;

	row($name, $what, scan => sub { scan_beside($server, $warnings, @faults) }, refresh => sub { refresh_beside($server, $warnings, @faults) });
}

# ---- While it says nothing, a cancel ends the wait for it

row('F28', 'nothing comes, and the query is cancelled', map {
	my ($column, $sql) = @$_;

	$column => sub {
		$proxy->fault({ do => 'stall' });
		unchanged_by("a cancelled $column", sub { cancel_within("a $column that waits for Redis", 250, $sql) });
		heal();
		repairs('after a cancel');
	}
} [ scan => all_of('clerk') ], [ refresh => refresh_of('clerk') ]);

# ---- Many failed exchanges in one session, which is told each time that all is new

my $switch = 0;
sub renewed { return "ALTER SERVER clerk OPTIONS (" . ($switch++ ? 'SET' : 'ADD') . " idle_timeout '5min'); $_[0]"; }

row('F27', 'many times in a session (B11)', map {
	my ($column, $sql) = @$_;

	$column => sub {
		$proxy->fault({ do => 'close' });
		flat("a $column beside a Redis that hangs up", 60, sub { heard($_[0]->ask(renewed($sql))) });
		heal();
		repairs('after many faults');
	}
} [ scan => all_of('clerk') ], [ refresh => refresh_of('clerk') ]);

no_canary();
no_crash();
$node->stop;
done_testing();
