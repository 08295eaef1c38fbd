# The model: random histories of directories, while refreshes of random modes run,
# fail and are killed.  The simulator knows who is live at any time, so after each
# run and forever it must hold that
#
# - no live user is marked as deleted;
# - one healthy run writes all users who are there, and two make the target equal to
#   the directory, whatever was before;
# - a run that finds nothing new writes nothing;
# - what the state says of the target is true.
#
#	begin_model('model');
#	directory('clerk', page_size => 20, sim => { users => 600 });
#	history('windows', 1500);
#
# A provider that keeps deleted users (okta, supabase) has users who are "soft": they
# are there, and not live.  A failure prints seed and history.
#
# NAUTH_AVOID, names with commas between, leaves out what is known to fail, to look
# for something else: an action, a call, "ties" (two changes of a user at the same time)
# or "listed" (that sync_state.listed_users is true).
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Model;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use HTTP::Tiny;
use JSON::PP;
use List::Util qw(max min);
use NeonAuth::Providers;
use NeonAuth::Session;
use NeonAuth::Shim;
use NeonAuth::Test;
use Test::More;
use Time::HiRes qw(sleep);

our @EXPORT = qw(begin_model directory history sql);

# A directory of less users only grows.
use constant FEW => 40;

my $true = JSON::PP::true;
my $json = JSON::PP->new->utf8->canonical;
my %avoid = map { $_ => 1 } split /,/, $ENV{NAUTH_AVOID} // '';

# ---- A directory, its target, and the history so far

my ($node, $shim, $seed, $steps, @urls);

# Of the current directory: what is its own (%providers), simulator, server, logical
# time in ms, what is known of its users by index, their states by index, whether
# soft users are deleted ones, what option redact is, ids ever marked, who may
# rightly be marked in this round, and what happened.
my ($is, $sim, $server, $now, $users, %states, $soft_is_gone, $redact, %marked, %excused, %unsure, @history, %ends, $done);

# A server for all directories; its seed and how many steps a history may have.
sub begin_model
{
	my ($name, $its_seed, $its_steps) = @_;

	($seed, $steps) = ($its_seed, $its_steps);
	$shim = new_shim();
	$node = $shim->new_node($name, conf => "restart_after_crash = on\n");
	return;
}

