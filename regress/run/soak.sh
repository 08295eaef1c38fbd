#!/usr/bin/env bash
# `make soak`: for an hour or SOAK_SECONDS, a third of it the model tests and the random queries
# (regress/t/036_model.pl, 066_model_of_all.pl, 053_random_queries.pl) with one seed after the other, then a load of
# long-lived sessions (regress/bench/soak.pl). SOAK_PART=histories or SOAK_PART=load is that part alone.
# NAUTH_SEED is the first seed (now, by default), NAUTH_STEPS how long each history is (3000). Ends at the first
# failure, with what repeats it.
#
# Copyright (c) 2026, neon_auth_fdw contributors

set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SOAK_SECONDS=${SOAK_SECONDS:-3600}
SOAK_PART=${SOAK_PART:-both}
export NAUTH_STEPS=${NAUTH_STEPS:-3000}

passed=0

# Runs TAP scripts with a seed; says how many have passed if they do not.
run_with_seed()
{
	local seed=$1

	shift
	rm -rf "$work/tap"
	mkdir "$work/tap"
	if ! NAUTH_SEED=$seed "${prove[@]}" -v "$@"; then
		printf '\n%d passed, 1 failed\n' "$passed"
		return 1
	fi
	passed=$((passed + 1))
}

main()
{
	local prove begin seed=${NAUTH_SEED:-$(date +%s)} histories=$((SOAK_SECONDS / 3))

	case $SOAK_PART in
		both) ;;
		histories) histories=$SOAK_SECONDS ;;
		load) histories=0 ;;
		*) die "SOAK_PART is both, histories or load" ;;
	esac
	enter_work_folder
	say "Building"
	build_and_install COPT=-Werror
	build_simulator
	build_for_tests
	mapfile -t prove < <(prove_command)
	begin=$SECONDS
	while ((SECONDS - begin < histories)); do
		say "Histories: NAUTH_SEED=$seed NAUTH_STEPS=$NAUTH_STEPS"
		run_with_seed "$seed" "$TOP"/regress/t/{036_model,066_model_of_all,053_random_queries}.pl || return
		seed=$((seed + 1))
	done
	if [[ $SOAK_PART != histories ]]; then
		say "Load: NAUTH_SEED=$seed"
		export SOAK_SECONDS=$((SOAK_SECONDS > SECONDS - begin ? SOAK_SECONDS - SECONDS + begin : 1))
		run_with_seed "$seed" "$TOP/regress/bench/soak.pl" || return
	fi
	printf '\n%d passed, 0 failed\n' "$passed"
}

if [[ -n ${NAUTH_WORK:-} ]]; then
	main
else
	run_in_work_folder soak.sh "${BUILD_PACKAGES[@]}" "${CHECK_PACKAGES[@]}"
fi
