# Incremental refreshes: what they ask for, when a run is one, how deletions are
# found without a listing, and everything that makes such a run become a full one
# rather than believe what it cannot prove.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use List::Util qw(max);
use NeonAuth::Synced;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $true = JSON::PP::true;
my $not_found = '{"errors":[{"code":"resource_not_found","message":"not found"}]}';
my $node = new_node('incremental');
begin_synced($node);

# ---- Helpers

# The time of the latest change at the provider.
sub latest { return max(map { $_->{updated_at} } grep { !$_->{deleted} } @{ $sim->users }); }

# Index scans and sequential scans of the target so far.
sub scans
{
	sql('SELECT pg_stat_force_next_flush()');
	return sql("SELECT seq_scan FROM pg_stat_user_tables WHERE relid = '$server.users_sync'::regclass");
}

# ---- What an incremental run costs

directory('clerk', ", page_size '50'", users => 2000);
is(refresh(), 'ok 2000/0/0/0', 'the first refresh');
is(last_run('mode, reason'), 'full: it is the first refresh of the table', 'is full');
is(refresh(), 'ok 0/0/0/0', 'the next one has nothing to do');
is(last_run('mode, reason'), 'incremental', 'and is incremental');
is($sim->asked, '1 list, 1 count', 'it asks for one page of changes and for the count');
my $heap = heap();
my $watermark = state('watermark');
refresh() for 1 .. 3;
is(heap() . state('watermark'), $heap . $watermark, 'nothing new: no row is written, and the watermark stays');

$sim->update("index/$_", { name => "Changed $_" }) for 100 .. 109;
my $new = $sim->create({ name => 'New User' });
my $scans = scans();
# so small a table the planner would rather read as a whole
sql('SET enable_seqscan = off');
is(refresh(), 'ok 1/10/0/0', 'ten changes and a new user');
is($sim->asked, '1 list, 1 count', 'take two requests');
is(scans(), $scans, 'and need no scan of the table');
sql('RESET enable_seqscan');
is(difference(), 0, 'the target equals the directory');
is(state("watermark = to_timestamp($new->{updated_at} / 1000.0)"), 't', 'the watermark is the time of the latest change, of the provider');

# what was changed in the overlap is compared by content
$sim->update($new->{id}, { name => 'Same Time', updated_at => $new->{updated_at} });
is(refresh(), 'ok 0/1/0/0', 'F56: another content of the same millisecond');
$sim->update('index/7', { name => 'Late Commit', updated_at => $new->{updated_at} - 200_000 });
is(refresh(), 'ok 0/1/0/0', 'F56: a change that was committed late');
is(difference(), 0, 'the target equals the directory');

# more than a page of changes, while users move
$sim->update("index/$_", { name => "Many $_" }) for 200 .. 320;
$sim->fault([ { match => 'list', after => 1, mutate => { update => [ map { { index => $_, name => 'Moved' } } 205, 1500 ], delete_index => [ 318, 319, 320 ] } },
		{ match => 'list', after => 2, mutate => { create => { name => 'Late One' }, delete_index => 310 } } ]);
