
# An application server (F35) that knows the credential and may write to Redis: it can seal
# whatever it likes, and so show other sessions users that do not exist.  It can do no
# more: no forged element brings a session down, leads it to another address or has it
# read what is not there, and no refresh takes a forged user for one.
#
# What is forged is what sessions have written, opened and changed by regress/forger.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IPC::Open2;
use NeonAuth::Providers;
use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $build = PostgreSQL::Test::Utils::tempdir();
system_or_bail('make', '-s', '-C', tree() . '/regress/forger', "BUILD=$build");

my $redis = start_redis();
my $elsewhere = start_sim(users => 2);
my $node = new_node('forged');
my $log_begin = -s $node->logfile;
my $session;
my $forger;

# ---- Helpers

# A forger who has this credential.
sub hire_forger
{
	my ($credential) = @_;

	if ($forger)
	{
		close($_) for @$forger[ 0, 1 ];
		waitpid($forger->[2], 0);
	}
	my $pid = open2(my $from, my $to, "$build/forger", $credential);
	$forger = [ $from, $to, $pid ];
	return;
}

# What it makes of the element at a key and field: undef if it cannot.
sub forge
{
	my ($verb, $key, $field, $element, @more) = @_;
	my $number = $verb eq 'open' || $verb eq 'wrap' ? '' : ' ' . pop @more;
	my $line = join(' ', $verb, map { unpack('H*', $_) } "$key $field", $element, @more) . $number;

	print { $forger->[1] } "$line\n";
	my $answer = readline($forger->[0]) // die 'the forger is gone';
	chomp $answer;
	return $answer eq '-' ? undef : pack('H*', $answer);
}

sub opened { return forge('open', @_) // die "cannot open @_[0, 1]"; }
sub sealed { my ($key, $field, $element, $plain) = @_; return forge('seal', $key, $field, $element, $plain, length $plain); }

# A value as it is kept: its length, its bytes, and zeros up to a multiple of four.
sub value { my ($text) = @_; return pack('V', length $text) . $text . "\0" x (4 - length($text) % 4); }

# The one key that ends so.
sub key_like
{
	my ($end) = @_;
	my @found = grep { /$end/ } $redis->keys;

	return @found == 1 ? $found[0] : die "keys like $end: @found";
}

my $hex = '[0-9a-f]{32}';
my ($is_user, $is_pages) = (qr/\}:$hex$/, qr/:$hex:$hex$/);

sub counted
{
	my ($what) = @_;

	return $session->must("SELECT coalesce(sum($what), 0) FROM neon_auth.cache_stats()");
}

# The server is as well as before.
my $started = '';
sub server_is_well
{
	my ($name) = @_;
	my $log = slurp_file($node->logfile, $log_begin);

	ok($session->ask('SELECT 1') && $log !~ /terminated by signal|PANIC|TRAP:|server process/, "$name: no session ended");
	return is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, "$name: nor did the server");
}

# ---- A directory of five, of whom one is looked at

my $sim = start_sim(users => 5);
my $user = $sim->user('index/2')->{id};

allow_urls($node, $sim->url, $elsewhere->url);
add_server($node, $sim, options => ", page_size '2', cache_ttl '1h', redis_url '" . $redis->url . "', redis_timeout '1min'");
$session = new_session($node);
$started = $session->must('SELECT pg_postmaster_start_time()');
$session->must('SELECT neon_auth.create_users_sync()');
hire_forger($sim->key);

# All that one could do with a user, as a text: its jsonb is walked, compared, hashed and
# written down, and says the same when it is read again.
$session->must(<<"SQL");
CREATE FUNCTION looked_at(u app.users) RETURNS text LANGUAGE sql AS \$\$
	SELECT concat_ws(' ', (u.raw_json::text::jsonb = u.raw_json) IS NOT FALSE, length(u.id), upper(u.name), u.email, u.created_at::text, u.updated_at::text,
		(SELECT count(*) FROM jsonb_each(u.raw_json)), jsonb_array_length(jsonb_path_query_array(u.raw_json, '\$.**')),
		jsonb_hash(u.raw_json), u.raw_json @> '{"id":"x"}', u.raw_json ? 'id', jsonb_cmp(u.raw_json, '{}'), md5((u.raw_json || '{"a":1}')::text),
		md5(jsonb_pretty(jsonb_strip_nulls(u.raw_json))), md5((u.raw_json - 'id')::text))
\$\$;
SQL
my $look = "SELECT looked_at(u) FROM app.users u WHERE id = '$user'";
my $truth = $session->must("SET neon_auth_fdw.cache = off; $look; SET neon_auth_fdw.cache = on");
my $people = 'SELECT string_agg(name, \',\' ORDER BY id) FROM ';
my $names = $session->must("SET neon_auth_fdw.cache = off; $people app.users; SET neon_auth_fdw.cache = on");
like($truth, qr/^t /, 'there is a user');

