# ALTER EXTENSION UPDATE: a later version finds state, target and servers as the
# earlier one left them, and has then all that a fresh one has; and the library
# works with the SQL of earlier versions, until they are updated.  There is one
# version so far, so an earlier and a later one are made up here, in the private
# copy of the server: the earlier one's routines return a column less.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::Bin/lib";

use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($version) = slurp_file(tree() . '/neon_auth_fdw.control') =~ /^default_version = '(.*)'/m;
my ($earlier, $later) = ('0.0', '99.0');
my $sharedir = `pg_config --sharedir`;
chomp $sharedir;
my @made;

END { unlink @made; }

sub make_script
{
	my ($versions, $sql) = @_;
	my $script = "$sharedir/extension/neon_auth_fdw--$versions.sql";

	die "$script is there" if -e $script;
	push @made, $script;
	append_to_file($script, qq(\\echo Use "ALTER EXTENSION neon_auth_fdw UPDATE" to load this file. \\quit\n$sql));
}

my $base = slurp_file(tree() . "/sql/neon_auth_fdw--$version.sql") =~ s/^\\echo.*\n//mr;

my $adds = <<'SQL';
ALTER TABLE neon_auth.sync_state ADD COLUMN later_column int;
CREATE FUNCTION neon_auth.later_function() RETURNS int LANGUAGE sql RETURN 1;
SQL
make_script("$version--$later", $adds);
make_script($later, "$base$adds");

# What a routine with a row for its result consists of, in the script: it, its
# comment and its privileges.  The result of one is read by a view.
my @routines = grep { !/progress_of_refreshes/ } $base =~ /^(CREATE (?:FUNCTION|PROCEDURE) [^()]+\([^()]*OUT .*?\n)(?=^CREATE |^\/\*)/gms;
my $old = $base;
my $renew = '';
for my $routine (@routines)
{
	my $shorter = $routine =~ s/,\n\t(?:IN)?OUT [^,\n]+\)\n(?=RETURNS|AS)/)\n/r =~ s/^COMMENT .*?;\n//gmsr;

	isnt($shorter, $routine, 'an earlier ' . ($routine =~ /(\w+)\(/)[0]);
	$old =~ s/\Q$routine\E/$shorter/;
	$renew .= 'DROP ROUTINE ' . ($routine =~ /(neon_auth\.\w+)\(/)[0] . ";\n$routine";
}
cmp_ok(scalar(@routines), '>=', 8, 'there are such routines');
make_script($earlier, $old);
make_script("$earlier--$version", $renew);

# All that the extension has in a database, as text.
sub members
{
	my ($node, $db) = @_;

	return $node->safe_psql($db, <<'SQL');
SELECT i.type, i.identity, obj_description(d.objid, d.classid::regclass::name),
	CASE d.classid
	WHEN 'pg_proc'::regclass THEN
		(SELECT pg_get_functiondef(oid) || coalesce(proacl::text, '') FROM pg_proc WHERE oid = d.objid)
	WHEN 'pg_class'::regclass THEN
		(SELECT concat_ws(E'\n', relkind, relacl, reloptions, relrowsecurity, relforcerowsecurity, CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) END,
			(SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attacl, attcompression, pg_get_expr(adbin, adrelid),
				col_description(c.oid, attnum)), E'\n' ORDER BY attnum) FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
				WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
			(SELECT string_agg(conname || pg_get_constraintdef(oid), E'\n' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid),
			(SELECT string_agg(pg_get_indexdef(indexrelid), E'\n' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = c.oid),
			(SELECT string_agg(concat_ws(' ', polname, polcmd, polroles, pg_get_expr(polqual, polrelid)), E'\n' ORDER BY polname) FROM pg_policy WHERE polrelid = c.oid),
			(SELECT 'dumped ' || extcondition[array_position(extconfig, c.oid)] FROM pg_extension WHERE oid = d.refobjid AND c.oid = ANY (extconfig)))
		FROM pg_class c WHERE oid = d.objid)
	END
FROM pg_depend d, pg_identify_object(d.classid, d.objid, 0) i
WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'neon_auth_fdw')
ORDER BY 1, 2
SQL
}

my $sim = start_sim(users => 30);
my $node = new_node('main', urls => [ $sim->url ]);
add_server($node, $sim);
$node->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk')));
my $state = $node->safe_psql('postgres', 'SELECT server, tenant, live_users, watermark FROM neon_auth.sync_state');

