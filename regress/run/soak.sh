#!/usr/bin/env bash
# `make soak`: the model tests and the random queries (regress/t/036_model.pl, 066_model_of_all.pl, 053_random_queries.pl) with
# one seed after the other, for an hour or SOAK_SECONDS.
# NAUTH_SEED is the first seed (now, by default), NAUTH_STEPS how long each history is (3000). Ends at the first
# history that fails, with what repeats it.
#
# Copyright (c) 2026, neon_auth_fdw contributors

set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SOAK_SECONDS=${SOAK_SECONDS:-3600}
export NAUTH_STEPS=${NAUTH_STEPS:-3000}

main()
{
	local prove seed=${NAUTH_SEED:-$(date +%s)} passed=0

	enter_work_folder
	say "Building"
	build_and_install COPT=-Werror
	build_simulator
	build_for_tests
	mapfile -t prove < <(prove_command)
	while ((SECONDS < SOAK_SECONDS)); do
		rm -rf "$work/tap"
		mkdir "$work/tap"
		say "NAUTH_SEED=$seed NAUTH_STEPS=$NAUTH_STEPS"
		if ! NAUTH_SEED=$seed "${prove[@]}" -v "$TOP"/regress/t/{036_model,066_model_of_all,053_random_queries}.pl; then
			printf '\n%d passed, 1 failed\n' "$passed"
			return 1
		fi
		passed=$((passed + 1))
		seed=$((seed + 1))
	done
	printf '\n%d passed, 0 failed\n' "$passed"
}

if [[ -n ${NAUTH_WORK:-} ]]; then
	main
else
	run_in_work_folder soak.sh "${BUILD_PACKAGES[@]}" "${CHECK_PACKAGES[@]}"
fi
