
# What is in Redis when it is lost, old, changed or another's, when Redis restarts, and
# when many come at once: rows F34 to F38 of the fault matrix in both columns, with what a
# provider's certificate has to do with it (F4).  A refresh takes nothing from there.
# Queries in depth are in 024, 025, 026 and 031.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use NeonAuth::Fleet;
use NeonAuth::Hanging;
use NeonAuth::Matrix;
use NeonAuth::Redis;
use NeonAuth::RedisProxy;
use NeonAuth::Session;
use NeonAuth::Shim;
use NeonAuth::Test;
use NeonAuth::Tls;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $days = 24 * 60 * 60;
my ($users, $pages) = (50, 3);
my ($canary, $key) = ('sk_canary_of_caches', 'sk_test_another');
my $sim = start_sim(users => $users, key => $canary, clock => (int(time()) - 30 * $days) * 1000);
my $stranger = start_sim(users => $users, seed => 2, key => $key);
my $tls_port = PostgreSQL::Test::Cluster::get_free_port();
my $tls_url = "https://localhost:$tls_port";
my $authority = new_authority(PostgreSQL::Test::Utils::tempdir() . '/ours');
my $redis = start_redis();
my $proxy = start_redis_proxy($redis);
my $node = new_node('shared', urls => [ $sim->url, $stranger->url, $tls_url ],
	conf => "max_connections = 100\nlog_statement = none\nneon_auth_fdw.ca_file = '" . $authority->file . "'\n");

# All of one credential share what is cached.  For "old" all is old at once; "proxied" asks
# Redis through the proxy.
my $redis_url = "redis_url '" . $redis->url . "', redis_timeout '1min'";
my %servers = (
	alone => '',
	clerk => ", cache_ttl '1d', cache_stale_ttl '1d', $redis_url",
	old => ", cache_ttl '1ms', cache_stale_ttl '1d', $redis_url",
	proxied => ", cache_ttl '1d', cache_stale_ttl '1d', redis_url '" . $proxy->url . "'",
	followed => ", cache_ttl '1d', cache_stale_ttl '1d', redis_timeout '10min', redis_url '" . $proxy->url . "'",
	tls => ", cache_ttl '1ms', cache_stale_ttl '1d', $redis_url");

