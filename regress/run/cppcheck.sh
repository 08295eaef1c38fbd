#!/usr/bin/env bash
# Check the C files with cppcheck, which must have nothing to say.
set -euo pipefail
cd "$(dirname "$0")/../.."

exec cppcheck --quiet --enable=warning,portability,performance --inline-suppr \
	--error-exitcode=1 --suppress=missingIncludeSystem --suppress=unknownMacro \
	--suppress=preprocessorErrorDirective --suppress=normalCheckLevelMaxBranches \
	--std=c11 -j "$(nproc)" -I. -Ifdw cache fdw regress/sim regress/shim regress/probe regress/unit regress/fuzz regress/forger regress/bench
