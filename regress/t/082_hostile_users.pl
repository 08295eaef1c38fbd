
# Users whose JSON is hostile or odd: rows F21 to F25 of the fault matrix in each column,
# with SEC-17 and SEC-18.  Whoever cannot be held is left out, and nobody else is; what
# is held is as the provider has it, to the last digit; who is mended comes back by
# itself.  The depth of the readers is in the unit tests.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Faulty;
use NeonAuth::Matrix;
use NeonAuth::Providers;
use NeonAuth::Redis;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my ($users, $key, $marker) = (12, 'sk_canary_4711', 'MARKER_0815');
my $redis = start_redis();
my $sim = start_sim(users => $users, key => $key);
my $auth = start_sim(provider => 'better_auth', users => 3, key => $key);
my $firebase = start_provider('firebase', users => 3, key => $key);
my $node = new_node('hostile', urls => [ map { $_->url } $sim, $auth, $firebase ], conf => "timezone = 'UTC'\n");

add_server($node, $sim, schema => 'clerk', options => ", page_size '100'");
add_server($node, $sim, name => 'cached', schema => 'cached', options => ", redis_timeout '1min', redis_url '" . $redis->url . "'");
add_server($node, $auth, schema => 'better_auth');
add_server($node, $firebase, schema => 'firebase', options => $providers{firebase}{options});
begin_faults($node, $sim, table => 'clerk.users', target => 'clerk.users_sync', redis => $redis, secrets => [ $key, $marker ]);
repairs('before any hostile user');

# ---- What a hostile user is, and what becomes of it

my $times = '"created_at":1767225600001,"updated_at":1767225600001';

# The user's JSON: further members behind an id and times.
sub json_of { return qq({"id":"$_[0]",$times,$_[1]}); }