is($node->safe_psql('postgres', q(SELECT extversion FROM pg_extension WHERE extname = 'neon_auth_fdw')), $version, 'the version of the control file is installed');
$node->safe_psql('postgres', "ALTER EXTENSION neon_auth_fdw UPDATE TO '$later'");
is($node->safe_psql('postgres', 'SELECT neon_auth.later_function()'), '1', 'an update adds what is new');
is($node->safe_psql('postgres', 'SELECT server, tenant, live_users, watermark FROM neon_auth.sync_state'), $state, 'and keeps the state');
$sim->remove('index/3');
like($node->safe_psql('postgres', q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^ok\|0\|0\|29\|1\|0\|0\|/, 'the next refresh goes on from it');
is($node->safe_psql('postgres', 'SELECT count(id) FROM app.users'), '29', 'the foreign table goes on too');

# Each version that there is a way from, to the present one and a later one.
my @sources = split /\n/, $node->safe_psql('postgres',
	"SELECT DISTINCT source FROM pg_extension_update_paths('neon_auth_fdw') WHERE path IS NOT NULL AND source <> '$later' ORDER BY 1");
is_deeply([ grep { $_ eq $earlier || $_ eq $version } @sources ], [ $earlier, $version ], 'there are ways from the versions');
for my $target ($version, $later)
{
	$node->safe_psql('postgres', 'CREATE DATABASE fresh');
	$node->safe_psql('fresh', "CREATE EXTENSION neon_auth_fdw VERSION '$target'");
	my $fresh = members($node, 'fresh');

	for my $source (grep { $_ ne $target } @sources)
	{
		$node->safe_psql('postgres', 'CREATE DATABASE updated');
		$node->safe_psql('updated', "CREATE EXTENSION neon_auth_fdw VERSION '$source'");
		isnt(members($node, 'updated'), $fresh, "$source is not $target");
		$node->safe_psql('updated', "ALTER EXTENSION neon_auth_fdw UPDATE TO '$target'");
		is(members($node, 'updated'), $fresh, "$source updated to $target has what a fresh one has");
		$node->safe_psql('postgres', 'DROP DATABASE updated');
	}
	$node->safe_psql('postgres', 'DROP DATABASE fresh');
}

# The library with the SQL of an earlier version.
sub without_last
{
	return join "\n", map { s/\|[^|]*$//r } split /\n/, shift;
}

$node->safe_psql('postgres', 'CREATE DATABASE old');
$node->safe_psql('old', "CREATE EXTENSION neon_auth_fdw VERSION '$earlier'");
add_server($node, $sim, database => 'old');
is($node->safe_psql('old', 'SELECT * FROM neon_auth.providers()'), without_last($node->safe_psql('postgres', 'SELECT * FROM neon_auth.providers()')),
	'the SQL of an earlier version has its own columns of providers()');
like($node->safe_psql('old', q(SELECT * FROM neon_auth.check_server('clerk'))), qr/^url\|ok\|may be asked\|$/m, '... of check_server()');
like($node->safe_psql('old', q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^ok\|29\|0\|0\|0\|0\|0\|\d+$/, '... of refresh_users_sync');
like($node->safe_psql('old', q(CALL neon_auth.follow_users_sync('clerk', '100 ms', '100 ms'))), qr/^ok\|\d+\|0\|0\|0\|0\|\d+$/, '... of follow_users_sync');
is($node->safe_psql('old', q(CALL neon_auth.purge_deleted('0 s'))), '0|0', '... of purge_deleted');
like($node->safe_psql('old', q(SELECT neon_auth.sync_user('clerk', (SELECT min(id) FROM neon_auth.users_sync)))), qr/^\(.*\)$/, '... of sync_user()');
like($node->safe_psql('old', q(SELECT count(*) FROM app.users; SELECT * FROM neon_auth.connections())), qr/^29\nclerk\|\w+\|provider\|t\|\d+\|\d+$/, '... of connections()');
is($node->safe_psql('old', 'SELECT count(*) FROM (SELECT * FROM neon_auth.cache_stats()) s'), '0', '... of cache_stats()');
$node->safe_psql('old', 'ALTER EXTENSION neon_auth_fdw UPDATE');
like($node->safe_psql('old', q(CALL neon_auth.refresh_users_sync('clerk'))), qr/^ok\|0\|0\|\d+\|0\|0\|0\|\d+\|\d+:/, 'updated, it goes on');

done_testing();
