
# Answers of a provider that are errors, lies, or no listing: rows F9 to F20 and F26 of
# the fault matrix in each column, with B18, B20 to B22, REL-27, SYNC-4 and SEC-16, which
# they are about.  The depth is in 001, 009, 013, 020, 024, 035, 052 and the tests of
# each provider.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use NeonAuth::Faulty;
use NeonAuth::Matrix;
use NeonAuth::Redis;
use NeonAuth::Test;
use NeonAuth::Wire;
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 25;
my $key = 'sk_canary_4711';
my $true = JSON::PP::true;
my $redis = start_redis();
my $elsewhere = start_wire();
my $sim = start_sim(users => $users, key => $key);
my %others = (
	better_auth => start_sim(provider => 'better_auth', users => 40, key => $key),
	stack => start_sim(provider => 'stack', users => 60, key => $key));
my $node = new_node('answers', urls => [ map { $_->url } $sim, values %others ]);

# ---- Servers: "old" has cached users who are not fresh any more

my $ample = "page_size '10', connect_timeout '10min', request_timeout '10min', scan_timeout '1h', refresh_timeout '1h'";
my $cached = "cache_ttl '1ms', cache_stale_ttl '1h', redis_timeout '1min', redis_url '" . $redis->url . "'";

add_server($node, $sim, name => 'clerk', schema => 'clerk', options => ", $ample");
add_server($node, $sim, name => 'old', schema => 'old', options => ", $ample, $cached");
add_server($node, $others{better_auth}, schema => 'better_auth', options => ", $ample");
add_server($node, $others{stack}, schema => 'stack', options => ", $ample, project_id '11111111-2222-4333-8444-555555555555'");
begin_faults($node, $sim, table => 'clerk.users', target => 'clerk.users_sync', redis => $redis);
like(asked_of(refresh_of($_)), qr/^ok\|\d+\|/, "$_ has users") for 'clerk', 'old', sort keys %others;

# Where old users are cached, a scan during this fault gives them with one warning, or
# the error.
sub cached_row
{
	my ($name, $what, $fault, $error) = @_;

	row(
		$name, $what,
		'scan with a cache' => sub {
			# what others were told of the provider, too
			$redis->ask('FLUSHALL');
			my $count = asked_of(scan_of('old'));

			$sim->fault({ match => 'list', times => -1, %$fault });
			my $said = asked_of(scan_of('old'));
			$sim->clear_faults;
			if ($error)
			{
				like($said, qr/\A(psql:\S+ )?ERROR:  $error/, "$what: no old users");
			}
			else
			{
				is(($said =~ /^(\d+)$/m)[0], $count, "$what: old users");
				is(scalar(() = $said =~ /WARNING:  01000: users of server "old" are \d+ s old/g), 1, "$what: with one warning");
				unlike($said, qr/ERROR:/, "$what: and no error");
			}
		});
	return;
}

# ---- F9 and F10: no users for us

my %refused = (
	'F9 401' => [ { status => 401 }, '28000: the provider of server "\w+" did not accept the credential' ],
	'F9 403' => [ { status => 403 }, '42501: the provider of server "\w+" does not let this credential read users' ],
	'F10 404' => [ { status => 404 }, 'HV00L: the provider of server "\w+" has no user directory at this address' ],
	'F10 404 with the code of a missing user (B18)' =>
	  [ { status => 404, body => '{"errors":[{"code":"resource_not_found","message":"sk_canary_4711"}]}' }, 'HV00L: the provider of server "\w+" has no user directory at this address' ]);

for my $row (sort keys %refused)
{
	my ($name, $what) = split / /, $row, 2;
	my ($fault, $error) = @{ $refused{$row} };

	fault_row($name, $what, fault => $fault, error => $error, requests => 1);
	cached_row($name, $what, $fault, $error);
}

# ---- F11: told to come back later

my $busy = '53400: the provider of server "\w+" takes no more requests for now';
my $counted = qr/\A\d+\z/;
my $ran = qr/\Aok\|/;

sub http_date { return strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time() + $_[0])); }

