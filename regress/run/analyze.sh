#!/usr/bin/env bash
# Check the C files of the extension with gcc's analyzer, which follows paths through functions, and with clang-tidy,
# which must have nothing to say.  PG_CONFIG names the server whose headers they are read with.
#
# Not asked of gcc: leaks, uninitialized values and null arguments, which it sees where memory is handed on, written through
# a pointer, or null only where it is not used; fuzzing with sanitizers and the tests of flat memory look for these. Left
# out of clang-tidy's lists: what is a matter of style, as PostgreSQL has another; bugprone-not-null-terminated-result,
# which takes bytes for text; circles among the server's own headers; and of cert- the rule that every snprintf is looked at.
#
# Copyright (c) 2026, neon_auth_fdw contributors
set -euo pipefail
cd "$(dirname "$0")/../.."

checks='-*,bugprone-*,cert-*,concurrency-*,misc-*,portability-*'
for not in assignment-in-if-condition branch-clone easily-swappable-parameters implicit-widening-of-multiplication-result \
	inc-dec-in-conditions macro-parentheses multi-level-implicit-pointer-conversion narrowing-conversions \
	not-null-terminated-result reserved-identifier suspicious-include; do
	checks+=,-bugprone-$not
done
checks+=,-cert-dcl37-c,-cert-dcl51-cpp,-cert-err33-c,-misc-header-include-cycle,-misc-no-recursion,-misc-unused-parameters,-misc-include-cleaner

flags=(-std=gnu11 -D_GNU_SOURCE -I. -Ifdw -I"$("${PG_CONFIG:-pg_config}" --includedir-server)")
unasked=(-Wno-analyzer-malloc-leak -Wno-analyzer-fd-leak -Wno-analyzer-use-of-uninitialized-value -Wno-analyzer-null-argument)
mapfile -t files < <(printf '%s\n' cache/*.c fdw/*.c fdw/*/*.c)
found=$(mktemp)
trap 'rm -f "$found"' EXIT

printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -I FILE \
	gcc "${flags[@]}" -fanalyzer "${unasked[@]}" -c -o /dev/null FILE 2>"$found" || echo "gcc failed" >>"$found"
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -I FILE \
	clang-tidy --quiet "-checks=$checks" FILE -- "${flags[@]}" 2>/dev/null >>"$found" || echo "clang-tidy failed" >>"$found"
if [ -s "$found" ]; then
	cat "$found"
	exit 1
fi
