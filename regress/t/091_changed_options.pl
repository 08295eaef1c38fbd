
# Options that change while a query or a refresh goes on, and between two of them: row F47
# of the fault matrix; and a key of another directory: row F48.  What has begun ends with
# what it began with, the next one has what is new, and nobody is marked as deleted whom
# his own directory has.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Hanging;
use NeonAuth::Matrix;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $days = 24 * 60 * 60;
my $users = 60;
my ($key, $strange_key) = ('sk_canary_of_ours', 'sk_canary_of_others');
my $sim = start_sim(users => $users, key => $key, clock => (time() - 30 * $days) * 1000);
my $stranger = start_sim(users => 30, seed => 2, key => $strange_key);
my $node = new_node('changed', urls => [ $sim->url, $stranger->url ], conf => "log_statement = none\n");
my $target = 'neon_auth.users_sync';

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub make_server
{
	sql(qq(CREATE SERVER clerk FOREIGN DATA WRAPPER neon_auth_fdw OPTIONS (provider 'clerk', url '@{[ $sim->url ]}', page_size '20')));
	sql("CREATE USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (api_key '$key')");
	sql('CREATE SCHEMA IF NOT EXISTS app; IMPORT FOREIGN SCHEMA directory FROM SERVER clerk INTO app');
	return;
}

make_server();
begin_matrix($node, secrets => [ $key, $strange_key ]);
like(refreshed(), qr/^ok\|$users\|/, 'a first refresh');

sub mapping { return "ALTER USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (SET api_key '$_[0]')"; }
sub url { return "ALTER SERVER clerk OPTIONS (SET url '" . $_[0]->url . "')"; }

my $refresh = q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full'));
my $changes = 0;

# Something for a run to do: in its first page and in its last.
sub change
{
	$sim->update("index/$_", { name => 'Name ' . ++$changes }) for 1, $users - 2;
	return;
}

# Who is marked; the directory has everybody.
sub marked { return sql("SELECT count(*) FROM $target WHERE deleted_at IS NOT NULL"); }