# One column each in which it happens once, and the run resumes; in the simulator's
# own reply the clock is right.
sub resumes
{
	my ($name, $what, $faults, $requests) = @_;

	row(
		$name, $what,
		scan => sub {
			my $count = asked_of(scan_of('clerk'));

			$sim->fault($faults);
			$sim->reset_stats;
			is(asked_of(scan_of('clerk')), $count, "$what: all users");
			is($sim->stats->{list}, $requests->[0], "$what: requests");
		},
		refresh => sub {
			change_directory();
			$sim->fault($faults);
			like(asked_of(refresh_of('clerk')), $ran, "$what: it resumes");
			is(last_run('clerk', 'status, retries'), "ok $requests->[1]", "$what: retries");
			repairs($what, mode => 'full');
		});
	return;
}

resumes('F11', 'Retry-After: 0', [ map { { match => 'list', status => 429, headers => { 'Retry-After' => '0' } } } 1 .. 3 ], [ 6, 3 ]);
resumes('F11', 'Retry-After: 1', [ { match => 'list', after => 1, status => 429, headers => { 'Retry-After' => '1' } } ], [ 4, 1 ]);
resumes('F11', 'Retry-After: a date that is past', [ { match => 'list', status => 429, headers => { 'Retry-After' => http_date(-100000) } } ], [ 4, 1 ]);
resumes('F11', 'Retry-After: garbage', [ { match => 'list', status => 429, headers => { 'Retry-After' => 'soon' } } ], [ 4, 1 ]);
row(
	'F11', 'Retry-After: a date that is near',
	map {
		my ($column, $sql, $expected) = @$_;

		$column => sub {
			$sim->fault({ match => 'list', status => 429, headers => { 'Retry-After' => http_date(2) } });
			like(asked_of($sql), $expected, 'it resumes');
		}
	} [ scan => scan_of('clerk'), $counted ], [ refresh => refresh_of('clerk'), $ran ]);

# beyond what is left: no wait at all, nor another request
for my $value ('5', '1000000000', '99999999999999999999', http_date(1000000))
{
	fault_row('F11', "Retry-After: $value", fault => { status => 429, headers => { 'Retry-After' => $value } },
		options => { scan_timeout => '4s', refresh_timeout => '4s' }, error => $busy, requests => 1);
}
fault_row('F11', 'always garbage', fault => { status => 429, headers => { 'Retry-After' => "\x{fffd} 0" } }, error => $busy, requests => 4);
row(
	'F11', 'a long back-off, cancelled',
	map {
		my ($column, $sql) = @$_;

		$column => sub {
			unchanged_by("a cancelled $column", sub {
				cancel_within("a $column in its back-off", 250, $sql,
					before => sub { $sim->reset_stats; $sim->fault({ match => 'list', times => -1, status => 429, headers => { 'Retry-After' => '600' } }) },
					waits => sub { return $sim->stats->{faults} },
					after => sub { $sim->clear_faults });
			});
		}
	} [ scan => scan_of('clerk') ], [ refresh => refresh_of('clerk') ]);

# ---- F12: trouble at the provider

my $unavailable = 'HV00L: the provider of server "\w+" is not available';

# What REL-27 leaves out is 500, which says nothing of being over soon.
fault_row('F12', '500 once (REL-27)', fault => { status => 500, times => 1 }, error => $unavailable, requests => 1);
resumes('F12', '502, 503 and 504, once each', [ map { { match => 'list', status => $_ } } 502 .. 504 ], [ 6, 3 ]);
fault_row('F12', '502, 503 and 504 without end', fault => [ map { { status => $_, times => $_ == 504 ? -1 : 1 } } 502 .. 504 ], error => $unavailable, requests => 4);
cached_row('F12', '503 always', { status => 503 });
cached_row('F12', '500 once', { status => 500 });

# ---- F13: another address

my $redirects = 'HV00L: the provider of server "\w+" redirects to another address';

for my $target ($elsewhere->url . '/v1/users', '//127.0.0.1:' . $elsewhere->port . '/', 'https://127.0.0.1:' . $elsewhere->port . '/', 'file:///etc/passwd', '/v1/users')
{
	my $what = $target =~ s/\d{5}/PORT/r;

	fault_row('F13', "302 to $what", fault => { redirect => $target }, error => $redirects, requests => 1);
}
for my $status (301, 307)
{
	fault_row('F13', "$status elsewhere", fault => { redirect => $elsewhere->url, status => $status }, error => $redirects, requests => 1);
}
row('F13', 'both columns' => sub { is($elsewhere->connections, 0, 'nobody was connected to where they lead') });

# ---- F14: status 200, and no listing

