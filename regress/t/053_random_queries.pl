# Random queries of a foreign table against the same queries of a local copy: quals,
# orders, limits, joins, counts and parameters, with and without pushdown, with the
# cache cold, warm and off, of each provider.  Whatever is asked of the provider, the
# answer must be the same.
#
# NAUTH_SEED chooses other queries, NAUTH_STEPS more of them, all in all.  NAUTH_ONLY,
# names with commas between, asks these providers alone.  A failure prints the seed,
# the setting and the query.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Providers;
use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{NAUTH_SEED} || 1;
my $steps = $ENV{NAUTH_STEPS} || 500;
srand($seed);
note "seed $seed, $steps queries";

my $redis = start_redis();
my @names = sort($ENV{NAUTH_ONLY} ? split(/,/, $ENV{NAUTH_ONLY}) : keys %providers);
my %sims = map { $_ => start_provider($_, users => $_ eq 'clerk' ? 140 : 90, seed => $seed) } @names;
my $node = new_node('random', urls => [ map { $_->url } values %sims ], conf => "jit = off\n");
my $session;

# Ids with odd characters, where there may be such; %s is a number from 1 to 12.
my %odd_ids = (
	auth0 => 'samlp|odd&%s=?#%%"\\ *',
	better_auth => 'odd&%s=?#%%/..',
	clerk => 'user_odd&%s=?#%%',
	cognito => 'odd&%s=?#%%"\\..',
	firebase => "odd&%s=?#%%/\"\\ *{}[],",
	generic => 'odd&%s=?#%%..',
	keycloak => 'odd&%s=?#%%..',
	okta => '00uOdd%014s',
	workos => 'user_odd&%s=?#%%..');

# States that a query may meet: users who are deleted and still there, who are of
# another kind, or without a time of creation.
my %states = (
	auth0 => ['blocked'],
	cognito => [ 'disabled', 'reset' ],
	firebase => ['disabled'],
	generic => ['deleted'],
	keycloak => ['undated'],
	okta => [ 'deprovisioned', 'undated', 'suspended' ],
	stack => [ 'restricted', 'anonymous' ],
	supabase => [ 'deleted', 'banned' ]);

# People who are hard to find: addresses of another case, of the same moment, times
# of change that are equal, ids with odd characters, names that are addresses.
for my $name (@names)
{
	for my $n (1 .. 12)
	{
		my $moment = 1735689600000 + int(rand(4)) * 1000;
		my %odd = (created_at => $moment, updated_at => $moment + 1000 * int(rand(3)));

		$odd{id} = sprintf($odd_ids{$name}, $n) if $odd_ids{$name};
		$sims{$name}->create({ %odd, first_name => "Odd $n", email => $name eq 'better_auth' ? "odd.$n\@example.com" : "Odd.$n\@Example.com" });
	}
	$sims{$name}->create({ first_name => 'odd.1@example.com', email => 'x-odd.1@example.com' });
	for my $n (1 .. ($states{$name} ? 24 : 0))
	{
		$sims{$name}->update('index/' . int(rand(90)), { state => $states{$name}[ $n % @{ $states{$name} } ] });
	}
}

# What of a user depends on how he was asked for: alone he has other members.
sub stable { return $providers{ $_[0] }{volatile} ? "u.raw_json - '{$providers{$_[0]}{volatile}}'::text[]" : 'u.raw_json'; }

