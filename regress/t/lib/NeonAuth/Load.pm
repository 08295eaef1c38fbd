# What the load of `make soak` consists of: random choices, statements of long-lived sessions, and faults.  Who runs
# them, and what must hold then, is told at the head of regress/bench/soak.pl.
#
#	my $stream = new_stream($seed, 'query 1');
#	my $statement = drawing_from($stream, sub { return a_query(one_of(@directories), @directories); });
#
# A directory is a hash with name, is (of %providers) and ids, as literals; its table is users in the schema of its
# name, where tables users_sync and pick are, too, and a copy of it in the schema copy_of_ that name.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Load;

use strict;
use warnings FATAL => 'all';

use Digest::MD5 qw(md5);
use Exporter 'import';
use JSON::PP;
use NeonAuth::Providers;

our @EXPORT = qw(new_stream drawing_from below one_of chance $fresh stable a_query a_refresh a_follower a_user @faults @lies @redis_faults);

my $true = JSON::PP::true;

# ---- Choices: of a stream for each who chooses, so that none depends on the others' pace

my $stream;

# A stream is its name, which begins with the seed.  Code draws from one.
sub new_stream { return { name => join('/', @_), drawn => 0 }; }
sub drawing_from { my $code = pop; ($stream) = @_; return $code->(); }
sub below { return unpack('N', md5("$stream->{name}/" . $stream->{drawn}++)) % $_[0]; }
sub one_of { return $_[ below(scalar @_) ]; }
sub chance { return below(100) < $_[0]; }

# ---- What sessions ask

# What of a user does not depend on when and how he was asked for.
sub stable { my ($name, $column) = @_; my $volatile = $providers{$name}{volatile}; return $volatile ? "$column - '{$volatile}'::text[]" : $column; }

sub condition
{
	my ($directory) = @_;
	my @ids = map { one_of(@{ $directory->{ids} }, "'nobody'") } 0 .. below(12);
	my $time = "(SELECT created_at FROM S.users WHERE id = $ids[0])";

	return one_of(
		"u.id = $ids[0]",
		'u.id IN (' . join(', ', @ids) . ')',
		"u.id = ANY (ARRAY(SELECT id FROM S.pick WHERE n < " . below(16) . '))',
		"u.email = 'nobody\@example.com'",
		"u.email = (SELECT email FROM S.users WHERE id = $ids[0])",
		"u.created_at " . one_of('<', '>=', '=') . " $time",
		'u.deleted_at IS NULL',
		"u.updated_at > now() - interval '" . below(60) . " days'",
		"u.name LIKE 'Soak %'");
}

# A query of schemas S and T whose answer is one and the same, whatever the plan; with "ordered" in order, too.
sub query
{
	my ($directory) = @_;
	my $columns = one_of('u.id, u.name, u.email, u.created_at, u.updated_at, u.deleted_at, ' . stable($directory->{name}, 'u.raw_json'), 'u.id, u.name', 'u.id', '1');
	my $where = chance(60) ? ' WHERE ' . condition($directory) : '';
	my $limit = ' LIMIT ' . below(one_of(5, 25, 300));

	return @{ one_of(
		["SELECT $columns FROM S.users u$where"],
		["SELECT $columns FROM S.users u$where"],
		[ "SELECT $columns FROM S.users u$where ORDER BY u.created_at" . one_of('', ' DESC') . ", u.id$limit", 1 ],
		["SELECT count(*) FROM S.users u$where"],
		["SELECT count(*) FROM (SELECT u.id FROM S.users u$where$limit) l"],
		["SELECT p.n, $columns FROM S.pick p " . one_of('', 'LEFT ', 'FULL ') . 'JOIN S.users u ON u.id = p.id'],
		['SELECT p.n, v.name FROM S.pick p CROSS JOIN LATERAL (SELECT u.name FROM S.users u WHERE u.id = p.id LIMIT 1) v'],
		["SELECT u.id, w.name FROM S.users u JOIN S.users w ON w.id = u.id$where"],
		["SELECT u.id, u.name FROM S.users u$where UNION ALL SELECT id, name FROM T.users"],
		['SELECT (SELECT count(*) FROM S.users), (SELECT count(*) FROM T.users), (SELECT max(created_at) FROM S.users)']) };
}

# What has to come before a statement, whatever became of the one before.
our $fresh = 'ROLLBACK; DEALLOCATE ALL; RESET ALL; SET client_min_messages = error; ';

# Statements of each kind for a directory, or for another one of all: "sql", and perhaps "wanted", which asks a copy
# for the right answer.

