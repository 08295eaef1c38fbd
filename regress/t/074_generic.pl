# A directory of one's own, made of options alone: each way of paging, by the same
# options a user would write, and what happens when the options do not fit; refreshes,
# and whom they believe to be gone.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Synced;
use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $true = JSON::PP::true;
my $node = new_node('generic', conf => "timezone = 'UTC'\n");
begin_synced($node, provider => 'generic');

# What most of these servers say.
my $list = ", list_path '/users', users_member 'data'";
my $one = ", user_path '/users/{id}'";
my $rule = ", not_found_member 'code', not_found_value 'user_not_found'";
my $columns = ", name_member 'first_name', last_name_member 'last_name', email_member 'email'"
  . ", created_at_member 'created_at', updated_at_member 'updated_at', deleted_at_member 'deleted_at'";
my $offset = "$list$columns$one$rule, paging 'offset'";

# ---- Helpers

# It fails with this message; returns all that was said.
sub query_fails
{
	my ($name, $sql, $message) = @_;
	my $text = $session->ask($sql);

	like($text, qr/ERROR:  .*$message/s, $name);
	unlike($text, qr/sk_test_x|secret-host-7|password_hash/, "$name: nothing that is secret");
	return $text;
}

sub all { return "SELECT count(id), count(DISTINCT id) FROM $server.users"; }
sub alter { sql("ALTER SERVER $server OPTIONS ($_[0])"); return; }

# ---- Every way of paging, in pages of several sizes

my $number = 0;
for my $row (
	[ 'offset', "paging 'offset'", [] ],
	[ 'offset with a total', "paging 'offset', total_member 'total'", [] ],
	[ 'page', "paging 'page'", ['paging=page'] ],
	[ 'page with a total', "paging 'page', total_member 'total'", ['paging=page'] ],
	[ 'pages from 0 on, with other names', "paging 'page', first_page '0', page_parameter 'page[number]', size_parameter 'page[size]'", [ 'paging=page', 'first=0', 'page=page[number]', 'size=page[size]' ] ],
	[ 'cursor', "paging 'cursor', next_member 'next'", ['paging=cursor'] ],
	[ 'cursor with an empty text at the end', "paging 'cursor', next_member 'next', total_member 'total'", [ 'paging=cursor', 'end=empty' ] ],
	[ 'cursor with nothing at the end', "paging 'cursor', next_member 'next'", [ 'paging=cursor', 'end=absent' ] ],
	[ 'cursor, under names with brackets', "paging 'cursor', next_member 'next', page_parameter 'page[after]', size_parameter 'page[size]'", [ 'paging=cursor', 'page=page[after]', 'size=page[size]' ] ],
	[ 'URLs', "paging 'cursor', next_member 'next'", ['paging=url'] ],
	[ 'URLs with a total', "paging 'cursor', next_member 'next', total_member 'total'", ['paging=url'] ],
	[ 'URLs without a host', "paging 'cursor', next_member 'next'", [ 'paging=url', 'links=relative' ] ],
	[ 'Link', "paging 'link'", ['paging=link'] ],
	[ 'Link without a host', "paging 'link'", [ 'paging=link', 'links=relative' ] ],
	[ 'newest first', "paging 'offset'", ['order=newest'] ],
	[ 'less than asked for', "paging 'offset'", ['most=7'] ],
	[ 'less than asked for, with a total', "paging 'offset', total_member 'total'", ['most=7'] ],
	[ 'a size of its own', "paging 'offset', size_parameter 'none'", ['default=25'] ],
	[ 'a cursor and a size of its own', "paging 'cursor', next_member 'next', size_parameter 'none', total_member 'total'", [ 'paging=cursor', 'default=25' ] ])
{
	my ($name, $options, $set) = @$row;
	my $failed = '';

	directory('paged' . ++$number, "$list$columns$one$rule, $options, page_size '25'", users => 0, set => $set);
	for my $users (0, 1, 2, 3, 24, 25, 26, 49, 50, 51, 77, 100, 123)
	{
		my $there = grep { !$_->{deleted} } @{ $sim->users };

		$sim->create({}) for $there + 1 .. $users;
		my $read = $session->ask(all());
		$failed .= " $users: $read" if $read ne "$users|$users";
	}
	is($failed, '', "$name: directories of many sizes");
	$failed = '';
	for my $size (20, 21, 37, 60, 122, 123, 124, 125, 1000)
	{
		last if $options =~ /size_parameter 'none'/;
		alter("SET page_size '$size'");
		my $read = $session->ask(all());
		$failed .= " $size: $read" if $read ne '123|123';
	}
	is($failed, '', "$name: pages of many sizes");
	is($sim->stats->{rejected}, 0, "$name: no request was refused");
	is(refresh(), 'ok 123/0/0/0', "$name: a refresh");
	my $heap = heap();
	is(refresh(), 'ok 0/0/0/0', "$name: a second one");
	is(heap(), $heap, "$name: writes nothing");
	$sim->remove('index/5');
	$sim->remove('index/60', 2);
	is(refresh(), 'ok 0/0/3/0', "$name: three who are gone");
	is(wrongly_marked(), '', "$name: and nobody else");
	is(difference(), 0, "$name: and the rest is equal");
	is(sql("SELECT count(*) FROM neon_auth.check_server('$server') WHERE verdict IN ('error', 'warning')"), 0, "$name: check_server finds nothing");
	$sim->stop;
}

