
# What is measured: a directory of Clerk at nginx and at a simulator, a Redis, a server,
# and the same rows in a table that postgres_fdw reads.
#
#	server		provider	options
#	clerk		nginx		as they are
#	timeless	nginx		provider "generic" that is told of no time of change
#	changing	simulator	where users change and go
#	cached		nginx		as clerk, with the Redis
#	rival		the table	postgres_fdw, over the socket of this very server
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench::Setup;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use NeonAuth::Bench;
use NeonAuth::Pages;
use NeonAuth::Redis;
use NeonAuth::Session;
use NeonAuth::Test;
use Test::More;

our @EXPORT = qw($node $session $sim $pages $redis $patience set_up tear_down allow split_command sql sql_seconds refresh rival_table);

our ($node, $session, $sim, $pages, $redis);

my @urls;

# Of no goal is it a part how an installation is configured, so it is one as usual: it syncs
# what it commits.  Nothing happens in the background that is not measured.
my $conf = <<'CONF';
fsync = on
wal_level = replica
shared_buffers = '512MB'
work_mem = '256MB'
maintenance_work_mem = '256MB'
max_wal_size = '16GB'
checkpoint_timeout = '1h'
autovacuum = off
jit = off
log_statement = none
max_connections = 200
CONF

my @settings = qw(server_version fsync synchronous_commit shared_buffers work_mem wal_level jit autovacuum);

# How long a large directory may take, whatever the machine.
our $patience = ", scan_timeout '1d', refresh_timeout '1d'";

# Whom the simulator changes was changed within the last day.
sub set_up
{
	$sim = start_sim(users => $users, clock => 1000 * int(time() - 86400));
	$pages = start_pages($sim);
	$redis = start_redis();
	@urls = ($pages->url, $sim->url);
	$node = new_node("bench$users", urls => \@urls, conf => $conf);
	$session = new_session($node);
	add_server($node, $pages, name => 'clerk', schema => 'clerk', options => $patience);
	add_server($node, $sim, name => 'changing', schema => 'changing', options => $patience);
	add_server($node, $pages, name => 'cached', schema => 'cached',
		options => "$patience, redis_url 'unix:" . $redis->socket . "', redis_timeout '10s', cache_ttl '1d', cache_max_bytes '100GB'");
	add_timeless();
	sql('CREATE SCHEMA bench');
	note(join(', ', map { "$_ " . sql("SHOW $_") } @settings));
	note("medians of $rounds rounds, of $few_rounds where it takes long, after one that does not count");
	return;
}

# Ends all of that, and frees what it has taken of the disk.
sub tear_down
{
	undef $session;
	$node->stop;
	$node->clean_node;
	$_->stop for $redis, $pages, $sim;
	$pages->remove;
	return;
}

# The same users of a directory that tells no time of change.  As with Clerk, one member
# counts as no change.
sub add_timeless
{
	my $generic = bless { %$pages, provider => 'generic' }, ref $pages;

	add_server($node, $generic, name => 'timeless', schema => 'timeless', options => $patience
		  . ", list_path '/v1/users?order_by=created_at', paging 'offset', page_size '500', ignore_changes 'last_active_at'"
		  . ", name_member 'first_name', last_name_member 'last_name', created_at_member 'created_at', time_unit 'ms'");
	return;
}

# Allows one more provider, and has a new session that knows it.
sub allow
{
	my ($provider) = @_;

	push @urls, $provider->url;
	allow_urls($node, @urls);
	$session = new_session($node);
	return;
}

sub split_command { return tree() . '/regress/bench/build/split'; }

sub sql { my ($sql) = @_; return $session->must($sql); }
sub sql_seconds { my ($sql) = @_; return seconds(sub { sql($sql) }); }

# Refreshes users_sync of the schema named as the server; returns the seconds that took.  It
# must end with the counts expected, a text or a pattern: "ok inserted/updated/unchanged/tombstoned".
sub refresh
{
	my ($server, $mode, $expected) = @_;
	my $said;
	my $seconds = seconds(sub {
		$said = $session->ask("CALL neon_auth.refresh_users_sync('$server', '$mode', '$server.users_sync')");
	});
	my $outcome = outcome_of($said, 0 .. 3);

	$expected = qr/^\Q$expected\E$/ unless ref $expected;
	die "refresh of $server: $outcome instead of $expected: $said" if $outcome !~ $expected;
	return $seconds;
}

# A foreign table of postgres_fdw for a table with the columns of a users_sync: rival.NAME.
sub rival_table
{
	my ($name, $table) = @_;
	my ($schema, $relation) = split /\./, $table;
	my ($host, $port) = ($node->host, $node->port);

	sql("CREATE EXTENSION postgres_fdw; CREATE SCHEMA rival;
		CREATE SERVER rival FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'postgres', host '$host', port '$port');
		CREATE USER MAPPING FOR CURRENT_USER SERVER rival")
	  if sql("SELECT to_regnamespace('rival') IS NULL") eq 't';
	sql("CREATE FOREIGN TABLE rival.$name (raw_json jsonb, id text, name text, email text, created_at timestamptz,
		updated_at timestamptz, deleted_at timestamptz) SERVER rival OPTIONS (schema_name '$schema', table_name '$relation')");
	return;
}

1;
