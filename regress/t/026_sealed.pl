
# What is in Redis is of use to nobody but who has the credential: nothing there can
# be read, nothing that was changed, moved or kept for later is taken for users, and
# another credential, URL or provider finds nothing.  Whatever is wrong there, a
# query has the right rows: those from the first bad page on come from the provider.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use Compress::Zlib ();
use Digest::MD5 ();
use Digest::SHA ();
use IPC::Run;
use MIME::Base64 qw(encode_base64);
use NeonAuth::Redis;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($limit, $password) = ($PostgreSQL::Test::Utils::timeout_default, 'redis-zygomorphic-password');
my ($key, $other_key, $canary) = ('sk_test_zygomorphic_key', 'sk_test_another_key', 'xylographic');
my $redis = start_redis('--requirepass', $password);
my $sim = start_sim(users => 12, key => $key);
my $url = $sim->url;
my $localhost = $url =~ s/127\.0\.0\.1/localhost/r;

$sim->create_raw(qq({"id":"user_canary","first_name":"Zenobia","last_name":"Quillfeather",
	"email_addresses":[{"id":"idn_1","email_address":"zenobia.quillfeather\@canary.example"}],
	"primary_email_address_id":"idn_1","public_metadata":{"word":"$canary"},
	"created_at":1767225600001,"updated_at":1767225600001}));

# Two clusters, made alike.  Three pages: 5, 5 and 3 users.
my ($node, $twin) = map { make_node($_) } qw(one two);

sub make_node
{
	my ($name) = @_;
	my $made = new_node($name, urls => [ $url, $localhost ], conf => "log_statement = none\n");

	add_server($made, $sim, options => ", page_size '5', cache_ttl '1h', redis_url '" . $redis->url . "', redis_timeout '1min'");
	$made->safe_psql('postgres', <<"SQL");
ALTER USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (ADD redis_password '$password');
CREATE ROLE guest;
GRANT USAGE ON FOREIGN SERVER clerk TO guest;
GRANT USAGE ON SCHEMA app TO guest; GRANT SELECT ON app.users TO guest;
CREATE USER MAPPING FOR guest SERVER clerk OPTIONS (api_key '$other_key', redis_password '$password');
SQL
	return $made;
}

# ---- Helpers