# ---- All in one reply

directory('whole', "$list$columns$one$rule", users => 120, set => ['paging=none']);
query_is('a whole list', all(), '120|120', '1 list');
is(refresh(), 'ok 120/0/0/0', 'a refresh of it');
alter("ADD page_size '121'");
query_is('one less than it may have', all(), '120|120');
alter("SET page_size '120'");
like(query_fails('as many as it may have', all(), 'could not read the whole user directory'), qr/DETAIL:  Reason: the reply has as many users as one may have.*HINT:  A larger page_size/s, 'and what mends it');
alter("ADD total_member 'total'");
query_is('as many, and the total says that it is all', all(), '120|120');
alter("SET page_size '119'");
query_fails('more than it may have', all(), 'could not read the reply');
alter("DROP page_size");
$sim->fault({ match => 'list', add_total => 1 });
like(query_fails('fewer than the total', all(), 'could not read the whole user directory'), qr/HINT:  Say how the directory is paged/, 'and what mends it');
alter("DROP total_member");
$sim->fault({ match => 'list', headers => { Link => '</users?page=2>; rel="next"' }, body => '{"data":[{"id":"a"}]}' });
query_fails('a reply that names a next page', all(), 'could not read the whole user directory');
is(sql('SELECT count(*) FROM whole.users_sync WHERE deleted_at IS NOT NULL'), 0, 'nobody is marked for all that');
directory('bare', ", list_path '/users?status=all', id_member 'id'", users => 30, set => [ 'paging=none', 'data=bare' ]);
query_is('an array, and a path with a query', all(), '30|30', '1 list');
is(last_target(), '/users?status=all', 'as it is written');
directory('small', "$list, size_parameter 'limit', page_size '50'", users => 45, set => ['default=10']);
$sim->reset_stats;
is($session->ask('SELECT count(*) FROM (SELECT 1 FROM small.users LIMIT 7) u'), '7', 'a few of a whole list');
is(last_target(), '/users?limit=50', 'which is asked for as a whole');

# ---- Columns

directory('flat', $offset, users => 60);
query_is('columns', q(SELECT count(*), count(name) > 40, count(*) FILTER (WHERE name IS NOT DISTINCT FROM nullif(concat_ws(' ', raw_json ->> 'first_name', raw_json ->> 'last_name'), ''))
	FROM flat.users WHERE email IS NOT DISTINCT FROM raw_json ->> 'email' AND created_at = (raw_json ->> 'created_at')::timestamptz
	AND updated_at = (raw_json ->> 'updated_at')::timestamptz AND deleted_at IS NULL), '60|t|60');