for my $name (@names)
{
	add_server($node, $sims{$name}, name => $name, schema => $name, mapping => $providers{$name}{mapping},
		options => ($providers{$name}{options} // '') . ", page_size '20', redis_url '" . $redis->url . "', redis_timeout '1min'");
	$node->safe_psql('postgres', <<"SQL");
SET neon_auth_fdw.pushdown = off;
CREATE SCHEMA copy_of_$name;
CREATE TABLE copy_of_$name.users AS SELECT * FROM $name.users;
CREATE TABLE $name.pick AS
	SELECT n::int, CASE WHEN n % 5 = 0 THEN 'user_none' ELSE id END AS id, email, created_at
	  FROM (SELECT row_number() OVER (ORDER BY md5(id)) AS n, * FROM copy_of_$name.users) u WHERE n <= 15;
INSERT INTO $name.pick VALUES (16, NULL, NULL, NULL), (17, '-user', '', 'infinity'), (18, '..', 'x', '-infinity');
CREATE VIEW copy_of_$name.pick AS SELECT * FROM $name.pick;
ANALYZE $name.pick;
SQL
}

# ---- Random pieces of SQL

sub one_of { return $_[ rand @_ ]; }

my (%ids, %emails, %times);
for my $name (@names)
{
	for ([ \%ids, 'id' ], [ \%emails, 'email' ], [ \%times, 'created_at' ], [ \%times, 'updated_at' ], [ \%times, 'deleted_at' ])
	{
		my ($list, $column) = @$_;
		my $sql = "SELECT DISTINCT quote_literal($column) FROM copy_of_$name.users WHERE $column IS NOT NULL ORDER BY 1";
		push @{ $list->{$name} }, split /\n/, $node->safe_psql('postgres', $sql);
	}
}

sub some_id { return one_of(@{ $ids{ $_[0] } }, "'user_none'", "'..'", "'count'", "''", "'-x'", "'+x'", "E'a\\r\\nb'", "'a&b'"); }

sub some_email
{
	return one_of(@{ $emails{ $_[0] } }, "'odd.1\@example.com'", "'ODD.1\@EXAMPLE.COM'", "'x'", "''", "'a,b\@c'",
		"E'a\@b\\r\\nc'", "repeat('a', 70000)");
}

sub some_time
{
	my ($name) = @_;

	return one_of(
		one_of(@{ $times{$name} }) . '::timestamptz',
		one_of(@{ $times{$name} }) . "::timestamptz + interval '1 millisecond'",
		one_of(@{ $times{$name} }) . "::timestamptz - interval '1 microsecond'",
		one_of(@{ $times{$name} }) . '::timestamp',
		one_of(@{ $times{$name} }) . '::date',
		"'infinity'::timestamptz",
		"'-infinity'::timestamptz",
		"'5000000-01-01'::date",
		"now()",
		"'1900-01-01'::timestamptz");
}

# A condition on u.
sub qual
{
	my ($name) = @_;

	return one_of(
		sub { 'u.id = ' . some_id($name) },
		sub { 'u.id IN (' . join(', ', map { some_id($name) } 0 .. rand 30) . ')' },
		sub { "u.id = ANY ('{}')" },
		sub { 'u.id <> ALL (ARRAY[' . join(', ', map { some_id($name) } 0 .. rand 3) . '])' },
		sub { 'u.email = ' . some_email($name) },
		sub { 'lower(u.email) = lower(' . some_email($name) . ')' },
		sub { 'u.created_at ' . one_of(qw(< <= = >= > <>)) . ' ' . some_time($name) },
		sub { some_time($name) . ' ' . one_of(qw(< <= = >= >)) . ' u.created_at' },
		sub { 'u.updated_at ' . one_of(qw(< <= = >= > >= >)) . ' ' . some_time($name) },
		sub { 'u.created_at BETWEEN ' . some_time($name) . ' AND ' . some_time($name) },
		sub { '(u.id = ' . some_id($name) . ' OR u.email = ' . some_email($name) . ')' },
		sub { 'u.email IS ' . one_of('NULL', 'NOT NULL') },
		sub { 'u.deleted_at IS ' . one_of('NULL', 'NOT NULL') },
		sub { 'u.deleted_at ' . one_of(qw(< <= = >= > <>)) . ' ' . some_time($name) },
		sub { 'length(u.name) % 2 = 0' },
		sub { "u.raw_json ? 'id'" },
		sub { 'u.id = (SELECT min(id) FROM S.pick WHERE n > ' . int(rand 20) . ')' },
		sub { 'u.id IN (SELECT id FROM S.pick WHERE n < ' . int(rand 20) . ')' },
		sub { 'NOT EXISTS (SELECT FROM S.pick p WHERE p.id = u.id)' },
		sub { 'u.id = ANY (ARRAY(SELECT id FROM S.pick WHERE n < ' . int(rand 20) . '))' })->();
}

sub quals
{
	my ($name) = @_;
	my @quals = map { qual($name) } 1 .. rand 3.5;

	return @quals ? ' WHERE ' . join(' AND ', @quals) : '';
}

sub order { return one_of('u.created_at', 'u.deleted_at DESC NULLS LAST', 'u.created_at DESC', 'u.updated_at DESC', 'u.updated_at DESC NULLS LAST', 'u.updated_at', 'u.name'); }

sub limit
{
	my $limit = one_of('', map { ' LIMIT ' . int(rand $_) } 5, 25, 300);

	return $limit . one_of('', ' OFFSET ' . int(rand 12));
}

# A query of schema S whose answer is one and the same, whatever the plan; with
# "ordered" in order, too.
sub query
{
	my ($name) = @_;
	my $all = 'u.id, u.name, u.email, u.created_at, u.updated_at, u.deleted_at, ' . stable($name);
	my $columns = one_of($all, 'u.id, u.name', 'u.email, u.created_at, u.updated_at', 'u.id, u.deleted_at', "ROW($all)", 'u.raw_json->>\'id\'', '1');

	return one_of(
		sub { ("SELECT $columns FROM S.users u" . quals($name), 0) },
		sub { ("SELECT $columns FROM S.users u" . quals($name) . ' ORDER BY ' . order() . ', u.id' . limit(), 1) },
		sub { my $order = order(); my $key = $order =~ s/ .*//r;
			("SELECT $key FROM S.users u" . quals($name) . " ORDER BY $order" . limit(), 1) },
		sub { ('SELECT count(*) FROM (SELECT ' . one_of('1', 'u.id') . ' FROM S.users u' . quals($name) . limit() . ') s', 0) },
		sub { ('SELECT count(*)' . one_of('', ', count(*) + 1', ', max(created_at)', ', count(email)') . ' FROM S.users u' . quals($name), 0) },
		sub { ('SELECT date_trunc(\'day\', u.created_at), count(*) FROM S.users u' . quals($name) . ' GROUP BY 1', 0) },
		sub { ("SELECT p.n, $columns FROM S.pick p " . one_of('', 'LEFT ', 'RIGHT ', 'FULL ') . 'JOIN S.users u ON u.id = p.id' . quals($name), 0) },
		sub { ("SELECT p.n, $columns FROM S.pick p LEFT JOIN S.users u ON u.email = p.email AND u.created_at <= p.created_at AND p.n < " . int(rand 20), 0) },
		sub { ("SELECT p.n, v.* FROM S.pick p CROSS JOIN LATERAL (SELECT u.name, p.n + 1 FROM S.users u WHERE u.id = p.id ORDER BY u.created_at LIMIT 1) v", 0) },
		sub { ('SELECT u.id, w.name FROM S.users u JOIN S.users w ON w.' . one_of('id = u.id', 'created_at > u.created_at AND u.id < w.id') . quals($name), 0) },
		sub { ('SELECT u.id FROM S.users u' . quals($name) . ' UNION ALL SELECT u.id FROM S.users u' . quals($name), 0) },
		sub { ('SELECT u.id FROM S.users u' . quals($name) . ' EXCEPT SELECT u.id FROM S.users u' . quals($name), 0) },
		sub { ('SELECT p.n, (SELECT u.name FROM S.users u WHERE u.id = p.id), (SELECT count(*) FROM S.users) FROM S.pick p', 0) },
		sub { ('WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n::int + 1 FROM r JOIN S.pick USING (n) JOIN S.users u USING (id)) SELECT * FROM r', 0) }
	)->();
}

# ---- Both answers

# Statements that give the answer of a query, one way or another.
sub statements
{
	my ($query, $way) = @_;
	my @values;

	return $query if $way eq 'plain';
	return "BEGIN; DECLARE c CURSOR WITH HOLD FOR $query; FETCH 3 FROM c; COMMIT; FETCH ALL FROM c; CLOSE c" if $way eq 'cursor';

	# as parameters what is a text or a number by itself
	$query =~ s{(?<= = )('(?:[^']|'')*')(?=[ )]|\z)}{push @values, "$1"; "\$@{[ scalar @values ]}"}ge;
	return "SET plan_cache_mode = force_${way}_plan; PREPARE q AS $query; EXECUTE q"
	  . (@values ? '(' . join(', ', @values) . ')' : '') . '; DEALLOCATE q; RESET plan_cache_mode';
}

sub answer
{
	my ($query, $schema, $way, $ordered, $settings) = @_;
	my $text = $session->ask("$settings; " . statements($query =~ s/\bS\./$schema./gr, $way));
	my @lines = split /\n/, $text // 'the session has ended';

	@lines = map { s/^psql:\S+ //r } @lines;
	return join("\n", $ordered ? @lines : sort @lines);
}

my $forced = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
my %settings = (
	'no pushdown' => 'SET neon_auth_fdw.pushdown = off; SET neon_auth_fdw.cache = off',
	'no cache' => 'SET neon_auth_fdw.pushdown = on; SET neon_auth_fdw.cache = off',
	'no cache, no hash joins' => 'SET neon_auth_fdw.pushdown = on; SET neon_auth_fdw.cache = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off; SET enable_material = off',
	'cold cache' => "SET neon_auth_fdw.pushdown = on; SET neon_auth_fdw.cache = on; DO \$\$ BEGIN PERFORM neon_auth.cache_clear(s) FROM unnest('{" . join(',', @names) . "}'::text[]) s; END \$\$",
	'warm cache' => 'SET neon_auth_fdw.pushdown = on; SET neon_auth_fdw.cache = on',
	# F52: plans under a Gather, expressions as machine code
	'in parallel, compiled' => "SET neon_auth_fdw.pushdown = on; SET neon_auth_fdw.cache = off; SET $forced = on; SET parallel_setup_cost = 0; SET jit = on; SET jit_above_cost = 0; SET jit_inline_above_cost = -1; SET jit_optimize_above_cost = -1");
is($node->safe_psql('postgres', 'SET jit = on; SELECT pg_jit_available()'), 't', 'there is a compiler');
my ($failed, %asked, %of, %asked_of_able) = (0);

for my $step (1 .. $steps)
{
	my $name = $names[ $step % @names ];
	my ($query, $ordered) = query($name);
	my $way = one_of('plain', 'plain', 'custom', 'generic', 'cursor');

	$session = new_session($node) if $step % 50 == 1;
	$session->ask('RESET ALL');
	my $wanted = answer($query, "copy_of_$name", $way, $ordered, 'RESET ALL');
	if ($wanted =~ /^ERROR/m)
	{
		fail("the query itself: $query: $wanted");
		next;
	}
	for my $setting ('no pushdown', 'no cache', 'no cache, no hash joins', 'cold cache', 'warm cache', $step % 5 ? () : 'in parallel, compiled')
	{
		$sims{$name}->reset_stats;
		my $got = answer($query, $name, $way, $ordered, "RESET ALL; $settings{$setting}");
		$asked{$setting} += my $asked = $sims{$name}->requests;
		$of{$name}{$setting} += $asked;
		next if $got eq $wanted;
		is($got, $wanted, "$setting, $way: " . $query =~ s/\bS\./$name./gr) or $failed++;
		BAIL_OUT("seed $seed, step $step") if $failed > 5;
	}
}
is($failed, 0, "$steps random queries, seed $seed: the same answers as of a local copy");
note join(', ', map { "$_: $asked{$_} requests" } sort keys %asked);
note "$_: $of{$_}{'no pushdown'} without pushdown, $of{$_}{'no cache'} with it" for sort keys %of;

# Where several ids are asked for one by one, or an order for all, that may be more
# requests than so small a directory has pages.
for my $setting ('no cache', 'no pushdown')
{
	$asked_of_able{$setting} += $of{$_}{$setting} // 0
	  for split /\n/, $node->safe_psql('postgres', q(SELECT provider FROM neon_auth.providers() WHERE pushdown @> '{"id = ANY",count(*)}' AND array_to_string(pushdown, ' ') LIKE '%ORDER BY%'));
}
cmp_ok($asked_of_able{'no cache'}, '<', $asked_of_able{'no pushdown'}, 'pushdown spares requests') if $asked_of_able{'no pushdown'};
cmp_ok($asked{'warm cache'}, '<', $asked{'no cache'} / 4, 'and the cache more of them');
is($session->ask('RESET ALL; SELECT sum(corrupt) FROM neon_auth.cache_stats()'), '0', 'nothing in the cache was damaged');

$node->stop;
done_testing();