# The session of somebody else, who does not wait for long.
sub try_sql
{
	my ($sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET lock_timeout = '100ms'; $sql");

	heard($err);
	return $status == 0 ? $out : $err;
}

# What is changed, how, and back; what the next query and the next refresh say then, if
# they do not do as ever.
my @changes = (
	{
		name => 'the URL, to another directory',
		sql => url($stranger) . ';' . mapping($strange_key),
		back => url($sim) . ';' . mapping($key),
		query => qr/^30$/,
		refresh => qr/ERROR:  55000: table $target holds the users of another provider or URL/
	},
	{
		name => 'the key, to one that is not accepted',
		sql => mapping('sk_test_wrong'),
		back => mapping($key),
		query => qr/ERROR:  28000:/,
		refresh => qr/ERROR:  28000:/
	},
	{
		name => 'the provider',
		sql => q(ALTER SERVER clerk OPTIONS (SET provider 'better_auth')),
		back => q(ALTER SERVER clerk OPTIONS (SET provider 'clerk')),
		query => qr/ERROR:  HV\w{3}:/,
		refresh => qr/ERROR:  55000: table $target holds the users of another provider or URL/
	},
	{
		name => 'the page size',
		sql => q(ALTER SERVER clerk OPTIONS (SET page_size '7')),
		back => q(ALTER SERVER clerk OPTIONS (SET page_size '20'))
	},
	{
		name => 'what is left out of raw_json',
		sql => q(ALTER SERVER clerk OPTIONS (ADD redact 'public_metadata')),
		back => 'ALTER SERVER clerk OPTIONS (DROP redact)'
	},
	{
		name => 'the mapping, which is dropped',
		sql => 'DROP USER MAPPING FOR CURRENT_USER SERVER clerk',
		back => "CREATE USER MAPPING FOR CURRENT_USER SERVER clerk OPTIONS (api_key '$key')",
		query => qr/ERROR:  42704: role "\w+" has no user mapping for server "clerk"/,
		refresh => qr/ERROR:  42704: role "\w+" has no user mapping for server "clerk"/
	});

sub query_during
{
	my ($change) = @_;
	my $session = new_session($node);

	like($session->must('BEGIN; DECLARE c CURSOR FOR SELECT id FROM app.users; FETCH 5 FROM c'), qr/^(user_\w+\n?){5}$/, 'a query has begun');
	sql($change->{sql});
	my @rest = split /\n/, $session->must('FETCH ALL FROM c');
	is(scalar(@rest), $users - 5, 'it ends with what it began with');
	my %own = map { $_->{id} => 1 } @{ $sim->users };
	is(join(' ', grep { !$own{$_} } @rest), '', 'with users of one directory');
	$session->must('COMMIT');
	like($session->ask('SELECT count(*) FROM app.users'), $change->{query} // qr/^$users$/, 'the next one has the change');
	sql($change->{back});
	is($session->must('SELECT count(*) FROM app.users'), $users, 'and back again');
	return;
}

sub refresh_during
{
	my ($change) = @_;

	change();
	my $run = hang_refresh($node, $sim, { match => 'list', after => 1 }, $refresh);
	sql($change->{sql});
	like($run->release, qr/^ok\|0\|2\|/m, 'a refresh ends with what it began with');
	is(marked(), '0', 'nobody is marked as deleted');

	change();
	if ($change->{refresh})
	{
		my $said = unchanged_by("after a change of $change->{name}", sub { return refreshed(mode => 'full') });
		like($said, $change->{refresh}, 'the next one is refused');
	}
	else
	{
		like(refreshed(mode => 'full'), qr/^ok\|0\|\d+\|/, 'the next one has the change');
	}
	is(marked(), '0', 'and nobody is marked as deleted');
	sql($change->{back});
	repairs("$change->{name}, and back");
	is(marked(), '0', 'nobody ever was');
	return;
}

for my $change (@changes)
{
	row('F47', $change->{name}, scan => sub { query_during($change) }, refresh => sub { refresh_during($change) });
}

row('F47', 'the server, which is dropped',
	scan => sub {
		my $session = new_session($node);

		$session->must('BEGIN; DECLARE c CURSOR FOR SELECT id FROM app.users; MOVE 5 IN c');
		like(try_sql('DROP SERVER clerk CASCADE'), qr/ERROR:  55P03/, 'a query keeps its table from that');
		is(scalar(my @rest = split /\n/, $session->must('FETCH ALL FROM c; COMMIT')), $users - 5, 'it ends as it began');
	},
	refresh => sub {
		change();
		my $run = hang_refresh($node, $sim, { match => 'list', after => 1 }, $refresh);
		is(try_sql('DROP SERVER clerk CASCADE'), '', 'while a refresh waits for the provider, it can be');
		like($run->release, qr/^ok\|0\|2\||ERROR:  (?!XX)\w{5}:/m, 'the run ends, well or with an error');
		is(marked(), '0', 'nobody is marked as deleted');
		like(unchanged_by('without the server', \&refreshed), qr/ERROR:  42704: server "clerk" does not exist/, 'the next one has no server');
		make_server();
		repairs('a server of the same name and URL');
		is(marked(), '0', 'nobody ever was');
	});

# ---- F48: the key of another directory, at the same URL

# A directory of its own, to which nothing has happened but that another one takes its place.
my $place = start_sim(users => $users, seed => 3, key => $key);
allow_urls($node, map { $_->url } $sim, $stranger, $place);
add_server($node, $place, name => 'taken', schema => 'taken', options => ", page_size '20'");
my %taken = (server => 'taken', target => 'taken.users_sync', table => 'taken.users');
my $missing = 'SELECT count(*) FROM taken.users_sync WHERE deleted_at IS NOT NULL';

sub become
{
	my ($seed, $its_key, $count) = @_;

	$place->stop;
	$place = start_sim(users => $count, seed => $seed, key => $its_key, port => $place->port);
	return;
}

sub set_key { return sql("ALTER USER MAPPING FOR CURRENT_USER SERVER taken OPTIONS (SET api_key '$_[0]')"); }

like(refreshed(%taken), qr/^ok\|$users\|/, 'another directory');
become(2, $strange_key, 30);
set_key($strange_key);
row('F48', 'the key of another directory',
	scan => sub { is(sql('SELECT count(*) FROM taken.users'), '30', 'a query shows whose users the key has') },
	refresh => sub {
		for my $mode ('full', 'incremental', 'auto')
		{
			$place->reset_stats;
			my $said = unchanged_by("$mode run with a key of others", sub { return refreshed(%taken, mode => $mode) });
			like($said, $mode eq 'incremental' ? qr/ERROR:  55000: .*incrementally\nDETAIL:  Reason: the credential has changed\./ :
				  qr/ERROR:  55000: the credential for server "taken" has changed, and with it the provider knows none of the users in taken\.users_sync/,
				"a refresh of mode $mode is refused");
			is($place->stats->{list}, 0, 'before it lists anybody');
		}
		is(sql($missing), '0', 'nobody is marked as deleted');
	},
	sync_user => sub {
		my $id = sql('SELECT min(id) FROM taken.users_sync');
		my $said = unchanged_by('sync_user with a key of others', sub { try_sql("SELECT deleted_at IS NULL FROM neon_auth.sync_user('taken', '$id', 'taken.users_sync')") });

		like($said, qr/WARNING:  01000: did not mark a user|ERROR:  55000/, 'sync_user does not believe it either');
	});
become(3, $key, $users);
set_key($key);
repairs('with the right key again', %taken, mode => 'full');
row('F48', 'another directory answers in the middle of a run', refresh => sub {
	my $run = hang_refresh($node, $place, { match => 'list', after => 1 }, q(CALL neon_auth.refresh_users_sync('taken', mode => 'full', target => 'taken.users_sync')));

	become(2, $key, 30);
	my $said = $run->finish;
	note($said);
	like($said, qr/^held\||ERROR:  (?!XX)\w{5}:/m, 'the run fails, or holds deletions back');
	is(sql($missing), '0', 'nobody is marked as deleted');
	become(3, $key, $users);
	like(refreshed(%taken, mode => 'full'), qr/^(?:ok|held)\|/, 'with the right directory again it goes on');
	is(sql("SELECT count(*) FROM (SELECT id, raw_json FROM taken.users EXCEPT SELECT id, raw_json FROM taken.users_sync WHERE deleted_at IS NULL) AS d"), '0', 'and has all of its users');
});

# ---- A target that is dropped, at last, since it is looked at no more

row('F47', 'the target, which is dropped', refresh => sub {
	change();
	my $run = hang_refresh($node, $sim, { match => 'list', after => 1 }, q(CALL neon_auth.refresh_users_sync('clerk', mode => 'full', target => 'app.second')));
	is(try_sql('DROP TABLE app.second'), '', 'while a refresh waits for the provider, it can be');
	like($run->release, qr/ERROR:  (?!XX)\w{5}:/, 'the run ends with an error');
	like(refreshed(target => 'app.second'), qr/^ok\|$users\|/, 'the next one makes it anew');
});

no_canary();
no_crash();
$node->stop;
done_testing();
