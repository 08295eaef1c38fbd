# Each provider of the registry has all that a provider needs: its row in the table of
# docs/providers.md says what the code says, and it has a section with a recipe, a row
# in README.md, fixtures, a unit test, a corpus to fuzz with, a simulator profile and a
# test of its own.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('registry');
my $docs = slurp_file(tree() . '/docs/providers.md');
my $readme = slurp_file(tree() . '/README.md');
my $testing = slurp_file(tree() . '/docs/testing.md');
my %shown;

# The row of a provider, as the table has it.
my @rows = split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT concat_ws('', '| `', provider, '` | ', (SELECT string_agg(format('`%s`', replace(c, ', ', '`, `')), ' or ' ORDER BY n) FROM unnest(credentials) WITH ORDINALITY AS u (c, n)),
 ' | ', coalesce((SELECT string_agg(format('`%s`', r), ', ' ORDER BY n) FROM unnest(required) WITH ORDINALITY AS u (r, n)), 'none'),
 ' | ', page_size, ', up to ', max_page_size, ' | ', CASE WHEN lists_changes THEN 'yes' ELSE 'no' END,
 ' | ', CASE WHEN counts_windows THEN 'windows' WHEN tells_deletions THEN 'its event' ELSE 'a listing' END,
 ' | ', coalesce((SELECT string_agg(format('`%s`', p), ', ' ORDER BY n) FROM unnest(pushdown) WITH ORDINALITY AS u (p, n)), 'by its options'), ' |')
 FROM neon_auth.providers() ORDER BY provider
SQL

sub section
{
	my ($name) = @_;

	return $docs =~ /^## \Q$name\E\n(.*?)(?=^## )/ms ? $1 : '';
}

for my $row (@rows)
{
	my ($name) = $row =~ /^\| `(\w+)`/;
	my $section = section($name);

	$shown{$name} = 1;
	ok(index($docs, "$row\n") >= 0, "$name: its row in docs/providers.md") or diag($row);
	for my $matter ('url', 'credential', 'listing', 'one user', 'count', 'users by address', 'orders', 'changes', 'end of a listing', 'not found', 'wait asked for', 'request id', 'name', 'deleted_at', 'dropped from raw_json', 'left out of comparisons')
	{
		ok($section =~ /^\| [^|]*\Q$matter\E/m, "$name: its section tells of $matter");
	}
	ok($section =~ /^Pitfalls:$/m, "$name: pitfalls");
	ok($section =~ /^From an account to the first refresh:.*^1\. .*^```sql\nCREATE EXTENSION.*CALL neon_auth\.refresh_users_sync/ms, "$name: a recipe");
	ok($readme =~ /^\| `$name` \|/m, "$name: a row in README.md");
	ok(-d tree() . "/regress/fixtures/$name", "$name: fixtures");
	ok(-f tree() . "/regress/unit/${name}_test.c", "$name: a unit test");
	my @corpus = glob(tree() . "/regress/fuzz/corpus/provider/${name}_*");
	ok(@corpus > 0, "$name: a corpus");
	ok($testing =~ /`0\d\d_$name\.pl`/, "$name: docs/testing.md names its test") if $name ne 'clerk';
	my $sim = start_sim(provider => $name, users => 1);
	is($sim->stats->{users}, 1, "$name: a simulator profile");
	$sim->stop;
}

# And nothing else is said to be one.
my ($table) = $docs =~ /^\| provider \| credential .*?\n((?:\|.*\n)+)/m;
is(join(' ', sort map { /^\| `(\w+)`/ ? $1 : () } split /\n/, $table // ''), join(' ', sort keys %shown), 'the table has no other');
for my $file (glob(tree() . '/fdw/provider/*.c'))
{
	my $source = slurp_file($file);

	while ($source =~ /^const NauthProvider nauth_provider_(\w+)/mg)
	{
		ok($shown{$1}, "$1 is registered");
	}
}

done_testing();
