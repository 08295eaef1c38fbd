# What a refresh must not believe: that a new credential is of the same directory because
# ids are the same; that rows are as new options make them because their time is later;
# that a list of changes tells all, or that its failure is one of the directory.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Redis;
use NeonAuth::Synced;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('doubts', conf => "timezone = 'UTC'\n");
my $age = 3600;

begin_synced($node, provider => 'generic', columns => 'id, name, email, raw_json, created_at');

my $list = ", list_path '/users', users_member 'data', id_type 'integer', paging 'offset'";
my $one = ", user_path '/users/{id}', not_found_member 'code', not_found_value 'user_not_found'";
my $people = ", name_member 'first_name', email_member 'email'";
my $times = ", created_at_member 'created_at', updated_at_member 'updated_at'";

# ---- Another credential

# The server at this address has another directory from now on, and the mapping its key.
sub replace_directory
{
	my (%flags) = @_;
	my $port = $sim->port;

	$sim->stop;
	$sim = start_sim(provider => 'generic', port => $port, clock => (time() - $age) * 1000, key => 'sk_test_y', set => ['ids=integer'], %flags);
	sql("ALTER USER MAPPING FOR CURRENT_USER SERVER $server OPTIONS (SET api_key 'sk_test_y')");
	return;
}

sub is_refused
{
	my ($name, $detail, $more) = @_;
	my $rows = sql("SELECT count(*), count(deleted_at), md5(string_agg(concat_ws(' ', id, xmin), ' ' ORDER BY id)) FROM $server.users_sync");

	is(refresh($more), '55000', "$name: is refused");
	like($said, qr/ERROR: .*knows none of the users in $server\.users_sync\n.*DETAIL:  $detail/s, "$name: with the reason");
	is(sql("SELECT count(*), count(deleted_at), md5(string_agg(concat_ws(' ', id, xmin), ' ' ORDER BY id)) FROM $server.users_sync"), $rows, "$name: and nothing is written");
	return;
}

