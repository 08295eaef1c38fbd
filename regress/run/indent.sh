#!/usr/bin/env bash
# Check that pg_bsd_indent, with the server's own options, leaves the C files
# as they are.  With --fix it changes them.  Versions differ in what they make of
# a file, so that of PostgreSQL 15 is the one that counts.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(pg_bsd_indent --version)
if [[ $version != "pg_bsd_indent 2.1.1 "* ]]; then
	echo "not checked: $version is not version 2.1.1, of PostgreSQL 15"
	exit 0
fi

options="-bad -bap -bbb -bc -bl -cli1 -cp33 -cdb -nce -d0 -di12 -nfc1 -i4 -l79
	-lp -lpl -nip -npro -sac -tpg -ts4"
# What the server's own pgindent mends afterwards: "void *" before a function.
mend() {
	sed -E 's/^([A-Za-z_][^ \t]*)[ \t]+\*$/\1 */'
}

list=$(mktemp)
out=$(mktemp)
trap 'rm -f "$list" "$out"' EXIT
core=$(find /usr/share/postgresql /usr/lib/postgresql -name typedefs.list 2>/dev/null | head -n 1 || true)
cat docs/typedefs.list ${core:+"$core"} >"$list"

status=0
for file in $(find cache fdw regress -name node_modules -prune -o -name '*.[ch]' -print | sort); do
	# shellcheck disable=SC2086
	if ! pg_bsd_indent $options -U"$list" <"$file" | mend >"$out"; then
		echo "$file has something that pg_bsd_indent does not understand:"
		grep -n -A2 INDENT "$out" | head -n 6 || true
		status=1
		continue
	fi
	cmp -s "$file" "$out" && continue
	if [ "${1:-}" = --fix ]; then
		cat "$out" >"$file"
	else
		echo "$file is not indented as pg_bsd_indent does:"
		diff "$file" "$out" | head -n 12 || true
		status=1
	fi
done
exit $status