my $unreadable = 'HV00M: could not read the reply of the provider';
my %no_listing = (
	'HTML' => { body => '<!DOCTYPE html><p>sk_canary_4711', content_type => 'text/html' },
	'nothing' => { body => '' },
	'{}' => { body => '{}' },
	'null' => { body => 'null' },
	'an error object' => { body => '{"errors":[{"code":"internal_clerk_error","message":"sk_canary_4711"}]}' });

for my $what (sort keys %no_listing)
{
	fault_row('F14', $what, fault => $no_listing{$what}, error => $unreadable, requests => 1);
	fault_row('F14', "$what, second page", fault => { after => 1, %{ $no_listing{$what} } }, error => $unreadable, requests => 2, writes => 1);
}

# ---- F15 and F16: less than there is

# A refresh that is well but for those who seem to be gone: it holds them, and
# nobody is marked; a scan gives what the provider says.
my $held = qr/^held\|/m;
my $empty = qr/Reason: the directory is empty\..*^held\|/ms;

fault_row('F15', 'an empty list (B20, B21)', fault => { empty => $true }, scan => qr/\A0\z/, refresh => $empty, writes => 1);
fault_row('F15', 'an empty list, first page', fault => { body => '[]' }, scan => qr/\A0\z/, refresh => $empty, writes => 1);
fault_row('F16', 'the last page is missing', fault => { after => 1, truncate_page => 0 }, scan => qr/\A10\z/, refresh => $held, writes => 1);
fault_row('F16', 'the page before it is cut', fault => { truncate_page => 9, times => 1 }, scan => qr/\A9\z/, refresh => $held, writes => 1);

# where the provider tells where the end is, it is an error
my $incomplete = 'HV00M: could not read the whole user directory';
my %better_auth = (server => 'better_auth', sim => $others{better_auth});
fault_row('F16', 'Better Auth, a page too short', %better_auth, fault => { after => 1, truncate_page => 3 }, error => $incomplete, writes => 1);
fault_row('F16', 'Better Auth, nothing after the first page', %better_auth, fault => { after => 1, empty => $true }, error => $incomplete, writes => 1);
my %stack = (server => 'stack', sim => $others{stack}, columns => "id, name, email, raw_json - 'last_active_at_millis', created_at");
my $no_end = '{"items":[],"is_paginated":true,"pagination":{}}';
fault_row('F16', 'Stack Auth, no mark of the end', %stack, fault => { after => 1, body => $no_end }, error => $unreadable, writes => 1);

# ---- SYNC-4: how many are too many

row(
	'SYNC-4', 'the count approves, and nothing looser (B21)',
	refresh => sub {
		my $run = sub { return asked_of(refresh_of('clerk') =~ s/, mode/, approve_deletions => $_[0], mode/r) };
		my $gone = 10;
		my @live = grep { !$_->{deleted} } @{ $sim->users };
		my $before = marked('clerk.users_sync');

		$sim->remove($_->{id}) for @live[ 0 .. $gone - 1 ];
		like(asked_of(refresh_of('clerk')), $held, 'ten of 25 are held');
		is(marked('clerk.users_sync'), $before, 'nobody is marked');
		like($run->($_), qr/ERROR:  22023:/, "approving $_ is refused") for $gone - 1, $gone + 1, 100;
		is(marked('clerk.users_sync'), $before, 'still nobody is marked');
		like($run->($gone), $ran, 'approving their number');
		is(marked('clerk.users_sync'), $before + $gone, 'marks them');
		$sim->create({ name => "Instead $_" }) for 1 .. $gone;
		repairs('approved', mode => 'full');
	});

# ---- F17 to F20: listings in movement, or in pieces

# The listing of a provider, in its order, as indexes.
sub places
{
	my ($server, $provider, @places) = @_;
	my @ids = split /\n/, asked_of("SELECT id FROM $server.users");

	return [ map { $provider->user($ids[$_])->{index} } @places ];
}