# All these users, by id: further members of them, and by row what becomes of them,
# the reason of being left out, or undef where they are held.
sub hostile_row
{
	my ($name, %cases) = @_;
	my %left_out = map { $_ => $cases{$_}[1] } grep { $cases{$_}[1] } keys %cases;
	my $number = keys %left_out;
	my $all = $users + keys(%cases) - $number;
	my $warned = qr/WARNING:  22000: left out a user of server "\w+" that PostgreSQL cannot hold\nDETAIL:  Reason: /;

	$sim->create_raw($cases{$_}[2] // json_of($_, $cases{$_}[0]), id => $_, created_at => 1767225600001) for sort keys %cases;
	row(
		$name,
		scan => sub {
			my $said = asked_of('SELECT count(*), count(raw_json) FROM clerk.users');

			is(($said =~ /^(\d+\|\d+)$/m)[0], "$all|$all", 'all others are there');
			is(scalar(() = $said =~ /$warned/g), $number ? 1 : 0, 'with one warning, where somebody is left out');
			for my $id (sort keys %left_out)
			{
				like(asked_of("SELECT id FROM clerk.users WHERE id = '$id'"), qr/\A(psql:\S+ )?$warned\Q$left_out{$id}\E/, "$id by id: left out, with the reason");
			}
		},
		'cached scan' => sub {
			is((asked_of(scan_of('cached')) =~ /^(\d+)$/m)[0], $all, "all others are there, $_") for 'read', 'out of the cache';
			$session->must(q(SELECT neon_auth.cache_clear('cached')));
		},
		refresh => sub {
			like(refreshed(), $number ? qr/^ok\|\d+\|\d+\|\d+\|0\|0\|$number\|/m : qr/^ok\|/m, 'the run is well, and says how many it left out');
			is($session->must('SELECT count(*) FROM clerk.users_sync WHERE deleted_at IS NULL'), $all, 'all others are there');
			is($session->must("SELECT string_agg(id || ': ' || reason, ', ' ORDER BY id COLLATE \"C\") FROM neon_auth.quarantined_user"),
				join(', ', map { "$_: $left_out{$_}" } sort keys %left_out), 'quarantined_user has the others, with the reason');
			unlike(asked_of('SELECT q FROM neon_auth.quarantined_user AS q'), qr/$marker/, 'and nothing of what they are');
			same_everywhere($_) for grep { !$left_out{$_} } sort keys %cases;
		},
		'mended' => sub {
			$sim->control('POST', "users/$_/update?raw=1", qq({"id":"$_",$times,"first_name":"Mended"})) for sort keys %left_out;
			repairs('everybody is mended');
			is($session->must('SELECT count(*) FROM neon_auth.quarantined_user'), 0, 'nobody is left in quarantine');
			is($session->must(q(SELECT count(*) FROM clerk.users_sync WHERE name = 'Mended' AND deleted_at IS NULL)), $number, 'all of them are there');
			$sim->remove($_) for sort keys %cases;
			# that many are never gone at a time
			my $said = refreshed();
			$said = $session->ask('CALL neon_auth.refresh_users_sync(\'clerk\', target => \'clerk.users_sync\', approve_deletions => ' . keys(%cases) . ')') if $said =~ /^held/;
			like($said, qr/^ok\|/, 'and gone');
			$session->must('DELETE FROM clerk.users_sync WHERE deleted_at IS NOT NULL');
			repairs('after them');
		});
	return;
}

# A user is the same in the table, in a scan and in a scan of what is cached.
sub same_everywhere
{
	my ($id) = @_;
	my @texts = map { $session->ask("SELECT raw_json, name, email, created_at, updated_at FROM $_ WHERE id = '$id'") } qw(clerk.users_sync clerk.users cached.users cached.users);

	is(join("\n", @texts[ 1 .. 3 ]), join("\n", ($texts[0]) x 3), "$id is the same everywhere") and length $texts[0] or fail("$id is nowhere");
	return;
}

# ---- F21: texts that PostgreSQL cannot hold

my $not_jsonb = 'PostgreSQL cannot hold it as jsonb';
my $not_utf8 = 'it is not valid UTF-8';
my %texts = (
	nul => [ '\u0000', $not_jsonb ],
	high => [ '\ud83d', $not_jsonb ],
	low => [ '\ude00', $not_jsonb ],
	swapped => [ '\ude00\ud83d', $not_jsonb ],
	byte => [ "\xff", $not_utf8 ],
	half => [ "\xc3", $not_utf8 ],
	overlong => [ "\xc0\xaf", $not_utf8 ],
	cesu => [ "\xed\xa0\xbd\xed\xb8\x80", $not_utf8 ],
	high_plane => [ "\xf4\x90\x80\x80", $not_utf8 ],
	noncharacter => [ "\xef\xbf\xbe\\uffff", undef ],
	pair => [ '\ud83d\ude00', undef ]);
my %where = (
	name => sub { return qq("first_name":"$marker$_[0]") },
	mail => sub { return qq("primary_email_address_id":"e","email_addresses":[{"id":"e","email_address":"$_[0]\@example.com"}]) },
	deep => sub { return qq("public_metadata":{"a":[{"b":"$marker$_[0]"}]}) },
	key => sub { return qq("public_metadata":{"a":{"$marker$_[0]":1}}) });
my %of_texts;
for my $text (sort keys %texts)
{
	my ($value, $reason) = @{ $texts{$text} };
	$of_texts{"user_${text}_$_"} = [ $where{$_}->($value), $reason ] for sort keys %where;
}
hostile_row('F21', %of_texts);

# who has such an id has none, and may be anybody: nobody can be said to be missing
row(
	'F21', 'in ids',
	map {
		my ($column, $sql) = @$_;

		$column => sub {
			my @raw = map { $sim->create_raw(qq({"id":"$_",$times}), id => 'raw_' . unpack('H*', $_), created_at => 1767225600001)->{id} } map { $_->[0] } @texts{qw(nul high byte)};
			my $gone = (grep { !$_->{deleted} } @{ $sim->users })[4]{id};
			my $before = marked('clerk.users_sync');

			$sim->remove($gone);
			like(asked_of($sql), $column eq 'scan' ? qr/^11$/m : qr/^held\|0\|0\|\d+\|0\|1\|3\|/m, 'all others are there');
			is(marked('clerk.users_sync'), $before, 'nobody is marked as deleted');
			$sim->remove($_) for @raw;
			$sim->create({});
			repairs('when they are gone');
			cmp_ok(marked('clerk.users_sync'), '>', $before, 'who is gone is marked then');
		}
	} [ scan => scan_of('clerk') ], [ refresh => refresh_of('clerk') ]);

# ---- F22: numbers

my $out_of_bounds = 'it has a number out of bounds';
my $thirty = '0.123456789012345678901234567891';
my %numbers = (
	'2_63' => ['9223372036854775808'],
	'2_64' => ['18446744073709551616'],
	minus_2_63 => ['-9223372036854775809'],
	minus_0 => [ '-0', '0' ],
	minus_zero => [ '-0.0', '0.0' ],
	tiny => [ '1e-400', '0.' . '0' x 399 . '1' ],
	huge => [ '1e400', '1' . '0' x 400 ],
	thirty => [$thirty],
	digits => [ '1' x 128 ]);
my %too_much = (
	long => '1' x 129, huge => '1e401', tiny => '1e-401', absurd => '1e400000000', most => '1e99999999999999999999', zero => '0e999999999');
hostile_row(
	'F22',
	(map { ("user_$_" => [ qq("public_metadata":{"n":[$numbers{$_}[0]]}), undef ]) } keys %numbers),
	(map { ("user_too_$_" => [ qq("public_metadata":{"n":[$too_much{$_}],"$marker":1}), $out_of_bounds ]) } keys %too_much));
row(
	'F22', 'to the last digit',
	map {
		my ($column, $table) = @$_;

		$column => sub {
			my $what = $table =~ /sync/ ? sub { refreshed() } : sub { };

			$sim->create_raw(json_of("user_$_", qq("public_metadata":{"n":[$numbers{$_}[0]]})), id => "user_$_", created_at => 1767225600001) for sort keys %numbers;
			$what->();
			for my $id (sort keys %numbers)
			{
				is(asked_of("SELECT raw_json -> 'public_metadata' ->> 'n' FROM $table WHERE id = 'user_$id'"), '[' . ($numbers{$id}[1] // $numbers{$id}[0]) . ']', "the number $numbers{$id}[0]");
			}
			$sim->remove("user_$_") for sort keys %numbers;
			$what->();
		}
	} [ scan => 'clerk.users' ], [ refresh => 'clerk.users_sync' ]);

# ---- F23: shape

sub nested { return '"public_metadata":' . '[' x ($_[0] - 1) . ']' x ($_[0] - 1); }

my $deep = 'it nests too deep';
my $twice = 'its id or one of its times stands twice';
hostile_row(
	'F23',
	user_64 => [ nested(64), undef ],
	user_65 => [ nested(65), $deep ],
	user_2049 => [ nested(2049), $deep ],
	user_million => [ nested(1_000_000), $deep ],
	user_time_twice => [ '"updated_at":1', $twice ],
	# the last one counts, for jsonb as for JSON
	user_name_twice => [ '"first_name":"One","first_name":"Two"', undef ],
	user_deeper_twice => [ '"public_metadata":{"a":1,"a":2}', undef ]);

# A page that is not what it should be is no page.
my $unreadable = 'HV00M: could not read the reply of the provider';
my $page = '[{"id":"user_one","created_at":1}]';
my %pages = (
	'a BOM' => "\x{feff}$page",
	'bytes behind it' => "$page x",
	'two of them' => "$page$page",
	'a million brackets' => '[' x 1_000_000,
	'a million brackets, closed' => '[' x 500_000 . ']' x 500_000,
	'a comma at its end' => '[{"id":"user_one"},]',
	'an id twice, cut' => '[{"id":"user_one","id":"user_two"');

for my $what (sort keys %pages)
{
	fault_row('F23', "a page with $what", fault => { body => $pages{$what} }, error => $unreadable, requests => 1);
}
row('F23', 'many times', 'both columns' => sub {
		$sim->create_raw(json_of('user_million', nested(1_000_000)), id => 'user_million', created_at => 1767225600001);
		flat('a user that nests a million deep', 10, $_) for scan_of('clerk'), refresh_of('clerk');
		$sim->remove('user_million');
		repairs('without such a user');
	});

# ---- F24: times, by provider

my $bad_time = 'its modification time cannot be read';

# Each row: the time as it is sent, and as it is held, or nothing where the user is left
# out.  Where the provider has no time of change there is none, or that of the run.
my %readers = (
	clerk => {
		sim => $sim,
		columns => 'id, name, email, raw_json, created_at',
		json => sub { return qq({"id":"$_[0]","created_at":$_[1],"updated_at":$_[1]}) },
		times => {
			's' => [ '1700000000', '1970-01-20 16:13:20+00' ],
			'ms' => [ '1700000000123', '2023-11-14 22:13:20.123+00' ],
			'us' => ['1700000000123456'],
			'0' => [ '0', '1970-01-01 00:00:00+00' ],
			'minus' => [ '-1', '1969-12-31 23:59:59.999+00' ],
			'max' => ['9223372036854775807'],
			'above' => ['9223372036854775808'],
			'min' => ['-9223372036854775808'],
			'text' => ['"1700000000123"'],
			'half' => ['1.5'],
			'exponent' => ['17e11'],
			'boolean' => ['true'],
			'null' => [ 'null', '' ]
		}
	},
	better_auth => {
		sim => $auth,
		json => sub { return qq({"id":"$_[0]","name":"x","email":"$_[0]\@example.com","createdAt":$_[1],"updatedAt":$_[1]}) },
		times => {
			'ms' => [ '"2023-11-14T22:13:20.123Z"', '2023-11-14 22:13:20.123+00' ],
			'us' => [ '"2023-11-14T22:13:20.123456+01:00"', '2023-11-14 21:13:20.123456+00' ],
			'9999' => [ '"9999-12-31T23:59:59Z"', '9999-12-31 23:59:59+00' ],
			'0' => [ '"1970-01-01T00:00:00Z"', '1970-01-01 00:00:00+00' ],
			'never' => ['"2023-02-30T00:00:00Z"'],
			'words' => ['"yesterday"'],
			'number' => ['1700000000123'],
			'digits' => ['"1700000000123"']
		}
	},
	firebase => {
		sim => $firebase,
		reason => 'its creation time cannot be read',
		columns => "id, name, email, raw_json - '{lastLoginAt,lastRefreshAt}'::text[], created_at",
		json => sub { return qq({"localId":"$_[0]","createdAt":$_[1]}) },
		times => {
			'ms' => [ '"1700000000123"', '2023-11-14 22:13:20.123+00' ],
			'0' => [ '"0"', '1970-01-01 00:00:00+00' ],
			'max' => ['"9223372036854775807"'],
			'above' => ['"9223372036854775808"'],
			'half' => ['"1.5"'],
			'number' => ['1700000000123']
		}
	});

# The users with these times are in the table, and nobody else of them.
sub times_are
{
	my ($table, $expected) = @_;
	my $said = asked_of("SELECT id, created_at FROM $table WHERE id LIKE 't\\_%' AND (created_at = updated_at OR created_at IS NULL OR '$table' ~ 'firebase')");
	my %found = $said =~ /^(t_\w+)\|(.*)$/mg;

	is_deeply(\%found, { map { $_ => $expected->{$_} } grep { defined $expected->{$_} } keys %$expected }, 'times are right, or nobody has them');
	return;
}

for my $name (sort keys %readers)
{
	my ($provider, $json, $cases) = @{ $readers{$name} }{qw(sim json times)};
	my %expected = map { ("t_$_" => $cases->{$_}[1]) } keys %$cases;
	my $left_out = join(' ', sort grep { !defined $expected{$_} } keys %expected);
	my %synced = (server => $name, target => "$name.users_sync", table => "$name.users", ($readers{$name}{columns} ? (columns => $readers{$name}{columns}) : ()));

	$provider->create_raw($json->("t_$_", $cases->{$_}[0]), id => "t_$_", created_at => 1767225600001, updated_at => 1767225600001) for sort keys %$cases;
	row(
		'F24', $name,
		scan => sub { times_are("$name.users", \%expected) },
		refresh => sub {
			like(refreshed(%synced), qr/^ok\|/, 'the run is well');
			times_are("$name.users_sync", \%expected);
			is($session->must("SELECT string_agg(id, ' ' ORDER BY id COLLATE \"C\") FROM neon_auth.quarantined_user WHERE target = '$name.users_sync'::regclass AND reason = '" . ($readers{$name}{reason} // $bad_time) . q(')),
				$left_out, 'and whose cannot be read are left out');

			# mended where they were wrong
			for my $case (grep { !defined $cases->{$_}[1] } sort keys %$cases)
			{
				$provider->control('POST', "users/t_$case/update?raw=1&updated_at=1767225600002", $json->("t_$case", $cases->{ms}[0]));
			}
			repairs('everybody is mended', %synced);
			times_are("$name.users_sync", { map { $_ => $expected{$_} // $cases->{ms}[1] } keys %expected });
		});
	$provider->remove("t_$_") for sort keys %$cases;
	$session->must("DELETE FROM $name.users_sync WHERE id LIKE 't\\_%'");
}

# ---- F25: size

my $large = 'it is larger than 1 MB';
my $long_name = 'x' x (5 * 1024 * 1024);
my $mails = join(',', map { qq({"id":"e$_","email_address":"$_\@example.com"}) } 1 .. 100_000);
my %sizes = (
	user_name => [ qq("first_name":"$long_name"), $large ],
	user_mails => [ qq("email_addresses":[$mails]), $large ],
	user_many_mails => [ qq("primary_email_address_id":"e9000","email_addresses":[) . join(',', (split /(?<=\}),/, $mails)[ 0 .. 8999 ]) . ']', undef ],
	user_just => [ '"private_metadata":{"a":"' . 'x' x (1024 * 1024 - 200) . '"}', undef ]);
hostile_row('F25', %sizes);
row('F25', 'many times', 'both columns' => sub {
		$sim->create_raw(json_of('user_name', $sizes{user_name}[0]), id => 'user_name', created_at => 1767225600001);
		flat('a user of 5 MiB', 5, $_) for scan_of('clerk'), refresh_of('clerk');
		$sim->remove('user_name');
		repairs('without such a user');
	});

no_canary();
no_crash();
$node->stop;
done_testing();
