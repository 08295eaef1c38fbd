#!/usr/bin/env bash
# `make coverage`: runs the unit, SQL and TAP tests on a library that counts what it executes, and says which errors of
# fdw/ and cache/ no test has reached: each ereport, each error that is set, each return of an error. What cannot be
# reached is listed with its reason in coverage.list; anything else that was not is a failure, and so is an entry
# there that was. COVERAGE_TESTS names TAP files that are run instead of all, and then nothing fails.
#
# Copyright (c) 2026, neon_auth_fdw contributors

set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

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
	for script in "${scripts[@]}"; do
		"${prove[@]}" --timer "$TOP/regress/t/$script" || true
	done
	stop_all
}

# Prints "file:line: code" of each line that has an error and was never executed. A statement that spans lines counts
# where it begins, and there is what gcov counts of it.
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
		/^ +-: +0:Source:/ { sub(/^.*Source:/, ""); sub(/^.*\/(fdw|cache)\//, "/&"); file = $0; sub(tree, "", file); sub(/^(\.\.\/)+/, "", file); next }
		{
			count = $1; sub(/:$/, "", count)
			split($0, part, ":"); line = part[2] + 0
			code = $0; sub(/^[^:]*:[^:]*:/, "", code); gsub(/^[ \t]+/, "", code)
			if (count == "#####" || count == "=====") never[file ":" line] = code
			else if (count ~ /^[0-9]/) reached[file ":" line] = 1
		}
		END {
			for (place in never)
				if (!(place in reached) && never[place] ~ errors) print place ": " never[place]
		}' | sort -t: -k1,1 -k2,2n
}

# An entry of the list is "file: code that the line has: reason".
judge()
{
	awk -v tests="${COVERAGE_TESTS:-}" '
		FNR == NR { if ($0 !~ /^#/ && NF) { split($0, part, " \\| "); excused[part[1] SUBSEP part[2]] = part[3] }; next }
		{
			file = $0; sub(/:.*/, "", file)
			found = ""
			for (key in excused) { split(key, part, SUBSEP); if (part[1] == file && index($0, part[2])) found = key }
			if (found != "") used[found] = 1
			else { print; bad++ }
		}
		END {
			for (key in excused) if (!(key in used)) { split(key, part, SUBSEP); print part[1] ": is reached, and listed: " part[2]; bad++ }
			printf "%d errors were reached by no test or are listed though they were\n", bad + 0
			exit bad > 0 && tests == ""
		}' "$TOP/regress/run/coverage.list" "$1"
}

main()
{
	enter_work_folder
	say "Building"
	build_and_install COPT='-O0 -U_FORTIFY_SOURCE --coverage -fprofile-update=atomic' SHLIB_LINK='-lcurl -ljansson -lhiredis -llz4 -lcrypto --coverage'
	build_simulator
	build_for_tests
	make_node
	npm_ci regress/better_auth
	for folder in regress/scim regress/feathers; do
		[[ ! -d $TOP/$folder ]] || npm_ci "$folder"
	done
	say "Running the tests"
	run_tests
	say "Errors that no test has reached"
	unreached >"$work/unreached"
	judge "$work/unreached"
}

if [[ -n ${NAUTH_WORK:-} ]]; then
	main
else
	run_in_work_folder coverage.sh "${BUILD_PACKAGES[@]}" "${CHECK_PACKAGES[@]}"
fi
