# The model: random histories of directories, while refreshes of random modes run,
# fail and are killed.  The simulator knows who is live at any time, so after each
# run and forever it must hold that
#
# - no live user is marked as deleted;
# - two healthy runs make the target equal to the directory, whatever was before;
# - a run that finds nothing new writes nothing;
# - what the state says of the target is true.
#
# NAUTH_SEED chooses other histories, NAUTH_STEPS longer ones (`make soak`).  A
# failure prints both and the history.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use List::Util qw(max);
use NeonAuth::Session;
use NeonAuth::Shim;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

# A directory of less users only grows.
use constant FEW => 40;

my $seed = $ENV{NAUTH_SEED} || 1;
my $steps = $ENV{NAUTH_STEPS} || 1500;
my $true = JSON::PP::true;
my $json = JSON::PP->new->utf8->canonical;
my $shim = new_shim();
my $node = $shim->new_node('model', conf => "restart_after_crash = on\nautovacuum = off\n");
my @urls;

# ---- A directory, its target, and the history so far

# Of the current directory: simulator, server, logical time in ms, what is known of
# its users by index, ids ever marked, and what happened.
my ($sim, $server, $now, $users, %marked, @history, %ends, %modes, $done);

# The provider's times are those of a day ago, so that this server's clock is later.
sub directory
{
	my ($name, $options, %flags) = @_;

	$now = (time() - 86400) * 1000;
	$sim = start_sim(%flags, clock => $now);
	push @urls, $sim->url;
	allow_urls($node, @urls);
	$server = $name;
	add_server($node, $sim, name => $name, schema => $name, options => $options);
	look();
	(%marked, @history, %ends, %modes) = ();
	return;
}

my $session;