# Runs SQL in a session of its own; returns what psql prints, and its messages.
# Options: on (a node), settings.
sub run_sql
{
	my ($sql, %opts) = @_;
	my ($out, $err) = ('', '');
	local $ENV{PGOPTIONS} = $opts{settings} // '';

	IPC::Run::run([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', ($opts{on} // $node)->connstr('postgres') ],
		'<', \$sql, '>', \$out, '2>', \$err, IPC::Run::timeout($limit));
	chomp($out);
	return ($out, $err);
}

# The rows of a query as one short text: how many, and a digest of them in order.
sub digest { return "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n')), '-') FROM ($_[0]) t"; }

my %query = (
	narrow => digest('SELECT id, name, email, created_at, updated_at FROM app.users'),
	wide => digest('SELECT id, name, email, raw_json FROM app.users'),
	user => digest("SELECT id, name, email FROM app.users WHERE id = 'user_canary'"),
	user_wide => digest("SELECT id, raw_json FROM app.users WHERE id = 'user_canary'"),
	absent => digest("SELECT id, name, email FROM app.users WHERE id = 'user_absent'"));
my %rows = map { $_ => (run_sql("SET neon_auth_fdw.cache = off; $query{$_}"))[0] } keys %query;

like($rows{narrow}, qr/^13 \w{32}$/, 'the provider has users') or BAIL_OUT('nothing else can work');
like("$rows{user_wide}, $rows{absent}", qr/^1 \w{32}, 0 -$/, 'one of them with the canary, and not another');

# What comes of a query in a new session: "right" or the rows, how many requests,
# whether corrupt elements, lost listings and faults of Redis were counted, and messages.
sub outcome
{
	my ($kind, %opts) = @_;
	my $role = $opts{role} ? "SET ROLE $opts{role};" : '';

	$sim->reset_stats;
	my ($out, $err) = run_sql("$role $query{$kind}; RESET ROLE;
		SELECT concat(CASE WHEN corrupt > 0 THEN ', corrupt' END, CASE WHEN lost > 0 THEN ', lost' END,
			CASE WHEN faults > 0 THEN ', fault' END) FROM neon_auth.cache_stats();", %opts);
	my ($got, $counted) = (split(/\n/, $out), '', '');
	$got = 'right' if $got eq ($opts{rows} // $rows{$kind});
	return ($got || 'nothing') . ', requests ' . $sim->requests . $counted . $err;
}

my $hit = 'right, requests 0';

sub fill { $redis->ask('FLUSHALL'); return run_sql(join('; ', @query{@_})); }

# All keys as they are, to be put back again and again, without an end; all but some.
sub save { return { map { $_ => $redis->ask('DUMP', $_) } $redis->keys }; }

sub restore
{
	my ($cache, @but) = @_;

	$redis->ask('FLUSHALL') unless @but;
	for my $name (keys %$cache)
	{
		$redis->ask('RESTORE', $name, 0, $cache->{$name}, 'REPLACE') unless grep { $_ eq $name } @but;
	}
	return;
}

# The one key, of those that are there, that ends so.
sub key_like
{
	my ($end, @keys) = @_;
	my @found = grep { /$end/ } (@keys ? @keys : $redis->keys);

	return @found == 1 ? $found[0] : die "keys like $end: @found";
}

# An element: at a key, and perhaps a field.
sub read_element { return $redis->ask(@_ > 1 ? 'HGET' : 'GET', @_); }
sub write_element { return $redis->ask(@_ > 2 ? 'HSET' : 'SET', @_[ 1 .. $#_ ], $_[0]); }

my $hex = '[0-9a-f]{32}';
my $is_user = qr/^neon_auth:\{$hex\}:$hex$/;
my $is_pages = qr/:$hex:$hex$/;

# ---- Nothing can be read

# The ways in which a text may be written down.
sub spellings
{
	my ($text) = @_;
	my @found = ($text, lc $text, uc $text, unpack('H*', $text), uc unpack('H*', $text));

	for my $before (0 .. 2)
	{
		# characters at the ends depend on what stands beside the text
		my ($begin, $end) = ($before ? $before + 1 : 0, int(8 * ($before + length $text) / 6));
		push @found, substr(encode_base64('x' x $before . $text, ''), $begin, $end - $begin);
	}
	# shorter ones are found by chance
	return grep { length >= 5 } @found;
}

# Those of these secrets that stand anywhere in the text.
sub readable
{
	my ($text, @secrets) = @_;

	return join ' ', grep { my $secret = $_; grep { index($text, $_) >= 0 } spellings($secret) } @secrets;
}

my @people = grep { length >= 7 } split /\n/, (run_sql("SET neon_auth_fdw.cache = off;
	SELECT unnest(ARRAY[id, name, email]) FROM app.users"))[0];
my @digests = map { $_->($key) } (\&Digest::SHA::sha256, \&Digest::SHA::sha1, \&Digest::MD5::md5);
my @secrets = (@people, $canary, qw(Quillfeather user_absent public_metadata clerk /v1/users), $key, $password,
	$url, '127.0.0.1:' . $sim->port, @digests, map { unpack('H*', $_) } @digests);
cmp_ok(scalar @people, '>=', 3 * 12, 'users have names, ids and e-mails');

# all that Redis is sent: cold, again, wide, one user, none, a part, a lease, a forgotten directory
my $all_levels = '-c log_min_messages=debug5 -c client_min_messages=debug5';
my @statements = map { ("$query{$_};") x 2 } sort keys %query;
my $monitored = '';
{
	local $ENV{REDISCLI_AUTH} = $password;
	my $monitor = IPC::Run::start([ 'redis-cli', '-s', $redis->socket, 'MONITOR' ],
		'>', \$monitored, '2>&1', my $timer = IPC::Run::timeout($limit));
	pump_until($monitor, $timer, \$monitored, qr/^OK/) or die 'MONITOR did not start';
	my ($out, $err) = run_sql("@statements SELECT id FROM app.users LIMIT 1; SELECT neon_auth.cache_clear('clerk');
		SELECT id FROM app.users LIMIT 1; CALL neon_auth.refresh_users_sync('clerk'); @statements",
		settings => $all_levels);
	like($err, qr/DEBUG: /, 'messages of all levels');
	is(readable($err, $key, $password, @digests), '', 'show no secret');
	$redis->ask('ECHO', 'the end of it');
	pump_until($monitor, $timer, \$monitored, qr/the end of it/) or die 'MONITOR ended';
	$monitor->kill_kill;
}
like($monitored, qr/"HSETNX" "neon_auth:\{$hex\}:$hex:$hex" "0r" /, 'MONITOR shows how pages are written');
is(readable($monitored, @secrets), '', 'and nothing that can be read');

my $dump = $redis->dump;
my @values = map {
	my ($name, $type) = ($_, $redis->ask('TYPE', $_));
	$type eq 'hash' ? @{ $redis->ask('HVALS', $name) } : $redis->ask('GET', $name)
} $redis->keys;
cmp_ok(length $dump, '>', 5000, 'the dump of Redis has all of it');
is(readable($dump, @secrets), '', 'and nothing that can be read');
is(readable(join(' ', $redis->keys, @values), @secrets), '', 'nor have keys and values');
is(join(' ', grep { !/^neon_auth:\{$hex\}:(e|$hex(:(c|n|$hex))?)$/ } $redis->keys), '', 'keys are made of digests');
is(scalar(grep { length > 40 && length(Compress::Zlib::compress($_)) < length } @values), 0,
	'values have no pattern by which they could be compressed');

# the test of the test
my @planted = (spellings('user_canary'), map { encode_base64("${_}user_canary.", '') } 'a', 'ab', 'abc');
for my $spelling (@planted)
{
	$redis->ask('SET', 'planted', $spelling);
	is(readable($redis->dump, @secrets), 'user_canary', "this would be found: $spelling");
}

# ---- Faults of Redis show no secret either

for my $fault (
	"ALTER USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (SET redis_password 'redis-wrong-one')",
	'ALTER USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (DROP redis_password)',
	"ALTER SERVER clerk OPTIONS (SET redis_url 'redis://127.0.0.1:1')")
{
	my ($out, $err) = run_sql("BEGIN; $fault; $query{narrow}; SELECT * FROM neon_auth.check_server('clerk'); ROLLBACK;",
		settings => $all_levels);
	like($out, qr/\Q$rows{narrow}\E/, 'right rows after ' . $fault =~ s/.*OPTIONS//r =~ s/'.*'/.../r);
	is(readable("$out $err", $key, $password, 'redis-wrong-one'), '', '... and no secret in messages');
}
my $log = slurp_file($node->logfile);
like($log, qr/DEBUG: .*WARNING: .*Redis/s, "the server's log has all levels");
is(readable($log, $key, $other_key, $password, 'redis-wrong-one', @people), '', 'and neither secrets nor users');

# ---- What was changed is not taken

fill(qw(wide user_wide));
my $saved = save();
my ($head, $pages, $user, $epoch) = map { key_like($_) } qr/:c$/, $is_pages, $is_user, qr/\}:e$/;
is(outcome($_), $hit, "what was put back as it was is a hit: $_") for qw(narrow wide user user_wide);
my %first = map { $_ => read_element($pages, $_) } qw(0 0r 1 1r 2 2r);

# Where an element has its parts: version, generation, epoch, until, nonce, content, tag.
my %parts = (version => 0, 'generation, first byte' => 1, 'generation, last byte' => 16, 'epoch, first byte' => 17,
	'epoch, last byte' => 32, 'until, first byte' => 33, 'until, last byte' => 40, nonce => 41,
	'content, first byte' => 53, 'content, last byte' => -17, 'tag, first byte' => -16, 'tag, last byte' => -1);
my @changes = (
	(map { my $at = $parts{$_}; [ "a bit of $_", sub { substr($_[0], $at, 1) ^= "\x01" } ] } sort keys %parts),
	[ 'cut by a byte', sub { chop $_[0] } ],
	[ 'cut to a half', sub { $_[0] = substr($_[0], 0, length($_[0]) / 2) } ],
	[ 'cut to its header and tag', sub { $_[0] = substr($_[0], 0, 69) } ],
	[ 'cut to less', sub { $_[0] = substr($_[0], 0, 68) } ],
	[ 'empty', sub { $_[0] = '' } ],
	[ 'longer by a byte', sub { $_[0] .= "\x00" } ],
	[ 'a megabyte of something else', sub { $_[0] = 'something else, ' x 65536 } ],
	[ 'a word', sub { $_[0] = 'null' } ]);

# With each change to an element, asked for so, the query ends so; one of another
# epoch is not wrong, but forgotten.
sub changed_is
{
	my ($what, $kind, $cache, $where, $outcome) = @_;

	for my $change (@changes)
	{
		my ($how, $code) = @$change;
		restore($cache);
		my $element = read_element(@$where);
		$code->($element);
		write_element($element, @$where);
		is(outcome($kind), $how =~ /epoch/ ? $outcome =~ s/, corrupt//r : $outcome, "$what: $how");
	}
	return;
}

changed_is('a narrow page', 'narrow', $saved, [ $pages, '1' ], 'right, requests 2, corrupt, lost');
changed_is('a wide page', 'wide', $saved, [ $pages, '2r' ], 'right, requests 1, corrupt, lost');
changed_is('a head', 'narrow', $saved, [$head], 'right, requests 3, corrupt');
changed_is('a user', 'user', $saved, [ $user, '0' ], 'right, requests 1, corrupt');
changed_is("a user's raw_json", 'user_wide', $saved, [ $user, '0r' ], 'right, requests 1, corrupt');
restore($saved);
write_element($first{'1r'} ^ "\x01", $pages, '1r');
is(outcome('narrow'), $hit, 'who asks for no raw_json does not mind what became of it');

# ---- Nor what was moved

# With the cache as it was, and this done to it, the query ends so.
sub moved_is
{
	my ($name, $kind, $code, $outcome) = @_;

	restore($saved);
	$code->();
	return is(outcome($kind), $outcome, $name);
}

for my $row (
	# what is done, who asks, the field that is written, with what of which field, requests
	[ 'page 0 in place of page 1', 'narrow', '1', '0', 2 ],
	[ 'page 2 in place of page 1, as if that were the last one', 'narrow', '1', '2', 2 ],
	[ 'page 1 in place of page 0', 'wide', '0', '1', 3 ],
	[ 'a narrow page in place of its wide half', 'wide', '1r', '1', 2 ],
	[ 'a wide half in place of its narrow page', 'narrow', '1', '1r', 2 ])
{
	my ($name, $kind, $to, $from, $requests) = @$row;
	moved_is($name, $kind, sub { write_element($first{$from}, $pages, $to) },
		"right, requests $requests, corrupt, lost");
}
moved_is('the head in place of a page', 'narrow',
	sub { write_element(read_element($head), $pages, 0) }, 'right, requests 3, corrupt, lost');
moved_is('a page in place of the head', 'narrow',
	sub { write_element($first{0}, $head) }, 'right, requests 3, corrupt');
moved_is('the complete head as that of a growing listing', 'narrow',
	sub { $redis->ask('RENAME', $head, $head =~ s/c$/n/r) }, 'right, requests 3, corrupt');
moved_is("a listing's page for a user", 'user_wide',
	sub { $redis->ask('HSET', $user, '0', $first{2}, '0r', $first{'2r'}) }, 'right, requests 1, corrupt');

# another generation of the same listing, whose pages have the same cursors
restore($saved);
run_sql("SET neon_auth_fdw.cache = refill; $query{wide}; $query{user_wide}");
my $newer = save();
my $newer_pages = key_like($is_pages, grep { $_ ne $pages } keys %$newer);
isnt(unpack('H*', read_element($newer_pages, '1')), unpack('H*', $first{1}), 'another generation has other bytes');
write_element($first{1}, $newer_pages, '1');
is(outcome('narrow'), 'right, requests 2, corrupt, lost', 'a page of an earlier generation');
restore($newer);
write_element($first{'1r'}, $newer_pages, '1r');
is(outcome('wide'), 'right, requests 2, corrupt, lost', 'a wide half of an earlier generation');
restore($newer);
$redis->ask('RENAME', $pages, $newer_pages);
is(outcome('narrow'), 'right, requests 3, corrupt, lost', 'all pages of an earlier generation');
restore($newer);
my $newer_user = read_element($user, '0');
restore($saved);
write_element($newer_user, $user, '0');
is(outcome('user'), $hit, "a user's page of another moment is one, too");
is(outcome('user_wide'), 'right, requests 1, corrupt', 'but not with the raw_json of this one');

# two users, one, and none, which is known for a few seconds only
my $someone = $sim->user('index/3')->{id};
fill('user_wide');
run_sql($query{user_wide} =~ s/user_canary/$someone/r);
$redis->ask('COPY', key_like($is_user, grep { $_ ne $user } $redis->keys), $user, 'REPLACE');
is(outcome('user_wide'), 'right, requests 1, corrupt', "another user's page");
fill('user');
ok(wait_until('a miss', sub { run_sql($query{absent}); return outcome('absent') eq $hit }), 'nobody is known, too');
my $absent = key_like($is_user, grep { $_ ne $user } $redis->keys);
$redis->ask('COPY', $user, $absent, 'REPLACE');
is(outcome('absent'), 'right, requests 1, corrupt', "a user's page for somebody who does not exist");
$redis->ask('COPY', $absent, $user, 'REPLACE');
is(outcome('user'), 'right, requests 1, corrupt', 'and nobody for a user');

# a growing listing
$redis->ask('FLUSHALL');
run_sql('SELECT EXISTS (SELECT FROM app.users)');
my $growing = save();
my $growing_head = key_like(qr/:n$/);
is(outcome('narrow'), 'right, requests 2', 'a growing listing is continued');
changed_is('a growing head', 'narrow', $growing, [$growing_head], 'right, requests 3, corrupt');
restore($growing);
$redis->ask('RENAME', $growing_head, $growing_head =~ s/n$/c/r);
is(outcome('narrow'), 'right, requests 3, corrupt', 'a growing head in place of a complete one');

# ---- Nor what goes on from another page

# the same page, fetched twice, with other users, so that another page comes next
my $tenth = (run_sql('SET neon_auth_fdw.cache = off; SELECT id FROM app.users OFFSET 9 LIMIT 1'))[0];
$redis->ask('FLUSHALL');
run_sql('SELECT id FROM app.users LIMIT 6');
my $branched = key_like($is_pages);
my %branch = map { $_ => read_element($branched, $_) } qw(1 1r);
$redis->ask('HDEL', $branched, keys %branch);
$sim->fault({ match => 'list', hide_index => $sim->user($tenth)->{index} });
like(outcome('narrow'), qr/^12 \w{32}, requests 2$/, 'a listing without the tenth user');
like(outcome('narrow'), qr/^12 \w{32}, requests 0$/, '... is complete');
write_element($branch{$_}, $branched, $_) for keys %branch;
is(outcome('narrow'), 'right, requests 1, corrupt, lost', 'after the page that has that user another one comes');

# ---- Nor what was kept for later

restore($saved);
run_sql("SELECT neon_auth.cache_clear('clerk')");
my $cleared = $redis->ask('GET', $epoch);
restore($saved, $epoch);
is(outcome($_->[0]), $_->[1], "from before cache_clear: $_->[0]")
  for [ narrow => 'right, requests 3' ], [ user => 'right, requests 1' ];
is($redis->ask('GET', $epoch), $cleared, 'what was cleared stays so');

# These outlive what the options say; whether Redis has them still does not matter.
sub expired_is
{
	my ($kind, $outcome) = @_;
	my $expired;

	run_sql("ALTER SERVER clerk OPTIONS (SET cache_ttl '1s', ADD cache_stale_ttl '1s')");
	wait_until('a copy of what expires', sub {
		fill($kind);
		$expired = { map { $_ => $redis->ask('DUMP', $_) } $redis->keys };
		return keys %$expired > ($kind eq 'narrow' ? 2 : 1) && !grep { !defined } values %$expired;
	});
	wait_until('its end', sub { return "@{[ $redis->keys ]}" eq $epoch });
	run_sql("ALTER SERVER clerk OPTIONS (SET cache_ttl '1h', DROP cache_stale_ttl)");
	restore($expired);
	return is(outcome($kind), $outcome, "after its time: $kind");
}

expired_is('narrow', 'right, requests 3, corrupt');
expired_is('user', 'right, requests 1, corrupt');
expired_is('absent', 'right, requests 1, corrupt');

# ---- Other places in Redis

sub is_elsewhere
{
	my ($name, $kind, $options, $outcome) = @_;

	run_sql("ALTER SERVER clerk OPTIONS ($options)");
	is(outcome($kind), $outcome, "$name: $kind");
	return run_sql("ALTER SERVER clerk OPTIONS (SET redis_prefix 'neon_auth', SET redis_url '" . $redis->url . "')");
}

run_sql("ALTER SERVER clerk OPTIONS (ADD redis_prefix 'neon_auth')");
for my $row ([ narrow => 'right, requests 3' ], [ user => 'right, requests 1' ])
{
	my ($kind, $missed) = @$row;
	my ($prefix, $database) = ("SET redis_prefix 'other'", "SET redis_url '" . $redis->url . "/1'");

	restore($saved);
	is_elsewhere('another prefix has a cache of its own', $kind, $prefix, $missed);
	$redis->ask('COPY', $_, $_ =~ s/^neon_auth/other/r, 'REPLACE') for keys %$saved;
	is_elsewhere('and takes nothing from this one', $kind, $prefix, "$missed, corrupt");
	is_elsewhere('so has another database', $kind, $database, $missed);
	$redis->ask('COPY', $_, $_, 'DB', '1', 'REPLACE') for keys %$saved;
	is_elsewhere('where a copy of all keys is as good as they are, for a Redis may move', $kind, $database, $hit);
}

# ---- Something else at our keys

my @types = ([ string => 'SET' ], [ hash => 'HSET', '0' ], [ list => 'RPUSH' ], [ set => 'SADD' ]);

for my $row (
	[ 'string', 'epoch', $epoch, 'narrow', 3 ],
	[ 'string', 'head', $head, 'narrow', 3 ],
	[ 'string', 'growing head', $growing_head, 'narrow', 3 ],
	[ 'hash', 'pages', $pages, 'wide', 3 ],
	[ 'hash', 'user', $user, 'user_wide', 1 ])
{
	my ($own, $what, $place, $kind, $requests) = @$row;
	for my $type (grep { $_->[0] ne $own } @types)
	{
		my ($name, $command, @field) = @$type;
		restore($saved);
		$redis->ask('DEL', $place);
		$redis->ask($command, $place, @field, 'something');
		$sim->reset_stats;
		my ($out, $err) = run_sql("$query{$kind}; $query{$kind}");
		is(join(' ', $out, $sim->requests, $err =~ /^WARNING|^ERROR|another type/mg),
			"$rows{$kind}\n$rows{$kind} " . 2 * $requests . ' WARNING another type',
			"a $name as $what: right rows, one message");
	}
}
# ---- Another credential, provider or URL

my $oids = "SELECT string_agg(concat_ws(' ', u.srvid, u.umid, u.umuser, t.ftrelid), ',' ORDER BY u.umid)
	FROM pg_user_mappings u JOIN pg_foreign_table t ON t.ftserver = u.srvid";
is((run_sql($oids))[0], (run_sql($oids, on => $twin))[0],
	'two clusters in which server, mappings and table have the same OIDs');
restore($saved);
is(outcome('wide', on => $twin), $hit, 'with the same credential they share from the first query on');
is(outcome('user_wide', on => $twin), $hit, 'one user, too');

run_sql("ALTER SERVER clerk OPTIONS (SET url '$localhost')");
is(outcome('narrow'), 'right, requests 3', 'another URL of the same provider shares nothing');
run_sql("ALTER SERVER clerk OPTIONS (SET url '$url', SET provider 'better_auth')");
like(outcome('narrow'), qr/^nothing, requests 1ERROR: /, 'nor does another provider');
run_sql("ALTER SERVER clerk OPTIONS (SET provider 'clerk')");
is(outcome('narrow'), $hit, 'back again, all is there');
is(scalar(my @epochs = $redis->keys('*:e')), 3, 'and the others have places of their own');

# The provider has other users from here on, and takes another key.
restore($saved);
$sim->stop;
$sim = start_sim(users => 13, key => $other_key, seed => 7, port => $sim->port);
like(outcome('narrow', role => 'guest'), qr/^13 \w{32}, requests 3$/, 'the other one finds nothing of the first');
my %others = map { $_ => (run_sql("SET ROLE guest; SET neon_auth_fdw.cache = off; $query{$_}"))[0] } qw(narrow wide);
isnt($others{narrow}, $rows{narrow}, 'whose users are others');
is(outcome('narrow'), $hit, 'which finds its own still, without a request');
my %guest = (role => 'guest', rows => $others{wide});
is(outcome('wide', %guest), $hit, 'as the other one does');

my @theirs = grep { !exists $saved->{$_} } $redis->keys;
my ($their_pages, $their_head, $their_epoch) = map { key_like($_, @theirs) } $is_pages, qr/:c$/, qr/:e$/;
$redis->ask('COPY', $pages, $their_pages, 'REPLACE');
is(outcome('wide', %guest), 'right, requests 3, lost', 'pages of the first one under its name');
$redis->ask('COPY', $head, $their_head, 'REPLACE');
$redis->ask('COPY', $epoch, $their_epoch, 'REPLACE');
$redis->ask('COPY', $pages, $their_head =~ s/c$//r . $pages =~ s/.*://r);
is(outcome('wide', %guest), 'right, requests 3, corrupt', 'all of it under its names');

run_sql("ALTER USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (SET api_key '$other_key')", on => $twin);
$redis->ask('DEL', @theirs);
is(outcome('narrow', on => $twin, rows => $others{narrow}), 'right, requests 3',
	'a cluster with another credential and the same OIDs finds nothing');
is(outcome('narrow'), $hit, 'and leaves the first one what it has');
is(outcome('narrow', role => 'guest', rows => $others{narrow}), $hit, 'but shares with that of its own credential');

$_->stop for $node, $twin;
done_testing();
