# The fault matrix of docs/testing.md and the bugs of others: all rows from F1 to F60 and from
# B1 to B23 are there, and each is named by the tests that are said to show it.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $docs = slurp_file(tree() . '/docs/testing.md');
my @rows = $docs =~ /^\| ([BF]\d+) \| .* \| (`.*`) \|$/mg;
my %tests;

while (my ($row, $files) = splice(@rows, 0, 2))
{
	ok(!$tests{$row}, "$row stands there once");
	$tests{$row} = [ $files =~ /`(\w+\.pl)`/g ];
}
is(join(' ', sort keys %tests), join(' ', sort((map { "F$_" } 1 .. 60), (map { "B$_" } 1 .. 23))), 'all rows are there');

# Older tests that show a row among other things say so in their section.
for my $row (sort keys %tests)
{
	for my $file (@{ $tests{$row} })
	{
		my $source = -f tree() . "/regress/t/$file" ? slurp_file(tree() . "/regress/t/$file") : '';

		like($source, qr/\b$row\b/, "$file names $row");
	}
}

done_testing();
