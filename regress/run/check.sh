#!/usr/bin/env bash
# `make check`: every layer of tests, each with its own result lines, against a private server and providers. A layer
# that fails does not keep the next from running. The last line is "N passed, N failed"; the exit code says the same.
# Skipped tests are shown and count as neither. No result may depend on how long something took.
#
# Copyright (c) 2026, neon_auth_fdw contributors

set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LAYER_SECONDS=1200
SHOWN_LINES=100

passed=0
failed=0
failures=()

# Counts the result lines in a log: prints passed, failed and skipped, and writes the failed lines to LOG.failed, each
# behind the script that it is of where there are several. They are TAP (also pg_regress from 16 on), or pg_regress's
# "test name ... ok" of 15; the lines of a parallel group begin with blanks.
count_lines()
{
	awk -v lines="$1.failed" '
		function fail() { failed++; print script $0 >lines }
		/\.pl \.\.+ *$/ { n = split($(NF - 1), part, "/"); script = part[n] ": " }
		/^ok [0-9]+( |$)/ { if (/# *(SKIP|skip)/) skipped++; else passed++ }
		/^not ok [0-9]+( |$)/ { fail() }
		/^(test|    ) +.* \.\.\. +ok( |$)/ { passed++ }
		/^(test|    ) +.* \.\.\. +FAILED/ { fail() }
		/^(test|    ) +.* \.\.\. +failed \(ignored\)/ { skipped++ }
		END { print passed + 0, failed + 0, skipped + 0 }' "$1"
}

# Runs COMMAND as the layer NAME. HOW says what its results are: "one" is its exit code, "lines" is what count_lines
# finds; then a bad exit code without a failed line, or no line at all, is a failure too.
layer()
{
	local name=$1 how=$2 log=$logs/layer-$1.log status=0 begin=$SECONDS good=0 bad=0 skipped=0 tee

	shift 2
	say "$name"
	# Not a pipeline: a layer may start servers and set variables for the next. And no process substitution: its
	# descriptor would be inherited by those servers, and tee wait for their end.
	tee "$log" <"$work/output" &
	tee=$!
	"$@" >"$work/output" 2>&1 </dev/null || status=$?
	wait "$tee"
	if [[ $how == lines ]]; then
		read -r good bad skipped < <(count_lines "$log")
		if ((bad == 0 && (status != 0 || good == 0))); then
			echo "not ok - $name ended with exit code $status after $good tests"
			bad=1
		fi
	elif ((status == 0)); then
		good=1
	else
		bad=1
	fi
	passed=$((passed + good))
	failed=$((failed + bad))
	if ((bad)); then
		explain "$name"
		failures+=("-- $name: $bad failed" "$(cat "$log.failed" 2>/dev/null || true)")
	fi
	echo "-- $name: $good passed, $bad failed, $skipped skipped ($((SECONDS - begin)) s)"
}

# A layer, if there is any such file.
where_any()
{
	local pattern=$1

	shift
	! compgen -G "$TOP/regress/$pattern" >/dev/null || layer "$@"
}

# What the logs that a layer leaves say about its failure.
explain()
{
	local file

	while IFS= read -r -d '' file; do
		printf '\n---- %s\n' "${file#"$work"/}"
		tail -n "$SHOWN_LINES" "$file"
	done < <(failure_files "$1")
}

# Prove names the scripts that failed; each has a log of its own, and one for each of its servers.
tap_failure_files()
{
	local script

	while read -r script; do
		find "$work/tap/tmp_check/log" '(' -name "regress_log_$script" -o -name "${script}_*.log" ')' -print0
	done < <(sed -n 's#^.*/\([^/]*\)\.pl *(Wstat: .*#\1#p' "$logs/layer-tap.log")
}

failure_files()
{
	case $1 in
		regress | isolation)
			find "$TOP" -name regression.diffs -print0
			find "$logs" -name check.log -print0
			;;
		tap) tap_failure_files ;;
		demo) find "$logs" -name 'demo*.log' -print0 ;;
	esac
}

bounded()
{
	timeout --foreground -k 10 "$LAYER_SECONDS" "$@"
}

target()
{
	bounded make -s -C "$TOP" PG_CONFIG="$pg_bin/pg_config" "$@"
}

build_with_werror()
{
	build_and_install COPT=-Werror && build_simulator && build_for_tests
}

node_and_packages()
{
	npm_parts && npm_ci regress/sdk
}

# What the SQL tests need; they ask no provider.
start_server()
{
	start_postgres check </dev/null
}

