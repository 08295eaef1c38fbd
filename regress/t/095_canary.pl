
# SEC-6, O4: no secret is shown anywhere.  With each provider all that asks is done, well and
# badly, at the most talkative settings, and then every place is looked into where the
# credential, an access token, the password of Redis, a reply or a user could stand.
# SEC-3: where PostgreSQL itself shows the credential, the recipe of docs/security.md helps.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use File::Find;
use JSON::PP ();
use NeonAuth::Providers;
use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $password = 'redis-zygomorphic-password';
my ($marker, $name, $mail) = ('MARKER_815', 'Zenobia Quillfeather', 'zenobia.quillfeather@canary.example');
my $redis = start_redis('--requirepass', $password);
my %sim = map { $_ => start_provider($_, users => 25, key => "canary_zygomorphic_$_") } sort keys %providers;
my $node = new_node('canary', urls => [ map { $_->url } values %sim ], conf => <<'CONF');
shared_preload_libraries = 'pg_stat_statements'
session_preload_libraries = 'auto_explain'
pg_stat_statements.track = all
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_nested_statements = on
auto_explain.log_settings = on
log_min_messages = debug5
log_min_error_statement = error
log_min_duration_statement = 0
log_error_verbosity = verbose
log_parameter_max_length_on_error = -1
log_temp_files = 0
work_mem = 64kB
CONF
# from 16 on it shows the values that a refresh writes, unless told not to
$node->append_conf('postgresql.conf', 'auto_explain.log_parameter_max_length = 0') if $node->pg_version >= 16;
$node->reload;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_stat_statements');

# ---- Where it is looked

my @credentials = ($password, map { $_->key } values %sim);
my $said = '';

# Those of these that stand in the text.
sub found
{
	my ($text, @canaries) = @_;

	return join(' ', grep { ref $_ ? $text =~ $_ : index($text, $_) >= 0 } @canaries);
}

# All that is in the views and the tables of the state, as texts.
my @relations = (
	qw(pg_stat_activity pg_stat_statements pg_settings pg_prepared_statements pg_cursors pg_backend_memory_contexts pg_file_settings pg_foreign_server pg_stat_progress_analyze pg_locks),
	map { "neon_auth.$_" } qw(sync_state sync_delta sync_run held_deletion quarantined_user sync_digest sync_status sync_progress connections() cache_stats() providers()));

# Of another session, unless it is told.
sub shown { my ($session) = @_; return join("\n", map { "$_:\n" . $session->must("SELECT t::text FROM $_ AS t") } @relations); }

# Files of the server that are neither tables nor their log.
sub files
{
	my $text = '';

	find(sub { $text .= "$File::Find::name:\n" . slurp_file($_) if -f $_ && -s _ && ($File::Find::name =~ /pgsql_tmp/ || $File::Find::name !~ m{/(base|global|pg_wal|pg_xact)/|postgresql.conf}) },
		$node->data_dir);
	return $text;
}

# The command lines that ps shows.
sub titles { my ($session) = @_; return join(' ', map { slurp_file("/proc/$_/cmdline") } split /\n/, $session->must('SELECT pid FROM pg_stat_activity WHERE backend_type = \'client backend\'')); }

my $watcher = new_session($node);

# ---- What is done with each provider