add_server($node, $sim, name => $_, schema => $_, options => ", page_size '20'$servers{$_}") for sort keys %servers;
add_server($node, $stranger, name => 'stranger', schema => 'stranger', options => ", page_size '20', cache_ttl '1d', $redis_url");
$node->safe_psql('postgres', "ALTER SERVER tls OPTIONS (SET url '$tls_url')");
begin_matrix($node, table => 'clerk.users', secrets => [ $canary, $key ], redis => $redis);

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub all_of { return "SELECT count(*), md5(string_agg(concat(id, name, email, raw_json), ' ' ORDER BY id)) FROM $_[0].users"; }
sub counted { return 'SELECT ' . join(', ', map { "sum($_)" } @_) . ' FROM neon_auth.cache_stats()'; }
sub refresh_of { my ($server, $more) = @_; return "CALL neon_auth.refresh_users_sync('$server', target => '$server.users_sync'" . ($more // ", mode => 'full'") . ')'; }
sub named { my ($id, $table) = @_; return sql("SELECT name FROM $table WHERE id = '$id'"); }

# What SQL prints, and its messages.
sub ask
{
	my (undef, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$_[0]", on_error_stop => 0);

	heard($err);
	return ($out, $err);
}

my $changes = 0;

# Something new at the provider: the id of who has this name now.
sub change
{
	my $index = ++$changes % 40;

	$sim->update("index/$index", { name => "Name $changes" });
	return $sim->user("index/$index")->{id};
}

# A cache with all users as they are, and nobody who fetches them.
sub fill
{
	$redis->ask('FLUSHALL');
	return sql(all_of('clerk'));
}

sub repaired { my ($what, $server) = @_; return repairs($what, server => $server, target => "$server.users_sync", table => "$server.users"); }

like(refreshed(), qr/^ok\|$users\|/, 'a first refresh');
ask(refresh_of($_)) for qw(clerk proxied followed);

# ---- F34: what was cached is lost while it is read, or while the provider is

my %losses = (
	'emptied' => sub { return ([ 'FLUSHALL' ]) },
	'expired' => sub { return map { [ 'PEXPIRE', $_, 0 ] } $redis->keys },
	'renamed away' => sub { return map { [ 'RENAME', $_, "away:$_" ] } $redis->keys });

for my $loss (sort keys %losses)
{
	row('F34', $loss,
		scan => sub {
			fill();
			my $number = $proxy->fault({ command => 'HMGET', times => 1, do => 'call', commands => [ $losses{$loss}->() ] });
			is(sql(all_of('proxied') . ';' . counted(qw(corrupt faults))), sql(all_of('alone')) . "\n0|0", 'a query has the right rows');
			is($proxy->fired($number), 1, 'which had begun to read');
			$proxy->clear;
			is(sql(all_of('proxied')), sql(all_of('alone')), 'the next one, too');
		},
		refresh => sub {
			fill();
			my $id = change();
			my $number = $proxy->fault({ command => 'GET', times => 1, do => 'call', commands => [ $losses{$loss}->() ] });
			like((ask(refresh_of('proxied')))[0], qr/^ok\|0\|1\|/, 'a refresh does all its work');
			is($proxy->fired($number), 1, 'during which it was');
			$proxy->clear;
			is(named($id, 'proxied.users_sync'), "Name $changes", 'it has written');
			is(named($id, 'clerk.users'), "Name $changes", 'and a query through the cache has it, too');
			repaired("after it was $loss", 'proxied');
		});
}

# ---- F35: what is cached is not what it was, or not ours

# All that is in Redis, by key: to be put back.
sub save { return { map { $_ => $redis->ask('DUMP', $_) } $redis->keys }; }
sub restore { my ($saved, @keys) = @_; $redis->ask('RESTORE', $_, 0, $saved->{$_}, 'REPLACE') for @keys; return; }
sub flip { my ($bytes) = @_; substr($bytes, length($bytes) / 2, 1) ^= "\x10"; return $bytes; }

# Changes each element: values, and fields of hashes.
sub each_element
{
	my ($code) = @_;

	for my $name (grep { !/:[elb]$/ } $redis->keys)
	{
		if ($redis->ask('TYPE', $name) eq 'hash')
		{
			$redis->ask('HSET', $name, $_, $code->($name, $redis->ask('HGET', $name, $_))) for @{ $redis->ask('HKEYS', $name) };
		}
		else
		{
			$redis->ask('SET', $name, $code->($name, $redis->ask('GET', $name)));
		}
	}
	return;
}

# Each: how the cache of before a change comes to be there; what is counted.
my %forgeries = (
	'bits flipped' => [ sub { my ($old) = @_; $redis->ask('FLUSHALL'); restore($old, keys %$old); each_element(sub { return flip($_[1]) }) }, 'corrupt' ],
	'replayed in a later epoch' => [ sub { my ($old) = @_; restore($old, grep { !/:e$/ } keys %$old) }, 'nothing' ],
	'of another tenant (B17)' => [ sub {
		$redis->ask('FLUSHALL');
		sql(all_of('stranger'));
		my ($epoch, $head, $rest) = map { my $end = $_; grep { /$end/ } $redis->keys } qr/:e$/, qr/:c$/, qr/:[0-9a-f]{32}:[0-9a-f]{32}$/;
		sql(all_of('clerk'));
		my ($ours) = grep { /:c$/ && $_ ne $head } $redis->keys;
		$redis->ask('COPY', $head, $ours, 'REPLACE');
		$redis->ask('COPY', $epoch, $_, 'REPLACE') for grep { /:e$/ && $_ ne $epoch } $redis->keys;
		$redis->ask('COPY', $rest, $ours =~ s/c$//r . $rest =~ s/.*://r, 'REPLACE');
	}, 'corrupt' ]);

for my $forgery (sort keys %forgeries)
{
	my ($forge, $counter) = @{ $forgeries{$forgery} };

	row('F35', $forgery,
		scan => sub {
			fill();
			my $old = save();
			my $id = change();
			sql(refresh_of('clerk'));
			$forge->($old);
			my ($out, $err) = ask(all_of('clerk') . ';' . counted(qw(corrupt hits)));
			like($out, qr/^\Q@{[ sql(all_of('alone')) ]}\E\n/, 'a query has the right rows');
			is($err, '', 'and no message');
			like($out, $counter eq 'corrupt' ? qr/\n[1-9]\d*\|0$/ : qr/\n0\|0$/, 'it is counted, and no hit');
			is(named($id, 'clerk.users'), "Name $changes", 'with what was changed last');
		},
		'refresh (CACHE-2)' => sub {
			fill();
			my $old = save();
			my $gone = $sim->user('index/' . (40 + ++$changes % 5))->{id};
			my $id = change();
			$sim->remove($gone);
			my $new = $sim->create({ name => 'New' })->{id};
			$forge->($old);
			restore($old, keys %$old) if $counter eq 'nothing';    # even in its own epoch
			$proxy->reset;
			like((ask(refresh_of('proxied')))[0], qr/^ok\|1\|\d\|\d+\|1\|0\|0\|/, 'a refresh does all its work');
			is(join(' ', map { "@$_[0, 1]" } grep { $_->[0] =~ /^(GET|MGET|HGET|HMGET|HGETALL|EXISTS|LRANGE)$/ && $_->[1] !~ /:b$/ } $proxy->seen), '',
				'and asks Redis for no user');
			is(sql("SELECT string_agg(coalesce(deleted_at IS NOT NULL, false)::text, ' ' ORDER BY id = '$gone', id = '$new') FROM proxied.users_sync WHERE id IN ('$gone', '$new', '$id')"),
				'false false true', 'it believes the provider alone, of deletions, too');
			repaired("after elements $forgery", 'proxied');
		},
		'sync_user' => sub {
			fill();
			my $old = save();
			my $id = change();
			$forge->($old);
			restore($old, keys %$old) if $counter eq 'nothing';
			is(sql("SELECT name FROM neon_auth.sync_user('proxied', '$id', 'proxied.users_sync')"), "Name $changes", 'the user is as the provider has it');
		});
}

# ---- F36: Redis restarts while a listing is written, or before it is told to forget

# Restarts it while what was begun waits for the provider; returns what that said.
sub restart_during
{
	my ($keep, $after, $sql) = @_;
	my $run = hang_refresh($node, $sim, { match => 'list', after => $after }, $sql);

	$redis->stop(keep => $keep);
	$redis->start;
	return $run->release;
}

for my $keep (1, 0)
{
	my $what = 'Redis restarts ' . ($keep ? 'with' : 'without') . ' what it has';

	row('F36', $what,
		scan => sub {
			for my $after (1, $pages - 1)
			{
				$redis->ask('FLUSHALL');
				my $right = sql(all_of('alone'));
				like(restart_during($keep, $after, all_of('clerk')), qr/^\Q$right\E\n/m, "a query that has read $after pages has the right rows");
				is(sql(all_of('clerk') . ';' . all_of('clerk')), "$right\n$right", 'so have the next ones');
				is(sql(all_of('clerk') . ';' . counted(qw(hits corrupt lost))), "$right\n1|0|0", 'the last one from the cache');
			}
		},
		refresh => sub {
			fill();
			my $id = change();
			like(restart_during($keep, 1, refresh_of('clerk')), qr/^ok\|/m, 'a refresh does all its work');
			is(named($id, 'clerk.users_sync'), "Name $changes", 'it has written');
			is(sql(all_of('clerk')), sql(all_of('alone')), 'a query through the cache has it, too');
			repaired($what, 'clerk');
		});
}

row('F36', 'Redis fails before it is told to forget',
	refresh => sub {
		ask(refresh_of('proxied'));
		fill();
		my $id = change();
		my $old = named($id, 'proxied.users_sync');
		my $number = $proxy->fault({ command => 'SET', key => ':e$', do => 'close' });
		like((ask(refresh_of('proxied')))[0], qr/^ok\|0\|1\|/, 'a refresh does all its work');
		cmp_ok($proxy->fired($number), '>=', 1, 'up to that');
		$proxy->clear;
		is(named($id, 'proxied.users_sync'), "Name $changes", 'it has written');
		like(sql("SELECT name FROM (SELECT * FROM clerk.users OFFSET 0) u WHERE id = '$id'"), qr/^(\Q$old\E|Name $changes)$/, 'a query has the old name, or the new one');
		is(sql("SELECT name FROM (SELECT * FROM old.users OFFSET 0) u WHERE id = '$id'"), "Name $changes", 'and where cache_ttl is over, the new one');
		change();
		ask(refresh_of('proxied'));
		is(sql(all_of('clerk')), sql(all_of('alone')), 'the next refresh with a change makes up for it');
	});

# ---- F37: Redis dies and is back while others wait for the one who lists

row('F37', 'Redis is killed while five wait for a sixth, and starts again', 'scan and refresh' => sub {
	my $right = sql(all_of('alone'));
	my ($refresher, $leader, @followers) = map { open_session($node) } 1 .. 7;

	$_->{psql}->query_safe('SET client_min_messages = error') for $leader, @followers;

	$redis->ask('FLUSHALL');
	$sim->reset_stats;
	hold($sim);
	begin_query($leader, all_of('clerk') . ';');
	wait_for_held($sim, 1);
	$redis->reset_commands;
	begin_query($_, all_of('clerk') . ';') for @followers;
	wait_for_polls($redis, 20);
	begin_query($refresher, refresh_of('clerk') . ';');
	wait_for_held($sim, 2);
	kill('KILL', $redis->pid);
	$redis->stop;
	$redis->start;
	let_go($sim);
	for my $session ($leader, @followers)
	{
		is(end_query($session), $right, 'each has all users');
	}
	like(end_query($refresher), qr/^ok\|/, 'the refresh beside them, too');
	cmp_ok($sim->stats->{list}, '<=', 7 * ($pages + 1), 'with a listing each at most');
	is(sql(all_of('clerk') . ';' . all_of('clerk') . ';' . counted('hits')) =~ /^\Q$right\E\n\Q$right\E\n([12])$/ ? 'well' : 'not', 'well', 'the cache is of use again');
	repaired('after that', 'clerk');
});

# ---- F38: many at once

# with a sanitizer fifty are so slow that leases and deadlines run out
my $crowd = $ENV{NAUTH_SANITIZER} ? 10 : 50;

row('F38', 'fifty sessions',
	scan => sub {
		my $right = sql(all_of('alone'));

		$redis->ask('FLUSHALL');
		$sim->reset_stats;
		crowd($node, $crowd, all_of('clerk'));
		cmp_ok($sim->stats->{list}, '<=', 2 * $pages, 'with a cold cache, they make two listings at most');
		is(sql(all_of('clerk')), $right, 'which is right');
	},
	'refresh (B23)' => sub {
		my $folder = PostgreSQL::Test::Utils::tempdir();
		my $logged = sql('SELECT count(*) FROM neon_auth.sync_run');

		change();
		$sim->reset_stats;
		hold($sim);
		my @runs = map { IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c', refresh_of('clerk') ],
				'<', '/dev/null', '>', "$folder/busy$_", '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default)) } 1 .. $crowd;
		wait_until('those who are late', sub { return $crowd - 1 == grep { -e "$folder/busy$_" && slurp_file("$folder/busy$_") =~ /^busy\|0\|/ } 1 .. $crowd });
		pass('all but one are told at once that it is busy');
		let_go($sim);
		$_->finish for @runs;
		is(scalar(grep { slurp_file("$folder/busy$_") =~ /^ok\|0\|1\|/ } 1 .. $crowd), 1, 'one does the work');
		cmp_ok($sim->stats->{list}, '<=', $pages, 'with one listing');
		is(sql('SELECT count(*) FROM neon_auth.sync_run'), $logged + 1, 'and one line in the log');
		repaired('after a crowd', 'clerk');
	});

# ---- CACHE-14: a query that is cancelled has not listed all

row('CACHE-14', 'a query is cancelled at its second page', scan => sub {
	$redis->ask('FLUSHALL');
	my $run = hang_refresh($node, $sim, { match => 'list', after => 1 }, all_of('clerk'));

	sql('SELECT pg_cancel_backend(' . $run->pid . ')');
	like($run->finish, qr/ERROR:  57014/, 'it is cancelled');
	$sim->clear_faults;
	is(scalar(my @heads = $redis->keys('*:c')), 0, 'there is no end of a listing');
	is(sql(all_of('clerk')), sql(all_of('alone')), 'the next one has all users');
	is(scalar(@heads = $redis->keys('*:c')), 1, 'and has found the end');
});

# ---- CACHE-6: what was cached at one moment does not get old at one moment

row('CACHE-6', 'users cached together', scan => sub {
	my $all = join(';', map { "SELECT FROM SERVER.users WHERE id = '" . $sim->user("index/$_")->{id} . "'" } 0 .. 29);
	my ($fresh, $more, $mixed) = (0, 0, 0);

	$redis->ask('FLUSHALL');
	my $begin = time();
	sql($all =~ s/SERVER/clerk/gr);

	# as if somebody was fetching each of them, so that the old ones are shown and stay
	$redis->ask('SET', "$_:l", 1) for grep { /\}:[0-9a-f]{32}$/ } $redis->keys;
	wait_until('an age', sub { return time() >= $begin + 3 });

	# a tenth of that age is several steps, however long it takes to get there
	while ($more < 4000 && $fresh < 30 && $mixed < 3)
	{
		my $ttl = int(1000 * (time() - $begin)) + ($more += 50);

		$fresh = sql("ALTER SERVER old OPTIONS (SET cache_ttl '${ttl}ms');" . ($all =~ s/SERVER/old/gr) . ';' . counted('hits'));
		$mixed++ if $fresh > 0 && $fresh < 30;
	}
	cmp_ok($mixed, '>=', 3, 'for long, some are old already, and some are not');
	sql(q(ALTER SERVER old OPTIONS (SET cache_ttl '1ms')));
	$redis->ask('FLUSHALL');
});

# ---- CACHE-12: two servers whose clocks differ share a cache

my $shim = new_shim();
my $ahead = $shim->new_node('ahead', urls => [ $sim->url ], conf => "log_statement = none\n");

add_server($ahead, $sim, schema => 'clerk', options => ", page_size '20'$servers{clerk}");
for my $case ([ 4, "a hit\n1|0" ], [ 6, "a miss\n0|0" ])
{
	my ($minutes, $expected) = @$case;
	my ($name, $counts) = split /\n/, $expected;

	row('CACHE-12', "a server whose clock is $minutes minutes ahead", scan => sub {
		my $right = sql(all_of('alone'));
		my $query = all_of('clerk') . ';' . counted(qw(hits corrupt));

		$redis->ask('FLUSHALL');
		$shim->set_clock(60 * $minutes);
		is($ahead->safe_psql('postgres', all_of('clerk')), $right, 'it fills the cache');
		is(sql($query), "$right\n$counts", "which is $name here, and nothing wrong with it");
		is(sql($query), "$right\n1|0", 'and then a hit');
		is($ahead->safe_psql('postgres', $query), "$right\n1|0", 'there, too');
		$shim->set_clock(0);
	});
}

# ---- F4: a certificate that is not accepted is no reason to show old users

my $good = $authority->certificate('good');
my $tls = start_tls($sim, $tls_port, $good);
my %bad = (
	'expired' => $authority->certificate('expired', from => '20200101000000Z', until => '20200201000000Z'),
	'of another host' => $authority->certificate('elsewhere', names => 'DNS:elsewhere.test'),
	'self-signed' => $authority->certificate('by_itself', alone => 1));
my $refused = qr/ERROR:  HV00N: could not connect to the provider of server "tls"\nDETAIL:  Reason: the TLS certificate was not accepted\./;

sub forget_failures { $redis->ask('DEL', $_) for grep { /:[blr]$/ } $redis->keys; return; }

like((ask(refresh_of('tls')))[0], qr/^ok\|/, 'a provider with TLS') or die 'nothing else can work';
for my $what (sort keys %bad)
{
	row('F4', "a certificate that is $what, with a cache",
		scan => sub {
			my $right = sql(all_of('tls'));

			$tls->stop;
			forget_failures();
			my ($out, $err) = ask(all_of('tls'));
			is($out, $right, 'while nobody listens, users who are old are shown');
			like($err, qr/WARNING:  01000: users of server "tls" are \d+ s old/, 'and not in silence');
			forget_failures();
			$tls = start_tls($sim, $tls_port, $bad{$what});
			($out, $err) = ask(all_of('tls'));
			like($err, $refused, 'when somebody else may be listening, it is an error');
			is($out, '', 'without a user');
		},
		refresh => sub {
			my ($out, $err) = unchanged_by("a certificate that is $what", sub { return ask(refresh_of('tls')) });

			like($err, $refused, 'it is an error, too');
			is(sql(q(SELECT status, sqlstate FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1)), 'failed|HV00N', 'that is logged');
			$tls->stop;
			$tls = start_tls($sim, $tls_port, $good);
			forget_failures();
			repaired('with the right certificate', 'tls');
		});
}

# ---- CACHE-10: who follows asks Redis again after a fault of one beat

row('CACHE-10', 'a fault in one beat of follow_users_sync', refresh => sub {
	my $session = new_session($node);

	$session->begin(q(CALL neon_auth.follow_users_sync('followed', every => '100ms', during => '1h', target => 'followed.users_sync')));
	wait_until('the first beat', sub { return sql(q(SELECT count(*) FROM neon_auth.sync_progress WHERE phase = 'waiting for the next beat')) });
	my $number = $proxy->fault({ do => 'error', text => '-LOADING Redis is loading', times => 1 });
	wait_until('a fault', sub { return $proxy->fired($number) });
	$sim->reset_stats;
	wait_until('some beats', sub { return $sim->stats->{list} >= 3 });
	$proxy->reset;
	$sim->reset_stats;
	wait_until('more beats', sub { return $sim->stats->{list} >= 3 });
	cmp_ok(scalar(grep { $_->[0] eq 'GET' && $_->[1] =~ /:b$/ } $proxy->seen), '>=', 2, 'the next ones ask whether the provider wants silence');
	sql(q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL neon_auth.follow%'));
	like($session->finish // $session->said, qr/57014/, 'and it ends');
});

# ---- What others have got wrong

row('B13', 'a value with the characters of patterns and formats', scan => sub {
	fill();
	my @before = $redis->keys;
	is(sql("SELECT count(*) FROM clerk.users WHERE id = '%s%n*?[a-z]'; SELECT count(*) FROM clerk.users WHERE id = '%s%n*?[a-z]'"), "0\n0", 'finds nobody');
	is(join(' ', grep { /[%*?\[]/ } $redis->keys), '', 'and is not in a key');
	sql(q(SELECT neon_auth.cache_clear('clerk')));
	is(scalar(grep { my $key = $_; grep { $_ eq $key } $redis->keys } @before), scalar @before, 'forgetting deletes by no pattern');
});
row('B14', 'EXPLAIN', scan => sub {
	$proxy->reset;
	$sim->reset_stats;
	unlike((ask('EXPLAIN (VERBOSE) ' . all_of('proxied')))[1], qr/ERROR/, 'it has a plan');
	is_deeply([ $proxy->accepted, $sim->asked ], [ 0, 'nothing' ], 'without asking anybody');
});
row('B15', 'two queries in transactions that go on', scan => sub {
	my @sessions = map { new_session($node) } 1 .. 2;

	$redis->ask('FLUSHALL');
	for my $session (@sessions)
	{
		like($session->must("BEGIN; SET LOCAL lock_timeout = '10s'; " . all_of('clerk')), qr/^\d+\|\w{32}$/m, 'neither waits for the other');
		is($session->must('SELECT pg_current_xact_id_if_assigned() IS NULL'), 't', 'nor writes anything');
	}
	$_->must('COMMIT') for @sessions;
});
row('B16', 'generic plans under auto_explain', scan => sub {
	my ($run, $right) = (all_of('clerk') =~ s/ FROM .*/ FROM clerk.users WHERE id <> \$1/r, sql(all_of('alone')));
	my $session = new_session($node);

	$session->must("LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_analyze = on; SET auto_explain.log_verbose = on;
		SET plan_cache_mode = force_generic_plan; PREPARE p AS $run");
	is($session->must("EXECUTE p('nobody')"), $right, 'a plan that is used again') for 1 .. 3;
	$session->must('DISCARD PLANS');
	is($session->must("EXECUTE p('nobody')"), $right, 'and again after DISCARD PLANS') for 1 .. 3;
});

no_canary();
no_crash();
$_->stop for $node, $ahead;
done_testing();