my $others = 'It has other users under the same ids';
for my $row (
	[ 'created', "$one$people$times" ],
	[ 'by_address', "$one$people, updated_at_member 'updated_at'" ],
	[ 'by_name', "$one, name_member 'first_name'" ],
	[ 'list_created', "$people$times" ],
	[ 'list_address', $people ])
{
	my ($name, $options) = @$row;

	directory($name, "$list$options", users => 40, set => ['ids=integer'], clock => (time() - $age) * 1000);
	is(refresh(), 'ok 40/0/0/0', "$name: a refresh");
	replace_directory(users => 50, seed => 9, clock => (time() - 10 * $age) * 1000);
	is_refused("$name: the key of another tenant with the same numbers", $others);
	is_refused("$name: in a dry run", $others, 'dry_run => true');
	is($sim->stats->{list} // 0, $name =~ /^list/ ? 1 : 0, "$name: its users are not listed");
	replace_directory(users => 40);
	like(refresh(), qr{^ok 0/0/0/0}, "$name: a new key of the same one is taken");
	is(difference(), 0, "$name: and all is equal");
}

# who is asked about may have changed, or be gone
directory('changed', "$list$one$people", users => 40, set => ['ids=integer']);
is(refresh(), 'ok 40/0/0/0', 'changed: a refresh');
sql("ALTER TABLE changed.users_sync DISABLE TRIGGER ALL; UPDATE changed.users_sync SET email = 'was-' || email WHERE id IN (SELECT id FROM changed.users_sync ORDER BY updated_at DESC LIMIT 3)");
replace_directory(users => 40);
like(refresh(), qr{^ok 0/\d+/0/0}, 'changed: some addresses are others now');
directory('recent', "$list$one$people$times", users => 40, set => ['ids=integer']);
is(refresh(), 'ok 40/0/0/0', 'recent: a refresh');
sql("UPDATE recent.users_sync SET created_at = created_at + interval '1 day' WHERE id = (SELECT id FROM recent.users_sync ORDER BY updated_at DESC LIMIT 1)");
replace_directory(users => 40);
is_refused('recent: one of ten was created at another time', $others);
sql("UPDATE recent.users_sync SET created_at = created_at - interval '1 day' + interval '1 second' WHERE id = (SELECT id FROM recent.users_sync ORDER BY updated_at DESC LIMIT 1)");
like(refresh(), qr{^ok 0/\d/0/0}, 'recent: within a second it is the same');
directory('empty', "$list$one$people$times", users => 40, set => ['ids=integer']);
is(refresh(), 'ok 40/0/0/0', 'empty: a refresh');
replace_directory(users => 0);
is_refused('empty: nobody is found', 'It seems to belong to another directory');
directory('list_empty', "$list$people$times", users => 40, set => ['ids=integer']);
is(refresh(), 'ok 40/0/0/0', 'list_empty: a refresh');
replace_directory(users => 0);
is_refused('list_empty: nobody is listed', 'It seems to belong to another directory');

# with nothing but the id that has to do
directory('bare', "$list$one", users => 40, set => ['ids=integer']);
is(refresh(), 'ok 40/0/0/0', 'bare: a refresh');
replace_directory(users => 40);
is(refresh(), 'ok 0/0/0/0', 'bare: the id is enough');

# ---- Options that make other rows, where the rows have a later time than users have now

sub alter { sql("ALTER SERVER $server OPTIONS ($_[0])"); return; }
sub times_that_differ { return sql("SELECT count(*) FROM $server.users_sync s JOIN $server.users u USING (id) WHERE s.updated_at IS DISTINCT FROM u.updated_at"); }
sub have_departments { return sql("SELECT count(*) FROM $server.users_sync WHERE raw_json ? 'department'"); }

directory('older', "$list$one$people$times, page_size '20'", users => 60, set => ['ids=integer']);
$sim->update("index/$_", { name => 'Ada Lovelace' }) for 0 .. 59;
is(refresh(), 'ok 60/0/0/0', 'older: a refresh');
alter("SET updated_at_member 'created_at', ADD redact 'department'");
is(refresh(), 'ok 0/60/0/0', 'older: with a member that has an earlier time all rows are written');
is(have_departments(), 0, 'older: without what is left out now');
is(difference() . times_that_differ(), '00', 'older: and are as they are read');
is(refresh(), 'ok 0/0/0/0', 'older: once');
is(last_run('mode'), 'full', 'older: without a parameter for changes');
sql("UPDATE older.users_sync SET updated_at = updated_at + interval '1 day' WHERE id::int % 2 = 0");
alter("SET name_member 'last_name'");
is(refresh(), 'ok 0/60/0/0', 'older: with another member for names, too');
is(difference() . times_that_differ(), '00', 'older: all rows are as they are read');

# somebody writes a row while the directory is read
alter("SET page_size '20', DROP redact");
is(refresh(), 'ok 0/60/0/0', 'meanwhile: all members again');
my $last = sql('SELECT id FROM older.users ORDER BY created_at DESC LIMIT 1');
sql(qq(CREATE FUNCTION older.somebody() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
		UPDATE older.users_sync SET name = 'theirs', updated_at = updated_at + interval '1 hour' WHERE id = '$last' AND name <> 'theirs' AND pg_trigger_depth() = 1;
		RETURN NULL;
	END \$\$;
	CREATE TRIGGER somebody AFTER INSERT ON older.users_sync EXECUTE FUNCTION older.somebody()));
alter("ADD redact 'department'");
is(refresh(), 'ok 0/59/0/0', 'meanwhile: rows are written but for that one');
is(row($last, "name, raw_json ? 'department'"), 'theirs|t', 'meanwhile: which is as it was written');
is(state("shape = ''"), 't', 'meanwhile: so not all rows are as they should be, and that is known');
sql('DROP TRIGGER somebody ON older.users_sync');
is(refresh(), 'ok 0/1/0/0', 'meanwhile: the next refresh writes it');
is(have_departments() . difference() . times_that_differ(), '000', 'meanwhile: now they are');
is(state("shape <> ''"), 't', 'meanwhile: which is known, too');

# ---- A list of changes that fails, or does not tell all

directory('since', "$list$one$people$times, since_parameter 'updated_since'", users => 60, set => ['ids=integer']);
is(refresh(), 'ok 60/0/0/0', 'since: a refresh');
is(refresh(), 'ok 0/0/0/0', 'since: nothing has changed');
is(last_run("mode, reason"), 'incremental', 'since: which the changes alone tell');
for my $status (403, 404, 500, 400)
{
	$sim->update('index/7', { name => "Status $status" });
	$sim->fault({ match => 'list', status => $status });
	is(refresh(), 'ok 0/1/0/0', "since: a list of changes that fails with $status");
	is(last_run('mode, reason'), 'full: the list of changes could not be read to its end', "since: makes the run a full one, $status");
	is(difference(), 0, "since: and all is equal, $status");
	$sim->fault({ match => 'list', status => $status, times => -1 });
	like(refresh(), qr/^\w{5}$/, "since: a directory that fails with $status is an error");
	$sim->clear_faults;
	is(refresh(), 'ok 0/0/0/0', "since: after $status");
	$sim->fault({ match => 'list', status => $status });
	like(refresh("mode => 'incremental'"), $status == 400 ? qr{^ok 0/0/0/0$} : qr/^\w{5}$/, "since: nothing is listed where only changes are wanted, $status");
	$sim->clear_faults;
	refresh();
}
is(refresh(), 'ok 0/0/0/0', 'since: again');
is(last_run('mode'), 'incremental', 'since: by changes');

# a query of what has changed reads all users then, whoever may keep them
my $redis = start_redis();
for my $cached ('off', 'on')
{
	my $clear = $cached eq 'on' ? "SELECT neon_auth.cache_clear('since')" : '';

	alter("ADD redis_url '" . $redis->url . "', ADD redis_timeout '1min'") if $cached eq 'on';
	for my $status (403, 404, 500, 400)
	{
		my $since = sql('SET neon_auth_fdw.cache = off; SELECT updated_at FROM since.users ORDER BY updated_at DESC OFFSET 20 LIMIT 1');
		my $changed = "SELECT string_agg(id, ' ' ORDER BY id::int) FROM since.users WHERE updated_at >= '$since'";
		my $all = sql("SET neon_auth_fdw.pushdown = off; $changed");
		sql("RESET neon_auth_fdw.pushdown; SET neon_auth_fdw.cache = $cached; $clear");
		$sim->fault({ match => 'list', status => $status });
		$sim->reset_stats;
		is(sql($changed), $all, "scan: what has changed where a filter fails with $status, cache $cached");
		is($sim->asked, '3 list', "scan: by a list of all, $status, cache $cached");
		$sim->fault({ match => 'list', status => $status, times => -1 });
		sql($clear);
		like($session->ask($changed), qr/ERROR: .*server "since"/, "scan: a directory that fails with $status is an error, cache $cached");
		$sim->clear_faults;
		is(sql($changed), $all, "scan: and then it does not, cache $cached");
	}
}
again();
alter('DROP redis_url');

# the latest change that is known always comes again
$sim->remove('index/3');
is(refresh(), 'ok 0/0/0/0', 'newest: one of the others is gone, which changes do not tell');
is(last_run('mode'), 'incremental', 'newest: so nothing is listed');
$sim->fault({ match => 'list', empty => JSON::PP::true });
is(refresh(), 'ok 0/0/1/0', 'newest: a list of changes that is empty is not believed');
is(last_run('mode, reason'), 'full: the list of changes lacks the latest one that was known', 'newest: and all are listed');
is(wrongly_marked(), '', 'newest: nobody else is marked');
is(refresh() . last_run('mode'), 'ok 0/0/0/0incremental', 'newest: once');
$sim->remove('index/7');
is(refresh(), 'ok 0/0/1/0', 'newest: who was changed last is gone');
is(refresh() . last_run('mode'), 'ok 0/0/0/0incremental', "newest: once, for $_") for 1, 2;
$sim->fault({ match => 'list', empty => JSON::PP::true });
is(refresh("mode => 'incremental'"), 'ok 0/0/0/0', 'newest: where only changes are wanted');
like($said, qr/NOTICE: .*could not tell whether users of since\.users_sync are missing.*DETAIL:  Reason: the list of changes lacks/s, 'newest: it says so');
is(refresh() . last_run('mode'), 'ok 0/0/0/0full', 'newest: and the next run lists all');
is(refresh() . last_run('mode'), 'ok 0/0/0/0incremental', 'newest: once more');
directory('nobody', "$list$one$people$times, since_parameter 'updated_since'", users => 3, set => ['ids=integer']);
is(refresh(), 'ok 3/0/0/0', 'nobody: a refresh');
$sim->remove("index/$_") for 0 .. 2;
is(refresh(), 'held 0/0/0/3', 'nobody: all are missing');
is(refresh('approve_deletions => 3'), 'ok 0/0/3/0', 'nobody: and gone');
is(refresh() . last_run('mode'), 'ok 0/0/0/0incremental', "nobody: an empty directory costs a list of changes, $_") for 1, 2;
$sim->create({});
is(refresh() . last_run('mode'), 'ok 1/0/0/0incremental', 'nobody: and then somebody');

done_testing();