# ---- What it can do

is($session->must($look), $truth, 'the user is cached');
my $of_user = key_like($is_user);
my %true = map { $_ => $redis->ask('HGET', $of_user, $_) } '0', '0r';
my %plain = map { $_ => opened($of_user, $_, $true{$_}) } keys %true;
my ($name) = $plain{0} =~ /\Q${\value($user)}\E(....)/s or die 'no name';
$name = substr($plain{0}, $+[1], unpack('V', $name));

my $forged = $plain{0} =~ s/\Q${\value($name)}\E/value('Mallory the Forged')/er;
$redis->ask('HSET', $of_user, 0, sealed($of_user, 0, $true{0}, $forged));
like($session->must($look), qr/MALLORY THE FORGED/, 'a forged name is shown, for it is sealed with the right credential');

$session->must("$people app.users");
my $pages = key_like($is_pages);
my $page = $redis->ask('HGET', $pages, 1);
$forged = opened($pages, 1, $page) =~ s/\Q${\value($name)}\E/value('Mallory the Forged')/er =~ s/\Q${\value($user)}\E/value('user_forged')/er;
$redis->ask('HSET', $pages, 1, sealed($pages, 1, $page, $forged));
like($session->must("$people app.users"), qr/Mallory the Forged/, 'a forged user is shown in a listing');
like($session->must(q(SELECT id FROM app.users WHERE name = 'Mallory the Forged')), qr/^user_forged$/, '... who does not exist');

# It has to be the page that comes next.
my $after = substr(opened($pages, 0, $redis->ask('HGET', $pages, 0)), 44 + length value(''));
$after = value(substr($after, 4, unpack('V', $after)));
my $second = opened($pages, 1, $page);
is(substr($second, 44, length $after), $after, 'a page says with which cursor it was asked for');
for my $other ($after =~ s/.(?=\0)/x/r, value(''), value('x' x 100))
{
	my $corrupt = counted('corrupt');
	my $mutant = $second =~ s/\Q${\value($name)}\E/value('Mallory the Forged')/er;

	substr($mutant, 44, length $after) = $other;
	$redis->ask('HSET', $pages, 1, sealed($pages, 1, $page, $mutant));
	is($session->must("$people app.users"), $names, 'one that was asked for with another is not taken');
	cmp_ok(counted('corrupt'), '>', $corrupt, '... and counted');
	$session->must("SET neon_auth_fdw.cache = refill; $people app.users; SET neon_auth_fdw.cache = on");
	$pages = key_like($is_pages);
	$page = $redis->ask('HGET', $pages, 1);
	$second = opened($pages, 1, $page);
}

# ---- What it cannot: be taken for one by a refresh

