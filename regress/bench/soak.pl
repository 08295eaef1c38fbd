# A load of long-lived sessions, for SOAK_SECONDS: random queries, refreshes, followers, single users and purges of
# several directories at once, while users change, and providers, Redis and whoever cancels get in the way.
#
# A round is a storm, in which users come, change and go and a provider may lie, and a lull, in which nobody changes,
# but all else goes on.  What has to hold:
#
# - a query that ends well in a lull answers as the directory is, with the cache and without;
# - no live user is ever marked as deleted;
# - healthy runs at the end of a round make each target equal to its directory;
# - errors are only those that were to be expected;
# - a session keeps neither memory nor descriptors from the first rounds to the last one.
#
#	SOAK_SECONDS	how long (60); a round that was begun ends
#	NAUTH_SEED		chooses what each session asks, what changes and what fails, round for round (1)
#
# Which of that meets which is up to the machine.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use IO::Select;
use List::Util qw(max sum);
use NeonAuth::Load;
use NeonAuth::Providers;
use NeonAuth::Redis;
use NeonAuth::RedisProxy;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = $ENV{SOAK_SECONDS} || 60;
my $seed = $ENV{NAUTH_SEED} || 1;

# Of each directory how many users there may be, of whom it begins with the mean.
my ($fewest, $most) = (100, 160);

# By how much a session may grow from the end of the first fifth to the end of all.
my $bound = 8 * 1024 * 1024;

# What may be met: a cancel or a time-out; a provider that is not reached, that refuses what is asked, the credential, the
# right or so many requests, or answers nonsense.  No deadlock: nobody here holds one user while he asks for another.
my %expected = map { $_ => 1 } qw(57014 HV00N HV00L HV00M 28000 42501 53400);

# ---- What there is

my ($behind, $direct) = (start_redis(), start_redis());
my $proxy = start_redis_proxy($behind);
my %redis_of = (better_auth => $direct, clerk => $proxy, keycloak => $proxy, stack => $direct);
my @names = sort keys %redis_of;
my %directories = map {
	$_ => { name => $_, ids => [], names => {}, excused => {}, marked => {}, is => $providers{$_},
		sim => start_provider($_, users => ($fewest + $most) / 2, seed => $seed, clock => 1000 * int(time() - 30 * 86400)) }
} @names;
my $node = new_node('soak', urls => [ map { $_->{sim}->url } values %directories ], conf => "jit = off\ndeadlock_timeout = '100ms'\nlog_statement = none\n");
my $admin = new_session($node);

$admin->must('SET client_min_messages = error');

sub values_in_order { return @directories{@names}; }

# What was counted, by what it is; what did not hold.
my $round = 0;
my (%count, @wrong);

sub wrong
{
	my ($what) = @_;

	diag("NAUTH_SEED=$seed, round $round: $what");
	push @wrong, $what;
	die "so much is wrong that the rest would tell nothing new\n" if @wrong > 5;
	return;
}

