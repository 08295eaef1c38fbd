# The SQL in README.md and docs/ does what it says: every block marked "sql" is
# run, the blocks of one file in order, each in a session of its own, in a new
# database.  A block marked "sql error" must fail, every other must not.
#
# What a reader has and this test has not is put in place of the text:
#	provider 'NAME', url '...'	gets the URL of a simulator of that provider
#	https://auth.example.com	becomes the URL of a simulated Better Auth
#	https://keycloak.example.com	and that of a simulated Keycloak
#	https://users.example.com	and that of a simulated directory of one's own
#	api_key, client_id and client_secret become what all of them accept
# Nothing else is changed.  Settings made with ALTER SYSTEM and roles last until
# the end of the file.
#
# Copyright (c) 2026, neon_auth_fdw contributors

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";

use NeonAuth::Providers;
use NeonAuth::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my %sims = map { ($_ => start_sim(provider => $_)) } qw(auth0 better_auth clerk cognito generic keycloak okta scim stack supabase workos);
$sims{firebase} = start_provider('firebase', set => ['project=my-project-1a2b']);
my @urls = map { $_->url } values %sims;
my $node = new_node('docs', urls => \@urls,
	conf => "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'docs'\n");

# The SQL blocks of a file: line, what is expected, text.  A fence that is not
# closed, or has another language than these, is a mistake of the author.
sub blocks
{
	my ($file) = @_;
	my ($number, $block, @blocks) = (0);

	for my $line (split /^/, slurp_file(tree() . "/$file"))
	{
		$number++;
		if ($line !~ /^```(.*)$/)
		{
			$block->{text} .= $line if $block;
			next;
		}
		if ($block)
		{
			push @blocks, $block if $block->{info} =~ /^sql/;
			undef $block;
			next;
		}
		die "$file:$number: \"$1\" is no known kind of block"
		  unless $1 =~ /^(sql|sql error|sh|text|c|make|perl|ts|prisma)$/;
		$block = { line => $number, info => $1, text => '' };
	}
	die "$file: a block is not closed" if $block;
	return @blocks;
}

sub substitute
{
	my ($sql) = @_;
	my ($better_auth_url, $keycloak_url, $key) = ($sims{better_auth}->url, $sims{keycloak}->url, $sims{clerk}->key);

	# the path of the address is a part of it
	$sql =~ s{(provider '(\w+)')(, url 'https://[^/']*([^']*)')?}{"$1, url '" . $sims{$2}->url . ($4 // '') . "'"}ge;
	$sql =~ s{https://auth\.example\.com}{$better_auth_url}g;
	$sql =~ s{https://users\.example\.com}{$sims{generic}->url}ge;
	$sql =~ s{https://keycloak\.example\.com}{$keycloak_url}g;
	$sql =~ s{https://scim\.example\.com}{$sims{scim}->url}ge;
	$sql =~ s/(api_key|client_secret|secret_access_key) '[^']*'/$1 '$key'/g;
	$sql =~ s/(\baccess_key_id) '[^']*'/$1 'sim_access_key'/g;
	$sql =~ s/(client_id) '[^']*'/$1 'client'/g;
	return $sql;
}

# What the file left outside of its database.
sub clean_up
{
	my ($database) = @_;

	$node->safe_psql('postgres', 'ALTER SYSTEM RESET ALL');
	allow_urls($node, @urls);
	# pg_cron is connected to it
	$node->safe_psql('postgres', "DROP DATABASE $database WITH (FORCE)");
	$node->safe_psql('postgres', $_)
	  for split /\n/, $node->safe_psql('postgres',
		q(SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE oid >= 16384));
	return;
}

my @files = ('README.md', map { s{^\Q${\ tree()}\E/}{}r } sort glob(tree() . '/docs/*.md'));

for my $file (@files)
{
	my @blocks = blocks($file);

	next unless @blocks;
	$node->safe_psql('postgres', 'CREATE DATABASE docs');
	for my $block (@blocks)
	{
		my ($status, $out, $err) =
		  $node->psql('docs', substitute($block->{text}), on_error_stop => 1);
		my $fails = $block->{info} eq 'sql error';

		ok(($status != 0) == $fails, "$file:$block->{line}")
		  or diag($fails ? 'no error' : $err);
	}
	clean_up('docs');
}

done_testing();