query_is('no password is kept', q(SELECT count(*) FROM flat.users WHERE raw_json ?| ARRAY['password_hash', 'mfaSecret']), '0');
is(refresh(), 'ok 60/0/0/0', 'nor by a refresh');
query_is('no password in the table', q(SELECT count(*) FROM flat.users_sync WHERE raw_json::text LIKE '%secret%'), '0');
query_is('what is no secret is', q(SELECT count(*) FROM flat.users_sync WHERE raw_json ? 'department'), '60');
my $nested = $columns =~ s/'((?:first|last)_name|email)'/'profile.$1'/gr =~ s/'(\w+_at)'/'audit.$1'/gr;
for my $unit ('iso8601', 's', 'ms')
{
	directory("nested_$unit", "$list$nested$one$rule, paging 'offset', time_unit '$unit', since_parameter 'updated_since', id_type 'integer', user_member 'user'",
		users => 60, set => [ 'nest=1', "time=$unit", 'ids=integer', 'one=user' ]);
	my @there = @{ $sim->users };
	query_is("nested, $unit", "SELECT id, extract(epoch FROM created_at) * 1000 = $there[7]{created_at}, extract(epoch FROM updated_at) * 1000 = $there[7]{updated_at}, email = raw_json #>> '{profile,email}'"
		. " FROM nested_$unit.users WHERE id = '$there[7]{id}'", "$there[7]{id}|t|t|t", '1 get');
	is(refresh(), 'ok 60/0/0/0', "nested, $unit: a refresh");
	$sim->update('index/3', { name => 'Ada Lovelace' });
	is(refresh(), 'ok 0/1/0/0', "nested, $unit: a change");
	is(last_run('mode'), 'incremental', "nested, $unit: which was asked for");
	like(last_target(), $unit eq 'iso8601' ? qr/updated_since=20\d\d-\d\d-\d\dT\d\d%3A\d\d%3A\d\d\.000Z$/ : $unit eq 's' ? qr/updated_since=\d{10}$/ : qr/updated_since=\d{13}$/, "nested, $unit: by a time as the directory writes them");
	is(difference(), 0, "nested, $unit: and all is equal");
}
query_is('an id that is no integer', "SELECT id FROM nested_ms.users WHERE id = '$_'", '', 'nothing') for 'me', '007', '-1', '1.0', '1e3', '99999999999999999999', '';
query_is('nobody', "SELECT id FROM nested_ms.users WHERE id = '999999'", '', '1 get');
directory('uuids', "$list$columns$one$rule, paging 'page', id_type 'uuid'", users => 60, set => [ 'paging=page', 'ids=uuid' ]);
my $uuid = id_of(7);
query_is('a UUID', "SELECT count(*) FROM uuids.users WHERE id = '$uuid'", '1', '1 get');
query_is('no UUID', "SELECT count(*) FROM uuids.users WHERE id = '$_'", '0', 'nothing') for uc $uuid, 'me', "$uuid ";

# ---- One user, and what alone is asked for