# One script a run of prove: when a server crashes, its script bails out, and that would end the others too. Its output
# comes when it has ended, undivided.
tap_script()
{
	local log=$logs/tap-${1##*/}.log status=0

	bounded "${prove[@]}" -v --timer "$1" >"$log" 2>&1 || status=1
	# one that died has failed, too, though none of its lines says so
	((status == 0)) || grep -qE '^not ok [0-9]+( |$)' "$log" || echo "not ok 0 - it ended early" >>"$log"
	flock "$work/tap" cat "$log"
	return "$status"
}

# As many at a time as there are processors: they mostly wait. A subshell, so that it has no other child to wait for.
tap_tests()
(
	mkdir "$work/tap" || exit
	mapfile -t prove < <(prove_command)
	status=0
	running=0
	for script in "$TOP"/regress/t/*.pl; do
		if ((running >= $(nproc))); then
			wait -n || status=1
			running=$((running - 1))
		fi
		tap_script "$script" &
		running=$((running + 1))
	done
	while ((running > 0)); do
		wait -n || status=1
		running=$((running - 1))
	done
	exit "$status"
)

sdk_tests()
{
	local clerk_url cognito_url

	start_simulator sdk-clerk --provider clerk --users 100 --seed 1 || return
	clerk_url=$sim_url
	start_simulator sdk-cognito --provider cognito --users 100 --set short=17 --set empty=3 --set times=exponent || return
	cognito_url=$sim_url
	start_simulator sdk-stack --provider stack --users 100 --set cursor=excluded --set page_cap=50 || return
	(cd "$TOP/regress/sdk" &&
		SIM_URL=$clerk_url COGNITO_URL=$cognito_url STACK_URL=$sim_url SIM_KEY=sk_test_x bounded node --test --test-reporter=tap)
}

# The extension can be created in a server of its own, below FOLDER, into which COMMAND installs what it finds there.
creates_extension()
(
	folder=$1
	shift
	mkdir "$folder" || exit
	# shellcheck disable=SC2030
	prefix=$folder/prefix
	pg_bin=$prefix/usr/lib/postgresql/$PG_VERSION/bin
	PATH=$pg_bin:$PATH
	clusters=()
	cd "$folder" && make_prefix && "$@" && start_postgres "${folder##*/}-server" </dev/null || exit
	psql -Xq -v ON_ERROR_STOP=1 -d postgres -c 'CREATE EXTENSION neon_auth_fdw' -c 'SELECT count(*) FROM neon_auth.providers()'
	status=$?
	stop_all
	exit "$status"
)

# What `make dist` packs is all that is needed, and what META.json says of it is so.
install_dist()
{
	"$TOP/regress/run/dist.sh" . && unzip -q neon_auth_fdw-*.zip && TOP=$(echo "$PWD"/neon_auth_fdw-*/) && cd "$TOP" || return
	perl -MJSON::PP -e 'local $/; my $is = decode_json(<>)->{provides}{neon_auth_fdw}; -s $is->{$_} or die "no $_" for qw(file docfile)' META.json &&
		build_and_install COPT=-Werror
}

# The package has its files where those of the server are, so that it can be unpacked over a copy of it.
install_deb()
{
	# shellcheck disable=SC2031 # called in that subshell
	"$TOP/regress/run/deb.sh" . && dpkg-deb -x "postgresql-$PG_VERSION"-neon-auth-fdw_*.deb "$prefix"
}

no_process_left()
{
	local pid found=0

	for pid; do
		if [[ -r /proc/$pid/cmdline ]]; then
			echo "still running: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
			found=1
		fi
	done
	return "$found"
}

main()
{
	enter_work_folder
	mkfifo "$work/output"
	layer node one node_and_packages
	layer build one build_with_werror
	layer symbols one target symbols
	layer layers one target layers
	layer scripts one target scripts
	layer spelling one target spelling
	layer indent one target indent
	layer cppcheck one target cppcheck
	layer analyze one target analyze
	layer unit lines target unit
	layer fuzz one target fuzz-smoke
	layer server one start_server
	layer regress lines target installcheck ISOLATION= TAP_TESTS=
	where_any 'specs/*.spec' isolation lines target installcheck REGRESS= TAP_TESTS=
	where_any 't/*.pl' tap lines tap_tests
	layer sdk lines sdk_tests
	layer dist one creates_extension "$work/dist" install_dist
	layer deb one creates_extension "$work/deb" install_deb
	layer demo one bounded "$TOP/regress/run/demo.sh"
	stop_all
	# Asked before the layer, whose own processes are not meant.
	# shellcheck disable=SC2046
	layer processes one no_process_left $(left_over)
	# Once more, where the last screen of a long log shows them.
	((!failed)) || printf '%s\n' '' "${failures[@]}"
	printf '\n%d passed, %d failed\n' "$passed" "$failed"
	((passed > 0 && failed == 0))
}

if [[ -n ${NAUTH_WORK:-} ]]; then
	main
else
	# In Debian from 13 on: the other Redis, which tests use where it is; and what packages are built with.
	for package in valkey-tools postgresql-common-dev; do
		! apt-cache show "$package" >/dev/null 2>&1 || CHECK_PACKAGES+=("$package")
	done
	run_in_work_folder check.sh "${BUILD_PACKAGES[@]}" "${CHECK_PACKAGES[@]}"
fi
