#!/usr/bin/env bash
# `make check-asserts`: builds PostgreSQL from Debian's source with assertions, and runs the SQL and TAP tests on it; then
# those of DISCARD_TESTS once more with debug_discard_caches = 1, which takes long. ASSERT_TESTS names TAP files that
# are run instead of all. The last line and the exit code are those of `make check`.
#
# Copyright (c) 2026, neon_auth_fdw contributors

set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DISCARD_TESTS=${DISCARD_TESTS-041_sync_user.pl}
MODULES=(contrib/{auto_explain,dblink,pageinspect,pg_stat_statements,pgcrypto,postgres_fdw} src/test/{perl,regress,isolation})

passed=0
failed=0

# apt-get or apt-cache with the sources of this machine, for source packages, and with files of its own.
with_sources()
{
	"$1" -qq -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$work/apt/parts" -o "Dir::State::lists=$work/apt/lists" \
		-o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User= "${@:2}"
}

# The newest version whose files are there: a mirror may name one that it has not.
fetch_source()
{
	local file version

	mkdir -p "$work"/apt/{parts,lists/partial,cache/archives/partial} "$work/source"
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[[ ! -e $file ]] || sed 's/^deb /deb-src /' "$file" >"$work/apt/parts/$(basename "$file" .list).list"
	done
	for file in /etc/apt/sources.list.d/*.sources; do
		[[ ! -e $file ]] || sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/apt/parts/$(basename "$file")"
	done
	with_sources apt-get update
	cd "$work/source"
	while read -r version; do
		if with_sources apt-get source --download-only "postgresql-$PG_VERSION=$version" 2>>"$logs/source.log"; then
			tar -x --strip-components=1 -f postgresql-*.orig.tar.*
			return
		fi
	done < <(with_sources apt-cache showsrc "postgresql-$PG_VERSION" | sed -n 's/^Version: //p' | sort -rV)
	die "the source of PostgreSQL could not be had"
}

# Into the prefix, where lib.sh looks for a server.
build_server()
{
	local module

	cd "$work/source"
	./configure -q --prefix="$prefix/usr/lib/postgresql/$PG_VERSION" --enable-cassert --enable-debug --enable-tap-tests \
		--without-readline --with-openssl --with-lz4 --with-icu CFLAGS=-O1
	make -s -j "$(nproc)"
	make -s install
	for module in "${MODULES[@]}"; do
		make -s -C "$module" install
	done
	cd "$work"
}

# Counts what prove or pg_regress says of a whole file.
count()
{
	if "$@" >>"$logs/tests.log" 2>&1; then
		passed=$((passed + 1))
		echo "ok - ${*: -1}"
	else
		failed=$((failed + 1))
		echo "not ok - ${*: -1}"
	fi
}

# JIT is not built, so the tests that want it are left out.
run_tests()
{
	local prove script scripts

	npm_parts
	start_postgres check </dev/null
	count project_make TAP_TESTS= installcheck
	mkdir "$work/tap"
	mapfile -t prove < <(prove_command)
	read -ra scripts <<<"${ASSERT_TESTS-$(cd "$TOP/regress/t" && ls ./*.pl | grep -v 053_random)}"
	for script in "${scripts[@]}"; do
		count "${prove[@]}" "$TOP/regress/t/$script"
	done
	echo 'debug_discard_caches = 1' >"$work/discard.conf"
	rm -rf "$work/tap/tmp_check"
	for script in $DISCARD_TESTS; do
		TEMP_CONFIG=$work/discard.conf PG_TEST_TIMEOUT_DEFAULT=3600 count "${prove[@]}" "$TOP/regress/t/$script"
	done
	stop_all
}

main()
{
	enter_work_folder
	say "Building PostgreSQL"
	fetch_source
	build_server >"$logs/server.log" 2>&1 || { tail -n 30 "$logs/server.log"; die "PostgreSQL could not be built"; }
	say "Building"
	build_and_install COPT=-Werror
	build_simulator
	build_for_tests
	say "Running the tests"
	run_tests
	grep -rhs 'TRAP:' "$work/tap" "$logs" && failed=$((failed + 1))
	((failed == 0)) || tail -n 100 "$logs/tests.log"
	printf '\n%d passed, %d failed\n' "$passed" "$failed"
	((passed > 0 && failed == 0))
}

if [[ -n ${NAUTH_WORK:-} ]]; then
	main
else
	run_in_work_folder check-asserts.sh "${BUILD_PACKAGES[@]}" "${CHECK_PACKAGES[@]}" zlib1g-dev libicu-dev pkg-config bison flex
fi
