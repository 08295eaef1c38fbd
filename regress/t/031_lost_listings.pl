# A listing that vanishes while it is read, in each way that it can, while users
# are created and deleted: who reads it goes on, and gets each user who was there
# all the time once.  Those who come later get the same, and cache it again.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Fleet;
use NeonAuth::Redis;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @kinds = qw(clerk better_auth);
my $changes = 25;
my $redis = start_redis();
my %sims = map { $_ => start_sim(provider => $_, users => 330) } @kinds;
my $node = new_node('main', urls => [ map { $_->url } $redis, values %sims ]);

for my $kind (@kinds)
{
	add_server($node, $sims{$kind}, schema => $kind,
		options => ", page_size '30', redis_url '" . $redis->url . "', redis_timeout '1min', cache_ttl '1h'");
}

# A query that does not end is a failure here, not the end of the test.
my ($reader, $other, $later) = map { open_session($node) } 1 .. 3;
$_->{psql}->query_safe("SET statement_timeout = '20s'") for $reader, $other, $later;

# ---- Users

# The ids of all users, in any order.
sub ids_of
{
	my ($kind, $mode) = @_;

	$later->{psql}->query_safe("SET neon_auth_fdw.cache = $mode");
	declare($later, "$kind.users");
	my $failure = fetch($later, 'ALL');
	$later->{psql}->query('COMMIT');
	return $failure ne '' ? $failure : @{ $later->{ids} };
}

# Changes the directory, of whose users the reader has read some; returns those
# who stay, and all who were there at any time.
sub change_users
{
	my ($kind, @before) = @_;
	my %read = map { $_ => 1 } @{ $reader->{ids} };
	my @unread = grep { !$read{$_} } @before;
	my @gone = (@{ $reader->{ids} }[ 0 .. $changes - 1 ], @unread[ -5, -4 ]);
	my %stay = map { $_ => 1 } @before;
	my @new = map { $sims{$kind}->create({ name => "New $_" })->{id} } 1 .. @gone;

	$sims{$kind}->remove($_) for @gone;
	delete @stay{@gone};
	return { stay => \%stay, ever => { map { $_ => 1 } @before, @new } };
}

# What is wrong with ids that were read during that change, if anything.
sub wrong_ids
{
	my ($change, @ids) = @_;
	my %seen;

	$seen{$_}++ for @ids;
	my $doubled = grep { $_ > 1 } values %seen;
	my $lost = grep { !$seen{$_} } keys %{ $change->{stay} };
	my @strange = grep { !$change->{ever}->{$_} } keys %seen;
	return '' if $doubled + $lost + @strange == 0;
	return "$doubled twice, $lost lost, strange: " . ($strange[0] // 'none');
}

# ---- Ways to vanish

sub pages { return grep { $redis->ask('TYPE', $_) eq 'hash' } $redis->keys; }
sub refill { my ($kind) = @_; return ids_of($kind, 'refill'); }

sub expire
{
	my (@keys) = @_;

	$redis->ask('PEXPIRE', $_, 1) for @keys;
	return wait_until('the end of keys', sub { return $redis->ask('EXISTS', @keys) == 0 });
}

# how: does it, given the provider; goes_on: the pages of a complete listing are still
# there, so that its reader asks nobody.
my @ways = (
	{ name => 'deleted', how => sub { $redis->ask('DEL', pages()) } },
	{ name => 'flushed', how => sub { $redis->ask('FLUSHALL') } },
	{ name => 'expired', how => sub { expire($redis->keys) } },
	{
		name => 'forgotten',
		how => sub { $node->safe_psql('postgres', "SELECT neon_auth.cache_clear('$_[0]')") },
		goes_on => 1
	},
	{ name => 'beheaded', how => sub { $redis->ask('DEL', grep { /:[cn]$/ } $redis->keys) }, goes_on => 1 },
	{ name => 'replaced', how => \&refill, goes_on => 1 },
	{ name => 'replaced and expired', how => sub { my @old = pages(); refill(@_); expire(@old); } },
	{ name => 'without a page', how => sub { $redis->ask('HDEL', $_, 3, '3r') for pages() } });

# ---- Readers

# Reads a part of a listing that another session has read wholly, or a part of.
sub start_reading
{
	my ($kind, $fetch) = @_;

	$redis->ask('FLUSHALL');
	for my $pair ([ $other, $fetch ], [ $reader, 70 ])
	{
		declare($pair->[0], "$kind.users");
		fetch(@$pair);
	}
	return;
}

# Reads the rest.
sub finish
{
	my ($session) = @_;
	my $failure = fetch($session, 'ALL');

	$session->{psql}->query('COMMIT');
	return $failure ne '' ? $failure : @{ $session->{ids} };
}

for my $kind (@kinds)
{
	my $sim = $sims{$kind};

	for my $way (map { ({ %$_, of => 'complete', fetch => 'ALL' }, { %$_, of => 'growing', fetch => 150 }) } @ways)
	{
		my $what = "$kind, $way->{of} listing $way->{name}";
		my @before = ids_of($kind, 'off');

		start_reading($kind, $way->{fetch});
		my $change = change_users($kind, @before);
		$way->{how}->($kind);
		$sim->reset_stats;
		is(wrong_ids($change, finish($reader)), '', "$what: its reader gets each user once");
		is($sim->stats->{list} == 0 ? 1 : 0, $way->{goes_on} // 0, "$what: it asks the provider only if need be")
		  if $way->{of} eq 'complete';
		is(wrong_ids($change, finish($other)), '', "$what: so does the one who began it");
		is(wrong_ids($change, ids_of($kind, 'on')), '', "$what: so does one who comes later");
		$sim->reset_stats;
		is(wrong_ids($change, ids_of($kind, 'on')), '', "$what: so does the next one");
		is($sim->stats->{list}, 0, "$what: from the cache");
	}
}

# A session whose listing is deleted while it waits for the provider.
for my $kind (@kinds)
{
	my $what = "$kind, listing deleted while a page is asked for";
	my $sim = $sims{$kind};
	my @before = ids_of($kind, 'off');

	$redis->ask('FLUSHALL');
	declare($reader, "$kind.users");
	fetch($reader, 90);
	hold($sim);
	begin_fetch($reader, 30);
	wait_for_held($sim, 1);
	$redis->ask('DEL', pages());
	let_go($sim);
	end_query($reader);
	my %all = map { $_ => 1 } @before;
	my $none = { stay => \%all, ever => \%all };
	is(wrong_ids($none, finish($reader)), '', "$what: it gets each user once");
	is(wrong_ids($none, ids_of($kind, 'on')), '', "$what: so does one who comes later");
}

$_->{psql}->quit for $reader, $other, $later;
done_testing();
