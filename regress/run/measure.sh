#!/usr/bin/env bash
# `make freshness`, `make bench`: run the script of that name in regress/bench, which says what it measures and by which
# variables, on a private server with simulated providers. It asserts nothing of what it measures.
#
#	NAUTH_MEASURE=bench regress/run/measure.sh
#
# Copyright (c) 2026, neon_auth_fdw contributors

set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

main()
{
	local prove

	enter_work_folder
	say "Building"
	# shellcheck disable=SC2119 # as it is
	build_and_install
	build_simulator
	[[ $NAUTH_MEASURE != bench ]] || make -s -C "$TOP/regress/bench"
	mkdir "$work/tap"
	# a statement may take as long as it does
	export PG_TEST_TIMEOUT_DEFAULT=3600
	mapfile -t prove < <(prove_command)
	"${prove[@]}" -v "$TOP/regress/bench/$NAUTH_MEASURE.pl"
}

if [[ -n ${NAUTH_WORK:-} ]]; then
	main
else
	if [[ $NAUTH_MEASURE == bench ]]; then
		UNPACKED_PACKAGES=(nginx)
		[[ ${BENCH_PART:-} != breakdown ]] || CHECK_PACKAGES+=(linux-perf)
		RESULTS=(regress/bench/out/{bench,growth,sessions,latency,storage,breakdown}.json)
	fi
	run_in_work_folder measure.sh "${BUILD_PACKAGES[@]}" "${CHECK_PACKAGES[@]}"
fi