# Begins a directory, the current one from now on.  Options: provider, page_size,
# sim (flags of the simulator), options (further SQL of the server; instead: in place of
# the provider's), and more:
# whether a history has all that can happen, or only what happens to a Clerk and a
# Better Auth; late: the search of the provider has to be told to catch up.
#
# The provider's times begin so long ago that this server's clock stays later.
sub directory
{
	my ($name, %how) = @_;
	my $provider = $how{provider} // 'clerk';

	$now = (time() - min(20 * 86400, 86400 + 100 * $steps)) * 1000;
	$is = { %{ $providers{$provider} }, %how };
	$sim = start_provider($provider, %{ $how{sim} // {} }, clock => $now);
	push @urls, $sim->url;
	allow_urls($node, @urls);
	$server = $name;
	add_server($node, $sim, name => $name, schema => $name, mapping => $is->{mapping},
		options => ($how{instead} // $providers{$provider}{options} // '') . ($how{options} // '') . ", page_size '$how{page_size}'");
	$soft_is_gone = 1;
	$redact = undef;
	(%states, %marked, %excused, %unsure, @history, %ends) = ();
	look();
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
	push @history, join(' ', map { ref ? $json->encode($_) : $_ // 'none' } @_);
	return;
}

# A later time: often the same millisecond, or within the overlap, or long after.
sub later
{
	my $how = rand();

	return $now += $how < 0.2 ? ($avoid{ties} ? 1 : 0) : $how < 0.3 ? 1 : $how < 0.8 ? int(rand(20_000)) : $how < 0.97 ? int(rand(200_000)) : 1_000_000;
}

# Learns who the users are now; time goes on from what they know of it.
sub look
{
	$users = $sim->users;
	$now = max($now, map { $_->{updated_at} } @$users);
	return;
}

sub is_soft
{
	my ($user) = @_;
	my $state = $states{ $user->{index} } // return 0;

	return grep { $_ eq $state } @{ $is->{soft} // [] };
}

# A user who is on his way out, as only Keycloak has them, is nobody to wait for.
sub is_fading { return ($states{ $_[0]{index} } // '') eq ($is->{fading} // 'none'); }

sub there { return grep { !$_->{deleted} } @$users; }
sub live { return grep { !($soft_is_gone && is_soft($_)) } there(); }
sub soft { return grep { is_soft($_) } there(); }
sub any { return $_[ rand(@_) ]; }

# Asks the provider itself who of those that a run may have changed is soft now.
# There must be no faults left, for they would hit this, too.
sub look_closer
{
	for my $user (grep { exists $unsure{ $_->{index} } } there())
	{
		my ($url, $headers) = $is->{alone}->($sim, $user->{id});
		my $reply = HTTP::Tiny->new->get($url, { headers => $headers });

		die "$url: $reply->{status}" unless $reply->{success};
		$states{ $user->{index} } = $is->{is_soft}->($json->decode($reply->{content})) ? $is->{soft}[0] : undef;
	}
	%unsure = ();
	return;
}

# ---- What happens at the provider

# Changes a user, and its state if that is among it.
sub change
{
	my ($user, %members) = @_;

	$sim->update("index/$user->{index}", \%members);
	$states{ $user->{index} } = $members{state} if exists $members{state};
	return $user->{index};
}

# Whether a change at the very time of the user's last one has to be noticed: not
# one of long ago.
sub is_recent { return !$avoid{ties} && $_[0]{updated_at} >= max(map { $_->{updated_at} } there()) - 200_000; }

my %actions = (
	create => sub { $sim->create({ name => 'Created ' . rand(), created_at => later() }); },
	ahead => sub { $sim->create({ name => 'Ahead ' . rand(), created_at => $now + 2_000_000, updated_at => later() }); },
	# an application that does not wait for us
	hurry => sub {
		my $user = $sim->create({ name => 'Hurry ' . rand(), created_at => later() });
		sql("INSERT INTO $server.users_sync (id, raw_json) VALUES ('$user->{id}', '{}') ON CONFLICT DO NOTHING");
	},
	update => sub { change($_[0], name => 'Updated ' . rand(), updated_at => later()); },
	# to another place where users are listed by their names
	ban => sub { change($_[0], username => 'banned' . int(rand(1e9)), updated_at => later()); },
	remove => sub { $sim->remove("index/$_[0]{index}"); },
	same => sub { is_recent($_[0]) ? change($_[0], name => 'Same ' . rand(), updated_at => $_[0]{updated_at}) : 'not'; },
	together => sub {
		my $time = later();
		my %done;
		for my $user (map { any(live()) } 1 .. 2 + rand(12))
		{
			change($user, name => 'Together ' . rand(), updated_at => $time) unless $avoid{ties} && $done{ $user->{index} }++;
		}
	},
	sweep => sub { $sim->remove("index/$_->{index}") for values %{ { map { $_->{index} => $_ } map { any(live()) } 1 .. 1 + rand(8) } }; },
	reborn => sub {
		my $dead = any(grep { $_->{deleted} } @$users) or return 'not';
		return 'not' if grep { $_->{id} eq $dead->{id} } there();
		$sim->create({ id => $dead->{id}, name => 'Reborn ' . rand(), created_at => later() });
	},
	replaced => sub {
		$sim->remove("index/$_[0]{index}");
		$sim->create({ id => $_[0]{id}, name => 'Replaced ' . rand(), created_at => later() });
	},
	same_email => sub {
		my $email = 'same' . int(rand(5)) . '@example.com';
		$sim->create({ name => 'Same E-mail', email => $email, created_at => later() });
	},

	# what only some providers have, or only histories with more
	touch => sub { change($_[0], updated_at => later()); },
	state => sub { change($_[0], state => any(@{ $is->{states} }), updated_at => later()); },
	leave => sub { change($_[0], state => any(@{ $is->{soft} }), updated_at => later()); },
	leave_at_once => sub { is_recent($_[0]) ? change($_[0], state => any(@{ $is->{soft} }), updated_at => $_[0]{updated_at}) : 'not'; },
	back => sub { my $user = any(soft()) // return 'not'; change($user, state => undef, updated_at => later()); },
	back_at_once => sub {
		my $user = any(grep { is_recent($_) } soft()) // return 'not';
		change($user, state => undef, updated_at => $user->{updated_at});
	},
	soft_update => sub { my $user = any(soft()) // return 'not'; change($user, name => 'Soft ' . rand(), updated_at => later()); },
	soft_remove => sub { my $user = any(soft()) // return 'not'; $sim->remove("index/$user->{index}"); },
	fade => sub { change($_[0], state => $is->{fading}, updated_at => later()); },
	redact => sub {
		my $verb = defined $redact ? 'DROP' : 'ADD';
		$redact = defined $redact ? undef : $is->{redact};
		sql("ALTER SERVER $server OPTIONS ($verb redact" . (defined $redact ? " '$redact')" : ')'));
	},
	softness => sub {
		$soft_is_gone = !$soft_is_gone;
		sql("ALTER SERVER $server OPTIONS (SET deprovisioned_as_deleted '" . ($soft_is_gone ? 'true' : 'false') . "')");
	});

my @weighted = (('create') x 4, ('update') x 5, ('same') x 3, ('remove') x 3, 'ban', 'hurry', 'ahead', 'together', 'sweep', 'reborn', 'replaced', 'same_email');

# The actions there are for the current directory, each as often as it is likely.
sub choices
{
	my @choices = @weighted;

	return grep { !$avoid{$_} } @choices unless $is->{more};
	push @choices, 'touch', 'redact';
	push @choices, ('state') x 2 if $is->{states};
	push @choices, ('leave') x 3, ('back') x 2, 'leave_at_once', 'back_at_once', 'soft_update', 'soft_remove' if $is->{soft};
	push @choices, 'softness' if ($is->{options} // '') =~ /deprovisioned/;
	push @choices, 'fade' if $is->{fading};
	@choices = grep { $_ !~ /^(?:reborn|replaced)$/ } @choices if $is->{ids_once};
	return grep { !$avoid{$_} } @choices;
}

sub act
{
	my $name = live() < FEW ? 'create' : any(choices());
	my $user = any(live());
	my $how = $actions{$name}->($user);

	happened($name, $name =~ /^(?:back|soft)/ ? $how : $user->{index}) unless ($how // '') eq 'not';
	look();
	$done++;
	return;
}

# ---- What goes wrong at the provider while a run asks it

# Someone who leaves or comes back in mid run.  How it was when the run is over is
# only known then; that it was gone for a moment excuses whoever has marked it.
sub soft_mutation
{
	my $user = any(there());

	$excused{ $user->{id} } = $unsure{ $user->{index} } = 1;
	return { update => { index => $user->{index}, state => any(undef, $is->{soft}[0]) } };
}

sub deletion
{
	my @gone = @_;

	$excused{ $_->{id} } = 1 for @gone;
	return { delete_index => @gone == 1 ? $gone[0]{index} : [ map { $_->{index} } @gone ] };
}

# Times are the simulator's, which go on from the latest there is: the order of
# these is not known before.
sub mutation
{
	my $user = any(live());
	my @more;

	if ($is->{more})
	{
		push @more, sub { return { update => { index => $user->{index}, username => 'moved' . int(rand(1e9)) } } };
		push @more, sub { return { update => { index => $user->{index}, name => 'At Once ' . rand(), updated_at => $user->{updated_at} } } } if is_recent($user);
		push @more, sub { return { recreate_index => $user->{index} } } unless $is->{ids_once};
		push @more, \&soft_mutation, \&soft_mutation if $is->{soft};
	}
	return any(
		sub { return { create => { name => 'In Run ' . rand() } } },
		sub { return deletion($user) },
		sub { return deletion(map { any(live()) } 1 .. 3) },
		sub { return { update => { index => $user->{index}, name => 'In Run ' . rand() } } },
		sub { return { update => [ map { { index => any(live())->{index}, name => 'In Run ' . rand() } } 1 .. 4 ] } },
		@more)->();
}

# That somebody who exists does not is only said of all at once: of one alone who is
# not listed either it would have to be believed.
my @faults = (
	(map { { match => 'list', status => $_ } } 401, 403, 404, 422, 500),
	# each of these costs pauses
	(map { { match => 'any', status => $_, headers => { 'Retry-After' => '0', 'X-Retry-After' => '0' } } } 429, 503),
	(map { { match => 'get', status => $_ } } 401, 403, 500), { match => 'get', status => 404, times => -1 },
	{ match => 'get', status => 404, body => '<p>not found</p>' },
	{ match => 'list', empty => $true }, { match => 'list', empty => $true, times => -1 },
	{ match => 'list', truncate_page => 3 }, { match => 'list', truncate_page => 0 },
	{ match => 'list', repeat_page => $true }, { match => 'list', ignore_order => $true, times => -1 },
	{ match => 'list', body => '[]' }, { match => 'list', body => '{}' }, { match => 'list', cut => 90 },
	{ match => 'count', status => 500 }, { match => 'count', status => 404 });

sub fault
{
	my @own = @{ $is->{faults} // [] };
	my $fault = { after => int(rand(6)), %{ @own && rand() < 0.4 ? any(@own) : any(@faults) } };

	$fault->{hide_index} = [ map { any(live())->{index} } 1 .. 1 + rand(6) ] if rand() < 0.1 && $fault->{match} ne 'get';
	$fault = { match => any('list', 'count'), add_total => any(-7, -2, -1, 1, 2, 30), times => any(1, 2, -1) } if rand() < 0.15;
	return $fault;
}

sub trouble
{
	my @script;

	return if live() < FEW;
	push @script, { match => any('list', 'list', 'any', 'get', $is->{dated} ? 'other' : 'count'), after => int(rand(8)), mutate => mutation() } for 1 .. rand(5);
	push @script, fault() if rand() < 0.5;
	return unless @script;
	$sim->fault(\@script);
	happened('trouble', \@script);
	return;
}

# The end of what goes wrong.
sub calm
{
	$sim->clear_faults;
	$shim->kill_nowhere;
	look_closer();
	return;
}

# ---- Runs

my @points = qw(written uncommitted committed listed counted searched confirmed tombstoned recorded answered purged);

# Where a watermark is a time of the provider's clock, it has to be of the clock of
# this history: events of a day ago would be older than any other.
sub date_watermark
{
	my ($time) = @_;

	return unless $is->{dated};
	sql("UPDATE neon_auth.sync_state SET watermark = to_timestamp($time / 1000.0)
		WHERE target = '$server.users_sync'::regclass AND watermark > to_timestamp($now / 1000.0) + interval '1 hour'");
	return;
}

# Refreshes, and returns how it ended: the first columns of its row, the SQLSTATE, or killed.
sub refresh
{
	my ($mode, %more) = @_;
	my $call = "CALL neon_auth.refresh_users_sync('$server', mode => '$mode', target => '$server.users_sync'"
	  . ($more{with} // '') . ')';
	my ($before, $after) = $more{transaction} ? ('BEGIN;', $more{transaction}) : ('', '');
	my $began = $now;

	my $text = ask("$before\n$call;\n$after");
	my ($row) = ($text // '') =~ /^((?:ok|held|busy|dry run)(?:\|[\d:.]+){8})$/m;
	my $end = !defined $text ? 'killed' : $text =~ /ERROR:  (\w{5}):/ ? $1 : join(' ', (split /\|/, $row)[ 0 .. 6 ]);
	my ($reason) = ($text // '') =~ /ERROR:  \w{5}: (.*)/;
	ask('ROLLBACK') if $more{transaction} && $end =~ /^\w{5}$/;
	$ends{ (split / /, $end)[0] }++;
	look();
	date_watermark($began);
	happened('run', $mode, %more, '->', $end, $reason // ());
	return $end;
}

# What is called beside refreshes: one user, now; beats of follow_users_sync; a purge.
my %calls = (
	sync_user => sub { return "SELECT id IS NULL, deleted_at IS NULL FROM neon_auth.sync_user('$server', '" . any(@$users)->{id} . "', '$server.users_sync')"; },
	follow => sub { return "CALL neon_auth.follow_users_sync('$server', every => '100ms', during => '" . any('0', '0', '150ms') . "', target => '$server.users_sync')"; },
	purge => sub { return "CALL neon_auth.purge_deleted('0', target => '$server.users_sync')"; });

sub call
{
	my $name = any(grep { !$avoid{$_} } ('sync_user') x 6, 'follow', 'follow', 'purge');
	my $sql = $calls{$name}->();
	my $end = rand() < 0.1 ? 'ROLLBACK' : 'COMMIT';
	my $began = $now;
	my $text = ask($name eq 'follow' || rand() < 0.7 ? $sql : "BEGIN;\n$sql;\n$end");
	my $how = !defined $text ? 'killed' : $text =~ /ERROR:  (\w{5}):/ ? $1 : 'done';

	ask('ROLLBACK') if $how =~ /^\w{5}$/;
	$ends{"$name $how"}++;
	look();
	date_watermark($began);
	happened($sql, '->', $how);
	return;
}

# Ids that are marked, of rows that are not live.
sub tombstones
{
	return sql("SELECT coalesce(string_agg(id, ' '), '') FROM $server.users_sync WHERE deleted_at IS NOT NULL");
}

# Live users that have been marked since the last look, though they were never gone.
sub falsely_marked
{
	my %live = map { $_->{id} => 1 } live();
	my %now = map { $_ => 1 } split / /, tombstones();
	my @wrong = grep { !$marked{$_} && $live{$_} && !$excused{$_} } keys %now;

	%marked = %now;
	%excused = ();
	return @wrong;
}

# What is compared of a user; without times of the provider updated_at is ours.
sub compared
{
	my ($table) = @_;
	my $raw_json = $is->{volatile} ? "$table.raw_json - '{$is->{volatile}}'::text[]" : "$table.raw_json";

	return "$table.id, $table.name, $table.email, $raw_json AS raw_json, $table.created_at" . ($is->{timeless} ? '' : ", $table.updated_at");
}

# Who is live here and not as at the provider; and who is live there, but not as here.
sub live_sql
{
	return map { 'SELECT ' . compared('u') . " FROM $server.$_ u WHERE deleted_at IS NULL" } 'users_sync', 'users';
}

sub names { return sql("SELECT string_agg(concat_ws(' ', d.id, d.name), ', ') FROM ($_[0]) AS d"); }

# Users of the provider who are not in the target as they are there.
sub lacking
{
	my ($here, $there) = live_sql();

	return names("$there EXCEPT $here");
}

# Whatever is not equal.  A soft user may have no row, but not one that is otherwise;
# it was not deleted before a run that saw it live, whatever the provider says.
sub difference
{
	my ($here, $there) = live_sql();
	my $live = names("($here EXCEPT $there) UNION ALL ($there EXCEPT $here)");
	my ($ours, $theirs) = map { "SELECT u.id, u.deleted_at, (SELECT c FROM (SELECT " . compared('u') . ") AS c) AS content FROM $server.$_ u" } 'users_sync', 'users';

	return $live unless $is->{soft};
	my $soft = names("SELECT t.id, NULL AS name FROM ($theirs WHERE deleted_at IS NOT NULL) AS p JOIN ($ours) AS t USING (id)
		WHERE t.deleted_at IS NULL OR t.deleted_at < p.deleted_at OR p.content IS DISTINCT FROM t.content");
	return join(', ', grep { $_ ne '' } $live, $soft);
}

sub state
{
	return sql("SELECT concat_ws(' ', live_users, " . ($avoid{listed} ? scalar(my @all = there()) : 'listed_users') . ", (SELECT count(id) FROM $server.users_sync WHERE deleted_at IS NULL),
		(SELECT 'and ' || count(*) FROM neon_auth.sync_delta d WHERE d.target = s.target HAVING count(*) > 0))
		FROM neon_auth.sync_state s WHERE target = '$server.users_sync'::regclass");
}

sub heap
{
	return sql("SELECT md5(string_agg(concat(ctid, xmin, xmax), ' ' ORDER BY ctid)) FROM $server.users_sync");
}

# Two healthy runs, or three where the first has to find out first; returns what
# does not hold then.
sub two_healthy_runs
{
	my $held = "SELECT count(*) FROM neon_auth.held_deletion WHERE target = '$server.users_sync'::regclass";
	my $end;

	calm();
	# of a search that is late all is known from now on
	$sim->fault([ map { { match => $_, trick => 'index', times => -1 } } 'list', 'count' ]) if $is->{late};
	my $mode = any('auto', 'auto', 'full');
	$end = refresh($mode);
	# a client that was refused is not tried again for a second
	if ($end eq '28000')
	{
		sleep(1.1);
		$end = refresh($mode);
	}
	return "a healthy run ends with $end" if $end !~ /^(?:ok|held) /;
	my $lacking = lacking();
	return "a healthy run leaves out: $lacking" if $lacking ne '';
	refresh('full') if $is->{lists_deletions};
	my $count = sql($held);
	refresh('auto', $count > 0 ? (with => ", approve_deletions => $count") : ());
	my ($live, $listed) = (scalar(my @live = live()), scalar(my @there = there()));
	my $difference = difference();
	return "differs: $difference" if $difference ne '';
	return 'state is ' . state() . ", users are $live $listed $live" if state() ne "$live $listed $live";

	my $before = heap();
	$end = refresh('auto');
	return "wrote where nothing was new: $end" if $end !~ /^ok 0 0 \d+ 0 0 0$/ || heap() ne $before;
	return 'state is ' . state() . " after that, users are $live $listed $live" if state() ne "$live $listed $live";
	$sim->clear_faults;
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
		refresh($mode, rand() < 0.05 ? (transaction => any('COMMIT', 'ROLLBACK')) : rand() < 0.05 ? (with => ', dry_run => true') : ());
		calm();
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
		diag(map { "$_\n" } @history > 100 ? ('...', @history[ -100 .. -1 ]) : @history);
	}
	return;
}

1;