# What psql says; undef if the session ended.  After a crash there is another one.
sub ask
{
	my ($sql) = @_;

	$session //= new_session($node);
	my $text = $session->ask($sql);
	return $text if defined $text && $text !~ /connection to server|server closed/;
	undef $session;
	wait_until('the server has recovered', sub { (new_session($node)->ask('SELECT 1') // '') eq '1' });
	return;
}

sub sql
{
	my ($sql) = @_;
	my $text = ask($sql) // ask($sql);

	die "$sql: $text" if $text =~ /^(psql:\S+: )?ERROR:/m;
	return $text;
}

sub happened
{
	push @history, join(' ', map { ref ? $json->encode($_) : $_ } @_);
	return;
}

# A later time: often the same millisecond, or within the overlap, or long after.
sub later
{
	my $how = rand();

	return $now += $how < 0.2 ? 0 : $how < 0.3 ? 1 : $how < 0.8 ? int(rand(20_000)) : $how < 0.97 ? int(rand(200_000)) : 1_000_000;
}

# Learns who the users are now; time goes on from what they know of it.
sub look
{
	$users = $sim->users;
	$now = max($now, map { $_->{updated_at} } @$users);
	return;
}

sub live { return grep { !$_->{deleted} } @$users; }
sub any { return $_[ rand(@_) ]; }

# ---- What happens at the provider

my %actions = (
	create => sub { $sim->create({ name => 'Created ' . rand(), created_at => later() }); },
	ahead => sub { $sim->create({ name => 'Ahead ' . rand(), created_at => $now + 2_000_000, updated_at => later() }); },
	# an application that does not wait for us
	hurry => sub {
		my $user = $sim->create({ name => 'Hurry ' . rand(), created_at => later() });
		sql("INSERT INTO $server.users_sync (id, raw_json) VALUES ('$user->{id}', '{}') ON CONFLICT DO NOTHING");
	},
	update => sub { $sim->update("index/$_[0]{index}", { name => 'Updated ' . rand(), updated_at => later() }); },
	ban => sub { $sim->update("index/$_[0]{index}", { username => 'banned' . int(rand(1e9)), updated_at => later() }); },
	remove => sub { $sim->remove("index/$_[0]{index}"); },
	same => sub {
		my $newest = max(map { $_->{updated_at} } live());
		return 'not' if $_[0]{updated_at} < $newest - 200_000;
		$sim->update("index/$_[0]{index}", { name => 'Same ' . rand(), updated_at => $_[0]{updated_at} });
	},
	together => sub {
		my $time = later();
		$sim->update("index/$_->{index}", { name => 'Together ' . rand(), updated_at => $time }) for map { any(live()) } 1 .. 2 + rand(12);
	},
	sweep => sub { $sim->remove("index/$_->{index}") for values %{ { map { $_->{index} => $_ } map { any(live()) } 1 .. 1 + rand(8) } }; },
	reborn => sub {
		my $dead = any(grep { $_->{deleted} } @$users) or return 'not';
		return 'not' if grep { $_->{id} eq $dead->{id} } live();
		$sim->create({ id => $dead->{id}, name => 'Reborn ' . rand(), created_at => later() });
	},
	replaced => sub {
		$sim->remove("index/$_[0]{index}");
		$sim->create({ id => $_[0]{id}, name => 'Replaced ' . rand(), created_at => later() });
	},
	same_email => sub {
		my $email = 'same' . int(rand(5)) . '@example.com';
		$sim->create({ name => 'Same E-mail', email => $email, created_at => later() });
	});
my @weighted = (('create') x 4, ('update') x 5, ('same') x 3, ('remove') x 3, 'ban', 'hurry', 'ahead', 'together', 'sweep', 'reborn', 'replaced', 'same_email');

sub act
{
	my $name = live() < FEW ? 'create' : any(@weighted);
	my $user = any(live());
	my $how = $actions{$name}->($user);

	happened($name, $user->{index}) unless ($how // '') eq 'not';
	look();
	$done++;
	return;
}

# ---- What goes wrong at the provider while a run asks it

# Times are the simulator's, which go on from the latest there is: the order of
# these is not known before.
sub mutation
{
	my $user = any(live());

	return any(
		{ create => { name => 'In Run ' . rand() } },
		{ delete_index => $user->{index} },
		{ delete_index => [ map { any(live())->{index} } 1 .. 3 ] },
		{ update => { index => $user->{index}, name => 'In Run ' . rand() } },
		{ update => [ map { { index => any(live())->{index}, name => 'In Run ' . rand() } } 1 .. 4 ] });
}

my @faults = (
	(map { { match => 'list', status => $_ } } 401, 403, 404, 422, 500),
	# each of these costs pauses
	(map { { match => 'any', status => $_, headers => { 'Retry-After' => '0', 'X-Retry-After' => '0' } } } 429, 503),
	(map { { match => 'get', status => $_ } } 401, 404, 500),
	{ match => 'get', status => 404, body => '<p>not found</p>' },
	{ match => 'list', empty => $true }, { match => 'list', empty => $true, times => -1 },
	{ match => 'list', truncate_page => 3 }, { match => 'list', truncate_page => 0 },
	{ match => 'list', repeat_page => $true }, { match => 'list', ignore_order => $true, times => -1 },
	{ match => 'list', body => '[]' }, { match => 'list', body => '{}' },
	{ match => 'list', swallow => $true },
	{ match => 'count', status => 500 }, { match => 'count', status => 404 });

sub fault
{
	my $fault = { after => int(rand(6)), %{ any(@faults) } };

	$fault->{hide_index} = [ map { any(live())->{index} } 1 .. 1 + rand(6) ] if rand() < 0.1;
	$fault = { match => any('list', 'count'), add_total => any(-7, -2, -1, 1, 2, 30), times => any(1, 2, -1) } if rand() < 0.15;
	return $fault;
}

sub trouble
{
	my @script;

	return if live() < FEW;
	push @script, { match => any('list', 'list', 'any', 'get', 'count'), after => int(rand(8)), mutate => mutation() } for 1 .. rand(5);
	push @script, fault() if rand() < 0.5;
	return unless @script;
	$sim->fault(\@script);
	happened('trouble', \@script);
	return;
}

# ---- Runs

my @points = qw(written uncommitted committed listed counted searched confirmed tombstoned recorded);

# Refreshes, and returns how it ended: the first columns of its row, the SQLSTATE, or killed.
sub refresh
{
	my ($mode, %more) = @_;
	my $call = "CALL neon_auth.refresh_users_sync('$server', mode => '$mode', target => '$server.users_sync'"
	  . ($more{with} // '') . ')';
	my ($before, $after) = $more{transaction} ? ('BEGIN;', $more{transaction}) : ('', '');

	my $text = ask("$before\n$call;\n$after");
	my ($row) = ($text // '') =~ /^((?:ok|held|busy|dry run)(?:\|[\d:.]+){8})$/m;
	my $end = !defined $text ? 'killed' : $text =~ /ERROR:  (\w{5}):/ ? $1 : join(' ', (split /\|/, $row)[ 0 .. 6 ]);
	ask('ROLLBACK') if $more{transaction} && $end =~ /^\w{5}$/;
	$ends{ (split / /, $end)[0] }++;
	look();
	happened('run', $mode, %more, '->', $end);
	return $end;
}

# What is called beside refreshes: one user, now; beats of follow_users_sync; a purge.
my %calls = (
	sync_user => sub { return "SELECT id IS NULL, deleted_at IS NULL FROM neon_auth.sync_user('$server', '" . any(@$users)->{id} . "', '$server.users_sync')"; },
	follow => sub { return "CALL neon_auth.follow_users_sync('$server', every => '100ms', during => '" . any('0', '0', '150ms') . "', target => '$server.users_sync')"; },
	purge => sub { return "CALL neon_auth.purge_deleted('0', target => '$server.users_sync')"; });

sub call
{
	my $name = any(('sync_user') x 6, 'follow', 'follow', 'purge');
	my $sql = $calls{$name}->();
	my $end = rand() < 0.1 ? 'ROLLBACK' : 'COMMIT';
	my $text = ask($name eq 'follow' || rand() < 0.7 ? $sql : "BEGIN;\n$sql;\n$end");
	my $how = !defined $text ? 'killed' : $text =~ /ERROR:  (\w{5}):/ ? $1 : 'done';

	ask('ROLLBACK') if $how =~ /^\w{5}$/;
	$ends{"$name $how"}++;
	look();
	happened($sql, '->', $how);
	return;
}

# Ids that are marked, of rows that are not live.
sub tombstones
{
	return sql("SELECT coalesce(string_agg(id, ' '), '') FROM $server.users_sync WHERE deleted_at IS NOT NULL");
}

# Live users that have been marked since the last look.
sub falsely_marked
{
	my %live = map { $_->{id} => 1 } live();
	my %now = map { $_ => 1 } split / /, tombstones();
	my @wrong = grep { !$marked{$_} && $live{$_} } keys %now;

	%marked = %now;
	return @wrong;
}

# What is compared of a user; without times of the provider updated_at is ours.
my %compared = (
	default => 'id, name, email, raw_json, created_at, updated_at',
	timeless => q(id, name, email, raw_json - 'lastSeenAt', created_at));

sub difference
{
	my $columns = $compared{$server} // $compared{default};
	my $here = "SELECT $columns FROM $server.users_sync WHERE deleted_at IS NULL";
	my $there = "SELECT $columns FROM $server.users";

	return sql("SELECT string_agg(concat_ws(' ', d.id, d.name), ', ') FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) AS d");
}

sub state
{
	return sql("SELECT concat_ws(' ', live_users, listed_users, (SELECT count(id) FROM $server.users_sync WHERE deleted_at IS NULL),
		(SELECT 'and ' || count(*) FROM neon_auth.sync_delta d WHERE d.target = s.target HAVING count(*) > 0))
		FROM neon_auth.sync_state s WHERE target = '$server.users_sync'::regclass");
}

sub heap
{
	return sql("SELECT md5(string_agg(concat(ctid, xmin, xmax), ' ' ORDER BY ctid)) FROM $server.users_sync");
}

# Two healthy runs; returns what does not hold then.
sub two_healthy_runs
{
	my $call = "SELECT count(*) FROM neon_auth.held_deletion WHERE target = '$server.users_sync'::regclass";

	$sim->clear_faults;
	$shim->kill_nowhere;
	refresh(any('auto', 'auto', 'full'));
	my $held = sql($call);
	refresh('auto', $held > 0 ? (with => ", approve_deletions => $held") : ());
	my $live = live();
	my $difference = difference();
	return "differs: $difference" if $difference ne '';
	return 'state is ' . state() . " of $live" if state() ne "$live $live $live";

	my $before = heap();
	my $end = refresh('auto');
	return "wrote where nothing was new: $end" if $end !~ /^ok 0 0 \d+ 0 0 0$/ || heap() ne $before;
	return '';
}

# ---- One history

# Runs one; prints it where it fails.  Returns nothing.
sub history
{
	my ($name, $count) = @_;
	my $runs = 0;
	my $wrong = '';

	srand($seed);
	$done = 0;
	refresh('auto');
	while ($done < $count && $wrong eq '')
	{
		act() for 1 .. 1 + rand(6);
		trouble() if rand() < 0.6;
		if (rand() < 0.06)
		{
			my ($point, $nth) = (any(@points), 1 + int(rand(4)));
			$shim->kill_at($point, $nth);
			happened('kill', $point, $nth);
		}
		call() for 1 .. rand(3);
		my $mode = any('auto', 'auto', 'auto', 'incremental', 'full');
		my $end = refresh($mode, rand() < 0.05 ? (transaction => any('COMMIT', 'ROLLBACK')) : rand() < 0.05 ? (with => ', dry_run => true') : ());
		$shim->kill_nowhere;
		$sim->clear_faults;
		$runs++;
		my @false = falsely_marked();
		$wrong = "marked live users: @false" if @false;
		$wrong = two_healthy_runs() if $wrong eq '' && rand() < 0.2;
		@false = falsely_marked();
		$wrong = "marked live users: @false" if $wrong eq '' && @false;
	}
	$wrong = two_healthy_runs() if $wrong eq '';
	is($wrong, '', "$name: $done steps, $runs runs (NAUTH_SEED=$seed NAUTH_STEPS=$steps)");
	note(join ', ', map { "$_: $ends{$_}" } sort keys %ends);
	note(sql("SELECT string_agg(concat_ws(' ', count, mode, status, reason, note), E'\\n' ORDER BY count DESC) FROM
		(SELECT count(*), mode, status, reason, note FROM neon_auth.sync_run WHERE server = '$server' GROUP BY 2, 3, 4, 5) r"));
	if ($wrong ne '')
	{
		diag(map { "$_\n" } @history > 40 ? ('...', @history[ -40 .. -1 ]) : @history);
	}
	return;
}

directory('clerk', ", page_size '20'", users => 600);
history('windows', $steps);
cmp_ok(sql(q(SELECT count(*) FROM neon_auth.sync_run WHERE server = 'clerk' AND mode = 'incremental' AND tombstoned > 0)), '>', $steps / 300,
	'deletions were found without a listing');

directory('offsets', ", page_size '25'", provider => 'better_auth', users => 150);
history('offsets', $steps);
cmp_ok(sql(q(SELECT count(*) FROM neon_auth.sync_run WHERE server = 'offsets' AND mode = 'incremental')), '>', $steps / 20, 'runs were incremental');

directory('timeless', ", page_size '50', ignore_changes 'lastSeenAt'", provider => 'better_auth', users => 120, hide => ['updatedAt'], 'last-seen' => 1);
history('timeless', $steps / 2);
is(sql(q(SELECT count(*) FROM neon_auth.sync_run WHERE server = 'timeless' AND mode = 'incremental')), 0, 'without times of change all runs are full');

done_testing();