sub a_query
{
	my ($directory, @all) = @_;
	my $other = one_of(@all);
	my ($query, $ordered) = query($directory);
	my $statements = one_of($query, $query, "PREPARE q AS $query; EXECUTE q; EXECUTE q", "BEGIN; DECLARE c CURSOR WITH HOLD FOR $query; FETCH 3 FROM c; COMMIT; FETCH ALL FROM c; CLOSE c",
		"BEGIN; SAVEPOINT s; $query; ROLLBACK TO s; $query; COMMIT");
	my $settings = 'SET neon_auth_fdw.cache = ' . one_of(qw(on on on off refill)) . '; SET neon_auth_fdw.pushdown = ' . one_of(qw(on on on off)) . '; ';
	my ($copy, $here) = map { my $prefix = $_; $statements =~ s/\bS\./$prefix$directory->{name}./gr =~ s/\bT\./$prefix$other->{name}./gr } 'copy_of_', '';

	$settings .= "SET statement_timeout = '" . one_of(5, 100) . "ms'; " if chance(5);
	return { sql => "$settings$here", wanted => "DEALLOCATE ALL; $copy", ordered => $ordered };
}

sub a_refresh
{
	my ($directory) = @_;
	my $name = $directory->{name};
	my $call = "CALL neon_auth.refresh_users_sync('$name', mode => '" . one_of('auto', 'auto', 'full', $directory->{is}{timeless} ? () : 'incremental') . "', target => '$name.users_sync'" . (chance(5) ? ', dry_run => true' : '') . ')';

	return { sql => chance(5) ? "BEGIN; $call; ROLLBACK" : $call };
}

sub a_follower
{
	my (undef, @all) = @_;
	my $name = one_of(grep { !$_->{is}{timeless} } @all)->{name};

	return { sql => "CALL neon_auth.follow_users_sync('$name', every => '100ms', during => '" . one_of(0, 500, 1500) . "ms', target => '$name.users_sync')" };
}

sub a_user
{
	my ($directory) = @_;
	my ($name, $id) = ($directory->{name}, one_of(@{ $directory->{ids} }));

	return { sql => "CALL neon_auth.purge_deleted('0', target => '$name.users_sync')" } if chance(5);
	return {
		sql => "SET client_min_messages = warning; SELECT id, name, email FROM neon_auth.sync_user('$name', $id, '$name.users_sync') WHERE id IS NOT NULL AND deleted_at IS NULL",
		wanted => "SELECT id, name, email FROM copy_of_$name.users WHERE id = $id"
	};
}

# ---- What gets in the way

# A provider that fails so that it is noticed.
our @faults = (
	(map { { status => $_ } } 403, 422, 500), { match => 'list', status => 401 }, { match => 'other', status => 401 },
	(map { { status => $_, headers => { 'Retry-After' => '0', 'X-Retry-After' => '0' } } } 429, 502, 503),
	(map { { status => $_, times => 5, headers => { 'Retry-After' => '0', 'X-Retry-After' => '0' } } } 429, 503), { cut => 0, times => 5 },
	{ hang => $true }, { cut => 90 }, { cut => 0 }, { chunked => $true, cut => 200 }, { drip_ms => 2 }, { latency_ms => 300 },
	{ body => '<p>wrong page</p>' }, { body => '' }, { body => '[{"id": "x' }, { redirect => 'http://127.0.0.1:1/' });

# One that lies, until all are calm; of hide_index, who is hidden is chosen later.  Whoever is found nowhere would have to
# be believed to be gone, unless nobody is found, so of these there is one a storm.
our @lies = (
	([ { match => 'list', hide_index => [], times => -1 }, { match => 'get', status => 404, after => 0, times => -1 } ]) x 6,
	{ match => 'get', status => 404, times => -1 }, { match => 'get', status => 404, body => '<p>not found</p>' },
	{ match => 'list', status => 404 }, { match => 'list', empty => $true }, { match => 'list', empty => $true, times => -1 },
	{ match => 'list', truncate_page => 0 }, { match => 'list', truncate_page => 3 }, { match => 'list', repeat_page => $true },
	{ match => 'list', ignore_order => $true, times => -1 }, { match => 'list', body => '[]' }, { match => 'list', body => '{}' },
	{ match => 'list', hide_index => [] }, { match => 'count', add_total => -7, times => -1 }, { match => 'count', add_total => 2 });

our @redis_faults = (
	(map { { do => 'error', text => $_ } } '-ERR soak', '-OOM command not allowed', '-LOADING soak', '-NOAUTH soak'),
	(map { { do => 'reply', bytes => $_ } } ":7\r\n", "\$-1\r\n", "+OK\r\n", "*0\r\n"),
	(map { { do => $_ } } qw(garbage stall close half half_close flip)),
	{ do => 'flip', command => 'HMGET', offset => 12, bit => 5 }, { do => 'drip', pause => 0.01 }, { do => 'delay', pause => 0.1 }, { do => 'delay', pause => 0.4 });

1;