directory('found', "$offset, total_member 'total', email_parameter 'email', since_parameter 'updated_since'", users => 250);
my $somebody = id_of(77);
query_is('by id', "SELECT email IS NOT DISTINCT FROM raw_json ->> 'email' FROM found.users WHERE id = '$somebody'", 't', '1 get');
query_is('nobody', "SELECT id FROM found.users WHERE id = 'nobody'", '', '1 get');
query_is('several', "SELECT count(*) FROM found.users WHERE id IN ('$somebody', 'nobody', '" . id_of(78) . "')", '2', '3 get');
query_is('an odd id', "SELECT id FROM found.users WHERE id = \$\$a?b#c&d=%20 \x{c3}\x{a9}\$\$", '', '1 get');
query_is("an id that would be another path: '$_'", "SELECT id FROM found.users WHERE id = '$_'", '', 'nothing') for '', '.', '..', '../x', 'a/b', 'a\b';
my $email = sql("SELECT email FROM found.users WHERE email IS NOT NULL ORDER BY id LIMIT 1");
pushed_is('by address', "SELECT id FROM found.users WHERE email = '$email'", '1 list');
like(last_target(), qr/[?&]email=/, 'which is asked for');
pushed_is('nobody by a hostile address', "SELECT id FROM found.users WHERE email = 'a&limit=1\@b?#c'", '1 list');
query_is('how many', 'SELECT count(*) FROM found.users', '250', '1 count');
pushed_is('the newest', 'SELECT created_at FROM found.users ORDER BY created_at DESC LIMIT 10');
pushed_is('what changed', "SELECT id FROM found.users WHERE updated_at >= '2025-01-01 01:00:00' ORDER BY id");
$sim->reset_stats;
my $plan = sql("EXPLAIN (VERBOSE, COSTS off) SELECT id FROM found.users WHERE id = 'x'; EXPLAIN (VERBOSE, COSTS off) SELECT id FROM found.users WHERE email = 'ada\@example.com'");
is($sim->asked, 'nothing', 'EXPLAIN asks nothing');
like($plan, qr{GET http://\S+/users/x\n.*GET http://\S+/users\?offset=0&limit=100&email=ada%40example\.com\n}s, 'and shows the requests');
unlike($plan, qr/sk_test_x/, 'without the key');
$sim->fault({ match => 'get', trick => 'foreign_id' });
query_is('another user than asked for', "SELECT id FROM found.users WHERE id = '$somebody'", '');
for my $row ([ 'of a proxy', { trick => 'proxy' } ], [ 'with another code', { trick => 'wrong_code' } ], [ 'without a code', { status => 404, body => '{"message":"user_not_found"}' } ],
	[ 'with no body', { status => 404, body => '' } ], [ 'cut off', { status => 404, body => '{"code":"user_not_found"' } ], [ 'with the code twice', { status => 404, body => '{"code":"user_not_found","code":"x"}' } ],
	[ 'of another status', { status => 410, body => '{"code":"user_not_found"}' } ])
{
	$sim->fault({ match => 'get', %{ $row->[1] } });
	query_fails("an answer $row->[0] is not that there is nobody", "SELECT id FROM found.users WHERE id = '$somebody'", 'server "found"');
}
for my $row ([ 'nested', 'error.code', 'user_not_found', 404 ], [ 'number', 'code', '1404', 404 ], [ 'message', 'message', '404 User Not Found', 404 ], [ 'code', 'code', 'user_not_found', 410 ], [ 'code', 'code', 'user_not_found', 200 ])
{
	my ($error, $member, $value, $status) = @$row;

	directory("rule_${error}_$status", "$list$one, paging 'offset', not_found_member '$member', not_found_value '$value'" . ($status == 404 ? '' : ", not_found_status '$status'"),
		users => 30, set => [ "error=$error", "missing=$status" ]);
	query_is("$error $status: nobody", "SELECT id FROM $server.users WHERE id = 'nobody'", '', '1 get');
	is(refresh(), 'ok 30/0/0/0', "$error $status: a refresh");
	$sim->remove('index/3');
	is(refresh(), 'ok 0/0/1/0', "$error $status: one who is gone");
}

# ---- Options as another program's API would need them: an array, numbers for ids, a key in a header of its own

directory('gitlab', ", list_path '/users?status=all', paging 'page', size_parameter 'per_page', user_path '/users/{id}', not_found_member 'message', not_found_value '404 User Not Found'"
	  . ", id_type 'integer', name_member 'first_name', email_member 'email', created_at_member 'created_at', auth_header 'PRIVATE-TOKEN'",
	users => 130, set => [ 'paging=page', 'size=per_page', 'most=100', 'data=bare', 'ids=integer', 'error=message', 'header=PRIVATE-TOKEN', 'scheme=none', 'order=newest' ]);
is(refresh(), 'ok 130/0/0/0', 'an array of users with numbers');
is(refresh(), 'ok 0/0/0/0', 'again, without times of change');
$sim->update('index/7', { name => 'Ada Lovelace' });
$sim->remove('index/9');
is(refresh(), 'ok 0/1/1/0', 'a change by its content, and one who is gone');
is(wrongly_marked(), '', 'and nobody else');

# ---- Credentials

for my $row ([ 'X-Api-Key', undef, 'none' ], [ 'PRIVATE-TOKEN', undef, 'none' ], [ 'Authorization', 'token', 'token' ], [ 'Authorization', 'none', 'none' ], [ 'X-Auth', 'Key', 'Key' ])
{
	my ($header, $scheme, $wanted) = @$row;
	my $name = lc "cred_$header" . ($scheme // '') =~ s/-/_/gr;

	$name =~ s/-/_/g;
	directory($name, "$list, paging 'offset', auth_header '$header'" . (defined $scheme ? ", auth_scheme '$scheme'" : ''), users => 3, set => [ "header=$header", "scheme=$wanted" ]);
	query_is("$header, " . ($scheme // 'no scheme'), all(), '3|3');
}
directory('wrong_key', "$list, paging 'offset', auth_scheme 'Token'", users => 3);
query_fails('another scheme', all(), 'did not accept the credential');

# ---- Directories that are not as the options say: an error, never a part

directory('deaf', "$offset, page_size '20'", users => 95, set => ['deaf=page']);
like(query_fails('parameters that it does not know', all(), 'could not read the whole user directory'), qr/the same users again.*HINT:  Check the names in options page_parameter/s, 'and what mends it');
alter("ADD total_member 'total'");
query_fails('the same with a total', all(), 'could not read the whole user directory');
for my $users (21, 30, 40)
{
	directory("deaf_$users", "$offset, page_size '20', total_member 'total'", users => $users, set => ['deaf=page']);
	query_fails("the same, $users users", all(), 'could not read the whole user directory');
	directory("deafer_$users", "$offset, page_size '20', total_member 'total'", users => $users, set => ['deaf=1']);
	query_fails("nor a size, $users users", all(), 'server "deafer_');
}
directory('deaf_page', "$list, paging 'page', page_size '20'", users => 95, set => [ 'paging=page', 'deaf=page' ]);
query_fails('the same with page numbers', all(), 'could not read the whole user directory');
directory('capped', "$list, paging 'page', page_size '50'", users => 95, set => [ 'paging=page', 'most=30' ]);
query_fails('smaller pages than asked for, with numbers', all(), 'could not read the whole user directory');
alter("SET page_size '30'");
query_is('as large as they are', all(), '95|95');
directory('misnamed', "$list, paging 'cursor', next_member 'nextCursor'", users => 95, set => ['paging=cursor']);
like(query_fails('no such cursor', all(), 'could not read the whole user directory'), qr/HINT:  Name the member that has the cursor/, 'and what mends it');
$sim->remove('index/50', 45);
query_fails('no such cursor, and all on one page', all(), 'could not read the whole user directory');
directory('previous', "$list, paging 'cursor', next_member 'prev', page_size '20'", users => 39, set => ['paging=cursor']);
like(query_fails('the cursor of the page before, which the first one has not', all(), 'could not read the whole user directory'), qr/HINT:  Name the member that has the cursor/, 'and what mends it');
alter("ADD size_parameter 'none'");
query_fails('nor without a size', all(), 'could not read the whole user directory');
directory('misnamed_small', "$list, paging 'cursor', next_member 'nextCursor'", users => 95, set => [ 'paging=cursor', 'most=30' ]);
query_fails('no such cursor, and smaller pages than asked for', all(), 'could not read the whole user directory');
directory('wrong', $offset, users => 40);
for my $row (
	[ 'users_member', "SET users_member 'items'", 'could not read the reply', "SET users_member 'data'" ],
	[ 'no users_member', 'DROP users_member', 'could not read the reply', "ADD users_member 'data'" ],
	[ 'total_member', "ADD total_member 'count'", 'could not read the reply', 'DROP total_member' ],
	[ 'id_member', "ADD id_member 'uid'", 'could not read the reply', 'DROP id_member' ],
	[ 'id_type', "ADD id_type 'uuid'", 'could not read the reply', 'DROP id_type' ],
	[ 'list_path', "SET list_path '/people'", 'has no user directory at this address', "SET list_path '/users'" ],
	[ 'size_parameter', "ADD size_parameter 'per_page'", 'rejected the request|refused', 'DROP size_parameter' ])
{
	my ($name, $options, $message, $back) = @$row;

	alter($options);
	like(query_fails("wrong: $name", all(), $message), $message =~ /reply/ ? qr/HINT:  / : qr/./, "wrong: $name, with a hint");
	alter($back);
}
query_is('and right again', all(), '40|40');
for my $id ('a/b', 'a\\\\b', '..')
{
	$sim->fault({ match => 'list', body => qq({"data":[{"id":"$id"}]}) });
	like(query_fails("an id that cannot be in a path: $id", all(), 'could not read the reply'), qr{HINT:  A slash or a backslash cannot be in a path.*/user\?id=}s, 'and what mends it');
	$sim->clear_faults;
}
for my $row ([ 'no list', { trick => 'no_data' } ], [ 'half a page', { cut => 900, times => -1 } ], [ 'HTML', { body => '<html>', content_type => 'text/html' } ], [ 'an error with 200', { body => '{"code":"internal"}' } ],
	[ '401', { status => 401 } ], [ '403', { status => 403 } ], [ '404 as for a user', { status => 404 } ], [ '500', { status => 500, times => -1 } ])
{
	$sim->fault({ match => 'list', %{ $row->[1] } });
	query_fails("a bad page: $row->[0]", all(), 'server "wrong"');
	$sim->clear_faults;
}
directory('links', "$list, paging 'link', page_size '10'", users => 35, set => ['paging=link']);
for my $trick (qw(no_link foreign_link other_path_link preload_link bad_link))
{
	$sim->fault({ match => 'list', trick => $trick, after => 1 });
	query_fails("a header that is not what it should be: $trick", all(), 'could not read the whole user directory');
	$sim->clear_faults;
}
directory('counted', "$list, paging 'link', page_size '10'", users => 35, set => [ 'paging=link', 'links=numbered' ]);
like(query_fails('links that count pages', all(), 'could not read the whole user directory'), qr/HINT:  Ask for the numbers themselves/, 'and what mends it');
alter("SET paging 'page', SET page_size '20'");
query_is('by their numbers', all(), '35|35');
directory('numbers', "$list, paging 'cursor', page_parameter 'page', next_member 'next', page_size '20'", users => 45, set => [ 'paging=cursor', 'links=numbered' ]);
like(query_fails('cursors that count pages', all(), 'could not read the whole user directory'), qr/HINT:  Ask for the numbers themselves/, 'and what mends it');
alter("SET paging 'page', DROP next_member");
query_is('by their numbers', all(), '45|45');
for my $row ([ 'offset', "paging 'offset'", 'paging=offset' ], [ 'page', "paging 'page'", 'paging=page' ], [ 'cursor', "paging 'cursor', next_member 'next'", 'paging=cursor' ],
	[ 'url', "paging 'cursor', next_member 'next'", 'paging=url' ], [ 'link', "paging 'link'", 'paging=link' ])
{
	my ($name, $options, $set) = @$row;

	directory("total_$name", "$list$columns, $options, page_size '20', total_member 'total', email_parameter 'email'", users => 45, set => [$set]);
	my $address = sql("SELECT email FROM total_$name.users WHERE email LIKE '%@%' ORDER BY id LIMIT 1");
	$sim->fault({ match => 'list', add_total => 1, times => -1 });
	like(query_fails("$name: one user less than the total", all(), 'could not read the whole user directory'), qr/HINT:  Try again. If it stays so, check option total_member/, "$name: and what mends it");
	query_is("$name: but by address it may be that of all", "SELECT count(*) > 0 FROM total_$name.users WHERE email = '$address'", 't');
	$sim->clear_faults;
	query_is("$name: and right again", all(), '45|45');
}
directory('urls', "$list, paging 'cursor', next_member 'next', page_size '10'", users => 35, set => ['paging=url']);
for my $trick (qw(foreign_link other_path_link junk_next))
{
	$sim->fault({ match => 'list', trick => $trick });
	query_fails("a URL that is not what it should be: $trick", all(), 'server "urls"');
	$sim->clear_faults;
}
directory('circle', "$list, paging 'cursor', next_member 'next', page_size '10'", users => 35, set => ['paging=cursor']);
$sim->fault({ match => 'list', trick => 'same_next', times => -1 });
query_fails('a cursor that comes again', all(), 'could not read the whole user directory');

# ---- A directory that changes while it is read

for my $paging ('offset', 'page')
{
	directory("shift_$paging", "$list$columns$one$rule, paging '$paging', page_size '20'", users => 200, set => ["paging=$paging"]);
	is(refresh(), 'ok 200/0/0/0', "$paging: a refresh");
	for my $round (0 .. 5)
	{
		# users of the part that was read go away, so that others move into it
		$sim->fault({ match => 'list', after => 2 + $round, mutate => { delete_index => [ map { $_ + 6 * $round } 0 .. 5 ] } });
		my $status = refresh();
		like($status, qr{^(ok 0/0/\d+/0|HV00M)}, "$paging, round $round: complete, or an error");
		is(wrongly_marked(), '', "$paging, round $round: nobody is marked who is there");
		$sim->clear_faults;
	}
	like(refresh(), qr{^ok 0/0/\d+/0}, "$paging: and then all are marked who are gone");
	is(difference(), 0, "$paging: all is equal");
	is(sql("SELECT count(*) FROM $server.users_sync WHERE deleted_at IS NULL"), 200 - 36, "$paging: nobody else is marked");
}

# ---- Whom a refresh believes to be gone

directory('gone', "$list$columns, paging 'offset'", users => 40);
is(refresh(), 'ok 40/0/0/0', 'without user_path: a refresh');
$sim->remove('index/3', 2);
is(refresh(), 'held 0/0/0/2', 'who is missing stays');
like($said, qr/WARNING: .*held back 2 deletions in gone\.users_sync\nDETAIL:  Reason: the provider has no answer that means that a user does not exist\.\nHINT:  Say where one user is, .*user_path/, 'and it says how many, why, and what mends it');
is(last_run('note'), 'the provider has no answer that means that a user does not exist', 'as does the log');
is(tombstones(), '', 'nobody is marked');
like(sql(q(SELECT verdict, message, hint FROM neon_auth.check_server('gone') WHERE part = 'user')), qr/^none\|the provider cannot be asked for one user, so nobody is marked.*\|Say where one user is/, 'check_server says so, too');
query_is('by id without user_path', "SELECT count(*) FROM gone.users WHERE id = '" . id_of(9) . "'", '1', '2 list');
like($session->ask("SELECT neon_auth.sync_user('gone', 'x', 'gone.users_sync')"), qr/cannot be asked for one user/, 'sync_user says so');
alter("ADD user_path '/users/{id}'");
is(refresh(), 'held 0/0/0/2', 'with user_path alone it is the same');
like(sql(q(SELECT verdict, message, hint FROM neon_auth.check_server('gone') WHERE part = 'user')), qr/^warning\|a user of the list is found by id, but no answer means/, 'and check_server warns');
query_fails('nobody by id without a rule', "SELECT count(*) FROM gone.users WHERE id = 'nobody'", 'server "gone"');
like($session->ask("ALTER SERVER gone OPTIONS (ADD not_found_status '404')"), qr/ERROR: .*is not enough to tell.*HINT:  A proxy, or a path that is wrong/s, 'a status alone is no rule');
like($session->ask("ALTER SERVER gone OPTIONS (ADD not_found_member 'message', ADD not_found_value '$_')"), qr/ERROR: .*is not enough to tell.*HINT:  A proxy, or a path that is wrong/s, "nor what a proxy says with it: $_")
  for '404', 'Not Found', '404 Not Found', 'not_found';
alter("ADD not_found_member 'code', ADD not_found_value 'user_not_found'");
is(refresh(), 'ok 0/0/2/0', 'with a rule they are marked');
$sim->update('index/9', { state => 'deleted' });
is(refresh(), 'ok 0/0/1/0', 'who is kept as deleted');
query_is('when', "SELECT deleted_at = (raw_json ->> 'deleted_at')::timestamptz FROM gone.users WHERE id = '" . id_of(9) . "'", 't', '1 get');
my $marked = tombstones();
$sim->remove('index/12');
$sim->fault({ match => 'get', trick => 'proxy', times => -1 });
my $status = refresh();
unlike($status, qr{^ok 0/0/1}, "a proxy's 404 marks nobody ($status)");
is(tombstones(), $marked, 'nobody more');
$sim->clear_faults;
is(refresh(), 'ok 0/0/1/0', 'then he is');
$sim->fault({ match => 'list', empty => $true, times => -1 });
like(refresh(), qr{^(held|ok) 0/0/0/}, 'an empty directory marks nobody');
$sim->clear_faults;
directory('another_key', "$list$columns$one, paging 'offset'", users => 40, set => ['also=sk_test_y']);
is(refresh(), 'ok 40/0/0/0', 'without a rule: a refresh');
# those changed last are asked about first
$sim->remove('index/38', 2);
is(refresh(), 'held 0/0/0/2', 'two are missing');
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER another_key OPTIONS (SET api_key 'sk_test_y')");
sql("DELETE FROM neon_auth.held_deletion WHERE target = 'another_key.users_sync'::regclass");
is(refresh(), 'held 0/0/0/2', 'with another key, which finds some of the users');
directory('kept', "$list$columns, paging 'cursor', next_member 'next'", users => 10, set => ['paging=cursor']);
is(refresh(), 'ok 10/0/0/0', 'without lookups, who is kept as deleted');
$sim->update('index/4', { state => 'deleted' });
is(refresh(), 'ok 0/0/1/0', 'is found in the list');
is(tombstones(), id_of(4), 'and marked');

# ---- Options that decide what rows are like, or which directory it is

directory('shape', "$list, paging 'offset'", users => 20);
is(refresh(), 'ok 20/0/0/0', 'id and raw_json alone');
is(sql('SELECT count(name), count(email), count(created_at) FROM shape.users_sync'), '0|0|0', 'have no other column');
alter("ADD name_member 'first_name', ADD email_member 'email', ADD created_at_member 'created_at', ADD updated_at_member 'updated_at'");
like(refresh(), qr{^ok 0/20/0/0}, 'with members all rows are written again');
is(difference(), 0, 'and are as they are read');
is(refresh(), 'ok 0/0/0/0', 'and no second time');
alter("SET name_member 'last_name'");
like(refresh(), qr{^ok 0/[1-9]\d?/0/0}, 'with another member rows are written again that nobody has changed');
is(difference(), 0, 'and are as they are read');
is(sql("SELECT count(*) FROM shape.users_sync WHERE name IS DISTINCT FROM nullif(raw_json ->> 'last_name', '')"), 0, 'by that member');
alter("ADD id_member 'email'");
like($session->ask("CALL neon_auth.refresh_users_sync('shape', target => 'shape.users_sync')"), qr/ERROR: .*another (directory|server|tenant)|ERROR/, 'another id is another directory');
is(tombstones(), '', 'and marks nobody');

done_testing();
