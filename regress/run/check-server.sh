#!/usr/bin/env bash
# `make check-asserts`, `make check-sanitized`, `make check-valgrind`: build PostgreSQL from Debian's source in a way that
# finds what Debian's own build lets pass, and run the SQL and TAP tests on it. SERVER_TESTS names TAP files that are
# run instead of those of the kind. The last line and the exit code are those of `make check`.
#
#	NAUTH_SERVER=check-asserts regress/run/check-server.sh
#
# Copyright (c) 2026, neon_auth_fdw contributors

set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Run once more with debug_discard_caches = 1 by check-asserts, where all takes fifty times as long, so that it must have no
# request that hangs up to a deadline: scans, refreshes and a notification.
DISCARD_TESTS=${DISCARD_TESTS-100_clients.pl}
MODULES=(contrib/{auto_explain,citext,dblink,file_fdw,pageinspect,pg_stat_statements,pgcrypto,postgres_fdw} src/test/{perl,regress,isolation})
# What check-sanitized leaves out: they measure memory, which is the sanitizer's, or let allocations fail, which are its
# too; or have so many sessions that leases of seconds run out.
NOT_SANITIZED='^(014_resources|016_memory|025_single_flight|033_cache_resources|034_cache_memory|085_scarce)[.]pl$'
# What check-valgrind runs: each path of the library once, since it takes twenty times as long.
VALGRIND_TESTS='001_scan.pl 002_refresh.pl 023_cache.pl 035_incremental.pl 041_sync_user.pl 082_hostile_users.pl 094_forged_cache.pl'
PACKAGES=(zlib1g-dev libicu-dev pkg-config bison flex valgrind)

passed=0
failed=0

# ---- The kinds: each sets how the server and the extension are built, and which TAP tests are run

all_tests()
{
	(cd "$TOP/regress/t" && printf '%s\n' *.pl)
}

check_asserts()
{
	configure=(--enable-cassert CFLAGS=-O1)
	copt=-Werror
	tests=$(all_tests)
}

# The server has assertions and AddressSanitizer alone: its own code is not what UndefinedBehaviorSanitizer is to judge.
# What it leaves at its end is none of our business.
check_sanitized()
{
	configure=(--enable-cassert CFLAGS='-O1 -fno-omit-frame-pointer -fsanitize=address')
	copt='-O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined'
	tests=$(all_tests | grep -vE "$NOT_SANITIZED")
	NAUTH_SANITIZER=$(gcc -print-file-name=libasan.so)
	export NAUTH_SANITIZER
	export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:quarantine_size_mb=16:abort_on_error=1:log_path=$logs/report
	export UBSAN_OPTIONS=print_stacktrace=1:log_path=$logs/report
}

check_valgrind()
{
	configure=(CPPFLAGS=-DUSE_VALGRIND CFLAGS='-O1 -g')
	copt='-O1 -g'
	tests=$VALGRIND_TESTS
	after_install=valgrind_the_server
	export PG_TEST_TIMEOUT_DEFAULT=1800
}

# Puts a script in the place of the server, which runs it under valgrind, but for initdb's servers and questions.
valgrind_the_server()
{
	local bin=$prefix/usr/lib/postgresql/$PG_VERSION/bin

	mv "$bin/postgres" "$bin/postgres.bin"
	cat >"$bin/postgres" <<-EOF
		#!/bin/sh
		case \$1 in
			--*|-V|-C) exec "$bin/postgres.bin" "\$@" ;;
		esac
		exec valgrind -q --trace-children=yes --leak-check=no --gen-suppressions=all \\
			--suppressions="$work/source/src/tools/valgrind.supp" --log-file="$logs/report.%p" "$bin/postgres.bin" "\$@"
	EOF
	chmod +x "$bin/postgres"
}

# ---- The server

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

# Into the prefix, where lib.sh looks for a server; with Debian's pg_cron, which fits every build of a version.
build_server()
{
	local module

	cd "$work/source"
	./configure -q --prefix="$prefix/usr/lib/postgresql/$PG_VERSION" --enable-debug --enable-tap-tests \
		--without-readline --with-openssl --with-lz4 --with-icu "${configure[@]}"
	make -s -j "$(nproc)"
	make -s install
	for module in "${MODULES[@]}"; do
		make -s -C "$module" install
	done
	cp "/usr/lib/postgresql/$PG_VERSION/lib/pg_cron.so" "$prefix/usr/lib/postgresql/$PG_VERSION/lib/"
	cp "/usr/share/postgresql/$PG_VERSION/extension/pg_cron"* "$prefix/usr/lib/postgresql/$PG_VERSION/share/extension/"
	cd "$work"
	"${after_install:-true}"
}

# ---- The tests

# Counts what prove or pg_regress says of a whole file.
count()
{
	local begin=$SECONDS

	if "$@" >>"$logs/tests.log" 2>&1; then
		passed=$((passed + 1))
		echo "ok - ${*: -1} ($((SECONDS - begin)) s)"
	else
		failed=$((failed + 1))
		echo "not ok - ${*: -1} ($((SECONDS - begin)) s)"
	fi
}

# JIT is not built, so the tests that want it are left out.
run_tests()
{
	local prove script

	npm_parts
	start_postgres check </dev/null
	count project_make TAP_TESTS= installcheck
	mkdir "$work/tap"
	mapfile -t prove < <(prove_command)
	for script in ${SERVER_TESTS-$tests}; do
		[[ $script == 053_random_queries.pl ]] || count "${prove[@]}" "$TOP/regress/t/$script"
	done
	if [[ $NAUTH_SERVER == check-asserts ]]; then
		echo 'debug_discard_caches = 1' >"$work/discard.conf"
		rm -rf "$work/tap/tmp_check"
		for script in $DISCARD_TESTS; do
			TEMP_CONFIG=$work/discard.conf PG_TEST_TIMEOUT_DEFAULT=3600 count "${prove[@]}" "$TOP/regress/t/$script"
		done
	fi
	stop_all
}

# Prints what a failed assertion, a sanitizer or valgrind has reported, if anything.
reported()
{
	local file found=1

	! grep -rhs 'TRAP:' "$work/tap" "$logs" || found=0
	for file in "$logs"/report*; do
		[[ ! -s $file ]] || { found=0; head -n 100 "$file"; }
	done
	return "$found"
}

main()
{
	enter_work_folder
	say "Building PostgreSQL"
	fetch_source
	"${NAUTH_SERVER//-/_}"
	build_server >"$logs/server.log" 2>&1 || { tail -n 30 "$logs/server.log"; die "PostgreSQL could not be built"; }
	say "Building"
	build_and_install COPT="$copt"
	build_simulator
	build_for_tests
	say "Running the tests"
	run_tests
	! reported || failed=$((failed + 1))
	((failed == 0)) || tail -n 100 "$logs/tests.log"
	printf '\n%d passed, %d failed\n' "$passed" "$failed"
	((passed > 0 && failed == 0))
}

if [[ -n ${NAUTH_WORK:-} ]]; then
	main
else
	run_in_work_folder check-server.sh "${BUILD_PACKAGES[@]}" "${CHECK_PACKAGES[@]}" "${PACKAGES[@]}"
fi