# Users are deleted and created behind the first page: all who were there all along
# are read, once each; nobody who is live is marked; and the next run repairs.
sub moving_row
{
	my ($name, $what, $server, $provider, @places) = @_;
	my $move = sub {
		return { match => 'list', after => 1, mutate => { delete_index => places($server, $provider, @places), create => [ map { { name => "$what $_" } } 1 .. @places ] } };
	};

	row(
		$name, $what,
		scan => sub {
			my $fault = $move->();
			my @gone = map { $provider->user("index/$_")->{id} } @{ $fault->{mutate}{delete_index} };
			my @before = split /\n/, asked_of("SELECT id FROM $server.users");

			$provider->fault($fault);
			my @read = split /\n/, asked_of("SELECT id FROM $server.users");
			my %read = map { $_ => 1 } @read, @gone;
			is(scalar(keys %{ { map { $_ => 1 } @read } }), scalar @read, "$what: nobody twice");
			is(join(' ', grep { !$read{$_} } @before), '', "$what: and all who were there all along");
		},
		refresh => sub {
			$provider->fault($move->());
			like(asked_of(refresh_of($server)), qr/^(ok|held)\|/m, "$what: it is well");
			is(wrongly_marked("$server.users_sync", $provider), '', "$what: nobody who is live is marked");
			repairs($what, server => $server, target => "$server.users_sync", table => "$server.users", mode => 'full', columns => $stack{columns});
		});
	return;
}

moving_row('F17', 'the user of the cursor is deleted', 'stack', $others{stack}, 10);
moving_row('F17', 'and the last one before', 'stack', $others{stack}, 9, 10);
moving_row('F18', 'users before the next page are deleted (B22)', 'better_auth', $others{better_auth}, 2, 5);
moving_row('F18', 'at both sides of a page', 'better_auth', $others{better_auth}, 9, 10);

fault_row('F19', 'the first page again', fault => { after => 1, repeat_page => $true }, error => $incomplete, writes => 1);
my @first = split /\n/, asked_of('SELECT id FROM stack.users LIMIT 10');
fault_row('F19', 'Stack Auth, the same cursor again', %stack, error => 'HV00M: ', writes => 1,
	fault => { after => 1, body => qq({"items":[{"id":"$first[0]"}],"is_paginated":true,"pagination":{"next_cursor":"$first[0]"}}) });

fault_row('F20', 'the second page fails', fault => { after => 1, status => 500 }, error => $unavailable, requests => 2, writes => 1);
row(
	'F20', 'the first page is enough',
	scan => sub {
		$sim->fault({ match => 'list', times => -1, after => 1, status => 500 });
		$sim->reset_stats;
		is(asked_of('SELECT count(*) FROM (SELECT id FROM clerk.users LIMIT 10) u'), 10, 'a LIMIT that it meets');
		is($sim->stats->{list}, 1, 'asks for no other');
		$sim->clear_faults;
	});

# ---- F26: addresses that would be something else in a URL

# An address, and how many pages of the list are asked for: one of those who have it;
# all, to be looked through here; or none, for nobody has it.
my $odd = q(a+b'%0d%0a&x=1#/../?@example.com);

$sim->create({ id => 'user_odd', email => $odd });
for my $case (
	[ $odd, 1 ],
	[ "a\r\nX-Evil: 1\r\n\r\n\@example.com", 3 ],
	[ 'a&limit=500@example.com', 1 ],
	[ '..%2f..@example.com', 1 ],
	[ "\x{c3}\x{bc}\@example.com", 1 ],
	[ 'x' x 65536 . '@example.com', 0 ])
{
	my ($address, $pages) = @$case;
	my $literal = $address =~ s/(['\\])/\\$1/gr =~ s/\r/\\r/gr =~ s/\n/\\n/gr;

	row(
		'F26',
		substr($address, 0, 40) =~ s/[^ -~]/?/gr,
		scan => sub {
			$sim->reset_stats;
			is(asked_of("SELECT id FROM clerk.users WHERE email = E'$literal'"), $address eq $odd ? 'user_odd' : '', 'the user of this very address, or nobody');
			my $stats = $sim->stats;

			is($stats->{list}, $pages, 'pages');
			is($stats->{rejected} + $stats->{get} + $stats->{other}, 0, 'and no other request comes of it');
			return unless $pages == 1;
			my ($sent) = ($stats->{last_target} =~ m{\A/v1/users\?[A-Za-z0-9._~=&-]*&email_address=([A-Za-z0-9%._~-]*)\z}, 'another URL');
			is($sent =~ s/%([0-9A-F]{2})/chr(hex($1))/ger, $address, 'with this value, encoded (SEC-16)');
		});
}
$sim->remove('user_odd');

# the last one, since the session remembers it
cached_row('F11', 'Retry-After: 1000000000', { status => 429, headers => { 'Retry-After' => '1000000000' } });
repairs('odd addresses', mode => 'full');

no_canary();
no_crash();
$node->stop;
done_testing();
