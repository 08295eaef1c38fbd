#!/usr/bin/env bash
# `make freshness`: how long a change takes into a table that a job of pg_cron follows (regress/bench/freshness.pl, which
# has the variables), on a private server with a simulated provider. It measures, and asserts nothing of it.
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
	build_and_install
	build_simulator
	mkdir "$work/tap"
	mapfile -t prove < <(prove_command)
	"${prove[@]}" -v "$TOP/regress/bench/freshness.pl"
}

if [[ -n ${NAUTH_WORK:-} ]]; then
	main
else
	run_in_work_folder freshness.sh "${BUILD_PACKAGES[@]}" "${CHECK_PACKAGES[@]}"
fi
