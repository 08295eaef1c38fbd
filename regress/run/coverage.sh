#!/usr/bin/env bash
# `make coverage`: runs the unit, SQL and TAP tests on a library that counts what it executes, and fails if there is an
# error of fdw/ and cache/, raised or set, that no test has reached, unless regress/run/unreached tells why; or one
# there that was reached. What the tests say is not judged. COVERAGE_TESTS names TAP files that are run instead of all.
#
# Copyright (c) 2026, neon_auth_fdw contributors

set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

UNREACHED=$TOP/regress/run/unreached
# What an error begins with, where it begins a statement or is part of one.
ERRORS='(ereport[(]ERROR|ereport[(]WARNING|elog[(]ERROR|nauth_error_set[(]|nauth_options_report_value[(]|report_unknown_option[(])'

run_tests()
{
	local prove script scripts

	make -s -C "$TOP/regress/unit" CFLAGS='-O0 -g --coverage' check >"$logs/unit.log" 2>&1 || true
	start_postgres check </dev/null
	project_make installcheck ISOLATION= TAP_TESTS= >"$logs/regress.log" 2>&1 || true
	mkdir "$work/tap"
	mapfile -t prove < <(prove_command)
	read -ra scripts <<<"${COVERAGE_TESTS:-$(cd "$TOP/regress/t" && echo *.pl)}"
	export NAUTH_COVERAGE=1
	for script in "${scripts[@]}"; do
		"${prove[@]}" --timer "$TOP/regress/t/$script" || true
	done
	stop_all
}

# Prints "file:line: statement" of each line that has an error and was never executed. A statement that spans lines
# counts where it begins, and there is what gcov counts of it.
unreached()
{
	local source

	cd "$TOP"
	for source in cache/*.c fdw/*.c fdw/*/*.c; do
		# the objects of the library and those of the unit tests both count
		gcov --stdout --demangled-names --object-directory "$(dirname "$source")" "$source" 2>/dev/null
		[[ ! -e regress/unit/build/$(basename "$source" .c).gcda ]] ||
			(cd regress/unit && gcov --stdout --object-directory build "../../$source" 2>/dev/null)
	done | awk -v errors="$ERRORS" -v tree="$TOP/" '
		/^ +-: +0:Source:/ { file = $0; sub(/^.*Source:/, "", file); sub(tree, "", file); gsub(/\.\.\//, "", file); next }
		{
			if (file !~ /^(fdw|cache)\//) next
			count = $1; sub(/:$/, "", count)
			split($0, part, ":"); line = part[2] + 0
			text = $0; sub(/^[^:]*:[^:]*:/, "", text); gsub(/^[ \t]+/, "", text)
			code[file ":" line] = text
			if (count == "#####" || count == "=====") never[file ":" line] = 1
			else if (count ~ /^[0-9]/) reached[file ":" line] = 1
		}
		END {
			for (place in never) {
				if (place in reached || code[place] !~ errors) continue
				split(place, part, ":")
				statement = code[place]
				for (i = 1; statement !~ /;/ && i < 8; i++) statement = statement " " code[part[1] ":" part[2] + i]
				print place ": " statement
			}
		}' | sort -t: -k1,1 -k2,2n
}

# Prints what is wrong with UNREACHED beside what was found: what it does not name, and what it names in vain.
judge()
{
	awk -F '\t' -v known="$UNREACHED" '
		BEGIN { while ((getline <known) > 0) if ($0 !~ /^(#|\t|$)/) { files[++n] = $1; parts[n] = $2 } }
		{
			file = $0; sub(/:.*/, "", file)
			for (i = 1; i <= n; i++) if (files[i] == file && index($0, parts[i])) { found[i] = 1; next }
			print "reached by no test: " $0
		}
		END { for (i = 1; i <= n; i++) if (!(i in found)) print "was reached: " files[i] ": " parts[i] }'
}

main()
{
	enter_work_folder
	say "Building"
	build_and_install COPT='-O0 -U_FORTIFY_SOURCE --coverage -fprofile-update=atomic' SHLIB_LINK='-lcurl -ljansson -lhiredis -llz4 -lcrypto --coverage'
	build_simulator
	build_for_tests
	npm_parts
	say "Running the tests"
	run_tests
	say "Errors that no test has reached"
	unreached >"$work/unreached"
	judge <"$work/unreached" >"$work/wrong"
	cat "$work/wrong"
	printf '%d errors were reached by no test; %d lines to be mended\n' "$(wc -l <"$work/unreached")" "$(wc -l <"$work/wrong")"
	[[ ! -s $work/wrong ]]
}

if [[ -n ${NAUTH_WORK:-} ]]; then
	main
else
	run_in_work_folder coverage.sh "${BUILD_PACKAGES[@]}" "${CHECK_PACKAGES[@]}"
fi
