#!/usr/bin/env bash
# Check what an extension's scripts have to keep to, so that nobody who made objects
# before can have them run as the superuser who installs or updates: nothing is
# adopted, all names, types, functions and operators are qualified, no function has
# its owner's rights.  Prints one line for each breach.
#
#   scripts.sh [SCRIPT ...]        all of sql/ unless told
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# -gt 0 ] || set -- sql/*.sql
exec perl - "$@" <<'PERL'
use strict;
use warnings FATAL => 'all';

my $ours = qr/(?:pg_catalog|neon_auth)/;
my $breaches = 0;

# Words before a parenthesis that call no function.
my %no_call = map { $_ => 1 } qw(all and any array as cast check coalesce column else exists extract from
  greatest identity if in index key lateral least not nullif on operator or over record references returning
  select set some table then using values when where with);

# Words after FROM or JOIN that name no relation.
my %no_relation = map { $_ => 1 } qw(public lateral only select);

# Column types, of CREATE TABLE and of parameters, and what begins a line there without a column.
my %no_column = map { $_ => 1 } qw(primary unique check foreign constraint exclude as language returns return);

sub breach
{
	my ($script, $text, $at, $what) = @_;
	my $line = 1 + (substr($text, 0, $at) =~ tr/\n//);

	print "$script:$line: $what\n";
	$breaches++;
	return;
}

# The script with comments, literals and quoted names blanked, line by line as long as
# before.  What stands between dollars is code, and kept.
sub blanked
{
	my ($text) = @_;
	my $blank = sub { my $part = $_[0]; $part =~ s/[^\n]/ /g; return $part; };

	$text =~ s{(/\*.*?\*/|--[^\n]*|^\\[^\n]*)|'((?:[^']|'')*)'|"((?:[^"]|"")*)"}
		{defined $1 ? $blank->($1) : defined $2 ? "'" . $blank->($2) . "'" : '_' . ('q' x length $3) . '_'}gmse;
	return $text;
}

