
# From Neon Auth to a PostgreSQL of one's own, as docs/migration.md tells: a dump of what
# Neon has made is restored, and refreshed from Stack Auth; then all go to Clerk, where
# they have other ids.  Nothing is lost, and the statements are those of the document.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Providers;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $users = 60;
my $stack = start_provider('stack', users => $users);
my $clerk = start_sim(users => 0);
my $node = new_node('migration', urls => [ $stack->url, $clerk->url ]);
my $dump = PostgreSQL::Test::Utils::tempdir() . '/neon.sql';

sub in { my ($database, $sql) = @_; return $node->safe_psql($database, $sql); }
sub own { return in('own', $_[0]); }

# The SQL blocks of the document below a heading, in order, with our addresses and keys.
sub blocks
{
	my ($heading) = @_;
	my ($section) = slurp_file(tree() . '/docs/migration.md') =~ /^## \Q$heading\E\n(.*?)(?=^## |\z)/ms;
	my @blocks = $section =~ /^ *```sql\n(.*?)^ *```/msg;
	my %sims = (stack => $stack, clerk => $clerk);

	for (@blocks)
	{
		s/(provider '(\w+)')/"$1, url '" . $sims{$2}->url . "'"/ge;
		s/project_id '[^']*'/$providers{stack}{options} =~ s{^, }{}r/ge;
		s/(SERVER (\w+) OPTIONS \(api_key) '[^']*'/"$1 '" . $sims{$2}->key . "'"/ge;
	}
	return @blocks;
}

# "status inserted updated unchanged tombstoned held" of the last row that looks like one.
sub counts { return join(' ', (split /\|/, ($_[0] =~ /^((?:ok|held|dry run)\|.*)$/mg)[-1])[ 0 .. 5 ]); }

# ---- What Neon has

in('postgres', 'CREATE DATABASE neon; CREATE DATABASE own');
add_server($node, $stack, name => 'stack', schema => 'app', options => $providers{stack}{options}, mapping => $providers{stack}{mapping});
my $folder = PostgreSQL::Test::Utils::tempdir();
in('postgres', "COPY (SELECT raw_json, updated_at FROM app.users) TO '$folder/users'");
in('neon', 'CREATE SCHEMA neon_auth;' . neon_table('neon_auth.users_sync') . "CREATE INDEX ON neon_auth.users_sync (deleted_at);
	COPY neon_auth.users_sync (raw_json, updated_at) FROM '$folder/users';
	INSERT INTO neon_auth.users_sync (raw_json, updated_at, deleted_at) VALUES ('{\"id\": \"long-gone\", \"display_name\": \"Long Gone\", \"signed_up_at_millis\": 1700000000000}', '2024-01-01', '2024-02-01');
	CREATE TABLE posts (id serial PRIMARY KEY, author_id text REFERENCES neon_auth.users_sync (id) ON DELETE SET NULL);
	CREATE TABLE todos (id serial PRIMARY KEY, user_id text NOT NULL REFERENCES neon_auth.users_sync (id) ON DELETE CASCADE);
	INSERT INTO posts (author_id) SELECT id FROM neon_auth.users_sync;
	INSERT INTO todos (user_id) SELECT id FROM neon_auth.users_sync WHERE deleted_at IS NULL");
command_ok([ $node->installed_command('pg_dump'), '-d', $node->connstr('neon'), '--no-owner', '--no-privileges', "--file=$dump" ], 'a dump');

# between the dump and the first refresh
$stack->update('index/5', { name => 'Changed Since' });
$stack->create({ name => 'Came Since' });
$stack->remove('index/7');

# ---- The same directory

command_ok([ $node->installed_command('psql'), '-Xq', '-d', $node->connstr('own'), '-v', 'ON_ERROR_STOP=1', '--single-transaction', "--file=$dump" ], 'is restored');
my ($extension, $refresh, $ordinary) = blocks('With Stack Auth');
my $references = 'SELECT (SELECT count(author_id) FROM posts), (SELECT count(*) FROM todos)';

own($extension);
like(own("SELECT neon_auth.create_users_sync(); SELECT count(*) FROM neon_auth.users_sync WHERE name IS NOT NULL"), qr/\d+$/, 'beside the table of the dump the extension can be created');
my $said = own($refresh);
like($said, qr/^dry run\|1\|/m, 'a look says what would be');
is(counts($said), 'held 1 1 ' . ($users - 2) . ' 0 1', 'the first refresh writes what is new, and holds who has gone');
is(own($references), ($users + 1) . "|$users", 'and all references are there');
is(own("SELECT name, deleted_at IS NULL FROM neon_auth.users_sync WHERE name IN ('Changed Since', 'Came Since', 'Long Gone') ORDER BY name"),
	"Came Since|t\nChanged Since|t\nLong Gone|f", 'what has changed, who came, and who was deleted before');
is(counts(own("CALL neon_auth.refresh_users_sync('stack', approve_deletions => 1)")), "ok 0 0 $users 1 0", 'the deletion is approved');
own($ordinary);
is(own("SELECT count(*) FROM pg_attribute WHERE attrelid = 'neon_auth.users_sync'::regclass AND attgenerated <> ''"), 0, 'ordinary columns');
like(counts(own("CALL neon_auth.refresh_users_sync('stack', mode => 'full')")), qr/^ok 0 \d+ \d+ 0 0$/, 'are refreshed, too');
is(own("SELECT count(*) FROM (SELECT id, name, email, created_at FROM neon_auth.users_sync WHERE deleted_at IS NULL
	EXCEPT SELECT raw_json ->> 'id', raw_json ->> 'display_name', raw_json ->> 'primary_email', to_timestamp((raw_json ->> 'signed_up_at_millis')::numeric / 1000) FROM neon_auth.users_sync) AS wrong"), 0, 'and are right');
is(own($references), ($users + 1) . "|$users", 'all references are there still');

# ---- Another provider, with other ids

my @old = split /\n/, own("SELECT email FROM neon_auth.users_sync WHERE deleted_at IS NULL AND email IS NOT NULL ORDER BY id");
$clerk->create({ name => "User of $_", email => $_ }) for @old[ 1 .. $#old ];
my ($beside, $map, $move, $count) = blocks('To another provider');
my $live = own('SELECT count(*) FROM neon_auth.users_sync WHERE deleted_at IS NULL');
my $unmapped = $live - $#old;

is(counts(own($beside)), "held $#old 0 0 0 $live", 'the new users come beside the old ones, who are held');
is(own($references), ($users + 1) . "|$users", 'nothing has happened to the references');
is(scalar(my @lines = grep { /\S/ } split /\n/, own($map)), $unmapped, 'who has no counterpart is told');
is(own('SELECT count(*) FROM user_map'), $#old, 'all others are mapped');
own($move);
cmp_ok(own("SELECT count(*) FROM posts WHERE author_id LIKE 'user\\_%'"), '>=', $#old - 2, 'the references are moved');
is(own($references), ($users + 1) . "|$users", 'and none is lost');
is(own($count), $live, 'those who are held');
is(counts(own("CALL neon_auth.refresh_users_sync('clerk', approve_deletions => $live)")), "ok 0 0 $#old $live 0", 'are let go when a person says so');
cmp_ok(own('SELECT count(*) FROM todos t JOIN neon_auth.users_sync u ON u.id = t.user_id WHERE u.deleted_at IS NULL'), '>=', $#old - 2, 'what is left refers to live users');

done_testing();