like($session->must(q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^ok\|5\|/, 'a refresh beside a forged cache');
is($session->must("$people neon_auth.users_sync"), $names, '... writes who exists');
$redis->ask('HSET', $of_user, map { ($_ => $true{$_}) } keys %true);
like($session->must(qq(SELECT name FROM neon_auth.sync_user('clerk', '$user'))), qr/^\Q$name\E$/, 'so does sync_user');
is($session->must(q(SELECT concat_ws(' ', status, inserted, updated, tombstoned) FROM neon_auth.sync_run ORDER BY run_id DESC LIMIT 1)), 'ok 5 0 0', '... with nobody deleted');

# ---- Nor bring a session down: each word of each half, and of heads

# Puts a half of the user, beside the true other half, and looks; returns what is seen.
sub seen_with
{
	my ($field, $element) = @_;
	my $other = $field eq '0' ? '0r' : '0';

	$redis->ask('HSET', $of_user, $field, $element, $other, $true{$other});
	return $session->ask($look);
}

# They are of the moment after the refresh.
$redis->ask('FLUSHALL');
is($session->must($look), $truth, 'the user once more');
%true = map { $_ => $redis->ask('HGET', $of_user, $_) } '0', '0r';
%plain = map { $_ => opened($of_user, $_, $true{$_}) } keys %true;
is(seen_with('0', sealed($of_user, '0', $true{0}, $plain{0})), $truth, 'what was opened and sealed again is a hit');

my @hostile = (0, 1, 3, 0x7F, 0xFFF, 0x0FFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFB, 0xFFFFFFFE, 0xFFFFFFFF);
my @twists = (sub { $_[0] + 1 }, sub { $_[0] - 1 }, sub { $_[0] ^ 0x10000000 }, sub { $_[0] ^ 0x20000000 }, sub { $_[0] ^ 0x50000000 },
	sub { $_[0] ^ 0x80000000 }, sub { $_[0] ^ 0xFF }, sub { $_[0] ^ 0x8000 }, map { my $word = $_; sub { $word } } @hostile);

for my $field ('0', '0r')
{
	my ($before, $taken, $refused, $wrong) = (counted('corrupt'), 0, 0, '');
	my $each = $ENV{NAUTH_STEPS} ? @twists : $field eq '0' ? 6 : 2;

	for my $at (0 .. length($plain{$field}) / 4 - 1)
	{
		for my $k (0 .. $each - 1)
		{
			my $mutant = $plain{$field};
			my $word = unpack('V', substr($mutant, 4 * $at, 4));
			my $bad = $twists[ ($at * 7 + $k * 5) % @twists ]->($word) & 0xFFFFFFFF;

			next if $bad == $word;
			substr($mutant, 4 * $at, 4) = pack('V', $bad);
			my $seen = seen_with($field, sealed($of_user, $field, $true{$field}, $mutant)) // 'the session has ended';
			$seen eq $truth ? $refused++ : $seen =~ /^t |^$/ ? $taken++ : ($wrong .= "$at: $seen\n");
			BAIL_OUT("word $at of $field became $bad: $seen") if $seen =~ /ended/;
		}
	}
	is($wrong, '', "half $field: whatever is read is a user that can be");
	cmp_ok($refused, '>', 50, "... $refused were refused, $taken taken");
	cmp_ok(counted('corrupt') - $before, '>', 0.5 * $refused, '... and counted');
	server_is_well("forged half $field");
}

# Other contents than any writer would write.
my $long = 'x' x 5000;
for my $row (
	[ 'nothing', '0', sub { forge('wrap', @_, '') } ],
	[ 'a byte', '0', sub { forge('wrap', @_, 'x') } ],
	[ 'no LZ4', '0r', sub { forge('wrap', @_, pack('V', 1000) . 'garbage' x 50) } ],
	[ 'said to be nothing', '0', sub { forge('seal', @_, $plain{0}, 0) } ],
	[ 'said to be shorter', '0', sub { forge('seal', @_, $plain{0}, length($plain{0}) - 4) } ],
	[ 'said to be longer', '0r', sub { forge('seal', @_, $plain{'0r'}, length($plain{'0r'}) + 4) } ],
	[ 'said to be 64 MB', '0r', sub { forge('seal', @_, $plain{'0r'}, 64 * 1024 * 1024) } ],
	[ 'said to be 4 GB', '0r', sub { forge('seal', @_, $plain{'0r'}, 0xFFFFFFFF) } ],
	[ 'a megabyte of zeros', '0', sub { forge('seal', @_, "\0" x 1048576, 1048576) } ],
	[ 'the other half', '0', sub { forge('seal', @_, $plain{'0r'}, length $plain{'0r'}) } ],
	[ 'a name that is not UTF-8', '0', sub { my $p = $plain{0} =~ s/\Q${\value($name)}\E/value("\xC3\x28 \xED\xA0\x80")/er; forge('seal', @_, $p, length $p) } ],
	[ 'a name with a zero', '0', sub { my $p = $plain{0} =~ s/\Q${\value($name)}\E/value("a\0b")/er; forge('seal', @_, $p, length $p) } ],
	[ 'too long a name', '0', sub { my $p = $plain{0} =~ s/\Q${\value($name)}\E/value($long)/er; forge('seal', @_, $p, length $p) } ],
	[ 'no id', '0', sub { my $p = $plain{0} =~ s/\Q${\value($user)}\E/value('')/er; forge('seal', @_, $p, length $p) } ],
	[ 'one that ended long ago', '0', sub { forge('date', @_, -210000000000000000) } ],
	[ 'one that never ends', '0', sub { forge('date', @_, '9223372036854775807') } ],
	[ 'one that never was', '0', sub { forge('date', @_, '-9223372036854775808') } ])
{
	my ($what, $field, $make) = @$row;
	my $element = $make->($of_user, $field, $true{$field}) // die "cannot forge: $what";

	is(seen_with($field, $element), $truth, "$what instead of half $field");
}
like(seen_with('0', sealed($of_user, '0', $true{0}, $plain{0} =~ s/\Q${\value($user)}\E/value('user_another')/er)), qr/^$/,
	'a page that is another user is not taken for this one');
server_is_well('other contents');

# Heads: states, and numbers beyond all bounds.
my $list = 'SELECT count(*), count(raw_json) FROM app.users';
$redis->ask('FLUSHALL');
is($session->must($list), '5|5', 'a listing is cached');
my $head_key = key_like(qr/:c$/);
my $head = $redis->ask('GET', $head_key);
my $plain_head = opened($head_key, '', $head);
my %kept = map { $_ => $redis->ask('DUMP', $_) } $redis->keys;
my $wrong = '';
for my $at (1 .. length($plain_head) / 4 - 1)
{
	for my $bad (@hostile)
	{
		my $mutant = $plain_head;

		substr($mutant, 4 * $at, 4) = pack('V', $bad);
		$redis->ask('FLUSHALL');
		$redis->ask('RESTORE', $_, 0, $kept{$_}) for keys %kept;
		$redis->ask('SET', $head_key, sealed($head_key, '', $head, $mutant));
		my $seen = $session->ask($list) // 'the session has ended';
		$wrong .= "$at, $bad: $seen\n" if $seen ne '5|5';
	}
}
is($wrong, '', 'whatever a head says, the listing is right');
server_is_well('forged heads');

# ---- Nor lead it anywhere: a page that says where to go on

my @cursors = ("\x01", '-1', '0', '18446744073709551616', '1 2 3 4 5 6', 'x' x 100, 'x' x 4096, '../../admin', '?a=b#c', "a\r\nX-Evil: 1", "\xFF\xFE",
	'@' . ' ' x 20, '~', "'; DROP TABLE users", '%00%0d%0a', '00000000-0000-0000-0000-000000000000', $elsewhere->url . '/v1/users?limit=2',
	$elsewhere->url . '/api/v1/users?after=x&limit=2', 'http://169.254.169.254/latest/meta-data', 'file:///etc/passwd', "\x7F", '>', '>1 2', '@1 2', '<' x 50);

# What a credential is made of, other than an api_key.
my @parts = qw(client_id client_secret private_key access_key_id secret_access_key session_token);

for my $provider (sort keys %providers)
{
	my $about = $providers{$provider};
	my $of = start_provider($provider, users => 45);
	my $schema = "of_$provider";
	my $mapping = $about->{mapping};
	my ($failed, $bad) = (0, '');

	allow_urls($node, $of->url, $elsewhere->url);
	add_server($node, $of, name => $schema, schema => $schema, mapping => $mapping // "api_key '" . $of->key . "'",
		options => ($about->{options} // '') . ", page_size '20', max_concurrency '1', cache_ttl '1h', redis_url '" . $redis->url . "', redis_timeout '1min'");
	hire_forger($mapping ? join('', map { $mapping =~ /\b$parts[$_] '(.*?)'/ ? "\n$_ $1" : () } 0 .. $#parts) : $of->key);
	$session = new_session($node);
	my $all = "SELECT count(id) FROM $schema.users";
	my $right = $session->must("SET neon_auth_fdw.cache = off; $all; SET neon_auth_fdw.cache = on");

	$redis->ask('FLUSHALL');
	$session->must("BEGIN; DECLARE c CURSOR FOR SELECT id FROM $schema.users; FETCH c; ROLLBACK");
	my $growing = key_like($is_pages);
	my %beginning = map { $_ => $redis->ask('DUMP', $_) } $redis->keys;
	my $first = $redis->ask('HGET', $growing, 0);
	my $content = opened($growing, 0, $first);
	my $next = substr($content, 44 + length value(''));
	my $length = unpack('V', $next);
	isnt($length, 0, "$provider: a listing that has begun");
	$next = value(substr($next, 4, $length));
	$elsewhere->reset_stats;
	for my $cursor (@cursors)
	{
		my $mutant = $content;

		substr($mutant, 44 + length value(''), length $next) = value($cursor);
		$redis->ask('FLUSHALL');
		$redis->ask('RESTORE', $_, 0, $beginning{$_}) for keys %beginning;
		$redis->ask('HSET', $growing, 0, sealed($growing, 0, $first, $mutant));
		my $seen = $session->ask($all) // BAIL_OUT("$provider: a cursor ended the session: $cursor");
		$failed++ if $seen =~ /ERROR:  HV00/;
		$bad .= "$cursor: $seen\n" unless $seen =~ /^\d+$/ || $seen =~ /ERROR:  HV00[LMN]: /;
		$bad .= "$cursor: $seen\n" if length $cursor > 2048 && $seen !~ /Reason: a cursor is too long/;
		$bad .= "$cursor: $seen\n" if $seen =~ /\Q$cursor\E/ && length $cursor > 4;
	}
	cmp_ok($failed, '>=', 20, "$provider: forged cursors are asked with, and $failed of " . @cursors . ' are an error');
	is($bad, '', "$provider: a forged cursor is asked for or refused");
	is($elsewhere->asked, 'nothing', '... and at no other address');
	$redis->ask('FLUSHALL');
	is($session->must($all), $right, '... and without it the listing is right');
	$of->stop;
}
server_is_well('forged cursors');

done_testing();
