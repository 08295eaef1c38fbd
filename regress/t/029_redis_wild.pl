
# Redis as it is found: with database numbers, sockets, prefixes, passwords, a user
# with the few rights that the documentation names, short of memory, as a replica, in a
# cluster, and another server of the same protocol.  Each is a real one.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use NeonAuth::Redis;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 25;
my $password = 'canary-7c1e';
my $sim = start_sim(users => $users);
my $node = new_node('main', urls => [ $sim->url ]);
my $id = $sim->user('index/7')->{id};
my $options = "page_size '10', scan_timeout '10s', max_requests_per_second '1000', redis_timeout '10min'";

# ---- Helpers

my $session = $node->background_psql('postgres', on_error_stop => 0);

# What the session answers, with what it is told besides.
sub run_sql
{
	my ($sql) = @_;

	$session->{stderr} = '';
	my ($out) = $session->query("$sql;");
	return $out . $session->{stderr};
}

# The same of a new session.
sub ask_anew { my ($sql) = @_; return run_sql("\\c\n$sql"); }

# A server, its mapping and its table; url is that of a Redis, secrets are options of the
# mapping.
sub add_redis
{
	my ($name, $url, $more, $secrets) = @_;

	add_server($node, $sim, name => $name, schema => $name, options => ", $options, redis_url '$url'" . ($more // ''));
	$node->safe_psql('postgres', "ALTER USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS ($secrets)") if $secrets;
	return;
}

# Queries for all users, for one, and for all without raw_json.
my $all = 'count(*), md5(string_agg(u::text, chr(10) ORDER BY id))';
sub listing { my ($server) = @_; return "SELECT $all FROM $server.users u"; }
sub lookup { my ($server, $key) = @_; return listing($server) . " WHERE id = '" . ($key // $id) . "'"; }
sub narrow { my ($server) = @_; return "SELECT md5(string_agg(name, chr(10) ORDER BY id)) FROM $server.users"; }

sub check { my ($server) = @_; return "SELECT bool_and(verdict <> 'error') FROM neon_auth.check_server('$server')"; }
sub refresh { return "CALL neon_auth.refresh_users_sync('$_[0]', target => '$_[0].users_sync', mode => 'full')"; }

# What the provider says to the same query.
add_server($node, $sim, name => 'alone', schema => 'alone', options => ", page_size '10'");
sub truth { my ($sql, $server) = @_; return run_sql($sql =~ s/\b$server\./alone./gr); }

my $read_only = 'WARNING:  the Redis of server "\w+" takes no writes';

# The keys that Redis would keep for ever.
sub endless_keys { my ($redis) = @_; return grep { $redis->ask('PTTL', $_) == -1 } $redis->keys; }

# ---- All that there is to do with a Redis

# What is wrong with a query's answer or with the number of requests for it.
sub judge
{
	my ($sql, $server, $requests) = @_;

	$sim->reset_stats;
	my $answer = run_sql($sql);
	my $asked = $sim->requests;
	return "$sql: $answer" if $answer ne truth($sql, $server);
	return $asked == $requests ? () : "$sql: $asked requests";
}

# Each step returns what is wrong, if anything; all begin with no key.
my @steps = (
	sub { return grep { $_ ne 't' } run_sql(check($_[0])); },
	sub { return judge(listing($_[0]), $_[0], 3); },
	sub { return judge(listing($_[0]), $_[0], 0); },
	sub { return judge(narrow($_[0]), $_[0], 0); },
	sub { return judge(lookup($_[0]), $_[0], 1); },
	sub { return judge(lookup($_[0]), $_[0], 0); },
	sub { return judge(lookup($_[0], 'user_nobody'), $_[0], 1); },
	sub { return judge(lookup($_[0], 'user_nobody'), $_[0], 0); },
	sub { return grep { $_ ne '' } run_sql("SELECT neon_auth.cache_clear('$_[0]')"); },
	sub { return judge(listing($_[0]), $_[0], 3); },
	sub {
		my ($server, $redis) = @_;
		my %before = $redis->commands;
		my $sql = 'SET neon_auth_fdw.cache = refill; ' . lookup($server) . '; RESET neon_auth_fdw.cache';
		my @wrong = judge($sql, $server, 1);
		my %after = $redis->commands;

		# lease, epoch and pace
		return (@wrong, $after{set} - $before{set} == 3 ? () : 'no pace');
	},
	sub {
		my ($server) = @_;

		run_sql(refresh($server));
		$sim->update('index/3', { name => 'Name ' . $sim->requests . $server });
		my $answer = run_sql(refresh($server));
		return $answer =~ /^ok\|0\|1\|24\|.*\|[\d:.]+\z/ ? judge(listing($server), $server, 3) : $answer;
	},
	sub {
		my ($server, $redis) = @_;
		my $sql = 'SET neon_auth_fdw.cache = off; ' . lookup($server);

		$sim->fault({ match => 'get', status => 429, headers => { 'Retry-After' => '30' } });
		my @wrong = grep { !/ERROR:  the provider of server "$server" takes no more requests for now/ } ask_anew($sql);
		$sim->clear_faults;
		$sim->reset_stats;
		push @wrong, grep { !/ERROR:  the provider of server "$server" takes no more requests for now/ } ask_anew($sql);
		return (@wrong, $sim->requests == 0 ? () : 'a request before its time');
	});

# What goes wrong first in all that; nothing if all is well.
sub try_all
{
	my ($server, $redis) = @_;
	my $number = 0;

	$redis->ask('FLUSHALL');
	ask_anew('SELECT');
	for my $step (@steps)
	{
		$number++;
		my @wrong = ($step->($server, $redis), map { "$_ has no end" } endless_keys($redis));
		return "step $number: @wrong" if @wrong;
	}
	return '';
}

# ---- Addresses, passwords, users

my $acl = 'ACL SETUSER neon_auth on >secret resetkeys ~neon_auth:* resetchannels -@all '
  . '+ping +select +get +set +hmget +hset +hsetnx +hlen +del +pexpire +pttl +multi +exec';
for my $file (map { tree() . "/docs/$_.md" } qw(security operations))
{
	$acl = $1 if slurp_file($file) =~ /^\s*(ACL SETUSER .*)$/m;
}
my @acl = split ' ', $acl =~ s/>\S+/>$password/r;

# Somebody else's connection to it.
sub log_in
{
	my ($redis, @credential) = @_;
	my $other = bless { %$redis, password => undef }, ref $redis;

	delete $other->{link};
	$other->ask('AUTH', @credential);
	return $other;
}

for my $kind (redis_servers())
{
	my $open = start_redis($kind);
	my $locked = start_redis($kind, '--requirepass', $password);
	my $cluster = start_redis($kind, '--cluster-enabled', 'yes');
	my $user = "redis_user 'neon_auth', redis_password '$password'";

	$locked->ask(@acl);
	$cluster->ask('CLUSTER', 'ADDSLOTS', 0 .. 16383);
	wait_until('the cluster', sub { return $cluster->ask('CLUSTER', 'INFO') =~ /cluster_state:ok/; });

	# name of the server, its Redis, what it says about it
	my @ways = (
		[ plain => $open, $open->url ],
		[ number => $open, $open->url . '/3' ],
		[ unix => $open, 'unix:' . $open->socket ],
		[ slashes => $open, 'unix://' . $open->socket ],
		[ prefix => $open, $open->url, ", redis_prefix 'some:where.else'" ],
		[ pass => $locked, $locked->url . '/1', '', "redis_password '$password'" ],
		[ least => $locked, $locked->url . '/2', '', $user ],
		[ least_unix => $locked, 'unix:' . $locked->socket, '', $user ],
		[ cluster => $cluster, $cluster->url ]);

	for my $way (@ways)
	{
		my ($name, $redis, $url, $more, $secrets) = @$way;

		add_redis("${kind}_$name", $url, $more, $secrets);
		is(try_all("${kind}_$name", $redis), '', "$kind, $name: all works");
	}
	try_all("${kind}_number", $open);
	is_deeply([ $open->ask('INFO', 'keyspace') =~ /^(db\d+):/mg ], ['db3'], 'in the database with its number alone');
	try_all("${kind}_prefix", $open);
	is_deeply([ grep { !/^some:where\.else:\{/ } $open->keys ], [], 'with its prefix alone');

	# ---- The user of the documentation

	my $server = "${kind}_least";
	for my $right (grep { /^\+/ } @acl)
	{
		$locked->ask('ACL', 'SETUSER', 'neon_auth', "-" . substr($right, 1));
		isnt(try_all($server, $locked), '', "$kind: $right is needed");
		$locked->ask('ACL', 'SETUSER', 'neon_auth', $right);
	}
	is(try_all($server, $locked), '', 'and all together are enough');

	my $other = log_in($locked, 'neon_auth', $password);
	is($other->ask('SET', 'neon_auth:x', 'y', 'PX', '1000'), 'OK', 'it may write keys with the prefix');
	for my $command (
		[qw(GET other)], [qw(SET other x)], [qw(SET neon_auth x)], [qw(HMGET other 0)], [qw(DEL other)],
		[qw(DEL neon_auth:x other)], [qw(KEYS *)], [qw(SCAN 0)], ['FLUSHALL'], ['FLUSHDB'], [qw(CONFIG GET *)],
		[ 'EVAL', 'return 1', 0 ], [qw(PUBLISH neon_auth:x y)], [qw(SUBSCRIBE neon_auth:x)], ['INFO'],
		['MONITOR'], [qw(ACL LIST)], [qw(CLIENT LIST)], [qw(RENAME neon_auth:x neon_auth:y)], [qw(DUMP neon_auth:x)])
	{
		ok(!eval { $other->ask(@$command); 1 } && $@ =~ /NOPERM/, "$kind: it may not say @$command");
	}

	# ---- Refusals that are real

	# the server, and what its WARNING says, if there is one
	my $replica = start_redis($kind, '--replicaof', "127.0.0.1 " . $open->port, '--repl-diskless-sync-delay', 0);
	my $lone = start_redis($kind, '--cluster-enabled', 'yes');
	add_redis("${kind}_no_password", $locked->url);
	add_redis("${kind}_wrong_password", $locked->url, '', "redis_password 'wrong'");
	add_redis("${kind}_wrong_user", $locked->url, '', "redis_user 'nobody', redis_password '$password'");
	add_redis("${kind}_other_keys", $locked->url, ", redis_prefix 'other'", $user);
	add_redis("${kind}_needless_password", $open->url, '', "redis_password '$password'");
	add_redis("${kind}_no_database", $open->url . '/99');
	add_redis("${kind}_replica", $replica->url);
	add_redis("${kind}_lone", $lone->url);
	for my $case (
		[ no_password => 'did not accept the credential.*asks for a password' ],
		[ wrong_password => 'did not accept the credential.*did not accept user and password' ],
		[ wrong_user => 'did not accept the credential.*did not accept user and password' ],
		[ other_keys => 'did not accept the credential.*may not run this command' ],
		[ needless_password => 'did not accept the credential.*has no password' ],
		[ no_database => 'refused the request' ],
		[ lone => '' ])
	{
		my ($name, $warning) = ("${kind}_$case->[0]", $case->[1]);
		my $queries = listing($name) . '; ' . lookup($name);
		my $answer = ask_anew($queries);

		is($answer =~ s/psql:.*//sr, truth($queries, $name), "$kind, $case->[0]: right answers");
		is(scalar(() = $answer =~ /WARNING/g), $warning ? 1 : 0, 'WARNINGs');
		like($answer, qr/$warning/s, 'which say what is wrong');
		unlike($answer, qr/ERROR|\Q$password/, 'no error, and no password');
	}

	# ---- A replica: read, not written; then without its master

	$open->ask('FLUSHALL');
	ask_anew(listing("${kind}_plain"));
	wait_until('the replica', sub { return $replica->ask('DBSIZE') == $open->ask('DBSIZE'); });
	ask_anew('SELECT');
	is(join('', judge(listing("${kind}_replica"), "${kind}_replica", 0)), '', "F30: $kind, a replica serves hits");
	like(run_sql(lookup("${kind}_replica")), qr/^1\|.*$read_only/s, 'and takes no writes');
	is(join('', judge(lookup("${kind}_replica"), "${kind}_replica", 1)), '', 'which is told once');
	is(join('', judge(listing("${kind}_replica"), "${kind}_replica", 0)), '', 'and the rest goes on');
	$replica->ask('CONFIG', 'SET', 'replica-serve-stale-data', 'no');
	$open->stop;
	wait_until('the loss', sub { return $replica->ask('INFO', 'replication') =~ /master_link_status:down/; });
	ask_anew('SELECT');
	is(join('', judge(listing("${kind}_replica"), "${kind}_replica", 3)), '', "F29: $kind, MASTERDOWN is not told");

	# ---- A script that does not end

	add_redis("${kind}_busy", $locked->url, '', "redis_password '$password'");
	$locked->ask('CONFIG', 'SET', 'lua-time-limit', '1');
	my $script = IPC::Run::start(
		[ 'redis-cli', '-s', $locked->socket, '-a', $password, 'EVAL', 'while true do end', '0' ],
		'<', '/dev/null', '>', '/dev/null', '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	my $watcher = log_in($locked, $password);
	wait_until('the script', sub { return !eval { $watcher->ask('DBSIZE'); 1 } && $@ =~ /BUSY/; });
	ask_anew('SELECT');
	is(join('', judge(listing("${kind}_busy"), "${kind}_busy", 3)), '', "F29: $kind, BUSY is not told");
	$watcher->ask('SCRIPT', 'KILL');
	$script->finish;

	# ---- Memory that is used up

	my $small = start_redis($kind);
	add_redis("${kind}_small", $small->url);
	ask_anew(listing("${kind}_small"));
	$small->ask('CONFIG', 'SET', 'maxmemory', '1');
	ask_anew('SELECT');
	is(join('', judge(listing("${kind}_small"), "${kind}_small", 0)), '', "F30: $kind without memory serves hits");
	like(run_sql(lookup("${kind}_small")), qr/^1\|.*$read_only/s, 'and takes no writes');
	is(join('', judge(lookup("${kind}_small"), "${kind}_small", 1)), '', 'which is told once');
	$small->ask('CONFIG', 'SET', 'maxmemory', '0');
	is(try_all("${kind}_small", $small), '', 'all works when there is memory again');
	$_->stop for $locked, $cluster, $replica, $lone, $small;
}

# ---- Who shares what is cached

my $redis = start_redis();
my %sharing = (
	one => [ $redis->url, '' ],
	same => [ 'unix:' . $redis->socket, '' ],
	prefix => [ $redis->url, ", redis_prefix 'other'" ],
	number => [ $redis->url . '/1', '' ]);
add_redis($_, @{ $sharing{$_} }) for sort keys %sharing;
ask_anew(listing('one') . '; ' . lookup('one'));
is(join('', map { judge($_, 'same', 0) } listing('same'), lookup('same')), '',
	'servers with the same credential and prefix share');
for my $server ('prefix', 'number')
{
	is(join('', judge(listing($server), $server, 3), judge(lookup($server), $server, 1)), '',
		"not so with another $server");
}
sub epochs { return join(' ', map { $redis->ask('GET', $_) } grep { /^neon_auth:.*:e$/ } $redis->keys); }
my $epochs = epochs();
ask_anew("SELECT neon_auth.cache_clear('prefix')");
is(epochs(), $epochs, 'nor do they forget together');
is(join('', judge(listing('one'), 'one', 0)), '', 'what is forgotten in one prefix is still there in the other');
ask_anew("SELECT neon_auth.cache_clear('same')");
is(join('', judge(listing('one'), 'one', 3)), '', 'but not for those who share');

# ---- Too little memory for all of a directory

# Several megabytes for a Redis that has room for a part of it, whatever it evicts.
my $large = start_sim(users => 3000);
my $large_id = $large->user('index/9')->{id};

allow_urls($node, $sim->url, $large->url);
add_server($node, $large, name => 'large', schema => 'large', options => ", page_size '100'");
add_server($node, $large, name => 'cramped', schema => 'cramped',
	options => ", page_size '100', redis_timeout '10min', redis_url '" . $redis->url . "'");
sub evicted { return $redis->ask('INFO', 'stats') =~ /evicted_keys:(\d+)/ && $1; }

for my $policy ('allkeys-lru', 'allkeys-random', 'volatile-ttl', 'noeviction')
{
	my $wrong = '';

	$redis->ask('FLUSHALL');
	$redis->ask('CONFIG', 'SET', 'maxmemory', 0);
	my ($used) = $redis->ask('INFO', 'memory') =~ /used_memory:(\d+)/;
	my $before = evicted();
	$redis->ask('CONFIG', 'SET', 'maxmemory-policy', $policy);
	$redis->ask('CONFIG', 'SET', 'maxmemory', $used + 500_000);
	for my $sql ((map { listing($_), narrow($_), narrow($_), listing($_) } 'cramped'), lookup('cramped', $large_id))
	{
		my $answer = ask_anew($sql);
		my $told = $policy eq 'noeviction' ? 1 : 0;

		$told -= () = $answer =~ /$read_only/g;
		$wrong .= "$sql: $answer" if $told < 0 || $answer =~ s/psql:.*//sr ne run_sql($sql =~ s/cramped\./large./r);
	}
	is($wrong, '', "$policy: right answers");
	cmp_ok(evicted() - $before, '>', 0, 'though something was evicted') if $policy ne 'noeviction';
	is_deeply([ endless_keys($redis) ], [], 'and no key is without an end');
}

$session->quit;
$node->stop;
done_testing();