$node->safe_psql('postgres', 'CREATE SCHEMA s');
for my $provider (sort keys %providers)
{
	my $about = $providers{$provider};
	my ($sim, $key) = ($sim{$provider}, $sim{$provider}->key);

	add_server($node, $sim, name => $provider, schema => "of_$provider",
		mapping => ($about->{mapping} // "api_key 'sk_test_x'") =~ s/sk_test_x/$key/r . ", redis_password '$password'",
		options => ($about->{options} // '') . ", page_size '20', request_timeout '5s', scan_timeout '300ms', refresh_timeout '5s', cache_ttl '1h', redis_url '" . $redis->url . "', redis_timeout '1min'");
	$sim->create({ name => $name, email => $mail });
}

# from here on no statement has a secret, so nothing else may
$node->safe_psql('postgres', 'SELECT pg_stat_statements_reset()');
my $log_begin = -s $node->logfile;

for my $provider (sort keys %providers)
{
	my ($sim, $target) = ($sim{$provider}, "of_$provider.users_sync");
	my $key = $sim->key;
	my $session = new_session($node);
	my $begin = -s $node->logfile;
	my $refresh = "CALL neon_auth.refresh_users_sync('$provider', target => '$target')";
	my $explained = '';

	# statements of the refresh itself, with what they write: users, of course
	$session->ask("SET auto_explain.log_verbose = on; $refresh; RESET auto_explain.log_verbose");
	my $nested = slurp_file($node->logfile, $begin);
	like($nested, qr/plan:\n.*unnest/s, "$provider: plans of a refresh");
	is(found($nested, @credentials, qr/token_\d/), '', '... have no credential');
	$begin = -s $node->logfile;

	# well: what the query itself returns is looked at for users by nobody
	my $ask = sub { my $text = $session->ask($_[0]); $said .= $text; return $text; };
	$session->ask('SET client_min_messages = debug5');
	$ask->("SELECT count(raw_json), count(email) FROM of_$provider.users");
	my $id = $session->ask("SET client_min_messages = warning; SELECT id FROM of_$provider.users WHERE name = '$name'; SET client_min_messages = debug5") =~ /^(\w[-\w|]+)$/m ? $1 : 'x';
	$ask->("SELECT count(*) FROM of_$provider.users WHERE id = '$id'") for 1, 2;
	$ask->($refresh) for 1, 2;
	$ask->($refresh =~ s/target/mode => 'full', target/r);
	$ask->("SELECT count(id) FROM neon_auth.sync_user('$provider', '$id', '$target')");
	$ask->("ANALYZE of_$provider.users");
	$ask->("SELECT part, verdict, message, detail, hint FROM neon_auth.check_server('$provider')");
	$explained .= $session->ask("EXPLAIN (ANALYZE, VERBOSE, BUFFERS, SETTINGS, FORMAT $_) SELECT count(raw_json) FROM of_$provider.users") for qw(text json xml);
	$ask->("DECLARE c CURSOR WITH HOLD FOR SELECT id FROM of_$provider.users; PREPARE p AS SELECT count(id) FROM of_$provider.users; EXECUTE p");

	my $dump = $redis->dump;
	cmp_ok(length $dump, '>', 1000, "$provider: the dump of Redis has users");
	is(found($dump, @credentials, $marker, qr/token_\d/, $name, $mail), '', '... and no secret');

	# badly: whatever the provider says, who asks; the credential is said back
	my $body = qq({"errors":[{"code":"$marker $key","message":"$key","long_message":"$marker"}],"error":"$key","code":"$marker","clerk_trace_id":"$marker $key","message":"$key"});
	for my $fault (
		(map { { status => $_, body => $body, headers => { 'X-Request-Id' => "$marker/$key", 'WWW-Authenticate' => "Bearer $key" } } } 400, 401, 403, 404, 422, 500),
		{ body => $body }, { body => "<html>$marker $key" }, { body => qq([{"id":"$marker",) }, { content_type => "text/$marker", body => $key },
		{ redirect => "http://127.0.0.1:1/$key" }, { cut => 20 }, { body => qq({"data":[{"id":"$marker\\u0000","name":"$key"}]}) },
		# the last, for the session keeps silent afterwards
		{ status => 429, body => $body, headers => { 'X-Request-Id' => "$marker/$key", 'Retry-After' => '1000000' } })
	{
		$sim->fault({ times => -1, %$fault });
		$ask->("SET neon_auth_fdw.cache = off; SELECT count(name) FROM of_$provider.users");
		# which would try it again and again
		$ask->($refresh =~ s/target/mode => 'full', target/r) unless $fault->{cut};
		$ask->("SELECT count(id) FROM neon_auth.sync_user('$provider', '$id', '$target')");
		$ask->("SELECT part, verdict, message, detail, hint FROM neon_auth.check_server('$provider')");
		$sim->clear_faults;
		$ask->('SELECT neon_auth.disconnect_all(); RESET neon_auth_fdw.cache');
		# with the silence that it wanted
		$redis->ask('FLUSHALL');
	}

	# while it waits
	$sim->fault({ times => -1, match => 'any', hang => JSON::PP::true });
	my $waiter = new_session($node);
	print { $waiter->{in} } $refresh =~ s/target/mode => 'full', target/r, ";\n";
	wait_until('a wait', sub { $watcher->must(q(SELECT count(*) FROM neon_auth.sync_progress WHERE phase IS NOT NULL)) });
	my $waiting = shown($watcher) . titles($watcher);
	$sim->clear_faults;
	$said .= $waiter->ask("SELECT 'waited'");
	like($waiting, qr/pg_stat_activity:.*refresh_users_sync/s, "$provider: a refresh that waits is seen");
	is(found($waiting, @credentials, $marker, qr/token_\d|\bey[JK]\w+\./, $name, $mail), '', '... and no secret');

	# with Redis gone
	$ask->("ALTER SERVER $provider OPTIONS (SET redis_timeout '100ms')");
	$redis->pause;
	$ask->("SELECT count(email) FROM of_$provider.users");
	$redis->resume;

	my $log = slurp_file($node->logfile, $begin);
	like($log, qr/DEBUG: .*LOG: .*plan:\n/s, "$provider: the log is detailed");
	cmp_ok(scalar(() = $said =~ /ERROR:  /g), '>', 10, '... and there were errors');
	is(found($log, @credentials, $marker, qr/token_\d/, $mail), '', "$provider: log: no secret");
	is(found($said, @credentials, $marker, qr/token_\d/, $mail), '', "$provider: messages: no secret");
	like($explained, qr/Foreign Scan.*Plan/s, "$provider: EXPLAIN");
	is(found($explained, @credentials, $marker, qr/token_\d/, $mail, $name), '', '... no secret');
	is(found(shown($session), @credentials, $marker, qr/token_\d/, $mail), '', "$provider: views of the session itself: no secret");
	$said = '';
}

# ---- What is left

my $shown = shown($watcher);
like($shown, qr/pg_stat_statements:\n.*SELECT count.*sync_run:\n.*failed/s, 'views and state have much of all that');
is(found($shown, @credentials, $marker, qr/token_\d/, $mail), '', '... and no secret');
is(found(files(), @credentials, $marker, qr/token_\d/, $name, $mail), '', 'files that are no tables: no secret');
is(found(titles($watcher), @credentials, $marker), '', 'titles of processes: no secret');

my $dump = '';
IPC::Run::run([ 'pg_dump', '-d', $node->connstr('postgres') ], '>', \$dump) or die 'pg_dump failed';
is(found($dump =~ s/^CREATE USER MAPPING .*?\);$//msgr, @credentials, $marker, qr/token_\d/), '', 'pg_dump: no secret but in user mappings');
my @mapped = $dump =~ /^CREATE USER MAPPING .*?\);$/msg;
is(scalar(grep { found($_, $password) } @mapped), scalar keys %providers, '... where each is, as docs/security.md says');

# ---- What is left in memory: no copy of the headers of a request but the library's own

# The memory of a session, as it reads it itself.
sub memory_of
{
	my ($session) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/memory';

	unlink(glob("$file*"));
	$session->must(<<"SQL");
SET client_min_messages = warning;
RESET statement_timeout;
DO \$\$
DECLARE
	area text[];
	number int := 0;
BEGIN
	FOR area IN SELECT regexp_matches(pg_read_file('/proc/self/maps'), '^([0-9a-f]+)-([0-9a-f]+) rw-p \\S+ \\S+ 0 *(?:\\[heap\\])?\$', 'gn') LOOP
		number := number + 1;
		BEGIN
			EXECUTE format('COPY (SELECT pg_read_binary_file(%L, %s, %s)) TO %L (FORMAT binary)', '/proc/self/mem',
				('x' || lpad(area[1], 16, '0'))::bit(64)::bigint, ('x' || lpad(area[2], 16, '0'))::bit(64)::bigint - ('x' || lpad(area[1], 16, '0'))::bit(64)::bigint,
				'$file' || number);
		EXCEPTION WHEN OTHERS THEN
			NULL;	-- it was given back meanwhile
		END;
	END LOOP;
END
\$\$;
SQL
	return map { slurp_file($_) } glob("$file*");
}

# A header ends with a return where the library writes it to send it, and not in ours.
my $header = 'Authorization: Bearer ' . $sim{clerk}->key;
my $before = new_session($node);

sub left_over { my ($session) = @_; my $memory = join('', memory_of($session)); return length($memory) > 1_000_000 ? scalar(() = $memory =~ /\Q$header\E(?!\r)/g) : 'nothing read'; }

$before->must('SET neon_auth_fdw.cache = off; BEGIN; DECLARE c CURSOR FOR SELECT id FROM of_clerk.users; FETCH 1 FROM c');
cmp_ok(left_over($before), '>', 0, 'while a scan goes on its request is there');
$before->must('COMMIT');
is(left_over($before), 0, '... and when it has ended no copy is left');
$before->must("SELECT count(raw_json) FROM of_clerk.users; CALL neon_auth.refresh_users_sync('clerk', mode => 'full', target => 'of_clerk.users_sync')");
is(left_over($before), 0, '... nor after a refresh');
$sim{clerk}->fault({ times => -1, match => 'any', hang => JSON::PP::true });
like($before->ask("SET statement_timeout = '100ms'; SELECT count(raw_json) FROM of_clerk.users"), qr/ERROR:  57014/, '... a statement that is ended while it waits');
$sim{clerk}->clear_faults;
is(left_over($before), 0, '... leaves none either');

# the test of the test: each place would show it
my $planted = $sim{clerk}->key;

$watcher->must("SELECT /* $planted */ 1");
isnt(found(shown($watcher), @credentials), '', 'in a view it would be found');
isnt(found(slurp_file($node->logfile, $log_begin), @credentials), '', 'and in the log');
$redis->ask('SET', 'x', $mail);
isnt(found($redis->dump, $mail), '', 'and in Redis');
append_to_file($node->data_dir . '/planted', $planted);
isnt(found(files(), @credentials), '', 'and in a file');

# ---- SEC-3: where PostgreSQL itself shows a credential, and the recipe

$node->append_conf('postgresql.conf', "log_statement = ddl\n");
$node->reload;
$node->safe_psql('postgres', 'CREATE ROLE auth_owner; CREATE ROLE auth_sync');
$node->safe_psql('postgres', "CREATE USER MAPPING FOR $_ SERVER clerk OPTIONS (api_key 'first')") for qw(auth_owner auth_sync);
my ($recipe) = slurp_file(tree() . '/docs/security.md') =~ /^```sql\n(SET log_statement.*?)^```$/ms or die 'no recipe in docs/security.md';

# Runs it with this key; where that is seen afterwards.
sub seen_of
{
	my ($new_key, $sql) = @_;
	my $begin = -s $node->logfile;
	my $psql = new_session($node);

	$psql->ask($sql =~ s/sk_live_\.\.\./$new_key/gr);
	return join(', ', map { found($_->[1], $new_key) ? $_->[0] : () } [ 'log', slurp_file($node->logfile, $begin) ],
		[ 'pg_stat_statements', $watcher->must('SELECT query FROM pg_stat_statements') ], [ 'pg_stat_activity', $watcher->must('SELECT query FROM pg_stat_activity') ]);
}

my ($statement) = $recipe =~ /^(ALTER USER MAPPING FOR auth_owner [^;]*;)/m;
is(seen_of('leaked_1', $statement), 'log, pg_stat_statements', 'SEC-3: without the recipe the key is seen');
is($node->safe_psql('postgres', q(SELECT umoptions FROM pg_user_mappings WHERE usename = 'auth_owner')), '{api_key=leaked_1}', '... and set');
is(seen_of('hidden_2', $recipe), '', 'SEC-3: with it nowhere');
is($node->safe_psql('postgres', q(SELECT DISTINCT umoptions FROM pg_user_mappings WHERE usename LIKE 'auth%')), '{api_key=hidden_2}', '... and set');
is(seen_of('hidden_3', $recipe =~ s/SERVER clerk/SERVER nowhere/gr), '', 'SEC-3: nor if it fails');
is(seen_of('hidden_4', $recipe =~ s/COMMIT/ROLLBACK/r . 'SELECT 1'), '', 'SEC-3: nor if it is given up');

$node->stop;
done_testing();