for my $script (@ARGV)
{
	open(my $file, '<', $script) or die "$script: $!\n";
	my $source = do { local $/; <$file> };
	my $code = blanked($source);
	my $forbid = sub {
		my ($pattern, $what) = @_;
		while ($code =~ /$pattern/g) { breach($script, $code, $-[0], $what); }
	};

	breach($script, $source, 0, 'does not begin with \echo ... \quit')
	  unless $source =~ m{\A(?:/\*.*?\*/|--[^\n]*|\s)*\\echo Use "(?:CREATE|ALTER) EXTENSION [^\n]* \\quit$}ms;
	while ($source =~ /\@extschema/g) { breach($script, $source, $-[0], '@extschema@ would be replaced within quotes, too'); }

	$forbid->(qr/\bCREATE\s+OR\s+REPLACE\b/i, 'CREATE OR REPLACE adopts what is there');
	$forbid->(qr/\bIF\s+NOT\s+EXISTS\b(?!\s*\()/i, 'IF NOT EXISTS adopts what is there');
	$forbid->(qr/\bSECURITY\s+DEFINER\b/i, 'SECURITY DEFINER');
	$forbid->(qr/\b(?:SET\s+(?:LOCAL\s+)?search_path|set_config)\b/i, 'changes search_path');
	$forbid->(qr/\bCREATE\s+(?:TEMP|TEMPORARY)\b/i, 'a temporary object');

	# names of what is made or changed
	while ($code =~ /\b(?:CREATE|ALTER|DROP)\s+(?:UNIQUE\s+)?(FUNCTION|PROCEDURE|ROUTINE|AGGREGATE|TABLE|VIEW|MATERIALIZED\s+VIEW|SEQUENCE|TYPE|DOMAIN|OPERATOR(?:\s+CLASS|\s+FAMILY)?)\s+(?:IF\s+EXISTS\s+)?(\S+)/gi)
	{
		breach($script, $code, $-[0], "\L$1\E $2 is not qualified") unless $2 =~ /^neon_auth\./;
	}
	while ($code =~ /\b(?:CREATE\s+(?:UNIQUE\s+)?INDEX\s+\w+|CREATE\s+POLICY\s+\w+|CREATE\s+TRIGGER\s+\w+[^;]*?)\s+ON\s+(\S+)/gi)
	{
		breach($script, $code, $-[1], "table $1 is not qualified") unless $1 =~ /^neon_auth\./;
	}
	while ($code =~ /\b(?:FROM|JOIN|INTO|UPDATE)\s+(\w+)\b(?!\s*\.)/gi)
	{
		my ($name, $at) = ($1, $-[1]);
		next if $no_relation{ lc $name } || substr($code, $at - 9, 9) =~ /INTO\s*$/i && $code =~ /\b$name\s+pg_catalog\./;
		next if substr($code, 0, $at) =~ /\b(?:GRANT|REVOKE)\b[^;]*\z/ || substr($code, 0, $at) =~ /\bDISTINCT\s+FROM\s+\z/i;
		breach($script, $code, $at, "relation $name is not qualified");
	}

	# functions that are called
	while ($code =~ /(?<![\w.])(\w+)\s*\(/g)
	{
		my ($name, $at) = ($1, $-[1]);
		next if $no_call{ lc $name } || $name =~ /^\d/;
		next if substr($code, 0, $at) =~ /\b(?:CREATE\s+(?:UNIQUE\s+)?INDEX\s.*|INTO\s+\S*|COLUMN\s+|POLICY\s+.*|ON\s+)\z/i;
		breach($script, $code, $at, "function $name is not qualified");
	}
	while ($code =~ /(?<![\w.])(?!$ours\b)(\w+)\.\w+\s*\(/g) { breach($script, $code, $-[0], "a function of schema $1"); }

	# operators: what is left when those that are qualified, and what is none, is gone
	my $rest = $code;
	$rest =~ s/(OPERATOR\(\s*pg_catalog\.[^\s)]+\s*\))/' ' x length $1/ge;
	$rest =~ s/(:=|=>|::|\(\*\)|\.\*|\bSELECT\s+\*|[WITH(]\s*\w+\s*=\s*(?:true|false)\)|\bCOMMENT\b[^;]*;|\b(?:ERRCODE|HINT|DETAIL|MESSAGE)\s*=)/' ' x length $1/gie;
	while ($rest =~ m{([-+*/<>=~!@#%^&|`?]+)}g) { breach($script, $rest, $-[0], "operator $1 is not qualified"); }
	while ($code =~ /\b(BETWEEN|(?:NOT\s+)?I?LIKE|SIMILAR|OVERLAPS|(?<!EXCEPTION\s)\bIN\s*\((?!\s*SELECT\b.*OPERATOR)|IS\s+(?:NOT\s+)?DISTINCT|CASE\s+(?!WHEN)\S+|NULLIF|GREATEST|LEAST)/gi)
	{
		breach($script, $code, $-[0], "\U$1\E looks for an operator by search_path");
	}

	# types: of casts, columns, parameters and results
	while ($code =~ /::\s*(?!$ours\.)([^\s;,)]+)/g) { breach($script, $code, $-[0], "type $1 is not qualified"); }
	while ($code =~ /\bRETURNS\s+(?:SETOF\s+)?+(?!$ours\.|TABLE\b|trigger\b)(\S+)/gi) { breach($script, $code, $-[0], "type $1 is not qualified"); }
	while ($code =~ /\bCREATE\s+(?:TABLE|FUNCTION|PROCEDURE)\s+[\w.]+\s*\((.*?)\n?\)\s*(?:;|RETURNS|AS|LANGUAGE|WITH)/gis)
	{
		my ($list, $begin) = ($1, $-[1]);

		while ($list =~ /(?:^|,)\s*((?:(?:INOUT|OUT|IN|VARIADIC)\s+)?(\w+)\s+([^\s,]+)|([^\s,]+))/gs)
		{
			my ($name, $type) = defined $2 ? ($2, $3) : ('', $4);
			next if $no_column{ lc $name } || $type =~ /^$ours\./ || $name eq 'pg_catalog';
			next if substr($list, 0, $-[1]) =~ /\([^)]*\z/;
			breach($script, $code, $begin + $-[1], "type $type is not qualified");
		}
	}
}
exit($breaches ? 1 : 0);
PERL