like(refresh(), qr{^ok 1/1\d\d/}, 'many changes, while others are changed and deleted');
$sim->clear_faults;
refresh();
is(difference(), 0, 'are all in the target after one more run');
is(tombstones() =~ tr/ //, 3, 'and the four who went are marked');

# users changed at the same moment, over the end of pages
$sim->update("index/$_", { name => "Together $_", updated_at => $sim->user($new->{id})->{updated_at} + 500_000 }) for 400 .. 430;
$sim->update("index/$_", { name => "And $_" }) for 431 .. 480;
like(refresh(), qr{^ok 0/81/0/0}, 'many changed at the same moment');
is(last_run('mode'), 'incremental', 'are read page by page');
is(difference(), 0, 'all of them');
$sim->update("index/$_", { name => "Bulk $_", updated_at => $sim->user('index/480')->{updated_at} + 500_000 }) for 500 .. 620;
like(refresh(), qr{^ok 0/121/0/0}, 'more than a page of them');
is(last_run('mode, reason'), 'full: the list of changes could not be read to its end', 'need a listing');
is(difference(), 0, 'all of them are there');
refresh();
is(last_run('mode'), 'full', 'as long as one of them may be committed late');
sql("UPDATE neon_auth.sync_state SET newest_change_at = newest_change_at - interval '6 min'");
refresh();
is(last_run('mode'), 'incremental', 'and then no more');

# ---- When a run is full

is(refresh("mode => 'full'"), 'ok 0/0/0/0', 'mode full');
is(last_run('mode, reason'), 'full: mode full was asked for', 'is full');
like($sim->asked, qr/^\d+ list$/, 'and lists all');
# eight windows are in vain, for one user was created long after the others
cmp_ok($sim->stats->{list}, '<=', 1.5 * 40 + 8, '... in windows, with not too many requests');
sql("ALTER SERVER clerk OPTIONS (ADD full_refresh_every '0')");
refresh();
is(last_run('mode, reason'), 'full: full_refresh_every has passed since the last one', 'with full_refresh_every 0 each run is full');
is(refresh("mode => 'incremental'"), 'ok 0/0/0/0', 'mode incremental');
is(last_run('mode'), 'incremental', 'is incremental all the same');
sql("ALTER SERVER clerk OPTIONS (SET full_refresh_every '1h')");
sql("UPDATE neon_auth.sync_state SET last_full_at = now() - interval '59 min'");
refresh();
is(last_run('mode'), 'incremental', 'before it has passed a run is incremental');
sql("UPDATE neon_auth.sync_state SET last_full_at = now() - interval '61 min'");
refresh();
is(last_run('mode'), 'full', 'then it is full');
refresh();
is(last_run('mode'), 'incremental', 'once');
sql("UPDATE neon_auth.sync_state SET last_full_at = now() + interval '1 day'");
refresh();
is(last_run('mode'), 'full', 'a clock that was set back does not put it off');
sql('ALTER SERVER clerk OPTIONS (DROP full_refresh_every)');

is(refresh("mode => 'incremental', approve_deletions => 0"), '55000', 'approving needs a listing');
is(refresh('approve_deletions => 0'), 'ok 0/0/0/0', 'in mode auto');
is(last_run('mode, reason'), 'full: deletions were approved', 'it gets one');
$said = $session->ask("CALL neon_auth.refresh_users_sync('clerk', mode => 'incremental', target => 'clerk.other')");
like($said, qr/ERROR:  55000: cannot refresh table clerk\.other incrementally.*DETAIL:  Reason: it is the first refresh of the table.*HINT:  .*auto/s,
	'mode incremental cannot be the first');

sql("ALTER USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (SET api_key 'sk_test_wrong')");
is(refresh(), '28000', 'another credential, which the provider refuses');
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (SET api_key 'sk_test_x')");
refresh();
is(last_run('mode'), 'incremental', 'and the right one again');
$sim->fault({ match => 'list', after => 3, status => 500 });
is(refresh("mode => 'full'"), 'HV00L', 'a full run that fails');
refresh();
is(last_run('mode, reason'), 'full: the last refresh could not prove who is missing', 'is followed by another');
refresh();
is(last_run('mode'), 'incremental', 'and that by an incremental one');
sql(q(UPDATE neon_auth.sync_state SET credential = 'another'));
refresh();
is(last_run('mode, reason'), 'full: the credential has changed', 'another credential has to show all users');

# ---- Deletions without a listing

my $gone = id_of(1234);
$sim->remove($gone);
is(refresh(), 'ok 0/0/1/0', 'a deletion');
is(last_run('mode'), 'incremental', 'is found by an incremental run');
like($sim->asked, qr/^3 get, 3 list, \d count$/, 'with two listed windows, one question for the user and two for a witness');
like(tombstones(), qr/\b$gone\b/, 'the right one');
is(refresh(), 'ok 0/0/0/0', 'once');
$sim->remove($new->{id});
$sim->remove('index/0');
is(refresh(), 'ok 0/0/2/0', 'the oldest and the youngest user');
is(difference(), 0, 'the target equals the directory');

# who comes, goes and changes while windows are counted
my @wrong;
for my $round (1 .. 12)
{
	my @victims = map { $_ * 7 + $round } 100 + $round, 200 - $round;
	my $before = tombstones();

	$sim->remove("index/$_") for grep { !$sim->user("index/$_")->{deleted} } $victims[0];
	$sim->fault([ map { { match => 'count', after => 1 + int(rand(8)), mutate => { create => { name => "Round $round", created_at => 1735689600000 + int(rand(40_000_000)) },
						delete_index => [ $victims[1], 100 + int(rand(1800)) ], update => { index => 100 + int(rand(1800)), name => "Round $round" } } } } 1 .. 3 ]);
	refresh();
	$sim->clear_faults;
	my %live = map { $_->{id} => 1 } grep { !$_->{deleted} } @{ $sim->users };
	push @wrong, grep { $live{$_} } split / /, tombstones();
}
is_deeply(\@wrong, [], 'users who come, go and change while windows are counted: nobody is marked who is live');
refresh();
refresh();
is(difference(), 0, 'and soon the target equals the directory');

# a user whose time of creation is after that of its last change is no riddle
$sim->create({ name => 'Ahead', created_at => (time() + 86400) * 1000, updated_at => latest() + 600_000 });
is(refresh(), 'ok 1/0/0/0', 'a user who was created later than changed');
$sim->update('index/51', { name => 'Much Later', updated_at => latest() + 600_000 });
is(refresh(), 'ok 0/1/0/0', 'is not taken for missing later');
is(last_run('mode, reason'), 'incremental', 'nor needs a listing');
$sim->remove('index/52');
is(refresh(), 'ok 0/0/1/0', 'nor hides a deletion');
is(last_run('mode'), 'incremental', 'from an incremental run');

# an application that does not wait for us
$new = $sim->create({ name => 'In A Hurry' });
sql("INSERT INTO clerk.users_sync (id, raw_json) VALUES ('$new->{id}', '{}')");
$sim->remove('index/53');
is(refresh(), 'ok 0/1/1/0', 'a row that an application inserted for a new user hides no deletion');
is(last_run('mode'), 'incremental', 'from an incremental run');
$new = $sim->create({ name => 'In A Hurry, Too' });
$sim->fault({ match => 'count', status => 500 });
is(refresh(), 'HV00L', 'a run that fails when it has written a new user');
$sim->remove('index/54');
is(refresh(), 'ok 0/0/1/0', 'is followed by one that counts this user once');
is(last_run('mode'), 'incremental', 'and is incremental');
is(sql('SELECT count(*) FROM neon_auth.sync_delta'), 0, 'from then on it is a user like others');

# a row that an application inserted for somebody who was deleted before we ran
$new = $sim->create({ name => 'Came And Went' });
sql("INSERT INTO clerk.users_sync (id, raw_json, created_at) VALUES ('$new->{id}', '{}', to_timestamp($new->{created_at} / 1000.0))");
$sim->remove($new->{id});
$sim->remove('index/55');
is(refresh(), 'ok 0/0/2/0', 'a row of somebody who came and went is marked beside another deletion');
$sim->remove('index/56');
is(refresh(), 'ok 0/0/1/0', 'and does not hide the next one');

# sign up, refresh, edit the profile
$new = $sim->create({ name => 'Just Signed Up' });
is(refresh(), 'ok 1/0/0/0', 'one who signs up');
$sim->update($new->{id}, { name => 'With A Name' });
is(refresh(), 'ok 0/1/0/0', 'and edits the profile');
is(last_run('mode'), 'incremental', 'is counted once');

# who was changed last, in a directory that then rests
$sim->update('index/57', { updated_at => latest() + 900_000 });
refresh();
$sim->remove('index/57');
is(refresh(), 'ok 0/0/1/0', 'a deletion of the user who was changed last, by far');
is(last_run('mode'), 'incremental', 'needs no listing');

# many changed at the same moment while a full run lists; the next run is much later
$sim->update("index/$_", { updated_at => latest() + 1_000 }) for 58;
my $together = latest() + 600_000;
$sim->fault({ match => 'list', after => 10, mutate => { update => [ map { { index => $_, name => 'While Listed', updated_at => $together } } grep { !$sim->user("index/$_")->{deleted} } 60 .. 199, 1400 .. 1500 ] } });
refresh("mode => 'full'");
$sim->clear_faults;
sql("UPDATE neon_auth.sync_state SET newest_change_at = newest_change_at - interval '1 hour', last_success_at = last_success_at - interval '1 hour',
	last_success_started_at = last_success_started_at - interval '1 hour' WHERE target = 'clerk.users_sync'::regclass");
refresh();
is(difference(), 0, 'many who are changed together while a full run lists are found an hour later');
$sim->update('index/58', { name => 'Long After', updated_at => $together + 900_000 });
refresh();

# many at once, and few pages
$sim->remove("index/$_") for grep { !$sim->user("index/$_")->{deleted} } map { $_ * 20 } 30 .. 69;
like(refresh(), qr{^ok 0/0/\d+/0$}, 'deletions that cost more to search than a listing');
is(last_run('mode, reason'), 'full: the provider counts less users than are known', 'are found by one');
is(difference(), 0, 'the target equals the directory');

# ---- What proves nothing

# $gone is gone, and whatever the provider answers nobody else may be marked.  Each
# row is a name, faults, and what the run ends with.
sub proves_nothing
{
	my ($name, $faults, $end, %more) = @_;
	my $before = tombstones();

	$sim->fault($faults);
	like(refresh($more{with}), qr/^$end/, $name);
	$sim->clear_faults;
	my @marked = grep { index($before, $_) < 0 } split / /, tombstones();
	is_deeply([ grep { $_ ne $gone } @marked ], [], "$name: nobody is marked who is live");
	is(last_run($more{run}[0]), $more{run}[1], "$name: the log says what became of it") if $more{run};

	# the next healthy run repairs
	refresh();
	like(tombstones(), qr/\Q$gone\E/, "$name: a healthy run marks the one who is gone");
	is(difference(), 0, "$name: and makes the target equal");
	remove_another();
	return;
}

sub remove_another
{
	$gone = (grep { !$_->{deleted} } @{ $sim->users })[70]{id};
	$sim->remove($gone);
	return;
}

remove_another();
my @ends = ('status, sqlstate', 'failed: ');
for my $row ([ 'status 401', 401, '28000' ], [ 'status 403', 403, '42501' ], [ 'status 404', 404, 'HV00L' ], [ 'status 500', 500, 'HV00L' ])
{
	my ($name, $status, $state) = @$row;

	for my $kind (qw(list count get))
	{
		next if $kind eq 'get' && $status == 404;
		proves_nothing("$name to $kind", { match => $kind, status => $status }, $state, run => [ $ends[0], $ends[1] . $state ]);
	}
}
proves_nothing('404 of no user', { match => 'get', after => 1, status => 404, body => '{"errors":[{"code":"url_not_found"}]}' }, 'held 0/0/0/[12]');
proves_nothing('that nobody exists', { match => 'get', status => 404, body => $not_found, times => -1 }, 'held 0/0/0/[12]',
	run => [ 'mode, status, note', 'incremental: held: the provider does not find by id a user that it listed' ]);
proves_nothing('that nobody exists any more', { match => 'get', after => 1, status => 404, body => $not_found, times => -1 }, 'held 0/0/0/[12]');
proves_nothing('an empty list of changes', { match => 'list', empty => $true }, 'ok 0/0/1/0', run => [ 'mode, reason', 'full: the provider counts less users than are known' ]);
proves_nothing('an empty directory', [ { match => 'list', times => -1, empty => $true }, { match => 'count', times => -1, body => '{"total_count":0}' } ], 'held 0/0/0/\d{4}',
	run => [ 'mode, status, note', 'full: held: the directory is empty' ]);
proves_nothing('a window that is empty', { match => 'list', after => 1, empty => $true }, 'ok 0/0/1/0');
proves_nothing('a window that is cut short', { match => 'list', after => 1, truncate_page => 10 }, 'ok 0/0/1/0');
proves_nothing('users hidden from lists', { match => 'list', times => -1, hide_index => [ 1100 .. 1110 ] }, 'ok 0/0/1/0');
proves_nothing('a count of nobody', { match => 'count', times => -1, body => '{"total_count":0}' }, 'held ', run => [ 'mode, note', 'full: the provider counts another number of users than it listed' ]);
proves_nothing('counts that are too small', { match => 'count', times => -1, add_total => -3 }, 'ok ');
proves_nothing('counts that are too large', { match => 'count', times => -1, add_total => 3 }, 'ok 0/0/1/0', run => [ 'mode, reason', 'full: the provider counts more users than are known' ]);
proves_nothing('one count that is too small', { match => 'count', add_total => -5 }, 'ok ');
proves_nothing('a list in another order', { match => 'list', ignore_order => $true }, 'ok 0/0/1/0', run => [ 'mode, reason', 'full: the list of changes is not in their order' ]);
proves_nothing('a parameter that is refused', { match => 'list', status => 422 }, 'ok 0/0/1/0', run => [ 'mode, reason', 'full: the list of changes could not be read to its end' ]);
proves_nothing('HTML', { match => 'list', body => '<html>' , content_type => 'text/html' }, 'HV00M');
proves_nothing('an object', { match => 'list', body => '{}' }, 'HV00M');
proves_nothing('all counts and lists of another tenant', [ { match => 'list', times => -1, body => '[]' }, { match => 'count', times => -1, body => '{"total_count":1}' } ], 'held ');

# ---- Mode incremental never lists

$sim->fault({ match => 'count', times => -1, add_total => 3 });
is(refresh("mode => 'incremental'"), 'ok 0/0/0/0', 'in mode incremental a doubt');
like($said, qr/NOTICE:.*could not tell whether users of clerk\.users_sync are missing.*DETAIL:  Reason: the provider counts more users than are known\..*HINT:  To list the directory: CALL neon_auth\.refresh_users_sync/s, 'is told');
is(last_run('mode, status, note'), 'incremental: ok: the provider counts more users than are known', 'and logged');
like($sim->asked, qr/^2 list, 2 count$/, 'and nothing is listed');
$sim->clear_faults;
is(refresh(), 'ok 0/0/1/0', 'the next run in mode auto');
is(last_run('mode, reason'), 'full: the last refresh could not prove who is missing', 'is full');

# ---- Deletions that are held

sql("INSERT INTO clerk.users_sync (id, raw_json, created_at) SELECT 'old_' || i, '{}', now() FROM generate_series(1, 3) AS i");
$sim->fault([ { match => 'list', after => 0, empty => $true }, { match => 'count', times => -1, body => '{"total_count":0}' } ]);
like(refresh("mode => 'full'"), qr{^held 0/0/0/\d+$}, 'a full run holds deletions');
$sim->clear_faults;
my $held = sql(q(SELECT count(*) FROM neon_auth.held_deletion));
is(refresh(), 'ok 0/0/3/0', 'they are gone with the next healthy run');
is(sql(q(SELECT count(*) FROM neon_auth.held_deletion)), 0, 'and so is the list');

directory('brake', ", page_size '20'", users => 100);
refresh();
my @ids = map { id_of($_) } 0 .. 29;
$sim->remove('index/0', 30);
is(refresh(), 'held 0/0/0/30', 'too many at once are held');
is(last_run('mode, reason, note'), 'full: the provider counts less users than are known: more than 20 % of the users are missing', 'after a listing');
my $since = sql('SELECT max(held_since) FROM neon_auth.held_deletion');
is(refresh(), 'held 0/0/0/30', 'an incremental run leaves them held');
is(last_run('mode'), 'incremental', 'and is one');
is($sim->asked, '1 list, 1 count', 'which asks no more than otherwise');
$sim->create({ id => $ids[3], name => 'Is Back' });
is(refresh(), 'held 0/1/0/29', 'one who turns up leaves the list');
is(sql("SELECT count(*) FROM neon_auth.held_deletion WHERE id = '$ids[3]'"), 0, 'at once');
is(sql('SELECT max(held_since) FROM neon_auth.held_deletion'), $since, 'the others wait since when they did');
$sim->create({ id => $_, name => 'Is Back' }) for @ids[ 20, 9, 14, 5, 28 ];
is(refresh(), 'held 0/5/0/24', 'so do others, in any order');
is(sql('SELECT count(*) FROM neon_auth.held_deletion') . ' ' . last_run('held'), '24 24', 'and the run tells how many are left');
like($said, qr/approve_deletions => 24/, 'and what approves these');
$sim->remove('index/50', 6);
is(refresh(), 'held 0/0/0/30', 'another deletion needs a listing here, which judges all of them anew');
is(refresh('approve_deletions => 29'), '22023', 'another number is not approved');
is(refresh('approve_deletions => 30'), 'ok 0/0/30/0', 'their number is');
is(difference(), 0, 'the target equals the directory');

# ---- The watermark of a listing that takes its time

directory('slow', ", page_size '20'", users => 100, latency => 40);
refresh();
is(state("newest_change - watermark >= '200 ms'"), 't', 'a listing leaves its own duration to be read again');
$watermark = state('watermark');
is(refresh(), 'ok 0/0/0/0', 'a run that reads what has changed');
is(state("watermark > '$watermark' AND watermark = newest_change"), 't', 'knows better');
is(refresh("mode => 'full'"), 'ok 0/0/0/0', 'a listing later');
is(state('watermark = newest_change'), 't', 'does not put it back');

# ---- Better Auth: the total comes with each page, and there are no windows

directory('better_auth', ", page_size '50'", provider => 'better_auth', users => 300);
refresh();
is(refresh(), 'ok 0/0/0/0', 'Better Auth');
is($sim->asked, '1 list', 'is asked once');
$sim->update("index/$_", { name => "Changed $_" }) for 10 .. 19;
$new = $sim->create({ name => 'New User' });
is(refresh(), 'ok 1/10/0/0', 'changes and a new user');
is($sim->asked, '1 list', 'take that request');
$sim->fault({ match => 'list', mutate => { create => { name => 'Just Now' } } });
is(refresh(), 'ok 1/0/0/0', 'one who is created meanwhile');
$gone = id_of(77);
$sim->remove($gone);
is(refresh(), 'ok 0/0/1/0', 'a deletion');
is(last_run('mode, reason'), 'full: the provider counts less users than are known', 'is found by a listing');
$sim->remove('index/78');
$sim->fault({ match => 'list', swallow => $true });
is(refresh(), 'HV00L', 'an error sent as an empty page');
is(tombstones(), $gone, 'proves nothing');
is(refresh(), 'ok 0/0/1/0', 'the next run does');
is(difference(), 0, 'the target equals the directory');

done_testing();