for my $name (@names)
{
	my ($directory, $is) = @{ $directories{$name} }{qw(sim is)};

	add_server($node, $directory, name => $name, schema => $name, mapping => $is->{mapping},
		options => ($is->{options} // '') . ", page_size '20', request_timeout '3s', scan_timeout '10s', refresh_timeout '30s', redis_url '" . $redis_of{$name}->url . "'");
	$admin->must("CREATE SCHEMA copy_of_$name; CREATE TABLE copy_of_$name.users (LIKE $name.users); CREATE TABLE $name.pick (n int, id text);
		CREATE VIEW copy_of_$name.pick AS SELECT * FROM $name.pick");
}

# ---- The directories as they are

sub live { return grep { !$_->{deleted} } @{ $_[0]{sim}->users }; }

# Copies what a healthy scan finds, which has to be what the simulator knows of users and we of their names.
sub learn
{
	my ($directory) = @_;
	my ($name, $sim, $is) = @{$directory}{qw(name sim is)};
	my $users = $sim->users;
	my $updated = $is->{timeless} ? "''" : '(extract(epoch FROM updated_at) * 1000)::bigint';

	$admin->must("SET neon_auth_fdw.cache = off; TRUNCATE copy_of_$name.users, $name.pick; INSERT INTO copy_of_$name.users SELECT * FROM $name.users;
		INSERT INTO $name.pick SELECT row_number() OVER (ORDER BY md5(id)), id FROM copy_of_$name.users ORDER BY 1 LIMIT 12;
		INSERT INTO $name.pick VALUES (13, NULL), (14, 'nobody'), (15, '..'); ANALYZE $name.pick; ANALYZE copy_of_$name.users");
	my $found = $admin->must("SELECT id, (extract(epoch FROM created_at) * 1000)::bigint, $updated FROM copy_of_$name.users ORDER BY id COLLATE \"C\"");
	my $there = join("\n", map { join('|', @{$_}{qw(id created_at)}, $is->{timeless} ? '' : $_->{updated_at}) } sort { $a->{id} cmp $b->{id} } live($directory));
	wrong("a healthy scan of $name: " . difference($found, $there)) if $found ne $there;

	my %called = %{ $directory->{names} };
	my $names = join("\n", map { "$_|$called{$_}" } sort keys %called);
	$found = $admin->must("SELECT id, name FROM copy_of_$name.users WHERE name LIKE 'Soak %' ORDER BY id COLLATE \"C\"");
	wrong("names in a healthy scan of $name: " . difference($found, $names)) if $found ne $names;
	my @gone = grep { $_->{deleted} } @$users;
	$directory->{ids} = [ map { "'$_->{id}'" } (grep { !$_->{deleted} } @$users), @gone > 20 ? @gone[ -20 .. -1 ] : @gone ];
	return;
}

# Live users of whom some run says that they are gone, which they never were since the last look.
sub look_for_false_deletions
{
	my ($directory) = @_;
	my $name = $directory->{name};
	my %live = map { $_->{id} => 1 } live($directory);
	my %marked = map { $_ => 1 } split / /, $admin->must("SELECT coalesce(string_agg(id, ' '), '') FROM $name.users_sync WHERE deleted_at IS NOT NULL");
	my @false = grep { $live{$_} && !$directory->{marked}{$_} && !$directory->{excused}{$_} } sort keys %marked;

	wrong("live users of $name are marked as deleted: @false") if @false;
	@{$directory}{qw(marked excused)} = (\%marked, {});
	return;
}

# A healthy run, of a client that may have been refused a moment ago; returns how it ended.
sub healthy_run
{
	my ($name, $more) = @_;
	my $call = "CALL neon_auth.refresh_users_sync('$name', target => '$name.users_sync'$more)";
	my $text = $admin->ask($call);

	if ($text =~ /ERROR:  28000/)
	{
		sleep(1.1);
		$text = $admin->ask($call);
	}
	wrong("a healthy run of $name says $text") if $text !~ /^(?:ok|held)\|/m;
	return;
}

# One writes who is there, another one says who is not, and those who were held go, too.
sub heal
{
	my ($directory) = @_;
	my ($name, $is) = @{$directory}{qw(name is)};
	my $columns = 'id, name, email, created_at' . ($is->{timeless} ? '' : ', updated_at') . ', ' . stable($name, 'raw_json');
	my ($here, $there) = ("SELECT $columns FROM $name.users_sync WHERE deleted_at IS NULL", "SELECT $columns FROM copy_of_$name.users");

	healthy_run($name, '');
	my $lacking = $admin->must("SELECT string_agg(d.id, ' ') FROM ($there EXCEPT $here) d");
	wrong("a healthy run of $name leaves out $lacking") if $lacking ne '';
	my $held = $admin->must("SELECT count(*) FROM neon_auth.held_deletion WHERE target = '$name.users_sync'::regclass");
	healthy_run($name, $held ? ", approve_deletions => $held" : '');
	my $difference = $admin->must("SELECT string_agg(d.id, ' ') FROM (($here EXCEPT $there) UNION ALL ($there EXCEPT $here)) d");
	wrong("after healthy runs the target of $name differs: $difference") if $difference ne '';
	return;
}

# ---- The sessions

# Of each kind: how many, what they ask, how often in a storm and in a lull.
my %kinds = (
	query => [ 4, \&a_query, 20, 20 ],
	refresh => [ 2, \&a_refresh, 12, 3 ],
	follow => [ 1, \&a_follower, 2, 2 ],
	user => [ 1, \&a_user, 15, 10 ]);
my @sessions;

for my $kind (sort keys %kinds)
{
	for my $number (1 .. $kinds{$kind}[0])
	{
		my $session = new_session($node);

		push @sessions, { kind => $kind, name => "$kind $number", session => $session, pid => $session->must('SELECT pg_backend_pid()') };
	}
}

sub lines_of { my ($text, $ordered) = @_; my @lines = split /\n/, $text; return join("\n", $ordered ? @lines : sort @lines); }

# Has a session begin its next statement; in a lull with the answer that it must have.
sub begin_next
{
	my ($one, $lull) = @_;
	my $make = $kinds{ $one->{kind} }[1];
	my $statement = drawing_from($one->{stream}, sub { return $make->(one_of(values_in_order()), values_in_order()); });

	$one->{left}--;
	$one->{statement} = $statement;
	$statement->{answer} = lines_of($admin->must($statement->{wanted}), $statement->{ordered}) if $lull && $statement->{wanted};
	$one->{session}->begin($fresh . $statement->{sql});
	return;
}

# Counts what a statement has come to, and compares its answer.
sub take_answer
{
	my ($one) = @_;
	my $statement = delete $one->{statement};
	my $text = $one->{session}->finish // die "the session of $one->{name} has ended: $statement->{sql}\n";

	$count{ $one->{kind} }++;
	if ($text =~ /ERROR:  (\w{5}): (.*)/)
	{
		$count{"error $1"}++;
		wrong("unexpected error $1 ($2): $statement->{sql}") unless $expected{$1};
		return;
	}
	$count{"$one->{kind}: $1"}++ if $one->{kind} =~ /refresh|follow/ && $text =~ /^([a-z ]+)\|/m;
	return unless defined $statement->{answer};

	# who is gone may have to wait for a refresh, and the caller is told; who is there may not
	my $waits = $text =~ /WARNING:  01000: did not mark a user/ && $statement->{answer} eq '';
	$text =~ s/^(?:psql:\S+ )?(?:WARNING|DETAIL|HINT|LOCATION):.*\n?//mg;
	$count{ $waits ? 'user: not marked yet' : 'compared' }++;
	return if $waits;
	my $got = lines_of($text =~ s/\n\z//r, $statement->{ordered});
	wrong("$statement->{sql}\n" . difference($got, $statement->{answer})) if $got ne $statement->{answer};
	return;
}

# Which lines there are that should not be, and the other way round; only some.
sub difference
{
	my @lines = map { [ split /\n/ ] } @_;
	my @have = map { my %have; $have{$_}++ for @$_; \%have } @lines;
	my @differ = map { my $i = $_; map { ('+', '-')[$i] . " $_" } grep { $have[$i]{$_} != ($have[ 1 - $i ]{$_} // 0) } sort keys %{ $have[$i] } } 0, 1;

	push @differ, 'in another order' unless @differ;
	return join("\n", sprintf('has %d lines, should have %d', map { scalar @$_ } @lines), grep { defined } @differ[ 0 .. 9 ]);
}

# Whether its statement has ended.
sub has_ended
{
	my ($one, $ready) = @_;
	my $before = length $one->{session}{text};

	return $ready && ($one->{session}->said(0) =~ /^$one->{session}{mark}\n\z/m || length $one->{session}{text} == $before);
}

# ---- What gets in the way

# Something happens to a user, whose number there stays between bounds.
sub change_somebody
{
	my $directory = one_of(values_in_order());
	my @live = live($directory);
	my $what = @live < $fewest ? 'create' : @live > $most ? 'remove' : one_of(qw(update update update update create create remove remove reborn));
	my $user = one_of(@live);
	my $name = "Soak $round." . ++$count{changes};
	my %is_live = map { $_->{id} => 1 } @live;
	my @dead = grep { !$is_live{ $_->{id} } } @{ $directory->{sim}->users };

	return $directory->{names}{ $directory->{sim}->create({ name => $name })->{id} } = $name if $what eq 'create' || ($what eq 'reborn' && !@dead);
	return change_of_existing($directory, $what eq 'reborn' ? one_of(@dead) : $user, $what, $name);
}

sub change_of_existing
{
	my ($directory, $user, $what, $name) = @_;
	my $sim = $directory->{sim};

	$directory->{excused}{ $user->{id} } = 1 if $what ne 'update';
	if ($what eq 'remove')
	{
		delete $directory->{names}{ $user->{id} };
		return $sim->remove("index/$user->{index}");
	}
	$directory->{names}{ $user->{id} } = $name;
	return $what eq 'update' ? $sim->update("index/$user->{index}", { name => $name }) : $sim->create({ id => $user->{id}, name => $name });
}

my $paused = 0;

sub pause_or_resume
{
	$paused ? $direct->resume : $direct->pause;
	$paused = !$paused;
	return;
}

sub restart_redis
{
	pause_or_resume() if $paused;
	$direct->stop(keep => one_of(0, 1));
	$direct->start;
	return;
}

my %hindrances = (
	fault => sub { one_of(values_in_order())->{sim}->fault({ match => one_of(qw(any any list get)), %{ one_of(@faults) }, after => below(8) }); },
	cancel => sub { $admin->must("SELECT pg_cancel_backend(" . one_of(@sessions)->{pid} . ')'); },
	redis_fault => sub { $proxy->fault({ %{ one_of(@redis_faults) }, after => below(12), times => 1 + below(3) }); },
	redis_gone => sub { $proxy->fault({ connect => one_of(qw(refuse close ignore)) }); $proxy->disconnect if chance(50); },
	redis_back => sub { $proxy->clear; },
	redis_pause => \&pause_or_resume,
	redis_restart => \&restart_redis,
	redis_empty => sub { $behind->ask('FLUSHALL'); },
	alter => sub { $admin->must('ALTER SERVER ' . one_of(@names) . " OPTIONS (SET page_size '" . one_of(10, 20, 33) . "')"); });
my @hindrances = (('fault') x 6, ('cancel') x 5, ('redis_fault') x 4, 'redis_gone', ('redis_back') x 2, ('redis_pause') x 2, 'redis_restart', 'redis_empty', 'alter');

sub get_in_the_way
{
	my ($lull) = @_;
	my $what = one_of(@hindrances);

	return change_somebody() if !$lull && chance(40);
	$count{$what}++;
	$hindrances{$what}->();
	return;
}

sub lie_once
{
	for my $directory (values_in_order())
	{
		my ($lie, $after, @live) = (one_of(@lies), below(20), live($directory));
		my @hidden = map { one_of(@live)->{index} } 1 .. 3;

		next if chance(30);
		$directory->{sim}->fault([ map { { after => $after, %$_, $_->{hide_index} ? (hide_index => \@hidden) : () } } ref $lie eq 'ARRAY' ? @$lie : $lie ]);
		$count{lie}++;
	}
	return;
}

sub calm
{
	pause_or_resume() if $paused;
	$proxy->clear;
	$proxy->reset;
	$_->{sim}->clear_faults for values %directories;
	return;
}

# ---- Rounds

# All sessions ask what they have to, while something gets in the way every now and then.
sub run_phase
{
	my ($phase) = @_;
	my ($lull, $last) = ($phase eq 'lull', time());
	my $trouble = new_stream($seed, $round, $phase, 'trouble');
	my $times = 100;

	for my $one (@sessions)
	{
		@{$one}{qw(stream left)} = (new_stream($seed, $round, $phase, $one->{name}), $kinds{ $one->{kind} }[ $lull ? 3 : 2 ]);
		begin_next($one, $lull);
	}

	# a storm is not over before all has changed that was to change, so the users of a round are those of the seed
	while ((my @busy = grep { $_->{statement} } @sessions) || (!$lull && $times > 0))
	{
		my %ready = map { $_ => 1 } @busy ? IO::Select->new(map { $_->{session}{out} } @busy)->can_read(0.02) : ();

		for my $one (grep { has_ended($_, $ready{ $_->{session}{out} }) } @busy)
		{
			take_answer($one);
			begin_next($one, $lull) if $one->{left} > 0;
		}
		next if $times == 0 || (@busy && time() - $last < 0.03);
		drawing_from($trouble, sub { lie_once() if $times == 100 && !$lull; get_in_the_way($lull); });
		($times, $last) = ($times - 1, time());
	}
	calm();
	return;
}

sub run_round
{
	$round++;
	run_phase('storm');
	for my $directory (values_in_order())
	{
		look_for_false_deletions($directory);
		learn($directory);
		wait_until('an empty cache', sub { return $admin->ask("SELECT neon_auth.cache_clear('$directory->{name}')") !~ /ERROR/; });
	}
	run_phase('lull');
	for my $directory (values_in_order())
	{
		look_for_false_deletions($directory);
		heal($directory);
		look_for_false_deletions($directory);
	}
	return;
}

# Bytes of memory and descriptors of each session, with all its connections closed.
sub measure
{
	my %measured;

	for my $one (@sessions)
	{
		$one->{session}->must("${fresh}SELECT neon_auth.disconnect_all()");
		$measured{ $one->{name} } = [ 1024 * process_memory($one->{pid}, 'RssAnon'), open_descriptors($one->{pid}) ];
	}
	return \%measured;
}

sub numbers_of
{
	my ($pattern) = @_;

	return join(', ', map { s/^error //r . " $count{$_}" } grep { /$pattern/ } sort keys %count) || 'none';
}

my ($begin, $first, $last) = (time());

# The first measurement is that of the first fifth, the last one at least two rounds later.
sub run_all
{
	my $warm = 0;

	for my $directory (values_in_order())
	{
		learn($directory);
		healthy_run($directory->{name}, '');
	}
	while ($round < $warm + 2 || time() - $begin < $seconds)
	{
		run_round();
		$last = measure();
		($first, $warm) = ($last, $round) if $round == 1 || ($round == $warm + 1 && time() - $begin < $seconds / 5);
		note(sprintf('%5d s: round %d, %d queries (%d compared), %d refreshes, most memory %.1f MB, descriptors %s, wrong answers %d',
			time() - $begin, $round, @count{qw(query compared refresh)}, max(map { $_->[0] } values %$last) / 1048576,
			join('/', map { $last->{$_}[1] } sort keys %$last), scalar @wrong));
	}
	return;
}

my $died = eval { run_all(); 1 } ? '' : $@;
calm();
my @stats = map { $_->{sim}->stats } values_in_order();
note('requests: ' . join(', ', map { my $kind = $_; "$kind " . sum(map { $_->{$kind} } @stats) } qw(list get count other)));
note('asked: ' . numbers_of('^(?:query|refresh|follow|user|compared)$') . '; ended: ' . numbers_of(': '));
note('in the way: ' . numbers_of('^(?:changes|lie|fault|cancel|alter|redis_\w+)$') . '; faults of providers that hit: ' . sum(map { $_->{faults} } @stats));
note('errors: ' . numbers_of('^error '));
note('logged runs, and how many of them held deletions back: ' . $admin->must("SELECT string_agg(concat_ws(' ', status, count, held), ', ' ORDER BY status) FROM
	(SELECT status, count(*), count(*) FILTER (WHERE held > 0) AS held FROM neon_auth.sync_run GROUP BY 1) r"));
note('wrong answers: ' . scalar @wrong);
is($died, '', "all went on to the end (NAUTH_SEED=$seed, round $round)");
for my $name (sort keys %{ $first // {} })
{
	my ($grown, $more) = map { $last->{$name}[$_] - $first->{$name}[$_] } 0, 1;

	cmp_ok($grown, '<=', $bound, sprintf('%s: %.1f MB, then %+.1f MB', $name, $first->{$name}[0] / 1048576, $grown / 1048576));
	is($more, 0, "$name: $first->{$name}[1] descriptors, and as many at the end");
}
is(join("\n", @wrong), '', "no wrong answer in $round rounds (NAUTH_SEED=$seed)");
cmp_ok($count{compared} // 0, '>', 0, 'answers were compared');
is($admin->must(q(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')), 0, 'no lock is left behind');
is($admin->must('SELECT count(*) FROM neon_auth.sync_progress'), 0, 'no refresh is under way');
is(join("\n", grep { /PANIC: |TRAP: |server process \(PID \d+\) (?:was|exited)/ } split /\n/, slurp_file($node->logfile)), '', 'no process has crashed');
$node->stop;
done_testing();
